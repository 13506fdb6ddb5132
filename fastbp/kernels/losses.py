"""Losses: error and output delta side by side, and the table of them.

w = sample weights, k = outputs; rows of targets, outputs and deltas are `ld` apart
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbp.kernels import jit, roles, vmath
from fastbp.kernels.activations import row_dot, row_sum, shifted_exponentials
from fastbp.kernels.simd import value


@dataclass(frozen=True)
class Loss:
    """What the trainer needs to know of a loss.

    `requires` is the activation that the output layer must have, whose derivative the kernel
    includes. `low` and `high` bound the targets; `classes` says that class ids are taken.
    """

    kernel: jit.Doorway
    requires: str | None = None
    classes: bool = False
    low: float | None = None
    high: float | None = None


@jit.kernel
def zero_padding(d, rows, k, ld):
    for r in range(rows):
        for j in range(r * ld + k, r * ld + ld):
            d[j] = value(d, 0)


@jit.kernel
def squared(p, t, w, d, e, rows, k, ld, error_factor, delta_factor):
    """e = w * error_factor * sum (p - t)², d = w * delta_factor * (p - t)."""
    for r in range(rows):
        for j in range(r * ld, r * ld + k):
            d[j] = p[j] - t[j]
        e[r] = np.float64(w[r] * (error_factor * row_dot(d, d, r * ld, k)))
        factor = w[r] * delta_factor
        for j in range(r * ld, r * ld + k):
            d[j] = d[j] * factor
    zero_padding(d, rows, k, ld)


@jit.doorway(roles.loss)
def mse(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """(1/k) sum_j (p - t)²."""
    mean = value(p, 1) / value(p, k)
    squared(p, t, w, d, e, rows, k, ld, mean, value(p, 2) * mean * scale)


@jit.doorway(roles.loss)
def half_squared_error(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """(1/2) sum_j (p - t)², the textbook error."""
    squared(p, t, w, d, e, rows, k, ld, value(p, 0.5), scale)


@jit.doorway(roles.loss)
def binary_cross_entropy(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """(1/k) sum_j softplus(z) - t z, which is -(t log p + (1 - t) log(1 - p)) without overflow.

    d = (p - t) / k with p = sigmoid(z). softplus(z) - t z is taken as
    max(z, 0) - t z + log(1 + exp(-|z|)) (PyTorch's binary_cross_entropy_with_logits).
    """
    mean = value(p, 1) / value(p, k)
    for i in range(rows * ld):
        d[i] = vmath.softplus(z[i]) - t[i] * z[i]
    for r in range(rows):
        e[r] = np.float64(w[r] * (mean * row_sum(d, r * ld, k)))
    for i in range(rows * ld):
        d[i] = vmath.sigmoid(z[i]) - t[i]
    for r in range(rows):
        factor = w[r] * mean * scale
        for j in range(r * ld, r * ld + k):
            d[j] = d[j] * factor
    zero_padding(d, rows, k, ld)


@jit.doorway(roles.loss)
def cross_entropy(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """-sum_j t log p = lse(z) sum_j t - sum_j t z, and d = p sum_j t - t, from the logits."""
    for i in range(rows * ld):
        p[i] = z[i]
    shifted_exponentials(p, rows, k, ld)
    for r in range(rows):
        e[r] = np.float64(row_sum(p, r * ld, k))
    for r in range(rows):
        at = r * ld
        total = row_sum(t, at, k)
        factor = w[r] * scale
        share = total * factor / value(p, e[r])
        for j in range(at, at + k):
            d[j] = p[j] * share - t[j] * factor
    for r in range(rows):
        e[r] = vmath.log(e[r])
    for r in range(rows):
        at = r * ld
        # t (z - lse), with lse = top + log(sum): differences first, for logits of any size
        top = z[at]
        for j in range(1, k):
            top = max(top, z[at + j])
        error = value(p, 0)
        for j in range(at, at + k):
            error += t[j] * (value(p, e[r]) - (z[j] - top))
        e[r] = np.float64(w[r] * error)
    zero_padding(d, rows, k, ld)


LOSSES = {
    "mse": Loss(mse),
    "half_squared_error": Loss(half_squared_error),
    "binary_cross_entropy": Loss(binary_cross_entropy, "sigmoid", low=0.0, high=1.0),
    "cross_entropy": Loss(cross_entropy, "softmax", classes=True, low=0.0),
}
