"""Cross-attention in Python as `view/crossing.js` works it out: which head, and does it agree."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def picks(attention: str, layers: int, heads: int) -> tuple[int | None, int | None]:
    """ "mean" -> (None, None), "1" -> (1, None), "1.2" -> (1, 2): a layer and a head, or None.

    Raises ValueError for a layer or head that is not there.
    """
    if attention == "mean":
        return None, None
    parts = attention.split(".") if isinstance(attention, str) else []
    numbers = [int(part) if part.isdecimal() else -1 for part in parts]
    sizes = (layers, heads)
    if len(numbers) not in (1, 2) or any(
        number not in range(size) for number, size in zip(numbers, sizes, strict=False)
    ):
        raise ValueError(
            f"attention = {attention!r}; expected 'mean', a layer '0' to '{layers - 1}', or layer "
            f"and head up to '{layers - 1}.{heads - 1}'"
        )
    return numbers[0], numbers[1] if len(numbers) == 2 else None


def looks(weights: Tensor, attention: str) -> Tensor:
    """The weights (..., L, H, S) of one head, or the mean of a layer or of all: (..., S)."""
    layer, head = picks(attention, *weights.shape[-3:-1])
    chosen = weights if layer is None else weights[..., layer : layer + 1, :, :]
    return (chosen if head is None else chosen[..., head : head + 1, :]).mean((-3, -2))


def hits(rows: Any, truth: Sequence[int]) -> tuple[int, int]:
    """How many rows (T, S) with a true place, 0 or more, have their largest weight there."""
    places = [(row, place) for row, place in zip(rows, truth, strict=True) if place >= 0]
    return sum(int(row.argmax()) == place for row, place in places), len(places)
