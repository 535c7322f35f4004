"""Recurrent cells, one step at a time, and how far back their gradients reach.

B batch · T steps · D width of an input · h width of a state.
"""

from collections.abc import Callable, Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from transformer_lab.bounds import check_number, whole
from transformer_lab.checks import check_states, check_tensor

State = tuple[Tensor, ...]
Recurrent = Literal["uniform", "orthogonal"]


class Gate(nn.Module):
    """W x + U h + b, before the bend: x (B, D), h (B, h) -> (B, h).

    One bias. torch keeps a second one beside U h, which adds nothing: only their sum acts. The
    exception is the candidate of a GRU, whose U h + b is scaled before it is added.
    """

    def __init__(self, d_input: int, d_hidden: int, state_bias: bool = False) -> None:
        super().__init__()
        self.from_input = nn.Linear(d_input, d_hidden)
        self.from_state = nn.Linear(d_hidden, d_hidden, bias=state_bias)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.from_input(x) + self.from_state(h)


class Cell(nn.Module):
    """What all cells share: cell(x, state) -> the next state, its first part the output.

    x is (B, D), each part of the state (B, h); state None means zeros.
    Weights and biases start uniform in ±1/√h, as in torch. recurrent="orthogonal" makes each
    recurrent matrix U orthogonal (Saxe et al. 2014); gain multiplies U in both cases.
    Raises ValueError or TypeError, naming the argument, when sizes or numbers do not fit.
    """

    parts = 1
    step: Callable[..., State]

    def __init__(self, d_input: int, d_hidden: int) -> None:
        super().__init__()
        check_number("d_input", d_input, least=1, integer=True)
        check_number("d_hidden", d_hidden, least=1, integer=True)
        self.d_input, self.d_hidden = d_input, d_hidden

    @property
    def gates(self) -> list[Gate]:
        """In torch's order of rows."""
        return [part for part in self.children() if isinstance(part, Gate)]

    def initialise(self, recurrent: Recurrent, gain: float) -> None:
        if recurrent not in get_args(Recurrent):
            raise ValueError(f"recurrent must be one of {get_args(Recurrent)}, got {recurrent!r}")
        check_number("gain", gain)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(self.d_hidden**-0.5), self.d_hidden**-0.5)
        for gate in self.gates:
            if recurrent == "orthogonal":
                nn.init.orthogonal_(gate.from_state.weight)
            with torch.no_grad():
                gate.from_state.weight.mul_(gain)

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """x (B, D) and the state before it, parts of (B, h) -> the state after it."""
        check_tensor("x", x)
        weight = next(self.parameters())
        if x.dim() != 2 or x.shape[1] != self.d_input:
            raise ValueError(f"x must have shape (B, {self.d_input}), got {tuple(x.shape)}")
        if x.dtype != weight.dtype:
            raise TypeError(f"x must be {weight.dtype} like the weights, got {x.dtype}")
        if state is None:
            state = (x.new_zeros(len(x), self.d_hidden),) * self.parts
        tensors = isinstance(state, tuple) and all(isinstance(part, Tensor) for part in state)
        shapes = [tuple(part.shape) for part in state] if tensors else state
        if shapes != [(len(x), self.d_hidden)] * self.parts:
            raise ValueError(
                f"state must have {self.parts} part(s) of shape {(len(x), self.d_hidden)}, "
                f"got {shapes}"
            )
        return self.step(x, *state)


class RNNCell(Cell):
    """h' = tanh(W x + U h + b) (Elman 1990); activation "relu" replaces the tanh."""

    def __init__(
        self,
        d_input: int,
        d_hidden: int,
        recurrent: Recurrent = "uniform",
        gain: float = 1.0,
        activation: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        super().__init__(d_input, d_hidden)
        if activation not in ("tanh", "relu"):
            raise ValueError(f"activation must be 'tanh' or 'relu', got {activation!r}")
        self.activation = activation
        self.candidate = Gate(d_input, d_hidden)
        self.initialise(recurrent, gain)

    def step(self, x: Tensor, h: Tensor) -> State:
        bend = torch.tanh if self.activation == "tanh" else torch.relu
        return (bend(self.candidate(x, h)),)


class GRUCell(Cell):
    """Two gates, one state (Cho et al. 2014, section 2.3).

    The paper's candidate multiplies U with reset·h. Here, as in torch, reset scales U h + b.
    """

    def __init__(
        self, d_input: int, d_hidden: int, recurrent: Recurrent = "uniform", gain: float = 1.0
    ) -> None:
        super().__init__(d_input, d_hidden)
        self.reset, self.update = Gate(d_input, d_hidden), Gate(d_input, d_hidden)
        self.candidate = Gate(d_input, d_hidden, state_bias=True)
        self.initialise(recurrent, gain)

    def step(self, x: Tensor, h: Tensor) -> State:
        reset, update = self.reset(x, h).sigmoid(), self.update(x, h).sigmoid()
        candidate = (self.candidate.from_input(x) + reset * self.candidate.from_state(h)).tanh()
        return ((1 - update) * candidate + update * h,)


class LSTMCell(Cell):
    """Three gates around a memory c (Hochreiter and Schmidhuber 1997), state (h, c).

    The forget gate came later (Gers et al. 2000). forget_bias, if given, replaces its bias:
    large means that c is kept (Jozefowicz et al. 2015 recommend 1).
    """

    parts = 2

    def __init__(
        self,
        d_input: int,
        d_hidden: int,
        recurrent: Recurrent = "uniform",
        gain: float = 1.0,
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(d_input, d_hidden)
        self.input, self.forget = Gate(d_input, d_hidden), Gate(d_input, d_hidden)
        self.candidate, self.output = Gate(d_input, d_hidden), Gate(d_input, d_hidden)
        self.initialise(recurrent, gain)
        if forget_bias is not None:
            check_number("forget_bias", forget_bias)
            nn.init.constant_(self.forget.from_input.bias, forget_bias)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> State:
        write, keep = self.input(x, h).sigmoid(), self.forget(x, h).sigmoid()
        c = keep * c + write * self.candidate(x, h).tanh()
        return self.output(x, h).sigmoid() * c.tanh(), c


def unroll(cell: Cell, inputs: Tensor, state: State | None = None) -> Tensor:
    """Run a cell over time: inputs (B, T, D) -> its output at every step, (B, T, h)."""
    if not isinstance(cell, Cell):
        raise TypeError(f"cell must be an RNNCell, GRUCell or LSTMCell, got {cell!r}")
    check_states("inputs", inputs, cell.gates[0].from_input.weight)
    outputs = []
    for x in inputs.unbind(1):
        state = cell(x, state)
        outputs.append(state[0])
    return torch.stack(outputs, 1)


def fused(cell: Cell) -> nn.RNNBase:
    """torch's own layer with a copy of the same weights: the same states, faster.

    It maps (B, T, D) to (states (B, T, h), last state). Its second biases are 0 where redundant.
    """
    sizes = {"input_size": cell.d_input, "hidden_size": cell.d_hidden, "batch_first": True}
    theirs: nn.RNNBase
    if isinstance(cell, RNNCell):
        theirs = nn.RNN(nonlinearity=cell.activation, **sizes)
    else:
        theirs = nn.LSTM(**sizes) if isinstance(cell, LSTMCell) else nn.GRU(**sizes)
    firsts: list[Tensor] = [gate.from_input.bias for gate in cell.gates]
    seconds: list[Tensor] = [
        first.detach() * 0 if gate.from_state.bias is None else gate.from_state.bias
        for first, gate in zip(firsts, cell.gates, strict=True)
    ]
    theirs.to(firsts[0].device, firsts[0].dtype).load_state_dict(
        {
            "weight_ih_l0": torch.cat([gate.from_input.weight for gate in cell.gates]),
            "weight_hh_l0": torch.cat([gate.from_state.weight for gate in cell.gates]),
            "bias_ih_l0": torch.cat(firsts),
            "bias_hh_l0": torch.cat(seconds),
        }
    )
    return theirs


def gradient_by_lag(
    make: Callable[[], nn.Module], T: int = 100, seeds: Iterable[int] = range(5), D: int = 64
) -> Tensor:
    """How much of the gradient reaches back: norms at lag 0..T-1, relative to lag 0.

    The Frobenius norm of ∂ output_T / ∂ input_(T-lag), for random normal inputs of width D:
    float64 (seeds, T). make() is called once for each seed and gives a Cell, or any module from
    (B, T, D) to (B, T, width), such as MultiHeadAttention. The gradients are as precise as its
    weights: float32 holds nothing below 1e-45, so what is smaller is exactly 0. The global random
    state is left as it was.
    Raises ValueError when T < 1, without seeds, and when the last output ignores the last input.
    """
    check_number("T", T, least=1, integer=True)
    check_number("D", D, least=1, integer=True)
    if not isinstance(seeds, Iterable) or not (seeds := list(seeds)) or not whole(*seeds):
        raise ValueError(f"seeds must be whole numbers, at least one, got {seeds!r}")
    rows = []
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = make()
            inputs = torch.randn(1, T, D).to(next(model.parameters(), torch.empty(0)))
        norms = _jacobian_norms(model, inputs)
        if not norms[0]:
            raise ValueError(f"the last output does not depend on the last input (seed {seed})")
        rows.append(norms / norms[0])
    return torch.stack(rows)


def _jacobian_norms(model: nn.Module, inputs: Tensor) -> Tensor:
    """inputs (1, T, D) -> the norm for each lag, (T,)."""
    run = (lambda x: unroll(model, x)) if isinstance(model, Cell) else model
    with torch.no_grad():
        width = run(inputs).shape[-1]
    # One copy of the input for each output number: one backward pass gives the whole Jacobian.
    copies = inputs.repeat(width, 1, 1).requires_grad_()
    (jacobian,) = torch.autograd.grad(run(copies)[:, -1].diagonal().sum(), copies)
    # In float64, since the squares of a norm underflow long before the gradient does.
    return jacobian.double().square().sum((0, 2)).sqrt().flip(0)
