"""The command line: files in, models out, and one line for every mistake."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, r2_score
from typer.testing import CliRunner

import fastbp
from fastbp.cli import files, scores
from fastbp.cli.commands import app
from fastbp.cli.files import read_table
from fastbp.cli.prepare import prepare

ROOT = Path(__file__).parent.parent
QUICK = ("--epochs", "2", "--hidden", "5", "--seed", "3", "--threads", "1")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    """The output of a command that must succeed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def fail(*arguments):
    """The message of a command that must fail as users' mistakes do."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 2, result.output
    lines = result.output.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert errors == lines[-1:]
    return errors[0]


def shell(*arguments, **options):
    """A process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, **options
    )


def sample(n=90, seed=0):
    """Columns of every kind, and targets that depend on them."""
    rng = np.random.default_rng(seed)
    size = rng.normal(5.0, 3.0, n).round(3)
    count = rng.integers(10**15, 10**15 + 1000, n)
    colour = rng.choice(["blue", "green, dark", "red"], n)
    sold = rng.random(n) < 0.4
    score = size * 2.0 + np.where(colour == "red", 7.0, 0.0) - 4.0 * sold
    return {
        "size": size,
        "count": count,
        "colour": colour,
        "sold": sold,
        "grade": np.array(["low", "mid", "top"])[np.digitize(score, [8.0, 14.0])],
        "price": (1000.0 + 100.0 * score).round(2),
    }


def write_csv(path, columns):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write(path, columns):
    if path.endswith(".parquet"):
        pq.write_table(pa.table(columns), path)
    else:
        write_csv(path, columns)


def inputs_by_hand(columns, training, dtype):
    """size, count, colour (3), sold (2), with the statistics of `training`."""
    parts = []
    for name in ("size", "count"):
        x, known = np.float64(columns[name]), np.float64(training[name])
        parts.append((x - known.mean()) / known.std())
    for name in ("colour", "sold"):
        parts += [columns[name] == value for value in np.unique(training[name])]
    return np.stack([np.float64(part) for part in parts], axis=1).astype(dtype)


# -- from a file to a model and back ---------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_classification_end_to_end(suffix, dtype):
    training, new = sample(), sample(40, seed=1)
    write(f"data.{suffix}", training)
    said = run(
        *("train", f"data.{suffix}", "--target", "grade", "--ignore", "price", "--dtype", dtype),
        *("--validation", 0, "--epochs", 60, "--seed", 1, "--out", "m.safetensors"),
    )
    assert "classification, 3 classes (the target is text)" in said
    assert "7 inputs from 4 columns" in said
    assert "90 training rows: nothing was held out" in said

    network = fastbp.Network.load("m.safetensors")
    assert network.dtype == dtype
    p = network.predict(inputs_by_hand(new, training, dtype))
    labels = np.array(["low", "mid", "top"])[p.argmax(axis=1)]
    raw = {name: new[name] for name in ("sold", "colour", "count", "size")}  # no target, any order
    write(f"new.{suffix}", raw)
    rows = list(
        csv.DictReader(
            run("predict", "m.safetensors", f"new.{suffix}", "--probabilities").split("\n")
        )
    )
    assert [row["prediction"] for row in rows] == labels.tolist()
    for i, label in enumerate(["low", "mid", "top"]):
        np.testing.assert_array_equal(
            np.array([row[f"probability_{label}"] for row in rows], dtype), p[:, i]
        )

    write(f"new.{suffix}", new)
    accuracy = np.mean(labels == new["grade"])
    f1 = f1_score(new["grade"], labels, average="macro")
    said = run("evaluate", "m.safetensors", f"new.{suffix}")
    assert f" {accuracy:.4g} " in said
    assert f" {f1:.4g} " in said
    assert accuracy > 0.8


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_regression_end_to_end(suffix):
    training, new = sample(), sample(40, seed=1)
    write(f"data.{suffix}", training)
    said = run(
        *("train", f"data.{suffix}", "--target", "price", "--ignore", "grade", "--validation", 0),
        *("--epochs", 80, "--learning-rate", 0.01, "--seed", 1, "--hidden", "16"),
    )
    assert "regression (the target is floating-point numbers)" in said

    network = fastbp.Network.load("model.safetensors")
    z = network.predict(inputs_by_hand(new, training, "float32"))[:, 0]
    expected = z.astype(np.float64) * training["price"].std() + training["price"].mean()
    write(f"new.{suffix}", new)
    run("predict", "model.safetensors", f"new.{suffix}", "--out", f"out.{suffix}")
    if suffix == "csv":
        got = np.loadtxt("out.csv", skiprows=1)
    else:
        got = pq.read_table("out.parquet")["prediction"].to_numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-12)

    said = run("evaluate", "model.safetensors", f"new.{suffix}")
    r2 = r2_score(new["price"], expected)
    rmse = np.sqrt(np.mean((new["price"] - expected) ** 2))
    mae = np.mean(np.abs(new["price"] - expected))
    assert r2 > 0.8
    for value in (r2, rmse, mae):
        assert f" {value:.4g} " in said


def test_training_learns_and_scores_the_rows_held_out():
    write("data.csv", sample(400))
    arguments = ("train", "data.csv", "--target", "grade", "--ignore", "price", "--seed", 5)
    said = run(*arguments, "--learning-rate", 0.01)
    assert "320 rows to train on, 80 held out (stratified)" in said
    assert "Scores on 80 rows held out" in said
    accuracy = float(said.split("accuracy")[1].split()[1])
    assert accuracy > 0.85
    epochs = [line.split()[1] for line in said.splitlines() if line.startswith("epoch ")]
    assert epochs == [f"{e}/100" for e in range(10, 101, 10)]
    assert "samples/s" in said
    assert " left" in said


def test_the_same_seed_writes_the_same_file():
    write("data.csv", sample())
    for out in ("a", "b"):
        run("train", "data.csv", "--target", "price", *QUICK, "--out", out)
    assert Path("a").read_bytes() == Path("b").read_bytes()


def test_info_shows_the_layers_and_the_stored_columns():
    write("data.csv", sample())
    run("train", "data.csv", "--target", "grade", "--missing", "mean", *QUICK)
    said = run("info", "model.safetensors")
    for words in ("softmax", "colour", "blue, green, dark, red", "boolean", "false, true"):
        assert words in said
    assert "target 'grade': classification, 3 classes: low, mid, top" in said
    assert "missing values: mean; unseen categories: error" in said
    fastbp.Network(2, [fastbp.Dense(1)], seed=0).save("bare")
    assert "no columns are stored" in run("info", "bare")


def test_no_hidden_layers_and_other_options():
    write("data.csv", sample())
    arguments = ("--hidden", "", "--optimizer", "sgd", "--batch-size", 1000, "--epochs", 1)
    run("train", "data.csv", "--target", "price", *arguments)
    assert len(fastbp.Network.load("model.safetensors").layers) == 1
    run("train", "data.csv", "--target", "price", "--optimizer", "lbfgs", "--epochs", 3)
    run(
        "train",
        "data.csv",
        "--target",
        "price",
        "--hidden",
        "3,4",
        "--activation",
        "tanh",
        *QUICK[:2],
    )
    layers = fastbp.Network.load("model.safetensors").layers
    assert [(layer.units, layer.activation) for layer in layers[:2]] == [(3, "tanh"), (4, "tanh")]


# -- the task --------------------------------------------------------------------------------------

TASKS = {
    "text": (["a", "b"] * 10, "classification, 2 classes"),
    "booleans": (["True", "FALSE"] * 10, "classification, 2 classes"),
    "few whole numbers": ([0, 5] * 10, "classification, 2 classes"),
    "signs": (["+1", "-1"] * 10, "classification, 2 classes"),
    "20 whole numbers, twice each": (list(range(20)) * 2, "classification, 20 classes"),
    "20 whole numbers, once each": (list(range(20)), "regression"),
    "21 whole numbers": (list(range(21)) * 3, "regression"),
    "decimals": ([0.0, 1.0] * 10, "regression"),
    "large ids": ([2**62 + 1, 2**62 + 2] * 10, "classification, 2 classes"),
}


@pytest.mark.parametrize("case", TASKS)
def test_the_task_follows_from_the_target(case):
    values, task = TASKS[case]
    write("data.csv", {"x": np.arange(len(values)) % 7, "y": values})
    said = run("train", "data.csv", "--target", "y", *QUICK)
    assert f"target 'y': {task}" in said
    predicted = run("predict", "model.safetensors", "data.csv").split()[1:]
    if task != "regression":
        spelling = {"+1": "1", "True": "true", "FALSE": "false"}
        assert set(predicted) <= {spelling.get(str(v), str(v)) for v in values}


def test_the_task_can_be_demanded():
    write("data.csv", {"x": range(40), "y": [0.0, 1.0] * 20, "n": range(40), "c": [1, 2] * 20})
    said = run("train", "data.csv", "--target", "y", "--task", "classification", *QUICK)
    assert "classification, 2 classes (as --task classification asks)" in said
    assert set(run("predict", "model.safetensors", "data.csv").split()[1:]) <= {"0", "1"}
    assert "regression" in run("train", "data.csv", "--target", "c", "--task", "regression", *QUICK)


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


# -- mistakes --------------------------------------------------------------------------------------

GOOD = "x,s,y\n" + "".join(f"{i},{'ab'[i % 2]},{i / 2}\n" for i in range(20))

# name: (file, or None for no file; arguments after `train data.csv`; what the message must have)
TRAIN_MISTAKES = {
    "no such file": (None, "--target y", "data.csv: No such file"),
    "empty file": ("", "--target y", "data.csv: the file is empty"),
    "header alone": ("x,y\n", "--target y", "data.csv: the file has no data rows"),
    "header without end": ("x,y", "--target y", "data.csv: the file has no data rows"),
    "blank lines": ("\n\n\n", "--target y", "data.csv: row 1 must be a header"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0", "--target y", "data.csv: neither a CSV file"),
    "UTF-16": ("x,y\n1,2\n".encode("utf-16"), "--target y", "data.csv: neither a CSV file"),
    "bytes": (b"\xff\xfe\xfd,y\n1,2\n", "--target y", "data.csv: neither a CSV file"),
    "latin-1": (b"x,y\n1,2\nZ\xfcrich,3\n", "--target y", "column 'x', row 3: not UTF-8"),
    "cut parquet": (b"PAR1\x15\x04", "--target y", "data.csv: not a readable Parquet file"),
    "ragged": ("x,y\n1,2\n3\n", "--target y", "data.csv: row 3 has 1 fields, the header has 2"),
    "two of a name": ("x,y,x\n1,2,3\n", "--target y", "columns 1 and 3 are both named 'x'"),
    "unknown target": (GOOD, "--target Y", "data.csv: no column 'Y'; there are: 'x', 's', 'y'"),
    "misspelt": ("length,y\n1,2\n", "--target lenght", "did you mean 'length'?"),
    "unknown ignored": (GOOD, "--target y --ignore q", "data.csv: no column 'q'"),
    "ignored target": (GOOD, "--target y --ignore y", "both the target and ignored"),
    "nothing left": (GOOD, "--target y --ignore x --ignore s", "no column to predict 'y' from"),
    "infinite": (GOOD + "inf,a,1\n", "--target y", "column 'x', row 22: inf is not a finite"),
    "overflow": (GOOD + "1e999,a,1\n", "--target y", "column 'x', row 22: inf is not a finite"),
    "missing": (GOOD + "1,,1\n", "--target y", "column 's', row 22: missing value"),
    "missing target": (GOOD + "1,a,\n", "--target y", "column 'y', row 22: missing value"),
    "all dropped": ("x,y\n,1\n2,\n", "--target y --missing drop", "every row has a missing value"),
    "no values": ("x,z,y\n1,,1\n2,,2\n", "--target y", "column 'z': it holds nothing at all"),
    "one class": ("x,y\n1,a\n2,a\n3,a\n", "--target y", "column 'y': the target has one class"),
    "constant": (
        "x,y\n" + "1,0.5\n2,0.5\n" * 9,
        "--target y",
        "'y': the target is the same in all",
    ),
    "nothing varies": ("x,y\n" + "1,0.5\n1,0.7\n" * 9, "--target y", "every column is the same"),
    "dates": ("d,y\n2024-01-05,1.5\n2024-01-06,2\n", "--target y", "column 'd': it holds dates"),
    "dates abroad": ("d,y\n5.1.2024,1.5\n6.1.2024,2\n", "--target y", "column 'd': it holds dates"),
    "date target": ("x,y\n1,2024-01-05\n2,2024-01-06\n", "--target y", "not dates or times"),
    "too many categories": (
        "s,y\n" + "".join(f"name{i},{i}.5\n" for i in range(1001)),
        "--target y",
        "column 's': text with 1001 categories, more than the 1000 that are possible; leave it out "
        "with --ignore",
    ),
    "too many classes": (
        "x,y\n" + "".join(f"{i},name{i}\n" for i in range(1001)),
        "--target y",
        "column 'y': the target has 1001 classes",
    ),
    "fractions as classes": (
        GOOD,
        "--target y --task classification",
        "column 'y', row 3: 0.5 is not a whole number",
    ),
    "text as numbers": (
        GOOD,
        "--target s --task regression",
        "column 's', row 2: 'a' is not a number",
    ),
    "too few rows": ("x,y\n1,2.5\n2,3.5\n", "--target y", "no rows are left to validate on"),
    "names alone": (
        "s,y\n" + "".join(f"n{i},{i}.5\n" for i in range(30)),
        "--target y",
        "no rows are left to validate on",
    ),
    "validation of all": (GOOD, "--target y --validation 1", "--validation must be at least 0"),
    "validation nan": (GOOD, "--target y --validation nan", "--validation must be at least 0"),
    "hidden": (GOOD, "--target y --hidden 3,x", "--hidden takes units such as 64,64"),
    "hidden zero": (GOOD, "--target y --hidden 0", "units must be an int in [1, "),
    "activation": (GOOD, "--target y --activation swoosh", "activation must be one of 'linear'"),
    "optimizer": (GOOD, "--target y --optimizer adm", "optimizer must be one of "),
    "learning rate": (GOOD, "--target y --learning-rate -1", "learning_rate must be in [0, inf)"),
    "dtype": (GOOD, "--target y --dtype int8", "dtype must be one of"),
    "threads": (GOOD, "--target y --threads 0", "--threads takes auto or a number from 1 up"),
    "epochs": (GOOD, "--target y --epochs 0", "'--epochs'"),
    "batch size": (GOOD, "--target y --batch-size x", "'--batch-size'"),
    "task": (GOOD, "--target y --task guess", "'--task'"),
    "unknown option": (GOOD, "--target y --speed 3", "--speed"),
    "no target": (GOOD, "", "--target"),
    "diverges": (
        GOOD,
        "--target y --optimizer sgd --learning-rate 1e30 --epochs 50",
        "the loss became",
    ),
    "out without folder": (GOOD, "--target y --out no/m", "no/m: there is no folder"),
    "out is a folder": (GOOD, "--target y --out .", ".: is a folder"),
    "out is the data": (GOOD, "--target y --out data.csv", "data.csv: is the file to read"),
    "out is a device": (GOOD, f"--target y --out {os.devnull}", f"{os.devnull}: not a regular"),
}


@pytest.mark.parametrize("case", TRAIN_MISTAKES)
def test_mistakes_when_training(case):
    content, arguments, expected = TRAIN_MISTAKES[case]
    if content is not None:
        raw = content.encode() if isinstance(content, str) else content
        Path("data.csv").write_bytes(raw)
    before = sorted(Path().iterdir())
    assert expected in fail("train", "data.csv", *arguments.split())
    assert sorted(Path().iterdir()) == before
    if content is not None:
        assert Path("data.csv").read_bytes() == raw


# name: (command and its arguments, the data file, what the message must have)
MODEL_MISTAKES = {
    "no such model": ("predict none data.csv", GOOD, "none: No such file"),
    "model is data": ("predict data.csv data.csv", GOOD, "data.csv: not a safetensors file"),
    "model is a folder": ("info .", GOOD, ".: not a regular file"),
    "no such data": ("predict m none.csv", GOOD, "none.csv: No such file"),
    "missing column": ("predict m data.csv", "x,y\n1,2\n", "data.csv: no column 's'; there are"),
    "text for a number": ("predict m data.csv", "x,s\n1,a\ntwo,b\n", "'x', row 3: 'two' is not a"),
    "infinite": ("predict m data.csv", "x,s\n1,a\n-inf,b\n", "'x', row 3: -inf is not a finite"),
    "too far": ("predict m data.csv", "x,s\n1e300,a\n", "'x', row 2: 1e+300 is too far from the"),
    "missing value": ("predict m data.csv", "x,s\n1,a\n2,\n", "'s', row 3: missing value"),
    "unseen": ("predict m data.csv", "x,s\n1,a\n2,B\n", "'s', row 3: the category 'B' was not"),
    "no target": ("evaluate m data.csv", "x,s\n1,a\n", "data.csv: no column 'y'"),
    "missing target": ("evaluate m data.csv", "x,s,y\n1,a,1\n1,a,\n", "'y', row 3: missing value"),
    "text target": ("evaluate m data.csv", "x,s,y\n1,a,1\n1,a,b\n", "'y', row 3: 'b' is not a"),
    "new class": ("evaluate c data.csv", "x,s,y\n1,a,1\n1,c,2\n", "'s', row 3: the class 'c' was"),
    "no probabilities": ("predict m data.csv --probabilities", GOOD, "m: a regression has no"),
    "out of no kind": ("predict m data.csv --out p.txt", GOOD, "must end in .csv or .parquet"),
    "out without folder": ("predict m data.csv --out no/p.csv", GOOD, "there is no folder"),
    "out is the data": ("predict m data.csv --out data.csv", GOOD, "data.csv: is the file to"),
    "not from train": ("predict bare data.csv", GOOD, "bare: has no columns stored with it"),
}


@pytest.mark.parametrize("case", MODEL_MISTAKES)
def test_mistakes_with_a_model(case):
    arguments, content, expected = MODEL_MISTAKES[case]
    Path("data.csv").write_text(GOOD)
    run("train", "data.csv", "--target", "y", "--out", "m", *QUICK)
    run("train", "data.csv", "--target", "s", "--out", "c", *QUICK)
    fastbp.Network(2, [fastbp.Dense(1)], seed=0).save("bare")
    Path("data.csv").write_text(content)
    assert expected in fail(*arguments.split())


def test_a_damaged_model_is_refused():
    Path("data.csv").write_text(GOOD)
    run("train", "data.csv", "--target", "y", *QUICK)
    raw = bytearray(Path("model.safetensors").read_bytes())
    raw[-5] ^= 1
    Path("model.safetensors").write_bytes(raw)
    for command in (("info",), ("predict", "data.csv"), ("evaluate", "data.csv")):
        assert "model.safetensors: damaged" in fail(command[0], "model.safetensors", *command[1:])
    Path("model.safetensors").write_bytes(raw[: len(raw) // 2])
    assert "model.safetensors: cut short" in fail("info", "model.safetensors")


def test_an_output_that_overflows_is_an_error():
    Path("data.csv").write_text(GOOD)
    run("train", "data.csv", "--target", "y", *QUICK)
    network = fastbp.Network.load("model.safetensors")
    network.set_weights([np.full_like(w, 1e30) for w in network.get_weights()])
    network.save("model.safetensors")
    message = fail("predict", "model.safetensors", "data.csv")
    assert message == "error: data.csv: row 2: the network's output is not finite"


def change(path, value):
    def apply(stored):
        *parents, last = path
        for key in parents:
            stored = stored[key]
        if value is None:
            del stored[last]
        else:
            stored[last] = value

    return apply


STORED_MISTAKES = {
    "version": (change(["version"], 2), "of version 2"),
    "no version": (change(["version"], None), "of version None"),
    "a key less": (change(["unseen"], None), "exactly the keys"),
    "a key more": (change(["speed"], 1), "exactly the keys"),
    "policy": (change(["missing"], "guess"), "'missing' is none of error, drop, mean"),
    "no columns": (change(["columns"], []), "a list is too short"),
    "columns of text": (change(["columns"], ["x"]), "values of a wrong type"),
    "kind": (change(["columns", 1, "kind"], "image"), "stored column 1 is of an unknown kind"),
    "no kind": (change(["columns", 0, "kind"], 3), "stored column 0 has no kind"),
    "name": (change(["columns", 0, "name"], 3), "stored column 0 has no name"),
    "same name": (change(["columns", 0, "name"], "y"), "the same name"),
    "mean": (change(["columns", 0, "mean"], "0"), "mean is not a finite number"),
    "scale": (change(["columns", 0, "scale"], 0.0), "scale is not above 0"),
    "target scale": (change(["target", "scale"], -1.0), "the stored target: scale is not above"),
    "target kind": (change(["target"], {"name": "y", "kind": "a", "classes": []}), "unknown kind"),
    "fill": (change(["columns", 1, "fill"], "z"), "a fill that is none of its categories"),
    "twice": (change(["columns", 1, "categories"], ["a", "a"]), "holds a value twice"),
    "numbers": (change(["columns", 1, "categories"], ["a", 1]), "values of a wrong type"),
    "not booleans": (change(["columns", 1, "kind"], "boolean"), "that are not booleans"),
    "width": (change(["columns", 1, "categories"], ["a", "b", "c"]), "make 4 inputs and 1 outputs"),
    "classes": (
        change(["target"], {"name": "y", "kind": "integer", "classes": [1, True]}),
        "values of a wrong type",
    ),
    "activation": (
        change(["target"], {"name": "y", "kind": "integer", "classes": [1, 2]}),
        "make 3 inputs and 2 outputs, the network has 3 and 1",
    ),
}


@pytest.mark.parametrize("case", STORED_MISTAKES)
def test_stored_columns_are_checked(case):
    damage, expected = STORED_MISTAKES[case]
    Path("data.csv").write_text(GOOD)
    run("train", "data.csv", "--target", "y", *QUICK)
    network = fastbp.Network.load("model.safetensors")
    stored = network.metadata["table"]
    assert stored["version"] == 1
    damage(stored)
    network.save("model.safetensors", {"table": stored})
    message = fail("predict", "model.safetensors", "data.csv")
    assert message.startswith("error: model.safetensors: ")
    assert expected in message


def test_the_output_activation_must_fit_the_stored_target():
    Path("data.csv").write_text(GOOD)
    run("train", "data.csv", "--target", "y", *QUICK)
    metadata = fastbp.Network.load("model.safetensors").metadata
    fastbp.Network(3, [fastbp.Dense(1, "tanh")], seed=0).save("model.safetensors", metadata)
    assert "its output activation is tanh" in fail("info", "model.safetensors")


# -- scores ----------------------------------------------------------------------------------------


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 5, 200), rng.integers(1, 6, 200)
    truth[truth == 3] = 4
    predicted[predicted == 3] = 5
    got = scores.classification(truth, predicted, 7)
    assert got["accuracy"] == pytest.approx(np.mean(truth == predicted))
    assert got["macro F1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    y, p = rng.normal(size=50), rng.normal(size=50)
    assert scores.regression(y, p)["R2"] == pytest.approx(r2_score(y, p))
    assert np.isnan(scores.regression(np.ones(3), np.zeros(3))["R2"])


# -- processes of their own ------------------------------------------------------------------------


def test_as_a_process():
    Path("data.csv").write_text(GOOD)
    done = shell("-m", "fastbp", "train", "data.csv", "--target", "s", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    done = shell("-m", "fastbp", "predict", "model.safetensors", "data.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 21
    done = shell("-m", "fastbp", "predict", "model.safetensors", "none.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: none.csv: No such file or directory\n"
    done = shell("-c", "from fastbp.cli import main; main()", "--version")
    assert (done.returncode, done.stdout) == (0, f"fastbp {fastbp.__version__}\n")
    done = shell("-m", "fastbp")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("train", "predict", "evaluate", "info"))


@pytest.mark.parametrize("package", ["typer", "rich", "pyarrow"])
def test_without_the_extra_one_line_tells_what_to_install(package):
    code = f"import sys; sys.modules[{package!r}] = None; from fastbp.cli import main; main()"
    done = shell("-c", code, "info", "m")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'error: the command line needs: pip install "fastbp[cli]"\n'


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar():
    Path("data.csv").write_text(GOOD)
    code = (
        "import pty, sys; sys.exit(pty.spawn([sys.executable, '-m', 'fastbp', 'train', 'data.csv', "
        "'--target', 'y', '--epochs', '30', '--hidden', '5']) >> 8)"
    )
    done = shell("-c", code, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout
    assert "epoch 30/30" in done.stdout
    assert "━" in done.stdout
    assert "samples/s  0:00 left" in done.stdout
    assert "epoch 3/30  loss" not in done.stdout  # the lines for a file
