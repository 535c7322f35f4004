"""Each lesson with the references put in: every check passes.

Only the exercises run, and what they need. All other cells run alike solved or unsolved: a check
leaves the random numbers as they were, and what an unsolved exercise hands on (`Verdict.working`)
is its reference too. nbval runs them, and `course.py claims --rerun` runs whole lessons solved.
"""

import ast
import importlib

import pytest
import torch
from nbformat import NotebookNode
from test_notebooks import LESSONS, NOTEBOOKS, build, code, code_cells, executed, names_of, read

from transformer_lab.exercises import ExerciseFailed, stages

rerun = importlib.import_module("rerun")


def checks(cell: NotebookNode) -> int:
    calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
    return sum(getattr(call.func, "id", "") == "check" for call in calls)


SOLVABLE = [path for path in LESSONS if any(checks(c) for _, c in code_cells(read(path)))]


def slice_of(lesson: NotebookNode) -> list[NotebookNode]:
    """The cells of the exercises and all that they build on."""
    cells = [cell for _, cell in code_cells(lesson)]
    trees = [ast.parse(cell.source) for cell in cells]
    bound, reads = zip(*(names_of(tree)[:2] for tree in trees), strict=True)
    still = {  # names of what no cell changes
        alias.asname or alias.name.split(".")[0]
        for tree in trees
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    } | {node.name for tree in trees for node in tree.body if hasattr(node, "name")}
    chosen = {place for place, cell in enumerate(cells) if checks(cell)}
    waiting = sorted(chosen)
    while waiting:
        place = waiting.pop()
        for name in reads[place]:
            binders = [earlier for earlier in range(place) if name in bound[earlier]]
            since = range(binders[-1], place) if binders else []
            changers = [k for k in since if name in reads[k] and name not in still]
            new = {*binders[-1:], *changers} - chosen
            chosen |= new
            waiting += new
    return [cells[place] for place in sorted(chosen)]


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("TRANSFORMER_LAB_STRICT", "1")
    monkeypatch.setattr(stages, "SECONDS", 120.0)  # a busy machine is no wrong answer
    monkeypatch.chdir(NOTEBOOKS)


@pytest.mark.parametrize("path", SOLVABLE, ids=lambda path: path.stem)
def test_a_lesson_runs_with_its_exercises_solved(path):
    lesson = rerun.solved(read(path))
    scope: dict[str, object] = {"__name__": "__main__"}
    passed = 0
    for cell in slice_of(lesson):
        before = torch.get_rng_state()
        exec(compile(cell.source, path.stem, "exec"), scope)
        passed += checks(cell)
        if checks(cell):
            assert torch.equal(torch.get_rng_state(), before), "a check moves the random numbers"
    assert passed >= 3


@pytest.mark.parametrize("path", SOLVABLE, ids=lambda path: path.stem)
def test_no_stub_is_left_in_a_solved_lesson(path):
    lesson = rerun.solved(read(path))
    assert "NotImplementedError" not in "".join(cell.source for _, cell in code_cells(lesson))


EXERCISE = """\
from transformer_lab.exercises import check
import math

# %%
size, unused = 3, math.inf
rows = []

# %%
rows.append(size)

# %%
print("alone")

# %%
def my_scale(model_width, heads):
    "What a head's scores are multiplied by."
    raise NotImplementedError

verdict = check("scale_for", my_scale)
print(rows)

# %%
print(verdict)
"""


def test_the_slice_holds_the_exercise_and_what_it_needs():
    lesson = build.convert(code(EXERCISE))
    first = [cell.source.splitlines()[0] for cell in slice_of(lesson)]
    assert first == [
        "from transformer_lab.exercises import check",
        "size, unused = 3, math.inf",
        "rows.append(size)",
        "def my_scale(model_width, heads):",
    ]


def test_a_lesson_is_solved_by_its_references_and_fails_without():
    lesson = executed(code(EXERCISE))
    scope: dict[str, object] = {}
    with pytest.raises(ExerciseFailed):
        for cell in slice_of(lesson):
            exec(cell.source, scope)
    for cell in slice_of(rerun.solved(lesson)):
        exec(cell.source, scope)
    assert scope["verdict"].passed
    assert scope["verdict"].working is scope["my_scale"]
