"""The house rules of the lessons, each proven on a bad sample, and the build that makes them."""

import ast
import copy
import importlib
import os
import re
import shutil
import statistics
import subprocess
import symtable
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import nbformat
import nbval_numbers
import pytest
from nbformat import NotebookNode
from test_architecture import PACKAGE, imported

from transformer_lab.claims import Entry, ledger
from transformer_lab.exercises import CATALOG

ROOT = PACKAGE.parent
NOTEBOOKS = ROOT / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))
build = importlib.import_module("build")

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
LIBRARIES = {"torch", "numpy", "tqdm", "transformer_lab"}
NETWORK = {"asyncio", "ftplib", "http", "smtplib", "socket", "ssl", "subprocess", "urllib"}
HACKS = ("sys.path", "os.chdir", "os.system", "os.popen", "torch.hub")
BANNED = r"\bsimply\b|\bobviously\b|\blet['’]?s dive in|\bin this section,? we"
EMOJI = "[\U0001f000-\U0001faff\u2600-\u26ff\u2705\u274c\u2728\u2753\u2757\u2b50\ufe0f]"
TOO_LARGE = 500_000
SILENT = {"cli", "doctor", "store"}  # no lesson builds these: a name shared with them is chance


# What the rules look at


def code_cells(lesson: NotebookNode) -> list[tuple[int, NotebookNode]]:
    return [(n, c) for n, c in enumerate(lesson.cells, 1) if c.cell_type == "code"]


def prose_cells(lesson: NotebookNode) -> list[tuple[int, str]]:
    """Number and text of the prose cells: without code blocks, comments, tags, links' targets."""
    noise = r"```.*?```|<!--.*?-->|</?\w[^>]*>|(?<=\])\([^)]*\)"
    return [
        (number, re.sub(noise, " ", cell.source, flags=re.DOTALL))
        for number, cell in enumerate(lesson.cells, 1)
        if cell.cell_type == "markdown"
    ]


def trees(lesson: NotebookNode) -> list[tuple[int, ast.Module]]:
    found = []
    for number, cell in code_cells(lesson):
        try:
            found.append((number, ast.parse(cell.source)))
        except SyntaxError:  # `plain_python` reports it
            continue
    return found


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "()"


def bare(node: ast.AST) -> str:
    """A definition without docstrings and annotations, to be compared."""
    node = ast.parse(ast.unparse(node)).body[0]
    for part in ast.walk(node):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if ast.get_docstring(part) is not None:
                part.body = part.body[1:]
            part.returns = None
        if isinstance(part, ast.arg):
            part.annotation = None
        for name, field in ast.iter_fields(part):
            if isinstance(field, list):
                setattr(part, name, [without_annotation(item) for item in field])
    return ast.dump(node)


def without_annotation(node: object) -> object:
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return ast.Assign(targets=[node.target], value=node.value)
    return node


def definitions(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]


def is_stub(node: ast.FunctionDef | ast.ClassDef) -> bool:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    raised = body[0].exc if len(body) == 1 and isinstance(body[0], ast.Raise) else None
    raised = raised.func if isinstance(raised, ast.Call) else raised
    return raised is not None and dotted(raised) == "NotImplementedError"


# The rules: a notebook in, complaints out


def every_cell_is_executed(lesson):
    counts = [cell.execution_count for _, cell in code_cells(lesson)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts {counts}"]


def outputs_are_tidy(lesson):
    """No widget state or view, no warnings, no paths: what the build would drop or refuse."""
    complaints = ["metadata.widgets"] if "widgets" in lesson.metadata else []
    tidied = copy.deepcopy(lesson)
    complaints += build.tidy(tidied)
    if not complaints and tidied != lesson:
        complaints.append("an output that the build drops")
    return complaints


def plain_python(lesson):
    parsed = {number for number, _ in trees(lesson)}
    unchecked = [n for n, cell in code_cells(lesson) if "NBVAL" in cell.source.upper()]
    return [
        f"cell {n}: a magic, or no Python" for n, _ in code_cells(lesson) if n not in parsed
    ] + [f"cell {n}: nbval is steered by tags, not by comments" for n in unchecked]


def no_path_hacks_no_downloads_no_own_plots(lesson):
    allowed = (sys.stdlib_module_names - NETWORK) | LIBRARIES
    complaints = set()
    for number, tree in trees(lesson):
        imports = imported(ast.unparse(tree))
        used = {dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        wrong = {name for name in imports if name.split(".")[0] not in allowed}
        wrong |= {hack for hack in HACKS for name in imports | used if name.startswith(hack)}
        complaints |= {f"cell {number}: {name}" for name in wrong}
    return sorted(complaints)


def no_training_loops_no_own_instruments(lesson):
    complaints = []
    for number, tree in trees(lesson):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and dotted(node.func).endswith(".backward"):
                complaints.append(f"cell {number}: a training loop: {ast.unparse(node)}")
            if isinstance(node, ast.ClassDef):
                bases = [dotted(base) for base in node.bases]
                if any(base.endswith(("Instrument", "Widget")) for base in bases):
                    complaints.append(f"cell {number}: an instrument: {node.name}")
    return complaints


def cells_are_short(lesson):
    lines = {number: len(cell.source.splitlines()) for number, cell in code_cells(lesson)}
    words = {number: len(re.findall(r"\S*\w\S*", text)) for number, text in prose_cells(lesson)}
    complaints = [f"cell {n}: {size} lines, of 20" for n, size in lines.items() if size > 20]
    complaints += [f"cell {n}: {size} words, of 120" for n, size in words.items() if size > 120]
    if lines and statistics.median(lines.values()) >= 8:
        complaints.append(f"the median code cell has {statistics.median(lines.values())} lines")
    return complaints


def the_voice_is_calm(lesson):
    cells = prose_cells(lesson) + [(number, cell.source) for number, cell in code_cells(lesson)]
    complaints = [
        f"cell {number}: {found[0]!r}"
        for number, text in cells
        for found in re.finditer(BANNED, text, re.IGNORECASE)
    ]
    for number, text in prose_cells(lesson):
        plain = re.sub(r"`[^`]*`|\$[^$]*\$|!(?=\[)", " ", text)
        complaints += [f"cell {number}: {sign!r}" for sign in re.findall(f"!|{EMOJI}", plain)]
    return complaints


def the_same_name_means_the_same_code(lesson):
    complaints = []
    for number, tree in trees(lesson):
        for node in definitions(tree):
            there = package_definitions().get(node.name)
            if there and bare(node) not in there and not is_stub(node):
                complaints.append(f"cell {number}: {node.name} is not the package's {node.name}")
    return complaints


@cache
def package_definitions() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in PACKAGE.glob("*.py"):
        if path.stem not in SILENT:
            for node in definitions(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault(node.name, set()).add(bare(node))
    return found


def links_lead_somewhere(lesson):
    text = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    anchors = {heading.replace(" ", "-") for heading in headings}  # as JupyterLab makes them
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", re.sub(r"`[^`]*`", " ", text))
    targets += re.findall(r"""(?:href|src)=["']([^"']+)""", text)
    complaints = []
    for target in targets:
        path, _, anchor = unquote(target).partition("#")
        if re.match("(https?|mailto|data):", target):
            continue
        if path and not (NOTEBOOKS / path).exists():
            complaints.append(f"no file {path}")
        if not path and anchor not in anchors:
            complaints.append(f"no heading #{anchor}")
    return complaints


def pictures_have_words(lesson):
    complaints = []
    for number, cell in enumerate(lesson.cells, 1):
        pages = [cell.source] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            pages.append("".join(data.get("text/html", "")))
            if any(kind.startswith("image/") for kind in data) and "text/html" not in data:
                complaints.append(f"cell {number}: a picture without alt text")
        for image in re.findall(r"<img\b[^>]*>|!\[[^\]]*\]\(", "\n".join(pages)):
            if not re.search(r"""alt=["'][^"']*\w|^!\[[^\]]*\w""", image):
                complaints.append(f"cell {number}: {image[:60]} has no alt text")
    return complaints


def tags_are_known(lesson):
    """q-01 to q-40 say which question a cell answers; nothing may be skipped by nbval."""
    known = "q-(0[1-9]|[123][0-9]|40)|(?![qQ]|nbval-skip).*"
    tags = [tag for cell in lesson.cells for tag in cell.metadata.get("tags", [])]
    return [f"tag {tag}" for tag in tags if not re.fullmatch(known, tag)]


def every_exercise_says_its_task(lesson):
    """Its prompt stands right before the cell, and names the function that the cell defines."""
    complaints = []
    for above, cell in pairwise([None, *lesson.cells]):
        if cell.cell_type != "code":
            continue
        for id, name in re.findall(r'check\("(\w+)", (\w+)\)', cell.source):
            prompt = CATALOG[id].prompt
            if above is None or prompt.strip() not in above.source:
                complaints.append(f"the task of {id} is missing: write `## Exercise: {id}`")
            if f"`{name}(" not in prompt:
                complaints.append(f"the task of {id} does not speak of {name}")
    return complaints


def a_cell_can_run_again(lesson):
    """After an edit you run a cell again: what it reads must be what it read the first time.

    So a cell reads no name of an earlier cell that a later one binds anew, and none that it binds
    itself.
    """
    names = [(number, *names_of(tree)) for number, tree in trees(lesson)]
    complaints = []
    for place, (number, _, reads, both) in enumerate(names):
        before = {name for _, bound, _, _ in names[:place] for name in bound}
        for later, bound, _, _ in names[place + 1 :]:
            complaints += [
                f"cell {number} reads {name}, which cell {later} binds anew"
                for name in sorted(reads & before & bound)
            ]
        complaints += [f"cell {number} changes {name}" for name in sorted(both & before)]
    return complaints


def names_of(tree: ast.Module) -> tuple[set[str], set[str], set[str]]:
    """Names that a cell binds; that it only reads, also in its functions; that it changes."""

    def globals_of(table: symtable.SymbolTable) -> set[str]:
        inner = {name for child in table.get_children() for name in globals_of(child)}
        module = table.get_type() == "module"
        return inner | {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (module or symbol.is_global())
        }

    table = symtable.symtable(ast.unparse(tree), "cell", "exec")
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    fresh, changed = set(), set()
    for node in tree.body:  # a name is changed where it is read before it is bound
        inside = symtable.symtable(ast.unparse(node), "statement", "exec")
        reads = {s.get_name() for s in inside.get_symbols() if s.is_referenced()}
        if isinstance(node, ast.AugAssign):
            reads.add(dotted(node.target).split(".")[0])
        if not isinstance(node, (ast.For, ast.With)):  # these bind before their bodies read
            changed |= (reads & bound) - fresh
        fresh |= {s.get_name() for s in inside.get_symbols() if s.is_assigned()}
    return bound, globals_of(table) - bound, changed


RULES = [
    every_cell_is_executed,
    outputs_are_tidy,
    plain_python,
    no_path_hacks_no_downloads_no_own_plots,
    no_training_loops_no_own_instruments,
    cells_are_short,
    the_voice_is_calm,
    the_same_name_means_the_same_code,
    links_lead_somewhere,
    pictures_have_words,
    tags_are_known,
    every_exercise_says_its_task,
    a_cell_can_run_again,
]


def claims_problems(lessons: dict[str, NotebookNode], entries: dict[str, Entry]) -> list[str]:
    """Every entry is claimed once, in its own lesson, by its literal id; and nothing else is."""
    places: dict[str, list[str]] = {}
    problems = []
    for name, lesson in lessons.items():
        for number, tree in trees(lesson):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] == "claim":
                    first = node.args[0] if node.args else None
                    if isinstance(first, ast.Constant):
                        places.setdefault(str(first.value), []).append(name[:2])
                    else:
                        problems.append(f"{name}, cell {number}: claim() without a literal id")
    for id in sorted(set(places) | set(entries)):
        expected = [entries[id].lesson] if id in entries else []
        if places.get(id, []) != expected:
            problems.append(f"{id}: in the ledger for {expected}, claimed in {places.get(id, [])}")
    return problems


# The lessons


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def test_every_source_has_its_notebook_and_every_notebook_its_source():
    sources = {path.stem for path in (NOTEBOOKS / "source").glob("*.py")}
    assert {path.stem for path in LESSONS} == sources


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_notebook_is_what_its_source_says(path):
    assert build.check(NOTEBOOKS / "source" / f"{path.stem}.py", NOTEBOOKS) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_keeps_the_rule(path, rule):
    assert rule(read(path)) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_notebook_is_small_enough_to_open_anywhere(path):
    assert path.stat().st_size <= TOO_LARGE


# The learners' questions that no lesson answers yet; a lesson that does takes its id out.
UNANSWERED = "14 35"


def test_the_questions_that_no_lesson_answers_yet_are_listed():
    tags = {
        tag
        for path in LESSONS
        for cell in read(path).cells
        for tag in cell.metadata.get("tags", [])
    }
    asked = {f"q-{number:02}" for number in range(1, 41)}
    assert asked - tags == {f"q-{number}" for number in UNANSWERED.split()}


def test_every_claim_of_the_ledger_is_made_once_in_its_lesson():
    assert claims_problems({path.stem: read(path) for path in LESSONS}, ledger()) == []


# The rules themselves

GOOD = """\
# %% [markdown] tags=["q-07"]
# ## Does it hold?
# Divide by `√d`, not by `d!`: $d! \\\\neq 3$. See [the start](source), [above](#Does-it-hold?)
# and [a paper](https://example.org). ●○○ ![a dot](https://example.org/dot.png)

# %%
import math
import torch
from transformer_lab import plots

# %%
def attention_weights(query, key, mask=None, scale=None):
    "Your turn."
    raise NotImplementedError("write me")

# %%
def another_name(x):
    return x + 1

# %% tags=["nbval-ignore-output"]
plots.heatmap(torch.eye(2))
"""


def code(text: str) -> str:
    return f"# %%\n{text}\n"


def prose(text: str) -> str:
    return "# %% [markdown]\n" + "".join(f"# {line}\n" for line in text.splitlines())


def with_output(**data: str) -> NotebookNode:
    lesson = executed(code("1"))
    mimetypes = {name.replace("_", "/", 1): value for name, value in data.items()}
    lesson.cells[0].outputs = [nbformat.v4.new_output("display_data", mimetypes)]
    return lesson


def executed(source: str) -> NotebookNode:
    lesson = build.convert(source)
    for count, (_, cell) in enumerate(code_cells(lesson), 1):
        cell.execution_count = count
    return lesson


def with_widget_state() -> NotebookNode:
    lesson = executed(code("1"))
    lesson.metadata = {**lesson.metadata, "widgets": {}}
    return lesson


def with_view() -> NotebookNode:
    lesson = with_output(text_plain="a", text_html="<p>a</p>")
    lesson.cells[0].outputs[0].data[build.WIDGET] = {"model_id": "0"}
    return lesson


BAD = [
    (every_cell_is_executed, build.convert(code("1"))),
    (every_cell_is_executed, build.convert(code("1") + prose("a") + code("2"))),
    (outputs_are_tidy, with_widget_state()),
    (outputs_are_tidy, with_view()),
    (outputs_are_tidy, with_output(text_plain="in /home/ada/course")),
    (outputs_are_tidy, with_output(text_plain="<object at 0x7f3a90c0>")),
    (outputs_are_tidy, with_output(text_plain="3/3 [00:01<00:00, 2.50it/s]")),
    (plain_python, code("# %pip install torch")),
    (plain_python, code("# !ls")),
    (plain_python, code("1  # NBVAL_SKIP")),
    (no_path_hacks_no_downloads_no_own_plots, code("import sys\nsys.path.append('..')")),
    (no_path_hacks_no_downloads_no_own_plots, code("from sys import path")),
    (no_path_hacks_no_downloads_no_own_plots, code("import os\nos.chdir('..')")),
    (no_path_hacks_no_downloads_no_own_plots, code("import torch\ntorch.hub.load('a', 'b')")),
    (no_path_hacks_no_downloads_no_own_plots, code("import urllib.request")),
    (no_path_hacks_no_downloads_no_own_plots, code("from requests import get")),
    (no_path_hacks_no_downloads_no_own_plots, code("import pooch")),
    (no_path_hacks_no_downloads_no_own_plots, code("import huggingface_hub")),
    (no_path_hacks_no_downloads_no_own_plots, code("import matplotlib.pyplot as plt")),
    (no_training_loops_no_own_instruments, code("loss = f()\nloss.backward()")),
    (no_training_loops_no_own_instruments, code("f(x).sum().backward()")),
    (no_training_loops_no_own_instruments, code("class A(base.Instrument):\n    pass")),
    (no_training_loops_no_own_instruments, code("class A(anywidget.AnyWidget):\n    pass")),
    (cells_are_short, code("x = 1\n" * 21) + 3 * code("x = 1")),
    (cells_are_short, code("x = 1\n" * 8)),
    (cells_are_short, prose("word " * 121)),
    (the_voice_is_calm, prose("Simply run it.")),
    (the_voice_is_calm, prose("It is obviously so.")),
    (the_voice_is_calm, prose("Let’s dive in.")),
    (the_voice_is_calm, prose("In this section, we will see.")),
    (the_voice_is_calm, prose("It works!")),
    (the_voice_is_calm, prose("Well done 🎉")),
    (the_voice_is_calm, prose("Done ✅")),
    (the_voice_is_calm, code("predict('a', 'It is simply so.')")),
    (the_same_name_means_the_same_code, code("def causal_mask(size):\n    return size")),
    (the_same_name_means_the_same_code, code("class TextEncoder:\n    pass")),
    (links_lead_somewhere, prose("[a](nowhere.ipynb)")),
    (links_lead_somewhere, prose("[a](nowhere.ipynb#part)")),
    (links_lead_somewhere, prose('<a href="nowhere.md">a</a>')),
    (links_lead_somewhere, prose("## A heading\n[a](#another)")),
    (pictures_have_words, prose("![](https://example.org/a.png)")),
    (pictures_have_words, prose('<img src="https://example.org/a.png">')),
    (pictures_have_words, with_output(image_png="aGk=", text_plain="a")),
    (pictures_have_words, with_output(text_html='<img src="data:," alt="">')),
    (tags_are_known, '# %% tags=["q-7"]\n1\n'),
    (tags_are_known, '# %% tags=["q-41"]\n1\n'),
    (tags_are_known, '# %% tags=["q07"]\n1\n'),
    (tags_are_known, '# %% tags=["nbval-skip"]\n1\n'),
    (every_exercise_says_its_task, code('check("causal_mask", my_causal_mask)')),
    (
        every_exercise_says_its_task,
        prose("## Exercise: causal_mask") + code('check("causal_mask", f)'),
    ),
    (a_cell_can_run_again, code("x = 1") + code("y = x") + code("x = 2")),
    (a_cell_can_run_again, code("x = 1") + code("def f():\n    return x") + code("x = 2")),
    (a_cell_can_run_again, code("x = 1") + code("x = x + 1")),
    (a_cell_can_run_again, code("x = 1") + code("x += 1")),
]


@pytest.mark.parametrize(
    ("rule", "lesson"), BAD, ids=[f"{n}-{rule.__name__}" for n, (rule, _) in enumerate(BAD)]
)
def test_a_rule_objects_to_its_bad_sample_and_no_other_rule_does(rule, lesson):
    lesson = executed(lesson) if isinstance(lesson, str) else lesson
    assert [other for other in RULES if other(lesson)] == [rule]
    assert len(rule(lesson)) == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_has_a_bad_sample_and_lets_a_good_lesson_pass(rule):
    assert rule in [seen for seen, _ in BAD]
    assert rule(executed(GOOD)) == []


def test_a_copy_of_the_packages_code_may_leave_out_docstrings_and_annotations():
    source = (PACKAGE / "masks.py").read_text(encoding="utf-8")
    original = next(node for node in definitions(ast.parse(source)) if node.name == "causal_mask")
    assert ast.get_docstring(original) is not None
    assert original.returns is not None
    original.body, original.returns = original.body[1:], None
    copied = ast.unparse(original)
    assert the_same_name_means_the_same_code(executed(code(copied))) == []
    changed = copied.replace("return", "return 1 *", 1)
    assert len(the_same_name_means_the_same_code(executed(code(changed)))) == 1


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["a"], None),
        ([], "a: in the ledger for ['02'], claimed in []"),
        (["a", "a"], "claimed in ['02', '02']"),
        (["a", "b"], "b: in the ledger for [], claimed in ['02']"),
    ],
)
def test_the_ledger_and_the_lessons_name_the_same_claims(ids, problem):
    entry = Entry("a", "02", "It holds.", "it is measured", (0, 1), "measured here")
    lesson = executed("".join(code(f"claim({id!r}, 1)") for id in ids))
    problems = claims_problems({"02_attention": lesson}, {"a": entry})
    assert len(problems) == (problem is not None)
    assert problem is None or problem in problems[0]
    elsewhere = claims_problems({"03_scale": executed(code("claim('a', 1)"))}, {"a": entry})
    assert elsewhere == ["a: in the ledger for ['02'], claimed in ['03']"]


def test_a_claim_without_a_literal_id_is_seen():
    assert len(claims_problems({"02": executed(code("claims.claim(name, 1)"))}, {})) == 1


# The build

SAMPLE = """\
# %% [markdown] tags=["q-07"]
# ## Does it build?

# %%
from IPython.display import display
from transformer_lab import plots

# %% tags=["q-08"]
plots.bars(["a", "b"], [1, 2.5], "b is longer")

# %%
view = {"model_id": str(id(view)) if "view" in vars() else "0"}
twin = {"text/plain": "a twin", "text/html": "<p>a twin</p>"}
display({"application/vnd.jupyter.widget-view+json": view, **twin}, raw=True)

# %% tags=["nbval-ignore-output"]
from tqdm.auto import tqdm
sum(tqdm(range(3)))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sample, built twice: its path, and the bytes of both times."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "source").mkdir()
    source = folder / "source" / "00_sample.py"
    source.write_text(SAMPLE, encoding="utf-8")
    path, _, changed = build.build(source, folder)
    first = path.read_bytes()
    assert changed
    assert not build.build(source, folder)[2]
    return path, first, path.read_bytes()


@pytest.fixture
def folder(built, tmp_path, monkeypatch):
    """A fresh copy of the sample's folder, for build.main()."""
    fresh = tmp_path / "notebooks"
    shutil.copytree(built[0].parent, fresh)
    monkeypatch.setattr(build, "BUILT", fresh)
    monkeypatch.setattr(build, "SOURCE", fresh / "source")
    return fresh


def main(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["build.py", *arguments])
    return build.main()


def test_a_second_build_leaves_no_difference(built):
    _, first, second = built
    assert first == second
    assert second.endswith(b"}\n")
    assert b"\r" not in second


def test_the_built_sample_keeps_every_rule_about_notebooks(built):
    lesson = read(built[0])
    nbformat.validate(lesson)
    for rule in (every_cell_is_executed, outputs_are_tidy, pictures_have_words):
        assert rule(lesson) == []
    assert [cell.metadata["tags"] for cell in lesson.cells if "tags" in cell.metadata] == [
        ["q-07"],
        ["q-08"],
        ["nbval-ignore-output"],
    ]
    assert lesson.metadata == build.METADATA
    assert lesson.cells[3].outputs[0].data == {
        "text/plain": "a twin",
        "text/html": "<p>a twin</p>",
    }
    assert [output.output_type for output in lesson.cells[4].outputs] == ["execute_result"]


def strict(path: Path) -> subprocess.CompletedProcess:
    flags = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", ROOT / "tests/nbval.cfg"]
    flags += ["-p", "tests.nbval_numbers", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *flags, path]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=path.parent, env=env)


def test_strict_nbval_passes_on_what_is_built_and_sees_a_changed_number(built, folder):
    path = folder / built[0].name
    text = path.read_text(encoding="utf-8").replace("base64,iVBOR", "base64,aVBOR")
    path.write_text(text, encoding="utf-8")
    assert "4 passed" in strict(path).stdout
    path.write_text(text.replace("a 1; b 2.5", "a 1; b 2.4"), encoding="utf-8")
    assert "4 passed" in strict(path).stdout
    path.write_text(text.replace("a 1; b 2.5", "a 2; b 2.5"), encoding="utf-8")
    assert "1 failed, 3 passed" in strict(path).stdout


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("loss 0.37 (0.19)", "loss 0.36 (0.19)", True),
        ("loss 1.0", "loss 0.89", True),
        ("loss 1.0", "loss 0.80", False),
        ("2e-05 off", "1e-05 off", True),
        ("2e-05 off", "9e-05 off", False),
        ("width 64", "width 65", False),
        ("layers.0: 0.31", "layers.1: 0.31", False),
        ("1,050,624 numbers", "1,050,625 numbers", False),
        ("up 0.5", "down 0.5", False),
        ("0.5, 0.5", "0.5", False),
        ("-0.5", "0.5", False),
    ],
)
def test_only_decimals_may_be_a_little_off(one, other, equal):
    assert nbval_numbers.same(one, other) == equal
    assert (nbval_numbers.Shown(one) != nbval_numbers.Shown(other)) != equal


def test_the_numbers_of_a_trained_claim_are_left_to_its_bound_and_its_words_are_compared():
    def shown(text, id):
        return nbval_numbers.without_trained_numbers(text, f'claim("{id}", measured)')

    one, other = "20 times (-1.5 to 33)", "9 times (0.5 to 1,035)"
    assert ledger()["03-bold-rate"].trained
    assert shown(one, "03-bold-rate") == shown(other, "03-bold-rate")
    assert shown(one, "03-bold-rate") != shown("20 parts (-1.5 to 33)", "03-bold-rate")
    assert not ledger()["05-heads-are-free"].trained
    assert shown(one, "05-heads-are-free") == one


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ("Does it build", "Does it not", "cell 1: source differs"),
        ("q-08", "q-09", "cell 3: metadata differs"),
        ("# %% [markdown]", "# %%", "cell 1: cell_type differs"),
        ("from tqdm", "1\n# %%\nfrom tqdm", "6 cells in the source, 5 built"),
    ],
)
def test_check_names_what_differs_between_source_and_built(folder, before, after, word):
    source = folder / "source" / "00_sample.py"
    assert build.check(source, folder) == []
    source.write_text(SAMPLE.replace(before, after, 1), encoding="utf-8")
    assert word in "\n".join(build.check(source, folder))


def test_check_on_the_command_line_fails_on_a_difference(folder, monkeypatch, capsys):
    assert main(monkeypatch, "--check") == 0
    (folder / "00_sample.ipynb").unlink()
    assert main(monkeypatch, "--check") == 1
    assert "00_sample: is not built" in capsys.readouterr().out


def test_an_unknown_lesson_is_answered_with_those_there_are(folder, monkeypatch):
    with pytest.raises(SystemExit, match=r"no lesson 03 in .*; there are: 00"):
        main(monkeypatch, "3")


def test_run_executes_reports_and_writes_nothing(folder, monkeypatch, capsys):
    path = folder / "00_sample.ipynb"
    lesson = read(path)
    lesson.cells[1].source += "\nopen('written', 'w').close()"
    nbformat.write(lesson, path)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert main(monkeypatch, "--run", "0") == 0
    assert re.search(r"^00_sample +5 +\d+\.\d +\S+  ok$", capsys.readouterr().out, re.MULTILINE)
    assert before == {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_failing_lesson_names_its_cell_and_its_error_and_is_not_written(
    folder, monkeypatch, capsys
):
    (folder / "source" / "01_bad.py").write_text(prose("a") + code("x = 0") + code("1 / x"))
    assert main(monkeypatch, "01") == 1
    out = capsys.readouterr().out
    assert re.search(r"^01_bad +FAILED\n  cell 3: ", out, re.MULTILINE)
    assert "ZeroDivisionError: division by zero" in out
    assert not (folder / "01_bad.ipynb").exists()


@pytest.mark.parametrize(
    ("output", "tags", "complaint"),
    [
        ({"name": "stderr", "text": "UserWarning: old"}, [], "writes to stderr: UserWarning: old"),
        ({"name": "stderr", "text": "UserWarning: old"}, [build.UNCHECKED], "writes to stderr"),
        ({"name": "stderr", "text": "100%|███"}, [], "writes to stderr"),
        ({"name": "stderr", "text": "100%|███"}, [build.UNCHECKED], None),
        ({"data": {build.WIDGET: {}, "text/plain": "IntSlider()"}}, [], "without a picture: Int"),
        ({"data": {build.WIDGET: {}, "text/plain": "100%|███"}}, [build.UNCHECKED], None),
    ],
)
def test_what_would_differ_from_run_to_run_is_refused_or_dropped(output, tags, complaint):
    kind = "stream" if "name" in output else "display_data"
    lesson = executed(code("1"))
    lesson.cells[0].outputs = [nbformat.v4.new_output(kind, **output)]
    lesson.cells[0].metadata["tags"] = tags
    found = build.tidy(lesson)
    assert len(found) == (complaint is not None)
    assert complaint is None or complaint in found[0]
    assert lesson.cells[0].outputs == []


@pytest.mark.parametrize(
    ("tags", "complaints"), [([build.UNCHECKED, build.PRIVATE], 0), ([build.PRIVATE], 1)]
)
def test_what_tells_of_one_machine_is_not_kept(tags, complaints):
    lesson = with_output(text_plain="/home/ada has 8 cores")
    lesson.cells[0].metadata["tags"] = tags
    assert len(build.tidy(lesson)) == complaints
    assert lesson.cells[0].outputs == []


def test_the_kernel_runs_on_one_thread_and_without_the_users_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = ["OMP_NUM_THREADS", "MPLBACKEND", "TRANSFORMER_LAB_HOME", "TRANSFORMER_LAB_STRICT"]
    asked = f"import os, sys\n[os.environ[n] for n in {names}], os.getcwd(), sys.executable"
    lesson = build.convert(code(asked))
    build.execute(lesson, tmp_path)
    values, folder, python = ast.literal_eval(lesson.cells[0].outputs[0].data["text/plain"])
    assert values[:2] == ["1", "module://matplotlib_inline.backend_inline"]
    assert not Path(values[2]).exists()
    assert values[3] == ""
    assert Path(folder).samefile(tmp_path)
    assert python == sys.executable
