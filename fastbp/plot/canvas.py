"""Axes to draw on, and colours that can be told apart on their background by everybody."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba

from fastbp.network import Network

# From Okabe & Ito's blue and orange (2008) on: moved until each pair is 19 or more apart in CIELAB
# with every kind of colour vision, and 3:1 from the background; a test holds most of it.
_ON_LIGHT = ("#0072B2", "#C44E00", "#005A3E", "#851A6D", "#523900", "#808080", "#2E28B8")
_ON_DARK = ("#56B4E9", "#F0A030", "#20F090", "#F25F92", "#FFF54F", "#C8E8D8", "#A070FF")

#: beside colours, so that lines and points can be told apart without
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", "--", "-.", ":")

#: where the largest value is so many times the least, its logarithm is drawn
LOG_RATIO = 30.0


def check_axes(ax: object, projection: str = "rectilinear") -> None:
    """Raise unless `ax` is axes that can be drawn on, or None."""
    if ax is None:
        return
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib axes or None, got {type(ax).__name__}")
    if ax.name != projection:
        raise ValueError(f'ax must have the projection "{projection}", got "{ax.name}"')


def check_network(network: object) -> None:
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastbp.Network, got {type(network).__name__}")


def axes(ax: Axes | None, projection: str = "rectilinear") -> Any:
    """`ax`, or those of a new figure."""
    if ax is not None:
        return ax
    _, made = plt.subplots(subplot_kw={"projection": projection}, layout="constrained")
    return made


def luminance(colour: Any) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def background(ax: Axes) -> Any:
    """What is behind the axes' lines: a see-through patch shows the figure's."""
    face = ax.get_facecolor()
    if to_rgba(face)[3] >= 0.5:
        return face
    figure = ax.get_figure()
    behind = figure.get_facecolor() if figure is not None else "white"
    return behind if to_rgba(behind)[3] >= 0.5 else "white"


def is_dark(ax: Axes) -> bool:
    return luminance(background(ax)) < 0.18  # where white and black stand out alike


def foreground(ax: Axes) -> Any:
    """The colour of the axes' own labels, which is that of the style they were made in."""
    return ax.xaxis.label.get_color()


def palette(ax: Axes) -> tuple[str, ...]:
    """Seven colours for lines and points."""
    return _ON_DARK if is_dark(ax) else _ON_LIGHT


def colour(ax: Axes, index: int) -> str:
    colours = palette(ax)
    return colours[index % len(colours)]
