"""Every instrument in three states or more, on one offline page: python tests/gallery.py

A new instrument adds three states to `EXAMPLES`, under names that say what they show: as it
opens, worked in, and an edge (one token, all masked, markup, an error). The tests that open every
instrument use them too. `classes()` finds the instruments; a test fails while one has fewer.

    python tests/gallery.py FOLDER           writes FOLDER/gallery.html (else a folder of its own)
    python tests/gallery.py FOLDER --shots   and a picture of each in light, dark and 600 px
"""

import argparse
import html
import importlib
import os
import pkgutil
import re
import tempfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from transformer_lab import instruments
from transformer_lab.config import ModelConfig
from transformer_lab.instruments import export
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


def crowd(tokens: int = 130) -> AttentionExplorer:
    """More tokens than a matrix shows."""
    weights = np.random.default_rng(0).dirichlet(np.ones(tokens), (2, 3, tokens))
    return AttentionExplorer(list(weights.astype(np.float32)), [f"t{i}" for i in range(tokens)])


STATES = [[1, 0, 1, 0], [0, 2, 0, 1], [1, 1, 0, 0]]
WEIGHT = [[0.7, 0.3], [0.1, 0.6], [-0.5, -0.2], [-1.5, 0.4]]


def stepper(**options) -> AttentionStepper:
    names = ["the", "cat", "<b>"]
    return AttentionStepper(STATES, WEIGHT, WEIGHT[::-1], WEIGHT, tokens=names, **options)


def wrong_axis(query, key, value, mask):
    scores = query @ key.mT
    weights = scores.softmax(-2)
    return {"scores": scores, "weights": weights, "output": weights @ value}


def right(query, key, value, mask):
    scores = query @ key.mT / query.shape[-1] ** 0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1).nan_to_num()
    return {
        "scores": scores * query.shape[-1] ** 0.5,
        "weights": weights,
        "output": weights @ value,
    }


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


def unreadable() -> Translator:
    one = translating()
    one.text = "seven thousand"
    return one


def learning(steps: int = 10, **options) -> LiveTraining:
    task = NumberWords(50, 20, below=100)
    live = LiveTraining(translator(task), task, 20, every=5, held_out=8, **options)
    if steps:
        live.run(steps)
    return live


def wave(ax, height=1.0, turns=2, line="solid"):
    across = np.linspace(0, 1, 100)
    ax.plot(across, height * np.sin(2 * np.pi * turns * across), linestyle=line)


def figure(draw=wave, **options) -> FigureControls:
    settings = {"height": (0.0, 2.0), "turns": (1, 9), "line": ["solid", "dashed"]}
    return FigureControls(draw, **settings, **options)


def turned() -> FigureControls:
    one = figure()
    one.values = {"turns": 7, "line": "dashed"}
    return one


def broken(ax, height=1.0, turns=2, line="solid"):
    ax.plot([0, 1], [0, height, turns], linestyle=line)


def answered() -> Predict:
    one = Predict("gallery-answered", *QUESTION)
    one.answer = QUESTION[1][0]
    return one


QUESTION = ("Which head matters most?", ["the first", "the last"])
ONE = np.ones((1, 1, 1), np.float32)
NOTHING = torch.zeros(3, 3, dtype=torch.bool)
EXAMPLES: dict[str, Callable[[], Instrument]] = {
    "AttentionExplorer": lambda: explorer(title="Who looks at whom?", query=3),
    "AttentionExplorer, two heads": lambda: explorer(pinned=[[0, 1], [1, 2]], sort="previous"),
    "AttentionExplorer, own sentence": lambda: explorer(read=lambda text: ([], [])),
    "AttentionExplorer, one token": lambda: AttentionExplorer([ONE], ["<b>"]),
    "AttentionExplorer, beyond the cap": crowd,
    "AttentionBench": bench,
    "AttentionBench, numbers": lambda: bench(values=[9, 14, -19], title="Three values"),
    "AttentionBench, six alike": lambda: bench(
        keys=[[1, 0]] * 6, values=[[0, 0]] * 6, names=TOKENS[2:8], temperature=4
    ),
    "HeadDesk": lambda: desk(title="Which heads matter?", query=4, silenced=[[0, 1], [1, 2]]),
    "HeadDesk, encoder": lambda: encoder_desk(silenced=[[1, 3]]),
    "HeadDesk, one token": lambda: HeadDesk(text_encoder(), [4], ["<b>"]),
    "AttentionStepper": lambda: stepper(step="query"),
    "AttentionStepper, masked": lambda: stepper(mask=causal_mask(3), step="weights"),
    "AttentionStepper, nothing allowed": lambda: stepper(mask=NOTHING),
    "CodeLens": lambda: CodeLens(wrong_axis),
    "CodeLens, all right": lambda: CodeLens(right, title="Is it right?"),
    "CodeLens, an error": lambda: CodeLens(stops_early),
    "MaskPainter": lambda: MaskPainter("window", T=12, width=3, layers=4),
    "MaskPainter, a leak": lambda: MaskPainter(leaky(), layers=3, tokens=TOKENS[:6]),
    "MaskPainter, three masks": lambda: MaskPainter(source=7, target=5, length=5, layers=2),
    "MaskPainter, one position": lambda: MaskPainter(T=1, tokens=["<b>"]),
    "GradientHorizon": lambda: GradientHorizon("LSTM", pins=["tanh", "attention"]),
    "GradientHorizon, exploding": lambda: GradientHorizon("orthogonal ReLU", 2, lag=80),
    "GradientHorizon, vanished": lambda: GradientHorizon("tanh", 0.5, lag=90),
    "Race": lambda: Race(title="Which of them must wait?"),
    "Race, a sentence": lambda: Race(32, 16),
    "Race, a book": lambda: Race(4096),
    "TemperatureDial": lambda: TemperatureDial(title="Does the gradient vanish?"),
    "TemperatureDial, no scale": lambda: TemperatureDial(64, 256, 0),
    "TemperatureDial, two keys": lambda: TemperatureDial(1024, 2, 0, 0.1),
    "FigureControls": lambda: figure(title="One wave"),
    "FigureControls, turned": turned,
    "FigureControls, an error": lambda: figure(broken, title="<b>Broken</b>"),
    "ModelDesigner": lambda: ModelDesigner("gpt2", target=100_000_000),
    "ModelDesigner, large": lambda: ModelDesigner("llama-3-8b", T=8192, batch=4),
    "ModelDesigner, encoder": lambda: ModelDesigner("bert-base", title="An encoder"),
    "BlockBuilder": lambda: BlockBuilder(depth=12),
    "BlockBuilder, no way around": lambda: BlockBuilder(residual=False, depth=24),
    "BlockBuilder, nothing left": lambda: BlockBuilder(attention=False, feed_forward=False),
    "PositionExplorer": PositionExplorer,
    "PositionExplorer, distance": lambda: PositionExplorer(tab="distance", cosine=False),
    "PositionExplorer, hands": lambda: PositionExplorer(tab="hands"),
    "PositionExplorer, slopes": lambda: PositionExplorer(tab="slopes", heads=12),
    "PositionExplorer, move": lambda: PositionExplorer(
        TOKENS, tab="move", order=[*range(7, -1, -1)]
    ),
    "Translator": lambda: translating(step=3),
    "Translator, beams": lambda: translating(width=3, step=5, title="Three beams"),
    "Translator, unreadable": unreadable,
    "LiveTraining": learning,
    "LiveTraining, before": lambda: learning(0, title="Before the first step"),
    "LiveTraining, at its end": lambda: learning(20),
    "Predict": lambda: Predict("gallery-choice", *QUESTION),
    "Predict, slider": lambda: Predict("gallery-slider", "How much?", low=0, high=5, unit="nats"),
    "Predict, answered": answered,
}
BAR = """
.gallery { font: 14px/1.5 system-ui, sans-serif; }
.gallery.bar { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-bottom: 2rem; }
.gallery h2 { margin: 3rem 0 0; font-size: 20px; }
.gallery h3 { margin: 2rem 0 .5rem; font-size: 14px; font-weight: 400; }
"""
TURN = """<script>
for (const list of document.querySelectorAll(".gallery select")) list.onchange = () => {
  const { name, value } = list;
  if (name === "width") document.body.style.maxWidth = value;
  else {
    document.documentElement.style.colorScheme = value;
    if (value) document.body.dataset.jpThemeLight = value === "light";
    else delete document.body.dataset.jpThemeLight;
  }
};
</script>"""


def page(examples: dict[str, Instrument], *more: export.Part) -> str:
    """All these instruments on one offline page, under their names, with a theme and a width."""
    written = export.page("Gallery", [*(one.page_part() for one in examples.values()), *more])
    titles = chain(examples, (f"More, {i}" for i in range(len(more))))
    kind = ""

    def headed(section: re.Match[str]) -> str:
        nonlocal kind
        before, (name, _, state) = kind, (title := next(titles)).partition(", ")
        kind = name
        chapter = "" if name == before else f'<h2 id="{name}">{name}</h2>'
        return (
            f'<div class="gallery">{chapter}<h3>{html.escape(state or "as it opens")}</h3></div>'
            f'<div data-example="{html.escape(title)}">{section[0]}</div>'
        )

    written = re.sub(r"<section data-part=.*?</section>", headed, written, flags=re.DOTALL)
    kinds = dict.fromkeys(title.partition(", ")[0] for title in examples)
    links = " ".join(f'<a href="#{kind}">{kind}</a>' for kind in kinds)
    bar = (
        '<div class="gallery bar"><label>Theme <select name="theme"><option value="">system'
        "<option>light<option>dark</select></label><label>Width <select name=width>"
        '<option value="">page<option value="600px">600 px<option value="none">window</select>'
        f"</label>{links}</div>"
    )
    return written.replace("</style></head><body>", f"{BAR}</style></head><body>{bar}").replace(
        "</body>", f"{TURN}</body>"
    )


def shoot(file: Path, folder: Path, names: list[str]) -> int:
    """A picture of each example in light, dark and 600 pixels wide; how many."""
    from browser.rigs import FLAGS, executable
    from playwright.sync_api import sync_playwright

    count = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        for mode, width, scheme in (("light", 1000, 0), ("dark", 1000, 1), ("600", 600, 0)):
            view = browser.new_page(
                viewport={"width": width, "height": 900}, color_scheme=["light", "dark"][scheme]
            )
            view.goto(file.as_uri())
            view.wait_for_timeout(1000)
            for name in names:
                at = folder / f"{re.sub('[^A-Za-z0-9]+', '-', name)}.{mode}.png"
                view.locator(f'[data-example="{name}"]').screenshot(path=at)
                count += 1
        browser.close()
    return count


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where to write; else a new folder")
    parser.add_argument("--only", default="", help="only examples whose name begins like this")
    parser.add_argument("--shots", action="store_true", help="write screenshots too")
    asked = parser.parse_args(arguments)
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="gallery-"))
    folder.mkdir(parents=True, exist_ok=True)
    # What is answered here stays out of the developer's own answers.
    with (
        tempfile.TemporaryDirectory() as home,
        mock.patch.dict(os.environ, {"TRANSFORMER_LAB_HOME": home}),
    ):
        made = {name: make() for name, make in EXAMPLES.items() if name.startswith(asked.only)}
    file = folder.resolve() / "gallery.html"
    file.write_text(page(made), encoding="utf-8")
    print(f"{file}: {len(made)} examples, {file.stat().st_size / 1e6:.1f} MB")
    if asked.shots:
        print(f"{shoot(file, folder, list(made))} screenshots beside it")


if __name__ == "__main__":
    main()
