"""The position explorer: how a model is told the order of its tokens, one question a tab."""

import random
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
import traitlets
from torch import Tensor

from transformer_lab.instruments import position_explorer_still, wire
from transformer_lab.instruments.base import Instrument
from transformer_lab.positions import alibi, rotary, sinusoidal

TABS = ("waves", "distance", "hands", "slopes", "move")
SCHEMES = ("none", "sinusoidal", "rotary", "ALiBi")
SENTENCE = ("the", "dog", "chased", "the", "cat", "today")
MOST_TOKENS, MOST_D = 12, 64
Q = (0.21, 0.5, -0.16, 0.27, 1.18, 0.87, 0.89, 0.75)  # four pairs, number i with number i + 4
K = (0.64, 0.0, 0.21, -0.08, 0.77, 1.1, 0.77, 0.9)
WHOLE = {"width": (4, 64), "position": (0, 127), "other": (0, 127), "heads": (1, 16)}
WHOLE |= {"head": (0, 15), "query": (0, MOST_TOKENS - 1), "key": (0, MOST_TOKENS - 1)}


class PositionExplorer(Instrument):
    """Waves, their products by distance, rotary as clock hands, ALiBi's slopes, a word moved.

    tokens: 2 to 12 strings for the last tab. tabs: which of TABS to show; tab: the open one.
    length: positions 0 to length − 1, 4 to 128. q, k: the query and key of the clock hands, (d,)
    with an even d up to 12. vectors: (len(tokens), d), an even d up to 64: the queries and keys of
    the moved words; one made from each word's letters unless given. Raises ValueError or TypeError
    for what cannot be shown.

    Synced both ways, as the learner left them: tab, width (D), base, position (m: the pinned row,
    the query of the hands), other (n), cosine, heads, head, order (tokens by index, as they stand
    now), query, key (indices of tokens).
    """

    module = "position_explorer.js"
    content = traitlets.Dict().tag(sync=True)
    tab = traitlets.Unicode("waves").tag(sync=True)
    width = traitlets.Any(32).tag(sync=True)
    base = traitlets.Any(10_000.0).tag(sync=True)
    position = traitlets.Any(12).tag(sync=True)
    other = traitlets.Any(7).tag(sync=True)
    cosine = traitlets.Bool(True).tag(sync=True)
    heads = traitlets.Any(8).tag(sync=True)
    head = traitlets.Any(2).tag(sync=True)
    order = traitlets.Any().tag(sync=True)
    query = traitlets.Any(1).tag(sync=True)
    key = traitlets.Any(0).tag(sync=True)

    def __init__(
        self,
        tokens: Sequence[str] = SENTENCE,
        tab: str | None = None,
        tabs: Sequence[str] = TABS,
        length: int = 48,
        q: Any = Q,
        k: Any = K,
        vectors: Any = None,
        predict: tuple[str, Sequence[str]] | None = None,
        title: str = "",
        **state: Any,
    ) -> None:
        self.tabs = _tabs(tabs)
        self.tokens = [wire.text(token) for token in tokens]
        if not 2 <= len(self.tokens) <= MOST_TOKENS:
            raise ValueError(f"tokens has {len(self.tokens)}; expected 2 to {MOST_TOKENS} strings")
        self.length = _whole("length", length, 4, 128)
        self._q, self._k = _hands(q, k)
        self._vectors = _vectors(vectors, self.tokens)
        if unknown := set(state) - set(self.trait_names()):
            raise TypeError(f"PositionExplorer has no argument {', '.join(sorted(unknown))}")
        given = {"order": list(range(len(self.tokens))), "key": min(2, len(self.tokens) - 1)}
        last = self.length - 1
        given |= {"position": min(12, last), "other": min(7, last), **state}
        given["head"] = state.get(
            "head", min(2, int(_whole("heads", given.get("heads", 8), 1, 16)) - 1)
        )
        super().__init__(predict, tab=tab or self.tabs[0], **given)
        start = {name: getattr(self, name) for name in (*WHOLE, "base", "cosine")}
        self.content = {
            "tokens": self.tokens,
            "tabs": self.tabs,
            "length": self.length,
            "title": wire.text(title, "title"),
            "q": self._q.tolist(),
            "k": self._k.tolist(),
            "vectors": self._vectors.tolist(),
            "start": start | {"order": list(range(len(self.tokens)))},
        }

    @traitlets.observe("heads")
    def _fewer(self, _: Any) -> None:
        if self.head >= self.heads:
            self.head = self.heads - 1

    @traitlets.validate("tab")
    def _known(self, proposal: Any) -> str:
        if proposal.value not in self.tabs:
            raise ValueError(f"tab = {proposal.value!r}; expected one of {self.tabs}")
        return proposal.value

    @traitlets.validate(*WHOLE)
    def _in_range(self, proposal: Any) -> int:
        name = proposal.trait.name
        low, high = WHOLE[name]
        counts = {"position": self.length, "other": self.length, "head": self.heads}
        counts |= {"query": len(self.tokens), "key": len(self.tokens)}
        high = counts.get(name, high + 1) - 1
        value = _whole(name, proposal.value, low, high)
        if name == "width" and value % 2:
            raise ValueError(f"width = {value}; expected an even number")
        return value

    @traitlets.validate("base")
    def _positive(self, proposal: Any) -> float:
        value = proposal.value
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"base must be a number, not {value!r}")
        if not 10 <= float(value) <= 1e6:
            raise ValueError(f"base = {value!r}; expected 10 to 1,000,000")
        return float(value)

    @traitlets.validate("order")
    def _each_once(self, proposal: Any) -> list[int]:
        found, count = list(proposal.value), len(self.tokens)
        if sorted(found) != list(range(count)):
            raise ValueError(f"order = {found}; expected each of 0 to {count - 1} once")
        return [int(i) for i in found]

    def products(self) -> Tensor:
        """PE(m)·PE(n) for the pinned m and every n: float (length,)."""
        waves = sinusoidal(self.length, self.width, self.base).double()
        waves = waves if self.cosine else waves[:, ::2]
        return (waves @ waves[self.position]).float()

    def hand_score(self) -> float:
        """The product of the turned query and the turned key."""
        at = max(self.position, self.other)
        turned = rotary(
            torch.stack([self._q, self._k])[:, None].expand(2, at + 1, -1), 0, self.base
        )
        return float(turned[0, self.position].double() @ turned[1, self.other].double())

    def scores(self, order: Sequence[int] | None = None) -> dict[str, float]:
        """The score of the chosen query and key under each scheme; order: the present one."""
        places = list(self.order if order is None else order)
        m, n, d = places.index(self.query), places.index(self.key), self._vectors.shape[1]
        x, T = self._vectors, len(places)
        waves = sinusoidal(T, d, self.base).double()
        turned = rotary(x[places], 0, self.base)
        plain = x[self.query] @ x[self.key]
        bias = alibi(self.heads, T)[self.head, m, n]
        summed = (x[self.query] + waves[m]) @ (x[self.key] + waves[n])
        products = [plain, summed, turned[m] @ turned[n], plain]
        scores = [float(product) / d**0.5 for product in products]
        return dict(zip(SCHEMES, [*scores[:3], scores[3] + float(bias)], strict=True))

    def describe(self) -> str:
        return position_explorer_still.describe(self)

    def picture(self) -> bytes:
        return position_explorer_still.picture(self)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1:
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} = {value!r}; expected {low} to {high}")
    return int(value)


def _tabs(tabs: Sequence[str]) -> list[str]:
    found = [tabs] if isinstance(tabs, str) else list(tabs)
    if not found or len(set(found)) < len(found) or not set(found) <= set(TABS):
        raise ValueError(f"tabs = {found}; expected some of {list(TABS)}, each once")
    return found


def _hands(q: Any, k: Any) -> tuple[Tensor, Tensor]:
    found = [wire.array(numbers, name) for name, numbers in (("q", q), ("k", k))]
    for name, numbers in zip("qk", found, strict=True):
        if numbers.ndim != 1 or numbers.size % 2 or not 2 <= numbers.size <= 12:
            raise ValueError(f"{name} has shape {numbers.shape}; expected (d,), an even d up to 12")
    if found[0].shape != found[1].shape:
        raise ValueError(f"q has shape {found[0].shape} and k {found[1].shape}; expected one d")
    q, k = (torch.tensor(numbers.astype(float)) for numbers in found)
    return q, k


def _vectors(vectors: Any, tokens: Sequence[str]) -> Tensor:
    if vectors is None:  # numbers of spread 1, the same for the same word on every machine
        rows = [random.Random(token) for token in tokens]
        return torch.tensor(
            [[round(3**0.5 * (2 * r.random() - 1), 2) for _ in range(16)] for r in rows],
            dtype=torch.float64,
        )
    found = wire.array(vectors, "vectors")
    ok = found.ndim == 2 and len(found) == len(tokens)
    if not ok or found.shape[1] % 2 or not 2 <= found.shape[1] <= MOST_D:
        raise ValueError(
            f"vectors has shape {found.shape}; expected ({len(tokens)}, d), an even d up "
            f"to {MOST_D}"
        )
    return torch.tensor(found.astype(float))
