"""The model designer in a hand: as an exported page, and in JupyterLab with its kernel."""

import json
import random
from pathlib import Path

import pytest
from playwright.sync_api import expect

from transformer_lab import counting
from transformer_lab.config import ModelConfig
from transformer_lab.instruments import designer_still
from transformer_lab.instruments.designer import ModelDesigner

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
READ = """() => {
  const typed = (name) => Number(document.querySelector(`input[aria-label="${name}"]`).value);
  const list = (name) => [...document.querySelectorAll(".tl-field")]
    .find((e) => e.firstChild.textContent === name).querySelector("select").value;
  const tick = (name) => [...document.querySelectorAll(".tl-tick")]
    .find((e) => e.textContent === name).querySelector("input").checked;
  return {
    config: {
      vocab_size: typed("vocabulary"), d_model: typed("model width"), n_layers: typed("layers"),
      n_heads: typed("heads"), n_kv_heads: typed("key/value heads"),
      d_ff: typed("feed-forward"), max_len: typed("max_len"), positions: list("positions"),
      activation: list("activation"), norm_kind: list("norm"), norm: list("norm stands"),
      tie_embeddings: tick("output tied to the token embedding"), bias: tick("biases"),
      pooler: tick("pooler (encoder)"), embedding_norm: tick("norm after the embedding"),
    },
    kind: list("model"), T: typed("tokens in a text"), B: typed("texts at once"),
    total: document.querySelector(".tl-sum").textContent,
    rows: [...document.querySelectorAll(".tl-rows button")].map((e) => e.children[3].textContent),
    costs: [...document.querySelectorAll(".tl-cost b")].map((e) => e.textContent),
    said: document.querySelector(".tl-readout").textContent,
    bar: [...document.querySelectorAll(".tl-results .tl-stack span")].map((e) => e.offsetWidth),
  };
}"""


@pytest.fixture
def page(visit, tmp_path):
    path = tmp_path / "designer.html"
    ModelDesigner("gpt2", target=10**7).to_html(path)
    return visit(path)


def read(page):
    """What stands on the page once the frames under way are painted."""
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")
    return page.evaluate(READ)


def assert_counted(shown, segments=0):
    """Every number of the page is the package's own count of what the controls say."""
    config = ModelConfig(**shown["config"], n_segments=segments)
    T, cost = shown["T"], {"B": shown["B"], "kind": shown["kind"]}
    total = counting.formula(config, shown["kind"]).total
    assert shown["total"] == f"{total:,}"
    assert sum(int(n.replace(",", "")) for n in shown["rows"]) == total
    assert shown["costs"] == [
        f"{designer_still.short(counting.flops(config, T, **cost).total)}FLOP",
        designer_still.size(counting.memory(config, T, training=True, **cost).total),
        designer_still.size(counting.memory(config, T, **cost).total),
    ]


def tab_to(page, name):
    for _ in range(60):
        page.keyboard.press("Tab")
        if name in page.evaluate(
            "(document.activeElement.ariaLabel || '') + document.activeElement.textContent"
        ):
            return
    raise AssertionError(f"Tab never reached {name!r}")


def test_the_page_shows_the_packages_counts_wherever_the_sliders_are_put(page):
    rng, before = random.Random(0), read(page)
    assert_counted(before)
    assert before["total"] == "124,439,808"
    sliders = page.locator("input[type=range]")
    for _ in range(40):
        slider = sliders.nth(rng.randrange(sliders.count()))
        if slider.is_enabled():
            slider.focus()
            page.keyboard.press(rng.choice(["PageUp", "PageDown", "ArrowUp", "Home", "End"]))
        assert_counted(read(page))
    for name, words in (
        ("positions", ["rotary", "alibi", "none", "sinusoidal"]),
        ("activation", ["swiglu", "relu"]),
        ("norm", ["rms"]),
        ("norm stands", ["post"]),
        ("model", ["encoder", "encoder-decoder", "decoder"]),
    ):
        for word in words:
            field = page.locator(".tl-field").filter(has=page.get_by_text(name, exact=True))
            field.locator("select").select_option(word)
            assert_counted(read(page))
    page.get_by_label("biases").uncheck()
    page.get_by_label("output tied").uncheck()
    assert_counted(read(page))


def test_every_real_model_loads_with_its_total(page):
    for name, preset in counting.PRESETS.items():
        page.get_by_label("Start from").select_option(name)
        shown = read(page)
        assert shown["total"] == f"{counting.formula(preset).total:,}"
        assert_counted(shown, preset.config.n_segments)
        pooler = page.get_by_label("pooler (encoder)")
        expect(pooler).to_be_visible(visible=preset.kind == "encoder")
        nearest = page.get_by_role("button", name=f"{name} ").first
        expect(nearest).to_contain_text("the same")


def test_a_slider_is_dragged_with_the_mouse_and_the_bar_follows(page):
    slider = page.get_by_label("layers, slider")
    box = slider.bounding_box()
    before = read(page)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, y)
    page.mouse.down()
    seen = []
    for share in (0.4, 0.5, 0.6, 0.9):
        page.mouse.move(box["x"] + box["width"] * share, y)
        seen.append(read(page))
    page.mouse.up()
    layers = [shown["config"]["n_layers"] for shown in seen]
    assert layers == sorted(set(layers))
    for shown in seen:
        assert_counted(shown)
    assert seen[-1]["bar"] != before["bar"]


def test_the_budget_is_met_by_keyboard_alone(page):
    expect(page.locator(".tl-game p")).to_have_text("12.4 times the target of 10 M.")
    for name, text in (("vocabulary", "6700"), ("model width", "288"), ("layers", "8")):
        tab_to(page, name)
        page.keyboard.press("Control+a")
        page.keyboard.type(text)
    read(page)
    tab_to(page, "heads")
    tab_to(page, "max_len")
    page.keyboard.press("Control+a")
    page.keyboard.type("256")
    shown = read(page)
    assert_counted(shown)
    expect(page.locator(".tl-game p")).to_contain_text("within 1 %, reached")
    expect(page.locator(".tl-game")).to_have_class("tl-game tl-reached")
    page.get_by_role("button", name="Start again").press("Enter")
    assert read(page)["total"] == "124,439,808"


def test_a_typed_number_stays_what_is_typed_until_the_field_is_left(page):
    box = page.get_by_label("heads", exact=True)
    box.fill("7")
    assert box.input_value() == "7"
    page.keyboard.press("Tab")
    assert read(page)["config"]["n_heads"] in (6, 8)
    page.get_by_label("model width", exact=True).fill("")
    assert read(page)["total"] == "124,439,808"
    page.keyboard.press("Tab")
    assert read(page)["config"]["d_model"] == 768


def test_a_row_is_chosen_by_button_or_in_the_bar_and_read_out(page):
    row = page.get_by_role("button", name="feed-forward")
    row.press("Enter")
    expect(row).to_have_attribute("aria-pressed", "true")
    said = "feed-forward: 12·(2·768·3,072 + 3,072 + 768) = 56,669,184."
    assert read(page)["said"] == said
    assert page.locator(".tl-results .tl-stack .tl-held").count() == 1
    page.locator(".tl-results .tl-stack .tl-piece-query").click()
    assert "attention: 12·(4·768·768 + 4·768) = 28,348,416." in read(page)["said"]
    assert page.locator(".tl-results .tl-stack .tl-held").count() == 4


def test_table_and_csv_hold_every_component(page):
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_role("button", name="Copy as CSV").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    parts = counting.formula(counting.PRESETS["gpt2"])
    assert [line.rsplit(",", 1)[0] for line in lines[1:]] == [
        *(f"{name},{n}" for name, n in parts.items()),
        "total,124439808",
    ]
    page.get_by_role("button", name="Show as table").click()
    expect(page.locator(".tl-table tbody tr")).to_have_count(len(parts) + 1)
    page.get_by_label("layers", exact=True).fill("6")
    expect(page.locator(".tl-table tbody tr").last).to_contain_text(read(page)["total"])


def test_a_title_is_text_and_a_question_comes_first(visit, tmp_path):
    question = ("Where are most?", ["attention", "feed-forward"])
    ModelDesigner(title="<b>bold</b>", predict=question).to_html(tmp_path / "p.html")
    page = visit(tmp_path / "p.html")
    assert page.locator(".tl-stack").count() == 0
    page.get_by_label("attention").check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.get_by_text("You said: attention")).to_be_visible()
    expect(page.locator("h3")).to_have_text("<b>bold</b>")
    assert_counted(read(page))


def test_no_focused_element_lets_a_shortcut_through(page):
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme):
    ModelDesigner("gpt2", target=10**8).to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    page.get_by_role("button", name="output head").click()
    found = page.evaluate(CONTRAST)
    assert found["seen"] > 40
    assert found["found"] == []


@pytest.mark.parametrize("name", ["llama-2-70b", "transformer-big", "bert-large"])
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, name):
    ModelDesigner(name, batch=512, target=10**13).to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": 600, "height": 900})
    page.get_by_role("button", name="attention").first.click()
    read(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".tl *")]
        .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth
          && !["select", "input"].includes(e.localName)).map((e) => e.outerHTML.slice(0, 99))"""
    )
    assert cut == []


SETUP = """
import json
from transformer_lab.instruments.designer import ModelDesigner
designer = ModelDesigner("gpt2", target=10_000_000)
"""


def test_the_kernel_knows_the_model_and_no_key_edits_the_notebook(lab):
    notebook = lab("designer.ipynb", [SETUP, "designer", "designer", "1 + 1"])
    page = notebook.page
    page.wait_for_selector(".tl-designer >> nth=1")
    first, second = page.locator(".tl-designer").all()
    first.get_by_label("layers", exact=True).fill("6")
    expect(second.locator(".tl-sum")).to_have_text("81,912,576")
    page.wait_for_timeout(500)
    asked = "print(json.dumps([designer.config['n_layers'], designer.total, designer.goal]))"
    layers, total, goal = json.loads(notebook.python(asked))
    assert (layers, total) == (6, 81_912_576)
    assert not goal["reached"]
    notebook.python("designer.config = {**designer.config, 'd_model': 384, 'd_ff': 1536}")
    expect(first.get_by_label("model width", exact=True)).to_have_value("384")
    cells = notebook.cells()
    for place in ("select", "input[type=range]", "input[type=number]", ".tl-rows button"):
        first.locator(place).first.focus()
        for key in ("d", "d", "b", "x", "ArrowUp"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
