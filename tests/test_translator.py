"""The translator without a browser: every step against the package's own search and weights."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from small_translator import TASK, half_trained, trained, untrained

from transformer_lab.decoding import generate
from transformer_lab.instruments.crossing import hits, looks, picks
from transformer_lab.instruments.reading import Reading, number_of, read_number
from transformer_lab.instruments.translator import Translator
from transformer_lab.instruments.unrolled import WIDTHS, unroll
from transformer_lab.recording import record_attention
from transformer_lab.tokens import Vocabulary
from transformer_lab.translation import english, german

ROOT = Path(__file__).parent.parent
START, END = Vocabulary.START, Vocabulary.END
MODELS = {"trained": trained, "half": half_trained, "untrained": untrained}


def translator(model=None, text="342", **changes):
    return Translator(model or trained(), TASK.english, TASK.german, text, **changes)


def tree_of(model, number, most=14):
    return unroll(model, TASK.english.encode(english(number)), START, END, most)


# --- what is typed


@pytest.mark.parametrize(
    ("text", "source", "expected", "aligned"),
    [
        ("42", "forty two", "zwei und vier zig", (1, -1, 0, 0, -1)),
        (" Forty-Two ", "forty two", "zwei und vier zig", (1, -1, 0, 0, -1)),
        ("7,003", "seven thousand and three", "sieben tausend drei", (0, 1, 3, -1)),
        ("00021", "twenty one", "ein und zwanzig", (1, -1, 0, -1)),
        ("17", "seventeen", "sieb zehn", (0, 0, -1)),
        ("0", "zero", "null", (0, -1)),
        ("1000", "one thousand", "ein tausend", (0, 1, -1)),
        ("one hundred one", "one hundred one", "ein hundert eins", (0, 1, 2, -1)),
    ],
)
def test_a_number_is_read_as_digits_or_words(text, source, expected, aligned):
    assert read_number(text) == Reading(tuple(source.split()), tuple(expected.split()), aligned)


def test_every_number_has_a_partner_for_each_piece_but_und():
    for number in range(10_000):
        reading = read_number(str(number))
        assert number_of(reading.source) == number
        assert reading.expected == german(number)
        assert len(reading.aligned) == len(reading.expected) + 1
        lonely = {p for p, s in zip(reading.expected, reading.aligned, strict=False) if s < 0}
        assert lonely <= {"und"}
        used = {reading.source[s] for s in reading.aligned if s >= 0}
        assert used == set(reading.source) - {"and"}


@pytest.mark.parametrize("text", ["hundred", "forty and two", "two forty", "twenty twelve", "foo"])
def test_words_that_name_no_number_are_read_without_an_answer(text):
    assert read_number(text) == Reading(tuple(text.split()))


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "Type a number"), ("10000", "10000 is too large"), ("9" * 5000, "is too large")],
)
def test_what_is_no_number_of_the_range_is_refused_in_a_sentence(text, words):
    with pytest.raises(ValueError, match=words):
        read_number(text)


# --- every step


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("number", [0, 17, 342, 999])
def test_each_width_ends_with_the_text_that_generate_writes(model, number):
    model = model()
    tree = tree_of(model, number)
    source = torch.tensor([TASK.english.encode(english(number))])
    for width in WIDTHS:
        start = torch.tensor([[START]])
        text = generate(model, start, 14, source=source, end_id=END, beams=width)[0].tolist()
        ours = tree.written(tree.best(width))
        assert text[: len(ours)] == ours
        assert set(text[len(ours) :]) <= {END}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_distributions_and_weights_are_those_of_the_model(model):
    model = model()
    tree = tree_of(model, 342)
    source = torch.tensor([TASK.english.encode(english(342))])
    checked = 0
    for node, row in enumerate(tree.rows):
        if row is None:
            continue
        with torch.no_grad(), record_attention(model) as weights:
            logits = model(source, torch.tensor([tree.written(node)]))[0, -1]
        best = logits.log_softmax(-1).topk(5)
        torch.testing.assert_close(tree.log_probs[row], best.values, atol=1e-5, rtol=1e-5)
        crossing = [weights[f"decoder.{n}.cross_attention"][0, :, -1] for n in range(2)]
        torch.testing.assert_close(tree.weights[row], torch.stack(crossing), atol=1e-5, rtol=0)
        checked += 1
    assert checked == len(tree.top) >= 6


def test_a_text_that_does_not_end_is_stopped():
    tree = tree_of(untrained(1), 7, most=3)
    assert all(len(steps) <= 4 for steps in tree.beams.values())
    assert tree.rows[tree.best(1)] is None


def test_the_model_is_left_in_its_mode():
    model = untrained(dropout=0.5)
    model.train()
    first = tree_of(model, 42)
    assert model.training
    assert torch.equal(first.log_probs, tree_of(model, 42).log_probs)


# --- heads and agreement


def test_a_head_is_named_by_layer_and_number():
    weights = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(looks(weights, "mean"), weights.mean((1, 2)))
    torch.testing.assert_close(looks(weights, "1"), weights[:, 1].mean(1))
    torch.testing.assert_close(looks(weights, "1.3"), weights[:, 1, 3])


@pytest.mark.parametrize("name", ["2", "0.4", "", "1.", "-1", "0.0.0", "x", "²"])
def test_a_head_that_is_not_there_is_refused(name):
    with pytest.raises(ValueError, match=r"attention = .*expected 'mean', a layer '0' to '1'"):
        picks(name, 2, 4)


def test_agreement_counts_the_places_that_have_a_partner():
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert hits(rows, [0, -1, 1]) == (1, 2)
    assert hits(rows, [-1, -1, -1]) == (0, 0)


# --- the instrument


def test_its_words_and_what_a_lesson_can_read():
    one = translator()
    assert one.translation == "dreihundertzweiundvierzig"
    assert one.right is True
    assert one.log_probability == pytest.approx(0, abs=0.5)
    there, places = one.agreement
    assert places == 5
    assert repr(one) == (
        f"“342” → drei·hundert·zwei·und·vier·zig (right), greedy, probability "
        f"{np.exp(one.log_probability):.2f}. Its largest cross-attention weight lies on "
        f"the true word for {there} of 5 pieces."
    )


def test_agreement_counts_up_to_the_step_that_goes_wrong():
    for number in range(100, 1000, 37):
        one = translator(half_trained(), str(number))
        written, expected = one._written(), list(german(number))
        wrong = [
            i for i, pair in enumerate(zip(written, expected, strict=False)) if len({*pair}) > 1
        ]
        asked = read_number(str(number)).aligned[: wrong[0] + 1 if wrong else None]
        asked = asked[: len(written) + 1]
        assert one.agreement[1] == sum(place >= 0 for place in asked)


def test_a_new_text_is_translated_and_one_that_cannot_be_read_is_said():
    one = translator(width=2)
    one.step = 3
    one.text = "forty-two"
    assert (one.translation, one.step, one.message) == ("zweiundvierzig", 0, "")
    before = one.sentence
    one.text = "7000"
    assert one.message == "The model never saw “thousand”, so it cannot read it."
    one.text = "  "
    assert "Type a number" in one.message
    assert one.sentence is before


def test_refresh_shows_what_the_model_has_learned_since():
    model = untrained()
    one = translator(model)
    before = one.translation
    model.load_state_dict(trained().state_dict())
    assert one.translation == before
    one.refresh()
    assert one.translation == "dreihundertzweiundvierzig"


def test_another_task_brings_its_own_reader():
    def read(text):
        return Reading(tuple(text.split()), ("zwei",), (0, -1))

    one = translator(text="two two", read=read, examples=[])
    assert one.agreement[1] <= 1
    assert "“two two”" in repr(one)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": torch.nn.Linear(2, 2)}, TypeError, "model must be an EncoderDecoder, got Lin"),
        ({"text": "seven thousand"}, ValueError, "never saw “thousand”"),
        ({"text": 342}, TypeError, "text must hold strings, not 342"),
        ({"text": "one " * 70}, ValueError, "70 pieces long; at most 64"),
        ({"width": 5}, ValueError, "width = 5; expected 1 to 4"),
        ({"step": 99}, ValueError, "step = 99; expected 0 to"),
        ({"beam": 1}, ValueError, "beam = 1; expected 0 to 0"),
        ({"attention": "9"}, ValueError, "attention = '9'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=words):
        translator(**changes)


def test_a_vocabulary_of_another_model_is_refused():
    with pytest.raises(ValueError, match=r"source has \d+ pieces; expected the model's \d+"):
        Translator(trained(), TASK.german, TASK.german)
    with pytest.raises(TypeError, match="target must be a Vocabulary, got list"):
        Translator(trained(), TASK.english, [1])


def test_a_smaller_width_takes_step_and_beam_along():
    one = translator(half_trained(), "17", width=4)
    one.step = len(one.sentence["beams"][3]) - 1
    one.beam = 3
    one.width = 1
    assert (one.step, one.beam) == (min(one.step, len(one.sentence["beams"][0]) - 1), 0)


def test_the_page_carries_the_steps_of_every_text_asked_for():
    page = translator(title="<b>").to_html(texts=["42", "seven"])
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert list(state["embedded"]) == ["342", "42", "seven"]
    assert state["content"]["examples"] == ["342", "42", "seven"]
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 150_000


def test_what_cannot_be_read_is_neither_said_nor_put_on_the_page():
    one = translator(text="21")
    before = one.describe()
    one.text = "seven thousand"
    assert one.message
    assert one.describe() == before
    assert '"text":"21"' in one.to_html()
    one.refresh()
    assert one.message == ""


def test_examples_that_the_model_cannot_read_are_left_out():
    assert translator(examples=["42", "7000", "x"]).content["examples"] == ["42"]


@pytest.mark.parametrize("number", ["0", "17", "342", "777"])
@pytest.mark.parametrize("model", [trained, untrained])
def test_the_picture_is_small_and_the_same_twice(model, number):
    one = translator(model(), number)
    png = one.picture()
    assert png == one.picture()
    assert struct.unpack(">II", png[16:24])[0] == 700
    assert 2_000 < len(png) < 15_000


def test_a_long_text_and_one_with_markup_are_drawn():
    one = translator(text="one " * 64, title="$x_{ <b>")
    assert 1_000 < len(one.picture()) < 30_000


# --- the browser's arithmetic


SCRIPT = """
const { read, layout, begin } = await import("./transformer_lab/instruments/view/translator.js");
const { readFileSync } = await import("node:fs");
const cases = JSON.parse(readFileSync(process.argv[1], "utf8"));
const revive = (v) => v === null || typeof v !== "object" ? v : Array.isArray(v) ? v.map(revive)
  : typeof v.$bytes === "string"
    ? new DataView(Uint8Array.from(atob(v.$bytes), (c) => c.charCodeAt(0)).buffer)
  : Object.fromEntries(Object.entries(v).map(([k, x]) => [k, revive(x)]));
console.log(JSON.stringify(cases.map(({ sentence, state }) => {
  const sizes = { layers: 2, heads: 4 };
  const view = layout(read(revive(sentence)), begin((name) => state[name]), sizes);
  return { expects: view.expects, score: view.score, written: view.written, right: view.right,
    now: view.now ? [...view.now.weights] : null, there: view.there, places: view.places,
    ended: view.ended, rest: view.rest };
})));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_browser_reads_out_what_torch_calculates(tmp_path):
    from transformer_lab.instruments.export import plain

    rng = np.random.default_rng(0)
    heads = ["mean", "0", "1", *(f"{layer}.{head}" for layer in range(2) for head in range(4))]
    cases, truths = [], []
    for _ in range(60):
        model = [trained(), half_trained(), untrained()][rng.integers(3)]
        number = int(rng.integers(1000))
        one = translator(model, str(number), examples=[])
        for _ in range(4):
            width = int(rng.integers(1, 5))
            steps = one.sentence["beams"][width - 1]
            step = int(rng.integers(len(steps)))
            beam = int(rng.integers(len(steps[step])))
            head = heads[rng.integers(len(heads))]
            state = {"width": width, "step": step, "beam": beam, "attention": head}
            cases.append({"sentence": plain(one.sentence), "state": state})
            truths.append((model, number, one, state))
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    command = ["node", "--input-type=module", "-e", SCRIPT, "--", str(tmp_path / "cases.json")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert len(found) == len(cases) == 240
    for shown, (model, number, one, state) in zip(found, truths, strict=True):
        tree = one._tree
        node = tree.beams[state["width"]][state["step"]][state["beam"]]
        ids = tree.written(node)
        source = torch.tensor([TASK.english.encode(english(number))])
        with torch.no_grad(), record_attention(model) as weights:
            logs = model(source, torch.tensor([ids]))[0].log_softmax(-1)
        score = sum(logs[t, piece].item() for t, piece in enumerate(ids[1:]))
        assert shown["score"] == pytest.approx(score, abs=2e-5)
        assert shown["written"] == [TASK.german.pieces[i] for i in ids[1:] if i != END]
        if shown["ended"] or not shown["expects"]:
            continue
        probabilities = logs[-1].exp()
        best = probabilities.topk(5)
        assert [e["p"] for e in shown["expects"]] == pytest.approx(best.values.tolist(), abs=1e-5)
        assert shown["rest"] == pytest.approx(max(0, 1 - best.values.sum().item()), abs=1e-5)
        table = torch.stack([weights[f"decoder.{n}.cross_attention"][0, :, -1] for n in range(2)])
        row = looks(table, state["attention"])
        if shown["now"] is not None:
            assert shown["now"] == pytest.approx(row.tolist(), abs=1e-5)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_browser_and_python_agree_on_agreement(tmp_path):
    from transformer_lab.instruments.export import plain

    cases, truths = [], []
    for number in range(3, 1000, 31):
        one = translator(half_trained(), str(number), examples=[], width=2, attention="1.2")
        state = {
            "width": 2,
            "step": len(one.sentence["beams"][1]) - 1,
            "beam": 0,
            "attention": "1.2",
        }
        cases.append({"sentence": plain(one.sentence), "state": state})
        truths.append((*one.agreement, one.right))
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    command = ["node", "--input-type=module", "-e", SCRIPT, "--", str(tmp_path / "cases.json")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    found = [(x["there"], x["places"], x["right"]) for x in json.loads(run.stdout)]
    assert found == truths
