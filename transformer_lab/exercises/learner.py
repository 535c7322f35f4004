"""What a learner calls in a lesson: check, hint, reveal, progress."""

import difflib
import html
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformer_lab import store
from transformer_lab.exercises import (
    lesson01,
    lesson02,
    lesson03,
    lesson04,
    lesson05,
    lesson06,
    lesson07,
    lesson08,
    lesson09,
    lesson10,
    lesson11,
    lesson12,
)
from transformer_lab.exercises.engine import examine
from transformer_lab.exercises.exercise import Exercise
from transformer_lab.exercises.verdict import LOOK, ExerciseFailed, Verdict

KIND = "progress"  # of record in the store
REPORT = "TRANSFORMER_LAB_REPORT"  # names a file that gets each verdict as a line of JSON

LESSONS = (
    *(lesson01, lesson02, lesson03, lesson04, lesson05, lesson06),
    *(lesson07, lesson08, lesson09, lesson10, lesson11, lesson12),
)
CATALOG: dict[str, Exercise] = {e.id: e for lesson in LESSONS for e in lesson.EXERCISES}


def check(id: str, answer: Callable[..., Any]) -> Verdict:
    """Try your function on many inputs and say what it got wrong, never how to write it.

    Raises ValueError for an unknown id. In strict mode (TRANSFORMER_LAB_STRICT=1, or when a grader
    sets NBGRADER_EXECUTION) it raises ExerciseFailed where the verdict is not "Right".
    """
    verdict = examine(_exercise(id), answer)
    if verdict.mistake != "stub":
        tries = store.load(KIND, id).get("tries", 0)
        passed = {"passed": True} if verdict.passed else {"mistake": verdict.mistake}
        store.save(KIND, id, tries=tries + 1, **passed)
    _report(id, verdict)
    if not verdict.passed and _strict():
        raise ExerciseFailed(f"check({id!r}): {verdict!r}")
    return verdict


def hint(id: str) -> "Note":
    """The next hint for an exercise: at most three, each says more than the one before."""
    hints = _exercise(id).hints
    seen = min(store.load(KIND, id).get("hints", 0) + 1, len(hints))
    store.save(KIND, id, hints=seen)
    last = (
        f' This is the last one; reveal("{id}") shows the solution.' if seen == len(hints) else ""
    )
    return Note(f"Hint {seen} of {len(hints)}", hints[seen - 1] + last)


def reveal(id: str) -> "Note":
    """The package's own code for an exercise: its solution."""
    exercise = _exercise(id)
    store.save(KIND, id, revealed=True)
    functions = exercise.source or (exercise.reference,)
    where = " and ".join(dict.fromkeys(f.__module__.replace(".", "/") + ".py" for f in functions))
    code = "\n\n".join(inspect.getsource(f).rstrip() for f in functions)
    return Note(f"Where this lives: {where}", code=code)


def progress(lesson: str | None = None) -> "Progress":
    """What you have done with every exercise so far; with a lesson ("02"), with those of that one.

    Raises ValueError for a lesson without exercises.
    """
    known = {e.lesson for e in CATALOG.values()}
    if lesson is not None and lesson not in known:
        raise ValueError(f"lesson = {lesson!r}; expected one of {', '.join(sorted(known))}")
    records = store.load_all(KIND)
    chosen = [e for e in CATALOG.values() if lesson in (None, e.lesson)]
    return Progress(tuple(_row(e, records.get(e.id, {})) for e in chosen))


@dataclass(frozen=True)
class Note:
    """A heading with a few words, or code, under it."""

    heading: str
    text: str = ""
    code: str = ""

    def __repr__(self) -> str:
        return "\n".join(part for part in (self.heading, self.text, self.code) if part)

    def _repr_markdown_(self) -> str:
        code = f"```python\n{self.code}\n```" if self.code else ""
        return "\n\n".join(part for part in (f"**{self.heading}**", self.text, code) if part)


@dataclass(frozen=True)
class Progress:
    """Rows of lesson, exercise, minutes and state; above them one sign for each exercise."""

    rows: tuple[tuple[str, str, str, str], ...]
    head = ("lesson", "exercise", "minutes", "state")

    def __repr__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        picture = [f"{lesson}  {' '.join(signs)}" for lesson, signs in self.lessons.items()]
        return "\n".join([*table, "", *picture, "", self.summary])

    @property
    def lessons(self) -> dict[str, list[str]]:
        """The course at a glance: for each lesson the sign of each exercise, ✓ ✗ or ○."""
        found: dict[str, list[str]] = {}
        for lesson, _, _, state in self.rows:
            found.setdefault(lesson, []).append(state[0])
        return found

    @property
    def summary(self) -> str:
        done = sum(state.startswith("✓") for *_, state in self.rows)
        return f"{done} of {len(self.rows)} right"

    def _repr_html_(self) -> str:
        left = 'style="text-align: left"'
        head = "".join(f'<th scope="col" {left}>{cell}</th>' for cell in self.head)
        body = "".join(
            "<tr>" + "".join(f"<td {left}>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        tiles = "".join(
            f'<div role="img" aria-label="lesson {lesson}: {signs.count("✓")} of {len(signs)} '
            f'right"><b>{lesson}</b> {"".join(map(_tile, signs))}</div>'
            for lesson, signs in self.lessons.items()
        )
        return (
            f"<p><b>{self.summary}</b></p>{tiles}<details><summary>Every exercise</summary>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
        )


def _tile(sign: str) -> str:
    colour = {"✓": LOOK["passed"][2], "✗": LOOK["failed"][2]}.get(sign, LOOK["stub"][2])
    return (
        f'<span style="display: inline-block; width: 1.6em; margin: 1px 2px; text-align: center; '
        f'border: 2px solid {colour}; border-radius: 3px">{sign}</span>'
    )


def _row(exercise: Exercise, record: dict[str, Any]) -> tuple[str, str, str, str]:
    tries, hints = record.get("tries", 0), record.get("hints", 0)
    state = "✓ right" if record.get("passed") else "✗ tried" if tries else "○ not tried"
    notes = [f"{n} {word}{'s' * (n > 1)}" for n, word in ((hints, "hint"),) if n]
    notes += ["revealed"] * bool(record.get("revealed"))
    if tries > 1 or (tries and not record.get("passed")):
        notes.insert(0, f"{tries} {'tries' if tries > 1 else 'try'}")
    state += f" ({', '.join(notes)})" if notes else ""
    return exercise.lesson, exercise.title, str(exercise.minutes), state


def _exercise(id: str) -> Exercise:
    if id in CATALOG:
        return CATALOG[id]
    near = difflib.get_close_matches(str(id), CATALOG, 3, 0.3) or list(CATALOG)
    raise ValueError(f"id = {id!r} is no exercise; did you mean {' or '.join(map(repr, near))}?")


def _report(id: str, verdict: Verdict) -> None:
    if path := os.environ.get(REPORT):
        said = {"id": id, "passed": verdict.passed, "mistake": verdict.mistake}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**said, "message": verdict.message}) + "\n")


def _strict() -> bool:
    return os.environ.get("TRANSFORMER_LAB_STRICT") == "1" or "NBGRADER_EXECUTION" in os.environ
