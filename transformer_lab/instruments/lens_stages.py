"""Run a learner's function, take the stages it hands over, and compare them with a reference's.

A stage is a named matrix on the way: scores, weights, output. Handed over as one of
    {"scores": scores, "weights": weights, "output": output}    a dictionary, some or all of them
    yield "scores", scores                                       pairs: kept if an error follows
    output                                                       one tensor: the last stage
or as a named tuple.
"""

import difflib
import inspect
import linecache
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer_lab.attention import attention_weights

ABSOLUTE, RELATIVE = 1e-5, 1e-4  # what still counts as equal
NEVER = -1e4  # as good as −∞ in a masked score: e to it is 0
Array = NDArray[np.float64]


def attention_stages(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> dict[str, Tensor]:
    """The package's own attention, stage by stage; forbidden scores are -inf."""
    weights = attention_weights(query, key, mask, scale)
    scores = query @ key.transpose(-2, -1)
    scaled = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    masked = scaled if mask is None else scaled.masked_fill(~mask, -torch.inf)
    return {
        "scores": scores,
        "scaled": scaled,
        "masked": masked,
        "weights": weights,
        "output": weights @ value,
    }


class Unfit(Exception):
    """What was handed over cannot be compared; the message says it to the learner."""


@dataclass(frozen=True)
class Handed:
    """The stages of one run, what went wrong in it ("" if nothing), and what to know beside."""

    stages: dict[str, Array]
    trouble: str = ""
    note: str = ""


def collect(given: Any, inputs: Mapping[str, Any], last: str) -> Handed:
    """Calls a function with those inputs it asks for, or takes its result; never raises for it."""
    stages: dict[str, Array] = {}
    note = ""
    try:
        result = given
        if callable(given):
            arguments, note = _arguments(given, inputs)
            result = given(**arguments) if isinstance(arguments, dict) else given(*arguments)
        for name, values in _pairs(result, last):
            stages[name] = _array(name, values)
    except Unfit as problem:
        return Handed(stages, str(problem), note)
    except Exception as error:
        return Handed(stages, _stopped(error, given), note)
    return Handed(stages, "" if stages else "Your function hands over no stage.", note)


def _arguments(
    function: Callable[..., Any], inputs: Mapping[str, Any]
) -> tuple[dict[str, Any] | list[Any], str]:
    """Copies, by name where the function knows the names, else one after the other."""
    copies = {n: x.clone() if isinstance(x, Tensor) else x for n, x in inputs.items()}
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return list(copies.values()), ""
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return copies, ""
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p.name for p in parameters if p.default is p.empty and p.name in known]
    left = [name for name in copies if name not in known]
    if set(needed) <= set(copies):
        note = f"Your function takes no {' and no '.join(left)}." if left else ""
        return {name: x for name, x in copies.items() if name in known}, note
    return list(copies.values())[: len(known)], ""


def _pairs(result: Any, last: str) -> Iterator[tuple[str, Any]]:
    """The named stages in what was handed over, one after the other."""
    if result is None:
        raise Unfit("Your function gives back None. Does it end with `return`?")
    if isinstance(result, Mapping):
        yield from result.items()
    elif hasattr(result, "_fields"):
        yield from zip(result._fields, result, strict=True)
    elif isinstance(result, Sequence) and _unnamed(result):
        raise Unfit(
            f"You hand over {len(result)} tensors without names. Hand over a dictionary, such as "
            '{"weights": weights, "output": output}.'
        )
    elif isinstance(result, Iterator) or (isinstance(result, Sequence) and _named(result)):
        for pair in result:
            if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
                raise Unfit('Each `yield` needs a name and a tensor: yield "scores", scores')
            yield pair
    else:
        yield last, result


def _unnamed(result: Sequence[Any]) -> bool:
    return len(result) > 0 and all(isinstance(x, (Tensor, np.ndarray)) and x.ndim for x in result)


def _named(result: Sequence[Any]) -> bool:
    return len(result) > 0 and isinstance(result[0], tuple) and isinstance(result[0][0], str)


def _array(name: Any, values: Any) -> Array:
    """Numbers of any kind as float64; a row gets one axis more. NaN and infinity stay."""
    if not isinstance(name, str):
        raise Unfit(f'The stage {name!r} needs a name in quotes, such as "scores".')
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float().numpy() if values.is_floating_point() else values.numpy()
    try:
        found = np.asarray(values)
    except ValueError:
        raise Unfit(f"Stage “{name}” is no full rectangle of numbers.") from None
    if found.dtype.kind not in "bfiu" or not found.size:
        kind = type(values).__name__ if found.dtype.kind not in "bfiuc" else found.dtype
        raise Unfit(f"Stage “{name}” is {'empty' if not found.size else kind}, not numbers.")
    return np.atleast_2d(found.astype(np.float64))


def _stopped(error: Exception, given: Any) -> str:
    """Where a function stopped, what its line reads, and the shapes of what stands in it."""
    kind, text = type(error).__name__, str(error).strip().partition("\n")[0][:200]
    if isinstance(error, NotImplementedError):
        return "Not written yet."
    code = getattr(inspect.unwrap(given) if callable(given) else given, "__code__", None)
    code = code or getattr(given, "gi_code", None)
    trace, place = error.__traceback__, None
    while trace is not None:
        if code is not None and trace.tb_frame.f_code.co_filename == code.co_filename:
            place = trace
        trace = trace.tb_next
    said = f"{kind}: {text}" if text else kind
    if place is None or code is None:
        return f"Your function could not be run. {said}"
    frame = place.tb_frame
    line = linecache.getline(code.co_filename, place.tb_lineno).strip()
    where = f"line {place.tb_lineno - frame.f_code.co_firstlineno + 1}"
    where += "" if frame.f_code is code else f" of {frame.f_code.co_name}"
    shapes = [
        f"{name} is {size(value.shape)}"
        for name, value in frame.f_locals.items()
        if isinstance(value, Tensor) and name in _names_in(line)
    ]
    there = f" There, {', '.join(shapes)}." if shapes else ""
    return f"Your function stopped in {where}: `{line}` {said}.{there}".replace("..", ".")


def _names_in(line: str) -> set[str]:
    word = "".join(c if c.isalnum() or c == "_" else " " for c in line)
    return set(word.split())


def size(shape: Sequence[int]) -> str:
    """(2, 3, 4) -> "2 × 3 × 4"."""
    return " × ".join(map(str, shape)) or "one number"


@dataclass(frozen=True)
class Stage:
    """One stage of both: status is "equal", "differs", "shape" or "absent"."""

    name: str
    theirs: Array
    mine: Array | None = None
    status: str = "absent"
    wrong: NDArray[np.bool_] | None = None  # cells that differ
    worst: tuple[int, ...] = ()  # where the difference is largest
    difference: float = 0.0  # there; infinite where yours is NaN or infinite
    hint: str = ""


def compare(mine: Mapping[str, Array], theirs: Mapping[str, Array]) -> list[Stage]:
    """Each stage of the reference, in its order."""
    return [_stage(name, mine.get(name), theirs[name]) for name in theirs]


def unknown(mine: Mapping[str, Array], theirs: Mapping[str, Array]) -> str:
    """A sentence on names that the reference does not have, or ""."""
    said = []
    for name in mine:
        if name not in theirs:
            near = difflib.get_close_matches(name, theirs, 1)
            ask = f"did you mean “{near[0]}”?" if near else f"the stages are {', '.join(theirs)}."
            said.append(f"“{name}” is no stage of the reference: {ask}")
    return " ".join(said)


def _stage(name: str, mine: Array | None, theirs: Array) -> Stage:
    if mine is None:
        return Stage(name, theirs, hint=f"Not handed over. Name it “{name}” to see it here.")
    if mine.shape != theirs.shape:
        ours, other = size(mine.shape), size(theirs.shape)
        turned = mine.shape[-2:] == theirs.shape[-2:][::-1] and mine.ndim == theirs.ndim
        more = ": rows and columns are exchanged." if turned else "."
        return Stage(
            name, theirs, mine, "shape", hint=f"Yours is {ours}, the reference {other}{more}"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        same = (mine == theirs) | (np.isneginf(theirs) & (mine <= NEVER))
        gap = np.where(same, 0.0, abs(mine - theirs))
    gap = np.where(np.isnan(gap), np.inf, gap)
    wrong = gap > ABSOLUTE + RELATIVE * np.where(np.isfinite(theirs), abs(theirs), 0)
    worst = tuple(int(i) for i in np.unravel_index(int(gap.argmax()), gap.shape))
    if not wrong.any():
        return Stage(name, theirs, mine, "equal", wrong, worst, float(gap.max()))
    hint = _hint(mine, theirs, wrong)
    return Stage(name, theirs, mine, "differs", wrong, worst, float(gap.max()), hint)


def _near(one: Array, other: Any) -> bool:
    return bool(np.allclose(one, other, rtol=RELATIVE, atol=ABSOLUTE))


def _hint(mine: Array, theirs: Array, wrong: NDArray[np.bool_]) -> str:
    """What the difference looks like, as far as it looks like something; never the answer."""
    if count := int(np.isnan(mine).sum()):
        return f"{count} of your {mine.size} numbers are NaN: not a number."
    forbidden = np.isneginf(theirs)
    if (wrong <= forbidden).all():
        return "Only cells that the mask forbids differ: the reference has −∞ there."
    if (forbidden & ~wrong).sum() < forbidden.sum() and np.isneginf(mine).any():
        return "Other cells are forbidden than in the reference."
    if np.isfinite(mine).all() and np.isfinite(theirs).all():
        if mine.shape[-1] == mine.shape[-2] and _near(mine, theirs.swapaxes(-1, -2)):
            return "Yours is the reference with rows and columns exchanged."
        factor = float((mine * theirs).sum() / max(float((theirs**2).sum()), 1e-30))
        if abs(factor) > 1e-6 and _near(mine, factor * theirs):
            return f"Every number of yours is {factor:.3g} times the reference’s."
        apart = float((mine - theirs).mean())
        if _near(mine, theirs + apart):
            more = "more" if apart > 0 else "less"
            return f"Every number of yours is {abs(apart):.3g} {more} than the reference’s."
        rows, columns = mine.sum(-1), mine.sum(-2)
        if _near(theirs.sum(-1), 1) and not _near(rows, 1):
            if _near(columns, 1):
                return "Your columns sum to 1; the reference’s rows do."
            return f"Your rows do not sum to 1: the first sums to {rows.reshape(-1)[0]:.3g}."
        if (wrong <= (theirs == 0)).all():
            return "Only cells differ in which the reference is 0."
    lines = wrong.reshape(-1, wrong.shape[-1]).any(-1)
    if 1 == lines.sum() < lines.size:
        return "Only one row differs."
    return f"{int(wrong.sum())} of {wrong.size} numbers differ."
