# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Start here: what does a real Transformer look at?
#
# You type a sentence. A real Transformer reads it. You see every weight of every attention head, and you can touch each one.
#
# **After this lesson you can**
# - say what one row of an attention matrix means, and what it does not mean;
# - find heads that do one recognisable thing, and measure that they do it;
# - say why the model knows two sentences as alike, and where that fails.
#
# About 25 minutes. There is nothing to install, nothing to download and nothing to solve here: it is a first touch. Run a cell with **Shift + Enter** and go on to the next. Words in bold: [glossary](glossary.ipynb).

# %%
import sys

import torch
from tqdm import tqdm

from transformer_lab import plots, tasks
from transformer_lab.checkpoints import load_pretrained
from transformer_lab.claims import claim
from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.instruments.attention import AttentionExplorer
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.models import EncoderDecoder
from transformer_lab.recording import record_attention
from transformer_lab.training import train

_ = torch.manual_seed(0)

# %% [markdown]
# ## Is everything in place?
# The next cell looks at your machine. A line that is not in order says how to mend it. You can go on all the same: only the lines about the model matter here.

# %% tags=["nbval-ignore-output", "this-machine"]
from transformer_lab.doctor import doctor

doctor()

# %% [markdown]
# ## A model that was trained by somebody else
# This is all-MiniLM-L6-v2, a small **encoder**: it reads a text and gives one list of numbers, a **state**, for each piece of it. Many search engines run on models like this one. What it learned is real. The code that runs it is the code that you will write in this course.

# %%
model, tokenizer = load_pretrained("minilm", fallback=True)
real = tokenizer.name == "minilm"
f"{sum(p.numel() for p in model.parameters()):,} numbers were learned"

# %% [markdown]
# A model does not read words. It reads **tokens**, pieces from a fixed list, its **vocabulary**. Look at what happens to a rare word, and at the two tokens that nobody typed.

# %% tags=["q-15"]
sentence = "The cat sat on the mat because it was tired."
print(tokenizer.tokens(sentence))
print(tokenizer.tokens("Transformers are unputdownable."))

# %% [markdown]
# `[CLS]` opens every text and `[SEP]` closes it. `##` marks a piece that continues the word before it.
#
# ## Who does "it" look at?
# The model is a stack of **layers**. In each of them, each token looks at all tokens and takes something from each. How much it takes is its **attention weight**. One set of weights is called a **head**. This model has several heads in each layer, and every head has a table of its own.
#
# Before you look, decide.

# %%
predict(
    "00-it",
    "“The cat sat on the mat because it was tired.” Averaged over all heads, “it” looks most at …",
    ["cat", "tired", "it, that is itself", "[CLS], the opening mark"],
)


# %%
def read(text):
    """text -> its tokens and the attention weights of every layer, for the explorer."""
    ids, mask = tokenizer(text)
    with torch.no_grad(), record_attention(model) as weights:
        model(ids, mask)
    return tokenizer.tokens(text), weights


tokens, weights = read(sentence)
every_head = torch.cat(list(weights.values()), 1)[0]
every_head.shape

# %% [markdown]
# `every_head` is one table per head, over all layers: (heads, tokens that look, tokens looked at). Now the average over all heads, in the row of "it".

# %%
row = tokens.index("it") if real else 1
plots.bars(tokens, every_head[:, row].mean(0), title="Where “it” looks, all heads together")

# %%
outcome("00-it", "[CLS], the opening mark")

# %% [markdown]
# Not at the cat, and not at itself: at a mark that carries no meaning. You may have read that attention finds the relevant words. Hold that thought, and look at the heads one by one.
#
# ## Touch it
# Each small picture below is one head. Click one, or move with the arrow keys. The large table shows its weights: a row is a token that looks, a column is a token looked at. Hover or tap a token in the sentence to see where it looks. *Pin* two heads to see their difference.
#
# Then type a sentence of your own. Try one with an emoji.

# %%
explorer = AttentionExplorer(weights, tokens, read=read, title="MiniLM reads your sentence")
explorer

# %% [markdown]
# Three things to find:
# 1. a head in which almost every token looks at the token *before* it;
# 2. the head in which "it" looks most at "cat";
# 3. a head in which nearly everybody looks at `[CLS]`.
#
# Sorting the heads helps. When you have found them, or given up, go on.
#
# ## What did you see?
# One sentence proves little. Here are ten, and we measure the same three things on all of them.

# %%
sentences = [
    sentence,
    "The trophy does not fit into the suitcase because it is too big.",
    "She poured water from the bottle into the cup until it was full.",
    "A bank can hold money and a river can have a bank.",
    "The lawyer thanked the judge after she had spoken.",
    "My phone died, so I could not call you last night.",
    "Every child in the village knew the old fisherman.",
    "The book that I bought yesterday is already torn.",
    "When the rain stopped, the children ran outside to play.",
    "He put the keys on the table and forgot them there.",
]
tables = [torch.cat(list(read(text)[1].values()), 1)[0] for text in sentences]

# %% [markdown]
# **The token before.** For each head: the mean weight that a token gives to its left neighbour. `diagonal(-1)` picks those numbers. We keep the head that does it most.

# %%
to_previous = torch.stack([t.diagonal(-1, 1, 2)[:, :-1].mean(1) for t in tables])
strongest = to_previous.mean(0).argmax().item()
layer, head = divmod(strongest, model.config.n_heads)
f"layer {layer}, head {head}"

# %%
claim("00-previous-token-head", to_previous[:, strongest]) if real else "needs the real encoder"

# %% [markdown]
# That head is a machine with one job. Nobody asked for it: it came out of training.
#
# **The marks.** Now the share of all weights that goes to `[CLS]` or `[SEP]`.

# %%
to_marks = torch.stack([t[:, 1:-1, [0, -1]].sum(2).mean() for t in tables])
claim("00-marks-take-half", to_marks) if real else "needs the real encoder"

# %% [markdown]
# A row of weights always sums to 1, also when a head finds nothing to do in this sentence. So the rest has to land somewhere. It lands on a token that is always there. A large weight is *where the head looks*, not *what matters*. In lesson 13 you silence heads and measure what matters.
#
# **"it" and "cat".** And yet, one head does look like reading.

# %%
to_cat = every_head[:, row, tokens.index("cat")] if real else every_head[:, 1, 1]
best = to_cat.argmax().item()
layer, head = divmod(best, model.config.n_heads)
f"layer {layer}, head {head}"

# %%
claim("00-it-to-cat", to_cat[best]) if real else "needs the real encoder"

# %% [markdown]
# You may have seen such a picture as proof that the model knows what "it" stands for. A proof has to survive a counter-test. "The cat sat on the mat because it was *soft*": now "it" is the mat.

# %%
predict(
    "00-soft",
    "With “soft” in place of “tired”, the weight from “it” to “cat” in that head becomes …",
    ["much smaller: it is the mat now", "about the same", "larger"],
)

# %%
soft_tokens, soft = read("The cat sat on the mat because it was soft.")
soft = torch.cat(list(soft.values()), 1)[0, best]
where = soft_tokens.index("it"), soft_tokens.index("cat")
claim("00-soft-mat", soft[where]) if real else "needs the real encoder"

# %%
outcome("00-soft", "about the same")

# %% [markdown]
# So what does this head do? Choose it in the explorer and look at the whole table, not at one row.

# %%
others = [t for t in range(1, len(tokens) - 1) if t != row]
from_others = every_head[best, others, tokens.index("cat")] if real else every_head[0, 1:, 1]
claim("00-everyone-looks-at-the-cat", from_others.mean()) if real else "needs the real encoder"

# %% [markdown]
# The column of "cat" is bright from top to bottom. The head does not link "it" to "cat": it looks at the cat from everywhere. One row of one table can tell you any story that you like. Look at the other rows, and change the sentence, before you believe it.
#
# ## Does it understand?
# Average the states of all tokens and you have one **vector**, a list of numbers, per sentence. Two sentences are close when the **cosine** of their vectors is large: 1 means the same direction, 0 a right angle. Below, each sentence has a *paraphrase* with other words, and a *trap* with nearly the same words and another meaning.

# %%
lines = """
A man is playing a guitar. / Someone strums a stringed instrument. / A man is washing a car.
The doctor examined the sick child. / A physician checked on an ill kid. / The doctor bought a new house.
She is afraid of spiders. / Arachnids scare her. / She is afraid of the dark.
He bought a new car. / A vehicle was purchased by him. / He bought a new guitar.
Children love sweets. / Kids adore candy. / Children love stories.
It rained the whole day. / There was no dry hour from morning to night. / It snowed the whole night.
The soup is too hot to eat. / I will burn my mouth on this broth. / The soup is too cold to eat.
Where can I catch a train? / Which way is it to the railway station? / Where can I catch a cold?
"""
groups = [line.split(" / ") for line in lines.strip().splitlines()]

# %%
predict(
    "00-paraphrase",
    "For how many of the eight sentences is the paraphrase closer than the trap?",
    ["all 8", "5 to 7", "3 or 4, like guessing", "0 to 2: shared words decide"],
)


# %%
def closeness(others):
    """The cosine between each first sentence and its partner in others."""
    vectors = []
    for texts in ([group[0] for group in groups], others):
        ids, mask = tokenizer(texts)
        with torch.no_grad():
            vectors.append(model.sentence_vectors(model(ids, mask), mask))
    return (vectors[0] * vectors[1]).sum(1)


paraphrase = closeness([group[1] for group in groups])
trap = closeness([group[2] for group in groups])

# %%
best_trap = groups[(trap - paraphrase).argmax()]
plots.heatmap(
    torch.stack([paraphrase, trap], 1),
    rows=[group[0] for group in groups],
    columns=["paraphrase", "trap"],
    title=f"The best trap: “{best_trap[2]}”",
)

# %% [markdown]
# How good is that? A baseline helps: count the *shared words*, as a simple search would.


# %%
def shared(a, b):
    """The share of common words among all words of two sentences."""
    first, second = ({w.strip(".,?").lower() for w in text.split()} for text in (a, b))
    return len(first & second) / len(first | second)


right = (paraphrase > trap).sum().item()
right_by_words = sum(shared(a, b) > shared(a, c) for a, b, c in groups)
print(right, "by the encoder,", right_by_words, "by shared words")

# %%
claim("00-paraphrases", right) if real else "needs the real encoder"

# %%
outcome("00-paraphrase", "5 to 7")

# %% [markdown]
# The traps were built to fool a count of words, so its score is no surprise. The encoder is far better. Where it is wrong, it is wrong in a telling way: look at the soup.

# %%
claim("00-opposites-look-alike", trap[6]) if real else "needs the real encoder"

# %% [markdown]
# "Too hot" and "too cold" stand in the same places in the same kind of texts, and those texts are all that the model had to learn from. Closeness here means *said in the same situations*. It does not mean *says the same*.
#
# ## Is this the real thing?
# A picture from another model would be worthless. So: the same weights, put into torch's own `nn.TransformerEncoder`. How far apart are the two outputs?

# %%
from transformer_lab.twins import torch_states

ids, mask = tokenizer(sentences)
with torch.no_grad():
    ours, theirs = model(ids, mask), torch_states(model, ids, mask)
claim("00-equals-torch", (ours - theirs)[mask].abs().max())

# %% [markdown]
# While you recorded attention, the model was not changed either: the package computes the weights a second time, beside it.
#
# ## Now watch one learn
# That model was finished before you came. This one starts from noise, here, now: an **encoder–decoder** that has to translate numbers from English into German. The encoder reads, the **decoder** writes. German says the units before the tens, "two-and-forty", so it cannot translate word by word.

# %%
task = tasks.NumberWords(train=800, held_out=200, below=1_000, seed=0)
for number in (42, 342, 907):
    print(number, *tasks.english(number), "→", *tasks.german(number))

# %%
predict(
    "00-translator",
    "It sees 800 numbers, a few seconds long. Of 200 numbers that it never saw, it gets right …",
    ["almost none", "about half", "more than nine in ten"],
)

# %% [markdown]
# Three runs, each from other noise and with other numbers **held out**, which it never trains on, so that you see more than luck. `train` hands back one step at a time; we keep the **loss** of each: how wrong the model is.


# %% tags=["nbval-ignore-output", "this-machine"]
def learn(seed):
    """A trained translator, its task, and the loss of each step."""
    torch.manual_seed(seed)
    task = tasks.NumberWords(train=800, held_out=200, below=1_000, seed=seed)
    config = ModelConfig(len(task.german), pad_id=0, activation="relu", scale_embeddings=True)
    model = EncoderDecoder(config, source_vocab_size=len(task.english))
    steps = train(model, task.batches(64, seed), steps=100, rate=5e-3, warmup=20)
    return model, task, [step.loss for step in tqdm(steps, f"run {seed}", 100, file=sys.stdout)]


runs = [learn(seed) for seed in range(3)]

# %% tags=["nbval-ignore-output"]
translator, task, losses = runs[0]
plots.loss_curve(
    range(1, 101),
    losses,
    baselines={"knows nothing": torch.tensor(float(len(task.german))).log().item()},
    title="A hundred steps from noise to German",
)

# %% [markdown]
# The grey line is the loss of a model that knows nothing: every piece equally likely. Now the test that counts: held-out numbers, written *token by token*, whole words right or not at all.


# %%
def share_right(translator, task):
    """Held-out numbers whose German word is right from the first piece to the last."""
    source, _ = task.pairs(task.held_out)
    start = torch.full((len(source), 1), task.german.START)
    written = generate(translator, start, 12, source=source, end_id=task.german.END)
    words = ["".join(task.german.decode(ids)) for ids in written]
    return sum(w == "".join(tasks.german(n)) for w, n in zip(words, task.held_out)) / len(words)


claim("00-translator", [share_right(translator, task) for translator, task, _ in runs])

# %%
outcome("00-translator", "more than nine in ten")

# %% [markdown]
# ## What does the translator look at?
# While it writes a piece, the decoder looks at the English words. This is **cross-attention**. Rows are the German pieces that it has written so far, columns the English words. Look for the crossing: where is it looking just before it writes "zwei", and where before "vier"?

# %% tags=["nbval-ignore-output"]
source, target = task.pairs([342])
with torch.no_grad(), record_attention(translator) as recorded:
    translator(source, target[:, :-1])
AttentionExplorer(
    {name: table for name, table in recorded.items() if "cross" in name},
    tokens=["<start>", *tasks.german(342)],
    looked_at=tasks.english(342),
    title="Cross-attention: German pieces look at English words",
)

# %% [markdown]
# A row is the piece that was *just written*; its weights help to choose the *next* one. So the row of "und" is where it needs "forty". Lesson 08 scores this against the true alignment, head by head.

# %% [markdown]
# ## Where this lives
# Nothing in this lesson is a picture of something else. `transformer_lab/models.py` holds the encoder and the translator, `attention.py` the heads, `recording.py` the way in. You will have written all of them by lesson 08.
#
# ## Summary
# A Transformer turns each token into a state by letting tokens look at each other. Each head has its own table of weights, and each row of it sums to 1. Some heads do one clear job. Much of the weight lands on marks that mean nothing. So a weight says where a head looks, and no more.
#
# **Next:** [01 · Why not RNNs](01_why_not_rnns.ipynb): what was there before attention, and where it fails.
