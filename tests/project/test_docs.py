"""README and the pages under docs/ do what they say: snippets run, and what they list is there."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, blocks, check_console, missing, run
from paths import ROOT

from fastbp.kernels.functions.activations import ACTIVATIONS
from fastbp.objectives.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS

README = (ROOT / "README.md").read_text(encoding="utf-8")
_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
#: what a test knows how to run, or to check, and what is only shown
_KINDS = {"python", "output", "console", "sh", "text", "json", "c", "yaml", "toml"}
each_page = pytest.mark.parametrize("page", PAGES, ids=_NAMES)


@each_page
def test_every_block_is_of_a_kind_that_is_tested(page: Path) -> None:
    found, text = blocks(page), page.read_text(encoding="utf-8")
    assert len(re.findall(r"^`{3,}", text, flags=re.MULTILINE)) == 2 * len(found)
    assert {block.kind for block in found if not block.kind.startswith("{")} <= _KINDS
    for above, block in itertools.pairwise([None, *found]):
        if block.kind == "output":
            assert above is not None
            assert (above.kind, "file" in above.options) == ("python", False)
    for block in found:
        assert set(block.options) <= {"needs", "file", "exit"}
        assert "exit" not in block.options or block.kind == "console"
        if block.kind == "c":
            assert "file" in block.options, "a test has to compile it"


@each_page
def test_python_and_console_blocks_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One session of Python and one folder, as a person who copies the blocks one by one has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")  # pictures need no screen
    namespace: dict[str, Any] = {"__name__": "__main__"}
    run(page, tmp_path, namespace)
    if "plt" in namespace:
        namespace["plt"].close("all")
    if page == ROOT / "README.md":
        assert namespace["accuracy"] > 0.9
        assert (tmp_path / "predictions.csv").is_file()
    absent = missing(page)
    if absent:
        pytest.skip(f"what needs {', '.join(absent)} was not run, the rest was")


@each_page
def test_shell_commands_are_there(page: Path) -> None:
    """These make an environment and install into it, so .ci/run runs them instead."""
    for block in blocks(page):
        for line in block.text.splitlines() if block.kind == "sh" else []:
            program, *arguments = shlex.split(line, comments=True) or ["pip"]
            if program == "python" and arguments[0] != "-m":
                program = arguments[0]
            if "/" in program:
                assert os.access(ROOT / program, os.X_OK), program


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200
    start = "\n".join(README.splitlines()[:40])
    for words in ("./scripts/demo", "./scripts/test", "trainer.fit("):
        assert words in start


def test_tables_list_every_kind() -> None:
    theory = ROOT / "docs" / "theory"
    for name, table in (("activations", ACTIVATIONS), ("losses", LOSSES)):
        assert not set(table) - set(re.findall(r"`(\w+)`", (theory / f"{name}.md").read_text()))
    text = " ".join((theory / "optimizers.md").read_text(encoding="utf-8").split())
    for kind in OPTIMIZERS.values():
        signature = repr(kind()).replace("learning_rate=", "")
        assert f"`{signature}`" in text, signature


def test_the_list_of_files_is_what_the_docstrings_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "tree")], capture_output=True, text=True, check=True
    )
    assert "  network.py" in done.stdout
    page = (ROOT / "docs" / "design" / "files.md").read_text(encoding="utf-8")
    assert f"```text\n{done.stdout}```\n" in page, "scripts/tree --write puts it there"


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Those of README are absolute where they leave the checkout; of the rest Sphinx asks too."""
    for target in set(re.findall(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)", page.read_text("utf-8"))):
        assert (page.parent / target).is_file(), target


def test_recipes_are_short_and_listed() -> None:
    folder = ROOT / "docs" / "cookbook"
    index = (folder / "index.md").read_text(encoding="utf-8")
    recipes = sorted(set(folder.glob("*.md")) - {folder / "index.md"})
    assert len(recipes) >= 12
    for page in recipes:
        assert f"]({page.name})" in index
        assert f"\n{page.stem}\n" in index
        code = [block.text for block in blocks(page) if block.kind == "python"]
        assert code
        assert all(sum(map(bool, text.split("\n"))) < 20 for text in code), page.name
        prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        headings = re.findall("^#+ (.*)", prose, flags=re.MULTILINE)
        assert headings[0].endswith("?")
        assert headings[1:] == ["When", "How", "The trap", "Read on"], page.name


def test_a_wrong_block_is_noticed(tmp_path: Path) -> None:
    check_console("$ fastbp --version\nfastbp ...\n", tmp_path)
    check_console("$ python -c \"print('open', end='')\"\nopen\n", tmp_path)
    for wrong in (
        "$ fastbp --version\nanother name\n",
        "$ fastbp --version\n",
        "$ fastbp info nothing\n",
        "$ rm x\n",
    ):
        with pytest.raises(AssertionError):
            check_console(wrong, tmp_path)
    check_console("$ fastbp info nothing\nerror: nothing: ...\n", tmp_path, 2)
    for wrong in ("$ fastbp --version\nfastbp ...\n", "$ fastbp info nothing\nanother\n"):
        with pytest.raises(AssertionError):
            check_console(wrong, tmp_path, 2)


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    code = "```python\nprint(3)\n```\n\nIt prints:\n\n```output\n{}\n```\n"
    page.write_text(code.format(3), encoding="utf-8")
    run(page, tmp_path, {})
    page.write_text(code.format(4), encoding="utf-8")
    with pytest.raises(AssertionError):
        run(page, tmp_path, {})


def test_every_script_has_a_line() -> None:
    text = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "scripts").rglob("*")):
        if path.is_file() and path.suffix in ("", ".py", ".sh") and path.name != "__init__.py":
            listed = f"{path.parent.name}/{path.name}" in text or f"`{path.name}`" in text
            assert listed, path.name
