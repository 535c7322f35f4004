# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · How does it know the order?
#
# Attention compares words with words. Where they stand, nobody has told it. You find out what it knows without being told, add positions in four ways, and see which of them survive a text that is longer than any in training.
#
# **After this lesson you can**
# - show that attention without positions reads a bag of words, and say when that is false;
# - write sinusoidal positions, rotary positions and ALiBi, and say what each does to a score;
# - predict what a model does with a text longer than those that it was trained on.
#
# About 45 minutes to read and touch, 30 for four exercises. You need: lessons 02 to 05. Terms: [glossary](glossary.ipynb).

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
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.masks import causal_mask, window_mask
from transformer_lab.models import LanguageModel, TextEncoder
from transformer_lab.positions import alibi, rotary, sinusoidal
from transformer_lab.training import train

_ = torch.manual_seed(0)

# %% [markdown]
# ## Dog bites man
# Here is a fresh stack of two layers. No mask, no positions: every word looks at every word. It reads "dog bites man" and "man bites dog". The words are ids 0, 1 and 2.

# %% tags=["q-33"]
predict(
    "06-dog",
    "“dog” gets a state in each of the two sentences. The two states are …",
    ["different: biting is not being bitten", "a little different", "the same"],
)


# %% tags=["q-33"]
def fresh(positions, layers=2, seed=0):
    """A stack without training, for 50 words: tokens (B, T) -> states (B, T, 32)."""
    torch.manual_seed(seed)
    config = ModelConfig(50, d_model=32, n_heads=4, n_layers=layers, positions=positions)
    return TextEncoder(config).apply(glorot).eval()


for positions in ("none", "sinusoidal"):
    with torch.no_grad():
        states = fresh(positions)(torch.tensor([[0, 1, 2], [2, 1, 0]]))
    print(f"positions: {positions}")
    print("  dog bites man: dog", [f"{number:.3f}" for number in states[0, 0, :4]])
    print("  man bites dog: dog", [f"{number:.3f}" for number in states[1, 2, :4]])

# %% tags=["q-33"]
outcome("06-dog", "the same")

# %% [markdown]
# Nothing in a score says where a word stands. Shuffle the words, and their states are shuffled along with them, unchanged otherwise. That is called **permutation-equivariant**. Here it is for eight words in any order: the largest difference between a word's state before and after the shuffle.


# %% tags=["q-33"]
def states_move(model):
    """How far the states of 8 words move when the words are shuffled."""
    words, order = torch.randint(50, (1, 8)), torch.randperm(8)
    with torch.no_grad():
        return (model(words)[:, order] - model(words[:, order])).abs().max().item()


claim("06-bag-of-words", [states_move(fresh("none", seed=seed)) for seed in range(5)])

# %%
four = ["sinusoidal", "learned", "rotary", "alibi"]
claim("06-positions-tell", [states_move(fresh(kind)) for kind in four])

# %% [markdown]
# Four ways to tell a model about places, and each of them ends the confusion. You meet them one by one.
#
# ## Is a decoder blind too?
# "Without positions a Transformer sees a bag of words." You may have read that without a condition. The stack above had no mask. A model that writes has a causal one.

# %% tags=["q-33"]
predict(
    "06-causal",
    "Causal mask, no positions. You shuffle all words but the last. The output at the last word …",
    ["never moves: it sees the same words", "moves with 2 layers, not with 1", "always moves"],
)


# %% tags=["q-33"]
def last_output_moves(layers, seed):
    """How far the last of 8 outputs moves when the 7 words before it are shuffled."""
    model, mask = fresh("none", layers, seed), causal_mask(8)[None]
    words = torch.randint(50, (1, 8))
    other = words.clone()
    other[:, :7] = words[:, torch.randperm(7)]
    with torch.no_grad():
        return (model(words, mask) - model(other, mask))[0, -1].abs().max().item()


claim("06-causal-one-layer", [last_output_moves(1, seed) for seed in range(5)])

# %% tags=["q-33"]
claim("06-causal-two-layers", [last_output_moves(2, seed) for seed in range(5)])

# %% tags=["q-33"]
outcome("06-causal", "moves with 2 layers, not with 1")

# %% [markdown]
# With one layer, the last word takes a mean over a set, and a set has no order. In the second layer it looks at *states*. The state of a word depends on the words before it, since those are all that it may see. So the mask itself tells the order, from the second layer on.
#
# Telling is not the same as being useful. How well a model works without positions, you measure below.

# %% [markdown]
# ## Write the place into the vector
# The first idea: each place has a vector of its own, and it is added to the word's vector. The vectors can be learned, a table with a row for each place. Or they can be computed. But from what?

# %% [markdown]
# Adding the number p itself is bad: place 500 would drown any word. The hands of a clock are better. They never leave their circle. The second hand tells neighbours apart; the hour hand tells morning from noon.
#
# **Sinusoidal positions** are D/2 such hands. Hand i stands at the angle
#
# $$\frac{p}{10000^{2i/D}}$$
#
# at place p, and its sine and its cosine go into the columns 2i and 2i + 1. Hand 0 turns by 1 radian at each step; the last one needs about 60,000 steps for one turn, if D is large.

# %% [markdown]
# ### Exercise: sinusoidal


# %%
def my_waves(length, d_model, base=10_000.0):
    """The table of sinusoidal positions: (T, D)."""
    raise NotImplementedError


check("sinusoidal", my_waves)

# %% [markdown]
# ## Why sine *and* cosine?
# PE(p) is row p of the table, the **positional encoding** of place p. How alike two places are is the dot product of their rows.

# %% tags=["q-31"]
predict(
    "06-product",
    "PE(12) · PE(7) is some number. Which product is sure to be the same?",
    ["PE(40) · PE(35), as far apart", "PE(24) · PE(14), both doubled", "none"],
)

# %% [markdown]
# Look for the answer. The first tab shows the table, the second the product of one row with every row. Try these:
# 1. On the first tab, pin row 0, then 1, then 2. The columns on the left change, those on the right hardly: why?
# 2. On the second tab, move the pinned row. What happens to the shape of the curve?
# 3. Take the cosine away, and move the row again.

# %% tags=["q-31"]
from transformer_lab.instruments.position_explorer import PositionExplorer

PositionExplorer(tabs=["waves", "distance"], title="Sinusoidal positions")

# %% tags=["q-31"]
PE = sinusoidal(512, 64).double()


def disagree(products, k):
    """(T, T): the most that products of places k apart differ from one another."""
    same = products.diagonal(k)
    return (same.max() - same.min()).item()


claim("06-products-by-distance", max(disagree(PE @ PE.T, k) for k in range(100)))

# %% tags=["q-31"]
sines = PE[:, 0::2]
claim("06-sine-alone", disagree(sines @ sines.T, 5))

# %% tags=["q-31"]
outcome("06-product", "PE(40) · PE(35), as far apart")

# %% [markdown]
# The reason is one line from school, for each hand with its speed w:
#
# $$\sin(mw)\sin(nw) + \cos(mw)\cos(nw) = \cos((m-n)\,w)$$
#
# Only m − n is left. A sine alone has no such line: 10° and 170° share one, so half a clock does not tell the time.
#
# ## A step is a turn
# Go k places on, and hand i turns by k times its speed, *wherever it was*. So one matrix leads from PE(m) to PE(m + k), the same for all m. It is made of small 2 × 2 turns, one for each hand.


# %% tags=["q-31"]
def step(k, D=64):
    """The matrix (D, D) that leads from PE(m) to PE(m + k), whatever m."""
    w = k / 10_000 ** (torch.arange(0, D, 2).double() / D)
    rows = torch.stack([w.cos(), w.sin(), -w.sin(), w.cos()], -1)
    return torch.block_diag(*rows.view(-1, 2, 2))


claim("06-step-is-a-turn", [(PE[:-k] @ step(k).T - PE[k:]).abs().max() for k in (1, 7, 100)])

# %% [markdown]
# That is worth a lot to attention. Give a head the query matrix `step(-7)`: from PE(m) it makes PE(m − 7), and with keys PE its largest score lies seven places back, for every place from 7 on, with one matrix. How sharply it looks there is a matter of its voice (lesson 02). Is there such a matrix for sines alone? Ask for the one with the least squared error.

# %% tags=["q-31"]
best = torch.linalg.lstsq(sines[:-7], sines[7:]).solution
claim("06-no-matrix-for-sines", (sines[:-7] @ best - sines[7:]).abs().max())

# %% [markdown]
# ## Why 10,000?
# The base sets how much slower each hand is than the one before. Here is how alike places are, over the distance between them, for four bases. A product is divided by the number of hands, so that 1 means "the same place".

# %% tags=["q-31"]
apart = [1, 2, 4, 8, 16, 32, 64, 128, 256]
bases = [10, 100, 10_000, 1_000_000]
alike = [(t @ t[0])[apart] / 32 for t in (sinusoidal(512, 64, base) for base in bases)]
plots.lines(
    apart,
    alike,
    [f"base {base:,}" for base in bases],
    log="x",
    xlabel="distance",
    ylabel="how alike",
    title="The base says how far likeness tells of distance",
)


# %% tags=["q-31"]
def idle(base, length=512, D=64):
    """How many of the D/2 hands turn by less than a tenth of a turn over the whole length."""
    turned = length / base ** (torch.arange(0, D, 2).double() / D)
    return int((turned < 0.1 * 2 * torch.pi).sum())


print({f"base {base:,}": idle(base) for base in bases})
claim("06-idle-hands", idle(1_000_000))

# %% [markdown]
# The curves are not smooth, since they are sums of waves. With base 10 every hand is fast: eight places on, a row is as strange as any other. With 10,000 likeness falls, on the whole, over a hundred places and more. With a million it falls more slowly, and half of the hands hardly move within a text of 512. The paper of 2017, *Attention Is All You Need*, gives no reason for its 10,000; it goes with texts of some hundreds of tokens. Llama 3, made for longer ones, uses hands too, with base 500,000.

# %% [markdown]
# ## The wrong axis
# A widely copied program keeps its table as (T, 1, D), for tensors with time first, and adds `table[:x.size(0)]`. Your tensors are (B, T, D).

# %%
table = sinusoidal(16, 32)[:, None]  # (16, 1, 32)
x = torch.zeros(4, 6, 32)  # four texts of six words
added = x + table[: x.size(0)]
claim("06-batch-axis", (added - added[:, :1]).abs().max())

# %% [markdown]
# No message. Every text gets one row, the same for all of its words: the bag of words is back, and what a text means depends on where it stands in the batch. Can you tell from outside?

# %% [markdown]
# ### Exercise: find_the_batch_axis


# %%
def my_axis(add, x):
    """add: (B, T, D) -> (B, T, D) -> "time", "batch", "both" or "neither"."""
    raise NotImplementedError


check("find_the_batch_axis", my_axis)

# %% [markdown]
# ## Add, or put side by side?
# Adding looks like spilling: word and place land in the same D numbers. Why not **concatenate**, put them side by side as [e; p]? First, what a matrix W makes of the sum.

# %% tags=["q-30"]
W = nn.Linear(64, 32, bias=False).weight
e, p = torch.randn(10, 64), torch.randn(10, 64)  # ten words, ten places
with torch.no_grad():
    difference = (e + p) @ W.T - torch.cat([e, p], -1) @ torch.cat([W, W], 1).T
claim("06-adding-ties", difference.abs().max())

# %% [markdown]
# W(e + p) = W e + W p = [W W] [e; p]. Adding *is* concatenation, behind a matrix whose two halves are the same. Does it cost anything that they are? Take the two questions of lesson 05, where places decide, and two models with practically the same number of parameters.

# %% tags=["q-30"]
predict(
    "06-add",
    "The model that adds places answers …",
    ["fewer right than the one that concatenates", "as many, to within 2 %", "more"],
)


# %% tags=["q-30"]
class PlacedLookups(nn.Module):
    """Lesson 05's two questions; places are added, or put beside: (B, 7) -> (B, 2, 8)."""

    def __init__(self, letter, place, add):
        super().__init__()
        self.letter, self.place = nn.Embedding(8 + 36, letter), nn.Embedding(7, place)
        self.add, width = add, letter if add else letter + place
        self.attention, self.read = MultiHeadAttention(width, 2), nn.Linear(width, 16)

    def forward(self, tokens):
        e, p = self.letter(tokens), self.place.weight.expand(len(tokens), -1, -1)
        x = e + p if self.add else torch.cat([e, p], -1)
        return self.read(self.attention(x[:, -1:], x)).view(-1, 2, 8)


def both_wrong(model, batch):
    tokens, targets = batch
    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())


# %% tags=["q-30"]
def share_right(seed, *sizes):
    """The share of 2,000 fresh texts with both answers right, after 300 steps."""
    torch.manual_seed(seed)
    model = PlacedLookups(*sizes)
    batches = tasks.two_lookups(size=128, length=6, symbols=8, seed=seed)
    for _ in train(model, batches, 300, rate=5e-3, loss=both_wrong):
        pass
    tokens, targets = next(tasks.two_lookups(2000, 6, 8, seed=100 + seed))
    with torch.no_grad():
        return (model(tokens).argmax(-1) == targets).all(-1).float().mean().item()


added, beside = (64, 64, True), (47, 19, False)  # letter, place, add
for sizes in (added, beside):
    print(f"{sum(weight.numel() for weight in PlacedLookups(*sizes).parameters()):,} parameters")
right_added = [share_right(seed, *added) for seed in range(3)]
right_beside = [share_right(seed, *beside) for seed in range(3)]
claim("06-added-right", right_added)

# %% tags=["q-30"]
claim("06-beside-right", right_beside)

# %% tags=["q-30"]
outcome("06-add", "as many, to within 2 %")

# %% [markdown]
# On this task nothing is lost. In many dimensions two sets of vectors can lie in different directions, and a matrix can read either. Training finds such directions. Adding keeps the width free: you need not decide how much of it belongs to places.

# %% [markdown]
# ## Turn, instead of add
# Added places enter a score in four ways: (e + p)·(f + r) = e·f + e·r + p·f + p·r, where f is another word and r its place. Only p·r depends on the distance alone (the matrices of queries and keys left out). The same two words, moved on together, get another score.
#
# **Rotary positions** add nothing to the word. They take the query of a word at place p, pair up its numbers, and turn each pair by the angle of a hand at p, as a point around the centre. The key of each word is turned likewise, by its own place. The value is left alone.

# %%
predict(
    "06-rotary",
    "A query at place 7, a key at place 3, both turned. You move both 20 places on. Their score …",
    ["changes a little", "stays the same", "swings around like a clock"],
)

# %% [markdown]
# Below, each clock is a pair of numbers: the query's hand blue, the key's orange. Move the query, then the key, then both together.

# %%
PositionExplorer(tabs="hands", position=7, other=3, title="Rotary positions")

# %%
query, key = torch.randn(2, 64)
turned = rotary(query.expand(40, 64)) @ rotary(key.expand(40, 64)).T  # (40, 40): every m and n
claim("06-rotary-by-distance", max(disagree(turned, k) for k in range(-38, 39)))

# %%
waves = sinusoidal(40, 64)
claim("06-added-not-by-distance", disagree((query + waves) @ (key + waves).T, 4))

# %%
outcome("06-rotary", "stays the same")

# %% [markdown]
# Turning both by the same angle leaves the angle *between* them. That is why of the two places the product knows only m − n, for any query and key. And a turn keeps the length of a vector: no place is louder than another.

# %% [markdown]
# ### Exercise: rotary


# %%
def my_rotary(query, key, offset=0):
    """Twice (B, H, T, d) -> both, turned by position; the first stands at `offset`."""
    raise NotImplementedError


check("rotary", my_rotary)

# %% [markdown]
# ## Or take something off
# The shortest way leaves query and key alone. **ALiBi**, attention with linear biases, takes something off the score for each step of distance: a **slope** times the distance. Each head has a slope of its own, from ½ down to 1/256 for eight heads. A steep head sees its neighbours, a flat one sees far. Nothing is learned.

# %%
plots.heatmap(
    alibi(8, 6)[0] + 0.0,  # no −0
    xlabel="key: position looked at",
    ylabel="query: position that looks",
    title="What head 0 of 8 adds to its scores: −½ for each step",
)

# %% [markdown]
# Now all of it in one place. In "the dog chased the cat today", *dog* looks at *chased*.

# %%
predict(
    "06-move",
    "You move “today” to the front. All other words stand one place further on. Which schemes now give “dog” another score for “chased”?",
    ["sinusoidal, rotary and ALiBi", "sinusoidal only", "sinusoidal and rotary"],
)

# %%
sentence = PositionExplorer(tabs=["move", "slopes"], title="Move a word")
sentence

# %%
before = sentence.scores([0, 1, 2, 3, 4, 5])
after = sentence.scores([5, 0, 1, 2, 3, 4])  # the words in this order
for scheme in before:
    print(f"{scheme:11} {before[scheme]:7.3f} → {after[scheme]:7.3f}")
claim("06-only-added-moves", sum(abs(before[name] - after[name]) > 1e-3 for name in before))

# %%
outcome("06-move", "sinusoidal only")

# %% [markdown]
# The distance between the two words is the same as before, and rotary and ALiBi know distances only. Now put *dog* and *chased* far apart yourself. Without positions, nothing happens to the score wherever you put them. The second tab shows the slopes of ALiBi: which heads still see a word 20 places away? The slope ½ takes 10 off its score there, a factor of 22,000; the slope 1/256 takes off .08.

# %% [markdown]
# ### Exercise: alibi


# %%
def my_alibi(n_heads, T, S):
    """What is added to the scores: (H, T, S)."""
    raise NotImplementedError


check("alibi", my_alibi)

# %% [markdown]
# ## Longer than ever seen
# "A Transformer has a fixed length." Has it? `LanguageModel` is a stack with the causal mask that writes: at each place it gives scores for the next token. Take the weights of one for 32 tokens and put them into one for 512.


# %% tags=["q-34"]
def fits_longer(kind):
    """Do the weights of a model for 32 tokens run on 512?"""
    short, long = (
        LanguageModel(ModelConfig(8, max_len=length, positions=kind)) for length in (32, 512)
    )
    try:
        long.load_state_dict(short.state_dict())
    except RuntimeError as error:
        print(str(error).splitlines()[-1].strip())
        return False
    return long(torch.zeros(1, 512, dtype=torch.long)).shape == (1, 512, 8)


kinds = ["none", "learned", "sinusoidal", "rotary", "alibi"]
fits = {kind: fits_longer(kind) for kind in kinds}
print(fits)
claim("06-only-learned-stops", sum(fits.values()))

# %% [markdown]
# Only the learned table stops: its rows are weights, and there are 32. The others are computed, as far as you like. So the length is not fixed. But does a model that *runs* on a longer text also *work* there?
#
# The task: a block of five symbols at random, again and again. From the second block on, each token is the one from five places before. Training sees 32 tokens.

# %%
print(next(tasks.repeated(1, 20, 8, 5, 5))[0][0].tolist())

# %% tags=["q-34"]
predict(
    "06-longer",
    "Trained on 32 tokens, tested on 256. Which scheme keeps most of what it could do at 32?",
    ["sinusoidal: it is defined everywhere", "rotary: only the distance counts", "ALiBi"],
)

# %% tags=["q-34"]
BLOCK, T = 5, 32


def block_loss(model, text):
    """The mean loss where the answer can be known: from the second block on."""
    logits = model(text[:, :-1])[:, BLOCK - 1 :]
    return F.cross_entropy(logits.flatten(0, 1), text[:, BLOCK:].flatten())


def learn(kind, seed, spread=32**-0.5, steps=300):
    """A model trained on texts of 32 tokens; `spread` is that of fresh word vectors."""
    torch.manual_seed(seed)
    # not tied: the output has weights of its own, so that `spread` is the input's alone
    sizes = {"d_model": 32, "n_heads": 4, "max_len": 8 * T, "tie_embeddings": False}
    model = LanguageModel(ModelConfig(8, positions=kind, **sizes)).apply(glorot)
    nn.init.normal_(model.embedding.tokens.weight, std=spread)
    texts = (text for text, _ in tasks.repeated(32, T + 1, 8, BLOCK, BLOCK, seed=seed))
    for _ in train(model, texts, steps, rate=3e-3, loss=block_loss):
        pass
    return model


# %% tags=["q-34", "nbval-ignore-output", "this-machine"]
runs = [(kind, seed) for kind in kinds for seed in range(3)]
models = {run: learn(*run) for run in tqdm(runs, file=sys.stdout)}


# %% tags=["q-34"]
def right(model, times, seed):
    """The share right over the last 32 places that can be known, in texts so many times as long."""
    text, _ = next(tasks.repeated(50, times * T + 1, 8, BLOCK, BLOCK, seed=900 + seed))
    with torch.no_grad():
        hits = model(text[:, :-1]).argmax(-1) == text[:, 1:]
    return hits[:, max((times - 1) * T, BLOCK - 1) :].float().mean().item()


lengths = [1, 2, 4, 8]
shares = torch.tensor(
    [[[right(models[kind, s], n, s) for n in lengths] for s in range(3)] for kind in kinds]
)
print(" " * 10, *(f"{n}×         " for n in lengths))
for kind, share in zip(kinds, shares):
    low, high = share.amin(0), share.amax(0)
    print(f"{kind:10}", *(f"{a:.2f}–{b:.2f}  " for a, b in zip(low, high)))

# %% tags=["q-34"]
plots.heatmap(
    shares.mean(1),
    rows=kinds,
    columns=[f"{n}×" for n in lengths],
    xlabel="length of the text, in lengths of training",
    title="Share right, mean of three seeds (chance is 0.125)",
)

# %% tags=["q-34"]
claim("06-rotary-at-home", shares[3, :, 0])

# %% tags=["q-34"]
claim("06-sinusoidal-far", shares[2, :, 3])

# %% tags=["q-34"]
claim("06-rotary-far", shares[3, :, 3])

# %% tags=["q-34"]
claim("06-alibi-far", shares[4, :, 3])

# %% tags=["q-34"]
outcome("06-longer", "ALiBi")

# %% [markdown]
# Read the rows.
# - **Learned**: perfect at home. Here its table got 256 rows, so that it runs; but no training reached row 32, and an untrained row is noise.
# - **Sinusoidal** rows exist for every place. The model has met only the first 32. To be defined is not to be known.
# - **ALiBi** keeps what it has, and even rises: the first column counts early places too, with little behind them. It has less at home: a slope makes near keys loud, and the answer stands behind four others.
# - **None** is better than chance and far from right, at every length.
#
# And **rotary**? It needs one distance, always the same, and it has learned that one perfectly. Why does it fail?

# %% tags=["q-34"]
predict(
    "06-window",
    "You hide from every query of the trained models what lies more than 31 places back, and test at 8×. Who is right again?",
    ["rotary", "sinusoidal", "both", "neither"],
)


# %% tags=["q-34"]
def right_in_window(kind, seed):
    """As right at 8×, when every layer sees 32 places at most, its own included."""
    model, mask = models[kind, seed], window_mask(8 * T, T)[None]
    text, _ = next(tasks.repeated(50, 8 * T + 1, 8, BLOCK, BLOCK, seed=900 + seed))
    with torch.no_grad():
        states, places = model.embedding(text[:, :-1])
        for layer in model.layers:
            states = layer(states, mask=mask, places=places)
        hits = model.head(model.norm(states)).argmax(-1) == text[:, 1:]
    return hits[:, -T:].float().mean().item()


claim("06-rotary-in-window", [right_in_window("rotary", seed) for seed in range(3)])

# %% tags=["q-34"]
claim("06-sinusoidal-in-window", [right_in_window("sinusoidal", seed) for seed in range(3)])

# %% tags=["q-34"]
outcome("06-window", "rotary")

# %% [markdown]
# Nothing was trained again. For rotary all distances in the window are familiar, wherever the window lies, and so it works. What broke it were keys further back than any in training: hide them, and all is well. Sinusoidal rows from 32 on are strange in themselves, and no window helps.

# %% [markdown]
# So the length is not fixed, and that alone helps little: what a model meets for the first time can break it. This is one task and one small model. The order of the schemes may be another elsewhere; that a model must be *tested* at the length at which it is used holds everywhere.

# %% [markdown]
# ## How loud may a place be?
# The sum e + p holds two voices. The paper of 2017 also multiplies the word vectors by √D before it adds the waves. A usual explanation: "embeddings start out tiny, so they must be made louder." Check it with torch's own `nn.Embedding`, and D = 512.

# %% tags=["q-32"]
predict(
    "06-loud",
    "nn.Embedding, D = 512, times √512, plus sinusoidal positions. How much of the sum's mean square comes from the positions?",
    ["about half", "about 3 %", "about 0.1 %"],
)

# %% tags=["q-32"]
waves = sinusoidal(128, 512).square().mean()
starts = {"nn.Embedding: 1": 1.0, "tensor2tensor: 1/√D": 512**-0.5, "GPT-2: 0.02": 0.02}
share = {}
for name, spread in starts.items():
    words = (nn.Embedding(1000, 512).weight.detach() * spread).square().mean()
    share[name] = [(waves / (waves + factor * words)).item() for factor in (1, 512)]
    print(f"{name:20} as it is {share[name][0]:7.2%}   times √D {share[name][1]:7.2%}")
claim("06-root-drowns-places", share["nn.Embedding: 1"][1])

# %% tags=["q-32"]
outcome("06-loud", "about 0.1 %")

# %% [markdown]
# `nn.Embedding` does not start tiny: its numbers have spread 1. The factor belongs to a start at 1/√D, that of the code behind the paper, tensor2tensor. There it brings words to spread 1, a little above the waves' .71. With torch's start the same line of code drowns the places. At the other end, words of spread .02 are hardly heard among waves. (GPT-2 has no waves: its learned places start about as quiet as its words.)

# %% tags=["q-32"]
predict(
    "06-loud-cost",
    "The task from above with sinusoidal positions and D = 32. Which start of the words costs right answers?",
    ["spread .02: the words are drowned", "spread √32: the places are drowned", "both", "neither"],
)

# %% tags=["q-32", "nbval-ignore-output", "this-machine"]
loudness = {"0.02": 0.02, "1": 1.0, "√D": 32**0.5}
runs = [("sinusoidal", name, seed) for name in loudness for seed in range(3)]
runs += [("rotary", "√D", seed) for seed in range(3)]  # to compare: see below
found = {
    (kind, name, seed): right(learn(kind, seed, loudness[name]), 1, seed)
    for kind, name, seed in tqdm(runs, file=sys.stdout)
}

# %% tags=["q-32"]
table = {name: [found["sinusoidal", name, s] for s in range(3)] for name in loudness}
table["1/√D"] = shares[2, :, 0].tolist()
for name, share in table.items():
    print(f"words of spread {name:5} right: {min(share):.2f} to {max(share):.2f}")
claim("06-quiet-words", table["0.02"])

# %% tags=["q-32"]
claim("06-loud-words", table["√D"])

# %% tags=["q-32"]
outcome("06-loud-cost", "spread √32: the places are drowned")

# %% [markdown]
# Is it the waves that are drowned, or do loud words learn badly by themselves? Ask a model whose places are not in the sum.

# %% tags=["q-32"]
claim("06-loud-words-rotary", [found["rotary", "√D", seed] for seed in range(3)])

# %% [markdown]
# It is the waves. Quiet words cost next to nothing here: they are weights, and training can make them louder. The waves are fixed, loud words quieten slowly, and already words of spread 1 cost some right answers within these 300 steps. So the danger lies on the loud side, above all with √D behind `nn.Embedding`. Print the two mean squares once, for a fresh model, and know which voice is which.

# %% [markdown]
# ## When it breaks
# Three errors that everybody meets. The messages are real: this cell makes them.

# %%
short = LanguageModel(ModelConfig(8, max_len=T, positions="learned"))
x = torch.zeros(4, 6, 32)
breaks = (
    lambda: short(torch.zeros(1, T + 1, dtype=torch.long)),
    lambda: ModelConfig(8, d_model=36, n_heads=4, positions="rotary"),
    lambda: x + sinusoidal(16, 32)[: x.size(0)],
)
for call in breaks:
    try:
        call()
    except (RuntimeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")

# %% [markdown]
# 1. **The text is longer than the model.** A learned table cannot grow. A computed one can: set a larger `max_len`, then test whether the model still works there.
# 2. **An odd width.** Rotary and sinusoidal positions need pairs; for rotary it is the width of a *head* that must be even.
# 3. **The wrong axis.** You were lucky: 4 texts and 6 words do not match, so there is a message. With a single text there is none, and every word gets row 0. With an axis of length 1 in the table, as above, there is never one.

# %% [markdown]
# ## Where this lives
# `transformer_lab/positions.py`: `sinusoidal`, `rotary`, `alibi`. `transformer_lab/embedding.py` adds them or hands them on to the attentions. `ModelConfig(positions=...)` chooses. `reveal("rotary")` shows it.
#
# ## Summary
# Attention compares contents; without a mask it sees a bag of words, and with a causal one it can tell the order from the second layer on. Places are added to the vectors, or turn the queries and keys, or are taken off the scores. Sinusoidal products and rotary scores depend on the distance. That a model runs on a longer text does not mean that it works there: here ALiBi does, rotary only in a window, sinusoidal and learned do not.
#
# **Next:** what else is in a layer, and whether it is needed.
