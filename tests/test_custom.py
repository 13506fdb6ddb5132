"""A person's own activations and losses: the same figures as fastbp's, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import child
import naive
import numba
import numpy as np
import pytest

import fastbp
from fastbp.kernels import jit

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
        (lambda: fastbp.CustomActivation(3, lambda z: z), TypeError, "f must be a function, got 3"),
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
