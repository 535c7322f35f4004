"""How a model that sees a set of tokens is told their order."""

from typing import NamedTuple

import torch
from torch import Tensor

from transformer_lab.bounds import check_number, whole
from transformer_lab.checks import check_tensor


class Places(NamedTuple):
    """What every self-attention of a model is told about positions; None where there is nothing.

    rotation: cosines and sines for rotate, each (T, d/2) or (B, 1, T, d/2). bias: (H, T, S), added
    to the scores.
    """

    rotation: tuple[Tensor, Tensor] | None = None
    bias: Tensor | None = None


NOWHERE = Places()


def sinusoidal(length: int, d_model: int, base: float = 10_000.0) -> Tensor:
    """Waves of falling frequency, sine and cosine in turn: float (length, d_model).

    Row p holds sin(p / base^(2i/D)) in column 2i and the cosine in column 2i + 1.
    Vaswani et al. 2017, section 3.5. Raises ValueError when a size is below 1 or D is odd.
    """
    angle = _angles(length, d_model, base, "d_model")
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float()


def rotary_table(length: int, d: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every rotation: two float (length, d/2), for rotate.

    Position p turns pair i by p / base^(2i/d). Raises ValueError for a length below 1 or odd d.
    """
    angle = _angles(length, d, base, "d")
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair of numbers by its angle: (..., T, d), (T, d/2), (T, d/2) -> (..., T, d).

    Number i is paired with number i + d/2, as in GPT-NeoX and Llama; the paper pairs neighbours,
    which is the same up to the order of a weight matrix's rows.
    """
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def rotary(x: Tensor, offset: int = 0, base: float = 10_000.0) -> Tensor:
    """Rotary positions on queries or keys: (..., T, d) -> (..., T, d); the first is `offset`.

    The product of two rotated vectors depends on their distance only. Su et al. 2021, section 3.2.
    """
    check_tensor("x", x)
    check_number("offset", offset, least=0, integer=True)
    if x.dim() < 2 or not x.is_floating_point() or not x.numel() or x.shape[-1] % 2:
        raise ValueError(
            f"x must be floating point of shape (..., T, d) with an even d, not empty, got "
            f"{x.dtype} of shape {tuple(x.shape)}"
        )
    cosine, sine = rotary_table(offset + x.shape[-2], x.shape[-1], base)
    return rotate(x, cosine[offset:].to(x), sine[offset:].to(x))


def alibi(n_heads: int, T: int, S: int | None = None) -> Tensor:
    """A penalty for distance, one slope a head, to be added to the scores: float (H, T, S).

    Head h subtracts 2^(−8h/H) per step, h = 1…H; the T queries are the last T of S positions.
    Press et al. 2022, section 3; for a number of heads that is no power of two, their code's rule.
    """
    S = T if S is None else S
    if not whole(T, S) or not 1 <= T <= S:
        raise ValueError(f"alibi needs whole numbers 1 <= T <= S, got T={T}, S={S}")
    distance = torch.arange(S)[None, :] - torch.arange(S - T, S)[:, None]
    return -alibi_slopes(n_heads)[:, None, None] * distance.abs()


def alibi_slopes(n_heads: int) -> Tensor:
    """The slope of each head: float (H,)."""
    check_number("n_heads", n_heads, least=1, integer=True)
    power = 2 ** (n_heads.bit_length() - 1)  # the largest power of two among the heads
    slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    slopes += [2 ** (-8 * h / (2 * power)) for h in range(1, 2 * (n_heads - power), 2)]
    return torch.tensor(slopes)


def _angles(length: int, width: int, base: float, name: str) -> Tensor:
    """Position times frequency: float64 (length, width / 2); errors call the width by `name`."""
    check_number("length", length, least=1, integer=True)
    check_number(name, width, least=2, integer=True)
    check_number("base", base, above=0)
    if width % 2:
        raise ValueError(f"{name} must be even, got {width}")
    frequency = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.arange(length, dtype=torch.float64)[:, None] * frequency
