"""The command line: from a file to a model and back, the task, scores, processes."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import command_line
import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import GOOD, QUICK, run, sample, shell, write
from sklearn.metrics import f1_score, r2_score

import fastbp
from fastbp.tabular import scores

folder = command_line.folder  # a fixture


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
