"""Tokens in sentences, as `view/tokens.js` writes them in the browser."""

from collections import Counter
from collections.abc import Sequence

from transformer_lab.look import visible


def names(tokens: Sequence[str]) -> list[str]:
    """["the", "cat", "the"] -> ["“the” (0)", "“cat”", "“the” (2)"]."""
    count = Counter(tokens)
    return [
        f"“{visible(token)}”{f' ({i})' if count[token] > 1 else ''}"
        for i, token in enumerate(tokens)
    ]


def few(number: int, one: str) -> str:
    """1, "head" -> "1 head"; 2, "head" -> "2 heads"."""
    return f"{number} {one}{'' if number == 1 else 's'}"
