"""Losses: each sample's error, and its slope by the outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from naive.activations import Array, log_softmax, softplus


def signs(t: Array) -> Array:
    return np.where(t > 0, 1, -1).astype(t.dtype)


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
    "kl_divergence": Loss(
        lambda p, z, t: (t * (np.log(np.where(t > 0, t, 1)) - log_softmax(z))).sum(axis=1),
        lambda p, z, t: p * t.sum(axis=1, keepdims=True) - t,
        fused="softmax",
    ),
    "mae": Loss(
        lambda p, z, t: np.abs(p - t).mean(axis=1),
        lambda p, z, t: np.sign(p - t) / t.shape[1],
    ),
    "huber": Loss(
        lambda p, z, t: np.where(
            np.abs(p - t) <= 1, (p - t) ** 2 / 2, np.abs(p - t) - t.dtype.type(0.5)
        ).mean(axis=1),
        lambda p, z, t: np.clip(p - t, -1, 1) / t.shape[1],
    ),
    "log_cosh": Loss(
        lambda p, z, t: (
            np.abs(p - t) + np.log1p(np.exp(-2 * np.abs(p - t))) - t.dtype.type(np.log(2))
        ).mean(axis=1),
        lambda p, z, t: np.tanh(p - t) / t.shape[1],
    ),
    "quantile": Loss(
        lambda p, z, t: (np.abs(t - p) / 2).mean(axis=1),
        lambda p, z, t: -np.sign(t - p) / 2 / t.shape[1],
    ),
    "hinge": Loss(
        lambda p, z, t: np.maximum(0, 1 - signs(t) * p).mean(axis=1),
        lambda p, z, t: np.where(signs(t) * p < 1, -signs(t), 0) / t.shape[1],
    ),
    "poisson": Loss(
        lambda p, z, t: (p - t * z).mean(axis=1),
        lambda p, z, t: (p - t) / t.shape[1],
        fused="exp",
    ),
}

CLASSES = ("cross_entropy", "kl_divergence")  # whose targets may be ids
