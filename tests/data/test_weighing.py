"""The mean weight of a set: exact, whatever the order of its rows and however they are cut."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fastbp.data import weighing
from fastbp.data.inputs import sample_weights

DTYPES = ["float32", "float64"]


def mean(w: Any, dtype: str) -> float:
    by, found = weighing.of_set(sample_weights(w, len(w), dtype), dtype)
    return found / by


def drawn(dtype: str, n: int, octaves: int) -> Any:
    """Weights over so many powers of two, some of them 0, whose plain sum loses digits."""
    rng = np.random.default_rng(octaves)
    w = rng.uniform(size=n) * 2.0 ** rng.integers(-octaves, octaves + 1, size=n)
    w[rng.random(n) < 0.1] = 0
    w[0] = -0.0
    return w.astype(dtype)


@pytest.mark.parametrize("octaves", [0, 3, 40, 110])
@pytest.mark.parametrize("n", [1, 7, 70_001])
@pytest.mark.parametrize("dtype", DTYPES)
def test_exact(dtype: str, n: int, octaves: int) -> None:
    w = drawn(dtype, n, octaves)
    w[-1] = 1
    expected = Fraction(math.fsum(w.tolist())) / n
    assert mean(w, dtype) == float(expected)
    assert mean(w.astype(np.float64), dtype) == float(expected)  # as they are rounded when read


@pytest.mark.parametrize("dtype", DTYPES)
def test_order_and_place(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = drawn(dtype, 100_003, 25)
    expected = mean(w, dtype)
    naive_sums = {float(np.cumsum(w[order])[-1]) for order in (slice(None), slice(None, None, -1))}
    assert len(naive_sums) == 2  # a plain sum depends on it
    rng = np.random.default_rng(0)
    for order in (np.arange(len(w))[::-1], np.argsort(w), rng.permutation(len(w))):
        assert mean(w[order], dtype) == expected
    assert mean(np.repeat(w, 2)[::2], dtype) == expected  # strided
    for chunk, exact in ((1000, 1 << 26), (1 << 16, 5000), (7, 7)):
        monkeypatch.setattr(weighing, "_CHUNK", chunk)
        monkeypatch.setattr(weighing, "_EXACT", exact)
        assert mean(w, dtype) == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_network_rounds_first(dtype: str) -> None:
    w = np.full(3, 1 + 2**-30)
    assert mean(w, dtype) == (1.0 if dtype == "float32" else w[0])
    for kind in (np.float16, np.uint8, np.int64, bool):
        assert mean(np.array([1, 0, 1, 1], kind), dtype) == 0.75


@pytest.mark.parametrize(("dtype", "sizes"), [
    ("float32", [1e-45, 1e-38, 1e38, 3.4e38]), ("float64", [5e-324, 1e-308, 1e308, 1.79e308]),
])  # fmt: skip
def test_sizes(dtype: str, sizes: list[float]) -> None:
    """Neither the mean nor what is read overflows or vanishes."""
    for size in sizes:
        w = np.array([size, 0, size, size], dtype)
        for kind in (weighing.of_set, weighing.of_rows, weighing.of_step):
            source = sample_weights(w, 4, dtype)
            by, found = kind(source, dtype) if kind is weighing.of_set else kind(source)
            assert math.frexp(by)[0] == 0.5  # a power of two
            read = (w * np.float64(by)).astype(dtype)
            assert np.isfinite(read).all()
            assert read.max() > 0
            if kind is weighing.of_set:
                assert found == 0.75 * float(read[0])
                assert 2.0**-60 < found < 2
            if kind is weighing.of_step:
                assert (found, found <= 1) == (by, True)  # w̄ is 1
            if kind is weighing.of_rows:
                assert found == 0.0
