"""The head desk without a browser: all heads small, what changes by token, what comes next."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transformer_lab.instruments import attention_still, still, words
from transformer_lab.instruments.desk_run import Answer, Pieces, Place
from transformer_lab.instruments.heads import Heads
from transformer_lab.look import cut, visible

WIDTH, X, Y, ROW = 700, 385, 92, 18  # pixels; X, Y: top left of the right half
NAMES, ZERO = X + 90, {True: X + 170, False: X + 110}  # where names end, where bars begin
MOST = 12  # tokens with a bar
LESS, MORE, BAR = ([0, 114, 178], [204, 102, 0], [155, 155, 155])


def signed(x: float) -> str:
    """Two places with a true sign, the same text whatever the last bits of a float are."""
    text = f"{abs(round(x, 9)):.2f}"
    return ("−" if x < 0 and float(text) else "+") + text


def picture(
    ours: Heads,
    pieces: Pieces,
    answers: tuple[Answer, Answer],
    counted: NDArray[np.bool_],
    silenced: Sequence[Place],
    query: int,
    title: str = "",
) -> bytes:
    """A PNG, 7 inches wide: thumbnails, silenced ones crossed out, and the change by token."""
    before, after = answers
    L, H = ours.weights.shape[:2]
    side = int(np.clip(324 / H - attention_still.GAP, 4, 90))
    tokens = min(int(counted.sum()), MOST)
    top = before.ids.shape[1]
    height = max(
        attention_still.TOP + L * (side + attention_still.GAP) + 30,
        Y + tokens * ROW + (50 + top * ROW if top else 10) + 10,
    )
    sheet = still.Sheet(WIDTH, height)
    size = f"{words.few(L, 'layer')} × {words.few(H, 'head')}"
    count = f"{words.few(len(silenced), 'head')} silenced" if silenced else "no head silenced"
    sheet.write(attention_still.LEFT, 26, cut(title or f"{size}, {count}", 80), fontsize=10)
    attention_still.thumbnails(sheet, ours, [], side)
    for layer, head in silenced:
        _cross(sheet, head, ours.layers.index(layer), side)
    if not top:
        said = f"states move by {after.value:.2f} of their length"
    elif silenced:
        said = f"loss {before.value:.2f} → {after.value:.2f} nats per token"
    else:
        said = f"loss {before.value:.2f} nats per token"
    sheet.write(X, attention_still.TOP - 6, said, fontsize=10)
    change = after.tokens - before.tokens if top else after.tokens
    _changes(sheet, ours, np.round(change.astype(float), 2) + 0.0, counted, bool(top))
    if top:
        _next(sheet, ours, pieces, answers, query, Y + tokens * ROW + 30)
    return sheet.png()


def _cross(sheet: still.Sheet, column: int, row: int, side: int) -> None:
    """A white field with a diagonal cross where a head is silenced."""
    step = side + attention_still.GAP
    pixels = np.full((side, side, 3), 240, np.uint8)
    for i in range(side):
        pixels[i, max(0, i - 1) : i + 2] = pixels[i, max(0, side - 2 - i) : side + 1 - i] = 80
    x, y = attention_still.LEFT + column * step, attention_still.TOP + row * step
    sheet.image(x, y, pixels)


def _changes(
    sheet: still.Sheet, ours: Heads, change: np.ndarray, counted: NDArray[np.bool_], both: bool
) -> None:
    """The tokens that change most, in the order of the text, as bars; both: less or more."""
    which = counted.nonzero()[0]
    most = np.sort(which[np.argsort(-abs(change[which]), kind="stable")[:MOST]])
    word = "change of each token" if len(most) == len(which) else f"the {MOST} that change most"
    sheet.write(X, Y - 18, word, color=still.QUIET)
    limit, zero, room = max(0.01, float(abs(change).max())), ZERO[both], 70 if both else 130
    for i, token in enumerate(most):
        y, x = Y + ROW * i, float(change[token])
        long = round(room * abs(x) / limit)
        sheet.write(NAMES, y, cut(visible(ours.rows[token]), 12), ha="right", va="center")
        if long:
            bar = np.full((10, long, 3), MORE if x > 0 else LESS, np.uint8)
            sheet.image(zero if x > 0 else zero - long, y - 5, bar)
        number = signed(x) if both else f"{x:.2f}"
        sheet.write(WIDTH - 10, y, number, ha="right", va="center")


def _next(
    sheet: still.Sheet,
    ours: Heads,
    pieces: Pieces,
    answers: tuple[Answer, Answer],
    query: int,
    y: int,
) -> None:
    """The likeliest tokens behind one token, before and after."""
    sheet.write(X, y - 16, f"next after {words.names(ours.rows)[query]}", fontsize=8.5)
    for x, word, answer in zip((X, X + 160), ("all heads", "now"), answers, strict=True):
        sheet.write(x, y, word, color=still.QUIET)
        for i, number in enumerate(answer.ids[query]):
            share, row = round(float(answer.shares[query, i]), 2), y + ROW * (i + 1)
            sheet.write(x, row, cut(visible(pieces[int(number)]), 10), va="center")
            long = max(1, round(44 * share))
            sheet.image(x + 72, row - 4, np.full((8, long, 3), BAR, np.uint8))
            sheet.write(x + 78 + long, row, f"{share:.2f}", va="center")
