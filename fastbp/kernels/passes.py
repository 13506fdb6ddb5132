"""A block of rows through the network and back, while it is in cache."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.backward import backward
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_loss
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.forward import forward
from fastbp.kernels.layout import layer_of

_DOUBLE = np.float64(0.0)


@jit.kernel
def losses(t, row, rows, scale):
    """Each row's error, and the output layer's delta, for workspace rows `row` ..."""
    base = pointer(scale, t.workspace)
    last = layer_of(t, t.n_layers - 1)
    n, ld = last.n_out, last.ld_out
    sample = row + t.shift
    call_loss(
        t.call_loss,
        (
            at(base, last.sums + row * ld),
            at(base, last.outputs + row * ld),
            at(base, t.targets + sample * ld),
            at(base, t.sample_weights + sample),
            at(base, last.deltas + row * ld),
            at(pointer(_DOUBLE, t.row_errors), row),
            rows, n, ld, scale, pointer(scale, t.loss_settings),
        ),
    )  # fmt: skip
    if t.w.call_gather:
        w, errors = at(base, t.sample_weights + sample), pointer(_DOUBLE, t.row_errors)
        for r in range(rows):
            if w[r] == 0:  # 0 times a loss or a slope that is infinite would be NaN
                errors[row + r] = 0.0
                clear(at(base, last.deltas + (row + r) * ld), ld)


@jit.kernel
def clear(p, n):
    for i in range(n):
        p[i] = cast(p, 0)


@jit.kernel
def silence(like, t, row, rows):
    """Clear what rows of weight 0 would bring into gradients, in which 0 times infinity is NaN.

    That is their inputs and outputs, but for the last layer's, and the deltas of all layers.
    """
    base = pointer(like, t.workspace)
    w = at(base, t.sample_weights + row + t.shift)
    for r in range(rows):
        if w[r] == 0:
            clear(at(base, t.samples + (row + r + t.shift) * t.ld_inputs), t.ld_inputs)
            for number in range(t.n_layers):
                layer = layer_of(t, number)
                ld = layer.ld_out
                clear(at(base, layer.deltas + (row + r) * ld), ld)
                if number < t.n_layers - 1:
                    clear(at(base, layer.passed_on + (row + r) * ld), ld)


@jit.cfunc(roles.block)
def passes(scale, table, row, rows, which, row_in_batch, updates_made):
    """Workspace rows `row` ...: forward; then errors and output deltas; then all deltas.

    They are rows `row_in_batch` ... of a batch before which this call of `epoch.run` has made
    `updates_made` updates: dropout's masks depend on both.

    A loss that is fused with the last activation takes the logits.
    """
    t = lay.header(table)
    skip_last = which != lay.FORWARD and t.fused_loss != 0
    forward(scale, t, row, rows, skip_last, row_in_batch, updates_made)
    if which != lay.FORWARD:
        losses(t, row, rows, scale)
    if which == lay.ALL_PASSES:
        backward(scale, t, row, rows)
        if t.w.call_gather:
            silence(scale, t, row, rows)
