"""Tiny networks by batches of a few rows: all layers one vector wide, all products in place.

The loop of epoch.py spends most of such a step on calls by address and on the layout table. Here
only that is called in which kinds differ: activations, loss, update. The sums are the same chains
in the same order as there, so the results are the same bits.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.backward import through_activation
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_dots, call_forward, call_transpose
from fastbp.kernels.compiling.simd import at, cast, lanes_of, pointer
from fastbp.kernels.layout import HEADER, RECORD
from fastbp.kernels.maths.tiles import column_sums, vector_row
from fastbp.kernels.measure import measure
from fastbp.kernels.passes import losses, silence
from fastbp.kernels.pieces import layer_input, shared_bias, update
from fastbp.kernels.steps import (
    begin_step,
    divisor,
    end_step,
    ordered_sum,
    record_error,
    weights_of,
)

_DOUBLE = np.float64(0.0)
_INT = np.int64(0)
#: rows of a batch up to which this is the quicker way
MOST_ROWS = 4
# Up to so many weights are transposed one by one: a call takes as long.
_FEW_WEIGHTS = 16


@jit.inlined
def forward(like, t, params, base, rows):
    ld_in, n_layers = t[lay.LD0], t[lay.N_LAYERS]
    a = at(base, t[lay.A0] + t[lay.SHIFT] * ld_in)
    for layer in range(n_layers):
        record = at(t, HEADER + layer * RECORD)
        n_in, n_out, ld = record[lay.L_IN], record[lay.L_OUT], record[lay.L_LD_OUT]
        w, b = at(params, record[lay.L_W]), at(params, record[lay.L_B])
        z, out = at(base, record[lay.L_Z]), at(base, record[lay.L_A])
        if record[lay.L_NARROW]:
            call_dots(t[lay.DOTS], (a, ld_in, w, n_in, b, z, ld, rows, n_out))
            if record[lay.L_CLAMP]:
                for i in range(rows * ld):
                    z[i] = max(z[i], cast(z, 0))
        else:
            low = cast(z, 0) if record[lay.L_CLAMP] else cast(z, -float("inf"))
            for r in range(rows):
                vector_row((at(a, r * ld_in), 1, w, ld, b, at(z, r * ld), n_in, low, z, 0))
        if record[lay.L_FORWARD] and not (t[lay.FUSED_LOSS] and layer == n_layers - 1):
            if record[lay.L_Z] != record[lay.L_A]:
                for i in range(rows * ld):
                    out[i] = z[i]
            parameters = pointer(like, record[lay.L_PARAMETERS])
            call_forward(record[lay.L_FORWARD], (out, rows, n_out, ld, parameters))
        a, ld_in = out, ld


@jit.inlined
def backward(like, t, params, base, rows):
    zeros, none = at(params, t[lay.ZEROS]), cast(params, -float("inf"))
    layer = t[lay.N_LAYERS] - 1
    record = at(t, HEADER + layer * RECORD)
    if not t[lay.FUSED_LOSS]:
        through_activation(like, record, base, 0, rows)
    while layer > 0:
        below = at(t, HEADER + (layer - 1) * RECORD)
        n_out, ld, ld_below = record[lay.L_OUT], record[lay.L_LD_OUT], below[lay.L_LD_OUT]
        d, wt = at(base, record[lay.L_D]), at(params, record[lay.L_WT])
        d_below, a_below = at(base, below[lay.L_D]), at(base, below[lay.L_A])
        for r in range(rows):
            to, mask = at(d_below, r * ld_below), at(a_below, r * ld_below)
            row = at(d, r * ld)
            vector_row((row, 1, wt, ld_below, zeros, to, n_out, none, mask, below[lay.L_MASK]))
        through_activation(like, below, base, 0, rows)
        record = below
        layer -= 1


@jit.inlined
def gradients(like, t, params, base, rows, g):
    """Every piece's gradient in `g`."""
    zeros, none = at(params, t[lay.ZEROS]), cast(params, -float("inf"))
    pieces = t[lay.PIECES]
    for number in range(t[lay.N_PIECES]):
        piece = lay.piece_of(pieces, number)
        layer = piece.layer
        record = at(t, HEADER + layer * RECORD)
        ld_in, ld = record[lay.L_LD_IN], record[lay.L_LD_OUT]
        d, to = at(base, record[lay.L_D]), at(g, piece.offset)
        if piece.kind == lay.PIECE_SHARED_BIAS:
            shared_bias(d, ld, rows, record[lay.L_OUT], to, 0)
        elif piece.kind == lay.PIECE_BIAS:
            column_sums(d, ld, rows, zeros, to)
        else:
            a = at(base, layer_input(t, layer, 0, ld_in))
            if record[lay.L_NARROW]:  # its weights stand a row an output
                a, d, ld_in, ld = d, a, ld, ld_in
            for i in range(piece.first, piece.last):
                row = at(to, (i - piece.first) * ld)
                vector_row((at(a, i), ld_in, d, ld, zeros, row, rows, none, row, 0))


@jit.inlined
def transposes(t, params):
    vector = lanes_of(params)
    for layer in range(1, t[lay.N_LAYERS]):
        record = at(t, HEADER + layer * RECORD)
        if record[lay.L_NARROW]:
            continue
        n_in, n_out = record[lay.L_IN], record[lay.L_OUT]
        w, wt = at(params, record[lay.L_W]), at(params, record[lay.L_WT])
        if n_in * n_out <= _FEW_WEIGHTS:
            for i in range(n_in):
                for j in range(n_out):
                    wt[j * vector + i] = w[i * vector + j]
        else:
            call_transpose(t[lay.TRANSPOSE], (w, vector, wt, vector, n_in, n_out))


@jit.cfunc(roles.batches)
def online(like, t, made, rows):
    """Batches whose samples are the workspace's first `rows`, after `made` updates; a status."""
    params, base = pointer(like, t[lay.PARAMS]), pointer(like, t[lay.BASE])
    g = at(base, t[lay.SCRATCH])
    row_loss = pointer(_DOUBLE, t[lay.ROW_LOSS])
    results = pointer(_DOUBLE, t[lay.RESULTS])
    size, n_updated = t[lay.BATCH], t[lay.N_UPDATED]
    done, status = 0, lay.OK
    while done < rows and status == lay.OK:
        count = min(size, rows - done)
        t[lay.SHIFT] = done
        weight = weights_of(like, t, 0, count)
        if weight > 0.0:
            begin_step(t, made)
        if weight > 0.0 or t[lay.M_GATHER]:  # the metrics' weights may be others
            forward(like, t, params, base, count)
            losses(t, 0, count, cast(base, 1.0 / divisor(t, count, weight)))
            if record_error(t, 0, ordered_sum(row_loss, count), count, weight):
                if t[lay.MEASURE]:
                    measure(like, t, 0, count, 0, pointer(_DOUBLE, t[lay.MEASURED]))
                if weight > 0.0:
                    backward(like, t, params, base, count)
                    if t[lay.W_GATHER]:
                        silence(like, t, 0, count)
                    gradients(like, t, params, base, count, g)
                    update(like, t, 0, n_updated, g)
                    transposes(t, params)
                    end_step(t)
                    made += 1
            else:
                status = lay.NONFINITE_LOSS
        if status == lay.OK:
            results[lay.R_BATCHES] += 1.0
        done += count
    t[lay.SHIFT] = 0
    return status
