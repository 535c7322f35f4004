"""Whole models: token ids in, states or logits out. No loss, no training, no plotting."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.config import ModelConfig
from transformer_lab.layers import DecoderLayer, EncoderLayer, make_norm
from transformer_lab.masks import causal_mask, combine, token_mask
from transformer_lab.positions import sinusoidal


class Embedding(nn.Module):
    """A vector for each token, its position and its segment, added: (B, T) -> (B, T, D)."""

    positions: Tensor | None

    def __init__(self, config: ModelConfig, vocab_size: int | None = None) -> None:
        super().__init__()
        if config.positions in ("rotary", "alibi"):
            raise NotImplementedError(
                f"positions={config.positions!r} acts inside attention and is not built yet; "
                f"use 'sinusoidal', 'learned' or 'none'"
            )
        self.vocab_size, self.max_len = vocab_size or config.vocab_size, config.max_len
        self.scale = math.sqrt(config.d_model) if config.scale_embeddings else 1.0
        self.tokens = nn.Embedding(self.vocab_size, config.d_model)
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(config.max_len, config.d_model))
        else:
            waves = None
            if config.positions == "sinusoidal":
                waves = sinusoidal(config.max_len, config.d_model)
            self.register_buffer("positions", waves, persistent=False)
        self.segments = (
            nn.Embedding(config.n_segments, config.d_model) if config.n_segments else None
        )
        self.norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, segments: Tensor | None = None) -> Tensor:
        """tokens and segments (B, T), whole numbers; segments None means all of segment 0."""
        self._check(tokens)
        states = self.tokens(tokens) * self.scale
        if self.positions is not None:
            states = states + self.positions[: tokens.shape[1]]
        if self.segments is not None:
            segments = torch.zeros_like(tokens) if segments is None else segments
            states = states + self.segments(segments)
        return self.dropout(self.norm(states))

    def _check(self, tokens: Tensor) -> None:
        if tokens.dim() != 2 or tokens.is_floating_point() or not tokens.numel():
            raise ValueError(
                f"tokens must be whole numbers of shape (B, T), not empty, got {tokens.dtype} of "
                f"shape {tuple(tokens.shape)}"
            )
        if self.positions is not None and tokens.shape[1] > self.max_len:
            raise ValueError(
                f"tokens has {tokens.shape[1]} positions, this model has max_len={self.max_len}"
            )
        low, high = (int(end) for end in tokens.aminmax())
        if low < 0 or high >= self.vocab_size:
            raise ValueError(
                f"token ids must lie in 0..{self.vocab_size - 1}, got {low if low < 0 else high}"
            )


class TextEncoder(nn.Module):
    """A stack of encoder layers (Devlin et al. 2019 with norm="post"): one state per token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))
        self.norm = make_norm(config) if config.norm == "pre" else nn.Identity()
        self.pooler = nn.Linear(config.d_model, config.d_model) if config.pooler else None
        self.apply(_initialise)

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """tokens (B, T) -> states (B, T, D).

        mask is bool, True = may be looked at: (B, T) for padding or (B, T, T); None takes it from
        config.pad_id, and without a pad_id every token sees every token.
        """
        mask = _self_mask(tokens, mask, self.config.pad_id)
        states = self.embedding(tokens, segments)
        for layer in self.layers:
            states = layer(states, mask=mask)
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


class LanguageModel(nn.Module):
    """A causal stack (Radford et al. 2019 with norm="pre"): logits for the next token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))
        self.norm = make_norm(config) if config.norm == "pre" else nn.Identity()
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.apply(_initialise)
        if config.tie_embeddings:
            self.head.weight = self.embedding.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) -> logits (B, T, V); position t has seen tokens 0..t only."""
        states = self.embedding(tokens)
        pad_id = self.config.pad_id
        real = None if pad_id is None else token_mask(tokens, pad_id)
        mask = combine(causal_mask(tokens.shape[1], device=tokens.device), real)
        for layer in self.layers:
            states = layer(states, mask=mask)
        return self.head(self.norm(states))


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
        pre = config.norm == "pre"
        self.encoder_norm = make_norm(config) if pre else nn.Identity()
        self.decoder_norm = make_norm(config) if pre else nn.Identity()
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.apply(_initialise_2017)
        if config.tie_embeddings:
            self.head.weight = self.target_embedding.tokens.weight

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source (B, S), target (B, T) -> logits (B, T, V): what follows each target position."""
        return self.decode(target, self.encode(source), self.source_mask(source))

    def encode(self, source: Tensor) -> Tensor:
        """source (B, S) -> one state for each source token, (B, S, D)."""
        mask = self.source_mask(source)
        states = self.source_embedding(source)
        for layer in self.encoder:
            states = layer(states, mask=mask)
        return self.encoder_norm(states)

    def decode(self, target: Tensor, states: Tensor, source_mask: Tensor | None) -> Tensor:
        """target (B, T), the encoder's states (B, S, D), mask (B, 1, S) -> logits (B, T, V)."""
        written = self.target_embedding(target)
        mask = causal_mask(target.shape[1], device=target.device)
        for layer in self.decoder:
            written = layer(written, states, mask=mask, source_mask=source_mask)
        return self.head(self.decoder_norm(written))

    def source_mask(self, source: Tensor) -> Tensor | None:
        """Which source tokens (B, S) may be looked at, from config.pad_id: bool (B, 1, S)."""
        pad_id = self.config.pad_id
        return None if pad_id is None else token_mask(source, pad_id)


def _self_mask(tokens: Tensor, mask: Tensor | None, pad_id: int | None) -> Tensor | None:
    if mask is None:
        return None if pad_id is None else token_mask(tokens, pad_id)
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean (True = may be looked at), got {mask.dtype}")
    B, T = tokens.shape
    if mask.shape not in ((B, T), (B, 1, T), (B, T, T)):
        raise ValueError(
            f"mask must have shape (B, T) = {(B, T)} or (B, T, T) = {(B, T, T)}, got "
            f"{tuple(mask.shape)}"
        )
    return mask[:, None, :] if mask.dim() == 2 else mask


def _initialise(module: nn.Module) -> None:
    """Normal with standard deviation 0.02, biases 0 (Radford et al. 2018, section 4.1)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, Embedding) and isinstance(module.positions, nn.Parameter):
        nn.init.normal_(module.positions, std=0.02)


def _initialise_2017(module: nn.Module) -> None:
    """Linear maps as Glorot and Bengio (2010, equation 16), embeddings normal with 1/√D.

    The paper is silent; this is what its code (tensor2tensor) did. With scale_embeddings=True the
    token vectors then enter at standard deviation 1, the size of the sinusoidal waves.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
    if isinstance(module, Embedding) and isinstance(module.positions, nn.Parameter):
        nn.init.normal_(module.positions, std=module.positions.shape[1] ** -0.5)
