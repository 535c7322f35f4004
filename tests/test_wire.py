"""Numbers survive the way to the browser, and what is not a number is refused by name."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from transformer_lab.instruments import wire

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


@given(arrays.arrays(np.float64, SHAPES, elements=st.floats(0, 1)))
def test_a_probability_comes_back_within_half_a_step(values):
    packed = wire.pack_probabilities(values)
    assert len(packed) == 2 * values.size
    back = wire.unpack_probabilities(packed, values.shape)
    np.testing.assert_allclose(back, values, rtol=0, atol=0.5 / wire.STEPS + 1e-12)


@given(arrays.arrays(np.float32, SHAPES, elements=st.floats(allow_nan=False, width=32)))
def test_a_float_comes_back_exactly_or_is_refused(values):
    if np.isfinite(values).all():
        back = wire.unpack_floats(wire.pack_floats(values), values.shape)
        np.testing.assert_array_equal(back, values)
    else:
        with pytest.raises(ValueError, match="values must be finite"):
            wire.pack_floats(values)


@given(st.text(st.characters(codec=None, categories=None)))
def test_every_token_can_be_written_as_utf8_and_a_sound_one_is_not_changed(token):
    safe = wire.text(token)
    safe.encode("utf-8")
    if not any(0xD800 <= ord(c) <= 0xDFFF for c in token):
        assert safe == token


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_every_float_type_and_with_a_gradient_are_accepted(kind):
    values = torch.tensor([[0.25, 0.75]], dtype=kind, requires_grad=True)
    back = wire.unpack_probabilities(wire.pack_probabilities(values), (1, 2))
    np.testing.assert_allclose(back, [[0.25, 0.75]], atol=7.63e-6)


def test_a_mask_is_one_byte_a_cell():
    assert wire.pack_mask(torch.tensor([[True, False], [True, True]])) == b"\x01\x00\x01\x01"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: wire.array([[1.0], [2.0, 3.0]], "weights"), ValueError, "weights must be a full"),
        (lambda: wire.array(["a"], "weights"), TypeError, "weights must hold numbers"),
        (lambda: wire.array([1.0, float("nan")], "weights"), ValueError, r"at \(1,\) it is nan"),
        (lambda: wire.pack_probabilities([1.5], "weights"), ValueError, r"weights must lie in"),
        (lambda: wire.pack_mask([1.0]), TypeError, r"mask must be boolean \(True = may look\)"),
        (lambda: wire.text(3), TypeError, "tokens must hold strings, not 3"),
    ],
)
def test_an_error_names_the_argument_and_what_was_expected(call, error, words):
    with pytest.raises(error, match=words):
        call()
