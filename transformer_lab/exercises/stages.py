"""The order in which one call of a learner's function is looked at.

A stage says in one sentence what is wrong with a trial, or "". It may rely on the stages before it.
The engine grows by a function here and its name in STAGES.
"""

from dataclasses import dataclass

from torch import Tensor

from transformer_lab.exercises import diagnose, show
from transformer_lab.exercises.exercise import Case, Exercise
from transformer_lab.exercises.sandbox import ROOM, Failure

SECONDS = 5.0  # for all calls of one check together


@dataclass(frozen=True)
class Trial:
    """One case: what was expected, what the learner's function gave, which input it changed."""

    exercise: Exercise
    case: Case
    expected: Tensor
    got: Tensor | Failure
    changed: str
    expected_slope: Tensor | Failure | None = None  # where the exercise compares gradients
    slope: Tensor | Failure | None = None

    @property
    def value(self) -> Tensor:
        """The result, after the stages that make sure there is one."""
        assert isinstance(self.got, Tensor)
        return self.got

    @property
    def right(self) -> bool:
        if self.exercise.judge is not None and isinstance(self.got, Tensor):
            return not self.exercise.judge(self.case.inputs, self.got)
        return self.equals(self.got, self.expected)

    def equals(self, one: Tensor | Failure, other: Tensor | Failure) -> bool:
        """Equal within the tolerance of this case; errors of one type count as equal."""
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            return diagnose.near(one, other, *self.exercise.tolerance(self.case, self.expected))
        if isinstance(one, Failure) and isinstance(other, Failure):
            if one.kind == other.kind == "raised":
                return one.text.split(":")[0] == other.text.split(":")[0]
            return one == other
        return False


def memory(trial: Trial) -> str:
    if not isinstance(trial.got, Failure) or trial.got.kind != "memory":
        return ""
    return (
        f"Your function asked for more than {ROOM // 2**30} GB of memory and was stopped. Is a "
        "tensor far larger than you meant, or does a list grow without end?"
    )


def timed(trial: Trial) -> str:
    if not isinstance(trial.got, Failure) or trial.got.kind != "time":
        return ""
    return (
        f"Your function was still running after {SECONDS:g} seconds and was stopped. "
        "Is there a loop that never ends?"
    )


def runs(trial: Trial) -> str:
    if not isinstance(trial.got, Failure) or trial.got.kind != "raised":
        return ""
    if trial.got.text.startswith("SystemExit"):
        return "Your function ends the program. Return the result instead."
    return f"Your function stops with an error. {trial.got.text}"


def returns(trial: Trial) -> str:
    return trial.got.text if isinstance(trial.got, Failure) else ""


def shape(trial: Trial) -> str:
    if trial.value.shape == trial.expected.shape:
        return ""
    got, expected = tuple(trial.value.shape), tuple(trial.expected.shape)
    if len(got) == len(expected) == 1:
        return f"Your result has length {got[0]}; expected {expected[0]}."
    return f"Your result has shape {got}; expected {expected}."


def dtype(trial: Trial) -> str:
    got, expected = trial.value, trial.expected
    if got.device != expected.device:
        return f"Your result is on {got.device}; expected {expected.device}, as the input is."
    if got.dtype == expected.dtype:
        return ""
    return (
        f"Your result is {show.plain(got.dtype)}; expected {show.plain(expected.dtype)}, as the "
        "input is. A tensor that you make yourself needs dtype=, taken from an input."
    )


def finite(trial: Trial) -> str:
    got = trial.value
    if bool(got.isfinite().all()):
        return ""
    kind = "NaN, which is not a number" if bool(got.isnan().any()) else "infinity"
    return f"Your result holds {kind}; expected finite numbers."


def values(trial: Trial) -> str:
    if trial.right:
        return ""
    judge = trial.exercise.judge
    return judge(trial.case.inputs, trial.value) if judge else "Some numbers differ."


def gradients(trial: Trial) -> str:
    if trial.slope is None or trial.expected_slope is None:
        return ""
    if isinstance(trial.slope, Failure):
        return f"Your result is right, but no gradient comes back from it. {trial.slope.text}"
    if trial.equals(trial.slope, trial.expected_slope):
        return ""
    if not bool(trial.slope.isfinite().all()):
        return "Your result is right, but its gradient is NaN or infinite: training stops there."
    return "Your result is right, but its gradient is not."


def untouched(trial: Trial) -> str:
    if not trial.changed:
        return ""
    return f"Your function changes its input {trial.changed!r}; the caller still needs it."


STAGES = (memory, timed, runs, returns, shape, dtype, finite, values, untouched, gradients)
