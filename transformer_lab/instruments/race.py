"""The race: an RNN and attention over the same tokens, in steps that must wait and in time."""

from collections.abc import Sequence
from typing import Any

import torch
import traitlets

from transformer_lab.instruments import race_still as still
from transformer_lab.instruments import race_times as laps
from transformer_lab.instruments import wire
from transformer_lab.instruments.base import Instrument

CHOICES = {"T": laps.LENGTHS, "D": laps.WIDTHS}


class Race(Instrument):
    """A tanh RNN, by its loop and by torch's layer, and self-attention: T tokens of width D.

    T: 16, 32, 64, … 4096. D: 16, 32, … 256. Raises ValueError or TypeError, naming the argument,
    for anything else.

    Synced both ways, as the learner left them: T, D. Read in Python: depth and products, counted
    and the same everywhere; milliseconds and crossover, measured on this machine. Words and picture
    are of what is counted alone.
    """

    module = "race.js"
    start = traitlets.Dict().tag(sync=True)  # title, sizes, and what "Start again" goes back to
    T = traitlets.Any().tag(sync=True)
    D = traitlets.Any().tag(sync=True)
    times = traitlets.Bytes(read_only=True).tag(sync=True)  # ms (widths, lengths, 4); 0: not yet
    threads = traitlets.Int(read_only=True).tag(sync=True)

    def __init__(
        self,
        T: int = 1024,
        D: int = 64,
        predict: tuple[str, Sequence[str]] | None = None,
        title: str | None = None,
    ) -> None:
        state = {"T": _choice("T", T), "D": _choice("D", D)}
        self._title = wire.text(title or "", "title")
        self._known: dict[tuple[int, int], laps.Times] = {}
        sizes = {"lengths": list(laps.LENGTHS), "widths": list(laps.WIDTHS), "most": laps.MOST}
        super().__init__(predict, start={"title": self._title, **sizes, **state}, **state)
        self._measure((self.T, self.D))
        self.observe(lambda _: self._measure((self.T, self.D)), ["T", "D"])
        self.on_msg(self._hear)

    @traitlets.validate("T", "D")
    def _fits(self, proposal: Any) -> Any:
        return _choice(proposal.trait.name, proposal.value)

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        """{"do": "measure", "T": …, "D": …}: one more; {"do": "again"}: all anew."""
        if not isinstance(content, dict):
            return
        if content.get("do") == "again":
            self.again()
        elif content.get("do") == "measure":
            self._measure((_choice("T", content.get("T")), _choice("D", content.get("D"))))

    def again(self) -> None:
        """Forget all times, and measure the chosen sizes anew."""
        laps.measure.cache_clear()
        self._known.clear()
        self._measure((self.T, self.D))

    def _measure(self, *sizes: tuple[int, int]) -> None:
        self._known |= {of: laps.measure(*of) for of in sizes}
        none = laps.Times(0, 0, 0, 0)
        rows = [[self._known.get((T, D), none) for T in laps.LENGTHS] for D in laps.WIDTHS]
        with self.hold_sync():
            self.set_trait("threads", torch.get_num_threads())
            self.set_trait("times", wire.pack_floats(1e3 * wire.array(rows)))

    @property
    def depth(self) -> dict[str, int]:
        """Matrix products in the longest chain that must wait, each for the one before."""
        return dict(zip(("rnn", "attention"), laps.depth(self.T), strict=True))

    @property
    def products(self) -> dict[str, int]:
        """Multiplications of all matrix products; attention's without and with its pairs."""
        return laps.products(self.T, self.D)._asdict()

    @property
    def milliseconds(self) -> dict[str, float]:
        """What one layer took here, just now."""
        found = laps.measure(self.T, self.D)
        seconds = {"loop": found.loop, "fused": found.library, "attention": found.attention}
        return {name: 1e3 * taken for name, taken in seconds.items()}

    @property
    def crossover(self) -> int | None:
        """The T from which attention is slower here than the fused RNN; None: not up to 4,096."""
        self._measure(*((T, self.D) for T in laps.LENGTHS))
        rows = [laps.measure(T, self.D) for T in laps.LENGTHS]
        wins = [
            T for T, row in zip(laps.LENGTHS, rows, strict=True) if row.attention <= row.library
        ]
        return next((T for T in laps.LENGTHS if max(wins, default=0) < T), None)

    def page_part(self, **state: Any) -> Any:
        """Everything is measured for a page, since nobody can measure on it."""
        self._measure(*((T, D) for T in laps.LENGTHS for D in laps.WIDTHS))
        return super().page_part(**state)

    def describe(self) -> str:
        return still.words(self.T, self.D)

    def picture(self) -> bytes:
        return still.picture(self.T, self.D, self._title)


def _choice(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value not in CHOICES[name]:
        raise ValueError(f"{name} = {value}; expected one of {', '.join(map(str, CHOICES[name]))}")
    return value
