"""train(): a generator, so that whoever asks for the next step decides what to do between."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab import distributed, schedules
from transformer_lab.bounds import check_number
from transformer_lab.gradients import Loss, has_bf16, mean_gradient
from transformer_lab.models import EncoderDecoder, LanguageModel
from transformer_lab.resuming import load_run, save_run, steps_done
from transformer_lab.schedules import Schedule, warmup_cosine


@dataclass(frozen=True)
class Step:
    """One update: its number from 1, the loss before it in nats, rate and gradient norm.

    tokens is what the mean was taken over: targets that are not padding, or batches where a loss
    of your own gives no count.
    """

    index: int
    loss: float
    rate: float
    gradient_norm: float
    tokens: int


def train(
    model: nn.Module,
    batches: Iterable[Any],
    steps: int,
    rate: float = 1e-3,
    warmup: int = 0,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    loss: Loss | None = None,
    *,
    schedule: Schedule = warmup_cosine,
    smoothing: float = 0.0,
    accumulate: int = 1,
    bf16: bool = False,
    checkpoint: str | Path | None = None,
    save_every: int = 100,
    resume: bool = False,
) -> Iterator[Step]:
    """Train with AdamW and yield one Step per update, at most `steps` of them.

    The rate is `rate` times what schedule(step, steps, warmup) gives. clip bounds the gradient's
    norm (math.inf: no bound). The model is in training mode during a step and as it was between.

    loss(model, batch) gives the mean to lower, or a pair (sum, count). None means the next token,
    with label smoothing: batches of ids (B, T + 1) for a LanguageModel, pairs (source, target)
    for an EncoderDecoder.

    One update takes `accumulate` batches, and equals that with one large batch: the mean is over
    the tokens of all of them. Means without a count weigh the same each. Under torchrun every
    process takes its rows of each batch (distributed.py), with the same result. bf16=True
    multiplies matrices in bfloat16 and keeps the weights as they are; a CPU may get slower by it.

    checkpoint names a safetensors file, written after each save_every-th step and the last. With
    resume=True, training goes on from that file if it exists. Run the same script again: batches
    that were used are drawn and passed over, and all that follows is bit-equal.

    Raises ValueError or TypeError for arguments that do not fit, and FloatingPointError with step,
    rate and gradient norm when a loss is not finite: the weights are then those from before the
    step, and the checkpoint is the last one written.
    """
    schedules.check(1, steps, warmup)
    check_number("rate", rate, above=0)
    check_number("weight_decay", weight_decay, least=0)
    if not isinstance(clip, float) or clip != math.inf:
        check_number("clip", clip, above=0)
    check_number("smoothing", smoothing, least=0, below=1)
    check_number("accumulate", accumulate, least=1, integer=True)
    check_number("save_every", save_every, least=1, integer=True)
    path = Path(checkpoint) if isinstance(checkpoint, str | Path) else None
    named = checkpoint is None or (path and path.name)
    placed = path is None or path.parent.is_dir()
    for error, name, value, fits, expectation in (
        (TypeError, "batches", batches, isinstance(batches, Iterable), "batches, one by one"),
        (TypeError, "loss", loss, loss is None or callable(loss), "a function or None"),
        (TypeError, "checkpoint", checkpoint, named, "the path of a file or None"),
        (ValueError, "checkpoint", path, path or not resume, "a file to resume from"),
        (ValueError, "checkpoint", path, placed, "in a folder that exists"),
        (ValueError, "smoothing", smoothing, loss is None or not smoothing, "0 with your own loss"),
    ):
        if not fits:
            raise error(f"{name} must be {expectation}, got {value!r}")
    if not isinstance(model, nn.Module if callable(loss) else LanguageModel | EncoderDecoder):
        raise TypeError(
            f"model must be a LanguageModel or an EncoderDecoder unless you give a loss, got "
            f"{type(model).__name__}"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"model must have weights to train, got {type(model).__name__}")
    device = next(model.parameters()).device
    if bf16 and not has_bf16(device):
        raise ValueError(f"bf16 must be False: this {device.type} has no bfloat16 instructions")
    measure = loss or partial(next_token_sum, smoothing=smoothing)

    def updates() -> Iterator[Step]:
        distributed.join(model, device)
        optimiser = torch.optim.AdamW(
            weight_groups(model, weight_decay), lr=rate, betas=(0.9, 0.98), fused=True
        )
        given, done = iter(batches), 0
        if checkpoint and resume and (done := steps_done(checkpoint)):
            for _ in islice(given, done * accumulate):
                pass
            load_run(checkpoint, model, optimiser)  # last: drawing batches moves random states
        for index in range(done + 1, steps + 1):
            group = list(islice(given, accumulate))
            if not group:
                if checkpoint and index > done + 1:
                    save_run(checkpoint, model, optimiser, index - 1)
                return
            now = rate * schedule(index, steps, warmup)
            with in_training_mode(model):
                mean, tokens = mean_gradient(model, group, measure, bf16)
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip).item()
            if not (math.isfinite(mean) and math.isfinite(norm)):
                raise FloatingPointError(
                    f"step {index}: loss {mean}, rate {now:.3g}, gradient norm {norm:.3g}; "
                    f"the weights are those from before this step. Try a lower rate"
                )
            for parameters in optimiser.param_groups:
                parameters["lr"] = now
            optimiser.step()
            if checkpoint and (index % save_every == 0 or index == steps):
                save_run(checkpoint, model, optimiser, index)
            yield Step(index, mean, now, norm, tokens)

    return updates()


def next_token_loss(model: nn.Module, batch: Any, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats of each next token, padding left out."""
    total, count = next_token_sum(model, batch, smoothing)
    return total / count


def next_token_sum(model: nn.Module, batch: Any, smoothing: float = 0.0) -> tuple[Tensor, int]:
    """Summed cross-entropy in nats of each next token that is not padding, and their number.

    batch is ids (B, T + 1), or a pair of source (B, S) and target (B, T + 1). smoothing is the
    share of the target that is spread evenly over all V tokens (Szegedy et al. 2016, section 7;
    0.1 in Vaswani et al. 2017, section 5.4): smoothing_floor says how low the loss can then go.
    """
    *source, target = batch if isinstance(batch, tuple | list) else (batch,)
    if not isinstance(target, Tensor) or target.dim() != 2:
        raise TypeError(f"batch must be ids (B, T + 1), or source and such ids, got {batch!r:.80}")
    logits, expected = model(*source, target[:, :-1]), target[:, 1:]
    config: Any = model.config
    total = F.cross_entropy(
        logits.flatten(0, 1),
        expected.flatten(),
        ignore_index=-100 if config.pad_id is None else config.pad_id,
        reduction="sum",
        label_smoothing=smoothing,
    )
    if config.pad_id is None:
        return total, expected.numel()
    return total, int((expected != config.pad_id).sum())


def smoothing_floor(smoothing: float, classes: int) -> float:
    """The least mean loss in nats with label smoothing over V classes: the entropy of the target.

    One class has 1 - ε + ε/V of it, each other one ε/V. A model that knows every answer gets there
    and no lower.
    """
    check_number("smoothing", smoothing, least=0, below=1)
    check_number("classes", classes, least=1, integer=True)
    other = smoothing / classes
    right = 1 - smoothing + other
    return -right * math.log(right) - (classes - 1) * other * math.log(other or 1)


def weight_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors (biases and norms) do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


@contextmanager
def in_training_mode(model: nn.Module) -> Iterator[None]:
    """For the length of a `with` block; then every part is as it was, whatever happened."""
    resting = [part for part in model.modules() if not part.training]
    model.train()
    try:
        yield
    finally:
        for part in resting:
            part.training = False
