"""Holding out the last part of the samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def validation_split(
    X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, fraction: float
) -> tuple[tuple[Any, Any, Any], tuple[Any, ...]]:
    """Views of the samples to train on, and of the last `fraction` of them to validate on.

    Raises
    ------
    ValueError
        The fraction leaves no sample on one side.
    """
    x, t = np.asanyarray(X), np.asanyarray(y)
    w = None if sample_weight is None else np.asanyarray(sample_weight)
    n = len(x) if x.ndim else 0
    cut = n - round(n * fraction)
    if not 0 < cut < n:
        raise ValueError(f"validation_split={fraction} of {n} samples leaves none on one side")
    if w is None:
        return (x[:cut], t[:cut], None), (x[cut:], t[cut:])
    return (x[:cut], t[:cut], w[:cut]), (x[cut:], t[cut:], w[cut:])
