"""The Q/K/V stepper without a browser: its numbers against torch, its words, its picture."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets

from transformer_lab.attention import attention, attention_weights
from transformer_lab.instruments.stepper import AttentionStepper
from transformer_lab.masks import causal_mask

ROOT = Path(__file__).parent.parent
X = [[1.0, 0.0, 1.0], [0.0, 2.0, 0.0], [1.0, 1.0, 0.0]]
W = [[1.0, 0.5], [0.0, 1.0], [-1.0, 0.0]]
QUERY = [[1.0, 0.0], [0.5, -1.0]]
KEY = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.25]]
VALUE = [[1.0], [2.0], [4.0]]


def direct(**changes):
    return AttentionStepper(**{"query": QUERY, "key": KEY, "value": VALUE, **changes})


def from_states(**changes):
    return AttentionStepper(
        **{"states": X, "query_weight": W, "key_weight": W, "value_weight": W, **changes}
    )


def tensors(*arrays):
    return [torch.tensor(a, dtype=torch.float64) for a in arrays]


def test_every_number_is_that_of_the_package():
    mask = torch.tensor([[True, False, True], [True, True, True]])
    one, (query, key, value) = direct(mask=mask, scale=0.7), tensors(QUERY, KEY, VALUE)
    found = tensors(one.scores, one.scaled, one.weights, one.output)
    expected = [
        query @ key.T,
        query @ key.T * 0.7,
        attention_weights(query, key, mask, 0.7),
        attention(query, key, value, mask, 0.7),
    ]
    torch.testing.assert_close(found, expected)


def test_queries_keys_and_values_come_from_the_states():
    one, (states, weight) = from_states(), tensors(X, W)
    torch.testing.assert_close(tensors(one.query)[0], states @ weight)
    assert one.key == one.value == one.query
    assert one.scale == pytest.approx(2**-0.5)


def test_a_weight_left_out_is_the_identity():
    one = AttentionStepper(X)
    assert one.query == one.key == one.value == X
    assert one.query_weight == np.eye(3).tolist()


def test_every_change_is_worked_out_again():
    one = from_states()
    before = one.output
    one.states = [[0.0] * 3] * 3
    assert one.weights == [[1 / 3] * 3] * 3
    assert one.output == [[0.0, 0.0]] * 3
    one.states = X
    assert one.output == before
    one.mask = causal_mask(3)
    assert one.weights[0] == [1.0, 0.0, 0.0]
    one.scale = 0
    assert one.weights[1] == [0.5, 0.5, 0.0]


def test_a_fully_masked_row_gives_zeros():
    one = direct(mask=[[False] * 3, [True] * 3], token=0)
    assert one.weights[0] == [0.0, 0.0, 0.0]
    assert one.output[0] == [0.0]
    assert repr(one).endswith("“q0” may look at nothing: its weights and its output are 0.")


def test_a_mask_over_the_keys_alone_counts_for_every_row():
    assert direct(mask=[True, True, False]).mask == [[True, True, False]] * 2


def test_a_tensor_with_a_gradient_may_be_given():
    weight = torch.nn.Linear(3, 2).weight.T
    one = AttentionStepper(torch.tensor(X, requires_grad=True), weight, weight)
    torch.testing.assert_close(tensors(one.query_weight)[0], weight.detach().double())
    assert one.value == X


def case(rng):
    T, S, d, v = (int(rng.integers(1, top)) for top in (11, 11, 9, 9))
    size = 10.0 ** rng.uniform(-2, 1)
    common = {"scale": float(rng.uniform(0, 2)), "states": None}
    if rng.random() < 0.5:
        D = int(rng.integers(1, 9))
        S, common["states"] = T, (size * rng.normal(size=(T, D))).tolist()
        shapes = {"query_weight": (D, d), "key_weight": (D, d), "value_weight": (D, v)}
    else:
        shapes = {"query": (T, d), "key": (S, d), "value": (S, v)}
    numbers = {name: (size * rng.normal(size=shape)).tolist() for name, shape in shapes.items()}
    return common | numbers | {"mask": (rng.random((T, S)) < 0.7).tolist()}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_browser_calculates_and_reads_out_as_torch_does(tmp_path):
    rng = np.random.default_rng(0)
    cases = [case(rng) for _ in range(200)]
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    script = (
        "Promise.all(['stages', 'cells'].map((name) => "
        "import(`./transformer_lab/instruments/view/${name}.js`))).then(([{ flow }, { fitted }]) =>"
        f"console.log(JSON.stringify(require({str(tmp_path / 'cases.json')!r}).map(flow).map((m) =>"
        "({ ...m, shown: m.output.map((row) => row.map((x) => fitted(x, 5))) })))))"
    )
    run = subprocess.run(
        ["node", "-e", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    for given, found in zip(cases, json.loads(run.stdout), strict=True):
        one = AttentionStepper(**given)
        for name in ("query", "key", "value", "scores", "scaled", "weights", "output"):
            torch.testing.assert_close(
                *tensors(found[name], getattr(one, name)), rtol=1e-9, atol=1e-9
            )
        shown = [text for row in found["shown"] for text in row]
        for text, exact in zip(shown, np.ravel(one.output), strict=True):
            if "e" not in text:
                decimals = len(text.partition(".")[2])
                shown = float(text.replace("−", "-"))
                assert abs(shown - exact) <= 0.5 * 10**-decimals + 1e-5


@pytest.mark.parametrize(
    ("make", "changes", "error", "words"),
    [
        (direct, {"query": None}, ValueError, r"give states, or query, key and value.*\['key'"),
        (AttentionStepper, {}, ValueError, "given: nothing"),
        (from_states, {"query": QUERY}, ValueError, "query cannot be given beside states"),
        (direct, {"key": [[1.0]] * 3}, ValueError, r"query \(2, 2\), key \(3, 1\)"),
        (direct, {"value": [[1.0]]}, ValueError, r"value \(S, v\); given: .*value \(1, 1\)"),
        (
            direct,
            {"query": [[0.0] * 9]},
            ValueError,
            r"query has shape \(1, 9\); expected two axes",
        ),
        (direct, {"query": [[0.0, 0.0]] * 11}, ValueError, r"at most 10 × 8"),
        (direct, {"query": [1.0, 2.0]}, ValueError, r"query has shape \(2,\)"),
        (
            direct,
            {"query": [[float("nan"), 1.0]]},
            ValueError,
            r"query must be finite; at \(0, 0\)",
        ),
        (direct, {"query": [[2e6, 1.0]]}, ValueError, r"query reaches 2e\+06"),
        (direct, {"query": [[True, False]]}, TypeError, "query must hold numbers, not bool"),
        (from_states, {"query_weight": [[1.0] * 3] * 2}, ValueError, r"layer\.weight\.T"),
        (from_states, {"key_weight": [[1.0]] * 3}, ValueError, "must have the same shape"),
        (direct, {"mask": [[1, 0, 1]] * 2}, TypeError, "mask must be boolean"),
        (direct, {"mask": [[True]]}, ValueError, r"mask has shape \(1, 1\); expected \(2, 3\)"),
        (direct, {"scale": -1}, ValueError, "scale = -1; expected 0 to 100"),
        (direct, {"scale": "big"}, TypeError, "scale must be a number, not 'big'"),
        (direct, {"tokens": ["a"]}, ValueError, r"tokens = \['a'\]; expected 2 strings"),
        (direct, {"tokens": "ab"}, ValueError, "tokens = 'ab'; expected 2 strings"),
        (direct, {"tokens": [1, 2]}, TypeError, "tokens must hold strings, not 1"),
        (direct, {"looked_at": ["a"]}, ValueError, "looked_at"),
        (direct, {"token": 2}, ValueError, "token = 2; expected 0 to 1"),
        (direct, {"step": "query"}, ValueError, "step = 'query'; expected one of given, scores"),
        (from_states, {"step": "given"}, ValueError, "expected one of query, key, value, scores"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(make, changes, error, words):
    with pytest.raises(error, match=words):
        make(**changes)


def test_a_later_change_is_checked_like_the_first():
    one = from_states()
    with pytest.raises(ValueError, match=r"states has shape \(1, 3\); expected \(3, 3\)"):
        one.states = [[1.0, 0.0, 1.0]]
    with pytest.raises(ValueError, match="query is worked out from"):
        one.query = QUERY
    with pytest.raises(traitlets.TraitError, match="read-only"):
        one.weights = [[1.0]]
    assert one.states == X


def test_the_words_quote_the_numbers():
    assert repr(direct(tokens=["it", "was"], looked_at=["the", "cat", "the"])) == (
        "Attention among 2 queries and 3 keys, d = 2, scale 0.71. “was” looks most at “the” (0): "
        "scaled score 0.35, weight 0.57. Its output: (1.90)."
    )
    masked = from_states(mask=causal_mask(3), scale=1, token=0)
    assert repr(masked) == (
        "Attention among 3 tokens, d = 2, scale 1.00, 3 of 9 cells masked. “a” looks most at “a”: "
        "scaled score 0.25, weight 1.00. Its output: (0.00, 0.50)."
    )


@pytest.mark.parametrize(
    "make",
    [
        from_states,
        direct,
        lambda: AttentionStepper(query=[[1.0]], key=[[1.0]], value=[[1.0]]),
        lambda: direct(mask=[[False] * 3] * 2),
        lambda: direct(tokens=["<b>", "日本\n"], looked_at=["$x$", "👩‍🔬", ""], title="Mine"),
        lambda: AttentionStepper(torch.ones(10, 8) * 9e5, mask=causal_mask(10)),
    ],
    ids=["states", "direct", "one token", "all masked", "strange tokens", "largest"],
)
def test_the_picture_is_small_and_the_same_twice(make):
    png = make().picture()
    assert png == make().picture()
    assert struct.unpack(">I", png[16:20]) == (700,)
    assert 1_500 < len(png) < 15_000


def test_the_page_carries_the_numbers_and_asks_nobody():
    one = direct(tokens=["</script>", "b"], title="<b>")
    page = one.to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["query"] == QUERY
    assert state["weights"] == one.weights
    assert state["start"]["tokens"][0] == "</script>"
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 100_000


def test_start_again_goes_back_to_what_was_given_first():
    one = direct(title="Mine")
    one.query = [[0.0, 0.0]] * 2
    assert one.start["query"] == QUERY
    assert one.start["states"] is None
