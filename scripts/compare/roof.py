"""The roof: the most floating point operations a second that this machine was seen to do.

``python -m compare.roof [THREADS]`` from the scripts folder prints it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

try:
    from fastbp.kernels.maths import roof
except ModuleNotFoundError:  # a commit from before the kernels had folders
    from fastbp.kernels import roof  # type: ignore[no-redef, attr-defined]

# What is tried: a loop of nothing but FMAs, and the products' register tile on operands in L1. Each
# gives a function of a count that releases the interpreter lock, and the operations of one count.
CANDIDATES = ("fma", "tile")

Clock = Callable[[], float]


def measure(
    dtype: str, threads: int, seconds: float, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Operations a second of each candidate, on all threads at once."""
    rates = {}
    for name in CANDIDATES:
        kernel, flops = roof.candidates(dtype)[name]
        count = 1
        while (took := _timed(kernel, count, 1, clock)) < 0.01:
            count *= 2
        count = max(1, round(count * seconds / took))
        rates[name] = count * flops * threads / _timed(kernel, count, threads, clock)
    return rates


def _timed(kernel: Callable[[int], Any], count: int, threads: int, clock: Clock) -> float:
    """Seconds from the first thread's start to the last one's end."""
    barrier = Barrier(threads)

    def work() -> tuple[float, float]:
        barrier.wait()
        start = clock()
        kernel(count)
        return start, clock()

    with ThreadPoolExecutor(threads) as pool:
        spans = [f.result() for f in [pool.submit(work) for _ in range(threads)]]
    return max(end for _, end in spans) - min(start for start, _ in spans)


if __name__ == "__main__":
    n_threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for kind in ("float32", "float64"):
        for source, rate in measure(kind, n_threads, 0.5).items():
            print(f"{kind}, {n_threads} thread(s), {source}: {rate / 1e9:.1f} GFLOP/s")
