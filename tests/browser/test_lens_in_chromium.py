"""The my-code lens in a hand: as an exported page, and in JupyterLab with its kernel."""

import math
import random
from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect

from transformer_lab.instruments.lens import EXAMPLE, CodeLens
from transformer_lab.instruments.lens_stages import attention_stages

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
TOKENS, LOOKED = ["the", "cat", "sat"], ["the", "cat", "sat", "on"]
INPUTS = {name: torch.tensor(x) for name, x in EXAMPLE.items()}


def mine(query, key, value, mask):
    """Softmax over the wrong axis."""
    scores = query @ key.transpose(-2, -1)
    scaled = scores / math.sqrt(query.shape[-1])
    masked = scaled.masked_fill(~mask, -1e9)
    weights = masked.softmax(-2)
    return {"scores": scores, "masked": masked, "weights": weights, "output": weights @ value}


def stops(query, key, value):
    yield "scores", query @ key.T
    yield "scaled", query @ key


def turned(query, key, value):
    return {"scores": key @ query.T}


def heads():
    rng = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(2, 3, 8, 16, generator=rng) for name in ("query", "key", "value")}
    return CodeLens(lambda query, key, value: {"scores": query @ key.mT / 2}, **inputs)


def lens(learner=mine, **changes):
    return CodeLens(learner, **{"tokens": TOKENS, "looked_at": LOOKED, **changes})


@pytest.fixture
def page(visit, tmp_path):
    lens().to_html(tmp_path / "lens.html")
    return visit(tmp_path / "lens.html")


def settle(page):
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def go(page, name):
    page.locator(".tl-tile").filter(has=page.get_by_text(name, exact=True)).click()
    settle(page)


def cell(page, side, row, column):
    """A cell of a matrix: side 0 is yours, 1 the reference, 2 the difference."""
    place = page.locator(".tl-cells-piece .tl-cells").nth(side)
    across = int(place.evaluate("e => e.style.getPropertyValue('--tl-across')"))
    cells = place.locator("span:not(.tl-cells-row):not(.tl-cells-column)")
    return cells.nth(1 + row * across + column)  # the empty corner is a span as well


def said(page):
    settle(page)
    return page.locator(".tl-readout").inner_text()


def number(text):
    return float(text.replace("−", "-"))


def test_the_first_wrong_matrix_is_lit_and_its_worst_cell_read_out(page):
    expect(page.locator(".tl-is-first b")).to_have_text("weights")
    expect(page.locator(".tl-is-first")).to_have_attribute("aria-current", "step")
    expect(page.locator(".tl-verdict")).to_contain_text("Your columns sum to 1")
    assert said(page) == (
        "weights[“sat”, “on”]: yours 1.000, reference 0.487, difference +0.513, the largest."
    )
    signs = page.locator(".tl-sign-of").all_inner_texts()
    assert signs == ["✓ equal", "– not handed over", "✓ equal", "✕ first wrong", "✕ after it"]


def test_all_three_matrices_show_torchs_numbers(page):
    ours, theirs = mine(**INPUTS), attention_stages(**INPUTS)
    for name in ("weights", "output"):
        go(page, name)
        for side, matrix in enumerate((ours[name], theirs[name], ours[name] - theirs[name])):
            for i, row in enumerate(matrix.tolist()):
                for j, exact in enumerate(row):
                    text = cell(page, side, i, j).inner_text()
                    places = len(text.partition(".")[2])
                    assert abs(number(text) - exact) <= 0.5 * 10**-places + 2e-5, (name, i, j)


def test_random_cells_are_read_out_as_torch_has_them(page):
    rng, ours, theirs = random.Random(0), mine(**INPUTS), attention_stages(**INPUTS)
    for _ in range(12):
        name = rng.choice(["scores", "weights", "output"])
        go(page, name)
        i, j = rng.randrange(3), rng.randrange(ours[name].shape[1])
        cell(page, rng.randrange(2), i, j).click()
        found = said(page)
        assert f"yours {ours[name][i, j]:.3f}".replace("-", "−") in found
        assert f"reference {theirs[name][i, j]:.3f}".replace("-", "−") in found


def test_a_cell_is_lit_in_every_matrix(page):
    cell(page, 1, 0, 1).click()
    settle(page)
    assert page.locator(".tl-cells-piece .tl-one").count() == 3
    assert "weights[“the”, “cat”]" in said(page)
    page.get_by_role("button", name="Largest difference").click()
    assert said(page).endswith("the largest.")


def test_a_stage_not_handed_over_shows_the_reference_alone(page):
    go(page, "scaled")
    assert page.locator(".tl-cells-piece").filter(visible=True).count() == 1
    expect(page.locator(".tl-hint")).to_have_text(
        "Not handed over. Name it “scaled” to see it here."
    )
    assert said(page).startswith("scaled[“the”, “the”]: reference")


def test_everything_can_be_done_by_keyboard_alone(page):
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("(document.activeElement.ariaLabel || '').startsWith('reference')"):
            break
    page.keyboard.press("Control+Home")
    assert "weights[“the”, “the”]" in said(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    assert "weights[“cat”, “on”]" in said(page)
    page.keyboard.press("Enter")
    assert said(page).endswith("the largest.")
    page.locator(".tl-tile").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h4")).to_have_text("scores")


def test_an_error_is_shown_with_its_line(visit, tmp_path):
    lens(stops).to_html(tmp_path / "e.html")
    page = visit(tmp_path / "e.html")
    expect(page.locator(".tl-trouble")).to_contain_text("stopped in line 3")
    expect(page.locator(".tl-trouble code")).to_have_text('yield "scaled", query @ key')
    expect(page.locator(".tl-verdict")).to_have_text(
        "So far it agrees: scores. Your function takes no mask."
    )
    expect(page.locator("h4")).to_have_text("scores")


def test_a_matrix_of_another_shape_is_shown_beside_the_reference(visit, tmp_path):
    lens(turned).to_html(tmp_path / "t.html")
    page = visit(tmp_path / "t.html")
    expect(page.locator(".tl-verdict")).to_contain_text("Yours is 4 × 3, the reference 3 × 4")
    assert page.locator(".tl-cells-piece").filter(visible=True).count() == 2
    cell(page, 0, 3, 0).click()
    assert said(page).endswith("reference has no such cell.")


def test_a_batch_of_heads_is_one_matrix_at_a_time(visit, tmp_path):
    one = heads()
    one.to_html(tmp_path / "h.html")
    page = visit(tmp_path / "h.html")
    box = page.get_by_label("matrix")
    worst = one._stages[0].worst
    assert box.input_value() == str(worst[0] * 3 + worst[1])
    box.select_option("1")
    assert said(page).startswith("scores[0, 1, ")
    go(page, "output")
    assert "output[0, 0, 0, 0]: reference" in said(page)


def test_the_table_and_the_csv_hold_both_matrices(page):
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_role("button", name="Show as table").click()
    captions = page.locator("table caption").all_inner_texts()
    assert captions == ["weights: yours", "weights: reference", "weights: yours − reference"]
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    assert lines[0] == ",yours,reference,difference"
    assert len(lines) == 13


def test_a_token_is_text_and_never_markup(visit, tmp_path):
    lens(tokens=["<img src=x>", "b", "b"], title="<b>bold</b>").to_html(tmp_path / "m.html")
    page = visit(tmp_path / "m.html")
    assert page.locator("img").count() == 0
    expect(page.locator("h3")).to_have_text("<b>bold</b>")
    assert "“b” (2)" in said(page)


def test_a_question_stands_alone_until_it_is_answered(visit, tmp_path):
    lens(predict=("Which is wrong?", ["scores", "weights"])).to_html(tmp_path / "p.html")
    page = visit(tmp_path / "p.html")
    assert page.locator(".tl-cells").count() == 0
    page.get_by_label("weights").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.get_by_text("You said: weights")).to_be_visible()
    assert page.locator(".tl-cells").count() > 5


def test_a_token_chosen_elsewhere_in_the_group_is_chosen_here(visit, tmp_path):
    lens(group="one").to_html(tmp_path / "g.html")
    page = visit(tmp_path / "g.html")
    page.evaluate(
        """() => { window.heard = [];
        document.addEventListener("tl-choose", (e) => window.heard.push(e.detail.index));
        document.dispatchEvent(new CustomEvent("tl-choose",
          { detail: { group: "one", from: {}, index: 1 } })); }"""
    )
    assert said(page).startswith("weights[“cat”, “on”]")
    cell(page, 0, 0, 0).click()
    settle(page)
    assert page.evaluate("window.heard") == [1, 0]


def test_no_focused_element_lets_a_shortcut_through(page):
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("make", [lens, heads, lambda: lens(stops)], ids=["one", "heads", "stops"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme, make):
    make().to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    for name in ("scores", "masked", "weights"):
        go(page, name)
        found = page.evaluate(CONTRAST)
        assert found["found"] == []
        assert found["seen"] > 20


@pytest.mark.parametrize("make", [lens, heads, lambda: lens(stops)], ids=["one", "heads", "stops"])
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, make):
    make().to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": 600, "height": 900})
    for name in ("scores", "output"):
        go(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 600
        for box in page.locator(".tl-cells").filter(visible=True).all():
            found = box.bounding_box()
            assert found["x"] + found["width"] <= 600


SETUP = """
from transformer_lab.instruments.lens import CodeLens
def mine(query, key, value):
    scores = query @ key.T
    return {"scores": scores, "weights": scores.softmax(-1)}
one = CodeLens(mine)
"""


def test_in_jupyterlab_the_kernel_knows_and_the_keys_stay(lab):
    notebook = lab("lens.ipynb", [SETUP, "one", "one", "1 + 1"])
    page = notebook.page
    page.wait_for_selector(".tl-lens >> nth=1")
    first, second = page.locator(".tl-lens").all()
    first.scroll_into_view_if_needed()
    cells = notebook.cells()
    first.get_by_role("button", name="scores").click()
    expect(second.locator("h4")).to_have_text("scores")
    first.locator(".tl-cells-piece .tl-cells").first.focus()
    for key in ("d", "d", "b", "x", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert (
        notebook.python("print(one.stage, one.passed, one.first_wrong)") == "scores False weights"
    )
    broken = "def broken(query, key, value):\\n    return query @ key\\none.show(broken)"
    notebook.python(broken.replace("\\n", "\n"))
    for view in (first, second):
        expect(view.locator(".tl-trouble")).to_contain_text("stopped in line 2")
    assert notebook.cells() == cells
