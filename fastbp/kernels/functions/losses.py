"""Losses: error and output delta side by side, and the table of them.

w = sample weights, k = outputs; rows of targets, outputs and deltas are `ld` apart
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import at, cast, lanes_of
from fastbp.kernels.functions import robust
from fastbp.kernels.functions.softmax_rows import combine_but_tops, rest_of_row, retyped
from fastbp.kernels.maths import vmath
from fastbp.kernels.maths.rows import (
    copy_row,
    packed,
    row_max,
    row_sum,
    scale_row,
    scaled_difference,
    shift_row,
    side_by_side,
)


@dataclass(frozen=True)
class LossKernel:
    """What the trainer needs to know of a loss.

    `requires` is the activation that the output layer must have, whose derivative the kernel
    includes. `low` and `high` bound the targets, `whole` says that they are whole numbers,
    `classes` that class ids are taken.
    """

    kernel: jit.CFunc
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
def mse(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/k) sum_j (p - t)²."""
    mean = cast(p, 1) / cast(p, k)
    squared(p, t, w, d, e, rows, k, ld, mean, cast(p, 2) * mean * scale)


@jit.elementwise(roles.loss)
def half_squared_error(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/2) sum_j (p - t)², the textbook error."""
    squared(p, t, w, d, e, rows, k, ld, cast(p, 0.5), scale)


@jit.elementwise(roles.loss)
def binary_cross_entropy(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """(1/k) sum_j -(t log p + (1 - t) log(1 - p)) with p = sigmoid(z), and d = (p - t) / k.

    Each output's error is log(1 + exp(-|z|)) + |z| (1 - t where z > 0, else t), whose terms are all
    positive. p - t is taken as (1 - t) - (1 - p) where z > 0, and with it neither end cancels.
    """
    one, zero = cast(p, 1), cast(p, 0)
    step = side_by_side(p, k, ld)
    for r in range(rows):
        copy_row(at(p, r * step), at(z, r * ld), k, ld)
        copy_row(at(d, r * step), at(t, r * ld), k, ld)
    for i in range(packed(p, rows, step)):
        x, target = p[i], d[i]
        size = abs(x)
        small = vmath.exp(-size)
        share = small / (one + small)  # of the less likely side
        missed = one - target if x > zero else target
        p[i] = missed - share if x > zero else share - missed
        d[i] = vmath.log1p_of_share(small) + size * missed
    mean = cast(d, 1) / cast(d, k)
    for s in range(rows):
        r = rows - 1 - s
        e[r] = np.float64(w[r] * (mean * row_sum(at(d, r * step), k)))
        scale_row(at(d, r * ld), at(p, r * step), w[r] * mean * scale, k, ld)


@jit.inlined
def softmax_loss(z, p, t, w, d, e, rows, k, ld, scale, keep, share):
    """-sum_j t log p = log(1 + rest) sum_j t - sum_j t (z - top), and d = p sum_j t - t.

    With targets keep t + share, t itself staying as it is.

    From the logits: top is the largest, rest the sum of exp(z - top) over the others. The terms of
    the error are positive, and nothing cancels for logits of any size. Nor does anything in d but
    where p and t are alike: at the largest logit, the only one whose p can come near 1, it is
    (the others' t - t rest) / (1 + rest).
    """
    one, zero = cast(p, 1), cast(p, 0)
    step, logs = max(2, side_by_side(p, k, ld)), retyped(e, p)
    for r in range(rows):
        row = at(z, r * ld)
        logs[r] = row_max(row, k)
        shift_row(at(p, r * step), row, logs[r], k, ld)
    for i in range(packed(p, rows, step)):
        p[i] = vmath.exp(p[i])
    for r in range(rows):
        row, delta, target = at(p, r * step), at(d, r * ld), at(t, r * ld)
        rest, others, at_top, distance = rest_of_row(row, target, at(z, r * ld), logs[r], k)
        factor, inverse = w[r] * scale, one / (one + rest)
        total, distance, shift = keep * (others + at_top), keep * distance, zero
        if share != zero:
            total += cast(p, k) * share
            others = keep * others + cast(p, k - 1) * share
            at_top = keep * at_top + share
            shift_row(delta, at(z, r * ld), logs[r], k, ld)
            distance += share * row_sum(delta, k)
            shift = share * factor
        by = factor * inverse
        lost = by * (others - at_top * rest)
        bound = one if rest < one else cast(p, np.inf)
        combine_but_tops(delta, row, total * by, target, -keep * factor, shift, bound, lost, k, ld)
        # p is scratch, up to row r no longer needed
        logs[r], p[2 * r], p[2 * r + 1] = rest, total, distance
    whole = packed(p, rows, 1)
    for r in range(whole if whole <= rows * lanes_of(p) // lanes_of(e) else rows):
        logs[r] = vmath.log1p(logs[r])
    for s in range(rows):
        r = rows - 1 - s  # e[r] is written over logs[2 r]
        e[r] = np.float64(w[r] * (p[2 * r] * logs[r] - p[2 * r + 1]))


@jit.elementwise(roles.loss)
def cross_entropy(z, p, t, w, d, e, rows, k, ld, scale, settings):
    softmax_loss(z, p, t, w, d, e, rows, k, ld, scale, cast(p, 1), cast(p, 0))


@jit.elementwise(roles.loss)
def cross_entropy_smoothed(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """With targets (1 - s) t + s / k (Szegedy et al. 2016), as PyTorch."""
    keep, share = cast(p, 1) - settings[0], settings[0] / cast(p, k)
    softmax_loss(z, p, t, w, d, e, rows, k, ld, scale, keep, share)


@jit.elementwise(roles.loss)
def kl_divergence(z, p, t, w, d, e, rows, k, ld, scale, settings):
    """sum_j t log(t / p), 0 log 0 = 0, from the logits: cross-entropy, and sum_j t log t."""
    one, zero = cast(p, 1), cast(p, 0)
    softmax_loss(z, p, t, w, d, e, rows, k, ld, scale, one, zero)
    for i in range(rows * ld):
        x = t[i] if t[i] > zero else one
        p[i] = x * vmath.log(x)
    for r in range(rows):
        e[r] = e[r] + np.float64(w[r] * row_sum(at(p, r * ld), k))


LOSSES = {
    "mse": LossKernel(mse),
    "half_squared_error": LossKernel(half_squared_error),
    "binary_cross_entropy": LossKernel(binary_cross_entropy, "sigmoid", low=0.0, high=1.0),
    "cross_entropy": LossKernel(cross_entropy, "softmax", classes=True, low=0.0),
    "cross_entropy_smoothed": LossKernel(cross_entropy_smoothed, "softmax", classes=True, low=0.0),
    "kl_divergence": LossKernel(kl_divergence, "softmax", classes=True, low=0.0),
    "mae": LossKernel(robust.mae),
    "huber": LossKernel(robust.huber),
    "log_cosh": LossKernel(robust.log_cosh),
    "quantile": LossKernel(robust.quantile),
    "hinge": LossKernel(robust.hinge, low=-1.0, high=1.0, whole=True),
    "poisson": LossKernel(robust.poisson, "exp", low=0.0),
}
