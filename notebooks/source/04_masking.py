# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · Who may look at whom?
#
# A table of True and False decides what a Transformer can know. One wrong cell, and the loss is wonderful and the model worthless. You build the tables, prove that nothing leaks, and break them on purpose.
#
# **After this lesson you can**
# - write the masks of an encoder, a decoder and a translator, with padding;
# - prove that no output depends on the future, for any layer, from outside;
# - name the four things that programs do with a row that may see nothing, and the two meanings of True.
#
# About 45 minutes to read and touch, 35 for six exercises. You need: attention from lesson 02. Terms: [glossary](glossary.ipynb).

# %%
import math
import warnings

import torch
import torch.nn.functional as F
from torch import nn

from transformer_lab import plots
from transformer_lab.attention import attention, attention_weights
from transformer_lab.claims import claim
from transformer_lab.config import ModelConfig
from transformer_lab.exercises import check, hint, progress, reveal
from transformer_lab.initialise import glorot
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.models import TextEncoder
from transformer_lab.training import train

_ = torch.manual_seed(0)

# %% [markdown]
# ## A wonderful loss
# A model reads a text and gives, at every place, a score to each token that could come next, its **logits**. This text is pure chance: each token is one of ten, drawn evenly. There is nothing to learn. The loss is −ln of the share that the model gave to the right token, on average. Ten equal shares cost ln 10 = 2.303, and nothing can do better.
#
# Here is a small model that sees the whole text while it predicts. `glorot` draws its first weights; the logit of a token is the dot product of the state with that token's own vector.

# %% tags=["q-05"]
predict(
    "04-loss",
    "After 200 steps on random tokens, the loss of a model that sees the whole text is …",
    ["2.30: there is nothing to learn", "a little under 2.30", "under 0.2"],
)

# %% tags=["q-05"]
V, T = 10, 16
SMALL = ModelConfig(V, d_model=32, n_heads=4, n_layers=1, max_len=T)


def loss_after(mask, seed, steps=200):
    """The loss for fresh random text after so many steps, under a mask (T, T)."""

    def next_token(model, text):
        states = model(text[:, :-1], mask.expand(len(text), T, T))
        logits = states @ model.embedding.tokens.weight.T
        return F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())

    torch.manual_seed(seed)
    model = TextEncoder(SMALL).apply(glorot)
    texts = (torch.randint(V, (32, T + 1)) for _ in range(steps))
    for _ in train(model, texts, steps, rate=1e-2, loss=next_token):
        pass
    with torch.no_grad():
        return next_token(model.eval(), torch.randint(V, (500, T + 1))).item()


# %% tags=["q-05"]
everything = torch.ones(T, T, dtype=torch.bool)
claim("04-wonderful-loss", [loss_after(everything, seed) for seed in range(3)])

# %% tags=["q-05"]
outcome("04-loss", "under 0.2")

# %% [markdown]
# Far below what is possible. Nobody can predict dice, so the model must have seen the answer: the token that it has to predict at place `t` stands at place `t + 1` of its input. It learned to look there. (What is left comes from the last place, whose answer is not in the input: one place in 16, and 2.303 / 16 is 0.144.) Such a **leak** gives the best training curves you will ever see, and a model that cannot write a word.
#
# A loss below the possible is a leak. On real text you do not know what is possible. So you need a proof, not a feeling.

# %% [markdown]
# ## A table of True and False
# A **mask** has a row for each position that looks, a query, and a column for each position looked at, a key. In this course there is one rule: `mask[t, s]` is True when `t` may look at `s`. The mask that hides the future is called **causal**.

# %%
from transformer_lab.masks import causal_mask

causal_mask(5).int()

# %% [markdown]
# Row 0 sees only itself, row 4 sees all. Each position sees itself: that is allowed, since it predicts the *next* token. Without itself, row 0 would see nothing at all.
#
# A forbidden key gets the weight 0, and the others share the whole.

# %%
mask = causal_mask(5)
scores = torch.randn(5, 5)
weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
plots.heatmap(
    weights,
    mask=mask,
    xlabel="key: position looked at",
    ylabel="query: position that looks",
    title="Every row sums to 1, over what it may see",
)

# %% [markdown]
# A score of −∞ becomes exp(−∞) = 0: such a key counts in no sum. The mask works on the *scores*, before the softmax. You will see below what happens behind it.

# %% tags=["q-05"]
claim("04-masked-loss", [loss_after(causal_mask(T), seed) for seed in range(3)])

# %% [markdown]
# The same model, data and steps, with the mask: back to guessing, as it must be.
#
# ### Exercise: causal_mask


# %%
def my_causal_mask(T, S):
    """bool (T, S), True = may look."""
    raise NotImplementedError


check("causal_mask", my_causal_mask)

# %% [markdown]
# ## Paint it
# Below, every cell is a switch. Under the mask you see the weights that it leaves, and what can reach what through several layers.

# %%
predict(
    "04-reach",
    "Each position sees itself and one before it. Through 4 layers, how many positions reach the last one?",
    ["2: the mask does not change", "5: one more with each layer", "all of them"],
)

# %%
from transformer_lab.instruments.painter import MaskPainter

MaskPainter("window", T=8, width=2, layers=1, title="Each position sees itself and one before it")

# %% [markdown]
# Try these, and say what you expect before you look:
# 1. Move the layers from 1 to 4. Which positions reach the last one?
# 2. Choose the causal rule, and allow row 1, column 5. Who sees too far, with one layer, and with three?
# 3. Forbid a whole row.

# %%
from transformer_lab.masks import window_mask

one_layer = window_mask(8, 2).float()
four_layers = one_layer.matrix_power(4) > 0
claim("04-reach", four_layers[-1].sum())

# %%
outcome("04-reach", "5: one more with each layer")

# %% [markdown]
# Write the mask as ones and zeros, and multiply it by itself: a cell is above 0 where a path of two steps exists. Its fourth power tells the paths of four. Information goes on from layer to layer, one step of the mask at a time. So a narrow window can still carry a long text, if the stack is deep. And a leak spreads: when position 1 sees position 5, positions 2 to 4 know of it one layer later. Only a cell right above the diagonal stays alone.
#
# ## A proof, from outside
# A **Jacobian** holds the slope of every output with respect to every input. If output `t` does not depend on input `s`, that slope is 0. Here it is for a stack of two layers. Each cell is the size of all slopes between two positions.


# %% tags=["q-05"]
def slopes(run, x, mask):
    """How much each output position depends on each input position: (T, D) -> (T, T)."""
    jacobian = torch.autograd.functional.jacobian(lambda states: run(states, mask), x)
    return jacobian.norm(dim=(1, 3))


def stack(layers, seed=0):
    """A causal stack without training: states (T, D) -> states (T, D)."""
    torch.manual_seed(seed)
    config = ModelConfig(V, d_model=16, n_heads=2, n_layers=layers, max_len=T)
    model = TextEncoder(config).apply(glorot).eval()

    def run(x, mask):
        states = x[None]
        for layer in model.layers:
            states = layer(states, mask=mask)
        return states[0]

    return run


# %%
predict(
    "04-jacobian",
    "In a correct causal stack, the slope of an output with respect to a later input is …",
    ["exactly 0", "about 1e-7: rounding", "small, but it grows with depth"],
)

# %% tags=["q-05"]
x = torch.randn(8, 16)
table = slopes(stack(2), x, causal_mask(8))
plots.heatmap(
    table,
    mask=table != 0,
    xlabel="input position",
    ylabel="output position",
    title="Hatched: exactly 0",
)

# %% tags=["q-05"]
mask = causal_mask(8)
later = [slopes(stack(2, seed), x, mask)[~mask].max() for seed in range(10)]
claim("04-jacobian-zero", later)

# %%
outcome("04-jacobian", "exactly 0")

# %% [markdown]
# Not small: zero. A weight of 0 times anything is 0, and its slope is 0 too.
#
# You can ask the same question without slopes. Change the last tokens, and look whether any output before them moves. This is **prefix invariance**; it also works for code that you cannot look into. Here the answer need not be exactly 0: a sum in another order may differ in its last digit. Take a move below 1e-5 for none.


# %% tags=["q-05"]
def early_outputs_move(mask, seed):
    """The most that outputs 0 to 4 move when inputs 5 to 7 are replaced."""
    run, other = stack(2, seed), x.clone()
    other[5:] = torch.randn(3, 16)
    with torch.no_grad():
        return (run(x, mask) - run(other, mask))[:5].abs().max().item()


claim("04-prefix-moves-without", [early_outputs_move(None, seed) for seed in range(5)])

# %%
claim("04-prefix-stays-with", [early_outputs_move(causal_mask(8), seed) for seed in range(5)])

# %% [markdown]
# ### Exercise: find_the_leak


# %%
def my_leak(f, x):
    """f: (T, D) -> (T, D), x (T, D) one input -> a position, or -1."""
    raise NotImplementedError


check("find_the_leak", my_leak)

# %% [markdown]
# ## Behind the softmax is too late
# It looks the same: take the softmax of all scores, then set the forbidden weights to 0.

# %%
predict(
    "04-after",
    "Masking behind the softmax: what goes wrong?",
    [
        "nothing: forbidden weights are 0 either way",
        "rows no longer sum to 1",
        "rows no longer sum to 1, and the future leaks",
    ],
)


# %%
def mask_after(query, key, value):
    """The wrong way: forbidden keys have already taken their share."""
    weights = attention_weights(query, key)
    return (weights * causal_mask(len(query))) @ value


q, k, v = torch.randn(6, 8), torch.randn(6, 8), torch.randn(6, 3)
other = k.clone()
other[-1] = torch.randn(8)
sums = (attention_weights(q, k) * causal_mask(6)).sum(-1)
print("rows sum to", [f"{total:.2f}" for total in sums])
moved = (mask_after(q, k, v) - mask_after(q, other, v))[:5].abs().max()
claim("04-mask-after-softmax", moved)

# %%
outcome("04-after", "rows no longer sum to 1, and the future leaks")

# %% [markdown]
# A forbidden key has already taken its share of the sum that every weight is divided by. So the *size* of what is left tells about the future: outputs 0 to 4 moved, although only key 5 changed.
#
# ## Padding
# Sentences in a batch differ in length. Short ones are filled up with a token that means nothing, **padding**. Nobody may look at it. The lengths say what is real.

# %%
from transformer_lab.masks import combine, padding_mask

lengths = torch.tensor([3, 5])
padding_mask(lengths, 5).int()

# %% [markdown]
# The shape is (B, 1, S): the axis of length 1 stands for all queries, because the rule is the same for each. `combine` is the AND of masks. What the decoder needs is causal AND padding: (T, T) and (B, 1, T) make (B, T, T).

# %%
combine(causal_mask(5), padding_mask(lengths, 5)).int()

# %% [markdown]
# Look at the last two rows of the first sentence. They belong to padding, and they still look at real tokens. Must padding be hidden as a query too?

# %% tags=["q-29"]
predict(
    "04-pads",
    "Only keys are masked. You change what stands in the padding. What moves?",
    ["every output", "only the outputs at padding", "nothing"],
)

# %% tags=["q-29"]
states = torch.randn(1, 5, 16)
changed = states.clone()
changed[0, 3:] = torch.randn(2, 16)
torch.manual_seed(0)
encoder = TextEncoder(ModelConfig(V, d_model=16, n_heads=2)).apply(glorot).eval()


def through(states):
    for layer in encoder.layers:
        states = layer(states, mask=padding_mask(torch.tensor([3]), 5))
    return states


with torch.no_grad():
    difference = (through(states) - through(changed)).abs().amax(-1)[0]
claim("04-padding-content", difference[:3])

# %%
claim("04-padding-outputs", difference[3:])

# %%
outcome("04-pads", "only the outputs at padding")

# %% [markdown]
# Hiding the keys is enough. Outputs at padding exist and mean nothing: nobody looks at them, and the loss leaves them out. Hiding the queries as well would give rows that see nothing, and those are trouble, as you will see.
#
# Some libraries save work on padding. Here is torch's own encoder, run twice with the same weights: in training mode and in evaluation mode, with nothing random in it. Its `ignore` is True *at* padding, the opposite of our rule; more on that below.

# %% tags=["q-12"]
torch.manual_seed(0)
layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
torch_encoder = nn.TransformerEncoder(layer, 2)
ignore = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
states = torch.randn(2, 5, 16)
with torch.no_grad(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch calls its shortcut a prototype
    training = torch_encoder.train()(states, src_key_padding_mask=ignore)
    evaluation = torch_encoder.eval()(states, src_key_padding_mask=ignore)
apart = (training - evaluation).abs().amax(-1)
claim("04-torch-modes-at-real", apart[~ignore].max())

# %% tags=["q-12"]
print("at padding, in evaluation:", evaluation[ignore].unique().tolist())
claim("04-torch-modes-at-padding", apart[ignore].max())

# %% [markdown]
# Two modes, two outputs, and both are right: the difference lies at padding only. In evaluation mode torch leaves padding out and gives zeros there. Compare models at real tokens, never at padding.
#
# ### Exercise: padding_mask


# %%
def my_padding_mask(lengths, S):
    """lengths (B,) -> bool (B, 1, S)."""
    raise NotImplementedError


check("padding_mask", my_padding_mask)

# %% [markdown]
# ## Three masks for a translator
# A translator has three attentions, and each has its own mask.
#
# | attention | who looks | at whom | mask |
# |---|---|---|---|
# | encoder | source | source | padding of the source: (B, 1, S) |
# | decoder | target | target | causal AND padding of the target: (B, T, T) |
# | cross | target | source | padding of the source: (B, 1, S) |
#
# The cross mask is a rectangle and has no causal part: the whole source is there before the first word is written.

# %%
predict(
    "04-source",
    "Below, the source has 4 real tokens. You make it one shorter. Which masks change?",
    ["the encoder's", "the encoder's and the cross mask", "all three"],
)

# %% tags=["q-04"]
MaskPainter(source=6, target=5, length=4, layers=2, title="A source of 4 tokens and 2 of padding")


# %%
def masks_of(real):
    """The three masks of one pair whose source has so many real tokens, and whose target is full."""
    source, target = (padding_mask(torch.tensor([n]), S) for n, S in ((real, 6), (5, 5)))
    return {"encoder": source, "decoder": combine(causal_mask(5), target), "cross": source}


longer, shorter = masks_of(4), masks_of(3)
[name for name in longer if not torch.equal(longer[name], shorter[name])]

# %%
outcome("04-source", "the encoder's and the cross mask")

# %% [markdown]
# ### Exercise: combine_masks


# %% tags=["q-04"]
def my_masks(source_lengths, target_lengths, S, T):
    """Lengths (B,) each -> encoder, decoder, cross: bool, True = may look."""
    raise NotImplementedError


check("combine_masks", my_masks)

# %% [markdown]
# ## Nobody to look at
# What should happen in a row that may see nothing? It occurs: an empty source, a window over padding, a mask without the diagonal. Softmax must share 1 among nobody.

# %% tags=["q-02"]
predict(
    "04-nobody",
    "Forbidden scores are filled with -1e9, and everything is forbidden. The weights are …",
    ["all 0", "NaN, not a number", "all equal"],
)

# %% tags=["q-02"]
row, nothing = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.zeros(1, 4, dtype=torch.bool)
inputs = torch.randn(1, 4, 8)
module = nn.MultiheadAttention(8, 2, batch_first=True)
found = {
    "fill with -inf": row.masked_fill(~nothing, -math.inf).softmax(-1)[0, 0],
    "fill with -1e9": row.masked_fill(~nothing, -1e9).softmax(-1)[0, 0],
    "torch's fused kernel": F.scaled_dot_product_attention(inputs, inputs, inputs, nothing)[
        0, 0, 0
    ],
}
for mode in (True, False):
    module.train(mode)
    with torch.no_grad():
        out, _ = module(*[inputs] * 3, key_padding_mask=~nothing, need_weights=False)
    found[f"nn.MultiheadAttention, train({mode})"] = out[0, 0, 0]
for name, first in found.items():
    print(f"{name:38} {first.item():.2f}")

# %% tags=["q-02"]
claim("04-minus-1e9-is-uniform", found["fill with -1e9"])

# %%
outcome("04-nobody", "all equal")

# %% [markdown]
# The first two lines show a weight, the others a number of the output. Four habits, four results. −∞ gives NaN, which spreads to every weight of the model with the next step. −1e9 gives equal weights: the row attends to the padding, all of it, and nobody notices. The fused kernel gives zeros. The module changes its mind with its mode.
#
# Here a row that may see nothing gives *zeros*, on every path, and its gradients are finite.

# %% tags=["q-02"]
q, k = torch.randn(1, 8, requires_grad=True), torch.randn(4, 8)
both = [attention_weights(q, k, nothing) @ k, attention(q, k, k, nothing)]
slope = [torch.autograd.grad(result.sum(), q)[0].abs().max() for result in both]
claim("04-nobody-gives-zeros", [result.abs().max() for result in both] + slope)

# %% [markdown]
# Why not a milder number, −10,000? Many programs use it. It is far below any score, most of the time.

# %% tags=["q-28"]
predict(
    "04-1e4",
    "All scores of a row lie near -20,000; forbidden ones are filled with -10,000. The weight goes …",
    ["to the allowed keys, as it should", "half and half", "to the forbidden keys"],
)

# %% tags=["q-28"]
far = torch.randn(100, 6) - 20_000
allowed = torch.arange(6) < 3
weights = far.masked_fill(~allowed, -10_000.0).softmax(-1)
claim("04-1e4-inverts", weights[:, ~allowed].sum(-1))

# %% tags=["q-28"]
outcome("04-1e4", "to the forbidden keys")

# %% [markdown]
# All of it. Only differences count, and −10,000 is *larger* than −20,000. Fill with the lowest number that the type can hold, then set forbidden weights to 0; that is what the package does.
#
# ### Exercise: masked_weights


# %%
def my_masked_weights(scores, mask):
    """scores (..., T, S), mask bool, True = may look -> weights (..., T, S)."""
    raise NotImplementedError


check("masked_weights", my_masked_weights)

# %% [markdown]
# ## True means the opposite
# torch has two attentions. You give both the same table, `tril`: True on and below the diagonal.

# %% tags=["q-03"]
predict(
    "04-polarity",
    "nn.MultiheadAttention gets attn_mask = tril(True). Position 0 sees …",
    ["itself only", "everything but itself: the future", "everything"],
)

# %% tags=["q-03"]
tril = torch.ones(5, 5, dtype=torch.bool).tril()
inputs = torch.randn(1, 5, 8)
module.eval()
with torch.no_grad():
    _, weights = module(inputs, inputs, inputs, attn_mask=tril)
print("row 0:", [f"{weight:.2f}" for weight in weights[0, 0]])
claim("04-polarity", weights[0, 0, 1:].sum())

# %% tags=["q-03"]
outcome("04-polarity", "everything but itself: the future")

# %% [markdown]
# In `F.scaled_dot_product_attention` True means *may look*, in `nn.MultiheadAttention` it means *ignore*. The code runs, the shapes fit, and every position sees its answer. The last row sees nobody: there you get NaN or zeros, by the module's mode, as above. In the package the opposite meaning exists in one function, `to_torch_ignore`, at the border to torch.
#
# The same module has a second trap. Without `batch_first=True` it takes the first axis for time. What does a sample then look at?

# %% tags=["q-11"]
predict(
    "04-batch",
    "batch_first is forgotten. You change sample 1 of a batch. The output of sample 0 …",
    ["stays: samples are independent", "moves", "is an error"],
)

# %% tags=["q-11"]
torch.manual_seed(0)
wrong, right = nn.MultiheadAttention(16, 2), nn.MultiheadAttention(16, 2, batch_first=True)
batch = torch.randn(2, 5, 16)
other = batch.clone()
other[1] = torch.randn(5, 16)
with torch.no_grad():
    moved = [(m(batch, batch, batch)[0] - m(other, other, other)[0])[0] for m in (wrong, right)]
claim("04-batch-axis", moved[0].abs().max())

# %% tags=["q-11"]
claim("04-samples-independent", moved[1].abs().max())

# %% tags=["q-11"]
outcome("04-batch", "moves")

# %% [markdown]
# Attention ran over the batch: every text read its neighbours. Nothing warns you. Change one sample and look at another; with the right axis the difference is exactly 0.

# %% [markdown]
# ### Exercise: to_torch_ignore


# %%
def my_torch_mask(mask, H):
    """mask (T, S) or (B, T, S), True = may look -> attn_mask, True = ignore."""
    raise NotImplementedError


check("to_torch_ignore", my_torch_mask)

# %% [markdown]
# ## Is the mask needed when the model writes?
# When a model writes, the future is not there. So the mask hides nothing from the last position. Can you leave it out?

# %% tags=["q-16"]
predict(
    "04-inference",
    "You drop the causal mask at inference. The output at the last position …",
    ["never changes", "changes with 2 layers, not with 1", "changes always"],
)


# %% tags=["q-16"]
def last_output_moves(layers, seed):
    """How far the last output moves without the mask, with the same weights and input."""
    run = stack(layers, seed)
    x = torch.randn(8, 16)
    with torch.no_grad():
        return (run(x, causal_mask(8)) - run(x, None))[-1].abs().max().item()


claim("04-one-layer-needs-no-mask", [last_output_moves(1, seed) for seed in range(5)])

# %% tags=["q-16"]
claim("04-two-layers-need-it", [last_output_moves(2, seed) for seed in range(5)])

# %% tags=["q-16"]
outcome("04-inference", "changes with 2 layers, not with 1")

# %% [markdown]
# The last row of the mask is all True: with one layer nothing changes. With two, the last position looks at *states of earlier positions*, and those have now seen their own future. The model never met such states in training. So the mask is needed, or else the earlier states must be kept as they were: that is the cache of lesson 12.
#
# ## When it breaks
# Three errors that everybody meets. The messages are real: this cell makes them.

# %%
for bad in (torch.ones(4, 5, dtype=torch.bool), torch.ones(5, 5)):
    try:
        attention(torch.ones(5, 8), torch.ones(5, 8), torch.ones(5, 8), bad)
    except (TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")
print("NaN:", torch.full((1, 3), -math.inf).softmax(-1).tolist())

# %% [markdown]
# 1. **The mask does not fit the scores.** Queries are rows, keys are columns. A mask per sample needs its axis for the queries.
# 2. **The mask is not boolean.** Ones and zeros would be *added* to the scores by torch's kernel, and hide nothing. Make it boolean by a comparison: `ones > 0`.
# 3. **NaN everywhere.** A row that may see nothing met −∞. Find the row, then ask why it is empty.

# %% [markdown]
# ## Where this lives
# `transformer_lab/masks.py`: `causal_mask`, `padding_mask`, `token_mask` from ids, `window_mask`, `prefix_mask` (causal behind a first part that sees itself whole), `combine`, `to_torch_ignore`. `transformer_lab/attention.py` applies them. `reveal("masked_weights")` shows how.
#
# ## Summary
# A mask says who may look at whom, and it acts on the scores. The proof that it holds is a slope of exactly 0, or outputs that stay when the future changes. Padding is hidden as a key; its outputs mean nothing. Rows that see nobody, and the two meanings of True, are where programs go wrong without a word.
#
# **Next:** one attention sees one thing. [05 · Why several heads?](05_many_heads.ipynb)
