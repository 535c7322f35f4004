"""The gradient horizon in a hand: as an exported page, and in JupyterLab with its kernel."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from transformer_lab.instruments import horizon_curves as curves
from transformer_lab.instruments import horizon_still as still
from transformer_lab.instruments.horizon import GradientHorizon

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture
def page(visit, tmp_path):
    GradientHorizon("LSTM").to_html(tmp_path / "h.html")
    return visit(tmp_path / "h.html")


def read(page):
    """The sentence, and for each row its name and the number at its pinned step."""
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")
    return page.evaluate(
        """() => ({
          said: document.querySelector(".tl-readout").textContent,
          note: document.querySelector(".tl-status").textContent,
          sizes: [...document.querySelectorAll(".tl-size")].map((e) => e.textContent),
          names: [...document.querySelectorAll(".tl-far g .tl-end")].map((e) => e.textContent),
          lag: Number(document.querySelector(".tl-lag .tl-number").textContent),
        })"""
    )


def expected(of, lag):
    log = float(np.median(curves.grid()[of].astype(float)[:, lag]))
    return "0 (underflow)" if log <= curves.FLOOR else still.ten(log)


def turn(page, label, value):
    page.get_by_role("slider", name=label, exact=True).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def at_lag(page, lag):
    """Where a lag stands on the page, on the curve's height."""
    box = page.locator(".tl-far").bounding_box()
    marks = page.evaluate(
        """() => { const l = document.querySelector(".tl-one");
        return [Number(l.getAttribute("x1")), Number(l.getAttribute("x2"))]; }"""
    )
    return box["x"] + marks[1] - (marks[1] - marks[0]) * lag / 99, box["y"] + 120


def test_random_settings_and_lags_show_the_packages_numbers(page):
    rng = random.Random(0)
    for _ in range(25):
        of = cell, gain, bias = rng.choice(curves.kept())
        page.get_by_role("combobox").select_option(cell)
        if cell != curves.ATTENTION:
            turn(page, "gain", gain)
        if cell == curves.FORGETFUL:
            turn(page, "forget bias", bias)
        lag = rng.randrange(100)
        page.mouse.click(*at_lag(page, lag))
        shown = read(page)
        assert shown["lag"] == lag
        assert shown["sizes"] == [expected(of, lag)]
        assert shown["said"].startswith(still.title(of))


def test_the_lag_follows_the_pointer_and_stops_at_the_ends(page):
    page.mouse.move(*at_lag(page, 20))
    page.mouse.down()
    x, y = at_lag(page, 77)
    page.mouse.move(x, y, steps=5)
    assert read(page)["lag"] == 77
    page.mouse.move(x - 900, y)
    assert read(page)["lag"] == 99
    page.mouse.up()
    page.mouse.move(*at_lag(page, 3))
    assert read(page)["lag"] == 99


def test_the_brightness_of_every_step_is_its_gradient(page):
    page.get_by_role("combobox").select_option("tanh")
    turn(page, "gain", 0.5)
    read(page)
    logs = np.median(curves.grid()["tanh", 0.5, 0.0].astype(float), 0)
    colours = page.evaluate(
        """() => [...document.querySelectorAll(".tl-far g circle:not(.tl-here)")]
        .map((e) => e.getAttribute("fill"))"""
    )
    alive = [log for log in logs if log > curves.FLOOR]
    assert len(colours) == len(alive) < 100
    for text, log in zip(colours, alive, strict=True):
        shown = [int(c) for c in re.findall(r"\d+", text)]
        assert abs(np.subtract(shown, still.glow(log))).max() <= 1
    crosses = page.locator(".tl-lost").get_attribute("d").count("M")
    assert crosses == 100 - len(alive)
    assert page.locator(".tl-gone.tl-chosen").get_attribute("d").count("M") == crosses
    expect(page.locator(".tl-floor-text")).to_contain_text("float32 ends at 1.4·10⁻⁴⁵")


def test_the_curve_is_drawn_where_its_numbers_say(page):
    read(page)
    drawn = page.locator(".tl-curve.tl-chosen").get_attribute("d")
    points = [tuple(map(float, p)) for p in re.findall(r"[ML]([\d.]+),([\d.]+)", drawn)]
    one = float(page.locator(".tl-one").get_attribute("y1"))
    tick = page.evaluate(
        """() => { const t = [...document.querySelectorAll(".tl-label")]
        .find((e) => e.textContent === "10⁻⁴⁰"); return Number(t.getAttribute("y")) - 4; }"""
    )
    logs = np.median(curves.grid()["LSTM", 1.0, 0.0].astype(float), 0)
    for (_, y), log in zip(points, logs, strict=True):
        assert y == pytest.approx(one + (tick - one) * log / -40, abs=0.11)


def test_a_page_without_a_kernel_names_the_nearest_kept_setting(page):
    turn(page, "gain", 1.35)
    shown = read(page)
    assert shown["note"] == (
        "No kernel to measure LSTM, gain 1.35: the nearest kept setting is shown, LSTM, gain 1.25."
    )
    assert shown["sizes"] == [expected(("LSTM", 1.25, 0.0), 50)]
    turn(page, "gain", 1.25)
    assert read(page)["note"] == ""


def test_curves_are_pinned_compared_and_taken_away(page):
    page.get_by_role("button", name="Pin this curve").click()
    expect(page.get_by_role("button", name="Pinned", exact=True)).to_be_disabled()
    page.get_by_role("combobox").select_option("GRU")
    shown = read(page)
    assert shown["names"] == ["GRU", "LSTM"]
    assert shown["sizes"] == [expected((c, 1.0, 0.0), 50) for c in ("GRU", "LSTM")]
    page.get_by_role("button", name="Pin this curve").click()
    page.get_by_role("combobox").select_option("attention")
    assert read(page)["names"] == ["attention", "LSTM", "GRU"]
    page.get_by_role("button", name="Remove LSTM, gain 1").click()
    assert read(page)["names"] == ["attention", "GRU"]
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove GRU, gain 1"
    page.get_by_role("button", name="Start again").click()
    assert read(page)["names"] == ["LSTM"]


def test_what_a_cell_has_no_use_for_cannot_be_turned(page):
    expect(page.get_by_role("slider", name="forget bias", exact=True)).to_be_disabled()
    page.get_by_role("combobox").select_option("attention")
    expect(page.get_by_role("slider", name="gain", exact=True)).to_be_disabled()
    assert "path is 1 step long" in read(page)["said"]
    page.get_by_role("combobox").select_option("LSTM + forget bias")
    expect(page.get_by_role("slider", name="forget bias", exact=True)).to_be_enabled()


def test_every_situation_to_try_says_what_it_shows(page):
    for name, words in (
        ("Default cells", "LSTM, gain 1: 50 steps back the gradient is 8.0·10⁻¹²"),
        ("Forget bias 3", "LSTM + forget bias 3, gain 1: 50 steps back the gradient is 0.36"),
        ("One that explodes", "7.9·10⁸ times that of the last step: it explodes"),
        ("One that underflows", "6.4·10⁻³²"),
    ):
        page.get_by_role("button", name=name).click()
        assert words in read(page)["said"]


def test_everything_can_be_done_by_keyboard_alone(page):
    def tab_to(selector):
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(selector)

    tab_to("select")
    page.keyboard.press("ArrowUp")
    assert read(page)["said"].startswith("GRU, gain 1:")
    tab_to("input[max='2']")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert read(page)["said"].startswith("GRU, gain 1.25:")
    tab_to(".tl-row > button:first-child")
    tab_to("input[max='99']")
    page.keyboard.press("ArrowLeft")
    assert read(page)["lag"] == 51
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert read(page)["lag"] == 49
    page.keyboard.press("Home")
    assert read(page)["lag"] == 0
    page.keyboard.press("End")
    shown = read(page)
    assert shown["lag"] == 99
    assert shown["sizes"] == [expected(("GRU", 1.25, 0.0), 99)]


def test_the_axis_fits_the_curves_when_asked(page):
    page.get_by_role("button", name="Forget bias 3").click()
    page.get_by_role("button", name="Remove LSTM, gain 1").click()
    page.get_by_role("button", name="Fit the axis").click()
    expect(page.locator(".tl-floor")).to_have_count(0)
    labels = page.locator(".tl-label").all_text_contents()
    assert "10⁻¹" in labels
    assert "10⁻⁴⁰" not in labels
    page.get_by_role("button", name="Show the axis down").click()
    expect(page.locator(".tl-floor")).to_have_count(1)


def test_table_and_clipboard_hold_every_lag(page):
    page.get_by_role("button", name="Show as table").click()
    rows = page.locator(".tl-table tbody tr")
    expect(rows).to_have_count(100)
    expect(rows.nth(50).locator("td").first).to_have_text(expected(("LSTM", 1.0, 0.0), 50))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    lines = text.strip().split("\n")
    assert len(lines) == 101
    cells = lines[51].split(",")
    assert cells[0] == "lag 50"
    logs = curves.grid()["LSTM", 1.0, 0.0].astype(float)[:, 50]
    assert float(cells[1]) == pytest.approx(10 ** np.median(logs), rel=1e-4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme):
    GradientHorizon("LSTM", pins=["tanh"], title="One").to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    turn(page, "gain", 1.35)
    page.get_by_role("button", name="Show as table").click()
    read(page)
    # The letters of a drawing are filled: give them the same colour as text for the measurement.
    page.evaluate(
        """() => document.querySelectorAll(".tl-far text")
        .forEach((e) => { e.style.color = getComputedStyle(e).fill; })"""
    )
    result = page.evaluate(CONTRAST)
    assert result["found"] == []
    assert result["seen"] > 300


@pytest.mark.parametrize("name", ["Start again", "Default cells", "One that explodes"])
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, name):
    GradientHorizon().to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": 600, "height": 900})
    page.get_by_role("button", name=name).click()
    read(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    cut = page.evaluate(
        """() => { const box = document.querySelector(".tl-far svg").getBoundingClientRect();
        return [...document.querySelectorAll(".tl-far text")].filter((e) => {
          const b = e.getBoundingClientRect();
          return b.left < box.left - 1 || b.right > box.right + 1 || b.bottom > box.bottom + 1;
        }).map((e) => e.textContent); }"""
    )
    assert cut == []


def test_every_focusable_element_keeps_its_keys(page):
    page.get_by_role("button", name="Default cells").click()
    page.get_by_role("button", name="Show as table").click()
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


def test_the_question_comes_first(visit, tmp_path):
    asked = ("What is left of it after 50 steps?", ["about half", "almost nothing"])
    GradientHorizon("LSTM", predict=asked).to_html(tmp_path / "p.html")
    page = visit(tmp_path / "p.html")
    expect(page.locator(".tl-far")).to_have_count(0)
    page.get_by_label("about half").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.locator(".tl-far svg")).to_be_visible()
    assert "8.0·10⁻¹²" in read(page)["said"]


SETUP = """
import json
from transformer_lab.instruments.horizon import GradientHorizon
one = GradientHorizon("GRU")
one.group = "steps"
"""


def test_the_kernel_measures_what_is_turned(lab):
    notebook = lab("horizon.ipynb", [SETUP, "one", "one", "1 + 1"])
    page, cells = notebook.page, notebook.cells()
    page.wait_for_selector(".tl-horizon >> nth=1")
    first = page.locator(".tl-horizon").first
    first.scroll_into_view_if_needed()
    first.get_by_role("slider", name="gain", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(first.locator(".tl-readout")).to_contain_text("GRU, gain 1.05: 50 steps back")
    expect(page.locator(".tl-horizon").nth(1).locator(".tl-readout")).to_contain_text("gain 1.05")
    asked = "print(json.dumps([one.gain, one.at_lag, one.measured['of'][0]]))"
    gain, norm, of = json.loads(notebook.python(asked))
    assert (gain, of) == (1.05, ["GRU", 1.05, 0])
    shown = still.ten(float(np.log10(norm)))
    expect(first.locator(".tl-size")).to_have_text(shown)
    assert first.locator(".tl-status").text_content() == ""
    notebook.python("one.lag = 7")
    expect(first.locator(".tl-lag .tl-number")).to_have_text("7")
    for place in ("select", "input[max='99']", ".tl-row button"):
        first.locator(place).first.focus()
        for key in ("d", "d", "b", "x"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
