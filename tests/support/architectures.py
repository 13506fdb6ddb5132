"""Random networks for those that leave fastbp: exported, or handed to another library."""

from __future__ import annotations

import numpy as np

import fastbp
from fastbp.kernels.functions.activations import ACTIVATIONS

HIDDEN = sorted(set(ACTIVATIONS) - {"exp"})  # exp of exp overflows


def architecture(rng: np.random.Generator, hidden: str, dtype: str = "float32") -> fastbp.Network:
    """Any depth, widths and biases; hidden layers of this activation, any output layer."""
    units = rng.integers(1, 40, rng.integers(0, 4)).tolist()
    kinds = [*[hidden] * len(units), str(rng.choice(sorted(ACTIVATIONS)))]
    layers = [
        fastbp.Dense(n, kind, bias=[True, "shared", False][rng.integers(3)])
        for n, kind in zip([*units, int(rng.integers(1, 20))], kinds, strict=True)
    ]
    network = fastbp.Network(
        int(rng.integers(1, 30)), layers, dtype=dtype, seed=int(rng.integers(99))
    )
    network.set_weights([w + 0.1 * rng.standard_normal(w.shape) for w in network.get_weights()])
    return network
