"""Numbers to typed bytes and back: what travels between Python and the browser, never lists.

Attention weights lie in [0, 1] and go as uint16 (error at most 7.6e-6, half the size of float32).
Everything signed or unbounded goes as float32. All bytes are little-endian and in C order, as
JavaScript's typed arrays read them. Tokens go as plain strings, made safe for JSON by `text`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 65535


def array(values: Any, name: str = "values") -> NDArray[Any]:
    """Any tensor, array or nested sequence as a NumPy array of finite numbers or booleans.

    Raises TypeError for what is not numbers and ValueError where one is not finite.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    try:
        result = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be a full rectangle of numbers: {error}") from None
    if result.dtype.kind not in "bfiu":
        raise TypeError(f"{name} must hold numbers, not {result.dtype}")
    if result.dtype.kind == "f" and not np.isfinite(result).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
        raise ValueError(f"{name} must be finite; at {where} it is {result[where]}")
    return result


def pack_probabilities(values: Any, name: str = "probabilities") -> bytes:
    """Numbers in [0, 1] as uint16 bytes; a rounding error of 1e-4 outside is clipped."""
    numbers = array(values, name)
    if numbers.size and (numbers.min() < -1e-4 or numbers.max() > 1 + 1e-4):
        low, high = float(numbers.min()), float(numbers.max())
        raise ValueError(f"{name} must lie in [0, 1], not in [{low:.4g}, {high:.4g}]")
    scaled = np.rint(np.clip(numbers.astype(np.float64), 0, 1) * STEPS)
    return scaled.astype("<u2").tobytes()


def unpack_probabilities(data: bytes, shape: Sequence[int]) -> NDArray[np.float64]:
    """The numbers that the browser sees: uint16 bytes back to [0, 1], error at most 7.6e-6."""
    return np.frombuffer(data, "<u2").reshape(shape) / STEPS


def pack_floats(values: Any, name: str = "values") -> bytes:
    """Any finite numbers as float32 bytes: scores, queries, keys, values, logits."""
    return array(values, name).astype("<f4").tobytes()


def unpack_floats(data: bytes, shape: Sequence[int]) -> NDArray[np.float32]:
    """float32 bytes back to an array of that shape."""
    return np.frombuffer(data, "<f4").reshape(shape)


def pack_mask(mask: Any, name: str = "mask") -> bytes:
    """A boolean array as one byte per cell: 1 where t may look at s."""
    cells = array(mask, name)
    if cells.dtype != np.bool_:
        raise TypeError(f"{name} must be boolean (True = may look), not {cells.dtype}")
    return cells.astype("u1").tobytes()


def text(token: Any, name: str = "tokens") -> str:
    """A token that JSON can carry: half a surrogate pair becomes the replacement character."""
    if not isinstance(token, str):
        raise TypeError(f"{name} must hold strings, not {token!r}")
    return token.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
