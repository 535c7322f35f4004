"""Training without a browser: the loss so far, and the cross-attention that has formed."""

import math
from collections.abc import Sequence
from typing import Any

from transformer_lab.instruments import still, translator_still
from transformer_lab.look import LOSS, cut

WIDTH, TOP, LOW = 700, 66, 262  # pixels; the curve stands between TOP and LOW
LEFT, RIGHT = 44, 250


class Curve(still.Sheet):
    """A sheet that also has lines."""

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        self._axes.plot(*zip(*points, strict=True), color=colour, lw=width)


def picture(
    losses: Sequence[float],
    ignorant: float,
    source: Sequence[str],
    expected: Sequence[str],
    rows: Any,
    truth: Sequence[int],
    title: str,
) -> bytes:
    """A PNG, 7 inches wide: losses on the left, the matrix (T, S) on the right."""
    grid = translator_still.TOP + translator_still.ROW * len(expected)
    sheet = Curve(WIDTH, max(LOW, grid) + 30)
    sheet.write(16, 22, cut(title, 92), fontsize=8.5)
    top = 1.05 * max([ignorant, *losses])

    def at(step: float, loss: float) -> tuple[float, float]:
        across = step / max(1, len(losses) - 1)
        return LEFT + (RIGHT - LEFT) * across, LOW - (LOW - TOP) * loss / top

    for loss in range(0, math.ceil(top)):
        sheet.line([at(0, loss), (RIGHT, at(0, loss)[1])], "#e6e6e6", 0.8)
        sheet.write(LEFT - 6, at(0, loss)[1] + 4, str(loss), ha="right", color=still.QUIET)
    sheet.line([at(0, ignorant), (RIGHT, at(0, ignorant)[1])], "#767676", 0.9)
    label = f"knows nothing {ignorant:.2f}"
    sheet.write(RIGHT, at(0, ignorant)[1] + 14, label, ha="right", color=still.QUIET)
    if losses:
        sheet.line([at(i, loss) for i, loss in enumerate(losses)], LOSS, 1.8)
    sheet.write(LEFT, TOP - 10, "loss (nats)")
    said = f"{len(losses)} steps" if losses else "not started"
    sheet.write(RIGHT, LOW + 18, said, ha="right", color=still.QUIET)
    translator_still.grid(sheet, source, expected, rows, truth, 370, WIDTH - 12)
    return sheet.png()
