"""Tables, columns and objects that are refused: what is named, and what to do about it."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from table_makers import library

import fastbp
from fastbp.data.inputs import features, sample_weights, targets

DAY = datetime.date(2020, 1, 2)
TEXT = ["A", "B", "A"]
NUMBERS = [1.0, 2.0, 3.0]


def pandas(column: Any) -> Any:
    pd = library("pandas")
    return pd.DataFrame({"age": NUMBERS, "x": pd.Series(column)})


def pandas_arrow(column: Any) -> Any:
    pd, pa = library("pandas"), library("pyarrow")
    array = pa.array(column)
    series = pd.Series(array, dtype=pd.ArrowDtype(array.type))
    return pd.DataFrame({"age": NUMBERS, "x": series})


def polars(column: Any) -> Any:
    return library("polars").DataFrame({"age": NUMBERS, "x": column})


def arrow(column: Any) -> Any:
    return library("pyarrow").table({"age": NUMBERS, "x": column})


LIBRARIES = {"pandas": pandas, "pandas, arrow": pandas_arrow, "polars": polars, "pyarrow": arrow}
each_library = pytest.mark.parametrize("library_", LIBRARIES)

# what it is called, and what to do about it
OTHER = {
    "text": (TEXT, "text.*encode it as numbers"),
    "dates": ([DAY] * 3, "dates?.*days since a date"),
    "moments": ([datetime.datetime(2020, 1, 2)] * 3, "date.*days since a date"),
    "durations": ([datetime.timedelta(1)] * 3, r"durations|timedelta64.*seconds"),
    "times": ([datetime.time(1)] * 3, "times.*seconds"),
    "bytes": ([b"a"] * 3, "bytes.*decode"),
    "lists": ([[1, 2]] * 3, "lists.*one number a row"),
    "records": ([{"a": 1}] * 3, "records.*each field"),
    "text and missing values": (["A", None, "B"], "text.*encode it as numbers"),
}


@each_library
@pytest.mark.parametrize("case", OTHER)
def test_columns_of_other_than_numbers_are_named(library_, case):
    column, message = OTHER[case]
    frame = LIBRARIES[library_](column)
    with pytest.raises(
        TypeError, match=rf"^X's column 'x' must hold real numbers, got .*{message}"
    ):
        features(frame, 2, "float32")
    with pytest.raises(TypeError, match=r"^y's column 'x' must hold real numbers"):
        targets(frame, 3, 2, "float32", classes=False)
    alone = frame["x"]
    with pytest.raises(TypeError, match=rf"^y must hold real numbers, got .*{message}"):
        targets(alone, 3, 1, "float32", classes=False)
    with pytest.raises(TypeError, match=rf"^sample_weight must hold real numbers, got .*{message}"):
        sample_weights(alone, 3, "float32")


@each_library
def test_text_of_digits_is_told_from_other_text(library_):
    frame = LIBRARIES[library_](["1.5", "2", "-3e4"])
    message = r" must hold real numbers, got text.*: numpy\.asarray\(values, float\) makes numbers"
    with pytest.raises(TypeError, match=rf"^X's column 'x'{message}"):
        features(frame, 2, "float32")
    with pytest.raises(TypeError, match=rf"^y{message}"):
        targets(frame["x"], 3, 1, "float32", classes=False)


@each_library
def test_labels_of_text_become_ids(library_):
    labels = LIBRARIES[library_](TEXT)["x"]
    with pytest.raises(TypeError, match=r"^y must hold real numbers, got text.*: turn text labels"):
        targets(labels, 3, 2, "float32", classes=True)


def test_categories_are_named():
    pd, pl, pa = library("pandas"), library("polars"), library("pyarrow")
    frames = (
        pandas(pd.Categorical([1, 2, 1])),
        pandas(pd.Categorical(TEXT)),
        polars(pl.Series(TEXT, dtype=pl.Categorical)),
        polars(pl.Series(TEXT, dtype=pl.Enum(["A", "B"]))),
        arrow(pa.array(TEXT).dictionary_encode()),
        pandas_arrow(pa.array(TEXT).dictionary_encode()),
    )
    for frame in frames:
        with pytest.raises(TypeError, match=r"^X's column 'x' .* got categories: encode them"):
            features(frame, 2, "float32")
        with pytest.raises(
            TypeError, match=r"^y must .* got categories: turn text labels into ids"
        ):
            targets(frame["x"], 3, 2, "float32", classes=True)


def test_other_kinds_of_pandas_are_named():
    pd = library("pandas")
    stamps = pd.to_datetime(["2020-01-01"] * 3)
    for column, message in (
        (pd.Series(stamps.tz_localize("UTC")), "dates"),
        (pd.Series(stamps.to_period("D")), "dates"),
        (pd.Series(pd.interval_range(0, 3)), "intervals"),
        (pd.Series([1j] * 3), "complex128.*real and imaginary parts"),
        (pd.Series(["A"] * 3, dtype="string"), "text"),
        (pd.Series([object()] * 3), "objects of object .*row 0"),
        (pd.Series([np.zeros(2)] * 3), r"lists .*row 0\)"),
        (pd.Series([1, DAY, "A"], dtype=object), r"dates \(.*2020, 1, 2\) in row 1\)"),
    ):
        with pytest.raises(
            TypeError, match=rf"^X's column 'x' must hold real numbers, got {message}|.*{message}"
        ):
            features(pandas(column), 2, "float32")


# ---------------------------------------------------------------- missing values


@each_library
@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, None, 3], "has a missing value (in row 1): drop or fill that row"),
        ([None, 2, None], "has 2 missing values (first in row 0): drop or fill those rows"),
        ([True, None, None], "has 2 missing values (first in row 1)"),
        ([0.5, 1.5, None], "has a missing value (in row 2)"),
        ([Decimal("0.5"), None, None], "has 2 missing values (first in row 1)"),
    ],
)
def test_missing_values_are_named_as_such(library_, column, message):
    frame = LIBRARIES[library_](column)
    with pytest.raises(ValueError, match=re.escape(f"X's column 'x' {message}")):
        features(frame, 2, "float64")
    with pytest.raises(ValueError, match=re.escape(f"y's column 'x' {message}")):
        targets(frame, 3, 2, "float64", classes=False)
    with pytest.raises(ValueError, match=re.escape(f"y {message}")):
        targets(frame["x"], 3, 1, "float64", classes=False)
    with pytest.raises(ValueError, match=re.escape(f"sample_weight {message}")):
        sample_weights(frame["x"], 3, "float64")


def test_columns_of_nothing_are_missing():
    pl, pa = library("polars"), library("pyarrow")
    for frame in (arrow(pa.nulls(3)), polars(pl.Series([None] * 3)), pandas([None] * 3)):
        with pytest.raises(ValueError, match="X's column 'x' has 3 missing values"):
            features(frame, 2, "float32")


MISSING_IN_PANDAS = {
    "Int64": ([1, None, 3], "Int64"),
    "Float32": ([1, None, 3], "Float32"),
    "boolean": ([True, None, False], "boolean"),
    "NaN": ([1, np.nan, 3], "float64"),
    "NaN in float32": ([1, np.nan, 3], "float32"),
    "sparse": ([1, np.nan, 3], "Sparse[float64, nan]"),
    "objects": ([1, np.nan, True], object),
    "decimals": ([Decimal(1), Decimal("nan"), 2.0], object),
}


@pytest.mark.parametrize("case", MISSING_IN_PANDAS)
def test_what_pandas_takes_for_missing_is_missing(case):
    pd = library("pandas")
    values, dtype = MISSING_IN_PANDAS[case]
    column = pd.Series(values, dtype=dtype)
    message = r"has a missing value \(in row 1\): drop or fill that row$"
    for frame in (
        pandas(column),
        pd.DataFrame({"x": column}),
        pd.DataFrame({"x": column, "z": column}),
    ):
        with pytest.raises(ValueError, match=rf"^X's column 'x' {message}"):
            features(frame, frame.shape[1], "float64")
    with pytest.raises(ValueError, match=rf"^y {message}"):
        targets(column, 3, 1, "float64", classes=False)
    with pytest.raises(ValueError, match=rf"^y {message}"):
        targets(column, 3, 4, "float64", classes=True)
    with pytest.raises(ValueError, match=rf"^sample_weight {message}"):
        sample_weights(column, 3, "float64")


def test_missing_objects_are_named_by_row_and_feature():
    pd = library("pandas")
    for absent in (None, pd.NA, pd.NaT):
        X = [[1.0, 2.0], [3.0, absent], [absent, 4.0]]
        for given in (X, np.array(X, object)):
            with pytest.raises(
                ValueError, match=r"^X has 2 missing values \(first in row 1, feature 1\)"
            ):
                features(given, 2, "float32")
        with pytest.raises(ValueError, match=r"^y has a missing value \(in row 1\)"):
            targets([1, absent], 2, 1, "float32", classes=False)


def test_masked_values_are_missing():
    X = np.ma.masked_array(np.ones((3, 2)), [[0, 0], [0, 1], [1, 0]])
    with pytest.raises(ValueError, match=r"^X has 2 missing values \(first in row 1, feature 1\)"):
        features(X, 2, "float32")
    with pytest.raises(ValueError, match=r"^y has a missing value \(in row 2\): drop or fill that"):
        targets(X[:, 0], 3, 1, "float32", classes=False)
    np.testing.assert_array_equal(features(X[:1], 2, "float32").array, [[1, 1]])


def test_masks_within_lists_are_not_lost():
    row = np.ma.masked_array([1, 2], [False, True])
    for X, place in (
        ([[3, 4], row], "row 1, feature 1"),
        ((row, np.ones(2)), "row 0, feature 1"),
        ([[[3, 4], [5, 6]], [[3, 4], row]], "row 1, feature 3"),
        ([[[3, 4]], row[None]], "row 1, feature 1"),
        ([row.astype(object)], "row 0, feature 1"),
    ):
        width = np.size(X[0])
        with pytest.raises(ValueError, match=rf"^X has a missing value \(in {place}\): drop or"):
            features(X, width, "float32")
        with pytest.raises(ValueError, match=r"^y has a missing value"):
            targets(X, len(X), width, "float32", classes=False)
    clean = features([row[:1], [3]], 1, "float32")
    np.testing.assert_array_equal(clean.array, [[1], [3]])


@pytest.mark.parametrize("mask", [False, [(False, True)]])
def test_masked_records_are_refused_as_records(mask):
    X = np.ma.masked_array([(1, 2)], mask, dtype=[("a", int), ("b", int)])
    with pytest.raises(
        TypeError, match=r"^X must hold real numbers, got dtype .*: give each field"
    ):
        features(X, 2, "float32")


@pytest.mark.parametrize("kind", ["Float64", "Int32"])
def test_rows_of_polars_lack_values_too(kind):
    pl = library("polars")
    dtype = pl.Array(getattr(pl, kind), 2)
    X = pl.Series([[1, 2], [3, None]], dtype=dtype)
    with pytest.raises(ValueError, match=r"^X has a missing value \(in row 1, feature 1\): drop"):
        features(X, 2, "float32")
    np.testing.assert_array_equal(features(X[:1], 2, "float32").array, [[1, 2]])
    if kind == "Float64":
        wrong = pl.Series([[1.0, 2.0], [float("nan"), 3.0]], dtype=dtype)
        with pytest.raises(ValueError, match=r"^X must hold finite .* nan at row 1, feature 0$"):
            features(wrong, 2, "float32")


# ---------------------------------------------------------------- values and their columns


@each_library
def test_values_that_do_not_fit_are_named_by_their_column(library_):
    frame = LIBRARIES[library_]([1.0, 1e300, -1e300])
    message = r"must hold finite numbers that fit float32, got 1e\+300 at row 1$"
    with pytest.raises(ValueError, match=rf"^X's column 'x' {message}"):
        features(frame, 2, "float32")
    with pytest.raises(ValueError, match=rf"^y's column 'x' {message}"):
        targets(frame, 3, 2, "float32", classes=False)
    with pytest.raises(ValueError, match=rf"^y {message}"):
        targets(frame["x"], 3, 1, "float32", classes=False)


def test_mixed_columns_are_checked_before_they_are_cast():
    table = library("pyarrow").table({"a": [1e300, 1.0], "b": [True, False]})
    with pytest.raises(ValueError, match=r"^X's column 'a' must .* got 1e\+300 at row 0$"):
        features(table, 2, "float32")
    table = library("pyarrow").table({"a": [1.0, np.inf], "b": [True, False]})
    with pytest.raises(ValueError, match=r"^X's column 'a' must .* got inf at row 1$"):
        features(table, 2, "float64")
    both = library("pyarrow").table({"a": [2**62 + 1, 1], "b": [1.0, np.nan]})
    with pytest.raises(ValueError, match=r"^y's column 'b' must .* got nan at row 1$"):
        targets(both, 2, 2, "float64", classes=False)


def test_ranges_name_columns_too():
    frame = library("pyarrow").table({"a": [0.5, 0.5], "b": [0.5, 1.5]})
    with pytest.raises(ValueError, match=r"^y's column 'b' must .* from 0 to 1, got 1.5 at row 1$"):
        targets(frame, 2, 2, "float32", classes=False, low=0.0, high=1.0)
    with pytest.raises(ValueError, match=r"^y's column 'b' must hold class ids .* got 7 at row 0$"):
        targets(library("pyarrow").table({"b": [7, 1]}), 2, 3, "float32", classes=True)
    with pytest.raises(ValueError, match=r"^sample_weight's column 'w' must .* got -1.0 at row 1$"):
        sample_weights(library("pyarrow").table({"w": [1.0, -1.0]}), 2, "float32")


def test_names_of_columns():
    pd = library("pandas")
    nested = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    for names, text in (
        ([0, 1], "column 1 "),
        (["a", "b"], "column 'b' "),
        (["a", "a"], "column 'a' (at position 1) "),
        (nested, "column ('a', 'y') "),
    ):
        frame = pd.DataFrame([[1.0, "A"]])
        frame.columns = names
        with pytest.raises(
            TypeError, match=re.escape(f"X's {text}must hold real numbers, got text")
        ):
            features(frame, 2, "float32")


def test_shapes_of_tables():
    pd, pa = library("pandas"), library("pyarrow")
    three = pd.DataFrame(index=range(3))
    for frame, message in (
        (three, r"inputs, 2, got 0: shape \(3, 0\)"),
        (pa.table({"a": pa.array([], pa.float64()), "b": pa.array([], pa.int8())}), "at least one"),
        (pd.DataFrame({"a": [], "b": []}), r"at least one sample, got none: shape \(0, 2\)"),
        (library("polars").DataFrame(), "at least one sample, got none"),
        (pd.DataFrame({"a": [1.0], "b": [True], "c": [1]}), "inputs, 2, got 3"),
    ):
        with pytest.raises(ValueError, match=f"^X must have .*{message}"):
            features(frame, 2, "float32")
    two = pa.table({"a": [0, 1], "b": [1, 0]})
    with pytest.raises(
        ValueError, match=r"^sample_weight must have shape \(2,\), got shape \(2, 2\)"
    ):
        sample_weights(two, 2, "float32")


# ---------------------------------------------------------------- containers


def test_sparse_matrices_have_words_of_their_own():
    sparse = pytest.importorskip("scipy.sparse")
    for kind in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr"):
        for form in ("array", "matrix"):
            X = getattr(sparse, f"{kind}_{form}")(np.eye(4000, 250))
            text = (
                f"X is a scipy.sparse {kind}_{form}, which fastbp can't read yet: its toarray() "
                "makes it dense, shape (4000, 250), 8 MB"
            )
            with pytest.raises(TypeError, match=re.escape(text)):
                features(X, 250, "float32")
    with pytest.raises(TypeError, match=r"^y is a scipy\.sparse csr_array"):
        targets(sparse.csr_array(np.eye(3)), 3, 3, "float32", classes=True)


class Coo:
    """Stands for an array of the library `sparse`."""

    __module__ = "sparse.numba_backend._coo.core"
    shape, dtype = (3, 2), np.dtype("f4")

    def todense(self) -> np.ndarray:
        return np.zeros(self.shape, self.dtype)


def test_sparse_arrays_of_other_libraries():
    with pytest.raises(TypeError, match=r"X is a sparse Coo, .* todense\(\) .* \(3, 2\), 24 bytes"):
        features(Coo(), 2, "float32")


def test_frames_that_wait_to_be_computed():
    lazy = polars(NUMBERS).lazy()
    for X in (lazy, library("narwhals").from_native(lazy)):
        with pytest.raises(TypeError, match=r"^X is a LazyFrame, .* its collect\(\) gives"):
            features(X, 2, "float32")


NOTHING = {
    "None": (None, "got None: give an array"),
    "dict": ({"a": [1]}, "got an object of dict: .*pandas.DataFrame makes of columns"),
    "set": ({1, 2}, "got an object of set"),
    "generator": ((i for i in range(3)), "got an object of generator"),
    "text": ("abc", "got dtype <U3: encode it"),
    "digits": ([["1", "2.5"]], r"got dtype <U3: numpy.asarray\(values, float\) makes numbers"),
    "digits as objects": (np.array([["1", 2]], object), r"got text \('1' in row 0, feature 0\)"),
    "records": (np.zeros(3, [("a", "f4")]), r"got dtype \[\('a', '<f4'\)\]: give each field"),
    "complex objects": ([[1j, None]], r"got complex numbers \(1j in row 0, feature 0\)"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_what_is_no_table_of_numbers_gets_a_way_out(case):
    X, message = NOTHING[case]
    with pytest.raises(TypeError, match=f"^X must hold real numbers, {message}"):
        features(X, 2, "float32")


def test_numbers_too_great_for_any_dtype_are_named():
    with pytest.raises(ValueError, match=r"fit float64, got 1000000.*… at row 1, feature 0$"):
        features(np.array([[1, 2], [10**400, 3]], object), 2, "float64")
    with pytest.raises(
        ValueError, match=r"fit float64, got Decimal\('sNaN'\) at row 0, feature 1$"
    ):
        features([[Decimal(1), Decimal("sNaN")]], 2, "float64")
    with pytest.raises(ValueError, match=r"fit float64, got inf at row 0, feature 0$"):
        features([[Decimal("1e400"), Decimal(1)]], 2, "float64")


def test_nothing_changes_before_a_table_is_refused():
    net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    trainer = fastbp.Trainer(net, "mse", seed=0)
    weights = net.get_weights()
    bad = arrow([1, None, 3])
    for call in (
        lambda: trainer.fit(bad, NUMBERS),
        lambda: trainer.fit(np.ones((3, 2)), NUMBERS, validation_data=(bad, NUMBERS)),
        lambda: trainer.step(bad, NUMBERS),
        lambda: trainer.gradients(bad, NUMBERS),
        lambda: trainer.evaluate(bad, NUMBERS),
        lambda: net.predict(bad),
    ):
        with pytest.raises(ValueError, match="X's column 'x' has a missing value"):
            call()
    for a, b in zip(weights, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
