"""L-BFGS and Levenberg-Marquardt by whole matrices, which the solvers never form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from naive.activations import ACTIVATIONS, Array
from naive.passes import as_weights, by_layer, error, forward, targets


def flat(arrays: Sequence[Array]) -> Array:
    """All parameters as one vector, in the order of the arrays."""
    return np.concatenate([a.ravel() for a in arrays])


def shaped(vector: Array, like: Sequence[Array]) -> list[Array]:
    """The arrays that `flat` made a vector of, shaped as those of `like`."""
    ends = np.cumsum([a.size for a in like])
    return [
        vector[end - a.size : end].reshape(a.shape).astype(a.dtype)
        for a, end in zip(like, ends, strict=True)
    ]


def jacobian(weights: Sequence[Array], layers: Sequence[Any], X: ArrayLike) -> Array:
    """∂(every output of every sample) / ∂(every parameter), (b, k, p)."""
    zs, a = forward(weights, layers, X)
    pairs, found = by_layer(weights, layers), []
    for output in range(layers[-1].units):
        slope, columns = np.zeros_like(a[-1]), []
        slope[:, output] = 1
        for at in reversed(range(len(layers))):
            delta = ACTIVATIONS[layers[at].activation].delta(zs[at], slope)
            if layers[at].bias:
                columns.insert(0, delta.sum(1)[:, None] if layers[at].bias == "shared" else delta)
            columns.insert(0, np.einsum("bi,bo->bio", a[at], delta).reshape(len(delta), -1))
            slope = delta @ pairs[at][0].T
        found.append(np.hstack(columns))
    return np.stack(found, axis=1)


def normal_equations(
    weights: Sequence[Array],
    layers: Sequence[Any],
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """J'J and J'r of the residuals r = w^½ (p − t)."""
    p = forward(weights, layers, X)[1][-1]
    J = jacobian(weights, layers, X).reshape(p.size, -1)
    root = np.repeat(np.sqrt(as_weights(sample_weight, len(p))), p.shape[1])
    J, r = root[:, None] * J, root * (p - targets(y, p, "mse")).ravel()
    return J.T @ J, J.T @ r


def trained(weights: Sequence[Array], layers: Sequence[Any]) -> Array:
    """Of every parameter whether its layer's `trainable` has it trained."""
    found = []
    for layer in layers:
        setting = getattr(layer, "trainable", True)
        found.append(setting in (True, "weights"))
        if layer.bias:
            found.append(setting in (True, "biases"))
    return flat([np.full(a.shape, kept) for a, kept in zip(weights, found, strict=True)])


def half_l2(weights: Sequence[Array], layers: Sequence[Any]) -> Array:
    """Half of the layer's l2 for every weight, 0 for every bias."""
    found = []
    for layer in layers:
        found.append(0.5 * getattr(layer, "l2", 0.0))
        if layer.bias:
            found.append(0.0)
    return flat([np.full(a.shape, half) for a, half in zip(weights, found, strict=True)])


def objective(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """What a step of a solver lowers: the error, and (l2/2) ΣW² of what is trained."""
    halves = half_l2(weights, layers) * trained(weights, layers)
    return error(weights, layers, loss, X, y, sample_weight) + halves @ flat(weights) ** 2


def levenberg_marquardt(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    damping: float = 1e-3,
    increase: float = 2.0,
    decrease: float = 3.0,
) -> tuple[list[Array], float]:
    """One iteration (Nielsen 1999): the weights and the damping after it."""
    n = len(np.asarray(X))  # as a step has it: w̄ is 1
    factor = 1 / layers[-1].units if loss == "mse" else 0.5
    A, g = normal_equations(weights, layers, X, y, sample_weight)
    kept, halves = trained(weights, layers), half_l2(weights, layers)
    A, g = A / n + np.diag(halves) / factor, g / n + halves * flat(weights) / factor
    A, g, d = A[kept][:, kept], g[kept], np.zeros(len(g))
    before = objective(weights, layers, loss, X, y, sample_weight)
    while True:
        d[kept] = step = np.linalg.solve(A + damping * np.eye(len(g)), -g)
        moved = shaped(flat(weights) + d, weights)
        fall = before - objective(moved, layers, loss, X, y, sample_weight)
        if fall > 0:
            ratio = fall / (-factor * (2 * g @ step + step @ A @ step))
            return moved, damping * max(1 / decrease, 1 - (2 * ratio - 1) ** 3)
        damping, increase = damping * increase, 2 * increase


def lbfgs_direction(g: Array, pairs: Sequence[tuple[Array, Array]]) -> Array:
    """−H g, H by the BFGS update of a whole matrix for every (s, y), oldest first."""
    H = np.eye(len(g))
    if pairs:
        s, y = pairs[-1]
        H *= s @ y / (y @ y)
    for s, y in pairs:
        V = np.eye(len(g)) - np.outer(y, s) / (s @ y)
        H = V.T @ H @ V + np.outer(s, s) / (s @ y)
    return -H @ g
