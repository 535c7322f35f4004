# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · What is attention, as arithmetic?
#
# Every program has dictionaries. Attention is a dictionary that never says "not found". You build it in small steps, from a lookup to queries, keys and values. At the end you set one head by hand, and it solves a task without training.
#
# **After this lesson you can**
# - write attention from memory, as a loop and as two matrix products;
# - say what a query, a key and a value are, by what each of them does;
# - predict what a change of a query or a key does to the answer.
#
# About 40 minutes to read and touch, 30 for six exercises. You need: Python, and what a product of two matrices is. Terms: [glossary](glossary.ipynb).

# %%
import torch

from transformer_lab import plots
from transformer_lab.claims import claim
from transformer_lab.exercises import check, hint, progress, reveal
from transformer_lab.instruments.bench import AttentionBench
from transformer_lab.instruments.predict import outcome, predict

_ = torch.manual_seed(0)

# %% [markdown]
# ## A dictionary is hard
# You ask with a word, the **query**. It is compared with every **key**. The one that fits hands you its **value**.

# %%
temperature_at = {6: 9.0, 9: 14.0, 12: 19.0, 15: 21.0, 18: 16.0}
temperature_at[12]

# %% [markdown]
# And at 13 o'clock? `temperature_at[13]` is a `KeyError`: no key is equal. Yet 13 is *close* to 12 and to 15. A useful answer would take a good part from those two and little from the others.
#
# ## A dictionary that is soft
# Give every key a **score**: how well does it fit the query? Here, minus the squared distance, divided by twice the squared width. Turn the scores into **weights**: positive, and together 1. Answer with the average of all values, each counted by its weight.

# %%
hours = torch.tensor([6.0, 9.0, 12.0, 15.0, 18.0])
degrees = torch.tensor([9.0, 14.0, 19.0, 21.0, 16.0])


def ask(hour, width=1.5):
    """The weighted average of all values: a float hour -> a temperature."""
    scores = -((hour - hours) ** 2) / (2 * width**2)
    weights = scores.exp() / scores.exp().sum()
    return (weights * degrees).sum()


print(f"at 12: {ask(12):.1f}   at 13: {ask(13):.1f}   at 20: {ask(20):.1f}")

# %% [markdown]
# At 12 it is not quite 19: the neighbours count a little. At 20 the nearest key decides.
#
# `exp` makes every score positive and large scores much larger. Dividing by the sum makes them add up to 1. The two together are called **softmax**.
#
# Statisticians have used this since 1964 and call it **kernel regression**. Its one knob is the width: how far away may a key be and still count?

# %%
predict(
    "02-width",
    "Forty noisy measurements of one curve, at places from 0 to 5. Which width comes closest to the true curve?",
    ["0.05: trust the nearest only", "0.4: a few neighbours", "3: average over many"],
)


# %%
def smooth(at, x, y, width):
    """Kernel regression: (T,), (S,), (S,) -> (T,)."""
    scores = -((at[:, None] - x) ** 2) / (2 * width**2)
    return scores.softmax(-1) @ y


def curve(x):
    return torch.sin(2 * x) + x / 2


def errors(seed, widths=(0.05, 0.4, 3.0)):
    """How far each width is from the true curve (root mean square), for one set of dots."""
    random = torch.Generator().manual_seed(seed)
    x = 5 * torch.rand(40, generator=random)
    y = curve(x) + 0.4 * torch.randn(40, generator=random)
    at = torch.linspace(0, 5, 200)
    return [(smooth(at, x, y, w) - curve(at)).square().mean().sqrt() for w in widths]


# %%
random = torch.Generator().manual_seed(0)
x = 5 * torch.rand(40, generator=random)
y = curve(x) + 0.4 * torch.randn(40, generator=random)
at = torch.linspace(0, 5, 200)
plots.scatter_fit(
    x,
    y,
    {f"width {w}": (at, smooth(at, x, y, w)) for w in (0.05, 0.4, 3.0)},
    title="Too narrow follows the noise, too wide forgets the curve",
)

# %%
best = [torch.tensor(errors(seed)).argmin().item() for seed in range(100)]
claim("02-width-matters", sum(b == 1 for b in best))

# %%
outcome("02-width", "0.4: a few neighbours")

# %% [markdown]
# ## From distances to products
# Words have no hour. A Transformer describes each thing by a list of numbers, a **vector**, and scores a query `q` against a key `k` by their **dot product**: multiply number by number, add up. It is large when both are large in the same places, 0 at a right angle, negative when they point apart.

# %%
q = torch.tensor([0.8, 0.6])
k = torch.tensor([1.2, -0.5])
print(f"{(q * k).sum():.2f}", f"{q @ k:.2f}")

# %% [markdown]
# Is that another method, or the same one in other clothes? Multiply out: −(q−k)²/2 is q·k − q²/2 − k²/2. The part q²/2 is the same for every key. What does softmax do with a number that is added to *all* scores?

# %%
predict(
    "02-shift",
    "You add 100 to every score of one query. Its weights …",
    ["stay the same", "become more equal", "become more extreme"],
)

# %%
scores = torch.randn(1000, 7)
claim("02-shift-changes-nothing", ((scores + 100).softmax(-1) - scores.softmax(-1)).abs().max())

# %%
outcome("02-shift", "stay the same")

# %% [markdown]
# Only differences of scores count: a constant in `exp` is a factor, and the division removes it. So kernel regression *is* attention with dot products, once each key carries −k²/2 as one more number, each query carries a 1 to meet it, and both are divided by the width. Here are both, on the dots from above.

# %%
width = 0.4
queries = torch.stack([at, torch.ones_like(at)], 1) / width
keys = torch.stack([x, -(x**2) / 2], 1) / width
by_products = (queries @ keys.T).softmax(-1) @ y
claim("02-kernel-is-attention", (by_products - smooth(at, x, y, width)).abs().max())

# %% [markdown]
# ## Exercise: soft_lookup
#
# `check` tells you when it is right, and if not, which mistake it is.


# %%
def my_lookup(query, keys, values):
    """(d,), (S, d), (S, v) -> (v,)."""
    raise NotImplementedError


check("soft_lookup", my_lookup)

# %% [markdown]
# Stuck? Run `hint("soft_lookup")` in a new cell, up to three times. `reveal("soft_lookup")` shows the code of the package.
#
# ## What are Q, K and V?
# Try it with your own hand. One query and four keys in a plane; each key carries a value. Drag the query among the keys, or choose an arrow and move it with the cursor keys. Every number that follows is written out.

# %% tags=["q-25"]
predict(
    "02-double",
    "You make the query twice as long, in the same direction. The weights …",
    ["stay the same: the direction did not change", "become sharper", "become flatter"],
)

# %% tags=["q-25"]
keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.2], [0.3, -1.0]])
bench = AttentionBench(
    query=[0.8, 0.6],
    keys=keys,
    values=[[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]],
    names=["a", "b", "c", "d"],
    title="One query among four keys",
)
bench

# %% [markdown]
# Try these four, and say what you expect before you let go:
# 1. Put the query on top of a key. Is that key's weight 1?
# 2. Put two keys in the same place. How do they share?
# 3. Make the query 0. What is the answer?
# 4. Make the query twice as long, and twice again.

# %% [markdown]
# A **query** says what is wanted. A **key** says what it can be found by. A **value** says what is handed over. Query and key are compared with each other and must live in the same space. The value is never compared with anything; values can have any length, the same for all. Q, K and V are all queries, all keys and all values of a text, one in each row.

# %% [markdown]
# Two keys in one place get the same weight. A query of 0 scores 0 with every key, so each gets a quarter, and the answer is the mean of the values. And a longer query?

# %% tags=["q-25"]
once, twice = (torch.tensor([[0.8, 0.6], [1.6, 1.2]]) @ keys.T).softmax(-1).amax(-1)
print(f"largest weight: {once:.2f} once, {twice:.2f} twice as long")

# %% tags=["q-25"]
any_query, any_keys = torch.randn(10_000, 1, 2), torch.randn(10_000, 4, 2)
largest = [(long * any_query @ any_keys.mT).softmax(-1).amax(-1) for long in (1, 2)]
claim("02-longer-is-sharper", (largest[1] > largest[0]).float().mean())

# %% tags=["q-25"]
outcome("02-double", "become sharper")

# %% [markdown]
# Direction says *which* key fits, length says *how much* that counts: the longer the query, the more decided the answer. Now your first trial: each key as its own query.

# %% tags=["q-25"]
claim("02-query-on-its-key", (keys @ keys.T).softmax(-1).diagonal())

# %% [markdown]
# A score of 1 is not a weight of 1: the other keys still count. And where does the answer lie?

# %%
values = torch.randn(5, 3)
asked, known = 3 * torch.randn(10_000, 4), 3 * torch.randn(5, 4)
answers = (asked @ known.T).softmax(-1) @ values
beyond = torch.maximum(answers - values.amax(0), values.amin(0) - answers)
claim("02-never-outside", beyond.max())

# %% [markdown]
# Attention can *choose and mix*. It cannot say anything that lies outside its values, and it cannot say nothing: the weights sum to 1 even when no key fits. That is why half of the weight in lesson 00 had to land on marks.
#
# ## Exercise: choose_qk


# %%
def my_choice(weights):
    """weights (S,), together 1 -> a query (d,) and keys (S, d) that give them."""
    raise NotImplementedError


check("choose_qk", my_choice)

# %% [markdown]
# ## All queries at once
# A text has many tokens, and each asks its own question. T queries and S keys give a table of T × S scores, which is one matrix product: `query @ key.T`. Row t holds the scores of query t. Softmax each row. A second product mixes the values.
#
# Three ways to write it: a loop over every pair, two matrix products, and the **fused** function of the package, which calls torch's fast kernel. Its `scale` is a factor on all scores: Transformers use 1/√d, and lesson 03 measures why. Here it is 1.


# %%
def attend_loop(query, key, value):
    """Every pair by itself: (T, d), (S, d), (S, v) -> (T, v)."""
    answers = []
    for q in query:
        powers = [(q @ k).exp() for k in key]
        answers.append(sum(p * v for p, v in zip(powers, value)) / sum(powers))
    return torch.stack(answers)


def attend_weights(query, key):
    """All weights at once: (T, d), (S, d) -> (T, S)."""
    return (query @ key.T).softmax(-1)


def attend_products(query, key, value):
    """Two matrix products."""
    return attend_weights(query, key) @ value


# %%
from transformer_lab.attention import attention

query, key, value = torch.randn(5, 8), torch.randn(7, 8), torch.randn(7, 3)
loop, products = attend_loop(query, key, value), attend_products(query, key, value)
fused = attention(query, key, value, scale=1.0)
claim("02-three-ways", [(loop - products).abs().max(), (products - fused).abs().max()])

# %% [markdown]
# Here is the whole of it in one strip, with small numbers that you can change. Choose a cell: the row and the column that it comes from light up, and the sum is written out.

# %%
predict(
    "02-one-key",
    "Two queries, three keys. You change one number of one key. Which weights can move?",
    ["that key's, for every query", "all of them", "one row of them"],
)

# %%
from transformer_lab.instruments.stepper import AttentionStepper

small = [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]
AttentionStepper(query=small[:2], key=small, value=[[10.0], [20.0], [30.0]], scale=1.0)

# %%
changed = key.clone()
changed[2, 0] += 1.0
moved = attend_weights(query, key) - attend_weights(query, changed)
claim("02-one-key-moves-all", (moved != 0).sum())

# %%
outcome("02-one-key", "all of them")

# %% [markdown]
# A key changes one column of scores, in every row whose query is not 0 in that place. The softmax then shares each row anew, and what one key gains all others lose. A changed *query* moves its own row and no other.
#
# Look at the shapes once more. T and S need not be equal. `d` must be the same in queries and keys. `v` can be anything, and is the width of the answer.
#
# ## Exercise: attention_weights


# %%
def my_weights(query, key, scale):
    """(..., T, d), (..., S, d) -> (..., T, S)."""
    raise NotImplementedError


check("attention_weights", my_weights)

# %% [markdown]
# ## Exercise: attention


# %%
def my_attention(query, key, value, scale):
    """(..., T, d), (..., S, d), (..., S, v) -> (..., T, v)."""
    raise NotImplementedError


check("attention", my_attention)

# %% [markdown]
# ## When scores grow
# `exp(1000)` is too large for the computer, which makes it infinite; and infinite over infinite is not a number. You already know the way out: adding a number to all scores changes nothing. Which number would you add?
#
# ### Exercise: stable_softmax


# %%
def my_softmax(scores, dim=-1):
    """Positive weights along dim, together 1, for scores of any size."""
    raise NotImplementedError


check("stable_softmax", my_softmax)

# %% [markdown]
# ## Back to hard
# Divide all scores by a **temperature** before the softmax. Hot: all keys count alike. Cold: the best takes all. An ordinary dictionary is the limit. The bench above has the slider; here it is for a whole table of random queries.

# %%
eight, answer = torch.eye(8), torch.randn(8, 3)
chosen = torch.randint(8, (1000,))
question = eight[chosen] + 0.1 * torch.randn(1000, 8)
temperatures = [10.0, 1.0, 0.3, 0.1, 0.03, 0.01]
distance = [
    (attention(question, eight, answer, scale=1 / t) - answer[chosen]).norm(dim=-1).mean()
    for t in temperatures
]

# %%
plots.lines(
    temperatures,
    [distance],
    ["mean distance"],
    log="x",
    xlabel="temperature",
    ylabel="distance to the dictionary's answer",
    title="Cold attention is a dictionary",
)

# %% tags=["q-25"]
claim("02-cold-is-a-dictionary", distance[-1])

# %% [markdown]
# The keys are eight different unit vectors, and each question is one of them with a little noise. A dictionary would find none of the noisy ones. Cold attention finds them.
#
# ### Exercise: hard_lookup


# %%
def my_temperature(scores, eps):
    """scores (S,) -> a temperature at which the largest weight is at least 1 - eps."""
    raise NotImplementedError


check("hard_lookup", my_temperature)

# %% [markdown]
# ## Where do Q, K and V come from?
# From the same tokens. Each token's vector `x` is multiplied by three matrices that training finds: `x @ W_q` is its query, `x @ W_k` its key, `x @ W_v` its value. So every token asks, can be found, and has something to hand over. This is **self-attention**.
#
# If that is all, you can set the matrices by hand. The task: write, at each place, the token that stood *before* it. Remember the head of lesson 00 that does just that.

# %%
letters, T = "abcdefghij", 8
N = len(letters)


def letter_and_place(tokens):
    """Which letter (10 numbers) and which place (8 numbers): (T,) -> (T, 18)."""
    return torch.cat([torch.eye(N)[tokens], torch.eye(T)], 1)


W_v = torch.cat([torch.eye(N), torch.zeros(T, N)])  # hands over the letter
W_k = torch.cat([torch.zeros(N, T), torch.eye(T)])  # is found by its place
W_q = torch.cat([torch.zeros(N, T), torch.eye(T).roll(-1, 1)])  # wants the place before

# %% [markdown]
# `roll` turns place 3 into the question for place 2; place 0 asks for the last place, as in a ring. One number is still open: how loud the query is. We call it the **voice**.

# %%
predict(
    "02-voice",
    "With voice 1, how many of 1,000 random texts come out right in all 8 places?",
    ["all", "about two thirds", "fewer than one in ten"],
)


# %%
def write_previous(tokens, voice):
    """The letter that gets most weight at each place: (T,) -> (T,)."""
    x = letter_and_place(tokens)
    return attention(voice * x @ W_q, x @ W_k, x @ W_v, scale=1.0).argmax(-1)


texts = torch.randint(N, (1000, T))


def share_right(voice):
    return sum(torch.equal(write_previous(t, voice), t.roll(1)) for t in texts) / len(texts)


voices = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
shares = [share_right(voice) for voice in voices]

# %%
plots.lines(
    voices,
    [shares],
    ["texts right"],
    xlabel="voice",
    ylabel="share of 1,000 texts",
    title="The same head, at seven voices",
)

# %%
claim("02-hand-set-head", shares[-1])

# %%
claim("02-quiet-head", share_right(1.0))

# %%
outcome("02-voice", "about two thirds")

# %% [markdown]
# Not one number was trained. With a quiet voice the head still looks *most* at the right place, yet a letter that occurs several times elsewhere outvotes it. Sharp attention is not a detail: it decides whether a head can be trusted.
#
# ## The real one, by hand
# Lesson 00 showed you real heads. Take one, and do its arithmetic with what you have now. Two maps make queries and keys from the states; we cut out the columns of head 2, and divide by √d, as this model does.

# %%
from transformer_lab.checkpoints import load_pretrained
from transformer_lab.recording import record_attention

model, tokenizer = load_pretrained("minilm", fallback=True)
ids, mask = tokenizer("The cat sat on the mat because it was tired.")
with torch.no_grad(), record_attention(model) as weights:
    states, _ = model.embedding(ids)
    model(ids)

# %%
layer = model.layers[0].attention
d = layer.d_head
with torch.no_grad():
    q, k = (make(states)[0, :, 2 * d : 3 * d] for make in (layer.query, layer.key))
by_hand = (q @ k.T / d**0.5).softmax(-1)
plots.heatmap(
    by_hand,
    rows=tokenizer.tokens("The cat sat on the mat because it was tired."),
    columns=tokenizer.tokens("The cat sat on the mat because it was tired."),
    title="Layer 0, head 2, from four lines of arithmetic",
    alt="Heatmap of 13 tokens by 13 tokens; nearly all weight is on the token before.",
)

# %%
claim("02-real-head-by-hand", (by_hand - weights["layers.0.attention"][0, 2]).abs().max())

# %% [markdown]
# The same table that the model used. The columns from `2 * d` to `3 * d` are the third head's share of the query and key vectors; lesson 05 opens that up.
#
# ## When it breaks
# Three errors that everybody meets. The messages are real: this cell makes them.

# %%
for q_shape, k_shape, v_shape in [((5, 8), (7, 6), (7, 3)), ((5, 8), (7, 8), (6, 3))]:
    try:
        attention(torch.ones(q_shape), torch.ones(k_shape), torch.ones(v_shape))
    except ValueError as error:
        print(error)
wrong_axis = torch.randn(5, 7).softmax(0)
print("rows sum to 1:", torch.allclose(wrong_axis.sum(1), torch.ones(5)))

# %% [markdown]
# 1. **Query and key disagree in d.** They were made by different maps, or one was transposed.
# 2. **Key and value disagree in S.** Each key needs one value.
# 3. **No error at all, and nonsense.** The softmax ran over the queries. Rows that do not sum to 1 give it away. Look at the sums first, always.

# %% [markdown]
# ## Where this lives
# `transformer_lab/attention.py`: `attention_weights` is your `my_weights` with a mask (lesson 04) and a default scale (lesson 03), `attention` the fused path. `reveal("attention")` shows it.
#
# ## Summary
# Attention scores a query against every key by a dot product, turns each row of scores into weights by a softmax, and answers with the average of the values. It always answers, and never beyond its values. Only differences of scores count; their size decides between mixing and choosing.
#
# **Next:** [03 · Why divide by √d](03_why_sqrt_d.ipynb), and when does it matter?
