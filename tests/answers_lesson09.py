"""Lesson 09: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
from answers import collect
from torch import nn

RIGHT, WRONG, right, wrong = collect()


def held(*modules):
    """How many parameters some modules hold."""
    return sum(p.numel() for module in modules for p in module.parameters())


# --- one attention block


@right("count_attention")
def attention_by_formula(D, H, K, bias):
    W = D // H * K
    return 2 * D * D + 2 * D * W + bias * (2 * D + 2 * W)


@right("count_attention")
def attention_matrix_by_matrix(D, H, K, bias):
    total = 0
    for heads in (H, K, K, H):
        total += heads * D // H * (D + bias)
    return total


@right("count_attention")
def attention_by_modules(D, H, K, bias):
    wide = K * (D // H)
    with torch.device("meta"):
        layers = [nn.Linear(D, n, bias=bias) for n in (D, wide, wide, D)]
    return held(*layers)


@wrong("count_attention", "output-forgotten")
def attention_of_three(D, H, K, bias):
    return sum(n * D // H * (D + bias) for n in (H, K, K))


@wrong("count_attention", "sharing-ignored")
def attention_of_torch(D, H, K, bias):
    return held(nn.MultiheadAttention(D, H, bias=bias, device="meta"))


@wrong("count_attention", "biases-forgotten")
def attention_of_weights(D, H, K, bias):
    return torch.tensor(2 * D**2 * (1 + K / H))


@wrong("count_attention", "shared-biases-full")
def attention_with_long_biases(D, H, K, bias):
    total = 2 * D * D * (1 + K / H)
    return total + 4 * D if bias else total


@wrong("count_attention", "heads-as-wide-as-the-model")
def attention_head_by_head(D, H, K, bias):
    total = sum(D * D + bias * D for head in range(H)) + H * D * D + bias * D
    return total + sum(2 * (D * D + bias * D) for head in range(K))


@wrong("count_attention", "norm-counted")
def attention_with_its_norm(D, H, K, bias):
    with torch.device("meta"):
        layers = [nn.Linear(D, n * D // H, bias=bias) for n in (H, K, K, H)]
        return held(*layers, nn.LayerNorm(D, bias=bias))


# --- an encoder layer


@right("count_layer")
def layer_by_formula(D, F, bias):
    return 4 * D * D + 2 * D * F + 2 * D + (7 * D + F) * bias


@right("count_layer")
def layer_by_torch(D, F, bias):
    with torch.device("meta"):
        return held(nn.TransformerEncoderLayer(D, 1, F, bias=bias))


@right("count_layer")
def layer_from_shapes(D, F, bias):
    matrices = [(D, D)] * 4 + [(D, F), (F, D)]
    total = sum(n * m for n, m in matrices) + 2 * D
    for _, m in matrices:
        total += m * bias
    return total + (D + D) * bias


@wrong("count_layer", "output-forgotten")
def layer_of_three_matrices(D, F, bias):
    with torch.device("meta"):
        layers = [nn.Linear(D, n, bias=bias) for n in (D, D, D, F)]
        norms = [nn.LayerNorm(D, bias=bias) for _ in range(2)]
        return held(*layers, *norms, nn.Linear(F, D, bias=bias))


@wrong("count_layer", "norms-forgotten")
def layer_without_norms(D, F, bias):
    return sum((n + bias) * m for n, m in [(D, D)] * 4 + [(D, F), (F, D)])


@wrong("count_layer", "four-times-D")
def layer_of_twelve_squares(D, F, bias):
    return 12 * D**2 + 2 * D + bias * 11 * D


@wrong("count_layer", "biases-always")
def layer_with_biases(D, F, bias):
    return held(nn.TransformerEncoderLayer(D, 1, F, device="meta"))


@wrong("count_layer", "feed-forward-biases-alike")
def layer_with_two_wide_biases(D, F, bias):
    attention, norms = 4 * (D * D + D * bias), 2 * (D + D * bias)
    return attention + 2 * (D * F + F * bias) + norms


@wrong("count_layer", "cross-attention-too")
def layer_of_a_decoder(D, F, bias):
    return held(nn.TransformerDecoderLayer(D, 1, F, bias=bias, device="meta"))


# --- a decoder layer


@right("count_decoder_layer")
def decoder_by_formula(D, F, cross):
    return (1 + cross) * (4 * D * D + 6 * D) + 2 * D * F + F + 3 * D


@right("count_decoder_layer")
def decoder_by_torch(D, F, cross):
    make = {False: nn.TransformerEncoderLayer, True: nn.TransformerDecoderLayer}
    with torch.device("meta"):
        return held(make[cross](D, 1, F))


@right("count_decoder_layer")
def decoder_block_by_block(D, F, cross):
    norm = 2 * D
    total = (D + 1) * F + (F + 1) * D + norm
    for _ in range(1 + cross):
        total += 4 * (D * D + D) + norm
    return total


@wrong("count_decoder_layer", "cross-ignored")
def decoder_of_an_encoder(D, F, cross):
    return held(nn.TransformerEncoderLayer(D, 1, F, device="meta"))


@wrong("count_decoder_layer", "third-norm-forgotten")
def decoder_with_two_norms(D, F, cross):
    return (1 + cross) * 4 * (D + 1) * D + (D + 1) * F + (F + 1) * D + 2 * D * 2


@wrong("count_decoder_layer", "keys-from-the-encoder")
def decoder_given_keys_and_values(D, F, cross):
    blocks = [4, 2] if cross else [4]
    return sum(n * (D * D + D) + 2 * D for n in blocks) + 2 * D * F + F + 3 * D


@wrong("count_decoder_layer", "matrices-shared")
def decoder_with_one_block(D, F, cross):
    with torch.device("meta"):
        norms = [nn.LayerNorm(D) for _ in range(3 if cross else 2)]
        two = nn.Linear(D, F), nn.Linear(F, D)
        return held(nn.MultiheadAttention(D, 1), *norms, *two)


@wrong("count_decoder_layer", "self-output-forgotten")
def decoder_of_threes(D, F, cross):
    blocks = 2 if cross else 1
    return blocks * (3 * D**2 + 5 * D) + 2 * D * F + F + 3 * D


# --- a whole model


@right("count_model")
def model_by_formula(V, max_len, D, L, tied):
    return ((2 - tied) * V + max_len) * D + L * (12 * D * D + 13 * D) + 2 * D


@right("count_model")
def model_by_torch(V, max_len, D, L, tied):
    with torch.device("meta"):
        layer = nn.TransformerEncoderLayer(D, 1, 4 * D)
        tables = [nn.Embedding(num_embeddings=n, embedding_dim=D) for n in (V, max_len)]
        head = nn.Linear(in_features=D, out_features=V, bias=False)
        return L * held(layer) + held(*tables) + held(head) * (1 - tied) + held(nn.LayerNorm(D))


@right("count_model")
def model_part_by_part(V, max_len, D, L, tied):
    F = 4 * D
    total = V * D + max_len * D
    for _ in range(L):
        total += 3 * (D * D + D)  # query, key, value
        total += D * D + D  # output
        total += (D + 1) * F + (F + 1) * D
        total += 2 * 2 * D
    total += 2 * D
    total += D * V * (1 - tied)
    return total


@wrong("count_model", "tied-counted-twice")
def model_as_state_dict(V, max_len, D, L, tied):
    return (V + max_len + V) * D + L * (12 * D * D + 13 * D) + 2 * D


@wrong("count_model", "naive-recipe")
def model_by_the_summary(V, max_len, D, L, tied):
    embeddings, norms = (V + max_len) * D, (2 * L + 1) * 2 * D
    output = 0 if tied else V * D
    return embeddings + L * (3 * D * D + 8 * D * D) + norms + output


@wrong("count_model", "positions-forgotten")
def model_with_free_positions(V, max_len, D, L, tied):
    return V * D * (1 if tied else 2) + L * (12 * D**2 + 13 * D) + 2 * D


@wrong("count_model", "final-norm-forgotten")
def model_without_a_last_norm(V, max_len, D, L, tied):
    layer = nn.TransformerEncoderLayer(D, 1, 4 * D, device="meta")
    return held(layer) * L + (V + max_len) * D + (not tied) * V * D


@wrong("count_model", "twelve-D-squared")
def model_by_rule_of_thumb(V, max_len, D, L, tied):
    return 12 * L * D**2 + (V + max_len) * D + (0 if tied else V * D)


@wrong("count_model", "untied-head-with-bias")
def model_with_a_plain_head(V, max_len, D, L, tied):
    head = 0 if tied else held(nn.Linear(D, V, device="meta"))
    return (V + max_len) * D + L * (12 * D * D + 13 * D) + 2 * D + head


# --- forensics


@right("vocabulary_from_total")
def vocabulary_by_formula(millions, D, F, L):
    rest = L * (12 * D * D + 4 * D * F + 24 * D + 2 * F)
    low = (millions - 0.5) * 1e6 - rest
    high = (millions + 0.5) * 1e6 - rest
    return math.ceil(low / D), math.floor(high / D)


@right("vocabulary_from_total")
def vocabulary_by_torch(millions, D, F, L):
    with torch.device("meta"):
        encoder, decoder = nn.TransformerEncoderLayer(D, 1, F), nn.TransformerDecoderLayer(D, 1, F)
    rest = L * (held(encoder) + held(decoder))
    low, high = 10**6 * (millions - 0.5), 10**6 * (millions + 0.5)
    return -((rest - low) // D), (high - rest) // D


@right("vocabulary_from_total")
def vocabulary_by_rounding(millions, D, F, L):
    rest = L * (4 * D * D + 3 * 4 * D + D * F) * 2 + L * (4 * D * D + 2 * D * F + 2 * F)
    ends = [((millions + half) * 1e6 - rest) / D for half in (-0.5, 0.5)]
    return round(ends[0] + 0.5), round(ends[1] - 0.5)


def all_but_the_table(D, F, L):
    return L * (12 * D * D + 4 * D * F + 24 * D + 2 * F)


@wrong("vocabulary_from_total", "middle")
def vocabulary_of_the_printed_number(millions, D, F, L):
    V = (millions * 1e6 - all_but_the_table(D, F, L)) / D
    return round(V), round(V)


@wrong("vocabulary_from_total", "low-cut")
def vocabulary_by_whole_division(millions, D, F, L):
    rest = all_but_the_table(D, F, L)
    return (millions * 10**6 - 500000 - rest) // D, (millions * 10**6 + 500000 - rest) // D


@wrong("vocabulary_from_total", "stacks-forgotten")
def vocabulary_of_everything(millions, D, F, L):
    return math.ceil((millions - 0.5) * 1e6 / D), (2 * millions + 1) * 500_000 // D


@wrong("vocabulary_from_total", "cross-attention-forgotten")
def vocabulary_beside_two_encoders(millions, D, F, L):
    rest = 2 * L * held(nn.TransformerEncoderLayer(D, 1, F, device="meta"))
    return math.ceil((millions * 1e6 - 5e5 - rest) / D), int((millions * 1e6 + 5e5 - rest) / D)


@wrong("vocabulary_from_total", "final-norms")
def vocabulary_beside_torch(millions, D, F, L):
    model = nn.Transformer(D, 1, L, L, F, device="meta")
    low, high = ((millions + half) * 1e6 - held(model) for half in (-0.5, 0.5))
    return math.ceil(low / D), math.floor(high / D)


@wrong("vocabulary_from_total", "three-tables")
def vocabulary_for_three(millions, D, F, L):
    rest = all_but_the_table(D, F, L)
    return tuple(
        cut(((millions + half) * 1e6 - rest) / (3 * D))
        for cut, half in ((math.ceil, -0.5), (math.floor, 0.5))
    )


# --- where attention costs as much as the rest


@right("attention_crossover")
def crossover_by_formula(D, H, K, F):
    return D + K * D / H + F


@right("attention_crossover")
def crossover_by_division(D, H, K, F):
    weights = D * D + 2 * D * (D // H * K) + D * D + D * F + F * D
    each = 2 * D  # a query and a key: d products for a score and d for the mix, in H heads
    return weights / each


@right("attention_crossover")
def crossover_from_shapes(D, H, K, F):
    shapes = [(D, D), (D, D // H * K), (D, D // H * K), (D, D), (D, F), (F, D)]
    weights = sum(n * m for n, m in shapes)
    one_pair = sum(D / H * 2 for head in range(H))
    return weights / one_pair


@wrong("attention_crossover", "one-product")
def crossover_of_the_scores(D, H, K, F):
    return 2 * (D + K * D // H + F)


@wrong("attention_crossover", "six-D")
def crossover_by_heart(D, H, K, F):
    return torch.tensor(6.0 * D)


@wrong("attention_crossover", "sharing-ignored")
def crossover_with_all_heads(D, H, K, F):
    return (4 * D**2 + 2 * D * F) / (2 * D)


@wrong("attention_crossover", "heads-multiply")
def crossover_with_wide_heads(D, H, K, F):
    return (D + K * D / H + F) / H


@wrong("attention_crossover", "one-token")
def crossover_of_squares(D, H, K, F):
    return (D + K * (D // H) + F) ** 0.5


@wrong("attention_crossover", "parameters")
def crossover_with_biases(D, H, K, F):
    W = K * D // H
    total = 2 * (D + 1) * D + 2 * (D + 1) * W + (D + 1) * F + (F + 1) * D + 4 * D
    return total / (2 * D)


# --- the cache


@right("cache_bytes")
def cache_by_formula(L, D, H, K, T, B, size):
    return 2 * L * K * (D // H) * T * B * size


@right("cache_bytes")
def cache_by_tensors(L, D, H, K, T, B, size):
    dtype = {1: torch.uint8, 2: torch.bfloat16, 4: torch.int32, 8: torch.int64}[size]
    with torch.device("meta"):
        return torch.empty([2, L, B, K, T, D // H], dtype=dtype).nbytes


@right("cache_bytes")
def cache_layer_by_layer(L, D, H, K, T, B, size):
    total = 0
    for _ in range(L):
        key = B * K * T * D // H
        value = B * T * D * K / H
        total += (key + value) * size
    return total


@wrong("cache_bytes", "sharing-ignored")
def cache_of_every_head(L, D, H, K, T, B, size):
    return 2 * L * H * (D // H) * T * B * size


@wrong("cache_bytes", "one-of-two")
def cache_of_keys(L, D, H, K, T, B, size):
    return torch.empty(L, B, K, T, D // H, device="meta").numel() * size


@wrong("cache_bytes", "heads-as-wide-as-the-model")
def cache_of_wide_heads(L, D, H, K, T, B, size):
    return sum(2 * D * K * T * B * size for layer in range(L))


@wrong("cache_bytes", "texts-forgotten")
def cache_of_one_text(L, D, H, K, T, B, size):
    return 2 * L * T * K * D // H * size


@wrong("cache_bytes", "queries-too")
def cache_of_three(L, D, H, K, T, B, size):
    return 3 * L * T * K * (D // H) * B * size


EQUIVALENT = {
    ("attention_by_modules", "bias → -bias"): "all but 0 is true",
    ("layer_by_torch", "bias → -bias"): "all but 0 is true",
    ("count_decoder_layer", "cross → -cross"): "all but 0 is true",
}
MANY_RIGHT = ()
