"""The model designer: sizes in, parameters, arithmetic and memory out, beside real models."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
import traitlets

from transformer_lab import counting
from transformer_lab.config import ModelConfig
from transformer_lab.instruments import designer_still, wire
from transformer_lab.instruments.base import Instrument
from transformer_lab.presets import KINDS, Preset

# The largest sizes on the controls, as in view/designer.js.
MOST = {
    "vocab_size": 1 << 20, "d_model": 16_384, "n_layers": 128, "d_ff": 65_536, "max_len": 1 << 17,
    "n_segments": 16,
}  # fmt: skip
MOST_OTHER = {"T": 1 << 17, "batch": 512, "target": 10**13}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CLOSE = 0.01  # a target counts as reached within this share of it


class ModelDesigner(Instrument):
    """The sizes of a model on controls; what they cost follows.

    config: a ModelConfig, a dict of its arguments, or a preset or its name ("gpt2"). kind:
    "encoder", "decoder" or "encoder-decoder"; a preset brings its own. T: the length of a text,
    max_len unless given; batch: how many of them. precision: "float32" or "bfloat16". target: a
    number of parameters to aim for. Raises ValueError or TypeError, naming the argument.

    Synced both ways, as the learner left them: config (a dict: `ModelConfig(**designer.config)`),
    kind, T, batch, precision, target. Worked out from them: total, and goal, {} without a target,
    else {"target", "deviation": total / target - 1, "reached": within 1 %}.
    """

    module = "designer.js"
    start = traitlets.Dict().tag(sync=True)  # title, presets, and what "Start again" goes back to
    config = traitlets.Any().tag(sync=True)
    kind = traitlets.Any("decoder").tag(sync=True)
    T = traitlets.Any(1).tag(sync=True)
    batch = traitlets.Any(1).tag(sync=True)
    precision = traitlets.Any("float32").tag(sync=True)
    target = traitlets.Any(None).tag(sync=True)
    total = traitlets.Int(read_only=True).tag(sync=True)
    goal = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(
        self,
        config: ModelConfig | Preset | Mapping[str, Any] | str = "gpt2",
        kind: str | None = None,
        T: int | None = None,
        batch: int = 1,
        precision: str = "float32",
        target: int | None = None,
        predict: tuple[str, Sequence[str]] | None = None,
        title: str | None = None,
    ) -> None:
        if isinstance(config, str):
            if config not in counting.PRESETS:
                known = ", ".join(counting.PRESETS)
                raise ValueError(f"config = {config!r}; expected one of {known}")
            config = counting.PRESETS[config]
        if isinstance(config, Preset):
            kind = kind or config.kind
            config = config.config
        state: dict[str, Any] = {
            "config": _config(config),
            "kind": _word("kind", kind or "decoder", KINDS),
            "batch": _whole("batch", batch),
            "precision": _word("precision", precision, tuple(DTYPES)),
            "target": None if target is None else _whole("target", target),
        }
        longest = state["config"]["max_len"]
        state["T"] = longest if T is None else _whole("T", T, longest)
        presets = [
            {"name": name, "kind": preset.kind, "config": asdict(preset.config)}
            for name, preset in counting.PRESETS.items()
        ]
        self._title = wire.text(title or "", "title")
        start = {"title": self._title, "presets": presets, **state}
        super().__init__(predict, start=start, **state)
        self._count()
        self.observe(self._count, ["config", "kind", "target"])

    @traitlets.validate("config")
    def _fits(self, proposal: Any) -> dict[str, Any]:
        return _config(proposal.value)

    @traitlets.validate("kind", "precision")
    def _one_of(self, proposal: Any) -> str:
        name = proposal.trait.name
        return _word(name, proposal.value, KINDS if name == "kind" else tuple(DTYPES))

    @traitlets.validate("T", "batch", "target")
    def _in_range(self, proposal: Any) -> int | None:
        name = proposal.trait.name
        if name == "target" and proposal.value is None:
            return None
        return _whole(name, proposal.value)

    def _count(self, _: Any = None) -> None:
        total = self.parts.total
        goal = {}
        if self.target is not None:
            deviation = total / self.target - 1
            goal = {
                "target": self.target,
                "deviation": deviation,
                "reached": abs(deviation) <= CLOSE,
            }
        self.set_trait("total", total)
        self.set_trait("goal", goal)

    @property
    def model_config(self) -> ModelConfig:
        """The config as the learner left it."""
        return ModelConfig(**self.config)

    @property
    def parts(self) -> counting.Breakdown:
        """The parameters by component: counting.formula."""
        return counting.formula(self.model_config, self.kind)

    @property
    def flops(self) -> counting.Breakdown:
        """The arithmetic of a forward pass: counting.flops."""
        return counting.flops(self.model_config, self._T, B=self.batch, kind=self.kind)

    def memory(self, training: bool = False) -> counting.Breakdown:
        """Bytes to generate or to train: counting.memory."""
        return counting.memory(
            self.model_config, self._T, B=self.batch, kind=self.kind,
            dtype=DTYPES[self.precision], training=training,
        )  # fmt: skip

    @property
    def _T(self) -> int:
        return min(self.T, self.config["max_len"])

    def describe(self) -> str:
        config, parts = self.config, self.parts
        same = [
            name for name, preset in counting.PRESETS.items()
            if preset.kind == self.kind and asdict(preset.config) == config
        ]  # fmt: skip
        who = f"{'A' if self.kind == 'decoder' else 'An'} {self.kind}"
        if same:
            who = f"{same[0]}, {who[0].lower()}{who[1:]},"
        feed = 100 * parts.only("feed-forward weight", "feed-forward bias") / parts.total
        words = 100 * parts.only("token embedding", "output head") / parts.total
        aim = f" {designer_still.aim(self.goal)}" if self.goal else ""
        work = designer_still.short(self.flops.total)
        held = designer_still.size(self.memory(training=True).total)
        return (
            f"{who} with D = {config['d_model']:,}, L = {config['n_layers']} and F = "
            f"{config['d_ff']:,}: {parts.total:,} parameters, {words:.0f} % to read and write "
            f"tokens, {feed:.0f} % in the feed-forward parts. A forward pass over "
            f"{self.batch} × {self._T:,} tokens takes {work}FLOP, "
            f"training {held}.{aim}"
        )

    def picture(self) -> bytes:
        return designer_still.picture(
            self._title, self.kind, self.config, self.parts, self.flops,
            self.memory(), self.memory(training=True), self.goal,
        )  # fmt: skip


def _config(config: Any) -> dict[str, Any]:
    """The full dict of a valid config whose sizes the controls can show."""
    if isinstance(config, Mapping):
        config = ModelConfig(**config)
    if not isinstance(config, ModelConfig):
        raise TypeError(f"config must be a ModelConfig, a dict, a preset or a name, not {config!r}")
    found = asdict(config)
    for name, most in MOST.items():
        if found[name] > most:
            raise ValueError(f"{name} = {found[name]:,}; expected at most {most:,}")
    return found


def _word(name: str, word: Any, allowed: tuple[str, ...]) -> str:
    if word not in allowed:
        raise ValueError(f"{name} = {word!r}; expected one of {', '.join(allowed)}")
    return word


def _whole(name: str, number: Any, most: int | None = None) -> int:
    most = MOST_OTHER[name] if most is None else most
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} must be a whole number, not {number!r}")
    if not 1 <= number <= most:
        raise ValueError(f"{name} = {number:,}; expected 1 to {most:,}")
    return number
