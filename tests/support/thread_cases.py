"""Trainings of every arrangement of the work, and the bytes of all that they compute."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import fastbp


class Case(NamedTuple):
    n_inputs: int
    layers: list[tuple[Any, ...]]  # units, activation, bias
    loss: str
    n: int
    batch_size: int | None
    weighted: bool = False
    dtype: str = "float32"
    optimizer: str = "adam"


CASES = {
    "whole, ragged": Case(9, [(33, "relu"), (7, "tanh"), (5, "softmax")], "cross_entropy", 100, 32),
    "fewer rows than threads": Case(7, [(9, "tanh"), (2,)], "mse", 11, 3),
    "batch 1": Case(40, [(16, "relu"), (3,)], "mse", 9, 1, optimizer="sgd"),
    "tiny": Case(2, [(2, "sigmoid", "shared"), (2, "sigmoid", "shared")], "mse", 10, 4),
    "narrow": Case(40, [(8, "tanh"), (1, "sigmoid")], "binary_cross_entropy", 70, 20),
    "many units": Case(300, [(130, "relu"), (5, "softmax")], "cross_entropy", 90, 64, True),
    "many blocks": Case(300, [(250, "sigmoid"), (3, "softmax")], "mse", 700, 650),
    "slabs, ragged": Case(4, [(32, "tanh"), (16, "relu", False), (4,)], "mse", 5600, 2500),
    "slabs, weighted": Case(3, [(65, "relu"), (1, "tanh", "shared")], "mse", 3000, None, True),
    "float64": Case(31, [(17, "sigmoid"), (4,)], "mse", 100, 45, True, "float64", "sgd"),
}  # fmt: skip


def build(case: Case, threads: int) -> tuple[fastbp.Trainer, tuple[Any, Any, Any]]:
    rng = np.random.default_rng(5)
    dense = [
        fastbp.Dense(units, *rest[:1], bias=rest[1] if rest[1:] else True)
        for units, *rest in case.layers
    ]
    net = fastbp.Network(case.n_inputs, dense, dtype=case.dtype, seed=1)
    X, k = rng.normal(size=(case.n, case.n_inputs)), dense[-1].units
    y = rng.uniform(size=(case.n, k))
    if case.loss == "cross_entropy":
        y = rng.integers(k, size=case.n)
    w = np.where(rng.random(case.n) < 0.2, 0.0, rng.uniform(size=case.n)) if case.weighted else None
    trainer = fastbp.Trainer(
        net, case.loss, case.optimizer, batch_size=case.batch_size, seed=2, n_threads=threads
    )
    return trainer, (X, y, w)


def bits(case: Case, threads: int) -> dict[str, bytes]:
    """The bytes of everything that a trainer and its network compute."""
    trainer, (X, y, w) = build(case, threads)
    net, found = trainer.network, {}

    def note(name: str, *values: Any) -> None:
        found[name] = b"".join(np.asarray(v).tobytes() for v in values)

    note("losses", *trainer.fit(X, y, epochs=2, sample_weight=w, validation_data=(X, y)).loss)
    note("weights", *net.get_weights())
    loss, gradients = trainer.gradients(X, y, w)
    note("gradients", loss, *gradients)
    note("evaluated", *trainer.evaluate(X, y, w).values())
    note("predicted", net.predict(X, n_threads=threads))
    note("step", trainer.step(X, y, w), *net.get_weights())
    return found
