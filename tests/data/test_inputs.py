"""Arrays that a person hands over: what is taken, and how it is described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import check_features, ramp, read

from fastbp.data.inputs import features, sample_weights, targets
from fastbp.data.values import CHUNK, KINDS, SMALL

NATIVE = [dtype for dtype in KINDS if dtype.kind != "b"]
F32_MAX = float(np.finfo(np.float32).max)
# The first float64 that rounds to infinity in float32: half a step above its greatest value.
F32_OVER = 2.0**128 - 2.0**103


# ---------------------------------------------------------------- layouts


@st.composite
def layouts(draw: st.DrawFn) -> np.ndarray:
    """A view of any layout: axes permuted, sliced with steps of either sign, or broadcast."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    a = ramp(*shape, dtype=draw(st.sampled_from(NATIVE)))
    a = a.transpose(draw(st.permutations(range(a.ndim))))
    for axis in range(a.ndim):
        step = draw(st.sampled_from([1, 1, 2, -1, -2]))
        start = draw(st.integers(0, a.shape[axis] - 1))
        a = np.moveaxis(np.moveaxis(a, axis, 0)[start::step], 0, axis)
    if draw(st.booleans()):
        axis = draw(st.integers(0, a.ndim))
        a = np.broadcast_to(np.expand_dims(a, axis), (*a.shape[:axis], 3, *a.shape[axis:]))
    a.flags.writeable = draw(st.booleans()) and a.flags.writeable
    return a


@given(layouts())
def test_any_layout_is_read_where_it_lies(a):
    source = check_features(a)
    assert np.shares_memory(source.array, a)
    assert source.kind == a.dtype.name
    assert not source.lazy


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("network", ["float32", "float64"])
def test_every_native_dtype_is_read_without_a_copy(dtype, network):
    X = ramp(7, 3, dtype=dtype)
    source = check_features(X, network)
    assert source.kind == dtype.name
    assert source.array is X


WIDE = ramp(6, 8, 10)
EVEN = {  # features one step apart: (view, row stride, feature stride)
    "C order": (ramp(6, 8), 32, 4),
    "Fortran order": (np.asfortranarray(ramp(6, 8)), 4, 24),
    "scalars": (ramp(6), 4, 4),
    "every other scalar": (ramp(6)[::2], 8, 4),
    "one column of many": (ramp(6, 8)[:, 3:4], 32, 4),
    "backwards": (ramp(6, 8)[::-1, ::-1], -32, -4),
    "every other feature": (ramp(6, 8)[:, ::2], 32, 8),
    "images, C order": (WIDE, 320, 4),
    "images of one row": (WIDE[:, :1, ::3], 320, 12),
    "images of one column": (WIDE[:, :, 2:3], 320, 40),
    "one row for all samples": (np.broadcast_to(ramp(8), (6, 8)), 0, 4),
    "one sample": (ramp(1, 8), 32, 4),
    "one sample of one feature": (ramp(1, 1), 4, 4),
}


@pytest.mark.parametrize("case", EVEN)
def test_evenly_spaced_features_need_no_offsets(case):
    X, row, feature = EVEN[case]
    source = check_features(X)
    assert (source.row_stride, source.feature_stride) == (row, feature)


UNEVEN = {
    "cropped images": WIDE[:, 1:5, 2:7],
    "images with axes exchanged": WIDE.transpose(0, 2, 1),
    "images in Fortran order": np.asfortranarray(WIDE),
    "one value for all features": np.broadcast_to(ramp(6)[:, None], (6, 8)),
    "images turned round": WIDE[:, ::-1, ::-1][:, :, :4],
}


@pytest.mark.parametrize("case", UNEVEN)
def test_unevenly_spaced_features_get_offsets(case):
    assert check_features(UNEVEN[case]).offsets.shape == (UNEVEN[case][0].size,)


# ---------------------------------------------------------------- what is taken


class Frame:
    """Stands for a data frame, of which fastbp only uses `__array__`."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values if dtype is None else self.values.astype(dtype)


LIKE_ARRAYS = {
    "list": [[1, 2], [3, 4]],
    "tuple": ((1.5, 2), (3, 4)),
    "list of scalars": [1, 2, 3],
    "list of arrays": [np.ones(3), np.zeros(3)],
    "nested lists": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
    "frame": Frame([[1.0, 2.0]]),
    "memoryview": memoryview(ramp(3, 2)),
    "mask with nothing masked": np.ma.masked_array([[1.0, 2.0]], mask=False),
    "buffer of bytes": np.frombuffer(bytes(range(8)), np.uint8).reshape(4, 2),
}


@pytest.mark.parametrize("case", LIKE_ARRAYS)
def test_whatever_numpy_reads_is_taken(case):
    check_features(LIKE_ARRAYS[case])


PACKED = np.zeros(5, np.dtype([("tag", "u1"), ("x", "f4", (3,)), ("id", "i8")]))
PACKED["x"], PACKED["id"] = ramp(5, 3), range(5)
CONVERTED = {
    "long double": ramp(5, 3, dtype=np.longdouble),
    "foreign float64": ramp(5, 3).astype(np.dtype("f8").newbyteorder()),
    "foreign int16": ramp(5, 3).astype(np.dtype("i2").newbyteorder()),
    "misaligned": PACKED["x"],
    "misaligned, every other": PACKED["x"][::2, ::2],
}


@pytest.mark.parametrize("case", CONVERTED)
@pytest.mark.parametrize("network", ["float32", "float64"])
def test_what_kernels_cannot_read_is_converted_to_the_networks_dtype(case, network):
    X = CONVERTED[case]
    assert not X.flags.aligned or X.dtype not in KINDS
    source = check_features(X, network)
    assert source.kind == network
    assert not np.shares_memory(source.array, X)


def test_small_floats_of_other_libraries_are_taken():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    X = ramp(5, 3).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(read(features(X, 3, "float32")), X.astype(np.float32))
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"X must hold finite .* row 3, feature 1"):
        features(X, 3, "float32")


def test_float64_that_rounds_to_a_finite_float32_is_taken():
    edge = np.nextafter(F32_OVER, 0)
    assert np.isfinite(np.float32(edge))
    features([[edge, -edge]], 2, "float32")
    features(np.full((1, SMALL + 1), edge), SMALL + 1, "float32")
    for value in (F32_OVER, -F32_OVER):
        with pytest.raises(ValueError, match="fit float32"):
            features([[0.0, value]], 2, "float32")
        features([[0.0, value]], 2, "float64")
    features(np.full((2, 2), F32_MAX, np.float32), 2, "float32")
    features(np.full((2, 2), np.finfo(np.float64).max), 2, "float64")
    features(np.full((2, 2), np.finfo(np.float16).max), 2, "float32")


# ---------------------------------------------------------------- memory maps


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap:
    a = np.memmap(tmp_path / "X", np.float32, "w+", shape=(40, 6))
    a[:] = ramp(40, 6)
    return a


MAP_VIEWS = {
    "itself": lambda m: m,
    "as a plain array": np.asarray,
    "rows of it": lambda m: np.asarray(m)[5:30:2],
    "turned": lambda m: np.asarray(m)[::-1, ::-1],
    "reshaped": lambda m: m.reshape(40, 2, 3).transpose(0, 2, 1),
    "read again": lambda m: np.memmap(m.filename, np.float32, "r", shape=(40, 6)),
}


@pytest.mark.parametrize("case", MAP_VIEWS)
def test_memory_maps_are_left_unread(mapped, case):
    mapped[20, 3] = np.nan
    view = MAP_VIEWS[case](mapped)
    source = check_features(view)
    assert source.lazy
    assert np.shares_memory(source.array, view)
    column = view[:, 1, 1] if view.ndim == 3 else view[:, 3]
    assert targets(column, len(view), 1, "float32", classes=False).lazy


@pytest.mark.parametrize("copied", [np.memmap.copy, lambda m: m + 0, lambda m: m[[1, 20]]])
def test_copies_of_memory_maps_are_checked(mapped, copied):
    mapped[20, 3] = np.nan
    with pytest.raises(ValueError, match="feature 3"):
        features(copied(mapped), 6, "float32")


def test_memory_maps_kernels_cannot_read_are_checked_and_copied(tmp_path):
    path = tmp_path / "X"
    ramp(5, 3).astype(">f4" if np.little_endian else "<f4").tofile(path)
    X = np.memmap(path, ">f4" if np.little_endian else "<f4", "r+", shape=(5, 3))
    source = check_features(X, "float32")
    assert not source.lazy
    X[4, 2] = np.inf
    with pytest.raises(ValueError, match="inf at row 4, feature 2"):
        features(X, 3, "float32")


def test_targets_with_rules_are_checked_in_memory_maps_too(mapped):
    column, n = mapped[:, 0], len(mapped)
    column[:] = np.arange(n) % 3
    ids = targets(column, n, 3, "float32", classes=True)
    assert ids.class_ids
    assert not ids.lazy
    assert not sample_weights(column, n, "float32").lazy
    column[7] = 3
    with pytest.raises(ValueError, match=r"got 3\.0 at row 7"):
        targets(column, n, 3, "float32", classes=True)
    with pytest.raises(ValueError, match="row 7"):
        targets(column, n, 1, "float32", classes=False, low=0, high=2)
    column[7] = -1
    with pytest.raises(ValueError, match="row 7"):
        sample_weights(column, n, "float32")
    column[7] = 0
    with pytest.raises(ValueError, match=r"sum to 1 .* at row 0"):
        targets(mapped, n, 6, "float32", classes=True)


# ---------------------------------------------------------------- targets and weights


def test_numbers_as_targets():
    for y in (ramp(9), ramp(9, 1), list(range(9)), ramp(9, dtype=np.int8), ramp(18)[::-2]):
        source = targets(y, 9, 1, "float32", classes=False)
        np.testing.assert_array_equal(read(source), np.reshape(y, (9, 1)))
        assert not source.class_ids
    y = np.asfortranarray(ramp(9, 4))
    np.testing.assert_array_equal(read(targets(y, 9, 4, "float32", classes=False)), y)
    targets([0, 1, 0.5], 3, 1, "float32", classes=False, low=0.0, high=1.0)
    targets([0, 1e30], 2, 1, "float32", classes=False, low=0.0)
    targets([-1e30, 0], 2, 1, "float32", classes=False, high=0.0)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_class_ids_of_any_dtype(dtype):
    y = (np.arange(9) % 2).astype(dtype)
    source = targets(y, 9, 2, "float32", classes=True)
    assert source.class_ids
    assert (source.kind, source.n_features, source.lazy) == (dtype.name, 1, False)
    np.testing.assert_array_equal(read(source)[:, 0], y)


def test_class_ids_kernels_cannot_read_stay_exact():
    many = 2**24 + 2  # float32 cannot tell the last ids apart
    y = PACKED["id"] + 0
    for ids in (PACKED["id"], y.astype(y.dtype.newbyteorder()), y.astype(np.longdouble)):
        source = targets(ids, 5, 5, "float32", classes=True)
        assert source.kind == "int64"
        np.testing.assert_array_equal(read(source)[:, 0], y)
    big = np.array([many - 1], y.dtype.newbyteorder())
    assert read(targets(big, 1, many, "float32", classes=True))[0, 0] == many - 1


def test_class_probabilities():
    onehot = np.eye(3)[[0, 2, 1, 1]]
    near = onehot * 0.9991
    for y in (onehot, onehot.astype(bool), onehot.astype(np.uint8), near, onehot.tolist()):
        source = targets(y, 4, 3, "float32", classes=True)
        assert not source.class_ids
        np.testing.assert_array_equal(read(source), y)
    targets(np.ones((2, 1)), 2, 1, "float32", classes=True)
    half = np.random.default_rng(0).dirichlet(np.ones(50), 400).astype(np.float16)
    targets(half, 400, 50, "float32", classes=True)


def test_weights():
    for w in ([0, 1, 2], np.array([True, False, True]), [0, 0, 1e-30], ramp(6)[::2]):
        np.testing.assert_array_equal(read(sample_weights(w, 3, "float32"))[:, 0], w)
    for place in (0, 3 * CHUNK - 1):  # the one weight above 0 in any chunk
        w = np.zeros(3 * CHUNK)
        w[place] = 2.0
        sample_weights(w, len(w), "float32")
