"""The Q/K/V bench without a browser: the two planes, and the weights as bars."""

import math
from collections.abc import Sequence
from typing import Any

from transformer_lab.instruments import still
from transformer_lab.look import KEY, OUTPUT, QUERY, VALUE, cut

WIDTH, HEIGHT, SIDE, TOP = 700, 330, 240, 62  # pixels
LEFT = {"keys": 20, "values": 280, "weights": 545}
LINE = "#d9d9d9"
VALUE_INK, OUTPUT_INK = "#00744f", "#9c4377"
Point = Sequence[float]


def number(x: float) -> str:
    """Two places, a true minus sign, and the same text whatever the last bits of a float are."""
    text = f"{abs(round(x, 9)):.2f}"
    return ("−" if x < 0 and float(text) else "") + text


def point(x: Any) -> str:
    """A number, or the numbers of a point in brackets."""
    return f"({', '.join(map(number, x))})" if isinstance(x, (list, tuple)) else number(x)


class Drawing(still.Sheet):
    """A sheet with the few shapes that a plane needs."""

    def line(self, points: Sequence[Point], colour: str, width: float, style: str = "-") -> None:
        xs, ys = zip(*points, strict=True)
        self._axes.plot(xs, ys, style, color=colour, lw=width, solid_capstyle="round")

    def fill(self, points: Sequence[Point], colour: str, edge: str = "none") -> None:
        self._axes.fill(*zip(*points, strict=True), facecolor=colour, edgecolor=edge, lw=0.8)

    def mark(self, at: Point, shape: str, size: float, colour: str, edge: str = "none") -> None:
        self._axes.plot(*at, shape, ms=size, mfc=colour, mec=edge, mew=0.9)

    def arrow(self, start: Point, end: Point, colour: str, width: float) -> None:
        long = math.dist(start, end)
        if long == 0:
            return
        head = min(10 + width, long)
        u, v = (end[0] - start[0]) / long, (end[1] - start[1]) / long
        x, y, wide = end[0] - u * head, end[1] - v * head, 0.42 * head
        self.line([start, (x + 0.2 * u * head, y + 0.2 * v * head)], colour, width)
        self.fill([end, (x - v * wide, y + u * wide), (x + v * wide, y - u * wide)], colour)


def picture(
    names: Sequence[str],
    query: Point,
    keys: Sequence[Point],
    values: Sequence[Any],
    weights: Sequence[float],
    output: Any,
    title: str = "",
) -> bytes:
    """A PNG, 7 inches wide: query and keys, values and output, weights."""
    sheet = Drawing(WIDTH, HEIGHT)
    labels = [cut(name, 9) for name in names]
    sheet.write(20, 24, title or f"One query among {len(names)} keys", fontsize=10.5)
    sheet.write(LEFT["keys"], 50, "query and keys")
    sheet.write(LEFT["values"], 50, "values and output")
    sheet.write(LEFT["weights"], 50, "weights")
    _keys(sheet, labels, query, keys, weights)
    if isinstance(output, float):
        _numbers(sheet, labels, values, output)
    else:
        _points(sheet, labels, values, weights, output)
    for i, (label, weight) in enumerate(zip(labels, weights, strict=True)):
        x, y = LEFT["weights"], TOP + 22 + 30 * i
        sheet.write(x, y - 5, label, color="#a84a00")
        sheet.write(690, y - 5, number(weight), ha="right")
        sheet.fill([(x, y), (690, y), (690, y + 8), (x, y + 8)], "#f0f0f0")
        end = x + (690 - x) * weight
        sheet.fill([(x, y), (end, y), (end, y + 8), (x, y + 8)], "#7b7a77")
    sheet.write(LEFT["weights"], TOP + SIDE - 4, f"output {point(output)}", color=OUTPUT_INK)
    return sheet.png()


def _frame(sheet: Drawing, left: float, reach: float) -> Any:
    """Draws the axes; gives the function from a point to its pixels."""

    def to(p: Point) -> tuple[float, float]:
        return left + SIDE * (p[0] / reach + 1) / 2, TOP + SIDE * (1 - p[1] / reach) / 2

    for line in ([(-reach, 0), (reach, 0)], [(0, -reach), (0, reach)]):
        sheet.line([to(p) for p in line], LINE, 1)
    return to


def _reach(points: Sequence[Point]) -> float:
    return 1.25 * max((abs(x) for p in points for x in p), default=0) or 1.0


def _label(sheet: Drawing, at: Point, origin: Point, text: str, colour: str) -> None:
    """Just beyond the tip, away from the origin, and inside the plane."""
    long, half = math.dist(at, origin) or 1, 3.4 * len(text)  # a letter is 6.7 pixels wide
    x = at[0] + (9 + half) * (at[0] - origin[0]) / long
    x = min(max(x, origin[0] - SIDE / 2 + half), origin[0] + SIDE / 2 - half)
    y = at[1] + 14 * (at[1] - origin[1]) / long
    sheet.write(x, y, text, ha="center", va="center", color=colour, weight="bold")


def _keys(
    sheet: Drawing,
    labels: Sequence[str],
    query: Point,
    keys: Sequence[Point],
    weights: Sequence[float],
) -> None:
    to = _frame(sheet, LEFT["keys"], _reach([query, *keys]))
    sheet.arrow(to((0, 0)), to(query), QUERY, 3.5)
    for key, weight in zip(keys, weights, strict=True):
        sheet.arrow(to((0, 0)), to(key), KEY, 1.2 + 3 * weight)
    tips = [("q", to(query), QUERY)]
    for label, key in zip(labels, keys, strict=True):
        same = [i for i, tip in enumerate(tips) if i and math.dist(tip[1], to(key)) < 12]
        if same:
            tips[same[0]] = (f"{tips[same[0]][0]}, {label}", *tips[same[0]][1:])
        else:
            tips.append((label, to(key), "#a84a00"))
    for label, at, colour in tips:
        _label(sheet, at, to((0, 0)), label, colour)


def _points(
    sheet: Drawing,
    labels: Sequence[str],
    values: Sequence[Point],
    weights: Sequence[float],
    output: Point,
) -> None:
    to = _frame(sheet, LEFT["values"], _reach(values))
    around = _around([to(value) for value in values])
    sheet.fill(around, "#ddf2eb", "#8fd0ba")
    for value, weight in zip(values, weights, strict=True):
        sheet.line([to(value), to(output)], "#dba1c1", 0.2 + 4.5 * weight)
    for label, value, weight in zip(labels, values, weights, strict=True):
        sheet.mark(to(value), "s", 6 + 7 * weight, VALUE)
        _label(sheet, to(value), to((0, 0)), label, VALUE_INK)
    sheet.mark(to(output), "o", 9, OUTPUT, "#1f1f1f")


def _numbers(sheet: Drawing, labels: Sequence[str], values: Sequence[float], output: float) -> None:
    """Values as heights side by side; the output is a level among them."""
    low, high = min(0.0, *values), max(0.0, *values)
    span = high - low or 1.0
    left, right = LEFT["values"], LEFT["values"] + SIDE

    def y(height: float) -> float:
        return TOP + 18 + (SIDE - 36) * (high - height) / span

    band = [(left, y(min(values))), (right, y(min(values))), (right, y(max(values)))]
    sheet.fill([*band, (left, y(max(values)))], "#ddf2eb", "#8fd0ba")
    sheet.line([(left, y(0)), (right, y(0))], LINE, 1)
    for i, (label, value) in enumerate(zip(labels, values, strict=True)):
        x = left + SIDE * (i + 1) / (len(values) + 1)
        sheet.line([(x, y(0)), (x, y(value))], VALUE, 1.5)
        sheet.mark((x, y(value)), "s", 8, VALUE)
        below = value < 0
        sheet.write(x, y(value) + (17 if below else -8), label, ha="center", color=VALUE_INK)
    sheet.line([(left, y(output)), (right, y(output))], OUTPUT, 2)


def _around(points: Sequence[Point]) -> list[Point]:
    """The corners of the convex hull, in order around it."""

    def half(ordered: Sequence[Point]) -> list[Point]:
        chain: list[Point] = []
        for p in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        return chain

    ordered = sorted(set(map(tuple, points)))
    return [*half(ordered)[:-1], *half(ordered[::-1])[:-1]] or list(ordered)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
