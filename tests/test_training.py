"""training.py: the update is torch's, however it is divided up, and a bad loss stops."""

import copy
import math

import pytest
import torch
from torch import nn

from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.schedules import inverse_root, warmup_cosine
from transformer_lab.tasks import NumberWords, german
from transformer_lab.training import (
    next_token_loss,
    next_token_sum,
    smoothing_floor,
    train,
    weight_groups,
)


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
    def loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        assert all(part.training for part in model.modules())
        return next_token_loss(model, batch)

    for resting in (lambda model: model, lambda model: model.layers[1]):
        model = LanguageModel(ModelConfig(12, d_model=16))
        resting(model).eval()
        before = [part.training for part in model.modules()]
        for _ in train(model, [torch.randint(0, 12, (2, 5))] * 2, 2, loss=loss):
            assert [part.training for part in model.modules()] == before


def test_the_mode_is_the_callers_after_an_error_too() -> None:
    model = LanguageModel(ModelConfig(12, d_model=16)).eval()
    with pytest.raises(ValueError, match=r"must lie in 0\.\.11"):
        next(train(model, [torch.full((2, 5), 12)], 1))
    assert not model.training


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_accumulated_micro_batches_train_like_one_large_batch(parts: int) -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0)).double()
    twin = copy.deepcopy(model)
    source, target = torch.randint(1, 20, (3, 8, 5)), torch.randint(1, 20, (3, 8, 9))
    target[:, torch.arange(9) > torch.arange(1, 9)[:, None]] = 0
    large = list(zip(source, target, strict=True))
    micro = [pair for s, t in large for pair in zip(s.chunk(parts), t.chunk(parts), strict=True)]
    ours = list(train(model, micro, 3, accumulate=parts))
    theirs = list(train(twin, large, 3))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.tokens == other.tokens == 36
        assert mine.loss == pytest.approx(other.loss, abs=1e-12)
        assert mine.gradient_norm == pytest.approx(other.gradient_norm, abs=1e-12)
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


def test_batches_left_over_at_the_end_make_a_smaller_step() -> None:
    model = LanguageModel(ModelConfig(12, d_model=16))
    batches = [torch.randint(0, 12, (2, 6)) for _ in range(5)]
    assert [step.tokens for step in train(model, batches, 9, accumulate=2)] == [20, 20, 10]


def test_the_rate_is_the_schedules() -> None:
    batches = [torch.randint(0, 12, (2, 5))] * 6
    for schedule in (inverse_root, lambda step, steps, warmup: step / 7):
        steps = train(
            LanguageModel(ModelConfig(12, d_model=16)), batches, 6, 0.02, 2, schedule=schedule
        )
        for step in steps:
            assert step.rate == pytest.approx(0.02 * schedule(step.index, 6, 2))


def test_no_bound_leaves_the_gradient_as_it_is() -> None:
    def loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return 1e3 * model(batch).square().mean()

    for clip, bounded in ((1.0, True), (math.inf, False)):
        model = nn.Linear(3, 1)
        step = next(train(model, [torch.ones(2, 3)], 1, clip=clip, loss=loss))
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
        assert norm == pytest.approx(1.0 if bounded else step.gradient_norm, rel=1e-5)
        assert step.gradient_norm > 2


def test_any_module_trains_with_a_loss_of_its_own() -> None:
    model = nn.Linear(2, 1)
    rows = torch.randn(64, 2)
    wanted = rows @ torch.tensor([[2.0], [-1.0]]) + 0.5
    steps = list(
        train(
            model,
            [(rows, wanted)] * 400,
            400,
            rate=0.05,
            weight_decay=0.0,
            loss=lambda given, pair: (given(pair[0]) - pair[1]).square().mean(),
        )
    )
    assert steps[-1].loss < 1e-6
    assert steps[-1].tokens == 1
    torch.testing.assert_close(model.weight, torch.tensor([[2.0, -1.0]]), rtol=0, atol=1e-3)


def test_smoothing_spreads_its_share_over_all_tokens() -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0)).eval()
    source, target = torch.randint(1, 20, (3, 5)), torch.randint(1, 20, (3, 6))
    target[0, 3:] = 0
    logs = model(source, target[:, :-1]).log_softmax(-1)
    wanted = 0.9 * nn.functional.one_hot(target[:, 1:], 20) + 0.1 / 20
    losses = -(wanted * logs).sum(-1)[target[:, 1:] != 0]
    total, count = next_token_sum(model, (source, target), smoothing=0.1)
    assert count == 12
    torch.testing.assert_close(total, losses.sum())
    step = next(train(model, [(source, target)], 1, smoothing=0.1))
    assert step.loss == pytest.approx(losses.mean().item(), rel=1e-6)


@pytest.mark.parametrize(("smoothing", "classes"), [(0.1, 2), (0.1, 37_000), (0.5, 7), (0.9, 3)])
def test_no_loss_lies_below_the_floor_and_the_target_itself_lies_on_it(
    smoothing: float, classes: int
) -> None:
    floor, answer = smoothing_floor(smoothing, classes), torch.tensor([1])
    best = torch.full((1, classes), smoothing / classes, dtype=torch.float64)
    best[0, 1] += 1 - smoothing
    for nudge in (0.0, 0.01, 1.0):
        logits = best.log() + nudge * torch.randn(1, classes)
        loss = nn.functional.cross_entropy(logits, answer, label_smoothing=smoothing).item()
        if nudge:
            assert loss > floor
        else:
            assert loss == pytest.approx(floor, abs=1e-12)


def test_without_smoothing_or_a_choice_the_floor_is_zero() -> None:
    assert smoothing_floor(0.0, 10) == 0
    assert smoothing_floor(0.3, 1) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(("smoothing", "classes"), [(-0.1, 5), (1.0, 5), (math.nan, 5), (0.1, 0)])
def test_a_floor_that_cannot_be_is_named(smoothing: float, classes: int) -> None:
    with pytest.raises(ValueError, match=r"(smoothing|classes) must"):
        smoothing_floor(smoothing, classes)


@pytest.mark.parametrize(
    ("steps", "warmup", "said"),
    [
        (0, 0, "steps must be a whole number at least 1, got 0"),
        (5, 5, "warmup must be a whole number at least 0 and below 5, got 5"),
        (5, -1, "warmup must be a whole number at least 0 and below 5, got -1"),
    ],
)
def test_a_schedule_that_cannot_be_is_named(steps: int, warmup: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        train(LanguageModel(ModelConfig(5)), [], steps, warmup=warmup)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0.0},
        {"rate": math.nan},
        {"weight_decay": -0.1},
        {"clip": 0.0},
        {"smoothing": 1.0},
        {"accumulate": 0},
        {"save_every": 0},
        {"checkpoint": None, "resume": True},
        {"checkpoint": "no/such/folder/run.safetensors"},
        {"smoothing": 0.1, "loss": next_token_loss},
    ],
)
def test_settings_that_do_not_fit_are_named_before_anything_runs(wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be .*, got"):
        train(LanguageModel(ModelConfig(5)), [], 5, **wrong)


def test_a_model_that_cannot_be_trained_is_named() -> None:
    with pytest.raises(TypeError, match="unless you give a loss, got TextEncoder"):
        train(TextEncoder(ModelConfig(5)), [], 5)
    with pytest.raises(ValueError, match="model must have weights to train, got ReLU"):
        train(nn.ReLU(), [], 5, loss=next_token_loss)


def test_a_processor_without_bfloat16_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformer_lab.training.has_bf16", lambda device: False)
    with pytest.raises(ValueError, match="bf16 must be False: this cpu has no bfloat16"):
        train(LanguageModel(ModelConfig(5)), [], 5, bf16=True)


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
