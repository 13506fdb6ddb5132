"""What compiled programs of others call: one set of rows in, one result out, no Python.

A *state* is a row of int64: sizes, and addresses of functions and layout tables. Rows come and go
densely packed, in the network's dtype; they are copied to and from the workspace.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.backward import backward
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_batches, call_block, call_gradients, call_refine
from fastbp.kernels.compiling.simd import at, cast, lanes_of, pointer
from fastbp.kernels.compiling.threads import add
from fastbp.kernels.epoch import whole_batch
from fastbp.kernels.layout import layer_of
from fastbp.kernels.steps import ordered_sum
from fastbp.kernels.updates.hyper import STEPS

_INT = _ZERO = np.int64(0)
_DOUBLE = np.float64(0.0)

# A state's cells. SELF is its own address: a copy, or what a pickle has brought, is none.
DIGEST, SELF, FLAG, N_INPUTS, N_OUTPUTS, N_PARAMETERS, MOST_ROWS = range(7)
# Addresses of functions, 0 where the state is of a network alone; then tables: of blocks of rows
# without an update, of an update by one row, of one by several.
PREDICT, TRAIN, GRADIENTS, VJP, ROWS_TABLE, STEP_TABLE, BATCH_TABLE = range(7, 14)
# LIVE holds the learning rate and the number of updates, LOSS the last loss, PLACES where each
# parameter stands in the gradient's panels.
LIVE, LOSS, PLACES, ITEMSIZE = range(14, 18)
STATE_SIZE = 24

# Statuses, beside those of layout.py.
WRONG_STATE, WRONG_SHAPE, BUSY, NO_TRAINER = range(16, 20)


@jit.kernel
def copied(to, ld, source, rows, n):
    """Copy dense rows to padded ones; how many values are not finite."""
    bad = 0
    for r in range(rows):
        for j in range(n):
            x = source[r * n + j]
            to[r * ld + j] = x
            bad += int(x - x != 0.0)
    return bad


@jit.kernel
def entered(state):
    """Whether nobody else is at work with this state."""
    flag = at(state, FLAG)
    if add(flag, 1) == 0:
        return True
    add(flag, -1)
    return False


@jit.kernel
def read(state, t, x, first, rows):
    """Rows `first` ... of x into the workspace's first; how many values are not finite."""
    n_in = state[N_INPUTS]
    to = at(pointer(cast(x, 0), t.workspace), t.samples)
    return copied(to, t.ld_inputs, at(x, first * n_in), rows, n_in)


@jit.kernel
def output_layer(t):
    return layer_of(t, t.n_layers - 1)


@jit.cfunc(roles.embedded)
def predict(state, x, y, g, dx, n):
    """The outputs of n rows, into y."""
    if not entered(state):
        return BUSY
    t, like, n_out = lay.header(state[ROWS_TABLE]), cast(x, 0), state[N_OUTPUTS]
    last = output_layer(t)
    a, ld = at(pointer(like, t.workspace), last.outputs), last.ld_out
    status, done = lay.OK, 0
    while done < n:
        rows = min(t.rows_per_block, n - done)
        if read(state, t, x, done, rows):
            status = lay.BAD_X
            break
        call_block(t.call_passes, (like, t, 0, rows, lay.FORWARD, 0, 0))
        for r in range(rows):
            for j in range(n_out):
                y[(done + r) * n_out + j] = a[r * ld + j]
        done += rows
    add(at(state, FLAG), -1)
    return status


@jit.cfunc(roles.embedded)
def train(state, x, y, g, dx, n):
    """One update by n rows; the loss before it goes to LOSS."""
    if not entered(state):
        return BUSY
    t = lay.header(state[STEP_TABLE] if n == 1 else state[BATCH_TABLE])
    like, live = cast(x, 0), pointer(_DOUBLE, state[LIVE])
    targets = at(pointer(like, t.workspace), t.targets)
    status = lay.OK
    if read(state, t, x, 0, n):
        status = lay.BAD_X
    elif copied(targets, t.ld_targets, y, n, state[N_OUTPUTS]):
        status = lay.BAD_Y
    else:
        t.n_samples = t.batch_size = n
        t.updates_before = np.int64(live[STEPS])
        if t.call_online:
            status = call_batches(t.call_online, (like, t, 0, n))
        else:
            status = whole_batch(like, t, _ZERO, _ZERO, n, _ZERO)
        results = pointer(_DOUBLE, t.results)
        pointer(_DOUBLE, state[LOSS])[0] = results[lay.R_LAST_ERROR]
        if status == lay.OK:
            live[STEPS] += 1.0
    add(at(state, FLAG), -1)
    return status


@jit.kernel
def unpacked(state, t, g, out):
    """The gradient's panels as one row of parameters, in `Network.get_weights`' order."""
    places = pointer(_INT, state[PLACES])
    for i in range(state[N_PARAMETERS]):
        out[i] = g[places[i]]


@jit.cfunc(roles.embedded)
def gradients(state, x, y, g, dx, n):
    """The gradients of the mean loss of n rows, penalties included, into g."""
    if not entered(state):
        return BUSY
    t, like, n_out = lay.header(state[ROWS_TABLE]), cast(x, 0), state[N_OUTPUTS]
    targets = at(pointer(like, t.workspace), t.targets)
    panels, row_loss = pointer(like, t.slab_gradients), pointer(_DOUBLE, t.row_errors)
    status, done, error = lay.OK, 0, 0.0
    while done < n:
        rows = min(t.rows_per_block, n - done)
        if read(state, t, x, done, rows):
            status = lay.BAD_X
            break
        if copied(targets, t.ld_targets, at(y, done * n_out), rows, n_out):
            status = lay.BAD_Y
            break
        call_block(t.call_passes, (cast(x, 1.0 / n), t, 0, rows, lay.ALL_PASSES, done, 0))
        error += ordered_sum(row_loss, rows)
        call_gradients(t.call_gradients, (like, t, 0, rows, panels, int(done > 0)))
        done += rows
    if status == lay.OK:
        if t.call_refine:
            pieces = t.pieces
            for number in range(t.n_pieces):
                piece = lay.piece_of(pieces, number)
                call_refine(t.call_refine, (like, t, number, at(panels, piece.offset)))
        unpacked(state, t, panels, g)
        pointer(_DOUBLE, state[LOSS])[0] = error / n
    add(at(state, FLAG), -1)
    return status


@jit.reduction
def input_gradients(params, layer, d, dx, rows):
    """dx = d Wᵀ for the first layer, which keeps no transpose: W's panels as they stand."""
    vector = lanes_of(params)
    n_in, n_out, ld = layer.n_in, layer.n_out, layer.ld_out
    for r in range(rows):
        row, out = at(d, r * ld), at(dx, r * n_in)
        for i in range(n_in):
            out[i] = cast(d, 0)
        w, column = at(params, layer.weights), 0
        while column < layer.stored_columns:
            width = 2 * vector if layer.stored_columns - column > vector else vector
            if layer.narrow:
                for j in range(n_out):
                    for i in range(min(width, n_in - column)):
                        out[column + i] += w[j * width + i] * row[j]
            else:
                for i in range(n_in):
                    total = cast(d, 0)
                    for j in range(min(width, n_out - column)):
                        total += w[i * width + j] * row[column + j]
                    out[i] += total
            w = at(w, layer.stored_rows * width)
            column += width


@jit.cfunc(roles.embedded)
def vjp(state, x, y, g, dx, n):
    """Of the sum of y times the outputs: the gradients by the parameters and by x."""
    if not entered(state):
        return BUSY
    t, like, n_out = lay.header(state[ROWS_TABLE]), cast(x, 0), state[N_OUTPUTS]
    base, params = pointer(like, t.workspace), pointer(like, t.parameters)
    first, last = layer_of(t, 0), output_layer(t)
    panels, fused = pointer(like, t.slab_gradients), t.fused_loss
    d, ld = at(base, last.deltas), last.ld_out
    t.fused_loss = 0  # y is by the outputs, so the last activation has to be gone through
    status, done = lay.OK, 0
    while done < n:
        rows = min(t.rows_per_block, n - done)
        if read(state, t, x, done, rows):
            status = lay.BAD_X
            break
        for i in range(rows * ld):
            d[i] = cast(d, 0)
        if copied(d, ld, at(y, done * n_out), rows, n_out):
            status = lay.BAD_Y
            break
        call_block(t.call_passes, (like, t, 0, rows, lay.FORWARD, 0, 0))
        backward(like, t, 0, rows)
        call_gradients(t.call_gradients, (like, t, 0, rows, panels, int(done > 0)))
        input_gradients(params, first, at(base, first.deltas), at(dx, done * state[N_INPUTS]), rows)
        done += rows
    t.fused_loss = fused
    if status == lay.OK:
        unpacked(state, t, panels, g)
    add(at(state, FLAG), -1)
    return status
