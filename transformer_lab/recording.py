"""Look inside a model while it runs, and change one thing at a time.

All of it lasts as long as a `with` block: nothing is stored on the model, and the hooks are gone
when the block ends, also after an error. Blocks nest. A recording shows what later layers are
given, with every change in it, whichever block was opened first. Where two blocks change the same
numbers, the outer one holds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention, attention_weights, per_head
from transformer_lab.cache import KeyValueCache
from transformer_lab.embedding import Embedding
from transformer_lab.layers import EncoderLayer
from transformer_lab.masks import causal_mask, combine
from transformer_lab.positions import NOWHERE, Places
from transformer_lab.sites import (
    Site,
    all_sites,
    attached,
    attentions,
    stream_sites,
    watch,
)


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside the block, each forward pass of model fills {"layers.0.attention": (B, H, T, S), …}.

    The weights are recomputed, before dropout, from the inputs and the mask that ran, and are
    detached; the model's own output is not touched. A module that runs twice keeps its last run.
    Raises ValueError when the model has no attention, RuntimeError when nothing ran.
    """
    weights: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: MultiHeadAttention, args: tuple, kwargs: dict[str, Any], _: Any) -> None:
            weights[name] = recompute(module, *args, **kwargs)

        return hook

    hooks = [
        module.register_forward_hook(keep(name), with_kwargs=True)
        for name, module in attentions(model).items()
    ]
    with attached(hooks, weights):
        yield weights


@contextmanager
def record_heads(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What each head found: {"layers.0.attention": (B, H, T, d), …}, detached.

    That is before the output map mixes the heads. The rest as in record_attention.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, n_heads: int) -> Callable[[Tensor], None]:
        def look(mixed: Tensor) -> None:
            found[name] = mixed.detach().unflatten(-1, (n_heads, -1)).transpose(1, 2)

        return look

    hooks = [
        watch(Site(module.output, before=True), keep(name, module.n_heads))
        for name, module in attentions(model).items()
    ]
    with attached(hooks, found):
        yield found


@contextmanager
def record_stream(model: nn.Module, after_attention: bool = False) -> Iterator[dict[str, Tensor]]:
    """The residual stream: {"embedding": (B, T, D), "layers.0": (B, T, D), …}, detached.

    Each entry is what leaves the embedding or a layer. after_attention=True adds the sums inside
    the layers: "layers.0.after_attention", and "decoder.0.after_cross_attention".
    Raises ValueError when the model has no layers, RuntimeError when none of them ran.
    """
    stream: dict[str, Tensor] = {}
    ran: set[str] = set()  # an embedding alone is no stream: the layers may have been compiled

    def keep(name: str, site: Site) -> Callable[[Tensor], None]:
        def look(states: Tensor) -> None:
            stream[name] = states.detach()
            if isinstance(site.module, EncoderLayer):
                ran.add(name)

        return look

    sites = stream_sites(model, after_attention)
    with attached([watch(site, keep(name, site)) for name, site in sites.items()], ran):
        yield stream


@contextmanager
def silence_heads(model: nn.Module, heads: Mapping[int | str, Sequence[int]]) -> Iterator[None]:
    """Inside the block, some heads find zeros: {0: [1, 3], "layers.2.attention": [0]}.

    A number is a layer, 0 the first; a name is that of an attention, as in record_attention. What
    a fully silenced attention still adds is its output bias. Raises ValueError for a layer, name
    or head that the model does not have, RuntimeError for one that did not run.
    """
    known = attentions(model)
    ran: set[str] = set()

    def silence(name: str, silent: list[int]) -> Callable[[Tensor], Tensor]:
        def look(mixed: Tensor) -> Tensor:
            ran.add(name)
            each = mixed.unflatten(-1, (known[name].n_heads, -1))
            which = torch.tensor(silent, dtype=torch.long, device=mixed.device)
            return each.index_fill(2, which, 0.0).flatten(2)

        return look

    chosen: dict[str, list[int]] = {}
    for key, silent in heads.items():
        name = f"layers.{key}.attention" if isinstance(key, int) else key
        if name not in known:
            raise ValueError(f"heads must name a layer or one of {', '.join(known)}, got {key!r}")
        count = known[name].n_heads
        if not isinstance(silent, Sequence) or not all(head in range(count) for head in silent):
            raise ValueError(f"heads of {name} must be in 0..{count - 1}, got {silent!r}")
        chosen[name] = [*chosen.get(name, []), *silent]
    hooks = [
        watch(Site(known[name].output, before=True), silence(name, silent), change=True)
        for name, silent in chosen.items()
    ]
    with attached(hooks, ran, chosen):
        yield


@contextmanager
def patch(model: nn.Module, changes: Mapping[str, tuple[int | None, Tensor]]) -> Iterator[None]:
    """Inside the block, other numbers at some sites: {"layers.0": (position, tensor), …}.

    A site is a place in the stream ("embedding", "layers.0"), what a part adds to it
    ("layers.0.attention", "layers.0.feed_forward") or what one head found
    ("layers.0.attention.heads.2"). With a position the tensor is (B, D) or (D,): it counts from 0
    through the whole text, also when a cache holds the text's beginning. With None it is (B, T, D)
    or (D,), for all positions that run. A head's tensor is d wide, not D. Gradients reach it.
    Raises ValueError for an unknown site, listing the known ones, and for a shape that does not
    fit; RuntimeError when a site or a position was not reached.
    """
    sites = all_sites(model)
    for name, change in changes.items():
        _check_change(name, change, sites)
    start = 0
    ran: set[str] = set()

    def follow(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        nonlocal start
        start = args[2] if len(args) > 2 else kwargs.get("start", 0)

    def put(name: str, position: int | None, value: Tensor) -> Callable[[Tensor], Tensor | None]:
        def look(states: Tensor) -> Tensor | None:
            if position is not None and not start <= position < start + states.shape[1]:
                return None
            ran.add(name)
            states = states.clone()
            part = states.unflatten(-1, (sites[name].n_heads, -1))[:, :, sites[name].head]
            part = part if position is None else part[:, position - start]
            if value.shape not in (part.shape, part.shape[-1:]):
                raise ValueError(
                    f"the tensor for {name!r} must have shape {tuple(part.shape)} or "
                    f"{tuple(part.shape[-1:])}, got {tuple(value.shape)}"
                )
            part.copy_(value)
            return states

        return look

    hooks = [
        module.register_forward_pre_hook(follow, with_kwargs=True)
        for module in model.modules()
        if isinstance(module, Embedding)
    ]
    hooks += [watch(sites[name], put(name, *changes[name]), change=True) for name in changes]
    with attached(hooks, ran, changes):
        yield


@torch.no_grad()
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
    return attention_weights(query, module.shared(key), mask, bias=places.bias)


def _check_change(name: str, change: tuple[int | None, Tensor], sites: Mapping[str, Site]) -> None:
    if name not in sites:
        raise ValueError(f"changes must name one of {', '.join(sites)}, got {name!r}")
    if not (isinstance(change, tuple) and len(change) == 2 and isinstance(change[1], Tensor)):
        raise TypeError(f"the change of {name!r} must be (position or None, tensor), got {change}")
    position = change[0]
    if position is not None and (type(position) is not int or position < 0):
        raise ValueError(f"a position counts from 0, got {position!r} for {name!r}")
