"""Slopes of functions by differences, whose step is found for each point, against what they should
be.

At each of some steps, from the first down, the slope is taken from the values at one and two steps
to both sides (central differences with Richardson's extrapolation: the error is as the fourth power
of the step). A point is settled

- where that slope is the claimed one, within the tolerance and what rounding may do; or
- where three steps in a row gave another, the same within a hundredth of it and of how far the
  claim is off, and no shorter one gives the claimed slope before rounding could hide the
  difference. (Steps that are too long for a fast function give a slope each, or that of what it is
  a ripple on; steps too short for rounding that nobody knew of give a slope each, too.)

A step doesn't count where the function has a kink within it: what the values on both sides are
above the middle one then doesn't fall to a quarter as the step is halved, as it does where there is
a second derivative. A point with a kink of its own is never settled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

EPSILON = 2.0**-52
# No power of 2, nor its inverse whole: steps should be no periods of what is looked at.
_RATIO = 1.0 / 7.3
_STEPS = 11  # from the first, down to 2e-9 of it
_SAME, _TIMES = 0.01, 2  # what counts as the same slope, and how many times in a row
_CLEAR = 4.0  # times what rounding is thought to do, which a claim must be off by to be refused
_BEND = 0.05  # what the bend may differ by from a quarter of that at twice the step


class Slopes(NamedTuple):
    """At each point: the slope, NaN where it can't be told; what rounding may make of it."""

    slope: Doubles
    doubt: Doubles


def slopes(
    f: Callable[[Doubles], Doubles],
    at: Doubles,
    claimed: Doubles,
    first: Doubles,
    noise: float,
    tolerance: Doubles,
) -> Slopes:
    """The slopes of f, looked at until it is clear whether they are the claimed ones.

    Parameters
    ----------
    f : callable
        Of arrays, value by value.
    at, claimed : ndarray
        (n,): the points, and what the slopes should be.
    first : ndarray
        (n,): the longest step.
    noise : float
        What rounding does to a value of f, at most.
    tolerance : ndarray
        (n,): how far a claimed slope may be off.
    """
    here, spacing = f(at), np.spacing(np.abs(at))
    slope, doubt = np.full(at.shape, np.nan), np.full(at.shape, np.nan)
    before, same = np.full(at.shape, np.nan), np.zeros(at.shape, np.int64)
    longest, first_rounding = slope.copy(), slope.copy()
    other, least = slope.copy(), slope.copy()  # than the claimed one, if it was found
    moved = np.zeros(at.shape, np.bool_)  # whether f was another within a longer step
    open_ = np.isfinite(here)
    for step in range(_STEPS):
        if not open_.any():
            break
        h = first * _RATIO**step
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            values = [(f(at + by * h), f(at - by * h)) for by in (1, 2)]
            near, far = (
                (up - down) / ((at + by * h) - (at - by * h))
                for by, (up, down) in zip((1, 2), values, strict=True)
            )
            bend, far_bend = (up + down - 2 * here for up, down in values)
            now = (4 * near - far) / 3
            # the points themselves are rounded too
            error = noise + spacing * np.abs(near)
            smooth = np.abs(bend - far_bend / 4) <= _BEND * np.abs(far_bend) + 8 * error
            still = np.logical_and.reduce([v == here for pair in values for v in pair])
            lost = still & moved  # nothing can be held against a claim where all is rounded away
            moved |= ~still
            off, rounding = np.abs(now - claimed), 2 * error / h
            near_before = np.abs(now - before) <= (
                _SAME * np.fmin(off, np.abs(now)) + rounding  # a claim of NaN is off by any
            )
            same = np.where(smooth & near_before & ~lost, same + 1, 0)
            good = open_ & smooth & (off <= tolerance + rounding)
            hidden = np.abs(other - claimed) <= _CLEAR * rounding
            ended = open_ & hidden  # of what has another slope
            good &= ~ended
        slope[good], doubt[good] = now[good], rounding[good]
        slope[ended], doubt[ended] = other[ended], least[ended]
        open_ &= ~(good | ended)
        # of steps that agree the first, which rounding does least to
        fresh = same == 0
        longest[fresh], first_rounding[fresh] = now[fresh], rounding[fresh]
        found = open_ & (same >= _TIMES) & ~(off <= _CLEAR * rounding)
        other[found], least[found] = longest[found], first_rounding[found]
        before = np.where(smooth & ~lost, now, np.nan)
    slope[open_], doubt[open_] = other[open_], least[open_]
    return Slopes(slope, doubt)
