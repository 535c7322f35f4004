"""The block builder without a browser: a layer's steps, and the gradient in a stack."""

import math
from collections.abc import Sequence

from transformer_lab.instruments import still
from transformer_lab.instruments.bench_still import Drawing
from transformer_lab.instruments.block import Parts, Step
from transformer_lab.look import LOSS, cut

WIDTH, TOP, ROW = 700, 66, 30
STREAM, INNER, CODE = 62, 176, 248  # x of the two columns of the diagram, and of the code
LEFT, RIGHT, FLOOR, CEILING = 520, 682, 280, 76
INK, LINE = "#1f1f1f", "#9a9a9a"


def called(parts: Parts) -> str:
    """ "A layer without residual", "A post-norm layer with all its parts"."""
    missing = [
        name.replace("_", "-")
        for name, on in zip(parts._fields[:4], parts[:4], strict=True)
        if not on
    ]
    kind = f"{parts.place}-norm layer" if parts.norm else "layer"
    if not missing:
        return f"A {kind} with all its parts"
    listed = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
    return f"A {kind} without {listed}"


def ratio(x: float) -> str:
    """Two digits: 3.2, 240, 2.4·10⁻⁵."""
    digits, _, power = f"{x:.1e}".partition("e")
    exponent = int(power)
    if -3 < exponent < 4:
        return f"{float(f'{x:.1e}'):.{max(0, 1 - exponent)}f}"
    raised = str(exponent).replace("-", "⁻").translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}·10{raised}"


def picture(
    title: str,
    parts: Parts,
    steps: Sequence[Step],
    counts: Sequence[int],
    gradient: Sequence[float],
    whole: Sequence[Sequence[float]],
) -> bytes:
    """A PNG, 7 inches wide: diagram and code side by side, the gradient to their right."""
    sheet = Drawing(WIDTH, 340)
    sheet.write(20, 24, cut(title or called(parts), 60), fontsize=11)
    sheet.write(20, 46, f"{sum(counts):,} parameters in a layer", color=still.QUIET)
    sheet.write(LEFT - 38, 46, "gradient, top layer = 1", color=still.QUIET)
    _block(sheet, steps)
    _profile(sheet, gradient, whole)
    return sheet.png()


def _block(sheet: Drawing, steps: Sequence[Step]) -> None:
    """Lines stop where a box begins: what is filled lies below them."""

    def y(row: int) -> float:
        return TOP + ROW * row + ROW / 2

    inner = any(step.writes == "x" for step in steps)
    code, begin = (CODE if inner else CODE - INNER + STREAM), float(TOP)
    for row, step in enumerate(steps):
        x = INNER if step.writes == "x" else STREAM
        if step.kind == "add":
            sheet.line([(INNER, y(row - 1) + 10), (INNER, y(row)), (STREAM + 9, y(row))], INK, 1.2)
        elif step.reads != step.writes:
            sheet.line([(STREAM, y(row)), (x - 47, y(row))], INK, 1.2)
        elif x == INNER:
            sheet.line([(x, y(row - 1) + 10), (x, y(row) - 10)], INK, 1.2)
        if step.kind == "add":
            sheet.mark((STREAM, y(row)), "o", 13, "white", INK)
            sheet.write(STREAM, y(row) + 4, "+", ha="center", fontsize=10)
        else:
            box = [(x - 47, y(row) - 10), (x + 47, y(row) - 10), (x + 47, y(row) + 10)]
            sheet.fill([*box, (x - 47, y(row) + 10)], "#f4f2ee", INK)
            sheet.write(x, y(row) + 3, step.kind, ha="center")
        if x == STREAM:
            sheet.line([(STREAM, begin), (STREAM, y(row) - 10)], INK, 1.6)
            begin = y(row) + 10
        sheet.write(code, y(row) + 3, step.line, fontsize=7)
    sheet.line([(STREAM, begin), (STREAM, y(len(steps)) + 8)], INK, 1.6)
    sheet.write(code, y(len(steps)) + 3, "return states", fontsize=7, color=still.QUIET)


def _profile(sheet: Drawing, gradient: Sequence[float], whole: Sequence[Sequence[float]]) -> None:
    logs = [math.log10(x) for line in (gradient, *whole) for x in line]
    low, high = math.floor(min(logs) - 0.2), math.ceil(max(logs) + 0.2)

    def at(i: int, x: float) -> tuple[float, float]:
        share = (math.log10(x) - low) / (high - low)
        return (LEFT + (RIGHT - LEFT) * i / (len(gradient) - 1), FLOOR - (FLOOR - CEILING) * share)

    for power in range(low, high + 1, max(1, (high - low) // 5)):
        y = at(0, 10.0**power)[1]
        sheet.line([(LEFT, y), (RIGHT, y)], "#e4e4e4", 0.8)
        sheet.write(LEFT - 6, y + 3, _power(power), ha="right", fontsize=7, color=still.QUIET)
    for line in whole:
        sheet.line([at(i, x) for i, x in enumerate(line)], LINE, 1)
    sheet.line([at(i, x) for i, x in enumerate(gradient)], LOSS, 2.4)
    for i, x in enumerate(gradient):
        sheet.mark(at(i, x), "o", 4, LOSS, INK)
    sheet.write(LEFT, FLOOR + 16, "embedding", fontsize=7, color=still.QUIET)
    sheet.write(RIGHT, FLOOR + 16, f"layer {len(gradient) - 1}", ha="right", fontsize=7,
                color=still.QUIET)  # fmt: skip
    sheet.write(LEFT, FLOOR + 34, "grey: all parts, pre and post", fontsize=7, color=still.QUIET)


def _power(n: int) -> str:
    return f"{10.0**n:g}" if -3 < n < 4 else ratio(10.0**n).removeprefix("1.0·")
