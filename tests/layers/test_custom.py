"""A person's own activations and losses: the same figures as fastbp's, and what is refused."""

from __future__ import annotations

import functools
import math
from typing import Any

import child
import naive
import numba
import numpy as np
import pytest

import fastbp
from fastbp.kernels.compiling import jit

tanh = fastbp.CustomActivation(lambda z: math.tanh(z), lambda z: 1 - math.tanh(z) ** 2, "my tanh")


@numba.njit
def slanted(z: float) -> float:
    return z if z > 0 else 0.2 * z


@numba.njit
def slope(z: float) -> float:
    return 1.0 if z > 0 else 0.2


def distance(p: float, t: float) -> float:
    return (p - t) ** 2


def by_output(p: float, t: float) -> float:
    return 2 * (p - t)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_as_built_in(dtype: str) -> None:
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(70, 5)), rng.normal(size=(70, 3)), rng.uniform(0.2, 2, 70)
    found = []
    for first, second, loss in (
        ("tanh", fastbp.LeakyReLU(0.2), "mse"),
        (tanh, fastbp.CustomActivation(slanted, slope), fastbp.CustomLoss(distance, by_output)),
    ):
        layers = [fastbp.Dense(17, first), fastbp.Dense(9, second), fastbp.Dense(3, second)]
        net = fastbp.Network(5, layers, dtype=dtype, seed=0)
        drawn = np.random.default_rng(1)
        net.set_weights([0.3 * drawn.normal(size=p.shape) for p in net.get_weights()])
        trainer = fastbp.Trainer(net, loss, "adam", seed=0)
        history = trainer.fit(X, y, 5, sample_weight=w)
        found.append([*history.loss, *net.get_weights(), net.predict(X)])
    for p, q in zip(*found, strict=True):
        assert naive.relative_error(q, p) <= {"float32": 2e-4, "float64": 1e-11}[dtype]


def print_and_leave_compiled_code() -> list[float]:
    def loud(z: float) -> float:
        if z > 3:
            print("large:", z)
        return 2 * z

    def outside(z: float) -> float:
        with numba.objmode(y="float64"):
            y = float(z)
        return y / 2

    first = fastbp.CustomActivation(loud, lambda z: 2.0)
    second = fastbp.CustomActivation(outside, lambda z: 0.5)
    net = fastbp.Network(1, [fastbp.Dense(1, first), fastbp.Dense(1, second)], seed=0)
    net.set_weights([np.ones((1, 1)), np.zeros(1)] * 2)
    return net.predict(np.array([1.0, 4.0])).ravel().tolist()


def test_they_may_print_and_go_into_object_mode() -> None:
    """In a process of its own: what has no environment would wait for the GIL for ever."""
    assert child.call(print_and_leave_compiled_code, timeout=120.0) == [1.0, 4.0]


def test_undefined_in_the_padding() -> None:
    """f may be anything at 0, where a row's padding stands."""
    log = fastbp.CustomActivation(
        lambda z: math.log(z) if z > 0 else math.nan, lambda z: 1 / z if z > 0 else 0.0, "log"
    )
    net = fastbp.Network(1, [fastbp.Dense(3, log), fastbp.Dense(1)], dtype="float64", seed=0)
    weights = [np.full((1, 3), 0.5), np.ones(3), np.ones((3, 1)), np.zeros(1)]
    net.set_weights(weights)
    X = np.linspace(0, 1, 40)
    fastbp.Trainer(net, "mse", "sgd", seed=0).fit(X, X, 3)
    assert all(np.isfinite(p).all() for p in net.get_weights())


def test_what_they_are_called() -> None:
    net = fastbp.Network(2, [fastbp.Dense(3, tanh), fastbp.Dense(1)])
    assert "my tanh" in repr(net)
    names = [part.name for part in jit.PARTS]
    assert "kernel" not in names  # warmup compiles none of them


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastbp.CustomActivation(lambda z: z * z, lambda z: z), ValueError, "derivative"),
        (lambda: fastbp.CustomActivation(lambda z: "a" + z, lambda z: z), TypeError, "numba"),
        (
            lambda: fastbp.CustomActivation(3, lambda z: z),
            TypeError,
            "f must be .* got 3",
        ),
        (lambda: fastbp.CustomActivation(np.tanh, lambda z: z), TypeError, "f must be .* <ufunc"),
        (
            lambda: fastbp.CustomActivation(math.sin, math.cos),
            TypeError,
            "f must be .* sin",
        ),
        (
            lambda: fastbp.CustomLoss(distance, functools.partial(slope, 1.0)),
            TypeError,
            r"derivative must be .* written in Python.* functools.partial",
        ),
        (lambda: fastbp.CustomActivation(slanted, slope, "relu"), ValueError, "label must be none"),
        (lambda: fastbp.CustomLoss(distance, distance), ValueError, "central difference"),
        (lambda: fastbp.CustomLoss(distance, None), TypeError, "derivative must be a function"),
        (
            lambda: fastbp.CustomActivation(lambda z: math.nan * z, lambda z: z),
            ValueError,
            "no finite value",
        ),
    ],
)
def test_refused(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_not_in_a_model_file(tmp_path: Any) -> None:
    net = fastbp.Network(2, [fastbp.Dense(3, tanh), fastbp.Dense(1)])
    with pytest.raises(ValueError, match="can't hold the functions of activation 'my tanh'"):
        net.save(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------- derivatives that are compared


def named(f: Any, derivative: Any) -> fastbp.CustomActivation:
    return fastbp.CustomActivation(f, derivative, "mine")


TWO_PI = 2 * math.pi
ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "tanh": (lambda z: math.tanh(z), lambda z: 1 - math.tanh(z) ** 2),
    "small": (lambda z: 1e-6 * math.tanh(z), lambda z: 1e-6 * (1 - math.tanh(z) ** 2)),
    "tiny": (lambda z: 1e-200 * math.tanh(z), lambda z: 1e-200 * (1 - math.tanh(z) ** 2)),
    "huge": (lambda z: 1e200 * z * z, lambda z: 2e200 * z),
    "fast": (lambda z: math.sin(50 * z), lambda z: 50 * math.cos(50 * z)),
    "faster": (lambda z: math.sin(1e4 * z), lambda z: 1e4 * math.cos(1e4 * z)),
    "fastest": (lambda z: math.sin(1e7 * z), lambda z: 1e7 * math.cos(1e7 * z)),
    "of a binary period": (
        lambda z: math.sin(TWO_PI * 65536 * z),
        lambda z: TWO_PI * 65536 * math.cos(TWO_PI * 65536 * z),
    ),
    "a ripple": (lambda z: z + 0.01 * math.sin(200 * z), lambda z: 1 + 2 * math.cos(200 * z)),
    "kinks": (
        lambda z: abs(z - 1) + abs(z + 1.5),
        lambda z: (1.0 if z > 1 else -1.0) + (1.0 if z > -1.5 else -1.0),
    ),
    "softplus": (lambda z: math.log(1 + math.exp(z)), lambda z: 1 / (1 + math.exp(-z))),
    "exponential": (lambda z: math.exp(10 * z), lambda z: 10 * math.exp(10 * z)),
    "logarithm": (lambda z: math.log(z) if z > 0 else math.nan, lambda z: 1 / z),
    "of float32": (lambda z: np.float64(np.float32(z)) ** 2, lambda z: 2 * z),
}
PAIRS: dict[str, tuple[Any, Any]] = {
    "fourth": (lambda p, t: (p - t) ** 4, lambda p, t: 4 * (p - t) ** 3),
    "small": (lambda p, t: 1e-9 * (p - t) ** 2, lambda p, t: 2e-9 * (p - t)),
    "absolute": (lambda p, t: abs(p - t), lambda p, t: 1.0 if p > t else -1.0),
    "fast": (lambda p, t: math.cos(1e3 * (p - t)), lambda p, t: -1e3 * math.sin(1e3 * (p - t))),
    "smooth": (
        lambda p, t: math.sqrt(1 + (p - t) ** 2) - 1,
        lambda p, t: (p - t) / math.sqrt(1 + (p - t) ** 2),
    ),
    "relative": (lambda p, t: ((p - t) / t) ** 2, lambda p, t: 2 * (p - t) / (t * t)),
}


def times(derivative: Any, factor: float) -> Any:
    inner = numba.njit(derivative)
    if derivative.__code__.co_argcount == 1:
        return lambda z: factor * inner(z)
    return lambda p, t: factor * inner(p, t)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_of_any_size_and_speed(kind: str) -> None:
    """Right ones pass, here and at sums of any size; those off by 1 % don't."""
    f, derivative = ACTIVATIONS[kind]
    right = named(f, derivative)
    for scale in (1e-6, 1.0, 50.0, 1e4):
        z = scale * np.random.default_rng(1).normal(size=256)
        assert right._compared(z)[-1] == ""
    with pytest.raises(ValueError, match=r"mine: derivative gives .* central difference is"):
        named(f, times(derivative, 1.01))


@pytest.mark.parametrize("kind", PAIRS)
def test_losses_of_any_size_and_speed(kind: str) -> None:
    f, derivative = PAIRS[kind]
    right = fastbp.CustomLoss(f, derivative)
    for scale in (1e-6, 1.0, 1e6):
        p, t = scale * np.random.default_rng(1).normal(size=(2, 256))
        assert right._compared(p, t)[-1] == ""
        assert right._compared(p, p * (1 + 1e-3 * t / scale))[-1] == ""
    with pytest.raises(ValueError, match=r"derivative gives .* for the target .* difference is"):
        fastbp.CustomLoss(f, times(derivative, 1.01))


def test_too_rough_to_be_compared() -> None:
    with pytest.raises(ValueError, match="mine: f is too rough at every one of 64 points"):
        named(lambda z: math.sin(1e17 * z), lambda z: 1e17 * math.cos(1e17 * z))


def beyond(limit: float, wrong: float) -> fastbp.CustomActivation:
    """z², whose derivative is right up to that limit alone."""
    return named(lambda z: z * z, lambda z: 2 * z if abs(z) < limit else wrong * z)


def outside(p: float, t: float) -> float:
    return 2 * (p - t) if abs(t) < 5 else 2.1 * (p - t)


def settings(trainer: fastbp.Trainer) -> Any:
    return [trainer.position.epochs, trainer._session.engine.rates.state(), trainer.history]


def squared_units(activation: Any) -> fastbp.Network:
    net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(2, activation), fastbp.Dense(1)])
    drawn = np.random.default_rng(0)
    net.set_weights([drawn.normal(size=p.shape) for p in net.get_weights()])
    return net


CALLS: dict[str, Any] = {
    "fit": lambda trainer, X, y: trainer.fit(X, y),
    "fit_async": lambda trainer, X, y: trainer.fit_async(X, y).result(),
    "split": lambda trainer, X, y: trainer.fit(X, y, validation_split=0.2),
    "step": lambda trainer, X, y: trainer.step(X, y),
    "gradients": lambda trainer, X, y: trainer.gradients(X, y),
}


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
@pytest.mark.parametrize("call", CALLS)
def test_at_the_first_batch_of_an_activation(call: str, optimizer: str) -> None:
    """At sums that only these data give, before anything changes; at others it may be wrong."""
    X, y = np.random.default_rng(1).normal(size=(50, 2)), np.zeros(50)
    trainer = fastbp.Trainer(
        squared_units(beyond(4.5, 2.02)), "mse", optimizer, batch_size=None, seed=0
    )
    w = trainer.network.get_weights()
    w[3][:] = [6.0, -6.0]
    trainer.network.set_weights(w)
    before, stood = trainer.network.get_weights(), settings(trainer)
    with pytest.raises(
        ValueError, match=r"layers\[1\], mine, at a weighted sum of X's: derivative"
    ):
        CALLS[call](trainer, X, y)
    for p, q in zip(before, trainer.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    assert settings(trainer) == stood
    near = fastbp.Trainer(
        squared_units(beyond(40.0, 2.02)), "mse", optimizer, batch_size=None, seed=0
    )
    CALLS[call](near, X, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", CALLS)
def test_at_the_first_batch_of_a_loss(call: str, dtype: str) -> None:
    loss = fastbp.CustomLoss(distance, outside)
    X, y = np.random.default_rng(1).normal(size=(50, 2)), np.zeros(50)
    net = fastbp.Network(2, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], dtype=dtype, seed=0)
    trainer = fastbp.Trainer(net, loss, "sgd", batch_size=4, seed=0)
    y[3] = 30.0
    with pytest.raises(ValueError, match="custom, at an output and target of X and y: derivative"):
        CALLS[call](trainer, X, y)
    y[3] = 3.0
    CALLS[call](trainer, X, y)


def test_rows_without_weight_are_not_looked_at() -> None:
    loss = fastbp.CustomLoss(distance, outside)
    X, y, w = np.ones((50, 2)), np.zeros(50), np.ones(50)
    y[3], w[3] = 30.0, 0.0
    net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    fastbp.Trainer(net, loss, "sgd", seed=0).fit(X, y, sample_weight=w)


def test_compared_once_a_trainer(monkeypatch: Any) -> None:
    calls: list[int] = []
    compare = fastbp.objectives.custom.compare_at
    monkeypatch.setattr(
        "fastbp.objectives.custom.compare_at", lambda *given: (calls.append(1), compare(*given))
    )
    X, y = np.random.default_rng(1).normal(size=(50, 2)), np.zeros(50)
    trainer = fastbp.Trainer(squared_units(tanh), fastbp.CustomLoss(distance, by_output), seed=0)
    for _ in range(3):
        trainer.step(X, y)
        trainer.fit(X, y, 2)
    assert calls == [1]


def test_kinks_and_large_sets_are_no_trouble(tmp_path: Any) -> None:
    """All sums 0, where the kink is; more rows than are looked at; a map with a NaN further on."""
    leaky = fastbp.CustomActivation(slanted, slope, "leaky")
    net = fastbp.Network(2, [fastbp.Dense(3, leaky), fastbp.Dense(1)], seed=0)
    trainer = fastbp.Trainer(net, fastbp.CustomLoss(distance, by_output), "sgd", seed=0)
    trainer.step(np.zeros((4, 2)), np.zeros(4))
    X = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(5000, 2))
    X[:] = np.random.default_rng(0).normal(size=X.shape)
    trainer = fastbp.Trainer(net, fastbp.CustomLoss(distance, by_output), "sgd", seed=0)
    trainer.fit(X, np.zeros(5000))
    X[::2] = np.nan
    trainer = fastbp.Trainer(net, fastbp.CustomLoss(distance, by_output), "sgd", seed=0)
    with pytest.raises(ValueError, match="it is a memory map, read as it is trained on"):
        trainer.fit(X, np.zeros(5000))
