"""What the race counts and measures: one layer of each kind over T tokens of width D, one text.

Depth and products are counted from the structure and the same everywhere. Times are those of this
machine, now.
"""

import time
from collections.abc import Callable
from functools import lru_cache
from statistics import median
from typing import NamedTuple

import torch

from transformer_lab import attention, rnn

LENGTHS = tuple(2**n for n in range(4, 13))
WIDTHS = (16, 32, 64, 128, 256)
HEADS = 4
MOST = 512  # steps, or rows of attention, that are run; the rest goes in proportion
ROUNDS, ENOUGH = 5, 0.04  # rounds of all calls, and the seconds after which no other one begins


class Times(NamedTuple):
    """Seconds of one layer; attention in two parts."""

    loop: float
    library: float
    projections: float
    pairs: float

    @property
    def attention(self) -> float:
        """Both parts."""
        return self.projections + self.pairs


class Products(NamedTuple):
    """Multiplications in matrix products; attention in two parts."""

    rnn: int
    projections: int
    pairs: int


def depth(T: int) -> tuple[int, int]:
    """(RNN, attention): the longest chain of matrix products that each need the one before.

    Every state of an RNN needs U times the state before it: T. Attention projects, scores, mixes,
    projects, all positions side by side: 4. A product counts once, however large it is.
    """
    return T, 4


def products(T: int, D: int) -> Products:
    """W x and U h for each token; four projections of each token, scores and mix of each pair."""
    return Products(2 * T * D * D, 4 * T * D * D, 2 * T * T * D)


@lru_cache(maxsize=256)
@torch.no_grad()
def measure(T: int, D: int) -> Times:
    """The medians of a few rounds, now; the same numbers go in each time.

    Beyond MOST tokens the first MOST steps, or rows of attention, are run, and what they took is
    multiplied; every row still looks at all T keys.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cell, layer = rnn.RNNCell(D, D), attention.MultiHeadAttention(D, HEADS)
        library, inputs = rnn.fused(cell), torch.randn(1, T, D)
    first = inputs[:, :MOST]
    share = T / first.shape[1]
    query, (key, value) = layer.queries(first), layer.keys_values(inputs)
    calls: list[tuple[float, Callable[[], object]]] = [
        (share, lambda: rnn.unroll(cell, first)),
        (share, lambda: library(first)),
        (1.0, lambda: layer.keys_values(inputs)),
        (share, lambda: layer.output(layer.queries(first).transpose(1, 2).reshape(first.shape))),
        (share, lambda: attention.attention(query, key, value)),
    ]
    library(first[:, :1])  # the first call of a new layer takes longer
    taken: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    while len(taken[0]) < ROUNDS and (not taken[0] or time.perf_counter() - began < ENOUGH):
        for (factor, call), row in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            row.append(factor * (time.perf_counter() - start))
    loop, fused, memory, asked, pairs = map(median, taken)
    return Times(loop, fused, memory + asked, pairs)
