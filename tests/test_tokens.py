"""tokens.py: pieces to ids and back."""

import pytest
import torch

from transformer_lab.tokens import Vocabulary, pad

WORDS = Vocabulary([["one", "two"], ["three", "two"]])


def test_a_text_comes_back_from_its_ids() -> None:
    text = ["two", "one", "three"]
    assert WORDS.decode(WORDS.encode(text)) == text
    assert WORDS.decode(WORDS.encode(text, ends=True)) == text
    assert WORDS.encode(text, ends=True)[0] == WORDS.START
    assert WORDS.encode(text, ends=True)[-1] == WORDS.END


def test_nothing_is_read_after_the_end() -> None:
    assert WORDS.decode(torch.tensor([1, *WORDS.encode(["one"]), 2, *WORDS.encode(["two"])])) == [
        "one"
    ]


def test_the_first_ids_are_pad_start_and_end() -> None:
    assert WORDS.pieces == ["<pad>", "<start>", "<end>", "one", "three", "two"]
    assert len(WORDS) == 6


def test_shorter_texts_are_padded_at_the_right() -> None:
    assert WORDS.batch([["one"], ["two", "three"]]).tolist() == [[3, 0], [5, 4]]
    assert pad([[7], [8, 9]], pad_id=5).tolist() == [[7, 5], [8, 9]]


def test_an_unknown_piece_is_named() -> None:
    with pytest.raises(ValueError, match="'four' is not one of the 6 pieces"):
        WORDS.encode(["one", "four"])


def test_a_text_comes_back_from_its_characters() -> None:
    letters = Vocabulary.characters("to be")
    assert letters.pieces[3:] == [" ", "b", "e", "o", "t"]
    assert letters.encode("bet") == [4, 5, 7]
    assert "".join(letters.decode(letters.encode("to be", ends=True))) == "to be"


def test_a_text_comes_back_from_its_words() -> None:
    text = "To be, or not to be:\nthat is the question"
    words = Vocabulary.words(text)
    assert words.pieces[3:7] == ["\n", " be", " is", " not"]
    assert "".join(words.decode(words.encode(text))) == text
    assert words.encode("To be:") == words.encode(["To", " be", ":"])
    assert words.batch(["To", "To be:"]).shape == (2, 3)


def test_an_unknown_character_or_word_is_named() -> None:
    with pytest.raises(ValueError, match="'x' is not one of the 8 pieces"):
        Vocabulary.characters("to be").encode("box")
    with pytest.raises(ValueError, match="' box' is not one of the 5 pieces"):
        Vocabulary.words("to be").encode("to box")
