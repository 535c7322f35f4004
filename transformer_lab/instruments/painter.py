"""The mask painter: who may look at whom, painted by hand, and all that follows from it."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
import traitlets
from torch import Tensor

from transformer_lab.instruments import painter_still, wire
from transformer_lab.instruments.base import Instrument
from transformer_lab.instruments.flow import LARGEST, PRESETS, first, leaks, preset, shape, weigh
from transformer_lab.instruments.words import few

MOST_LAYERS = 6
THREE = ("encoder", "decoder", "cross")
RULES = {"encoder": "all", "decoder": "causal", "cross": "all"}


class MaskPainter(Instrument):
    """A mask to paint, mask[t, s] True where t may look at s, with its weights, reach and leak.

    mask: the name of a rule ("causal", "padding", "window", "prefix", "block", "all", "none") for
    T positions that look at S, or boolean (T, S), T and S from 1 to 12. length: real keys, the
    rest is padding, hidden on top of any rule. width, prefix, block: sizes of the rules so named.
    source and target, both given, show instead the three masks of an encoder-decoder of so many
    positions; length is then that of the source. scores: (T, S), seeded unless given. tokens: names
    of the positions that look, looked_at of those looked at.

    Synced both ways: masks {name: rows of booleans}, part (the name of the one in hand), layers
    (1 to 6). Of the mask in hand, in Python: mask, which may be set, and weights, reach (rows of
    booleans: can input s change output t after so many layers, skip paths included?) and leak
    ([t, s] of every cell that lets the future in; none in an encoder or across).
    """

    module = "painter.js"
    start = traitlets.Dict().tag(sync=True)  # scores, names, and what "Start again" goes back to
    masks = traitlets.Dict().tag(sync=True)
    part = traitlets.Unicode("mask").tag(sync=True)
    layers = traitlets.Any(1).tag(sync=True)
    mask = traitlets.Any()
    weights = traitlets.List(traitlets.Any(), read_only=True)
    reach = traitlets.List(traitlets.Any(), read_only=True)
    leak = traitlets.List(traitlets.Any(), read_only=True)

    def __init__(
        self,
        mask: Any = "causal",
        T: int | None = None,
        S: int | None = None,
        *,
        length: int | None = None,
        width: int = 3,
        prefix: int = 2,
        block: int = 2,
        source: int | None = None,
        target: int | None = None,
        scores: Any = None,
        seed: int = 0,
        layers: int = 1,
        tokens: Sequence[str] | None = None,
        looked_at: Sequence[str] | None = None,
        title: str | None = None,
        predict: tuple[str, Sequence[str]] | None = None,
        **state: Any,
    ) -> None:
        if (source is None) != (target is None):
            raise ValueError(f"source = {source!r}, target = {target!r}; expected both or neither")
        names = THREE if source is not None else ("mask",)
        sizes = {
            "window": _whole("width", width, 1, LARGEST),
            "prefix": _whole("prefix", prefix, 0, LARGEST),
            "block": _whole("block", block, 1, LARGEST),
        }
        rules: dict[str, str] = RULES if source is not None else {"mask": "painted"}
        if source is not None:
            if not isinstance(mask, str) or mask != "causal" or (T, S) != (None, None):
                raise ValueError("mask, T and S belong to one mask; expected source and target")
            sides = {
                "source": _whole("source", source, 1, LARGEST),
                "target": _whole("target", target, 1, LARGEST),
            }
        elif isinstance(mask, str):
            if mask not in PRESETS:
                raise ValueError(f"mask = {mask!r}; expected one of {', '.join(PRESETS)}")
            rules = {"mask": "all" if mask == "padding" else mask}
            if T is None:
                T = 6 if tokens is None else len(tokens)
            sides = {"T": _whole("T", T, 1, LARGEST)}
            sides["S"] = sides["T"] if S is None else _whole("S", S, 1, LARGEST)
            if mask == "padding" and length is None:
                raise ValueError("mask = 'padding' needs length, the number of real keys")
        else:
            given = _grid("mask", mask)
            rows, columns = _size(given)
            if (T, S) not in [(None, None), (rows, columns)]:
                raise ValueError(f"T = {T!r}, S = {S!r}; expected the mask's, {rows} and {columns}")
            sides = {"T": rows, "S": columns}
        key_side = "source" if source is not None else "S"
        lengths = dict(sides)
        if length is not None:
            lengths[key_side] = _whole("length", length, 0, sides[key_side])
        masks = {}
        for name, rule in rules.items():
            rows, columns = shape(name, sides)
            size = sizes.get(rule, 0)
            base = _mask(given) if rule == "painted" else preset(rule, rows, columns, size)
            real = torch.arange(columns) < lengths[_keys(name)]
            masks[name] = (base & real).tolist()
        self._names, self._title = names, wire.text(title or "", "title")
        self._scores = _scores(scores, seed, names, shape(names[0], sides))
        start = {
            "rules": rules,
            "sizes": sizes,
            "lengths": lengths,
            "masks": masks,
            "scores": wire.pack_floats(self._scores.numpy()),
            "tokens": _tokens("tokens", tokens, sides.get("T", target)),
            "looked_at": _tokens("looked_at", looked_at, sides.get("S", source)),
            "title": self._title,
        }
        state = {"part": "decoder" if source is not None else "mask", "layers": layers, **state}
        super().__init__(predict, start=start, masks=masks, **state)
        self._follow()
        self.observe(self._follow, ["masks", "part", "layers"])
        self.observe(self._paint, "mask")

    @traitlets.validate("masks")
    def _grids(self, proposal: Any) -> dict[str, list[list[bool]]]:
        if set(proposal.value) != set(self._names):
            raise ValueError(f"masks has {sorted(proposal.value)}; expected {list(self._names)}")
        found = {name: _grid(f"masks[{name!r}]", proposal.value[name]) for name in self._names}
        if len(found) == 3:
            (S, _), (T, _) = (_size(found[name]) for name in ("encoder", "decoder"))
            expected = {"encoder": (S, S), "decoder": (T, T), "cross": (T, S)}
            for name, size in expected.items():
                if _size(found[name]) != size:
                    raise ValueError(
                        f"masks[{name!r}] has shape {_size(found[name])}; expected {size}"
                    )
        return found

    @traitlets.validate("mask")
    def _fits(self, proposal: Any) -> list[list[bool]]:
        return _grid("mask", proposal.value)

    @traitlets.validate("part")
    def _exists(self, proposal: Any) -> str:
        if proposal.value not in self._names:
            raise ValueError(f"part = {proposal.value!r}; expected one of {list(self._names)}")
        return proposal.value

    @traitlets.validate("layers")
    def _few(self, proposal: Any) -> int:
        return _whole("layers", proposal.value, 1, MOST_LAYERS)

    def _paint(self, change: Any) -> None:
        """What is set as `mask` is painted into the mask in hand."""
        if self.masks[self.part] != change.new:
            try:
                self.masks = {**self.masks, self.part: change.new}
            except ValueError:
                self.mask = self.masks[self.part]
                raise

    def _follow(self, _: Any = None) -> None:
        mask = self._in_hand()
        self.mask = self.masks[self.part]
        self.set_trait("weights", weigh(mask, self._used()).tolist())
        self.set_trait("reach", (self._first() > 0).tolist())
        self.set_trait("leak", leaks(mask, self.part))

    def _in_hand(self) -> Tensor:
        return _mask(self.masks[self.part])

    def _used(self) -> Tensor:
        """The scores of the mask in hand, float64 (T, S)."""
        T, S = _size(self.masks[self.part])
        return self._scores[self._names.index(self.part), :T, :S].double()

    def _first(self) -> Tensor:
        masks = {name: _mask(rows) for name, rows in self.masks.items()}
        return first(masks, self.part, self.layers)

    def describe(self) -> str:
        mask, reach = self._in_hand(), torch.tensor(self.reach)
        T, S = mask.shape
        name = "The mask" if self.part == "mask" else f"The {self.part} mask"
        if self.part == "cross":
            name = "The mask across"
        last = int(reach[-1].sum())
        words = (
            f"{name}, {T} × {S}: {int(mask.sum())} of {T * S} cells may look, "
            f"{len(self.leak)} of them at the future. After {few(self.layers, 'layer')} the last "
            f"output hears from {last} of {few(S, 'input')}."
        )
        empty = [t for t, row in enumerate(mask.tolist()) if not any(row)]
        if not empty:
            return words
        rows = f"Row {empty[0]} sees" if len(empty) == 1 else f"{len(empty)} rows see"
        return f"{words} {rows} nothing."

    def picture(self) -> bytes:
        grids = {name: _mask(rows) for name, rows in self.masks.items()}
        weights = weigh(self._in_hand(), self._used())
        return painter_still.picture(grids, self.part, weights, self._first(), self._title)


def _keys(part: str) -> str:
    return {"mask": "S", "decoder": "target"}.get(part, "source")


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if not low <= int(value) <= high:
        raise ValueError(f"{name} = {value!r}; expected {low} to {high}")
    return int(value)


def _mask(rows: Any) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def _size(rows: list[list[bool]]) -> tuple[int, int]:
    return len(rows), len(rows[0])


def _grid(name: str, mask: Any) -> list[list[bool]]:
    """A boolean table of at most 12 × 12, as rows."""
    found = wire.array(mask, name)
    if found.ndim != 2 or not all(1 <= side <= LARGEST for side in found.shape):
        raise ValueError(f"{name} has shape {found.shape}; expected (T, S), both 1 to {LARGEST}")
    if found.dtype != bool:
        raise TypeError(f"{name} must be boolean (True = may look), not {found.dtype}")
    return found.tolist()


def _scores(scores: Any, seed: int, names: Sequence[str], size: tuple[int, int]) -> Tensor:
    """One table of 12 × 12 for each mask, float32; given scores stand at the top left of it."""
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise TypeError(f"seed must be a whole number, not {seed!r}")
    chance = torch.Generator().manual_seed(int(seed))
    found = torch.randn(len(names), LARGEST, LARGEST, generator=chance).mul(100).round().div(100)
    if scores is not None:
        if len(names) > 1:
            raise ValueError("scores belong to one mask; with source and target they are seeded")
        given = wire.array(scores, "scores")
        if given.shape != size:
            raise ValueError(f"scores has shape {given.shape}; expected {size}")
        if (abs(given) > 1e6).any():
            raise ValueError(f"scores reaches {abs(given).max():g}; expected at most 1e+06")
        found[0, : size[0], : size[1]] = torch.tensor(given.astype(float))
    return found


def _tokens(name: str, tokens: Sequence[str] | None, count: int | None) -> list[str] | None:
    if tokens is None:
        return None
    found = [wire.text(token, name) for token in tokens]
    if len(found) != count:
        raise ValueError(f"{name} has {len(found)} names; expected {count}")
    return found
