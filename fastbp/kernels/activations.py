"""Activations: f and f' side by side, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass

from fastbp.kernels import jit, roles, vmath
from fastbp.kernels.simd import value


@dataclass(frozen=True)
class Activation:
    """What the driver needs to know of an activation.

    `forward` and `backward` are None where nothing has to be called. In hidden layers the register
    tiles themselves do the clamp of a `clamped` one, and its mask on the way back. `needs_z` says
    that f' is taken from the sums, which are then kept beside the outputs.
    """

    forward: jit.Doorway | None
    backward: jit.Doorway | None
    clamped: bool = False
    needs_z: bool = False


@jit.doorway(roles.forward)
def sigmoid(a, rows, n, ld, parameters):
    for i in range(rows * ld):
        a[i] = vmath.sigmoid(a[i])


@jit.doorway(roles.backward)
def sigmoid_backward(d, a, z, rows, n, ld, parameters):
    """f' = a (1 - a)."""
    one = value(a, 1)
    for i in range(rows * ld):
        d[i] = d[i] * (a[i] * (one - a[i]))


@jit.doorway(roles.forward)
def tanh(a, rows, n, ld, parameters):
    for i in range(rows * ld):
        a[i] = vmath.tanh(a[i])


@jit.doorway(roles.backward)
def tanh_backward(d, a, z, rows, n, ld, parameters):
    """f' = 1 - a²."""
    one = value(a, 1)
    for i in range(rows * ld):
        d[i] = d[i] * (one - a[i] * a[i])


@jit.doorway(roles.forward)
def relu(a, rows, n, ld, parameters):
    zero = value(a, 0)
    for i in range(rows * ld):
        a[i] = zero if a[i] < zero else a[i]  # a NaN stays one


@jit.doorway(roles.backward)
def relu_backward(d, a, z, rows, n, ld, parameters):
    """f' = 1 where a > 0, else 0."""
    zero = value(a, 0)
    for i in range(rows * ld):
        d[i] = d[i] if a[i] > zero else zero


@jit.kernel
def shifted_exponentials(p, rows, n, ld):
    """p = exp(p - row's maximum), one flat loop for all rows; 1 in the padding."""
    for r in range(rows):
        at = r * ld
        top = p[at]
        for j in range(at + 1, at + n):
            top = p[j] if p[j] > top else top  # a NaN is found again in the difference
        for j in range(at, at + n):
            p[j] = p[j] - top
        for j in range(at + n, at + ld):
            p[j] = value(p, 0)
    for i in range(rows * ld):
        p[i] = vmath.exp(p[i])


@jit.reduction
def row_sum(p, at, n):
    s = value(p, 0)
    for j in range(n):
        s += p[at + j]
    return s


@jit.reduction
def row_dot(p, q, at, n):
    s = value(p, 0)
    for j in range(n):
        s += p[at + j] * q[at + j]
    return s


@jit.doorway(roles.forward)
def softmax(a, rows, n, ld, parameters):
    """exp(z - max) / sum, stable for any finite z (Goodfellow et al., Deep Learning, 4.1)."""
    shifted_exponentials(a, rows, n, ld)
    for r in range(rows):
        scale = value(a, 1) / row_sum(a, r * ld, n)
        for j in range(r * ld, r * ld + n):
            a[j] = a[j] * scale


@jit.doorway(roles.backward)
def softmax_backward(d, a, z, rows, n, ld, parameters):
    """The full Jacobian: d_j = a_j (d_j - sum_i d_i a_i)."""
    for r in range(rows):
        mean = row_dot(d, a, r * ld, n)
        for j in range(r * ld, r * ld + n):
            d[j] = a[j] * (d[j] - mean)


ACTIVATIONS = {
    "linear": Activation(None, None),
    "sigmoid": Activation(sigmoid, sigmoid_backward),
    "tanh": Activation(tanh, tanh_backward),
    "relu": Activation(relu, relu_backward, clamped=True),
    "softmax": Activation(softmax, softmax_backward),
}
