"""A block of rows through the network and back, while it is in cache."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.backward import backward
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_loss
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.forward import forward
from fastbp.kernels.layout import HEADER, RECORD

_DOUBLE = np.float64(0.0)


@jit.kernel
def losses(t, row, rows, scale):
    """Each row's error, and the output layer's delta, for workspace rows `row` ..."""
    base = pointer(scale, t[lay.BASE])
    last = at(t, HEADER + (t[lay.N_LAYERS] - 1) * RECORD)
    n, ld = last[lay.L_OUT], last[lay.L_LD_OUT]
    sample = row + t[lay.SHIFT]
    call_loss(
        t[lay.LOSS],
        (
            at(base, last[lay.L_Z] + row * ld),
            at(base, last[lay.L_A] + row * ld),
            at(base, t[lay.TARGETS] + sample * ld),
            at(base, t[lay.WEIGHTS] + sample),
            at(base, last[lay.L_D] + row * ld),
            at(pointer(_DOUBLE, t[lay.ROW_LOSS]), row),
            rows, n, ld, scale, pointer(scale, t[lay.LOSS_PARAMETERS]),
        ),
    )  # fmt: skip
    if t[lay.W_GATHER]:
        w, errors = at(base, t[lay.WEIGHTS] + sample), pointer(_DOUBLE, t[lay.ROW_LOSS])
        for r in range(rows):
            if w[r] == 0:  # 0 times a loss or a slope that is infinite would be NaN
                errors[row + r] = 0.0
                clear(at(base, last[lay.L_D] + (row + r) * ld), ld)


@jit.kernel
def clear(p, n):
    for i in range(n):
        p[i] = cast(p, 0)


@jit.kernel
def silence(like, t, row, rows):
    """Clear what rows of weight 0 would bring into gradients, in which 0 times infinity is NaN.

    That is their inputs and outputs, but for the last layer's, and the deltas of all layers.
    """
    base = pointer(like, t[lay.BASE])
    w = at(base, t[lay.WEIGHTS] + row + t[lay.SHIFT])
    for r in range(rows):
        if w[r] == 0:
            clear(at(base, t[lay.A0] + (row + r + t[lay.SHIFT]) * t[lay.LD0]), t[lay.LD0])
            for layer in range(t[lay.N_LAYERS]):
                record = at(t, HEADER + layer * RECORD)
                ld = record[lay.L_LD_OUT]
                clear(at(base, record[lay.L_D] + (row + r) * ld), ld)
                if layer < t[lay.N_LAYERS] - 1:
                    clear(at(base, record[lay.L_X] + (row + r) * ld), ld)


@jit.cfunc(roles.block)
def passes(scale, t, row, rows, which, place, made):
    """Workspace rows `row` ...: forward; then errors and output deltas; then all deltas.

    They are rows `place` ... of a batch before which this call of `epoch.run` has made so many
    updates: dropout's masks depend on both.

    A loss that is fused with the last activation takes the logits.
    """
    forward(scale, t, row, rows, which != lay.FORWARD and t[lay.FUSED_LOSS] != 0, place, made)
    if which != lay.FORWARD:
        losses(t, row, rows, scale)
    if which == lay.ALL_PASSES:
        backward(scale, t, row, rows)
        if t[lay.W_GATHER]:
            silence(scale, t, row, rows)
