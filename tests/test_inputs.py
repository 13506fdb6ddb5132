"""Arrays and scalars at the door: what is taken, how it is described, and what is refused."""

from __future__ import annotations

import ctypes
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp.checks import choice, integer, real
from fastbp.inputs import CHUNK, KINDS, SMALL, Source, features, sample_weights, targets

NATIVE = [dtype for dtype in KINDS if dtype.kind != "b"]
F32_MAX = float(np.finfo(np.float32).max)
# The first float64 that rounds to infinity in float32: half a step above its greatest value.
F32_OVER = 2.0**128 - 2.0**103


def read(source: Source) -> np.ndarray:
    """Every value where the description says it is, one address at a time."""
    dtype = np.dtype(source.kind)
    out = np.empty((source.n, source.n_features), dtype)
    for i in range(source.n):
        for j in range(source.n_features):
            step = j * source.feature_stride if source.offsets is None else source.offsets[j]
            address = source.address + i * source.row_stride + int(step)
            assert address % dtype.itemsize == 0, "the kernels read aligned values"
            raw = (ctypes.c_char * dtype.itemsize).from_address(address)
            out[i, j] = np.frombuffer(raw, dtype)[0]
    return out


def check_features(X: Any, dtype: str = "float64") -> Source:
    """Describe X, read it by the description, and compare with numpy's own flattening."""
    expected = np.asarray(X)
    expected = expected.reshape(len(expected), -1)
    source = features(X, expected.shape[1], dtype)
    np.testing.assert_array_equal(read(source), expected)
    assert (source.n, source.n_features) == expected.shape
    assert (source.feature_stride == 0) == (source.offsets is not None)
    assert not source.class_ids
    return source


def ramp(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return (np.arange(np.prod(shape)) % 101).reshape(shape).astype(dtype)


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
    """What a data frame is to us: something with `__array__`."""

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


# ---------------------------------------------------------------- what is refused

NOT_NUMBERS = {
    "complex64": np.zeros((3, 2), np.complex64),
    "object": np.zeros((3, 2), object),
    "<U1": [["a", "b"]] * 3,
    "|S1": np.zeros((3, 2), "S1"),
    "datetime64[s]": np.zeros((3, 2), "M8[s]"),
    "timedelta64[s]": np.zeros((3, 2), "m8[s]"),
    "|V4": np.zeros((3, 2), "V4"),
    "[('x', '<f4')]": np.zeros(3, [("x", "<f4")]),
}
NONE_AT_ALL = {"None": None, "missing": [[1.0, None]], "dict": {"a": 1}, "huge": [[2**70, 1]]}


@pytest.mark.parametrize("dtype", NOT_NUMBERS)
def test_other_than_real_numbers_are_refused(dtype):
    value = NOT_NUMBERS[dtype]
    with pytest.raises(
        TypeError, match=rf"^X must hold real numbers, got dtype {re.escape(dtype)}"
    ):
        features(value, 2, "float32")
    for classes in (True, False):
        with pytest.raises(TypeError, match=r"^y must hold real numbers"):
            targets(value, 3, 2, "float32", classes=classes)
    with pytest.raises(TypeError, match=r"^sample_weight must hold real numbers"):
        sample_weights(value, 3, "float32")


@pytest.mark.parametrize("case", NONE_AT_ALL)
def test_objects_are_refused(case):
    with pytest.raises(TypeError, match="X must hold real numbers, got dtype object"):
        features(NONE_AT_ALL[case], 2, "float32")


def test_text_labels_are_refused_with_a_way_out():
    with pytest.raises(TypeError, match=r"y must hold real numbers.*turn text labels into ids"):
        targets(["cat", "dog"], 2, 2, "float32", classes=True)


SHAPES = {
    "other width": (np.ones((3, 5)), 4, "features as the network has inputs, 4, got 5"),
    "scalars": (np.ones(4), 4, r"inputs, 4, got 1: .*single sample has shape \(1, n_features\)"),
    "images": (np.ones((3, 2, 3)), 5, r"inputs, 5, got 6: shape \(3, 2, 3\)"),
    "no features": (np.ones((3, 0)), 4, "inputs, 4, got 0"),
    "no samples": (np.ones((0, 4)), 4, r"at least one sample, got none: shape \(0, 4\)"),
    "empty list": ([], 1, "at least one sample"),
    "a number": (3.0, 1, r"one row a sample, got the single number 3\.0"),
    "a numpy scalar": (np.float32(3), 1, "one row a sample"),
    "ragged": ([[1, 2], [3]], 2, "rows of equal length, got list"),
    "ragged deeper": ([[[1, 2], [3]], [[1, 2], [3, 4]]], 4, "rows of equal length"),
    "masked": (np.ma.masked_array([[1.0, 2.0]], [[False, True]]), 2, "no masked values"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_wrong_shapes_are_refused(case):
    X, width, message = SHAPES[case]
    with pytest.raises(ValueError, match=f"^X must .*{message}"):
        features(X, width, "float32")


FLOATS = [np.float16, np.float32, np.float64, np.longdouble, np.dtype("f4").newbyteorder()]


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: str(np.dtype(d)))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [5, 3 * CHUNK // 8])
@pytest.mark.parametrize("order", ["C", "F", "step"])
def test_the_first_value_that_is_not_finite_is_named(dtype, bad, n, order):
    X = np.array(ramp(n, 16), dtype, order="F" if order == "F" else "C")
    X = X[:, ::2] if order == "step" else X
    X[n - 2, 5] = X[n - 3, 6] = bad
    X[n - 1, 0] = np.nan
    place = f"row {n - 3}, feature 6"
    with pytest.raises(ValueError, match=f"X must hold finite numbers .*, got {bad} at {place}$"):
        features(X, X.shape[1], "float64")
    with pytest.raises(ValueError, match=f"y must hold finite numbers .*row {n - 3}, output 6$"):
        targets(X, n, X.shape[1], "float64", classes=False)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: str(np.dtype(d)))
@pytest.mark.parametrize("width", [6, CHUNK + 6])
def test_a_single_infinity_is_found(dtype, width):
    X = np.zeros((2, width), dtype)
    X[1, width - 1] = np.inf
    with pytest.raises(ValueError, match=f"inf at row 1, feature {width - 1}$"):
        features(X, width, "float32")


@pytest.mark.parametrize("n", [3, CHUNK])
@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_finite_values_beyond_float32_are_named(n, dtype):
    X = ramp(n, 4, dtype=dtype)
    X[2, 1] = -1e300
    with pytest.raises(ValueError, match=r"that fit float32, got -1e\+300 at row 2, feature 1"):
        features(X, 4, "float32")
    features(X, 4, "float64")


def test_the_place_in_images_counts_their_flattened_values():
    X = ramp(4, 3, 5).astype(np.float32)
    X[2, 1, 3] = np.nan
    with pytest.raises(ValueError, match="row 2, feature 8"):
        features(X, 15, "float32")
    with pytest.raises(ValueError, match="row 2, feature 10"):
        features(X.transpose(0, 2, 1), 15, "float32")


def test_scalars_are_named_by_row_alone():
    with pytest.raises(ValueError, match=r"nan at row 1$"):
        features([0.0, np.nan], 1, "float32", name="X")


TARGETS = {
    # case: (y, n_outputs, options, message)
    "too short": ([0.0], 1, {}, "one row for each of the 2 samples, got 1 rows"),
    "too long": ([0, 1, 1], 2, {"classes": True}, "each of the 2 samples, got 3 rows"),
    "too narrow": (np.ones((2, 2)), 3, {}, r"shape \(2, 3\), got shape \(2, 2\)"),
    "flat": (np.ones(2), 3, {}, r"shape \(2, 3\), got shape \(2,\)"),
    "too wide for one": (np.ones((2, 2)), 1, {}, r"\(2,\) or shape \(2, 1\), got shape \(2, 2\)"),
    "images": (np.ones((2, 2, 2)), 4, {}, r"shape \(2, 4\), got shape \(2, 2, 2\)"),
    "nan": ([0, np.nan], 1, {}, "finite numbers that fit float32, got nan at row 1$"),
    "overflow": ([[0, 1e39]] * 2, 2, {}, r"got 1e\+39 at row 0, output 1"),
    "below low": ([0.5, -0.1], 1, {"low": 0, "high": 1}, "from 0 to 1, got -0.1 at row 1"),
    "above high": ([[1], [1.1]], 1, {"low": 0, "high": 1}, "got 1.1 at row 1, output 0"),
    "nan in range": ([0, np.nan], 1, {"low": 0, "high": 1}, "got nan at row 1"),
    "inf above low": ([0, np.inf], 1, {"low": 0}, "finite numbers from 0 to inf, got inf at row 1"),
    "id negative": ([0, -1], 3, {"classes": True}, "class ids from 0 to 2, got -1 at row 1"),
    "id too great": ([0, 3], 3, {"classes": True}, "class ids from 0 to 2, got 3 at row 1"),
    "id True of one": ([False, True], 1, {"classes": True}, "from 0 to 0, got True at row 1"),
    "id fractional": ([0, 1.5], 3, {"classes": True}, "class ids from 0 to 2, got 1.5 at row 1"),
    "id nan": ([0, np.nan], 3, {"classes": True}, "got nan at row 1"),
    "id uint64": (np.array([0, 2**63], np.uint64), 3, {"classes": True}, f"got {2**63} at row 1"),
    "ids in a column": (
        [[0], [1]],
        3,
        {"classes": True},
        r"class ids of shape \(2,\) or .*\(2, 1\)",
    ),
    "one-hot width": (np.eye(2), 3, {"classes": True}, r"probabilities of shape \(2, 3\), got"),
    "not one": ([[0.5, 0.5], [0.5, 0.4]], 2, {"classes": True}, "got a sum of 0.9 at row 1"),
    "over one": ([[1, 0], [1, 1]], 2, {"classes": True}, "got a sum of 2 at row 1"),
    "just off": ([[1, 0], [0.9989, 0]], 2, {"classes": True}, "got a sum of 0.9989 at row 1"),
    "negative": ([[1, 0], [1.5, -0.5]], 2, {"classes": True}, "got -0.5 at row 1, class 1"),
    "nan chance": ([[1, 0], [1, np.nan]], 2, {"classes": True}, "got nan at row 1, class 1"),
    "ragged": ([[1, 0], [1]], 2, {"classes": True}, "rows of equal length"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_wrong_targets_are_refused(case):
    y, n_outputs, options, message = TARGETS[case]
    with pytest.raises(ValueError, match=f"^y must .*{message}"):
        targets(y, 2, n_outputs, "float32", **{"classes": False, **options})


def test_late_rows_of_long_targets_are_named():
    n = 3 * CHUNK
    ids = np.zeros(n)
    for value in (2, 0.5):
        ids[n - 1] = value
        with pytest.raises(ValueError, match=f"got {float(value)} at row {n - 1}"):
            targets(ids, n, 2, "float32", classes=True)
    chances = np.full((n, 2), 0.5, np.float32)
    chances[n - 5] = 0.25
    with pytest.raises(ValueError, match=f"got a sum of 0.5 at row {n - 5}"):
        targets(chances, n, 2, "float32", classes=True)


WEIGHTS = {
    "too short": ([1.0], "each of the 2 samples, got 1 rows"),
    "two columns": (np.ones((2, 1)), r"shape \(2,\), got shape \(2, 1\)"),
    "negative": ([1, -1], "finite numbers >= 0 that fit float32, got -1 at row 1"),
    "nan": ([1, np.nan], "got nan at row 1"),
    "inf": ([1, np.inf], "got inf at row 1"),
    "overflow": ([1, 1e39], r"got 1e\+39 at row 1"),
    "all zero": ([0, 0], "hold a weight above 0 in float32, got none above 0"),
    "all lost in float32": ([1e-50, 1e-60], "got none above 1e-50"),
    "a number": (1.0, "one row a sample"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_wrong_weights_are_refused(case):
    w, message = WEIGHTS[case]
    with pytest.raises(ValueError, match=f"^sample_weight must .*{message}"):
        sample_weights(w, 2, "float32")


def test_the_name_given_is_the_name_in_the_message():
    with pytest.raises(ValueError, match=r"^validation X must"):
        features([[np.nan]], 1, "float32", name="validation X")
    with pytest.raises(ValueError, match=r"^validation y must"):
        targets([5], 1, 2, "float32", classes=True, name="validation y")


LARGE = {
    "C order": lambda X: X,
    "Fortran order": lambda X: X.T.copy().T,
    "cropped": lambda X: X.reshape(-1, 8, 8)[:, 1:7, 1:7],
    "float16": lambda X: X.astype(np.float16),
    "turned": lambda X: X[::-1, ::-1],
}


@pytest.mark.parametrize("case", LARGE)
def test_checks_of_large_arrays_take_little_memory(case):
    X = LARGE[case](np.ones((1 << 18, 64), np.float32))
    tracemalloc.start()
    features(X, X[0].size, "float32")
    targets(X.T[(0,) * (X.ndim - 1)], len(X), 1, "float32", classes=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 8


# ---------------------------------------------------------------- scalar arguments


@pytest.mark.parametrize("value", [1, 7, np.int8(7), np.uint64(7)])
def test_integers(value):
    got = integer("units", value, minimum=1, maximum=7)
    assert type(got) is int
    assert got == value


def test_integer_or_none():
    assert integer("batch_size", None, minimum=1, none=True) is None
    with pytest.raises(ValueError, match=r"^batch_size must be an int >= 1 or None, got 0$"):
        integer("batch_size", 0, minimum=1, none=True)


@pytest.mark.parametrize("value", [1.0, True, np.True_, np.float64(3), "3", None, [3], 1j])
def test_other_than_integers(value):
    with pytest.raises(TypeError, match=r"^units must be an int >= 1, got .* of type \w+$"):
        integer("units", value, minimum=1)


@pytest.mark.parametrize("value", [0, -1, 8, 10**30, np.int64(-5)])
def test_integers_out_of_range(value):
    with pytest.raises(ValueError, match=rf"^units must be an int in \[1, 7\], got {value}$"):
        integer("units", value, minimum=1, maximum=7)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int16(1), np.longdouble(0.25)])
def test_reals(value):
    got = real("rate", value, low=0, high=1, low_open=True)
    assert type(got) is float
    assert got == value


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, [1.0], np.ones(1)])
def test_other_than_reals(value):
    with pytest.raises(TypeError, match=r"^rate must be a number in \(-inf, inf\), got"):
        real("rate", value)


@pytest.mark.parametrize(
    ("value", "bounds", "takes"),
    [
        (-1.0, {"low": 0, "low_open": True}, "(0, inf)"),
        (0, {"low": 0, "low_open": True}, "(0, inf)"),
        (-0.1, {"low": 0}, "[0, inf)"),
        (1.0, {"low": 0, "high": 1, "high_open": True}, "[0, 1)"),
        (1.5, {"high": 1}, "(-inf, 1]"),
        (float("nan"), {}, "(-inf, inf)"),
        (float("inf"), {"low": 0}, "[0, inf)"),
        (-np.inf, {}, "(-inf, inf)"),
        (10**400, {}, "(-inf, inf)"),
        (np.float32("nan"), {"low": 0, "high": 1}, "[0, 1]"),
    ],
)
def test_reals_out_of_range(value, bounds, takes):
    with pytest.raises(ValueError, match=re.escape(f"rate must be in {takes}, got {value}")):
        real("rate", value, **bounds)


def test_bounds_that_are_closed_are_taken():
    assert real("rate", 0, low=0, high=1) == 0.0
    assert real("rate", 1, low=0, high=1) == 1.0


def test_choices():
    known = {"relu": 1, "tanh": 2, "sigmoid": 3}
    assert choice("activation", "tanh", known) == "tanh"
    message = "activation must be one of 'relu', 'tanh', 'sigmoid', got "
    with pytest.raises(ValueError, match=f"^{message}'sigmod' \\(did you mean 'sigmoid'\\?\\)$"):
        choice("activation", "sigmod", known)
    with pytest.raises(ValueError, match=f"^{message}'xyz'$"):
        choice("activation", "xyz", known)
    with pytest.raises(TypeError, match=f"^{message}3 of type int$"):
        choice("activation", 3, known)
    with pytest.raises(TypeError, match=r"got \[0, 0, .*\.\.\. of type list$"):
        choice("activation", [0] * 1000, known)
