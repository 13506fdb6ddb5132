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
def read(t, source, out, index, rows, n, ld):
    """Gather rows from a record SOURCE; how many values were bad."""
    by_row, by_feature, offsets = source.row_stride, source.feature_stride, source.offsets
    bad = call_gather(
        source.call_gather,
        (out, source.address, by_row, by_feature, pointer(_INT, offsets), index, rows, n, ld),
    )
    if t.lazy:
        bad += nonfinite(out, rows * ld)
    return bad


@jit.kernel
def window(t, position, rows, thread):
    """The samples at positions `position` ... of the epoch: `rows` of them, or more.

    Each thread keeps those of its last positions, since a few at a time cost several times as much
    each as many do; or of the whole epoch, where its order is drawn as a whole.
    """
    size = t.positions_kept
    here = at(pointer(_INT, t.index), thread * (size + _HEAD))
    kept, index = lay.window_at(here), at(here, _HEAD)
    first = kept.first
    if position < first or position + rows > kept.last or kept.epoch != t.epoch:
        n, shuffle, seed, epoch = t.n_samples, t.shuffle, t.seed, t.epoch
        if shuffle and n <= MOST_DRAWN:
            first, count = 0, n
            drawn(index, n, seed, epoch)
        else:
            first, count = position, min(size, n - position)
            indices(index, first, count, n, shuffle, seed, epoch, t.split_bits)
        kept.first, kept.last, kept.epoch = first, first + count, epoch
    return at(index, position - first)


@jit.kernel
def weigh(t, source, scale, out, index, rows):
    """Read weights, times the power of two at `scale` in `scaling`; how many were bad."""
    bad = read(t, source, out, index, rows, 1, 1)
    scaling = pointer(_DOUBLE, t.scaling)
    by, least = scaling[scale], cast(out, scaling[lay.LEAST])
    if by != 1.0:
        for r in range(rows):
            scaled = cast(out, np.float64(out[r]) * by)
            out[r] = least if scaled == 0 and out[r] > 0 else scaled
    return bad


@jit.cfunc(roles.read_rows)
def read_rows(like, table, position, row, rows, thread):
    """Samples at `position` ... of the epoch into workspace rows `row` ...; a status."""
    t = lay.header(table)
    base = pointer(like, t.workspace)
    index = window(t, position, rows, thread)
    if t.w.call_gather:
        if weigh(t, t.w, lay.W_BY, at(base, t.sample_weights + row), index, rows):
            return lay.BAD_WEIGHT
        if t.m.call_gather:
            counts = at(pointer(like, t.metric_weights), row)
            if weigh(t, t.m, lay.M_BY, counts, index, rows):
                return lay.BAD_WEIGHT
    x = at(base, t.samples + row * t.ld_inputs)
    if read(t, t.x, x, index, rows, t.n_inputs, t.ld_inputs):
        return lay.BAD_X
    if t.y.call_gather:
        y, ld = at(base, t.targets + row * t.ld_targets), t.ld_targets
        if t.class_ids:
            bad = read(t, t.y, y, index, rows, 1, 1) + one_hot(y, rows, t.n_outputs, ld)
        else:
            bad = read(t, t.y, y, index, rows, t.n_outputs, ld)
        if bad:
            return lay.BAD_Y
    return lay.OK
