"""Check an answer: run it beside the reference, find the first thing wrong, name the mistake.

`examine` runs the learner's function on every case, then walks through the stages. The first one
that any case fails decides; of the cases that fail it, the smallest is shown. The mistake gets its
name from the exercise's known mistakes (equal results on every input), else from `diagnose.py`.
"""

import inspect
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from transformer_lab.exercises import diagnose, picture, show, stages
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit
from transformer_lab.exercises.sandbox import Failure, call, isolated, stopwatch
from transformer_lab.exercises.stages import STAGES, Trial
from transformer_lab.exercises.verdict import Verdict


def examine(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on a learner's answer; never raises for anything that the answer does."""
    with isolated():  # inputs may draw random numbers
        problem = _signature(exercise, answer)
    if problem:
        return _wrong(exercise, "signature", problem)
    with isolated() as printed:
        done = list(trials(exercise, answer))
    with isolated():
        verdict = _judge(exercise, answer, done)
    return replace(verdict, printed=printed.text)


def trials(exercise: Exercise, answer: Callable[..., Any]) -> Iterator[Trial]:
    """The learner's function on one case after another, up to one that had to be stopped."""
    seconds = stages.SECONDS  # the learner's; what the reference takes is not taken off
    # Equal inputs: for the learner, for the reference, and to tell whether the first were changed.
    for case, mine, ours in zip(*(exercise.cases() for _ in range(3)), strict=True):
        expected = _run(exercise, exercise.reference, case, ours, math.inf)
        assert isinstance(expected, Tensor), f"the reference of {exercise.id} fails: {expected}"
        before = [_shown(x) for x in mine.inputs]
        spent = stopwatch()
        got = _run(exercise, answer, case, mine, time.monotonic() + seconds)
        seconds -= spent()
        trial = Trial(exercise, case, expected, got, _changed(exercise, case, mine, before))
        if exercise.gradients and trial.right:
            wanted = _slope(exercise.reference, case, math.inf)
            slope = _slope(answer, case, time.monotonic() + seconds)
            trial = replace(trial, expected_slope=wanted, slope=slope)
        yield trial
        if isinstance(got, Failure) and got.kind in ("time", "memory", "stub"):
            return


def _run(
    exercise: Exercise, function: Callable[..., Any], fresh: Case, used: Case, deadline: float
) -> Tensor | Failure:
    """What `function` makes of the inputs used, as the tensor that is compared."""
    output = call(function, used.inputs, deadline)
    if isinstance(output, Failure):
        return output
    try:
        return exercise.observe(fresh.inputs, output)
    except Unfit as unfit:
        return Failure("unfit", str(unfit))
    except Exception as error:  # an answer so odd that it cannot even be read
        return Failure("unfit", f"Your result cannot be read. {type(error).__name__}: {error}")


def _slope(function: Callable[..., Any], case: Case, deadline: float) -> Tensor | Failure:
    """Gradients of a fixed mixture of the results with respect to every floating-point input."""

    def differentiate(*inputs: Any) -> Tensor:
        free = [
            x.detach().clone().requires_grad_()
            if isinstance(x, Tensor) and x.is_floating_point()
            else x
            for x in inputs
        ]
        leaves = [x for x in free if isinstance(x, Tensor) and x.requires_grad]
        output = function(*free)
        if not output.requires_grad:
            raise RuntimeError("Is there a detach(), .data or .item() on the way?")
        mixture = torch.linspace(0.5, 1.5, output.numel(), dtype=output.dtype).view(output.shape)
        # Mixed here: given a mixture to grad, torch first imports sympy for it, for seconds.
        slopes = torch.autograd.grad((output * mixture).sum(), leaves, materialize_grads=True)
        return torch.cat([slope.flatten() for slope in slopes])

    return call(differentiate, case.inputs, deadline)


def _shown(x: Any) -> str:
    """A list, dictionary or set as text, to tell whether it was changed."""
    return repr(x) if isinstance(x, (list, dict, set)) else ""


def _changed(exercise: Exercise, fresh: Case, used: Case, before: list[str]) -> str:
    """The name of the first input that is no longer what it was, or ""."""
    inputs = zip(exercise.parameters, fresh.inputs, used.inputs, before, strict=False)
    for name, one, other, text in inputs:
        if (isinstance(one, Tensor) and not torch.equal(one, other)) or _shown(other) != text:
            return name
    return ""


def _signature(exercise: Exercise, answer: Any) -> str:
    if not callable(answer):
        return (
            f"check needs your function itself, without parentheses behind its name; got a value "
            f"of type {type(answer).__name__}."
        )
    try:
        takes = inspect.signature(answer)
    except (TypeError, ValueError):
        return ""  # a compiled function has no signature to read
    cases = exercise.cases()
    try:
        for case in cases:
            takes.bind(*case.inputs)
    except TypeError:
        return f"Your function takes {takes}; expected {exercise.signature}."
    return ""


def _judge(exercise: Exercise, answer: Any, done: list[Trial]) -> Verdict:
    if any(isinstance(trial.got, Failure) and trial.got.kind == "stub" for trial in done):
        todo = f'Write it, then run this cell again. hint("{exercise.id}") gives a hint.'
        return _wrong(exercise, "stub", todo)
    for stage in STAGES:
        found = [(trial, said) for trial in done if (said := stage(trial))]
        if not found:
            continue
        if stage is stages.dtype and any(stages.values(t) for t in done if not stage(t)):
            continue  # wrong numbers elsewhere are the larger mistake
        found.sort(key=lambda pair: show.size(pair[0].case))
        trial, message = found[0]  # the smallest is shown, so what is said has to hold for it
        lines = _evidence(trial, stage, sum(map(_passes, done)), len(done))
        seen = _picture(trial, stage)
        known = (
            None
            if stage in (stages.memory, stages.timed, stages.untouched)
            else recognise(exercise, done)
        )
        if known:
            # What the stage found is still worth a line: an error's text, a judge's reason.
            if stage not in (stages.shape, stages.values) or exercise.judge is not None:
                lines.append(("found", message))
            return _wrong(exercise, known.name, known.hint, show.table(lines), seen)
        name = stage.__name__
        if stage is stages.shape:
            message += diagnose.shapes([(trial.expected, trial.value) for trial, _ in found])
        elif stage is stages.values and exercise.judge is None and not _chosen(exercise):
            named = diagnose.values([_pair(trial) for trial, _ in found])
            name, message = named or (name, message)
        return _wrong(exercise, name, message, show.table(lines), seen)
    return Verdict(exercise.title, True, f"Works on all {len(done)} inputs.", working=answer)


def recognise(exercise: Exercise, done: list[Trial]) -> Mistake | None:
    """The known mistake whose results equal the learner's on every input, if there is one."""
    for mistake in exercise.mistakes:
        deadline = time.monotonic() + stages.SECONDS
        results = [_run(exercise, mistake.code, case, case, deadline) for case in exercise.cases()]
        pairs = list(zip(done, results, strict=False))
        if not all(trial.equals(trial.got, result) for trial, result in pairs):
            continue
        if exercise.gradients and all(trial.right for trial in done):
            slopes = [_slope(mistake.code, trial.case, deadline) for trial in done]
            if all(_same(trial, slope) for trial, slope in zip(done, slopes, strict=True)):
                return mistake
            continue
        # An error of the same type may have another cause. So a wrong number, or the error's own
        # words, must agree as well.
        numbers = any(isinstance(trial.got, Tensor) and not trial.right for trial, _ in pairs)
        if numbers or all(trial.got == result for trial, result in pairs if not trial.right):
            return mistake
    return None


def _same(trial: Trial, slope: Tensor | Failure) -> bool:
    if isinstance(slope, Failure):
        return trial.slope == slope
    return trial.slope is not None and trial.equals(trial.slope, slope)


def _evidence(
    trial: Trial, stage: Callable[[Trial], str], right: int, total: int
) -> list[tuple[str, str]]:
    exercise, case = trial.exercise, trial.case
    score = "" if stage in (stages.memory, stages.timed) else f" ({right} of {total} inputs pass)"
    lines = [("input", case.name + score)]
    lines += show.inputs(case, exercise.parameters)
    if isinstance(trial.got, Failure):
        return lines + [("at", trial.got.line)] * bool(trial.got.line)
    if options := _chosen(exercise):
        return [*lines, ("got", repr(options[int(trial.got)]))]
    if exercise.judge is not None:
        plain = trial.got.numel() <= show.SMALL and not hasattr(exercise.observe, "coded")
        return lines + [("got", show.value(trial.got))] * plain
    if stage is stages.shape and max(trial.expected.numel(), trial.got.numel()) <= show.SMALL:
        pair = zip(("expected", "got"), (trial.expected, trial.got), strict=True)
        return lines + [(name, show.value(x)) for name, x in pair]
    if stage in (stages.finite, stages.values):
        tolerance = exercise.tolerance(case, trial.expected)
        told = getattr(
            exercise.observe, "__dict__", {}
        )  # of an answer of several tensors: how they are lined up
        lines += [("order", told.get("order", ""))] * ("order" in told)
        lines += show.rows(trial.expected, trial.got, *tolerance, told.get("parts", ()))
    return lines


def _chosen(exercise: Exercise) -> tuple[str, ...]:
    """The options of an exercise whose answer is one of some words, else none."""
    return getattr(exercise.observe, "options", ())


def _passes(trial: Trial) -> bool:
    return not any(stage(trial) for stage in STAGES)


def _pair(trial: Trial) -> diagnose.Pair:
    widths = [x.shape[-1] for x in trial.case.inputs if isinstance(x, Tensor) and x.dim()]
    tolerance = trial.exercise.tolerance(trial.case, trial.expected)
    # As numbers: torch refuses arithmetic on True and False.
    expected, got = (
        torch.atleast_1d(x.byte() if x.dtype == torch.bool else x)
        for x in (trial.expected, trial.value)
    )
    return diagnose.Pair(expected, got, (widths or [1])[0], *tolerance)


def _picture(trial: Trial, stage: Callable[[Trial], str]) -> str:
    """Both tables, where every row of an answer means the same."""
    exercise = trial.exercise
    if stage not in (stages.finite, stages.values) or exercise.judge is not None:
        return ""
    if hasattr(exercise.observe, "order"):
        return ""
    tolerance = exercise.tolerance(trial.case, trial.expected)
    return picture.picture(trial.expected, trial.value, *tolerance)


def _wrong(
    exercise: Exercise, mistake: str, message: str, evidence: str = "", picture: str = ""
) -> Verdict:
    return Verdict(
        exercise.title,
        False,
        message,
        mistake,
        evidence,
        picture=picture,
        working=exercise.reference,
    )
