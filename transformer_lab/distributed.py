"""Data parallel: the same script under torchrun, each process with its share of every batch.

    torchrun --nproc-per-node 2 script.py

Every process runs the script, so each is given the same batches (seed them) and takes its own rows
of each; the sums of gradients and losses are added over the processes before they are divided. The
weights start equal and stay equal, and the numbers are those of one process with the whole batch.
Processes that are seeded alike also draw the same dropout for their different rows.

Without torchrun there is one process, and everything here hands back what it was given.
"""

import atexit
import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def here() -> torch.device:
    """The device to put this process's model on: a GPU of its own where there are any."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def rank() -> int:
    """The number of this process, from 0. Number 0 is the one that should write and print."""
    return dist.get_rank() if _joined() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _joined() else 1


def join(model: nn.Module, device: torch.device) -> None:
    """Meet the other processes that torchrun started, once, and take the model of number 0."""
    if dist.is_available() and dist.is_torchelastic_launched() and not _joined():
        gpu = device.type == "cuda"
        dist.init_process_group("nccl" if gpu else "gloo", device_id=device if gpu else None)
        atexit.register(_leave)
    if world() > 1:
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor.detach(), 0)


def share(batch: Any) -> Any:
    """This process's rows: of B rows, number r of n takes r·B/n up to (r + 1)·B/n.

    batch is a tensor (B, ...), or a tuple, list or dict of such.
    Raises ValueError when the tensors do not all have B rows or n does not divide B, and TypeError
    for anything else than tensors.
    """
    if world() == 1:
        return batch
    sizes = set(_sizes(batch))
    if len(sizes) != 1 or 0 in sizes or sizes & {size for size in sizes if size % world()}:
        raise ValueError(
            f"batch must have one number of rows B, a multiple of the {world()} processes, in all "
            f"its tensors, got {sorted(sizes)}"
        )
    rows = sizes.pop() // world()
    return _cut(batch, slice(rank() * rows, (rank() + 1) * rows))


def add_up(parameters: list[nn.Parameter], *numbers: float) -> list[float]:
    """Sum every gradient, in place, and every number over the processes; returns the numbers."""
    if world() == 1:
        return list(numbers)
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    pieces = flat.split([gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))
    sums = torch.tensor(numbers, dtype=torch.float64, device=flat.device)
    dist.all_reduce(sums)
    return sums.tolist()


def gather(tensor: Tensor) -> Tensor:
    """The tensors of all processes, (...) -> (world, ...)."""
    if world() == 1:
        return tensor[None]
    found = [torch.empty_like(tensor) for _ in range(world())]
    dist.all_gather(found, tensor)
    return torch.stack(found)


def wait() -> None:
    """Go on when every process has come here."""
    if world() > 1:
        dist.barrier()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def _leave() -> None:
    if _joined():
        dist.destroy_process_group()


def _sizes(batch: Any) -> list[int]:
    if isinstance(batch, Tensor) and batch.dim():
        return [len(batch)]
    if isinstance(batch, tuple | list | dict):
        parts = batch.values() if isinstance(batch, dict) else batch
        return [size for part in parts for size in _sizes(part)]
    raise TypeError(
        f"batch must be a tensor with rows, or a tuple, list or dict of such, to be shared among "
        f"processes, got {type(batch).__name__}"
    )


def _cut(batch: Any, rows: slice) -> Any:
    if isinstance(batch, Tensor):
        return batch[rows]
    if isinstance(batch, dict):
        return {name: _cut(part, rows) for name, part in batch.items()}
    return tuple(_cut(part, rows) for part in batch)
