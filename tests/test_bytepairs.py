"""bytepairs.py: merges, ids and cuts equal those of the library tokenizers."""

import json
import sys
import unicodedata
from collections import Counter
from itertools import pairwise
from pydoc_data.topics import topics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from transformer_lab.bytepairs import BYTES, BytePairs, cut

LIBRARY_CUT = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
# Characters that this Python's Unicode does not know may be letters to the library's newer one.
KNOWN = st.characters(exclude_categories=("Cs", "Cn"))
TRICKY = st.sampled_from(
    [*"aZé字ßـ१Ⅻ²½一_'’!… \n\t\r\x1c\x1f\x85\u00a0\u200b\u3000", "😀", "'ll", "'S"]
)
TEXT = st.lists(KNOWN | TRICKY | TRICKY, max_size=40).map("".join)
RUNS = st.lists(st.tuples(st.sampled_from("ab é"), st.integers(1, 9)), min_size=1, max_size=40).map(
    lambda runs: "".join(letter * times for letter, times in runs)
)
WORDS = "".join(topics[name] for name in ("assert", "while", "lambda", "numbers"))


def library_cut(text: str) -> list[str]:
    return [text[start:end] for _, (start, end) in LIBRARY_CUT.pre_tokenize_str(text)]


def library_trained(texts: list[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = LIBRARY_CUT
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def in_library_letters(token: bytes) -> str:
    """The library writes byte BYTES[n] as a printable letter: itself, or U+0100 and on."""
    numbers = [BYTES.index(byte) for byte in token]
    return "".join(chr(BYTES[n] if n < 188 else 256 + n - 188) for n in numbers)


def assert_equal_to_library(texts: list[str], vocab_size: int, unseen: str) -> None:
    ours, theirs = BytePairs.train(texts, vocab_size), library_trained(texts, vocab_size)
    merges = json.loads(theirs.to_str())["model"]["merges"]
    assert [[in_library_letters(part) for part in pair] for pair in ours.merges] == merges
    assert [in_library_letters(token) for token in ours.tokens] == sorted(
        theirs.get_vocab(), key=theirs.get_vocab().__getitem__
    )
    for text in [*texts, unseen]:
        assert ours.encode(text) == theirs.encode(text).ids


def test_every_known_character_is_cut_as_the_library_cuts_it() -> None:
    text = "".join(
        f"a{c}1{c}!{c} {c}"
        for c in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(c) not in ("Cs", "Cn", "Co")
    )
    assert cut(text) == library_cut(text)


@settings(max_examples=500, deadline=None)
@given(TEXT)
def test_a_text_is_cut_where_the_library_cuts_it(text: str) -> None:
    assert cut(text) == library_cut(text)
    assert "".join(cut(text)) == text


def test_a_contraction_stands_alone_and_a_space_belongs_to_what_follows() -> None:
    assert cut("I'll go, 2 km.") == ["I", "'ll", " go", ",", " 2", " km", "."]
    assert cut("a   b\n\n") == ["a", "  ", " b", "\n\n"]


@pytest.mark.parametrize("vocab_size", [256, 257, 400, 1000])
def test_merges_and_ids_equal_the_library_on_documentation(vocab_size: int) -> None:
    assert_equal_to_library([WORDS], vocab_size, "A while-loop of 3 naïve 文字 😀\t\r\n")


@settings(max_examples=150, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=4), st.integers(256, 330), RUNS)
def test_merges_equal_the_library_where_many_pairs_are_equally_frequent(
    texts: list[str], vocab_size: int, unseen: str
) -> None:
    assert_equal_to_library(texts, vocab_size, unseen)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4), st.integers(256, 300), TEXT)
def test_merges_equal_the_library_on_any_known_characters(
    texts: list[str], vocab_size: int, unseen: str
) -> None:
    assert_equal_to_library(texts, vocab_size, unseen)


@settings(max_examples=100, deadline=None)
@given(RUNS, st.integers(1, 20))
def test_the_counts_that_are_mended_equal_counting_anew(text: str, n_merges: int) -> None:
    words = [[bytes([byte]) for byte in word.encode()] for word in cut(text)]
    learned = []
    for _ in range(n_merges):
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        ids = BytePairs(learned).tokens.index
        best = min(counts, key=lambda pair: (-counts[pair], ids(pair[0]), ids(pair[1])))
        learned.append(best)
        for word in words:
            for at in range(len(word) - 1):
                if tuple(word[at : at + 2]) == best:
                    word[at : at + 2] = [b"".join(best)]
    assert BytePairs.train(text, 256 + n_merges).merges == learned


@settings(max_examples=500, deadline=None)
@given(st.text())
def test_any_text_comes_back_from_its_ids(text: str) -> None:
    assert TRAINED.decode(TRAINED.encode(text)) == text
    assert TRAINED.decode(torch.tensor(TRAINED.encode(text), dtype=torch.long)) == text


TRAINED = BytePairs.train([WORDS, "naïve 文字 文字 😀 😀"], 700)


def test_the_first_merges_alone_are_the_encoding_at_that_size() -> None:
    small = BytePairs.train([WORDS, "naïve 文字 文字 😀 😀"], 300)
    assert small.merges == TRAINED.merges[:44]
    assert BytePairs(TRAINED.merges[:44]).encode(WORDS) == small.encode(WORDS)
    assert len(small) == 300


def test_one_text_is_not_read_as_many() -> None:
    assert BytePairs.train("abcabc", 257).merges == [(b"a", b"b")]
    assert BytePairs.train(iter(["abcabc"]), 257).merges == [(b"a", b"b")]


def test_training_stops_when_every_word_is_one_piece() -> None:
    assert BytePairs.train("abc abc", 9_000).tokens[256:] == [b"ab", b"abc", b" abc"]
    assert len(BytePairs.train("", 300)) == len(BytePairs.train([], 300)) == 256


def test_pieces_show_spaces_and_single_bytes() -> None:
    pieces = BytePairs.train("the\tthe\n \n the", 400).pieces
    assert {"the", "␣the", "⇥", "↵", "\\xe2", "\\x00"} <= set(pieces)


def test_bytes_that_make_no_character_are_marked() -> None:
    euro = TRAINED.encode("€")
    assert len(euro) == 3
    assert TRAINED.decode(euro[:2]) == "�"


@pytest.mark.parametrize("vocab_size", [255, -1, 300.0, "300"])
def test_a_vocabulary_smaller_than_the_bytes_is_named(vocab_size: object) -> None:
    with pytest.raises(ValueError, match=f"vocab_size .* from 256, got {vocab_size!r}"):
        BytePairs.train("abc", vocab_size)


@pytest.mark.parametrize(
    "merges", [[(b"ab", b"c")], [(b"a", b"")], [(b"a", b"b"), (b"c", b"d"), (b"a", b"b")]]
)
def test_merges_out_of_order_are_named(merges: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ValueError, match=rf"merges\[{len(merges) - 1}\] must join"):
        BytePairs(merges)


def test_what_is_no_text_is_named() -> None:
    with pytest.raises(TypeError, match="must be a str, got bytes: b'ab'"):
        TRAINED.encode(b"ab")
    with pytest.raises(TypeError, match="must be a str, got int: 97"):
        BytePairs.train(b"ab", 300)
    with pytest.raises(ValueError, match=r"lone surrogate at 2: '\\ud800'"):
        TRAINED.encode("ab\ud800")


@pytest.mark.parametrize("number", [-1, 700, 1.0])
def test_an_id_outside_the_vocabulary_is_named(number: float) -> None:
    with pytest.raises(ValueError, match=f"below 700, got {number}"):
        TRAINED.decode([5, number])
