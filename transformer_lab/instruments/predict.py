"""Predict first: commit to an answer, run the experiment, see both beside each other.

    predict("score-spread", "From d = 4 to d = 1024 the spread of q·k …", ["stays", "grows"])
    outcome("score-spread", "grows")

The answer is kept in the learner's own store. Nothing waits for it: unanswered, `outcome` shows
what was measured.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from transformer_lab import store
from transformer_lab.instruments import wire
from transformer_lab.instruments.base import Instrument

KIND = "predictions"  # of record in the store
INK = "color: var(--jp-content-font-color1, inherit); line-height: 1.5; max-width: 44em"
RULE = "border-left: 3px solid var(--jp-border-color1, #bdbdbd); padding: 2px 12px; " + INK


class Predict(Instrument):
    """A question with options, or with a slider where `low` and `high` are given.

    `answer` is None until the learner keeps one: the option's text, or the slider's number as text.
    Raises ValueError where the options, or the ends of the slider, make no sense.
    """

    module = "predict.js"
    low = traitlets.Float(0.0).tag(sync=True)
    high = traitlets.Float(0.0).tag(sync=True)
    step = traitlets.Float(0.0).tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        id: str,
        question: str,
        options: Sequence[str] = (),
        low: float | None = None,
        high: float | None = None,
        step: float | None = None,
        unit: str = "",
    ) -> None:
        options = [wire.text(option, "options") for option in options]
        if low is None or high is None:
            if len(set(options)) < max(2, len(options)) or (low, high) != (None, None):
                raise ValueError(
                    f"predict({id!r}) needs two or more different options, or low and high; got "
                    f"options={options}, low={low}, high={high}"
                )
            low = high = step = 0.0
        elif options or not low < high or (step is not None and not 0 < step <= high - low):
            raise ValueError(
                f"predict({id!r}) needs low < high, a step that fits between and no options; got "
                f"low={low}, high={high}, step={step}, options={options}"
            )
        step = (high - low) / 100 if step is None else step
        self.id = id
        super().__init__(low=low, high=high, step=step, unit=wire.text(unit, "unit"))
        self.question, self.options = wire.text(question, "question"), options
        kept = store.load(KIND, id).get("answer")
        if self.fits(kept):
            self.answer = kept
        self.observe(self._keep, "answer")

    def fits(self, answer: Any) -> bool:
        """Whether this is one of the options, or a number between the slider's ends."""
        if self.options or not isinstance(answer, str):
            return answer in self.options
        try:
            return self.low <= float(answer) <= self.high
        except ValueError:
            return False

    @traitlets.validate("answer")
    def _fitting(self, proposal: Any) -> str | None:
        if proposal.value is not None and not self.fits(proposal.value):
            raise traitlets.TraitError(f"answer = {proposal.value!r}; expected {self._choices()}")
        return proposal.value

    def _keep(self, change: Any) -> None:
        if change.new is not None:
            record = store.load(KIND, self.id)
            first = record.get("first", change.new)
            store.save(KIND, self.id, question=self.question, answer=change.new, first=first)

    def _choices(self) -> str:
        if self.options:
            return " · ".join(self.options)
        return f"{self.low:g} to {self.said(f'{self.high:g}')}"

    def said(self, answer: Any) -> str:
        """An answer as it is read: a number gets its unit."""
        text = f"{answer:.3g}" if isinstance(answer, float) else str(answer)
        return f"{text} {self.unit}".strip()

    def describe(self) -> str:
        """The question and what may be answered; never the answer, which is the learner's own."""
        return f"Predict: {self.question} ({self._choices()})"

    def picture(self) -> None:
        """There is nothing to draw."""

    def _figure(self, picture: bytes | None) -> str:
        """The question as HTML, the options below it."""
        items = "".join(f"<li>{html.escape(option)}</li>" for option in self.options)
        body = f"<ul>{items}</ul>" if items else f"<p>{html.escape(self._choices())}</p>"
        return (
            f'<div style="{RULE}"><b>Predict first</b><br>{html.escape(self.question)}{body}</div>'
        )


_asked: dict[str, Predict] = {}


def predict(
    id: str,
    question: str,
    options: Sequence[str] = (),
    *,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    unit: str = "",
) -> Predict:
    """Ask before an experiment: a choice between options, or a slider from low to high."""
    _asked[id] = Predict(id, question, options, low, high, step, unit)
    return _asked[id]


def outcome(id: str, measured: str | float) -> "Outcome":
    """What was measured, beside what the learner predicted, if anything.

    `measured` is one of the options, or a number where there was a slider. Raises ValueError for
    anything else, and for an id that `predict` has not asked about in this notebook.
    """
    if id not in _asked:
        raise ValueError(f"id = {id!r}: run the cell with predict({id!r}, …) first")
    asked = _asked[id]
    if asked.options:
        if measured not in asked.options:
            raise ValueError(f"measured = {measured!r}; expected one of {asked.options}")
    else:
        measured = float(measured)
    if asked.answer is not None:
        store.save(KIND, id, measured=measured)
    return Outcome(asked, asked.answer, measured)


@dataclass(frozen=True)
class Outcome:
    """A prediction and its truth: a sentence, and in a notebook both on one scale or list."""

    asked: Predict
    answer: str | None
    measured: str | float

    def __repr__(self) -> str:
        truth = f"Measured: {self.asked.said(self.measured)}."
        return truth if self.answer is None else f"You said: {self._guess}. {truth}"

    @property
    def _guess(self) -> str:
        return self.asked.said(self.answer)

    def _repr_html_(self) -> str:
        drawn = self._list() if self.asked.options else self._scale(float(self.measured))
        question = html.escape(self.asked.question)
        said = html.escape(repr(self))
        return f'<div style="{RULE}"><div>{question}</div>{drawn}<b>{said}</b></div>'

    def _list(self) -> str:
        rows = []
        for option in self.asked.options:
            notes = ["measured"] * (option == self.measured) + ["you"] * (option == self.answer)
            text = html.escape(option)
            text = f"<b>{text}</b>" if option == self.measured else text
            rows.append(f"<li>{text}{' ← ' + ', '.join(notes) if notes else ''}</li>")
        return f"<ul>{''.join(rows)}</ul>"

    def _scale(self, measured: float) -> str:
        """A line from low to high (wider where the truth lies outside), both ticks with words."""
        numbers = [measured] + ([] if self.answer is None else [float(self.answer)])
        low, high = min(self.asked.low, *numbers), max(self.asked.high, *numbers)

        def x(number: float) -> float:
            return 20 + 560 * (number - low) / (high - low)

        def tick(number: float, word: str, y: int, style: str) -> str:
            near = "end" if x(number) > 480 else "start"
            at = x(number) + (-6 if near == "end" else 6)
            return (
                f'<line x1="{x(number):.1f}" x2="{x(number):.1f}" y1="14" y2="46" {style}/>'
                f'<text x="{at:.1f}" y="{y}" text-anchor="{near}" fill="currentColor">'
                f"{html.escape(word)}</text>"
            )

        line = 'stroke="currentColor" stroke-width="2"'
        ticks = tick(measured, f"measured {self.asked.said(measured)}", 12, line)
        if self.answer is not None:
            ticks += tick(
                float(self.answer), f"you {self._guess}", 58, line + ' stroke-dasharray="4 3"'
            )
        return (
            f'<svg viewBox="0 0 600 64" width="600" style="max-width: 100%; font-size: 12px" '
            f'role="img" aria-label="{html.escape(repr(self))}">'
            f'<line x1="20" x2="580" y1="30" y2="30" stroke="currentColor" stroke-opacity="0.4"/>'
            f"{ticks}</svg>"
        )
