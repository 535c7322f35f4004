"""decoding.py: each token is chosen from the model's own last logits."""

import pytest
import torch

from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.models import EncoderDecoder, LanguageModel


@pytest.fixture
def model() -> LanguageModel:
    return LanguageModel(ModelConfig(20, d_model=16, max_len=30))


def test_greedy_takes_the_most_likely_token_each_time(model: LanguageModel) -> None:
    out = generate(model, torch.tensor([[3, 5], [7, 7]]), 6)
    assert out.shape == (2, 8)
    with torch.no_grad():
        assert torch.equal(model(out)[:, 1:-1].argmax(-1), out[:, 2:])


def test_sampling_is_seeded_and_follows_the_softmax(model: LanguageModel) -> None:
    start = torch.tensor([[3]])
    assert torch.equal(
        generate(model, start, 9, temperature=1.0, seed=1),
        generate(model, start, 9, temperature=1.0, seed=1),
    )
    many = generate(model, start.expand(20_000, 1), 1, temperature=0.5, seed=0)[:, 1]
    found = torch.bincount(many, minlength=20) / 20_000
    with torch.no_grad():
        expected = (model(start)[0, -1] / 0.5).softmax(-1)
    assert (found - expected).abs().max() < 0.015


def test_after_the_end_a_row_holds_nothing_but_the_end(model: LanguageModel) -> None:
    start = torch.randint(0, 20, (8, 2))
    free = generate(model, start, 10)
    end = free[0, 4].item()
    out = generate(model, start, 10, end_id=end)
    for row, other in zip(out, free, strict=True):
        ends = (row[2:] == end).nonzero()
        stop = 2 + (ends[0].item() if len(ends) else len(row) - 2)
        assert torch.equal(row[:stop], other[:stop])
        assert (row[stop:] == end).all()


def test_a_batch_writes_what_each_row_would_write_alone() -> None:
    model = EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0, scale_embeddings=True))
    source = torch.randint(1, 20, (3, 6))
    source[0, 3:] = 0
    start = torch.ones(3, 1).long()
    together = generate(model, start, 5, source=source)
    alone = generate(model, start[:1], 5, source=source[:1, :3])
    assert torch.equal(together[:1], alone)


def test_the_model_is_left_in_the_mode_it_was_in(model: LanguageModel) -> None:
    model.train()
    generate(model, torch.tensor([[1]]), 1)
    assert model.training
    with pytest.raises(ValueError, match="max_len"):
        generate(model, torch.tensor([[1]]), 50)
    assert model.training


def test_arguments_that_do_not_fit_are_named(model: LanguageModel) -> None:
    start = torch.tensor([[1]])
    with pytest.raises(ValueError, match="got 0, 0"):
        generate(model, start, 0)
    with pytest.raises(ValueError, match="got 1, -1"):
        generate(model, start, 1, temperature=-1)
    with pytest.raises(ValueError, match="source"):
        generate(model, start, 1, source=start)
    with pytest.raises(ValueError, match="source"):
        generate(EncoderDecoder(ModelConfig(20)), start, 1)
