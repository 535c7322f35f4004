"""Look inside a model while it runs, without changing what it computes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention, attention_weights, per_head
from transformer_lab.cache import KeyValueCache
from transformer_lab.masks import causal_mask, combine
from transformer_lab.positions import NOWHERE, Places


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside the block, each forward pass of model fills {"layers.0.attention": (B, H, T, S), …}.

    The weights are recomputed, before dropout, from the inputs and the mask that ran, and are
    detached; the model's own output is not touched. A module that runs twice keeps its last run.
    The hooks are gone when the block ends, also after an error. Raises ValueError when the model
    has no attention, RuntimeError when nothing ran inside the block.
    """
    modules = [(n, m) for n, m in model.named_modules() if isinstance(m, MultiHeadAttention)]
    if not modules:
        raise ValueError(f"{type(model).__name__} holds no MultiHeadAttention to record")
    weights: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: MultiHeadAttention, args: tuple, kwargs: dict[str, Any], _: Any) -> None:
            weights[name] = recompute(module, *args, **kwargs)

        return hook

    hooks = [m.register_forward_hook(keep(n), with_kwargs=True) for n, m in modules]
    try:
        yield weights
    finally:
        for hook in hooks:
            hook.remove()
    if not weights:
        raise RuntimeError(
            "nothing was recorded: run the model inside the block, and record before compiling it"
        )


def recompute(
    module: MultiHeadAttention,
    states: Tensor,
    context: Tensor | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    places: Places = NOWHERE,
    cache: KeyValueCache | None = None,
) -> Tensor:
    """The weights of a forward call that just ran with these arguments: (B, H, T, S), detached."""
    query = module.queries(states, places)
    if cache is None:
        key, _ = module.keys_values(states if context is None else context, places)
    else:
        key, _ = cache.held()
    mask = per_head(mask)
    if causal:
        mask = combine(mask, causal_mask(query.shape[2], key.shape[2], query.device))
    return attention_weights(query, module.shared(key), mask, bias=places.bias).detach()
