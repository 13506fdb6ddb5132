"""What is too large is refused before anything changes, and what is large or small works."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import fastbp
from fastbp.kernels.maths import rng
from fastbp.runtime import memory as limits

MANY = 2**31 + 5


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes the machine one of so many bytes."""
    return lambda size: monkeypatch.setattr(limits, "memory_size", lambda: size)


def test_memory_size() -> None:
    assert limits.memory_size() > 1 << 28


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_network(dtype: str) -> None:
    layers = [fastbp.Dense(2**24) for _ in range(3)]  # overflows 64 bits in the kernels' offsets
    with pytest.raises(MemoryError, match=r"n_inputs and layers: .* [\d,]{18,} bytes, of [\d,]+ "):
        fastbp.Network(2**24, layers, dtype=dtype)


def problem() -> tuple[fastbp.Network, Any, Any]:
    rng = np.random.default_rng(0)
    net = fastbp.Network(30, [fastbp.Dense(50, "tanh"), fastbp.Dense(20)], seed=0)
    return net, rng.normal(size=(1000, 30)), rng.normal(size=(1000, 20))


def test_optimizer(small: Callable[[float], None]) -> None:
    net, _, _ = problem()
    small(4 * net.n_parameters)
    fastbp.Trainer(net, "mse", "sgd")
    with pytest.raises(
        MemoryError, match=r"optimizer: Adam's state takes: [\d,]+ bytes, of [\d,]+"
    ):
        fastbp.Trainer(net, "mse", "adam")


def test_workspace(small: Callable[[float], None]) -> None:
    """Nothing has changed when it is refused, and smaller batches still train."""
    net, X, y = problem()
    trainer = fastbp.Trainer(net, "mse", "sgd", batch_size=None)
    before = net.get_weights()
    small(100_000)
    for use in (trainer.fit, trainer.step, trainer.gradients):
        with pytest.raises(MemoryError, match=r"a workspace for \d+ rows of these layers takes"):
            use(X, y)
    for a, b in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    small(np.inf)
    assert (
        trainer.fit(X, y, epochs=3).loss[-1]
        < trainer.fit(
            X,
            y,
            epochs=0,
        ).loss.__len__()
        + 9
    )


def test_outputs(small: Callable[[float], None]) -> None:
    net, X, _ = problem()
    net.predict(X)  # the workspace stays
    small(10_000)
    with pytest.raises(MemoryError, match=r"X: the outputs of 1000 samples take: 80,000 bytes"):
        net.predict(X)


# -- many samples, few samples, no epochs ----------------------------------------------------------


def test_more_samples_than_32_bits_count(tmp_path: Path) -> None:
    """A sparse file of them begins to train; scripts/torture/many_samples.py reads all of them."""
    data = np.memmap(tmp_path / "samples", np.int8, "w+", shape=(MANY, 1))
    y = np.broadcast_to(np.float32(1), (MANY,))
    net = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    trainer = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(0.01), batch_size=100, seed=0)
    trainer.step(data[:3], y[:3])  # compiles
    handle = trainer.fit_async(data, y)
    while net.get_weights()[1][0] < 0.9:
        time.sleep(0.001)
    handle.cancel()
    handle.result()
    assert net.get_weights()[1][0] < 1
    assert net.predict(data[-5:]).shape == (5, 1)


def test_a_permutation_of_more_than_32_bits() -> None:
    out = np.empty(50_000, np.int64)
    indices(out, MANY)
    assert out.min() >= 0
    assert 2**31 - 2**18 < out.max() < MANY
    assert len(np.unique(out)) == len(out)


@numba.njit
def indices(out, n):
    rng.indices(out, n - len(out), len(out), n, True, 1, 2, 16)


def test_no_epochs_and_one_sample() -> None:
    net, X, y = problem()
    trainer = fastbp.Trainer(net, "mse", "adam", batch_size=64)
    before = net.get_weights()
    assert trainer.fit(X, y, epochs=0).loss == []
    for a, b in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(trainer.fit(X[:1], y[:1], epochs=2).loss) == 2
    with pytest.raises(ValueError, match="X must have at least one sample"):
        trainer.fit(X[:0], y[:0])
