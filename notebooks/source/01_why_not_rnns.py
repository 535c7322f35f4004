# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Why not RNNs: what goes wrong over distance, and what over time?
#
# Before attention, networks read a text one token at a time and kept a state. You measure where that fails, and which of the famous reasons hold.
#
# **After this lesson you can**
# - say how a gradient shrinks or grows on its way back through time, and predict its rate;
# - tell what an LSTM cures, and what it cures only if you set one number;
# - separate what can be computed side by side from what takes long on your machine.
#
# About 35 minutes to read and touch, 30 for five exercises. You need: Python, and what a matrix product, a derivative and an eigenvalue are. Terms: [glossary](glossary.ipynb).

# %%
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

from transformer_lab import plots, tasks
from transformer_lab.attention import MultiHeadAttention
from transformer_lab.claims import claim
from transformer_lab.exercises import check, hint, progress, reveal
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.rnn import GRUCell, LSTMCell, RNNCell, fused, gradient_by_lag, unroll
from transformer_lab.training import train

_ = torch.manual_seed(0)

# %% [markdown]
# ## A state that is handed on
# A **recurrent network**, RNN, reads one input after another. Each step makes a new state from the input and the old state: `new = tanh(W x + U old + b)`, where tanh squeezes any number to between −1 and 1. The numbers in the matrices W and U and in the **bias** `b` are its **parameters**: training finds them. The last state is all that is left of the text.
#
# The axes are (B, T, numbers): a **batch** of texts, here one, each of T inputs.

# %%
cell = RNNCell(d_input=8, d_hidden=16)
inputs = torch.randn(1, 30, 8)
states = unroll(cell, inputs)
states.shape

# %% [markdown]
# Now write such a loop yourself. In an exercise, your code takes the place of the line with `raise`. Run the cell: `check` tells you when it is right, and if not, which mistake it is. Stuck? `hint("rnn_states")` in a new cell gives a hint, up to three times; `reveal("rnn_states")` shows the code of the package.
#
# ### Exercise: rnn_states


# %%
def my_states(inputs, start, W, U, b):
    """inputs (B, T, D), start (B, h), W (h, D), U (h, h), b (h,) -> states (B, T, h)."""
    raise NotImplementedError


check("rnn_states", my_states)

# %% [markdown]
# ## The way back
# To learn from something that was read long ago, the last state must feel it: a change of an early input must change the last output. How much, is the **gradient**. It goes back step by step, and each step multiplies it by one more matrix.
#
# **Lag** is how many steps ago. We take the slopes of the last state with respect to the input at each lag, and of all of them the size: the root of the sum of squares. It is drawn relative to lag 0, with a band from the lowest to the highest of five seeds.

# %%
predict(
    "01-lag-50",
    "A tanh RNN with the first numbers that torch draws, 64 numbers of state. 50 steps back, the gradient is … of that at lag 0.",
    ["a half", "a thousandth", "a billionth of a billionth"],
)

# %%
h = 64
plain = gradient_by_lag(lambda: RNNCell(h, h), T=100, seeds=range(5))
middle = plain.log10().mean(0)
plots.lines(
    range(100),
    [10**middle],
    ["tanh RNN"],
    low=[plain.amin(0)],
    high=[plain.amax(0)],
    log="y",
    xlabel="lag",
    ylabel="gradient, relative to lag 0",
    title="A tenth of it is left after every three steps",
)

# %%
claim("01-tanh-lag-50", plain[:, 50].log10())

# %%
outcome("01-lag-50", "a billionth of a billionth")

# %% [markdown]
# A straight line on a logarithmic axis: the same factor at each step. Far out, the numbers leave what a computer holds. In float32 nothing below 1e-45 exists; whatever is smaller is 0, and what is 0 cannot be brought back by any learning rate.
#
# Without the tanh, n steps multiply the gradient by Uⁿ, and that is ruled by the **spectral radius** of U: the largest absolute value of its eigenvalues. If U v = λ v, then Uⁿ v = λⁿ v, so after many steps the largest λ alone counts.

# %%
radius = torch.stack(
    [torch.linalg.eigvals(RNNCell(h, h).candidate.from_state.weight).abs().max() for _ in range(5)]
)
claim("01-spectral-radius", radius)

# %%
claim("01-measured-factor", 10 ** ((plain[:, 60] / plain[:, 10]).log10() / 50))

# %% [markdown]
# The tanh takes away a little more at each step: its slope is at most 1, and below 1 wherever the state is not 0.

# %% [markdown]
# ### Exercise: decay_slope


# %%
def my_slope(U):
    """(h, h) -> by how much log10 of the gradient changes at each step."""
    raise NotImplementedError


check("decay_slope", my_slope)

# %% [markdown]
# ### Exercise: back_through_time


# %%
def my_gradients(states, U, last):
    """states (B, T, h), U (h, h), last (B, h) -> the gradient of every state (B, T, h)."""
    raise NotImplementedError


check("back_through_time", my_gradients)

# %% [markdown]
# ## Vanish, or explode
# The factor need not be below 1. Take **ReLU** in place of tanh: it keeps what is positive and turns the rest into 0. For U take an orthogonal matrix, which changes no length, times 2. ReLU stops about half of the numbers at each step, so the factor is about 2·√½, the root of 2.

# %%
large = gradient_by_lag(
    lambda: RNNCell(h, h, activation="relu", recurrent="orthogonal", gain=2.0),
    T=60,
    seeds=range(5),
)
claim("01-relu-explodes", large[:, 50].log10())

# %% [markdown]
# So "RNN gradients vanish" is half of it: they vanish *or explode*, and the initial U decides. That can be chosen. And then there are the cells with gates, which were invented to cure this. An **LSTM** keeps a second list of numbers, a memory `c`. At each step a **forget gate**, numbers between 0 and 1, multiplies it: 1 keeps all, 0 forgets all. A **GRU** does much the same to its only state.

# %% tags=["q-37"]
predict(
    "01-lstm",
    "An LSTM with the first numbers that torch draws. At lag 50 its gradient is …",
    ["close to 1: the memory carries it", "about 1e-3", "about 1e-11"],
)

# %% tags=["q-37"]
cells = {
    "tanh": lambda: RNNCell(h, h),
    "orthogonal": lambda: RNNCell(h, h, recurrent="orthogonal"),
    "GRU": lambda: GRUCell(h, h),
    "LSTM": lambda: LSTMCell(h, h),
    "LSTM, forget bias 3": lambda: LSTMCell(h, h, forget_bias=3.0),
    "attention": lambda: MultiHeadAttention(h, 1),
}
curves = {name: gradient_by_lag(make, T=100, seeds=range(5)) for name, make in cells.items()}
plots.lines(
    range(100),
    [10 ** curve.log10().mean(0) for curve in curves.values()],
    list(curves),
    low=[curve.amin(0) for curve in curves.values()],
    high=[curve.amax(0) for curve in curves.values()],
    log="y",
    xlabel="lag",
    ylabel="gradient, relative to lag 0",
    title="A default LSTM forgets; one number cures it",
)

# %% tags=["q-37"]
claim("01-lstm-default-vanishes", curves["LSTM"][:, 50].log10())

# %% tags=["q-37"]
claim("01-lstm-forget-bias", curves["LSTM, forget bias 3"][:, 50])

# %% tags=["q-37"]
outcome("01-lstm", "about 1e-11")

# %% [markdown]
# You may have read that the LSTM solved vanishing gradients. At torch's defaults it does not. A fresh forget gate stands at about one half. Through `c` alone that would leave 2⁻⁵⁰, 1e-15; the measured number is larger, because the output h is a second way back. Give the gate a bias of 3, and it stands at .95. The curve even rises again toward the beginning of the text, where the memory is empty.
#
# An orthogonal U fades more slowly, the GRU about as fast as the LSTM.
#
# Attention has no steps between: every position is one step away. Its curve falls once, since the last position also asks, and from lag 1 on it is level.

# %% [markdown]
# Turn the knobs yourself; lag 0 is at the right here. The curve is measured anew each time, with three seeds. Find the forget bias at which half a gradient is left at lag 50, and the gain, the factor on U, at which the ReLU network neither vanishes nor explodes. You should end near 3.5 and 1.4.

# %% tags=["q-37"]
from transformer_lab.instruments.horizon import GradientHorizon

GradientHorizon("LSTM", lag=50, pins=["tanh"], title="How far back does the gradient reach?")

# %% [markdown]
# ### Exercise: forget_bias


# %%
def my_bias(share, lag):
    """The bias at which this share of c is left after so many steps."""
    raise NotImplementedError


check("forget_bias", my_bias)

# %% [markdown]
# ### Exercise: lstm_step


# %%
def my_lstm(x, h, c, W, U, b):
    """x (B, D), h and c (B, h), W (4h, D), U (4h, h), b (4h,) -> h, c."""
    raise NotImplementedError


check("lstm_step", my_lstm)

# %% [markdown]
# ## Does it matter? Remember one symbol
# A gradient at the start is not yet a result. Here is a task: read one of four symbols, then distractors of four kinds, then a question mark; there, say which symbol it was. That makes nine tokens. Guessing gives .25. Each symbol becomes a vector by a table that training fills, an **embedding**. `fused` runs a cell by torch's **fused** kernel: all steps in one call, the same result.


# %%
class Recall(nn.Module):
    """Embedding, a core that reads the text, and a readout of its last state."""

    def __init__(self, core, width, length=0):
        super().__init__()
        self.embed, self.core, self.read = nn.Embedding(9, 32), core, nn.Linear(width, 4)
        self.place = nn.Embedding(length, 32) if length else None  # attention knows no order

    def forward(self, tokens):
        x = self.embed(tokens)
        x = self.core(x if self.place is None else x + self.place.weight)
        states = x[0] if isinstance(x, tuple) else x
        return self.read(states[:, -1])


# %%
def cores(lag):
    """Makers of models with about as many parameters."""
    return {
        "tanh": lambda: Recall(fused(RNNCell(32, 50)), 50),
        "GRU": lambda: Recall(fused(GRUCell(32, 24)), 24),
        "LSTM": lambda: Recall(fused(LSTMCell(32, 20)), 20),
        "LSTM, forget bias 3": lambda: Recall(fused(LSTMCell(32, 20, forget_bias=3.0)), 20),
        "attention": lambda: Recall(MultiHeadAttention(32, 1), 32, lag + 1),
    }


{name: sum(p.numel() for p in make().core.parameters()) for name, make in cores(5).items()}

# %% [markdown]
# The cores have about equally many parameters. Attention also gets a table of places, 32 numbers for each, since by itself it knows no order (lesson 06).


# %%
def recalls(make, lag, seed, steps=250):
    """The share of 1,000 fresh texts answered right, after training."""
    torch.manual_seed(seed)
    model = make()

    def wrong(model, batch):
        return F.cross_entropy(model(batch[0]), batch[1])

    for _ in train(model, tasks.delayed_recall(64, lag, 4, seed), steps, rate=5e-3, loss=wrong):
        pass
    tokens, symbol = next(tasks.delayed_recall(1000, lag, 4, seed=100 + seed))
    with torch.no_grad():
        return (model(tokens).argmax(-1) == symbol).float().mean().item()


# %%
predict(
    "01-recall",
    "Lag 40, 250 training steps. Which of these answers better than by guessing?",
    [
        "GRU, LSTM and attention",
        "the LSTM with its forget bias, and attention",
        "only attention",
    ],
)

# %% tags=["nbval-ignore-output"]
right = {}
for lag in (5, 40):
    for name, make in cores(lag).items():
        right[lag, name] = [recalls(make, lag, seed) for seed in range(3)]
        low, high = min(right[lag, name]), max(right[lag, name])
        print(
            f"lag {lag:2}  {name:20} {statistics.mean(right[lag, name]):.2f} ({low:.2f} to {high:.2f})"
        )

# %%
worst = [min(shares) for shares in zip(*(right[5, name] for name in cores(5)))]
claim("01-all-recall-near", worst)

# %%
better = [max(pair) for pair in zip(right[40, "tanh"], right[40, "LSTM"])]
claim("01-default-cells-guess-far", better)

# %%
claim("01-forget-bias-recalls", right[40, "LSTM, forget bias 3"])

# %%
claim("01-attention-recalls", right[40, "attention"])

# %%
outcome("01-recall", "the LSTM with its forget bias, and attention")

# %% [markdown]
# The curves from before told it: where no gradient arrives, nothing is learned. All cells can *hold* a symbol; the default ones are never told to. One number, set before training, makes the LSTM a different machine.
#
# Attention reaches every position in one step. Does a long text then cost it nothing?

# %% tags=["q-36"]
predict(
    "01-share",
    "A fresh attention over T tokens. The share of one position in the answer is …",
    ["1 for every T: it sees all of them", "about 1/T"],
)


# %%
def far_slope(T, seed):
    """How much the last output depends on one earlier position, on average."""
    torch.manual_seed(seed)
    layer, x = MultiHeadAttention(h, 1), torch.randn(1, T, h)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x)[0, -1], x)[:, 0]
    return jacobian.norm(dim=(0, 2))[:-1].mean()


lengths = [10, 40, 160, 640]
slopes = torch.stack([torch.stack([far_slope(T, seed) for seed in range(5)]) for T in lengths])
claim("01-attention-dilutes", (slopes[0] / slopes[-1]))

# %%
outcome("01-share", "about 1/T")

# %% [markdown]
# "Distance does not matter to attention" is too strong. It does not fade *with distance*; it is shared *among all*.
#
# ## Time: what must wait for what
# An RNN needs state 1 before state 2. That is its **sequential depth**: T steps for T tokens, whatever the machine. Attention computes all positions side by side: its depth is the same for every T. This is counted, not timed.
#
# What a machine *takes* is another question. Attention compares every token with every other: T² pairs. Measure it.

# %% tags=["q-36"]
predict(
    "01-time",
    "Width 64, one layer, this machine: from 1,024 to 4,096 tokens, whose time grows more?",
    ["the RNN's: it must wait", "attention's: its work grows with T²", "both alike"],
)


# %% tags=["q-36", "nbval-ignore-output"]
def seconds(f, rounds=5):
    """The median time of a few calls."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        f()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


# %% tags=["q-36", "nbval-ignore-output"]
lengths, times = [64, 256, 1024, 4096], {"RNN, step by step": [], "RNN, fused": [], "attention": []}
cell, layer = RNNCell(64, 64), MultiHeadAttention(64, 4)
torch_rnn = fused(cell)
with torch.no_grad():
    for T in lengths:
        x = torch.randn(1, T, 64)
        times["RNN, step by step"].append(seconds(lambda x=x: unroll(cell, x), 3))
        times["RNN, fused"].append(seconds(lambda x=x: torch_rnn(x)))
        times["attention"].append(seconds(lambda x=x: layer(x)))

# %% tags=["q-36", "nbval-ignore-output", "this-machine"]
plots.lines(
    lengths,
    [[1e3 * t for t in row] for row in times.values()],
    list(times),
    log="xy",
    xlabel="T",
    ylabel="milliseconds",
    title="Time on this machine, one layer of width 64",
)

# %% tags=["q-36"]
growth = {name: row[-1] / row[-2] for name, row in times.items()}
claim("01-attention-grows-faster", growth["attention"] / growth["RNN, fused"])

# %% tags=["q-36"]
claim("01-short-attention-wins", times["RNN, step by step"][0] / times["attention"][0])

# %% tags=["q-36"]
outcome("01-time", "attention's: its work grows with T²")

# %% [markdown]
# From 1,024 to 4,096 tokens the RNN takes about four times as long, and attention grows faster: where its T² pairs outweigh the rest, it loses. On short texts it is far ahead. On two processor cores the fused RNN is a strong opponent; on a graphics card, with thousands of cores waiting, the depth decides. Both are true: *depth* is a property of the method, *time* one of a machine.
#
# And the advantage is one of training. When a Transformer writes, it goes token by token too. That is lesson 12.
#
# Now hold both in one hand. Count first.

# %% tags=["q-36"]
predict(
    "01-depth",
    "1,024 tokens. How many matrix products must wait for one another: in the RNN, and in attention?",
    ["1,024 and 1,024", "1,024 and 4", "1,024 and 1"],
)

# %% tags=["q-36"]
from transformer_lab.instruments.race import Race

race = Race(T=1024, D=64, title="Who must wait, and who takes long?")
race

# %% tags=["q-36"]
outcome("01-depth", f"{race.depth['rnn']:,} and {race.depth['attention']}")

# %% [markdown]
# Attention projects, scores, mixes, projects again (lesson 02): four, for every T. Make the text longer, and only the upper chain grows.
#
# The bars below it are this machine's. Look for the length from which attention loses to the fused RNN, then change D: does that length move? Watch the two parts of attention's bar. On a sentence most of it is projections; on a chapter nearly all of it is pairs.
#
# ## When it breaks
# Three failures that everybody meets, and what they look like.

# %%
for bad in (torch.randn(4, 8), torch.randn(1, 5, 7)):
    try:
        unroll(RNNCell(8, 16), bad)
    except (RuntimeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")
far = gradient_by_lag(lambda: RNNCell(16, 16), T=200, seeds=[0], D=16)
print("gradient at lag 199:", far[0, -1].item())

# %% [markdown]
# 1. **The axes are not (batch, time, numbers).** A single text still needs its batch axis.
# 2. **The input's width does not fit the cell.**
# 3. **A gradient of exactly 0.** Not small: gone. The loss stands still, and no message comes. An explosion is louder: the loss is NaN within a few steps; then clip the gradient, that is, shorten it when it is too long, or start with a smaller U.

# %% [markdown]
# ## Where this lives
# `transformer_lab/rnn.py`: the cells with their gates written out, `unroll`, `fused`, `gradient_by_lag`. `reveal("lstm_step")` shows one of them.
#
# ## Summary
# Through time, a gradient is multiplied by one matrix after another: it vanishes or explodes at a rate that U sets, with the slope of the tanh or ReLU. A default LSTM vanishes too; a forget bias cures it. Attention is one step from everywhere, thinned out among all it looks at. Its depth does not grow with the text; its work does, with the square.
#
# **Next:** [02 · What is attention, as arithmetic?](02_attention.ipynb)
