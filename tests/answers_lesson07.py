"""Lesson 07: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
import torch.nn.functional as F
from answers import collect
from torch import nn

from transformer_lab.config import ModelConfig
from transformer_lab.layers import DecoderLayer, EncoderLayer, FeedForward

RIGHT, WRONG, right, wrong = collect()


# --- layer norm


@right("layer_norm")
def layer_norm_fused(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, weight.shape, weight, bias, eps)


@right("layer_norm")
def layer_norm_by_variance(x, weight, bias, eps=1e-5):
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + eps) * weight + bias


@right("layer_norm")
def layer_norm_in_a_loop(x, weight, bias, eps=1e-5):
    rows = []
    for row in x.flatten(0, -2):
        c = row - sum(row) / len(row)
        rows.append(c / math.sqrt(c.dot(c) / len(row) + eps) * weight + bias)
    return torch.stack(rows).view(x.shape)


@right("layer_norm")
def layer_norm_by_projection(x, weight, bias, eps=1e-5):
    D = len(weight)
    c = x.double() @ (torch.eye(D, dtype=torch.float64) - 1 / D)
    c = c / torch.sqrt(torch.einsum("...d,...d->...", c, c) / D + eps)[..., None]
    return (c * weight + bias).to(x.dtype)


@wrong("layer_norm", "over-tokens-as-well")
def layer_norm_that_leaks(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, x.shape[-2:], eps=eps) * weight + bias


@wrong("layer_norm", "over-tokens")
def layer_norm_of_columns(x, weight, bias, eps=1e-5):
    return F.layer_norm(x.mT, x.shape[-2:-1], eps=eps).mT * weight + bias


@wrong("layer_norm", "axis-from-the-left")
def layer_norm_along_axis_1(x, weight, bias, eps=1e-5):
    c = x - torch.mean(x, dim=1, keepdim=True)
    return weight * c / torch.sqrt(torch.mean(c * c, dim=1, keepdim=True) + eps) + bias


@wrong("layer_norm", "keepdim-forgotten")
def layer_norm_without_an_axis(x, weight, bias, eps=1e-5):
    variance, mean = torch.var_mean(x, -1, correction=0)
    return weight * ((x - mean) * (variance + eps).rsqrt()) + bias


@wrong("layer_norm", "divided-by-d-minus-1")
def layer_norm_with_torchs_variance(x, weight, bias, eps=1e-5):
    return (x - x.mean(-1, True)) / torch.sqrt(torch.var(x, -1, keepdim=True) + eps) * weight + bias


@wrong("layer_norm", "eps-outside")
def layer_norm_with_a_late_eps(x, weight, bias, eps=1e-5):
    c = x - x.mean(-1, True)
    return weight * c / (eps + (c * c).mean(-1, True) ** 0.5) + bias


@wrong("layer_norm", "as-in-a-famous-text")
def layer_norm_of_the_annotation(x, weight, bias, eps=1e-5):
    mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    return weight * (x - mean) / (std + eps) + bias


@wrong("layer_norm", "eps-forgotten")
def layer_norm_of_differing_numbers(x, weight, bias, eps=1e-5):
    return (x - x.mean(-1, True)) / x.std(-1, correction=0, keepdim=True) * weight + bias


@wrong("layer_norm", "eps-fixed")
def layer_norm_at_the_default(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, bias.shape, weight, bias)


@wrong("layer_norm", "mean-left-in")
def layer_norm_off_centre(x, weight, bias, eps=1e-5):
    return weight * x * (x.var(-1, correction=0, keepdim=True) + eps).rsqrt() + bias


@wrong("layer_norm", "one-pass")
def layer_norm_by_two_sums(x, weight, bias, eps=1e-5):
    D = x.shape[-1]
    mean = x.sum(-1, keepdim=True) / D
    variance = (x * x).sum(-1, keepdim=True) / D - mean**2
    return weight * (x - mean) / torch.sqrt(variance + eps) + bias


@wrong("layer_norm", "no-weight")
def layer_norm_that_does_not_scale(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, bias.shape, bias=bias, eps=eps)


@wrong("layer_norm", "bias-first")
def layer_norm_in_the_wrong_order(x, weight, bias, eps=1e-5):
    return (F.layer_norm(x, bias.shape, eps=eps) + bias) * weight


# --- rms norm


@right("rms_norm")
def rms_norm_fused(x, weight, eps=1e-5):
    return F.rms_norm(x, weight.shape, weight, eps)


@right("rms_norm")
def rms_norm_by_products(x, weight, eps=1e-5):
    mean = (x * x).sum(-1).unsqueeze(-1) / len(weight)
    return weight * x * torch.rsqrt(mean + eps)


@right("rms_norm")
def rms_norm_in_a_loop(x, weight, eps=1e-5):
    rows = [row / math.sqrt(row.dot(row) / len(row) + eps) for row in x.flatten(0, -2)]
    return torch.stack(rows).view(x.shape) * weight


@right("rms_norm")
def rms_norm_by_einsum(x, weight, eps=1e-5):
    mean = torch.einsum("...d,...d->...", x, x) / len(weight)
    return torch.einsum("...d,...,d->...d", x, (mean + eps) ** -0.5, weight)


@wrong("rms_norm", "centred")
def rms_norm_that_is_layer_norm(x, weight, eps=1e-5):
    return F.layer_norm(x, weight.shape, weight, eps=eps)


@wrong("rms_norm", "sum-of-squares")
def rms_norm_to_length_1(x, weight, eps=1e-5):
    return weight * x / torch.sqrt((x * x).sum(-1, keepdim=True) + eps)


@wrong("rms_norm", "root-forgotten")
def rms_norm_by_squares(x, weight, eps=1e-5):
    return weight * x / ((x * x).mean(-1, keepdim=True) + eps)


@wrong("rms_norm", "eps-outside")
def rms_norm_with_a_late_eps(x, weight, eps=1e-5):
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / math.sqrt(len(weight))
    return weight * x / (size + eps)


@wrong("rms_norm", "eps-forgotten")
def rms_norm_of_what_is_not_0(x, weight, eps=1e-5):
    return F.rms_norm(x, weight.shape, weight, 0.0)


@wrong("rms_norm", "eps-fixed")
def rms_norm_at_the_default(x, weight, eps=1e-5):
    return F.rms_norm(x, weight.shape, weight, 1e-5)


@wrong("rms_norm", "over-tokens-as-well")
def rms_norm_that_leaks(x, weight, eps=1e-5):
    return F.rms_norm(x, x.shape[-2:], eps=eps) * weight


@wrong("rms_norm", "over-tokens")
def rms_norm_of_columns(x, weight, eps=1e-5):
    return F.rms_norm(x.mT, x.shape[-2:-1], eps=eps).mT * weight


@wrong("rms_norm", "no-weight")
def rms_norm_that_does_not_scale(x, weight, eps=1e-5):
    return F.rms_norm(x, weight.shape, eps=eps)


@wrong("rms_norm", "one-plus-weight")
def rms_norm_of_gemma(x, weight, eps=1e-5):
    y = F.rms_norm(x, weight.shape, eps=eps)
    return y + y * weight


# --- feed-forward


@right("feed_forward")
def feed_forward_by_linear(x, up, up_bias, down, down_bias):
    return F.linear(F.gelu(F.linear(x, up.mT, up_bias)), down.mT, down_bias)


@right("feed_forward")
def feed_forward_by_erf(x, up, up_bias, down, down_bias):
    z = torch.einsum("...d,df->...f", x, up) + up_bias
    share = (1 + torch.erf(z / math.sqrt(2))) / 2
    return torch.einsum("...f,fd->...d", z * share, down) + down_bias


@right("feed_forward")
def feed_forward_in_a_loop(x, up, up_bias, down, down_bias):
    rows = []
    for token in x.flatten(0, -2):
        z = (token[:, None] * up).sum(0) + up_bias
        rows.append((z * torch.special.ndtr(z)) @ down + down_bias)
    return torch.stack(rows).view(x.shape)


def empty_feed_forward(D, F):
    return FeedForward(
        ModelConfig(vocab_size=2, d_model=D, n_heads=1, d_ff=F, activation="gelu", positions="none")
    )


@right("feed_forward")
def feed_forward_of_the_package(x, up, up_bias, down, down_bias):
    weights = {"up.weight": up.mT, "up.bias": up_bias}
    weights |= {"down.weight": down.mT, "down.bias": down_bias}
    return torch.func.functional_call(empty_feed_forward(*up.shape), weights, x)


@wrong("feed_forward", "relu")
def feed_forward_of_2017(x, up, up_bias, down, down_bias):
    return (x @ up + up_bias).clamp(min=0) @ down + down_bias


@wrong("feed_forward", "tanh-formula")
def feed_forward_of_gpt2(x, up, up_bias, down, down_bias):
    z = x @ up + up_bias
    z = 0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    return z @ down + down_bias


@wrong("feed_forward", "sigmoid-formula")
def feed_forward_of_clip(x, up, up_bias, down, down_bias):
    z = x @ up + up_bias
    return z / (1 + torch.exp(-1.702 * z)) @ down + down_bias


@wrong("feed_forward", "silu")
def feed_forward_with_swish(x, up, up_bias, down, down_bias):
    z = torch.addmm(up_bias, x.reshape(-1, x.shape[-1]), up)
    return (z * torch.sigmoid(z) @ down + down_bias).view(x.shape)


@wrong("feed_forward", "no-bend")
def feed_forward_as_one_map(x, up, up_bias, down, down_bias):
    return x @ (up @ down) + up_bias @ down + down_bias


@wrong("feed_forward", "bend-at-the-end")
def feed_forward_bent_late(x, up, up_bias, down, down_bias):
    return F.gelu(F.linear(F.linear(x, up.T, up_bias), down.T, down_bias))


@wrong("feed_forward", "no-up-bias")
def feed_forward_with_one_bias(x, up, up_bias, down, down_bias):
    return F.linear(F.gelu(torch.matmul(x, up)), down.T, down_bias)


@wrong("feed_forward", "up-bias-too-late")
def feed_forward_shifted_late(x, up, up_bias, down, down_bias):
    return F.gelu(x @ up) @ down + up_bias @ down + down_bias


@wrong("feed_forward", "no-down-bias")
def feed_forward_without_the_last_bias(x, up, up_bias, down, down_bias):
    return torch.matmul(F.gelu(torch.matmul(x, up).add(up_bias)), down)


@wrong("feed_forward", "with-residual")
def feed_forward_and_residual(x, up, up_bias, down, down_bias):
    return F.gelu(x @ up + up_bias) @ down + (x + down_bias)


@wrong("feed_forward", "transposed")
def feed_forward_with_turned_weights(x, up, up_bias, down, down_bias):
    return F.linear(F.gelu(F.linear(x, up, up_bias)), down, down_bias)


# --- encoder layer


class Fixed(nn.Module):
    """A function as a part of one of the package's layers, which passes masks as well."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs, **_):
        return self.function(*inputs)


CONFIG = {"vocab_size": 2, "d_model": 2, "n_heads": 1, "dropout": 0.0}
PRE = {**CONFIG, "norm": "pre"}


@right("encoder_layer")
def encoder_layer_in_a_loop(x, attend, feed, norm1, norm2, norm):
    for part, normed in ((attend, norm1), (feed, norm2)):
        x = x + part(normed(x)) if norm == "pre" else normed(x + part(x))
    return x


@right("encoder_layer")
def encoder_layer_in_small_steps(x, attend, feed, norm1, norm2, norm):
    if norm == "pre":
        found = attend(norm1(x))
        middle = found + x
        made = feed(norm2(middle))
        return made + middle
    middle = norm1(attend(x) + x)
    result = feed(middle) + middle
    return norm2(result)


@right("encoder_layer")
def encoder_layer_of_the_package(x, attend, feed, norm1, norm2, norm):
    layer = EncoderLayer(ModelConfig(**CONFIG, norm=norm))
    layer.attention, layer.attention_norm = Fixed(attend), Fixed(norm1)
    layer.feed_forward, layer.feed_forward_norm = Fixed(feed), Fixed(norm2)
    return layer(x)


@right("encoder_layer")
def encoder_layer_as_a_composition(x, attend, feed, norm1, norm2, norm):
    def residual(part, normed, x):
        if norm == "post":
            return normed(part(x) + x)
        return part(normed(x)) + x

    return residual(feed, norm2, residual(attend, norm1, x))


@wrong("encoder_layer", "flag-swapped")
def encoder_layer_of_the_other_kind(x, attend, feed, norm1, norm2, norm):
    for part, normed in ((attend, norm1), (feed, norm2)):
        x = normed(x + part(x)) if norm == "pre" else x + part(normed(x))
    return x


@wrong("encoder_layer", "always-pre")
def encoder_layer_of_gpt(x, attend, feed, norm1, norm2, norm):
    y = attend(norm1(x)) + x
    return feed(norm2(y)) + y


@wrong("encoder_layer", "always-post")
def encoder_layer_of_2017(x, attend, feed, norm1, norm2, norm):
    y = norm1(attend(x) + x)
    return norm2(feed(y) + y)


@wrong("encoder_layer", "no-residual")
def encoder_layer_that_forgets(x, attend, feed, norm1, norm2, norm):
    order = (norm1, attend, norm2, feed) if norm == "pre" else (attend, norm1, feed, norm2)
    for step in order:
        x = step(x)
    return x


@wrong("encoder_layer", "residual-from-the-start")
def encoder_layer_with_a_long_residual(x, attend, feed, norm1, norm2, norm):
    y = x
    for part, normed in ((attend, norm1), (feed, norm2)):
        y = x + part(normed(y)) if norm == "pre" else normed(x + part(y))
    return y


@wrong("encoder_layer", "parallel")
def encoder_layer_in_parallel(x, attend, feed, norm1, norm2, norm):
    if norm == "pre":
        return sum((attend(norm1(x)), feed(norm2(x))), x)
    return norm2(feed(x) + norm1(attend(x) + x))


@wrong("encoder_layer", "norm-of-the-stream")
def encoder_layer_that_overwrites_x(x, attend, feed, norm1, norm2, norm):
    for part, normed in ((attend, norm1), (feed, norm2)):
        if norm == "pre":
            x = normed(x)
        x = part(x) + x
        if norm == "post":
            x = normed(x)
    return x


@wrong("encoder_layer", "norm-of-the-change")
def encoder_layer_of_swin(x, attend, feed, norm1, norm2, norm):
    for part, normed in ((attend, norm1), (feed, norm2)):
        x = x + (part(normed(x)) if norm == "pre" else normed(part(x)))
    return x


@wrong("encoder_layer", "one-norm-twice")
def encoder_layer_with_one_norm(x, attend, feed, norm1, norm2, norm):
    for part in (attend, feed):
        x = x + part(norm1(x)) if norm == "pre" else norm1(x + part(x))
    return x


@wrong("encoder_layer", "norms-swapped")
def encoder_layer_with_crossed_norms(x, attend, feed, norm1, norm2, norm):
    for part, normed in ((attend, norm2), (feed, norm1)):
        x = x + part(normed(x)) if norm == "pre" else normed(x + part(x))
    return x


@wrong("encoder_layer", "feed-first")
def encoder_layer_backwards(x, attend, feed, norm1, norm2, norm):
    for part, normed in ((feed, norm2), (attend, norm1)):
        x = x + part(normed(x)) if norm == "pre" else normed(x + part(x))
    return x


# --- decoder layer


@right("decoder_layer")
def decoder_layer_in_small_steps(x, source, attend, cross, feed, norm1, norm2, norm3):
    found = attend(norm1(x))
    query = norm2(x + found)
    read = x + found + cross(query, source)
    return feed(norm3(read)) + read


@right("decoder_layer")
def decoder_layer_in_a_loop(x, source, attend, cross, feed, norm1, norm2, norm3):
    for part, normed, *more in ((attend, norm1), (cross, norm2, source), (feed, norm3)):
        x = x + part(normed(x), *more)
    return x


@right("decoder_layer")
def decoder_layer_of_the_package(x, source, attend, cross, feed, norm1, norm2, norm3):
    layer = DecoderLayer(ModelConfig(**PRE))
    layer.attention, layer.attention_norm = Fixed(attend), Fixed(norm1)
    layer.cross_attention, layer.cross_attention_norm = Fixed(cross), Fixed(norm2)
    layer.feed_forward, layer.feed_forward_norm = Fixed(feed), Fixed(norm3)
    return layer(x, source)


@wrong("decoder_layer", "no-cross-attention")
def decoder_layer_of_gpt(x, source, attend, cross, feed, norm1, norm2, norm3):
    y = attend(norm1(x)) + x
    return feed(norm3(y)) + y


@wrong("decoder_layer", "cross-first")
def decoder_layer_that_reads_first(x, source, attend, cross, feed, norm1, norm2, norm3):
    x = cross(norm2(x), source) + x
    return decoder_layer_of_gpt(x, source, attend, cross, feed, norm1, norm2, norm3)


@wrong("decoder_layer", "cross-last")
def decoder_layer_that_reads_last(x, source, attend, cross, feed, norm1, norm2, norm3):
    x = decoder_layer_of_gpt(x, source, attend, cross, feed, norm1, norm2, norm3)
    return cross(norm2(x), source) + x


@wrong("decoder_layer", "source-normed")
def decoder_layer_that_norms_all(x, source, attend, cross, feed, norm1, norm2, norm3):
    x, memory = x + attend(norm1(x)), norm2(source)
    x = x + cross(norm2(x), memory)
    return x + feed(norm3(x))


@wrong("decoder_layer", "roles-swapped")
def decoder_layer_asked_by_the_source(x, source, attend, cross, feed, norm1, norm2, norm3):
    x = x + attend(norm1(x))
    read = cross(source, norm2(x))
    x = read + x
    return x + feed(norm3(x))


@wrong("decoder_layer", "source-forgotten")
def decoder_layer_that_looks_twice(x, source, attend, cross, feed, norm1, norm2, norm3):
    for part, normed in ((attend, norm1), (lambda x: cross(x, x), norm2), (feed, norm3)):
        x = x + part(normed(x))
    return x


@wrong("decoder_layer", "query-not-normed")
def decoder_layer_with_two_norms(x, source, attend, cross, feed, norm1, norm2, norm3):
    x = x + attend(norm1(x))
    x = cross(x, source) + x
    return feed(norm3(x)) + x


@wrong("decoder_layer", "no-residual-around-cross")
def decoder_layer_that_forgets_x(x, source, attend, cross, feed, norm1, norm2, norm3):
    y = cross(norm2(attend(norm1(x)) + x), source)
    return feed(norm3(y)) + y


@wrong("decoder_layer", "parallel")
def decoder_layer_that_does_two_at_once(x, source, attend, cross, feed, norm1, norm2, norm3):
    y = sum((attend(norm1(x)), cross(norm2(x), source)), x)
    return feed(norm3(y)) + y


@wrong("decoder_layer", "post-norm")
def decoder_layer_of_2017(x, source, attend, cross, feed, norm1, norm2, norm3):
    x = norm1(attend(x) + x)
    x = norm2(cross(x, source) + x)
    return norm3(feed(x) + x)


@wrong("decoder_layer", "norms-in-another-order")
def decoder_layer_with_crossed_norms(x, source, attend, cross, feed, norm1, norm2, norm3):
    x = x + attend(norm1(x))
    x = x + cross(norm3(x), source)
    return x + feed(norm2(x))


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

EQUIVALENT = {}
MANY_RIGHT = ()
