"""The attention explorer without a browser: all heads small, and one head or difference large."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transformer_lab.instruments import still, words
from transformer_lab.instruments.heads import Heads

WIDTH, HEIGHT, LEFT, TOP = 700, 400, 44, 60  # pixels
Pixels = NDArray[np.uint8]


def picture(
    ours: Heads,
    layer: int,
    head: int,
    query: int | None,
    pinned: Sequence[Sequence[int]],
    title: str = "",
) -> bytes:
    """A PNG, 7 inches wide; the chosen head large unless its text is too long for that."""
    sheet = still.Sheet(WIDTH, HEIGHT)
    compare = len(pinned) == 2
    chosen = [tuple(place) for place in pinned] if compare else [(layer, head)]
    large = max(len(ours.rows), len(ours.columns)) <= 128
    L, H = ours.weights.shape[:2]
    sheet.write(LEFT, 26, title or f"{words.few(L, 'layer')} × {words.few(H, 'head')}", fontsize=10)
    side = int(np.clip(min((300 if large else 640) / H, (HEIGHT - TOP - 20) / L) - 2, 4, 90))
    _thumbnails(sheet, ours, chosen, side)
    if not large:
        return sheet.png()
    names = [f"layer {a} head {b}" for a, b in chosen]
    sheet.write(400, 26, " minus ".join(names), fontsize=10)
    if compare:
        values = ours.at(*chosen[0]) - ours.at(*chosen[1])
        limit = max(float(abs(values).max()), 0.005)
        colours, ends = still.diverging(values / limit), (f"−{limit:.2f}", f"+{limit:.2f}")
    else:
        colours, ends = still.cividis(ours.at(layer, head)), ("0", "1")
    _matrix(sheet, ours, colours, query)
    bar = still.diverging(np.linspace(-1, 1, 81)) if compare else still.cividis(np.arange(81) / 80)
    sheet.write(560, HEIGHT - 10, ends[0], ha="right", va="center", color=still.QUIET)
    sheet.image(565, HEIGHT - 15, np.repeat(bar[None], 9, axis=0))
    sheet.write(651, HEIGHT - 10, ends[1], va="center", color=still.QUIET)
    return sheet.png()


def _thumbnails(
    sheet: still.Sheet, ours: Heads, chosen: Sequence[tuple[int, ...]], side: int
) -> None:
    thumbs = ours.thumbs(side)
    rows = np.arange(side) * thumbs.shape[2] // side
    columns = np.arange(side) * thumbs.shape[3] // side
    for i, layer in enumerate(ours.layers):
        y = TOP + i * (side + 2)
        sheet.write(LEFT - 6, y + side / 2, str(layer), ha="right", va="center", color=still.QUIET)
        for head in range(ours.count):
            x = LEFT + head * (side + 2)
            sheet.image(x, y, still.cividis(thumbs[i, head][rows][:, columns] / 255))
            if i == 0 and (side >= 14 or head % 4 == 0):
                sheet.write(x + side / 2, TOP - 6, str(head), ha="center", color=still.QUIET)
            if (layer, head) in chosen:
                sheet.frame(x - 1, y - 1, side + 2, side + 2, still.QUERY)


def _matrix(sheet: still.Sheet, ours: Heads, colours: Pixels, query: int | None) -> None:
    """Rows look, columns are looked at; labels as far as they can be read."""
    T, S = colours.shape[:2]
    cell = int(np.clip(min(215 / S, 250 / T), 1, 26))
    x, y = 470, 118
    blocks = colours.repeat(cell, 0).repeat(cell, 1)
    if ours.mask is not None:
        masked = ~ours.mask.repeat(cell, 0).repeat(cell, 1)
        blocks[masked] = still.hatch(*masked.shape)[masked]
    sheet.image(x, y, blocks)
    step = max(1, -(-11 // cell))
    for i in range(0, T, step):
        colour = still.QUERY if i == query else "black"
        label = _short(ours.rows[i])
        sheet.write(x - 5, y + (i + 0.5) * cell, label, ha="right", va="center", color=colour)
    for i in range(0, S, step):
        label = _short(ours.columns[i])
        sheet.write(x + (i + 0.5) * cell, y - 5, label, ha="center", va="bottom", rotation=90)
    if query is not None:
        sheet.frame(x - 1, y + query * cell - 1, S * cell + 2, cell + 2, still.QUERY)


def _short(token: str) -> str:
    seen = words.visible(token)
    return seen if len(seen) <= 9 else seen[:8] + "…"
