"""`predict` into memory that X stands in too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.runtime import prediction, team

N = 3000


def build(n_in: int, n_out: int, dtype: str = "float32") -> fastbp.Network:
    return fastbp.Network(n_in, [fastbp.Dense(9, "tanh"), fastbp.Dense(n_out)], dtype=dtype, seed=0)


def views(buffer: Any, n: int, n_in: int, n_out: int) -> dict[str, tuple[Any, Any]]:
    """X and out in one buffer, in several ways."""
    flat = buffer[: 4 * n * max(n_in, n_out)]
    x, y = n * n_in, n * n_out
    return {
        "the same start": (flat[:x].reshape(n, n_in), flat[:y].reshape(n, n_out)),
        "out ahead by a row": (flat[:x].reshape(n, n_in), flat[n_in : n_in + y].reshape(n, n_out)),
        "out behind": (flat[n_in : n_in + x].reshape(n, n_in), flat[:y].reshape(n, n_out)),
        "backwards": (flat[:x].reshape(n, n_in)[::-1], flat[:y].reshape(n, n_out)),
        "every other": (flat[: 2 * x].reshape(n, 2 * n_in)[:, ::2], flat[:y].reshape(n, n_out)),
        "apart": (flat[:x].reshape(n, n_in), flat[x : x + y].reshape(n, n_out)),
    }


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n", [1, 7, 16, 17, N])
@pytest.mark.parametrize(("n_in", "n_out"), [(4, 4), (3, 5), (6, 2), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_outputs(
    monkeypatch: Any, dtype: str, n_in: int, n_out: int, n: int, threads: int
) -> None:
    monkeypatch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)
    net = build(n_in, n_out, dtype)
    values = np.random.default_rng(0).normal(size=4 * n * max(n_in, n_out)).astype(dtype)
    for way in views(values, n, n_in, n_out):
        X, out = views(values.copy(), n, n_in, n_out)[way]
        expected = net.predict(X.copy())
        assert net.predict(X, out=out, n_threads=threads) is out
        np.testing.assert_array_equal(out, expected, err_msg=way)


def test_other_dtypes_in_the_same_bytes() -> None:
    net = build(2, 2)
    raw = np.zeros(8 * 2 * N, np.uint8)
    X = raw[: 2 * 2 * N].view(np.float16).reshape(N, 2)
    X[:] = np.random.default_rng(0).normal(size=X.shape)
    out, expected = raw[: 4 * 2 * N].view(np.float32).reshape(N, 2), net.predict(X.copy())
    np.testing.assert_array_equal(net.predict(X, out=out), expected)


def test_what_is_apart_is_written_where_it_stands(monkeypatch: Any) -> None:
    """Bounds that overlap are looked at more closely; in doubt there is a copy."""
    base = np.random.default_rng(0).normal(size=(2 * N, 4)).astype(np.float32)
    X, out = base[:: 2 * N - 1], base[1:3]  # the first row and the last, and two between
    assert np.may_share_memory(X, out)
    assert not prediction._overlap(X, out)
    assert prediction._overlap(base, base[3:])
    monkeypatch.setattr(prediction, "_OVERLAP_WORK", 0)
    assert prediction._overlap(X, out)  # 0: by bounds alone


def test_a_bad_map_leaves_out_alone(tmp_path: Any) -> None:
    """Where memory overlaps, nothing is written before all has been read."""
    X = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(N, 4))
    X[:] = 1.0
    X[-1, 2] = np.nan
    before = np.array(X)
    with pytest.raises(ValueError, match="memory map"):
        build(4, 4).predict(X, out=np.asarray(X))
    np.testing.assert_array_equal(X, before)
