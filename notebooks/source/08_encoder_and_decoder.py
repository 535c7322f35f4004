# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · How does it translate?
#
# You have all the parts. Now they do the job for which Vaswani et al. put them together in 2017: one stack of layers reads a text, another writes its translation. You train it in seconds, ask what each half gives the other, and break it.
#
# **After this lesson you can**
# - build the two halves, and say whose queries meet whose keys and values;
# - say why training takes one pass and writing takes many, and what the shift is for;
# - judge a translator honestly: unseen texts, whole answers, no padding in the score.
#
# About 50 minutes to read and touch, 45 for seven exercises. You need: lessons 02 and 04 to 07. Terms: [glossary](glossary.ipynb).

# %%
import sys

import torch
import torch.nn.functional as F
from tqdm import tqdm

from transformer_lab import plots, tasks
from transformer_lab.claims import claim
from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.exercises import check, hint, progress, reveal
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.instruments.translator import Translator
from transformer_lab.models import EncoderDecoder
from transformer_lab.tokens import pad
from transformer_lab.training import next_token_loss, train

START, END = 1, 2
_ = torch.manual_seed(0)

# %% [markdown]
# ## The job
# Numbers below 10,000, from English words to one German word. German says the units before the tens, "two-and-forty", and glues all of it together. The **source** is read in words, the **target** is written in pieces. Ids 0, 1 and 2 are padding, `<start>` and `<end>`.

# %%
words = tasks.NumberWords(train=3_000, held_out=1_000, seed=0)
for number in (42, 342, 7_016):
    print(number, *tasks.english(number), "→", *tasks.german(number))
english_ids, german_ids = words.pairs([42])
print(english_ids.tolist(), "→", german_ids.tolist())

# %% [markdown]
# 3,000 numbers to learn from. Another 1,000 are **held out**: never trained on, used only to test.
#
# ## Watch it learn
# At first it does worse than a model that knows nothing, since its noise is sure of itself. Then the loss falls.

# %%
predict(
    "08-low-loss",
    "When the loss has fallen to a quarter of where it began, how many unseen numbers come out right?",
    ["about three quarters", "about a quarter", "almost none"],
)


# %%
def new_translator(task, seed):
    """An encoder–decoder of two layers each, from noise."""
    torch.manual_seed(seed)
    sizes = {"d_model": 64, "d_ff": 128, "activation": "relu"}
    config = ModelConfig(len(task.german), pad_id=0, scale_embeddings=True, **sizes)
    return EncoderDecoder(config, source_vocab_size=len(task.english))


from transformer_lab.instruments.live import LiveTraining

SETTINGS = {"rate": 5e-3, "warmup": 20}
live = LiveTraining(
    new_translator(words, 0), words, 120, batch=32, **SETTINGS, title="From noise to German"
)
live

# %% [markdown]
# Press *Start*. The first curve is the loss, the second the share of unseen numbers that come out right. The table is where the decoder looks while it writes one of them: a row for each German piece, a column for each English word, a frame at the true word. Watch which comes first, the low loss or the right numbers.
#
# The next cell finishes it, in case you did not press anything, and shows the same instrument again.

# %% tags=["nbval-ignore-output"]
live.run()

# %% [markdown]
# ## What counts as right
# The loss is a mean over pieces. A reader wants the whole word. "sechs-und-vierzig" for 42 has three pieces of four right, and is a wrong number. The measure is **exact match**: the share of texts that are right from the first piece to `<end>`.

# %% [markdown]
# ### Exercise: exact_match


# %%
def my_match(written, targets, end):
    """(B, T), (B, T) -> the share of rows that agree up to the target's first end."""
    raise NotImplementedError


verdict = check("exact_match", my_match)
exact_match = verdict.working
verdict

# %% [markdown]
# From here on the lesson uses your function, if it passed; else the package's.


# %%
def translate(model, source, **options):
    """What the model writes, without <start>, at most 12 pieces: (B, S) -> (B, 12)."""
    start = torch.full((len(source), 1), START)
    written = generate(model, start, 12, source=source, end_id=END, **options)[:, 1:]
    return F.pad(written, (0, 12 - written.shape[1]), value=END)


def share_right(model, task, **options):
    """Exact match on the held-out part of a task."""
    source, target = task.pairs(task.held_out)
    target = F.pad(target[:, 1:], (0, 13 - target.shape[1]))
    return float(exact_match(translate(model, source, **options), target, END))


# %% tags=["nbval-ignore-output", "this-machine"]
def right_at_low_loss(seed):
    """Exact match at the first step whose loss is a quarter of the first one."""
    task = tasks.NumberWords(train=3_000, held_out=1_000, seed=seed)
    model = new_translator(task, seed)
    steps = train(model, task.batches(32, seed), steps=120, **SETTINGS)
    first = next(steps).loss
    for step in steps:
        if step.loss < first / 4:
            return share_right(model, task)


at_low = [right_at_low_loss(seed) for seed in tqdm(range(3), file=sys.stdout)]

# %%
claim("08-low-loss", at_low)

# %%
outcome("08-low-loss", "almost none")

# %% [markdown]
# A model that knows which pieces are frequent, and which follow which, has a much better loss and no right number. A falling loss is no proof that the job is done. Look at what is written.

# %% [markdown]
# ## How many examples does it need?

# %%
predict(
    "08-examples",
    "Trained on 300 pairs, 3 in 100 of all numbers, it gets of the unseen ones …",
    ["fewer than one in ten right", "about half right", "more than eight in ten right"],
)


# %% [markdown]
# Five sizes, three runs each: other noise, other numbers. This takes about a minute.


# %% tags=["nbval-ignore-output", "this-machine"]
def learn(task, seed, steps=250, loss=None):
    """A translator, trained."""
    model = new_translator(task, seed)
    for _ in train(model, task.batches(32, seed), steps, loss=loss, **SETTINGS):
        pass
    return model


sizes, runs = [50, 100, 300, 1_000, 3_000], {}
for N, seed in tqdm([(N, seed) for N in sizes for seed in range(3)], file=sys.stdout):
    data = tasks.NumberWords(train=N, held_out=1_000, seed=seed)
    runs[N, seed] = learn(data, seed), data

# %% tags=["nbval-ignore-output"]
right = torch.tensor([[share_right(*runs[N, seed]) for seed in range(3)] for N in sizes])
plots.lines(
    sizes,
    [right.mean(1)],
    ["exact match"],
    xlabel="pairs to learn from",
    ylabel="held-out numbers right",
    log="x",
    low=[right.amin(1)],
    high=[right.amax(1)],
    title="A few hundred examples carry it to ten thousand numbers",
)

# %%
claim("08-from-50", right[0])

# %%
claim("08-from-300", right[2])

# %%
claim("08-from-3000", right[4])

# %%
outcome("08-examples", "more than eight in ten right")

# %% [markdown]
# It does not learn numbers by heart: most of the 1,000 it never saw, and they come out right. It has found the parts, "forty", "hundred", and how they go together. Or has it? With 3,000 of 10,000 numbers at random, every pair of tens and units has come up about 30 times: "forty two" after this thousand, after that hundred.
#
# So take one pair away. No training number says "forty two"; all held-out ones do. It knows "forty" from 47 and "two" from 92. This is a **compositional split**.

# %%
predict(
    "08-never-42",
    "Trained on 3,000 numbers that never say “forty two”, it gets of those that do …",
    ["none right", "about half right", "nearly all right"],
)

# %% tags=["nbval-ignore-output", "this-machine"]
never_42 = []
for seed in tqdm(range(3), file=sys.stdout):
    no_42 = tasks.NumberWords(train=3_000, held_out=100, seed=seed, without=42)
    never_42.append(share_right(learn(no_42, seed), no_42))

# %%
claim("08-never-42", never_42)

# %%
outcome("08-never-42", "nearly all right")

# %% [markdown]
# You may have read that such networks only repeat combinations that they have seen. Here they do not: one pair is missing, "forty" has met every other unit and "two" every other ten, and the two are put together as if they had met. It is one small hole in a full table. Trained on 50 pairs, the table is mostly holes, and you saw how that ends.
#
# From here on, `model` is the first translator of 3,000 pairs.
#
# ## What does the encoder hand over?
# The encoder is the stack of lesson 07, and it has read the whole source before the first piece is written.

# %% tags=["q-22"]
predict(
    "08-states",
    "It has read “three hundred and forty two”. What does the decoder get from it?",
    [
        "one vector that holds the meaning",
        "one vector for each word",
        "the vector of the last word",
    ],
)

# %% tags=["q-22"]
model, task = runs[3_000, 0]
source, _ = task.pairs([342])
with torch.no_grad():
    states = model.encode(source)
print("source (B, S):", tuple(source.shape), " states (B, S, D):", tuple(states.shape))

# %% tags=["q-22"]
outcome("08-states", "one vector for each word")

# %% [markdown]
# One **state** per word: its own word, seen in this company. There is no bottleneck in which a sentence of any length must fit. Is there an order in them? Take the embedded words, positions already added, and shuffle them.

# %% tags=["q-22"]
order = torch.tensor([3, 0, 4, 1, 2])
with torch.no_grad():
    x, _ = model.source_embedding(source)
    x = x[:, order]
    for layer in model.encoder:
        x = layer(x)
    shuffled = model.encoder_norm(x)
claim("08-states-permute", (shuffled - states[:, order]).abs().max())

# %% [markdown]
# The states come out in the shuffled order, and each is what it was. So the encoder's output is a *set* of states that know their place, not a sentence vector.
#
# ## Who asks, and who is asked?
# A decoder layer is an encoder layer, causal, with one attention more between its two parts: **cross-attention**. The formula is the old one. Only the two sides differ.

# %% tags=["q-20"]
predict(
    "08-cross",
    "In cross-attention, the encoder's states become …",
    ["the queries", "the keys, and the values", "the keys; values are the decoder's own"],
)

# %% tags=["q-20"]
cross = model.decoder[0].cross_attention
written = torch.randn(1, 3, 64)  # the decoder's side: 3 places
with torch.no_grad():
    query, (key, value) = cross.queries(written), cross.keys_values(states)
    found = cross(written, states)
    mixed = cross(written, states[:, order])
for name, x in (("query", query), ("key", key), ("value", value), ("found", found)):
    print(f"{name:6} {tuple(x.shape)}")
claim("08-order-of-states", (found - mixed).abs().max())

# %% tags=["q-20"]
outcome("08-cross", "the keys, and the values")

# %% [markdown]
# 3 places ask, 5 words answer: the weights are a rectangle, (T, S), and the result has a row for each that *asked*. Shuffle the states, and nothing moves: key and value travel together, it is a look into a dictionary. Choose T ≠ S whenever you test such code. With T = S, the sides can be swapped and every shape still fits.

# %% [markdown]
# ### Exercise: cross_attention


# %%
def my_cross(decoder, encoder, to_query, to_key, to_value, real):
    """(B, T, D), (B, S, D), three (D, d), bool (B, S) -> (B, T, d)."""
    raise NotImplementedError


check("cross_attention", my_cross)

# %% [markdown]
# And whose mask is it? It hides *columns*, and the columns are the source's. So it is the padding of the *source*, and it has no causal part. If it holds, the translation cannot depend on how far the source was padded.

# %% tags=["q-20"]
fifty, answers = task.pairs(task.held_out[:50])
with torch.no_grad():
    alone, padded = (model(s, answers[:, :-1]) for s in (fifty, F.pad(fifty, (0, 4))))
claim("08-source-padding", (alone - padded).abs().max())

# %% [markdown]
# ## Which encoder layer feeds which decoder layer?
# In drawings, arrows run from a column of boxes to a column of boxes. Two encoder layers, two decoder layers: who reads whom?

# %% tags=["q-21"]
predict(
    "08-which-layer",
    "Decoder layer 0 reads the output of …",
    ["encoder layer 0, its neighbour", "encoder layer 1, the last", "both"],
)

# %% [markdown]
# `patch` puts other numbers at a place in the model, for the length of a `with` block. First noise behind encoder layer 0: the logits must move. Then the same noise, and the last layer's true output put back: now only a reader of layer 0 could tell.

# %% tags=["q-21"]
from transformer_lab.recording import patch, record_stream

with torch.no_grad():
    with record_stream(model) as stream:
        plain = model(fifty, answers[:, :-1])
    noise = (None, torch.randn_like(stream["encoder.0"]))
    with patch(model, {"encoder.0": noise}):
        moved = (model(fifty, answers[:, :-1]) - plain).abs().max()
    with patch(model, {"encoder.0": noise, "encoder.1": (None, stream["encoder.1"])}):
        held = (model(fifty, answers[:, :-1]) - plain).abs().max()
claim("08-early-layer-matters", moved)

# %% tags=["q-21"]
claim("08-only-the-last-is-read", held)

# %% tags=["q-21"]
outcome("08-which-layer", "encoder layer 1, the last")

# %% [markdown]
# Exactly nothing moves. Early layers count only for what they do to the last one. All decoder layers read the same states, once computed: every decoder layer has its own matrices to make keys and values of them.
#
# ## What does the decoder read while it learns?
# The right answer. At each place it has read everything *before* that place, and predicts what comes next. So its input is the target, one place late: this is the **shift**.

# %%
_, shown = task.pairs([42])
for name, ids in (("reads", shown[0, :-1]), ("predicts", shown[0, 1:])):
    print(f"{name:9}", *(f"{task.german.pieces[i]:8}" for i in ids))

# %% [markdown]
# ### Exercise: shift_right


# %%
def my_shift(targets, start):
    """(B, T) -> (B, T): start, then the targets without their last."""
    raise NotImplementedError


check("shift_right", my_shift)

# %% tags=["q-17"]
predict(
    "08-no-shift",
    "You forget the shift: the decoder reads the targets as they are, under its causal mask. After 60 steps …",
    [
        "the loss is near 0 and it translates",
        "the loss is near 0 and it only copies",
        "nothing is learned",
    ],
)


# %% tags=["q-17", "nbval-ignore-output", "this-machine"]
def without_shift(model, batch):
    source, target = batch
    logits = model(source, target[:, 1:])  # place t reads target t, and has to predict it
    return F.cross_entropy(logits.mT, target[:, 1:], ignore_index=0)  # wants (B, V, T)


three = [runs[3_000, seed][1] for seed in range(3)]
copiers = [learn(t, seed, 60, without_shift) for seed, t in enumerate(tqdm(three, file=sys.stdout))]

# %% tags=["q-17"]
with torch.no_grad():
    losses = [without_shift(m, t.pairs(t.held_out)) for m, t in zip(copiers, three)]
claim("08-no-shift-loss", losses)

# %% tags=["q-17"]
claim("08-no-shift-right", [share_right(m, t) for m, t in zip(copiers, three)])

# %% [markdown]
# A loss that you will never reach by translating, and not one number right. Give it the first piece, the right one, and let it go on.

# %% tags=["q-17"]
unseen, written_right = task.pairs(task.held_out)
texts = [generate(copier, written_right[:, 1:2], 6, source=unseen) for copier in copiers]
print(*(task.german.pieces[i] for i in texts[0][0]))
claim("08-no-shift-copies", [(t[:, 1:] == t[:, :-1]).float().mean() for t in texts])

# %% tags=["q-17"]
outcome("08-no-shift", "the loss is near 0 and it only copies")

# %% [markdown]
# It says what it just read, for ever. The causal mask was in place: it hides the places *after* t, and without the shift the answer stands *at* t. Mask and shift are two halves of one promise: no place reads what it must predict. Lesson 04 took away the other half.
#
# ## One pass or many?
# With the shift, every place has its own question and its own answer. How often must the decoder run? A hook on its last map counts.

# %% tags=["q-18"]
predict(
    "08-passes",
    "A target of 9 pieces. Decoder passes to train on it, and to write it …",
    ["1 and 1", "1 and 9", "9 and 9"],
)

# %% tags=["q-18"]
passes = []
counter = model.head.register_forward_hook(lambda *_: passes.append(1))
long, its_target = task.pairs([9_999])
with torch.no_grad():
    model(long, its_target[:, :-1])
training = len(passes)
generate(model, torch.tensor([[START]]), 12, source=long, end_id=END)
counter.remove()
print(its_target.shape[1] - 1, "pieces to predict,", training, "pass to train")
claim("08-passes", len(passes) - training)

# %% tags=["q-18"]
outcome("08-passes", "1 and 9")

# %% [markdown]
# Training is parallel because the answer is known. Writing is not: piece 5 needs piece 4. Generation stays sequential, in a Transformer as in an RNN.
#
# There is a second difference. In training, a place reads the *right* beginning, even if the model would have written another: **teacher forcing**. When it writes, it reads its own words: **free running**. Is that worse? We ask the weakest translator, of 50 pairs.

# %% tags=["q-18"]
predict(
    "08-teacher",
    "At the sixth piece, with its own beginning in place of the right one, the share of right pieces is …",
    ["the same", "lower", "higher: it knows its own words"],
)


# %% tags=["q-18"]
def by_position(model, task):
    """Share of right pieces at each place, teacher-forced and free-running: (2, T)."""
    source, target = task.pairs(task.held_out)
    expected = target[:, 1:]
    real = expected != 0
    with torch.no_grad():
        forced = model(source, target[:, :-1]).argmax(-1)
    free = translate(model, source)[:, : expected.shape[1]]
    hits = [((pieces == expected) & real).sum(0) / real.sum(0) for pieces in (forced, free)]
    return torch.stack(hits)


weak = torch.stack([by_position(*runs[50, seed]) for seed in range(3)])

# %% tags=["q-18", "nbval-ignore-output"]
plots.lines(
    range(1, 10),
    [*weak.mean(0)],
    ["right beginning", "own beginning"],
    xlabel="piece",
    ylabel="share right",
    title="Its own beginning misleads it",
)

# %% tags=["q-18"]
claim("08-teacher-gap", weak[:, 0, 5] - weak[:, 1, 5])

# %% tags=["q-18"]
outcome("08-teacher", "lower")

# %% [markdown]
# The right beginning hides mistakes. A wrong piece changes all that comes behind it. Look at the second place and the last two: "tausend", "zig" and `<end>` are easy, and they lift every share of pieces. Exact match needs all places at once; you measured it for this translator above, and it is far lower. Never report the teacher-forced share as if it were the quality of what is written.
#
# ## Padding must not be in the score
# Targets of a batch differ in length; short ones are filled up. If the loss counts the filling as pieces to predict, what happens?

# %% tags=["q-13"]
predict(
    "08-padding",
    "A model learned with padding in its loss. You append 40 more to every target. That loss …",
    ["stays", "rises: more to predict", "falls: the translator looks better"],
)


# %% tags=["q-13", "nbval-ignore-output", "this-machine"]
def counting_padding(model, batch):
    source, target = batch
    return F.cross_entropy(model(source, target[:, :-1]).mT, target[:, 1:])


few = [runs[50, seed][1] for seed in range(3)]
careless = [
    learn(task, seed, 100, counting_padding) for seed, task in enumerate(tqdm(few, file=sys.stdout))
]


# %% tags=["q-13"]
def scores(model, task, k):
    """With k more paddings: loss and accuracy that count padding, and the loss that does not."""
    source, target = task.pairs(task.held_out)
    batch = source, F.pad(target, (0, k))
    with torch.no_grad():
        hits = model(source, batch[1][:, :-1]).argmax(-1) == batch[1][:, 1:]
        return counting_padding(model, batch), hits.float().mean(), next_token_loss(model, batch)


table = torch.tensor([[scores(m, t, k) for k in (0, 10, 40)] for m, t in zip(careless, few)])

# %% tags=["q-13", "nbval-ignore-output"]
plots.lines(
    (0, 10, 40),
    [table[0, :, 0], table[0, :, 2]],
    ["padding counted", "left out"],
    xlabel="paddings appended",
    ylabel="loss (nats)",
    title="Same model, same words: padding alone lowers the loss",
)

# %% tags=["q-13"]
claim("08-padding-flatters", table[:, 2, 1] - table[:, 0, 1])

# %% tags=["q-13"]
claim("08-padding-left-out", (table[:, 2, 2] / table[:, 0, 2] - 1).abs())

# %% tags=["q-13"]
outcome("08-padding", "falls: the translator looks better")

# %% [markdown]
# The words are as wrong as before. Only the padding is right, and there is more of it. A score that you can raise by choosing longer batches measures your batches.

# %% [markdown]
# ### Exercise: loss_without_padding


# %%
def my_loss(logits, targets, pad_id):
    """(B, T, V), (B, T) -> the mean cross-entropy of the targets that are not pad_id."""
    raise NotImplementedError


check("loss_without_padding", my_loss)

# %% [markdown]
# ## How is a translation written?
# Take the likeliest piece, append it, ask again: **greedy** decoding.
#
# ### Exercise: greedy_decode


# %%
def my_decode(step, start, end, max_len):
    """step: list of ids -> logits (T, V). Returns the list of new ids."""
    raise NotImplementedError


check("greedy_decode", my_decode)

# %% [markdown]
# In a batch, short sources are padded and short texts wait for long ones. Nothing of that may change a word. A hundred numbers, together and one by one:

# %%
numbers = task.held_out[:100]
together = translate(model, task.pairs(numbers)[0])
one_by_one = torch.cat([translate(model, task.pairs([number])[0]) for number in numbers])
claim("08-batched-is-single", (together == one_by_one).all(1))

# %% [markdown]
# Now step it yourself. This is the weak translator, of 50 pairs. Each *Next* writes one piece: you see what it expected, how sure it was, and where it looked. Find a number that it gets wrong, and the step at which it happens. Then widen the search to four.

# %% tags=["nbval-ignore-output"]
weak_model, weak_task = runs[50, 0]
Translator(weak_model, weak_task.english, weak_task.german, "655", title="A translator of 50 pairs")

# %% [markdown]
# Greedy never takes a choice back. **Beam search** keeps several texts, and of all their continuations the likeliest few. It finds texts that are likelier as a whole.

# %%
predict(
    "08-beam",
    "Four beams in place of one. Of the weak translator's numbers, exact match …",
    ["rises by more than 5 in 100", "moves by less than 5 in 100", "falls by more than 5 in 100"],
)


# %%
def log_probability(model, source, written):
    """How likely each written text is to the model, up to its end: (B, S), (B, T) -> (B,)."""
    read = F.pad(written, (1, 0), value=START)[:, :-1]
    with torch.no_grad():
        logs = model(source, read).log_softmax(-1)
    ended = (written == END).cumsum(1) - (written == END).long()
    return logs.gather(2, written[..., None])[..., 0].masked_fill(ended > 0, 0).sum(1)


gains, likelier = [], []
for seed in range(3):
    weak_model, weak_task = runs[50, seed]
    unsure, _ = weak_task.pairs(weak_task.held_out)
    logs = [
        log_probability(weak_model, unsure, translate(weak_model, unsure, beams=b)) for b in (1, 4)
    ]
    likelier.append((logs[1] - logs[0]).mean())
    gains.append(share_right(weak_model, weak_task, beams=4) - right[0, seed])

# %%
claim("08-beam-likelier", likelier)

# %%
claim("08-beam-gain", gains)

# %%
outcome("08-beam", "moves by less than 5 in 100")

# %% [markdown]
# Likelier, and hardly better. What is wrong is the model's opinion, and a wider search finds that opinion more exactly. Beams help where a model is good and greedy is careless; they do not know more than the model.

# %% [markdown]
# ### Exercise: beam_step


# %%
def my_beam(scores, logits, finished, end):
    """(W,), (W, V), bool (W,) -> scores, texts, tokens: (W,) each, the best W."""
    raise NotImplementedError


check("beam_step", my_beam)

# %% [markdown]
# ## Where does it look?
# For numbers the true **alignment** is known: "zwei" comes from "two", "vier" and "zig" both from "forty", and "und" from nothing. In each row, does the largest weight lie on the true word? A place without a true word does not count.

# %% [markdown]
# ### Exercise: alignment_score


# %%
def my_alignment(weights, truth):
    """(B, T, S), (B, T) with -1 for none -> the share of largest weights on the truth."""
    raise NotImplementedError


verdict = check("alignment_score", my_alignment)
alignment = verdict.working
verdict

# %%
predict(
    "08-heads",
    "Eight heads cross over, four in each layer. Their largest weight lies on the true word …",
    [
        "mostly, in each of them",
        "in some heads mostly, in others half of the time",
        "in no head more than half of the time",
    ],
)

# %% [markdown]
# Row t is what the decoder looks at *while it chooses* piece t: it has read everything before.

# %%
from transformer_lab.instruments.reading import read_number
from transformer_lab.recording import record_attention


def crossing(model, task):
    """How often the largest weight lies on the true word: eight heads, then their average."""
    source, target = task.pairs(task.held_out)
    truth = pad([read_number(str(n)).aligned for n in task.held_out], -1)
    with torch.no_grad(), record_attention(model) as weights:
        model(source, target[:, :-1])
    heads = torch.cat([table for name, table in weights.items() if "cross" in name], 1)
    each = [*heads.unbind(1), heads.mean(1)]
    return torch.tensor([float(alignment(table, truth)) for table in each])


scored = torch.stack([crossing(*runs[3_000, seed]) for seed in range(3)])

# %% tags=["nbval-ignore-output"]
plots.bars(
    [*(f"layer {i // 4}, head {i % 4}" for i in range(8)), "average of all"],
    scored[0],
    xlabel="largest weight on the true word (share of pieces)",
    title="Some heads follow the words, others do something else",
)

# %%
claim("08-best-head", scored[:, :8].amax(1))

# %%
claim("08-worst-head", scored[:, :8].amin(1))

# %%
claim("08-average-of-heads", scored[:, 8])

# %%
outcome("08-heads", "in some heads mostly, in others half of the time")

# %% [markdown]
# So a picture of one head can show you nearly a dictionary, or hardly one, from one and the same model. The average of all is close to the truth here. That is a fact about this task, where each piece comes from one word; do not expect it of real sentences. And a head that looks elsewhere is not idle: encoder states hold more than their own word, and weights are not importance (lesson 05).
#
# Step this one, which is nearly always right. Choose single heads, and find the step at which tens and units cross.

# %% tags=["nbval-ignore-output"]
Translator(model, task.english, task.german, "4242", title="Find the crossing")

# %% [markdown]
# ## Encoder, decoder, or both?
# You will meet three kinds of model: **encoder-only** (BERT, and the model of lesson 00), **decoder-only** (GPT, Llama), and the pair. How different are their layers? Here at the paper's size, 512 wide.

# %% tags=["q-19"]
predict(
    "08-kinds",
    "GPT is “decoder-only”. Which layer of the translator is a layer of GPT?",
    ["a decoder layer", "an encoder layer under a causal mask", "neither"],
)

# %% tags=["q-19"]
from transformer_lab.counting import count
from transformer_lab.layers import DecoderLayer, EncoderLayer
from transformer_lab.models import LanguageModel, TextEncoder

paper = ModelConfig(1_000, d_model=512, n_heads=8, d_ff=2_048, n_layers=1)
pair = EncoderDecoder(paper)
layers = [TextEncoder(paper).layers, pair.decoder, LanguageModel(paper).layers]
kinds = ["encoder-only", "decoder of a pair", "decoder-only"]
for name, layer in zip(kinds, layers):
    print(f"{name:18} {type(layer[0]).__name__:13} {count(layer[0]).total:10,}")
claim("08-one-layer-two-kinds", [count(layers[i][0]).total for i in (0, 2)])

# %% tags=["q-19"]
claim("08-decoder-layer", count(layers[1][0]).total)

# %% tags=["q-19"]
outcome("08-kinds", "an encoder layer under a causal mask")

# %% [markdown]
# One block with three switches: a causal mask or none, cross-attention or none, and where the output goes. "Decoder-only" says how it is *used*: it writes. It has no source to cross over to, so it has no cross-attention.
#
# A common summary says: *encoder = attention + feed-forward + layer norm; decoder = masked attention + layer norm + feed-forward*. Count what the second list leaves out.

# %% tags=["q-19"]
decoder = count(pair.decoder[0])
for name in ("attention", "cross-attention", "feed-forward"):
    parts = {part: n for part, n in decoder.items() if part.startswith(name)}
    norm = parts.pop(f"{name} norm")
    print(f"{name:16} {sum(parts.values()):10,}   its norm {norm:6,}")
missing = decoder.only("cross-attention")
claim("08-list-leaves-out", missing)

# %% [markdown]
# Cross-attention and its norm, the very part that reads the source. The list also leaves out what has no parameters: the residual connections around every part, and the masks. And a decoder layer has three norms, an encoder layer two.

# %% [markdown]
# ## Could a decoder alone translate?
# Write source and target one behind the other, English, `<start>`, German, and a decoder-only model reads the source as its own beginning. Most large models work like this. Is the second stack needed at all? Same data, same steps, as many parameters, the loss on the German half.

# %% tags=["q-19"]
predict(
    "08-alone",
    "300 pairs, equal parameters. Compared with the pair of stacks, the decoder alone is …",
    ["clearly worse", "within 10 in 100 of it", "clearly better"],
)


# %% tags=["q-19"]
def as_one_text(task, source, target):
    """English, <start>, German, <end> in one row: English ids follow the German ones."""
    behind = len(task.german) - 3
    rows = zip(source.tolist(), target.tolist())
    return pad([[i + behind for i in s if i] + [i for i in t if i] for s, t in rows])


def german_loss(model, ids):
    german = (ids == START).cumsum(1)[:, :-1] > 0
    expected = ids[:, 1:].masked_fill(~german, 0)
    return F.cross_entropy(model(ids[:, :-1]).mT, expected, ignore_index=0)


# %% tags=["q-19", "nbval-ignore-output", "this-machine"]
from transformer_lab.initialise import glorot


def decoder_alone(task, seed):
    """Four causal layers, trained like the pair."""
    torch.manual_seed(seed)
    V = len(task.german) + len(task.english) - 3
    sizes = {"d_model": 64, "d_ff": 194, "n_layers": 4, "activation": "relu"}
    config = ModelConfig(V, pad_id=0, scale_embeddings=True, **sizes)
    model = LanguageModel(config).apply(glorot)
    texts = (as_one_text(task, *batch) for batch in task.batches(32, seed))
    for _ in train(model, texts, 250, loss=german_loss, **SETTINGS):
        pass
    return model


tasks_300 = [runs[300, seed][1] for seed in range(3)]
lonely = [decoder_alone(t, seed) for seed, t in enumerate(tqdm(tasks_300, file=sys.stdout))]

# %% tags=["q-19"]
sizes_of_both = [count(m).total for m in (runs[300, 0][0], lonely[0])]
print(f"the pair {sizes_of_both[0]:,}, alone {sizes_of_both[1]:,} parameters")
claim("08-equal-parameters", sizes_of_both[1] / sizes_of_both[0] - 1)

# %% [markdown]
# To write, it gets English and `<start>` as a prompt. Prompts of different lengths are padded at the left, since the next piece is written at the right.

# %% tags=["q-19"]
from transformer_lab.writer import left_pad


def alone_right(model, task):
    """Exact match of the decoder-only model on the held-out numbers."""
    source, target = task.pairs(task.held_out)
    target = F.pad(target[:, 1:], (0, 13 - target.shape[1]))
    only_start = torch.full((len(source), 1), START)
    texts = as_one_text(task, source, only_start).tolist()
    prompts, real = left_pad([[i for i in text if i] for text in texts])
    texts = generate(model, prompts, 12, mask=real, end_id=END)[:, prompts.shape[1] :]
    return float(exact_match(F.pad(texts, (0, 12 - texts.shape[1]), value=END), target, END))


alone = torch.tensor([alone_right(m, t) for m, t in zip(lonely, tasks_300)])
claim("08-decoder-alone", alone)

# %% tags=["q-19"]
claim("08-alone-against-pair", alone - right[2])

# %% tags=["q-19"]
outcome("08-alone", "within 10 in 100 of it")

# %% [markdown]
# Nearly as good: it stays within a few in 100 of the pair. With other seeds, one run came out ahead. It reads the source causally, each word without those behind it, and has one table for two languages. Still it keeps up, since all words are there to look back at by the time it must write. So the second stack is no necessity; the gain of doing without is one kind of layer for everything. (Three runs, one task, one size: no law.)

# %% [markdown]
# ## A harder job: dates
# Five languages, long and full formats, letter by letter, into ISO 8601. Now the source has up to 32 characters, and the model must find three fields in any order. A field may stand anywhere, so what counts is distance, not place: we take rotary positions (lesson 06).

# %%
five = ("en_US", "de_DE", "fr_FR", "es_ES", "it_IT")
dates = tasks.Dates(train=5_000, held_out=500, locales=five)
for style in dates.styles[::2]:
    print(dates.write(dates.held_out[0], *style), "→", dates.held_out[0])
print(dates.write(dates.held_out[0], *dates.styles[3]), "→", dates.held_out[0])

# %%
predict(
    "08-dates",
    "5,000 dates of 36,525 to learn from. Of the unseen ones, exact match is …",
    ["under 0.5: eleven characters must all be right", "about 0.9", "0.99 or more"],
)


# %% tags=["nbval-ignore-output", "this-machine"]
def learn_dates(seed, steps=400):
    """A task and its translator, trained."""
    task = tasks.Dates(5_000, 500, locales=five, seed=seed)
    torch.manual_seed(seed)
    sizes = {"d_model": 64, "d_ff": 128, "activation": "relu", "positions": "rotary"}
    config = ModelConfig(len(task.iso), pad_id=0, scale_embeddings=True, **sizes)
    model = EncoderDecoder(config, source_vocab_size=len(task.letters))
    batches = task.batches(32, seed)
    for _ in tqdm(train(model, batches, steps, 7e-3, 40), f"run {seed}", steps, file=sys.stdout):
        pass
    return model, task


dated = [learn_dates(seed) for seed in range(3)]

# %%
claim("08-dates", [share_right(*run) for run in dated])

# %%
outcome("08-dates", "0.99 or more")

# %% [markdown]
# Where does it look? The truth is known again: the year's digits, the month's name, the day's digits.

# %%
import re


def field_of_each(text):
    """For each character: 0 in the year, 1 in the month's name, 2 in the day, -1 elsewhere."""
    words = list(re.finditer(r"[^\W\d_]{3,}", text))  # the month is the last real word
    spans = re.search(r"\d{4}", text), words[-1], re.search(r"\b\d\d?\b", text)
    fields = [-1] * len(text)
    for number, span in enumerate(spans):
        fields[slice(*span.span())] = [number] * len(span[0])
    return fields


print(*zip("4 mai 2021", field_of_each("4 mai 2021")))


# %%
def looks_by_field(model, task):
    """Per head, how often the largest weight lies in the true field: (layers, heads)."""
    source, target = task.pairs(task.held_out)
    texts = ["".join(task.letters.decode(ids)) for ids in source]
    fields = pad([field_of_each(text) for text in texts], -1)
    truth = torch.tensor([0, 0, 0, 0, -1, 1, 1, -1, 2, 2, -1])  # YYYY-MM-DD and the end
    with torch.no_grad(), record_attention(model) as weights:
        model(source, target[:, :-1])
    tables = torch.stack([t for name, t in weights.items() if "cross" in name])
    largest = tables.argmax(-1)  # (L, B, H, T)
    found = fields[torch.arange(len(fields))[:, None, None], largest]
    return (found == truth)[..., truth >= 0].float().mean((1, 3))


fielded = torch.stack([looks_by_field(*run) for run in dated])

# %%
claim("08-dates-best-head", fielded.flatten(1).amax(1))

# %% tags=["nbval-ignore-output"]
date_model, date_task = dated[0]
layer, head = divmod(fielded[0].flatten().argmax().item(), 4)
french = date_task.letters.batch([date_task.write(date_task.held_out[0], "fr_FR")])
_, iso = date_task.pairs(date_task.held_out[:1])
with torch.no_grad(), record_attention(date_model) as weights:
    date_model(french, iso[:, :-1])
plots.heatmap(
    weights[f"decoder.{layer}.cross_attention"][0, head],
    rows=[*date_task.iso.decode(iso[0]), "<end>"],
    columns=date_task.letters.decode(french[0]),
    xlabel="read",
    ylabel="about to write",
    title="One head reads a date field by field",
)

# %% [markdown]
# Year, month, day, in the order in which they are *written*, wherever they stand in the source. Nobody told it what a month is. Digits it often finds exactly. Of the month one letter is enough: any that has seen the whole name will do.
#
# ## When it breaks
# Three errors that everybody meets. The messages are real: this cell makes them.

# %%
english, german = task.pairs([42, 7])
for wrong in (
    lambda: model(german, english),
    lambda: generate(model, german[:, :1], 12),
    lambda: model.decode(german[:, :-1], model.encode(english[:1]), None),
):
    try:
        wrong()
    except ValueError as error:
        print(error)

# %% [markdown]
# 1. **Source and target are swapped.** Two vocabularies, two embeddings: an id of one is a stranger to the other, or worse, another word.
# 2. **The decoder has no source.** It cannot cross over to nothing.
# 3. **Rows do not belong together.** Encode as many sources as you decode targets. For several beams of one text, repeat its states.
#
# The worst errors give no message: a missing shift, padding in the loss, keys from the wrong side. You have met all three.

# %% [markdown]
# ## Where this lives
# `transformer_lab/models.py`: `EncoderDecoder` with `encode` and `decode`. `layers.py`: `DecoderLayer`. `decoding.py`: `generate`, greedy and with beams. `training.py`: `next_token_loss`. `translation.py`: both tasks. `reveal("cross_attention")` shows how.
#
# ## Summary
# The encoder turns the source into one state per token. The decoder is a language model over its own shifted output; in every layer its queries meet keys and values made from the encoder's last states. Training takes one pass, writing one per piece. Judge what is written, whole, on what was never seen, and leave the padding out.
#
# **Next:** you have built every part of a Transformer. How many numbers are in it, and where?
