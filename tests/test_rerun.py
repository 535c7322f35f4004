"""notebooks/rerun.py: the ledger measured anew with other seeds."""

import importlib
import re
import shutil
import sys

import nbformat
import pytest
from test_notebooks import NOTEBOOKS, build, code

from transformer_lab import claims

rerun = importlib.import_module("rerun")
FAILS, MOVES, STAYS = "02-shift-changes-nothing", "02-quiet-head", "02-hand-set-head"
LESSON = [
    "import torch\nfrom numpy.random import default_rng\nfrom transformer_lab.claims import claim",
    "_ = torch.manual_seed(0)\nown = torch.Generator().manual_seed(0)",
    f"claim({FAILS!r}, [torch.rand(()), torch.rand((), generator=own)])",
    f"claim({MOVES!r}, 0.6 + 0.1 * default_rng(0).random())",
    "from transformer_lab.exercises import check",
    "def my_scale(model_width, heads):\n    raise NotImplementedError\n\n\n"
    "check('scale_for', my_scale)",
    f"claim({STAYS!r}, 1.0)",
]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with one lesson of three claims: one fails, one moves, one stays."""
    for name in ("rerun.py", "build.py", "slides.py"):
        shutil.copy(NOTEBOOKS / name, tmp_path)
    lesson = build.convert("".join(map(code, LESSON)))
    nbformat.write(lesson, tmp_path / "02_sample.ipynb")
    ids = (FAILS, MOVES, STAYS)
    kept = {id: entry for id, entry in claims.ledger().items() if id in ids}
    monkeypatch.setattr(build, "BUILT", tmp_path)
    monkeypatch.setattr(claims, "ledger", lambda: kept)
    return tmp_path


def main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["rerun.py", *arguments])
    return rerun.main()


def test_a_rerun_moves_every_seed_repeats_with_the_same_and_reports_margins(
    course, tmp_path, monkeypatch, capsys
):
    assert main(monkeypatch, "--rerun", "--seed", "5", "--seed", "6", "02") == 1
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("02-")}
    assert lines[FAILS].endswith("FAILS")
    assert re.search(r"1 … 1 +1 … 1 +100%  same$", lines[STAYS])
    low, high = map(float, re.search(r"0.7 +(\S+) … (\S+)", lines[MOVES]).groups())
    assert 0.6 <= low < high <= 0.7
    assert "3 claims, 1 failures" in out
    assert out.endswith(f"FAILED: {FAILS}\n")
    values, problem = rerun.measure(course / "02_sample.ipynb", 6, tmp_path / "again")
    assert (values[STAYS], problem) == ([1.0], "")
    assert f"{values[MOVES][0]:.4g}" in lines[MOVES]
    scope: dict[str, object] = {}
    exec("\n".join([*LESSON[:2], "plain = torch.rand(()), torch.rand((), generator=own)"]), scope)
    assert not set(values[FAILS]) & {number.item() for number in scope["plain"]}


def test_a_lesson_that_stops_says_where_and_fails(course, monkeypatch, capsys):
    lesson = nbformat.read(course / "02_sample.ipynb", as_version=4)
    lesson.cells[-1].source = "1 / 0"
    nbformat.write(lesson, course / "02_sample.ipynb")
    assert main(monkeypatch, "--rerun", "--seed", "5") == 1
    out = capsys.readouterr().out
    assert re.search(r"02_sample stops at cell 8: .*ZeroDivisionError", out, re.DOTALL)
    assert f"{STAYS:<34} not measured in every run" in out


def test_without_rerun_the_ledger_is_printed_and_lessons_are_refused(monkeypatch, capsys):
    assert main(monkeypatch) == 0
    assert capsys.readouterr().out.startswith("lesson  id ")
    with pytest.raises(SystemExit):
        main(monkeypatch, "02")
    assert "need --rerun" in capsys.readouterr().err


def test_a_report_tells_a_narrow_margin_from_a_number_that_never_moves():
    entry = claims.ledger()[MOVES]  # 0.6 to 0.7
    tight = rerun.row(entry, [{MOVES: [0.65]}, {MOVES: [0.604]}])
    same = rerun.row(entry, [{MOVES: [0.604]}, {MOVES: [0.604]}])
    alone = rerun.row(entry, [{MOVES: [0.65]}])
    assert (tight[0].split()[-1], same[0].split()[-1], alone[0].split()[-1]) == (
        "tight",
        "same",
        "100%",
    )
    assert tight[1] == pytest.approx(0.08)
