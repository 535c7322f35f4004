"""The Q/K/V stepper in a hand: as an exported page, and in JupyterLab with its kernel."""

import json
import random
from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect

from transformer_lab.attention import attention_weights
from transformer_lab.instruments.stepper import AttentionStepper
from transformer_lab.masks import causal_mask

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
X = [[1.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
W = [[0.7, 0.3], [0.1, 0.6], [-0.5, -0.2], [-1.5, 0.4]]
TOKENS = ["the", "cat", "sat"]


def stepper(**changes):
    return AttentionStepper(
        **{"states": X, "query_weight": W, "key_weight": W[::-1], "value_weight": W}
        | {"tokens": TOKENS} | changes
    )  # fmt: skip


def large():
    rng = torch.Generator().manual_seed(3)
    numbers = [torch.randn(n, 8, generator=rng) for n in (10, 8, 8, 8)]
    return AttentionStepper(
        *numbers,
        mask=causal_mask(10),
        tokens=["the", "cat", "sat", "on", "the", "mat", "because", "it", "was", "tired"],
    )


@pytest.fixture
def page(visit, tmp_path):
    path = tmp_path / "stepper.html"
    stepper().to_html(path)
    return visit(path)


def settle(page):
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def grid(page, name):
    return page.locator(f'.tl-cells-piece[data-name="{name}"] .tl-cells')


def cell(page, name, row, column):
    """The cell of a matrix on the desk, as it stands there."""
    place = grid(page, name)
    across = int(place.evaluate("e => e.style.getPropertyValue('--tl-across')"))
    labels = "tl-cells-row", "tl-cells-column"
    cells = place.locator(f"span:not(.{labels[0]}):not(.{labels[1]})")
    corner = place.locator(".tl-cells-column").count() > 0  # its empty corner is a span as well
    return cells.nth(corner + row * across + column)


def go(page, name):
    page.locator(".tl-tile").filter(has=page.get_by_text(name, exact=True)).first.click()
    settle(page)


def number(text):
    return float(text.replace("−", "-"))


def assert_shows(page, name, matrix):
    """Every number of a matrix on the desk equals torch's at the precision shown."""
    for i, row in enumerate(matrix.tolist()):
        for j, exact in enumerate(row):
            text = cell(page, name, i, j).inner_text()
            decimals = len(text.partition(".")[2])
            assert abs(number(text) - exact) <= 0.5 * 10**-decimals + 1e-5, (name, i, j, text)


def test_each_step_shows_torchs_numbers(page):
    x, w, k = (torch.tensor(m, dtype=torch.float64) for m in (X, W, W[::-1]))
    query, key, value = x @ w, x @ k, x @ w
    scores, weights = query @ key.T, attention_weights(query, key)
    page.get_by_role("button", name="From the first step").click()
    headings = []
    for shown in (
        {"states": x, "query_weight": w, "query": query},
        {"states": x, "key_weight": k, "key": key},
        {"states": x, "value_weight": w, "value": value},
        {"query": query, "key": key.T, "scores": scores},
        {"scores": scores, "scaled": scores / 2**0.5},
        {"masked": scores / 2**0.5},
        {"weights": weights},
        {"weights": weights, "value": value, "output": weights @ value},
    ):
        settle(page)
        headings.append(page.locator("h4").inner_text())
        for name, matrix in shown.items():
            assert_shows(page, name, matrix)
        if len(headings) < 8:
            page.get_by_role("button", name="Next", exact=True).click()
    assert headings[0] == "1 of 8. Q = X · W_Q"
    assert headings[-1] == "8 of 8. output = weights · V"
    page.get_by_role("button", name="Back").click()
    expect(page.locator("h4")).to_have_text("7 of 8. weights = softmax(masked)")


def test_an_edited_number_is_answered_by_everything_after_it(page):
    rng, x = random.Random(0), torch.tensor(X, dtype=torch.float64)
    w, k = (torch.tensor(m, dtype=torch.float64) for m in (W, W[::-1]))
    go(page, "X")
    for _ in range(6):
        row, column, new = rng.randrange(3), rng.randrange(4), round(rng.uniform(-3, 3), 2)
        cell(page, "states", row, column).click()
        settle(page)
        page.locator(".tl-hand input").first.fill(str(new))
        x[row, column] = new
        settle(page)
        assert_shows(page, "query", x @ w)
    go(page, "output")
    assert_shows(page, "output", attention_weights(x @ w, x @ k) @ (x @ w))
    page.get_by_role("button", name="Start again").click()
    settle(page)
    x = torch.tensor(X, dtype=torch.float64)
    assert_shows(page, "output", attention_weights(x @ w, x @ k) @ (x @ w))


def test_the_slider_moves_the_chosen_number(page):
    go(page, "W_V")
    cell(page, "value_weight", 0, 1).click()
    slider = page.get_by_label("W_V[0, 1], slider")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    settle(page)
    moved = number(page.get_by_label("W_V[0, 1]", exact=True).input_value())
    assert moved > 2
    w = torch.tensor(W, dtype=torch.float64)
    w[0, 1] = moved
    assert_shows(page, "value", torch.tensor(X, dtype=torch.float64) @ w)


def test_a_cell_lights_its_row_and_column_and_writes_the_sum_out(page):
    go(page, "scores")
    cell(page, "scores", 1, 2).click()
    settle(page)
    assert grid(page, "query").locator(".tl-of-row").count() == 2
    assert grid(page, "key").locator(".tl-of-column").count() == 2
    assert grid(page, "scores").locator(".tl-one").count() == 1
    said = page.locator(".tl-sum").inner_text().replace("\xa0", " ")
    left, total = said.removeprefix("scores[“cat”, “sat”] = ").split(" = ")
    terms = [[number(x) for x in term.split(" × ")] for term in left.split(" + ")]
    assert sum(a * b for a, b in terms) == pytest.approx(number(total), abs=0.004)
    assert "“cat” looks most at" in page.locator(".tl-told").inner_text()


def test_pointing_previews_and_a_click_keeps(page):
    go(page, "scores")
    cell(page, "scores", 0, 0).click()
    settle(page)
    kept = page.locator(".tl-sum").inner_text()
    cell(page, "scores", 2, 1).hover()
    expect(page.locator(".tl-sum")).to_contain_text("scores[“sat”, “cat”]")
    page.mouse.move(5, 5)
    settle(page)
    assert page.locator(".tl-sum").inner_text() == kept


def test_the_mask_is_clicked_and_an_empty_row_gives_zeros(page):
    go(page, "masked")
    page.get_by_role("button", name="Causal").click()
    settle(page)
    assert grid(page, "masked").locator(".tl-none").count() == 3
    cell(page, "mask", 0, 0).click()
    expect(page.locator(".tl-told")).to_have_text(
        "“the” may look at nothing: its weights and its output are 0."
    )
    go(page, "output")
    assert [cell(page, "output", 0, j).inner_text() for j in range(2)] == ["0.00", "0.00"]
    go(page, "masked")
    page.get_by_role("button", name="All may look").click()
    settle(page)
    assert grid(page, "masked").locator(".tl-none").count() == 0


def test_the_scale_is_set_by_number_and_by_button(page):
    go(page, "scaled")
    page.get_by_label("scale", exact=True).fill("0")
    settle(page)
    assert cell(page, "scaled", 1, 1).inner_text() == "0.00"
    expect(page.locator(".tl-told")).to_contain_text("weight 0.333")
    page.get_by_role("button", name="1: not scaled").click()
    settle(page)
    assert cell(page, "scaled", 1, 1).inner_text() == cell(page, "scores", 1, 1).inner_text()
    page.get_by_role("button", name="1/√d").click()
    expect(page.locator(".tl-sum")).to_contain_text("÷ √2")


def tab_to(page, test):
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(f"(() => {{ const e = document.activeElement; return {test}; }})()"):
            return
    raise AssertionError(f"Tab never reached {test}")


def test_everything_can_be_done_by_keyboard_alone(page):
    tab_to(page, "e.textContent === 'From the first step'")
    page.keyboard.press("Enter")
    settle(page)
    tab_to(page, "e.ariaLabel?.startsWith('X, 3 × 4')")
    page.keyboard.press("Home")
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    page.keyboard.type(".5")
    page.keyboard.press("Enter")
    settle(page)
    assert page.evaluate("document.activeElement.ariaLabel").startswith("X, 3 × 4")
    assert cell(page, "states", 0, 1).inner_text() == "2.50"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    settle(page)
    assert cell(page, "states", 1, 1).inner_text() == "2.10"
    x = torch.tensor(X, dtype=torch.float64)
    x[0, 1], x[1, 1] = 2.5, 2.1
    assert_shows(page, "query", x @ torch.tensor(W, dtype=torch.float64))
    go(page, "masked")
    tab_to(page, "e.ariaLabel?.startsWith('mask')")
    page.keyboard.press("Control+End")
    page.keyboard.press("Space")
    settle(page)
    assert cell(page, "mask", 2, 2).inner_text() == "✕"


def test_queries_keys_and_values_can_be_given_and_changed(visit, tmp_path):
    one = AttentionStepper(
        query=[[1, 0]], key=[[1, 0], [0, 1]], value=[[5], [7]], looked_at=["x", "x"], step="given"
    )
    one.to_html(tmp_path / "given.html")
    page = visit(tmp_path / "given.html")
    expect(page.locator("h4")).to_have_text("1 of 6. Q, K and V")
    cell(page, "key", 1, 0).click()
    page.get_by_label("K[“x” (1), 0]", exact=True).fill("1")
    expect(page.locator(".tl-told")).to_contain_text("weight 0.5")


def test_the_table_and_the_csv_hold_the_step(page):
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    go(page, "weights")
    page.get_by_role("button", name="Show as table").click()
    expect(page.locator("table caption")).to_have_text("weights")
    first = number(page.locator("td:not(:empty)").first.inner_text())
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    assert lines[0] == ",“the”,“cat”,“sat”"
    assert float(lines[1].split(",")[1]) == pytest.approx(first, abs=1e-4)


def test_a_token_is_text_and_never_markup(visit, tmp_path):
    tokens = ["<img src=x onerror=alert(1)>", "日本", "日本"]
    stepper(tokens=tokens, title="<b>bold</b>").to_html(tmp_path / "m.html")
    page = visit(tmp_path / "m.html")
    assert page.locator("img").count() == 0
    expect(page.locator("h3")).to_have_text("<b>bold</b>")
    expect(page.locator(".tl-told")).to_contain_text("“日本” (2) looks most at")


def test_a_question_stands_alone_until_it_is_answered(visit, tmp_path):
    stepper(predict=("Sharper?", ["yes", "no"])).to_html(tmp_path / "p.html")
    page = visit(tmp_path / "p.html")
    assert page.locator(".tl-cells").count() == 0
    page.get_by_label("no").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.get_by_text("You said: no")).to_be_visible()
    assert page.locator(".tl-cells").count() > 9


def test_a_token_chosen_elsewhere_in_the_group_is_chosen_here(visit, tmp_path):
    stepper(group="one").to_html(tmp_path / "g.html")
    page = visit(tmp_path / "g.html")
    page.evaluate(
        """() => { window.heard = [];
        document.addEventListener("tl-choose", (e) => window.heard.push(e.detail.index));
        document.dispatchEvent(new CustomEvent("tl-choose",
          { detail: { group: "one", from: {}, index: 1 } })); }"""
    )
    expect(page.locator(".tl-told")).to_contain_text("“cat” looks most")
    cell(page, "output", 0, 0).click()
    settle(page)
    assert page.evaluate("window.heard") == [1, 0]


def test_no_focused_element_lets_a_shortcut_through(page):
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("make", [stepper, large], ids=["small", "large"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme, make):
    make().to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    for step in ("X", "scaled", "masked", "weights", "output"):
        go(page, step)
        found = page.evaluate(CONTRAST)
        assert found["found"] == [], step
        assert found["seen"] > 30


@pytest.mark.parametrize("make", [stepper, large], ids=["small", "large"])
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, make):
    make().to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": 600, "height": 900})
    for step in ("X", "scores", "masked", "output"):
        go(page, step)
        assert page.evaluate("document.documentElement.scrollWidth") <= 600
        for box in page.locator(".tl-cells").all():
            found = box.bounding_box()
            assert found["x"] + found["width"] <= 600


SETUP = """
import json
from transformer_lab.instruments.stepper import AttentionStepper
one = AttentionStepper([[1, 0], [0, 2]], tokens=["the", "cat"], step="query")
"""


def test_in_jupyterlab_the_kernel_knows_and_the_keys_stay(lab):
    notebook = lab("stepper.ipynb", [SETUP, "one", "one", "1 + 1"])
    page = notebook.page
    page.wait_for_selector(".tl-stepper >> nth=1")
    first, second = page.locator(".tl-stepper").all()
    first.scroll_into_view_if_needed()
    cells = notebook.cells()
    first.locator('.tl-cells-piece[data-name="states"] .tl-cells').focus()
    for key in ("Control+Home", "d", "d", "b", "x", "ArrowDown", "3", "Enter"):
        page.keyboard.press(key)
    page.wait_for_timeout(500)
    found = json.loads(notebook.python("print(json.dumps([one.states, one.query, one.output]))"))
    assert found[0] == [[1, 0], [3, 2]]
    assert found[1] == found[0]
    shown = second.locator('.tl-cells-piece[data-name="states"] .tl-cells')
    expect(shown).to_contain_text("3.00")
    notebook.python("one.token = 0; one.step = 'output'")
    expect(second.locator(".tl-told")).to_contain_text("“the” looks most")
    expect(first.locator("h4")).to_have_text("8 of 8. output = weights · V")
    assert notebook.cells() == cells
