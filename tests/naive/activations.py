"""Activations a = f(z), and what becomes of ∂E/∂a on its way back to ∂E/∂z."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    e[np.arange(len(e)), z.argmax(axis=1)] = 0  # in place of 1, in whose sum the others would drown
    return z - np.log1p(e.sum(axis=1, keepdims=True))


def softmax(z: Array) -> Array:
    return np.exp(log_softmax(z))


def softmax_delta(z: Array, slope: Array) -> Array:
    p = softmax(z)
    jacobian = p[:, :, None] * (np.eye(p.shape[1], dtype=p.dtype) - p[:, None, :])  # ∂p_j/∂z_k
    return np.einsum("bj,bjk->bk", slope, jacobian)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def below(z: Array) -> Array:
    """The normal distribution's Phi."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return ((1 + erf(z.astype(np.float64) / np.sqrt(2))) / 2).astype(z.dtype)


def gelu_inner(z: Array) -> Array:
    scale, cube = z.dtype.type(np.sqrt(2 / np.pi)), z.dtype.type(0.044715)
    return scale * (z + cube * z * z * z)


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
    "leaky_relu": unitwise(
        lambda z: np.where(z > 0, z, z.dtype.type(0.01) * z),
        lambda z: np.where(z > 0, 1, z.dtype.type(0.01)).astype(z.dtype),
    ),
    "elu": unitwise(
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
    ),
    "selu": unitwise(
        lambda z: z.dtype.type(SELU_SCALE)
        * np.where(z > 0, z, z.dtype.type(SELU_ALPHA) * np.expm1(np.minimum(z, 0))),
        lambda z: z.dtype.type(SELU_SCALE)
        * np.where(z > 0, 1, z.dtype.type(SELU_ALPHA) * np.exp(np.minimum(z, 0))),
    ),
    "relu6": unitwise(
        lambda z: np.clip(z, 0, 6), lambda z: ((z > 0) & (z < 6)).astype(z.dtype)
    ),
    "hard_sigmoid": unitwise(
        lambda z: np.clip(z / 6 + z.dtype.type(0.5), 0, 1),
        lambda z: (np.abs(z) < 3).astype(z.dtype) / 6,
    ),
    "hard_tanh": unitwise(
        lambda z: np.clip(z, -1, 1), lambda z: (np.abs(z) < 1).astype(z.dtype)
    ),
    "gelu": unitwise(
        lambda z: z * below(z),
        lambda z: below(z) + z * (np.exp(-z * z / 2) / z.dtype.type(np.sqrt(2 * np.pi))),
    ),
    "gelu_tanh": unitwise(
        lambda z: z / 2 * (1 + np.tanh(gelu_inner(z))),
        lambda z: (1 + np.tanh(gelu_inner(z))) / 2
        + z / 2 * np.cosh(np.clip(gelu_inner(z), -40, 40)) ** -2
        * z.dtype.type(np.sqrt(2 / np.pi)) * (1 + z.dtype.type(3 * 0.044715) * z * z),
    ),
    "silu": unitwise(
        lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))
    ),
    "mish": unitwise(
        lambda z: z * np.tanh(softplus(z)),
        lambda z: np.tanh(softplus(z)) + z * (1 - np.tanh(softplus(z)) ** 2) * sigmoid(z),
    ),
    "softplus": unitwise(softplus, sigmoid),
    "softsign": unitwise(lambda z: z / (1 + np.abs(z)), lambda z: (1 + np.abs(z)) ** -2),
    "exp": unitwise(np.exp, np.exp),
    "sine": unitwise(np.sin, np.cos),
}  # fmt: skip
