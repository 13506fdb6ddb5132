"""The values of targets that have just two of them: those of two classes, of one output.

Values are taken as the network sees them, rounded to its dtype, and those of rows of weight 0 are
not taken at all. Most targets that are no classes show a third value among the first few, which are
looked at before all others.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Samples
from fastbp.data.values import CHUNK

_FEW = 12


def levels(samples: Samples, dtype: str) -> list[float] | None:
    """The different values that the targets of one output have, where there are two at most.

    Parameters
    ----------
    samples : Samples
        With one target a row, which is no class id. A memory map is read once, chunk by chunk, up
        to a third value.
    dtype : {"float32", "float64"}
        The network's.

    Returns
    -------
    list of float or None
        The least first. None where there are more than two, or one is not finite, as in a memory
        map, whose values are not checked yet.
    """
    if not samples[1].lazy:
        return _levels(samples, dtype)
    with np.errstate(over="ignore"):
        return _levels(samples, dtype)


def _levels(samples: Samples, dtype: str) -> list[float] | None:
    x, y, weights = samples
    values, counted = y.array[: x.n], None
    if values.ndim > 1:
        values = values.reshape(-1)
    if weights is not None:  # those of samples: class weights are no matter of which rows there are
        counted = (weights if weights.alone is None else weights.alone).array[: x.n]
    few = values[:_FEW]
    pairs = zip(few.astype(dtype).tolist(), few.tolist(), strict=True)
    found: dict[float, Any]  # as they are, by what they are rounded to
    if counted is None:
        found = dict(pairs)
    else:
        above = (counted[:_FEW].astype(dtype) > 0).tolist()
        found = dict(pair for pair, there in zip(pairs, above, strict=True) if there)
    start = 0
    while start < x.n and len(found) <= 2:
        block = values[start : start + CHUNK]
        if counted is not None:
            there = counted[start : start + CHUNK].astype(dtype) > 0
            block = block if there.all() else block[there]
        # One look for each value is all that a block of two classes takes.
        left = len(block)
        for value in found.values():
            left -= int(np.count_nonzero(block == value))
        if left:
            _add(block, found, dtype)
        start += CHUNK
    if len(found) > 2:
        return None
    for value in found:
        if not isfinite(value):
            return None
    return sorted(found)


def _add(block: NDArray[Any], found: dict[float, Any], dtype: str) -> None:
    """Add the values of a block, or as many as make more than two with those that are known."""
    rounded = block.astype(dtype, copy=False)
    for place in (rounded.argmin(), rounded.argmax()):  # NaN is both
        found.setdefault(rounded[place].item(), block[place].item())
    known = np.zeros(len(block), np.bool_)
    for value in found:
        known |= rounded == value
    if not known.all():
        place = known.argmin()
        found[rounded[place].item()] = block[place].item()
