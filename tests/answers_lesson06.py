"""Lesson 06: right answers in several styles, and its mistakes as another hand writes them."""

import cmath
import math
from itertools import pairwise

import torch
from answers import collect

RIGHT, WRONG, right, wrong = collect()


# --- find the batch axis


@right("find_the_batch_axis")
def axis_by_neighbours(add, x):
    y = add(torch.zeros(x.shape))
    time = any((one != next).any() for one, next in pairwise(y.unbind(1)))
    batch = any((one != next).any() for one, next in pairwise(y))
    names = {(True, True): "both", (True, False): "time", (False, True): "batch"}
    return names.get((time, batch), "neither")


@right("find_the_batch_axis")
def axis_of_equal_tokens(add, x):
    y = add(x[:1, :1].expand_as(x))
    same = y.equal(y.roll(1, dims=1)), y.equal(y.roll(1, dims=0))
    found = {(True, True): "neither", (False, True): "time", (True, False): "batch"}
    return found.get(same, "both")


@right("find_the_batch_axis")
def axis_by_spread(add, x):
    y = add(torch.full(x.shape, 7.0))
    time, batch = ((y.amax(axis) - y.amin(axis)).max() > 1e-5 for axis in (1, 0))
    return ["neither", "time", "batch", "both"][time + 2 * batch]


@wrong("find_the_batch_axis", "always-time")
def axis_of_an_optimist(add, x):
    add(x)
    return "time" if x.shape[0] > 1 else "neither"


@wrong("find_the_batch_axis", "x-still-inside")
def axis_seen_through_x(add, x):
    y = add(x)
    time, batch = not torch.allclose(y[:, 0], y[:, 1]), not torch.allclose(y[0], y[1])
    return "both" if time and batch else "time" if time else "batch" if batch else "neither"


@wrong("find_the_batch_axis", "x-subtracted")
def axis_after_a_subtraction(add, x):
    rows = add(x).sub(x)
    time = not torch.allclose(rows[:, 1:], rows[:, :-1], atol=1e-5)
    batch = not torch.allclose(rows[1:], rows[:-1], atol=1e-5)
    return "both" if time and batch else "time" if time else "batch" if batch else "neither"


@wrong("find_the_batch_axis", "names-swapped")
def axis_with_time_first(add, x):
    y = add(torch.zeros(x.shape))
    time, batch = bool(y.var(0).sum()), bool(y.var(1).sum())
    return "both" if time and batch else "time" if time else "batch" if batch else "neither"


@wrong("find_the_batch_axis", "never-both")
def axis_asked_in_turn(add, x):
    y = add(x - x)
    if any((y[:, t] != y[:, 0]).any() for t in range(y.shape[1])):
        return "time"
    return "batch" if any((y[b] != y[0]).any() for b in range(len(y))) else "neither"


@wrong("find_the_batch_axis", "both-as-batch")
def axis_asked_in_the_other_turn(add, x):
    y = add(torch.ones_like(x))
    if (y - y[0]).count_nonzero():
        return "batch"
    return "time" if (y[0] - y[0, 0]).count_nonzero() else "neither"


@wrong("find_the_batch_axis", "never-neither")
def axis_by_exclusion(add, x):
    y = add(torch.zeros_like(x))
    if (y == y[:1]).all():
        return "time"
    return "batch" if (y == y[:, :1]).all() else "both"


@wrong("find_the_batch_axis", "first-two")
def axis_of_two_tokens(add, x):
    y = add(torch.zeros_like(x))
    time, batch = not y[:, 0].equal(y[:, 1]), not y[0].equal(y[1])
    return "both" if time and batch else "time" if time else "batch" if batch else "neither"


@wrong("find_the_batch_axis", "sums")
def axis_of_the_means(add, x):
    y = add(torch.zeros_like(x)).mean(-1)
    time = not torch.allclose(y, y[:, :1], atol=1e-6)
    batch = not torch.allclose(y, y[:1], atol=1e-6)
    return "both" if time and batch else "time" if time else "batch" if batch else "neither"


@wrong("find_the_batch_axis", "too-tolerant")
def axis_to_two_digits(add, x):
    y = torch.round(add(torch.zeros_like(x)), decimals=2)
    time, batch = len(y.unique(dim=1)[0]) > 1, len(y.unique(dim=0)) > 1
    return "both" if time and batch else "time" if time else "batch" if batch else "neither"


# --- sinusoidal


@right("sinusoidal")
def waves_by_slices(length, d_model, base=10_000.0):
    table = torch.empty(length, d_model)
    speeds = torch.exp(torch.arange(0, d_model, 2) * (-math.log(base) / d_model))
    for start, wave in ((0, torch.sin), (1, torch.cos)):
        table[:, start::2] = wave(torch.arange(length)[:, None] * speeds)
    return table


@right("sinusoidal")
def waves_in_a_loop(length, d_model, base=10_000.0):
    rows = []
    for p in range(length):
        row = []
        for i in range(d_model // 2):
            row += [wave(p / base ** (2 * i / d_model)) for wave in (math.sin, math.cos)]
        rows.append(row)
    return torch.tensor(rows)


@right("sinusoidal")
def waves_from_complex_numbers(length, d_model, base=10_000.0):
    speeds = torch.pow(base, torch.linspace(0, -1, d_model // 2 + 1)[:-1])
    points = torch.exp(1j * torch.arange(length)[:, None] * speeds)
    return torch.view_as_real(points).flip(-1).reshape(length, d_model)


@wrong("sinusoidal", "sine-only")
def waves_without_cosines(length, d_model, base=10_000.0):
    columns = torch.arange(d_model) // 2 * 2
    return torch.sin(torch.arange(length)[:, None] / base ** (columns / d_model))


@wrong("sinusoidal", "cosine-first")
def waves_in_the_other_order(length, d_model, base=10_000.0):
    return waves_by_slices(length, d_model, base).unflatten(1, (-1, 2)).flip(-1).flatten(1)


@wrong("sinusoidal", "halves")
def waves_side_by_side(length, d_model, base=10_000.0):
    speeds = 1.0 / base ** (torch.arange(0, d_model, 2) / d_model)
    angle = torch.outer(torch.arange(length), speeds)
    return torch.hstack((torch.sin(angle), torch.cos(angle)))


@wrong("sinusoidal", "exponent-halved")
def waves_counted_in_pairs(length, d_model, base=10_000.0):
    rows = torch.zeros(length, d_model)
    for i in range(d_model // 2):
        angle = torch.arange(length) / base ** (i / d_model)
        rows[:, 2 * i], rows[:, 2 * i + 1] = angle.sin(), angle.cos()
    return rows


@wrong("sinusoidal", "exponent-doubled")
def waves_counted_twice(length, d_model, base=10_000.0):
    rows = torch.zeros(length, d_model)
    for i in range(0, d_model, 2):
        angle = torch.arange(length) / base ** (2 * i / d_model)
        rows[:, i], rows[:, i + 1] = angle.sin(), angle.cos()
    return rows


@wrong("sinusoidal", "own-angle-for-odd-columns")
def waves_by_column(length, d_model, base=10_000.0):
    rows = torch.arange(length)[:, None] / base ** (torch.arange(d_model) / d_model)
    rows[:, ::2], rows[:, 1::2] = rows[:, ::2].sin(), rows[:, 1::2].cos()
    return rows


@wrong("sinusoidal", "end-included")
def waves_up_to_the_base(length, d_model, base=10_000.0):
    rows = torch.zeros(length, d_model)
    for i in range(half := d_model // 2):
        angle = torch.arange(length) * base ** (-i / max(half - 1, 1))
        rows[:, 2 * i], rows[:, 2 * i + 1] = angle.sin(), angle.cos()
    return rows


@wrong("sinusoidal", "all-alike")
def waves_with_whole_exponents(length, d_model, base=10_000.0):
    angle = torch.arange(length)[:, None] / base ** (torch.arange(0, d_model, 2) // d_model)
    return torch.stack([torch.sin(angle), torch.cos(angle)], 2).reshape(length, d_model)


@wrong("sinusoidal", "frequency-upside-down")
def waves_that_hurry(length, d_model, base=10_000.0):
    speeds = [base ** (2 * i / d_model) for i in range(d_model // 2)]
    rows = [[f(p * s) for s in speeds for f in (math.sin, math.cos)] for p in range(length)]
    return torch.tensor(rows)


@wrong("sinusoidal", "degrees")
def waves_in_degrees(length, d_model, base=10_000.0):
    speeds = [base ** (-2 * i / d_model) * math.pi / 180 for i in range(d_model // 2)]
    rows = [[f(p * s) for s in speeds for f in (math.sin, math.cos)] for p in range(length)]
    return torch.tensor(rows)


@wrong("sinusoidal", "counted-from-one")
def waves_from_the_second_row(length, d_model, base=10_000.0):
    return waves_by_slices(length + 1, d_model, base)[1:]


@wrong("sinusoidal", "base-ignored")
def waves_of_the_paper(length, d_model, base=10_000.0):
    return waves_by_slices(length, d_model, 10_000)


# --- rotary


@right("rotary")
def rotary_by_rotate_half(query, key, offset=0):
    _, _, T, d = query.shape
    angle = (torch.arange(T) + offset)[:, None] * 1e4 ** (-torch.arange(0, d, 2) / d)
    angle = angle.repeat(1, 2)

    def turned(x):
        a, b = x.chunk(2, dim=-1)
        return x * angle.cos() + torch.cat([-b, a], dim=-1) * angle.sin()

    return turned(query), turned(key)


@right("rotary")
def rotary_in_a_loop(query, key, offset=0):
    _, _, T, d = query.shape
    results = []
    for x in (query, key):
        y = torch.empty_like(x)
        for t in range(T):
            for i in range(d // 2):
                pair = slice(i, d, d // 2)
                spin = cmath.rect(1, (offset + t) / 1e4 ** (2 * i / d))
                a, b = x[:, :, t, pair].unbind(-1)
                new = a * spin.real - b * spin.imag, b * spin.real + a * spin.imag
                y[:, :, t, pair] = torch.stack(new, -1)
        results.append(y)
    return results


@right("rotary")
def rotary_by_complex_numbers(query, key, offset=0):
    _, _, T, d = query.shape
    places = torch.arange(offset, offset + T)
    spin = torch.exp(1j * places[:, None] / 1e4 ** (torch.arange(0, d, 2) / d))
    both = torch.stack([query, key])
    points = torch.complex(*both.chunk(2, -1)) * spin
    return torch.cat([points.real, points.imag], -1).unbind()


@wrong("rotary", "identity")
def rotary_that_stays(query, key, offset=0):
    return query.clone(), key.clone()


@wrong("rotary", "wrong-sign")
def rotary_backwards(query, key, offset=0):
    d = query.shape[-1]
    p = torch.arange(query.shape[-2]) + offset
    angle = p[:, None] / 10_000 ** (torch.arange(0, d, 2) / d)
    angle = torch.cat([angle, angle], -1)

    def turned(x):
        half = torch.cat([x[..., d // 2 :], -x[..., : d // 2]], -1)
        return (x * angle.cos() + half * angle.sin()).to(x)

    return turned(query), turned(key)


@wrong("rotary", "query-only")
def rotary_of_queries(query, key, offset=0):
    return rotary_by_rotate_half(query, query, offset)[0], key


@wrong("rotary", "key-only")
def rotary_of_keys(query, key, offset=0):
    return query + 0, rotary_in_a_loop(key, key, offset)[1]


@wrong("rotary", "offset-ignored")
def rotary_from_the_start(query, key, offset=0):
    return rotary_by_complex_numbers(query, key)


@wrong("rotary", "offset-for-query-only")
def rotary_with_keys_from_the_start(query, key, offset=0):
    return rotary_in_a_loop(query, query, offset)[0], rotary_in_a_loop(key, key)[0]


@wrong("rotary", "counted-from-one")
def rotary_one_on(query, key, offset=0):
    return rotary_in_a_loop(query, key, 1 + offset)


@wrong("rotary", "heads-as-positions")
def rotary_by_head(query, key, offset=0):
    turned = rotary_by_complex_numbers(query.transpose(1, 2), key.transpose(1, 2), offset)
    return [x.transpose(1, 2) for x in turned]


@wrong("rotary", "neighbours")
def rotary_of_the_paper(query, key, offset=0):
    T, d = query.shape[-2:]
    angle = torch.arange(offset, offset + T)[:, None] / 10_000 ** (torch.arange(0, d, 2) / d)

    def turned(x):
        y, (cosine, sine) = torch.empty_like(x), (angle.cos(), angle.sin())
        y[..., 0::2] = x[..., 0::2] * cosine - x[..., 1::2] * sine
        y[..., 1::2] = x[..., 1::2] * cosine + x[..., 0::2] * sine
        return y

    return turned(query), turned(key)


@wrong("rotary", "pairings-mixed")
def rotary_of_two_codes(query, key, offset=0):
    T, half = query.shape[-2], query.shape[-1] // 2
    results = []
    for x in (query, key):
        y = x.clone()
        for t in range(T):
            for column in range(2 * half):
                w = (offset + t) / 10_000 ** (column // 2 / half)
                other = -x[..., t, column + half] if column < half else x[..., t, column - half]
                y[..., t, column] = x[..., t, column] * math.cos(w) + other * math.sin(w)
        results.append(y)
    return results


@wrong("rotary", "a-already-changed")
def rotary_in_place(query, key, offset=0):
    T, d = query.shape[-2:]
    w = torch.arange(offset, offset + T)[:, None] / 10_000 ** (torch.arange(0, d, 2) / d)

    def turned(x):
        x = x.clone()
        a, b = x.chunk(2, -1)
        a[:] = a * w.cos() - b * w.sin()
        b[:] = b * w.cos() + a * w.sin()
        return x

    return turned(query), turned(key)


@wrong("rotary", "exponent-halved")
def rotary_that_hurries(query, key, offset=0):
    d = query.shape[-1]
    p = torch.arange(query.shape[-2]) + offset
    angle = p[:, None] / 10_000 ** (torch.arange(d // 2) / d)

    def turned(x):
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return torch.cat(
            [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1
        ).to(x)

    return turned(query), turned(key)


# --- alibi


@right("alibi")
def alibi_in_a_loop(n_heads, T, S):
    bias = torch.empty(n_heads, T, S)
    for h in range(n_heads):
        for t in range(T):
            for s in range(S):
                bias[h, t, s] = -(2 ** (-8 * (h + 1) / n_heads)) * abs(S - T + t - s)
    return bias


@right("alibi")
def alibi_by_einsum(n_heads, T, S):
    slopes = torch.logspace(-8 / n_heads, -8, n_heads, base=2.0)
    places = torch.arange(S).float()
    return torch.einsum("h,ts->hts", -slopes, torch.cdist(places[-T:, None], places[:, None]))


@right("alibi")
def alibi_from_the_last_rows(n_heads, T, S):
    ratio = 0.5 ** (8 / n_heads)
    square = (torch.arange(S) - torch.arange(S)[:, None]).abs()
    return torch.stack([square[S - T :] * -(ratio ** (h + 1)) for h in range(n_heads)])


@wrong("alibi", "sign")
def alibi_for_the_far(n_heads, T, S):
    return abs(alibi_by_einsum(n_heads, T, S))


@wrong("alibi", "no-absolute-value")
def alibi_with_a_side(n_heads, T, S):
    rows = [[-(S - T + t - s) for s in range(S)] for t in range(T)]
    slopes = [2 ** (-8 * h / n_heads) for h in range(1, n_heads + 1)]
    return torch.tensor(slopes)[:, None, None] * torch.tensor(rows)


@wrong("alibi", "future-free")
def alibi_of_the_past(n_heads, T, S):
    return alibi_by_einsum(n_heads, T, S).tril(S - T)


@wrong("alibi", "future-hidden")
def alibi_and_mask(n_heads, T, S):
    future = ~torch.ones(T, S, dtype=torch.bool).tril(S - T)
    return alibi_by_einsum(n_heads, T, S).masked_fill(future, -torch.inf)


@wrong("alibi", "queries-at-the-start")
def alibi_from_the_first_rows(n_heads, T, S):
    return alibi_by_einsum(n_heads, S, S)[:, :T]


@wrong("alibi", "heads-from-zero")
def alibi_with_python_counting(n_heads, T, S):
    near = -(torch.arange(S) - torch.arange(S)[-T:, None]).abs()
    return torch.stack([near * 2 ** (-8 * h / n_heads) for h in range(n_heads)])


@wrong("alibi", "heads-in-reverse")
def alibi_from_the_smallest(n_heads, T, S):
    return alibi_by_einsum(n_heads, T, S).flip(0)


@wrong("alibi", "for-eight-heads")
def alibi_by_halving(n_heads, T, S):
    near = -(torch.arange(S) - torch.arange(S)[-T:, None]).abs()
    return torch.stack([near / 2**h for h in range(1, n_heads + 1)])


@wrong("alibi", "not-divided-by-heads")
def alibi_with_steep_heads(n_heads, T, S):
    near = -(torch.arange(S) - torch.arange(S)[-T:, None]).abs()
    return torch.stack([near / 256.0**h for h in range(1, n_heads + 1)])


@wrong("alibi", "squared")
def alibi_by_squares(n_heads, T, S):
    near = (torch.arange(S) - torch.arange(S)[-T:, None]) ** 2
    return torch.stack([near * -(2 ** (-8 * (h + 1) / n_heads)) for h in range(n_heads)])


@wrong("alibi", "heads-last")
def alibi_with_heads_behind(n_heads, T, S):
    return torch.stack(list(alibi_by_einsum(n_heads, T, S)), -1)


# No wrong answer gets through: (function, change) that leaves the result as it was, and why

EQUIVALENT = {
    (
        "alibi_from_the_last_rows",
        "torch.arange(S) - torch.arange(S)[:, None] → torch.arange(S)[:, None] - torch.arange(S)",
    ): "a distance has no direction",
    ("alibi_in_a_loop", "S - T + t - s → s - (S - T + t)"): "a distance has no direction",
    ("axis_by_neighbours", "torch.zeros → torch.ones"): "any constant shows what is added",
    ("axis_by_neighbours", "y → -y"): "negated numbers are as different",
    ("axis_by_spread", "7.0 → 14.1"): "any constant shows what is added",
    ("axis_of_equal_tokens", "x → -x"): "any token, for all places, shows what is added",
    ("position_axis", "torch.zeros_like → torch.ones_like"): "any constant shows what is added",
    ("position_axis", "x → -x"): "zeros of the same size",
    ("rotary_by_rotate_half", "angle → -angle"): "in the cosine, which is even",
}
MANY_RIGHT = ()
