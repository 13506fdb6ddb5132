"""Figures beside the loss, from a block's outputs while they are in cache: sums in float64.

p = outputs, t = targets, w = sample weights, k outputs; `acc` is the metric's own sums, whose first
is that of the weights; `own` its settings. How many sums there are for k outputs says the metric's
class (`_sums` in objectives/metrics.py): a kernel that writes behind them writes into the sums of
the next metric, and no bound is checked. Classes: with `own[0]` at 0 a row's class is its largest
output; else each output is a class of its own, that is given above `own[1]` and is there where the
target is above `own[2]`.
"""

from __future__ import annotations

import math

import numpy as np

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import at

TOP_OUTPUT, EACH_OUTPUT = 0, 1


@jit.kernel
def largest(p, k):
    """The first of the largest."""
    best = 0
    for j in range(1, k):
        if p[j] > p[best]:
            best = j
    return best


@jit.cfunc(roles.metric)
def accuracy(p, t, w, acc, rows, k, ld, own, place):
    """acc[1]: weights of what is right; a share of the outputs where each is a class."""
    for r in range(rows):
        a, b, weight = at(p, r * ld), at(t, r * ld), np.float64(w[r])
        acc[0] += weight
        if own[0] == TOP_OUTPUT:
            acc[1] += weight if largest(a, k) == largest(b, k) else 0.0
        else:
            right = 0
            for j in range(k):
                right += (a[j] > own[1]) == (b[j] > own[2])
            acc[1] += weight * right / k


@jit.cfunc(roles.metric)
def top_k(p, t, w, acc, rows, k, ld, own, place):
    """acc[1]: weights of rows whose class is among the `own[0]` largest outputs."""
    for r in range(rows):
        a, wanted, weight = at(p, r * ld), largest(at(t, r * ld), k), np.float64(w[r])
        before = 0
        for j in range(k):
            before += a[j] > a[wanted] or (a[j] == a[wanted] and j < wanted)
        acc[0] += weight
        acc[1] += weight if before < own[0] else 0.0


@jit.cfunc(roles.metric)
def absolute_errors(p, t, w, acc, rows, k, ld, own, place):
    """acc[1]: sum of w (1/k) sum_j |p - t|."""
    for r in range(rows):
        a, b, total, weight = at(p, r * ld), at(t, r * ld), 0.0, np.float64(w[r])
        for j in range(k):
            total += abs(np.float64(a[j]) - np.float64(b[j]))
        acc[0] += weight
        acc[1] += weight * total / k


@jit.cfunc(roles.metric)
def squared_errors(p, t, w, acc, rows, k, ld, own, place):
    """acc[1]: sum of w (1/k) sum_j (p - t)²."""
    for r in range(rows):
        a, b, total, weight = at(p, r * ld), at(t, r * ld), 0.0, np.float64(w[r])
        for j in range(k):
            x = np.float64(a[j]) - np.float64(b[j])
            total += x * x
        acc[0] += weight
        acc[1] += weight * total / k


@jit.cfunc(roles.metric)
def variances(p, t, w, acc, rows, k, ld, own, place):
    """For each output, sums of w (p - t)², w s and w s²; s = t - own[j], own being about t."""
    for r in range(rows):
        a, b, weight = at(p, r * ld), at(t, r * ld), np.float64(w[r])
        acc[0] += weight
        for j in range(k):
            sums = at(acc, 1 + 3 * j)
            x, s = np.float64(a[j]) - np.float64(b[j]), np.float64(b[j]) - own[j]
            sums[0] += weight * x * x
            sums[1] += weight * s
            sums[2] += weight * s * s


@jit.cfunc(roles.metric)
def confusions(p, t, w, acc, rows, k, ld, own, place):
    """For each class, weights of rows that have it and are given it, are given it, have it."""
    for r in range(rows):
        a, b, weight = at(p, r * ld), at(t, r * ld), np.float64(w[r])
        acc[0] += weight
        if own[0] == TOP_OUTPUT:
            given, wanted = largest(a, k), largest(b, k)
            acc[1 + 3 * given] += weight if given == wanted else 0.0
            acc[1 + 3 * given + 1] += weight
            acc[1 + 3 * wanted + 2] += weight
        else:
            for j in range(k):
                sums = at(acc, 1 + 3 * j)
                given, wanted = a[j] > own[1], b[j] > own[2]
                sums[0] += weight if given and wanted else 0.0
                sums[1] += weight if given else 0.0
                sums[2] += weight if wanted else 0.0


@jit.cfunc(roles.metric)
def collect(p, t, w, acc, rows, k, ld, own, place):
    """The rows themselves, at their place among all: weight, outputs, targets."""
    for r in range(rows):
        to = at(own, (place + r) * (1 + 2 * k))
        to[0] = np.float64(w[r])
        for j in range(k):
            to[1 + j], to[1 + k + j] = np.float64(p[r * ld + j]), np.float64(t[r * ld + j])
    acc[0] = math.nan
