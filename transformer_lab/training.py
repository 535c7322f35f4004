"""train(): a generator, so that whoever asks for the next step decides what to do between."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.models import EncoderDecoder


@dataclass(frozen=True)
class Step:
    """One update: its number from 1, the loss before it in nats, rate and gradient norm."""

    index: int
    loss: float
    rate: float
    gradient_norm: float


def train(
    model: nn.Module,
    batches: Iterable[Any],
    steps: int,
    rate: float = 1e-3,
    warmup: int = 0,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    loss: Callable[[nn.Module, Any], Tensor] | None = None,
) -> Iterator[Step]:
    """Train with AdamW and yield one Step per update, at most `steps` of them.

    The rate rises linearly for warmup steps, then falls on a cosine to a tenth of its height
    (Loshchilov and Hutter 2017). loss(model, batch) gives the number to lower; None means the next
    token: batches of ids (B, T + 1) for a LanguageModel, pairs (source, target) for an
    EncoderDecoder. The model is in training mode during a step and as it was between them.
    Raises FloatingPointError with step, rate and gradient norm when the loss is not finite; the
    weights are then those from before the step.
    """
    if steps < 1 or not 0 <= warmup < steps:
        raise ValueError(f"need 0 <= warmup < steps, got warmup={warmup}, steps={steps}")
    loss = next_token_loss if loss is None else loss
    optimiser = torch.optim.AdamW(
        weight_groups(model, weight_decay), lr=rate, betas=(0.9, 0.98), fused=True
    )
    for index, batch in zip(range(1, steps + 1), batches, strict=False):
        now = rate * warmup_cosine(index, steps, warmup)
        for group in optimiser.param_groups:
            group["lr"] = now
        was_training = model.training
        model.train()
        optimiser.zero_grad()
        value = loss(model, batch)
        value.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), clip).item()
        model.train(was_training)
        if not (math.isfinite(value.item()) and math.isfinite(norm)):
            raise FloatingPointError(
                f"step {index}: loss {value.item()}, rate {now:.3g}, gradient norm {norm:.3g}; "
                f"the weights are those from before this step. Try a lower rate"
            )
        optimiser.step()
        yield Step(index, value.item(), now, norm)


def next_token_loss(model: nn.Module, batch: Any) -> Tensor:
    """Mean cross-entropy in nats of each next token, padding left out."""
    pad_id: Any = model.config.pad_id  # type: ignore[union-attr]
    if isinstance(model, EncoderDecoder):
        source, target = batch
        logits = model(source, target[:, :-1])
    else:
        target = batch
        logits = model(target[:, :-1])
    ignored = -100 if pad_id is None else pad_id
    return F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=ignored)


def weight_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors (biases and norms) do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def warmup_cosine(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    """The share of the full rate at a step: up to 1 in warmup steps, down to floor at the end."""
    if step <= warmup:
        return step / warmup
    done = (step - warmup) / (steps - warmup)
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2
