"""A lesson as one offline page: run from top to bottom, its instruments alive without a kernel."""

import json
import os
import re
import tempfile
from pathlib import Path
from unittest import mock

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

from transformer_lab import files
from transformer_lab.instruments import export
from transformer_lab.instruments.base import EXPORT, PART

PRIVATE = "this-machine"  # tag of a cell whose output speaks of the machine, as in build.py
# nbconvert's page asks the network for these; a lesson has no use for them.
ABROAD = re.compile(
    r'<script[^>]*\bsrc="https?:[^>]*>\s*</script>|<script type="module">(?:(?!</script>).)*?'
    r"https?://(?:(?!</script>).)*</script>",
    re.DOTALL,
)
# Around an instrument's place: the style of a notebook's tables and headings, which has its own.
DRESSED = re.compile(r"jp-RenderedHTMLCommon (?=[^>]*>\s*<!-- transformer-lab part )")


class LessonFailed(Exception):
    """A lesson that did not run to its end; the message says where and why."""


def lesson_page(notebook: Path, target: Path, seconds: float = 600) -> int:
    """Run a lesson in a fresh kernel, with a learner's store of its own, and write its page.

    seconds: the most that one cell may take. Returns the page's size in bytes. Raises LessonFailed
    when a cell fails, and leaves the target as it was.
    """
    lesson = nbformat.read(notebook, as_version=4)
    lesson.metadata.pop("widgets", None)
    client = NotebookClient(
        lesson,
        timeout=seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(notebook.resolve().parent)}},
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # each start would warn about local TCP
    )
    with tempfile.TemporaryDirectory() as home:
        surroundings = {EXPORT: "1", "TRANSFORMER_LAB_HOME": home}
        with mock.patch.dict(os.environ, surroundings):
            try:
                client.execute()
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                raise LessonFailed(str(error)) from error
    parts = _take_parts(lesson)
    sections, style, scripts = export.embedded(parts)
    named = {"metadata": {"name": _title(lesson) or notebook.stem}}
    body, _ = HTMLExporter(template_name="lab").from_notebook_node(lesson, resources=named)
    body = DRESSED.sub("", body)
    for number, section in enumerate(sections):
        body = body.replace(_mark(number), section)
    body = ABROAD.sub("", body)
    body = body.replace("</head>", f"<style>{style}</style></head>", 1)
    body = body.replace("</body>", f"{scripts}</body>", 1)
    page = body.encode()
    files.write(target, page)
    return len(page)


def _take_parts(lesson: nbformat.NotebookNode) -> list[export.Part]:
    """Each instrument's Part in order; its output becomes a mark for its section."""
    parts: list[export.Part] = []
    for cell in lesson.cells:
        if PRIVATE in cell.metadata.get("tags", ()):
            cell.outputs = []
        for output in cell.get("outputs", ()):
            if found := output.get("data", {}).get(PART):
                output["data"] = {"text/html": _mark(len(parts))}
                parts.append(export.Part(**json.loads(json.dumps(found))))
    return parts


def _title(lesson: nbformat.NotebookNode) -> str:
    """The lesson's first heading."""
    texts = [cell.source for cell in lesson.cells if cell.cell_type == "markdown"]
    found = re.search(r"^#+ +(.+)$", "\n".join(texts), re.MULTILINE)
    return re.sub(r"[*_`]", "", found[1]).strip() if found else ""


def _mark(number: int) -> str:
    return f"<!-- transformer-lab part {number} -->"
