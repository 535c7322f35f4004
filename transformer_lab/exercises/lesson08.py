"""The exercises of lesson 08: the encoder and the decoder translate number words.

Ids as in Vocabulary: 0 pads, 1 starts, 2 ends, but for the cases that choose others.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer_lab import attention as package
from transformer_lab.exercises.common import as_number, numbers, parts_of, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit, as_tensor


def ids(*rows: list[int]) -> Tensor:
    """Rows of token ids, (B, T)."""
    return torch.tensor(rows)


# --- shift right


def shift_right(targets: Tensor, start: int) -> Tensor:
    """What a decoder reads: start, then the targets without their last token; (B, T) -> (B, T)."""
    first = torch.full_like(targets[:, :1], start)
    return torch.cat([first, targets[:, :-1]], 1)


def shift_cases() -> list[Case]:
    padded = ids([7, 5, 2, 0, 0], [3, 4, 5, 6, 2], [9, 2, 0, 0, 0])
    return [
        Case("one sentence", (ids([5, 6, 2]), 1)),
        Case("padded", (padded, 1)),
        Case("B = T", (ids([5, 6, 2], [8, 9, 2], [3, 4, 2]), 1)),
        Case("three sentences of one token", (ids([4], [5], [6]), 1)),
        Case("starts with 9", (ids([5, 6, 7, 2], [8, 3, 2, 0]), 9)),
        Case("starts with the padding, as T5 does", (ids([5, 6, 7, 1], [8, 3, 1, 0]), 0)),
        Case("not contiguous", (padded.T.contiguous().T, 1)),
    ]


SHIFT = Exercise(
    id="shift_right",
    lesson="08",
    title="What the decoder may read",
    minutes=4,
    difficulty=1,
    prompt="""
In training the decoder reads the right answer, one place late: at place t it has read everything
before t and has to predict target t. Write `my_shift(targets, start)`, which makes its input from
the targets, `(B, T) -> (B, T)`: every sentence begins with the id `start`, each token moves one
place to the right, and the last one falls off. Padding moves like any token.""",
    reference=shift_right,
    cases=shift_cases,
    mistakes=(
        Mistake(
            "no-shift",
            lambda targets, start: targets.clone(),
            "The decoder reads the targets as they are. At place t it sees target t, the very "
            "token that it has to predict.",
        ),
        Mistake(
            "no-room-made",
            lambda targets, start: torch.cat([targets[:, :1] * 0 + start, targets[:, 1:]], 1),
            "You write start over the first token and leave the others where they are. That token "
            "is lost, and from then on each place reads its own answer.",
        ),
        Mistake(
            "shifted-left",
            lambda targets, start: torch.cat(
                [targets[:, 1:], torch.full_like(targets[:, :1], start)], 1
            ),
            "Your tokens move to the left: at place t the decoder reads the token after the one "
            "that it has to predict.",
        ),
        Mistake(
            "rolled",
            lambda targets, start: targets.roll(1, 1),
            "The last token of a sentence comes round to its front. What should stand there?",
        ),
        Mistake(
            "rolled-through-the-batch",
            lambda targets, start: torch.cat(
                [torch.tensor([start]), targets.flatten()[:-1]]
            ).view_as(targets),
            "The last token of a sentence becomes the first of the next one. Each sentence begins "
            "with start.",
        ),
        Mistake(
            "too-long",
            lambda targets, start: F.pad(targets, (1, 0), value=start),
            "You put start in front and drop nothing, so there are T + 1 inputs for T targets.",
        ),
        Mistake(
            "start-forgotten",
            lambda targets, start: targets[:, :-1],
            "You drop the last token and put nothing in front: T - 1 inputs for T targets.",
        ),
        Mistake(
            "wrong-axis",
            lambda targets, start: torch.cat(
                [torch.full_like(targets[:1], start), targets[:-1]], 0
            ),
            "You shift along the batch: each sentence reads the sentence before it. Which axis are "
            "the places?",
        ),
        Mistake(
            "padding-in-front",
            lambda targets, start: F.pad(targets[:, :-1], (1, 0)),
            "The first place holds 0, whatever start is. Did you begin with zeros?",
        ),
        Mistake(
            "start-smeared",
            lambda targets, start: torch.full_like(targets, start),
            "Every place holds start. Does your loop copy from the result, which it is still "
            "writing, in place of the targets?",
        ),
    ),
    hints=(
        "Write one sentence of targets on paper, and under it what has been said before each "
        "token. What has been said before the first?",
        "The result has two parts side by side: one column that holds start, and the targets "
        "without their last column.",
        "torch.full makes a column of shape (B, 1); torch.cat(…, dim=1) joins it with the rest.",
    ),
)


# --- cross-attention


def cross_attention(
    decoder: Tensor,
    encoder: Tensor,
    to_query: Tensor,
    to_key: Tensor,
    to_value: Tensor,
    real: Tensor,
) -> Tensor:
    """Decoder states (B, T, D) look at encoder states (B, S, D), where these are real (B, S)."""
    query, key, value = decoder @ to_query, encoder @ to_key, encoder @ to_value
    return package.attention(query, key, value, mask=real[:, None, :])


def cross_cases() -> list[Case]:
    one = torch.tensor([[[1.0, 2.0]]]), torch.eye(2)[None], torch.eye(2), torch.eye(2)

    def case(name: str, T: int, S: int, real: list[list[int]], dtype: Any = torch.float32) -> Case:
        B, D, d = len(real), 4, 3
        decoder, encoder = numbers(T, B, T, D, dtype=dtype), numbers(50 + S, B, S, D, dtype=dtype)
        matrices = [numbers(seed, D, d, dtype=dtype) for seed in (7, 8, 9)]
        return Case(name, (decoder, encoder, *matrices, torch.tensor(real).bool()))

    loud = case("large scores", 2, 4, [[1, 1, 1, 0]])
    whole = tuple((x * 3).round() if x.is_floating_point() else x for x in loud.inputs)
    views = case("not contiguous", 2, 5, [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]).inputs
    return [
        Case("T = 1, S = 2", (*one, torch.tensor([[10.0, 0], [0, 20]]), ids([1, 1]).bool())),
        case("no padding", 2, 3, [[1, 1, 1]]),
        case("T = 3, S = 5", 3, 5, [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
        case("T = 6, S = 3", 6, 3, [[1, 1, 1], [1, 0, 0]]),
        case("T = S", 4, 4, [[1, 1, 1, 1], [1, 1, 0, 0]]),
        case("B = T", 3, 4, [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]),
        case("B = T = S", 3, 3, [[1, 1, 0], [1, 0, 0], [1, 1, 1]]),
        case("padding at the left", 2, 4, [[0, 0, 1, 1]]),
        case("one source is all padding", 2, 3, [[1, 1, 0], [0, 0, 0]]),
        case("one source token", 4, 1, [[1], [1]]),
        Case("large scores", whole, 1e-3),
        case("float64", 2, 3, [[1, 1, 0]], torch.float64),
        Case("not contiguous", (*(strided(x) for x in views[:2]), *views[2:])),
    ]


class Three(NamedTuple):
    """Query, key and value made from the states of one side."""

    query: Tensor
    key: Tensor
    value: Tensor


def crossed(mix: Callable[[Three, Three, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An answer that mixes the three of the decoder and the three of the encoder in its own way."""

    def answer(
        decoder: Tensor,
        encoder: Tensor,
        to_query: Tensor,
        to_key: Tensor,
        to_value: Tensor,
        real: Tensor,
    ) -> Tensor:
        matrices = to_query, to_key, to_value
        d, e = (Three(*(states @ matrix for matrix in matrices)) for states in (decoder, encoder))
        return mix(d, e, real)

    return answer


def looks(query: Tensor, key: Tensor, mask: Tensor | None = None, lowest: float = 0) -> Tensor:
    """Weights in plain products; with `lowest` set, forbidden scores only get that number."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is None:
        return scores.softmax(-1)
    if lowest:
        return scores.masked_fill(~mask, lowest).softmax(-1)
    return scores.masked_fill(~mask, -math.inf).softmax(-1).masked_fill(~mask, 0.0)


CROSS = Exercise(
    id="cross_attention",
    lesson="08",
    title="The decoder looks at the source",
    minutes=7,
    difficulty=2,
    prompt="""
Write `my_cross(decoder, encoder, to_query, to_key, to_value, real)`, cross-attention with one head.
The decoder's states `(B, T, D)` ask. What they compare themselves with and what they take away
both come from the encoder's states `(B, S, D)`. Each matrix `(D, d)` is multiplied from the right,
without bias. `real (B, S)` is True where the source is no padding. Scale by 1/√d. The result is
`(B, T, d)`; where a source is all padding, it is zeros.""",
    reference=cross_attention,
    source=(package.attention, package.MultiHeadAttention.forward),
    cases=cross_cases,
    gradients=True,
    mistakes=(
        Mistake(
            "keys-and-values-swapped",
            crossed(lambda d, e, real: looks(d.query, e.value, real[:, None]) @ e.key),
            "Your keys are made with to_value and your values with to_key.",
        ),
        Mistake(
            "padding-set-to-zero",
            crossed(
                lambda d, e, real: (
                    (d.query @ (e.key * real[..., None]).mT / d.query.shape[-1] ** 0.5).softmax(-1)
                    @ (e.value * real[..., None])
                )
            ),
            "You set the padding's states to 0. Then its scores are 0, and exp(0) is 1: padding "
            "still takes a part of the weight. Mask the scores.",
        ),
        Mistake(
            "keys-from-the-decoder",
            crossed(lambda d, e, real: looks(d.query, d.key, real[:, None]) @ e.value),
            "Your keys come from the decoder, so the weights say how much its places resemble each "
            "other. With T ≠ S they do not even fit the values. What should be looked at?",
        ),
        Mistake(
            "values-from-the-decoder",
            crossed(lambda d, e, real: looks(d.query, e.key, real[:, None]) @ d.value),
            "You look at the source and then take the values from the decoder. Nothing of the "
            "source gets through.",
        ),
        Mistake(
            "self-attention",
            crossed(lambda d, e, real: looks(d.query, d.key, real[:, None]) @ d.value),
            "The decoder looks at itself: queries, keys and values are all its own. Where does the "
            "source come in?",
        ),
        Mistake(
            "sides-swapped",
            crossed(lambda d, e, real: looks(e.query, d.key, real[:, :, None]) @ d.value),
            "Here the source asks and the target answers. Whoever asks has one row in the result: "
            "it should have T rows, not S.",
        ),
        Mistake(
            "mask-forgotten",
            crossed(lambda d, e, real: looks(d.query, e.key) @ e.value),
            "Padding of the source gets weight. More padding would change the translation.",
        ),
        Mistake(
            "mask-upside-down",
            crossed(lambda d, e, real: looks(d.query, e.key, ~real[:, None]) @ e.value),
            "Only padding gets weight: your mask is upside down. real is True for what may be "
            "looked at.",
        ),
        Mistake(
            "mask-on-the-queries",
            crossed(lambda d, e, real: looks(d.query, e.key, real[:, :, None]) @ e.value),
            "Your mask hides rows, which are the decoder's places. It has to hide columns, the "
            "source's. Where does the axis of length 1 go?",
        ),
        Mistake(
            "mask-without-its-axis",
            crossed(lambda d, e, real: looks(d.query, e.key, real) @ e.value),
            "real is (B, S), the scores are (B, T, S). Put together as they are, B is read as T: "
            "target t of every sentence gets the mask of sentence t. An axis is missing.",
        ),
        Mistake(
            "mask-after-softmax",
            crossed(lambda d, e, real: looks(d.query, e.key) * real[:, None] @ e.value),
            "You cut the padding out after the softmax, so the weights that are left do not sum "
            "to 1. Mask the scores.",
        ),
        Mistake(
            "padding-not-a-number",
            crossed(lambda d, e, real: looks(d.query, e.key, real[:, None], -math.inf) @ e.value),
            "Where a source is all padding, every score is -inf, and the softmax of such a row is "
            "NaN. It should give zeros.",
        ),
        Mistake(
            "padding-averaged",
            crossed(lambda d, e, real: looks(d.query, e.key, real[:, None], -1e9) @ e.value),
            "Right but where a source is all padding: all its scores are equally low there, so the "
            "softmax averages the padding. It should give zeros.",
        ),
        Mistake(
            "causal",
            crossed(
                lambda d, e, real: (
                    looks(
                        d.query,
                        e.key,
                        real[:, None] & torch.ones(d.query.shape[1], real.shape[1]).tril().bool(),
                    )
                    @ e.value
                )
            ),
            "Target t sees the source only up to place t. The whole source is there from the "
            "beginning: nothing in it is the future.",
        ),
        Mistake(
            "wrong-scale",
            lambda decoder, encoder, to_query, to_key, to_value, real: cross_attention(
                decoder,
                encoder,
                to_query * (len(to_key[0]) / len(to_key)) ** 0.5,
                to_key,
                to_value,
                real,
            ),
            "You divide the scores by √D. A score adds up d products, the width of a query.",
        ),
        Mistake(
            "no-scale",
            crossed(
                lambda d, e, real: (
                    looks(d.query * math.sqrt(d.query.shape[-1]), e.key, real[:, None]) @ e.value
                )
            ),
            "The scores are not divided by √d.",
        ),
        Mistake(
            "encoder-detached",
            lambda decoder, encoder, to_query, to_key, to_value, real: cross_attention(
                decoder, encoder.detach(), to_query, to_key, to_value, real
            ),
            "Right, but no gradient reaches the encoder: it would never learn what the decoder "
            "needs. Is there a detach() or a no_grad()?",
        ),
    ),
    hints=(
        "There are three products with matrices. Which of the two states goes into each? Whoever "
        "asks makes the queries.",
        "The scores are (B, T, S). real says something about S only: give it an axis of length 1, "
        "so that all T rows share it.",
        "Queries from the decoder, keys and values from the encoder, then attention as you know it "
        "with the mask real[:, None, :]. Weights at padding end as exact zeros.",
    ),
)


# --- loss without padding


def loss_without_padding(logits: Tensor, targets: Tensor, pad_id: int) -> Tensor:
    """Mean cross-entropy in nats over the targets that are not pad_id: (B, T, V), (B, T) -> ()."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad_id)


def loss_cases() -> list[Case]:
    padded = ids([5, 3, 4, 2], [3, 2, 0, 0], [4, 5, 2, 0])
    sure = torch.tensor([[[300.0, -200.0, 0.0], [0.0, 100.0, 400.0], [500.0, 0.0, 0.0]]])
    return [
        Case(
            "one word and one pad", (torch.tensor([[[1.0, 0.0, 2.0], [3, 0, 1]]]), ids([2, 0]), 0)
        ),
        Case("no padding", (numbers(1, 1, 3, 4), ids([3, 1, 2]), 0)),
        Case("sentences of 4, 2 and 3 tokens", (numbers(2, 3, 4, 6), padded, 0)),
        Case("T = V", (numbers(3, 2, 4, 4) * 2, ids([1, 3, 2, 0], [2, 0, 0, 0]), 0)),
        Case("padded with 5", (numbers(4, 2, 3, 6), ids([0, 4, 2], [2, 5, 5]), 5)),
        Case("padded at the left", (numbers(5, 2, 3, 4), ids([0, 3, 2], [1, 3, 2]), 0)),
        Case("one row of padding only", (numbers(6, 3, 2, 4), ids([3, 2], [0, 0], [2, 0]), 0)),
        Case("very sure", (sure, ids([0, 1, 2]), 2)),
        Case("float64", (numbers(7, 2, 4, 6, dtype=torch.float64), padded[1:], 0)),
        Case("not contiguous", (strided(numbers(8, 3, 4, 6)), padded.T.contiguous().T, 0)),
    ]


def losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each target by itself, padding too: (B, T, V), (B, T) -> (B, T)."""
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


def at_targets(table: Tensor, targets: Tensor) -> Tensor:
    """The entry of each place that belongs to its target: (B, T, V), (B, T) -> (B, T)."""
    return table.gather(2, targets[..., None])[..., 0]


def real_mean(costs: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An answer that averages these costs of places (logits, targets) over the real tokens."""

    def answer(logits: Tensor, targets: Tensor, pad_id: int) -> Tensor:
        return costs(logits, targets)[targets != pad_id].mean()

    return answer


LOSS = Exercise(
    id="loss_without_padding",
    lesson="08",
    title="A loss that padding cannot move",
    minutes=5,
    difficulty=2,
    prompt="""
Write `my_loss(logits, targets, pad_id)`: the mean cross-entropy, in nats, of the targets that are
not padding. `logits (B, T, V)` belong to the same places as `targets (B, T)`, which need no shift
here. A target's cross-entropy is minus the logarithm of the probability that the softmax gives to
it. Every real token of the batch counts the same, in a short sentence or a long one. The result is
one number, as a tensor.""",
    reference=loss_without_padding,
    cases=loss_cases,
    gradients=True,
    mistakes=(
        Mistake(
            "bits",
            lambda logits, targets, pad_id: (
                loss_without_padding(logits, targets, pad_id) / math.log(2)
            ),
            "Your loss is in bits: the logarithm to base 2. Nats are asked, with the natural one.",
        ),
        Mistake(
            "padding-counted",
            lambda logits, targets, pad_id: losses(logits, targets).mean(),
            "Padding is counted as if it were a word to predict. Predicting it is easy, so a batch "
            "with more padding looks better.",
        ),
        Mistake(
            "divided-by-all",
            lambda logits, targets, pad_id: (losses(logits, targets) * (targets != pad_id)).mean(),
            "Padding adds nothing to your sum, but you still divide by the number of all places. "
            "How many tokens are real?",
        ),
        Mistake(
            "sum",
            lambda logits, targets, pad_id: losses(logits, targets)[targets != pad_id].sum(),
            "This is the sum over the real tokens, which grows with the batch. Take the mean.",
        ),
        Mistake(
            "mean-of-sentence-means",
            lambda logits, targets, pad_id: (
                (losses(logits, targets) * (targets != pad_id)).sum(1) / (targets != pad_id).sum(1)
            ).mean(),
            "You average each sentence, then the averages. A token in a short sentence then counts "
            "more (and a row of padding only divides by 0). Take one mean over all tokens.",
        ),
        Mistake(
            "always-0",
            lambda logits, targets, pad_id: losses(logits, targets)[targets != 0].mean(),
            "You leave out token 0, whatever the padding is. Which id is given?",
        ),
        Mistake(
            "softmax-twice",
            real_mean(lambda logits, targets: losses(logits.softmax(-1), targets)),
            "There are two softmaxes, one after the other. torch's cross_entropy wants logits and "
            "takes the softmax itself.",
        ),
        Mistake(
            "no-logarithm",
            real_mean(lambda logits, targets: -at_targets(logits.softmax(-1), targets)),
            "You average probabilities. The logarithm is missing: nll_loss, for one, expects "
            "logarithms and does not take them.",
        ),
        Mistake(
            "softmax-over-places",
            real_mean(lambda logits, targets: -at_targets(logits.log_softmax(1), targets)),
            "Your softmax runs over the places. At each place the V tokens share the probability.",
        ),
        Mistake(
            "viewed",
            real_mean(lambda logits, targets: losses(logits.reshape(logits.mT.shape).mT, targets)),
            "You turn (B, T, V) into (B, V, T) by a reshape. That cuts the row of numbers anew and "
            "mixes logits of different places; axes are swapped by transpose.",
        ),
        Mistake(
            "logits-set-to-zero",
            lambda logits, targets, pad_id: losses(
                logits * (targets != pad_id)[..., None], targets
            ).mean(),
            "Logits of 0 do not take a place out: they say that all V tokens are equally likely, "
            "which costs log V there.",
        ),
        Mistake(
            "shifted-again",
            lambda logits, targets, pad_id: losses(logits[:, :-1], targets[:, 1:])[
                targets[:, 1:] != pad_id
            ].mean(),
            "You pair each place with the target after it. The logits already belong to the "
            "targets at the same place.",
        ),
        Mistake(
            "infinite",
            real_mean(lambda logits, targets: -at_targets(logits.softmax(-1), targets).log()),
            "A probability can be so small that it is stored as 0, and log(0) is infinite. "
            "log_softmax takes both steps at once and stays finite.",
        ),
        Mistake(
            "detached",
            real_mean(lambda logits, targets: losses(logits.detach(), targets)),
            "The number is right, but no gradient comes back from it. Is there an .item(), or a "
            "new tensor made from numbers?",
        ),
    ),
    hints=(
        "Get the cross-entropy of each place first, (B, T). Which of these numbers count?",
        "Compare targets with pad_id: a mask (B, T). Add up the numbers that count, and divide by "
        "how many there are.",
        "log_softmax(-1), then gather picks the target's entry at each place. Or look up what "
        "ignore_index does in cross_entropy, which wants (N, V) and (N,).",
    ),
)


# --- greedy decoding

Step = Callable[[list[int]], Tensor]


class TinyDecoder:
    """A decoder without weights: what it says depends on every token so far and on their order."""

    reads = 12

    def __init__(self, seed: int, V: int) -> None:
        self.table = numbers(seed, 97, V)

    def __call__(self, tokens: Any) -> Tensor:
        """A list of T token ids -> logits (T, V); row t has read the tokens up to t."""
        read, V = torch.as_tensor(tokens), self.table.shape[1]
        if read.dim() != 1 or not 1 <= len(read) <= self.reads:
            raise ValueError(f"step reads a list of 1 to {self.reads} token ids, got {tokens}")
        if read.is_floating_point() or bool((read < 0).any() or (read >= V).any()):
            raise ValueError(f"token ids lie between 0 and {V - 1}, got {tokens}")
        weighted = (read + 1) * torch.arange(1, len(read) + 1) ** 2
        return self.table[weighted.cumsum(0) % 97]

    def __repr__(self) -> str:
        return f"a decoder with V = {self.table.shape[1]}"


def greedy_decode(step: Step, start: int, end: int, max_len: int) -> list[int]:
    """The likeliest next token again and again, up to end or max_len: the new tokens."""
    tokens = [start]
    while len(tokens) <= max_len:
        tokens.append(int(step(tokens)[-1].argmax()))
        if tokens[-1] == end:
            break
    return tokens[1:]


def decode_cases() -> list[Case]:
    return [
        Case("says 4, then the end", (TinyDecoder(7, 7), 1, 2, 5)),
        Case("says the end at once", (TinyDecoder(2, 5), 1, 2, 6)),
        Case("says 6 3 3 5, then the end", (TinyDecoder(1, 7), 1, 2, 9)),
        Case("says 3 1 6 and is cut off", (TinyDecoder(22, 7), 1, 2, 3)),
        Case("says 3 and is cut off", (TinyDecoder(11, 7), 1, 2, 1)),
        Case("the end comes as the last of 5", (TinyDecoder(9, 5), 1, 2, 5)),
        Case("cut off just before the end", (TinyDecoder(9, 5), 1, 2, 4)),
        Case("start and end are one id, as in GPT-2", (TinyDecoder(41, 5), 2, 2, 8)),
        Case("ends with 3", (TinyDecoder(17, 4), 0, 3, 9)),
        Case("never ends", (TinyDecoder(0, 7), 1, 2, 8)),
    ]


def as_ids(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """A list of token ids (or a tensor of one axis) as a tensor of whole numbers."""
    if output is None:
        as_tensor(inputs, output)  # says that nothing came
    flat = isinstance(output, Tensor) and output.dim() == 1
    if not flat and not isinstance(output, (list, tuple)):
        raise Unfit(f"Your function returns a {type(output).__name__}; expected a list of ids.")
    if not all(isinstance(x, int) or (isinstance(x, Tensor) and x.numel() == 1) for x in output):
        raise Unfit("Your list holds something else than token ids, which are whole numbers.")
    return torch.tensor([int(x) for x in output], dtype=torch.int64)


def said(inputs: tuple[Any, ...], tokens: Tensor) -> str:
    """Empty for the right list; a judge, so that the learner's list is shown whole."""
    expected = greedy_decode(*inputs)
    return "" if tokens.tolist() == expected else f"Your list of ids should be {expected}."


def decoding(
    choose: Callable[[Tensor], Tensor] = lambda logits: logits[-1].argmax(),
    shown: Callable[[list[int]], list[int]] = lambda tokens: tokens,
    more: int = 0,
    stops: bool = True,
) -> Callable[..., list[int]]:
    """A decoding loop with its parts to be exchanged; it writes max_len + more at most."""

    def answer(step: Step, start: int, end: int, max_len: int) -> list[int]:
        tokens = [start]
        for _ in range(max_len + more):
            tokens.append(int(choose(step(shown(tokens)))))
            if stops and tokens[-1] == end:
                break
        return tokens[1:]

    return answer


GREEDY = Exercise(
    id="greedy_decode",
    lesson="08",
    title="One token at a time",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_decode(step, start, end, max_len)`. `step` is a decoder that has read its source: it takes
the list of all token ids so far, beginning with `start`, and gives logits `(T, V)`. Row t says what
comes after token t, so only the last row is news. Take the likeliest token, append it, ask again.
Stop after the id `end`, or when `max_len` tokens are written. Return the list of new ids: `end`
belongs to it if it came, `start` does not.""",
    reference=greedy_decode,
    cases=decode_cases,
    observe=as_ids,
    judge=said,
    mistakes=(
        Mistake(
            "does-not-stop",
            decoding(stops=False),
            "You go on writing after the end. Everything after it is noise: the decoder has never "
            "seen a text that goes on there.",
        ),
        Mistake(
            "start-returned",
            lambda step, start, end, max_len: [start, *decoding()(step, start, end, max_len)],
            "Your list begins with start. It has been given, not written.",
        ),
        Mistake(
            "end-left-out",
            lambda step, start, end, max_len: [
                token for token in decoding()(step, start, end, max_len) if token != end
            ],
            "The end is missing from your list. Do you stop before you append it? Without it "
            "nobody can tell a finished text from one that was cut off.",
        ),
        Mistake(
            "one-too-many",
            decoding(more=1),
            "A text that does not end gets max_len + 1 tokens. How often does your loop run?",
        ),
        Mistake(
            "one-too-few",
            decoding(more=-1),
            "A text that does not end gets max_len - 1 tokens. Does start count as written?",
        ),
        Mistake(
            "no-limit",
            decoding(more=99),
            "You wait for the end, however long it takes, and a decoder may never say it. max_len "
            "stops you anyway.",
        ),
        Mistake(
            "always-the-first-row",
            decoding(lambda logits: logits[0].argmax()),
            "The same word comes again and again: the one that follows start. Do you read the "
            "first row of the logits, or show the decoder start alone?",
        ),
        Mistake(
            "largest-of-all-rows",
            decoding(lambda logits: logits.argmax()),
            "argmax without a row or an axis searches the whole table and counts on from row to "
            "row. That is no token id any more.",
        ),
        Mistake(
            "argmax-over-places",
            decoding(lambda logits: logits.argmax(0)[-1]),
            "Your argmax runs over the places and gives a place. It has to run over the V tokens.",
        ),
        Mistake(
            "last-token-only",
            decoding(shown=lambda tokens: tokens[-1:]),
            "The decoder is shown the newest token alone and forgets the others. Show it all of "
            "them each time (lesson 12 has the cache that makes one enough).",
        ),
        Mistake(
            "ended-before-it-began",
            lambda step, start, end, max_len: (
                [] if start == end else decoding()(step, start, end, max_len)
            ),
            "Where start and end are the same id, you stop before the first word. Ask whether the "
            "text has ended only after a new token.",
        ),
    ),
    hints=(
        "Keep one list that begins with start. What has to happen in each round, and after which "
        "two events is there no next round?",
        "The last row of the logits is step(tokens)[-1]. Its argmax is a tensor with one number; "
        "int(…) makes an id of it.",
        "for _ in range(max_len): choose, append, and break if the new token is end. At the end "
        "leave the first of the list out.",
    ),
)


# --- one step of beam search


def beam_step(
    scores: Tensor, logits: Tensor, finished: Tensor, end: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The W best continuations of W texts: (W,), (W, V), (W,) -> scores, texts and tokens, (W,)."""
    W, V = logits.shape
    stay = torch.full((V,), -math.inf)
    stay[end] = 0.0
    step = torch.where(finished[:, None], stay, logits.log_softmax(1))
    scores, place = (scores[:, None] + step).flatten().topk(W)
    return scores, place // V, place % V


def beam_cases() -> list[Case]:
    def case(name: str, scores: list[float], V: int, finished: list[int], seed: int) -> Case:
        W = len(scores)
        inputs = torch.tensor(scores), numbers(seed, W, V) * 2, torch.tensor(finished).bool()
        return Case(name, (*inputs, 2))

    first = torch.tensor([-1.0, -1.5]), torch.tensor([[0.0, 1, 2], [0, 0, 5]])
    return [
        Case("two texts", (*first, torch.tensor([False, False]), 2)),
        case("one text", [-2.0], 4, [0], 1),
        case("the beginning: only one text counts", [0.0, -math.inf, -math.inf], 5, [0, 0, 0], 2),
        case("one text far ahead", [-1.0, -30.0], 4, [0, 0], 3),
        case("three texts", [-1.0, -1.2, -1.1], 4, [0, 0, 0], 4),
        case("W = V", [-2.0, -1.5, -1.7], 3, [0, 0, 0], 5),
        case("W = 4, V = 3", [-2.0, -1.5, -1.7, -1.9], 3, [0, 0, 0, 0], 11),
        case("one has finished", [-1.0, -1.3], 5, [1, 0], 6),
        case("the worst has finished", [-1.0, -1.3, -1.6], 4, [0, 0, 1], 7),
        case("two have finished", [-0.5, -3.0, -2.0], 4, [0, 1, 1], 8),
        case("the best has finished, far ahead", [-1.0, -30.0], 4, [1, 0], 10),
        case("one that has finished falls out", [-1.0, -40.0], 4, [0, 1], 9),
    ]


def as_continuations(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """One row (score, text, token) for each text that is kept, best first."""
    W = len(inputs[0])
    if not isinstance(output, (tuple, list)) or len(output) != 3:
        raise Unfit("Return three tensors: `return scores, texts, tokens`.")
    columns = [part.float() for part in parts_of(inputs, output, "scores", "texts", "tokens")]
    if any(column.shape != (W,) for column in columns):
        shapes = ", ".join(str(tuple(column.shape)) for column in columns)
        raise Unfit(f"Your three tensors have the shapes {shapes}; expected ({W},) each.")
    rows = torch.stack(columns, 1)
    return rows[columns[0].argsort(descending=True, stable=True)]


vars(as_continuations)["order"] = "score, text, token; the best score first"


Table = Callable[[Tensor, Tensor, Tensor, int], Tensor]
Kept = tuple[Tensor, Tensor, Tensor]


def grown(scores: Tensor, step: Tensor, finished: Tensor, end: int, free: bool = True) -> Tensor:
    """Scores of all candidates, (W, V); a finished text takes end only, for nothing if free."""
    is_end = torch.arange(step.shape[-1]) == end
    stay = (step * 0 if free else step).masked_fill(~is_end, -math.inf)
    return scores[:, None] + torch.where(finished[:, None], stay, step)


def best(table: Tensor) -> Kept:
    """The best W of all candidates."""
    scores, place = table.flatten().topk(len(table))
    return scores, place // table.shape[1], place % table.shape[1]


def beam(table: Table = grown, keep: Callable[[Tensor], Kept] = best) -> Callable[..., Kept]:
    """An answer with another table, made from (scores, log-probabilities, finished, end)."""

    def answer(scores: Tensor, logits: Tensor, finished: Tensor, end: int) -> Kept:
        return keep(table(scores, logits.log_softmax(-1), finished, end))

    return answer


def best_of_each(table: Tensor) -> Kept:
    """The best candidate of every text."""
    scores, tokens = table.max(-1)
    return scores, torch.arange(len(table)), tokens


def divided_by_w(table: Tensor) -> Kept:
    """Places divided by the number of texts."""
    scores, place = table.flatten().topk(len(table))
    return scores, place // len(table), place % len(table)


BEAM = Exercise(
    id="beam_step",
    lesson="08",
    title="Several texts at once: one step of beam search",
    minutes=10,
    difficulty=3,
    prompt="""
W texts are being written. `scores (W,)` holds the log-probability of each so far, `logits (W, V)`
what the decoder says about its next token. Each text may go on with each token, which adds that
token's log-probability: W·V candidates. A text that is `finished (W,)` has one candidate only:
`end` again, which adds 0. Write `my_beam(scores, logits, finished, end)`: keep the best W of all
candidates, in any order. Return their `scores`, the `texts` they go on (0 … W - 1) and their
`tokens`, `(W,)` each.""",
    reference=beam_step,
    cases=beam_cases,
    observe=as_continuations,
    atol=1e-5,
    mistakes=(
        Mistake(
            "logits-added",
            lambda scores, logits, finished, end: best(grown(scores, logits, finished, end)),
            "You add raw logits. They have no common zero: each text's logits may lie higher or "
            "lower as a whole. What turns them into log-probabilities?",
        ),
        Mistake(
            "probabilities-added",
            beam(lambda scores, step, *rest: grown(scores, step.exp(), *rest)),
            "You add probabilities to log-probabilities, so every token makes a text likelier. "
            "Probabilities are multiplied; their logarithms are added.",
        ),
        Mistake(
            "past-forgotten",
            beam(lambda scores, *rest: grown(torch.zeros_like(scores), *rest)),
            "Only the newest token counts: what the texts had before is forgotten.",
        ),
        Mistake(
            "one-of-each",
            beam(keep=best_of_each),
            "Every text keeps its own best token: W greedy texts side by side. Two good "
            "continuations of one text may beat the best of another.",
        ),
        Mistake(
            "best-text-only",
            beam(
                lambda scores, *rest: grown(scores.where(scores == scores.max(), -math.inf), *rest)
            ),
            "Only the text that leads so far may go on. One that lies behind now can still win.",
        ),
        Mistake(
            "softmax-over-texts",
            lambda scores, logits, finished, end: best(
                grown(scores, logits.log_softmax(0), finished, end)
            ),
            "Your softmax runs over the texts. The V tokens of one text share the probability.",
        ),
        Mistake(
            "texts-and-tokens-swapped",
            beam(keep=lambda table: (best(table)[0], best(table)[2], best(table)[1])),
            "texts and tokens are swapped. Of the W·V candidates in a row, the first V belong to "
            "text 0.",
        ),
        Mistake(
            "divided-by-w",
            beam(keep=divided_by_w),
            "You divide places by W. Of the W·V candidates in a row, the first V belong to text "
            "0, the next V to text 1.",
        ),
        Mistake(
            "finished-goes-on",
            beam(lambda scores, step, finished, end: scores[:, None] + step),
            "A finished text is written on, and pays for it. What does it need to stay in the "
            "race as it is?",
        ),
        Mistake(
            "finished-pays",
            beam(partial(grown, free=False)),
            "A finished text takes end again, but it pays for that at every step and falls behind. "
            "Its text is complete: nothing more is to be said.",
        ),
        Mistake(
            "finished-many-times",
            beam(
                lambda scores, step, finished, end: (
                    scores[:, None] + step.masked_fill(finished[:, None], 0.0)
                )
            ),
            "A finished text goes on with any token for nothing. It fills all the places with "
            "copies of itself. One candidate is enough.",
        ),
        Mistake(
            "finished-dropped",
            beam(
                lambda scores, step, finished, end: (
                    scores[:, None] + step.masked_fill(finished[:, None], -math.inf)
                )
            ),
            "A finished text drops out of the race, however good it is. It has one candidate.",
        ),
    ),
    hints=(
        "Make the table of all candidates' scores first, (W, V): the text's score plus the "
        "log-probability of the token. What belongs into the row of a finished text?",
        "In a finished row, -inf everywhere but at end, and 0 there. Then one topk over the "
        "flattened table chooses among all of them.",
        "topk gives places from 0 to W·V - 1. Whole-number division by V gives the text, the "
        "remainder the token.",
    ),
)


# --- alignment


def alignment_score(weights: Tensor, truth: Tensor) -> Tensor:
    """Share of the places with truth >= 0 whose largest weight lies there: (B, T, S), (B, T)."""
    found = weights.argmax(-1) == truth
    return found[truth >= 0].double().mean()


def alignment_cases() -> list[Case]:
    def case(name: str, seed: int, S: int, truth: Tensor, gain: float) -> Case:
        """Weights whose peak is often at the truth, whose score gains something."""
        scores = numbers(seed, *truth.shape, S)
        scores = scores + gain * F.one_hot(truth.clamp(min=0), S)
        return Case(name, (scores.softmax(-1), truth))

    first = torch.tensor([[[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]]])
    lengths = ids([0, 1, 2, 3, 1], [1, 0, -1, -1, -1], [2, -1, -1, -1, -1])
    return [
        Case("zwei-und-vierzig", (first, ids([1, -1, 0]))),
        Case("one token", (torch.tensor([[[0.3, 0.7]]]), ids([0]))),
        case("nothing is padding", 2, 4, ids([2, 0, 1, 3, 1, 2]), 0.8),
        case("T = S", 3, 4, ids([0, 2, 1, -1], [3, 0, -1, -1]), 1.0),
        case("sentences of 5, 2 and 1 tokens", 4, 4, lengths, 1.0),
        case("all at the first source token", 5, 3, ids([0, 0, 0, -1]), 0.7),
        case("nine source tokens", 6, 9, ids([8, 3, 0, 2, 5, -1, 8, 1]), 1.2),
        case("some without a partner", 7, 5, ids([-1, 0, 1, -1, 4], [2, -1, 3, 4, 0]), 0.7),
        case("many", 8, 3, (numbers(9, 4, 8).abs() * 2).long().clamp(max=3) - 1, 0.9),
    ]


def hits(weights: Tensor, truth: Tensor) -> Tensor:
    """Where the largest weight lies on the truth: (B, T), 0 or 1."""
    return (weights.argmax(-1) == truth).double()


ALIGNMENT = Exercise(
    id="alignment_score",
    lesson="08",
    title="Does it look at the right word?",
    minutes=5,
    difficulty=1,
    prompt="""
Cross-attention's `weights (B, T, S)` say how much each target place looks at each source place.
`truth (B, T)` holds the source place, from 0, that each target token really translates; it is -1
for tokens without one and for padding. Write `my_alignment(weights, truth)`: of the target places
that have a true source place, the share whose largest weight lies on it. Every such place of the
batch counts the same.""",
    reference=alignment_score,
    cases=alignment_cases,
    observe=as_number,
    atol=1e-5,
    mistakes=(
        Mistake(
            "padding-counted",
            lambda weights, truth: hits(weights, truth).mean(),
            "Places with -1 count as wrong: you divide by all T places. They do not take part.",
        ),
        Mistake(
            "minus-one-is-the-last",
            lambda weights, truth: hits(weights, truth % weights.shape[-1]).mean(),
            "A truth of -1, used as an index, means the last source place. Leave these places out.",
        ),
        Mistake(
            "first-place-left-out",
            lambda weights, truth: hits(weights, truth)[truth > 0].mean(),
            "Source place 0 is a place like any other. Only -1 is to be left out.",
        ),
        Mistake(
            "mean-of-sentence-means",
            lambda weights, truth: (
                (hits(weights, truth) * (truth >= 0)).sum(1) / (truth >= 0).sum(1)
            ).mean(),
            "You average each sentence, then the averages, so a place in a short sentence counts "
            "more. Take one mean over all places.",
        ),
        Mistake(
            "wrong-axis",
            lambda weights, truth: (weights.argmax(-2) == truth)[truth >= 0].double().mean(),
            "Your argmax runs over the target places: who looks most at this source? The question "
            "is where each target looks most.",
        ),
        Mistake(
            "counted-from-1",
            lambda weights, truth: hits(weights, truth - 1)[truth >= 0].mean(),
            "You are off by one place: source places are counted from 0, and so does argmax.",
        ),
        Mistake(
            "weight-itself",
            lambda weights, truth: weights.gather(2, truth.clamp(min=0)[..., None])[..., 0][
                truth >= 0
            ].mean(),
            "You average the weight on the true place. The question is how often it is the "
            "largest of its row.",
        ),
        Mistake(
            "more-than-half",
            lambda weights, truth: (
                (weights.gather(2, truth.clamp(min=0)[..., None])[..., 0] > 0.5)[truth >= 0]
                .double()
                .mean()
            ),
            "You ask for more than half of the weight. The largest of many weights can be far "
            "below that.",
        ),
        Mistake(
            "count",
            lambda weights, truth: hits(weights, truth).sum(),
            "This is the number of hits. Divide by the number of places that have a truth.",
        ),
    ),
    hints=(
        "For each target place: where is its largest weight? Compare that with truth.",
        "weights.argmax(-1) has the shape of truth. Which of the comparisons count?",
        "Choose the places with truth >= 0 by indexing with that mask, then take the mean of what "
        "is left, as floating-point numbers.",
    ),
)


# --- exact match


def exact_match(written: Tensor, targets: Tensor, end: int) -> Tensor:
    """Share of sentences that are right up to and including the target's end: (B, T), (B, T)."""
    ends = targets == end
    after = ends.cumsum(1) > ends
    return ((written == targets) | after).all(1).double().mean()


def match_cases() -> list[Case]:
    said = ids([5, 6, 2, 0, 0], [5, 2, 0, 0, 0], [7, 8, 9, 6, 2], [3, 2, 0, 0, 0])
    return [
        Case("one right, one wrong", (ids([5, 6, 2], [7, 6, 2]), ids([5, 6, 2], [7, 8, 2]), 2)),
        Case("noise after the end", (ids([5, 2, 9, 9]), ids([5, 2, 0, 0]), 2)),
        Case(
            "stops too early", (ids([5, 2, 6, 2], [5, 6, 7, 2]), ids([5, 6, 7, 2]).repeat(2, 1), 2)
        ),
        Case("does not stop", (ids([5, 6, 6, 6], [5, 2, 0, 0]), ids([5, 2, 0, 0]).repeat(2, 1), 2)),
        Case(
            "the right words in another order",
            (ids([6, 5, 2], [6, 2, 0]), ids([5, 6, 2], [6, 2, 0]), 2),
        ),
        Case("all right", (said.clone(), said, 2)),
        Case("all wrong", (said.flip(0), said, 2)),
        Case(
            "three of four",
            (ids([5, 6, 2, 2, 2], [5, 2, 5, 2, 0], [7, 8, 9, 6, 2], [2, 3, 2, 0, 0]), said, 2),
        ),
        Case(
            "padded with the end",
            (
                ids([5, 6, 2, 7], [5, 2, 0, 2], [6, 5, 2, 2]),
                ids([5, 6, 2, 2], [5, 2, 2, 2], [5, 6, 2, 2]),
                2,
            ),
        ),
        Case(
            "the end is 9, and 0 is a word",
            (
                ids([0, 4, 9, 3], [0, 4, 9, 1], [4, 9, 3, 3]),
                ids([0, 4, 9, 1], [5, 4, 9, 1], [4, 9, 1, 1]),
                9,
            ),
        ),
    ]


def until_end(tokens: Tensor, end: int) -> Tensor:
    """True up to the first end of each row, that end included."""
    ends = tokens == end
    return ends.cumsum(1) <= ends


def rows_right(written: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """Share of rows that are equal wherever `counts` is True."""
    return ((written == targets) | ~counts).all(1).double().mean()


MATCH = Exercise(
    id="exact_match",
    lesson="08",
    title="Wholly right, or not",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_match(written, targets, end)`: the share of sentences that are wholly right. Both tensors
are `(B, T)`. Each target has the id `end` after its last word; what follows in that row is filling,
with whatever id, and may even be `end` again. A sentence is right if `written` holds the same
tokens at the same places up to and including the target's first `end`. What comes after that place
does not matter, on either side.""",
    reference=exact_match,
    cases=match_cases,
    observe=as_number,
    atol=1e-5,
    mistakes=(
        Mistake(
            "whole-rows",
            lambda written, targets, end: (written == targets).all(1).double().mean(),
            "You compare whole rows, with what follows the end. A right sentence counts as wrong "
            "because of noise that nobody reads.",
        ),
        Mistake(
            "tokens-counted",
            lambda written, targets, end: (
                (written == targets)[until_end(targets, end)].double().mean()
            ),
            "This is the share of right tokens. One wrong word makes a whole sentence wrong: count "
            "sentences.",
        ),
        Mistake(
            "end-left-out",
            lambda written, targets, end: rows_right(
                written, targets, until_end(targets, end) & (targets != end)
            ),
            "A sentence that says the right words and then does not stop passes as right. The end "
            "is part of the answer.",
        ),
        Mistake(
            "written-end-counts",
            lambda written, targets, end: rows_right(
                written, targets, until_end(written, end) & (written != end)
            ),
            "You compare only up to where the written sentence stops, so one that stops too early "
            "passes as right. Whose end decides?",
        ),
        Mistake(
            "all-or-nothing",
            lambda written, targets, end: (
                ((written == targets) | ~until_end(targets, end)).all().double()
            ),
            "Your answer is 1 or 0 for the whole batch. Ask each row by itself: which axis does "
            "`all` run along?",
        ),
        Mistake(
            "count",
            lambda written, targets, end: (
                rows_right(written, targets, until_end(targets, end)) * len(targets)
            ),
            "This is the number of right sentences. Divide by the number of sentences.",
        ),
        Mistake(
            "last-end",
            lambda written, targets, end: rows_right(
                written, targets, (targets == end).flip(1).cumsum(1).flip(1) > 0
            ),
            "Where the filling is end as well, you compare up to the last one. A sentence is over "
            "at its first end.",
        ),
        Mistake(
            "filling-is-0",
            lambda written, targets, end: rows_right(written, targets, targets != 0),
            "You leave out the places where the target is 0. Filling can be any id, and 0 can be a "
            "word. Only the first end says where a sentence is over.",
        ),
    ),
    hints=(
        "First one sentence: where is the target's first end? Compare the two rows up to there.",
        "For all at once: make a table (B, T) that is True for the places after the first end. At "
        "those places anything is right.",
        "cumsum(1) over targets == end counts the ends up to each place; at the first end itself "
        "it is already 1. A row is right if each of its places is equal or comes after that end.",
    ),
)


EXERCISES = (SHIFT, CROSS, LOSS, GREEDY, BEAM, ALIGNMENT, MATCH)
