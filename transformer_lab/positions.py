"""How a model that sees a set of tokens is told their order."""

import torch
from torch import Tensor


def sinusoidal(length: int, d_model: int, base: float = 10_000.0) -> Tensor:
    """Waves of falling frequency, sine and cosine in turn: float (length, d_model).

    Row p holds sin(p / base^(2i/D)) in column 2i and the cosine in column 2i + 1.
    Vaswani et al. 2017, section 3.5. Raises ValueError when a size is below 1 or D is odd.
    """
    if length < 1 or d_model < 2 or d_model % 2:
        raise ValueError(
            f"sinusoidal needs length >= 1 and an even d_model >= 2, got length={length}, "
            f"d_model={d_model}"
        )
    position = torch.arange(length, dtype=torch.float64)[:, None]
    frequency = base ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angle = position * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float()
