"""The map of the course: one model, what each of its parts is for, and the lesson that shows it.

Drawn from a config and counting's formula, so that it cannot disagree with the model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from transformer_lab.config import ModelConfig
from transformer_lab.counting import Breakdown, formula, layer_formula
from transformer_lab.look import KEY, OUTPUT, POSITION, QUERY, VALUE
from transformer_lab.plots import QUIET, STYLE, Picture
from transformer_lab.presets import Kind, Preset, resolve

EDGE, WIDE, GAP, GUTTER = 5, 320, 50, 30  # hundredths of an inch: margin, stack, between, stream
INK, PAPER, TOKENS, FEED = "#1f1f1f", "#f6f4f0", "#5f5f5f", "#b9b4a7"
ROLES = {"query": QUERY, "key": KEY, "value": VALUE, "output": OUTPUT}
PLACES = {
    "sinusoidal": "waves, added: the place in the text",
    "learned": "a vector for each place, added",
    "rotary": "turn queries and keys by place",
    "alibi": "lower a score with the distance",
}


@dataclass(frozen=True)
class Part:
    """One box of the map."""

    name: str
    purpose: str
    lessons: tuple[str, ...]
    count: int  # parameters; of one layer where it is part of a layer
    colour: str = INK

    @property
    def attends(self) -> bool:
        return "attention" in self.name


@dataclass(frozen=True)
class Stack:
    """An encoder or a decoder: what comes before its L layers, what each holds, what follows.

    A layer is a sequence of blocks: a part, and the parameters of its norm.
    """

    writes: bool
    before: tuple[Part, ...]
    layer: tuple[tuple[Part, int], ...]
    after: tuple[Part, ...]

    @property
    def name(self) -> str:
        return "The decoder writes" if self.writes else "The encoder reads"


def stacks(
    config: ModelConfig | Preset, kind: Kind | None = None, source_vocab_size: int | None = None
) -> list[Stack]:
    """The parts of a model; together, the layers L times, they hold formula's total.

    Arguments as in counting.formula.
    """
    config, kind = resolve(config, kind)
    whole = formula(config, kind, source_vocab_size)
    own = Breakdown({n: a for n, a in formula(config, "encoder").items() if "embedding" in n})
    both, found = kind == "encoder-decoder", []
    for decodes in {"encoder": [False], "decoder": [True]}.get(kind, [False, True]):
        tables = Breakdown(own)
        if both and source_vocab_size is None and decodes:
            tables = Breakdown()  # the encoder's again
        elif both and source_vocab_size is not None and not decodes:
            tables = Breakdown({name: whole[name] - n for name, n in own.items()})
        before = _tables(config, tables)
        after = []
        if config.norm == "pre":
            norm = whole["final norm"] // (1 + both)
            after.append(Part("Last norm", "one size for all states", ("07",), norm))
        if decodes:
            purpose = "a score for each token of the list"
            if config.tie_embeddings:
                purpose = "the token vectors again, as scores"
            after.append(Part("Output head", purpose, ("08", "09"), whole["output head"], TOKENS))
        elif config.pooler:
            after.append(Part("Pooler", "one vector for the text", ("09",), whole["pooler"]))
        blocks = tuple(_blocks(config, decodes, decodes and both))
        found.append(Stack(decodes, tuple(before), blocks, tuple(after)))
    return found


def _tables(config: ModelConfig, counts: Breakdown) -> Iterator[Part]:
    """What makes the first states; without counts it is what another stack holds."""
    purpose = "a list of numbers for each token" if counts else "the encoder's table again"
    yield Part("Token vectors", purpose, ("00", "09"), counts["token embedding"], TOKENS)
    if config.positions != "none":
        purpose, count = PLACES[config.positions], counts["position embedding"]
        yield Part("Positions", purpose, ("06",), count, POSITION)
    if config.n_segments:
        purpose, count = "which of two texts it is", counts["segment embedding"]
        yield Part("Segments", purpose, ("09",), count)
    if config.embedding_norm:
        yield Part("First norm", "one size for all states", ("07",), counts["embedding norm"])


def _blocks(config: ModelConfig, decodes: bool, cross: bool) -> Iterator[tuple[Part, int]]:
    parts = layer_formula(config, cross)

    def block(key: str, *about: str, lessons: tuple[str, ...], colour: str) -> tuple[Part, int]:
        mine = Breakdown({name: n for name, n in parts.items() if name.startswith(f"{key} ")})
        norm = mine[f"{key} norm"]
        return Part(about[0], about[1], lessons, mine.total - norm, colour), norm

    if decodes:
        about = "Masked self-attention", "takes from no later token"
    else:
        about = "Self-attention", "takes from all tokens"
    yield block("attention", *about, lessons=("02",), colour=QUERY)
    if cross:
        about = "Cross-attention", "takes from the source"
        yield block("cross-attention", *about, lessons=("08",), colour=QUERY)
    about = "Feed-forward", "works on each token alone"
    yield block("feed-forward", *about, lessons=("07",), colour=FEED)


def course_map(
    config: ModelConfig | Preset,
    kind: Kind | None = None,
    source_vocab_size: int | None = None,
    title: str | None = None,
) -> Picture:
    """One picture of a model: a box for each part, its purpose, its lessons and its parameters.

    Arguments as in counting.formula; the counts in a layer are those of one layer.
    """
    config, kind = resolve(config, kind)
    model = stacks(config, kind, source_vocab_size)
    total = formula(config, kind, source_vocab_size).total
    height = max(_height(stack) for stack in model)
    with rc_context(fname=STYLE):
        figure = Figure(figsize=(7, height / 100))
        figure.set_layout_engine("none")
        FigureCanvasAgg(figure)
        figure.suptitle(
            title or f"{total:,} parameters; in bold, the lesson of each part", x=0.01, ha="left"
        )
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, 700), ylim=(height, 0))
        ax.axis("off")
        left = EDGE if len(model) == 2 else (700 - WIDE) / 2
        ends = [
            _Column(ax, left + i * (WIDE + GAP), mirrored=i == 1).draw(stack, config)
            for i, stack in enumerate(model)
        ]
        if len(model) == 2:
            _bridge(ax, ends[0][1], ends[1][0])
    return Picture(figure, title, _words(model, config, total))


def _height(stack: Stack) -> float:
    return 56 + 54 * len(stack.before + stack.after) + _layer_height(stack) + 34


def _layer_height(stack: Stack) -> float:
    return 26 + sum(34 + _box_height(part) for part, _ in stack.layer)


def _box_height(part: Part) -> float:
    return 84 if part.attends else 44


class _Column:
    """Draws a stack from the top down. The stream runs in a gutter, boxes stand beside it."""

    def __init__(self, ax: Axes, left: float, mirrored: bool) -> None:
        self.ax, self.left, self.y, self.cross = ax, left, 56.0, 0.0
        self.stream = left + (WIDE - 12 if mirrored else 12)
        self.inner = left + (6 if mirrored else GUTTER)
        self.mirrored = mirrored

    def draw(self, stack: Stack, config: ModelConfig) -> tuple[float, tuple[float, float]]:
        """Returns the height of its cross-attention, and where its states come out."""
        self.text(self.left, self.y - 8, stack.name, weight="bold", size=10.5)
        self.text(self.left + WIDE - 30, self.y - 8, "all places at once", ha="right")
        self.text(self.left + WIDE - 8, self.y - 8, "01", ha="right", weight="bold")
        end = self.y + 54 * len(stack.before) + _layer_height(stack)
        self.panel(end - _layer_height(stack), end)
        low = end + 54 * len(stack.after) - 10
        self.line((self.stream, self.y + 20), (self.stream, low if stack.after else end))
        for part in stack.before:
            self.box(part, self.left, WIDE)
            self.y += 10
        layers = f"× {config.n_layers} layers" if config.n_layers > 1 else "1 layer"
        self.text(self.inner + 8, self.y + 14, layers, weight="bold")
        right = self.inner + WIDE - GUTTER - 14
        self.text(right - 22, self.y + 14, "+ : what came in stays", ha="right")
        self.text(right, self.y + 14, "07", ha="right", weight="bold")
        self.y += 20
        for part, norm in stack.layer:
            self.block(part, norm, config.norm)
        self.y += 6
        for part in stack.after:
            self.box(part, self.left, WIDE)
            self.y += 10
        out = self.y - 10 if stack.after else self.y
        if stack.writes:
            self.text(self.left + 12, out + 18, "softmax: how likely each next token is")
            self.text(self.left + WIDE - 8, out + 18, "02", ha="right", weight="bold")
        return self.cross, (self.stream, out)

    def panel(self, top: float, end: float) -> None:
        self.ax.add_patch(Rectangle((self.left, top), WIDE, end - top, fc=PAPER, ec="none"))

    def block(self, part: Part, norm: int, place: str) -> None:
        """A part with its norm before or behind it, and the way round both."""
        top, high = self.y, _box_height(part)
        edge = self.inner + (WIDE - GUTTER - 6 if self.mirrored else 0)
        begin = top + 12
        self.line((self.stream, begin), (edge, begin))
        if place == "pre":
            self.norm(norm, self.inner, WIDE - GUTTER - 6)
        if part.name == "Cross-attention":
            self.cross = self.y + 22
        self.box(part, self.inner, WIDE - GUTTER - 6)
        joined = self.y - 10
        self.line((edge, joined), (self.stream, joined))
        self.ax.plot(self.stream, joined, "o", ms=12, mfc="white", mec=INK, mew=0.9, zorder=2)
        self.text(self.stream, joined + 4.5, "+", ha="center", size=11)
        if place == "post":
            self.y += 4
            self.norm(norm, self.left + 2, WIDE - 4)
            self.y -= 4
        self.y = top + high + 34

    def norm(self, count: int, left: float, wide: float) -> None:
        self.ax.add_patch(
            Rectangle((left, self.y + 2), wide, 19, fc="white", ec=QUIET, lw=0.8, zorder=2)
        )
        self.text(left + 8, self.y + 15.5, "Norm")
        self.text(left + wide / 2 - 14, self.y + 15.5, "07", weight="bold")
        self.text(left + wide - 8, self.y + 15.5, f"{count:,}", ha="right")
        self.y += 24

    def box(self, part: Part, left: float, wide: float) -> None:
        high = _box_height(part)
        self.ax.add_patch(
            Rectangle((left, self.y), wide, high, fc="white", ec=INK, lw=1.0, zorder=2)
        )
        self.ax.add_patch(Rectangle((left, self.y), 5, high, zorder=3, fc=part.colour, ec="none"))
        self.text(left + 12, self.y + 18, part.name, weight="bold", size=10)
        lessons = " ".join(part.lessons)
        self.text(left + wide - 8, self.y + 18, lessons, ha="right", weight="bold", size=10)
        self.text(left + 12, self.y + 35, part.purpose)
        self.text(left + wide - 8, self.y + 35, f"{part.count:,}", ha="right")
        if part.attends:
            x = left + 12
            for name, colour in ROLES.items():
                self.ax.add_patch(Rectangle((x, self.y + 46), 8, 8, zorder=3, fc=colour, ec="none"))
                self.text(x + 12, self.y + 54, name)
                x += 25 + 8 * len(name)
            for x, name, lesson in ((12, "√d", "03"), (68, "heads", "05"), (148, "masks", "04")):
                self.text(left + x, self.y + 74, name)
                self.text(left + x + 10 + 7 * len(name), self.y + 74, lesson, weight="bold")
        self.y += high

    def line(self, *points: tuple[float, float]) -> None:
        xs, ys = zip(*points, strict=True)
        self.ax.plot(xs, ys, color=INK, lw=1.2, zorder=1)

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        look: dict[str, Any] = {"size": 9, "color": INK, "zorder": 4, **style}
        self.ax.text(x, y, words, **look)


def _bridge(ax: Axes, start: tuple[float, float], height: float) -> None:
    """The encoder's states on their way into every cross-attention."""
    x, y = start
    middle = EDGE + WIDE + GAP / 2
    ax.plot([x, x, middle, middle], [y, y + 14, y + 14, height], color=KEY, lw=2)
    arrow = {"arrowstyle": "-|>", "color": KEY, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (EDGE + WIDE + GAP + 7, height), (middle - 1, height), arrowprops=arrow)
    ax.text(x + 16, y + 30, "one state for each token", size=9, color=INK)


def _words(model: Sequence[Stack], config: ModelConfig, total: int) -> str:
    """The map without a picture."""

    def named(part: Part) -> str:
        lessons = f"lesson{'s' * (len(part.lessons) > 1)} {' and '.join(part.lessons)}"
        return f"{part.name}: {part.purpose} ({part.count:,}, {lessons})"

    told = []
    side = "before" if config.norm == "pre" else "behind"
    for stack in model:
        layer = "; ".join(
            f"{named(part)}{', with √d (03), heads (05), masks (04)' * part.attends}, its norm "
            f"{side} it ({norm:,}, lesson 07)"
            for part, norm in stack.layer
        )
        steps = [named(part) for part in stack.before]
        steps.append(f"{config.n_layers} × [{layer}]")
        told.append(f"{stack.name}: " + "; ".join(chain(steps, map(named, stack.after))))
    return f"Parts with parameters and lessons. {'. '.join(told)}. Together {total:,}."
