"""Activation functions and their derivatives, as the kernels work them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fastbp.checks import real
from fastbp.layers.activations import Activation, ActivationLike, checked, name_of
from fastbp.layers.dense import Dense
from fastbp.network import Network
from fastbp.plot import canvas

_POINTS = 601


def activation_functions(
    activations: ActivationLike | Sequence[ActivationLike] = ("sigmoid", "tanh", "relu"),
    *,
    derivatives: bool = True,
    z_range: tuple[float, float] = (-5.0, 5.0),
    ax: Axes | None = None,
) -> Any:
    """Draw activation functions f(z) and, dashed, their derivatives f'(z).

    The curves are outputs and input gradients of networks of one unit with weight 1, in float64.

    Parameters
    ----------
    activations : str, Activation, or a sequence of them
        By name, or objects such as ``fastbp.LeakyReLU(0.1)``.
    derivatives : bool
        Whether f' is drawn too.
    z_range : (float, float)
        The first and the last z.
    ax : matplotlib.axes.Axes or None
        Where to draw; None is a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One solid line an activation, each followed by its dashed one.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range; "softmax" is refused, it is no function of one z.

    Examples
    --------
    >>> from fastbp import plot
    >>> ax = plot.activation_functions("relu", z_range=(-1, 1))
    >>> [line.get_label() for line in ax.lines[:2]]
    ['relu', 'relu, derivative']
    """
    canvas.check_axes(ax)
    if not isinstance(derivatives, bool):
        raise TypeError(f"derivatives must be True or False, got {derivatives!r}")
    given = [activations] if isinstance(activations, (str, Activation)) else list(activations)
    if not given:
        raise ValueError("activations must name at least one activation, got none")
    kinds = [checked(kind) for kind in given]
    if "softmax" in kinds:
        raise ValueError("activations can't hold 'softmax': it is a function of a whole layer's z")
    try:
        first, last = z_range
    except (TypeError, ValueError):
        raise TypeError(f"z_range must be a pair of numbers, got {z_range!r}") from None
    low = real("z_range[0]", first)
    high = real("z_range[1]", last, low=low, low_open=True)
    z = np.linspace(low, high, _POINTS)
    curves = [_curve(kind, z) for kind in kinds]

    axes = canvas.axes(ax)
    handles: list[Line2D] = []
    for index, (kind, (f, slope)) in enumerate(zip(kinds, curves, strict=True)):
        shade = canvas.colour(axes, index)
        label = kind if isinstance(kind, str) else _label(kind)
        handles += axes.plot(z, f, color=shade, label=label)
        if derivatives:
            axes.plot(z, slope, "--", color=shade, label=f"{label}, derivative")
    frame = {"color": canvas.foreground(axes), "alpha": 0.4, "linewidth": 0.8, "zorder": 0}
    axes.axhline(0, label="_zero", **frame)
    axes.axvline(0, label="_zero", **frame)
    axes.set(xlabel="z", ylabel="f(z), f′(z)" if derivatives else "f(z)", xlim=(low, high))
    # one entry an activation, and one that tells what the dashed lines are
    if derivatives:
        fore = canvas.foreground(axes)
        handles.append(Line2D([], [], color=fore, linestyle="--", label="derivative"))
    axes.legend(handles=handles)
    return axes


def _label(kind: Activation) -> str:
    """How an activation is called in the legend, such as LeakyReLU(negative_slope=0.1)."""
    text = repr(kind)
    return text if len(text) <= 40 else name_of(kind)


def _curve(kind: ActivationLike, z: Any) -> tuple[Any, Any]:
    """f and f' at z, by the library's own kernels."""
    unit = Network(1, [Dense(1, kind)], dtype="float64", seed=0)
    unit.set_weights([[[1.0]], [0.0]])
    _, slope = unit.vjp(z[:, None], np.ones((len(z), 1)))
    return unit.predict(z[:, None])[:, 0], slope[:, 0]
