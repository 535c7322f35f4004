"""The mask painter in a hand: as an exported page, and in JupyterLab with its kernel."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from transformer_lab.attention import attention_weights
from transformer_lab.instruments import export
from transformer_lab.instruments.painter import MaskPainter
from transformer_lab.instruments.still import cividis
from transformer_lab.masks import causal_mask, combine, padding_mask, prefix_mask, window_mask

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
READ = """(root) => {
  const boards = [...(root ?? document).querySelectorAll(".tl-paint-board")];
  const grid = (board) => {
    const across = board.querySelectorAll(".tl-paint-top").length;
    const cells = [...board.querySelectorAll(".tl-paint-cell")].map((e) => ({
      kind: [...e.classList].map((c) => c.slice(9)).filter((c) => !["cell", "lit"].includes(c))[0],
      text: e.textContent, fill: e.style.background }));
    return Array.from({ length: cells.length / across }, (_, t) =>
      cells.slice(t * across, (t + 1) * across));
  };
  const text = (css) => document.querySelector(css).textContent;
  return { grids: boards.map(grid), said: text(".tl-readout"), leak: text(".tl-paint-leakage"),
    empty: text("div.tl-paint-none") };
}"""


@pytest.fixture
def open_painter(visit, tmp_path):
    def one(name="p.html", context=None, **options):
        MaskPainter(**options).to_html(tmp_path / name)
        return visit(tmp_path / name, **(context or {}))

    return one


def read(page):
    """What stands on the page once the frames under way are painted."""
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")
    return page.evaluate(READ)


def mask_of(grid):
    return [[cell["kind"] in ("on", "leak") for cell in row] for row in grid]


def spot(page, board, row, column):
    cells = page.locator(".tl-paint-board").nth(board)
    across = cells.locator(".tl-paint-top").count()
    box = cells.locator(".tl-paint-cell").nth(row * across + column).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def click(page, board, row, column):
    page.mouse.click(*spot(page, board, row, column))


def drag(page, board, start, end):
    page.mouse.move(*spot(page, board, *start))
    page.mouse.down()
    page.mouse.move(*spot(page, board, *end), steps=2)
    page.mouse.up()


def slide(page, label, value):
    page.get_by_label(label, exact=True).fill(str(value))


def assert_follows(shown, painter, layers):
    """Weights and reach on the page are torch's for the mask on the page."""
    mask = mask_of(shown["grids"][0])
    painter.mask, painter.layers = mask, layers
    weights, reach = shown["grids"][1], shown["grids"][2]
    for t, row in enumerate(mask):
        for s, may in enumerate(row):
            assert (weights[t][s]["kind"] == "weight") == may
            if may:
                assert abs(float(weights[t][s]["text"]) - painter.weights[t][s]) < 0.0051
            assert (reach[t][s]["kind"] != "none") == painter.reach[t][s]
    leaks = [
        [t, s]
        for t, row in enumerate(shown["grids"][0])
        for s, cell in enumerate(row)
        if cell["kind"] == "leak"
    ]
    assert leaks == painter.leak
    expected = "No cell" if not leaks else f"{len(leaks)} cell"
    assert shown["leak"].startswith(expected)


def test_what_follows_is_torchs_wherever_the_hand_paints(open_painter):
    page, painter, rng = open_painter(T=7, layers=2), MaskPainter(T=7), random.Random(0)
    for _ in range(12):
        before = read(page)
        drag(page, 0, *[(rng.randrange(7), rng.randrange(7)) for _ in "ab"])
        layers = rng.randrange(1, 7)
        slide(page, "layers", layers)
        after = read(page)
        assert mask_of(after["grids"][0]) != mask_of(before["grids"][0])
        assert_follows(after, painter, layers)


def test_two_hundred_read_outs_are_torchs(open_painter):
    torch.manual_seed(0)
    mask, scores = torch.rand(12, 12) < 0.6, torch.randn(12, 12) * 3
    page = open_painter(mask=mask, scores=scores)
    weights = attention_weights(torch.eye(12), scores.T.contiguous(), mask, scale=1.0)
    rng, board = random.Random(1), page.locator(".tl-paint-board").first
    board.focus()
    at, said = [0, 0], page.locator(".tl-readout")
    page.keyboard.press("ArrowDown")  # shows the cursor at the first cell
    for _ in range(200):
        axis, way = rng.randrange(2), rng.choice([-1, 1])
        if not 0 <= at[axis] + way < 12:
            way = -way
        at[axis] += way
        page.keyboard.press(
            {(0, 1): "ArrowDown", (0, -1): "ArrowUp", (1, 1): "ArrowRight"}.get(
                (axis, way), "ArrowLeft"
            )
        )
        read(page)
        row, column = at
        text = said.text_content()
        if mask[row, column]:
            score = f"{scores[row, column]:.2f}".replace("-", "−")
            expected = f"score {score}, weight {weights[row, column]:.3f}."
            assert text.startswith(f"Position {row} may look at position {column}: {expected}")
        else:
            assert text.startswith(f"Position {row} may not look at position {column}.")


def test_weights_have_the_colour_of_their_number(open_painter):
    painter = MaskPainter(T=4)
    page = open_painter(T=4)
    colours = cividis(np.array(painter.weights))
    for t, row in enumerate(read(page)["grids"][1]):
        for s, cell in enumerate(row[: t + 1]):
            assert cell["fill"] == f"rgb({', '.join(map(str, colours[t, s]))})"


def test_the_rules_are_the_packages(open_painter):
    page = open_painter(T=6)
    rule = page.get_by_label("rule")
    for name, expected, sliders in (
        ("window", window_mask(6, 2), {"width": 2}),
        ("prefix", prefix_mask(6, 4), {"prefix": 4}),
        ("all", torch.ones(6, 6, dtype=torch.bool), {}),
        ("none", torch.zeros(6, 6, dtype=torch.bool), {}),
        ("causal", causal_mask(6), {}),
    ):
        rule.select_option(name)
        for label, value in sliders.items():
            slide(page, label, value)
        for length in (6, 4):
            slide(page, "real keys", length)
            both = combine(expected, padding_mask(torch.tensor([length]), 6)[0])
            assert mask_of(read(page)["grids"][0]) == both.tolist(), name
        slide(page, "real keys", 6)


def test_one_cell_leaks_into_later_outputs(open_painter):
    page = open_painter(T=6)
    click(page, 0, 2, 5)
    assert read(page)["leak"].startswith("1 cell lets the future in: position 2 sees position 5.")
    slide(page, "layers", 3)
    shown = read(page)
    assert shown["leak"].endswith("After 3 layers outputs 2, 3 and 4 depend on their future.")
    assert shown["grids"][2][3][4]["text"] == "3"
    page.get_by_role("button", name="Undo").click()
    assert read(page)["leak"] == "No cell lets the future in."


def test_a_row_that_sees_nothing_is_told(open_painter):
    page = open_painter(T=4)
    assert read(page)["empty"] == ""
    click(page, 0, 0, 0)
    words = read(page)["empty"]
    assert words.startswith("Position 0 may look at nothing.")
    assert all(word in words for word in ("zeros", "NaN", "uniform", "1/4", "depends"))
    empty = page.locator(".tl-paint-board").first.locator(".tl-paint-side").first
    assert page.evaluate("(e) => getComputedStyle(e, '::before').content", empty.element_handle())


def test_sizes_slide_and_keys_may_differ_from_queries(open_painter):
    page = open_painter(T=4)
    slide(page, "positions, T", 12)
    assert mask_of(read(page)["grids"][0]) == causal_mask(12).tolist()
    slide(page, "positions, T", 1)
    assert mask_of(read(page)["grids"][0]) == [[True]]
    slide(page, "positions, T", 3)
    page.get_by_label("same positions").uncheck()
    slide(page, "looked at, S", 5)
    assert mask_of(read(page)["grids"][0]) == causal_mask(3, 5).tolist()
    sides = page.locator(".tl-paint-board").first.locator(".tl-paint-side")
    assert sides.all_text_contents() == ["2", "3", "4"]
    expect(page.get_by_label("layers", exact=True)).to_be_disabled()


def test_three_masks_stand_side_by_side_and_follow_their_lengths(open_painter):
    page = open_painter(source=5, target=3, length=4, layers=2)
    slide(page, "target positions", 4)
    slide(page, "real in source", 2)
    shown = read(page)
    encoder, decoder, cross = (mask_of(grid) for grid in shown["grids"][:3])
    padding = padding_mask(torch.tensor([2]), 5)[0]
    assert encoder == padding.expand(5, 5).tolist()
    assert decoder == causal_mask(4).tolist()
    assert cross == padding.expand(4, 5).tolist()
    page.get_by_role("button", name="across").click()
    shown = read(page)
    assert (len(shown["grids"][3]), len(shown["grids"][3][0])) == (4, 5)
    painter = MaskPainter(source=5, target=4, length=2, layers=2, part="cross")
    assert [[c["kind"] != "none" for c in row] for row in shown["grids"][4]] == painter.reach
    click(page, 1, 0, 2)
    shown = read(page)
    assert shown["leak"].startswith("1 cell lets the future in: target 0 sees target 2.")
    assert shown["said"].startswith("Target 0 may look at target 2")


def test_a_finger_paints_as_a_mouse_does(open_painter):
    page = open_painter(T=6, context={"has_touch": True})
    start, end = spot(page, 0, 0, 3), spot(page, 0, 0, 5)
    client = page.context.new_cdp_session(page)
    for kind, at in (("touchStart", start), ("touchMove", end), ("touchEnd", None)):
        points = [{"x": at[0], "y": at[1]}] if at else []
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    row = mask_of(read(page)["grids"][0])[0]
    assert row == [True, False, False, True, True, True]


def test_everything_can_be_done_by_keyboard_alone(open_painter):
    page = open_painter(T=5)

    def tab_to(test):
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate(f"(() => {{ const e = document.activeElement; return {test}; }})()"):
                return
        raise AssertionError(f"Tab never reached {test}")

    tab_to("e.tagName === 'SELECT'")
    page.keyboard.press("ArrowDown")
    assert mask_of(read(page)["grids"][0]) == window_mask(5, 3).tolist()
    page.keyboard.press("ArrowUp")
    tab_to("e.className.includes('tl-paint-board')")
    for key in ("Home", "ArrowDown", "ArrowRight", "ArrowRight", "Space", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert mask_of(read(page)["grids"][0])[1] == [True, True, True, True, False]
    assert read(page)["said"].startswith("Position 1 may look at position 3")
    tab_to("e.type === 'range' && e.parentElement.textContent.startsWith('layers')")
    page.keyboard.press("ArrowRight")
    assert "After 2 layers" in read(page)["leak"]
    tab_to("e.textContent === 'Show as table'")
    page.keyboard.press("Enter")
    expect(page.locator(".tl-table")).to_have_count(2)


def test_the_table_shows_the_numbers_and_is_copied_as_csv(open_painter):
    page = open_painter(T=4)
    painter = MaskPainter(T=4)
    page.get_by_role("button", name="Show as table").click()
    texts = page.locator(".tl-table").first.locator("tbody td").all_text_contents()
    mask, weights = torch.tensor(painter.mask).flatten(), torch.tensor(painter.weights).flatten()
    assert texts == [
        f"{w:.3f}" if may else "–" for may, w in zip(mask, weights.tolist(), strict=True)
    ]
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    assert len(lines) == 17
    assert lines[1].split(",")[:3] == ["0", "0", "1"]


def test_a_token_is_text_and_never_markup(open_painter):
    tokens = ["<img src=x onerror=alert(1)>", " ", "日本", "</script>"]
    page = open_painter(T=4, tokens=tokens, title="<b>bold</b>")
    assert page.locator("img, b").count() == 0
    expect(page.locator("h3")).to_have_text("<b>bold</b>")
    click(page, 0, 1, 0)
    assert read(page)["said"].startswith("Position 1 “␣” may not look at position 0 “<img␣src=x")


def test_a_question_stands_alone_until_it_is_answered(open_painter):
    page = open_painter(predict=("Does it leak?", ["yes", "no"]))
    assert page.locator(".tl-paint-board").count() == 0
    page.get_by_label("no").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.get_by_text("You said: no")).to_be_visible()
    assert len(read(page)["grids"]) == 3


def test_painters_of_one_group_choose_the_same_position(visit, tmp_path):
    parts = []
    for _ in "ab":
        one = MaskPainter(T=4, group="g")
        parts.append(export.Part(one._esm, one._css, one.state(), one.describe()))
    (tmp_path / "two.html").write_text(export.page("Two", parts), encoding="utf-8")
    page = visit(tmp_path / "two.html")
    click(page, 0, 2, 0)
    expect(page.locator(".tl-readout").last).to_contain_text("Position 2 may look at position 2")
    mask = page.locator(".tl-painter").last.locator(".tl-paint-board").first
    assert mask.locator(".tl-paint-on").count() == 10


def test_no_focused_element_lets_a_shortcut_through(open_painter):
    page = open_painter(source=3, target=3)
    page.get_by_role("button", name="Show as table").click()
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


def leaky():
    mask = causal_mask(6)
    mask[2, 5] = True
    mask[0] = False
    return mask


STATES = {
    "leak": {"mask": leaky(), "layers": 3, "tokens": list("abcdef"), "title": "One"},
    "three": {"source": 12, "target": 9, "length": 7, "layers": 2},
    "large": {"mask": "window", "T": 12, "layers": 4, "length": 10},
    "tokens": {"T": 12, "tokens": ["a rather long token"] * 12},
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_all_text_can_be_read_on_its_ground(open_painter, scheme, state):
    page = open_painter(context={"color_scheme": scheme}, **STATES[state])
    page.get_by_role("button", name="Show as table").click()
    read(page)
    found = page.evaluate(CONTRAST)
    assert found["seen"] > 40
    assert found["found"] == []


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_cut_off_at_600_pixels(open_painter, state):
    page = open_painter(context={"viewport": {"width": 600, "height": 900}}, **STATES[state])
    read(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    boxes = [board.bounding_box() for board in page.locator(".tl-paint-board").all()]
    labels = page.locator(".tl-paint-side").all()
    assert min(label.evaluate("(e) => e.clientWidth - e.scrollWidth") for label in labels) >= 0
    assert all(box["x"] + box["width"] <= 600 for box in boxes)
    assert boxes[0]["y"] == boxes[1]["y"]
    wide = page.locator(".tl-paint-board").first.locator(".tl-paint-cell").first.bounding_box()
    assert wide["width"] >= 14


SETUP = """
import json
from transformer_lab.instruments.painter import MaskPainter
painter = MaskPainter("causal", T=5, layers=2)
"""


def test_in_jupyterlab_the_kernel_knows_what_was_painted_and_keys_stay_inside(lab):
    notebook = lab("painter.ipynb", [SETUP, "painter", "painter", "1 + 1"])
    page, cells = notebook.page, notebook.cells()
    page.wait_for_selector(".tl-painter >> nth=1")
    page.locator(".tl-painter").first.scroll_into_view_if_needed()
    click(page, 0, 1, 4)
    page.wait_for_timeout(500)
    asked = "print(json.dumps([painter.mask[1], painter.leak, painter.reach[2]]))"
    row, leak, reach = json.loads(notebook.python(asked))
    assert row == [True, True, False, False, True]
    assert leak == [[1, 4]]
    assert reach == [True, True, True, False, True]  # 2 sees 1, which sees 4
    second = page.locator(".tl-painter").nth(1)
    expect(second.locator(".tl-paint-board").first.locator(".tl-paint-leak")).to_have_count(1)
    notebook.python("painter.mask = [[True, False], [True, True]]; painter.layers = 3")
    for copy in page.locator(".tl-painter").all():
        expect(copy.locator(".tl-paint-board").first.locator(".tl-paint-cell")).to_have_count(4)
        expect(copy.get_by_label("layers", exact=True)).to_have_value("3")
    for place in (".tl-paint-board[tabindex]", ".tl-painter select", ".tl-painter input"):
        page.locator(place).first.focus()
        for key in ("d", "d", "b", "x", "ArrowUp", "Shift+ArrowUp"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
