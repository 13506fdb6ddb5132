"""Backpropagation's gradients against differences of the loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import panels
from fastbp.checks import integer
from fastbp.network import Network
from fastbp.trainer import Trainer

if TYPE_CHECKING:
    from fastbp.losses import Loss

# Of the second, shorter difference; at 64 bits its rounding and truncation errors are about 1e-10.
_STEP = 1e-5


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradients` has found; a table when printed.

    Attributes
    ----------
    errors : dict
        By parameter array, "W0", "b0", …: max|difference| / max|gradient| over what was checked.
    checked, skipped : dict
        How many parameters of each array were compared, and how many lie at a kink.
    loss : float
        Of the data, without penalties.
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
    loss: str | Loss,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    most: int = 200,
) -> GradientCheck:
    """Compare gradients with central differences, on a float64 copy of a network.

    Penalties, dropout and freezing are left out. A parameter lies at a kink, and is skipped, where
    the differences to its right and left don't come together by half as the step is halved, as
    they do for a loss with a second derivative.

    Parameters
    ----------
    network : Network
        Left as it is.
    loss, X, y, sample_weight
        As for `Trainer` and `Trainer.fit`; all samples are one batch.
    most : int
        Parameters of each array that are checked: all, or so many drawn at random (always the
        same). Each takes four evaluations of the loss.

    Returns
    -------
    GradientCheck

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
    copy = Network(network.n_inputs, layers, dtype="float64", seed=network.seed)
    copy.set_weights(network.get_weights())
    trainer = Trainer(copy, loss, batch_size=None, seed=0)
    here, gradients = trainer.gradients(X, y, sample_weight)
    if sample_weight is not None:  # evaluations are divided by the weights, gradients by the rows
        mean = float(np.mean(np.asarray(sample_weight, np.float64)))
        here, gradients = here / mean, [g / mean for g in gradients]
    weights = copy.get_weights()
    rng = np.random.default_rng(0)

    def moved(p: NDArray[Any], at: Any, by: float) -> float:
        kept = p[at]
        p[at] = kept + by
        copy.set_weights(weights)
        p[at] = kept
        return trainer.evaluate(X, y, sample_weight)["loss"]

    errors, checked, skipped = {}, {}, {}
    names = [name for name, _ in panels.shapes(copy)]
    for name, p, g in zip(names, weights, gradients, strict=True):
        places = np.arange(p.size)
        if p.size > most:
            places = np.sort(rng.choice(p.size, most, replace=False))
        worst, kinks = 0.0, 0
        for place in places:
            at = np.unravel_index(place, p.shape)
            far = [moved(p, at, by) for by in (2 * _STEP, -2 * _STEP)]
            near = [moved(p, at, by) for by in (_STEP, -_STEP)]
            bends = [abs(sum(e) - 2 * here) for e in (far, near)]
            noise = 1e-14 * max(1.0, abs(here))
            # of a smooth loss the bend is as the square of the step
            if abs(bends[1] - bends[0] / 4) > 0.05 * bends[0] + noise:
                kinks += 1
                continue
            worst = max(worst, abs((near[0] - near[1]) / (2 * _STEP) - g[at]))
        size = float(np.abs(g).max())
        errors[name] = float(worst / size if size else worst)
        checked[name], skipped[name] = len(places) - kinks, kinks
    return GradientCheck(errors, checked, skipped, here)
