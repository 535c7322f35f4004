"""gradients.py: several batches equal one, padding counted right; bfloat16 where it exists."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.config import ModelConfig
from transformer_lab.gradients import has_bf16, mean_gradient
from transformer_lab.models import EncoderDecoder, LanguageModel
from transformer_lab.training import next_token_loss, next_token_sum

CPU = torch.device("cpu")


def uneven() -> tuple[Tensor, Tensor]:
    """12 pairs whose targets have 1 to 12 real tokens after the first."""
    source, target = torch.randint(1, 20, (12, 5)), torch.randint(1, 20, (12, 13))
    target[torch.arange(13) > torch.arange(1, 13)[:, None]] = 0
    return source, target


@pytest.mark.parametrize(("kind", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("parts", [2, 3, 12])
def test_micro_batches_have_the_gradient_of_one_large_batch(
    kind: torch.dtype, bound: float, parts: int
) -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0)).to(kind)
    twin = copy.deepcopy(model)
    source, target = uneven()
    micro = zip(source.chunk(parts), target.chunk(parts), strict=True)
    mean, count = mean_gradient(model, micro, next_token_sum)
    whole = next_token_loss(twin, (source, target))
    whole.backward()
    assert count == 78
    assert mean == pytest.approx(whole.item(), abs=bound)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=bound)


def test_a_mean_of_means_would_be_another_number() -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0))
    source, target = uneven()
    micro = list(zip(source.chunk(3), target.chunk(3), strict=True))
    right, count = mean_gradient(model, micro, next_token_sum)
    bare, batches = mean_gradient(model, micro, next_token_loss)
    assert (count, batches) == (78, 3)
    assert abs(right - bare) > 1e-3
    assert bare == pytest.approx(sum(next_token_loss(model, b).item() for b in micro) / 3)


def test_a_gradient_starts_from_nothing() -> None:
    model = nn.Linear(3, 1)
    batch = torch.randn(5, 3)
    found = []
    for _ in range(2):
        mean_gradient(model, [batch], lambda given, rows: given(rows).square().mean())
        found.append(model.weight.grad.clone())
    assert torch.equal(*found)


def test_frozen_weights_get_no_gradient() -> None:
    model = nn.Sequential(nn.Linear(3, 3).requires_grad_(False), nn.Linear(3, 1))
    mean_gradient(model, [torch.randn(5, 3)], lambda given, rows: given(rows).square().mean())
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]


def test_nothing_but_padding_is_refused() -> None:
    model = LanguageModel(ModelConfig(12, d_model=16, pad_id=0))
    with pytest.raises(ValueError, match="nothing but padding"):
        mean_gradient(model, [torch.zeros(2, 5, dtype=torch.long)], next_token_sum)


@pytest.mark.parametrize("wrong", [1.5, torch.zeros(2), (1.5, 2), None])
def test_a_loss_that_is_no_number_is_named(wrong: object) -> None:
    with pytest.raises(TypeError, match="loss must give a tensor with one number"):
        mean_gradient(nn.Linear(2, 2), [None], lambda model, batch: wrong)


@pytest.mark.skipif(not has_bf16(CPU), reason="this processor has no bfloat16 instructions")
def test_bfloat16_multiplies_and_float32_keeps() -> None:
    model = LanguageModel(ModelConfig(12, d_model=32))
    batch = torch.randint(0, 12, (8, 20))
    kinds = []
    model.head.register_forward_hook(lambda module, args, out: kinds.append(out.dtype))
    full, _ = mean_gradient(model, [batch], next_token_sum)
    expected = [p.grad for p in model.parameters()]
    half, _ = mean_gradient(model, [batch], next_token_sum, bf16=True)
    assert kinds == [torch.float32, torch.bfloat16]
    assert half != full
    assert half == pytest.approx(full, rel=1e-2)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert parameter.grad.dtype == torch.float32
        if gradient.norm() > 1e-6:  # a key's bias moves no softmax: its gradient is rounding alone
            assert F.cosine_similarity(parameter.grad.flatten(), gradient.flatten(), 0) > 0.99


def test_only_processors_with_bfloat16_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_bf16(torch.device("meta"))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    for answer in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda answer=answer: answer)
        assert has_bf16(CPU) is answer
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert not has_bf16(torch.device("cuda"))
