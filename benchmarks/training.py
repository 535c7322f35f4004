"""Training speed of our GPT-shaped model beside its peers: forward + backward + AdamW.

    python benchmarks/training.py [rounds]

Tokens per second, medians of interleaved rounds on 2 threads; the ratio is ours over the fastest
peer. TRANSFORMER_LAB_NANOGPT names a checkout of nanoGPT to be measured too.
"""

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from _rounds import medians
from torch import Tensor, nn

from transformer_lab.config import ModelConfig
from transformer_lab.models import LanguageModel
from transformer_lab.training import weight_groups

VOCABULARY = 65
SHAPES = [(4, 4, 128, 12, 64), (4, 4, 128, 32, 128), (6, 6, 384, 8, 256)]  # L, H, D, B, T


def ours(L: int, H: int, D: int, T: int) -> nn.Module:
    return LanguageModel(
        ModelConfig(VOCABULARY, d_model=D, n_heads=H, n_layers=L, max_len=T, positions="learned")
    )


class Torch(nn.Module):
    """nn.TransformerEncoder as a language model, the way torch's own tutorial builds it."""

    def __init__(self, L: int, H: int, D: int, T: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, D), nn.Embedding(T, D)
        layer = nn.TransformerEncoderLayer(
            D, H, 4 * D, 0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, L, nn.LayerNorm(D), enable_nested_tensor=False)
        self.head = nn.Linear(D, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight
        mask = nn.Transformer.generate_square_subsequent_mask(T)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        states = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.head(self.layers(states, mask=self.mask, is_causal=True))


def hugging_face(L: int, H: int, D: int, T: int) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=T, n_embd=D, n_layer=L, n_head=H, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, activation_function="gelu", use_cache=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    model = GPT2LMHeadModel(config)
    model.forward = _logits(model.forward)
    return model


def _logits(forward: Callable) -> Callable:
    return lambda tokens: forward(tokens).logits


def x_transformers(L: int, H: int, D: int, T: int) -> nn.Module:
    from x_transformers import Decoder, TransformerWrapper

    return TransformerWrapper(
        num_tokens=VOCABULARY,
        max_seq_len=T,
        tie_embedding=True,
        attn_layers=Decoder(dim=D, depth=L, heads=H, attn_dim_head=D // H, attn_flash=True),
    )


def nano_gpt(L: int, H: int, D: int, T: int) -> nn.Module:
    path = Path(os.environ["TRANSFORMER_LAB_NANOGPT"]) / "model.py"
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.GPT(
        module.GPTConfig(
            block_size=T, vocab_size=VOCABULARY, n_layer=L, n_head=H, n_embd=D, dropout=0.0
        )
    )
    forward = model.forward
    model.forward = lambda tokens: forward(tokens, tokens)[0]
    return model


def peers() -> dict[str, Callable[..., nn.Module]]:
    found: dict[str, Callable[..., nn.Module]] = {"ours": ours, "nn.TransformerEncoder": Torch}
    if importlib.util.find_spec("transformers"):
        found["transformers GPT-2"] = hugging_face
    if importlib.util.find_spec("x_transformers"):
        found["x-transformers"] = x_transformers
    if os.environ.get("TRANSFORMER_LAB_NANOGPT"):
        found["nanoGPT"] = nano_gpt
    return found


def stepper(model: nn.Module, B: int, T: int) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(weight_groups(model, 0.1), lr=1e-3, fused=True)
    tokens = torch.randint(0, VOCABULARY, (B, T + 1))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].reshape(-1)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(inputs).reshape(-1, VOCABULARY), targets).backward()
        optimiser.step()

    return step


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"{'shape L×H×D, B×T':26} {'model':24} {'tokens/s':>9} {'ours/peer':>9}")
    for L, H, D, B, T in SHAPES:
        steps = {name: stepper(build(L, H, D, T), B, T) for name, build in peers().items()}
        taken = medians(steps, rounds, unmeasured=2)
        speed = {name: B * T / ms * 1e3 for name, ms in taken.items()}
        for name, tokens in speed.items():
            shape = f"{L}×{H}×{D}, {B}×{T}"
            print(f"{shape:26} {name:24} {tokens:9.0f} {speed['ours'] / tokens:9.2f}")
