"""Samples forward through the network, for their outputs alone."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_block, call_read_rows
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.layout import HEADER, RECORD
from fastbp.kernels.team import barrier, share

_INT = np.int64(0)


@jit.entry
def predict(like, table, out, thread):
    """The outputs of samples 0 ... N - 1 into `out`, (N, N_OUTPUTS) without padding."""
    t = pointer(_INT, table)
    n, threads = t[lay.N], t[lay.THREADS]
    last = at(t, HEADER + (t[lay.N_LAYERS] - 1) * RECORD)
    n_out, ld = t[lay.N_OUTPUTS], last[lay.L_LD_OUT]
    row = thread * t[lay.BLOCK]
    target = pointer(like, out)
    a = at(pointer(like, t[lay.BASE]), last[lay.L_A] + row * ld)
    done, end = share(n, threads, thread), share(n, threads, thread + 1)
    status = lay.OK
    while done < end:
        count = min(t[lay.BLOCK], end - done)
        status = call_read_rows(t[lay.READ_ROWS], (like, t, done, row, count, thread))
        if status != lay.OK:
            break
        call_block(t[lay.PASSES], (cast(a, 1), t, row, count, lay.FORWARD, 0, 0))
        for r in range(count):
            for j in range(n_out):
                target[(done + r) * n_out + j] = a[r * ld + j]
        done += count
    barrier(t)
    return status


@jit.entry
def forward_rows(like, table, first, rows):
    """Samples `first` ... forward through all layers, left in the workspace's first rows."""
    t = pointer(_INT, table)
    status = call_read_rows(t[lay.READ_ROWS], (like, t, first, 0, rows, 0))
    if status == lay.OK:
        call_block(t[lay.PASSES], (like, t, 0, rows, lay.FORWARD, 0, 0))
    return status
