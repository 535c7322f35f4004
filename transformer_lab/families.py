"""Families of real models: what Hugging Face's files call the things that our modules hold."""

from dataclasses import dataclass, field
from typing import Any

from transformer_lab.models import LanguageModel, TextEncoder


@dataclass(frozen=True)
class Family:
    """The models of one model_type in config.json. Names on the left are ours, except in `only`."""

    build: type[TextEncoder] | type[LanguageModel]
    architecture: str  # the class over there
    prefix: str  # may stand before the name of every tensor
    sizes: dict[str, str]  # field of ModelConfig -> key of config.json
    bend: str  # the key that names the activation
    bends: dict[str, str]  # activation -> their word for it
    ours: dict[str, Any]  # fields of ModelConfig that all models of the family share
    defaults: dict[str, Any]  # their keys that may be missing
    only: dict[str, Any]  # their keys, also if missing, with the one value that we can follow
    names: dict[str, str]  # of modules, {} being the layer's number; of tensors if .weight is there
    turned: tuple[str, ...] = ()  # modules that hold their matrix as (in, out)
    not_weights: str = "$^"  # a pattern for tensors beside the weights
    renamed: dict[str, str] = field(default_factory=dict)  # old endings -> new


GELU = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}

FAMILIES = {
    "bert": Family(  # Devlin et al. 2019
        build=TextEncoder,
        architecture="BertModel",
        prefix="bert.",
        sizes={
            "vocab_size": "vocab_size",
            "d_model": "hidden_size",
            "n_heads": "num_attention_heads",
            "n_layers": "num_hidden_layers",
            "d_ff": "intermediate_size",
            "max_len": "max_position_embeddings",
            "norm_eps": "layer_norm_eps",
            "pad_id": "pad_token_id",
            "n_segments": "type_vocab_size",
        },
        bend="hidden_act",
        bends=GELU,
        ours={"norm": "post", "positions": "learned", "embedding_norm": True, "pooler": True},
        defaults={},
        only={
            "position_embedding_type": "absolute",
            "is_decoder": False,
            "add_cross_attention": False,
        },
        names={
            "embedding.tokens.weight": "embeddings.word_embeddings.weight",
            "embedding.positions": "embeddings.position_embeddings.weight",
            "embedding.segments.weight": "embeddings.token_type_embeddings.weight",
            "embedding.norm": "embeddings.LayerNorm",
            "attention.query": "encoder.layer.{}.attention.self.query",
            "attention.key": "encoder.layer.{}.attention.self.key",
            "attention.value": "encoder.layer.{}.attention.self.value",
            "attention.output": "encoder.layer.{}.attention.output.dense",
            "attention_norm": "encoder.layer.{}.attention.output.LayerNorm",
            "feed_forward.up": "encoder.layer.{}.intermediate.dense",
            "feed_forward.down": "encoder.layer.{}.output.dense",
            "feed_forward_norm": "encoder.layer.{}.output.LayerNorm",
            "pooler": "pooler.dense",
        },
        # cls: heads for the two tasks that BERT was trained on; a TextEncoder has none.
        not_weights=r"embeddings\.position_ids|cls\..*",
        renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
    ),
    "gpt2": Family(  # Radford et al. 2019
        build=LanguageModel,
        architecture="GPT2LMHeadModel",
        prefix="transformer.",
        sizes={
            "vocab_size": "vocab_size",
            "d_model": "n_embd",
            "n_heads": "n_head",
            "n_layers": "n_layer",
            "d_ff": "n_inner",
            "max_len": "n_positions",
            "norm_eps": "layer_norm_epsilon",
            "tie_embeddings": "tie_word_embeddings",
        },
        bend="activation_function",
        bends=GELU,
        ours={"norm": "pre", "positions": "learned"},
        defaults={"n_inner": None, "tie_word_embeddings": True},
        only={
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "add_cross_attention": False,
        },
        names={
            "embedding.tokens.weight": "wte.weight",
            "embedding.positions": "wpe.weight",
            "attention_norm": "h.{}.ln_1",
            "attention.query": "h.{}.attn.c_attn.query",
            "attention.key": "h.{}.attn.c_attn.key",
            "attention.value": "h.{}.attn.c_attn.value",
            "attention.output": "h.{}.attn.c_proj",
            "feed_forward_norm": "h.{}.ln_2",
            "feed_forward.up": "h.{}.mlp.c_fc",
            "feed_forward.down": "h.{}.mlp.c_proj",
            "norm": "ln_f",
            "head.weight": "lm_head.weight",
        },
        turned=("c_attn", "c_proj", "c_fc"),
        not_weights=r"h\.\d+\.attn\.(masked_)?bias",
    ),
    "llama": Family(  # Touvron et al. 2023
        build=LanguageModel,
        architecture="LlamaForCausalLM",
        prefix="model.",
        sizes={
            "vocab_size": "vocab_size",
            "d_model": "hidden_size",
            "n_heads": "num_attention_heads",
            "n_kv_heads": "num_key_value_heads",
            "n_layers": "num_hidden_layers",
            "d_ff": "intermediate_size",
            "max_len": "max_position_embeddings",
            "norm_eps": "rms_norm_eps",
            "rotary_base": "rope_theta",
            "tie_embeddings": "tie_word_embeddings",
        },
        bend="hidden_act",
        bends={"swiglu": "silu"},
        ours={"norm": "pre", "norm_kind": "rms", "positions": "rotary", "bias": False},
        defaults={
            "num_key_value_heads": None,
            "rope_theta": 10_000.0,
            "tie_word_embeddings": False,
        },
        only={"attention_bias": False, "mlp_bias": False, "rope_type": "default"},
        names={
            "embedding.tokens.weight": "embed_tokens.weight",
            "attention_norm": "layers.{}.input_layernorm",
            "attention.query": "layers.{}.self_attn.q_proj",
            "attention.key": "layers.{}.self_attn.k_proj",
            "attention.value": "layers.{}.self_attn.v_proj",
            "attention.output": "layers.{}.self_attn.o_proj",
            "feed_forward_norm": "layers.{}.post_attention_layernorm",
            "feed_forward.gate": "layers.{}.mlp.gate_proj",
            "feed_forward.up": "layers.{}.mlp.up_proj",
            "feed_forward.down": "layers.{}.mlp.down_proj",
            "norm": "norm",
            "head.weight": "lm_head.weight",
        },
        not_weights=r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",
    ),
}
