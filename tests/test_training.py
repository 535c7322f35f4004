"""training.py: the update is torch's, the schedule is the stated one, and a bad loss stops."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.models import EncoderDecoder, LanguageModel
from transformer_lab.tasks import NumberWords, german
from transformer_lab.training import next_token_loss, train, warmup_cosine, weight_groups


def test_the_rate_rises_then_falls_to_a_tenth() -> None:
    rates = [warmup_cosine(step, 100, 10) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert max(rates) == 1
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(0.1)


def test_steps_equal_adamw_written_by_hand() -> None:
    model = LanguageModel(ModelConfig(12, d_model=16, n_layers=1))
    twin = copy.deepcopy(model)
    batches = [torch.randint(0, 12, (4, 7)) for _ in range(3)]
    seen = list(train(model, batches, steps=3, rate=1e-2, clip=0.5))
    optimiser = torch.optim.AdamW(weight_groups(twin, 0.01), betas=(0.9, 0.98))
    for step, batch in zip(seen, batches, strict=True):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * warmup_cosine(step.index, 3, 0)
        loss = next_token_loss(twin, batch)
        assert step.loss == pytest.approx(loss.item(), rel=1e-5)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        optimiser.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_vectors_do_not_decay() -> None:
    groups = weight_groups(LanguageModel(ModelConfig(12)), 0.1)
    assert [(g["weight_decay"], {p.dim() for p in g["params"]}) for g in groups] == [
        (0.1, {2}),
        (0.0, {1}),
    ]


def test_padding_is_not_part_of_the_loss() -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0)).eval()
    source, target = torch.randint(1, 20, (3, 5)), torch.randint(1, 20, (3, 6))
    longer = nn.functional.pad(target, (0, 4))
    torch.testing.assert_close(
        next_token_loss(model, (source, longer)), next_token_loss(model, (source, target))
    )


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    model = LanguageModel(ModelConfig(12, d_model=16, n_layers=1))
    batches = [torch.randint(0, 12, (2, 5)) for _ in range(3)]
    before: list[torch.Tensor] = []

    def broken(given: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        loss = next_token_loss(given, batch)
        if batch is batches[1]:
            before.extend(p.detach().clone() for p in given.parameters())
            return loss * math.nan
        return loss

    with pytest.raises(FloatingPointError, match=r"step 2: loss nan, rate .*gradient norm nan"):
        list(train(model, batches, 3, loss=broken))
    for kept, now in zip(before, model.parameters(), strict=True):
        assert torch.equal(kept, now)


def test_the_mode_between_steps_is_the_callers() -> None:
    model = LanguageModel(ModelConfig(12, d_model=16)).eval()
    for _ in train(model, [torch.randint(0, 12, (2, 5))] * 2, 2):
        assert not model.training


@pytest.mark.parametrize(("steps", "warmup"), [(0, 0), (5, 5), (5, -1)])
def test_a_schedule_that_cannot_be_is_named(steps: int, warmup: int) -> None:
    with pytest.raises(ValueError, match=f"warmup={warmup}, steps={steps}"):
        next(train(LanguageModel(ModelConfig(5)), [], steps, warmup=warmup))


def test_a_translator_learns_numbers_that_it_never_saw() -> None:
    task = NumberWords(train=900, held_out=100, below=1_000)
    config = ModelConfig(len(task.german), pad_id=0, scale_embeddings=True, activation="relu")
    model = EncoderDecoder(config, len(task.english))
    losses = [step.loss for step in train(model, task.batches(64), 150, rate=5e-3, warmup=20)]
    assert losses[0] > math.log(len(task.german)) * 0.8
    source, _ = task.pairs(task.held_out)
    start = torch.full((100, 1), task.german.START)
    written = generate(model, start, 12, source=source, end_id=task.german.END)
    right = [
        task.german.decode(row) == list(german(number))
        for row, number in zip(written, task.held_out, strict=True)
    ]
    assert sum(right) >= 90
