"""Forward and backward: outputs, errors, deltas and gradients of a batch; dropout's masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from naive.activations import ACTIVATIONS, Array
from naive.losses import CLASSES, LOSSES

Masks = Sequence[Array] | None


class Layer(NamedTuple):
    """What the oracle reads of a layer; a ``fastbp.Dense`` will do as well."""

    units: int
    activation: str = "linear"
    bias: bool | str = True


def mixed(x: int) -> int:
    """splitmix64's output function."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def dropout(rate: float, seed: int, update: int, layer: int, rows: int, n: int) -> Array:
    """(rows, n) of 0 and 1/(1 - rate): what an update's outputs of a layer are multiplied by."""
    key = mixed(mixed(mixed(seed ^ mixed(update))) + layer)
    j, found = np.arange(n, dtype=np.uint64), []
    for row in range(rows):
        k = mixed((key + row) % 2**64)
        x = (np.uint64(k % 2**32) + j * np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)
        x = (x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D) & np.uint64(0xFFFFFFFF)
        x = x ^ np.uint64(k >> 32)
        x = (x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B) & np.uint64(0xFFFFFFFF)
        found.append(x ^ (x >> np.uint64(16)))
    return np.where(np.array(found) >= round(rate * 2**32), 1 / (1 - rate), 0)


def by_layer(arrays: Sequence[Array], layers: Sequence[Any]) -> list[tuple[Array, Array | None]]:
    rest = iter(arrays)
    return [(next(rest), next(rest) if layer.bias else None) for layer in layers]


def forward(
    weights: Sequence[Array], layers: Sequence[Any], X: ArrayLike, keep: Masks = None
) -> tuple[list[Array], list[Array]]:
    """Every layer's z, and every layer's a with X in front: ``a[l]`` is what layer l reads.

    `keep` holds what dropout multiplies each hidden layer's outputs by.
    """
    x = np.asarray(X, weights[0].dtype)
    zs, a = [], [x.reshape(len(x), -1)]
    for (W, b), layer in zip(by_layer(weights, layers), layers, strict=True):
        zs.append(a[-1] @ W if b is None else a[-1] @ W + b)
        a.append(ACTIVATIONS[layer.activation].value(zs[-1]))
        if keep is not None and len(zs) < len(layers):
            a[-1] = a[-1] * keep[len(zs) - 1].astype(x.dtype)
    return zs, a


def targets(y: ArrayLike, like: Array, loss: str) -> Array:
    """(b, k) targets in the dtype of the predictions `like`; class ids become one-hot rows."""
    t = np.asarray(y)
    if loss in CLASSES and t.ndim == 1:
        t = np.eye(like.shape[1])[t.astype(int)]
    return t.reshape(like.shape).astype(like.dtype)


def sample_losses(
    weights: Sequence[Array], layers: Sequence[Any], loss: str, X: ArrayLike, y: ArrayLike
) -> Array:
    """eᵢ of every sample."""
    zs, a = forward(weights, layers, X)
    return LOSSES[loss].value(a[-1], zs[-1], targets(y, a[-1], loss))


def as_weights(sample_weight: ArrayLike | None, n: int) -> Array:
    """(b,) sample weights in float64, 1 where none are given."""
    return np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)


def evaluate(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Σ wᵢ eᵢ / Σ wᵢ, which is reported of rows that no update is made by."""
    e = sample_losses(weights, layers, loss, X, y)
    return float(np.average(e, weights=as_weights(sample_weight, len(e))))


def error(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    mean: float = 1.0,
) -> float:
    """E = Σ wᵢ eᵢ / (B w̄) of an update by B rows, w̄ being the mean weight of the whole set."""
    e = sample_losses(weights, layers, loss, X, y)
    return float(as_weights(sample_weight, len(e)) @ e / (len(e) * mean))


def deltas(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    keep: Masks = None,
    mean: float = 1.0,
) -> list[Array]:
    """δ = ∂E/∂z (b, o) of every layer, first layer first."""
    zs, a = forward(weights, layers, X, keep)
    kind = LOSSES[loss]
    w = as_weights(sample_weight, len(a[0]))
    scale = (w / (len(w) * mean)).astype(a[-1].dtype)[:, None]
    delta = scale * kind.slope(a[-1], zs[-1], targets(y, a[-1], loss))
    if kind.fused is None:
        delta = ACTIVATIONS[layers[-1].activation].delta(zs[-1], delta)
    found = [delta]
    pairs = by_layer(weights, layers)
    for below in reversed(range(len(layers) - 1)):
        slope = found[0] @ pairs[below + 1][0].T
        if keep is not None:
            slope = slope * keep[below].astype(slope.dtype)
        found.insert(0, ACTIVATIONS[layers[below].activation].delta(zs[below], slope))
    return found


def gradients(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    keep: Masks = None,
    mean: float = 1.0,
) -> list[Array]:
    """[dW0, db0, …] of E, in the shapes of the weights."""
    _, a = forward(weights, layers, X, keep)
    found = []
    for layer, below, delta in zip(
        layers, a, deltas(weights, layers, loss, X, y, sample_weight, keep, mean), strict=False
    ):
        found.append(below.T @ delta)
        if layer.bias == "shared":
            found.append(delta.sum(keepdims=True)[0])
        elif layer.bias:
            found.append(delta.sum(axis=0))
    return found


def central_differences(
    loss_of: Callable[[list[Array]], float], weights: Sequence[Array], h: float = 1e-5
) -> list[Array]:
    """(E(w + h) − E(w − h)) / 2h for every parameter, one at a time."""
    moved = [p.copy() for p in weights]
    found = [np.zeros_like(p) for p in weights]
    for p, g in zip(moved, found, strict=True):
        for at in np.ndindex(p.shape):
            kept = p[at]
            p[at] = kept + h
            above = loss_of(moved)
            p[at] = kept - h
            g[at] = (above - loss_of(moved)) / (2 * h)
            p[at] = kept
    return found
