"""The delta recurrence for a block of rows, and the gradients of a piece of the parameters."""

from __future__ import annotations

from fastbp.kernels import jit, roles
from fastbp.kernels.layout import (
    A0,
    BASE,
    FUSED_LOSS,
    HEADER,
    L_A,
    L_BACKWARD,
    L_D,
    L_IN,
    L_LD_IN,
    L_LD_OUT,
    L_MASK,
    L_NARROW,
    L_OUT,
    L_PARAMETERS,
    L_WT,
    L_Z,
    N_LAYERS,
    ONE,
    PARAMS,
    RECORD,
    TILES,
    U_COLUMN,
    U_FIRST,
    U_KIND,
    U_LAST,
    U_LAYER,
    U_WIDTH,
    UNIT_BIAS,
    UNIT_SHARED_BIAS,
    ZEROS,
)
from fastbp.kernels.matmul import gradient_piece, over_panels
from fastbp.kernels.simd import at, call_backward, pointer, value


@jit.kernel
def through_activation(tag, record, base, row, rows):
    """d = f'(z) d of one layer, where that is not the delta product's mask."""
    if record[L_BACKWARD]:
        ld = record[L_LD_OUT]
        d = at(base, record[L_D] + row * ld)
        a = at(base, record[L_A] + row * ld)
        z = at(base, record[L_Z] + row * ld)
        parameters = pointer(tag, record[L_PARAMETERS])
        call_backward(record[L_BACKWARD], (d, a, z, rows, record[L_OUT], ld, parameters))


@jit.kernel
def backward(tag, t, row, rows):
    """From the output layer's delta to those of all hidden layers, workspace rows `row` ..."""
    params, base = pointer(tag, t[PARAMS]), pointer(tag, t[BASE])
    zeros = at(params, t[ZEROS])
    none = value(params, -float("inf"))
    layer = t[N_LAYERS] - 1
    record = at(t, HEADER + layer * RECORD)
    if not t[FUSED_LOSS]:
        through_activation(tag, record, base, row, rows)
    while layer > 0:
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
        through_activation(tag, below, base, row, rows)
        record = below
        layer -= 1


@jit.kernel
def layer_input(t, layer):
    """The offset of what a layer reads: the samples, or the activations below."""
    return t[A0] if layer == 0 else t[HEADER + (layer - 1) * RECORD + L_A]


@jit.doorway(roles.gradient)
def gradient(tag, t, unit, row, rows, g, accumulate):
    """One unit's piece of the gradient, summed over workspace rows `row` ..., into `g`."""
    params, base = pointer(tag, t[PARAMS]), pointer(tag, t[BASE])
    zeros = at(params, t[ZEROS])
    layer = unit[U_LAYER]
    record = at(t, HEADER + layer * RECORD)
    ld_in, ld_out = record[L_LD_IN], record[L_LD_OUT]
    a = at(base, layer_input(t, layer) + row * ld_in)
    d = at(base, record[L_D] + row * ld_out)
    column, width = unit[U_COLUMN], unit[U_WIDTH]
    first, last, by = unit[U_FIRST], unit[U_LAST], t[TILES]
    if unit[U_KIND] == UNIT_BIAS:
        one = at(params, t[ONE])
        gradient_piece(by, one, 0, at(d, column), ld_out, zeros, accumulate, g, 0, 1, width, rows)
    elif unit[U_KIND] == UNIT_SHARED_BIAS:
        shared_bias(d, ld_out, rows, record[L_OUT], g, accumulate)
    elif record[L_NARROW]:
        gradient_piece(
            by, d, ld_out, at(a, column), ld_in, zeros, accumulate, g, first, last, width, rows
        )
        for i in range(last - first):  # here the lanes are activations, whose padding is not zero
            for j in range(record[L_IN] - column, width):
                g[i * width + j] = value(g, 0)
    else:
        gradient_piece(
            by, a, ld_in, at(d, column), ld_out, zeros, accumulate, g, first, last, width, rows
        )


@jit.reduction
def shared_bias(d, ld, rows, n, g, accumulate):
    """A bias that all n units share has one gradient, written at each unit's place."""
    total = value(d, 0)
    for r in range(rows):
        for j in range(n):
            total += d[r * ld + j]
    if accumulate:
        total += g[0]
    for j in range(n):
        g[j] = total
    for j in range(n, ld):
        g[j] = value(d, 0)
