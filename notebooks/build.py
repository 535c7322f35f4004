"""Build the lessons: notebooks/source/NN_name.py in, executed notebooks/NN_name.ipynb out.

    python notebooks/build.py [NN ...]           execute and write
    python notebooks/build.py --check [NN ...]   compare source and built, without executing
    python notebooks/build.py --run [NN ...]     execute the built ones in a copy, write nothing

Built twice, a lesson is the same to the byte: nothing that differs from run to run or from machine
to machine is written (times, widget state, Python's version), and what would only be hidden
(warnings, progress bars, a widget without a static twin) stops the build instead.
"""

import argparse
import asyncio
import copy
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import slides
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

BUILT = Path(__file__).resolve().parent
SOURCE = BUILT / "source"
WIDGET = "application/vnd.jupyter.widget-view+json"
UNCHECKED = "nbval-ignore-output"
PRIVATE = "this-machine"  # beside UNCHECKED: the built lesson keeps nothing of the cell's output
VOLATILE = (
    r"/(?:home|Users|root|tmp|usr|opt)/|[A-Z]:\\|site-packages|\b0x[0-9a-f]{6,}|\dit/s|\ds/it"
)
EXERCISE = re.compile(r"^# (#{2,3}) Exercise: (\w+)$", re.M)
SECONDS = 600  # for one cell
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


class LessonFailed(Exception):
    """A lesson that cannot be built or run; the message says which cell and why."""


@dataclass
class Run:
    """What one execution of a lesson took."""

    seconds: float
    peak_mb: float | None  # None where the system does not tell


def convert(source: str) -> NotebookNode:
    """A lesson's source as a notebook that is not yet executed; ids follow from the content.

    `## Exercise: id` becomes that exercise's title and task. Prose is cut before each heading, and
    every cell says what it is on a slide (`slides.py`).
    """
    import jupytext  # here, since `--run` needs no development package

    notebook = jupytext.reads(EXERCISE.sub(_task, source), fmt="py:percent")
    cells: list[NotebookNode] = []
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        code = cell.cell_type == "code"
        make = nbformat.v4.new_code_cell if code else nbformat.v4.new_markdown_cell
        metadata = {k: v for k, v in cell.metadata.items() if k != "lines_to_next_cell"}
        for text in [cell.source] if code else slides.cut(cell.source):
            key = hashlib.sha256(f"{cell.cell_type}\n{text}".encode()).hexdigest()[:12]
            seen[key] = seen.get(key, 0) + 1
            cells.append(make(text, id=f"{key}-{seen[key]}", metadata=copy.copy(metadata)))
    for cell, kind in zip(cells, slides.kinds(cells), strict=True):
        cell.metadata["slideshow"] = {"slide_type": kind}
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


def _task(heading: re.Match[str]) -> str:
    """An exercise's heading and prompt, as comment lines."""
    from transformer_lab.exercises import CATALOG  # here: `--run` needs no exercise

    level, id = heading.groups()
    if id not in CATALOG:
        raise LessonFailed(f"no exercise {id!r} in the catalogue")
    text = CATALOG[id]._repr_markdown_().strip().replace("###", level, 1)
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())


def execute(notebook: NotebookNode, folder: Path) -> Run:
    """Execute every cell in place, in a fresh kernel of this Python that starts in `folder`."""
    start = time.monotonic()
    # zmq cannot use the event loop that Windows prefers
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        peak = runner.run(_execute(notebook, folder))
    return Run(time.monotonic() - start, peak)


async def _execute(notebook: NotebookNode, folder: Path) -> float | None:
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # each start would warn about local TCP
        resources={"metadata": {"path": str(folder)}},
    )
    # no folders: a kernel "python3" that the user registered for another Python is not ours
    client.km = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    with _environment() as env:
        async with client.async_setup_kernel(env=env):
            count = 0
            for number, cell in enumerate(notebook.cells, 1):
                count += cell.cell_type == "code"
                try:
                    await client.async_execute_cell(cell, number - 1, execution_count=count)
                except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                    raise LessonFailed(f"cell {number}: {_last_lines(error)}") from error
            return _peak_mb(client.km.provisioner.pid)


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """The kernel's environment: one thread, and nothing of the user's own settings or progress."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty:
        yield {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "IPYTHONDIR": empty,
            "TRANSFORMER_LAB_HOME": empty,
            "TRANSFORMER_LAB_STRICT": "",
        }


def _last_lines(error: Exception) -> str:
    if isinstance(error, CellTimeoutError):
        return f"still running after {SECONDS} s"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).rstrip().splitlines()
    return "\n    ".join(line for line in lines[-8:] if line.strip())


def _peak_mb(pid: int) -> float | None:
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None


def tidy(notebook: NotebookNode) -> list[str]:
    """Drop from the outputs what belongs to this run alone; return what a lesson may not show.

    The view of a widget is dropped, since it is empty without its kernel and would hide the static
    twin. A cell tagged nbval-ignore-output may show progress bars: they are dropped too. Of a cell
    tagged this-machine as well, nothing is kept.
    """
    complaints = []
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        unchecked = UNCHECKED in tags
        if PRIVATE in tags:
            cell.outputs = []
            if not unchecked:
                complaints.append(f"cell {number}: the tag {PRIVATE} needs {UNCHECKED} beside it")
        kept = []
        for output in cell.outputs:
            if output.get("name") == "stderr":
                if not unchecked or "Warning" in output.text:
                    last = output.text.strip().splitlines()[-3:]
                    complaints.append(f"cell {number} writes to stderr: {' / '.join(last)}")
                continue
            data = output.get("data", {})
            if data.pop(WIDGET, None) is not None:
                output.metadata.pop(WIDGET, None)
                if not {"text/html", "image/png"} & set(data):
                    if not unchecked:
                        text = data.get("text/plain", "")
                        complaints.append(f"cell {number} shows a widget without a picture: {text}")
                    continue
            texts = [output.get("text", ""), *(t for t in data.values() if isinstance(t, str))]
            shown = re.sub(r"base64,[\w+/=]+", "", " ".join(texts))
            if found := re.search(VOLATILE, shown):
                complaints.append(f"cell {number} shows what differs elsewhere: {found[0]}")
            kept.append(output)
        cell.outputs = kept
    return complaints


def differences(source: NotebookNode, built: NotebookNode) -> list[str]:
    """Where a built notebook is not what its source says; outputs are not looked at."""
    found = []
    if len(source.cells) != len(built.cells):
        found.append(f"{len(source.cells)} cells in the source, {len(built.cells)} built")
    for number, (ours, theirs) in enumerate(zip(source.cells, built.cells, strict=False), 1):
        for key in ("cell_type", "source", "metadata", "id"):
            if ours.get(key) != theirs.get(key):
                found.append(f"cell {number}: {key} differs: {str(ours.source).splitlines()[:1]}")
                break
    if source.metadata != built.metadata:
        found.append(f"the notebook's metadata is {dict(built.metadata)}")
    return found


def build(source: Path, folder: Path) -> tuple[Path, Run, bool]:
    """Execute a source in `folder`, write the notebook there; the last value: did it change?"""
    notebook = convert(source.read_text(encoding="utf-8"))
    run = execute(notebook, folder)
    if complaints := tidy(notebook):
        raise LessonFailed("\n  ".join(complaints))
    nbformat.validate(notebook)
    path = folder / f"{source.stem}.ipynb"
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    changed = not path.exists() or path.read_text(encoding="utf-8") != text
    path.write_text(text, encoding="utf-8", newline="\n")
    return path, run, changed


def check(source: Path, folder: Path) -> list[str]:
    """Where a source and its built notebook in `folder` disagree."""
    path = folder / f"{source.stem}.ipynb"
    if not path.exists():
        return ["is not built"]
    source_notebook = convert(source.read_text(encoding="utf-8"))
    return differences(source_notebook, nbformat.read(path, as_version=4))


def lessons(folder: Path, suffix: str, numbers: list[str]) -> list[Path]:
    """The lessons of a folder, or those whose numbers are given; ends the program if one lacks.

    The glossary is built like a lesson; its name stands for its number.
    """
    found = sorted([*folder.glob(f"[0-9][0-9]_*{suffix}"), *folder.glob(f"glossary{suffix}")])
    known = [path.stem.partition("_")[0] for path in found]
    wanted = [number.zfill(2) for number in numbers]
    missing = [number for number in wanted if number not in known]
    if missing or not found:
        what = f"no lesson {', '.join(missing)}" if missing else "no lessons"
        sys.exit(f"{what} in {folder}; there are: {', '.join(known) or 'none'}")
    return [path for path in found if not wanted or path.stem.partition("_")[0] in wanted]


def show(name: str, cells: object, seconds: object, peak: object, state: str) -> None:
    print(f"{name:<28} {cells:>5} {seconds:>8} {peak:>8}  {state}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="build.py", description=__doc__.split("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="lessons; all if left out")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--run", action="store_true", help="execute the built lessons, write nothing")
    mode.add_argument("--check", action="store_true", help="compare source and built, only")
    options = parser.parse_args()
    failed = False
    if options.check:
        sources = lessons(SOURCE, ".py", options.numbers)
        for source in sources:
            for complaint in check(source, BUILT):
                failed = True
                print(f"{source.stem}: {complaint}")
        print("differences found" if failed else "every lesson agrees with its source")
        return int(failed)
    chosen = lessons(*((BUILT, ".ipynb") if options.run else (SOURCE, ".py")), options.numbers)
    show("lesson", "cells", "seconds", "peak MB", "")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        clone = Path(folder, BUILT.name)
        if options.run:
            shutil.copytree(BUILT, clone)
        for path in chosen:
            try:
                if options.run:
                    notebook = nbformat.read(clone / path.name, as_version=4)
                    run, state = execute(notebook, clone), "ok"
                else:
                    built, run, changed = build(path, BUILT)
                    notebook = nbformat.read(built, as_version=4)
                    state = "changed" if changed else "unchanged"
            except LessonFailed as failure:
                failed = True
                show(path.stem, "", "", "", "FAILED")
                print(f"  {failure}")
                continue
            peak = "–" if run.peak_mb is None else f"{run.peak_mb:.0f}"
            show(path.stem, len(notebook.cells), f"{run.seconds:.1f}", peak, state)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
