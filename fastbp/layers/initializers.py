"""Initial weights: counter-based, so that they depend on the seed and the layer alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.checks import check_unmasked, real
from fastbp.layers.names import INITIALIZER_NAMES, InitializerAlias, InitializerName
from fastbp.values import dataclass

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


#: of seed, stream, n_in and n_out
Draw = Callable[[int, int, int, int], NDArray[np.float64]]


def _scaled_uniform(limit: Callable[[int, int], float]) -> Draw:
    def draw(seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        a = limit(n_in, n_out)
        return (uniform(seed, stream, n_in * n_out) * (2.0 * a) - a).reshape(n_in, n_out)

    return draw


def _scaled_normal(deviation: Callable[[int, int], float]) -> Draw:
    def draw(seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        scale = deviation(n_in, n_out)
        return (normal(seed, stream, n_in * n_out) * scale).reshape(n_in, n_out)

    return draw


#: By name. Glorot & Bengio 2010; He et al. 2015; LeCun et al. 1998.
INITIALIZERS: dict[str, Draw] = {
    "glorot_uniform": _scaled_uniform(lambda n_in, n_out: math.sqrt(6.0 / (n_in + n_out))),
    "glorot_normal": _scaled_normal(lambda n_in, n_out: math.sqrt(2.0 / (n_in + n_out))),
    "he_uniform": _scaled_uniform(lambda n_in, n_out: math.sqrt(6.0 / n_in)),
    "he_normal": _scaled_normal(lambda n_in, n_out: math.sqrt(2.0 / n_in)),
    "lecun_uniform": _scaled_uniform(lambda n_in, n_out: math.sqrt(3.0 / n_in)),
    "lecun_normal": _scaled_normal(lambda n_in, n_out: math.sqrt(1.0 / n_in)),
    "zeros": lambda seed, stream, n_in, n_out: np.zeros((n_in, n_out)),
    "orthogonal": lambda *where: Orthogonal()._draw(*where),
    "truncated_normal": lambda *where: TruncatedNormal()._draw(*where),
}


@dataclass(frozen=True)
class Initializer:
    """How weights start, with settings of its own; those without any go by their names.

    Attributes
    ----------
    name : str
        By which `Dense` takes it, with its defaults, where it has one for every setting.

    Examples
    --------
    >>> import fastbp
    >>> isinstance(fastbp.Orthogonal(), fastbp.Initializer), fastbp.Orthogonal().name
    (True, 'orthogonal')
    """

    name: ClassVar[str]

    def _draw(self, seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        raise NotImplementedError


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """W with orthonormal columns, or rows where there are fewer, times `gain` (Saxe et al. 2014).

    The Q of a normal matrix, with signs that make R's diagonal positive, as PyTorch's.

    Parameters
    ----------
    gain : float
        The norm of each column, or row.

    Raises
    ------
    TypeError, ValueError
        `gain` is no finite number.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> layer = fastbp.Dense(3, kernel_initializer=fastbp.Orthogonal(gain=2.0))
    >>> W = fastbp.Network(5, [layer], dtype="float64", seed=0).get_weights()[0]
    >>> bool(np.allclose(W.T @ W, 4 * np.eye(3)))
    True
    """

    name: ClassVar[str] = "orthogonal"
    gain: float = 1.0

    def __post_init__(self) -> None:
        real("gain", self.gain)

    def _draw(self, seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        tall = normal(seed, stream, n_in * n_out).reshape(max(n_in, n_out), min(n_in, n_out))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)
        return np.asarray(self.gain * (q if n_in >= n_out else q.T), np.float64)


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal with mean 0, drawn again where beyond two standard deviations, as Keras' and JAX's.

    Parameters
    ----------
    stddev : float
        Above 0: the standard deviation of the normal distribution. That of what is left is 0.88
        times as large.

    Raises
    ------
    TypeError, ValueError
        `stddev` is not of its kind or range.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> layer = fastbp.Dense(100, kernel_initializer=fastbp.TruncatedNormal(stddev=0.1))
    >>> W = fastbp.Network(100, [layer], dtype="float64", seed=0).get_weights()[0]
    >>> bool(np.abs(W).max() <= 0.2), round(float(W.std()), 2)
    (True, 0.09)
    """

    name: ClassVar[str] = "truncated_normal"
    stddev: float = 0.05

    def __post_init__(self) -> None:
        real("stddev", self.stddev, low=0.0, low_open=True)

    def _draw(self, seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        found, attempt = normal(seed, stream, n_in * n_out), 0
        while (beyond := np.abs(found) > 2.0).any():
            attempt += 1
            again = normal(seed, stream + (attempt << 32), n_in * n_out)
            found = np.where(beyond, again, found)
        return np.asarray(self.stddev * found.reshape(n_in, n_out), np.float64)


@dataclass(frozen=True)
class Constant(Initializer):
    """Every weight the same.

    Parameters
    ----------
    value : float
        That of each weight.

    Raises
    ------
    TypeError, ValueError
        `value` is no finite number.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Dense(3, kernel_initializer=fastbp.Constant(0.5)).kernel_initializer
    Constant(value=0.5)
    """

    name: ClassVar[str] = "constant"
    value: float

    def __post_init__(self) -> None:
        real("value", self.value)

    def _draw(self, seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        return np.full((n_in, n_out), float(self.value))


@dataclass(frozen=True, eq=False)
class _Own(Initializer):
    """A person's array, or function of ``(n_in, n_out)`` and a `numpy.random.Generator`."""

    name: ClassVar[str] = "own"
    source: Any

    def _draw(self, seed: int, stream: int, n_in: int, n_out: int) -> NDArray[np.float64]:
        source: Any = self.source
        if callable(source):
            source = source((n_in, n_out), np.random.default_rng([seed, stream]))
        check_unmasked("kernel_initializer", source)
        found = np.asarray(source)
        if found.dtype.kind not in "fiub":
            raise TypeError(f"kernel_initializer must give real numbers, got dtype {found.dtype}")
        if found.shape != (n_in, n_out) or not np.isfinite(found).all():
            raise ValueError(
                f"kernel_initializer must give finite numbers of shape ({n_in}, {n_out}), "
                f"got shape {found.shape}"
            )
        return np.asarray(found, np.float64)


#: what is taken for an initializer
InitializerLike = (
    InitializerName
    | InitializerAlias
    | Initializer
    | NDArray[Any]
    | Callable[[tuple[int, int], np.random.Generator], ArrayLike]
)

#: the classes of those with settings, by name
WITH_SETTINGS: dict[str, type[Initializer]] = {
    kind.name: kind for kind in (Orthogonal, TruncatedNormal, Constant)
}


def checked(initializer: object) -> InitializerName | Initializer:
    """An initializer by name or object, or made of an array or a function."""
    if isinstance(initializer, str):
        return INITIALIZER_NAMES.find("kernel_initializer", initializer)
    if isinstance(initializer, Initializer):
        return initializer
    if callable(initializer):
        return _Own(initializer)
    if isinstance(initializer, np.ndarray):
        check_unmasked("kernel_initializer", initializer)
        return _Own(np.array(initializer))
    names = ", ".join(map(repr, INITIALIZER_NAMES.known))
    raise TypeError(
        f"kernel_initializer must be one of {names}, an object such as fastbp.Orthogonal(), an "
        f"array or a function, got {initializer!r} of type {type(initializer).__name__}"
    )


def draw(
    initializer: str | Initializer, activation: str, seed: int, stream: int, n_in: int, n_out: int
) -> NDArray[np.float64]:
    """The weights (n_in, n_out) of a layer with that activation."""
    if isinstance(initializer, Initializer):
        return initializer._draw(seed, stream, n_in, n_out)
    name = auto(activation) if initializer == "auto" else initializer
    return INITIALIZERS[name](seed, stream, n_in, n_out)


def stored(initializer: str | Initializer) -> dict[str, Any]:
    """As a model file's layer holds it; an array or a function is not held: "zeros"."""
    if isinstance(initializer, str):
        return {"kernel_initializer": initializer}
    if isinstance(initializer, _Own):
        return {"kernel_initializer": "zeros"}
    return {
        "kernel_initializer": initializer.name,
        "kernel_initializer_settings": asdict(initializer),
    }


_RELU_FAMILY = ("relu", "leaky_relu", "relu6")
_AUTO = {**dict.fromkeys(_RELU_FAMILY, "he_uniform"), "selu": "lecun_normal"}


def auto(activation: str) -> str:
    """The initializer that suits an activation: He for the relu family, LeCun for selu, else
    Glorot."""
    return _AUTO.get(activation, "glorot_uniform")
