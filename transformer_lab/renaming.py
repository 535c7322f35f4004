"""Hugging Face's config.json and tensors as our ModelConfig and parameters, and back."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from transformer_lab.config import ModelConfig
from transformer_lab.families import FAMILIES, Family
from transformer_lab.models import LanguageModel, TextEncoder


def our_config(theirs: Mapping[str, Any]) -> ModelConfig:
    """What a config.json describes. Dropout is 0: a loaded model is read, not trained.

    Raises ValueError for an unknown model_type, a missing key, or a choice that our modules do not
    have.
    """
    family = family_of(theirs)
    given = {**family.only, **family.defaults, **_flat(theirs)}
    for key, value in family.only.items():
        if given[key] != value:
            raise ValueError(f"{key} is {given[key]!r} in config.json, our models have {value!r}")
    missing = [key for key in (*family.sizes.values(), family.bend) if key not in given]
    if missing:
        raise ValueError(f"config.json lacks {', '.join(missing)}")
    words: dict[str, Any] = {word: ours for ours, word in family.bends.items()}
    if given[family.bend] not in words:
        raise ValueError(f"{family.bend} must be one of {list(words)}, got {given[family.bend]!r}")
    sizes: dict[str, Any] = {ours: given[key] for ours, key in family.sizes.items()}
    config = ModelConfig(**sizes, **family.ours, activation=words[given[family.bend]])
    if given.get("head_dim") not in (None, config.d_head):
        raise ValueError(
            f"head_dim is {given['head_dim']} in config.json, our heads have d_model / n_heads = "
            f"{config.d_head}"
        )
    return config


def family_of(theirs: Mapping[str, Any]) -> Family:
    kind = theirs.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(f"model_type must be one of {sorted(FAMILIES)}, got {kind!r}")
    return FAMILIES[kind]


def our_weights(
    family: Family, config: ModelConfig, weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Their tensors under our names, each as our modules hold it.

    What has no name here keeps its own, without the prefix.
    """
    names = _names(family, config.n_layers)
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        name = name.removeprefix(family.prefix)
        for old, new in family.renamed.items():
            name = name.replace(old, new)
        if re.fullmatch(family.not_weights, name):
            continue
        for part, piece in _split(family, name, weight).items():
            found[names.get(part, part)] = piece
    head, tokens = found.get("head.weight"), found.get("embedding.tokens.weight")
    twice = head is not None and tokens is not None and torch.equal(head, tokens)
    if config.tie_embeddings and twice:
        del found["head.weight"]
    return found


def their_files(
    model: TextEncoder | LanguageModel,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A model of ours as config.json and tensors of the family that it belongs to.

    Raises ValueError when it belongs to none.
    """
    config = model.config
    for model_type, family in FAMILIES.items():
        word = family.bends.get(config.activation)
        if type(model) is not family.build or word is None:
            continue
        theirs = {key: getattr(config, ours) for ours, key in family.sizes.items()}
        theirs |= {"model_type": model_type, "architectures": [family.architecture]}
        theirs |= {**family.only, family.bend: word}
        if replace(our_config(theirs), dropout=config.dropout, pad_id=config.pad_id) == config:
            return theirs, _their_weights(family, model)
    raise ValueError(f"model belongs to none of {sorted(FAMILIES)}: {config}")


def _their_weights(family: Family, model: TextEncoder | LanguageModel) -> dict[str, Tensor]:
    names = {ours: name for name, ours in _names(family, model.config.n_layers).items()}
    parts: dict[str, list[Tensor]] = {}
    for ours, weight in model.named_parameters():
        name = re.sub(r"(c_attn)\.(query|key|value)", r"\1", names[ours])
        parts.setdefault(name, []).append(weight.detach())
    joined = {name: torch.cat(pieces) for name, pieces in parts.items()}
    return {name: _turn(family, name, weight).contiguous() for name, weight in joined.items()}


def _names(family: Family, n_layers: int) -> dict[str, str]:
    """The full name of every tensor: theirs -> ours."""
    names = {}
    for ours, theirs in family.names.items():
        for kind in ("",) if theirs.endswith(".weight") else (".weight", ".bias"):
            if "{}" in theirs:
                for layer in range(n_layers):
                    names[theirs.format(layer) + kind] = f"layers.{layer}.{ours}{kind}"
            else:
                names[theirs + kind] = ours + kind
    return names


def _split(family: Family, name: str, weight: Tensor) -> dict[str, Tensor]:
    """A tensor turned our way; query, key and value apart where they are one tensor."""
    weight = _turn(family, name, weight)
    packed = re.fullmatch(r"(.*c_attn)\.(weight|bias)", name)
    if packed is None or not weight.dim():
        return {name: weight}
    pieces = zip(("query", "key", "value"), weight.chunk(3), strict=False)
    return {f"{packed[1]}.{part}.{packed[2]}": piece for part, piece in pieces}


def _turn(family: Family, name: str, weight: Tensor) -> Tensor:
    module, _, kind = name.rpartition(".")
    turned = kind == "weight" and module.rpartition(".")[2] in family.turned
    return weight.transpose(0, -1) if turned else weight


def _flat(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of rotary positions beside the others, wherever a version keeps them."""
    flat = dict(theirs)
    for key in ("rope_scaling", "rope_parameters"):
        rope = dict(flat.pop(key, None) or {})
        if "type" in rope:
            rope["rope_type"] = rope.pop("type")
        flat |= rope
    return flat
