"""Lesson 04: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
import torch.nn.functional as F
from answers import collect

RIGHT, WRONG, right, wrong = collect()


# --- causal mask


@right("causal_mask")
def causal_by_comparison(T, S):
    return torch.arange(S) <= torch.arange(S - T, S)[:, None]


@right("causal_mask")
def causal_in_a_loop(T, S):
    rows = []
    for t in range(T):
        place = S - T + t
        rows.append([True] * (place + 1) + [False] * (S - place - 1))
    return torch.tensor(rows)


@right("causal_mask")
def causal_as_the_last_rows(T, S):
    return torch.ones([S, S]).tril()[S - T :].bool()


@right("causal_mask")
def causal_as_what_is_not_ahead(T, S):
    return ~torch.ones(T, S, dtype=torch.bool).triu(S - T + 1)


@wrong("causal_mask", "polarity")
def causal_with_true_as_ignore(T, S):
    return torch.triu(torch.ones(T, S), diagonal=1 + S - T) == 1


@wrong("causal_mask", "self-forbidden")
def causal_without_the_diagonal(T, S):
    return torch.ones(T, S).tril(diagonal=S - T - 1).bool()


@wrong("causal_mask", "one-too-far")
def causal_with_a_late_diagonal(T, S):
    return torch.tensor([[s - (S - T) < t + 2 for s in range(S)] for t in range(T)])


@wrong("causal_mask", "from-the-first-key")
def causal_by_plain_tril(T, S):
    return torch.tril(torch.ones(T, S)) > 0


@wrong("causal_mask", "offset-backwards")
def causal_moved_left(T, S):
    return torch.ones(T, S).tril(T - S).bool()


@wrong("causal_mask", "future")
def causal_upside_down(T, S):
    return torch.ones(T, S, dtype=torch.bool).triu(S - T)


@wrong("causal_mask", "earlier-keys-missing")
def causal_of_new_tokens_only(T, S):
    return torch.tensor([[s <= t for s in range(T)] for t in range(T)])


# --- padding mask


@right("padding_mask")
def padding_by_comparison(lengths, S):
    return (torch.arange(S)[None, :] < lengths.unsqueeze(1)).unsqueeze(1)


@right("padding_mask")
def padding_in_a_loop(lengths, S):
    mask = torch.zeros([len(lengths), 1, S], dtype=torch.bool)
    for b in range(len(lengths)):
        mask[b, :, : lengths[b]] = True
    return mask


@right("padding_mask")
def padding_from_lists(lengths, S):
    return torch.tensor([[[s < n for s in range(S)]] for n in lengths])


@right("padding_mask")
def padding_as_what_is_left(lengths, S):
    left = lengths[:, None, None] - torch.arange(S)
    return left > 0


@wrong("padding_mask", "polarity")
def padding_is_true(lengths, S):
    return (torch.arange(S) >= lengths[:, None]).unsqueeze(-2)


@wrong("padding_mask", "one-too-many")
def padding_counted_from_one(lengths, S):
    return torch.tensor([[[s <= n for s in range(S)]] for n in lengths.tolist()])


@wrong("padding_mask", "one-too-few")
def padding_without_the_last(lengths, S):
    return (torch.arange(S) + 1 < lengths[:, None]).unsqueeze(1)


@wrong("padding_mask", "axis-missing")
def padding_of_two_axes(lengths, S):
    mask = torch.zeros(len(lengths), S, dtype=torch.bool)
    for b, length in enumerate(lengths):
        mask[b, : int(length)] = True
    return mask


@wrong("padding_mask", "axis-last")
def padding_of_queries(lengths, S):
    return (lengths.unsqueeze(1) > torch.arange(S)).unsqueeze(-1)


@wrong("padding_mask", "own-length")
def padding_up_to_the_longest(lengths, S):
    return (torch.arange(max(lengths.tolist())) < lengths[:, None])[:, None]


@wrong("padding_mask", "padding-in-front")
def padding_on_the_left(lengths, S):
    return (torch.arange(S) >= S - lengths[:, None])[:, None]


# --- masked weights


@right("masked_weights")
def weights_with_empty_rows_cleared(scores, mask):
    weights = torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
    return weights.masked_fill(~mask, 0.0)


@right("masked_weights")
def weights_by_hand(scores, mask):
    hidden = scores.masked_fill(~mask, -math.inf)
    powers = torch.exp(hidden - hidden.amax(-1, keepdim=True).nan_to_num())
    total = powers.sum(-1, keepdim=True)
    return (powers / total).masked_fill(total < 0.5, 0.0)


@right("masked_weights")
def weights_row_by_row(scores, mask):
    rows, cells = scores.reshape(-1, scores.shape[-1]), mask.expand(scores.shape).flatten(0, -2)
    out = torch.zeros(rows.shape, dtype=rows.dtype)
    for i in range(len(rows)):
        out[i, cells[i]] = rows[i][cells[i]].softmax(0)
    return out.view(scores.shape)


@right("masked_weights")
def weights_cleared_of_nan(scores, mask):
    return F.softmax(torch.where(mask, scores, -math.inf), dim=-1).nan_to_num()


@right("masked_weights")
def weights_by_the_fused_kernel(scores, mask):
    keys = torch.eye(scores.shape[-1], dtype=scores.dtype)
    return F.scaled_dot_product_attention(scores, keys, keys, mask, scale=1.0)


@wrong("masked_weights", "mask-after-softmax")
def weights_masked_late(scores, mask):
    return torch.softmax(scores, -1).masked_fill(mask.logical_not(), 0)


@wrong("masked_weights", "renormalised")
def weights_masked_late_and_divided(scores, mask):
    weights = torch.where(mask, scores.softmax(-1), 0.0)
    return weights / torch.einsum("...ts->...t", weights)[..., None]


@wrong("masked_weights", "empty-row-nan")
def weights_with_minus_infinity(scores, mask):
    return F.softmax(torch.where(mask, scores, -math.inf), dim=-1)


@wrong("masked_weights", "empty-row-uniform")
def weights_with_the_lowest_number(scores, mask):
    return F.softmax(scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min), -1)


@wrong("masked_weights", "fill-too-high")
def weights_with_minus_ten_thousand(scores, mask):
    return torch.where(mask, torch.where(mask, scores, -10000.0).softmax(-1), 0)


@wrong("masked_weights", "zero-score")
def weights_of_products(scores, mask):
    return torch.softmax(scores * mask, dim=-1)


@wrong("masked_weights", "zero-score")
def weights_with_a_tiny_number(scores, mask):
    return torch.softmax(scores.masked_fill(~mask, -1e-9), dim=-1)


@wrong("masked_weights", "polarity")
def weights_with_true_as_ignore(scores, mask):
    hidden = scores.masked_fill(mask, torch.finfo(scores.dtype).min)
    return hidden.softmax(-1).masked_fill(mask, 0)


@wrong("masked_weights", "mask-ignored")
def weights_with_a_lost_fill(scores, mask):
    scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, -1)


@wrong("masked_weights", "infinity-added")
def weights_with_an_added_mask(scores, mask):
    bias = torch.where(mask, 0.0, -math.inf).to(scores.dtype)
    weights = torch.softmax(scores + bias, -1)
    return torch.where(weights.isnan(), 0.0, weights)


@wrong("masked_weights", "sum-detached")
def weights_with_a_constant_sum(scores, mask):
    hidden = torch.where(mask, scores, -math.inf)
    powers = (hidden - hidden.amax(-1, keepdim=True).detach().clamp(min=-1e30)).exp()
    with torch.no_grad():
        total = powers.sum(-1, keepdim=True).clamp(min=1e-30)
    return powers / total


# --- which mask goes where


@right("combine_masks")
def masks_by_comparison(source_lengths, target_lengths, S, T):
    source = (torch.arange(S) < source_lengths[:, None])[:, None]
    target = (torch.arange(T) < target_lengths[:, None])[:, None]
    ahead = torch.arange(T) > torch.arange(T)[:, None]
    return source, target.logical_and(~ahead), source


@right("combine_masks")
def masks_of_full_shape(source_lengths, target_lengths, S, T):
    B = len(source_lengths)
    encoder = torch.zeros([B, S, S], dtype=torch.bool)
    decoder = torch.zeros([B, T, T], dtype=torch.bool)
    cross = torch.zeros([B, T, S], dtype=torch.bool)
    for b in range(B):
        encoder[b, :, : source_lengths[b]] = True
        decoder[b, :, : target_lengths[b]] = True
        cross[b, :, : source_lengths[b]] = True
    return [encoder, decoder.tril(), cross]


@right("combine_masks")
def masks_from_lists(source_lengths, target_lengths, S, T):
    source = torch.tensor([[[s < n for s in range(S)]] for n in source_lengths])
    target = torch.tensor(
        [[[s < n and s <= t for s in range(T)] for t in range(T)] for n in target_lengths]
    )
    return source, target, source


def padding(lengths, S):
    return (torch.arange(S) < lengths[:, None]).unsqueeze(1)


@wrong("combine_masks", "decoder-sees-ahead")
def masks_of_padding_alone(source_lengths, target_lengths, S, T):
    source = padding(source_lengths, S)
    return source, padding(target_lengths, T).expand(-1, T, T), source


@wrong("combine_masks", "decoder-sees-padding")
def masks_with_a_plain_triangle(source_lengths, target_lengths, S, T):
    source = padding(source_lengths, S)
    return source.expand(-1, S, S), torch.ones(T, T).tril() == 1, source.expand(-1, T, S)


@wrong("combine_masks", "or")
def masks_joined_by_or(source_lengths, target_lengths, S, T):
    source = padding(source_lengths, S)
    triangle = torch.arange(T) <= torch.arange(T).unsqueeze(1)
    return source, torch.logical_or(padding(target_lengths, T), triangle), source


@wrong("combine_masks", "cross-by-target")
def masks_with_the_targets_padding(source_lengths, target_lengths, S, T):
    target = padding(target_lengths, T)
    return padding(source_lengths, S), torch.ones(T, T).tril().bool() & target, target


@wrong("combine_masks", "queries-too")
def masks_of_both_sides(source_lengths, target_lengths, S, T):
    source, target = padding(source_lengths, S), padding(target_lengths, T)
    decoder = (target.mT & target).tril()
    return source.mT & source, decoder, target.mT & source


@wrong("combine_masks", "no-query-axis")
def masks_of_two_axes(source_lengths, target_lengths, S, T):
    source, target = padding(source_lengths, S)[:, 0], padding(target_lengths, T)[:, 0]
    return source, torch.ones(T, T).tril().bool() & target, source


# --- the opposite polarity


@right("to_torch_ignore")
def ignore_by_indexing(mask, H):
    if len(mask.shape) == 2:
        return mask.logical_not()
    samples = [b for b in range(len(mask)) for _ in range(H)]
    return ~mask[samples]


@right("to_torch_ignore")
def ignore_by_an_axis_for_heads(mask, H):
    if len(mask.shape) == 3:
        mask = mask.unsqueeze(1).expand(-1, H, -1, -1).flatten(0, 1)
    return mask == 0


@right("to_torch_ignore")
def ignore_in_a_loop(mask, H):
    if len(mask.shape) == 2:
        return ~mask
    tables = []
    for sample in mask:
        for _ in range(H):
            tables.append(~sample)
    return torch.stack(tables)


@wrong("to_torch_ignore", "same-polarity")
def ignore_that_still_allows(mask, H):
    if mask.dim() == 2:
        return mask
    return torch.cat([sample.expand(H, -1, -1) for sample in mask])


@wrong("to_torch_ignore", "samples-within-heads")
def ignore_joined_head_by_head(mask, H):
    return ~mask if mask.dim() == 2 else torch.cat([mask.logical_not()] * H)


@wrong("to_torch_ignore", "heads-forgotten")
def ignore_without_heads(mask, H):
    return mask.logical_not()


@wrong("to_torch_ignore", "head-axis")
def ignore_of_four_axes(mask, H):
    return ~mask if mask.dim() == 2 else torch.stack([~mask] * H, 1)


@wrong("to_torch_ignore", "transposed-instead")
def ignore_that_swaps(mask, H):
    turned = mask.transpose(-1, -2)
    return turned if mask.dim() == 2 else turned.repeat_interleave(H, dim=0)


# --- find the leak


@right("find_the_leak")
def leak_by_a_jacobian(f, x):
    slopes = torch.autograd.functional.jacobian(f, x).abs().amax((1, 3))
    leaks = (slopes.triu(1) > 1e-5).any(1).tolist()
    return leaks.index(True) if True in leaks else -1


@right("find_the_leak")
def leak_from_all_pairs(f, x):
    before, found = f(x), [len(x)]
    for s in range(len(x)):
        other = torch.cat([x[:s], 3 - 2 * x[s : s + 1] ** 2, x[s + 1 :]])
        moved = ((f(other) - before).abs() > 1e-5).any(-1)
        found += [t for t in range(s) if moved[t]]
    return min(found) if min(found) < len(x) else -1


@right("find_the_leak")
def leak_from_another_future(f, x):
    other = torch.flip(x, (1,)) ** 2
    for t in range(len(x)):
        joined = torch.cat([x[: t + 1], other[t + 1 :]])
        if not torch.allclose(f(joined)[: t + 1], f(x)[: t + 1], rtol=0, atol=1e-5):
            return t
    return -1


@right("find_the_leak")
def leak_by_cutting_the_future_off(f, x):
    for t in range(len(x)):
        if (f(x[: t + 1])[t] - f(x)[t]).abs().max() > 1e-5:
            return torch.tensor(t)
    return -1.0


@wrong("find_the_leak", "always")
def leak_everywhere(f, x):
    return torch.zeros(())


@wrong("find_the_leak", "never")
def leak_with_a_second_name(f, x):
    for t in range(len(x)):
        changed = x
        if (f(changed)[t] - f(x)[t]).abs().max() > 1e-5:
            return t
    return -1


@wrong("find_the_leak", "itself-changed")
def leak_from_itself_on(f, x):
    for t in range(len(x)):
        other = torch.cat([x[:t], torch.rand_like(x[t:])])
        if ((f(other) - f(x))[t].abs() >= 1e-5).any():
            return t
    return -1


@wrong("find_the_leak", "next-only")
def leak_from_the_next(f, x):
    for t in range(len(x) - 1):
        changed = x.clone()
        changed[t + 1] = -2 * x[t + 1] + torch.arange(x.shape[1])
        if (f(changed)[t] - f(x)[t]).norm() > 1e-5:
            return t
    return -1


@wrong("find_the_leak", "rounding")
def leak_by_equality(f, x):
    for t in range(len(x) - 1):
        changed = x.clone()
        changed[t + 1 :] = torch.randn(x[t + 1 :].shape)
        if not torch.equal(f(changed)[t], f(x)[t]):
            return t
    return -1


@wrong("find_the_leak", "one-number-added")
def leak_behind_a_doubled_future(f, x):
    for t in range(len(x) - 1):
        doubled = torch.cat([x[: t + 1], 2 * x[t + 1 :] + 1])
        if torch.dist(f(doubled)[t], f(x)[t]) > 1e-5:
            return t
    return -1


@wrong("find_the_leak", "sum-of-features")
def leak_in_sums(f, x):
    for t in range(len(x)):
        changed = x.clone()
        changed[t + 1 :] = torch.randn_like(x[t + 1 :])
        if abs(f(changed)[t].sum() - f(x)[t].sum()) > 1e-5:
            return t
    return -1


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

EQUIVALENT = {
    ("weights_row_by_row", "0 → -1"): "a vector has one axis",
    (
        "combine_masks",
        "masks.causal_mask(T) & target → target & masks.causal_mask(T)",
    ): "both rules hold in either order",
    ("to_torch_ignore", "mask → mask.mT"): "only asked for its number of axes",
    ("find_the_leak", "len(x) - 1 → len(x)"): "nothing comes after the last position",
    ("find_the_leak", "1 → 0"): "nothing comes after the last position",
    ("find_the_leak", "x → -x"): "other inputs, random as well",
    (
        "find_the_leak",
        "f(changed)[t] - before[t] → before[t] - f(changed)[t]",
    ): "as far apart",
}
MANY_RIGHT = ("find_the_leak",)  # any change of later inputs will do
