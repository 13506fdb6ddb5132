"""Samples forward through the network, for their outputs alone."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_block, call_read_rows
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.layout import layer_of
from fastbp.kernels.team import barrier, share

_INT = np.int64(0)


@jit.entry
def predict(like, table, out, thread):
    """The outputs of all n samples into `out`, (n, outputs) without padding."""
    t = lay.header(table)
    n, threads = t.n_samples, t.threads
    last = layer_of(t, t.n_layers - 1)
    n_out, ld = t.n_outputs, last.ld_out
    row = thread * t.rows_per_block
    target = pointer(like, out)
    a = at(pointer(like, t.workspace), last.outputs + row * ld)
    done, end = share(n, threads, thread), share(n, threads, thread + 1)
    status = lay.OK
    while done < end:
        count = min(t.rows_per_block, end - done)
        status = call_read_rows(t.call_read_rows, (like, t, done, row, count, thread))
        if status != lay.OK:
            break
        call_block(t.call_passes, (cast(a, 1), t, row, count, lay.FORWARD, 0, 0))
        for r in range(count):
            for j in range(n_out):
                target[(done + r) * n_out + j] = a[r * ld + j]
        done += count
    barrier(t)
    return status


@jit.entry
def forward_rows(like, table, first, rows):
    """Samples `first` ... forward through all layers, left in the workspace's first rows."""
    t = lay.header(table)
    status = call_read_rows(t.call_read_rows, (like, t, first, 0, rows, 0))
    if status == lay.OK:
        call_block(t.call_passes, (like, t, 0, rows, lay.FORWARD, 0, 0))
    return status
