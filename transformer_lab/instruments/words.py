"""Tokens in sentences, as `view/tokens.js` writes them in the browser."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

_SIGNS = {" ": "␣", "\n": "↵", "\r": "↵", "\t": "⇥", "\u200d": "\u200d"}
_HIDDEN = {"Cc", "Cf", "Zs", "Zl", "Zp"}


def visible(token: str) -> str:
    """Spaces, line ends and invisible characters as signs; what joins an emoji stays."""
    if not token:
        return "∅"
    return "".join(
        _SIGNS.get(c, f"U+{ord(c):04X}") if unicodedata.category(c) in _HIDDEN else c
        for c in token.replace("\r\n", "\n")
    )


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
