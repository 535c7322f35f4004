"""Sizes of real models, as configs."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from transformer_lab.config import ModelConfig

Kind = Literal["encoder", "decoder", "encoder-decoder"]
KINDS = get_args(Kind)


@dataclass(frozen=True)
class Preset:
    """A real model's config and which of the three models it describes.

    "encoder" is a TextEncoder, "decoder" a LanguageModel, "encoder-decoder" an EncoderDecoder.
    """

    config: ModelConfig
    kind: Kind


def resolve(config: ModelConfig | Preset, kind: Kind | None) -> tuple[ModelConfig, Kind]:
    """A config and its kind: that given, or the preset's, or "decoder".

    Raises TypeError or ValueError, naming the argument, for what is neither.
    """
    if isinstance(config, Preset):
        return resolve(config.config, kind or config.kind)
    if not isinstance(config, ModelConfig):
        raise TypeError(f"config must be a ModelConfig or a Preset, got {type(config).__name__}")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    return config, kind or "decoder"


def _gpt2(D: int, H: int, L: int) -> Preset:
    """Radford et al. 2019, table 2; heads and vocabulary from the released configs."""
    return Preset(
        ModelConfig(
            50_257, D, H, L, max_len=1024, activation="gelu_tanh", positions="learned",
            dropout=0.1,
        ),
        "decoder",
    )  # fmt: skip


def _bert(D: int, H: int, L: int, **other: Any) -> Preset:
    """Devlin et al. 2019, section 3; with its pooler."""
    sizes: dict[str, Any] = {
        "vocab_size": 30_522, "max_len": 512, "n_segments": 2, "pooler": True, "norm_eps": 1e-12,
    }  # fmt: skip
    return Preset(
        ModelConfig(
            d_model=D, n_heads=H, n_layers=L, norm="post", positions="learned", dropout=0.1,
            embedding_norm=True, **{**sizes, **other},
        ),
        "encoder",
    )  # fmt: skip


def _llama(V: int, D: int, H: int, L: int, F: int, max_len: int, **other: Any) -> Preset:
    """Touvron et al. 2023; sizes from the released configs."""
    return Preset(
        ModelConfig(
            V, D, H, L, F, max_len, norm_kind="rms", activation="swiglu", positions="rotary",
            bias=False, **{"tie_embeddings": False, **other},
        ),
        "decoder",
    )  # fmt: skip


def _translator(D: int, H: int, dropout: float) -> Preset:
    """Vaswani et al. 2017, table 3: six layers each side, one shared vocabulary of about 37,000.

    The paper writes biases into its feed-forward layers alone; a config has them everywhere or,
    as here, nowhere. That gives 63.0 and 214.1 million parameters (63.1 and 214.2 with biases).
    The table's 65 and 213 do not follow from the paper's text.
    """
    return Preset(
        ModelConfig(
            37_000, D, H, 6, max_len=1024, norm="post", activation="relu", dropout=dropout,
            bias=False, scale_embeddings=True,
        ),
        "encoder-decoder",
    )  # fmt: skip


PRESETS = {
    # Radford et al. 2018: GPT-2's layers, but post-norm.
    "gpt1": Preset(
        ModelConfig(
            40_478, 768, 12, 12, max_len=512, norm="post", activation="gelu_tanh",
            positions="learned", dropout=0.1,
        ),
        "decoder",
    ),
    "gpt2": _gpt2(768, 12, 12),
    "gpt2-medium": _gpt2(1024, 16, 24),
    "gpt2-large": _gpt2(1280, 20, 36),
    "gpt2-xl": _gpt2(1600, 25, 48),
    "distilgpt2": _gpt2(768, 12, 6),
    "bert-base": _bert(768, 12, 12),
    "bert-large": _bert(1024, 16, 24),
    "minilm-l6": _bert(384, 12, 6),
    "distilbert": _bert(768, 12, 6, n_segments=0, pooler=False),
    # Liu et al. 2019: positions start at 2, so there are 514 rows of them.
    "roberta-base": _bert(768, 12, 12, vocab_size=50_265, max_len=514, n_segments=1, norm_eps=1e-5),
    "llama-2-7b": _llama(32_000, 4096, 32, 32, 11_008, 4096),
    "llama-2-13b": _llama(32_000, 5120, 40, 40, 13_824, 4096),
    "llama-2-70b": _llama(32_000, 8192, 64, 80, 28_672, 4096, n_kv_heads=8),
    "llama-3-8b": _llama(
        128_256, 4096, 32, 32, 14_336, 8192, n_kv_heads=8, rotary_base=500_000.0
    ),
    # Its rotation is rescaled for long texts, which this config does not say.
    "llama-3.2-1b": _llama(
        128_256, 2048, 32, 16, 8192, 131_072, n_kv_heads=8, rotary_base=500_000.0,
        tie_embeddings=True,
    ),
    "tinyllama": _llama(32_000, 2048, 32, 22, 5632, 2048, n_kv_heads=4),
    # Its window of 4,096 positions, which changes no count, is not in this config.
    "mistral-7b": _llama(32_000, 4096, 32, 32, 14_336, 32_768, n_kv_heads=8),
    "transformer-base": _translator(512, 8, 0.1),
    "transformer-big": _translator(1024, 16, 0.3),
}  # fmt: skip
