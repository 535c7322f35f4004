"""Text to token ids and back."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from transformer_lab.bytepairs import cut
from transformer_lab.checks import id_list


class Vocabulary:
    """A fixed list of pieces; id 0 pads, 1 starts a text, 2 ends it."""

    PAD, START, END = 0, 1, 2

    def __init__(
        self, texts: Iterable[Sequence[str]], split: Callable[[str], Sequence[str]] = list
    ) -> None:
        """Every piece of texts, each a sequence of pieces, in alphabetical order.

        split makes the pieces of a text that encode is given as one str: its characters by default.
        """
        self._split = split
        self.pieces = ["<pad>", "<start>", "<end>", *sorted({piece for t in texts for piece in t})]
        self._ids = {piece: number for number, piece in enumerate(self.pieces)}

    @classmethod
    def characters(cls, text: str) -> "Vocabulary":
        """Every character of a text. "".join(decode(ids)) is the encoded text again."""
        return cls([text])

    @classmethod
    def words(cls, text: str) -> "Vocabulary":
        """Every word and sign of a text, each with the space before it, as GPT-2 cuts them.

        encode takes a str; "".join(decode(ids)) is that text again.
        """
        return cls([cut(text)], cut)

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: Sequence[str], ends: bool = False) -> list[int]:
        """The ids of some pieces, between <start> and <end> when ends is True.

        Raises ValueError that names a piece which is not in the vocabulary.
        """
        text = self._split(text) if isinstance(text, str) else text
        unknown = [piece for piece in text if piece not in self._ids]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not one of the {len(self)} pieces")
        ids = [self._ids[piece] for piece in text]
        return [self.START, *ids, self.END] if ends else ids

    def decode(self, ids: Iterable[int] | Tensor) -> list[str]:
        """The pieces of some ids up to <end>, without <start> and <pad>.

        Raises ValueError that names an id which is not in the vocabulary.
        """
        pieces = []
        for number in id_list(ids, len(self), f"whole numbers below {len(self)}"):
            if number == self.END:
                break
            if number not in (self.PAD, self.START):
                pieces.append(self.pieces[number])
        return pieces

    def batch(self, texts: Sequence[Sequence[str]], ends: bool = False) -> Tensor:
        """Several texts as ids (B, T), shorter ones padded at the right."""
        return pad([self.encode(text, ends) for text in texts])


def pad(ids: Sequence[Sequence[int]], pad_id: int = Vocabulary.PAD) -> Tensor:
    """Lists of ids as one tensor (B, T), shorter ones padded at the right with pad_id."""
    if not ids:
        raise ValueError("ids must hold at least one list of ids, got none")
    padded = torch.full((len(ids), max(map(len, ids))), pad_id)
    for row, line in enumerate(ids):
        padded[row, : len(line)] = torch.tensor(line)
    return padded


class FileTokenizer:
    """The tokenizer that came with a model, read from its tokenizer.json."""

    def __init__(self, path: Path, name: str, max_len: int) -> None:
        self.name, self.max_len = name, max_len
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def tokens(self, text: str) -> list[str]:
        """The pieces that the model reads, special tokens included."""
        return self._encode(text).tokens

    def __call__(self, texts: str | Sequence[str]) -> tuple[Tensor, Tensor]:
        """One text or several -> token ids (B, T) and mask (B, T), True = real, False = padding.

        Raises ValueError for no text at all, TypeError for what is not text, ValueError for a text
        with more than max_len tokens: nothing is cut off in silence.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            raise ValueError("texts must hold at least one text, got none")
        ids = [self._encode(text).ids for text in texts]
        return pad(ids), pad([[1] * len(line) for line in ids]).bool()

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of some ids (T,), special tokens such as padding and [UNK] left out.

        What it drops when it reads, such as BERT's capitals and spaces, does not come back.
        Raises ValueError that names an id that is not in the vocabulary.
        """
        expected = f"token ids of {self.name}"
        numbers = id_list(ids, 2**32, expected)  # tokenizers has no more bits
        for number in numbers:
            if self._tokenizer.id_to_token(number) is None:
                raise ValueError(f"ids must be {expected}, got {number!r}")
        return self._tokenizer.decode(numbers)

    def _encode(self, text: str):  # type: ignore[no-untyped-def]  # tokenizers ships no types
        if not isinstance(text, str):
            raise TypeError(f"a text must be a str, got {type(text).__name__}: {text!r}")
        encoded = self._tokenizer.encode(text)
        if len(encoded.ids) > self.max_len:
            raise ValueError(
                f"the text has {len(encoded.ids)} tokens, {self.name} reads at most {self.max_len}"
            )
        return encoded
