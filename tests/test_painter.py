"""The mask painter without a browser: its numbers against torch, its words, its picture."""

import base64
import json
import math
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

from transformer_lab import masks
from transformer_lab.attention import attention_weights
from transformer_lab.instruments import flow, wire
from transformer_lab.instruments.painter import MaskPainter

ROOT = Path(__file__).parent.parent
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def power(mask, layers):
    """(M or identity) to the power of layers, in whole numbers."""
    step = (mask | torch.eye(len(mask), dtype=torch.bool)).double()
    return torch.linalg.matrix_power(step, layers) > 0


def leaky():
    mask = masks.causal_mask(6)
    mask[2, 5] = True
    return mask


@pytest.mark.parametrize("T", [1, 2, 5, 12])
@pytest.mark.parametrize("size", [1, 2, 3, 12])
def test_the_rules_are_those_of_the_package(T, size):
    equal = {
        "causal": masks.causal_mask(T),
        "window": masks.window_mask(T, size),
        "prefix": masks.prefix_mask(T, min(size, T)),
        "all": torch.ones(T, T, dtype=torch.bool),
        "none": torch.zeros(T, T, dtype=torch.bool),
    }
    for rule, expected in equal.items():
        for length in (0, T // 2, T):
            painter = MaskPainter(rule, T, length=length, width=size, prefix=size)
            padding = masks.padding_mask(torch.tensor([length]), T)[0]
            assert painter.mask == masks.combine(expected, padding).tolist(), (rule, length)
    padded = MaskPainter("padding", T, length=T - 1).mask
    assert padded == [[s < T - 1 for s in range(T)]] * T


def test_a_block_sees_itself_and_nothing_else():
    expected = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2), torch.ones(1, 1)).bool()
    assert MaskPainter("block", 5, block=2).mask == expected.tolist()


def test_weights_are_those_of_the_package():
    mask = leaky()
    mask[0] = False
    scores = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    painter = MaskPainter(mask, scores=scores)
    expected = attention_weights(torch.eye(6), scores.T, mask, scale=1.0)
    torch.testing.assert_close(torch.tensor(painter.weights), expected)
    assert painter.weights[0] == [0.0] * 6
    assert painter.weights[3][5] == 0


@pytest.mark.parametrize("layers", range(1, 7))
def test_reach_is_a_boolean_matrix_power(layers):
    rng = torch.Generator().manual_seed(layers)
    for T in (1, 2, 5, 12):
        mask = torch.rand(T, T, generator=rng) < 0.25
        assert MaskPainter(mask, layers=layers).reach == power(mask, layers).tolist()


def test_reach_is_what_a_gradient_says():
    """Attention layers with skip paths and random numbers: outputs depend on just these inputs."""
    mask, layers = leaky(), 3
    torch.manual_seed(0)
    maps = [torch.randn(4, 4, dtype=torch.float64) for _ in range(3 * layers)]

    def stack(x):
        for i in range(layers):
            q, k, v = (x @ each for each in maps[3 * i : 3 * i + 3])
            x = x + attention_weights(q, k, mask) @ v
        return x

    jacobian = torch.autograd.functional.jacobian(stack, torch.randn(6, 4, dtype=torch.float64))
    touched = jacobian.abs().amax((1, 3)) > 0
    assert MaskPainter(mask, layers=layers).reach == touched.tolist()


def test_across_a_source_is_heard_through_both_stacks():
    S, T = 5, 4
    rng = torch.Generator().manual_seed(3)
    parts = {
        "encoder": torch.rand(S, S, generator=rng) < 0.3,
        "decoder": masks.causal_mask(T),
        "cross": torch.rand(T, S, generator=rng) < 0.3,
    }
    painter = MaskPainter(source=S, target=T, part="cross")
    painter.masks = {name: mask.tolist() for name, mask in parts.items()}
    for layers in range(1, 5):
        painter.layers = layers
        # One map of all that there is: the source's inputs, its memory, the decoder's states.
        memory = power(parts["encoder"], layers)
        heard = torch.zeros(T, S, dtype=torch.bool)
        for _ in range(layers):
            self_attention = parts["decoder"] | torch.eye(T, dtype=torch.bool)
            heard = (self_attention.int() @ heard.int() > 0) | (
                parts["cross"].int() @ memory.int() > 0
            )
        assert painter.reach == heard.tolist()


def test_a_leak_is_named_cell_by_cell():
    assert MaskPainter(leaky()).leak == [[2, 5]]
    assert MaskPainter("causal").leak == []
    assert len(MaskPainter("all", 5).leak) == 10
    assert MaskPainter("all", 2, 4).leak == [[0, 3]]  # row 0 is position 2 of 4
    assert MaskPainter("all", 4, 2).leak == []
    three = MaskPainter(source=3, target=3)
    for part in ("encoder", "cross"):
        three.part = part
        assert three.leak == []


def test_one_leaking_cell_spreads_with_the_layers():
    painter = MaskPainter(leaky())
    assert painter.reach[3][5] is False
    painter.layers = 2
    assert painter.reach[3][5] is True


def test_what_is_set_as_mask_is_painted_into_the_part_in_hand():
    painter = MaskPainter(source=3, target=2)
    seen = []
    painter.observe(lambda change: seen.append(change.new), "leak")
    painter.mask = torch.ones(2, 2, dtype=torch.bool)
    assert painter.masks["decoder"] == [[True, True], [True, True]]
    assert painter.leak == [[0, 1]]
    assert seen == [[[0, 1]]]
    painter.part = "cross"
    assert painter.mask == [[True] * 3] * 2
    painter.masks = {**painter.masks, "cross": [[False] * 3] * 2}
    assert painter.mask == [[False] * 3] * 2
    assert painter.weights == [[0.0] * 3] * 2


def test_one_mask_may_change_its_size():
    painter = MaskPainter("causal", 4)
    painter.mask = [[True, False]]
    assert painter.masks == {"mask": [[True, False]]}
    assert len(painter.weights[0]) == len(painter.reach[0]) == 2


def test_the_browser_cannot_send_what_follows():
    with pytest.raises(traitlets.TraitError, match="read-only"):
        MaskPainter().reach = [[True]]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"mask": "diagonal"}, ValueError, "mask = 'diagonal'; expected one of causal, padding"),
        ({"mask": [[1, 0], [1, 1]]}, TypeError, r"mask must be boolean \(True = may look\)"),
        ({"mask": [[True], [True, False]]}, ValueError, "mask must be a full rectangle"),
        ({"mask": [True]}, ValueError, r"mask has shape \(1,\); expected \(T, S\), both 1 to 12"),
        ({"mask": torch.ones(13, 2).bool()}, ValueError, r"mask has shape \(13, 2\)"),
        ({"mask": [[True]], "T": 2}, ValueError, "T = 2, S = None; expected the mask's, 1 and"),
        ({"T": 0}, ValueError, "T = 0; expected 1 to 12"),
        ({"T": 2.5}, TypeError, "T must be a whole number, not 2.5"),
        ({"T": 4, "S": 3}, ValueError, "causal_mask needs whole numbers 1 <= T <= S"),
        ({"mask": "window", "T": 3, "S": 4}, ValueError, "mask = 'window' needs T = S"),
        ({"mask": "padding"}, ValueError, "mask = 'padding' needs length"),
        ({"length": 7}, ValueError, "length = 7; expected 0 to 6"),
        ({"layers": 7}, ValueError, "layers = 7; expected 1 to 6"),
        ({"layers": True}, TypeError, "layers must be a whole number, not True"),
        ({"width": 0}, ValueError, "width = 0; expected 1 to 12"),
        ({"source": 3}, ValueError, "source = 3, target = None; expected both or neither"),
        ({"source": 3, "target": 13}, ValueError, "target = 13; expected 1 to 12"),
        ({"source": 3, "target": 3, "T": 3}, ValueError, "mask, T and S belong to one mask"),
        ({"scores": [[1.0]]}, ValueError, r"scores has shape \(1, 1\); expected \(6, 6\)"),
        ({"scores": np.full((6, 6), 2e6)}, ValueError, r"scores reaches 2e\+06"),
        ({"scores": np.full((6, 6), np.nan)}, ValueError, "scores must be finite"),
        ({"seed": "one"}, TypeError, "seed must be a whole number, not 'one'"),
        ({"tokens": ["a"], "T": 2}, ValueError, "tokens has 1 names; expected 2"),
        ({"tokens": [1]}, TypeError, "tokens must hold strings, not 1"),
        ({"part": "decoder"}, ValueError, r"part = 'decoder'; expected one of \['mask'\]"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=words):
        MaskPainter(**changes)


def test_a_later_change_is_checked_like_the_first():
    painter = MaskPainter(source=3, target=2)
    with pytest.raises(ValueError, match=r"masks\['cross'\] has shape \(2, 2\); expected \(2, 3\)"):
        painter.masks = {**painter.masks, "cross": [[True] * 2] * 2}
    with pytest.raises(ValueError, match=r"masks has \['mask'\]; expected \['encoder'"):
        painter.masks = {"mask": [[True]]}
    with pytest.raises(ValueError, match=r"masks\['decoder'\]|masks\['cross'\]"):
        painter.mask = [[True]]
    assert painter.mask == [[True, False], [True, True]]


def test_the_words_quote_the_numbers():
    assert repr(MaskPainter()) == (
        "The mask, 6 × 6: 21 of 36 cells may look, 0 of them at the future. After 1 layer the "
        "last output hears from 6 of 6 inputs."
    )
    hole = leaky()
    hole[0] = False
    assert repr(MaskPainter(hole, layers=2)) == (
        "The mask, 6 × 6: 21 of 36 cells may look, 1 of them at the future. After 2 layers the "
        "last output hears from 6 of 6 inputs. Row 0 sees nothing."
    )
    assert repr(MaskPainter(source=3, target=1, part="cross")).startswith("The mask across, 1 × 3")


@pytest.mark.parametrize("rows", [1, 3])
def test_what_the_page_says_of_an_empty_row_is_what_torch_does(rows):
    """The four conventions, as the browser writes them out."""
    torch.manual_seed(0)
    S, mask = 6, masks.causal_mask(6)
    mask[:rows] = False
    x, scores = torch.randn(1, S, 4), torch.randn(S, S)
    assert (F.scaled_dot_product_attention(x, x, x, attn_mask=mask)[0, :rows] == 0).all()
    assert (attention_weights(x, x, mask)[0, :rows] == 0).all()
    infinite = scores.masked_fill(~mask, -math.inf).softmax(-1)
    assert infinite[:rows].isnan().all()
    assert not infinite[rows:].isnan().any()
    states = infinite @ x[0]
    again = (states @ states.T).masked_fill(~mask, -math.inf).softmax(-1) @ states
    assert again.isnan().all()
    assert (scores.masked_fill(~mask, -1e9).softmax(-1)[:rows] == 1 / S).all()
    module = torch.nn.MultiheadAttention(4, 1, batch_first=True)
    for mode in (module.train(), module.eval()):
        asked, _ = mode(x, x, x, attn_mask=~mask)
        assert asked[0, :rows].isnan().all()
        plain, _ = mode(x, x, x, attn_mask=~mask, need_weights=False)
        expected = module.out_proj.bias.expand(rows, -1)  # zeros, through the output projection
        torch.testing.assert_close(plain[0, :rows], expected)


def random_case(rng):
    """Three masks that belong together, or one, with scores, layers and the part in hand."""
    T, S = (int(n) for n in rng.integers(1, 13, 2))
    share = rng.random()

    def draw(rows, columns):
        return (rng.random((rows, columns)) < share).tolist()

    if rng.random() < 0.4:
        given = {"mask": draw(T, T if rng.random() < 0.7 else S)}
    else:
        given = {"encoder": draw(S, S), "decoder": draw(T, T), "cross": draw(T, S)}
    part = str(rng.choice(list(given)))
    scores = rng.normal(size=(12, 12)) * 10 ** rng.uniform(-1, 2)
    return {
        "masks": given,
        "part": part,
        "layers": int(rng.integers(1, 7)),
        "scores": scores.tolist(),
    }


@needs_node
def test_the_browser_calculates_as_torch_does(tmp_path):
    rng = np.random.default_rng(0)
    cases = [random_case(rng) for _ in range(200)]
    rules = [
        [rule, T, size]
        for rule in ("causal", "window", "prefix", "block", "all", "none")
        for T in (1, 4, 12)
        for size in (1, 2, 5)
    ]
    wide = [["causal", T, 0, S] for T, S in ((1, 5), (3, 12), (2, 3))]
    (tmp_path / "cases.json").write_text(json.dumps([cases, rules + wide]), encoding="utf-8")
    script = (
        "import('./transformer_lab/instruments/view/flow.js').then((f) => { const [cases, rules] = "
        f"require({str(tmp_path / 'cases.json')!r}); console.log(JSON.stringify([cases.map((c) => "
        "({ weights: f.weigh(c.masks[c.part], c.scores), first: f.first(c.masks, c.part, c.layers),"
        " reach: f.reach(c.masks, c.part, c.layers), leak: f.leaks(c.masks[c.part], c.part) })), "
        "rules.map(([rule, T, size, S]) => f.preset(rule, T, S ?? T, size))])); })"
    )
    run = subprocess.run(
        ["node", "-e", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    found, drawn = json.loads(run.stdout)
    for case, ours in zip(cases, found, strict=True):
        given = {name: torch.tensor(rows) for name, rows in case["masks"].items()}
        mask = given[case["part"]]
        T, S = mask.shape
        scores = torch.tensor(case["scores"], dtype=torch.float64)[:T, :S]
        weights = flow.weigh(mask, scores)
        torch.testing.assert_close(
            torch.tensor(ours["weights"], dtype=torch.float64), weights, rtol=1e-9, atol=1e-9
        )
        for text, exact in zip(np.ravel(ours["weights"]), weights.flatten().tolist(), strict=True):
            assert f"{text:.3f}" == f"{exact:.3f}"
        assert ours["reach"] == flow.reach(given, case["part"], case["layers"]).tolist()
        assert ours["first"] == flow.first(given, case["part"], case["layers"]).tolist()
        assert ours["leak"] == flow.leaks(mask, case["part"])
    for (rule, T, size, *S), rows in zip(rules + wide, drawn, strict=True):
        assert rows == flow.preset(rule, T, S[0] if S else T, size).tolist(), (rule, T, size)


def size_of(png):
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({}, 5_000),
        ({"mask": leaky(), "layers": 3, "title": "日本 $x^2$ <b>"}, 5_000),
        ({"T": 12, "mask": "none"}, 4_000),
        ({"T": 1}, 1_500),
        ({"T": 3, "S": 9}, 3_000),
        ({"source": 7, "target": 5, "length": 4, "layers": 2}, 5_000),
    ],
    ids=["causal", "leak", "none", "one", "cached", "three"],
)
def test_the_picture_is_small_and_the_same_twice(changes, least):
    png = MaskPainter(**changes).picture()
    assert png == MaskPainter(**changes).picture()
    assert size_of(png)[0] == 700
    assert least < len(png) < 15_000


def test_the_page_carries_the_masks_and_asks_nobody():
    painter = MaskPainter(leaky(), tokens=["</script>", "b", "c", "d", "e", "f"], title="<b>")
    page = painter.to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["masks"] == {"mask": leaky().tolist()}
    assert state["start"]["tokens"][0] == "</script>"
    scores = wire.unpack_floats(base64.b64decode(state["start"]["scores"]["$bytes"]), (1, 12, 12))
    assert np.isfinite(scores).all()
    assert not re.findall(r"https?://|src=|@import|fetch\(", page)
    assert len(page) < 100_000


def test_a_seed_gives_the_same_scores():
    assert MaskPainter(seed=4).weights == MaskPainter(seed=4).weights
    assert MaskPainter(seed=4).weights != MaskPainter(seed=5).weights


def test_a_question_comes_first_and_its_answer_is_kept():
    painter = MaskPainter(predict=("Does it leak?", ["yes", "no"]))
    assert painter.figure().startswith("<figure><details>")
    painter.answer = "no"
    image = re.search(r"base64,([^\"]+)", painter.figure())[1]
    assert base64.b64decode(image) == painter.picture()
