"""Parameters in the order of `get_weights`, for solvers that treat them as one vector.

p = parameters that are trained. Such a vector is float64 whatever the network's dtype and holds
1 + p values, the first of them 0, which the padding of the network's buffers stands for. Points
hold behind these what is not trained, and directions -0.0 there: adding that changes no bit.
`sources` gives for every place of the parameter buffer the parameter that belongs there; `places`
one place for every parameter.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import cast, pointer
from fastbp.kernels.layout import OK

_INT = np.int64(0)
_DOUBLE = np.float64(0.0)

# What `assess`, `remember` and `penalty` leave in `figures`.
SLOPE, LARGEST, TOTAL = range(3)
CURVATURE, LENGTH = 3, 4
PENALTY = 5


@jit.reduction
def dot(p, q, n):
    total = 0.0
    for i in range(n):
        total += p[i] * q[i]
    return total


@jit.entry
def place(like, out, sources, size, x, d, step):
    """A whole parameter buffer of the point x + step d, transposes and zeros with it."""
    out, sources = pointer(like, out), pointer(_INT, sources)
    x, d, t = pointer(_DOUBLE, x), pointer(_DOUBLE, d), pointer(_DOUBLE, step)[0]
    for i in range(size):
        s = sources[i]
        out[i] = cast(out, x[s] + t * d[s])
    return OK


@jit.entry
def collect(like, values, places, n, out):
    """Values of the network's dtype that stand in a buffer of the parameters' layout."""
    values, places = pointer(like, values), pointer(_INT, places)
    out = pointer(_DOUBLE, out)
    for i in range(n):
        out[1 + i] = np.float64(values[places[i]])
    return OK


@jit.entry
def penalty(like, values, places, n, factors, figures):
    """Σ factor · parameter², the parameters as they stand in a buffer, in float64."""
    values, places = pointer(like, values), pointer(_INT, places)
    factors = pointer(_DOUBLE, factors)
    total = 0.0
    for i in range(n):
        x = np.float64(values[places[i]])
        total += factors[i] * x * x
    pointer(_DOUBLE, figures)[PENALTY] = total
    return OK


@jit.entry
def assess(like, g, d, n, figures):
    """A gradient's slope along d, its largest magnitude, and the sum of its magnitudes.

    A NaN shows in the sum.
    """
    g, d, figures = pointer(_DOUBLE, g), pointer(_DOUBLE, d), pointer(_DOUBLE, figures)
    largest, total = 0.0, 0.0
    for i in range(n):
        size = abs(g[i])
        total += size
        largest = max(largest, size)
    figures[SLOPE], figures[LARGEST], figures[TOTAL] = dot(g, d, n), largest, total
    return OK
