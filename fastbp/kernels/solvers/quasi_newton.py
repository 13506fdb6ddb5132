"""The direction of L-BFGS, from the last few changes of point and gradient.

p = parameters, h = pairs kept; s (h, p) = changes of the point, y (h, p) = of the gradient, in a
ring whose newest pair is `newest`. Everything is float64, by one thread, in a fixed order.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import at, pointer
from fastbp.kernels.layout import OK
from fastbp.kernels.solvers.points import CURVATURE, LENGTH, dot

_DOUBLE = np.float64(0.0)


@jit.kernel
def add(p, factor, q, n):
    for i in range(n):
        p[i] = p[i] + factor * q[i]


@jit.entry
def remember(like, x, x_new, g, g_new, s, y, n, figures):
    """One pair; s'y and y'y go to `figures`."""
    x, x_new = pointer(_DOUBLE, x), pointer(_DOUBLE, x_new)
    g, g_new = pointer(_DOUBLE, g), pointer(_DOUBLE, g_new)
    s, y, figures = pointer(_DOUBLE, s), pointer(_DOUBLE, y), pointer(_DOUBLE, figures)
    for i in range(n):
        s[i] = x_new[i] - x[i]
        y[i] = g_new[i] - g[i]
    figures[CURVATURE], figures[LENGTH] = dot(s, y, n), dot(y, y, n)
    return OK


@jit.entry
def direction(like, g, d, s, y, figures, n, history, newest, count):
    """d = -H g by the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4).

    `figures` holds s'y of every pair, then y'y of every pair; behind them stand the
    recursion's own `history` values.
    """
    g, d = pointer(_DOUBLE, g), pointer(_DOUBLE, d)
    s, y = pointer(_DOUBLE, s), pointer(_DOUBLE, y)
    curvature = pointer(_DOUBLE, figures)
    length, alpha = at(curvature, history), at(curvature, 2 * history)
    for i in range(n):
        d[i] = -g[i]
    for back in range(count):
        k = (newest - back + history) % history
        alpha[k] = dot(at(s, k * n), d, n) / curvature[k]
        add(d, -alpha[k], at(y, k * n), n)
    if count > 0:
        scale = curvature[newest] / length[newest]
        for i in range(n):
            d[i] = d[i] * scale
    for forth in range(count):
        k = (newest - count + 1 + forth + history) % history
        beta = dot(at(y, k * n), d, n) / curvature[k]
        add(d, alpha[k] - beta, at(s, k * n), n)
    return OK
