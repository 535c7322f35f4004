"""Whole models: token ids in, states or logits out. No loss, no training, no plotting."""

import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.cache import KeyValueCache
from transformer_lab.checks import check_boolean, check_states
from transformer_lab.config import ModelConfig
from transformer_lab.embedding import Embedding
from transformer_lab.initialise import glorot, quieten, small_normal
from transformer_lab.layers import DecoderLayer, EncoderLayer, make_norm
from transformer_lab.masks import token_mask


class TextEncoder(nn.Module):
    """A stack of encoder layers (Devlin et al. 2019 with norm="post"): one state per token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))
        self.norm = _final_norm(config)
        self.pooler = nn.Linear(config.d_model, config.d_model) if config.pooler else None
        self.apply(small_normal)

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """tokens (B, T) -> states (B, T, D).

        mask is bool, True = may be looked at: (B, T) for padding or (B, T, T); None takes it from
        config.pad_id, and without a pad_id every token sees every token.
        """
        states, places = self.embedding(tokens, segments)
        mask = self._mask(tokens, mask)
        for layer in self.layers:
            states = layer(states, mask=mask, places=places)
        return self.norm(states)

    def pool(self, states: Tensor) -> Tensor:
        """The pooler's view of the first token, tanh(W state): (B, T, D) -> (B, D)."""
        if self.pooler is None:
            raise ValueError("this model has no pooler: its config says pooler=False")
        return self.pooler(states[:, 0]).tanh()

    @staticmethod
    def sentence_vectors(states: Tensor, mask: Tensor) -> Tensor:
        """The mean state of each text's real tokens, at length 1: (B, T, D), (B, T) -> (B, D).

        The product of two such vectors is their cosine (Reimers and Gurevych 2019, section 3).
        """
        real = mask[..., None].to(states.dtype)
        return F.normalize((states * real).sum(1) / real.sum(1).clamp(min=1), dim=-1)

    def _mask(self, tokens: Tensor, mask: Tensor | None) -> Tensor | None:
        if mask is None:
            return _real(tokens, self.config.pad_id)
        check_boolean(mask)
        B, T = tokens.shape
        if mask.shape not in ((B, T), (B, 1, T), (B, T, T)):
            raise ValueError(
                f"mask must have shape (B, T) = {(B, T)} or (B, T, T) = {(B, T, T)}, got "
                f"{tuple(mask.shape)}"
            )
        return mask[:, None, :] if mask.dim() == 2 else mask


class LanguageModel(nn.Module):
    """A causal stack (Radford et al. 2019 with norm="pre"): logits for the next token.

    With positions="rotary", norm_kind="rms", activation="swiglu" and bias=False it is Llama
    (Touvron et al. 2023).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))
        self.norm = _final_norm(config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.apply(small_normal)
        quieten(self.layers)
        if config.tie_embeddings:
            self.head.weight = self.embedding.tokens.weight

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        cache: list[KeyValueCache] | None = None,
    ) -> Tensor:
        """tokens (B, T) -> logits (B, T, V); position t has seen tokens 0..t only.

        mask (B, S), True = a real token; None takes it from config.pad_id. With a cache from
        new_cache, tokens follow those that ran before, and S counts those too: None then means
        that none of them is padding.
        """
        start = 0
        if cache is not None:
            _check_cache(cache, self.layers, KeyValueCache)
            start = cache[0].length
        if mask is None and self.config.pad_id is not None and not start:
            mask = tokens != self.config.pad_id
        states, places = self.embedding(tokens, start=start, real=mask)
        seen = None if mask is None else mask[:, None, :]
        for number, layer in enumerate(self.layers):
            kept = cache[number] if cache else None
            states = layer(states, mask=seen, causal=True, places=places, cache=kept)
        return self.head(self.norm(states))

    def new_cache(self, max_len: int | None = None) -> list[KeyValueCache]:
        """An empty key/value cache for each layer, for up to max_len positions."""
        return [KeyValueCache(max_len or self.config.max_len) for _ in self.layers]


class EncoderDecoder(nn.Module):
    """Vaswani et al. 2017: an encoder reads the source, a decoder writes the target.

    source_vocab_size None means that source and target share one vocabulary and its embedding.
    """

    def __init__(self, config: ModelConfig, source_vocab_size: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.target_embedding = Embedding(config)
        self.source_embedding = (
            Embedding(config, source_vocab_size) if source_vocab_size else self.target_embedding
        )
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_layers))
        self.encoder_norm, self.decoder_norm = _final_norm(config), _final_norm(config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.apply(glorot)
        if config.tie_embeddings:
            self.head.weight = self.target_embedding.tokens.weight

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source (B, S), target (B, T) -> logits (B, T, V): what follows each target position."""
        return self.decode(target, self.encode(source), self.source_mask(source))

    def encode(self, source: Tensor) -> Tensor:
        """source (B, S) -> one state for each source token, (B, S, D)."""
        states, places = self.source_embedding(source, name="source")
        mask = self.source_mask(source)
        for layer in self.encoder:
            states = layer(states, mask=mask, places=places)
        return self.encoder_norm(states)

    def decode(
        self,
        target: Tensor,
        states: Tensor,
        source_mask: Tensor | None,
        cache: list[tuple[KeyValueCache, KeyValueCache]] | None = None,
    ) -> Tensor:
        """target (B, T), the encoder's states (B, S, D), mask (B, 1, S) -> logits (B, T, V).

        With a cache from new_cache, target follows what ran before.
        """
        start = 0
        if cache is not None:
            _check_cache(cache, self.decoder, tuple)
            start = cache[0][0].length
        written, places = self.target_embedding(target, start=start, name="target")
        check_states("states", states, self.head.weight)
        if len(states) != len(target):
            raise ValueError(
                f"target and source must have as many rows, got {len(target)} and {len(states)}"
            )
        for number, layer in enumerate(self.decoder):
            kept = cache[number] if cache else None
            written = layer(written, states, source_mask=source_mask, places=places, cache=kept)
        return self.head(self.decoder_norm(written))

    def new_cache(
        self, source_len: int, max_len: int | None = None
    ) -> list[tuple[KeyValueCache, KeyValueCache]]:
        """Empty caches for each decoder layer: its own positions, and the source's."""
        max_len = max_len or self.config.max_len
        return [(KeyValueCache(max_len), KeyValueCache(source_len)) for _ in self.decoder]

    def source_mask(self, source: Tensor) -> Tensor | None:
        """Which source tokens (B, S) may be looked at, from config.pad_id: bool (B, 1, S)."""
        return _real(source, self.config.pad_id)


def _real(tokens: Tensor, pad_id: int | None) -> Tensor | None:
    return None if pad_id is None else token_mask(tokens, pad_id)


def _check_cache(cache: list, layers: nn.ModuleList, kind: type) -> None:
    fits = isinstance(cache, list) and all(isinstance(kept, kind) for kept in cache)
    if not fits or len(cache) != len(layers):
        raise ValueError(
            f"cache must be what new_cache gave, for {len(layers)} layers, got "
            f"{type(cache).__name__}{f' of {len(cache)}' if isinstance(cache, list) else ''}"
        )


def _final_norm(config: ModelConfig) -> nn.Module:
    """Pre-norm layers leave their sum as it is, so the stack normalises it once at the end."""
    return make_norm(config) if config.norm == "pre" else nn.Identity()
