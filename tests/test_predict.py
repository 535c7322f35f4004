"""Predict first: what is kept, what is said, and what a committed notebook shows."""

import math

import pytest
import traitlets

from transformer_lab import store
from transformer_lab.instruments import predict as module
from transformer_lab.instruments.predict import outcome, predict

OPTIONS = ["stays near 1", "grows 16-fold", "grows <256>-fold"]


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch):
    monkeypatch.setattr(module, "_asked", {})


def test_an_answer_is_kept_and_shown_beside_the_truth():
    predict("spread", "The spread …", OPTIONS).answer = "stays near 1"
    result = outcome("spread", "grows 16-fold")
    assert repr(result) == "You said: stays near 1. Measured: grows 16-fold."
    assert "stays near 1 ← you</li>" in result._repr_html_()
    assert "<b>grows 16-fold</b> ← measured</li>" in result._repr_html_()
    assert store.load("predictions", "spread") == {
        "question": "The spread …",
        "answer": "stays near 1",
        "first": "stays near 1",
        "measured": "grows 16-fold",
    }


def test_an_answer_from_the_browser_is_kept_like_any_other():
    asked = predict("spread", "The spread …", OPTIONS)
    asked.set_state({"answer": "grows 16-fold"})
    assert repr(outcome("spread", "grows 16-fold")).startswith("You said: grows 16-fold.")


def test_the_first_answer_is_remembered_when_it_is_changed():
    asked = predict("spread", "The spread …", OPTIONS)
    asked.answer = "stays near 1"
    asked.answer = "grows 16-fold"
    record = store.load("predictions", "spread")
    assert (record["answer"], record["first"]) == ("grows 16-fold", "stays near 1")


def test_an_answer_is_there_again_on_another_day():
    predict("spread", "The spread …", OPTIONS).answer = "grows 16-fold"
    module._asked.clear()
    assert predict("spread", "The spread …", OPTIONS).answer == "grows 16-fold"


def test_an_answer_that_no_longer_fits_the_question_is_left_out():
    predict("spread", "The spread …", OPTIONS).answer = "stays near 1"
    assert predict("spread", "The spread …", ["up", "down"]).answer is None
    assert predict("spread", "The spread …", low=0, high=1).answer is None


def test_an_unanswered_question_stops_nothing_and_writes_nothing():
    predict("spread", "The spread …", OPTIONS)
    assert repr(outcome("spread", "grows 16-fold")) == "Measured: grows 16-fold."
    assert not store.home().exists()


def test_what_a_notebook_keeps_of_the_question_never_tells_the_answer():
    asked = predict("spread", "The spread …", OPTIONS)
    before = repr(asked), asked.figure()
    asked.answer = "grows 16-fold"
    assert (repr(asked), asked.figure()) == before
    assert repr(asked) == (
        "Predict: The spread … (stays near 1 · grows 16-fold · grows <256>-fold)"
    )


def test_the_static_twin_lists_the_options_as_text_and_has_no_picture():
    data, _ = predict("spread", "Is <b> bold?", OPTIONS)._repr_mimebundle_()
    assert "Is &lt;b&gt; bold?" in data["text/html"]
    assert data["text/html"].count("<li>") == 3
    assert "<li>grows &lt;256&gt;-fold</li>" in data["text/html"]
    assert "image/png" not in data
    assert "application/vnd.jupyter.widget-view+json" in data


def test_a_slider_keeps_a_number_with_its_unit():
    asked = predict("lag", "Half is gone after …", low=0, high=50, step=5, unit="tokens")
    assert asked.step == 5
    assert repr(asked) == "Predict: Half is gone after … (0 to 50 tokens)"
    asked.answer = "35"
    result = outcome("lag", 12.345)
    assert repr(result) == "You said: 35 tokens. Measured: 12.3 tokens."
    drawn = result._repr_html_()
    assert drawn.count("<line ") == 3
    assert drawn.count("stroke-dasharray") == 1


def test_a_truth_outside_the_slider_still_lies_on_the_line():
    predict("lag", "Half is gone after …", low=0, high=50).answer = "50"
    drawn = outcome("lag", 100)._repr_html_()
    assert 'x1="580.0"' in drawn
    assert 'x1="300.0"' in drawn


@pytest.mark.parametrize("answer", ["", "no such option", "60", "nan"])
def test_an_answer_that_was_never_offered_is_refused(answer):
    for asked in (
        predict("spread", "?", OPTIONS),
        predict("lag", "?", low=0, high=50),
    ):
        with pytest.raises(traitlets.TraitError, match="expected"):
            asked.answer = answer
        assert asked.answer is None


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"options": ["one"]},
        {"options": ["same", "same"]},
        {"low": 0},
        {"low": 1, "high": 1},
        {"low": 0, "high": 1, "step": 0},
        {"low": 0, "high": 1, "options": ["a", "b"]},
        {"low": 0, "high": math.nan},
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(arguments):
    with pytest.raises(ValueError, match=r"predict\('spread'\) needs"):
        predict("spread", "?", **arguments)


def test_an_outcome_needs_its_question_and_one_of_its_options():
    with pytest.raises(ValueError, match=r"run the cell with predict\('spread', …\) first"):
        outcome("spread", "stays near 1")
    predict("spread", "?", OPTIONS)
    with pytest.raises(ValueError, match="measured = 'else'; expected one of"):
        outcome("spread", "else")


def test_the_exported_page_asks_the_question():
    page = predict("spread", "The spread …", OPTIONS).to_html()
    assert '"options":["stays near 1","grows 16-fold","grows \\u003c256>-fold"]' in page
    assert "This is my answer" in page
