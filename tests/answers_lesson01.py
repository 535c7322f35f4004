"""Lesson 01: right answers in several styles, and its mistakes as another hand writes them."""

import math

import torch
import torch.nn.functional as F
from answers import collect

RIGHT, WRONG, right, wrong = collect()


# --- a tanh cell, run over time


@right("rnn_states")
def states_in_a_loop(inputs, start, W, U, b):
    state, states = start, []
    for t in range(inputs.shape[1]):
        state = torch.tanh(inputs[:, t] @ W.T + state @ U.T + b)
        states.append(state)
    return torch.stack(states, dim=1)


@right("rnn_states")
def states_with_all_inputs_first(inputs, start, W, U, b):
    states = [start]
    for driven in F.linear(inputs, W, b).unbind(1):
        states.append((driven + F.linear(states[-1], U)).tanh())
    return torch.stack(states, 1)[:, 1:]


@right("rnn_states")
def states_by_einsum(inputs, start, W, U, b):
    state, states = start, []
    for x in inputs.unbind(1):
        moved = torch.einsum("hd,bd->bh", W, x) + torch.einsum("hk,bk->bh", U, state)
        state = torch.tanh(moved + b)
        states.append(state[:, None])
    return torch.cat(states, 1)


@right("rnn_states")
def states_of_torchs_layer(inputs, start, W, U, b):
    layer = torch.nn.RNN(W.shape[1], W.shape[0], batch_first=True)
    weights = {"weight_ih_l0": W, "weight_hh_l0": U, "bias_ih_l0": b / 2, "bias_hh_l0": b / 2}
    return torch.func.functional_call(layer, weights, (inputs, start[None]))[0]


@wrong("rnn_states", "recurrent-not-transposed")
def states_with_u_turned(inputs, start, W, U, b):
    state, states = start, []
    for t in range(inputs.shape[1]):
        state = torch.tanh(F.linear(inputs[:, t], W, b) + torch.matmul(state, U))
        states.append(state)
    return torch.stack(states, 1)


@wrong("rnn_states", "nothing-transposed")
def states_with_both_turned(inputs, start, W, U, b):
    state, states = start, []
    for t in range(inputs.shape[1]):
        state = torch.tanh(torch.matmul(inputs[:, t, :], W) + torch.matmul(state, U) + b)
        states.append(state)
    return torch.stack(states, 1)


@wrong("rnn_states", "no-memory")
def states_that_forget(inputs, start, W, U, b):
    return torch.tanh(F.linear(inputs, W, b) + F.linear(start, U)[:, None])


@wrong("rnn_states", "start-forgotten")
def states_from_zero(inputs, start, W, U, b):
    layer = torch.nn.RNN(W.shape[1], W.shape[0], batch_first=True)
    weights = {"weight_ih_l0": W, "weight_hh_l0": U, "bias_ih_l0": b, "bias_hh_l0": b * 0}
    return torch.func.functional_call(layer, weights, (inputs,))[0]


@wrong("rnn_states", "loop-over-batch")
def states_along_the_batch(inputs, start, W, U, b):
    state, states = start, []
    for x in inputs:
        state = torch.tanh(x @ W.T + state @ U.T + b)
        states.append(state)
    return torch.stack(states)


@wrong("rnn_states", "time-first")
def states_stacked_in_front(inputs, start, W, U, b):
    state, states = start, []
    for x in inputs.unbind(1):
        state = torch.tanh(x @ W.T + state @ U.T + b)
        states.append(state)
    return torch.stack(states)


@wrong("rnn_states", "state-before-each-step")
def states_kept_too_early(inputs, start, W, U, b):
    state, states = start, []
    for x in inputs.unbind(1):
        states.append(state)
        state = torch.tanh(x @ W.T + state @ U.T + b)
    return torch.stack(states, 1)


@wrong("rnn_states", "overwritten")
def states_in_one_place(inputs, start, W, U, b):
    state, states = start * 1, []
    for t in range(inputs.shape[1]):
        state[:] = F.linear(inputs[:, t], W, b).add(state @ U.T).tanh()
        states += [state]
    return torch.stack(states, 1)


@wrong("rnn_states", "detached")
def states_by_their_data(inputs, start, W, U, b):
    state, states = start, []
    for x in inputs.unbind(1):
        state = torch.tanh(F.linear(x, W, b) + F.linear(state.data, U))
        states.append(state)
    return torch.stack(states, 1)


# --- back-propagation through time


@right("back_through_time")
def gradients_in_a_loop(states, U, last):
    gradient = last
    gradients = [gradient]
    for t in range(states.shape[1] - 1, 0, -1):
        gradient = (gradient * (1 - states[:, t] ** 2)) @ U
        gradients.insert(0, gradient)
    return torch.stack(gradients, 1)


@right("back_through_time")
def gradients_in_place_of_zeros(states, U, last):
    result = torch.empty_like(states)
    result[:, -1] = last
    for t in range(states.shape[1] - 2, -1, -1):
        slopes = 1 - states[:, t + 1] * states[:, t + 1]
        result[:, t] = torch.einsum("bi,bi,ij->bj", result[:, t + 1], slopes, U)
    return result


@right("back_through_time")
def gradients_by_jacobians(states, U, last):
    steps = (1 - states.square())[..., None] * U
    whole, rows = torch.eye(len(U), dtype=U.dtype), []
    for t in range(states.shape[1] - 1, -1, -1):
        rows.append((last[:, None] @ whole).squeeze(1))
        whole = whole @ steps[:, t]
    return torch.stack(rows[::-1], 1)


@right("back_through_time")
def gradients_by_autograd(states, U, last):
    driven = torch.atanh(states[:, 1:]) - states[:, :-1] @ U.T
    free = [states[:, 0].requires_grad_()]
    for rest in driven.unbind(1):
        free.append(torch.tanh(rest + free[-1] @ U.T))
    return torch.stack(torch.autograd.grad(free[-1], free, last), 1)


@wrong("back_through_time", "not-transposed")
def gradients_through_u_forward(states, U, last):
    result = torch.zeros_like(states)
    result[:, -1] = last
    for t in range(states.shape[1] - 2, -1, -1):
        result[:, t] = F.linear(result[:, t + 1] * (1 - states[:, t + 1].square()), U)
    return result


@wrong("back_through_time", "slope-forgotten")
def gradients_of_a_linear_cell(states, U, last):
    T = states.shape[1]
    return torch.stack([last @ torch.linalg.matrix_power(U, T - 1 - t) for t in range(T)], 1)


@wrong("back_through_time", "tanh-twice")
def gradients_by_the_cosh(states, U, last):
    gradients = [last]
    for t in range(states.shape[1] - 1, 0, -1):
        gradients.insert(0, (gradients[0] / torch.cosh(states[:, t]) ** 2) @ U)
    return torch.stack(gradients, 1)


@wrong("back_through_time", "slope-of-the-old-state")
def gradients_with_an_early_slope(states, U, last):
    gradients = [last]
    for t in reversed(range(states.shape[1] - 1)):
        gradients.insert(0, torch.einsum("bi,ij->bj", gradients[0] * (1 - states[:, t] ** 2), U))
    return torch.stack(gradients, 1)


@wrong("back_through_time", "slope-after-U")
def gradients_in_the_wrong_order(states, U, last):
    gradients = [last]
    for t in range(states.shape[1] - 1, 0, -1):
        gradients.insert(0, torch.matmul(gradients[0], U) * (1 - states[:, t].square()))
    return torch.stack(gradients, 1)


@wrong("back_through_time", "one-step-too-many")
def gradients_that_begin_too_late(states, U, last):
    gradient, gradients = last, []
    for t in range(states.shape[1] - 1, -1, -1):
        gradient = gradient * (1 - states[:, t] ** 2) @ U
        gradients.append(gradient)
    return torch.stack(gradients, 1).flip(1)


@wrong("back_through_time", "reversed")
def gradients_not_turned_over(states, U, last):
    gradients = [last]
    for t in range(states.shape[1] - 1, 0, -1):
        gradients.append(gradients[-1] * (1 - states[:, t] ** 2) @ U)
    return torch.stack(gradients, 1)


@wrong("back_through_time", "first-state-only")
def gradients_of_the_start(states, U, last):
    for t in range(states.shape[1] - 1, 0, -1):
        last = last * (1 - states[:, t] ** 2) @ U
    return last


# --- the slope of the decay


@right("decay_slope")
def slope_of_the_radius(U):
    eigenvalues, _ = torch.linalg.eig(U)
    return torch.log10(eigenvalues.abs().amax())


@right("decay_slope")
def slope_of_plain_numbers(U):
    return math.log10(max(abs(value) for value in torch.linalg.eigvals(U)))


@right("decay_slope")
def slope_over_501_steps(U):
    power = torch.linalg.matrix_power(U.double(), 501)
    return math.log10(power.abs().max()) / 501


@wrong("decay_slope", "largest-singular-value")
def slope_of_the_first_step(U):
    return torch.linalg.svdvals(U)[0].log10()


@wrong("decay_slope", "frobenius")
def slope_of_the_size(U):
    return U.square().sum().log10() / 2


@wrong("decay_slope", "determinant")
def slope_of_all_eigenvalues(U):
    return torch.linalg.eigvals(U).abs().log10().sum()


@wrong("decay_slope", "first-eigenvalue")
def slope_of_the_first_that_comes(U):
    values, _ = torch.linalg.eig(U)
    return values[0].abs().log10()


@wrong("decay_slope", "real-part")
def slope_of_the_real_parts(U):
    return math.log10(max(value.real for value in torch.linalg.eigvals(U).tolist()))


@wrong("decay_slope", "natural-log")
def slope_to_the_base_e(U):
    return torch.log(torch.linalg.eigvals(U).abs().max()).item()


@wrong("decay_slope", "no-log")
def slope_as_a_factor(U):
    return max(abs(value) for value in torch.linalg.eigvals(U).tolist())


@wrong("decay_slope", "as-if-symmetric")
def slope_by_eigh(U):
    return torch.linalg.eigh(U)[0].abs().max().log10()


# --- the forget bias


@right("forget_bias")
def bias_by_the_logit(share, lag):
    return torch.logit(torch.tensor(share).pow(1 / lag))


@right("forget_bias")
def bias_by_logarithms(share, lag):
    log = math.log(share) / lag
    return log - math.log(-math.expm1(log))


@right("forget_bias")
def bias_of_the_odds(share, lag):
    return -math.log(share ** (-1 / lag) - 1)


@right("forget_bias")
def bias_of_what_is_missing(share, lag):
    gate = math.exp(math.log(share) / lag)
    return math.log(gate) - math.log1p(-gate)


@wrong("forget_bias", "one-step")
def bias_for_one_step(share, lag):
    return torch.logit(torch.tensor(share))


@wrong("forget_bias", "gate-returned")
def bias_that_is_a_gate(share, lag):
    return math.exp(math.log(share) / lag)


@wrong("forget_bias", "sign")
def bias_of_the_wrong_sign(share, lag):
    return math.log(share ** (-1 / lag) - 1)


@wrong("forget_bias", "lost-instead-of-kept")
def bias_that_loses_the_share(share, lag):
    return torch.tensor((1 - share) ** (1 / lag), dtype=torch.float64).logit()


@wrong("forget_bias", "equal-losses")
def bias_of_a_straight_line(share, lag):
    lost = (1 - share) / lag
    return math.log((1 - lost) / lost)


@wrong("forget_bias", "exponential-gate")
def bias_of_an_exponential(share, lag):
    return math.log(share ** (1 / lag))


@wrong("forget_bias", "tanh")
def bias_by_atanh(share, lag):
    return torch.atanh(torch.tensor(share, dtype=torch.float64) ** (1 / lag)).item()


# --- one step of an LSTM


@right("lstm_step")
def step_in_four_chunks(x, h, c, W, U, b):
    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, c


@right("lstm_step")
def step_split_by_width(x, h, c, W, U, b):
    total = F.linear(x, W, b) + F.linear(h, U)
    i, f, g, o = total.split(h.shape[1], 1)
    memory = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(memory), memory


@right("lstm_step")
def step_gate_by_gate(x, h, c, W, U, b):
    joined = torch.cat([x, h], 1)
    rows = torch.cat([W, U], 1).unflatten(0, (4, -1))
    i, f, g, o = torch.einsum("gnd,bd->gbn", rows, joined) + b.view(4, 1, -1)
    memory = c.mul(f.sigmoid()).add(i.sigmoid().mul(g.tanh()))
    return [memory.tanh().mul(o.sigmoid()), memory]


@right("lstm_step")
def step_of_torchs_cell(x, h, c, W, U, b):
    return torch.lstm_cell(x, (h, c), W, U, b / 2, b / 2)


@wrong("lstm_step", "order-figo")
def step_as_it_is_drawn(x, h, c, W, U, b):
    f, i, g, o = (F.linear(x, W, b) + F.linear(h, U)).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@wrong("lstm_step", "order-ifog")
def step_with_the_candidate_last(x, h, c, W, U, b):
    n = h.shape[1]
    total = x @ W.T + h @ U.T + b
    i, f, o = total[:, : 3 * n].sigmoid().chunk(3, 1)
    c = f * c + i * total[:, 3 * n :].tanh()
    return o * c.tanh(), c


@wrong("lstm_step", "interleaved")
def step_with_scattered_gates(x, h, c, W, U, b):
    i, f, g, o = (x @ W.T + h @ U.T + b).view(len(x), -1, 4).unbind(2)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@wrong("lstm_step", "batch-cut")
def step_that_cuts_the_batch(x, h, c, W, U, b):
    i, f, g, o = torch.chunk(F.linear(x, W, b) + F.linear(h, U), 4)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@wrong("lstm_step", "forget-inverted")
def step_that_forgets(x, h, c, W, U, b):
    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, 1)
    c = c - f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@wrong("lstm_step", "candidate-sigmoid")
def step_of_four_sigmoids(x, h, c, W, U, b):
    i, f, g, o = torch.sigmoid(x @ W.T + h @ U.T + b).chunk(4, 1)
    c = f * c + i * g
    return o * c.tanh(), c


@wrong("lstm_step", "memory-shown-raw")
def step_without_the_second_tanh(x, h, c, W, U, b):
    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c, c


@wrong("lstm_step", "swapped")
def step_memory_first(x, h, c, W, U, b):
    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

SQUARED = ("back_through_time", "gradients_in_a_loop", "gradients_by_jacobians")
SLOPES = ("decay_slope", "slope_of_the_radius", "slope_of_plain_numbers", "slope_over_501_steps")
EQUIVALENT = {
    **{(name, "states → -states"): "only squares of states count" for name in SQUARED},
    ("back_through_time", "state → -state"): "only squares of states count",
    **{(name, "U → -U"): "the same absolute values" for name in SLOPES},
    **{(name, "U → U.mT"): "the same eigenvalues" for name in SLOPES},
    ("slope_of_the_radius", "eigenvalues → -eigenvalues"): "the same absolute values",
    ("slope_of_plain_numbers", "value → -value"): "the same absolute values",
    ("slope_over_501_steps", "power → -power"): "the same absolute values",
    ("slope_over_501_steps", "501 → 502"): "any large number of steps will do",
    ("slope_over_501_steps", "501 → 500"): "any large number of steps will do",
}
MANY_RIGHT = ()
