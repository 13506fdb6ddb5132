"""The 2-2-2 network that textbooks work through by hand: its sample, target and weights."""

from __future__ import annotations

from typing import Any

import fastbp

X, T = [0.05, 0.10], [0.01, 0.99]
WEIGHTS: list[Any] = [[[0.15, 0.25], [0.2, 0.3]], [0.35], [[0.4, 0.5], [0.45, 0.55]], [0.6]]


def textbook() -> fastbp.Network:
    layers = [fastbp.Dense(2, "sigmoid", bias="shared") for _ in range(2)]
    net = fastbp.Network(2, layers, dtype="float64")
    net.set_weights(WEIGHTS)
    return net
