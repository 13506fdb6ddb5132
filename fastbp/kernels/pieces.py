"""Pieces of the parameters: gradients, updates, and the derived copy of the weights."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_outer, call_refine, call_transpose, call_update
from fastbp.kernels.compiling.simd import at, cast, lanes_of, pointer
from fastbp.kernels.layout import layer_of
from fastbp.kernels.maths.matmul import gradient_piece
from fastbp.kernels.maths.tiles import column_sums

_DOUBLE = np.float64(0.0)
_INT = np.int64(0)


@jit.kernel
def layer_input(t, number, row, ld):
    """The offset of what a layer reads: row `row` of the samples, or of the activations below."""
    if number == 0:
        return t.samples + (row + t.shift) * ld
    return layer_of(t, number - 1).passed_on + row * ld


@jit.reduction
def shared_bias(d, ld, rows, n, g, accumulate):
    """A bias that all n units share has one gradient, written at each unit's place."""
    total = cast(d, 0)
    for r in range(rows):
        for j in range(n):
            total += d[r * ld + j]
    if accumulate:
        total += g[0]
    for j in range(n):
        g[j] = total
    for j in range(n, ld):
        g[j] = cast(d, 0)


@jit.kernel
def gradient(like, t, piece, row, rows, g, accumulate):
    """One piece's gradient, summed over workspace rows `row` ..., into `g`."""
    params, base = pointer(like, t.parameters), pointer(like, t.workspace)
    zeros = at(params, t.zeros)
    layer = layer_of(t, piece.layer)
    ld_in, ld_out = layer.ld_in, layer.ld_out
    a = at(base, layer_input(t, piece.layer, row, ld_in))
    d = at(base, layer.deltas + row * ld_out)
    column, width = piece.column, piece.width
    first, last, by = piece.first, piece.last, t.call_tiles
    if piece.kind == lay.PIECE_BIAS:
        for j in range(0, width, lanes_of(g)):
            to = at(g, j)
            column_sums(at(d, column + j), ld_out, rows, to if accumulate else zeros, to)
    elif piece.kind == lay.PIECE_SHARED_BIAS:
        shared_bias(d, ld_out, rows, layer.n_out, g, accumulate)
    elif layer.narrow:
        gradient_piece(
            by, d, ld_out, at(a, column), ld_in, zeros, accumulate, g, first, last, width, rows
        )
        for i in range(last - first):  # here the lanes are activations, whose padding is not zero
            for j in range(layer.n_in - column, width):
                g[i * width + j] = cast(g, 0)
    else:
        gradient_piece(
            by, a, ld_in, at(d, column), ld_out, zeros, accumulate, g, first, last, width, rows
        )


@jit.kernel
def transpose(like, t, piece):
    """Write the derived transpose of the rows of weights that a piece has just updated."""
    layer = layer_of(t, piece.layer)
    if piece.kind != lay.PIECE_WEIGHTS or layer.transposed < 0 or layer.narrow:
        return
    params = pointer(like, t.parameters)
    vector = lanes_of(params)
    n_in, n_out = layer.n_in, layer.n_out
    width = piece.width
    columns = min(width, n_out - piece.column)
    source = at(params, piece.offset)
    i = piece.first
    while i < piece.last:
        # W's rows i ... i + vector - 1 become one vector of lanes in a panel of the transpose.
        panel = i // (2 * vector) * (2 * vector)
        panel_width = 2 * vector if n_in - panel > vector else vector
        target = at(
            params,
            layer.transposed + panel * n_out + piece.column * panel_width + i - panel,
        )
        from_row = at(source, (i - piece.first) * width)
        height = min(vector, piece.last - i)
        call_transpose(t.call_transpose, (from_row, width, target, panel_width, height, columns))
        i += vector


@jit.kernel
def update(like, t, offset, n, g):
    """Update n parameters from `offset` on with their gradient."""
    call_update(
        t.call_update,
        (
            at(pointer(like, t.parameters), offset),
            g,
            at(pointer(like, t.slot0), offset),
            at(pointer(like, t.slot1), offset),
            at(pointer(like, t.slot2), offset),
            n,
            pointer(_DOUBLE, t.hyper),
        ),
    )


@jit.kernel
def update_by_one(like, t, piece):
    """Update a piece of a wide layer's weights by the one row of the batch; whether it is one."""
    layer = layer_of(t, piece.layer)
    if piece.kind != lay.PIECE_WEIGHTS or layer.narrow:
        return False
    base, first = pointer(like, t.workspace), piece.first
    a = at(base, layer_input(t, piece.layer, 0, layer.ld_in) + first)
    d = at(base, layer.deltas + piece.column)
    p = at(pointer(like, t.parameters), piece.offset)
    rows, hyper = piece.last - first, pointer(_DOUBLE, t.hyper)
    call_outer(t.call_outer, (p, a, d, rows, piece.width, hyper))
    return True


@jit.cfunc(roles.pieces)
def train_pieces(like, table, first, last, rows, scratch):
    """Gradient over workspace rows 0 ... rows - 1, update and transpose, for a range of pieces.

    Piece by piece, while a piece's gradient is in L1; or, where all parameters are few enough for
    that (`merged`), all gradients, then one update.
    """
    t = lay.header(table)
    pieces = t.pieces
    merged = t.merged
    for number in range(first, last):
        piece = lay.piece_of(pieces, number)
        if merged:
            g = at(scratch, piece.offset)
            gradient(like, t, piece, 0, rows, g, 0)
            if t.call_refine:
                call_refine(t.call_refine, (like, t, number, g))
        elif t.call_outer and update_by_one(like, t, piece):
            transpose(like, t, piece)
        else:
            gradient(like, t, piece, 0, rows, scratch, 0)
            if t.call_refine:
                call_refine(t.call_refine, (like, t, number, scratch))
            update(like, t, piece.offset, piece.length, scratch)
            transpose(like, t, piece)
    if merged and first < last:
        start, end = lay.piece_of(pieces, first), lay.piece_of(pieces, last - 1)
        offset = start.offset
        n = end.offset + end.length - offset
        update(like, t, offset, n, at(scratch, offset))
        for number in range(first, last):
            transpose(like, t, lay.piece_of(pieces, number))


@jit.cfunc(roles.gradients)
def gradients(like, table, row, rows, g, accumulate):
    """All pieces' gradients over workspace rows `row` ..., to or added to `g`."""
    t = lay.header(table)
    pieces = t.pieces
    for number in range(t.n_pieces):
        piece = lay.piece_of(pieces, number)
        gradient(like, t, piece, row, rows, at(g, piece.offset), accumulate)


@jit.cfunc(roles.update_piece)
def update_piece(like, table, place, g):
    """Update the piece that stands at `place` with a gradient that is there already."""
    t = lay.header(table)
    piece = lay.piece_at(place)
    update(like, t, piece.offset, piece.length, g)
    transpose(like, t, piece)
