"""Strict nbval, but for decimals: training gives other numbers on another processor.

Words, pictures' alt text and whole numbers must be equal. A decimal may differ by 15 % or by two in
its last place. In the sentence of a trained claim no number is compared, since another processor
may do what another seed does: the claim itself holds the ledger's bound. Load it with
`-p tests.nbval_numbers`.
"""

import re
from typing import Any

from nbval.plugin import IPyNbCell

from transformer_lab.claims import ledger

DECIMAL = re.compile(r"(?<![\w.])(?:\d*\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+)")
NUMBER = re.compile(r"(?<![\w.])-?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?")
SHARE, PLACES = 0.15, 2


class Shown(str):
    """What a cell shows; equal to what it showed elsewhere if only decimals are a little off."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and same(str(self), str(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def same(one: str, other: str) -> bool:
    """Whether two outputs are equal but for decimals that are near each other."""
    if DECIMAL.sub("0", one) != DECIMAL.sub("0", other):
        return False
    return all(map(near, DECIMAL.findall(one), DECIMAL.findall(other)))


def without_trained_numbers(text: str, source: str) -> str:
    """What a cell shows, without its numbers if the cell makes a trained claim."""
    claimed = re.findall(r'claim\("([\w-]+)"', source)
    trained = any(ledger()[id].trained for id in claimed if id in ledger())
    return NUMBER.sub("(trained)", text) if trained else text


def near(one: str, other: str) -> bool:
    a, b = (float(text.replace(",", "")) for text in (one, other))
    return abs(a - b) <= max(SHARE * max(abs(a), abs(b)), PLACES * min(place(one), place(other)))


def place(number: str) -> float:
    """The worth of 1 in its last place: 0.01 for 3.14."""
    digits, _, power = number.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def _sanitize(self: Any, text: Any) -> Any:
    text = _exact(self, text)
    return Shown(without_trained_numbers(text, self.cell.source)) if isinstance(text, str) else text


_exact = IPyNbCell.sanitize
IPyNbCell.sanitize = _sanitize
