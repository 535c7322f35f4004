"""Figure with controls in a hand: as an exported page, and in JupyterLab with its kernel."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from transformer_lab.instruments.controls import FigureControls

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
SET = "(e, x) => { e.value = x; e.dispatchEvent(new Event('input', { bubbles: true })); }"
READY = "() => { const i = document.querySelector('img'); return i.complete && i.naturalWidth; }"


def wave(ax, k=2, gain=1.0, shape="sine", dots=False):
    x = np.linspace(0, 1, 11)
    ax.plot(x, gain * (np.sin if shape == "sine" else np.cos)(k * x), "o" if dots else "-")
    ax.set(title=f"{shape} of {k}x", xlabel="x", ylabel="y")


def shown(**changes):
    given = {"k": (1, 9), "gain": (0.0, 2.0), "shape": ["sine", "cosine"], "dots": False}
    return FigureControls(wave, **{**given, **changes})


@pytest.fixture
def show(visit, tmp_path):
    def open_one(one, **browser):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.html"
        one.to_html(path)
        return visit(path, **browser)

    return open_one


def test_the_page_shows_the_picture_its_words_and_controls_that_rest(show):
    one = shown()
    page = show(one)
    page.wait_for_function(READY)
    image = page.locator("img")
    assert image.get_attribute("alt") == one.words
    assert image.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [700, 360]
    expect(page.locator(".tl-readout")).to_have_text(
        f"{one.words} This page has no Python: the picture stays as it is."
    )
    for control in page.locator("fieldset input, fieldset select").all():
        expect(control).to_be_disabled()
    expect(page.get_by_role("slider", name="gain")).to_have_attribute("aria-valuetext", "1")


def test_the_numbers_of_the_picture_are_a_table_and_csv(show):
    page = show(shown())
    page.get_by_role("button", name="Show as table").click()
    cells = page.locator(".tl-table td").all_inner_texts()[1:]
    x = np.linspace(0, 1, 11)
    numbers = [float(text.replace("−", "-")) for text in cells if text]
    np.testing.assert_allclose(numbers[0::2], x, rtol=1e-3)
    np.testing.assert_allclose(numbers[1::2], np.sin(2 * x), rtol=1e-3)
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    assert lines[0] == ",x,y"
    assert len(lines) == 12
    page.get_by_role("button", name="Hide the table").click()
    expect(page.locator(".tl-table")).to_have_count(0)


def test_markup_in_names_and_errors_is_text(show):
    def draw(ax, kind="<b>"):
        ax.plot([1, 2])
        if kind == "bad":
            raise ValueError("<img src=x onerror=alert(1)>")

    one = FigureControls(draw, kind=["<b>", "bad"], title="<i>t</i>")
    one.values = {"kind": "bad"}
    page = show(one)
    assert page.locator("i, b, img[src=x]").count() == 0
    expect(page.locator(".tl-trouble")).to_contain_text("ValueError: <img src=x onerror=alert(1)>.")


def test_a_question_stands_alone_until_it_is_answered(show):
    page = show(shown(predict=("More turns?", ["yes", "no"])))
    assert page.locator("img").count() == 0
    page.get_by_role("button", name="Skip").click()
    page.wait_for_function(READY)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_and_all_focus_is_marked(show, scheme):
    page = show(shown(title="One"), color_scheme=scheme)
    page.get_by_role("button", name="Show as table").click()
    found = page.evaluate(CONTRAST)
    assert found["found"] == []
    assert found["seen"] > 20
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


def test_nothing_is_cut_off_at_600_pixels(show):
    page = show(shown(), viewport={"width": 600, "height": 900})
    page.wait_for_function(READY)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    assert page.locator("img").bounding_box()["width"] <= 560


SETUP = """
import numpy as np
from transformer_lab.instruments.controls import FigureControls

def wave(ax, k=2, gain=1.0, shape="sine", dots=False):
    x = np.linspace(0, 6, 100)
    ax.plot(x, gain * (np.sin if shape == "sine" else np.cos)(k * x), "o" if dots else "-")
    ax.set_title(f"{shape} {1 / (k - 7):.2f}")

one = FigureControls(wave, k=(1, 9), gain=(0.0, 2.0), shape=["sine", "cosine"], dots=False)
"""
LOADS = """(e) => { window.loads = 0; e.addEventListener("load", () => { window.loads += 1; }); }"""
BYTES = """async (e) => [...new Uint8Array(await (await fetch(e.src)).arrayBuffer())]"""


def test_in_jupyterlab_a_change_draws_an_error_keeps_and_no_key_edits_the_notebook(lab):
    notebook = lab("controls.ipynb", [SETUP, "one", "one", "1 + 1"])
    page, cells = notebook.page, notebook.cells()
    page.wait_for_selector(".tl-drawn >> nth=1")
    first = page.locator(".tl-controls").first
    said, image = first.locator(".tl-readout"), first.locator("img")
    expect(said).to_contain_text("sine -0.20. k = 2")
    slider = first.get_by_role("slider", name="k", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    for copy in page.locator(".tl-controls").all():
        expect(copy.locator(".tl-readout")).to_contain_text("sine -0.25. k = 3")
    image.evaluate(LOADS)
    first.locator("select").select_option("cosine")
    first.get_by_role("checkbox", name="dots").check()
    expect(said).to_contain_text("cosine -0.25. k = 3, gain = 1, shape = cosine, dots = on.")
    page.wait_for_function("window.loads > 0")
    page.wait_for_timeout(800)
    shown = bytes(image.evaluate(BYTES))
    assert notebook.python("print(bytes(one.image.value).hex())") == shown.hex()
    slider.evaluate(SET, "7")
    expect(said).to_contain_text("wave stopped in line 4: ZeroDivisionError")
    expect(said).to_contain_text("The picture still shows k = 3")
    assert bytes(image.evaluate(BYTES)) == shown
    slider.evaluate(SET, "5")
    expect(said).to_contain_text("cosine -0.50. k = 5")
    assert notebook.python("print(one.values)") == (
        "{'k': 5, 'gain': 1.0, 'shape': 'cosine', 'dots': True}"
    )
    notebook.python("one.values = {'gain': 0.5}")
    expect(first.get_by_role("slider", name="gain")).to_have_attribute("aria-valuetext", "0.5")
    expect(said).to_contain_text("gain = 0.5")
    first.get_by_role("button", name="Start again").click()
    expect(said).to_contain_text("sine -0.20. k = 2, gain = 1")
    for place in ("input[type=range]", "select", "input[type=checkbox]", "button"):
        first.locator(place).first.focus()
        for key in ("d", "d", "b", "x"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
    assert (
        page.locator(".jp-OutputArea-output .jp-RenderedText[data-mime-type*=error]").count() == 0
    )
    assert re.match(r"sine", said.inner_text())
