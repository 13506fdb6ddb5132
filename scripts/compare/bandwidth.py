"""How many bytes a second one core reads: from its caches, and from memory.

``python -m compare.bandwidth`` from the scripts folder prints it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import pointer
from fastbp.kernels.compiling.target import VECTOR_BYTES
from fastbp.kernels.compiling.vectors import Vectors, ir_type, loop

#: bytes read again and again, by where they then stand: an L1 of 32 KB or more, an L2 of 1 MB or
#: more, an L3 of 16 MB or more, and larger than any cache
PLACES = {"L1": 16 << 10, "L2": 512 << 10, "L3": 8 << 20, "memory": 128 << 20}

_AT_ONCE = 8  # vectors, each with a sum of its own: additions wait for each other in none


@intrinsic
def _sum(typingctx, p, runs):
    """The sum of `runs` runs of vectors from p on."""

    def codegen(context, builder, sig, args):
        v = Vectors(builder, ir_type(sig.args[0].dtype))

        def step(i: Any, sums: list[Any]) -> list[Any]:
            start = builder.mul(i, i.type(_AT_ONCE * v.lanes))
            places = [builder.add(start, i.type(k * v.lanes)) for k in range(_AT_ONCE)]
            pairs = zip(sums, places, strict=True)
            return [builder.fadd(s, v.load(args[0], place)) for s, place in pairs]

        zero = v.splat(v.element(0.0))
        total, *others = loop(builder, args[1], [zero] * _AT_ONCE, step)
        for s in others:
            total = builder.fadd(total, s)
        return v.sum(total)

    return p.dtype(p, types.int64), codegen


@jit.entry
def read(like, address, runs, times):
    """Add up the values at an address, again and again."""
    p = pointer(like, address)
    for i in range(times):
        p[0] = i  # or all rounds were one
        p[0] = _sum(p, runs)
    return 0


def measure(seconds: float = 0.003, rounds: int = 200) -> dict[str, float]:
    """Bytes a second by place, the best of many rounds; the places take turns.

    By the processor's clock, and in rounds shorter than the turn that a system gives a process:
    others' turns don't count, and some rounds have the caches for themselves.
    """
    best = dict.fromkeys(PLACES, 0.0)
    entry = read.compiled("float32")
    arrays = {place: np.ones(size // 4, np.float32) for place, size in PLACES.items()}
    run = _AT_ONCE * VECTOR_BYTES
    for i in range(rounds):
        for place, x in arrays.items():
            if place == "memory" and i % 5:
                continue  # 10 ms each
            times = max(1, round(seconds * max(best[place], 1e10) / x.nbytes))
            started = time.process_time()
            entry(0.0, x.ctypes.data, x.nbytes // run, times)
            best[place] = max(best[place], times * x.nbytes / (time.process_time() - started))
    return best


if __name__ == "__main__":
    for where, rate in measure().items():
        print(f"{where}: {rate / 1e9:.0f} GB/s")
