"""schedules.py: each share of the rate is the stated formula at every step."""

import itertools
import math

import pytest

from transformer_lab.schedules import Schedule, inverse_root, trapezoid, warmup_cosine

ALL = pytest.mark.parametrize("schedule", [warmup_cosine, inverse_root, trapezoid])


def shares(schedule: Schedule, steps: int, warmup: int) -> list[float]:
    return [schedule(step, steps, warmup) for step in range(1, steps + 1)]


@ALL
def test_the_rate_rises_on_a_line_to_one(schedule: Schedule) -> None:
    rates = shares(schedule, 100, 10)
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert max(rates) == 1


@ALL
def test_after_the_warm_up_the_rate_never_rises_nor_reaches_zero(schedule: Schedule) -> None:
    for warmup in (0, 1, 30, 99):
        rates = shares(schedule, 100, warmup)[max(warmup - 1, 0) :]
        assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
        assert rates[-1] > 0


def test_the_cosine_falls_to_a_tenth_through_the_middle() -> None:
    rates = shares(warmup_cosine, 110, 10)
    assert rates[-1] == pytest.approx(0.1)
    assert rates[59] == pytest.approx(0.55)
    assert warmup_cosine(110, 110, 10, floor=0.0) == pytest.approx(0, abs=1e-15)


def test_the_inverse_root_is_the_formula_of_2017() -> None:
    width, warmup = 512, 4000
    full = (width * warmup) ** -0.5
    for step in (1, 17, 3999, 4000, 4001, 100_000):
        paper = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert full * inverse_root(step, 100_000, warmup) == pytest.approx(paper, rel=1e-12)


def test_the_trapezoid_rises_holds_and_falls() -> None:
    rates = shares(trapezoid, 20, 4)
    assert rates[:4] == [0.25, 0.5, 0.75, 1]
    assert rates[4:17] == [1] * 13
    assert rates[17:] == pytest.approx([0.75, 0.5, 0.25])


def test_a_trapezoid_that_still_holds_can_be_made_longer() -> None:
    assert shares(trapezoid, 20, 4)[:16] == shares(trapezoid, 40, 4)[:16]


def test_a_trapezoid_without_a_hold_is_a_triangle() -> None:
    rates = [trapezoid(step, 10, 5, decay=1.0) for step in range(1, 11)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


@ALL
@pytest.mark.parametrize(
    ("step", "steps", "warmup", "named"),
    [
        (1, 0, 0, "steps must .*, got 0"),
        (1, 5, 5, "warmup must .* below 5, got 5"),
        (1, 5, -1, "warmup must .*, got -1"),
        (0, 5, 1, "step must .*, got 0"),
        (6, 5, 1, "step must .* at most 5, got 6"),
    ],
)
def test_a_step_that_cannot_be_is_named(
    schedule: Schedule, step: int, steps: int, warmup: int, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        schedule(step, steps, warmup)


def test_a_shape_that_cannot_be_is_named() -> None:
    for floor in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="floor must"):
            warmup_cosine(1, 5, 1, floor=floor)
    for decay in (0, 1.1, math.nan):
        with pytest.raises(ValueError, match="decay must"):
            trapezoid(1, 5, 1, decay=decay)
