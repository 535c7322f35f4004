"""The exercises of lesson 11: training a language model."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab import schedules, training
from transformer_lab.exercises.common import as_choice, as_number, numbers, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit, as_tensor

# --- the learning rate


def share_of_rate(step: int, steps: int, warmup: int, floor: float) -> float:
    """Warm-up on a line, then half a cosine down to floor, which holds after the last step."""
    return schedules.warmup_cosine(min(step, steps), steps, warmup, floor)


def rate_cases() -> list[Case]:
    short = [Case(f"step {step} of 10", (step, 10, 4, 0.1), 1e-5) for step in (1, 3, 4, 5, 7, 10)]
    return [
        *short,
        Case("the step after the last", (11, 10, 4, 0.1), 1e-5),
        Case("long after the last", (30, 10, 4, 0.25), 1e-5),
        Case("no warm-up", (3, 9, 0, 0.2), 1e-5),
        Case("no warm-up, the last step", (9, 9, 0, 0.2), 1e-5),
        Case("floor 0", (6, 8, 2, 0.0), 1e-5),
        Case("floor 1", (6, 8, 2, 1.0), 1e-5),
        Case("a long run", (700, 1000, 100, 0.05), 1e-5),
        Case("warm-up of a long run", (37, 1000, 100, 0.05), 1e-5),
    ]


def half_wave(done: float) -> float:
    """From 1 at done = 0 down to 0 at done = 1."""
    return (1 + math.cos(math.pi * done)) / 2


def rate_by(
    fall: Callable[[float], float], step: int, steps: int, warmup: int, floor: float
) -> float:
    """The right rate but for the shape of its fall, a function of the share that is done."""
    if step <= warmup:
        return step / warmup
    return floor + (1 - floor) * fall(min(1.0, (step - warmup) / (steps - warmup)))


def rate_from(rise: float, step: int, steps: int, warmup: int, floor: float) -> float:
    """The right rate but for its warm-up."""
    return rise if step <= warmup else share_of_rate(step, steps, warmup, floor)


RATE = Exercise(
    id="learning_rate",
    lesson="11",
    title="Up on a line, down on a wave",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_rate(step, steps, warmup, floor)`: the share of the full learning rate at a step, as a
number. Steps count from 1. The share rises on a straight line, from 0 at step 0 (which is never
taken) to 1 at step `warmup`. From there it falls on half a cosine wave to `floor` at step `steps`.
Later steps keep `floor`. `warmup` may be 0: then the fall begins at step 0.""",
    reference=share_of_rate,
    cases=rate_cases,
    observe=as_number,
    atol=1e-5,
    mistakes=(
        Mistake(
            "counts-from-0",
            lambda step, steps, warmup, floor: rate_from(
                (step - 1) / max(warmup, 1), step, steps, warmup, floor
            ),
            "Your first step gets the share 0, so it teaches nothing. Steps count from 1: what is "
            "the share at step 1 of a warm-up of 4?",
        ),
        Mistake(
            "one-step-ahead",
            lambda step, steps, warmup, floor: rate_from(
                (step + 1) / max(warmup, 1), step, steps, warmup, floor
            ),
            "Your warm-up is one step ahead and ends above 1. That is the formula for steps that "
            "count from 0.",
        ),
        Mistake(
            "floor-forgotten",
            lambda step, steps, warmup, floor: share_of_rate(step, steps, warmup, 0.0),
            "Your wave ends at 0. It has to end at `floor`.",
        ),
        Mistake(
            "floor-on-top",
            lambda step, steps, warmup, floor: (
                share_of_rate(step, steps, warmup, 0.0) + floor * (step > warmup)
            ),
            "You add the floor to a whole wave, so the fall starts above 1. The wave only has the "
            "room between 1 and the floor.",
        ),
        Mistake(
            "cut-at-the-floor",
            lambda step, steps, warmup, floor: (
                step / warmup
                if step <= warmup
                else max(floor, share_of_rate(step, steps, warmup, 0.0))
            ),
            "Your wave goes down to 0 and is cut off at the floor, so it gets there too early. "
            "Squeeze the wave into the room between 1 and the floor.",
        ),
        Mistake(
            "straight-fall",
            lambda step, steps, warmup, floor: rate_by(
                lambda done: 1 - done, step, steps, warmup, floor
            ),
            "You fall on a straight line. Half a cosine starts and ends gently.",
        ),
        Mistake(
            "degrees",
            lambda step, steps, warmup, floor: rate_by(
                lambda done: (1 + math.cos(180 * done)) / 2, step, steps, warmup, floor
            ),
            "math.cos takes radians. Half a turn is π there, not 180.",
        ),
        Mistake(
            "whole-wave",
            lambda step, steps, warmup, floor: rate_by(
                lambda done: half_wave(2 * done), step, steps, warmup, floor
            ),
            "Your wave is back at 1 when the run ends: a whole wave. Half a wave is half a turn.",
        ),
        Mistake(
            "warm-up-counted",
            lambda step, steps, warmup, floor: (
                step / warmup if step <= warmup else share_of_rate(step, steps, 0, floor)
            ),
            "Your fall behaves as if it had begun at step 0, so the rate jumps after the warm-up. "
            "How many steps does the fall have, and how many of them are done?",
        ),
        Mistake(
            "rises-again",
            lambda step, steps, warmup, floor: (
                step / warmup
                if step <= warmup
                else floor + (1 - floor) * half_wave((step - warmup) / (steps - warmup))
            ),
            "After the last step your rate climbs again, as the cosine does. It has to stay at "
            "`floor`.",
        ),
        Mistake(
            "divides-by-no-warm-up",
            lambda step, steps, warmup, floor: min(
                step / warmup, share_of_rate(max(step, warmup), steps, warmup, floor)
            ),
            "With `warmup` 0 you divide by 0. Look first whether the step is in the warm-up.",
        ),
    ),
    hints=(
        "Three parts: up to `warmup`, up to `steps`, after that. Draw them, then write an `if` for "
        "each.",
        "In the fall, let `done` go from 0 (at step warmup) to 1 (at step steps). cos(π · done) "
        "then goes from 1 to -1.",
        "Add 1 to that cosine and halve it: from 1 to 0. Multiply by the room, 1 - floor, and put "
        "it on the floor.",
    ),
    source=(schedules.warmup_cosine,),
)


# --- the loss


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean cross-entropy of each next token: logits (B, T, V) for tokens (B, T) -> one number."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def loss_cases() -> list[Case]:
    def ids(seed: int, B: int, T: int, V: int) -> Tensor:
        return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))

    small = torch.tensor([[[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]])
    sure = F.one_hot(ids(20, 2, 5, 4), 4)[:, 1:]
    return [
        Case("one text of two tokens", (small, torch.tensor([[2, 1]]))),
        Case("one text of three", (numbers(1, 1, 3, 4), ids(2, 1, 3, 4))),
        Case("B = 2, T = 4, V = 3", (numbers(3, 2, 4, 3) * 2, ids(4, 2, 4, 3))),
        Case("B = T = V", (numbers(5, 3, 3, 3), ids(6, 3, 3, 3))),
        Case("B = 3, T = 5, V = 7", (numbers(7, 3, 5, 7), ids(8, 3, 5, 7))),
        Case("sure and right", (F.pad(sure * 30.0, (0, 0, 0, 1)), ids(20, 2, 5, 4))),
        Case("large scores", (numbers(9, 2, 4, 5) * 400, ids(10, 2, 4, 5))),
        Case("all scores near 200", (numbers(15, 2, 3, 4) + 200, ids(16, 2, 3, 4))),
        Case("float64", (numbers(11, 2, 4, 5, dtype=torch.float64), ids(12, 2, 4, 5))),
        Case("not contiguous", (strided(numbers(13, 2, 3, 4)), ids(14, 3, 2, 4).T)),
    ]


def token_losses(logits: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy of each next token, not averaged yet: (B, T - 1)."""
    return F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")


def taken(table: Tensor, tokens: Tensor) -> Tensor:
    """What the table of positions 0 … T - 2 says of the next token: (B, T - 1)."""
    return table[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]


LOSS = Exercise(
    id="next_token_loss",
    lesson="11",
    title="One loss for all the next tokens",
    minutes=6,
    difficulty=2,
    prompt="""
A model has read `tokens` (B, T), and its `logits` (B, T, V) at position t are its scores for the
token that comes *after* t. Write `my_loss(logits, tokens)`: the mean cross-entropy in nats over all
next tokens that are there to be compared. It is one number, a tensor without axes, through which
gradients flow. Scores may be large.""",
    reference=next_token_loss,
    cases=loss_cases,
    gradients=True,
    mistakes=(
        Mistake(
            "no-logarithm",
            lambda logits, tokens: (
                -(logits[:, :-1].softmax(-1).gather(-1, tokens[:, 1:, None]).mean())
            ),
            "You average the probabilities of the right tokens. Take the logarithm of each first.",
        ),
        Mistake(
            "logits-alone",
            lambda logits, tokens: -logits[:, :-1].gather(-1, tokens[:, 1:, None]).mean(),
            "You average the scores of the right tokens, with a minus. Scores are not "
            "log-probabilities yet: the other tokens' scores have to count against them.",
        ),
        Mistake(
            "no-shift",
            lambda logits, tokens: F.cross_entropy(logits.flatten(0, 1), tokens.flatten()),
            "You compare position t with token t, which the model has just read. It would learn to "
            "copy. Which token are the scores at t for?",
        ),
        Mistake(
            "shifted-backwards",
            lambda logits, tokens: F.cross_entropy(
                logits[:, 1:].flatten(0, 1), tokens[:, :-1].flatten()
            ),
            "You shift the wrong way: position t is compared with token t - 1, which it has seen.",
        ),
        Mistake(
            "wraps-around",
            lambda logits, tokens: F.cross_entropy(
                logits.flatten(0, 1), tokens.roll(-1, 1).flatten()
            ),
            "The last position has no next token here. You give it the first one of the text, as "
            "roll does. Leave it out.",
        ),
        Mistake(
            "softmax-first",
            lambda logits, tokens: next_token_loss(logits.softmax(-1), tokens),
            "Your softmax is taken twice: F.cross_entropy takes logits and does its own.",
        ),
        Mistake(
            "log-of-zero",
            lambda logits, tokens: -taken(logits.softmax(-1).log(), tokens).mean(),
            "A probability can be so small that it is rounded to 0, and its logarithm is infinite. "
            "log_softmax takes both steps at once.",
        ),
        Mistake(
            "overflow",
            lambda logits, tokens: (
                logits[:, :-1].exp().sum(-1).log() - taken(logits, tokens)
            ).mean(),
            "exp of a large score is infinite. torch.logsumexp or log_softmax avoid that.",
        ),
        Mistake(
            "sign",
            lambda logits, tokens: -next_token_loss(logits, tokens),
            "Yours is the mean log-probability, which is never above 0. A loss is minus that.",
        ),
        Mistake(
            "sum",
            lambda logits, tokens: token_losses(logits, tokens).sum(),
            "You add the losses up. The mean does not depend on how many tokens there are.",
        ),
        Mistake(
            "sum-over-a-text",
            lambda logits, tokens: token_losses(logits, tokens).sum(1).mean(),
            "You average over the texts, but add up along each. The mean runs over both.",
        ),
        Mistake(
            "divides-by-T",
            lambda logits, tokens: token_losses(logits, tokens).sum() / tokens.numel(),
            "You divide by T for each text. How many of its T positions have a next token?",
        ),
        Mistake(
            "view-without-transpose",
            lambda logits, tokens: F.cross_entropy(
                logits[:, :-1].reshape(len(logits), logits.shape[-1], -1), tokens[:, 1:]
            ),
            "You reshape (B, T, V) to (B, V, T), which mixes up positions and scores. Either swap "
            "the axes, or join B and T.",
        ),
        Mistake(
            "detached",
            lambda logits, tokens: next_token_loss(logits.detach(), tokens),
            "The number is right, but no gradient comes back, so nothing would be learnt. Is there "
            "a detach(), .item() or torch.tensor(…) on the way?",
        ),
    ),
    hints=(
        "Write down a text of four tokens. Which positions have scores for which token? Which "
        "position is left without one?",
        "Drop the last position of the logits and the first token: what remains stands in pairs.",
        "F.cross_entropy takes scores (N, V) and ids (N,), and gives the mean. flatten joins the "
        "axes B and T.",
    ),
    source=(next_token_loss, training.next_token_sum),
)


# --- the floor of a smoothed loss


def lowest_loss(smoothing: float, classes: int) -> float:
    """The least mean loss in nats that label smoothing leaves: the entropy of its target."""
    return training.smoothing_floor(smoothing, classes)


def floor_cases() -> list[Case]:
    pairs = [(0.5, 2), (0.1, 3), (0.1, 65), (0.2, 4), (0.0, 10), (0.1, 50257), (0.3, 1), (0.9, 5)]
    # Sums over 50,257 tokens in float32 are good to about 1e-4.
    return [Case(f"ε = {e}, V = {V}", (e, V), 3e-4) for e, V in pairs]


def entropy(*shares: tuple[float, float]) -> float:
    """Of a target given as (how many, the share of each), whatever they sum to."""
    return -sum(many * share * math.log(share) for many, share in shares if share)


FLOOR = Exercise(
    id="smoothing_floor",
    lesson="11",
    title="A loss that cannot reach 0",
    minutes=6,
    difficulty=2,
    prompt="""
With label smoothing the target is no longer one token. It is a distribution: a share `smoothing`
is spread evenly over all `classes` tokens, *the right one included*; the rest goes to the right
one. The loss of one token is the sum, over all tokens, of target times minus the logarithm (nats)
of the model's probability. Write `my_floor(smoothing, classes)`: the lowest loss that any model can
reach. `smoothing` may be 0, and `classes` may be 1.""",
    reference=lowest_loss,
    cases=floor_cases,
    observe=as_number,
    atol=1e-5,
    mistakes=(
        Mistake(
            "zero",
            lambda smoothing, classes: 0.0,
            "A model that is certain of the right token pays an infinite price for the share that "
            "the others have. So 0 is out of reach.",
        ),
        Mistake(
            "right-token-only",
            lambda smoothing, classes: -math.log(1 - smoothing + smoothing / classes),
            "You count what the right token alone would cost. The loss adds up target times "
            "-log(probability) over all tokens.",
        ),
        Mistake(
            "one-other",
            lambda smoothing, classes: entropy(
                (1, 1 - smoothing + smoothing / classes), (1, smoothing / classes)
            ),
            "You count one of the other tokens. How many are there?",
        ),
        Mistake(
            "spread-over-the-others",
            lambda smoothing, classes: entropy(
                (1, 1 - smoothing), (classes - 1, smoothing / max(classes - 1, 1))
            ),
            "You spread the share over the wrong tokens only. Here, as in torch, the right token "
            "gets its part of it.",
        ),
        Mistake(
            "right-one-without-its-part",
            lambda smoothing, classes: entropy(
                (1, 1 - smoothing), (classes - 1, smoothing / classes)
            ),
            "Your shares do not sum to 1: the right token gets its part of the smoothing as well.",
        ),
        Mistake(
            "others-as-one",
            lambda smoothing, classes: entropy((1, 1 - smoothing), (1, smoothing)),
            "You treat the smoothed share as if one token had it. It is spread over V of them, and "
            "a logarithm is taken of each.",
        ),
        Mistake(
            "certain-or-lost",
            lambda smoothing, classes: smoothing * math.log(classes),
            "You add the floors of two targets, a certain one and an even one. One model has to "
            "serve their mixture, and that costs more.",
        ),
        Mistake(
            "bits",
            lambda smoothing, classes: lowest_loss(smoothing, classes) / math.log(2),
            "Yours is in bits: a logarithm to base 2. Nats take the natural one.",
        ),
        Mistake(
            "sign",
            lambda smoothing, classes: -lowest_loss(smoothing, classes),
            "Logarithms of shares are negative. A minus sign is missing, or there is one too many.",
        ),
        Mistake(
            "log-of-zero",
            lambda smoothing, classes: (
                -(classes - 1) * smoothing / classes * math.log(smoothing / classes)
                + entropy((1, 1 - smoothing + smoothing / classes))
            ),
            "With smoothing 0 you take the logarithm of 0. A token without a share costs nothing: "
            "leave its part out.",
        ),
    ),
    hints=(
        "Which probabilities should the model give so that the loss is lowest? Try V = 2 and "
        "ε = 0.5, where the target is 0.75 and 0.25.",
        "The best model gives exactly the target. What remains is the target's entropy: the sum of "
        "-p · log p.",
        "One token has 1 - ε + ε/V, each of the V - 1 others has ε/V. A share of 0 adds nothing.",
    ),
    source=(training.smoothing_floor,),
)


# --- name the curve

DIAGNOSES = ("rate too high", "stuck", "leak", "overfitting", "healthy")


def diagnosis(train: list[float], validation: list[float], guess: float) -> str:
    """What a run suffers from, by where its two losses end; guess is ln V."""
    clear = guess / 10
    if not train[-1] <= guess + clear:  # NaN is not below anything
        return "rate too high"
    if train[-1] >= guess - clear:
        return "stuck"
    if validation[-1] < clear:
        return "leak"
    return "overfitting" if validation[-1] > min(validation) + clear else "healthy"


def fall(start: float, end: float, count: int = 8) -> list[float]:
    """Fast at first, then flatter."""
    return [end + (start - end) * math.exp(-i / 1.5) for i in range(count)]


def line(start: float, end: float, count: int = 4) -> list[float]:
    return torch.linspace(start, end, count).tolist()


def run(seed: int, name: str, V: int, train: list[float], validation: list[float]) -> Case:
    """Two curves, given in units of ln V, with a little noise."""
    guess = math.log(V)
    noise = 1 + 0.015 * numbers(seed, 2, len(train)).clamp(-1, 1)
    curves = torch.tensor([train, validation]) * noise * guess
    one, other = ([round(x, 3) for x in curve] for curve in curves.tolist())
    return Case(f"V = {V}, {name}", (one, other, round(guess, 3)))


def curve_cases() -> list[Case]:
    falls, nan = fall(1.0, 0.4, 4), [math.nan] * 4
    spike = [*fall(1.0, 0.5, 3), 1.6, 0.9, *fall(0.5, 0.4, 3)]
    most = fall(1.0, 0.45, 7)  # for what happens only at the very end
    return [
        run(1, "both fall", 65, fall(1.0, 0.4), fall(1.0, 0.45)),
        run(2, "nothing moves", 65, fall(1.0, 1.0), fall(1.0, 1.0)),
        run(3, "down and up", 65, [*falls, 0.9, 1.5, 2.5, 3.0], [*falls, 1.0, 1.6, 2.4, 3.1]),
        run(4, "almost 0", 65, fall(1.0, 0.01), fall(1.0, 0.012)),
        run(5, "apart at the end", 65, fall(1.0, 0.02), [*fall(1.0, 0.5, 4), *line(0.55, 0.75)]),
        run(6, "only just too high", 300, fall(1.0, 1.25), fall(1.0, 1.25)),
        run(7, "NaN", 65, [*falls, *nan], [*falls, *nan]),
        run(8, "NaN at the very end", 2, [*fall(1.0, 0.8, 7), math.nan], fall(1.0, 0.8)),
        run(9, "a bad start", 65, fall(7.0, 1.0), fall(7.0, 1.0)),
        run(10, "hardly moves", 50257, fall(1.0, 0.93), fall(1.0, 0.94)),
        run(11, "a little above", 10, fall(1.3, 1.05), fall(1.3, 1.05)),
        run(12, "slow", 2, fall(1.0, 0.8), fall(1.0, 0.82)),
        run(13, "a low end", 50257, fall(1.0, 0.17), fall(1.0, 0.22)),
        run(14, "a gap", 65, fall(1.0, 0.02), fall(1.0, 0.6)),
        run(15, "a spike", 65, spike, spike),
        run(16, "almost 0", 50257, fall(1.0, 0.04), fall(1.0, 0.05)),
        run(17, "almost 0", 4, fall(1.0, 0.02), fall(1.0, 0.03)),
        run(18, "apart early", 65, fall(1.0, 0.3), [*fall(1.0, 0.6, 3), *line(0.7, 1.4, 5)]),
        run(19, "a small turn", 50257, fall(1.0, 0.3), [*fall(1.0, 0.4, 6), 0.43, 0.46]),
        run(20, "a jump at the end", 65, [*most, 0.6], [*most, 0.65]),
        run(21, "a high jump at the end", 2, [*most, 1.3], [*most, 1.3]),
        run(22, "back at the end", 65, [*most, 1.0], [*most, 1.0]),
        run(23, "a drop at the end", 65, [*most, 0.02], [*most, 0.03]),
    ]


def curve_named(inputs: tuple[Any, ...], named: Tensor) -> str:
    """Empty for the right name; else both names."""
    yours, right = DIAGNOSES[int(named)], diagnosis(*inputs)
    return "" if yours == right else f'Yours calls this run "{yours}"; it is "{right}".'


def signs(train: Sequence[float], validation: Sequence[float], guess: float) -> dict[str, bool]:
    """Each diagnosis and whether its sign is there, in the order in which they are asked."""
    clear, low, high = guess / 10, train[-1] < guess * 0.9, train[-1] > guess * 1.1
    return {
        "rate too high": high or math.isnan(train[-1]),
        "stuck": not low,
        "leak": validation[-1] < clear,
        "overfitting": validation[-1] > min(validation) + clear,
    }


def first(seen: dict[str, bool]) -> str:
    return next((name for name, there in seen.items() if there), "healthy")


CURVES = Exercise(
    id="name_the_curve",
    lesson="11",
    title="Name the bug by its curve",
    minutes=8,
    difficulty=2,
    prompt="""
Write `my_diagnosis(train, validation, guess)`: two lists of losses along a run, and `guess` = ln V,
the loss of guessing evenly. A *clear* difference is over `guess / 10`; noise is less. Return:

- `"rate too high"`: training ends clearly above `guess`, or NaN
- `"stuck"`: training ends with no clear difference from `guess`
- `"leak"`: validation ends below `guess / 10`, where honest text never gets
- `"overfitting"`: training ends clearly below `guess`, validation clearly above its own lowest
- `"healthy"`: none of these""",
    reference=diagnosis,
    cases=curve_cases,
    observe=as_choice(*DIAGNOSES),
    judge=curve_named,
    mistakes=(
        Mistake(
            "nan-missed",
            lambda train, validation, guess: (
                "healthy" if math.isnan(train[-1]) else diagnosis(train, validation, guess)
            ),
            "A comparison with NaN is always False, so none of your signs fires. math.isnan asks "
            "directly.",
        ),
        Mistake(
            "any-rise",
            lambda train, validation, guess: first(
                signs(train, validation, guess)
                | {"overfitting": any(b > a for a, b in zip(validation, validation[1:]))}  # noqa: B905, RUF007
            ),
            "You take any rise from one value to the next for overfitting. Noise does that too.",
        ),
        Mistake(
            "no-margin",
            lambda train, validation, guess: first(
                signs(train, validation, guess) | {"overfitting": validation[-1] > min(validation)}
            ),
            "Your validation loss ends above its lowest value by noise alone. How far above is "
            "clear?",
        ),
        Mistake(
            "gap",
            lambda train, validation, guess: first(
                signs(train, validation, guess)
                | {"overfitting": validation[-1] > train[-1] + guess / 10}
            ),
            "You look at the gap between the curves. A gap alone does no harm while the validation "
            "loss stays low: compare that loss with its own lowest value.",
        ),
        Mistake(
            "leak-by-training-alone",
            lambda train, validation, guess: first(
                signs(train, validation, guess) | {"leak": train[-1] < guess / 10}
            ),
            "A training loss near 0 may be learnt by heart. A leak shows on text that the model "
            "has never seen.",
        ),
        Mistake(
            "rate-by-validation",
            lambda train, validation, guess: first(
                signs(train, validation, guess)
                | {"rate too high": not validation[-1] <= guess * 1.1}
            ),
            "You judge the rate by the validation loss. A run that overfits can end above `guess` "
            "there too, while its training loss falls.",
        ),
        Mistake(
            "rate-by-the-largest",
            lambda train, validation, guess: first(
                signs(train, validation, guess)
                | {"rate too high": any(not x <= guess * 1.1 for x in train)}
            ),
            "You look for a high loss anywhere. A bad start or one spike may pass; where does the "
            "run end?",
        ),
        Mistake(
            "stuck-by-the-fall",
            lambda train, validation, guess: first(
                signs(train, validation, guess) | {"stuck": train[0] - train[-1] < guess / 10}
            ),
            "You ask how far the loss fell. A bad start can fall far and learn nothing but to "
            "guess evenly: compare the end with `guess`.",
        ),
        Mistake(
            "other-vocabulary",
            lambda train, validation, guess: diagnosis(train, validation, math.log(65)),
            "You measure against a fixed loss, but the vocabularies differ: `guess` goes from 0.7 "
            "to 10.8.",
        ),
        Mistake(
            "overfitting-first",
            lambda train, validation, guess: (
                "overfitting"
                if validation[-1] > min(validation) + guess / 10
                else diagnosis(train, validation, guess)
            ),
            "In a run that blows up, the validation loss rises as well. Overfitting means that the "
            "training loss ends low: ask about that first.",
        ),
    ),
    hints=(
        "Four questions about the ends of the curves, one after the other. Which must come first, "
        "so that the later ones need not think of it?",
        "Ask in the order of the list: the first sign that is there decides. guess / 10 is the "
        "yardstick for all of them.",
        "The end of train decides the first two; math.isnan catches NaN. A leak shows at the end "
        "of validation. Overfitting compares that end with the smallest value of validation.",
    ),
)


# --- weight decay


class Parts(nn.Module):
    """Named parts, shown as the names and shapes of their parameters."""

    def __init__(self, **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def __repr__(self) -> str:
        return ", ".join(f"{name} {tuple(p.shape)}" for name, p in self.named_parameters())


def decaying(model: nn.Module) -> set[str]:
    """The names of the parameters that weight decay pulls towards 0."""
    chosen = {id(p) for p in training.weight_groups(model, 0.01)[0]["params"]}
    return {name for name, p in model.named_parameters() if id(p) in chosen}


def decay_cases() -> list[Case]:
    embedding, output = nn.Embedding(7, 4), nn.Linear(4, 7)
    output.weight = embedding.weight
    tied = Parts(embedding=embedding, norm=nn.RMSNorm(4), output=output)
    table = Parts(layer=nn.Linear(3, 3, bias=False))
    table.register_buffer("causal", torch.ones(5, 5))
    table.register_buffer("waves", torch.ones(5, 3))
    block = Parts(
        attention=nn.MultiheadAttention(4, 2),
        ln_1=nn.LayerNorm(4),
        ff=nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)),
    )
    single = Parts(
        starts=nn.Parameter(torch.ones(2, 4)),
        gain=nn.Parameter(torch.ones(4)),
        temperature=nn.Parameter(torch.ones(())),
        head=nn.Linear(4, 1),
    )
    models = {
        "one layer": Parts(layer=nn.Linear(3, 2)),
        "a norm": Parts(norm=nn.LayerNorm(2), layer=nn.Linear(2, 2)),
        "numbered parts": Parts(stack=nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))),
        "an embedding": Parts(tokens=nn.Embedding(5, 3), output=nn.Linear(3, 5, bias=False)),
        "a convolution": Parts(mix=nn.Conv1d(2, 3, 2), table=nn.Embedding(2, 3)),
        "masks and waves kept beside": table,
        "tied": tied,
        "a block": block,
        "parameters of their own": single,
    }
    return [Case(name, (model,)) for name, model in models.items()]


def chosen_names(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """1 for each parameter that is named, 0 for each other."""
    (model,) = inputs
    if output is None:
        as_tensor(inputs, output)
    try:
        given = set(output) if not isinstance(output, str) else {output}
    except TypeError:
        given = {output}
    if any(isinstance(name, Tensor) for name in given):
        raise Unfit("Return names, such as 'layer.weight', not the parameters themselves.")
    if not all(isinstance(name, str) for name in given):
        raise Unfit("Return a set of names, such as {'layer.weight'}.")
    names = [name for name, _ in model.named_parameters()]
    if strange := sorted(given.difference(names)):
        raise Unfit(f"{strange[0]!r} is no name that model.named_parameters() gives.")
    return torch.tensor([float(name in given) for name in names])


vars(chosen_names)["coded"] = True  # names as zeros and ones: the evidence does not show them


def names_fit(inputs: tuple[Any, ...], chosen: Tensor) -> str:
    """Empty for the right set, else the first name that is too many or missing."""
    wanted = chosen_names(inputs, decaying(*inputs))
    for (name, _), yours, right in zip(
        inputs[0].named_parameters(), chosen.tolist(), wanted.tolist(), strict=True
    ):
        if yours != right:
            return f"{name!r} is {'missing' if right else 'too many'}."
    return ""


def names_where(model: nn.Module, test: Callable[[str, Tensor], bool]) -> set[str]:
    return {name for name, p in model.named_parameters() if test(name, p)}


DECAY = Exercise(
    id="decay_groups",
    lesson="11",
    title="What weight decay should touch",
    minutes=4,
    difficulty=1,
    prompt="""
Weight decay pulls numbers towards 0. That keeps matrices tame, embeddings and convolutions among
them. It should leave alone what only shifts or scales single features: biases, and all that a norm
learns. Write `my_decay(model)`: the set of names, as `model.named_parameters()` gives them, of the
parameters that decay. Names differ from model to model, so they do not tell you the kind.""",
    reference=decaying,
    cases=decay_cases,
    observe=chosen_names,
    judge=names_fit,
    mistakes=(
        Mistake(
            "everything",
            lambda model: names_where(model, lambda name, p: True),
            "You let every parameter decay, biases and norms as well.",
        ),
        Mistake(
            "named-weight",
            lambda model: names_where(model, lambda name, p: name.endswith("weight")),
            "You go by the name `weight`. A norm has a weight too, and a matrix may be called "
            "something else.",
        ),
        Mistake(
            "not-named-bias",
            lambda model: names_where(model, lambda name, p: "bias" not in name),
            "You leave out the biases. What a norm learns must not decay either, nor any other "
            "scale.",
        ),
        Mistake(
            "not-named-norm",
            lambda model: names_where(
                model, lambda name, p: not name.endswith("bias") and "norm" not in name
            ),
            "You look for `norm` in the name. Inside a Sequential a norm is called 1, elsewhere "
            "ln_1. What do a matrix and a vector differ in?",
        ),
        Mistake(
            "exactly-two-axes",
            lambda model: names_where(model, lambda name, p: p.dim() == 2),
            "A convolution's weight has three axes. It multiplies like a matrix and decays like "
            "one.",
        ),
        Mistake(
            "linear-layers-only",
            lambda model: (
                {f"{name}.weight" for name, m in model.named_modules() if type(m) is nn.Linear}
                & names_where(model, lambda name, p: True)
            ),
            "You take the Linear layers only. Embeddings, convolutions and free parameters can be "
            "tables too.",
        ),
        Mistake(
            "embeddings-left-out",
            lambda model: (
                names_where(model, lambda name, p: p.dim() > 1)
                - {f"{name}.weight" for name, m in model.named_modules() if type(m) is nn.Embedding}
            ),
            "You leave the embeddings out, as some recipes do. Here they decay, like all tables.",
        ),
        Mistake(
            "state-dict",
            lambda model: {name for name, p in model.state_dict().items() if p.dim() > 1},
            "state_dict holds more than parameters: buffers, which are never trained, and each "
            "tied matrix twice. Go through named_parameters.",
        ),
        Mistake(
            "parameters-not-names",
            lambda model: [p for p in model.parameters() if p.dim() > 1],
            "These are the parameters themselves. Return their names: named_parameters gives both.",
        ),
    ),
    hints=(
        "Print name and shape of every parameter of nn.Linear(3, 2) and nn.LayerNorm(3).",
        "A bias has one axis, and so has all that a norm learns. What do matrices, embeddings and "
        "convolutions have?",
        "Collect the names of the parameters with two axes or more; p.dim() counts the axes.",
    ),
    source=(training.weight_groups,),
)


EXERCISES = (RATE, LOSS, FLOOR, CURVES, DECAY)
