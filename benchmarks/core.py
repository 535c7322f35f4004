"""What the core costs beside its peers: import, recording switched off, the encoder's forward.

    python benchmarks/core.py

Every figure is a ratio of two things measured in turn, in this run; medians of the rounds.
"""

import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable

import torch
from _rounds import medians

from transformer_lab.checkpoints import load_pretrained
from transformer_lab.pretrained import find_pretrained


def python(code: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def imports() -> Iterable[float]:
    ours, peer = python("import transformer_lab.models"), python("import torch")
    return medians({"ours": ours, "peer": peer}, 9).values()


def recording_off() -> tuple[float, float]:
    """forward + backward with the recording module imported and used before, and without it."""
    code = (
        "import time, torch, statistics; torch.manual_seed(0); torch.set_num_threads(1); {}"
        "from transformer_lab.models import LanguageModel;"
        "from transformer_lab.config import ModelConfig;"
        "from transformer_lab.training import next_token_loss as loss;"
        "m = LanguageModel(ModelConfig(100, d_model=128, n_layers=4));"
        "x = torch.randint(0, 100, (12, 65)); t = []\n{}"
        "for _ in range(60):\n s = time.perf_counter(); loss(m, x).backward();"
        " t.append(time.perf_counter() - s)\n"
        "print(1e3 * statistics.median(t[10:]))"
    )
    used = "with record_attention(m): m(x)\n"
    both = (
        code.format("from transformer_lab.recording import record_attention;", used),
        code.format("", ""),
    )
    taken: list[list[float]] = [[], []]
    for _ in range(7):
        for seconds, source in zip(taken, both, strict=True):
            out = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True)
            seconds.append(float(out.stdout))
    return statistics.median(taken[0]), statistics.median(taken[1])


def encoder() -> Iterable[float]:
    """16 texts × 64 tokens through all-MiniLM-L6-v2: our TextEncoder, transformers' BertModel."""
    from transformers import BertModel

    ours, _ = load_pretrained("minilm")
    theirs = BertModel.from_pretrained(find_pretrained("minilm"), attn_implementation="sdpa").eval()
    ids = torch.randint(1000, 30_000, (16, 64))
    mask = torch.ones(16, 64, dtype=torch.bool)
    mask[::2, 50:] = False
    number_mask = mask.long()

    @torch.no_grad()
    def run(model: torch.nn.Module, **given: torch.Tensor) -> object:
        return model(ids, **given)

    with torch.no_grad():
        apart = (ours(ids, mask) - theirs(ids, number_mask).last_hidden_state)[mask].abs().max()
    assert apart < 1e-5, apart
    calls = {
        "ours": lambda: run(ours, mask=mask),
        "peer": lambda: run(theirs, attention_mask=number_mask),
    }
    return medians(calls, 25).values()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'what':44} {'ours ms':>9} {'peer ms':>9} {'ratio':>6}  aim")
    for name, measure, aim in [
        ("import transformer_lab.models / import torch", imports, "≤ 1.10"),
        ("forward+backward, recording imported / not", recording_off, "1.00 ± noise"),
        ("encoder forward 16 × 64 / transformers SDPA", encoder, "≤ 1.05"),
    ]:
        ours, peer = measure()
        print(f"{name:44} {ours:9.1f} {peer:9.1f} {ours / peer:6.3f}  {aim}")
