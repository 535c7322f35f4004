"""Our modules and models against torch's and Hugging Face's, on random sizes and weights.

Outputs and gradients agree within 1e-5 in float32 and 1e-10 in float64. Weights go over by
the maps in the package: twins.py for torch, renaming.py for Hugging Face.
"""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from transformer_lab.attention import MultiHeadAttention
from transformer_lab.checkpoints import fill
from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.layers import DecoderLayer, EncoderLayer, layer_norm, rms_norm
from transformer_lab.masks import to_torch_ignore
from transformer_lab.models import EncoderDecoder
from transformer_lab.renaming import family_of, our_config, our_weights
from transformer_lab.twins import copy_attention, copy_layer

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}
SOME = settings(
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
dtypes = st.sampled_from(list(BOUNDS))
seeds = st.integers(0, 2**31)
few = st.integers(1, 4)
lengths = st.integers(1, 9)


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=0, atol=BOUNDS[ours.dtype])


def shaken(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Weights and biases that hide nothing, small enough that states stay near 1."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(std=0.2)
            if "norm" in name.lower() or "ln_" in name:
                parameter.add_(1.0)
    return module.to(dtype)


def random_mask(*shape: int) -> Tensor:
    """True half of the time, and everyone may look at the first: torch has NaN for nobody."""
    mask = torch.rand(shape) > 0.5
    mask[..., 0] = True
    return mask


def same_gradients(
    ours: nn.Module, theirs: nn.Module, copy: Callable[[nn.Module, nn.Module], None]
) -> None:
    """Our gradients, carried over like weights, are their gradients."""
    carrier, expected = deepcopy(ours), deepcopy(theirs)
    with torch.no_grad():
        for place, parameter in zip(carrier.parameters(), ours.parameters(), strict=True):
            assert parameter.grad is not None
            place.copy_(parameter.grad)
    copy(carrier, expected)
    for mine, parameter in zip(expected.parameters(), theirs.parameters(), strict=True):
        close(mine, parameter.grad)


def backward(out: Tensor, *inputs: Tensor) -> list[Tensor]:
    """A loss that weighs every number differently; gradients of the inputs."""
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    (out * weights).mean().backward()
    grads = [x.grad.clone() for x in inputs]
    for x in inputs:
        x.grad = None
    return grads


# torch


@SOME
@given(seeds, dtypes, lengths, st.integers(2, 40), st.floats(1e-8, 1e-1), st.booleans())
def test_norms_equal_torchs(seed, dtype, B, D, eps, bias) -> None:
    torch.manual_seed(seed)
    x = (3 * torch.randn(B, 3, D, dtype=dtype) + 1).requires_grad_()
    layer = shaken(nn.LayerNorm(D, eps, bias=bias), dtype)
    root = shaken(nn.RMSNorm(D, eps), dtype)
    pairs = [
        (layer_norm(x, layer.weight, layer.bias, eps), layer(x)),
        (rms_norm(x, root.weight, eps), root(x)),
    ]
    for ours, theirs in pairs:
        close(ours, theirs)
        close(backward(ours, x)[0], backward(theirs, x)[0])


@SOME
@given(seeds, dtypes, few, few, few, lengths, lengths, st.data())
def test_attention_equals_torchs(seed, dtype, B, H, d, T, S, data) -> None:
    torch.manual_seed(seed)
    D, cross, bias = H * d, data.draw(st.booleans()), data.draw(st.booleans())
    ours = shaken(MultiHeadAttention(D, H, bias=bias), dtype)
    theirs = nn.MultiheadAttention(D, H, bias=bias, batch_first=True, dtype=dtype)
    copy_attention(ours, theirs)
    states = torch.randn(B, T, D, dtype=dtype, requires_grad=True)
    context = torch.randn(B, S, D, dtype=dtype, requires_grad=True) if cross else states
    S = context.shape[1]
    pairs = data.draw(st.sampled_from([None, "one", "each"]))
    mask = None if pairs is None else random_mask(*([B] if pairs == "each" else []), T, S)
    ignore = None if mask is None else to_torch_ignore(mask)
    if pairs == "each":
        ignore = ignore.repeat_interleave(H, 0)
    out = ours(states, context if cross else None, mask)
    expected, _ = theirs(states, context, context, attn_mask=ignore, need_weights=False)
    close(out, expected)
    inputs = (states, context) if cross else (states,)
    for mine, other in zip(backward(out, *inputs), backward(expected, *inputs), strict=True):
        close(mine, other)
    same_gradients(ours, theirs, copy_attention)


layer_sizes = st.fixed_dictionaries(
    {
        "d_head": few,
        "n_heads": few,
        "d_ff": st.integers(1, 20),
        "norm": st.sampled_from(["pre", "post"]),
        "activation": st.sampled_from(["relu", "gelu"]),
        "norm_eps": st.sampled_from([1e-6, 1e-5, 1e-3]),
        "bias": st.booleans(),
    }
)


def both(sizes: dict[str, Any], **more: Any) -> tuple[ModelConfig, dict[str, Any]]:
    """The same sizes as our config and as the arguments of torch's layers."""
    sizes = dict(sizes)
    sizes |= {"positions": "none", **more}  # of any width
    config = ModelConfig(20, d_model=sizes.pop("d_head") * sizes["n_heads"], **sizes)
    return config, {
        "d_model": config.d_model,
        "nhead": config.n_heads,
        "dim_feedforward": config.d_ff,
        "dropout": 0.0,
        "activation": config.activation,
        "layer_norm_eps": config.norm_eps,
        "norm_first": config.norm == "pre",
        "batch_first": True,
        "bias": config.bias,
    }


@SOME
@given(seeds, dtypes, layer_sizes, few, lengths, st.booleans())
def test_encoder_layers_equal_torchs(seed, dtype, sizes, B, T, causal) -> None:
    torch.manual_seed(seed)
    config, arguments = both(sizes)
    ours = shaken(EncoderLayer(config), dtype)
    theirs = nn.TransformerEncoderLayer(**arguments, dtype=dtype)
    copy_layer(ours, theirs)
    states = torch.randn(B, T, config.d_model, dtype=dtype, requires_grad=True)
    real = random_mask(B, T)
    out = ours(states, mask=real[:, None], causal=causal)
    future = nn.Transformer.generate_square_subsequent_mask(T) < 0 if causal else None
    expected = theirs(states, src_mask=future, src_key_padding_mask=to_torch_ignore(real))
    close(out, expected)
    close(backward(out, states)[0], backward(expected, states)[0])
    same_gradients(ours, theirs, copy_layer)


@SOME
@given(seeds, dtypes, layer_sizes, few, lengths, lengths)
def test_decoder_layers_equal_torchs(seed, dtype, sizes, B, T, S) -> None:
    torch.manual_seed(seed)
    config, arguments = both(sizes)
    ours = shaken(DecoderLayer(config), dtype)
    theirs = nn.TransformerDecoderLayer(**arguments, dtype=dtype)
    copy_layer(ours, theirs)
    states = torch.randn(B, T, config.d_model, dtype=dtype, requires_grad=True)
    source = torch.randn(B, S, config.d_model, dtype=dtype, requires_grad=True)
    real, read = random_mask(B, T), random_mask(B, S)
    out = ours(states, source, mask=real[:, None], source_mask=read[:, None])
    expected = theirs(
        states,
        source,
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(T) < 0,
        tgt_key_padding_mask=to_torch_ignore(real),
        memory_key_padding_mask=to_torch_ignore(read),
    )
    close(out, expected)
    grads = zip(backward(out, states, source), backward(expected, states, source), strict=True)
    for mine, other in grads:
        close(mine, other)
    same_gradients(ours, theirs, copy_layer)


@settings(SOME, max_examples=15)
@given(seeds, dtypes, layer_sizes, few, few, lengths, lengths)
def test_encoder_decoders_equal_torchs(seed, dtype, sizes, L, B, S, T) -> None:
    torch.manual_seed(seed)
    config, arguments = both(sizes, n_layers=L, pad_id=0, positions="learned")
    ours = shaken(EncoderDecoder(config, source_vocab_size=30), dtype)
    theirs = nn.Transformer(
        **arguments, num_encoder_layers=L, num_decoder_layers=L, dtype=dtype
    )  # fmt: skip
    for side in ("encoder", "decoder"):
        other = getattr(theirs, side)
        if config.norm == "post":  # nn.Transformer normalises once more; the paper does not
            other.norm = None
        else:
            other.norm.load_state_dict(getattr(ours, f"{side}_norm").state_dict())
        for mine, layer in zip(getattr(ours, side), other.layers, strict=True):
            copy_layer(mine, layer)
    source, target = torch.randint(0, 30, (B, S)), torch.randint(1, 20, (B, T))
    source[:, 0] = 5
    pad = source == 0
    expected = theirs(
        ours.source_embedding(source)[0],
        ours.target_embedding(target)[0],
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(T) < 0,
        src_key_padding_mask=pad,
        memory_key_padding_mask=pad,
    )
    close(ours(source, target), ours.head(expected))


# Hugging Face

PEERS = {"bert": BertModel, "gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM}
VOCABULARY, LONGEST = 23, 24


@st.composite
def peer_configs(draw, kind: str):
    heads, layers = draw(few), draw(st.integers(1, 3))
    width = heads * draw(st.sampled_from([2, 4, 6]))
    eps, ff = draw(st.sampled_from([1e-12, 1e-6, 1e-3])), draw(st.integers(1, 30))
    common = {
        "vocab_size": VOCABULARY,
        "attn_implementation": draw(st.sampled_from(["eager", "sdpa"])),
        "bos_token_id": None,
        "eos_token_id": None,
    }
    named = {
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "intermediate_size": ff,
        "max_position_embeddings": LONGEST,
    }
    if kind == "bert":
        return BertConfig(
            **common,
            **named,
            layer_norm_eps=eps,
            hidden_act=draw(st.sampled_from(["gelu", "gelu_new", "relu"])),
            type_vocab_size=draw(st.integers(1, 3)),
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    tied = draw(st.booleans())
    if kind == "gpt2":
        return GPT2Config(
            **common,
            n_embd=width,
            n_head=heads,
            n_layer=layers,
            n_positions=LONGEST,
            n_inner=draw(st.sampled_from([None, ff])),
            layer_norm_epsilon=eps,
            activation_function=draw(st.sampled_from(["gelu_new", "gelu", "relu"])),
            tie_word_embeddings=tied,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    return LlamaConfig(
        **common,
        **named,
        num_key_value_heads=draw(st.sampled_from([k for k in range(1, 5) if heads % k == 0])),
        rms_norm_eps=eps,
        tie_word_embeddings=tied,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": draw(st.sampled_from([50.0, 1e4, 5e5])),
        },
    )


class Angles(nn.Module):
    """Llama's cosines and sines, rounded to float32 after they are computed and not before."""

    def __init__(self, theta: float, d: int) -> None:
        super().__init__()
        frequency = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        angle = torch.arange(LONGEST, dtype=torch.float64)[:, None] * frequency
        self.cosine, self.sine = angle.cos().float(), angle.sin().float()

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        both = (self.cosine[position_ids], self.sine[position_ids])
        cosine, sine = (half.to(x.dtype).repeat(1, 1, 2) for half in both)
        return cosine, sine


def in_float64(theirs: nn.Module) -> nn.Module:
    """Llama's norms, angles and eager softmax are float32 whatever goes in: here they are not."""
    theirs.double()
    if not isinstance(theirs, LlamaForCausalLM):
        return theirs
    theirs.set_attn_implementation("sdpa")
    config = theirs.config
    for module in list(theirs.modules()):
        for name, part in module.named_children():
            if type(part).__name__ == "LlamaRMSNorm":
                norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps, dtype=torch.float64)
                norm.load_state_dict(part.state_dict())
                setattr(module, name, norm)
    theirs.model.rotary_emb = Angles(config.rope_parameters["rope_theta"], config.head_dim)
    return theirs


def pair(config: Any, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module]:
    """Their model with random weights, and ours with the same."""
    theirs = shaken(PEERS[config.model_type](config)).eval()
    family, mine = family_of(config.to_dict()), our_config(config.to_dict())
    weights = our_weights(family, mine, theirs.state_dict())
    ours = fill(lambda: family.build(mine), weights, Path("the peer"))
    return ours.to(dtype), in_float64(theirs) if dtype == torch.float64 else theirs


@st.composite
def texts(draw, side: str) -> tuple[Tensor, Tensor]:
    """Token ids (B, T) and what is real in them, bool (B, T): padded at one side."""
    B, T = draw(few), draw(lengths)
    torch.manual_seed(draw(seeds))
    real = torch.arange(T) < torch.randint(1, T + 1, (B, 1))
    return torch.randint(1, VOCABULARY, (B, T)), real.flip(1) if side == "left" else real


def places(real: Tensor) -> Tensor:
    """The positions that Hugging Face's generate gives to padded prompts."""
    return (real.long().cumsum(1) - 1).masked_fill(~real, 1)


def carry(config: Any, ours: nn.Module, theirs: nn.Module) -> None:
    """Every gradient of theirs, renamed like a weight, is ours."""
    grads = {name: p.grad for name, p in theirs.named_parameters()}
    named = our_weights(family_of(config.to_dict()), ours.config, grads)
    found = {name: p.grad for name, p in ours.named_parameters()}
    assert named.keys() == found.keys()
    for name, grad in found.items():
        close(grad, named[name])


@SOME
@given(peer_configs("bert"), dtypes, texts("right") | texts("left"), st.data())
def test_the_encoder_is_hugging_faces_bert(config, dtype, text, data) -> None:
    ours, theirs = pair(config, dtype)
    ids, real = text
    segments = torch.randint(0, config.type_vocab_size, ids.shape)
    pairs = data.draw(st.booleans())
    mask = random_mask(*ids.shape, ids.shape[1]) if pairs else real
    states = ours(ids, mask, segments)
    # One mask for each pair of tokens: over there it is added to the scores.
    added = torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)
    expected = theirs(
        ids, attention_mask=added[:, None] if pairs else mask.long(), token_type_ids=segments
    )
    chosen = torch.ones_like(real) if pairs else real
    close(states[chosen], expected.last_hidden_state[chosen])
    close(ours.pool(states), expected.pooler_output)
    backward(states[chosen])
    backward(expected.last_hidden_state[chosen])
    for model in (ours, theirs):
        for p in model.pooler.parameters():  # the loss did not pass through it
            p.grad = torch.zeros_like(p)
    carry(config, ours, theirs)


@settings(SOME, max_examples=40)
@given(peer_configs("gpt2") | peer_configs("llama"), dtypes, texts("right") | texts("left"))
def test_the_language_model_is_hugging_faces_gpt2_and_llama(config, dtype, text) -> None:
    ours, theirs = pair(config, dtype)
    ids, real = text
    logits = ours(ids, mask=real)
    expected = theirs(ids, attention_mask=real.long(), position_ids=places(real)).logits
    close(logits[real], expected[real])
    backward(logits[real])
    backward(expected[real])
    carry(config, ours, theirs)


@settings(SOME, max_examples=12)
@given(peer_configs("gpt2") | peer_configs("llama"), texts("left"), st.booleans(), st.data())
def test_greedy_text_is_hugging_faces(config, text, cache, data) -> None:
    """Prompts of different lengths in one batch, with and without a token that ends the text."""
    ours, theirs = pair(config)
    ids, real = text
    arguments = {
        "attention_mask": real.long(),
        "do_sample": False,
        "max_new_tokens": 6,
        "pad_token_id": 0,
    }
    expected = theirs.generate(ids, **arguments)
    assert torch.equal(generate(ours, ids, 6, mask=real, cache=cache), expected)
    end = int(data.draw(st.sampled_from(expected[:, ids.shape[1] :].flatten().tolist())))
    expected = theirs.generate(ids, **{**arguments, "eos_token_id": end, "pad_token_id": end})
    assert torch.equal(generate(ours, ids, 6, mask=real, cache=cache, end_id=end), expected)


@settings(SOME, max_examples=8)
@given(peer_configs("gpt2") | peer_configs("llama"), texts("left"), st.integers(2, 4))
def test_the_likeliest_text_of_a_beam_search_is_hugging_faces(config, text, beams) -> None:
    ours, theirs = pair(config)
    ids, real = text
    expected = theirs.generate(
        ids,
        attention_mask=real.long(),
        num_beams=beams,
        length_penalty=0.0,
        do_sample=False,
        max_new_tokens=5,
        pad_token_id=0,
    )
    assert torch.equal(generate(ours, ids, 5, mask=real, beams=beams), expected)
