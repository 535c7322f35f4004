"""Seeded data: small tasks whose answers are known, and one name for all that lessons learn from.

Ids of symbols start at 3 where a decoder answers: 0 pads, 1 starts and 2 ends, as in Vocabulary.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeVar

import torch
from torch import Tensor

from transformer_lab.bounds import check_number
from transformer_lab.checks import check_tensor, seeded
from transformer_lab.corpora import corpus, train_validation, windows
from transformer_lab.tokens import Vocabulary
from transformer_lab.translation import Dates, NumberWords, english, german

__all__ = [
    "Dates",
    "MarkovSource",
    "NumberWords",
    "copy",
    "corpus",
    "delayed_recall",
    "english",
    "german",
    "repeated",
    "reverse",
    "sort",
    "train_validation",
    "two_lookups",
    "windows",
]

FIRST = 3  # the id of the first symbol, after <pad>, <start> and <end>
MOST_CONTEXTS = 1024  # the stationary distribution costs their cube
Batch = tuple[Tensor, Tensor]
Drawn = TypeVar("Drawn")


def copy(size: int, length: int, symbols: int, seed: int = 0) -> Iterator[Batch]:
    """Say it again: source (B, S), target (B, S + 2) the same ids between <start> and <end>.

    Batches without end of size B and length S, each id one of `symbols` at random, for a
    vocabulary of symbols + 3. An encoder alone can learn it from target[:, 1:-1].
    """
    return _to_translate(lambda source: source, size, length, symbols, seed)


def reverse(size: int, length: int, symbols: int, seed: int = 0) -> Iterator[Batch]:
    """Say it backwards: as copy, the target reversed."""
    return _to_translate(lambda source: source.flip(1), size, length, symbols, seed)


def sort(size: int, length: int, symbols: int, seed: int = 0) -> Iterator[Batch]:
    """Say it in order: as copy, the target's ids ascending."""
    return _to_translate(lambda source: source.sort(dim=1).values, size, length, symbols, seed)


def delayed_recall(size: int, lag: int, symbols: int, seed: int = 0) -> Iterator[Batch]:
    """What came first? Tokens (B, lag + 1), target (B,), the symbol that was read lag steps ago.

    Position 0 holds the symbol, an id below symbols; the last position asks, with id 2 * symbols;
    between them lie lag - 1 distractors at random, ids from symbols to 2 * symbols - 1. Chance is
    1 / symbols, whatever the lag, and the vocabulary 2 * symbols + 1.
    """
    _check(size=size, lag=lag, symbols=symbols)

    def draw(random: torch.Generator) -> Batch:
        target = torch.randint(symbols, (size,), generator=random)
        between = torch.randint(symbols, 2 * symbols, (size, lag - 1), generator=random)
        asks = torch.full((size, 1), 2 * symbols)
        return torch.cat([target[:, None], between, asks], dim=1), target

    return _without_end(draw, seed)


def two_lookups(size: int, length: int, symbols: int, seed: int = 0) -> Iterator[Batch]:
    """Which symbols stand at places p and q? Tokens (B, length + 1), target (B, 2), in this order.

    The first `length` ids are symbols at random, below symbols. The last one asks for two different
    places at once: its id is symbols + p * length + q, so the vocabulary is symbols + length².
    One layer of attention and a linear map that reads its last position need two heads, one for
    each place. One head gives a single weighted mean of both symbols. A linear map can always read
    from it the symbol with the larger weight, but not the other one too. (A feed-forward layer in
    between can learn to undo the mean.)
    """
    _check(size=size, symbols=symbols)
    _check(2, length=length)

    def draw(random: torch.Generator) -> Batch:
        read = torch.randint(symbols, (size, length), generator=random)
        places = torch.rand(size, length, generator=random).argsort(dim=1)[:, :2]
        asks = symbols + places[:, :1] * length + places[:, 1:]
        return torch.cat([read, asks], dim=1), read.gather(1, places)

    return _without_end(draw, seed)


def repeated(
    size: int, length: int, symbols: int, shortest: int, longest: int, seed: int = 0
) -> Iterator[Batch]:
    """A random block again and again: tokens (B, length), block lengths (B,).

    Each row draws its own block of shortest to longest symbols, ids below symbols, and repeats it
    until the row is full. With n the block's length, tokens[b, t] is chance for t < n[b] and equals
    tokens[b, t - n[b]] from there on. Only what was read tells n, unless shortest == longest: then
    a fixed look back by n solves it too.
    """
    _check(size=size, length=length, symbols=symbols, shortest=shortest, longest=longest)
    if not shortest <= longest <= length:
        raise ValueError(
            f"need shortest <= longest <= length, got {shortest=}, {longest=}, {length=}"
        )

    def draw(random: torch.Generator) -> Batch:
        lengths = torch.randint(shortest, longest + 1, (size,), generator=random)
        block = torch.randint(symbols, (size, longest), generator=random)
        return block.gather(1, torch.arange(length) % lengths[:, None]), lengths

    return _without_end(draw, seed)


class MarkovSource:
    """Text whose best possible loss is known: the next symbol depends on the last `order` ones.

    table[context] holds the chances of the next symbol, (V ** order, V) in float64. A context is
    the number that its symbols write in base V, the latest one last: for order 2, i * V + j.
    stationary (V ** order,) is how often each context comes up in the long run, and entropy the
    entropy rate in nats per symbol, the mean over it of each row's entropy (Shannon 1948, section
    7; Cover and Thomas 2006, theorem 4.2.4). No model's expected loss is lower.
    """

    def __init__(self, table: Tensor) -> None:
        """Raises ValueError for rows that are no chances and for a run that its start decides."""
        check_tensor("table", table)
        contexts, self.symbols = table.shape if table.dim() == 2 else (0, 0)
        self.order = next((k for k in range(1, 11) if self.symbols**k == contexts), 0)
        if self.symbols < 2 or not self.order or contexts > MOST_CONTEXTS:
            raise ValueError(
                f"table must have shape (V ** order, V), V at least 2 and V ** order at most "
                f"{MOST_CONTEXTS}, got {tuple(table.shape)}"
            )
        sums = table.double().sum(1, keepdim=True)
        wrong = ((table < 0).any(1, keepdim=True) | ~((sums - 1).abs() < 1e-5)).nonzero()
        if len(wrong):
            row = int(wrong[0, 0])
            raise ValueError(f"table[{row}] must be chances that sum to 1, got {table[row]}")
        self.table = table / sums
        self.stationary = self._stationary()
        self.entropy = float(self.stationary @ torch.special.entr(self.table).sum(1))

    @classmethod
    def random(
        cls, symbols: int, order: int = 1, spread: float = 2.0, seed: int = 0
    ) -> "MarkovSource":
        """A source at random: each row is the softmax of normal scores with this spread.

        A spread of 0 makes every symbol equally likely; the larger, the lower the entropy.
        """
        _check(2, symbols=symbols)
        _check(order=order)
        check_number("spread", spread)
        if symbols**order > MOST_CONTEXTS:
            raise ValueError(
                f"symbols ** order must be at most {MOST_CONTEXTS}, got {symbols} ** {order}"
            )
        random = seeded(seed)
        shape = (symbols**order, symbols)
        scores = torch.randn(shape, generator=random, dtype=torch.float64)
        return cls((spread * scores).softmax(dim=1))

    def batches(self, size: int, length: int, seed: int = 0) -> Iterator[Tensor]:
        """Tokens (B, length) without end, each row a stretch from the middle of endless text.

        The first `order` symbols come without their past; from there on the best loss is entropy.
        """
        _check(size=size, length=length)
        return _without_end(lambda random: self._draw(size, length, random), seed)

    def _draw(self, size: int, length: int, random: torch.Generator) -> Tensor:
        context = torch.multinomial(self.stationary, size, replacement=True, generator=random)
        powers = self.symbols ** torch.arange(self.order - 1, -1, -1)
        tokens = list((context[:, None] // powers % self.symbols).T)
        while len(tokens) < length:
            tokens.append(torch.multinomial(self.table[context], 1, generator=random)[:, 0])
            context = (context * self.symbols + tokens[-1]) % len(self.table)
        return torch.stack(tokens[:length], dim=1)

    def _stationary(self) -> Tensor:
        """The row p with p = p · moves that sums to 1, moves (C, C) from context to context."""
        contexts = torch.arange(len(self.table))
        following = (contexts[:, None] * self.symbols + torch.arange(self.symbols)) % len(contexts)
        moves = torch.zeros(len(contexts), len(contexts), dtype=torch.float64)
        moves.scatter_(1, following, self.table)
        still = torch.eye(len(contexts), dtype=torch.float64) - moves
        if int(torch.linalg.matrix_rank(still)) != len(contexts) - 1:
            raise ValueError("table must have one long run, whatever the start, got several")
        # p · still = 0 has one line of solutions; adding 1 everywhere picks the one that sums to 1.
        ones = torch.ones(len(contexts), dtype=torch.float64)
        return torch.linalg.solve((still + 1).T, ones).clamp(min=0)


def _to_translate(
    answer: Callable[[Tensor], Tensor], size: int, length: int, symbols: int, seed: int
) -> Iterator[Batch]:
    _check(size=size, length=length, symbols=symbols)
    start = torch.full((size, 1), Vocabulary.START)
    end = torch.full((size, 1), Vocabulary.END)

    def draw(random: torch.Generator) -> Batch:
        source = torch.randint(FIRST, FIRST + symbols, (size, length), generator=random)
        return source, torch.cat([start, answer(source), end], dim=1)

    return _without_end(draw, seed)


def _without_end(draw: Callable[[torch.Generator], Drawn], seed: int) -> Iterator[Drawn]:
    random = seeded(seed)
    return (draw(random) for _ in count())


def _check(least: int = 1, **sizes: int) -> None:
    for name, value in sizes.items():
        check_number(name, value, least=least, integer=True)
