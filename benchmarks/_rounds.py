"""The one way in which benchmarks take time: interleaved rounds, medians."""

import statistics
import time
from collections.abc import Callable, Mapping


def medians(
    calls: Mapping[str, Callable[[], object]], rounds: int, unmeasured: int = 1
) -> dict[str, float]:
    """Median milliseconds of each call. They take turns, so that a slow minute hits them all."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(unmeasured + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= unmeasured:
                taken[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}
