"""lesson_page.py: a lesson becomes one offline page whose instruments live."""

import re

import nbformat
import pytest

from transformer_lab import cli
from transformer_lab.lesson_page import LessonFailed, lesson_page

CELLS = (
    "from transformer_lab.instruments.bench import AttentionBench\n"
    "AttentionBench([1.0, 0.5], [[1.0, 0.0], [0.0, 1.0]], [1.0, 2.0], names=['</script>', 'b'])",
    "AttentionBench([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]], [3.0, 4.0])",
    "print('plain & simple')",
    "print('a path of ' + 'this machine')",
)


def notebook(path, *cells):
    parts = [nbformat.v4.new_markdown_cell("# A *lesson*")]
    parts += [nbformat.v4.new_code_cell(cell) for cell in cells]
    parts[-1].metadata["tags"] = ["this-machine"]
    nbformat.write(nbformat.v4.new_notebook(cells=parts), path)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    target = folder / "page.html"
    size = lesson_page(notebook(folder / "lesson.ipynb", *CELLS), target)
    assert size == target.stat().st_size
    return target


def test_every_instrument_stands_in_its_place_and_its_module_is_carried_once(page):
    html = page.read_text(encoding="utf-8")
    assert html.count('<section data-part="0">') == 2
    assert html.count("// bench.js") == 1
    first, second, words = (html.index(s) for s in ("[1.0,0.5]", "[0.5,0.5]", "plain &amp; simple"))
    assert first < second < words
    assert "<em>lesson</em>" in html
    assert "<title>A lesson</title>" in html
    # A notebook's own style for tables and headings stays away from the instruments.
    assert not re.search(r"jp-RenderedHTMLCommon[^>]*>\s*<section data-part", html)
    assert "a path of this machine" not in html


def test_nothing_on_the_page_is_loaded_from_elsewhere(page):
    html = page.read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', html) == []
    assert not re.search(r"\bimport\s*\(?\s*[\"']https?:", html)


def test_a_cell_that_fails_leaves_the_page_as_it_was(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("before")
    with pytest.raises(LessonFailed, match="ZeroDivisionError"):
        lesson_page(notebook(tmp_path / "bad.ipynb", "1 / 0"), target)
    assert target.read_text() == "before"


def test_the_command_names_a_lesson_that_is_not_there(tmp_path, capsys):
    assert cli.main(["export", "77"]) == 1
    assert "There is no lesson '77'" in capsys.readouterr().err
