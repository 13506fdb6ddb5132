"""The driver of metrics: which are taken, and where their sums go.

MEASURE is the address of a record MEASURES and records METRIC. A batch's sums are added to MEASURED
in an order that depends on sizes alone: by one thread, or slab by slab.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_forward, call_metric
from fastbp.kernels.compiling.simd import at, pointer
from fastbp.kernels.layout import HEADER, RECORD
from fastbp.kernels.passes import clear

_DOUBLE = np.float64(0.0)
_HEAD = 8 * lay.MEASURES.size  # bytes


@jit.kernel
def measure(like, t, row, rows, place, acc):
    """Add to the sums `acc` what workspace rows `row` ..., samples `place` ..., come to."""
    base = pointer(like, t[lay.BASE])
    last = at(t, HEADER + (t[lay.N_LAYERS] - 1) * RECORD)
    n, ld = last[lay.L_OUT], last[lay.L_LD_OUT]
    p = at(base, last[lay.L_A] + row * ld)
    if t[lay.FUSED_LOSS]:  # which has left out the activation
        z = at(base, last[lay.L_Z] + row * ld)
        for i in range(rows * ld):
            p[i] = z[i]
        call_forward(last[lay.L_FORWARD], (p, rows, n, ld, pointer(like, last[lay.L_PARAMETERS])))
    targets = at(base, t[lay.TARGETS] + (row + t[lay.SHIFT]) * ld)
    weights = at(pointer(like, t[lay.COUNTS]), row + t[lay.SHIFT])
    if t[lay.W_GATHER]:
        for r in range(rows):
            if weights[r] == 0:  # a row without weight counts for nothing, NaN or not
                clear(at(p, r * ld), ld)
                clear(at(targets, r * ld), ld)
    measures = lay.measures_at(t[lay.MEASURE])
    for number in range(measures.metrics):
        metric = lay.metric_of(t[lay.MEASURE] + _HEAD, number)
        sums, own = at(acc, metric.sums), pointer(_DOUBLE, metric.settings)
        call_metric(metric.function, (p, targets, weights, sums, rows, n, ld, own, place))


@jit.kernel
def add_measures(t, slabs):
    """Add the slabs' sums, in order, to those of the epoch, and clear them."""
    size = lay.measures_at(t[lay.MEASURE]).sums
    total, sums = pointer(_DOUBLE, t[lay.MEASURED]), pointer(_DOUBLE, t[lay.SLAB_MEASURED])
    for s in range(slabs):
        for i in range(size):
            total[i] += sums[s * size + i]
            sums[s * size + i] = 0.0
