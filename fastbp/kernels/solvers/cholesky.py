"""The damped normal equations (A + m I) x = -g by Cholesky's factorisation, in tiles.

p = parameters; A = the first p rows and columns of J'J, g its column p (see jacobian.py). The
factor is upper: A + m I = U'U. Column p goes along as one more, and becomes U'^-1 g, so that only
one triangular system is left. A row of tiles at a time: each tile is a product of what stands above
it in two strips, which is where the time goes, and one small triangular system.

While a tile waits for its row it holds its values' negative: the register tiles only add.
"""

from __future__ import annotations

import math

import numpy as np

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import at, pointer
from fastbp.kernels.layout import OK, header
from fastbp.kernels.solvers import jacobian as jac
from fastbp.kernels.solvers.jacobian import multiply_add, tile_at
from fastbp.kernels.team import barrier, share

_INT = np.int64(0)
_DOUBLE = np.float64(0.0)


@jit.entry
def penalise(like, own_table, factors, x, scale):
    """Add what Σ factor · x² adds to J'J and J'r, times the float64 at the address `scale`.

    `x` is a vector of points.py, `factors` has one value a parameter.
    """
    own, by = pointer(_INT, own_table), pointer(_DOUBLE, scale)[0]
    factors, x = pointer(_DOUBLE, factors), at(pointer(_DOUBLE, x), 1)
    p, w = own[jac.P], own[jac.WIDTH]
    for i in range(p):
        more = by * factors[i]
        tile_at(own, jac.PRODUCTS, i // w, i // w)[i % w * (w + 1)] += more
        tile_at(own, jac.PRODUCTS, i // w, p // w)[i % w * w + p % w] += more * x[i]
    return OK


@jit.entry
def damp(like, own_table, damping):
    """FACTOR = -(J'J + m I), m the float64 at the address `damping`."""
    own, m = pointer(_INT, own_table), pointer(_DOUBLE, damping)[0]
    w, strips = own[jac.WIDTH], own[jac.STRIPS]
    source, target = tile_at(own, jac.PRODUCTS, 0, 0), tile_at(own, jac.FACTOR, 0, 0)
    for i in range(strips * (strips + 1) // 2 * w * w):
        target[i] = -source[i]
    for i in range(own[jac.P]):
        tile = tile_at(own, jac.FACTOR, i // w, i // w)
        tile[i % w * (w + 1)] -= m
    own[jac.FAILED] = 0
    return OK


@jit.kernel
def factor_tile(c, w, n):
    """The upper factor of n rows of a tile on the diagonal; whether all pivots were above 0.

    What stands below the diagonal is not read again.
    """
    for i in range(n):
        row = at(c, i * w)
        pivot = -row[i]
        if not pivot > 0.0:  # so that a NaN fails too
            return False
        scale = -1.0 / math.sqrt(pivot)
        for j in range(w):
            row[j] = row[j] * scale
        for k in range(i + 1, n):
            below, u = at(c, k * w), row[k]
            for j in range(w):
                below[j] += u * row[j]
    return True


@jit.kernel
def solve_tile(u, c, w):
    """c = U'^-1 (-c) for the factor of the tile on the diagonal."""
    for i in range(w):
        row, scale = at(c, i * w), -1.0 / u[i * w + i]
        for j in range(w):
            row[j] = row[j] * scale
        for k in range(i + 1, w):
            below, x = at(c, k * w), u[i * w + k]
            for j in range(w):
                below[j] += x * row[j]


@jit.entry
def factor(like, table, own_table, first, last, thread):
    """Rows `first` ... `last` - 1 of tiles; FAILED if the matrix is not positive definite."""
    t, own = header(table), pointer(_INT, own_table)
    threads, strips, w = t.threads, own[jac.STRIPS], own[jac.WIDTH]
    for i in range(first, last):
        above, diagonal = tile_at(own, jac.FACTOR, 0, i), tile_at(own, jac.FACTOR, i, i)
        if thread == 0:
            if i > 0:
                multiply_add(own, above, above, w, diagonal, w, diagonal, i * w)
            if not factor_tile(diagonal, w, min(w, own[jac.P] - i * w)):
                own[jac.FAILED] = 1
        barrier(t)
        if own[jac.FAILED]:
            return OK
        count = strips - i - 1
        for right in range(share(count, threads, thread), share(count, threads, thread + 1)):
            j = i + 1 + right
            c = tile_at(own, jac.FACTOR, i, j)
            if i > 0:
                multiply_add(own, above, tile_at(own, jac.FACTOR, 0, j), w, c, w, c, i * w)
            solve_tile(diagonal, c, w)
        barrier(t)
    return OK


@jit.reduction
def inner(p, q, n):
    total = 0.0
    for i in range(n):
        total += p[i] * q[i]
    return total


@jit.entry
def back_substitute(like, own_table, d):
    """d = -U^-1 (U'^-1 g), the step, as a vector of points.py."""
    own, d = pointer(_INT, own_table), at(pointer(_DOUBLE, d), 1)
    p, w = own[jac.P], own[jac.WIDTH]
    for i in range(p):
        d[i] = -tile_at(own, jac.FACTOR, i // w, p // w)[i % w * w + p % w]
    for j in range((p + w - 1) // w - 1, -1, -1):
        u, here, n = tile_at(own, jac.FACTOR, j, j), at(d, j * w), min(w, p - j * w)
        for i in range(n - 1, -1, -1):
            rest = inner(at(u, i * w + i + 1), at(here, i + 1), n - i - 1)
            here[i] = (here[i] - rest) / u[i * w + i]
        for i in range(j * w):
            d[i] -= inner(at(tile_at(own, jac.FACTOR, 0, j), i * w), here, n)
    return OK


@jit.entry
def read_gradient(like, own_table, g):
    """g = J'r, as a vector of points.py."""
    own, g = pointer(_INT, own_table), pointer(_DOUBLE, g)
    p, w = own[jac.P], own[jac.WIDTH]
    for i in range(p):
        g[1 + i] = tile_at(own, jac.PRODUCTS, i // w, p // w)[i % w * w + p % w]
    return OK
