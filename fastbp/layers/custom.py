"""Activations of a person's own: f and its derivative as functions, which are compared.

The derivative is compared with differences of the function, as that of a loss of a person's own is
(`fastbp.objectives.custom`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.functions import custom
from fastbp.kernels.functions.activation_kernel import ActivationKernel
from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.layers.activations import Activation
from fastbp.layers.differences import EPSILON, slopes
from fastbp.layers.functions import OfFunctions, Scalar
from fastbp.values import dataclass

Doubles = NDArray[np.float64]

_STEP, _SINGLE_STEP, _TOLERANCE = 1e-3, 0.2, 1e-5
_SPACINGS = 1e7  # of float64 about a point, that a step is at least
_LEAST = 1e-3  # of the largest slope: smaller ones have the tolerance of one of this size
_ROUNDING = 4  # units in the last place of f's size: what its own rounding may come to
_POINTS = 64


class Comparison(NamedTuple):
    """What a comparison of a derivative with differences of its function came to."""

    finite: NDArray[np.bool_]  # at which points f is finite
    compared: NDArray[np.bool_]  # at which its slope could be told
    wrong: str  # in words, where the derivative is another; empty where it is right


@dataclass(frozen=True)
class CustomActivation(OfFunctions[ActivationKernel], Activation):
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
    parameters : sequence of float
        Finite numbers that both functions take after z, in this order: with ``parameters=(c,)``
        they are f(z, c) and derivative(z, c). A network of float32 has them rounded to that, as it
        has its inputs.

    Attributes
    ----------
    name : str
        The label.

    Raises
    ------
    TypeError
        A function is not one, takes another number of arguments, or numba can't compile it;
        `parameters` are no sequence of numbers.
    ValueError
        `label` is one of fastbp's, a parameter is not finite, or `derivative` is not that of `f`,
        see below.

    Notes
    -----
    Activations of equal code share machine code, whatever their parameters: another c takes about a
    millisecond, where another function takes some tenths of a second and 2 MB that stay in memory
    until the process ends. Numbers that a function closes over, and values that its last arguments
    have by default, count as parameters that it brings itself, of float64 or int64, as they are
    when the object is made. In exponents and indices they don't: for these, and for arrays, another
    value is another function.

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

    Of a parameter, compiled once for both:

    >>> def bent(z, c):
    ...     return z if z > 0 else c * z
    >>> def slope(z, c):
    ...     return 1.0 if z > 0 else c
    >>> gentle, steep = (
    ...     fastbp.CustomActivation(bent, slope, f"bent {c}", parameters=(c,)) for c in (0.1, 0.5)
    ... )
    """

    f: Scalar
    derivative: Scalar
    label: str = "custom"
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self._check(ACTIVATIONS, "activation", ("z",))
        self._compile(lambda kernel: (kernel.forward, kernel.backward))
        require_right(self.name, self._compared(draw_points(0)))

    def _compared(self, z: Doubles) -> Comparison:
        """Compare the derivative with f's differences at these weighted sums."""
        kernels, settings = self._kernel(), self._record("float64")

        def values(z: Doubles) -> Doubles:
            a = z.copy()
            call_kernel(kernels.forward, "float64", a, 1, len(a), len(a), settings)
            return a

        claimed = np.ones_like(z)
        call_kernel(kernels.backward, "float64", claimed, z, z, 1, len(z), len(z), settings)
        return compare(values, z, claimed, values(draw_points(0)))

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.label

    def __str__(self) -> str:
        return self.label

    def _make(self, *, move: bool) -> custom.Own[ActivationKernel]:
        return custom.activation(self.f, self.derivative, len(self.parameters), move=move)

    def _kernel(self) -> ActivationKernel:
        return self._own().kernel

    def _settings(self) -> dict[str, Any]:
        """What a checkpoint compares: functions are in no file."""
        return self._described()


def call_kernel(kernel: Any, dtype: str, *arguments: Any) -> None:
    """Call a kernel as the C function that it is; arrays and addresses become pointers."""
    function = kernel.ctypes(dtype)
    function(
        *(
            _pointer(argument, kind) if hasattr(kind, "contents") else argument
            for argument, kind in zip(arguments, function.argtypes, strict=True)
        )
    )


def _pointer(argument: Any, kind: Any) -> Any:
    address = argument.ctypes.data if isinstance(argument, np.ndarray) else argument
    return ctypes.cast(address, kind)


def compare(
    values: Callable[[Doubles], Doubles],
    at: Doubles,
    claimed: Doubles,
    drawn: Doubles,
    targets: Doubles | None = None,
) -> Comparison:
    """Compare the slopes claimed by a derivative with differences of its function.

    Parameters
    ----------
    values : callable
        The function, of an array of points.
    at, claimed : ndarray
        The points, and the derivative there.
    drawn : ndarray
        See below.
    targets : ndarray or None
        The target that belongs to each point, for the message.

    Notes
    -----
    `drawn` are values of f at numbers of ordinary size: where all others are small, as those of
    sqrt(1 + x²) - 1 for small x, rounding may still be that of what they are differences of.
    """
    here = values(at)
    finite = np.isfinite(here)
    if not finite.any():
        return Comparison(finite, finite, "")
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
        return Comparison(finite, compared, "")
    i = int(np.argmax(wrong))
    place = f"{at[i]:.6g}" + ("" if targets is None else f" for the target {targets[i]:.6g}")
    return Comparison(
        finite,
        compared,
        f"derivative gives {claimed[i]:.6g} at {place}, "
        f"where f's central difference is {found.slope[i]:.6g}",
    )


def require_right(name: str, found: Comparison) -> None:
    """Raise ValueError for a derivative that is wrong, or can't be told, at the drawn points."""
    if found.wrong:
        raise ValueError(f"{name}: {found.wrong}")
    if not found.finite.any():
        raise ValueError(f"{name}: f gives no finite value in [-4, 4]")
    if not found.compared.any():
        raise ValueError(
            f"{name}: f is too rough at every one of {len(found.finite)} points of [-4, 4] for its "
            "derivative to be compared with differences"
        )


def draw_points(seed: int) -> Doubles:
    """64 points of [-4, 4], always the same for a seed; those of seed 0 rise."""
    drawn = np.random.default_rng(seed).uniform(-4, 4, _POINTS)
    return drawn if seed else np.sort(drawn)
