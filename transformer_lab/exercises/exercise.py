"""What an exercise is made of. A lesson's file fills these in; `engine.py` reads them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Unfit(Exception):
    """An answer of the wrong kind; the message tells the learner what was expected."""


class Case(NamedTuple):
    """One call of the learner's function; `name` says what is special about its inputs."""

    name: str
    inputs: tuple[Any, ...]
    rtol: float | None = None  # None: by dtype


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that learners give, as code with the exercise's signature, and its hint."""

    name: str
    code: Callable[..., Any]
    hint: str


def as_tensor(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """What a plain exercise compares: the output itself, which must be a tensor."""
    if output is None:
        raise Unfit("Your function returns nothing. Is the `return` missing?")
    if not isinstance(output, Tensor):
        raise Unfit(f"Your function returns {kind_of(output)}; expected a tensor.")
    if output.layout != torch.strided or output.is_nested or output.is_quantized:
        raise Unfit("Your function returns a tensor of a special kind; expected an ordinary one.")
    return output.detach()


@dataclass(frozen=True)
class Exercise:
    """One exercise, whole.

    cases() makes fresh, equal inputs at every call. observe(inputs, output) turns an answer into
    the tensor that is compared, or raises Unfit. judge(inputs, observed), where several answers are
    right, replaces the comparison: "", or a sentence that says what is wrong.
    """

    id: str
    lesson: str
    title: str
    minutes: int
    difficulty: int
    prompt: str
    reference: Callable[..., Any]
    cases: Callable[[], list[Case]]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    source: tuple[Callable[..., Any], ...] = ()  # what reveal shows; () is the reference
    observe: Callable[[tuple[Any, ...], Any], Tensor] = as_tensor
    judge: Callable[[tuple[Any, ...], Tensor], str] | None = None
    atol: float | None = None  # None: by dtype
    gradients: bool = False  # the gradients to the floating-point inputs are compared as well

    def __post_init__(self) -> None:
        if not 1 <= self.difficulty <= 3:
            raise ValueError(f"difficulty of {self.id} must be 1, 2 or 3, got {self.difficulty}")
        if not 1 <= len(self.hints) <= 3:
            raise ValueError(f"{self.id} must have 1 to 3 hints, got {len(self.hints)}")

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what the function takes, in order."""
        return tuple(inspect.signature(self.reference).parameters)

    @property
    def signature(self) -> str:
        """The parameters as a learner would write them: "(scores, dim=-1)"."""
        parameters = inspect.signature(self.reference).parameters.values()
        shown = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        return str(inspect.Signature(shown))

    def tolerance(self, case: Case, expected: Tensor) -> tuple[float, float]:
        """(relative, absolute): room for rounding in another order, for nothing else."""
        exact = expected.dtype == torch.float64
        rtol = case.rtol if case.rtol is not None else (1e-9 if exact else 1e-4)
        atol = self.atol if self.atol is not None else (1e-11 if exact else 1e-6)
        return rtol, atol

    def __repr__(self) -> str:
        return f"{self.id}{self.signature}: {self.title}, {self.minutes} minutes"

    def _repr_markdown_(self) -> str:
        dots = "●" * self.difficulty + "○" * (3 - self.difficulty)
        return f"### Exercise · {self.title} ({self.minutes} minutes, {dots})\n{self.prompt}"


def kind_of(value: Any) -> str:
    name = type(value).__name__
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a value of type {name}"
