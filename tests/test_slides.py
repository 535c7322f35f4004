"""The slides that a lesson's structure makes: `jupyter nbconvert --to slides`."""

import importlib
import re
from collections import Counter

import pytest
from nbconvert.exporters import SlidesExporter
from test_notebooks import NOTEBOOKS, build, code, prose, read
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

slides = importlib.import_module("slides")
CONFIG = PyFileConfigLoader("slides_config.py", str(NOTEBOOKS)).load_config()
LESSONS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
SAMPLE = [
    ("slide", prose("# 02 · A lesson")),
    ("skip", code("import torch\n\n_ = torch.manual_seed(0)")),
    ("slide", prose("## A question")),
    ("fragment", code("predict('a', 'Which?', ['b', 'c'])")),
    ("subslide", code("predict('d', 'And now?', ['b', 'c'])")),
    ("subslide", code("x = torch.randn(3)\nplots.bars('abc', x)")),
    ("fragment", code("claim('a', x)")),
    ("fragment", code("claim('a', x) if real else 'needs the real encoder'")),
    ("subslide", code("y = x + 1\nclaim('a', y)")),
    ("skip", code("outcome('a', 'b')")),
    ("fragment", prose("What you saw.")),
    ("subslide", prose("A long story. " * 21)),
    ("skip", prose("### Exercise · Try it (5 minutes)")),
    ("skip", code("def my_f(x):\n    raise NotImplementedError\n\n\ncheck('f', my_f)")),
    ("skip", prose("Stuck? Ask for a hint.")),
    ("subslide", prose("### Another picture")),
    ("skip", prose("### Exercise · And again")),
    ("skip", code("check('f', my_g)")),
    ("subslide", prose("Where the lesson goes on without a heading. " * 9)),
    ("subslide", code("x = x + 1\nclaim('b', x)")),
    ("skip", prose("## Exercise · One more")),
    ("skip", prose("### With a part of its own")),
    ("slide", prose("## When it breaks")),
    ("skip", prose("## Where this lives")),
    ("slide", prose("## Summary")),
]


def kind(cell):
    return cell.metadata["slideshow"]["slide_type"]


def test_a_sample_of_everything_gets_the_slides_that_a_teacher_would_show():
    lesson = build.convert("".join(source for _, source in SAMPLE))
    assert list(map(kind, lesson.cells)) == [expected for expected, _ in SAMPLE]


def test_prose_is_cut_before_each_heading_and_not_inside_code():
    parts = ["# 02", "## One\nA line.", "### Two", "```\n# no heading\n```"]
    assert slides.cut("\n".join(parts)) == [*parts[:2], "\n".join(parts[2:])]
    cells = build.convert('# %% [markdown] tags=["q-07"]\n# a\n#\n# ## b\n').cells
    assert [(cell.source, cell.metadata["tags"]) for cell in cells] == [
        ("a", ["q-07"]),
        ("## b", ["q-07"]),
    ]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_as_many_slides_as_an_hour_holds_and_shows_what_it_claims(path):
    lesson = read(path)
    count = Counter(map(kind, lesson.cells))
    assert 6 <= count["slide"] <= 20
    assert count["subslide"] <= 70
    shown = "\n".join(cell.source for cell in lesson.cells if kind(cell) != "skip")
    hidden = "\n".join(cell.source for cell in lesson.cells if kind(cell) == "skip")
    assert "claim(" in shown
    assert "predict(" in shown
    assert "claim(" not in hidden.replace("import claim", "")
    assert "NotImplementedError" not in shown


@pytest.mark.parametrize("settings", [{}, CONFIG], ids=["plain", "with slides_config.py"])
def test_nbconvert_makes_a_deck_of_them(settings):
    path = next(path for path in LESSONS if path.stem == "02_attention")
    page, _ = SlidesExporter(config=Config(settings)).from_filename(str(path))
    count = Counter(map(kind, read(path).cells))
    # reveal.js nests: an outer section for each slide, an inner one for it and for each subslide
    assert len(re.findall("<section *>", page)) == 2 * count["slide"] + count["subslide"]
    assert page.count('class="fragment"') == count["fragment"]
    code_of_questions = re.search(r"predict</span>|>predict<", page)
    assert (code_of_questions is None) == bool(settings)
