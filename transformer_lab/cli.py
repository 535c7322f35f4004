"""The command `transformer-lab`: open the course, see how far you are, grade, export, doctor.

`open` never overwrites what a learner wrote. It keeps the hash of each lesson that it laid down:
a lesson unchanged since then follows the course; of an edited one the newer version comes beside
it. A lesson that was deleted or moved away comes back fresh: that is how to start it again.
"""

import argparse
import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from transformer_lab.files import write

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ".course.json"
NO_NEWS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    }
}


def digest(path: Path) -> str:
    """The file's SHA-256, or "" where there is no file to read."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def side_names(name: str) -> Iterator[str]:
    """Names for a newer lesson beside an edited one: 02_a.new.ipynb, then dated, then numbered."""
    stem = name.removesuffix(".ipynb")
    dated = f"{stem}.new-{time.strftime('%Y-%m-%d')}"
    yield f"{stem}.new.ipynb"
    yield f"{dated}.ipynb"
    for number in range(2, 1000):
        yield f"{dated}-{number}.ipynb"


def unrun(lesson: bytes) -> bytes:
    """A lesson as if nobody had run it: no answer stands below its question before you run it."""
    try:
        notebook = json.loads(lesson)
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    except (KeyError, TypeError, ValueError):
        return lesson  # not a notebook: there is nothing to hide
    for cell in code:
        cell["outputs"], cell["execution_count"] = [], None
    return json.dumps(notebook, ensure_ascii=False, indent=1).encode() + b"\n"


def fill(course: Path, mine: Path) -> list[str]:
    """Bring the folder `mine` up to the lessons in `course`; returns sentences on what is new."""
    lessons = sorted(course.glob("*.ipynb"))
    if not lessons:
        raise FileNotFoundError(f"there are no lessons (*.ipynb) in {course}")
    mine.mkdir(exist_ok=True)
    try:
        laid = dict(json.loads((mine / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        laid = {}  # then every file that differs counts as the learner's
    news = []
    for lesson in lessons:
        name, content = lesson.name, unrun(lesson.read_bytes())
        new = hashlib.sha256(content).hexdigest()
        target = mine / name
        found = digest(target)
        if not os.path.lexists(target):
            write(target, content)
            if name in laid:
                news.append(f"{name} was gone; a fresh copy is there.")
        elif found == laid.get(name) and found != new:
            write(target, content)
            news.append(f"{name} is now the newer lesson; you had not changed yours.")
        elif found != new and laid.get(name) != new:
            for side in side_names(name):
                beside = mine / side
                if not beside.exists() or digest(beside) in (new, laid.get(side)):
                    break
            if digest(beside) != new:
                write(beside, content)
            laid[side] = new
            news.append(f"{name} is yours and stays as it is; the newer lesson is {side}.")
        laid[name] = new
    write(mine / MANIFEST, json.dumps(laid, indent=1).encode())
    return news


def open_course(mine: Path, arguments: list[str]) -> int:
    """Fill `mine`, start JupyterLab there, print its address last; ends on Ctrl-C."""
    for sentence in fill(ROOT / "notebooks", mine):
        print(sentence)
    with contextlib.suppress(OSError):  # a default of this environment; your settings still win
        settings = Path(sys.prefix, "share", "jupyter", "lab", "settings", "overrides.d")
        settings.mkdir(parents=True, exist_ok=True)
        write(settings / "transformer-lab.json", json.dumps(NO_NEWS).encode())

    from jupyterlab.labapp import LabApp

    first = min(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    options = [
        f"--ServerApp.root_dir={mine}",
        f"--LabApp.default_url=/lab/tree/{first}",
        "--ServerApp.log_level=ERROR",  # so that the address stays in sight
        "--LabApp.log_level=ERROR",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # a container; the token still guards it
        options.append("--allow-root")
    server = LabApp.initialize_server([*options, *arguments])
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: server.stop(from_signal=True))
    server.log.addFilter(lambda record: "To access the server" not in record.getMessage())
    where = f"Transformer Lab is open. Stop it with Ctrl-C. Its address:\n{server.public_url}"
    server.io_loop.call_later(0.2, lambda: print(where, flush=True))
    server.start()
    return 0


def grade_notebooks(
    notebooks: list[Path], seconds: float, csv: Path | None, json: Path | None
) -> int:
    """Print the grades of each notebook as it is done; 1 when one could not be run to its end."""
    from transformer_lab.grading import grade_all, write_csv, write_json

    results = []
    for result in grade_all(notebooks, seconds):
        print(result, flush=True)
        results.append(result)
        for path, write_to in ((csv, write_csv), (json, write_json)):
            if path is not None:  # after each: an interrupted run keeps what it has
                write_to(path, results)
    if not results:
        print("There are no notebooks (*.ipynb) there.", file=sys.stderr)
    return 0 if results and not any(result.problem for result in results) else 1


def export_page(lesson: str, output: Path | None) -> int:
    """Write one lesson's page and say where; 1 when there is no such lesson or it fails."""
    from transformer_lab.lesson_page import LessonFailed, lesson_page

    found = [Path(lesson)] if lesson.endswith(".ipynb") else []
    found = found or sorted((ROOT / "notebooks").glob(f"{lesson}_*.ipynb"))
    if not found or not found[0].is_file():
        print(f"There is no lesson {lesson!r} in {ROOT / 'notebooks'}.", file=sys.stderr)
        return 1
    target = output or Path(found[0].stem + ".html")
    try:
        size = lesson_page(found[0], target)
    except (LessonFailed, OSError) as error:
        print(f"{found[0].name} was not exported: {error}", file=sys.stderr)
        return 1
    print(f"{target}: {size / 1e3:,.0f} kB, needs neither kernel nor network")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    parser = argparse.ArgumentParser(prog="transformer-lab", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    about = "open the course in JupyterLab, whose options pass through"
    opening = commands.add_parser("open", help=about, description=about, allow_abbrev=False)
    opening.add_argument(
        "--folder", type=Path, default=ROOT / "my_course", help="your copy of the lessons"
    )
    about = "look at this machine: versions, cores, memory, model files, disk"
    commands.add_parser("doctor", help=about, description=about)
    about = "how far you are: every exercise, and what you have done with it"
    commands.add_parser("progress", help=about, description=about)
    about = "run notebooks in fresh kernels and grade their exercises; for teachers"
    grading = commands.add_parser("check", help=about, description=about)
    grading.add_argument("notebooks", type=Path, nargs="+", help="notebooks, or folders of them")
    grading.add_argument("--csv", type=Path, help="write a line for each exercise to this file")
    grading.add_argument("--json", type=Path, help="write the same as JSON")
    grading.add_argument(
        "--seconds", type=float, default=600, help="the most that one cell may take (600)"
    )
    about = "run a lesson and write it as one offline page, its instruments alive"
    exporting = commands.add_parser("export", help=about, description=about)
    exporting.add_argument("lesson", help="the number of a lesson (02), or a notebook")
    exporting.add_argument("--output", type=Path, help="the page; else NAME.html, here")
    asked, rest = parser.parse_known_args(arguments)
    if asked.command == "open":
        try:
            return open_course(asked.folder.resolve(), rest)
        except OSError as error:
            print(f"The course could not be opened: {error}", file=sys.stderr)
            return 1
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if asked.command == "progress":
        from transformer_lab.exercises import progress

        print(progress())
        return 0
    if asked.command == "check":
        return grade_notebooks(asked.notebooks, asked.seconds, asked.csv, asked.json)
    if asked.command == "export":
        return export_page(asked.lesson, asked.output)
    from transformer_lab.doctor import doctor

    report = doctor()
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
