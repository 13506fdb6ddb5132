"""Planes through the space of a network's parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.layers.dense import check_weights, shapes
from fastbp.network import Network
from fastbp.plot.descent import flat, shaped
from fastbp.tracing.names import Names

Array = NDArray[Any]
Vector = NDArray[np.float64]
Weight = str | tuple[int, int, int]


@dataclass(frozen=True)
class Plane:
    """All ``origin + x directions[0] + y directions[1]``.

    `chosen` are the two parameters whose values x and y are, where the plane is one of those.
    """

    origin: Vector
    directions: Array  # (2, n_parameters)
    labels: tuple[str, str]
    chosen: list[int] | None = None

    def at(self, x: float, y: float) -> Vector:
        found: Vector = self.origin + x * self.directions[0] + y * self.directions[1]
        return found

    def project(self, weights: Array) -> Vector:
        """The nearest points on the plane, (n, 2), to points (n, n_parameters)."""
        if self.chosen is not None:
            return weights[:, self.chosen].astype(np.float64)
        away = weights.astype(np.float64) - self.origin
        return np.asarray(np.linalg.lstsq(self.directions.T, away.T, rcond=None)[0].T, np.float64)


def of_weights(origin: Vector, chosen: list[int], labels: tuple[str, str]) -> Plane:
    base, directions = origin.copy(), np.zeros((2, origin.size))
    base[chosen] = 0.0
    directions[[0, 1], chosen] = 1.0
    return Plane(base, directions, labels, chosen)


def of_directions(origin: Vector, given: Sequence[Vector], labels: tuple[str, str]) -> Plane:
    directions = np.stack(list(given))
    if np.linalg.matrix_rank(directions) < 2:
        raise ValueError("along must be two directions that span a plane, got a line or a point")
    return Plane(origin, directions, labels)


def of_trajectory(origin: Vector, weights: Array) -> Plane:
    """The two principal components of the points of all paths (Li et al. 2018, section 7)."""
    away = weights.astype(np.float64)
    away -= away.mean(axis=0)
    _, spread, directions = np.linalg.svd(away, full_matrices=False)
    if len(spread) < 2 or not spread[0] > 0:
        raise ValueError('along="pca" takes paths that move: optimizers, and epochs of at least 2')
    share = spread**2 / np.sum(spread**2)
    labels = [f"principal component {i + 1} ({share[i]:.1%} of variance)" for i in range(2)]
    return Plane(origin, directions[:2], (labels[0], labels[1]))


def of_random(network: Network, origin: Vector, seed: int) -> Plane:
    """Two random directions, filter-normalised (Li et al. 2018, section 4).

    Each unit's incoming weights are scaled to the norm of those at the origin; biases stay.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(2):
        parts = []
        for w in shaped(network, origin):
            part = np.zeros(w.shape)
            if w.ndim == 2:
                part = rng.standard_normal(w.shape)
                part *= np.linalg.norm(w, axis=0) / np.linalg.norm(part, axis=0)
            parts.append(part)
        found.append(flat(parts))
    return of_directions(origin, found, ("random direction 1", "random direction 2"))


def own_directions(network: Network, along: Sequence[Any]) -> list[Vector]:
    """Check directions of a person's own, each a list of arrays as `Network.get_weights` gives."""
    n_inputs, layers = network.n_inputs, network.layers
    # in float64: directions are not rounded to the network's dtype
    return [flat(check_weights(one, n_inputs, layers, "float64")) for one in along]


def find(network: Network, weight: Weight, name: str = "along") -> tuple[int, str]:
    """Place in the flat vector, and name, of a weight or bias.

    Parameters
    ----------
    weight : str or (int, int, int)
        "w5", "b1", "b1.2" as in the trace, or layer, source and unit of a weight, from 0.

    Raises
    ------
    TypeError, ValueError
        There is no such weight.
    """
    widths = (network.n_inputs, *(layer.units for layer in network.layers))
    names, starts = Names(widths), _starts(network)
    if isinstance(weight, tuple):
        whole = all(isinstance(i, (int, np.integer)) for i in weight)
        if len(weight) != 3 or not whole or isinstance(weight[0], bool):
            raise TypeError(f"{name} must name weights as (layer, source, unit), got {weight!r}")
        layer, source, unit = (int(i) for i in weight)
        if not (0 <= layer < len(widths) - 1):
            raise ValueError(f"{name} has layer {layer}, of layers 0 to {len(widths) - 2}")
        if not (0 <= source < widths[layer] and 0 <= unit < widths[layer + 1]):
            raise ValueError(
                f"{name} has the weight {weight}, of W{layer} whose shape is "
                f"({widths[layer]}, {widths[layer + 1]})"
            )
    elif not isinstance(weight, str):
        raise TypeError(f"{name} must name weights such as 'w1', got {type(weight).__name__}")
    elif weight.startswith("b"):
        return _bias(network, weight, name, starts)
    else:
        try:
            layer, source, unit = names.find_weight(weight)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    place = starts[f"W{layer}"] + source * widths[layer + 1] + unit
    return place, names.weight(layer, source, unit)


def _bias(network: Network, bias: str, name: str, starts: dict[str, int]) -> tuple[int, str]:
    found = re.fullmatch(r"b([1-9][0-9]{0,5})(?:\.([1-9][0-9]{0,8}))?", bias)
    layer = int(found[1]) - 1 if found else len(network.layers)
    if found and layer < len(network.layers):
        described = network.layers[layer]
        if described.bias == "shared" and found[2] is None:
            return starts[f"b{layer}"], bias
        if described.bias is True and found[2] is not None and int(found[2]) <= described.units:
            return starts[f"b{layer}"] + int(found[2]) - 1, bias
    raise ValueError(
        f"{name} must name biases as 'b1.2', or 'b1' where a layer shares one, got {bias!r}"
    )


def _starts(network: Network) -> dict[str, int]:
    """Where each array begins in the flat vector."""
    starts, first = {}, 0
    for array, shape in shapes(network.n_inputs, network.layers):
        starts[array] = first
        first += int(np.prod(shape))
    return starts


def starting_weights(network: Network, start: Any) -> list[Array]:
    """The weights to start from: the network's, others, or the network's with some set by name."""
    weights = network.get_weights()
    if start is None:
        return weights
    if not isinstance(start, dict):
        return _checked(network, _listed(start))
    vector = flat(weights)
    for weight, value in start.items():
        place, found = find(network, weight, "start")
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise TypeError(f"start[{found!r}] must be a number, got {value!r}")
        vector[place] = value
    return _checked(network, shaped(network, vector))


def _checked(network: Network, weights: Sequence[ArrayLike]) -> list[Array]:
    return check_weights(weights, network.n_inputs, network.layers, network.dtype)


def _listed(start: Any) -> Sequence[ArrayLike]:
    if isinstance(start, str):
        raise TypeError(f"start must be weights or a dict of some by name, got {start!r}")
    return start  # type: ignore[no-any-return]
