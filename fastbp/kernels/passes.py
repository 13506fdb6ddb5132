"""A block of rows through the network and back, while it is in cache."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import jit, roles
from fastbp.kernels import layout as lay
from fastbp.kernels.backward import backward
from fastbp.kernels.forward import forward
from fastbp.kernels.layout import HEADER, RECORD
from fastbp.kernels.simd import at, call_loss, pointer

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


@jit.doorway(roles.block)
def passes(scale, t, row, rows, which, place, b):
    """Workspace rows `row` ...: forward; then errors and output deltas; then all deltas.

    They are rows `place` ... of batch `b`, which dropout's masks depend on.

    A loss that is fused with the last activation takes the logits.
    """
    forward(scale, t, row, rows, which != lay.FORWARD and t[lay.FUSED_LOSS] != 0, place, b)
    if which != lay.FORWARD:
        losses(t, row, rows, scale)
    if which == lay.ALL_PASSES:
        backward(scale, t, row, rows)
