"""check_gradients: small errors for every kind, large ones where backpropagation is wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.kernels.functions.losses import LOSSES
from fastbp.objectives.losses import LOSSES as NAMES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4))
CLASSES = ("cross_entropy", "kl_divergence")


def targets(loss: str) -> Any:
    if loss in CLASSES:
        return RNG.integers(0, 3, 8)
    if loss in ("binary_cross_entropy", "hinge", "poisson"):
        return RNG.integers(0, 2, (8, 3))
    return RNG.normal(size=(8, 3))


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_kind(activation: str, loss: str) -> None:
    output = LOSSES[loss].requires or "linear"
    layers = [fastbp.Dense(5, activation, l2=0.5, dropout=0.5), fastbp.Dense(3, output)]
    net = fastbp.Network(4, layers, seed=1)
    before = net.get_weights()
    found = fastbp.check_gradients(net, loss, X, targets(loss), RNG.uniform(0.5, 2, 8), most=12)
    assert found.worst < 1e-6
    assert list(found.errors) == ["W0", "b0", "W1", "b1"]
    assert found.checked["W0"] + found.skipped["W0"] == 12
    assert sum(found.skipped.values()) <= 8
    for p, q in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_a_wrong_derivative_is_seen(monkeypatch: Any) -> None:
    """The right one for the check at construction, then another."""
    monkeypatch.setattr("fastbp.layers.custom._TOLERANCE", np.inf)
    wrong = fastbp.CustomActivation(lambda z: z * z, lambda z: 1.9 * z)
    net = fastbp.Network(4, [fastbp.Dense(3, wrong), fastbp.Dense(1)], seed=0)
    found = fastbp.check_gradients(net, "mse", X, X[:, 0])
    assert found.errors["W0"] > 0.01
    assert found.errors["W1"] < 1e-6


# how large X is, the targets, the weights
SCALES = {
    "ordinary": (1, 1, 1),
    "large targets": (1, 1e6, 1),
    "huge targets": (1, 1e9, 1),
    "small targets": (1, 1e-6, 1),
    "small all": (1e-6, 1e-6, 1),
    "large inputs": (1e4, 1, 1),
    "large inputs and targets": (1e4, 1e6, 1),
    "small inputs": (1e-4, 1, 1),
    "large weights": (1, 1, 1e3),
    "small weights": (1, 1, 1e-3),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["mse", "mae", "log_cosh"])
@pytest.mark.parametrize("scale", SCALES)
def test_no_false_alarms(scale: str, loss: str, dtype: str) -> None:
    of_x, of_y, of_w = SCALES[scale]
    for activation in ("tanh", "sigmoid", "relu"):
        layers = [fastbp.Dense(5, activation), fastbp.Dense(3)]
        net = fastbp.Network(4, layers, dtype=dtype, seed=1)
        net.set_weights([of_w * p for p in net.get_weights()])
        y = of_y * np.random.default_rng(2).normal(size=(8, 3))
        found = fastbp.check_gradients(net, loss, of_x * X, y, most=8)
        assert found.worst < 1e-6, activation
        assert sum(found.skipped.values()) <= 2, activation


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["activation", "rectifier", "loss"])
@pytest.mark.parametrize("scale", [name for name in SCALES if name != "huge targets"])
def test_a_derivative_that_is_off_by_a_hundredth(
    monkeypatch: Any, scale: str, kind: str, dtype: str
) -> None:
    monkeypatch.setattr("fastbp.layers.custom._TOLERANCE", np.inf)
    of_x, of_y, of_w = SCALES[scale]
    activation: Any = {
        "activation": WRONG_SINE, "rectifier": WRONG_RECTIFIER, "loss": "tanh",
    }[kind]  # fmt: skip
    loss = WRONG_LOSS if kind == "loss" else "mse"
    net = fastbp.Network(4, [fastbp.Dense(5, activation), fastbp.Dense(3)], dtype=dtype, seed=1)
    net.set_weights([of_w * p for p in net.get_weights()])
    y = of_y * np.random.default_rng(2).normal(size=(8, 3))
    found = fastbp.check_gradients(net, loss, of_x * X, y, most=8)
    arrays = ["W1", "b1"] if kind == "loss" else ["W0"]
    assert all(found.errors[name] > 3e-4 for name in arrays)
    if kind != "loss":
        assert found.errors["W1"] < 1e-6


def wrong(f: Any, derivative: Any) -> Any:
    """Made past the check at construction."""
    made: Any = object.__new__(fastbp.CustomActivation)
    made.__dict__.update(f=f, derivative=derivative, label="wrong")
    return made


WRONG_SINE = wrong(lambda z: z + 0.5 * math.sin(z), lambda z: 1.01 * (1 + 0.5 * math.cos(z)))
WRONG_RECTIFIER = wrong(lambda z: z if z > 0 else 0.1 * z, lambda z: 1.01 if z > 0 else 0.1)
WRONG_LOSS: Any = object.__new__(fastbp.CustomLoss)
WRONG_LOSS.__dict__.update(
    f=lambda p, t: (p - t) ** 2, derivative=lambda p, t: 2.02 * (p - t), label="wrong"
)


def test_a_wrong_one_is_shown_and_not_raised() -> None:
    """The comparison at a first batch is for who trains."""
    late = fastbp.CustomActivation(lambda z: z * z, lambda z: 2 * z if abs(z) < 5 else 3 * z)
    net = fastbp.Network(4, [fastbp.Dense(3, late), fastbp.Dense(1)], seed=0)
    assert fastbp.check_gradients(net, "mse", 100 * X, X[:, 0]).worst > 0.01
    with pytest.raises(ValueError, match="derivative gives"):
        fastbp.Trainer(net, "mse").gradients(100 * X, X[:, 0])


def test_many_samples_at_kinks() -> None:
    """Some sample is near a kink of each unit: the step becomes shorter, and nearly all is seen."""
    many = np.random.default_rng(3).normal(size=(2000, 4))
    net = fastbp.Network(4, [fastbp.Dense(5, "relu"), fastbp.Dense(1)], seed=1)
    found = fastbp.check_gradients(net, "mse", many, 1e3 * many[:, 0])
    assert found.worst < 1e-6
    assert sum(found.skipped.values()) <= 2


def test_weights_of_samples_are_of_any_size() -> None:
    net = fastbp.Network(4, [fastbp.Dense(5, "tanh"), fastbp.Dense(3)], seed=1)
    w = RNG.uniform(0.5, 2, 8)
    losses = [
        fastbp.check_gradients(net, "mse", X, X[:, :3], scale * w) for scale in (1e-3, 1.0, 1e3)
    ]
    assert all(found.worst < 1e-6 for found in losses)
    assert losses[0].loss == pytest.approx(losses[2].loss)


def test_kinks_are_skipped() -> None:
    """All of a unit's sums are 0, where relu has its kink."""
    net = fastbp.Network(2, [fastbp.Dense(1, "relu"), fastbp.Dense(1)], dtype="float64", seed=0)
    net.set_weights([np.ones((2, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    found = fastbp.check_gradients(net, "mse", [[1.0, -1.0], [2.0, -2.0]], [1.0, 2.0])
    assert found.skipped == {"W0": 2, "b0": 1, "W1": 0, "b1": 0}
    assert found.worst < 1e-6
    text = str(found)
    assert text.splitlines()[0].split() == ["array", "checked", "at", "kinks", "error"]
    assert text.splitlines()[2].split()[:3] == ["b0", "0", "1"]


def test_refused() -> None:
    net = fastbp.Network(2, [fastbp.Dense(1)])
    with pytest.raises(TypeError, match=r"network must be a fastbp.Network, got int"):
        fastbp.check_gradients(3, "mse", X, X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="most must be an int >= 1, got 0"):
        fastbp.check_gradients(net, "mse", [[0, 1]], [1], most=0)
    with pytest.raises(ValueError, match="loss must be one of"):
        fastbp.check_gradients(net, "msee", [[0, 1]], [1])
