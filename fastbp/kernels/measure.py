"""The driver of metrics: which are taken, and where their sums go.

`measures` is the address of a record MEASURES and records METRIC. A batch's sums are added to those
at `measured` in an order that depends on sizes alone: by one thread, or slab by slab.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_forward, call_metric
from fastbp.kernels.compiling.simd import at, pointer
from fastbp.kernels.layout import layer_of
from fastbp.kernels.passes import clear

_DOUBLE = np.float64(0.0)
_HEAD = 8 * lay.MEASURES.size  # bytes


@jit.kernel
def measure(like, t, row, rows, row_in_batch, acc):
    """Add to the sums `acc` what workspace rows `row` ... come to.

    They are rows `row_in_batch` ... of a batch.
    """
    base = pointer(like, t.workspace)
    last = layer_of(t, t.n_layers - 1)
    n, ld = last.n_out, last.ld_out
    p = at(base, last.outputs + row * ld)
    if t.fused_loss:  # which has left out the activation
        z = at(base, last.sums + row * ld)
        for i in range(rows * ld):
            p[i] = z[i]
        call_forward(last.call_forward, (p, rows, n, ld, pointer(like, last.settings)))
    targets = at(base, t.targets + (row + t.shift) * ld)
    weights = at(pointer(like, t.metric_weights), row + t.shift)
    if t.w.call_gather:
        for r in range(rows):
            if weights[r] == 0:  # a row without weight counts for nothing, NaN or not
                clear(at(p, r * ld), ld)
                clear(at(targets, r * ld), ld)
    measures = lay.measures_at(t.measures)
    for number in range(measures.metrics):
        metric = lay.metric_of(t.measures + _HEAD, number)
        sums, own = at(acc, metric.sums), pointer(_DOUBLE, metric.settings)
        call_metric(metric.call_metric, (p, targets, weights, sums, rows, n, ld, own, row_in_batch))


@jit.kernel
def add_measures(t, slabs):
    """Add the slabs' sums, in order, to those of the epoch, and clear them."""
    size = lay.measures_at(t.measures).sums
    total, sums = pointer(_DOUBLE, t.measured), pointer(_DOUBLE, t.slab_measured)
    for s in range(slabs):
        for i in range(size):
            total[i] += sums[s * size + i]
            sums[s * size + i] = 0.0
