# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · What else is in a layer, and is it needed?
#
# Attention is a third of a layer. You take out the other parts, one by one, and measure what each was for.
#
# **After this lesson you can**
# - say what the residual, the norm and the feed-forward do, each with a number;
# - write LayerNorm without its three famous slips, and a layer in both orders;
# - tell what the place of the norm changes, and what it does not.
#
# About 45 minutes to read and touch, 25 for five exercises. You need: lessons 02 to 06. Terms: [glossary](glossary.ipynb).

# %%
import sys

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from transformer_lab import plots, tasks
from transformer_lab.attention import MultiHeadAttention
from transformer_lab.claims import claim
from transformer_lab.config import ModelConfig
from transformer_lab.exercises import check, hint, progress, reveal
from transformer_lab.initialise import glorot
from transformer_lab.instruments.block import Parts, profile, run
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.layers import FeedForward
from transformer_lab.models import LanguageModel
from transformer_lab.training import next_token_loss, train

_ = torch.manual_seed(0)

# %% [markdown]
# ## A stream that parts write into
# Each token has a vector of D numbers. A **layer** changes it twice: once by attention, once by a **feed-forward**, a small network that you meet below. Neither replaces the vector. What a part computes is *added* to what came in. This addition is the **residual** connection, and the vector that runs through all layers and is only ever added to is the **residual stream**.
#
# Here is a model of four layers, unrolled by hand. Each part reads a copy of the stream that a **norm** has brought to a standard size, and writes.

# %%
config = ModelConfig(8, d_model=64, n_heads=4, n_layers=4, max_len=32, scale_embeddings=True)
model = LanguageModel(config).apply(glorot)
tokens = torch.randint(8, (1, 32))
with torch.no_grad():
    stream, _ = model.embedding(tokens)
    contributions = [stream]
    for layer in model.layers:
        contributions.append(layer.attention(layer.attention_norm(stream), causal=True))
        stream = stream + contributions[-1]
        contributions.append(layer.feed_forward(layer.feed_forward_norm(stream)))
        stream = stream + contributions[-1]
    logits = model.head(model.norm(sum(contributions)))
    apart = (logits - model(tokens)).abs().max()
claim("07-stream-is-a-sum", apart)

# %% [markdown]
# The last state is the embedding plus eight contributions. Whatever a part wrote is still there at the end, unless another part wrote its opposite.
#
# ## Are residuals only for gradients?
# That is the usual reason: without them the gradient would not reach the first layers. Try something that needs no gradient: a forward pass. Random tokens go through fresh attentions, without anything added. How alike are the tokens afterwards? **Cosine** 1 means the same direction, 0 means nothing in common.

# %% tags=["q-38"]
predict(
    "07-collapse",
    "16 random tokens, three attentions in a row, no residual. The mean cosine of two tokens is …",
    ["near 0: they stay different", "near 0.5", "1.00: they are all the same"],
)


# %% tags=["q-38"]
def alike(x):
    """The mean cosine of two different tokens: (T, D) -> a number."""
    unit = F.normalize(x, dim=-1)
    return ((unit @ unit.T).sum() - len(x)) / (len(x) * (len(x) - 1))


def through_attentions(residual, seed, n=6, D=64):
    """How alike the tokens are before and after each of n fresh attentions."""
    torch.manual_seed(seed)
    x = torch.randn(16, D)
    found = [alike(x)]
    for _ in range(n):
        change = MultiHeadAttention(D, 4).apply(glorot)(x[None])[0]
        x = x + change if residual else change
        found.append(alike(x))
    return torch.stack(found)


# %% tags=["q-38"]
with torch.no_grad():
    runs = {
        name: torch.stack([through_attentions(residual, seed) for seed in range(5)])
        for name, residual in (("replaced", False), ("added", True))
    }
plots.lines(
    range(7),
    [each.mean(0) for each in runs.values()],
    list(runs),
    low=[each.amin(0) for each in runs.values()],
    high=[each.amax(0) for each in runs.values()],
    xlabel="attentions passed",
    ylabel="mean cosine of two tokens",
    title="Without a residual, the tokens become one",
)

# %% tags=["q-38"]
claim("07-tokens-collapse", runs["replaced"][:, 3])

# %% tags=["q-38"]
outcome("07-collapse", "1.00: they are all the same")

# %% [markdown]
# Attention is a weighted mean. A mean of means is nearer to the middle, and after a few of them every token holds the same thing. The residual keeps what is its own. With it the tokens still drift together, but slowly.
#
# And the gradient of such a stack? `Parts` says what a layer consists of; `profile` builds fresh stacks of such layers and measures them, backwards too. Six attentions, the gradient at the bottom over that at the top:

# %% tags=["q-38"]
bare = Parts(residual=False, norm=False, feed_forward=False)
claim("07-gradient-survives", profile(bare, 6).gradient[0])

# %% [markdown]
# It arrives. So here the gradient is not the trouble: there is nothing left to learn *from*, since no position differs from another.
#
# ## A norm: each vector at the same size
# A stream that is added to all the time grows. The norm brings a vector back to a standard size before a part reads it. **LayerNorm** takes the D numbers of one token, subtracts their mean, divides by their standard deviation, and then applies a learned scale and shift. Which numbers it averages over is where it goes wrong.

# %% tags=["q-06"]
predict(
    "07-axis",
    "You average over all tokens and all D numbers, instead of each token's D. The last token changes. The first …",
    ["cannot change: the mask hides the future", "changes"],
)

# %% tags=["q-06"]
x = torch.randn(1, 8, 16)
other = x.clone()
other[:, -1] *= 10  # only the last token
moved = {
    axes: (F.layer_norm(x, x.shape[-axes:]) - F.layer_norm(other, x.shape[-axes:]))[:, 0]
    for axes in (1, 2)
}
claim("07-norm-leaks", moved[2].abs().max())

# %% tags=["q-06"]
claim("07-norm-does-not-leak", moved[1].abs().max())

# %% tags=["q-06"]
outcome("07-axis", "changes")

# %% [markdown]
# A leak past any mask: the norm is no attention, and asks no mask. Lesson 04's test, change the future and look at the past, finds it.
#
# ### Exercise: layer_norm


# %% tags=["q-06"]
def my_layer_norm(x, weight, bias, eps=1e-5):
    """(..., D), (D,), (D,) -> (..., D)."""
    raise NotImplementedError


check("layer_norm", my_layer_norm)

# %% [markdown]
# A well-known annotated version of the paper divides by `std + eps`: torch's `std` divides by D − 1, and `eps` stands outside the root. How far is that from `nn.LayerNorm`?

# %% tags=["q-06"]
off = {}
for D in (4, 64, 512):
    x = torch.randn(1000, D)
    annotated = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)
    off[D] = (annotated - F.layer_norm(x, (D,))).abs().max().item()
print({D: round(difference, 3) for D, difference in off.items()})
claim("07-annotated-narrow", off[4])

# %% tags=["q-06"]
claim("07-annotated-wide", off[512])

# %% [markdown]
# Nearly harmless when you train a wide model from the start; wrong when you load somebody's weights, and wrong in every small test.
#
# **RMSNorm** leaves out the mean and the shift, and divides by the root of the mean square. Newer models use it. Whether it costs anything, you measure below.
#
# ### Exercise: rms_norm


# %%
def my_rms_norm(x, weight, eps=1e-5):
    """(..., D), (D,) -> (..., D)."""
    raise NotImplementedError


check("rms_norm", my_rms_norm)

# %% [markdown]
# ## What does the feed-forward do, if attention mixes?
# It takes a token's D numbers up to F, usually 4·D, bends each of them with a curve, the *gelu*, and brings them down to D. (Without the bend, the two matrices would be one.) Which tokens does it look at? Ask with the **Jacobian** of lesson 04: how much the output at t moves when the input at s does.

# %% tags=["q-39"]
predict(
    "07-alone",
    "Of the 6 × 6 pairs of output and input tokens, how many does a feed-forward connect?",
    ["6: each token only with itself", "21: each with those before it", "36: all"],
)

# %% tags=["q-39"]
feed = FeedForward(ModelConfig(8, d_model=32)).apply(glorot)
attend = MultiHeadAttention(32, 4).apply(glorot)
x = torch.randn(6, 32)
reach = {}
for name, part in (("feed-forward", feed), ("attention", lambda x: attend(x[None])[0])):
    reach[name] = torch.autograd.functional.jacobian(part, x).norm(dim=(1, 3))  # (6, 6)
plots.heatmap(
    reach["feed-forward"],
    xlabel="input token",
    ylabel="output token",
    title="The feed-forward: each token alone",
)

# %% tags=["q-39"]
between = ~torch.eye(6, dtype=torch.bool)
claim("07-each-token-alone", reach["feed-forward"][between])

# %% tags=["q-39"]
claim("07-attention-connects", reach["attention"][between])

# %% tags=["q-39"]
outcome("07-alone", "6: each token only with itself")

# %% [markdown]
# Attention brings things to a token; the feed-forward works on what has arrived, and knows nothing of its neighbours. Attention fetches, the feed-forward computes.
#
# ### Exercise: feed_forward


# %%
def my_feed_forward(x, up, up_bias, down, down_bias):
    """(..., D), (D, F), (F,), (F, D), (D,) -> (..., D)."""
    raise NotImplementedError


check("feed_forward", my_feed_forward)

# %% [markdown]
# Attention gives the architecture its name. Where are the parameters of a layer?

# %% tags=["q-39"]
from transformer_lab.counting import layer_formula

amounts = layer_formula(ModelConfig(37_000, d_model=512, n_heads=8, n_layers=6))
share = {
    name: sum(n for key, n in amounts.items() if key.startswith(name) and "norm" not in key)
    for name in ("attention", "feed-forward")
}
share["norms"] = sum(amounts.values()) - sum(share.values())
print({name: f"{number:,}" for name, number in share.items()})
claim("07-two-thirds", share["feed-forward"] / sum(share.values()))

# %% [markdown]
# Attention has four matrices of D × D, the feed-forward two of D × 4D: 4 against 8.
#
# ## Why one more matrix after the heads?
# The fourth matrix of an attention is the **output projection**. The heads' answers already stand side by side, D numbers in all. What does it add? Let head 0 alone speak, and see which of the 64 numbers of the stream it can write.

# %%
attend, x = MultiHeadAttention(64, 4).apply(glorot), torch.randn(1, 10, 64)
with torch.no_grad():
    key, value = attend.keys_values(x)
    weights = (attend.queries(x) @ key.mT / 4).softmax(-1)
    heads = weights @ value  # (1, 4, 10, 16)
    heads[:, 1:] = 0
    side_by_side = heads.transpose(1, 2).flatten(2)
    projected = attend.output(side_by_side)
written = [int((a.abs().amax((0, 1)) > 1e-6).sum()) for a in (side_by_side, projected)]
print("numbers that head 0 writes: without", written[0], " with", written[1])
claim("07-head-writes-everywhere", written[1] - written[0])

# %% [markdown]
# Without it a head could write only into its own 16 numbers, and heads would never add up in one place. It reads a head's answer and writes it anywhere. Is it *needed*? You measure that below, with the other parts.
#
# ## Two orders
# A layer has two parts, each with its addition and its norm. Texts and codes disagree on where the norm stands. **Post-norm**, the paper of 2017: `norm(x + f(x))`, on the stream itself. **Pre-norm**, most models since GPT-2: `x + f(norm(x))`, on the copy that the part reads.

# %% [markdown]
# ### Exercise: encoder_layer


# %% tags=["q-01"]
def my_encoder_layer(x, attend, feed, norm1, norm2, norm):
    """x (B, T, D), four functions (B, T, D) -> (B, T, D), "pre" or "post" -> (B, T, D)."""
    raise NotImplementedError


check("encoder_layer", my_encoder_layer)

# %% [markdown]
# You may have read that post-norm makes the gradients of the first layers vanish. Before any training, one backward pass answers that. Commit yourself.

# %% tags=["q-01"]
predict(
    "07-place",
    "12 fresh post-norm layers. The gradient of the first layer's matrices over that of the last's is …",
    ["about 1", "about a tenth", "below a thousandth"],
)

# %% [markdown]
# Build it. Switch parts off, move the norm, add layers. The diagram, the code and the counts come from one list of steps, and the same steps ran in the measured stack: they cannot disagree. Find a layer whose gradient dies on the way down, and one whose gradient explodes: you need two switches for the first, one for the second.

# %% tags=["q-01"]
from transformer_lab.instruments.builder import BlockBuilder

BlockBuilder(ModelConfig(37_000, 512, 8, 6, norm="post"), depth=12, title="Build a layer")

# %% tags=["q-01"]
depths = [2, 4, 6, 8, 12, 16, 24]
pre, post = Parts(place="pre"), Parts(place="post")
last = {p.place: [profile(p, depth).weights[-1] for depth in depths] for p in (pre, post)}
plots.lines(
    depths,
    list(last.values()),
    list(last),
    log="x",
    xlabel="layers",
    ylabel="gradient of the last layer's matrices",
    title="The last layer's gradient: post-norm's is large at every depth",
)

# %% tags=["q-01"]
one_sided = [profile(post, L).weights[0] / profile(post, L).weights[-1] for L in depths]
claim("07-post-is-even", one_sided)

# %% tags=["q-01"]
outcome("07-place", "about 1")

# %% tags=["q-01"]
claim("07-pre-shrinks", last["pre"][-1] / last["pre"][0])

# %% tags=["q-01"]
claim("07-post-is-larger", [b / a for a, b in zip(last["pre"][4:], last["post"][4:])])

# %% [markdown]
# Nothing vanishes: with these starting weights, those of the paper's own code, a post-norm stack has about the same gradient from bottom to top. What differs is its *size*. In a deep pre-norm stack each layer is one voice among many, and its gradient shrinks with the depth. Post-norm brings the stream back to standard size after every addition, so the last layer always counts in full.
#
# And the two wrong layers that you may have found:

# %%
neither = Parts(norm=False, residual=False)
claim("07-nothing-vanishes-all", profile(neither, 24).gradient[0])

# %%
claim("07-no-norm-explodes", profile(Parts(norm=False), 12).gradient[0])

# %% [markdown]
# Without residual and norm it vanishes. The six attentions at the start of the lesson kept theirs, but they had no feed-forward, and here each feed-forward makes it smaller: switch that off in the builder, and it survives. With the residual alone it explodes, as every layer adds to a stream that nobody resizes.
#
# ## Does it train?
# A gradient at the start is not yet a result: the optimiser, Adam, rescales it, whatever its size. So train: a text of 8 letters in which the two letters before decide how likely each next one is. How predictable it is, is known exactly. **Warm-up** means that the learning rate climbs from 0 during the first steps.

# %%
source = tasks.MarkovSource.random(symbols=8, order=2, seed=0)
fresh = next(source.batches(size=256, length=17, seed=1000))
print(f"guessing {torch.tensor(8.0).log():.2f}, the best possible loss {source.entropy:.2f}")


# %%
class DeepModel(nn.Module):
    """Layers with the given parts, run step by step: tokens (B, T) -> logits (B, T, V)."""

    def __init__(self, parts, n_layers, norm_kind="layer"):
        super().__init__()
        sizes = {"d_model": 32, "n_heads": 4, "n_layers": n_layers, "max_len": 16}
        self.config = ModelConfig(
            8, **sizes, norm=parts.place, norm_kind=norm_kind, scale_embeddings=True,
            tie_embeddings=False,
        )  # fmt: skip
        self.parts, self.whole = parts, LanguageModel(self.config).apply(glorot)

    def forward(self, tokens):
        states, _ = self.whole.embedding(tokens)
        for layer in self.whole.layers:
            states = run(layer, self.parts, states)
        return self.whole.head(self.whole.norm(states) if self.parts.norm else states)


# %%
def loss_after(model, seed, steps, size, rate, warmup):
    """The loss on fresh text after training."""
    batches = source.batches(size, length=17, seed=seed)
    for _ in train(model, batches, steps, rate, warmup, loss=next_token_loss):
        pass
    with torch.no_grad():
        return next_token_loss(model, fresh).item()


# %% tags=["q-01"]
predict(
    "07-warm-up",
    "6 layers, 60 steps, a rate of .01, no warm-up. Who learns?",
    ["both", "only pre-norm", "only post-norm", "neither"],
)

# %% tags=["q-01", "nbval-ignore-output", "this-machine"]
rates, ended = (0.001, 0.003, 0.01), {}
settings = [(place, w, r, s) for place in ("pre", "post") for w in (0, 20) for r in rates
            for s in range(3)]  # fmt: skip
for place, warmup, rate, seed in tqdm(settings, "36 runs", file=sys.stdout):
    torch.manual_seed(seed)
    stack = DeepModel(Parts(place=place), n_layers=6)
    found = loss_after(stack, seed, steps=60, size=16, rate=rate, warmup=warmup)
    ended.setdefault((place, warmup, rate), []).append(found)

# %% tags=["q-01"]
names = {("pre", 0): "pre", ("pre", 20): "pre, warm-up", ("post", 0): "post",
         ("post", 20): "post, warm-up"}  # fmt: skip
table = torch.tensor([[ended[*key, rate] for rate in rates] for key in names])  # (4, 3, 3)
plots.lines(
    rates,
    [*table.mean(-1)],
    list(names.values()),
    low=[*table.amin(-1)],
    high=[*table.amax(-1)],
    log="x",
    xlabel="learning rate",
    ylabel="loss after 60 steps",
    title="Without warm-up, post-norm fails at a rate that suits pre-norm",
)

# %% tags=["q-01"]
claim("07-post-cold", ended["post", 0, 0.01])

# %% tags=["q-01"]
cold, warm = (torch.tensor(ended["post", w, 0.003]) for w in (0, 20))
claim("07-post-warm", cold - warm)

# %% tags=["q-01"]
bold = torch.tensor(ended["post", 0, 0.01])
claim("07-pre-cold", bold - torch.tensor(ended["pre", 0, 0.01]))

# %% tags=["q-01"]
claim("07-post-gentle", bold - torch.tensor(ended["post", 0, 0.001]))

# %% tags=["q-01"]
outcome("07-warm-up", "only pre-norm")

# %% [markdown]
# A rate that suits pre-norm, with or without warm-up, leaves a cold post-norm stack near guessing. A tenth of the rate lets it learn, and a warm-up helps at .003. At .01 the warm-up saved these three runs; with other seeds and other texts it often did not. Nothing is wrong with post-norm: the paper trained it, with 4,000 steps of warm-up. Pre-norm asks for less care. That, and not a vanishing gradient, is what the place of the norm changes here. (Why a cold start hurts is still argued about: Xiong et al. 2020, Liu et al. 2020.)
#
# ## What does each part buy?
# Two layers, the same text, the same rate, 200 steps. Take out one thing and train again.

# %% tags=["q-39"]
predict(
    "07-knock-out",
    "Two layers. The loss grows most when you take out …",
    ["the residual", "the norm", "the feed-forward", "the attention"],
)

# %% tags=["q-39", "nbval-ignore-output", "this-machine"]
layers = {
    "nothing removed": Parts(),
    "no attention": Parts(attention=False),
    "no residual": Parts(residual=False),
    "no feed-forward": Parts(feed_forward=False),
    "no norm": Parts(norm=False),
    "RMSNorm instead": Parts(),
    "no output projection": Parts(),
}
costs = {}
for name, seed in tqdm([(n, s) for n in layers for s in range(3)], "21 runs", file=sys.stdout):
    torch.manual_seed(seed)
    stack = DeepModel(layers[name], 2, "rms" if name == "RMSNorm instead" else "layer")
    if name == "no output projection":
        for layer in stack.whole.layers:
            layer.attention.output = nn.Identity()
    found = loss_after(stack, seed, steps=200, size=32, rate=0.01, warmup=20)
    costs.setdefault(name, []).append(found)

# %% tags=["q-39"]
whole = torch.tensor(costs.pop("nothing removed"))
cost = {name: torch.tensor(each) - whole for name, each in costs.items()}  # seed by seed
plots.knock_outs(
    list(cost),
    torch.stack(list(cost.values())),
    0.0,
    title="What each part is worth",
    xlabel="loss after 200 steps, above that of the whole model",
    alt="Bars of the extra loss. Attention costs most, then the residual, then the feed-forward; "
    "without the norm the loss is lower; RMSNorm and no output projection are near 0.",
)

# %% tags=["q-39"]
claim("07-cost-attention", cost["no attention"])

# %%
claim("07-cost-residual", cost["no residual"])

# %% tags=["q-39"]
claim("07-cost-feed-forward", cost["no feed-forward"])

# %%
claim("07-cost-norm", cost["no norm"])

# %%
claim("07-cost-rms", cost["RMSNorm instead"].abs())

# %%
claim("07-cost-projection", cost["no output projection"].abs())

# %%
outcome("07-knock-out", "the attention")

# %% [markdown]
# Attention costs most: without it a token knows itself alone. Then the residual. The feed-forward, two thirds of the parameters, buys about 0.1 of loss here: it turns "these two letters" into a guess, and this text asks for little more. RMSNorm and the missing output projection cannot be told from the whole: the matrix of the values and the feed-forward can do that mixing too. In this small model the projection is a convenience.
#
# And the **norm**? Without it two layers end *lower*. You saw what may go wrong: in 12 layers the gradient exploded. So stack six, at the same rate and with the same warm-up, for 60 steps as before.

# %%
predict(
    "07-deep",
    "Without a norm, from 2 layers to 6, the loss …",
    ["falls further", "stays", "rises above guessing"],
)

# %%
deep = []
for seed in range(3):
    torch.manual_seed(seed)
    stack = DeepModel(Parts(norm=False), n_layers=6)
    deep.append(loss_after(stack, seed, steps=60, size=16, rate=0.01, warmup=20))
claim("07-deep-without-norm", deep)

# %%
outcome("07-deep", "rises above guessing")

# %% [markdown]
# The norm is not what makes a layer work. It is what lets you stack them, and choose a rate without care. Other starting weights would move the depth at which this happens.
#
# ## A layer that reads a source
# A translator's decoder has a third part: **cross-attention**, between the other two. Its queries come from the text being written, its keys and values from the source, which you saw in lesson 00. Nothing else is new: one more norm, one more addition.

# %% [markdown]
# ### Exercise: decoder_layer


# %%
def my_decoder_layer(x, source, attend, cross, feed, norm1, norm2, norm3):
    """x (B, T, D), source (B, S, D), six functions -> (B, T, D)."""
    raise NotImplementedError


check("decoder_layer", my_decoder_layer)

# %% [markdown]
# ## When it breaks
# Three messages that everybody meets, and one silence. This cell makes them.

# %%
x = torch.randn(2, 5, 16)  # (B, T, D)
for call in (
    lambda: nn.LayerNorm(16)(x.mT),
    lambda: x + nn.Linear(16, 64)(x),
    lambda: ModelConfig(8, norm="before"),
):
    try:
        call()
    except (RuntimeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")
square = torch.randn(1, 16, 16)  # T = D
print("wrong axis, no message:", tuple(nn.LayerNorm(16)(square.mT).shape))

# %% [markdown]
# 1. **The axis to norm is not the last.** The norm was told of 16 numbers and found 5: something has been transposed.
# 2. **A part that does not return to D.** The residual adds, so what a part writes must have the stream's width. Here the way down is missing.
# 3. **A word that the config does not know.** The place is `"pre"` or `"post"`.
# 4. **The wrong axis where T = D.** It fits, and tokens leak into each other. Test with T different from D.

# %% [markdown]
# ## Where this lives
# `transformer_lab/layers.py`: `layer_norm`, `rms_norm`, `FeedForward`, `EncoderLayer` and `DecoderLayer`; `norm="pre"` or `"post"` is one line of `config.py`. `reveal("encoder_layer")` shows it.
#
# ## Summary
# A layer adds to a stream: attention fetches from other tokens, the feed-forward works on each token alone, and a norm over the token's own numbers keeps the size. Without residuals the tokens become one. Post-norm does not kill gradients; it keeps the last layers' large, and at a bold rate it needs a warm-up. In two layers attention and residual cost most when taken out, and the norm nothing; in six, the norm decides.
#
# **Next:** two stacks of such layers, and a text that is translated.
