"""Kernels made from a person's own scalar functions, which are inlined into the loops.

They are not kept on disk: a file's name can't tell one such function from another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import cast
from fastbp.kernels.functions.activation_kernel import ActivationKernel
from fastbp.kernels.functions.losses import LossKernel


def _inlined(function: Callable[..., Any]) -> Any:
    """With the flags of all kernels, whatever those it was compiled with."""
    return jit.own(getattr(function, "py_func", function))


@cache
def activation(f: Callable[..., Any], derivative: Callable[..., Any]) -> ActivationKernel:
    """a = f(z), and d = derivative(z) d; the padding stays as it is, f of it may be anything."""
    f, derivative = _inlined(f), _inlined(derivative)

    def forward(a, rows, n, ld, settings):
        for r in range(rows):
            for j in range(r * ld, r * ld + n):
                a[j] = cast(a, f(a[j]))

    def backward(d, a, z, rows, n, ld, settings):
        for r in range(rows):
            for j in range(r * ld, r * ld + n):
                d[j] = cast(d, d[j] * derivative(z[j]))

    return ActivationKernel(
        jit.CFunc(roles.forward, forward, apart=True, own=True),
        jit.CFunc(roles.backward, backward, apart=True, own=True),
        needs_z=True,
    )


@cache
def loss(f: Callable[..., Any], derivative: Callable[..., Any]) -> LossKernel:
    """(1/k) sum_j f(p, t), and d = derivative(p, t) / k."""
    f, derivative = _inlined(f), _inlined(derivative)

    def kernel(z, p, t, w, d, e, rows, k, ld, scale, settings):
        mean = cast(p, 1) / cast(p, k)
        for r in range(rows):
            total, by, first = 0.0, w[r] * (scale * mean), r * ld
            for j in range(first, first + k):
                total += f(p[j], t[j])
            e[r] = np.float64(w[r]) * total * np.float64(mean)
            for j in range(first, first + k):
                d[j] = cast(d, by * derivative(p[j], t[j]))
            for j in range(first + k, first + ld):
                d[j] = cast(d, 0)

    return LossKernel(jit.CFunc(roles.loss, kernel, apart=True, own=True))
