"""What the course remembers about its learner: one small JSON file per record.

    progress/stable_softmax.json     predictions/score-spread.json

One file each, because then a write is one atomic rename, two notebooks at once never overwrite
each other's records, and damage costs one record. The folder is the learner's own: delete a file,
or all of it, whenever you like. TRANSFORMER_LAB_HOME names another folder.
"""

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import platformdirs

from transformer_lab.files import alone, write

VERSION = 1
NAME = re.compile("[a-z0-9]+([_-][a-z0-9]+)*")


def home() -> Path:
    """The learner's data folder; it need not exist yet."""
    chosen = os.environ.get("TRANSFORMER_LAB_HOME")
    return Path(chosen) if chosen else platformdirs.user_data_path("transformer-lab", False)


def load(kind: str, name: str) -> dict[str, Any]:
    """One record, {} when there is none; a damaged one is set aside with a warning."""
    path = _path(kind, name)
    try:
        return _read(path)
    except OSError as error:
        _tell(f"{path} could not be read: {error}. The lesson goes on without it.")
        return {}


def load_all(kind: str) -> dict[str, dict[str, Any]]:
    """Every record of a kind by name, in the order of the names."""
    names = sorted(path.stem for path in _path(kind, "any").parent.glob("*.json"))
    return {name: load(kind, name) for name in names if NAME.fullmatch(name)}


def save(kind: str, name: str, **changes: Any) -> None:
    """Change some fields of a record and keep the others.

    A folder that cannot be written to gives a warning: a lesson never stops for its diary.
    """
    path = _path(kind, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path):
            record = {"version": VERSION, **_read(path), **changes}
            write(path, json.dumps(record, ensure_ascii=False, indent=1).encode())
    except OSError as error:
        _tell(f"{path} was not saved: {error}. The lesson goes on without it.")


def forget(kind: str, name: str) -> None:
    """Delete one record, if there is one."""
    _path(kind, name).unlink(missing_ok=True)


def _path(kind: str, name: str) -> Path:
    for what, given in (("kind", kind), ("name", name)):
        if not isinstance(given, str) or not NAME.fullmatch(given):
            raise ValueError(f"{what} = {given!r}; expected lower-case words joined by - or _")
    return home() / kind / f"{name}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or record.pop("version", None) != VERSION:
            raise ValueError(f"not a record of version {VERSION}")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        aside = path.with_suffix(".broken")
        path.replace(aside)
        _tell(f"{path.name} made no sense ({error}). It was set aside as {aside}.")
        return {}
    return record


def _tell(message: str) -> None:
    warnings.warn(message, stacklevel=3)
