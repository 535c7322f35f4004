"""The Q/K/V stepper: attention as a strip of matrices, from the states to the mix of values."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
import traitlets

from transformer_lab.attention import attention_weights
from transformer_lab.instruments import bench_still, stepper_still, wire, words
from transformer_lab.instruments.base import Instrument

MOST_TOKENS, MOST_NUMBERS = 10, 8
LIMIT = 1e6  # the largest number, as in view/stepper.js
MOST_SCALE = 100.0
HEADS = ("query", "key", "value")
WEIGHTS = tuple(f"{name}_weight" for name in HEADS)
STEPS = (*HEADS, "scores", "scaled", "masked", "weights", "output")


class AttentionStepper(Instrument):
    """X, Q, K, V, scores, scale, mask, softmax and mix with every number; any input can be changed.

    Either states (T, D) with query_weight, key_weight (D, d) and value_weight (D, v), as in
    query = states @ query_weight; one left out is the identity. Or query (T, d), key (S, d) and
    value (S, v). At most 10 tokens and 8 numbers each. mask: (S,) or (T, S), True = t may look at
    s. scale: 1/√d unless given. tokens: the T that look; looked_at: the S, if they are others.
    Raises ValueError or TypeError for anything else.

    Synced both ways, as the learner left them: states and weights, or query, key, value (lists);
    mask, scale, token (the row that is read out), step (the name of the matrix on the desk, or
    "given"). Worked out from them in Python: scores, scaled (before the mask), weights, output, and
    with states also query, key, value.
    """

    module = "stepper.js"
    start = traitlets.Dict().tag(sync=True)  # names, title, and what "Start again" goes back to
    states = traitlets.Any().tag(sync=True)
    query_weight = traitlets.Any().tag(sync=True)
    key_weight = traitlets.Any().tag(sync=True)
    value_weight = traitlets.Any().tag(sync=True)
    query = traitlets.Any().tag(sync=True)
    key = traitlets.Any().tag(sync=True)
    value = traitlets.Any().tag(sync=True)
    mask = traitlets.Any().tag(sync=True)
    scale = traitlets.Any(1.0).tag(sync=True)
    token = traitlets.Int(0).tag(sync=True)
    step = traitlets.Unicode("output").tag(sync=True)
    scores: Any = traitlets.List(read_only=True).tag(sync=True)
    scaled: Any = traitlets.List(read_only=True).tag(sync=True)
    weights: Any = traitlets.List(read_only=True).tag(sync=True)
    output: Any = traitlets.List(read_only=True).tag(sync=True)

    def __init__(
        self,
        states: Any = None,
        query_weight: Any = None,
        key_weight: Any = None,
        value_weight: Any = None,
        query: Any = None,
        key: Any = None,
        value: Any = None,
        mask: Any = None,
        tokens: Sequence[str] | None = None,
        scale: float | None = None,
        *,
        looked_at: Sequence[str] | None = None,
        step: str = "output",
        token: int | None = None,
        predict: tuple[str, Sequence[str]] | None = None,
        title: str | None = None,
        group: str = "",
    ) -> None:
        weights = (query_weight, key_weight, value_weight)
        given = dict(zip((*WEIGHTS, *HEADS), (*weights, query, key, value), strict=True))
        self._inputs = _inputs(states, given)
        self._shapes = {name: _shape(value) for name, value in self._inputs.items()}
        self._mixing = True
        T, S, d = self._sizes()
        self._shapes["mask"] = (T, S)
        tokens, looked_at = _labels(tokens, looked_at, T, S)
        state = {
            **self._inputs,
            "mask": self._allowed(mask),
            "scale": _factor(d**-0.5 if scale is None else scale),
        }
        start = {
            **dict.fromkeys((*WEIGHTS, *HEADS, "states")),
            **state,
            "tokens": tokens,
            "looked": looked_at,
            "token_names": words.names(tokens),
            "looked_names": words.names(looked_at),
            "title": wire.text(title or "", "title"),
        }
        super().__init__(
            predict,
            start=start,
            token=T - 1 if token is None else token,
            step=step,
            group=group,
            **state,
        )
        self._mix()
        self.observe(self._mix, list(state))

    def _sizes(self) -> tuple[int, int, int]:
        if "states" in self._shapes:
            T = S = self._shapes["states"][0]
            return T, S, self._shapes["query_weight"][1]
        return self._shapes["query"][0], self._shapes["key"][0], self._shapes["query"][1]

    def _allowed(self, mask: Any) -> list[list[bool]]:
        shape = self._shapes["mask"]
        if mask is None:
            return np.ones(shape, bool).tolist()
        found = wire.array(mask, "mask")
        if found.dtype != np.bool_:
            raise TypeError(f"mask must be boolean (True = may look), not {found.dtype}")
        if found.shape not in (shape, shape[1:]):
            raise ValueError(f"mask has shape {found.shape}; expected {shape} or {shape[1:]}")
        return np.broadcast_to(found, shape).tolist()

    @traitlets.validate("states", *WEIGHTS, *HEADS)
    def _fits(self, proposal: Any) -> Any:
        name, value = proposal.trait.name, proposal.value
        if name in self._shapes:
            return _numbers(name, value, [self._shapes[name]])
        if not self._mixing:
            here = ", ".join(self._inputs)
            raise ValueError(f"{name} is worked out from or replaced by {here}; change those")
        return value

    @traitlets.validate("mask")
    def _masks(self, proposal: Any) -> list[list[bool]]:
        return self._allowed(proposal.value)

    @traitlets.validate("scale")
    def _scales(self, proposal: Any) -> float:
        return _factor(proposal.value)

    @traitlets.validate("token")
    def _exists(self, proposal: Any) -> int:
        if not 0 <= proposal.value < self._sizes()[0]:
            raise ValueError(f"token = {proposal.value}; expected 0 to {self._sizes()[0] - 1}")
        return int(proposal.value)

    @traitlets.validate("step")
    def _known(self, proposal: Any) -> str:
        known = STEPS if "states" in self._shapes else ("given", *STEPS[3:])
        if proposal.value not in known:
            raise ValueError(f"step = {proposal.value!r}; expected one of {', '.join(known)}")
        return str(proposal.value)

    def _mix(self, _: Any = None) -> None:
        number = {
            name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in self._inputs
        }
        self._mixing = True
        if "states" in number:
            for name in HEADS:
                number[name] = number["states"] @ number[f"{name}_weight"]
                self.set_trait(name, number[name].tolist())
        self._mixing = False
        query, key, value = (number[name] for name in HEADS)
        weights = attention_weights(query, key, torch.tensor(self.mask), self.scale)
        self.set_trait("scores", (query @ key.T).tolist())
        self.set_trait("scaled", (query @ key.T * self.scale).tolist())
        self.set_trait("weights", weights.tolist())
        self.set_trait("output", (weights @ value).tolist())

    def describe(self) -> str:
        looks, looked = self.start["token_names"], self.start["looked_names"]
        T, S, d = self._sizes()
        who, row = looks[self.token], self.weights[self.token]
        among = words.few(T, "token") if "states" in self._shapes else (
            f"{words.few(T, 'query').replace('querys', 'queries')} and {words.few(S, 'key')}"
        )  # fmt: skip
        cells = np.array(self.mask)
        hidden = int((~cells).sum())
        masked = f", {hidden} of {cells.size} cells masked" if hidden else ""
        head = f"Attention among {among}, d = {d}, scale {bench_still.number(self.scale)}{masked}."
        if not cells[self.token].any():
            return f"{head} {who} may look at nothing: its weights and its output are 0."
        most = int(np.argmax(np.round(row, 9)))
        return (
            f"{head} {who} looks most at {looked[most]}: scaled score "
            f"{bench_still.number(self.scaled[self.token][most])}, weight "
            f"{bench_still.number(row[most])}. Its output: "
            f"({', '.join(map(bench_still.number, self.output[self.token]))})."
        )

    def picture(self) -> bytes:
        return stepper_still.picture(
            {name: getattr(self, name) for name in (*HEADS, "scaled", "weights", "output")}
            | ({"states": self.states} if "states" in self._shapes else {}),
            np.array(self.mask),
            self.token,
            self.start,
        )


def _inputs(states: Any, given: dict[str, Any]) -> dict[str, list[list[float]]]:
    """The numbers that can be changed: states and three weights, or query, key and value."""
    here = [name for name, value in given.items() if value is not None]
    if states is None:
        if set(here) != set(HEADS):
            raise ValueError(
                f"give states, or query, key and value and no weights; given: {here or 'nothing'}"
            )
        found = {name: _numbers(name, given[name]) for name in HEADS}
        (_, d), (S, key_d), (values, _) = (_shape(found[name]) for name in HEADS)
        if key_d != d or values != S:
            shapes = ", ".join(f"{name} {_shape(found[name])}" for name in HEADS)
            raise ValueError(f"expected query (T, d), key (S, d), value (S, v); given: {shapes}")
        return found
    if direct := [name for name in HEADS if name in here]:
        raise ValueError(f"{', '.join(direct)} cannot be given beside states; give their weights")
    found = {"states": _numbers("states", states)}
    D = _shape(found["states"])[1]
    for name in WEIGHTS:
        found[name] = _numbers(name, np.eye(D) if given[name] is None else given[name])
        if _shape(found[name])[0] != D:
            raise ValueError(
                f"{name} has shape {_shape(found[name])}; expected ({D}, …), as in "
                f"states @ {name}. The weight of a torch Linear is turned: give layer.weight.T"
            )
    if _shape(found["query_weight"]) != _shape(found["key_weight"]):
        one, other = _shape(found["query_weight"]), _shape(found["key_weight"])
        raise ValueError(f"query_weight {one} and key_weight {other} must have the same shape")
    return found


def _numbers(
    name: str, numbers: Any, shapes: Sequence[tuple[int, ...]] | None = None
) -> list[list[float]]:
    """A matrix that fits on the desk, as lists of floats."""
    found = wire.array(numbers, name)
    most = (MOST_NUMBERS if name in WEIGHTS else MOST_TOKENS, MOST_NUMBERS)
    if found.dtype == np.bool_:
        raise TypeError(f"{name} must hold numbers, not bool")
    if shapes is not None and found.shape not in shapes:
        raise ValueError(f"{name} has shape {found.shape}; expected {shapes[0]}")
    if (
        found.ndim != 2
        or not found.size
        or any(n > m for n, m in zip(found.shape, most, strict=True))
    ):
        raise ValueError(
            f"{name} has shape {found.shape}; expected two axes, at most {most[0]} × {most[1]}"
        )
    if (abs(found) > LIMIT).any():
        raise ValueError(f"{name} reaches {abs(found).max():g}; expected at most {LIMIT:g}")
    return found.astype(float).tolist()


def _shape(rows: list[list[float]]) -> tuple[int, ...]:
    return len(rows), len(rows[0])


def _factor(scale: Any) -> float:
    if isinstance(scale, bool) or not isinstance(scale, Real):
        raise TypeError(f"scale must be a number, not {scale!r}")
    if not 0 <= float(scale) <= MOST_SCALE:
        raise ValueError(f"scale = {scale!r}; expected 0 to {MOST_SCALE:g}")
    return float(scale)


def _labels(
    tokens: Sequence[str] | None, looked_at: Sequence[str] | None, T: int, S: int
) -> tuple[list[str], list[str]]:
    """Names for the rows that look and those looked at; letters unless given."""
    if looked_at is None:
        same = tokens if tokens is not None and T == S else None
        looked_at = same or (list("abcdefghij"[:S]) if T == S else [f"k{i}" for i in range(S)])
    if tokens is None:
        tokens = looked_at if T == S else [f"q{i}" for i in range(T)]
    for name, found, count in (("tokens", tokens, T), ("looked_at", looked_at, S)):
        if isinstance(found, str) or len(found) != count:
            raise ValueError(f"{name} = {found!r}; expected {count} strings")
    return [wire.text(t) for t in tokens], [wire.text(t, "looked_at") for t in looked_at]
