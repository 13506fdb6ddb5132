"""What begins and ends a step: rates, the optimizer's state, the books on errors."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import jit
from fastbp.kernels import layout as lay
from fastbp.kernels.hyper import HYPER_SIZE, LEARNING_RATE, PENDING, STATE
from fastbp.kernels.simd import call_prepare, pointer

_DOUBLE = np.float64(0.0)


@jit.kernel
def begin_step(t, b):
    """The step's learning rate, and the scalars that the optimizer derives from it."""
    hyper = pointer(_DOUBLE, t[lay.HYPER])
    hyper[LEARNING_RATE] = pointer(_DOUBLE, t[lay.RATES])[b * t[lay.RATE_STRIDE]]
    if t[lay.PREPARE]:
        call_prepare(t[lay.PREPARE], (hyper,))


@jit.kernel
def end_step(t):
    hyper = pointer(_DOUBLE, t[lay.HYPER])
    if t[lay.PREPARE]:
        for i in range(HYPER_SIZE - PENDING):
            hyper[STATE + i] = hyper[PENDING + i]


@jit.kernel
def ordered_sum(p, n):
    total = 0.0
    for i in range(n):
        total += p[i]
    return total


@jit.kernel
def account(t, thread, error, weight):
    """Note a batch's error; whether it is finite, or may be anything."""
    if thread == 0 and weight > 0.0:
        results = pointer(_DOUBLE, t[lay.RESULTS])
        results[lay.R_LAST_ERROR] = error / weight
        results[lay.R_LAST_WEIGHT] = weight
        if error - error == 0.0 or not t[lay.STOP_ON_NONFINITE]:
            results[lay.R_ERROR] += error
            results[lay.R_WEIGHT] += weight
    return error - error == 0.0 or not t[lay.STOP_ON_NONFINITE]
