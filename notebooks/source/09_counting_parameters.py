# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 09 · Where are the parameters?
#
# Five sources count the same model, GPT-2 small, and give five numbers. You derive one formula, hold it against every model that you can find, and then explain the five.
#
# **After this lesson you can**
# - count any Transformer to the last parameter, from its config file alone;
# - say what the usual list of parameters forgets, and what it counts too often;
# - say what a model costs in arithmetic and in memory, and when attention is the larger part.
#
# About 45 minutes to read and touch, 45 for seven exercises. You need: lessons 02 to 08. Terms: [glossary](glossary.ipynb).

# %%
from dataclasses import replace

import torch
from torch import nn

from transformer_lab import plots
from transformer_lab.claims import claim
from transformer_lab.config import ModelConfig
from transformer_lab.counting import PRESETS, count, formula, layer_formula
from transformer_lab.exercises import check, hint, progress, reveal
from transformer_lab.instruments.predict import outcome, predict
from transformer_lab.skeleton import skeleton

_ = torch.manual_seed(0)

# %% [markdown]
# ## One model, five numbers
# A **parameter** is a number that training changes. How many has GPT-2 small? Five sources:
#
# | source | parameters |
# |---|---|
# | its paper (Radford et al. 2019, table 2) | 117 M |
# | its name today | 124 M |
# | the page of its weights at the Hugging Face hub | 137 M |
# | a table of models in TransformerLens, a library to look inside them | 85 M |
# | books that build it from scratch, before the last trick | 163 M |

# %% tags=["q-09"]
predict(
    "09-five",
    "How many of the five count something that is really there in this one model?",
    ["one", "two", "four", "all five"],
)

# %% [markdown]
# You will know at the end of the ledger below. First you need a count that is right.
#
# ## One head, one block
# A linear layer from n numbers to m holds n · m **weights** and m **biases**, one for each number that it puts out. A head has three of them, for query, key and value, each from D to d = D / H. Behind all heads stands one more, the output projection from D to D.

# %% tags=["q-24"]
D, H = 512, 8
d = D // H
head = 3 * (D * d + d)
output = D * D + D
theirs = sum(p.numel() for p in nn.MultiheadAttention(D, H).parameters())
print(f"{H} heads {H * head:,}, output {output:,}, torch {theirs:,}")
claim("09-block-term-by-term", H * head + output - theirs)

# %% [markdown]
# H heads of width D / H are three full matrices, D × D, whatever H is. With the output projection the block holds 4·D² weights and 4·D biases.
#
# ### Exercise: count_attention


# %%
def my_attention_count(D, H, K, bias):
    """The parameters of an attention block with K key/value heads."""
    raise NotImplementedError


check("count_attention", my_attention_count)

# %% [markdown]
# ## A layer
# A layer has an attention block, a feed-forward block and a norm for each. The feed-forward block goes from D to F, which is 4·D in most models, and back. A norm has a scale and a shift, D numbers each.

# %% tags=["q-39"]
predict(
    "09-two-thirds",
    "Of the parameters of a layer, the feed-forward block holds …",
    ["about a third", "about half", "about two thirds"],
)

# %% tags=["q-39"]
gpt2 = PRESETS["gpt2"]  # the sizes of the real model
layer = layer_formula(gpt2)
for name, amount in layer.items():
    print(f"{name:24}{amount:10,}")
feed_forward = layer.only("feed-forward weight", "feed-forward bias")
claim("09-feed-forward-two-thirds", feed_forward / layer.total)

# %% tags=["q-39"]
outcome("09-two-thirds", "about two thirds")

# %% [markdown]
# 8·D² against 4·D². (`only` adds up the components with these words in their names.) Attention carries something from token to token. The larger part of a layer works on each token alone, as you saw in lesson 07.
#
# ### Exercise: count_layer


# %%
def my_layer_count(D, F, bias):
    """The parameters of an encoder layer."""
    raise NotImplementedError


check("count_layer", my_layer_count)

# %% [markdown]
# ## What a decoder layer has more
# Short summaries say: an encoder layer has attention, a decoder layer has *masked* attention. So they would hold the same.

# %%
predict(
    "09-decoder",
    "A translator's decoder layer holds …",
    ["as much as an encoder layer", "about a third more", "twice as much"],
)

# %%
encoder, decoder = nn.TransformerEncoderLayer(512, 8), nn.TransformerDecoderLayer(512, 8)
more = count(decoder).total - count(encoder).total
print(f"encoder {count(encoder).total:,}, decoder {count(decoder).total:,}, more {more:,}")
claim("09-cross-attention-is-the-difference", more - (4 * 512**2 + 4 * 512) - 2 * 512)

# %%
stacks = nn.Transformer(batch_first=True, device="meta")  # six layers each, without tables
claim("09-torchs-default-stack", count(stacks).total)

# %%
claim("09-decoder-layer-share", count(decoder).total / count(encoder).total)

# %%
outcome("09-decoder", "about a third more")

# %% [markdown]
# A mask has no parameters. (On the device `meta` a module has shapes and no numbers, so it takes no memory.) The difference is the cross-attention of lesson 08: a whole block with four matrices of its own, and its norm.
#
# ### Exercise: count_decoder_layer


# %%
def my_decoder_count(D, F, cross):
    """The parameters of a decoder layer, with cross-attention or without."""
    raise NotImplementedError


check("count_decoder_layer", my_decoder_count)

# %% [markdown]
# ## A whole model
# Before the layers stand the tables: a vector of D numbers for each token of the vocabulary, V · D, and in GPT-2 one for each position. Behind the layers: a last norm, and the **output head** that gives a score to each token of the vocabulary. The head may use the token vectors as its matrix. It is **tied** then.

# %% [markdown]
# ### Exercise: count_model


# %% tags=["q-09"]
def my_model_count(V, max_len, D, L, tied):
    """The parameters of a language model built as GPT-2 is."""
    raise NotImplementedError


check("count_model", my_model_count)

# %% [markdown]
# From here on the package's `formula` counts: the same sum by component, for every choice of this course. Does a real module hold as much? A model of 70 billion does not fit into your memory. `skeleton` builds the very same module, again with shapes alone.

# %%
agree = [count(skeleton(preset)) == formula(preset) for preset in PRESETS.values()]
largest = max(PRESETS, key=lambda name: formula(PRESETS[name]).total)
print(f"{len(agree)} designs, the largest is {largest}: {formula(PRESETS[largest]).total:,}")
claim("09-formula-is-the-module", agree)

# %% [markdown]
# ## Real models, from their own files
# A published model comes with a file, `config.json`. It says all that a count needs. Families use other words for the same things: D is `n_embd` in one and `hidden_size` in the next. These are such files, shortened.

# %%
files = {}
about = {"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024}
about |= {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
for name, D, L, H in (
    ("gpt2", 768, 12, 12),
    ("gpt2-medium", 1024, 24, 16),
    ("gpt2-large", 1280, 36, 20),
    ("gpt2-xl", 1600, 48, 25),
    ("distilgpt2", 768, 6, 12),
):
    files[name] = about | {"n_embd": D, "n_layer": L, "n_head": H}

# %%
about = {"model_type": "bert", "vocab_size": 30522, "max_position_embeddings": 512}
about |= {"type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0}
for name, D, L, H in (
    ("bert-base", 768, 12, 12),
    ("bert-large", 1024, 24, 16),
    ("minilm", 384, 6, 12),
):
    sizes = {"hidden_size": D, "num_hidden_layers": L, "num_attention_heads": H}
    files[name] = about | sizes | {"intermediate_size": 4 * D}

# %%
for name, V, D, F, L, H, K, positions in (
    ("llama-2-7b", 32000, 4096, 11008, 32, 32, 32, 4096),
    ("llama-2-13b", 32000, 5120, 13824, 40, 40, 40, 4096),
    ("llama-2-70b", 32000, 8192, 28672, 80, 64, 8, 4096),
    ("llama-3-8b", 128256, 4096, 14336, 32, 32, 8, 8192),
    ("tinyllama", 32000, 2048, 5632, 22, 32, 4, 2048),
):
    files[name] = {"model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5}
    files[name] |= {"vocab_size": V, "hidden_size": D, "intermediate_size": F}
    files[name] |= {"num_hidden_layers": L, "num_attention_heads": H, "num_key_value_heads": K}
    files[name] |= {"max_position_embeddings": positions}

# %% [markdown]
# And this is what their published weights hold, from small to large.

# %%
published = {"minilm": 22_713_216, "distilgpt2": 81_912_576, "bert-base": 109_482_240}
published |= {"gpt2": 124_439_808, "bert-large": 335_141_888, "gpt2-medium": 354_823_168}
published |= {"gpt2-large": 774_030_080, "tinyllama": 1_100_048_384, "gpt2-xl": 1_557_611_200}
published |= {"llama-2-7b": 6_738_415_616, "llama-3-8b": 8_030_261_248}
published |= {"llama-2-13b": 13_015_864_320, "llama-2-70b": 68_976_648_192}

# %%
from transformer_lab.renaming import our_config

off = []
for name, held in published.items():
    config = our_config(files[name])  # their words -> the letters of this course
    kind = "encoder" if files[name]["model_type"] == "bert" else "decoder"
    off.append(formula(config, kind).total - held)
    print(f"{name:12} V {config.vocab_size:7,} {held:15,}  off by {off[-1]}")
claim("09-thirteen-real-models", off)

# %% [markdown]
# One formula, three families, from 23 million to 69 billion, and not one parameter off. Some of their parts are new to you, and small: BERT has a table for first and second text, a norm on the tables and a **pooler**, one more matrix. Llama has no biases, and a third matrix in its feed-forward block.
#
# One of them is on your disk, if you did lesson 00 with it. Ask the module itself.

# %%
from transformer_lab.checkpoints import load_pretrained

reader, _ = load_pretrained("minilm", fallback=True)
claim("09-the-weights-on-disk", count(reader).total - formula(reader.config, "encoder").total)

# %% [markdown]
# ## Where are they?
# The encoder of lesson 00, MiniLM, has six layers and a vocabulary of 30,522.

# %%
predict(
    "09-where",
    "Of MiniLM's 22.7 million parameters, the table of token vectors is …",
    ["under a tenth", "about a quarter", "more than half"],
)

# %%
shown = ["minilm-l6", "gpt2", "gpt2-xl", "llama-3-8b"]
tables = ("token embedding", "position embedding", "output head")
parts = {"tables and head": [], "attention": [], "feed-forward": [], "norms, rest": []}
for name in shown:
    model = formula(PRESETS[name])
    feed_forward = model.only("feed-forward weight", "feed-forward bias")
    attention = model.only("attention") - model.only("attention norm")
    amounts = [model.only(*tables), attention, feed_forward]
    for part, amount in zip(parts, [*amounts, model.total - sum(amounts)]):
        parts[part].append(amount / 1e6)
plots.stacked_bars(
    shown,
    parts,
    "Small models are tables, large ones are feed-forward",
    "share of the parameters; at the end, the total in millions",
    share=True,
)

# %%
minilm = formula(PRESETS["minilm-l6"])
claim("09-minilm-is-half-a-table", minilm["token embedding"] / minilm.total)

# %%
outcome("09-where", "more than half")

# %% [markdown]
# Tables grow with D, layers with D². So tables are half of a small model and nearly nothing of a large one, unless the vocabulary grows too.
#
# ## A budget
# You may spend ten million parameters, to within 1 %. At first the vocabulary is GPT-2's: 50,257 tokens.

# %%
predict(
    "09-budget",
    "With D = 256, how many layers does the budget pay for?",
    ["none", "about 4", "about 12"],
)

# %%
claim("09-budget-is-gone", 50_257 * 256)

# %%
outcome("09-budget", "none")

# %% [markdown]
# The token vectors alone are over. Now it is your turn. Reach ten million
# 1. with V = 50,257;
# 2. with V = 8,192, so that the same text has more and shorter tokens (lesson 10);
# 3. with the same D as in 2 and *twice the heads*. What changes?
#
# Which of the three would you rather train?

# %%
from transformer_lab.instruments.designer import ModelDesigner

ModelDesigner("gpt2", target=10_000_000, title="Ten million, and not one layer too many")

# %% [markdown]
# ## Twice used, once stored
# GPT-2's output head is the table of its token vectors. Here is a small pair, tied.

# %% tags=["q-10"]
predict(
    "09-tied",
    "parameters() of such a pair, 1,000 × 64, lists 64,000 numbers. state_dict(), made for a file, lists …",
    ["64,000 as well", "128,000"],
)

# %% tags=["q-10"]
table, head = nn.Embedding(1000, 64), nn.Linear(64, 1000, bias=False)
head.weight = table.weight
pair = nn.ModuleDict({"table": table, "head": head})
print("one place in memory:", head.weight.data_ptr() == table.weight.data_ptr())
print("parameters:", sum(p.numel() for p in pair.parameters()))
claim("09-tied-state-dict", sum(t.numel() for t in pair.state_dict().values()))

# %% tags=["q-10"]
outcome("09-tied", "128,000")

# %% [markdown]
# `state_dict` lists names, and one matrix has two of them here. Whoever counts a file's names counts it twice. A step of training that knows the head alone moves the table too:

# %% tags=["q-10"]
before = table.weight.detach().clone()
with torch.no_grad():
    head.weight -= 0.1  # what a step of gradient descent does
claim("09-a-step-moves-both", (before - table.weight).min())

# %% [markdown]
# Llama-3.2-1B is tied. Whoever calls it a 1.5 billion model has counted its 128,256 token vectors twice.

# %% tags=["q-10"]
llama = PRESETS["llama-3.2-1b"].config
print(f"{formula(llama).total:,}")
claim("09-llama-untied", formula(replace(llama, tie_embeddings=False)).total)

# %% [markdown]
# ## Stored, and not learned
# A module may keep a tensor that training does not change: a **buffer**. This one keeps sinusoids for 5,000 positions and a causal mask, as many programs do.

# %% tags=["q-40"]
predict(
    "09-buffers",
    "5,000 × 512 sinusoids and a mask of 1,024 × 1,024. How many parameters has the module?",
    ["none", "2.6 million: the mask does not count", "3.6 million"],
)

# %% tags=["q-40"]
from transformer_lab.masks import causal_mask
from transformer_lab.positions import sinusoidal

fixed = nn.Module()
fixed.register_buffer("waves", sinusoidal(5000, 512))
fixed.register_buffer("mask", causal_mask(1024))
print("parameters:", sum(p.numel() for p in fixed.parameters()))
claim("09-buffers-are-stored", sum(t.numel() for t in fixed.state_dict().values()))

# %% tags=["q-40"]
outcome("09-buffers", "none")

# %% [markdown]
# Again `state_dict` tells more than there is to learn. This package keeps such tensors out of its files (`persistent=False`), since they can be computed again.
#
# What else costs nothing? Sinusoidal, rotary and ALiBi positions, dropout, the number of heads. And biases cost next to nothing.

# %% tags=["q-40"]
bare = replace(gpt2.config, positions="none")
changes = [{"positions": kind} for kind in ("sinusoidal", "rotary", "alibi")]
changes += [{"n_heads": H, "n_kv_heads": H} for H in (1, 96)] + [{"dropout": 0.5}]
more = [formula(replace(bare, **change)).total - formula(bare).total for change in changes]
claim("09-computed-and-cut-is-free", more)

# %%
claim("09-biases-are-small", formula(gpt2).only("bias") / formula(gpt2).total)

# %% [markdown]
# ## The usual list
# Many summaries give this list of what a Transformer learns: *embeddings (token, position), query, key and value, feed-forward, layer norm, output.* Read it to the letter, each with a matrix of its own, and print it beside the truth.


# %%
def usual_list(preset):
    """The components that the list names, as if nothing were shared and nothing fixed."""
    config = replace(preset.config, tie_embeddings=False, positions="learned")
    forgotten = ("attention output", "bias", "cross-attention")
    parts = formula(config, preset.kind)
    return {name: n for name, n in parts.items() if not any(f in name for f in forgotten)}


# %%
def beside(preset):
    """Prints the list beside the truth; returns what it forgets and what it counts too much."""
    said, truth, forgets, too_much = usual_list(preset), formula(preset), 0, 0
    print(f"{'− forgotten, + too much':29}{'list':>11}{'truth':>11}")
    for name in said | truth:
        listed, real = said.get(name, 0), truth[name]
        forgets, too_much = forgets + max(real - listed, 0), too_much + max(listed - real, 0)
        note = " −" * (real > listed) + " +" * (real < listed)
        print(f"{name:29}{listed:11,}{real:11,}{note}")
    print(f"forgotten {forgets:,}   too much {too_much:,}")
    return forgets, too_much


claim("09-list-forgets", beside(gpt2)[0])

# %% [markdown]
# The list forgets what puts the heads together again, and all biases. "Output" is on it, and is the table of token vectors once more. Now the translator of 2017. Its positions are sinusoids.

# %%
claim("09-list-counts-too-much", beside(PRESETS["transformer-base"])[1])

# %% [markdown]
# Here the list also forgets a quarter of each decoder layer: cross-attention, with its norm. (The paper writes biases only into its feed-forward blocks. This preset has none, so there are none to forget.) And it counts positions that nobody learns. The two mistakes pull in opposite directions, and partly hide each other.
#
# ## The ledger
# Back to the five numbers. Each line is GPT-2 small, counted in another way.


# %% tags=["q-09"]
def total(without=(), **changes):
    """GPT-2 small, with choices changed and components left out."""
    return formula(replace(gpt2.config, **changes)).without(*without)


ledger = {
    "all, each once": total(),
    "output head not tied": total(tie_embeddings=False),
    "every number in its file: 12 masks more": total() + 12 * 1024**2,
    "matrices of the layers only": total(["embedding", "norm", "bias"]),
    "the same, with biases and norms": total(["embedding"]),
    "no biases on query, key, value": total(["query bias", "key bias", "value bias"]),
    "the usual list, tied": total(["attention output", "bias"]),
    "vocabulary of GPT-1": total(vocab_size=40_478),
    "V = 50,304, no biases, no positions": total(["position"], vocab_size=50_304, bias=False),
}
for name, amount in ledger.items():
    print(f"{name:40}{amount:12,}")

# %% tags=["q-09"]
printed = dict(zip(ledger, (124, 163, 137, 85)))  # the first four lines
claim("09-four-of-five", [abs(ledger[name] / 1e6 - label) for name, label in printed.items()])

# %% tags=["q-09"]
outcome("09-five", "four")

# %% [markdown]
# Four of the five count something real, each something else: all parameters once, the tied head twice, every number of the file with its twelve masks, the matrices of the layers. The last line of the ledger is one more that you will meet: nanoGPT, a well-known small program, prints "number of parameters: 123.59M" when it trains "GPT-2 124M".
#
# Always ask: whose number is this, and what did they switch?
#
# ## Where does 117 come from?
# The paper's table says 117, 345, 762 and 1542 million. The model as it is has 124, 355, 774 and 1,558. Two lines of the ledger come near 117.

# %% tags=["q-09"]
predict(
    "09-117",
    "Which of them fits all four sizes?",
    ["the usual list", "the vocabulary of GPT-1", "both", "neither"],
)

# %% tags=["q-09"]
labels = {"gpt2": 117, "gpt2-medium": 345, "gpt2-large": 762, "gpt2-xl": 1542}
by_list, by_vocabulary = [], []
for name, label in labels.items():
    listed = formula(PRESETS[name]).without("attention output", "bias") / 1e6
    older = formula(replace(PRESETS[name].config, vocab_size=40_478)).total / 1e6
    by_list.append(abs(listed - label))
    by_vocabulary.append(abs(older - label))
    print(f"{name:11} {label:5,}  list {listed:7,.1f}  vocabulary {older:7,.1f}")
claim("09-gpt1-vocabulary-fits-all-four", by_vocabulary)

# %% tags=["q-09"]
claim("09-usual-list-fits-one-by-accident", by_list[1:])

# %% tags=["q-09"]
outcome("09-117", "the vocabulary of GPT-1")

# %% [markdown]
# The arithmetic is exact: with the 40,478 tokens of the model before it, all four labels come out. That somebody counted with the old vocabulary is an *inference*. The authors have written that the counts in their paper were wrong due to an error, and not which error.
#
# That the usual list gives 117 as well is an accident. One number that fits proves nothing; four do more.

# %% [markdown]
# ## A table that does not follow from its text
# "Attention Is All You Need" describes its models in full, says that the vocabulary has about 37,000 tokens, and prints their sizes in table 3: base 65 million, big 213 million. Which vocabulary fits?
#
# ### Exercise: vocabulary_from_total


# %%
def my_vocabulary(millions, D, F, L):
    """The smallest and the largest V whose total rounds to so many millions."""
    raise NotImplementedError


verdict = check("vocabulary_from_total", my_vocabulary)
verdict

# %% [markdown]
# Now all rows of table 3 that give a size. `verdict.working` is your function if it passed, else the package's. In two rows, heads have narrower queries and keys; there you first put back what those matrices lack.

# %%
# millions, F, D, L, width of a query
rows = {"base": (65, 2048, 512, 6, 64), "N = 2": (36, 2048, 512, 2, 64)}
rows |= {"N = 4": (50, 2048, 512, 4, 64), "N = 8": (80, 2048, 512, 8, 64)}
rows |= {"D = 256": (28, 2048, 256, 6, 32), "D = 1024": (168, 2048, 1024, 6, 128)}
rows |= {"F = 1024": (53, 1024, 512, 6, 64), "F = 4096": (90, 4096, 512, 6, 64)}
rows |= {"d_k = 16": (58, 2048, 512, 6, 16), "d_k = 32": (60, 2048, 512, 6, 32)}
rows |= {"big": (213, 4096, 1024, 6, 64)}
fits = {}
for name, (millions, F, D, L, d_key) in rows.items():
    heads = 16 if name == "big" else 8
    lacking = 3 * L * 2 * (D + 1) * (D - heads * d_key) // D  # vectors of D numbers
    fits[name] = [V + lacking for V in verdict.working(millions, D, F, L)]
    print(f"{name:9} {millions:4} million   V from {fits[name][0]:,} to {fits[name][1]:,}")

# %%
big = fits.pop("big")
common = [max(V[0] for V in fits.values()), min(V[1] for V in fits.values())]
claim("09-one-vocabulary-fits-ten-rows", common)

# %%
claim("09-big-needs-a-smaller-one", big)

# %%
translators = (PRESETS["transformer-base"], PRESETS["transformer-big"])
print("V = 37,000:", [f"{formula(preset).total / 1e6:.1f} million" for preset in translators])
claim("09-the-text-gives-another-base", formula(translators[0]).total / 1e6)

# %% [markdown]
# What is certain: the ten base rows agree with one another, on a vocabulary near 41,000. The big model does not agree with them, and the 37,000 of the text agrees with neither. (The sizes just printed are without biases; with all of them they are 63.1 and 214.2.) What is an inference: that base and big were counted in different ways. You cannot find out from the paper which. So do not quote 65 million as the size of that model; say that its table says so.

# %% [markdown]
# ## What does it cost to run?
# Count arithmetic now. A multiplication and an addition are two floating-point operations, **FLOPs**. A matrix costs 2 for each weight and token. Attention costs more than its matrices: its scores and its mix are products of states with states. They have no parameters, so no count of parameters sees them.

# %%
predict(
    "09-flops",
    "GPT-2 small reads 1,024 tokens. Of the whole arithmetic, scores and mix take …",
    ["under 1 %", "about an eighth", "more than half"],
)

# %%
from transformer_lab.counting import flops

work = flops(gpt2, T=1024)
print(f"{work.total:,} FLOPs")
claim("09-scores-and-mix-share", work.only("scores", "mix") / work.total)

# %%
outcome("09-flops", "about an eighth")

# %% [markdown]
# torch can count while a model runs. One layer at GPT-2's sizes, once with attention written out and once with the fused kernel. (The first count takes some seconds: torch loads its compiler for it.)

# %%
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from transformer_lab.models import LanguageModel

config = replace(gpt2.config, n_layers=1, vocab_size=1000)
one_layer, tokens = LanguageModel(config).eval(), torch.randint(1000, (1, 256))
counted = []
for kernel in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION):  # written out, fused
    with torch.no_grad(), sdpa_kernel(kernel), FlopCounterMode(display=False) as counter:
        one_layer(tokens)
    counted.append(counter.get_total_flops())
ours = flops(config, T=256)
claim("09-torch-counts-the-same", ours.total - counted[0])

# %%
claim("09-torch-skips-the-fused-kernel", counted[0] - counted[1] - ours.only("scores", "mix"))

# %% [markdown]
# The same to the last operation, and a trap: on a processor torch's counter does not know the fused kernel and leaves scores and mix out, without a word.
#
# They grow with T², the rest with T. So from some length on, attention is the larger part of a layer.

# %%
lengths = [128, 512, 1024, 4608, 12288, 32768]
share = []
for T in lengths:
    layers = flops(gpt2, T, kind="encoder")  # without the output head
    share.append(layers.only("scores", "mix") / layers.total)
plots.lines(
    lengths,
    [share],
    ["scores and mix"],
    "Attention is half of a layer's work at six times its width",
    "tokens",
    "share of the arithmetic",
    log="x",
)

# %%
from transformer_lab.counting import crossover

claim("09-half-at-six-widths", crossover(gpt2) / gpt2.config.d_model)

# %% [markdown]
# That is 4,608 tokens for GPT-2 small. "Attention is quadratic, so attention is the cost" is false below that length. GPT-2 reads 1,024 tokens at most, so there it is never true.
#
# ### Exercise: attention_crossover


# %%
def my_crossover(D, H, K, F):
    """The T at which scores and mix cost what the products with weights cost."""
    raise NotImplementedError


check("attention_crossover", my_crossover)

# %% [markdown]
# ## What does it weigh in training?
# GPT-2 small takes 4 bytes for each parameter, in float32. To train it you also keep a gradient for each, two running means for the optimiser AdamW, and for the backward pass the **activations**: what the layers computed on the way.

# %%
predict(
    "09-training",
    "Training on 8 texts of 1,024 tokens takes … the bytes of the weights",
    ["about twice", "about four times", "more than ten times"],
)

# %%
from transformer_lab.counting import memory

GiB, batches = 2**30, (32, 8, 1)
kept = [memory(gpt2, T=1024, B=B, training=True) for B in batches]
names = [f"{B} text{'s' * (B > 1)}" for B in batches]
parts = {part: [m[part] / GiB for m in kept] for part in kept[0]}
plots.stacked_bars(names, parts, "The activations are what fills your memory", "GiB")

# %%
claim("09-training-weighs", kept[1].total / kept[1]["weights"])

# %%
outcome("09-training", "more than ten times")

# %% [markdown]
# Is that so? Ask torch what it keeps. These hooks see every tensor that is put aside for the backward pass.

# %%
small = ModelConfig(300, d_model=256, n_layers=2)
writer, aside = LanguageModel(small), {}
own = {p.untyped_storage().data_ptr() for p in (*writer.parameters(), *writer.buffers())}


def put_aside(tensor):
    place = tensor.untyped_storage()
    if place.data_ptr() not in own:
        aside[place.data_ptr()] = (place.nbytes(), tensor)
    return tensor


with torch.autograd.graph.saved_tensors_hooks(put_aside, lambda tensor: tensor):
    logits = writer(torch.randint(300, (3, 64)))
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(300, (3 * 64,)))
measured = sum(size for size, _ in aside.values())
predicted = memory(small, T=64, B=3, training=True)["activations"]
claim("09-activations-measured", predicted / measured)

# %% [markdown]
# ### And when it writes?
# A model that writes keeps the keys and values of all positions, in all layers, and nothing else: a **cache**. Lesson 12 builds it.

# %%
predict(
    "09-cache",
    "Llama-2-7B, 4,096 positions, 2 bytes for each number. Its cache takes …",
    ["2 MiB", "64 MiB", "2 GiB"],
)

# %%
llama = [memory(PRESETS["llama-2-7b"], T=4096, B=B, dtype=torch.float16) for B in (1, 8)]
for B, bytes_of in zip((1, 8), llama):
    listed = ", ".join(f"{part} {amount / GiB:.1f} GiB" for part, amount in bytes_of.items())
    print(f"{B} text{'s' * (B > 1)}: {listed}")
print(f"GPT-2 small: {memory(gpt2, T=1024)['key/value cache'] / 2**20:.1f} MiB in float32")
claim("09-cache-of-llama", llama[0]["key/value cache"] / GiB)

# %%
outcome("09-cache", "2 GiB")

# %% [markdown]
# Eight texts at once, and the cache is larger than the weights. That is one reason why newer models share keys and values between heads, as you did in lesson 05. The package's own cache weighs what the formula says:

# %%
caches = writer.new_cache()
with torch.no_grad():
    writer(torch.randint(300, (3, 64)), cache=caches)
held = sum(tensor.nbytes for cache in caches for tensor in cache.held())
claim("09-cache-measured", held - memory(small, T=64, B=3)["key/value cache"])

# %% [markdown]
# ### Exercise: cache_bytes


# %%
def my_cache(L, D, H, K, T, B, size):
    """Bytes of the keys and values of B texts of T positions."""
    raise NotImplementedError


check("cache_bytes", my_cache)

# %% [markdown]
# ## When it breaks
# Two messages that everybody meets, and two silences. This cell makes them.

# %%
model = LanguageModel(small)
attempts = [
    lambda: LanguageModel(ModelConfig(300, 48)).load_state_dict(model.state_dict()),
    lambda: LanguageModel(small).load_state_dict(dict(model.named_parameters())),
]
for attempt in attempts:
    try:
        attempt()
    except RuntimeError as error:
        print(str(error).split("\n")[1].strip(), "\n")
by_names = sum(tensor.numel() for tensor in model.state_dict().values())
print(f"formula {formula(small).total:,}, state_dict {by_names:,}")
for p in model.embedding.parameters():
    p.requires_grad_(False)
print(f"with requires_grad {sum(p.numel() for p in model.parameters() if p.requires_grad):,}")

# %% [markdown]
# 1. **The shapes differ.** The file was written by a model of another size. Read the two shapes; they name D or V.
# 2. **A key is missing.** The file lists each matrix once, and `load_state_dict` asks for both names of the tied head. `transformer_lab.checkpoints.load` knows that; with torch alone, tie first and load with `strict=False`.
# 3. **A count that is too high.** `state_dict` lists the tied head again, and buffers. Nothing warns you.
# 4. **A count that is too low.** Many programs print only what `requires_grad`. With frozen parts that is what *trains*, not what is there.

# %% [markdown]
# ## The map of the course
# You now have every part. This is the translator of lesson 08, drawn from its config and from the formula: if the model changes, so does the map. Follow the black lines from the top down. What a block adds joins the line at its +.

# %%
from transformer_lab import tasks
from transformer_lab.course_map import course_map

task = tasks.NumberWords(train=3000, held_out=1000)
sizes = {"d_model": 64, "d_ff": 128, "activation": "relu", "scale_embeddings": True}
translator = ModelConfig(len(task.german), pad_id=0, **sizes)  # as in lesson 08
course_map(translator, "encoder-decoder", source_vocab_size=len(task.english))

# %% [markdown]
# - **All places at once**, in place of a state handed on from step to step: [01 · Why not RNNs?](01_why_not_rnns.ipynb)
# - **Token vectors**: the tokens in [00 · Start here](00_start_here.ipynb), the table in this lesson
# - **Positions**: [06 · Positions](06_positions.ipynb)
# - **Attention**: query, key, value and softmax in [02 · Attention](02_attention.ipynb), √d in [03 · Why √d](03_why_sqrt_d.ipynb), who sees whom in [04 · Masking](04_masking.ipynb), heads and output projection in [05 · Many heads](05_many_heads.ipynb)
# - **Norm, +, feed-forward**: [07 · The block](07_the_block.ipynb)
# - **Cross-attention, output head, the whole translator**: [08 · Encoder and decoder](08_encoder_and_decoder.ipynb)
#
# Its layers are narrow: F is 2·D, so attention holds as much as the feed-forward block. Try `course_map(PRESETS["gpt2"])` and `course_map(PRESETS["bert-base"])`: the same parts.

# %% [markdown]
# ## Where this lives
# `transformer_lab/counting.py`: `formula`, `layer_formula`, `count`, `flops`, `crossover`, `memory`. `transformer_lab/presets.py` has the sizes of real models, `skeleton.py` builds them without numbers, `course_map.py` draws the map. `reveal("count_model")` shows the formula.
#
# ## Summary
# A parameter is a number that training changes: four matrices and a norm for attention, two and a norm for the feed-forward block, L times, and the tables. The usual list forgets the output projection, biases and cross-attention, and counts what is tied or fixed. A number without its switches says little. Scores and mix cost arithmetic and no parameters; activations and caches cost memory and no parameters.
#
# **Next:** what the model reads, and what it must beat: tokens and honest baselines.
