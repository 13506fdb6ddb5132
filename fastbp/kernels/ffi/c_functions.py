"""The C functions by which other programs predict and train, and two that SciPy takes."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.roles import call_embedded
from fastbp.kernels.compiling.simd import address, at, cast, pointer
from fastbp.kernels.ffi import embedded as e

_INT = np.int64(0)
_DOUBLE = np.float64(0.0)
_SINGLE = np.float32(0.0)


@jit.cfunc(roles.c_function)
def predict(state, x, out, n):
    """n rows of inputs to n rows of outputs."""
    if state[e.SELF] != address(state):
        return e.WRONG_STATE
    if n < 0:
        return e.WRONG_SHAPE
    return call_embedded(state[e.PREDICT], (state, x, out, x, x, n))


@jit.cfunc(roles.c_function)
def train(state, x, out, n):
    """One update by n rows of inputs, behind which stand n rows of targets; the loss to out[0]."""
    if state[e.SELF] != address(state):
        return e.WRONG_STATE
    if n < 1 or n > state[e.MOST_ROWS]:
        return e.WRONG_SHAPE
    y = at(x, n * state[e.N_INPUTS])
    status = call_embedded(state[e.TRAIN], (state, x, y, x, x, n))
    out[0] = cast(out, pointer(_DOUBLE, state[e.LOSS])[0])
    return status


@jit.kernel
def _output(like, state, x, out):
    """The only output for one row of doubles; a status. The row is converted where it is read."""
    t = lay.header(state[e.ROWS_TABLE])
    base = pointer(like, t.workspace)
    a, p = at(base, t.samples), at(base, e.output_layer(t).outputs)
    for i in range(state[e.N_INPUTS]):
        a[i] = cast(a, x[i])
    status = call_embedded(state[e.PREDICT], (state, a, p, a, a, 1))
    out[0] = p[0]
    return status


@jit.kernel
def _evaluated(state, n, x, out):
    if state[e.SELF] != address(state) or n != state[e.N_INPUTS] or state[e.N_OUTPUTS] != 1:
        return e.WRONG_SHAPE
    if state[e.ITEMSIZE] == 4:
        return _output(_SINGLE, state, x, out)
    return _output(_DOUBLE, state, x, out)


@jit.cfunc(roles.scipy_filter)
def filter(x, n, out, user_data):
    """For scipy.ndimage.generic_filter: 1, or 0 where it can't be done."""
    return np.int32(_evaluated(pointer(_INT, address(user_data)), n, x, out) == lay.OK)


@jit.cfunc(roles.scipy_integrand)
def integrand(n, x, user_data):
    """For scipy.integrate.quad and nquad: NaN where it can't be done."""
    state = pointer(_INT, address(user_data))
    out = pointer(_DOUBLE, state[e.LOSS])  # a place for one double; the loss is read at once
    if _evaluated(state, np.int64(n), x, out) != lay.OK:
        return np.nan
    return out[0]
