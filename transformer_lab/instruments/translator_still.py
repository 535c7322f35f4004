"""Cross-attention without a browser: pieces as rows, source words as columns, the truth framed."""

from collections.abc import Sequence
from typing import Any

from transformer_lab.instruments import still
from transformer_lab.look import cut, visible

WIDTH, LEFT, TOP, ROW = 700, 110, 66, 24  # pixels
INK = {True: "#ffffff", False: "#1f1f1f"}


def picture(
    source: Sequence[str], written: Sequence[str], rows: Any, truth: Sequence[int], title: str
) -> bytes:
    """A PNG, 7 inches wide. `rows` (T, S) are weights; truth[t] is a column, or -1."""
    sheet = still.Sheet(WIDTH, TOP + ROW * len(written) + 30)
    sheet.write(16, 22, cut(title, 92), fontsize=8.5)
    grid(sheet, source, written, rows, truth, LEFT, WIDTH - 16)
    note = "row: the piece it is about to write · column: the word it looks at"
    known = " · frame: the word that the piece translates" if any(t >= 0 for t in truth) else ""
    sheet.write(16, TOP + ROW * len(written) + 19, note + known, color=still.QUIET, fontsize=7.5)
    return sheet.png()


def grid(
    sheet: still.Sheet,
    source: Sequence[str],
    written: Sequence[str],
    rows: Any,
    truth: Sequence[int],
    left: int,
    right: int,
    top: int = TOP,
) -> None:
    """The matrix with its names, as wide as fits between left and right."""
    wide = min(84, (right - left) // len(source))
    letters = max(1, int(wide / 6.9))
    for s, word in enumerate(source):
        if wide >= 20:
            label = cut(visible(word), letters)
            sheet.write(left + wide * (s + 0.5), top - 8, label, ha="center")
    colours = still.cividis(rows)
    pixels = colours.repeat(ROW, 0).repeat(wide, 1)
    pixels[ROW - 1 :: ROW] = pixels[:, wide - 1 :: wide] = 255
    sheet.image(left, top, pixels)
    for t, piece in enumerate(written):
        y = top + ROW * t
        sheet.write(left - 8, y + 16, cut(visible(piece), 13), ha="right")
        for s, weight in enumerate(rows[t]):
            if weight >= 0.005 and wide >= 30:
                ink = INK[bool(colours[t, s].astype(int) @ [3, 6, 1] < 1250)]
                sheet.write(
                    left + wide * (s + 0.5), y + 16, f"{weight:.2f}", ha="center", color=ink
                )
        if truth[t] >= 0:
            x = left + wide * truth[t]
            sheet.frame(x + 0.5, y + 0.5, wide - 2, ROW - 2, "#1f1f1f")
            sheet.frame(x + 2, y + 2, wide - 5, ROW - 5, "#ffffff")
