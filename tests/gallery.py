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
from transformer_lab.instruments.builder import BlockBuilder
from transformer_lab.instruments.controls import FigureControls
from transformer_lab.instruments.designer import ModelDesigner
from transformer_lab.instruments.desk import HeadDesk
from transformer_lab.instruments.dial import TemperatureDial
from transformer_lab.instruments.horizon import GradientHorizon
from transformer_lab.instruments.lens import CodeLens
from transformer_lab.instruments.live import LiveTraining
from transformer_lab.instruments.painter import MaskPainter
from transformer_lab.instruments.position_explorer import PositionExplorer
from transformer_lab.instruments.predict import Predict
from transformer_lab.instruments.race import Race
from transformer_lab.instruments.stepper import AttentionStepper
from transformer_lab.instruments.translator import Translator
from transformer_lab.masks import causal_mask
from transformer_lab.models import EncoderDecoder, LanguageModel, TextEncoder
from transformer_lab.translation import NumberWords

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


STATES = [[1, 0, 1, 0], [0, 2, 0, 1], [1, 1, 0, 0]]
WEIGHT = [[0.7, 0.3], [0.1, 0.6], [-0.5, -0.2], [-1.5, 0.4]]


def stepper(**options) -> AttentionStepper:
    names = ["the", "cat", "<b>"]
    return AttentionStepper(STATES, WEIGHT, WEIGHT[::-1], WEIGHT, tokens=names, **options)


def wrong_axis(query, key, value, mask):
    scores = query @ key.mT
    weights = scores.softmax(-2)
    return {"scores": scores, "weights": weights, "output": weights @ value}


def stops_early(query, key, value):
    yield "scores", query @ key.mT
    yield "scaled", query @ key[:, :1]


def leaky() -> torch.Tensor:
    mask = causal_mask(6)
    mask[2, 5], mask[0] = True, False
    return mask


def translator(task: NumberWords) -> EncoderDecoder:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 1, "max_len": 24, "pad_id": 0}
    return EncoderDecoder(ModelConfig(len(task.german), **sizes), len(task.english)).eval()


def translating(**options) -> Translator:
    task = NumberWords(50, 20, below=100)
    return Translator(translator(task), task.english, task.german, "42", **options)


def learning(**options) -> LiveTraining:
    task = NumberWords(50, 20, below=100)
    live = LiveTraining(translator(task), task, 20, every=5, held_out=8, **options)
    live.run(10)
    return live


def wave(ax, height=1.0, turns=2, line="solid"):
    across = np.linspace(0, 1, 100)
    ax.plot(across, height * np.sin(2 * np.pi * turns * across), linestyle=line)


def figure(**options) -> FigureControls:
    settings = {"height": (0.0, 2.0), "turns": (1, 9), "line": ["solid", "dashed"]}
    return FigureControls(wave, **settings, **options)


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
    "AttentionStepper": lambda: stepper(step="query"),
    "AttentionStepper, masked": lambda: stepper(mask=causal_mask(3), step="weights"),
    "AttentionStepper, question": lambda: stepper(predict=QUESTION),
    "CodeLens": lambda: CodeLens(wrong_axis),
    "CodeLens, an error": lambda: CodeLens(stops_early),
    "CodeLens, question": lambda: CodeLens(wrong_axis, predict=QUESTION),
    "MaskPainter": lambda: MaskPainter("window", T=12, width=3, layers=4),
    "MaskPainter, a leak": lambda: MaskPainter(leaky(), layers=3, tokens=TOKENS[:6]),
    "MaskPainter, three masks": lambda: MaskPainter(source=7, target=5, length=5, layers=2),
    "GradientHorizon": lambda: GradientHorizon("LSTM", pins=["tanh", "attention"]),
    "GradientHorizon, exploding": lambda: GradientHorizon("orthogonal ReLU", 2, lag=80),
    "GradientHorizon, question": lambda: GradientHorizon("tanh", 0.5, lag=90, predict=QUESTION),
    "Race": lambda: Race(title="Which of them must wait?"),
    "Race, a sentence": lambda: Race(32, 16),
    "Race, question": lambda: Race(4096, predict=QUESTION),
    "TemperatureDial": lambda: TemperatureDial(title="Does the gradient vanish?"),
    "TemperatureDial, no scale": lambda: TemperatureDial(64, 256, 0),
    "TemperatureDial, question": lambda: TemperatureDial(1024, 4, 1, predict=QUESTION),
    "FigureControls": lambda: figure(title="One wave"),
    "FigureControls, question": lambda: figure(predict=QUESTION),
    "ModelDesigner": lambda: ModelDesigner("gpt2", target=100_000_000),
    "ModelDesigner, large": lambda: ModelDesigner("llama-3-8b", T=8192, batch=4),
    "ModelDesigner, question": lambda: ModelDesigner("bert-base", predict=QUESTION),
    "BlockBuilder": lambda: BlockBuilder(depth=12),
    "BlockBuilder, nothing left": lambda: BlockBuilder(attention=False, feed_forward=False),
    "BlockBuilder, question": lambda: BlockBuilder(residual=False, depth=24, predict=QUESTION),
    "PositionExplorer": PositionExplorer,
    "PositionExplorer, hands": lambda: PositionExplorer(tab="hands"),
    "PositionExplorer, question": lambda: PositionExplorer(predict=QUESTION),
    "Translator": translating,
    "Translator, beams": lambda: translating(width=3, title="Three beams"),
    "Translator, question": lambda: translating(predict=QUESTION),
    "LiveTraining": learning,
    "LiveTraining, question": lambda: learning(predict=QUESTION),
    "Predict": lambda: Predict("gallery-choice", *QUESTION),
    "Predict, slider": lambda: Predict("gallery-slider", "How much?", low=0, high=5, unit="nats"),
}
