"""check_gradients: small errors for every kind, large ones where backpropagation is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.kernels.activations import ACTIVATIONS
from fastbp.kernels.losses import LOSSES
from fastbp.losses import LOSSES as NAMES

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
    monkeypatch.setattr("fastbp.custom._TOLERANCE", np.inf)
    wrong = fastbp.CustomActivation(lambda z: z * z, lambda z: 1.9 * z)
    net = fastbp.Network(4, [fastbp.Dense(3, wrong), fastbp.Dense(1)], seed=0)
    found = fastbp.check_gradients(net, "mse", X, X[:, 0])
    assert found.errors["W0"] > 0.01
    assert found.errors["W1"] < 1e-6


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
