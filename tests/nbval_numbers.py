"""Strict nbval, but for decimals: training gives slightly other numbers on another processor.

Words, pictures' alt text and whole numbers must be equal. A decimal may differ by 15 % or by two in
its last place, and so may every number in the sentence of a trained claim; there the ledger's bound
says what must hold. Load it with `-p tests.nbval_numbers`.
"""

import re
from typing import Any

from nbval.plugin import IPyNbCell

from transformer_lab.claims import ledger

DECIMAL = re.compile(r"(?<![\w.])(?:\d*\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+)")
NUMBER = re.compile(r"(?<![\w.])(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?")
SHARE, PLACES = 0.15, 2


class Shown(str):
    """What a cell shows; equal to what it showed elsewhere if only its numbers are a little off."""

    loose: re.Pattern[str] = DECIMAL

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and same(str(self), str(other), self.loose)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class Trained(Shown):
    loose = NUMBER


def same(one: str, other: str, loose: re.Pattern[str] = DECIMAL) -> bool:
    """Whether two outputs are equal but for numbers that are near each other."""
    if one == other:
        return True
    if loose.sub("0", one) != loose.sub("0", other):
        return False
    return all(map(near, loose.findall(one), loose.findall(other)))


def near(one: str, other: str) -> bool:
    a, b = (float(text.replace(",", "")) for text in (one, other))
    return abs(a - b) <= max(SHARE * max(abs(a), abs(b)), PLACES * min(place(one), place(other)))


def place(number: str) -> float:
    """The worth of 1 in its last place: 0.01 for 3.14."""
    digits, _, power = number.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def _sanitize(self: Any, text: Any) -> Any:
    text = _exact(self, text)
    if not isinstance(text, str):
        return text
    claimed = re.findall(r'claim\("([\w-]+)"', self.cell.source)
    trained = any(ledger()[id].trained for id in claimed if id in ledger())
    return Trained(text) if trained else Shown(text)


_exact = IPyNbCell.sanitize
IPyNbCell.sanitize = _sanitize
