"""Models without numbers, to be counted at any size."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.presets import Kind, Preset, resolve


def skeleton(
    config: ModelConfig | Preset, kind: Kind | None = None, source_vocab_size: int | None = None
) -> nn.Module:
    """The model with every parameter on torch's meta device: a shape that takes no memory.

    Arguments as in counting.formula.
    """
    config, kind = resolve(config, kind)
    with _ShapesOnly():
        if kind == "encoder-decoder":
            return EncoderDecoder(config, source_vocab_size)
        return TextEncoder(config) if kind == "encoder" else LanguageModel(config)


class _ShapesOnly(TorchFunctionMode):
    """New tensors are shapes, and nothing fills them.

    Under torch.device("meta") the tables of positions would be computed there as well, and for that
    torch loads its whole compiler.
    """

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"]
        if function is torch.empty:
            kwargs["device"] = "meta"
        return function(*args, **kwargs)
