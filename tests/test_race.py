"""The race without a browser: what it counts, what it measures, its words and its picture."""

import base64
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from transformer_lab.attention import MultiHeadAttention, attention_weights
from transformer_lab.config import ModelConfig
from transformer_lab.counting import layer_formula
from transformer_lab.instruments import race_times as laps
from transformer_lab.instruments import wire
from transformer_lab.instruments.race import Race
from transformer_lab.rnn import RNNCell, unroll

ROOT = Path(__file__).parent.parent
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


class Clock:
    """Stands in for the measurement: times that are known, and what was asked for."""

    def __init__(self):
        self.asked, self.cleared = [], 0

    def __call__(self, T, D):
        self.asked.append((T, D))
        return laps.Times(1e-4 * T, 2e-5 * T, 1e-7 * T * D, 1e-8 * T * T)

    def cache_clear(self):
        self.cleared += 1


@pytest.fixture
def clock(monkeypatch):
    one = Clock()
    monkeypatch.setattr(laps, "measure", one)
    return one


def longest_chain(output):
    """The most matrix products on one path of the graph that made this tensor."""
    known = {None: 0}
    stack = [output.grad_fn]
    while stack:
        node = stack[-1]
        before = [earlier for earlier, _ in node.next_functions]
        if missing := [earlier for earlier in before if earlier not in known]:
            stack += missing
            continue
        is_product = re.match(r"(Add|B)?[Mm]mBackward", type(node).__name__)
        known[node] = max(map(known.get, before), default=0) + bool(is_product)
        stack.pop()
    return known[output.grad_fn]


@pytest.mark.parametrize("T", [1, 2, 7, 40])
def test_the_depth_is_the_longest_chain_of_products_in_torchs_own_graph(T):
    inputs = torch.randn(1, T, 8)
    layer = MultiHeadAttention(8, 2)
    key, value = layer.keys_values(inputs)
    mixed = attention_weights(layer.queries(inputs), key) @ value
    attended = layer.output(mixed.transpose(1, 2).reshape(1, T, 8))
    torch.testing.assert_close(attended, layer(inputs))
    found = longest_chain(unroll(RNNCell(8, 8), inputs)[:, -1]), longest_chain(attended)
    assert found == laps.depth(T)


def test_the_multiplications_are_those_of_the_weights_and_the_table():
    T, D = 64, 32
    work, cell = laps.products(T, D), RNNCell(D, D)
    gate = cell.candidate
    assert work.rnn == T * (gate.from_input.weight.numel() + gate.from_state.weight.numel())
    layer = MultiHeadAttention(D, laps.HEADS)
    assert work.projections == T * sum(w.numel() for w in layer.parameters() if w.dim() == 2)
    parts = layer_formula(ModelConfig(10, d_model=D, n_heads=laps.HEADS))
    assert work.projections == T * sum(
        n for name, n in parts.items() if name.startswith("attention") and name.endswith("weight")
    )
    assert work.pairs == 2 * laps.HEADS * T * T * layer.d_head


def test_a_measurement_is_positive_kept_and_leaves_the_random_numbers_alone():
    laps.measure.cache_clear()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = laps.measure(16, 16)
    assert all(taken > 0 for taken in one)
    assert one.attention == one.projections + one.pairs
    assert torch.equal(torch.get_rng_state(), before)
    assert laps.measure(16, 16) is one


def test_one_measurement_is_bounded(monkeypatch):
    """No more than so many tokens are run, and no new round begins after the time is up."""
    lengths = []
    whole = laps.rnn.unroll
    monkeypatch.setattr(laps.rnn, "unroll", lambda c, x: lengths.append(x.shape[1]) or whole(c, x))
    monkeypatch.setattr(laps, "ENOUGH", 0.0)
    laps.measure.__wrapped__(4096, 16)
    assert lengths == [laps.MOST]
    monkeypatch.setattr(laps, "ENOUGH", 60.0)
    laps.measure.__wrapped__(16, 16)
    assert lengths == [laps.MOST] + [16] * laps.ROUNDS


def test_what_is_not_run_is_in_proportion(monkeypatch):
    """With a clock that ticks once for each call, all calls take 1; a part stands for the whole."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(laps.time, "perf_counter", lambda: next(ticks))
    found = laps.measure.__wrapped__(4 * laps.MOST, 16)
    assert found == (4, 4, 1 + 4, 4)
    assert laps.measure.__wrapped__(16, 16) == (1, 1, 2, 1)


def sent(one):
    return wire.unpack_floats(one.times, (len(laps.WIDTHS), len(laps.LENGTHS), 4))


def test_only_what_is_chosen_is_measured_at_first(clock):
    one = Race(64, 32)
    assert clock.asked == [(64, 32)]
    times = sent(one)
    assert (times > 0).any(-1).sum() == 1
    np.testing.assert_allclose(times[1, 2], [6.4, 1.28, 0.2048, 0.04096], rtol=1e-6)


def test_a_change_is_measured_and_what_was_measured_stays(clock):
    one = Race(64, 32)
    one.T = 128
    one.D = 16
    assert clock.asked[1:] == [(128, 32), (128, 16)]
    assert (sent(one) > 0).any(-1).sum() == 3
    assert one.milliseconds == pytest.approx(
        {"loop": 12.8, "fused": 2.56, "attention": 0.3686}, 1e-3
    )


def test_the_browser_may_ask_for_more_and_for_all_anew(clock):
    one = Race(64, 32)
    one._hear(one, {"do": "measure", "T": 4096, "D": 256}, [])
    assert clock.asked[-1] == (4096, 256)
    assert (sent(one) > 0).any(-1).sum() == 2
    one._hear(one, {"do": "again"}, [])
    assert clock.cleared == 1
    assert (sent(one) > 0).any(-1).sum() == 1
    one._hear(one, "nonsense", [])
    with pytest.raises(ValueError, match="T = 5; expected one of 16"):
        one._hear(one, {"do": "measure", "T": 5, "D": 16}, [])


def test_the_crossover_is_the_first_length_behind_the_last_win(clock, monkeypatch):
    # 1e-7·D·T + 1e-8·T² > 2e-5·T, so T > 2000 - 10·D
    assert Race(16, 64).crossover == 2048
    assert Race(16, 128).crossover == 1024
    assert Race(16, 256).crossover == 16
    ahead = laps.Times(1, 1, 0.1, 0.1)
    monkeypatch.setattr(laps, "measure", lambda T, D: ahead)
    assert Race(16, 64).crossover is None


def test_the_page_carries_every_time_and_asks_nobody(clock):
    page = Race(title="</script>").to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    times = np.frombuffer(base64.b64decode(state["times"]["$bytes"]), "<f4").reshape(-1, 4)
    assert len(times) == len(laps.WIDTHS) * len(laps.LENGTHS)
    assert (times > 0).all()
    assert set(clock.asked) == {(T, D) for T in laps.LENGTHS for D in laps.WIDTHS}
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 60_000


@needs_node
def test_the_browser_counts_alike_and_shows_two_hundred_times_at_their_precision(clock):
    rng = np.random.default_rng(0)
    times = (10.0 ** rng.uniform(-1.5, 3.2, 200)).astype(np.float32).astype(float).tolist()
    sizes = [(T, D) for T in laps.LENGTHS for D in laps.WIDTHS]
    script = (
        "import('./transformer_lab/instruments/view/race.js').then((m) => { "
        "const { times, sizes } = JSON.parse(require('fs').readFileSync(0, 'utf8')); "
        "console.log(JSON.stringify({ times: times.map(m.ms), "
        "work: sizes.map(([T, D]) => m.products(T, D)), "
        "depth: sizes.map(([T]) => m.depth(T)) })); })"
    )
    run = subprocess.run(
        ["node", "-e", script],
        cwd=ROOT,
        input=json.dumps({"times": times, "sizes": sizes}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["work"] == [laps.products(T, D)._asdict() for T, D in sizes]
    assert [(d["rnn"], d["attention"]) for d in found["depth"]] == [laps.depth(T) for T, _ in sizes]
    for text, exact in zip(found["times"], times, strict=True):
        number = text.removesuffix(" ms").replace(",", "")
        places = len(number.partition(".")[2])
        assert abs(float(number) - exact) <= 0.5001 * 10.0**-places


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"T": 100}, ValueError, "T = 100; expected one of 16, 32, .* 4096"),
        ({"T": "long"}, TypeError, "T must be a whole number, not 'long'"),
        ({"T": True}, TypeError, "T must be a whole number, not True"),
        ({"D": 512}, ValueError, "D = 512; expected one of 16, 32, 64, 128, 256"),
        ({"D": 64.0}, TypeError, r"D must be a whole number, not 64\.0"),
        ({"title": 3}, TypeError, "title must hold strings, not 3"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(clock, changes, error, words):
    with pytest.raises(error, match=words):
        Race(**changes)


def test_a_later_change_is_checked_like_the_first(clock):
    one = Race()
    for name, value in (("T", 7), ("D", 1)):
        with pytest.raises(ValueError, match=f"{name} = "):
            setattr(one, name, value)
    assert (one.T, one.D) == (1024, 64)


def test_words_and_picture_are_of_what_is_counted_so_no_machine_changes_them(clock, monkeypatch):
    one = Race()
    assert repr(one) == (
        "1,024 tokens of width 64: the RNN's chain is 1,024 matrix products long, attention's 4. "
        "Multiplications: 8.39 M and 151 M, 89 % of these for its 1,024² pairs."
    )
    assert one.depth == {"rnn": 1024, "attention": 4}
    assert one.products == {"rnn": 8388608, "projections": 16777216, "pairs": 134217728}
    png = one.picture()
    monkeypatch.setattr(laps, "measure", lambda T, D: laps.Times(9, 8, 7, 6))
    assert (Race().picture(), repr(Race())) == (png, repr(one))


@pytest.mark.parametrize(
    "changes",
    [{}, {"T": 16, "D": 256}, {"T": 4096, "D": 16, "title": "<b> $x^2$ 日本"}],
    ids=["default", "short", "long"],
)
def test_the_picture_is_small_and_the_same_twice(clock, changes):
    png = Race(**changes).picture()
    assert png == Race(**changes).picture()
    assert struct.unpack(">II", png[16:24])[0] == 700
    assert 5_000 < len(png) < 15_000


def test_a_question_comes_first(clock):
    one = Race(predict=("Which is slower?", ["the RNN", "attention"]))
    assert one.figure().startswith("<figure><details>")
    one.answer = "attention"
    assert "<details>" not in one.figure()
