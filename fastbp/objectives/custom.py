"""Losses of a person's own, and the check of all such derivatives at values of real data.

A derivative is compared with differences of its function twice: at some points of [-4, 4] when an
object is made, and at values that it really meets when a trainer first trains with it
(`compare_at`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Samples
from fastbp.kernels.functions import custom
from fastbp.kernels.functions.losses import LOSSES, LossKernel
from fastbp.layers.custom import (
    Comparison,
    CustomActivation,
    Doubles,
    call_kernel,
    compare,
    draw_points,
    require_right,
)
from fastbp.layers.dense import Dense
from fastbp.layers.functions import OfFunctions, Scalar
from fastbp.objectives.losses import Loss
from fastbp.values import dataclass

_ROWS, _VALUES = 256, 256


@dataclass(frozen=True)
class CustomLoss(OfFunctions[LossKernel], Loss):
    """``e = (1/k) sum_j f(p, t)``, for f and its derivative by p as scalar functions.

    Parameters
    ----------
    f, derivative : callable
        Of an output p and its target t; see `CustomActivation`.
    label : str
        For messages; none of fastbp's own.
    parameters : sequence of float
        Finite numbers that both functions take after p and t: with ``parameters=(c,)`` they are
        f(p, t, c) and derivative(p, t, c). Losses of equal code share machine code, whatever their
        parameters; see `CustomActivation`.

    Attributes
    ----------
    name : str
        The label.

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

    Of a parameter, compiled once for all three:

    >>> def scaled(p, t, c):
    ...     return c * (p - t) ** 2
    >>> def slope(p, t, c):
    ...     return 2 * c * (p - t)
    >>> losses = [fastbp.CustomLoss(scaled, slope, parameters=(c,)) for c in (0.5, 1.0, 2.0)]
    """

    f: Scalar
    derivative: Scalar
    label: str = "custom"
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self._check(LOSSES, "loss", ("p", "t"))
        self._compile(lambda kernel: (kernel.kernel,))
        require_right(self.name, self._compared(draw_points(0), draw_points(1)))

    def _compared(self, p: Doubles, t: Doubles) -> Comparison:
        """Compare the derivative with f's differences by p, at these outputs and targets."""
        kernel, settings = self._kernel.kernel, self._record("float64")

        def values(p: Doubles, t: Doubles = t) -> tuple[Doubles, Doubles]:
            n = len(p)
            w, d, e = np.ones(n), np.empty(n), np.empty(n)
            call_kernel(kernel, "float64", p, p, t, w, d, e, n, 1, 1, 1.0, settings)
            return e, d

        claimed, drawn = values(p)[1], values(draw_points(0), draw_points(1))[0]
        return compare(lambda p: values(p)[0], p, claimed, drawn, t)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.label

    @property
    def _kernel(self) -> LossKernel:
        return self._own().kernel

    def _make(self, *, move: bool) -> custom.Own[LossKernel]:
        return custom.loss(self.f, self.derivative, len(self.parameters), move=move)


def compare_at(
    layers: Sequence[Dense],
    dtype: str,
    loss: Loss,
    samples: Samples,
    activations: Callable[[NDArray[Any]], list[NDArray[Any]]],
    get_weights: Callable[[], list[NDArray[Any]]],
) -> None:
    """Compare the derivatives of custom functions at values that these samples give.

    Parameters
    ----------
    layers, dtype : sequence of Dense, str
        Of the network.
    loss : Loss
    samples : Samples
        Inputs, targets and sample weights.
    activations, get_weights : callable
        `Network.activations` and `Network.get_weights`, which are called only where one of these
        functions is a person's own.

    Raises
    ------
    ValueError
        A derivative is wrong there; nothing has changed.
    """
    own = [i for i, layer in enumerate(layers) if isinstance(layer.activation, CustomActivation)]
    if not (own or isinstance(loss, CustomLoss)):
        return
    rows = _rows(samples)
    X = np.asarray(samples[0].array)[rows].reshape(len(rows), -1).astype(dtype)
    there = np.isfinite(X).all(axis=1)  # memory maps are checked as they are read
    rows, X = rows[there], X[there]
    if not len(rows):
        return
    outputs: list[NDArray[Any]] = [X, *activations(X)]
    for i in own:
        activation: Any = layers[i].activation
        z = _spread(np.unique(_sums(layers, get_weights(), i, outputs[i])), _VALUES)
        wrong = activation._compared(z).wrong
        if wrong:
            raise ValueError(f"layers[{i}], {activation.name}, at a weighted sum of X's: {wrong}")
    if isinstance(loss, CustomLoss):
        p = outputs[-2].astype(np.float64).ravel()
        t = np.asarray(samples[1].array)[rows].astype(np.float64).ravel()
        p, t = p[np.isfinite(t)], t[np.isfinite(t)]
        half = _VALUES // 2
        chosen = [_spread(np.argsort(x, kind="stable"), half) for x in (p, p - t)]
        places = np.unique(np.concatenate(chosen))
        wrong = loss._compared(p[places], t[places]).wrong
        if wrong:
            raise ValueError(f"{loss.name}, at an output and target of X and y: {wrong}")


def _rows(samples: Samples) -> NDArray[np.int64]:
    """The numbers of at most 256 rows of weight above 0, evenly spread over the samples."""
    x, _, weights = samples
    if weights is None:
        return _spread(range(x.n), _ROWS)
    return _spread(np.flatnonzero(np.asarray(weights.array[: x.n]) > 0), _ROWS)


def _spread(values: Sequence[int] | NDArray[Any], most: int) -> NDArray[Any]:
    """At most `most` of these values, evenly spread, the first and the last included."""
    n = len(values)
    places = range(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)
    return np.array([values[i] for i in places])


def _sums(
    layers: Sequence[Dense], weights: Sequence[NDArray[Any]], layer: int, below: NDArray[Any]
) -> Doubles:
    """A layer's weighted sums, from the outputs of the layer below it."""
    first = sum(2 if dense.bias else 1 for dense in layers[:layer])
    arrays = [a.astype(np.float64) for a in weights[first : first + 2]]
    z = below.astype(np.float64) @ arrays[0]
    return (z + arrays[1] if layers[layer].bias else z).ravel()
