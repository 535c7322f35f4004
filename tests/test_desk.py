"""The head desk without a browser: its numbers against torch, its words, its picture."""

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import gallery
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gallery import IDS, PIECES, TOKENS, language_model, text_encoder
from PIL import Image

from transformer_lab.config import ModelConfig
from transformer_lab.instruments import wire
from transformer_lab.instruments.desk import HeadDesk
from transformer_lab.models import EncoderDecoder, TextEncoder
from transformer_lab.recording import record_attention, silence_heads

ROOT = Path(__file__).parent.parent
T = len(IDS)


def desk(model=None, ids=IDS, names=TOKENS, **options):
    return HeadDesk(language_model() if model is None else model, ids, names, **options)


def losses(model, silent, ids=IDS):
    """Each token's loss but the first, straight from torch."""
    heads = {}
    for layer, head in silent:
        heads.setdefault(layer, []).append(head)
    with torch.no_grad(), silence_heads(model, heads):
        logits = model(torch.tensor([ids]))[0]
    return F.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none"), logits.softmax(-1)


def floats(data, *shape):
    return wire.unpack_floats(data, shape)


def test_the_matrices_are_those_of_the_whole_model():
    model = language_model()
    with torch.no_grad(), record_attention(model) as weights:
        model(torch.tensor([IDS]))
    sent = desk(model, silenced=[[0, 1]]).content
    expected = torch.cat([layer[0] for layer in weights.values()])
    found = wire.unpack_probabilities(sent["weights"], expected.shape)
    np.testing.assert_allclose(found, expected, atol=7.7e-6)
    assert sent["mask"] == wire.pack_mask(torch.ones(T, T).tril().bool())


@pytest.mark.parametrize("silent", [[], [[0, 1]], [[0, 0], [0, 3], [1, 2]]])
def test_loss_and_next_tokens_are_torchs(silent):
    model = language_model()
    one = desk(model, silenced=silent)
    expected, shares = losses(model, silent)
    assert one.before == pytest.approx(losses(model, [])[0].mean().item(), abs=1e-6)
    assert one.after == pytest.approx(expected.mean().item(), abs=1e-6)
    sent = one.result
    assert sent["silenced"] == [silent]
    np.testing.assert_allclose(floats(sent["tokens"], T)[1:], expected, atol=1e-5)
    assert floats(sent["tokens"], T)[0] == 0
    assert sent["counted"] == bytes([0] + [1] * (T - 1))
    top = shares.topk(5)
    np.testing.assert_allclose(floats(sent["shares"], T, 5), top.values, atol=1e-6)
    np.testing.assert_array_equal(floats(sent["ids"], T, 5), top.indices)


def test_an_encoders_measure_is_how_far_its_states_move():
    model = text_encoder()
    with torch.no_grad():
        before = model(torch.tensor([IDS]))
        with silence_heads(model, {1: [2]}):
            after = model(torch.tensor([IDS]))
    real = torch.ones(1, T).bool()
    one = desk(model, silenced=[[1, 2]])
    moved = ((after - before).norm(dim=-1) / before.norm(dim=-1))[0]
    assert one.before == 0
    assert one.after == pytest.approx(moved.mean().item(), abs=1e-6)
    np.testing.assert_allclose(floats(one.result["tokens"], T), moved, atol=1e-6)
    vectors = [TextEncoder.sentence_vectors(x, real)[0] for x in (before, after)]
    assert one.result["cosines"] == [pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)]
    assert one.result["top"] == 0


def test_every_change_of_the_silenced_heads_is_answered():
    one = desk()
    seen = []
    one.observe(lambda change: seen.append(change.new["silenced"]), "result")
    one.silenced = [[1, 2], [0, 0], [1, 2]]
    assert one.silenced == [[0, 0], [1, 2]], "in order, each once"
    assert one.after != one.before
    one.silenced = []
    assert one.after == one.before
    assert seen == [[[[0, 0], [1, 2]]], [[]]]


def test_each_head_alone_is_the_same_as_silencing_it():
    model = language_model()
    one = desk(model)
    alone = one.alone()
    assert list(alone) == [(layer, head) for layer in range(2) for head in range(4)]
    for (layer, head), change in alone.items():
        expected = losses(model, [[layer, head]])[0].mean() - losses(model, [])[0].mean()
        assert change == pytest.approx(expected.item(), abs=1e-6)


def test_single_heads_travel_on_demand_and_always_with_the_page():
    one = desk()
    assert one.singles == {}
    page = one.to_html()
    one.each_alone = True
    assert len(one.singles["values"]) == 8
    assert one.singles["tokens"] is None
    assert one.singles["values"][3] - one.before == one.alone()[0, 3]
    sent = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])["singles"]
    assert len(base64.b64decode(sent["tokens"]["$bytes"])) == 4 * 8 * T
    layer = json.loads(re.search(r'json">(.*?)</script>', one.to_html(layer=1))[1])
    assert layer["singles"]["silenced"] == [[[1, head]] for head in range(4)]
    assert layer["content"]["layers"] == [1]


def test_padding_counts_for_nothing():
    model, pad = language_model(pad_id=8), PIECES.index("\n")
    padded = desk(model, [*IDS, pad, pad], [*TOKENS, "", ""], silenced=[[0, 2]])
    whole = desk(model, silenced=[[0, 2]])
    assert (padded.before, padded.after) == pytest.approx((whole.before, whole.after), abs=1e-5)
    masked = desk(
        language_model(),
        [*IDS, 3],
        [*TOKENS, "x"],
        mask=torch.tensor([True] * T + [False]),
        silenced=[[0, 2]],
    )
    plain = desk(language_model(), silenced=[[0, 2]])
    assert (masked.before, masked.after) == pytest.approx((plain.before, plain.after), abs=1e-5)
    assert masked.result["counted"][-1] == 0
    encoder = text_encoder(pad_id=8)
    one = desk(encoder, [*IDS, pad], [*TOKENS, ""], silenced=[[1, 1]])
    two = desk(encoder, silenced=[[1, 1]])
    assert one.after == pytest.approx(two.after, abs=1e-5)


def test_dropout_is_off_and_the_model_is_left_as_it_was():
    model = language_model(dropout=0.5)
    model.train()
    model.layers[0].eval()
    one = desk(model)
    one.silenced = [[0, 0]]
    first = one.after
    one.silenced = []
    one.silenced = [[0, 0]]
    assert one.after == first
    assert model.training
    assert model.layers[1].training
    assert not model.layers[0].training
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


def test_names_come_from_the_vocabulary_or_the_text():
    assert desk(vocabulary=PIECES).whole["words"].items() <= {
        (str(i), piece) for i, piece in enumerate(PIECES)
    }
    assert desk(vocabulary=lambda i: f"<{i}>").whole["words"]["0"] == "<0>"
    words = desk(ids=[0, 1], names=["the", "cat"]).whole["words"]
    known = {"0": "the", "1": "cat"}
    assert words == {i: known.get(i, f"id {i}") for i in words}
    assert len(words) > 2


def test_another_text_at_the_same_desk():
    one = desk(silenced=[[1, 1]], query=7, layer=1, each_alone=True, vocabulary=PIECES)
    one.show(IDS[:4], TOKENS[:4])
    assert (one.silenced, one.query, one.layer) == ([[1, 1]], None, 1)
    assert one.after == pytest.approx(
        losses(one._model, [[1, 1]], IDS[:4])[0].mean().item(), abs=1e-6
    )
    assert one.alone()[1, 1] == pytest.approx(one.after - one.before)
    assert one.singles["values"][5] == one.after
    with pytest.raises(ValueError, match="names has 2 entries; expected one for each of 3"):
        one.show(IDS[:3], TOKENS[:2])
    assert one.content["rows"] == TOKENS[:4]


def test_a_model_that_was_trained_meanwhile_is_read_anew():
    model = language_model()
    one = desk(model)
    old = one.before
    with torch.no_grad():
        model.embedding.tokens.weight *= 0.5
    one.show(IDS, TOKENS)
    assert one.before == pytest.approx(losses(model, [])[0].mean().item(), abs=1e-6)
    assert one.before != old


def test_the_learners_own_text_is_read():
    one = desk(read=lambda text: ([PIECES.index(w) for w in text.split()], text.split()))
    one.text = "the dog saw"
    assert one.content["rows"] == ["the", "dog", "saw"]
    assert one.whole["counted"] == bytes([0, 1, 1])
    one.text = "the cow"
    assert one.message.startswith("This text could not be read: ")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"ids": [[0, 1], [2, 3]]}, ValueError, r"ids must be \(T,\) or \(1, T\) .* not \(2, 2\)"),
        ({"ids": []}, TypeError, "ids must be whole numbers, not float64"),
        ({"ids": [0.5, 1.5]}, TypeError, "ids must be whole numbers"),
        ({"ids": [3], "names": ["dog"]}, ValueError, r"at least two real tokens .* not \[3\]"),
        ({"names": ["a"]}, ValueError, "names has 1 entries; expected one for each of 8"),
        ({"names": [1] * 8}, TypeError, "tokens must hold strings, not 1"),
        ({"mask": torch.ones(8)}, TypeError, "mask must be boolean"),
        ({"mask": torch.ones(3).bool()}, ValueError, r"mask must be \(T,\) = \(8,\), not \(3,\)"),
        ({"mask": torch.zeros(8).bool()}, ValueError, "at least two real tokens in a row"),
        ({"vocabulary": ["a"]}, ValueError, "vocabulary has 1 entries; expected .* 9 ids"),
        (
            {"silenced": [[0, 4]]},
            ValueError,
            r"silenced must hold \[layer, head\] between \[0, 0\] and \[1, 3\], not \[0, 4\]",
        ),
        ({"layer": 2}, ValueError, "layer must be between 0 and 1, not 2"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=words):
        desk(**changes)


def test_a_translator_is_refused():
    model = EncoderDecoder(ModelConfig(9, d_model=8, n_heads=2, n_layers=1))
    with pytest.raises(TypeError, match="a LanguageModel or a TextEncoder, not EncoderDecoder"):
        desk(model)


def test_the_words_quote_the_numbers():
    one = desk(silenced=[[1, 2], [0, 0]])
    expected, before = losses(one._model, one.silenced)[0], losses(one._model, [])[0]
    change = expected - before
    at = int(change.abs().argmax())
    assert repr(one).startswith(
        f"Head desk: 2 layers × 4 heads over 8 tokens. Loss with all heads: {before.mean():.2f} "
        f"nats per token. Without layer 0 head 0, layer 1 head 2: loss {expected.mean():.2f} ("
    )
    assert TOKENS[at + 1] in repr(one)
    assert f"{abs(change[at]):.2f}" in repr(one)
    one.silenced = []
    assert repr(one).endswith("nats per token. No head is silenced.")
    one.silenced = one._heads.places()
    assert "layer 0 head 2 and 5 more: loss" in repr(one)
    assert "the states move by" in repr(desk(text_encoder(), silenced=[[0, 0]]))


@pytest.mark.parametrize("name", [n for n in gallery.EXAMPLES if n.startswith("HeadDesk")])
def test_the_picture_is_small_and_the_same_on_every_run(name):
    one = gallery.EXAMPLES[name]()
    picture = one.picture()
    assert picture == one.picture()
    assert (3_000 if "one token" in name else 5_000) < len(picture) < 15_000
    assert Image.open(io.BytesIO(picture)).width == 700


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", [language_model, text_encoder])
def test_the_least_and_odd_texts_are_drawn_and_said(kind, layers):
    model = kind(n_layers=layers, n_heads=1)
    one = desk(model, [4, 4], ["$x^2$", "\ud83d\u202e" + "a" * 60], silenced=[[0, 0]], title="<$b>")
    assert Image.open(io.BytesIO(one.picture())).width == 700
    one.describe().encode("utf-8")
    one.to_html().encode("utf-8")
    one.silenced = []
    assert one.picture()


def test_a_long_text_gets_scores_and_an_outcome():
    model = language_model(max_len=256)
    one = desk(model, IDS * 17, TOKENS * 17, silenced=[[1, 0]])
    assert one.content["sent"] == []
    assert one.result["tokens"] is None
    assert one.after == pytest.approx(losses(model, [[1, 0]], IDS * 17)[0].mean().item(), abs=1e-5)
    assert "over 136 tokens" in one.describe()
    assert one.picture()
    assert len(one.to_html()) < 200_000


SCRIPT = """
const fs = require("fs");
import("./transformer_lab/instruments/view/answers.js").then((m) => {
  const revive = (value) => Array.isArray(value) ? value.map(revive)
    : value === null || typeof value !== "object" ? value
    : typeof value.$bytes === "string"
      ? new DataView(Uint8Array.from(Buffer.from(value.$bytes, "base64")).buffer)
      : Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(v)]));
  const state = revive(JSON.parse(fs.readFileSync(process.argv[1], "utf8")));
  const data = m.readDesk((name) => state[name]);
  console.log(JSON.stringify(data.heads.map((place) => {
    const answer = m.answerFor(data, [place]), it = { silenced: [place] };
    return { numbers: m.outcome(data, it).numbers.map(([, x]) => x),
      tokens: data.rows.map((_, i) => m.tokenWords(data, it, i)),
      next: data.rows.map((_, i) => m.nextTokens(data, answer, i)),
      change: [...m.changes(data, answer)] };
  })));
});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_two_hundred_read_outs_of_the_browser_are_torchs(tmp_path):
    checked = 0
    for seed in range(4):
        model = language_model(seed)
        page = desk(model, vocabulary=PIECES).to_html()
        state = tmp_path / "state.json"
        state.write_text(re.search(r'application/json">(.*?)</script>', page)[1], encoding="utf-8")
        run = subprocess.run(
            ["node", "-e", SCRIPT, str(state)], cwd=ROOT, capture_output=True, timeout=60
        )
        assert run.returncode == 0, run.stderr
        before = losses(model, [])[0]
        for i, found in enumerate(json.loads(run.stdout)):
            now, shares = losses(model, [[i // 4, i % 4]])
            change = now - before
            numbers = [float(x.replace("−", "-")) for x in found["numbers"]]
            expected = [before.mean(), now.mean(), change.mean()]
            np.testing.assert_allclose(numbers, expected, atol=0.000501)
            np.testing.assert_allclose(found["change"][1:], change, atol=1e-5)
            assert "has no loss" in found["tokens"][0]
            for t in range(1, T):
                said = re.findall(r"[+−]?\d+\.\d{3}", found["tokens"][t])
                read = [float(x.replace("−", "-")) for x in said]
                exact = [float(before[t - 1]), float(now[t - 1]), float(change[t - 1])]
                np.testing.assert_allclose(read, exact, atol=0.00051)
                checked += 3
            top = shares.topk(5)
            for t in range(T):
                words = [one["word"] for one in found["next"][t]]
                assert words == [PIECES[j] for j in top.indices[t].tolist()]
                given = [one["share"] for one in found["next"][t]]
                np.testing.assert_allclose(given, top.values[t], atol=1e-5)
    assert checked >= 200


def test_the_joined_module_renders_the_desk_alone_and_brings_the_explorers_style():
    assert HeadDesk._esm.count("export default") == 1
    assert "export default widget(drawDesk);" in HeadDesk._esm
    assert ".tl-board canvas" in HeadDesk._css
    assert HeadDesk._css.index(".tl-board canvas") < HeadDesk._css.index(".tl-headdesk")
