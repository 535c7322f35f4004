"""counting.py: every count exact, and equal to what the modules, torch and transformers count."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from transformer_lab.checkpoints import load_pretrained
from transformer_lab.config import ModelConfig
from transformer_lab.counting import (
    PRESETS,
    Breakdown,
    count,
    crossover,
    flops,
    formula,
    layer_formula,
    memory,
)
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.presets import KINDS, Preset
from transformer_lab.skeleton import skeleton

GPT2 = PRESETS["gpt2"]
# Published, or what transformers' own classes hold at these sizes.
EXACT = {
    "gpt1": 116_534_784,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "distilgpt2": 81_912_576,
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "minilm-l6": 22_713_216,
    "distilbert": 66_362_880,
    "roberta-base": 124_645_632,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "tinyllama": 1_100_048_384,
    "mistral-7b": 7_241_732_096,
}
TRANSLATORS = {"transformer-base", "transformer-big"}
MODELS = dict(zip(KINDS, (TextEncoder, LanguageModel, EncoderDecoder), strict=True))


def changed(preset: Preset, **changes) -> ModelConfig:
    return dataclasses.replace(preset.config, **changes)


@st.composite
def models(draw) -> tuple[ModelConfig, str, int | None]:
    """A random config, a kind of model, and the size of a source vocabulary of its own."""
    kv_heads, shared = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    heads = kv_heads * shared
    config = ModelConfig(
        vocab_size=draw(st.integers(1, 40)),
        d_model=heads * draw(st.sampled_from([2, 4, 6])),
        n_heads=heads,
        n_layers=draw(st.integers(1, 2)),
        d_ff=draw(st.none() | st.integers(1, 30)),
        max_len=draw(st.integers(1, 20)),
        n_kv_heads=draw(st.sampled_from([None, kv_heads])),
        norm=draw(st.sampled_from(["pre", "post"])),
        norm_kind=draw(st.sampled_from(["layer", "rms"])),
        activation=draw(st.sampled_from(["relu", "gelu", "gelu_tanh", "swiglu"])),
        positions=draw(st.sampled_from(["sinusoidal", "learned", "rotary", "alibi", "none"])),
        bias=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
        n_segments=draw(st.integers(0, 2)),
        embedding_norm=draw(st.booleans()),
        pooler=draw(st.booleans()),
    )
    kind = draw(st.sampled_from(KINDS))
    source = draw(st.none() | st.integers(1, 30)) if kind == "encoder-decoder" else None
    return config, kind, source


@settings(max_examples=200, deadline=None)
@given(models())
def test_the_formula_equals_the_modules_component_by_component(model) -> None:
    config, kind, source = model
    built = skeleton(config, kind, source)
    assert count(built) == formula(config, kind, source)
    assert count(built).total == sum(parameter.numel() for parameter in built.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_the_formula_equals_the_module_of_every_preset(name: str) -> None:
    built = skeleton(PRESETS[name])
    assert all(parameter.is_meta for parameter in built.parameters())
    assert count(built) == formula(PRESETS[name])


@pytest.mark.parametrize("name", EXACT)
def test_real_models_have_exactly_their_size(name: str) -> None:
    assert formula(PRESETS[name]).total == EXACT[name]


def test_every_preset_is_checked_here() -> None:
    assert set(PRESETS) == set(EXACT) | TRANSLATORS
    assert len(PRESETS) >= 14


def in_transformers(name: str) -> nn.Module:
    """transformers' model of this design, at our preset's sizes."""
    import transformers as hf

    config = PRESETS[name].config
    names = {
        "vocab_size": config.vocab_size, "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers, "num_attention_heads": config.n_heads,
        "intermediate_size": config.width_ff, "max_position_embeddings": config.max_len,
    }  # fmt: skip
    gpt = {
        "vocab_size": config.vocab_size, "n_positions": config.max_len, "n_embd": config.d_model,
        "n_layer": config.n_layers, "n_head": config.n_heads,
    }  # fmt: skip
    llama = {
        **names, "num_key_value_heads": config.kv_heads, "pad_token_id": None,
        "tie_word_embeddings": config.tie_embeddings,
    }  # fmt: skip
    with torch.device("meta"):
        if name == "gpt1":
            return hf.OpenAIGPTLMHeadModel(hf.OpenAIGPTConfig(**gpt))
        if "gpt2" in name:
            return hf.GPT2LMHeadModel(hf.GPT2Config(**gpt))
        if name == "distilbert":
            return hf.DistilBertModel(
                hf.DistilBertConfig(
                    vocab_size=config.vocab_size, dim=config.d_model, n_layers=config.n_layers,
                    n_heads=config.n_heads, hidden_dim=config.width_ff,
                    max_position_embeddings=config.max_len,
                )
            )  # fmt: skip
        if name == "roberta-base":
            return hf.RobertaModel(hf.RobertaConfig(**names, type_vocab_size=config.n_segments))
        if name == "mistral-7b":
            return hf.MistralForCausalLM(hf.MistralConfig(**llama))
        if "llama" in name:
            return hf.LlamaForCausalLM(hf.LlamaConfig(**llama))
        return hf.BertModel(hf.BertConfig(**names, type_vocab_size=config.n_segments))


@pytest.mark.parametrize("name", EXACT)
def test_transformers_counts_the_same(name: str) -> None:
    assert count(in_transformers(name)).total == EXACT[name]


def test_the_real_minilm_holds_what_its_preset_says() -> None:
    model, _ = load_pretrained("minilm")
    assert count(model) == formula(PRESETS["minilm-l6"])


def test_tied_untied_and_partial_counts_of_gpt2() -> None:
    parts = formula(GPT2)
    assert formula(changed(GPT2, tie_embeddings=False)).total == 163_037_184
    assert parts.without("embedding") == 85_056_000
    assert parts.only("weight") == 84_934_656 == 12 * 12 * 768**2
    assert parts.without("query bias", "key bias", "value bias") == 124_412_160
    assert formula(changed(PRESETS["llama-3.2-1b"], tie_embeddings=False)).total == 1_498_482_688


def test_the_naive_list_falls_short_by_the_output_projection_and_the_biases() -> None:
    parts = formula(GPT2)
    naive = parts.without("attention output", "bias")
    assert naive == 117_278_976
    assert parts.total - naive == 7_160_832
    medium = formula(PRESETS["gpt2-medium"]).without("attention output", "bias")
    assert round(medium / 1e6) == 329  # so the label 345 does not come from this list


def test_gpt1s_vocabulary_gives_the_four_retired_labels() -> None:
    names = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
    totals = [formula(changed(PRESETS[name], vocab_size=40_478)).total for name in names]
    assert [round(total / 1e6, 1) for total in totals] == [116.9, 344.8, 761.5, 1542.0]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # torch's own default
def test_an_encoder_layer_a_decoder_layer_and_torchs_default_stack() -> None:
    config = ModelConfig(1, d_model=512, n_heads=8, n_layers=6, activation="relu")
    encoder, decoder = layer_formula(config), layer_formula(config, cross=True)
    assert encoder.total == 3_152_384 == count(nn.TransformerEncoderLayer(512, 8)).total
    assert decoder.total == 4_204_032 == count(nn.TransformerDecoderLayer(512, 8)).total
    assert decoder.only("cross-attention norm") == 1_024
    assert decoder.only("cross") == 1_051_648 == decoder.total - encoder.total
    torchs = nn.Transformer(device="meta")
    assert count(torchs).total == 44_140_544
    assert formula(config, "encoder-decoder").without("embedding") == 44_140_544


def test_the_table_of_the_2017_paper_does_not_follow_from_its_text() -> None:
    base, big = PRESETS["transformer-base"], PRESETS["transformer-big"]
    sizes = [formula(preset).total / 1e6 for preset in (base, big)]
    assert [round(size, 1) for size in sizes] == [63.0, 214.1]  # table 3: 65 and 213
    with_biases = [formula(changed(p, bias=True), "encoder-decoder").total for p in (base, big)]
    assert [round(size / 1e6, 1) for size in with_biases] == [63.1, 214.2]
    fitted = [formula(changed(p, vocab_size=41_070), p.kind).total for p in (base, big)]
    assert [round(size / 1e6) for size in fitted] == [65, 218]


@pytest.mark.parametrize(
    "change",
    [{"n_heads": 6, "n_kv_heads": 6}, {"dropout": 0.5}, {"pad_id": 0}, {"scale_embeddings": True}],
)
def test_what_has_no_parameters_changes_no_count(change: dict) -> None:
    assert formula(changed(GPT2, **change)) == formula(GPT2)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "alibi", "none"])
def test_only_learned_positions_are_parameters(positions: str) -> None:
    assert formula(GPT2)["position embedding"] == 1024 * 768
    other = formula(changed(GPT2, positions=positions))
    assert "position embedding" not in other
    assert other["position embedding"] == 0
    assert other.total == formula(GPT2).total - 1024 * 768


def test_a_shared_tensor_counts_once_and_a_buffer_never() -> None:
    first, second = nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False)
    pair = nn.Sequential(first, second, nn.BatchNorm1d(4))
    assert count(pair) == {"weight": 28, "bias": 4}
    second.weight = first.weight
    assert count(pair) == {"weight": 16, "bias": 4}
    assert count(pair).total == 20


def test_a_source_vocabulary_of_its_own_brings_its_own_tables() -> None:
    config = ModelConfig(30, max_len=10, positions="learned")
    one, two = formula(config, "encoder-decoder"), formula(config, "encoder-decoder", 1)
    assert two.total - one.total == 64 * (1 + 10)
    with pytest.raises(ValueError, match=r"source_vocab_size.* 0 "):
        formula(config, "encoder-decoder", 0)


def test_a_preset_gives_what_its_config_gives() -> None:
    preset = PRESETS["bert-base"]
    assert formula(preset) == formula(preset.config, "encoder") != formula(preset.config)
    assert layer_formula(preset) == layer_formula(preset.config)
    assert flops(preset, 9) == flops(preset.config, 9, kind="encoder")


def test_a_breakdown_sums_by_word() -> None:
    parts = Breakdown({"query weight": 5, "query bias": 2, "norm": 1})
    assert (parts.total, parts.only("query"), parts.without("query")) == (8, 7, 1)
    assert parts.only("bias", "norm") == 3
    assert parts["pooler"] == 0
    parts.add("norm", 2)
    parts.add("head", 0)
    assert parts == {"query weight": 5, "query bias": 2, "norm": 3}


def test_gpt2s_forward_pass_has_exactly_its_published_arithmetic() -> None:
    parts = flops(GPT2, 1024)
    assert parts.total == 291_648_307_200
    assert list(parts) == [
        *(f"attention {name}" for name in ("query", "key", "value", "output")),
        "feed-forward", "attention scores", "attention mix", "output head",
    ]  # fmt: skip
    left_out = parts.only("scores", "mix") / parts.total
    assert left_out == pytest.approx(0.133, abs=0.0005)
    assert flops(GPT2, 1024, B=3).total == 3 * parts.total


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl", "transformer-big"])
def test_attention_costs_as_much_as_the_rest_of_a_layer_at_six_widths(name: str) -> None:
    preset = PRESETS[name]
    T = 6 * preset.config.d_model
    assert crossover(preset) == T
    parts = flops(preset, T, kind="encoder")
    assert parts.only("scores", "mix") == parts.without("scores", "mix")


def run_once(model: nn.Module, kind: str, V: tuple[int, int], B: int, T: int, S: int) -> Tensor:
    tokens, source = torch.randint(V[0], (B, T)), torch.randint(V[1], (B, S))
    return model(source, tokens) if kind == "encoder-decoder" else model(tokens)


@settings(max_examples=60, deadline=None)
@given(models(), st.integers(1, 3), st.data())
def test_arithmetic_equals_torchs_own_counter_on_real_forward_passes(model, B: int, data) -> None:
    config, kind, source = model
    T, S = (data.draw(st.integers(1, config.max_len)) for _ in range(2))
    built = MODELS[kind](config, *[source] if source else [])
    sizes = (config.vocab_size, source or config.vocab_size)
    # The fused kernel of the processor is unknown to torch's counter.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run_once(built, kind, sizes, B, T, S)
    assert flops(config, T, S, B, kind).total == counter.get_total_flops()


def test_torchs_counter_skips_attention_on_a_processor() -> None:
    model = LanguageModel(ModelConfig(50, d_model=32))
    with FlopCounterMode(display=False) as counter:
        model(torch.randint(50, (2, 16)))
    assert counter.get_total_flops() == flops(model.config, 16, B=2).without("scores", "mix")


def test_the_key_value_cache_of_two_real_models() -> None:
    assert memory(GPT2, 1024)["key/value cache"] == 72 * 2**20
    assert memory(GPT2) == memory(GPT2, 1024)
    llama = memory(PRESETS["llama-2-7b"], 4096, dtype=torch.float16)
    assert llama["key/value cache"] == 2 * 2**30
    assert llama["weights"] == 2 * 6_738_415_616
    assert set(llama) == {"weights", "key/value cache"}
    shared = memory(PRESETS["llama-2-70b"], 100)["key/value cache"]
    alone = memory(changed(PRESETS["llama-2-70b"], n_kv_heads=None), 100)["key/value cache"]
    assert alone == 8 * shared


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_is_as_large_as_the_models_own(kind: str) -> None:
    config = ModelConfig(20, d_model=24, n_heads=6, n_kv_heads=2, max_len=12)
    model, B, T, S = MODELS[kind](config), 3, 7, 5
    predicted = memory(config, T, S, B, kind)["key/value cache"]
    tokens, source = torch.randint(20, (B, T)), torch.randint(20, (B, S))
    with torch.no_grad():
        if kind == "encoder":
            assert predicted == 0
            return
        if kind == "decoder":
            caches = model.new_cache()
            model(tokens, cache=caches)
        else:
            layers = model.new_cache(S)
            model.decode(tokens, model.encode(source), None, layers)
            caches = [cache for layer in layers for cache in layer]
    assert sum(part.nbytes for cache in caches for part in cache.held()) == predicted


def test_training_needs_weights_gradients_and_two_means_of_adamw() -> None:
    model = LanguageModel(ModelConfig(20))
    parts = memory(model.config, 8, training=True)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.randint(20, (1, 8))).sum().backward()
    optimiser.step()
    means = [
        state[name] for state in optimiser.state.values() for name in ("exp_avg", "exp_avg_sq")
    ]
    assert parts["weights"] == sum(p.nbytes for p in model.parameters())
    assert parts["gradients"] == sum(p.grad.nbytes for p in model.parameters())
    assert parts["optimiser"] == sum(mean.nbytes for mean in means)
    assert "key/value cache" not in parts


def kept_for_backward(model: nn.Module, kind: str, B: int, T: int, S: int) -> int:
    """Bytes of everything but weights and buffers that autograd keeps, each storage once."""
    own = {part.untyped_storage().data_ptr() for part in (*model.parameters(), *model.buffers())}
    kept = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    V = model.config.vocab_size
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run_once(model, kind, (V, V), B, T, S)
        if kind != "encoder":
            out = F.cross_entropy(out.flatten(0, 1), torch.randint(V, (B * T,)))
    assert out.requires_grad
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "design",
    [
        {"embedding_norm": True},
        {"norm": "post", "activation": "relu", "embedding_norm": True},
        {"norm_kind": "rms", "activation": "swiglu", "positions": "rotary", "n_kv_heads": 2},
        {"positions": "learned", "bias": False, "n_layers": 2},
    ],
)
def test_activations_are_what_autograd_keeps(design: dict, kind: str) -> None:
    config = ModelConfig(**{"vocab_size": 300, "d_model": 256, "n_layers": 1, **design})
    measured = kept_for_backward(MODELS[kind](config), kind, B=3, T=40, S=56)
    predicted = memory(config, 40, 56, 3, kind, training=True)["activations"]
    assert predicted == pytest.approx(measured, rel=0.01)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: formula({"d_model": 3}), TypeError, "config.*dict"),
        (lambda: formula(GPT2, "language"), ValueError, "kind.*encoder.*'language'"),
        (lambda: formula(GPT2, source_vocab_size=9), ValueError, "source_vocab_size.*9.*decoder"),
        (
            lambda: formula(GPT2, "encoder-decoder", source_vocab_size=-3),
            ValueError,
            "source_vocab_size.* -3 ",
        ),
        (lambda: flops(GPT2, 0), ValueError, "T must be .* 0"),
        (lambda: flops(GPT2, 5, S=-1), ValueError, "S must be .* -1"),
        (lambda: flops(GPT2, 5, B=1.5), ValueError, "B must be .* 1.5"),
        (lambda: memory(GPT2, T=0), ValueError, "T must be .* 0"),
        (lambda: skeleton("gpt2"), TypeError, "config.*str"),
        (lambda: crossover(None), TypeError, "config.*NoneType"),
    ],
)
def test_what_does_not_fit_is_named(call, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        call()
