"""The block builder without a browser: its steps against the package's layers, and its profile."""

import itertools
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import traitlets

from transformer_lab.config import ModelConfig
from transformer_lab.counting import count, layer_formula
from transformer_lab.initialise import glorot
from transformer_lab.instruments import block, builder_still
from transformer_lab.instruments.block import DEPTHS, Parts, everything, profile
from transformer_lab.instruments.builder import SWITCHES, BlockBuilder
from transformer_lab.layers import EncoderLayer
from transformer_lab.models import LanguageModel

ROOT = Path(__file__).parent.parent
VIEW = "./transformer_lab/instruments/view"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
ALL = everything()
CONFIG = ModelConfig(50, 16, 4, 2)


def node(script, given, tmp_path):
    (tmp_path / "given.json").write_text(json.dumps(given), encoding="utf-8")
    code = f"const given = require({str(tmp_path / 'given.json')!r});\n{script}"
    run = subprocess.run(["node", "-e", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def a_layer(**other):
    torch.manual_seed(0)
    return EncoderLayer(ModelConfig(50, 16, 4, 2, **other)).apply(glorot), torch.randn(2, 5, 16)


@pytest.mark.parametrize("parts", ALL, ids=lambda parts: parts.key)
def test_the_code_lines_are_what_runs(parts):
    layer, states = a_layer()
    lines = [step.line for step in block.steps(parts)]
    source = "\n    ".join(["def forward(self, states):", *lines, "return states"])
    scope = {}
    exec(source, scope)
    assert torch.equal(scope["forward"](layer, states), block.run(layer, parts, states))


@pytest.mark.parametrize("place", ["pre", "post"])
@pytest.mark.parametrize("norm_kind", ["layer", "rms"])
def test_with_all_parts_it_is_the_packages_own_layer(place, norm_kind):
    layer, states = a_layer(norm=place, norm_kind=norm_kind)
    assert torch.equal(block.run(layer, Parts(place=place), states), layer(states, causal=True))


def test_off_means_that_the_line_is_not_there():
    layer, x = a_layer()
    attend, feed = (lambda y: layer.attention(y, causal=True)), layer.feed_forward
    first, second = layer.attention_norm, layer.feed_forward_norm

    def run(**switches):
        return block.run(layer, Parts(**switches), x)

    assert torch.equal(run(feed_forward=False), x + attend(first(x)))
    assert torch.equal(run(attention=False), x + feed(second(x)))
    assert torch.equal(run(attention=False, place="post"), second(x + feed(x)))
    middle = x + attend(x)
    assert torch.equal(run(norm=False), middle + feed(middle))
    assert torch.equal(run(residual=False), feed(second(attend(first(x)))))
    assert torch.equal(run(residual=False, place="post"), second(feed(first(attend(x)))))
    assert torch.equal(run(attention=False, feed_forward=False), x)


def test_the_counts_of_the_steps_are_those_of_the_module():
    for place, bias, activation in itertools.product(
        ["pre", "post"], [True, False], ["gelu", "swiglu"]
    ):
        config = ModelConfig(50, 16, 4, 2, norm=place, bias=bias, activation=activation)
        parts = Parts(place=place)
        assert sum(block.counts(parts, config)) == count(EncoderLayer(config)).total
        model = count(LanguageModel(config))
        assert block.final(parts, config) == model["final norm"]
    without = sum(block.counts(Parts(attention=False), CONFIG))
    assert without == layer_formula(CONFIG).only("feed-forward")
    assert block.counts(Parts(attention=False, feed_forward=False), CONFIG) == []


def test_the_gradient_is_that_of_the_packages_own_model():
    """The deepest pre-norm stack, run by LanguageModel itself, seed by seed."""
    logs = []
    for seed in range(block.SEEDS):
        model, tokens, targets = block._model(seed, "layer", "gelu", True)
        states = []

        def keep(_, __, out, into=states):
            into.append(out)

        hooks = [layer.register_forward_hook(keep) for layer in model.layers]
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        for hook in hooks:
            hook.remove()
        found = torch.stack([g.norm().log() for g in torch.autograd.grad(loss, states)])
        logs.append(found - found[-1])
    ours = torch.tensor(profile(Parts(), DEPTHS[-1]).gradient[1:], dtype=torch.float64)
    torch.testing.assert_close(ours, torch.stack(logs).mean(0).exp(), rtol=1e-9, atol=0)


def test_the_profiles_tell_what_each_part_is_for():
    deep = DEPTHS[-1]
    whole, post = profile(Parts(), deep), profile(Parts(place="post"), deep)
    assert 1 < whole.gradient[0] < 20
    assert 0.1 < post.gradient[0] < 20
    assert profile(Parts(norm=False), deep).gradient[0] > 1e4
    assert profile(Parts(norm=False, residual=False), deep).gradient[0] < 1e-6
    assert profile(Parts(residual=False), deep).alike[-1] > 0.99
    assert whole.alike[-1] < 0.95
    assert profile(Parts(attention=False), deep).alike[-1] < 0.5


def test_a_layer_with_nothing_in_it_passes_everything():
    empty = profile(Parts(attention=False, feed_forward=False), 4)
    assert empty.gradient == pytest.approx([1] * 5)
    assert len(set(np.round(empty.alike, 12))) == 1
    assert empty.weights == []


def test_a_profile_has_a_number_for_each_place():
    for parts in ALL:
        found = profile(parts, 2)
        assert len(found.gradient) == len(found.alike) == 3
        assert len(found.weights) == (2 if parts.attention or parts.feed_forward else 0)
        assert np.isfinite(block.logs(found)).all()
        assert all(-1 <= x <= 1 + 1e-9 for x in found.alike)


def test_the_users_random_numbers_are_left_alone():
    block._model.cache_clear()
    profile.cache_clear()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    BlockBuilder(depth=1)
    assert torch.equal(before, torch.get_rng_state())


def test_there_are_24_layers_and_each_has_its_key():
    assert len(ALL) == len({parts.key for parts in ALL}) == 24
    assert Parts(norm=False, place="post").key == Parts(norm=False).key == "pre r-af"


@needs_node
def test_the_browser_finds_each_layer_by_the_same_key(tmp_path):
    every = [
        dict(zip((*SWITCHES, "place"), (*on, place), strict=True))
        for on in itertools.product([True, False], repeat=4)
        for place in ("pre", "post")
    ]
    script = f"""import('{VIEW}/builder.js').then(({{ keyOf }}) =>
      console.log(JSON.stringify(given.map(keyOf))));"""
    assert node(script, every, tmp_path) == [Parts(**one).key for one in every]


@needs_node
def test_what_the_browser_reads_out_is_what_torch_measured(tmp_path):
    """200 random places, as they stand in the sentence below the chart."""
    rng = np.random.default_rng(0)
    cases, exact = [], []
    while len(cases) < 200:
        parts, depth = ALL[rng.integers(len(ALL))], int(rng.choice(DEPTHS[:5]))
        measure = str(rng.choice(["gradient", "alike", "weights"]))
        found = profile(parts, depth)
        values = getattr(found, measure)
        at = int(rng.integers(measure == "weights", depth + 1))
        if not values or (measure == "gradient" and at == depth):
            continue
        data = np.array(block.logs(found), "<f4").tobytes().hex()
        cases.append({"data": data, "depth": depth, "measure": measure, "at": at})
        exact.append(values[at - (measure == "weights")])
    script = f"""import('{VIEW}/builder.js').then((m) => console.log(JSON.stringify(given.map(
    (c) => {{
      const bytes = new Uint8Array(Buffer.from(c.data, "hex"));
      const found = m.unpacked(new DataView(bytes.buffer), c.depth);
      return m.sentence(c, found);
    }}))));"""
    for case, number, said in zip(cases, exact, node(script, cases, tmp_path), strict=True):
        if case["measure"] == "alike":
            shown = float(re.search(r"cosine of (−?[\d.]+)", said)[1].replace("−", "-"))
            assert abs(shown - number) < 0.005 + 1e-5
            continue
        text = re.search(r"is (\S+?)(?: times|\.$)", said)[1]
        digits, _, raised = text.partition("·10")
        raised = raised.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        shown = float(digits) * 10 ** int(raised or 0)
        assert shown == pytest.approx(number, rel=0.0501), said


@needs_node
def test_python_and_the_browser_write_a_ratio_alike(tmp_path):
    rng = np.random.default_rng(2)
    numbers = [*(10 ** rng.uniform(-12, 9, 300)).tolist(), 1.0, 0.9, 0.01, 0.00999, 9999.0, 1e4]
    script = f"""import('{VIEW}/block_chart.js').then(({{ ratio }}) =>
      console.log(JSON.stringify(given.map(ratio))));"""
    assert node(script, numbers, tmp_path) == [builder_still.ratio(x) for x in numbers]


def test_every_switch_is_worked_out_again():
    one, seen = BlockBuilder(depth=2), []
    one.observe(lambda change: seen.append(change.new), "parameters")
    assert one.parameters == 3_152_384
    one.attention = False
    assert seen == [one.parameters] == [2_099_712 + 1024]
    assert one.code == [
        "x = self.feed_forward_norm(states)",
        "x = self.feed_forward(x)",
        "states = states + x",
    ]
    assert one.gradient == profile(one.parts, 2).gradient
    assert set(one.profiles) == {"pre rn-f 2", "pre rnaf 2", "post rnaf 2"}
    one.place, one.depth = "post", 4
    assert len(one.gradient) == len(one.alike) == 5
    assert len(one.weights) == 4
    with pytest.raises(traitlets.TraitError, match="read-only"):
        one.parameters = 1


def test_the_config_says_what_is_counted_and_where_the_norm_stands():
    one = BlockBuilder(ModelConfig(9, 64, 4, 8, norm="post", norm_kind="rms", bias=False))
    assert (one.place, one.depth) == ("post", 8)
    assert one.parameters == layer_formula(one._config).total
    assert one.gradient == profile(Parts(place="post"), 8, "rms", "gelu", False).gradient


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"config": 3}, TypeError, "config must be a ModelConfig, not 3"),
        ({"config": ModelConfig(9, 1 << 17)}, ValueError, "d_model = 131,072; expected at most"),
        ({"residual": 1}, TypeError, "residual must be True or False, not 1"),
        ({"feed_forward": None}, TypeError, "feed_forward must be True or False, not None"),
        ({"depth": 5}, ValueError, "depth = 5; expected one of 1, 2, 4, 6, 8, 12, 16, 24"),
        ({"depth": 2.0}, TypeError, r"depth must be a whole number, not 2\.0"),
        ({"config": ModelConfig(9, n_layers=3)}, ValueError, "depth = 3; expected one of"),
        ({"title": 3}, TypeError, "title must hold strings, not 3"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(arguments, error, words):
    with pytest.raises(error, match=words):
        BlockBuilder(**arguments)


def test_a_later_change_is_checked_like_the_first():
    one = BlockBuilder(depth=1)
    with pytest.raises(ValueError, match="place = 'side'; expected 'pre' or 'post'"):
        one.place = "side"
    with pytest.raises(TypeError, match="norm must be True or False"):
        one.norm = 0
    assert one.place == "pre"


def test_the_words_quote_the_numbers():
    assert repr(BlockBuilder()) == (
        "A pre-norm layer with all its parts at D = 512: 3,152,384 parameters. Before training, "
        "below a stack of 6 layers the gradient is 2.3 times that at the top, and two tokens have "
        "a mean cosine of 0.60 at the top."
    )
    bare = repr(BlockBuilder(residual=False, norm=False, attention=False, depth=1))
    assert bare.startswith("A layer without residual, norm and attention at D = 512: 2,099,712")
    assert "a stack of 1 layer " in bare


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"config": ModelConfig(9, 512, 8, 24, norm="post"), "title": "日本 $x$ <b>"},
        {"attention": False, "feed_forward": False, "depth": 1},
        {"norm": False, "residual": False, "depth": 24},
    ],
    ids=["pre", "post", "empty", "vanishing"],
)
def test_the_picture_is_small_and_the_same_twice(arguments):
    png = BlockBuilder(**arguments).picture()
    assert png == BlockBuilder(**arguments).picture()
    assert struct.unpack(">II", png[16:24]) == (700, 340)
    assert 4_000 < len(png) < 15_000


def test_the_page_carries_every_layer_and_asks_nobody():
    page = BlockBuilder(title="</script><b>").to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["start"]["title"] == "</script><b>"
    expected = {f"{parts.key} {depth}" for parts in ALL for depth in DEPTHS}
    assert state["profiles"].keys() == expected
    assert set(state["blocks"]) == {parts.key for parts in ALL}
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 100_000
