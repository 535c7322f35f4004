"""grading.py: learners' notebooks run in fresh kernels; a bad one never stops the others."""

import csv
import json

import nbformat
import pytest

from transformer_lab import cli, grading, store

SETUP = "from transformer_lab.exercises import check"
RIGHT = (
    "def mine(query, key, scale):\n    return (query @ key.mT * scale).softmax(-1)\n"
    "check('attention_weights', mine)"
)
WRONG = 'check("attention", lambda query, key, value, scale: value)'
STUB = "def later(scores, dim=-1):\n    raise NotImplementedError\ncheck('stable_softmax', later)"
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
OUTSIDE = {"TRANSFORMER_LAB_STRICT": "1"}


def notebook(path, *cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    (folder / "ada").mkdir()
    (folder / ".ipynb_checkpoints").mkdir()
    notebook(folder / "ada" / "02.ipynb", SETUP, "1 / 0", STUB, WRONG, RIGHT, "mine = None")
    notebook(folder / "dies.ipynb", SETUP, RIGHT, DIES, WRONG)
    notebook(folder / ".ipynb_checkpoints" / "old.ipynb", SETUP, RIGHT)
    (folder / "broken.ipynb").write_text("{not json")
    return folder


@pytest.fixture(scope="module")
def results(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFORMER_LAB_STRICT", "1")
        yield {result.notebook.rpartition("/")[2]: result for result in grading.grade_all([folder])}


def states(result):
    return {grade.exercise: grade.state for grade in result.grades}


def test_each_exercise_gets_its_state_also_after_an_error_in_another_cell(results):
    assert states(results["02.ipynb"]) == {
        "stable_softmax": "not written",
        "attention": "wrong",
        "attention_weights": "right",
    }
    wrong = next(grade for grade in results["02.ipynb"].grades if grade.state == "wrong")
    assert wrong.mistake
    assert wrong.message
    assert results["02.ipynb"].problem == ""
    assert "02.ipynb: 1 of 3 right" in repr(results["02.ipynb"])


def test_a_kernel_that_dies_keeps_what_was_reached(results):
    assert states(results["dies.ipynb"]) == {
        "attention_weights": "right",
        "attention": "not reached",
    }
    assert "kernel died" in results["dies.ipynb"].problem


def test_a_file_that_is_no_notebook_is_a_line_and_not_a_crash(results):
    assert results["broken.ipynb"].grades == ()
    assert "cannot" in results["broken.ipynb"].problem or "not a" in results["broken.ipynb"].problem
    assert "old.ipynb" not in results


def test_the_teachers_own_progress_is_not_touched(results):
    assert store.load_all("progress") == {}


def test_grades_are_written_as_csv_and_json(results, tmp_path):
    graded = list(results.values())
    grading.write_csv(tmp_path / "a.csv", graded)
    grading.write_json(tmp_path / "a.json", graded)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 + 2 + 1
    assert {row["exercise"]: row["state"] for row in rows if "ada" in row["notebook"]} == states(
        results["02.ipynb"]
    )
    read = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [len(one["grades"]) for one in read] == [len(one.grades) for one in graded]


def test_a_cell_that_never_ends_is_cut_off_and_the_rest_still_runs(tmp_path):
    path = notebook(tmp_path / "slow.ipynb", SETUP, "while True: pass", RIGHT)
    assert states(grading.grade(path, seconds=8)) == {"attention_weights": "right"}


def test_the_command_prints_and_writes_and_says_when_a_notebook_failed(tmp_path, capsys):
    (tmp_path / "broken.ipynb").write_text("{")
    out = tmp_path / "grades.json"
    assert cli.main(["check", str(tmp_path), "--json", str(out)]) == 1
    assert "broken.ipynb: 0 of 0 right" in capsys.readouterr().out
    assert json.loads(out.read_text())[0]["problem"]
    assert cli.main(["check", str(out)]) == 1
    assert cli.main(["progress"]) == 0
    assert "attention_weights" not in capsys.readouterr().err
