"""Filling gaps in a text: the game that the course's encoder learned, and two that only count."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_lab.tokens import pad

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))

Gaps = tuple[Tensor, Tensor, Tensor]
"""The ids (B, T), what is shown of them (B, T), and which ones to guess (B, T), bool."""


def choose(ids: Tensor, random: torch.Generator) -> Tensor:
    """15 % of the pieces that are not special, bool (B, T)."""
    return (torch.rand(ids.shape, generator=random) < 0.15) & (ids >= len(SPECIAL))


def hide(ids: Tensor, vocab_size: int, random: torch.Generator) -> Gaps:
    """Gaps to learn from: shown as [MASK] (80 %), as any piece (10 %) or as they are (10 %)."""
    chosen = choose(ids, random)
    how = torch.rand(ids.shape, generator=random)
    other = torch.randint(len(SPECIAL), vocab_size, ids.shape, generator=random)
    shown = ids.masked_fill(chosen & (how < 0.8), MASK)
    return ids, torch.where(chosen & (how >= 0.9), other, shown), chosen


def model_logits(model: nn.Module, gaps: Gaps) -> Tensor:
    """An encoder's logits (N, V) for the N gaps: states times its own token vectors."""
    _, shown, chosen = gaps
    embedding: Any = model.embedding
    return F.linear(model(shown)[chosen], embedding.tokens.weight)


def masked_loss(model: nn.Module, gaps: Gaps) -> Tensor:
    """Mean cross-entropy of the gaps, in nats."""
    return F.cross_entropy(model_logits(model, gaps), gaps[0][gaps[2]])


@torch.no_grad()
def score(logits: Callable[[Gaps], Tensor], rows: Tensor, seed: int = 1) -> dict[str, float]:
    """Loss in nats and accuracy on the gaps of rows (B, T), the same gaps for whoever guesses.

    All of them are shown as [MASK]: a piece left as it is would be a hint that counting cannot use.
    """
    chosen = choose(rows, torch.Generator().manual_seed(seed))
    guess, truth = logits((rows, rows.masked_fill(chosen, MASK), chosen)), rows[chosen]
    right = (guess.argmax(-1) == truth).double().mean().item()
    loss = F.cross_entropy(guess, truth).item()
    return {"gaps": len(truth), "loss": round(loss, 3), "accuracy": round(right, 3)}


class Counts:
    """What counting in texts, each a row of ids, teaches about gaps."""

    def __init__(self, texts: Sequence[Sequence[int]], vocab_size: int) -> None:
        pairs = torch.zeros(vocab_size, vocab_size)
        for text in texts:
            ids = torch.tensor(text)
            pairs.index_put_((ids[:-1], ids[1:]), torch.ones(len(ids) - 1), accumulate=True)
        often = pairs.sum(0) + 1
        often[: len(SPECIAL)] = 1
        self.alone = often / often.sum()
        self.after, self.before = self._smooth(pairs), self._smooth(pairs.T)

    def _smooth(self, pairs: Tensor) -> Tensor:
        """Rows of probabilities, mixed with the pieces' own (Witten and Bell 1991)."""
        kinds = (pairs > 0).sum(1, keepdim=True).clamp(min=1)
        return (pairs + kinds * self.alone) / (pairs.sum(1, keepdim=True) + kinds)

    def unigram(self, gaps: Gaps) -> Tensor:
        """The same for every gap: how often a piece stands anywhere."""
        return self.alone.log().expand(int(gaps[2].sum()), -1)

    def neighbours(self, gaps: Gaps) -> Tensor:
        """p(piece | left) · p(piece | right) / p(piece): both neighbours, as if independent."""
        _, shown, chosen = gaps
        row, place = chosen.nonzero(as_tuple=True)
        left, right = shown[row, place - 1], shown[row, place + 1]
        return self.after[left].log() + self.before[right].log() - self.alone.log()


def rows_of(texts: Sequence[list[int]], longest: int) -> Tensor:
    """Texts, each a row of ids, as (B, T); longer ones are cut, their [SEP] kept."""
    return pad([row if len(row) <= longest else [*row[: longest - 1], SEP] for row in texts])
