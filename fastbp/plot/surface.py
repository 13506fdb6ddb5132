"""The loss landscape drawn: from above as contours, and in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib import patheffects as effects
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize, to_rgb
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from fastbp.checks import integer
from fastbp.plot import canvas
from fastbp.plot.descent import Descent
from fastbp.plot.landscape import LossLandscape


def loss_contours(
    landscape: LossLandscape,
    paths: Sequence[str] | None = None,
    *,
    levels: int = 18,
    log: bool | None = None,
    colorbar: bool = True,
    ax: Axes | None = None,
) -> Any:
    """Draw a loss landscape from above, with paths of descent: ○ is the start, × the end.

    Parameters
    ----------
    landscape : LossLandscape
        From `loss_landscape`.
    paths : sequence of str or None
        Labels of the optimizers to draw; None is all. With one each on axes of their own,
        optimizers stand side by side.
    levels : int
        Contours, at least 2.
    log : bool or None
        Whether the levels are spaced by the loss's logarithm; None decides by the values.
    colorbar : bool
        Whether there is a scale of the loss, beside the axes.
    ax : matplotlib.axes.Axes or None
        Where to draw; None is a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or those of the new figure.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    >>> X = np.linspace(-1, 1, 9)
    >>> seen = plot.loss_landscape(net, "mse", X, 2 * X + 1, ("w1", "b1.1"), fastbp.SGD(0.3))
    >>> ax = plot.loss_contours(seen, ["SGD"])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('w1', 'b1.1')
    """
    drawn = _checked(landscape, paths)
    canvas.check_axes(ax)
    levels = integer("levels", levels, minimum=2, maximum=1000)
    values = np.ma.masked_invalid(landscape.loss)
    log = _logarithmic(landscape, drawn, log)

    axes = canvas.axes(ax)
    low, high = _range(values, log)
    steps = np.geomspace(low, high, levels) if log else np.linspace(low, high, levels)
    norm = LogNorm(low, high) if log else Normalize(low, high)
    filled = axes.contourf(
        landscape.x, landscape.y, values, steps, cmap=_colours(axes), norm=norm, extend="both"
    )
    axes.contour(
        landscape.x, landscape.y, values, steps, colors=[canvas.foreground(axes)],
        linewidths=0.5, alpha=0.35,
    )  # fmt: skip
    for label, path in drawn.items():
        _draw(axes, landscape, label, path.points.T)
    axes.set(xlabel=landscape.labels[0], ylabel=landscape.labels[1])
    axes.set(xlim=landscape.x[[0, -1]], ylim=landscape.y[[0, -1]])
    if drawn:
        axes.legend(fontsize="small")
    if colorbar:
        bar = axes.get_figure().colorbar(filled, ax=axes, label=_title(landscape))
        marked = steps[:: max(1, levels // 6)]
        bar.set_ticks(marked, labels=[f"{value:.2g}" for value in marked])
        bar.minorticks_off()
    return axes


def loss_surface(
    landscape: LossLandscape,
    paths: Sequence[str] | None = None,
    *,
    log: bool = False,
    ax: Axes | None = None,
) -> Any:
    """Draw a loss landscape as a surface in three dimensions, with paths of descent.

    A path stands at its true losses: on the surface where only the two weights were trained, off it
    where a path is projected (`loss_landscape`). ○ is the start, × the end.

    Parameters
    ----------
    landscape : LossLandscape
        From `loss_landscape`.
    paths : sequence of str or None
        Labels of the optimizers to draw; None is all.
    log : bool
        Whether the loss's logarithm is drawn.
    ax : mpl_toolkits.mplot3d.axes3d.Axes3D or None
        Where to draw, with ``projection="3d"``; None is a new figure.

    Returns
    -------
    mpl_toolkits.mplot3d.axes3d.Axes3D
        `ax`, or those of the new figure.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    >>> X = np.linspace(-1, 1, 9)
    >>> seen = plot.loss_landscape(net, "mse", X, 2 * X + 1, ("w1", "b1.1"), fastbp.SGD(0.3))
    >>> ax = plot.loss_surface(seen, ["SGD"])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('w1', 'b1.1')
    """
    drawn = _checked(landscape, paths)
    canvas.check_axes(ax, "3d")
    log = _logarithmic(landscape, drawn, log)

    axes = canvas.axes(ax, "3d")
    if ax is None:
        axes.set_box_aspect(None, zoom=0.82)  # layouts leave labels out of account
        pane = (*to_rgb(canvas.foreground(axes)), 0.07)
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.set_pane_color(pane)
    axes.computed_zorder = False  # by its own order, a path would vanish in the surface
    values = np.ma.masked_invalid(landscape.loss)
    low, high = _range(values, log)
    height = _height(values.filled(np.nan), log)
    grid = np.meshgrid(landscape.x, landscape.y)
    most = max(grid[0].shape)
    axes.plot_surface(
        *grid, height, cmap="viridis", vmin=_height(low, log), vmax=_height(high, log),
        rcount=most, ccount=most, linewidth=0.2, antialiased=True,
        edgecolor=(*to_rgb(canvas.foreground(axes)), 0.25), zorder=1,
    )  # fmt: skip
    for label, path in drawn.items():
        x, y = path.points.T
        z = _height(path.loss, log)
        outside = (x < landscape.x[0]) | (x > landscape.x[-1])
        outside |= (y < landscape.y[0]) | (y > landscape.y[-1])
        z = np.where(outside, np.nan, z)  # nothing clips lines in three dimensions
        _draw(axes, landscape, label, (x, y, z), linewidth=2)
    axes.set_xlabel(landscape.labels[0], labelpad=8)
    axes.set_ylabel(landscape.labels[1], labelpad=8)
    axes.set_zlabel(_title(landscape), labelpad=6)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(5, integer=bool(log and axis is axes.zaxis)))
    if log:
        axes.zaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:.2g}"))
    if drawn:
        axes.legend(loc="upper left", fontsize="small")
    return axes


def _draw(axes: Any, landscape: LossLandscape, label: str, at: Any, **line: Any) -> None:
    """Draw a path with its start and end, at places in two or three dimensions."""
    index = list(landscape.paths).index(label)  # the same colour on every picture of the landscape
    behind = canvas.background(axes)
    style: dict[str, Any] = {
        "color": canvas.colour(axes, index),
        "path_effects": [effects.withStroke(linewidth=3.5, foreground=behind)],
    }
    axes.plot(*at, canvas.STYLES[index % 4], label=label, zorder=4, **line, **style)
    axes.plot(*(x[:1] for x in at), "o", markerfacecolor=behind, label="_start",
              color=canvas.foreground(axes), zorder=5)  # fmt: skip
    axes.plot(*(x[-1:] for x in at), "x", markeredgewidth=2.2, label="_end", zorder=6, **style)


def _checked(landscape: object, paths: Sequence[str] | None) -> dict[str, Descent]:
    """Check and give the paths that are to be drawn."""
    if not isinstance(landscape, LossLandscape):
        raise TypeError(
            f"landscape must be what loss_landscape returns, got {type(landscape).__name__}"
        )
    labels = list(landscape.paths) if paths is None else paths
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise TypeError(f"paths must be a list of labels or None, got {labels!r}")
    unknown = [label for label in labels if label not in landscape.paths]
    if unknown:
        raise ValueError(f"paths must be of {list(landscape.paths)}, got {unknown[0]!r}")
    return {label: landscape.paths[label] for label in labels}


def _logarithmic(landscape: LossLandscape, drawn: dict[str, Descent], log: bool | None) -> bool:
    if log is not None and not isinstance(log, bool):
        raise TypeError(f"log must be True, False or None, got {log!r}")
    every = np.concatenate([landscape.loss.ravel(), *(path.loss for path in drawn.values())])
    every = every[np.isfinite(every)]
    if log and not every.min() > 0:
        raise ValueError(f"log must be False where a loss is not above 0, got {every.min():g}")
    if log is None:
        return bool(every.min() > 0 and every.max() > canvas.LOG_RATIO * np.percentile(every, 1))
    return log


def _range(values: Any, log: bool) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if log:  # a point of the grid may hit a minimum at 1e-15: levels down to there would waste most
        low = float(np.percentile(values.compressed(), 1))
    if low == high:  # a flat landscape has a level, too
        low, high = (low / 1.1, high * 1.1) if log else (low - 0.5, high + 0.5)
    return low, high


def _height(values: Any, log: bool) -> Any:
    return np.log10(values) if log else values


def _title(landscape: LossLandscape) -> str:
    return landscape.loss_name.replace("_", " ")


def _colours(ax: Axes) -> Colormap:
    """Greys near the background, so that coloured paths stand out: the lowest is the nearest."""
    shades: NDArray[Any] = colormaps["Greys"](np.linspace(0.02, 0.45, 256))
    if canvas.is_dark(ax):
        shades = colormaps["Greys"](np.linspace(0.98, 0.55, 256))
    return ListedColormap(shades)
