"""What follows from a mask: weights, reach over layers, leak. The same as `view/flow.js`.

A part is "mask" (one mask alone), "encoder", "decoder" or "cross".
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from transformer_lab.attention import attention_weights
from transformer_lab.masks import causal_mask, prefix_mask, window_mask

LARGEST = 12  # positions
PRESETS = ("causal", "padding", "window", "prefix", "block", "all", "none")
SQUARE = ("window", "prefix", "block")


def preset(rule: str, T: int, S: int, size: int = 0) -> Tensor:
    """The mask of a rule: bool (T, S). `size` is a window's width, a prefix, or a block.

    A block sees itself wholly and nothing else, as when several texts share one row.
    """
    if rule in SQUARE and T != S:
        raise ValueError(f"mask = {rule!r} needs T = S; got T = {T}, S = {S}")
    match rule:
        case "causal":
            return causal_mask(T, S)
        case "window":
            return window_mask(T, size)
        case "prefix":
            return prefix_mask(T, min(size, T))
        case "block":
            home = torch.arange(T) // size
            return home[:, None] == home
        case _:
            return torch.full((T, S), rule != "none")


def shape(part: str, sides: Mapping[str, int]) -> tuple[int, int]:
    """How many look and how many are looked at."""
    if part == "mask":
        return sides["T"], sides["S"]
    source, target = sides["source"], sides["target"]
    return {"encoder": (source, source), "decoder": (target, target)}.get(part, (target, source))


def weigh(mask: Tensor, scores: Tensor) -> Tensor:
    """Softmax of the allowed scores of each row, (T, S); zeros where nothing is allowed."""
    T = len(scores)
    return attention_weights(torch.eye(T, dtype=scores.dtype), scores.T, mask, scale=1.0)


def reach(masks: Mapping[str, Tensor], part: str, layers: int) -> Tensor:
    """Whether input s can change output t after so many layers: bool (T, S).

    Each layer keeps its own input beside what it attends to (the skip path). Across: inputs of the
    source through as many encoder layers, then decoder layers. A mask that is not square says
    nothing of the layers below, so it counts once.
    """
    if part == "cross":
        memory = reach(masks, "encoder", layers)
        decoder, found = _kept(masks["decoder"]), torch.zeros_like(masks["cross"])
        for _ in range(layers):
            found = _through(decoder, found) | _through(masks["cross"], memory)
        return found
    once = _kept(masks[part])
    found = once
    for _ in range(layers - 1 if once.shape[0] == once.shape[1] else 0):
        found = _through(once, found)
    return found


def first(masks: Mapping[str, Tensor], part: str, layers: int) -> Tensor:
    """The number of layers from which input s can change output t; 0 where so many do not do."""
    found = torch.zeros(masks[part].shape, dtype=torch.long)
    for count in range(layers, 0, -1):
        found[reach(masks, part, count)] = count
    return found


def leaks(mask: Tensor, part: str = "mask") -> list[list[int]]:
    """[t, s] of each cell where t may look at a later position, row by row.

    The T that look are the last T of S positions. None in an encoder or across, where all of the
    source is known, and none where T > S: then they cannot be the same positions.
    """
    T, S = mask.shape
    if part in ("encoder", "cross") or T > S:
        return []
    return (mask & ~causal_mask(T, S)).nonzero().tolist()


def _kept(mask: Tensor) -> Tensor:
    T, S = mask.shape
    return mask if T > S else mask | torch.eye(S, dtype=torch.bool)[S - T :]


def _through(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() @ b.double()) > 0
