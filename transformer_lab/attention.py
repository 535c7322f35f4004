"""Attention: two functions, and the module that gives them heads.

B batch · T positions that look · S positions looked at · D width · H heads · K key/value heads ·
d width of one head. mask[t, s] is True when t may look at s.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.bounds import check_number
from transformer_lab.cache import KeyValueCache
from transformer_lab.checks import check_attention, check_states
from transformer_lab.masks import causal_mask, combine
from transformer_lab.positions import NOWHERE, Places, rotate


def attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Softmax of scaled dot products: (..., T, d), (..., S, d) -> (..., T, S).

    Each row sums to 1, or to 0 when its mask allows nothing. scale is 1/√d unless given; bias
    (T, S) or (H, T, S) is added to the scores. Vaswani et al. 2017, section 3.2.1.
    Raises ValueError when shapes do not fit, TypeError for a mask that is not boolean.
    """
    check_attention(query, key, key, mask, bias, scale)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * scale
    if bias is not None:
        scores = scores + bias
    if mask is None:
        return scores.softmax(-1)
    # The lowest finite number, not -inf: a row with nothing allowed would be NaN. The second fill
    # makes forbidden weights exactly 0, in such a row too.
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(-1).masked_fill(~mask, 0.0)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    scale: float | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """The values, mixed by the weights: (..., T, d), (..., S, d), (..., S, v) -> (..., T, v).

    The same as attention_weights(query, key, mask, scale, bias) @ value, in one fused kernel that
    never stores the (T, S) table. causal=True adds the causal mask, without building it where the
    kernel can do without. dropout is the share of weights dropped, for training.
    """
    check_attention(query, key, value, mask, bias, scale)
    check_number("dropout", dropout, least=0, most=1)
    return fused(query, key, value, mask, scale, bias, causal, dropout)


def fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float | None,
    bias: Tensor | None,
    causal: bool,
    dropout: float,
) -> Tensor:
    """`attention` without its checks, for arguments that are known to fit."""
    T, S = query.shape[-2], key.shape[-2]
    # The kernel's own causal flag counts from the first key: right only when T = S.
    in_kernel = causal and mask is None and bias is None and T == S
    if causal and not in_kernel and T > 1:
        mask = combine(causal_mask(T, S, query.device), mask)
    if bias is not None:
        bias = bias.to(query.dtype)
        mask = bias if mask is None else bias.masked_fill(~mask, -math.inf)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=in_kernel, scale=scale
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
        sizes = {"d_model": d_model, "n_heads": n_heads, "n_kv_heads": n_kv_heads}
        for name, size in sizes.items():
            check_number(name, size, least=1, integer=True)
        check_number("dropout", dropout, least=0, below=1)
        if d_model % n_heads:
            raise ValueError(f"d_model ({d_model}) must be divisible by n_heads ({n_heads})")
        if n_heads % n_kv_heads:
            raise ValueError(f"n_heads ({n_heads}) must be divisible by n_kv_heads ({n_kv_heads})")
        self.n_heads, self.n_kv_heads = n_heads, n_kv_heads
        self.d_head, self.dropout = d_model // n_heads, dropout
        self.query = nn.Linear(d_model, d_model, bias)
        self.key = nn.Linear(d_model, n_kv_heads * self.d_head, bias)
        self.value = nn.Linear(d_model, n_kv_heads * self.d_head, bias)
        self.output = nn.Linear(d_model, d_model, bias)

    def forward(
        self,
        states: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        places: Places = NOWHERE,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """states (B, T, D) look at context (B, S, D), at themselves when it is None -> (B, T, D).

        mask is bool, (T, S), (B, 1 or T, S) or (B, 1 or H, T, S); True = may look. With a cache,
        self-attention also looks at what the cache holds, and cross-attention computes its keys
        and values only once.
        """
        check_states("states", states, self.query.weight)
        if context is not None:
            check_states("context", context, self.key.weight)
        query = self.queries(states, places)
        if cache is not None and context is not None and cache.length:
            key, value = cache.held()
        else:
            key, value = self.keys_values(states if context is None else context, places)
            if cache is not None:
                key, value = cache.extend(key, value)
        if len(key) != len(query):
            raise ValueError(
                f"states and context must have as many rows, got {len(query)} and {len(key)}"
            )
        key, value, mask = self.shared(key), self.shared(value), per_head(mask)
        if mask is not None:
            check_attention(query, key, value, mask)
        dropout = self.dropout if self.training else 0.0
        mixed = fused(query, key, value, mask, None, places.bias, causal, dropout)
        B, _, T, _ = mixed.shape
        return self.output(mixed.transpose(1, 2).reshape(B, T, -1))

    def queries(self, states: Tensor, places: Places = NOWHERE) -> Tensor:
        """(B, T, D) -> (B, H, T, d), rotated where places says so."""
        query = self._split(self.query(states))
        return query if places.rotation is None else rotate(query, *places.rotation)

    def keys_values(self, context: Tensor, places: Places = NOWHERE) -> tuple[Tensor, Tensor]:
        """(B, S, D) -> keys and values, (B, K, S, d) each, the keys rotated like queries."""
        key, value = self._split(self.key(context)), self._split(self.value(context))
        return (key if places.rotation is None else rotate(key, *places.rotation)), value

    def shared(self, heads: Tensor) -> Tensor:
        """Each key/value head once for every query head that it serves: (B, K, …) -> (B, H, …)."""
        if self.n_kv_heads == self.n_heads:
            return heads
        return heads.repeat_interleave(self.n_heads // self.n_kv_heads, 1)

    def _split(self, flat: Tensor) -> Tensor:
        """(B, T, heads · d) -> (B, heads, T, d)."""
        B, T, _ = flat.shape
        return flat.view(B, T, -1, self.d_head).transpose(1, 2)


def per_head(mask: Tensor | None) -> Tensor | None:
    """A mask that fits (B, H, T, S): a batch of masks (B, T, S) gets its axis for the heads."""
    return mask[:, None] if isinstance(mask, Tensor) and mask.dim() == 3 else mask
