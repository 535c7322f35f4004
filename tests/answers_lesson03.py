"""Lesson 03: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
import torch.nn.functional as F
from answers import collect

RIGHT, WRONG, right, wrong = collect()


# --- the root of which width


@right("scale_for")
def scale_by_a_power(model_width, heads):
    return (model_width / heads) ** -0.5


@right("scale_for")
def scale_by_torch(model_width, heads):
    return torch.tensor(model_width // heads).rsqrt()


@right("scale_for")
def scale_by_two_roots(model_width, heads):
    return math.sqrt(heads) / math.sqrt(model_width)


@wrong("scale_for", "model-width")
def scale_of_the_lecture(model_width, heads):
    return torch.tensor(model_width).rsqrt()


@wrong("scale_for", "no-root")
def scale_without_a_root(model_width, heads):
    return 1 / (model_width // heads)


@wrong("scale_for", "inverse")
def scale_to_divide_by(model_width, heads):
    return math.sqrt(model_width // heads)


@wrong("scale_for", "heads")
def scale_of_the_heads(model_width, heads):
    return 1 / torch.tensor(heads).sqrt()


@wrong("scale_for", "root-before-the-heads")
def scale_with_a_slipped_bracket(model_width, heads):
    return 1 / (math.sqrt(model_width) / heads)


@wrong("scale_for", "whole-root")
def scale_in_whole_numbers(model_width, heads):
    return 1 / int((model_width // heads) ** 0.5)


# --- the variance of a score


@right("score_variance")
def variance_in_a_double_loop(query_cov, key_cov):
    total = 0.0
    for i in range(len(query_cov)):
        for j in range(len(key_cov)):
            total += query_cov[i, j] * key_cov[i, j]
    return total


@right("score_variance")
def variance_as_a_trace(query_cov, key_cov):
    return torch.trace(query_cov @ key_cov)


@right("score_variance")
def variance_by_einsum(query_cov, key_cov):
    return torch.einsum("ij,ij->", query_cov, key_cov)


@wrong("score_variance", "diagonals-only")
def variance_of_independent_entries(query_cov, key_cov):
    return sum(query_cov[i, i] * key_cov[i, i] for i in range(len(key_cov)))


@wrong("score_variance", "traces-multiplied")
def variance_of_all_pairs(query_cov, key_cov):
    return torch.outer(query_cov.diag(), key_cov.diag()).sum()


@wrong("score_variance", "spread")
def variance_that_is_a_spread(query_cov, key_cov):
    return math.sqrt(torch.einsum("ij,ij->", query_cov, key_cov))


@wrong("score_variance", "matrix-product-summed")
def variance_by_a_matrix_product(query_cov, key_cov):
    return torch.einsum("ij,jk->", query_cov, key_cov)


@wrong("score_variance", "sums-multiplied")
def variance_of_two_sums(query_cov, key_cov):
    return query_cov.sum().item() * key_cov.sum().item()


@wrong("score_variance", "width")
def variance_of_the_textbook(query_cov, key_cov):
    return query_cov.shape[0]


@wrong("score_variance", "mean-variances")
def variance_of_average_entries(query_cov, key_cov):
    return len(key_cov) * query_cov.diag().mean() * key_cov.diag().mean()


# --- the share of decided rows


@right("saturated_share")
def share_of_largest_weights(query, key, scale):
    weights = torch.softmax(query @ key.mT * scale, dim=-1)
    return (weights.max(dim=-1).values > 0.99).float().mean()


@right("saturated_share")
def share_counted_in_a_loop(query, key, scale):
    weights = torch.einsum("...td,...sd->...ts", query, key).mul(scale).softmax(-1)
    rows = weights.reshape(-1, weights.shape[-1])
    return sum(max(row) > 0.99 for row in rows) / len(rows)


@right("saturated_share")
def share_of_rows_with_any(query, key, scale):
    decided = (F.softmax(scale * query @ key.mT, -1) > 0.99).any(-1)
    return decided.sum() / decided.numel()


@wrong("saturated_share", "weights-counted")
def share_of_all_weights(query, key, scale):
    weights = F.softmax(scale * query @ key.mT, -1)
    return (weights > 0.99).sum() / weights.numel()


@wrong("saturated_share", "count")
def share_not_divided(query, key, scale):
    weights = F.softmax(scale * query @ key.mT, -1)
    return int((weights.max(-1).values > 0.99).sum())


@wrong("saturated_share", "divided-by-T")
def share_of_one_table(query, key, scale):
    weights = F.softmax(scale * query @ key.mT, -1)
    return (weights.amax(-1) > 0.99).sum().item() / query.size(-2)


@wrong("saturated_share", "columns")
def share_of_decided_keys(query, key, scale):
    weights = torch.einsum("...td,...sd->...st", query, key).mul(scale).softmax(-2)
    return (weights.max(-1).values > 0.99).double().mean().item()


@wrong("saturated_share", "scores-compared")
def share_of_large_scores(query, key, scale):
    scores = torch.einsum("...td,...sd->...ts", query, key) * scale
    return ((scores > 0.99).sum(-1) > 0).double().mean()


@wrong("saturated_share", "mean-of-the-largest")
def share_as_a_mean(query, key, scale):
    largest = F.softmax(scale * query @ key.mT, -1).max(-1).values
    return largest.sum() / largest.numel()


@wrong("saturated_share", "own-scale")
def share_at_the_usual_scale(query, key, scale):
    weights = F.softmax(query @ key.mT / math.sqrt(key.shape[-1]), -1)
    return (weights.amax(-1) > 0.99).double().mean()


# --- the slopes of a softmax


@right("softmax_jacobian")
def slopes_by_two_axes(weights):
    column, row = weights.unsqueeze(-1), weights.unsqueeze(-2)
    same = torch.eye(weights.shape[-1])
    return column * (same - row)


@right("softmax_jacobian")
def slopes_in_a_loop(weights):
    S = weights.shape[-1]
    columns = []
    for j in range(S):
        column = -weights * weights[..., j, None]
        column[..., j] += weights[..., j]
        columns.append(column)
    return torch.stack(columns, -1)


@right("softmax_jacobian")
def slopes_by_autograd(weights):
    rows = []
    for row in weights.reshape(-1, weights.shape[-1]):
        slopes = torch.func.jacrev(lambda scores: scores.softmax(0))(row.log())
        rows.append(slopes)
    return torch.stack(rows).reshape(*weights.shape, weights.shape[-1])


@right("softmax_jacobian")
def slopes_by_einsum(weights):
    return torch.diag_embed(weights) - torch.einsum("...i,...j->...ij", weights, weights)


@wrong("softmax_jacobian", "own-score-only")
def slopes_of_sigmoids(weights):
    return torch.diag_embed(weights - weights.square())


@wrong("softmax_jacobian", "diagonal-forgotten")
def slopes_without_a_diagonal(weights):
    return -torch.einsum("...i,...j->...ij", weights, weights)


@wrong("softmax_jacobian", "plus")
def slopes_that_all_grow(weights):
    return torch.einsum("...i,...j->...ij", weights, weights) + torch.diag_embed(weights)


@wrong("softmax_jacobian", "log-softmax")
def slopes_of_logarithms(weights):
    return torch.ones_like(weights).diag_embed() - weights.unsqueeze(-2)


@wrong("softmax_jacobian", "every-place-its-own")
def slopes_without_a_case(weights):
    return torch.einsum("...i,...j->...ij", weights, 1 - weights)


@wrong("softmax_jacobian", "one-row-only")
def slopes_of_one_row(weights):
    return weights.diag() - weights.outer(weights)


@wrong("softmax_jacobian", "softmax-again")
def slopes_of_a_second_softmax(weights):
    again = F.softmax(weights, -1)
    return torch.diag_embed(again) - again[..., None] * again[..., None, :]


# --- where the usual story begins


@right("crossover_width")
def crossover_in_order(unscaled, scaled, widths):
    for d in sorted(widths):
        if unscaled(d) < scaled(d):
            return d
    return 0


@right("crossover_width")
def crossover_collected(unscaled, scaled, widths):
    found = [d for d in widths if scaled(d) - unscaled(d) > 0]
    return min(found) if found else 0


@right("crossover_width")
def crossover_as_the_next(unscaled, scaled, widths):
    return next((d for d in sorted(widths) if unscaled(d) / scaled(d) < 1), 0)


@wrong("crossover_width", "place-in-the-list")
def crossover_as_a_place(unscaled, scaled, widths):
    holds = [(d, place) for place, d in enumerate(widths) if unscaled(d) < scaled(d)]
    return min(holds)[1] if holds else 0


@wrong("crossover_width", "first-in-the-list")
def crossover_as_the_list_goes(unscaled, scaled, widths):
    for d in widths:
        if unscaled(d) < scaled(d):
            return d
    return 0


@wrong("crossover_width", "largest")
def crossover_from_the_end(unscaled, scaled, widths):
    for d in sorted(widths, reverse=True):
        if unscaled(d) < scaled(d):
            return d
    return 0


@wrong("crossover_width", "equal-counts")
def crossover_at_equality(unscaled, scaled, widths):
    for d in sorted(widths):
        if not unscaled(d) > scaled(d):
            return d
    return 0


@wrong("crossover_width", "one-width-early")
def crossover_before_it_happens(unscaled, scaled, widths):
    before = 0
    for d in sorted(widths):
        if unscaled(d) < scaled(d):
            return before
        before = d
    return 0


@wrong("crossover_width", "for-good")
def crossover_seen_from_the_end(unscaled, scaled, widths):
    answer = 0
    for d in sorted(widths, reverse=True):
        if unscaled(d) >= scaled(d):
            break
        answer = d
    return answer


@wrong("crossover_width", "nothing-where-there-is-none")
def crossover_without_an_end(unscaled, scaled, widths):
    for d in sorted(widths):
        if unscaled(d) < scaled(d):
            return d


@wrong("crossover_width", "widest-gap")
def crossover_at_the_widest(unscaled, scaled, widths):
    gaps = [unscaled(d) - scaled(d) for d in widths]
    return widths[gaps.index(min(gaps))]


# --- which scale is in there


@right("hidden_scale")
def scale_from_two_values(attention, d):
    query = torch.ones(1, d)
    key = torch.stack([torch.ones(d) / d, torch.zeros(d)])
    weight = attention(query, key, torch.tensor([[1.0], [0.0]]))
    return math.log(weight / (1 - weight))


@right("hidden_scale")
def scale_by_a_small_step(attention, d):
    query = torch.full((1, d), 1e-2, dtype=torch.float64)
    key = torch.full((1, d), 1e-2, dtype=torch.float64)
    values = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    difference = attention(query, torch.cat([key, -key]), values)
    return difference / (d * 1e-4)


@right("hidden_scale")
def scale_as_a_slope(attention, d):
    query = torch.zeros(1, d, requires_grad=True)
    key = torch.stack([torch.ones(d), torch.zeros(d)])
    attention(query, key, torch.tensor([[4.0], [0.0]])).backward()
    return query.grad.mean()


def weights_of_two(attention, d):
    """Two keys, their products with the query 1 and 0: the two weights."""
    query = torch.full((1, d), d**-0.5)
    return attention(query, torch.cat([query, torch.zeros(1, d)]), torch.eye(2))[0]


@wrong("hidden_scale", "assumed")
def scale_from_the_books(attention, d):
    return 1 / math.sqrt(d)


@wrong("hidden_scale", "weight")
def scale_read_off(attention, d):
    return weights_of_two(attention, d)[0]


@wrong("hidden_scale", "odds")
def scale_as_a_ratio(attention, d):
    one, other = weights_of_two(attention, d)
    return one / other


@wrong("hidden_scale", "product-not-divided-out")
def scale_by_ones(attention, d):
    ones = torch.ones(1, d, dtype=torch.float64)
    half = torch.cat([ones / 2, -ones / 2])
    one, other = attention(ones, half, torch.eye(2, dtype=torch.float64))[0]
    return torch.log(one / other)


@wrong("hidden_scale", "inverse")
def scale_that_divides(attention, d):
    one, other = weights_of_two(attention, d)
    return 1 / (one / other).log()


@wrong("hidden_scale", "log-of-one-weight")
def scale_from_one_logarithm(attention, d):
    return weights_of_two(attention, d).log()[0]


@wrong("hidden_scale", "on-top-of-the-root")
def scale_on_top(attention, d):
    one, other = weights_of_two(attention, d)
    return (one / other).log() * math.sqrt(d)


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

VARIANCES = (
    "score_variance",
    "variance_in_a_double_loop",
    "variance_as_a_trace",
    "variance_by_einsum",
)
EQUIVALENT = {
    **{(name, "query_cov → query_cov.mT"): "covariances are symmetric" for name in VARIANCES},
    **{(name, "key_cov → key_cov.mT"): "covariances are symmetric" for name in VARIANCES},
    ("variance_as_a_trace", "query_cov @ key_cov → key_cov @ query_cov"): "the same trace",
    ("slopes_in_a_loop", "1 → 2"): "the slopes are symmetric, so rows may be columns",
    ("slopes_by_autograd", "0 → -1"): "a vector has one axis",
}
MANY_RIGHT = ()
