"""The my-code lens: the learner's function beside a reference, the first wrong matrix lit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import traitlets

from transformer_lab.instruments import lens_still, wire, words
from transformer_lab.instruments.base import Instrument
from transformer_lab.instruments.lens_stages import (
    Handed,
    Stage,
    attention_stages,
    collect,
    compare,
    size,
    unknown,
)

MOST, SLICES = 32, 64  # rows or columns of a matrix, and matrices of a stage
ACROSS_KEYS = {"scores", "scaled", "masked", "weights"}
EXAMPLE: dict[str, Any] = {
    "query": [[1.0, 0.5], [0.0, 2.0], [-1.5, 1.0]],
    "key": [[1.0, -0.5], [0.5, 1.0], [-1.0, 0.0], [0.0, 2.0]],
    "value": [[1.0, 0.0, 2.0], [0.0, 1.0, -1.0], [2.0, -1.0, 0.5], [-1.0, 3.0, 1.0]],
    "mask": [[True, True, False, False], [True, True, True, False], [True, True, True, True]],
}  # fmt: skip


class CodeLens(Instrument):
    """The learner's attention, stage by stage, beside the reference.

    learner: a function that returns a dictionary of the stages it wants to see, named as the
    reference names them: {"scores": …, "scaled": …, "masked": …, "weights": …, "output": …}, some
    or all. It may also yield (name, tensor) pairs, which are kept if an error follows, or return
    the output alone; or `learner` is such a dictionary itself. reference: the package's attention,
    or anything of the same forms. inputs: named, given to both (query, key, value, mask, scale);
    those that the function does not name are left out. Without inputs: a small example.
    A learner's error is shown, not raised. Raises ValueError or TypeError for a reference that
    fails, and for matrices larger than 32 × 32.

    To read: passed; first_wrong (a stage's name, or ""); trouble (what stopped the function, or
    ""); differences {stage: largest difference, None if not handed over or of another shape}.
    Synced both ways: stage, the one that is shown. `show(learner)` runs another in the same view.
    """

    module = "lens.js"
    content = traitlets.Dict().tag(sync=True)
    stage = traitlets.Unicode("").tag(sync=True)
    passed = traitlets.Bool(False)
    first_wrong = traitlets.Unicode("")
    trouble = traitlets.Unicode("")
    differences: Any = traitlets.Dict()

    def __init__(
        self,
        learner: Any,
        reference: Callable[..., Any] | Mapping[str, Any] | None = None,
        *,
        tokens: Sequence[str] | None = None,
        looked_at: Sequence[str] | None = None,
        predict: tuple[str, Sequence[str]] | None = None,
        title: str | None = None,
        group: str = "",
        **inputs: Any,
    ) -> None:
        if not inputs and reference is None:
            if not callable(learner):
                raise ValueError("inputs are missing: give query, key and value, or a reference")
            inputs = dict(EXAMPLE)
        self._inputs = {name: _tensor(name, x) for name, x in inputs.items() if x is not None}
        self._title = wire.text(title or "", "title")
        self._tokens = [wire.text(t) for t in tokens or ()]
        looked_at = tokens if looked_at is None else looked_at
        self._looked = [wire.text(t, "looked_at") for t in looked_at or ()]
        self._theirs = self._reference(reference)
        super().__init__(predict, group=group)
        self.show(learner)

    def _reference(self, reference: Any) -> dict[str, Any]:
        if reference is None:
            allowed = ("query", "key", "value", "mask", "scale")
            extra = [name for name in self._inputs if name not in allowed]
            missing = [name for name in allowed[:3] if name not in self._inputs]
            if extra or missing:
                raise ValueError(
                    f"inputs {list(self._inputs)}; the package's attention takes query, key, "
                    "value, mask and scale, and needs the first three"
                )
            for name in allowed[:3]:
                if not isinstance(self._inputs[name], torch.Tensor):
                    raise TypeError(f"{name} must hold numbers, not {self._inputs[name]!r}")
                if not self._inputs[name].is_floating_point():
                    self._inputs[name] = self._inputs[name].float()
            reference = attention_stages(**self._inputs)
        found = collect(reference, self._inputs, "output")
        if found.trouble:
            raise ValueError(f"the reference fails: {found.trouble}")
        for name, values in found.stages.items():
            if max(values.shape[-2:]) > MOST or values.size > SLICES * MOST**2:
                raise ValueError(
                    f"stage {name!r} is {size(values.shape)}; expected at most {MOST} × {MOST}, "
                    f"{SLICES} of them"
                )
        return found.stages

    def show(self, learner: Any) -> None:
        """Runs another function, or takes other stages, in the same view."""
        self._handed: Handed = collect(learner, self._inputs, list(self._theirs)[-1])
        self._stages: list[Stage] = compare(self._handed.stages, self._theirs)
        self._notes = " ".join(
            note for note in (unknown(self._handed.stages, self._theirs), self._handed.note) if note
        )
        wrong = [stage.name for stage in self._stages if stage.status in ("differs", "shape")]
        there = [stage.name for stage in self._stages if stage.status != "absent"]
        with self.hold_sync():
            self.first_wrong = wrong[0] if wrong else ""
            self.trouble = self._handed.trouble
            last = self._stages[-1].status == "equal"
            self.passed = bool(there) and not wrong and not self.trouble and last
            self.differences = {
                s.name: s.difference if s.status in ("equal", "differs") else None
                for s in self._stages
            }
            self.content = self._content()
            self.stage = self.first_wrong or (there or [self._stages[0].name])[-1]

    @traitlets.validate("stage")
    def _exists(self, proposal: Any) -> str:
        known = [stage.name for stage in self._stages]
        if proposal.value not in known:
            raise ValueError(f"stage = {proposal.value!r}; expected one of {', '.join(known)}")
        return str(proposal.value)

    def labels(self, stage: Stage) -> tuple[list[str], list[str]]:
        """Names for the rows and columns of the reference: tokens where they fit, else numbers."""
        T, S = stage.theirs.shape[-2:]
        rows = self._tokens if len(self._tokens) == T else [str(i) for i in range(T)]
        along = len(self._looked) == S and stage.name in ACROSS_KEYS
        return list(rows), list(self._looked) if along else [str(i) for i in range(S)]

    def place(self, stage: Stage, at: Sequence[int]) -> str:
        """'weights[“it”, “cat”]', with the numbers of a batch and a head before."""
        rows, columns = self.labels(stage)
        named = [
            words.names(n) if n != [str(i) for i in range(len(n))] else n for n in (rows, columns)
        ]
        return (
            f"{stage.name}[{', '.join([*map(str, at[:-2]), named[0][at[-2]], named[1][at[-1]]])}]"
        )

    def _content(self) -> dict[str, Any]:
        stages = []
        for stage in self._stages:
            rows, columns = self.labels(stage)
            mine = stage.mine
            small = (
                mine is not None and max(mine.shape[-2:]) <= MOST and mine.size <= SLICES * MOST**2
            )
            stages.append(
                {
                    "name": wire.text(stage.name),
                    "status": stage.status,
                    "hint": stage.hint,
                    "shape": list(stage.theirs.shape),
                    "theirs": _bytes(stage.theirs),
                    "mine": _bytes(mine) if small else None,
                    "mine_shape": None if mine is None else list(mine.shape),
                    "wrong": None if stage.wrong is None else wire.pack_mask(stage.wrong),
                    "worst": list(stage.worst),
                    "rows": rows,
                    "columns": columns,
                    "shares": lens_still.shares(stage.theirs),
                    "allowed": self._allowed(stage),
                }
            )
        return {
            "title": self._title,
            "stages": stages,
            "first": self.first_wrong,
            "trouble": wire.text(self._handed.trouble),
            "notes": wire.text(self._notes),
            "said": self.describe(),
        }

    def _allowed(self, stage: Stage) -> bytes | None:
        """Which cells the mask allows, for the stages after it; from the reference's own −∞."""
        masked = self._theirs.get("masked")
        after = stage.name in ("masked", "weights")
        if not after or masked is None or masked.shape != stage.theirs.shape:
            return None
        return wire.pack_mask(~np.isneginf(masked))

    def describe(self) -> str:
        return " ".join(filter(None, [self.trouble, self._verdict(), self._notes]))

    def _verdict(self) -> str:
        there = [stage for stage in self._stages if stage.status != "absent"]
        if not there:
            return ""
        if not self.first_wrong:
            if not self.trouble and self._stages[-1].status == "equal":
                return f"Your function agrees with the reference in {_many(len(there))}."
            return f"So far it agrees: {', '.join(stage.name for stage in there)}."
        first = next(stage for stage in self._stages if stage.name == self.first_wrong)
        if first.status == "shape":
            return f"The first wrong matrix is {first.name}. {first.hint}"
        assert first.mine is not None
        yours, theirs = first.mine[first.worst], first.theirs[first.worst]
        where = self.place(first, first.worst)
        return (
            f"The first wrong matrix is {first.name}. {first.hint} It differs most at {where}: "
            f"yours {lens_still.number(yours)}, reference {lens_still.number(theirs)}."
        )

    def picture(self) -> bytes:
        shown = next(stage for stage in self._stages if stage.name == self.stage)
        return lens_still.picture(
            self._stages,
            shown,
            self.labels(shown),
            self._title,
            bool(self.trouble),
            self.first_wrong,
        )


def _many(count: int) -> str:
    return "its output" if count == 1 else f"all {count} stages it hands over"


def _bytes(values: Any) -> bytes:
    with np.errstate(over="ignore"):
        return values.astype("<f4").tobytes()  # NaN and infinity travel too


def _tensor(name: str, values: Any) -> Any:
    """Lists and arrays become tensors; a single number stays one."""
    if isinstance(values, (bool, int, float, str)) or callable(values):
        return values
    if isinstance(values, torch.Tensor):
        return values.detach()
    found = torch.from_numpy(np.array(wire.array(values, name)))
    return found.float() if found.is_floating_point() else found
