"""The learning rate over time. Each function gives the share of the full rate at a step.

step counts from 1 to steps; during the first `warmup` steps the share rises on a line to 1. Give
train one of these, or any function of (step, steps, warmup): functools.partial sets the rest.
All raise ValueError for a step outside 1..steps and for a warmup outside 0..steps - 1.
"""

import math
from collections.abc import Callable

from transformer_lab.bounds import check_number

Schedule = Callable[[int, int, int], float]


def warmup_cosine(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    """Up on a line, then down on half a cosine to `floor` (Loshchilov and Hutter 2017)."""
    check(step, steps, warmup)
    check_number("floor", floor, least=0, most=1)
    if step <= warmup:
        return step / warmup
    done = (step - warmup) / (steps - warmup)
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2


def inverse_root(step: int, steps: int, warmup: int) -> float:
    """Up on a line, then down as 1/√step, whatever the length (Vaswani et al. 2017, section 5.3).

    With the full rate (d_model · warmup)^-½ it is that paper's formula.
    """
    check(step, steps, warmup)
    top = max(warmup, 1)
    return min(step / top, math.sqrt(top / step))


def trapezoid(step: int, steps: int, warmup: int, decay: float = 0.2) -> float:
    """Up on a line, hold, then down on a line during the last `decay` share of the steps.

    The line would reach 0 one step after the last (Hägele et al. 2024, section 3). Nothing before
    the fall depends on `steps`, so a run that still holds can be resumed with more of them.
    """
    check(step, steps, warmup)
    check_number("decay", decay, above=0, most=1)
    up = step / warmup if warmup else 1.0
    down = (steps + 1 - step) / max(1, round(decay * steps))
    return min(up, 1.0, down)


def check(step: int, steps: int, warmup: int) -> None:
    """Raise ValueError unless 0 <= warmup < steps and 1 <= step <= steps, all whole numbers."""
    check_number("steps", steps, least=1, integer=True)
    check_number("warmup", warmup, least=0, below=steps, integer=True)
    check_number("step", step, least=1, most=steps, integer=True)
