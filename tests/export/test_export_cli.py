"""fastbp export: what it writes predicts what fastbp predict does, from the same raw rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.csv
import pytest
from exports import Programs, needs_c, run_graph
from typer.testing import CliRunner

import fastbp
from fastbp.cli.commands import app
from fastbp.export import CHeader


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two models of one file, in the folder that we are in, and what they predict."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    size, colour = rng.normal(100, 20, 80), rng.choice(["red", "green", "blue"], 80)
    kind = np.where(size > 100, "big", "small")
    lines = [f"{s:.3f},{c},{3 * s:.3f},{k}" for s, c, k in zip(size, colour, kind, strict=True)]
    Path("data.csv").write_text("\n".join(["size,colour,price,kind", *lines]) + "\n")
    for target, other in (("price", "kind"), ("kind", "price")):
        options = f"--target {target} --ignore {other} --epochs 3 --hidden 6 --seed 1 --threads 1"
        run("train", "data.csv", *options.split(), "--out", f"{target}.safetensors")
    found: dict[str, Any] = {"size": np.round(size, 3), "colour": colour}
    for target in ("price", "kind"):
        run("predict", f"{target}.safetensors", "data.csv", "--out", f"{target}.csv")
        found[target] = pyarrow.csv.read_csv(f"{target}.csv")["prediction"].to_pylist()
    return found


def test_onnx(trained: dict[str, Any]) -> None:
    rows = {"size": trained["size"][:, None], "colour": trained["colour"].astype(object)[:, None]}
    for target in ("price", "kind"):
        run("export", f"{target}.safetensors", "--format", "onnx", "--out", f"{target}.onnx")
    price = run_graph(onnx.load("price.onnx"), **rows)["output"][:, 0]
    np.testing.assert_allclose(price, trained["price"], rtol=1e-5)
    assert run_graph(onnx.load("kind.onnx"), **rows)["label"].tolist() == trained["kind"]


@needs_c
def test_c(trained: dict[str, Any], tmp_path: Path) -> None:
    said = run("export", "price.safetensors", "--format", "c", "--out", "n0.h")
    assert "n0_predict: 148 bytes of constants, 40 of stack" in said  # 4-6-1, and 4 inputs
    said = run("export", "price.safetensors", "--format", "c", "--int8", "--no-math",
               "--data", "data.csv", "--name", "n1", "--out", "s.h")  # fmt: skip
    assert "root mean square, on data.csv" in said
    programs = Programs(tmp_path, math=False)
    for file in ("n0.h", "s.h"):
        programs.add(CHeader(Path(file).read_text(), 0, 0), 2, 1)
    programs.build()
    number = {"blue": 0, "green": 1, "red": 2}
    rows = [[s, number[c]] for s, c in zip(trained["size"], trained["colour"], strict=True)]
    exact = np.array(programs.run([(0, row) for row in rows]))[:, 1]
    np.testing.assert_allclose(exact, trained["price"], rtol=1e-5)
    rounded = np.array(programs.run([(1, row) for row in rows]))[:, 1]
    scale = np.std(np.array(trained["price"]))
    assert 0 < np.abs(rounded - exact).max() < 0.1 * scale


def test_a_network_without_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fastbp.Network(2, [fastbp.Dense(1)], seed=0).save("my net.safetensors")
    run("export", "my net.safetensors", "--format", "c", "--out", "my net.h")
    assert "int my_net_predict(const float *in, float *out)" in Path("my net.h").read_text()
    for arguments, told in (
        (("--format", "onnx", "--int8"), "are for --format c"),
        (("--format", "c", "--data", "x.csv"), "--data measures --int8"),
        (("--format", "c", "--name", "1"), "name must be a C identifier"),
        (("--format", "c", "--out", "my net.safetensors"), "is the file to read"),
    ):
        out = () if "--out" in arguments else ("--out", "out")
        assert told in run("export", "my net.safetensors", *arguments, *out, code=2)
    assert not Path("out").exists()


def test_no_onnx(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    fastbp.Network(2, [fastbp.Dense(1)], seed=0).save(path)
    code = "import sys; sys.modules['onnx'] = None; from fastbp.cli import main; main()"
    arguments = ["export", str(path), "--format", "onnx", "--out", f"{path}.onnx"]
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == 'error: --format onnx needs: pip install "fastbp[onnx]"\n'
