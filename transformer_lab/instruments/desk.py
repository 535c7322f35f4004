"""The head desk: silence any heads of a model and see at once what it would have said."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets
from torch import nn

from transformer_lab.instruments import desk_still, export, wire, words
from transformer_lab.instruments.attention import CAP, HeadGrid
from transformer_lab.instruments.desk_run import Answer, Pieces, Place, Subject
from transformer_lab.instruments.heads import heads

Reader = Callable[[str], tuple[Any, Sequence[str]]]
LARGEST = "mean of the largest weight of each row"
Vocabulary = Sequence[str] | Callable[[int], str]


class HeadDesk(HeadGrid):
    """Layers × heads of a model on a text: look at one, compare two, silence any of them.

    ids: (T,) or (1, T), the text. names: its T tokens as strings. mask: (T,) bool, True = a real
    token; None takes it from config.pad_id. vocabulary: the name of every token id, a sequence of
    V or a function; without it only the tokens of the text have names. read: text -> (ids, names),
    called with what the learner types. Raises ValueError or TypeError for what does not fit.

    Synced both ways: silenced (a list of [layer, head]); layer, head, query (a row), pinned, sort
    as in the explorer. Worked out in Python: before and after. For a LanguageModel these are the
    mean loss of the next token, in nats; for a TextEncoder the mean distance that a token's state
    moves, as a share of its length, so that before is 0 (see `desk_run`). The matrices are those
    of the whole model. `alone()` silences each head by itself.
    """

    module = "desk.js"
    silenced = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    before = traitlets.Float(read_only=True).tag(sync=True)
    after = traitlets.Float(read_only=True).tag(sync=True)
    whole = traitlets.Dict().tag(sync=True)  # the answer of the whole model
    result = traitlets.Dict().tag(sync=True)  # the answer without the silenced heads
    each_alone = traitlets.Bool(False).tag(sync=True)  # asks for:
    singles = traitlets.Dict().tag(sync=True)  # the answer without each head

    def __init__(
        self,
        model: nn.Module,
        ids: Any,
        names: Sequence[str],
        mask: Any = None,
        title: str | None = None,
        *,
        vocabulary: Vocabulary | None = None,
        read: Reader | None = None,
        **state: Any,
    ) -> None:
        self._model, self._vocabulary = model, vocabulary
        ours = self._meet(ids, names, mask)
        super().__init__(ours, read, title, **state)
        self._tell()
        self.observe(self._when_silenced, "silenced")
        self.observe(self._when_asked, "each_alone")
        self._when_asked()

    def _meet(self, ids: Any, names: Sequence[str], mask: Any) -> Any:
        """The text becomes the desk's; its attention weights."""
        subject = Subject(self._model, ids, mask)
        size = subject.model.config.vocab_size
        pieces = Pieces(subject.ids.tolist(), names, self._vocabulary, size)
        looks = subject.looks()
        ours = heads(subject.weights(), names, mask=None if looks.all() else looks)
        self._subject, self._pieces = subject, pieces
        self._alone: list[Answer] | None = None
        return ours

    def show(self, ids: Any, names: Sequence[str], mask: Any = None) -> None:
        """Another text at the same desk: the silenced heads stay, the chosen token is let go.

        The same text again reads the model anew, for instance after it was trained.
        """
        new = self._meet(ids, names, mask)
        with self.hold_sync():
            self._change(new)
            self._tell()
            self._when_asked()

    def _take(self, text: str) -> None:
        assert self._read is not None
        self.show(*self._read(text))

    @traitlets.validate("silenced")
    def _heads_exist(self, proposal: Any) -> list[list[int]]:
        places = self._heads.places()
        for place in proposal.value:
            if list(place) not in places:
                raise ValueError(
                    f"silenced must hold [layer, head] between {places[0]} and {places[-1]}, not "
                    f"{place!r}"
                )
        return [place for place in places if place in [list(p) for p in proposal.value]]

    def _when_silenced(self, _: Any) -> None:
        with self.hold_sync():
            self._answer()

    def _when_asked(self, _: Any = None) -> None:
        self.singles = self._packed_alone(lean=True) if self.each_alone else {}

    def _tell(self) -> None:
        self.whole = self._packed([self._subject.run([])], [[]])
        self.set_trait("before", self._subject.run([]).value)
        self._answer()

    def _answer(self) -> None:
        answer = self._subject.run(self.silenced)
        self.set_trait("after", answer.value)
        self.result = self._packed([answer], [self.silenced])

    def alone(self) -> dict[tuple[int, int], float]:
        """{(layer, head): change} with that head alone silenced: of the loss, or of the states."""
        before = self._subject.run([]).value
        places = self._heads.places()
        return {
            (layer, head): answer.value - before
            for (layer, head), answer in zip(places, self._each(), strict=True)
        }

    def _each(self) -> list[Answer]:
        if self._alone is None:
            self._alone = [self._subject.run([place]) for place in self._heads.places()]
        return self._alone

    def _packed_alone(self, lean: bool, layers: Sequence[int] | None = None) -> dict[str, Any]:
        places = self._heads.places()
        chosen = [i for i, (layer, _) in enumerate(places) if layers is None or layer in layers]
        answers = self._each()
        return self._packed([answers[i] for i in chosen], [[places[i]] for i in chosen], lean)

    def _packed(
        self, answers: Sequence[Answer], silenced: Sequence[Sequence[Place]], lean: bool = False
    ) -> dict[str, Any]:
        """Several answers as bytes; lean: one number for each alone."""
        lean = lean or len(self._heads.rows) > CAP
        ids = np.stack([answer.ids for answer in answers])
        return {
            "silenced": [[list(place) for place in places] for places in silenced],
            "values": [answer.value for answer in answers],
            "cosines": None if self._subject.predicts else [a.cosine for a in answers],
            "tokens": None if lean else wire.pack_floats([a.tokens for a in answers]),
            "counted": wire.pack_mask(self._subject.counted),
            # float32 holds every id up to 16 million
            "ids": None if lean else wire.pack_floats(ids),
            "shares": None if lean else wire.pack_floats([a.shares for a in answers]),
            "top": ids.shape[-1],
            "words": {} if lean else {str(i): self._pieces[i] for i in np.unique(ids).tolist()},
        }

    def _content(self, layers: Sequence[int]) -> dict[str, Any]:
        """As in the explorer; one score more, which says how strongly a head looks at all."""
        content, ours = super()._content(layers), self._heads
        live = np.maximum((ours.weights.sum(-1) > 0.5).sum(-1), 1)
        largest = (ours.weights.max(-1).sum(-1) / live)[[ours.layers.index(i) for i in layers]]
        content["scores"].append(["largest", "largest weight", LARGEST, False])
        content["values"] += wire.pack_floats(largest)
        return content

    def page_part(self, **state: Any) -> export.Part:
        """What a page needs, with each head silenced alone; `layer=3`: of one layer."""
        layers = [state["layer"]] if state.get("layer") in self._heads.layers else None
        state = {"singles": self._packed_alone(lean=False, layers=layers), **state}
        return super().page_part(**state)

    def describe(self) -> str:
        L, H, T, _ = self._heads.weights.shape
        size = f"{words.few(L, 'layer')} × {words.few(H, 'head')} over {words.few(T, 'token')}"
        loss = self._subject.predicts
        before, after = self._subject.run([]), self._subject.run(self.silenced)
        said = [f"Head desk: {size}."]
        if loss:
            said.append(f"Loss with all heads: {before.value:.2f} nats per token.")
        if not self.silenced:
            return " ".join([*said, "No head is silenced."])
        names = ", ".join(f"layer {layer} head {head}" for layer, head in self.silenced[:3])
        if (more := len(self.silenced) - 3) > 0:
            names += f" and {more} more"
        moved = np.round(after.tokens.astype(float) - (before.tokens if loss else 0), 2) + 0.0
        at = int(abs(moved).argmax())
        token = words.names(self._heads.rows)[at]
        if loss:
            change = f"loss {after.value:.2f} ({desk_still.signed(after.value - before.value)})"
            most = f"most changed: {token} ({desk_still.signed(moved[at])})"
        else:
            change = f"the states move by {after.value:.2f} of their length"
            most = f"most: {token} ({moved[at]:.2f})"
        return " ".join([*said, f"Without {names}: {change}; {most}."])

    def picture(self) -> bytes:
        query = self._subject.last if self.query is None else self.query
        answers = self._subject.run([]), self._subject.run(self.silenced)
        return desk_still.picture(
            self._heads,
            self._pieces,
            answers,
            self._subject.counted.cpu().numpy(),
            self.silenced,
            query,
            self._title,
        )
