"""From token ids to vectors, and what attention is told about their places."""

import math

import torch
from torch import Tensor, nn

from transformer_lab.checks import check_boolean, check_ids
from transformer_lab.config import ModelConfig
from transformer_lab.layers import make_norm
from transformer_lab.positions import Places, alibi, rotary_table, sinusoidal


class Embedding(nn.Module):
    """A vector for each token, its position and its segment, added: (B, T) -> (B, T, D).

    Rotary and ALiBi positions add nothing here; `places` hands them to the attentions.
    """

    positions: Tensor | None
    cosine: Tensor | None
    sine: Tensor | None

    def __init__(self, config: ModelConfig, vocab_size: int | None = None) -> None:
        super().__init__()
        self.vocab_size, self.max_len = vocab_size or config.vocab_size, config.max_len
        self.kind, self.n_heads = config.positions, config.n_heads
        self.scale = math.sqrt(config.d_model) if config.scale_embeddings else 1.0
        self.tokens = nn.Embedding(self.vocab_size, config.d_model)
        waves = cosine = sine = None
        if self.kind == "sinusoidal":
            waves = sinusoidal(config.max_len, config.d_model)
        if self.kind == "rotary":
            cosine, sine = rotary_table(config.max_len, config.d_head, config.rotary_base)
        if self.kind == "learned":
            self.positions = nn.Parameter(torch.empty(config.max_len, config.d_model))
        else:
            self.register_buffer("positions", waves, persistent=False)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.segments = (
            nn.Embedding(config.n_segments, config.d_model) if config.n_segments else None
        )
        self.norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        start: int = 0,
        real: Tensor | None = None,
        name: str = "tokens",
    ) -> tuple[Tensor, Places]:
        """tokens (B, T) -> states (B, T, D), and what attention is told about their places.

        The first token is at position `start`. real, bool (B, start + T), is False for padding,
        which may stand at either side; positions then count real tokens only. segments (B, T),
        None means all of segment 0. Errors call the tokens by `name`.
        Raises ValueError or TypeError for ids, lengths and shapes that do not fit.
        """
        check_ids(name, tokens, self.tokens)
        self._check(tokens, segments, start, real, name)
        T = tokens.shape[1]
        states = self.tokens(tokens)
        if self.scale != 1.0:
            states = states * self.scale
        at: slice | Tensor = slice(start, start + T)
        if real is not None:
            at = (real.cumsum(1) - 1).clamp(min=0)[:, start:]
        if self.positions is not None:
            states = states + self.positions[at]
        if self.segments is not None:
            segments = torch.zeros_like(tokens) if segments is None else segments
            states = states + self.segments(segments)
        return self.dropout(self.norm(states)), self._places(at, T, start + T, states)

    def _places(self, at: slice | Tensor, T: int, S: int, like: Tensor) -> Places:
        if self.kind == "alibi":
            return Places(bias=alibi(self.n_heads, T, S).to(like))
        if self.cosine is None or self.sine is None:
            return Places()
        cosine, sine = self.cosine[at].to(like.dtype), self.sine[at].to(like.dtype)
        if cosine.dim() == 3:  # a row of positions for each text, the same for all its heads
            cosine, sine = cosine[:, None], sine[:, None]
        return Places(rotation=(cosine, sine))

    def _check(
        self, tokens: Tensor, segments: Tensor | None, start: int, real: Tensor | None, name: str
    ) -> None:
        B, T = tokens.shape
        if self.kind not in ("none", "alibi") and start + T > self.max_len:
            raise ValueError(
                f"{name} reach position {start + T}, this model has max_len={self.max_len}"
            )
        if real is not None:
            check_boolean(real)
            if real.shape != (B, start + T) or real.device != tokens.device:
                raise ValueError(
                    f"mask must have shape (B, S) = {(B, start + T)} and be on {tokens.device}, "
                    f"got {tuple(real.shape)} on {real.device}"
                )
        if segments is None:
            return
        if self.segments is None:
            raise ValueError("segments must be None: this model's config has n_segments=0")
        check_ids("segments", segments, self.segments)
        if segments.shape != tokens.shape:
            raise ValueError(
                f"segments must have the shape of tokens, {tuple(tokens.shape)}, got "
                f"{tuple(segments.shape)}"
            )
