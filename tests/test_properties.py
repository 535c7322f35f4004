"""What every causal model keeps to, whatever it is made of; test_bad_input.py: what it refuses."""

import itertools
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from shaking import shake
from torch import Tensor, nn

from transformer_lab.attention import attention, attention_weights
from transformer_lab.config import ModelConfig
from transformer_lab.embedding import Embedding
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.positions import alibi
from transformer_lab.training import next_token_loss

V, D, H, MAX_LEN = 20, 16, 4, 16
POSITIONS = ("sinusoidal", "learned", "rotary", "alibi", "none")
KINDS = ("language", "translator")


@dataclass
class Causal:
    """A causal model with what it needs beside its tokens: run(tokens, …) -> logits (B, T, V)."""

    model: LanguageModel | EncoderDecoder
    source: Tensor | None = None

    def run(self, tokens: Tensor, mask: Tensor | None = None, cache: Any = None) -> Tensor:
        if isinstance(self.model, LanguageModel):
            return self.model(tokens, mask=mask, cache=cache)
        assert self.source is not None
        source = self.source[:1].expand(len(tokens), -1)
        states = self.model.encode(source)
        return self.model.decode(tokens, states, self.model.source_mask(source), cache)

    def new_cache(self) -> Any:
        if isinstance(self.model, LanguageModel):
            return self.model.new_cache()
        assert self.source is not None
        return self.model.new_cache(self.source.shape[1])

    @property
    def embedding(self) -> Embedding:
        if isinstance(self.model, LanguageModel):
            return self.model.embedding
        return self.model.target_embedding


def build(kind: str, **choices: Any) -> Causal:
    config = ModelConfig(V, **{"d_model": D, "n_heads": H, "max_len": MAX_LEN, **choices})
    if kind == "language":
        return Causal(LanguageModel(config))
    source = torch.tensor([[3, 9, 4, 0, 0]])
    return Causal(EncoderDecoder(config, source_vocab_size=V), source)


def ids(*shape: int) -> Tensor:
    return torch.randint(1, V, shape)


GRID = list(itertools.product(KINDS, POSITIONS, ("pre", "post"), (1, 2, 4)))
# The choices that carry nothing from one position to another take turns.
TURNS = [
    {"norm_kind": kind, "activation": activation, "bias": bias}
    for kind, activation, bias in (
        ("layer", "gelu", True),
        ("rms", "swiglu", False),
        ("layer", "relu", False),
        ("rms", "gelu_tanh", True),
        ("layer", "swiglu", True),
        ("rms", "relu", False),
        ("layer", "gelu_tanh", False),
    )
]


def every(*kinds: str) -> list:
    """One parameter for each choice of positions, norm and number of key/value heads."""
    found = []
    for number, (kind, positions, norm, K) in enumerate(GRID):
        choices = {"positions": positions, "norm": norm, "n_kv_heads": K}
        choices |= TURNS[number % len(TURNS)]
        if kind in kinds:
            name = f"{kind}-{positions}-{norm}-{K}"
            found.append(pytest.param((kind, choices), id=name))
    return found


def shaken(kind: str, choices: dict[str, Any]) -> Causal:
    subject = build(kind, pad_id=0, **choices)
    shake(subject.model)
    return subject


@pytest.fixture(params=every(*KINDS))
def causal(request) -> Causal:
    return shaken(*request.param)


@pytest.fixture(params=every("language"))
def language(request) -> Causal:
    """A target of a translator starts with its start token, never with padding."""
    return shaken(*request.param)


def equal(ours: Tensor, expected: Tensor, bound: float = 1e-10) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=bound)


def test_the_gradient_by_every_later_token_is_exactly_zero(causal: Causal) -> None:
    vectors: list[Tensor] = []
    handle = causal.embedding.register_forward_hook(
        lambda _m, _a, out: vectors.append(out[0].requires_grad_())
    )
    T = 5
    logits = causal.run(ids(1, T))
    handle.remove()
    for t in range(T):
        (gradient,) = torch.autograd.grad(logits[0, t, 3], vectors[-1], retain_graph=True)
        reach = gradient[0].abs().sum(-1)
        assert torch.equal(reach[t + 1 :], torch.zeros(T - 1 - t, dtype=torch.float64))
        assert (reach[: t + 1] > 0).all()


def test_a_prefix_gives_what_it_gives_inside_a_longer_text(causal: Causal) -> None:
    tokens = ids(2, 8)
    logits = causal.run(tokens)
    for t in (1, 3, 7):
        equal(causal.run(tokens[:, :t]), logits[:, :t])
    changed = tokens.clone()
    changed[:, 4:] = (tokens[:, 4:] + 1) % V
    assert (causal.run(changed)[:, 4:] - logits[:, 4:]).abs().max() > 1e-6


def test_a_batch_gives_what_each_text_gives_alone(causal: Causal) -> None:
    tokens = ids(3, 6)
    logits = causal.run(tokens)
    for row in range(3):
        equal(causal.run(tokens[row : row + 1]), logits[row : row + 1])
    changed = tokens.clone()
    changed[1:] = ids(2, 6)
    equal(causal.run(changed)[0], logits[0])


def test_what_stands_in_padding_and_how_much_moves_nothing(causal: Causal) -> None:
    tokens = ids(2, 6)
    tokens[0, 4:] = 0
    logits = causal.run(tokens)
    longer = F.pad(tokens, (0, 5))
    equal(causal.run(longer)[:, :6], logits)
    if isinstance(causal.model, EncoderDecoder):
        return
    real = tokens != 0
    junk = torch.where(real, tokens, ids(2, 6))
    equal(causal.run(junk, mask=real)[real], logits[real])
    equal(causal.run(tokens[:1, :4]), logits[:1, :4])


def test_padding_moves_neither_the_loss_nor_its_gradient(causal: Causal) -> None:
    tokens = ids(3, 7)
    tokens[0, 5:] = 0
    tokens[2, 2:] = 0

    def run(batch: Tensor) -> tuple[Tensor, list[Tensor]]:
        source = causal.source
        pair = batch if source is None else (source.expand(len(batch), -1), batch)
        loss = next_token_loss(causal.model, pair)
        grads = torch.autograd.grad(loss, list(causal.model.parameters()), allow_unused=True)
        return loss.detach(), [torch.zeros(()) if g is None else g for g in grads]

    loss, grads = run(tokens)
    more, longer = run(F.pad(tokens, (0, 4)))
    equal(more, loss)
    for one, other in zip(grads, longer, strict=True):
        equal(one, other)
    alone = [run(tokens[row : row + 1, :n])[0] for row, n in ((0, 5), (1, 7), (2, 2))]
    equal((4 * alone[0] + 6 * alone[1] + alone[2]) / 11, loss)


def test_padding_at_the_left_with_a_mask_moves_nothing(language: Causal) -> None:
    """Outputs and gradients; the rows of the padding itself see nobody."""
    text = ids(1, 5)
    logits = language.run(text)
    logits.square().sum().backward()
    expected = [p.grad for p in language.model.parameters()]
    for room in (1, 4):
        language.model.zero_grad()
        padded = torch.cat([ids(1, room), text], 1)
        mask = torch.arange(5 + room)[None] >= room
        out = language.run(padded, mask=mask)
        assert out.isfinite().all()
        equal(out[:, room:], logits)
        out[:, room:].square().sum().backward()
        for p, gradient in zip(language.model.parameters(), expected, strict=True):
            assert p.grad is not None
            equal(p.grad, gradient, 1e-8)
    both = torch.cat([torch.cat([ids(1, 4), text], 1), ids(1, 9)])
    mask = torch.stack([torch.arange(9) >= 4, torch.ones(9).bool()])
    equal(language.run(both, mask=mask)[:1, 4:], logits)
    equal(language.run(both, mask=mask)[1:], language.run(both[1:]))


def test_with_a_cache_the_logits_are_the_same(causal: Causal) -> None:
    """Prefilled in one piece, token by token, and in chunks."""
    causal.model.float()
    tokens = ids(2, 9)
    expected = causal.run(tokens)
    for pieces in ([9], [1] * 9, [4, 1, 1, 3], [2, 7]):
        cache = causal.new_cache()
        parts = [causal.run(part, cache=cache) for part in tokens.split(pieces, 1)]
        equal(torch.cat(parts, 1), expected, 1e-5)


def test_with_a_cache_a_padded_batch_gives_what_each_text_gives(language: Causal) -> None:
    tokens = ids(2, 9)
    mask = torch.stack([torch.arange(9) >= 2, torch.ones(9).bool()])
    for pieces in ([9], [5, 1, 1, 2], [3, 6]):
        cache, parts, end = language.new_cache(), [], 0
        for part in tokens.split(pieces, 1):
            end += part.shape[1]
            parts.append(language.run(part, mask=mask[:, :end], cache=cache))
        logits = torch.cat(parts, 1)
        equal(logits[:1, 2:], language.run(tokens[:1, 2:]))
        equal(logits[1:], language.run(tokens[1:]))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("size", [50, 1000])
def test_before_training_the_loss_is_that_of_a_guess(positions, norm, size) -> None:
    config = ModelConfig(size, positions=positions, norm=norm, n_kv_heads=2, pad_id=0)
    tokens = torch.randint(1, size, (8, 65))
    loss = next_token_loss(LanguageModel(config), tokens)
    assert loss.item() == pytest.approx(math.log(size), abs=0.1)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("K", [1, 4])
def test_without_positions_order_is_not_seen(norm: str, K: int) -> None:
    choices = {"d_model": D, "norm": norm, "n_kv_heads": K}
    tokens, order = ids(2, 7), torch.randperm(7)
    encoder = shake(TextEncoder(ModelConfig(V, positions="none", **choices)))
    equal(encoder(tokens[:, order]), encoder(tokens)[:, order])
    translator = shake(EncoderDecoder(ModelConfig(V, positions="none", **choices)))
    target = ids(2, 4)
    equal(translator(tokens[:, order], target), translator(tokens, target))
    for positions in POSITIONS[:-1]:
        encoder = shake(TextEncoder(ModelConfig(V, positions=positions, **choices)))
        assert (encoder(tokens[:, order]) - encoder(tokens)[:, order]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [lambda m: m, deepcopy, nn.Module.double, shake])
def test_a_tied_output_stays_the_embedding(kind: str, change: Callable) -> None:
    for tied in (True, False):
        subject = build(kind, tie_embeddings=tied)
        subject.model = change(subject.model)
        head, tokens = subject.model.head.weight, subject.embedding.tokens.weight
        assert (head.data_ptr() == tokens.data_ptr()) is tied
        again = build(kind, tie_embeddings=tied).model.to(head.dtype)
        again.load_state_dict(subject.model.state_dict())
        assert torch.equal(again.head.weight, head)
        with torch.no_grad():
            tokens[3] += 1.0
        assert torch.equal(head[3], tokens[3]) is tied


@pytest.mark.parametrize("path", ["fused", "written out"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None, derandomize=True, max_examples=15)
@given(seed=st.integers(0, 2**31), T=st.integers(1, 5), S=st.integers(1, 6), learn=st.booleans())
def test_rows_that_see_nobody_are_zero_with_a_bias_too(path, dtype, seed, T, S, learn) -> None:
    """Also their gradients are finite, by the bias as well."""
    torch.manual_seed(seed)
    query, key, value = (
        (5 * torch.randn(2, H, n, 3, dtype=dtype)).requires_grad_() for n in (T, S, S)
    )
    bias = alibi(H, T, S).to(dtype) if T <= S else torch.randn(H, T, S, dtype=dtype)
    bias.requires_grad_(learn)
    mask = torch.rand(2, 1, T, S) > 0.5
    mask[0, 0, seed % T] = False
    if path == "fused":
        out = attention(query, key, value, mask, bias=bias)
    else:
        out = attention_weights(query, key, mask, bias=bias) @ value
    blind = ~mask.any(-1).expand(2, H, T)
    assert (out[blind] == 0).all()
    assert out.isfinite().all()
    out.square().sum().backward()
    for leaf in (query, key, value, *([bias] if learn else [])):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
    assert (query.grad[blind] == 0).all()


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", [LanguageModel, TextEncoder])
def test_a_text_of_padding_alone_gives_finite_numbers_and_gradients(kind, positions) -> None:
    model = shake(kind(ModelConfig(V, d_model=D, pad_id=0, positions=positions))).float()
    tokens = ids(2, 5)
    tokens[0] = 0
    out = model(tokens)
    assert out.isfinite().all()
    out.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    equal(out[1:], model(tokens[1:]), 1e-5)
