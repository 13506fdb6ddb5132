"""Keeping a copy of what training changes, in one call: several small copies would take longer.

A table of int64 says what is copied: the address and number of the values that have to be finite,
how many buffers there are, then for each of them from where, to where, and how many words of 8
bytes.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import at, pointer
from fastbp.kernels.maths.finite import nonfinite

_INT = np.int64(0)


@jit.entry
def keep(like, table):
    """Copy all buffers, or none where a value is not finite; how many are not."""
    t = pointer(_INT, table)
    bad = nonfinite(pointer(like, t[0]), t[1])
    if bad == 0:
        for which in range(t[2]):
            buffer = at(t, 3 + 3 * which)
            source, target = pointer(_INT, buffer[0]), pointer(_INT, buffer[1])
            for i in range(buffer[2]):
                target[i] = source[i]
    return bad
