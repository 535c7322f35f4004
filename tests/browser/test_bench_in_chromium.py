"""The Q/K/V bench in a hand: as an exported page, and in JupyterLab with its kernel."""

import json
import random

import pytest
import torch
from playwright.sync_api import expect

from transformer_lab.attention import attention_weights
from transformer_lab.instruments.bench import AttentionBench

KEYS = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.2], [0.3, -1.0]]
POINTS = [[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]
READ = """() => {
  const texts = (css) => [...document.querySelectorAll(css)].map((e) => e.textContent);
  const typed = (css) => [...document.querySelectorAll(css)].map((e) => Number(e.value));
  const rows = [...document.querySelectorAll(".tl-sums tbody tr:not(.tl-asks)")];
  const cells = (row, css) => [...row.querySelectorAll(css)];
  return {
    query: typed(".tl-asks input"),
    key: rows.map((row) => cells(row, ".tl-terms input").map((e) => Number(e.value))),
    value: rows.map((row) => cells(row, ".tl-s5 input").map((e) => Number(e.value))),
    temperature: Number(document.querySelector(".tl-knobs output").textContent),
    scale: Number(document.querySelector(".tl-knobs .tl-cell").value),
    score: texts(".tl-sums tbody .tl-s1"), exponent: texts(".tl-sums tbody .tl-s2"),
    weight: texts(".tl-sums tbody .tl-s4 > span:last-child"),
    product: rows.map((row) => cells(row, ".tl-s5:last-child span span").map((e) => e.textContent)),
    output: texts(".tl-sums .tl-output-ink span span"),
    said: document.querySelector(".tl-readout").textContent,
  };
}"""


def bench(**changes):
    return AttentionBench(**{"query": [0.8, 0.6], "keys": KEYS, "values": POINTS, **changes})


@pytest.fixture
def page(visit, tmp_path):
    path = tmp_path / "bench.html"
    bench().to_html(path)
    return visit(path)


def read(page):
    """What stands on the page once the frames under way are painted."""
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")
    return page.evaluate(READ)


def tip(page, plane, index):
    """The middle of a grip: plane 0 holds query and keys, plane 1 the values."""
    grips = page.locator(".tl-plane").nth(plane).locator(".tl-grip")
    box = grips.nth(index).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, plane, index, dx, dy):
    x, y = tip(page, plane, index)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()


def number(text):
    return float(text.replace("−", "-"))


def assert_as_torch(shown):
    """Every number of the page is torch's, at the precision shown."""
    query, key, value = (
        torch.tensor(shown[name], dtype=torch.float64) for name in ("query", "key", "value")
    )
    scale = shown["scale"] / shown["temperature"]
    weights = attention_weights(query[None], key, scale=scale)[0]
    expected = {
        "score": key @ query,
        "exponent": key @ query * scale,
        "weight": weights,
        "product": (weights[:, None] * value).flatten(),
        "output": weights @ value,
    }
    for name, tensor in expected.items():
        texts = shown[name]
        flat = [t for row in texts for t in row] if name == "product" else texts
        assert len(flat) == len(tensor), name
        for text, exact in zip(flat, tensor.tolist(), strict=True):
            assert abs(number(text) - exact) < 0.0005 + 1e-5, (name, text, exact)


def test_the_page_shows_torchs_numbers_wherever_the_arrows_are_dragged(page):
    rng = random.Random(0)
    assert_as_torch(read(page))
    for _ in range(12):
        plane = rng.randrange(2)
        before = read(page)
        drag(page, plane, rng.randrange(4 + (plane == 0)), *(rng.randint(-60, 60) for _ in "xy"))
        after = read(page)
        assert_as_torch(after)
        assert after != before


def test_values_that_are_numbers_show_torchs_numbers_too(visit, tmp_path):
    bench(values=[9, 14, -19, 21], temperature=0.5, scale=0.7).to_html(tmp_path / "n.html")
    page = visit(tmp_path / "n.html")
    assert_as_torch(read(page))
    drag(page, 1, 2, 40, -50)
    after = read(page)
    assert after["value"][2][0] > -19
    assert after["value"][:2] == [[9], [14]]
    assert_as_torch(after)


def test_the_tip_stays_under_the_pointer_and_the_plane_keeps_still_meanwhile(page):
    x, y = tip(page, 0, 0)
    page.mouse.move(x + 3, y - 2)
    page.mouse.down()
    page.mouse.move(x + 53, y + 28, steps=5)
    read(page)
    assert tip(page, 0, 0) == pytest.approx((x + 50, y + 30), abs=1.5)
    page.mouse.up()


def test_the_output_is_drawn_where_its_numbers_say(page):
    drag(page, 0, 0, -70, 20)
    output = [number(text) for text in read(page)["output"]]
    plane = page.locator(".tl-plane").nth(1)
    ball = plane.locator(".tl-output circle").bounding_box()
    box = plane.bounding_box()
    for axis, side, size, sign in ((0, "x", "width", 1), (1, "y", "height", -1)):
        middle = (ball[side] + ball[size] / 2 - box[side]) / box[size]
        assert sign * (2 * middle - 1) * 1.5 == pytest.approx(output[axis], abs=0.01)


def test_a_finger_drags_as_a_mouse_does(visit, tmp_path):
    bench().to_html(tmp_path / "touch.html")
    page = visit(tmp_path / "touch.html", has_touch=True)
    x, y = tip(page, 0, 0)
    client = page.context.new_cdp_session(page)
    for kind, dx in (("touchStart", 0), ("touchMove", 10), ("touchMove", 40), ("touchEnd", 0)):
        points = [] if kind == "touchEnd" else [{"x": x + dx, "y": y}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    after = read(page)
    assert after["query"][0] > 1
    assert after["query"][1] == pytest.approx(0.6, abs=0.02)
    assert_as_torch(after)


def focused(page):
    return page.evaluate("document.activeElement.textContent || document.activeElement.ariaLabel")


def tab_to(page, name):
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page) == name:
            return
    raise AssertionError(f"Tab never reached {name!r}")


def test_everything_can_be_done_by_keyboard_alone(page):
    tab_to(page, "a")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    assert read(page)["key"][0] == [0.99, 0.1]
    tab_to(page, "Query doubled")
    page.keyboard.press("Enter")
    assert read(page)["query"] == [1.6, 1.2]
    page.keyboard.press("Tab")
    assert focused(page) == "Start again"
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    shown = read(page)
    assert shown["temperature"] == 0.01
    assert "hard lookup" in shown["said"]
    assert_as_torch(shown)
    page.keyboard.press("End")
    assert "All keys count alike" in read(page)["said"]
    tab_to(page, "From the first step")
    page.keyboard.press("Space")
    expect(page.locator(".tl-steps .tl-row p")).to_contain_text("1. Multiply query and key")


def test_a_plane_takes_the_arrow_keys_after_its_arrow_is_chosen(page):
    page.get_by_role("button", name="key b").click()
    page.locator(".tl-plane").nth(1).focus()
    page.keyboard.press("ArrowRight")
    assert read(page)["value"][1] == [-0.9, 1.0]
    page.locator(".tl-plane").nth(0).focus()
    page.keyboard.press("Shift+ArrowDown")
    assert read(page)["key"][1] == [0.0, 0.99]


def test_numbers_can_be_typed_into_the_table(page):
    box = page.get_by_label("query, first number")
    box.fill("-2.5")
    after = read(page)
    assert after["query"] == [-2.5, 0.6]
    assert_as_torch(after)
    box.fill("")
    assert read(page)["score"] == after["score"]
    page.keyboard.press("Tab")
    assert box.input_value() == "-2.50"
    page.get_by_label("value of c, second number").press("Shift+ArrowUp")
    assert read(page)["value"][2] == [-1.0, -0.99]
    page.get_by_label("scale", exact=True).fill("0.5")
    assert_as_torch(read(page))


def test_each_step_shows_one_column_more(page):
    page.get_by_role("button", name="From the first step").click()
    columns = page.locator(".tl-sums thead th")
    output = page.locator(".tl-output").last  # the plane of the values
    for count in (2, 3, 4, 5, 7):
        expect(columns.filter(visible=True)).to_have_count(count)
        expect(output).to_be_visible(visible=count == 7)
        if count < 7:
            page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_role("button", name="From the first step")).to_be_visible()
    page.get_by_role("button", name="Back", exact=True).click()
    expect(output).to_be_hidden()


def test_the_buttons_show_what_they_say(page):
    page.get_by_role("button", name="Dictionary").click()
    dictionary = read(page)
    assert dictionary["weight"] == ["1.000", "0.000", "0.000", "0.000"]
    assert dictionary["output"] == ["1.000", "1.000"]
    page.get_by_role("button", name="Start again").click()
    page.get_by_role("button", name="Two keys the same").click()
    same = read(page)
    assert same["weight"][0] == same["weight"][1]
    page.get_by_role("button", name="Start again").click()
    page.get_by_role("button", name="Query between two keys").click()
    between = read(page)
    assert between["weight"][0] == between["weight"][1]
    assert "a and b share" in between["said"]


def test_the_table_is_copied_as_csv(page):
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("a,1,0,0.8,0.8,0.42")


def test_the_whole_table_fits_a_cell_of_a_600_pixel_window(visit, tmp_path):
    bench().to_html(tmp_path / "small.html")
    page = visit(tmp_path / "small.html", viewport={"width": 469, "height": 900})
    read(page)
    hidden = "(e) => e.scrollWidth - e.clientWidth"
    assert page.locator(".tl-sums").evaluate(hidden) == 0


def test_a_name_is_text_and_never_markup(visit, tmp_path):
    names = ["<img src=x onerror=alert(1)>", "日本", "b", "c"]
    bench(names=names, title="<b>bold</b>").to_html(tmp_path / "m.html")
    page = visit(tmp_path / "m.html")
    assert page.locator("img, b").count() == 0
    expect(page.locator("tbody th").nth(1)).to_have_text(names[0])
    expect(page.locator("h3")).to_have_text("<b>bold</b>")


def test_a_question_stands_alone_until_it_is_answered(visit, tmp_path):
    path = tmp_path / "predict.html"
    bench(predict=("Sharper or flatter?", ["sharper", "flatter"])).to_html(path)
    page = visit(path)
    assert page.locator(".tl-plane").count() == 0
    page.get_by_label("flatter").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.get_by_text("You said: flatter")).to_be_visible()
    assert_as_torch(read(page))


def test_no_focused_element_lets_a_shortcut_through(page):
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


CONTRAST = """() => {
  const light = (c) => c.map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const back = dark ? [18, 18, 18] : [255, 255, 255];
  const worst = {};
  for (const e of document.querySelectorAll(".tl *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const style = getComputedStyle(e), colour = rgb(e.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(colour.slice(0, 3)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) worst[e.outerHTML.slice(0, 80)] = ratio;
  }
  return worst;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("step", ["all", "first"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme, step):
    bench(title="One").to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    if step == "first":
        page.get_by_role("button", name="From the first step").click()
    assert page.evaluate(CONTRAST) == {}


@pytest.mark.parametrize("values", [POINTS, [9, 14, 19, 21]], ids=["points", "numbers"])
@pytest.mark.parametrize("state", ["Start again", "Dictionary", "Query doubled"])
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, values, state):
    bench(values=values).to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": 600, "height": 900})
    page.get_by_role("button", name=state).click()
    read(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    assert (
        page.evaluate(
            "(() => { const e = document.querySelector('.tl-sums');"
            "return e.scrollWidth - e.clientWidth; })()"
        )
        <= 0
    )
    planes = page.locator(".tl-plane")
    assert planes.nth(0).bounding_box()["y"] == planes.nth(1).bounding_box()["y"]


SETUP = """
import json
from transformer_lab.instruments.bench import AttentionBench
bench = AttentionBench([0.8, 0.6], [[1, 0], [0, 1], [-1, 0.2]], [[1, 1], [-1, 1], [0, -1]])
"""


@pytest.fixture(scope="module")
def notebook(lab):
    one = lab("bench.ipynb", [SETUP, "bench", "bench", "1 + 1"])
    one.page.wait_for_selector(".tl-bench >> nth=1")
    return one


def test_the_kernel_knows_what_the_learner_left(notebook):
    page = notebook.page
    page.locator(".tl-bench").first.scroll_into_view_if_needed()
    drag(page, 0, 0, 40, 30)
    asked = "print(json.dumps([bench.query, bench.weights, bench.output]))"
    page.wait_for_timeout(500)
    query, weights, output = json.loads(notebook.python(asked))
    first = page.locator(".tl-bench").first
    shown = [e.input_value() for e in first.locator(".tl-asks input").all()]
    assert [f"{x:.2f}" for x in query] == shown
    assert query != [0.8, 0.6]
    texts = first.locator("tbody .tl-s4 > span:last-child").all_text_contents()
    assert texts == [f"{w:.3f}" for w in weights]
    sums = first.locator(".tl-output-ink span span").all_text_contents()
    assert [number(text) for text in sums] == pytest.approx(output, abs=0.00051)


def test_two_copies_and_python_move_together(notebook):
    notebook.python("bench.query = [-1.5, 0.25]; bench.temperature = 0.5")
    for copy in notebook.page.locator(".tl-bench").all():
        expect(copy.locator(".tl-asks input").first).to_have_value("-1.50")
        expect(copy.locator(".tl-knobs output")).to_have_text("0.5")


def test_the_keys_of_a_focused_bench_do_not_edit_the_notebook(notebook):
    page, cells = notebook.page, notebook.cells()
    for place in (".tl-plane", ".tl-chip", ".tl-steps button", ".tl-asks input", ".tl-sums"):
        page.locator(place).first.focus()
        for key in ("d", "d", "b", "x", "ArrowUp", "Shift+ArrowUp"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
    assert page.locator(".jp-Cell.jp-mod-selected").count() <= 1
