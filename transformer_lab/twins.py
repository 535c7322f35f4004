"""Our weights inside torch's own modules, so that anybody can compare the two."""

import torch
from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention
from transformer_lab.layers import DecoderLayer, EncoderLayer
from transformer_lab.masks import to_torch_ignore
from transformer_lab.models import TextEncoder


def copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    """Copy the four maps; torch keeps query, key and value in one tall matrix."""
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        if theirs.in_proj_bias is not None:
            theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def copy_layer(
    ours: EncoderLayer, theirs: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer
) -> None:
    """Into nn.TransformerEncoderLayer, or nn.TransformerDecoderLayer for a DecoderLayer."""
    copy_attention(ours.attention, theirs.self_attn)
    pairs: list[tuple[nn.Module, str]]
    pairs = [(ours.feed_forward.up, "linear1"), (ours.feed_forward.down, "linear2")]
    norms = [ours.attention_norm, ours.feed_forward_norm]
    if isinstance(ours, DecoderLayer):
        assert isinstance(theirs, nn.TransformerDecoderLayer)
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        norms.insert(1, ours.cross_attention_norm)
    pairs += [(norm, f"norm{number}") for number, norm in enumerate(norms, 1)]
    for part, name in pairs:
        theirs.get_submodule(name).load_state_dict(part.state_dict())


def torch_states(model: TextEncoder, tokens: Tensor, mask: Tensor) -> Tensor:
    """What nn.TransformerEncoder makes of the same embedded tokens with the same weights.

    tokens and mask (B, T), True = real -> states (B, T, D).
    """
    config = model.config
    layer = nn.TransformerEncoderLayer(
        config.d_model,
        config.n_heads,
        config.width_ff,
        config.dropout,
        activation="relu" if config.activation == "relu" else "gelu",
        layer_norm_eps=config.norm_eps,
        batch_first=True,
        norm_first=config.norm == "pre",
        bias=config.bias,
    )
    twin = nn.TransformerEncoder(layer, config.n_layers, enable_nested_tensor=False)
    for ours, theirs in zip(model.layers, twin.layers, strict=True):
        assert isinstance(ours, EncoderLayer)
        assert isinstance(theirs, nn.TransformerEncoderLayer)
        copy_layer(ours, theirs)
    twin = twin.to(tokens.device, next(model.parameters()).dtype).train(model.training)
    embedded, _ = model.embedding(tokens)
    states = twin(embedded, src_key_padding_mask=to_torch_ignore(mask))
    return model.norm(states)
