"""An exported lesson in real Chromium: its instruments answer without kernel and network."""

import nbformat
from playwright.sync_api import expect

from transformer_lab.lesson_page import lesson_page

CELL = (
    "from transformer_lab.instruments.bench import AttentionBench\n"
    "AttentionBench([1.0, 0.5], [[1.0, 0.0], [0.0, 1.0]], [1.0, 2.0])"
)


def test_two_instruments_of_a_lesson_answer_each_for_itself(visit, tmp_path):
    cells = [nbformat.v4.new_code_cell(CELL), nbformat.v4.new_code_cell(CELL)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "lesson.ipynb")
    lesson_page(tmp_path / "lesson.ipynb", tmp_path / "page.html")
    page = visit(tmp_path / "page.html")
    first, second = (page.get_by_label("query, first number").nth(i) for i in (0, 1))
    first.fill("-2.5")
    first.press("Enter")
    expect(first).to_have_value("-2.50")
    assert float(second.input_value()) == 1.0
