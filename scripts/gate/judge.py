"""The statistics of the gate, and nothing else: from paired measurements to a verdict.

A pair is one measurement of each revision, taken close together in two fresh processes. Its log
ratio is free of what the machine did to both. asv's own test (Mann-Whitney, `asv._stats`) takes the
two samples as independent of each other and of time, so it finds differences where the machine
merely got slower between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

LEVEL = 0.99  # of the intervals
LEAST_PAIRS = 5  # with fewer, no interval at that level means anything
RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """A median log ratio and its bootstrap interval; above 0 is slower."""

    median: float
    low: float
    high: float

    @property
    def noise(self) -> float:
        """The bound of the interval that is further from 0."""
        return max(abs(self.low), abs(self.high))


def interval(log_ratios: Sequence[float], level: float = LEVEL) -> Interval:
    """The median and its percentile bootstrap interval, the same for the same figures.

    Raises
    ------
    ValueError
        There are too few pairs, or one is not finite.
    """
    x = np.asarray(log_ratios, float)
    if x.ndim != 1 or len(x) < LEAST_PAIRS or not np.isfinite(x).all():
        raise ValueError(f"{LEAST_PAIRS} or more finite log ratios are needed, got {log_ratios!r}")
    picks = np.random.default_rng(0).integers(len(x), size=(RESAMPLES, len(x)))
    low, high = np.quantile(np.median(x[picks], axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.median(x)), float(low), float(high))


@dataclass
class Timing:
    """One benchmark's pairs: log ratios of head to base, and of base to itself (the control)."""

    log_ratios: list[float] = field(default_factory=list)
    control: list[float] = field(default_factory=list)

    def verdict(self, factor: float) -> str:
        """ "worse", "better", "same", or "noisy" where a change by `factor` would not be seen.

        Worse, or better, is a median beyond the factor whose interval excludes no change, and that
        the control, which can only differ by noise, does not reach.
        """
        head, control, limit = interval(self.log_ratios), interval(self.control), math.log(factor)
        beyond = max(limit, control.noise)
        if head.median > beyond and head.low > 0:
            return "worse"
        if head.median < -beyond and head.high < 0:
            return "better"
        return "noisy" if control.noise > limit else "same"

    def figures(self, factor: float) -> dict[str, Any]:
        """The figures of this result, by name, for the reports."""
        head, control = interval(self.log_ratios), interval(self.control)
        return {
            "kind": "timing",
            "verdict": self.verdict(factor),
            "pairs": len(self.log_ratios),
            "ratio": math.exp(head.median),
            "low": math.exp(head.low),
            "high": math.exp(head.high),
            "control": math.exp(control.median),
            "control_low": math.exp(control.low),
            "control_high": math.exp(control.high),
            **asdict(self),
        }


@dataclass
class Figure:
    """A measure that is no timing: bytes, counts, losses; each with a tolerance of its own."""

    base: float
    head: float
    tolerance: float
    both_ways: bool = False
    unit: str = ""

    def verdict(self) -> str:
        """ "worse", "better" or "same"; what should not change at all is worse both ways."""
        margin = self.tolerance * abs(self.base)
        if not math.isfinite(self.head) or self.head > self.base + margin:
            return "worse"
        if self.head < self.base - margin:
            return "worse" if self.both_ways else "better"
        return "same"

    def figures(self) -> dict[str, Any]:
        """The figures of this result, by name, for the reports."""
        return {
            "kind": "figure",
            "verdict": self.verdict(),
            "ratio": self.head / self.base if self.base else (math.inf if self.head else 1.0),
            **asdict(self),
        }


def confirmed(first: dict[str, str], again: dict[str, str]) -> list[str]:
    """The benchmarks that were worse in both measurements; only these fail the gate."""
    return [name for name, verdict in first.items() if verdict == again.get(name) == "worse"]


def false_alarms(null: dict[str, Sequence[float]], pairs: int, factor: float, runs: int) -> float:
    """The share of gate runs that fail by chance, with each benchmark's own noise.

    `null` has log ratios that were measured with nothing changed. Gate runs are drawn from them,
    with signs of their own: first measurement, control, and both again, each of `pairs`.
    """
    rng = np.random.default_rng(1)
    failed = np.zeros(runs, bool)
    for log_ratios in null.values():
        x = np.asarray(log_ratios) - np.median(log_ratios)
        size = (2, 2, runs, pairs)  # twice, head and control
        drawn = rng.choice(x, size) * rng.choice([-1.0, 1.0], size)
        # the bootstrap only where the medians alone don't settle it
        suspicious = (np.median(drawn[:, 0], axis=-1) > math.log(factor)).all(axis=0)
        for run in np.flatnonzero(suspicious):
            both = (Timing(list(h), list(c)) for h, c in drawn[:, :, run])
            failed[run] |= all(timing.verdict(factor) == "worse" for timing in both)
    return float(failed.mean())
