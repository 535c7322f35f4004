"""Figure with controls: a matplotlib figure that a learner's own function draws, with its knobs."""

import asyncio
import inspect
import io
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from matplotlib import rc_context, rc_params_from_file
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from transformer_lab.instruments import controls_read, wire
from transformer_lab.instruments.base import Instrument
from transformer_lab.look import small_png
from transformer_lab.plots import STYLE

WAIT = 0.005  # seconds in which further changes join the same redraw
REST = 0.25  # seconds without a change after which the axes are laid out anew
SMALL = 15_000  # bytes of the still picture
WHOLE_FIGURE = {"figure", "fig"}


class FigureControls(Instrument):
    """draw(ax, **values), and a native control for each value; every change draws again.

    draw gets empty axes, or an empty figure where its first parameter is named `figure` or `fig`.
    Controls carry draw's own names: (low, high) or (low, high, step) is a range, of whole numbers
    if all are whole; a list is a choice among strings or numbers; True or False is a switch. A
    control begins at draw's own default where there is one, else at the middle, the first, or as
    given. Raises TypeError or ValueError for controls that draw cannot take.

    One figure is kept and drawn again. An error in draw is told in a sentence below the picture,
    which stays what it was. alt(**values) may say in words what matters in the picture. The names
    title, alt, figsize and predict are taken.

    Synced both ways: values, {name: value}, as the learner left them; set some to draw again.
    `error` is what the last draw raised, or None; `image` is the picture as an ipywidgets.Image.
    """

    module = "controls.js"
    controls = traitlets.List(traitlets.Dict()).tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    image = traitlets.Instance(ipywidgets.Image).tag(sync=True, **ipywidgets.widget_serialization)
    words = traitlets.Unicode("").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    table = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        draw: Callable[..., Any],
        /,
        *,
        title: str = "",
        alt: Callable[..., str] | None = None,
        figsize: tuple[float, float] = (7, 3.6),
        predict: tuple[str, Sequence[str]] | None = None,
        **controls: Any,
    ) -> None:
        self._draw, self._alt = draw, alt
        self._name = getattr(draw, "__name__", type(draw).__name__)
        first, defaults = _parameters(draw, self._name, controls)
        self._whole_figure = first in WHOLE_FIGURE
        every = [_control(name, given) for name, given in controls.items()]
        self._controls = {control["name"]: control for control in every}
        for control in every:
            control["start"] = _start(control, defaults.get(control["name"]))
        values = {control["name"]: control["start"] for control in every}
        self.error: Exception | None = None
        self._due: asyncio.TimerHandle | None = None  # to draw again
        self._rest: asyncio.TimerHandle | None = None  # to lay out what is drawn
        self._places: list[Any] = []  # of the axes, as they were last laid out
        with _style():
            self._kept = Figure(figsize=_size(figsize))
            self._canvas = FigureCanvasAgg(self._kept)
        self._shown: dict[str, Any] | None = None  # the values of the picture
        self._pixels: Any = None
        image = ipywidgets.Image(format="png")
        super().__init__(
            predict, controls=every, values=values, image=image, title=wire.text(title, "title")
        )
        self._redraw()
        self.observe(self._soon, "values")

    @traitlets.validate("values")
    def _known(self, proposal: Any) -> dict[str, Any]:
        """All controls, those not named as they are."""
        if unknown := set(proposal.value) - set(self._controls):
            raise ValueError(f"values has no {sorted(unknown)}; expected {list(self._controls)}")
        given = {**self.values, **proposal.value}
        return {name: _fits(self._controls[name], given[name]) for name in self._controls}

    def _soon(self, _: Any) -> None:
        """Draw once for all changes that come together; at once where no kernel's loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._redraw()
        else:
            self._due = self._due or loop.call_later(WAIT, self._redraw, loop)

    def _settle(self) -> None:
        """Whatever is due, now."""
        if self._due is not None:
            self._redraw()
        elif self._rest is not None:
            self._lay_out()

    def _redraw(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Call draw and show the picture; the old one stays where draw fails.

        With a loop the axes stand where they stood, since measuring every label takes half of the
        time; they are laid out anew when the hand rests.
        """
        self._cancel()
        values, before = dict(self.values), _open_figures()
        kept = self._kept
        try:
            with _style():
                kept.clear()
                kept.set_layout_engine("none" if loop and self._places else "constrained")
                self._draw(kept if self._whole_figure else kept.subplots(), **values)
                own = _open_figures() - before
                if own and not any(ax.has_data() for ax in kept.axes):
                    raise _OwnFigure(own)
                controls_read.fewer_labels(kept)
                if loop and len(self._places) == len(kept.axes):
                    for ax, place in zip(kept.axes, self._places, strict=True):
                        ax.set_position(place)
                        ax.set_in_layout(True)
                    self._rest = loop.call_later(REST, self._lay_out)
                else:
                    kept.set_layout_engine("constrained")
                self._canvas.draw()
                words = self._say(values)
        except Exception as error:
            self._cancel()
            self.error = error
            self.message = self._complaint(error)
            return
        finally:
            _close(_open_figures() - before)
        self.error, self._shown = None, values
        with self.hold_sync():
            self.message, self.words = "", words
            self.table = controls_read.table(kept)
        self._show()

    def _lay_out(self) -> None:
        self._cancel()
        with _style():
            self._kept.set_layout_engine("constrained")
            self._canvas.draw()
        self._show()

    def _show(self) -> None:
        if self._rest is None:
            self._places = [ax.get_position(original=True) for ax in self._kept.axes]
        self._pixels = np.array(self._canvas.buffer_rgba())[..., :3]
        drawn = io.BytesIO()
        Image.fromarray(self._pixels).save(drawn, "png", compress_level=1)
        self.image.value = drawn.getvalue()

    def _cancel(self) -> None:
        for timer in (self._due, self._rest):
            if timer is not None:
                timer.cancel()
        self._due = self._rest = None

    def _say(self, values: dict[str, Any]) -> str:
        name = self.title or controls_read.title(self._kept) or f"Drawn by {self._name}"
        said = self._alt(**values) if self._alt else controls_read.words(self._kept)
        return wire.text(f"{name}{'' if name[-1] in '.?' else '.'} {_listed(values)}. {said}")

    def _complaint(self, error: Exception) -> str:
        """The learner's error in a sentence: what, and in which line of draw."""
        if isinstance(error, _OwnFigure):
            place = "figure" if self._whole_figure else "axes"
            said = f"{self._name} opened a figure of its own; draw on the {place} that it is given"
        else:
            name, line = self._where(error)
            place = f" in line {line}" if line else ""
            text = str(error).strip().split("\n")[0][:200]
            said = f"{name} stopped{place}: {type(error).__name__}{': ' if text else ''}{text}"
        kept = f" The picture still shows {_listed(self._shown)}." if self._shown else ""
        return wire.text(f"{said}.{kept}")

    def _where(self, error: Exception) -> tuple[str, int]:
        """Whose error it is, and in which of its lines, counted from 1; 0 where nobody knows."""
        frames = list(traceback.walk_tb(error.__traceback__))
        for name, function in (("alt", self._alt), (self._name, self._draw)):
            code = getattr(function, "__code__", None)
            lines = [line for frame, line in frames if frame.f_code is code]
            if code and lines:
                return name, lines[-1] - code.co_firstlineno + 1
        return self._name, 0

    def describe(self) -> str:
        self._settle()
        return " ".join(part for part in (self.message, self.words) if part)

    def picture(self) -> bytes | None:
        """The picture with as many colours as keep it small; None before the first."""
        self._settle()
        if self._pixels is None:
            return None
        image = Image.fromarray(self._pixels)
        tries: Iterable[bytes] = (small_png(image, colours) for colours in (64, 32, 16))
        stills = []
        for still in tries:
            stills.append(still)
            if len(still) <= SMALL:
                break
        return stills[-1]

    def state(self) -> dict[str, Any]:
        """As the browser gets it; the picture as bytes, since a page has one model only."""
        self._settle()
        return {**super().state(), "image": self.picture() or b""}


class _OwnFigure(Exception):
    """The learner's function drew with pyplot beside the axes that it was given."""


@cache
def _look() -> Any:
    return rc_params_from_file(STYLE, use_default_template=False)


def _style() -> Any:
    return rc_context(_look())


def _open_figures() -> set[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot else set()


def _close(numbers: set[int]) -> None:
    for number in numbers:
        sys.modules["matplotlib.pyplot"].close(number)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {_text(value)}" for name, value in values.items())


def _size(figsize: Any) -> tuple[float, float]:
    sides = np.asarray(figsize, float) if isinstance(figsize, (tuple, list)) else np.zeros(0)
    if sides.shape != (2,) or not ((sides >= 1) & (sides <= 12)).all():
        raise ValueError(f"figsize = {figsize!r}; expected (width, height) from 1 to 12 inches")
    return float(sides[0]), float(sides[1])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.6g}".replace("-", "−") if isinstance(value, (int, float)) else value


def _parameters(
    draw: Callable[..., Any], name: str, controls: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The name of draw's first parameter, and the defaults of the others."""
    if not callable(draw):
        raise TypeError(f"draw must be a function, not {draw!r}")
    if not controls:
        raise ValueError(f"{name} needs a control, as FigureControls({name}, k=(1, 9))")
    kinds = inspect.Parameter
    parameters = list(inspect.signature(draw).parameters.values())
    if not parameters or parameters[0].kind in {kinds.KEYWORD_ONLY, kinds.VAR_KEYWORD}:
        raise ValueError(f"{name} takes no axes; expected {name}(ax, …)")
    rest = [
        p for p in parameters[1:] if p.kind in {kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY}
    ]
    known = {p.name for p in rest}
    takes_all = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    if (unknown := [c for c in controls if c not in known]) and not takes_all:
        raise ValueError(f"{name} has no parameter {unknown[0]!r}; it takes {sorted(known)}")
    if missing := [p.name for p in rest if p.default is p.empty and p.name not in controls]:
        raise ValueError(f"{name} needs {missing[0]!r}: give it a control or a default")
    return parameters[0].name, {p.name: p.default for p in rest if p.default is not p.empty}


def _control(name: str, given: Any) -> dict[str, Any]:
    """What the browser must know of a control."""
    if isinstance(given, bool):
        return {"name": name, "kind": "switch", "start": given}
    if isinstance(given, list):
        plain = all(isinstance(option, (str, int, float)) for option in given)
        if not plain or len(given) < 2 or len(set(given)) < len(given):
            raise ValueError(f"{name} = {given!r}; expected two or more different texts or numbers")
        return {"name": name, "kind": "choice", "options": given, "start": given[0]}
    if isinstance(given, tuple):
        return {"name": name, "kind": "range", **_range(name, given)}
    raise TypeError(f"{name} = {given!r}; expected (low, high), a list of choices, True or False")


def _range(name: str, given: tuple[Any, ...]) -> dict[str, Any]:
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in given)
    if len(given) not in {2, 3} or not numbers or not all(map(math.isfinite, given)):
        raise ValueError(f"{name} = {given!r}; expected (low, high) or (low, high, step)")
    low, high = given[:2]
    whole = all(isinstance(x, int) for x in given)
    step = given[2] if len(given) == 3 else 1 if whole else _round_step((high - low) / 100)
    if not low < high or not 0 < step <= high - low:
        raise ValueError(f"{name} = {given!r}; expected low < high and a step that fits between")
    start = low + step * round((high - low) / 2 / step)
    start = start if whole else float(f"{start:.9g}")
    return {"low": low, "high": high, "step": step, "whole": whole, "start": start}


def _round_step(step: float) -> float:
    """The next step that reads well: 0.01, 0.02, 0.05, 0.1, …"""
    ten = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(float(f"{ten * x:.9g}") for x in (1, 2, 5, 10) if ten * x >= step * (1 - 1e-9))


def _start(control: dict[str, Any], default: Any) -> Any:
    try:
        return _fits(control, control["start"] if default is None else default)
    except ValueError:
        return control["start"]


def _fits(control: dict[str, Any], value: Any) -> Any:
    """The value as draw gets it. Raises ValueError where the control cannot stand there."""
    name, kind = control["name"], control["kind"]
    if kind == "switch":
        if not isinstance(value, bool):
            raise ValueError(f"{name} = {value!r}; expected True or False")
        return value
    if kind == "choice":
        found = [option for option in control["options"] if option == value]
        if not found:
            raise ValueError(f"{name} = {value!r}; expected one of {control['options']}")
        return found[0]
    low, high, whole = control["low"], control["high"], control["whole"]
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not plain or not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} = {value!r}; expected {kind} from {low:g} to {high:g}")
    return int(value) if whole else float(value)
