"""What sample weights come to: how the kernels read them, and what the error is divided by.

E = sum of w e / (B w̄) over an update's B rows. In a `fit`, w̄ is the mean weight of all its rows;
a step by itself knows no set, and w̄ is 1. Reported figures are divided by their rows' weights.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Source

_CHUNK = 1 << 16  # weights looked at in one go: they stay in cache
# Sums of so many values of one exponent are exact: 2^26 of them times 26 or 27 bits.
_EXACT = 1 << 26
_HUGE = 2.0**64


class Weighing(NamedTuple):
    """How the weights of one source are used.

    Attributes
    ----------
    by : float
        A power of two that they are multiplied by as they are read, so that neither they nor their
        products overflow or vanish; no figure depends on it.
    mean : float
        w̄ times `by`; 0 where the sum of the weights is the divisor.
    """

    by: float
    mean: float


def of_set(weights: Source, dtype: str) -> Weighing:
    """For updates by parts of a set: w̄ is the mean weight of its rows, as rounded to `dtype`."""
    by = _power(weights)
    return Weighing(by, _sum(weights.array[: weights.n], np.dtype(dtype), by) / weights.n)


def of_step(weights: Source) -> Weighing:
    """For an update by itself: w̄ is 1."""
    by = 1.0 if weights.greatest < _HUGE else _power(weights)
    return Weighing(by, by)


def of_rows(weights: Source) -> Weighing:
    """For figures over all rows, divided by the sum of their weights."""
    return Weighing(_power(weights), 0.0)


def _power(weights: Source) -> float:
    """The power of two that brings the greatest weight to between 1 and 2, or nearest to it."""
    return math.ldexp(1.0, min(1 - math.frexp(weights.greatest)[1], 1023))


def _sum(values: NDArray[np.generic], dtype: np.dtype[np.floating], by: float) -> float:
    """The sum of values >= 0, each rounded to `dtype`, times `by`: exact, and then rounded once.

    So it depends neither on their order nor on how they are cut. Values of one exponent are whole
    multiples of one power of two: their sum in float64 is exact for as many as _EXACT of them, once
    those of float64 are cut in two.
    """
    single = dtype == np.float32
    unsigned: Any = np.uint32 if single else np.uint64
    mantissa, n_bins = (23, 1 << 8) if single else (52, 1 << 11)
    sums: list[float] = []
    for begin in range(0, len(values), _EXACT):
        some = values[begin : begin + _EXACT]
        bins = np.zeros((2, n_bins))
        for start in range(0, len(some), _CHUNK):
            chunk: NDArray[Any] = np.abs(some[start : start + _CHUNK].astype(dtype))  # without -0.0
            if not single:  # whose sums fit float64 as they are
                chunk *= by
            raw: NDArray[Any] = chunk.view(unsigned)
            exponents = (raw >> unsigned(mantissa)).astype(np.intp)
            high = chunk if single else (raw & ~unsigned(2**27 - 1)).view(dtype)
            for row, part in zip(bins, (high,) if single else (high, chunk - high), strict=False):
                found = np.bincount(exponents, part)
                row[: len(found)] += found
        sums.extend(bins[bins > 0].tolist())
    return math.fsum(sums) * (by if single else 1.0)
