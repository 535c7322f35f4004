"""All instruments at once: on one page, as in a notebook, where each must look as it does alone."""

from pathlib import Path

import gallery
import pytest
from gallery import EXAMPLES, classes

FIRST = {name: make for name, make in EXAMPLES.items() if "," not in name}
# A section as it looks: each element's size, and what a foreign rule would change.
LOOK = """async (kept) => {
  const sheets = [...document.querySelectorAll("style[data-sheet]")];
  sheets.forEach((sheet) => { sheet.disabled = kept !== null && sheet.dataset.sheet !== kept; });
  for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
  const names = ["display", "position", "margin", "padding", "border", "color", "backgroundColor",
    "font", "fill", "stroke", "strokeWidth", "opacity", "visibility", "textAlign", "gap", "cursor"];
  return Object.fromEntries([...document.querySelectorAll("[data-example]")].map((place) => [
    place.dataset.example, [...place.querySelectorAll("*")].map((element) => {
      const style = getComputedStyle(element), { width, height } = element.getBoundingClientRect();
      return [element.tagName, element.getAttribute("class"), Math.round(width), Math.round(height),
        ...names.map((name) => style[name])].join("|");
    })]));
}"""
UNMARKED = """() => [...document.querySelectorAll(
  ".tl :is(button, input, select, textarea, summary, a[href], [tabindex])")]
  .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML.slice(0, 200))"""
WIDE = """() => [...document.querySelectorAll("[data-example]")]
  .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.dataset.example)"""


@pytest.fixture(scope="module")
def every():
    return {name: make() for name, make in EXAMPLES.items()}


def test_every_instrument_has_three_states(every):
    shown = [type(one).__name__ for one in every.values()]
    assert {cls.__name__ for cls in classes() if shown.count(cls.__name__) < 3} == set()


def test_each_looks_among_others_as_it_does_alone(visit, tmp_path, every):
    styles = dict.fromkeys(every[name].page_part().style for name in FIRST)
    sheets = [f'</style><style data-sheet="{i}">{style}' for i, style in enumerate(styles)]
    written = gallery.page({name: every[name] for name in FIRST})
    assert "".join(styles) in written
    written = written.replace("".join(styles), "".join(sheets))
    (tmp_path / "page.html").write_text(written, encoding="utf-8")
    page = visit(tmp_path / "page.html")
    together = page.evaluate(LOOK, None)
    for name in FIRST:
        own = list(styles).index(every[name].page_part().style)
        alone = page.evaluate(LOOK, str(own))[name]
        assert len(alone) > 5
        pairs = zip(together[name], alone, strict=True)
        assert [pair for pair in pairs if pair[0] != pair[1]] == []


def test_at_600_pixels_nothing_is_wider_and_every_focus_keeps_its_keys(visit, tmp_path, every):
    (tmp_path / "page.html").write_text(gallery.page(every), encoding="utf-8")
    page = visit(tmp_path / "page.html", viewport={"width": 600, "height": 900})
    assert page.locator("[data-example] .tl").count() == len(EXAMPLES)
    assert page.evaluate(WIDE) == []
    assert page.evaluate(UNMARKED) == []
    for button in page.get_by_role("button", name="Show as table", exact=True).all()[::-1]:
        if button.is_enabled():
            button.click()
    assert page.locator(".tl-table").count() > 20
    assert page.evaluate(WIDE) == []
    assert page.evaluate(UNMARKED) == []


SETUP = "import sys; sys.path.insert(0, {tests!r}); from gallery import EXAMPLES"


def test_two_of_each_in_one_notebook_and_no_key_edits_it(lab):
    """Every control takes the keys that would insert and delete cells."""
    tests = str(Path(__file__).parents[1])
    shown = [f"one = EXAMPLES[{name!r}](); display(one, one)" for name in FIRST]
    notebook = lab("every.ipynb", [SETUP.format(tests=tests), *shown, "1 + 1"])
    page = notebook.page
    page.wait_for_function(
        "(count) => document.querySelectorAll('.tl').length >= count", arg=2 * len(FIRST)
    )
    cells = notebook.cells()
    for output in page.locator(".jp-OutputArea-child .tl").all():
        first = output.locator("button:enabled, input:enabled, select, [tabindex='0']").first
        if first.count():
            first.focus()
            for key in ("d", "d", "b", "x"):
                page.keyboard.press(key)
    assert notebook.cells() == cells


OVERLAP = """() => [...document.querySelectorAll("[data-example]")].flatMap((example) => {
  const all = [...example.querySelectorAll("select, button, input, .tl-quiet, .tl-number")]
    .filter((e) => e.getClientRects().length && !e.closest("svg") && e.textContent.length < 80
      && getComputedStyle(e).position !== "absolute");
  return all.flatMap((one, i) => all.slice(i + 1).filter((other) => {
    const a = one.getBoundingClientRect(), b = other.getBoundingClientRect();
    return !one.contains(other) && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  }).map((other) => `${example.dataset.example}: ${one.textContent} / ${other.textContent}`));
})"""


def test_in_a_cell_of_a_600_pixel_window_no_control_lies_on_another(visit, tmp_path, every):
    (tmp_path / "page.html").write_text(gallery.page(every), encoding="utf-8")
    page = visit(tmp_path / "page.html", viewport={"width": 469, "height": 900})
    page.wait_for_function("() => document.querySelectorAll('.tl-builder .tl-lines button').length")
    assert page.evaluate(OVERLAP) == []
