"""Weights in and out of files: safetensors, never pickle. Real models by name."""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.pretrained import bert_config, bert_name, find_pretrained, known_model, verify
from transformer_lab.tokens import FileTokenizer

ARCHITECTURES: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (TextEncoder, LanguageModel, EncoderDecoder)
}


def save(model: nn.Module, path: str | Path) -> Path:
    """Write a model's weights and configuration to one .safetensors file; returns its path.

    A shared tensor is written once. The file appears whole or not at all.
    """
    kind = type(model).__name__
    if kind not in ARCHITECTURES:
        raise TypeError(f"model must be one of {sorted(ARCHITECTURES)}, got {kind}")
    arguments: dict[str, Any] = {}
    if isinstance(model, EncoderDecoder) and model.source_embedding is not model.target_embedding:
        arguments["source_vocab_size"] = model.source_embedding.vocab_size
    about = {
        "architecture": kind,
        "config": json.dumps(asdict(model.config)),  # type: ignore[call-overload]
        "arguments": json.dumps(arguments),
    }
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters()}
    save_file(weights, partial, metadata=about)
    os.replace(partial, path)
    return path


def load(path: str | Path) -> nn.Module:
    """Rebuild the model that save wrote, in eval mode.

    Raises FileNotFoundError without a file and ValueError, naming it, for a damaged file or one
    that save did not write.
    """
    path = Path(path)
    weights, about = read_safetensors(path)
    try:
        kind = ARCHITECTURES[about["architecture"]]
        config = ModelConfig(**json.loads(about["config"]))
        arguments = json.loads(about["arguments"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} was not written by transformer_lab's save: {error!r}") from None
    return fill(lambda: kind(config, **arguments), weights, path)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file, and its metadata."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, struct.error) as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from None


def fill(build: Callable[[], nn.Module], weights: dict[str, Tensor], path: Path) -> nn.Module:
    """Build a model and give it the weights, all or none; in eval mode.

    Raises ValueError that lists what is missing, left over or of another shape.
    """
    with torch.random.fork_rng(devices=[]):  # loading a model leaves the learner's seed alone
        model = build()
    expected = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    given = {name: tuple(weight.shape) for name, weight in weights.items()}
    wrong = [f"{name} is missing" for name in expected.keys() - given.keys()]
    wrong += [f"{name} is not part of the model" for name in given.keys() - expected.keys()]
    wrong += [
        f"{name} has shape {given[name]}, expected {expected[name]}"
        for name in expected.keys() & given.keys()
        if given[name] != expected[name]
    ]
    if wrong:
        raise ValueError(f"{path} does not fit the model: " + "; ".join(sorted(wrong)[:5]))
    model.load_state_dict(weights, strict=False)  # a tied tensor has a second name in there
    return model.eval()


COURSE = Path(__file__).parent / "data"  # the course's own small encoder


def load_pretrained(
    name: str,
    folder: str | Path | None = None,
    download: bool = False,
    fallback: bool = False,
) -> tuple[TextEncoder, FileTokenizer]:
    """A real model in our own modules, in eval mode, and its tokenizer.

    name is "minilm" (all-MiniLM-L6-v2, 22.7 million parameters) or "course", the small encoder that
    comes with the package. Every file's checksum is verified first. With fallback=True a model that
    cannot be found is replaced by "course", and one line says so.
    Raises ValueError for an unknown name or a file that is not the expected one, FileNotFoundError
    for a missing one; each says which file, what was expected and what to do.
    """
    if name == "course":
        return load(COURSE / "course.safetensors"), _tokenizer(COURSE, "course", 128)  # type: ignore[return-value]
    known = known_model(name)
    try:
        place = find_pretrained(name, folder, download)
    except FileNotFoundError as error:
        if not fallback:
            raise
        print(f"{name} is not here, so the course's own small encoder reads instead: {error}")
        return load_pretrained("course")
    for file, expected in known.files.items():
        verify(place / file, expected)
    config = bert_config(json.loads((place / "config.json").read_text("utf-8")))
    path = place / "model.safetensors"
    weights = {bert_name(old): w for old, w in read_safetensors(path)[0].items()}
    weights.pop("embeddings.position_ids", None)  # 0, 1, 2, …: not a weight
    return fill(lambda: TextEncoder(config), weights, path), _tokenizer(  # type: ignore[return-value]
        place, name, config.max_len
    )


def _tokenizer(place: Path, name: str, max_len: int) -> FileTokenizer:
    return FileTokenizer(place / "tokenizer.json", name, max_len)
