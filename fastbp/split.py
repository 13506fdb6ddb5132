"""Holding out the last part of the samples."""

from __future__ import annotations

import numpy as np

from fastbp.inputs import Samples


def validation_split(samples: Samples, fraction: float, dtype: str) -> tuple[Samples, Samples]:
    """The samples to train on, and the last `fraction` of them to validate on; nothing is copied.

    Raises
    ------
    ValueError
        The fraction leaves no sample on one side, or none with a weight above 0 in `dtype`.
    """
    n = samples[0].n
    cut = n - round(n * fraction)
    if not 0 < cut < n:
        raise ValueError(f"validation_split={fraction} of {n} samples leaves none on one side")
    head, tail = (
        [s and s._replace(n=end - start, address=s.address + start * s.row_stride) for s in samples]
        for start, end in ((0, cut), (cut, n))
    )
    weights = samples[2]
    if weights is not None:
        for side, values in ((head, weights.array[:cut]), (tail, weights.array[cut:])):
            greatest = float(np.dtype(dtype).type(values.max()))
            if greatest == 0:
                raise ValueError(
                    f"validation_split={fraction} leaves one side with sample_weight all 0"
                )
            side[2] = side[2] and side[2]._replace(greatest=greatest)
    return tuple(head), tuple(tail)  # type: ignore[return-value]
