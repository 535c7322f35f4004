"""The my-code lens without a browser: the stages as a list, and both matrices of one of them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer_lab.instruments import bench_still, still
from transformer_lab.look import KEY, cut, visible

WIDTH, LEFT, TOP = 700, 20, 56  # pixels
WRONG, RIGHT = "#a84a00", "#00744f"
SIGNS = {
    "equal": "equal",
    "differs": "differs",
    "shape": "other shape",
    "absent": "not handed over",
}


def number(x: float) -> str:
    """Two places and more for small numbers; NaN and infinity by name."""
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "−∞" if x < 0 else "∞"
    if abs(x) >= 1e5:
        return f"{x:.1e}".replace("-", "−").replace("e+0", "e").replace("e+", "e")
    return bench_still.number(x) if abs(x) >= 0.1 or abs(x) < 1e-9 else f"{x:.2g}".replace("-", "−")


def shares(values: Any) -> bool:
    """Whether these are weights: in [0, 1], each row summing to 1, or to 0 where all is masked."""
    sums = values.sum(-1)
    inside = np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1 + 1e-6
    return bool(inside and (np.isclose(sums, 1, atol=1e-4) | (sums == 0)).all())


def picture(
    stages: Sequence[Any],
    shown: Any,
    labels: tuple[list[str], list[str]],
    title: str,
    trouble: bool,
    first: str,
) -> bytes:
    """A PNG, 7 inches wide: each stage's verdict on the left, one stage's matrices beside it."""
    at = (
        shown.worst[:-2] if shown.status in ("equal", "differs") else (0,) * (shown.theirs.ndim - 2)
    )
    pairs = [("reference", shown.theirs[at])]
    if shown.mine is not None:
        mine = shown.mine
        pairs.insert(
            0,
            (
                "yours",
                mine[at] if mine.ndim == shown.theirs.ndim else mine.reshape(-1, mine.shape[-1]),
            ),
        )
    wide = max(values.shape[1] for _, values in pairs)
    tall = max(values.shape[0] for _, values in pairs)
    cell = int(np.clip(220 / wide, 6, 40))
    high = int(np.clip(min(cell, 320 / tall), 4, 24))
    height = max(TOP + 26 * len(stages) + 10, TOP + 34 + tall * high + 20)
    sheet = bench_still.Drawing(WIDTH, height)
    sheet.write(LEFT, 24, title or "Your code beside the reference", fontsize=10.5)
    for i, stage in enumerate(stages):
        wrong = stage.status in ("differs", "shape")
        colour = WRONG if wrong else RIGHT if stage.status == "equal" else still.QUIET
        y = TOP + 8 + 26 * i
        weight = "bold" if stage.name == first else "normal"
        sheet.write(LEFT, y, f"{i + 1} {cut(stage.name, 12)}", color=colour, weight=weight)
        mark = "first wrong" if stage.name == first else SIGNS[stage.status]
        sheet.write(LEFT, y + 11, f"  {mark}", color=colour, fontsize=7)
    rows, _ = labels
    limit = max(np.abs(shown.theirs[np.isfinite(shown.theirs)]).max(initial=0), 1e-9)
    x = 190
    for side, values in pairs:
        sheet.write(x, TOP - 2, f"{cut(shown.name, 12)}: {side}", weight="bold")
        _matrix(sheet, values, x, TOP + 10, cell, high, None if shares(shown.theirs) else limit)
        if len(rows) == len(values) and high >= 9 and side == pairs[0][0]:
            for i, label in enumerate(rows):
                text = cut(visible(label), 6)
                down = TOP + 10 + (i + 0.5) * high
                sheet.write(
                    x - 5, down, text, ha="right", va="center", color=still.QUIET, fontsize=7
                )
        if shown.status == "differs":
            i, j = shown.worst[-2:]
            sheet.frame(x + j * cell, TOP + 10 + i * high, cell, high, KEY)
        x += 255
    return sheet.png()


def _matrix(
    sheet: bench_still.Drawing,
    values: Any,
    x: int,
    y: int,
    cell: int,
    high: int,
    limit: float | None,
) -> None:
    none = ~np.isfinite(values)
    finite = np.where(none, 0, values)
    colours = still.cividis(finite) if limit is None else still.diverging(finite / limit)
    blocks, hidden = (z.repeat(high, 0).repeat(cell, 1) for z in (colours, none))
    blocks[hidden] = still.hatch(*hidden.shape)[hidden]
    sheet.image(x, y, blocks)
    if cell < 26 or high < 11:
        return
    for (i, j), value in np.ndenumerate(values):
        light = none[i, j] or colours[i, j] @ np.array([0.2126, 0.7152, 0.0722]) > 118
        text = number(float(value)) if not 1e-3 < abs(value) < 100 else f"{value:.2f}"
        text = text.replace("-", "−")
        style = {"fontsize": 7 if cell >= 34 else 5.5, "color": "black" if light else "white"}
        across, down = x + (j + 0.5) * cell, y + (i + 0.5) * high
        sheet.write(across, down, cut(text, 6), ha="center", va="center", **style)
