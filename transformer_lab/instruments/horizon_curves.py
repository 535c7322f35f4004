"""The curves of the gradient horizon: what reaches back through T steps, for each cell.

A setting is (cell, gain, forget bias). A curve is log10 of the gradient's norm at lag 0..T-1,
relative to lag 0, one row for each seed. The curves of a coarse grid of settings are kept beside
this file, so that an exported page can answer without a kernel. After a change of a cell:

    python -m transformer_lab.instruments.horizon_curves
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention
from transformer_lab.rnn import Cell, GRUCell, LSTMCell, RNNCell, fused, gradient_by_lag

Setting = tuple[str, float, float]
Logs = NDArray[np.float32]

T, WIDTH, HEADS, SEEDS = 100, 64, 4, (0, 1, 2)
FORGETFUL, ATTENTION = "LSTM + forget bias", "attention"
CELLS = ("tanh", "orthogonal tanh", "orthogonal ReLU", "GRU", "LSTM", FORGETFUL, ATTENTION)
GAIN, BIAS = (0.5, 2.0), (0.0, 5.0)  # what may be asked for
GAINS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # what is kept
BIASES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
FLOOR = float(np.log10(2.0**-149))  # the smallest number of float32: 1.4e-45
UNDER = -99.0  # stands for an exact 0, which has no logarithm
GRID = Path(__file__).with_name("horizon_grid.bin")


class Fused(nn.Module):
    """A cell over time by torch's own layer: the same states as `unroll`, sooner."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # the layer draws weights, and they are replaced
            self.layer = fused(cell).requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)[0]


def setting(cell: str, gain: float, forget_bias: float) -> Setting:
    """The setting without what this cell has no use for."""
    bias = forget_bias if cell == FORGETFUL else 0.0
    return (cell, 1.0 if cell == ATTENTION else round(gain, 4), round(bias, 4))


def build(cell: str, gain: float, bias: float) -> nn.Module:
    """The cell itself, new weights from torch's random state; attention has no recurrent matrix."""
    if cell == ATTENTION:
        return MultiHeadAttention(WIDTH, HEADS).requires_grad_(False)
    if cell in ("tanh", "orthogonal tanh"):
        return RNNCell(WIDTH, WIDTH, "uniform" if cell == "tanh" else "orthogonal", gain)
    if cell == "orthogonal ReLU":
        return RNNCell(WIDTH, WIDTH, "orthogonal", gain, "relu")
    if cell == "GRU":
        return GRUCell(WIDTH, WIDTH, gain=gain)
    forget_bias = bias if cell == FORGETFUL else None
    return LSTMCell(WIDTH, WIDTH, gain=gain, forget_bias=forget_bias)


@lru_cache(maxsize=256)
def measure(cell: str, gain: float, bias: float) -> Logs:
    """(seeds, T): the curves of this setting, by back-propagation, now."""

    def make() -> nn.Module:
        model = build(cell, gain, bias)
        return Fused(model) if isinstance(model, Cell) else model

    norms = gradient_by_lag(make, T, SEEDS, WIDTH).numpy()
    logs = np.full(norms.shape, UNDER)
    np.log10(norms, out=logs, where=norms > 0)
    return logs.astype(np.float32)


def kept() -> list[Setting]:
    """The settings of the grid, in the order of the file."""
    return [
        (cell, gain, bias)
        for cell in CELLS
        for gain in ((1.0,) if cell == ATTENTION else GAINS)
        for bias in (BIASES if cell == FORGETFUL else (0.0,))
    ]


@lru_cache(maxsize=1)
def grid() -> dict[Setting, Logs]:
    """The kept curves."""
    settings = kept()
    numbers = np.frombuffer(GRID.read_bytes(), "<f4").reshape(len(settings), len(SEEDS), T)
    return dict(zip(settings, numbers, strict=True))


def known(of: Setting) -> Logs:
    """The kept curve where there is one, else measured now."""
    found = grid().get(of)
    return measure(*of) if found is None else found


if __name__ == "__main__":
    torch.set_num_threads(1)
    GRID.write_bytes(np.stack([measure(*of) for of in kept()]).astype("<f4").tobytes())
    print(f"{GRID.name}: {len(kept())} settings, {GRID.stat().st_size:,} bytes")
