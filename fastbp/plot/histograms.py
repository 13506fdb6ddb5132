"""Histograms of weights and of activations, a row a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from fastbp.checks import integer
from fastbp.layers.activations import name_of
from fastbp.network import Network
from fastbp.plot import canvas

_TALLEST = 0.85  # of a row's height


def weight_histograms(network: Network, *, bins: int = 50, ax: Axes | None = None) -> Any:
    """Draw how the weights of each layer are spread; biases are not counted.

    Parameters
    ----------
    network : Network
        Left as it is.
    bins : int
        Of the range that all weights have together.
    ax : matplotlib.axes.Axes or None
        Where to draw; None is a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One row a layer, the first at the top; each is as tall as its fullest bin. Beside it stand
        mean and standard deviation.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(4, [fastbp.Dense(8, "relu"), fastbp.Dense(1)], seed=0)
    >>> plot.weight_histograms(net).get_xlabel()
    'weight'
    """
    canvas.check_network(network)
    canvas.check_axes(ax)
    bins = integer("bins", bins, minimum=1, maximum=10_000)
    values = [w.ravel() for w in network.get_weights() if w.ndim == 2]
    notes = [_note(w) for w in values]
    return _rows(network, values, notes, bins, "weight", ax)


def activation_histograms(
    network: Network, X: ArrayLike, *, bins: int = 50, ax: Axes | None = None
) -> Any:
    """Draw how the outputs of each layer's units are spread over samples.

    Saturated sigmoids stand at their ends, dead relu units at 0.

    Parameters
    ----------
    network : Network
        Left as it is.
    X : array_like
        Samples, as for `Network.predict`: (n, n_inputs).
    bins : int
        Of the range that all outputs have together.
    ax : matplotlib.axes.Axes or None
        Where to draw; None is a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One row a layer, the first at the top; each is as tall as its fullest bin. Beside it stand
        mean, standard deviation and, where more than 1 % are exactly 0, how many.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(4, [fastbp.Dense(8, "relu"), fastbp.Dense(1)], seed=0)
    >>> plot.activation_histograms(net, np.ones((10, 4))).get_xlabel()
    "unit's output"
    """
    canvas.check_network(network)
    canvas.check_axes(ax)
    bins = integer("bins", bins, minimum=1, maximum=10_000)
    values = [a.ravel() for a in network.activations(X)[:-1]]
    notes = [_note(a, zeros=True) for a in values]
    return _rows(network, values, notes, bins, "unit's output", ax)


def _rows(
    network: Network,
    values: list[NDArray[Any]],
    notes: list[list[str]],
    bins: int,
    label: str,
    ax: Axes | None,
) -> Any:
    edges = np.histogram_bin_edges(np.concatenate(values).astype(np.float64), bins)
    counts = [np.histogram(row, edges)[0] for row in values]
    depth = len(values)
    axes = canvas.axes(ax)
    row_height = axes.get_window_extent().height * 72 / axes.get_figure().dpi / depth  # points
    base_size = float(rcParams["font.size"])
    size = min(base_size, 0.7 * row_height)
    join = "\n" if row_height > 3.6 * base_size else ", "  # where three lines fit
    for index, row in enumerate(counts):
        base = depth - 1 - index
        heights = base + _TALLEST * row / max(1, row.max())
        shade = canvas.colour(axes, index)
        axes.stairs(heights, edges, baseline=base, fill=True, color=shade, alpha=0.75)
        axes.text(
            1.01, base + 0.4, join.join(notes[index]), va="center", fontsize=0.83 * size,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
    kinds = [f"hidden {i + 1}" for i in range(depth - 1)] + ["output"]
    names = [name_of(layer.activation) for layer in network.layers]
    labels = [f"{kind}{join}{name}" for kind, name in zip(kinds, names, strict=True)]
    axes.set_yticks([depth - 1 - i + 0.4 for i in range(depth)], labels, fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=label, ylim=(0, depth))
    axes.grid(axis="x", alpha=0.25)
    return axes


def _note(values: NDArray[Any], zeros: bool = False) -> list[str]:
    share = float(np.mean(values == 0))
    found = [f"mean {_short(values.mean())}", f"sd {_short(values.std())}"]
    return [*found, f"{share:.0%} are 0"] if zeros and share > 0.01 else found


def _short(value: float) -> str:
    return f"{float(value):.2g}".replace("-", "−")
