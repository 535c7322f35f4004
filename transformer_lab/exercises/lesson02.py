"""The exercises of lesson 02: attention, from a soft dictionary to queries, keys and values."""

import math
from typing import Any

import torch
from torch import Tensor

from transformer_lab import attention as package
from transformer_lab.exercises.common import as_number, numbers, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit, as_tensor

# --- stable softmax


def stable_softmax(scores: Tensor, dim: int = -1) -> Tensor:
    """Weights that grow with their scores and sum to 1 along dim, for scores of any size."""
    exps = (scores - scores.amax(dim, keepdim=True)).exp()
    return exps / exps.sum(dim, keepdim=True)


def softmax_cases() -> list[Case]:
    apart = torch.tensor([[5000.0, 5001.0], [-5000.0, -5002.0], [0.0, 1.0]])
    large = torch.tensor([[10000.0, 9999.0, 9998.0], [0.0, 10000.0, 2.0]])
    forbidden = torch.tensor([[0.5, -math.inf, 1.0], [-math.inf, -math.inf, 3.0]])
    very_low = torch.tensor([[-math.inf, -20000.0, -20001.0]])
    return [
        Case("one row", (torch.tensor([0.0, 1.0, 2.0]),)),
        Case("a single score", (torch.tensor([[5.0]]), -1)),
        Case("two rows", (numbers(1, 2, 3), -1)),
        Case("as many rows as columns", (numbers(2, 3, 3),)),
        Case("dim=0", (numbers(3, 3, 3) * 2, 0)),
        Case("a batch, dim=0", (numbers(4, 2, 3, 4), 0)),
        Case("a batch, dim=1", (numbers(4, 2, 3, 4), 1)),
        Case("one row from 0 to 120", (torch.tensor([0.0, 100.0, 120.0]),)),
        # A score of 10,000 in float32 is good to 0.001, and so are logarithms on the way.
        Case("large scores", (large,), 2e-3),
        Case("large negative scores", (-large, -1), 2e-3),
        Case("rows far apart", (apart,), 2e-3),
        Case("some scores -inf", (forbidden, -1)),
        Case("-inf beside very low scores", (very_low,), 2e-3),
        Case("float64", (numbers(5, 2, 5, dtype=torch.float64), -1)),
        Case("not contiguous", (strided(numbers(6, 3, 4)), -1)),
    ]


def shares(scores: Tensor, dim: int, subtract: Tensor) -> Tensor:
    """exp of the scores less `subtract`, divided by its sum."""
    exps = (scores - subtract).exp()
    return exps / exps.sum(dim, keepdim=True)


def powers(scores: Tensor, dim: int = -1) -> Tensor:
    """exp of the scores less the largest."""
    return (scores - scores.amax(dim, keepdim=True)).exp()


SOFTMAX = Exercise(
    id="stable_softmax",
    lesson="02",
    title="A softmax that does not overflow",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_softmax(scores, dim=-1)` with `exp` and a sum, by hand: every score becomes a positive
weight, and the weights sum to 1 along `dim`. Your function also has to survive scores of 10,000,
where `exp` alone is infinite, and a score of `-inf`, which gets the weight 0.""",
    reference=stable_softmax,
    cases=softmax_cases,
    mistakes=(
        Mistake(
            "overflow",
            lambda scores, dim=-1: shares(scores, dim, torch.zeros(())),
            "exp of a large score is infinite, and of a very negative one 0. Weights do not change "
            "when you subtract the same number from all scores of a row: which number helps?",
        ),
        Mistake(
            "largest-of-all",
            lambda scores, dim=-1: shares(scores, dim, scores.max()),
            "You subtract the largest score of the whole tensor. A row far below it becomes all "
            "zeros. Each row needs its own largest score.",
        ),
        Mistake(
            "subtracts-smallest",
            lambda scores, dim=-1: shares(scores, dim, scores.amin(dim, keepdim=True)),
            "You subtract the smallest score of a row, so the largest stays large and overflows.",
        ),
        Mistake(
            "subtracts-mean",
            lambda scores, dim=-1: shares(scores, dim, scores.mean(dim, keepdim=True)),
            "You subtract the mean. A score far above the mean still overflows, and one -inf makes "
            "the mean -inf.",
        ),
        Mistake(
            "dim-ignored",
            lambda scores, dim=-1: stable_softmax(scores, -1),
            "Your sum always runs along the last axis. It has to run along `dim`.",
        ),
        Mistake(
            "first-axis",
            lambda scores, dim=-1: stable_softmax(scores, 0),
            "Your sum always runs along the first axis. It has to run along `dim`.",
        ),
        Mistake(
            "sum-along-last",
            lambda scores, dim=-1: powers(scores, dim) / powers(scores, dim).sum(-1, keepdim=True),
            "Your largest score is taken along `dim`, your sum along the last axis. Both run along "
            "`dim`.",
        ),
        Mistake(
            "largest-along-last",
            lambda scores, dim=-1: shares(scores, dim, scores.amax(-1, keepdim=True)),
            "Your sum runs along `dim`, your largest score is taken along the last axis. Both run "
            "along `dim`.",
        ),
        Mistake(
            "inf-as-a-number",
            lambda scores, dim=-1: stable_softmax(scores.clamp(min=-1e4), dim),
            "You replace -inf, and whatever lies as low, by a number. Other scores may lie lower "
            "still. exp(-inf) is 0 already: nothing needs replacing.",
        ),
        Mistake(
            "sum-of-all",
            lambda scores, dim=-1: powers(scores, dim) / powers(scores, dim).sum(),
            "You divide by the sum over the whole tensor. Each row along `dim` has its own sum.",
        ),
        Mistake(
            "sum-without-keepdim",
            lambda scores, dim=-1: powers(scores, dim) / powers(scores, dim).sum(dim),
            "Your sum loses its axis, so the division pairs sums with the wrong rows (or with none "
            "at all). keepdim=True keeps the axis.",
        ),
        Mistake(
            "max-without-keepdim",
            lambda scores, dim=-1: shares(scores, dim, scores.amax(dim)),
            "Your maximum loses its axis, so the subtraction pairs it with the wrong rows. "
            "keepdim=True keeps the axis.",
        ),
        Mistake(
            "clamped",
            lambda scores, dim=-1: shares(scores.clamp(max=80), dim, torch.zeros(())),
            "Cutting large scores off avoids the overflow, but then 10,000 and 9,999 count alike. "
            "Subtract instead: that changes no weight.",
        ),
        Mistake(
            "not-normalised",
            powers,
            "The exponentials are right. Divide them by their sum, so that they become weights.",
        ),
        Mistake(
            "eps-in-the-sum",
            lambda scores, dim=-1: (
                powers(scores, dim) / (powers(scores, dim).sum(dim, keepdim=True) + 1e-8)
            ),
            "A small constant in the denominator is not needed, and the weights no longer sum to "
            "1: after subtracting the largest score, the sum is at least 1.",
        ),
    ),
    hints=(
        "Try exp on 0, 10, 100 and 1000 first. Which scores make trouble?",
        "exp(a - c) / exp(b - c) is the same for every c. Choose c so that no exponent is above 0.",
        "Subtract each row's largest score (amax along dim), take exp, divide by the sum along "
        "dim. Both need keepdim=True.",
    ),
)


# --- attention weights


def weights_of(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Softmax of scaled scores over the keys: (..., T, d), (..., S, d) -> (..., T, S)."""
    return package.attention_weights(query, key, scale=scale)


def qk_cases() -> list[Case]:
    one = torch.tensor([[1.0, 2.0]])
    two_keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Whole numbers: their sums are exact in any order, so only the softmax is tested here.
    big = torch.tensor([[30.0, -20.0, 0.0], [0.0, 10.0, 40.0]])
    big_keys = torch.tensor([[25.0, 0.0, -5.0], [-10.0, 30.0, 0.0], [5.0, 5.0, 30.0], [0, 0, 1.0]])
    wide = numbers(20, 2, 3, 16).mT.contiguous().mT
    return [
        Case("one query, two keys", (one, two_keys, 0.5)),
        Case("one query, one key", (one, one, 1.0)),
        Case("two queries, three keys", (numbers(1, 2, 2), numbers(2, 3, 2), 2.0)),
        Case("T = S = d", (numbers(3, 3, 3), numbers(4, 3, 3), 0.7)),
        Case("scale 0.01", (numbers(5, 2, 3) * 9, numbers(6, 4, 3) * 9, 0.01)),
        Case("a batch", (numbers(7, 2, 3, 4), numbers(8, 2, 5, 4), 0.5)),
        Case("a batch of heads", (numbers(9, 2, 3, 2, 4), numbers(10, 2, 3, 5, 4), 0.3)),
        Case("T = S = d = batch", (numbers(11, 3, 3, 3), numbers(12, 3, 3, 3), 1.5)),
        Case("large scores", (big, big_keys, 1.0)),
        Case(
            "float64",
            (numbers(13, 2, 3, dtype=torch.float64), numbers(14, 4, 3, dtype=torch.float64), 0.9),
        ),
        Case("not contiguous", (wide, strided(numbers(15, 2, 4, 16)), 0.25)),
    ]


def scores_of(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Scores of all pairs, scaled: (..., T, d), (..., S, d) -> (..., T, S)."""
    return query @ key.mT * scale


def by_sum(table: Tensor) -> Tensor:
    """Each row divided by its sum."""
    return table / table.sum(-1, keepdim=True)


def unit(vectors: Tensor) -> Tensor:
    """Each vector divided by its length."""
    return vectors / vectors.norm(dim=-1, keepdim=True)


def hardest(table: Tensor) -> Tensor:
    """1 for the largest number of each row, 0 elsewhere."""
    return (table == table.amax(-1, keepdim=True)).to(table)


WEIGHTS = Exercise(
    id="attention_weights",
    lesson="02",
    title="Two products: the weights",
    minutes=4,
    difficulty=2,
    prompt="""
Write `my_weights(query, key, scale)`. A score is the dot product of a query and a key, times
`scale`. The softmax of one query's scores over all keys gives its weights:
`(..., T, d), (..., S, d) -> (..., T, S)`. T need not be S. A batch, several texts at once,
may stand in front: `.transpose(-2, -1)` swaps the last two axes; `.T` is for one matrix.""",
    reference=weights_of,
    cases=qk_cases,
    mistakes=(
        Mistake(
            "softmax-twice",
            lambda query, key, scale: weights_of(query, key, scale).softmax(-1),
            "You take the softmax twice. The second one reads weights between 0 and 1 as scores, "
            "and makes all keys nearly alike.",
        ),
        Mistake(
            "logarithms",
            lambda query, key, scale: (query @ key.mT * scale).log_softmax(-1),
            "Your numbers are 0 or below: that is log_softmax, the logarithms of the weights.",
        ),
        Mistake(
            "softmax-over-queries",
            lambda query, key, scale: scores_of(query, key, scale).softmax(-2),
            "Your softmax runs over the queries: columns sum to 1, rows do not. Each query shares "
            "its attention among the keys.",
        ),
        Mistake(
            "axis-from-the-left",
            lambda query, key, scale: scores_of(query, key, scale).softmax(1),
            "Your softmax runs along axis 1. That is the keys only where there is no batch. Count "
            "axes from the right.",
        ),
        Mistake(
            "softmax-over-batch",
            lambda query, key, scale: scores_of(query, key, scale).softmax(0),
            "Your softmax runs along the first axis, which is the batch where there is one. It "
            "has to run over the keys, the last axis.",
        ),
        Mistake(
            "softmax-over-all",
            lambda query, key, scale: (
                scores_of(query, key, scale)
                .flatten(-2)
                .softmax(-1)
                .view(scores_of(query, key, scale).shape)
            ),
            "Your weights sum to 1 over the whole table. Each row, one query, has its own sum.",
        ),
        Mistake(
            "scale-forgotten",
            lambda query, key, scale: scores_of(query, key, 1.0).softmax(-1),
            "The scale is missing: your weights belong to the scores before they are multiplied.",
        ),
        Mistake(
            "scale-divides",
            lambda query, key, scale: scores_of(query, key, 1 / scale).softmax(-1),
            "You divide the scores by the scale. Multiply.",
        ),
        Mistake(
            "scale-after-softmax",
            lambda query, key, scale: scores_of(query, key, 1.0).softmax(-1) * scale,
            "You scale the weights. Scale the scores, before the softmax: weights must sum to 1.",
        ),
        Mistake(
            "own-scale",
            lambda query, key, scale: package.attention_weights(query, key),
            "You scale by 1/√d, whatever is asked. That is a good choice, and the next lesson's "
            "question; here the scale is given.",
        ),
        Mistake(
            "no-softmax",
            scores_of,
            "These are scores. The softmax over the keys is still to come.",
        ),
        Mistake(
            "no-exp",
            lambda query, key, scale: by_sum(scores_of(query, key, scale)),
            "You divide the scores by their sum. Scores can be negative, and their sum near 0: "
            "take exp first, as softmax does.",
        ),
        Mistake(
            "overflow",
            lambda query, key, scale: by_sum(scores_of(query, key, scale).exp()),
            "exp of a large score is infinite. torch's softmax avoids that; how it does so is an "
            "exercise of its own.",
        ),
        Mistake(
            "roles-swapped",
            lambda query, key, scale: scores_of(key, query, scale).softmax(-1),
            "Here every key looks at the queries. Rows belong to queries, columns to keys.",
        ),
        Mistake(
            "no-transpose",
            lambda query, key, scale: (query @ key * scale).softmax(-1),
            "query @ key pairs the rows of one with the columns of the other. Both hold their "
            "vectors in rows, so the key has to be transposed.",
        ),
        Mistake(
            "transpose-from-the-left",
            lambda query, key, scale: (query @ key.transpose(0, 1) * scale).softmax(-1),
            "You swap axes 0 and 1 of the key. With a batch those are not the last two: "
            "transpose(-2, -1) is right for both.",
        ),
        Mistake(
            "cosine",
            lambda query, key, scale: scores_of(unit(query), unit(key), scale).softmax(-1),
            "You compare directions only (cosine). The dot product lets a long key or query count "
            "for more; leave the lengths in.",
        ),
    ),
    hints=(
        "Draw the table first: one row for each query, one column for each key. What is in a cell?",
        "query @ key.transpose(-2, -1) gives all dot products at once.",
        "Multiply the scores by scale, then take the softmax along the last axis (dim=-1).",
    ),
    source=(package.attention_weights,),
)


# --- attention


def weighted_values(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """The values, mixed by the weights: (..., T, d), (..., S, d), (..., S, v) -> (..., T, v)."""
    return weights_of(query, key, scale) @ value


def qkv_cases() -> list[Case]:
    cases = []
    for index, (name, (query, key, scale), rtol) in enumerate(qk_cases()):
        # v differs from d but where the name says that all sizes are equal.
        v = 3 if name.startswith("T = S = d") else 1 if index == 1 else key.shape[-1] + 1
        value = numbers(100 + index, *key.shape[:-1], v, dtype=key.dtype)
        cases.append(Case(name.replace("= d", "= d = v", 1), (query, key, value, scale), rtol))
    return cases


ATTENTION = Exercise(
    id="attention",
    lesson="02",
    title="Two products: the mix",
    minutes=4,
    difficulty=2,
    prompt="""
Write `my_attention(query, key, value, scale)`. The weights are those of the exercise before. Each
query takes away the average of all values, weighted by its weights:
`(..., T, d), (..., S, d), (..., S, v) -> (..., T, v)`.""",
    reference=weighted_values,
    cases=qkv_cases,
    mistakes=(
        Mistake(
            "softmax-twice",
            lambda query, key, value, scale: weights_of(query, key, scale).softmax(-1) @ value,
            "Your weights go through a softmax twice. The second one reads weights between 0 and 1 "
            "as scores, and makes all keys nearly alike.",
        ),
        Mistake(
            "weights-transposed",
            lambda query, key, value, scale: weights_of(query, key, scale).mT @ value,
            "Your weights are transposed before they meet the values. Row t of the weights mixes "
            "the values for query t.",
        ),
        Mistake(
            "softmax-over-queries",
            lambda query, key, value, scale: scores_of(query, key, scale).softmax(-2) @ value,
            "Your softmax runs over the queries. The weights of one query over all keys sum to 1.",
        ),
        Mistake(
            "axis-from-the-left",
            lambda query, key, value, scale: scores_of(query, key, scale).softmax(1) @ value,
            "Your softmax runs along axis 1. That is the keys only where there is no batch. Count "
            "axes from the right.",
        ),
        Mistake(
            "scale-forgotten",
            lambda query, key, value, scale: weights_of(query, key, 1.0) @ value,
            "The scale is missing: multiply the scores by it before the softmax.",
        ),
        Mistake(
            "scale-divides",
            lambda query, key, value, scale: weights_of(query, key, 1 / scale) @ value,
            "You divide the scores by the scale. Multiply.",
        ),
        Mistake(
            "scale-at-the-end",
            lambda query, key, value, scale: weights_of(query, key, 1.0) @ value * scale,
            "You scale the result. The scale belongs to the scores, before the softmax.",
        ),
        Mistake(
            "own-scale",
            lambda query, key, value, scale: package.attention(query, key, value),
            "You scale by 1/√d, whatever is asked. Here the scale is given. Did you call the "
            "fused function without its scale?",
        ),
        Mistake(
            "no-softmax",
            lambda query, key, value, scale: scores_of(query, key, scale) @ value,
            "You mix the values by raw scores. Turn the scores into weights first.",
        ),
        Mistake(
            "plain-mean",
            lambda query, key, value, scale: value.mean(-2, keepdim=True).expand(
                *query.shape[:-1], value.shape[-1]
            ),
            "Every query gets the plain mean of the values. The weights should decide.",
        ),
        Mistake(
            "best-only",
            lambda query, key, value, scale: hardest(scores_of(query, key, scale)) @ value,
            "You take the value of the best key alone: a hard dictionary. Attention mixes all "
            "values, each by its weight.",
        ),
        Mistake(
            "keys-mixed",
            lambda query, key, value, scale: weights_of(query, key, scale) @ key,
            "You mix the keys. Keys are compared with the query; values are what it takes away.",
        ),
        Mistake(
            "weights-returned",
            lambda query, key, value, scale: weights_of(query, key, scale),
            "These are the weights. Mix the values with them.",
        ),
        Mistake(
            "values-scored",
            lambda query, key, value, scale: weights_of(query, key, scale) @ value.softmax(-1),
            "You take a softmax of the values. The values are mixed as they are.",
        ),
    ),
    hints=(
        "You have the weights, (..., T, S), and the values, (..., S, v). Which product gives "
        "(..., T, v)?",
        "For one query: weight 0 times value 0, plus weight 1 times value 1, and so on. That sum "
        "is one row of a matrix product.",
        "weights @ value, with the weights of the exercise before.",
    ),
    source=(package.attention_weights, package.attention),
)


# --- one query, in a loop


def soft_lookup(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A dictionary that answers with a mix: (d,), (S, d), (S, v) -> (v,)."""
    shares = stable_softmax(torch.stack([query @ key for key in keys]))
    answer = torch.zeros_like(values[0])
    for share, value in zip(shares, values, strict=True):
        answer = answer + share * value
    return answer


def lookup_cases() -> list[Case]:
    exact = (torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    double = [numbers(20, *shape, dtype=torch.float64) for shape in ((3,), (4, 3), (4, 2))]
    return [
        Case("two keys", (*exact, torch.tensor([[10.0], [20.0]]))),
        Case("one key", (numbers(1, 3), numbers(2, 1, 3), numbers(3, 1, 2))),
        Case("three keys", (numbers(4, 2), numbers(5, 3, 2), numbers(6, 3, 4))),
        Case("S = d = v", (numbers(7, 3), numbers(8, 3, 3), numbers(9, 3, 3))),
        Case("five keys", (numbers(10, 4), numbers(11, 5, 4), numbers(12, 5, 2))),
        Case("two equal keys", (numbers(13, 2), numbers(14, 1, 2).repeat(2, 1), numbers(15, 2, 3))),
        Case("float64", tuple(double)),
        Case("not contiguous", (strided(numbers(17, 4)), numbers(18, 4, 6).T, numbers(19, 6, 2))),
    ]


LOOKUP = Exercise(
    id="soft_lookup",
    lesson="02",
    title="A soft dictionary",
    minutes=5,
    difficulty=1,
    prompt="""
Write `my_lookup(query, keys, values)` for one query: `(d,), (S, d), (S, v) -> (v,)`. Go through the
keys in a loop. A key's score is its dot product with the query; the softmax of all scores gives the
weights; the answer is the sum of weight times value. No scale here.""",
    reference=soft_lookup,
    cases=lookup_cases,
    mistakes=(
        Mistake(
            "hard",
            lambda query, keys, values: values[(keys @ query).argmax()],
            "You answer with the value of the best key: an ordinary dictionary. A soft one mixes "
            "all values, each by its weight.",
        ),
        Mistake(
            "not-normalised",
            lambda query, keys, values: (keys @ query).exp() @ values,
            "The weights are exponentials that do not sum to 1 yet. Divide by their sum.",
        ),
        Mistake(
            "raw-scores",
            lambda query, keys, values: (keys @ query) @ values,
            "You weigh the values by their raw scores. Turn the scores into weights that sum to 1.",
        ),
        Mistake(
            "no-exp",
            lambda query, keys, values: (keys @ query) @ values / (keys @ query).sum(),
            "You divide the scores by their sum. Scores can be negative: take exp first, as "
            "softmax does.",
        ),
        Mistake(
            "plain-mean",
            lambda query, keys, values: values.mean(0),
            "Every value counts the same here: the plain mean. The query should decide.",
        ),
        Mistake(
            "plain-sum",
            lambda query, keys, values: values.sum(0),
            "You add all the values without weights. The query should decide how much of each.",
        ),
        Mistake(
            "last-key-missed",
            lambda query, keys, values: (
                (keys[:-1] @ query).softmax(-1) @ values[:-1] if len(keys) > 1 else values[0] * 0
            ),
            "The last key is left out. Does your loop end one too early?",
        ),
        Mistake(
            "first-key-missed",
            lambda query, keys, values: (
                (keys[1:] @ query).softmax(-1) @ values[1:] if len(keys) > 1 else values[0] * 0
            ),
            "The first key is left out. Does your loop begin at 1?",
        ),
        Mistake(
            "distance",
            lambda query, keys, values: (-(keys - query).square().sum(-1)).softmax(-1) @ values,
            "You weigh by distance, as kernel regression does. Here a score is a dot product.",
        ),
        Mistake(
            "scaled",
            lambda query, keys, values: (keys @ query / math.sqrt(len(query))).softmax(-1) @ values,
            "You divide the scores by √d. That is lesson 03; here there is no scale.",
        ),
        Mistake(
            "sign",
            lambda query, keys, values: (-(keys @ query)).softmax(-1) @ values,
            "The least similar key gets the largest weight: a sign is wrong.",
        ),
        Mistake(
            "keys-mixed",
            lambda query, keys, values: (keys @ query).softmax(-1) @ keys,
            "You mix the keys. Keys are compared with the query; values are what it takes away.",
        ),
        Mistake(
            "weights-returned",
            lambda query, keys, values: (keys @ query).softmax(-1),
            "These are the weights. The answer is the values, mixed by them.",
        ),
    ),
    hints=(
        "First collect one score for each key, then make weights of them, then mix.",
        "torch.stack turns a list of scores into a tensor, which softmax can take.",
        "Start from zeros of the size of one value; add weight * value for each pair.",
    ),
)


# --- choose q and k


def choose_qk(weights: Tensor) -> tuple[Tensor, Tensor]:
    """A query (1,) and keys (S, 1) whose attention weights, at scale 1, are the given ones."""
    return torch.ones_like(weights[:1]), weights.clamp(min=1e-6).log()[:, None]


def resulting_weights(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """The weights that a learner's query and keys produce; NaN where a number is not finite."""
    (target,) = inputs
    pair = isinstance(output, (tuple, list)) and len(output) == 2
    if not pair or not all(isinstance(part, Tensor) for part in output):
        raise Unfit("Return two tensors, `return query, keys`.")
    query, keys = (as_tensor(inputs, part).double() for part in output)
    S = len(target)
    if query.dim() != 1 or keys.shape != (S, len(query)):
        raise Unfit(
            f"Your query has shape {tuple(query.shape)}, your keys {tuple(keys.shape)}; expected "
            f"(d,) and ({S}, d), with any d that you like."
        )
    if not bool(query.isfinite().all() and keys.isfinite().all()):
        return torch.full_like(target, math.nan)
    return (keys @ query).softmax(-1).to(target.dtype)


def mix_cases() -> list[Case]:
    mixes = {
        "70, 20 and 10 %": [0.7, 0.2, 0.1],
        "half and half, none of the third": [0.5, 0.5, 0.0],
        "all of the second": [0.0, 1.0, 0.0],
        "one key": [1.0],
        "four alike": [0.25, 0.25, 0.25, 0.25],
        "five keys": [0.05, 0.4, 0.1, 0.25, 0.2],
    }
    return [Case(name, (torch.tensor(mix),)) for name, mix in mixes.items()]


def as_scores(scores: Tensor) -> tuple[Tensor, Tensor]:
    """A query and keys with these scores."""
    return torch.ones_like(scores[:1]), scores[:, None]


CHOOSE = Exercise(
    id="choose_qk",
    lesson="02",
    title="Now backwards: choose the query and the keys",
    minutes=6,
    difficulty=2,
    prompt="""
Somebody wants a given average, say 70 % of the first value, 20 % of the second and 10 % of the
third. Write `my_choice(weights)`, which returns a query `(d,)` and keys `(S, d)` such that
`softmax(keys @ query)` is the given `weights` `(S,)`, to within 0.001. Then attention gives exactly
that average, whatever the values are. You choose `d`. All your numbers must be finite, also where a
weight is 0.""",
    reference=choose_qk,
    cases=mix_cases,
    observe=resulting_weights,
    atol=1e-3,
    mistakes=(
        Mistake(
            "all-keys-equal",
            lambda weights: as_scores(weights * 0),
            "All your scores are equal, so every key gets the same weight. Where do the weights "
            "enter?",
        ),
        Mistake(
            "weights-as-scores",
            lambda weights: as_scores(weights),
            "Your scores are the weights themselves. Softmax takes exp of a score: which score "
            "becomes 0.7 by exp?",
        ),
        Mistake(
            "sign",
            lambda weights: as_scores(-weights.clamp(min=1e-6).log()),
            "The smallest weight comes out largest: a sign is wrong.",
        ),
        Mistake(
            "log10",
            lambda weights: as_scores(weights.clamp(min=1e-6).log10()),
            "You use the logarithm to base 10. Softmax takes e to the power of a score, so its "
            "inverse is the natural one.",
        ),
        Mistake(
            "log2",
            lambda weights: as_scores(weights.clamp(min=1e-6).log2()),
            "You use the logarithm to base 2. Softmax takes e to the power of a score, so its "
            "inverse is the natural one.",
        ),
        Mistake(
            "score-0-for-weight-0",
            lambda weights: as_scores(weights.where(weights > 0, torch.ones_like(weights)).log()),
            "A weight of 0 gets the score 0 from you. exp(0) is 1, the largest of all: it needs a "
            "very low score.",
        ),
        Mistake(
            "log-of-zero",
            lambda weights: as_scores(weights.log()),
            "The logarithm of a weight of 0 is -inf. A very small weight does as well: it may be "
            "off by 0.001.",
        ),
        Mistake(
            "floor-too-high",
            lambda weights: as_scores((weights + 0.01).log()),
            "A weight of 0 still gets a visible share. Make the number that stands in for 0 "
            "smaller.",
        ),
        Mistake(
            "best-only",
            lambda weights: as_scores(hardest(weights) * 100),
            "Only the largest weight survives: your scores are too far apart.",
        ),
        Mistake(
            "undoes-a-scale",
            lambda weights: as_scores(weights.clamp(min=1e-6).log() * len(weights) ** 0.5),
            "Your scores are √S times too large. There is no scale here to be undone.",
        ),
        Mistake(
            "swapped",
            lambda weights: as_scores(weights.clamp(min=1e-6).log())[::-1],
            "The two are in the wrong order: first the query, then the keys.",
        ),
    ),
    hints=(
        "Take d = 1 and a query of [1.0]. Then each key is one number, and that is its score.",
        "Softmax takes exp of each score and divides by the sum. The weights already sum to 1, so "
        "exp(score) = weight will do.",
        "score = log(weight). For a weight of 0 use a tiny number instead, with clamp(min=…).",
    ),
)


# --- temperature


def hard_lookup(scores: Tensor, eps: float) -> float:
    """A temperature at which softmax(scores / temperature) puts at least 1 - eps on one key."""
    best, second = scores.topk(2).values.tolist()
    return (best - second) / math.log((len(scores) - 1) / eps)


def temperature_works(inputs: tuple[Any, ...], temperature: Tensor) -> str:
    """Empty if it does: cold enough, and no colder than a thirtieth of the warmest that works."""
    scores, eps = inputs
    chosen = float(temperature)
    if not chosen > 0:  # NaN too
        return f"A temperature is above 0; yours is {chosen:.3g}."

    def largest(t: float) -> float:
        return float(((scores.double() - scores.max()) / t).softmax(-1).max())

    if largest(chosen) < 1 - eps * (1 + 1e-6):
        return f"At your temperature the largest weight is {largest(chosen):.4f}: too warm."
    if largest(chosen * 30) >= 1 - eps:
        return "Far colder than needed: a temperature 30 times as warm would do."
    return ""


def temperature_cases() -> list[Case]:
    rows = {
        "two keys": ([0.0, 1.0], 0.1),
        "three keys": ([2.0, 0.5, 1.5], 0.01),
        "a close race": ([1.0, 1.02, -3.0, 0.4], 0.01),
        "far apart": ([-10.0, 60.0, 2.0], 0.05),
        "all negative": ([-7.0, -5.0, -9.0, -8.0], 0.001),
        "hardly ahead will do": ([0.3, 0.9], 0.4),
        "all but a billionth": ([2.0, -1.0, 1.2], 1e-9),
        "seven second places": ([1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0], 0.01),
    }
    return [Case(name, (torch.tensor(scores), eps), 1e-4) for name, (scores, eps) in rows.items()]


def gap(scores: Tensor) -> float:
    """How far the best score is ahead of the second."""
    best, second = scores.topk(2).values.tolist()
    return best - second


HARD = Exercise(
    id="hard_lookup",
    lesson="02",
    title="How cold?",
    minutes=6,
    difficulty=2,
    prompt="""
Divide the scores by a temperature before the softmax. The colder, the more the best key takes: an
ordinary dictionary is attention at temperature 0. Write `my_temperature(scores, eps)`: a
temperature at which the largest weight is at least `1 - eps`. There are at least two scores, and no
two tie for the best. Many temperatures are right. Colder than needed is fine, up to 30 times; so
neither one constant nor one share of the gap can do for all.""",
    reference=hard_lookup,
    cases=temperature_cases,
    observe=as_number,
    atol=0.0,  # temperatures differ by their ratio
    judge=temperature_works,
    mistakes=(
        Mistake(
            "zero",
            lambda scores, eps: 0.0,
            "At temperature 0 the scores are divided by 0. The limit is a dictionary, but a number "
            "has to be above it.",
        ),
        Mistake(
            "one",
            lambda scores, eps: 1.0,
            "A temperature of 1 leaves the scores as they are. It has to depend on them.",
        ),
        Mistake(
            "eps-itself",
            lambda scores, eps: eps,
            "You return eps. How cold it has to be depends on how far the best score is ahead.",
        ),
        Mistake(
            "share-of-the-gap",
            lambda scores, eps: gap(scores) / 20,
            "Your temperature follows the gap, not eps. A smaller eps needs it colder.",
        ),
        Mistake(
            "inverse",
            lambda scores, eps: math.log((len(scores) - 1) / eps) / gap(scores),
            "This is one over the temperature: the number to multiply the scores by.",
        ),
        Mistake(
            "other-keys-forgotten",
            lambda scores, eps: gap(scores) / math.log(1 / eps),
            "Right for two keys. With more, each of the others keeps a share, and together they "
            "may hold more than eps.",
        ),
        Mistake(
            "other-keys-forgotten-odds",
            lambda scores, eps: gap(scores) / math.log((1 - eps) / eps),
            "Exact for two keys. With more, each of the others keeps a share, and together they "
            "hold more than eps.",
        ),
        Mistake(
            "range",
            lambda scores, eps: (
                float(scores.max() - scores.min()) / math.log((len(scores) - 1) / eps)
            ),
            "You measure from the best score to the worst. The rival is the second best.",
        ),
        Mistake(
            "best-score",
            lambda scores, eps: float(scores.max()) / math.log((len(scores) - 1) / eps),
            "You use the best score itself. Weights do not change when the same number is added "
            "to all scores: only differences count.",
        ),
        Mistake(
            "unsorted",
            lambda scores, eps: float(scores[0] - scores[1]) / math.log((len(scores) - 1) / eps),
            "You compare the first two scores as they stand. Find the best and the second best.",
        ),
        Mistake(
            "sign",
            lambda scores, eps: gap(scores) / math.log(eps / (len(scores) - 1)),
            "Your temperature is negative, since the logarithm of a number below 1 is. Turn the "
            "fraction over.",
        ),
        Mistake(
            "no-log",
            lambda scores, eps: gap(scores) * eps / (len(scores) - 1),
            "Much too cold for a small eps: weights shrink as exp(-gap / temperature), so a "
            "logarithm of eps is enough.",
        ),
        Mistake(
            "log10",
            lambda scores, eps: gap(scores) / math.log10((len(scores) - 1) / eps),
            "You use the logarithm to base 10. Softmax is built on e: take the natural one.",
        ),
    ),
    hints=(
        "Compare the best key with the second best alone: how many times larger is its weight at "
        "temperature t?",
        "exp(gap / t) times larger. All the other keys together hold at most (S - 1) times the "
        "second's weight.",
        "So it is enough that (S - 1) * exp(-gap / t) is at most eps. Solve for t.",
    ),
)


EXERCISES = (LOOKUP, CHOOSE, WEIGHTS, ATTENTION, SOFTMAX, HARD)
