"""What attention keeps in memory at 4,096 positions, beside torch's kernel alone.

    python benchmarks/attention_memory.py [rounds]

Peak resident memory, in MB above the inputs, each measured in a process of its own and in turn:
1 text × 8 heads × 4,096 positions × 64 numbers, causal, forward and forward + backward. "weights"
is attention that stores its table, as attention_weights(…) @ value does. Linux and macOS.
"""

import statistics
import subprocess
import sys

MEASURE = """
import sys, threading, time, psutil, torch
import torch.nn.functional as F
from transformer_lab.attention import attention, attention_weights
from transformer_lab.masks import causal_mask
torch.set_num_threads(2)
def ours(q, k, v): return attention(q, k, v, causal=True)
def kernel(q, k, v): return F.scaled_dot_product_attention(q, k, v, is_causal=True)
def weights(q, k, v): return attention_weights(q, k, causal_mask(q.shape[2])) @ v
run = {"ours": ours, "kernel": kernel, "weights": weights}[sys.argv[1]]
T, train = 4096, sys.argv[2] == "train"
q, k, v = (torch.randn(1, 8, T, 64, requires_grad=train) for _ in range(3))
with torch.set_grad_enabled(train):
    small = run(*(x[:, :, :64] for x in (q, k, v)))
    if train: small.sum().backward()
    q.grad = k.grad = v.grad = None
    before = psutil.Process().memory_info().rss
    peak, done = [before], threading.Event()
    def watch():
        while not done.is_set():
            peak.append(psutil.Process().memory_info().rss); time.sleep(0.001)
    thread = threading.Thread(target=watch); thread.start()
    out = run(q, k, v)
    if train: out.sum().backward()
    done.set(); thread.join()
print((max(peak) - before) / 1e6)
"""


def megabytes(what: str, how: str) -> float:
    run = [sys.executable, "-c", MEASURE, what, how]
    return float(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    head = f"{'ours MB':>8} {'kernel MB':>10} {'ours/kernel':>12} {'table MB':>9}"
    print(f"{'pass':8} {head}  aim: ours/kernel ≤ 1.10")
    for how in ("forward", "train"):
        taken = {name: [] for name in ("ours", "kernel", "weights")}
        for _ in range(rounds):
            for name, found in taken.items():
                found.append(megabytes(name, how))
        ours, kernel, table = (statistics.median(found) for found in taken.values())
        print(f"{how:8} {ours:8.1f} {kernel:10.1f} {ours / kernel:12.2f} {table:9.1f}")
