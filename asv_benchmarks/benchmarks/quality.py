"""What is learned in a fixed budget on real data: a "speed-up" that learns less shows here."""

from __future__ import annotations

from typing import Any

import numpy as np

from .common import skipped_where_missing

SEEDS = range(3)


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def _diabetes() -> tuple[Any, Any]:
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    scaled = [(v - v.mean(axis=0)) / v.std(axis=0) for v in (X, y)]
    return scaled[0].astype(np.float32), scaled[1].astype(np.float32)


DATA = {"digits": _digits, "diabetes": _diabetes}
#: data, hidden activation, last layer, loss, optimizer, learning rate, epochs
BUDGETS = {
    "digits, SGD": ("digits", "relu", (10, "softmax"), "cross_entropy", "SGD", 0.05, 5),
    "digits, Adam": ("digits", "tanh", (10, "softmax"), "cross_entropy", "Adam", 1e-3, 5),
    "diabetes, SGD": ("diabetes", "sigmoid", (1, "linear"), "mse", "SGD", 0.05, 20),
}


class Learned:
    """The loss on all samples after the budget, the mean of three seeds.

    The same seeds give the same bits on one machine, so this has no noise but changes of rounding.
    """

    params = tuple(BUDGETS)
    param_names = ("budget",)

    def setup_cache(self) -> dict[str, tuple[Any, Any]]:
        return {name: load() for name, load in DATA.items()}

    def setup(self, data: dict[str, Any], budget: str) -> None:
        with skipped_where_missing():
            import fastbp

            for name in ("SGD", "Adam", "Trainer", "Network", "Dense"):
                getattr(fastbp, name)

    def track_loss(self, data: dict[str, Any], budget: str) -> float:
        import fastbp

        source, hidden, last, loss, optimizer, rate, epochs = BUDGETS[budget]
        X, y = data[source]
        losses = []
        for seed in SEEDS:
            layers = [fastbp.Dense(32, hidden), fastbp.Dense(*last)]
            net = fastbp.Network(X.shape[1], layers, seed=seed)
            trainer = fastbp.Trainer(net, loss, getattr(fastbp, optimizer)(rate), seed=seed)
            trainer.fit(X, y, epochs=epochs)
            losses.append(trainer.evaluate(X, y)["loss"])
        return float(np.mean(losses))

    track_loss.unit = "loss"
    # A loss that is suddenly lower is no better: the same formulas learn the same.
    track_loss.tolerance = 0.01
    track_loss.both_ways = True
