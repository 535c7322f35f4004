"""Lesson 02: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
import torch.nn.functional as F
from answers import collect

RIGHT, WRONG, right, wrong = collect()


# --- stable softmax


@right("stable_softmax")
def softmax_by_hand(scores, dim=-1):
    biggest = torch.max(scores, dim=dim, keepdim=True).values
    powers = torch.exp(scores - biggest)
    return powers / torch.sum(powers, dim=dim, keepdim=True)


@right("stable_softmax")
def softmax_by_logarithms(scores, dim=-1):
    return torch.exp(scores - torch.logsumexp(scores, dim, keepdim=True))


@right("stable_softmax")
def softmax_with_the_axis_last(scores, dim=-1):
    rows = scores.movedim(dim, -1)
    powers = (rows - rows.amax(-1).unsqueeze(-1)).exp()
    return (powers / powers.sum(-1)[..., None]).movedim(-1, dim)


@right("stable_softmax")
def softmax_in_a_loop(scores, dim=-1):
    rows = scores.movedim(dim, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    out = torch.empty_like(flat)
    for i in range(len(flat)):
        powers = [(x - flat[i].max()).exp() for x in flat[i]]
        out[i] = torch.stack(powers) / sum(powers)
    return out.reshape(rows.shape).movedim(-1, dim)


@right("stable_softmax")
def softmax_in_float64(scores, dim=-1):
    wide = scores.double()
    powers = (wide - wide.amax(dim, True)).exp()
    return (powers / powers.sum(dim, True)).to(scores.dtype)


@wrong("stable_softmax", "overflow")
def softmax_as_powers_of_e(scores, dim=-1):
    return torch.exp(scores) * (1 / torch.exp(scores).sum(dim=dim, keepdim=True))


@wrong("stable_softmax", "largest-of-all")
def softmax_after_a_flat_maximum(scores, dim=-1):
    powers = torch.exp(scores - torch.max(scores.flatten()))
    return powers.div(powers.sum(dim).unsqueeze(dim))


@wrong("stable_softmax", "dim-ignored")
def softmax_along_the_last_axis(scores, dim=-1):
    return F.softmax(scores, dim=-1)


@wrong("stable_softmax", "first-axis")
def softmax_along_the_first_axis(scores, dim=-1):
    return torch.exp(torch.log_softmax(scores, 0))


@wrong("stable_softmax", "sum-of-all")
def softmax_of_everything(scores, dim=-1):
    powers = torch.exp(scores - torch.amax(scores, dim, keepdim=True))
    return powers / torch.einsum("...->", powers.flatten()[:, None]).sum()


@wrong("stable_softmax", "sum-without-keepdim")
def softmax_with_a_flat_sum(scores, dim=-1):
    biggest, _ = torch.max(scores, dim, keepdim=True)
    e = math.e ** (scores - biggest)
    return torch.div(e, torch.sum(e, dim))


@wrong("stable_softmax", "max-without-keepdim")
def softmax_with_a_flat_maximum(scores, dim=-1):
    e = torch.exp(torch.sub(scores, scores.max(dim).values))
    return e / e.sum(dim).unsqueeze(dim)


@wrong("stable_softmax", "clamped")
def softmax_cut_at_80(scores, dim=-1):
    powers = torch.exp(torch.minimum(scores, torch.tensor(80.0)))
    return powers / powers.sum(dim).unsqueeze(dim)


@wrong("stable_softmax", "not-normalised")
def softmax_without_a_sum(scores, dim=-1):
    return math.e ** (scores - scores.max(dim, keepdim=True)[0])


# --- a soft dictionary


@right("soft_lookup")
def lookup_by_products(query, keys, values):
    return torch.softmax(keys @ query, 0) @ values


@right("soft_lookup")
def lookup_by_einsum(query, keys, values):
    weights = torch.einsum("d,sd->s", query, keys).softmax(0)
    return torch.einsum("s,sv->v", weights, values)


@right("soft_lookup")
def lookup_in_a_loop(query, keys, values):
    powers = [(query * key).sum().exp() for key in keys]
    total = sum(powers)
    answer = 0
    for power, value in zip(powers, values, strict=True):
        answer = answer + power / total * value
    return answer


@right("soft_lookup")
def lookup_in_float64(query, keys, values):
    scores = keys.double() @ query.double()
    return (scores.softmax(-1)[:, None] * values.double()).sum(0).to(values.dtype)


@wrong("soft_lookup", "hard")
def lookup_of_the_best(query, keys, values):
    best = 0
    for i in range(len(keys)):
        if keys[i] @ query > keys[best] @ query:
            best = i
    return values[best]


@wrong("soft_lookup", "not-normalised")
def lookup_with_powers(query, keys, values):
    answer = torch.zeros_like(values[0])
    for key, value in zip(keys, values, strict=True):
        answer += torch.exp(query @ key) * value
    return answer


@wrong("soft_lookup", "raw-scores")
def lookup_by_scores(query, keys, values):
    return sum((query * key).sum() * value for key, value in zip(keys, values, strict=True))


@wrong("soft_lookup", "last-key-missed")
def lookup_that_ends_early(query, keys, values):
    if len(keys) == 1:
        return torch.zeros_like(values[0])
    scores = torch.stack([query @ keys[i] for i in range(len(keys) - 1)])
    weights = scores.softmax(0)
    return sum(weights[i] * values[i] for i in range(len(keys) - 1))


@wrong("soft_lookup", "distance")
def lookup_by_distance(query, keys, values):
    return torch.softmax(-torch.cdist(query[None], keys).square()[0], 0) @ values


@wrong("soft_lookup", "scaled")
def lookup_by_the_fused_kernel(query, keys, values):
    fused = F.scaled_dot_product_attention(query[None, None], keys[None], values[None])
    return fused[0, 0]


@wrong("soft_lookup", "sign")
def lookup_upside_down(query, keys, values):
    return torch.einsum("s,sv->v", F.softmin(keys @ query, 0), values)


@wrong("soft_lookup", "plain-mean")
def lookup_without_a_query(query, keys, values):
    return sum(values) / len(values)


# --- attention weights


@right("attention_weights")
def weights_by_einsum(query, key, scale):
    return torch.einsum("...td,...sd->...ts", query, key).mul(scale).softmax(-1)


@right("attention_weights")
def weights_by_hand(query, key, scale):
    scores = scale * query @ key.transpose(-2, -1)
    powers = torch.exp(scores - scores.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)


@right("attention_weights")
def weights_with_the_scale_first(query, key, scale):
    return F.softmax((query * scale) @ key.mT, dim=-1)


@right("attention_weights")
def weights_by_broadcasting(query, key, scale):
    return ((query[..., :, None, :] * key[..., None, :, :]).sum(-1) * scale).softmax(-1)


@right("attention_weights")
def weights_in_a_loop(query, key, scale):
    rows = []
    for t in range(query.shape[-2]):
        scores = [(query[..., t, :] * key[..., s, :]).sum(-1) for s in range(key.shape[-2])]
        rows.append((torch.stack(scores, -1) * scale).softmax(-1))
    return torch.stack(rows, -2)


@wrong("attention_weights", "softmax-over-queries")
def weights_in_columns(query, key, scale):
    return torch.einsum("...td,...sd->...st", query, key).mul(scale).softmax(-1).mT


@wrong("attention_weights", "axis-from-the-left")
def weights_along_axis_1(query, key, scale):
    return F.softmax(torch.matmul(query, key.transpose(-1, -2)) * scale, dim=1)


@wrong("attention_weights", "scale-forgotten")
def weights_without_scale(query, key, scale):
    return torch.einsum("...td,...sd->...ts", query, key).softmax(-1)


@wrong("attention_weights", "scale-divides")
def weights_divided(query, key, scale):
    return torch.softmax(torch.einsum("...td,...sd->...ts", query, key) / scale, -1)


@wrong("attention_weights", "scale-after-softmax")
def weights_scaled_late(query, key, scale):
    scores = (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1)
    return scale * F.softmax(scores, -1)


@wrong("attention_weights", "own-scale")
def weights_over_root_d(query, key, scale):
    return torch.softmax(query @ key.mT / math.sqrt(key.size(-1)), dim=-1)


@wrong("attention_weights", "no-softmax")
def weights_that_are_scores(query, key, scale):
    return scale * torch.einsum("...td,...sd->...ts", query, key)


@wrong("attention_weights", "roles-swapped")
def weights_of_keys(query, key, scale):
    return torch.einsum("...td,...sd->...st", query, key).mul(scale).softmax(-1)


@wrong("attention_weights", "no-transpose")
def weights_by_a_plain_product(query, key, scale):
    return torch.softmax(torch.matmul(query, key) * scale, dim=-1)


@wrong("attention_weights", "overflow")
def weights_by_hand_that_overflow(query, key, scale):
    powers = torch.exp(torch.einsum("...td,...sd->...ts", query, key) * scale)
    return powers / powers.sum(-1, keepdim=True)


@wrong("attention_weights", "softmax-over-all")
def weights_of_the_whole_table(query, key, scale):
    scores = query @ key.mT * scale
    powers = torch.exp(scores - scores.amax((-2, -1), keepdim=True))
    return powers / powers.sum((-2, -1), keepdim=True)


@wrong("attention_weights", "cosine")
def weights_by_cosine(query, key, scale):
    return (F.cosine_similarity(query[..., None, :], key[..., None, :, :], -1) * scale).softmax(-1)


# --- attention


@right("attention")
def attention_fused(query, key, value, scale):
    return F.scaled_dot_product_attention(query, key, value, scale=scale)


@right("attention")
def attention_by_einsum(query, key, value, scale):
    weights = torch.einsum("...td,...sd->...ts", query, key).mul(scale).softmax(-1)
    return torch.einsum("...ts,...sv->...tv", weights, value)


@right("attention")
def attention_in_a_loop(query, key, value, scale):
    weights = torch.softmax(query @ key.transpose(-2, -1) * scale, -1)
    rows = []
    for t in range(query.shape[-2]):
        mixed = 0
        for s in range(key.shape[-2]):
            mixed = mixed + weights[..., t, s, None] * value[..., s, :]
        rows.append(mixed)
    return torch.stack(rows, -2)


@right("attention")
def attention_by_hand(query, key, value, scale):
    scores = query @ key.mT * scale
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return powers @ value / powers.sum(-1, keepdim=True)


@wrong("attention", "weights-transposed")
def attention_with_turned_weights(query, key, value, scale):
    weights = torch.softmax(query @ key.mT * scale, -1)
    return torch.matmul(torch.transpose(weights, -1, -2), value)


@wrong("attention", "softmax-over-queries")
def attention_in_columns(query, key, value, scale):
    weights = torch.einsum("...td,...sd->...st", query, key).mul(scale).softmax(-1)
    return torch.einsum("...st,...sv->...tv", weights, value)


@wrong("attention", "scale-forgotten")
def attention_at_scale_1(query, key, value, scale):
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)


@wrong("attention", "own-scale")
def attention_at_its_own_scale(query, key, value, scale):
    return torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, -1) @ value


@wrong("attention", "scale-at-the-end")
def attention_scaled_late(query, key, value, scale):
    return scale * F.scaled_dot_product_attention(query, key, value, scale=1.0)


@wrong("attention", "no-softmax")
def attention_without_softmax(query, key, value, scale):
    return query @ (key.mT @ value) * scale


@wrong("attention", "plain-mean")
def attention_at_scale_0(query, key, value, scale):
    return F.scaled_dot_product_attention(query, key, value, scale=0.0)


@wrong("attention", "best-only")
def attention_to_the_best(query, key, value, scale):
    best = (query @ key.mT * scale).argmax(-1)
    return torch.take_along_dim(value, best[..., None], -2)


@wrong("attention", "keys-mixed")
def attention_that_forgets_values(query, key, value, scale):
    return F.scaled_dot_product_attention(query, key, key, scale=scale)


@wrong("attention", "weights-returned")
def attention_that_stops_early(query, key, value, scale):
    return torch.einsum("...td,...sd->...ts", query, key).mul(scale).softmax(-1)


# --- choose q and k


@right("choose_qk")
def choice_with_one_key_per_axis(weights):
    return weights.clamp(min=1e-9).log(), torch.eye(len(weights), dtype=weights.dtype)


@right("choose_qk")
def choice_relative_to_the_largest(weights):
    scores = [math.log(max(float(w), 1e-5) / float(weights.max())) for w in weights]
    return torch.tensor([2.0, 0.0]), torch.tensor([[score / 2, 7.0] for score in scores])


@right("choose_qk")
def choice_with_a_fixed_floor(weights):
    logs = torch.where(weights > 0, weights.log(), torch.tensor(-20.0))
    return torch.tensor([-1.0]), -logs.reshape(-1, 1)


@wrong("choose_qk", "all-keys-equal")
def choice_without_a_query(weights):
    return torch.zeros(4), torch.rand(len(weights), 4)


@wrong("choose_qk", "weights-as-scores")
def choice_of_the_weights(weights):
    return weights, torch.eye(len(weights))


@wrong("choose_qk", "sign")
def choice_with_a_turned_query(weights):
    return -torch.ones(1), (weights + 1e-6).log()[:, None]


@wrong("choose_qk", "log10")
def choice_with_log10(weights):
    scores = [math.log10(max(float(w), 1e-6)) for w in weights]
    return torch.tensor([1.0, 1.0]), torch.tensor([[s, 0.0] for s in scores])


@wrong("choose_qk", "log-of-zero")
def choice_with_infinite_keys(weights):
    return torch.ones(1), torch.log(weights).reshape(-1, 1)


@wrong("choose_qk", "best-only")
def choice_of_the_largest(weights):
    return torch.tensor([1000.0]), (weights >= weights.max()).float().unsqueeze(1)


@wrong("choose_qk", "undoes-a-scale")
def choice_against_a_scale(weights):
    S = len(weights)
    return weights.clamp(min=1e-6).log(), torch.eye(S) * math.sqrt(S)


@wrong("choose_qk", "swapped")
def choice_in_the_wrong_order(weights):
    return (weights + 1e-9).log()[:, None], torch.ones(1)


# --- temperature


@right("hard_lookup")
def temperature_by_halving(scores, eps):
    temperature = 100.0
    while torch.softmax(scores / temperature, -1).max() < 1 - eps:
        temperature /= 2
    return temperature


@right("hard_lookup")
def temperature_from_sorted_scores(scores, eps):
    best, second, *_ = sorted(scores.tolist(), reverse=True)
    return torch.tensor((best - second) / math.log(len(scores) / eps))


@right("hard_lookup")
def temperature_well_below(scores, eps):
    top = scores.topk(2).values
    return 0.1 * (top[0] - top[1]) / -math.log(eps)


@wrong("hard_lookup", "one")
def temperature_untouched(scores, eps):
    return torch.ones(())


@wrong("hard_lookup", "zero")
def temperature_of_nothing(scores, eps):
    return torch.zeros(1)


@wrong("hard_lookup", "inverse")
def temperature_upside_down(scores, eps):
    a, b = scores.sort(descending=True).values[:2]
    return (math.log(len(scores) - 1) - math.log(eps)) / (a - b)


@wrong("hard_lookup", "other-keys-forgotten")
def temperature_for_two(scores, eps):
    a, b = scores.sort(descending=True).values[:2]
    return -(a - b) / math.log(eps)


@wrong("hard_lookup", "range")
def temperature_from_the_range(scores, eps):
    a = scores.sort().values
    return (a[-1] - a[0]).item() / (math.log(len(a) - 1) - math.log(eps))


@wrong("hard_lookup", "unsorted")
def temperature_of_the_first_two(scores, eps):
    a, b = scores[:2].tolist()
    return (a - b) / (math.log(len(scores) - 1) - math.log(eps))


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

EQUIVALENT = {
    ("softmax_in_float64", "scores.double() → scores"): "float32 is precise enough",
    ("lookup_in_float64", "values.double() → values"): "the product is float64 all the same",
    ("lookup_in_float64", "1 → 0"): "a vector has one axis",
    ("lookup_by_products", "0 → -1"): "a vector has one axis",
    ("lookup_by_einsum", "0 → -1"): "a vector has one axis",
    (
        "lookup_in_a_loop",
        "zip(powers, values, strict=True) → zip(values, powers, strict=True)",
    ): "a product does not mind the order",
    (
        "soft_lookup",
        "zip(shares, values, strict=True) → zip(values, shares, strict=True)",
    ): "a product does not mind the order",
    ("soft_lookup", "query @ key → key @ query"): "a product does not mind the order",
    ("soft_lookup", "values → -values"): "zeros of the same size",
    ("soft_lookup", "0 → -1"): "zeros of the same size",
    ("weights_by_hand", "key.transpose(-2, -1) → key.transpose(-1, -2)"): "the same swap",
    ("attention_in_a_loop", "key.transpose(-2, -1) → key.transpose(-1, -2)"): "the same swap",
    ("choose_qk", "weights → -weights"): "ones of the same size",
    ("hard_lookup", "scores.topk(2).values.tolist() → scores.topk(2).values"): "same numbers",
    ("hard_lookup", "math.log → math.log2"): "a little colder, which the exercise allows",
    ("hard_lookup", "len(scores) - 1 → len(scores)"): "a little colder",
    ("hard_lookup", "len(scores) - 1 → len(scores) + 1"): "a little colder",
    ("hard_lookup", "1 → 0"): "a little colder",
}
MANY_RIGHT = ("choose_qk", "hard_lookup")
