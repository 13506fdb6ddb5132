"""In-place updates: one small kernel an optimizer, over a contiguous run of parameters.

p = parameters, g = gradient, s0 ... s2 = the optimizer's slots in the same order. `hyper` holds
float64 scalars: constants first (LEARNING_RATE, then the optimizer's own), then 8 values of state
as of the last finished update (STATE), then 8 pending ones (PENDING) that ``prepare`` computes for
the step under way and updates read; the driver makes them the state when the step is done.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbp.kernels import jit, roles
from fastbp.kernels.simd import value
from fastbp.kernels.tiles import descend

LEARNING_RATE, OWN, STATE, PENDING, HYPER_SIZE = 0, 1, 16, 24, 32


@dataclass(frozen=True)
class Update:
    """An optimizer's kernels, the number of its slots, and its state before the first step."""

    kernel: jit.Doorway
    slots: int
    prepare: jit.Doorway | None = None
    state: tuple[float, ...] = ()
    outer: jit.Doorway | None = None  # for one sample's gradient, if that is worth while


@jit.elementwise(roles.update)
def sgd(p, g, s0, s1, s2, n, hyper):
    """p -= lr (g + weight_decay p)."""
    rate, decay = value(p, hyper[LEARNING_RATE]), value(p, hyper[OWN])
    for i in range(n):
        p[i] = p[i] - rate * (g[i] + decay * p[i])


@jit.elementwise(roles.outer)
def sgd_outer(p, a, d, rows, width, hyper):
    """The same for a batch of one sample, whose gradient a d' is formed as it is used."""
    descend(p, a, d, rows, width, value(p, hyper[LEARNING_RATE]), value(p, hyper[OWN]))


@jit.elementwise(roles.update)
def sgd_momentum(p, g, s0, s1, s2, n, hyper):
    """g += weight_decay p; v = momentum v + g; p -= lr v."""
    rate, decay = value(p, hyper[LEARNING_RATE]), value(p, hyper[OWN])
    momentum = value(p, hyper[OWN + 1])
    for i in range(n):
        v = momentum * s0[i] + (g[i] + decay * p[i])
        s0[i] = v
        p[i] = p[i] - rate * v


@jit.elementwise(roles.update)
def sgd_nesterov(p, g, s0, s1, s2, n, hyper):
    """g += weight_decay p; v = momentum v + g; p -= lr (g + momentum v)."""
    rate, decay = value(p, hyper[LEARNING_RATE]), value(p, hyper[OWN])
    momentum = value(p, hyper[OWN + 1])
    for i in range(n):
        gradient = g[i] + decay * p[i]
        v = momentum * s0[i] + gradient
        s0[i] = v
        p[i] = p[i] - rate * (gradient + momentum * v)


_BETA_1, _BETA_2, _EPSILON, _DECAY = OWN, OWN + 1, OWN + 2, OWN + 3
_POWER_1, _POWER_2, _STEP, _ROOT = range(4)  # of STATE and PENDING


@jit.doorway(roles.prepare)
def adam_prepare(hyper):
    """The powers of the betas, lr / (1 - beta_1^t) and 1 / sqrt(1 - beta_2^t)."""
    for which in (_POWER_1, _POWER_2):
        power = hyper[STATE + which] * hyper[_BETA_1 + which]
        hyper[PENDING + which] = power if power > 1e-300 else 0.0  # never a denormal
    hyper[PENDING + _STEP] = hyper[LEARNING_RATE] / (1.0 - hyper[PENDING + _POWER_1])
    hyper[PENDING + _ROOT] = 1.0 / np.sqrt(1.0 - hyper[PENDING + _POWER_2])


@jit.elementwise(roles.update)
def adam(p, g, s0, s1, s2, n, hyper):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²; p -= step m / (sqrt(v) root + epsilon).

    Kingma & Ba 2015, in PyTorch's arrangement; weight_decay p is added to g.
    """
    keep_1, keep_2 = value(p, hyper[_BETA_1]), value(p, hyper[_BETA_2])
    new_1, new_2 = value(p, 1.0 - hyper[_BETA_1]), value(p, 1.0 - hyper[_BETA_2])
    step, root = value(p, hyper[PENDING + _STEP]), value(p, hyper[PENDING + _ROOT])
    epsilon, decay = value(p, hyper[_EPSILON]), value(p, hyper[_DECAY])
    for i in range(n):
        gradient = g[i] + decay * p[i]
        m = keep_1 * s0[i] + new_1 * gradient
        v = keep_2 * s1[i] + new_2 * (gradient * gradient)
        s0[i] = m
        s1[i] = v
        p[i] = p[i] - step * m / (np.sqrt(v) * root + epsilon)


UPDATES = {
    "sgd": Update(sgd, 0, outer=sgd_outer),
    "sgd_momentum": Update(sgd_momentum, 1),
    "sgd_nesterov": Update(sgd_nesterov, 1),
    "adam": Update(adam, 2, adam_prepare, (1.0, 1.0)),
}
