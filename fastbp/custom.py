"""Activations and losses of a person's own, from pairs of scalar functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.activations import Activation
from fastbp.kernels import custom
from fastbp.kernels.activations import ACTIVATIONS
from fastbp.kernels.activations import Activation as _ActivationKernels
from fastbp.kernels.losses import LOSSES
from fastbp.kernels.losses import Loss as _LossKernel
from fastbp.losses import Loss

Scalar = Callable[..., float]
Doubles = NDArray[np.float64]

_STEP, _TOLERANCE, _KINK = 1e-6, 1e-5, 1e-3
_POINTS = 64


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
        `label` is one of fastbp's, or `derivative` is not that of `f`: it is compared with central
        differences at 64 points of [-4, 4], kinks left out.

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
        kernels = self._kernel()
        rng = np.random.default_rng(0)
        z = np.sort(rng.uniform(-4, 4, _POINTS))

        def values(z: Doubles) -> Doubles:
            a = z.copy()
            _call(kernels.forward, a, 1, len(a), len(a), a)
            return a

        slopes = np.ones_like(z)
        _call(kernels.backward, slopes, z, z, 1, len(z), len(z), z)
        _compare(self.name, values, z, slopes)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.label

    def __str__(self) -> str:
        return self.label

    def _kernel(self) -> _ActivationKernels:
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
        As `CustomActivation`; compared at 64 pairs of [-4, 4].

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
        kernel = self._kernel.kernel
        rng = np.random.default_rng(0)
        p, t = np.sort(rng.uniform(-4, 4, _POINTS)), rng.uniform(-4, 4, _POINTS)
        w, d, e = np.ones(_POINTS), np.empty(_POINTS), np.empty(_POINTS)

        def values(p: Doubles) -> Doubles:
            _call(kernel, p, p, t, w, d, e, _POINTS, 1, 1, 1.0, w)
            return e.copy()

        values(p)
        _compare(self.name, values, p, d.copy())

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.label

    @property
    def _kernel(self) -> _LossKernel:
        return custom.loss(self.f, self.derivative)

    def _parameters(self) -> tuple[float, ...]:
        return ()


def _check(given: Any, taken: Mapping[str, object], kind: str) -> None:
    for what in ("f", "derivative"):
        if not callable(getattr(given, what)):
            raise TypeError(f"{what} must be a function, got {getattr(given, what)!r}")
    if not isinstance(given.label, str) or given.label in taken:
        raise ValueError(f"label must be none of fastbp's own {kind} names, got {given.label!r}")


def _call(doorway: Any, *arguments: Any) -> None:
    """Call a kernel's float64 form as the C function that it is."""
    try:
        function = doorway.ctypes("float64")
    except Exception as error:  # numba has many kinds, and an internal one now and then
        raise TypeError(f"numba can't compile f or derivative: {error}") from error
    function(
        *(
            argument.ctypes.data_as(kind) if isinstance(argument, np.ndarray) else argument
            for argument, kind in zip(arguments, function.argtypes, strict=True)
        )
    )


def _compare(name: str, values: Callable[[Doubles], Doubles], at: Doubles, slopes: Doubles) -> None:
    here, above, below = values(at), values(at + _STEP), values(at - _STEP)
    right, left = (above - here) / _STEP, (here - below) / _STEP
    size = np.maximum(1, np.abs(slopes))
    smooth = np.abs(right - left) <= _KINK * size
    wrong = smooth & ~(np.abs(slopes - (right + left) / 2) <= _TOLERANCE * size)
    if not np.isfinite(here).any():
        raise ValueError(f"{name}: f gives no finite value in [-4, 4]")
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"{name}: derivative gives {slopes[i]:.6g} at {at[i]:.6g}, "
            f"where f's central difference is {(right[i] + left[i]) / 2:.6g}"
        )
