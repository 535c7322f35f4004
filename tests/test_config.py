"""config.py: sizes are checked once, and errors name what is wrong."""

import dataclasses

import pytest

from transformer_lab.config import ModelConfig


def test_sizes_left_out_follow_from_the_others() -> None:
    config = ModelConfig(vocab_size=10, d_model=48, n_heads=6)
    assert (config.width_ff, config.kv_heads, config.d_head) == (192, 6, 8)


def test_a_config_cannot_be_changed_after_its_check() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig(vocab_size=10).d_model = 3


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"d_model": 30, "n_heads": 4}, ["d_model (30)", "n_heads (4)"]),
        ({"n_heads": 4, "n_kv_heads": 3}, ["n_heads (4)", "n_kv_heads (3)"]),
        ({"vocab_size": 0}, ["vocab_size", "0"]),
        ({"d_model": 64.0}, ["d_model", "64.0"]),
        ({"n_layers": True}, ["n_layers", "True"]),
        ({"d_ff": -1}, ["d_ff", "-1"]),
        ({"norm": "both"}, ["norm", "'both'", "pre", "post"]),
        ({"activation": "tanh"}, ["activation", "'tanh'", "gelu"]),
        ({"positions": "absolute"}, ["positions", "'absolute'", "sinusoidal"]),
        ({"norm_kind": "batch"}, ["norm_kind", "'batch'"]),
        ({"dropout": 1.0}, ["dropout", "1.0"]),
        ({"dropout": -0.1}, ["dropout", "-0.1"]),
        ({"norm_eps": 0.0}, ["norm_eps", "0.0"]),
        ({"n_segments": -1}, ["n_segments", "-1"]),
        ({"pad_id": 10}, ["pad_id (10)", "vocab_size (10)"]),
        ({"d_model": 5, "n_heads": 1}, ["positions ('sinusoidal')", "d_model (5)", "even"]),
        ({"d_model": 20, "n_heads": 4, "positions": "rotary"}, ["even", "(5)"]),
    ],
)
def test_a_size_that_does_not_fit_is_named_with_its_value(wrong: dict, names: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        ModelConfig(**{"vocab_size": 10, **wrong})
    assert all(name in str(error.value) for name in names), str(error.value)


@pytest.mark.parametrize("positions", ["learned", "alibi", "none"])
def test_an_odd_width_is_no_mistake_where_positions_are_no_waves(positions: str) -> None:
    assert ModelConfig(10, d_model=5, n_heads=1, positions=positions).d_model == 5
