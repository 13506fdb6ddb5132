"""Kernels against NumPy, one verb at a time, where all arithmetic is exact.

Operands are small whole numbers: every sum is exact in any order, so results must be equal to the
last bit, whatever the tile, the panel and the strides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from calling import function

from fastbp.kernels import gather
from fastbp.kernels.compiling import jit, simd
from fastbp.kernels.compiling.target import lanes
from fastbp.kernels.maths import matmul

DTYPES = ["float32", "float64"]
SIZES = range(1, 71)


def whole_numbers(rng: Any, shape: Any, dtype: str, most: int = 4) -> Any:
    return rng.integers(-most, most + 1, size=shape).astype(dtype)


def strided(a: Any, rng: Any) -> tuple[Any, int, int]:
    """A matrix somewhere in a field of NaN: the field, from its first value on, and its strides."""
    m, k = a.shape
    if rng.random() < 0.5:
        inner, outer = 1, k + int(rng.integers(0, 9))
    else:  # transposed
        inner, outer = m + int(rng.integers(0, 9)), 1
    field = np.full((m - 1) * outer + (k - 1) * inner + 1 + 8, np.nan, a.dtype)
    view = np.lib.stride_tricks.as_strided(field, a.shape, (outer * a.itemsize, inner * a.itemsize))
    view[:] = a
    return field, outer, inner


def check_tiles(rows: int, k: int, vectors: int, dtype: str, rng: Any) -> None:
    call, width = function(matmul.tiles, dtype), vectors * lanes(np.dtype(dtype).itemsize)
    a, b = whole_numbers(rng, (rows, k), dtype), whole_numbers(rng, (k, width), dtype)
    field, am, ak = strided(a, rng)
    bk, cm, im = width + int(rng.integers(0, 20)), width + int(rng.integers(0, 20)), 0
    padded_b = np.full((k, bk), np.nan, dtype)
    padded_b[:, :width] = b
    init = whole_numbers(rng, (1, width), dtype)
    c = np.full((rows, cm), np.nan, dtype)
    place: Any = init
    if rng.random() < 0.5:  # begin with what is there already
        init = whole_numbers(rng, (rows, width), dtype)
        c[:, :width] = init
        place, im = c, cm
    mask = rng.choice([-1.0, 0.0, -0.0, np.nan, 2.0], size=(rows, cm)).astype(dtype)
    masked = int(rng.integers(2))
    low = float(rng.choice([-np.inf, 0.0]))
    call(field, am, ak, padded_b, bk, place, im, c, cm, k, low, mask, masked, rows, vectors)
    expected = np.maximum(init + a @ b, low)
    if masked:
        expected = np.where(mask[:, :width] > 0, expected, 0)
    np.testing.assert_array_equal(c[:, :width], expected, f"{rows} x {k} x {vectors} vectors")
    assert np.isnan(c[:, width:]).all(), "written beyond the tile"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", [1, 2])
def test_tiles(vectors: int, dtype: str) -> None:
    rng = np.random.default_rng(vectors)
    for size in SIZES:
        for _ in range(3):
            check_tiles(size, int(rng.integers(1, 71)), vectors, dtype, rng)
            check_tiles(int(rng.integers(1, 71)), size, vectors, dtype, rng)
    for k in (1000, 2047, 2048, 2049, 5000):
        check_tiles(int(rng.integers(1, 300)), k, vectors, dtype, rng)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_keep_nan(dtype: str) -> None:
    """Also where negative sums are clamped: a NaN stays visible."""
    width = 2 * lanes(np.dtype(dtype).itemsize)
    a, b = np.ones((5, 3), dtype), -np.ones((3, width), dtype)
    a[2, 1] = np.nan
    c, zeros = np.empty((5, width), dtype), np.zeros(width, dtype)
    function(matmul.tiles, dtype)(a, 3, 1, b, width, zeros, 0, c, width, 3, 0.0, c, 0, 5, 2)
    assert np.isnan(c[2]).all()
    np.testing.assert_array_equal(np.delete(c, 2, axis=0), 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose(dtype: str) -> None:
    """Every number of rows up to a vector, every number of columns; nothing beside them."""
    call, rng = function(matmul.transpose, dtype), np.random.default_rng(0)
    for rows in range(1, lanes(np.dtype(dtype).itemsize) + 1):
        for columns in SIZES:
            source = rng.normal(size=(rows, columns + int(rng.integers(0, 9)))).astype(dtype)
            target = np.full((columns, rows + int(rng.integers(0, 9))), np.nan, dtype)
            call(source, source.shape[1], target, target.shape[1], rows, columns)
            np.testing.assert_array_equal(target[:, :rows], source[:, :columns].T)
            assert np.isnan(target[:, rows:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_dots(dtype: str) -> None:
    """A narrow layer: weights in panels over the inputs, a row an output."""
    call, rng = function(matmul.dots, dtype), np.random.default_rng(0)
    vector = lanes(np.dtype(dtype).itemsize)
    for n_in in [*SIZES, 700, 2049]:
        for n_out in range(1, 6):
            rows, whole = int(rng.integers(1, 71)), -(-n_in // vector) * vector
            am, cm = whole + int(rng.integers(0, 9)), n_out + int(rng.integers(0, 9))
            a = whole_numbers(rng, (rows, am), dtype)  # finite in the padding
            w, bias = np.zeros((n_out, whole), dtype), whole_numbers(rng, n_out, dtype)
            w[:, :n_in] = whole_numbers(rng, (n_out, n_in), dtype)
            panels = [w[:, j : j + 2 * vector].ravel() for j in range(0, whole, 2 * vector)]
            c = np.full((rows, cm), np.nan, dtype)
            call(a, am, np.concatenate(panels), n_in, bias, c, cm, rows, n_out)
            np.testing.assert_array_equal(c[:, :n_out], a[:, :n_in] @ w[:, :n_in].T + bias)
            np.testing.assert_array_equal(c[:, n_out:], 0)


# -- gather ----------------------------------------------------------------------------------------


def sources(kind: str, n: int, rng: Any) -> list[Any]:
    """Six samples of n values of that dtype, in memory of every shape."""
    if kind == "bool":
        plain = rng.random((6, n)) < 0.5
    elif kind.startswith("float"):
        plain = rng.normal(size=(6, n)).astype(kind)
    else:
        info = np.iinfo(kind)
        plain = rng.integers(info.min, info.max, size=(6, n), dtype=kind, endpoint=True)
    wide = np.zeros((6, 3 * n), plain.dtype)
    wide[:, ::3] = plain
    return [
        plain,
        np.asfortranarray(plain),
        wide[:, ::3],
        plain[::-1, ::-1],
        np.broadcast_to(plain[:1], (6, n)),
        np.broadcast_to(plain[:, :1], (6, n)),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", gather.READERS)
def test_values_of_every_dtype_and_stride(kind: str, dtype: str) -> None:
    """As NumPy's astype rounds; zero in the padding. Each reader's code can be kept on disk."""
    call, rng = function(gather.READERS[kind], dtype), np.random.default_rng(0)
    kept = gather.READERS[kind].kept_at(dtype)
    assert kept is None or kept.exists()
    for n in [*SIZES, 300]:
        for a in sources(kind, n, rng):
            index, vector = rng.integers(6, size=5), lanes(np.dtype(dtype).itemsize)
            ld = -(-(n + int(rng.integers(0, 17))) // vector) * vector if n > 1 else 1
            offsets = np.arange(n, dtype=np.int64) * a.strides[1]
            expected = np.zeros((5, ld), dtype)
            expected[:, :n] = a[index]
            for step in {a.strides[1], 0}:  # 0: by the offsets
                out = np.full((6, ld), np.nan, dtype)
                assert call(out, a, a.strides[0], step, offsets, index, 5, n, ld) == 0
                np.testing.assert_array_equal(out[:5], expected)
                assert np.isnan(out[5]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_half(dtype: str) -> None:
    """All 65,536 of them: denormals, signed zeros, Inf and NaN."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    out = np.empty(1 << 16, dtype)
    index = np.zeros(1, np.int64)
    function(gather.READERS["float16"], dtype)(out, halves, 0, 2, index, index, 1, 1 << 16, 1 << 16)
    np.testing.assert_array_equal(out, halves.astype(dtype))
    np.testing.assert_array_equal(np.signbit(out), np.signbit(halves))


def test_class_ids() -> None:
    """One-hot rows in place of the ids; those that are none are counted, and set nothing."""
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        run = one_hot.compiled(dtype)
        for n in [2, 3, 16, 17, 70]:
            ids, ld = rng.integers(n, size=40).astype(float), n + int(rng.integers(0, 9))
            ids[[3, 5, 7, 9]] = n, 100, -1, np.nan
            out = np.full((41, ld), np.nan, dtype)
            out.reshape(-1)[:40] = ids
            good = (ids >= 0) & (ids < n)
            expected = np.zeros((40, ld), dtype)
            expected[good, ids[good].astype(int)] = 1
            assert run(0.0, out.ctypes.data, 40, n, ld) == 4
            np.testing.assert_array_equal(out[:40], expected)
            assert np.isnan(out[40]).all()


@jit.entry
def one_hot(tag, out, rows, n, ld):  # type: ignore[no-untyped-def]
    return gather.one_hot(simd.pointer(tag, out), rows, n, ld)
