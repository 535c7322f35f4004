"""The model designer without a browser: parameters as one bar, and what the model costs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transformer_lab.counting import Breakdown
from transformer_lab.instruments import still
from transformer_lab.instruments.bench_still import Drawing
from transformer_lab.look import KEY, LOSS, OUTPUT, POSITION, QUERY, VALUE, cut

WIDTH, LEFT, RIGHT = 700, 20, 680
TOKENS, FEED, NORMS = "#5f5f5f", "#b9b4a7", "#1f1f1f"
ROWS = [  # name, colour, words in the names of its components
    ("token embedding", TOKENS, ("token embedding",)),
    ("position embedding", POSITION, ("position embedding",)),
    ("attention query", QUERY, ("attention query",)),
    ("attention key", KEY, ("attention key",)),
    ("attention value", VALUE, ("attention value",)),
    ("attention output", OUTPUT, ("attention output",)),
    ("feed-forward", FEED, ("feed-forward weight", "feed-forward bias")),
    ("norms and others", NORMS, (" norm", "segment", "pooler")),
    ("output head", "#8a8a8a", ("output head",)),
]


def short(number: float) -> str:
    """291648307200 -> "292 G", for a unit to follow."""
    for power, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 0.9995 * 10**power:
            return f"{three(number / 10**power)} {letter}"
    return f"{number:.0f} "


def round_number(number: float) -> str:
    """10000000 -> "10 M": a round number without its zeros."""
    digits, _, letter = short(number).replace("G", "B").partition(" ")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits} {letter}".strip()


def size(number: float) -> str:
    """Bytes in powers of 1,024: 75497472 -> "72.0 MiB"."""
    for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if number >= 1024**power:
            return f"{three(number / 1024**power)} {letter}iB"
    return f"{number:.0f} B"


def percent(part: float) -> str:
    """0.312 -> "31.2 %"; a small share keeps a second place. As in view/amounts.js."""
    if 0 < part < 5e-5:
        return "< 0.01 %"
    return f"{100 * part:.{2 if 0 < part < 0.0005 else 1}f} %"


def three(x: float) -> str:
    """Three significant digits, or all before the point."""
    return f"{x:.{2 if x < 9.995 else 1 if x < 99.95 else 0}f}"


def aim(goal: Mapping[str, Any]) -> str:
    """How far the total is from the target, in words; as `aimed` in view/designer.js."""
    target, deviation = round_number(goal["target"]), goal["deviation"]
    if deviation == 0:
        return f"The target of {target} is met exactly."
    if deviation >= 9:
        return f"{three(deviation + 1)} times the target of {target}."
    if deviation < -0.9:
        return f"{three(1 / (deviation + 1))} times smaller than the target of {target}."
    percent = 100 * abs(deviation)
    places = 0 if percent >= 9.95 else 1 if percent >= 0.095 else 2
    far = "Under 0.01 %" if percent < 0.005 else f"{percent:.{places}f} %"
    side = "over" if deviation > 0 else "under"
    end = ": within 1 %, reached." if goal["reached"] else "."
    return f"{far} {side} the target of {target}{end}"


def picture(
    title: str,
    kind: str,
    config: Mapping[str, Any],
    parts: Breakdown,
    flops: Breakdown,
    cache: Breakdown,
    training: Breakdown,
    goal: Mapping[str, Any],
) -> bytes:
    """A PNG, 7 inches wide: one bar of parameters, its rows, and three costs."""
    sheet = Drawing(WIDTH, 318 if goal else 264)
    sizes = f"V {config['vocab_size']:,} · D {config['d_model']:,} · L {config['n_layers']} · "
    sizes += f"H {config['n_heads']} · K {config['n_kv_heads']} · F {config['d_ff']:,}"
    sheet.write(LEFT, 24, cut(title or f"Where the parameters of this {kind} are", 60), fontsize=11)
    sheet.write(LEFT, 46, sizes, color=still.QUIET)
    total, x = parts.total, float(LEFT)
    sheet.write(RIGHT, 46, f"{total:,} parameters", ha="right", weight="bold")
    for i, (name, colour, words) in enumerate(ROWS):
        amount = parts.only(*words)
        end = x + (RIGHT - LEFT) * amount / total
        if amount:
            sheet.fill([(x, 56), (end, 56), (end, 90), (x, 90)], colour, "white")
        x, y = end, 112 + 17 * i
        ink = NORMS if amount else "#767676"
        sheet.fill([(LEFT, y - 8), (LEFT + 9, y - 8), (LEFT + 9, y + 1), (LEFT, y + 1)], colour)
        sheet.write(LEFT + 18, y, name, color=ink)
        sheet.write(300, y, f"{amount:,}", ha="right", color=ink)
        sheet.write(360, y, percent(amount / total), ha="right", color=ink)
    scores = flops.only("scores", "mix") / flops.total
    costs: Sequence[tuple[str, str]] = [
        ("forward pass", f"{short(flops.total)}FLOP"),
        ("  scores and mix", percent(scores)),
        ("to train", size(training.total)),
        ("  activations", size(training["activations"])),
        ("to run", size(cache.total)),
        ("  keys and values", size(cache["key/value cache"])),
    ]
    for i, (name, text) in enumerate(costs):
        sheet.write(430, 112 + 17 * i, name)
        sheet.write(RIGHT, 112 + 17 * i, text, ha="right")
    if goal:
        sheet.write(LEFT, 286, aim(goal), color="#8a5a00" if not goal["reached"] else "#00744f",
                    weight="bold")  # fmt: skip
        middle, y = (LEFT + RIGHT) / 2, 303
        sheet.line([(LEFT, y), (RIGHT, y)], "#d9d9d9", 2)
        sheet.line([(middle, y - 7), (middle, y + 7)], NORMS, 1.5)
        sheet.mark((middle + (RIGHT - LEFT) / 2 * gauge(goal["deviation"]), y), "o", 8, LOSS, NORMS)
    return sheet.png()


def gauge(deviation: float) -> float:
    """Where the marker stands: -1 at a tenth of the target, 1 at ten times, 0 on it."""
    return max(-1.0, min(1.0, math.log10(max(1 + deviation, 1e-9))))
