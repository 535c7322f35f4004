"""The temperature dial without a browser: its numbers against torch, its words, its picture."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from transformer_lab.attention import attention_weights
from transformer_lab.instruments import dial_numbers as dials
from transformer_lab.instruments.dial import TemperatureDial

ROOT = Path(__file__).parent.parent
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
RNG = np.random.default_rng(0)
CASES = [
    {
        "d": int(RNG.choice(dials.WIDTHS)),
        "S": int(RNG.choice(dials.SIZES)),
        "exponent": float(RNG.choice(dials.EXPONENTS)),
        "temperature": float(f"{10 ** RNG.uniform(-1, 1):.3g}"),
    }
    for _ in range(50)
]


def by_torch(queries, keys, d, S, exponent, temperature):
    """The same four numbers by torch: its softmax, its autograd's way through it."""
    q, k = torch.from_numpy(queries[:, :d]), torch.from_numpy(keys[:S, :d])
    scale = d**-exponent / temperature
    weights = attention_weights(q, k, scale=scale)
    x = q @ k.T * scale
    norms = [
        (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]).square().sum((1, 2)).sqrt()
        for p in weights.split(16)  # 256 whole Jacobians at once take 134 MB
    ]
    return (
        x.std(correction=0).item(),
        torch.special.entr(weights).sum(-1).mean().item(),
        (weights.max(-1).values > 0.99).double().mean().item(),
        torch.cat(norms).mean().item(),
    )


def node(expression, **given):
    script = (
        "const view = './transformer_lab/instruments/view/'; "
        "Promise.all(['draws', 'dial'].map((name) => import(`${view}${name}.js`)))"
        ".then(([m, dial]) => { const given = JSON.parse(require('fs').readFileSync(0, 'utf8')); "
        f"console.log(JSON.stringify({expression})); }})"
    )
    run = subprocess.run(
        ["node", "-e", script],
        cwd=ROOT,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_the_jacobian_is_the_one_that_autograd_finds():
    scores = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = torch.autograd.functional.jacobian(lambda x: x.softmax(-1), scores)
    p = scores.softmax(-1)
    torch.testing.assert_close(found, torch.diag(p) - torch.outer(p, p))


def test_the_numbers_are_those_of_torch():
    queries, keys = dials._drawn(3)
    for case in CASES[:30]:
        expected = by_torch(queries, keys, **case)
        found = dials.numbers(3, **case)
        np.testing.assert_allclose(found, expected, atol=1e-7, rtol=1e-9)


@needs_node
def test_the_browser_draws_the_same_numbers():
    given = [(0, 0), (1, 0), (99_999, 7), (524_287, 999)]
    bits = node("given.of.map(([i, seed]) => m.mixedBits(i, seed))", of=given)
    ours = [int(dials.mixed(np.array([i], np.uint32), seed)[0]) for i, seed in given]
    assert bits == ours
    found = node("given.of.map(([i, seed]) => m.normal(i, seed))", of=given)
    ours = [float(dials.normals(seed, i, 1)[0]) for i, seed in given]
    np.testing.assert_allclose(found, ours, rtol=1e-12, atol=1e-14)


@needs_node
def test_two_hundred_read_outs_are_torchs_at_the_shown_precision():
    shown = node(
        "(() => { const tables = m.scoreTables(5); return given.cases.map((c) => { "
        "const n = m.measured(tables[c.d], c.S, m.factor(c, c.exponent)); "
        "return [n, [n.spread.toFixed(3), n.entropy.toFixed(2), dial.percent(n.saturated), "
        "dial.small(n.gradient)]]; }); })()",
        cases=CASES,
    )
    queries, keys = dials._drawn(5)
    count = 0
    for case, (numbers, texts) in zip(CASES, shown, strict=True):
        expected = by_torch(queries, keys, **case)
        np.testing.assert_allclose(list(numbers.values()), expected, atol=1e-7, rtol=1e-9)
        for text, exact, places in zip(texts, expected, (3, 2, None, 3), strict=True):
            count += 1
            if text.startswith("under"):
                assert 0 < exact < 0.0005
                continue
            if places is None:
                exact, places = 100 * exact, 1 if "." in text else 0
            assert abs(float(text.split()[0]) - exact) <= 0.5 * 10**-places + 1e-6, (text, exact)
    assert count == 200


def test_queries_and_keys_have_spread_one_and_scores_grow_with_the_root_of_d():
    queries, keys = dials._drawn(0)
    assert queries.std() == pytest.approx(1, abs=0.01)
    assert keys.std() == pytest.approx(1, abs=0.01)
    for d in dials.WIDTHS:
        assert TemperatureDial(d, 256, 0).spread == pytest.approx(d**0.5, rel=0.06)
        assert TemperatureDial(d, 256).spread == pytest.approx(1, rel=0.06)


def test_the_usual_story_is_false_where_the_facts_say_so():
    for seed in range(3):
        ratio = {S: TemperatureDial(64, S, seed=seed).ratio for S in (4, 16, 64, 256)}
        assert ratio[4] < 1 / 3 < ratio[16] < 0.75
        assert 1 < ratio[64] < 1.3
        assert ratio[256] > 2
        shares = [TemperatureDial(d, 64, 0, seed=seed).saturated for d in (16, 64, 256, 512)]
        assert shares == sorted(shares)
        assert np.allclose(shares, [0.02, 0.19, 0.47, 0.60], atol=0.09)


def test_reading_follows_the_traits():
    dial = TemperatureDial()
    before = dial.numbers()
    dial.exponent = 0
    assert (dial.spread, dial.entropy, dial.saturated, dial.gradient) == dial.numbers(0.0)
    assert dial.numbers(0.5) == before
    dial.d = 256
    assert dial.spread > 12


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"d": 48}, ValueError, "d = 48; expected one of 4, 8, 16"),
        ({"S": 1}, ValueError, "S = 1; expected one of 2, 4"),
        ({"S": True}, TypeError, "S must be a number, not True"),
        ({"exponent": 2}, ValueError, r"exponent = 2; expected one of 0\.0, 0\.5, 1\.0"),
        ({"exponent": "half"}, TypeError, "exponent must be a number, not 'half'"),
        ({"temperature": 0}, ValueError, r"temperature = 0; expected 0\.1 to 10"),
        ({"temperature": float("nan")}, ValueError, "temperature = nan"),
        ({"temperature": None}, TypeError, "temperature must be a number, not None"),
        ({"seed": -1}, ValueError, "seed = -1; expected a whole number from 0 to 999"),
        ({"seed": 1.0}, ValueError, r"seed = 1\.0"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=words):
        TemperatureDial(**changes)


def test_a_later_change_is_checked_like_the_first():
    dial = TemperatureDial()
    for name in ("d", "S", "exponent", "temperature"):
        with pytest.raises(ValueError, match=f"{name} = 99"):
            setattr(dial, name, 99)
    assert (dial.d, dial.S, dial.exponent, dial.temperature) == (64, 64, 0.5, 1.0)


def test_the_words_quote_the_numbers():
    assert repr(TemperatureDial()) == (
        "Temperature dial, d = 64, 64 keys, temperature 1: the mean gradient is 0.217 without a "
        "scale and 0.184 with ÷ √d; 20 % and 0 % of the rows are saturated."
    )
    assert repr(TemperatureDial(1024, 2, 1, 2)).startswith(
        "Temperature dial, d = 1024, 2 keys, temperature 2: the mean gradient is 0.0"
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"d": 1024, "S": 2, "exponent": 1}, {"d": 4, "exponent": 0, "temperature": 0.1}],
    ids=["default", "two keys", "cold"],
)
def test_the_picture_is_small_and_the_same_twice(changes):
    png = TemperatureDial(title="$x$ <b>", **changes).picture()
    assert png == TemperatureDial(title="$x$ <b>", **changes).picture()
    assert struct.unpack(">II", png[16:24]) == (700, 250)
    assert 4_000 < len(png) < 15_000


def test_the_page_carries_only_the_settings_and_asks_nobody():
    page = TemperatureDial(256, title="</script>").to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert (state["d"], state["S"], state["start"]["seed"]) == (256, 64, 0)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 60_000


def test_a_question_comes_first():
    one = TemperatureDial(predict=("The gradient is …", ["smaller", "about equal", "larger"]))
    assert one.figure().startswith("<figure><details>")
    one.answer = "smaller"
    assert "<details>" not in one.figure()
