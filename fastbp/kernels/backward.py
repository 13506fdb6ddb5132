"""The delta recurrence for a block of rows."""

from __future__ import annotations

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_backward
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.layout import (
    BASE,
    FUSED_LOSS,
    HEADER,
    L_A,
    L_BACKWARD,
    L_D,
    L_DROPOUT,
    L_IN,
    L_KEEP,
    L_LD_IN,
    L_LD_OUT,
    L_MASK,
    L_OUT,
    L_PARAMETERS,
    L_WT,
    L_Z,
    LOWEST,
    N_LAYERS,
    PARAMS,
    RECORD,
    TILES,
    ZEROS,
)
from fastbp.kernels.maths.matmul import over_panels


@jit.kernel
def through_activation(like, record, base, row, rows):
    """d = f'(z) d of one layer, where that is not the delta product's mask."""
    if record[L_BACKWARD]:
        ld = record[L_LD_OUT]
        d = at(base, record[L_D] + row * ld)
        a = at(base, record[L_A] + row * ld)
        z = at(base, record[L_Z] + row * ld)
        parameters = pointer(like, record[L_PARAMETERS])
        call_backward(record[L_BACKWARD], (d, a, z, rows, record[L_OUT], ld, parameters))


@jit.kernel
def backward(like, t, row, rows):
    """From the output layer's delta to those of all hidden layers, workspace rows `row` ..."""
    params, base = pointer(like, t[PARAMS]), pointer(like, t[BASE])
    zeros = at(params, t[ZEROS])
    none = cast(params, -float("inf"))
    layer = t[N_LAYERS] - 1
    record = at(t, HEADER + layer * RECORD)
    if not t[FUSED_LOSS]:
        through_activation(like, record, base, row, rows)
    while layer > t[LOWEST]:
        below = at(t, HEADER + (layer - 1) * RECORD)
        n_in, ld_in = record[L_IN], record[L_LD_IN]
        n_out, ld_out = record[L_OUT], record[L_LD_OUT]
        d = at(base, record[L_D] + row * ld_out)
        d_below = at(base, below[L_D] + row * ld_in)
        a_below = at(base, below[L_A] + row * ld_in)
        wt = at(params, record[L_WT])
        over_panels(
            t[TILES], d, ld_out, wt, n_out, zeros, 0, d_below, ld_in, none, a_below, below[L_MASK],
            rows, n_in,
        )  # fmt: skip
        if below[L_DROPOUT]:
            keep = at(base, below[L_KEEP] + row * ld_in)
            for i in range(rows * ld_in):
                d_below[i] = d_below[i] * keep[i]
        through_activation(like, below, base, row, rows)
        record = below
        layer -= 1
