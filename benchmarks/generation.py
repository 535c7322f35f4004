"""Writing speed with the key/value cache, beside transformers' generate and the bare products.

    python benchmarks/generation.py [rounds]

Milliseconds per token behind the prompt of 8 tokens, medians of interleaved rounds on 2 threads,
greedy: 49 new tokens take so much longer than one. "products" are only the matrix products that
one token needs, by nn.functional.linear. Then cached against uncached.
"""

import sys
import warnings
from collections.abc import Callable
from functools import partial

import torch
from _rounds import medians
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from transformer_lab.config import ModelConfig
from transformer_lab.decoding import generate
from transformer_lab.models import LanguageModel

NEW = 48
SHAPES = [(4, 4, 128, 65, 256, 1), (4, 4, 128, 65, 256, 16)]  # L, H, D, V, max_len, B
LARGE = [(12, 12, 768, 50_257, 1024, 1), (12, 12, 768, 50_257, 1024, 16)]


def pair(L: int, H: int, D: int, V: int, room: int) -> tuple[LanguageModel, nn.Module]:
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=V, n_positions=room, n_embd=D, n_layer=L, n_head=H, bos_token_id=0,
            eos_token_id=None, pad_token_id=0,
        )
    ).eval()  # fmt: skip
    config = ModelConfig(
        V, d_model=D, n_heads=H, n_layers=L, max_len=room, positions="learned",
        activation="gelu_tanh",
    )  # fmt: skip
    return LanguageModel(config).eval(), theirs


def products(model: LanguageModel, B: int) -> Callable[[], None]:
    """One token's matrix products with the model's own matrices, and nothing else."""
    matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    vectors = [torch.randn(B, w.shape[1]) for w in matrices]

    @torch.no_grad()
    def run() -> None:
        for _ in range(NEW):
            for x, w in zip(vectors, matrices, strict=True):
                nn.functional.linear(x, w)

    return run


def timed(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds per new token of each."""
    return {name: taken / NEW for name, taken in medians(calls, rounds).items()}


def theirs_writes(model: nn.Module, prompt: Tensor) -> Callable[[int], object]:
    mask = torch.ones_like(prompt)

    @torch.no_grad()
    def run(new: int) -> object:
        return model.generate(
            prompt, attention_mask=mask, max_new_tokens=new, do_sample=False, use_cache=True
        )

    return run


def beside_peers(sizes: tuple[int, ...], rounds: int) -> None:
    L, H, D, V, room, B = sizes
    model, theirs = pair(L, H, D, V, room)
    prompt = torch.randint(0, V, (B, 8))
    write = {"ours": partial(generate, model, prompt), "HF": theirs_writes(theirs, prompt)}
    calls = {f"{k} {n}": partial(w, n) for k, w in write.items() for n in (1, NEW + 1)}
    ms = timed({**calls, "products": products(model, B)}, rounds)
    ours, hf = (ms[f"{k} {NEW + 1}"] - ms[f"{k} 1"] for k in write)
    print(
        f"{f'{L}×{H}×{D}, {B}':24} {ours:8.2f} {hf:8.2f} {ms['products']:8.2f} "
        f"{hf / ours:8.2f} {ours / ms['products']:13.2f}"
    )


def main(rounds: int) -> None:
    names = f"{'ours':>8} {'HF':>8} {'products':>8} {'HF/ours':>8} {'ours/products':>13}"
    print(f"{'shape, batch':24} {names}")
    for sizes in SHAPES + LARGE:
        beside_peers(sizes, rounds if sizes[2] < 500 else max(3, rounds // 3))
    model, _ = pair(4, 4, 128, 65, 1024)
    print(f"\n{'T':>5} {'cached ms':>10} {'uncached ms':>12} {'speed-up':>9}")
    for T in (32, 128, 512):
        prompt = torch.randint(0, 65, (1, T))
        ms = timed(
            {str(c): partial(generate, model, prompt, NEW, cache=c) for c in (True, False)},
            max(3, rounds // 3),
        )
        print(f"{T:5} {ms['True']:10.2f} {ms['False']:12.2f} {ms['False'] / ms['True']:9.1f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    torch.manual_seed(0)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
