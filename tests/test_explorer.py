"""The attention explorer without a browser: its numbers, its words, its picture, its manners."""

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transformer_lab.instruments import export, wire
from transformer_lab.instruments.attention import BUDGET, CAP, AttentionExplorer
from transformer_lab.instruments.heads import heads

TOKENS = ["the", "cat", "saw", "the", "dog"]


def weights(layers=2, count=3, rows=5, columns=None, mask=None):
    """Seeded softmax rows, as `record_attention` returns them."""
    scores = torch.randn(layers, 1, count, rows, columns or rows)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    values = scores.softmax(-1).nan_to_num(0.0)
    return {f"layers.{i}.attention": layer for i, layer in enumerate(values)}


def sent(explorer):
    """What the browser reads, (heads, T, S)."""
    content = explorer.content
    columns = content["columns"] or content["rows"]
    shape = (len(content["sent"]), len(content["rows"]), len(columns))
    return wire.unpack_probabilities(content["weights"], shape)


def test_the_browser_gets_the_weights_of_every_head_in_order():
    given = weights()
    explorer = AttentionExplorer(given, TOKENS)
    expected = torch.cat([value[0] for value in given.values()])
    np.testing.assert_allclose(sent(explorer), expected, atol=7.63e-6)
    places = [[layer, head] for layer in (0, 1) for head in (0, 1, 2)]
    assert explorer.content["sent"] == places


def test_layers_are_sorted_by_number_and_keep_it():
    given = {f"layers.{i}.attention": torch.eye(2)[None] for i in (10, 9, 2)}
    assert heads(given, ["a", "b"]).layers == (2, 9, 10)
    assert AttentionExplorer(given, ["a", "b"]).layer == 2
    assert heads([torch.eye(2)[None]] * 2, ["a", "b"]).layers == (0, 1)


def scores(values, tokens, **options):
    return {s.key: s.values for s in heads([values], tokens, **options).scores}


def test_a_score_is_one_for_the_head_that_does_nothing_else():
    back = torch.eye(4).roll(1, 0)
    back[0] = torch.tensor([1.0, 0, 0, 0])
    first = torch.zeros(4, 4)
    first[:, 0] = 1
    own, even = torch.eye(4), torch.full((4, 4), 0.25)
    found = scores(torch.stack([back, first, own, even]), list("abcd"))
    assert found["previous"][0].tolist() == [1, 1 / 3, 0, 0.25]
    assert found["first"][0].tolist() == [0.5, 1, 0.25, 0.25]
    assert found["self"][0].tolist() == [0.25, 0.25, 1, 0.25]
    assert found["next"][0].tolist() == [0, 0, 0, 0.25]
    np.testing.assert_allclose(found["entropy"][0], [0, 0, 0, np.log(4)])
    assert "induction" not in found


def test_induction_is_the_weight_on_what_followed_the_same_token_before():
    values = torch.zeros(1, 5, 5)
    values[0, :, 0] = 1
    values[0, 3] = torch.tensor([0.25, 0.75, 0, 0, 0])
    assert scores(values, ["a", "b", "c", "a", "a"])["induction"][0].tolist() == [0.75]


def test_rows_that_may_look_at_nothing_do_not_count_in_a_score():
    values = torch.tensor([[[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 0]]).bool()
    found = scores(values, list("abc"), mask=mask)
    np.testing.assert_allclose(found["entropy"], [[np.log(2)]], rtol=1e-6)
    assert found["first"].tolist() == [[0.5]]


def test_cross_attention_has_its_own_tokens_and_no_score_that_needs_the_same_ones():
    explorer = AttentionExplorer(weights(columns=3), TOKENS, looked_at=["le", "chat", "chien"])
    assert explorer.content["columns"] == ["le", "chat", "chien"]
    assert [key for key, *_ in explorer.content["scores"]] == ["entropy", "first", "last"]
    assert "over 5 tokens × 3" in explorer.describe()


def test_a_mask_over_keys_or_over_cells_is_sent_as_cells():
    keys = torch.tensor([True, True, True, True, False])
    explorer = AttentionExplorer(weights(mask=keys), TOKENS, mask=keys)
    assert explorer.content["mask"] == bytes([1, 1, 1, 1, 0] * 5)
    causal = torch.ones(5, 5).tril().bool()
    explorer = AttentionExplorer(weights(mask=causal), TOKENS, mask=causal[None, None])
    assert explorer.content["mask"] == wire.pack_mask(causal)
    everything = AttentionExplorer(weights(), TOKENS, mask=torch.ones(5, 5).bool())
    assert everything.content["mask"] is None


def test_a_row_of_zeros_counts_as_masked_without_a_mask():
    rows = torch.ones(5, 5).bool()
    rows[2] = False
    explorer = AttentionExplorer(weights(mask=rows), TOKENS)
    assert explorer.content["mask"] == wire.pack_mask(rows)


BAD = torch.full((1, 2, 2), 0.5)


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ([torch.zeros(3, 2, 2, 2)], {}, r"weights\[0\] must be \(H, T, S\) .* not \(3, 2, 2, 2\)"),
        ([torch.eye(2)], {}, r"weights\[0\] must be .* T = 2 and S = 2 tokens, not \(2, 2\)"),
        ([BAD, torch.full((2, 2, 2), 0.5)], {}, "one shape in all layers"),
        ([], {}, "at least one layer"),
        ([BAD * 0.8], {}, "row 0 of layer 0 head 0 sums to 0.8; expected 1"),
        ([BAD * torch.nan], {}, r"weights\[0\] must be finite; at \(0, 0, 0\) it is nan"),
        ([torch.tensor([[[1.5, -0.5]] * 2])], {}, "must not be negative; the smallest is -0.5"),
        ([BAD], {"mask": torch.eye(2).bool()}, "must be 0 where mask is False; .* 0.5"),
        ([BAD], {"mask": torch.ones(3).bool()}, r"mask must be \(S,\) or \(T, S\) = \(2, 2\)"),
        ([BAD], {"layer": 4}, "layer must be between 0 and 0, not 4"),
        ([BAD], {"query": 2}, "query must be between None and 1, not 2"),
        ([BAD], {"pinned": [[0, 1]]}, r"pinned must be between \[0, 0\] and \[0, 0\]"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(given, options, words):
    with pytest.raises(ValueError, match=words):
        AttentionExplorer(given, ["a", "b"], **options)


def test_a_mask_of_numbers_and_tokens_of_numbers_are_refused():
    with pytest.raises(TypeError, match="mask must be boolean"):
        AttentionExplorer([BAD], ["a", "b"], mask=torch.ones(2, 2))
    with pytest.raises(TypeError, match="tokens must hold strings, not 1"):
        AttentionExplorer([BAD], [1, 2])
    with pytest.raises(ValueError, match="at least one token"):
        AttentionExplorer([BAD], [])


def test_dropout_in_the_weights_is_noticed():
    dropped = torch.nn.functional.dropout(weights()["layers.0.attention"], 0.1)
    with pytest.raises(ValueError, match="sums to"):
        AttentionExplorer([dropped], TOKENS)


def large(tokens, layers=6, count=12):
    rows = np.full((count, tokens, tokens), 1 / tokens, np.float32)
    return AttentionExplorer([rows] * layers, [f"t{i}" for i in range(tokens)])


def test_six_times_twelve_heads_of_32_tokens_travel_at_once_within_a_megabyte():
    content = large(32).content
    assert len(content["sent"]) == 72
    assert content["thumbs"] is None
    assert len(content["weights"]) == 6 * 12 * 32 * 32 * 2


def test_a_long_text_travels_one_layer_at_a_time_with_small_thumbnails_of_the_rest():
    explorer = large(CAP)
    assert [place[0] for place in explorer.content["sent"]] == [0] * 12
    assert len(explorer.content["weights"]) + len(explorer.content["thumbs"]) <= BUDGET
    assert explorer.content["thumb"] == [32, 32]
    explorer.pinned = [[4, 2]]
    explorer.layer = 5
    assert explorer.content["sent"] == [[4, 2], *([5, head] for head in range(12))]


def test_a_single_layer_beyond_the_budget_sends_the_chosen_heads_alone():
    explorer = large(CAP, layers=1, count=40)
    assert explorer.content["sent"] == [[0, 0]]
    explorer.head = 7
    assert explorer.content["sent"] == [[0, 7]]


def test_thumbnails_keep_the_largest_weight_of_a_block():
    values = np.zeros((1, 100, 100), np.float32)
    values[0, :, 41] = 1
    small = heads([values], [str(i) for i in range(100)]).thumbs(32)
    assert small.shape == (1, 1, 25, 25)
    assert (small[0, 0].argmax(-1) == 10).all()
    assert small.max() == 255


def test_beyond_the_cap_only_scores_travel_and_the_picture_has_thumbnails():
    explorer = large(CAP + 1, layers=2, count=2)
    assert explorer.content["sent"] == []
    assert explorer.content["weights"] == b""
    assert len(explorer.content["values"]) == 4 * len(explorer.content["scores"]) * 4
    assert "over 129 tokens" in explorer.describe()
    assert Image.open(io.BytesIO(explorer.picture())).width == 700


def test_the_words_name_the_heads_that_stand_out():
    values = torch.full((2, 2, 3, 3), 1 / 3)
    values[1, 0] = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    explorer = AttentionExplorer(list(values), ["a", "b", "a"], layer=1, query=2)
    assert (
        explorer.describe()
        == repr(explorer)
        == (
            "Attention of 2 layers × 2 heads over 3 tokens. "
            "Most focused: layer 1 head 0 (mean entropy 0.00 nats). "
            "Most on the token before: layer 1 head 0 (mean weight 1.00). "
            "Shown: layer 1 head 0, where “a” (2) looks most at “b” (1.00)."
        )
    )
    explorer.pinned = [[0, 1], [1, 0]]
    assert explorer.describe().endswith(
        "layer 0 head 1 minus layer 1 head 0, most different from “a” (0) to “a” (0) (−0.67)."
    )


def test_noise_in_the_last_bits_changes_neither_words_nor_picture_nor_order():
    values = torch.stack([v[0] for v in weights(layers=3).values()])
    noisy = values * (1 + 1e-6 * torch.randn_like(values))
    one, two = AttentionExplorer(list(values), TOKENS), AttentionExplorer(list(noisy), TOKENS)
    assert one.describe() == two.describe()
    pictures = [np.asarray(Image.open(io.BytesIO(e.picture())).convert("RGB")) for e in (one, two)]
    assert (pictures[0] != pictures[1]).any(-1).mean() < 0.01


def test_the_picture_is_small_and_the_same_on_every_run():
    explorer = AttentionExplorer(weights(6, 12, 13), list("abcdefghijklm"), query=8)
    picture = explorer.picture()
    assert picture == explorer.picture()
    assert 5_000 < len(picture) < 15_000


def test_the_picture_shows_the_numbers_in_their_colours():
    values = torch.tensor([[[1.0, 0], [0, 1]]])
    picture = Image.open(io.BytesIO(AttentionExplorer([values], ["a", "b"]).picture()))
    pixels = np.asarray(picture.convert("RGB"))
    square = pixels[118 : 118 + 52, 460 : 460 + 52]
    for row, column in np.ndindex(2, 2):
        middle = square[26 * row + 13, 26 * column + 13]
        expected = (254, 232, 56) if row == column else (0, 34, 78)
        assert abs(middle.astype(int) - expected).max() <= 6


@pytest.mark.parametrize(
    ("tokens", "options"),
    [
        (["one"], {}),
        (["<b>", "</script>"], {}),
        (["猫", "👩‍🔬"], {}),
        (["$x^2$", "_{"], {}),
        (["", "a\nb\u202e"], {}),
        (["\ud83d", "a" * 60], {}),
        (["a", "b"], {"title": "$<b>猫"}),
    ],
)
def test_any_token_can_be_drawn_and_said(tokens, options):
    size = len(tokens)
    explorer = AttentionExplorer([torch.eye(size)[None]], tokens, **options)
    assert Image.open(io.BytesIO(explorer.picture())).width == 700
    explorer.describe().encode("utf-8")
    state = re.search(r'application/json">(.*?)</script>', explorer.to_html())[1]
    assert json.loads(state)["content"]["rows"] == explorer.content["rows"]


def test_a_text_that_is_all_masked_is_drawn_and_said():
    explorer = AttentionExplorer([torch.zeros(1, 2, 2)], ["a", "b"])
    assert explorer.describe().endswith("where “a” may look at nothing.")
    assert explorer.content["mask"] == bytes(4)
    assert explorer.picture()


def reading(**answers):
    """An explorer whose reader answers with tokens, or raises what it is told."""

    def read(text):
        answer = answers.get(text, text.split())
        if isinstance(answer, Exception):
            raise answer
        return answer, weights(rows=len(answer))

    return AttentionExplorer(weights(), TOKENS, read=read, query=3, layer=1)


SCRIPT = """
const fs = require("fs");
import("./transformer_lab/instruments/view/attention.js").then((m) => {
  const { content, cells } = JSON.parse(fs.readFileSync(process.argv[1], "utf8"));
  const view = ({ $bytes }) => {
    const bytes = Buffer.from($bytes, "base64");
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  };
  for (const name of ["weights", "values", "mask"]) content[name] = view(content[name]);
  const data = m.read(content);
  console.log(JSON.stringify(cells.map(([layer, head, row, column]) => {
    const traits = { layer, head, pinned: [], sort: "order", query: null };
    const point = { type: "point", cell: { row, column } };
    const state = m.reduce(m.begin((name) => traits[name]), point);
    return m.sentence(data, state, m.shown(data, state));
  })));
});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_two_hundred_read_outs_are_torchs_at_the_shown_precision(tmp_path):
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    given = weights(mask=mask)
    content = export.plain(AttentionExplorer(given, TOKENS, mask=mask).content)
    cells = np.random.default_rng(0).integers(0, (2, 3, 5, 5), (200, 4)).tolist()
    path = tmp_path / "cells.json"
    path.write_text(json.dumps({"content": content, "cells": cells}), encoding="utf-8")
    run = subprocess.run(
        ["node", "-e", SCRIPT, str(path)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    for (layer, head, row, column), said in zip(cells, json.loads(run.stdout), strict=True):
        line = given[f"layers.{layer}.attention"][0, head, row]
        assert said.startswith(f"layer {layer} head {head}: ")
        if column > row:
            assert said.endswith("(masked)")
            continue
        weight, rank, of = re.search(r"weight (\d\.\d{3}), rank (\d) of (\d)", said).groups()
        assert abs(float(weight) - line[column].item()) <= 0.0005 + 7.7e-6
        assert int(of) == row + 1
        assert int(rank) == 1 + (line > line[column] + 1e-5).sum()


def test_a_typed_text_is_read_and_replaces_the_numbers():
    explorer = reading()
    explorer.text = "<b> 👩‍🔬"
    assert explorer.content["rows"] == ["<b>", "👩‍🔬"]
    assert sent(explorer).shape == (6, 2, 2)
    assert (explorer.query, explorer.layer, explorer.message) == (None, 1, "")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_answered_with_a_sentence(text):
    explorer = reading()
    explorer.text = "a"
    explorer.text = text
    assert explorer.message == "Type a word or a sentence first."
    assert explorer.content["rows"] == ["a"]


def test_an_error_while_reading_is_said_as_a_sentence_and_the_old_text_stays():
    explorer = reading(long=ValueError("the text has 900 tokens, minilm reads at most 512"))
    explorer.text = "long"
    assert explorer.message == (
        "This text could not be read: the text has 900 tokens, minilm reads at most 512"
    )
    assert explorer.content["rows"] == TOKENS
    explorer.text = "a b"
    assert explorer.message == ""


def test_a_text_beyond_the_cap_shows_scores_only():
    explorer = reading()
    explorer.text = " ".join(["a"] * 130)
    assert (explorer.content["sent"], explorer.content["cap"]) == ([], CAP)


def test_without_a_reader_a_text_cannot_be_read():
    explorer = AttentionExplorer(weights(), TOKENS)
    explorer.text = "hello"
    assert "no `read`" in explorer.message
    assert explorer.content["reads"] is False


def test_other_numbers_may_have_another_size():
    explorer = AttentionExplorer(weights(), TOKENS, layer=1, head=2, pinned=[[1, 2]], query=4)
    explorer.show(weights(1, 1, 2), ["a", "b"])
    assert (explorer.layer, explorer.head, explorer.pinned, explorer.query) == (0, 0, [], None)
    with pytest.raises(ValueError, match="T = 1"):
        explorer.show(weights(1, 1, 2), ["a"])
    assert explorer.content["rows"] == ["a", "b"]


def test_a_page_of_one_layer_is_small_and_the_whole_is_not_much_larger(tmp_path):
    explorer = AttentionExplorer(weights(6, 12, 32), [f"t{i}" for i in range(32)], pinned=[[1, 1]])
    one = explorer.to_html(tmp_path / "one.html", layer=2)
    assert (tmp_path / "one.html").stat().st_size <= 400_000
    assert '"layers":[2]' in one
    assert '"pinned":[]' in one
    assert len(explorer.to_html()) <= 1_200_000


def test_a_page_of_a_layer_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"layer must be among \(0, 1\), not 2"):
        AttentionExplorer(weights(), TOKENS).to_html(layer=2)


def test_a_page_of_one_layer_of_a_long_text_carries_all_its_heads():
    page = large(CAP, layers=2).to_html(layer=1)
    assert '"sent":[[1,0],' in page
    assert '"thumbs":null' in page
