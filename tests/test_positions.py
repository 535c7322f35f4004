"""positions.py against the formula of Vaswani et al. 2017, section 3.5."""

import math
import re

import pytest
import torch

from transformer_lab.positions import alibi, alibi_slopes, rotary, rotary_table, sinusoidal


def test_each_number_is_the_wave_of_the_paper() -> None:
    waves = sinusoidal(50, 6)
    assert waves.shape == (50, 6)
    for position in (0, 1, 7, 49):
        for i in range(3):
            angle = position / 10_000 ** (2 * i / 6)
            assert waves[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert waves[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_the_product_of_two_positions_depends_on_their_distance_only() -> None:
    waves = sinusoidal(64, 32).double()
    products = waves @ waves.T
    for distance in (0, 1, 5):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "width", "said"),
    [
        (0, 4, "length must be a whole number at least 1, got 0"),
        (3, 0, "{} must be a whole number at least 2, got 0"),
        (3, 5, "{} must be even, got 5"),
    ],
)
def test_sizes_that_make_no_waves_are_named(length: int, width: int, said: str) -> None:
    with pytest.raises(ValueError, match=said.format("d_model")):
        sinusoidal(length, width)
    with pytest.raises(ValueError, match=said.format("d")):
        rotary_table(length, width)


def test_tables_are_float32() -> None:
    assert {part.dtype for part in (sinusoidal(2, 2), *rotary_table(2, 2))} == {torch.float32}


def test_one_place_and_one_pair_are_enough() -> None:
    assert sinusoidal(1, 2).tolist() == [[0, 1]]
    assert [part.tolist() for part in rotary_table(1, 2)] == [[[1]], [[0]]]


@pytest.mark.parametrize(
    "x", [torch.ones(4), torch.ones(3, 4, dtype=torch.long), torch.ones(0, 4), torch.ones(3, 5)]
)
def test_what_cannot_be_turned_in_pairs_is_named(x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{x.dtype} of shape {tuple(x.shape)}")):
        rotary(x)


def test_the_table_holds_the_angles_of_the_paper_from_place_0_on() -> None:
    cosine, sine = rotary_table(10_000, 6)
    for place in (0, 1, 2, 3, 9_999):  # far off, float32 angles would be wrong in the 4th digit
        angles = [place / 10_000 ** (2 * i / 6) for i in range(3)]
        assert cosine[place].tolist() == pytest.approx([math.cos(a) for a in angles], abs=1e-6)
        assert sine[place].tolist() == pytest.approx([math.sin(a) for a in angles], abs=1e-6)


def test_a_text_may_come_without_a_batch_and_none_starts_before_place_0() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(rotary(x), rotary(x[None])[0])
    with pytest.raises(ValueError, match="offset must be a whole number at least 0, got -1"):
        rotary(x, offset=-1)


@pytest.mark.parametrize("given", [{}, {"offset": 4}, {"base": 50.0}, {"offset": 2, "base": 9.0}])
def test_rotary_turns_pairs_as_complex_numbers_turn(given: dict) -> None:
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    places = given.get("offset", 0) + torch.arange(3.0, dtype=torch.float64)
    angles = places[:, None] / given.get("base", 10_000.0) ** (torch.arange(0, 6, 2) / 6)
    turned = torch.complex(x[..., :3], x[..., 3:]) * torch.polar(torch.ones_like(angles), angles)
    expected = torch.cat([turned.real, turned.imag], -1)
    torch.testing.assert_close(rotary(x, **given), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_rotary_keeps_the_kind_of_number(dtype: torch.dtype) -> None:
    assert rotary(torch.ones(3, 4, dtype=dtype), offset=1).dtype == dtype


@pytest.mark.parametrize(("T", "S"), [(4, 4), (2, 5), (1, 3)])
def test_alibi_takes_off_distance_times_slope(T: int, S: int) -> None:
    for slopes in ([2**-8], [2**-4, 2**-8]):
        bias = alibi(len(slopes), T, S)
        assert bias.shape == (len(slopes), T, S)
        for head, slope in enumerate(slopes):
            for t in range(T):
                at = S - T + t  # the queries are the last of the positions
                assert bias[head, t].tolist() == [-slope * abs(at - s) for s in range(S)]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((2, 0, 3), "T=0, S=3"),
        ((2, 4, 3), "T=4, S=3"),
        ((2, 2.5, 3), "T=2.5, S=3"),
        ((0, 3, 3), "n_heads must be a whole number at least 1, got 0"),
        ((2.0, 3, 3), "n_heads must be a whole number at least 1, got 2.0"),
    ],
)
def test_what_alibi_cannot_do_is_named(sizes: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        alibi(*sizes)


def test_a_base_is_above_0() -> None:
    assert rotary_table(2, 4, 0.25)[0][1].tolist() == pytest.approx([math.cos(1), math.cos(2)])
    for base in (0, -0.5):
        with pytest.raises(ValueError, match=f"base must be a number above 0, got {base}"):
            rotary_table(2, 4, base)


def test_slopes_without_a_number_of_keys_are_for_as_many_as_queries() -> None:
    assert torch.equal(alibi(4, 5), alibi(4, 5, 5))


def test_slopes_halve_and_six_heads_borrow_two_from_eight() -> None:
    assert alibi_slopes(4).tolist() == [2**-2, 2**-4, 2**-6, 2**-8]
    assert alibi_slopes(6).tolist() == [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]
