"""Settings of activations, losses and optimizers: what they change, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest

import fastbp

Z = np.array([-900.0, -20, -3, -1.5, -1e-3, -1e-6, 0, 1e-6, 1e-3, 0.5, 2, 4, 30, 900])


def outputs(activation: Any, dtype: str = "float64") -> Any:
    """f(Z)."""
    net = fastbp.Network(1, [fastbp.Dense(1, activation)], dtype=dtype, seed=0)
    net.set_weights([[[1.0]], [0.0]])
    return net.predict(Z)[:, 0]


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.3, 1.0, 2.5])
def test_leaky_relu(slope: float) -> None:
    found = outputs(fastbp.LeakyReLU(slope))
    np.testing.assert_array_equal(found, np.where(Z > 0, Z, slope * Z))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_elu(alpha: float, dtype: str) -> None:
    """To the last digits near 0 too, where exp(z) - 1 would have lost them."""
    found, z = outputs(fastbp.ELU(alpha), dtype), Z.astype(dtype).astype(np.float64)
    expected = np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))
    np.testing.assert_allclose(found, expected, rtol=8 * np.finfo(dtype).eps)


CASES: list[tuple[Any, Any, str, Callable[..., Any], Any]] = [
    # layer's activation, loss, the oracle's nearest, e of p and t, targets
    ("linear", fastbp.Huber(0.3), "huber", lambda p, t: huber(p - t, 0.3).mean(axis=1), "any"),
    ("tanh", fastbp.Quantile(0.9), "quantile", lambda p, t: pinball(t - p, 0.9), "any"),
    ("linear", fastbp.Quantile(0.2), "quantile", lambda p, t: pinball(t - p, 0.2), "any"),
    ("softmax", fastbp.CrossEntropy(0.1), "ce", lambda p, t: smoothed(p, t, 0.1), "ids"),
    ("softmax", fastbp.CrossEntropy(1.0), "ce", lambda p, t: smoothed(p, t, 1.0), "ids"),
    ("softmax", fastbp.CrossEntropy(0.3), "ce", lambda p, t: smoothed(p, t, 0.3), "shares"),
]


def huber(x: Any, delta: float) -> Any:
    return np.where(np.abs(x) <= delta, x * x / 2, delta * (np.abs(x) - delta / 2))


def pinball(x: Any, q: float) -> Any:
    return np.maximum(q * x, (q - 1) * x).mean(axis=1)


def smoothed(p: Any, t: Any, s: float) -> Any:
    t = np.eye(p.shape[1])[t] if t.ndim == 1 else t
    return -(((1 - s) * t + s / p.shape[1]) * np.log(p)).sum(axis=1)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_losses(case: int) -> None:
    """The reported loss by its formula, and the gradient by central differences of it."""
    activation, loss, _, formula, kind = CASES[case]
    rng = np.random.default_rng(case)
    layers = [fastbp.Dense(5, fastbp.ELU(0.7)), fastbp.Dense(3, activation)]
    net = fastbp.Network(4, layers, dtype="float64", seed=case)
    X = rng.normal(size=(9, 4))
    y = {
        "any": rng.normal(size=(9, 3)),
        "ids": rng.integers(3, size=9),
        "shares": rng.dirichlet(np.ones(3), size=9),
    }[kind]
    w = rng.uniform(0.5, 2, size=9)
    trainer = fastbp.Trainer(net, loss, "sgd", batch_size=None)

    def expected(weights: list[Any]) -> float:
        net.set_weights(weights)
        return float(np.mean(w * formula(net.predict(X), y)))

    weights = net.get_weights()
    value, found = trainer.gradients(X, y, w)
    assert value == pytest.approx(expected(weights), rel=1e-12)
    assert trainer.evaluate(X, y, w)["loss"] * w.mean() == pytest.approx(value, rel=1e-12)
    for f, e in zip(found, naive.central_differences(expected, weights), strict=True):
        assert naive.relative_error(f, e) <= 1e-6
    net.set_weights(weights)
    assert trainer.step(X, y, w) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_label_smoothing_in_every_epoch(dtype: str) -> None:
    """Targets that are written over in the workspace are read anew for every batch."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(4, size=40)
    nets = [fastbp.Network(3, [fastbp.Dense(4, "softmax")], dtype=dtype, seed=0) for _ in range(2)]
    t = 0.8 * np.eye(4)[y] + 0.05
    smooth = fastbp.Trainer(nets[0], fastbp.CrossEntropy(0.2), batch_size=4, seed=1)
    plain = fastbp.Trainer(nets[1], "cross_entropy", batch_size=4, seed=1)
    one, other = smooth.fit(X, y, epochs=5), plain.fit(X, t, epochs=5)
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)
    for p, q in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-6)


def test_log_cosh_of_small_and_large_differences() -> None:
    x = np.array([1e-5, 1e-2, 0.3, 0.999, 1.001, 3.0, 1e4])
    net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float32", seed=0)
    net.set_weights([[[1.0]], [0.0]])
    trainer = fastbp.Trainer(net, "log_cosh")
    for d in x.astype(np.float32):
        exact = np.float64(d)
        expected = exact**2 / 2 if d < 1e-3 else np.logaddexp(exact, -exact) - np.log(2)
        assert trainer.evaluate([d], [0.0])["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 3e3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sine(dtype: str, scale: float) -> None:
    z = (np.random.default_rng(0).uniform(-1, 1, size=100_000) * scale).astype(dtype)
    net = fastbp.Network(1, [fastbp.Dense(1, "sine", bias=False)], dtype=dtype, seed=0)
    net.set_weights([[[1.0]]])
    found, expected = net.predict(z)[:, 0].astype(np.longdouble), np.sin(z.astype(np.longdouble))
    ulp = np.spacing(np.abs(expected).astype(dtype)).astype(np.float64)
    assert float(np.max(np.abs(found - expected) / ulp)) <= 4


def test_sine_of_anything_is_bounded() -> None:
    for dtype in ("float32", "float64"):
        net = fastbp.Network(1, [fastbp.Dense(1, "sine", bias=False)], dtype=dtype, seed=0)
        net.set_weights([[[1.0]]])
        largest = float(np.finfo(dtype).max)
        found = net.predict(np.array([1e8, -1e19, largest, -largest, 0.0]))
        assert np.abs(found).max() <= 1
        assert found[-1] == 0


def test_settings_are_stored(tmp_path: Path) -> None:
    layers = [fastbp.Dense(3, fastbp.LeakyReLU(0.2)), fastbp.Dense(2, fastbp.ELU(0.5))]
    net = fastbp.Network(2, [*layers, fastbp.Dense(1, fastbp.ELU(1.0))], seed=0)
    net.save(tmp_path / "m")
    same = fastbp.Network.load(tmp_path / "m")
    assert same.layers == net.layers
    assert same.layers[2].activation == "elu"
    X = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_array_equal(same.predict(X), net.predict(X))
    assert "LeakyReLU(negative_slope=0.2)" in repr(net)


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: fastbp.LeakyReLU(-0.1), "negative_slope"),
    (lambda: fastbp.ELU(0.0), "alpha"),
    (lambda: fastbp.Huber(0.0), "delta"),
    (lambda: fastbp.Quantile(1.0), r"\bq\b"),
    (lambda: fastbp.CrossEntropy(1.5), "label_smoothing"),
    (lambda: fastbp.RMSprop(rho=1.0), "rho"),
    (lambda: fastbp.RMSprop(momentum=-0.1), "momentum"),
    (lambda: fastbp.Adagrad(epsilon=0.0), "epsilon"),
    (lambda: fastbp.Adadelta(rho=-1.0), "rho"),
    (lambda: fastbp.AdamW(weight_decay=-1.0), "weight_decay"),
    (lambda: fastbp.Adamax(beta_1=1.0), "beta_1"),
    (lambda: fastbp.NAdam(momentum_decay=-1.0), "momentum_decay"),
    (lambda: fastbp.RAdam(beta_2=1.0), "beta_2"),
    (lambda: fastbp.Lion(learning_rate=-1.0), "learning_rate"),
    (lambda: fastbp.Rprop(etas=(0.5, 0.9)), r"etas\[1\]"),
    (lambda: fastbp.Rprop(step_sizes=(1.0, 0.5)), r"step_sizes\[1\]"),
]


@pytest.mark.parametrize(("make", "name"), WRONG)
def test_out_of_range(make: Callable[[], Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        make()


def test_of_another_kind() -> None:
    with pytest.raises(TypeError, match="amsgrad"):
        fastbp.Adam(amsgrad=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="etas"):
        fastbp.Rprop(etas=0.5)  # type: ignore[arg-type]
    net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    with pytest.raises(ValueError, match="whole numbers from -1 to 1"):
        fastbp.Trainer(net, "hinge").fit([1.0, 2.0], [1.0, 0.5])
    counts = fastbp.Network(1, [fastbp.Dense(1, "exp")], seed=0)
    with pytest.raises(ValueError, match="from 0 to"):
        fastbp.Trainer(counts, "poisson").fit([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="'exp'"):
        fastbp.Trainer(net, "poisson")


@pytest.mark.parametrize("optimizer", ["adam", "rprop", "radam", "lion", "rmsprop", "adadelta"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padding_stays_zero(optimizer: str, dtype: str) -> None:
    """Weights' padding is an operand of products: no optimizer may move it."""
    net = fastbp.Network(3, [fastbp.Dense(5, "selu"), fastbp.Dense(2)], dtype=dtype, seed=0)
    trainer = fastbp.Trainer(net, "log_cosh", optimizer, batch_size=4, seed=0)
    rng = np.random.default_rng(0)
    trainer.fit(rng.normal(size=(30, 3)), rng.normal(size=(30, 2)), epochs=4)
    kept = np.zeros(net._parameters.layout.n_updated, bool)
    probe = net._parameters.buffer.copy()
    net.set_weights([np.full(w.shape, 7.0) for w in net.get_weights()])
    kept = net._parameters.buffer[: net._parameters.layout.n_updated] == 7.0
    assert not probe[: net._parameters.layout.n_updated][~kept].any()
