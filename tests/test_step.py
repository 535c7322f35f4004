"""step.py: the short way through a model gives what its modules give."""

from functools import partial
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from shaking import shake
from torch import nn

from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.models import EncoderDecoder, LanguageModel
from transformer_lab.recording import record_attention, silence_heads
from transformer_lab.step import LARGE, MANY, Step, few_rows, is_plain

CHOICES = {
    "positions": ["sinusoidal", "learned", "rotary", "alibi", "none"],
    "norm": ["pre", "post"],
    "norm_kind": ["layer", "rms"],
    "activation": ["relu", "gelu", "gelu_tanh", "swiglu"],
    "n_kv_heads": [1, 2, 4],
    "bias": [True, False],
    "tie_embeddings": [True, False],
    "scale_embeddings": [True, False],
    "embedding_norm": [True, False],
}


def small(**choices) -> LanguageModel:
    config = ModelConfig(20, d_model=16, n_heads=4, n_layers=2, max_len=16, **choices)
    return shake(LanguageModel(config)).eval()


@settings(max_examples=120)
@given(
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()}),
    st.booleans(),
    st.sampled_from([1, 3]),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([1, LARGE]),
)
@torch.no_grad()
def test_a_step_is_the_models_own_forward(choices, padded, B, dtype, large) -> None:
    model = small(**choices).to(dtype)
    assert is_plain(model)
    tokens = torch.randint(0, 20, (B, 9))
    mask = torch.ones(B, 9, dtype=torch.bool) if padded else None
    if mask is not None:
        mask[-1, :3] = mask[1:-1, :5] = False
    step, cache = Step(model), model.new_cache()
    model(tokens[:, :5], None if mask is None else mask[:, :5], cache)
    for end in (6, 7, 8, 9):
        seen = None if mask is None else mask[:, :end]
        with mock.patch("transformer_lab.step.LARGE", large):
            ours = step(tokens[:, end - 1 : end], seen, cache)
        theirs = model(tokens[:, :end], seen)[:, -1]
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert cache[0].length == 9


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("B", [1, 2, MANY, MANY + 1])
@pytest.mark.parametrize("N", [3, 1024, 1027])
def test_few_rows_is_linear(N, B, bias) -> None:
    K = LARGE // N + 1
    whole = partial(torch.randint, -3, 4)  # their sums are exact, in whatever order
    x, weight, plus = whole((B, K)).float(), whole((N, K)).float(), whole((N,)).float()
    ours = few_rows(x, weight, plus if bias else None)
    assert torch.equal(ours, F.linear(x, weight, plus if bias else None))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def doubled(model: LanguageModel) -> None:
    old = model.layers[0].attention.query
    model.layers[0].attention.query = new = Doubled(16, 16).to(old.weight)
    new.load_state_dict(old.state_dict())


def replaced(model: LanguageModel) -> None:
    model.layers[1].feed_forward.forward = lambda states: states


def hooked(model: LanguageModel) -> None:
    model.layers[0].attention.value.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("change", [doubled, replaced, hooked])
def test_a_model_that_is_not_the_packages_own_runs_through_its_modules(change) -> None:
    model = small()
    change(model)
    assert not is_plain(model)
    start = torch.tensor([[3, 4], [5, 6]])
    assert torch.equal(generate(model, start, 9), generate(model, start, 9, cache=False))
    assert not is_plain(EncoderDecoder(ModelConfig(20, d_model=16)))


def test_what_watches_or_changes_a_model_does_so_while_it_writes() -> None:
    model, start = small(), torch.randint(0, 20, (8, 3))
    with record_attention(model) as weights:
        written = generate(model, start, 6)
    assert weights["layers.0.attention"].shape == (8, 4, 1, 8)  # the last step's
    assert not weights["layers.0.attention"].is_inference()
    with silence_heads(model, {0: [0, 1, 2, 3], 1: [0, 1, 2, 3]}):
        changed = generate(model, start, 6)
        assert torch.equal(changed, generate(model, start, 6, cache=False))
    assert not torch.equal(changed, written)
    assert is_plain(model)


def test_what_was_written_can_be_trained_on() -> None:
    model = small()
    written = generate(model, torch.tensor([[3]]), 5)
    model(written).logsumexp(-1).sum().backward()
    assert model.embedding.tokens.weight.grad is not None
