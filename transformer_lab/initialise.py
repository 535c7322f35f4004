"""What models start from, and who says so."""

import math

from torch import nn

from transformer_lab.embedding import Embedding
from transformer_lab.layers import EncoderLayer


def small_normal(module: nn.Module) -> None:
    """Normal with standard deviation 0.02, biases 0 (Radford et al. 2018, section 4.1)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, Embedding) and isinstance(module.positions, nn.Parameter):
        nn.init.normal_(module.positions, std=0.02)


def glorot(module: nn.Module) -> None:
    """Linear maps as Glorot and Bengio (2010, equation 16), embeddings normal with 1/√D.

    The paper is silent; this is what its code (tensor2tensor) did. With scale_embeddings=True the
    token vectors then enter at standard deviation 1, the size of the sinusoidal waves.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
    if isinstance(module, Embedding) and isinstance(module.positions, nn.Parameter):
        nn.init.normal_(module.positions, std=module.positions.shape[1] ** -0.5)


def quieten(layers: nn.ModuleList) -> None:
    """Make what each sublayer adds smaller by √(number of additions): Radford et al. 2019, 2.3."""
    for layer in layers:
        assert isinstance(layer, EncoderLayer)
        for part in (layer.attention.output, layer.feed_forward.down):
            nn.init.normal_(part.weight, std=0.02 / math.sqrt(2 * len(layers)))
