"""The temperature dial: width, keys, scale and temperature, and what they do to a softmax."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import traitlets

from transformer_lab.instruments import dial_numbers as dials
from transformer_lab.instruments import dial_still as still
from transformer_lab.instruments import wire
from transformer_lab.instruments.base import Instrument

TEMPERATURES = (0.1, 10.0)
CHOICES = {"d": dials.WIDTHS, "S": dials.SIZES, "exponent": dials.EXPONENTS}


class TemperatureDial(Instrument):
    """256 random queries look at S random keys; all numbers in both have spread 1.

    d: 4, 8, 16, … 1024. S: 2, 4, 8, … 256. exponent: 0, 0.5 or 1; every score is multiplied by
    d**-exponent and divided by temperature (0.1 to 10). seed: 0 to 999; the browser draws the same
    numbers. Raises ValueError or TypeError, naming the argument, for anything else.

    Synced both ways, as the learner left them: d, S, exponent, temperature. Read in Python, for the
    chosen scale: spread, entropy, saturated, gradient; for all scales: numbers(exponent), ratio.
    """

    module = "dial.js"
    start = traitlets.Dict().tag(sync=True)  # title, seed, and what "Start again" goes back to
    d = traitlets.Any().tag(sync=True)
    S = traitlets.Any().tag(sync=True)
    exponent = traitlets.Any().tag(sync=True)
    temperature = traitlets.Any().tag(sync=True)

    def __init__(
        self,
        d: int = 64,
        S: int = 64,
        exponent: float = 0.5,
        temperature: float = 1.0,
        seed: int = 0,
        predict: tuple[str, Sequence[str]] | None = None,
        title: str | None = None,
    ) -> None:
        state = {
            "d": _choice("d", d),
            "S": _choice("S", S),
            "exponent": _choice("exponent", exponent),
            "temperature": _temperature(temperature),
        }
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= 999:
            raise ValueError(f"seed = {seed!r}; expected a whole number from 0 to 999")
        self._seed, self._title = seed, wire.text(title or "", "title")
        super().__init__(predict, start={"title": self._title, "seed": seed, **state}, **state)

    @traitlets.validate("d", "S", "exponent", "temperature")
    def _fits(self, proposal: Any) -> Any:
        name, value = proposal.trait.name, proposal.value
        return _temperature(value) if name == "temperature" else _choice(name, value)

    def numbers(self, exponent: float | None = None) -> dials.Numbers:
        """Spread, entropy, saturated and gradient with this exponent; None: the chosen one."""
        exponent = self.exponent if exponent is None else _choice("exponent", exponent)
        return dials.numbers(self._seed, self.d, self.S, exponent, self.temperature)

    @property
    def spread(self) -> float:
        """The standard deviation of what goes into the softmax."""
        return self.numbers().spread

    @property
    def entropy(self) -> float:
        """The mean entropy of a row of weights, in nats."""
        return self.numbers().entropy

    @property
    def saturated(self) -> float:
        """The share of rows with a weight above .99."""
        return self.numbers().saturated

    @property
    def gradient(self) -> float:
        """The mean Frobenius norm of the softmax's Jacobian."""
        return self.numbers().gradient

    @property
    def ratio(self) -> float:
        """The gradient without a scale over that with the chosen one; √d where none is chosen."""
        return self.numbers(0).gradient / self.numbers(self.exponent or 0.5).gradient

    def describe(self) -> str:
        other = self.exponent or 0.5
        bare, scaled = self.numbers(0), self.numbers(other)
        name = still.SCALES[other]
        return (
            f"Temperature dial, d = {self.d}, {self.S} keys, temperature {self.temperature:g}: the "
            f"mean gradient is {bare.gradient:.3f} without a scale and {scaled.gradient:.3f} with "
            f"{name}; {100 * bare.saturated:.0f} % and "
            f"{100 * scaled.saturated:.0f} % of the rows are saturated."
        )

    def picture(self) -> bytes:
        state = (self.d, self.S, self.exponent, self.temperature)
        return still.picture(self._seed, *state, self._title)


def _choice(name: str, value: Any) -> Any:
    expected = CHOICES[name]
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if value not in expected:
        raise ValueError(f"{name} = {value!r}; expected one of {', '.join(map(str, expected))}")
    return next(one for one in expected if one == value)


def _temperature(value: Any) -> float:
    low, high = TEMPERATURES
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"temperature must be a number, not {value!r}")
    if not low <= float(value) <= high:
        raise ValueError(f"temperature = {value!r}; expected {low:g} to {high:g}")
    return float(value)
