"""The Q/K/V bench without a browser: its numbers against torch, its words, its picture."""

import base64
import io
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

from transformer_lab.attention import attention
from transformer_lab.instruments import bench_still
from transformer_lab.instruments.bench import AttentionBench

ROOT = Path(__file__).parent.parent
KEYS = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.2], [0.3, -1.0]]
POINTS = [[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]


def bench(**changes):
    return AttentionBench(**{"query": [0.8, 0.6], "keys": KEYS, "values": POINTS, **changes})


def case(rng):
    """A random bench: 2 to 6 keys, numbers or points as values, small to large scores."""
    S = int(rng.integers(2, 7))
    size = 10.0 ** rng.uniform(-2, 1)
    return {
        "query": (size * rng.normal(size=2)).tolist(),
        "key": (size * rng.normal(size=(S, 2))).tolist(),
        "value": rng.normal(size=(S, 2) if rng.random() < 0.5 else S).tolist(),
        "temperature": float(10 ** rng.uniform(-2, 2)),
        "scale": float(rng.uniform(0, 3)),
    }


def test_weights_and_output_are_those_of_the_package():
    one = bench(temperature=0.5, scale=0.7)
    query, key, value = (torch.tensor(x) for x in ([[0.8, 0.6]], KEYS, POINTS))
    scores = query @ key.T * 0.7 / 0.5
    torch.testing.assert_close(torch.tensor(one.weights), scores.softmax(-1)[0])
    torch.testing.assert_close(
        torch.tensor(one.output), attention(query, key, value, scale=0.7 / 0.5)[0]
    )


def test_every_change_is_worked_out_again():
    one = bench(values=[1.0, 2.0, 3.0, 4.0])
    seen = []
    one.observe(lambda change: seen.append(change.new), "weights")
    one.query = [0.0, 0.0]
    assert one.weights == [0.25] * 4
    assert one.output == 2.5
    one.value = [0.0, 0.0, 0.0, 4.0]
    assert one.output == 1.0
    one.query = [3.0, 0.0]
    one.temperature = 0.01
    one.key = [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    assert one.weights == pytest.approx([0, 0, 0, 1])
    assert len(seen) == 4


def test_a_tensor_or_an_array_may_be_set_and_comes_back_as_a_list():
    keys = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.25], [0.5, -1.0]]  # exact in float32
    one = bench(keys=torch.tensor(keys), values=np.arange(4))
    one.query = torch.tensor([1.0, 2.0])
    assert one.query == [1.0, 2.0]
    assert one.key == keys
    assert one.value == [0.0, 1.0, 2.0, 3.0]


def test_the_browser_cannot_send_weights():
    one = bench()
    with pytest.raises(traitlets.TraitError, match="read-only"):
        one.weights = [1.0, 0.0, 0.0, 0.0]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_browser_calculates_as_torch_does(tmp_path):
    rng = np.random.default_rng(0)
    cases = [case(rng) for _ in range(300)]
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    script = (
        "import('./transformer_lab/instruments/view/mix.js').then(({ mixed }) => "
        f"console.log(JSON.stringify(require({str(tmp_path / 'cases.json')!r}).map(mixed))))"
    )
    run = subprocess.run(
        ["node", "-e", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    for numbers, found in zip(cases, json.loads(run.stdout), strict=True):
        query, key, value = (
            torch.tensor(numbers[name], dtype=torch.float64) for name in ("query", "key", "value")
        )
        exponents = key @ query * numbers["scale"] / numbers["temperature"]
        weights = exponents.softmax(-1)
        products = weights[:, None] * value.view(len(value), -1)
        expected = {
            "scores": key @ query,
            "logs": exponents,
            "logSum": exponents.logsumexp(-1),
            "weights": weights,
            "products": products,
            "output": products.sum(0),
        }
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(
                torch.tensor(found[name], dtype=torch.float64), tensor, rtol=1e-9, atol=1e-9
            )


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"keys": [[1.0, 0.0]]}, ValueError, r"keys has shape \(1, 2\); expected \(S, 2\)"),
        ({"keys": [[0.0, 0.0]] * 7}, ValueError, r"keys has shape \(7, 2\)"),
        ({"keys": [[1.0, 0.0, 0.0]] * 3}, ValueError, r"keys has shape \(3, 3\)"),
        ({"keys": [[1.0, 0.0], [1.0]]}, ValueError, "keys must be a full rectangle"),
        ({"query": [1.0]}, ValueError, r"query has shape \(1,\); expected \(2,\)"),
        ({"query": [1.0, float("nan")]}, ValueError, r"query must be finite; at \(1,\) it is nan"),
        ({"query": "ab"}, TypeError, "query must hold numbers"),
        ({"query": [2e6, 0]}, ValueError, r"query reaches 2e\+06; expected at most 1e\+06"),
        (
            {"values": [1.0, 2.0]},
            ValueError,
            r"values has shape \(2,\); expected \(4,\) or \(4, 2\)",
        ),
        ({"names": ["a", "b"]}, ValueError, r"names = \['a', 'b'\]; expected 4 different names"),
        ({"names": ["a", "a", "b", "c"]}, ValueError, "expected 4 different names"),
        ({"names": ["a", " ", "b", "c"]}, ValueError, "none empty"),
        ({"names": [1, 2, 3, 4]}, TypeError, "names must hold strings, not 1"),
        ({"temperature": 0}, ValueError, "temperature = 0; expected 0.01 to 100"),
        ({"temperature": float("nan")}, ValueError, "temperature = nan"),
        ({"temperature": "warm"}, TypeError, "temperature must be a number, not 'warm'"),
        ({"scale": -1}, ValueError, "scale = -1; expected 0 to 100"),
        ({"scale": True}, TypeError, "scale must be a number, not True"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=words):
        bench(**changes)


def test_a_later_change_is_checked_like_the_first():
    one = bench(values=[1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match=r"key has shape \(1, 2\); expected \(4, 2\)"):
        one.key = [[1.0, 0.0]]
    with pytest.raises(ValueError, match=r"value has shape \(4, 2\); expected \(4,\)"):
        one.value = POINTS
    with pytest.raises(ValueError, match="temperature = 0"):
        one.temperature = 0
    assert one.key == KEYS


def test_the_words_quote_the_numbers():
    assert repr(bench()) == (
        "The query (0.80, 0.60) among 4 keys, at temperature 1. "
        "Weights: a 0.42, b 0.35, c 0.10, d 0.13. Output: (0.11, 0.54)."
    )
    cold = bench(values=[9, 14, 19, -21], temperature=0.01, scale=2, query=[0, -1])
    assert repr(cold) == (
        "The query (0.00, −1.00) among 4 keys, at temperature 0.01 and scale 2. "
        "Weights: a 0.00, b 0.00, c 0.00, d 1.00. Output: −21.00."
    )


def test_the_last_bits_of_a_float_do_not_show_in_the_words():
    assert bench_still.number(0.125 - 1e-16) == bench_still.number(0.125 + 1e-16)
    assert bench_still.number(-1e-12) == "0.00"


def size_of(png):
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"values": [9.0, 14.0, -19.0, 21.0], "names": ["06:00", "noon", "the long one", "<b>"]},
        {"query": [0, 0], "keys": [[0, 0]] * 6, "values": [[0, 0]] * 6},
        {"keys": [[1, 1], [1, 1]], "values": [[0, 1], [2, 1]], "names": ["日本", "$x^2$"]},
        {"keys": [[1, 1], [1, 2]], "values": [5, 5], "temperature": 0.01},
    ],
    ids=["points", "numbers", "all zero", "two the same", "equal numbers"],
)
def test_the_picture_is_small_and_the_same_twice(changes):
    png = bench(**changes).picture()
    assert png == bench(**changes).picture()
    assert size_of(png) == (700, 330)
    assert 3_000 < len(png) < 15_000


def test_the_output_is_drawn_where_it_lies():
    from PIL import Image

    png = bench(query=[0, 0]).picture()  # the average of a square's corners: its middle
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    rgb = np.array([204, 121, 167])
    centre = [bench_still.TOP + bench_still.SIDE / 2, bench_still.LEFT["values"] + 120]
    ball = np.argwhere(abs(pixels[:, :545] - rgb).sum(-1) < 12)
    assert len(ball) > 20
    assert abs(ball.mean(0) - centre).max() < 1.5


def test_the_page_carries_the_numbers_and_asks_nobody():
    one = bench(names=["</script>", "b", "c", "d"], title="<b>")
    page = one.to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["key"] == KEYS
    assert state["weights"] == one.weights
    assert state["start"]["names"][0] == "</script>"
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 100_000


def test_start_again_goes_back_to_what_was_given_first():
    one = bench(title="Mine")
    one.query = [5.0, 5.0]
    assert one.start["query"] == [0.8, 0.6]
    assert one.start["title"] == "Mine"


def test_a_question_comes_first_and_its_answer_is_kept():
    one = bench(predict=("Sharper?", ["yes", "no"]))
    assert one.figure().startswith("<figure><details>")
    one.answer = "yes"
    image = re.search(r"base64,([^\"]+)", one.figure())[1]
    assert base64.b64decode(image) == one.picture()
