# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Glossary
#
# The words of this course. The number behind each is the lesson that introduces it: there it stands in bold, and what it does is measured. Search with **Ctrl + F**.

# %% [markdown]
# ## A
# - **activation** · A number that a layer computes on its way and training keeps for the way back. [09](09_counting_parameters.ipynb)
# - **ALiBi** · Positions without any vector: a key that is n places away loses n times a fixed slope from its score, and each head has its own slope. [06](06_positions.ipynb)
# - **alignment** · Which piece of a source belongs to which piece of its translation. [08](08_encoder_and_decoder.ipynb)
# - **attention weight**, weight · How much of its answer a token takes from another one. The weights of one token are positive and sum to 1. [00](00_start_here.ipynb)

# %% [markdown]
# ## B
# - **batch** · Several inputs that are computed at once, stacked along an axis of their own. [01](01_why_not_rnns.ipynb)
# - **beam**, beam search · Writing with several half-finished texts kept at each step, the likeliest ones. A beam of 1 is greedy. [08](08_encoder_and_decoder.ipynb)
# - **bias** · The numbers that a linear map adds after its matrix product. [01](01_why_not_rnns.ipynb)
# - **buffer** · Numbers that a module stores and training never changes, such as a table of sinusoids. [09](09_counting_parameters.ipynb)

# %% [markdown]
# ## C
# - **cache**, key/value cache · Keys and values of earlier tokens, kept while a model writes so that they are not computed again. [09](09_counting_parameters.ipynb)
# - **causal** · A mask, and a model with it, in which no position looks at a later one. [04](04_masking.ipynb)
# - **compositional split** · A test on combinations that no training example held, made of parts that each were seen. [08](08_encoder_and_decoder.ipynb)
# - **concatenate** · To put lists of numbers end to end, so that their widths add up. [06](06_positions.ipynb)
# - **cosine** · How far two vectors point the same way: 1 in the same direction, 0 at a right angle, whatever their lengths. [00](00_start_here.ipynb)

# %% [markdown]
# - **cross-attention** · Attention in which the queries come from one text and the keys and values from another, as when a decoder looks at the source. [00](00_start_here.ipynb)

# %% [markdown]
# ## D
# - **decoder** · The part of a model that writes, token by token, and sees only what it has written so far and, in a translator, the source. [00](00_start_here.ipynb)
# - **decoder-only** · A model of causal layers without an encoder, as GPT and Llama. [08](08_encoder_and_decoder.ipynb)
# - **dot product** · Two vectors multiplied number by number and added up. Large when both are large in the same places. [02](02_attention.ipynb)
# - **dropout** · Setting a random share of numbers to 0 in training and scaling up the rest, so that a model does not rely on any of them. [05](05_many_heads.ipynb)

# %% [markdown]
# ## E
# - **embedding** · A table with one vector for each token of the vocabulary; looking up a token gives its vector. Training finds the numbers. [01](01_why_not_rnns.ipynb)
# - **encoder** · A model, or the part of one, that reads a whole text and gives one state for each token. [00](00_start_here.ipynb)
# - **encoder-only** · A model that reads a text and writes none, as BERT. [08](08_encoder_and_decoder.ipynb)
# - **encoder–decoder**, encoder-decoder · An encoder that reads a source and a decoder that writes, looking at the encoder's states. [00](00_start_here.ipynb)

# %% [markdown]
# - **entropy** · How spread out a row of weights is: 0 when one key has all, the logarithm of the number of keys when all have the same. [03](03_why_sqrt_d.ipynb)
# - **exact match** · The share of answers that are right from the first piece to the last. [08](08_encoder_and_decoder.ipynb)

# %% [markdown]
# ## F
# - **feed-forward** · The part of a layer that works on each token by itself: a map to a larger width, a function of each number, and a map back. [07](07_the_block.ipynb)
# - **FLOP**, FLOPs · One addition or multiplication of two numbers. FLOPs measure the work of a computation, whatever the machine. [05](05_many_heads.ipynb)
# - **forget gate** · In an LSTM, the share of its memory that is kept at each step, between 0 and 1. [01](01_why_not_rnns.ipynb)
# - **free running** · Writing with what the model itself wrote before, as in use. The opposite of teacher forcing. [08](08_encoder_and_decoder.ipynb)
# - **fused** · Computed by one kernel that does several steps at once and keeps nothing of what lies between. [01](01_why_not_rnns.ipynb)

# %% [markdown]
# ## G to H
# - **gradient** · How much a result changes when a number at its beginning changes a little. Training follows it downhill. [01](01_why_not_rnns.ipynb)
# - **greedy** · Writing the likeliest token at each step. [08](08_encoder_and_decoder.ipynb)
# - **grouped-query** · Attention in which several query heads share one head of keys and values, to save memory. [05](05_many_heads.ipynb)
# - **GRU** · A recurrent cell with two gates and no memory beside its state. [01](01_why_not_rnns.ipynb)
# - **head** · One attention with weights of its own. A layer has several side by side, each on its share of the width. [00](00_start_here.ipynb)
# - **held out**, held-out · Kept away from training, so that it can test what was learned rather than remembered. [00](00_start_here.ipynb)

# %% [markdown]
# ## J to K
# - **Jacobian** · The table of all slopes of outputs with respect to inputs. [03](03_why_sqrt_d.ipynb)
# - **kernel regression** · Answering with an average of known values, each weighted by how close it lies. Attention is a form of it. [02](02_attention.ipynb)
# - **key** · What something can be found by: a query is compared with every key. [02](02_attention.ipynb)

# %% [markdown]
# ## L
# - **lag** · How many steps ago something was read. [01](01_why_not_rnns.ipynb)
# - **layer** · One stage of a model: it takes one state for each token and gives a new one for each. [00](00_start_here.ipynb)
# - **LayerNorm** · Brings the numbers of each token to mean 0 and spread 1, then scales and shifts them by learned numbers. [07](07_the_block.ipynb)
# - **leak** · A path by which a model sees what it has to predict. [04](04_masking.ipynb)
# - **logit**, logits · A model's score for each token of its vocabulary; a softmax turns them into probabilities. [04](04_masking.ipynb)
# - **loss** · One number for how wrong a model is; training makes it smaller. [00](00_start_here.ipynb)

# %% [markdown]
# - **LSTM** · A recurrent cell that keeps a memory beside its state and has gates for what to forget, take in and give out. [01](01_why_not_rnns.ipynb)

# %% [markdown]
# ## M to O
# - **mask** · A table of True and False that says who may look at whom. [04](04_masking.ipynb)
# - **norm** · A part that brings a vector back to a standard size. [07](07_the_block.ipynb)
# - **output head** · The matrix behind the last layer that gives each token of the vocabulary a score. [09](09_counting_parameters.ipynb)
# - **output projection** · The matrix behind the heads that mixes what they found. [05](05_many_heads.ipynb)

# %% [markdown]
# ## P
# - **padding** · Tokens that mean nothing and fill up short texts of a batch to one length. [04](04_masking.ipynb)
# - **parameter** · A number that training changes. [01](01_why_not_rnns.ipynb)
# - **permutation-equivariant** · Said of a model whose states are shuffled along when its inputs are shuffled, and do not change otherwise. [06](06_positions.ipynb)
# - **pooler** · A matrix that BERT applies to the state of its first token, for tasks about the whole text. [09](09_counting_parameters.ipynb)
# - **positional encoding**, positional embedding · A vector for each place of a text, learned or computed, that tells a model where a token stands. [06](06_positions.ipynb)
# - **post-norm** · The norm behind the addition of a residual, as in the first Transformer. [07](07_the_block.ipynb)

# %% [markdown]
# - **pre-norm** · The norm at the entrance of each sublayer, so that the residual stream itself is never normalised. [07](07_the_block.ipynb)
# - **prefix invariance** · Outputs at the beginning of a text do not move when its end is replaced. [04](04_masking.ipynb)

# %% [markdown]
# ## Q
# - **query** · What is wanted: it is compared with every key. [02](02_attention.ipynb)

# %% [markdown]
# ## R
# - **rank** · How many numbers are enough to say where a matrix can send a vector. A product of thin matrices has a small one. [05](05_many_heads.ipynb)
# - **recurrent network**, RNN · A network that reads one input after another and hands a state on from step to step. [01](01_why_not_rnns.ipynb)
# - **ReLU** · The function that keeps positive numbers and turns negative ones into 0. [01](01_why_not_rnns.ipynb)
# - **residual** · What a sublayer finds is added to what it was given, so that a state is changed and never replaced. [07](07_the_block.ipynb)
# - **residual stream** · The states as they run through all layers, each sublayer adding to them. [07](07_the_block.ipynb)

# %% [markdown]
# - **RMSNorm** · LayerNorm without the mean: each token's numbers are divided by their root mean square. [07](07_the_block.ipynb)
# - **rotary**, rotary positions · Positions as angles: queries and keys are turned by an angle that grows with their place, and scores depend on the distance alone. [06](06_positions.ipynb)

# %% [markdown]
# ## S
# - **saturated** · Said of a row of attention weights in which one key has almost all. [03](03_why_sqrt_d.ipynb)
# - **score** · How well a key fits a query, before the softmax. [02](02_attention.ipynb)
# - **self-attention** · Attention in which queries, keys and values are made from the same tokens. [02](02_attention.ipynb)
# - **sequential depth** · How many steps have to wait for one another, however many machines there are. [01](01_why_not_rnns.ipynb)
# - **shift** · A decoder's input is its target, one place late, so that it never sees what it has to predict. [08](08_encoder_and_decoder.ipynb)
# - **sinusoidal**, sinusoidal positions · Made of sine and cosine waves of many speeds; a way to write a position as a vector. [06](06_positions.ipynb)

# %% [markdown]
# - **slope** · In ALiBi, what a score loses for each place of distance. [06](06_positions.ipynb)
# - **softmax** · Turns any numbers into positive weights that sum to 1: the exponential of each, divided by their sum. [02](02_attention.ipynb)
# - **source** · The text that a translator reads. [08](08_encoder_and_decoder.ipynb)
# - **spectral radius** · The largest absolute value of a matrix's eigenvalues: the rate at which its powers grow or shrink. [01](01_why_not_rnns.ipynb)
# - **spread** · The standard deviation: how far numbers lie from their mean, typically. [03](03_why_sqrt_d.ipynb)
# - **state** · The list of numbers that a model keeps for one token, or, in a recurrent network, for all that it has read. [00](00_start_here.ipynb)

# %% [markdown]
# ## T
# - **target** · The text that a translator should write. [08](08_encoder_and_decoder.ipynb)
# - **teacher forcing** · Training a decoder on the right beginning of each text, whatever it would have written itself. [08](08_encoder_and_decoder.ipynb)
# - **temperature** · A number that scores are divided by before a softmax. Hot makes weights equal, cold lets the largest take all. [02](02_attention.ipynb)
# - **token** · A piece of text from a fixed list: a word, part of one, or a sign. [00](00_start_here.ipynb)
# - **tying**, tied · Using one table both to embed tokens and to score them at the output. [09](09_counting_parameters.ipynb)

# %% [markdown]
# ## V to W
# - **value** · What is handed over when a key fits. [02](02_attention.ipynb)
# - **variance** · The mean squared distance of numbers from their mean: the square of their spread. [03](03_why_sqrt_d.ipynb)
# - **vector** · A list of numbers of fixed length. [00](00_start_here.ipynb)
# - **vocabulary** · The fixed list of all tokens that a model knows. [00](00_start_here.ipynb)
# - **voice** · In this course, the length of a query: the louder, the more decided its weights. [02](02_attention.ipynb)
# - **warm-up** · The first steps of a training, in which the learning rate grows from almost 0. [07](07_the_block.ipynb)
# - **width** · How many numbers a state has, or a query and a key. [03](03_why_sqrt_d.ipynb)
