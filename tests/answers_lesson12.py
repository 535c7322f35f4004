"""Lesson 12: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
import torch.nn.functional as F
from answers import collect

from transformer_lab.attention import attention_weights

RIGHT, WRONG, right, wrong = collect()


# --- temperature and top-k


@right("sample_distribution")
def distribution_by_a_bar(logits, temperature, top_k):
    V = logits.shape[-1]
    if temperature > 0:
        scores = logits / temperature
        if top_k is not None and top_k < V:
            scores = scores.masked_fill(scores < scores.topk(top_k).values[..., -1:], -math.inf)
        return torch.softmax(scores, -1)
    return F.one_hot(logits.argmax(-1), V).to(logits.dtype)


@right("sample_distribution")
def distribution_put_in_place(logits, temperature, top_k):
    values, places = logits.sort(-1, descending=True)
    if temperature > 0:
        shares = (values[..., :top_k] / temperature).softmax(-1)
    else:
        shares = torch.ones(places[..., :1].shape, dtype=logits.dtype)
    places = places[..., : shares.shape[-1]]
    return torch.zeros(logits.shape, dtype=logits.dtype).scatter(-1, places, shares)


@right("sample_distribution")
def distribution_renormalised(logits, temperature, top_k):
    best = logits.amax(-1, keepdim=True)
    if temperature > 0:
        powers = ((logits - best) / temperature).exp()
        rank = (logits[..., None, :] > logits[..., :, None]).sum(-1)
        kept = powers * (rank < (top_k or logits.shape[-1]))
        return F.normalize(kept, p=1.0, dim=-1)
    return (logits >= best).to(logits.dtype)


@right("sample_distribution")
def distribution_in_a_loop(logits, temperature, top_k):
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]):
        order = sorted(row, reverse=True)
        keep = order[:top_k] if temperature > 0 else order[:1]
        rows.append(torch.where(row < keep[-1], -math.inf, row))
    scores = torch.stack(rows).view(logits.shape)
    return (scores / temperature if temperature > 0 else scores).softmax(-1)


@wrong("sample_distribution", "top-k-ignored")
def distribution_of_all(logits, temperature, top_k):
    return distribution_put_in_place(logits, temperature, None)


@wrong("sample_distribution", "temperature-ignored")
def distribution_with_divided_shares(logits, temperature, top_k):
    shares = distribution_by_a_bar(logits, 1.0 if temperature else 0, top_k)
    if temperature:
        shares = shares / temperature
    return shares / shares.sum(-1, keepdim=True)


@wrong("sample_distribution", "temperature-multiplies")
def distribution_upside_down(logits, temperature, top_k):
    if temperature == 0:
        return distribution_by_a_bar(logits, 0, top_k)
    return distribution_put_in_place(temperature * logits, 1.0, top_k)


@wrong("sample_distribution", "zero-temperature")
def distribution_that_divides_by_zero(logits, temperature, top_k):
    scores = logits / temperature
    bar = scores.topk(min(top_k or 10**9, scores.shape[-1])).values[..., -1:]
    return scores.masked_fill(scores < bar, -math.inf).softmax(-1)


@wrong("sample_distribution", "not-renormalised")
def distribution_struck_out_late(logits, temperature, top_k):
    shares = distribution_of_all(logits, temperature, None)
    bar = shares.topk(min(top_k or 10**9, shares.shape[-1])).values[..., -1:]
    return torch.where(shares < bar, 0.0, shares)


@wrong("sample_distribution", "one-too-few")
def distribution_below_the_bar(logits, temperature, top_k):
    if temperature == 0 or top_k is None:
        return distribution_by_a_bar(logits, temperature, top_k)
    bar = logits.sort(-1, descending=True).values[..., :top_k][..., -1:]
    return torch.where(logits <= bar, -math.inf, logits / temperature).softmax(-1)


@wrong("sample_distribution", "k-above-V")
def distribution_with_a_plain_topk(logits, temperature, top_k):
    if temperature == 0:
        return distribution_by_a_bar(logits, 0, None)
    if top_k is None:
        return (logits / temperature).softmax(-1)
    values, places = torch.topk(logits / temperature, top_k)
    return torch.full_like(logits, -math.inf).scatter(-1, places, values).softmax(-1)


@wrong("sample_distribution", "overflow")
def distribution_by_plain_powers(logits, temperature, top_k):
    if temperature == 0:
        return distribution_by_a_bar(logits, 0, None)
    values, places = logits.sort(-1, descending=True)
    powers = math.e ** (values[..., :top_k] / temperature)
    powers = powers / powers.sum(-1, keepdim=True)
    return torch.zeros_like(logits).scatter(-1, places[..., :top_k], powers)


# --- top-p


@right("top_p")
def nucleus_in_sorted_order(logits, p):
    values, places = logits.sort(-1, descending=True)
    shares = values.softmax(-1)
    values = values.masked_fill(shares.cumsum(-1) - shares >= p, -math.inf)
    return torch.empty_like(logits).scatter(-1, places, values)


@right("top_p")
def nucleus_by_comparing_all(logits, p):
    shares = logits.softmax(-1)
    likelier = shares[..., None, :] > shares[..., :, None]
    held = (shares[..., None, :] * likelier).sum(-1)
    return torch.where(held < p, logits, -math.inf)


@right("top_p")
def nucleus_in_a_loop(logits, p):
    out = torch.full(logits.shape, -math.inf, dtype=logits.dtype)
    flat = out.view(-1, logits.shape[-1])
    rows, likely = logits.reshape(flat.shape), logits.softmax(-1).reshape(flat.shape)
    for kept, row, shares in zip(flat, rows, likely, strict=True):
        held = 0
        for i in shares.argsort(descending=True):
            if held < p:
                kept[i] = row[i]
            held = held + shares[i]
    return out


@right("top_p")
def nucleus_by_a_bar(logits, p):
    shares = logits.softmax(-1).sort(-1, descending=True).values
    last = (shares.cumsum(-1) - shares < p).sum(-1, keepdim=True) - 1
    return logits.masked_fill(logits.softmax(-1) < shares.gather(-1, last), -math.inf)


@wrong("top_p", "ignored")
def nucleus_of_all(logits, p):
    return logits.log_softmax(-1)


@wrong("top_p", "stops-short")
def nucleus_that_stays_below(logits, p):
    values, places = logits.sort(-1, descending=True)
    values = torch.where(values.softmax(-1).cumsum(-1) > p, -math.inf, values)
    return torch.zeros_like(logits).scatter(-1, places, values)


@wrong("top_p", "stops-short-but-for-the-best")
def nucleus_that_saves_the_best(logits, p):
    values, places = logits.sort(-1, descending=True)
    out = values.softmax(-1).cumsum(-1) > p
    out[..., 0] = False
    return torch.zeros_like(logits).scatter(-1, places, values.masked_fill(out, -math.inf))


@wrong("top_p", "one-too-many")
def nucleus_with_one_more(logits, p):
    values, places = logits.sort(-1, descending=True)
    reached = values.softmax(-1).cumsum(-1) >= p
    out = torch.cat([torch.zeros_like(reached[..., :2]), reached[..., :-2]], -1)
    out = out[..., : values.shape[-1]]
    return torch.zeros_like(logits).scatter(-1, places, values.masked_fill(out, -math.inf))


@wrong("top_p", "each-token-alone")
def nucleus_of_large_shares(logits, p):
    return torch.where(torch.softmax(logits, -1) < p, -math.inf, logits)


@wrong("top_p", "not-put-back")
def nucleus_in_two_orders(logits, p):
    shares, _ = logits.softmax(-1).sort(descending=True)
    return logits.masked_fill(shares.cumsum(-1) - shares >= p, -math.inf)


@wrong("top_p", "zeros")
def nucleus_with_zeros(logits, p):
    filtered = nucleus_in_sorted_order(logits, p)
    return torch.where(filtered.isinf(), 0.0, filtered)


@wrong("top_p", "unlikeliest-first")
def nucleus_from_below(logits, p):
    values, places = logits.sort(-1)
    shares = values.softmax(-1)
    values = values.masked_fill(shares.cumsum(-1) - shares >= p, -math.inf)
    return torch.zeros_like(logits).scatter(-1, places, values)


# --- a step with a cache


@right("cached_step")
def step_by_hand(states, positions, project, keys, values):
    S, T, d = keys.shape[1], states.shape[1], keys.shape[2]
    query, key, value = project(states + positions[None, S : S + T])
    keys = torch.cat([keys, key], dim=1)
    values = torch.cat([values, value], dim=1)
    allowed = torch.ones(T, S + T).tril(S) > 0
    scores = query @ keys.mT / d**0.5
    weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return weights @ values, keys, values


@right("cached_step")
def step_token_by_token(states, positions, project, keys, values):
    mixed = []
    for state in states.unbind(1):
        here = state + positions[keys.shape[1]]
        query, key, value = project(here[:, None])
        keys, values = torch.cat([keys, key], 1), torch.cat([values, value], 1)
        mixed.append(attention_weights(query, keys) @ values)
    return torch.cat(mixed, 1), keys, values


@right("cached_step")
def step_into_room(states, positions, project, keys, values):
    S = keys.shape[1]
    query, key, value = project(states + positions[S:][: states.shape[1]])
    all_keys = F.pad(keys, (0, 0, 0, key.shape[1]))
    all_values = F.pad(values, (0, 0, 0, key.shape[1]))
    all_keys[:, S:] = key
    all_values[:, S:] = value
    at = torch.arange(all_keys.shape[1])
    mask = at <= at[S:, None]
    mixed = F.scaled_dot_product_attention(query, all_keys, all_values, attn_mask=mask)
    return mixed, all_keys, all_values


@wrong("cached_step", "position-not-advanced")
def step_at_the_start(states, positions, project, keys, values):
    query, key, value = project(states + positions[: states.shape[1]])
    keys, values = torch.cat([keys, key], 1), torch.cat([values, value], 1)
    mask = torch.ones(states.shape[1], keys.shape[1]).tril(keys.shape[1] - states.shape[1]) > 0
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask), keys, values


@wrong("cached_step", "overwrites")
def step_without_a_past(states, positions, project, keys, values):
    here = positions.narrow(0, keys.shape[1], states.shape[1])
    query, key, value = project(states + here)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True), key, value


@wrong("cached_step", "caches-queries")
def step_that_keeps_queries(states, positions, project, keys, values):
    query, _, value = project(states + positions.narrow(0, keys.shape[1], states.shape[1]))
    S, T = keys.shape[1], states.shape[1]
    keys, values = torch.cat([keys, query], 1), torch.cat([values, value], 1)
    mask = torch.ones(T, S + T).tril(S) > 0
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask), keys, values


@wrong("cached_step", "mask-counts-from-the-first-key")
def step_with_the_kernels_mask(states, positions, project, keys, values):
    query, key, value = project(states + positions.narrow(0, keys.shape[1], states.shape[1]))
    keys, values = torch.cat([keys, key], 1), torch.cat([values, value], 1)
    return F.scaled_dot_product_attention(query, keys, values, is_causal=True), keys, values


@wrong("cached_step", "sees-what-follows")
def step_without_a_mask(states, positions, project, keys, values):
    query, key, value = project(states + positions.narrow(0, keys.shape[1], states.shape[1]))
    keys, values = torch.cat([keys, key], 1), torch.cat([values, value], 1)
    return F.scaled_dot_product_attention(query, keys, values), keys, values


@wrong("cached_step", "cache-returned-as-it-was")
def step_that_forgets(states, positions, project, keys, values):
    mixed, _, _ = step_by_hand(states, positions, project, keys, values)
    return mixed, keys.clone(), values.clone()


@wrong("cached_step", "one-position-for-all")
def step_at_one_place(states, positions, project, keys, values):
    place = positions[keys.shape[1]]
    moved = place.expand(len(positions), -1)
    return step_by_hand(states, moved, project, keys, values)


@wrong("cached_step", "old-cache-only")
def step_that_looks_first(states, positions, project, keys, values):
    query, key, value = project(states + positions.narrow(0, keys.shape[1], states.shape[1]))
    weights = (query @ keys.mT / query.shape[-1] ** 0.5).softmax(-1)
    return weights @ values, torch.cat([keys, key], 1), torch.cat([values, value], 1)


# --- attention in tiles


@right("tiled_softmax")
def tiles_by_log_sums(query, blocks):
    mixed, size = 0.0, torch.full((len(query), 1), -math.inf)
    for key, value in blocks:
        scores = query @ key.T
        here = scores.logsumexp(1, keepdim=True)
        both = torch.logaddexp(size, here)
        mixed = mixed * (size - both).exp() + (scores - both).exp() @ value
        size = both
    return mixed


@right("tiled_softmax")
def tiles_query_by_query(query, blocks):
    state = [(-math.inf, 0.0, 0.0) for _ in range(len(query))]
    for key, value in blocks:
        for t, q in enumerate(query):
            top, total, mixed = state[t]
            for k, v in zip(key, value, strict=True):
                score = (q * k).sum()
                higher = score if score > top else top
                old, new = (top - higher).exp(), (score - higher).exp()
                top, total, mixed = higher, total * old + new, mixed * old + new * v
            state[t] = (top, total, mixed)
    return torch.stack([mixed / total for _, total, mixed in state])


@right("tiled_softmax")
def tiles_in_float64(query, blocks):
    top = total = mixed = None
    for key, value in blocks:
        scores = query.double() @ key.mT.double()
        here = scores.amax(1)
        if top is None:
            top, total, mixed = here, 0, 0
        new = torch.where(here > top, here, top)
        old = (top - new).exp()
        powers = (scores - new[:, None]).exp()
        total = old * total + powers.sum(1)
        mixed = old[:, None] * mixed + powers @ value.double()
        top = new
    return (mixed / total[:, None]).to(query.dtype)


@right("tiled_softmax")
def tiles_that_keep_their_scores(query, blocks):
    scores, values = [], []
    for key, value in blocks:
        scores.append(query @ key.T)
        values.append(value.clone())
    return torch.cat(scores, 1).softmax(1) @ torch.cat(values)


@wrong("tiled_softmax", "no-maximum")
def tiles_of_plain_powers(query, blocks):
    total = mixed = 0
    for key, value in blocks:
        powers = torch.exp(query @ key.T)
        total = total + powers.sum(1, keepdim=True)
        mixed = mixed + powers @ value
    return mixed / total


@wrong("tiled_softmax", "nothing-rescaled")
def tiles_that_do_not_shrink(query, blocks):
    top = torch.full((len(query), 1), -math.inf, dtype=query.dtype)
    total = mixed = 0
    for key, value in blocks:
        scores = query @ key.T
        top = torch.maximum(top, scores.max(1, keepdim=True).values)
        total = total + (scores - top).exp().sum(1, keepdim=True)
        mixed = mixed + (scores - top).exp() @ value
    return mixed / total


@wrong("tiled_softmax", "total-not-rescaled")
def tiles_with_a_stale_sum(query, blocks):
    top = torch.full((len(query), 1), -math.inf, dtype=query.dtype)
    total = mixed = torch.zeros_like(top)
    for key, value in blocks:
        scores = query @ key.T
        new = torch.maximum(top, scores.max(1, keepdim=True).values)
        powers = torch.exp(scores - new)
        mixed = torch.exp(top - new) * mixed + powers @ value
        total, top = total + powers.sum(1)[:, None], new
    return mixed / total


@wrong("tiled_softmax", "mixed-not-rescaled")
def tiles_with_a_stale_mix(query, blocks):
    top = torch.full((len(query), 1), -math.inf, dtype=query.dtype)
    total = mixed = torch.zeros_like(top)
    for key, value in blocks:
        scores = query @ key.T
        new = torch.maximum(top, scores.max(1, keepdim=True).values)
        powers = torch.exp(scores - new)
        total = torch.exp(top - new) * total + powers.sum(1)[:, None]
        mixed, top = mixed + powers @ value, new
    return mixed / total


@wrong("tiled_softmax", "blocks-averaged")
def tiles_on_average(query, blocks):
    mixed = [F.scaled_dot_product_attention(query, k, v, scale=1.0) for k, v in blocks]
    return sum(mixed) / len(mixed)


@wrong("tiled_softmax", "collected-first")
def tiles_all_at_once(query, blocks):
    keys, values = zip(*blocks, strict=True)
    return torch.softmax(query @ torch.cat(keys).T, -1) @ torch.cat(values)


@wrong("tiled_softmax", "maximum-starts-at-0")
def tiles_above_nothing(query, blocks):
    top = total = mixed = query.new_zeros(len(query), 1)
    for key, value in blocks:
        scores = query @ key.T
        new = torch.cat([top, scores], 1).amax(1, keepdim=True)
        powers, old = (scores - new).exp(), (top - new).exp()
        total, mixed, top = total * old + powers.sum(1)[:, None], mixed * old + powers @ value, new
    return mixed / total


@wrong("tiled_softmax", "rescaled-upside-down")
def tiles_that_grow(query, blocks):
    top = None
    for key, value in blocks:
        scores = query @ key.T
        highest = scores.amax(1, keepdim=True)
        new = highest if top is None else torch.maximum(top, highest)
        powers = (scores - new).exp()
        if top is None:
            total, mixed = powers.sum(1)[:, None], powers @ value
        else:
            grow = (new - top).exp()
            total, mixed = total * grow + powers.sum(1)[:, None], mixed * grow + powers @ value
        top = new
    return mixed / total


@wrong("tiled_softmax", "two-passes")
def tiles_gone_through_twice(query, blocks):
    top = torch.stack([(query @ key.T).amax(1) for key, _ in blocks]).amax(0)[:, None]
    total = mixed = 0
    for key, value in blocks:
        powers = (query @ key.T - top).exp()
        total, mixed = total + powers.sum(1)[:, None], mixed + powers @ value
    return mixed / total


# --- prompts of different lengths


@right("left_pad")
def padding_in_lists(prompts, pad_id):
    T = max(len(prompt) for prompt in prompts)
    tokens, mask, positions = [], [], []
    for prompt in prompts:
        pads = T - len(prompt)
        tokens.append([pad_id] * pads + prompt)
        mask.append([False] * pads + [True] * len(prompt))
        positions.append([0] * pads + list(range(len(prompt))))
    return torch.tensor(tokens), torch.tensor(mask), torch.tensor(positions)


@right("left_pad")
def padding_by_torch(prompts, pad_id):
    rows = [torch.tensor(prompt) for prompt in prompts]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, True, pad_id, padding_side="left")
    lengths = torch.tensor([len(row) for row in rows])
    column = torch.arange(tokens.shape[1])
    start = (tokens.shape[1] - lengths)[:, None]
    mask = column >= start
    return tokens, mask, torch.where(mask, column - start, 0)


@right("left_pad")
def padding_from_the_right(prompts, pad_id):
    T = max(len(prompt) for prompt in prompts)
    rows = [[*prompt[::-1], *[pad_id] * T][:T][::-1] for prompt in prompts]
    mask = torch.tensor([[i < len(prompt) for i in range(T)] for prompt in prompts]).flip(1)
    return torch.tensor(rows), mask, mask.cumsum(1) - mask.long()


@wrong("left_pad", "padded-right")
def padding_at_the_end(prompts, pad_id):
    T = max(map(len, prompts))
    tokens = torch.tensor([prompt + [pad_id] * (T - len(prompt)) for prompt in prompts])
    mask = torch.arange(T) < torch.tensor([len(prompt) for prompt in prompts])[:, None]
    return tokens, mask, torch.arange(T) * mask


@wrong("left_pad", "positions-from-the-edge")
def padding_with_columns_as_positions(prompts, pad_id):
    tokens, mask, _ = padding_in_lists(prompts, pad_id)
    return tokens, mask, torch.stack([torch.arange(tokens.shape[1]) for _ in prompts])


@wrong("left_pad", "mask-by-id")
def padding_found_by_its_id(prompts, pad_id):
    tokens, _, _ = padding_in_lists(prompts, pad_id)
    mask = ~tokens.eq(pad_id)
    return tokens, mask, (mask.long().cumsum(1) - 1).clamp(min=0)


@wrong("left_pad", "mask-turned-round")
def padding_marked_as_real(prompts, pad_id):
    tokens, mask, positions = padding_by_torch(prompts, pad_id)
    return tokens, torch.logical_not(mask), positions


@wrong("left_pad", "position-below-0")
def padding_at_minus_1(prompts, pad_id):
    tokens, mask, positions = padding_in_lists(prompts, pad_id)
    return tokens, mask, torch.where(mask, positions, -1)


@wrong("left_pad", "pads-with-0")
def padding_with_a_fixed_id(prompts, pad_id):
    return padding_by_torch(prompts, 0)


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

EQUIVALENT = {
    (
        "tiled_attention",
        "torch.maximum(largest, scores.amax(1, keepdim=True)) → "
        "torch.maximum(scores.amax(1, keepdim=True), largest)",
    ): "the same larger one",
    ("tiled_attention", "torch.zeros → torch.ones"): "the first block shrinks it to nothing",
    (
        "tiled_attention",
        "torch.zeros(len(query), 1) → len(query)",
    ): "the first block shrinks it to nothing",
    ("tiles_by_log_sums", "0.0 → 0.1"): "the first block shrinks it to nothing",
    (
        "tiles_by_log_sums",
        "torch.logaddexp(size, here) → torch.logaddexp(here, size)",
    ): "the same sum",
    ("tiles_query_by_query", "0.0 → 0.1"): "the first key shrinks it to nothing",
}
MANY_RIGHT = ()
