"""Weights between their everyday shape, W (n_in, n_out), and the panels that kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling.target import TILE_VECTORS, lanes

if TYPE_CHECKING:
    from fastbp.network import Network

Array = NDArray[Any]


def shapes(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of each array that `get_weights` gives, in order."""
    found: list[tuple[str, tuple[int, ...]]] = []
    for index, layer in enumerate(network._layout.layers):
        found.append((f"W{index}", (layer.n_in, layer.n_out)))
        if layer.bias != lay.BIAS_NONE:
            found.append((f"b{index}", (1 if layer.bias == lay.BIAS_SHARED else layer.n_out,)))
    return found


def checked(network: Network, weights: Sequence[ArrayLike]) -> list[Array]:
    """`weights` as arrays of the network's dtype, after every check of `Network.set_weights`."""
    expected = shapes(network)
    try:
        given = list(weights)
    except TypeError:
        raise TypeError(f"weights must be a list of arrays, got {type(weights).__name__}") from None
    if len(given) != len(expected):
        names = ", ".join(name for name, _ in expected)
        raise ValueError(f"weights must hold {len(expected)} arrays ({names}), got {len(given)}")
    result: list[Array] = []
    for position, ((name, shape), value) in enumerate(zip(expected, given, strict=True)):
        label = f"weights[{position}] ({name})"
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{label} must be an array of shape {shape}: {error}") from None
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{label} must hold real numbers, got dtype {array.dtype}")
        if array.shape != shape:
            raise ValueError(f"{label} must have shape {shape}, got {array.shape}")
        with np.errstate(over="ignore"):
            cast = array.astype(network.dtype)
        if not np.isfinite(cast).all():
            value = array.reshape(-1)[int((~np.isfinite(cast)).argmax())].item()
            raise ValueError(f"{label} must be finite in {network.dtype}, got {value}")
        result.append(cast)
    return result


def _matrix_panels(
    buffer: Array, offset: int, rows: int, columns: int
) -> list[tuple[Array, int, int]]:
    """Views ``(rows, width)`` of a matrix's panels, each with the columns that it holds."""
    views = []
    for first, width in lay.panels(columns, buffer.itemsize):
        view = buffer[offset : offset + rows * width].reshape(rows, width)
        views.append((view, first, min(width, columns - first)))
        offset += rows * width
    return views


def read(network: Network, buffer: Array, *, gradients: bool = False) -> list[Array]:
    """Copies of all arrays that stand in `buffer`, which has the parameters' layout."""
    result: list[Array] = []
    for layer in network._layout.layers:
        stored = np.empty((layer.rows, layer.columns), buffer.dtype)
        for view, first, n in _matrix_panels(buffer, layer.weights, layer.rows, layer.columns):
            stored[:, first : first + n] = view[:, :n]
        result.append(np.ascontiguousarray(stored.T) if layer.narrow else stored)
        if layer.bias != lay.BIAS_NONE:
            n = 1 if layer.bias == lay.BIAS_SHARED else layer.n_out
            result.append(buffer[layer.biases : layer.biases + n].copy())
    return result


def write(network: Network, buffer: Array, weights: Sequence[Array]) -> None:
    """Write all arrays into the parameter buffer, with the zeros and transposes beside them."""
    layout = network._layout
    arrays = iter(weights)
    buffer[layout.zeros : layout.zeros + TILE_VECTORS * lanes(layout.itemsize)] = 0.0
    for layer in layout.layers:
        w = next(arrays)
        _write_matrix(buffer, layer.weights, w.T if layer.narrow else w)
        if layer.transposed >= 0 and not layer.narrow:
            _write_matrix(buffer, layer.transposed, w.T)
        bias = buffer[layer.biases : layer.biases + layer.ld_out]
        bias[:] = 0.0
        if layer.bias != lay.BIAS_NONE:
            bias[: layer.n_out] = next(arrays)


def write_updated(network: Network, buffer: Array, values: Sequence[Array]) -> None:
    """The same for a buffer that has no zeros and no transposes, as optimizer slots haven't."""
    arrays = iter(values)
    for layer in network._layout.layers:
        w = next(arrays)
        _write_matrix(buffer, layer.weights, w.T if layer.narrow else w)
        if layer.bias != lay.BIAS_NONE:
            buffer[layer.biases : layer.biases + layer.n_out] = next(arrays)


def _write_matrix(buffer: Array, offset: int, matrix: Array) -> None:
    for view, first, n in _matrix_panels(buffer, offset, *matrix.shape):
        view[:, :n] = matrix[:, first : first + n]
        view[:, n:] = 0.0
