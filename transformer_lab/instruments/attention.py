"""The attention explorer: every head of every layer, and who looks at whom, in your hand."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import traitlets

from transformer_lab.instruments import attention_still, export, wire
from transformer_lab.instruments.base import Instrument
from transformer_lab.instruments.heads import Heads, describe, heads

CAP = 128  # tokens drawn; a longer text gets one score per head and no matrix
BUDGET = 1_000_000  # bytes of weights sent at once
Weights = Mapping[str, Any] | Iterable[Any]
Reader = Callable[[str], tuple[Sequence[str], Weights]]


class HeadGrid(Instrument):
    """What the views of many heads share: one is chosen, two are pinned, any may be sent.

    A subclass gives the checked numbers, and says in `_take` what a typed text does.
    """

    content = traitlets.Dict().tag(sync=True)
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    query = traitlets.Int(None, allow_none=True).tag(sync=True)
    pinned = traitlets.List(traitlets.List(traitlets.Int()), maxlen=2).tag(sync=True)
    sort = traitlets.Unicode("order").tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self, ours: Heads, read: Callable[[str], Any] | None, title: str | None, **state: Any
    ) -> None:
        self._read, self._title, self._heads = read, wire.text(title or "", "title"), ours
        super().__init__(**{"layer": ours.layers[0], **state})
        self._publish()
        self.observe(self._when_head, ["layer", "head", "pinned"])
        self.observe(self._when_text, "text")

    def _take(self, text: str) -> None:
        """Reads a text with `read` and shows it."""
        raise NotImplementedError

    def _change(self, new: Heads) -> None:
        """Other numbers in the same view: the chosen head stays, the chosen token is let go."""
        self.query, self.message = None, ""
        same = (new.layers, new.count) == (self._heads.layers, self._heads.count)
        self._heads = new
        if not same:
            self.pinned, self.layer, self.head = [], new.layers[0], 0
        self._publish()

    @traitlets.validate("layer", "head", "query", "pinned")
    def _exists(self, proposal: Any) -> Any:
        name, value, ours = proposal.trait.name, proposal.value, self._heads
        allowed: dict[str, Any] = {
            "layer": list(ours.layers),
            "head": list(range(ours.count)),
            "query": [None, *range(len(ours.rows))],
            "pinned": ours.places(),
        }
        if any(v not in allowed[name] for v in (value if name == "pinned" else [value])):
            first, last = allowed[name][0], allowed[name][-1]
            raise ValueError(f"{name} must be between {first} and {last}, not {value!r}")
        return value

    def _when_head(self, _: Any) -> None:
        """A large model's weights travel when they are wanted."""
        sent = self.content["sent"]
        if sent and any(place not in sent for place in self._wanted()):
            self._publish()

    def _when_text(self, change: Any) -> None:
        """Reads the learner's text; what goes wrong is said in the view, as a sentence."""
        if self._read is None:
            self.message = "This instrument was given no `read`, so it cannot read a text."
        elif not change.new.strip():
            self.message = "Type a word or a sentence first."
        else:
            try:
                self._take(change.new)
            except Exception as error:
                self.message = f"This text could not be read: {error}"

    def _wanted(self) -> list[list[int]]:
        return [[self.layer, self.head], *self.pinned]

    def _publish(self) -> None:
        self.content = self._content(self._heads.layers)

    def _content(self, layers: Sequence[int]) -> dict[str, Any]:
        """What the browser draws: all heads if they fit, else one layer's, else the chosen ones."""
        ours = self._heads
        T, S = ours.weights.shape[-2:]
        every = [place for place in ours.places() if place[0] in layers]
        wanted = [place for place in self._wanted() if place in every]
        near = [place for place in every if place[0] == self.layer or place in wanted]
        fits = (some for some in (every, near) if some and 2 * T * S * len(some) <= BUDGET)
        sent = next(fits, wanted or every) if max(T, S) <= CAP else []
        rows = [ours.layers.index(layer) for layer in layers]
        thumbs = ours.thumbs()[rows] if sent and len(sent) < len(every) else None
        return {
            "title": self._title,
            "rows": list(ours.rows),
            "columns": None if ours.columns == ours.rows else list(ours.columns),
            "layers": list(layers),
            "count": ours.count,
            "sent": sent,
            "weights": b"".join(wire.pack_probabilities(ours.at(*place)) for place in sent),
            "mask": None if ours.mask is None else wire.pack_mask(ours.mask),
            "thumbs": None if thumbs is None else thumbs.tobytes(),
            "thumb": None if thumbs is None else list(thumbs.shape[-2:]),
            "scores": [[s.key, s.name, s.meaning, s.low] for s in ours.scores],
            "values": wire.pack_floats([s.values[rows] for s in ours.scores]),
            "cap": CAP,
            "reads": self._read is not None,
        }

    def page_part(self, **state: Any) -> export.Part:
        """What a page needs; `layer=3` leaves the other layers out, for a small page."""
        if "layer" in state:
            one = [state["layer"]]
            if one[0] not in self._heads.layers:
                raise ValueError(f"layer must be among {self._heads.layers}, not {one[0]!r}")
            pinned = [place for place in self.pinned if place[0] in one]
            state = {"content": self._content(one), "pinned": pinned, **state}
        return super().page_part(**state)


class AttentionExplorer(HeadGrid):
    """Layers × heads as thumbnails, one head as matrix and text, two heads as a difference.

    weights: {"layers.0.attention": (H, T, S), …} as `record_attention` gives them, or a sequence
    of one (H, T, S) per layer; (1, H, T, S) will do. tokens: the T that look, which are also the S
    looked at unless `looked_at` names those. mask: (S,) or (T, S), True = t may look at s; what it
    forbids is hatched. read: text -> (tokens, weights), called with what the learner types.
    Synced both ways: layer, head, query (a row), pinned (at most two [layer, head]), sort, text.
    """

    module = "attention.js"

    def __init__(
        self,
        weights: Weights,
        tokens: Sequence[str],
        *,
        looked_at: Sequence[str] | None = None,
        mask: Any = None,
        read: Reader | None = None,
        title: str | None = None,
        **state: Any,
    ) -> None:
        super().__init__(heads(weights, tokens, looked_at, mask), read, title, **state)

    def show(
        self,
        weights: Weights,
        tokens: Sequence[str],
        *,
        looked_at: Sequence[str] | None = None,
        mask: Any = None,
    ) -> None:
        """Other numbers in the same view: the chosen head stays, the chosen token is let go."""
        new = heads(weights, tokens, looked_at, mask)
        with self.hold_sync():
            self._change(new)

    def _take(self, text: str) -> None:
        assert self._read is not None
        tokens, weights = self._read(text)
        self.show(weights, tokens)

    def describe(self) -> str:
        return describe(self._heads, self.layer, self.head, self.query, self.pinned)

    def picture(self) -> bytes:
        return attention_still.picture(
            self._heads, self.layer, self.head, self.query, self.pinned, self._title
        )
