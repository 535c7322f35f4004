"""One frozen description of a model, checked once, so that no layer has to check again."""

from dataclasses import dataclass
from typing import Literal, get_args

Norm = Literal["pre", "post"]
NormKind = Literal["layer", "rms"]
Activation = Literal["relu", "gelu", "gelu_tanh", "swiglu"]
Positions = Literal["sinusoidal", "learned", "rotary", "alibi", "none"]


@dataclass(frozen=True)
class ModelConfig:
    """The sizes and choices that make a Transformer.

    In the letters of the course: V = vocab_size, D = d_model, H = n_heads, K = n_kv_heads,
    L = n_layers, F = d_ff (4·D when None), d = d_head = D / H.

    norm: "pre" normalises before each sublayer and once at the end, "post" after each addition
    (Vaswani et al. 2017, section 3.1). scale_embeddings multiplies token vectors by √D (section
    3.4 there). n_segments > 0 adds segment embeddings, embedding_norm a LayerNorm over the summed
    embeddings and pooler a tanh layer over the first token (all three: Devlin et al. 2019).

    Raises ValueError, naming the argument and its value, when sizes do not fit together.
    """

    vocab_size: int
    d_model: int = 64
    n_heads: int = 4
    n_layers: int = 2
    d_ff: int | None = None
    max_len: int = 128
    n_kv_heads: int | None = None
    norm: Norm = "pre"
    norm_kind: NormKind = "layer"
    activation: Activation = "gelu"
    positions: Positions = "sinusoidal"
    dropout: float = 0.0
    bias: bool = True
    tie_embeddings: bool = True
    pad_id: int | None = None
    norm_eps: float = 1e-5
    scale_embeddings: bool = False
    n_segments: int = 0
    embedding_norm: bool = False
    pooler: bool = False
    rotary_base: float = 10_000.0

    def __post_init__(self) -> None:
        if self.d_ff is None:
            object.__setattr__(self, "d_ff", 4 * self.d_model)
        if self.n_kv_heads is None:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        for name in ("vocab_size", "d_model", "n_heads", "n_layers", "d_ff", "max_len",
                     "n_kv_heads"):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, got {value!r}")
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model ({self.d_model}) must be divisible by n_heads ({self.n_heads})"
            )
        if self.n_heads % self.kv_heads:
            raise ValueError(
                f"n_heads ({self.n_heads}) must be divisible by n_kv_heads ({self.n_kv_heads})"
            )
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(
                f"rotary positions turn pairs of numbers: the head width d_model / n_heads "
                f"({self.d_head}) must be even"
            )
        for name, kind in (("norm", Norm), ("norm_kind", NormKind), ("activation", Activation),
                           ("positions", Positions)):  # fmt: skip
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name} must be one of {get_args(kind)}, got {getattr(self, name)!r}"
                )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout!r}")
        if not self.norm_eps > 0:
            raise ValueError(f"norm_eps must be positive, got {self.norm_eps!r}")
        if self.n_segments < 0:
            raise ValueError(f"n_segments must be 0 or more, got {self.n_segments!r}")
        if self.pad_id is not None and not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(
                f"pad_id ({self.pad_id}) must be a token id below vocab_size ({self.vocab_size})"
            )

    @property
    def d_head(self) -> int:
        """Width of one head, d = D / H."""
        return self.d_model // self.n_heads

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads, K: n_kv_heads, or n_heads when that was None."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def width_ff(self) -> int:
        """Width of the feed-forward layer, F: d_ff, or 4·D when that was None."""
        return 4 * self.d_model if self.d_ff is None else self.d_ff
