"""A small translator that has learned the numbers below 1000, and one that has half learned them.

Trained once in a process; what the tests of its instruments look at.
"""

from functools import cache

import torch

from transformer_lab.config import ModelConfig
from transformer_lab.models import EncoderDecoder
from transformer_lab.tasks import NumberWords
from transformer_lab.training import train

TASK = NumberWords(train=800, held_out=200, below=1_000, seed=0)


def untrained(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"d_model": 32, "activation": "relu", "scale_embeddings": True, "pad_id": 0}
    config = ModelConfig(len(TASK.german), **{**sizes, **changes})
    return EncoderDecoder(config, source_vocab_size=len(TASK.english))


@cache
def trained(steps=120):
    model = untrained()
    for _ in train(model, TASK.batches(32), steps, rate=1e-2, warmup=20):
        pass
    return model


def half_trained():
    return trained(35)
