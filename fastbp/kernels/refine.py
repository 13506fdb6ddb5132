"""What a step does beside the optimizer: penalties, clipping, bounds on weights.

Gradients are refined piece by piece while they are in L1. A bound on the norm of all gradients
takes all of them before the first is used: they are then formed into a buffer of their own
(`slab_gradients`), each piece's squares are summed, and after a barrier every thread adds those up
in the same order.
"""

from __future__ import annotations

import math

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_refine
from fastbp.kernels.compiling.simd import at, cast, pointer
from fastbp.kernels.layout import layer_of
from fastbp.kernels.pieces import gradient, transpose, update

_DOUBLE = np.float64(0.0)
_INT = np.int64(0)


@jit.reduction
def squares(g, n):
    """Summed in float64: float32's overflow for gradients that are not."""
    total = 0.0
    for i in range(n):
        x = np.float64(g[i])
        total += x * x
    return total


@jit.inlined
def add_penalties(p, g, n, l1, l2):
    """g += l1 sign(p) + l2 p; the derivative of |p| is taken as 0 at 0."""
    zero = cast(p, 0)
    for i in range(n):
        sign = l1 if p[i] > zero else (-l1 if p[i] < zero else zero)
        g[i] = g[i] + (sign + l2 * p[i])


@jit.inlined
def clip(g, n, most):
    """min(max(g, -most), most); a NaN stays one."""
    for i in range(n):
        x = g[i]
        x = most if x > most else x
        g[i] = -most if x < -most else x


@jit.cfunc(roles.refine)
def refine(like, table, number, g):
    """Penalties and clipping by value for a piece; its share of the norm, if that is asked for."""
    t = lay.header(table)
    piece = lay.piece_of(t.pieces, number)
    settings = pointer(_DOUBLE, t.refine_settings)
    n = piece.length
    if piece.kind == lay.PIECE_WEIGHTS:
        layer = at(settings, lay.REFINE_LAYERS + piece.layer * lay.REFINE_LAYER)
        if layer[lay.REFINE_L1] != 0.0 or layer[lay.REFINE_L2] != 0.0:
            p = at(pointer(like, t.parameters), piece.offset)
            add_penalties(p, g, n, cast(p, layer[lay.REFINE_L1]), cast(p, layer[lay.REFINE_L2]))
    if settings[lay.REFINE_CLIP_VALUE] < math.inf:
        clip(g, n, cast(g, settings[lay.REFINE_CLIP_VALUE]))
    if t.norms:
        # A shared bias has its gradient at every unit's place, and counts once.
        counted = 1 if piece.kind == lay.PIECE_SHARED_BIAS else n
        pointer(_DOUBLE, t.norms)[number] = squares(g, counted)


@jit.cfunc(roles.pieces)
def form_pieces(like, table, first, last, rows, scratch):
    """Gradients over workspace rows 0 ... rows - 1 for a range of pieces, into
    `slab_gradients`."""
    t = lay.header(table)
    pieces, g = t.pieces, pointer(like, t.slab_gradients)
    for number in range(first, last):
        piece = lay.piece_of(pieces, number)
        to = at(g, piece.offset)
        gradient(like, t, piece, 0, rows, to, 0)
        call_refine(t.call_refine, (like, t, number, to))


@jit.cfunc(roles.pieces)
def clip_pieces(like, table, first, last, rows, g):
    """Scale the gradients by min(1, c / (norm + 1e-6)) (PyTorch's clip_grad_norm_); use them."""
    t = lay.header(table)
    pieces, norms = t.pieces, pointer(_DOUBLE, t.norms)
    total = 0.0
    for number in range(t.n_pieces):
        total += norms[number]
    most = pointer(_DOUBLE, t.refine_settings)[lay.REFINE_CLIP_NORM]
    factor = min(1.0, most / (math.sqrt(total) + 1e-6))
    for number in range(first, last):
        piece = lay.piece_of(pieces, number)
        here, n = at(g, piece.offset), piece.length
        if factor < 1.0:
            by = cast(g, factor)
            for i in range(n):
                here[i] = here[i] * by
        update(like, t, piece.offset, n, here)
        transpose(like, t, piece)


@jit.inlined
def shrink(norm, most):
    return most / norm if norm > most else 1.0


@jit.inlined
def constrain_columns(w, rows, width, most, total):
    """A wide layer's panel: each column is a unit's weights."""
    for j in range(width):
        total[j] = cast(w, 0)
    for r in range(rows):
        row = at(w, r * width)
        for j in range(width):
            total[j] = total[j] + row[j] * row[j]
    for j in range(width):
        total[j] = cast(w, shrink(math.sqrt(np.float64(total[j])), most))
    for r in range(rows):
        row = at(w, r * width)
        for j in range(width):
            row[j] = row[j] * total[j]


@jit.kernel
def constrain_rows(like, t, number, layer, rows, most):
    """A narrow layer: each row is a unit's weights, in the panels' pieces from `number` on."""
    params, pieces = pointer(like, t.parameters), t.pieces
    for r in range(rows):
        norm, after = 0.0, number
        while after < t.n_pieces:
            piece = lay.piece_of(pieces, after)
            if piece.layer != layer or piece.kind != lay.PIECE_WEIGHTS:
                break
            width = piece.width
            norm += squares(at(params, piece.offset + r * width), width)
            after += 1
        by = cast(params, shrink(math.sqrt(norm), most))
        for v in range(number, after):
            piece = lay.piece_of(pieces, v)
            width = piece.width
            row = at(params, piece.offset + r * width)
            for j in range(width):
                row[j] = row[j] * by


@jit.cfunc(roles.pieces)
def constrain(like, table, thread, threads, rows, scratch):
    """Scale each unit's incoming weights to a norm of at most its layer's `max_norm`."""
    t = lay.header(table)
    params, pieces = pointer(like, t.parameters), t.pieces
    settings = pointer(_DOUBLE, t.refine_settings)
    for number in range(t.n_pieces):
        piece = lay.piece_of(pieces, number)
        most = settings[lay.REFINE_LAYERS + piece.layer * lay.REFINE_LAYER + lay.REFINE_MAX_NORM]
        layer = layer_of(t, piece.layer)
        if piece.kind != lay.PIECE_WEIGHTS or piece.first != 0 or most == math.inf:
            continue
        if number % threads != thread:  # each panel, or narrow layer, is one thread's
            continue
        if layer.narrow:
            if piece.column == 0:
                constrain_rows(like, t, number, piece.layer, layer.n_out, most)
            continue
        w = at(params, piece.offset)
        constrain_columns(w, layer.stored_rows, piece.width, most, scratch)
        for v in range(number, t.n_pieces):
            other = lay.piece_of(pieces, v)
            if other.layer != piece.layer or other.kind != lay.PIECE_WEIGHTS:
                break
            if other.column == piece.column:
                transpose(like, t, other)
