"""renaming.py and families.py: Hugging Face's folders read and written by us, weights unchanged."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from shaking import shake
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
)

from transformer_lab.checkpoints import load_folder, save_folder
from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.pretrained import find_pretrained
from transformer_lab.renaming import our_config

pytestmark = pytest.mark.filterwarnings("ignore")  # the peer's own

BERT = BertConfig(
    vocab_size=20,
    hidden_size=12,
    num_attention_heads=3,
    num_hidden_layers=2,
    intermediate_size=10,
    max_position_embeddings=16,
)
GPT2 = GPT2Config(
    vocab_size=20,
    n_embd=12,
    n_head=3,
    n_layer=2,
    n_positions=16,
    bos_token_id=None,
    eos_token_id=None,
)
LLAMA = LlamaConfig(
    vocab_size=20,
    hidden_size=24,
    num_attention_heads=4,
    num_key_value_heads=2,
    num_hidden_layers=2,
    intermediate_size=10,
    max_position_embeddings=16,
    bos_token_id=None,
    eos_token_id=None,
)
IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def random(theirs: nn.Module) -> nn.Module:
    return shake(theirs).float()


def output(theirs: nn.Module) -> Tensor:
    out = theirs(IDS)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


def written(theirs: nn.Module, folder: Path, **how: Any) -> Path:
    random(theirs).save_pretrained(folder, **how)
    return folder


def change(folder: Path, **keys: Any) -> Path:
    path = folder / "config.json"
    about = {**json.loads(path.read_text()), **keys}
    path.write_text(json.dumps({k: v for k, v in about.items() if v is not ...}))
    return folder


def rewrite(folder: Path, rename=lambda name: name, **more: Tensor) -> Path:
    path = folder / "model.safetensors"
    weights = {rename(name): weight for name, weight in load_file(path).items()}
    save_file({**weights, **more}, path)
    return folder


@pytest.mark.parametrize(
    ("kind", "config"),
    [(BertModel, BERT), (GPT2LMHeadModel, GPT2), (LlamaForCausalLM, LLAMA)],
    ids=["bert", "gpt2", "llama"],
)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shards", ["50GB", "3KB"])
def test_a_folder_goes_to_us_and_back_unchanged(kind, config, tied, shards, tmp_path) -> None:
    config = type(config)(**{**config.to_dict(), "tie_word_embeddings": tied})
    theirs = kind(config)
    folder = written(theirs, tmp_path / "theirs", max_shard_size=shards)
    assert len(list(folder.glob("*.safetensors"))) == 1 or shards == "3KB"
    ours, tokenizer = load_folder(folder)
    assert tokenizer is None
    assert not ours.training
    torch.testing.assert_close(ours(IDS), output(theirs), rtol=0, atol=1e-5)
    back = kind.from_pretrained(save_folder(ours, tmp_path / "ours")).eval()
    for name, weight in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name
    assert torch.equal(output(back), output(theirs))
    again, _ = load_folder(tmp_path / "ours")
    assert again.config == ours.config
    assert all(map(torch.equal, again.state_dict().values(), ours.state_dict().values()))


def test_the_prefix_of_names_may_be_there_or_not(tmp_path: Path) -> None:
    with_head = GPT2LMHeadModel(GPT2)
    ours, _ = load_folder(written(with_head, tmp_path / "with"))
    assert all(n.startswith("transformer.") for n in load_file(tmp_path / "with/model.safetensors"))
    without = rewrite(tmp_path / "with", lambda name: name.removeprefix("transformer."))
    assert torch.equal(load_folder(without)[0](IDS), ours(IDS))
    bare = GPT2Model(GPT2)
    ours, _ = load_folder(written(bare, tmp_path / "bare"))
    states = ours.norm.register_forward_hook(lambda _m, _i, out: seen.append(out))
    seen: list[Tensor] = []
    ours(IDS)
    states.remove()
    torch.testing.assert_close(seen[0], output(bare), rtol=0, atol=1e-5)


def test_buffers_and_training_heads_are_no_weights(tmp_path: Path) -> None:
    """What files of the first years hold beside the weights, and how they call some of them."""
    gpt2 = rewrite(
        written(GPT2LMHeadModel(GPT2), tmp_path / "gpt2"),
        **{"h.0.attn.bias": torch.ones(1, 1, 4, 4), "h.1.attn.masked_bias": torch.ones(())},
    )
    assert isinstance(load_folder(gpt2)[0], LanguageModel)
    theirs = BertForPreTraining(BERT)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    bert = rewrite(
        written(theirs, tmp_path / "bert"),
        lambda name: next((name.replace(k, v) for k, v in old.items() if k in name), name),
        **{"bert.embeddings.position_ids": torch.arange(16)[None]},
    )
    names = load_file(bert / "model.safetensors")
    assert any(name.startswith("cls.") for name in names)
    assert any(name.endswith("LayerNorm.gamma") for name in names)
    ours, _ = load_folder(bert)
    expected = theirs.bert(IDS)
    states = ours(IDS)
    torch.testing.assert_close(states, expected.last_hidden_state, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.pool(states), expected.pooler_output, rtol=0, atol=1e-5)


def test_a_bert_without_a_pooler_has_none_here(tmp_path: Path) -> None:
    theirs = BertForMaskedLM(BERT)
    ours, _ = load_folder(written(theirs, tmp_path))
    torch.testing.assert_close(ours(IDS), theirs.bert(IDS).last_hidden_state, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="pooler=False"):
        ours.pool(ours(IDS))


def test_half_precision_weights_are_read_into_float32(tmp_path: Path) -> None:
    theirs = LlamaForCausalLM(LLAMA)
    random(theirs).bfloat16().save_pretrained(tmp_path)
    ours, _ = load_folder(tmp_path)
    assert ours.head.weight.dtype == torch.float32
    assert torch.equal(ours.head.weight, theirs.lm_head.weight.float())


def test_the_tokenizer_in_the_folder_is_read(tmp_path: Path) -> None:
    written(BertModel(BERT), tmp_path)
    shutil.copy(find_pretrained("minilm") / "tokenizer.json", tmp_path)
    _, tokenizer = load_folder(tmp_path)
    assert tokenizer is not None
    assert tokenizer.max_len == 16
    assert tokenizer.tokens("a cat") == ["[CLS]", "a", "cat", "[SEP]"]
    with pytest.raises(ValueError, match=f"{tmp_path.name} reads at most 16"):
        tokenizer("a " * 20)
    assert load_folder(tmp_path, "small")[1].name == "small"


def test_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    folder = written(GPT2LMHeadModel(GPT2), tmp_path)
    path = folder / "model.safetensors"
    weights = load_file(path)
    prefix = "transformer.h.0."
    del weights["transformer.ln_f.bias"]
    weights["transformer.extra.weight"] = torch.ones(2)
    weights[prefix + "attn.c_attn.weight"] = torch.ones(12, 33)
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit") as error:
        load_folder(folder)
    for said in (
        "norm.bias is missing",
        "extra.weight is not part of the model",
        "layers.0.attention.query.weight has shape (11, 12), expected (12, 12)",
    ):
        assert said in str(error.value)
    weights[prefix + "mlp.c_fc.weight"] = torch.ones(())
    weights[prefix + "attn.c_attn.bias"] = torch.ones(())
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"c_attn\.bias is not part.*; and 5 more"):
        load_folder(folder)


def test_an_output_of_its_own_beside_a_tied_one_is_left_over(tmp_path: Path) -> None:
    folder = written(GPT2LMHeadModel(GPT2), tmp_path)
    weights = load_file(folder / "model.safetensors")
    twice = {"lm_head.weight": weights["transformer.wte.weight"].clone()}
    assert load_folder(rewrite(folder, **twice))
    with pytest.raises(ValueError, match=r"head\.weight is not part of the model"):
        load_folder(rewrite(folder, **{"lm_head.weight": twice["lm_head.weight"] + 1}))


@pytest.mark.parametrize(
    ("config", "changes", "said"),
    [
        (BERT, {"model_type": "t5"}, r"one of \['bert', 'gpt2', 'llama'\], got 't5'"),
        (BERT, {"model_type": ...}, "got None"),
        (BERT, {"hidden_act": "silu"}, r"hidden_act must be one of .*'gelu'.* got 'silu'"),
        (BERT, {"hidden_size": ..., "vocab_size": ...}, "lacks vocab_size, hidden_size"),
        (BERT, {"position_embedding_type": "relative_key"}, "'relative_key'.*'absolute'"),
        (BERT, {"num_attention_heads": 5}, r"d_model \(12\).*n_heads \(5\)"),
        (GPT2, {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        (GPT2, {"scale_attn_weights": False}, "scale_attn_weights is False"),
        (GPT2, {"add_cross_attention": True}, "add_cross_attention is True"),
        (LLAMA, {"attention_bias": True}, "attention_bias is True"),
        (LLAMA, {"mlp_bias": True}, "mlp_bias is True"),
        (LLAMA, {"head_dim": 8}, "head_dim is 8.*6"),
        (
            LLAMA,
            {"rope_parameters": ..., "rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_type is 'linear'",
        ),
        (
            LLAMA,
            {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}},
            "rope_type is 'llama3'",
        ),
    ],
)
def test_what_our_modules_cannot_follow_is_refused(config, changes, said, tmp_path) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=said):
        load_folder(change(tmp_path, **changes))


def test_old_and_new_config_files_say_the_same() -> None:
    plain = {**LLAMA.to_dict(), "rope_theta": 500.0}
    new = {**plain, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}
    del plain["rope_parameters"]
    old = {**plain, "rope_scaling": None}
    assert our_config(old) == our_config(new)
    assert our_config(old).rotary_base == 500.0
    bare = {k: v for k, v in old.items() if not k.startswith(("rope", "num_key", "tie"))}
    assert our_config(bare).rotary_base == 10_000.0
    assert our_config(bare).n_kv_heads == 4
    assert not our_config(bare).tie_embeddings
    short = {k: v for k, v in GPT2.to_dict().items() if k not in ("n_inner", "tie_word_embeddings")}
    assert our_config(short).d_ff == 48
    assert our_config(short).tie_embeddings


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_folder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        load_folder(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="JSON object, got list"):
        load_folder(tmp_path)
    GPT2.save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        LanguageModel(ModelConfig(9)),
        LanguageModel(ModelConfig(9, positions="learned", norm="post")),
        LanguageModel(ModelConfig(9, positions="learned", n_kv_heads=1)),
        LanguageModel(ModelConfig(9, positions="rotary", norm_kind="rms", activation="swiglu")),
        TextEncoder(ModelConfig(9, positions="learned", norm="post", embedding_norm=True)),
        EncoderDecoder(ModelConfig(9, positions="learned")),
    ],
)
def test_a_model_of_no_family_is_not_written(model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of \['bert', 'gpt2', 'llama'\]"):
        save_folder(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
