"""Seeded data that needs no download."""

import re
from collections.abc import Iterator
from functools import cache

import torch
from num2words import num2words
from torch import Tensor

from transformer_lab.tokens import Vocabulary

GERMAN = re.compile(
    "tausend|hundert|zwanzig|dreißig|sieben|sechs|null|eins|zwei|drei|vier|fünf|acht|neun|"
    "zehn|zwölf|sech|sieb|zig|und|ein|elf"
)


@cache
def english(number: int) -> tuple[str, ...]:
    """The words of a number: 342 -> ("three", "hundred", "and", "forty", "two")."""
    return tuple(num2words(number).replace(",", "").replace("-", " ").split())


@cache
def german(number: int) -> tuple[str, ...]:
    """The pieces of a number's one German word: 42 -> ("zwei", "und", "vier", "zig").

    Units stand before tens. The pieces joined are the word.
    """
    word = num2words(number, lang="de")
    pieces = tuple(GERMAN.findall(word))
    if "".join(pieces) != word:
        raise ValueError(f"number must lie below one million, got {number}: {word}")
    return pieces


class NumberWords:
    """Numbers in English words to translate into German, split by number into two disjoint sets.

    train and held_out are lists of numbers below `below`, drawn without repetition by seed.
    """

    def __init__(self, train: int, held_out: int, below: int = 10_000, seed: int = 0) -> None:
        if train < 1 or held_out < 1 or train + held_out > below:
            raise ValueError(
                f"train ({train}) and held_out ({held_out}) must be positive and together at most "
                f"below ({below})"
            )
        order = torch.randperm(below, generator=torch.Generator().manual_seed(seed)).tolist()
        self.train, self.held_out = order[:train], order[train : train + held_out]
        self.english = Vocabulary(english(number) for number in range(below))
        self.german = Vocabulary(german(number) for number in range(below))

    def pairs(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        """Source ids (B, S) and target ids (B, T), the target between <start> and <end>."""
        source = self.english.batch([english(number) for number in numbers])
        return source, self.german.batch([german(number) for number in numbers], ends=True)

    def batches(self, size: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of training numbers without end, drawn with repetition."""
        random = torch.Generator().manual_seed(seed)
        while True:
            chosen = torch.randint(len(self.train), (size,), generator=random)
            yield self.pairs([self.train[i] for i in chosen.tolist()])
