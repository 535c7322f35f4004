"""Run learners' notebooks, each in a fresh kernel, and say which exercises are right.

The learner's code runs as it would on their own machine, with a store of its own: grade only what
you would also open and run. The verdicts are those that `check` gave while the notebook ran.
"""

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from unittest import mock

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from transformer_lab import files
from transformer_lab.exercises import CATALOG
from transformer_lab.exercises.learner import REPORT

CALL = re.compile(r"""^[^#\n]*\bcheck\(\s*["']([a-z0-9_]+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Grade:
    """One exercise of one notebook. state: "right", "wrong", "not written" or "not reached"."""

    notebook: str
    lesson: str
    exercise: str
    state: str
    mistake: str = ""
    message: str = ""


@dataclass(frozen=True)
class Graded:
    """One notebook: its grades, and in `problem` why it did not run to its end, or ""."""

    notebook: str
    grades: tuple[Grade, ...]
    problem: str = ""

    def __repr__(self) -> str:
        right = sum(grade.state == "right" for grade in self.grades)
        lines = [f"{self.notebook}: {right} of {len(self.grades)} right"]
        for grade in self.grades:
            found = f": {grade.mistake}" if grade.state == "wrong" else ""
            lines.append(f"  {grade.exercise:24} {grade.state}{found}")
        return "\n".join(lines + [f"  {self.problem}"] * bool(self.problem))


def grade(path: Path, seconds: float = 600) -> Graded:
    """Run one notebook; never raises for what is in it. seconds: the most that one cell may take.

    An exercise counts as right if any of its checks passed; its last verdict counts otherwise.
    """
    name = str(path)
    try:
        notebook = nbformat.read(path, as_version=4)
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    except Exception as error:  # whatever a broken file makes nbformat raise
        return Graded(name, (), f"not a notebook that can be read: {type(error).__name__}: {error}")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.jsonl")
        surroundings = {"TRANSFORMER_LAB_HOME": folder, REPORT: str(report)}
        with mock.patch.dict(os.environ, surroundings):
            os.environ.pop("TRANSFORMER_LAB_STRICT", None)
            problem = _run(notebook, path.parent, seconds)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    verdicts = [json.loads(line) for line in lines]
    asked = dict.fromkeys(id for source in sources for id in CALL.findall(source) if id in CATALOG)
    asked |= dict.fromkeys(verdict["id"] for verdict in verdicts)
    return Graded(name, tuple(_grade(name, id, verdicts) for id in asked), problem)


def _run(notebook: nbformat.NotebookNode, folder: Path, seconds: float) -> str:
    """Execute every cell, also after errors; "" or what ended it."""
    client = NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        allow_errors=True,
        interrupt_on_timeout=True,
        extra_arguments=["--log-level=ERROR"],  # each start would warn about local TCP
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except DeadKernelError:
        return "the kernel died; what comes after is not reached"
    except Exception as error:  # one bad notebook must not stop the others
        return f"it could not be run: {type(error).__name__}: {str(error)[:200]}"
    return ""


def _grade(notebook: str, id: str, verdicts: list[dict]) -> Grade:
    lesson = CATALOG[id].lesson
    mine = [verdict for verdict in verdicts if verdict["id"] == id]
    if not mine:
        return Grade(notebook, lesson, id, "not reached")
    last = next((verdict for verdict in mine if verdict["passed"]), mine[-1])
    if last["passed"]:
        return Grade(notebook, lesson, id, "right")
    if last["mistake"] == "stub":
        return Grade(notebook, lesson, id, "not written")
    return Grade(notebook, lesson, id, "wrong", last["mistake"], last["message"])


def grade_all(paths: Iterable[Path], seconds: float = 600) -> Iterator[Graded]:
    """Each notebook in turn; of a folder all its notebooks, hidden ones left out."""
    for path in paths:
        found = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        for one in found:
            if not any(part.startswith(".") for part in one.relative_to(path.parent).parts):
                yield grade(one, seconds)


def write_csv(path: Path, results: list[Graded]) -> None:
    """A line for each exercise of each notebook; a notebook that failed has a line of its own."""
    file = io.StringIO(newline="")
    table = csv.writer(file)
    table.writerow([*(field.name for field in fields(Grade)), "problem"])
    for result in results:
        rows = [[*asdict(grade).values(), result.problem] for grade in result.grades]
        table.writerows(rows or [[result.notebook, "", "", "", "", "", result.problem]])
    files.write(path, file.getvalue().encode())


def write_json(path: Path, results: list[Graded]) -> None:
    """The same, as a list of notebooks."""
    text = json.dumps([asdict(result) for result in results], ensure_ascii=False, indent=1)
    files.write(path, (text + "\n").encode())
