"""The exercises of lesson 06: positions that are added, turned by, or subtracted."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transformer_lab import positions as package
from transformer_lab.exercises.common import as_choice, numbers, parts_of, strided
from transformer_lab.exercises.exercise import Case, Exercise, Mistake, Unfit, as_tensor


@dataclass(frozen=True)
class Part:
    """A function among an exercise's inputs; `looks` is what a verdict shows of it."""

    looks: str
    code: Callable[..., Tensor]
    takes: int = 1

    def __call__(self, *inputs: Tensor) -> Tensor:
        if len(inputs) != self.takes:
            raise TypeError(f"({self.looks}) takes {self.takes}, got {len(inputs)}")
        return self.code(*inputs)

    def __repr__(self) -> str:
        return self.looks


def as_float(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """A table made from sizes alone: any floating dtype will do."""
    table = as_tensor(inputs, output)
    if not table.is_floating_point():
        raise Unfit(f"Your table is {table.dtype}; expected floating-point numbers.")
    return table.float()


def angles(places: Tensor, width: int, base: float = 1e4, power: float = 2.0) -> Tensor:
    """Each place over base^(power·i/width), for pair i: float64 (T, width / 2)."""
    pairs = torch.arange(width // 2, dtype=torch.float64)
    return places.double()[:, None] * base ** (-power * pairs / width)


# --- find the batch axis

AXES = ("neither", "batch", "time", "both")


def position_axis(add: Callable[[Tensor], Tensor], x: Tensor) -> str:
    """Along which axes of (B, T, D) the numbers change that `add` adds."""
    added = add(torch.zeros_like(x))
    by_time, by_batch = (added != added[:, :1]).any(), (added != added[:1]).any()
    return AXES[2 * by_time + by_batch]


def adder(table: Tensor, axis: str, scale: float) -> Part:
    """A function that adds rows of a table along the axis, to x times scale."""

    def add(x: Tensor) -> Tensor:
        B, T, D = x.shape
        if axis == "both":
            return x * scale + table[: B * T].view(B, T, D)
        if axis == "product":
            return x * scale + table[torch.arange(B)[:, None] * torch.arange(T)]
        rows = {"neither": table[1], "batch": table[:B, None], "time": table[:T]}
        return x * scale + rows[axis]

    return Part("a function (B, T, D) -> (B, T, D)", add)


def adder_cases() -> list[Case]:
    """A name says what is added, and so what a wrong answer has missed."""
    plain, tiny = numbers(1, 16, 4), numbers(2, 16, 4) / 1000
    alike, in_turn = plain[[0, 0, 1, 1]], plain[[0, 1, 0, 1, 0]]
    last = plain * torch.tensor([0.0, 0.0, 0.0, 1.0])
    balanced = torch.arange(8.0)[:, None] * torch.tensor([1.0, -1.0, 2.0, -2.0])
    added = {
        "over time": (plain, "time", 1.0, (3, 2, 4)),
        "over the batch": (plain, "batch", 1.0, (2, 3, 4)),
        "over time, B = T = D": (plain, "time", 1.0, (4, 4, 4)),
        "over the batch, B = T = D": (plain, "batch", 1.0, (4, 4, 4)),
        "a row for every token of the batch": (plain, "both", 1.0, (3, 3, 4)),
        "the same row everywhere": (plain, "neither", 1.0, (3, 2, 4)),
        "over time, x doubled": (plain, "time", 2.0, (2, 3, 4)),
        "over the batch, x doubled": (plain, "batch", 2.0, (3, 3, 4)),
        "the same row everywhere, x halved": (plain, "neither", 0.5, (2, 2, 4)),
        "over time, the first two rows alike": (alike, "time", 1.0, (2, 4, 4)),
        "over the batch, the first two rows alike": (alike, "batch", 1.0, (3, 2, 4)),
        "over time, two rows in turn": (in_turn, "time", 1.0, (2, 5, 4)),
        "over the batch, two rows in turn": (in_turn, "batch", 1.0, (5, 3, 4)),
        "over time, in the last column only": (last, "time", 1.0, (2, 3, 4)),
        "over the batch, rows that sum to 0": (balanced, "batch", 1.0, (3, 2, 4)),
        "a row for the product of both numbers": (plain, "product", 1.0, (3, 4, 4)),
        "over time, numbers near 0.001": (tiny, "time", 1.0, (3, 2, 4)),
    }
    return [
        Case(name, (adder(table, axis, scale), numbers(seed, *shape)))
        for seed, (name, (table, axis, scale, shape)) in enumerate(added.items(), 10)
    ]


def axes(added: Tensor, atol: float = 0.0) -> str:
    """The answer that fits what is added, (B, T, D)."""
    by_batch, by_time = (
        bool(((added - added.narrow(axis, 0, 1)).abs() > atol).any()) for axis in (0, 1)
    )
    return AXES[2 * by_time + by_batch]


def judged(inputs: tuple[Any, ...], answer: Tensor) -> str:
    """Empty where the word is right; words are no numbers that could be off by a factor."""
    given, right = AXES[int(answer)], position_axis(*inputs)
    return "" if given == right else f"You answer {given}; here it is {right}."


def look(find: Callable[[Tensor], str]) -> Callable[..., str]:
    """A mistake made after zeros have been sent through `add`, which is right."""
    return lambda add, x: find(add(torch.zeros_like(x)))


AXIS = Exercise(
    id="find_the_batch_axis",
    lesson="06",
    title="Which axis got the positions?",
    minutes=6,
    difficulty=2,
    prompt="""
`add(x)` is somebody's code: it adds rows of a table to embeddings x, `(B, T, D)`, and may first
multiply x by a number. You cannot see inside. Write `my_axis(add, x)`. It returns along which axis
the added rows change: `"time"`, as they should, `"batch"`, `"both"` or `"neither"`. The x that you
get is an example, full of random numbers; you may call `add` on any tensor of its shape. B and T
are at least 2, and may be equal.""",
    reference=position_axis,
    cases=adder_cases,
    observe=as_choice(*AXES),
    judge=judged,
    mistakes=(
        Mistake(
            "always-time",
            lambda add, x: "time",
            "You answer time whatever `add` does. Call it and look.",
        ),
        Mistake(
            "x-still-inside",
            lambda add, x: axes(add(x)),
            "Your answer is always both: random x differs from token to token by itself. Which x "
            "would show what is added and nothing else?",
        ),
        Mistake(
            "x-subtracted",
            lambda add, x: axes(add(x) - x, 1e-5),
            "Where `add` multiplies x by a number, subtracting x does not get rid of it. Choose "
            "another x.",
        ),
        Mistake(
            "names-swapped",
            look(lambda added: axes(added.transpose(0, 1))),
            "You mix up the axes: in (B, T, D), axis 0 is the batch and axis 1 is time.",
        ),
        Mistake(
            "never-both",
            look(lambda added: axes(added).replace("both", "time")),
            "Your answer is never both. One finding does not rule out the other: ask two "
            "questions.",
        ),
        Mistake(
            "both-as-batch",
            look(lambda added: axes(added).replace("both", "batch")),
            "Where rows change along both axes, you stop at the batch. Ask about time as well.",
        ),
        Mistake(
            "never-neither",
            look(lambda added: axes(added).replace("neither", "time")),
            "Where the same row is added everywhere, you say time. That the batch is not it does "
            "not mean that time is.",
        ),
        Mistake(
            "first-two",
            look(lambda added: axes(added[:2, :2])),
            "You compare the first two only. They can be alike though others differ: compare all.",
        ),
        Mistake(
            "first-and-last",
            look(lambda added: axes(added[:: len(added) - 1, :: added.shape[1] - 1])),
            "You compare each row with one other only, such as the first with the last. They can "
            "be alike though others differ.",
        ),
        Mistake(
            "one-text-one-token",
            look(
                lambda added: AXES[
                    2 * bool((added[0] != added[0, 0]).any())
                    + bool((added[:, 0] != added[0, 0]).any())
                ]
            ),
            "You look along time in text 0 only, and along the batch at token 0 only. What is "
            "added may change elsewhere.",
        ),
        Mistake(
            "first-column",
            look(lambda added: axes(added[..., :1])),
            "You look at the first of the D numbers only. The others can differ.",
        ),
        Mistake(
            "sums",
            look(lambda added: axes(added.sum(-1), 1e-6)),
            "You compare sums or means over D. Different rows can have the same sum.",
        ),
        Mistake(
            "too-tolerant",
            look(lambda added: axes(added, 0.01)),
            "Small differences escape you. With x out of the way, rows are equal or they are not: "
            "no tolerance is needed.",
        ),
    ),
    hints=(
        "You want to see what is added, without x. Which x adds nothing of its own, even if it is "
        "multiplied by a number?",
        "Zeros of the shape of x. What comes back is what is added, alone. Compare all of it with "
        "the first place along one axis: does any number differ?",
        "Ask twice: do the numbers differ from those at time 0, which are `y[:, :1]`? Do they "
        "differ from those of sequence 0, `y[:1]`? Two answers make four words.",
    ),
)


# --- sinusoidal


def waves(length: int, d_model: int, base: float = 10_000.0) -> Tensor:
    """Sine and cosine in turn, of falling frequency: (T, D)."""
    return package.sinusoidal(length, d_model, base)


def wave_cases() -> list[Case]:
    return [
        Case("two positions, one pair", (2, 2)),
        Case("two positions, two pairs", (2, 4)),
        Case("one position", (1, 6)),
        Case("T = D", (6, 6)),
        Case("five positions, four pairs", (5, 8)),
        Case("twelve positions", (12, 4)),
        Case("base 100", (7, 6, 100.0)),
        Case("base 2", (4, 10, 2.0)),
    ]


def woven(even: Tensor, odd: Tensor) -> Tensor:
    """Columns taken from the two in turn."""
    return torch.stack([even, odd], -1).flatten(1)


def both_waves(angle: Tensor) -> Tensor:
    """Sine and cosine of each angle, in turn."""
    return woven(angle.sin(), angle.cos())


def table(
    make: Callable[[Tensor], Tensor] = both_waves, power: float = 2.0, first: int = 0
) -> Callable[..., Tensor]:
    """A mistake: made otherwise from the angles, or from other angles."""
    return lambda length, d_model, base=1e4: make(
        angles(torch.arange(first, first + length), d_model, base, power)
    )


def own_angles(length: int, d_model: int, base: float = 1e4) -> Tensor:
    """Column j with the exponent j/D, be it odd or even."""
    angle = angles(torch.arange(length), 2 * d_model, base)
    return woven(angle.sin()[:, ::2], angle.cos()[:, 1::2])


def closed_range(length: int, d_model: int, base: float = 1e4) -> Tensor:
    """Exponents from 0 to 1, both included."""
    exponents = torch.linspace(0, 1, d_model // 2, dtype=torch.float64)
    return both_waves(torch.arange(length)[:, None] / base**exponents)


SINUSOIDAL = Exercise(
    id="sinusoidal",
    lesson="06",
    title="Clocks, fast and slow",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_waves(length, d_model, base=10_000.0)`, the table of sinusoidal positions: `(T, D)`, where
T is `length` and D is `d_model`, an even number. Row p belongs to position p = 0, 1, 2… Columns 2i
and 2i + 1 are a pair: they hold the sine and the cosine of one angle, p / base^(2i/D), in radians.
So pair 0 turns by 1 at each step, and later pairs turn more slowly.""",
    reference=waves,
    cases=wave_cases,
    observe=as_float,
    atol=1e-4,
    mistakes=(
        Mistake(
            "sine-only",
            table(lambda angle: woven(angle.sin(), angle.sin())),
            "Both columns of a pair hold the sine. Many angles share a sine; sine and cosine "
            "together say where the hand of the clock stands.",
        ),
        Mistake(
            "cosine-first",
            table(lambda angle: woven(angle.cos(), angle.sin())),
            "Sine and cosine have changed places. At position 0 a row begins with 0, 1.",
        ),
        Mistake(
            "halves",
            table(lambda angle: torch.cat([angle.sin(), angle.cos()], -1)),
            "All your sines come first, then all cosines. Here they take turns: even columns hold "
            "sines, odd columns cosines.",
        ),
        Mistake(
            "exponent-halved",
            table(power=1.0),
            "Your exponent is i/D, with i the number of the pair, so your later pairs turn too "
            "fast. It is 2i/D.",
        ),
        Mistake(
            "exponent-doubled",
            table(power=4.0),
            "Your exponent is twice as large as it should be. If you count columns 0, 2, 4…, the "
            "factor 2 is already in there.",
        ),
        Mistake(
            "own-angle-for-odd-columns",
            own_angles,
            "Every column has an angle of its own. The two columns of a pair share one: the "
            "exponent of column 2i + 1 is 2i/D as well.",
        ),
        Mistake(
            "end-included",
            closed_range,
            "Your exponents run from 0 to 1 with both ends. 2i/D never reaches 1: the last pair "
            "has (D − 2)/D.",
        ),
        Mistake(
            "all-alike",
            table(power=0.0),
            "All your pairs turn at the same speed. Is the exponent 0, by an integer division?",
        ),
        Mistake(
            "frequency-upside-down",
            table(power=-2.0),
            "Your later pairs turn faster, not more slowly: you multiply by the power of base. "
            "Divide.",
        ),
        Mistake(
            "degrees",
            table(lambda angle: both_waves(angle.deg2rad())),
            "You treat the angles as degrees. They are in radians, which is what sin takes.",
        ),
        Mistake(
            "counted-from-one",
            table(first=1),
            "Your first row belongs to position 1. Positions count from 0, so the first row is "
            "0, 1, 0, 1…",
        ),
        Mistake(
            "base-ignored",
            lambda length, d_model, base=1e4: waves(length, d_model),
            "The base is always 10,000 in your table. It is an argument: try it with base=100.",
        ),
    ),
    hints=(
        "First make one angle for each position and pair, `(T, D/2)`: a column of positions, "
        "`(T, 1)`, times a row of D/2 speeds.",
        "The speed of pair i is 1 / base^(2i/D). torch.arange(0, D, 2) counts 2i.",
        "Start from zeros of shape (T, D). The sines go into the columns `[:, 0::2]`, the cosines "
        "of the same angles into `[:, 1::2]`.",
    ),
    source=(package.sinusoidal, package._angles),
)


# --- rotary


def rotate_both(query: Tensor, key: Tensor, offset: int = 0) -> tuple[Tensor, Tensor]:
    """Queries and keys, turned by their position: twice (B, H, T, d)."""
    return package.rotary(query, offset), package.rotary(key, offset)


def as_pair(inputs: tuple[Any, ...], output: Any) -> Tensor:
    """Two tensors of one shape as one: the query at [0], the key at [1]."""
    if not isinstance(output, (tuple, list)) or len(output) != 2:
        raise Unfit("Return two tensors, the turned query and the turned key.")
    query, key = parts_of(inputs, output, "query", "key")
    if query.shape != key.shape:
        raise Unfit(
            f"Your query has shape {tuple(query.shape)}, your key {tuple(key.shape)}; expected "
            f"{tuple(inputs[0].shape)} for both, as they came in."
        )
    return torch.stack([query, key])


vars(as_pair)["parts"] = ("query", "key")


def rotary_cases() -> list[Case]:
    right_and_up = torch.tensor([[[[1.0, 0.0]] * 2]]), torch.tensor([[[[0.0, 1.0]] * 2]])
    double = (numbers(seed, 1, 2, 3, 4, dtype=torch.float64) for seed in (11, 12))
    return [
        Case("two positions, d = 2", right_and_up),
        Case("one token at position 3", (numbers(1, 1, 1, 1, 4), numbers(2, 1, 1, 1, 4), 3)),
        Case("three positions, d = 4", (numbers(3, 1, 1, 3, 4), numbers(4, 1, 1, 3, 4))),
        Case("offset 5", (numbers(5, 1, 1, 3, 6), numbers(6, 1, 1, 3, 6), 5)),
        Case("a batch of heads", (numbers(7, 2, 3, 5, 6), numbers(8, 2, 3, 5, 6), 1)),
        Case("B = H = T = d", (numbers(9, 4, 4, 4, 4), numbers(10, 4, 4, 4, 4))),
        Case("float64", (*double, 2)),
        Case("not contiguous", (strided(numbers(13, 2, 2, 3, 4)), numbers(14, 2, 2, 4, 3).mT, 4)),
    ]


def steps(x: Tensor, offset: int = 0, power: float = 2.0, axis: int = -2) -> Tensor:
    """The angles of x's positions along an axis: (T, d/2)."""
    return angles(torch.arange(x.shape[axis]) + offset, x.shape[-1], power=power)


def turn(x: Tensor, angle: Tensor) -> Tensor:
    """Each pair (i, i + d/2) turned by its angle, (..., T, d/2)."""
    return package.rotate(x, angle.cos().to(x), angle.sin().to(x))


def halves(x: Tensor, offset: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both halves of x, and the cosines and sines for them."""
    a, b = x.chunk(2, -1)
    angle = steps(x, offset).to(x)
    return a, b, angle.cos(), angle.sin()


def paired_as_neighbours(x: Tensor, offset: int) -> Tensor:
    """Number 2i turned with number 2i + 1."""
    apart = torch.cat([x[..., ::2], x[..., 1::2]], -1)
    return turn(apart, steps(x, offset)).unflatten(-1, (2, -1)).mT.flatten(-2)


def pairings_mixed(x: Tensor, offset: int) -> Tensor:
    """Pairs of (i, i + d/2), angles in the order for (2i, 2i + 1)."""
    angle = steps(x, offset).repeat_interleave(2, -1).to(x)
    a, b = x.chunk(2, -1)
    return x * angle.cos() + torch.cat([-b, a], -1) * angle.sin()


def with_signs(x: Tensor, offset: int, first: int, second: int) -> Tensor:
    """The two sines with signs of one's own."""
    a, b, cosine, sine = halves(x, offset)
    return torch.cat([a * cosine + first * b * sine, b * cosine + second * a * sine], -1)


def second_from_new_first(x: Tensor, offset: int) -> Tensor:
    """The second half computed from a first half that has already changed."""
    a, b, cosine, sine = halves(x, offset)
    a = a * cosine - b * sine
    return torch.cat([a, b * cosine + a * sine], -1)


def each(change: Callable[[Tensor, int], Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    """The same mistake in the query and in the key."""
    return lambda query, key, offset=0: (change(query, offset), change(key, offset))


ROTARY = Exercise(
    id="rotary",
    lesson="06",
    title="Turn the queries and the keys",
    minutes=8,
    difficulty=3,
    prompt="""
Write `my_rotary(query, key, offset=0)`, both `(B, H, T, d)` with an even d. Return both, turned by
position: token t stands at p = offset + t. In each vector, number i of the first half, a, and
number i of the second half, b, are a point (a, b); i counts from 0. Turn it by the angle
w = p / 10000^(2i/d), in radians: a becomes `a cos w − b sin w`, and b becomes `b cos w + a sin w`.
A pair lies half a vector apart, not side by side as in the table of waves. Keep shape and
dtype.""",
    reference=rotate_both,
    cases=rotary_cases,
    observe=as_pair,
    atol=1e-4,
    mistakes=(
        Mistake(
            "keys-turned-back",
            lambda query, key, offset=0: (
                package.rotary(query, offset),
                turn(key, -steps(key, offset)),
            ),
            "Your keys turn the other way than your queries. A score then depends on the sum of "
            "the two positions, not on the distance.",
        ),
        Mistake(
            "identity",
            lambda query, key, offset=0: (query, key),
            "Nothing has turned. Only position 0 stays where it is.",
        ),
        Mistake(
            "wrong-sign",
            each(lambda x, offset: turn(x, -steps(x, offset))),
            "Your points turn the other way: a score takes a key ahead for a key behind. Which of "
            "the two sines has the minus?",
        ),
        Mistake(
            "query-only",
            lambda query, key, offset=0: (package.rotary(query, offset), key),
            "The keys have not turned. A score then depends on the query's position alone, not on "
            "the distance.",
        ),
        Mistake(
            "key-only",
            lambda query, key, offset=0: (query, package.rotary(key, offset)),
            "The queries have not turned. A score then depends on the key's position alone, not on "
            "the distance.",
        ),
        Mistake(
            "offset-ignored",
            lambda query, key, offset=0: rotate_both(query, key),
            "Your first token always stands at position 0. It stands at `offset`, as it does when "
            "other tokens have gone before.",
        ),
        Mistake(
            "offset-for-query-only",
            lambda query, key, offset=0: (package.rotary(query, offset), package.rotary(key)),
            "The offset moves your queries but not your keys. Token t has one position, for both.",
        ),
        Mistake(
            "counted-from-one",
            lambda query, key, offset=0: rotate_both(query, key, offset + 1),
            "Your tokens stand one place too far on. With offset 0, the first does not turn.",
        ),
        Mistake(
            "heads-as-positions",
            each(lambda x, offset: turn(x, steps(x, offset, axis=1)[:, None])),
            "The angle grows from head to head, and all tokens of a head turn alike. Positions "
            "run along T, the second axis from the right.",
        ),
        Mistake(
            "neighbours",
            each(paired_as_neighbours),
            "You pair number 2i with number 2i + 1, as the paper does. Here number i goes with "
            "number i + d/2, as in GPT-NeoX.",
        ),
        Mistake(
            "pairings-mixed",
            each(pairings_mixed),
            "Your points pair i with i + d/2, but your angles come in twos for neighbours. Numbers "
            "i and i + d/2 share one angle.",
        ),
        Mistake(
            "no-minus",
            each(lambda x, offset: with_signs(x, offset, 1, 1)),
            "Both sines have a plus, so your points change their length. In a rotation one of the "
            "two has a minus.",
        ),
        Mistake(
            "two-minus",
            each(lambda x, offset: with_signs(x, offset, -1, -1)),
            "Both sines have a minus, so your points change their length. In a rotation one of the "
            "two has a plus.",
        ),
        Mistake(
            "sine-for-cosine",
            each(lambda x, offset: turn(x, math.pi / 2 - steps(x, offset))),
            "Sine and cosine have changed places: at position 0 every point is a quarter turn off.",
        ),
        Mistake(
            "degrees",
            each(lambda x, offset: turn(x, steps(x, offset).deg2rad())),
            "You treat the angles as degrees. They are in radians, which is what sin takes.",
        ),
        Mistake(
            "one-speed",
            each(lambda x, offset: turn(x, steps(x, offset, 0.0))),
            "All your pairs turn at the same speed. Is the exponent 0, by an integer division?",
        ),
        Mistake(
            "key-first",
            lambda query, key, offset=0: rotate_both(query, key, offset)[::-1],
            "You return the key first. Query, then key.",
        ),
        Mistake(
            "offset-for-key-only",
            lambda query, key, offset=0: (package.rotary(query), package.rotary(key, offset)),
            "The offset moves your keys but not your queries. Token t has one position, for both.",
        ),
        Mistake(
            "a-already-changed",
            each(second_from_new_first),
            "The second half uses the first half after its change. Both need the old a and b.",
        ),
        Mistake(
            "exponent-halved",
            each(lambda x, offset: turn(x, steps(x, offset, 1.0))),
            "Your exponent is i/d; it is 2i/d, with i from 0 to d/2 − 1. Your later pairs turn too "
            "fast.",
        ),
    ),
    hints=(
        "Make a helper that turns one tensor, and use it twice. It needs the angles, `(T, d/2)`: a "
        "column of positions times a row of d/2 speeds.",
        "Cut the last axis in two: a is `x[..., : d // 2]`, b the rest. Angles of shape (T, d/2) "
        "fit both, whatever B and H are.",
        "Compute the new a and the new b, each from the old ones, then torch.cat them along the "
        "last axis. Angles of another dtype need `.to(x.dtype)`.",
    ),
    source=(package.rotary, package.rotate, package.rotary_table, package._angles),
)


# --- alibi


def distance_bias(n_heads: int, T: int, S: int) -> Tensor:
    """A penalty for distance, one slope a head: (H, T, S)."""
    return package.alibi(n_heads, T, S)


def alibi_cases() -> list[Case]:
    sizes = {
        "two heads, T = S = 3": (2, 3, 3),
        "one head": (1, 2, 2),
        "one query, four keys": (2, 1, 4),
        "T = 3, S = 5": (4, 3, 5),
        "eight heads": (8, 4, 4),
        "H = T = S": (4, 4, 4),
        "sixteen heads": (16, 2, 6),
    }
    return [Case(name, size) for name, size in sizes.items()]


def slopes(n_heads: int, power: float = 8.0, first: int = 1) -> Tensor:
    """2^(−power·h/H) for each head h, to be multiplied with (T, S): (H, 1, 1)."""
    heads = torch.arange(first, first + n_heads, dtype=torch.float64)
    return 2 ** (-power * heads / n_heads)[:, None, None]


def ahead(T: int, S: int) -> Tensor:
    """How far key s stands to the right of query t: (T, S)."""
    return torch.arange(S)[None, :] - torch.arange(S - T, S)[:, None]


ALIBI = Exercise(
    id="alibi",
    lesson="06",
    title="What is far away counts less",
    minutes=6,
    difficulty=2,
    prompt="""
Write `my_alibi(n_heads, T, S)`: a bias `(H, T, S)` that is added to the scores, where H is
`n_heads`, a power of two. For every step between a query and a key, head h takes off its slope,
2^(−8h/H), with h = 1…H: `result[0]` belongs to h = 1. The distance counts to both sides alike; a
mask may hide the future later. The T queries are the *last* T of the S positions: the last query
stands where the last key is.""",
    reference=distance_bias,
    cases=alibi_cases,
    observe=as_float,
    mistakes=(
        Mistake(
            "sign",
            lambda n_heads, T, S: slopes(n_heads) * ahead(T, S).abs(),
            "Your bias grows with the distance, so far keys win. Distance is a penalty.",
        ),
        Mistake(
            "no-absolute-value",
            lambda n_heads, T, S: slopes(n_heads) * ahead(T, S),
            "Keys after the query get a bonus. Distance counts to both sides alike.",
        ),
        Mistake(
            "future-free",
            lambda n_heads, T, S: slopes(n_heads) * ahead(T, S).clamp(max=0),
            "Keys after the query cost nothing. A causal mask would hide them, but an encoder has "
            "none: distance counts to both sides alike.",
        ),
        Mistake(
            "future-hidden",
            lambda n_heads, T, S: distance_bias(n_heads, T, S).where(ahead(T, S) <= 0, -math.inf),
            "You hide the future in the bias. That is the mask's work; the bias is finite.",
        ),
        Mistake(
            "queries-at-the-start",
            lambda n_heads, T, S: -slopes(n_heads) * (ahead(T, S) + S - T).abs(),
            "Your queries are the first T positions. They are the last T: query t stands S − T "
            "places further on.",
        ),
        Mistake(
            "heads-from-zero",
            lambda n_heads, T, S: -slopes(n_heads, first=0) * ahead(T, S).abs(),
            "Your first slope is 1, so h begins at 0. It begins at 1.",
        ),
        Mistake(
            "heads-in-reverse",
            lambda n_heads, T, S: -slopes(n_heads).flip(0) * ahead(T, S).abs(),
            "Your heads stand in reverse order: the first of them should have the largest slope.",
        ),
        Mistake(
            "for-eight-heads",
            lambda n_heads, T, S: -slopes(n_heads, n_heads) * ahead(T, S).abs(),
            "Your slopes are ½, ¼, ⅛… whatever H is. That is right for eight heads: the exponent "
            "is 8h/H.",
        ),
        Mistake(
            "not-divided-by-heads",
            lambda n_heads, T, S: -slopes(n_heads, 8 * n_heads) * ahead(T, S).abs(),
            "Your exponent is 8h, so your last heads hardly feel a distance. Divide it by H.",
        ),
        Mistake(
            "even-steps",
            lambda n_heads, T, S: (
                -torch.arange(n_heads, 0, -1)[:, None, None] / n_heads * ahead(T, S).abs()
            ),
            "Your slopes fall by the same amount from head to head. They fall by the same factor.",
        ),
        Mistake(
            "squared",
            lambda n_heads, T, S: -slopes(n_heads) * ahead(T, S).square(),
            "Your penalty grows with the square of the distance. Each step costs the same.",
        ),
        Mistake(
            "heads-last",
            lambda n_heads, T, S: distance_bias(n_heads, T, S).permute(1, 2, 0),
            "Your heads are the last axis. Scores are (..., H, T, S): heads come first.",
        ),
    ),
    hints=(
        "Two tables, then a product: the distances, `(T, S)`, and one slope a head, `(H, 1, 1)`.",
        "Query t stands at position S − T + t, key s at position s. torch.arange for both, one as "
        "a column, one as a row.",
        "Take the absolute value of the difference, multiply it by 2^(−8h/H) with h from 1 to H, "
        "and give the result a minus.",
    ),
    source=(package.alibi, package.alibi_slopes),
)


EXERCISES = (AXIS, SINUSOIDAL, ROTARY, ALIBI)
