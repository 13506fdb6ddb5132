"""The package as it is installed: its version, what it needs, what importing it brings in."""

from __future__ import annotations

import ast
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
#: rooms below the trainer
BELOW = [
    f"{name}.py" for name in ("network", "dense", "plan", "program", "units", "inputs", "values")
]

installed = pytest.mark.skipif(
    next(importlib.metadata.distributions(name="fastbp"), None) is None,
    reason="fastbp is importable here, but not installed",
)


@installed
def test_version() -> None:
    assert importlib.metadata.version("fastbp") == fastbp.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(fastbp.__version__)}\]", changelog, re.MULTILINE) or (
        f"To become {fastbp.__version__}." in changelog
    )


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


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_imports_run_one_way(path: Path) -> None:
    """cli → trainer → network → kernels, and kernels import nothing of the rest."""
    room = path.relative_to(PACKAGE).parts
    imported = set(fastbp_imports(path))
    if room[0] == "kernels":
        assert all(name.startswith("fastbp.kernels") for name in imported)
    elif room[0] not in ("cli", "__main__.py"):
        assert not any(name.startswith("fastbp.cli") for name in imported)
    if room[0] in BELOW:
        above = {"trainer", "stepping", "arguments", "fitting", "engine", "optimizers"}
        assert not above & {name.split(".")[1] for name in imported}


def fastbp_imports(path: Path) -> list[str]:
    """Modules and names of fastbp that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.partition(".")[0] == "fastbp"]


@pytest.mark.parametrize("name", ["demo", "test", "example"])
def test_scripts_can_be_run(name: str) -> None:
    script = ROOT / "scripts" / name
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
