"""How many values are NaN or infinite."""

from __future__ import annotations

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import cast, pointer


@jit.kernel
def nonfinite(p, n):
    """How many of n values are NaN or infinite."""
    bad = 0
    for i in range(n):
        if p[i] - p[i] != cast(p, 0):  # NaN differs from 0 as well
            bad += 1
    return bad


@jit.entry
def count_nonfinite(like, address, n):
    """The same of n values at an address."""
    return nonfinite(pointer(like, address), n)
