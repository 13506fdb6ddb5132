"""Where units, weights and biases of a network are on its diagram."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastbp.layers.activations import name_of
from fastbp.network import Network
from fastbp.tracing.names import Names, ends

_MOST_LEVELS = 7

Point = tuple[float, float]


@dataclass
class Bundle:
    """The lines from one level to the next."""

    layer: int
    places: list[tuple[int, int]]  # of W: source and unit
    names: list[str]
    segments: list[tuple[Point, Point]]
    whole: bool  # every weight of the layer is there
    bias: list[tuple[Point, Point]] | None  # of one that the layer shares, to each unit
    unit_biases: list[tuple[str, int, float, float]] = field(default_factory=list)


class Columns:
    """A column a level: x is its number, y goes by rows of height 1, upwards.

    Biases that a layer shares have a row of their own below all units, in the column before.
    """

    def __init__(self, network: Network, most_units: int) -> None:
        widths = (network.n_inputs, *(layer.units for layer in network.layers))
        self.units: list[tuple[str, float, float]] = []
        self.biases: list[tuple[str, float, float]] = []
        self.shared: list[int] = []  # the layers that `biases` are of
        self.gaps: list[tuple[str, float, float]] = []
        self.titles: list[tuple[str, float]] = []
        self.bundles: list[Bundle] = []
        names = Names(widths)
        levels = ends(len(widths), _MOST_LEVELS)
        self.width = len(levels)
        shown = {level: ends(widths[level], most_units) for level in levels if level is not None}
        rows = max(len(slots) for slots in shown.values())
        self.top, lowest = (rows - 1) / 2, -(rows - 1) / 2
        layers = [level for level in shown if level and level - 1 in shown]
        sharing = [level for level in layers if network.layers[level - 1].bias == "shared"]
        self.bottom = lowest - 1.0 if sharing else lowest
        if any(network.layers[level - 1].bias is True for level in layers):
            self.bottom = min(self.bottom, lowest - 0.3)  # their names are below the units

        spots: dict[tuple[int, int], Point] = {}
        for x, level in enumerate(levels):
            if level is None:
                left_out = len(widths) - len(shown)
                self.gaps.append((f"…\n{left_out} more\nlayers", float(x), 0.0))
                continue
            slots = shown[level]
            for row, index in enumerate(slots):
                y = (len(slots) - 1) / 2 - row
                if index is None:
                    left_out = widths[level] - len(slots) + 1
                    self.gaps.append((f"⋮\n{left_out:,} more", float(x), y))
                else:
                    spots[level, index] = (float(x), y)
                    self.units.append((names.unit(level, index), float(x), y))
            self.titles.append((_title(network, level, widths), float(x)))
        for level in layers:
            self.bundles.append(self._bundle(network, level, spots, names))

    def _bundle(
        self, network: Network, level: int, spots: dict[tuple[int, int], Point], names: Names
    ) -> Bundle:
        layer, bias = level - 1, network.layers[level - 1].bias
        sources = [(index, spot) for (at, index), spot in spots.items() if at == level - 1]
        units = [(index, spot) for (at, index), spot in spots.items() if at == level]
        whole = len(sources) * len(units) == names.widths[layer] * names.widths[level]
        bundle = Bundle(layer, [], [], [], whole, None)
        for unit, end in units:
            for source, begin in sources:
                bundle.places.append((source, unit))
                bundle.names.append(names.weight(layer, source, unit))
                bundle.segments.append((begin, end))
        if bias == "shared":
            spot = (sources[0][1][0], self.bottom)
            self.biases.append((names.bias(layer, None), *spot))
            self.shared.append(layer)
            bundle.bias = [(spot, end) for _, end in units]
        elif bias is True:
            bundle.unit_biases = [(names.bias(layer, unit), unit, *end) for unit, end in units]
        return bundle


def _title(network: Network, level: int, widths: tuple[int, ...]) -> str:
    if level == 0:
        return f"inputs\n{widths[0]:,}"
    kind = "output" if level == len(widths) - 1 else f"hidden {level}"
    return f"{kind}\n{widths[level]:,} {name_of(network.layers[level - 1].activation)}"
