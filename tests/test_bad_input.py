"""Bad input, made up by hypothesis: a ValueError or TypeError of ours that names the argument.

Never another exception, never one from torch's insides, no NaN, no silent wrong shape.
"""

import contextlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import transformer_lab
from transformer_lab import tasks
from transformer_lab.attention import MultiHeadAttention, attention, attention_weights
from transformer_lab.config import ModelConfig
from transformer_lab.counting import count, crossover, flops, formula, memory
from transformer_lab.decoding import filtered, generate
from transformer_lab.layers import layer_norm, rms_norm
from transformer_lab.masks import (
    causal_mask,
    combine,
    padding_mask,
    prefix_mask,
    token_mask,
    window_mask,
)
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.positions import alibi, alibi_slopes, rotary, rotary_table, sinusoidal
from transformer_lab.rnn import GRUCell, LSTMCell, RNNCell, gradient_by_lag, unroll
from transformer_lab.schedules import inverse_root, trapezoid, warmup_cosine
from transformer_lab.tokens import Vocabulary
from transformer_lab.training import Step, smoothing_floor, train

OURS = Path(transformer_lab.__file__).parent
MANY = settings(deadline=None, derandomize=True, max_examples=200)
SOME = settings(MANY, max_examples=100)
INTEGERS = (torch.int32, torch.int64)
DTYPES = (
    torch.int64,
    torch.int32,
    torch.int16,
    torch.uint8,
    torch.bool,
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.complex64,
)
strangers = st.sampled_from(
    [None, 3, 0.5, "text", [[1, 2]], (), {}, np.ones((2, 3)), torch.ones, float("nan")]
)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
dtypes = st.sampled_from(DTYPES)
floats = st.just(torch.float32) | dtypes


@st.composite
def tensors(draw, shape=shapes, dtype=dtypes, low=0, high=8, meta=True) -> Tensor:
    torch.manual_seed(draw(st.integers(0, 99)))
    tensor = torch.randint(low, high, draw(shape)).to(draw(dtype))
    return tensor.to("meta") if meta and draw(st.integers(0, 19)) == 0 else tensor


def refused(call: Callable[[], Any], *names: str) -> bool:
    """Whether our own code refused, naming one of these arguments."""
    try:
        call()
        return False
    except (ValueError, TypeError) as caught:
        error = caught
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    where = Path(trace.tb_frame.f_code.co_filename)
    assert where.is_relative_to(OURS), f"from {where}: {error}"
    assert any(re.search(rf"\b{name}s?\b", str(error)) for name in names), str(error)
    return True


V, LONGEST = 9, 4
KINDS = ("language", "encoder", "source", "target")
MODELS = {
    positions: (
        LanguageModel(ModelConfig(V, d_model=8, max_len=LONGEST, positions=positions)),
        TextEncoder(ModelConfig(V, d_model=8, max_len=LONGEST, positions=positions, n_segments=2)),
        EncoderDecoder(ModelConfig(V, d_model=8, max_len=LONGEST, positions=positions)),
    )
    for positions in ("sinusoidal", "learned", "rotary", "alibi", "none")
}
positions = st.sampled_from(list(MODELS))
token_shapes = shapes | st.tuples(st.integers(0, 3), st.integers(0, 6))
token_dtypes = st.sampled_from(INTEGERS) | st.sampled_from(DTYPES)
token_like = (
    strangers
    | tensors(token_shapes, token_dtypes)
    | tensors(token_shapes, token_dtypes, low=-2, high=10)
    | tensors(st.just((2, 3)), st.sampled_from(INTEGERS), meta=False)
)


def readable(tokens: Any, positions: str) -> bool:
    """The rule, said once more: ids (B, T), not empty, in the vocabulary, not too long."""
    return (
        isinstance(tokens, Tensor)
        and tokens.device.type == "cpu"
        and tokens.dtype in INTEGERS
        and tokens.dim() == 2
        and tokens.numel() > 0
        and int(tokens.min()) >= 0
        and int(tokens.max()) < V
        and (tokens.shape[1] <= LONGEST or positions in ("alibi", "none"))
    )


@MANY
@given(token_like, positions, st.sampled_from(KINDS))
def test_tokens_are_read_or_named(tokens, positions, kind) -> None:
    language, encoder, translator = MODELS[positions]
    fits = readable(tokens, positions)
    rows = len(tokens) if fits else 2
    target, states = torch.ones(rows, 2).long(), torch.ones(rows, 3, 8)
    call = {
        "language": lambda: language(tokens),
        "encoder": lambda: encoder(tokens),
        "source": lambda: translator(tokens, target),
        "target": lambda: translator.decode(tokens, states, None),
    }[kind]
    assert refused(call, "tokens" if kind in ("language", "encoder") else kind) is not fits
    if fits:
        T = 2 if kind == "source" else tokens.shape[1]
        assert call().shape == (rows, T, 8 if kind == "encoder" else V)
        assert call().isfinite().all()


def boolean(mask: Any) -> bool:
    return isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.device.type == "cpu"


masks = (
    strangers
    | tensors(dtype=st.sampled_from([torch.bool, *DTYPES]), high=2)
    | tensors(
        st.sampled_from([(2, 3), (2, 1, 3), (2, 3, 3), (3, 3), (2, 5), (1, 3), (2, 1, 5)]),
        st.just(torch.bool),
        high=2,
        meta=False,
    )
)


def fitting(shape: tuple[int, ...], T: int, S: int) -> bool:
    """Whether a mask of this shape says for 2 texts and 4 heads who may look at whom."""
    sides = {2: (), 3: ((1, 2),), 4: ((1, 2), (1, 4))}.get(len(shape))
    return sides is not None and all(
        size in allowed for size, allowed in zip(shape, (*sides, (1, T), (1, S)), strict=True)
    )


@MANY
@given(masks, positions, st.booleans())
def test_masks_fit_or_are_named(mask, positions, cached) -> None:
    language, encoder, translator = MODELS[positions]
    tokens, good = torch.ones(2, 3).long(), mask is None
    fits = good or (boolean(mask) and mask.shape in ((2, 3), (2, 1, 3), (2, 3, 3)))
    assert refused(lambda: encoder(tokens, mask), "mask") is not fits
    cache = language.new_cache(6) if cached and positions in ("alibi", "none") else None
    if cache:
        language(tokens[:, :2], cache=cache)
    fits = good or (boolean(mask) and mask.shape == ((2, 5) if cache else (2, 3)))
    assert refused(lambda: language(tokens, mask, cache), "mask") is not fits
    states = torch.ones(2, 5, 8)
    fits = good or (boolean(mask) and fitting(mask.shape, 3, 5))
    assert refused(lambda: translator.decode(tokens, states, mask), "mask") is not fits


@SOME
@given(token_like, st.booleans())
def test_segments_fit_or_are_named(segments, has) -> None:
    encoder = TextEncoder(ModelConfig(V, d_model=8, n_segments=2 if has else 0))
    fits = segments is None or (
        has and readable(segments, "none") and segments.shape == (2, 3) and int(segments.max()) < 2
    )
    call = partial(encoder, torch.ones(2, 3).long(), segments=segments)
    assert refused(call, "segments") is not fits


@SOME
@given(
    strangers | tensors(st.sampled_from([(2, 3, 8), (2, 5, 8), (1, 3, 8)]), floats),
    st.none() | tensors(st.sampled_from([(2, 3, 8), (1, 5, 8)]), floats) | strangers | tensors(),
    masks,
    st.sampled_from([1, 2, 4]),
)
def test_states_fit_or_are_named(states, context, mask, K) -> None:
    module = MultiHeadAttention(8, 4, n_kv_heads=K)

    def read(x: Any) -> bool:
        return (
            isinstance(x, Tensor)
            and x.device.type == "cpu"
            and x.dtype == torch.float32
            and x.dim() == 3
            and x.shape[2] == 8
        )

    looked = states if context is None else context
    fits = read(states) and read(looked) and len(states) == len(looked)
    if fits and mask is not None and len(states) == 2:
        fits = boolean(mask) and fitting(mask.shape, states.shape[1], looked.shape[1])
    elif fits and mask is not None:
        return
    assert refused(lambda: module(states, context, mask), "states", "context", "mask") is not fits
    if fits:
        assert module(states, context, mask).shape == states.shape


@st.composite
def mixtures(draw) -> tuple[dict[str, Any], list[str]]:
    """Arguments of attention that fit, but for those named, which may be anything."""
    rows = draw(st.lists(st.integers(1, 3), max_size=2))
    T, S, d, v = (draw(st.integers(1, 4)) for _ in range(4))
    dtype = st.just(draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16])))

    def side(size: int) -> int:
        return draw(st.sampled_from([1, size, size]))

    some = draw(st.lists(st.booleans(), min_size=2, max_size=2))
    given = {
        "query": draw(tensors(st.just((*rows, T, d)), dtype, meta=False)),
        "key": draw(tensors(st.just((*rows, S, d)), dtype, meta=False)),
        "value": draw(tensors(st.just((*rows, S, v)), dtype, meta=False)),
        "mask": draw(tensors(st.just((side(T), side(S))), st.just(torch.bool), high=2, meta=False)),
        "bias": draw(tensors(st.just((*rows[1:], side(T), side(S))), dtype, meta=False)),
    }
    for name, there in zip(("mask", "bias"), some, strict=True):
        if not there:
            given[name] = None
    anything = strangers | tensors() | tensors(st.permutations([*rows, T, d]).map(tuple), dtype)
    changed = draw(st.lists(st.sampled_from(list(given)), max_size=2))
    for name in changed:
        good = given[name]
        same = st.nothing()
        if isinstance(good, Tensor):
            same = st.sampled_from([*DTYPES, "meta"]).map(good.to)
        given[name] = draw(anything | tensors(dtype=st.just(torch.bool), high=2) | same)
    return given, changed


@MANY
@given(mixtures(), st.booleans())
def test_attention_fits_or_is_named(mixture, causal) -> None:
    """Both paths take the same queries, keys, masks and biases, with the same result."""
    given, changed = mixture
    names = (*given, "S=")
    query, key, value, mask, bias = given.values()
    written_out = {name: x for name, x in given.items() if name != "value"}
    fused = not refused(lambda: attention(**given), *names)
    assert refused(lambda: attention_weights(**written_out), *names) <= (not fused)
    assert fused or changed
    if not fused:
        return
    (T, S), full = (query.shape[-2], key.shape[-2]), None
    if causal and refused(lambda: attention(**given, causal=True), *names):
        assert T > S
        return
    if causal and T <= S:
        full = causal_mask(T, S)
    out = attention(**given, causal=causal)
    assert out.isfinite().all()
    if query.dtype != torch.bfloat16:  # its scores are too coarse to compare two orders of rounding
        weights = attention_weights(query, key, combine(mask, full), bias=bias)
        bound = 1e-5 if query.dtype == torch.float32 else 1e-10
        torch.testing.assert_close(out, weights @ value, rtol=0, atol=bound)
    rows = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    assert out.shape == (*rows, T, value.shape[-1])


def test_mixed_precision_is_no_mistake() -> None:
    """Under autocast some numbers are halves where the weights are floats."""
    tokens = torch.ones(2, 3).long()
    for models in MODELS.values():
        with torch.autocast("cpu", torch.bfloat16):
            for model in models[:2]:
                assert model(tokens).isfinite().all()
            assert models[2](tokens, tokens).isfinite().all()


numbers = st.sampled_from([-1, 0, 1, 2, 3, 5, 0.5, 1.0, 1e-6, float("nan"), float("inf")])
loose = numbers | strangers | st.booleans()


@st.composite
def orders(draw) -> tuple[dict[str, Any], list[str]]:
    """Arguments of generate that fit, but for those named, which may be anything."""
    given: dict[str, Any] = {
        "tokens": draw(tensors(st.just((2, 2)), st.just(torch.int64), meta=False)),
        "max_new_tokens": draw(st.integers(1, 2)),
        "temperature": draw(st.sampled_from([0.0, 1.0, 1e-6, 100.0])),
        "top_k": draw(st.sampled_from([None, 1, 3, 50])),
        "top_p": draw(st.sampled_from([None, 1e-9, 0.5, 1.0])),
        "min_p": draw(st.sampled_from([None, 1e-9, 0.5, 1.0])),
        "beams": 1,
        "length_penalty": draw(st.sampled_from([0.0, 1.0, -1.0])),
        "cache": draw(st.booleans()),
        "seed": draw(st.sampled_from([None, 0, 7])),
        "mask": draw(st.sampled_from([None, torch.tensor([[False, True], [True, True]])])),
        "end_id": draw(st.sampled_from([None, 0, V - 1])),
    }
    if draw(st.booleans()):
        given |= {"temperature": 0.0, "beams": draw(st.integers(1, 12))}
    changed = draw(st.lists(st.sampled_from(list(given)), max_size=2))
    for name in changed:
        given[name] = draw(token_like if name == "tokens" else masks if name == "mask" else loose)
    return given, changed


@MANY
@given(orders(), positions, st.booleans(), st.booleans())
def test_orders_to_generate_are_carried_out_or_named(
    order, positions, translate, source_fits
) -> None:
    given, changed = order
    model, source = MODELS[positions][0], None
    if translate:
        model = MODELS[positions][2]
        source, _ = torch.ones(2, 3).long() if source_fits else given["tokens"], given.pop("mask")
    names = (*given, "source")
    if refused(lambda: generate(model, **given, source=source), *names):
        assert changed
        return
    out = generate(model, **given, source=source)
    tokens, new = given["tokens"], given["max_new_tokens"]
    assert readable(tokens, positions)
    assert tokens.shape[1] < out.shape[1] <= tokens.shape[1] + new
    assert torch.equal(out[:, : tokens.shape[1]], tokens)
    assert readable(out, "none")


FIELDS = {
    "vocab_size": 9,
    "d_model": 8,
    "n_heads": 2,
    "n_layers": 1,
    "d_ff": 4,
    "max_len": 5,
    "n_kv_heads": 1,
    "norm": "pre",
    "norm_kind": "rms",
    "activation": "swiglu",
    "positions": "rotary",
    "dropout": 0.1,
    "bias": False,
    "tie_embeddings": True,
    "pad_id": 0,
    "norm_eps": 1e-6,
    "scale_embeddings": True,
    "n_segments": 1,
    "embedding_norm": True,
    "pooler": True,
    "rotary_base": 100.0,
}
words = st.sampled_from(["pre", "post", "rms", "layer", "relu", "gelu", "alibi", "none", "Relu"])


@MANY
@given(st.dictionaries(st.sampled_from(list(FIELDS)), loose | words, max_size=2))
def test_a_config_makes_a_model_or_names_the_field(changes) -> None:
    given = {**FIELDS, **changes}
    if refused(lambda: ModelConfig(**given), *changes):
        return
    config = ModelConfig(**given)
    model = TextEncoder(config).eval()
    out = model(torch.zeros(2, 1).long())
    assert out.shape == (2, 1, config.d_model)
    assert out.isfinite().all()
    for name, value in changes.items():
        assert (
            type(value) is type(FIELDS[name])
            or value is None
            or name in ("dropout", "norm_eps", "rotary_base")
        )


FUNCTIONS = {
    "sinusoidal": (sinusoidal, {"length": 3, "d_model": 4, "base": 10.0}),
    "rotary_table": (rotary_table, {"length": 3, "d": 4, "base": 10.0}),
    "rotary": (rotary, {"x": torch.ones(2, 3, 4), "offset": 1, "base": 10.0}),
    "alibi": (alibi, {"n_heads": 3, "T": 2, "S": 3}),
    "causal_mask": (causal_mask, {"T": 2, "S": 3}),
    "window_mask": (window_mask, {"T": 3, "width": 2}),
    "prefix_mask": (prefix_mask, {"T": 3, "prefix": 2}),
    "padding_mask": (padding_mask, {"lengths": torch.tensor([1, 2]), "S": 3}),
    "token_mask": (token_mask, {"tokens": torch.tensor([[1, 2]]), "pad_id": 1}),
    "combine": (combine, {"mask": torch.ones(2, 3).bool(), "": torch.ones(2, 1, 3).bool()}),
    "filtered": (filtered, {"logits": torch.ones(2, 3), "top_k": 2, "top_p": 0.5, "min_p": 0.1}),
}


@MANY
@given(st.sampled_from(list(FUNCTIONS)), st.data())
def test_functions_give_finite_numbers_or_name_the_argument(name, data) -> None:
    function, good = FUNCTIONS[name]
    given = dict(good)
    for key in data.draw(st.lists(st.sampled_from(list(good)), max_size=2)):
        booleans = tensors(dtype=st.just(torch.bool), high=2, meta=False)
        given[key] = data.draw(loose | tensors(meta=False) | booleans)
    names = [key for key in given if key] or ["masks"]
    if refused(lambda: function(*given.values()), *names):
        return
    out = function(*given.values())
    for tensor in out if isinstance(out, tuple) else (out,):
        assert tensor is None or tensor.isnan().sum() == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda right, _: right[:1], "of 1"),
        (lambda right, _: [*right, *right], "of 4"),
        (lambda *_: [], "of 0"),
        (lambda *_: [3, 4], "of 2"),
        (lambda _, other: other, "of 2"),
        (lambda *_: "cache", "str"),
    ],
)
def test_a_cache_of_another_model_is_named(wrong, said: str) -> None:
    language, _, translator = MODELS["none"]
    one, two = language.new_cache(), translator.new_cache(2)
    tokens, states = torch.ones(2, 2).long(), torch.ones(2, 2, 8)
    with pytest.raises(ValueError, match=f"cache must .* 2 layers, got .*{said}"):
        language(tokens, cache=wrong(one, two))
    with pytest.raises(ValueError, match=f"cache must .* 2 layers, got .*{said}"):
        translator.decode(tokens, states, None, wrong(two, one))


def test_a_cache_of_other_texts_is_named() -> None:
    language, _, translator = MODELS["none"]
    cache, pairs = language.new_cache(), translator.new_cache(3)
    language(torch.ones(2, 1).long(), cache=cache)
    translator.decode(torch.ones(2, 1).long(), torch.ones(2, 3, 8), None, pairs)
    with pytest.raises(ValueError, match="the cache holds 2 rows, got 3"):
        language(torch.ones(3, 1).long(), cache=cache)
    with pytest.raises(ValueError, match="the cache holds 2 rows, got 1"):
        language(torch.ones(1, 1).long(), cache=cache)
    with pytest.raises(ValueError, match="the cache holds max_len=1 positions, not 2"):
        language(torch.ones(1, 2).long(), cache=language.new_cache(1))
    with pytest.raises(ValueError, match="the cache holds 2 rows, got 3"):
        translator.decode(torch.ones(3, 1).long(), torch.ones(3, 3, 8), None, pairs)


def test_a_mask_with_nothing_masked_must_fit_as_well() -> None:
    language, _, translator = MODELS["rotary"]
    tokens, source = torch.ones(2, 2).long(), torch.ones(2, 3).long()
    for shape in ((2, 3), (1, 2), (2,), (2, 2, 2)):
        with pytest.raises(ValueError, match="mask must have shape"):
            generate(language, tokens, 1, mask=torch.ones(shape).bool())
    with pytest.raises(ValueError, match="mask goes with a LanguageModel"):
        generate(translator, tokens, 1, source=source, mask=torch.ones(2, 2).bool())
    with pytest.raises(
        ValueError, match=r"source and tokens must have as many rows, got \(1, 3\) and \(2, 2\)"
    ):
        generate(translator, tokens, 1, source=source[:1])


@SOME
@given(
    strangers | tensors(st.sampled_from([(2, 3, 9), (2, 3, 8), (1, 3, 8), (2, 0, 8)]), floats),
    token_like,
)
def test_a_translator_reads_states_or_names_them(states, target) -> None:
    translator = MODELS["alibi"][2]
    fits = (
        readable(target, "alibi")
        and isinstance(states, Tensor)
        and states.device.type == "cpu"
        and states.dtype == torch.float32
        and states.shape[1:] == (3, 8)
        and len(states) == len(target)
    )
    call = partial(translator.decode, target, states, None)
    assert refused(call, "target", "states") is not fits
    assert not fits or call().isfinite().all()


def run(**arguments: Any) -> list[Step]:
    return list(train(**arguments))


def states() -> Tensor:
    return torch.ones(2, 3, 4)


def ids() -> Tensor:
    return torch.ones(2, 3).long()


TINY = ModelConfig(9, d_model=4, n_heads=2, n_layers=1, max_len=4)
SCHEDULE = {"step": 1, "steps": 9, "warmup": 2}
COPY = {"size": 2, "length": 5, "symbols": 3, "seed": 0}
CELL = {"d_input": 3, "d_hidden": 4, "recurrent": "uniform", "gain": 1.0}
SIZES = {"config": TINY, "T": 3, "S": 4, "B": 1, "kind": "decoder"}
CALLS: dict[Callable[..., Any], dict[str, Any]] = {
    causal_mask: {"T": 3, "S": 4},
    window_mask: {"T": 3, "width": 2},
    prefix_mask: {"T": 3, "prefix": 2},
    padding_mask: {"lengths": torch.tensor([1, 2]), "S": 3},
    token_mask: {"tokens": ids(), "pad_id": 0},
    attention_weights: {"query": states(), "key": states(), "scale": 0.5},
    attention: {**dict.fromkeys(("query", "key", "value"), states()), "scale": 0.5, "dropout": 0.1},
    MultiHeadAttention: {"d_model": 4, "n_heads": 2, "n_kv_heads": 1, "dropout": 0.1},
    sinusoidal: {"length": 3, "d_model": 4, "base": 9.0},
    rotary_table: {"length": 3, "d": 4, "base": 9.0},
    rotary: {"x": states(), "offset": 1, "base": 9.0},
    alibi: {"n_heads": 2, "T": 3, "S": 4},
    alibi_slopes: {"n_heads": 2},
    layer_norm: {"x": states(), "weight": torch.ones(4), "bias": torch.ones(4), "eps": 1e-5},
    rms_norm: {"x": states(), "weight": torch.ones(4), "eps": 1e-5},
    formula: {"config": TINY, "kind": "decoder", "source_vocab_size": None},
    flops: SIZES,
    memory: {**SIZES, "dtype": torch.float32},
    crossover: {"config": TINY},
    count: {"model": LanguageModel(TINY)},
    run: {
        "model": LanguageModel(TINY), "batches": [ids()] * 3, "steps": 2, "rate": 0.1, "warmup": 1,
        "weight_decay": 0.1, "clip": 1.0, "loss": None, "smoothing": 0.1, "accumulate": 1,
        "checkpoint": None, "save_every": 1,
    },
    warmup_cosine: {**SCHEDULE, "floor": 0.1},
    inverse_root: SCHEDULE,
    trapezoid: {**SCHEDULE, "decay": 0.2},
    smoothing_floor: {"smoothing": 0.1, "classes": 3},
    RNNCell: {**CELL, "activation": "tanh"},
    GRUCell: CELL,
    LSTMCell: {**CELL, "forget_bias": 1.0},
    RNNCell(4, 4): {"x": torch.ones(2, 4), "state": None},
    unroll: {"cell": RNNCell(4, 4), "inputs": states(), "state": None},
    partial(gradient_by_lag, partial(RNNCell, 3, 4)): {"T": 3, "seeds": [1], "D": 3},
    tasks.copy: COPY,
    tasks.reverse: COPY,
    tasks.sort: COPY,
    tasks.two_lookups: COPY,
    tasks.delayed_recall: {"size": 2, "lag": 5, "symbols": 3, "seed": 0},
    tasks.repeated: {**COPY, "shortest": 2, "longest": 3},
    tasks.MarkovSource: {"table": torch.eye(3)[[1, 2, 0]]},
    tasks.MarkovSource.random: {"symbols": 3, "order": 1, "spread": 1.0, "seed": 0},
    tasks.windows: {"ids": [1, 2, 3], "T": 2, "size": 1, "seed": 0},
    tasks.train_validation: {"text": "0123456789", "share": 0.5},
    tasks.NumberWords: {"train": 30, "held_out": 1, "below": 50, "seed": 0, "without": 42},
    tasks.Dates: {"train": 5, "held_out": 3, "first": 1999, "last": 2001, "seed": 0},
    tasks.NumberWords(30, 3, 50).batches: {"size": 2, "seed": 0},
    Vocabulary(["abc"]).decode: {"ids": [3]},
}  # fmt: skip
ODD = ["x", None, True, 2.5, float("nan"), -1, 0, object(), [9], torch.tensor(2), torch.ones(2, 2)]


@pytest.mark.parametrize(
    ("call", "name"), [(call, name) for call, given in CALLS.items() for name in given]
)
def test_an_odd_value_works_or_is_named(
    call: Callable[..., Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # "x" is a fine name for a checkpoint
    assert not refused(partial(call, **CALLS[call]))
    for value in ODD if name not in ("batches", "seeds") else ODD[:-2]:
        with contextlib.suppress(FloatingPointError):  # what training says of a rate too high
            refused(partial(call, **{**CALLS[call], name: value}), name, name.removesuffix("es"))
