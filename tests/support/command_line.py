"""The command line for tests: commands that must succeed or fail, and files for them to read."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from paths import ROOT
from typer.testing import CliRunner

from fastbp.cli.commands import app

QUICK = ("--epochs", "2", "--hidden", "5", "--seed", "3", "--threads", "1")
GOOD = "x,s,y\n" + "".join(f"{i},{'ab'[i % 2]},{i / 2}\n" for i in range(20))


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
    """Run Python with these arguments in a process of its own."""
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
