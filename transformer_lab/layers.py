"""What a Transformer layer is made of, and the two kinds of layer."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention
from transformer_lab.cache import KeyValueCache
from transformer_lab.checks import check_norm
from transformer_lab.config import ModelConfig
from transformer_lab.positions import NOWHERE, Places


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Each vector at mean 0 and variance 1, then scaled and shifted: (..., D), (D,), (D,).

    Over the last axis only, with the variance of the whole (divided by D) and eps inside the root.
    Ba et al. 2016. nn.LayerNorm computes the same in one kernel; the models use that.
    """
    check_norm(x, weight, bias, eps)
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight
    return normed if bias is None else normed + bias


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """Each vector divided by its root mean square, then scaled: (..., D), (D,) -> (..., D).

    Zhang and Sennrich 2019. nn.RMSNorm computes the same; the models use that.
    """
    check_norm(x, weight, None, eps)
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm that config.norm_kind names, over the last axis, D."""
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

    norm="pre": x + f(norm(x)); norm="post": norm(x + f(x)). With causal=True it is a layer of a
    decoder-only model.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.attention = _attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm, self.feed_forward_norm = make_norm(config), make_norm(config)
        self.dropout = config.dropout

    def forward(
        self,
        states: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        places: Places = NOWHERE,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """states (B, T, D), the rest as in MultiHeadAttention -> (B, T, D)."""
        x = self._before(self.attention_norm, states)
        x = self.attention(x, mask=mask, causal=causal, places=places, cache=cache)
        states = self._after(self.attention_norm, states, x)
        x = self.feed_forward(self._before(self.feed_forward_norm, states))
        return self._after(self.feed_forward_norm, states, x)

    def _before(self, norm: nn.Module, states: Tensor) -> Tensor:
        return norm(states) if self.pre else states

    def _after(self, norm: nn.Module, states: Tensor, change: Tensor) -> Tensor:
        if self.dropout and self.training:
            change = F.dropout(change, self.dropout)
        states = states + change
        return states if self.pre else norm(states)


class DecoderLayer(EncoderLayer):
    """A causal layer with cross-attention to a source between its two parts."""

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
        places: Places = NOWHERE,
        cache: tuple[KeyValueCache, KeyValueCache] | None = None,
    ) -> Tensor:
        """states (B, T, D) look back at themselves and at source (B, S, D) -> (B, T, D).

        cache holds what its own positions and what the source gave, in this order.
        """
        own, other = (None, None) if cache is None else cache
        x = self._before(self.attention_norm, states)
        x = self.attention(x, mask=mask, causal=True, places=places, cache=own)
        states = self._after(self.attention_norm, states, x)
        x = self._before(self.cross_attention_norm, states)
        x = self.cross_attention(x, source, mask=source_mask, cache=other)
        states = self._after(self.cross_attention_norm, states, x)
        x = self.feed_forward(self._before(self.feed_forward_norm, states))
        return self._after(self.feed_forward_norm, states, x)


def _attention(config: ModelConfig) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.d_model, config.n_heads, config.kv_heads, config.bias, config.dropout
    )
