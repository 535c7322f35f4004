import math
import subprocess
import sys

import pytest
import torch

from transformer_lab import claims
from transformer_lab.claims import ClaimFailed, claim, ledger, read_ledger

ROW = {
    "lesson": '"02"',
    "sentence": '"The spread is <{value} ({low} to {high})."',
    "measure": '"standard deviation of 20,000 scores"',
    "bound": "[0.5, 2.0]",
    "source": '"measured here"',
}


def text(id="spread", without=(), **changes):
    row = {key: value for key, value in (ROW | changes).items() if key not in without}
    return f"[{id}]\n" + "\n".join(f"{key} = {value}" for key, value in row.items())


@pytest.fixture
def entry(monkeypatch):
    """Put one entry, changed as asked, into an otherwise empty ledger."""

    def put(**changes):
        monkeypatch.setattr(claims, "ledger", lambda: read_ledger(text(**changes)))

    put()
    return put


def test_the_courses_own_ledger_is_valid():
    assert all(entry.id == id for id, entry in ledger().items())


def test_a_sentence_shows_mean_least_and_greatest_with_the_digits_asked_for(entry):
    entry(digits=2)
    shown = claim("spread", [1.0, 1.5, 1.12])
    assert repr(shown) == "The spread is <1.2 (1.0 to 1.5)."


@pytest.mark.parametrize(
    "measured",
    [1.5, torch.tensor(1.5), [1.5], (1.5, 1.5), torch.tensor([1.5, 1.5]), [torch.tensor(1.5)]],
)
def test_numbers_sequences_and_tensors_measure_alike(entry, measured):
    assert "<1.50 (1.50 to 1.50)" in repr(claim("spread", measured))


@pytest.mark.parametrize("truth", [True, torch.tensor(True), [True, True]])
def test_a_truth_value_counts_as_one(entry, truth):
    entry(bound="[1, 1]", sentence='"Both agree."')
    assert repr(claim("spread", truth)) == "Both agree."
    with pytest.raises(ClaimFailed):
        claim("spread", False)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (124_439_808, "124,439,808"),
        (1234.5, "1,230"),
        (9.996, "10.0"),
        (0.4, "0.400"),
        (-0.1237, "-0.124"),
        (6.21e-7, "6.21e-7"),
        (1.5e8, "1.50e8"),
        (0.0, "0.00"),
    ],
)
def test_numbers_are_printed_to_three_digits_and_counts_exactly(entry, value, printed):
    entry(bound="[-inf, 1e9]", sentence='"{value}"')
    assert repr(claim("spread", value)) == printed


@pytest.mark.parametrize(
    ("bound", "measured", "words"),
    [
        ("[-inf, 1e-6]", 0.0, "1e-6"),
        ("[0, 0.5]", 0.25, "0.5"),
        ("[3, inf]", 4, "3"),
        ("[0.9, 1.0]", 0.95, "0.9"),
        ("[1000, 1000]", 1000, "1,000"),
    ],
)
def test_a_bound_reads_as_the_side_that_can_fail(entry, bound, measured, words):
    entry(bound=bound, sentence='"{bound}"')
    assert repr(claim("spread", measured)) == words


def test_the_bound_includes_its_ends(entry):
    claim("spread", [0.5, 2.0])


@pytest.mark.parametrize("value", [0.499, 2.001, math.nan, math.inf, -math.inf])
def test_one_value_outside_the_bound_or_not_finite_fails_the_claim(entry, value):
    with pytest.raises(ClaimFailed) as failure:
        claim("spread", [1.0, value])
    for part in ("The spread is <", "0.5 to 2", f"1, {value:g}"):
        assert part in str(failure.value)


def test_an_open_bound_still_refuses_infinity(entry):
    entry(bound="[0, inf]")
    with pytest.raises(ClaimFailed):
        claim("spread", math.inf)


@pytest.mark.parametrize("measured", ["1.5", ["1.5"], [[1.0]], None, torch.ones(2, 2), 1j])
def test_what_is_not_a_number_is_refused(entry, measured):
    with pytest.raises(TypeError, match="expected numbers"):
        claim("spread", measured)


def test_an_empty_measurement_is_refused(entry):
    with pytest.raises(ValueError, match="empty"):
        claim("spread", [])


def test_an_unknown_id_is_answered_with_the_nearest(entry):
    with pytest.raises(ValueError, match=r"'spraed' is not in claims.toml; .*: spread"):
        claim("spraed", 1)


def test_a_trained_claim_wants_one_value_per_seed(entry):
    entry(trained="true", seeds="[0, 1, 2]")
    assert "seeds 0, 1, 2" in claim("spread", [1.0, 1.1, 1.2])._repr_html_()
    with pytest.raises(ValueError, match="2 values"):
        claim("spread", [1.0, 1.1])


def test_html_is_escaped_themed_and_names_the_belief_it_corrects(entry):
    entry(corrects='"it stays at <1>."')
    shown = claim("spread", 1.0)._repr_html_()
    assert "is &lt;1.00" in shown
    assert "You may have read: it stays at &lt;1&gt;. Not so here." in shown
    assert "var(--jp-content-font-color1" in shown
    assert "seed" not in shown


@pytest.mark.parametrize("key", ROW)
def test_a_missing_key_is_named(key):
    with pytest.raises(ValueError, match=rf"\[spread\]: missing keys \['{key}'\]"):
        read_ledger(text(without=[key]))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"bounds": "[0, 1]"}, r"unknown keys \['bounds'\]"),
        ({"lesson": "2"}, "lesson = 2; expected a string"),
        ({"lesson": '"2"'}, "lesson = '2'; expected two digits"),
        ({"id": "Spread"}, "id = 'Spread'"),
        ({"sentence": '""'}, "sentence = ''"),
        ({"measure": '""'}, "measure = ''"),
        ({"sentence": '"{mean}"'}, "sentence = '{mean}'"),
        ({"sentence": '"{}"'}, "sentence = '{}'"),
        ({"sentence": '"a { brace"'}, "sentence = 'a { brace'"),
        ({"sentence": '"{value:.2f}"'}, "sentence = '{value:.2f}'"),
        ({"bound": "3"}, "bound = 3; expected a list"),
        ({"bound": "[3]"}, "bound = "),
        ({"bound": "[2, 1]"}, "bound = "),
        ({"bound": "[nan, 1]"}, "bound = "),
        ({"bound": "[-inf, inf]"}, "at least one finite side"),
        ({"bound": "[0.5, 2]", "sentence": '"at least {bound}"'}, "at one end"),
        ({"bound": '["a", "b"]'}, "bound = "),
        ({"seeds": "3"}, "seeds = 3; expected a list"),
        ({"seeds": "[0.5]"}, "seeds = "),
        ({"digits": "4"}, "digits = 4"),
        ({"trained": "1"}, "trained = 1"),
        ({"trained": "true", "seeds": "[0, 1, 1]"}, "three or more"),
        ({"trained": "true", "seeds": "[0, 1, 2]", "sentence": '"{value}"'}, "{low} and {high}"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_by_name(change, complaint):
    with pytest.raises(ValueError, match=complaint) as refusal:
        read_ledger(text(**change))
    assert "claims.toml" in str(refusal.value)


def test_a_key_outside_any_claim_is_refused():
    with pytest.raises(ValueError, match="stands outside"):
        read_ledger('lesson = "02"\n')


@pytest.mark.parametrize(
    ("bound", "value", "margin"),
    [
        ("[2, 4]", 3, 1.0),
        ("[2, 4]", 3.5, 0.5),
        ("[2, 4]", 4, 0.0),
        ("[2, 4]", 5, -1.0),
        ("[2, 4]", 1.5, -0.5),
        ("[0, 0.2]", 0.05, 0.75),  # 0 is an end by nature
        ("[0, 0.2]", -0.05, -0.25),
        ("[0.6, 1.0]", 1.0, 1.0),  # and so is 1
        ("[0.6, 1.0]", 0.7, 0.25),
        ("[0, 1]", 0.0, 1.0),
        ("[0, 1]", 2, -1.0),
        ("[2, inf]", 3, 0.5),
        ("[2, inf]", 30, 1.0),
        ("[2, inf]", 1, -0.5),
        ("[-inf, 0]", 0.5, -0.5),
        ("[-inf, 1e-6]", 1e-7, 0.9),
        ("[3, 3]", 3, 1.0),
        ("[3, 3]", 4, -1.0),
        ("[2, inf]", math.nan, -1.0),
    ],
)
def test_a_margin_is_the_share_of_the_bounds_room_that_is_left(bound, value, margin):
    entry = read_ledger(text(bound=bound))["spread"]
    assert entry.margin(value) == pytest.approx(margin)


def test_the_ledger_prints_as_a_table(entry, capsys):
    entry(seeds="[0, 1]")
    claims.main()
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["lesson", "id", "bound", "seeds", "sentence"]
    assert row.split()[:8] == ["02", "spread", "0.5", "…", "2", "0", "1", "The"]
    assert head.index("sentence") == row.index("The spread")


def test_the_ledger_is_read_without_torch():
    code = "import sys, transformer_lab.claims as c; c.ledger(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
