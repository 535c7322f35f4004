"""tasks.py: each answer is checked by other means, and a seed decides everything."""

import math
from collections import Counter
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transformer_lab import tasks
from transformer_lab.tasks import MarkovSource
from transformer_lab.tokens import Vocabulary

GENERATORS = {
    "copy": lambda seed: tasks.copy(16, 9, 5, seed),
    "reverse": lambda seed: tasks.reverse(16, 9, 5, seed),
    "sort": lambda seed: tasks.sort(16, 9, 5, seed),
    "delayed_recall": lambda seed: tasks.delayed_recall(16, 9, 5, seed),
    "two_lookups": lambda seed: tasks.two_lookups(16, 9, 5, seed),
    "repeated": lambda seed: tasks.repeated(16, 20, 5, 3, 9, seed),
    "markov": lambda seed: ((x, x) for x in MarkovSource.random(5).batches(16, 9, seed)),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_a_seed_decides_every_batch(name: str) -> None:
    def drawn(seed: int) -> Tensor:
        return torch.stack([torch.stack(list(batch[:1])) for batch in islice(make(seed), 3)])

    make = GENERATORS[name]
    assert torch.equal(drawn(7), drawn(7))
    assert not torch.equal(drawn(7), drawn(8))
    assert not torch.equal(drawn(7)[0], drawn(7)[1])


@pytest.mark.parametrize("name", GENERATORS)
def test_the_global_generator_is_neither_read_nor_moved(name: str) -> None:
    before = torch.get_rng_state()
    first = next(GENERATORS[name](7))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    for ours, again in zip(first, next(GENERATORS[name](7)), strict=True):
        assert torch.equal(ours, again)


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (tasks.copy, lambda ids: ids),
        (tasks.reverse, lambda ids: ids[::-1]),
        (tasks.sort, sorted),
    ],
)
def test_a_target_is_the_answer_between_start_and_end(task, answer) -> None:
    seen = set()
    for source, target in islice(task(size=8, length=6, symbols=4, seed=3), 10):
        assert source.shape == (8, 6)
        assert target.shape == (8, 8)
        for read, written in zip(source.tolist(), target.tolist(), strict=True):
            assert written == [Vocabulary.START, *answer(read), Vocabulary.END]
            seen |= set(read)
    assert seen == {3, 4, 5, 6}


@pytest.mark.parametrize("lag", [1, 2, 30])
def test_what_is_recalled_came_first_and_nothing_later_tells(lag: int) -> None:
    tokens, target = next(tasks.delayed_recall(2_000, lag, symbols=4, seed=1))
    assert tokens.shape == (2_000, lag + 1)
    assert tokens[:, 0].tolist() == target.tolist()
    assert (tokens[:, -1] == 8).all()
    assert set(target.tolist()) == {0, 1, 2, 3}
    between = tokens[:, 1:-1]
    assert set(between.flatten().tolist()) <= {4, 5, 6, 7}
    for position in range(between.shape[1]):
        both = Counter(zip(between[:, position].tolist(), target.tolist(), strict=True))
        assert all(70 < times < 190 for times in both.values())  # 125 ± 6 deviations


def test_two_lookups_answer_with_the_symbols_at_both_places_in_order() -> None:
    asked = set()
    for tokens, target in islice(tasks.two_lookups(64, length=4, symbols=5, seed=1), 20):
        assert tokens.shape == (64, 5)
        assert target.shape == (64, 2)
        for row, answer in zip(tokens.tolist(), target.tolist(), strict=True):
            p, q = divmod(row[-1] - 5, 4)
            assert answer == [row[p], row[q]]
            assert max(row[:-1]) < 5
            asked.add((p, q))
    assert asked == {(p, q) for p in range(4) for q in range(4) if p != q}


def two_heads(tokens: Tensor, length: int, symbols: int) -> Tensor:
    """What two heads read when each looks at one of the places: (B, H = 2, V + 1), one-hot."""
    places = torch.stack([(tokens[:, -1] - symbols) // length, (tokens[:, -1] - symbols) % length])
    weights = torch.nn.functional.one_hot(places.T, length + 1).double()
    values = torch.nn.functional.one_hot(tokens.clamp(max=symbols), symbols + 1).double()
    return weights @ values


def test_two_heads_solve_two_lookups_and_their_mean_does_not() -> None:
    tokens, target = next(tasks.two_lookups(500, length=6, symbols=8, seed=1))
    heads = two_heads(tokens, 6, 8)
    assert torch.equal(heads.argmax(-1), target)
    mixed = heads.mean(1)
    swapped = two_heads(tokens, 6, 8).flip(1).mean(1)
    assert torch.equal(mixed, swapped)
    assert (target[:, 0] != target[:, 1]).any()


def test_a_block_repeats_until_the_row_is_full() -> None:
    lengths_seen = set()
    for tokens, lengths in islice(tasks.repeated(32, 20, 50, shortest=3, longest=7, seed=1), 20):
        assert tokens.shape == (32, 20)
        assert lengths.shape == (32,)
        for row, n in zip(tokens.tolist(), lengths.tolist(), strict=True):
            assert row[n:] == row[:-n]
            lengths_seen.add(n)
    assert lengths_seen == {3, 4, 5, 6, 7}
    assert int(tokens.max()) < 50


def test_each_row_draws_its_own_block() -> None:
    tokens, lengths = next(tasks.repeated(64, 16, 1_000, shortest=8, longest=8, seed=1))
    assert (lengths == 8).all()
    assert len({tuple(row) for row in tokens.tolist()}) == 64
    assert len(set(tokens[:, :8].flatten().tolist())) > 350


def test_two_states_have_the_entropy_of_the_textbook() -> None:
    a, b = 0.1, 0.3
    source = MarkovSource(torch.tensor([[1 - a, a], [b, 1 - b]]))
    h = [-p * math.log(p) - (1 - p) * math.log(1 - p) for p in (a, b)]
    torch.testing.assert_close(source.stationary, torch.tensor([0.75, 0.25]).double())
    assert source.entropy == pytest.approx((b * h[0] + a * h[1]) / (a + b), abs=1e-7)


def test_the_entropy_lies_between_certain_and_even() -> None:
    assert MarkovSource(torch.eye(4).roll(1, 1)).entropy == 0
    assert MarkovSource.random(7, spread=0).entropy == pytest.approx(math.log(7))
    assert MarkovSource.random(7, spread=1).entropy > MarkovSource.random(7, spread=4).entropy


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([(2, 1), (3, 1), (9, 1), (2, 3), (4, 2)]), st.floats(0, 5), st.integers())
def test_the_stationary_distribution_is_where_every_start_ends(
    shape: tuple[int, int], spread: float, seed: int
) -> None:
    symbols, order = shape
    source = MarkovSource.random(symbols, order, spread, seed=seed % 2**32)
    moves = torch.zeros(symbols**order, symbols**order, dtype=torch.float64)
    for context in range(symbols**order):
        for symbol in range(symbols):
            moves[context, (context * symbols + symbol) % symbols**order] += source.table[
                context, symbol
            ]
    torch.testing.assert_close(source.stationary @ moves, source.stationary, atol=1e-12, rtol=0)
    assert float(source.stationary.sum()) == pytest.approx(1, abs=1e-12)
    assert bool((source.stationary >= 0).all())


@pytest.mark.parametrize(("symbols", "order"), [(5, 1), (27, 1), (3, 3), (4, 2)])
def test_sampled_text_costs_its_entropy(symbols: int, order: int) -> None:
    source = MarkovSource.random(symbols, order, seed=4)
    tokens = next(source.batches(size=1_000, length=order + 100, seed=1))
    assert tokens.shape == (1_000, order + 100)
    windows = tokens.unfold(1, order + 1, 1)
    context = (windows[..., :-1] * symbols ** torch.arange(order).flip(0)).sum(-1)
    surprise = -source.table[context, windows[..., -1]].log().mean(1)
    error = float(surprise.std()) / math.sqrt(1_000)
    assert abs(float(surprise.mean()) - source.entropy) < 5 * error
    assert error < 0.01
    for place in (0, 99):  # stationary from the first symbol on
        share = torch.bincount(context[:, place], minlength=symbols**order) / 1_000
        assert float((share - source.stationary).abs().max()) < 0.08


def test_a_row_shorter_than_the_order_is_allowed() -> None:
    assert next(MarkovSource.random(3, order=4).batches(5, length=2)).shape == (5, 2)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (torch.rand(3), r"shape \(V \*\* order, V\).*got \(3,\)"),
        (torch.full((6, 3), 1 / 3), r"got \(6, 3\)"),
        (torch.ones(1, 1), r"got \(1, 1\)"),
        (torch.full((2048, 2), 0.5), r"at most 1024, got \(2048, 2\)"),
        (torch.tensor([[0.5, 0.5], [0.5, 0.6]]), r"table\[1\] must be chances that sum to 1"),
        (torch.tensor([[1.5, -0.5], [0.5, 0.5]]), r"table\[0\] must be chances"),
        (torch.tensor([[0.5, 0.5], [float("nan"), 0.5]]), r"table\[1\] must be chances"),
        (torch.eye(3), "one long run"),
    ],
)
def test_a_table_that_is_no_source_is_named(table: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MarkovSource(table)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: tasks.copy(0, 5, 5), "size must be a whole number at least 1, got 0"),
        (lambda: tasks.reverse(2, -1, 5), "length must be a whole number at least 1, got -1"),
        (lambda: tasks.sort(2, 5, 2.5), r"symbols must be a whole number at least 1, got 2\.5"),
        (lambda: tasks.delayed_recall(2, 0, 5), "lag must be a whole number at least 1, got 0"),
        (lambda: tasks.two_lookups(2, 1, 5), "length must be a whole number at least 2, got 1"),
        (lambda: tasks.repeated(2, 9, 5, 4, 3), "shortest=4, longest=3, length=9"),
        (lambda: tasks.repeated(2, 9, 5, 4, 10), "shortest=4, longest=10, length=9"),
        (
            lambda: tasks.repeated(2, 9, 5, 0, 3),
            "shortest must be a whole number at least 1, got 0",
        ),
        (lambda: MarkovSource.random(1), "symbols must be a whole number at least 2, got 1"),
        (lambda: MarkovSource.random(3, 0), "order must be a whole number at least 1, got 0"),
        (lambda: MarkovSource.random(99, 9), r"at most 1024, got 99 \*\* 9"),
        (
            lambda: MarkovSource.random(3).batches(0, 5),
            "size must be a whole number at least 1, got 0",
        ),
    ],
)
def test_bad_sizes_are_named_at_once(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_one_namespace_holds_all_that_lessons_learn_from() -> None:
    assert {"NumberWords", "english", "german", "Dates", "corpus", "windows"} <= set(tasks.__all__)
    assert all(hasattr(tasks, name) for name in tasks.__all__)
