"""The temperature dial without a browser: the two outlines of scores, and bars for each scale."""

import math

import numpy as np

from transformer_lab.instruments import dial_numbers as dials
from transformer_lab.instruments import still
from transformer_lab.look import QUERY

WIDTH, HEIGHT = 700, 250
SCALES = {0.0: "no scale", 0.5: "÷ √d", 1.0: "÷ d"}
GREY, TRACK, BINS = "#8c8b88", "#f0f0f0", 61


def picture(seed: int, d: int, S: int, exponent: float, temperature: float, words: str) -> bytes:
    """A PNG, 7 inches wide."""
    sheet = still.Sheet(WIDTH, HEIGHT)
    axes, other = sheet._axes, exponent or 0.5
    title = f"d = {d}, {S} keys, temperature {temperature:g}: with and without a scale"
    sheet.write(20, 24, words or title, fontsize=10.5)
    sheet.write(20, 52, "scores that go into the softmax")
    cases = {e: dials.exponents(seed, d, S, e, temperature) for e in (0.0, other)}
    reach = 1.05 * max(abs(x).max() for x in cases.values())
    for e, x in cases.items():
        counts, edges = np.histogram(x, BINS, (-reach, reach))
        across = 20 + (edges + reach) / (2 * reach) * 310
        ys = 205 - 135 * counts / counts.max()
        colour = QUERY if e else GREY
        axes.fill_between(across, np.append(ys, ys[-1]), 205, step="post", color=colour, alpha=0.35)
        axes.stairs(ys, across, baseline=205, color=colour, lw=2 if e == exponent else 1)
    for at, value, anchor in ((20, -reach, "left"), (175, 0.0, "center"), (330, reach, "right")):
        sheet.write(at, 222, f"{value:.3g}".replace("-", "−"), ha=anchor)
    spreads = [f"spread {x.std():.3g} {SCALES[e]}" for e, x in cases.items()]
    sheet.write(20, 241, ", ".join(spreads))
    numbers = {e: dials.numbers(seed, d, S, e, temperature) for e in dials.EXPONENTS}
    y = 52
    for name, field, most, form in (
        ("mean gradient", "gradient", 0.5, "{:.3f}"),
        ("saturated rows", "saturated", 1.0, "{:.0%}"),
        (f"entropy, at most {math.log(S):.2f}", "entropy", math.log(S), "{:.2f}"),
    ):
        sheet.write(370, y, name, fontweight="bold")
        for e, found in numbers.items():
            y += 15
            value = getattr(found, field)
            weight = "bold" if e == exponent else "normal"
            end = 440 + 190 * min(1.0, value / most)
            sheet.write(370, y, SCALES[e], fontweight=weight)
            for right, colour in ((630, TRACK), (end, QUERY if e else GREY)):
                axes.fill([440, right, right, 440], [y - 7, y - 7, y, y], color=colour, lw=0)
            sheet.write(690, y, form.format(value), ha="right", fontweight=weight)
        y += 24
    return sheet.png()
