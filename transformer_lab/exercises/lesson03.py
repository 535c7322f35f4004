"""The exercises of lesson 03: why scores are divided by √d, and when it matters."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from transformer_lab import attention as package
from transformer_lab.exercises.common import as_number, logit, numbers, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake

# --- the root of which width


def scale_for(model_width: int, heads: int) -> float:
    """What the scores of each of `heads` heads are multiplied by: 1 / √(head width)."""
    return 1 / math.sqrt(model_width // heads)


def width_cases() -> list[Case]:
    models = {
        "64 wide, one head": (64, 1),
        "512 wide, 8 heads": (512, 8),
        "96 wide, 2 heads": (96, 2),
        "384 wide, 12 heads": (384, 12),
        "768 wide, 12 heads": (768, 12),
        "1600 wide, 20 heads": (1600, 20),
        "heads of width 1": (6, 6),
    }
    return [Case(name, sizes, 1e-5) for name, sizes in models.items()]


SCALE = Exercise(
    id="scale_for",
    lesson="03",
    title="The root of which width?",
    minutes=2,
    difficulty=1,
    prompt="""
A model of width D with H heads gives each head D / H numbers of every query and key. Each head
takes its own dot products. Write `my_scale(model_width, heads)`: what a head's scores must be
multiplied by, so that their spread is 1 when the entries of queries and keys are independent with
mean 0 and variance 1. A well-known recorded lecture gets it wrong.""",
    reference=scale_for,
    cases=width_cases,
    observe=as_number,
    mistakes=(
        Mistake(
            "model-width",
            lambda model_width, heads: model_width**-0.5,
            "You take the root of the model's width: the lecture's bug. A head adds up only as "
            "many products as it has numbers, so your scores come out √H times too small.",
        ),
        Mistake(
            "heads",
            lambda model_width, heads: heads**-0.5,
            "You take the root of the number of heads. How many products does one score add up?",
        ),
        Mistake(
            "no-root",
            lambda model_width, heads: heads / model_width,
            "You divide by d itself. The variance of a score is d; its spread is the root of that.",
        ),
        Mistake(
            "inverse",
            lambda model_width, heads: (model_width / heads) ** 0.5,
            "This is how large the spread is. To make it 1, multiply by the inverse.",
        ),
        Mistake(
            "width-times-heads",
            lambda model_width, heads: (model_width * heads) ** -0.5,
            "You multiply width and heads. The heads share the width among them.",
        ),
        Mistake(
            "root-before-the-heads",
            lambda model_width, heads: heads / model_width**0.5,
            "You take the root of the model's width and divide that by the heads. First find the "
            "width of a head, then take the root.",
        ),
        Mistake(
            "whole-root",
            lambda model_width, heads: 1 / math.isqrt(model_width // heads),
            "Your root is rounded down to a whole number. The root of 32 is 5.66.",
        ),
        Mistake(
            "fourth-root",
            lambda model_width, heads: (model_width / heads) ** -0.25,
            "This is right for the queries and the keys, each of them. A score is a product of "
            "both and gets it twice.",
        ),
    ),
    hints=(
        "How many numbers does one head see of a query? Try 512 and 8 heads.",
        "A score adds up d products of variance 1, and variances add. What is its spread?",
        "d is model_width // heads. Multiply by one over its root.",
    ),
)


# --- the variance of a score


def score_variance(query_cov: Tensor, key_cov: Tensor) -> Tensor:
    """Variance of q·k for independent q and k of mean 0: (d, d), (d, d) -> ()."""
    return (query_cov * key_cov).sum()


def covariance(seed: int, d: int, **kind: Any) -> Tensor:
    """A random covariance matrix (d, d): symmetric, no variance below 0."""
    roots = numbers(seed, d, d, **kind)
    return roots @ roots.T


def variance_cases() -> list[Case]:
    together = torch.tensor([[1.0, 0.9], [0.9, 1.0]])
    against = torch.tensor([[1.0, -0.9], [-0.9, 1.0]])
    loud, quiet = torch.tensor([9.0, 1.0, 4.0]).diag(), torch.tensor([0.5, 2.0, 0.1]).diag()
    double = {"dtype": torch.float64}
    return [
        Case("both correlated alike", (together, together), 1e-4),
        Case("correlated the other way round", (together, against), 1e-4),
        Case("d = 1", (torch.tensor([[4.0]]), torch.tensor([[0.25]])), 1e-4),
        Case("independent, variance 1, d = 4", (torch.eye(4), torch.eye(4)), 1e-4),
        Case("independent, other variances", (loud, quiet), 1e-4),
        Case("keys alone correlated", (torch.eye(2), against), 1e-4),
        Case("all entries of a vector equal", (torch.ones(3, 3), torch.ones(3, 3)), 1e-4),
        Case("random, d = 4", (covariance(1, 4), covariance(2, 4)), 1e-4),
        Case("random, d = 7", (covariance(3, 7), covariance(4, 7)), 1e-4),
        Case("float64", (covariance(5, 3, **double), covariance(6, 3, **double)), 1e-4),
        Case("not contiguous", (strided(covariance(7, 3)), strided(covariance(8, 3))), 1e-4),
    ]


VARIANCE = Exercise(
    id="score_variance",
    lesson="03",
    title="When the entries are not independent",
    minutes=7,
    difficulty=3,
    prompt="""
√d holds for independent entries of variance 1. Trained ones are neither. Let `q` and `k`, `(d,)`
each, be drawn independently of each other, with mean 0. Among the entries of one vector anything
may be related: `query_cov[i, j]` is the mean of `q[i] * q[j]`, `key_cov[i, j]` that of
`k[i] * k[j]`, both `(d, d)`. Write `my_variance(query_cov, key_cov)`: the variance of the score
q·k, as one number.""",
    reference=score_variance,
    cases=variance_cases,
    observe=as_number,
    atol=1e-6,
    mistakes=(
        Mistake(
            "diagonals-only",
            lambda query_cov, key_cov: (query_cov.diagonal() * key_cov.diagonal()).sum(),
            "Right where the entries are independent. You add up the variances of the d products; "
            "but the products are related too, and each pair of them counts.",
        ),
        Mistake(
            "width",
            lambda query_cov, key_cov: float(len(query_cov)),
            "This is d: right for independent entries of variance 1. Here they are neither.",
        ),
        Mistake(
            "traces-multiplied",
            lambda query_cov, key_cov: query_cov.trace() * key_cov.trace(),
            "You multiply the two sums of variances: every entry of q with every entry of k. A dot "
            "product only pairs entries of the same place.",
        ),
        Mistake(
            "mean-variances",
            lambda query_cov, key_cov: query_cov.trace() * key_cov.trace() / len(query_cov),
            "You use d times the mean variances. A loud entry of q may meet a quiet one of k, and "
            "the relations among the entries are left out.",
        ),
        Mistake(
            "spread",
            lambda query_cov, key_cov: score_variance(query_cov, key_cov).sqrt(),
            "This is the spread, the root of the variance.",
        ),
        Mistake(
            "matrix-product-summed",
            lambda query_cov, key_cov: (query_cov @ key_cov).sum(),
            "You add up all of the matrix product. Write the square of q·k as a double sum over i "
            "and j: which entry of each matrix belongs to (i, j)?",
        ),
        Mistake(
            "sums-multiplied",
            lambda query_cov, key_cov: query_cov.sum() * key_cov.sum(),
            "You multiply the two sums. It is the sum of products, entry by entry.",
        ),
        Mistake(
            "variances-added",
            lambda query_cov, key_cov: query_cov.trace() + key_cov.trace(),
            "You add variances of q and k. For independent numbers of mean 0, the variance of a "
            "product is the product of the variances.",
        ),
        Mistake(
            "mean",
            lambda query_cov, key_cov: (query_cov * key_cov).mean(),
            "You take the mean of the products. A dot product is a sum.",
        ),
        Mistake(
            "signs-dropped",
            lambda query_cov, key_cov: (query_cov * key_cov).abs().sum(),
            "Your parts can only add. Where q and k are related in opposite ways, they cancel.",
        ),
        Mistake(
            "pairs-once",
            lambda query_cov, key_cov: (query_cov * key_cov).triu().sum(),
            "You count each pair of places once. In the square of a sum, i with j and j with i "
            "both occur.",
        ),
        Mistake(
            "pairs-four-times",
            lambda query_cov, key_cov: (
                2 * (query_cov * key_cov).sum() - (query_cov * key_cov).trace()
            ),
            "You double the pairs beside the diagonal. The tables hold i with j and j with i, so "
            "their sum has them twice already.",
        ),
        Mistake(
            "query-alone",
            lambda query_cov, key_cov: query_cov.trace(),
            "The keys play no part in your answer.",
        ),
    ),
    hints=(
        "The mean of q·k is 0, so its variance is the mean of its square. Write (q·k)² as a double "
        "sum over i and j.",
        "Each part is q[i] k[i] q[j] k[j]. q and k are independent, so its mean is the mean of "
        "q[i] q[j] times the mean of k[i] k[j].",
        "That is one entry of each matrix, at the same place. Add up over all places, beside the "
        "diagonal too.",
    ),
)


# --- the share of decided rows


def saturated_share(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Share of rows with a weight above 0.99: (..., T, d), (..., S, d) -> ()."""
    weights = package.attention_weights(query, key, scale=scale)
    return (weights.amax(-1) > 0.99).double().mean()


def share_cases() -> list[Case]:
    eye = torch.eye(2)
    close = torch.tensor([[4.4, 0.0], [0.0, 4.8], [4.5, 0.0]])
    # Whole numbers: no largest weight comes near 0.99 by rounding.
    query, key = (numbers(seed, 2, 3, 4, 8).mul(2).round() for seed in (1, 2))
    return [
        Case("one of two rows", (torch.tensor([[0.0, 9.0], [1.0, 0.0]]), eye, 1.0), 1e-5),
        Case("a close decision", (close, eye, 1.0), 1e-5),
        Case("a small scale", (close * 4, eye, 0.25), 1e-5),
        Case("a large scale", (close / 8, eye, 8.0), 1e-5),
        Case("one key", (numbers(3, 3, 2), numbers(4, 1, 2), 1.0), 1e-5),
        Case("none", (numbers(5, 3, 4), numbers(6, 5, 4), 0.1), 1e-5),
        Case("T = 6, S = 4, d = 16", (numbers(7, 6, 16) * 2, numbers(8, 4, 16), 1.0), 1e-5),
        Case("a batch of heads, no scale", (query, key, 1.0), 1e-5),
        Case("a batch of heads, scaled", (query, key, 8**-0.5), 1e-5),
        Case("B = H = T = S", (numbers(9, 3, 3, 3, 9) * 3, numbers(10, 3, 3, 3, 9), 1.0), 1e-5),
        Case("not contiguous", (strided(query), key.mT.contiguous().mT, 0.5), 1e-5),
    ]


def table_of(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """The weights (..., T, S)."""
    return (query @ key.mT * scale).softmax(-1)


def share(where: Tensor) -> float:
    """Of how many places it is true."""
    return float(where.double().mean())


SHARE = Exercise(
    id="saturated_share",
    lesson="03",
    title="Rows that have decided",
    minutes=4,
    difficulty=2,
    prompt="""
A row of attention weights has decided when one of its weights is above 0.99: it hardly learns any
more. Write `my_share(query, key, scale)` for `(..., T, d)` and `(..., S, d)`: take the weights as
in lesson 02, the softmax of query · key times `scale` over the keys, and return the share of all
rows that have decided, a number from 0 to 1.""",
    reference=saturated_share,
    cases=share_cases,
    observe=as_number,
    mistakes=(
        Mistake(
            "percent",
            lambda query, key, scale: 100 * saturated_share(query, key, scale),
            "A hundred times too large: yours is in percent. A share runs from 0 to 1.",
        ),
        Mistake(
            "weights-counted",
            lambda query, key, scale: share(table_of(query, key, scale) > 0.99),
            "You divide by the number of weights. A row can hold only one weight above 0.99, "
            "however many keys there are: divide by the number of rows.",
        ),
        Mistake(
            "count",
            lambda query, key, scale: (table_of(query, key, scale) > 0.99).sum(),
            "This is how many rows there are. The share is that, divided by the number of rows.",
        ),
        Mistake(
            "divided-by-T",
            lambda query, key, scale: (table_of(query, key, scale) > 0.99).sum() / query.shape[-2],
            "You divide by T. With a batch and heads there are more rows than that.",
        ),
        Mistake(
            "columns",
            lambda query, key, scale: share(table_of(query, key, scale).amax(-2) > 0.99),
            "You look for the largest weight that each key gets. A row belongs to a query.",
        ),
        Mistake(
            "softmax-over-queries",
            lambda query, key, scale: share((query @ key.mT * scale).softmax(-2).amax(-1) > 0.99),
            "Your softmax runs over the queries. The weights of one query over all keys sum to 1.",
        ),
        Mistake(
            "not-decided",
            lambda query, key, scale: share(table_of(query, key, scale).amax(-1) <= 0.99),
            "This is the share of rows that have not decided.",
        ),
        Mistake(
            "all-decided",
            lambda query, key, scale: share((table_of(query, key, scale) > 0.99).all(-1)),
            "You ask that all weights of a row be above 0.99. One is enough, and all others are "
            "then below 0.01.",
        ),
        Mistake(
            "mean-of-the-largest",
            lambda query, key, scale: table_of(query, key, scale).amax(-1).mean(),
            "This is the mean of the largest weights. Compare each with 0.99 before you average.",
        ),
        Mistake(
            "scores-compared",
            lambda query, key, scale: share((query @ key.mT * scale).amax(-1) > 0.99),
            "You compare scores. The softmax is still to come.",
        ),
        Mistake(
            "scale-forgotten",
            lambda query, key, scale: saturated_share(query, key, 1.0),
            "The scale is missing: multiply the scores by it before the softmax.",
        ),
        Mistake(
            "own-scale",
            lambda query, key, scale: saturated_share(query, key, query.shape[-1] ** -0.5),
            "You scale by 1/√d, whatever is asked. Here the scale is given.",
        ),
        Mistake(
            "scaled-twice",
            lambda query, key, scale: saturated_share(query, key, scale * query.shape[-1] ** -0.5),
            "You scale by 1/√d as well. The scale that is given is the whole factor.",
        ),
        Mistake(
            "scale-after-softmax",
            lambda query, key, scale: share((table_of(query, key, 1.0) * scale).amax(-1) > 0.99),
            "You scale the weights. The scale belongs to the scores, before the softmax.",
        ),
        Mistake(
            "scale-divides",
            lambda query, key, scale: saturated_share(query, key, 1 / scale),
            "You divide the scores by the scale. Multiply.",
        ),
        Mistake(
            "nine-tenths",
            lambda query, key, scale: share(table_of(query, key, scale).amax(-1) > 0.9),
            "Your bound is 0.9. It is 0.99.",
        ),
    ),
    hints=(
        "The weights are (..., T, S). Which number of a row tells whether it has decided?",
        "The largest weight of each row: amax over the keys leaves (..., T), one for each row.",
        "Compare these with 0.99, turn True and False into 1 and 0, and take the mean of all.",
    ),
)


# --- the slopes of a softmax


def softmax_jacobian(weights: Tensor) -> Tensor:
    """∂ weight i / ∂ score j of each row: (..., S) -> (..., S, S)."""
    return weights.diag_embed() - weights[..., :, None] * weights[..., None, :]


def jacobian_cases() -> list[Case]:
    rows = numbers(3, 2, 3, 4).softmax(-1)
    return [
        Case("two keys", (torch.tensor([0.75, 0.25]),)),
        Case("one key", (torch.ones(1),)),
        Case("three keys", (torch.tensor([0.5, 0.3, 0.2]),)),
        Case("a decided row", (torch.tensor([0.0, 1.0, 0.0]),)),
        Case("all alike", (torch.full((4,), 0.25),)),
        Case("two rows", (numbers(1, 2, 3).softmax(-1),)),
        Case("as many rows as keys", (numbers(2, 3, 3).softmax(-1),)),
        Case("a batch", (rows,)),
        Case("float64", (numbers(4, 2, 5, dtype=torch.float64).softmax(-1),)),
        Case("not contiguous", (strided(rows),)),
    ]


def pairs(weights: Tensor) -> Tensor:
    """weight i times weight j: (..., S) -> (..., S, S)."""
    return weights[..., :, None] * weights[..., None, :]


def identity(weights: Tensor) -> Tensor:
    return torch.eye(weights.shape[-1], dtype=weights.dtype)


JACOBIAN = Exercise(
    id="softmax_jacobian",
    lesson="03",
    title="What a decided row can still learn",
    minutes=7,
    difficulty=3,
    prompt="""
A row of weights came out of a softmax over S scores. Move score j a little: how fast does weight i
move? Write `my_jacobian(weights)`: `(..., S) -> (..., S, S)`, with that slope at `[..., i, j]`. You
get the weights, not the scores, and do not need them: weight i is exp(score i) over the sum of all
such exps. Look at what comes out for a row that has decided.""",
    reference=softmax_jacobian,
    cases=jacobian_cases,
    mistakes=(
        Mistake(
            "own-score-only",
            lambda weights: (weights * (1 - weights)).diag_embed(),
            "Your diagonal is right, the rest is 0. When another score grows, the sum grows, and "
            "this weight shrinks: only a sigmoid has no neighbours.",
        ),
        Mistake(
            "diagonal-forgotten",
            lambda weights: -pairs(weights),
            "The slopes beside the diagonal are right. Score i also stands in the numerator of "
            "weight i, which adds something on the diagonal.",
        ),
        Mistake(
            "sum-forgotten",
            lambda weights: weights.diag_embed(),
            "You treat the sum of exps as fixed. It grows with each score.",
        ),
        Mistake(
            "diagonal-twice",
            lambda weights: (weights * (1 - weights)).diag_embed() - pairs(weights),
            "On your diagonal the square of the weight is taken away twice: w(1 − w) is without it "
            "already.",
        ),
        Mistake(
            "plus",
            lambda weights: weights.diag_embed() + pairs(weights),
            "A sign is wrong: when another score grows, this weight has to shrink. The rows of "
            "the result sum to 0.",
        ),
        Mistake(
            "negated",
            lambda weights: pairs(weights) - weights.diag_embed(),
            "Every sign is turned over: a weight grows with its own score.",
        ),
        Mistake(
            "diagonal-of-ones",
            lambda weights: identity(weights) - pairs(weights),
            "Your diagonal starts from 1. A weight's own part of the slope is the weight itself.",
        ),
        Mistake(
            "log-softmax",
            lambda weights: identity(weights) - weights[..., None, :],
            "These are the slopes of the logarithms of the weights. One factor is missing.",
        ),
        Mistake(
            "every-place-its-own",
            lambda weights: weights[..., :, None] * (1 - weights[..., None, :]),
            "You use weight i times (1 - weight j) everywhere. The 1 belongs only where i is j.",
        ),
        Mistake(
            "softmax-again",
            lambda weights: softmax_jacobian(weights.softmax(-1)),
            "You take a softmax of the weights. They have been through one already.",
        ),
        Mistake(
            "one-row-only",
            lambda weights: torch.diag(weights) - torch.outer(weights, weights),
            "Right for one row; torch.outer and torch.diag know no batch. Add axes by hand: a "
            "column (..., S, 1) times a row (..., 1, S).",
        ),
        Mistake(
            "summed-over-rows",
            lambda weights: (
                weights.diag_embed() - weights.mT @ weights
                if weights.dim() > 1
                else softmax_jacobian(weights)
            ),
            "weights.mT @ weights adds up over the rows. Each row has a table of its own.",
        ),
    ),
    hints=(
        "Take i ≠ j first. Only the sum, in the denominator, knows score j. What is the slope of "
        "a / sum?",
        "Beside the diagonal the slope is minus weight i times weight j. On the diagonal weight i "
        "is added to that.",
        "diag_embed puts the weights of each row on a diagonal. Subtract the product of a column "
        "(..., S, 1) and a row (..., 1, S).",
    ),
)


# --- where the usual story begins


class Curve(dict[int, float]):
    """A measured number for each width, to be called like a function of the width."""

    def __call__(self, d: int) -> float:
        if d not in self:
            raise ValueError(f"measured at {sorted(self)}, not at {d}")
        return self[d]


def crossover_width(
    unscaled: Callable[[int], float], scaled: Callable[[int], float], widths: list[int]
) -> int:
    """The smallest of these widths at which unscaled(d) < scaled(d); 0 if there is none."""
    return min((d for d in widths if unscaled(d) < scaled(d)), default=0)


def crossover_cases() -> list[Case]:
    def case(name: str, widths: list[int], unscaled: list[float], scaled: list[float]) -> Case:
        curves = (Curve(zip(widths, curve, strict=True)) for curve in (unscaled, scaled))
        return Case(name, (*curves, widths), 0.0)

    return [
        case("from 64 on", [16, 64], [0.3, 0.1], [0.2, 0.2]),
        case("from 32 on", [8, 16, 32, 64], [0.4, 0.3, 0.1, 0.02], [0.25, 0.2, 0.2, 0.2]),
        case("everywhere", [4, 8, 16], [0.1, 0.2, 0.3], [0.3, 0.5, 0.4]),
        case("nowhere", [4, 8, 16], [0.4, 0.4, 0.3], [0.1, 0.1, 0.2]),
        case("equal at 32", [16, 32, 64], [0.5, 0.25, 0.125], [0.25, 0.25, 0.25]),
        case("widths out of order", [64, 256, 16, 32], [0.2, 0.1, 0.5, 0.3], [0.4, 0.4, 0.4, 0.4]),
        case("back and forth", [8, 16, 32, 64], [0.3, 0.2, 0.4, 0.1], [0.25, 0.25, 0.25, 0.25]),
        case("one width", [48], [0.1], [0.2]),
    ]


def below(
    unscaled: Callable[[int], float], scaled: Callable[[int], float], widths: list[int]
) -> list[int]:
    """The widths where it holds, in the order of the list."""
    return [d for d in widths if unscaled(d) < scaled(d)]


CROSSOVER = Exercise(
    id="crossover_width",
    lesson="03",
    title="Where the usual story begins",
    minutes=4,
    difficulty=1,
    prompt="""
"Without the scale the gradients vanish." Not at every width: find out where. `unscaled(d)` and
`scaled(d)` are functions that measure the mean size of the softmax's slopes at head width d. Write
`my_crossover(unscaled, scaled, widths)`: the smallest of the `widths`, a list in any order, at
which `unscaled` is below `scaled`; 0 if there is none. Measured curves may cross more than
once.""",
    reference=crossover_width,
    cases=crossover_cases,
    observe=as_number,
    atol=0.4,
    mistakes=(
        Mistake(
            "place-in-the-list",
            lambda unscaled, scaled, widths: (
                widths.index(crossover_width(unscaled, scaled, widths))
                if below(unscaled, scaled, widths)
                else 0
            ),
            "This is the place of the width in the list. Return the width itself.",
        ),
        Mistake(
            "first-in-the-list",
            lambda unscaled, scaled, widths: [*below(unscaled, scaled, widths), 0][0],
            "You return the first that you meet. The list may be out of order.",
        ),
        Mistake(
            "largest",
            lambda unscaled, scaled, widths: max([*below(unscaled, scaled, widths), 0]),
            "This is the largest width at which it holds. Where does it begin?",
        ),
        Mistake(
            "turned-over",
            lambda unscaled, scaled, widths: crossover_width(scaled, unscaled, widths),
            "At your width `scaled` is below `unscaled`. It is asked the other way round.",
        ),
        Mistake(
            "equal-counts",
            lambda unscaled, scaled, widths: min(
                (d for d in widths if unscaled(d) <= scaled(d)), default=0
            ),
            "At your width both are equal. Below means less.",
        ),
        Mistake(
            "one-width-early",
            lambda unscaled, scaled, widths: max(
                (d for d in widths if d < crossover_width(unscaled, scaled, widths)), default=0
            ),
            "Your width is one too early: the last at which it does not hold yet.",
        ),
        Mistake(
            "for-good",
            lambda unscaled, scaled, widths: min(
                (
                    d
                    for d in widths
                    if {w for w in widths if w >= d} <= {*below(unscaled, scaled, widths)}
                ),
                default=0,
            ),
            "Your width is the one from which on it always holds. The first at all is asked, even "
            "if the curves cross again.",
        ),
        Mistake(
            "widest-gap",
            lambda unscaled, scaled, widths: max(widths, key=lambda d: scaled(d) - unscaled(d)),
            "This is where the curves are furthest apart. Where does one first fall below the "
            "other?",
        ),
        Mistake(
            "last-where-there-is-none",
            lambda unscaled, scaled, widths: min(
                below(unscaled, scaled, widths), default=widths[-1]
            ),
            "You return a width although it holds nowhere. Return 0 then.",
        ),
        Mistake(
            "minus-one-where-there-is-none",
            lambda unscaled, scaled, widths: min(below(unscaled, scaled, widths), default=-1),
            "Where it holds nowhere, you return -1. Return 0 then.",
        ),
        Mistake(
            "gives-up-early",
            lambda unscaled, scaled, widths: (
                min(widths) if min(widths) in below(unscaled, scaled, widths) else 0
            ),
            "You ask the smallest width alone and give up there. Go on to the next.",
        ),
        Mistake(
            "a-change-only",
            lambda unscaled, scaled, widths: next(
                (
                    d
                    for before, d in pairwise(sorted(widths))
                    if d in below(unscaled, scaled, widths)
                    and before not in below(unscaled, scaled, widths)
                ),
                0,
            ),
            "You look for a change between two neighbours. Where it holds from the smallest width "
            "on, nothing changes.",
        ),
        Mistake(
            "nothing-where-there-is-none",
            lambda unscaled, scaled, widths: min(below(unscaled, scaled, widths), default=None),
            "Where it holds nowhere, your function returns nothing. Return 0 then.",
        ),
        Mistake(
            "error-where-there-is-none",
            lambda unscaled, scaled, widths: min(below(unscaled, scaled, widths)),
            "Where it holds nowhere, there is nothing to take the smallest of. Return 0 then.",
        ),
    ),
    hints=(
        "For which widths does it hold? Collect them first.",
        "Call both functions with the same d, and compare: strictly below.",
        "The smallest of the collected widths is the answer. min takes default=0 for an empty "
        "list.",
    ),
)


# --- which scale is in there


class Hidden:
    """An attention whose scale cannot be seen, only felt."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return package.attention(query, key, value, scale=self._scale)

    def __repr__(self) -> str:
        return "attention(query, key, value)"


def hidden_scale(attention: Callable[..., Tensor], d: int) -> Tensor:
    """The scale inside: the log of the odds between a key whose score is 1 and one of score 0."""
    query = torch.eye(1, d)
    key = torch.cat([query, torch.zeros(1, d)])
    return -attention(query, key, torch.eye(2)).log().diff()


def hidden_cases() -> list[Case]:
    scales = {
        "d = 16": (16, 16**-0.5),
        "d = 4": (4, 4**-0.5),
        "d = 64 of D = 512": (64, 512**-0.5),
        "d = 32, without a root": (32, 1 / 32),
        "d = 8, no scale": (8, 1.0),
        "d = 9, the wrong way round": (9, 3.0),
        "d = 1": (1, 0.25),
        "d = 48": (48, 48**-0.5),
    }
    return [Case(name, (Hidden(scale), d), 1e-2) for name, (d, scale) in scales.items()]


def probe(attention: Callable[..., Tensor], d: int) -> tuple[float, float]:
    """Weights of two keys whose dot products with the query are 1 and 0."""
    query = torch.eye(1, d)
    one, other = attention(query, torch.cat([query, torch.zeros(1, d)]), torch.eye(2))[0].tolist()
    return one, other


def weight_of_ones(attention: Callable[..., Tensor], d: int) -> Tensor:
    """The weight of a key of ones, asked for with ones, beside a key of zeros."""
    keys = torch.stack([torch.ones(d), torch.zeros(d)])
    return attention(torch.ones(1, d), keys, torch.eye(2))[0, 0]


HIDDEN = Exercise(
    id="hidden_scale",
    lesson="03",
    title="Which root is in there?",
    minutes=7,
    difficulty=3,
    prompt="""
You meet an `attention(query, key, value)` and cannot see its code: `(T, d), (S, d), (S, v) ->
(T, v)`. It is right but for its scale, which may be 1/√d, 1/√D, 1/d, or anything above 0, more
than 1 too. Write `my_hidden_scale(attention, d)`: call it with vectors that you choose, and find
out from the answer what it multiplies the scores by, to within 1 %. d may be 1. Then you can test
any implementation for the lecture's bug.""",
    reference=hidden_scale,
    cases=hidden_cases,
    observe=as_number,
    mistakes=(
        Mistake(
            "assumed",
            lambda attention, d: d**-0.5,
            "You return 1/√d without asking. This one may do something else.",
        ),
        Mistake(
            "weight",
            lambda attention, d: probe(attention, d)[0],
            "This is a weight. A weight comes from scores by the softmax; go back through it.",
        ),
        Mistake(
            "odds",
            lambda attention, d: probe(attention, d)[0] / probe(attention, d)[1],
            "This is how many times larger one weight is. For scores that differ by x it is "
            "exp(x).",
        ),
        Mistake(
            "log-of-one-weight",
            lambda attention, d: math.log(probe(attention, d)[0]),
            "The logarithm of one weight is its score less the log of the sum. With two weights "
            "the sum drops out.",
        ),
        Mistake(
            "sign",
            lambda attention, d: -hidden_scale(attention, d),
            "The sign is turned over: the more similar key has the larger weight.",
        ),
        Mistake(
            "log10",
            lambda attention, d: hidden_scale(attention, d) / math.log(10),
            "Your logarithm is to base 10. Softmax is built on e: take the natural one.",
        ),
        Mistake(
            "inverse",
            lambda attention, d: 1 / hidden_scale(attention, d),
            "This is what the scores are divided by. What are they multiplied by?",
        ),
        Mistake(
            "product-not-divided-out",
            lambda attention, d: d * hidden_scale(attention, d),
            "Your number is d times too large. A query and a key of ones have a dot product of d: "
            "divide it out, or choose vectors whose product is 1.",
        ),
        Mistake(
            "difference-of-weights",
            lambda attention, d: probe(attention, d)[0] - probe(attention, d)[1],
            "You subtract weights. Scores differ by the logarithm of the ratio of their weights.",
        ),
        Mistake(
            "from-one-weight",
            lambda attention, d: weight_of_ones(attention, d).logit() / d,
            "One weight is exactly 1 here, and the other is gone: the row has decided and says no "
            "more. Ask with shorter vectors, whose scores stay small.",
        ),
        Mistake(
            "from-one-weight-as-a-number",
            lambda attention, d: logit(weight_of_ones(attention, d).item()) / d,
            "One weight is exactly 1 here, so you divide by 0: the row has decided and says no "
            "more. Ask with shorter vectors, whose scores stay small.",
        ),
        Mistake(
            "on-top-of-the-root",
            lambda attention, d: hidden_scale(attention, d) * d**0.5,
            "Yours is the scale on top of 1/√d. The whole factor is asked.",
        ),
    ),
    hints=(
        "Values that are the rows of an identity matrix give the weights themselves. How many "
        "keys do you need?",
        "Two keys: one with dot product 1 with the query, one with 0. Their weights are in the "
        "ratio exp(scale · 1) to exp(scale · 0).",
        "The query is (1, 0, …); the keys are the query and zeros. Take the natural logarithm of "
        "the first weight over the second.",
    ),
)


EXERCISES = (SCALE, VARIANCE, SHARE, JACOBIAN, CROSSOVER, HIDDEN)
