"""Function pointers for C programs and SciPy."""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, ndimage

import fastbp
import fastbp.jit

SOURCE = """
#include <stdint.h>
typedef int64_t (*function)(void *, const float *, float *, int64_t);

int64_t fill(function f, void *state, const float *in, float *out, int64_t n, int64_t times)
{
    int64_t status = 0;
    for (int64_t i = 0; i < times && !status; i++)
        status = f(state, in, out, n);
    return status;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_c_library_predicts_and_trains(tmp_path: Path) -> None:
    source, library = tmp_path / "host.c", tmp_path / "host.so"
    source.write_text(SOURCE)
    command = ["gcc", "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, str(source), "-o", str(library)], check=True)
    fill = ctypes.CDLL(str(library)).fill
    fill.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 2
    fill.restype = ctypes.c_int64

    def made() -> fastbp.Trainer:
        network = fastbp.Network(3, [fastbp.Dense(20, "tanh"), fastbp.Dense(2)], seed=0)
        return fastbp.Trainer(network, "mse", "adam", seed=0)

    here, there = made(), made()
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(8, 3)).astype("f"), rng.normal(size=(8, 2)).astype("f")
    both, loss, out = np.concatenate([X.ravel(), Y.ravel()]), np.empty(1, "f"), np.empty_like(Y)
    train, predict = here.c_function(), here.network.c_function()
    data = [a.ctypes.data for a in (both, loss)]
    assert fill(train.address, train.state_address, *data, 8, 5) == fastbp.jit.OK
    expected = [there.step(X, Y) for _ in range(5)]
    assert loss[0] == np.float32(expected[-1])
    del here  # the functions keep alive what they need
    gc.collect()
    arguments = predict.state_address, X.ctypes.data, out.ctypes.data, 8, 1
    assert fill(predict.address, *arguments) == fastbp.jit.OK
    np.testing.assert_allclose(out, there.network.predict(X), rtol=1e-5, atol=1e-6)
    copy = train._cells.copy()
    assert fill(train.address, copy.ctypes.data, *data, 8, 1) == fastbp.jit.WRONG_STATE
    assert fill(train.address, train.state_address, *data, 33, 1) == fastbp.jit.WRONG_SHAPE


def test_signature() -> None:
    network = fastbp.Network(1, [fastbp.Dense(1)], dtype="float64", seed=0)
    expected = "int64_t (*)(void *, const double *, double *, int64_t)"
    assert network.c_function().cffi_signature == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scipy(dtype: str) -> None:
    network = fastbp.Network(1, [fastbp.Dense(9, "tanh"), fastbp.Dense(1)], dtype=dtype, seed=2)
    callable_ = network.c_function().scipy_integrand  # which alone keeps all alive
    gc.collect()
    found, _ = integrate.quad(callable_, -1.0, 2.0, epsabs=1e-5)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    expected = 1.5 * weights @ network.predict(0.5 + 1.5 * nodes)[:, 0]
    assert found == pytest.approx(expected, abs=1e-5)

    filtering = fastbp.Network(9, [fastbp.Dense(5, "relu"), fastbp.Dense(1)], dtype=dtype, seed=3)
    image = np.random.default_rng(0).normal(size=(12, 10))
    filtered = ndimage.generic_filter(image, filtering.c_function().scipy_filter, size=3)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3)).reshape(-1, 9)
    inner = filtering.predict(windows).reshape(10, 8)
    np.testing.assert_allclose(filtered[1:-1, 1:-1], inner, rtol=1e-4, atol=1e-6)
    with pytest.raises(RuntimeError, match="filter function"):  # a footprint of 25 places
        ndimage.generic_filter(image, filtering.c_function().scipy_filter, size=5)
