"""Figures in the course's one look: numbers in, a `Picture` out, never a model.

Every function takes tensors, arrays or lists, and `title`: the answer that the figure gives. It
returns a `Picture`, which a notebook shows with a description for those who cannot see it; pass
`alt` where the description made from the numbers does not say what matters.
"""

import base64
import html
import io
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from transformer_lab.look import (
    KEY,
    LOSS,
    MONO,
    OUTPUT,
    POSITION,
    QUERY,
    VALUE,
    cut,
    drawable,
    small_png,
    visible,
)

QUIET = "#767676"
CYCLE = (QUERY, KEY, VALUE, OUTPUT, LOSS, POSITION)
SIGNED = LinearSegmentedColormap.from_list("signed", [QUERY, "#FFFFFF", KEY])
STYLE = Path(__file__).with_name("transformer_lab.mplstyle")
MARKERS = "os^Dv*"

Numbers = NDArray[np.float64]


class Picture:
    """A figure with its title and its description; a notebook shows it as an image with alt text.

    `figure` is the matplotlib Figure. `repr` is the title and the description.
    """

    def __init__(self, figure: Figure, title: str | None, alt: str) -> None:
        self.figure, self.title, self.alt = figure, title, alt

    def __repr__(self) -> str:
        if not self.title:
            return self.alt
        return f"{self.title} {self.alt}" if self.title[-1] in ".?" else f"{self.title}. {self.alt}"

    def png(self) -> bytes:
        """The figure as a PNG of about 20 KB: the same bytes for the same numbers."""
        return png(self.figure)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        data = base64.b64encode(self.png()).decode()
        image = f'<img alt="{html.escape(repr(self))}" src="data:image/png;base64,{data}"'
        return {
            "text/plain": repr(self),
            "text/html": f'{image} style="width: 700px; max-width: 100%">',
        }


def png(figure: Figure) -> bytes:
    """A figure as PNG, without dates or versions.

    256 colours, chosen from the figure, take a third of the bytes and cannot be told apart.
    """
    drawn = io.BytesIO()
    with rc_context(fname=STYLE):
        figure.savefig(drawn, format="png")
    return small_png(Image.open(drawn).convert("RGB"), 256)


def heatmap(
    weights: Any,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    title: str | None = None,
    mask: Any = None,
    signed: bool = False,
    *,
    xlabel: str = "",
    ylabel: str = "",
    alt: str | None = None,
) -> Picture:
    """A matrix (rows, columns) as colours, with the numbers in the cells up to 8 × 8.

    `mask` has the matrix's shape; its False cells are hatched. `signed` centres a blue–white–orange
    scale on 0. The scale always contains 0 and is drawn beside the matrix.
    """
    import seaborn  # here, since it brings pandas: half a second that most lessons do not need

    cells = _numbers("weights", weights, 2)
    shown = np.ones(cells.shape, bool) if mask is None else _numbers("mask", mask, 2) != 0
    if shown.shape != cells.shape:
        raise ValueError(f"mask has shape {shown.shape}; expected that of weights, {cells.shape}")
    texts = [
        _labels(name, given, size)
        for name, given, size in zip(("rows", "columns"), (rows, columns), cells.shape, strict=True)
    ]
    least, greatest = (cells[shown].min(), cells[shown].max()) if shown.any() else (0.0, 0.0)
    top = max(abs(least), abs(greatest)) if signed else max(greatest, 0.0)
    bottom = -top if signed else min(least, 0.0)
    whole = bool(np.all(cells[shown] == np.round(cells[shown])))
    with _axes(title, np.clip(0.9 + 5 * cells.shape[0] / cells.shape[1], 2, 5.4)) as ax:
        seaborn.heatmap(
            cells,
            ax=ax,
            mask=~shown,
            vmin=bottom,
            vmax=top if top > bottom else bottom + 1,
            cmap=SIGNED if signed else "cividis",
            annot=max(cells.shape) <= 8,
            fmt=".0f" if whole else ".2f" if top < 10 and bottom > -10 else ".3g",
            linewidths=1 if max(cells.shape) <= 16 else 0,
            xticklabels=False,
            yticklabels=False,
        )
        ax.grid(False)
        ax.patch.set(facecolor="#f4f4f4", hatch="////", edgecolor="#b0b0b0")
        for axis, words, size in (
            (ax.yaxis, texts[0], cells.shape[0]),
            (ax.xaxis, texts[1], cells.shape[1]),
        ):
            places = range(0, size, math.ceil(size / 16))
            drawn = [drawable(words[place]) for place in places]
            axis.set_ticks([place + 0.5 for place in places], drawn, parse_math=False, rotation=0)
            axis.set_tick_params(length=0, labelfontfamily=MONO)
            if axis is ax.xaxis and sum(map(len, drawn)) > 56:
                for label in ax.get_xticklabels():
                    label.set(rotation=45, ha="right", rotation_mode="anchor")
        ax.set(xlabel=drawable(xlabel), ylabel=drawable(ylabel))
    if alt is None:
        alt = f"Heatmap of {cells.shape[0]} rows and {cells.shape[1]} columns"
        if shown.any():
            row, column = np.unravel_index(np.where(shown, cells, -np.inf).argmax(), cells.shape)
            where = f"row {row} ({texts[0][row]}), column {column} ({texts[1][column]})"
            alt += f", from {_short(least)} to {_short(greatest)}; the largest is at {where}"
        if not shown.all():
            alt += f"; {int((~shown).sum())} cells are masked"
        alt += "."
    return Picture(ax.figure, title, alt)


def lines(
    x: Any,
    ys: Sequence[Any],
    names: Sequence[str],
    title: str | None = None,
    xlabel: str = "",
    ylabel: str = "",
    *,
    log: str = "",
    low: Sequence[Any] | None = None,
    high: Sequence[Any] | None = None,
    guide: float | None = None,
    colors: Sequence[str] = CYCLE,
    alt: str | None = None,
) -> Picture:
    """Curves over one `x`, each named at its right end; `low` and `high` shade an interval.

    `log` is "", "x", "y" or "xy". `guide`, with both axes logarithmic, draws the dashed power law
    of that slope through the first point.
    """
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f"log = {log!r}; expected '', 'x', 'y' or 'xy'")
    if guide is not None and log != "xy":
        raise ValueError(f"guide = {guide} needs log = 'xy', not {log!r}")
    across = _numbers("x", x, 1, positive="x" in log)
    curves, lows, highs = (
        [_curve(f"{name}[{i}]", y, across, "y" in log) for i, y in enumerate(given or ())]
        for name, given in (("ys", ys), ("low", low), ("high", high))
    )
    _same("names", names, curves)
    for name, edge in (("low", lows), ("high", highs)):
        if lows or highs:
            _same(name, edge, curves)
    with _axes(title) as ax:
        ax.set(xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear")
        ends = []
        for i, (curve, name) in enumerate(zip(curves, names, strict=True)):
            color, marker = colors[i % len(colors)], MARKERS[i % len(MARKERS)]
            ax.plot(across, curve, color=color, marker=marker if len(across) <= 20 else None)
            if lows:
                ax.fill_between(across, lows[i], highs[i], color=color, alpha=0.18, linewidth=0)
            ends.append((curve[-1], name, color))
        if guide is not None:
            law = curves[0][0] * (across / across[0]) ** guide
            ax.plot(across, law, color=QUIET, linestyle="--", linewidth=1, zorder=1)
            ends.append((law[-1], f"slope {guide:g}", QUIET))
        if "x" in log and len(across) <= 10:
            ax.set_xticks(across, [_short(place, 3) for place in across])
            ax.set_xticks([], minor=True)
        _finish(ax, xlabel, ylabel, ends)
    return Picture(ax.figure, title, alt or _story(across, curves, names, xlabel, ylabel))


def bars(
    names: Sequence[str],
    values: Any,
    title: str | None = None,
    xlabel: str = "",
    *,
    low: Any = None,
    high: Any = None,
    colors: Sequence[str] = (QUERY,),
    alt: str | None = None,
) -> Picture:
    """Horizontal bars, each with its name and its number; `low` and `high` are intervals."""
    lengths = _numbers("values", values, 1)
    names = _labels("names", names, len(lengths))
    if (low is None) != (high is None):
        raise ValueError("low and high come together; one of them is missing")
    spread = None
    if low is not None:
        edges = [_curve("low", low, lengths), _curve("high", high, lengths)]
        spread = np.array([lengths - edges[0], edges[1] - lengths])
        if spread.min() < 0:
            raise ValueError("low <= values <= high does not hold for every bar")
    places = np.arange(len(lengths))
    with _axes(title, 1 + 0.34 * len(lengths)) as ax:
        shades = [colors[i % len(colors)] for i in range(len(lengths))]
        ax.barh(places, lengths, 0.68, color=shades, xerr=spread, ecolor="#222222", capsize=3)
        ends = lengths if spread is None else lengths + np.sign(lengths).clip(0) * spread[1]
        for place, text, end in zip(places, _alike(lengths), ends, strict=True):
            spot = {"xy": (max(end, 0), place), "xytext": (5, 0), "textcoords": "offset points"}
            ax.annotate(text, **spot, va="center")
        ax.set_yticks(places, [drawable(name) for name in names], fontsize=10)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.margins(x=0.12)
        ax.invert_yaxis()
        ax.set_xlabel(drawable(xlabel))
    listed = "; ".join(f"{name} {_short(v)}" for name, v in zip(names, lengths, strict=True))
    return Picture(ax.figure, title, alt or f"Bars{_of(xlabel)}: {listed}.")


def scatter_fit(
    x: Any,
    y: Any,
    curves: Mapping[str, tuple[Any, Any]],
    title: str | None = None,
    xlabel: str = "",
    ylabel: str = "",
    *,
    colors: Sequence[str] = CYCLE,
    alt: str | None = None,
) -> Picture:
    """Dots, and through them curves: `{name: (x, y)}`, each named at its right end."""
    across = _numbers("x", x, 1)
    dots = _curve("y", y, across)
    with _axes(title) as ax:
        ax.scatter(across, dots, s=18, color=QUIET, alpha=0.7, linewidth=0)
        ends = []
        for i, (name, (xs, ys)) in enumerate(curves.items()):
            grid = _numbers(f"curves[{name!r}] x", xs, 1)
            curve = _curve(f"curves[{name!r}] y", ys, grid)
            ax.plot(grid, curve, color=colors[i % len(colors)])
            ends.append((curve[grid.argmax()], name, colors[i % len(colors)]))
        _finish(ax, xlabel, ylabel, ends)
    names = ", ".join(curves) or "none"
    story = f"{len(dots)} dots{_of(ylabel)} between {_short(dots.min())} and {_short(dots.max())}"
    return Picture(ax.figure, title, alt or f"{story}; curves through them: {names}.")


def loss_curve(
    steps: Any,
    losses: Any,
    baselines: Mapping[str, float] | None = None,
    title: str | None = None,
    *,
    name: str = "this model",
    xlabel: str = "step",
    ylabel: str = "loss (nats)",
    alt: str | None = None,
) -> Picture:
    """A bold training curve; `baselines`, `{name: loss}`, are thin grey lines with their names."""
    across = _numbers("steps", steps, 1)
    curve = _curve("losses", losses, across)
    with _axes(title) as ax:
        ax.plot(across, curve, color=LOSS, linewidth=2.6)
        ends = [(curve[-1], name, LOSS)]
        for label, level in (baselines or {}).items():
            ax.axhline(level, color=QUIET, linewidth=0.9, zorder=1)
            ends.append((level, label, QUIET))
        _finish(ax, xlabel, ylabel, ends)
    story = _story(across, [curve], [name], xlabel, ylabel)
    if baselines:
        listed = "; ".join(f"{label} {_short(level)}" for label, level in baselines.items())
        story += f" Baselines: {listed}."
    return Picture(ax.figure, title, alt or story)


def decay_curves(
    lags: Any,
    runs: Mapping[str, Any],
    floor: float,
    title: str | None = None,
    *,
    floor_name: str = "too small for float32",
    xlabel: str = "lag",
    ylabel: str = "gradient, relative to lag 0",
    colors: Sequence[str] = CYCLE,
    alt: str | None = None,
) -> Picture:
    """What is left over distance, on a log axis: `{name: (lags,) or (runs, lags)}`, 0 or more.

    Several runs give their geometric mean and, shaded, the smallest to the largest. What lies below
    `floor` is drawn on it, and the floor is a dashed line with its name.
    """
    across = _numbers("lags", lags, 1)
    if not floor > 0:
        raise ValueError(f"floor = {floor!r}; expected a number above 0")
    with _axes(title) as ax:
        ax.set(yscale="log")
        ends, curves = [], []
        for i, (name, given) in enumerate(runs.items()):
            several = _runs(f"runs[{name!r}]", given, across)
            if several.min() < 0:
                raise ValueError(f"runs[{name!r}] holds {several.min():g}; expected 0 or more")
            several = several.clip(min=floor)
            curve = np.exp(np.log(several).mean(0))
            color = colors[i % len(colors)]
            ax.plot(across, curve, color=color)
            _shade(ax, across, several, color)
            ends.append((curve[-1], name, color))
            curves.append(curve)
        ax.axhline(floor, color=QUIET, linewidth=0.9, linestyle="--", zorder=1)
        ends.append((floor, floor_name, QUIET))
        _finish(ax, xlabel, ylabel, ends)
    story = _story(across, curves, list(runs), xlabel, ylabel)
    return Picture(ax.figure, title, alt or f"{story} Floor: {_short(floor)}, {floor_name}.")


def loss_curves(
    steps: Any,
    runs: Mapping[str, Any],
    baselines: Mapping[str, float] | None = None,
    title: str | None = None,
    *,
    xlabel: str = "step",
    ylabel: str = "loss (nats)",
    colors: Sequence[str] = CYCLE,
    alt: str | None = None,
) -> Picture:
    """Several models' losses, `{name: (steps,) or (runs, steps)}`, each named at its right end.

    Several runs give their mean and, shaded, the smallest to the largest. `baselines`,
    `{name: loss}`, are thin grey lines with their names.
    """
    across = _numbers("steps", steps, 1)
    with _axes(title) as ax:
        ends, curves = [], []
        for i, (name, given) in enumerate(runs.items()):
            several, color = _runs(f"runs[{name!r}]", given, across), colors[i % len(colors)]
            curves.append(several.mean(0))
            ax.plot(across, curves[-1], color=color)
            _shade(ax, across, several, color)
            ends.append((curves[-1][-1], name, color))
        for label, level in (baselines or {}).items():
            ax.axhline(level, color=QUIET, linewidth=0.9, zorder=1)
            ends.append((level, label, QUIET))
        _finish(ax, xlabel, ylabel, ends)
    story = _story(across, curves, list(runs), xlabel, ylabel)
    if baselines:
        listed = "; ".join(f"{label} {_short(level)}" for label, level in baselines.items())
        story += f" Baselines: {listed}."
    return Picture(ax.figure, title, alt or story)


def stacked_bars(
    names: Sequence[str],
    parts: Mapping[str, Any],
    title: str | None = None,
    xlabel: str = "",
    *,
    share: bool = False,
    colors: Sequence[str] = CYCLE,
    alt: str | None = None,
) -> Picture:
    """Horizontal bars made of parts, `{part: (names,)}`, 0 or more; each total stands at its end.

    `share` draws every bar to the same length, as shares of its total. A part's name stands above
    the first bar in which it is not zero.
    """
    stacks = {part: _numbers(f"parts[{part!r}]", given, 1) for part, given in parts.items()}
    for part, sizes in stacks.items():
        if len(sizes) != len(names) or sizes.min() < 0:
            raise ValueError(f"parts[{part!r}] must hold {len(names)} numbers, each 0 or more")
    names = _labels("names", names, len(names))
    totals = np.sum(list(stacks.values()), axis=0)
    if not stacks or totals.min() <= 0:
        raise ValueError("every bar needs a part above 0")
    scale = totals if share else np.ones(len(names))
    with _axes(title, 1.4 + 0.42 * len(names)) as ax:
        left = np.zeros(len(names))
        labels = []
        for i, (part, sizes) in enumerate(stacks.items()):
            color, width = colors[i % len(colors)], sizes / scale
            ax.barh(range(len(names)), width, 0.62, left, color=color, edgecolor="white")
            if width[0]:
                labels.append((left[0] + width[0] / 2, part, color))
            left = left + width
        for place, total in enumerate(totals):
            spot = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
            ax.annotate(_short(total, 3), (left[place], place), **spot)
        ax.set_yticks(range(len(names)), [drawable(name) for name in names], fontsize=10)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.set(xlim=(0, left.max() * 1.18), ylim=(len(names) - 0.5, -1.15))
        ax.set_xlabel(drawable(xlabel))
        _above(ax, labels)
    listed = "; ".join(
        f"{name} {_short(total, 3)} ("
        + ", ".join(f"{part} {_short(sizes[i], 3)}" for part, sizes in stacks.items())
        + ")"
        for i, (name, total) in enumerate(zip(names, totals, strict=True))
    )
    return Picture(ax.figure, title, alt or f"Stacked bars{_of(xlabel)}: {listed}.")


def knock_outs(
    names: Sequence[str],
    runs: Any,
    whole: float,
    title: str | None = None,
    xlabel: str = "",
    *,
    whole_name: str = "nothing removed",
    color: str = QUERY,
    alt: str | None = None,
) -> Picture:
    """What each removal does: `runs` (names, runs) as bars of the mean, each run as a dot.

    The interval is the smallest to the largest run; `whole`, the number without any removal, is a
    thin grey line with its name.
    """
    several = _numbers("runs", runs, 2)
    if len(several) != len(names):
        raise ValueError(f"runs has {len(several)} rows; expected {len(names)}")
    drawn = bars(
        names,
        several.mean(1),
        title,
        xlabel,
        low=several.min(1),
        high=several.max(1),
        colors=(color,),
    )
    ax = drawn.figure.axes[0]
    for place, row in enumerate(several):
        ax.plot(row, [place] * len(row), "o", color="#222222", markersize=2.5, zorder=3)
    level = float(_numbers("whole", [whole], 1)[0])
    ax.axvline(level, color=QUIET, linewidth=0.9)
    ax.annotate(
        f"{drawable(whole_name)} {_short(level, 3)}",
        (level, 1),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        color=_ink(QUIET),
    )
    story = f"{drawn.alt} {whole_name}: {_short(level, 3)}."
    return Picture(drawn.figure, title, alt or story)


@contextmanager
def _axes(title: str | None, height: float = 3.6) -> Iterator[Any]:
    """Axes of a figure that pyplot does not know, so that a notebook cannot show it twice."""
    with rc_context(fname=STYLE):
        figure = Figure(figsize=(7, height))
        FigureCanvasAgg(figure)
        if title:
            figure.suptitle(textwrap.fill(drawable(title), 76), x=0.01, ha="left")
        yield figure.subplots()


def _finish(ax: Axes, xlabel: str, ylabel: str, ends: Sequence[tuple[float, str, str]]) -> None:
    """Label the axes and write each name at its curve's end, moved apart where they would meet."""
    ax.set(xlabel=drawable(xlabel), ylabel=drawable(ylabel))
    ax.margins(x=0.02)
    ax.autoscale_view()
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
    across = ax.get_xlim()[1]
    heights = [
        ax.transLimits.transform(ax.transScale.transform((across, y)))[1] for y, _, _ in ends
    ]
    order = sorted(range(len(ends)), key=heights.__getitem__)
    for _ in range(60):
        for lower, upper in pairwise(order):
            overlap = max(0.0, heights[lower] + 0.065 - heights[upper])
            heights[lower] -= overlap / 2
            heights[upper] += overlap / 2
    for height, (_, name, color) in zip(heights, ends, strict=True):
        ink = _ink(color)
        ax.text(1.015, height, drawable(name), color=ink, va="center", transform=ax.transAxes)


def _runs(name: str, given: Any, across: Numbers) -> Numbers:
    """One run or several as (runs, len(across))."""
    if hasattr(given, "detach"):
        given = given.detach().cpu().double()
    several = _numbers(name, given, 1 if np.ndim(given) == 1 else 2)
    several = several[None] if several.ndim == 1 else several
    if several.shape[1] != len(across):
        raise ValueError(f"{name} has {several.shape[1]} entries a run; expected {len(across)}")
    return several


def _shade(ax: Axes, across: Numbers, several: Numbers, color: str) -> None:
    """From the smallest to the largest run."""
    if len(several) > 1:
        low, high = several.min(0), several.max(0)
        ax.fill_between(across, low, high, color=color, alpha=0.18, linewidth=0)


def _above(ax: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Names above the first bar, in the order of its parts, moved apart where they would meet."""
    wide = ax.get_xlim()[1]
    places = [x for x, _, _ in labels]
    reach = [0.0155 * wide * (len(name) + 1) / 2 for _, name, _ in labels]  # half a name's width
    for _ in range(200):
        for i, j in pairwise(range(len(places))):
            overlap = max(0.0, places[i] + reach[i] + reach[j] - places[j])
            places[i] -= overlap / 2
            places[j] += overlap / 2
        places = [max(place, half) for place, half in zip(places, reach, strict=True)]
    for place, (x, name, color) in zip(places, labels, strict=True):
        ax.plot([x, place], [-0.33, -0.58], color=_ink(color), linewidth=0.8)
        ax.text(place, -0.64, drawable(name), color=_ink(color), ha="center", va="bottom")


def _numbers(name: str, given: Any, ndim: int, positive: bool = False) -> Numbers:
    """`given` as finite float64; ValueError or TypeError that names the argument otherwise."""
    if hasattr(given, "detach"):
        given = given.detach().cpu().double()
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} holds what is not a number, or rows of unequal length") from error
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected {ndim} axes, none empty")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    if positive and array.min() <= 0:
        raise ValueError(f"{name} holds {array.min():g}; a log axis needs numbers above 0")
    return array


def _curve(name: str, given: Any, across: Numbers, positive: bool = False) -> Numbers:
    curve = _numbers(name, given, 1, positive)
    _same(name, curve, across)
    return curve


def _same(name: str, given: Sequence[Any] | Numbers, like: Sequence[Any] | Numbers) -> None:
    if len(given) != len(like):
        raise ValueError(f"{name} has {len(given)} entries; expected {len(like)}")


def _labels(name: str, given: Sequence[str] | None, size: int) -> list[str]:
    """Labels as they are drawn: a token with visible spaces, a sentence as it is, long ones cut."""
    if given is None:
        return [str(i) for i in range(size)]
    if len(given) != size:
        raise ValueError(f"{name} has {len(given)} labels; expected {size}")
    shown = []
    for text in map(str, given):
        if " " in text.strip():
            shown.append(cut(text.strip().replace("\n", "↵").replace("\t", "⇥"), 36))
        else:
            shown.append(cut(text and visible(text), 14))  # "" stays: an axis without a label
    return shown


def _ink(color: str) -> str:
    """`color`, darkened until text in it has a contrast of 4.5 : 1 on white."""
    rgb = np.array(to_rgb(color))
    while True:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        if 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5:
            return to_hex(tuple(rgb))
        rgb = rgb * 0.96


def _short(value: float, digits: int = 2) -> str:
    if abs(value) < 1e15 and (value == round(value) or abs(value) >= 100):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}".replace("e-0", "e-")


def _alike(values: Numbers) -> list[str]:
    """Numbers with the same decimals, three digits for the largest, where none then reads as 0."""
    largest = np.abs(values).max()
    decimals = int(np.clip(2 - math.floor(math.log10(largest)), 0, 9)) if largest else 0
    tiny = np.any((np.abs(values) < 0.5 * 10.0**-decimals) & (values != 0))
    if tiny or np.all(values == np.round(values)):
        return [_short(value, 3) for value in values]
    return [f"{value:,.{decimals}f}" for value in values]


def _of(label: str) -> str:
    return f" of {label}" if label else ""


def _story(
    across: Numbers, curves: Sequence[Numbers], names: Sequence[str], xlabel: str, ylabel: str
) -> str:
    over = f" over {xlabel}" if xlabel else ""
    first, last = _short(across[0]), _short(across[-1])
    parts = "; ".join(
        f"{name} goes from {_short(curve[0])} to {_short(curve[-1])}"
        for name, curve in zip(names, curves, strict=True)
    )
    return f"Curves{_of(ylabel)}{over} ({first} to {last}): {parts}."
