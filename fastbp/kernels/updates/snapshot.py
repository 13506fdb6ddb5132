"""Keeping a copy of what training changes, in one call: several small copies would take longer.

A record COPIES says which values have to be finite, a record COPY behind it what is copied for each
of some buffers.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.records import Record
from fastbp.kernels.compiling.simd import pointer
from fastbp.kernels.maths.finite import nonfinite

_INT = np.int64(0)

#: the address and number of the values that have to be finite, and the number of buffers
COPIES = Record("checked n_checked buffers")
#: addresses of a buffer and of its copy, and words of 8 bytes
COPY = Record("source target words")
copies, copy_of = COPIES.at_address(), COPY.numbered(behind=COPIES.size)


@jit.entry
def keep(like, table):
    """Copy all buffers, or none where a value is not finite; how many are not."""
    t = copies(table)
    bad = nonfinite(pointer(like, t.checked), t.n_checked)
    if bad == 0:
        for number in range(t.buffers):
            buffer = copy_of(t, number)
            source, target = pointer(_INT, buffer.source), pointer(_INT, buffer.target)
            for i in range(buffer.words):
                target[i] = source[i]
    return bad
