"""The loss over a plane of the parameters, and paths of descent on it, as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.checks import choice, integer, real
from fastbp.network import Network
from fastbp.objectives.losses import LossLike
from fastbp.plot import canvas, planes
from fastbp.plot.descent import (
    Descent,
    Optimizers,
    Probe,
    check_chosen,
    descend,
    flat,
    named,
    shaped,
)

Vector = NDArray[np.float64]
_MARGIN = 0.15  # beyond the paths, of their range
_HIGHEST = 10.0  # times the loss at the start: what goes higher diverges, and is not shown
_LEAST = 0.25  # of the wider range: the other is at least so wide


@dataclass(frozen=True)
class LossLandscape:
    """What `loss_landscape` has found, for `loss_contours` and `loss_surface`.

    Attributes
    ----------
    x : ndarray of float64
        (resolution,): the grid's coordinates. Over two weights they are the first one's values.
    y : ndarray of float64
        (resolution,): likewise, of the second one.
    loss : ndarray of float64
        (resolution, resolution): ``loss[i, j]`` is that at ``x[j], y[i]``.
    labels : (str, str)
        Of x and y.
    paths : dict of str to Descent
        By the optimizers' labels.
    loss_name : str
        As `Trainer` takes it.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    >>> X = np.linspace(-1, 1, 9)
    >>> seen = plot.loss_landscape(net, "mse", X, 2 * X + 1, ("w1", "b1.1"), fastbp.SGD(0.3))
    >>> seen.labels, seen.loss.shape, list(seen.paths)
    (('w1', 'b1.1'), (41, 41), ['SGD'])
    """

    x: Vector
    y: Vector
    loss: Vector
    labels: tuple[str, str]
    paths: dict[str, Descent]
    loss_name: str
    _plane: planes.Plane = field(repr=False)
    _network: Network = field(repr=False)

    def weights_at(self, x: float, y: float) -> list[NDArray[Any]]:
        """The weights at a point of the plane.

        Parameters
        ----------
        x : float
            The point's first coordinate.
        y : float
            Its second one.

        Returns
        -------
        list of ndarray of float64
            As `Network.set_weights` takes them.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> from fastbp import plot
        >>> net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
        >>> X = np.linspace(-1, 1, 9)
        >>> seen = plot.loss_landscape(net, "mse", X, 2 * X + 1, ("w1", "b1.1"), fastbp.SGD(0.3))
        >>> [w.tolist() for w in seen.weights_at(2.0, 1.0)]
        [[[2.0]], [1.0]]
        """
        return shaped(self._network, self._plane.at(float(x), float(y)))


def loss_landscape(
    network: Network,
    loss: LossLike,
    X: ArrayLike,
    y: ArrayLike,
    along: str | Sequence[Any],
    optimizers: Optimizers = (),
    *,
    start: Sequence[ArrayLike] | Mapping[Any, float] | None = None,
    train: str | None = None,
    epochs: int = 100,
    batch_size: int | None = None,
    through: str | None = None,
    extent: tuple[tuple[float, float], tuple[float, float]] | None = None,
    resolution: int = 41,
    sample_weight: ArrayLike | None = None,
    seed: int = 0,
) -> LossLandscape:
    """Work out the loss over two weights or directions, and how optimizers go down from a start.

    Copies are trained and evaluated by the library's own kernels; the network stays as it is. The
    loss is that of all samples, without penalties (`Dense(l1=, l2=)`) and dropout.

    Over two weights all other parameters stay as they are at the start. With ``train="chosen"``
    they do so in training, too, and the paths lie on the surface. With ``train="all"``, and over
    directions, all parameters move: a path is then projected on the plane (to the nearest point),
    and its losses are the true ones, which the surface need not have there.

    Parameters
    ----------
    network : Network
        Left as it is.
    loss : str or Loss
        As for `Trainer`.
    X : array_like
        As for `Trainer.fit`.
    y : array_like
        As for `Trainer.fit`.
    along : (weight, weight), "pca", "random", or (direction, direction)
        Two weights or biases, each by its name in the trace ("w1", "b1.2") or as ``(layer, source,
        unit)``, from 0; the two principal components of all paths' points; random directions,
        filter-normalised; both as in Li et al. 2018, "Visualizing the loss landscape of neural
        nets"; or two lists of arrays shaped as `Network.get_weights`.
    optimizers : str, Optimizer, sequence of them, or mapping of labels to them
        Each trains a copy from the same start.
    start : sequence of array_like, mapping or None
        All weights to start from; or values of some, such as ``{"w1": 4, "w5": -2}``; None is the
        network's own.
    train : {"chosen", "all"} or None
        Whether training moves the two weights alone. None is "chosen" over two weights, "all" over
        directions. "chosen" is not for "lbfgs" and "levenberg_marquardt".
    epochs : int
        Of each optimizer; the weights are kept after each.
    batch_size : int or None
        As for `Trainer`; None is the whole set, one update an epoch.
    through : {"start", "end"} or None
        Which point the plane goes through: the start, or the end of the first optimizer's path.
        None is "start" over two weights, "end" over directions.
    extent : ((x_low, x_high), (y_low, y_high)) or None
        What the grid covers; None is the paths with a margin, or 1 (over weights 4) either way.
    resolution : int
        Points of the grid each way, 2 ... 1000. Each costs an evaluation of all samples.
    sample_weight : array_like or None
        As for `Trainer.fit`.
    seed : int
        Of shuffling and of random directions.

    Returns
    -------
    LossLandscape
        For `loss_contours` and `loss_surface`.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind, shape or range, or the loss is finite nowhere.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    >>> X = np.linspace(-1, 1, 9)
    >>> seen = plot.loss_landscape(net, "mse", X, 2 * X + 1, ("w1", "b1.1"), fastbp.SGD(0.3))
    >>> seen.paths["SGD"].points[-1].round(3).tolist()
    [2.0, 1.0]
    """
    canvas.check_network(network)
    epochs = integer("epochs", epochs, minimum=1)
    resolution = integer("resolution", resolution, minimum=2, maximum=1000)
    seed = integer("seed", seed, minimum=0)
    batch_size = integer("batch_size", batch_size, minimum=1, none=True)
    found = _checked_extent(extent)
    chosen = directions = labels = None
    kind = along if isinstance(along, str) else ""
    if kind:
        choice("along", kind, ["pca", "random"])
    elif not isinstance(along, Sequence) or len(along) != 2:
        raise ValueError(
            f'along must be two weights or directions, "pca" or "random", got {along!r}'
        )
    elif isinstance(along[0], (str, tuple)):
        places = [planes.find(network, weight) for weight in along]
        chosen, labels = [place for place, _ in places], (places[0][1], places[1][1])
        if chosen[0] == chosen[1]:
            raise ValueError(f"along must be two different weights, got {labels[0]} twice")
    else:
        directions = planes.own_directions(network, along)
    kinds = ["chosen", "all"] if chosen else ["all"]
    train = choice("train", kinds[0] if train is None else train, kinds)
    sides = ["start", "end"] if chosen else ["end", "start"]
    through = choice("through", sides[0] if through is None else through, sides)
    optimizers = named(optimizers)
    if kind == "pca" and not optimizers:
        raise ValueError('optimizers must be given for along="pca", got none')
    if train == "chosen":
        check_chosen(optimizers, batch_size)
    begin = planes.starting_weights(network, start)
    probe = Probe(network, loss, X, y, sample_weight)

    moving = chosen if train == "chosen" else None
    paths = {
        label: descend(probe, one, begin, epochs, batch_size, moving, seed)
        for label, one in optimizers.items()
    }
    origin = flat(begin)
    if through == "end" and paths:
        origin = next(iter(paths.values())).weights[-1].astype(np.float64)
    if chosen is not None and labels is not None:
        plane = planes.of_weights(origin, chosen, labels)
    elif directions is not None:
        plane = planes.of_directions(origin, directions, ("direction 1", "direction 2"))
    elif kind == "pca":
        plane = planes.of_trajectory(origin, np.concatenate([p.weights for p in paths.values()]))
    else:
        plane = planes.of_random(network, origin, seed)
    paths = {
        label: replace(path, points=plane.project(path.weights)) for label, path in paths.items()
    }
    if found is None:
        middle = plane.project(origin[None])
        shown = [p.points[p.loss <= _HIGHEST * p.loss[0]] for p in paths.values()]
        found = _extent([middle, *shown], 4.0 if chosen else 1.0)
    xs, ys = (np.linspace(low, high, resolution) for low, high in found)
    values = np.array([[probe(plane.at(float(a), float(b))) for a in xs] for b in ys])
    if not np.isfinite(values).any():
        raise ValueError("extent must have a finite loss somewhere, got none")
    return LossLandscape(
        xs, ys, values, plane.labels, paths, probe.trainer.loss.name, plane, probe.network
    )


def _checked_extent(extent: Any) -> list[tuple[float, float]] | None:
    if extent is None:
        return None
    try:
        pairs = [(low, high) for low, high in extent]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != 2:
        raise TypeError(f"extent must be ((x_low, x_high), (y_low, y_high)), got {extent!r}")
    found = []
    for name, (left, right) in zip(("x", "y"), pairs, strict=True):
        low = real(f"extent's {name}_low", left)
        found.append((low, real(f"extent's {name}_high", right, low=low, low_open=True)))
    return found


def _extent(points: list[Vector], alone: float) -> list[tuple[float, float]]:
    """The coordinates to show: all points with a margin, or `alone` either way of a single one."""
    every = np.concatenate(points)
    low, high = every.min(axis=0), every.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    if half.max() == 0:
        half[:] = alone
    half = np.maximum(half, _LEAST * half.max()) * (1 + 2 * _MARGIN)
    return [(float(m - h), float(m + h)) for m, h in zip(middle, half, strict=True)]
