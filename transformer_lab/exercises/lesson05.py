"""The exercises of lesson 05: many heads."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from transformer_lab import attention as package
from transformer_lab import twins
from transformer_lab.exercises.common import numbers, parts_of, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit

# --- split and merge


def split_heads(x: Tensor, H: int) -> Tensor:
    """D numbers of each token as H heads of d = D / H each: (B, T, D) -> (B, H, T, d)."""
    B, T, D = x.shape
    return x.view(B, T, H, D // H).transpose(1, 2)


def split_cases() -> list[Case]:
    counted = torch.arange(8.0).view(1, 2, 4)
    return [
        Case("two tokens, two heads", (counted, 2)),
        Case("one head", (numbers(1, 2, 3, 4), 1)),
        Case("heads of one number", (numbers(2, 1, 2, 3), 3)),
        Case("one token", (numbers(3, 2, 1, 6), 2)),
        Case("a batch", (numbers(4, 2, 3, 8), 2)),
        Case("B = T = H = d", (numbers(5, 3, 3, 9), 3)),
        Case("H = T", (numbers(6, 2, 4, 8), 4)),
        Case("float64", (numbers(7, 3, 2, 6, dtype=torch.float64), 3)),
        Case("not contiguous", (strided(numbers(8, 2, 3, 4)), 2)),
    ]


def in_heads(x: Tensor, H: int) -> Tensor:
    """(B, T, D) -> (B, T, H, d)."""
    return x.unflatten(-1, (H, -1))


def cut_by_a_view(x: Tensor, H: int) -> Tensor:
    """(B, T, D) -> (B, H, T, d), with parts of several tokens in a head."""
    return x.reshape(len(x), H, x.shape[1], -1)


def merged_by_a_view(heads: Tensor) -> Tensor:
    """(B, H, T, d) -> (B, T, D), with several tokens in a row."""
    return heads.reshape(len(heads), heads.shape[2], -1)


SPLIT = Exercise(
    id="split_heads",
    lesson="05",
    title="Cut into heads",
    minutes=4,
    difficulty=1,
    prompt="""
Each token has a query of D numbers. With H heads, head 0 takes the first d = D / H of them, head 1
the next d, and so on. Write `my_split(x, H)`: `(B, T, D) -> (B, H, T, d)`. So `result[b, h, t]`
holds d numbers that stand next to each other in `x[b, t]`. The heads get an axis of their own, in
front of the tokens, so that one matrix product serves all heads at once.""",
    reference=split_heads,
    cases=split_cases,
    mistakes=(
        Mistake(
            "view-without-transpose",
            cut_by_a_view,
            "The shape is right, the numbers are in the wrong places: view leaves all numbers in "
            "the order of memory and only cuts anew, so a head gets parts of several tokens. First "
            "cut D alone, then swap axes.",
        ),
        Mistake(
            "not-swapped",
            in_heads,
            "You have cut D into H heads of d numbers. Their axis still stands behind the tokens.",
        ),
        Mistake(
            "every-Hth",
            lambda x, H: x.unflatten(-1, (-1, H)).permute(0, 3, 1, 2),
            "Your head 0 takes every H-th number. It should take d numbers that stand together: "
            "cut D into H times d, not d times H.",
        ),
        Mistake(
            "H-for-d",
            lambda x, H: split_heads(x, x.shape[-1] // H),
            "You make d heads of H numbers each. It should be H heads of d numbers.",
        ),
        Mistake(
            "samples-as-heads",
            lambda x, H: in_heads(x, H).transpose(0, 2),
            "You swap the heads with the samples. Swap them with the tokens.",
        ),
        Mistake(
            "heads-first",
            lambda x, H: in_heads(x, H).permute(2, 0, 1, 3),
            "The heads stand in front of the samples. The samples come first.",
        ),
        Mistake(
            "samples-and-heads-in-one",
            lambda x, H: split_heads(x, H).flatten(0, 1),
            "Samples and heads share one axis here. Keep both: (B, H, T, d).",
        ),
        Mistake(
            "last-axes-swapped",
            lambda x, H: split_heads(x, H).mT,
            "Each head's table is turned over: (d, T). Tokens come first, then their d numbers.",
        ),
    ),
    hints=(
        "Two steps. First let the last axis, D, become two: H and d. Then move one axis.",
        "x.view(B, T, …, …) cuts the last axis only, since B and T stay what they are. In which "
        "order do H and d come?",
        "view to (B, T, H, d), where d is D // H. Then transpose axes 1 and 2, so that the heads "
        "stand in front of the tokens.",
    ),
    source=(split_heads, package.MultiHeadAttention._split),
)


def merge_heads(heads: Tensor) -> Tensor:
    """The numbers of all heads side by side again: (B, H, T, d) -> (B, T, D)."""
    B, _, T, _ = heads.shape
    return heads.transpose(1, 2).reshape(B, T, -1)


def merge_cases() -> list[Case]:
    return [
        Case(name, (split_heads(x, H).contiguous() if index % 3 else split_heads(x, H),))
        for index, (name, (x, H), _) in enumerate(split_cases())
    ]


MERGE = Exercise(
    id="merge_heads",
    lesson="05",
    title="Put the heads together again",
    minutes=3,
    difficulty=1,
    prompt="""
Now back. Write `my_merge(heads)`: `(B, H, T, d) -> (B, T, D)` with D = H · d. For each token the d
numbers of head 0 come first, then those of head 1, and so on. It undoes the split: merging what was
cut into heads gives the tensor that you began with.""",
    reference=merge_heads,
    cases=merge_cases,
    mistakes=(
        Mistake(
            "reshape-without-transpose",
            merged_by_a_view,
            "The shape is right, the numbers are in the wrong places: your rows mix tokens. The "
            "axis of the heads has to stand beside their numbers before the two become one.",
        ),
        Mistake(
            "view-after-transpose",
            lambda heads: heads.transpose(1, 2).view(len(heads), heads.shape[2], -1),
            "The right order of axes. But after transpose the numbers no longer lie one behind the "
            "other in memory, which view needs. Copy them first (contiguous), or let reshape do "
            "so.",
        ),
        Mistake(
            "numbers-before-heads",
            lambda heads: heads.permute(0, 2, 3, 1).flatten(2),
            "You put the first number of every head together, then the second. Keep each head's d "
            "numbers together.",
        ),
        Mistake(
            "not-merged",
            lambda heads: heads.transpose(1, 2),
            "The axes are in the right order. The last two, H and d, still have to become one.",
        ),
        Mistake(
            "tokens-merged",
            lambda heads: heads.flatten(2),
            "You put tokens and their numbers together. It is heads and numbers that belong "
            "together.",
        ),
        Mistake(
            "added",
            lambda heads: heads.sum(1),
            "You add the heads up. They stand side by side: D = H · d numbers for each token.",
        ),
        Mistake(
            "averaged",
            lambda heads: heads.mean(1),
            "You average the heads. They stand side by side: D = H · d numbers for each token.",
        ),
        Mistake(
            "samples-mixed",
            lambda heads: heads.permute(2, 0, 1, 3).reshape(len(heads), heads.shape[2], -1),
            "Your rows belong to other samples and tokens. Samples come first, then tokens.",
        ),
    ),
    hints=(
        "The two steps of the split, backwards.",
        "First move the heads behind the tokens: (B, T, H, d). Then H and d become one axis.",
        "transpose axes 1 and 2, then reshape to (B, T, -1).",
    ),
)


# --- multi-head attention


def multi_head(
    x: Tensor, W_query: Tensor, W_key: Tensor, W_value: Tensor, W_output: Tensor, H: int
) -> Tensor:
    """H attentions side by side, each on d = D / H numbers: (B, T, D) -> (B, T, D)."""
    query, key, value = (split_heads(x @ W, H) for W in (W_query, W_key, W_value))
    return merge_heads(package.attention(query, key, value)) @ W_output


def multi_head_cases() -> list[Case]:
    def matrices(seed: int, D: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        return [numbers(seed + i, D, D, dtype=dtype) for i in range(4)]

    double = numbers(7, 2, 3, 4, dtype=torch.float64)
    return [
        Case("two tokens, two heads of one number", (numbers(1, 1, 2, 2), *matrices(10, 2), 2)),
        Case("one head", (numbers(2, 1, 3, 4), *matrices(20, 4), 1)),
        Case("one token", (numbers(3, 2, 1, 4), *matrices(30, 4), 2)),
        Case("a batch", (numbers(4, 2, 3, 6), *matrices(40, 6), 3)),
        Case("B = T = H = d", (numbers(5, 3, 3, 9) / 2, *matrices(50, 9), 3)),
        Case("five tokens", (numbers(6, 2, 5, 8) / 2, *matrices(60, 8), 2)),
        Case("float64", (double, *matrices(70, 4, torch.float64), 2)),
        Case("not contiguous", (strided(numbers(8, 2, 4, 6)), *matrices(80, 6), 2)),
    ]


Heads = Callable[[Tensor, Tensor, Tensor], Tensor]


def with_step(
    attend: Heads = package.attention,
    project: Callable[[Tensor, Tensor], Tensor] = torch.matmul,
    split: Callable[[Tensor, int], Tensor] = split_heads,
    merge: Callable[[Tensor], Tensor] = merge_heads,
    output: Callable[[Tensor, Tensor], Tensor] = torch.matmul,
) -> Callable[..., Tensor]:
    """Multi-head attention with one of its steps done in another way."""

    def whole(
        x: Tensor, W_query: Tensor, W_key: Tensor, W_value: Tensor, W_output: Tensor, H: int
    ) -> Tensor:
        query, key, value = (split(project(x, W), H) for W in (W_query, W_key, W_value))
        return output(merge(attend(query, key, value)), W_output)

    return whole


def on_slices(
    x: Tensor, W_query: Tensor, W_key: Tensor, W_value: Tensor, W_output: Tensor, H: int
) -> Tensor:
    """Each head projects its own slice of x with its own block of each matrix."""
    d = x.shape[-1] // H
    heads = []
    for block in (slice(h * d, (h + 1) * d) for h in range(H)):
        part = x[..., block]
        query, key, value = (part @ W[block, block] for W in (W_query, W_key, W_value))
        heads.append(package.attention(query, key, value))
    return torch.cat(heads, -1) @ W_output


def over_heads(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.mT / math.sqrt(query.shape[-1])).softmax(1) @ value


def over_queries(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-2) @ value


MULTI = Exercise(
    id="multi_head",
    lesson="05",
    title="Many heads at once",
    minutes=8,
    difficulty=2,
    prompt="""
Write `my_multi_head(x, W_query, W_key, W_value, W_output, H)`: self-attention with H heads,
`(B, T, D) -> (B, T, D)`. All four matrices are `(D, D)` and are applied as `x @ W`. Project x to
queries, keys and values. Head h takes numbers h · d to (h + 1) · d of each, where d = D / H, and
attends by itself, with scale 1/√d and no mask. Put the heads side by side again, then apply
`W_output`. Your split and merge of before may help.""",
    reference=multi_head,
    cases=multi_head_cases,
    mistakes=(
        Mistake(
            "keys-and-values-swapped",
            lambda x, W_query, W_key, W_value, W_output, H: multi_head(
                x, W_query, W_value, W_key, W_output, H
            ),
            "Your keys are made with W_value and your values with W_key.",
        ),
        Mistake(
            "causal",
            with_step(lambda query, key, value: package.attention(query, key, value, causal=True)),
            "Your tokens see only themselves and what stands before them. There is no mask here.",
        ),
        Mistake(
            "with-residual",
            lambda x, W_query, W_key, W_value, W_output, H: (
                x + multi_head(x, W_query, W_key, W_value, W_output, H)
            ),
            "You add x to the result. The layer around attention does that, not attention itself.",
        ),
        Mistake(
            "no-output",
            with_step(output=lambda merged, W: merged),
            "The heads stand side by side and have not met yet: W_output mixes them.",
        ),
        Mistake(
            "one-head",
            lambda x, W_query, W_key, W_value, W_output, H: multi_head(
                x, W_query, W_key, W_value, W_output, 1
            ),
            "This is one head of width D, whatever H is. Each head has its own attention weights.",
        ),
        Mistake(
            "scale-by-D",
            with_step(
                lambda query, key, value: package.attention(
                    query, key, value, scale=1 / math.sqrt(query.shape[1] * query.shape[3])
                )
            ),
            "You divide by √D, the width of the model. A score adds up d products, the width of "
            "one head.",
        ),
        Mistake(
            "no-scale",
            with_step(lambda query, key, value: package.attention(query, key, value, scale=1.0)),
            "The scores are not divided by √d.",
        ),
        Mistake(
            "view-without-transpose",
            with_step(split=cut_by_a_view),
            "Your heads are cut by a view alone, so a head gets parts of several tokens. Cut D "
            "into H and d first, then move the heads in front of the tokens.",
        ),
        Mistake(
            "merge-without-transpose",
            with_step(merge=merged_by_a_view),
            "Your heads are put together by a reshape alone, so rows mix tokens. Move the heads "
            "behind the tokens first.",
        ),
        Mistake(
            "heads-behind-tokens",
            with_step(
                split=lambda x, H: x.unflatten(-1, (H, -1)), merge=lambda heads: heads.flatten(2)
            ),
            "Your heads still stand behind the tokens, (B, T, H, d). So in each token the heads "
            "attend to each other, and no token sees another one.",
        ),
        Mistake(
            "input-sliced",
            on_slices,
            "You slice x and let each head project its own slice. Every head reads all D numbers "
            "of a token: project with the whole W first, slice afterwards.",
        ),
        Mistake(
            "softmax-over-queries",
            with_step(over_queries),
            "Your softmax runs over the queries. The weights of one query over all keys sum to 1: "
            "that is the last axis.",
        ),
        Mistake(
            "scaled-by-d",
            with_step(
                lambda query, key, value: package.attention(
                    query, key, value, scale=1 / query.shape[-1]
                )
            ),
            "Your scores are divided by d: the root is missing, or you scale by 1/√d twice. The "
            "kernel of torch scales by itself.",
        ),
        Mistake(
            "queries-and-keys-swapped",
            lambda x, W_query, W_key, W_value, W_output, H: multi_head(
                x, W_key, W_query, W_value, W_output, H
            ),
            "Your queries are made with W_key and your keys with W_query: each token is asked what "
            "it should ask.",
        ),
        Mistake(
            "views-alone",
            with_step(
                split=cut_by_a_view,
                merge=merged_by_a_view,
            ),
            "You cut and merge by a view alone. The numbers end up in their places again, but in "
            "between a head gets parts of several tokens. Cut D into H and d, then swap the axes.",
        ),
        Mistake(
            "output-transposed",
            with_step(output=lambda merged, W: merged @ W.mT),
            "You apply W_output as x @ W.T. Here it is x @ W, as for the other three.",
        ),
        Mistake(
            "softmax-over-heads",
            with_step(over_heads),
            "Your softmax runs along axis 1. With heads that is no longer the keys; they are the "
            "last axis.",
        ),
        Mistake(
            "matrices-transposed",
            lambda x, W_query, W_key, W_value, W_output, H: multi_head(
                x, W_query.mT, W_key.mT, W_value.mT, W_output.mT, H
            ),
            "You apply each matrix as x @ W.T, as nn.Linear does with its weight. Here it is "
            "x @ W. Both are (D, D), so no shape gives it away.",
        ),
        Mistake(
            "values-not-projected",
            lambda x, W_query, W_key, W_value, W_output, H: multi_head(
                x, W_query, W_key, torch.eye(x.shape[-1], dtype=x.dtype), W_output, H
            ),
            "The heads mix slices of x itself. The values are x @ W_value.",
        ),
        Mistake(
            "heads-averaged",
            with_step(merge=lambda heads: heads.mean(1).repeat(1, 1, heads.shape[1])),
            "You average the heads. They stand side by side, each in its own d numbers.",
        ),
    ),
    hints=(
        "Five steps: project, split, attend, merge, project. Write the shape behind each.",
        "(B, T, D) by x @ W; (B, H, T, d) by the split; then attention works on the last two "
        "axes, and B and H are a batch to it.",
        "Split x @ W_query, x @ W_key and x @ W_value. The weights are a softmax along the last "
        "axis of query @ key.transpose(-2, -1), divided by √d. Weights @ value, merged, times "
        "W_output.",
    ),
    source=(multi_head, split_heads, merge_heads),
)


# --- the weights in torch's own module


def to_torch_attention(
    query: nn.Linear, key: nn.Linear, value: nn.Linear, output: nn.Linear
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four maps as nn.MultiheadAttention keeps them: (3D, D), (3D,), (D, D), (D,)."""
    D = query.in_features
    ours, theirs = package.MultiHeadAttention(D, 1), nn.MultiheadAttention(D, 1)
    ours.query, ours.key, ours.value, ours.output = query, key, value, output
    twins.copy_attention(ours, theirs)
    out = theirs.out_proj
    return theirs.in_proj_weight, theirs.in_proj_bias, out.weight, out.bias


NAMES = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")


def torch_shapes(D: int) -> tuple[tuple[int, ...], ...]:
    return (3 * D, D), (3 * D,), (D, D), (D,)


def torch_weights(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """The four tensors in one row; each must have the shape that torch's module has."""
    if not isinstance(output, (tuple, list)) or len(output) != 4:
        raise Unfit(f"Return four tensors, in the order {', '.join(NAMES)}.")
    parts = parts_of(inputs, output, *NAMES)
    for name, part, shape in zip(NAMES, parts, torch_shapes(inputs[0].in_features), strict=True):
        if part.shape != shape:
            raise Unfit(f"Your {name} has shape {tuple(part.shape)}; expected {shape}.")
    return torch.cat([part.flatten() for part in parts])


def which_differs(inputs: tuple[Any, ...], observed: Tensor) -> str:
    """The first of the four tensors that is not what it should be."""
    wanted = torch_weights(inputs, to_torch_attention(*inputs))
    shapes = torch_shapes(inputs[0].in_features)
    sizes = [math.prod(shape) for shape in shapes]
    for name, shape, right, part in zip(
        NAMES, shapes, wanted.split(sizes), observed.split(sizes), strict=True
    ):
        wrong = (right != part).view(shape[0], -1).any(-1)
        if wrong.any():
            where = "row" if len(shape) == 2 else "place"
            return f"Your {name} is wrong, first in {where} {int(wrong.int().argmax())}."
    return ""


def linear_cases() -> list[Case]:
    def maps(seed: int, D: int, dtype: torch.dtype = torch.float32) -> tuple[nn.Linear, ...]:
        made = []
        for index in range(4):
            linear = nn.Linear(D, D, dtype=dtype)
            linear.weight.data = numbers(seed + 2 * index, D, D, dtype=dtype)
            linear.bias.data = numbers(seed + 2 * index + 1, D, dtype=dtype)
            made.append(linear)
        return tuple(made)

    return [Case(f"D = {D}", maps(10 * D, D)) for D in (2, 1, 3, 4)]


def with_parts(
    weights: Callable[[list[Tensor]], Tensor] = torch.cat,
    biases: Callable[[list[Tensor]], Tensor] = torch.cat,
    out_weight: Callable[[Tensor], Tensor] = lambda weight: weight,
    out_bias: Callable[[Tensor], Tensor] = lambda bias: bias,
) -> Callable[..., tuple[Tensor, ...]]:
    """The four tensors, one of them made in another way."""

    def four(
        query: nn.Linear, key: nn.Linear, value: nn.Linear, output: nn.Linear
    ) -> tuple[Tensor, ...]:
        maps = (query, key, value)
        return (
            weights([part.weight for part in maps]),
            biases([part.bias for part in maps]),
            out_weight(output.weight),
            out_bias(output.bias),
        )

    return four


TO_TORCH = Exercise(
    id="to_torch_attention",
    lesson="05",
    title="Your weights in torch's module",
    minutes=6,
    difficulty=2,
    prompt="""
Four `nn.Linear(D, D)` make up your attention. To compare it with `nn.MultiheadAttention`, copy
them: torch keeps the weights for query, key and value in one tall matrix `in_proj_weight`
`(3D, D)`, in that order from top to bottom, and their biases in `in_proj_bias` `(3D,)`. The output
is an ordinary linear map, `out_proj`. Every weight is applied as nn.Linear does it: `x @ W.T + b`.
Write `my_torch_weights(query, key, value, output)`, which takes the four nn.Linear and returns
`in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias`.""",
    reference=to_torch_attention,
    cases=linear_cases,
    observe=torch_weights,
    judge=which_differs,
    mistakes=(
        Mistake(
            "side-by-side",
            with_parts(weights=lambda parts: torch.cat(parts, 1)),
            "You put the three weights side by side, (D, 3D). They stand one below the other.",
        ),
        Mistake(
            "each-transposed",
            with_parts(weights=lambda parts: torch.cat([part.T for part in parts])),
            "You transpose each weight before you stack them. nn.Linear and torch's module both "
            "keep (out, in), so the weights stay as they are.",
        ),
        Mistake(
            "side-by-side-reshaped",
            with_parts(weights=lambda parts: torch.cat(parts, 1).reshape(-1, len(parts[0]))),
            "You put the weights side by side and reshape: the shape is right, but their rows "
            "alternate. The whole query weight comes first, then the key's, then the value's.",
        ),
        Mistake(
            "key-first",
            with_parts(
                lambda parts: torch.cat([parts[1], parts[0], parts[2]]),
                lambda parts: torch.cat([parts[1], parts[0], parts[2]]),
            ),
            "Your key comes before your query. The order is query, key, value.",
        ),
        Mistake(
            "value-before-key",
            with_parts(
                lambda parts: torch.cat([parts[0], parts[2], parts[1]]),
                lambda parts: torch.cat([parts[0], parts[2], parts[1]]),
            ),
            "Your value comes before your key. The order is query, key, value.",
        ),
        Mistake(
            "bias-forgotten",
            with_parts(biases=lambda parts: torch.zeros_like(torch.cat(parts))),
            "The biases of query, key and value are zero here. They are copied as well.",
        ),
        Mistake(
            "output-bias-forgotten",
            with_parts(out_bias=torch.zeros_like),
            "The bias of the output is zero here. It is copied as well.",
        ),
        Mistake(
            "output-transposed",
            with_parts(out_weight=lambda weight: weight.T),
            "Your output weight is transposed. out_proj is an nn.Linear like yours: no change.",
        ),
        Mistake(
            "query-three-times",
            with_parts(
                lambda parts: torch.cat([parts[0]] * 3), lambda parts: torch.cat([parts[0]] * 3)
            ),
            "You stack the query three times. Key and value have weights of their own.",
        ),
        Mistake(
            "biases-added",
            with_parts(biases=lambda parts: torch.cat([parts[0] + parts[1] + parts[2]] * 3)),
            "You add the three biases up. They are stacked like the weights.",
        ),
        Mistake(
            "scaled",
            with_parts(
                lambda parts: torch.cat([parts[0] / math.sqrt(len(parts[0])), *parts[1:]]),
                lambda parts: torch.cat([parts[0] / math.sqrt(len(parts[0])), *parts[1:]]),
            ),
            "You divide the query by √D. Weights are copied as they are: torch's module scales "
            "its scores by itself.",
        ),
    ),
    hints=(
        "Print query.weight.shape and query.bias.shape. What do three of them make, one below the "
        "other?",
        "torch.cat joins tensors along their first axis, unless you say otherwise.",
        "Join the weights of query, key and value, in this order; then their biases in the same "
        "order. The output's weight and bias stay as they are.",
    ),
    source=(twins.copy_attention,),
)


# --- grouped queries


def grouped_query(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """K key/value heads serve H query heads: (B, H, T, d), 2 × (B, K, S, d) -> (B, H, T, d)."""
    each = query.shape[1] // key.shape[1]
    return package.attention(
        query, key.repeat_interleave(each, 1), value.repeat_interleave(each, 1)
    )


def grouped_cases() -> list[Case]:
    def heads(
        seed: int, B: int, H: int, K: int, T: int, S: int, d: int, dtype: Any = torch.float32
    ) -> tuple[Tensor, ...]:
        shapes = ((B, H, T, d), (B, K, S, d), (B, K, S, d))
        return tuple(numbers(seed + i, *shape, dtype=dtype) for i, shape in enumerate(shapes))

    query, key, value = heads(80, 2, 4, 2, 3, 4, 6)
    return [
        Case("four heads share two", heads(10, 1, 4, 2, 1, 2, 1)),
        Case("all heads share one", heads(20, 1, 3, 1, 2, 3, 2)),
        Case("each head has its own", heads(30, 2, 3, 3, 2, 2, 4)),
        Case("six heads share two", heads(40, 1, 6, 2, 3, 2, 2)),
        Case("six heads share three", heads(50, 2, 6, 3, 2, 5, 4)),
        Case("all sizes 4, K = 2", heads(60, 4, 4, 2, 4, 4, 4)),
        Case("float64", heads(70, 2, 4, 2, 3, 2, 3, torch.float64)),
        Case("not contiguous", (strided(query), strided(key), value)),
    ]


def with_heads(
    keys: Callable[[Tensor, int], Tensor],
    values: Callable[[Tensor, int], Tensor],
    power: float = -0.5,
    dim: int = -1,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Grouped attention with another way to give each of H query heads its keys and values."""

    def grouped(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        H, d = query.shape[1], query.shape[-1]
        return (query @ keys(key, H).mT * d**power).softmax(dim) @ values(value, H)

    return grouped


def blocks(heads: Tensor, H: int) -> Tensor:
    """0 0 1 1"""
    return heads.repeat_interleave(H // heads.shape[1], 1)


def turns(heads: Tensor, H: int) -> Tensor:
    """0 1 0 1"""
    return heads.repeat(1, H // heads.shape[1], 1, 1)


def as_they_come(heads: Tensor, H: int) -> Tensor:
    return heads


def first_only(heads: Tensor, H: int) -> Tensor:
    return heads[:, :1]


def averaged(heads: Tensor, H: int) -> Tensor:
    return heads.mean(1, keepdim=True)


def K_times(heads: Tensor, H: int) -> Tensor:
    return heads.repeat_interleave(heads.shape[1], 1)


GROUPED = Exercise(
    id="grouped_query",
    lesson="05",
    title="Few keys for many queries",
    minutes=6,
    difficulty=2,
    prompt="""
Grouped-query attention saves memory: H query heads share K heads of keys and values, and K divides
H. Neighbours share: the first H / K query heads use key/value head 0, the next H / K use head 1,
and so on. Write `my_grouped(query, key, value)`: `(B, H, T, d), (B, K, S, d), (B, K, S, d) ->
(B, H, T, d)`, with scale 1/√d and no mask. H and K are read off the shapes. K = H is ordinary
attention, K = 1 one head for all.""",
    reference=grouped_query,
    cases=grouped_cases,
    mistakes=(
        Mistake(
            "take-turns",
            with_heads(turns, turns),
            "Your query heads take turns: 0 1 0 1. Neighbours share: 0 0 1 1. Both run and have "
            "the same shapes; only one fits the trained weights.",
        ),
        Mistake(
            "values-take-turns",
            with_heads(blocks, turns),
            "Your keys are shared by neighbours, but your values take turns: a query looks with "
            "one head and takes away the values of another.",
        ),
        Mistake(
            "keys-take-turns",
            with_heads(turns, blocks),
            "Your values are shared by neighbours, but your keys take turns: a query looks with "
            "one head and takes away the values of another.",
        ),
        Mistake(
            "first-head-for-all",
            with_heads(first_only, first_only),
            "All your query heads use key/value head 0. That is right for K = 1 only.",
        ),
        Mistake(
            "averaged",
            with_heads(averaged, averaged),
            "You average the key/value heads, so that all queries share one. Each group has its "
            "own.",
        ),
        Mistake(
            "divided-by-K",
            lambda query, key, value: torch.stack(
                [
                    package.attention(query[:, h], key[:, h // K], value[:, h // K])
                    for K in [key.shape[1]]
                    for h in range(query.shape[1])
                ],
                1,
            ),
            "You divide the number of the query head by K. Each key/value head serves H / K query "
            "heads: divide by that.",
        ),
        Mistake(
            "scaled-by-the-width",
            lambda query, key, value: package.attention(
                query,
                blocks(key, query.shape[1]),
                blocks(value, query.shape[1]),
                scale=(query.shape[1] * query.shape[-1]) ** -0.5,
            ),
            "You divide by the root of H · d, the width of the model. A score adds up d products.",
        ),
        Mistake(
            "K-times",
            with_heads(K_times, K_times),
            "You repeat each key/value head K times. How many query heads does one of them serve?",
        ),
        Mistake(
            "not-repeated",
            with_heads(as_they_come, as_they_come),
            "H query heads meet K key heads, which fits only for K = 1 and K = H. Each key/value "
            "head is needed once for every query head that it serves, along the axis of the heads.",
        ),
        Mistake(
            "queries-averaged",
            lambda query, key, value: package.attention(
                query.unflatten(1, (key.shape[1], -1)).mean(2), key, value
            ),
            "You bring the queries down to K heads. The result keeps all H of them.",
        ),
        Mistake(
            "no-scale",
            with_heads(blocks, blocks, power=0.0),
            "The scores are not divided by √d.",
        ),
        Mistake(
            "softmax-over-queries",
            with_heads(blocks, blocks, dim=-2),
            "Your softmax runs over the queries. It has to run over the keys, the last axis.",
        ),
    ),
    hints=(
        "Write down for H = 6 and K = 2 which key/value head each of the six query heads uses.",
        "Query head h uses key/value head h // (H / K). Give each query head its own copy, then it "
        "is ordinary attention.",
        "repeat_interleave along the axis of the heads, H // K times, for keys and values alike. "
        "Then the softmax of query @ key.transpose(-2, -1) / √d, times the values.",
    ),
    source=(grouped_query, package.MultiHeadAttention.shared),
)


EXERCISES = (SPLIT, MERGE, MULTI, TO_TORCH, GROUPED)
