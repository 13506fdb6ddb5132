"""Random trainings, compared with the oracle's, and how closely; a small problem for solvers."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest

import fastbp

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}  # of a training
PREDICTED = {"float64": 1e-13, "float32": 1e-5}  # of one forward pass
OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.01}),
    ("SGD", {"learning_rate": 0.003, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.003, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"learning_rate": 0.003}),
    ("Adam", {"learning_rate": 0.003, "beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.1}),
]


def build(n_inputs: int, layers: list[naive.Layer], dtype: str, weights: list[Any]) -> Any:
    """A fastbp network of the oracle's layers."""
    net = fastbp.Network(
        n_inputs, [fastbp.Dense(u, a, bias=b) for u, a, b in layers], dtype=dtype, seed=0
    )
    net.set_weights(weights)
    return net


def draw_weights(rng: Any, n_inputs: int, layers: list[naive.Layer], dtype: str) -> list[Any]:
    """Parameters of a size that keeps signals alive, biases too."""
    weights = []
    for layer in layers:
        weights.append(rng.normal(size=(n_inputs, layer.units)) * np.sqrt(1.5 / n_inputs))
        if layer.bias:
            count = 1 if layer.bias == "shared" else layer.units
            weights.append(rng.uniform(-0.5, 0.5, size=count))
        n_inputs = layer.units
    return [p.astype(dtype).astype(np.float64) for p in weights]


def draw_targets(rng: Any, loss: str, n: int, k: int) -> Any:
    if loss in naive.CLASSES:
        return rng.integers(k, size=n) if rng.random() < 0.5 else rng.dirichlet(np.ones(k), size=n)
    if loss == "binary_cross_entropy":
        return rng.integers(2, size=(n, k))
    if loss == "hinge":
        return rng.choice([-1, 1], size=(n, k))
    if loss == "poisson":
        return rng.poisson(2.0, size=(n, k))
    y = rng.normal(size=(n, k)).astype(np.float32)
    return y[:, 0] if k == 1 and rng.random() < 0.5 else y


def compare_training(
    net: Any,
    loss: str,
    optimizer: tuple[str, dict[str, Any]],
    X: Any,
    y: Any,
    w: Any,
    *,
    batch_size: int | None,
    epochs: int,
) -> fastbp.Trainer:
    """Train `net` and the oracle; weights, losses and all that is predicted are the same."""
    layers, weights = net.layers, [p.astype(np.float64) for p in net.get_weights()]
    kind, arguments = optimizer
    case = f"{net}\n{loss}, {kind} {arguments}, {len(X)} samples, {batch_size=}"
    trainer = fastbp.Trainer(
        net, loss, getattr(fastbp, kind)(**arguments), batch_size=batch_size, shuffle=False
    )
    history = trainer.fit(X, y, epochs=epochs, sample_weight=w)
    expected, losses = naive.train(
        weights,
        layers,
        loss,
        getattr(naive, kind)(**arguments),
        X,
        y,
        batches=naive.consecutive(len(X), batch_size),
        epochs=epochs,
        sample_weight=w,
    )
    tolerance = TOLERANCE[net.dtype]
    for i, (p, q) in enumerate(zip(net.get_weights(), expected, strict=True)):
        assert p.dtype == net.dtype
        assert naive.relative_error(p, q) <= tolerance, f"parameter array {i} of {case}"
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance, atol=1e-7, err_msg=case)

    trained = [p.astype(np.float64) for p in net.get_weights()]
    zs, a = naive.forward(trained, layers, X)
    allowed = PREDICTED[net.dtype]
    for i, (f, e) in enumerate(zip(net.activations(X), [*a[1:], zs[-1]], strict=True)):
        assert naive.relative_error(f, e) <= allowed, f"activation {i} of {case}"
    predicted = net.predict(X)
    assert predicted.dtype == net.dtype
    assert naive.relative_error(predicted, a[-1]) <= allowed, case
    value = naive.evaluate(trained, layers, loss, X, y, w)
    assert trainer.evaluate(X, y, w)["loss"] == pytest.approx(value, rel=tolerance, abs=1e-7), case
    return trainer


# -- solvers ---------------------------------------------------------------------------------------

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
