"""How long a learner waits for a verdict.

    python benchmarks/checks.py [rounds]

Milliseconds of processor and of clock for one check, over every exercise: its reference, and each
of its known mistakes. The medians and the 95th percentiles of all exercises stand last.
"""

import statistics
import sys
import time
import warnings

import torch

from transformer_lab.exercises import CATALOG
from transformer_lab.exercises.engine import examine


def taken(exercise, answer, rounds: int) -> tuple[float, float]:
    """Medians of (processor, clock) in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time(), time.perf_counter()
        examine(exercise, answer)
        times.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    return tuple(1e3 * statistics.median(column) for column in zip(*times, strict=True))


def last(name: str, times: list[tuple[float, float]]) -> None:
    for what, column in zip(("processor", "clock"), zip(*times, strict=True), strict=True):
        *_, p95 = statistics.quantiles(column, n=20)
        print(f"{name}, {what}: median {statistics.median(column):.0f} ms, p95 {p95:.0f} ms")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    right, wrong = [], []
    print(
        f"{'exercise':24} {'right ms':>9} {'wrong ms':>9}   aim: median ≤ 150, p95 ≤ 1000 (clock)"
    )
    for exercise in CATALOG.values():
        right.append(taken(exercise, exercise.reference, rounds))
        ours = [taken(exercise, mistake.code, rounds) for mistake in exercise.mistakes]
        wrong += ours
        slow = max(clock for _, clock in ours)
        print(f"{exercise.id:24} {right[-1][1]:9.0f} {slow:9.0f}")
    last("right answers", right)
    last("known mistakes", wrong)
