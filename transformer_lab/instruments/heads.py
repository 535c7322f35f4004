"""Attention weights of a whole model as numbers: checked once, and one score per head and habit."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transformer_lab.instruments import wire, words

Floats = NDArray[np.float32]


class Score(NamedTuple):
    """One number per head, (L, H), with its name and meaning; `low`: small values come first."""

    key: str
    name: str
    meaning: str
    values: NDArray[np.float64]
    low: bool = False


@dataclass(frozen=True)
class Heads:
    """weights (L, H, T, S) with rows that sum to 1, or to 0 where mask (T, S) forbids the row."""

    weights: Floats
    layers: tuple[int, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    mask: NDArray[np.bool_] | None

    @property
    def count(self) -> int:
        """H, the heads of one layer."""
        return self.weights.shape[1]

    def places(self) -> list[list[int]]:
        """[layer, head] of every head, in order."""
        return [[layer, head] for layer in self.layers for head in range(self.count)]

    def at(self, layer: int, head: int) -> Floats:
        """The weights (T, S) of one head."""
        return self.weights[self.layers.index(layer), head]

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """Each a mean over the rows that may look at all; of `weights`, without rounding."""
        weights = self.weights.astype(np.float64)
        live = weights.sum(-1) > 0.5
        count = np.maximum(live.sum(-1), 1)
        logs = np.log(weights, out=np.zeros_like(weights), where=weights > 0)

        def at(*, rows: Sequence[int], columns: Sequence[int]) -> NDArray[np.float64]:
            """Mean weight from each of `rows` to its own one of `columns`."""
            seen = live[..., rows].sum(-1)
            return weights[..., rows, columns].sum(-1) / np.maximum(seen, 1)

        spread = -(weights * logs).sum((-1, -2)) / count
        everyone = range(len(self.rows))
        scores = [
            Score("entropy", "focus", "mean entropy of a row, in nats", spread, True),
            Score(
                "first",
                f"first token {self.columns[0]}",
                "mean weight on the first token",
                at(rows=everyone, columns=[0] * len(self.rows)),
            ),
            Score(
                "last",
                f"last token {self.columns[-1]}",
                "mean weight on the last token",
                at(rows=everyone, columns=[len(self.columns) - 1] * len(self.rows)),
            ),
        ]
        if self.rows != self.columns:
            return tuple(scores)
        own = list(everyone)
        scores.append(Score("self", "itself", "mean weight on itself", at(rows=own, columns=own)))
        if len(own) > 1:
            later, earlier = own[1:], own[:-1]
            scores += [
                Score(
                    "previous",
                    "previous token",
                    "mean weight on the token before",
                    at(rows=later, columns=earlier),
                ),
                Score(
                    "next",
                    "next token",
                    "mean weight on the token after",
                    at(rows=earlier, columns=later),
                ),
            ]
        if pairs := _after_a_copy(self.rows):
            meaning = "mean weight on what followed the same token before"
            values = at(rows=[t for t, _ in pairs], columns=[s for _, s in pairs])
            scores.append(Score("induction", "induction", meaning, values))
        return tuple(scores)

    def thumbs(self, side: int = 32) -> NDArray[np.uint8]:
        """(L, H, t, s) with t, s <= side: the largest weight of each block, 255 = 1."""
        step = max(1, -(-max(self.weights.shape[-2:]) // side))
        cut = np.maximum.reduceat(self.weights, range(0, len(self.rows), step), axis=-2)
        cut = np.maximum.reduceat(cut, range(0, len(self.columns), step), axis=-1)
        return np.rint(np.clip(cut, 0, 1) * 255).astype(np.uint8)


def _after_a_copy(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """(t, s): the token at s - 1 < t - 1 is the latest earlier one equal to the token at t."""
    latest: dict[str, int] = {}
    pairs = []
    for t, token in enumerate(tokens):
        if latest.get(token, t) < t - 1:
            pairs.append((t, latest[token] + 1))
        latest[token] = t
    return pairs


def heads(
    weights: Mapping[str, Any] | Iterable[Any],
    tokens: Sequence[str],
    looked_at: Sequence[str] | None = None,
    mask: Any = None,
) -> Heads:
    """Checks and stacks one (H, T, S) or (1, H, T, S) per layer; a mapping is sorted by number."""
    rows = tuple(wire.text(token, "tokens") for token in tokens)
    columns = rows if looked_at is None else tuple(wire.text(t, "looked_at") for t in looked_at)
    if not rows or not columns:
        raise ValueError("tokens must hold at least one token")
    named = _by_number(weights)
    layers = [_layer(value, f"weights[{key!r}]", len(rows), len(columns)) for key, value in named]
    if not layers:
        raise ValueError("weights must hold at least one layer")
    if len({layer.shape for layer in layers}) > 1:
        shapes = [layer.shape for layer in layers]
        raise ValueError(f"weights must have one shape in all layers, not {shapes}")
    stacked = np.stack(layers)
    only = [found[0] for key, _ in named if len(found := _numbers(key)) == 1]
    order = tuple(only) if len(set(only)) == len(named) else tuple(range(len(named)))
    allowed = _mask(mask, stacked)
    _check_rows(stacked, allowed, order)
    return Heads(stacked, order, rows, columns, allowed)


def _by_number(weights: Mapping[str, Any] | Iterable[Any]) -> list[tuple[Any, Any]]:
    if isinstance(weights, Mapping):
        return sorted(weights.items(), key=lambda item: _numbers(item[0]))
    return list(enumerate(weights))


def _numbers(key: Any) -> list[int]:
    """Those in the name of a layer: "layers.10.attention" -> [10]."""
    return [int(digits) for digits in re.findall(r"\d+", str(key))]


def _layer(values: Any, name: str, rows: int, columns: int) -> Floats:
    layer = wire.array(values, name)
    if layer.ndim == 4 and len(layer) == 1:
        layer = layer[0]
    if layer.ndim != 3 or layer.shape[1:] != (rows, columns) or not len(layer):
        raise ValueError(
            f"{name} must be (H, T, S) or (1, H, T, S) with T = {rows} and S = {columns} tokens, "
            f"not {layer.shape}"
        )
    return layer.astype(np.float32)


def _mask(mask: Any, weights: Floats) -> NDArray[np.bool_] | None:
    """(T, S), or None where every cell may be used; without a mask, rows of zeros are masked."""
    T, S = weights.shape[-2:]
    if mask is None:
        dead = weights.sum(-1).max((0, 1)) == 0
        return np.broadcast_to(~dead[:, None], (T, S)) if dead.any() else None
    cells = wire.array(mask, "mask")
    if cells.dtype != np.bool_:
        raise TypeError(f"mask must be boolean (True = may look), not {cells.dtype}")
    while cells.ndim > 2 and len(cells) == 1:
        cells = cells[0]
    if cells.shape not in {(S,), (1, S), (T, S)}:
        raise ValueError(f"mask must be (S,) or (T, S) = {(T, S)}, not {cells.shape}")
    cells = np.broadcast_to(cells, (T, S))
    if (leak := (weights * ~cells).max()) > 1e-4:
        raise ValueError(f"weights must be 0 where mask is False; the largest there is {leak:.4g}")
    return None if cells.all() else cells


def _check_rows(weights: Floats, mask: NDArray[np.bool_] | None, layers: tuple[int, ...]) -> None:
    if weights.min() < -1e-4:
        raise ValueError(f"weights must not be negative; the smallest is {weights.min():.4g}")
    sums = weights.sum(-1, dtype=np.float64)
    fine = (abs(sums - 1) < 5e-3) | (abs(sums) < 1e-6)
    if mask is not None:
        fine &= (sums > 0.5) == mask.any(-1)
    if not fine.all():
        at, head, row = (int(i) for i in np.argwhere(~fine)[0])
        expected = "1, or 0 where all is masked"
        raise ValueError(
            f"weights: row {row} of layer {layers[at]} head {head} sums to "
            f"{sums[at, head, row]:.4g}; expected {expected}"
        )


_BEST = {
    "entropy": ("Most focused", "mean entropy {:.2f} nats"),
    "previous": ("Most on the token before", "mean weight {:.2f}"),
}


def describe(
    ours: Heads, layer: int, head: int, query: int | None, pinned: Sequence[Sequence[int]]
) -> str:
    """Size, the two most telling heads, and what is shown, with numbers to two digits.

    The largest is sought among rounded numbers, so that the last bits of a float cannot choose it.
    """
    L, H, T, S = ours.weights.shape
    size = f"{words.few(L, 'layer')} × {words.few(H, 'head')}"
    over = words.few(T, "token") if T == S else f"{words.few(T, 'token')} × {S}"
    said = [f"Attention of {size} over {over}."]
    for score in ours.scores:
        if score.key in _BEST:
            values = np.round(score.values, 2) + 0.0
            best = int(values.argmin() if score.low else values.argmax())
            where = f"layer {ours.layers[best // H]} head {best % H}"
            name, number = _BEST[score.key]
            said.append(f"{name}: {where} ({number.format(values.flat[best])}).")
    rows, columns = words.names(ours.rows), words.names(ours.columns)
    if len(pinned) == 2:
        change = np.round(ours.at(*pinned[0]) - ours.at(*pinned[1]), 2) + 0.0
        t, s = divmod(int(abs(change).argmax()), S)
        one, two = (f"layer {place[0]} head {place[1]}" for place in pinned)
        shown = f"{one} minus {two}, most different from {rows[t]} to {columns[s]}"
        size = f"{change[t, s]:+.2f}".replace("-", "−")
        return " ".join([*said, f"Shown: {shown} ({size})."])
    weights = np.round(ours.at(layer, head), 2)
    t = int(weights.max(-1).argmax()) if query is None else query
    s = int(weights[t].argmax())
    looks = f"{rows[t]} looks most at {columns[s]} ({weights[t, s]:.2f})"
    if weights[t, s] == 0:
        looks = f"{rows[t]} may look at nothing"
    return " ".join([*said, f"Shown: layer {layer} head {head}, where {looks}."])
