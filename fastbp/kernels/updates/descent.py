"""Updates along the gradient, or along its sign: SGD, Rprop, Lion.

See updates.py for what the arguments are. Formulas and their arrangement are PyTorch's, Lion's are
those of Chen et al. 2023, algorithm 2.
"""

from __future__ import annotations

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import cast
from fastbp.kernels.maths.tiles import descend
from fastbp.kernels.updates.hyper import LEARNING_RATE, UpdateKernel, places

# What each of them is given, and where that stands in `hyper`; plain SGD is given the first alone.
_SGD = ("weight_decay", "momentum")
_SGD_DECAY, _SGD_MOMENTUM = places(*_SGD)
_RPROP = ("etas", "step_sizes")  # two pairs
_RPROP_SHRINK, _RPROP_GROW, _RPROP_LEAST, _RPROP_MOST = places("shrink", "grow", "least", "most")
_LION = ("beta_1", "beta_2", "weight_decay")
_LION_BETA_1, _LION_BETA_2, _LION_DECAY = places(*_LION)


@jit.elementwise(roles.update)
def sgd(p, g, s0, s1, s2, n, hyper):
    """p -= lr (g + weight_decay p)."""
    rate, decay = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_SGD_DECAY])
    for i in range(n):
        p[i] = p[i] - rate * (g[i] + decay * p[i])


@jit.elementwise(roles.outer)
def sgd_outer(p, a, d, rows, width, hyper):
    """The same for a batch of one sample, whose gradient a d' is formed as it is used."""
    descend(p, a, d, rows, width, cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_SGD_DECAY]))


@jit.elementwise(roles.update)
def sgd_momentum(p, g, s0, s1, s2, n, hyper):
    """g += weight_decay p; v = momentum v + g; p -= lr v."""
    rate, decay = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_SGD_DECAY])
    momentum = cast(p, hyper[_SGD_MOMENTUM])
    for i in range(n):
        v = momentum * s0[i] + (g[i] + decay * p[i])
        s0[i] = v
        p[i] = p[i] - rate * v


@jit.elementwise(roles.update)
def sgd_nesterov(p, g, s0, s1, s2, n, hyper):
    """g += weight_decay p; v = momentum v + g; p -= lr (g + momentum v)."""
    rate, decay = cast(p, hyper[LEARNING_RATE]), cast(p, hyper[_SGD_DECAY])
    momentum = cast(p, hyper[_SGD_MOMENTUM])
    for i in range(n):
        gradient = g[i] + decay * p[i]
        v = momentum * s0[i] + gradient
        s0[i] = v
        p[i] = p[i] - rate * (gradient + momentum * v)


@jit.inlined
def _sign(x, like):
    """-1, 0 or 1; NaN for NaN."""
    one, zero = cast(like, 1), cast(like, 0)
    return one if x > zero else (-one if x < zero else x * zero)


@jit.elementwise(roles.update)
def rprop(p, g, s0, s1, s2, n, hyper):
    """Every parameter's own step, s1, grows while its gradient keeps its sign.

    Where the sign has turned, it shrinks and is not taken. s0 = the gradient before. Riedmiller &
    Braun 1993.
    """
    shrink, grow = cast(p, hyper[_RPROP_SHRINK]), cast(p, hyper[_RPROP_GROW])
    least, most = cast(p, hyper[_RPROP_LEAST]), cast(p, hyper[_RPROP_MOST])
    one, zero = cast(p, 1), cast(p, 0)
    for i in range(n):
        turn = g[i] * s0[i]
        step = s1[i] * (grow if turn > zero else (shrink if turn < zero else one))
        step = least if step < least else step
        step = most if step > most else step
        gradient = zero if turn < zero else g[i]
        s0[i] = gradient
        s1[i] = step
        p[i] = p[i] - _sign(gradient, p) * step


@jit.elementwise(roles.update)
def lion(p, g, s0, s1, s2, n, hyper):
    """p -= lr (sign(b1 m + (1 - b1) g) + weight_decay p); m = b2 m + (1 - b2) g."""
    rate = cast(p, hyper[LEARNING_RATE])
    keep_1, keep_2 = cast(p, hyper[_LION_BETA_1]), cast(p, hyper[_LION_BETA_2])
    new_1, new_2 = cast(p, 1.0 - hyper[_LION_BETA_1]), cast(p, 1.0 - hyper[_LION_BETA_2])
    shrink = cast(p, 1.0 - hyper[LEARNING_RATE] * hyper[_LION_DECAY])
    for i in range(n):
        direction = _sign(keep_1 * s0[i] + new_1 * g[i], p)
        s0[i] = keep_2 * s0[i] + new_2 * g[i]
        p[i] = shrink * p[i] - rate * direction


UPDATES = {
    "sgd": UpdateKernel(sgd, 0, _SGD[:1], outer=sgd_outer),
    "sgd_momentum": UpdateKernel(sgd_momentum, 1, _SGD),
    "sgd_nesterov": UpdateKernel(sgd_nesterov, 1, _SGD),
    "rprop": UpdateKernel(rprop, 2, _RPROP, nonnegative_slots=(1,)),
    "lion": UpdateKernel(lion, 1, _LION),
}
