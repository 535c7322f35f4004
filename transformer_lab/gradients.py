"""The loss and the gradient of one update: over several batches and processes, or in bfloat16."""

import platform
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from transformer_lab import distributed

Loss = Callable[[nn.Module, Any], Tensor | tuple[Tensor, int]]


def mean_gradient(
    model: nn.Module, batches: Iterable[Any], loss: Loss, bf16: bool = False
) -> tuple[float, int]:
    """Put the gradient of the mean loss over all batches into .grad; returns mean and count.

    loss(model, batch) is a pair (sum, count): all sums are divided once by all counts, so that a
    token weighs the same wherever it stands. A bare mean counts as 1. Each process takes its rows
    of every batch, and all of them end with the same gradient.
    Raises TypeError for a loss of another kind and ValueError when nothing was counted.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    device = parameters[0].device
    total = count = 0.0
    for parameter in parameters:
        parameter.grad = None
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            given = loss(model, distributed.share(batch))
        value, size = given if isinstance(given, tuple) else (given, 1)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise TypeError(
                f"loss must give a tensor with one number, or a pair (sum, count) of such a tensor "
                f"and a whole number, got {given!r}"
            )
        value.backward()
        total, count = total + value.item(), count + int(size)
    total, count = distributed.add_up(parameters, total, count)
    if not count:
        raise ValueError("batch must hold a token to learn from, got nothing but padding")
    if count != 1:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad /= count
    return total / count, int(count)


def has_bf16(device: torch.device) -> bool:
    """Whether this processor multiplies bfloat16 matrices itself, instead of emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    if platform.machine().lower() in ("arm64", "aarch64"):  # torch.cpu asks x86 alone
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()
