"""How the threads of a team share work out, wait for each other, and come to one status."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import pointer
from fastbp.kernels.compiling.threads import wait

_INT = np.int64(0)
_DOUBLE = np.float64(0.0)


@jit.kernel
def share(n, parts, part):
    """Where part `part` of n items begins."""
    if parts == 1:  # a division is a good part of a tiny network's step
        return n * part
    return n * part // parts


@jit.kernel
def barrier(t):
    wait(pointer(_INT, t.barrier), t.threads, t.call_yield)


@jit.kernel
def first_bad_status(t):
    """The first bad status of any thread, the same for all."""
    results = pointer(_DOUBLE, t.results)
    for thread in range(t.threads):
        if results[lay.R_STATUS + thread] != 0.0:
            return np.int64(results[lay.R_STATUS + thread])
    return lay.OK
