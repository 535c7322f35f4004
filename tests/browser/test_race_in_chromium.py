"""The race in a hand: as an exported page with known times, and in JupyterLab with its kernel."""

import json
import math
import random
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from transformer_lab.instruments import race_times as laps
from transformer_lab.instruments.race import Race

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def known(T, D):
    """Attention loses to the fused RNN from T = 2,048 on at D = 64, and nowhere to the loop."""
    return laps.Times(1e-4 * T, 2e-5 * T, 1e-7 * T * D, 1e-8 * T * T)


@pytest.fixture
def exported(visit, tmp_path, monkeypatch):
    monkeypatch.setattr(laps, "measure", known)

    def open_page(*sizes, predict=None, title=None, **context):
        Race(*sizes, predict=predict, title=title).to_html(tmp_path / "r.html")
        return visit(tmp_path / "r.html", **context)

    return open_page


@pytest.fixture
def page(exported):
    return exported(1024, 64)


def settle(page):
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def said(page):
    settle(page)
    return page.locator(".tl-readout").text_content()


def turn(page, label, index):
    page.get_by_role("slider", name=label).fill(str(index))
    settle(page)


def shown(ms):
    return f"{ms:,.0f} ms" if ms >= 99.95 else f"{ms:.{2 if ms < 9.995 else 1}f} ms"


def widths(page, css):
    return page.evaluate(
        """(css) => [...document.querySelectorAll(css)]
        .map((e) => Number(e.getAttribute("width")))""",
        css,
    )


def test_random_sizes_show_the_measured_times_and_the_counted_depth(page):
    rng = random.Random(0)
    for _ in range(30):
        i, j = rng.randrange(len(laps.LENGTHS)), rng.randrange(len(laps.WIDTHS))
        T, D = laps.LENGTHS[i], laps.WIDTHS[j]
        turn(page, "T, tokens", i)
        turn(page, "D, width", j)
        times = known(T, D)
        exact = [1e3 * t for t in (times.loop, times.library, times.attention)]
        bars = page.locator(".tl-lanes").nth(1).locator(".tl-much").all_text_contents()
        assert bars == [shown(ms) for ms in exact]
        depth = page.locator(".tl-lanes").nth(0).locator(".tl-much").all_text_contents()
        assert depth == [f"{T:,}", "4"]
        words = said(page)
        assert f"the RNN’s chain is {T:,} products long, attention’s 4." in words
        assert f"{shown(exact[0])} step by step and {shown(exact[1])} fused" in words


def test_the_bars_and_the_curves_are_drawn_where_their_numbers_say(page):
    times = known(1024, 64)
    loop, library = widths(page, ".tl-lanes rect.tl-loop:not([height='12']), rect.tl-fused")
    parts = widths(page, "rect.tl-projections, .tl-lanes:nth-of-type(n) rect[height='18'].tl-pairs")
    for bar, seconds in zip([library, *parts], times[1:], strict=True):
        assert bar / loop == pytest.approx(seconds / times.loop, rel=0.01)
    lines = page.locator("path.tl-lap").evaluate_all("(all) => all.map((e) => e.getAttribute('d'))")
    ticks = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".tl-laps .tl-label")]
        .filter((e) => e.textContent.endsWith(" ms"))
        .map((e) => [e.textContent, Number(e.getAttribute("y")) - 4]))"""
    )
    one, decade = ticks["1 ms"], ticks["1 ms"] - ticks["10 ms"]
    for drawn, of in zip(lines, ("loop", "library", "attention"), strict=True):
        points = re.findall(r"[ML]([\d.]+),([\d.]+)", drawn)
        assert len(points) == len(laps.LENGTHS)
        for (_, y), T in zip(points, laps.LENGTHS, strict=True):
            log = math.log10(1e3 * getattr(known(T, 64), of))
            assert float(y) == pytest.approx(one - decade * log, abs=0.11)


def test_where_attention_loses_is_said_drawn_and_reached(page):
    assert said(page).endswith("it loses to the fused RNN from 2,048 tokens on.")
    expect(page.locator(".tl-lost-text")).to_have_text("attention loses from 2,048 on")
    page.get_by_role("button", name="Where attention loses").click()
    assert said(page).startswith("2,048 tokens of width 64.")
    assert "times as slow as the fused RNN" in said(page)
    turn(page, "D, width", 4)
    assert said(page).endswith("it loses to the fused RNN at every length.")


def test_a_click_on_the_chart_chooses_the_length_below_it(page):
    box = page.locator(".tl-laps").bounding_box()
    for T in (16, 256, 4096):
        label = page.locator(".tl-laps .tl-label", has_text=re.compile(f"^{T:,}$"))
        at = label.bounding_box()
        page.mouse.click(at["x"] + at["width"] / 2 + 4, box["y"] + 90)
        assert said(page).startswith(f"{T:,} tokens")


def test_a_page_says_when_its_times_were_measured_and_what_was_multiplied(page):
    expect(page.get_by_text("measured when this page was made")).to_have_count(1)
    expect(page.get_by_text("counted: matrix products that must wait")).to_have_count(1)
    expect(page.get_by_role("button", name="Measure again")).to_have_count(0)
    expect(page.locator(".tl-status")).to_have_text(
        "Beyond 512 tokens, 512 steps or rows are run, and their time is multiplied."
    )
    page.get_by_role("button", name="A page").click()
    expect(page.locator(".tl-status")).to_have_text("")


def test_every_size_to_try_says_what_it_shows(page):
    for name, T in (
        ("A sentence", 32),
        ("A page", 512),
        ("A chapter", 4096),
        ("Start again", 1024),
    ):
        page.get_by_role("button", name=name, exact=True).click()
        assert said(page).startswith(f"{T:,} tokens of width 64.")


def test_everything_can_be_done_by_keyboard_alone(page):
    def tab_to(name):
        for _ in range(30):
            page.keyboard.press("Tab")
            found = page.evaluate(
                "document.activeElement.ariaLabel ?? document.activeElement.textContent"
            )
            if found == name:
                return
        raise AssertionError(name)

    tab_to("T, tokens")
    page.keyboard.press("ArrowRight")
    assert said(page).startswith("2,048 tokens of width 64.")
    page.keyboard.press("Home")
    assert said(page).startswith("16 tokens of width 64.")
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "16"
    tab_to("D, width")
    page.keyboard.press("End")
    assert said(page).startswith("16 tokens of width 256.")
    tab_to("Start again")
    page.keyboard.press("Enter")
    assert said(page).startswith("1,024 tokens of width 64.")
    tab_to("Show as table")
    page.keyboard.press("Enter")
    expect(page.locator(".tl-table")).to_be_visible()


def test_table_and_clipboard_hold_every_length(page):
    page.get_by_role("button", name="Show as table").click()
    rows = page.locator(".tl-table tbody tr")
    expect(rows).to_have_count(9)
    expect(rows.nth(6).locator("td")).to_have_text(
        ["1,024", "4", "8.39 M", "151 M", "102", "20.5", "17.0"]
    )
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("navigator.clipboard.readText()").strip().split("\n")
    assert len(lines) == 10
    name, *cells = lines[7].split(",")
    assert (name, cells[:4]) == ("T = 1024", ["1024", "4", "8388608", "150994944"])
    times = known(1024, 64)
    exact = [1e3 * t for t in (times.loop, times.library, times.attention)]
    assert [float(c) for c in cells[4:]] == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_on_its_ground(exported, scheme):
    page = exported(1024, 64, title="One", color_scheme=scheme)
    page.get_by_role("button", name="Show as table").click()
    settle(page)
    # The letters of a drawing are filled: give them the same colour as text for the measurement.
    page.evaluate(
        """() => document.querySelectorAll("svg text")
        .forEach((e) => { e.style.color = getComputedStyle(e).fill; })"""
    )
    result = page.evaluate(CONTRAST)
    assert result["found"] == []
    assert result["seen"] > 80


@pytest.mark.parametrize("name", ["A sentence", "A chapter", "Where attention loses"])
def test_nothing_is_cut_off_at_600_pixels(exported, name):
    page = exported(1024, 64, viewport={"width": 600, "height": 900})
    page.get_by_role("button", name=name).click()
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    cut = page.evaluate(
        """() => [...document.querySelectorAll("svg text")].filter((e) => {
          const b = e.getBoundingClientRect(), box = e.ownerSVGElement.getBoundingClientRect();
          return b.left < box.left - 1 || b.right > box.right + 1 || b.bottom > box.bottom + 1;
        }).map((e) => e.textContent)"""
    )
    assert cut == []


def test_every_focusable_element_keeps_its_keys(page):
    page.get_by_role("button", name="Show as table").click()
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


def test_the_question_comes_first(exported):
    asked = ("Which is slower at 4,096 tokens?", ["the fused RNN", "attention"])
    page = exported(4096, 64, predict=asked)
    expect(page.locator(".tl-race")).to_have_count(0)
    page.get_by_label("the fused RNN").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.locator(".tl-lanes svg")).to_have_count(2)
    assert "times as slow as the fused RNN" in said(page)


SETUP = """
import json
from transformer_lab.instruments.race import Race
one = Race(64, 16)
"""


def test_the_kernel_measures_what_is_turned_and_then_the_rest(lab):
    notebook = lab("race.ipynb", [SETUP, "one", "one", "1 + 1"])
    page, cells = notebook.page, notebook.cells()
    page.wait_for_selector(".tl-race >> nth=1")
    first, second = page.locator(".tl-race").nth(0), page.locator(".tl-race").nth(1)
    first.scroll_into_view_if_needed()
    expect(first.locator("circle.tl-of-attention")).to_have_count(9)  # the rest of this width
    first.get_by_role("slider", name="D, width").focus()
    page.keyboard.press("ArrowRight")
    for view in (first, second):
        expect(view.locator(".tl-readout")).to_contain_text("64 tokens of width 32. Counted:")
        expect(view.locator(".tl-readout")).to_contain_text("Measured: the RNN")
        expect(view.locator("circle.tl-of-attention")).to_have_count(9)
    T, D, found = json.loads(notebook.python("print(json.dumps([one.T, one.D, one.milliseconds]))"))
    assert (T, D) == (64, 32)
    bars = first.locator(".tl-lanes").nth(1).locator(".tl-much")
    expect(bars).to_have_text([shown(found[name]) for name in ("loop", "fused", "attention")])
    expect(first.get_by_text("measured on this machine")).to_have_count(1)
    first.get_by_role("button", name="Measure again").click()
    again = f"print(json.dumps(one.milliseconds) != '{json.dumps(found)}')"
    assert notebook.python(again) == "True"
    expect(first.locator("circle.tl-of-attention")).to_have_count(9)
    notebook.python("one.T = 128")
    expect(first.locator(".tl-readout")).to_contain_text("128 tokens of width 32.")
    for place in ("input >> nth=0", "input >> nth=1", "button >> nth=0"):
        first.locator(place).focus()
        for key in ("d", "d", "b", "x"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
