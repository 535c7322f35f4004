"""The block builder in a hand: as an exported page, and in JupyterLab with its kernel."""

import json
import random
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from transformer_lab.config import ModelConfig
from transformer_lab.instruments import block, builder_still
from transformer_lab.instruments.block import Parts, profile
from transformer_lab.instruments.builder import SWITCHES, BlockBuilder

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
CONFIG = ModelConfig(37_000, 512, 8, 6)
READ = """() => {
  const all = (css) => [...document.querySelectorAll(css)];
  const [residual, norm, attention, feed_forward] = all(".tl-switch input[type=checkbox]")
    .map((e) => e.checked);
  return {
    parts: { residual, norm, attention, feed_forward,
      place: all(".tl-switch input[type=radio]").find((e) => e.checked).value },
    depth: Number(document.querySelector(".tl-measured output").textContent),
    code: all(".tl-lines code").map((e) => e.textContent),
    counts: all(".tl-lines button").map((e) => e.querySelector("span")?.textContent ?? ""),
    boxes: all(".tl-box").map((e) => e.querySelector("text")?.textContent ?? "add"),
    tops: all(".tl-box").map((e) => {
      const r = e.getBoundingClientRect();
      return r.top + r.height / 2;
    }),
    rows: all(".tl-lines button").map((e) => {
      const r = e.getBoundingClientRect();
      return r.top + r.height / 2;
    }),
    dots: all(".tl-dot").map((e) => Number(e.getAttribute("cy"))),
    said: all(".tl-readout").map((e) => e.textContent),
  };
}"""


@pytest.fixture
def page(visit, tmp_path):
    path = tmp_path / "builder.html"
    BlockBuilder().to_html(path)
    return visit(path)


def read(page):
    """What stands on the page once the frames under way are painted."""
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")
    return page.evaluate(READ)


def assert_built(shown):
    """Code, boxes, counts and gradient are those of the package for what the switches say."""
    parts, depth = Parts(**shown["parts"]), shown["depth"]
    steps = block.steps(parts)
    lines = [step.line for step in steps]
    assert shown["code"] == ["def forward(self, states):", *lines, "return states"]
    assert sorted(shown["boxes"]) == sorted(step.kind for step in steps)
    counts = block.counts(parts, CONFIG)
    assert shown["counts"] == [f"{n:,} parameters" if n else "" for n in counts]
    assert sorted(shown["tops"]) == pytest.approx(shown["rows"], abs=3), "boxes beside lines"
    found = profile(parts, depth).gradient
    assert len(shown["dots"]) == depth + 1
    assert f" is {builder_still.ratio(found[0])} times that at the top" in shown["said"][1]
    heights = [-y for y in shown["dots"]]
    order = sorted(range(depth + 1), key=lambda i: found[i])
    assert [heights[i] for i in order] == pytest.approx(sorted(heights), abs=1e-3)


def test_code_diagram_counts_and_gradient_follow_every_switch(page):
    rng = random.Random(0)
    assert_built(read(page))
    for _ in range(30):
        name = rng.choice([*SWITCHES, "place", "depth"])
        if name == "place":
            place = page.locator(f"input[value={rng.choice(['pre', 'post'])}]")
            if place.is_enabled():
                place.check()
        elif name == "depth":
            slider = page.get_by_role("slider", name="layers", exact=True)
            slider.press(rng.choice(["ArrowUp", "ArrowDown", "Home", "End"]))
        else:
            page.get_by_label(name.replace("_", "-"), exact=True).click()
        assert_built(read(page))


def test_a_layer_with_nothing_left_says_so(page):
    for name in ("attention", "feed-forward"):
        page.get_by_label(name, exact=True).uncheck()
    shown = read(page)
    assert shown["boxes"] == []
    assert shown["said"][0] == "Nothing is left: what comes in goes out."
    page.get_by_label("Show").select_option("weights")
    assert "nothing to learn" in read(page)["said"][1]
    page.get_by_role("button", name="Start again").click()
    page.get_by_label("Show").select_option("gradient")
    assert_built(read(page))


def test_a_line_and_its_box_are_chosen_together(page):
    line = page.locator(".tl-lines button").nth(1)
    line.click()
    expect(line).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tl-on text")).to_have_text("attention")
    assert "Only here do tokens meet. 1,050,624 parameters." in read(page)["said"][0]
    page.locator(".tl-box").filter(has=page.locator("circle")).first.click()
    expect(page.locator(".tl-lines button").nth(2)).to_have_attribute("aria-pressed", "true")
    assert read(page)["said"][0].startswith("add: ")


def test_a_pointer_reads_a_layer_of_the_chart(page):
    box = page.locator(".tl-chart svg").bounding_box()
    scale = box["width"] / 460
    for i in (0, 2, 5):
        page.mouse.move(box["x"] + scale * (52 + 320 * i / 6), box["y"] + 50)
        page.mouse.down()
        page.mouse.up()
        place = f"layer {i}" if i else "the embedding"
        number = builder_still.ratio(profile(Parts(), 6).gradient[i])
        assert read(page)["said"][1] == (
            f"The gradient behind {place} is {number} times that at the top."
        )
        expect(page.locator(".tl-cursor")).to_have_count(1)


def focus_by_tab(page, css):
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("(css) => document.activeElement.matches(css)", css):
            return
    raise AssertionError(f"Tab never reached {css}")


def test_everything_can_be_done_by_keyboard_alone(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    shown = read(page)
    assert not shown["parts"]["residual"]
    assert_built(shown)
    focus_by_tab(page, "input[type=radio]")
    page.keyboard.press("ArrowDown")
    assert read(page)["parts"]["place"] == "post"
    focus_by_tab(page, ".tl-lines button")
    page.keyboard.press("Enter")
    assert read(page)["said"][0].startswith("attention: ")
    assert page.evaluate("document.activeElement.matches('.tl-lines button[aria-pressed=true]')")
    focus_by_tab(page, "input[type=range]")
    page.keyboard.press("End")
    assert read(page)["depth"] == 24
    focus_by_tab(page, ".tl-chart")
    page.keyboard.press("End")
    assert "At the top, behind layer 24" in read(page)["said"][1]
    page.keyboard.press("ArrowLeft")
    number = builder_still.ratio(profile(Parts(residual=False, place="post"), 24).gradient[23])
    assert f"behind layer 23 is {number} times" in read(page)["said"][1]
    expect(page.locator(".tl-chart")).to_have_attribute("aria-valuenow", "23")


def test_how_alike_tokens_are_is_read_out(page):
    page.get_by_label("Show").select_option("alike")
    page.get_by_label("residual", exact=True).uncheck()
    said = read(page)["said"][1]
    alike = profile(Parts(residual=False), 6).alike[-1]
    assert said.startswith(f"Two tokens have a mean cosine of {alike:.2f} behind layer 6.")


def test_table_and_csv_hold_every_layer(page):
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_label("norm", exact=True).uncheck()
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    assert len(lines) == 8
    first = [float(line.split(",")[1]) for line in lines[1:]]
    assert first == pytest.approx(profile(Parts(norm=False), 6).gradient, rel=1e-4)
    page.get_by_role("button", name="Show as table").click()
    expect(page.locator(".tl-table tbody tr")).to_have_count(7)
    expect(page.locator(".tl-table thead th").first).to_have_text("this layer: gradient")


def test_a_title_is_text_and_a_question_comes_first(visit, tmp_path):
    question = ("Without residuals the gradient …", ["vanishes", "stays"])
    BlockBuilder(title="<b>bold</b>", predict=question).to_html(tmp_path / "p.html")
    page = visit(tmp_path / "p.html")
    assert page.locator(".tl-chart").count() == 0
    page.get_by_label("vanishes").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.get_by_text("You said: vanishes")).to_be_visible()
    expect(page.locator("h3")).to_have_text("<b>bold</b>")
    assert_built(read(page))


def test_no_focused_element_lets_a_shortcut_through(page):
    page.get_by_role("button", name="Show as table").click()
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme):
    BlockBuilder(norm=False, title="One").to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    page.locator(".tl-lines button").first.click()
    ink = """() => [...document.querySelectorAll("svg text")]
      .forEach((e) => { e.style.color = getComputedStyle(e).fill; })"""
    page.evaluate(ink)  # contrast.js reads the colour; a drawing's text has a fill
    found = page.evaluate(CONTRAST)
    assert found["seen"] > 30
    assert found["found"] == []


@pytest.mark.parametrize("depth", [1, 24])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("width", [485, 600])  # 485: a cell of JupyterLab in a window of 600
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, depth, residual, width):
    BlockBuilder(residual=residual, depth=depth).to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": width, "height": 900})
    page.get_by_role("button", name="Show as table").click()
    read(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".tl *")]
        .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth
          && !e.closest(".tl-table") && !["select", "input"].includes(e.localName))
        .map((e) => e.outerHTML.slice(0, 99))"""
    )
    assert cut == []


SETUP = """
import json
from transformer_lab.instruments.builder import BlockBuilder
builder = BlockBuilder()
"""


def test_the_kernel_measures_what_the_learner_builds(lab):
    notebook = lab("builder.ipynb", [SETUP, "builder", "builder", "1 + 1"])
    page = notebook.page
    page.wait_for_selector(".tl-builder >> nth=1")
    first, second = page.locator(".tl-builder").all()
    first.get_by_label("residual", exact=True).uncheck()
    first.get_by_label("norm", exact=True).uncheck()
    parts = Parts(residual=False, norm=False)
    number = builder_still.ratio(profile(parts, 6).gradient[0])
    for copy in (first, second):
        expect(copy.locator(".tl-readout").last).to_contain_text(f"is {number} times")
        expect(copy.locator(".tl-lines button")).to_have_count(2)
    asked = "print(json.dumps([builder.parameters, builder.gradient[0], builder.code]))"
    parameters, gradient, code = json.loads(notebook.python(asked))
    assert parameters == sum(block.counts(parts, CONFIG))
    assert gradient == pytest.approx(profile(parts, 6).gradient[0])
    assert code == [step.line for step in block.steps(parts)]
    notebook.python("builder.depth = 8")
    expect(first.locator(".tl-measured output")).to_have_text(re.compile("8"))
    cells = notebook.cells()
    for place in ("input[type=checkbox]", "input[type=range]", ".tl-lines button", ".tl-chart"):
        first.locator(place).first.focus()
        for key in ("d", "d", "b", "x", "ArrowUp"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
