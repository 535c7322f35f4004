"""A training script as you would write it; it runs the same alone and under torchrun.

torchrun --nproc-per-node 2 tests/parallel_run.py FOLDER
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from transformer_lab import distributed
from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder
from transformer_lab.training import Step, train


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """8 pairs a batch; the first rows have few real tokens, the last many."""
    generator = torch.Generator().manual_seed(1)
    while True:
        source = torch.randint(1, 20, (8, 5), generator=generator)
        target = torch.randint(1, 20, (8, 9), generator=generator)
        target[torch.arange(9) > torch.arange(1, 9)[:, None]] = 0
        yield source, target


def build(dropout: float, kind: torch.dtype) -> nn.Module:
    """Every process starts from other noise: train must take the weights of number 0."""
    torch.manual_seed(int(os.environ.get("RANK", "0")))
    return EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0, dropout=dropout)).to(kind)


def keep(folder: Path, name: str, model: nn.Module, steps: list[Step]) -> None:
    """One file of weights and one of steps for each process."""
    name = f"{name}-{distributed.rank()}"
    save_file(dict(model.named_parameters()), folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps([asdict(step) for step in steps]))


def main(folder: Path) -> None:
    for kind in (torch.float32, torch.float64):
        model = build(0.0, kind)
        keep(folder, str(kind)[-7:], model, list(train(model, batches(), 4, accumulate=2)))
    model = build(0.2, torch.float32)
    keep(folder, "whole", model, list(train(model, batches(), 5)))
    file = folder / "run.safetensors"
    for step in train(build(0.2, torch.float32), batches(), 5, checkpoint=file, save_every=2):
        if step.index == 2:
            break
    torch.manual_seed(distributed.rank() + 7)
    model = build(0.2, torch.float32)
    keep(folder, "resumed", model, list(train(model, batches(), 5, checkpoint=file, resume=True)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
