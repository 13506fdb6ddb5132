"""The delta recurrence for a block of rows."""

from __future__ import annotations

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_backward
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.layout import layer_of
from fastbp.kernels.maths.matmul import over_panels


@jit.kernel
def through_activation(like, layer, base, row, rows):
    """d = f'(z) d of one layer, where that is not the delta product's mask."""
    if layer.call_backward:
        ld = layer.ld_out
        d = at(base, layer.deltas + row * ld)
        a = at(base, layer.outputs + row * ld)
        z = at(base, layer.sums + row * ld)
        settings = pointer(like, layer.settings)
        call_backward(layer.call_backward, (d, a, z, rows, layer.n_out, ld, settings))


@jit.kernel
def backward(like, t, row, rows):
    """From the output layer's delta to those of all hidden layers, workspace rows `row` ..."""
    params, base = pointer(like, t.parameters), pointer(like, t.workspace)
    zeros = at(params, t.zeros)
    none = cast(params, -float("inf"))
    number = t.n_layers - 1
    layer = layer_of(t, number)
    if not t.fused_loss:
        through_activation(like, layer, base, row, rows)
    while number > t.lowest_layer:
        below = layer_of(t, number - 1)
        n_in, ld_in = layer.n_in, layer.ld_in
        n_out, ld_out = layer.n_out, layer.ld_out
        d = at(base, layer.deltas + row * ld_out)
        d_below = at(base, below.deltas + row * ld_in)
        a_below = at(base, below.outputs + row * ld_in)
        wt = at(params, layer.transposed)
        over_panels(
            t.call_tiles, d, ld_out, wt, n_out, zeros, 0, d_below, ld_in, none, a_below,
            below.clamped, rows, n_in,
        )  # fmt: skip
        if below.call_dropout:
            keep = at(base, below.kept + row * ld_in)
            for i in range(rows * ld_in):
                d_below[i] = d_below[i] * keep[i]
        through_activation(like, below, base, row, rows)
        layer = below
        number -= 1
