"""Mistakes on the command line: one line that names each, and no file is touched."""

from __future__ import annotations

import os
from pathlib import Path

import command_line
import numpy as np
import pytest
from command_line import GOOD, QUICK, fail, run

import fastbp

folder = command_line.folder  # a fixture


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
