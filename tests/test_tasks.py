"""tasks.py: the pieces are the words, and no held-out number is trained on."""

import pytest
import torch
from num2words import num2words

from transformer_lab.tasks import NumberWords, english, german


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


@pytest.mark.parametrize(("train", "held_out"), [(0, 5), (5, 0), (600, 401)])
def test_splits_that_do_not_fit_are_named(train: int, held_out: int) -> None:
    with pytest.raises(ValueError, match=rf"\({train}\).*\({held_out}\).*\(1000\)"):
        NumberWords(train, held_out, below=1_000)
