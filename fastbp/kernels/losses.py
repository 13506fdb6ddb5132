"""Losses: error and output delta side by side, and the table of them.

w = sample weights, k = outputs; rows of targets, outputs and deltas are `ld` apart
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbp.kernels import jit, robust, roles, vmath
from fastbp.kernels.rows import (
    combine_row,
    copy_row,
    packed,
    row_dot,
    row_max,
    row_sum,
    scale_row,
    scaled_difference,
    shift_row,
    side_by_side,
)
from fastbp.kernels.simd import at, value


@dataclass(frozen=True)
class Loss:
    """What the trainer needs to know of a loss.

    `requires` is the activation that the output layer must have, whose derivative the kernel
    includes. `low` and `high` bound the targets, `whole` says that they are whole numbers,
    `classes` that class ids are taken.
    """

    kernel: jit.Doorway
    requires: str | None = None
    classes: bool = False
    low: float | None = None
    high: float | None = None
    whole: bool = False


@jit.inlined
def squared(p, t, w, d, e, rows, k, ld, error_factor, delta_factor):
    """e = w * error_factor * sum (p - t)², d = w * delta_factor * (p - t)."""
    for r in range(rows):
        by, here = w[r] * delta_factor, r * ld
        squares = scaled_difference(at(d, here), at(p, here), at(t, here), by, k, ld)
        e[r] = np.float64(w[r] * (error_factor * squares))


@jit.elementwise(roles.loss)
def mse(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """(1/k) sum_j (p - t)²."""
    mean = value(p, 1) / value(p, k)
    squared(p, t, w, d, e, rows, k, ld, mean, value(p, 2) * mean * scale)


@jit.elementwise(roles.loss)
def half_squared_error(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """(1/2) sum_j (p - t)², the textbook error."""
    squared(p, t, w, d, e, rows, k, ld, value(p, 0.5), scale)


@jit.elementwise(roles.loss)
def binary_cross_entropy(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """(1/k) sum_j softplus(z) - t z, which is -(t log p + (1 - t) log(1 - p)) without overflow.

    d = (p - t) / k with p = sigmoid(z). softplus(z) - t z is taken as
    max(z, 0) - t z + log(1 + exp(-|z|)) (PyTorch's binary_cross_entropy_with_logits).
    """
    step = side_by_side(p, k, ld)
    for r in range(rows):
        copy_row(at(p, r * step), at(z, r * ld), k, ld)
        copy_row(at(d, r * step), at(t, r * ld), k, ld)
    for i in range(packed(p, rows, step)):
        x, target = p[i], d[i]
        p[i] = vmath.sigmoid(x) - target
        d[i] = vmath.softplus(x) - target * x
    mean = value(d, 1) / value(d, k)
    for s in range(rows):
        r = rows - 1 - s
        e[r] = np.float64(w[r] * (mean * row_sum(at(d, r * step), k)))
        scale_row(at(d, r * ld), at(p, r * step), w[r] * mean * scale, k, ld)


@jit.inlined
def softmax_loss(z, p, t, w, d, e, rows, k, ld, scale, keep, share):
    """-sum_j t log p = log(sum) sum_j t - sum_j t (z - top), and d = p sum_j t - t.

    With targets keep t + share, t itself staying as it is.

    From the logits: top is the largest, sum that of exp(z - top). Both terms of the error are
    positive, so nothing cancels for logits of any size.
    """
    step = side_by_side(p, k, ld)
    for r in range(rows):
        row = at(z, r * ld)
        top = row_max(row, k)
        shift_row(at(d, r * ld), row, top, k, ld)
        shift_row(at(p, r * step), row, top, k, ld)
    for i in range(packed(p, rows, step)):
        p[i] = vmath.exp(p[i])
    for s in range(rows):
        r = rows - 1 - s
        row = at(p, r * step)
        total = row_sum(row, k)
        e[r] = np.float64(total)
        scale_row(at(p, r * ld), row, value(p, 1) / total, k, ld)
    for r in range(rows):
        e[r] = vmath.log(e[r])
    for r in range(rows):
        delta, target = at(d, r * ld), at(t, r * ld)
        total, factor = keep * row_sum(target, k) + value(p, k) * share, w[r] * scale
        error = total * value(p, e[r]) - keep * row_dot(target, delta, k)
        if share != value(p, 0):
            error -= share * row_sum(delta, k)
        e[r] = np.float64(w[r] * error)
        combine_row(delta, at(p, r * ld), total * factor, target, -keep * factor, k, ld)
        if share != value(p, 0):
            shift_row(delta, delta, share * factor, k, ld)


@jit.elementwise(roles.loss)
def cross_entropy(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    softmax_loss(z, p, t, w, d, e, rows, k, ld, scale, value(p, 1), value(p, 0))


@jit.elementwise(roles.loss)
def cross_entropy_smoothed(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """With targets (1 - s) t + s / k (Szegedy et al. 2016), as PyTorch."""
    keep, share = value(p, 1) - parameters[0], parameters[0] / value(p, k)
    softmax_loss(z, p, t, w, d, e, rows, k, ld, scale, keep, share)


@jit.elementwise(roles.loss)
def kl_divergence(z, p, t, w, d, e, rows, k, ld, scale, parameters):
    """sum_j t log(t / p), 0 log 0 = 0, from the logits: cross-entropy, and sum_j t log t."""
    one, zero = value(p, 1), value(p, 0)
    softmax_loss(z, p, t, w, d, e, rows, k, ld, scale, one, zero)
    for i in range(rows * ld):
        x = t[i] if t[i] > zero else one
        p[i] = x * vmath.log(x)
    for r in range(rows):
        e[r] = e[r] + np.float64(w[r] * row_sum(at(p, r * ld), k))


LOSSES = {
    "mse": Loss(mse),
    "half_squared_error": Loss(half_squared_error),
    "binary_cross_entropy": Loss(binary_cross_entropy, "sigmoid", low=0.0, high=1.0),
    "cross_entropy": Loss(cross_entropy, "softmax", classes=True, low=0.0),
    "cross_entropy_smoothed": Loss(cross_entropy_smoothed, "softmax", classes=True, low=0.0),
    "kl_divergence": Loss(kl_divergence, "softmax", classes=True, low=0.0),
    "mae": Loss(robust.mae),
    "huber": Loss(robust.huber),
    "log_cosh": Loss(robust.log_cosh),
    "quantile": Loss(robust.quantile),
    "hinge": Loss(robust.hinge, low=-1.0, high=1.0, whole=True),
    "poisson": Loss(robust.poisson, "exp", low=0.0),
}
