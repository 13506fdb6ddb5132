"""The forward pass of a block of rows through all layers, while the block is in cache."""

from __future__ import annotations

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_dots, call_forward
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.dropout import drop
from fastbp.kernels.layout import (
    A0,
    BASE,
    DOTS,
    HEADER,
    L_A,
    L_B,
    L_CLAMP,
    L_DROPOUT,
    L_FORWARD,
    L_IN,
    L_LD_IN,
    L_LD_OUT,
    L_NARROW,
    L_OUT,
    L_PARAMETERS,
    L_W,
    L_X,
    L_Z,
    LD0,
    N_LAYERS,
    PARAMS,
    RECORD,
    SHIFT,
    TILES,
)
from fastbp.kernels.maths.matmul import over_panels


@jit.kernel
def layer_forward(like, t, record, params, a, z, rows):
    """z = b + a W for one layer; max(z, 0) where the activation is a clamp."""
    n_in, ld_in = record[L_IN], record[L_LD_IN]
    n_out, ld_out = record[L_OUT], record[L_LD_OUT]
    w, b = at(params, record[L_W]), at(params, record[L_B])
    if record[L_NARROW]:
        call_dots(t[DOTS], (a, ld_in, w, n_in, b, z, ld_out, rows, n_out))
        if record[L_CLAMP]:
            for i in range(rows * ld_out):
                z[i] = max(z[i], cast(z, 0))
    else:
        low = cast(z, 0) if record[L_CLAMP] else cast(z, -float("inf"))
        over_panels(t[TILES], a, ld_in, w, n_in, b, 1, z, ld_out, low, z, 0, rows, n_out)


@jit.kernel
def forward(like, t, row, rows, skip_last, place, made):
    """All layers for workspace rows `row` ...; `skip_last` leaves out the last activation."""
    params, base = pointer(like, t[PARAMS]), pointer(like, t[BASE])
    n_layers = t[N_LAYERS]
    a = at(base, t[A0] + (row + t[SHIFT]) * t[LD0])
    for layer in range(n_layers):
        record = at(t, HEADER + layer * RECORD)
        n_out, ld = record[L_OUT], record[L_LD_OUT]
        z = at(base, record[L_Z] + row * ld)
        out = at(base, record[L_A] + row * ld)
        layer_forward(like, t, record, params, a, z, rows)
        if record[L_FORWARD] and not (skip_last and layer == n_layers - 1):
            parameters = pointer(like, record[L_PARAMETERS])
            if record[L_Z] != record[L_A]:
                for i in range(rows * ld):
                    out[i] = z[i]
            call_forward(record[L_FORWARD], (out, rows, n_out, ld, parameters))
        if record[L_DROPOUT]:
            drop(like, t, record, layer, out, row, rows, place, made)
        a = at(base, record[L_X] + row * ld)
