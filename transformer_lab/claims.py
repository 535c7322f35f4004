"""The ledger of claims: a sentence of the course, the number measured for it, and its bound.

    claim("score-spread-is-sqrt-d", spread)

prints the sentence with the number that you just measured, and raises `ClaimFailed` where the
bound written in `claims.toml` does not hold. `python -m transformer_lab.claims` prints the ledger.
"""

import difflib
import html
import math
import re
import tomllib
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

STYLE = (
    "border-left: 3px solid var(--jp-brand-color1, #0072B2); padding: 2px 12px; "
    "max-width: 44em; line-height: 1.5; color: var(--jp-content-font-color1, inherit)"
)


class ClaimFailed(AssertionError):
    """A measured value lies outside its bound, or is not a finite number."""


@dataclass(frozen=True)
class Entry:
    """One row of the ledger; raises ValueError that names the key where a row makes no sense."""

    id: str
    lesson: str  # the two digits at the head of the lesson's file name
    sentence: str  # may hold {value}, {low}, {high} (mean, least, greatest) and {bound}
    measure: str  # how the number is obtained
    bound: tuple[float, float]  # inclusive; -inf or inf leaves a side open
    source: str  # who says so, or "measured here"
    seeds: tuple[int, ...] = ()
    digits: int = 3  # significant digits printed
    trained: bool = False  # then one value per seed, and at least three seeds
    corrects: str = ""  # the common belief that the measurement contradicts

    def __post_init__(self) -> None:
        bound, seeds, words = self.bound, self.seeds, self.sentence
        for key in ("lesson", "sentence", "measure", "source", "corrects"):
            self._expect(isinstance(getattr(self, key), str), key, "a string")
        self._expect(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", self.id), "id", "lower-case-and-dashes")
        self._expect(re.fullmatch("[0-9]{2}", self.lesson), "lesson", "two digits")
        self._expect(words, "sentence", "words")
        self._expect(self.measure, "measure", "words")
        numbers = [type(side) in (int, float) for side in bound] == [True, True]
        self._expect(numbers and bound[0] <= bound[1], "bound", "[least, greatest]")
        self._expect(any(map(math.isfinite, bound)), "bound", "at least one finite side")
        self._expect(all(type(seed) is int for seed in seeds), "seeds", "a list of integers")
        self._expect(self.digits in (1, 2, 3), "digits", "1, 2 or 3")
        self._expect(type(self.trained) is bool, "trained", "true or false")
        try:
            words.format(**dict.fromkeys(("value", "low", "high", "bound"), ""))
        except (KeyError, IndexError, ValueError):
            self._expect(False, "sentence", "no braces but {value}, {low}, {high} and {bound}")
        one = "{bound}" not in words or self.one_sided is not None
        self._expect(one, "bound", "-inf, 0, 1 or inf at one end, since the sentence says {bound}")
        if self.trained:
            self._expect(len(set(seeds)) >= 3, "seeds", "three or more, since trained = true")
            spread = "{value}" not in words or ("{low}" in words and "{high}" in words)
            self._expect(spread, "sentence", "{low} and {high} beside a trained {value}")

    def _expect(self, holds: object, key: str, expected: str) -> None:
        if not holds:
            value = getattr(self, key)
            raise ValueError(f"claims.toml, [{self.id}]: {key} = {value!r}; expected {expected}")

    @property
    def one_sided(self) -> float | None:
        """The side of the bound that can fail; None where both can. 0 is a floor, 1 a ceiling."""
        least, greatest = self.bound
        if math.isinf(least) or least in (0, greatest):
            return greatest
        return least if greatest in (1, math.inf) else None

    def margin(self, value: float) -> float:
        """How far inside its bound a value lies: 0 on the edge, negative outside, at most 1.

        A share of the room: half the bound's width where both sides can fail, all of it where one
        side is 0 below or 1 above and so an end by nature; beside an open side, the size of the
        other. Where the bound is one number, 1 on it and -1 elsewhere.
        """
        least, greatest = self.bound
        if least == greatest or not math.isfinite(value):
            return 1.0 if value == least else -1.0
        sides = [
            (value - least, least not in (0, -math.inf)),
            (greatest - value, greatest not in (1, math.inf)),
        ]
        if math.isfinite(greatest - least):
            room = (greatest - least) / max(1, sum(fails for _, fails in sides))
        else:
            room = abs(greatest if math.isinf(least) else least) or 1.0
        inside = [distance for distance, fails in sides if fails or distance < 0]
        return max(-1.0, min(1.0, min(inside, default=room) / room))


class Claim:
    """A sentence that was just measured and held; `repr` is the sentence."""

    def __init__(self, entry: Entry, values: list[float]) -> None:
        self.entry, self.values = entry, values
        low, high = min(values), max(values)
        mean = low if low == high else math.fsum(values) / len(values)
        numbers = {"value": mean, "low": low, "high": high}
        texts = {name: _rounded(number, entry.digits) for name, number in numbers.items()}
        self.sentence = entry.sentence.format(**texts, bound=_plain(entry.one_sided))

    def __repr__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        entry = self.entry
        note = "Claim · measured here"
        if entry.seeds:
            note += f" · seed{'s' * (len(entry.seeds) > 1)} {', '.join(map(str, entry.seeds))}"
        lines = [_line(note, "0.85em"), _line(self.sentence, "1em")]
        if entry.corrects:
            lines.append(_line(f"You may have read: {entry.corrects} Not so here.", "0.85em"))
        return f'<div style="{STYLE}">{"".join(lines)}</div>'


def claim(id: str, measured: Any) -> Claim:
    """Hold a measurement against its bound in the ledger and return the sentence.

    `measured`: a number, a truth value, or a flat sequence or tensor of them. Every value must lie
    in the bound, or ClaimFailed is raised; so it is where a value is not finite. An unknown id, an
    empty sequence, or other than one value per seed of a trained claim is a ValueError.
    """
    entries = ledger()
    if id not in entries:
        near = difflib.get_close_matches(id, entries, n=3, cutoff=0) or ["none yet"]
        raise ValueError(f"id {id!r} is not in claims.toml; the nearest are: {', '.join(near)}")
    entry = entries[id]
    values = values_of(measured)
    if entry.trained and len(values) != len(entry.seeds):
        raise ValueError(f"measured has {len(values)} values; expected one per seed {entry.seeds}")
    least, greatest = entry.bound
    if not all(math.isfinite(value) and least <= value <= greatest for value in values):
        listed = ", ".join(f"{value:.6g}" for value in values)
        raise ClaimFailed(
            f"the claim {id} does not hold here.\n  sentence: {entry.sentence}\n"
            f"  bound:    {least:g} to {greatest:g}\n  measured: {listed}"
        )
    return Claim(entry, values)


def read_ledger(text: str) -> dict[str, Entry]:
    """Parse and validate the text of a ledger; ValueError names the entry and the key."""
    known = {field.name for field in fields(Entry)} - {"id"}
    required = {field.name for field in fields(Entry) if field.default is MISSING} - {"id"}
    entries = {}
    for id, row in tomllib.loads(text).items():
        if not isinstance(row, dict):
            raise ValueError(f"claims.toml: {id} stands outside any [claim-id]")
        for word, keys in (("missing", required - set(row)), ("unknown", set(row) - known)):
            if keys:
                raise ValueError(f"claims.toml, [{id}]: {word} keys {sorted(keys)}")
        for key in ("bound", "seeds"):
            if not isinstance(row.get(key, []), list):
                raise ValueError(f"claims.toml, [{id}]: {key} = {row[key]!r}; expected a list")
        entries[id] = Entry(
            **{"id": id, **row, "bound": tuple(row["bound"]), "seeds": tuple(row.get("seeds", ()))}
        )
    return entries


@cache
def ledger() -> dict[str, Entry]:
    """The course's claims by id, in the order of the file."""
    return read_ledger(resources.files(__package__).joinpath("claims.toml").read_text("utf-8"))


def values_of(measured: Any) -> list[float]:
    """The numbers of a measurement as `claim` takes it; TypeError or ValueError if it has none."""
    plain = measured.tolist() if hasattr(measured, "tolist") else measured
    items = list(plain) if isinstance(plain, Iterable) and not isinstance(plain, str) else [plain]
    values = [item.item() if hasattr(item, "item") else item for item in items]
    if not values:
        raise ValueError("measured is empty; expected a number or one number per seed")
    for value in values:
        if not isinstance(value, (int, float)):
            raise TypeError(f"measured holds {value!r}; expected numbers or truth values")
    return [+value for value in values]  # + turns a truth value into 0 or 1


def _rounded(value: float, digits: int) -> str:
    """`value` with `digits` significant digits; an integer exactly, since counts are exact."""
    if isinstance(value, int):
        return f"{value:,}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -4 <= power < 6:
        return f"{float(f'{mantissa}e{power}'):,.{max(0, digits - 1 - power)}f}"
    return f"{mantissa}e{power}"


def _plain(side: float | None) -> str:
    if isinstance(side, int):
        return f"{side:,}"
    return "" if side is None else re.sub(r"e([+-])0", r"e\1", f"{side:g}")


def _line(text: str, size: str) -> str:
    return f'<div style="font-size: {size}">{html.escape(text, quote=False)}</div>'


def main() -> None:
    """Print the ledger as a table."""
    rows = [("lesson", "id", "bound", "seeds", "sentence")]
    for entry in ledger().values():
        least, greatest = entry.bound
        seeds = " ".join(map(str, entry.seeds)) or "–"
        rows.append((entry.lesson, entry.id, f"{least:g} … {greatest:g}", seeds, entry.sentence))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


if __name__ == "__main__":
    main()
