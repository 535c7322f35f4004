"""Inputs and rows of numbers as a few aligned lines of text."""

import math
from typing import Any

import torch
from torch import Tensor

from transformer_lab.exercises.exercise import Case

WIDE = 8  # numbers of one row that are shown
SMALL = 8  # a tensor of up to so many numbers is shown whole


def plain(value: Any) -> str:
    """A dtype or device without its prefix."""
    return str(value).removeprefix("torch.")


def size(case: Case) -> int:
    """How many numbers go in: the smallest case is the easiest to look at."""
    return sum(x.numel() for x in case.inputs if isinstance(x, Tensor))


def inputs(case: Case, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """One (name, text) for each input."""
    return [(name, _input(x)) for name, x in zip(names, case.inputs, strict=False)]


def rows(
    expected: Tensor, got: Tensor, rtol: float, atol: float, parts: tuple[str, ...] = ()
) -> list[tuple[str, str]]:
    """The first row that differs, as ("expected", …) over ("got", …) in aligned columns.

    parts: names for the places of the first axis, where an answer of several tensors is stacked.
    """
    width = expected.shape[-1] if expected.dim() else 1
    one, other = (x.double().reshape(-1, width) for x in (expected, got))
    wrong = ~torch.isclose(other, one, rtol, atol)
    row = int(wrong.any(-1).int().argmax())
    start = max(0, int(wrong[row].int().argmax()) - WIDE + 1)
    columns = slice(start, start + WIDE)
    texts = _aligned(one[row, columns].tolist(), other[row, columns].tolist())
    before, after = "… " * (start > 0), " …" * (start + WIDE < width)
    lines = [
        (name, before + text + after) for name, text in zip(("expected", "got"), texts, strict=True)
    ]
    if len(one) > 1:
        place = _place(row, expected.shape[:-1])
        part = [parts[place.pop(0)]] if parts else []
        lines.insert(0, ("row", " ".join(part + [str(place)] * bool(place))))
    return lines


def _place(index: int, shape: tuple[int, ...]) -> list[int]:
    """Where a place stands in each axis. torch.unravel_index imports sympy for it, for seconds."""
    place: list[int] = []
    for length in reversed(shape):
        index, here = divmod(index, length)
        place.insert(0, here)
    return place


def value(x: Tensor) -> str:
    """A small result whole, a large one by its shape."""
    return _nested(x) if x.numel() <= SMALL else f"shape {tuple(x.shape)}"


def table(lines: list[tuple[str, str]]) -> str:
    """Names on the left, texts on the right."""
    wide = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{wide}}  {text}" for name, text in lines)


def _aligned(one: list[float], other: list[float]) -> list[str]:
    """Two rows with as few digits as tell them apart."""
    one, other = ([x + 0.0 for x in row] for row in (one, other))  # -0.0 is 0.0
    finite = [abs(x) for x in one + other if math.isfinite(x)]
    style = "f" if not finite or 1e-3 <= max(finite) < 1e5 else "e"
    if all(x.is_integer() for x in finite):
        style, start = "f", 0
    else:
        start = 3
    for digits in range(start, 17):
        texts = [[f"{x:.{digits}{style}}" for x in row] for row in (one, other)]
        if texts[0] != texts[1]:
            break
    wide = max(len(text) for row in texts for text in row)
    return ["  ".join(text.rjust(wide) for text in row) for row in texts]


def _input(x: Any) -> str:
    if not isinstance(x, Tensor):
        return _number(x) if isinstance(x, float) else repr(x)
    notes = f"shape {tuple(x.shape)}"
    if x.dtype != torch.float32:
        notes += f", {plain(x.dtype)}"
    if not x.is_contiguous():
        notes += ", not contiguous"
    return f"{_nested(x)}   {notes}" if x.numel() <= SMALL else notes


def _nested(x: Tensor) -> str:
    if x.dim() == 0:
        return _number(float(x))
    return "[" + ", ".join(_nested(part) for part in x) + "]"


def _number(x: float) -> str:
    x += 0.0  # -0.0 is 0
    if x.is_integer() and abs(x) < 2**53:
        return f"{x:.0f}"
    return f"{x:.3g}" if abs(x) < 1000 else f"{x:.6g}"
