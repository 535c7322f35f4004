"""One frozen description of a model, checked once, so that no layer has to check again."""

from dataclasses import dataclass
from typing import Literal, get_args

from transformer_lab.bounds import check_number, whole

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
        if self.d_ff is None and whole(self.d_model):
            object.__setattr__(self, "d_ff", 4 * self.d_model)
        if self.n_kv_heads is None:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        for name in ("vocab_size", "d_model", "n_heads", "n_layers", "d_ff", "max_len",
                     "n_kv_heads"):  # fmt: skip
            check_number(name, getattr(self, name), least=1, integer=True)
        for name in ("bias", "tie_embeddings", "scale_embeddings", "embedding_norm", "pooler"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        for name, kind in (("norm", Norm), ("norm_kind", NormKind), ("activation", Activation),
                           ("positions", Positions)):  # fmt: skip
            word = getattr(self, name)
            if not isinstance(word, str) or word not in get_args(kind):
                raise ValueError(f"{name} must be one of {get_args(kind)}, got {word!r}")
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model ({self.d_model}) must be divisible by n_heads ({self.n_heads})"
            )
        if self.n_heads % self.kv_heads:
            raise ValueError(
                f"n_heads ({self.n_heads}) must be divisible by n_kv_heads ({self.n_kv_heads})"
            )
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(
                f"positions ({self.positions!r}) are pairs of waves: d_model ({self.d_model}) must "
                f"be even"
            )
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(
                f"rotary positions turn pairs of numbers: the head width d_model / n_heads "
                f"({self.d_head}) must be even"
            )
        check_number("dropout", self.dropout, least=0, below=1)
        check_number("norm_eps", self.norm_eps, above=0)
        check_number("rotary_base", self.rotary_base, above=0)
        check_number("n_segments", self.n_segments, least=0, integer=True)
        if self.pad_id is not None and not (
            whole(self.pad_id) and 0 <= self.pad_id < self.vocab_size
        ):
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
