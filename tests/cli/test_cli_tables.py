"""Tables on the command line: how files are read and columns prepared, missing values."""

from __future__ import annotations

from pathlib import Path

import command_line
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import QUICK, fail, run, write

import fastbp
from fastbp.tabular import files
from fastbp.tabular.files import read_table
from fastbp.tabular.prepare import prepare

folder = command_line.folder  # a fixture


# -- the training part alone -----------------------------------------------------------------------


def prepared(path="data.csv", target="y", *, validation=0.25, seed=0, **options):
    settings = {"task": "auto", "ignore": [], "missing": "error", "unseen": "error", **options}
    rng = np.random.default_rng(seed)
    return prepare(read_table(path), target, validation=validation, rng=rng, **settings)


def test_statistics_are_of_the_training_part():
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=80), "s": rng.choice(["p", "q"], 80), "y": rng.normal(size=80)}
    for i in range(0, 80, 9):
        columns["x"][i] = np.nan
        columns["s"][i + 1] = ""
    write("data.csv", columns)
    run("train", "data.csv", "--target", "y", "--missing", "mean", "--validation", 0.25, *QUICK)
    stored = fastbp.Network.load("model.safetensors").metadata["table"]

    ready = prepared(missing="mean", seed=3)
    rows, held = ready.train.rows - 2, ready.validation.rows - 2
    assert (len(rows), len(held)) == (60, 20)
    assert sorted([*rows, *held]) == list(range(80))
    x, s, y = (columns[name][rows] for name in "xsy")
    assert stored["columns"][0]["mean"] == pytest.approx(np.nanmean(x), rel=1e-12)
    assert stored["columns"][0]["scale"] == pytest.approx(np.nanstd(x), rel=1e-12)
    assert stored["target"]["mean"] == pytest.approx(y.mean(), rel=1e-12)
    assert stored["target"]["scale"] == pytest.approx(y.std(), rel=1e-12)
    words, counts = np.unique(s[s != ""], return_counts=True)
    assert stored["columns"][1]["fill"] == words[counts.argmax()]


def test_the_split_is_stratified():
    y = ["a"] * 40 + ["b"] * 9 + ["c"] * 10 + ["d"]
    write("data.csv", {"x": range(60), "y": y})
    ready = prepared()
    held = ready.validation.columns["y"].to_pylist()
    assert [held.count(label) for label in "abcd"] == [10, 2, 3, 0]
    assert prepared(seed=1).validation.rows.tolist() != ready.validation.rows.tolist()
    assert prepared().validation.rows.tolist() == ready.validation.rows.tolist()


def test_rows_with_the_only_category_of_their_kind_are_trained_on():
    s = ["common", "usual"] * 15
    s[4] = s[17] = "rare"
    write("data.csv", {"x": range(30), "s": s, "y": np.linspace(0, 1, 30)})
    moved = 0
    for seed in range(20):
        ready = prepared(seed=seed)
        assert ready.transformation.columns[1].categories == ("common", "rare", "usual")
        assert len(ready.train) + len(ready.validation) == 30
        moved += sum("moved" in line for line in ready.notes)
    assert 0 < moved < 20  # else the test shows nothing


def test_columns_that_are_the_same_everywhere_are_left_out():
    write("data.csv", {"k": [0.1] * 30, "x": range(30), "w": ["one"] * 30, "y": range(30)})
    said = run("train", "data.csv", "--target", "y", "--task", "regression", *QUICK)
    assert "left out, the same in all training rows: 'k', 'w'" in said
    assert "1 inputs from 1 columns" in said


def test_numbers_near_the_end_of_float64_are_standardised():
    write("data.csv", {"x": [1e300, -1e300, 5e299, 2e300] * 5, "y": range(20)})
    column = prepared(validation=0.0, task="regression").transformation.columns[0]
    units = np.array([1.0, -1.0, 0.5, 2.0])
    assert column.mean == pytest.approx(units.mean() * 1e300)
    assert column.scale == pytest.approx(units.std() * 1e300)
    run("train", "data.csv", "--target", "y", "--task", "regression", *QUICK)


# -- missing values and new categories -------------------------------------------------------------


def with_gaps():
    rng = np.random.default_rng(2)
    x, s = rng.normal(size=24).round(3), rng.choice(["p", "p", "q"], 24)
    y = np.where(s == "q", x, -x).round(3)
    columns = {"x": list(map(str, x)), "s": s.tolist(), "y": list(map(str, y))}
    columns["x"][3] = ""
    columns["s"][7] = "NA"
    return columns


def test_missing_values_are_an_error_by_default():
    write("data.csv", with_gaps())
    message = fail("train", "data.csv", "--target", "y", *QUICK)
    assert message.startswith("error: data.csv: column 'x', row 5: missing value")


def test_rows_with_missing_values_can_be_dropped():
    columns = with_gaps()
    write("data.csv", columns)
    said = run("train", "data.csv", "--target", "y", "--missing", "drop", "--validation", 0, *QUICK)
    assert "2 of 24 rows with missing values left out" in said
    stored = fastbp.Network.load("model.safetensors").metadata["table"]
    kept = [float(x) for i, x in enumerate(columns["x"]) if i not in (3, 7)]
    assert stored["columns"][0]["mean"] == pytest.approx(np.mean(kept))
    predicted = run("predict", "model.safetensors", "data.csv", "--out", "out.parquet")
    assert "2 row(s) with missing values have an empty prediction" in predicted
    values = pq.read_table("out.parquet")["prediction"].to_pylist()
    assert [i for i, value in enumerate(values) if value is None] == [3, 7]
    whole = {
        name: [v for i, v in enumerate(column) if i not in (3, 7)]
        for name, column in columns.items()
    }
    write("whole.csv", whole)
    run("predict", "model.safetensors", "whole.csv", "--out", "whole.parquet")
    expected = pq.read_table("whole.parquet")["prediction"].to_pylist()
    assert [value for value in values if value is not None] == expected
    assert "2 row(s) with missing values left out" in run(
        "evaluate", "model.safetensors", "data.csv"
    )


def test_missing_values_can_be_filled():
    columns = with_gaps()
    write("data.csv", columns)
    run("train", "data.csv", "--target", "y", "--missing", "mean", "--validation", 0, *QUICK)
    stored = fastbp.Network.load("model.safetensors").metadata["table"]
    got = run("predict", "model.safetensors", "data.csv").split()
    columns["x"][3] = repr(stored["columns"][0]["mean"])
    columns["s"][7] = "p"
    write("filled.csv", columns)
    assert got == run("predict", "model.safetensors", "filled.csv").split()
    columns["y"][11] = ""
    write("data.csv", columns)
    message = fail("train", "data.csv", "--target", "y", "--missing", "mean", *QUICK)
    assert "column 'y', row 13: missing value" in message
    assert "column 'y', row 13: missing value" in fail("evaluate", "model.safetensors", "data.csv")


def test_a_new_category_is_an_error_or_zeros():
    write("data.csv", {"s": ["a", "b", "c"] * 8, "x": range(24), "y": np.linspace(0, 1, 24)})
    write("new.csv", {"s": ["a", "d"], "x": [1, 2]})
    run("train", "data.csv", "--target", "y", "--validation", 0, *QUICK)
    message = fail("predict", "model.safetensors", "new.csv")
    assert message.startswith("error: new.csv: column 's', row 3: the category 'd' was not seen")

    run("train", "data.csv", "--target", "y", "--unseen", "zero", "--validation", 0, *QUICK)
    got = np.array(run("predict", "model.safetensors", "new.csv").split()[1:], float)
    x = np.arange(24.0)
    z = (np.array([1.0, 2.0]) - x.mean()) / x.std()
    X = np.array([[1, 0, 0, z[0]], [0, 0, 0, z[1]]], np.float32)
    y = np.linspace(0, 1, 24)
    outputs = fastbp.Network.load("model.safetensors").predict(X)[:, 0].astype(float)
    np.testing.assert_allclose(got, outputs * y.std() + y.mean(), rtol=1e-12)


# -- reading files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "x,s,y\n1,a,1\n2,b,2\n",
        "x;s;y\r\n1;a;1\r\n2;b;2\r\n",
        "x\ts\ty\n1\ta\t1\n2\tb\t2",
        "\ufeffx, s , y\n 1, a ,1\n2,b , 2\n",
        '"x","s","y"\n"1","a","1"\n\n"2","b","2"\n\n,,\n',
        ",x,s,y,\n0,1,a,1,\n1,2,b,2,\n",
    ],
)
def test_dialects_of_csv(text):
    Path("data.csv").write_text(text, encoding="utf-8", newline="")
    table = read_table("data.csv")
    assert list(table.columns) == ["x", "s", "y"]
    assert table.numbers("x").tolist() == [1.0, 2.0]
    assert table.text("s").to_pylist() == ["a", "b"]


def test_rows_keep_their_number_over_blank_lines_breaks_in_fields_and_blocks(monkeypatch):
    monkeypatch.setattr(files, "_BLOCK", 32)
    lines = ["x,s", "1,a", "", '2,"two\nlines"', *['3,"c\nc"'] * 50, "4.5,d", "", "oops,e"]
    Path("data.csv").write_text("\n".join(lines))
    table = read_table("data.csv")
    assert table.kind("x") == "text"
    with pytest.raises(files.UserError, match=r"column 'x', row 57: 'oops' is not a number"):
        table.numbers("x")
    Path("data.csv").write_text("\n".join([*lines[:-1], "5,e,f"]))
    with pytest.raises(files.UserError, match="row 57 has 3 fields, the header has 2"):
        read_table("data.csv")
    Path("data.csv").write_text("\n".join(lines[:-1]))
    assert read_table("data.csv").kind("x") == "real"  # though the first blocks are whole numbers


@pytest.mark.parametrize("length", [9_000_000, 40_000_000])
def test_long_rows(length):
    text = "a" * length
    Path("data.csv").write_text(f"x,s\n1,{text}\n2,b\n")
    if length < files._BLOCK:
        assert read_table("data.csv").text("s").to_pylist() == [text, "b"]
    else:
        with pytest.raises(files.UserError, match="is there a quote that none closes"):
            read_table("data.csv")


def test_an_empty_line_in_a_file_of_one_column_is_a_missing_value():
    Path("data.csv").write_text("x\n1\n\n3\n\n\n")
    np.testing.assert_array_equal(read_table("data.csv").numbers("x"), [1.0, np.nan, 3.0])


def test_types_of_parquet():
    columns = {
        "f": pa.array([1.5, float("nan"), None], pa.float32()),
        "u": pa.array([2**63, 1, 2], pa.uint64()),
        "dec": pa.array([1, 2, 3]).cast(pa.decimal128(30, 2)),
        "s": pa.array(["a", "", None], pa.large_string()),
        "dict": pa.array(["k", "l", "k"]).dictionary_encode(),
        "digits": ["1", "2", "3"],
        "b": [True, None, False],
        "__index_level_0__": [7, 8, 9],
    }
    pq.write_table(pa.table(columns), "data.parquet")
    table = read_table("data.parquet")
    kinds = {name: table.kind(name) for name in table.columns}
    assert kinds == {
        "f": "real",
        "u": "integer",
        "dec": "real",
        "s": "text",
        "dict": "text",
        "digits": "text",
        "b": "boolean",
    }
    np.testing.assert_array_equal(table.numbers("f"), [1.5, np.nan, np.nan])
    assert table.numbers("u").tolist() == [2.0**63, 1.0, 2.0]
    assert table.numbers("dec").tolist() == [1.0, 2.0, 3.0]
    assert table.text("s").to_pylist() == ["a", None, None]
    assert table.text("dict").to_pylist() == ["k", "l", "k"]
    assert table.missing("b").tolist() == [False, True, False]


def test_codes_with_leading_zeros_stay_the_text_they_were():
    write("data.csv", {"s": ["01", "1", "x"] * 8, "y": np.linspace(0, 1, 24)})
    run("train", "data.csv", "--target", "y", "--validation", 0, *QUICK)
    write("new.csv", {"s": ["01", "1"]})  # alone, they would be whole numbers
    run("predict", "model.safetensors", "new.csv", "--out", "new.parquet")
    run("predict", "model.safetensors", "data.csv", "--out", "old.parquet")
    new = pq.read_table("new.parquet")["prediction"].to_pylist()
    assert new == pq.read_table("old.parquet")["prediction"].to_pylist()[:2]
    assert new[0] != new[1]
