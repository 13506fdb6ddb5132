"""Backpropagation's gradients against differences of the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.checks import integer
from fastbp.layers.dense import shapes
from fastbp.layers.differences import EPSILON, slopes
from fastbp.network import Network, copy_with, parameters_of
from fastbp.objectives.losses import LossLike
from fastbp.training import arguments
from fastbp.training.engine import Engine
from fastbp.training.settings import Settings
from fastbp.version import named_by

# The first step: so much a change of a unit's weighted sum, of which the largest is 1 or less.
_STEP = 1e-3
# An error of this size may be rounding's: where the loss is large beside a gradient, errors are
# shares of the gradient that would be seen to so many digits.
_SEEN = 1e-6
_PROBES = 9  # evaluations that tell the loss's rounding
_ROWS = 4096  # of the samples, from which the steps are chosen


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradients` has found; a table when printed.

    Attributes
    ----------
    errors : dict of str to float
        By parameter array, "W0", "b0", …: max|difference| / max|gradient| over what was checked.
        Where the loss is so large beside the gradient that its rounding would be an error above
        1e-6, a difference is divided by what makes that 1e-6 instead: rounding alone is no error.
    checked : dict of str to int
        How many parameters of each array were compared.
    skipped : dict of str to int
        How many of each array lie at a kink.
    loss : float
        Of the data, without penalties.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=0)
    >>> check = fastbp.check_gradients(net, "mse", np.eye(2), [0.0, 1.0])
    >>> check.checked
    {'W0': 6, 'b0': 3, 'W1': 3, 'b1': 1}
    """

    errors: dict[str, float]
    checked: dict[str, int]
    skipped: dict[str, int]
    loss: float

    @property
    def worst(self) -> float:
        """The largest of all errors."""
        return max(self.errors.values())

    def __str__(self) -> str:
        rows = [("array", "checked", "at kinks", "error")]
        for name, error in self.errors.items():
            counts = f"{self.checked[name]:,}", f"{self.skipped[name]:,}"
            rows.append((name, *counts, f"{error:.2e}"))
        widths = [max(len(row[c]) for row in rows) for c in range(4)]
        return "\n".join(
            "  ".join(x.rjust(w) for x, w in zip(row, widths, strict=True)) for row in rows
        )


def check_gradients(
    network: Network,
    loss: LossLike,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    most: int = 200,
) -> GradientCheck:
    """Compare gradients with central differences, on a float64 copy of a network.

    Penalties, dropout and freezing are left out. Each parameter's step is found by itself: the
    first changes the weighted sum that it is part of by 1e-3 of that sum's size, or of 1 (more
    where the loss is large beside the gradient), and shorter ones follow until the difference is
    the gradient, or rounding could hide that it is another. A parameter lies at a kink, and is
    skipped, where the differences to its right and left don't come together by half as the step is
    halved, whatever the step, as they do for a loss with a second derivative.

    Parameters
    ----------
    network : Network
        Left as it is.
    loss : str or Loss
        As for `Trainer`.
    X : array_like
        As for `Trainer.fit`; all samples are one batch.
    y : array_like
        As for `Trainer.fit`.
    sample_weight : array_like or None
        As for `Trainer.fit`.
    most : int
        Parameters of each array that are checked: all, or so many drawn at random (always the
        same). Each takes four evaluations of the loss, and four more for each shorter step.

    Returns
    -------
    GradientCheck
        A table when printed.

    Raises
    ------
    TypeError, ValueError
        As `Trainer` and `Trainer.fit`.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network(2, [fastbp.Dense(3, "relu"), fastbp.Dense(1)], seed=0)
    >>> check = fastbp.check_gradients(net, "mse", np.eye(2), [0.0, 1.0])
    >>> check.worst < 1e-6
    True
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastbp.Network, got {type(network).__name__}")
    integer("most", most, minimum=1)
    plain = {"dropout": 0.0, "l1": 0.0, "l2": 0.0, "max_norm": None, "trainable": True}
    layers = [replace(layer, **plain) for layer in network.layers]  # type: ignore[arg-type]
    copy = copy_with(network, layers, "float64")
    # No trainer, which would refuse a custom derivative that is wrong: that is for the table.
    parameters = parameters_of(copy)
    settings = Settings.of(copy.layers[-1], loss, "sgd", (), batch_size=None, seed=0)
    engine = Engine(parameters, settings)
    samples = arguments.samples(parameters, settings, X, y, sample_weight)
    if samples[2] is not None:  # of mean 1: then a sum over samples and a mean are the same
        given = np.asarray(samples[2].array, np.float64)
        samples = arguments.samples(parameters, settings, X, y, given / given.mean())
    loss_here, gradients = engine.gradients(samples)
    weights = copy.get_weights()

    def evaluated() -> float:
        copy.set_weights(weights)
        return engine.evaluate(samples)["loss"]

    noise = _noise(evaluated, weights)
    rng = np.random.default_rng(0)
    errors, checked, skipped = {}, {}, {}
    names = [name for name, _ in shapes(copy.n_inputs, copy.layers)]
    steps = _steps(copy, np.asarray(samples[0].array))
    for name, p, g, first in zip(names, weights, gradients, steps, strict=True):
        places = np.arange(p.size)
        if p.size > most:
            places = np.sort(rng.choice(p.size, most, replace=False))
        size, worst, kinks = float(np.abs(g).max()), 0.0, 0
        for place in places:
            at = np.unravel_index(place, p.shape)
            kept = p[at].copy()

            def along(x: NDArray[np.float64]) -> NDArray[np.float64]:
                p[at] = x[0]  # noqa: B023
                return np.array([evaluated()])

            step = first[at] * _longer(noise, size * first[at])
            at_kept, claimed, tolerance = (np.array([x]) for x in (kept, g[at], 0.1 * _SEEN * size))
            found = slopes(along, at_kept, claimed, np.array([step]), noise, tolerance)
            p[at] = kept
            if np.isnan(found.slope[0]):
                kinks += 1
                continue
            off = float(abs(found.slope[0] - claimed[0]))
            whole = max(size, 2.0 * float(found.doubt[0]) / _SEEN)
            worst = max(worst, off / whole if whole else off)
        errors[name] = worst
        checked[name], skipped[name] = len(places) - kinks, kinks
    return GradientCheck(errors, checked, skipped, loss_here)


def _noise(evaluated: Callable[[], float], weights: list[NDArray[Any]]) -> float:
    """What rounding does to the loss, about: of its own sums, and of the sums below it."""
    kept = [p.copy() for p in weights]
    values = []
    for i in range(_PROBES):  # so near to each other that the loss is a straight line
        for p, q in zip(weights, kept, strict=True):
            p[...] = q * (1.0 + i * 2.0 * EPSILON)
        values.append(evaluated())
    for p, q in zip(weights, kept, strict=True):
        p[...] = q
    places = np.arange(_PROBES) - (_PROBES - 1) / 2
    off = np.array(values) - np.mean(values)
    off -= places * (places @ off) / (places @ places)
    return max(EPSILON * abs(values[0]), 3.0 * float(np.abs(off).max()))


def _longer(noise: float, gain: float) -> float:
    """How many times the first step where rounding is much of what a step gains.

    The step's own error is as its fourth power, rounding's as its inverse.
    """
    usual = EPSILON / _STEP
    return float(np.clip((noise / (usual * gain)) ** 0.2, 1.0, 100.0)) if gain else 1.0


def _steps(network: Network, X: NDArray[Any]) -> list[NDArray[np.float64]]:
    """The first step of every parameter, shaped as `Network.get_weights`."""
    rows = X[:: -(-len(X) // _ROWS)]
    below = rows.reshape(len(rows), -1).astype(np.float64)
    arrays, found = iter(network.get_weights()), []
    for dense, above in zip(network.layers, network.activations(rows), strict=False):
        w = next(arrays)
        b = next(arrays) if dense.bias else None
        z = below @ w if b is None else below @ w + b
        size = _STEP * np.maximum(1.0, np.abs(z).max(axis=0))
        reach = np.abs(below).max(axis=0)
        found.append(size / np.where(reach > 0.0, reach, 1.0)[:, None])
        if b is not None:
            found.append(size if len(b) == len(size) else size.min(keepdims=True))
        below = above
    return found


named_by("fastbp", [GradientCheck])
