"""A small problem for the solvers, their names, and the bytes of a network's weights."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastbp

SOLVERS = ["lbfgs", "levenberg_marquardt"]


def trainer_of(net: fastbp.Network, optimizer: Any, loss: str = "mse", **arguments: Any) -> Any:
    return fastbp.Trainer(net, loss, optimizer, batch_size=None, **arguments)


def grid(dtype: str = "float64", seed: int = 0) -> tuple[fastbp.Network, Any, Any]:
    """sin(πx)·cos(πy/2) on 25 × 25 points, and a 2-10-1 network."""
    axis = np.linspace(-1, 1, 25)
    X = np.array([(x, y) for x in axis for y in axis])
    layers = [fastbp.Dense(10, "tanh"), fastbp.Dense(1)]
    net = fastbp.Network(2, layers, dtype=dtype, seed=seed)
    return net, X, np.sin(np.pi * X[:, 0]) * np.cos(np.pi * X[:, 1] / 2)


def bits(net: fastbp.Network) -> bytes:
    return b"".join(w.tobytes() for w in net.get_weights())
