"""layers.py against torch's own layers with the same weights."""

import pytest
import torch
from shaking import shake
from torch import nn
from torch.nn import functional as F

from transformer_lab.config import ModelConfig
from transformer_lab.layers import DecoderLayer, EncoderLayer, FeedForward, layer_norm, rms_norm
from transformer_lab.masks import causal_mask, combine, padding_mask, to_torch_ignore
from transformer_lab.twins import copy_layer

SIZES = {"d_model": 24, "nhead": 4, "dim_feedforward": 40, "dropout": 0.0, "batch_first": True}


def config(norm: str, activation: str) -> ModelConfig:
    return ModelConfig(10, d_model=24, d_ff=40, norm=norm, activation=activation)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_an_encoder_layer_equals_torchs(norm: str, activation: str) -> None:
    ours = shake(EncoderLayer(config(norm, activation)))
    theirs = nn.TransformerEncoderLayer(
        **SIZES, activation=activation, norm_first=norm == "pre"
    ).double()
    copy_layer(ours, theirs)
    states = torch.randn(3, 6, 24, dtype=torch.float64)
    real = padding_mask(torch.tensor([2, 6, 4]), 6)
    out = ours(states, mask=combine(causal_mask(6), real))
    expected = theirs(
        states,
        src_mask=to_torch_ignore(causal_mask(6)),
        src_key_padding_mask=to_torch_ignore(real[:, 0]),
    )
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_decoder_layer_equals_torchs(norm: str) -> None:
    ours = shake(DecoderLayer(config(norm, "relu")))
    theirs = nn.TransformerDecoderLayer(**SIZES, norm_first=norm == "pre").double()
    copy_layer(ours, theirs)
    states = torch.randn(3, 5, 24, dtype=torch.float64)
    source = torch.randn(3, 7, 24, dtype=torch.float64)
    real = padding_mask(torch.tensor([2, 7, 4]), 7)
    out = ours(states, source, mask=causal_mask(5), source_mask=real)
    expected = theirs(
        states,
        source,
        tgt_mask=to_torch_ignore(causal_mask(5)),
        memory_key_padding_mask=to_torch_ignore(real[:, 0]),
    )
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)


def test_a_gated_feed_forward_multiplies_gate_and_value() -> None:
    part = FeedForward(ModelConfig(10, d_model=8, d_ff=12, activation="swiglu", bias=False))
    x = torch.randn(2, 3, 8)
    assert part.gate is not None
    gated = x @ part.gate.weight.T
    expected = (gated * gated.sigmoid() * (x @ part.up.weight.T)) @ part.down.weight.T
    torch.testing.assert_close(part(x), expected)


def test_without_bias_no_layer_has_one() -> None:
    layer = DecoderLayer(ModelConfig(10, bias=False))
    assert not [name for name, _ in layer.named_parameters() if name.endswith("bias")]


def test_rms_norm_divides_by_the_root_mean_square() -> None:
    layer = EncoderLayer(ModelConfig(10, d_model=8, norm_kind="rms"))
    x = torch.randn(4, 8)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer.attention_norm(x), expected)


def test_dropout_takes_a_part_of_a_change_whole_or_not_at_all_and_never_the_states() -> None:
    layer = EncoderLayer(ModelConfig(10, d_model=24, d_ff=40, dropout=0.5))
    nn.init.zeros_(layer.attention.output.weight)
    nn.init.zeros_(layer.attention.output.bias)  # so all change is the feed-forward block's
    states = torch.randn(4, 50, 24)
    whole = layer.eval()(states) - states
    dropped = layer.train()(states) - states
    kept = dropped.abs() > 1e-6
    assert 0.45 < kept.float().mean() < 0.55
    torch.testing.assert_close(dropped[kept], 2 * whole[kept], rtol=1e-3, atol=1e-5)


def test_norms_by_hand_equal_torchs_with_torchs_own_eps() -> None:
    x, weight, bias = torch.randn(5, 8) * 1e-2, torch.randn(8), torch.randn(8)
    torch.testing.assert_close(layer_norm(x, weight, bias), F.layer_norm(x, (8,), weight, bias))
    torch.testing.assert_close(rms_norm(x, weight), F.rms_norm(x, (8,), weight, 1e-5))
