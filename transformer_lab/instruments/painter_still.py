"""The mask painter without a browser: the mask, its weights and its reach; or all three masks."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transformer_lab.instruments import still
from transformer_lab.instruments.flow import leaks
from transformer_lab.look import LOSS, QUERY, cut

WIDTH, TOP, LEFT, APART = 700, 84, 44, 228  # pixels
SIDE = 184  # of the largest grid
MAY, REACHED = (86, 180, 233), (198, 222, 240)
FUTURE = tuple(bytes.fromhex(LOSS[1:]))
TITLES = {
    "encoder": "encoder: source to source",
    "decoder": "decoder: target to target",
    "cross": "across: target to source",
}


class Grid(NamedTuple):
    """Colours (T, S, 3), where it is hatched, what is written into a cell, and its title."""

    colours: NDArray[np.uint8]
    masked: NDArray[np.bool_] | None
    text: Callable[[int, int], str]
    title: str
    before: int = 0  # earlier keys: how far row 0 stands behind column 0


def picture(
    masks: Mapping[str, Tensor], part: str, weights: Tensor, first: Tensor, title: str = ""
) -> bytes:
    """A PNG, 7 inches wide."""
    three, (T, S) = len(masks) > 1, masks[part].shape
    cells = {name: min(30, SIDE // max(grid.shape)) for name, grid in masks.items()}
    tall = max(cells[name] * grid.shape[0] for name, grid in masks.items())
    below = T * cells[part] + 72 if three else 0
    sheet = still.Sheet(WIDTH, TOP + tall + 22 + below)
    words = "Three masks of an encoder and a decoder" if three else "Who may look at whom"
    sheet.write(20, 26, cut(title or words, 80), fontsize=10.5)
    before = 0 if three else max(0, S - T)
    for i, (name, grid) in enumerate(masks.items()):
        _draw(sheet, LEFT + i * APART, TOP, cells[name], _mask(grid, name, before))
    x, y = (LEFT, TOP + tall + 72) if three else (LEFT + APART, TOP)
    hidden, numbers, ahead = ~masks[part].numpy(), first.numpy(), _future(first > 0, part)
    shares = Grid(
        still.cividis(weights.numpy()),
        hidden,
        lambda t, s: f"{round(float(weights[t, s]), 9):.2f}"[1:] if weights[t, s] < 0.995 else "1",
        f"weights of the {part}" if three else "weights",
        before,
    )
    _draw(sheet, x, y, cells[part], shares)
    colours = np.full((T, S, 3), 255, np.uint8)
    colours[numbers > 0] = REACHED
    colours[ahead] = FUTURE
    heard = Grid(
        colours,
        None,
        lambda t, s: str(numbers[t, s]) if numbers[t, s] else "",
        "reach, in layers",
        before,
    )
    _draw(sheet, x + APART, y, cells[part], heard)
    return sheet.png()


def _future(cells: Tensor, part: str) -> NDArray[np.bool_]:
    """Those of the cells that lie ahead of their row."""
    found = np.zeros(cells.shape, bool)
    for t, s in leaks(cells, part):
        found[t, s] = True
    return found


def _mask(grid: Tensor, part: str, before: int) -> Grid:
    colours, ahead = np.full((*grid.shape, 3), MAY, np.uint8), _future(grid, part)
    colours[ahead] = FUTURE
    title = TITLES.get(part, "may look")
    return Grid(colours, ~grid.numpy(), lambda t, s: "!" if ahead[t, s] else "", title, before)


def _draw(sheet: still.Sheet, x: int, y: int, cell: int, grid: Grid) -> None:
    """Cells with a line between them, positions at the edges."""
    T, S = grid.colours.shape[:2]
    blocks = grid.colours.repeat(cell, 0).repeat(cell, 1)
    if grid.masked is not None:
        hidden = grid.masked.repeat(cell, 0).repeat(cell, 1)
        blocks[hidden] = still.hatch(*hidden.shape)[hidden]
    blocks[::cell], blocks[:, ::cell] = 224, 224
    sheet.image(x, y, blocks)
    sheet.write(x, y - 28, grid.title, fontsize=8.5)
    small = 8 if cell > 17 else 6.5
    for t in range(T):
        at = {"ha": "right", "va": "center", "color": QUERY, "fontsize": small}
        sheet.write(x - 6, y + (t + 0.5) * cell, str(t + grid.before), **at)
    for s in range(S):
        middle = x + (s + 0.5) * cell
        sheet.write(middle, y - 7, str(s), ha="center", color="#a84a00", fontsize=small)
    for t, s in np.ndindex(T, S):
        text = "" if grid.masked is not None and grid.masked[t, s] else grid.text(t, s)
        if len(text) * 7 > cell:
            continue
        ink = "white" if grid.colours[t, s].astype(int).sum() < 330 else "black"
        at = {"ha": "center", "va": "center", "color": ink, "fontsize": 7.5}
        sheet.write(x + (s + 0.5) * cell, y + (t + 0.54) * cell, text, **at)
