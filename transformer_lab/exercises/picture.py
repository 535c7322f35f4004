"""Expected and got as two small tables: which cells are wrong shows what kind of mistake it is."""

import math

import torch
from torch import Tensor

from transformer_lab.exercises.show import WIDE

TABLE = (
    "display: inline-table; margin: 4px 24px 4px 0; border-spacing: 2px; border-collapse: separate"
)
CAPTION = "caption-side: top; text-align: left; padding: 0; white-space: nowrap"
CELL = (
    "padding: 1px 6px; text-align: right; border: 2px {frame}; "
    "background: rgba(128, 128, 128, {shade:.2f})"
)
WRONG = "solid var(--jp-warn-color1, #f57c00); font-weight: bold"


def picture(expected: Tensor, got: Tensor, rtol: float, atol: float) -> str:
    """HTML of both tables, or "" for a single row, which says as much, and for large ones.

    The darker a cell, the larger its number; a wrong cell is framed. Of more than two axes the
    first table with a wrong cell is shown.
    """
    if expected.dim() < 2:
        return ""
    height, width = expected.shape[-2:]
    if not (1 < height <= WIDE and width <= WIDE):
        return ""
    one, other = (x.double().reshape(-1, height, width) for x in (expected, got))
    wrong = ~torch.isclose(other, one, rtol, atol)
    place = int(wrong.flatten(1).any(1).int().argmax())
    one, other, wrong = one[place], other[place], wrong[place]
    numbers = [x for x in torch.cat([one, other]).flatten().tolist() if math.isfinite(x)]
    top = max(map(abs, numbers), default=0.0) or 1.0
    digits = 0 if all(x.is_integer() for x in numbers) else 2
    right = torch.zeros_like(wrong)
    captions = ("expected", f"got: {int(wrong.sum())} of {wrong.numel()} cells wrong (framed)")
    return "".join(
        _table(caption, table, frames, top, digits)
        for caption, table, frames in zip(captions, (one, other), (right, wrong), strict=True)
    )


def _table(caption: str, table: Tensor, wrong: Tensor, top: float, digits: int) -> str:
    rows = []
    for numbers, frames in zip(table.tolist(), wrong.tolist(), strict=True):
        cells = []
        for x, framed in zip(numbers, frames, strict=True):
            shade = 0.5 * abs(x) / top if math.isfinite(x) else 0.0
            style = CELL.format(frame=WRONG if framed else "solid transparent", shade=shade)
            cells.append(f'<td style="{style}">{x + 0.0:.{digits}f}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = f'<caption style="{CAPTION}">{caption}</caption>'
    return f'<table style="{TABLE}">{head}{"".join(rows)}</table>'
