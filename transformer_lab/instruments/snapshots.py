"""A look at a translator while it learns: what it writes, and where it looks."""

from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from transformer_lab.decoding import generate
from transformer_lab.instruments.reading import Reading
from transformer_lab.models import EncoderDecoder
from transformer_lab.recording import record_attention
from transformer_lab.translation import NumberWords

MOST = 40  # looks that are kept
BUDGET = 400_000  # bytes of their weights


class Snapshot(NamedTuple):
    """weights (T, L, H, S): cross-attention before each right piece. wrote: its own greedy text."""

    step: int
    right: float
    wrote: str
    weights: NDArray[Any]


@torch.no_grad()
def snapshot(
    model: EncoderDecoder, task: NumberWords, reading: Reading, right: float, step: int
) -> Snapshot:
    """Cross-attention while the right answer is given piece by piece, and a free translation."""
    source = task.english.batch([reading.source])
    target = task.german.batch([reading.expected or ()], ends=True)
    was_training = model.training
    model.eval()
    try:
        with record_attention(model) as weights:
            model(source, target[:, :-1])
    finally:
        model.train(was_training)
    crossing = [table[0] for name, table in weights.items() if "cross" in name]
    begin = torch.full((1, 1), task.german.START)
    written = generate(model, begin, 12, source=source, end_id=task.german.END)[0]
    return Snapshot(
        step,
        right,
        "".join(task.german.decode(written)),
        torch.stack(crossing).permute(2, 0, 1, 3).cpu().numpy(),
    )


def thinned(looks: list[Snapshot], every: int) -> list[Snapshot]:
    """At most as many as fit: beyond that every second one goes; first and last stay."""
    most = max(3, min(MOST, BUDGET // (2 * looks[0].weights.size)))
    kept = looks
    while len(kept) > most:
        every *= 2
        kept = [look for look in looks[:-1] if look.step % every == 0] + looks[-1:]
    return kept
