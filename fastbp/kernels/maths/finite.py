"""How many values are NaN or infinite."""

from __future__ import annotations

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import pointer, value


@jit.kernel
def nonfinite(p, n):
    """How many of n values are NaN or infinite."""
    bad = 0
    for i in range(n):
        if p[i] - p[i] != value(p, 0):  # NaN differs from 0 as well
            bad += 1
    return bad


@jit.entry
def count_nonfinite(tag, address, n):
    """The same of n values at an address."""
    return nonfinite(pointer(tag, address), n)
