"""Who may look at whom. One rule everywhere: mask[t, s] is True when t may look at s."""

from functools import reduce

import torch
from torch import Tensor

from transformer_lab.bounds import check_number, whole
from transformer_lab.checks import check_boolean, check_tensor


def causal_mask(T: int, S: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """Each position may look at itself and at what came before: bool (T, S).

    With S > T the T queries are the last T of S positions, as when earlier keys are cached.
    Raises ValueError when S < T or T < 1.
    """
    S = T if S is None else S
    if not whole(T, S) or not 1 <= T <= S:
        raise ValueError(f"causal_mask needs whole numbers 1 <= T <= S, got T={T}, S={S}")
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T)


def padding_mask(lengths: Tensor, S: int | None = None) -> Tensor:
    """Every position may look at the real tokens only: lengths (B,) -> bool (B, 1, S).

    S is the padded length, max(lengths) when None. A length of 0 gives a row that sees nothing.
    """
    check_tensor("lengths", lengths)
    if lengths.dim() != 1 or lengths.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"lengths must be whole numbers of shape (B,), got {lengths.dtype} of shape "
            f"{tuple(lengths.shape)}"
        )
    longest = int(lengths.max()) if lengths.numel() else 0
    S = longest if S is None else S
    check_number("S", S, least=0, integer=True)
    if longest > S or bool((lengths < 0).any()):
        raise ValueError(f"lengths must lie between 0 and S={S}, got {lengths.tolist()}")
    return (torch.arange(S, device=lengths.device) < lengths[:, None])[:, None, :]


def token_mask(tokens: Tensor, pad_id: int) -> Tensor:
    """The same from token ids: (B, S) -> bool (B, 1, S), True where the token is not padding."""
    check_tensor("tokens", tokens)
    if tokens.dim() != 2:
        raise ValueError(f"tokens must have shape (B, S), got {tuple(tokens.shape)}")
    check_number("pad_id", pad_id, integer=True)
    return (tokens != pad_id)[:, None, :]


def window_mask(T: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Causal, and at most `width` positions back, itself included: bool (T, T)."""
    check_number("width", width, least=1, integer=True)
    causal = causal_mask(T, device=device)
    return causal & ~causal.tril(-width)


def prefix_mask(T: int, prefix: int, device: torch.device | str | None = None) -> Tensor:
    """Causal, but the first `prefix` positions see one another wholly: bool (T, T).

    A prefix language model reads its task like an encoder and writes the rest like a decoder.
    Raffel et al. 2020 ("T5"), section 3.2.1 and figure 4. Raises ValueError when prefix > T.
    """
    mask = causal_mask(T, device=device)
    check_number("prefix", prefix, least=0, most=T, integer=True)
    mask[:, :prefix] = True  # whoever comes later sees the prefix anyway
    return mask


def combine(*masks: Tensor | None) -> Tensor | None:
    """Allowed only where every mask allows it: the AND, None counting as "all allowed".

    (T, S) and (B, 1, S) give (B, T, S). Raises ValueError with all the shapes when they do not fit,
    TypeError when a mask is not boolean.
    """
    given = [mask for mask in masks if mask is not None]
    for mask in given:
        check_boolean(mask)
    try:
        return reduce(torch.logical_and, given) if given else None
    except RuntimeError:
        shapes = ", ".join(str(tuple(mask.shape)) for mask in given)
        raise ValueError(f"these masks do not fit together: {shapes}") from None


def to_torch_ignore(mask: Tensor) -> Tensor:
    """The opposite polarity, True = ignore, which nn.MultiheadAttention and nn.Transformer take."""
    return ~mask
