"""The 2-2-2 network that textbooks work through by hand, one bias a layer, number for number."""

from __future__ import annotations

import naive
import numpy as np
import problems
import pytest

import fastbp

X, T = np.array([problems.X]), np.array([problems.T])
WEIGHTS = [np.array(p) for p in problems.WEIGHTS]
LAYERS = [naive.Layer(2, "sigmoid", "shared")] * 2
H = np.array([[0.593269992107187, 0.596884378259767]])
O = np.array([[0.751365069552316, 0.772928465321463]])  # noqa: E741
LOSS = 0.298371108760003
W1_AFTER = np.array([[0.35891647971788, 0.51130127023874], [0.40866618607623, 0.56137012110799]])
W0_AFTER = np.array([[0.14978071613276, 0.24975114363237], [0.19956143226553, 0.29950228726474]])


@pytest.fixture
def net() -> fastbp.Network:
    return problems.textbook()


@pytest.fixture
def trainer(net: fastbp.Network) -> fastbp.Trainer:
    return fastbp.Trainer(net, "half_squared_error", fastbp.SGD(0.5), batch_size=1)


def test_forward(net: fastbp.Network, trainer: fastbp.Trainer) -> None:
    *outputs, logits = net.activations(X)
    np.testing.assert_allclose(outputs[0], H, rtol=0, atol=1e-15)
    np.testing.assert_allclose(outputs[1], O, rtol=0, atol=1e-15)
    np.testing.assert_allclose(logits, np.log(O / (1 - O)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(net.predict(X), O, rtol=0, atol=1e-15)
    assert trainer.evaluate(X, T)["loss"] == pytest.approx(LOSS, rel=0, abs=1e-15)


def test_one_update(net: fastbp.Network, trainer: fastbp.Trainer) -> None:
    assert trainer.step(X, T) == pytest.approx(LOSS, rel=0, abs=1e-15)
    W0, _, W1, _ = net.get_weights()
    np.testing.assert_allclose(W0, W0_AFTER, rtol=0, atol=1e-14)
    np.testing.assert_allclose(W1, W1_AFTER, rtol=0, atol=1e-14)


def test_gradients_by_hand(trainer: fastbp.Trainer) -> None:
    delta_1 = (O - T) * O * (1 - O)
    delta_0 = (delta_1 @ WEIGHTS[2].T) * H * (1 - H)
    by_hand = [X.T @ delta_0, [delta_0.sum()], H.T @ delta_1, [delta_1.sum()]]
    loss, found = trainer.gradients(X, T)
    assert loss == pytest.approx(LOSS, rel=0, abs=1e-15)
    assert len(found) == 4
    for g, expected in zip(found, by_hand, strict=True):
        assert naive.relative_error(g, expected) <= 1e-13


def test_oracle_by_hand() -> None:
    weights, history = naive.train(
        WEIGHTS, LAYERS, "half_squared_error", naive.SGD(0.5), X, T, batches=[slice(0, 1)]
    )
    assert history == pytest.approx([LOSS], rel=0, abs=1e-15)
    np.testing.assert_allclose(weights[0], W0_AFTER, rtol=0, atol=1e-14)
    np.testing.assert_allclose(weights[2], W1_AFTER, rtol=0, atol=1e-14)


@pytest.mark.parametrize("bias", [True, "shared", False])
def test_bias_gradient_is_the_sum_of_the_deltas(bias: bool | str) -> None:
    """Summed over samples, and over the units too where they share one bias."""
    rng = np.random.default_rng(0)
    layers = [naive.Layer(3, "tanh", bias), naive.Layer(2, "sigmoid", bias)]
    net = fastbp.Network(
        4, [fastbp.Dense(u, a, bias=b) for u, a, b in layers], dtype="float64", seed=0
    )
    X, y, w = rng.normal(size=(5, 4)), rng.uniform(size=(5, 2)), rng.uniform(size=5)
    _, found = fastbp.Trainer(net, "mse").gradients(X, y, w)
    deltas = naive.deltas(net.get_weights(), layers, "mse", X, y, w)
    if not bias:
        assert [g.shape for g in found] == [(4, 3), (3, 2)]
        return
    for g, delta in zip(found[1::2], deltas, strict=True):
        expected = [delta.sum()] if bias == "shared" else delta.sum(axis=0)
        assert naive.relative_error(g, expected) <= 1e-12


def test_ten_thousand_updates(net: fastbp.Network, trainer: fastbp.Trainer) -> None:
    history = trainer.fit(X, T, epochs=10_000)
    weights, losses = naive.train(
        WEIGHTS,
        LAYERS,
        "half_squared_error",
        naive.SGD(0.5),
        X,
        T,
        batches=[slice(0, 1)],
        epochs=10_000,
    )
    assert losses[-1] < 1e-4
    for p, expected in zip(net.get_weights(), weights, strict=True):
        assert naive.relative_error(p, expected) <= 1e-9
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
