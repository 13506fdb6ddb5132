"""Tables, columns and objects that are taken: to the bit what plain arrays give."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import read
from table_makers import COLUMNS, TABLES, library

import fastbp
from fastbp.data.inputs import features, sample_weights, targets
from fastbp.data.values import KINDS

DTYPES = ["float32", "float64"]
each_table = pytest.mark.parametrize("table", TABLES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def passed_on(X: Any, width: int, dtype: str) -> np.ndarray:
    """The values as a network has them: each output is one input."""
    net = fastbp.Network(width, [fastbp.Dense(width, bias=False)], dtype=dtype, seed=0)
    net.set_weights([np.eye(width)])
    return net.predict(X)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


# ---------------------------------------------------------------- to the bit


@each_table
@each_dtype
def test_each_column_of_a_mixed_table_is_what_it_is_alone(table, dtype):
    make, lacks = TABLES[table]
    columns = {name: a for name, a in COLUMNS.items() if name not in lacks}
    got = passed_on(make(columns), len(columns), dtype)
    for j, a in enumerate(columns.values()):
        alone = passed_on(a[:, None], 1, dtype)
        assert same_bits(np.ascontiguousarray(got[:, j : j + 1]), alone)


@each_dtype
@pytest.mark.parametrize(
    ("table", "kind"),
    [(t, k) for t, (_, lacks) in TABLES.items() for k in COLUMNS if k not in lacks],
)
def test_tables_of_one_dtype_are_what_arrays_are(table, dtype, kind):
    make, _ = TABLES[table]
    a = COLUMNS[kind]
    X = np.stack([a, a[::-1]], axis=1)
    frame = make({"a": a, "b": a[::-1].copy()})
    assert same_bits(passed_on(frame, 2, dtype), passed_on(X, 2, dtype))
    one = make({"a": a})
    assert same_bits(passed_on(one, 1, dtype), passed_on(a, 1, dtype))


@each_table
@each_dtype
def test_whatever_takes_arrays_takes_tables(table, dtype):
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=40), "b": rng.random(40) < 0.5, "c": rng.integers(0, 9, 40)}
    weights = {"w": rng.random(40) + 0.5}
    answers = {"p": rng.normal(size=40), "q": rng.random(40) < 0.5}
    make, _ = TABLES[table]
    given = make(columns), make(answers), make(weights)
    plain = tuple(
        np.stack([a.astype(dtype) for a in part.values()], axis=1)
        for part in (columns, answers, weights)
    )
    plain = (*plain[:2], plain[2][:, 0])
    found = []
    for X, y, w in (given, plain):
        net = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(2)], dtype=dtype, seed=1)
        trainer = fastbp.Trainer(net, "mse", "adam", batch_size=8, seed=2)
        history = trainer.fit(X, y, 2, validation_data=(X, y, w), sample_weight=w)
        loss, gradients = trainer.gradients(X, y, w)
        step = trainer.step(X, y, w)
        figures = [
            *history.loss,
            *history.val_loss,
            loss,
            step,
            *trainer.evaluate(X, y, w).values(),
        ]
        arrays = [*gradients, net.predict(X), *net.activations(X), *net.get_weights()]
        found.append((figures, [a.tobytes() for a in arrays]))
    assert found[0] == found[1]


# ---------------------------------------------------------------- what becomes of them


def test_a_single_block_of_pandas_is_not_copied():
    pd = library("pandas")
    for X in (np.ones((5, 3)), np.ones((5, 3), np.float32), np.ones((5, 3), np.uint8)):
        source = features(pd.DataFrame(X), 3, "float32")
        assert np.shares_memory(source.array, X) or pd.__version__ >= "3"  # which copies at first
        frame = pd.DataFrame(X)
        assert np.shares_memory(features(frame, 3, "float32").array, frame.to_numpy())
        assert source.kind == X.dtype.name


class Unnamed:
    """A column's label that nobody may ask for its name."""

    def __repr__(self) -> str:
        raise AssertionError("the column's name was made")


def test_a_frame_of_one_dtype_is_read_without_its_names():
    frame = library("pandas").DataFrame(np.eye(2), columns=[Unnamed(), Unnamed()])
    np.testing.assert_array_equal(features(frame, 2, "float32").array, np.eye(2))


def test_sparse_columns_by_themselves_are_taken():
    pd = library("pandas")
    sparse = pd.arrays.SparseArray([0.0, 1.5, 0.0])
    for column in (sparse, pd.Series(sparse), pd.Series(sparse).array):
        np.testing.assert_array_equal(features(column, 1, "float32").array, [0, 1.5, 0])


@pytest.mark.parametrize("make", ["pandas", "polars", "pyarrow"])
def test_columns_by_themselves_are_not_copied(make):
    a = np.arange(6.0)
    if make == "pandas":
        series = library("pandas").Series(a)
        other = series.to_numpy()
    elif make == "polars":
        series = library("polars").Series(a)
        other = series.to_numpy()
    else:
        series = library("pyarrow").array(a)
        other = series.to_numpy()
    assert np.shares_memory(features(series, 1, "float32").array, other)
    assert np.shares_memory(targets(series, 6, 1, "float32", classes=False).array, other)
    assert np.shares_memory(sample_weights(series, 6, "float32").array, other)


@each_dtype
def test_mixed_tables_become_one_array_of_the_networks_dtype(dtype):
    table = library("pyarrow").table({"a": [1.0, 2.0], "b": [True, False], "c": [3, 4]})
    source = features(table, 3, dtype)
    assert (source.kind, source.array.flags.c_contiguous) == (dtype, True)
    np.testing.assert_array_equal(source.array, [[1, 1, 3], [2, 0, 4]])


def test_small_numbers_stay_small():
    table = library("pyarrow").table({"a": np.arange(3, dtype="u1"), "b": np.arange(3, dtype="u1")})
    assert features(table, 2, "float32").kind == "uint8"
    wide = library("pyarrow").table({"a": np.arange(3.0), "b": np.arange(3.0)})
    assert features(wide, 2, "float32").kind == "float32"


def test_mixed_tables_take_the_memory_of_one_copy():
    n = 200_000
    table = library("pyarrow").table(
        {f"c{j}": np.arange(n).astype(("f8", "i8", "f4", "i2")[j % 4]) for j in range(12)}
    )
    features(table.slice(0, 10), 12, "float32")
    tracemalloc.start()
    source = features(table, 12, "float32")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * source.array.nbytes
    for j in range(12):
        np.testing.assert_array_equal(source.array[:, j], table.column(j).to_numpy())


def test_tables_wider_than_a_block_of_rows_and_longer():
    pa = library("pyarrow")
    for n, width in ((3, 700), (100_000, 3)):
        columns = {
            f"{j}": np.arange(n) % 97 + j if j % 2 else np.full(n, j / 2) for j in range(width)
        }
        got = features(pa.table(columns), width, "float64").array
        np.testing.assert_array_equal(got, np.stack(list(columns.values()), axis=1))


def test_numpys_error_settings_make_no_difference():
    table = library("pyarrow").table({"a": [1e-320, 1e-50], "b": [1, 2]})
    with np.errstate(all="raise"):
        got = features(table, 2, "float32").array
    np.testing.assert_array_equal(got, [[0, 1], [0, 2]])


def test_columns_of_equal_and_of_nested_names():
    pd = library("pandas")
    twice = pd.concat([pd.Series([1.0, 2.0], name="a"), pd.Series([True, False], name="a")], axis=1)
    np.testing.assert_array_equal(features(twice, 2, "float32").array, [[1, 1], [2, 0]])
    twice.columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    np.testing.assert_array_equal(features(twice, 2, "float32").array, [[1, 1], [2, 0]])


def test_rows_go_by_their_position():
    pd = library("pandas")
    X = pd.DataFrame({"a": [1.0, 2.0], "b": [True, False]}, index=[7, 3])
    y = pd.Series([10, 20], index=[3, 7])
    np.testing.assert_array_equal(read(features(X, 2, "float64")), [[1, 1], [2, 0]])
    np.testing.assert_array_equal(read(targets(y, 2, 1, "float64", classes=False)), [[10], [20]])


# ---------------------------------------------------------------- targets and weights


@pytest.mark.parametrize("table", ["pandas", "pandas, nullable", "polars", "pyarrow"])
def test_tables_of_one_column_are_ids_and_weights(table):
    make, _ = TABLES[table]
    ids = targets(make({"label": np.array([0, 2, 1])}), 3, 3, "float32", classes=True)
    assert (ids.class_ids, ids.kind) == (True, "int64")
    np.testing.assert_array_equal(read(ids)[:, 0], [0, 2, 1])
    weights = sample_weights(make({"w": np.array([0.5, 2.0, 1.0])}), 3, "float32")
    np.testing.assert_array_equal(read(weights)[:, 0], [0.5, 2, 1])
    one = targets(make({"y": np.array([1, 0, 1])}), 3, 1, "float32", classes=False)
    np.testing.assert_array_equal(read(one), [[1], [0], [1]])


def test_ids_stay_exact():
    many = 2**24 + 2  # float32 cannot tell the last ids apart
    ids = library("pandas").array([many - 1], dtype="Int64")
    assert read(targets(ids, 1, many, "float32", classes=True))[0, 0] == many - 1
    decimals = np.array([Decimal(many - 1)])
    assert read(targets(decimals, 1, many, "float32", classes=True))[0, 0] == many - 1


def test_targets_of_several_dtypes_are_checked_before_they_are_rounded():
    pa = library("pyarrow")
    table = pa.table({"a": [0.0, -1e-60], "b": [True, False]})  # in float32 it would be -0.0
    with pytest.raises(ValueError, match=r"y's column 'a' must hold .* got -1e-60 at row 1$"):
        targets(table, 2, 2, "float32", classes=False, low=0.0, high=1.0)
    chances = pa.table({"a": [0.25, 1.0], "b": [0.75, 0.0], "c": [False, False]})
    source = targets(chances, 2, 3, "float32", classes=True)
    np.testing.assert_array_equal(read(source), [[0.25, 0.75, 0], [1, 0, 0]])
    # no dtype has both: each value is rounded once
    both = pa.table({"a": [2**60 + 2**36 + 1], "b": [0.5]})
    source = targets(both, 1, 2, "float32", classes=False)
    np.testing.assert_array_equal(read(source), np.float32([[2**60 + 2**37, 0.5]]))
    assert (
        targets(pa.table({"a": [1], "b": [0.5]}), 1, 2, "float32", classes=False).kind == "float64"
    )


# ---------------------------------------------------------------- objects


OBJECTS = {
    "decimals and fractions": ([[Decimal("0.1"), Fraction(1, 3)]], [[0.1, 1 / 3]], "float64"),
    "booleans": (np.array([[True, np.False_]], object), [[1, 0]], "bool"),
    "whole numbers": (np.array([[1, np.int8(-2), True]], object), [[1, -2, 1]], "int64"),
    "beyond int64": (np.array([[2**64 - 1, 0]], object), [[2**64 - 1, 0]], "uint64"),
    "beyond uint64": ([[2**70, -1]], [[2.0**70, -1]], "float64"),
    "numpy's": (np.array([[np.float32(0.5), 1]], object), [[0.5, 1]], "float64"),
    "images": (np.array([[[1, 2], [3, 4.5]]], object), [[1, 2, 3, 4.5]], "float64"),
}


@pytest.mark.parametrize("case", OBJECTS)
def test_objects_that_are_numbers(case):
    X, values, kind = OBJECTS[case]
    source = features(X, len(values[0]), "float64")
    np.testing.assert_array_equal(read(source), np.array(values, kind))
    assert source.kind == kind


@settings(deadline=None)  # the first one imports what pyarrow needs
@given(
    st.lists(st.integers(-(10**20), 10**20), min_size=1, max_size=20),
    st.integers(0, 25),
    st.data(),
)
def test_decimals_are_rounded_once(wholes, scale, data):
    pa = library("pyarrow")
    values = [Decimal(whole).scaleb(-scale) for whole in wholes]
    if data.draw(st.booleans()):
        values = [Decimal(int(whole) % 10**12).scaleb(-scale) for whole in wholes]
    array = pa.array(values, pa.decimal128(38, scale))
    start = data.draw(st.integers(0, len(values) - 1))
    parts = pa.chunked_array([array.slice(start), array.slice(0, 0), array.slice(0, start)])
    expected = [float(v) for v in values]
    for given_, numbers in (
        (array, expected),
        (parts, expected[start:] + expected[:start]),
        (array.slice(start), expected[start:]),
        (pa.table({"a": array, "b": array}), expected),
    ):
        width = 2 if isinstance(given_, pa.Table) else 1
        got = read(features(given_, width, "float64"))
        np.testing.assert_array_equal(got, np.repeat(np.reshape(numbers, (-1, 1)), width, axis=1))


@pytest.mark.parametrize("make", ["pandas", "pandas, arrow", "polars"])
def test_decimals_of_other_libraries(make):
    values = [Decimal("0.10"), Decimal("-12345678901234567890.12"), Decimal("3.00")]
    if make == "pandas":
        column = library("pandas").Series(values)
    elif make == "polars":
        column = library("polars").Series(values)
    else:
        pa, pd = library("pyarrow"), library("pandas")
        column = pd.Series(values, dtype=pd.ArrowDtype(pa.decimal128(30, 2)))
    got = read(features(column, 1, "float64"))[:, 0]
    np.testing.assert_array_equal(got, [float(v) for v in values])


def test_all_kinds_are_tried():
    assert set(COLUMNS) == {dtype.name for dtype in KINDS}


# ---------------------------------------------------------------- as people do


def test_dummies_beside_numbers():
    """One-hot columns are booleans in pandas."""
    pd = library("pandas")
    frame = pd.get_dummies(
        pd.DataFrame({"age": [20.0, 30.0, 40.0], "port": ["A", "B", "A"]}), columns=["port"]
    )
    net = fastbp.Network(3, [fastbp.Dense(1)], seed=0)
    trainer = fastbp.Trainer(net, "mse", seed=0)
    for X in (frame, frame[["age"] * 3].set_axis(list("abc"), axis=1).convert_dtypes()):
        plain = np.asarray(X.astype(float))
        weights = net.get_weights()
        history = trainer.fit(X, [1.0, 2.0, 3.0])
        other = fastbp.Network(3, [fastbp.Dense(1)], seed=0)
        other.set_weights(weights)
        assert history.loss == fastbp.Trainer(other, "mse", seed=0).fit(plain, [1.0, 2.0, 3.0]).loss


@pytest.mark.parametrize("table", ["pandas", "polars", "pyarrow"])
def test_a_fit_on_a_table_goes_on_where_it_was(table, tmp_path):
    make, _ = TABLES[table]
    rng = np.random.default_rng(3)
    X = make({"a": rng.normal(size=30), "b": rng.random(30) < 0.5, "c": rng.integers(0, 9, 30)})
    y = make({"y": rng.normal(size=30)})

    def trainer() -> fastbp.Trainer:
        net = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(1)], seed=1)
        return fastbp.Trainer(net, "mse", "adam", batch_size=8, seed=2)

    whole, part, rest = trainer(), trainer(), trainer()
    history = whole.fit(X, y, 4)
    part.fit(X, y, 2, callbacks=[fastbp.Checkpoint(tmp_path)])
    assert rest.fit(X, y, 4, resume=tmp_path).loss == history.loss
    for a, b in zip(whole.network.get_weights(), rest.network.get_weights(), strict=True):
        assert same_bits(a, b)
    other = make({"a": np.zeros(30), "b": rng.random(30) < 0.5, "c": rng.integers(0, 9, 30)})
    with pytest.warns(RuntimeWarning, match="X was"):
        trainer().fit(other, y, 4, resume=tmp_path)
