"""The model designer without a browser: the browser's sums against counting, words and picture."""

import json
import re
import shutil
import struct
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets

from transformer_lab import counting
from transformer_lab.config import ModelConfig
from transformer_lab.instruments import designer_still
from transformer_lab.instruments.designer import ModelDesigner
from transformer_lab.presets import KINDS, PRESETS

ROOT = Path(__file__).parent.parent
VIEW = "./transformer_lab/instruments/view"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def node(script, cases, tmp_path):
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    code = f"const cases = require({str(tmp_path / 'cases.json')!r});\n{script}"
    run = subprocess.run(
        ["node", "-e", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def random_case(rng):
    """A random valid config of any kind, with what it is asked to do."""
    d_head, K, share = 2 * int(rng.integers(1, 65)), *map(int, rng.integers(1, 9, size=2))
    H = K * share
    config = ModelConfig(
        vocab_size=int(10 ** rng.uniform(0.5, 6)),
        d_model=H * d_head,
        n_heads=H,
        n_layers=int(rng.integers(1, 129)),
        d_ff=int(rng.integers(1, 65_537)),
        max_len=int(10 ** rng.uniform(0, 5.1)),
        n_kv_heads=K,
        norm=str(rng.choice(["pre", "post"])),
        norm_kind=str(rng.choice(["layer", "rms"])),
        activation=str(rng.choice(["relu", "gelu", "gelu_tanh", "swiglu"])),
        positions=str(rng.choice(["sinusoidal", "learned", "rotary", "alibi", "none"])),
        bias=bool(rng.random() < 0.5),
        tie_embeddings=bool(rng.random() < 0.5),
        n_segments=int(rng.integers(0, 4)),
        embedding_norm=bool(rng.random() < 0.5),
        pooler=bool(rng.random() < 0.5),
    )
    kind, T = str(rng.choice(KINDS)), int(rng.integers(1, config.max_len + 1))
    return config, kind, T, int(rng.integers(1, 65)), str(rng.choice(["float32", "bfloat16"]))


def all_cases():
    rng = np.random.default_rng(0)
    real = [(p.config, p.kind, p.config.max_len, 1, "float32") for p in PRESETS.values()]
    return real + [random_case(rng) for _ in range(200)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the browser's formulas give for all presets and 200 random configs."""
    script = f"""
import('{VIEW}/costs.js').then((m) => console.log(JSON.stringify(cases.map((c) => {{
  const bytes = c.precision === "float32" ? 4 : 2, T = c.T, B = c.B;
  return {{ formula: m.formula(c.config, c.kind), layer: m.layerFormula(c.config),
    cross: m.layerFormula(c.config, true), flops: m.flops(c.config, c.kind, T, B),
    crossover: m.crossover(c.config), rows: m.rows(c.config, c.kind),
    run: m.memory(c.config, c.kind, {{ T, B, bytes }}),
    train: m.memory(c.config, c.kind, {{ T, B, bytes, training: true }}) }};
}}))));"""
    cases = [
        {"config": asdict(config), "kind": kind, "T": T, "B": B, "precision": precision}
        for config, kind, T, B, precision in all_cases()
    ]
    return node(script, cases, tmp_path_factory.mktemp("node"))


def same(ours, theirs):
    """Equal, each amount exactly; above 2^53 a double holds it to one part in 10^15."""
    loose = {name: n if n < 2**53 else pytest.approx(n, rel=1e-15) for name, n in theirs.items()}
    return ours == loose


@needs_node
def test_the_browser_counts_as_the_package_does_exactly(found):
    assert len(found) == len(PRESETS) + 200
    for (config, kind, T, B, precision), ours in zip(all_cases(), found, strict=True):
        dtype = getattr(torch, precision)
        cost = {"B": B, "kind": kind}
        assert ours["formula"] == counting.formula(config, kind)
        assert ours["layer"] == counting.layer_formula(config)
        assert ours["cross"] == counting.layer_formula(config, cross=True)
        assert same(ours["flops"], counting.flops(config, T, **cost))
        assert ours["crossover"] == counting.crossover(config)
        assert same(ours["run"], counting.memory(config, T, dtype=dtype, **cost))
        training = counting.memory(config, T, dtype=dtype, training=True, **cost)
        assert same(ours["train"], training)


@needs_node
def test_every_row_is_the_sum_that_its_letters_say(found):
    for (config, kind, *_), ours in zip(all_cases(), found, strict=True):
        rows = {row["key"]: row for row in ours["rows"]}
        assert sum(row["count"] for row in rows.values()) == counting.formula(config, kind).total
        sizes = {
            "V": config.vocab_size, "D": config.d_model, "L": config.n_layers, "F": config.width_ff,
            "K": config.kv_heads, "d": config.d_head, "max_len": config.max_len,
        }  # fmt: skip
        for row in rows.values():
            assert sum(piece["count"] for piece in row["pieces"]) == row["count"]
            said = eval(row["letters"].replace("·", "*"), {"__builtins__": {}}, sizes)
            assert row["count"] == (0 if row["note"] else said), row


@needs_node
def test_what_the_controls_do_always_leaves_a_valid_config(tmp_path):
    """Random walks over all controls: Python's own check takes every state, and the same counts."""
    script = f"""
import('{VIEW}/designer.js').then((m) => {{
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const one = (list) => list[Math.floor(random() * list.length)];
  const keys = ["vocab_size", "d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff", "max_len",
    "T", "batch"];
  const words = {{ positions: ["sinusoidal", "learned", "rotary", "alibi", "none"],
    norm: ["pre", "post"], norm_kind: ["layer", "rms"], bias: [true, false],
    activation: ["relu", "gelu", "gelu_tanh", "swiglu"], tie_embeddings: [true, false] }};
  const kinds = ["decoder", "encoder", "encoder-decoder"], seen = [];
  let state = m.begin((name) => cases[0][name]);
  for (let i = 0; i < 600; i++) {{
    const key = one(keys), word = one(Object.keys(words));
    state = m.reduce(state, one([
      {{ type: "size", key, value: 2 ** (17 * random()) }},
      {{ type: "choice", key: word, value: one(words[word]) }},
      {{ type: "set", values: {{ kind: one(kinds) }} }}, {{ type: "wide", value: random() < 0.5 }},
      ...(i % 20 ? [] : [{{ type: "preset", preset: one(cases[0].start.presets) }}]),
    ]));
    const {{ sum, train, run, work }} = m.layout(state, cases[0].start.presets);
    seen.push([state, sum, work.all, train.all, run.all]);
  }}
  console.log(JSON.stringify(seen));
}});"""
    designer = ModelDesigner()
    for state, total, work, train, run in node(script, [designer.state()], tmp_path):
        designer.set_state({name: state[name] for name in ("config", "kind", "T", "batch")})
        assert designer.config == state["config"]
        assert designer.T == state["T"] <= designer.config["max_len"]
        assert designer.total == total
        # beyond 2^53 a sum in the browser may round, in the sixteenth digit
        assert designer.flops.total == pytest.approx(work, rel=1e-15, abs=0)
        assert designer.memory().total == pytest.approx(run, rel=1e-15, abs=0)
        assert designer.memory(training=True).total == pytest.approx(train, rel=1e-15, abs=0)


@needs_node
def test_python_and_the_browser_use_the_same_words_for_amounts(tmp_path):
    rng = np.random.default_rng(1)
    numbers = [int(10 ** rng.uniform(0, 16)) for _ in range(200)] + [999_499, 999_500, 1024, 1023]
    script = f"""
Promise.all([import('{VIEW}/amounts.js'), import('{VIEW}/designer.js')]).then(([a, d]) =>
  console.log(JSON.stringify(cases.map((n) => [a.short(n), a.size(n), d.aimed(n, 1e7),
    d.aimed(n, n + 1), 2 * d.gauge(n, 1e7) - 1]))));"""
    for n, (short, size, far, close, at) in zip(
        numbers, node(script, numbers, tmp_path), strict=True
    ):
        assert designer_still.short(n) == short
        assert designer_still.size(n) == size
        for target, words in ((10**7, far), (n + 1, close)):
            off = n / target - 1
            goal = {"target": target, "deviation": off, "reached": abs(off) <= 0.01}
            assert designer_still.aim(goal) == words
        assert designer_still.gauge(n / 10**7 - 1) == pytest.approx(at, abs=1e-6)


def test_a_preset_brings_its_kind_and_its_config():
    for name, preset in PRESETS.items():
        one = ModelDesigner(name)
        assert one.kind == preset.kind
        assert one.model_config == preset.config
        assert one.total == counting.formula(preset).total
        assert (one.T, one.kind) == (preset.config.max_len, preset.kind)
    assert ModelDesigner(PRESETS["bert-base"]).total == 109_482_240
    assert ModelDesigner("gpt2", "encoder").kind == "encoder"
    assert ModelDesigner({"vocab_size": 100}).config == asdict(ModelConfig(100))


def test_the_goal_follows_every_change():
    one, seen = ModelDesigner(ModelConfig(1000, 64), target=200_000), []
    one.observe(lambda change: seen.append(change.new), "total")
    assert one.goal == {"target": 200_000, "deviation": one.total / 200_000 - 1, "reached": False}
    one.config = {**one.config, "n_layers": 1}
    assert seen == [one.total]
    one.target = one.total + 100
    assert one.goal["reached"]
    one.target = None
    assert one.goal == {}
    with pytest.raises(traitlets.TraitError, match="read-only"):
        one.total = 1


def test_a_text_may_not_be_longer_than_the_config_that_shrank():
    one = ModelDesigner("gpt2", T=1024)
    one.config = {**one.config, "max_len": 16}
    assert one.flops == counting.flops(one.model_config, 16)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"config": "gpt5"}, ValueError, "config = 'gpt5'; expected one of gpt1, gpt2"),
        ({"config": 3}, TypeError, "config must be a ModelConfig, a dict, a preset or a name"),
        ({"config": {"vocab_size": 9, "d_model": 10}}, ValueError, r"d_model \(10\) must be div"),
        (
            {"config": ModelConfig(2_000_000)},
            ValueError,
            "vocab_size = 2,000,000; expected at most 1,048,576",
        ),
        ({"kind": "both"}, ValueError, "kind = 'both'; expected one of encoder, decoder"),
        ({"precision": "int8"}, ValueError, "precision = 'int8'; expected one of float32"),
        ({"T": 2000}, ValueError, "T = 2,000; expected 1 to 1,024"),
        ({"T": 1.5}, TypeError, r"T must be a whole number, not 1\.5"),
        ({"batch": 0}, ValueError, "batch = 0; expected 1 to 512"),
        ({"target": True}, TypeError, "target must be a whole number, not True"),
        ({"target": -5}, ValueError, "target = -5; expected 1 to"),
        ({"title": 3}, TypeError, "title must hold strings, not 3"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(arguments, error, words):
    with pytest.raises(error, match=words):
        ModelDesigner(**arguments)


def test_a_later_change_is_checked_like_the_first():
    one = ModelDesigner()
    with pytest.raises(ValueError, match="must be divisible"):
        one.config = {**one.config, "n_heads": 7}
    with pytest.raises(ValueError, match="batch = 1,000"):
        one.batch = 1000
    assert one.config["n_heads"] == 12


def test_the_words_quote_the_numbers():
    assert repr(ModelDesigner("gpt2", target=10**8)) == (
        "gpt2, a decoder, with D = 768, L = 12 and F = 3,072: 124,439,808 parameters, 31 % to read "
        "and write tokens, 46 % in the feed-forward parts. A forward pass over 1 × 1,024 tokens "
        "takes 292 GFLOP, training 2.61 GiB. 24 % over the target of 100 M."
    )
    own = repr(ModelDesigner(ModelConfig(1000), "encoder-decoder", T=8, batch=4))
    assert own.startswith("An encoder-decoder with D = 64, L = 2 and F = 256: 297,728 parameters")
    assert "4 × 8 tokens" in own


@pytest.mark.parametrize(
    "arguments",
    [
        {"target": 10**8},
        {"config": "llama-2-70b", "precision": "bfloat16"},
        {"config": ModelConfig(1, 2, 1, 1), "target": 10**13},
        {"config": "transformer-big", "title": "日本 $x$ <b>"},
    ],
    ids=["goal", "large", "small", "title"],
)
def test_the_picture_is_small_and_the_same_twice(arguments):
    png = ModelDesigner(**arguments).picture()
    assert png == ModelDesigner(**arguments).picture()
    assert struct.unpack(">II", png[16:24]) == (700, 318 if "target" in arguments else 264)
    assert 5_000 < len(png) < 15_000


def test_the_page_carries_the_presets_and_asks_nobody():
    one = ModelDesigner("minilm-l6", title="</script><b>")
    page = one.to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["start"]["title"] == "</script><b>"
    assert [p["name"] for p in state["start"]["presets"]] == list(PRESETS)
    assert state["total"] == 22_713_216
    assert not re.findall(r"https?://|src=|@import|fetch\(", page)
    assert len(page) < 100_000
