"""The network drawn: units in columns, weights as lines between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from fastbp.checks import integer
from fastbp.network import Network
from fastbp.plot import canvas
from fastbp.plot.columns import Columns

_LABELLED = 12  # weights between two levels that may have a label each
_DASHES = (0, (4.0, 2.0))
# Along a line, where its label may stand: near the source lines part, near the middle they cross.
_PLACES = (0.3, 0.36, 0.24, 0.42, 0.64, 0.7, 0.58, 0.76, 0.5)
_SMALLEST = 5.0  # points of a letter that can be read
_ROW = 26.0  # points from one unit to the next, of layers that are not drawn whole


def network(
    network: Network,
    *,
    values: bool = False,
    most_units: int = 8,
    ax: Axes | None = None,
) -> Any:
    """Draw a network: units, weights and biases, by their names in the trace.

    Lines are as wide as weights are large (beside the largest that is drawn), solid and blue where
    positive, dashed and orange where negative. Of layers, and of networks, that are too large the
    first and the last units and layers are drawn, and how many are left out is told.

    Parameters
    ----------
    network : Network
        Left as it is.
    values : bool
        Whether weights and biases stand beside their names. Layers of more than 12 weights have no
        names, and there are none where they would not fit.
    most_units : int
        Units of a layer that are drawn at most, 3 or more.
    ax : matplotlib.axes.Axes or None
        Where to draw; None is a new figure. Circles and letters are sized for the size that it has
        now.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import plot
    >>> net = fastbp.Network(2, [fastbp.Dense(2, "tanh"), fastbp.Dense(1)], seed=0)
    >>> names = {text.get_text() for text in plot.network(net).texts}
    >>> {"i1", "i2", "h1", "h2", "o1", "w1", "w6", "b1.2"} <= names
    True
    """
    canvas.check_network(network)
    canvas.check_axes(ax)
    if not isinstance(values, bool):
        raise TypeError(f"values must be True or False, got {values!r}")
    most_units = integer("most_units", most_units, minimum=3, maximum=1000)
    axes = canvas.axes(ax)
    _Drawing(network, values, most_units, axes).draw()
    return axes


class _Drawing:
    """What is drawn so far, and the size that it takes. Sizes are in points."""

    def __init__(self, network: Network, values: bool, most_units: int, ax: Any) -> None:
        self.values, self.ax = values, ax
        arrays = iter(network.get_weights())
        self.weights: list[Any] = []
        self.biases: list[Any] = []
        for layer in network.layers:
            self.weights.append(next(arrays))
            self.biases.append(next(arrays) if layer.bias else None)
        self.taken: list[Bbox] = []

        ax.set_axis_off()
        root = ax.get_figure().canvas.figure
        if root.get_layout_engine() is not None:
            root.draw_without_rendering()  # axes get their place only then
        self.dpi, box = root.dpi, ax.get_window_extent()
        width, height = box.width * 72 / self.dpi, box.height * 72 / self.dpi
        base = float(rcParams["font.size"])
        self.small = 0.85 * base if height > 200 else 0.7 * base
        head, foot = 3.2 * self.small + 4, 2.2 * self.small
        inside = max(1.0, height - head - foot)
        self.columns = Columns(network, min(most_units, max(3, int(inside / _ROW))))
        top, bottom, number = self.columns.top, self.columns.bottom, self.columns.width
        row = inside / (top - bottom + 1)
        ax.set(xlim=(-0.5, number - 0.5))
        ax.set(ylim=(bottom - 0.5 - foot / row, top + 0.5 + head / row))
        self.diameter = min(36.0, 0.66 * row, 0.45 * width / number)
        longest = max(len(name) for name, _, _ in self.columns.units)
        self.font = min(base, 1.4 * self.diameter / max(2, longest))

    def draw(self) -> None:
        self.nodes()
        self.headers()
        self.edges()
        self.legend()

    def nodes(self) -> None:
        ax, columns = self.ax, self.columns
        fore, fill = canvas.foreground(ax), canvas.background(ax)
        style = {"s": self.diameter**2, "facecolors": [fill], "edgecolors": [fore], "zorder": 4}
        x, y = np.array([(x, y) for _, x, y in columns.units]).T
        ax.scatter(x, y, marker="o", label="_units", **style)
        if columns.biases:
            x, y = np.array([(x, y) for _, x, y in columns.biases]).T
            ax.scatter(x, y, marker="s", label="_biases", **style)
        for name, x, y in [*columns.units, *columns.biases]:
            self._take(x, y, self.diameter, self.diameter)
            if self.font >= _SMALLEST:
                self._text(x, y, name, self.font, zorder=5)
        for lines, x, y in columns.gaps:
            size = max(_SMALLEST, min(self.small, 0.6 * self.diameter))
            text = self._text(x, y, lines, size, zorder=5, linespacing=0.9, bbox=self._ground())
            self.taken.append(text.get_window_extent())
        if self.values and self.font >= _SMALLEST:
            for (_, x, y), layer in zip(columns.biases, columns.shared, strict=True):
                text = self._text(
                    x, y, _short(self.biases[layer][0]), self.small, zorder=5, va="top",
                    offset=-self.diameter / 2 - 3,
                )  # fmt: skip
                self.taken.append(text.get_window_extent())

    def headers(self) -> None:
        place = self.columns.top + 0.5
        texts = [
            self._text(x, place, title, self.small, va="bottom", offset=2)
            for title, x in self.columns.titles
        ]
        widest = max(text.get_window_extent().width for text in texts)
        fitting = 0.95 * self.ax.get_window_extent().width / self.columns.width
        for text in texts:
            text.set_fontsize(self.small * min(1.0, fitting / widest))
            self.taken.append(text.get_window_extent())

    def edges(self) -> None:
        ax, columns = self.ax, self.columns
        largest = max([np.abs(self.weights[e.layer]).max() for e in columns.bundles], default=1.0)
        labels = []
        self.signs: set[bool] = set()
        for bundle in columns.bundles:
            weights = [float(self.weights[bundle.layer][s, u]) for s, u in bundle.places]
            segments, plain = list(bundle.segments), len(bundle.segments)
            if bundle.bias is not None:
                segments += bundle.bias
                weights += [float(self.biases[bundle.layer][0])] * len(bundle.bias)
            negative = [w < 0 for w in weights]
            self.signs |= set(negative)
            shades = [canvas.colour(ax, int(minus)) for minus in negative]
            widths = [0.5 + 3.0 * min(1.0, abs(w) / max(largest, 1e-30)) for w in weights]
            styles: list[Any] = [_DASHES if minus else "-" for minus in negative]
            ax.add_collection(
                LineCollection(
                    segments,
                    colors=shades,
                    linewidths=widths,
                    linestyles=styles,
                    zorder=1,
                    label="_weights",
                    alpha=0.9,
                )
            )
            if bundle.whole and plain <= _LABELLED and self.font >= _SMALLEST:
                for name, segment, w in zip(bundle.names, segments, weights, strict=False):
                    labels.append((name, segment, w))
                if bundle.unit_biases:
                    self._unit_biases(bundle)
        for name, ((x1, y1), (x2, y2)), w in labels:
            text = f"{name} = {_short(w)}" if self.values else name
            for wanted in dict.fromkeys([text, name]):  # the name alone, where both are too wide
                if self._place(wanted, x1, y1, x2, y2):
                    break

    def _unit_biases(self, bundle: Any) -> None:
        """Write each unit's bias below it, where it fits."""
        for name, unit, x, y in bundle.unit_biases:
            value = f" = {_short(self.biases[bundle.layer][unit])}" if self.values else ""
            text = self._text(x, y, name + value, self.small, va="top",
                              offset=-self.diameter / 2 - 2, bbox=self._ground())  # fmt: skip
            self._keep_if_free(text)

    def legend(self) -> None:
        kinds: dict[bool, tuple[str, Any]] = {
            False: ("positive", "-"),
            True: ("negative", _DASHES),
        }
        handles = [
            Line2D([], [], color=canvas.colour(self.ax, int(minus)), linestyle=kinds[minus][1],
                   linewidth=2, label=kinds[minus][0])
            for minus in sorted(self.signs)
        ]  # fmt: skip
        self.ax.legend(
            handles=handles, loc="lower center", ncols=2, frameon=False, fontsize=self.small,
            borderaxespad=0.0, borderpad=0.1,
        )  # fmt: skip

    # -- sizes -------------------------------------------------------------------------------------

    def _text(
        self, x: float, y: float, text: str, size: float, *, offset: float = 0.0, **style: Any
    ) -> Text:
        style = {"ha": "center", "va": "center", "zorder": 3, **style}
        made: Text = self.ax.annotate(
            text, (x, y), (0, offset), textcoords="offset points", fontsize=size,
            color=canvas.foreground(self.ax), annotation_clip=False, **style,
        )  # fmt: skip
        return made

    def _ground(self) -> dict[str, Any]:
        """A box behind a text that keeps lines from running through it."""
        return {"facecolor": canvas.background(self.ax), "edgecolor": "none", "pad": 0.8}

    def _take(self, x: float, y: float, width: float, height: float) -> None:
        cx, cy = self.ax.transData.transform((x, y))
        w, h = width * self.dpi / 144, height * self.dpi / 144
        self.taken.append(Bbox([[cx - w, cy - h], [cx + w, cy + h]]))

    def _place(self, text: str, x1: float, y1: float, x2: float, y2: float) -> bool:
        for part in _PLACES:
            made = self._text(
                x1 + part * (x2 - x1), y1 + part * (y2 - y1), text, self.small, bbox=self._ground()
            )
            if self._keep_if_free(made):
                return True
        return False

    def _keep_if_free(self, text: Text) -> bool:
        box = text.get_window_extent().padded(1.0)
        if box.count_overlaps(self.taken):
            text.remove()
            return False
        self.taken.append(box)
        return True


def _short(value: float) -> str:
    return f"{float(value):.2f}".replace("-", "−")
