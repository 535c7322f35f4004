"""The course's own small encoder: there without a network, and it has learned something."""

import json
from functools import partial

import pytest
import torch
from tokenizers import Tokenizer

from transformer_lab.checkpoints import COURSE, load_pretrained, read_safetensors
from transformer_lab.data import gaps, make
from transformer_lab.recording import record_attention

ODD = [
    "",
    " \n\t ",
    "😀",
    '<b>bold</b> & "quotes"',
    "東京は日本の首都です。",
    "Übermut",
    "\x00\u202e\ufffd",
    "[MASK] [PAD] [SEP]",
    "x" * 500,
    "a " * 126,
]


@pytest.fixture(scope="module")
def course():
    return load_pretrained("course")


@pytest.fixture(scope="module")
def texts():
    return make.paragraphs()


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_any_text_gives_finite_states(course, text: str) -> None:
    model, tokenizer = course
    ids, mask = tokenizer([text, "A name is bound."])
    with torch.no_grad():
        states = model(ids, mask)
        alone = model(*tokenizer(text))
    assert states.isfinite().all()
    assert (states[0, : alone.shape[1]] - alone[0]).abs().max() < 1e-4


def test_a_text_that_is_too_long_is_refused(course) -> None:
    with pytest.raises(ValueError, match="129 tokens, course reads at most 128"):
        course[1]("a " * 127)


def test_its_tokens_look_like_the_real_encoders(course) -> None:
    _, tokenizer = course
    read = tokenizer.tokens("The Function RETURNS None.")
    assert read == ["[CLS]", "the", "function", "returns", "none", ".", "[SEP]"]
    assert tokenizer.tokens("<b>😀</b>") == ["[CLS]", *"<b>", "[UNK]", *"</b>", "[SEP]"]
    assert tokenizer.tokens("a [MASK] is")[1:-1] == ["a", "[MASK]", "is"]
    pieces = tokenizer.tokens("Antidisestablishmentarianism")[1:-1]
    assert "".join(pieces).replace("##", "") == "antidisestablishmentarianism"
    assert all(piece.startswith("##") for piece in pieces[1:])


def test_a_text_comes_back_from_its_pieces(course) -> None:
    _, tokenizer = course
    for text in ("the function returns none.", "antidisestablishmentarianism"):
        assert tokenizer.decode(tokenizer(text)[0][0]) == text


def test_special_pieces_come_first(course) -> None:
    ids, mask = course[1](["[MASK] [UNK]", ""])
    assert ids.tolist() == [[gaps.CLS, gaps.MASK, gaps.UNK, gaps.SEP], [gaps.CLS, gaps.SEP, 0, 0]]
    assert mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_it_fills_gaps_in_text_it_has_not_read_better_than_counting(course, texts) -> None:
    model, _ = course
    tokenizer = Tokenizer.from_file(str(COURSE / "tokenizer.json"))  # has no limit of length
    learned, held_out = ([tokenizer.encode(text).ids for text in side] for side in texts)
    rows = gaps.rows_of(held_out, make.MAX_LEN)
    counts = gaps.Counts(learned, make.V)
    ours = gaps.score(partial(gaps.model_logits, model), rows)
    pairs = gaps.score(counts.neighbours, rows)
    alone = gaps.score(counts.unigram, rows)
    assert ours["gaps"] == pairs["gaps"] == alone["gaps"] > 1000
    assert ours["loss"] < pairs["loss"] < alone["loss"]
    assert ours["accuracy"] > pairs["accuracy"] > alone["accuracy"]


def test_the_file_carries_its_own_report() -> None:
    report = json.loads(read_safetensors(COURSE / "course.safetensors")[1]["report"])
    assert report["model"]["loss"] < report["neighbours"]["loss"] < report["unigram"]["loss"]


def test_no_held_out_paragraph_is_learned(texts) -> None:
    learned, held_out = texts
    assert len(held_out) > 100
    assert len(learned) > 8 * len(held_out)
    assert not set(learned) & set(held_out)


def test_hidden_pieces_are_masked_replaced_or_left_as_they_should_be() -> None:
    ids = torch.randint(0, 50, (200, 100))
    _, shown, chosen = gaps.hide(ids, 2000, torch.Generator().manual_seed(0))
    assert not chosen[ids < len(gaps.SPECIAL)].any()
    assert torch.equal(shown[~chosen], ids[~chosen])
    share = chosen[ids >= len(gaps.SPECIAL)].float().mean().item()
    masked = (shown[chosen] == gaps.MASK).float().mean().item()
    kept = (shown[chosen] == ids[chosen]).float().mean().item()
    assert [share, masked, kept] == pytest.approx([0.15, 0.8, 0.1], abs=0.02)


def test_counting_gives_probabilities() -> None:
    counts = gaps.Counts([[2, 7, 8, 7, 8, 3]], vocab_size=10)
    for table in (counts.alone, counts.after, counts.before):
        assert torch.allclose(table.sum(-1), torch.ones(table.shape[:-1]))
    assert counts.after[7].argmax() == 8
    assert counts.before[8].argmax() == 7


def test_the_same_tokenizer_is_learned_again() -> None:
    text = ["the name of a function", "the names of functions are names"] * 3
    assert make.learn_pieces(text).to_str() == make.learn_pieces(text).to_str()


def test_heads_differ(course) -> None:
    """Some head looks at the piece before, some at the piece after, some at neither."""
    model, tokenizer = course
    with record_attention(model) as weights, torch.no_grad():
        model(*tokenizer("The names in a class definition are bound in the local scope."))
    heads = torch.cat([table[0] for table in weights.values()])
    assert heads.shape[0] == 16
    before = heads.diagonal(-1, -2, -1).mean(-1)
    after = heads.diagonal(1, -2, -1).mean(-1)
    assert before.max() > 0.5
    assert after.max() > 0.5
    assert (before + after).min() < 0.25


def test_the_files_are_small() -> None:
    assert (COURSE / "course.safetensors").stat().st_size <= 1_500_000
    assert (COURSE / "tokenizer.json").stat().st_size <= 100_000
