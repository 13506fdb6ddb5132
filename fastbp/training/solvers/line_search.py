"""A step length to the strong Wolfe conditions, with the fewest evaluations that are likely."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from fastbp.training.solvers.driver import Vector

# Sufficient decrease and curvature, as Nocedal & Wright 2006, section 3.1, advise.
_C1, _C2 = 1e-4, 0.9
_LEAST_BRACKET = 1e-9  # of its upper end
# Where PyTorch's differs: a cubic that is lowest behind the step from which the loss still falls
# gives steps 1 % longer, and one through a huge loss steps of nothing.
_GROWTH, _NEAREST = 4.0, 1e-3


class Trial(NamedTuple):
    """The loss, and its slope and gradient, after a step; a loss that is not finite is inf.

    The loss is with penalties; `reported` is that without.
    """

    step: float
    loss: float
    slope: float
    gradient: Vector
    reported: float = math.nan


Evaluate = Callable[[float, tuple[Trial, ...]], Trial]


def strong_wolfe(evaluate: Evaluate, start: Trial, first: float, most: int) -> Trial:
    """A step t with E(t) <= E(0) + c1 t E'(0) and |E'(t)| <= c2 |E'(0)|.

    Nocedal & Wright 2006, algorithms 3.5 and 3.6, with cubic interpolation and safeguards as in
    PyTorch's ``torch.optim.LBFGS``, which has them from minFunc (Schmidt 2005), but for extremes.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(step, kept)`` gives the `Trial` there, and leaves the gradients of `kept` alone.
    start : Trial
        At step 0, with a slope below 0.
    first : float
        The first step to try.
    most : int
        Evaluations that may be made.

    Returns
    -------
    Trial
        If there are none such within `most` evaluations, the lowest found; it may be `start`.
    """

    def too_high(trial: Trial) -> bool:
        return trial.loss > start.loss + _C1 * trial.step * start.slope

    def flat(trial: Trial) -> bool:
        return abs(trial.slope) <= -_C2 * start.slope

    before, now, taken = start, evaluate(first, (start,)), 1
    while not (too_high(now) or (taken > 1 and now.loss >= before.loss)):
        if flat(now) or taken == most:
            return now
        if now.slope >= 0:
            break
        least, greatest = now.step + 0.01 * (now.step - before.step), 10 * now.step
        step = _minimum(before, now, least, greatest)
        step = step if step > least else min(_GROWTH * now.step, greatest)
        before, now = now, evaluate(step, (start, now))
        taken += 1

    low, high = (before, now) if before.loss <= now.loss else (now, before)
    near_an_end = False
    while taken < most:
        left, right = sorted((low.step, high.step))
        if right - left <= _LEAST_BRACKET * right:
            break
        nearest = _NEAREST * (right - left)
        step = _minimum(low, high, left + nearest, right - nearest)
        margin = 0.1 * (right - left)
        close = min(right - step, step - left) < margin
        if close and near_an_end:
            step = right - margin if right - step < step - left else left + margin
            close = False
        near_an_end = close
        now = evaluate(step, (start, low, high))
        taken += 1
        if too_high(now) or now.loss >= low.loss:
            low, high = (now, low) if now.loss < low.loss else (low, now)
        elif flat(now):
            return now
        else:
            low, high = now, low if now.slope * (high.step - low.step) >= 0 else high
    return low


def _minimum(one: Trial, other: Trial, least: float, greatest: float) -> float:
    """Where the cubic through both, with their slopes, is lowest, within these bounds.

    Nocedal & Wright 2006, equation 3.59. Where the farther loss is infinite, or nearly, a tenth of
    the way to it.
    """
    a, b = (one, other) if one.step <= other.step else (other, one)
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if not math.isfinite(square):
        return least + 0.1 * (greatest - least)
    if square >= 0:
        d2 = math.sqrt(square)
        width = b.slope - a.slope + 2 * d2
        if width != 0:
            lowest = b.step - (b.step - a.step) * ((b.slope + d2 - d1) / width)
            return min(max(lowest, least), greatest)
    return (least + greatest) / 2
