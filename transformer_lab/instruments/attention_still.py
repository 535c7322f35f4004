"""The attention explorer without a browser: all heads small, and one head or difference large."""

from collections.abc import Sequence

import numpy as np

from transformer_lab.instruments import still, words
from transformer_lab.instruments.heads import Heads
from transformer_lab.look import KEY, QUERY, cut, visible

WIDTH, LEFT, TOP, GAP = 700, 30, 60, 3  # pixels
X, Y, ROOM = 460, 118, 220  # pixels: top left of the large matrix, and its largest side
MOST = 128  # tokens in the large matrix; a longer text has none
SHADES = 8  # of a thumbnail, equally wide: finer noise would double the size of the file
BARS = 6
BLUE = list(bytes.fromhex(QUERY[1:]))


def picture(
    ours: Heads,
    layer: int,
    head: int,
    query: int | None,
    pinned: Sequence[Sequence[int]],
    title: str = "",
) -> bytes:
    """A PNG, 7 inches wide: thumbnails, the chosen head or difference, and its row as bars."""
    L, H, T, S = ours.weights.shape
    large, compare = max(T, S) <= MOST, len(pinned) == 2
    chosen = [tuple(place) for place in pinned] if compare else [(layer, head)]
    side = int(np.clip((324 if large else WIDTH - 2 * LEFT) / H - GAP, 4, 90))
    cell = int(np.clip(ROOM / max(T, S), 1, 26)) if large else 0
    below = TOP + L * (side + GAP) + 40
    bars = large and not compare
    height = max(below + (BARS * 18 if bars else 0), Y + T * cell + 44)
    sheet = still.Sheet(WIDTH, height)
    size = f"{words.few(L, 'layer')} × {words.few(H, 'head')}"
    sheet.write(LEFT, 26, title or size, fontsize=10)
    thumbnails(sheet, ours, chosen, side)
    if large:
        names = [f"layer {a} head {b}" for a, b in chosen]
        sheet.write(X - 80, 26, " minus ".join(names), fontsize=10)
        _matrix(sheet, ours, chosen, cell, query)
    if bars:
        weights = ours.at(layer, head)
        _bars(
            sheet, ours, weights, int(weights.max(-1).argmax()) if query is None else query, below
        )
    return sheet.png()


def thumbnails(
    sheet: still.Sheet, ours: Heads, chosen: Sequence[tuple[int, ...]], side: int
) -> None:
    thumbs, step = ours.thumbs(side), side + GAP
    rows = np.arange(side) * thumbs.shape[2] // side
    columns = np.arange(side) * thumbs.shape[3] // side
    shades = np.minimum(thumbs.astype(int) * SHADES // 255, SHADES - 1) / (SHADES - 1)
    whole = np.full((step * len(ours.layers), step * ours.count, 3), 255, np.uint8)
    for i, layer in enumerate(ours.layers):
        for head in range(ours.count):
            small = still.cividis(shades[i, head][rows][:, columns])
            whole[i * step :, head * step :][:side, :side] = small
        y = TOP + i * step + side / 2
        sheet.write(LEFT - 6, y, str(layer), ha="right", va="center", color=still.QUIET)
    sheet.image(LEFT, TOP, whole)
    for head in range(0, ours.count, 1 if side >= 14 else 4):
        x = LEFT + head * step + side / 2
        sheet.write(x, TOP - 6, str(head), ha="center", color=still.QUIET)
    for layer, head in chosen:
        x, y = LEFT + head * step - 1.5, TOP + ours.layers.index(layer) * step - 1.5
        sheet.frame(x, y, side + 2, side + 2, QUERY if len(chosen) == 1 else KEY)


def _matrix(
    sheet: still.Sheet, ours: Heads, chosen: Sequence[tuple[int, ...]], cell: int, query: int | None
) -> None:
    """Rows look, columns are looked at; labels as far as they can be read."""
    values, ends = ours.at(*chosen[0]), ("0", "1")
    if len(chosen) == 2:
        values = values - ours.at(*chosen[1])
        limit = max(float(abs(values).max()), 0.01)
        values, ends = values / limit, (f"−{limit:.2f}", f"+{limit:.2f}")
    colour, low = (still.cividis, 0) if len(chosen) == 1 else (still.diverging, -1)
    blocks = colour(values).repeat(cell, 0).repeat(cell, 1)
    if ours.mask is not None:
        masked = ~ours.mask.repeat(cell, 0).repeat(cell, 1)
        blocks[masked] = still.hatch(*masked.shape)[masked]
    sheet.image(X, Y, blocks)
    step = -(-11 // cell)
    for i in range(0, len(ours.rows), step):
        style = {"color": QUERY if i == query else "black", "ha": "right", "va": "center"}
        sheet.write(X - 5, Y + (i + 0.5) * cell, _short(ours.rows[i]), **style)
    for i in range(0, len(ours.columns), step):
        middle = X + (i + 0.5) * cell
        sheet.write(middle, Y - 5, _short(ours.columns[i]), ha="center", va="bottom", rotation=90)
    bottom = Y + len(ours.rows) * cell + 20
    bar = colour(np.linspace(low, 1, 81))
    sheet.write(X - 5, bottom, ends[0], ha="right", va="center", color=still.QUIET)
    sheet.image(X, bottom - 4, np.repeat(bar[None], 9, axis=0))
    sheet.write(X + 86, bottom, ends[1], va="center", color=still.QUIET)
    if query is not None:
        width = len(ours.columns) * cell
        sheet.frame(X - 1, Y + query * cell - 1, width + 2, cell + 2, QUERY)


def _bars(sheet: still.Sheet, ours: Heads, weights: np.ndarray, row: int, y: int) -> None:
    """The largest weights of one row, as bars with their numbers."""
    sheet.write(LEFT, y - 12, f"{words.names(ours.rows)[row]} looks at", fontsize=9)
    largest = np.argsort(-np.round(weights[row], 2), kind="stable")[:BARS]
    for i, column in enumerate(c for c in largest if weights[row, c] >= 0.005):
        middle, long = y + 6 + 18 * i, max(1, round(150 * float(weights[row, column])))
        name = _short(ours.columns[column])
        sheet.write(LEFT + 66, middle, name, ha="right", va="center")
        sheet.image(LEFT + 72, middle - 5, np.full((10, long, 3), BLUE, np.uint8))
        sheet.write(LEFT + 78 + long, middle, f"{weights[row, column]:.2f}", va="center")


def _short(token: str) -> str:
    return cut(visible(token), 9)
