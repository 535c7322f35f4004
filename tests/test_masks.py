"""masks.py: mask[t, s] is True when t may look at s."""

import pytest
import torch

from transformer_lab.masks import (
    causal_mask,
    combine,
    padding_mask,
    prefix_mask,
    to_torch_ignore,
    token_mask,
    window_mask,
)


def test_causal_looks_at_itself_and_back_but_not_ahead() -> None:
    assert causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True] * 3]


def test_causal_queries_are_the_last_of_the_keys() -> None:
    assert torch.equal(causal_mask(2, 5), causal_mask(5)[3:])


def test_padding_allows_the_real_tokens_for_every_query() -> None:
    mask = padding_mask(torch.tensor([2, 0, 3]), 4)
    assert mask.shape == (3, 1, 4)
    assert mask.sum(-1).flatten().tolist() == [2, 0, 3]
    assert mask[0, 0].tolist() == [True, True, False, False]


def test_padding_from_ids_equals_padding_from_lengths() -> None:
    tokens = torch.tensor([[5, 6, 0], [7, 0, 0]])
    real = padding_mask(torch.tensor([2, 1]), 3)
    assert torch.equal(token_mask(tokens, 0), real)
    assert torch.equal(token_mask(tokens.masked_fill(tokens == 0, 3), 3), real)


def test_window_is_causal_and_as_wide_as_said() -> None:
    mask = window_mask(6, 3)
    assert mask.sum(-1).tolist() == [1, 2, 3, 3, 3, 3]
    assert not (mask & ~causal_mask(6)).any()
    assert torch.equal(window_mask(4, 9), causal_mask(4))


def test_a_prefix_sees_itself_wholly_and_the_rest_is_causal() -> None:
    for T in (1, 2, 5):
        for prefix in range(T + 1):
            mask = prefix_mask(T, prefix)
            for t in range(T):
                for s in range(T):
                    assert mask[t, s] == (s <= t or (t < prefix and s < prefix)), (T, prefix, t, s)


def test_without_a_prefix_the_mask_is_causal_and_a_whole_prefix_sees_all() -> None:
    assert torch.equal(prefix_mask(4, 0), causal_mask(4))
    assert torch.equal(prefix_mask(4, 1), causal_mask(4))
    assert prefix_mask(4, 4).all()


def test_combine_allows_what_all_masks_allow() -> None:
    lengths = torch.tensor([1, 3])
    both = combine(causal_mask(3), None, padding_mask(lengths, 3))
    assert both is not None
    assert both.shape == (2, 3, 3)
    for b in range(2):
        for t in range(3):
            for s in range(3):
                assert both[b, t, s] == (s <= t and s < lengths[b])
    assert combine(None, None) is None


def test_the_other_polarity_is_the_exact_opposite() -> None:
    assert torch.equal(to_torch_ignore(causal_mask(3)), torch.ones(3, 3).triu(1).bool())


def test_masks_that_do_not_fit_are_both_named() -> None:
    with pytest.raises(ValueError, match=r"\(3, 3\), \(4, 4\)"):
        combine(causal_mask(3), causal_mask(4))
    with pytest.raises(TypeError, match=r"float32"):
        combine(torch.ones(2, 2))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: causal_mask(0), "T=0"),
        (lambda: causal_mask(4, 3), "S=3"),
        (lambda: window_mask(4, 0), "width"),
        (lambda: prefix_mask(0, 0), "T=0"),
        (lambda: prefix_mask(4, 5), "prefix must be .* at most 4, got 5"),
        (lambda: prefix_mask(4, -1), "at least 0 .* got -1"),
        (lambda: prefix_mask(4, 1.0), "whole number .* got 1.0"),
        (lambda: padding_mask(torch.tensor([[1]])), r"\(1, 1\)"),
        (lambda: padding_mask(torch.tensor([1.5])), "float32"),
        (lambda: padding_mask(torch.tensor([5]), 4), "S=4"),
        (lambda: padding_mask(torch.tensor([-1, 2])), "-1"),
        (lambda: token_mask(torch.tensor([1, 2]), 0), r"\(2,\)"),
    ],
)
def test_bad_arguments_are_named(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("make", [causal_mask, lambda T, device: window_mask(T, 2, device)])
def test_a_mask_is_made_where_it_is_needed(make) -> None:
    assert make(3, device="meta").device.type == "meta"
    assert prefix_mask(3, 1, device="meta").device.type == "meta"


def test_without_a_length_the_longest_text_decides() -> None:
    assert padding_mask(torch.tensor([1, 3, 2])).shape == (3, 1, 3)


def test_the_narrowest_window_is_the_diagonal() -> None:
    assert torch.equal(window_mask(3, 1), torch.eye(3) > 0)


def test_an_empty_batch_has_an_empty_mask() -> None:
    assert padding_mask(torch.zeros(0, dtype=torch.long)).shape == (0, 1, 0)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: padding_mask(torch.tensor([1]), 2.5), "S"),
        (lambda: padding_mask(torch.tensor([0]), -1), "S"),
        (lambda: token_mask(torch.tensor([[1]]), 0.5), "pad_id"),
        (lambda: prefix_mask(3, -1), "prefix"),
        (lambda: prefix_mask(3, 4), "prefix"),
        (lambda: prefix_mask(3, 1.5), "prefix"),
        (lambda: window_mask(3, 0), "width"),
        (lambda: window_mask(3, 1.5), "width"),
    ],
)
def test_a_number_that_makes_no_mask_is_named(call, name) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{name} "):
        call()


def test_a_prefix_may_be_empty_or_all() -> None:
    assert torch.equal(prefix_mask(3, 0), causal_mask(3))
    assert prefix_mask(3, 3).all()
