"""In-place updates: one small kernel an optimizer, over a contiguous run of parameters.

p = parameters, g = gradient, s0 ... s2 = the optimizer's slots in the same order; `hyper` is that
of hyper.py. Here SGD and the table of all.
"""

from __future__ import annotations

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import cast
from fastbp.kernels.maths.tiles import descend
from fastbp.kernels.updates import adam, adaptive
from fastbp.kernels.updates.hyper import LEARNING_RATE, UpdateKernel, places

# What they are given; plain SGD the first alone.
_CONSTANTS = ("weight_decay", "momentum")
_DECAY, _MOMENTUM = places(*_CONSTANTS)


@jit.elementwise(roles.update)
def sgd(p, g, s0, s1, s2, n, hyper):
    """p -= lr (g + weight_decay p)."""
    rate, decay = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_DECAY])
    for i in range(n):
        p[i] = p[i] - rate * (g[i] + decay * p[i])


@jit.elementwise(roles.outer)
def sgd_outer(p, a, d, rows, width, hyper):
    """The same for a batch of one sample, whose gradient a d' is formed as it is used."""
    descend(p, a, d, rows, width, cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_DECAY]))


@jit.elementwise(roles.update)
def sgd_momentum(p, g, s0, s1, s2, n, hyper):
    """g += weight_decay p; v = momentum v + g; p -= lr v."""
    rate, decay = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_DECAY])
    momentum = cast(p, hyper[_MOMENTUM])
    for i in range(n):
        v = momentum * s0[i] + (g[i] + decay * p[i])
        s0[i] = v
        p[i] = p[i] - rate * v


@jit.elementwise(roles.update)
def sgd_nesterov(p, g, s0, s1, s2, n, hyper):
    """g += weight_decay p; v = momentum v + g; p -= lr (g + momentum v)."""
    rate, decay = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_DECAY])
    momentum = cast(p, hyper[_MOMENTUM])
    for i in range(n):
        gradient = g[i] + decay * p[i]
        v = momentum * s0[i] + gradient
        s0[i] = v
        p[i] = p[i] - rate * (gradient + momentum * v)


UPDATES = {
    "sgd": UpdateKernel(sgd, 0, _CONSTANTS[:1], outer=sgd_outer),
    "sgd_momentum": UpdateKernel(sgd_momentum, 1, _CONSTANTS),
    "sgd_nesterov": UpdateKernel(sgd_nesterov, 1, _CONSTANTS),
    **adam.UPDATES,
    **adaptive.UPDATES,
}
