"""Updates by running means of the gradient and of its square: Adam and its relatives.

See updates.py for what the arguments are; the arrangement of the formulas is PyTorch's.
m = s0, the mean; v = s1, the mean square; t counts steps from 1.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import cast
from fastbp.kernels.updates.hyper import LEARNING_RATE, PENDING, STATE, UpdateKernel, places

# What they are given; NAdam has one more.
_CONSTANTS = ("beta_1", "beta_2", "epsilon", "weight_decay")
_BETA_1, _BETA_2, _EPSILON, _DECAY, _MOMENTUM_DECAY = places(*_CONSTANTS, "momentum_decay")
# STATE and PENDING: beta_1^t and beta_2^t, t, NAdam's product; then what the updates read.
_POWER_1, _POWER_2, _T, _PRODUCT, _STEP, _ROOT, _EXTRA = range(7)
_STATE, _GREATEST_STATE = (1.0, 1.0, 0.0, 1.0), (1.0, 1.0, 2.0**53, 1.0)


@jit.kernel
def _begin(hyper):
    """The pending powers and t."""
    for which in (_POWER_1, _POWER_2):
        power = hyper[STATE + which] * hyper[_BETA_1 + which]
        hyper[PENDING + which] = power if power > 1e-300 else 0.0  # never a denormal
    hyper[PENDING + _T] = hyper[STATE + _T] + 1.0
    hyper[PENDING + _STEP] = hyper[LEARNING_RATE] / (1.0 - hyper[PENDING + _POWER_1])
    hyper[PENDING + _ROOT] = 1.0 / np.sqrt(1.0 - hyper[PENDING + _POWER_2])


@jit.cfunc(roles.prepare)
def adam_prepare(hyper):
    """lr / (1 - beta_1^t) and 1 / sqrt(1 - beta_2^t)."""
    _begin(hyper)


def _adam(decoupled: bool, amsgrad: bool) -> jit.CFunc:
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²; p -= step m / (sqrt(v) root + epsilon).

    Kingma & Ba 2015. weight_decay p is added to g, or lr weight_decay p taken from p where it is
    decoupled (Loshchilov & Hutter 2019). With amsgrad, v's greatest value so far stands in its
    place (Reddi et al. 2018).
    """

    def adam(p, g, s0, s1, s2, n, hyper):
        keep_1, keep_2 = cast(p, hyper[_BETA_1]), cast(p, hyper[_BETA_2])
        new_1, new_2 = cast(p, 1.0 - hyper[_BETA_1]), cast(p, 1.0 - hyper[_BETA_2])
        step, root = cast(p, hyper[PENDING + _STEP]), cast(p, hyper[PENDING + _ROOT])
        epsilon, decay = cast(p, hyper[_EPSILON]), cast(p, hyper[_DECAY])
        shrink = cast(p, 1.0 - hyper[LEARNING_RATE] * hyper[_DECAY])
        for i in range(n):
            gradient = g[i] if decoupled else g[i] + decay * p[i]
            m = keep_1 * s0[i] + new_1 * gradient
            v = keep_2 * s1[i] + new_2 * (gradient * gradient)
            s0[i] = m
            s1[i] = v
            if amsgrad:
                v = s2[i] if v < s2[i] else v
                s2[i] = v
            before = shrink * p[i] if decoupled else p[i]
            p[i] = before - step * m / (np.sqrt(v) * root + epsilon)

    adam.__name__ = adam.__qualname__ = f"adam{'w' * decoupled}{'_amsgrad' * amsgrad}"
    return jit.elementwise(roles.update)(adam)


@jit.elementwise(roles.update)
def adamax(p, g, s0, s1, s2, n, hyper):
    """v = max(b2 v, |g| + epsilon); p -= step m / v (Kingma & Ba 2015, 7.1)."""
    keep_1, keep_2 = cast(p, hyper[_BETA_1]), cast(p, hyper[_BETA_2])
    new_1, step = cast(p, 1.0 - hyper[_BETA_1]), cast(p, hyper[PENDING + _STEP])
    epsilon, decay = cast(p, hyper[_EPSILON]), cast(p, hyper[_DECAY])
    for i in range(n):
        gradient = g[i] + decay * p[i]
        m = keep_1 * s0[i] + new_1 * gradient
        v, size = keep_2 * s1[i], abs(gradient) + epsilon
        v = v if size < v else size
        s0[i] = m
        s1[i] = v
        p[i] = p[i] - step * m / v


@jit.cfunc(roles.prepare)
def nadam_prepare(hyper):
    """The steps along g and m, from mu_t = b1 (1 - 0.96^(t momentum_decay) / 2) (Dozat 2016)."""
    _begin(hyper)
    t, rate, decay = hyper[PENDING + _T], hyper[LEARNING_RATE], hyper[_MOMENTUM_DECAY]
    mu = hyper[_BETA_1] * (1.0 - 0.5 * 0.96 ** (t * decay))
    following = hyper[_BETA_1] * (1.0 - 0.5 * 0.96 ** ((t + 1.0) * decay))
    product = hyper[STATE + _PRODUCT] * mu
    product = product if product > 1e-300 else 0.0
    hyper[PENDING + _PRODUCT] = product
    hyper[PENDING + _STEP] = rate * following / (1.0 - product * following)
    hyper[PENDING + _EXTRA] = rate * (1.0 - mu) / (1.0 - product)


@jit.elementwise(roles.update)
def nadam(p, g, s0, s1, s2, n, hyper):
    """p -= (extra g + step m) / (sqrt(v) root + epsilon)."""
    keep_1, keep_2 = cast(p, hyper[_BETA_1]), cast(p, hyper[_BETA_2])
    new_1, new_2 = cast(p, 1.0 - hyper[_BETA_1]), cast(p, 1.0 - hyper[_BETA_2])
    step, root = cast(p, hyper[PENDING + _STEP]), cast(p, hyper[PENDING + _ROOT])
    extra = cast(p, hyper[PENDING + _EXTRA])
    epsilon, decay = cast(p, hyper[_EPSILON]), cast(p, hyper[_DECAY])
    for i in range(n):
        gradient = g[i] + decay * p[i]
        m = keep_1 * s0[i] + new_1 * gradient
        v = keep_2 * s1[i] + new_2 * (gradient * gradient)
        s0[i] = m
        s1[i] = v
        p[i] = p[i] - (extra * gradient + step * m) / (np.sqrt(v) * root + epsilon)


@jit.cfunc(roles.prepare)
def radam_prepare(hyper):
    """The step with the variance's rectification, or without v while that is not tractable.

    Liu et al. 2020: rectified where rho_t > 5, which EXTRA says.
    """
    _begin(hyper)
    t, power = hyper[PENDING + _T], hyper[PENDING + _POWER_2]
    most = 2.0 / (1.0 - hyper[_BETA_2]) - 1.0
    rho = most - 2.0 * t * power / (1.0 - power)
    hyper[PENDING + _EXTRA] = 0.0
    if rho > 5.0:
        ratio = (rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho)
        hyper[PENDING + _STEP] *= np.sqrt(ratio * (1.0 - power))
        hyper[PENDING + _EXTRA] = 1.0


@jit.elementwise(roles.update)
def radam(p, g, s0, s1, s2, n, hyper):
    """p -= step m / (sqrt(v) + epsilon), or step m."""
    keep_1, keep_2 = cast(p, hyper[_BETA_1]), cast(p, hyper[_BETA_2])
    new_1, new_2 = cast(p, 1.0 - hyper[_BETA_1]), cast(p, 1.0 - hyper[_BETA_2])
    step, epsilon = cast(p, hyper[PENDING + _STEP]), cast(p, hyper[_EPSILON])
    decay, one = cast(p, hyper[_DECAY]), cast(p, 1)
    rectified = hyper[PENDING + _EXTRA] != 0.0
    for i in range(n):
        gradient = g[i] + decay * p[i]
        m = keep_1 * s0[i] + new_1 * gradient
        v = keep_2 * s1[i] + new_2 * (gradient * gradient)
        s0[i] = m
        s1[i] = v
        p[i] = p[i] - step * m / (np.sqrt(v) + epsilon if rectified else one)


def _update(
    kernel: jit.CFunc, prepare: jit.CFunc, amsgrad: bool = False, own: tuple[str, ...] = ()
) -> UpdateKernel:
    squares = (1, 2) if amsgrad else (1,)
    return UpdateKernel(
        kernel,
        1 + len(squares),
        (*_CONSTANTS, *own),
        prepare,
        _STATE,
        nonnegative_slots=squares,
        greatest_state=_GREATEST_STATE,
    )


UPDATES = {
    "adam": _update(_adam(False, False), adam_prepare),
    "adam_amsgrad": _update(_adam(False, True), adam_prepare, True),
    "adamw": _update(_adam(True, False), adam_prepare),
    "adamw_amsgrad": _update(_adam(True, True), adam_prepare, True),
    "adamax": _update(adamax, adam_prepare),
    "nadam": _update(nadam, nadam_prepare, own=("momentum_decay",)),
    "radam": _update(radam, radam_prepare),
}
