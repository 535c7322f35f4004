"""The exercises of lesson 04: masks. One rule: mask[t, s] is True when t may look at s."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer_lab import attention as package
from transformer_lab import masks
from transformer_lab.exercises.common import as_number, numbers, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit, as_tensor


def as_mask(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """A boolean mask, as whole numbers: the general diagnoses calculate with what they compare."""
    mask = as_tensor(inputs, output)
    if mask.dtype != torch.bool:
        kind = str(mask.dtype).removeprefix("torch.")
        raise Unfit(
            f"Your mask holds numbers ({kind}). Here a mask is boolean, True or False: neither 0 "
            "and 1 nor 0 and -inf. A comparison gives booleans, and so does dtype=torch.bool."
        )
    return mask.long()


# --- causal mask


def causal_mask(T: int, S: int) -> Tensor:
    """Each of the last T of S positions may look at itself and back: bool (T, S)."""
    return masks.causal_mask(T, S)


def causal_cases() -> list[Case]:
    sizes = [(3, 3), (1, 1), (2, 2), (2, 3), (1, 4), (2, 5), (4, 5), (3, 7)]
    return [Case(f"T = {T}, S = {S}", (T, S)) for T, S in sizes]


def table(T: int, S: int, rule: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """rule(t, s) for every query t and every key s: (T, S)."""
    return rule(torch.arange(T)[:, None], torch.arange(S)[None])


CAUSAL = Exercise(
    id="causal_mask",
    lesson="04",
    title="Nobody looks ahead",
    minutes=4,
    difficulty=1,
    prompt="""
Write `my_causal_mask(T, S)`: a boolean table `(T, S)`, True where query `t` may look at key `s`.
Each position may look at itself and at everything before it. There are S positions, and the queries
are the last T of them: query 0 is position `S - T`, the last query is the last position. `S = T` is
the usual case. `S > T` is what you need when earlier keys are kept and only new queries come.""",
    reference=causal_mask,
    cases=causal_cases,
    observe=as_mask,
    mistakes=(
        Mistake(
            "polarity",
            lambda T, S: ~causal_mask(T, S),
            "Your mask allows what it should forbid, and the other way round. True means: may "
            "look.",
        ),
        Mistake(
            "self-forbidden",
            lambda T, S: table(T, S, lambda t, s: s < t + S - T),
            "No position may look at itself here, and the first of all sees nothing. A position "
            "sees itself too.",
        ),
        Mistake(
            "one-too-far",
            lambda T, S: table(T, S, lambda t, s: s <= t + S - T + 1),
            "Each position also sees the next one: a leak of one step. Where does your diagonal "
            "begin?",
        ),
        Mistake(
            "from-the-first-key",
            lambda T, S: table(T, S, lambda t, s: s <= t),
            "Right for S = T. With more keys than queries, query 0 is not position 0: it stands "
            "behind S - T earlier keys and may see all of them.",
        ),
        Mistake(
            "offset-backwards",
            lambda T, S: table(T, S, lambda t, s: s <= t + T - S),
            "Right for S = T. With earlier keys each query should see more, yours sees less: the "
            "shift has the wrong sign.",
        ),
        Mistake(
            "future",
            lambda T, S: table(T, S, lambda t, s: s >= t + S - T),
            "Your triangle points the other way: each position sees itself and the future.",
        ),
        Mistake(
            "keys-by-queries",
            lambda T, S: causal_mask(T, S).mT,
            "Rows and columns are swapped: a row belongs to a query, a column to a key.",
        ),
        Mistake(
            "earlier-keys-missing",
            lambda T, S: causal_mask(T, T),
            "Your table has T columns. There is one column for each of the S keys.",
        ),
        Mistake(
            "all-positions-ask",
            lambda T, S: causal_mask(S, S),
            "Your table has a row for each of the S positions. Only the last T of them ask.",
        ),
        Mistake(
            "all-allowed",
            lambda T, S: torch.ones(T, S, dtype=torch.bool),
            "Everything is allowed here: no mask at all.",
        ),
    ),
    hints=(
        "Draw T = 2, S = 4 by hand. Which two positions ask? What does each of them see?",
        "Query t is position S - T + t. Compare that with the position of each key.",
        "A lower triangle, whose diagonal is moved to the right by S - T. torch's tril can move "
        "it; a comparison of two aranges, one of them a column, does as well.",
    ),
    source=(masks.causal_mask,),
)


# --- padding mask


def padding_mask(lengths: Tensor, S: int) -> Tensor:
    """Every position may look at the real tokens only: lengths (B,) -> bool (B, 1, S)."""
    return masks.padding_mask(lengths, S)


def padding_cases() -> list[Case]:
    samples = {
        "two samples": ([2, 3], 3),
        "one token": ([1], 1),
        "more room than needed": ([2], 4),
        "B = S": ([1, 3, 2], 3),
        "an empty sample": ([0, 4, 2], 5),
        "no padding": ([4, 4], 4),
    }
    cases = [Case(name, (torch.tensor(n), S)) for name, (n, S) in samples.items()]
    return [*cases, Case("int32", (torch.tensor([5, 1], dtype=torch.int32), 6))]


def real(lengths: Tensor, S: int) -> Tensor:
    """True for the real tokens: (B, S)."""
    return torch.arange(S) < lengths[:, None]


PADDING = Exercise(
    id="padding_mask",
    lesson="04",
    title="Nobody looks at padding",
    minutes=4,
    difficulty=1,
    prompt="""
Sentences of a batch differ in length. Short ones are filled up at the end with padding, until each
holds S tokens. Write `my_padding_mask(lengths, S)`: from `lengths` `(B,)`, the number of real
tokens of each sample, make a boolean mask `(B, 1, S)`, True where the key is a real token. The axis
of length 1 stands for the queries: the same rule for all of them.""",
    reference=padding_mask,
    cases=padding_cases,
    observe=as_mask,
    mistakes=(
        Mistake(
            "polarity",
            lambda lengths, S: ~padding_mask(lengths, S),
            "Your mask is True at the padding. True means: may look.",
        ),
        Mistake(
            "one-too-many",
            lambda lengths, S: (torch.arange(S) <= lengths[:, None])[:, None],
            "The first padding token counts as real. Positions are counted from 0: which is the "
            "last real one?",
        ),
        Mistake(
            "one-too-few",
            lambda lengths, S: padding_mask((lengths - 1).clamp(min=0), S),
            "The last real token of each sample is missing. Positions are counted from 0: which "
            "is the last real one?",
        ),
        Mistake(
            "axis-missing",
            real,
            "The numbers are right, the axis for the queries is missing. Without it, (B, S) "
            "meets a table (T, S) as if samples were queries.",
        ),
        Mistake(
            "axis-last",
            lambda lengths, S: real(lengths, S)[:, :, None],
            "The axis of length 1 stands last, where the keys are: so you forbid queries instead "
            "of keys. The keys come last.",
        ),
        Mistake(
            "axis-first",
            lambda lengths, S: real(lengths, S)[None],
            "The axis of length 1 stands first, where the samples are. The samples come first.",
        ),
        Mistake(
            "own-length",
            lambda lengths, S: padding_mask(lengths, int(lengths.max())),
            "You make the mask as long as the longest sample. It is to have S columns: the batch "
            "may be padded further.",
        ),
        Mistake(
            "padding-in-front",
            lambda lengths, S: padding_mask(lengths, S).flip(-1),
            "Your padding stands in front. Here it stands at the end.",
        ),
        Mistake(
            "queries-too",
            lambda lengths, S: real(lengths, S)[:, :, None] & real(lengths, S)[:, None],
            "You forbid padding as queries too. Only keys are hidden: one row for all queries.",
        ),
        Mistake(
            "last-only",
            lambda lengths, S: (torch.arange(S) == lengths[:, None] - 1)[:, None],
            "Only the last real token is allowed. All the ones before it are real too.",
        ),
    ),
    hints=(
        "Take one sample of length 2 and S = 4. Which of the positions 0, 1, 2, 3 are real?",
        "torch.arange(S) gives all positions. Compare them with the lengths: a column of B against "
        "a row of S gives (B, S).",
        "A position is real when it is below the length. Then put the axis for the queries "
        "between the two, by indexing with None or by unsqueeze.",
    ),
    source=(masks.padding_mask,),
)


# --- masked weights


def masked_weights(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the allowed keys, zeros in a row that allows none: (..., T, S)."""
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(-1).masked_fill(~mask, 0.0)


def masked_cases() -> list[Case]:
    def cells(rows: str) -> Tensor:
        return torch.tensor([[cell == "x" for cell in row] for row in rows.split()])

    ahead = torch.tensor([[0.0, 1.0, 200.0], [3.0, 200.0, 2.0]])
    low = torch.tensor([[-20000.0, -20001.0, -19999.0], [-20002.0, -20000.0, 0.0]])
    large = torch.tensor([[9000.0, 9001.0, -9000.0], [500.0, 9002.0, 9000.0]])
    pads = masks.padding_mask(torch.tensor([2, 4, 0]), 4)
    double = numbers(8, 2, 3, 4, dtype=torch.float64)
    return [
        Case("a causal mask", (torch.tensor([[1.0, 2.0], [0.5, 1.0]]), cells("x. xx"))),
        Case("a row with nothing allowed", (numbers(1, 2, 3), cells("x.x ..."))),
        Case("all allowed", (numbers(2, 2, 3), cells("xxx xxx"))),
        Case("T = S", (numbers(3, 3, 3) * 2, cells("xx. .xx xxx"))),
        Case("a batch with padding", (numbers(4, 3, 2, 4), pads)),
        Case("a batch of heads", (numbers(5, 3, 2, 4, 4), masks.causal_mask(4) & pads[:, None])),
        Case("B = H = T = S", (numbers(6, 3, 3, 3, 3), cells("..x xx. x.x"))),
        Case("a forbidden score far ahead", (ahead, cells("xx. x.x"))),
        Case("all scores near -20,000", (low, cells("xx. xx."))),
        Case("large scores", (large, cells("xxx .xx"))),
        Case("float64", (double, cells(".x.x .... xxx."))),
        Case("not contiguous", (strided(numbers(7, 2, 4)), cells("xx.x .x.."))),
    ]


def filled(scores: Tensor, mask: Tensor, number: float) -> Tensor:
    """Softmax after `number` has taken the place of every forbidden score."""
    return scores.masked_fill(~mask, number).softmax(-1)


def kept(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over all keys, then zeros at the forbidden ones."""
    return scores.softmax(-1) * mask


def sum_detached(scores: Tensor, mask: Tensor) -> Tensor:
    hidden = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    powers = (hidden - hidden.amax(-1, keepdim=True).detach()).exp() * mask
    return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30).detach()


MASKED = Exercise(
    id="masked_weights",
    lesson="04",
    title="Weights under a mask",
    minutes=7,
    difficulty=2,
    prompt="""
Write `my_masked_weights(scores, mask)`: attention weights from scores `(..., T, S)` and a boolean
mask that broadcasts to them, True = may look. Softmax runs over the allowed keys of each row: they
share the whole weight, forbidden keys get 0. A row in which nothing is allowed becomes all zeros.
Scores may be large, like 10,000 or -20,000. Gradients are compared as well: they must be right, and
finite in every row.""",
    reference=masked_weights,
    cases=masked_cases,
    gradients=True,
    mistakes=(
        Mistake(
            "mask-after-softmax",
            kept,
            "You mask after the softmax. The forbidden keys have already taken their share, so "
            "the rest sums to less than 1, and depends on what should be hidden.",
        ),
        Mistake(
            "renormalised",
            lambda scores, mask: kept(scores, mask) / kept(scores, mask).sum(-1, keepdim=True),
            "You mask after exp, or after the softmax, and divide. A row with nothing allowed is "
            "then 0 / 0. Where a forbidden score is far larger, nothing is left for the others, or "
            "its exp is infinite, and infinite times 0 is NaN. Mask the scores instead.",
        ),
        Mistake(
            "renormalised-with-eps",
            lambda scores, mask: (
                kept(scores, mask) / (kept(scores, mask).sum(-1, keepdim=True) + 1e-9)
            ),
            "You mask after the softmax and divide again. One far larger forbidden score has then "
            "left nothing for the allowed ones. Mask the scores instead.",
        ),
        Mistake(
            "largest-of-all",
            lambda scores, mask: (
                kept(scores, mask) / kept(scores, mask).sum(-1, keepdim=True).clamp(min=1e-9)
            ),
            "The largest score of a row may be a forbidden one. Subtract that, and every allowed "
            "exp is 0. Take the largest of the allowed scores.",
        ),
        Mistake(
            "mask-added",
            lambda scores, mask: (scores + mask).softmax(-1),
            "You add True and False, as 1 and 0. A forbidden key keeps its score and most of its "
            "weight.",
        ),
        Mistake(
            "mask-multiplied",
            lambda scores, mask: (scores * mask).softmax(-1) * mask,
            "You multiply scores by the mask: a forbidden score becomes 0. exp(0) is 1 and takes "
            "its share of the sum before you set the weight to 0.",
        ),
        Mistake(
            "empty-row-nan",
            lambda scores, mask: filled(scores, mask, -math.inf),
            "Right, but for rows with nothing allowed: a softmax of -inf alone is 0 / 0, NaN. "
            "Which number is low enough and still a number?",
        ),
        Mistake(
            "empty-row-uniform",
            lambda scores, mask: filled(scores, mask, -1e9),
            "Right, but for rows with nothing allowed: there all scores are equal, so the weights "
            "are too, and the row looks at padding. It should be zeros. What can be done after "
            "the softmax?",
        ),
        Mistake(
            "fill-too-high",
            lambda scores, mask: filled(scores, mask, -1e4) * mask,
            "The number that stands for a forbidden score is not low enough: where the real "
            "scores lie below it, the forbidden keys win. How low can this dtype go?",
        ),
        Mistake(
            "zero-score",
            lambda scores, mask: filled(scores, mask, 0.0),
            "You give forbidden keys a score of 0, or one very near it. exp(0) is 1, so they still "
            "get weight. Which score gives a weight of 0?",
        ),
        Mistake(
            "polarity",
            lambda scores, mask: masked_weights(scores, ~mask),
            "You hide what is allowed and show what is forbidden. True means: may look.",
        ),
        Mistake(
            "mask-ignored",
            lambda scores, mask: scores.softmax(-1),
            "Your mask has no effect. masked_fill gives back a new tensor: do you use it?",
        ),
        Mistake(
            "softmax-over-queries",
            lambda scores, mask: (
                scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-2) * mask
            ),
            "Your softmax runs over the queries: columns sum to 1. It has to run over the keys.",
        ),
        Mistake(
            "infinity-added",
            lambda scores, mask: (
                (scores + torch.zeros_like(scores).masked_fill(~mask, -math.inf))
                .softmax(-1)
                .nan_to_num()
            ),
            "Your result is right, but the gradient of a row with nothing allowed is NaN. Clearing "
            "NaN from the result does not clear it on the way back. Let no row be -inf alone.",
        ),
        Mistake(
            "sum-detached",
            sum_detached,
            "Your result is right, but its gradient is not: the sum that you divide by is cut off "
            "from the scores. It depends on them too.",
        ),
    ),
    hints=(
        "Softmax first and mask afterwards is too late. What must a score be, so that its weight "
        "becomes 0?",
        "-inf does that, but a row of -inf alone gives NaN. The lowest finite number of the dtype, "
        "torch.finfo(scores.dtype).min, does it as well.",
        "Fill the forbidden scores with that lowest number, take the softmax over the keys, then "
        "set the forbidden weights to 0: that repairs the rows with nothing allowed.",
    ),
    source=(masked_weights, package.attention_weights),
)


# --- which mask goes where


def combine_masks(
    source_lengths: Tensor, target_lengths: Tensor, S: int, T: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Masks for encoder (B, 1, S), decoder (B, T, T) and cross-attention (B, 1, S)."""
    source = masks.padding_mask(source_lengths, S)
    target = masks.padding_mask(target_lengths, T)
    return source, masks.causal_mask(T) & target, source


def grids(inputs: tuple[Any, ...]) -> dict[str, tuple[int, int, int]]:
    """The full shape (B, queries, keys) of each of the three masks."""
    source_lengths, _, S, T = inputs
    B = len(source_lengths)
    return {"encoder": (B, S, S), "decoder": (B, T, T), "cross": (B, T, S)}


def three_masks(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """The three masks, each in its full shape, in one row."""
    if not isinstance(output, (tuple, list)) or len(output) != 3:
        raise Unfit("Return three masks: `return encoder, decoder, cross`.")
    whole = []
    for (name, shape), part in zip(grids(inputs).items(), output, strict=True):
        mask = as_mask(inputs, part)
        try:
            whole.append(mask.expand(shape).flatten())
        except RuntimeError:
            raise Unfit(
                f"Your {name} mask has shape {tuple(mask.shape)}, which does not broadcast to "
                f"(B, queries, keys) = {shape}. The order is encoder, decoder, cross."
            ) from None
    return torch.cat(whole)


def first_difference(inputs: tuple[Any, ...], observed: Tensor) -> str:
    """The first cell of the three masks that is wrong, in words."""
    wanted = three_masks(inputs, combine_masks(*inputs))
    for name, shape in grids(inputs).items():
        size = math.prod(shape)
        right, mask = wanted[:size].view(shape), observed[:size].view(shape)
        wanted, observed = wanted[size:], observed[size:]
        wrong = (right != mask).nonzero().tolist()
        if wrong:
            b, t, s = wrong[0]
            does, should = ("may not", "should") if right[b, t, s] else ("may", "should not")
            return (
                f"In your {name} mask, query {t} of sample {b} {does} look at key {s} but "
                f"{should}. Wrong cells of this mask: {len(wrong)} of {size}."
            )
    return ""


def combined_cases() -> list[Case]:
    samples = {
        "one sample": ([2], [1], 3, 2),
        "one source token": ([1], [3], 1, 3),
        "two samples": ([3, 1], [2, 4], 3, 4),
        "source longer than target": ([4, 5], [3, 2], 5, 3),
        "B = S = T": ([3, 1, 2], [1, 2, 3], 3, 3),
        "an empty source": ([0, 2], [2, 2], 2, 2),
        "no padding": ([3, 3, 3], [2, 2, 2], 3, 2),
    }
    return [
        Case(name, (torch.tensor(source), torch.tensor(target), S, T))
        for name, (source, target, S, T) in samples.items()
    ]


Part = Callable[[Tensor, Tensor], Tensor]


def with_masks(**parts: Part) -> Callable[..., tuple[Tensor, ...]]:
    """The right masks but for these, made from the keys' padding: (B, 1, S) and (B, 1, T)."""

    def three(source_lengths: Tensor, target_lengths: Tensor, S: int, T: int) -> tuple[Tensor, ...]:
        right = combine_masks(source_lengths, target_lengths, S, T)
        padding = real(source_lengths, S)[:, None], real(target_lengths, T)[:, None]
        named = zip(("encoder", "decoder", "cross"), right, strict=True)
        return tuple(parts[name](*padding) if name in parts else part for name, part in named)

    return three


def causal(queries: Tensor, keys: Tensor) -> Tensor:
    """A lower triangle, square or not, as large as these two say."""
    return torch.ones(queries.shape[-1], keys.shape[-1], dtype=torch.bool).tril()


def one_more(padding: Tensor) -> Tensor:
    """The mask (B, 1, S) that takes the first padding token for a real one."""
    S = padding.shape[-1]
    return padding_mask((padding.sum((1, 2)) + 1).clamp(max=S), S)


COMBINE = Exercise(
    id="combine_masks",
    lesson="04",
    title="Which mask goes where?",
    minutes=7,
    difficulty=2,
    prompt="""
A translator reads a padded source (S tokens) and writes a padded target (T tokens). In the encoder,
source tokens look at each other; in the decoder, target tokens do; in cross-attention, target
tokens look at source tokens. Write `my_masks(source_lengths, target_lengths, S, T)`, which ends
`return encoder, decoder, cross`. Lengths are `(B,)`, padding stands at the end. Nobody looks at
padding, and no target token at later target tokens. Hide keys, not queries: a padding query follows
the same rules. Boolean, in any shape that broadcasts to `(B, queries, keys)`.""",
    reference=combine_masks,
    cases=combined_cases,
    observe=three_masks,
    judge=first_difference,
    mistakes=(
        Mistake(
            "decoder-sees-ahead",
            with_masks(decoder=lambda source, target: target),
            "Your decoder mask hides the padding, but lets the decoder look ahead.",
        ),
        Mistake(
            "decoder-sees-padding",
            with_masks(decoder=lambda source, target: causal(target, target)),
            "Your decoder mask is causal, but lets queries look at the padding of the target. Two "
            "rules hold at once.",
        ),
        Mistake(
            "or",
            with_masks(decoder=lambda source, target: causal(target, target) | target),
            "Your decoder mask allows a key when one rule allows it. Both rules have to.",
        ),
        Mistake(
            "cross-causal",
            with_masks(cross=lambda source, target: causal(target, source) & source),
            "Your cross mask is causal. The source is complete before the decoder begins, so every "
            "target token may read all of it.",
        ),
        Mistake(
            "encoder-causal",
            with_masks(encoder=lambda source, target: causal(source, source) & source),
            "Your encoder mask is causal. The source is known as a whole: each of its tokens may "
            "look both ways.",
        ),
        Mistake(
            "cross-by-target",
            with_masks(cross=lambda source, target: target),
            "Your cross mask hides the padding of the target. In cross-attention the keys are "
            "source tokens: whose padding is to be hidden?",
        ),
        Mistake(
            "cross-queries-too",
            with_masks(cross=lambda source, target: target.mT & source),
            "Your cross mask also forbids padding queries to look. Only keys are hidden.",
        ),
        Mistake(
            "queries-too",
            with_masks(
                encoder=lambda source, target: source.mT & source,
                decoder=lambda source, target: causal(target, target) & target.mT & target,
                cross=lambda source, target: target.mT & source,
            ),
            "You forbid padding queries to look at anything. Only keys are hidden: what padding "
            "sees does no harm, since nobody looks at padding.",
        ),
        Mistake(
            "encoder-queries-too",
            with_masks(encoder=lambda source, target: source.mT & source),
            "Your encoder mask also forbids padding queries to look. Only keys are hidden.",
        ),
        Mistake(
            "decoder-queries-too",
            with_masks(decoder=lambda source, target: causal(target, target) & target.mT & target),
            "Your decoder mask also forbids padding queries to look. Only keys are hidden.",
        ),
        Mistake(
            "one-too-many",
            with_masks(
                encoder=lambda source, target: one_more(source),
                decoder=lambda source, target: causal(target, target) & one_more(target),
                cross=lambda source, target: one_more(source),
            ),
            "The first padding token counts as real. Positions are counted from 0: position n is "
            "the first behind n real tokens.",
        ),
        Mistake(
            "polarity",
            with_masks(
                encoder=lambda source, target: ~source,
                decoder=lambda source, target: ~(causal(target, target) & target),
                cross=lambda source, target: ~source,
            ),
            "All three masks say the opposite of what they should. True means: may look.",
        ),
        Mistake(
            "no-query-axis",
            with_masks(
                encoder=lambda source, target: source[:, 0],
                decoder=lambda source, target: causal(target, target) & target[:, 0],
                cross=lambda source, target: source[:, 0],
            ),
            "A padding mask (B, S) has no axis for the queries: it meets a table (T, S) as if "
            "samples were queries. Where B and T are equal there is not even an error.",
        ),
        Mistake(
            "decoder-first",
            with_masks(
                encoder=lambda source, target: causal(target, target) & target,
                decoder=lambda source, target: source,
            ),
            "The masks come in the wrong order: encoder, decoder, cross.",
        ),
    ),
    hints=(
        "For each of the three, ask: who are the queries, who are the keys? The padding of the "
        "keys is what has to be hidden.",
        "Encoder: keys are source tokens. Cross: keys are source tokens as well. Decoder: keys are "
        "target tokens, and the causal rule holds too.",
        "A padding mask is (B, 1, keys), a causal one (T, T). With & they broadcast to (B, T, T). "
        "Two of the three masks are the same tensor.",
    ),
)


# --- the opposite polarity


def to_torch_ignore(mask: Tensor, H: int) -> Tensor:
    """attn_mask for nn.MultiheadAttention, True = ignore: (T, S), or (B, T, S) -> (B·H, T, S)."""
    ignore = masks.to_torch_ignore(mask)
    return ignore if mask.dim() == 2 else ignore.repeat_interleave(H, 0)


def polarity_cases() -> list[Case]:
    def mixed(seed: int, *shape: int) -> Tensor:
        return numbers(seed, *shape) > -0.3

    three = masks.causal_mask(3) & masks.padding_mask(torch.tensor([3, 1]))
    return [
        Case("a causal mask", (masks.causal_mask(2), 2)),
        Case("more keys than queries", (masks.causal_mask(2, 5), 3)),
        Case("one head", (mixed(1, 3, 2, 4), 1)),
        Case("one sample", (mixed(2, 1, 3, 4), 2)),
        Case("causal and padding", (three, 2)),
        Case("T = S = B = H", (mixed(3, 3, 3, 3), 3)),
        Case("not square", (mixed(4, 4, 2, 5), 2)),
        Case("one query", (masks.padding_mask(torch.tensor([1, 3])), 4)),
    ]


def for_heads(mask: Tensor, H: int) -> Tensor:
    """Each sample's table once for each head, where there is a batch."""
    return mask if mask.dim() == 2 else mask.repeat_interleave(H, 0)


POLARITY = Exercise(
    id="to_torch_ignore",
    lesson="04",
    title="True means the opposite",
    minutes=5,
    difficulty=2,
    prompt="""
torch's `nn.MultiheadAttention` takes one boolean tensor, `attn_mask`, in which True means: do
*not* look. It is `(T, S)`, one table for all samples and heads; or `(B * H, T, S)`, a table for
each head of each sample, in this order: first all H heads of sample 0, then all H heads of sample
1, and so on. Write `my_torch_mask(mask, H)`. It gets one of our masks, `(T, S)` or `(B, T, S)`,
True = may look, and returns the same rule as `attn_mask` for H heads.""",
    reference=to_torch_ignore,
    cases=polarity_cases,
    observe=as_mask,
    mistakes=(
        Mistake(
            "same-polarity",
            for_heads,
            "The shape is right, but True still means: may look. torch would hide the past and "
            "show the future.",
        ),
        Mistake(
            "samples-within-heads",
            lambda mask, H: ~mask if mask.dim() == 2 else (~mask).repeat(H, 1, 1),
            "Your tables come in the order sample 0, sample 1, … and then all again. So most "
            "heads get the mask of another sample, without any error. All heads of one sample "
            "come first.",
        ),
        Mistake(
            "heads-forgotten",
            lambda mask, H: ~mask,
            "Right for (T, S). For (B, T, S) each sample's table is needed once for each head.",
        ),
        Mistake(
            "head-axis",
            lambda mask, H: (
                ~mask if mask.dim() == 2 else (~mask)[:, None].expand(-1, H, -1, -1).clone()
            ),
            "You give the heads an axis of their own. torch wants samples and heads in one axis, "
            "B * H.",
        ),
        Mistake(
            "head-axis-of-one",
            lambda mask, H: ~mask if mask.dim() == 2 else (~mask)[:, None],
            "An axis of length 1 for the heads is what our own attention takes. torch wants "
            "samples and heads in one axis, B * H.",
        ),
        Mistake(
            "two-axes-repeated",
            lambda mask, H: (
                (~mask).expand(H, *mask.shape) if mask.dim() == 2 else for_heads(~mask, H)
            ),
            "A (T, S) mask stays (T, S): torch uses it for all samples and heads by itself.",
        ),
        Mistake(
            "rows-repeated",
            lambda mask, H: (~mask).repeat_interleave(H, 0),
            "Right for (B, T, S). The first axis of a (T, S) mask holds the queries, not samples: "
            "it stays as it is.",
        ),
        Mistake(
            "batch-lost",
            lambda mask, H: ~mask if mask.dim() == 2 else ~mask[0],
            "You keep the table of one sample for all of them. Samples differ in their padding.",
        ),
        Mistake(
            "transposed-instead",
            lambda mask, H: for_heads(mask.mT, H),
            "You swap queries and keys. That looks like the opposite of a causal mask, but it "
            "forbids each position to see itself. The opposite changes each cell where it stands.",
        ),
        Mistake(
            "both",
            lambda mask, H: for_heads(~mask.mT, H),
            "Each cell says the opposite, as it should, but rows and columns are swapped too. "
            "They stay: (T, S) here and in torch.",
        ),
        Mistake(
            "only-two-axes-turned",
            lambda mask, H: ~mask if mask.dim() == 2 else for_heads(mask, H),
            "(T, S) is right. For (B, T, S), True still means: may look.",
        ),
    ),
    hints=(
        "Two things to do: turn every cell round, and, where there is a batch, repeat each table "
        "for the heads.",
        "~mask turns every cell of a boolean tensor round. mask.dim() tells whether there is a "
        "batch.",
        "There are two ways to repeat: 0 1 0 1 (repeat) and 0 0 1 1 (repeat_interleave). Which is "
        "the order of torch, along the first axis?",
    ),
    source=(to_torch_ignore, masks.to_torch_ignore),
)


# --- find the leak


class Layer:
    """A function (T, D) -> (T, D) that says what it is when it is shown."""

    def __init__(self, name: str, leak: int, function: Callable[[Tensor], Tensor]) -> None:
        self._name, self._leak, self._function = name, leak, function

    def __call__(self, x: Tensor) -> Tensor:
        return self._function(x)

    def __repr__(self) -> str:
        return self._name


def find_the_leak(f: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """The first position whose output changes when only later inputs change; -1 if none does."""
    before = f(x)
    for t in range(len(x) - 1):
        changed = x.clone()
        changed[t + 1 :] = torch.randn_like(x[t + 1 :])
        if (f(changed)[t] - before[t]).abs().max() > 1e-5:
            return t
    return -1


W_QUERY, W_KEY, W_VALUE = numbers(30, 3, 4, 4) / 2


def scores(x: Tensor) -> Tensor:
    return (x @ W_QUERY) @ (x @ W_KEY).mT / 2


def attends(rule: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Attention in which t may look at s where rule(t, s) is True."""
    return lambda x: masked_weights(scores(x), table(len(x), len(x), rule)) @ (x @ W_VALUE)


def fills_with_minus_three(x: Tensor) -> Tensor:
    return filled(scores(x), masks.causal_mask(len(x)), -3.0) @ (x @ W_VALUE)


def sums_over_queries(x: Tensor) -> Tensor:
    hidden = scores(x).masked_fill(~masks.causal_mask(len(x)), -math.inf)
    return hidden.softmax(-2) @ (x @ W_VALUE)


def subtracts_the_future(x: Tensor) -> Tensor:
    """A running sum, made from the sum of all: what is later cancels but for rounding."""
    return x.sum(0) - (x.flip(0).cumsum(0).flip(0) - x)


def averages_one_feature(x: Tensor) -> Tensor:
    return torch.cat([x[:, :1].mean(0).expand(len(x), 1), x[:, 1:].cumsum(0)], 1)


def normed(x: Tensor, axes: tuple[int, ...] = (4,)) -> Tensor:
    """LayerNorm; with this eps, adding a number to all features or scaling them changes nothing."""
    return F.layer_norm(x, axes, eps=1e-12)


def leak_cases() -> list[Case]:
    past = attends(lambda t, s: s <= t)
    stray = attends(lambda t, s: (s <= t) | ((t == 2) & (s == 4)))
    outgrown = attends(lambda t, s: (s <= t) | (t > 2))
    layers: list[tuple[int, str, int, Callable[[Tensor], Tensor]]] = [
        (2, "attention without a mask", 0, attends(lambda t, s: s >= 0)),
        (1, "attention without a mask, one token", -1, attends(lambda t, s: s >= 0)),
        (3, "attention with a causal mask", -1, past),
        (3, "a triangle one too far", 0, attends(lambda t, s: s <= t + 1)),
        (4, "a triangle upside down", 0, attends(lambda t, s: s >= t)),
        (6, "a causal mask with one stray cell", 2, stray),
        (6, "a causal mask made for three tokens, used for six", 3, outgrown),
        (4, "everyone sees the last token too", 0, attends(lambda t, s: (s <= t) | (s == 3))),
        (3, "a causal mask after the softmax", 0, lambda x: scores(x).softmax(-1).tril() @ x),
        (3, "-3 in place of forbidden scores", 0, fills_with_minus_three),
        (3, "a causal mask, and softmax over the queries", 0, sums_over_queries),
        (3, "causal attention, LayerNorm over all", 0, lambda x: normed(past(x), x.shape)),
        (4, "a running sum, one feature averaged over all", 0, averages_one_feature),
        (6, "a stray cell that sees only sizes", 2, lambda x: stray(x.abs())),
        (6, "LayerNorm, then a stray cell", 2, lambda x: stray(normed(x))),
        (6, "a stray cell, then LayerNorm", 2, lambda x: normed(stray(x))),
        (4, "each token by itself", -1, lambda x: (x @ W_VALUE).tanh()),
        (4, "only what came before, not itself", -1, attends(lambda t, s: s < t)),
        (4, "two causal layers", -1, lambda x: past(past(x) + x)),
        (5, "the sum of all less what comes later", -1, subtracts_the_future),
    ]
    return [
        Case(f"T = {T}", (Layer(name, leak, function), numbers(40 + index, T, 4)))
        for index, (T, name, leak, function) in enumerate(layers)
    ]


def as_position(inputs: tuple[Any, ...], output: Any) -> Tensor:
    if isinstance(output, bool) or not isinstance(output, (int, float, Tensor, type(None))):
        kind = type(output).__name__
        raise Unfit(f"Your function returns a value of type {kind}; expected a position, or -1.")
    return as_number(inputs, output)


def names_the_leak(inputs: tuple[Any, ...], position: Tensor) -> str:
    right, said = inputs[0]._leak, float(position)
    if said == right:
        return ""
    if right < 0:
        return "There is no leak here: no output changes when only later inputs change."
    if said < 0:
        return (
            f"There is a leak here: the output at position {right} sees the future. A leak may be "
            "small; only a move below 1e-5 is rounding."
        )
    return f"The first output that sees the future is at position {right}, not {said:g}."


def here(t: int) -> slice:
    return slice(t, t + 1)


def after(t: int) -> slice:
    return slice(t + 1, None)


def first(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    change: Callable[[int], slice] = after,
    look: Callable[[int], slice] = here,
    new: Callable[[Tensor], Tensor] = torch.randn_like,
    limit: float = 1e-5,
) -> int:
    """The first t for which the outputs look(t) move when the inputs change(t) do, or -1."""
    before = f(x)
    for t in range(len(x)):
        changed = x.clone()
        changed[change(t)] = new(x[change(t)])
        if ((f(changed) - before)[look(t)].abs() > limit).any():
            return t
    return -1


def moves_x_itself(f: Callable[[Tensor], Tensor], x: Tensor) -> int:
    before = f(x)
    for t in range(len(x)):
        x[t + 1 :] = torch.randn_like(x[t + 1 :])
        if bool(((f(x) - before)[t].abs() > 1e-5).any()):
            return t
    return -1


def after_nan(f: Callable[[Tensor], Tensor], x: Tensor, t: int) -> bool:
    """Whether output t is NaN once all later inputs are."""
    changed = x.clone()
    changed[t + 1 :] = math.nan
    return bool(f(changed)[t].isnan().any())


def by_the_gradient_of_a_sum(f: Callable[[Tensor], Tensor], x: Tensor) -> int:
    x = x.clone().requires_grad_()
    slopes = [torch.autograd.grad(f(x)[t].sum(), x)[0][t + 1 :] for t in range(len(x))]
    return next((t for t, slope in enumerate(slopes) if slope.abs().sum() > 1e-5), -1)


LEAK = Exercise(
    id="find_the_leak",
    lesson="04",
    title="Find the leak",
    minutes=10,
    difficulty=3,
    prompt="""
`f` is a layer, `(T, D) -> (T, D)`. If it is causal, the output at position `t` depends on the
inputs 0 to `t` alone. You cannot look inside, but you may call it as often as you like. Write
`my_leak(f, x)`, where `x` `(T, D)` is one input: the first position whose output changes when only
*later* inputs change, or `-1` if there is none. Change inputs by amounts around 1. An output that
moves by less than 1e-5 has not changed: that is rounding.""",
    reference=find_the_leak,
    cases=leak_cases,
    observe=as_position,
    atol=0.4,
    judge=names_the_leak,
    mistakes=(
        Mistake(
            "never",
            lambda f, x: -1,
            "You never find a leak. Do you compare the output for a changed copy with that for x "
            "itself? `changed = x` is no copy, only a second name.",
        ),
        Mistake(
            "always",
            lambda f, x: 0,
            "You say 0 for every layer. Some of them are causal.",
        ),
        Mistake(
            "itself-changed",
            lambda f, x: first(f, x, change=lambda t: slice(t, None)),
            "You change the input at position t as well. The output there may depend on it. Change "
            "only what comes later.",
        ),
        Mistake(
            "all-outputs",
            lambda f, x: first(f, x, look=lambda t: slice(None)),
            "You compare the whole output. Later outputs may change when later inputs do; look at "
            "position t alone.",
        ),
        Mistake(
            "next-only",
            lambda f, x: first(f, x, change=lambda t: here(t + 1)),
            "You change only the input right after t. A mask may let t see one further on.",
        ),
        Mistake(
            "last-only",
            lambda f, x: first(f, x, change=lambda t: after(max(t, len(x) - 2))),
            "You change only the last input. A mask may let t see a later one that is not the "
            "last.",
        ),
        Mistake(
            "rounding",
            lambda f, x: first(f, x, limit=0.0),
            "You take rounding for a leak. A causal layer here moves a little, by less than 1e-5 "
            "where inputs change by amounts around 1. Allow for that, and do not change by more.",
        ),
        Mistake(
            "nan-put-in",
            lambda f, x: next((t for t in range(len(x) - 1) if after_nan(f, x, t)), -1),
            "You put NaN in. 0 times NaN is NaN, so it comes through where the weight is 0. Change "
            "the inputs to ordinary numbers.",
        ),
        Mistake(
            "itself-changed-too",
            lambda f, x: first(f, x[:-1], lambda t: slice(t, None)) if len(x) > 1 else -1,
            "You change position t along with what comes later: its own output may move then. "
            "Begin at t + 1.",
        ),
        Mistake(
            "sign-turned",
            lambda f, x: first(f, x, new=lambda rows: -rows),
            "You turn the signs only. A layer may leak the sizes of later inputs. Change them to "
            "other numbers.",
        ),
        Mistake(
            "one-number-added",
            lambda f, x: first(f, x, new=lambda rows: rows + 1),
            "You miss a leak behind a LayerNorm. It takes the mean off each token and divides by "
            "the spread: adding one number to all of a token's features, or scaling them, changes "
            "nothing behind it. Change the features differently.",
        ),
        Mistake(
            "sum-of-features",
            by_the_gradient_of_a_sum,
            "You add up the features of an output before you compare. Behind a LayerNorm that sum "
            "never changes, whatever leaks. Compare feature by feature.",
        ),
        Mistake(
            "past",
            lambda f, x: first(f, x, change=lambda t: slice(0, t)),
            "You change earlier inputs. Every layer may look at the past; a leak comes from later "
            "inputs.",
        ),
        Mistake(
            "x-itself-changed",
            moves_x_itself,
            "You change x itself, so from the second step on, position t differs as well. Work on "
            "a fresh copy each time.",
        ),
        Mistake(
            "source",
            lambda f, x: first(f, x, change=here, look=lambda t: slice(0, t)),
            "You name the input that leaks. Asked for is the first output that sees a later input.",
        ),
    ),
    hints=(
        "For one t: which inputs may you change, so that a causal layer's output at t must stay?",
        "Copy x, put random numbers into all rows after t, call f on both, and compare row t of "
        "the two outputs.",
        "Do that for t = 0, 1, 2, … and return the first t at which the largest difference of "
        "the two rows is above 1e-5. After the loop, return -1.",
    ),
)


EXERCISES = (CAUSAL, PADDING, MASKED, COMBINE, POLARITY, LEAK)
