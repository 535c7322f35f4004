"""The Q/K/V stepper without a browser: its matrices on a sheet, one row lit."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from transformer_lab.instruments import bench_still, still
from transformer_lab.look import OUTPUT, QUERY, cut, visible

WIDTH, LEFT, GAP, TOP = 700, 20, 26, 62  # pixels
SIGNS = {
    "states": ("X", "#1f1f1f"),
    "query": ("Q", "#00629b"),
    "key": ("K", "#a84a00"),
    "value": ("V", "#00744f"),
    "scaled": ("scaled scores", "#1f1f1f"),
    "weights": ("weights", "#1f1f1f"),
    "output": ("output", "#9c4377"),
}
LINES = (("states", "query", "key", "value"), ("scaled", "weights", "output"))
LABEL = 9  # letters of a token


def picture(
    matrices: Mapping[str, Any], mask: np.ndarray, token: int, start: Mapping[str, Any]
) -> bytes:
    """A PNG, 7 inches wide: X, Q, K, V above; scores, weights and output below."""
    shown = {name: np.array(matrices[name]) for name in SIGNS if name in matrices}
    lines = [[name for name in line if name in shown] for line in LINES]
    labels = {"t": start["tokens"], "s": start["looked"]}
    side = {name: labels["s" if name in ("key", "value") else "t"] for name in shown}
    gutter = {n: 8 + 7 * max(len(cut(visible(t), LABEL)) for t in side[n]) for n in shown}
    room = [
        (WIDTH - 2 * LEFT - GAP * (len(line) - 1) - sum(gutter[n] for n in line))
        / sum(shown[n].shape[1] for n in line)
        for line in lines
    ]
    wide = int(np.clip(min(room), 8, 40))
    high = int(np.clip(wide, 8, 22))
    tall = [max(len(shown[name]) for name in line) * high for line in lines]
    sheet = bench_still.Drawing(WIDTH, TOP + sum(tall) + 46 + 20)
    sheet.write(LEFT, 24, start["title"] or "Attention, matrix by matrix", fontsize=10.5)
    y = TOP
    for line, below in zip(lines, tall, strict=True):
        x = LEFT
        for name in line:
            values = shown[name]
            _matrix(sheet, name, values, x, y, wide, high, side[name], gutter[name], mask, token)
            x += gutter[name] + values.shape[1] * wide + GAP
        y += below + 46
    return sheet.png()


def _matrix(
    sheet: bench_still.Drawing,
    name: str,
    values: np.ndarray,
    x: int,
    y: int,
    wide: int,
    high: int,
    names: list[str],
    gutter: int,
    mask: np.ndarray,
    token: int,
) -> None:
    sign, ink = SIGNS[name]
    x += gutter
    sheet.write(x, y - 7, sign, color=ink, weight="bold")
    weights, limit = name == "weights", max(float(abs(values).max()), 1e-9)
    colours = still.cividis(values) if weights else still.diverging(values / limit)
    blocks = colours.repeat(high, 0).repeat(wide, 1)
    if name in ("scaled", "weights"):
        masked = (~mask).repeat(high, 0).repeat(wide, 1)
        blocks[masked] = still.hatch(*masked.shape)[masked]
    sheet.image(x, y, blocks)
    for i, label in enumerate(names):
        text, at = cut(visible(label), LABEL), y + (i + 0.5) * high
        sheet.write(x - 5, at, text, ha="right", va="center", color=still.QUIET, fontsize=7)
    if wide >= 26:
        for (i, j), number in np.ndenumerate(values):
            if name in ("scaled", "weights") and not mask[i, j]:
                continue
            light = colours[i, j] @ np.array([0.2126, 0.7152, 0.0722]) > 118
            text = bench_still.number(float(number)) if abs(number) < 100 else f"{number:.0f}"
            style = {"fontsize": 7 if wide >= 32 else 5.5, "color": "black" if light else "white"}
            across, down = x + (j + 0.5) * wide, y + (i + 0.5) * high
            sheet.write(across, down, text, ha="center", va="center", **style)
    if name not in ("key", "value"):
        edge = OUTPUT if name == "output" else QUERY
        sheet.frame(x, y + token * high, values.shape[1] * wide, high, edge)
