"""The gradient horizon: what is left of a gradient, lag by lag, and the graph it went through."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import traitlets

from transformer_lab.instruments import horizon_curves as curves
from transformer_lab.instruments import horizon_still as still
from transformer_lab.instruments import wire
from transformer_lab.instruments.base import Instrument

MOST_PINS = 4
RANGES = {"gain": curves.GAIN, "forget_bias": curves.BIAS}


class GradientHorizon(Instrument):
    """The gradient of the last output by the input `lag` steps before it, relative to lag 0.

    cell: one of "tanh", "orthogonal tanh", "orthogonal ReLU", "GRU", "LSTM", "LSTM + forget bias",
    "attention"; all are 64 wide, over T = 100 random inputs, with the seeds 0, 1, 2. gain (0.5 to
    2) multiplies the recurrent matrices; forget_bias (0 to 5) acts on its own cell alone. pins: up
    to 4 settings (cell, gain, forget_bias) to compare with; one may stop after the cell.
    Raises ValueError or TypeError, naming the argument, for anything else.

    Synced both ways, as the learner left them: cell, gain, forget_bias, lag, pins. Read in Python:
    curve (the median of the seeds for each lag; 0.0 where float32 underflowed), at_lag, horizon.
    """

    module = "horizon.js"
    start = traitlets.Dict().tag(sync=True)  # title, sizes, and what "Start again" goes back to
    cell = traitlets.Any().tag(sync=True)
    gain = traitlets.Any().tag(sync=True)
    forget_bias = traitlets.Any().tag(sync=True)
    lag = traitlets.Any().tag(sync=True)
    pins = traitlets.Any().tag(sync=True)
    measured = traitlets.Dict(read_only=True).tag(sync=True)  # {"of": settings, "logs": bytes}
    grid = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self,
        cell: str = "LSTM",
        gain: float = 1.0,
        forget_bias: float = 1.0,
        lag: int = 50,
        pins: Sequence[Any] = (),
        predict: tuple[str, Sequence[str]] | None = None,
        title: str | None = None,
    ) -> None:
        state = {
            "cell": _cell(cell),
            "gain": _number("gain", gain),
            "forget_bias": _number("forget_bias", forget_bias),
            "lag": _lag(lag),
            "pins": _pins(pins),
        }
        sizes = {"T": curves.T, "width": curves.WIDTH, "seeds": len(curves.SEEDS)}
        kept = {"gains": list(curves.GAINS), "biases": list(curves.BIASES)}
        self._title = wire.text(title or "", "title")
        start = {"title": self._title, "cells": list(curves.CELLS), **sizes, **kept, **state}
        super().__init__(predict, start=start, **state)
        self.set_trait("grid", curves.GRID.read_bytes())
        self._show(curves.known)
        self.observe(self._measure, ["cell", "gain", "forget_bias", "pins"])

    @traitlets.validate("cell", "gain", "forget_bias", "lag", "pins")
    def _fits(self, proposal: Any) -> Any:
        name, value = proposal.trait.name, proposal.value
        if name in RANGES:
            return _number(name, value)
        return {"cell": _cell, "lag": _lag, "pins": _pins}[name](value)

    @property
    def _setting(self) -> curves.Setting:
        return curves.setting(self.cell, self.gain, self.forget_bias)

    def _measure(self, change: Any) -> None:
        if change.name == "pins" or self.measured["of"][0] != list(self._setting):
            self._show(lambda of: curves.measure(*of))

    def _show(self, chosen: Any) -> None:
        of = self._setting
        rows = [chosen(of), *(curves.known(curves.setting(*pin)) for pin in self.pins)]
        self._curves = rows
        settings = [list(of), *(list(curves.setting(*pin)) for pin in self.pins)]
        self.set_trait("measured", {"of": settings, "logs": wire.pack_floats(np.stack(rows))})

    @property
    def curve(self) -> list[float]:
        """The median of the seeds at lag 0..T-1, relative to lag 0."""
        return [still.value(log) for log in np.median(self._curves[0].astype(np.float64), 0)]

    @property
    def at_lag(self) -> float:
        """The curve at the chosen lag."""
        return self.curve[self.lag]

    @property
    def horizon(self) -> int | None:
        """The first lag with less than 1/1000 of the gradient; None where there is none."""
        return next((lag for lag, norm in enumerate(self.curve) if norm < 1e-3), None)

    def describe(self) -> str:
        name = still.title(self._setting)
        norm = self.at_lag
        amount = f"{norm:.0e}" if norm else "too small for float32, so exactly 0"
        words = f"{name}: {self.lag} steps back the gradient is {amount}"
        words += ", relative to the last step" if norm else ""
        reach = self.horizon
        words += (
            "; at least 1/1000 is left at every lag"
            if reach is None
            else f"; less than 1/1000 is left from lag {reach} on"
        )
        pins = [
            f"{still.short(of)} {still.value(np.median(logs[:, self.lag])):.0e}"
            for of, logs in zip(map(tuple, self.measured["of"][1:]), self._curves[1:], strict=True)
        ]
        return words + (f". Beside it: {', '.join(pins)}." if pins else ".")

    def picture(self) -> bytes:
        settings = [tuple(of) for of in self.measured["of"]]
        return still.picture(settings, self._curves, self.lag, self._title)


def _cell(cell: Any) -> str:
    if cell not in curves.CELLS:
        raise ValueError(f"cell = {cell!r}; expected one of {', '.join(curves.CELLS)}")
    return str(cell)


def _number(name: str, value: Any) -> float:
    low, high = RANGES[name]
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not low <= float(value) <= high:
        raise ValueError(f"{name} = {value!r}; expected {low:g} to {high:g}")
    return float(value)


def _lag(lag: Any) -> int:
    if isinstance(lag, bool) or not isinstance(lag, int):
        raise TypeError(f"lag must be a whole number, not {lag!r}")
    if not 0 <= lag < curves.T:
        raise ValueError(f"lag = {lag}; expected 0 to {curves.T - 1}")
    return lag


def _pins(pins: Any) -> list[list[Any]]:
    """Each pin as [cell, gain, forget bias], complete and each once."""
    if isinstance(pins, str) or not isinstance(pins, Sequence):
        raise TypeError(f"pins must be a list of settings, not {pins!r}")
    found = []
    for pin in pins:
        given = [pin] if isinstance(pin, str) else list(pin)
        if not 1 <= len(given) <= 3:
            raise ValueError(f"pins holds {pin!r}; expected (cell, gain, forget_bias)")
        cell, gain, bias = [*given, 1.0, 1.0][:3]
        numbers = _number("gain", gain), _number("forget_bias", bias)
        of = list(curves.setting(_cell(cell), *numbers))
        if of not in found:
            found.append(of)
    if len(found) > MOST_PINS:
        raise ValueError(f"pins holds {len(found)} settings; expected at most {MOST_PINS}")
    return found
