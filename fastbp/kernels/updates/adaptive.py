"""Updates with a rate for each parameter, from running squares: RMSprop, Adagrad, Adadelta.

See updates.py for what the arguments are. Formulas and their arrangement are PyTorch's.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import cast
from fastbp.kernels.updates.hyper import LEARNING_RATE, UpdateKernel, places

# What each of them is given, and where that stands in `hyper`.
_RMSPROP = ("rho", "epsilon", "weight_decay", "momentum")
_RMSPROP_RHO, _RMSPROP_EPSILON, _RMSPROP_DECAY, _RMSPROP_MOMENTUM = places(*_RMSPROP)
_ADAGRAD = ("epsilon", "weight_decay")
_ADAGRAD_EPSILON, _ADAGRAD_DECAY = places(*_ADAGRAD)
_ADADELTA = ("rho", "epsilon", "weight_decay")
_ADADELTA_RHO, _ADADELTA_EPSILON, _ADADELTA_DECAY = places(*_ADADELTA)


def _rmsprop(centered: bool, momentum: bool) -> jit.CFunc:
    def rmsprop(p, g, s0, s1, s2, n, hyper):
        rate, rho = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_RMSPROP_RHO])
        new, epsilon = cast(p, 1.0 - hyper[_RMSPROP_RHO]), cast(p, hyper[_RMSPROP_EPSILON])
        decay, keep = cast(p, hyper[_RMSPROP_DECAY]), cast(p, hyper[_RMSPROP_MOMENTUM])
        zero = cast(p, 0)
        means = s2 if momentum else s1
        for i in range(n):
            gradient = g[i] + decay * p[i]
            v = rho * s0[i] + new * (gradient * gradient)
            s0[i] = v
            if centered:
                mean = means[i] + new * (gradient - means[i])
                means[i] = mean
                v = v - mean * mean
                v = zero if v < zero else v  # by rounding; a NaN stays one
            step = gradient / (np.sqrt(v) + epsilon)
            if momentum:
                step = keep * s1[i] + step
                s1[i] = step
            p[i] = p[i] - rate * step

    rmsprop.__name__ = rmsprop.__qualname__ = f"rmsprop_{centered:d}{momentum:d}"
    return jit.elementwise(roles.update)(rmsprop)


@jit.elementwise(roles.update)
def adagrad(p, g, s0, s1, s2, n, hyper):
    """v += g²; p -= lr g / (sqrt(v) + epsilon) (Duchi et al. 2011)."""
    rate, epsilon = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_ADAGRAD_EPSILON])
    decay = cast(p, hyper[_ADAGRAD_DECAY])
    for i in range(n):
        gradient = g[i] + decay * p[i]
        v = s0[i] + gradient * gradient
        s0[i] = v
        p[i] = p[i] - rate * gradient / (np.sqrt(v) + epsilon)


@jit.elementwise(roles.update)
def adadelta(p, g, s0, s1, s2, n, hyper):
    """v = rho v + (1 - rho) g²; x = sqrt(u + epsilon) / sqrt(v + epsilon) g;
    u = rho u + (1 - rho) x²; p -= lr x (Zeiler 2012)."""
    rate, rho = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_ADADELTA_RHO])
    new, epsilon = cast(p, 1.0 - hyper[_ADADELTA_RHO]), cast(p, hyper[_ADADELTA_EPSILON])
    decay = cast(p, hyper[_ADADELTA_DECAY])
    for i in range(n):
        gradient = g[i] + decay * p[i]
        v = rho * s0[i] + new * (gradient * gradient)
        step = np.sqrt(s1[i] + epsilon) / np.sqrt(v + epsilon) * gradient
        s0[i] = v
        s1[i] = rho * s1[i] + new * (step * step)
        p[i] = p[i] - rate * step


UPDATES = {
    "rmsprop": UpdateKernel(_rmsprop(False, False), 1, _RMSPROP, nonnegative_slots=(0,)),
    "rmsprop_momentum": UpdateKernel(_rmsprop(False, True), 2, _RMSPROP, nonnegative_slots=(0,)),
    "rmsprop_centered": UpdateKernel(_rmsprop(True, False), 2, _RMSPROP, nonnegative_slots=(0,)),
    "rmsprop_centered_momentum": UpdateKernel(
        _rmsprop(True, True), 3, _RMSPROP, nonnegative_slots=(0,)
    ),
    "adagrad": UpdateKernel(adagrad, 1, _ADAGRAD, nonnegative_slots=(0,)),
    "adadelta": UpdateKernel(adadelta, 2, _ADADELTA, nonnegative_slots=(0, 1)),
}
