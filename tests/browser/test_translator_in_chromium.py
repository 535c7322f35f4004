"""The translator in a hand: as an exported page, and in JupyterLab with its kernel."""

import math
import random
import sys
from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).parents[1]))
from small_translator import TASK, half_trained, trained

from transformer_lab.instruments.crossing import looks
from transformer_lab.instruments.translator import Translator
from transformer_lab.recording import record_attention
from transformer_lab.translation import english, german

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
READ = """() => {
  const texts = (css) => [...document.querySelectorAll(css)].map((e) => e.textContent);
  const rows = [...document.querySelectorAll(".tl-cross-piece")].map((e) => e.textContent);
  const cells = [...document.querySelectorAll(".tl-cross-cell")];
  return {
    source: texts(".tl-lit .tl-token"), lit: texts(".tl-lit > :first-child"),
    written: texts(".tl-piece"), expects: texts(".tl-expect > .tl-token"),
    chances: texts(".tl-expect > .tl-number"), marks: texts(".tl-mark"),
    beams: texts(".tl-beam"), scores: texts(".tl-beams .tl-number"),
    rows, cells: cells.map((e) => e.textContent),
    colours: cells.map((e) => getComputedStyle(e).backgroundColor),
    truth: cells.map((e) => e.classList.contains("tl-true")),
    verdicts: texts(".tl-cross-verdict"), said: document.querySelector(".tl-readout").textContent,
  };
}"""


def translator(text="342", model=None, **changes):
    return Translator(model or trained(), TASK.english, TASK.german, text, **changes)


def settle(page):
    """Waits until the frames under way are painted."""
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def read(page):
    """What stands on the page once the frames under way are painted."""
    settle(page)
    return page.evaluate(READ)


@pytest.fixture
def page(visit, tmp_path):
    path = tmp_path / "translator.html"
    translator(examples=["42", "907"]).to_html(path)
    return visit(path)


def press(page, name, times=1):
    for _ in range(times):
        page.get_by_role("button", name=name, exact=True).click(force=True)  # even if off
        settle(page)  # a forced click does not wait until its button has stopped moving


def number(text):
    return float(text.replace("−", "-").lstrip("<>"))


def truth(model, text, written):
    """Log-probabilities and cross-attention (L, H, S) of torch after these pieces."""
    source = torch.tensor([TASK.english.encode(english(int(text)))])
    target = torch.tensor([[1, *TASK.german.encode(written)]])
    with torch.no_grad(), record_attention(model) as weights:
        logs = model(source, target)[0].log_softmax(-1)
    table = [weights[f"decoder.{n}.cross_attention"][0].transpose(0, 1) for n in range(2)]
    return logs, torch.stack(table, 1)


def assert_as_torch(shown, model, text, head="mean"):
    """Every number of the page is torch's, at the precision shown."""
    logs, weights = truth(model, text, shown["written"])
    if "?" in shown["said"] or not any(shown["lit"]):
        return
    best = logs[-1].exp().topk(5)
    assert shown["expects"][:5] == [TASK.german.pieces[i] for i in best.indices]
    for chance, exact in zip(shown["chances"][:5], best.values.tolist(), strict=True):
        assert abs(number(chance) - exact) < 0.0005 + 1e-5
    rows = looks(weights, head)
    for lit, exact in zip(shown["lit"], rows[-1].tolist(), strict=True):
        assert abs(float(lit) - exact) < 0.005 + 1e-5
    cells = [x for row in rows.tolist() for x in row]
    for cell, exact in zip(shown["cells"], cells, strict=False):
        assert abs(float(cell or 0) - exact) < (0.0051 if cell and cell[0] == "." else 0.0055)
    pieces = TASK.german.encode(shown["written"])
    total = sum(logs[t, piece].item() for t, piece in enumerate(pieces))
    assert min(abs(number(score) - total) for score in shown["scores"]) < 0.0005 + 2e-5


def test_the_page_shows_torchs_numbers_at_every_step(visit, tmp_path):
    rng = random.Random(0)
    texts = [str(rng.randrange(1000)) for _ in range(8)]
    translator(texts[0], half_trained(), examples=texts[1:]).to_html(tmp_path / "h.html")
    page, checked = visit(tmp_path / "h.html"), 0
    for text in texts:
        page.get_by_role("button", name=text, exact=True).click()
        head = rng.choice(["mean", "0", "1", "0.2", "1.3"])
        page.locator("label", has_text="attention").locator("select").select_option(head)
        page.get_by_label("search").select_option(str(rng.randint(1, 4)))
        for _ in range(5):
            shown = read(page)
            assert shown["source"] == list(english(int(text)))
            assert_as_torch(shown, half_trained(), text, head)
            checked += 16
            press(page, "Next piece")
            if rng.random() < 0.3 and len(read(page)["beams"]) > 1:
                page.locator(".tl-beam").nth(1).click()
    assert checked >= 200


def test_stepping_writes_the_translation_and_goes_back(page):
    first = read(page)
    assert first["written"] == []
    press(page, "Next piece", 3)
    assert read(page)["written"] == list(german(342))[:3]
    press(page, "Back")
    assert read(page)["written"] == list(german(342))[:2]
    press(page, "To the end")
    end = read(page)
    assert end["written"] == list(german(342))
    assert end["rows"] == [*german(342), "<end>"]
    assert "is complete" in end["said"]
    assert "That is right." in end["said"]
    page.locator(".tl-piece").nth(1).click()
    assert read(page)["written"] == list(german(342))[:1]
    press(page, "Start")
    assert read(page) == first


def test_the_true_words_are_framed_and_agreement_is_marked(page):
    press(page, "To the end")
    shown = read(page)
    framed = [i for i, true in enumerate(shown["truth"]) if true]
    across = len(shown["source"])
    assert [(i // across, i % across) for i in framed] == [(0, 0), (1, 1), (2, 4), (4, 3), (5, 3)]
    for row, verdict in enumerate(shown["verdicts"]):
        here = [float(x or 0) for x in shown["cells"][row * across : (row + 1) * across]]
        at = [i % across for i in framed if i // across == row]
        agrees = bool(at) and here[at[0]] == max(here)
        assert verdict == ("" if not at else "✓" if agrees else "✗")


def test_a_cell_has_the_colour_of_its_number(page):
    from transformer_lab.instruments import still

    press(page, "To the end")
    shown = read(page)
    _, weights = truth(trained(), "342", shown["written"])
    exact = looks(weights, "mean").flatten().tolist()
    for colour, weight in zip(shown["colours"], exact, strict=False):
        rgb = [int(x) for x in colour[4:-1].split(", ")]
        assert abs(still.cividis([weight])[0].astype(int) - rgb).max() <= 3


def test_beams_are_listed_and_another_can_be_followed(visit, tmp_path):
    one = translator("17", half_trained(), width=4)
    one.to_html(tmp_path / "b.html")
    page = visit(tmp_path / "b.html")
    press(page, "Next piece")
    shown = read(page)
    assert len(shown["beams"]) == 4
    scores = [number(x) for x in shown["scores"]]
    assert scores == sorted(scores, reverse=True)
    page.locator(".tl-beam").nth(1).click()
    second = read(page)
    assert "".join(second["written"]) == shown["beams"][1]
    assert second["expects"] != shown["expects"] or second["chances"] != shown["chances"]
    page.get_by_label("search").select_option("1")
    assert len(read(page)["beams"]) == 1


def test_an_embedded_text_needs_no_kernel_and_another_says_so(page):
    box = page.get_by_label("A number, or its English words")
    box.fill("907")
    box.press("Enter")
    assert read(page)["source"] == list(english(907))
    press(page, "To the end")
    assert "".join(read(page)["written"]) == "neunhundertsieben"
    box.fill("908")
    press(page, "Translate")
    expect(page.get_by_text("This page carries no model. It knows 342, 42, 907.")).to_be_visible()


def focused(page):
    return page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent")


def tab_to(page, name):
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page).startswith(name):
            return
    raise AssertionError(f"Tab never reached {name!r}")


def test_everything_can_be_done_by_keyboard_alone(page):
    tab_to(page, "Next piece")
    for _ in range(12):
        page.keyboard.press("Enter")
    assert "is complete" in read(page)["said"]
    assert focused(page) == "Next piece"  # at the end it keeps the focus
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert len(read(page)["written"]) == 6
    tab_to(page, "Cross-attention")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    said = read(page)["said"]
    assert said.startswith("Before it writes “drei”, ")
    assert "of its attention is on “three”, which “drei” translates." in said
    page.keyboard.press("ArrowRight")
    assert "is on “hundred”. “drei” translates “three”." in read(page)["said"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert read(page)["written"] == ["drei"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    assert read(page)["said"].startswith("After “drei”")


def test_a_tap_on_a_cell_reads_it_out(page):
    press(page, "To the end")
    page.locator(".tl-cross-cell").nth(5).click()
    assert read(page)["said"].startswith("Before it writes “hundert”")


def test_table_and_csv_hold_the_weights(page):
    press(page, "To the end")
    press(page, "Show as table")
    assert page.locator(".tl-table tbody tr").count() == 7
    page.evaluate(
        "() => { navigator.clipboard ??= {}; window.copied = '';"
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    press(page, "Copy as CSV")
    expect(page.get_by_text("Copied.")).to_be_visible()
    lines = page.evaluate("window.copied").splitlines()
    assert lines[0] == ",three,hundred,and,forty,two"
    sums = [sum(map(float, line.split(",")[1:])) for line in lines[1:]]
    assert all(math.isclose(total, 1, abs_tol=1e-3) for total in sums)


def test_two_of_a_group_step_together(visit, tmp_path):
    from transformer_lab.instruments import export

    ones = [translator("342"), translator("342", half_trained())]
    parts = []
    for one in ones:
        one.group = "steps"
        parts.append(export.Part(one._esm, one._css, one.state(), one.describe()))
    (tmp_path / "two.html").write_text(export.page("Two", parts), encoding="utf-8")
    page = visit(tmp_path / "two.html")
    page.get_by_role("button", name="Next piece").first.click()
    expect(page.get_by_text("piece 1 of")).to_have_count(2)


def test_text_is_text_and_never_markup(visit, tmp_path):
    from transformer_lab.instruments.reading import Reading

    def reader(text):
        return Reading(("two",), ("<img src=x onerror=alert(1)>",), (0, -1))

    path = tmp_path / "m.html"
    translator("<b>", read=reader, examples=[], title="<b>bold</b>").to_html(path)
    page = visit(path)
    press(page, "To the end")
    read(page)
    assert page.locator("img, b").count() == 0
    expect(page.locator("h3")).to_have_text("<b>bold</b>")


def test_a_question_stands_alone_until_it_is_answered(visit, tmp_path):
    path = tmp_path / "predict.html"
    translator(predict=("Which word first?", ["forty", "two"])).to_html(path)
    page = visit(path)
    assert page.locator(".tl-cross").count() == 0
    page.get_by_label("two", exact=True).check()
    page.get_by_role("button", name="This is my answer").click()
    expect(page.get_by_text("You said: two")).to_be_visible()
    assert_as_torch(read(page), trained(), "342")


def test_no_focused_element_lets_a_shortcut_through(page):
    press(page, "Next piece")
    unmarked = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
        .filter((e) => e.dataset.lmSuppressShortcuts !== "true").map((e) => e.outerHTML)"""
    )
    assert unmarked == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", ["Start", "Next piece", "To the end"])
def test_all_text_can_be_read_on_its_ground(visit, tmp_path, scheme, where):
    translator("17", half_trained(), width=3, title="One").to_html(tmp_path / "c.html")
    page = visit(tmp_path / "c.html", color_scheme=scheme)
    press(page, where)
    read(page)
    found = page.evaluate(CONTRAST)
    assert found["seen"] > 20
    assert found["found"] == []


@pytest.mark.parametrize("text", ["0", "777"])
@pytest.mark.parametrize("where", ["Start", "Next piece", "To the end"])
def test_nothing_is_cut_off_at_600_pixels(visit, tmp_path, text, where):
    translator(text, width=4).to_html(tmp_path / "w.html")
    page = visit(tmp_path / "w.html", viewport={"width": 600, "height": 900})
    press(page, where)
    read(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    cut = page.evaluate(
        "() => [...document.querySelectorAll("
        "'.tl-cross-word, .tl-cross-piece, .tl-beam, .tl-token')]"
        ".filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"
    )
    assert cut == []


SETUP = """
import sys; sys.path.insert(0, {tests!r})
from small_translator import TASK, trained
from transformer_lab.instruments.translator import Translator
translator = Translator(trained(), TASK.english, TASK.german, "42")
"""


def test_in_jupyterlab_a_typed_number_is_translated_and_keys_edit_no_cell(lab):
    setup = SETUP.format(tests=str(Path(__file__).parents[1]))
    notebook = lab("translator.ipynb", [setup, "translator", "translator", "1 + 1"])
    page = notebook.page
    page.wait_for_selector(".tl-translator >> nth=1")
    first = page.locator(".tl-translator").first
    box = first.get_by_label("A number, or its English words")
    box.fill("three hundred and forty-two")
    box.press("Enter")
    expect(first.locator(".tl-lit .tl-token")).to_have_text(
        ["three", "hundred", "and", "forty", "two"]
    )
    first.get_by_role("button", name="To the end").click()
    expect(first.locator(".tl-piece")).to_have_text(list(german(342)))
    for _ in range(50):
        if notebook.python("print(translator.translation, translator.step)").endswith(" 7"):
            break
        page.wait_for_timeout(50)
    assert notebook.python("print(translator.translation)") == "dreihundertzweiundvierzig"
    second = page.locator(".tl-translator").nth(1)
    expect(second.locator(".tl-piece")).to_have_text(list(german(342)))
    notebook.python("translator.step = 2")
    expect(first.locator(".tl-piece")).to_have_text(["drei", "hundert"])
    box.fill("seven thousand")
    box.press("Enter")
    expect(first.get_by_text("The model never saw “thousand”")).to_be_visible()
    cells = notebook.cells()
    for place in (".tl-cross", ".tl-main", ".tl-piece", ".tl-beam", "select"):
        first.locator(place).first.focus()
        for key in ("d", "d", "b", "x", "ArrowUp"):
            page.keyboard.press(key)
    assert notebook.cells() == cells
