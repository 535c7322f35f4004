# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · Why divide by √d, and when does it matter?
#
# Every text on attention divides the scores by √d and says why in one sentence. You measure that sentence. Half of it holds.
#
# **After this lesson you can**
# - say what d is, and find the lecture's bug;
# - measure what a larger d does to scores, weights and gradients, and where the usual story is false;
# - say what the scale buys in training, and what it does not.
#
# About 30 minutes to read and touch, 30 for six exercises. You need: lesson 02. Terms: [glossary](glossary.ipynb).

# %%
import math

import torch
import torch.nn.functional as F
from torch import nn

from transformer_lab import plots
from transformer_lab.claims import claim
from transformer_lab.exercises import check, hint, progress, reveal
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.training import train

_ = torch.manual_seed(0)

# %% [markdown]
# ## Do more numbers need a smaller scale?
# A score is a dot product of a **query** and a **key**. With `d` numbers in each, it adds up `d` products. Some are positive, some negative. Call the standard deviation of the sums, how far they typically lie from their mean, their **spread**. As `d` grows, does it stay about the same?

# %% tags=["q-07"]
predict(
    "03-spread",
    "Queries and keys are random with spread 1. From d = 4 to d = 1024 the spread of q·k …",
    ["stays near 1", "grows about 16-fold", "grows about 256-fold"],
)


# %% [markdown]
# Run it. Each dot is the spread of 20,000 scores. On these axes a root is a straight line of slope 0.5.


# %% tags=["q-07"]
def scores(d, pairs=20_000):
    """q·k for random pairs of independent numbers with mean 0 and spread 1."""
    return (torch.randn(pairs, d) * torch.randn(pairs, d)).sum(-1)


widths = [4, 16, 64, 256, 1024]
spread = torch.stack([scores(d).std() for d in widths])
plots.lines(
    widths,
    [spread, spread / torch.tensor(widths).sqrt()],
    ["q·k", "q·k / √d"],
    log="xy",
    guide=0.5,
    xlabel="d",
    ylabel="spread",
    title="The spread grows as √d, and dividing by √d undoes it",
)

# %%
claim("03-spread-is-sqrt-d", spread[-1] / spread[0])

# %%
claim("03-scaled-spread", spread / torch.tensor(widths).sqrt())

# %%
outcome("03-spread", "grows about 16-fold")

# %% [markdown]
# The **variance** is the square of the spread. A product of two independent numbers of mean 0 and variance 1 has the variance 1 · 1 = 1. Variances of independent numbers add up, so the sum of d products has variance d and spread √d. Divide by √d, and the spread is 1 for every width. So far the one sentence is right.
#
# ## Which d?
# A model of **width** D = 512, so many numbers in each state, with H = 8 heads gives each head d = D / H = 64 numbers. Each head takes its own dot products, so the sum has 64 terms. A well-known recorded lecture divides by √512 all the same. What does that cost?

# %% tags=["q-07"]
claim("03-wrong-width", scores(64).std() / math.sqrt(512))

# %% [markdown]
# The scores come out √8 times too small. Call it the lecture's bug. No error, no warning, and a model that trains: only its heads begin nearly blind, with weights that hardly differ.
#
# ### Exercise: scale_for


# %% tags=["q-07"]
def my_scale(model_width, heads):
    """What a head's scores are multiplied by."""
    raise NotImplementedError


check("scale_for", my_scale)

# %% [markdown]
# ### Exercise: hidden_scale


# %%
def my_hidden_scale(attention, d):
    """attention(query, key, value): (T, d), (S, d), (S, v) -> (T, v)."""
    raise NotImplementedError


check("hidden_scale", my_hidden_scale)

# %% [markdown]
# ## Is the spread really 1?
# The sentence assumes queries and keys with spread 1. In a model they are made by `nn.Linear`, from states that LayerNorm (lesson 07) has brought to spread 1. Look at a fresh one.

# %% tags=["q-07"]
predict(
    "03-premise",
    "Fresh nn.Linear layers make queries and keys with d = 64. The spread of q·k is …",
    ["8, the root of 64", "about 3", "about 1"],
)

# %% tags=["q-07"]
make_query, make_key = nn.Linear(512, 64), nn.Linear(512, 64)
with torch.no_grad():
    queries = make_query(F.layer_norm(torch.randn(20_000, 512), (512,)))
    keys = make_key(F.layer_norm(torch.randn(20_000, 512), (512,)))
print(f"spread of a query's numbers: {queries.std():.2f}")
claim("03-default-init", (queries * keys).sum(-1).std())

# %% tags=["q-07"]
outcome("03-premise", "about 3")

# %% [markdown]
# torch begins with smaller weights: a query's numbers have a spread of .58, so a product has a third of the size. Divided by √64, fresh scores have a spread of .34, not 1. The premise is false at the start, and nobody keeps it true during training. The scale is a good habit, not a law.
#
# When numbers are not independent, √d is wrong as well. How wrong, you can compute.

# %% [markdown]
# ### Exercise: score_variance


# %%
def my_variance(query_cov, key_cov):
    """Mean products of entries (d, d), (d, d) -> the variance of q·k."""
    raise NotImplementedError


check("score_variance", my_variance)

# %% [markdown]
# ## So what?
# A softmax that is fed large numbers puts everything on one key. A row whose largest weight is above .99 has decided: call it **saturated**. Here are 64 keys, without the scale and with it.


# %%
def weights(d, S, scale, rows=4000):
    """Attention weights of random queries over S random keys: (rows, S)."""
    queries, keys = torch.randn(rows, 1, d), torch.randn(rows, S, d)
    return (queries @ keys.mT * scale)[:, 0].softmax(-1)


def saturated(w):
    return (w.amax(-1) > 0.99).float().mean()


# %%
head_widths = [4, 16, 64, 256]
plain = [saturated(weights(d, 64, 1.0)) for d in head_widths]
scaled = [saturated(weights(d, 64, d**-0.5)) for d in head_widths]
plots.lines(
    head_widths,
    [plain, scaled],
    ["no scale", "1/√d"],
    log="x",
    xlabel="d",
    ylabel="share of saturated rows",
    title="Without the scale, more and more rows have decided",
)

# %%
claim("03-rows-saturate", plain[2:])

# %%
claim("03-scaled-rows-do-not", scaled)

# %% [markdown]
# Saturated rows are the extreme. The whole row has a measure too, its **entropy**, the sum of −w ln w over its weights: 0 when one key has all the weight, the logarithm of S when all S keys have the same. Here it is as a share of that largest value.


# %%
def evenness(w):
    """Mean entropy of rows (rows, S), as a share of ln S."""
    return torch.special.entr(w).sum(-1).mean() / math.log(w.shape[-1])


even = {S: [evenness(weights(d, S, 1.0, 2000)) for d in head_widths] for S in (16, 64, 256)}
with_scale = [evenness(weights(d, S, d**-0.5, 2000)) for S in even for d in head_widths]
plots.lines(
    head_widths,
    list(even.values()),
    [f"{S} keys" for S in even],
    log="x",
    xlabel="d",
    ylabel="entropy, as a share of ln S",
    title="Without the scale, d decides how even a row is; S hardly matters",
)

# %%
claim("03-entropy-falls", [row[-1] for row in even.values()])

# %%
claim("03-entropy-stays", with_scale)

# %% [markdown]
# The three curves fall together: however many keys there are, a wide head without the scale ends near a single key. With the scale, a row keeps about nine tenths of the largest entropy, at every width.
#
# ### Exercise: saturated_share


# %%
def my_share(query, key, scale):
    """(..., T, d), (..., S, d) -> the share of rows with a weight above 0.99."""
    raise NotImplementedError


check("saturated_share", my_share)

# %% [markdown]
# ## Do the gradients vanish?
# You may have read that "then the gradients vanish". Before you believe it, commit yourself. A row learns through the **Jacobian** of its softmax: how fast weight i moves when the number that goes in at j moves. You derive it below. Its size, the root of the sum of all squares, comes from the weights alone: √(Σw² − 2Σw³ + (Σw²)²).

# %% tags=["q-07"]
predict(
    "03-gradient",
    "64 keys, d = 64, no scale: compared with the scaled case, the average gradient of the softmax is …",
    ["much smaller", "about the same or larger", "exactly 0"],
)


# %%
def slope(w):
    """The size of each row's softmax Jacobian: (rows, S) -> (rows,)."""
    square = w.square().sum(-1)
    return (square - 2 * w.pow(3).sum(-1) + square**2).clamp(min=0).sqrt()


ratio = [slope(weights(64, 64, 1.0)).mean() / slope(weights(64, 64, 1 / 8)).mean() for _ in "12345"]
claim("03-average-gradient-larger", ratio)

# %%
outcome("03-gradient", "about the same or larger")

# %% [markdown]
# If anything, *larger* without the scale. Turn the dial, d, the number of keys, and the power of d that divides the scores: 0 is no scale, ½ is √d, 1 is d. Find a place where the usual story holds, and one where it does not. (The dial has 256 rows, so its last digits are its own.)

# %%
from transformer_lab.instruments.dial import TemperatureDial

TemperatureDial(d=64, S=64, exponent=0.0, title="What the scale does to a row")

# %% [markdown]
# So where is the usual story true? Here is the whole map: the average gradient without the scale over that with it, for many widths and numbers of keys. Blue is where the story holds for the softmax, orange where it is false.

# %%
lengths, columns = [4, 16, 64, 256], [4, 8, 16, 32, 64, 128, 256]
table = torch.empty(len(lengths), len(columns))
for i, S in enumerate(lengths):
    for j, d in enumerate(columns):
        pair = [slope(weights(d, S, scale, 1000)).mean() for scale in (1.0, d**-0.5)]
        table[i, j] = (pair[0] / pair[1]).log2()
plots.heatmap(
    table,
    rows=[f"S = {S}" for S in lengths],
    columns=[f"d = {d}" for d in columns],
    signed=True,
    title="Average gradient without the scale: halvings (−) and doublings (+)",
)

# %%
claim("03-few-keys-smaller", 2 ** table[0, -1])

# %%
claim("03-many-keys-larger", 2 ** table[-1, 3])

# %% [markdown]
# With few keys, or a d that is large for their number, the softmax's gradients shrink. With 256 keys they grow at every d here: scaled rows over so many keys are so flat that they hardly react, and a sharper row moves more.
#
# But nobody trains a softmax. What learns is the query, and behind it a matrix. The scale stands between the two, so on the way back the gradient is multiplied by it *once more*.

# %% tags=["q-07"]
predict(
    "03-query",
    "The same map, one step further back: the gradient at the query, without the scale over with it …",
    ["smaller where the map is blue", "smaller everywhere", "larger everywhere"],
)


# %% tags=["q-07"]
def slope_at_query(d, S, scale, rows=300):
    """The mean size of the slopes of a row's weights with respect to its query."""
    query, keys = torch.randn(rows, 1, d), torch.randn(rows, S, d)
    w = (query @ keys.mT * scale)[:, 0].softmax(-1)
    away = keys - w[:, None] @ keys  # weight i moves by scale · w_i · (k_i − the mean key)
    return (scale * (w.square() * away.square().sum(-1)).sum(-1).sqrt()).mean()


at_query = [
    slope_at_query(d, S, 1.0) / slope_at_query(d, S, d**-0.5) for S in lengths for d in columns
]
claim("03-at-the-query", at_query)

# %% tags=["q-07"]
outcome("03-query", "larger everywhere")

# %% [markdown]
# So the famous sentence is about the softmax, and even there it holds on half of this map. A query without the scale gets *larger* gradients, the more so the wider the head. An average hides the rest, so look at the rows one by one.

# %%
size = {"no scale": slope(weights(64, 64, 1.0)), "1/√d": slope(weights(64, 64, 1 / 8))}
for name, rows in size.items():
    low, middle, high = rows.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    print(f"{name:9} a tenth < {low:.3f}, half < {middle:.3f}, a tenth > {high:.3f}")
claim("03-dead-rows", (size["no scale"] < 0.01).float().mean())

# %% [markdown]
# Without the scale the rows disagree. Some have decided and hardly learn any more; a tenth of them moves more than twice as fast as with the scale, even before the factor on the way to the query. That is a different story from the usual one, and it is the one that the numbers tell: not *small* gradients, but *uneven* ones.

# %% [markdown]
# ### Exercise: softmax_jacobian


# %%
def my_jacobian(weights):
    """weights (..., S) of a softmax -> slopes (..., S, S)."""
    raise NotImplementedError


check("softmax_jacobian", my_jacobian)

# %% [markdown]
# ### Exercise: crossover_width


# %%
def my_crossover(unscaled, scaled, widths):
    """Two measuring functions of d -> the smallest width where unscaled is below, or 0."""
    raise NotImplementedError


check("crossover_width", my_crossover)

# %% [markdown]
# ## What does it cost in training?
# A small task that needs attention and nothing else: 32 keys, one of them asked for, with noise. The model learns the two maps that make queries and keys. Same seeds, same data, same steps: once with the scale, once without.


# %%
class Lookup(nn.Module):
    """Scores of a question over S keys, both mapped to d numbers: (B, 32), (B, S, 32) -> (B, S)."""

    def __init__(self, d, scale):
        super().__init__()
        self.query, self.key = nn.Linear(32, d, bias=False), nn.Linear(32, d, bias=False)
        self.scale = scale
        for weight in self.parameters():  # then queries and keys have spread 1
            nn.init.normal_(weight, std=32**-0.5)

    def forward(self, question, keys):
        return (self.key(keys) @ self.query(question)[..., None])[..., 0] * self.scale


def questions(size):
    """Keys (B, 32, 32), a noisy copy of one of them (B, 32), and which it was (B,)."""
    keys, which = torch.randn(size, 32, 32), torch.randint(32, (size,))
    return keys[torch.arange(size), which] + 0.5 * torch.randn(size, 32), keys, which


# %%
def error(model, batch):
    question, keys, which = batch
    return F.cross_entropy(model(question, keys), which)


def losses(d, scale, rate, seed, steps=120):
    """Loss on fresh questions before and after training."""
    torch.manual_seed(seed)
    model, found = Lookup(d, scale), []
    with torch.no_grad():
        found.append(error(model, questions(512)).item())
    batches = (questions(32) for _ in range(steps))
    for _ in train(model, batches, steps, rate=rate, loss=error, clip=math.inf):
        pass
    with torch.no_grad():
        return [*found, error(model, questions(2048)).item()]


# %%
predict(
    "03-training",
    "d = 256, no scale, a careful learning rate of .003: after 120 steps the loss is …",
    ["far worse than with the scale", "about the same", "not a number"],
)

# %%
found = {}
for rate in (0.003, 0.03):
    for d in (16, 64, 256):
        for name, scale in (("1/√d", d**-0.5), ("no scale", 1.0)):
            runs = torch.tensor([losses(d, scale, rate, seed) for seed in range(5)])
            found[rate, d, name] = runs
            (first, last), low, high = runs.mean(0), runs.amin(0)[1], runs.amax(0)[1]
            shown = f"{first:5.1f} → {last:.2f} ({low:.2f} to {high:.2f})"
            print(f"{rate:<5} {d:3} {name:8} {shown}")

# %%
claim("03-bad-start", found[0.003, 256, "no scale"][:, 0])

# %%
careful = found[0.003, 256, "no scale"][:, 1] / found[0.003, 256, "1/√d"][:, 1]
claim("03-careful-rate", careful)

# %%
outcome("03-training", "about the same")

# %%
bold = found[0.03, 256, "no scale"][:, 1] / found[0.03, 256, "1/√d"][:, 1]
claim("03-bold-rate", bold)

# %% [markdown]
# Without the scale the start is dreadful: the model is sure, and wrong. With the careful rate it recovers all the same, within 120 steps; at d = 16 and 64 it is even ahead, since larger gradients move it further. With the bold rate, the better of the two for the scaled model at every width, it falls behind, and the more so the wider the head.
#
# So the scale is not what makes learning possible. With it, one rate was the better one for all three widths. Without it, d = 256 needs the smaller one. That is what the scale buys: you can change the width of a head and keep the learning rate.
#
# ## When it breaks
# Three slips, and what each does to fresh scores. No message comes with any of them; only a measurement finds them.

# %%
q, k = torch.randn(20_000, 64), torch.randn(20_000, 64)
products = (q * k).sum(-1)
slips = {
    "right: 1/√d": products / math.sqrt(64),
    "the model's width": products / math.sqrt(512),
    "1/d, the root forgotten": products / 64,
    "scaled twice": products / math.sqrt(64) / math.sqrt(64),
}
for name, s in slips.items():
    print(f"{name:24} spread {s.std():.3f}")

# %% [markdown]
# 1. **The model's width** in place of the head's: weights nearly flat.
# 2. **The root forgotten**: flatter still.
# 3. **Scaled twice**, by hand and again by torch's kernel, which scales by itself: the same number, by another way.
#
# Print the spread of the scores once, on a fresh model. It should be near 1, or you should know why it is not.

# %% [markdown]
# ## Where this lives
# `transformer_lab/attention.py`: `attention_weights(query, key, mask, scale)`; the scale is 1/√d unless you give one. `reveal("scale_for")` shows it.
#
# ## Summary
# With independent numbers of spread 1, scores spread as √d, where d is the width of a head. Dividing by √d keeps them at 1. Without it rows decide early, and gradients become uneven: nearly dead in some rows, fast in others, and at the query larger on average. Training survives that at a careful rate and suffers at a bold one.
#
# **Next:** [04 · Who may look at whom?](04_masking.ipynb)
