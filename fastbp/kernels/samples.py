"""Reading a block of samples: which ones, and from where."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_gather
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.gather import one_hot
from fastbp.kernels.maths.finite import nonfinite
from fastbp.kernels.maths.rng import MOST_DRAWN, drawn, indices

_INT = np.int64(0)
_HEAD = lay.WINDOW.size
_DOUBLE = np.float64(0.0)


@jit.kernel
def read(t, which, out, index, rows, n, ld):
    """Gather from the source whose fields begin at `which`; how many values were bad."""
    offsets = pointer(_INT, t[which + 3])
    bad = call_gather(
        t[which + 4], (out, t[which], t[which + 1], t[which + 2], offsets, index, rows, n, ld)
    )
    if t[lay.LAZY]:
        bad += nonfinite(out, rows * ld)
    return bad


@jit.kernel
def window(t, position, rows, thread):
    """The samples at positions `position` ... of the epoch: `rows` of them, or more.

    Each thread keeps those of its last POSITIONS, since a few at a time cost several times
    as much each as many do; or of the whole epoch, where its order is drawn as a whole.
    """
    size = t[lay.POSITIONS]
    here = at(pointer(_INT, t[lay.INDEX]), thread * (size + _HEAD))
    kept, index = lay.window_at(here), at(here, _HEAD)
    first = kept.first
    if position < first or position + rows > kept.last or kept.epoch != t[lay.EPOCH]:
        n, shuffle, seed, epoch = t[lay.N], t[lay.SHUFFLE], t[lay.SEED], t[lay.EPOCH]
        if shuffle and n <= MOST_DRAWN:
            first, count = 0, n
            drawn(index, n, seed, epoch)
        else:
            first, count = position, min(size, n - position)
            indices(index, first, count, n, shuffle, seed, epoch, t[lay.SPLIT_BITS])
        kept.first, kept.last, kept.epoch = first, first + count, epoch
    return at(index, position - first)


@jit.kernel
def weigh(t, which, scale, out, index, rows):
    """Read weights, times the power of two `scale` of SCALING; how many were bad."""
    bad = read(t, which, out, index, rows, 1, 1)
    scaling = pointer(_DOUBLE, t[lay.SCALING])
    by, least = scaling[scale], cast(out, scaling[lay.LEAST])
    if by != 1.0:
        for r in range(rows):
            scaled = cast(out, np.float64(out[r]) * by)
            out[r] = least if scaled == 0 and out[r] > 0 else scaled
    return bad


@jit.cfunc(roles.read_rows)
def read_rows(like, t, position, row, rows, thread):
    """Samples at `position` ... of the epoch into workspace rows `row` ...; a status."""
    base = pointer(like, t[lay.BASE])
    index = window(t, position, rows, thread)
    if t[lay.W_GATHER]:
        if weigh(t, lay.W, lay.W_BY, at(base, t[lay.WEIGHTS] + row), index, rows):
            return lay.BAD_WEIGHT
        if t[lay.M_GATHER]:
            counts = at(pointer(like, t[lay.COUNTS]), row)
            if weigh(t, lay.M, lay.M_BY, counts, index, rows):
                return lay.BAD_WEIGHT
    x = at(base, t[lay.A0] + row * t[lay.LD0])
    if read(t, lay.X, x, index, rows, t[lay.N_INPUTS], t[lay.LD0]):
        return lay.BAD_X
    if t[lay.Y_GATHER]:
        y, ld = at(base, t[lay.TARGETS] + row * t[lay.LD_TARGETS]), t[lay.LD_TARGETS]
        if t[lay.CLASS_IDS]:
            bad = read(t, lay.Y, y, index, rows, 1, 1) + one_hot(y, rows, t[lay.N_OUTPUTS], ld)
        else:
            bad = read(t, lay.Y, y, index, rows, t[lay.N_OUTPUTS], ld)
        if bad:
            return lay.BAD_Y
    return lay.OK
