"""The gradient horizon without a browser: its curves, its words, its picture."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from transformer_lab.instruments import horizon_curves as curves
from transformer_lab.instruments import horizon_still as still
from transformer_lab.instruments import wire
from transformer_lab.instruments.horizon import GradientHorizon
from transformer_lab.rnn import gradient_by_lag

ROOT = Path(__file__).parent.parent
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
NORMAL = -37  # below it float32 loses digits


def node(module, expression, **given):
    """`expression` with the module's exports and the names given, as JSON."""
    script = (
        f"import('./transformer_lab/instruments/view/{module}').then((m) => {{ "
        f"const given = JSON.parse(require('fs').readFileSync(0, 'utf8')); "
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


@pytest.mark.parametrize("cell", curves.CELLS)
def test_a_curve_is_the_packages_gradient_by_lag(cell):
    of = curves.setting(cell, 1.1, 2.5)
    written_out = gradient_by_lag(lambda: curves.build(*of), 40, curves.SEEDS, curves.WIDTH)
    sooner = gradient_by_lag(
        lambda: curves.Fused(curves.build(*of)) if cell != curves.ATTENTION else curves.build(*of),
        40,
        curves.SEEDS,
        curves.WIDTH,
    )
    torch.testing.assert_close(sooner, written_out, rtol=2e-3, atol=0)


@pytest.mark.parametrize("index", [0, 9, 17, 20, 30, 45, 66])
def test_a_kept_curve_is_what_is_measured_now(index):
    of = curves.kept()[index]
    kept, now = curves.grid()[of], curves.measure(*of)
    assert kept.shape == now.shape == (3, 100)
    clear = now > NORMAL
    np.testing.assert_allclose(kept[clear], now[clear], atol=0.05)
    assert (abs(kept - now)[now > curves.FLOOR] < 1).all()


def test_the_kept_grid_holds_every_cell_and_nothing_that_overflows():
    settings = curves.kept()
    assert {cell for cell, _, _ in settings} == set(curves.CELLS)
    numbers = np.stack(list(curves.grid().values()))
    assert numbers.shape == (len(settings), 3, 100)
    assert np.isfinite(numbers).all()
    assert numbers.max() < 38
    assert (numbers[..., 0] == 0).all()
    low = numbers[numbers <= curves.FLOOR]
    assert (low[low < -50] == np.float32(curves.UNDER)).all()


def test_the_curves_tell_the_measured_facts():
    at = {of: 10.0 ** np.median(logs.astype(float)[:, 50]) for of, logs in curves.grid().items()}
    assert at["tanh", 1.0, 0.0] < 1e-15
    assert at["LSTM", 1.0, 0.0] < 1e-9  # not much better
    assert at["GRU", 1.0, 0.0] < 1e-9
    assert at[curves.FORGETFUL, 1.0, 3.0] > 0.1
    assert at["orthogonal ReLU", 2.0, 0.0] > 1e4
    assert 0.1 < at[curves.ATTENTION, 1.0, 0.0] < 0.5
    assert GradientHorizon("tanh", 0.5).curve[-1] == 0.0


@needs_node
def test_two_hundred_read_outs_are_torchs_at_the_shown_precision():
    rng = np.random.default_rng(0)
    asked = [(int(rng.integers(len(curves.kept()))), int(rng.integers(100))) for _ in range(200)]
    one = GradientHorizon()
    numbers = np.frombuffer(one.grid, "<f4").reshape(-1, 3, 100)
    rows = {i: numbers[i].flatten().tolist() for i, _ in asked}
    shown = node(
        "lags.js",
        "given.asked.map(([i, lag]) => m.amount(m.summary(given.rows[i], 100).middle[lag]))",
        asked=asked,
        rows=rows,
    )
    for (i, lag), text in zip(asked, shown, strict=True):
        norms = 10.0 ** torch.from_numpy(numbers[i].copy()).double()
        norm = norms[:, lag].median().item()
        if norm <= 2.0**-149:
            assert text == "0 (underflow)"
            continue
        front, _, power = text.partition("·10")
        digits = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or "0"
        places = len(front.partition(".")[2])
        number = float(f"{front}e{digits}")
        assert abs(number - norm) <= (0.5001 * 10.0**-places) * 10.0 ** int(digits), (text, norm)


@needs_node
def test_python_and_the_browser_name_settings_and_numbers_alike():
    settings, start = curves.kept(), GradientHorizon().start
    logs = np.random.default_rng(1).uniform(-44, 20, 300).round(6).tolist()
    logs += [0.0, -3.0, 3.0, 2.999]
    found = node(
        "lags.js",
        "({ kept: m.keptSettings(given.start), titles: given.settings.map(m.settingTitle), "
        "labels: given.settings.map(m.settingLabel), amounts: given.logs.map(m.amount), "
        "glow: given.logs.map(m.glow) })",
        settings=settings,
        logs=logs,
        start=start,
    )
    assert [tuple(of) for of in found["kept"]] == settings
    assert found["titles"] == [still.title(of) for of in settings]
    assert found["labels"] == [still.short(of) for of in settings]
    assert found["amounts"] == [still.ten(log) for log in logs]
    ours = np.array([still.glow(log) for log in logs])
    assert abs(ours - found["glow"]).max() <= 1


def test_a_change_is_measured_and_travels_with_its_setting():
    one = GradientHorizon("LSTM", pins=["tanh"])
    seen = []
    one.observe(lambda change: seen.append(change.new["of"]), "measured")
    one.gain = 1.1
    assert seen == [[["LSTM", 1.1, 0.0], ["tanh", 1.0, 0.0]]]
    logs = wire.unpack_floats(one.measured["logs"], (2, 3, 100))
    np.testing.assert_array_equal(logs[0], curves.measure("LSTM", 1.1, 0.0))
    np.testing.assert_array_equal(logs[1], curves.grid()["tanh", 1.0, 0.0])
    one.forget_bias = 4  # not this cell's
    assert len(seen) == 1
    one.pins = []
    assert seen[-1] == [["LSTM", 1.1, 0.0]]
    assert one.at_lag == pytest.approx(10.0 ** float(np.median(logs[0][:, 50])), rel=1e-4)


def test_the_horizon_is_the_first_lag_below_a_thousandth():
    assert GradientHorizon("LSTM").horizon == 13
    assert GradientHorizon("attention").horizon is None
    curve = GradientHorizon("LSTM").curve
    assert curve[12] >= 1e-3 > curve[13]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"cell": "rnn"}, ValueError, "cell = 'rnn'; expected one of tanh"),
        ({"cell": ["GRU"]}, ValueError, r"cell = \['GRU'\]; expected one of"),
        ({"gain": 3}, ValueError, r"gain = 3; expected 0\.5 to 2"),
        ({"gain": "big"}, TypeError, "gain must be a number, not 'big'"),
        ({"gain": True}, TypeError, "gain must be a number, not True"),
        ({"gain": float("nan")}, ValueError, "gain = nan"),
        ({"forget_bias": -1}, ValueError, "forget_bias = -1; expected 0 to 5"),
        ({"lag": 100}, ValueError, "lag = 100; expected 0 to 99"),
        ({"lag": 1.5}, TypeError, r"lag must be a whole number, not 1\.5"),
        ({"pins": "tanh"}, TypeError, "pins must be a list of settings, not 'tanh'"),
        ({"pins": [()]}, ValueError, r"pins holds \(\); expected \(cell, gain, forget_bias\)"),
        ({"pins": [("rnn", 1)]}, ValueError, "cell = 'rnn'"),
        ({"pins": ["tanh", "GRU", "LSTM", "attention", ("tanh", 2)]}, ValueError, "at most 4"),
        ({"title": 3}, TypeError, "title must hold strings, not 3"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=words):
        GradientHorizon(**changes)


def test_a_later_change_is_checked_like_the_first():
    one = GradientHorizon()
    for name, value in (("cell", "rnn"), ("gain", 9), ("lag", -1)):
        with pytest.raises(ValueError, match=f"{name} = "):
            setattr(one, name, value)
    assert (one.cell, one.gain, one.lag) == ("LSTM", 1.0, 50)


def test_the_words_quote_the_numbers():
    assert repr(GradientHorizon()) == (
        "LSTM, gain 1: 50 steps back the gradient is 8e-12, relative to the last step; "
        "less than 1/1000 is left from lag 13 on."
    )
    assert repr(
        GradientHorizon("tanh", 0.5, lag=99, pins=["attention", ("orthogonal ReLU", 2)])
    ) == (
        "tanh, gain 0.5: 99 steps back the gradient is too small for float32, so exactly 0; "
        "less than 1/1000 is left from lag 5 on. Beside it: attention 2e-01, orth. ReLU ×2 4e+17."
    )
    assert "at least 1/1000 is left at every lag" in repr(
        GradientHorizon("LSTM + forget bias", forget_bias=3)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cell": "attention", "lag": 0},
        {"cell": "tanh", "gain": 0.5, "lag": 99, "title": "<b> $x^2$ 日本"},
        {"cell": "orthogonal ReLU", "gain": 2, "pins": ["tanh", "GRU", "LSTM", "attention"]},
    ],
    ids=["default", "attention", "underflow", "five"],
)
def test_the_picture_is_small_and_the_same_twice(changes):
    png = GradientHorizon(**changes).picture()
    assert png == GradientHorizon(**changes).picture()
    assert struct.unpack(">II", png[16:24])[0] == 700
    assert 5_000 < len(png) < 15_000


def test_the_page_carries_the_grid_and_asks_nobody():
    page = GradientHorizon(title="</script>").to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["cell"] == "LSTM"
    assert len(state["grid"]["$bytes"]) > 100_000
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 250_000


def test_a_question_comes_first():
    one = GradientHorizon(predict=("What is left?", ["half", "nothing"]))
    assert one.figure().startswith("<figure><details>")
    one.answer = "nothing"
    assert "<details>" not in one.figure()
