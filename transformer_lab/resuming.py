"""A training run on disk: weights, optimiser, step and random states in one safetensors file.

What continues from the file equals, bit for bit, what would have gone on without a stop.
"""

import json
import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from transformer_lab import distributed
from transformer_lab.checkpoints import read_safetensors, write_safetensors


def save_run(path: str | Path, model: nn.Module, optimiser: Optimizer, step: int) -> None:
    """Write the run after `step` updates. The file appears whole, or the old one stays.

    Kept random states: torch's, of each process, and Python's, of process 0, which alone writes;
    NumPy's is not. Every process must call this.
    """
    device = next(model.parameters()).device
    tensors = {f"model.{name}": tensor for name, tensor in _weights(model).items()}
    for name, parameter in model.named_parameters():
        for entry, tensor in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{name}.{entry}"] = tensor
    for kind, state in _random_states(device).items():
        tensors[f"random.{kind}"] = distributed.gather(state.to(device))
    if distributed.rank() == 0:
        about = {"run": json.dumps({"step": step, "random": random.getstate()})}
        write_safetensors(Path(path), tensors, about)
    distributed.wait()


def steps_done(path: str | Path) -> int:
    """How many updates the run in this file has behind it; 0 when there is no file yet."""
    return _read(Path(path))[1]["step"] if Path(path).exists() else 0


def load_run(path: str | Path, model: nn.Module, optimiser: Optimizer) -> None:
    """Give the model, its optimiser and this process's random states what save_run kept.

    Raises FileNotFoundError without a file, and ValueError, naming it, for a damaged one, one that
    save_run did not write, one of another model or of another number of processes. Nothing has
    changed then.
    """
    path = Path(path)
    tensors, run = _read(path)
    kept: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}, "random": {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        kept[kind][rest] = tensor
    weights = _weights(model)
    ours, theirs = _shapes(weights), _shapes(kept["model"])
    wrong = [
        f"{name} is {theirs.get(name, 'missing')} there and {ours.get(name, 'missing')} here"
        for name in sorted(ours | theirs)
        if ours.get(name) != theirs.get(name)
    ]
    if wrong:
        raise ValueError(f"{path} is a run of another model: " + "; ".join(wrong[:5]))
    written_by = len(kept["random"]["cpu"])
    if written_by != distributed.world():
        raise ValueError(
            f"{path} was written by {written_by} processes and must be resumed by as many, got "
            f"{distributed.world()}"
        )
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(kept["model"][name])
    parameters = dict(model.named_parameters())
    for name, tensor in kept["optimiser"].items():
        owner, _, entry = name.rpartition(".")
        where = parameters[owner].device  # a copy: the tensor at hand is a window on the file
        optimiser.state[parameters[owner]][entry] = tensor.to(where, copy=True)
    for kind, states in kept["random"].items():
        state = states[distributed.rank()].clone()  # torch misreads a view
        (torch if kind == "cpu" else torch.get_device_module(kind)).set_rng_state(state)
    version, state, spare = run["random"]
    random.setstate((version, tuple(state), spare))


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and kept buffers by name, a shared one once."""
    kept = model.state_dict()
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.detach() for name, tensor in named if name in kept}


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    return states


def _shapes(tensors: dict[str, Tensor]) -> dict[str, str]:
    return {name: f"{tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors.items()}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, about = read_safetensors(path)
    if "run" not in about:
        raise ValueError(f"{path} holds no training run: train(checkpoint=...) did not write it")
    return tensors, json.loads(about["run"])
