"""The temperature dial's numbers: seeded queries and keys, and what softmax makes of their scores.

The same seeded numbers as `view/draws.js`, so that the browser can work alone. 256 queries and 256
keys of width 1024 are drawn once; a smaller d takes their first d numbers, fewer keys the first S.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROWS, KEYS, WIDEST = 256, 256, 1024
WIDTHS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
SIZES = (2, 4, 8, 16, 32, 64, 128, 256)
EXPONENTS = (0.0, 0.5, 1.0)
SATURATED = 0.99


class Numbers(NamedTuple):
    """Of all rows: the scores' standard deviation, the mean entropy in nats, the share of rows
    with a weight above .99, and the mean Frobenius norm of the softmax's Jacobian."""

    spread: float
    entropy: float
    saturated: float
    gradient: float


def mixed(counter: NDArray[np.uint32], seed: int) -> NDArray[np.uint32]:
    """One step of mulberry32 for each counter: 32 bits that look random."""
    u = np.uint32
    with np.errstate(over="ignore"):
        t = u(seed & 0xFFFFFFFF) + (counter + u(1)) * u(0x6D2B79F5)
        t = (t ^ (t >> u(15))) * (t | u(1))
        t ^= t + (t ^ (t >> u(7))) * (t | u(61))
    return t ^ (t >> u(14))


def normals(seed: int, start: int, count: int) -> Floats:
    """Standard normal numbers start..start+count-1 of this seed (Box and Muller 1958)."""
    index = np.arange(start, start + count, dtype=np.uint32)
    u = (mixed(2 * index, seed) + 0.5) / 2**32
    v = mixed(2 * index + 1, seed) / 2**32
    return np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)


@lru_cache(maxsize=4)
def _drawn(seed: int) -> tuple[Floats, Floats]:
    numbers = normals(seed, 0, (ROWS + KEYS) * WIDEST).reshape(ROWS + KEYS, WIDEST)
    return numbers[:ROWS], numbers[ROWS:]


@lru_cache(maxsize=32)
def scores(seed: int, d: int) -> Floats:
    """q·k for all queries and keys, (256, 256), before any scale."""
    queries, keys = _drawn(seed)
    return queries[:, :d] @ keys[:, :d].T


def exponents(seed: int, d: int, S: int, exponent: float, temperature: float) -> Floats:
    """What goes into the softmax: q·k · d^-exponent / temperature, (256, S)."""
    return scores(seed, d)[:, :S] * (d**-exponent / temperature)


def numbers(seed: int, d: int, S: int, exponent: float, temperature: float) -> Numbers:
    """Spread, entropy, saturated rows and gradient at this setting."""
    x = exponents(seed, d, S, exponent, temperature)
    low = x - x.max(1, keepdims=True)
    total = np.exp(low).sum(1, keepdims=True)
    p = np.exp(low) / total
    entropy = (p * (np.log(total) - low)).sum(1)
    two, three = (p**2).sum(1), (p**3).sum(1)
    gradient = np.sqrt(np.maximum(0, two - 2 * three + two**2))  # ‖diag(p) − p pᵀ‖
    return Numbers(
        float(x.std()),
        float(entropy.mean()),
        float((p.max(1) > SATURATED).mean()),
        float(gradient.mean()),
    )
