"""Units of the parameters: their gradients, their updates, and the derived copy of the weights."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import (
    at,
    call_outer,
    call_refine,
    call_transpose,
    call_update,
    lanes_of,
    pointer,
    value,
)
from fastbp.kernels.layout import HEADER, RECORD
from fastbp.kernels.maths.matmul import gradient_piece
from fastbp.kernels.maths.tiles import column_sums

_DOUBLE = np.float64(0.0)
_INT = np.int64(0)


@jit.kernel
def layer_input(t, layer, row, ld):
    """The offset of what a layer reads: row `row` of the samples, or of the activations below."""
    if layer == 0:
        return t[lay.A0] + (row + t[lay.SHIFT]) * ld
    return t[HEADER + (layer - 1) * RECORD + lay.L_X] + row * ld


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


@jit.kernel
def gradient(tag, t, unit, row, rows, g, accumulate):
    """One unit's piece of the gradient, summed over workspace rows `row` ..., into `g`."""
    params, base = pointer(tag, t[lay.PARAMS]), pointer(tag, t[lay.BASE])
    zeros = at(params, t[lay.ZEROS])
    layer = unit[lay.U_LAYER]
    record = at(t, HEADER + layer * RECORD)
    ld_in, ld_out = record[lay.L_LD_IN], record[lay.L_LD_OUT]
    a = at(base, layer_input(t, layer, row, ld_in))
    d = at(base, record[lay.L_D] + row * ld_out)
    column, width = unit[lay.U_COLUMN], unit[lay.U_WIDTH]
    first, last, by = unit[lay.U_FIRST], unit[lay.U_LAST], t[lay.TILES]
    if unit[lay.U_KIND] == lay.UNIT_BIAS:
        for j in range(0, width, lanes_of(g)):
            to = at(g, j)
            column_sums(at(d, column + j), ld_out, rows, to if accumulate else zeros, to)
    elif unit[lay.U_KIND] == lay.UNIT_SHARED_BIAS:
        shared_bias(d, ld_out, rows, record[lay.L_OUT], g, accumulate)
    elif record[lay.L_NARROW]:
        gradient_piece(
            by, d, ld_out, at(a, column), ld_in, zeros, accumulate, g, first, last, width, rows
        )
        for i in range(last - first):  # here the lanes are activations, whose padding is not zero
            for j in range(record[lay.L_IN] - column, width):
                g[i * width + j] = value(g, 0)
    else:
        gradient_piece(
            by, a, ld_in, at(d, column), ld_out, zeros, accumulate, g, first, last, width, rows
        )


@jit.kernel
def transpose(tag, t, unit):
    """Write the derived transpose of the rows of weights that a unit has just updated."""
    record = at(t, HEADER + unit[lay.U_LAYER] * RECORD)
    if unit[lay.U_KIND] != lay.UNIT_WEIGHTS or record[lay.L_WT] < 0 or record[lay.L_NARROW]:
        return
    params = pointer(tag, t[lay.PARAMS])
    vector = lanes_of(params)
    n_in, n_out = record[lay.L_IN], record[lay.L_OUT]
    width = unit[lay.U_WIDTH]
    columns = min(width, n_out - unit[lay.U_COLUMN])
    source = at(params, unit[lay.U_OFFSET])
    i = unit[lay.U_FIRST]
    while i < unit[lay.U_LAST]:
        # W's rows i ... i + vector - 1 become one vector of lanes in a panel of the transpose.
        panel = i // (2 * vector) * (2 * vector)
        panel_width = 2 * vector if n_in - panel > vector else vector
        target = at(
            params,
            record[lay.L_WT] + panel * n_out + unit[lay.U_COLUMN] * panel_width + i - panel,
        )
        from_row = at(source, (i - unit[lay.U_FIRST]) * width)
        height = min(vector, unit[lay.U_LAST] - i)
        call_transpose(t[lay.TRANSPOSE], (from_row, width, target, panel_width, height, columns))
        i += vector


@jit.kernel
def update(tag, t, offset, n, g):
    """Update n parameters from `offset` on with their gradient."""
    call_update(
        t[lay.UPDATE],
        (
            at(pointer(tag, t[lay.PARAMS]), offset),
            g,
            at(pointer(tag, t[lay.SLOT0]), offset),
            at(pointer(tag, t[lay.SLOT1]), offset),
            at(pointer(tag, t[lay.SLOT2]), offset),
            n,
            pointer(_DOUBLE, t[lay.HYPER]),
        ),
    )


@jit.kernel
def update_by_one(tag, t, unit):
    """Update a unit of a wide layer's weights by the one row of the batch; whether it is such."""
    record = at(t, HEADER + unit[lay.U_LAYER] * RECORD)
    if unit[lay.U_KIND] != lay.UNIT_WEIGHTS or record[lay.L_NARROW]:
        return False
    base, first = pointer(tag, t[lay.BASE]), unit[lay.U_FIRST]
    a = at(base, layer_input(t, unit[lay.U_LAYER], 0, record[lay.L_LD_IN]) + first)
    d = at(base, record[lay.L_D] + unit[lay.U_COLUMN])
    p = at(pointer(tag, t[lay.PARAMS]), unit[lay.U_OFFSET])
    rows, hyper = unit[lay.U_LAST] - first, pointer(_DOUBLE, t[lay.HYPER])
    call_outer(t[lay.OUTER], (p, a, d, rows, unit[lay.U_WIDTH], hyper))
    return True


@jit.doorway(roles.units)
def train_units(tag, t, first, last, rows, scratch):
    """Gradient over workspace rows 0 ... rows - 1, update and transpose, for a range of units.

    Unit by unit, while a unit's gradient is in L1; or, where all parameters are few enough for
    that (MERGED), all gradients, then one update.
    """
    units = pointer(_INT, t[lay.UNITS])
    merged = t[lay.MERGED]
    for u in range(first, last):
        unit = at(units, u * lay.UNIT)
        if merged:
            g = at(scratch, unit[lay.U_OFFSET])
            gradient(tag, t, unit, 0, rows, g, 0)
            if t[lay.REFINE]:
                call_refine(t[lay.REFINE], (tag, t, u, g))
        elif t[lay.OUTER] and update_by_one(tag, t, unit):
            transpose(tag, t, unit)
        else:
            gradient(tag, t, unit, 0, rows, scratch, 0)
            if t[lay.REFINE]:
                call_refine(t[lay.REFINE], (tag, t, u, scratch))
            update(tag, t, unit[lay.U_OFFSET], unit[lay.U_LENGTH], scratch)
            transpose(tag, t, unit)
    if merged and first < last:
        start, end = at(units, first * lay.UNIT), at(units, (last - 1) * lay.UNIT)
        offset = start[lay.U_OFFSET]
        n = end[lay.U_OFFSET] + end[lay.U_LENGTH] - offset
        update(tag, t, offset, n, at(scratch, offset))
        for u in range(first, last):
            transpose(tag, t, at(units, u * lay.UNIT))


@jit.doorway(roles.gradients)
def gradients(tag, t, row, rows, g, accumulate):
    """All units' gradients over workspace rows `row` ..., to or added to `g`."""
    units = pointer(_INT, t[lay.UNITS])
    for u in range(t[lay.N_UNITS]):
        unit = at(units, u * lay.UNIT)
        gradient(tag, t, unit, row, rows, at(g, unit[lay.U_OFFSET]), accumulate)


@jit.doorway(roles.use)
def use(tag, t, unit, g):
    """Update one unit with a gradient that is there already."""
    update(tag, t, unit[lay.U_OFFSET], unit[lay.U_LENGTH], g)
    transpose(tag, t, unit)
