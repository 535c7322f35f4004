"""Text out of a model, one token at a time."""

import torch
from torch import Tensor, nn

from transformer_lab.models import EncoderDecoder


@torch.no_grad()
def generate(
    model: nn.Module,
    tokens: Tensor,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int | None = None,
    source: Tensor | None = None,
    end_id: int | None = None,
) -> Tensor:
    """Continue tokens (B, T) by up to max_new_tokens: -> (B, T + new).

    temperature 0 takes the most likely token each time (greedy); above 0 it draws from the softmax
    of logits / temperature, seeded by seed. An EncoderDecoder also takes source (B, S). After
    end_id a row holds nothing but end_id, and generation stops when all rows have ended.
    Raises ValueError for bad sizes; the model is left in the mode it was in.
    """
    if max_new_tokens < 1 or temperature < 0:
        raise ValueError(
            f"need max_new_tokens >= 1 and temperature >= 0, got {max_new_tokens}, {temperature}"
        )
    if isinstance(model, EncoderDecoder) is (source is None):
        raise ValueError("source (B, S) goes with an EncoderDecoder, and only with one")
    random = None if seed is None else torch.Generator(tokens.device).manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        states = mask = None
        if isinstance(model, EncoderDecoder) and source is not None:
            states, mask = model.encode(source), model.source_mask(source)
        ended = torch.zeros(len(tokens), 1, dtype=torch.bool, device=tokens.device)
        for _ in range(max_new_tokens):
            logits = model(tokens) if states is None else model.decode(tokens, states, mask)  # type: ignore[operator]
            chosen = _choose(logits[:, -1], temperature, random)
            if end_id is not None:
                chosen = chosen.masked_fill(ended, end_id)
                ended = ended | (chosen == end_id)
            tokens = torch.cat([tokens, chosen], 1)
            if ended.all():
                break
    finally:
        model.train(was_training)
    return tokens


def _choose(logits: Tensor, temperature: float, random: torch.Generator | None) -> Tensor:
    """logits (B, V) -> token ids (B, 1)."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=random)
