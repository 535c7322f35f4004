"""The attention explorer where learners meet it: in JupyterLab, with a kernel."""

import re

import pytest
from playwright.sync_api import expect

SETUP = """
import numpy as np
from transformer_lab.instruments.attention import AttentionExplorer

def read(text):
    if "fail" in text:
        raise ValueError("the text has 999 tokens, tiny reads at most 512")
    tokens = text.split()
    rng = np.random.default_rng(len(tokens))
    return tokens, rng.dirichlet(np.ones(len(tokens)), size=(2, 3, len(tokens)))

tokens, weights = read("the cat saw the dog")
explorer = AttentionExplorer(weights, tokens, read=read, title="Two views")
long = AttentionExplorer([np.eye(100)[None].repeat(30, 0)] * 3, [str(i) for i in range(100)])
asking = AttentionExplorer(weights, tokens, predict=("Which?", ["this", "that"]))
"""
FIRST, SECOND, LONG, ASKING = range(4)


@pytest.fixture(scope="module")
def notebook(lab):
    one = lab("explorer.ipynb", [SETUP, "explorer", "explorer", "long", "asking"])
    expect(one.page.locator(".tl")).to_have_count(4, timeout=60_000)
    return one


def view(notebook, which):
    return notebook.page.locator(".tl").nth(which)


def head(place, layer, number):
    return place.get_by_label(re.compile(f"^layer {layer} head {number}(,|$)"))


def python(notebook, expression):
    return notebook.python(f"print({expression})")


def eventually(notebook, expression, value):
    """The kernel hears of a change a moment later."""
    for _ in range(50):
        if (found := python(notebook, expression)) == value:
            return
        notebook.page.wait_for_timeout(50)
    assert found == value


def test_a_click_reaches_python_and_the_second_view_of_the_same_explorer(notebook):
    head(view(notebook, FIRST), 1, 2).click()
    expect(view(notebook, SECOND).locator("h4")).to_have_text("layer 1 head 2")
    view(notebook, FIRST).locator(".tl-word").nth(4).click()
    eventually(notebook, "explorer.layer, explorer.head, explorer.query", "1 2 4")
    expect(view(notebook, SECOND).locator(".tl-readout")).to_contain_text("“dog” attends most")


def test_python_can_choose_what_both_views_show(notebook):
    notebook.python("explorer.layer, explorer.head, explorer.query = 0, 1, 2")
    notebook.python("explorer.pinned = [[0, 1]]; explorer.sort = 'first'")
    for which in (FIRST, SECOND):
        place = view(notebook, which)
        expect(place.locator("h4")).to_have_text("layer 0 head 1")
        expect(place.locator(".tl-readout")).to_contain_text("“saw” attends most")
        expect(place.locator('[data-pin="A"]')).to_have_count(1)
        expect(place.get_by_label("sort by")).to_have_value("first")
    notebook.python("explorer.pinned = []; explorer.sort = 'order'")


def test_what_is_read_out_is_the_number_in_the_kernel(notebook):
    place = view(notebook, FIRST)
    head(place, 1, 0).click()
    canvas = place.locator(".tl-board canvas")
    canvas.scroll_into_view_if_needed()
    for row, column in ((0, 4), (2, 1), (3, 3)):
        box = canvas.bounding_box()
        x = box["x"] + (column + 0.5) * box["width"] / 5
        notebook.page.mouse.move(x, box["y"] + (row + 0.5) * box["height"] / 5)
        weight = float(python(notebook, f"weights[1, 0, {row}, {column}]"))
        readout = place.locator(".tl-readout")
        expect(readout).to_contain_text("rank")
        said = re.search(r"weight (\d\.\d{3})", readout.inner_text())[1]
        assert abs(float(said) - weight) <= 0.0005 + 7.7e-6


@pytest.mark.parametrize(
    "target",
    [".tl-word", ".tl-board canvas", ".tl-head", ".tl-heads select", ".tl-pins button"],
)
def test_keys_that_edit_the_notebook_do_nothing_in_the_instrument(notebook, target):
    cells = notebook.cells()
    view(notebook, FIRST).locator(target).first.focus()
    for key in ("d", "d", "b", "a", "x"):
        notebook.page.keyboard.press(key)
    notebook.page.wait_for_timeout(100)
    assert notebook.cells() == cells
    assert notebook.page.locator(".jp-mod-editMode .cm-focused").count() == 0


def test_an_unmarked_button_would_have_deleted_the_cell(notebook):
    """The proof that the test above can fail."""
    cells = notebook.cells()
    pin = view(notebook, SECOND).locator(".tl-pins button").first
    pin.evaluate("(e) => e.removeAttribute('data-lm-suppress-shortcuts')")
    pin.focus()
    notebook.page.keyboard.press("b")
    notebook.page.wait_for_function(
        f"document.querySelectorAll('.jp-Notebook .jp-Cell').length === {cells + 1}"
    )
    notebook.command("notebook:undo-cell-action")
    pin.evaluate("(e) => e.setAttribute('data-lm-suppress-shortcuts', 'true')")
    assert notebook.cells() == cells


def type_text(notebook, text):
    place = view(notebook, FIRST)
    place.get_by_label("Your own sentence").fill(text)
    place.get_by_role("button", name="Read it").click()


def test_the_learners_own_sentence_is_read_by_python(notebook):
    type_text(notebook, "<b>bold</b> 👩‍🔬 and I")
    words = view(notebook, FIRST).locator(".tl-word .tl-token")
    expect(words).to_have_text(["<b>bold</b>", "👩‍🔬", "and", "I"])
    expect(view(notebook, SECOND).locator(".tl-word")).to_have_count(4)
    expect(view(notebook, FIRST).get_by_role("button", name="Read it")).to_be_enabled()
    assert view(notebook, FIRST).locator(".tl-text b").count() == 0


def test_enter_reads_the_sentence_too(notebook):
    box = view(notebook, FIRST).get_by_label("Your own sentence")
    box.fill("Enter is enough")
    box.press("Enter")
    words = view(notebook, FIRST).locator(".tl-word .tl-token")
    expect(words).to_have_text(["Enter", "is", "enough"])


def test_what_cannot_be_read_is_answered_with_a_sentence(notebook):
    own = view(notebook, FIRST).locator(".tl-own")
    type_text(notebook, "please fail")
    expect(own).to_contain_text("could not be read: the text has 999 tokens")
    type_text(notebook, "   ")
    expect(own).to_contain_text("Type a word or a sentence first.")
    type_text(notebook, "w " * 130)
    expect(view(notebook, FIRST).locator(".tl-notice")).to_contain_text("130 tokens; up to 128")
    type_text(notebook, "back again")
    expect(view(notebook, FIRST).locator(".tl-word")).to_have_count(2)
    expect(own).not_to_contain_text("could not")


def test_the_weights_of_another_layer_come_when_they_are_wanted(notebook):
    assert python(notebook, "len(long.content['sent'])") == "30"
    place = view(notebook, LONG)
    head(place, 2, 5).click()
    place.locator(".tl-word").nth(7).click()  # a hover ends when the notebook scrolls
    expect(place.locator(".tl-readout")).to_contain_text("layer 2 head 5: “7” attends most to “7”")
    place.get_by_role("button", name="Pin layer 2 head 5").click()
    head(place, 0, 1).click()
    place.get_by_role("button", name="Pin layer 0 head 1").click()
    expect(place.locator("h4")).to_have_text("layer 2 head 5 − layer 0 head 1")
    expect(place.locator(".tl-waits")).to_have_count(0)


def test_walking_into_a_layer_that_has_to_be_sent_keeps_the_focus(notebook):
    place = view(notebook, LONG)
    head(place, 0, 3).click()
    eventually(notebook, "[0, 3] in long.content['sent']", "True")
    head(place, 0, 3).focus()
    notebook.page.keyboard.press("End")
    notebook.page.keyboard.press("ArrowDown")
    eventually(notebook, "[long.layer, long.head] in long.content['sent']", "True")
    expect(place.locator(".tl-waits")).to_have_count(0)
    focused = notebook.page.evaluate("document.activeElement.ariaLabel")
    assert focused == place.locator(".tl-head[aria-current]").get_attribute("aria-label")


def test_a_prediction_reaches_python_and_uncovers_the_picture(notebook):
    place = view(notebook, ASKING)
    assert place.locator("canvas, .tl-head img").count() == 0
    assert python(notebook, "asking.answer") == "None"
    place.get_by_label("that").check()
    place.get_by_role("button", name="This is my answer").click()
    expect(place.locator(".tl-head img")).to_have_count(6)
    eventually(notebook, "asking.answer", "that")


def test_the_dark_theme_is_followed(notebook):
    place = view(notebook, FIRST).locator(".tl-readout")
    expect(place).to_have_css("color", "rgba(0, 0, 0, 0.87)")
    notebook.command("apputils:change-theme", theme="JupyterLab Dark")
    expect(place).to_have_css("color", "rgb(255, 255, 255)")
    notebook.command("apputils:change-theme", theme="JupyterLab Light")
    expect(place).to_have_css("color", "rgba(0, 0, 0, 0.87)")
