"""What a model answers on one text with some of its heads silenced, in numbers.

One number per token, and their mean:
- a LanguageModel: the loss of a token, −log of the probability that the model gave it from the
  tokens before, in nats. The first token and padding have none.
- a TextEncoder: how far a token's state moves when heads are silenced, as a share of its length,
  |after − before| / |before|. 0 where nothing is silenced; padding has none.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transformer_lab.instruments import wire
from transformer_lab.masks import causal_mask
from transformer_lab.models import LanguageModel, TextEncoder
from transformer_lab.recording import record_attention, silence_heads

TOP = 5  # next tokens shown
Place = Sequence[int]


class Answer(NamedTuple):
    """value: the mean over the counted tokens. tokens (T,), 0 where not counted.

    ids and shares (T, 5): the likeliest next tokens behind each position; (T, 0) for an encoder.
    cosine: between the sentence vectors before and after; None for a language model.
    """

    value: float
    tokens: NDArray[np.float32]
    ids: NDArray[np.int64]
    shares: NDArray[np.float32]
    cosine: float | None


class Subject:
    """A model on one text: run it with any set of its heads silenced, dropout off.

    ids: (T,) or (1, T). mask: (T,) bool, True = a real token; None takes it from config.pad_id.
    Raises TypeError or ValueError that names what does not fit.
    """

    def __init__(self, model: nn.Module, ids: Any, mask: Any = None) -> None:
        if not isinstance(model, LanguageModel | TextEncoder):
            raise TypeError(
                f"model must be a LanguageModel or a TextEncoder, not {type(model).__name__}"
            )
        self.model, self.predicts = model, isinstance(model, LanguageModel)
        numbers = wire.array(ids, "ids")
        if numbers.dtype.kind not in "iu":
            raise TypeError(f"ids must be whole numbers, not {numbers.dtype}")
        if numbers.ndim == 2 and len(numbers) == 1:
            numbers = numbers[0]
        if numbers.ndim != 1 or not len(numbers):
            raise ValueError(f"ids must be (T,) or (1, T) with T >= 1, not {numbers.shape}")
        device = next(model.parameters()).device
        self.ids = torch.from_numpy(numbers.astype(np.int64)).to(device)
        self.real = self._real(mask)
        self.counted = torch.ones_like(self.ids, dtype=torch.bool)
        if self.real is not None:
            self.counted = self.real.clone()
        if self.predicts:
            self.counted[1:] &= self.counted[:-1].clone()
            self.counted[0] = False
        if not self.counted.any():
            least = "two real tokens in a row" if self.predicts else "one real token"
            raise ValueError(f"ids must hold at least {least}, not {numbers.tolist()}")
        self._states: Tensor | None = None
        self._whole: Answer | None = None

    def _real(self, mask: Any) -> Tensor | None:
        if mask is None:
            pad = self.model.config.pad_id
            return None if pad is None else self.ids != pad
        cells = wire.array(mask, "mask")
        if cells.dtype != np.bool_:
            raise TypeError(f"mask must be boolean (True = a real token), not {cells.dtype}")
        if cells.shape not in {(len(self.ids),), (1, len(self.ids))}:
            raise ValueError(f"mask must be (T,) = {(len(self.ids),)}, not {cells.shape}")
        return torch.from_numpy(cells.reshape(-1)).to(self.ids.device)

    @property
    def last(self) -> int:
        """The last real token, whose next one is not known yet."""
        return int(self.counted.nonzero()[-1])

    def looks(self) -> Tensor:
        """(T, T), True = t may look at s."""
        T = len(self.ids)
        cells = torch.ones(T, T, dtype=torch.bool) if not self.predicts else causal_mask(T, T)
        return cells if self.real is None else cells & self.real.cpu()

    def weights(self) -> dict[str, Tensor]:
        """Attention of the whole model: {"layers.0.attention": (1, H, T, T), …}."""
        with record_attention(self.model) as weights:
            self._forward([])
        return weights

    def run(self, silent: Sequence[Place]) -> Answer:
        """The answer with these [layer, head] silenced."""
        if not silent and self._whole is not None:
            return self._whole
        out = self._forward(silent)
        answer = self._predicted(out) if self.predicts else self._moved(out)
        if not silent:
            self._whole = answer
        return answer

    @torch.no_grad()
    def _forward(self, silent: Sequence[Place]) -> Tensor:
        heads: dict[int | str, list[int]] = {}
        for layer, head in silent:
            heads.setdefault(layer, []).append(head)
        mask = None if self.real is None else self.real[None]
        with evaluating(self.model), silence_heads(self.model, heads):
            return self.model(self.ids[None], mask=mask)[0].float()

    def _predicted(self, logits: Tensor) -> Answer:
        likely = logits.log_softmax(-1)
        tokens = torch.zeros(len(self.ids), device=logits.device)
        tokens[1:] = -likely[:-1].gather(1, self.ids[1:, None])[:, 0]
        top = likely.topk(min(TOP, likely.shape[-1]), dim=-1)
        return Answer(
            float(tokens[self.counted].double().mean()),
            self._array(torch.where(self.counted, tokens, 0)),
            top.indices.cpu().numpy(),
            self._array(top.values.exp()),
            None,
        )

    def _moved(self, states: Tensor) -> Answer:
        if self._states is None:
            self._states = self._forward([])
        before = self._states
        moved = (states - before).norm(dim=-1) / before.norm(dim=-1).clamp(min=1e-12)
        one, two = (
            TextEncoder.sentence_vectors(each[None], self.counted[None])[0]
            for each in (before.double(), states.double())
        )
        nothing = np.zeros((len(self.ids), 0))
        return Answer(
            float(moved[self.counted].double().mean()),
            self._array(torch.where(self.counted, moved, 0)),
            nothing.astype(np.int64),
            nothing.astype(np.float32),
            float(one @ two),
        )

    @staticmethod
    def _array(values: Tensor) -> NDArray[np.float32]:
        return values.cpu().numpy().astype(np.float32)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout and the like are off inside the block; each module is then as it was."""
    were = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in were:
            module.training = training


class Pieces:
    """The name of any token id: of the vocabulary if there is one, else as in the text."""

    def __init__(
        self,
        ids: Sequence[int],
        names: Sequence[str],
        vocabulary: Sequence[str] | Callable[[int], str] | None,
        size: int,
    ) -> None:
        if len(names) != len(ids):
            raise ValueError(f"names has {len(names)} entries; expected one for each of {len(ids)}")
        if vocabulary is not None and not callable(vocabulary) and len(vocabulary) < size:
            raise ValueError(
                f"vocabulary has {len(vocabulary)} entries; expected one for each of the model's "
                f"{size} ids, or a function from an id to its name"
            )
        self._known = dict(zip(ids, names, strict=True))
        self._vocabulary = vocabulary

    def __getitem__(self, number: int) -> str:
        if callable(self._vocabulary):
            return wire.text(self._vocabulary(number), "vocabulary")
        if self._vocabulary is not None:
            return wire.text(self._vocabulary[number], "vocabulary")
        return wire.text(self._known.get(number, f"id {number}"), "names")
