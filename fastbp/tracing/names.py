"""The textbook's names: i1, h1, o1 for units, w1, w2 … and b1, b2 for parameters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Names:
    """The names of a network's units and parameters, without a list: there may be millions.

    Hidden units are h1, h2 … where there is one hidden layer, else h1.1, h1.2, …, h2.1. Weights
    are numbered through layer by layer, and within one unit by unit: w1 is i1 → h1, w2 is i2 → h1.
    A bias that a layer shares is b1 in the first layer; those per unit are b1.1, b1.2.

    Parameters
    ----------
    widths : tuple of int
        Inputs, then units of each layer.
    """

    widths: tuple[int, ...]

    def unit(self, level: int, index: int) -> str:
        """The name of an input at level 0, or of a unit of layer `level` - 1."""
        if level == 0:
            return f"i{index + 1}"
        if level == len(self.widths) - 1:
            return f"o{index + 1}"
        return f"h{index + 1}" if len(self.widths) == 3 else f"h{level}.{index + 1}"

    def weight(self, layer: int, source: int, unit: int) -> str:
        """The name of W[source, unit] of a layer."""
        return f"w{self._first(layer) + unit * self.widths[layer] + source + 1}"

    def bias(self, layer: int, unit: int | None) -> str:
        """The name of a unit's bias, or, where `unit` is None, of the whole layer's."""
        return f"b{layer + 1}" if unit is None else f"b{layer + 1}.{unit + 1}"

    def find_weight(self, name: str) -> tuple[int, int, int]:
        """Layer, source and unit of a weight.

        Raises
        ------
        ValueError
            There is no weight of that name.
        """
        total = self._first(len(self.widths) - 1)
        digits = name[1:] if isinstance(name, str) else ""
        number = int(digits) if digits.isascii() and digits.isdigit() else 0
        if name != f"w{number}" or not 1 <= number <= total:
            raise ValueError(f"name must be one of 'w1' ... 'w{total}', got {name!r}")
        ends = [self._first(layer + 1) for layer in range(len(self.widths) - 1)]
        layer = int(np.searchsorted(ends, number))
        unit, source = divmod(number - 1 - self._first(layer), self.widths[layer])
        return layer, source, unit

    def _first(self, layer: int) -> int:
        """How many weights all layers below have."""
        widths = self.widths[: layer + 1]
        return sum(a * b for a, b in pairwise(widths))


def ends(n: int, most: int) -> list[int | None]:
    """The places of n units to show: all, or the first and the last with a gap (None) between."""
    if n <= most:
        return list(range(n))
    first = most // 2
    return [*range(first), None, *range(n - (most - 1 - first), n)]
