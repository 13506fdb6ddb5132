"""Gradients against central differences of the reported loss, and against the oracle."""

from __future__ import annotations

import hashlib
from typing import Any

import naive
import numpy as np
import pytest
from problems import draw

import fastbp

VARIANTS = [
    (bias, k, weighted)
    for bias in (True, "shared", False)
    for k in (1, 2, 3)
    for weighted in (False, True)
]
OUTPUTS = [
    (loss, activation)
    for loss, kind in naive.LOSSES.items()
    for activation in naive.ACTIVATIONS
    if kind.fused in (None, activation)
]


def compare(found: list[Any], expected: list[Any], tolerance: float) -> None:
    """max|Δ| / max|array| of every array; arrays that are 0 but for rounding must be so in both."""
    assert len(found) == len(expected)
    for i, (f, e) in enumerate(zip(found, expected, strict=True)):
        assert f.shape == e.shape
        scale = max(np.abs(e).max(), 1e-3)
        assert np.abs(f - e).max() <= tolerance * scale, f"parameter array {i}:\n{f}\n{e}"


def drawn(*case: object) -> int:
    """A number that a case's names and numbers alone decide, as good as a random one."""
    return int.from_bytes(hashlib.sha256(repr(case).encode()).digest()[:8], "big")


def hidden_for(*case: object) -> str:
    """An activation for a case: of all draws the greatest one's.

    So another activation takes its share of the cases from all others, and changes no other pair.
    """
    return max(naive.ACTIVATIONS, key=lambda name: drawn(name, *case))


# Every loss with every output activation, number of outputs and weights, any hidden activation;
# and every hidden activation with every kind of bias. All at once would be 50,000.
CASES = [
    (hidden_for(output, loss, *variant), output, loss, *variant)
    for loss, output in OUTPUTS
    for j, variant in enumerate(VARIANTS)
    if variant[0] == [True, "shared", False][(drawn(output, loss) + j) % 3]
] + [(hidden, "tanh", "mse", *variant) for hidden in naive.ACTIVATIONS for variant in VARIANTS]


@pytest.mark.parametrize(("hidden", "output", "loss", "bias", "k", "weighted"), CASES)
def test_gradients(
    hidden: str, output: str, loss: str, bias: bool | str, k: int, weighted: bool
) -> None:
    problem = draw(hidden, output, loss, k, bias, weighted)
    layers, weights, _, X, y, w = problem
    trainer = problem.trainer()
    value, found = trainer.gradients(X, y, w)
    for p, before in zip(trainer.network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(p, before)  # gradients() makes no update

    assert value == pytest.approx(naive.error(weights, layers, loss, X, y, w), rel=1e-12)
    compare(found, naive.gradients(weights, layers, loss, X, y, w), 1e-12)

    mean = naive.as_weights(w, len(X)).mean()  # what a gradient's error has, an evaluation not

    def loss_of(moved: list[Any]) -> float:
        trainer.network.set_weights(moved)
        return trainer.evaluate(X, y, w)["loss"] * mean

    compare(found, naive.central_differences(loss_of, weights), 1e-6)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("loss", "activation"), [("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid")]
)
def test_huge_logits(loss: str, activation: str, sign: int) -> None:
    """Logits of ±1e4 in float32: right to the last digits, confident and wrong ones alike."""
    layers = [naive.Layer(3, activation)]
    weights = [1e4 * np.eye(3), np.zeros(3)]
    X = sign * np.array([[1, -1, -1], [-1, 1, 1], [1, 1, 1], [1, -1, 1.0]])
    y = np.array([0, 0, 1, 1]) if loss == "cross_entropy" else np.eye(3)[[0, 0, 1, 1]]
    net = fastbp.Network(3, [fastbp.Dense(3, activation)], dtype="float32")
    net.set_weights(weights)
    trainer = fastbp.Trainer(net, loss, fastbp.SGD(0.1), batch_size=None)
    value, found = trainer.gradients(X, y)
    expected = naive.evaluate(weights, layers, loss, X, y)
    assert expected > 1e3
    gradients = naive.gradients(weights, layers, loss, X, y)
    compare(found, gradients, 1e-6)
    for reported in (value, trainer.evaluate(X, y)["loss"], trainer.step(X, y)):
        assert reported == pytest.approx(expected, rel=1e-6)
    assert trainer.fit(X, y).loss == pytest.approx([expected], rel=1e-3)  # one small step further
    assert all(np.isfinite(p).all() for p in net.get_weights())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [a for a in naive.ACTIVATIONS if a != "exp"])
def test_huge_hidden_pre_activations(activation: str, dtype: str) -> None:
    """A saturated hidden layer gives the oracle's gradients, not NaN."""
    rng = np.random.default_rng(0)
    layers = [naive.Layer(5, activation), naive.Layer(2)]
    X = rng.choice([-1e4, -88, -3, 3, 88, 1e4], size=(8, 5))
    y = rng.normal(size=(8, 2))
    weights = [np.eye(5), np.zeros(5), rng.normal(size=(5, 2)), np.zeros(2)]
    net = fastbp.Network(5, [fastbp.Dense(u, a, bias=b) for u, a, b in layers], dtype=dtype, seed=0)
    net.set_weights(weights)
    value, found = fastbp.Trainer(net, "mse").gradients(X, y)
    assert value == pytest.approx(naive.evaluate(weights, layers, "mse", X, y), rel=1e-5)
    compare(found, naive.gradients(weights, layers, "mse", X, y), 1e-5)
