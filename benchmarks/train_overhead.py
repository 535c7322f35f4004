"""What train() costs beside the loop that you would write yourself, per step.

    python benchmarks/train_overhead.py [rounds]

Milliseconds, medians of interleaved steps on 2 threads: the same model, batch and AdamW, gradient
clipping and the loss read out on both sides. Then, for train() alone, the cost of one checkpoint.
"""

import copy
import sys
import tempfile
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import torch
from _rounds import medians
from torch import Tensor, nn

from transformer_lab.config import ModelConfig
from transformer_lab.models import LanguageModel
from transformer_lab.resuming import save_run
from transformer_lab.training import next_token_loss, train, weight_groups

SHAPES = [(2, 4, 64, 16, 16), (4, 4, 128, 12, 64), (6, 6, 384, 8, 256)]  # L, H, D, B, T


def bare(model: nn.Module, batch: Tensor) -> Callable[[], object]:
    optimiser = torch.optim.AdamW(weight_groups(model, 0.01), lr=1e-3, fused=True)
    model.train()

    def step() -> float:
        optimiser.zero_grad()
        loss = next_token_loss(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return loss.item()

    return step


def saving(model: nn.Module, file: Path) -> float:
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    return medians({"save": lambda: save_run(file, model, optimiser, 1)}, 5)["save"]


if __name__ == "__main__":
    torch.set_num_threads(2)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    print(f"{'shape L×H×D, B×T':22} {'bare ms':>8} {'train ms':>9} {'ratio':>6} {'save ms':>8}")
    for L, H, D, B, T in SHAPES:
        model = LanguageModel(ModelConfig(65, d_model=D, n_heads=H, n_layers=L, max_len=T))
        batch = torch.randint(0, 65, (B, T + 1))
        steps = train(copy.deepcopy(model), repeat(batch), rounds + 5)
        calls = {"bare": bare(model, batch), "train": lambda steps=steps: next(steps)}
        mine, ours = medians(calls, rounds, unmeasured=3).values()
        with tempfile.TemporaryDirectory() as folder:
            save = saving(model, Path(folder) / "run.safetensors")
        shape = f"{L}×{H}×{D}, {B}×{T}"
        print(f"{shape:22} {mine:8.2f} {ours:9.2f} {ours / mine:6.3f} {save:8.1f}")
