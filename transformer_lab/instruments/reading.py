"""What is typed, as a translator's source: the pieces, the right answer, and which piece is which.

The default reads numbers, as digits or in English words. Another task brings its own function
from a text to a `Reading`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from transformer_lab.translation import english, german

ABOVE = 10_000  # numbers are read up to here
_SMALL = {english(n)[0]: n for n in [*range(20), *range(20, 100, 10)]}
_LARGE = {"hundred": 100, "thousand": 1000}


class Reading(NamedTuple):
    """source: the pieces to translate. expected: those of the right translation, if one is known.

    aligned: for each piece of expected, and for the end after it, the source place that it
    translates, counted from 0; -1 where there is none. Empty if nothing is known.
    """

    source: tuple[str, ...]
    expected: tuple[str, ...] | None = None
    aligned: tuple[int, ...] = ()


def read_number(text: str) -> Reading:
    """ "342", "7,003" or "forty-two". Words that name no number are read without a right answer.

    Raises ValueError, as a sentence for the learner, for no text and for a number out of range.
    """
    written = text.strip().lower().replace(",", "")
    if not written:
        raise ValueError(f"Type a number from 0 to {ABOVE - 1}, or its English words.")
    if not written.isascii() or not written.isdigit():
        words = tuple(written.replace("-", " ").split())
        number = number_of(words)
        return Reading(words) if number is None else _reading(number, words)
    if len(written.lstrip("0")) > 4:
        raise ValueError(f"{text.strip()} is too large: type a number from 0 to {ABOVE - 1}.")
    return _reading(int(written), english(int(written)))


def number_of(words: Sequence[str]) -> int | None:
    """("forty", "two") -> 42; None for words that are not the words of a number below 10,000.

    An "and" may be left out.
    """
    total = part = 0
    for word in words:
        if word in _SMALL:
            part += _SMALL[word]
        elif word in _LARGE:
            part *= _LARGE[word]
            if word == "thousand":
                total, part = total + part, 0
        elif word != "and":
            return None
    number = total + part
    if number >= ABOVE or [w for w in english(number) if w != "and"] != _named(words):
        return None
    return number if words in (english(number), tuple(_named(words))) else None


def _named(words: Sequence[str]) -> list[str]:
    return [word for word in words if word != "and"]


def _reading(number: int, words: tuple[str, ...]) -> Reading:
    pieces = german(number)
    places = [i for i, word in enumerate(words) if word != "and"]
    found: list[int] = []
    for size in (1000, 100):  # a digit and its "tausend" or "hundert", in the order of English
        if number % (10 * size) // size:
            found += places[:2]
            places = places[2:]
    if len(places) == 2:  # units, "und", then one or two pieces for the tens
        tens, units = places
        found += [units, -1] + [tens] * (len(pieces) - len(found) - 2)
    else:
        found += places * (len(pieces) - len(found))
    return Reading(words, pieces, (*found, -1))
