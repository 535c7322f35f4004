"""Texts to read, and windows of them to learn from."""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from transformer_lab.bounds import check_number
from transformer_lab.checks import seeded

TINYSHAKESPEARE = (  # the file of char-rnn's last commit
    "https://raw.githubusercontent.com/karpathy/char-rnn/"
    "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt"
)
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
VARIABLE = "TRANSFORMER_LAB_SHAKESPEARE"
STRAIGHT = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "--", "…": "..."})
Cut = TypeVar("Cut", str, list[int], Tensor)


def corpus(
    name: str = "pydoc", path: str | os.PathLike[str] | None = None, download: bool = False
) -> str:
    """A text by name.

    "pydoc" is Python's own documentation, about 0.4 million characters that need no network. It
    differs between Python versions, and so does every number measured on it.
    "tinyshakespeare" is 1,115,394 characters of Shakespeare (Karpathy 2015), the corpus of many
    published figures: the file at path, or at the environment variable TRANSFORMER_LAB_SHAKESPEARE,
    or with download=True from the network, once.

    Raises ValueError for an unknown name and for a file with another checksum, FileNotFoundError,
    which says what to do, when there is no file.
    """
    if name not in ("pydoc", "tinyshakespeare"):
        raise ValueError(f"name must be 'pydoc' or 'tinyshakespeare', got {name!r}")
    if name == "pydoc":
        if path is not None or download:
            raise ValueError(f"'pydoc' comes with Python, got {path=}, {download=}")
        return _pydoc()
    chosen = path or os.environ.get(VARIABLE)
    if not chosen and not download:
        raise FileNotFoundError(
            f"tinyshakespeare does not come with the course. Call corpus({name!r}, download=True), "
            f"or pass the path of its file, or set {VARIABLE} to it"
        )
    return _verified(Path(chosen) if chosen else _download())


def train_validation(text: Cut, share: float = 0.1) -> tuple[Cut, Cut]:
    """The first part of a text, or of its ids, to train on, and the last share of it to test with.

    Cut by position: no window of one part overlaps the other.
    Raises ValueError when a part would be empty.
    """
    check_number("share", share, above=0, below=1)
    if not isinstance(text, str | list | Tensor) or (isinstance(text, Tensor) and not text.dim()):
        raise TypeError(f"text must be a str or ids (N,), got {text!r:.80}")
    middle = int(len(text) * (1 - share))
    if not 0 < middle < len(text):
        raise ValueError(
            f"share must leave two parts of a text of length {len(text)}, got {share!r}"
        )
    return text[:middle], text[middle:]


def windows(ids: Tensor | list[int], T: int, size: int, seed: int = 0) -> Iterator[Tensor]:
    """Batches without end for a language model: (B, T + 1) ids, B = size, from random places.

    ids (N,) is one long text. Columns 0 to T - 1 are read, columns 1 to T are their targets.
    Raises ValueError when ids is not one row of whole numbers with at least T + 1 of them.
    """
    check_number("T", T, least=1, integer=True)
    check_number("size", size, least=1, integer=True)
    try:
        text = torch.as_tensor(ids)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"ids must be whole numbers of shape (N,): {error}") from None
    if text.dim() != 1 or text.is_floating_point() or len(text) < T + 1:
        raise ValueError(
            f"ids must be whole numbers of shape (N,) with N > T={T}, got {text.dtype} of "
            f"shape {tuple(text.shape)}"
        )
    random = seeded(seed)
    places, last = torch.arange(T + 1), len(text) - T
    return (text[torch.randint(last, (size, 1), generator=random) + places] for _ in count())


def _pydoc() -> str:
    """The topics by name, with straight quotes and dashes, and no paragraph twice.

    A fifth of the text is the same section under two topics. Left in, the end of the text, which
    validates, would repeat its beginning.
    """
    from pydoc_data.topics import topics

    kept, seen = [], set()
    for topic in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[topic].translate(STRAIGHT)):
            words = " ".join(paragraph.split())
            if words and (len(words) < 60 or words not in seen):
                kept.append("\n".join(line.rstrip() for line in paragraph.strip("\n").split("\n")))
            seen.add(words)
    return "\n\n".join(kept) + "\n"


def _verified(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"no file of tinyshakespeare at {path}")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != TINYSHAKESPEARE_SHA256:
        raise ValueError(
            f"{path} ({len(content):,} bytes) is not tinyshakespeare: sha256 is {found[:12]}…, "
            f"expected {TINYSHAKESPEARE_SHA256[:12]}…. Line ends or an edit may have changed it"
        )
    return content.decode()


def _download() -> Path:
    import pooch

    folder = pooch.os_cache("transformer-lab")
    known = f"sha256:{TINYSHAKESPEARE_SHA256}"
    bar = sys.stderr.isatty()
    return Path(
        pooch.retrieve(TINYSHAKESPEARE, known, "tinyshakespeare.txt", folder, progressbar=bar)
    )
