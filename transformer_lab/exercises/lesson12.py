"""The exercises of lesson 12: generating, and what it costs."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer_lab import decoding, writer
from transformer_lab.attention import attention
from transformer_lab.cache import KeyValueCache
from transformer_lab.exercises.common import numbers, several, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit, as_tensor
from transformer_lab.exercises.show import plain
from transformer_lab.masks import causal_mask

# --- temperature and top-k


def final_distribution(logits: Tensor, temperature: float, top_k: int | None) -> Tensor:
    """The probabilities that the next token is drawn with: (..., V) -> (..., V)."""
    if temperature > 0:
        return decoding.filtered(logits / temperature, top_k).softmax(-1)
    return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)


def distribution_cases() -> list[Case]:
    high = torch.tensor([[120.0, 118.0, 119.0, -50.0]])
    return [
        Case("three tokens", (torch.tensor([1.0, 3.0, 2.0]), 2.0, 2)),
        Case("all tokens", (torch.tensor([[[2.0, 0.0, 1.0], [0.0, 1.0, 3.0]]]), 0.5, None)),
        Case("greedy", (torch.tensor([0.5, -1.0, 2.0, 1.0]), 0.0, None)),
        Case("greedy, with a top-k", (numbers(1, 2, 4), 0.0, 2)),
        Case("the best token only", (numbers(2, 2, 5), 1.0, 1)),
        Case("B = V, two of three", (numbers(3, 3, 3), 1.5, 2)),
        Case("more than there are", (numbers(4, 2, 3), 0.7, 10)),
        Case("two batch axes", (numbers(5, 2, 3, 6), 3.0, 4)),
        Case("all logits below 0", (numbers(6, 2, 5) - 9, 0.8, 3)),
        Case("high logits, cold", (high, 0.5, 3)),
        Case("float64", (numbers(7, 2, 5, dtype=torch.float64), 0.9, 2)),
        Case("float64, greedy", (numbers(9, 2, 5, dtype=torch.float64), 0.0, 2)),
        Case("not contiguous", (strided(numbers(8, 2, 6)), 1.2, 3)),
    ]


def greedy(logits: Tensor) -> Tensor:
    return final_distribution(logits, 0, None)


def drawn(logits: Tensor, temperature: float, keep: Callable[[Tensor], Tensor]) -> Tensor:
    """The right distribution but for what is kept, which keep(logits) says."""
    if temperature == 0:
        return greedy(logits)
    return (logits / temperature).masked_fill(~keep(logits), -math.inf).softmax(-1)


def best(logits: Tensor, k: int | None) -> Tensor:
    """True for the k largest of each row."""
    return decoding.filtered(logits, k) > -math.inf


def bar(logits: Tensor, k: int) -> Tensor:
    """The k-th largest of each row: (..., 1)."""
    return logits.topk(k).values[..., -1:]


def scaled(logits: Tensor, factor: float, top_k: int | None) -> Tensor:
    return decoding.filtered(logits * factor, top_k).softmax(-1)


DISTRIBUTION = Exercise(
    id="sample_distribution",
    lesson="12",
    title="What the dice see",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_distribution(logits, temperature, top_k)`: from the model's logits (..., V) to the
probabilities (..., V) that the next token is drawn with. The logits are divided by `temperature`.
Of each row only the `top_k` largest stay; all others get exactly 0, and each row sums to 1.
`top_k` None keeps all tokens, and so does one above V. Temperature 0 means greedy: the likeliest
token gets 1.""",
    reference=final_distribution,
    cases=distribution_cases,
    mistakes=(
        Mistake(
            "top-k-ignored",
            lambda logits, temperature, top_k: final_distribution(logits, temperature, None),
            "Every token can still be drawn. Only the `top_k` largest may.",
        ),
        Mistake(
            "temperature-ignored",
            lambda logits, temperature, top_k: (
                scaled(logits, 1.0, top_k) if temperature else greedy(logits)
            ),
            "The temperature has no effect. If you divide probabilities by it and then make them "
            "sum to 1 again, it drops out: it belongs to the logits.",
        ),
        Mistake(
            "temperature-multiplies",
            lambda logits, temperature, top_k: (
                scaled(logits, temperature, top_k) if temperature else greedy(logits)
            ),
            "A high temperature makes your distribution sharper. It should make it flatter: "
            "divide the logits by it.",
        ),
        Mistake(
            "zero-temperature",
            lambda logits, temperature, top_k: (
                decoding.filtered(logits, top_k).div(temperature).softmax(-1)
            ),
            "At temperature 0 you divide by 0. Its meaning is the limit: everything on the "
            "likeliest token.",
        ),
        Mistake(
            "not-renormalised",
            lambda logits, temperature, top_k: (
                final_distribution(logits, temperature, None) * best(logits, top_k)
            ),
            "You take the softmax first and strike tokens out afterwards, so a row sums to less "
            "than 1. What remains has to be shared out anew.",
        ),
        Mistake(
            "zeros-in-the-softmax",
            lambda logits, temperature, top_k: (
                (logits / temperature * best(logits, top_k)).softmax(-1)
                if temperature
                else greedy(logits)
            ),
            "You set the other logits to 0. exp(0) is 1, so they can still be drawn. Which logit "
            "gives the probability 0?",
        ),
        Mistake(
            "one-too-few",
            lambda logits, temperature, top_k: (
                drawn(logits, temperature, lambda x: x > bar(x, min(top_k, x.shape[-1])))
                if top_k
                else final_distribution(logits, temperature, None)
            ),
            "You keep what is above the k-th largest logit, so the k-th itself is lost, and with "
            "top_k = 1 nothing is left.",
        ),
        Mistake(
            "k-of-the-batch",
            lambda logits, temperature, top_k: drawn(
                logits, temperature, lambda x: best(x.flatten(), top_k).view(x.shape)
            ),
            "You keep the k largest of the whole tensor. Each row has its own k.",
        ),
        Mistake(
            "k-numbers-only",
            lambda logits, temperature, top_k: (
                (logits / temperature).topk(min(top_k or 99, logits.shape[-1])).values.softmax(-1)
                if temperature
                else greedy(logits)
            ),
            "You return the probabilities of the kept tokens only, so nobody knows whose they are. "
            "Put 0 in the places of the others.",
        ),
        Mistake(
            "k-above-V",
            lambda logits, temperature, top_k: (
                drawn(logits, temperature, lambda x: x >= bar(x, top_k))
                if top_k
                else final_distribution(logits, temperature, None)
            ),
            "topk stops with an error when it is asked for more numbers than there are. With "
            "`top_k` above V all tokens stay.",
        ),
        Mistake(
            "overflow",
            lambda logits, temperature, top_k: (
                (powers := (logits / temperature).exp() * best(logits, top_k))
                / powers.sum(-1, keepdim=True)
                if temperature
                else greedy(logits)
            ),
            "exp of a large logit is infinite, and a low temperature makes logits large. softmax "
            "avoids that.",
        ),
    ),
    hints=(
        "Deal with temperature 0 first. For the rest keep the order: divide, strike out, softmax.",
        "topk(k).values holds the k largest of each row in falling order. Its last one is the bar "
        "that a logit has to reach.",
        "masked_fill the logits below the bar with -inf, then take the softmax. For temperature 0, "
        "one-hot of the argmax.",
    ),
    source=(decoding.filtered,),
)


# --- top-p


def nucleus(logits: Tensor, p: float) -> Tensor:
    """Logits (..., V), -inf outside the smallest set of likeliest tokens that reaches p."""
    return decoding.filtered(logits, top_p=p)


def nucleus_cases() -> list[Case]:
    def shares(*probabilities: float) -> Tensor:
        return torch.tensor(probabilities).log()

    struck = torch.tensor([[1.0, -math.inf, 2.0, 0.5], [-math.inf, 0.0, -math.inf, 1.0]])
    return [
        Case("0.5, 0.3, 0.2", (shares(0.5, 0.3, 0.2), 0.6)),
        Case("0.2, 0.5, 0.3", (shares(0.2, 0.5, 0.3), 0.6)),
        Case("one is enough", (shares(0.1, 0.15, 0.75), 0.4)),
        Case("a single token", (torch.tensor([[3.0]]), 0.5)),
        Case("a tiny p", (numbers(1, 2, 4), 0.01)),
        Case("p = 1", (numbers(2, 2, 4), 1.0)),
        Case("flat", (numbers(3, 1, 8) / 10, 0.7)),
        Case("sharp and flat", (torch.cat([numbers(4, 1, 6) * 4, numbers(5, 1, 6) / 2]), 0.85)),
        Case("B = V", (numbers(6, 3, 3), 0.7)),
        Case("two batch axes", (numbers(7, 2, 3, 5) * 2, 0.9)),
        Case("large logits", (numbers(8, 2, 5) * 300, 0.95)),
        Case("some already struck out", (struck, 0.8)),
        Case("float64", (numbers(9, 2, 6, dtype=torch.float64), 0.75)),
        Case("not contiguous", (strided(numbers(10, 2, 5)), 0.65)),
    ]


def drawn_from(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """The probabilities that come of filtered logits."""
    logits = as_tensor(inputs, output)
    if not logits.is_floating_point() or not logits.dim():
        raise Unfit("Your function returns no logits; expected floating-point numbers (..., V).")
    if bool((logits == -math.inf).all(-1).any()):
        raise Unfit("In one row every logit is -inf, so that no token is left to be drawn.")
    return logits.softmax(-1)


def keep_ranked(logits: Tensor, which: Callable[[Tensor], Tensor]) -> Tensor:
    """Keep what which(probabilities in falling order) says."""
    ranked, order = logits.softmax(-1).sort(-1, descending=True)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, order, which(ranked))
    return logits.masked_fill(~kept, -math.inf)


def before(ranked: Tensor) -> Tensor:
    """What the likelier tokens hold together."""
    return ranked.cumsum(-1) - ranked


def keep_where(logits: Tensor, kept: Tensor) -> Tensor:
    return logits.masked_fill(~kept, -math.inf)


def kept_by(logits: Tensor, p: float) -> Tensor:
    """True for the tokens that the right answer keeps."""
    return nucleus(logits, p) > -math.inf


NUCLEUS = Exercise(
    id="top_p",
    lesson="12",
    title="As few tokens as reach p",
    minutes=8,
    difficulty=3,
    prompt="""
Top-k keeps as many tokens whether the model is sure or not. Top-p adapts. Write
`my_top_p(logits, p)`, `(..., V) -> (..., V)`: in each row, keep the likeliest tokens, as few as
together reach the probability `p`, and at least one. Kept logits stay as they are, in their places;
all others become `-inf`. What is compared is the softmax of your result.""",
    reference=nucleus,
    cases=nucleus_cases,
    observe=drawn_from,
    mistakes=(
        Mistake(
            "ignored",
            lambda logits, p: logits,
            "Your result is the distribution as it was: p has no effect.",
        ),
        Mistake(
            "stops-short",
            lambda logits, p: keep_ranked(logits, lambda ranked: ranked.cumsum(-1) <= p),
            "Your set stays below p. The token with which it reaches p belongs to it; without that "
            "token a sure model is left with nothing.",
        ),
        Mistake(
            "stops-short-but-for-the-best",
            lambda logits, p: keep_ranked(
                logits,
                lambda ranked: (ranked.cumsum(-1) <= p) | (ranked == ranked[..., :1]),
            ),
            "You rescue the likeliest token, but otherwise your set stays below p. The token with "
            "which it reaches p belongs to it.",
        ),
        Mistake(
            "one-too-many",
            lambda logits, p: keep_ranked(
                logits, lambda ranked: F.pad(before(ranked), (1, 0))[..., :-1] < p
            ),
            "One token too many stays: the set has reached p without it.",
        ),
        Mistake(
            "unlikeliest-first",
            lambda logits, p: keep_ranked(
                logits, lambda ranked: before(ranked.flip(-1)).flip(-1) < p
            ),
            "You collect from the unlikeliest token upwards. sort begins with the smallest unless "
            "it is told otherwise.",
        ),
        Mistake(
            "each-token-alone",
            lambda logits, p: keep_where(logits, logits.softmax(-1) >= p),
            "You ask whether a token alone has the probability p. The set reaches it together: "
            "that needs a running sum.",
        ),
        Mistake(
            "relative-to-the-best",
            lambda logits, p: decoding.filtered(logits, min_p=p),
            "You keep what is at least p times as likely as the likeliest token. That is another "
            "filter, min-p. Here probabilities are added up until they reach p.",
        ),
        Mistake(
            "not-put-back",
            lambda logits, p: keep_where(
                logits, before(logits.softmax(-1).sort(-1, descending=True).values) < p
            ),
            "You decide in sorted order, but strike out in the old order, so the wrong tokens go. "
            "sort also returns the places from which the numbers came.",
        ),
        Mistake(
            "not-sorted",
            lambda logits, p: keep_where(logits, before(logits.softmax(-1)) < p),
            "You add the probabilities up in the order of the vocabulary. The set takes the "
            "likeliest tokens first.",
        ),
        Mistake(
            "zeros",
            lambda logits, p: logits.masked_fill(~kept_by(logits, p), 0.0),
            "You set the other logits to 0, and exp(0) is 1: they can still be drawn.",
        ),
        Mistake(
            "probabilities",
            lambda logits, p: nucleus(logits, p).softmax(-1),
            "You return probabilities. Return logits; their softmax is taken afterwards.",
        ),
    ),
    hints=(
        "Take the probabilities 0.5, 0.3, 0.2 and p = 0.6. Which tokens stay? How do you know that "
        "the second is needed and the third is not?",
        "Sort the probabilities in falling order. A token is needed when those before it hold less "
        "than p: a cumulative sum, less the token itself.",
        "sort(descending=True) returns values and indices. Decide in sorted order, bring that back "
        "with scatter along the indices, then masked_fill with -inf.",
    ),
    source=(decoding.filtered,),
)


# --- a step with a cache

Three = tuple[Tensor, Tensor, Tensor]
Project = Callable[[Tensor], Three]


class Projection:
    """An attention's three matrices as one function: (B, T, D) -> (B, T, d), three times."""

    def __init__(self, seed: int, D: int, d: int, dtype: torch.dtype) -> None:
        self._matrix = numbers(seed, D, 3 * d, dtype=dtype)

    def __call__(self, states: Tensor) -> Three:
        query, key, value = (states @ self._matrix).chunk(3, -1)
        return query, key, value

    def __repr__(self) -> str:
        D, wide = self._matrix.shape
        return f"a function (B, T, {D}) -> query, key, value, each (B, T, {wide // 3})"


def cached_step(
    states: Tensor, positions: Tensor, project: Project, keys: Tensor, values: Tensor
) -> Three:
    """T new tokens look at S cached ones and at themselves; the cache grows to S + T."""
    S, T = keys.shape[1], states.shape[1]
    query, key, value = project(states + positions[S : S + T])
    keys, values = torch.cat([keys, key], 1), torch.cat([values, value], 1)
    return attention(query, keys, values, causal=True), keys, values


def step_cases() -> list[Case]:
    def case(name: str, B: int, S: int, T: int, D: int, d: int, kind: str = "float32") -> Case:
        dtype = getattr(torch, kind)
        seed = 100 * B + 10 * S + T
        states, table = numbers(seed, B, T, D, dtype=dtype), numbers(seed + 1, 8, D, dtype=dtype)
        cache = [numbers(seed + i, B, S, d, dtype=dtype) for i in (2, 3)]
        return Case(name, (states, table, Projection(seed + 4, D, d, dtype), *cache))

    return [
        case("one token in the cache, one new", 1, 1, 1, 2, 2),
        case("one in the cache, three new", 1, 1, 3, 2, 2),
        case("four in the cache, one new", 1, 4, 1, 3, 2),
        case("three in the cache, two new", 1, 3, 2, 4, 3),
        case("as many new as cached", 1, 3, 3, 3, 3),
        case("a batch, one new", 2, 5, 1, 4, 3),
        case("a batch, three new", 2, 4, 3, 4, 2),
        case("B = S = T = D = d", 2, 2, 2, 2, 2),
        case("float64", 2, 3, 2, 3, 4, "float64"),
    ]


step_parts = several("mixed", "keys", "values")


def step_of(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """The three results, one behind the other, once their shapes are right."""
    states, _, _, cache, _ = inputs
    step_parts(inputs, output)
    (B, S, d), T = cache.shape, states.shape[1]
    lengths = {"mixed": T, "keys": S + T, "values": S + T}
    for (name, length), part in zip(lengths.items(), output, strict=True):
        if part.shape != (B, length, d):
            raise Unfit(
                f"Your `{name}` has shape {tuple(part.shape)}; expected {(B, length, d)}, with "
                f"S = {S} tokens in the cache and T = {T} new ones."
            )
    return torch.cat([part.detach() for part in output], 1)


vars(step_of)["order"] = "the rows of mixed, then of keys, then of values"


def step_with(
    states: Tensor,
    positions: Tensor,
    project: Project,
    keys: Tensor,
    values: Tensor,
    start: int | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
    grow: Callable[[Tensor, Tensor], Tensor] = lambda old, new: torch.cat([old, new], 1),
) -> Three:
    """The right step but for where positions start, the mask, the scale, or how a cache grows."""
    S, T = keys.shape[1], states.shape[1]
    start = S if start is None else start
    query, key, value = project(states + positions[start : start + T])
    keys, values = grow(keys, key), grow(values, value)
    if mask is None:
        mask = causal_mask(T, keys.shape[1])
    return attention(query, keys, values, mask, scale), keys, values


STEP = Exercise(
    id="cached_step",
    lesson="12",
    title="One more step, with a cache",
    minutes=8,
    difficulty=3,
    prompt="""
T new tokens follow S earlier ones, whose `keys` and `values` (B, S, d) are cached. Write
`my_step(states, positions, project, keys, values)`. `states` (B, T, D) are the new embeddings. Add
to each its own row of the table `positions`; row 0 is for the text's first token. `project(…)` of
that gives query, key and value, (B, T, d) each. Each new token looks at all before it and at
itself, scale 1/√d: that is `mixed` (B, T, d). Return `mixed, keys, values`, the caches grown at
their end.""",
    reference=cached_step,
    cases=step_cases,
    observe=step_of,
    mistakes=(
        Mistake(
            "position-not-advanced",
            lambda states, positions, project, keys, values: step_with(
                states, positions, project, keys, values, start=0
            ),
            "Your new tokens get the positions 0, 1, … again. The cache already holds S tokens: "
            "where does the text go on?",
        ),
        Mistake(
            "position-one-too-far",
            lambda states, positions, project, keys, values: step_with(
                states, positions, project, keys, values, start=keys.shape[1] + 1
            ),
            "Your positions are one too far. With S tokens at 0 … S - 1, the next one is at S.",
        ),
        Mistake(
            "one-position-for-all",
            lambda states, positions, project, keys, values: step_with(
                states, positions[keys.shape[1]].expand_as(positions), project, keys, values
            ),
            "All your new tokens share one position. Right for one of them; with T > 1 each has "
            "its own.",
        ),
        Mistake(
            "overwrites",
            lambda states, positions, project, keys, values: step_with(
                states, positions, project, keys, values, grow=lambda old, new: new
            ),
            "Your cache holds the new tokens only: what came before is lost.",
        ),
        Mistake(
            "in-front",
            lambda states, positions, project, keys, values: step_with(
                states,
                positions,
                project,
                keys,
                values,
                grow=lambda old, new: torch.cat([new, old], 1),
                mask=causal_mask(states.shape[1], keys.shape[1] + states.shape[1]).roll(
                    states.shape[1], 1
                ),
            ),
            "The new keys stand before the old ones. In a cache the text's order is kept: new ones "
            "go behind.",
        ),
        Mistake(
            "cache-returned-as-it-was",
            lambda states, positions, project, keys, values: (
                cached_step(states, positions, project, keys, values)[0],
                keys,
                values,
            ),
            "You return the caches as they came. The next step will miss these tokens.",
        ),
        Mistake(
            "caches-queries",
            lambda states, positions, project, keys, values: cached_step(
                states,
                positions,
                lambda x: (project(x)[0], project(x)[0], project(x)[2]),
                keys,
                values,
            ),
            "You cache the query where the key belongs. A query is asked once and never looked up "
            "again; only keys and values are.",
        ),
        Mistake(
            "old-cache-only",
            lambda states, positions, project, keys, values: step_with(
                states,
                positions,
                project,
                keys,
                values,
                mask=(torch.arange(keys.shape[1] + states.shape[1]) < keys.shape[1])[None],
            ),
            "The new tokens look at the old cache only. Each sees itself too: put its key into the "
            "cache first, then look.",
        ),
        Mistake(
            "sees-what-follows",
            lambda states, positions, project, keys, values: step_with(
                states,
                positions,
                project,
                keys,
                values,
                mask=torch.ones(states.shape[1], keys.shape[1] + states.shape[1], dtype=torch.bool),
            ),
            "With several new tokens the first sees those that follow it. One new token needs no "
            "mask, more of them do.",
        ),
        Mistake(
            "mask-counts-from-the-first-key",
            lambda states, positions, project, keys, values: step_with(
                states,
                positions,
                project,
                keys,
                values,
                mask=causal_mask(keys.shape[1] + states.shape[1])[: states.shape[1]],
            ),
            "Your first new token sees key 0 and nothing else, as with torch's is_causal=True. New "
            "token t is token S + t of the text.",
        ),
        Mistake(
            "scale-forgotten",
            lambda states, positions, project, keys, values: step_with(
                states, positions, project, keys, values, scale=1.0
            ),
            "The scores are not divided by √d.",
        ),
    ),
    hints=(
        "How many tokens does the cache hold? That number is all you need to know about the past: "
        "it gives the positions and the mask.",
        "Rows S to S + T - 1 of the table. Then torch.cat along axis 1, and look at the grown "
        "caches.",
        "The mask is (T, S + T): row t allows the first S + t + 1 keys. tril takes a diagonal.",
    ),
    source=(cached_step, KeyValueCache.extend),
)


# --- attention in tiles


class Stream:
    """Blocks of keys and values, to be gone through once: each is wiped when the next comes."""

    def __init__(self, key: Tensor, value: Tensor, sizes: tuple[int, ...]) -> None:
        self._blocks = list(zip(key.split(sizes), value.split(sizes), strict=True))
        self._sizes = sizes

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for block in self._blocks:
            yield block
            for part in block:
                part.zero_()

    def __repr__(self) -> str:
        if all(key.shape[1] == value.shape[1] == 1 for key, value in self._blocks):
            pairs = [[part.flatten().tolist() for part in block] for block in self._blocks]
            return ", ".join(f"(key {key}, value {value})" for key, value in pairs)
        return f"blocks of {', '.join(map(str, self._sizes))} keys"


Blocks = Iterable[tuple[Tensor, Tensor]]


def tiled_attention(query: Tensor, blocks: Blocks) -> Tensor:
    """Attention of query (T, d) over blocks of key (s, d) and value (s, v), one at a time."""
    largest = torch.full((len(query), 1), -math.inf)
    total = mixed = torch.zeros(len(query), 1)
    for key, value in blocks:
        scores = query @ key.T
        now = torch.maximum(largest, scores.amax(1, keepdim=True))
        shrink, powers = (largest - now).exp(), (scores - now).exp()
        total = total * shrink + powers.sum(1, keepdim=True)
        mixed = mixed * shrink + powers @ value
        largest = now
    return mixed / total


def tile_cases() -> list[Case]:
    def case(
        name: str, T: int, d: int, v: int, sizes: tuple[int, ...], kind: str = "float32"
    ) -> Case:
        dtype, S = getattr(torch, kind), sum(sizes)
        query, key, value = (
            numbers(10 * S + i, *shape, dtype=dtype)
            for i, shape in enumerate([(T, d), (S, d), (S, v)])
        )
        return Case(name, (query, Stream(key, value, sizes)))

    def exact(name: str, query: list[float], keys: list[float], sizes: tuple[int, ...]) -> Case:
        """Whole numbers, d = v = 1: a score is a product of two of them."""
        values = [10.0 * (i + 1) ** 2 for i in range(len(keys))]
        columns = [torch.tensor(row)[:, None] for row in (query, keys, values)]
        return Case(name, (columns[0], Stream(columns[1], columns[2], sizes)))

    return [
        exact("two keys, a block each", [1.0], [1.0, 2.0], (1, 1)),
        exact("one key", [2.0], [1.0], (1,)),
        exact("one block", [1.0, -1.0], [0.0, 1.0, 2.0], (3,)),
        exact("scores that fall", [1.0], [3.0, 2.0, 1.0, 0.0], (2, 2)),
        exact("scores that rise", [1.0, 2.0], [0.0, 1.0, 2.0, 3.0], (1, 2, 1)),
        exact("scores up to 2,000", [20.0], [1.0, 3.0, 99.0, 100.0, 98.0], (2, 2, 1)),
        exact("scores down to -2,000", [20.0], [-100.0, -98.0, -99.0, -99.0], (2, 2)),
        exact("scores from 20 to 2,000", [20.0], [1.0, 99.0, 3.0, 100.0], (2, 2)),
        exact("scores from 2,000 to 20", [20.0], [100.0, 99.0, 3.0, 1.0], (2, 2)),
        exact("queries far apart", [10.0, 0.0, -10.0], [90.0, 91.0, 92.0, 89.0], (2, 1, 1)),
        case("T = d = v", 3, 3, 3, (3, 3)),
        case("uneven blocks", 2, 4, 3, (1, 3, 2)),
        case("many blocks", 4, 2, 1, (2, 1, 1, 3, 2)),
        case("float64", 3, 2, 4, (2, 3), "float64"),
    ]


def tiled_by(
    query: Tensor,
    blocks: Blocks,
    largest: Callable[[Tensor | None, Tensor], Tensor],
    shrink_total: float = 1,
    shrink_mixed: float = 1,
) -> tuple[Tensor, Tensor]:
    """(mixed, total) of the right loop but for how it finds its maximum and what it rescales."""
    now: Tensor | None = None
    total, mixed = query.new_zeros(()), query.new_zeros(())
    for key, value in blocks:
        scores = query @ key.T
        past, now = now, largest(now, scores)
        shrink = torch.zeros_like(now) if past is None else past - now
        powers = (scores - now).exp()
        total = total * (shrink * shrink_total).exp() + powers.sum(-1, keepdim=True)
        mixed = mixed * (shrink * shrink_mixed).exp() + powers @ value
    return mixed, total


def running(past: Tensor | None, scores: Tensor) -> Tensor:
    """The right maximum."""
    now = scores.amax(-1, keepdim=True)
    return now if past is None else torch.maximum(past, now)


def divided(pair: tuple[Tensor, Tensor]) -> Tensor:
    return pair[0] / pair[1]


def two_passes(query: Tensor, blocks: Blocks) -> Tensor:
    top = torch.cat([query @ key.T for key, _ in blocks], 1).amax(1, keepdim=True)
    return divided(tiled_by(query, blocks, lambda past, scores: top))


def attended(query: Tensor, blocks: Blocks) -> list[Tensor]:
    """Attention over each block alone."""
    return [(query @ key.T).softmax(-1) @ value for key, value in blocks]


TILES = Exercise(
    id="tiled_softmax",
    lesson="12",
    title="Attention that never sees all scores",
    minutes=12,
    difficulty=3,
    prompt="""
Write `my_tiles(query, blocks)`: attention of `query` (T, d) over keys that come in blocks.
`for key, value in blocks` gives key (s, d) and value (s, v), s from block to block. There is no
room for more: you go through them once, and a block is wiped (set to 0) when the next one comes.
The scores are `query @ key.T`, without a scale, and may be 2,000. The result (T, v) is that of one
softmax over all keys.""",
    reference=tiled_attention,
    cases=tile_cases,
    mistakes=(
        Mistake(
            "no-maximum",
            lambda query, blocks: divided(
                tiled_by(query, blocks, lambda past, scores: torch.zeros_like(scores[:, :1]))
            ),
            "exp of a large score is infinite. Each query needs the largest score so far, to be "
            "subtracted.",
        ),
        Mistake(
            "total-not-rescaled",
            lambda query, blocks: divided(tiled_by(query, blocks, running, shrink_total=0)),
            "When a larger score comes, your mixed values shrink, but the sum of powers does not. "
            "Both were made with the old maximum.",
        ),
        Mistake(
            "mixed-not-rescaled",
            lambda query, blocks: divided(tiled_by(query, blocks, running, shrink_mixed=0)),
            "When a larger score comes, the sum of powers shrinks, but your mixed values do not. "
            "Both were made with the old maximum.",
        ),
        Mistake(
            "nothing-rescaled",
            lambda query, blocks: divided(
                tiled_by(query, blocks, running, shrink_total=0, shrink_mixed=0)
            ),
            "What you collected was made with the old maximum, what comes now with the new one. By "
            "which factor do they differ?",
        ),
        Mistake(
            "rescaled-upside-down",
            lambda query, blocks: divided(
                tiled_by(query, blocks, running, shrink_total=-1, shrink_mixed=-1)
            ),
            "Your factor makes the past larger. When the maximum grows, what came before counts "
            "less: which of the two maxima is subtracted from which?",
        ),
        Mistake(
            "blocks-averaged",
            lambda query, blocks: torch.stack(attended(query, blocks)).mean(0),
            "You take a softmax in each block and average the results. A block with higher scores "
            "has to count for more.",
        ),
        Mistake(
            "maximum-of-the-first-block",
            lambda query, blocks: divided(
                tiled_by(
                    query,
                    blocks,
                    lambda past, scores: running(None, scores) if past is None else past,
                )
            ),
            "You subtract the first block's maximum all the way. A later block may be far above "
            "it, and its exp is infinite.",
        ),
        Mistake(
            "maximum-starts-at-0",
            lambda query, blocks: divided(
                tiled_by(
                    query,
                    blocks,
                    lambda past, scores: running(
                        torch.zeros_like(scores[:, :1]) if past is None else past, scores
                    ),
                )
            ),
            "Your maximum starts at 0. When all scores are far below, every exp is 0, and so is "
            "the sum that you divide by. What is smaller than any score?",
        ),
        Mistake(
            "one-maximum-for-all-queries",
            lambda query, blocks: divided(
                tiled_by(
                    query,
                    blocks,
                    lambda past, scores: (
                        running(past, scores).amax(0, keepdim=True).expand(len(scores), 1)
                    ),
                )
            ),
            "You subtract one maximum for all queries. One whose scores are far below it is left "
            "with nothing. Each query has its own.",
        ),
        Mistake(
            "not-divided",
            lambda query, blocks: tiled_by(query, blocks, running)[0],
            "The mixed values are there. Divide them by the sum of the powers.",
        ),
        Mistake(
            "collected-first",
            lambda query, blocks: attended(query, list(blocks))[0],
            "You collect the blocks before you use them. Each is wiped (set to 0) when the next "
            "comes: use a block while you have it.",
        ),
        Mistake(
            "two-passes",
            two_passes,
            "You go through the blocks twice, once for the maximum. The second time they are wiped "
            "(set to 0). How can you do with the largest score so far?",
        ),
    ),
    hints=(
        "Three things are enough to remember for each query: the largest score so far, the sum of "
        "powers, and the powers times values.",
        "A power made with the old maximum becomes one of the new maximum by the factor "
        "exp(old - new). That holds for sums of powers too.",
        "In each round: new maximum; shrink sum and mix by that factor; add the block's powers to "
        "the sum and powers @ value to the mix. Start with -inf and zeros, divide at the end.",
    ),
)


# --- prompts of different lengths


def padded_left(prompts: list[list[int]], pad_id: int) -> Three:
    """Tokens, mask and positions, (B, T) each, of prompts that all end in the last column."""
    tokens, mask = writer.left_pad(prompts, pad_id)
    return tokens, mask, (mask.cumsum(1) - 1).clamp(min=0)


def pad_cases() -> list[Case]:
    batches: dict[str, tuple[list[list[int]], int]] = {
        "two prompts": ([[5, 6, 7], [8]], 0),
        "one prompt": ([[3, 4]], 0),
        "the longest is last": ([[7], [1, 2], [3, 4, 5, 6]], 0),
        "equal lengths": ([[4, 5], [6, 7]], 0),
        "another pad id": ([[2, 3], [4, 5, 6], [1]], 9),
        "the pad id is a token too": ([[0, 5, 0], [6, 0]], 0),
        "a prompt that begins with the pad id": ([[9, 1], [9], [2, 9, 9, 3]], 9),
        "many": ([[1] * n for n in (3, 5, 1, 2, 4)], 7),
    }
    return [Case(name, (prompts, pad_id)) for name, (prompts, pad_id) in batches.items()]


pad_parts = several("tokens", "mask", "positions")


def padded_parts(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """The three tensors as one (3, B, T), once their shapes and kinds are right."""
    pad_parts(inputs, output)
    prompts, _ = inputs
    expected = len(prompts), max(map(len, prompts))
    for name, part in zip(("tokens", "mask", "positions"), output, strict=True):
        if part.shape != expected:
            raise Unfit(
                f"Your `{name}` has shape {tuple(part.shape)}; expected {expected}: B prompts, and "
                "T is the length of the longest."
            )
        whole = not (part.is_floating_point() or part.is_complex())
        if (part.dtype == torch.bool) != (name == "mask") or not whole:
            kind = "bool" if name == "mask" else "whole numbers"
            raise Unfit(f"Your `{name}` is {plain(part.dtype)}; expected {kind}.")
    return torch.stack([part.double() for part in output])


vars(padded_parts)["parts"] = ("tokens", "mask", "positions")


def aligned(prompts: list[list[int]], pad_id: int, right: bool = False) -> tuple[Tensor, Tensor]:
    """Tokens and mask of prompts that begin, or end, together."""
    T = max(map(len, prompts))
    rows = []
    for prompt in prompts:
        pads = [(pad_id, False)] * (T - len(prompt))
        real = [(token, True) for token in prompt]
        rows.append(real + pads if right else pads + real)
    table = torch.tensor(rows)
    return table[..., 0], table[..., 1].bool()


def counted(mask: Tensor) -> Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


LEFT_PAD = Exercise(
    id="left_pad",
    lesson="12",
    title="Which side to pad",
    minutes=6,
    difficulty=2,
    prompt="""
Several prompts are to go on at once, and the next token is written at the right. Write
`my_left_pad(prompts, pad_id)` for a list of B lists of token ids, of different lengths. Return
`tokens, mask, positions`, (B, T) each, where T is the longest length. Shorter prompts have `pad_id`
at their *left*. `mask` is bool, True at real tokens. `positions` count each prompt's own tokens 0,
1, 2, … and are 0 at padding. A real token may have the id `pad_id` too.""",
    reference=padded_left,
    cases=pad_cases,
    observe=padded_parts,
    mistakes=(
        Mistake(
            "padded-right",
            lambda prompts, pad_id: (
                *aligned(prompts, pad_id, right=True),
                counted(aligned(prompts, pad_id, right=True)[1])
                * aligned(prompts, pad_id, right=True)[1],
            ),
            "You pad at the right, so the next token of a short prompt would be written behind its "
            "padding. All prompts have to end in the last column.",
        ),
        Mistake(
            "padded-right-positions-go-on",
            lambda prompts, pad_id: (
                *aligned(prompts, pad_id, right=True),
                torch.arange(max(map(len, prompts))).expand(len(prompts), -1),
            ),
            "You pad at the right, and your positions count the padding. All prompts have to end "
            "in the last column.",
        ),
        Mistake(
            "positions-from-the-edge",
            lambda prompts, pad_id: (
                *aligned(prompts, pad_id),
                torch.arange(max(map(len, prompts))).expand(len(prompts), -1),
            ),
            "Your positions count the padding: a prompt's first token would be at position 2 or 3, "
            "and the model would say something else than without padding.",
        ),
        Mistake(
            "position-below-0",
            lambda prompts, pad_id: (
                *aligned(prompts, pad_id),
                aligned(prompts, pad_id)[1].cumsum(1) - 1,
            ),
            "Your padding has position -1, which is no row of a table, or its last one. Here it is "
            "0.",
        ),
        Mistake(
            "positions-from-1",
            lambda prompts, pad_id: (
                *aligned(prompts, pad_id),
                aligned(prompts, pad_id)[1].cumsum(1),
            ),
            "Your positions start at 1. Count from 0, as the model did in training.",
        ),
        Mistake(
            "mask-turned-round",
            lambda prompts, pad_id: (
                aligned(prompts, pad_id)[0],
                ~aligned(prompts, pad_id)[1],
                counted(aligned(prompts, pad_id)[1]),
            ),
            "Your mask is True at the padding. True means: may be looked at.",
        ),
        Mistake(
            "mask-by-id",
            lambda prompts, pad_id: (
                (tokens := aligned(prompts, pad_id)[0]),
                tokens != pad_id,
                counted(tokens != pad_id),
            ),
            "You find the padding by its id, and lose real tokens that have the same one. The "
            "lengths of the prompts tell you for sure.",
        ),
        Mistake(
            "mask-by-id-alone",
            lambda prompts, pad_id: (
                (tokens := aligned(prompts, pad_id)[0]),
                tokens != pad_id,
                counted(aligned(prompts, pad_id)[1]),
            ),
            "Your positions are right, but the mask is made from the ids: a real token with the id "
            "of the padding is masked as well.",
        ),
        Mistake(
            "pads-with-0",
            lambda prompts, pad_id: padded_left(prompts, 0),
            "You pad with 0, whatever `pad_id` is.",
        ),
        Mistake(
            "reversed",
            lambda prompts, pad_id: padded_left([prompt[::-1] for prompt in prompts], pad_id),
            "Each prompt stands in reverse order. Reversing, padding at the right and reversing "
            "again works, but then do the last step too.",
        ),
    ),
    hints=(
        "Find the longest length first. How many pads does a prompt of length n need?",
        "Build each row of tokens as a list: the pads, then the prompt. The mask is built in the "
        "same way from False and True.",
        "A running sum (cumsum) of the mask counts the real tokens: 1 at the first. What is left "
        "to do for counting from 0, and for the padding?",
    ),
    source=(writer.left_pad,),
)


EXERCISES = (DISTRIBUTION, NUCLEUS, STEP, TILES, LEFT_PAD)
