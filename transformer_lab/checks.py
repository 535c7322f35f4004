"""What tensors must be before anything is computed with them; errors name argument and value."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from transformer_lab.bounds import check_number, whole


def check_tensor(name: str, x: Tensor) -> None:
    """Raises TypeError for what is no tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")


def check_floats(name: str, x: Tensor, shape: str, axes: int) -> None:
    """Raises TypeError or ValueError unless x holds floats on at least so many axes."""
    check_tensor(name, x)
    if x.dim() < axes or not x.is_floating_point() or not x.numel():
        raise ValueError(
            f"{name} must be floating point of shape {shape}, not empty, got {x.dtype} of shape "
            f"{tuple(x.shape)}"
        )


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Random numbers that this seed begins. Raises ValueError for what is no seed."""
    check_number("seed", seed, least=0, most=2**63 - 1, integer=True)
    return torch.Generator(device).manual_seed(seed)


def check_boolean(mask: Tensor, name: str = "mask") -> None:
    """Raises TypeError for a mask that is no boolean tensor."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"{name} must be a boolean tensor (True = may look), got {found}")


def check_ids(name: str, ids: Tensor, table: nn.Embedding) -> None:
    """Raises TypeError or ValueError for ids (B, T) that cannot be looked up in the table."""
    check_tensor(name, ids)
    if ids.dim() != 2 or ids.dtype not in (torch.int64, torch.int32) or not ids.numel():
        raise ValueError(
            f"{name} must be int64 or int32 of shape (B, T), not empty, got {ids.dtype} of shape "
            f"{tuple(ids.shape)}"
        )
    if ids.device != table.weight.device:
        raise ValueError(f"{name} must be on {table.weight.device}, got {ids.device}")
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= table.num_embeddings:
        raise ValueError(
            f"{name} must lie in 0..{table.num_embeddings - 1}, got {low if low < 0 else high}"
        )


def id_list(ids: Iterable[int] | Tensor, below: int, expected: str) -> list[int]:
    """Ids (T,) as a list. Raises TypeError or ValueError unless they are 0 to below - 1."""
    numbers = ids.tolist() if isinstance(ids, Tensor) else ids
    if not isinstance(numbers, Iterable):
        raise TypeError(f"ids must be {expected}, in one row, got {ids!r}")
    numbers = list(numbers)
    for number in numbers:
        if not whole(number) or not 0 <= number < below:
            raise ValueError(f"ids must be {expected}, got {number!r}")
    return numbers


def check_states(name: str, x: Tensor, like: Tensor) -> None:
    """Raises TypeError or ValueError for states that a weight `like` (…, D) cannot read."""
    check_tensor(name, x)
    if x.dim() != 3 or x.shape[-1] != like.shape[-1] or not x.numel():
        raise ValueError(
            f"{name} must have shape (B, T, {like.shape[-1]}), not empty, got {tuple(x.shape)}"
        )
    _check_kind(name, x, like)


def check_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> None:
    """Raises TypeError or ValueError unless weight and bias (D,) can scale and shift x (..., D)."""
    check_floats("x", x, "(..., D)", 1)
    vectors = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    for name, given in vectors.items():
        check_tensor(name, given)
        if given.shape != x.shape[-1:]:
            raise ValueError(
                f"{name} must have the width of x, {(x.shape[-1],)}, got {tuple(given.shape)}"
            )
        _check_kind(name, given, x)
    check_number("eps", eps, least=0)


def check_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
) -> None:
    """Raises TypeError or ValueError unless these make scores (..., T, S) that the mask fits."""
    for name, x in (("query", query), ("key", key), ("value", value)):
        check_floats(name, x, "(..., length, width)", 2)
        _check_kind(name, x, query)
    (*rows, T, d), (*key_rows, S, key_d) = query.shape, key.shape
    *value_rows, values, _ = value.shape
    if d != key_d:
        raise ValueError(
            f"query (..., T, d) and key (..., S, d) must agree in d, got {tuple(query.shape)} and "
            f"{tuple(key.shape)}"
        )
    if values != S:
        raise ValueError(
            f"key (..., S, d) and value (..., S, v) must agree in S, got {tuple(key.shape)} and "
            f"{tuple(value.shape)}"
        )
    if not rows == key_rows == value_rows:
        try:
            rows = [*torch.broadcast_shapes(rows, key_rows, value_rows)]
        except RuntimeError:
            raise ValueError(
                f"query, key and value must agree in their first axes, got {tuple(query.shape)}, "
                f"{tuple(key.shape)} and {tuple(value.shape)}"
            ) from None
    if mask is not None:
        check_boolean(mask)
        _check_fits("mask", mask, [*rows, T, S], query.device)
    if bias is not None:
        check_tensor("bias", bias)
        if not bias.is_floating_point():
            raise TypeError(f"bias must be floating point, added to the scores, got {bias.dtype}")
        _check_fits("bias", bias, [*rows, T, S], query.device)
    if scale is not None:
        check_number("scale", scale)


def _check_fits(name: str, x: Tensor, scores: list[int], device: torch.device) -> None:
    shape = list(x.shape)
    same = zip(shape[::-1], scores[::-1], strict=False)
    if not 2 <= len(shape) <= len(scores) or any(n not in (1, size) for n, size in same):
        raise ValueError(f"{name} {tuple(shape)} does not fit scores (..., T, S) = {tuple(scores)}")
    if x.device != device:
        raise ValueError(f"{name} must be on {device}, got {x.device}")


def _check_kind(name: str, x: Tensor, like: Tensor) -> None:
    if x.dtype == like.dtype and x.device == like.device:
        return
    kind = like.device.type
    mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    if x.device != like.device or not mixed:
        raise ValueError(
            f"{name} must be {like.dtype} on {like.device}, got {x.dtype} on {x.device}"
        )
