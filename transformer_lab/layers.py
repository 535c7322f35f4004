"""What a Transformer layer is made of, and the two kinds of layer."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention
from transformer_lab.config import ModelConfig


def make_norm(config: ModelConfig) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019), over the last axis, D."""
    if config.norm_kind == "rms":
        return nn.RMSNorm(config.d_model, config.norm_eps)
    return nn.LayerNorm(config.d_model, config.norm_eps, bias=config.bias)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "swiglu": F.silu,
}


class FeedForward(nn.Module):
    """Two linear maps with a bend between, the same for every token: (..., D) -> (..., D).

    With activation "swiglu" a third map gates the first (Shazeer 2020).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.d_model, config.width_ff, config.bias)
        self.gate: nn.Linear | None = None
        if config.activation == "swiglu":
            self.gate = nn.Linear(config.d_model, config.width_ff, config.bias)
        self.down = nn.Linear(config.width_ff, config.d_model, config.bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, states: Tensor) -> Tensor:
        if self.gate is None:
            return self.down(self.activation(self.up(states)))
        return self.down(self.activation(self.gate(states)) * self.up(states))


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward, each added to what came in: (B, T, D) -> (B, T, D).

    norm="pre": x + f(norm(x)); norm="post": norm(x + f(x)).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.attention = _attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm, self.feed_forward_norm = make_norm(config), make_norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """states (B, T, D), mask as in MultiHeadAttention -> (B, T, D)."""
        attend = self.attention
        states = self._add(states, self.attention_norm, lambda x: attend(x, mask=mask))
        return self._add(states, self.feed_forward_norm, self.feed_forward)

    def _add(self, states: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre:
            return states + self.dropout(sublayer(norm(states)))
        return norm(states + self.dropout(sublayer(states)))


class DecoderLayer(EncoderLayer):
    """An encoder layer with cross-attention to a source between its two parts."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.cross_attention = _attention(config)
        self.cross_attention_norm = make_norm(config)

    def forward(  # type: ignore[override]  # a decoder layer reads a source as well
        self,
        states: Tensor,
        source: Tensor,
        mask: Tensor | None = None,
        source_mask: Tensor | None = None,
    ) -> Tensor:
        """states (B, T, D) look at themselves and at source (B, S, D) -> (B, T, D)."""
        attend, cross = self.attention, self.cross_attention
        states = self._add(states, self.attention_norm, lambda x: attend(x, mask=mask))
        states = self._add(
            states, self.cross_attention_norm, lambda x: cross(x, source, mask=source_mask)
        )
        return self._add(states, self.feed_forward_norm, self.feed_forward)


def _attention(config: ModelConfig) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.d_model, config.n_heads, config.kv_heads, config.bias, config.dropout
    )
