"""Losses of the distance between output and target, one output at a time: see losses.py."""

from __future__ import annotations

import math

import numpy as np

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import at, cast
from fastbp.kernels.maths import vmath
from fastbp.kernels.maths.rows import row_sum, scale_row

_LOG_2 = math.log(2.0)


@jit.inlined
def summed(d, e, w, rows, k, ld):
    """e = w times the mean of a row's errors, which stand in d."""
    mean = cast(d, 1) / cast(d, k)
    for r in range(rows):
        e[r] = np.float64(w[r] * (mean * row_sum(at(d, r * ld), k)))


@jit.inlined
def scaled(d, w, rows, k, ld, scale):
    """d = a row's derivatives, times w scale / k; zero in the padding."""
    mean = cast(d, 1) / cast(d, k)
    for r in range(rows):
        scale_row(at(d, r * ld), at(d, r * ld), w[r] * mean * scale, k, ld)


@jit.elementwise(roles.loss)
def mae(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/k) sum_j |p - t|; the derivative at 0 is 0."""
    one, zero = cast(p, 1), cast(p, 0)
    for i in range(rows * ld):
        d[i] = abs(p[i] - t[i])
    summed(d, e, w, rows, k, ld)
    for i in range(rows * ld):
        x = p[i] - t[i]
        d[i] = one if x > zero else (-one if x < zero else x)
    scaled(d, w, rows, k, ld, scale)


@jit.elementwise(roles.loss)
def huber(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/k) sum_j of x²/2 where |x| <= delta, else delta (|x| - delta/2) (Huber 1964)."""
    delta, half = settings[0], cast(p, 0.5)
    for i in range(rows * ld):
        x = abs(p[i] - t[i])
        inner = delta if x > delta else x
        d[i] = inner * (x - half * inner)
    summed(d, e, w, rows, k, ld)
    for i in range(rows * ld):
        x = p[i] - t[i]
        x = -delta if x < -delta else x
        d[i] = delta if x > delta else x
    scaled(d, w, rows, k, ld, scale)


@jit.elementwise(roles.loss)
def log_cosh(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/k) sum_j log cosh(p - t): |x| + log1p(e**(-2|x|)) - log 2 where |x| >= 1.

    Below, -log1p(-tanh²x) / 2, in which nothing cancels.
    """
    one, half, two = cast(p, 1), cast(p, 0.5), cast(p, 2)
    log_2 = cast(p, _LOG_2)
    for i in range(rows * ld):
        x = abs(p[i] - t[i])
        small = vmath.tanh(one if x > one else x)
        near = -half * vmath.log1p(-small * small)
        far = x + (vmath.log1p(vmath.exp(-two * x)) - log_2)
        d[i] = near if x < one else far
    summed(d, e, w, rows, k, ld)
    for i in range(rows * ld):
        d[i] = vmath.tanh(p[i] - t[i])
    scaled(d, w, rows, k, ld, scale)


@jit.elementwise(roles.loss)
def quantile(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/k) sum_j max(q (t - p), (q - 1) (t - p)) (Koenker & Bassett 1978); 0 at 0.

    The settings are q and 1 - q, which has digits of its own where q is close to 1.
    """
    q, other, zero = settings[0], settings[1], cast(p, 0)
    for i in range(rows * ld):
        x = t[i] - p[i]
        d[i] = q * x if x > zero else -other * x
    summed(d, e, w, rows, k, ld)
    for i in range(rows * ld):
        x = t[i] - p[i]
        d[i] = -q if x > zero else (other if x < zero else x)
    scaled(d, w, rows, k, ld, scale)


@jit.elementwise(roles.loss)
def hinge(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/k) sum_j max(0, 1 - s p), s = 1 where t > 0, else -1."""
    one, zero = cast(p, 1), cast(p, 0)
    for i in range(rows * ld):
        x = one - (p[i] if t[i] > zero else -p[i])
        d[i] = zero if x < zero else x
    summed(d, e, w, rows, k, ld)
    for i in range(rows * ld):
        s = one if t[i] > zero else -one
        x = one - s * p[i]
        d[i] = zero if x <= zero else (-s if x > zero else x)
    scaled(d, w, rows, k, ld, scale)


@jit.elementwise(roles.loss)
def poisson(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/k) sum_j exp(z) - t z; d = exp(z) - t."""
    for i in range(rows * ld):
        p[i] = vmath.exp(z[i])
    for i in range(rows * ld):
        d[i] = p[i] - t[i] * z[i]
    summed(d, e, w, rows, k, ld)
    for i in range(rows * ld):
        d[i] = p[i] - t[i]
    scaled(d, w, rows, k, ld, scale)
