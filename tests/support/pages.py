"""The pages of the documentation: their blocks of code, and how a reader would run them."""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paths import ROOT

from fastbp.kernels.compiling import cache

#: of README and of everything under docs/
PAGES = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]
_BLOCK = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes
    ----------
    kind : str
        Of the text, or a directive's name in braces.
    options : dict of str to str
        ``needs=`` is a module without which it can't run, ``file=`` where a reader saves it,
        ``exit=`` the exit code of each command, which is 0 unless told.
    text : str
        What it holds.
    """

    kind: str
    options: dict[str, str]
    text: str


def blocks(page: Path) -> list[Block]:
    """All of a page, in order."""
    found = []
    for _, info, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        kind, *rest = info.split()[:1] if info.startswith("{") else info.split()
        found.append(Block(kind, dict(word.split("=", 1) for word in rest), text))
    return found


def missing(page: Path) -> list[str]:
    """Modules, and programs, that the page's code needs and that aren't here."""
    needed = {block.options["needs"] for block in blocks(page) if "needs" in block.options}
    return sorted(
        name for name in needed if not (importlib.util.find_spec(name) or shutil.which(name))
    )


def run(page: Path, folder: Path, namespace: dict[str, Any]) -> None:
    """Run a page's code in order, but for blocks that need what isn't here.

    `folder` is the current one.
    """
    absent, printed = missing(page), None
    for block in blocks(page):
        if block.kind == "output":
            # of the block above; what could not be run has printed nothing
            if printed is not None:
                check_output(block.text, printed, page.name)
            continue
        printed = None
        if block.options.get("needs") in absent:
            continue
        if "file" in block.options:
            path = folder / block.options["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compile(block.text, page.name, "exec"), namespace)
            printed = stream.getvalue()
        elif block.kind == "console":
            check_console(block.text, folder, int(block.options.get("exit", 0)))


def check_output(expected: str, got: str, where: str) -> None:
    """Compare what a page shows as printed with what was; "..." is anything."""
    if got and not got.endswith("\n"):
        got += "\n"  # as a block's last line ends
    matches = doctest.OutputChecker().check_output(expected, got, doctest.ELLIPSIS)
    assert matches, f"{where}\nthe page:\n{expected}\ngot:\n{got}"


def check_console(text: str, folder: Path, code: int = 0) -> None:
    """Run the lines that start with "$"; compare the lines below each, "..." is anything.

    Of a command that has to fail, with another exit code than 0, these are of stderr too.
    """
    commands = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert commands[0] == ""
    for command in commands[1:]:
        line, _, expected = command.partition("\n")
        done = subprocess.run(
            _arguments(line, folder),
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                # asv takes PYTHONPATH from its benchmarks, and gives them this
                "ASV_PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]),
                "HOME": str(folder),
                "FASTBP_CACHE_DIR": str(cache.root()),  # a home without machine code takes longer
            },
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == code, f"{line}\n{done.stdout}{done.stderr}"
        check_output(expected, done.stdout + (done.stderr if code else ""), line)


def _arguments(line: str, folder: Path) -> list[str]:
    program, *arguments = shlex.split(line)
    if program in ("fastbp", "asv"):
        return [sys.executable, "-m", program, *arguments]
    if program == "python":
        return [sys.executable, *arguments]
    if program == "cat":
        script = "import sys; print(open(sys.argv[1], encoding='utf-8').read(), end='')"
        return [sys.executable, "-c", script, *arguments]
    if program.startswith("./"):
        return [str(folder / program), *arguments]
    assert program in ("cc", "git"), f"no test runs {program}"
    return [program, *arguments]
