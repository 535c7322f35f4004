"""Which cells of a lesson are a slide: read off its structure, so that no author marks any.

`jupyter nbconvert --to slides` shows a section's heading as a slide, and below it, one step down
each, its code, pictures and instruments. A prediction appears below the prose that asks for it; a
claim, and a few words on it, on the slide of its picture. Exercises, answers, imports and the way
into the package are left out.
"""

import ast
import re

from nbformat import NotebookNode

HEADING = re.compile(r"(#{1,3}) +(.*)")
FEW = 60  # words that still find room below a picture
LEFT_OUT = re.compile("Exercise|Where this lives")
SILENT = {"outcome", "check", "hint", "progress", "reveal", "doctor", "manual_seed"}


def cut(source: str) -> list[str]:
    """A prose cell's text, cut before each heading: a slide holds one section."""
    parts: list[list[str]] = [[]]
    fenced = False
    for line in source.splitlines():
        fenced ^= line.startswith("```")
        if HEADING.match(line) and not fenced and any(parts[-1]):
            parts.append([])
        parts[-1].append(line)
    return ["\n".join(part).strip() for part in parts]


def kinds(cells: list[NotebookNode]) -> list[str]:
    """The slide type of each cell: slide, subslide, fragment or skip."""
    found = []
    left_out, depth, above = False, 0, ""  # above: the type of the last cell that is shown
    for number, cell in enumerate(cells):
        heading = HEADING.match(cell.source) if cell.cell_type == "markdown" else None
        if heading and (not left_out or len(heading[1]) <= depth):
            left_out, depth = bool(LEFT_OUT.match(heading[2])), len(heading[1])
        elif left_out and _goes_on(cells[number:]):
            left_out = False
        if left_out:
            found.append("skip")
        elif heading:
            found.append("slide" if len(heading[1]) < 3 else "subslide")
        elif cell.cell_type == "markdown":
            found.append(
                "fragment" if above == "code" and len(cell.source.split()) <= FEW else "subslide"
            )
        else:
            found.append(_code(cell.source, above == "markdown"))
        above = cell.cell_type if found[-1] != "skip" else above
    return found


def _goes_on(cells: list[NotebookNode]) -> bool:
    """Whether the lesson goes on here, behind an exercise: something is asked or claimed first."""
    for cell in cells:
        if cell.cell_type == "markdown" and HEADING.match(cell.source):
            return False
        if re.search(r"\b(claim|predict|check)\(", cell.source):
            return "check(" not in cell.source
    return False


def _code(source: str, below_prose: bool) -> str:
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic: the lessons' rules report it
        return "skip"
    last = _called(body[-1]) if body else ""
    if last in SILENT or all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body):
        return "skip"
    joins = last == "claim" or (last == "predict" and below_prose)
    return "fragment" if joins and len(body) == 1 else "subslide"


def _called(node: ast.stmt) -> str:
    """The name of the function that a statement calls, or of the one in `f(x) if y else z`."""
    value = getattr(node, "value", None)
    value = value.body if isinstance(value, ast.IfExp) else value
    function = value.func if isinstance(value, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
