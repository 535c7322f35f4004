"""What a model costs: parameters by formula and by module, arithmetic, memory."""

import re

import torch
from torch import nn

from transformer_lab.bounds import check_number
from transformer_lab.config import ModelConfig
from transformer_lab.presets import PRESETS as PRESETS
from transformer_lab.presets import Kind, Preset, resolve

Config = ModelConfig | Preset


class Breakdown(dict[str, int]):
    """An amount for each component; a component that is not there counts 0."""

    @property
    def total(self) -> int:
        return sum(self.values())

    def only(self, *words: str) -> int:
        """The sum over components whose name holds one of these words."""
        return sum(n for name, n in self.items() if any(word in name for word in words))

    def without(self, *words: str) -> int:
        """The sum over all other components."""
        return self.total - self.only(*words)

    def add(self, name: str, amount: int) -> None:
        """Add to a component. Nothing is kept of a 0."""
        if amount:
            self[name] = self[name] + amount

    def __missing__(self, name: str) -> int:
        return 0


def formula(
    config: Config, kind: Kind | None = None, source_vocab_size: int | None = None
) -> Breakdown:
    """The parameters of a model by component, from its sizes alone; `.total` is their sum.

    kind says which model: "encoder" TextEncoder, "decoder" LanguageModel (the default) or
    "encoder-decoder" EncoderDecoder, whose source_vocab_size this is. A preset brings its kind.
    A tied output head adds nothing, nor do sinusoidal, rotary and ALiBi positions; dropout and
    the number of heads change nothing. Raises ValueError or TypeError, naming the argument.
    """
    config, kind = resolve(config, kind)
    if source_vocab_size is not None and (kind != "encoder-decoder" or source_vocab_size < 1):
        raise ValueError(
            f"source_vocab_size must be None, or positive for an encoder-decoder, got "
            f"{source_vocab_size} for kind {kind!r}"
        )
    V, D, parts = config.vocab_size, config.d_model, Breakdown()
    for rows in (V,) if source_vocab_size is None else (V, source_vocab_size):
        parts.add("token embedding", rows * D)
        parts.add("position embedding", config.max_len * D if config.positions == "learned" else 0)
        parts.add("segment embedding", config.n_segments * D)
        parts.add("embedding norm", _norm(config) if config.embedding_norm else 0)
    for cross in (False, True) if kind == "encoder-decoder" else (False,):
        for name, amount in layer_formula(config, cross).items():
            parts.add(name, config.n_layers * amount)
        parts.add("final norm", _norm(config) if config.norm == "pre" else 0)
    if kind == "encoder":
        parts.add("pooler", D * D + D if config.pooler else 0)
    else:
        parts.add("output head", 0 if config.tie_embeddings else V * D)
    return parts


def layer_formula(config: Config, cross: bool = False) -> Breakdown:
    """The parameters of one layer by component; cross=True: of a layer with cross-attention."""
    config, _ = resolve(config, None)
    D, F, shared = config.d_model, config.width_ff, config.kv_heads * config.d_head
    parts = Breakdown()
    for block in ("attention", "cross-attention") if cross else ("attention",):
        for name, width in (("query", D), ("key", shared), ("value", shared), ("output", D)):
            parts.add(f"{block} {name} weight", D * width)
            parts.add(f"{block} {name} bias", width if config.bias else 0)
        parts.add(f"{block} norm", _norm(config))
    ups = 2 if config.activation == "swiglu" else 1
    parts.add("feed-forward weight", ups * D * F + F * D)
    parts.add("feed-forward bias", ups * F + D if config.bias else 0)
    parts.add("feed-forward norm", _norm(config))
    return parts


# What part of a model a parameter's name says; the first pattern that fits.
COMPONENTS = {
    r"embedding\.tokens\.": "token embedding",
    r"embedding\.positions$": "position embedding",
    r"embedding\.segments\.": "segment embedding",
    r"embedding\.norm\.": "embedding norm",
    r"(cross_attention|attention|feed_forward)_norm\.": r"\1 norm",
    r"(cross_attention|attention)\.(query|key|value|output)\.(weight|bias)$": r"\1 \2 \3",
    r"feed_forward\.\w+\.(weight|bias)$": r"feed_forward \1",
    r"^(encoder_|decoder_)?norm\.": "final norm",
    r"^pooler\.": "pooler",
    r"^head\.": "output head",
}


def count(model: nn.Module) -> Breakdown:
    """The parameters that a model holds by component, a shared tensor once, at its first name.

    For the package's models it equals formula(config). Other modules keep their own names,
    without the numbers in them. Buffers are not parameters.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a module, got {type(model).__name__}")
    parts = Breakdown()
    for name, parameter in model.named_parameters():
        parts.add(_component(name), parameter.numel())
    return parts


def flops(
    config: Config, T: int, S: int | None = None, B: int = 1, kind: Kind | None = None
) -> Breakdown:
    """The arithmetic of one forward pass over B texts of T tokens, by component.

    A multiplication and its addition are 2. All matrix products count: 2 for each weight and
    token, the output head at every position, and for each layer 2·T·T·D for attention's scores
    (query · key) and as much for its mix (weights · values). The causal half of that is not taken
    off. Biases, norms, softmax, activations and the pooler do not count. S is the length of an
    encoder-decoder's source, T when None. A backward pass costs about twice a forward pass.
    """
    config, kind = resolve(config, kind)
    S = _sizes(T, S, B)
    parts = Breakdown()
    for tokens, cross in [(S, False), (T, True)] if kind == "encoder-decoder" else [(T, False)]:
        for name, amount in layer_formula(config, cross).items():
            if name.endswith(" weight"):
                of_source = re.match("cross-attention (key|value)", name)
                parts.add(name.removesuffix(" weight"), 2 * amount * (S if of_source else tokens))
        for block, seen in (("attention", tokens), ("cross-attention", S if cross else 0)):
            for step in ("scores", "mix"):
                parts.add(f"{block} {step}", 2 * tokens * seen * config.d_model)
    parts = Breakdown({name: config.n_layers * amount for name, amount in parts.items()})
    if kind != "encoder":
        parts.add("output head", 2 * T * config.vocab_size * config.d_model)
    return Breakdown({name: B * amount for name, amount in parts.items()})


def crossover(config: Config) -> float:
    """The T at which scores and mix cost what the rest of a layer costs: 6·D for GPT-2."""
    config, _ = resolve(config, None)
    return layer_formula(config).only(" weight") / (2 * config.d_model)


def memory(
    config: Config,
    T: int | None = None,
    S: int | None = None,
    B: int = 1,
    kind: Kind | None = None,
    dtype: torch.dtype = torch.float32,
    training: bool = False,
) -> Breakdown:
    """Bytes for B texts of T tokens (max_len when None), every number in dtype, by component.

    To generate: weights, and the keys and values of every position. To train: weights, gradients,
    two means of AdamW for each (Loshchilov and Hutter 2019), and activations: what our models keep
    for the backward pass, to about 1 %, after Korthikanti et al. 2022, section 4.1, without
    dropout and without the T × T table: the kernel is fused and gets no mask. S is as in flops.
    """
    config, kind = resolve(config, kind)
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be one such as torch.float32, got {dtype!r}")
    T = config.max_len if T is None else T
    S = _sizes(T, S, B)
    parts = Breakdown(weights=formula(config, kind).total)
    if training:
        parts["gradients"], parts["optimiser"] = parts["weights"], 2 * parts["weights"]
        parts["activations"] = B * _activations(config, kind, T, S)
    elif kind != "encoder":
        positions = T + S if kind == "encoder-decoder" else T
        both = 2 * config.kv_heads * config.d_head
        parts["key/value cache"] = B * positions * config.n_layers * both
    return Breakdown({name: amount * dtype.itemsize for name, amount in parts.items()})


def _activations(config: ModelConfig, kind: Kind, T: int, S: int) -> int:
    """Numbers kept for the backward pass of one text: the inputs of norms and products."""
    D, L = config.d_model, config.n_layers
    norm = 2 * D if config.norm_kind == "rms" else D  # torch's RMSNorm keeps its result as well
    mixed = 2 * D if config.positions == "rotary" else D  # turned queries leave a copy of the mix
    bends = {"relu": 1, "swiglu": 4}.get(config.activation, 2) * config.width_ff
    stack = L * ((norm + 4 * D + mixed) + (norm + D + bends))
    stack += norm * (config.embedding_norm + (config.norm == "pre"))
    if kind == "encoder":
        return T * stack
    kept = T * (stack + D + config.vocab_size)
    if kind == "encoder-decoder":
        kept += S * (stack + D) + L * (T * (norm + 3 * D) + S * 2 * D)
    return kept


def _component(name: str) -> str:
    for pattern, component in COMPONENTS.items():
        if found := re.search(pattern, name):
            return found.expand(component).replace("_", "-")
    return ".".join(part for part in name.split(".") if not part.isdigit())


def _norm(config: ModelConfig) -> int:
    return 2 * config.d_model if config.norm_kind == "layer" and config.bias else config.d_model


def _sizes(T: int, S: int | None, B: int) -> int:
    """S, or T in its place, after a check of all three."""
    S = T if S is None else S
    for name, size in (("T", T), ("S", S), ("B", B)):
        check_number(name, size, least=1, integer=True)
    return S
