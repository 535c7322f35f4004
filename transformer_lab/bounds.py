"""What numbers must be; errors name argument, value and expectation."""

import math
from typing import Any


def whole(*values: Any) -> bool:
    """Whether all are whole numbers; True and False are none."""
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


def check_number(
    name: str,
    value: Any,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    integer: bool = False,
) -> None:
    """Raises ValueError for what is no finite number within these bounds."""
    kind = whole(value) or (isinstance(value, float) and not integer)
    if kind and above < value < below and least <= value <= most:
        return
    bounds = {"at least": least, "above": above, "below": below, "at most": most}
    said = [f"{word} {bound}" for word, bound in bounds.items() if math.isfinite(bound)]
    expected = f"a {'whole ' if integer else ''}number {' and '.join(said)}".rstrip()
    raise ValueError(f"{name} must be {expected}, got {value!r}")
