"""attention.py against a loop written from the definition, and against torch."""

import math

import pytest
import torch
from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention, attention, attention_weights
from transformer_lab.masks import causal_mask, padding_mask, to_torch_ignore
from transformer_lab.twins import copy_attention


def by_hand(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Weights of one (T, d), (S, d) pair, one number at a time."""
    T, S = len(query), len(key)
    weights = torch.zeros(T, S, dtype=query.dtype)
    for t in range(T):
        allowed = [s for s in range(S) if mask is None or mask[t, s]]
        powers = {s: math.exp(float(query[t] @ key[s]) * scale) for s in allowed}
        for s in allowed:
            weights[t, s] = powers[s] / sum(powers.values())
    return weights


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [None, 1.0, 0.1])
def test_weights_are_the_softmax_of_scaled_dot_products(masked: bool, scale: float | None) -> None:
    query, key = torch.randn(3, 5, 4, dtype=torch.float64), torch.randn(3, 7, 4).double()
    mask = torch.rand(5, 7) > 0.4 if masked else None
    weights = attention_weights(query, key, mask, scale)
    for b in range(3):
        expected = by_hand(query[b], key[b], mask, 0.5 if scale is None else scale)
        torch.testing.assert_close(weights[b], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fused_path_equals_weights_times_values(dtype: torch.dtype) -> None:
    query, key, value = (torch.randn(2, 3, n, 8, dtype=dtype) for n in (5, 7, 7))
    mask = torch.rand(2, 1, 5, 7) > 0.5
    mask[0, 0, 2] = False
    for given in (None, mask):
        expected = attention_weights(query, key, given, scale=0.7) @ value
        out = attention(query, key, value, given, scale=0.7)
        bound = 1e-5 if dtype == torch.float32 else 1e-10
        torch.testing.assert_close(out, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("path", ["fused", "written out"])
def test_a_row_that_may_see_nothing_gives_zeros_and_finite_gradients(path: str) -> None:
    query, key, value = (torch.randn(1, 2, n, 4, requires_grad=True) for n in (3, 5, 5))
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1] = False
    if path == "fused":
        out = attention(query, key, value, mask)
    else:
        weights = attention_weights(query, key, mask)
        assert torch.equal(weights[..., 1, :], torch.zeros(1, 2, 5))
        out = weights @ value
    assert torch.equal(out[..., 1, :], torch.zeros(1, 2, 4))
    out.square().sum().backward()
    for leaf in (query, key, value):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().sum() > 0


def test_large_scores_neither_overflow_nor_leak_through_the_mask() -> None:
    query, key = torch.full((4, 8), 60.0), torch.full((4, 8), -60.0)
    weights = attention_weights(query, key, causal_mask(4))
    assert torch.equal(weights, weights.tril())
    torch.testing.assert_close(weights.sum(-1), torch.ones(4))


@pytest.mark.parametrize(("n_heads", "cross"), [(1, False), (4, False), (4, True), (8, True)])
def test_heads_equal_torch_with_the_same_weights(n_heads: int, cross: bool) -> None:
    ours = MultiHeadAttention(32, n_heads).double()
    theirs = nn.MultiheadAttention(32, n_heads, batch_first=True).double()
    copy_attention(ours, theirs)
    states = torch.randn(3, 6, 32, dtype=torch.float64)
    context = torch.randn(3, 9, 32, dtype=torch.float64) if cross else states
    mask = padding_mask(torch.tensor([2, 5, context.shape[1]]), context.shape[1])
    out = ours(states, context if cross else None, mask)
    expected, _ = theirs(
        states, context, context, key_padding_mask=to_torch_ignore(mask[:, 0]), need_weights=False
    )
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)


def test_fewer_key_heads_equal_full_heads_with_repeated_weights() -> None:
    few, full = MultiHeadAttention(24, 6, n_kv_heads=2), MultiHeadAttention(24, 6)
    for part in ("query", "output"):
        getattr(full, part).load_state_dict(getattr(few, part).state_dict())
    for part in ("key", "value"):
        small = getattr(few, part)
        with torch.no_grad():
            for name in ("weight", "bias"):
                heads = getattr(small, name).unflatten(0, (2, 4)).repeat_interleave(3, 0)
                getattr(getattr(full, part), name).copy_(heads.flatten(0, 1))
    states = torch.randn(2, 5, 24)
    torch.testing.assert_close(few(states), full(states), rtol=0, atol=1e-6)


def test_dropout_acts_in_training_only() -> None:
    module = MultiHeadAttention(16, 2, dropout=0.5)
    states = torch.randn(2, 6, 16)
    assert not torch.equal(module(states), module(states))
    module.eval()
    assert torch.equal(module(states), module(states))


def test_a_mask_for_each_sample_reaches_every_head_of_that_sample_only() -> None:
    module = MultiHeadAttention(16, 4)
    states = torch.randn(2, 3, 16)
    mask = torch.stack([torch.eye(3).bool(), torch.ones(3, 3).bool()])
    out = module(states, mask=mask)
    torch.testing.assert_close(out[:1], module(states[:1], mask=torch.eye(3).bool()))
    torch.testing.assert_close(out[1:], module(states[1:]))


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda q: attention_weights(q, torch.ones(5, 3)), ValueError, r"\(2, 4\) and \(5, 3\)"),
        (lambda q: attention_weights(q, torch.ones(4)), ValueError, r"\(4,\)"),
        (lambda q: attention(q, q, torch.ones(3, 4)), ValueError, r"\(2, 4\) and \(3, 4\)"),
        (lambda q: attention(q, q, q, torch.ones(2, 3).bool()), ValueError, r"mask \(2, 3\)"),
        (lambda q: attention(q, q, q, torch.ones(2, 2)), TypeError, "float32"),
        (lambda q: attention_weights(q, q, torch.ones(2, 2).int()), TypeError, "int32"),
        (lambda _: MultiHeadAttention(30, 4), ValueError, r"\(30\).*\(4\)"),
        (lambda _: MultiHeadAttention(32, 4, 3), ValueError, r"\(4\).*\(3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_both_named(call, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        call(torch.ones(2, 4))


@pytest.mark.parametrize("rows", [1, 3])
def test_states_and_context_of_other_batches_are_named(rows) -> None:
    module = MultiHeadAttention(8, 2)
    with pytest.raises(ValueError, match=f"as many rows, got (2 and {rows}|{rows} and 2)"):
        module(torch.randn(2, 3, 8), torch.randn(rows, 4, 8))


@pytest.mark.parametrize("ours", [torch.float32, torch.float64])
def test_a_bias_of_another_precision_is_added_all_the_same(ours) -> None:
    theirs = torch.float64 if ours == torch.float32 else torch.float32
    query, key, bias = torch.randn(3, 4).to(ours), torch.randn(5, 4).to(ours), torch.randn(3, 5)
    mixed = attention(query, key, key, bias=bias.to(theirs))
    assert mixed.dtype == ours
    assert torch.allclose(mixed, attention_weights(query, key, bias=bias) @ key, atol=1e-6)


def test_dropout_of_the_function_keeps_a_weight_whole_and_scaled_or_not_at_all() -> None:
    query, key = torch.randn(200, 4), torch.randn(5, 4)
    weights = attention_weights(query, key)
    dropped = attention(query, key, torch.eye(5), dropout=0.25)
    kept = dropped > 0
    assert 0.7 < kept.float().mean() < 0.8
    assert torch.allclose(dropped[kept], weights[kept] / 0.75, atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"d_model": 0}, "d_model must be a whole number at least 1, got 0"),
        ({"d_model": 8.0}, r"d_model must be a whole number at least 1, got 8\.0"),
        ({"n_heads": 0}, "n_heads must be a whole number at least 1, got 0"),
        ({"n_heads": 3}, r"d_model \(8\) must be divisible by n_heads \(3\)"),
        ({"n_kv_heads": 0}, "n_kv_heads must be a whole number at least 1, got 0"),
        ({"n_kv_heads": 3}, r"n_heads \(4\) must be divisible by n_kv_heads \(3\)"),
        ({"dropout": -0.1}, "dropout must be a number at least 0 and below 1, got -0.1"),
        ({"dropout": 1.0}, "dropout must be a number at least 0 and below 1, got 1.0"),
    ],
)
def test_sizes_that_make_no_heads_are_named(sizes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MultiHeadAttention(**{"d_model": 8, "n_heads": 4, **sizes})


def test_one_head_of_one_number_is_enough() -> None:
    assert MultiHeadAttention(1, 1, 1)(torch.ones(1, 2, 1)).shape == (1, 2, 1)


def test_a_share_to_drop_lies_between_0_and_1() -> None:
    x = torch.ones(2, 4)
    for share in (0.0, 1.0):
        assert attention(x, x, x, dropout=share).shape == (2, 4)
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"dropout must .* 0 and at most 1, got {share}"):
            attention(x, x, x, dropout=share)
