"""What several exercises share: inputs, and how an answer that is no tensor becomes one."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from transformer_lab.exercises.exercise import Unfit, as_tensor, kind_of

Observe = Callable[[tuple[Any, ...], Any], Tensor]


def numbers(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal random numbers that depend on nothing but the seed and the shape."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype)


def strided(table: Tensor) -> Tensor:
    """The same numbers, every second place of a larger block: not contiguous."""
    return table.repeat_interleave(2, -1)[..., ::2]


def as_number(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """One number, int, float or a tensor of one, as float64: whole numbers up to 2**53 are exact.

    For exact counts give the exercise atol=0.4 and its cases rtol=0.
    """
    if hasattr(output, "item") and getattr(output, "size", None) == 1:  # NumPy
        output = output.item()
    if isinstance(output, Tensor) and output.numel() == 1 and not output.is_complex():
        output = output.item()
    if isinstance(output, bool) or not isinstance(output, (int, float)):
        if output is None:
            as_tensor(inputs, output)  # says that a return is missing
        kind = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"{output!r:.40}"
        raise Unfit(f"Your function returns {kind}; expected one number.")
    return torch.tensor(float(output), dtype=torch.float64)


def as_choice(*options: str) -> Observe:
    """For "name the bug": the answer must be one of the options; compared by its place."""

    def observe(inputs: tuple[Any, ...], output: Any) -> Tensor:
        if output not in options:
            raise Unfit(f"Your function returns {output!r}; expected one of {list(options)}.")
        return torch.tensor(float(options.index(output)))

    vars(observe)["options"] = options  # so that the evidence shows the word, not its number
    return observe


def parts_of(inputs: tuple[Any, ...], output: Iterable[Any], *names: str) -> list[Tensor]:
    """The tensors of an answer of several; what is none is called by its name."""
    for name, part in zip(names, output, strict=True):
        if not isinstance(part, Tensor):
            raise Unfit(f"Your `{name}` is {kind_of(part)}; expected a tensor.")
    return [as_tensor(inputs, part) for part in output]


def several(*names: str) -> Observe:
    """A tuple of tensors with these names, as one row of their shapes and numbers."""

    def observe(inputs: tuple[Any, ...], output: Any) -> Tensor:
        if not isinstance(output, (tuple, list)) or len(output) != len(names):
            raise Unfit(f"Return {len(names)} tensors: `return {', '.join(names)}`.")
        parts = parts_of(inputs, output, *names)
        wide = torch.promote_types(torch.float32, parts[0].dtype)
        shapes = [torch.tensor([*part.shape, -1], dtype=wide) for part in parts]
        return torch.cat([*shapes, *(part.flatten().to(wide) for part in parts)])

    return observe


def logit(share: float) -> float:
    """The inverse of the sigmoid."""
    return math.log(share / (1 - share))
