"""A digest of many bytes at the memory's speed: it tells accidents apart, not forgeries.

Every lane takes each LANES-th word of 64 bits by two bijections, of the lane for a given word and
of the word for a given lane: a change of one word always shows, of several but once in 2⁶⁴ times.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import pointer

#: lanes, and so words that are taken at a time
LANES = 64

_WORD = np.uint64(0)
_FACTOR, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


@jit.entry
def absorb(like, lanes, words, n):
    """Take n words, a multiple of LANES; always 0."""
    lanes, words = pointer(_WORD, lanes), pointer(_WORD, words)
    for first in range(0, n, LANES):
        for i in range(LANES):
            x = (lanes[i] ^ words[first + i]) * _FACTOR
            lanes[i] = x ^ (x >> _HALF)
    return 0
