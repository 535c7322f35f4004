"""Pairs to translate: numbers from English to German words, dates from many languages to ISO."""

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import count, pairwise, product

import torch
from babel.core import Locale, UnknownLocaleError
from babel.dates import format_date
from num2words import num2words
from torch import Tensor

from transformer_lab.bounds import check_number
from transformer_lab.checks import seeded
from transformer_lab.tokens import Vocabulary

GERMAN = re.compile(
    "tausend|hundert|zwanzig|dreißig|sieben|sechs|null|eins|zwei|drei|vier|fünf|acht|neun|"
    "zehn|zwölf|sech|sieb|zig|und|ein|elf"
)
LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL")


@cache
def english(number: int) -> tuple[str, ...]:
    """The words of a number: 342 -> ("three", "hundred", "and", "forty", "two")."""
    return tuple(num2words(number).replace(",", "").replace("-", " ").split())


@cache
def german(number: int) -> tuple[str, ...]:
    """The pieces of a number's one German word: 42 -> ("zwei", "und", "vier", "zig").

    Units stand before tens. The pieces joined are the word.
    """
    word = num2words(number, lang="de")
    pieces = tuple(GERMAN.findall(word))
    if "".join(pieces) != word:
        raise ValueError(f"number must lie below one million, got {number}: {word}")
    return pieces


class NumberWords:
    """Numbers in English words to translate into German, split by number into two disjoint sets.

    train and held_out are lists of numbers below `below`, drawn without repetition by seed. With
    without=42 the split is compositional: every held-out number says "forty two" somewhere, no
    training number does. In digits: 4 then 2 as tens and units, of the whole or of its thousands
    (42, 542, 42 000, but not 420). The model knows "forty" and "two" from other numbers only.
    """

    def __init__(
        self,
        train: int,
        held_out: int,
        below: int = 10_000,
        seed: int = 0,
        without: int | None = None,
    ) -> None:
        """Raises ValueError when there are not that many numbers, naming how many there are."""
        check_number("below", below, least=2, integer=True)
        _check_sizes(train, held_out, below, f"numbers below {below}")
        order = torch.randperm(below, generator=seeded(seed)).tolist()
        self.train, self.held_out = order[:train], order[train : train + held_out]
        if without is not None:
            self.train, self.held_out = _split_by_words(order, without, train, held_out)
        self.english = Vocabulary(english(number) for number in range(below))
        self.german = Vocabulary(german(number) for number in range(below))

    def pairs(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        """Source ids (B, S) and target ids (B, T), the target between <start> and <end>."""
        source = self.english.batch([english(number) for number in numbers])
        return source, self.german.batch([german(number) for number in numbers], ends=True)

    def batches(self, size: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of training numbers without end, drawn with repetition."""
        check_number("size", size, least=1, integer=True)
        random, known = seeded(seed), len(self.train)
        drawn = (torch.randint(known, (size,), generator=random).tolist() for _ in count())
        return (self.pairs([self.train[i] for i in chosen]) for chosen in drawn)


def _check_sizes(train: int, held_out: int, known: int, what: str) -> None:
    check_number("train", train, least=1, integer=True)
    check_number("held_out", held_out, least=1, integer=True)
    if train + held_out > known:
        raise ValueError(
            f"train ({train}) and held_out ({held_out}) must be together at most the {known} {what}"
        )


def _split_by_words(
    order: list[int], without: int, train: int, held_out: int
) -> tuple[list[int], list[int]]:
    check_number("without", without, least=21, below=100, integer=True)
    if without % 10 == 0:
        raise ValueError(f"without must be a number of two words, like 42, got {without!r}")
    unseen = english(without)
    saying = [number for number in order if unseen in set(pairwise(english(number)))]
    others = [number for number in order if unseen not in set(pairwise(english(number)))]
    if train > len(others) or held_out > len(saying):
        raise ValueError(
            f"train ({train}) and held_out ({held_out}) must be at most {len(others)} numbers "
            f"without {without} and {len(saying)} with it"
        )
    return others[:train], saying[:held_out]


class Dates:
    """Dates in many languages to translate into ISO 8601, split by date into two disjoint sets.

    train and held_out are lists of dates in the years first to last, drawn without repetition by
    seed. A date is written in the long or the full format of a locale (Babel's, from Unicode's
    CLDR). Both have the month in letters, so day and month cannot be confused, and full adds the
    day of the week: "4. März 2021", "Thursday, March 4, 2021" -> "2021-03-04". Both sides are
    characters: letters and iso are their vocabularies.
    """

    FORMATS = ("long", "full")

    def __init__(
        self,
        train: int,
        held_out: int,
        locales: Sequence[str] = LOCALES,
        first: int = 1950,
        last: int = 2049,
        seed: int = 0,
    ) -> None:
        """Raises ValueError for too many dates, or a locale that is unknown or writes no words."""
        check_number("last", last, least=1, below=9999, integer=True)
        check_number("first", first, least=1, most=last, integer=True)
        start, stop = date(first, 1, 1), date(last + 1, 1, 1)
        days = [start + timedelta(number) for number in range((stop - start).days)]
        _check_sizes(train, held_out, len(days), f"days of {first} to {last}")
        order = [days[i] for i in torch.randperm(len(days), generator=seeded(seed)).tolist()]
        self.train, self.held_out = order[:train], order[train : train + held_out]
        self.styles = list(product(_in_words(locales), self.FORMATS))
        # One year has every month, day and day of the week; each other year adds its digits.
        few = [day for day in days if day.year == first or (day.month, day.day) == (1, 1)]
        self.letters = Vocabulary(self.write(day, *style) for style in self.styles for day in few)
        self.iso = Vocabulary.characters("0123456789-")

    def write(self, day: date, locale: str, form: str = "long") -> str:
        """A date as a locale writes it: "4 mars 2021"."""
        return format_date(day, form, locale)

    def pairs(self, days: Sequence[date], seed: int = 0) -> tuple[Tensor, Tensor]:
        """Source ids (B, S) and target ids (B, 12), the ISO date between <start> and <end>.

        seed chooses the locale and the format of each date.
        """
        return self._pairs(days, seeded(seed))

    def batches(self, size: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of training dates without end, drawn with repetition."""
        check_number("size", size, least=1, integer=True)
        random, known = seeded(seed), len(self.train)
        drawn = (torch.randint(known, (size,), generator=random).tolist() for _ in count())
        return (self._pairs([self.train[i] for i in chosen], random) for chosen in drawn)

    def _pairs(self, days: Sequence[date], random: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = torch.randint(len(self.styles), (len(days),), generator=random).tolist()
        written = [self.write(d, *self.styles[i]) for d, i in zip(days, drawn, strict=True)]
        return self.letters.batch(written), self.iso.batch([d.isoformat() for d in days], ends=True)


def _in_words(locales: Sequence[str]) -> Sequence[str]:
    """The locales, once it is sure that they write no numbers but the day and the year."""
    if not locales or isinstance(locales, str):
        raise ValueError(f"locales must be several names such as 'fr_FR', got {locales!r}")
    for locale, form in product(locales, Dates.FORMATS):
        try:
            text = format_date(date(2003, 12, 25), form, Locale.parse(locale))
        except (UnknownLocaleError, ValueError, TypeError) as error:
            raise ValueError(f"locales has an unknown one: {locale!r}") from error
        if sorted(map(int, re.findall(r"\d+", text))) != [25, 2003]:
            raise ValueError(f"locales must write months in letters, {locale!r} writes {text!r}")
    return locales
