"""Attention: two functions, and the module that gives them heads.

B batch · T positions that look · S positions looked at · D width · H heads · K key/value heads ·
d width of one head. mask[t, s] is True when t may look at s.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Softmax of scaled dot products: (..., T, d), (..., S, d) -> (..., T, S).

    Each row sums to 1, or to 0 when its mask allows nothing. scale is 1/√d unless given.
    Vaswani et al. 2017, section 3.2.1. Raises ValueError when shapes do not fit.
    """
    _check(query, key, key, mask)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * scale
    if mask is None:
        return scores.softmax(-1)
    # The lowest finite number, not -inf: a row with nothing allowed would be NaN, and so would its
    # gradient. The second fill makes forbidden weights exactly 0, in such a row too.
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(-1).masked_fill(~mask, 0.0)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """The values, mixed by the weights: (..., T, d), (..., S, d), (..., S, v) -> (..., T, v).

    The same as attention_weights(query, key, mask, scale) @ value, in one fused kernel that never
    stores the (T, S) table. dropout is the share of weights dropped, for training.
    """
    _check(query, key, value, mask)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
    )


class MultiHeadAttention(nn.Module):
    """H attentions side by side, each on its own d = D / H numbers: (B, T, D) -> (B, T, D).

    With n_kv_heads = K < H, each key/value head serves H / K query heads (grouped-query attention,
    Ainslie et al. 2023). Raises ValueError when D, H and K do not divide.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        if n_heads < 1 or d_model % n_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by n_heads ({n_heads})")
        if n_kv_heads < 1 or n_heads % n_kv_heads:
            raise ValueError(f"n_heads ({n_heads}) must be divisible by n_kv_heads ({n_kv_heads})")
        self.n_heads, self.n_kv_heads = n_heads, n_kv_heads
        self.d_head, self.dropout = d_model // n_heads, dropout
        self.query = nn.Linear(d_model, d_model, bias)
        self.key = nn.Linear(d_model, n_kv_heads * self.d_head, bias)
        self.value = nn.Linear(d_model, n_kv_heads * self.d_head, bias)
        self.output = nn.Linear(d_model, d_model, bias)

    def forward(
        self, states: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """states (B, T, D) look at context (B, S, D), at themselves when it is None -> (B, T, D).

        mask is bool, (T, S), (B, 1 or T, S) or (B, 1 or H, T, S); True = may look.
        """
        query, key, value = self.heads(states, context)
        dropout = self.dropout if self.training else 0.0
        mixed = attention(query, key, value, mask=per_head(mask), dropout=dropout)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def heads(self, states: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        """Queries (B, H, T, d), keys and values (B, H, S, d), as forward mixes them."""
        context = states if context is None else context
        query = self.query(states).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
        key = self.key(context).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)
        value = self.value(context).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)
        if self.n_kv_heads < self.n_heads:
            shared = self.n_heads // self.n_kv_heads
            key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
        return query, key, value


def per_head(mask: Tensor | None) -> Tensor | None:
    """A mask that fits (B, H, T, S): a batch of masks (B, T, S) gets its axis for the heads."""
    return mask[:, None] if mask is not None and mask.dim() == 3 else mask


def _check(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    if query.dim() < 2 or key.dim() < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"query (..., T, d) and key (..., S, d) must agree in d, got {tuple(query.shape)} and "
            f"{tuple(key.shape)}"
        )
    if value.dim() < 2 or value.shape[-2] != key.shape[-2]:
        raise ValueError(
            f"key (..., S, d) and value (..., S, v) must agree in S, got {tuple(key.shape)} and "
            f"{tuple(value.shape)}"
        )
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean (True = may look), got {mask.dtype}")
    T, S = query.shape[-2], key.shape[-2]
    if mask.dim() < 2 or mask.shape[-2] not in (1, T) or mask.shape[-1] not in (1, S):
        raise ValueError(
            f"mask {tuple(mask.shape)} does not fit scores (..., T, S) = (..., {T}, {S})"
        )
