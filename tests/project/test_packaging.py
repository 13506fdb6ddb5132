"""The package as it is installed: its version, what it needs, what importing it brings in."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

import fastbp

PACKAGE = Path(fastbp.__file__).parent

installed = pytest.mark.skipif(
    next(importlib.metadata.distributions(name="fastbp"), None) is None,
    reason="fastbp is importable here, but not installed",
)


@installed
def test_version() -> None:
    assert importlib.metadata.version("fastbp") == fastbp.__version__


@installed
def test_needs_nothing_but_numba_numpy_and_safetensors() -> None:
    requirements = importlib.metadata.requires("fastbp") or []
    needed = {re.split(r"[<>=~! ]", r)[0] for r in requirements if "extra ==" not in r}
    assert needed == {"numpy", "numba", "safetensors"}


@installed
def test_has_type_hints_and_a_licence() -> None:
    assert (PACKAGE / "py.typed").is_file()
    files = importlib.metadata.files("fastbp") or []
    assert any(file.name == "LICENSE" for file in files)


def test_every_public_name_is_there() -> None:
    assert sorted(fastbp.__all__) == sorted(set(fastbp.__all__))
    for name in fastbp.__all__:
        assert getattr(fastbp, name) is not None


def test_import_brings_in_no_extra() -> None:
    code = (
        "import sys, numpy.ma, safetensors.numpy, numba.core.ccallback; before = set(sys.modules)\n"
        "import fastbp; print(*{m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    brought = set(done.stdout.split())
    assert "fastbp" in brought
    extras = {"typer", "rich", "pyarrow", "matplotlib", "sklearn", "scipy", "pandas"}
    assert not brought & (extras | {"tqdm", "tensorboard", "multiprocessing", "IPython"})


@pytest.mark.parametrize("name", ["demo", "test", "example", "lint"])
def test_scripts_can_be_run(name: str) -> None:
    script = ROOT / "scripts" / name
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
