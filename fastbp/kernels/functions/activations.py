"""Activations: f and f' side by side, and the table of them."""

from __future__ import annotations

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import at, cast
from fastbp.kernels.functions import rectifiers, smooth
from fastbp.kernels.functions.activation_kernel import ActivationKernel
from fastbp.kernels.maths import vmath
from fastbp.kernels.maths.rows import (
    packed,
    row_dot,
    row_max,
    row_sum,
    scale_row,
    shift_row,
    side_by_side,
)


@jit.elementwise(roles.forward)
def sigmoid(a, rows, n, ld, settings):
    for i in range(rows * ld):
        a[i] = vmath.sigmoid(a[i])


@jit.elementwise(roles.backward)
def sigmoid_backward(d, a, z, rows, n, ld, settings):
    """f' = a (1 - a)."""
    one = cast(a, 1)
    for i in range(rows * ld):
        d[i] = d[i] * (a[i] * (one - a[i]))


@jit.elementwise(roles.forward)
def tanh(a, rows, n, ld, settings):
    for i in range(rows * ld):
        a[i] = vmath.tanh(a[i])


@jit.elementwise(roles.backward)
def tanh_backward(d, a, z, rows, n, ld, settings):
    """f' = 1 - a²."""
    one = cast(a, 1)
    for i in range(rows * ld):
        d[i] = d[i] * (one - a[i] * a[i])


@jit.elementwise(roles.forward)
def relu(a, rows, n, ld, settings):
    zero = cast(a, 0)
    for i in range(rows * ld):
        a[i] = zero if a[i] < zero else a[i]  # a NaN stays one


@jit.elementwise(roles.backward)
def relu_backward(d, a, z, rows, n, ld, settings):
    """f' = 1 where a > 0, else 0."""
    zero = cast(a, 0)
    for i in range(rows * ld):
        d[i] = d[i] if a[i] > zero else zero


@jit.elementwise(roles.forward)
def softmax(a, rows, n, ld, settings):
    """exp(z - max) / sum, stable for any finite z (Goodfellow et al., Deep Learning, 4.1)."""
    step = side_by_side(a, n, ld)
    for r in range(rows):
        row = at(a, r * ld)
        # a NaN is found again in the difference
        shift_row(at(a, r * step), row, row_max(row, n), n, ld)
    for i in range(packed(a, rows, step)):
        a[i] = vmath.exp(a[i])
    for s in range(rows):
        r = rows - 1 - s
        row = at(a, r * step)
        scale_row(at(a, r * ld), row, cast(a, 1) / row_sum(row, n), n, ld)


@jit.elementwise(roles.backward)
def softmax_backward(d, a, z, rows, n, ld, settings):
    """The full Jacobian: d_j = a_j (d_j - sum_i d_i a_i)."""
    for r in range(rows):
        row = at(d, r * ld)
        shift_row(row, row, row_dot(row, at(a, r * ld), n), n, ld)
    for i in range(rows * ld):
        d[i] = d[i] * a[i]


ACTIVATIONS = {
    "linear": ActivationKernel(None, None),
    "sigmoid": ActivationKernel(sigmoid, sigmoid_backward),
    "tanh": ActivationKernel(tanh, tanh_backward),
    "relu": ActivationKernel(relu, relu_backward, clamped=True),
    "softmax": ActivationKernel(softmax, softmax_backward),
    **rectifiers.ACTIVATIONS,
    **smooth.ACTIVATIONS,
}
