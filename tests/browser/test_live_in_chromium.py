"""Live training in a hand: its course as an exported page, and in JupyterLab with its kernel."""

import re
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).parents[1]))
from small_translator import TASK, untrained

from transformer_lab.instruments.crossing import looks
from transformer_lab.instruments.live import LiveTraining

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


@cache
def course():
    one = LiveTraining(
        untrained(), TASK, 60, batch=32, held_out=50, rate=1e-2, warmup=10, title="It learns"
    )
    return one.run(40)


def settle(page):
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def texts(page, css):
    settle(page)
    return page.locator(css).all_text_contents()


@pytest.fixture
def page(visit, tmp_path):
    path = tmp_path / "live.html"
    course().to_html(path)
    return visit(path)


def at(page, step):
    page.get_by_label("Which look at the model").fill(str(course().history["steps"].index(step)))
    settle(page)


@pytest.mark.parametrize("head", ["mean", "1", "0.2"])
def test_looking_back_shows_the_numbers_of_that_time(page, head):
    page.locator("label", has_text="attention").locator("select").select_option(head)
    for taken in course()._looks:
        at(page, taken.step)
        rows = looks(torch.as_tensor(taken.weights), head).flatten().tolist()
        cells = texts(page, ".tl-cross-cell")
        assert len(cells) == len(rows)
        for cell, exact in zip(cells, rows, strict=True):
            assert abs(float(cell or 0) - exact) < 0.0055
        assert taken.wrote in page.locator(".tl-readout").text_content()
        expect(page.get_by_text(f"after step {taken.step}", exact=True)).to_be_visible()


def test_progress_and_curves_are_those_of_the_course(page):
    one = course()
    right = round(one.right * 50)
    said = f"step 40 of 60 · loss {one.loss:.3f} · {right} of 50 held-out numbers right · paused"
    expect(page.get_by_text(said)).to_be_visible()
    assert page.locator("progress").evaluate("(e) => e.value / e.max") == pytest.approx(40 / 60)
    drawn = page.locator(".tl-curve").first.get_attribute("d")
    assert drawn.count("L") == 39
    heights = [float(point.split(" ")[1]) for point in drawn.replace("M", "L").split("L")[1:]]
    losses = one._losses
    order = sorted(range(40), key=losses.__getitem__)
    assert all(heights[a] >= heights[b] - 0.11 for a, b in pairwise(order))
    assert page.locator(".tl-dots circle").count() == len(one._looks)
    assert f"knows nothing {one.content['ignorant']:.2f}" in texts(page, ".tl-base text")


def test_without_a_kernel_the_buttons_rest_and_say_why(page):
    expect(page.get_by_role("button", name="Go on")).to_be_disabled()
    expect(page.get_by_text("Training needs the notebook.")).to_be_visible()


def test_everything_can_be_done_by_keyboard_alone(page):
    slider = page.get_by_label("Which look at the model")
    slider.focus()
    page.keyboard.press("Home")
    settle(page)
    assert page.locator(".tl-readout").text_content().startswith("Before the first step, ")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.locator(".tl-readout").text_content().startswith("After step 5, ")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.locator(".tl-readout").text_content().startswith("Before it writes ")
    page.keyboard.press("Escape")
    settle(page)
    assert page.locator(".tl-readout").text_content().startswith("After step 5, ")


def test_table_and_csv_hold_every_look(page):
    page.get_by_role("button", name="Show as table").click()
    settle(page)
    assert page.locator(".tl-table").first.locator("tbody tr").count() == len(course()._looks)
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    assert lines[0] == ",loss,right,writes"
    assert lines[-1].startswith("step 40,")
    assert float(lines[-1].split(",")[1]) == pytest.approx(course().loss, rel=1e-4)


def test_no_focused_element_lets_a_shortcut_through(page):
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme):
    course().to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    settle(page)
    found = page.evaluate(CONTRAST)
    assert found["seen"] > 20
    # A chart's text has a fill, not a colour: its classes take the ink of other text.
    assert found["found"] == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, when):
    one = course() if when == "after" else LiveTraining(untrained(), TASK, 60, held_out=5)
    one.to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": 600, "height": 900})
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    boxes = page.locator(".tl-chart text").evaluate_all(
        "(all) => all.map((e) => e.getBoundingClientRect()).map((b) => [b.left, b.right])"
    )
    assert all(left >= 0 and right <= 600 for left, right in boxes)


def test_a_question_stands_alone_until_it_is_answered(visit, tmp_path):
    one = LiveTraining(untrained(), TASK, 9, held_out=5, predict=("How many?", ["few", "all"]))
    one.to_html(tmp_path / "p.html")
    page = visit(tmp_path / "p.html")
    assert page.locator(".tl-chart").count() == 0
    page.get_by_label("few").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.locator(".tl-chart")).to_have_count(2)


SETUP = """
import sys; sys.path.insert(0, {tests!r})
from small_translator import TASK, untrained
from transformer_lab.instruments.live import LiveTraining
live = LiveTraining(untrained(), TASK, 400, batch=8, held_out=10, rate=1e-2, warmup=10)
"""


def test_in_jupyterlab_it_trains_while_the_kernel_answers(lab):
    setup = SETUP.format(tests=str(Path(__file__).parents[1]))
    notebook = lab("live.ipynb", [setup, "live", "live", "1 + 1"])
    page = notebook.page
    page.wait_for_selector(".tl-live >> nth=1")
    first, second = page.locator(".tl-live").first, page.locator(".tl-live").nth(1)
    first.get_by_role("button", name="Start").click()
    expect(second.get_by_role("button", name="Pause")).to_be_visible()
    expect(second.get_by_text(re.compile(r"about \d+ (s|min) left"))).to_be_visible()
    assert notebook.python("print(6 * 7)") == "42"
    assert int(notebook.python("print(live.step)")) < 400
    first.get_by_role("button", name="Pause").click()
    expect(first.get_by_role("button", name="Go on")).to_be_visible()
    before = notebook.python("print(live.step)")
    page.wait_for_timeout(300)
    assert notebook.python("print(live.step, live.status)") == f"{before} paused"
    assert int(before) > 0
    cells = notebook.cells()
    for place in ("button", "select", ".tl-cross", "input[type=range]"):
        first.locator(place).first.focus()
        for key in ("d", "d", "b", "x"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
    first.get_by_role("button", name="Go on").click()
    expect(first.get_by_role("button", name="Pause")).to_be_visible()
    # An interrupt while no cell runs: the kernel lives, and the model is at a good step.
    notebook.command("notebook:interrupt-kernel")
    page.wait_for_timeout(500)
    assert notebook.python("print(6 * 7)") == "42"
    if notebook.python("print(live.status)") == "running":
        first.get_by_role("button", name="Stop").click()
        expect(first.get_by_text("The model is as after step")).to_be_visible()
    first.get_by_role("button", name="Back to the first weights").click()
    expect(second.get_by_text("step 0 of 400")).to_be_visible()
