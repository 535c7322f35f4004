"""What counting costs: every preset by formula, and Llama-2-7B built on the meta device.

    python benchmarks/counting.py

Medians of the rounds; the peer is transformers' Llama of the same sizes, built and counted in turn.
"""

import warnings

import torch
from _rounds import medians

from transformer_lab.counting import PRESETS, count, formula
from transformer_lab.skeleton import skeleton

LLAMA = PRESETS["llama-2-7b"]


def ours() -> int:
    return count(skeleton(LLAMA)).total


def peer() -> int:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = LLAMA.config
    with torch.device("meta"):
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=sizes.vocab_size,
                hidden_size=sizes.d_model,
                intermediate_size=sizes.width_ff,
                num_hidden_layers=sizes.n_layers,
                num_attention_heads=sizes.n_heads,
            )
        )
    return model.num_parameters()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    assert ours() == peer() == formula(LLAMA).total
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'what':44} {'ours ms':>9} {'peer ms':>9} {'ratio':>6}  aim")
    every = medians({"": lambda: [formula(p) for p in PRESETS.values()]}, 101)[""]
    print(f"{f'formula, all {len(PRESETS)} presets':44} {every:9.2f} {'':>9} {'':>6}  ≤ 5 ms")
    built, theirs = medians({"ours": ours, "peer": peer}, 9).values()
    print(
        f"{'Llama-2-7B on meta, built and counted':44} {built:9.1f} {theirs:9.1f} "
        f"{built / theirs:6.3f}  ≤ 1000 ms"
    )
