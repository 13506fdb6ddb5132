"""Whole trainings and predictions against the oracle, on random architectures."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from cases import OPTIMIZERS, TOLERANCE, build, compare_training, draw_targets, draw_weights

import fastbp

GRADIENT = {"float64": 1e-12, "float32": 1e-4}  # of sums over thousands of samples
WIDTHS = [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65]  # around every vector length


def draw_layers(rng: Any, loss: str) -> tuple[int, list[naive.Layer]]:
    """Inputs, and 1 to 6 layers whose widths are mostly the awkward ones."""
    depth = int(rng.integers(1, 7))
    widths = [
        int(rng.choice(WIDTHS) if rng.random() < 0.8 else rng.integers(1, 71))
        for _ in range(depth + 1)
    ]
    # without exp: a few of it on top of each other blow up rounding errors
    tame = [name for name in naive.ACTIVATIONS if name != "exp"]
    names = [str(name) for name in rng.choice(tame, size=depth)]
    names[-1] = naive.LOSSES[loss].fused or names[-1]
    layers = []
    for units, name in zip(widths[1:], names, strict=True):
        bias = [True, "shared", False][rng.integers(3)]
        if bias == "shared" and name == "softmax":
            bias = True  # its gradient is 0 but for rounding errors, and Adam would walk on them
        layers.append(naive.Layer(units, name, bias))
    return widths[0], layers


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("seed", range(120))
def test_random_architecture(seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    loss = list(naive.LOSSES)[seed % len(naive.LOSSES)]
    n_inputs, layers = draw_layers(rng, loss)
    weights = draw_weights(rng, n_inputs, layers, dtype)
    n = int(rng.integers(1, 100))
    batch_size = [1, n, n + 13, None, *(int(b) for b in rng.integers(1, n + 1, size=4))][seed % 8]
    epochs = 1 if batch_size == 1 else 3
    X = rng.normal(size=(n, n_inputs)).astype(np.float32)
    y = draw_targets(rng, loss, n, layers[-1].units)
    w = None
    if rng.random() < 0.5:
        w = np.where(rng.random(n) < 0.2, 0, rng.uniform(0.1, 4, size=n)).astype(np.float32)
        w[0] = 1
    optimizer = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]
    net = build(n_inputs, layers, dtype, weights)
    compare_training(net, loss, optimizer, X, y, w, batch_size=batch_size, epochs=epochs)


# Inputs and layers, loss, samples, batch size: weights of many panels and of many tiles of rows;
# batches of many blocks of rows, whole and in slabs.
LARGE = [
    (3, [(64, "tanh"), (64, "relu"), (2, "linear", "shared")], "mse", 3001, None),
    (40, [(130, "relu"), (5, "softmax")], "cross_entropy", 700, 650),
    (300, [(16, "tanh", "shared"), (1, "sigmoid")], "binary_cross_entropy", 1300, 1000),
    (130, [(300, "sigmoid", False), (3, "tanh")], "half_squared_error", 200, 64),
    (784, [(33, "relu"), (10, "softmax")], "cross_entropy", 257, 128),
    (1, [(1, "linear")], "mse", 20_000, None),
    (2, [(513, "tanh"), (1, "linear", False)], "mse", 1025, None),
    (3, [(5, "tanh"), (2, "linear")], "mse", 9003, 9000),  # a batch of fewer rows than slabs
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("n_inputs", "plan", "loss", "n", "batch_size"), LARGE)
def test_large(
    n_inputs: int, plan: list[Any], loss: str, n: int, batch_size: int | None, dtype: str
) -> None:
    rng = np.random.default_rng(n)
    layers = [naive.Layer(*layer) for layer in plan]
    net = build(n_inputs, layers, dtype, draw_weights(rng, n_inputs, layers, dtype))
    X = rng.normal(size=(n, n_inputs)).astype(np.float32)
    y, w = draw_targets(rng, loss, n, layers[-1].units), rng.uniform(size=n).astype(np.float32)
    # large enough an epsilon that rounding errors of gradients near 0 are not blown up
    adam = ("Adam", {"learning_rate": 0.01, "epsilon": 0.01})
    trainer = compare_training(net, loss, adam, X, y, w, batch_size=batch_size, epochs=2)
    weights = [p.astype(np.float64) for p in net.get_weights()]
    expected = naive.gradients(weights, layers, loss, X, y, w)
    value, found = trainer.gradients(X, y, w)
    mean = w.mean(dtype=np.float64)
    assert value == pytest.approx(trainer.evaluate(X, y, w)["loss"] * mean, rel=GRADIENT[dtype])
    for i, (g, e) in enumerate(zip(found, expected, strict=True)):
        assert naive.relative_error(g, e) <= GRADIENT[dtype], f"gradient {i}"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("k", [2, 3, 17])
def test_predict_classes(k: int, dtype: str) -> None:
    rng = np.random.default_rng(k)
    layers = [naive.Layer(9, "tanh"), naive.Layer(k, "softmax")]
    weights = draw_weights(rng, 4, layers, dtype)
    X = rng.normal(size=(200, 4))
    net = build(4, layers, dtype, weights)
    found = net.predict_classes(X)
    assert found.dtype.kind == "i"
    np.testing.assert_array_equal(found, net.predict(X).argmax(axis=1))
    _, a = naive.forward(weights, layers, X)
    ranked = np.sort(a[-1], axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 1e-4
    assert clear.sum() > 190
    np.testing.assert_array_equal(found[clear], a[-1][clear].argmax(axis=1))


@pytest.mark.parametrize(
    ("activation", "middle"), [("sigmoid", 0.5), ("linear", 0.0), ("tanh", 0.0)]
)
def test_predict_classes_of_one_output(activation: str, middle: float) -> None:
    rng = np.random.default_rng(1)
    layers = [naive.Layer(1, activation)]
    weights = draw_weights(rng, 4, layers, "float64")
    X = rng.normal(size=(200, 4))
    expected = naive.forward(weights, layers, X)[1][-1][:, 0] > middle
    assert 20 < expected.sum() < 180
    found = build(4, layers, "float64", weights).predict_classes(X)
    assert found.dtype.kind == "i"
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bias", [True, "shared", False], ids=["bias", "shared", "nobias"])
@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize("activation", naive.ACTIVATIONS)
def test_the_oracle_itself(activation: str, loss: str, bias: bool | str) -> None:
    """The oracle's gradients are the central differences of its own loss, three layers deep."""
    rng = np.random.default_rng(5)
    output = naive.LOSSES[loss].fused or activation
    layers = [naive.Layer(4, activation, bias), naive.Layer(3, activation), naive.Layer(2, output)]
    weights = draw_weights(rng, 3, layers, "float64")
    X, y, w = rng.normal(size=(7, 3)), draw_targets(rng, loss, 7, 2), rng.uniform(size=7)
    numbers = naive.central_differences(
        lambda moved: naive.error(moved, layers, loss, X, y, w), weights
    )
    for g, expected in zip(naive.gradients(weights, layers, loss, X, y, w), numbers, strict=True):
        assert np.abs(g - expected).max() <= 1e-6 * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize(("kind", "arguments"), OPTIMIZERS)
def test_a_batch_without_weight_makes_no_update(kind: str, arguments: dict[str, Any]) -> None:
    """Not even by momentum or weight decay, and Adam's count of steps stays: the same bits."""
    rng = np.random.default_rng(0)
    layers = [naive.Layer(5, "tanh"), naive.Layer(2, "softmax")]
    weights = draw_weights(rng, 3, layers, "float64")
    X, y = rng.normal(size=(12, 3)), rng.integers(2, size=12)
    w = np.array([2, 1, 0.5, 0.5, 0, 0, 0, 0, 3, 2, 2, 1])  # of mean 1, as in a step
    whole, by_hand = (
        fastbp.Trainer(
            build(3, layers, "float64", weights),
            "cross_entropy",
            getattr(fastbp, kind)(**arguments),
            batch_size=4,
            shuffle=False,
        )
        for _ in range(2)
    )
    history = whole.fit(X, y, epochs=3, sample_weight=w)
    batches = (slice(0, 4), slice(8, 12))
    losses = [sum(4 * by_hand.step(X[at], y[at], w[at]) for at in batches) / 12 for _ in range(3)]
    assert history.loss == losses
    for p, q in zip(whole.network.get_weights(), by_hand.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
