"""One example or more of every instrument, for the tests that open them all: `EXAMPLES`.

A new instrument adds a function here, under a name that says what it shows. `classes()` finds the
instruments themselves; a test fails while one of them has no example.
"""

import importlib
import pkgutil
from collections.abc import Callable

import numpy as np
import torch

from transformer_lab import instruments
from transformer_lab.config import ModelConfig
from transformer_lab.instruments.attention import AttentionExplorer
from transformer_lab.instruments.base import Instrument
from transformer_lab.instruments.bench import AttentionBench
from transformer_lab.instruments.desk import HeadDesk
from transformer_lab.instruments.predict import Predict
from transformer_lab.models import LanguageModel, TextEncoder

TOKENS = ["the", "cat", "saw", "the", "dog", "<b>", "👩\u200d🔬", "end"]
PIECES = ["the", "cat", "saw", "dog", "<b>", "👩\u200d🔬", "end", " a", "\n"]
IDS = [PIECES.index(token) for token in TOKENS]


def classes() -> set[type[Instrument]]:
    """Every instrument of the package: a class with a module for the browser."""
    found = set()
    for info in pkgutil.iter_modules(instruments.__path__, f"{instruments.__name__}."):
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, type) and issubclass(value, Instrument) and value.module:
                found.add(value)
    return found


def loud(model):
    """A model whose untrained heads do something: larger weights than it begins with."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight *= 6
    return model.eval()


def language_model(seed: int = 0, **config) -> LanguageModel:
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "n_heads": 4, "n_layers": 2, "max_len": 16}
    return loud(LanguageModel(ModelConfig(len(PIECES), **{**sizes, **config})))


def text_encoder(seed: int = 0, **config) -> TextEncoder:
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "n_heads": 4, "n_layers": 2, "max_len": 16, "norm": "post"}
    return loud(TextEncoder(ModelConfig(len(PIECES), **{**sizes, **config})))


def explorer(**options) -> AttentionExplorer:
    weights = np.random.default_rng(0).dirichlet(np.full(8, 0.4), (2, 3, 8)).astype(np.float32)
    weights *= np.tri(8, dtype=bool)
    weights /= weights.sum(-1, keepdims=True)
    return AttentionExplorer(list(weights), TOKENS, mask=np.tri(8, dtype=bool), **options)


def bench(**options) -> AttentionBench:
    keys, points = [[1, 0], [0, 1], [-1, 0.2]], [[1, 1], [-1, 1], [0, -1]]
    return AttentionBench(**{"query": [0.8, 0.6], "keys": keys, "values": points, **options})


def desk(**options) -> HeadDesk:
    return HeadDesk(language_model(), IDS, TOKENS, vocabulary=PIECES, **options)


def encoder_desk(**options) -> HeadDesk:
    return HeadDesk(text_encoder(), IDS, TOKENS, **options)


QUESTION = ("Which head matters most?", ["the first", "the last"])
EXAMPLES: dict[str, Callable[[], Instrument]] = {
    "AttentionExplorer": lambda: explorer(title="Who looks at whom?", query=3),
    "AttentionExplorer, two heads": lambda: explorer(pinned=[[0, 1], [1, 2]], sort="previous"),
    "AttentionExplorer, own sentence": lambda: explorer(read=lambda text: ([], [])),
    "AttentionBench": bench,
    "AttentionBench, numbers": lambda: bench(values=[9, 14, -19], title="Three values"),
    "AttentionBench, question": lambda: bench(predict=("Sharper or flatter?", ["one", "other"])),
    "HeadDesk": lambda: desk(title="Which heads matter?", query=4, silenced=[[0, 1], [1, 2]]),
    "HeadDesk, encoder": lambda: encoder_desk(silenced=[[1, 3]]),
    "HeadDesk, question": lambda: desk(predict=QUESTION),
    "Predict": lambda: Predict("gallery-choice", *QUESTION),
    "Predict, slider": lambda: Predict("gallery-slider", "How much?", low=0, high=5, unit="nats"),
}
