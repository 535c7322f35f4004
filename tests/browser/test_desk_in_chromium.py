"""The head desk in a hand: as an exported page, linked with others, and in JupyterLab."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gallery import IDS, PIECES, TOKENS, desk, encoder_desk, explorer, language_model
from playwright.sync_api import expect

from transformer_lab.instruments import export
from transformer_lab.recording import silence_heads

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
T = len(IDS)


@pytest.fixture
def shown(visit, tmp_path):
    """shown(make, context={...}, **options) -> the page of a desk, opened."""

    def show(make=desk, context=None, **options):
        make(**options).to_html(path := tmp_path / "desk.html")
        return visit(path, **(context or {}))

    return show


def torchs(silent):
    """(T - 1) losses and (T, V) shares with these heads silenced, straight from torch."""
    heads = {}
    for layer, head in silent:
        heads.setdefault(layer, []).append(head)
    model = language_model()
    with torch.no_grad(), silence_heads(model, heads):
        logits = model(torch.tensor([IDS]))[0]
    return F.cross_entropy(logits[:-1], torch.tensor(IDS[1:]), reduction="none"), logits.softmax(-1)


def head(page, layer, number):
    return page.get_by_label(re.compile(f"^layer {layer} head {number}(,|$)"))


def silence(page, layer, number):
    """The first click on another head looks at it, the second silences it."""
    head(page, layer, number).click()
    button = page.locator(".tl-switches button").first
    expect(button).to_contain_text(f"layer {layer} head {number}")
    head(page, layer, number).click()


def settled(page):
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")


def numbers(page):
    """The large numbers, in order."""
    settled(page)
    texts = page.locator(".tl-outcome b").all_inner_texts()
    return [float(text.replace("−", "-")) for text in texts]


def test_the_second_click_silences_a_head_and_the_numbers_are_torchs(shown):
    page = shown()
    before, _ = torchs([])
    assert numbers(page) == pytest.approx([float(before.mean())] * 2 + [0], abs=0.00051)
    head(page, 1, 2).click()
    expect(page.locator("h4").last).to_have_text("layer 1 head 2")
    assert numbers(page)[2] == 0, "looking silences nothing"
    head(page, 1, 2).click()
    now, _ = torchs([[1, 2]])
    change = now - before
    means = [float(x.mean()) for x in (before, now, change)]
    assert numbers(page) == pytest.approx(means, abs=0.00051)
    expect(page.locator(".tl-head[data-silent]")).to_have_count(1)
    expect(head(page, 1, 2)).to_have_attribute("aria-label", "layer 1 head 2, silenced")
    most = int(change.abs().argmax())
    expect(page.locator(".tl-words-below")).to_contain_text(f"{abs(change[most]):.3f}")
    head(page, 1, 2).click()
    assert numbers(page)[2] == 0
    expect(page.locator(".tl-head[data-silent]")).to_have_count(0)


def test_every_head_and_token_reads_as_in_torch(shown):
    page = shown()
    before, _ = torchs([])
    for layer, number in [(0, 3), (1, 0), (1, 3)]:
        silence(page, layer, number)
        now, shares = torchs([[layer, number]])
        for row in (1, 4, T - 1):
            page.locator(".tl-strip .tl-word").nth(row).click()
            settled(page)
            said = re.findall(r"[+−]?\d+\.\d{3}", page.locator(".tl-readout").first.inner_text())
            exact = [before[row - 1], now[row - 1], now[row - 1] - before[row - 1]]
            read = [float(text.replace("−", "-")) for text in said]
            np.testing.assert_allclose(read, exact, atol=0.00051)
            cells = page.locator(".tl-next tbody td:nth-child(4)").all_inner_texts()
            top = shares[row].topk(5)
            np.testing.assert_allclose([float(c) for c in cells], top.values, atol=0.00051)
            words = page.locator(".tl-next tbody td:nth-child(3)").all_inner_texts()
            signs = {" a": "␣a", "\n": "↵"}
            expected = [signs.get(PIECES[i], PIECES[i]) for i in top.indices.tolist()]
            assert [word.removesuffix(" ✓") for word in words] == expected
        head(page, layer, number).click()


def test_the_text_goes_on_where_the_next_token_is_known(shown):
    page = shown(query=2)
    truth = float(torchs([])[1][2, IDS[3]])
    note = page.locator(".tl-next .tl-quiet").last
    expect(note).to_have_text(
        f"✓ The text goes on with “the” (3): {truth:.3f} with all heads, {truth:.3f} now."
    )
    page.locator(".tl-strip .tl-word").last.click()
    expect(note).to_have_text("This is where the text ends.")


def test_two_heads_on_a_page_say_that_they_need_the_notebook(shown):
    page = shown()
    silence(page, 0, 1)
    silence(page, 1, 1)
    expect(page.locator(".tl-words-below")).to_have_text(
        "2 heads silenced together need the notebook. This page answers for one head at a time."
    )
    expect(page.locator(".tl-outcome b").nth(1)).to_have_text("…")
    silence(page, 0, 1)
    assert numbers(page)[1] == pytest.approx(float(torchs([[1, 1]])[0].mean()), abs=0.00051)


def test_the_heads_that_were_silenced_when_it_was_saved_are_answered(shown):
    both = [[0, 0], [1, 2]]
    page = shown(silenced=both)
    assert numbers(page)[1] == pytest.approx(float(torchs(both)[0].mean()), abs=0.00051)
    page.get_by_role("button", name="All heads on").click()
    assert numbers(page)[2] == 0
    expect(page.get_by_role("button", name="All heads on")).to_be_disabled()
    assert page.evaluate("document.activeElement.textContent") == "Silence layer 0 head 0"
    page.get_by_role("button", name="Silence all of layer 0").click()
    expect(page.locator(".tl-head[data-silent]")).to_have_count(4)
    page.get_by_role("button", name="Turn on all of layer 0").click()
    expect(page.locator(".tl-head[data-silent]")).to_have_count(0)


def test_everything_can_be_done_by_keyboard_alone(shown):
    page = shown()

    def focused(script="e => e.ariaLabel ?? e.innerText"):
        return page.evaluate(f"({script})(document.activeElement)")

    page.keyboard.press("Tab")
    assert focused().startswith("“the” (0)")
    for key in ("ArrowRight", "End", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    settled(page)
    expect(page.locator(".tl-next h4")).to_have_text(
        "What the model expects after “👩U+200D🔬”".replace("U+200D", "\u200d")
    )
    page.keyboard.press("Tab")
    assert focused("e => e.tagName") == "SELECT"
    page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
        settled(page)
    assert focused() == "layer 1 head 1, silenced"
    assert numbers(page)[1] == pytest.approx(float(torchs([[1, 1]])[0].mean()), abs=0.00051)
    page.keyboard.press("Space")
    assert numbers(page)[2] == 0
    for name in ("Silence layer 1 head 1", "Silence all of layer 1", "Silence each head alone"):
        page.keyboard.press("Tab")
        assert focused() == name
    page.keyboard.press("Enter")
    expect(page.locator(".tl-alone table")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused() == "Pin layer 1 head 1"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused("e => e.tagName") == "SELECT"


def test_each_head_alone_stands_beside_its_attention_score(shown):
    page, one = shown(), desk()
    page.get_by_role("button", name="Silence each head alone").click()
    alone = one.alone()
    order = sorted(alone, key=lambda place: -alone[place])
    rows = page.locator(".tl-alone tbody tr")
    names = rows.locator("th").all_inner_texts()
    assert names == [f"layer {layer} head {number}" for layer, number in order]
    changes = rows.locator("td:nth-child(2)").all_inner_texts()
    read = [float(text.replace("−", "-")) for text in changes]
    np.testing.assert_allclose(read, [alone[place] for place in order], atol=0.00051)
    for key, values in (
        ("largest", one._heads.weights.max(-1).mean(-1)),
        ("previous", {s.key: s.values for s in one._heads.scores}["previous"]),
    ):
        page.get_by_label("attention score beside it").select_option(key)
        settled(page)
        scores = rows.locator("td:nth-child(3)").all_inner_texts()
        expected = [values[layer, number] for layer, number in order]
        np.testing.assert_allclose([float(x) for x in scores], expected, atol=0.00051)
        ranks = [np.argsort(np.argsort(x)) for x in (list(alone.values()), np.ravel(values))]
        said = page.locator(".tl-alone > p").inner_text()
        found = re.search(r": ([+−]?\d\.\d\d) over 8 heads", said)[1].replace("−", "-")
        assert float(found) == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=0.0051)
    page.get_by_label("sort by").select_option("alone")
    settled(page)
    captions = page.locator(".tl-head .tl-caption b").all_inner_texts()
    assert [float(x) for x in captions] == sorted((float(x) for x in captions), reverse=True)
    page.get_by_role("button", name="Hide the list").click()
    expect(page.locator(".tl-alone")).to_be_hidden()


def test_two_pinned_heads_are_compared(shown):
    page = shown()
    page.get_by_role("button", name="Pin layer 0 head 0").click()
    head(page, 1, 3).click()
    page.get_by_role("button", name="Pin layer 1 head 3").click()
    expect(page.locator("h4").last).to_have_text("layer 0 head 0 − layer 1 head 3")
    signs = "orange: more in layer 0 head 0, blue: more in layer 1 head 3"
    expect(page.locator(".tl-right .tl-readout")).to_contain_text(signs)
    head(page, 0, 2).click()
    expect(page.locator("h4").last).to_have_text("layer 0 head 2")


def test_a_cell_is_read_out_with_its_weight(shown):
    page, weights = shown(), desk()._heads.weights
    head(page, 1, 1).click()
    box = page.locator(".tl-board canvas").bounding_box()
    for row, column in ((3, 1), (7, 7)):
        x = box["x"] + (column + 0.5) * box["width"] / T
        page.mouse.move(x, box["y"] + (row + 0.5) * box["height"] / T)
        settled(page)
        said = page.locator(".tl-right .tl-readout").inner_text()
        weight = float(re.search(r"weight (\d\.\d{3})", said)[1])
        assert weight == pytest.approx(weights[1, 1, row, column], abs=0.00052)


def test_an_encoder_says_how_far_its_states_move(shown):
    page, one = shown(encoder_desk), encoder_desk(silenced=[[0, 2]])
    assert numbers(page) == [0, 1]
    silence(page, 0, 2)
    cosine = one.result["cosines"][0]
    assert numbers(page) == pytest.approx([one.after, cosine], abs=0.00051)
    expect(page.locator(".tl-next")).to_be_hidden()
    moved = np.frombuffer(one.result["tokens"], "<f4")
    page.locator(".tl-strip .tl-word").nth(2).click()
    expect(page.locator(".tl-readout").first).to_contain_text(f"moves by {moved[2]:.3f}")


def test_the_table_and_the_copied_text_hold_the_numbers(shown):
    page = shown(silenced=[[0, 1]])
    page.evaluate(
        "() => { navigator.clipboard ??= {};"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    before, now = torchs([])[0], torchs([[0, 1]])[0]
    exact = torch.stack([before, now, now - before], -1)
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied 8 tokens.")).to_be_visible()
    lines = page.evaluate("window.copied").strip().split("\n")
    assert lines[0] == ',"loss, all heads",loss now,change'
    assert lines[1] == "the,,,"
    copied = [[float(x) for x in line.split(",")[1:]] for line in lines[2:]]
    np.testing.assert_allclose(copied, exact, atol=1.1e-5)
    page.get_by_role("button", name="Show as table").click()
    cells = page.locator(".tl-table").last.locator("tbody tr").nth(3).locator("td")
    read = [float(text.replace("−", "-")) for text in cells.all_inner_texts()]
    np.testing.assert_allclose(read, exact[2], atol=0.00051)


def test_a_token_is_never_markup_and_every_focusable_element_keeps_its_keys(shown):
    page = shown(title="<i>title</i>", silenced=[[0, 0]], query=5)
    page.get_by_role("button", name="Silence each head alone").click()
    page.get_by_role("button", name="Show as table").click()
    settled(page)
    assert page.locator(".tl :is(img:not(.tl-head img), i, script)").count() == 0
    assert page.locator(".tl-strip .tl-token").all_inner_texts() == TOKENS
    marks = page.locator(
        ".tl :is(button, input, select, textarea, summary, a, [tabindex])"
    ).evaluate_all("(all) => all.map((e) => e.getAttribute('data-lm-suppress-shortcuts'))")
    assert len(marks) > 20
    assert set(marks) == {"true"}
    assert page.locator("[id]").count() == 0


def test_the_desk_waits_for_a_prediction(shown):
    page = shown(predict=("Which head?", ["this", "that"]))
    assert page.locator("canvas, .tl-head img").count() == 0
    page.get_by_label("that").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.locator(".tl-head img")).to_have_count(8)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(shown, scheme):
    page = shown(silenced=[[0, 1], [1, 2]], query=4, context={"color_scheme": scheme})
    page.get_by_role("button", name="Silence each head alone").click()
    page.get_by_role("button", name="Show as table").click()
    settled(page)
    result = page.evaluate(CONTRAST)
    assert result["found"] == []
    assert result["seen"] > 100


@pytest.mark.parametrize("make", [desk, encoder_desk])
def test_at_600_pixels_nothing_is_cut_off(shown, make):
    page = shown(
        make, silenced=[[0, 1]], query=2, context={"viewport": {"width": 600, "height": 900}}
    )
    page.get_by_role("button", name="Silence each head alone").click()
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    edges = page.locator(".tl :is(button, canvas, select, span, td)").evaluate_all(
        "(all) => all.map((e) => e.getBoundingClientRect()).flatMap((b) => [b.left, b.right])"
    )
    assert min(edges) >= 0
    assert max(edges) <= 600


def test_a_text_beyond_the_cap_can_still_lose_heads(shown):
    def long():
        from transformer_lab.instruments.desk import HeadDesk

        return HeadDesk(language_model(max_len=256), IDS * 17, TOKENS * 17)

    page = shown(long)
    expect(page.locator(".tl-notice")).to_contain_text("136 tokens; up to 128 are drawn")
    assert page.locator(":is(canvas, .tl-head img):visible").count() == 0
    silence(page, 1, 0)
    expect(page.locator(".tl-words-below")).to_have_text("Silenced: layer 1 head 0.")
    assert numbers(page)[2] != 0


def test_a_token_chosen_in_one_instrument_is_chosen_in_its_group(visit, tmp_path):
    ours = [explorer(group="one"), desk(group="one"), explorer(group="other"), explorer()]
    parts = [export.Part(o._esm, o._css, o.state(), o.describe()) for o in ours]
    (tmp_path / "two.html").write_text(export.page("Linked", parts), encoding="utf-8")
    page = visit(tmp_path / "two.html")
    places = page.locator(".tl").all()
    assert len(places) == 4

    def chosen():
        settled(page)
        names = [place.locator(".tl-is-query .tl-token").all_inner_texts() for place in places]
        return [words[0] if words else None for words in names]

    places[0].locator(".tl-text .tl-word").nth(4).click()
    page.mouse.move(2, 2)
    assert chosen() == ["dog", "dog", None, None]
    expect(places[1].locator(".tl-next h4")).to_have_text("What the model expects after “dog”")
    places[1].locator(".tl-strip .tl-word").nth(1).click()
    assert chosen() == ["cat", "cat", None, None]
    expect(places[0].locator(".tl-readout")).to_contain_text("“cat” attends most to")
    board = places[1].locator(".tl-board canvas")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"] / T, box["y"] + 2.5 * box["height"] / T)
    page.mouse.move(2, 2)
    assert chosen() == ["saw", "saw", None, None]
    places[3].locator(".tl-text .tl-word").nth(7).click()
    page.mouse.move(2, 2)
    assert chosen() == ["saw", "saw", None, "end"]
    places[0].locator(".tl-text .tl-word").nth(2).press("Escape")
    page.evaluate("document.activeElement.blur()")
    assert chosen() == [None, "saw", None, "end"], "letting go stays at home"


SETUP = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from gallery import desk, explorer
one, other = desk(group="g"), explorer(group="g")
"""


def test_in_jupyterlab_python_answers_for_any_heads_and_the_keys_stay_inside(lab):
    notebook = lab("desk.ipynb", [SETUP, "one", "one", "other"])
    page = notebook.page
    expect(page.locator(".tl")).to_have_count(3, timeout=60_000)
    first, second = page.locator(".tl-headdesk").all()
    for layer, number in ((0, 1), (1, 2)):
        silence(first, layer, number)
    now = float(torchs([[0, 1], [1, 2]])[0].mean())
    for view in (first, second):
        expect(view.locator(".tl-outcome b").nth(1)).to_have_text(f"{now:.3f}")
        expect(view.locator(".tl-head[data-silent]")).to_have_count(2)
    assert notebook.python("print(one.silenced, round(one.after, 3))") == (
        f"[[0, 1], [1, 2]] {now:.3f}".rstrip("0")
    )
    notebook.python("one.silenced = [[0, 0]]; one.query = 3")
    expect(first.locator(".tl-words-below")).to_contain_text("Silenced: layer 0 head 0.")
    expect(page.locator(".tl-board").last).to_be_attached()
    expect(page.locator(".tl").last.locator(".tl-readout")).to_contain_text("“the” (3) attends")
    first.get_by_role("button", name="Silence each head alone").click()
    expect(first.locator(".tl-alone tbody tr")).to_have_count(8)
    cells = notebook.cells()
    for target in (".tl-head", ".tl-strip .tl-word", ".tl-switches button", ".tl-board canvas"):
        first.locator(target).first.focus()
        for key in ("d", "d", "b", "x"):
            page.keyboard.press(key)
    page.wait_for_timeout(100)
    assert notebook.cells() == cells
