"""Places in a running model where a number can be read or replaced, and the hooks that do it."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from transformer_lab.attention import MultiHeadAttention
from transformer_lab.embedding import Embedding
from transformer_lab.layers import DecoderLayer, EncoderLayer


class Site(NamedTuple):
    """What leaves a module, or what enters it; of a head's tensor (B, T, H · d), one share."""

    module: nn.Module
    before: bool = False
    head: int = 0
    n_heads: int = 1


def attentions(model: nn.Module) -> dict[str, MultiHeadAttention]:
    """Every attention by its name. Raises ValueError when there is none."""
    found = {n: m for n, m in model.named_modules() if isinstance(m, MultiHeadAttention)}
    if not found:
        raise ValueError(f"{type(model).__name__} holds no MultiHeadAttention")
    return found


def stream_sites(model: nn.Module, after_attention: bool = False) -> dict[str, Site]:
    """The residual stream behind the embedding and behind each layer, by name.

    after_attention=True adds the sums inside the layers; these can be read, not replaced.
    Raises ValueError for a model without layers.
    """
    sites = {}
    for name, module in model.named_modules():
        if isinstance(module, EncoderLayer) and after_attention:
            for part, site in _sums(module).items():
                sites[f"{name}.{part}"] = site
        if isinstance(module, Embedding | EncoderLayer):
            sites[name] = Site(module)
    if not any(isinstance(site.module, EncoderLayer) for site in sites.values()):
        raise ValueError(f"{type(model).__name__} holds no EncoderLayer or DecoderLayer")
    return sites


def all_sites(model: nn.Module) -> dict[str, Site]:
    """Every place that patch can replace: the stream, what each part adds to it, and each head."""
    sites = stream_sites(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, EncoderLayer):
            sites[f"{name}.feed_forward"] = Site(module.feed_forward)
        if isinstance(module, MultiHeadAttention):
            sites[name] = Site(module)
            for head in range(module.n_heads):
                sites[f"{name}.heads.{head}"] = Site(module.output, True, head, module.n_heads)
    return sites


def _sums(layer: EncoderLayer) -> dict[str, Site]:
    """The stream after each attention. A pre-norm is given it; a post-norm makes it."""
    names, norms = ["after_attention"], [layer.attention_norm, layer.feed_forward_norm]
    if isinstance(layer, DecoderLayer):
        names.append("after_cross_attention")
        norms.insert(1, layer.cross_attention_norm)
    norms = norms[1:] if layer.pre else norms[:-1]
    return {name: Site(norm, layer.pre) for name, norm in zip(names, norms, strict=True)}


def watch(
    site: Site, look: Callable[[Tensor], Tensor | None], change: bool = False
) -> RemovableHandle:
    """Show look every tensor (B, T, …) that passes; what look returns, if not None, replaces it.

    change=True runs before all that is there, so that a recording sees what was changed.
    """

    def entering(_: nn.Module, given: tuple) -> tuple | None:
        new = look(given[0])
        return None if new is None else (new, *given[1:])

    def leaving(_: nn.Module, __: Any, out: Any) -> Any:
        first = out[0] if isinstance(out, tuple) else out  # an Embedding also returns places
        new = look(first)
        return (new, *out[1:]) if isinstance(out, tuple) and new is not None else new

    if site.before:
        return site.module.register_forward_pre_hook(entering, prepend=change)
    return site.module.register_forward_hook(leaving, prepend=change)


@contextmanager
def attached(
    hooks: Iterable[RemovableHandle], ran: Collection[str], names: Iterable[str] | None = None
) -> Iterator[None]:
    """Hooks that are gone when the block ends, also after an error.

    Raises RuntimeError when one of names is not in ran by then; None: when ran is empty.
    """
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    missing = [name for name in names or () if name not in ran]
    if missing or (names is None and not ran):
        what = f"nothing reached {', '.join(missing)}" if missing else "nothing was recorded"
        raise RuntimeError(
            f"{what}: run the model inside the block, and open the block before compiling it"
        )
