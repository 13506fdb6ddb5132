"""Arrays that a person hands over: what is refused, naming the value and its place."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
from sources import ramp

from fastbp.data.inputs import features, sample_weights, targets
from fastbp.data.values import CHUNK

NOT_NUMBERS = {
    "complex64": np.zeros((3, 2), np.complex64),
    "<U1": [["a", "b"]] * 3,
    "|S1": np.zeros((3, 2), "S1"),
    "datetime64[s]": np.zeros((3, 2), "M8[s]"),
    "timedelta64[s]": np.zeros((3, 2), "m8[s]"),
    "|V4": np.zeros((3, 2), "V4"),
    "[('x', '<f4')]": np.zeros(3, [("x", "<f4")]),
}


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
