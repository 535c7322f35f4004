"""The exercises of lesson 01: recurrent cells, and how far back their gradients reach."""

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from transformer_lab import rnn
from transformer_lab.exercises.common import as_number, logit, numbers, parts_of, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit

# --- a tanh cell, run over time


class Unrolled(nn.Module):
    """A cell of the package over time, as a module: its weights can be lent for one call."""

    def __init__(self, cell: rnn.Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, inputs: Tensor, *state: Tensor) -> Tensor:
        return rnn.unroll(self.cell, inputs, state)


@cache
def unrolled(D: int, h: int) -> Unrolled:
    """A cell of these widths; its own weights are never used."""
    return Unrolled(rnn.RNNCell(D, h))


def tanh_states(inputs: Tensor, start: Tensor, W: Tensor, U: Tensor, b: Tensor) -> Tensor:
    """The state after each step: (B, T, D), (B, h), (h, D), (h, h), (h,) -> (B, T, h)."""
    weights = {
        "cell.candidate.from_input.weight": W,
        "cell.candidate.from_state.weight": U,
        "cell.candidate.from_input.bias": b,
    }
    return functional_call(unrolled(W.shape[1], len(W)), weights, (inputs, start))


def cell_inputs(seed: int, B: int, T: int, D: int, h: int, **kind: Any) -> tuple[Tensor, ...]:
    """inputs, start, W, U, b."""
    shapes = ((B, T, D), (B, h), (h, D), (h, h), (h,))
    return tuple(numbers(seed + i, *shape, **kind) for i, shape in enumerate(shapes))


def state_cases() -> list[Case]:
    small = ([[[1.0], [-0.5]]], [[0.5]], [[2.0]], [[0.5]], [0.1])
    apart = cell_inputs(60, 2, 3, 2, 4)
    return [
        Case("two steps, all widths 1", tuple(torch.tensor(x) for x in small)),
        Case("one step", cell_inputs(1, 2, 1, 2, 3)),
        Case("one sequence", cell_inputs(10, 1, 3, 2, 2)),
        Case("a batch", cell_inputs(20, 2, 4, 2, 3)),
        Case("B = T = D = h", cell_inputs(30, 3, 3, 3, 3)),
        Case("twelve steps", cell_inputs(40, 2, 12, 3, 4)),
        Case("float64", cell_inputs(50, 2, 3, 3, 2, dtype=torch.float64)),
        Case("not contiguous", tuple(strided(x) for x in apart)),
    ]


def walk(inputs: Tensor, start: Tensor, step: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The state after each step of a loop over axis 1."""
    states = [start]
    for x in inputs.unbind(1):
        states.append(step(x, states[-1]))
    return torch.stack(states[1:], 1)


def overwritten(inputs: Tensor, start: Tensor, W: Tensor, U: Tensor, b: Tensor) -> Tensor:
    """One tensor, written over at each step, and T times in the list."""
    state, states = start.clone(), []
    for x in inputs.unbind(1):
        state.copy_((x @ W.T + state @ U.T + b).tanh())
        states.append(state)
    return torch.stack(states, 1)


STATES = Exercise(
    id="rnn_states",
    lesson="01",
    title="One cell, many steps",
    minutes=5,
    difficulty=1,
    prompt="""
A recurrent cell reads one input after another and keeps a state: `new = tanh(W x + U old + b)`.
Write `my_states(inputs, start, W, U, b)` with a loop over the steps. `inputs` is `(B, T, D)`;
`start`, the state before the first step, `(B, h)`; `W` `(h, D)`, `U` `(h, h)`, `b` `(h,)`. Return
the state after every step, `(B, T, h)`. What is learned flows back through your loop, as the next
section says: no `detach`, no `.data`.""",
    reference=tanh_states,
    cases=state_cases,
    gradients=True,
    mistakes=(
        Mistake(
            "relu",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: (x @ W.T + state @ U.T + b).relu()
            ),
            "None of your states is below 0, and some are above 1: that is a relu. tanh runs from "
            "-1 to 1.",
        ),
        Mistake(
            "bias-twice",
            lambda inputs, start, W, U, b: tanh_states(inputs, start, W, U, 2 * b),
            "You add the bias twice, once to W x and once to U old. There is one b, as in the "
            "formula; torch's own cells keep two.",
        ),
        Mistake(
            "recurrent-not-transposed",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: (x @ W.T + state @ U + b).tanh()
            ),
            "U is transposed. Your states stand in rows, so U times a state becomes a product "
            "with U on the right. U is square: torch cannot warn you here.",
        ),
        Mistake(
            "nothing-transposed",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: (x @ W + state @ U + b).tanh()
            ),
            "W is (h, D), and a batch of inputs is (B, D): a row times W fits only where D = h. "
            "For vectors in rows both matrices have to be transposed.",
        ),
        Mistake(
            "bias-forgotten",
            lambda inputs, start, W, U, b: tanh_states(inputs, start, W, U, b * 0),
            "The bias b is missing.",
        ),
        Mistake(
            "start-forgotten",
            lambda inputs, start, W, U, b: tanh_states(inputs, start * 0, W, U, b),
            "Your first step begins at zero. It should begin at `start`.",
        ),
        Mistake(
            "no-memory",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: (x @ W.T + start @ U.T + b).tanh()
            ),
            "Every step begins at `start`, so nothing is remembered. Is the state replaced inside "
            "the loop?",
        ),
        Mistake(
            "last-state-only",
            lambda inputs, start, W, U, b: tanh_states(inputs, start, W, U, b)[:, -1],
            "You return the last state alone. Keep each of them: (B, T, h).",
        ),
        Mistake(
            "state-before-each-step",
            lambda inputs, start, W, U, b: torch.cat(
                [start[:, None], tanh_states(inputs, start, W, U, b)[:, :-1]], 1
            ),
            "Your states are one step late: `start` comes first and the last one is missing. Is "
            "the state kept before it is renewed?",
        ),
        Mistake(
            "backwards",
            lambda inputs, start, W, U, b: tanh_states(inputs.flip(1), start, W, U, b).flip(1),
            "Your cell reads from the last input to the first.",
        ),
        Mistake(
            "no-tanh",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: x @ W.T + state @ U.T + b
            ),
            "The tanh is missing: your states can grow without a bound.",
        ),
        Mistake(
            "sigmoid",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: (x @ W.T + state @ U.T + b).sigmoid()
            ),
            "All your states are above 0: that is a sigmoid. tanh runs from -1 to 1.",
        ),
        Mistake(
            "state-outside-tanh",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: (x @ W.T + b).tanh() + state @ U.T
            ),
            "You add the old state after the tanh. The tanh is taken of the whole sum.",
        ),
        Mistake(
            "bias-outside-tanh",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: (x @ W.T + state @ U.T).tanh() + b
            ),
            "You add b after the tanh. The tanh is taken of the whole sum.",
        ),
        Mistake(
            "start-among-the-states",
            lambda inputs, start, W, U, b: torch.cat(
                [start[:, None], tanh_states(inputs, start, W, U, b)], 1
            ),
            "You return T + 1 states: `start` is not one of them.",
        ),
        Mistake(
            "loop-over-batch",
            lambda inputs, start, W, U, b: walk(
                inputs.transpose(0, 1), start, lambda x, state: (x @ W.T + state @ U.T + b).tanh()
            ).transpose(0, 1),
            "`for x in inputs` walks along the batch, the first axis. Time is the second.",
        ),
        Mistake(
            "time-first",
            lambda inputs, start, W, U, b: tanh_states(inputs, start, W, U, b).transpose(0, 1),
            "Your result is (T, B, h). Along which axis do you stack the states?",
        ),
        Mistake(
            "overwritten",
            overwritten,
            "All your steps show the last state: your list holds one tensor T times, and it is "
            "written over at each step. Make a new one each time.",
        ),
        Mistake(
            "detached",
            lambda inputs, start, W, U, b: walk(
                inputs, start, lambda x, state: (x @ W.T + state.detach() @ U.T + b).tanh()
            ),
            "The states are right, but no gradient reaches an earlier step: it is cut between the "
            "steps. Nothing distant could be learned. Is there a detach() or .data?",
        ),
    ),
    hints=(
        "Do one step first. inputs[:, t] is (B, D). Which product with W makes it (B, h)?",
        "Vectors stand in rows, so W x becomes x @ W.T, and U goes the same way. The new state is "
        "the old one of the next step.",
        "Begin with state = start and an empty list. For each t make the new state, keep it; at "
        "the end torch.stack(list, dim=1).",
    ),
    source=(rnn.Gate.forward, rnn.RNNCell.step, rnn.unroll),
)


# --- back-propagation through time


def back_through_time(states: Tensor, U: Tensor, last: Tensor) -> Tensor:
    """∂ loss / ∂ state for each step, from that of the last one: (B, T, h), (h, h), (B, h)."""
    gradients = [last]
    for state in reversed(states.unbind(1)[1:]):
        gradients.append(gradients[-1] * (1 - state**2) @ U)
    return torch.stack(gradients[::-1], 1)


def back_inputs(seed: int, B: int, T: int, h: int, size: float = 1.0, **kind: Any) -> Any:
    """states, U (about `size` times as long as a random one), last."""
    states = numbers(seed, B, T, h, **kind).tanh()
    return states, numbers(seed + 1, h, h, **kind) * size, numbers(seed + 2, B, h, **kind)


def back_cases() -> list[Case]:
    small = ([[[0.8], [0.5]]], [[2.0]], [[1.0]])
    double = {"dtype": torch.float64}
    states, U, last = back_inputs(50, 2, 5, 3)
    return [
        Case("two steps, one number", tuple(torch.tensor(x) for x in small)),
        Case("one step", back_inputs(1, 2, 1, 3)),
        Case("three steps, one number", back_inputs(5, 1, 3, 1)),
        Case("one sequence", back_inputs(10, 1, 4, 2)),
        Case("a batch", back_inputs(20, 2, 4, 3)),
        Case("B = T = h", back_inputs(30, 3, 3, 3)),
        Case("forty steps, vanishing", back_inputs(40, 1, 40, 3, 0.5, **double)),
        Case("ten steps, exploding", back_inputs(60, 1, 10, 3, 5.0, **double)),
        Case("not contiguous", (strided(states), U.T.contiguous().T, strided(last))),
    ]


def back_walk(
    states: Tensor, last: Tensor, step: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Like back_through_time, with step(gradient, state, state before it)."""
    gradients = [last]
    for t in range(states.shape[1] - 1, 0, -1):
        gradients.append(step(gradients[-1], states[:, t], states[:, t - 1]))
    return torch.stack(gradients[::-1], 1)


BACK = Exercise(
    id="back_through_time",
    lesson="01",
    title="Back through time, by hand",
    minutes=8,
    difficulty=3,
    prompt="""
The states of a tanh cell are known, `(B, T, h)`; one step was `new = tanh(W x + U old + b)`. A loss
looks at the last state alone, and `last` `(B, h)` is its gradient there. Write
`my_gradients(states, U, last)`: walk back and return the gradient of the loss with respect to every
state, `(B, T, h)`, ending with `last` itself. Where tanh gives `y`, its slope is `1 - y²`; so you
need neither W nor the inputs.""",
    reference=back_through_time,
    cases=back_cases,
    mistakes=(
        Mistake(
            "not-transposed",
            lambda states, U, last: back_walk(
                states, last, lambda g, new, old: g * (1 - new**2) @ U.T
            ),
            "You go back through U in its forward direction. Forward, U[i, j] carries old state j "
            "to new state i. So which entries bring the gradient of all i to one j?",
        ),
        Mistake(
            "slope-forgotten",
            lambda states, U, last: back_walk(states, last, lambda g, new, old: g @ U),
            "The slope of the tanh is missing. This is the gradient of a linear cell.",
        ),
        Mistake(
            "tanh-twice",
            lambda states, U, last: back_walk(
                states, last, lambda g, new, old: g * (1 - new.tanh() ** 2) @ U
            ),
            "You take the tanh of a state. A state already is a tanh: the y in 1 - y².",
        ),
        Mistake(
            "square-forgotten",
            lambda states, U, last: back_walk(states, last, lambda g, new, old: g * (1 - new) @ U),
            "Your slope is 1 - y. It is 1 - y².",
        ),
        Mistake(
            "slope-of-the-old-state",
            lambda states, U, last: back_walk(
                states, last, lambda g, new, old: g * (1 - old**2) @ U
            ),
            "Your slope is taken one step too early. Between two states stands the tanh that made "
            "the later one.",
        ),
        Mistake(
            "slope-after-U",
            lambda states, U, last: back_walk(
                states, last, lambda g, new, old: g @ U * (1 - new**2)
            ),
            "Your factors are in the wrong order. Forward: first U, then tanh. Backward the "
            "outermost comes first.",
        ),
        Mistake(
            "before-the-tanh",
            lambda states, U, last: back_through_time(states, U, last) * (1 - states**2),
            "These are the gradients in front of each tanh. Asked for are those of the states, "
            "behind it.",
        ),
        Mistake(
            "slope-after-U-of-the-old-state",
            lambda states, U, last: back_walk(
                states, last, lambda g, new, old: g @ U * (1 - old**2)
            ),
            "You first go through U and then through the tanh of the earlier state: that starts "
            "in front of the tanh. `last` is the gradient behind it.",
        ),
        Mistake(
            "chain-broken",
            lambda states, U, last: back_walk(
                states, last, lambda g, new, old: last * (1 - new**2) @ U
            ),
            "Each of your rows goes one step back from `last`. Each step begins where the one "
            "before it ended.",
        ),
        Mistake(
            "one-slope-for-all",
            lambda states, U, last: back_walk(
                states, last, lambda g, new, old: g * (1 - states[:, -1] ** 2) @ U
            ),
            "Every step uses the slope at the last state. Each step has its own.",
        ),
        Mistake(
            "one-step-too-many",
            lambda states, U, last: back_through_time(
                torch.cat([states[:, :1], states], 1), U, last
            )[:, :-1],
            "Your last row should be `last` itself: no step lies between the last state and the "
            "loss.",
        ),
        Mistake(
            "reversed",
            lambda states, U, last: back_through_time(states, U, last).flip(1),
            "Your rows stand in the order in which you found them: from the last state to the "
            "first. Turn them over.",
        ),
        Mistake(
            "first-state-only",
            lambda states, U, last: back_through_time(states, U, last)[:, 0],
            "This is the gradient of the first state alone. Return one for each: (B, T, h).",
        ),
    ),
    hints=(
        "Take T = 2 and h = 1: new = tanh(u · old + …). What is d new / d old, by the chain rule?",
        "Going back one step: multiply by the slope 1 - y² of the later state, then bring each "
        "number to the old states it came from. That is a product with U, or with U transposed?",
        "In rows: (gradient times slope) @ U. Begin with `last`, go from t = T - 1 down to 1, and "
        "turn the list over before you stack it along axis 1.",
    ),
)


# --- the slope of the decay


def decay_slope(U: Tensor) -> Tensor:
    """log10 of the spectral radius: what a step back adds to log10 of a linear gradient."""
    return torch.linalg.eigvals(U).abs().max().log10()


def slope_cases() -> list[Case]:
    c, s = 0.8 * math.cos(1.0), 0.8 * math.sin(1.0)
    turn = torch.linalg.qr(numbers(3, 4, 4))[0]
    tables = {
        "one number": torch.tensor([[0.5]]),
        "a negative one": torch.tensor([[0.3, 0.0], [0.0, -0.9]]),
        "a rotation, shrinking": torch.tensor([[c, -s], [s, c]]),
        "long at first, short in the end": torch.tensor([[0.5, 3.0], [0.0, 0.2]]),
        "the other way round": torch.tensor([[0.2, 0.0], [3.0, 0.5]]),
        "a rotation, nothing else": torch.tensor([[0.6, -0.8], [0.8, 0.6]]),
        "orthogonal times 1.5": turn * 1.5,
        "random": numbers(6, 5, 5) / 5,
        "not contiguous": numbers(7, 4, 4).T / 4,
        "float64": numbers(11, 3, 3, dtype=torch.float64),
    }
    return [Case(name, (U,), 0.0) for name, U in tables.items()]


SLOPE = Exercise(
    id="decay_slope",
    lesson="01",
    title="Predict the decay",
    minutes=4,
    difficulty=2,
    prompt="""
Leave the tanh out: `new = U old + W x`. Then the gradient over n steps is the matrix power Uⁿ, and
over many steps log10 of its size falls, or rises, by the same amount per step on average. Write
`my_slope(U)` for a `(h, h)` matrix: that amount, below 0 where gradients vanish, to within 0.005.
One number decides it, the spectral radius of U: the largest absolute value among its eigenvalues,
which may be negative or complex. `torch.linalg.eigvals` gives them all.""",
    reference=decay_slope,
    cases=slope_cases,
    observe=as_number,
    atol=5e-3,
    mistakes=(
        Mistake(
            "largest-singular-value",
            lambda U: math.log10(float(torch.linalg.matrix_norm(U, 2))),
            "This is the longest that one step can stretch a vector: a singular value. It bounds "
            "the first step. Which number is left after a hundred?",
        ),
        Mistake(
            "frobenius",
            lambda U: math.log10(float(U.norm())),
            "You take the size of U itself. The size of Uⁿ goes its own way: compare n = 100 with "
            "n = 200, in double.",
        ),
        Mistake(
            "determinant",
            lambda U: math.log10(float(U.det().abs())),
            "The determinant is the product of all eigenvalues. After many steps the largest one "
            "alone counts.",
        ),
        Mistake(
            "mean-of-eigenvalues",
            lambda U: math.log10(float(torch.linalg.eigvals(U).abs().mean())),
            "You average over the eigenvalues. After many steps the largest one alone counts.",
        ),
        Mistake(
            "smallest",
            lambda U: math.log10(float(torch.linalg.eigvals(U).abs().min())),
            "This is the smallest eigenvalue: what fades first. What stays the longest?",
        ),
        Mistake(
            "first-eigenvalue",
            lambda U: math.log10(float(torch.linalg.eigvals(U).abs()[0])),
            "You take the first eigenvalue that torch returns. They come in no particular order.",
        ),
        Mistake(
            "real-part",
            lambda U: math.log10(float(torch.linalg.eigvals(U).real.max())),
            "You compare the real parts. An eigenvalue of -0.9 counts as 0.9, and a rotation has "
            "complex ones. Take absolute values first.",
        ),
        Mistake(
            "absolute-real-part",
            lambda U: math.log10(float(torch.linalg.eigvals(U).real.abs().max())),
            "You drop the imaginary part. A rotation shrinks nothing, yet the real parts of its "
            "eigenvalues are below 1.",
        ),
        Mistake(
            "as-if-symmetric",
            lambda U: math.log10(float(torch.linalg.eigvalsh(U).abs().max())),
            "eigvalsh is for symmetric matrices and reads only half of U. Use the general one.",
        ),
        Mistake(
            "diagonal",
            lambda U: math.log10(float(U.diagonal().abs().max())),
            "The diagonal holds the eigenvalues only where U is triangular.",
        ),
        Mistake(
            "natural-log",
            lambda U: math.log(10) * decay_slope(U),
            "Your logarithm is the natural one. The slope is asked for log10: -1 means a tenth.",
        ),
        Mistake(
            "no-log",
            lambda U: 10 ** decay_slope(U),
            "This is the factor for one step. On a logarithmic axis a factor becomes a distance.",
        ),
        Mistake(
            "sign",
            lambda U: -decay_slope(U),
            "The sign is turned over: a curve that falls has a slope below 0.",
        ),
    ),
    hints=(
        "Take U = [[0.5]]. Each step halves the gradient. How far does its log10 move?",
        "torch.linalg.eigvals gives all eigenvalues, as complex numbers. abs turns each into its "
        "length.",
        "The spectral radius is the largest of these lengths. Its log10 is the slope.",
    ),
)


# --- the forget bias


def forget_bias(share: float, lag: int) -> float:
    """The bias at which a forget gate leaves this share of the memory after so many steps."""
    gate = share ** (1 / lag)
    return math.log(gate / (1 - gate))


def bias_cases() -> list[Case]:
    asked = {
        "half, one step": (0.5, 1),
        "a quarter, two steps": (0.25, 2),
        "90 %, one step": (0.9, 1),
        "1 %, three steps": (0.01, 3),
        "10 %, 50 steps": (0.1, 50),
        "half, 20 steps": (0.5, 20),
        "99 %, 100 steps": (0.99, 100),
        "10 %, 300 steps": (0.1, 300),
    }
    return [Case(name, inputs, 0.0) for name, inputs in asked.items()]


FORGET = Exercise(
    id="forget_bias",
    lesson="01",
    title="A bias that remembers",
    minutes=5,
    difficulty=2,
    prompt="""
An LSTM multiplies its memory c at every step by a forget gate, a number between 0 and 1. Suppose
the gate sees nothing but its bias, so that it is `sigmoid(bias)` at each step, and nothing new is
written. Write `my_bias(share, lag)`: the bias at which this `share` of c (0.1 for 10 %) is left
after `lag` steps, to within 0.001. (`sigmoid(x) = 1 / (1 + exp(-x))`.)""",
    reference=forget_bias,
    cases=bias_cases,
    observe=as_number,
    atol=1e-3,
    mistakes=(
        Mistake(
            "one-step",
            lambda share, lag: logit(share),
            "This keeps the share over one step. What is left is multiplied again at each of the "
            "steps: which gate gives the share in the end?",
        ),
        Mistake(
            "gate-returned",
            lambda share, lag: share ** (1 / lag),
            "This is the gate itself. Which bias gives it? You need the inverse of the sigmoid.",
        ),
        Mistake(
            "sign",
            lambda share, lag: -forget_bias(share, lag),
            "The sign is turned over: a larger bias opens the gate, and an open gate keeps.",
        ),
        Mistake(
            "share-divided",
            lambda share, lag: logit(share / lag),
            "You divide the share by the steps. The gate is multiplied with itself: which number, "
            "multiplied that often, gives the share?",
        ),
        Mistake(
            "one-step-less",
            lambda share, lag: forget_bias(share, lag - 1) if lag > 1 else math.inf,
            "You count one step less. The memory meets the gate at each of the steps.",
        ),
        Mistake(
            "power-instead-of-root",
            lambda share, lag: logit(share**lag),
            "You raise the share to the power of the lag. It is the gate that is multiplied with "
            "itself, and the share that comes out.",
        ),
        Mistake(
            "lost-instead-of-kept",
            lambda share, lag: forget_bias(1 - share, lag),
            "With your bias this share is lost. It should be what is left.",
        ),
        Mistake(
            "equal-losses",
            lambda share, lag: logit(1 - (1 - share) / lag),
            "You lose the same amount at each step. A gate takes the same part of what is left, so "
            "the loss shrinks as the memory does.",
        ),
        Mistake(
            "exponential-gate",
            lambda share, lag: math.log(share) / lag,
            "You solve exp(bias · lag) = share. The gate is sigmoid(bias), not exp(bias).",
        ),
        Mistake(
            "logit-divided",
            lambda share, lag: logit(share) / lag,
            "You share the bias out over the steps. The steps multiply, behind the sigmoid: find "
            "the gate first, then its bias.",
        ),
        Mistake(
            "tanh",
            lambda share, lag: math.atanh(share ** (1 / lag)),
            "You invert tanh. A gate is a sigmoid.",
        ),
        Mistake(
            "log10",
            lambda share, lag: forget_bias(share, lag) / math.log(10),
            "Your logarithm is to base 10. The sigmoid is built on e: take the natural one.",
        ),
        Mistake(
            "half-life",
            lambda share, lag: forget_bias(0.5, lag),
            "Half is left after your lag, whatever is asked. Where does the share enter?",
        ),
        Mistake(
            "one-step-more",
            lambda share, lag: forget_bias(share, lag + 1),
            "You count one step too many: after `lag` steps c has met the gate `lag` times.",
        ),
    ),
    hints=(
        "Call the gate f. After one step f · c is left, after two f · f · c. After `lag` steps?",
        "f to the power of lag is the share, so f is a root of it. Then turn sigmoid(bias) = f "
        "round.",
        "f = share to the power of 1/lag. exp(bias) is f divided by what is missing to 1.",
    ),
)


# --- one step of an LSTM


@cache
def gated(D: int, h: int) -> rnn.LSTMCell:
    """A cell of these widths; its own weights are never used."""
    return rnn.LSTMCell(D, h)


def lstm_step(
    x: Tensor, h: Tensor, c: Tensor, W: Tensor, U: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """The state (h, c) after one step; W (4h, D), U (4h, h), b (4h,) hold the gates in rows."""
    weights = {}
    gates = ("input", "forget", "candidate", "output")
    for gate, w, u, bias in zip(gates, W.chunk(4), U.chunk(4), b.chunk(4), strict=True):
        weights[f"{gate}.from_input.weight"] = w
        weights[f"{gate}.from_state.weight"] = u
        weights[f"{gate}.from_input.bias"] = bias
    return functional_call(gated(x.shape[1], h.shape[1]), weights, (x, (h, c)))


def both_states(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """The new h and c side by side, (B, 2h)."""
    if not isinstance(output, (tuple, list)) or len(output) != 2:
        raise Unfit("Return two tensors: `return h, c`.")
    parts = parts_of(inputs, output, "h", "c")
    shapes = [tuple(part.shape) for part in parts]
    if shapes != [tuple(inputs[1].shape)] * 2:
        raise Unfit(f"Your h and c have shapes {shapes}; expected {tuple(inputs[1].shape)} each.")
    return torch.cat(parts, -1)


vars(both_states)["order"] = "h, then c"


def lstm_inputs(seed: int, B: int, D: int, h: int, **kind: Any) -> tuple[Tensor, ...]:
    """x, h, c, W, U, b."""
    shapes = ((B, D), (B, h), (B, h), (4 * h, D), (4 * h, h), (4 * h,))
    return tuple(numbers(seed + i, *shape, **kind) for i, shape in enumerate(shapes))


def lstm_cases() -> list[Case]:
    small = ([[1.0]], [[0.5]], [[2.0]], [[1.0], [2.0], [-1.0], [0.5]], [[0.4], [0.3], [0.2], [0.1]])
    return [
        Case("all widths 1", tuple(torch.tensor(x) for x in (*small, [0.1, 0.2, 0.3, 0.4]))),
        Case("one row", lstm_inputs(10, 1, 2, 5)),
        Case("a batch", lstm_inputs(20, 3, 2, 2)),
        Case("B = D = h = 4", lstm_inputs(30, 4, 4, 4)),
        Case("float64", lstm_inputs(40, 2, 3, 2, dtype=torch.float64)),
        Case("not contiguous", tuple(strided(x) for x in lstm_inputs(50, 2, 2, 3))),
    ]


def sums(x: Tensor, h: Tensor, W: Tensor, U: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    """Input, forget, candidate and output before their bends, (B, h) each."""
    return (x @ W.T + h @ U.T + b).chunk(4, 1)


def bent(four: Iterable[Tensor], c: Tensor) -> tuple[Tensor, Tensor]:
    """(h, c) from the sums of i, f, g, o and the old memory."""
    i, f, g, o = four
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def mixed(
    memory: Callable[..., Tensor],
    x: Tensor,
    h: Tensor,
    c: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor,
) -> tuple[Tensor, Tensor]:
    """(h, c) with the memory (i, f, g, c) -> c: i and f are bent to gates, g is not yet."""
    i, f, g, o = sums(x, h, W, U, b)
    c = memory(i.sigmoid(), f.sigmoid(), g, c)
    return o.sigmoid() * c.tanh(), c


def shown(show: Tensor, x: Tensor, h: Tensor, W: Tensor, U: Tensor, b: Tensor) -> Tensor:
    """What the output gate lets through of `show`."""
    return sums(x, h, W, U, b)[3].sigmoid() * show


def reordered(
    order: str, x: Tensor, h: Tensor, c: Tensor, W: Tensor, U: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """The step of somebody who reads the rows in this order of i, f, g, o."""
    gates = dict(zip(order, sums(x, h, W, U, b), strict=True))
    return bent((gates[name] for name in "ifgo"), c)


LSTM = Exercise(
    id="lstm_step",
    lesson="01",
    title="One step of an LSTM",
    minutes=8,
    difficulty=2,
    prompt="""
Write `my_lstm(x, h, c, W, U, b)`: one step, from an input `x` `(B, D)` and the output `h` and
memory `c` of the step before, `(B, n)` each. `W x + U h + b`, with `W` `(4n, D)`, `U` `(4n, n)` and
`b` `(4n,)`, holds four blocks in torch's order: input i, forget f, candidate g, output o. i, f and
o take a sigmoid, g a tanh. The new memory is `f · c + i · g`, number by number; the new output is
`o · tanh(new memory)`. Return both: `return h, c`.""",
    reference=lstm_step,
    cases=lstm_cases,
    observe=both_states,
    mistakes=(
        Mistake(
            "output-kept",
            lambda x, h, c, W, U, b: bent(sums(x, h, W, U, b), h),
            "The forget gate keeps a share of the old output h. It is the old memory c that it "
            "keeps or forgets.",
        ),
        Mistake(
            "order-ifog",
            lambda x, h, c, W, U, b: reordered("ifog", x, h, c, W, U, b),
            "Candidate and output gate are exchanged. torch keeps the candidate third.",
        ),
        Mistake(
            "order-figo",
            lambda x, h, c, W, U, b: reordered("figo", x, h, c, W, U, b),
            "Input and forget gate are exchanged. Many drawings begin with the forget gate; torch "
            "keeps it second.",
        ),
        Mistake(
            "interleaved",
            lambda x, h, c, W, U, b: bent(
                torch.cat(sums(x, h, W, U, b), 1).unflatten(1, (-1, 4)).unbind(-1), c
            ),
            "You take every fourth number for a gate. The rows stand in blocks: first all of i, "
            "then all of f.",
        ),
        Mistake(
            "batch-cut",
            lambda x, h, c, W, U, b: bent(torch.cat(sums(x, h, W, U, b), 1).chunk(4), c),
            "You cut the batch into four. The gates lie along the last axis: chunk needs dim.",
        ),
        Mistake(
            "forget-inverted",
            lambda x, h, c, W, U, b: mixed(
                lambda i, f, g, c: (1 - f) * c + i * g.tanh(), x, h, c, W, U, b
            ),
            "You keep 1 - f. In spite of its name, a forget gate of 1 keeps everything.",
        ),
        Mistake(
            "coupled-gates",
            lambda x, h, c, W, U, b: mixed(
                lambda i, f, g, c: f * c + (1 - f) * g.tanh(), x, h, c, W, U, b
            ),
            "You write 1 - f of the candidate, much as a GRU does. An LSTM has its own input gate.",
        ),
        Mistake(
            "no-forget-gate",
            lambda x, h, c, W, U, b: mixed(lambda i, f, g, c: c + i * g.tanh(), x, h, c, W, U, b),
            "Your memory is never multiplied by f. So it was in 1997; the forget gate came later.",
        ),
        Mistake(
            "input-gate-unused",
            lambda x, h, c, W, U, b: mixed(lambda i, f, g, c: f * c + g.tanh(), x, h, c, W, U, b),
            "The whole candidate is written. The input gate should decide how much of it.",
        ),
        Mistake(
            "candidate-sigmoid",
            lambda x, h, c, W, U, b: mixed(
                lambda i, f, g, c: f * c + i * g.sigmoid(), x, h, c, W, U, b
            ),
            "All four quarters go through a sigmoid. The candidate is no gate: its tanh lets the "
            "memory fall as well as grow.",
        ),
        Mistake(
            "candidate-raw",
            lambda x, h, c, W, U, b: mixed(lambda i, f, g, c: f * c + i * g, x, h, c, W, U, b),
            "The candidate has no bend yet. Gates are sigmoids, the candidate is a tanh.",
        ),
        Mistake(
            "output-gate-tanh",
            lambda x, h, c, W, U, b: (
                sums(x, h, W, U, b)[3].tanh() * lstm_step(x, h, c, W, U, b)[1].tanh(),
                lstm_step(x, h, c, W, U, b)[1],
            ),
            "Your output gate goes through a tanh. A gate is a sigmoid, between 0 and 1.",
        ),
        Mistake(
            "memory-through-tanh",
            lambda x, h, c, W, U, b: mixed(
                lambda i, f, g, c: (f * c + i * g.tanh()).tanh(), x, h, c, W, U, b
            ),
            "You bend the new memory itself. The tanh is for what is shown; the memory stays as it "
            "is, or it would fade at each step.",
        ),
        Mistake(
            "memory-through-sigmoid",
            lambda x, h, c, W, U, b: (
                shown(lstm_step(x, h, c, W, U, b)[1].sigmoid(), x, h, W, U, b),
                lstm_step(x, h, c, W, U, b)[1],
            ),
            "The memory is right. On its way out it goes through a tanh, not a sigmoid.",
        ),
        Mistake(
            "memory-into-U",
            lambda x, h, c, W, U, b: bent(sums(x, c, W, U, b), c),
            "You multiply U with the memory c. It belongs to the output h.",
        ),
        Mistake(
            "memory-shown-raw",
            lambda x, h, c, W, U, b: (
                shown(lstm_step(x, h, c, W, U, b)[1], x, h, W, U, b),
                lstm_step(x, h, c, W, U, b)[1],
            ),
            "The memory is right, the output is not: it shows the memory without its tanh.",
        ),
        Mistake(
            "old-memory-shown",
            lambda x, h, c, W, U, b: (
                shown(c.tanh(), x, h, W, U, b),
                lstm_step(x, h, c, W, U, b)[1],
            ),
            "The memory is right, the output is not: it shows the memory before the step.",
        ),
        Mistake(
            "swapped",
            lambda x, h, c, W, U, b: lstm_step(x, h, c, W, U, b)[::-1],
            "The two are in the wrong order: first the output h, then the memory c.",
        ),
        Mistake(
            "bias-forgotten",
            lambda x, h, c, W, U, b: lstm_step(x, h, c, W, U, b * 0),
            "The bias b is missing.",
        ),
        Mistake(
            "state-forgotten",
            lambda x, h, c, W, U, b: lstm_step(x, h * 0, c, W, U, b),
            "The old output h plays no part. U h belongs to the sum of all four quarters.",
        ),
    ),
    hints=(
        "Vectors stand in rows: x @ W.T is (B, 4h). Add what comes from h, and the bias.",
        "chunk(4, dim=-1) cuts the sum into i, f, g and o, in this order.",
        "Bend each quarter first, then renew c, then take its tanh for the output.",
    ),
    source=(rnn.Gate.forward, rnn.LSTMCell.step),
)


EXERCISES = (STATES, BACK, SLOPE, FORGET, LSTM)
