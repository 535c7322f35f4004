"""cli.py: the learner's folder is filled and never overwritten; JupyterLab opens in it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from transformer_lab import cli

ROOT = Path(__file__).resolve().parent.parent
LESSON = "02_attention.ipynb"
SIDE = "02_attention.new.ipynb"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "02_attention.py").write_text("# source")
    (folder / "build.py").write_text("# build")
    (folder / "00_start_here.ipynb").write_text("lesson 00")
    (folder / LESSON).write_text("first edition")
    return folder


@pytest.fixture
def mine(course: Path, tmp_path: Path) -> Path:
    """A learner's folder, filled with the first edition."""
    folder = tmp_path / "my_course"
    assert cli.fill(course, folder) == []
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix == ".ipynb"}


# --- filling


def test_the_lessons_are_laid_down_and_nothing_else(mine: Path) -> None:
    assert sorted(path.name for path in mine.iterdir()) == [
        ".course.json",
        "00_start_here.ipynb",
        LESSON,
    ]


def test_a_lesson_is_laid_down_as_if_nobody_had_run_it(course: Path, mine: Path) -> None:
    prose = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "Decide: größer?"}
    code = {"cell_type": "code", "id": "b", "metadata": {"tags": ["q-01"]}, "source": "1 + 1"}
    run = {**code, "execution_count": 3, "outputs": [{"output_type": "stream", "text": "2"}]}
    book = {"cells": [prose, run], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (course / LESSON).write_text(json.dumps(book), encoding="utf-8")
    cli.fill(course, mine)
    laid = json.loads((mine / LESSON).read_text(encoding="utf-8"))
    assert laid["cells"] == [prose, {**code, "execution_count": None, "outputs": []}]
    assert {**laid, "cells": 0} == {**book, "cells": 0}
    assert cli.fill(course, mine) == []


def test_filling_again_changes_nothing(course: Path, mine: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in mine.glob("*.ipynb")}
    assert cli.fill(course, mine) == []
    assert {path: path.stat().st_mtime_ns for path in mine.glob("*.ipynb")} == before


def test_an_unedited_lesson_follows_the_course(course: Path, mine: Path) -> None:
    (course / LESSON).write_text("second edition")
    (sentence,) = cli.fill(course, mine)
    assert LESSON in sentence
    assert contents(mine)[LESSON] == "second edition"
    assert SIDE not in contents(mine)


def test_an_edited_lesson_stays_and_the_newer_one_comes_beside_it(course: Path, mine: Path) -> None:
    (mine / LESSON).write_text("my answers")
    assert cli.fill(course, mine) == []
    (course / LESSON).write_text("second edition")
    (sentence,) = cli.fill(course, mine)
    assert LESSON in sentence
    assert SIDE in sentence
    assert contents(mine)[LESSON] == "my answers"
    assert contents(mine)[SIDE] == "second edition"


def test_a_newer_lesson_is_laid_beside_only_once(course: Path, mine: Path) -> None:
    (mine / LESSON).write_text("my answers")
    (course / LESSON).write_text("second edition")
    cli.fill(course, mine)
    (mine / SIDE).unlink()  # the learner did not want it
    assert cli.fill(course, mine) == []
    assert SIDE not in contents(mine)


def test_an_untouched_side_copy_is_replaced_by_the_next_edition(course: Path, mine: Path) -> None:
    (mine / LESSON).write_text("my answers")
    for edition in ("second edition", "third edition"):
        (course / LESSON).write_text(edition)
        cli.fill(course, mine)
    assert contents(mine)[SIDE] == "third edition"
    assert len(contents(mine)) == 3


def test_edited_side_copies_stay_too(course: Path, mine: Path) -> None:
    (mine / LESSON).write_text("my answers")
    day = time.strftime("%Y-%m-%d")
    names = [SIDE, f"02_attention.new-{day}.ipynb", f"02_attention.new-{day}-2.ipynb"]
    for number, name in enumerate(names):
        (course / LESSON).write_text(f"edition {number}")
        (sentence,) = cli.fill(course, mine)
        assert name in sentence
        assert contents(mine)[name] == f"edition {number}"
        (mine / name).write_text(f"my answers to edition {number}")
    assert [contents(mine)[name] for name in names] == [
        f"my answers to edition {number}" for number in range(3)
    ]
    assert contents(mine)[LESSON] == "my answers"


def test_a_deleted_lesson_comes_back_fresh(course: Path, mine: Path) -> None:
    (mine / LESSON).unlink()
    (sentence,) = cli.fill(course, mine)
    assert "fresh" in sentence
    assert contents(mine)[LESSON] == "first edition"


def test_a_new_lesson_joins(course: Path, mine: Path) -> None:
    (course / "03_why.ipynb").write_text("new")
    cli.fill(course, mine)
    assert contents(mine)["03_why.ipynb"] == "new"


def test_files_of_the_learners_own_are_left_alone(course: Path, mine: Path) -> None:
    (mine / "notes.ipynb").write_text("mine")
    (mine / "data").mkdir()
    (course / LESSON).write_text("second edition")
    cli.fill(course, mine)
    assert contents(mine)["notes.ipynb"] == "mine"
    assert (mine / "data").is_dir()


def test_a_file_that_happens_to_have_a_new_lessons_name_stays(course: Path, mine: Path) -> None:
    (mine / "03_why.ipynb").write_text("my own third notebook")
    (course / "03_why.ipynb").write_text("the course's")
    cli.fill(course, mine)
    assert contents(mine)["03_why.ipynb"] == "my own third notebook"
    assert contents(mine)["03_why.new.ipynb"] == "the course's"


def test_a_folder_with_a_lessons_name_stays(course: Path, mine: Path) -> None:
    (mine / "03_why.ipynb").mkdir()
    (course / "03_why.ipynb").write_text("the course's")
    cli.fill(course, mine)
    assert (mine / "03_why.ipynb").is_dir()
    assert (mine / "03_why.new.ipynb").read_text() == "the course's"


def test_a_lesson_that_left_the_course_stays_with_the_learner(course: Path, mine: Path) -> None:
    (course / LESSON).unlink()
    cli.fill(course, mine)
    assert contents(mine)[LESSON] == "first edition"


@pytest.mark.parametrize("manifest", [None, "{", "[]"])
def test_without_a_readable_manifest_every_difference_is_the_learners(
    course: Path, mine: Path, manifest: str | None
) -> None:
    (mine / cli.MANIFEST).unlink()
    if manifest is not None:
        (mine / cli.MANIFEST).write_text(manifest)
    (course / LESSON).write_text("second edition")
    cli.fill(course, mine)
    assert contents(mine)[LESSON] == "first edition"
    assert contents(mine)[SIDE] == "second edition"


def test_a_copy_that_cannot_be_written_whole_leaves_the_old_one(
    course: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    (course / LESSON).write_text("second edition")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cli.fill(course, mine)
    assert contents(mine)[LESSON] == "first edition"


def test_a_course_without_lessons_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no lessons"):
        cli.fill(tmp_path, tmp_path / "my_course")
    assert not (tmp_path / "my_course").exists()


# --- the command


def test_help_needs_no_torch_and_names_the_commands() -> None:
    code = (
        "import sys; from transformer_lab import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: print(sorted({'torch', 'jupyterlab'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert "open" in done.stdout
    assert "doctor" in done.stdout


def test_only_open_takes_arguments_that_it_does_not_know(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as error:
        cli.main(["doctor", "--port", "1"])
    assert error.value.code == 2
    assert "--port" in capsys.readouterr().err


def test_a_course_that_cannot_be_opened_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    assert cli.main(["open", "--folder", str(tmp_path / "my_course")]) == 1
    assert "no lessons" in capsys.readouterr().err


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url: str) -> tuple[int, bytes]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


@pytest.mark.skipif(os.name == "nt", reason="ends it with a signal")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_jupyterlab_opens_on_lesson_00_prints_its_address_last_and_stops(
    course: Path, tmp_path: Path, end: signal.Signals
) -> None:
    port, home = free_port(), tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from pathlib import Path; from transformer_lab import cli;"
        f"cli.ROOT = Path({str(tmp_path)!r}); sys.exit(cli.main())"
    )
    folder = str(tmp_path / "my_course")
    command = [sys.executable, "-c", code, "open", "--folder", folder]
    command += ["--no-browser", f"--port={port}"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**kept, "HOME": str(home)},
    ) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "token=" in line:
                break
        address = lines[-1]
        where, _, token = address.partition("?token=")
        assert where.endswith(f":{port}/lab/tree/00_start_here.ipynb")
        assert len(token) >= 32
        base = f"http://127.0.0.1:{port}"
        assert fetch(f"{base}/lab/tree/00_start_here.ipynb?token={token}")[0] == 200
        assert fetch(f"{base}/api/contents")[0] == 403
        listed = json.loads(fetch(f"{base}/api/contents?token={token}")[1])["content"]
        assert sorted(file["name"] for file in listed) == ["00_start_here.ipynb", LESSON]
        plugin = "@jupyterlab/apputils-extension:notification"
        settings = json.loads(fetch(f"{base}/lab/api/settings/{plugin}?token={token}")[1])
        news = settings["schema"]["properties"]
        assert news["fetchNews"]["default"] == "false"
        assert news["checkForUpdates"]["default"] is False
        assert settings["raw"] == "{}"  # the learner's own settings say nothing
        process.send_signal(end)
        rest = process.communicate(timeout=20)[0]
        watchdog.cancel()
    assert process.returncode == 0
    assert "http" not in rest
    assert "Traceback" not in rest
    registered = [path for path in home.rglob("*") if path.is_file() and ".npm" not in path.parts]
    assert [path.name for path in registered] == ["jupyter_cookie_secret"]
