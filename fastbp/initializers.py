"""Initial weights: counter-based, so that they depend on the seed and the layer alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_U64 = np.uint64


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's output function (the kernels have the same for single values)."""
    x = x + _U64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
    return x ^ (x >> _U64(31))


def uniform(seed: int, stream: int, n: int) -> NDArray[np.float64]:
    """n float64 in [0, 1), 53 random bits each, of one stream of a seed."""
    key = _mix(_mix(np.array([seed], dtype=_U64)) ^ _U64(stream))
    bits = _mix(_mix(np.arange(n, dtype=_U64)) ^ key)
    return (bits >> _U64(11)).astype(np.float64) * 2.0**-53


def normal(seed: int, stream: int, n: int) -> NDArray[np.float64]:
    """n standard normal float64 (Box & Muller 1958)."""
    u = uniform(seed, stream, 2 * n)
    radius = np.sqrt(-2.0 * np.log1p(-u[:n]))
    return radius * np.cos(2.0 * math.pi * u[n:])


Initializer = Callable[[int, int, int, int], NDArray[np.float64]]


def _scaled_uniform(limit: Callable[[int, int], float]) -> Initializer:
    def draw(seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        a = limit(n_in, n_out)
        return (uniform(seed, stream, n_in * n_out) * (2.0 * a) - a).reshape(n_in, n_out)

    return draw


def _scaled_normal(deviation: Callable[[int, int], float]) -> Initializer:
    def draw(seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        scale = deviation(n_in, n_out)
        return (normal(seed, stream, n_in * n_out) * scale).reshape(n_in, n_out)

    return draw


#: By name. Glorot & Bengio 2010; He et al. 2015; LeCun et al. 1998.
INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": _scaled_uniform(lambda n_in, n_out: math.sqrt(6.0 / (n_in + n_out))),
    "glorot_normal": _scaled_normal(lambda n_in, n_out: math.sqrt(2.0 / (n_in + n_out))),
    "he_uniform": _scaled_uniform(lambda n_in, n_out: math.sqrt(6.0 / n_in)),
    "he_normal": _scaled_normal(lambda n_in, n_out: math.sqrt(2.0 / n_in)),
    "lecun_uniform": _scaled_uniform(lambda n_in, n_out: math.sqrt(3.0 / n_in)),
    "lecun_normal": _scaled_normal(lambda n_in, n_out: math.sqrt(1.0 / n_in)),
    "zeros": lambda seed, stream, n_in, n_out: np.zeros((n_in, n_out)),
}

_RELU_FAMILY = ("relu", "leaky_relu", "relu6")
_AUTO = {**dict.fromkeys(_RELU_FAMILY, "he_uniform"), "selu": "lecun_normal"}


def auto(activation: str) -> str:
    """The initializer that suits an activation: He for the relu family, LeCun for selu, else
    Glorot."""
    return _AUTO.get(activation, "glorot_uniform")
