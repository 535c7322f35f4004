"""One layer with parts left out, as a list of steps, and what a stack of such layers does.

The steps are the only description: the diagram, the code lines and the counts are drawn from them,
and `run` takes the same steps through the modules of the package's own EncoderLayer.

Off means: the line is not there. Without attention or feed-forward its norm and its addition go as
well; without the norm the final norm of a pre-norm stack goes too; without the residual each part's
result takes the place of what came in.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.config import ModelConfig, Norm
from transformer_lab.counting import layer_formula
from transformer_lab.initialise import glorot
from transformer_lab.layers import EncoderLayer
from transformer_lab.models import LanguageModel

DEPTHS = (1, 2, 4, 6, 8, 12, 16, 24)
SEEDS, B, T, V, D, H = 3, 2, 12, 32, 32, 4  # of the stacks that are measured


class Parts(NamedTuple):
    """Which parts a layer has, and where its norms stand."""

    residual: bool = True
    norm: bool = True
    attention: bool = True
    feed_forward: bool = True
    place: Norm = "pre"

    @property
    def key(self) -> str:
        """A name for the switches, such as "pre rnaf"; without a norm its place has no say."""
        letters = zip("rnaf", self[:4], strict=True)
        place = self.place if self.norm else "pre"
        return f"{place} " + "".join(letter if on else "-" for letter, on in letters)


class Step(NamedTuple):
    """One line of a layer's forward: "norm", "attention", "feed-forward" or "add"."""

    kind: str
    module: str
    reads: str
    writes: str

    @property
    def line(self) -> str:
        """The step as Python; self is an EncoderLayer."""
        if self.kind == "add":
            return f"{self.writes} = {self.writes} + {self.reads}"
        more = ", causal=True" if self.kind == "attention" else ""
        return f"{self.writes} = self.{self.module}({self.reads}{more})"


def everything() -> list[Parts]:
    """One of each key: 24 layers."""
    switches = itertools.product(*[[True, False]] * 4, ["pre", "post"])
    every = [Parts(*chosen) for chosen in switches]  # type: ignore[arg-type]
    return list({parts.key: parts for parts in reversed(every)}.values())[::-1]


def steps(parts: Parts) -> list[Step]:
    """The lines of the layer's forward between "states come in" and "return states"."""
    found = []
    for kind, module, on in (
        ("attention", "attention", parts.attention),
        ("feed-forward", "feed_forward", parts.feed_forward),
    ):
        if not on:
            continue
        reads, inner = "states", "x" if parts.residual else "states"
        if parts.norm and parts.place == "pre":
            found.append(Step("norm", f"{module}_norm", reads, inner))
            reads = inner
        found.append(Step(kind, module, reads, inner))
        if parts.residual:
            found.append(Step("add", "", "x", "states"))
        if parts.norm and parts.place == "post":
            found.append(Step("norm", f"{module}_norm", "states", "states"))
    return found


def counts(parts: Parts, config: ModelConfig) -> list[int]:
    """The parameters of each step at the sizes of config."""
    amounts = layer_formula(config)

    def amount(step: Step) -> int:
        name = step.module.replace("_", "-")
        if step.kind == "norm":
            return amounts[name.replace("-norm", " norm")]
        return sum(n for key, n in amounts.items() if key.startswith(f"{name} ") and
                   not key.endswith(" norm")) if name else 0  # fmt: skip

    return [amount(step) for step in steps(parts)]


def final(parts: Parts, config: ModelConfig) -> int:
    """The parameters of the norm behind the last layer, 0 where there is none."""
    norm = layer_formula(config)["attention norm"]
    return norm if parts.norm and parts.place == "pre" else 0


def run(layer: EncoderLayer, parts: Parts, states: Tensor) -> Tensor:
    """states (B, T, D) through one layer, step by step: what the code lines say."""
    held = {"states": states}
    for step in steps(parts):
        given = held[step.reads]
        if step.kind == "add":
            held[step.writes] = held[step.writes] + given
        elif step.kind == "attention":
            held[step.writes] = layer.attention(given, causal=True)
        else:
            held[step.writes] = getattr(layer, step.module)(given)
    return held["states"]


class Profile(NamedTuple):
    """What a stack does before any training, from the embedding (first) to the last layer.

    gradient (L + 1): of the loss at the states, relative to the top. alike (L + 1): the mean cosine
    between two tokens of a text. weights (L): the norm of the loss's gradient at a layer's
    matrices; empty where it has none.
    """

    gradient: list[float]
    alike: list[float]
    weights: list[float]


@cache
def profile(
    parts: Parts, depth: int, norm_kind: str = "layer", activation: str = "gelu", bias: bool = True
) -> Profile:
    """Measured on random tokens with weights as in the paper's code (Glorot), over three seeds.

    Gradients are geometric means. Double precision, so that all machines agree.
    """
    found = []
    for seed in range(SEEDS):
        model, tokens, targets = _model(seed, norm_kind, activation, bias)
        layers = model.layers[:depth]
        states = [model.embedding(tokens)[0]]
        for layer in layers:
            assert isinstance(layer, EncoderLayer)
            states.append(run(layer, parts, states[-1]))
        last = parts.norm and parts.place == "pre"
        logits = model.head(model.norm(states[-1]) if last else states[-1])
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        maps = [_matrices(layer, parts) for layer in layers]
        wanted = [*states, *itertools.chain(*maps)]
        gradients = iter([g.norm().log() for g in torch.autograd.grad(loss, wanted)])
        at = torch.stack([next(gradients) for _ in states])
        each = [torch.stack([next(gradients) for _ in m]) for m in maps if m]
        total = torch.stack([(2 * logs).logsumexp(0) / 2 for logs in each]) if each else at[:0]
        alike = torch.stack([_alike(s.detach()) for s in states])
        found.append((at - at[-1], alike, total))
    at, alike, total = (torch.stack(runs).mean(0) for runs in zip(*found, strict=True))
    return Profile(at.exp().tolist(), alike.tolist(), total.exp().tolist())


@cache
def _model(
    seed: int, norm_kind: Any, activation: Any, bias: bool
) -> tuple[LanguageModel, Tensor, Tensor]:
    """The deepest stack, of which each depth takes the first layers; tokens in, and to guess."""
    config = ModelConfig(
        V, D, H, DEPTHS[-1], max_len=T, norm_kind=norm_kind, activation=activation, bias=bias,
        scale_embeddings=True, tie_embeddings=False,
    )  # fmt: skip
    with _seeded(seed):
        model = LanguageModel(config).apply(glorot).double()
        return model, *torch.randint(V, (2, B, T))


def _matrices(layer: nn.Module, parts: Parts) -> Sequence[Tensor]:
    used = [name for name in ("attention", "feed_forward") if getattr(parts, name)]
    return [
        m.weight for name in used for m in getattr(layer, name).modules()
        if isinstance(m, nn.Linear)
    ]  # fmt: skip


def _alike(states: Tensor) -> Tensor:
    """(B, T, D) -> the mean cosine between two different tokens of a text."""
    unit = F.normalize(states, dim=-1)
    return ((unit.sum(1).square().sum(-1) - T) / (T * (T - 1))).mean()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers from this seed inside the block; the user's own go on as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def logs(found: Profile) -> list[float]:
    """A profile as one list: log10 of gradient, alike as it is, log10 of weights."""

    def log10(numbers: list[float]) -> list[float]:
        return torch.tensor(numbers, dtype=torch.float64).log10().tolist()

    return [*log10(found.gradient), *found.alike, *log10(found.weights)]
