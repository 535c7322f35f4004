"""Wrong numbers that look like a mistake anyone can make in any exercise.

Each test below sees all the cases that went wrong at once and must explain every one of them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Pair(NamedTuple):
    """Expected and got of one shape, with at least one axis; d is the width of the first input."""

    expected: Tensor
    got: Tensor
    d: int
    rtol: float
    atol: float

    def equals(self, other: Tensor) -> bool:
        return near(self.got, other, self.rtol, self.atol)


def near(one: Tensor, other: Tensor, rtol: float, atol: float) -> bool:
    """Equal shapes, the same places not finite, and the rest within the tolerance."""
    if one.shape != other.shape or one.is_complex() or one.device != other.device:
        return False
    one, other = one.double(), other.double()
    finite = one.isfinite()
    if not torch.equal(finite, other.isfinite()):
        return False
    return torch.allclose(one[finite], other[finite], rtol, atol)


def shapes(pairs: list[tuple[Tensor, Tensor]]) -> str:
    """A sentence on results of the wrong shape, given as (expected, got), or ""."""
    if all(e.dim() >= 2 and got.shape == e.mT.shape for e, got in pairs):
        return " The last two axes are swapped."
    if all(got.shape == e.shape[:-1] for e, got in pairs):
        return " The last axis is gone: summed or indexed away?"
    if all(got.squeeze().shape == e.squeeze().shape for e, got in pairs):
        return " An axis of length 1 is too many, or missing."
    return ""


def values(pairs: list[Pair]) -> tuple[str, str] | None:
    """(name, sentence) for results of the right shape with wrong numbers."""
    for test in (_rounding, _moved, _factor, _axis, _temperature, _row_sums):
        if found := test(pairs):
            return found
    return None


def _rounding(pairs: list[Pair]) -> tuple[str, str] | None:
    def within(tolerance: float) -> bool:
        return all(near(pair.got, pair.expected, tolerance, tolerance) for pair in pairs)

    if within(1e-6) and all(pair.expected.dtype == torch.float64 for pair in pairs):
        return (
            "float32",
            "Right to about seven digits, but the input is float64: somewhere your numbers pass "
            "through float32.",
        )
    if not within(1e-3):
        return None
    if all(bool((pair.expected == pair.expected.round()).all()) for pair in pairs):
        return None  # whole numbers are not rounded
    worst = max(float((pair.got - pair.expected).abs().nan_to_num().max()) for pair in pairs)
    return (
        "rounding",
        f"Almost: off by at most {worst:.1e}. That is more than rounding does. Is a small constant "
        "added somewhere?",
    )


_MOVES: tuple[tuple[str, Callable[[Tensor], Tensor], str], ...] = (
    ("transposed", lambda t: t.mT if t.dim() > 1 else t, "Rows and columns are swapped."),
    ("sign", lambda t: -t, "Right but for the sign: every number is negated."),
    ("shifted", lambda t: t.roll(1, -1), "Right, but shifted by one place along the row."),
    ("shifted", lambda t: t.roll(-1, -1), "Right, but shifted by one place along the row."),
    ("reversed", lambda t: t.flip(-1), "Right, but every row stands in reverse order."),
    ("shifted-rows", lambda t: t.roll(1, -min(2, t.dim())), "Right, but shifted by one row."),
    ("shifted-rows", lambda t: t.roll(-1, -min(2, t.dim())), "Right, but shifted by one row."),
)


def _moved(pairs: list[Pair]) -> tuple[str, str] | None:
    for name, move, sentence in _MOVES:
        if all(pair.equals(move(pair.expected)) for pair in pairs):
            return name, sentence
    return None


def _factor(pairs: list[Pair]) -> tuple[str, str] | None:
    if all(pair.expected.numel() == 1 for pair in pairs):
        return None  # any wrong number is some factor of the right one
    factors = []
    for pair in pairs:
        expected, got = pair.expected.double(), pair.got.double()
        factor = float((expected * got).sum() / (expected * expected).sum().clamp(min=1e-30))
        if not math.isfinite(factor) or not pair.equals(expected * factor):
            return None
        factors.append(factor)
    if not any(factors):
        return "zero", "Every number is 0."
    return "factor", f"Right but for a factor: your numbers are {_times(pairs, factors)}."


def _axis(pairs: list[Pair]) -> tuple[str, str] | None:
    def sums(table: Tensor, axis: int) -> bool:
        total = table.double().sum(axis)
        return near(total, torch.ones_like(total), 1e-3, 0)

    if any(pair.expected.dim() < 2 for pair in pairs):
        return None
    columns = all(sums(pair.got, -2) and not sums(pair.got, -1) for pair in pairs)
    if columns and all(sums(pair.expected, -1) for pair in pairs):
        return "wrong-axis", "Your columns sum to 1, your rows do not. Which axis is the sum over?"
    return None


def _temperature(pairs: list[Pair]) -> tuple[str, str] | None:
    """Two softmaxes of the same scores differ by a factor of their centred logarithms."""
    logs = []
    for pair in pairs:
        expected, got = pair.expected.double(), pair.got.double()
        total = expected.sum(-1)
        if not near(total, torch.ones_like(total), 1e-3, 0) or float(got.min()) <= 0:
            return None
        one, other = (x.clamp(min=1e-30).log() for x in (expected, got))
        logs.append((one - one.mean(-1, keepdim=True), other - other.mean(-1, keepdim=True)))
    factors = [float((one * other).sum() / (one * one).sum()) for one, other in logs]
    fits = [near(other, one * c, 1e-2, 1e-3) for (one, other), c in zip(logs, factors, strict=True)]
    if not all(fits) or all(math.isclose(factor, 1, rel_tol=1e-2) for factor in factors):
        return None
    text = _times(pairs, factors)
    return "temperature", f"This is the softmax of other scores: yours are {text}."


def _row_sums(pairs: list[Pair]) -> tuple[str, str] | None:
    expected = torch.cat([pair.expected.double().sum(-1).flatten() for pair in pairs])
    got = torch.cat([pair.got.double().sum(-1).flatten() for pair in pairs])
    if not near(expected, torch.ones_like(expected), 1e-3, 0) or near(got, expected, 1e-3, 0):
        return None
    first = float(got[(got - 1).abs() > 1e-3][0])  # of the input that is shown, if it has one
    return "row-sums", f"Weights sum to 1 in each row; one of your rows sums to {first:.3g}."


def _times(pairs: list[Pair], factors: list[float]) -> str:
    """A sequence of factors in words: √d where that explains them all."""
    for power, words in ((0.5, "√d times too large"), (-0.5, "√d times too small")):
        wide = any(pair.d > 1 for pair in pairs)
        if wide and all(
            math.isclose(factor, pair.d**power, rel_tol=1e-2)
            for pair, factor in zip(pairs, factors, strict=True)
        ):
            return f"{words} (d is the length of a query)"
    if math.isclose(min(factors), max(factors), rel_tol=1e-2):
        return f"{factors[0]:.3g} times what they should be"
    return f"{factors[0]:.3g} times what they should be here, and other factors elsewhere"
