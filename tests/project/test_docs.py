"""The README does what it says: every snippet runs, and what it lists is what there is."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.objectives.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert README.count("```") == 2 * len(BLOCKS)
    assert {kind for kind, _ in BLOCKS} == {"python", "console", "sh", "text", "json"}


def test_the_first_30_lines_have_arrays_a_file_and_the_commands() -> None:
    start = "\n".join(README.splitlines()[:30])
    for words in ("./scripts/demo", "./scripts/test", "trainer.fit(", "fastbp train data.csv"):
        assert words in start


def test_python_and_console_blocks_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One session of Python and one folder, as a person who copies the blocks one by one has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")  # pictures need no screen
    namespace: dict[str, Any] = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "README.md", "exec"), namespace)
        elif kind == "console":
            check_console(text, tmp_path)
    namespace["plt"].close("all")
    assert namespace["accuracy"] > 0.9
    assert (tmp_path / "predictions.csv").is_file()


def check_console(text: str, folder: Path) -> None:
    """Run the lines that start with "$ fastbp"; compare the lines below each, "..." is anything."""
    commands = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert commands[0] == ""
    for command in commands[1:]:
        line, _, expected = command.partition("\n")
        program, *arguments = shlex.split(line)
        assert program == "fastbp"
        done = subprocess.run(
            [sys.executable, "-m", "fastbp", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        got = done.stdout
        matches = doctest.OutputChecker().check_output(expected, got, doctest.ELLIPSIS)
        assert matches, f"{line}\nREADME:\n{expected}\ngot:\n{got}"


def test_shell_commands_are_there() -> None:
    """These make an environment and install into it, so .ci/run runs them instead."""
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    for line in lines:
        program, *_ = shlex.split(line, comments=True)
        if program != "pip":
            assert os.access(ROOT / program, os.X_OK), program


def test_tables_list_every_kind() -> None:
    first_cells = re.findall(r"^\| (.*?) \|", README, flags=re.MULTILINE)
    listed = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    for table in (ACTIVATIONS, LOSSES):
        assert not set(table) - listed
    for kind in OPTIMIZERS.values():
        signature = repr(kind()).replace("learning_rate=", "")
        assert f"| `{signature}` |" in README, signature


def test_the_list_of_files_is_what_the_docstrings_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "tree")], capture_output=True, text=True, check=True
    )
    assert "  network.py" in done.stdout
    assert f"```text\n{done.stdout}```\n" in README, "scripts/tree --write puts it there"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).is_file()


def test_a_wrong_block_is_noticed(tmp_path: Path) -> None:
    check_console("$ fastbp --version\nfastbp ...\n", tmp_path)
    for wrong in ("$ fastbp --version\nanother name\n", "$ fastbp info nothing\n"):
        with pytest.raises(AssertionError):
            check_console(wrong, tmp_path)


def test_every_script_has_a_line() -> None:
    text = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "scripts").rglob("*")):
        if path.is_file() and path.suffix in ("", ".py", ".sh") and path.name != "__init__.py":
            listed = f"{path.parent.name}/{path.name}" in text or f"`{path.name}`" in text
            assert listed, path.name
