"""Weights in and out of files: safetensors, never pickle. Real models by name."""

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.pretrained import find_pretrained, known_model, verify
from transformer_lab.renaming import family_of, our_config, our_weights, their_files
from transformer_lab.tokens import FileTokenizer

ARCHITECTURES: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (TextEncoder, LanguageModel, EncoderDecoder)
}


def save(model: TextEncoder | LanguageModel | EncoderDecoder, path: str | Path) -> Path:
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
        "config": json.dumps(asdict(model.config)),
        "arguments": json.dumps(arguments),
    }
    write_safetensors(Path(path), dict(model.named_parameters()), about)
    return Path(path)


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
            names = file.keys()  # the file itself cannot be looped over
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, struct.error) as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from None


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], about: dict[str, str]) -> None:
    """Write tensors and metadata to one file, which appears whole, or the old one stays."""
    partial = path.with_name(path.name + ".part")
    kept = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(kept, partial, metadata=about)
    os.replace(partial, path)


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
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(f"{path} does not fit the model: {'; '.join(sorted(wrong)[:5])}{more}")
    model.load_state_dict(weights, strict=False)  # a tied tensor has a second name in there
    return model.eval()


COURSE = Path(__file__).parent / "data"  # the course's own small encoder


def load_pretrained(
    name: str,
    folder: str | Path | None = None,
    download: bool = False,
    fallback: bool = False,
) -> tuple[TextEncoder | LanguageModel, FileTokenizer | None]:
    """A real model in our own modules, in eval mode, and its tokenizer.

    name is "minilm" (all-MiniLM-L6-v2, 22.7 million parameters), "gpt2" (any size of it from a
    folder of yours, the small one with download=True), or "course", the small encoder that comes
    with the package. Every known
    checksum is verified first. With fallback=True an encoder that cannot be found is replaced by
    "course", and one line says so.
    Raises ValueError for an unknown name or a file that is not the expected one, FileNotFoundError
    for a missing one; each says which file, what was expected and what to do.
    """
    if name == "course":
        model = load(COURSE / "course.safetensors")
        assert isinstance(model, TextEncoder)
        return model, _tokenizer(COURSE, "course", 128)
    known = known_model(name)
    try:
        place = find_pretrained(name, folder, download)
    except FileNotFoundError as error:
        if not fallback or known.stand_in is None:
            raise
        print(f"{name} is not here, so the course's own small encoder reads instead: {error}")
        return load_pretrained(known.stand_in)
    for file, expected in known.files.items():
        verify(place / file, expected)
    found = _read_json(place / "config.json").get("model_type")
    if found != known.family:
        raise ValueError(f"{place} holds a model of type {found!r}, {name} is {known.family!r}")
    return load_folder(place, name)


def load_folder(
    folder: str | Path, name: str | None = None
) -> tuple[TextEncoder | LanguageModel, FileTokenizer | None]:
    """A model as Hugging Face keeps it, in our own modules, in eval mode.

    folder holds config.json with a model_type of the BERT, GPT-2 or Llama family, model.safetensors
    or its shards, and perhaps tokenizer.json: without it the tokenizer is None. name stands in the
    tokenizer's messages, the folder's own when None.
    Raises FileNotFoundError for a missing file, ValueError for a model that our modules cannot hold
    or tensors that do not fit it.
    """
    folder = Path(folder)
    about = _read_json(folder / "config.json")
    family, config = family_of(about), our_config(about)
    path = folder / "model.safetensors"
    index = folder / "model.safetensors.index.json"
    files = [path.name]
    if index.is_file():
        files = sorted(set(_read_json(index)["weight_map"].values()))
    theirs: dict[str, Tensor] = {}
    for file in files:
        theirs |= read_safetensors(folder / file)[0]
    weights = our_weights(family, config, theirs)
    if config.pooler and "pooler.weight" not in weights:
        config = replace(config, pooler=False)  # BERT trained for a task that needs none
    model = fill(lambda: family.build(config), weights, path)
    assert isinstance(model, family.build)
    known = (folder / "tokenizer.json").is_file()
    return model, _tokenizer(folder, name or folder.name, config.max_len) if known else None


def save_folder(model: TextEncoder | LanguageModel, folder: str | Path) -> Path:
    """Write a model as Hugging Face keeps it: config.json and model.safetensors; returns folder.

    Raises ValueError for a model that is no BERT, GPT-2 or Llama.
    """
    folder = Path(folder)
    about, weights = their_files(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    write_safetensors(folder / "model.safetensors", weights, {"format": "pt"})
    return folder


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        read = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); copy or download it again") from None
    if not isinstance(read, dict):
        raise ValueError(f"{path} should hold a JSON object, got {type(read).__name__}")
    return read


def _tokenizer(place: Path, name: str, max_len: int) -> FileTokenizer:
    return FileTokenizer(place / "tokenizer.json", name, max_len)
