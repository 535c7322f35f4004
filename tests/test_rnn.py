"""rnn.py: equal to torch's layers, and the gradients that reach back through time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from transformer_lab.attention import MultiHeadAttention
from transformer_lab.rnn import Cell, GRUCell, LSTMCell, RNNCell, fused, gradient_by_lag, unroll

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}
KINDS = {
    "tanh": RNNCell,
    "relu": lambda *sizes: RNNCell(*sizes, activation="relu"),
    "gru": GRUCell,
    "lstm": LSTMCell,
}


def from_torch(theirs: nn.RNNBase, cell: Cell) -> None:
    """torch's weights in our cell: each second bias added to the first, but for the candidate of
    a GRU."""
    with torch.no_grad():
        for row, gate in enumerate(cell.gates):
            rows = slice(row * cell.d_hidden, (row + 1) * cell.d_hidden)
            gate.from_input.weight.copy_(theirs.weight_ih_l0[rows])
            gate.from_state.weight.copy_(theirs.weight_hh_l0[rows])
            gate.from_input.bias.copy_(theirs.bias_ih_l0[rows])
            second = theirs.bias_hh_l0[rows]
            if gate.from_state.bias is None:
                gate.from_input.bias += second
            else:
                gate.from_state.bias.copy_(second)


def gradients(out: Tensor, inputs: Tensor, module: nn.Module) -> list[Tensor]:
    """Of a loss that weighs every output differently: by the inputs, then by each parameter."""
    loss = (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum()
    return list(torch.autograd.grad(loss, [inputs, *module.parameters()]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", BOUNDS)
@settings(max_examples=25, deadline=None)
@given(sizes=st.tuples(*[st.integers(1, 9)] * 4), seed=st.integers(0, 999))
def test_states_and_gradients_equal_torchs(kind: str, dtype: torch.dtype, sizes, seed: int) -> None:
    B, T, D, h = sizes
    torch.manual_seed(seed)
    cell = KINDS[kind](D, h).to(dtype)
    theirs = fused(cell)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    from_torch(theirs, cell)
    inputs = torch.randn(B, T, D, dtype=dtype, requires_grad=True)
    out, (expected, _) = unroll(cell, inputs), theirs(inputs)
    bound = BOUNDS[dtype]
    torch.testing.assert_close(out, expected, rtol=bound, atol=bound)
    by_input, *ours = gradients(out, inputs, cell)
    by_input_too, *others = gradients(expected, inputs, theirs)
    torch.testing.assert_close(by_input, by_input_too, rtol=bound, atol=bound)
    names = [name for name, _ in cell.named_parameters()]
    for name, whole in zip(("input.weight", "state.weight", "input.bias"), others, strict=False):
        parts = [g for n, g in zip(names, ours, strict=True) if n.endswith(f".from_{name}")]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=bound, atol=bound)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fused_copy_gives_the_same_states_and_the_same_last_state(kind: str) -> None:
    cell = KINDS[kind](3, 5).double()
    inputs = torch.randn(2, 7, 3, dtype=torch.float64)
    states, last = fused(cell)(inputs)
    torch.testing.assert_close(unroll(cell, inputs), states, rtol=0, atol=1e-10)
    state = None
    for x in inputs.unbind(1):
        state = cell(x, state)
    last = last if isinstance(last, tuple) else (last,)
    for part, expected in zip(state, last, strict=True):
        torch.testing.assert_close(part, expected[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("kind", "redundant"), [("tanh", 1), ("lstm", 4), ("gru", 2)])
def test_torch_keeps_one_redundant_bias_for_each_gate_but_the_grus_candidate(kind, redundant):
    cell = KINDS[kind](3, 5)
    extra = sum(p.numel() for p in fused(cell).parameters())
    extra -= sum(p.numel() for p in cell.parameters())
    assert extra == redundant * 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_in_two_halves_is_the_run(kind: str) -> None:
    cell, inputs = KINDS[kind](3, 5), torch.randn(2, 8, 3)
    state = None
    for x in inputs[:, :4].unbind(1):
        state = cell(x, state)
    later = unroll(cell, inputs[:, 4:], state)
    torch.testing.assert_close(later, unroll(cell, inputs)[:, 4:], rtol=0, atol=0)


@pytest.mark.parametrize("make", [RNNCell, GRUCell, LSTMCell])
def test_initialisation_is_torchs_uniform_or_orthogonal_with_a_gain(make) -> None:
    uniform, scaled = make(20, 64), make(20, 64, gain=3.0)
    for name, parameter in uniform.named_parameters():
        assert 0.8 / 8 < parameter.abs().max() <= 1 / 8, name
        assert abs(parameter.mean()) < 0.04, name
    for gate in scaled.gates:
        assert 2.9 / 8 < gate.from_state.weight.abs().max() <= 3 / 8
        assert gate.from_input.weight.abs().max() <= 1 / 8
    for gate in make(20, 64, "orthogonal", gain=2.0).gates:
        product = gate.from_state.weight @ gate.from_state.weight.T
        torch.testing.assert_close(product, 4 * torch.eye(64), rtol=0, atol=1e-5)


def test_the_forget_bias_is_set_and_no_other() -> None:
    torch.manual_seed(1)
    plain = LSTMCell(3, 5)
    torch.manual_seed(1)
    kept = LSTMCell(3, 5, forget_bias=2.0)
    for name, parameter in kept.named_parameters():
        if name == "forget.from_input.bias":
            assert torch.equal(parameter, torch.full((5,), 2.0))
        else:
            assert torch.equal(parameter, plain.get_parameter(name)), name


# h = 64, T = 100, 5 seeds: the relative gradient at lag 50, measured before with torch's own layers
AT_LAG_50 = {
    "tanh": (lambda: RNNCell(64, 64), 7e-18),
    "gru": (lambda: GRUCell(64, 64), 2e-11),
    "lstm": (lambda: LSTMCell(64, 64), 1e-11),
    "lstm, forget bias 2": (lambda: LSTMCell(64, 64, forget_bias=2.0), 3e-2),
    "lstm, forget bias 3": (lambda: LSTMCell(64, 64, forget_bias=3.0), 2.5e-1),
    "relu, orthogonal × 2": (lambda: RNNCell(64, 64, "orthogonal", 2.0, "relu"), 5e7),
}


@pytest.mark.parametrize("name", AT_LAG_50)
def test_gradients_vanish_and_explode_as_far_as_the_course_says(name: str) -> None:
    make, expected = AT_LAG_50[name]
    relative = gradient_by_lag(make)
    assert relative.shape == (5, 100)
    assert torch.equal(relative[:, 0], torch.ones(5, dtype=torch.float64))
    measured = relative[:, 50].log10().mean().item()
    assert measured == pytest.approx(torch.tensor(expected).log10().item(), abs=0.5)


def test_gradient_by_lag_is_the_norm_of_the_jacobian_one_number_at_a_time() -> None:
    cells = []

    def make() -> Cell:
        cells.append(LSTMCell(3, 4).double())
        return cells[-1]

    (measured,) = gradient_by_lag(make, T=6, seeds=[7], D=3)
    torch.manual_seed(7)
    LSTMCell(3, 4)
    inputs = torch.randn(1, 6, 3).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: unroll(cells[0], x)[0, -1], inputs)
    norms = [float(jacobian[:, 0, 5 - lag].norm()) for lag in range(6)]
    expected = torch.tensor(norms, dtype=torch.float64) / norms[0]
    torch.testing.assert_close(measured, expected, rtol=1e-10, atol=0)


def test_a_linear_recurrence_decays_with_the_spectral_radius() -> None:
    def make() -> Cell:
        cell = RNNCell(4, 4, "orthogonal", gain=0.5, activation="relu")
        with torch.no_grad():
            cell.candidate.from_state.weight.copy_(0.5 * torch.eye(4))
            cell.candidate.from_input.bias.fill_(100.0)  # never in the flat half of the ReLU
        return cell

    expected = 0.5 ** torch.arange(20, dtype=torch.float64)
    torch.testing.assert_close(
        gradient_by_lag(make, T=20, D=4), expected.expand(5, 20), rtol=1e-5, atol=0
    )


def test_float32_loses_a_default_rnns_gradient_whole_and_float64_does_not() -> None:
    narrow = gradient_by_lag(lambda: RNNCell(64, 64), T=160, seeds=[0])
    wide = gradient_by_lag(lambda: RNNCell(64, 64).double(), T=160, seeds=[0])
    assert (narrow[0, 150:] == 0).all()
    assert (wide[0, 150:] > 0).all()
    torch.testing.assert_close(narrow[:, :50], wide[:, :50], rtol=1e-3, atol=0)


def test_attention_reaches_every_lag_alike_but_shares_its_gradient() -> None:
    means = []
    for T in (50, 200):
        relative = gradient_by_lag(lambda: MultiHeadAttention(64, 4), T, seeds=range(3))
        far, near = relative[:, -10:].mean(), relative[:, 1:11].mean()
        assert 0.5 < far / near < 2
        means.append(relative[:, 1:].mean().item())
    assert 2 < means[0] / means[1] < 4


def test_measuring_leaves_the_random_state_alone_and_repeats_itself() -> None:
    before = torch.get_rng_state()
    first = gradient_by_lag(lambda: RNNCell(64, 8), T=5, seeds=[3])
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, gradient_by_lag(lambda: RNNCell(64, 8), T=5, seeds=[3]))


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: RNNCell(0, 4), ValueError, "d_input must .*, got 0"),
        (lambda: GRUCell(4, -1), ValueError, "d_hidden must .*, got -1"),
        (lambda: LSTMCell(4, 4, "random"), ValueError, "recurrent.*uniform.*'random'"),
        (lambda: RNNCell(4, 4, activation="gelu"), ValueError, "activation.*'gelu'"),
        (lambda: GRUCell(4, 5)(torch.ones(2, 3)), ValueError, r"x .*\(B, 4\).*\(2, 3\)"),
        (lambda: GRUCell(4, 5)(torch.ones(4)), ValueError, r"x .*\(4,\)"),
        (lambda: GRUCell(4, 5)(torch.ones(2, 4).long()), TypeError, "float32.*int64"),
        (lambda: LSTMCell(4, 5)(torch.ones(2, 4), (torch.ones(2, 5),)), ValueError, "2 part"),
        (lambda: GRUCell(4, 5)(torch.ones(2, 4), (torch.ones(1, 5),)), ValueError, r"\(2, 5\)"),
        (lambda: unroll(GRUCell(4, 5), torch.ones(2, 4)), ValueError, r"inputs .*\(2, 4\)"),
        (lambda: unroll(GRUCell(4, 5), torch.ones(2, 0, 4)), ValueError, r"\(2, 0, 4\)"),
        (lambda: gradient_by_lag(lambda: GRUCell(64, 5), T=0), ValueError, "T .* 0"),
        (lambda: gradient_by_lag(lambda: GRUCell(64, 5), seeds=[]), ValueError, "seeds"),
    ],
)
def test_what_does_not_fit_is_named(call, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        call()


def test_a_model_whose_end_ignores_the_last_input_is_refused() -> None:
    class Late(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.roll(1, dims=1)

    with pytest.raises(ValueError, match="last input"):
        gradient_by_lag(Late, T=5)
