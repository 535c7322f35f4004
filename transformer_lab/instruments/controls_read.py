"""What a drawn figure shows, in words and as a table; and fewer labels, so that it draws fast."""

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from transformer_lab.instruments.words import few

MOST_LABELS = 16  # on one axis: nine tenths of a labelled heatmap's time are its labels
MOST_ROWS, MOST_SIDE = 400, 64  # of a table


def fewer_labels(figure: Figure) -> None:
    """At most 16 tick labels on every axis: every second one, every third, …"""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if not (axis.get_visible() and ax.axison):
                continue
            low, high = sorted(axis.get_view_interval())
            room = 1e-9 * (high - low)
            places = axis.get_majorticklocs()
            texts = [str(text) for text in axis.get_major_formatter().format_ticks(list(places))]
            seen = [
                i
                for i, place in enumerate(places)
                if texts[i] and low - room <= place <= high + room
            ]
            if len(seen) > MOST_LABELS:
                kept = seen[:: math.ceil(len(seen) / MOST_LABELS)]
                turn = axis.get_majorticklabels()[0].get_rotation()
                axis.set_ticks(places[kept], [texts[i] for i in kept], rotation=turn)
            if len(axis.get_minorticklocs()) > MOST_LABELS:
                axis.set_minor_formatter(NullFormatter())


def title(figure: Figure) -> str:
    """The figure's title, else that of its first axes that have one; one line."""
    suptitle = figure.get_suptitle()
    titles = (ax.get_title(loc=side) for ax in figure.axes for side in ("center", "left", "right"))
    return " ".join(next(filter(None, chain([suptitle], titles)), "").split())


def number(x: float, among: float = 0.0) -> str:
    """Three digits, the same text whatever the last bits of a float are.

    `among` is the largest number beside it: what is tiny against that is 0, as sin(π) should be.
    """
    x = 0.0 if abs(x) < 1e-9 * among else float(f"{float(f'{x:.9g}'):.3g}") + 0.0
    return (f"{x:,.0f}" if 1000 <= abs(x) < 1e6 else f"{x:g}").replace("-", "−")


def _ends(values: Any) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return ""
    low, high = float(known.min()), float(known.max())
    among = max(abs(low), abs(high))
    return f", from {number(low, among)} to {number(high, among)}"


def words(figure: Figure) -> str:
    """How many lines, points, bars and matrices there are, and between which numbers they lie."""
    said = []
    for ax in figure.axes:
        series, images = list(_series(ax)), list(_images(ax))
        if ax.get_label() == "<colorbar>" or not (series or images):
            continue
        kinds = [kind for kind, _, _, _ in series]
        counts = [few(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)]
        if series:
            counts[-1] += _ends(np.concatenate([ys for _, _, _, ys in series]))
        counts += [f"{cells.shape[0]} × {cells.shape[1]} cells{_ends(cells)}" for cells in images]
        said.append(" and ".join(counts))
    return f"{'; '.join(said)}." if said else "Nothing is drawn yet."


def table(figure: Figure) -> dict[str, Any]:
    """{rows, columns, values} of the first axes that show numbers: a matrix, or x and y."""
    for ax in figure.axes:
        if ax.get_label() == "<colorbar>":
            continue
        for cells in _images(ax):
            down, across = (math.ceil(n / MOST_SIDE) for n in cells.shape)
            cells = cells[::down, ::across]
            rows, columns = ([str(i * k) for i in range(n)] for n, k in
                             zip(cells.shape, (down, across), strict=True))  # fmt: skip
            return {"rows": rows, "columns": columns, "values": _plain(cells)}
        series = list(_series(ax))
        if series:
            every = math.ceil(sum(len(ys) for *_, ys in series) / MOST_ROWS)
            names = [name for _, name, xs, _ in series for _ in xs[::every]]
            pairs = [np.stack([xs, ys], -1)[::every] for _, _, xs, ys in series]
            columns = [ax.get_xlabel() or "x", ax.get_ylabel() or "y"]
            return {"rows": names, "columns": columns, "values": _plain(np.concatenate(pairs))}
    return {}


def _plain(cells: Any) -> list[float | None]:
    """Row by row; what is not finite becomes None, which JSON can carry."""
    return [float(f"{x:.6g}") if math.isfinite(x) else None for x in cells.ravel().tolist()]


def _series(ax: Axes) -> Iterator[tuple[str, str, Any, Any]]:
    """(kind, name, xs, ys) of every line, scatter and group of bars in data coordinates."""
    lines = [line for line in ax.lines if line.get_transform() is ax.transData]
    for i, line in enumerate(lines):
        xs, ys = (_floats(z) for z in (line.get_xdata(), line.get_ydata()))
        yield "line", _name(line.get_label(), f"line {i}"), xs, ys
    for i, dots in enumerate(c for c in ax.collections if isinstance(c, PathCollection)):
        at: Any = np.ma.filled(np.ma.asarray(dots.get_offsets(), float), np.nan)
        yield "group of points", _name(dots.get_label(), f"points {i}"), at[:, 0], at[:, 1]
    for i, bars in enumerate(c for c in ax.containers if isinstance(c, BarContainer)):
        xs = _floats([bar.get_x() + bar.get_width() / 2 for bar in bars])
        ys = _floats([bar.get_height() for bar in bars])
        yield "group of bars", _name(bars.get_label(), f"bars {i}"), xs, ys


def _images(ax: Axes) -> Iterator[Any]:
    for shown in chain(ax.images, (c for c in ax.collections if isinstance(c, QuadMesh))):
        cells = shown.get_array()
        if cells is not None and np.ndim(cells) == 2:
            yield np.ma.filled(np.ma.asarray(cells, float), np.nan)


def _floats(values: Any) -> Any:
    """Dates and names of categories become their places on the axis."""
    try:
        return np.ma.filled(np.ma.asarray(values, float), np.nan)
    except (TypeError, ValueError):
        return np.arange(len(values), dtype=float)


def _name(label: Any, otherwise: str) -> str:
    return otherwise if str(label).startswith("_") or not label else str(label)
