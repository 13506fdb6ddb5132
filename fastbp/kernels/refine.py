"""What a step does beside the optimizer: penalties, clipping, bounds on weights.

Gradients are refined unit by unit while they are in L1. A bound on the norm of all gradients takes
all of them before the first is used: they are then formed into a buffer of their own (SLAB_G),
each unit's squares are summed, and after a barrier every thread adds those up in the same order.
"""

from __future__ import annotations

import math

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import at, call_refine, pointer, value
from fastbp.kernels.layout import HEADER, RECORD
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
    zero = value(p, 0)
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


@jit.doorway(roles.refine)
def refine(tag, t, u, g):
    """Penalties and clipping by value for unit number u; its share of the norm, if that is asked
    for."""
    unit = at(pointer(_INT, t[lay.UNITS]), u * lay.UNIT)
    settings = pointer(_DOUBLE, t[lay.SETTINGS])
    n = unit[lay.U_LENGTH]
    if unit[lay.U_KIND] == lay.UNIT_WEIGHTS:
        layer = at(settings, lay.S_LAYERS + unit[lay.U_LAYER] * lay.S_LAYER)
        if layer[lay.S_L1] != 0.0 or layer[lay.S_L2] != 0.0:
            p = at(pointer(tag, t[lay.PARAMS]), unit[lay.U_OFFSET])
            add_penalties(p, g, n, value(p, layer[lay.S_L1]), value(p, layer[lay.S_L2]))
    if settings[lay.S_CLIP_VALUE] < math.inf:
        clip(g, n, value(g, settings[lay.S_CLIP_VALUE]))
    if t[lay.NORMS]:
        # A shared bias has its gradient at every unit's place, and counts once.
        counted = 1 if unit[lay.U_KIND] == lay.UNIT_SHARED_BIAS else n
        pointer(_DOUBLE, t[lay.NORMS])[u] = squares(g, counted)


@jit.doorway(roles.units)
def form_units(tag, t, first, last, rows, scratch):
    """Gradients over workspace rows 0 ... rows - 1 for a range of units, into SLAB_G."""
    units, g = pointer(_INT, t[lay.UNITS]), pointer(tag, t[lay.SLAB_G])
    for u in range(first, last):
        unit = at(units, u * lay.UNIT)
        to = at(g, unit[lay.U_OFFSET])
        gradient(tag, t, unit, 0, rows, to, 0)
        call_refine(t[lay.REFINE], (tag, t, u, to))


@jit.doorway(roles.units)
def clip_units(tag, t, first, last, rows, g):
    """Scale the gradients by min(1, c / (norm + 1e-6)) (PyTorch's clip_grad_norm_); use them."""
    units, norms = pointer(_INT, t[lay.UNITS]), pointer(_DOUBLE, t[lay.NORMS])
    total = 0.0
    for u in range(t[lay.N_UNITS]):
        total += norms[u]
    most = pointer(_DOUBLE, t[lay.SETTINGS])[lay.S_CLIP_NORM]
    factor = min(1.0, most / (math.sqrt(total) + 1e-6))
    for u in range(first, last):
        unit = at(units, u * lay.UNIT)
        here, n = at(g, unit[lay.U_OFFSET]), unit[lay.U_LENGTH]
        if factor < 1.0:
            by = value(g, factor)
            for i in range(n):
                here[i] = here[i] * by
        update(tag, t, unit[lay.U_OFFSET], n, here)
        transpose(tag, t, unit)


@jit.inlined
def shrink(norm, most):
    return most / norm if norm > most else 1.0


@jit.inlined
def constrain_columns(w, rows, width, most, total):
    """A wide layer's panel: each column is a unit's weights."""
    for j in range(width):
        total[j] = value(w, 0)
    for r in range(rows):
        row = at(w, r * width)
        for j in range(width):
            total[j] = total[j] + row[j] * row[j]
    for j in range(width):
        total[j] = value(w, shrink(math.sqrt(np.float64(total[j])), most))
    for r in range(rows):
        row = at(w, r * width)
        for j in range(width):
            row[j] = row[j] * total[j]


@jit.kernel
def constrain_rows(tag, t, u, layer, rows, most):
    """A narrow layer: each row is a unit's weights, in pieces of the panels from unit u on."""
    params, units = pointer(tag, t[lay.PARAMS]), pointer(_INT, t[lay.UNITS])
    for r in range(rows):
        norm, v = 0.0, u
        while v < t[lay.N_UNITS]:
            unit = at(units, v * lay.UNIT)
            if unit[lay.U_LAYER] != layer or unit[lay.U_KIND] != lay.UNIT_WEIGHTS:
                break
            width = unit[lay.U_WIDTH]
            norm += squares(at(params, unit[lay.U_OFFSET] + r * width), width)
            v += 1
        by = value(params, shrink(math.sqrt(norm), most))
        for piece in range(u, v):
            unit = at(units, piece * lay.UNIT)
            width = unit[lay.U_WIDTH]
            row = at(params, unit[lay.U_OFFSET] + r * width)
            for j in range(width):
                row[j] = row[j] * by


@jit.doorway(roles.units)
def constrain(tag, t, thread, threads, rows, scratch):
    """Scale each unit's incoming weights to a norm of at most its layer's `max_norm`."""
    params, units = pointer(tag, t[lay.PARAMS]), pointer(_INT, t[lay.UNITS])
    settings = pointer(_DOUBLE, t[lay.SETTINGS])
    for u in range(t[lay.N_UNITS]):
        unit = at(units, u * lay.UNIT)
        layer = unit[lay.U_LAYER]
        most = settings[lay.S_LAYERS + layer * lay.S_LAYER + lay.S_MAX_NORM]
        record = at(t, HEADER + layer * RECORD)
        if unit[lay.U_KIND] != lay.UNIT_WEIGHTS or unit[lay.U_FIRST] != 0 or most == math.inf:
            continue
        if u % threads != thread:  # each panel, or narrow layer, is one thread's
            continue
        if record[lay.L_NARROW]:
            if unit[lay.U_COLUMN] == 0:
                constrain_rows(tag, t, u, layer, record[lay.L_OUT], most)
            continue
        w = at(params, unit[lay.U_OFFSET])
        constrain_columns(w, record[lay.L_ROWS], unit[lay.U_WIDTH], most, scratch)
        for v in range(u, t[lay.N_UNITS]):
            piece = at(units, v * lay.UNIT)
            if piece[lay.U_LAYER] != layer or piece[lay.U_KIND] != lay.UNIT_WEIGHTS:
                break
            if piece[lay.U_COLUMN] == unit[lay.U_COLUMN]:
                transpose(tag, t, piece)
