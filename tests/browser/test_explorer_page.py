"""The attention explorer as an exported page: read from a file, without kernel or network."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from playwright.sync_api import expect

from transformer_lab.instruments import wire
from transformer_lab.instruments.attention import AttentionExplorer

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
TOKENS = ["[CLS]", "the", "cat", "saw", "the", "<b>dog</b>", "👩‍🔬", "[SEP]"]
CAUSAL = np.tri(8, dtype=bool)


def weights(layers=2, count=3, size=8, mask=None):
    values = np.random.default_rng(0).dirichlet(np.full(size, 0.4), (layers, count, size))
    if mask is not None:
        values *= mask
        values /= values.sum(-1, keepdims=True)
    return values.astype(np.float32)


@pytest.fixture
def shown(visit, tmp_path):
    """shown(weights, tokens, context={...}, **options) -> the page of an explorer, opened."""

    def show(values=None, tokens=TOKENS, context=None, **options):
        values = weights() if values is None else values
        explorer = AttentionExplorer(list(values), tokens, **options)
        explorer.to_html(path := tmp_path / "explorer.html")
        return visit(path, **(context or {}))

    return show


def head(page, layer, number):
    return page.get_by_label(re.compile(f"^layer {layer} head {number}(,|$)"))


def said(page):
    return page.locator(".tl-readout").inner_text()


def over(page, row, column, size=8):
    """The pointer to the middle of a cell of the large matrix."""
    box = page.locator(".tl-board canvas").bounding_box()
    x = box["x"] + (column + 0.5) * box["width"] / size
    y = box["y"] + (row + 0.5) * box["height"] / size
    page.mouse.move(x, y)
    return x, y


def settled(page):
    """Two frames on: what was asked for is drawn."""
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")


def middles(canvas, size=8):
    """RGBA in the middle of each cell of a canvas or an image, (size, size, 4)."""
    rows = canvas.evaluate(
        """async (drawn, size) => {
          let canvas = drawn;
          if (drawn.tagName === "IMG") {
            await drawn.decode();
            canvas = new OffscreenCanvas(drawn.naturalWidth, drawn.naturalHeight);
            canvas.getContext("2d").drawImage(drawn, 0, 0);
          }
          const step = canvas.width / size, context = canvas.getContext("2d");
          const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
          const at = (i, j) => 4 * (Math.floor((i + .5) * step) * canvas.width
            + Math.floor((j + .5) * step));
          return Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) =>
            [...data.slice(at(i, j), at(i, j) + 4)]));
        }""",
        size,
    )
    return np.array(rows)


def cividis(values):
    """The colours that the numbers have after their way to the browser."""
    packed = wire.unpack_probabilities(wire.pack_probabilities(values), values.shape)
    index = np.floor(255 * packed.astype(np.float32).astype(float) + 0.5).astype(int)
    return matplotlib.colormaps["cividis"](index, bytes=True)


def test_what_is_read_out_is_the_number(shown):
    values, page = weights(), shown()
    rng = np.random.default_rng(1)
    for layer, number, row, column in rng.integers(0, (2, 3, 8, 8), (8, 4)):
        head(page, layer, number).click()
        over(page, row, column)
        settled(page)
        words = re.fullmatch(
            r"layer (\d+) head (\d+): .*, weight (\d\.\d{3}), rank (\d) of 8", said(page)
        )
        line = values[layer, number, row]
        assert (int(words[1]), int(words[2])) == (layer, number)
        assert abs(float(words[3]) - line[column]) <= 0.0005 + 7.7e-6
        assert int(words[4]) == 1 + (line > line[column] + 1e-5).sum()


def test_each_pixel_has_the_colour_of_its_number(shown):
    values, page = weights(), shown()
    head(page, 1, 2).click()
    settled(page)
    large, small = page.locator(".tl-board canvas"), head(page, 0, 1).locator("img")
    np.testing.assert_array_equal(middles(large), cividis(values[1, 2]))
    np.testing.assert_array_equal(middles(small), cividis(values[0, 1]))


def test_a_difference_is_white_at_zero_and_its_ends_are_the_largest(shown):
    values = weights()
    values[1, 0, 0] = values[0, 0, 0]
    page = shown(values, pinned=[[0, 0], [1, 0]])
    change = values[0, 0].astype(float) - values[1, 0]
    share = change / abs(change).max()
    ends = np.where(share[..., None] < 0, [0, 114, 178], [204, 102, 0])
    expected = 255 + (ends - 255) * abs(share[..., None])
    drawn = middles(page.locator(".tl-board canvas"))[..., :3]
    assert abs(drawn - expected).max() <= 1
    assert (drawn[0] == 255).all()
    limit = f"{abs(change).max():.2f}"
    expect(page.locator(".tl-legend")).to_have_text(f"difference−{limit}+{limit}")


def test_masked_cells_are_hatched_and_said_to_be_masked(shown):
    page = shown(weights(mask=CAUSAL), mask=CAUSAL)
    drawn = middles(page.locator(".tl-board canvas"))
    assert (drawn[CAUSAL][:, 3] == 255).all()
    assert (drawn[~CAUSAL][:, 3] < 255).all()
    assert drawn[~CAUSAL][:, 3].any(), "the hatch crosses the middle of the cell"
    over(page, 2, 5)
    expect(page.locator(".tl-readout")).to_contain_text("may not look at “<b>dog</b>” (masked)")


def test_the_three_colour_scales_say_what_they_do(shown):
    values, page = weights(), shown()
    page.get_by_label("colour").select_option("root")
    settled(page)
    canvas = page.locator(".tl-board canvas")
    assert abs(middles(canvas) - cividis(np.sqrt(values[0, 0])).astype(int)).max() <= 3
    page.get_by_label("colour").select_option("row")
    settled(page)
    share = values[0, 0] / values[0, 0].max(-1, keepdims=True)
    assert abs(middles(canvas) - cividis(share).astype(int)).max() <= 3
    expect(page.locator(".tl-legend")).to_have_text("weight0row’s largest")


def test_a_token_lights_where_it_looks_and_who_looks_at_it(shown):
    values, page = weights()[0, 0], shown()
    words = page.locator(".tl-word")
    words.nth(3).hover()
    settled(page)

    def numbers(part):
        return [float(t or 0) for t in words.locator(part).all_inner_texts()]

    np.testing.assert_allclose(numbers(".tl-up"), values[3], atol=0.0051)
    np.testing.assert_allclose(numbers(".tl-down"), values[:, 3], atol=0.0051)
    arcs = (values[3] >= 0.02).sum() + (values[:, 3] >= 0.02).sum() - 2 * (values[3, 3] >= 0.02)
    assert page.locator(".tl-text path").count() == arcs
    page.mouse.move(5, 5)
    settled(page)
    assert page.locator(".tl-text path").count() == 0


def test_sorting_puts_the_heads_in_the_order_of_the_named_score(shown):
    values, page = weights(), shown()
    page.get_by_label("sort by").select_option("previous")
    settled(page)
    score = np.diagonal(values, -1, 2, 3).mean(-1)
    order = np.argsort(-score, axis=None, kind="stable")
    labels = page.locator(".tl-head").evaluate_all("(all) => all.map((e) => e.ariaLabel)")
    expected = [f"layer {i // 3} head {i % 3}, previous token {score.flat[i]:.2f}" for i in order]
    assert [label.split(", pinned")[0] for label in labels] == expected
    page.get_by_label("sort by").select_option("entropy")
    expect(page.locator(".tl-heads")).to_contain_text("mean entropy of a row, in nats, least first")


def test_six_times_twelve_heads_are_in_sight_at_once(shown):
    page = shown(weights(6, 12))
    boxes = page.locator(".tl-head").evaluate_all(
        "(all) => all.map((e) => e.getBoundingClientRect()).map((b) => [b.width, b.bottom])"
    )
    assert len(boxes) == 72
    assert min(width for width, _ in boxes) >= 30
    assert max(bottom for _, bottom in boxes) <= 900


def test_the_keyboard_alone_reaches_everything(shown):
    values, page = weights(), shown()

    def focused(script="e => e.ariaLabel ?? e.innerText"):
        return page.evaluate(f"({script})(document.activeElement)")

    page.keyboard.press("Tab")
    assert focused() == "“[CLS]”"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settled(page)
    assert "“cat” attends most to" in said(page)
    page.keyboard.press("Tab")
    assert focused("e => e.tagName") == "SELECT"
    page.keyboard.press("Tab")
    assert focused() == "layer 0 head 0"
    for key in ("ArrowDown", "End", "ArrowLeft", "Enter", "ArrowUp", "Home", "Enter"):
        page.keyboard.press(key)
        settled(page)
    assert focused() == "layer 0 head 0, pinned as B"
    expect(page.locator(".tl-zoom h4")).to_have_text("layer 1 head 1 − layer 0 head 0")
    page.keyboard.press("Tab")
    assert focused() == "Show one head"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    settled(page)
    assert focused("e => e.tagName") == "CANVAS"
    for key in ("Home", "ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    settled(page)
    row = values[0, 0, 3]
    assert f"“saw” attends to “the” (1), weight {row[1]:.3f}" in said(page)
    page.keyboard.press("Escape")
    settled(page)
    assert said(page).startswith("Point at")
    page.keyboard.press("Tab")
    assert focused("e => e.tagName") == "SELECT"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("table")).to_be_visible()


def test_three_keys_within_one_frame_are_three_steps(shown):
    page = shown()
    page.locator(".tl-board canvas").evaluate(
        """(canvas) => {
          for (const key of ["ArrowDown", "ArrowRight", "ArrowRight"]) {
            canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          }
        }"""
    )
    expect(page.locator(".tl-readout")).to_contain_text("“[CLS]” attends to “cat”")


def test_every_focusable_element_keeps_its_keys_from_jupyterlab_and_none_has_an_id(shown):
    page = shown(read=lambda text: None, predict=("Which?", ["this", "that"]))
    query = "button, input, select, textarea, summary, a, [tabindex]"
    everything = 0
    for step in ("ask", "draw"):
        marks = page.locator(f".tl :is({query})").evaluate_all(
            "(all) => all.map((e) => e.getAttribute('data-lm-suppress-shortcuts'))"
        )
        assert set(marks) == {"true"}, step
        everything += len(marks)
        if step == "ask":
            page.get_by_role("button", name="Skip").click()
            page.get_by_role("button", name="Show as table").click()
            settled(page)
    assert everything > 20
    assert page.locator("[id]").count() == 0


def test_the_table_and_the_copied_text_hold_the_numbers(shown):
    page = shown()
    page.evaluate("() => { navigator.clipboard.writeText = async (t) => { window.copied = t; }; }")
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied 8 × 8 weights.")).to_be_visible()
    lines = page.evaluate("window.copied").strip().split("\n")
    assert lines[0] == "," + ",".join(TOKENS)
    copied = np.array([[float(x) for x in line.split(",")[1:]] for line in lines[1:]])
    np.testing.assert_allclose(copied, weights()[0, 0], atol=1.3e-5)
    page.get_by_role("button", name="Show as table").click()
    settled(page)
    cells = np.array(page.locator("td:not(:empty)").all_inner_texts(), float).reshape(8, 8)
    np.testing.assert_allclose(cells, weights()[0, 0], atol=0.00051)
    assert page.locator("th[scope=row]").nth(5).inner_text() == "“<b>dog</b>”"


def test_a_token_is_never_markup(shown):
    nasty = ["<img src=x onerror=document.title='gone'>", "</script>", "&amp;", "<b>"]
    page = shown(weights(size=4), nasty, title="<i>title</i>")
    page.get_by_role("button", name="Show as table").click()
    assert page.locator(".tl-word .tl-token").all_inner_texts() == [
        token.replace(" ", "␣") for token in nasty
    ]
    assert page.locator(".tl :is(img:not(.tl-head img), b, i, script)").count() == 0
    assert page.title() == "AttentionExplorer"
    assert page.locator("h3").inner_text() == "<i>title</i>"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(shown, scheme):
    page = shown(
        weights(mask=CAUSAL),
        mask=CAUSAL,
        context={"color_scheme": scheme},
        read=lambda text: None,
        query=3,
        pinned=[[1, 2]],
        sort="previous",
    )
    page.get_by_role("button", name="Show as table").click()
    settled(page)
    one = page.evaluate(CONTRAST)
    page.get_by_role("button", name="Pin layer 0 head 0").click()
    settled(page)
    two = page.evaluate(CONTRAST)
    assert (one["found"], two["found"]) == ([], [])
    assert min(one["seen"], two["seen"]) > 100
    body = page.evaluate("getComputedStyle(document.querySelector('.tl')).color")
    assert body == ("rgb(236, 236, 236)" if scheme == "dark" else "rgb(31, 31, 31)")


def test_at_600_pixels_nothing_is_cut_off(shown):
    page = shown(weights(6, 12), context={"viewport": {"width": 600, "height": 900}}, query=2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    edges = page.locator(".tl :is(button, canvas, select, span)").evaluate_all(
        "(all) => all.map((e) => e.getBoundingClientRect()).flatMap((b) => [b.left, b.right])"
    )
    assert min(edges) >= 0
    assert max(edges) <= 600


def test_a_dense_screen_gets_its_own_pixels(shown):
    page = shown(context={"device_scale_factor": 2})
    canvas = page.locator(".tl-board canvas")
    assert canvas.evaluate("(c) => c.width / c.getBoundingClientRect().width") == 2
    np.testing.assert_array_equal(middles(canvas), cividis(weights()[0, 0]))


def test_the_picture_waits_for_a_prediction(shown):
    page = shown(predict=("Which word does <b>it</b> look at?", ["cat", "mat"]))
    assert page.locator("canvas, .tl-head img").count() == 0
    answer = page.get_by_role("button", name="This is my answer")
    expect(answer).to_be_disabled()
    page.get_by_label("mat").check()
    answer.click()
    expect(page.locator(".tl-said")).to_have_text(
        "Which word does <b>it</b> look at? You said: mat"
    )
    assert page.locator(".tl-head img").count() == 6


def test_a_page_says_why_it_cannot_read_another_sentence(shown):
    page = shown(read=lambda text: None)
    expect(page.get_by_label("Your own sentence")).to_be_disabled()
    expect(page.locator(".tl-own")).to_contain_text(
        "needs the notebook: this page carries no model"
    )


def test_a_text_beyond_the_cap_gives_scores_only(shown):
    page = shown(np.full((2, 3, 130, 130), 1 / 130, np.float32), ["x"] * 130)
    expect(page.locator(".tl-notice")).to_have_text(
        "This text has 130 tokens; up to 128 are drawn. Here is one score for each head."
    )
    assert page.locator(":is(canvas, .tl-head img):visible").count() == 0
    assert page.locator(".tl-tile").all_inner_texts() == [f"{np.log(130):.2f}"] * 6
    page.get_by_label("score").select_option("first")
    expect(page.locator(".tl-tile").first).to_have_text("0.01")


def test_a_layer_that_is_not_on_the_page_is_said_to_be_in_the_notebook(shown):
    values = weights(12, 12, 64)
    page = shown(values, [str(i) for i in range(64)])
    head(page, 11, 3).click()
    expect(page.locator(".tl-readout")).to_have_text(
        "layer 11 head 3: its weights are in the notebook, not on this page."
    )
    assert page.locator(".tl-head img").count() == 144


def test_one_token_and_one_head_are_enough(shown):
    page = shown(np.ones((1, 1, 1, 1), np.float32), ["alone"])
    page.locator(".tl-word").hover()
    expect(page.locator(".tl-readout")).to_contain_text("“alone” attends most to “alone” 1.000")


def test_cross_attention_has_two_lines_of_text(shown):
    values = np.random.default_rng(0).dirichlet(np.ones(2), (1, 2, 3)).astype(np.float32)
    page = shown(values, ["der", "Hund", "<end>"], looked_at=["the", "dog"])
    page.locator(".tl-word").nth(1).click()
    page.locator(".tl-word").nth(4).hover()
    settled(page)
    assert "“dog” is attended to most by" in said(page)
    page.mouse.move(2, 2)
    settled(page)
    above = page.locator(".tl-up").all_inner_texts()
    np.testing.assert_allclose([float(x) for x in above[3:]], values[0, 0, 1], atol=0.0051)
