"""How the course's own small encoder was made: python -m transformer_lab.data.make [folder]

It learns to fill gaps in Python's own documentation (Devlin et al. 2019, section 3.1).
"""

import json
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor

from transformer_lab.checkpoints import COURSE, read_safetensors, save, write_safetensors
from transformer_lab.config import ModelConfig
from transformer_lab.corpora import corpus
from transformer_lab.data import gaps
from transformer_lab.initialise import glorot
from transformer_lab.models import TextEncoder
from transformer_lab.training import train

V, MAX_LEN, STEPS, SEED = 2000, 128, 7500, 0


def paragraphs() -> tuple[list[str], list[str]]:
    """To train on, and held out. A paragraph's checksum decides, so it never changes sides."""
    texts = dict.fromkeys(" ".join(part.split()) for part in corpus("pydoc").split("\n\n"))
    words = [text for text in texts if text.lower() != text.upper()]  # no ruler of ***
    held_out = {text for text in words if crc32(text.encode()) % 10 == 0}
    return [t for t in words if t not in held_out], [t for t in words if t in held_out]


def wordpiece(pieces: dict[str, int]) -> Tokenizer:
    """A lower-cased tokenizer with these pieces and their ids."""
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def learn_pieces(texts: list[str]) -> Tokenizer:
    """V pieces from some texts. What they cannot spell is read as [UNK]."""
    letters = string.ascii_lowercase + string.digits
    # The trainer numbers single letters in another order in each run, and breaks ties by number.
    # Named first they keep their order, but count as special: hence a second tokenizer.
    first = [*gaps.SPECIAL, *letters, *string.punctuation, *("##" + letter for letter in letters)]
    trainer = trainers.WordPieceTrainer(vocab_size=V, special_tokens=first, show_progress=False)
    learner = wordpiece({})
    learner.train_from_iterator(texts, trainer)
    tokenizer = wordpiece(learner.get_vocab())
    tokenizer.add_special_tokens(gaps.SPECIAL)
    ends = [("[CLS]", gaps.CLS), ("[SEP]", gaps.SEP)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
    return tokenizer


def batches(stream: Tensor, tokens: int = 1024) -> Iterator[gaps.Gaps]:
    """Windows of one long text (N,) without end, short and long, between [CLS] and [SEP]."""
    random = torch.Generator().manual_seed(SEED)
    while True:
        T = MAX_LEN >> int(torch.randint(4, (), generator=random))
        start = torch.randint(len(stream) - T, (tokens // T, 1), generator=random)
        ids = stream[start + torch.arange(T)]
        ids[:, 0], ids[:, -1] = gaps.CLS, gaps.SEP
        yield gaps.hide(ids, V, random)


def main(folder: Path) -> None:
    """Train, compare with counting, and write both files into folder."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    learned, held_out = paragraphs()
    tokenizer = learn_pieces(learned)
    texts, unread = ([tokenizer.encode(t).ids for t in side] for side in (learned, held_out))
    stream = torch.tensor([piece for text in texts for piece in text[1:-1]])
    # Of learned, sinusoidal and rotary positions, rotary ones came first to heads that look at
    # neighbours, and to the lowest loss on held-out text.
    config = ModelConfig(V, n_layers=4, max_len=MAX_LEN, positions="rotary", pad_id=gaps.PAD)
    model = TextEncoder(config).apply(glorot)
    for step in train(model, batches(stream), STEPS, 3e-3, warmup=100, loss=gaps.masked_loss):
        if step.index % 500 == 0:
            print(f"step {step.index}  loss {step.loss:.3f}", flush=True)
    model.eval()
    counts = gaps.Counts(texts, V)
    rows = gaps.rows_of(unread, MAX_LEN).repeat(4, 1)  # other gaps each time
    report = {
        "held out": f"{len(held_out)} paragraphs of {len(learned) + len(held_out)}",
        "model": gaps.score(lambda hidden: gaps.model_logits(model, hidden), rows),
        "neighbours": gaps.score(counts.neighbours, rows),
        "unigram": gaps.score(counts.unigram, rows),
        "Python": sys.version.split()[0],
    }
    path = save(model, folder / "course.safetensors")
    weights, about = read_safetensors(path)
    write_safetensors(path, weights, {**about, "report": json.dumps(report)})
    tokenizer.save(str(folder / "tokenizer.json"))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else COURSE)
