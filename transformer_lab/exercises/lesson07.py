"""The exercises of lesson 07: the parts of a layer, and their order."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer_lab import layers as package
from transformer_lab.exercises.common import numbers, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake
from transformer_lab.exercises.lesson06 import Part

# --- layer norm


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Each vector at mean 0 and variance 1, then scaled and shifted: (..., D), (D,), (D,)."""
    return package.layer_norm(x, weight, bias, eps)


def norm_cases() -> list[Case]:
    """(x, weight, bias, eps)"""
    plain = torch.ones(3), torch.zeros(3)
    double = [
        numbers(seed, *shape, dtype=torch.float64) for seed, shape in ((20, (2, 5)), (21, (5,)))
    ]
    return [
        Case("one token", (torch.tensor([[1.0, 2.0, 6.0]]), *plain)),
        Case("one token, weight and bias", (numbers(1, 1, 3), numbers(2, 3), numbers(3, 3))),
        Case("two tokens", (numbers(4, 2, 4) * 3, numbers(5, 4), numbers(6, 4))),
        Case("a batch", (numbers(7, 2, 3, 4), numbers(8, 4), numbers(9, 4))),
        Case("B = T = D", (numbers(10, 3, 3, 3) + 2, numbers(11, 3), numbers(12, 3))),
        Case("all numbers of a token equal", (torch.full((2, 3), 5.0), *plain)),
        Case("numbers near 0", (numbers(13, 2, 4) / 1000, numbers(14, 4), numbers(15, 4))),
        Case("eps = 0.5", (numbers(16, 2, 3), numbers(17, 3), numbers(18, 3), 0.5)),
        # Their squares in float32 are good to 4 only, which is more than the variance, 1.
        Case("far from 0", (torch.tensor([[8191.0, 8193.0] * 2]), numbers(19, 4), torch.zeros(4))),
        Case("float64", (double[0], double[1], double[1].flip(0), 1e-5)),
        Case("not contiguous", (numbers(22, 2, 4, 3).mT, strided(numbers(23, 4)), numbers(24, 4))),
    ]


def spread(x: Tensor, correction: int = 0) -> Tensor:
    """The variance of each vector, over D or, with a correction of 1, over D - 1."""
    return x.var(-1, correction=correction, keepdim=True)


def divided(by: Callable[[Tensor, float], Tensor]) -> Callable[..., Tensor]:
    """A mistake: the right numbers over the wrong spread."""
    return lambda x, weight, bias, eps=1e-5: (
        (x - x.mean(-1, keepdim=True)) / by(x, eps) * weight + bias
    )


def normed_over(*axes: int) -> Callable[..., Tensor]:
    """A mistake: layer norm with mean and variance over other axes."""
    return lambda x, weight, bias, eps=1e-5: (
        (x - x.mean(axes, keepdim=True))
        / (x.var(axes, correction=0, keepdim=True) + eps).sqrt()
        * weight
        + bias
    )


LAYER_NORM = Exercise(
    id="layer_norm",
    lesson="07",
    title="Mean 0, variance 1",
    minutes=5,
    difficulty=2,
    prompt="""
Write `my_layer_norm(x, weight, bias, eps=1e-5)` by hand: `(..., D), (D,), (D,) -> (..., D)`. Each
vector of D numbers is on its own. Take its mean away. The variance is the mean of the squares of
what is left, their sum divided by D. Add `eps` to the variance and take the square root; divide by
that. Then multiply by `weight` and add `bias`, number by number.""",
    reference=layer_norm,
    cases=norm_cases,
    mistakes=(
        Mistake(
            "over-tokens-as-well",
            normed_over(-2, -1),
            "Your mean runs over T and D at once, so tokens learn of each other, also of later "
            "ones: a leak past any mask. Each token has its own mean and variance.",
        ),
        Mistake(
            "over-tokens",
            normed_over(-2),
            "Your mean runs over the tokens. It runs over the D numbers of one token.",
        ),
        Mistake(
            "axis-from-the-left",
            normed_over(1),
            "Your mean runs along axis 1. That is D only where there is no batch. Count axes from "
            "the right.",
        ),
        Mistake(
            "keepdim-forgotten",
            lambda x, weight, bias, eps=1e-5: (
                (x - x.mean(-1)) / (x.var(-1, correction=0) + eps).sqrt() * weight + bias
            ),
            "Your mean has lost its axis, so it meets the wrong numbers, or none at all. "
            "keepdim=True keeps the axis, for the variance too.",
        ),
        Mistake(
            "divided-by-d-minus-1",
            divided(lambda x, eps: (spread(x, 1) + eps).sqrt()),
            "Your variance divides by D − 1, as torch's var and std do unless they are told "
            "otherwise. Divide by D.",
        ),
        Mistake(
            "eps-outside",
            divided(lambda x, eps: spread(x).sqrt() + eps),
            "You add eps to the root. It belongs under the root: a large eps, or numbers near "
            "0, tell the two apart.",
        ),
        Mistake(
            "as-in-a-famous-text",
            divided(lambda x, eps: spread(x, 1).sqrt() + eps),
            "You divide by std + eps, with a std over D − 1, as a well-known text does and "
            "nn.LayerNorm does not. Divide the variance by D, and put eps under the root.",
        ),
        Mistake(
            "eps-forgotten",
            divided(lambda x, eps: spread(x).sqrt()),
            "Where all numbers of a token are equal you divide 0 by 0. What is eps for?",
        ),
        Mistake(
            "eps-fixed",
            divided(lambda x, eps: (spread(x) + 1e-5).sqrt()),
            "Your eps is always 0.00001. It is an argument.",
        ),
        Mistake(
            "root-forgotten",
            divided(lambda x, eps: spread(x) + eps),
            "You divide by the variance. Its square root has the size of the numbers.",
        ),
        Mistake(
            "mean-left-in",
            lambda x, weight, bias, eps=1e-5: x / (spread(x) + eps).sqrt() * weight + bias,
            "The mean is still in there: take it away from x before you divide.",
        ),
        Mistake(
            "one-pass",
            lambda x, weight, bias, eps=1e-5: divided(
                lambda x, eps: (
                    x.square().mean(-1, keepdim=True) - x.mean(-1, keepdim=True).square() + eps
                ).sqrt()
            )(x, weight, bias, eps),
            "Mean of squares minus square of the mean: right on paper, but far from 0 it is the "
            "small difference of two large numbers. Take the mean away first, then square.",
        ),
        Mistake(
            "no-weight",
            lambda x, weight, bias, eps=1e-5: layer_norm(x, torch.ones_like(weight), bias, eps),
            "The weight is missing: multiply by it at the end.",
        ),
        Mistake(
            "no-bias",
            lambda x, weight, bias, eps=1e-5: package.layer_norm(x, weight, None, eps),
            "The bias is missing: add it at the end.",
        ),
        Mistake(
            "bias-first",
            lambda x, weight, bias, eps=1e-5: layer_norm(x, weight, weight * bias, eps),
            "You multiply the bias by the weight too. First multiply, then add the bias.",
        ),
    ),
    hints=(
        "Which axis holds the D numbers of one token? Mean and variance run along it, with "
        "keepdim=True.",
        "c = x minus its mean. Then the variance is the mean of c squared, and no torch default "
        "can get in the way.",
        "Divide c by the root of (variance + eps). Then comes the weight, then the bias.",
    ),
    source=(package.layer_norm,),
)


# --- rms norm


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """Each vector divided by its root mean square, then scaled: (..., D), (D,) -> (..., D)."""
    return package.rms_norm(x, weight, eps)


def rms_cases() -> list[Case]:
    """The same without a bias, and a token of zeros."""
    cases = [Case(name, (x, weight, *eps)) for name, (x, weight, _, *eps), _ in norm_cases()]
    return [*cases, Case("a token of zeros", (torch.zeros(1, 3), numbers(25, 3)))]


def squares(x: Tensor, *axes: int) -> Tensor:
    """The mean of the squares."""
    return x.square().mean(axes or -1, keepdim=True)


def sized(by: Callable[[Tensor, float], Tensor]) -> Callable[..., Tensor]:
    """A mistake: divided by something else."""
    return lambda x, weight, eps=1e-5: x / by(x, eps) * weight


RMS_NORM = Exercise(
    id="rms_norm",
    lesson="07",
    title="The same without the mean",
    minutes=4,
    difficulty=1,
    prompt="""
Write `my_rms_norm(x, weight, eps=1e-5)`: `(..., D), (D,) -> (..., D)`. No mean is taken away and
there is no bias. Take the mean of the squares of a vector's D numbers, add `eps`, take the square
root: that is the vector's size. Divide the vector by it, then multiply by `weight`, number by
number.""",
    reference=rms_norm,
    cases=rms_cases,
    mistakes=(
        Mistake(
            "weight-added",
            lambda x, weight, eps=1e-5: rms_norm(x, torch.ones_like(weight), eps) + weight,
            "You add the weight. It scales: multiply by it.",
        ),
        Mistake(
            "centred",
            lambda x, weight, eps=1e-5: package.layer_norm(x, weight, None, eps),
            "You take the mean away: that is layer norm. RMS norm leaves it in.",
        ),
        Mistake(
            "sum-of-squares",
            sized(lambda x, eps: (x.square().sum(-1, keepdim=True) + eps).sqrt()),
            "You divide by the length of the vector, the root of the *sum* of squares. Take their "
            "mean, so that the numbers keep a size near 1 whatever D is.",
        ),
        Mistake(
            "root-forgotten",
            sized(lambda x, eps: squares(x) + eps),
            "You divide by the mean square. Its root has the size of the numbers.",
        ),
        Mistake(
            "eps-outside",
            sized(lambda x, eps: squares(x).sqrt() + eps),
            "You add eps to the root. It belongs under the root: a large eps, or numbers near "
            "0, tell the two apart.",
        ),
        Mistake(
            "eps-forgotten",
            sized(lambda x, eps: squares(x).sqrt()),
            "A token of zeros is divided by 0. What is eps for?",
        ),
        Mistake(
            "eps-fixed",
            sized(lambda x, eps: (squares(x) + 1e-5).sqrt()),
            "Your eps is always 0.00001. It is an argument.",
        ),
        Mistake(
            "over-tokens-as-well",
            sized(lambda x, eps: (squares(x, -2, -1) + eps).sqrt()),
            "Your mean runs over T and D at once, so tokens learn of each other. Each token has "
            "its own size.",
        ),
        Mistake(
            "over-tokens",
            sized(lambda x, eps: (squares(x, -2) + eps).sqrt()),
            "Your mean runs over the tokens. It runs over the D numbers of one token.",
        ),
        Mistake(
            "no-weight",
            lambda x, weight, eps=1e-5: rms_norm(x, torch.ones_like(weight), eps),
            "The weight is missing: multiply by it at the end.",
        ),
        Mistake(
            "one-plus-weight",
            lambda x, weight, eps=1e-5: rms_norm(x, 1 + weight, eps),
            "You multiply by 1 + weight, as Gemma does. Here it is the weight itself.",
        ),
    ),
    hints=(
        "Read the name from right to left: square, mean, root.",
        "The mean runs along the last axis, with keepdim=True. eps goes under the root.",
        "x over the root of (mean of x squared, plus eps), times weight.",
    ),
    source=(package.rms_norm,),
)


# --- feed-forward


def feed_forward(x: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor) -> Tensor:
    """Two maps with a gelu between: (..., D), (D, F), (F,), (F, D), (D,) -> (..., D)."""
    return F.gelu(x @ up + up_bias) @ down + down_bias


def feed_cases() -> list[Case]:
    def case(name: str, seed: int, shape: tuple[int, ...], width: int, scale: float = 1.0) -> Case:
        dtype = torch.float64 if name == "float64" else torch.float32
        sizes = shape, (shape[-1], width), (width,), (width, shape[-1]), (shape[-1],)
        x, *rest = (numbers(seed + i, *size, dtype=dtype) for i, size in enumerate(sizes))
        return Case(name, (x * scale, *rest))

    first = [torch.tensor(part) for part in ([[1.0]], [[1.0, -1.0]], [0.0, 0.5], [[1.0], [2.0]])]
    cases = [
        Case("D = 1, F = 2", (*first, torch.tensor([0.25]))),
        case("one token", 10, (1, 2), 3),
        case("three tokens", 20, (3, 2), 8),
        case("D = F = T", 30, (3, 3), 3),
        case("F smaller than D", 40, (2, 4), 2),
        case("a batch", 50, (2, 3, 4), 16),
        case("large numbers", 60, (2, 3), 4, 10.0),
        case("float64", 70, (2, 3), 6),
    ]
    x, *rest = case("", 80, (2, 3, 4), 8).inputs
    return [*cases, Case("not contiguous", (strided(x), *(strided(part) for part in rest)))]


def bent(bend: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A mistake: another function between the two maps."""
    return lambda x, up, up_bias, down, down_bias: bend(x @ up + up_bias) @ down + down_bias


FEED_FORWARD = Exercise(
    id="feed_forward",
    lesson="07",
    title="Up, bend, down",
    minutes=4,
    difficulty=1,
    prompt="""
Write `my_feed_forward(x, up, up_bias, down, down_bias)`, in letters
`(..., D), (D, F), (F,), (F, D), (D,) -> (..., D)`. The matrix `up` takes each token from D numbers
to F, `down` takes it back to D; each adds its bias. Between them every number z becomes
gelu(z) = z · Φ(z), where Φ(z) is the share of a normal distribution below z;
`torch.nn.functional.gelu` computes it. There is no residual here: the layer adds it.""",
    reference=feed_forward,
    cases=feed_cases,
    atol=1e-5,
    mistakes=(
        Mistake(
            "relu",
            bent(torch.relu),
            "You bend with relu. gelu goes below 0 a little before it rises.",
        ),
        Mistake(
            "tanh-formula",
            bent(lambda z: F.gelu(z, approximate="tanh")),
            "This is gelu by the tanh formula, off in the fourth digit. GPT-2 was trained with it; "
            "here gelu is exact.",
        ),
        Mistake(
            "sigmoid-formula",
            bent(lambda z: z * (1.702 * z).sigmoid()),
            "This is gelu by a sigmoid, a rough formula. Here gelu is exact.",
        ),
        Mistake(
            "silu",
            bent(F.silu),
            "You bend with silu, z times its sigmoid. gelu takes Φ in place of the sigmoid.",
        ),
        Mistake(
            "no-bend",
            bent(lambda z: z),
            "Nothing bends between the two maps, so together they are one linear map, and F buys "
            "nothing.",
        ),
        Mistake(
            "bend-at-the-end",
            lambda x, up, up_bias, down, down_bias: F.gelu((x @ up + up_bias) @ down + down_bias),
            "You bend after the second map. The bend belongs between the two.",
        ),
        Mistake(
            "no-up-bias",
            lambda x, up, up_bias, down, down_bias: F.gelu(x @ up) @ down + down_bias,
            "The bias of the first map is missing. It is added before the bend.",
        ),
        Mistake(
            "up-bias-too-late",
            lambda x, up, up_bias, down, down_bias: (F.gelu(x @ up) + up_bias) @ down + down_bias,
            "You add the bias of the first map after the bend. It decides where the bend is, so it "
            "comes before.",
        ),
        Mistake(
            "no-down-bias",
            lambda x, up, up_bias, down, down_bias: F.gelu(x @ up + up_bias) @ down,
            "The bias of the second map is missing.",
        ),
        Mistake(
            "with-residual",
            lambda x, up, up_bias, down, down_bias: (
                x + feed_forward(x, up, up_bias, down, down_bias)
            ),
            "You add x to the result. That is the layer's work; here it would be added twice.",
        ),
        Mistake(
            "transposed",
            lambda x, up, up_bias, down, down_bias: feed_forward(
                x, up.mT, up_bias, down.mT, down_bias
            ),
            "Your matrices are transposed. nn.Linear keeps its weight as (out, in); here `up` is "
            "(D, F), so a token stands on its left.",
        ),
    ),
    hints=(
        "Tokens are the rows of x. A row of D numbers times a (D, F) matrix is a row of F numbers.",
        "Three steps: x @ up plus its bias; gelu of every number; the product with down plus its "
        "bias.",
        "Give the middle a name, say wide: what gelu returns, of shape (..., F). Then wide goes "
        "down.",
    ),
    source=(feed_forward, package.FeedForward),
)


# --- encoder layer

Map = Callable[[Tensor], Tensor]


def encoder_layer(x: Tensor, attend: Map, feed: Map, norm1: Map, norm2: Map, norm: str) -> Tensor:
    """Two parts, each added to what came in, with its norm before ("pre") or after ("post")."""
    if norm == "pre":
        x = x + attend(norm1(x))
        return x + feed(norm2(x))
    x = norm1(x + attend(x))
    return norm2(x + feed(x))


def readable() -> dict[str, Part]:
    """Parts that can be worked out by hand, under the names of the parameters."""
    return {
        "attend": Part("x -> x * x", lambda x: x * x),
        "cross": Part("x, source -> x * source.sum()", lambda x, source: x * source.sum(), 2),
        "feed": Part("x -> 3 * x + 1", lambda x: 3 * x + 1),
        "norm1": Part("x -> x / 2", lambda x: x / 2),
        "norm2": Part("x -> x - 1", lambda x: x - 1),
        "norm3": Part("x -> x + 5", lambda x: x + 5),
    }


def lifelike(D: int) -> dict[str, Part]:
    """Parts like the real ones: two mix tokens, one bends each number, three are layer norms."""
    one, two, three = numbers(1, 3, D) + 1

    def mixed(x: Tensor, source: Tensor) -> Tensor:
        return (x @ source.mT).softmax(-1) @ source * one + two

    looks = "a function (B, T, D) -> (B, T, D)"
    return {
        "attend": Part(looks, lambda x: mixed(x, x).flip(-1)),
        "cross": Part("a function (B, T, D), (B, S, D) -> (B, T, D)", mixed, 2),
        "feed": Part(looks, lambda x: 2 * (x * three + one).tanh()),
        "norm1": Part(looks, lambda x: layer_norm(x, one, two)),
        "norm2": Part(looks, lambda x: layer_norm(x, two, three)),
        "norm3": Part(looks, lambda x: layer_norm(x, three, one)),
    }


def encoder_cases() -> list[Case]:
    names = "attend", "feed", "norm1", "norm2"
    cases = []
    for norm in ("pre", "post"):
        parts = readable()
        x = torch.tensor([[[2.0]]])
        cases.append(Case(f"one number, {norm}", (x, *(parts[name] for name in names), norm)))
        for seed, shape in enumerate(((1, 1, 3), (1, 3, 2), (2, 4, 3), (3, 3, 3)), 10):
            parts = lifelike(shape[-1])
            inputs = numbers(seed, *shape), *(parts[name] for name in names), norm
            cases.append(Case(f"B, T, D = {', '.join(map(str, shape))}, {norm}", inputs))
    return cases


def ordered(pre: Callable[..., Tensor], post: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A mistake in one of the two orders, or in both; each takes what the layer takes but norm."""
    return lambda x, attend, feed, norm1, norm2, norm: (pre if norm == "pre" else post)(
        x, attend, feed, norm1, norm2
    )


def pre_norm(x: Tensor, attend: Map, feed: Map, norm1: Map, norm2: Map) -> Tensor:
    """The encoder layer with its norms before."""
    return encoder_layer(x, attend, feed, norm1, norm2, "pre")


def post_norm(x: Tensor, attend: Map, feed: Map, norm1: Map, norm2: Map) -> Tensor:
    """The encoder layer with its norms after."""
    return encoder_layer(x, attend, feed, norm1, norm2, "post")


def residual_from_normed(x: Tensor, attend: Map, feed: Map, norm1: Map, norm2: Map) -> Tensor:
    """Each part added to the normed copy."""
    x = norm1(x)
    x = norm2(x + attend(x))
    return x + feed(x)


ENCODER_LAYER = Exercise(
    id="encoder_layer",
    lesson="07",
    title="Two parts, two norms, one flag",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_encoder_layer(x, attend, feed, norm1, norm2, norm)`. You get four functions
`(B, T, D) -> (B, T, D)`; only their order is yours. A layer has two parts: first self-attention,
`attend` with `norm1`, then the feed-forward, `feed` with `norm2`. Each part adds what it computes
to what came into the part. With `norm="pre"` the part computes from a normed copy of what came in,
and the sum stays as it is. With `norm="post"` it computes from what came in, and the sum is
normed.""",
    reference=encoder_layer,
    cases=encoder_cases,
    mistakes=(
        Mistake(
            "flag-swapped",
            ordered(post_norm, pre_norm),
            "Both orders are right, but under the wrong names: pre means that the norm comes "
            "before attend and feed.",
        ),
        Mistake(
            "always-pre",
            ordered(pre_norm, pre_norm),
            "Your norm always comes first. With post it comes last, after the sum.",
        ),
        Mistake(
            "always-post",
            ordered(post_norm, post_norm),
            "Your norm always comes last. With pre it comes first, on a copy.",
        ),
        Mistake(
            "no-residual",
            ordered(
                lambda x, attend, feed, norm1, norm2: feed(norm2(attend(norm1(x)))),
                lambda x, attend, feed, norm1, norm2: norm2(feed(norm1(attend(x)))),
            ),
            "Nothing is added: each part replaces what came in. The residual is missing.",
        ),
        Mistake(
            "one-residual",
            ordered(
                lambda x, attend, feed, norm1, norm2: feed(norm2(x + attend(norm1(x)))),
                lambda x, attend, feed, norm1, norm2: norm2(feed(norm1(x + attend(x)))),
            ),
            "The first part is right; the second replaces what came into it. It adds too.",
        ),
        Mistake(
            "residual-from-the-start",
            ordered(
                lambda x, attend, feed, norm1, norm2: x + feed(norm2(x + attend(norm1(x)))),
                lambda x, attend, feed, norm1, norm2: norm2(x + feed(norm1(x + attend(x)))),
            ),
            "Your second part is added to the x of the beginning, so what attention found is lost "
            "on the way. Add to what came into the second part.",
        ),
        Mistake(
            "parallel",
            ordered(
                lambda x, attend, feed, norm1, norm2: x + attend(norm1(x)) + feed(norm2(x)),
                lambda x, attend, feed, norm1, norm2: norm2(norm1(x + attend(x)) + feed(x)),
            ),
            "Your feed-forward reads the x of the beginning, as in a parallel layer. It should "
            "read what attention has made of it.",
        ),
        Mistake(
            "norm-of-the-stream",
            ordered(residual_from_normed, post_norm),
            "With pre you add to the normed copy, so the norm stands on the residual stream. Keep "
            "x, and give the normed copy to the part only.",
        ),
        Mistake(
            "norm-of-the-change",
            ordered(
                pre_norm,
                lambda x, attend, feed, norm1, norm2: (
                    x + norm1(attend(x)) + norm2(feed(x + norm1(attend(x))))
                ),
            ),
            "With post you norm what is added. Norm the sum.",
        ),
        Mistake(
            "one-norm-twice",
            lambda x, attend, feed, norm1, norm2, norm: encoder_layer(
                x, attend, feed, norm1, norm1, norm
            ),
            "Both parts use norm1. The second has its own.",
        ),
        Mistake(
            "norms-swapped",
            lambda x, attend, feed, norm1, norm2, norm: encoder_layer(
                x, attend, feed, norm2, norm1, norm
            ),
            "The norms have changed places: norm1 goes with attend, norm2 with feed.",
        ),
        Mistake(
            "feed-first",
            lambda x, attend, feed, norm1, norm2, norm: encoder_layer(
                x, feed, attend, norm2, norm1, norm
            ),
            "Your feed-forward comes first. Tokens look at each other first, then each works on "
            "what it saw.",
        ),
    ),
    hints=(
        "Write one part first, for pre: a normed copy, attend of it, added to x.",
        "The second part is the first again, with feed and norm2, on the new x. For post, norm "
        "the sum instead of the copy.",
        "Two lines for each order. Pre: the norm inside the call of attend or feed. Post: the norm "
        "around the whole sum. The new x goes into the second line.",
    ),
    source=(encoder_layer, package.EncoderLayer),
)


# --- decoder layer

Cross = Callable[[Tensor, Tensor], Tensor]


def decoder_layer(
    x: Tensor,
    source: Tensor,
    attend: Map,
    cross: Cross,
    feed: Map,
    norm1: Map,
    norm2: Map,
    norm3: Map,
) -> Tensor:
    """Self-attention, cross-attention, feed-forward, pre-norm: (B, T, D), (B, S, D)."""
    x = x + attend(norm1(x))
    x = x + cross(norm2(x), source)
    return x + feed(norm3(x))


def decoder_cases() -> list[Case]:
    names = "attend", "cross", "feed", "norm1", "norm2", "norm3"
    parts = readable()
    hand = torch.tensor([[[2.0]]]), torch.tensor([[[3.0]]])
    cases = [Case("one number each", (*hand, *(parts[name] for name in names)))]
    sizes = (1, 1, 2, 3), (1, 2, 3, 2), (2, 4, 3, 3), (2, 3, 1, 4), (3, 3, 3, 3)
    for seed, (B, T, S, D) in enumerate(sizes, 10):
        parts = lifelike(D)
        states = numbers(seed, B, T, D), numbers(seed + 10, B, S, D) * 2
        name = f"B, T, S, D = {B}, {T}, {S}, {D}"
        cases.append(Case(name, (*states, *(parts[name] for name in names))))
    return cases


def added(x: Tensor, *parts: Map) -> Tensor:
    """Each part added to what came in."""
    for part in parts:
        x = x + part(x)
    return x


def in_order(*order: int) -> Callable[..., Tensor]:
    """A mistake: the parts, each with its norm, in another order; 0 is attend, 2 is feed."""
    return lambda x, source, attend, cross, feed, norm1, norm2, norm3: added(
        x,
        *(
            (
                lambda x: attend(norm1(x)),
                lambda x: cross(norm2(x), source),
                lambda x: feed(norm3(x)),
            )[index]
            for index in order
        ),
    )


def crossed(middle: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A mistake in the middle: (start, x, source, cross, norm), x being start after attention."""
    return lambda x, source, attend, cross, feed, norm1, norm2, norm3: added(
        middle(x, x + attend(norm1(x)), source, cross, norm2), lambda y: feed(norm3(y))
    )


def two_parts(
    x: Tensor, source: Tensor, attend: Map, cross: Cross, norm1: Map, norm2: Map
) -> Tensor:
    """The decoder layer up to its feed-forward."""
    x = x + attend(norm1(x))
    return x + cross(norm2(x), source)


DECODER_LAYER = Exercise(
    id="decoder_layer",
    lesson="07",
    title="A layer that reads a source",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_decoder_layer(x, source, attend, cross, feed, norm1, norm2, norm3)`. x is `(B, T, D)`;
`source`, `(B, S, D)`, is what the encoder made of another text. Three parts follow each other, with
norm1, norm2 and norm3: causal self-attention, `attend(x)`; cross-attention, `cross(x, source)`,
whose queries come from x; the feed-forward, `feed(x)`. All are pre-norm, as before: a part computes
from a normed copy of what came in, and the result is added. The encoder has normed the source
already.""",
    reference=decoder_layer,
    cases=decoder_cases,
    mistakes=(
        Mistake(
            "no-residual-around-feed-forward",
            lambda x, source, attend, cross, feed, norm1, norm2, norm3: feed(
                norm3(two_parts(x, source, attend, cross, norm1, norm2))
            ),
            "Your last part is not added to what came into it: what attention found is gone.",
        ),
        Mistake(
            "feed-forward-not-normed",
            lambda x, source, attend, cross, feed, norm1, norm2, norm3: (
                (y := two_parts(x, source, attend, cross, norm1, norm2)) + feed(y)
            ),
            "The feed-forward reads x as it is, and norm3 is not used. It reads a normed copy.",
        ),
        Mistake(
            "norm-at-the-end",
            lambda x, source, attend, cross, feed, norm1, norm2, norm3: norm3(
                (y := two_parts(x, source, attend, cross, norm1, norm2)) + feed(norm3(y))
            ),
            "You norm the sum at the end as well. With pre-norm the sum stays as it is.",
        ),
        Mistake(
            "no-cross-attention",
            in_order(0, 2),
            "This layer never reads the source. Cross-attention stands between the two parts that "
            "you have.",
        ),
        Mistake(
            "cross-first",
            in_order(1, 0, 2),
            "Your layer reads the source before x has looked at itself. Self-attention comes "
            "first.",
        ),
        Mistake(
            "cross-last",
            in_order(0, 2, 1),
            "Your feed-forward comes before cross-attention. It comes last.",
        ),
        Mistake(
            "source-normed",
            crossed(lambda start, x, source, cross, norm: x + cross(norm(x), norm(source))),
            "You norm the source too. It comes normed, and norm2 belongs to x.",
        ),
        Mistake(
            "roles-swapped",
            crossed(lambda start, x, source, cross, norm: x + cross(source, norm(x))),
            "The source asks and x answers. Queries come from x, so x goes first; where S is not T "
            "the sum would not even fit.",
        ),
        Mistake(
            "source-forgotten",
            crossed(lambda start, x, source, cross, norm: x + cross(norm(x), norm(x))),
            "Your cross-attention reads x: that is self-attention again. Its second input is the "
            "source.",
        ),
        Mistake(
            "query-not-normed",
            crossed(lambda start, x, source, cross, norm: x + cross(x, source)),
            "Cross-attention gets x as it is. Like the others, it computes from a normed copy.",
        ),
        Mistake(
            "no-residual-around-cross",
            crossed(lambda start, x, source, cross, norm: cross(norm(x), source)),
            "What the source says replaces x. It is added, as everywhere.",
        ),
        Mistake(
            "parallel",
            crossed(lambda start, x, source, cross, norm: x + cross(norm(start), source)),
            "Both attentions read the x of the beginning. Cross-attention asks with what "
            "self-attention has found.",
        ),
        Mistake(
            "residual-from-the-start",
            crossed(lambda start, x, source, cross, norm: start + cross(norm(x), source)),
            "Cross-attention is added to the x of the beginning, so what self-attention found is "
            "lost on the way. Add to what came into the part.",
        ),
        Mistake(
            "post-norm",
            lambda x, source, attend, cross, feed, norm1, norm2, norm3: post_norm(
                norm1(x + attend(x)), lambda y: cross(y, source), feed, norm2, norm3
            ),
            "Your norms come after the sums. Pre-norm: each stands before its part, on a copy.",
        ),
        Mistake(
            "norms-in-another-order",
            lambda x, source, attend, cross, feed, norm1, norm2, norm3: decoder_layer(
                x, source, attend, cross, feed, norm1, norm3, norm2
            ),
            "Two norms have changed places: norm2 goes with cross-attention, norm3 with the "
            "feed-forward.",
        ),
    ),
    hints=(
        "It is the pre-norm encoder layer with one more part in the middle.",
        "Each part is one line: x plus the part of the normed x. The new x goes into the next "
        "line.",
        "The middle line calls cross with two things: the normed x, which asks, and the source as "
        "it is. The first and last line are those of the encoder layer.",
    ),
    source=(decoder_layer, package.DecoderLayer),
)


EXERCISES = (LAYER_NORM, RMS_NORM, FEED_FORWARD, ENCODER_LAYER, DECODER_LAYER)
