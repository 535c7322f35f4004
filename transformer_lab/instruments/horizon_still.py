"""The gradient horizon without a browser: the curves on a log axis, and one glowing row each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer_lab.instruments import still
from transformer_lab.instruments.horizon_curves import ATTENTION, FLOOR, FORGETFUL, Logs, Setting

WIDTH, LEFT, RIGHT, TOP, HEIGHT, ROW = 700, 150, 628, 44, 230, 34  # pixels
STRONG, FAINT, LINE = "#b87a00", "#767676", "#d9d9d9"
DIM, GLOW, WHITE = ((52, 56, 66), (230, 159, 0), (255, 255, 255))
DECADES = 12  # from dim to full glow, and from there to white
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def value(log: float) -> float:
    """The number of a log10; 0.0 where float32 underflowed."""
    return 0.0 if log <= FLOOR else float(10.0 ** float(log))


def ten(log: float) -> str:
    """A number from its log10 with two digits: "0.17", "5.1·10⁻¹²"; as view/strokes.js does."""
    if log <= FLOOR:
        return "0"
    if -3 <= log < 3:
        number = 10.0**log
        digits = max(0, 1 - math.floor(math.log10(number) + 1e-9))
        return f"{number:.{digits}f}"
    whole = math.floor(log)
    front = f"{10 ** (log - whole):.1f}"
    if front == "10.0":
        whole, front = whole + 1, "1.0"
    return f"{front}·10{str(whole).translate(_RAISED)}"


def title(of: Sequence[Any]) -> str:
    """A setting in words: "LSTM + forget bias 3, gain 1.5"."""
    cell, gain, bias = of
    name = f"{cell} {bias:g}" if cell == FORGETFUL else str(cell)
    return name if cell == ATTENTION else f"{name}, gain {gain:g}"


def short(of: Sequence[Any]) -> str:
    """A setting as a label: "LSTM +3 ×1.5"."""
    cell, gain, bias = of
    name = f"LSTM +{bias:g}" if cell == FORGETFUL else str(cell).replace("orthogonal", "orth.")
    return name if gain == 1 else f"{name} ×{gain:g}"


def glow(log: float) -> tuple[int, int, int]:
    """The brightness of a step: dim at 1e-12 and below, orange at 1, white at 1e12."""
    low, high = (DIM, GLOW) if log < 0 else (GLOW, WHITE)
    t = min(1.0, max(0.0, (log + DECADES) / DECADES if log < 0 else log / DECADES))
    return tuple(round(a + (b - a) * t) for a, b in zip(low, high, strict=True))  # type: ignore


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The same places, moved so that neighbours stand at least `gap` apart, from low to high."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    found = list(places)
    at = low
    for i in order:
        found[i] = at = max(at, places[i])
        at += gap
    at = high
    for i in reversed(order):
        found[i] = min(found[i], at)
        at = found[i] - gap
    return found


def picture(settings: Sequence[Setting], logs: Sequence[Logs], lag: int, words: str) -> bytes:
    """A PNG, 7 inches wide: the chosen setting bold, the others thin and grey."""
    T = logs[0].shape[1]
    sheet = still.Sheet(WIDTH, TOP + HEIGHT + 46 + ROW * len(settings))
    axes = sheet._axes
    middle = [np.median(rows.astype(np.float64), 0) for rows in logs]
    top = max(2.0, math.ceil(max(row.max() for row in middle)) + 1)
    bottom = FLOOR - 1.5

    def x(at: Any) -> Any:
        return LEFT + (T - 1 - np.asarray(at)) * (RIGHT - LEFT) / (T - 1)

    def y(log: Any) -> Any:
        return TOP + HEIGHT * (top - np.maximum(log, FLOOR)) / (top - bottom)

    sheet.write(20, 24, words or f"{title(settings[0])}: the gradient by lag", fontsize=10.5)
    for decade in range(-40, int(top) + 1, 10):
        axes.plot([LEFT, RIGHT], [y(decade)] * 2, color="#999999" if decade == 0 else LINE, lw=0.8)
        text = "1" if decade == 0 else f"10{str(decade).translate(_RAISED)}"
        sheet.write(RIGHT + 8, y(decade) + 4, text)
    axes.plot([LEFT, RIGHT], [y(FLOOR)] * 2, "--", color="#a84a00", lw=1)
    style = {"color": "#a84a00", "fontsize": 7.5, "ha": "right"}
    sheet.write(RIGHT - 4, y(FLOOR) - 5, "float32 ends at 1.4·10⁻⁴⁵; ▾ is an exact 0", **style)
    lags = np.arange(T)
    for i in reversed(range(len(settings))):
        colour, width = (STRONG, 2.2) if i == 0 else (FAINT, 1.0)
        low, high = y(logs[i].min(0)), y(logs[i].max(0))
        axes.fill_between(x(lags), low, high, color=colour, alpha=0.2, lw=0, antialiased=False)
        alive = middle[i] > FLOOR
        axes.plot(x(lags[alive]), y(middle[i][alive]), color=colour, lw=width)
        gone = lags[~alive]
        axes.plot(x(gone), y(np.full(len(gone), FLOOR)), "v", color=colour, ms=3, mew=0)
    places = apart([float(y(row[-1])) for row in middle], 14, TOP, TOP + HEIGHT)
    for i, (of, place) in enumerate(zip(settings, places, strict=True)):
        weight = {"color": "#8a5c00", "fontweight": "bold"} if i == 0 else {"color": still.QUIET}
        sheet.write(LEFT - 8, place + 4, short(of), ha="right", **weight)
    axes.plot([x(lag)] * 2, [TOP, TOP + HEIGHT], ":", color="#1f1f1f", lw=1)
    for tick in range(0, T, 20):
        sheet.write(float(x(tick)), TOP + HEIGHT + 16, str(tick), ha="center")
    sheet.write(LEFT - 8, TOP + HEIGHT + 16, "steps back", ha="right", color=still.QUIET)
    for i, of in enumerate(settings):
        _row(sheet, TOP + HEIGHT + 38 + ROW * i, of, middle[i], lag, x)
    return sheet.png()


def _row(sheet: still.Sheet, y: float, of: Setting, logs: Any, lag: int, x: Any) -> None:
    T, axes = len(logs), sheet._axes
    ends = (float(x(T - 1)) - 5, float(x(0)) + 5)
    axes.fill([ends[0], ends[1], ends[1], ends[0]], [y, y, y + 14, y + 14], color="#14161c", lw=0)
    colours = [[c / 255 for c in glow(log)] for log in logs]
    alive = logs > FLOOR
    at, line = x(np.arange(T)), np.full(T, y + 7.0)
    axes.scatter(at[alive], line[alive], s=10, c=np.array(colours)[alive], lw=0, antialiased=False)
    axes.scatter(at[~alive], line[~alive], s=7, c="#8a8f9c", marker="x", lw=0.7, antialiased=False)
    axes.plot([x(lag)], [y + 7], "o", ms=8, mfc="none", mec="white", mew=1.2)
    sheet.write(float(ends[0]) - 3, y + 11, short(of), ha="right")
    anchor = "left" if lag > T * 0.85 else "right" if lag < T * 0.15 else "center"
    sheet.write(float(x(lag)), y - 4, ten(logs[lag]), ha=anchor, fontweight="bold")
