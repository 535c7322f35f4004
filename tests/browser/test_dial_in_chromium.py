"""The temperature dial in a hand: as an exported page, and in JupyterLab with its kernel."""

import json
import random
from pathlib import Path

import pytest
from playwright.sync_api import expect

from transformer_lab.instruments import dial_numbers as dials
from transformer_lab.instruments.dial import TemperatureDial

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
FRAMES = "() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))"


@pytest.fixture
def page(visit, tmp_path):
    TemperatureDial().to_html(tmp_path / "d.html")
    return visit(tmp_path / "d.html")


def read(page):
    """The settings, the sentence, and the nine numbers beside the bars."""
    page.evaluate(FRAMES)
    return page.evaluate(
        """() => {
        const texts = (css) => [...document.querySelectorAll(css)].map((e) => e.textContent);
        const [d, S, temperature] = texts(".tl-turn .tl-number").map(Number);
        const lines = texts(".tl-line .tl-number");
        return { d, S, temperature, exponent: Number(document.querySelector(":checked").value),
          said: document.querySelector(".tl-readout").textContent,
          gradient: lines.slice(0, 3), saturated: lines.slice(3, 6), entropy: lines.slice(6),
          is: texts(".tl-line.tl-is > :first-child") }; }"""
    )


def slider(page, name):
    return page.get_by_role("slider", name=name, exact=True)


def turn(page, name, value):
    slider(page, name).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def assert_as_python(shown):
    for i, exponent in enumerate(dials.EXPONENTS):
        exact = dials.numbers(0, shown["d"], shown["S"], exponent, shown["temperature"])
        gradient, saturated, entropy = (
            shown[name][i] for name in ("gradient", "saturated", "entropy")
        )
        if gradient.startswith("under"):
            assert exact.gradient < 0.0005
        else:
            assert abs(float(gradient) - exact.gradient) < 0.0005 + 1e-6
        assert abs(float(entropy) - exact.entropy) < 0.005 + 1e-6
        assert abs(float(saturated.split()[0]) - 100 * exact.saturated) <= 0.5 + 1e-6


def test_random_settings_show_the_numbers_of_python(page):
    rng = random.Random(0)
    for _ in range(20):
        turn(page, "d", rng.randrange(9))
        turn(page, "S", rng.randrange(8))
        turn(page, "temperature", rng.uniform(-1, 1))
        name = rng.choice(["no scale", "÷ √d", "÷ d"])
        page.get_by_role("radio", name=name, exact=True).check()
        shown = read(page)
        assert shown["is"] == [name] * 3
        assert_as_python(shown)


def test_a_slider_is_dragged_with_the_mouse(page):
    box = slider(page, "temperature").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"], y, steps=6)
    page.mouse.up()
    shown = read(page)
    assert shown["temperature"] == 10
    assert_as_python(shown)


def cell(page, d, S):
    box = page.locator(".tl-map").bounding_box()
    wide = float(page.locator(".tl-map rect").first.get_attribute("width"))
    column, row = dials.WIDTHS.index(d), 7 - dials.SIZES.index(S)
    return box["x"] + 40 + wide * (column + 0.5), box["y"] + 26 * (row + 0.5)


def test_the_region_where_the_usual_story_is_false_is_found_on_the_map(page):
    page.mouse.click(*cell(page, 16, 256))
    shown = read(page)
    assert (shown["d"], shown["S"]) == (16, 256)
    assert "The usual story is false here" in shown["said"]
    x, y = cell(page, 1024, 4)
    page.mouse.down()
    page.mouse.move(x, y, steps=5)
    page.mouse.up()
    shown = read(page)
    assert (shown["d"], shown["S"]) == (1024, 4)
    assert "The usual story holds here" in shown["said"]
    assert_as_python(shown)
    expect(page.get_by_text("inside the line: the usual story is false")).to_be_visible()


def test_every_cell_of_the_map_has_its_sign(page):
    signs = page.locator(".tl-sign-of").all_text_contents()
    ratios = [
        dials.numbers(0, d, S, 0.0, 1.0).gradient / dials.numbers(0, d, S, 0.5, 1.0).gradient
        for S in reversed(dials.SIZES)
        for d in dials.WIDTHS
    ]
    expected = ["+" if r > 1.1 else "=" if r > 0.9 else "−" if r > 1 / 3 else "−−" for r in ratios]
    assert signs == expected


def test_the_map_follows_the_temperature_once_it_rests(page):
    before = page.locator(".tl-sign-of").all_text_contents()
    turn(page, "temperature", 0.9)
    page.wait_for_function("() => !document.querySelector('.tl-stale')")
    expect(page.locator(".tl-sign-of").nth(8)).not_to_have_text(before[8])
    page.get_by_role("radio", name="÷ d", exact=True).check()
    expect(page.get_by_text("Gradient without the scale, compared with ÷ d")).to_be_visible()


def test_everything_can_be_done_by_keyboard_alone(page):
    def tab_to(selector):
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(selector)

    tab_to("[aria-label='d']")
    page.keyboard.press("ArrowRight")
    tab_to("[aria-label='S']")
    page.keyboard.press("End")
    tab_to("[type='radio']")
    page.keyboard.press("ArrowRight")
    tab_to("[aria-label='temperature']")
    page.keyboard.press("Home")
    shown = read(page)
    settings = [shown[name] for name in ("d", "S", "exponent", "temperature")]
    assert settings == [128, 256, 1, 0.1]
    assert_as_python(shown)
    tab_to(".tl-map")
    for key in ("Home", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    shown = read(page)
    assert (shown["d"], shown["S"]) == (8, 128)
    tab_to("button")
    page.keyboard.press("Enter")
    expect(page.locator(".tl-table tbody tr")).to_have_count(3)


def test_what_there_is_to_try(page):
    for name, words in (
        (
            "Where the usual story is false",
            "d = 64, 256 keys, temperature 1. The usual story is false",
        ),
        ("Where it holds", "d = 1024, 16 keys, temperature 1. The usual story holds here"),
        ("Too much scale", "with ÷ d"),
        ("Start again", "d = 64, 64 keys, temperature 1."),
    ):
        page.get_by_role("button", name=name).click()
        assert words in read(page)["said"]


def test_table_and_clipboard_hold_the_numbers(page):
    page.get_by_role("button", name="Show as table").click()
    first = page.locator(".tl-table tbody tr").first.locator("td")
    exact = dials.numbers(0, 64, 64, 0.0, 1.0)
    assert first.all_text_contents() == [f"{x:.4f}" for x in exact]
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    line = page.evaluate("navigator.clipboard.readText()").split("\n")[1].split(",")
    assert line[0] == "no scale"
    assert [float(x) for x in line[1:]] == pytest.approx(list(exact), rel=1e-8)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme):
    TemperatureDial(title="One", exponent=0).to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    page.get_by_role("button", name="Show as table").click()
    read(page)
    page.evaluate(
        """() => document.querySelectorAll(".tl-dial svg text:not(.tl-sign-of)")
        .forEach((e) => { e.style.color = getComputedStyle(e).fill; })"""
    )
    # The signs lie on their own cells.
    worst = page.evaluate(
        """() => { const light = (t) => t.match(/[\\d.]+/g).map((c) => c / 255)
          .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
          .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        return Math.min(...[...document.querySelectorAll(".tl-sign-of")].map((e) => {
          const back = light(e.previousSibling.getAttribute("fill"));
          const front = light(getComputedStyle(e).fill);
          e.style.color = getComputedStyle(document.querySelector(".tl-dial")).color;
          return (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05); })); }"""
    )
    assert worst >= 4.5
    result = page.evaluate(CONTRAST)
    assert result["found"] == []
    assert result["seen"] > 60


@pytest.mark.parametrize("name", ["Start again", "Where it holds"])
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, name):
    TemperatureDial().to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": 600, "height": 900})
    page.get_by_role("button", name=name).click()
    read(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    for place in (".tl-map", ".tl-hist"):
        wide = page.locator(place).evaluate("(e) => e.scrollWidth - e.clientWidth")
        assert wide <= 0, place


def test_every_focusable_element_keeps_its_keys(page):
    page.get_by_role("button", name="Show as table").click()
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


def test_the_question_comes_first(visit, tmp_path):
    asked = ("At d = 64, unscaled, the mean gradient is …", ["smaller", "about equal", "larger"])
    TemperatureDial(predict=asked).to_html(tmp_path / "p.html")
    page = visit(tmp_path / "p.html")
    expect(page.locator(".tl-map")).to_have_count(0)
    page.get_by_label("smaller").check()
    page.get_by_role("button", name="This is my answer").click()
    assert_as_python(read(page))


SETUP = """
import json
from transformer_lab.instruments.dial import TemperatureDial
one = TemperatureDial()
"""


def test_the_kernel_knows_where_the_dial_stands(lab):
    notebook = lab("dial.ipynb", [SETUP, "one", "one", "1 + 1"])
    page, cells = notebook.page, notebook.cells()
    page.wait_for_selector(".tl-dial >> nth=1")
    first, second = page.locator(".tl-dial").first, page.locator(".tl-dial").nth(1)
    first.scroll_into_view_if_needed()
    first.get_by_role("slider", name="d", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(second.locator(".tl-readout")).to_contain_text("d = 128")
    page.wait_for_timeout(300)
    d, gradient = json.loads(notebook.python("print(json.dumps([one.d, one.gradient]))"))
    assert d == 128
    expect(first.locator(".tl-line.tl-is .tl-number").first).to_have_text(f"{gradient:.3f}")
    notebook.python("one.S = 16; one.exponent = 0")
    expect(first.locator(".tl-readout")).to_contain_text("16 keys")
    for place in ("[type='range']", "[type='radio']", ".tl-map", "button"):
        first.locator(place).first.focus()
        for key in ("d", "d", "b", "x", "ArrowUp"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
