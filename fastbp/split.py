"""Holding out the last part of the samples."""

from __future__ import annotations

import numpy as np

from fastbp.inputs import Samples


def validation_split(samples: Samples, fraction: float) -> tuple[Samples, Samples]:
    """The samples to train on, and the last `fraction` of them to validate on; nothing is copied.

    Raises
    ------
    ValueError
        The fraction leaves no sample on one side, or none with a weight above 0.
    """
    n = samples[0].n
    cut = n - round(n * fraction)
    if not 0 < cut < n:
        raise ValueError(f"validation_split={fraction} of {n} samples leaves none on one side")
    weights = samples[2]
    if weights is not None:
        for side in (weights.array[:cut], weights.array[cut:]):
            if not np.any(side):
                raise ValueError(
                    f"validation_split={fraction} leaves one side with sample_weight all 0"
                )
    x, y, w = samples
    head = (x._replace(n=cut), y._replace(n=cut), w and w._replace(n=cut))
    tail = tuple(
        s and s._replace(n=n - cut, address=s.address + cut * s.row_stride) for s in samples
    )
    return head, tail  # type: ignore[return-value]
