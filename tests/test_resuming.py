"""resuming.py: a run that was stopped and goes on equals one that was not, bit for bit."""

import copy
import json
import math
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from transformer_lab import checkpoints, distributed, resuming
from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder, LanguageModel
from transformer_lab.schedules import trapezoid
from transformer_lab.training import Step, next_token_sum, train


def own_generator() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(5)
    while True:
        yield torch.randint(0, 12, (3, 6), generator=generator)


def torch_random() -> Iterator[Tensor]:
    while True:
        yield torch.randint(0, 12, (3, 6))


def python_random() -> Iterator[Tensor]:
    while True:
        yield torch.tensor([[random.randrange(12) for _ in range(6)] for _ in range(3)])


def model_of(seed: int, **changes: Any) -> LanguageModel:
    torch.manual_seed(seed)
    random.seed(seed)
    return LanguageModel(ModelConfig(12, d_model=16, dropout=0.2, **changes))


def run(model: nn.Module, data: Callable, steps: int = 7, **more: Any) -> Iterator[Step]:
    return train(model, data(), steps, rate=1e-2, warmup=2, accumulate=2, **more)


def assert_same(first: nn.Module, second: nn.Module) -> None:
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("data", [own_generator, torch_random, python_random])
@pytest.mark.parametrize("stop", [1, 4])
def test_a_run_goes_on_bit_equal_where_it_stopped(
    tmp_path: Path, data: Callable, stop: int
) -> None:
    whole = model_of(0)
    expected = list(run(whole, data))
    file = tmp_path / "run.safetensors"
    for step in run(model_of(0), data, checkpoint=file, save_every=stop):
        if step.index == stop:
            break
    again = model_of(0)
    torch.randn(3)
    random.random()
    with torch.no_grad():
        again.head.weight.fill_(9)
    # drawn from a shared random state, passed-over batches may differ: only what follows counts
    seen = list(run(again, data, checkpoint=file, resume=True))
    assert seen == expected[stop:]
    assert_same(again, whole)


def test_dropout_was_part_of_that_proof() -> None:
    model = model_of(0).train()
    batch = torch.randint(0, 12, (3, 6))
    assert not torch.equal(model(batch), model(batch))


def test_a_run_that_still_holds_its_rate_can_be_made_longer(tmp_path: Path) -> None:
    file, whole, again = tmp_path / "run.safetensors", model_of(0), model_of(0)
    expected = list(run(whole, own_generator, steps=12, schedule=trapezoid))
    short = run(model_of(0), own_generator, 6, schedule=trapezoid, checkpoint=file, save_every=4)
    assert next(islice(short, 3, None)) == expected[3]
    longer = run(again, own_generator, 12, schedule=trapezoid, checkpoint=file, resume=True)
    assert list(longer) == expected[4:]
    assert_same(again, whole)


def test_without_a_file_a_resumed_run_starts(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    first, second = model_of(0), model_of(0)
    torch.manual_seed(1)
    expected = list(run(first, own_generator))
    torch.manual_seed(1)
    assert list(run(second, own_generator, checkpoint=file, resume=True)) == expected
    assert_same(first, second)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    model, again = model_of(0), model_of(1)
    list(run(model, own_generator, checkpoint=file))
    assert list(run(again, own_generator, checkpoint=file, resume=True)) == []
    assert_same(model, again)


def test_a_run_starts_anew_unless_told_to_resume(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    list(run(model_of(0), own_generator, checkpoint=file))
    assert next(run(model_of(0), own_generator, checkpoint=file)).index == 1


def test_a_checkpoint_is_written_when_due_at_the_end_and_when_batches_end(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    written = [
        resuming.steps_done(file)
        for _ in run(model_of(0), own_generator, checkpoint=file, save_every=3)
    ]
    assert written == [0, 0, 3, 3, 3, 6, 7]
    ten = [torch.randint(0, 12, (3, 6)) for _ in range(10)]
    list(run(model_of(0), lambda: ten, checkpoint=file, save_every=3))
    assert resuming.steps_done(file) == 5


def test_the_file_is_safetensors_and_json_and_a_shared_weight_is_in_it_once(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    list(run(model_of(0, tie_embeddings=True), own_generator, checkpoint=file))
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]
    with safe_open(file, framework="pt") as opened:
        names, about = set(opened.keys()), opened.metadata()
    assert json.loads(about["run"])["step"] == 7
    assert "model.embedding.tokens.weight" in names
    assert "model.head.weight" not in names
    assert "optimiser.embedding.tokens.weight.exp_avg_sq" in names


def test_buffers_that_a_model_keeps_are_kept(tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        return model(batch).square().mean()

    batches = [torch.randn(8, 4) for _ in range(6)]
    first, file = build(), tmp_path / "run.safetensors"
    twin = copy.deepcopy(first)
    list(train(first, batches, 6, loss=loss))
    for step in train(twin, batches, 6, loss=loss, checkpoint=file, save_every=2):
        if step.index == 2:
            break
    again = build()
    list(train(again, batches, 6, loss=loss, checkpoint=file, resume=True))
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    file, broken = tmp_path / "run.safetensors", 5
    model, calls = model_of(0), []

    def loss(given: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
        calls.append(batch)
        total, count = next_token_sum(given, batch)
        return total * (math.nan if len(calls) == 2 * broken else 1), count

    steps = run(model, own_generator, loss=loss, checkpoint=file, save_every=2)
    with pytest.raises(FloatingPointError, match="step 5: loss nan, rate"):
        list(steps)
    assert resuming.steps_done(file) == 4
    whole, again = model_of(0), model_of(0)
    expected = list(run(whole, own_generator))
    assert list(run(again, own_generator, checkpoint=file, resume=True)) == expected[4:]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.safetensors"
    list(run(model_of(0), own_generator, checkpoint=file))
    before = file.read_bytes()

    def full_disk(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        list(run(model_of(0), own_generator, checkpoint=file))
    assert file.read_bytes() == before


def saved(folder: Path) -> Path:
    list(run(model_of(0), own_generator, checkpoint=folder / "run.safetensors"))
    return folder / "run.safetensors"


def assert_refused(file: Path, model: nn.Module, message: str) -> None:
    """Nothing of the model or of torch's random state has changed after the error."""
    before, state = copy.deepcopy(model), torch.get_rng_state()
    with pytest.raises(ValueError, match=message) as caught:
        resuming.load_run(file, model, torch.optim.AdamW(model.parameters()))
    assert str(file) in str(caught.value)
    assert_same(before, model)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path)
    file.write_bytes(file.read_bytes()[:-10])
    assert_refused(file, model_of(0), "not a whole safetensors file")


def test_a_run_of_another_model_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path)
    other = model_of(0, d_ff=32)
    assert_refused(file, other, r"feed_forward\S+ is \(64\S* torch.float32 there and \(32\S*")
    assert_refused(file, model_of(0, tie_embeddings=False), "head.weight is missing there")
    assert_refused(file, model_of(0).double(), "torch.float32 there and .* torch.float64 here")


def test_a_file_with_weights_alone_is_refused(tmp_path: Path) -> None:
    model = EncoderDecoder(ModelConfig(12, d_model=16))
    file = checkpoints.save(model, tmp_path / "weights.safetensors")
    assert_refused(file, model, "holds no training run")


def test_a_run_of_two_processes_is_not_resumed_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "gather", lambda tensor: torch.stack([tensor, tensor]))
        file = saved(tmp_path)
    assert_refused(file, model_of(0), "written by 2 processes and must be resumed by as many")


def test_no_file_is_no_steps(tmp_path: Path) -> None:
    assert resuming.steps_done(tmp_path / "none.safetensors") == 0
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        model = model_of(0)
        resuming.load_run(
            tmp_path / "none.safetensors", model, torch.optim.AdamW(model.parameters())
        )
