"""Do the course's claims hold with other seeds? `python course.py claims`.

    python notebooks/rerun.py                        the ledger: each claim, its bound, its seeds
    python notebooks/rerun.py --rerun [NN ...]       measure anew, with two fresh seeds
    python notebooks/rerun.py --rerun --seed 7 [NN ...]      with seeds that you name

A rerun executes whole lessons, with the reference put into each exercise. It adds the same number
to every seed that a lesson or the package sets, so each draws what it never drew before, and notes
all values of all claims, also of one that fails. The margin is the distance of the worst value from
its bound, as a share of the bound's room (`Entry.margin`); below 0 the claim fails.
"""

import argparse
import ast
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import build
import nbformat
from nbformat import NotebookNode

from transformer_lab import claims

STEP = 1_000_003  # seeds of a lesson lie closer together than this
NOTES = "claims.jsonl"
TIGHT = 0.1


def fresh(number: int) -> None:
    """In a lesson's kernel: move every seed, note every claim, let no wrong exercise pass."""
    import numpy
    import torch

    from transformer_lab.exercises import stages

    os.environ["TRANSFORMER_LAB_STRICT"] = "1"
    stages.SECONDS = 120.0  # a busy machine is no wrong answer
    plain, default_rng, claim = torch.manual_seed, numpy.random.default_rng, claims.claim

    def moved(seed: int) -> int:
        return seed + number * STEP

    class Generator(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(moved(seed))

    def noted(id: str, measured: Any) -> object:
        with Path(NOTES).open("a", encoding="utf-8") as file:
            file.write(json.dumps([id, claims.values_of(measured)]) + "\n")
        try:
            return claim(id, measured)
        except claims.ClaimFailed as failure:
            return failure

    torch.manual_seed = lambda seed: plain(moved(seed))
    torch.Generator = Generator  # type: ignore[misc]
    numpy.random.default_rng = lambda seed=None: default_rng(None if seed is None else moved(seed))
    claims.claim = noted  # type: ignore[assignment]


def solved(lesson: NotebookNode) -> NotebookNode:
    """Put the reference into each function that the lesson checks; it keeps its own signature."""
    trees = [(cell, ast.parse(cell.source)) for cell in lesson.cells if cell.cell_type == "code"]
    exercises = {
        node.args[1].id: node.args[0].value
        for _, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check"
        if isinstance(node.args[1], ast.Name)  # the rest hands a function of the package over
    }
    for cell, tree in trees:
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        stubs = [function for function in functions if function.name in exercises]
        for stub in stubs:
            names = ", ".join(argument.arg for argument in stub.args.args)
            answer = f"return CATALOG[{exercises[stub.name]!r}].reference({names})"
            lines = "\n    ".join(["from transformer_lab.exercises import CATALOG", answer])
            cell.source = cell.source.replace("raise NotImplementedError", lines, 1)
    return lesson


def measure(lesson: Path, number: int, folder: Path) -> tuple[dict[str, list[float]], str]:
    """Execute one lesson in a copy of the notebooks' folder: the values of its claims, an error."""
    notebook = solved(nbformat.read(lesson, as_version=4))
    first = nbformat.v4.new_code_cell(f"from rerun import fresh\n\nfresh({number})")
    notebook.cells.insert(0, first)
    copy = folder / f"{lesson.stem}-{number}"
    shutil.copytree(build.BUILT, copy)
    problem = ""
    try:
        build.execute(notebook, copy)
    except build.LessonFailed as failure:
        problem = str(failure)
    notes = copy / NOTES
    lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
    return dict(json.loads(line) for line in lines), problem


def row(entry: claims.Entry, runs: list[dict[str, list[float]]]) -> tuple[str, float, bool]:
    """A line of the report; the least margin; whether every run gave the same numbers."""
    found = [run[entry.id] for run in runs if entry.id in run]
    if len(found) < len(runs):
        return f"{entry.id:<34} not measured in every run", -1.0, False
    margin = min(entry.margin(value) for values in found for value in values)
    same = len(found) > 1 and all(values == found[0] for values in found)
    every = [value for values in found for value in values]
    bound = f"{entry.bound[0]:.6g} … {entry.bound[1]:.6g}"
    span = f"{min(every):.4g} … {max(every):.4g}"
    state = "FAILS" if margin < 0 else "same" if same else "tight" if margin < TIGHT else ""
    return f"{entry.id:<34} {bound:>18} {span:>23} {margin:>7.0%}  {state}".rstrip(), margin, same


def rerun(numbers: list[str], seeds: list[int]) -> int:
    """Print the margins of the lessons' claims as they come; 1 if one fails or is not measured."""
    failed, tight, same, total = [], [], 0, 0
    print(f"seeds moved by {', '.join(map(str, seeds))} times {STEP:,}\n")
    print(f"{'claim':<34} {'bound':>18} {'measured':>23} {'margin':>7}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for lesson in build.lessons(build.BUILT, ".ipynb", numbers):
            runs = [measure(lesson, seed, Path(folder)) for seed in seeds]
            for problem in filter(None, (problem for _, problem in runs)):
                failed.append(lesson.stem)
                print(f"{lesson.stem} stops at {problem}", flush=True)
            for entry in claims.ledger().values():
                if entry.lesson != lesson.name[:2]:
                    continue
                line, margin, unmoved = row(entry, [values for values, _ in runs])
                total, same = total + 1, same + unmoved
                failed += [entry.id] * (margin < 0)
                tight += [entry.id] * (0 <= margin < TIGHT and not unmoved)
                print(line, flush=True)
    print(f"\n{total} claims, {len(failed)} failures; {len(tight)} within a tenth of their room.")
    print(f"{same} gave the same numbers in every run: a fixed example, or exact by construction.")
    for word, names in (("within a tenth", tight), ("FAILED", failed)):
        print("".join(f"{word}: {name}\n" for name in names), end="")
    return int(bool(failed))


def main() -> int:
    parser = argparse.ArgumentParser(prog="course.py claims", description=__doc__.split("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="lessons; all if left out")
    parser.add_argument("--rerun", action="store_true", help="measure anew with fresh seeds")
    parser.add_argument("--seed", type=int, action="append", metavar="N", help="a seed; repeatable")
    asked = parser.parse_args()
    if not asked.rerun:
        if asked.numbers or asked.seed:
            parser.error("lessons and seeds need --rerun")
        claims.main()
        return 0
    return rerun(asked.numbers, asked.seed or random.sample(range(1, 100_000), 2))


if __name__ == "__main__":
    sys.exit(main())
