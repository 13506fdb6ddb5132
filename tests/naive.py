"""Backpropagation in plain NumPy, a formula a line: what the compiled kernels must match.

Parameters are lists ``[W0, b0, W1, b1, …]``, as ``Network.get_weights`` returns them: ``W`` is
(i, o), ``b`` is (o,), (1,) where a layer shares one bias, and absent where it has none. All
arithmetic is done in the dtype of the weights. Sizes: b samples of a batch, i inputs of a layer,
o its units, k outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


class Layer(NamedTuple):
    """What this file reads of a layer; a ``fastbp.Dense`` will do as well."""

    units: int
    activation: str = "linear"
    bias: bool | str = True


# ------------------------------------------------------------------------------ activations


def softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def softmax(z: Array) -> Array:
    return np.exp(log_softmax(z))


def softmax_delta(z: Array, slope: Array) -> Array:
    p = softmax(z)
    jacobian = p[:, :, None] * (np.eye(p.shape[1], dtype=p.dtype) - p[:, None, :])  # ∂p_j/∂z_k
    return np.einsum("bj,bjk->bk", slope, jacobian)


class Activation(NamedTuple):
    value: Callable[[Array], Array]  # a = f(z)
    delta: Callable[[Array, Array], Array]  # ∂E/∂z from z and ∂E/∂a


def unitwise(f: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> Activation:
    return Activation(f, lambda z, slope: slope * derivative(z))


ACTIVATIONS = {
    "linear": unitwise(lambda z: z, np.ones_like),
    "sigmoid": unitwise(sigmoid, lambda z: sigmoid(z) * sigmoid(-z)),
    "tanh": unitwise(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": unitwise(lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "softmax": Activation(softmax, softmax_delta),
}

# ----------------------------------------------------------------------------------- losses


class Loss(NamedTuple):
    value: Callable[[Array, Array, Array], Array]  # eᵢ from p (b, k), logits z and targets t
    slope: Callable[[Array, Array, Array], Array]  # ∂eᵢ/∂p, or ∂eᵢ/∂z where an activation is fused
    fused: str | None = None  # the one output activation that goes with it; None is any


LOSSES = {
    "mse": Loss(
        lambda p, z, t: ((p - t) ** 2).mean(axis=1),
        lambda p, z, t: 2 * (p - t) / t.shape[1],
    ),
    "half_squared_error": Loss(
        lambda p, z, t: ((p - t) ** 2).sum(axis=1) / 2,
        lambda p, z, t: p - t,
    ),
    "binary_cross_entropy": Loss(
        lambda p, z, t: (t * softplus(-z) + (1 - t) * softplus(z)).mean(axis=1),
        lambda p, z, t: (p - t) / t.shape[1],
        fused="sigmoid",
    ),
    "cross_entropy": Loss(
        lambda p, z, t: -(t * log_softmax(z)).sum(axis=1),
        lambda p, z, t: p * t.sum(axis=1, keepdims=True) - t,
        fused="softmax",
    ),
}

# ---------------------------------------------------------------------- forward and backward


def by_layer(arrays: Sequence[Array], layers: Sequence[Any]) -> list[tuple[Array, Array | None]]:
    rest = iter(arrays)
    return [(next(rest), next(rest) if layer.bias else None) for layer in layers]


def forward(
    weights: Sequence[Array], layers: Sequence[Any], X: ArrayLike
) -> tuple[list[Array], list[Array]]:
    """Every layer's z, and every layer's a with X in front: ``a[l]`` is what layer l reads."""
    x = np.asarray(X, weights[0].dtype)
    zs, a = [], [x.reshape(len(x), -1)]
    for (W, b), layer in zip(by_layer(weights, layers), layers, strict=True):
        zs.append(a[-1] @ W if b is None else a[-1] @ W + b)
        a.append(ACTIVATIONS[layer.activation].value(zs[-1]))
    return zs, a


def targets(y: ArrayLike, like: Array, loss: str) -> Array:
    """(b, k) targets in the dtype of the predictions `like`; class ids become one-hot rows."""
    t = np.asarray(y)
    if loss == "cross_entropy" and t.ndim == 1:
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
    """E = Σ wᵢ eᵢ / Σ wᵢ."""
    e = sample_losses(weights, layers, loss, X, y)
    return float(np.average(e, weights=as_weights(sample_weight, len(e))))


def deltas(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> list[Array]:
    """δ = ∂E/∂z (b, o) of every layer, first layer first."""
    zs, a = forward(weights, layers, X)
    kind = LOSSES[loss]
    w = as_weights(sample_weight, len(a[0]))
    scale = (w / w.sum()).astype(a[-1].dtype)[:, None]
    delta = scale * kind.slope(a[-1], zs[-1], targets(y, a[-1], loss))
    if kind.fused is None:
        delta = ACTIVATIONS[layers[-1].activation].delta(zs[-1], delta)
    found = [delta]
    pairs = by_layer(weights, layers)
    for below in reversed(range(len(layers) - 1)):
        slope = found[0] @ pairs[below + 1][0].T
        found.insert(0, ACTIVATIONS[layers[below].activation].delta(zs[below], slope))
    return found


def gradients(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> list[Array]:
    """[dW0, db0, …], in the shapes of the weights."""
    _, a = forward(weights, layers, X)
    found = []
    for layer, below, delta in zip(
        layers, a, deltas(weights, layers, loss, X, y, sample_weight), strict=False
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


# ------------------------------------------------------------------------------- optimizers


class SGD:
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html, dampening 0."""

    def __init__(
        self,
        learning_rate: float = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.learning_rate, self.momentum = learning_rate, momentum
        self.nesterov, self.weight_decay = nesterov, weight_decay
        self.velocities: list[Array] = []

    def update(self, weights: Sequence[Array], gradients: Sequence[Array]) -> None:
        if not self.velocities:  # so that the first velocity is the first gradient
            self.velocities = [np.zeros_like(p) for p in weights]
        for p, g, v in zip(weights, gradients, self.velocities, strict=True):
            g = g + self.weight_decay * p
            v[...] = self.momentum * v + g
            p -= self.learning_rate * (g + self.momentum * v if self.nesterov else v)


class Adam:
    """https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html, amsgrad off."""

    def __init__(
        self,
        learning_rate: float = 1e-3,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.learning_rate, self.beta_1, self.beta_2 = learning_rate, beta_1, beta_2
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.step = 0
        self.means: list[Array] = []
        self.squares: list[Array] = []

    def update(self, weights: Sequence[Array], gradients: Sequence[Array]) -> None:
        if not self.means:
            self.means = [np.zeros_like(p) for p in weights]
            self.squares = [np.zeros_like(p) for p in weights]
        self.step += 1
        for p, g, m, v in zip(weights, gradients, self.means, self.squares, strict=True):
            g = g + self.weight_decay * p
            m[...] = self.beta_1 * m + (1 - self.beta_1) * g
            v[...] = self.beta_2 * v + (1 - self.beta_2) * g**2
            m_hat = m / (1 - self.beta_1**self.step)
            v_hat = v / (1 - self.beta_2**self.step)
            p -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


# ---------------------------------------------------------------------------------- training


def consecutive(n: int, batch_size: int | None) -> list[slice]:
    """Mini-batches in the order of the data; the last may be ragged."""
    size = n if batch_size is None else batch_size
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def train(
    weights: Sequence[Array],
    layers: Sequence[Any],
    loss: str,
    optimizer: SGD | Adam,
    X: ArrayLike,
    y: ArrayLike,
    *,
    batches: Iterable[Any],
    epochs: int = 1,
    sample_weight: ArrayLike | None = None,
) -> tuple[list[Array], list[float]]:
    """The weights after `epochs` times these `batches` (slices or indices), and each epoch's loss.

    An epoch's loss is Σ w e / Σ w over its samples, each batch taken before its update. A batch
    whose weights are all zero makes no update.
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
            optimizer.update(weights, gradients(weights, layers, loss, X[at], y[at], w[at]))
        history.append(total / sum(float(w[at].sum()) for at in batches))
    return weights, history


def relative_error(found: ArrayLike, expected: ArrayLike) -> float:
    """max|found − expected| / max|expected|; max|found| where all that is expected is 0."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))
