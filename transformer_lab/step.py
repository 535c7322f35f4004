"""One more token through a LanguageModel, in as few calls as can be.

While a text is written, each step is some fifty small products, and calling a module costs as much
as a product. The arithmetic here is that of the modules, layer by layer, straight from their
weights, with queries, keys and values in one product; the tests hold both ways against each other.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention, fused
from transformer_lab.cache import KeyValueCache
from transformer_lab.embedding import Embedding
from transformer_lab.layers import EncoderLayer, FeedForward
from transformer_lab.models import LanguageModel
from transformer_lab.positions import Places, rotate

KNOWN = {LanguageModel, Embedding, EncoderLayer, MultiHeadAttention, FeedForward, nn.ModuleList}
KNOWN |= {nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.Identity, nn.Dropout}
LARGE, MANY, BLOCKS = 2**18, 64, 8  # for few_rows: least numbers in a matrix, most rows, blocks


def is_plain(model: nn.Module) -> TypeGuard[LanguageModel]:
    """Whether model is a LanguageModel of the package's own parts, and no hook would be missed."""
    return type(model) is LanguageModel and all(
        type(part) in KNOWN
        and "forward" not in vars(part)
        and not (part._forward_hooks or part._forward_pre_hooks)
        for part in model.modules()
    )


class Step:
    """step(tokens, mask, cache): (B, 1), (B, S), what model.new_cache gave -> logits (B, V).

    The same as model(tokens, mask, cache)[:, -1] for a plain model that is in eval mode, without
    gradients. It keeps a copy of the matrices of queries, keys and values.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.layers = [_layer(layer) for layer in model.layers]

    def __call__(self, tokens: Tensor, mask: Tensor | None, cache: list[KeyValueCache]) -> Tensor:
        states, places = self.model.embedding(tokens, start=cache[0].length, real=mask)
        states, seen = states[:, 0], None if mask is None else mask[:, None, None]
        for layer, kept in zip(self.layers, cache, strict=True):
            states = layer(states, seen, places, kept)
        return few_rows(self.model.norm(states), self.model.head.weight)


def few_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear(x, weight, bias) for x (B, K) and weight (N, K), the same to rounding: -> (B, N).

    A large matrix comes from memory, whatever B is; a processor's kernels behind F.linear are slow
    at that while B is small. So one row goes through blocks of the matrix, which the threads share,
    and several rows stand as the columns of the right factor. A token of GPT-2-small then takes
    half the time at B = 1, three quarters at B = 16 (benchmarks/generation.py).
    """
    (B, K), N = x.shape, len(weight)
    if not x.is_cpu or x.dtype != torch.float32 or weight.numel() < LARGE or B > MANY:
        return F.linear(x, weight, bias)
    if B > 1:
        columns = weight @ x.t() if bias is None else torch.addmm(bias[:, None], weight, x.t())
        return columns.t()
    rows = N // BLOCKS
    blocks = weight[: BLOCKS * rows].view(BLOCKS, rows, K)
    # x.t(), not x.view(K, 1): with other strides the same product takes four times as long.
    product = torch.bmm(blocks, x.t().expand(BLOCKS, K, 1)).view(1, -1)
    if BLOCKS * rows < N:
        product = torch.cat([product, F.linear(x, weight[BLOCKS * rows :])], 1)
    return product if bias is None else product + bias


def _layer(layer: nn.Module) -> Callable[..., Tensor]:
    """The layer as a function of states (B, D), mask (B, 1, 1, S), places and its cache."""
    assert isinstance(layer, EncoderLayer)
    attention, pre = layer.attention, layer.pre
    K, group, d = attention.n_kv_heads, attention.n_heads // attention.n_kv_heads, attention.d_head
    parts = attention.query, attention.key, attention.value
    weight = torch.cat([part.weight for part in parts])
    bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
    project, output = partial(few_rows, weight=weight, bias=bias), _linear(attention.output)
    feed_forward = _feed_forward(layer.feed_forward)
    first, second = _norm(layer.attention_norm), _norm(layer.feed_forward_norm)

    def attend(x: Tensor, mask: Tensor | None, places: Places, cache: KeyValueCache) -> Tensor:
        heads = project(x).contiguous().view(len(x), 1, -1, d).transpose(1, 2)
        looking, value = heads[:, :-K], heads[:, -K:]
        if places.rotation is not None:
            looking = rotate(looking, *places.rotation)
        # The queries that share a key stand where a text's positions would.
        query = looking[:, :-K].reshape(-1, K, group, d)
        key, value = cache.extend(looking[:, -K:], value)
        slopes = None if places.bias is None else places.bias.view(K, group, -1)
        return output(fused(query, key, value, mask, None, slopes, False, 0.0).reshape(len(x), -1))

    def run(states: Tensor, mask: Tensor | None, places: Places, cache: KeyValueCache) -> Tensor:
        if pre:
            states = states + attend(first(states), mask, places, cache)
            return states + feed_forward(second(states))
        states = first(states + attend(states, mask, places, cache))
        return second(states + feed_forward(states))

    return run


def _feed_forward(part: FeedForward) -> Callable[[Tensor], Tensor]:
    up, down, bend = _linear(part.up), _linear(part.down), part.activation
    if part.gate is None:
        return lambda x: down(bend(up(x)))
    gate = _linear(part.gate)
    return lambda x: down(bend(gate(x)) * up(x))


def _linear(part: nn.Linear) -> Callable[[Tensor], Tensor]:
    return partial(few_rows, weight=part.weight, bias=part.bias)


def _norm(part: nn.Module) -> Callable[[Tensor], Tensor]:
    assert isinstance(part, nn.LayerNorm | nn.RMSNorm)
    shape = list(part.normalized_shape)
    if isinstance(part, nn.RMSNorm):
        return partial(F.rms_norm, normalized_shape=shape, weight=part.weight, eps=part.eps)
    return partial(
        F.layer_norm, normalized_shape=shape, weight=part.weight, bias=part.bias, eps=part.eps
    )
