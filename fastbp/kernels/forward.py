"""The forward pass of a block of rows through all layers, while the block is in cache."""

from __future__ import annotations

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_dots, call_forward
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.dropout import drop
from fastbp.kernels.layout import layer_of
from fastbp.kernels.maths.matmul import over_panels


@jit.kernel
def layer_forward(like, t, layer, params, a, z, rows):
    """z = b + a W for one layer; max(z, 0) where the activation is a clamp."""
    n_in, ld_in = layer.n_in, layer.ld_in
    n_out, ld_out = layer.n_out, layer.ld_out
    w, b = at(params, layer.weights), at(params, layer.biases)
    if layer.narrow:
        call_dots(t.call_dots, (a, ld_in, w, n_in, b, z, ld_out, rows, n_out))
        if layer.clamped:
            for i in range(rows * ld_out):
                z[i] = max(z[i], cast(z, 0))
    else:
        low = cast(z, 0) if layer.clamped else cast(z, -float("inf"))
        over_panels(t.call_tiles, a, ld_in, w, n_in, b, 1, z, ld_out, low, z, 0, rows, n_out)


@jit.kernel
def forward(like, t, row, rows, skip_last, row_in_batch, updates_made):
    """All layers for workspace rows `row` ...; `skip_last` leaves out the last activation."""
    params, base = pointer(like, t.parameters), pointer(like, t.workspace)
    n_layers = t.n_layers
    a = at(base, t.samples + (row + t.shift) * t.ld_inputs)
    for number in range(n_layers):
        layer = layer_of(t, number)
        n_out, ld = layer.n_out, layer.ld_out
        z = at(base, layer.sums + row * ld)
        out = at(base, layer.outputs + row * ld)
        layer_forward(like, t, layer, params, a, z, rows)
        if layer.call_forward and not (skip_last and number == n_layers - 1):
            settings = pointer(like, layer.settings)
            if layer.sums != layer.outputs:
                for i in range(rows * ld):
                    out[i] = z[i]
            call_forward(layer.call_forward, (out, rows, n_out, ld, settings))
        if layer.call_dropout:
            drop(like, t, layer, number, out, row, rows, row_in_batch, updates_made)
        a = at(base, layer.passed_on + row * ld)
