"""decoding.py: each token is chosen from the model's own last logits."""

import pytest
import torch
from shaking import shake

from transformer_lab.config import ModelConfig
from transformer_lab.decoding import filtered, generate
from transformer_lab.models import EncoderDecoder, LanguageModel
from transformer_lab.writer import left_pad


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


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "alibi", "none"])
@pytest.mark.parametrize("kind", ["language", "grouped", "translator"])
def test_the_cache_changes_nothing_but_the_speed(positions: str, kind: str) -> None:
    config = ModelConfig(
        20, d_model=16, positions=positions, n_kv_heads=2 if kind == "grouped" else 4
    )
    source = None
    if kind == "translator":
        model, source = EncoderDecoder(config), torch.randint(0, 20, (3, 6))
    else:
        model = LanguageModel(config)
    shake(model)
    start = torch.randint(0, 20, (3, 4))
    written = generate(model, start, 12, source=source)
    assert torch.equal(written, generate(model, start, 12, source=source, cache=False))


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "alibi", "none"])
@pytest.mark.parametrize("cache", [True, False])
def test_prompts_of_different_lengths_go_on_as_if_alone(positions: str, cache: bool) -> None:
    model = shake(LanguageModel(ModelConfig(20, d_model=16, positions=positions)))
    prompts = [[3, 5, 7, 9, 11], [4], [8, 6]]
    tokens, mask = left_pad(prompts)
    together = generate(model, tokens, 8, mask=mask, cache=cache)
    for prompt, row in zip(prompts, together, strict=True):
        alone = generate(model, torch.tensor([prompt]), 8, cache=cache)
        assert torch.equal(row[-8:], alone[0, -8:])


def test_beams_that_keep_everything_find_the_likeliest_text() -> None:
    """With a beam for every beginning, the search equals trying all texts of three tokens."""
    model = shake(LanguageModel(ModelConfig(5, d_model=16, n_layers=1)))
    start = torch.tensor([[1, 2]])
    texts = torch.cartesian_prod(*[torch.arange(5)] * 3)
    with torch.no_grad():
        logits = model(torch.cat([start.expand(125, 2), texts], 1))
    each = logits[:, 1:-1].log_softmax(-1).gather(2, texts[..., None])
    best = texts[each.sum((1, 2)).argmax()]
    assert torch.equal(generate(model, start, 3, beams=25)[0, 2:], best)


def test_one_beam_is_greedy_and_more_are_never_less_likely(model: LanguageModel) -> None:
    shake(model)
    torch.nn.init.zeros_(model.norm.bias)  # or one token wins everywhere
    start = torch.randint(0, 20, (6, 3))

    def likelihood(text: torch.Tensor) -> torch.Tensor:
        steps = model(text)[:, 2:-1].log_softmax(-1).gather(2, text[:, 3:, None])
        return steps.sum((1, 2))

    greedy, wide = generate(model, start, 4), generate(model, start, 4, beams=400)
    assert (likelihood(wide) >= likelihood(greedy) - 1e-9).all()
    assert (likelihood(wide) > likelihood(greedy) + 1e-6).any()


@pytest.mark.parametrize("cache", [True, False])
def test_a_search_for_several_rows_equals_one_for_each(cache: bool) -> None:
    model = shake(EncoderDecoder(ModelConfig(20, d_model=16, pad_id=0)))
    source, start = torch.randint(1, 20, (3, 6)), torch.ones(3, 1).long()
    together = generate(model, start, 6, beams=4, source=source, end_id=2, cache=cache)
    for row in range(3):
        alone = generate(model, start[:1], 6, beams=4, source=source[row : row + 1], end_id=2)
        assert torch.equal(together[row, : alone.shape[1]], alone[0])


def test_a_length_penalty_prefers_longer_texts() -> None:
    model = shake(LanguageModel(ModelConfig(6, d_model=16, n_layers=1)))
    start = torch.randint(0, 6, (20, 2))

    def lengths(penalty: float) -> float:
        out = generate(model, start, 5, beams=30, length_penalty=penalty, end_id=3)[:, 2:]
        return (out != 3).float().sum().item()

    assert lengths(0.0) < lengths(3.0)


def test_filters_keep_what_they_say() -> None:
    probability = torch.tensor([0.4, 0.3, 0.2, 0.06, 0.04])
    logits = probability.log()

    def kept(**how: float) -> list[int]:
        return filtered(logits, **how).isfinite().nonzero().flatten().tolist()

    assert kept(top_k=2) == [0, 1]
    assert kept(top_k=9) == [0, 1, 2, 3, 4]
    assert kept(top_p=0.1) == [0]
    assert kept(top_p=0.41) == [0, 1]
    assert kept(top_p=0.71) == [0, 1, 2]
    assert kept(min_p=0.49) == [0, 1, 2]
    assert kept(top_k=4, min_p=0.16) == [0, 1, 2]
    assert kept(top_k=1, top_p=1.0, min_p=1.0) == [0]
    assert filtered(logits[torch.tensor([4, 0, 3, 1, 2])], top_k=1).argmax() == 1


def test_drawn_tokens_follow_the_filtered_distribution(model: LanguageModel) -> None:
    """Pearson's chi-squared over the kept tokens, at the 0.1 % level."""
    shake(model)
    start, draws = torch.tensor([[3]]), 20_000
    many = generate(model, start.expand(draws, 1), 1, temperature=2.0, top_k=6, seed=0)[:, 1]
    with torch.no_grad():
        expected = filtered(model(start)[0, -1] / 2.0, top_k=6).softmax(-1) * draws
    found = torch.bincount(many, minlength=20)
    assert found[expected == 0].sum() == 0
    kept = expected > 5
    assert ((found - expected)[kept].square() / expected[kept]).sum() < 20.5  # 5 degrees of freedom


def test_a_pad_id_that_is_written_is_a_token_like_any_other() -> None:
    model = shake(LanguageModel(ModelConfig(4, d_model=16, pad_id=0)))
    start = torch.tensor([[1, 2]])
    for seed in range(8):
        one = generate(model, start, 10, temperature=3.0, seed=seed)
        two = generate(model, start, 10, temperature=3.0, seed=seed, cache=False)
        assert torch.equal(one, two)


def test_arguments_that_do_not_fit_are_named(model: LanguageModel) -> None:
    start = torch.tensor([[1]])
    with pytest.raises(ValueError, match=r"max_new_tokens.*0"):
        generate(model, start, 0)
    with pytest.raises(ValueError, match=r"temperature must.*-1"):
        generate(model, start, 1, temperature=-1)
    with pytest.raises(ValueError, match="source"):
        generate(model, start, 1, source=start)
    with pytest.raises(ValueError, match="source"):
        generate(EncoderDecoder(ModelConfig(20)), start, 1)
    with pytest.raises(TypeError, match="Linear"):
        generate(torch.nn.Linear(2, 2), start, 1)
    with pytest.raises(ValueError, match=r"\(1, 0\)"):
        generate(model, start[:, :0], 1)
    with pytest.raises(ValueError, match=r"beams must.*0"):
        generate(model, start, 1, beams=0)
    with pytest.raises(ValueError, match=r"mask.*left_pad"):
        generate(model, torch.tensor([[1, 2]]), 1, mask=torch.tensor([[True, False]]))
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(1, 3\)"):
        generate(model, torch.tensor([[1, 2]]), 1, mask=torch.tensor([[False, True, True]]))
    for name, bad in (("top_k", 0), ("top_p", 0.0), ("top_p", 1.5), ("min_p", -1)):
        with pytest.raises(ValueError, match=f"{name} must.*{bad}"):
            generate(model, start, 1, temperature=1.0, **{name: bad})
    with pytest.raises(ValueError, match="each at least one token"):
        left_pad([[1], []])
