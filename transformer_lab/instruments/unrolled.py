"""Every step of a decoder for one source: what it expected next, where it looked, what was kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from transformer_lab.models import EncoderDecoder
from transformer_lab.recording import record_attention

WIDTHS = (1, 2, 3, 4)  # beam widths; 1 is greedy
SHOWN = 5  # the likeliest pieces of a step


@dataclass
class Unrolled:
    """A tree of texts: node 0 holds <start>, every other node one piece after its parent.

    score is the text's log-probability. row is the node's place in the arrays of what was computed
    after it, or None where nothing follows: top (R, 5) ids, log_probs (R, 5) and
    weights (R, L, H, S), the cross-attention. beams[width][t] lists the nodes that a search of
    that width keeps after t pieces, likeliest first.
    """

    parents: list[int] = field(default_factory=lambda: [-1])
    pieces: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=lambda: [0.0])
    rows: list[int | None] = field(default_factory=lambda: [None])
    beams: dict[int, list[list[int]]] = field(default_factory=dict)
    top: Tensor = field(default_factory=lambda: torch.empty(0))
    log_probs: Tensor = field(default_factory=lambda: torch.empty(0))
    weights: Tensor = field(default_factory=lambda: torch.empty(0))

    def path(self, node: int) -> list[int]:
        """The nodes from 0 to this one."""
        found = [node]
        while found[0]:
            found.insert(0, self.parents[found[0]])
        return found

    def written(self, node: int) -> list[int]:
        """The ids from <start> to this node's."""
        return [self.pieces[each] for each in self.path(node)]

    def best(self, width: int) -> int:
        """The node that a search of this width ends with."""
        return self.beams[width][-1][0]


@torch.no_grad()
def unroll(
    model: EncoderDecoder, source: Sequence[int], start: int, end: int, most: int
) -> Unrolled:
    """Search with every width at once, at most `most` pieces; a step runs all its texts together.

    Each width's result is that of `decoding.generate(..., beams=width)`.
    """
    tree = Unrolled(pieces=[start], beams={width: [[0]] for width in WIDTHS})
    children: dict[tuple[int, int], int] = {}
    device = model.head.weight.device
    kept: list[list[Tensor]] = [[], [], []]
    was_training = model.training
    model.eval()
    try:
        tokens = torch.tensor([list(source)], device=device)
        states, mask = model.encode(tokens), model.source_mask(tokens)
        for _ in range(most):
            last = {node for steps in tree.beams.values() for node in steps[-1]}
            open_ = sorted(n for n in last if tree.pieces[n] != end and tree.rows[n] is None)
            if not open_:
                break
            texts = torch.tensor([tree.written(node) for node in open_], device=device)
            B = len(open_)
            with record_attention(model) as weights:
                logits = model.decode(
                    texts,
                    states.expand(B, -1, -1),
                    mask if mask is None else mask.expand(B, -1, -1),
                )
            step = logits[:, -1].log_softmax(-1).cpu()
            crossing = [table[:, :, -1] for name, table in weights.items() if "cross" in name]
            best = step.topk(min(SHOWN, step.shape[-1]))
            for one, new in zip(
                kept, (best.indices, best.values, torch.stack(crossing, 1).cpu()), strict=True
            ):
                one.append(new)
            before = sum(map(len, kept[0][:-1]))
            for i, node in enumerate(open_):
                tree.rows[node] = before + i
            following = dict(zip(open_, step, strict=True))
            for width, steps in tree.beams.items():
                _extend(tree, children, steps, width, following, end)
    finally:
        model.train(was_training)
    tree.top, tree.log_probs, tree.weights = (torch.cat(parts) for parts in kept)
    return tree


def _extend(
    tree: Unrolled,
    children: dict[tuple[int, int], int],
    steps: list[list[int]],
    width: int,
    following: dict[int, Tensor],
    end: int,
) -> None:
    """Adds to `steps` the likeliest `width` texts that are one piece longer, or have ended."""
    if all(tree.pieces[node] == end for node in steps[-1]):
        return
    options: list[tuple[float, int, int | None]] = []
    for node in steps[-1]:
        if tree.pieces[node] == end:
            options.append((tree.scores[node], node, None))
            continue
        likely = following[node].topk(min(width, len(following[node])))
        for more, piece in zip(likely.values.tolist(), likely.indices.tolist(), strict=True):
            options.append((tree.scores[node] + more, node, piece))
    options.sort(key=lambda option: -option[0])
    chosen = []
    for score, node, piece in options[:width]:
        if piece is None:
            chosen.append(node)
            continue
        if (node, piece) not in children:
            children[node, piece] = len(tree.pieces)
            tree.parents.append(node)
            tree.pieces.append(piece)
            tree.scores.append(score)
            tree.rows.append(None)
        chosen.append(children[node, piece])
    steps.append(chosen)
