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
from fastbp.kernels.layout import layer_of
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
    ld_in, n_layers = t.ld_inputs, t.n_layers
    a = at(base, t.samples + t.shift * ld_in)
    for number in range(n_layers):
        layer = layer_of(t, number)
        n_in, n_out, ld = layer.n_in, layer.n_out, layer.ld_out
        w, b = at(params, layer.weights), at(params, layer.biases)
        z, out = at(base, layer.sums), at(base, layer.outputs)
        if layer.narrow:
            call_dots(t.call_dots, (a, ld_in, w, n_in, b, z, ld, rows, n_out))
            if layer.clamped:
                for i in range(rows * ld):
                    z[i] = max(z[i], cast(z, 0))
        else:
            low = cast(z, 0) if layer.clamped else cast(z, -float("inf"))
            for r in range(rows):
                vector_row((at(a, r * ld_in), 1, w, ld, b, at(z, r * ld), n_in, low, z, 0))
        if layer.call_forward and not (t.fused_loss and number == n_layers - 1):
            if layer.sums != layer.outputs:
                for i in range(rows * ld):
                    out[i] = z[i]
            settings = pointer(like, layer.settings)
            call_forward(layer.call_forward, (out, rows, n_out, ld, settings))
        a, ld_in = out, ld


@jit.inlined
def backward(like, t, params, base, rows):
    zeros, none = at(params, t.zeros), cast(params, -float("inf"))
    number = t.n_layers - 1
    layer = layer_of(t, number)
    if not t.fused_loss:
        through_activation(like, layer, base, 0, rows)
    while number > 0:
        below = layer_of(t, number - 1)
        n_out, ld, ld_below = layer.n_out, layer.ld_out, below.ld_out
        d, wt = at(base, layer.deltas), at(params, layer.transposed)
        d_below, a_below = at(base, below.deltas), at(base, below.outputs)
        for r in range(rows):
            to, mask = at(d_below, r * ld_below), at(a_below, r * ld_below)
            row = at(d, r * ld)
            vector_row((row, 1, wt, ld_below, zeros, to, n_out, none, mask, below.clamped))
        through_activation(like, below, base, 0, rows)
        layer = below
        number -= 1


@jit.inlined
def gradients(like, t, params, base, rows, g):
    """Every piece's gradient in `g`."""
    zeros, none = at(params, t.zeros), cast(params, -float("inf"))
    pieces = t.pieces
    for number in range(t.n_pieces):
        piece = lay.piece_of(pieces, number)
        layer = layer_of(t, piece.layer)
        ld_in, ld = layer.ld_in, layer.ld_out
        d, to = at(base, layer.deltas), at(g, piece.offset)
        if piece.kind == lay.PIECE_SHARED_BIAS:
            shared_bias(d, ld, rows, layer.n_out, to, 0)
        elif piece.kind == lay.PIECE_BIAS:
            column_sums(d, ld, rows, zeros, to)
        else:
            a = at(base, layer_input(t, piece.layer, 0, ld_in))
            if layer.narrow:  # its weights stand a row an output
                a, d, ld_in, ld = d, a, ld, ld_in
            for i in range(piece.first, piece.last):
                row = at(to, (i - piece.first) * ld)
                vector_row((at(a, i), ld_in, d, ld, zeros, row, rows, none, row, 0))


@jit.inlined
def transposes(t, params):
    vector = lanes_of(params)
    for number in range(1, t.n_layers):
        layer = layer_of(t, number)
        if layer.narrow:
            continue
        n_in, n_out = layer.n_in, layer.n_out
        w, wt = at(params, layer.weights), at(params, layer.transposed)
        if n_in * n_out <= _FEW_WEIGHTS:
            for i in range(n_in):
                for j in range(n_out):
                    wt[j * vector + i] = w[i * vector + j]
        else:
            call_transpose(t.call_transpose, (w, vector, wt, vector, n_in, n_out))


@jit.cfunc(roles.batches)
def online(like, table, updates_made, rows):
    """Batches whose samples are the workspace's first `rows`; a status.

    Before them there were `updates_made` updates in this call of `epoch.run`.
    """
    t = lay.header(table)
    params, base = pointer(like, t.parameters), pointer(like, t.workspace)
    g = at(base, t.scratch)
    row_loss = pointer(_DOUBLE, t.row_errors)
    results = pointer(_DOUBLE, t.results)
    size, n_updated = t.batch_size, t.n_updated
    done, status = 0, lay.OK
    while done < rows and status == lay.OK:
        count = min(size, rows - done)
        t.shift = done
        weight = weights_of(like, t, 0, count)
        if weight > 0.0:
            begin_step(t, updates_made)
        if weight > 0.0 or t.m.call_gather:  # the metrics' weights may be others
            forward(like, t, params, base, count)
            losses(t, 0, count, cast(base, 1.0 / divisor(t, count, weight)))
            if record_error(t, 0, ordered_sum(row_loss, count), count, weight):
                if t.measures:
                    measure(like, t, 0, count, 0, pointer(_DOUBLE, t.measured))
                if weight > 0.0:
                    backward(like, t, params, base, count)
                    if t.w.call_gather:
                        silence(like, t, 0, count)
                    gradients(like, t, params, base, count, g)
                    update(like, t, 0, n_updated, g)
                    transposes(t, params)
                    end_step(t)
                    updates_made += 1
            else:
                status = lay.NONFINITE_LOSS
        if status == lay.OK:
            results[lay.R_BATCHES] += 1.0
        done += count
    t.shift = 0
    return status
