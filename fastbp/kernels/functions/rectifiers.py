"""Activations made of pieces.

The arguments are those of roles.forward and roles.backward; the table of all is in activations.py.
"""

from __future__ import annotations

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import cast
from fastbp.kernels.functions.activation_kernel import ActivationKernel
from fastbp.kernels.maths import vmath

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@jit.inlined
def _expm1(x, like):
    """e**x - 1 for x <= 0, as 2t / (1 - t) with t = tanh(x / 2): no digits are lost near 0."""
    t = vmath.tanh(x * cast(like, 0.5))
    return (t + t) / (cast(like, 1) - t)


@jit.elementwise(roles.forward)
def leaky_relu(a, rows, n, ld, settings):
    """z where z > 0, else negative_slope z (Maas et al. 2013)."""
    zero, slope = cast(a, 0), settings[0]
    for i in range(rows * ld):
        a[i] = a[i] if a[i] > zero else slope * a[i]


@jit.elementwise(roles.backward)
def leaky_relu_backward(d, a, z, rows, n, ld, settings):
    """1 where a > 0, else negative_slope, which is at least 0: a and z have the same sign."""
    zero, slope = cast(a, 0), settings[0]
    for i in range(rows * ld):
        d[i] = d[i] if a[i] > zero else slope * d[i]


@jit.inlined
def _exponential(a, n, alpha, scale):
    """scale (z where z > 0, else alpha (e**z - 1))."""
    zero = cast(a, 0)
    for i in range(n):
        below = alpha * _expm1(zero if a[i] > zero else a[i], a)
        a[i] = scale * (a[i] if a[i] > zero else below)


@jit.inlined
def _exponential_backward(d, a, n, alpha, scale):
    """scale where a > 0, else a + scale alpha, which is scale alpha e**z."""
    zero, most = cast(a, 0), scale * alpha
    for i in range(n):
        d[i] = d[i] * (scale if a[i] > zero else a[i] + most)


@jit.elementwise(roles.forward)
def elu(a, rows, n, ld, settings):
    """z where z > 0, else alpha (e**z - 1) (Clevert et al. 2016)."""
    _exponential(a, rows * ld, settings[0], cast(a, 1))


@jit.elementwise(roles.backward)
def elu_backward(d, a, z, rows, n, ld, settings):
    _exponential_backward(d, a, rows * ld, settings[0], cast(a, 1))


@jit.elementwise(roles.forward)
def selu(a, rows, n, ld, settings):
    """ELU scaled so that means and variances keep (Klambauer et al. 2017)."""
    _exponential(a, rows * ld, cast(a, _SELU_ALPHA), cast(a, _SELU_SCALE))


@jit.elementwise(roles.backward)
def selu_backward(d, a, z, rows, n, ld, settings):
    _exponential_backward(d, a, rows * ld, cast(a, _SELU_ALPHA), cast(a, _SELU_SCALE))


@jit.inlined
def _clamp(a, n, low, high):
    """z within low ... high; a NaN stays one."""
    for i in range(n):
        x = low if a[i] < low else a[i]
        a[i] = high if x > high else x


@jit.inlined
def _clamp_backward(d, a, n, slope, low, high):
    """slope strictly inside, 0 elsewhere."""
    zero = cast(a, 0)
    for i in range(n):
        d[i] = (slope * d[i] if a[i] > low else zero) if a[i] < high else zero


@jit.elementwise(roles.forward)
def relu6(a, rows, n, ld, settings):
    """min(max(0, z), 6)."""
    _clamp(a, rows * ld, cast(a, 0), cast(a, 6))


@jit.elementwise(roles.backward)
def relu6_backward(d, a, z, rows, n, ld, settings):
    _clamp_backward(d, a, rows * ld, cast(a, 1), cast(a, 0), cast(a, 6))


@jit.elementwise(roles.forward)
def hard_tanh(a, rows, n, ld, settings):
    """min(max(-1, z), 1)."""
    _clamp(a, rows * ld, cast(a, -1), cast(a, 1))


@jit.elementwise(roles.backward)
def hard_tanh_backward(d, a, z, rows, n, ld, settings):
    _clamp_backward(d, a, rows * ld, cast(a, 1), cast(a, -1), cast(a, 1))


@jit.elementwise(roles.forward)
def hard_sigmoid(a, rows, n, ld, settings):
    """min(max(0, z + 3), 6) / 6, as PyTorch; so that it is just 0 at -3."""
    three, six, sixth = cast(a, 3), cast(a, 6), cast(a, 1 / 6)
    for i in range(rows * ld):
        x = a[i] + three
        x = cast(a, 0) if x < cast(a, 0) else x
        a[i] = sixth * (six if x > six else x)


@jit.elementwise(roles.backward)
def hard_sigmoid_backward(d, a, z, rows, n, ld, settings):
    _clamp_backward(d, a, rows * ld, cast(a, 1 / 6), cast(a, 0), cast(a, 1))


ACTIVATIONS = {
    "leaky_relu": ActivationKernel(leaky_relu, leaky_relu_backward),
    "elu": ActivationKernel(elu, elu_backward),
    "selu": ActivationKernel(selu, selu_backward),
    "relu6": ActivationKernel(relu6, relu6_backward),
    "hard_sigmoid": ActivationKernel(hard_sigmoid, hard_sigmoid_backward),
    "hard_tanh": ActivationKernel(hard_tanh, hard_tanh_backward),
}
