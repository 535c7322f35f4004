"""The block builder: a layer's parts on and off; its diagram, code, counts and gradient follow."""

from collections.abc import Sequence
from typing import Any

import traitlets

from transformer_lab.config import ModelConfig
from transformer_lab.instruments import block, builder_still, wire
from transformer_lab.instruments.base import Instrument

SWITCHES = ("residual", "norm", "attention", "feed_forward")
PLACES = ("pre", "post")
WHOLE = (block.Parts(), block.Parts(place="post"))  # drawn in grey beside what is built
WIDEST = 1 << 16


class BlockBuilder(Instrument):
    """One layer's parts on switches, and what a stack of such layers does before training.

    config gives the sizes that are counted, and the place of the norm, the number of layers, the
    kind of norm, the activation and the biases; the paper's base model unless given. Gradients
    are measured on stacks of the package's own layers, narrow ones: see block.py. residual, norm,
    attention and feed_forward: False takes the part out. depth: 1, 2, 4, 6, 8, 12, 16 or 24.
    Raises ValueError or TypeError, naming the argument.

    Synced both ways, as the learner left them: residual, norm, attention, feed_forward, place
    ("pre" or "post") and depth. Worked out from them in Python: parameters (of one layer), code
    (its lines), and gradient, alike and weights (lists, from the embedding to the last layer).
    """

    module = "builder.js"
    start = traitlets.Dict().tag(sync=True)  # title, sizes, and what "Start again" goes back to
    blocks = traitlets.Dict().tag(sync=True)  # {key: steps}, for every setting of the switches
    profiles = traitlets.Dict().tag(sync=True)  # {"key depth": float32 bytes}, those asked for
    residual = traitlets.Any(True).tag(sync=True)
    norm = traitlets.Any(True).tag(sync=True)
    attention = traitlets.Any(True).tag(sync=True)
    feed_forward = traitlets.Any(True).tag(sync=True)
    place = traitlets.Any("pre").tag(sync=True)
    depth = traitlets.Any(6).tag(sync=True)
    parameters = traitlets.Int(read_only=True)
    code = traitlets.List(traitlets.Unicode(), read_only=True)
    gradient = traitlets.List(traitlets.Float(), read_only=True)
    alike = traitlets.List(traitlets.Float(), read_only=True)
    weights = traitlets.List(traitlets.Float(), read_only=True)

    def __init__(
        self,
        config: ModelConfig | None = None,
        residual: bool = True,
        norm: bool = True,
        attention: bool = True,
        feed_forward: bool = True,
        depth: int | None = None,
        predict: tuple[str, Sequence[str]] | None = None,
        title: str | None = None,
    ) -> None:
        config = ModelConfig(37_000, 512, 8, 6) if config is None else config
        if not isinstance(config, ModelConfig):
            raise TypeError(f"config must be a ModelConfig, not {config!r}")
        for name in ("d_model", "d_ff"):
            if getattr(config, name) > WIDEST:
                raise ValueError(f"{name} = {getattr(config, name):,}; expected at most {WIDEST:,}")
        self._config, self._title = config, wire.text(title or "", "title")
        state = {
            "residual": _switch("residual", residual),
            "norm": _switch("norm", norm),
            "attention": _switch("attention", attention),
            "feed_forward": _switch("feed_forward", feed_forward),
            "place": config.norm,
            "depth": _depth(config.n_layers if depth is None else depth),
        }
        sizes = {"D": config.d_model, "F": config.d_ff, "H": config.n_heads}
        measured = {"D": block.D, "T": block.T, "seeds": block.SEEDS}
        blocks = {
            parts.key: {
                "steps": [
                    {**step._asdict(), "line": step.line, "count": count}
                    for step, count in zip(
                        block.steps(parts), block.counts(parts, config), strict=True
                    )
                ],
                "final": block.final(parts, config),
            }
            for parts in block.everything()
        }
        start = {
            "title": self._title, "sizes": sizes, "measured": measured,
            "depths": list(block.DEPTHS), **state,
        }  # fmt: skip
        super().__init__(predict, start=start, blocks=blocks, **state)
        self._measure()
        self.observe(self._measure, list(state))

    @traitlets.validate(*SWITCHES)
    def _is_switch(self, proposal: Any) -> bool:
        return _switch(proposal.trait.name, proposal.value)

    @traitlets.validate("place")
    def _is_place(self, proposal: Any) -> str:
        if proposal.value not in PLACES:
            raise ValueError(f"place = {proposal.value!r}; expected 'pre' or 'post'")
        return proposal.value

    @traitlets.validate("depth")
    def _is_depth(self, proposal: Any) -> int:
        return _depth(proposal.value)

    @property
    def parts(self) -> block.Parts:
        """The switches and the place of the norm."""
        switches = {name: getattr(self, name) for name in SWITCHES}
        return block.Parts(**switches, place=self.place)

    def _profile(self, parts: block.Parts, depth: int) -> block.Profile:
        c = self._config
        return block.profile(parts, depth, c.norm_kind, c.activation, c.bias)

    def _measure(self, _: Any = None) -> None:
        """The present layer, and the whole layer with either norm to compare it with."""
        found = self._profile(self.parts, self.depth)
        self.profiles = self._packed([self.parts, *WHOLE], [self.depth])
        self.set_trait("parameters", sum(block.counts(self.parts, self._config)))
        self.set_trait("code", [step.line for step in block.steps(self.parts)])
        for name, numbers in found._asdict().items():
            self.set_trait(name, numbers)

    def _packed(self, every: Sequence[block.Parts], depths: Sequence[int]) -> dict[str, bytes]:
        """float32: log10 of gradient (L + 1), alike (L + 1), log10 of weights (L or none)."""
        return {
            f"{parts.key} {depth}": wire.pack_floats(
                block.logs(self._profile(parts, depth)), "profiles"
            )
            for parts in every
            for depth in depths
        }

    def state(self) -> dict[str, Any]:
        """As in Instrument, with the profiles of all switches and depths: no kernel is there."""
        profiles = self._packed(block.everything(), block.DEPTHS)
        return {**super().state(), "profiles": profiles}

    def describe(self) -> str:
        ratio = builder_still.ratio(self.gradient[0])
        layers = "1 layer" if self.depth == 1 else f"{self.depth} layers"
        return (
            f"{builder_still.called(self.parts)} at D = {self._config.d_model:,}: "
            f"{self.parameters:,} parameters. Before training, below a stack of {layers} the "
            f"gradient is {ratio} times that at the top, and two tokens have a mean cosine of "
            f"{self.alike[-1]:.2f} at the top."
        )

    def picture(self) -> bytes:
        compared = [self._profile(parts, self.depth).gradient for parts in WHOLE]
        steps = block.steps(self.parts)
        return builder_still.picture(
            self._title, self.parts, steps, block.counts(self.parts, self._config),
            self.gradient, compared,
        )  # fmt: skip


def _switch(name: str, on: Any) -> bool:
    if not isinstance(on, bool):
        raise TypeError(f"{name} must be True or False, not {on!r}")
    return on


def _depth(depth: Any) -> int:
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise TypeError(f"depth must be a whole number, not {depth!r}")
    if depth not in block.DEPTHS:
        known = ", ".join(map(str, block.DEPTHS))
        raise ValueError(f"depth = {depth}; expected one of {known}")
    return depth
