"""The translator: an encoder–decoder writes piece by piece, and every step can be looked at."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import traitlets

from transformer_lab.instruments import export, translator_still, wire
from transformer_lab.instruments.base import Instrument
from transformer_lab.instruments.crossing import hits, looks, picks
from transformer_lab.instruments.reading import Reading, read_number
from transformer_lab.instruments.unrolled import WIDTHS, Unrolled, unroll
from transformer_lab.models import EncoderDecoder
from transformer_lab.tokens import Vocabulary

MOST = 16  # pieces written, at most
LONGEST = 64  # source pieces
EXAMPLES = ("42", "21", "342", "777")


class Translator(Instrument):
    """Type a text, then step the decoder: what it expects next, and where it looks for it.

    model: an EncoderDecoder. source, target: its vocabularies. text: what is translated first.
    examples: texts with a button of their own; those that the model cannot read are left out. read:
    text -> Reading, a number's by default; its right answer and alignment are marked if known.

    Synced both ways, as the learner left them: text, step (pieces written), width (1 greedy, 2 to 4
    beams), beam (from 0, the likeliest), attention ("mean", "1" for the mean of layer 1, "1.2" for
    its head 2). Worked out in Python for the width's best text: translation, log_probability, right
    (None where no answer is known) and agreement (hits, places): how often the largest weight of a
    step lies on the word that its piece truly translates.
    """

    module = "translator.js"
    content = traitlets.Dict().tag(sync=True)
    sentence = traitlets.Dict().tag(sync=True)
    embedded = traitlets.Dict().tag(sync=True)  # text -> sentence, on a page without a kernel
    text = traitlets.Unicode("").tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    width = traitlets.Int(1).tag(sync=True)
    beam = traitlets.Int(0).tag(sync=True)
    attention = traitlets.Unicode("mean").tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        model: EncoderDecoder,
        source: Vocabulary,
        target: Vocabulary,
        text: str = "342",
        *,
        examples: Sequence[str] = EXAMPLES,
        read: Callable[[str], Reading] = read_number,
        title: str | None = None,
        predict: tuple[str, Sequence[str]] | None = None,
        **state: Any,
    ) -> None:
        _check(model, source, target)
        self.model, self.source, self.target, self._read = model, source, target, read
        self._title = wire.text(title or "", "title")
        config = model.config
        self._most = min(MOST, config.max_len - 1)
        self._layers, self._heads = config.n_layers, config.n_heads
        self._reading, self._tree = self._translate(wire.text(text, "text"))
        super().__init__(predict, **{"text": text, **state})
        self._examples = [wire.text(each, "examples") for each in examples if self._readable(each)]
        self.content = {
            "title": self._title,
            "examples": self._examples,
            "layers": self._layers,
            "heads": self._heads,
        }
        self.sentence = self._sentence(text, self._reading, self._tree)
        self.observe(self._when_text, "text")
        self.observe(self._when_width, "width")

    def refresh(self) -> None:
        """Translate the same text again, after the model has learned more."""
        self._show(self.sentence["text"])

    def _show(self, text: str) -> None:
        self._reading, self._tree = self._translate(text)
        with self.hold_sync():
            self.step = self.beam = 0
            self.message = ""
            self.sentence = self._sentence(text, self._reading, self._tree)

    def _when_text(self, change: Any) -> None:
        """Translates what the learner typed; what cannot be read is said in the view."""
        try:
            self._show(change.new)
        except ValueError as error:
            self.message = str(error)

    def _when_width(self, _: Any) -> None:
        steps = self._tree.beams[self.width]
        self.step = min(self.step, len(steps) - 1)
        self.beam = min(self.beam, len(steps[self.step]) - 1)

    @traitlets.validate("width", "step", "beam")
    def _exists(self, proposal: Any) -> int:
        name, value = proposal.trait.name, proposal.value
        steps = self._tree.beams.get(self.width, [[0]])
        among = {"width": range(1, WIDTHS[-1] + 1), "step": range(len(steps))}
        here = steps[min(self.step, len(steps) - 1)]
        allowed = among.get(name, range(len(here)))
        if value not in allowed:
            first, last = allowed[0], allowed[-1]
            raise ValueError(f"{name} = {value!r}; expected {first} to {last}")
        return value

    @traitlets.validate("attention")
    def _is_head(self, proposal: Any) -> str:
        picks(proposal.value, self._layers, self._heads)
        return proposal.value

    def _readable(self, text: str) -> bool:
        try:
            self._ids(self._read(text))
        except ValueError:
            return False
        return True

    def _ids(self, reading: Reading) -> list[int]:
        pieces = reading.source
        if len(pieces) > LONGEST:
            raise ValueError(f"This is {len(pieces)} pieces long; at most {LONGEST} are read.")
        unknown = [piece for piece in pieces if piece not in self.source.pieces]
        if unknown:
            raise ValueError(f"The model never saw “{unknown[0]}”, so it cannot read it.")
        return self.source.encode(pieces)

    def _translate(self, text: str) -> tuple[Reading, Unrolled]:
        reading = self._read(text)
        ids = self._ids(reading)
        return reading, unroll(self.model, ids, Vocabulary.START, Vocabulary.END, self._most)

    def _sentence(self, text: str, reading: Reading, tree: Unrolled) -> dict[str, Any]:
        """One text and all its steps, as the browser gets them."""
        used = {*tree.pieces, *tree.top.flatten().tolist()}
        return {
            "text": text,
            "source": list(reading.source),
            "expected": None if reading.expected is None else list(reading.expected),
            "aligned": list(reading.aligned),
            "names": {str(piece): self.target.pieces[piece] for piece in sorted(used)},
            "end": Vocabulary.END,
            "parents": tree.parents,
            "pieces": tree.pieces,
            "rows": [-1 if row is None else row for row in tree.rows],
            "scores": wire.pack_floats(tree.scores),
            "beams": [tree.beams[width] for width in WIDTHS],
            "shown": tree.top.shape[-1],
            "top": wire.pack_floats(tree.top),
            "logs": wire.pack_floats(tree.log_probs),
            "weights": wire.pack_probabilities(tree.weights),
        }

    def _written(self) -> list[str]:
        return self.target.decode(self._tree.written(self._tree.best(self.width)))

    @property
    def translation(self) -> str:
        return "".join(self._written())

    @property
    def log_probability(self) -> float:
        return self._tree.scores[self._tree.best(self.width)]

    @property
    def right(self) -> bool | None:
        expected = self._reading.expected
        return None if expected is None else tuple(self._written()) == expected

    @property
    def agreement(self) -> tuple[int, int]:
        rows, truth = self._looks()
        return hits(rows, truth)

    def _looks(self) -> tuple[Any, list[int]]:
        """Where each step of the best text looked (T, S), and where it should have, or -1."""
        path = self._tree.path(self._tree.best(self.width))
        rows = [row for node in path if (row := self._tree.rows[node]) is not None]
        written, expected = self._written(), list(self._reading.expected or ())
        known = (
            next(
                (i for i, (a, b) in enumerate(zip(written, expected, strict=False)) if a != b),
                len(expected),
            )
            + 1
        )  # the step that goes wrong was still asked for the right one
        truth = [*self._reading.aligned[:known], *[-1] * len(rows)][: len(rows)]
        return looks(self._tree.weights[rows], self.attention).numpy(), truth

    def page_part(self, texts: Sequence[str] | None = None, **state: Any) -> export.Part:
        """What a page needs: `texts` (else the examples) and the present one can be stepped."""
        texts = self._examples if texts is None else texts
        chosen = dict.fromkeys([self.sentence["text"], *texts])
        found = {text: self._sentence(text, *self._translate(text)) for text in chosen}
        content = {**self.content, "examples": list(found)}
        return super().page_part(**{"embedded": found, "content": content, **state})

    def describe(self) -> str:
        verdict = {True: "right", False: "wrong", None: "no answer known"}[self.right]
        search = "greedy" if self.width == 1 else f"{self.width} beams"
        chance = f"{math.exp(self.log_probability):.2f}"
        there, places = self.agreement
        words = (
            f"“{self.sentence['text']}” → {'·'.join(self._written()) or '(nothing)'} ({verdict}), "
            f"{search}, probability {chance}."
        )
        if places:
            words += (
                f" Its largest cross-attention weight lies on the true word for {there} of "
                f"{places} pieces."
            )
        return words

    def picture(self) -> bytes:
        rows, truth = self._looks()
        written = [*self._written(), "<end>"][: len(rows)]
        return translator_still.picture(
            self._reading.source, written, rows, truth, self._title or self.describe()
        )


def _check(model: Any, source: Any, target: Any) -> None:
    if not isinstance(model, EncoderDecoder):
        raise TypeError(f"model must be an EncoderDecoder, got {type(model).__name__}")
    for name, given, size in (
        ("source", source, model.source_embedding.tokens.num_embeddings),
        ("target", target, model.head.out_features),
    ):
        if not isinstance(given, Vocabulary):
            raise TypeError(f"{name} must be a Vocabulary, got {type(given).__name__}")
        if len(given) != size:
            raise ValueError(f"{name} has {len(given)} pieces; expected the model's {size}")
