"""The position explorer in a hand: as an exported page, and in JupyterLab with its kernel."""

import json
import random
import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect

from transformer_lab.instruments.position_explorer import TABS, PositionExplorer
from transformer_lab.positions import sinusoidal

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
FRAMES = "() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))"
SET = "(e, x) => { e.value = x; e.dispatchEvent(new Event('input', { bubbles: true })); }"


@pytest.fixture
def show(visit, tmp_path):
    """show(**arguments, browser={…}) opens the exported page of an explorer."""

    def open_one(browser=None, **arguments):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.html"
        PositionExplorer(**arguments).to_html(path)
        return visit(path, **(browser or {}))

    return open_one


def said(page):
    page.evaluate(FRAMES)
    return page.locator(".tl-readout").first.inner_text()


def slide(page, label, value):
    page.get_by_role("slider", name=label, exact=True).evaluate(SET, str(value))


def number(text):
    return float(text.replace("−", "-"))


def last_number(text, pattern=r"−?\d+\.\d+"):
    return number(re.findall(pattern, text)[-1])


def test_the_pixels_and_the_written_row_are_torchs_table(show):
    page = show(width=10, base=100.0, length=20)
    rng = random.Random(0)
    table = sinusoidal(20, 10, 100.0)
    read = """() => {
      const c = document.querySelector("canvas"), pixels = c.getContext("2d");
      return [c.width, c.height, [...pixels.getImageData(0, 0, c.width, c.height).data]];
    }"""
    width, height, data = page.evaluate(read)
    assert (width, height) == (10, 20)
    pixels = torch.tensor(data).view(20, 10, 4)
    ends = torch.tensor([[0, 114, 178], [204, 102, 0]])
    x = table.double()[..., None]
    wanted = 255 + (torch.where(x < 0, ends[0], ends[1]) - 255) * x.abs()
    assert (pixels[..., :3] - wanted).abs().max() <= 1
    box = page.locator("canvas").bounding_box()
    for _ in range(12):
        m, c = rng.randrange(20), rng.randrange(10)
        page.mouse.click(
            box["x"] + (c + 0.5) * box["width"] / 10, box["y"] + (m + 0.5) * box["height"] / 20
        )
        text = said(page)
        assert text.startswith(f"Position {m}, column {c}: {'cos' if c % 2 else 'sin'}(")
        assert abs(number(re.search(r"\) = (\S+)\.", text)[1]) - table[m, c].item()) < 0.0005 + 1e-5
        shown = page.locator(".tl-numbers span:not(.tl-quiet)").all_inner_texts()
        assert (
            max(abs(number(t) - v) for t, v in zip(shown, table[m].tolist(), strict=True)) < 0.00501
        )
        expect(page.locator(".tl-here")).to_have_text(shown[c])


def test_base_and_width_change_the_waves(show):
    page = show()
    slide(page, "base", 2)
    slide(page, "width D", 8)
    assert "÷ 100^(4/8)" in said(page)
    assert page.evaluate("document.querySelector('canvas').width") == 8
    expect(page.locator(".tl-numbers span:not(.tl-quiet)")).to_have_count(8)
    page.get_by_role("button", name="Start again").click()
    assert "10,000^(4/32)" in said(page)


def test_the_product_depends_on_the_distance_only_until_the_cosine_is_dropped(show):
    page = show(tab="distance", position=5, other=10)
    rows = sinusoidal(48, 32).double()
    texts = []
    for m, n in ((5, 10), (20, 25), (47, 42)):
        slide(page, "pinned position m", m)
        slide(page, "other position n", n)
        texts.append(said(page))
        shown = number(re.search(r"= (\S+)\. Any", texts[-1])[1])
        assert abs(shown - float(rows[m] @ rows[n])) < 0.00051
    assert len({last_number(text) for text in texts}) == 1
    page.get_by_label("drop the cosine").check()
    alone = said(page)
    assert alone.startswith("Sines alone: PE(47) · PE(42)")
    slide(page, "pinned position m", 5)
    slide(page, "other position n", 10)
    assert alone.split("=")[1].split(" Any")[0] != said(page).split("=")[1].split(" Any")[0]
    sines = rows[:, ::2]
    assert f"= {float(sines[5] @ sines[10]):.3f}." in said(page)


def test_the_plot_can_be_dragged(show):
    page = show(tab="distance", position=20, other=10)
    box = page.locator(".tl-plot").bounding_box()
    dot = page.locator(".tl-dot").bounding_box()
    step = box["width"] / 640 * (640 - 52 - 22) / 94
    x, y = dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 15 * step, y, steps=5)
    page.mouse.up()
    assert "PE(20) · PE(25)" in said(page)
    moved = page.locator(".tl-dot").bounding_box()
    assert moved["x"] - dot["x"] == pytest.approx(15 * step, abs=1)


def test_both_hands_together_keep_the_score_and_one_alone_changes_it(show):
    page = show(tab="hands")
    score = page.locator(".tl-sum b")
    first = score.inner_text()
    assert abs(number(first) - PositionExplorer(tab="hands").hand_score()) < 0.00051
    turned = page.locator(".tl-clock").first.inner_html()
    slide(page, "move both", 30)
    assert said(page) == (f"Both moved 23 on and are still 5 apart: the score stays {first}.")
    assert score.inner_text() == first
    assert page.locator(".tl-clock").first.inner_html() != turned
    slide(page, "query at", 40)
    text = said(page)
    assert text.startswith(f"Only the query moved, from 35 to 40: the score goes from {first} to ")
    one = PositionExplorer(tab="hands", position=40, other=30)
    assert abs(number(score.inner_text()) - one.hand_score()) < 0.00051
    shares = page.locator(".tl-clocks b").all_inner_texts()
    assert sum(map(number, shares)) == pytest.approx(one.hand_score(), abs=0.003)


def test_slopes_and_their_heads(show):
    page = show(tab="slopes")
    slide(page, "heads", 12)
    slide(page, "head", 9)
    slide(page, "distance", 10)
    assert "Head 9 subtracts 0.3536 a step: its bias at distance 10 is −3.536." in said(page)
    assert said(page).endswith("e^−3.536 = 0.029.")
    expect(page.locator(".tl-plot polyline")).to_have_count(13)
    slide(page, "heads", 4)
    assert "Head 3 subtracts" in said(page)


def scores(page):
    """The present score of each scheme, and whether it says that it stays."""
    page.evaluate(FRAMES)
    texts = page.locator(".tl-score-row .tl-number").all_inner_texts()
    return [number(re.findall(r"−?\d+\.\d+", t)[-1]) for t in texts], ["stays" in t for t in texts]


def order(page):
    page.evaluate(FRAMES)
    return page.locator(".tl-words-row .tl-token").all_inner_texts()


def assert_scores(page, now):
    one = PositionExplorer(tab="move", order=now)
    for shown, exact in zip(scores(page)[0], one.scores().values(), strict=True):
        assert abs(shown - exact) < 0.0005 + 1e-5


def test_a_dragged_word_changes_what_depends_on_its_place(show):
    page = show(tab="move")
    first = page.locator(".tl-words-row button").nth(0).bounding_box()
    third = page.locator(".tl-words-row button").nth(2).bounding_box()
    page.mouse.move(first["x"] + 10, first["y"] + 20)
    page.mouse.down()
    page.mouse.move(third["x"] + third["width"] - 4, third["y"] + 20, steps=12)
    page.mouse.up()
    assert order(page) == ["dog", "chased", "the", "the", "cat", "today"]
    assert scores(page)[1] == [True, False, True, True]
    assert "only the sinusoidal score changes" in said(page)
    assert_scores(page, [1, 2, 0, 3, 4, 5])
    page.get_by_role("button", name="Start again").click()
    assert scores(page)[1] == [True] * 4


def test_arrow_keys_move_a_word_which_keeps_the_focus(show):
    page = show(tab="move")
    dog = page.get_by_role("button", name="“dog”")
    dog.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        page.evaluate(FRAMES)
        expect(dog).to_be_focused()
    assert order(page) == ["the", "chased", "the", "cat", "dog", "today"]
    assert_scores(page, [0, 2, 3, 4, 1, 5])
    page.keyboard.press("Home")
    assert order(page)[0] == "dog"
    page.keyboard.press("End")
    assert order(page)[-1] == "dog"
    assert scores(page)[1] == [True, False, False, False]
    page.get_by_role("button", name="“cat”").focus()
    page.keyboard.press("Enter")
    assert said(page).startswith("“cat” at ")
    page.locator("select").nth(1).select_option("5")
    assert "“today”" in said(page)


def test_a_finger_drags_a_word_as_a_mouse_does(show):
    page = show(tab="move", browser={"has_touch": True})
    boxes = [b.bounding_box() for b in page.locator(".tl-words-row button").all()]
    client = page.context.new_cdp_session(page)
    y = boxes[0]["y"] + 20
    far = boxes[4]["x"] + boxes[4]["width"] - 3
    for kind, x in (("touchStart", boxes[5]["x"] + 9), ("touchMove", far), ("touchMove", far - 9),
                    ("touchMove", boxes[3]["x"] + 3), ("touchEnd", None)):  # fmt: skip
        points = [] if x is None else [{"x": x, "y": y}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.evaluate(FRAMES)
    assert order(page) == ["the", "dog", "chased", "today", "the", "cat"]


def test_everything_can_be_reached_by_keyboard_alone(show):
    page = show()
    page.keyboard.press("Tab")
    for name in ("Distance", "Clock hands", "Slopes", "Move a word"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Home")
    assert said(page).startswith("Position 12")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.locator("canvas")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert said(page).startswith("Position 13, column 6: sin(13 ÷ 10,000^(6/34))")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    table = page.locator(".tl-table")
    expect(table.locator("tbody tr")).to_have_count(17)
    expect(table.locator("caption")).to_have_text("position 13")
    page.keyboard.press("Enter")
    expect(table).to_have_count(0)


@pytest.mark.parametrize(("tab", "lines"), [*zip(TABS, (16, 48, 5, 8, 4), strict=True)])
def test_each_tab_is_copied_as_csv(show, tab, lines):
    page = show(tab=tab)
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert len(page.evaluate("window.copied").splitlines()) == lines + 1


def test_a_token_is_text_and_never_markup(show):
    page = show(tab="move", tokens=["<img src=x onerror=alert(1)>", " ", "日本"], title="<b>b</b>")
    assert page.locator("img, b").count() == 0
    assert order(page) == ["<img␣src=x␣onerror=alert(1)>", "␣", "日本"]
    expect(page.locator("h3")).to_have_text("<b>b</b>")


def test_a_question_stands_alone_until_it_is_answered(show):
    page = show(tabs=["hands"], predict=("Does the score stay?", ["it stays", "it changes"]))
    assert page.locator(".tl-clock").count() == 0
    page.get_by_label("it stays").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.get_by_text("You said: it stays")).to_be_visible()
    expect(page.locator(".tl-clock")).to_have_count(4)
    expect(page.get_by_role("tab")).to_have_count(0)


def test_a_token_chosen_elsewhere_in_the_group_is_chosen_here(show):
    page = show(tab="move", group="g", query=1, key=0)
    hear = """() => { window.heard = [];
      document.addEventListener("tl-choose", ({ detail }) => window.heard.push(detail.index)); }"""
    page.evaluate(hear)
    choose = "detail: { group: 'g', from: {}, index: 4 }"
    page.evaluate(f"() => document.dispatchEvent(new CustomEvent('tl-choose', {{ {choose} }}))")
    assert said(page).startswith("“cat” at 4")
    page.get_by_role("button", name="“dog”").click()
    assert page.evaluate("window.heard") == [4, 1]


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_and_all_focus_is_marked(show, tab, scheme):
    page = show(tab=tab, cosine=False, browser={"color_scheme": scheme})
    page.get_by_role("button", name="Show as table").click()
    expect(page.locator(".tl-table")).to_be_visible()
    found = page.evaluate(CONTRAST)
    assert found["found"] == []
    assert found["seen"] > 15
    drawn = page.evaluate(
        """() => [...document.querySelectorAll("svg text")].map((e) => getComputedStyle(e).fill)"""
    )
    back = 255 if scheme == "light" else 17
    for fill in set(drawn):
        a, b = sorted((luminance(map(int, re.findall(r"\d+", fill)[:3])), luminance([back] * 3)))
        assert (b + 0.05) / (a + 0.05) >= 4.5, fill
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


def luminance(rgb):
    parts = [x / 255 for x in rgb]
    parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(x * w for x, w in zip(parts, (0.2126, 0.7152, 0.0722), strict=True))


EXTREME = {"length": 128, "width": 64, "heads": 16, "head": 0, "position": 127, "other": 0}
LONG = {"tokens": ["unbelievable"] * 12, "q": [1.0] * 12, "k": [-1.0] * 12, "base": 10.0}


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("state", [{}, EXTREME | LONG], ids=["plain", "extreme"])
@pytest.mark.parametrize("width", [485, 600])  # 485: a cell of JupyterLab in a window of 600
def test_nothing_is_cut_off_at_600_pixels(show, tab, state, width):
    page = show(tab=tab, browser={"viewport": {"width": width, "height": 900}}, **state)
    page.evaluate(FRAMES)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        """() => [...document.querySelectorAll(".tl *")].filter((e) => e.clientWidth
        && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible")
        .map((e) => e.className)"""
    )
    assert wide == []


SETUP = """
import json
from transformer_lab.instruments.position_explorer import PositionExplorer
places = PositionExplorer(tab="hands")
"""


def test_in_jupyterlab_python_and_two_copies_agree_and_no_key_edits_the_notebook(lab):
    notebook = lab("places.ipynb", [SETUP, "places", "places", "1 + 1"])
    page, cells = notebook.page, notebook.cells()
    page.wait_for_selector(".tl-places >> nth=1")
    first = page.locator(".tl-places").first
    first.get_by_role("slider", name="move both").evaluate(SET, "20")
    page.wait_for_timeout(500)
    asked = "print(json.dumps([places.position, places.other, places.hand_score()]))"
    position, other, score = json.loads(notebook.python(asked))
    assert (position, other) == (25, 20)
    for copy in page.locator(".tl-places").all():
        expect(copy.locator(".tl-sum b")).to_have_text(f"{score:.3f}")
    notebook.python("places.tab = 'move'; places.order = [1, 2, 0, 3, 4, 5]")
    for copy in page.locator(".tl-places").all():
        expect(copy.locator(".tl-readout")).to_contain_text("only the sinusoidal score changes")
    for place in (".tl-words-row button", ".tl-places select", ".tl-tabs button"):
        page.locator(place).first.focus()
        for key in ("d", "d", "b", "x", "ArrowLeft", "ArrowRight"):
            page.keyboard.press(key)
    notebook.python("places.tab = 'waves'")
    page.locator("canvas.tl-waves").first.focus()
    for key in ("d", "d", "b", "x", "ArrowDown"):
        page.keyboard.press(key)
    assert notebook.cells() == cells
