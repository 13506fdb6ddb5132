"""Gradients against central differences of the reported loss, and against the oracle."""

from __future__ import annotations

from typing import Any, NamedTuple

import naive
import numpy as np
import pytest

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
    """3 inputs, 4 hidden units, k outputs, 6 samples, nothing within 0.01 of a kink."""
    layers = [naive.Layer(4, hidden, bias), naive.Layer(k, output, bias)]
    for seed in range(100):
        rng = np.random.default_rng(seed)
        weights = []
        for n_in, layer in zip((3, 4), layers, strict=True):
            weights.append(rng.normal(size=(n_in, layer.units)))
            if bias:
                weights.append(rng.normal(size=1 if bias == "shared" else layer.units))
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


def compare(found: list[Any], expected: list[Any], tolerance: float) -> None:
    """max|Δ| / max|array| of every array; arrays that are 0 but for rounding must be so in both."""
    assert len(found) == len(expected)
    for i, (f, e) in enumerate(zip(found, expected, strict=True)):
        assert f.shape == e.shape
        scale = max(np.abs(e).max(), 1e-3)
        assert np.abs(f - e).max() <= tolerance * scale, f"parameter array {i}:\n{f}\n{e}"


# Every loss with every output activation, number of outputs and weights, the hidden activation in
# turn; and every hidden activation with every kind of bias. All at once would be 50,000.
CASES = [
    (list(naive.ACTIVATIONS)[(i + j) % len(naive.ACTIVATIONS)], output, loss, *variant)
    for i, (loss, output) in enumerate(OUTPUTS)
    for j, variant in enumerate(VARIANTS)
    if variant[0] == [True, "shared", False][(i + j) % 3]
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
