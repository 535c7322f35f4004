"""translation.py: the pieces are the words, dates parse back, nothing held out is trained on."""

import re
from datetime import date
from itertools import islice, pairwise

import pytest
import torch
from babel.dates import get_day_names, get_month_names
from num2words import num2words

from transformer_lab.translation import LOCALES, Dates, NumberWords, english, german


def test_the_pieces_of_every_number_join_to_its_word() -> None:
    for number in range(10_000):
        assert "".join(german(number)) == num2words(number, lang="de")
        assert " ".join(english(number)) == num2words(number).replace(",", "").replace("-", " ")


def test_german_says_units_before_tens() -> None:
    assert german(42) == ("zwei", "und", "vier", "zig")
    assert english(42) == ("forty", "two")
    assert german(16) == ("sech", "zehn")
    assert german(721) == ("sieben", "hundert", "ein", "und", "zwanzig")


def test_a_number_that_has_no_pieces_is_named() -> None:
    with pytest.raises(ValueError, match="5000000"):
        german(5_000_000)


def test_no_held_out_number_is_trained_on() -> None:
    task = NumberWords(300, 200, below=1_000, seed=3)
    assert len(set(task.train)) == 300
    assert len(set(task.held_out)) == 200
    assert not set(task.train) & set(task.held_out)
    assert NumberWords(300, 200, below=1_000, seed=3).train == task.train
    assert NumberWords(300, 200, below=1_000, seed=4).train != task.train


def test_batches_are_seeded_and_hold_training_pairs() -> None:
    task = NumberWords(50, 50, below=1_000)
    source, target = next(task.batches(8, seed=1))
    again = next(task.batches(8, seed=1))
    assert torch.equal(source, again[0])
    assert torch.equal(target, again[1])
    known = {(english(number), german(number)) for number in task.train}
    for s, t in zip(source, target, strict=True):
        assert (tuple(task.english.decode(s)), tuple(task.german.decode(t))) in known
        assert t[0] == task.german.START


@pytest.mark.parametrize(
    ("train", "held_out", "said"),
    [
        (0, 5, "train must be a whole number at least 1, got 0"),
        (5, 0, "held_out must be a whole number at least 1, got 0"),
        (600, 401, r"train \(600\) and held_out \(401\) .* 1000 numbers below 1000"),
    ],
)
def test_splits_that_do_not_fit_are_named(train: int, held_out: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NumberWords(train, held_out, below=1_000)


def says(number: int, without: int) -> bool:
    """The digits stand as tens and units, of the whole or of its thousands."""
    return without in (number % 100, number // 1_000 % 100)


@pytest.mark.parametrize(("without", "below"), [(42, 10_000), (97, 1_000)])
def test_the_compositional_split_keeps_two_digits_apart(without: int, below: int) -> None:
    task = NumberWords(500, 10, below=below, seed=1, without=without)
    assert [n for n in task.train if says(n, without)] == []
    assert [n for n in task.held_out if not says(n, without)] == []
    assert len(set(task.train)) == 500
    assert len(set(task.held_out)) == 10


def test_the_compositional_split_is_seeded() -> None:
    first, again, other = (
        NumberWords(200, 9, below=1_000, seed=seed, without=42) for seed in (1, 1, 2)
    )
    assert (first.train, first.held_out) == (again.train, again.held_out)
    assert first.train != other.train
    assert first.held_out != other.held_out


def test_both_languages_say_an_unseen_number_where_its_digits_stand() -> None:
    numbers = [*range(3_000), *range(41_980, 43_060), *range(99, 1_000_000, 9_991)]
    assert any(says(n, 42) for n in numbers if n >= 100_000)
    for number in numbers:
        said = "forty two" in " ".join(english(number))
        assert said == ("zwei und vier zig" in " ".join(german(number))) == says(number, 42)
    assert not says(420, 42)


def test_a_compositional_split_still_shows_each_word_of_the_unseen_number() -> None:
    task = NumberWords(800, 100, seed=0, without=42)
    assert {"forty", "two"} <= {word for number in task.train for word in english(number)}
    assert {pair for n in task.held_out for pair in pairwise(english(n))} >= {("forty", "two")}


@pytest.mark.parametrize("without", [0, 20, 40, 100, -42, 42.5])
def test_a_number_of_one_word_cannot_be_left_out(without: float) -> None:
    with pytest.raises(ValueError, match=f"without must .* got {without}"):
        NumberWords(10, 10, without=without)


def test_a_compositional_split_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"held_out \(11\) must be at most 990 .* 42 and 10 with"):
        NumberWords(10, 11, below=1_000, without=42)


def parsed(text: str, locale: str) -> date:
    """A second reader of dates: two numbers, and the name of a month."""
    months = {name: n for n, name in get_month_names("wide", "format", locale).items()}
    day, year = sorted(map(int, re.findall(r"\d+", text)))
    (month,) = {months[word] for word in re.findall(r"[^\W\d_]+", text) if word in months}
    return date(year, month, day)


DATES = Dates(3_000, 200, seed=0)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_written_date_parses_back(locale: str) -> None:
    for day in DATES.train[:300]:
        for form in DATES.FORMATS:
            text = DATES.write(day, locale, form)
            assert parsed(text, locale) == day
        assert get_day_names("wide", "format", locale)[day.weekday()] in text


def test_two_dates_are_never_written_alike() -> None:
    meant: dict[str, date] = {}
    for day in DATES.train[:1_000]:
        for style in DATES.styles:
            assert meant.setdefault(DATES.write(day, *style), day) == day


def test_dates_are_written_in_eight_locales() -> None:
    assert DATES.write(date(2021, 3, 4), "de_DE") == "4. März 2021"
    assert DATES.write(date(2021, 3, 4), "en_US", "full") == "Thursday, March 4, 2021"
    assert DATES.write(date(2021, 3, 4), "en_GB") == "4 March 2021"
    assert len({DATES.write(date(2021, 3, 4), locale) for locale in LOCALES}) == 8


def test_date_pairs_hold_the_same_day_on_both_sides() -> None:
    source, target = DATES.pairs(DATES.held_out, seed=5)
    assert target.shape == (200, 12)
    assert (target[:, 0] == DATES.iso.START).all()
    assert (target[:, -1] == DATES.iso.END).all()
    for day, read, written in zip(DATES.held_out, source, target, strict=True):
        text = "".join(DATES.letters.decode(read))
        assert text in {DATES.write(day, *style) for style in DATES.styles}
        assert "".join(DATES.iso.decode(written)) == day.isoformat()


def test_no_held_out_date_is_trained_on() -> None:
    assert not set(DATES.train) & set(DATES.held_out)
    assert len(set(DATES.train)) == 3_000
    assert len(set(DATES.held_out)) == 200
    known = {day.isoformat() for day in DATES.train}
    for _, target in islice(DATES.batches(64, seed=3), 5):
        assert {"".join(DATES.iso.decode(row)) for row in target} <= known


def test_dates_are_seeded() -> None:
    assert Dates(30, 20, LOCALES[:1], seed=1).train == Dates(30, 20, LOCALES[:1], seed=1).train
    assert Dates(30, 20, LOCALES[:1], seed=1).train != Dates(30, 20, LOCALES[:1], seed=2).train
    first, again, other = (next(DATES.batches(16, seed=seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)
    assert not torch.equal(DATES.pairs(DATES.train[:50], 1)[0], DATES.pairs(DATES.train[:50], 2)[0])


def test_every_day_of_all_years_can_be_read() -> None:
    few = Dates(1_000, 461, ["sv_SE", "fr_FR"], first=1998, last=2001)
    days = [*few.train, *few.held_out]
    assert {day.year for day in days} == {1998, 1999, 2000, 2001}
    assert date(2000, 2, 29) in days
    few.pairs(days)


@pytest.mark.parametrize("locale", ["xx_XX", "no such", "", 7, "ja_JP"])
def test_a_locale_that_does_not_write_months_in_letters_is_named(locale: object) -> None:
    with pytest.raises(ValueError, match=f"locales .*{locale!r}"):
        Dates(10, 10, ["de_DE", locale])


@pytest.mark.parametrize("locales", [[], "de_DE"])
def test_locales_are_several_names(locales: object) -> None:
    with pytest.raises(ValueError, match="locales must be several names"):
        Dates(10, 10, locales)


def test_dates_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"train \(300\) .* held_out \(66\) .* 365 days"):
        Dates(300, 66, first=2001, last=2001)
    with pytest.raises(
        ValueError, match="first must be a whole number at least 1 and at most 2000, got 2001"
    ):
        Dates(1, 1, first=2001, last=2000)
