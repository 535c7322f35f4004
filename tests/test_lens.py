"""The my-code lens without a browser: what it takes, what it finds, what it says."""

import json
import math
import re
import shutil
import struct
import subprocess
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from transformer_lab.attention import attention
from transformer_lab.instruments import lens_stages
from transformer_lab.instruments.lens import EXAMPLE, CodeLens
from transformer_lab.instruments.lens_stages import attention_stages, collect

ROOT = Path(__file__).parent.parent
TOKENS, LOOKED = ["the", "cat", "sat"], ["the", "cat", "sat", "on"]
INPUTS = {name: torch.tensor(x) for name, x in EXAMPLE.items()}


def build(scale=True, axis=-1, fill=-math.inf, after=False, turn=False, names=None):
    """A learner's attention with its mistakes as switches."""

    def mine(query, key, value, mask=None):
        scores = query @ key.transpose(-2, -1)
        scaled = scores / math.sqrt(query.shape[-1]) if scale else scores
        masked = scaled if mask is None or after else scaled.masked_fill(~mask, fill)
        weights = masked.softmax(axis)
        if after and mask is not None:
            weights = weights * mask
        stages = {
            "scores": scores.transpose(-2, -1) if turn else scores,
            "scaled": scaled,
            "masked": masked,
            "weights": weights,
            "output": weights @ value,
        }
        return {name: stages[name] for name in names or stages}

    return mine


def test_the_references_stages_are_the_packages_attention():
    stages = attention_stages(**INPUTS, scale=0.3)
    torch.testing.assert_close(stages["output"], attention(**INPUTS, scale=0.3))
    torch.testing.assert_close(stages["scaled"], stages["scores"] * 0.3)
    assert stages["masked"].isneginf().sum() == (~INPUTS["mask"]).sum()


@pytest.mark.parametrize("fill", [-math.inf, -1e9, torch.finfo(torch.float32).min])
def test_a_right_function_passes_whatever_it_fills_in_for_infinity(fill):
    one = CodeLens(build(fill=fill))
    assert one.passed
    assert one.first_wrong == one.trouble == ""
    assert max(one.differences.values()) < 1e-5
    assert repr(one) == "Your function agrees with the reference in all 5 stages it hands over."


@pytest.mark.parametrize(
    ("mistake", "first", "hint"),
    [
        ({"scale": False}, "scaled", "Every number of yours is 1.41 times the reference’s."),
        ({"axis": -2}, "weights", "Your columns sum to 1; the reference’s rows do."),
        ({"turn": True}, "scores", "Yours is 4 × 3, the reference 3 × 4: rows and columns are"),
        ({"after": True}, "masked", "Only cells that the mask forbids differ"),
        ({"fill": 0.0}, "masked", "Only cells that the mask forbids differ"),
    ],
    ids=["no scale", "softmax over queries", "turned", "masked after softmax", "filled with 0"],
)
def test_the_first_wrong_matrix_is_named_with_what_can_be_seen(mistake, first, hint):
    one = CodeLens(build(**mistake))
    assert not one.passed
    assert one.first_wrong == one.stage == first
    assert hint in repr(one)


def test_a_mask_after_the_softmax_shows_where_only_the_weights_are_handed_over():
    one = CodeLens(build(after=True, names=["weights", "output"]))
    assert one.first_wrong == "weights"
    assert "Your rows do not sum to 1" in repr(one)
    assert one.differences["scores"] is None


def test_a_row_with_nothing_allowed_that_becomes_nan_is_found():
    mask = torch.tensor([[False] * 4, [True] * 4, [True] * 4])
    one = CodeLens(build(), **{**INPUTS, "mask": mask})
    assert one.first_wrong == "weights"
    assert "4 of your 12 numbers are NaN" in repr(one)
    assert "yours NaN, reference 0.00" in repr(one)
    assert one.differences["weights"] == math.inf
    uniform = CodeLens(build(fill=-1e9), **{**INPUTS, "mask": mask})
    assert uniform.first_wrong == "weights"
    assert "Only one row differs." in repr(uniform) or "0" in repr(uniform)


def test_the_words_quote_the_worst_cell():
    one = CodeLens(build(axis=-2), tokens=TOKENS, looked_at=LOOKED)
    assert repr(one) == (
        "The first wrong matrix is weights. Your columns sum to 1; the reference’s rows do. It "
        "differs most at weights[“sat”, “on”]: yours 1.00, reference 0.49."
    )


Named = namedtuple("Named", ["weights", "output"])


def pairs(query, key, value, mask):
    yield from attention_stages(query, key, value, mask).items()


@pytest.mark.parametrize(
    "learner",
    [
        pairs,
        lambda query, key, value, mask: list(pairs(query, key, value, mask)),
        lambda query, key, value, mask: attention(query, key, value, mask),
        lambda q, k, v, m: attention(q, k, v, m),
        lambda **inputs: attention(**inputs),
        lambda query, key, value, mask: attention(query, key, value, mask).tolist(),
        lambda query, key, value, mask: attention(query, key, value, mask).numpy(),
        lambda query, key, value, mask: Named(
            *list(attention_stages(query, key, value, mask).values())[3:]
        ),
    ],
    ids=[
        *("generator", "list of pairs", "output alone", "other names", "keywords"),
        *("nested list", "array", "named tuple"),
    ],
)
def test_every_form_of_handing_over_is_taken(learner):
    assert CodeLens(learner).passed


def test_stages_may_be_handed_over_without_a_function():
    assert CodeLens(attention_stages(**INPUTS), **INPUTS).passed
    assert CodeLens({"x": [1.0, 2.0]}, {"x": [1.0, 2.0]}).passed
    other = CodeLens({"x": [1.0, 2.5]}, {"x": [1.0, 2.0]})
    assert other.first_wrong == "x"
    assert "x[0, 1]: yours 2.50, reference 2.00" in repr(other)


def test_any_reference_with_its_own_stages_will_do():
    def reference(x):
        centred = x - x.mean(-1, keepdim=True)
        return {"centred": centred, "normed": centred / x.std(-1, correction=0, keepdim=True)}

    def mine(x):
        centred = x - x.mean(-1, keepdim=True)
        return {"centred": centred, "normed": centred / x.std(-1, keepdim=True)}

    one = CodeLens(mine, reference, x=torch.arange(8.0).view(2, 4) ** 2)
    assert one.first_wrong == "normed"
    assert "Every number of yours is 0.866 times the reference’s." in repr(one)


def test_a_batch_of_heads_opens_at_the_matrix_that_is_worst():
    rng = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(2, 3, 4, 5, generator=rng) for name in ("query", "key", "value")}

    def mine(query, key, value):
        scores = query @ key.transpose(-2, -1)
        scores[1, 2, 3, 0] += 1
        return {"scores": scores}

    one = CodeLens(mine, **inputs)
    assert "scores[1, 2, 3, 0]" in repr(one)
    assert not one.passed


def test_the_inputs_are_not_changed_by_the_learner():
    def mine(query, key, value, mask):
        query.zero_()
        return attention(query, key, value, mask)

    one = CodeLens(mine, **INPUTS)
    one.show(attention)
    assert one.passed
    assert INPUTS["query"].abs().sum() > 0


def stops(query, key, value, mask):
    scores = query @ key.transpose(-2, -1)
    yield "scores", scores
    scaled = query @ key
    yield "scaled", scaled


def test_an_error_is_shown_with_its_line_its_shapes_and_the_stages_before_it():
    one = CodeLens(stops)
    assert one.trouble == (
        "Your function stopped in line 4: `scaled = query @ key` RuntimeError: mat1 and mat2 "
        "shapes cannot be multiplied (3x2 and 4x2). There, query is 3 × 2, key is 4 × 2."
    )
    assert repr(one).endswith("So far it agrees: scores.")
    assert one.stage == "scores"
    assert not one.passed


def inner(query):
    return query.no_such_thing


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        (lambda query, key, value: None, "gives back None. Does it end with `return`?"),
        (lambda query, key, value: {}, "hands over no stage"),
        (lambda query, key, value: (key, value), "2 tensors without names"),
        (lambda query, key, value: {"scores": "x"}, "“scores” is str, not numbers"),
        (lambda query, key, value: {"scores": torch.zeros(0)}, "“scores” is empty"),
        (lambda query, key, value: {1: key}, "The stage 1 needs a name in quotes"),
        (lambda query, key, value: [("scores", key), key], "Each `yield` needs a name"),
        (lambda query, key, value: inner(query), "line 2 of inner: `return query.no_such_thing`"),
        (lambda a, b, c, d, e, f: a, "could not be run. TypeError"),
    ],
)
def test_what_cannot_be_compared_is_said_kindly(learner, words):
    one = CodeLens(learner)
    assert words in one.trouble
    assert not one.passed
    assert 1_000 < len(one.picture()) < 15_000


def test_a_stub_is_not_written_yet():
    def my_attention(query, key, value):
        raise NotImplementedError

    assert CodeLens(my_attention).trouble == "Not written yet."


def test_a_misspelt_stage_and_a_forgotten_mask_are_named():
    one = CodeLens(lambda query, key, value: {"weigths": query @ key.T, "output": query})
    assert "“weigths” is no stage of the reference: did you mean “weights”?" in repr(one)
    assert "Your function takes no mask." in repr(one)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"learner": {"x": [1.0]}}, ValueError, "inputs are missing"),
        ({"learner": attention, "query": [[1.0]]}, ValueError, r"inputs \['query'\]; the package"),
        ({"learner": attention, **EXAMPLE, "x": [1.0]}, ValueError, "takes query, key, value"),
        (
            {"learner": attention, "reference": inner, "query": [[1.0]]},
            ValueError,
            "reference fails",
        ),
        ({"learner": attention, **EXAMPLE, "query": "abc"}, TypeError, "query must hold numbers"),
        ({"learner": attention, **EXAMPLE, "key": [[1.0]]}, ValueError, "must agree in d"),
        ({"learner": attention, **EXAMPLE, "mask": [1]}, TypeError, "mask must be a boolean"),
        (
            {"learner": attention, "reference": {"x": np.zeros((40, 2))}},
            ValueError,
            "stage 'x' is 40 × 2; expected at most 32 × 32",
        ),
    ],
)
def test_what_the_author_gets_wrong_is_raised(arguments, error, words):
    with pytest.raises(error, match=words):
        CodeLens(**arguments)


def test_only_a_stage_of_the_reference_can_be_chosen():
    one = CodeLens(build())
    one.stage = "scores"
    with pytest.raises(ValueError, match="stage = 'score'; expected one of scores, scaled"):
        one.stage = "score"


def test_another_function_is_shown_in_the_same_view():
    one = CodeLens(build(scale=False))
    seen = []
    one.observe(lambda change: seen.append(change.new), "passed")
    one.show(build())
    assert one.stage == "output"
    assert seen == [True]
    assert one.content["first"] == ""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_browser_reads_out_what_torch_calculates(tmp_path):
    """200 random cells of both, with their difference, at the precision shown."""
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for _ in range(200):
        theirs = (rng.normal(size=(3, 4)) * 10.0 ** rng.integers(-3, 4)).astype("f4")
        mine = theirs + (rng.random((3, 4)) < 0.5) * rng.normal(size=(3, 4)).astype("f4")
        one = CodeLens({"x": torch.from_numpy(mine)}, {"x": torch.from_numpy(theirs)})
        sent = one.content["stages"][0]
        i, j = int(rng.integers(3)), int(rng.integers(4))
        packed = {k: list(sent[k]) for k in ("mine", "theirs", "wrong")}
        cases.append([{**sent, **packed}, i, j])
        expected.append((mine[i, j], theirs[i, j]))
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    script = (
        "import('./transformer_lab/instruments/view/lens.js').then(({ opened, read }) => {"
        "const view = (list) => list && new DataView(Uint8Array.from(list).buffer);"
        f"const cases = require({str(tmp_path / 'cases.json')!r});"
        "console.log(JSON.stringify(cases.map(([s, i, j]) => {"
        "const one = { ...s, mine: view(s.mine), theirs: view(s.theirs), wrong: view(s.wrong) };"
        "const [stage] = opened({ stages: [one] }).stages;"
        "return read(stage, { stage: 'x', slice: 0, row: i, column: j }, 'x'); }))) })"
    )
    run = subprocess.run(
        ["node", "-e", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    for said, (mine, theirs) in zip(json.loads(run.stdout), expected, strict=True):
        found = re.fullmatch(r"x: yours (\S+), reference (\S+?)(?:, difference (\S+?))?"
                             r"(?:, the largest)?(?:\.|: equal\.)", said)  # fmt: skip
        assert found, said
        for text, exact in zip(found.groups(), (mine, theirs, mine - theirs), strict=True):
            if text is not None:
                shown = float(text.replace("−", "-"))
                assert abs(shown - exact) <= max(0.0005 + 1e-5, 0.06 * abs(exact) * ("e" in text))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CodeLens(build(axis=-2), tokens=TOKENS, looked_at=LOOKED, title="Mine"),
        lambda: CodeLens({"x": [5.0]}, {"x": [4.0]}),
        lambda: CodeLens({"x": np.full((2, 3), np.nan)}, {"x": np.zeros((2, 3))}),
        lambda: CodeLens({"x": np.zeros((40, 40))}, {"x": np.ones((32, 32))}),
        lambda: CodeLens(build(), tokens=["<b>", "日本", "$x$"]),
    ],
    ids=["weights", "one number", "all NaN", "too large", "strange tokens"],
)
def test_the_picture_is_small_and_the_same_twice(make):
    png = make().picture()
    assert png == make().picture()
    assert struct.unpack(">I", png[16:20]) == (700,)
    assert 1_000 < len(png) < 15_000


def test_the_page_is_safe_and_asks_nobody():
    one = CodeLens({"</script>": [1.0]}, {"</script>": [2.0]}, title="<b>")
    page = one.to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["content"]["stages"][0]["name"] == "</script>"
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 100_000


def test_the_collector_never_raises_for_a_learner():
    class Odd:
        def __call__(self, *_):
            raise RuntimeError

    assert collect(Odd(), {"x": 1}, "output").trouble.startswith("Your function could not be run")
    assert collect(print, {}, "output").trouble
    assert lens_stages.size(()) == "one number"
