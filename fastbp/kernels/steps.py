"""What begins and ends a step: rates, the optimizer's state, the books on errors.

A step is an update: a batch whose weights are all 0 is none.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_prepare
from fastbp.kernels.compiling.simd import at, pointer
from fastbp.kernels.updates.hyper import HYPER_SIZE, LEARNING_RATE, PENDING, STATE

_DOUBLE = np.float64(0.0)


@jit.kernel
def begin_step(t, updates_made):
    """The learning rate, and the scalars that the optimizer derives from it.

    Before the step there were `updates_made` in this call of `epoch.run`. The rate before
    is returned, for a batch that turns out to be no step.
    """
    hyper = pointer(_DOUBLE, t.hyper)
    before = hyper[LEARNING_RATE]
    hyper[LEARNING_RATE] = pointer(_DOUBLE, t.rates)[updates_made * t.rate_stride]
    if t.call_prepare:
        call_prepare(t.call_prepare, (hyper,))
    return before


@jit.kernel
def end_step(t):
    pointer(_DOUBLE, t.results)[lay.R_UPDATES] += 1.0
    hyper = pointer(_DOUBLE, t.hyper)
    if t.call_prepare:
        for i in range(HYPER_SIZE - PENDING):
            hyper[STATE + i] = hyper[PENDING + i]


@jit.kernel
def ordered_sum(p, n):
    total = 0.0
    for i in range(n):
        total += p[i]
    return total


@jit.kernel
def weights_of(like, t, row, rows):
    """The sum of the weights of workspace rows `row` ..."""
    if not t.w.call_gather:
        return float(rows)
    return ordered_sum(at(pointer(like, t.workspace), t.sample_weights + t.shift + row), rows)


@jit.kernel
def divisor(t, rows, weight):
    """What the sum of weighted errors over a batch of `rows` is divided by.

    B times the mean weight of the set; or the batch's own weight, where that is asked for.
    """
    if not t.w.call_gather:
        return float(rows)
    mean = pointer(_DOUBLE, t.scaling)[lay.MEAN]
    return rows * mean if mean > 0.0 else weight


@jit.kernel
def record_error(t, thread, error, rows, weight):
    """Note a batch's error; whether it is finite, or may be anything."""
    if thread == 0 and weight > 0.0:
        results, by = pointer(_DOUBLE, t.results), divisor(t, rows, weight)
        results[lay.R_LAST_ERROR] = error / by
        results[lay.R_LAST_DIVISOR] = by
        if error - error == 0.0 or not t.stop_on_nonfinite:
            results[lay.R_ERROR] += error
            results[lay.R_WEIGHT] += weight
    return error - error == 0.0 or not t.stop_on_nonfinite
