"""What all other libraries share: networks from arrays, and biases that none of them has."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from fastbp.layers.dense import Dense
from fastbp.layers.names import DTypeLike
from fastbp.network import Network

Array = NDArray[Any]


def imported(name: str, needs: str) -> Any:
    """Import module `name`, which fastbp doesn't depend on."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{needs} needs {name.partition('.')[0]}, which is not installed") from (
            error
        )


def network_of(
    kernels: Sequence[Array],
    weights: Sequence[Array],
    layers: Sequence[Dense],
    dtype: DTypeLike | None,
) -> Network:
    """A network of `layers` with these weights; `kernels` are those of them that are matrices.

    `dtype` None is float64 if any array has that, float32 otherwise.
    """
    for i, (before, kernel) in enumerate(pairwise(kernels), 1):
        if before.shape[1] != kernel.shape[0]:
            raise ValueError(
                f"layer {i} takes {kernel.shape[0]} values, layer {i - 1} gives {before.shape[1]}"
            )
    if dtype is None:
        wide = (w.dtype.kind == "f" and w.dtype.itemsize >= 8 for w in weights)  # in any byte order
        dtype = "float64" if any(wide) else "float32"
    network = Network(kernels[0].shape[0], layers, dtype=dtype, seed=0)
    network.set_weights(weights)
    return network


def refuse_shared_biases(network: object, of: str) -> Network:
    """Give back `network`; raise where it has a shared bias, which `of` can't hold."""
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastbp.Network, got {type(network).__name__}")
    for i, layer in enumerate(network.layers):
        if layer.bias == "shared":
            raise ValueError(f"layer {i} shares one bias among its units, which {of} can't hold")
    return network
