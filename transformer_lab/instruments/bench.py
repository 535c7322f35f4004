"""The Q/K/V bench: one query among a few keys in a plane, and every number on the way out."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
import traitlets

from transformer_lab.attention import attention_weights
from transformer_lab.instruments import bench_still, wire
from transformer_lab.instruments.base import Instrument

MOST_KEYS = 6
LIMIT = 1e6  # the largest coordinate, as in view/bench.js
RANGES = {"temperature": (0.01, 100.0), "scale": (0.0, 100.0)}


class AttentionBench(Instrument):
    """One query and S keys in a plane, and what attention hands over: the weighted values.

    query: (2,). keys: (S, 2), S from 2 to 6. values: (S,) numbers or (S, 2) points. names: S
    different strings; "a", "b", … unless given. Every score is multiplied by scale (0 to 100) and
    divided by temperature (0.01 to 100). Raises ValueError or TypeError for anything else.

    Synced both ways, as the learner left them: query, key, value (lists), temperature, scale. The
    names are those of `attention(query, key, value)`; a widget's `keys` are its traits' names.
    Worked out from them in Python: weights (S,), and output, a number or a point like a value.
    """

    module = "bench.js"
    start = traitlets.Dict().tag(sync=True)  # names, title, and what "Start again" goes back to
    query = traitlets.Any().tag(sync=True)
    key = traitlets.Any().tag(sync=True)
    value = traitlets.Any().tag(sync=True)
    temperature = traitlets.Any(1.0).tag(sync=True)
    scale = traitlets.Any(1.0).tag(sync=True)
    weights = traitlets.List(traitlets.Float(), read_only=True).tag(sync=True)
    output = traitlets.Any(read_only=True).tag(sync=True)

    def __init__(
        self,
        query: Any,
        keys: Any,
        values: Any,
        names: Sequence[str] | None = None,
        temperature: float = 1.0,
        predict: tuple[str, Sequence[str]] | None = None,
        title: str | None = None,
        scale: float = 1.0,
    ) -> None:
        shape = wire.array(keys, "keys").shape
        if len(shape) != 2 or shape[1] != 2 or not 2 <= shape[0] <= MOST_KEYS:
            raise ValueError(f"keys has shape {shape}; expected (S, 2) with S from 2 to 6")
        S = shape[0]
        shapes: dict[str, list[tuple[int, ...]]]
        shapes = {"query": [(2,)], "key": [(S, 2)], "value": [(S,), (S, 2)]}
        self._shapes = shapes
        state = {
            "query": self._numbers("query", query),
            "key": self._numbers("key", keys, "keys"),
            "value": self._numbers("value", values, "values"),
            "temperature": _factor("temperature", temperature),
            "scale": _factor("scale", scale),
        }
        # The browser draws values as points or as numbers from here on.
        self._shapes["value"] = [wire.array(state["value"]).shape]
        self._names, self._title = _names(names, S), wire.text(title or "", "title")
        start = {"names": self._names, "title": self._title, **state}
        super().__init__(predict, start=start, **state)
        self._mix()
        self.observe(self._mix, list(state))

    def _numbers(self, trait: str, numbers: Any, name: str = "") -> list[Any]:
        """Finite numbers of the right shape, as lists of floats."""
        name = name or trait
        found, allowed = wire.array(numbers, name), self._shapes[trait]
        if found.shape not in allowed:
            expected = " or ".join(map(str, allowed))
            raise ValueError(f"{name} has shape {found.shape}; expected {expected}")
        if (abs(found) > LIMIT).any():
            raise ValueError(f"{name} reaches {abs(found).max():g}; expected at most {LIMIT:g}")
        return found.astype(float).tolist()

    @traitlets.validate("query", "key", "value")
    def _fits(self, proposal: Any) -> list[Any]:
        return self._numbers(proposal.trait.name, proposal.value)

    @traitlets.validate("temperature", "scale")
    def _in_range(self, proposal: Any) -> float:
        return _factor(proposal.trait.name, proposal.value)

    def _mix(self, _: Any = None) -> None:
        query, key, value = (
            torch.tensor(numbers, dtype=torch.float64)
            for numbers in (self.query, self.key, self.value)
        )
        weights = attention_weights(query[None], key, scale=self.scale / self.temperature)[0]
        self.set_trait("weights", weights.tolist())
        self.set_trait("output", (weights @ value).tolist())

    def describe(self) -> str:
        shares = zip(self._names, self.weights, strict=True)
        weights = ", ".join(f"{name} {bench_still.number(w)}" for name, w in shares)
        scale = "" if self.scale == 1 else f" and scale {self.scale:g}"
        return (
            f"The query {bench_still.point(self.query)} among {len(self._names)} keys, at "
            f"temperature {self.temperature:g}{scale}. Weights: {weights}. "
            f"Output: {bench_still.point(self.output)}."
        )

    def picture(self) -> bytes:
        return bench_still.picture(
            self._names, self.query, self.key, self.value, self.weights, self.output, self._title
        )


def _factor(name: str, value: Any) -> float:
    low, high = RANGES[name]
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not low <= float(value) <= high:
        raise ValueError(f"{name} = {value!r}; expected {low:g} to {high:g}")
    return float(value)


def _names(names: Sequence[str] | None, S: int) -> list[str]:
    if names is None:
        return list("abcdef"[:S])
    found = [wire.text(name, "names") for name in names]
    if len(found) != S or len(set(found)) != S or not all(name.strip() for name in found):
        raise ValueError(f"names = {found}; expected {S} different names, none empty")
    return found
