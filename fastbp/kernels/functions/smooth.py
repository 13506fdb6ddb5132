"""Smooth activations.

The arguments are those of roles.forward and roles.backward; the table of all is in activations.py.
Most derivatives need z, the sum, and not only the output.
"""

from __future__ import annotations

import math

import numpy as np

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import cast
from fastbp.kernels.functions.activation_kernel import ActivationKernel
from fastbp.kernels.maths import circular, vmath

_ROOT_HALF, _DENSITY = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)
_TANH_SCALE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715


@jit.elementwise(roles.forward)
def gelu(a, rows, n, ld, settings):
    """z (1 + erf(z / sqrt(2))) / 2 (Hendrycks & Gimpel 2016)."""
    half, one, root = cast(a, 0.5), cast(a, 1), cast(a, _ROOT_HALF)
    for i in range(rows * ld):
        a[i] = half * a[i] * (one + vmath.erf(a[i] * root))


@jit.elementwise(roles.backward)
def gelu_backward(d, a, z, rows, n, ld, settings):
    """Phi(z) + z phi(z), the normal distribution and its density."""
    half, one, root = cast(a, 0.5), cast(a, 1), cast(a, _ROOT_HALF)
    density = cast(a, _DENSITY)
    for i in range(rows * ld):
        below = half * (one + vmath.erf(z[i] * root))
        d[i] = d[i] * (below + z[i] * (density * vmath.exp(-half * z[i] * z[i])))


@jit.elementwise(roles.forward)
def gelu_tanh(a, rows, n, ld, settings):
    """z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z³))) / 2, the same source's approximation."""
    half, one = cast(a, 0.5), cast(a, 1)
    scale, cube = cast(a, _TANH_SCALE), cast(a, _TANH_CUBE)
    for i in range(rows * ld):
        x = a[i]
        a[i] = half * x * (one + vmath.tanh(scale * (x + cube * x * x * x)))


@jit.elementwise(roles.backward)
def gelu_tanh_backward(d, a, z, rows, n, ld, settings):
    """(1 + t) / 2 + z (1 - t²) (sqrt(2 / pi) (1 + 3 0.044715 z²)) / 2."""
    half, one = cast(a, 0.5), cast(a, 1)
    scale, cube, three = cast(a, _TANH_SCALE), cast(a, _TANH_CUBE), cast(a, 3)
    for i in range(rows * ld):
        x = z[i]
        t = vmath.tanh(scale * (x + cube * x * x * x))
        inner = scale * (one + three * cube * x * x)
        # 1 - t² first: it is 0 where z² overflows
        slope = (one - t) * (one + t)
        inner = inner if slope > cast(a, 0) else cast(a, 0)
        d[i] = d[i] * (half * (one + t) + half * x * slope * inner)


@jit.elementwise(roles.forward)
def silu(a, rows, n, ld, settings):
    """z sigmoid(z), also called swish (Elfwing et al. 2018)."""
    for i in range(rows * ld):
        a[i] = a[i] * vmath.sigmoid(a[i])


@jit.elementwise(roles.backward)
def silu_backward(d, a, z, rows, n, ld, settings):
    """s (1 + z (1 - s)) with s = sigmoid(z)."""
    one = cast(a, 1)
    for i in range(rows * ld):
        s = vmath.sigmoid(z[i])
        d[i] = d[i] * (s * (one + z[i] * (one - s)))


@jit.elementwise(roles.forward)
def mish(a, rows, n, ld, settings):
    """z tanh(softplus(z)) (Misra 2019)."""
    for i in range(rows * ld):
        a[i] = a[i] * vmath.tanh(vmath.softplus(a[i]))


@jit.elementwise(roles.backward)
def mish_backward(d, a, z, rows, n, ld, settings):
    """t + z (1 - t²) sigmoid(z) with t = tanh(softplus(z))."""
    one = cast(a, 1)
    for i in range(rows * ld):
        t = vmath.tanh(vmath.softplus(z[i]))
        d[i] = d[i] * (t + z[i] * ((one - t * t) * vmath.sigmoid(z[i])))


@jit.elementwise(roles.forward)
def softplus(a, rows, n, ld, settings):
    """log(1 + e**z)."""
    for i in range(rows * ld):
        a[i] = vmath.softplus(a[i])


@jit.elementwise(roles.backward)
def softplus_backward(d, a, z, rows, n, ld, settings):
    """sigmoid(z)."""
    for i in range(rows * ld):
        d[i] = d[i] * vmath.sigmoid(z[i])


@jit.elementwise(roles.forward)
def softsign(a, rows, n, ld, settings):
    """z / (1 + |z|) (Glorot & Bengio 2010)."""
    one = cast(a, 1)
    for i in range(rows * ld):
        a[i] = a[i] / (one + abs(a[i]))


@jit.elementwise(roles.backward)
def softsign_backward(d, a, z, rows, n, ld, settings):
    """1 / (1 + |z|)²."""
    one = cast(a, 1)
    for i in range(rows * ld):
        x = one / (one + abs(z[i]))
        d[i] = d[i] * (x * x)


@jit.elementwise(roles.forward)
def exp(a, rows, n, ld, settings):
    """e**z."""
    for i in range(rows * ld):
        a[i] = vmath.exp(a[i])


@jit.elementwise(roles.backward)
def exp_backward(d, a, z, rows, n, ld, settings):
    """a itself."""
    for i in range(rows * ld):
        d[i] = d[i] * a[i]


@jit.inlined
def _far(z, n):
    """How many of n values are too large for vmath's sin and cos."""
    count = 0
    for i in range(n):
        count += int(vmath.is_far(z[i]))
    return count


@jit.elementwise(roles.forward)
def sine(a, rows, n, ld, settings):
    """sin(z) (Sitzmann et al. 2020)."""
    if _far(a, rows * ld):  # a loop of its own: a branch inside stops the other's vectorisation
        for i in range(rows * ld):
            x = a[i]
            y = vmath.sin(x)
            a[i] = cast(a, circular.sin(np.float64(x))) if vmath.is_far(x) else y
        return
    for i in range(rows * ld):
        a[i] = vmath.sin(a[i])


@jit.elementwise(roles.backward)
def sine_backward(d, a, z, rows, n, ld, settings):
    """cos(z)."""
    if _far(z, rows * ld):
        for i in range(rows * ld):
            x = z[i]
            y = vmath.cos(x)
            d[i] = d[i] * (cast(a, circular.cos(np.float64(x))) if vmath.is_far(x) else y)
        return
    for i in range(rows * ld):
        d[i] = d[i] * vmath.cos(z[i])


ACTIVATIONS = {
    "gelu": ActivationKernel(gelu, gelu_backward, needs_z=True),
    "gelu_tanh": ActivationKernel(gelu_tanh, gelu_tanh_backward, needs_z=True),
    "silu": ActivationKernel(silu, silu_backward, needs_z=True),
    "mish": ActivationKernel(mish, mish_backward, needs_z=True),
    "softplus": ActivationKernel(softplus, softplus_backward, needs_z=True),
    "softsign": ActivationKernel(softsign, softsign_backward, needs_z=True),
    "exp": ActivationKernel(exp, exp_backward),
    "sine": ActivationKernel(sine, sine_backward, needs_z=True),
}
