"""Which class a classifier of two inputs tells, over the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from numpy.typing import ArrayLike, NDArray

from fastbp.checks import integer
from fastbp.data.inputs import ENCODE, features, numbers
from fastbp.layers.activations import name_of
from fastbp.layers.thresholds import usual_threshold
from fastbp.network import Network
from fastbp.plot import canvas

_MARGIN = 0.08  # beyond the samples, of their range


def decision_boundary(
    network: Network,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    resolution: int = 200,
    ax: Axes | None = None,
) -> Any:
    """Draw the regions of a classifier's classes, the boundaries between them, and samples.

    Parameters
    ----------
    network : Network
        Of two inputs, and one output, split where `Network.predict_classes` splits it, or several
        (softmax).
    X : array_like
        (n, 2): the samples, whose range the picture covers.
    y : array_like or None
        (n,): their class ids, or (n, k): probabilities, of which the largest counts. None draws no
        samples.
    classes : sequence of str or None
        What the classes are called.
    resolution : int
        Points of the grid each way, at least 2.
    ax : matplotlib.axes.Axes or None
        Where to draw; None is a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or those of the new figure.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind, shape or range.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(2, [fastbp.Dense(3, "softmax")], seed=0)
    >>> X = np.random.default_rng(0).normal(size=(20, 2))
    >>> plot.decision_boundary(net, X, net.predict_classes(X)).get_xlabel()
    'i1'
    """
    canvas.check_network(network)
    canvas.check_axes(ax)
    if network.n_inputs != 2:
        raise ValueError(f"network must have 2 inputs to be drawn, got {network.n_inputs}")
    resolution = integer("resolution", resolution, minimum=2, maximum=5000)
    network.predict(X)  # refuses what is no samples of this network
    samples = np.asarray(features(X, 2, "float64").array, np.float64).reshape(-1, 2)
    n_classes = max(2, network.n_outputs)
    ids = None if y is None else _class_ids(y, len(samples), n_classes)
    names = [f"class {k}" for k in range(n_classes)] if classes is None else list(classes)
    if len(names) != n_classes or isinstance(classes, str):
        raise ValueError(f"classes must hold {n_classes} names, got {classes!r}")

    low, high = samples.min(0), samples.max(0)
    margin = np.where(high > low, _MARGIN * (high - low), 1.0)
    xs, ys = (np.linspace(a, b, resolution) for a, b in zip(low - margin, high + margin))  # noqa: B905
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    told = network.predict_classes(grid).reshape(resolution, resolution)
    scores = network.predict(grid).reshape(resolution, resolution, -1)

    axes = canvas.axes(ax)
    shades = [canvas.colour(axes, k) for k in range(n_classes)]
    norm = BoundaryNorm(np.arange(n_classes + 1) - 0.5, n_classes)
    axes.pcolormesh(xs, ys, told, cmap=ListedColormap(shades), norm=norm, alpha=0.25,
                  shading="nearest", rasterized=True, zorder=0)  # fmt: skip
    for margins in _margins(network, scores, told):
        axes.contour(xs, ys, margins, [0.0], colors=[canvas.foreground(axes)], linewidths=1.2)
    if ids is not None:
        for k in range(n_classes):
            points, marker = samples[ids == k], canvas.MARKERS[k % len(canvas.MARKERS)]
            axes.scatter(
                points[:, 0], points[:, 1], s=22, c=shades[k], marker=marker, label=names[k],
                edgecolors=[canvas.background(axes)], linewidths=0.5,
            )  # fmt: skip
    else:
        for k in range(n_classes):
            axes.fill([], [], color=shades[k], alpha=0.25, label=names[k])
    axes.legend()
    axes.set(xlabel="i1", ylabel="i2", xlim=(xs[0], xs[-1]), ylim=(ys[0], ys[-1]))
    return axes


def _margins(network: Network, scores: NDArray[Any], told: NDArray[Any]) -> list[NDArray[Any]]:
    """For each class that is predicted somewhere, but not everywhere: above 0 where it is."""
    if scores.shape[-1] == 1:
        activation, middle = name_of(network.layers[-1].activation), network.class_threshold
        middle = usual_threshold(activation) if middle is None else middle
        return [scores[..., 0] - middle] if told.min() < told.max() else []
    found = []
    for k in np.unique(told):
        others = np.delete(scores, k, axis=-1).max(axis=-1)
        if (told != k).any():
            found.append(scores[..., k] - others)
    return found


def _class_ids(y: ArrayLike, n: int, n_classes: int) -> NDArray[np.int64]:
    ids = numbers(y, "y", ENCODE)
    if ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    elif ids.ndim == 2 and ids.shape[1] == n_classes:
        ids = ids.argmax(axis=1)
    if ids.shape != (n,):
        raise ValueError(f"y must have shape ({n},) or ({n}, {n_classes}), got {ids.shape}")
    if not np.isin(ids, np.arange(n_classes)).all():
        wrong = ids[~np.isin(ids, np.arange(n_classes))][0]
        raise ValueError(f"y must hold class ids from 0 to {n_classes - 1}, got {wrong}")
    return ids.astype(np.int64)
