"""The roof: the most floating point operations a second that this machine was seen to do.

``python -m peers.roof [THREADS]`` from the scripts folder prints it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ROUNDS = 1000  # FMAs on each accumulator between two looks at the counter


def vector_bytes() -> int:
    """Bytes of the widest vector of the CPU that numba compiles for."""
    chosen = os.environ.get("NUMBA_CPU_FEATURES")
    features = chosen if chosen is not None else binding.get_host_cpu_features().flatten()
    enabled = set(features.split(","))
    return 64 if "+avx512f" in enabled else 32 if "+avx" in enabled else 16


@cache
def fma_kernel(dtype: str) -> tuple[Callable[[int], float], int]:
    """A kernel that does ``kernel(n)`` × the returned number of operations."""
    element = {"float32": ir.FloatType(), "float64": ir.DoubleType()}[dtype]
    lanes = vector_bytes() // {"float32": 4, "float64": 8}[dtype]
    # 4 to 5 cycles of latency on 2 units want 10 accumulators; 16 registers hold 12 and the two
    # operands without a spill, the 32 of AVX-512 and NEON hold 24
    wide = vector_bytes() == 64 or binding.get_default_triple().startswith(("aarch64", "arm64"))
    accumulators = 24 if wide else 12
    vector = ir.VectorType(element, lanes)

    @intrinsic
    def multiply_add(typing_context: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            # fmuladd is an FMA where the target has one, and no call to libm where it has none
            fma = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector] * 3),
                f"llvm.fmuladd.v{lanes}f{64 if dtype == 'float64' else 32}",
            )
            # x ← 0.75 x + 0.25 stays between its start and 1: no denormal, no overflow
            scale, step = (ir.Constant(vector, [v] * lanes) for v in (0.75, 0.25))
            slots = []
            for i in range(accumulators):
                slots.append(cgutils.alloca_once(builder, vector))
                builder.store(ir.Constant(vector, [1.5 + i] * lanes), slots[-1])
            with cgutils.for_range(builder, args[0]):
                for slot in slots:
                    builder.store(builder.call(fma, [builder.load(slot), scale, step]), slot)
            total = builder.load(slots[0])
            for slot in slots[1:]:
                total = builder.fadd(total, builder.load(slot))
            first = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
            return first if dtype == "float64" else builder.fpext(first, ir.DoubleType())

        return types.float64(types.int64), generate

    @numba.njit("float64(int64)", nogil=True)
    def kernel(n: int) -> float:
        return multiply_add(n * ROUNDS)

    return kernel, 2 * lanes * accumulators * ROUNDS


# what is tried, each a function of the dtype that gives a nogil function of a count and the
# operations that one count does; the roof is the best of them
CANDIDATES: dict[str, Callable[[str], tuple[Callable[[int], Any], int]]] = {"fma": fma_kernel}


def measure(dtype: str, threads: int, seconds: float) -> dict[str, float]:
    """Operations a second of each candidate, on all threads at once."""
    rates = {}
    for name, make in CANDIDATES.items():
        kernel, flops = make(dtype)
        count = 1
        while (took := _timed(kernel, count, 1)) < 0.01:
            count *= 2
        count = max(1, round(count * seconds / took))
        rates[name] = count * flops * threads / _timed(kernel, count, threads)
    return rates


def _timed(kernel: Callable[[int], Any], count: int, threads: int) -> float:
    """Seconds from the first thread's start to the last one's end."""
    barrier = Barrier(threads)

    def work() -> tuple[float, float]:
        barrier.wait()
        start = time.perf_counter()
        kernel(count)
        return start, time.perf_counter()

    with ThreadPoolExecutor(threads) as pool:
        spans = [f.result() for f in [pool.submit(work) for _ in range(threads)]]
    return max(end for _, end in spans) - min(start for start, _ in spans)


if __name__ == "__main__":
    n_threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for kind in ("float32", "float64"):
        for source, rate in measure(kind, n_threads, 0.5).items():
            print(f"{kind}, {n_threads} thread(s), {source}: {rate / 1e9:.1f} GFLOP/s")
