"""A text in the making: what is written, and what the model need not compute again."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transformer_lab.cache import KeyValueCache
from transformer_lab.checks import check_boolean, check_ids, check_tensor
from transformer_lab.models import EncoderDecoder, LanguageModel
from transformer_lab.step import Step, is_plain


class Writer:
    """tokens (B, T) that grow; next_logits runs the model on what it has not seen yet."""

    def __init__(
        self,
        model: LanguageModel | EncoderDecoder,
        tokens: Tensor,
        room: int,
        cached: bool = True,
        source: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """room: how many tokens may be written; source (B, S) goes with an EncoderDecoder.

        mask (B, T) is False for padding; ValueError unless that is at the left of a prompt.
        """
        self.model, self.tokens = model, tokens
        self._mask = self._padding(mask)
        self._caches: list[KeyValueCache] = []
        self._own: list[KeyValueCache] = []  # those that hold what the text itself gave
        self._cache: list | None = None
        self._states = self._source_mask = None
        length = tokens.shape[1] + room
        if isinstance(model, EncoderDecoder):
            assert source is not None
            self._states, self._source_mask = model.encode(source), model.source_mask(source)
            if cached:
                pairs = model.new_cache(source.shape[1], length)
                self._cache, self._caches = pairs, [kept for pair in pairs for kept in pair]
                self._own = [own for own, _ in pairs]
        elif cached:
            self._cache = self._caches = self._own = model.new_cache(length)
        self.plain = model if is_plain(model) else None
        self._step: Step | None = None

    def next_logits(self) -> Tensor:
        """Logits (B, V) for the token that follows."""
        tokens = self.tokens
        if self._caches and self._caches[0].length:
            tokens = tokens[:, self._caches[0].length :]
        if isinstance(self.model, EncoderDecoder):
            assert self._states is not None
            logits = self.model.decode(tokens, self._states, self._source_mask, self._cache)
        elif self.plain is not None and self._caches and self._caches[0].length:
            self._step = self._step or Step(self.plain)  # one token needs none
            return self._step(tokens, self._mask, self._caches)
        else:
            logits = self.model(tokens, self._mask, self._cache)
        return logits[:, -1]

    def append(self, chosen: Tensor) -> None:
        """Write one token in every row: (B, 1)."""
        self.tokens = torch.cat([self.tokens, chosen], 1)
        if self._mask is not None:
            self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=True)

    def reorder(self, rows: Tensor, same_prompts: bool = False) -> None:
        """Row b goes on from what row rows[b] holds; rows may be more or fewer than before.

        same_prompts=True promises that both came from one prompt, so that what a prompt and its
        source gave can stay where it is.
        """
        self.tokens = self.tokens[rows]
        for kept in self._own if same_prompts else self._caches:
            kept.reorder(rows)
        if same_prompts:
            return
        self._mask = None if self._mask is None else self._mask[rows]
        self._states = None if self._states is None else self._states[rows]
        if self._source_mask is not None:
            self._source_mask = self._source_mask[rows]

    def _padding(self, mask: Tensor | None) -> Tensor | None:
        """The mask, None where nothing is padded."""
        pad_id = self.model.config.pad_id
        if mask is not None:
            check_boolean(mask)
            if isinstance(self.model, EncoderDecoder):
                raise ValueError("mask goes with a LanguageModel: a target is never padded")
            if mask.shape != self.tokens.shape:
                raise ValueError(
                    f"mask must have shape (B, T) = {tuple(self.tokens.shape)}, got "
                    f"{tuple(mask.shape)}"
                )
        if mask is None and pad_id is not None and isinstance(self.model, LanguageModel):
            mask = self.tokens != pad_id
        if mask is None or bool(mask.all()):
            # An explicit mask: a pad id that is written later is a token like any other.
            return None if pad_id is None else torch.ones_like(self.tokens, dtype=torch.bool)
        if not bool(mask[:, -1].all()) or bool((mask[:, :-1] & ~mask[:, 1:]).any()):
            raise ValueError(
                "mask must be False at the left of a prompt only, where left_pad pads it"
            )
        return mask


def left_pad(prompts: Sequence[Sequence[int]], pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths as tokens (B, T) and mask (B, T), padded at their left.

    At the left, because the next token is written at the right. Raises ValueError for an empty one.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError("prompts must hold at least one prompt, and each at least one token")
    longest = max(map(len, prompts))
    tokens = torch.full((len(prompts), longest), pad_id)
    mask = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = True
    return tokens, mask


def check_prompt(
    model: LanguageModel | EncoderDecoder, tokens: Tensor, new: int, source: Tensor | None
) -> None:
    """Raises TypeError or ValueError for what generate cannot go on from, by `new` tokens."""
    if not isinstance(model, LanguageModel | EncoderDecoder):
        raise TypeError(
            f"model must be a LanguageModel or an EncoderDecoder, got {type(model).__name__}"
        )
    if isinstance(model, EncoderDecoder) is (source is None):
        raise ValueError("source (B, S) goes with an EncoderDecoder, and only with one")
    reader = model.embedding if isinstance(model, LanguageModel) else model.target_embedding
    check_ids("tokens", tokens, reader.tokens)
    if source is not None:
        check_tensor("source", source)
        if source.shape[:1] != tokens.shape[:1]:
            raise ValueError(
                f"source and tokens must have as many rows, got {tuple(source.shape)} and "
                f"{tuple(tokens.shape)}"
            )
    config = model.config
    if config.positions not in ("none", "alibi") and tokens.shape[1] + new > config.max_len:
        raise ValueError(
            f"{tokens.shape[1]} tokens and max_new_tokens={new} more reach beyond the model's "
            f"max_len={config.max_len}"
        )
