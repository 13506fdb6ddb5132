"""Whole trainings: the order of the samples, their batches, an update for each; a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from naive.activations import Array
from naive.passes import as_weights, gradients, mixed, sample_losses
from naive.updates import SGD, Slots


def order(n: int, seed: int, epoch: int) -> list[int]:
    """An epoch's order of n <= 10,000 samples: Fisher and Yates, by draws as Lemire's of 2019."""
    key, found = mixed(seed ^ mixed(epoch)), []
    for i in range(n):
        x = mixed((key + i * 0x9E3779B97F4A7C15) % 2**64)
        while (x >> 32) * (i + 1) % 2**32 < 2**32 % (i + 1):
            x = mixed(x)
        place = (x >> 32) * (i + 1) >> 32
        found.append(i)
        found[i], found[place] = found[place], i
    return found


def consecutive(n: int, batch_size: int | None) -> list[slice]:
    """Mini-batches in the order of the data; the last may be ragged."""
    size = n if batch_size is None else batch_size
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def train(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    optimizer: SGD | Slots,
    X: ArrayLike,
    y: ArrayLike,
    *,
    batches: Iterable[Any],
    epochs: int = 1,
    sample_weight: ArrayLike | None = None,
) -> tuple[list[Array], list[float]]:
    """The weights after `epochs` times these `batches` (slices or indices), and each epoch's loss.

    A batch's E has the mean weight of all samples. An epoch's loss is Σ w e / Σ w over its samples,
    each batch taken before its update. A batch whose weights are all zero makes no update.
    """
    weights = [p.copy() for p in weights]
    X, y, batches = np.asarray(X), np.asarray(y), list(batches)
    w = as_weights(sample_weight, len(X))
    history = []
    for _ in range(epochs):
        total = 0.0
        for at in batches:
            if w[at].sum() == 0:
                continue
            total += float(w[at] @ sample_losses(weights, layers, loss, X[at], y[at]))
            g = gradients(weights, layers, loss, X[at], y[at], w[at], mean=float(w.mean()))
            optimizer.update(weights, g)
        history.append(total / sum(float(w[at].sum()) for at in batches))
    return weights, history


def relative_error(found: ArrayLike, expected: ArrayLike) -> float:
    """max|found − expected| / max|expected|; max|found| where all that is expected is 0."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))
