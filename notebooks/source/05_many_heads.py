# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Why several heads?
#
# One attention mixes with one set of weights. A model has many attentions side by side, its **heads**. You find out what that buys, what it costs, and what a weight in a head means, which is less than most people think.
#
# **After this lesson you can**
# - cut a model's width into heads and put it together again, in the right order;
# - name a task that one head cannot do and two can, and show it;
# - tell how much a head *weighs* from how much it *matters*.
#
# About 40 minutes to read and touch, 30 for five exercises. You need: lessons 00 and 02 to 04. Terms: [glossary](glossary.ipynb).

# %%
import torch
import torch.nn.functional as F
from torch import nn

from transformer_lab import plots, tasks
from transformer_lab.attention import MultiHeadAttention, attention
from transformer_lab.checkpoints import load_pretrained
from transformer_lab.claims import claim
from transformer_lab.counting import count
from transformer_lab.exercises import check, hint, progress, reveal
from transformer_lab.instruments.attention import AttentionExplorer
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.recording import record_attention, silence_heads
from transformer_lab.training import train
from transformer_lab.twins import copy_attention

_ = torch.manual_seed(0)

# %% [markdown]
# ## Two questions at once
# Six letters, and then a token that asks: what stands at place p, and what at place q? Both answers must come from one look. Letters are the tokens 0 to 7; token 8 + 6p + q asks for the places p and q, counted from 0, which always differ.

# %%
tokens, targets = next(tasks.two_lookups(size=1, length=6, symbols=8, seed=4))
asked = tokens[0, -1].item() - 8
print("letters", tokens[0, :-1].tolist(), " asked: places", divmod(asked, 6))
print("answers", targets[0].tolist())

# %%
predict(
    "05-two-lookups",
    "Attention and a linear readout, 600 steps of training. With one head it gets both right …",
    ["always, only slower", "in about half of the cases", "in fewer than one in four"],
)


# %%
class TwoLookups(nn.Module):
    """One attention and a linear map: tokens (B, 7) -> logits (B, 2, 8), one row per question."""

    def __init__(self, heads, d_model=64):
        super().__init__()
        self.letter, self.place = nn.Embedding(8 + 36, d_model), nn.Embedding(7, d_model)
        self.attention = MultiHeadAttention(d_model, heads)
        self.read = nn.Linear(d_model, 16)

    def forward(self, tokens):
        x = self.letter(tokens) + self.place.weight
        found = self.attention(x[:, -1:], x)  # only the last token looks
        return self.read(found).view(-1, 2, 8)


def both_wrong(model, batch):
    tokens, targets = batch
    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())


# %%
def learn(heads, seed, steps=600):
    """After training, on 2,000 fresh texts: which answers are right (2000, 2), and the weights of
    every head on the two places asked for (2000, H, 2)."""
    torch.manual_seed(seed)
    model = TwoLookups(heads)
    batches = tasks.two_lookups(size=128, length=6, symbols=8, seed=seed)
    for _ in train(model, batches, steps, rate=5e-3, loss=both_wrong):
        pass
    tokens, targets = next(tasks.two_lookups(2000, 6, 8, seed=100 + seed))
    with torch.no_grad(), record_attention(model) as recorded:
        right = model(tokens).argmax(-1) == targets
    asked = tokens[:, -1] - 8
    places = torch.stack([asked // 6, asked % 6], -1)
    weights = recorded["attention"][:, :, 0]  # only the last token asks
    return right.float(), weights.gather(2, places[:, None].expand(-1, heads, 2))


one_head = [learn(1, seed) for seed in range(3)]
two_heads = [learn(2, seed) for seed in range(3)]

# %%
claim("05-one-head-fails", [right.prod(1).mean() for right, _ in one_head])

# %%
claim("05-two-heads-solve", [right.prod(1).mean() for right, _ in two_heads])

# %%
outcome("05-two-lookups", "in fewer than one in four")

# %% [markdown]
# Both models have the same parameters, to the last one; you will count them. Blind guessing gets both right in 1 of 64 texts; who knows one answer and guesses the other, in 1 of 8. So look at the questions one by one, and at where the heads look.

# %%
for name, runs in (("one head", one_head), ("two heads", two_heads)):
    for right, weights in runs:
        each = " ".join(f"{share:.2f}" for share in right.mean(0))
        heads = "  ".join("/".join(f"{w:.2f}" for w in head) for head in weights.mean(0).tolist())
        print(f"{name:9} right {each}  weights {heads}")
claim("05-one-head-knows-one", [right.mean(0).max() for right, _ in one_head])

# %%
claim("05-two-heads-share", [weights.mean(0).amax(1).min() for _, weights in two_heads])

# %% [markdown]
# One head gives *one* weighted mean. It looks at both places, at one of them a little more, and the readout finds the louder letter. So one question comes out right, and the other hardly more often than by luck. Two heads look at one place each, and each writes into its own half of the vector.
#
# The feed-forward part of lesson 07 can learn to take such a mean apart again, with work. Heads are the cheap way.

# %% [markdown]
# ## Cut and put together
# A head is nothing but a share of the width. Queries, keys and values of D numbers are cut into H pieces of d = D / H; each piece attends by itself; the answers stand side by side again, and one more matrix, the **output projection**, mixes them.

# %% tags=["q-23"]
predict(
    "05-slices",
    "Head 0 works on the first d numbers of the query. Which numbers of the input does it see?",
    ["the first d", "all of them", "a random share"],
)

# %% tags=["q-23"]
layer = MultiHeadAttention(512, 8)
x = torch.randn(1, 10, 512)
other = x.clone()
other[0, :, 0] += 1.0  # change one number of every token
with torch.no_grad():
    before, after = layer.queries(x), layer.queries(other)  # (1, 8, 10, 64)
moved = (before - after).abs().amax((0, 2, 3))
claim("05-every-head-sees-all", moved)

# %% tags=["q-23"]
outcome("05-slices", "all of them")

# %% [markdown]
# What is cut is the *query*, which a full matrix has already mixed from all numbers of the input. A head does not own a part of the embedding.

# %% [markdown]
# ### Exercise: split_heads


# %%
def my_split(x, H):
    """(B, T, D) -> (B, H, T, d)."""
    raise NotImplementedError


check("split_heads", my_split)

# %% [markdown]
# ### Exercise: merge_heads


# %%
def my_merge(heads):
    """(B, H, T, d) -> (B, T, D)."""
    raise NotImplementedError


check("merge_heads", my_merge)

# %% [markdown]
# ### Exercise: multi_head


# %%
def my_multi_head(x, W_query, W_key, W_value, W_output, H):
    """(B, T, D) and four (D, D) -> (B, T, D)."""
    raise NotImplementedError


check("multi_head", my_multi_head)

# %% [markdown]
# ## What do more heads cost?
# Sixteen heads in place of one: first the parameters, then the work.

# %% tags=["q-23"]
predict(
    "05-parameters",
    "D = 512. From 1 head to 16 heads, the parameters of the attention …",
    ["grow 16-fold", "stay the same", "grow a little: one output matrix for each"],
)

# %% tags=["q-23", "q-24"]
totals = {H: count(MultiHeadAttention(512, H)).total for H in (1, 4, 8, 16)}
print({H: f"{total:,}" for H, total in totals.items()})
claim("05-heads-are-free", list(totals.values()))

# %% tags=["q-23"]
outcome("05-parameters", "stay the same")

# %% [markdown]
# Four matrices of 512 × 512 and four biases of 512, however many heads share them. Here is the same number from torch's own module, term by term. It keeps query, key and value in one tall matrix.

# %% tags=["q-24"]
theirs = nn.MultiheadAttention(512, 8, batch_first=True)
for name, weight in theirs.named_parameters():
    print(f"{name:16} {tuple(weight.shape)!s:12} {weight.numel():9,}")
total = sum(weight.numel() for weight in theirs.parameters())
claim("05-four-d-squared", total - (4 * 512**2 + 4 * 512))

# %% [markdown]
# And the work? A **FLOP** is one addition or multiplication. torch can count them while it computes.

# %% tags=["q-23"]
from torch.utils.flop_counter import FlopCounterMode


def work(H):
    """The FLOPs of one attention of width 512 over ten tokens."""
    layer = MultiHeadAttention(512, H)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        q, (k, v) = layer.queries(x), layer.keys_values(x)
        layer.output(((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))
    return counter.get_total_flops()


claim("05-work-is-the-same", [work(H) for H in (1, 4, 8, 16)])

# %% [markdown]
# Twice as many heads compute twice as many tables, each from half as many numbers. torch counts products only. The tables themselves do grow in number: H heads keep H tables of T × T weights, and each needs its softmax.

# %% [markdown]
# ## Six ways, one result
# The same weights, six times: a loop over heads, one product with all heads in an axis of their own, `einsum`, torch's fused kernel, torch's module, and **grouped-query** attention, in which several query heads can share one head of keys and values. Here each has its own, so it must agree. (`einsum` names the axes; those that the result lacks are summed over.)

# %%
with torch.no_grad():
    q = layer.queries(x)
    k, v = layer.keys_values(x)
    loop = [attention(q[:, h], k[:, h], v[:, h]) for h in range(8)]
    weights = (q @ k.mT / 64**0.5).softmax(-1)
    copy_attention(layer, theirs)
    grouped = MultiHeadAttention(512, 8, n_kv_heads=8)
    grouped.load_state_dict(layer.state_dict())
    ways = {
        "loop": layer.output(torch.cat(loop, -1)),
        "product": layer.output((weights @ v).transpose(1, 2).flatten(2)),
        "einsum": layer.output(torch.einsum("bhts,bhsd->bthd", weights, v).flatten(2)),
        "fused": layer(x),
        "torch": theirs(x, x, x)[0],
        "grouped": grouped(x),
    }
apart = torch.tensor([[(a - b).abs().max() for b in ways.values()] for a in ways.values()])

# %% tags=["nbval-ignore-output"]
print("apart".ljust(7), *(f"{name:>7}" for name in ways))
for name, row in zip(ways, apart.tolist()):
    print(name.ljust(7), *(f"{number:7.0e}" for number in row))

# %%
claim("05-six-ways", apart.max())

# %% [markdown]
# ### Exercise: to_torch_attention


# %%
def my_torch_weights(query, key, value, output):
    """Four nn.Linear(D, D) -> in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias."""
    raise NotImplementedError


check("to_torch_attention", my_torch_weights)

# %% [markdown]
# Keys and values are kept while a model writes, and they are large. Many models let several query heads share one key head.
#
# ### Exercise: grouped_query


# %%
def my_grouped(query, key, value):
    """(B, H, T, d), (B, K, S, d), (B, K, S, d) -> (B, H, T, d)."""
    raise NotImplementedError


check("grouped_query", my_grouped)

# %% [markdown]
# ## Why a query *and* a key?
# A score is (x W_Q) · (y W_K), biases left out. That is x M yᵀ with one matrix M = W_Q W_Kᵀ. So why learn two?

# %% tags=["q-26"]
predict(
    "05-two-matrices",
    "Over the 72 heads of a real model, M = W_Q W_Kᵀ is …",
    ["symmetric: x looks at y as y looks at x", "far from symmetric"],
)

# %% tags=["q-26"]
model, tokenizer = load_pretrained("minilm", fallback=True)
asymmetry, ranks, d = [], [], model.config.d_head
for one in model.layers:
    pairs = zip(one.attention.query.weight.split(d), one.attention.key.weight.split(d))
    for W_Q, W_K in pairs:
        M = (W_Q.T @ W_K).detach().double()  # nn.Linear keeps its matrix transposed
        sizes = torch.linalg.svdvals(M)
        ranks.append(int((sizes > 1e-6 * sizes[0]).sum()))
        asymmetry.append((M - M.T).norm() / (M + M.T).norm())
print("rank of M:", sorted(set(ranks)), "of", model.config.d_model, " d =", d)
claim("05-not-symmetric", asymmetry)

# %% tags=["q-26"]
outcome("05-two-matrices", "far from symmetric")

# %% [markdown]
# A symmetric M would give 0, a random one about 1. So why not one matrix for both, W_Q = W_K? Then M would be symmetric: x scores y as y scores x. A pronoun may look for a noun, and the noun not for the pronoun.
#
# And why not learn M itself? It would have D² numbers. Two thin matrices of D × d hold 2·D·d: a sixth, with D = 384 and d = 32. The price is the **rank**: M can react to d directions of x, no more.
#
# ## Touch them
# All heads of the real model, on one sentence. Sort by what they do. Pin two and look at the difference. And look for the marks `[CLS]` and `[SEP]`: bright columns at both ends.

# %%
predict(
    "05-where-marks",
    "In which of the six layers do the two marks get least of the weight?",
    ["in the middle ones", "in the first and the last", "alike in all"],
)

# %%
sentence = "The cat sat on the mat because it was tired."
ids, mask = tokenizer(sentence)
with torch.no_grad(), record_attention(model) as recorded:
    model(ids, mask)
AttentionExplorer(recorded, tokenizer.tokens(sentence), title="All heads, one sentence")

# %%
for name, table in recorded.items():
    to_marks = table[0, :, 1:-1, [0, -1]].sum(-1)  # from the words, in every head
    print(f"{name}: {to_marks.mean():.2f}")

# %%
outcome("05-where-marks", "in the first and the last")

# %% [markdown]
# ## Is a large weight an important one?
# You saw it in lesson 00, and again now: about half of all weight goes to the two marks at the ends. Do these models care so much for two marks?

# %% tags=["q-27"]
predict(
    "05-marks",
    "A weight counts only with what it brings: times the length of what the value becomes behind the output matrix, the marks' share is …",
    ["about half, like their weight", "more", "less than a quarter"],
)


# %% tags=["q-27"]
def shares_of_marks(ids, mask):
    """The marks' share of the weights, and of weight times what it brings: two numbers per layer."""
    found = []
    with torch.no_grad(), record_attention(model) as recorded:
        model(ids, mask)
    with torch.no_grad():
        x, _ = model.embedding(ids)
        for name, layer in zip(recorded, model.layers):
            _, value = layer.attention.keys_values(x)
            # each head's part of the output matrix
            maps = layer.attention.output.weight.unflatten(1, (value.shape[1], d))
            brought = torch.einsum("bhsd,ohd->bhso", value, maps).norm(dim=-1)
            weights = recorded[name][:, :, 1:-1]  # words look, the marks do not
            effect = weights * brought[:, :, None]
            found.append([(w[..., [0, -1]].sum() / w.sum()).item() for w in (weights, effect)])
            x = layer(x, mask=mask[:, None])
    return found


shares = torch.tensor(shares_of_marks(ids, mask))

# %% tags=["q-27"]
plots.lines(
    range(len(shares)),
    [*shares.T],
    ["weight", "weight × value"],
    xlabel="layer",
    ylabel="share of the two marks",
    title="Half of the weight brings a tenth of the effect",
)

# %% tags=["q-27"]
claim("05-marks-weigh", shares[:, 0].mean())

# %% tags=["q-27"]
claim("05-marks-bring-little", shares[:, 1].mean())

# %% tags=["q-27"]
outcome("05-marks", "less than a quarter")

# %% [markdown]
# The marks are where a head looks when it has nothing to say. Weights must sum to 1, so the mass goes to a place whose value is short: it does little there. A weight alone tells you where a head looks, not what it brings. (Lengths are added up here; what is brought may also cancel.)
#
# The plain test of importance is to take the head away. `silence_heads` makes a head hand over zeros, for the length of a `with` block. How far does the sentence's vector turn?

# %% tags=["q-27"]
predict(
    "05-silence",
    "You silence one head of 72. In how many cases does the sentence's vector turn by less than 8° (1 − cosine below .01)?",
    ["in almost none", "in about half", "in most"],
)


# %% tags=["q-27"]
def turned(sentence):
    """For every head: 1 - cosine of the sentence's vector with and without it."""
    ids, mask = tokenizer(sentence)
    found = []
    with torch.no_grad():
        whole = model.sentence_vectors(model(ids, mask), mask)
        for number in range(len(model.layers)):
            for head in range(model.config.n_heads):
                with silence_heads(model, {number: [head]}):
                    found.append(1 - (model.sentence_vectors(model(ids, mask), mask) @ whole.T))
    return torch.stack(found).flatten()


sentences = [
    sentence,
    "A storm closed the harbour for two days.",
    "She paid for the coffee and left the change.",
]
changes = torch.stack([turned(one) for one in sentences])
claim("05-most-heads-matter-little", (changes < 0.01).float().mean(1))

# %% tags=["q-27"]
outcome("05-silence", "in most")

# %% tags=["q-27"]
from transformer_lab.instruments.desk import HeadDesk

HeadDesk(model, ids, tokenizer.tokens(sentence), mask, title="Take heads away")

# %% [markdown]
# At this desk you silence any heads, on the sentence above, and see what moves. Silence layer 4 head 2, then layer 3 head 4, then both: together they turn the vector further than the sum of the two. Find another such pair.

# %% [markdown]
# Most single heads can go, and the sentence's vector hardly turns. That does not mean that they are useless: others may do the same, and for another sentence another head matters. Look, then take away, then speak.
#
# ## When the rows do not sum to 1
# In training, many models set a random tenth of the weights to 0, **dropout**. What you picture then is not what you think.

# %% tags=["q-08"]
weights = torch.randn(2000, 16).softmax(-1)
in_training = F.dropout(weights, 0.1).sum(-1)
in_use = F.dropout(weights, 0.1, training=False).sum(-1)
print(f"training: rows sum to {in_training.min():.2f} … {in_training.max():.2f}")
claim("05-dropout-rows", in_training.std())

# %% tags=["q-08"]
claim("05-eval-rows", (in_use - 1).abs().max())

# %% [markdown]
# What is kept is divided by 0.9, so that sums are right on average; a single row is off. `record_attention` gives you the weights from before the dropout, always.
#
# ## When it breaks
# Two messages that everybody meets, and one silence. This cell makes them.

# %%
for call in (lambda: MultiHeadAttention(30, 4), lambda: MultiHeadAttention(32, 4, n_kv_heads=3)):
    try:
        call()
    except ValueError as error:
        print(error)
three = torch.arange(12.0).view(1, 3, 4)  # three tokens of four numbers
print("right:", three.view(1, 3, 2, 2).transpose(1, 2)[0, 0].tolist())
print("wrong:", three.view(1, 2, 3, 2)[0, 0].tolist())

# %% [markdown]
# 1. **The width does not divide by the heads.** Every head gets the same share.
# 2. **Query heads do not divide by key heads.** Each key head serves equally many.
# 3. **A view without a transpose.** The shape is right and the numbers are not: head 0 holds pieces of *different tokens*. Nothing complains.

# %% [markdown]
# ## Where this lives
# `transformer_lab/attention.py`: `MultiHeadAttention`, with `queries` and `keys_values`. `transformer_lab/twins.py` copies its weights into torch's module. `reveal("multi_head")` shows it.
#
# ## Summary
# Heads are shares of one width: more of them cost no parameters and no products, only more tables, and let one layer look at several places at once, each with its own answer. A head sees all of the input. Its weights say where it looks; the values say what it brings; only taking it away says whether it matters.
#
# **Next:** attention does not know any order. Lesson 06 gives it one.
