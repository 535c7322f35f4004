"""recording.py: the weights that ran, and a model that does not notice."""

import pytest
import torch
from torch import nn

from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder, TextEncoder
from transformer_lab.recording import record_attention


@pytest.fixture
def model() -> TextEncoder:
    return TextEncoder(ModelConfig(20, d_model=16, pad_id=0))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_the_output_while_recording_is_bit_identical(model: TextEncoder) -> None:
    ids = torch.randint(0, 20, (3, 7))
    before = model(ids)
    with record_attention(model) as weights:
        during = model(ids)
    assert torch.equal(before, during)
    assert list(weights) == ["layers.0.attention", "layers.1.attention"]
    assert weights["layers.0.attention"].shape == (3, 4, 7, 7)


def test_the_recorded_weights_rebuild_the_output(model: TextEncoder) -> None:
    """weights @ value, through the output map, is what the module returned."""
    ids = torch.randint(1, 20, (2, 5))
    ids[0, 3:] = 0
    seen = {}
    attention = model.layers[0].attention
    handle = attention.register_forward_hook(lambda _m, args, out: seen.update(x=args[0], y=out))
    with record_attention(model) as weights:
        model(ids)
    handle.remove()
    _, value = attention.keys_values(seen["x"])
    mixed = weights["layers.0.attention"] @ value
    rebuilt = attention.output(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(rebuilt, seen["y"], rtol=0, atol=1e-6)


def test_the_recorded_mask_is_the_one_that_ran(model: TextEncoder) -> None:
    ids = torch.tensor([[5, 6, 7, 0, 0]])
    with record_attention(model) as weights:
        model(ids)
    for table in weights.values():
        assert torch.equal(table[..., 3:], torch.zeros(1, 4, 5, 2))
        torch.testing.assert_close(table.sum(-1), torch.ones(1, 4, 5))


def test_weights_are_recorded_before_dropout() -> None:
    model = TextEncoder(ModelConfig(20, d_model=16, dropout=0.5)).train()
    with record_attention(model) as weights:
        model(torch.randint(0, 20, (2, 6)))
    torch.testing.assert_close(weights["layers.1.attention"].sum(-1), torch.ones(2, 4, 6))


def test_cross_attention_is_recorded_with_both_lengths() -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, n_layers=1, pad_id=0))
    with record_attention(model) as weights:
        model(torch.randint(1, 20, (2, 7)), torch.randint(1, 20, (2, 4)))
    shapes = {name: tuple(table.shape) for name, table in weights.items()}
    assert shapes == {
        "encoder.0.attention": (2, 4, 7, 7),
        "decoder.0.attention": (2, 4, 4, 4),
        "decoder.0.cross_attention": (2, 4, 4, 7),
    }


def test_hooks_are_gone_after_an_error_and_nothing_stays_on_the_model(model: TextEncoder) -> None:
    before = {name: set(vars(m)) for name, m in model.named_modules()}
    with pytest.raises(KeyError), record_attention(model):
        model(torch.ones(1, 3).long())
        raise KeyError("the learner's own mistake")
    assert hooks(model) == 0
    assert {name: set(vars(m)) for name, m in model.named_modules()} == before


def test_recordings_nest(model: TextEncoder) -> None:
    first, second = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5]])
    with record_attention(model) as outer:
        model(first)
        with record_attention(model) as inner:
            model(second)
        model(first)
    assert inner["layers.0.attention"].shape[-1] == 2
    assert outer["layers.0.attention"].shape[-1] == 3


def test_recorded_weights_hold_no_graph(model: TextEncoder) -> None:
    with record_attention(model) as weights:
        model(torch.ones(1, 3).long())
    assert not any(table.requires_grad for table in weights.values())


def test_an_empty_recording_is_an_error(model: TextEncoder) -> None:
    with pytest.raises(RuntimeError, match="nothing was recorded"), record_attention(model):
        pass
    with pytest.raises(ValueError, match="Linear"), record_attention(nn.Linear(2, 2)):
        pass
