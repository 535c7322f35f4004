"""The position explorer without a browser: its sentence and the picture of the open tab."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from transformer_lab.instruments import words
from transformer_lab.instruments.bench_still import Drawing, number
from transformer_lab.instruments.still import diverging
from transformer_lab.look import KEY, QUERY, cut, visible
from transformer_lab.positions import alibi_slopes, rotary, sinusoidal

if TYPE_CHECKING:
    from transformer_lab.instruments.position_explorer import PositionExplorer

WIDTH, LEFT, RIGHT = 700, 60, 670  # pixels
LINE, THIN, QUIET = "#d9d9d9", "#8c8c8c", "#595959"
TITLES = {
    "waves": "What is added at each position",
    "distance": "How alike two positions are",
    "hands": "Rotary positions as clock hands",
    "slopes": "What distance costs each head",
    "move": "What changes when a word changes its place",
}


def describe(one: "PositionExplorer") -> str:
    """A sentence or two about the open tab, rounded so that every machine says the same."""
    m, n, base, apart = one.position, one.other, f"{one.base:,.0f}", abs(one.position - one.other)
    if one.tab == "waves":
        row = [number(x) for x in _waves(one)[m].tolist()]
        slow = 2 * math.pi * one.base ** ((one.width - 2) / one.width)
        return (
            f"Sinusoidal positions, {one.length} × {one.width}, base {base}. Row {m} begins "
            f"{', '.join(row[:4])}. The fastest wave repeats every 6.28 positions, the slowest "
            f"every {slow:,.0f}."
        )
    if one.tab == "distance":
        here, waves = float(one.products()[n]), _waves(one)
        products = (waves @ waves.T).diagonal(apart).tolist()
        said = f"PE({m}) · PE({n}) = {number(here)}"
        if one.cosine:
            every = f"Any two positions {apart} apart give it."
            return f"{said} at width {one.width}, base {base}. {every}"
        return (
            f"Without the cosine {said} at width {one.width}, base {base}. Two positions {apart} "
            f"apart give between {number(min(products))} and {number(max(products))}."
        )
    if one.tab == "hands":
        return (
            f"A query at {m} and a key at {n}, turned as rotary positions do, base {base}: score "
            f"{number(one.hand_score())}. Moved together they keep it."
        )
    if one.tab == "slopes":
        slope = float(alibi_slopes(one.heads)[one.head])
        return (
            f"ALiBi, {words.few(one.heads, 'head')}. Head {one.head} subtracts {slope:.4g} a step, "
            f"{slope * apart:.4g} at distance {apart}."
        )
    names, now = words.names(one.tokens), one.scores()
    first = one.scores(range(len(one.tokens)))
    change = [
        f"{scheme} {number(now[scheme])}"
        if abs(now[scheme] - first[scheme]) < 0.0005
        else f"{scheme} {number(first[scheme])} → {number(now[scheme])}"
        for scheme in now
    ]
    a, b = one.order.index(one.query), one.order.index(one.key)
    looks = f"{names[one.query]} looks from {a} at {names[one.key]} at {b}"
    return f"{looks}. Scores: {', '.join(change)}."


def picture(one: "PositionExplorer") -> bytes:
    """A PNG, 7 inches wide, of the open tab."""
    height = 250 if one.tab in {"hands", "move"} else 330
    sheet = Drawing(WIDTH, height)
    sheet.write(20, 24, one.content["title"] or TITLES[one.tab], fontsize=10.5)
    DRAW[one.tab](sheet, one)
    return sheet.png()


def _waves(one: "PositionExplorer") -> Any:
    waves = sinusoidal(one.length, one.width, one.base).double()
    return waves if one.cosine or one.tab == "waves" else waves[:, ::2]


def _table(sheet: Drawing, one: "PositionExplorer") -> None:
    values, tall, wide, top = _waves(one).numpy(), 256, 300, 44
    rows = np.arange(tall) * one.length // tall
    columns = np.arange(wide) * one.width // wide
    shades = np.rint(values * 12) / 12  # finer steps would double the size of the file
    sheet.image(LEFT - 10, top, diverging(shades[rows][:, columns]))
    step = tall / one.length
    y = top + step * one.position
    sheet.frame(LEFT - 12, y - 1, wide + 4, max(3, step + 2), "#1f1f1f")
    sheet.write(LEFT - 18, y + step / 2 + 4, str(one.position), ha="right", weight="bold")
    sheet.write(LEFT - 10, top + tall + 18, "fast waves")
    sheet.write(LEFT - 10 + wide, top + tall + 18, "slow waves", ha="right")
    sheet.write(390, 54, f"Position {one.position}, written out", fontsize=9, weight="bold")
    row = values[one.position].tolist()
    for i, x in enumerate(row):
        at, line = i % 8, i // 8
        if at == 0:
            sheet.write(400, 78 + 19 * line, str(i), ha="right", color=QUIET)
        sheet.write(432 + 35 * at, 78 + 19 * line, number(x), ha="right", fontsize=7)
    sheet.write(390, top + tall + 18, "orange 1 · white 0 · blue −1", color=QUIET)


def _axes(
    sheet: Drawing, xs: tuple[float, float], ys: tuple[float, float], label: str, below: str
) -> Any:
    """A frame of light lines with numbers; gives the function from numbers to pixels."""
    top, bottom = 62, 270
    low, high = ys

    def to(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / (xs[1] - xs[0])
        return LEFT + (RIGHT - LEFT) * across, bottom - (bottom - top) * (y - low) / (high - low)

    for y in _ticks(low, high, 5):
        sheet.line([to(xs[0], y), to(xs[1], y)], LINE, 0.8)
        sheet.write(LEFT - 8, to(0, y)[1] + 4, f"{y:g}".replace("-", "−"), ha="right", color=QUIET)
    for x in _ticks(*xs, 9):
        sheet.write(
            to(x, low)[0], bottom + 18, f"{x:g}".replace("-", "−"), ha="center", color=QUIET
        )
    sheet.write(20, 50, label, color=QUIET)
    sheet.write((LEFT + RIGHT) / 2, bottom + 42, below, ha="center", color=QUIET)
    return to


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high, about so many, as scaleOf in view/position_plots.js."""
    rough = (high - low) / most or 1.0
    ten = 10.0 ** math.floor(math.log10(rough))
    step = next(ten * x for x in (1, 2, 5, 10) if ten * x >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 9) + 0.0 for i in range(first, last + 1)]


def _distance(sheet: Drawing, one: "PositionExplorer") -> None:
    waves, reach, m = _waves(one), one.length - 1, one.position
    products = (waves @ waves.T).numpy()
    some = 4 if reach < 64 else 2  # a longer table has longer curves, and more bytes
    shown = [round(i * reach / some) for i in range(some + 1)]
    low, high = min(0.0, float(products.min())), float(products.max())
    to = _axes(sheet, (-reach, reach), (low, high), "PE(m) · PE(n)", "n − m")
    for other in [*shown, m]:
        curve = [to(n - other, float(products[other, n])) for n in range(one.length)]
        sheet.line(curve, QUERY if other == m else THIN, 2.6 if other == m else 0.9)
    at = to(one.other - m, float(products[m, one.other]))
    sheet.mark(at, "o", 8, "white", "#1f1f1f")
    right = at[0] > 520
    sheet.write(
        at[0] + (-10 if right else 10),
        at[1] - 8,
        number(float(products[m, one.other])),
        ha="right" if right else "left",
        weight="bold",
    )
    sheet.write(RIGHT, 50, f"blue: m = {m}, thin: other m", ha="right", color=QUIET)


def _clocks(sheet: Drawing, one: "PositionExplorer") -> None:
    vectors = np.stack([one.content["q"], one.content["k"]])
    pairs = vectors.shape[1] // 2
    longest = float(np.hypot(vectors[:, :pairs], vectors[:, pairs:]).max()) or 1.0
    radius = min(62, 250 / pairs)
    for i, colour, name in ((0, QUERY, "q"), (1, KEY, "k")):
        at = one.position if i == 0 else one.other
        turned = rotary(torch.tensor(vectors[i])[None], at, one.base)[0].tolist()
        for pair in range(pairs):
            x, y = 20 + (WIDTH - 40) * (pair + 0.5) / pairs, 128
            if i == 0:
                ring = [
                    (x + radius * math.cos(a), y + radius * math.sin(a))
                    for a in np.linspace(0, 2 * math.pi, 60)
                ]
                sheet.line(ring, LINE, 1)
                period = 2 * math.pi * one.base ** (2 * pair / (2 * pairs))
                sheet.write(x, 214, f"round in {period:,.1f}", ha="center", color=QUIET, fontsize=7)
            tip = (x + radius * turned[pair] / longest, y - radius * turned[pair + pairs] / longest)
            sheet.line([(x, y), tip], colour, 3.5 if i == 0 else 2.4)
            long = math.dist(tip, (x, y)) or 1
            at_x = tip[0] + 9 * (tip[0] - x) / long + (5 if i == 0 else -5)
            at_y = tip[1] + 9 * (tip[1] - y) / long + 3
            sheet.write(at_x, at_y, name, ha="center", color=colour, weight="bold")
    score = number(one.hand_score())
    sheet.write(20, 240, f"query at {one.position}, key at {one.other}: score {score}")


def _slopes(sheet: Drawing, one: "PositionExplorer") -> None:
    reach, apart = one.length - 1, abs(one.position - one.other)
    slopes = alibi_slopes(one.heads).tolist()
    low = -min(reach * max(slopes), max(4.0, 1.6 * reach * slopes[one.head]))
    to = _axes(sheet, (0, reach), (low, 0), "bias", "distance between query and key")
    for head, slope in [*enumerate(slopes), (one.head, slopes[one.head])]:
        end = min(reach, -low / slope)
        chosen = head == one.head
        sheet.line(
            [to(0, 0), to(end, -slope * end)], QUERY if chosen else THIN, 2.6 if chosen else 0.9
        )
    bias = -slopes[one.head] * apart
    if bias >= low:
        sheet.mark(to(apart, bias), "o", 8, "white", "#1f1f1f")
        sheet.write(to(apart, bias)[0] + 10, to(apart, bias)[1] - 8, number(bias), weight="bold")
    sheet.write(RIGHT, 50, f"blue: head {one.head} of {one.heads}", ha="right", color=QUIET)


def _move(sheet: Drawing, one: "PositionExplorer") -> None:
    step = min(110.0, 660 / len(one.tokens))
    for place, token in enumerate(one.order):
        x = 20 + step * (place + 0.5)
        colour = {one.key: "#a84a00", one.query: QUERY}.get(token, "#1f1f1f")
        role = {one.key: "key", one.query: "query"}.get(token, "")
        sheet.write(x, 52, role, ha="center", color=colour)
        sheet.write(
            x,
            72,
            cut(visible(one.tokens[token]), max(2, int(step / 8))),
            ha="center",
            fontsize=10,
            color=colour,
        )
        sheet.write(x, 90, str(place), ha="center", color=QUIET)
    now, first = one.scores(), one.scores(range(len(one.tokens)))
    every: Sequence[float] = [0.0, *now.values(), *first.values()]
    low, span = min(every), (max(every) - min(every)) or 1.0

    def at(score: float) -> float:
        return 130 + 380 * (score - low) / span

    for i, scheme in enumerate(now):
        y, was, score = 130 + 32 * i, first[scheme], now[scheme]
        sheet.write(20, y + 4, scheme)
        sheet.line([(at(low), y), (at(low + span), y)], LINE, 0.8)
        sheet.line([(at(0), y - 8), (at(0), y + 8)], QUIET, 0.8)
        moved = abs(score - was) >= 0.0005
        if moved:
            sheet.line([(at(was), y), (at(score), y)], "#7fb8d8", 3)
            sheet.mark((at(was), y), "o", 8, "white", QUERY)
        sheet.mark((at(score), y), "o", 8, QUERY)
        said = f"{number(was)} → {number(score)}" if moved else f"{number(score)} stays"
        sheet.write(680, y + 4, said, ha="right")


DRAW = {"waves": _table, "distance": _distance, "hands": _clocks, "slopes": _slopes, "move": _move}
