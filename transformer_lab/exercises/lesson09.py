"""The exercises of lesson 09: counting parameters, arithmetic and memory, each to the last one."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from transformer_lab import counting as package
from transformer_lab.config import ModelConfig
from transformer_lab.exercises.common import as_number
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit

# Sizes such as D = 10 and F = 1000 let a count be read digit by digit: 21,490 is 2·D·F + F +
# 4·D² + 9·D.


def sizes(D: int, H: int = 1, L: int = 1, V: int = 1, **other: Any) -> ModelConfig:
    """A model's config from the course's letters; other arguments are ModelConfig's own."""
    return ModelConfig(V, D, H, L, **{"positions": "none", **other})


def exact(name: str, *inputs: Any) -> Case:
    """A case whose answer is a whole number."""
    return Case(name, inputs, 0.0)


def off_by(reference: Callable[..., Any]) -> Callable[[tuple[Any, ...], Tensor], str]:
    """A judge that says how far a count is from the reference's, in whole numbers."""

    def judge(inputs: tuple[Any, ...], observed: Tensor) -> str:
        got, expected = float(observed), float(reference(*inputs))
        if abs(got - expected) <= 0.4:
            return ""
        digits = ",.12g" if got.is_integer() else ",.6g"
        off = f"{abs(got - expected):{digits}} too {'high' if got > expected else 'low'}"
        return f"Your {got:{digits}} is {off}; expected {expected:,.12g}."

    return judge


def linear(inputs: int, outputs: int, bias: bool = True) -> int:
    """The parameters of a linear layer."""
    return inputs * outputs + bias * outputs


# --- one attention block


def count_attention(D: int, H: int, K: int, bias: bool) -> int:
    """The parameters of an attention block with H query heads and K key/value heads."""
    parts = package.layer_formula(sizes(D, H, n_kv_heads=K, bias=bias))
    return parts.only("attention") - parts.only("attention norm")


def attention_cases() -> list[Case]:
    return [
        exact("one head, no biases", 10, 1, 1, False),
        exact("one head", 10, 1, 1, True),
        exact("two heads", 10, 2, 2, True),
        exact("two query heads share one key/value head", 10, 2, 1, True),
        exact("shared, no biases", 12, 6, 2, False),
        exact("shared by three", 12, 6, 2, True),
        exact("the Transformer of 2017", 512, 8, 8, True),
        exact("GPT-2 small", 768, 12, 12, True),
        exact("Llama 3 8B", 4096, 32, 8, False),
    ]


def four(D: int, W: int, bias: bool) -> int:
    """Query, key, value and output, with keys and values W wide."""
    return 2 * linear(D, D, bias) + 2 * linear(D, W, bias)


ATTENTION = Exercise(
    id="count_attention",
    lesson="09",
    title="Four matrices and their biases",
    minutes=5,
    difficulty=1,
    prompt="""
Write `my_attention_count(D, H, K, bias)`: how many parameters one multi-head attention block holds.
The model is `D` wide. The `H` query heads have width `d = D / H` each. Keys and values have only
`K` heads of that same width: `K = H` is the usual case, a smaller `K` is grouped-query attention.
With `bias`, each linear layer has one bias for each number that it puts out. The norm beside the
block does not count.""",
    reference=count_attention,
    source=(package.layer_formula,),
    cases=attention_cases,
    observe=as_number,
    atol=0.4,
    judge=off_by(count_attention),
    mistakes=(
        Mistake(
            "output-forgotten",
            lambda D, H, K, bias: four(D, K * D // H, bias) - linear(D, D, bias),
            "Query, key and value are three matrices. What puts the heads together again?",
        ),
        Mistake(
            "biases-forgotten",
            lambda D, H, K, bias: four(D, K * D // H, False),
            "Right without biases. With `bias`, every linear layer has some more.",
        ),
        Mistake(
            "biases-always",
            lambda D, H, K, bias: four(D, K * D // H, True),
            "You count biases also where `bias` is False.",
        ),
        Mistake(
            "shared-biases-full",
            lambda D, H, K, bias: four(D, K * D // H, False) + 4 * D * bias,
            "Your matrices are right. A bias is as long as what its layer puts out: with fewer "
            "key/value heads, two of them are shorter than D.",
        ),
        Mistake(
            "sharing-ignored",
            lambda D, H, K, bias: four(D, D, bias),
            "Right for K = H. With K < H the key and value matrices put out fewer numbers.",
        ),
        Mistake(
            "keys-alone-shared",
            lambda D, H, K, bias: 3 * linear(D, D, bias) + linear(D, K * D // H, bias),
            "Only one matrix gets narrower with K here. Keys and values both do.",
        ),
        Mistake(
            "output-shared-too",
            lambda D, H, K, bias: (
                linear(D, D, bias) + 2 * linear(D, K * D // H, bias) + linear(K * D // H, D, bias)
            ),
            "Your output matrix takes in K heads. Each of the H query heads has a result of its "
            "own, so it takes in all H.",
        ),
        Mistake(
            "query-shared-too",
            lambda D, H, K, bias: linear(D, D, bias) + 3 * linear(D, K * D // H, bias),
            "Three of your matrices get narrower with K. The queries keep all H heads.",
        ),
        Mistake(
            "heads-as-wide-as-the-model",
            lambda D, H, K, bias: (
                linear(D, H * D, bias) + 2 * linear(D, K * D, bias) + linear(H * D, D, bias)
            ),
            "Each of your heads is D wide, so more heads mean more parameters. The heads divide "
            "the D among them.",
        ),
        Mistake(
            "one-head",
            lambda D, H, K, bias: 3 * linear(D, D // H, bias) + linear(D, D, bias),
            "You count the query, key and value of one head. There are H query heads and K "
            "key/value heads.",
        ),
        Mistake(
            "heads-for-width",
            lambda D, H, K, bias: four(D, K, bias),
            "You take K, the number of key/value heads, for their width. Each of them is d wide.",
        ),
        Mistake(
            "norm-counted",
            lambda D, H, K, bias: four(D, K * D // H, bias) + D + D * bias,
            "The norm is in your count. It is a part of the layer, not of this block.",
        ),
    ),
    hints=(
        "A linear layer from n numbers to m holds n times m weights and, with `bias`, m biases.",
        "There are four: query, key, value and output. Which of them does K change?",
        "Keys and values go from D to K · d numbers. Queries go from D to H · d, which is D, and "
        "the output goes back from there to D.",
    ),
)


# --- an encoder layer


def count_layer(D: int, F: int, bias: bool) -> int:
    """The parameters of an encoder layer."""
    return package.layer_formula(sizes(D, d_ff=F, bias=bias)).total


def layer_cases() -> list[Case]:
    return [
        exact("digit by digit", 10, 1000, False),
        exact("with biases", 10, 1000, True),
        exact("F smaller than D", 10, 7, True),
        exact("F = 4·D", 6, 24, True),
        exact("one of each", 1, 1, True),
        exact("the Transformer of 2017", 512, 2048, True),
        exact("BERT large", 1024, 4096, True),
    ]


LAYER = Exercise(
    id="count_layer",
    lesson="09",
    title="A layer to the last parameter",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_layer_count(D, F, bias)`: the parameters of one encoder layer. It has an attention block,
a feed-forward block from `D` to `F` numbers and back to `D`, and a LayerNorm for each of the two
blocks. A LayerNorm has a scale and a shift, `D` numbers each. Where `bias` is False, the linear
layers have no biases and the norms no shift. The number of heads is not given: why does it not
matter?""",
    reference=count_layer,
    source=(package.layer_formula,),
    cases=layer_cases,
    observe=as_number,
    atol=0.4,
    judge=off_by(count_layer),
    mistakes=(
        Mistake(
            "output-forgotten",
            lambda D, F, bias: count_layer(D, F, bias) - linear(D, D, bias),
            "One of the four attention matrices is missing, with its bias: the output projection, "
            "which summaries forget too.",
        ),
        Mistake(
            "linear-biases-forgotten",
            lambda D, F, bias: count_layer(D, F, False) + 2 * D * bias,
            "Your matrices and norms are right. With `bias`, the linear layers have biases: how "
            "long is each?",
        ),
        Mistake(
            "matrices-alone",
            lambda D, F, bias: 4 * D * D + 2 * D * F,
            "These are the matrices. The norms are missing, and with `bias` the biases.",
        ),
        Mistake(
            "biases-always",
            lambda D, F, bias: count_layer(D, F, True),
            "You count biases and shifts also where `bias` is False.",
        ),
        Mistake(
            "attention-biases-forgotten",
            lambda D, F, bias: count_layer(D, F, bias) - 4 * D * bias,
            "The biases of the attention block are missing, D for each of its four layers.",
        ),
        Mistake(
            "feed-forward-biases-forgotten",
            lambda D, F, bias: count_layer(D, F, bias) - (D + F) * bias,
            "The biases of the feed-forward block are missing. Its two layers put out different "
            "numbers of numbers.",
        ),
        Mistake(
            "feed-forward-biases-alike",
            lambda D, F, bias: count_layer(D, F, bias) + (F - D) * bias,
            "Both biases of your feed-forward block are F long. What does its second layer put "
            "out?",
        ),
        Mistake(
            "one-feed-forward-matrix",
            lambda D, F, bias: count_layer(D, F, bias) - linear(F, D, bias),
            "Your feed-forward block goes from D to F and never comes back.",
        ),
        Mistake(
            "norms-forgotten",
            lambda D, F, bias: count_layer(D, F, bias) - 2 * D * (1 + bias),
            "The two norms are missing. They are small, but they are parameters.",
        ),
        Mistake(
            "one-norm",
            lambda D, F, bias: count_layer(D, F, bias) - D * (1 + bias),
            "You count one norm. Each of the two blocks has its own.",
        ),
        Mistake(
            "norms-without-shift",
            lambda D, F, bias: count_layer(D, F, bias) - 2 * D * bias,
            "Your norms have a scale alone. With `bias` they have a shift as well.",
        ),
        Mistake(
            "norms-always-shift",
            lambda D, F, bias: count_layer(D, F, bias) + 2 * D * (not bias),
            "Your norms keep their shift where `bias` is False.",
        ),
        Mistake(
            "four-times-D",
            lambda D, F, bias: count_layer(D, 4 * D, bias),
            "You take the feed-forward block to be 4·D wide. Here its width is F.",
        ),
        Mistake(
            "cross-attention-too",
            lambda D, F, bias: package.layer_formula(sizes(D, d_ff=F, bias=bias), True).total,
            "You count two attention blocks and three norms: that is a translator's decoder layer.",
        ),
    ),
    hints=(
        "Count block by block: attention, feed-forward, norms. Then add.",
        "Attention: four layers from D to D, however many heads share them. Feed-forward: one "
        "layer from D to F, one from F to D.",
        "The first case is D = 10, F = 1000 without biases: 4 · 100 for attention, 2 · 10,000 for "
        "the feed-forward block, 2 · 10 for the norms. Then see what biases add.",
    ),
)


# --- a decoder layer


def count_decoder_layer(D: int, F: int, cross: bool) -> int:
    """The parameters of a decoder layer, with cross-attention or without."""
    return package.layer_formula(sizes(D, d_ff=F), cross).total


def decoder_cases() -> list[Case]:
    return [
        exact("digit by digit, cross-attention", 10, 1000, True),
        exact("digit by digit, no cross-attention", 10, 1000, False),
        exact("F smaller than D", 7, 3, True),
        exact("F = 4·D", 6, 24, True),
        exact("the Transformer of 2017", 512, 2048, True),
        exact("GPT-2 small", 768, 3072, False),
    ]


DECODER = Exercise(
    id="count_decoder_layer",
    lesson="09",
    title="What a decoder layer has more",
    minutes=5,
    difficulty=2,
    prompt="""
Write `my_decoder_count(D, F, cross)`: the parameters of one decoder layer, biases included, every
LayerNorm with scale and shift. With `cross`, the layer is a translator's: besides its masked
self-attention it has cross-attention to the encoder's states, which are `D` wide too, and a norm
for it. Without, it is a layer of a language model such as GPT-2. The feed-forward block goes from
`D` to `F` and back.""",
    reference=count_decoder_layer,
    source=(package.layer_formula,),
    cases=decoder_cases,
    observe=as_number,
    atol=0.4,
    judge=off_by(count_decoder_layer),
    mistakes=(
        Mistake(
            "cross-ignored",
            lambda D, F, cross: count_decoder_layer(D, F, False),
            "This is an encoder layer. A layer with cross-attention holds about a third more.",
        ),
        Mistake(
            "cross-always",
            lambda D, F, cross: count_decoder_layer(D, F, True),
            "A language model has no encoder to look at. Without `cross` the block and its norm "
            "are gone.",
        ),
        Mistake(
            "third-norm-forgotten",
            lambda D, F, cross: count_decoder_layer(D, F, cross) - 2 * D * cross,
            "The cross-attention is there, its norm is not. How many blocks are there, each with "
            "a norm?",
        ),
        Mistake(
            "one-matrix-missing",
            lambda D, F, cross: count_decoder_layer(D, F, cross) - linear(D, D) * cross,
            "Your cross-attention has three linear layers. It has four of its own: which is "
            "missing?",
        ),
        Mistake(
            "keys-from-the-encoder",
            lambda D, F, cross: count_decoder_layer(D, F, cross) - 2 * linear(D, D) * cross,
            "Your cross-attention has two linear layers. The encoder hands over states, not keys "
            "and values: each decoder layer makes these by itself.",
        ),
        Mistake(
            "matrices-shared",
            lambda D, F, cross: count_decoder_layer(D, F, False) + 2 * D * cross,
            "You count three norms, but one attention block. Self-attention and cross-attention "
            "share no matrix.",
        ),
        Mistake(
            "cross-without-biases",
            lambda D, F, cross: count_decoder_layer(D, F, cross) - 4 * D * cross,
            "Your cross-attention has its matrices. Its biases are missing.",
        ),
        Mistake(
            "feed-forward-twice",
            lambda D, F, cross: (
                count_decoder_layer(D, F, cross) + (linear(D, F) + linear(F, D)) * cross
            ),
            "You count a feed-forward block after each attention block. There is one in a layer.",
        ),
        Mistake(
            "self-output-forgotten",
            lambda D, F, cross: count_decoder_layer(D, F, cross) - linear(D, D) * (1 + cross),
            "Every attention block of yours lacks a linear layer: the output projection.",
        ),
        Mistake(
            "norms-forgotten",
            lambda D, F, cross: count_decoder_layer(D, F, cross) - 2 * D * (2 + cross),
            "The norms are missing: one for each block, with scale and shift.",
        ),
        Mistake(
            "biases-forgotten",
            lambda D, F, cross: count_decoder_layer(D, F, cross) - (5 + 4 * cross) * D - F,
            "Your linear layers have no biases. Here all of them have.",
        ),
    ),
    hints=(
        "A mask has no parameters. So without `cross` this is your encoder layer again.",
        "Cross-attention is a whole attention block: queries from the decoder, keys and values "
        "from the encoder's states, and an output.",
        "It adds four layers from D to D with biases, and one more norm of 2 · D numbers.",
    ),
)


# --- a whole model


def count_model(V: int, max_len: int, D: int, L: int, tied: bool) -> int:
    """The parameters of a language model of GPT-2's kind."""
    config = sizes(D, L=L, V=V, max_len=max_len, positions="learned", tie_embeddings=tied)
    return package.formula(config).total


def model_cases() -> list[Case]:
    return [
        exact("a small one", 1000, 100, 10, 1, True),
        exact("untied", 1000, 100, 10, 1, False),
        exact("three layers", 1000, 100, 10, 3, True),
        exact("V smaller than D", 5, 3, 9, 2, False),
        exact("GPT-2 small", 50257, 1024, 768, 12, True),
        exact("GPT-2 small, untied", 50257, 1024, 768, 12, False),
        exact("GPT-2 XL", 50257, 1024, 1600, 48, True),
    ]


MODEL = Exercise(
    id="count_model",
    lesson="09",
    title="Whose 124 million is this?",
    minutes=8,
    difficulty=2,
    prompt="""
Write `my_model_count(V, max_len, D, L, tied)` for a language model built as GPT-2 is: `V` token
vectors, `max_len` learned position vectors, `L` layers without cross-attention (with biases,
`F = 4·D`), one LayerNorm after the last layer, and an output head from `D` to `V` without a bias.
`tied` means that the head uses the token vectors as its matrix. GPT-2 small (50257, 1024, 768, 12,
tied) comes to exactly 124,439,808.""",
    reference=count_model,
    source=(package.formula, package.layer_formula),
    cases=model_cases,
    observe=as_number,
    atol=0.4,
    judge=off_by(count_model),
    mistakes=(
        Mistake(
            "tied-counted-twice",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, False),
            "You count the output head also where it is tied. A matrix that is used twice is "
            "stored once.",
        ),
        Mistake(
            "head-forgotten",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, True),
            "Where the head is not tied, it has a matrix of its own.",
        ),
        Mistake(
            "head-with-bias",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, tied) + V,
            "You are V too high: this output head has no bias.",
        ),
        Mistake(
            "untied-head-with-bias",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, tied) + V * (not tied),
            "Your untied head is V too large: it has no bias.",
        ),
        Mistake(
            "positions-forgotten",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, tied) - max_len * D,
            "The position vectors are missing. Sinusoidal ones would be free; these are learned.",
        ),
        Mistake(
            "final-norm-forgotten",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, tied) - 2 * D,
            "You are 2·D too low: there is one more LayerNorm, after the last layer.",
        ),
        Mistake(
            "naive-recipe",
            lambda V, max_len, D, L, tied: (
                count_model(V, max_len, D, L, tied) - L * (D * D + 9 * D)
            ),
            "This is the common list, embeddings + query, key, value + feed-forward + norms, read "
            "to the letter. By accident it gives 117 million for GPT-2 small. The output "
            "projection and the biases of all linear layers are not on it.",
        ),
        Mistake(
            "output-projection-forgotten",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, tied) - L * linear(D, D),
            "Each of your layers is D² + D too small. Which linear layer has that size?",
        ),
        Mistake(
            "biases-forgotten",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, tied) - L * 9 * D,
            "Each of your layers is 9·D too small: four biases of D in attention, and F + D in the "
            "feed-forward block.",
        ),
        Mistake(
            "layer-norms-forgotten",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, L, tied) - L * 4 * D,
            "Each of your layers is 4·D too small: two norms, each with a scale and a shift.",
        ),
        Mistake(
            "twelve-D-squared",
            lambda V, max_len, D, L, tied: V * D * (2 - tied) + max_len * D + 12 * L * D * D,
            "12·D² for a layer is a rule of thumb and no count: norms and biases are missing.",
        ),
        Mistake(
            "cross-attention-too",
            lambda V, max_len, D, L, tied: (
                count_model(V, max_len, D, L, tied) + L * (4 * linear(D, D) + 2 * D)
            ),
            "Your layers have cross-attention. A language model has no encoder.",
        ),
        Mistake(
            "one-layer",
            lambda V, max_len, D, L, tied: count_model(V, max_len, D, 1, tied),
            "Right for one layer. Which part comes L times?",
        ),
        Mistake(
            "layers-alone",
            lambda V, max_len, D, L, tied: L * count_layer(D, 4 * D, True) + 2 * D,
            "These are the layers and the last norm. The embeddings are missing.",
        ),
    ),
    hints=(
        "Write down what is there once and what is there L times.",
        "Once: token vectors, position vectors, the last norm, and the head unless it is tied. "
        "L times: the layer of the exercises before, with F = 4·D.",
        "With F = 4·D a layer is 12·D² + 13·D. The last norm is 2·D; a tied head adds nothing.",
    ),
)


# --- forensics


def vocabulary_from_total(millions: int, D: int, F: int, L: int) -> tuple[int, int]:
    """The smallest and the largest V with which a translator's total rounds to so many millions."""
    config = sizes(D, L=L, d_ff=F, norm="post")
    rest = package.formula(config, "encoder-decoder").without("token embedding")
    low, high = ((millions + half) * 10**6 - rest for half in (-0.5, 0.5))
    return math.ceil(low / D), math.floor(high / D)


def as_range(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """A pair of numbers as a tensor."""
    if not isinstance(output, (tuple, list)) or len(output) != 2:
        raise Unfit("Return two numbers: `return low, high`.")
    return torch.stack([as_number(inputs, number) for number in output])


def off_range(inputs: tuple[Any, ...], observed: Tensor) -> str:
    """Empty if both ends are right."""
    got, expected = observed.tolist(), vocabulary_from_total(*inputs)
    if all(abs(g - e) <= 0.1 for g, e in zip(got, expected, strict=True)):
        return ""
    texts = (f"{low:,.12g} to {high:,.12g}" for low, high in (got, expected))
    return "Your range is {}; expected {}.".format(*texts)


def vocabulary_cases() -> list[Case]:
    return [
        exact("a small one", 2, 64, 100, 1),
        exact("more layers", 2, 65, 100, 3),
        exact("base, table 3", 65, 512, 2048, 6),
        exact("base with two layers, row C", 36, 512, 2048, 2),
        exact("base with F = 4096, row C", 90, 512, 4096, 6),
        exact("big, table 3", 213, 1024, 4096, 6),
    ]


def solved(millions: int, D: int, rest: int, tables: int = 1) -> tuple[int, int]:
    """The range, where everything but the tables of V vectors holds `rest`."""
    low, high = ((millions + half) * 10**6 - rest for half in (-0.5, 0.5))
    return math.ceil(low / D / tables), math.floor(high / D / tables)


def stacks(D: int, F: int, L: int) -> int:
    """The parameters of both stacks."""
    return L * (count_layer(D, F, True) + count_decoder_layer(D, F, True))


VOCABULARY = Exercise(
    id="vocabulary_from_total",
    lesson="09",
    title="Which vocabulary fits the table?",
    minutes=10,
    difficulty=3,
    prompt="""
A table says: 65 million parameters. Which vocabulary fits? Write
`my_vocabulary(millions, D, F, L) -> (low, high)`: the smallest and largest whole `V` with which the
total rounds to `millions`. The model is a post-norm translator: `L` encoder and `L` decoder layers
with all biases, no norm after a stack, sinusoidal positions, and one table of `V` vectors for
source, target and output together. Then compare base (65, 512, 2048, 6) with big (213, 1024, 4096,
6) of the 2017 paper.""",
    reference=vocabulary_from_total,
    cases=vocabulary_cases,
    observe=as_range,
    atol=0.1,
    judge=off_range,
    mistakes=(
        Mistake(
            "middle",
            lambda millions, D, F, L: (round((millions * 10**6 - stacks(D, F, L)) / D),) * 2,
            "You solve for the printed number as if it were exact. It was rounded: which totals "
            "round to it?",
        ),
        Mistake(
            "cut-not-rounded",
            lambda millions, D, F, L: (
                math.ceil((millions * 10**6 - stacks(D, F, L)) / D),
                math.floor(((millions + 1) * 10**6 - stacks(D, F, L)) / D),
            ),
            "Your totals begin at the printed number, as if the rest had been cut off. Rounding "
            "goes half a million to either side.",
        ),
        Mistake(
            "a-million-each-way",
            lambda millions, D, F, L: (
                math.ceil(((millions - 1) * 10**6 - stacks(D, F, L)) / D),
                math.floor(((millions + 1) * 10**6 - stacks(D, F, L)) / D),
            ),
            "Your range is twice too wide: a total more than half a million away rounds to "
            "another number.",
        ),
        Mistake(
            "outward",
            lambda millions, D, F, L: (
                solved(millions, D, stacks(D, F, L))[0] - 1,
                solved(millions, D, stacks(D, F, L))[1] + 1,
            ),
            "Each end is one too far out. Put your low and high into the total: does it still "
            "round to the printed number?",
        ),
        Mistake(
            "low-cut",
            lambda millions, D, F, L: (
                solved(millions, D, stacks(D, F, L))[0] - 1,
                solved(millions, D, stacks(D, F, L))[1],
            ),
            "Your low is one too low, since // rounds down. With it the total still rounds to the "
            "number below.",
        ),
        Mistake(
            "stacks-forgotten",
            lambda millions, D, F, L: solved(millions, D, 0),
            "You give the whole total to the vocabulary. Take off what the layers hold first.",
        ),
        Mistake(
            "cross-attention-forgotten",
            lambda millions, D, F, L: solved(millions, D, 2 * L * count_layer(D, F, True)),
            "Your decoder layers are encoder layers. What do they have more?",
        ),
        Mistake(
            "encoder-forgotten",
            lambda millions, D, F, L: solved(millions, D, L * count_decoder_layer(D, F, True)),
            "You take off the decoder's layers alone. A translator has an encoder as well.",
        ),
        Mistake(
            "decoder-forgotten",
            lambda millions, D, F, L: solved(millions, D, L * count_layer(D, F, True)),
            "You take off the encoder's layers alone. A translator has a decoder as well.",
        ),
        Mistake(
            "one-layer",
            lambda millions, D, F, L: solved(millions, D, stacks(D, F, 1)),
            "You take off one layer of each stack. There are L.",
        ),
        Mistake(
            "three-tables",
            lambda millions, D, F, L: solved(millions, D, stacks(D, F, L), 3),
            "You share what is left among three tables of vectors. They are one and the same here.",
        ),
        Mistake(
            "two-tables",
            lambda millions, D, F, L: solved(millions, D, stacks(D, F, L), 2),
            "You share what is left among two tables of vectors. There is only one here.",
        ),
        Mistake(
            "final-norms",
            lambda millions, D, F, L: solved(millions, D, stacks(D, F, L) + 4 * D),
            "Four too low: you count a norm at the end of each stack. Post-norm has none there.",
        ),
        Mistake(
            "biases-forgotten",
            lambda millions, D, F, L: solved(millions, D, stacks(D, F, L) - L * (14 * D + 2 * F)),
            "A little too high: the biases of the linear layers are not taken off.",
        ),
    ),
    hints=(
        "Which part of the total does not depend on V? Take it off. What is left is V vectors.",
        "The total lies between `millions` less half a million and `millions` plus half a "
        "million. Solve for V at both ends.",
        "The ends are no whole numbers. The smallest V inside is the low end rounded up, the "
        "largest is the high end rounded down.",
    ),
)


# --- where attention costs as much as the rest


def attention_crossover(D: int, H: int, K: int, F: int) -> float:
    """The T at which scores and mix cost what a layer's other products cost."""
    return package.crossover(sizes(D, H, d_ff=F, n_kv_heads=K))


def crossover_cases() -> list[Case]:
    return [
        exact("one head, digit by digit", 10, 1, 1, 1000),
        exact("two heads", 10, 2, 2, 1000),
        exact("two query heads share one key/value head", 10, 2, 1, 1000),
        exact("F smaller than D", 12, 3, 1, 5),
        exact("GPT-2 small", 768, 12, 12, 3072),
        exact("grouped, F = 3.5·D", 4096, 32, 8, 14336),
    ]


def matrices(D: int, H: int, K: int, F: int) -> float:
    """The weights of a layer, without biases and norms."""
    return 2 * D * D + 2 * D * K * D / H + 2 * D * F


CROSSOVER = Exercise(
    id="attention_crossover",
    lesson="09",
    title="How long until attention is half the work?",
    minutes=8,
    difficulty=3,
    prompt="""
Write `my_crossover(D, H, K, F)`: the number of tokens `T` at which two parts of a layer cost the
same. One part is attention's scores (query · key, in all `H` heads of width `d = D / H`, every
query with every key, no causal saving) and its mix (weights · values). The other is all products
with weight matrices: query, key, value, output, and the feed-forward block `D` to `F` to `D`. Keys
and values have `K` heads. Biases, norms and softmax cost nothing here.""",
    reference=attention_crossover,
    source=(package.crossover, package.layer_formula),
    cases=crossover_cases,
    observe=as_number,
    atol=0.1,
    judge=off_by(attention_crossover),
    mistakes=(
        Mistake(
            "one-product",
            lambda D, H, K, F: matrices(D, H, K, F) / D,
            "Twice too long. Attention has two products, the scores and the mix. (Or did you save "
            "the causal half?)",
        ),
        Mistake(
            "twice-counted",
            lambda D, H, K, F: matrices(D, H, K, F) / (4 * D),
            "Half of what it should be. A multiplication and its addition count as 2, or as 1, on "
            "both sides alike.",
        ),
        Mistake(
            "one-token",
            lambda D, H, K, F: math.sqrt(matrices(D, H, K, F) / (2 * D)),
            "You compare T queries with the weight products of one token. Those come T times too.",
        ),
        Mistake(
            "output-forgotten",
            lambda D, H, K, F: (matrices(D, H, K, F) - D * D) / (2 * D),
            "One of the four attention matrices is missing from the other part: the output "
            "projection.",
        ),
        Mistake(
            "projections-as-attention",
            lambda D, H, K, F: F - D - K * D / H,
            "You count query, key, value and output on the side of the scores. They are products "
            "with weight matrices, so they stand on the other.",
        ),
        Mistake(
            "feed-forward-alone",
            lambda D, H, K, F: float(F),
            "Your other part is the feed-forward block alone. The four attention matrices are "
            "products with weights as well.",
        ),
        Mistake(
            "feed-forward-forgotten",
            lambda D, H, K, F: D + K * D / H,
            "The feed-forward block is missing from the other part.",
        ),
        Mistake(
            "one-feed-forward-matrix",
            lambda D, H, K, F: D + K * D / H + F / 2,
            "Your feed-forward block goes from D to F and never comes back.",
        ),
        Mistake(
            "four-times-D",
            lambda D, H, K, F: D + K * D / H + 4 * D,
            "You take the feed-forward block to be 4·D wide. Here its width is F.",
        ),
        Mistake(
            "six-D",
            lambda D, H, K, F: 6 * D,
            "6·D is the answer where F = 4·D and K = H. Both can be otherwise.",
        ),
        Mistake(
            "sharing-ignored",
            lambda D, H, K, F: 2 * D + F,
            "Right for K = H. With K < H the key and value matrices are smaller.",
        ),
        Mistake(
            "scores-shared",
            lambda D, H, K, F: matrices(D, H, K, F) / (2 * K * D / H),
            "Your scores cost less with fewer key/value heads. But each of the H query heads "
            "still scores all keys; they only share them.",
        ),
        Mistake(
            "heads-multiply",
            lambda D, H, K, F: matrices(D, H, K, F) / (2 * D * H),
            "Your scores cost more with more heads. Each head works with d numbers, and H heads "
            "with H · d = D.",
        ),
        Mistake(
            "one-head",
            lambda D, H, K, F: matrices(D, H, K, F) / (2 * D / H),
            "You count the scores and the mix of one head. There are H.",
        ),
        Mistake(
            "parameters",
            lambda D, H, K, F: (
                package.layer_formula(sizes(D, H, d_ff=F, n_kv_heads=K)).total / (2 * D)
            ),
            "A little too long: biases and norms are parameters, but no products.",
        ),
    ),
    hints=(
        "Count multiplications. A weight matrix takes as many for each token as it has weights.",
        "One score takes d multiplications, and there are T · T of them in each of H heads. The "
        "mix takes as many again.",
        "So 2 · T · T · D on one side, T times all the weights on the other. Solve for T; the "
        "weights are 2·D² + 2·D·K·d + 2·D·F.",
    ),
)


# --- the cache

DTYPES = {1: torch.int8, 2: torch.float16, 4: torch.float32, 8: torch.float64}


def cache_bytes(L: int, D: int, H: int, K: int, T: int, B: int, size: int) -> int:
    """The bytes of a key/value cache for B texts of T positions, `size` bytes a number."""
    config = sizes(D, H, L, n_kv_heads=K)
    return package.memory(config, T=T, B=B, dtype=DTYPES[size])["key/value cache"]


def cache_cases() -> list[Case]:
    return [
        exact("one layer, one position", 1, 10, 1, 1, 1, 1, 1),
        exact("two heads", 1, 10, 2, 2, 1, 1, 1),
        exact("two query heads share one key/value head", 1, 10, 2, 1, 1, 1, 1),
        exact("several of each", 3, 12, 6, 2, 7, 5, 8),
        exact("GPT-2 small, 1024 positions: 72 MiB", 12, 768, 12, 12, 1024, 1, 4),
        exact("Llama 2 7B, 4096 positions: 2 GiB", 32, 4096, 32, 32, 4096, 1, 2),
        exact("Llama 3 8B, eight texts", 32, 4096, 32, 8, 8192, 8, 2),
    ]


CACHE = Exercise(
    id="cache_bytes",
    lesson="09",
    title="What does a long conversation weigh?",
    minutes=4,
    difficulty=1,
    prompt="""
A model that writes keeps the keys and the values of every position, in every layer, so as not to
compute them again. Write `my_cache(L, D, H, K, T, B, size)`: the bytes this takes for `B` texts of
`T` positions, with `L` layers, `K` key/value heads of width `d = D / H`, and `size` bytes for one
number. GPT-2 small at 1024 positions with 4 bytes takes 75,497,472 bytes: 72 MiB.""",
    reference=cache_bytes,
    source=(package.memory,),
    cases=cache_cases,
    observe=as_number,
    atol=0.4,
    judge=off_by(cache_bytes),
    mistakes=(
        Mistake(
            "one-of-two",
            lambda L, D, H, K, T, B, size: cache_bytes(L, D, H, K, T, B, size) / 2,
            "Half of it. Keys and values are both kept.",
        ),
        Mistake(
            "queries-too",
            lambda L, D, H, K, T, B, size: cache_bytes(L, D, H, K, T, B, size) * 3 / 2,
            "You keep queries as well. A query is used once, at its own position.",
        ),
        Mistake(
            "sharing-ignored",
            lambda L, D, H, K, T, B, size: 2 * L * D * T * B * size,
            "Right for K = H. Keys and values have K heads only: that is what grouped-query "
            "attention is for.",
        ),
        Mistake(
            "heads-as-wide-as-the-model",
            lambda L, D, H, K, T, B, size: 2 * L * K * D * T * B * size,
            "Each of your heads is D wide. A head has D / H numbers.",
        ),
        Mistake(
            "one-head",
            lambda L, D, H, K, T, B, size: 2 * L * D * T * B * size / H,
            "You count one head. There are K.",
        ),
        Mistake(
            "heads-for-width",
            lambda L, D, H, K, T, B, size: 2 * L * K * T * B * size,
            "You count one number for each head. A key and a value have d numbers each.",
        ),
        Mistake(
            "layers-forgotten",
            lambda L, D, H, K, T, B, size: cache_bytes(1, D, H, K, T, B, size),
            "Every layer has keys and values of its own.",
        ),
        Mistake(
            "texts-forgotten",
            lambda L, D, H, K, T, B, size: cache_bytes(L, D, H, K, T, 1, size),
            "Right for one text. Different texts share nothing.",
        ),
        Mistake(
            "numbers-not-bytes",
            lambda L, D, H, K, T, B, size: cache_bytes(L, D, H, K, T, B, 1),
            "You count numbers. Each of them takes `size` bytes.",
        ),
        Mistake(
            "bits",
            lambda L, D, H, K, T, B, size: cache_bytes(L, D, H, K, T, B, size) * 8,
            "You count bits. `size` is in bytes, and so is the answer.",
        ),
        Mistake(
            "mebibytes",
            lambda L, D, H, K, T, B, size: cache_bytes(L, D, H, K, T, B, size) / 2**20,
            "This is in MiB. The answer is in bytes.",
        ),
        Mistake(
            "score-table",
            lambda L, D, H, K, T, B, size: cache_bytes(L, D, H, K, T, B, size) * T,
            "Yours grows with T². Scores do, but they are not kept: a new position adds one key "
            "and one value.",
        ),
        Mistake(
            "one-position-less",
            lambda L, D, H, K, T, B, size: cache_bytes(L, D, H, K, T, B, size) * (T - 1) / T,
            "One position is missing. All T of them are kept.",
        ),
    ),
    hints=(
        "Begin with one position in one layer: how many numbers are its key and its value?",
        "A key has K heads of d numbers, a value as many.",
        "Then multiply by all there is more than one of: layers, positions, texts, bytes.",
    ),
)


EXERCISES = (ATTENTION, LAYER, DECODER, MODEL, VOCABULARY, CROSSOVER, CACHE)
