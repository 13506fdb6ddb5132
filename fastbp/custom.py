"""Activations and losses of a person's own, from pairs of scalar functions, which are compared.

Twice: at some points of [-4, 4] when an object is made, and at values that they really meet when a
trainer first trains with it (`compare_at`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Samples
from fastbp.kernels.functions import custom
from fastbp.kernels.functions.activations import ACTIVATIONS, ActivationKernel
from fastbp.kernels.functions.losses import LOSSES, LossKernel
from fastbp.layers.activations import Activation
from fastbp.layers.differences import EPSILON, slopes
from fastbp.objectives.losses import Loss

if TYPE_CHECKING:
    from fastbp.network import Network

Scalar = Callable[..., float]
Doubles = NDArray[np.float64]

_STEP, _SINGLE_STEP, _TOLERANCE = 1e-3, 0.2, 1e-5
_SPACINGS = 1e7  # of float64 about a point, that a step is at least
_LEAST = 1e-3  # of the largest slope: smaller ones have the tolerance of one of this size
_ROUNDING = 4  # units in the last place of f's size: what its own rounding may come to
_POINTS, _ROWS, _VALUES = 64, 256, 256


@dataclass(frozen=True)
class CustomActivation(Activation):
    """``a = f(z)``, unit by unit, for f and its derivative as scalar functions.

    They are compiled into the kernels, with no call per value; a process that uses them compiles
    them once, and none is kept on disk. A model file can't hold such a network.

    Parameters
    ----------
    f, derivative : callable
        Of one number z: plain Python functions or numba's, of what numba compiles without objects.
        Functions that they call should be compiled with ``error_model="numpy"``: nothing that they
        raise is seen.
    label : str
        For summaries; none of fastbp's own.

    Raises
    ------
    TypeError
        A function is not one, or numba can't compile it.
    ValueError
        `label` is one of fastbp's, or `derivative` is not that of `f`, see below.

    Notes
    -----
    `derivative` is compared with central differences of `f`, in float64, at 64 points drawn from
    [-4, 4] when the object is made; and when a `Trainer` first trains with it (`fit`, `step`,
    `gradients`), before anything changes, at weighted sums that its data give: at most 256 of them
    a layer, from the least to the greatest, from at most 256 rows of weight above 0 (of a `step`'s
    batch or a `fit`'s training samples, evenly spread over them where there are more), without
    dropout. It has to be within 1e-5 of the difference's own size (or, if that is more, 1e-8 of the
    largest slope among the points) and what rounding to float64 may make of it. The steps are found
    point by point: from 1e-3, or 1e7 spacings of float64 about z if that is more, down to 2e-9 of
    that (from 0.2 for a function that rounds to float32 by itself). Points where `f` is not finite
    or has a kink are left out. Elsewhere, and in compiled code that trains (`Trainer.compiled`),
    nothing is checked; `check_gradients` compares the gradients of a whole network.

    Examples
    --------
    >>> import fastbp
    >>> square = fastbp.CustomActivation(lambda z: z * z, lambda z: 2 * z, "square")
    >>> net = fastbp.Network(2, [fastbp.Dense(3, square), fastbp.Dense(1)])
    """

    f: Scalar
    derivative: Scalar
    label: str = "custom"

    def __post_init__(self) -> None:
        _check(self, ACTIVATIONS, "activation")
        _require_right(self.name, *self._compared(_drawn(0)))

    def _compared(self, z: Doubles) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
        """At which of these sums f is finite, at which it was compared, and what is wrong there."""
        kernels = self._kernel()

        def values(z: Doubles) -> Doubles:
            a = z.copy()
            _call(kernels.forward, a, 1, len(a), len(a), a)
            return a

        claimed = np.ones_like(z)
        _call(kernels.backward, claimed, z, z, 1, len(z), len(z), z)
        return _compare(values, z, claimed, values(_drawn(0)))

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.label

    def __str__(self) -> str:
        return self.label

    def _kernel(self) -> ActivationKernel:
        return custom.activation(self.f, self.derivative)

    def _parameters(self) -> tuple[float, ...]:
        return ()

    def _settings(self) -> dict[str, Any]:
        raise ValueError(f"a model file can't hold the functions of activation {self.name!r}")


@dataclass(frozen=True)
class CustomLoss(Loss):
    """``e = (1/k) sum_j f(p, t)``, for f and its derivative by p as scalar functions.

    Parameters
    ----------
    f, derivative : callable
        Of an output p and its target t; see `CustomActivation`.
    label : str
        For messages; none of fastbp's own.

    Raises
    ------
    TypeError, ValueError
        As `CustomActivation`.

    Notes
    -----
    The derivative is compared as that of a `CustomActivation` is: at 64 pairs drawn from [-4, 4],
    and when a `Trainer` first trains with it at pairs of outputs and targets of its data, at most
    256, from the least output to the greatest and from the least difference to the greatest. A
    guard, such as ``max(p * (1 - p), 1e-7)`` in a divisor, has to be in f too, which is else
    another function than the derivative's: clamp p in both, and let the derivative be 0 beyond.

    Examples
    --------
    >>> import fastbp
    >>> fourth = fastbp.CustomLoss(lambda p, t: (p - t) ** 4, lambda p, t: 4 * (p - t) ** 3)
    >>> trainer = fastbp.Trainer(fastbp.Network(2, [fastbp.Dense(1)]), fourth)
    """

    f: Scalar
    derivative: Scalar
    label: str = "custom"

    def __post_init__(self) -> None:
        _check(self, LOSSES, "loss")
        _require_right(self.name, *self._compared(_drawn(0), _drawn(1)))

    def _compared(self, p: Doubles, t: Doubles) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
        """As `CustomActivation._compared`, at these pairs."""
        kernel = self._kernel.kernel

        def values(p: Doubles, t: Doubles = t) -> tuple[Doubles, Doubles]:
            n = len(p)
            w, d, e = np.ones(n), np.empty(n), np.empty(n)
            _call(kernel, p, p, t, w, d, e, n, 1, 1, 1.0, w)
            return e, d

        claimed, drawn = values(p)[1], values(_drawn(0), _drawn(1))[0]
        return _compare(lambda p: values(p)[0], p, claimed, drawn, t)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.label

    @property
    def _kernel(self) -> LossKernel:
        return custom.loss(self.f, self.derivative)

    def _parameters(self) -> tuple[float, ...]:
        return ()


def _check(given: Any, taken: Mapping[str, object], kind: str) -> None:
    for what in ("f", "derivative"):
        if not callable(getattr(given, what)):
            raise TypeError(f"{what} must be a function, got {getattr(given, what)!r}")
    if not isinstance(given.label, str) or given.label in taken:
        raise ValueError(f"label must be none of fastbp's own {kind} names, got {given.label!r}")


def _call(function: Any, *arguments: Any) -> None:
    """Call a kernel's float64 form as the C function that it is."""
    try:
        function = function.ctypes("float64")
    except Exception as error:  # numba has many kinds, and an internal one now and then
        raise TypeError(f"numba can't compile f or derivative: {error}") from error
    function(
        *(
            argument.ctypes.data_as(kind) if isinstance(argument, np.ndarray) else argument
            for argument, kind in zip(arguments, function.argtypes, strict=True)
        )
    )


def _compare(
    values: Callable[[Doubles], Doubles],
    at: Doubles,
    claimed: Doubles,
    drawn: Doubles,
    targets: Doubles | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """Where values are finite, where slopes were compared, and in words where one is wrong.

    `drawn` are values of f at numbers of ordinary size: where all others are small, as those of
    sqrt(1 + x²) - 1 for small x, rounding may still be that of what they are differences of.
    """
    here = values(at)
    finite = np.isfinite(here)
    if not finite.any():
        return finite, finite, ""
    known = np.abs(claimed[finite & np.isfinite(claimed)])
    largest = float(known.max()) if len(known) else 0.0
    ordinary = np.abs(drawn[np.isfinite(drawn)])
    size = max(np.abs(here[finite]).max(), np.median(ordinary) if len(ordinary) else 0.0)
    between = at * (1 + 1e-9) + 1e-12  # mostly no numbers of float32
    rounded = between.astype(np.float32).astype(np.float64)
    single = np.array_equal(values(between), values(rounded), equal_nan=True)
    # f may be of float32 by itself
    step, epsilon = (_SINGLE_STEP, 2.0**-23) if single else (_STEP, EPSILON)
    noise = _ROUNDING * epsilon * float(size)
    least = max(_LEAST * largest, float(np.finfo(np.float64).tiny))
    tolerance = _TOLERANCE * np.maximum(np.abs(claimed), least)
    first = np.maximum(step, _SPACINGS * np.spacing(np.abs(at)))
    found = slopes(values, at, claimed, first, noise, tolerance)
    right = np.abs(claimed - found.slope) <= tolerance + found.doubt
    compared = ~np.isnan(found.slope)
    wrong = compared & ~right
    if not wrong.any():
        return finite, compared, ""
    i = int(np.argmax(wrong))
    place = f"{at[i]:.6g}" + ("" if targets is None else f" for the target {targets[i]:.6g}")
    return (
        finite,
        compared,
        (
            f"derivative gives {claimed[i]:.6g} at {place}, "
            f"where f's central difference is {found.slope[i]:.6g}"
        ),
    )


def _require_right(
    name: str, finite: NDArray[np.bool_], compared: NDArray[np.bool_], wrong: str
) -> None:
    """Raise for what has been found at the drawn points."""
    if wrong:
        raise ValueError(f"{name}: {wrong}")
    if not finite.any():
        raise ValueError(f"{name}: f gives no finite value in [-4, 4]")
    if not compared.any():
        raise ValueError(
            f"{name}: f is too rough at every one of {len(finite)} points of [-4, 4] for its "
            "derivative to be compared with differences"
        )


def _drawn(seed: int) -> Doubles:
    drawn = np.random.default_rng(seed).uniform(-4, 4, _POINTS)
    return drawn if seed else np.sort(drawn)


def compare_at(network: Network, loss: Loss, samples: Samples) -> None:
    """Compare the derivatives of custom functions at values that these samples give.

    Raises
    ------
    ValueError
        A derivative is wrong there; nothing has changed.
    """
    layers = [i for i, a in enumerate(network.layers) if isinstance(a.activation, CustomActivation)]
    if not (layers or isinstance(loss, CustomLoss)):
        return
    rows = _rows(samples)
    X = np.asarray(samples[0].array)[rows].reshape(len(rows), -1).astype(network.dtype)
    there = np.isfinite(X).all(axis=1)  # memory maps are checked as they are read
    rows, X = rows[there], X[there]
    if not len(rows):
        return
    outputs: list[NDArray[Any]] = [X, *network.activations(X)]
    for i in layers:
        activation: Any = network.layers[i].activation
        z = _spread(np.unique(_sums(network, i, outputs[i])), _VALUES)
        *_, wrong = activation._compared(z)
        if wrong:
            raise ValueError(f"layers[{i}], {activation.name}, at a weighted sum of X's: {wrong}")
    if isinstance(loss, CustomLoss):
        p = outputs[-2].astype(np.float64).ravel()
        t = np.asarray(samples[1].array)[rows].astype(np.float64).ravel()
        p, t = p[np.isfinite(t)], t[np.isfinite(t)]
        half = _VALUES // 2
        chosen = [_spread(np.argsort(x, kind="stable"), half) for x in (p, p - t)]
        places = np.unique(np.concatenate(chosen))
        *_, wrong = loss._compared(p[places], t[places])
        if wrong:
            raise ValueError(f"{loss.name}, at an output and target of X and y: {wrong}")


def _rows(samples: Samples) -> NDArray[np.int64]:
    """Numbers of some rows of weight above 0, evenly spread."""
    x, _, weights = samples
    if weights is None:
        return _spread(range(x.n), _ROWS)
    return _spread(np.flatnonzero(np.asarray(weights.array[: x.n]) > 0), _ROWS)


def _spread(values: Sequence[int] | NDArray[Any], most: int) -> NDArray[Any]:
    """At most so many of them, evenly spread, the first and the last included."""
    n = len(values)
    places = range(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)
    return np.array([values[i] for i in places])


def _sums(network: Network, layer: int, below: NDArray[Any]) -> Doubles:
    """A layer's weighted sums."""
    first = sum(2 if dense.bias else 1 for dense in network.layers[:layer])
    arrays = [a.astype(np.float64) for a in network.get_weights()[first : first + 2]]
    z = below.astype(np.float64) @ arrays[0]
    return (z + arrays[1] if network.layers[layer].bias else z).ravel()
