"""Weights of samples by their class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import real
from fastbp.data.inputs import Source


def class_weights(class_weight: object, y: Source, n_outputs: int) -> NDArray[np.float64]:
    """Each sample's weight.

    Parameters
    ----------
    class_weight : mapping or "balanced"
        Weights by class id, 1 for classes that it leaves out; or "balanced": n / (k count), k being
        the number of classes that occur (scikit-learn's formula).
    y : Source
        Class ids, one-hot rows, or 0 and 1 for a single output.
    n_outputs : int
        Of the network.

    Returns
    -------
    ndarray of float64
        (n,)

    Raises
    ------
    TypeError, ValueError
        It is neither, a class is not known, a weight is negative, all are 0, or the targets are no
        classes.
    """
    ids, n_classes = _ids(y, n_outputs)
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(ids, minlength=n_classes)
        there = counts > 0
        weights = np.where(there, len(ids) / (there.sum() * np.maximum(counts, 1)), 0.0)
        return np.asarray(weights[ids], np.float64)
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"class_weight must be a dict of weights by class id, or 'balanced', "
            f"got {class_weight!r}"
        )
    weights = np.ones(n_classes)
    for key, weight in class_weight.items():
        if isinstance(key, bool) or not (
            isinstance(key, (int, np.integer)) and 0 <= key < n_classes
        ):
            raise ValueError(
                f"class_weight must have class ids from 0 to {n_classes - 1} as keys, got {key!r}"
            )
        weights[key] = real(f"class_weight[{key}]", weight, low=0.0)
    found = weights[ids]
    if not found.any():
        raise ValueError("class_weight gives every sample a weight of 0")
    return np.asarray(found, np.float64)


def _ids(y: Source, n_outputs: int) -> tuple[NDArray[np.int64], int]:
    values: Any = y.array[: y.n]
    if y.class_ids:
        return np.asarray(values, np.int64), n_outputs
    rows = np.asarray(values).reshape(len(values), -1)
    if not np.isin(rows, (0, 1)).all():
        raise ValueError(
            "class_weight takes targets that are classes: ids, one-hot rows or 0 and 1"
        )
    if n_outputs == 1:
        return rows[:, 0].astype(np.int64), 2
    if not (rows.sum(axis=1) == 1).all():
        raise ValueError("class_weight takes one class a sample, got rows with several or none")
    return np.asarray(rows.argmax(axis=1), np.int64), n_outputs
