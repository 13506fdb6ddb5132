"""Small problems: the textbooks' 2-2-2 network, and those of which nothing stands near a kink."""

from __future__ import annotations

from typing import Any, NamedTuple

import naive
import numpy as np

import fastbp

# the pre-activations where f′ jumps, or nearly
KINKS = {
    "relu": (0.0,),
    "leaky_relu": (0.0,),
    "elu": (0.0,),
    "selu": (0.0,),
    "relu6": (0.0, 6.0),
    "hard_sigmoid": (-3.0, 3.0),
    "hard_tanh": (-1.0, 1.0),
}
# what of outputs and targets has to stay off the losses' own kinks
LOSS_KINKS = {
    "mae": lambda p, t: p - t,
    "quantile": lambda p, t: p - t,
    "huber": lambda p, t: np.abs(p - t) - 1,
    "hinge": lambda p, t: 1 - naive.signs(t) * p,
}


class Problem(NamedTuple):
    layers: list[naive.Layer]
    weights: list[Any]
    loss: str
    X: Any
    y: Any
    sample_weight: Any

    def trainer(self) -> fastbp.Trainer:
        """A trainer of a float64 network with these weights."""
        layers = [fastbp.Dense(u, a, bias=b) for u, a, b in self.layers]
        net = fastbp.Network(self.X.shape[1], layers, dtype="float64", seed=0)
        net.set_weights(self.weights)
        return fastbp.Trainer(net, self.loss, fastbp.SGD(0.1))


def draw_targets(rng: Any, loss: str, n: int, k: int, *, soft: bool) -> Any:
    """Targets such as this loss is made for; soft ones are neither ids nor 0 and 1."""
    if loss in naive.CLASSES:
        if not soft:
            return rng.integers(k, size=n)
        rows = rng.dirichlet(np.ones(k), size=n)
        return rows * rng.uniform(0.9992, 1.0008, size=(n, 1))  # sums as far off as is accepted
    if loss == "binary_cross_entropy":
        return rng.uniform(size=(n, k)) if soft else rng.integers(2, size=(n, k))
    if loss == "hinge":
        return rng.choice([-1, 1], size=(n, k)) if soft else rng.integers(2, size=(n, k))
    if loss == "poisson":
        return rng.uniform(0, 4, size=(n, k)) if soft else rng.poisson(2.0, size=(n, k))
    return rng.normal(size=(n, k))


def draw(hidden: str, output: str, loss: str, k: int, bias: bool | str, weighted: bool) -> Problem:
    """3 inputs, 4 hidden units, k outputs, 6 samples, nothing within 0.01 of a kink.

    Where a saturated output is itself a kink of the loss, as hard_tanh's 1 is of hinge's, weights
    of the usual size may find no such draw behind an activation of large outputs: then they are
    small.
    """
    layers = [naive.Layer(4, hidden, bias), naive.Layer(k, output, bias)]
    for seed in range(1000):
        size = 1.0 if seed < 100 else 0.2
        rng = np.random.default_rng(seed)
        weights = []
        for n_in, layer in zip((3, 4), layers, strict=True):
            weights.append(size * rng.normal(size=(n_in, layer.units)))
            if bias:
                weights.append(size * rng.normal(size=1 if bias == "shared" else layer.units))
        X = rng.normal(size=(6, 3))
        y = draw_targets(rng, loss, 6, k, soft=weighted)
        w = rng.uniform(0.2, 3, size=6) if weighted else None
        if w is not None:
            w[2] = 0
        zs, a = naive.forward(weights, layers, X)
        clear, alive = True, True
        for z, layer in zip(zs, layers, strict=True):
            for kink in KINKS.get(layer.activation, ()):
                clear &= bool(np.abs(z - kink).min() > 0.01)
            if layer.activation == "relu":
                alive &= bool((z > 0).any(axis=0).all())
        if loss in LOSS_KINKS:
            off = LOSS_KINKS[loss](a[-1], naive.targets(y, a[-1], loss))
            clear &= bool(np.abs(off).min() > 0.01)
        if clear and alive:
            return Problem(layers, weights, loss, X, y, w)
    raise AssertionError("no draw is clear of the kinks")


#: sample, target and weights of the 2-2-2 network that textbooks work through by hand
X, T = [0.05, 0.10], [0.01, 0.99]
WEIGHTS: list[Any] = [[[0.15, 0.25], [0.2, 0.3]], [0.35], [[0.4, 0.5], [0.45, 0.55]], [0.6]]


def textbook() -> fastbp.Network:
    layers = [fastbp.Dense(2, "sigmoid", bias="shared") for _ in range(2)]
    net = fastbp.Network(2, layers, dtype="float64")
    net.set_weights(WEIGHTS)
    return net
