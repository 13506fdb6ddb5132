"""A small network, its trainer and 60 samples, for tests of what happens around a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastbp

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 2))


def build(rate: float = 0.1, **settings: Any) -> fastbp.Trainer:
    net = fastbp.Network(3, [fastbp.Dense(5, "tanh"), fastbp.Dense(2)], dtype="float64", seed=0)
    settings = {"batch_size": 10, "seed": 0} | settings
    return fastbp.Trainer(net, "mse", fastbp.SGD(rate), **settings)
