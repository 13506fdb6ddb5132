"""Inverted dropout (Srivastava et al. 2014): outputs are kept with probability 1 - p, and scaled.

A mask depends on the seed, the number of the update, the layer, and the output's row and place in
the batch; never on the thread that draws it, nor on how the batch is cut.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_dropout
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.maths.rng import mix

_STEP = np.uint32(0x9E3779B9)
_M1, _M2 = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
_S15, _S16, _S32 = np.uint32(15), np.uint32(16), np.uint64(32)


@jit.inlined
def bits(low, high, j):
    """32 random bits for place j of a row whose key is `high` and `low`.

    The multipliers and shifts of Wellons' lowbias32, a bijection, with half the key between.
    """
    x = np.uint32(low + np.uint32(np.uint32(j) * _STEP))
    x = np.uint32(np.uint32(x ^ np.uint32(x >> _S16)) * _M1)
    x = np.uint32(x ^ high)
    x = np.uint32(np.uint32(x ^ np.uint32(x >> _S15)) * _M2)
    return np.uint32(x ^ np.uint32(x >> _S16))


@jit.elementwise(roles.dropout)
def dropout(a, x, keep, rows, n, ld, first, key, settings):
    """x = a keep, keep being 0 or 1/(1 - p), of which `settings` hold 1/(1 - p) and p 2^32."""
    threshold = np.uint32(np.int64(settings[1]) * 65536 + np.int64(settings[2]))  # 16 bits each
    scale, zero = settings[0], cast(a, 0)
    for r in range(rows):
        k = mix(np.uint64(key) + np.uint64(first + r))
        low, high = np.uint32(k), np.uint32(k >> _S32)
        to, by, source = at(x, r * ld), at(keep, r * ld), at(a, r * ld)
        for j in range(ld):
            by[j] = scale if bits(low, high, j) >= threshold else zero
        for j in range(ld):
            to[j] = source[j] * by[j]


@jit.kernel
def drop(like, t, layer, number, a, row, rows, row_in_batch, updates_made):
    """One layer's dropout on workspace rows `row` ...

    They are rows `row_in_batch` ... of a batch, before which there were `updates_before` updates,
    and `updates_made` in this call.
    """
    base, n, ld = pointer(like, t.workspace), layer.n_out, layer.ld_out
    key = mix(mix(np.uint64(t.dropout_seed) ^ mix(np.uint64(t.updates_before + updates_made))))
    key = np.int64(mix(key + np.uint64(number)))
    x, keep = at(base, layer.passed_on + row * ld), at(base, layer.kept + row * ld)
    settings = pointer(like, layer.dropout_settings)
    call_dropout(layer.call_dropout, (a, x, keep, rows, n, ld, row_in_batch, key, settings))
