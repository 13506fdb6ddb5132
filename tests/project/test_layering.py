"""Who may import whom: one direction, no circles, and nobody touches another object's own."""

from __future__ import annotations

import ast

import pytest
from layering import (
    LINES,
    MODULES,
    PACKAGE,
    circles,
    code_lines,
    imports,
    package,
    touched,
    upwards,
)
from paths import TESTS


def test_imports_run_one_way() -> None:
    assert upwards() == []


def test_the_order_names_what_there_is() -> None:
    assert set(LINES) <= set(MODULES)


def test_kernels_import_nothing_of_the_rest() -> None:
    for name in MODULES:
        if name == "kernels" or name.startswith("kernels."):
            assert all(other.startswith("kernels") for other in imports(name)), name


def test_no_circle_among_files() -> None:
    assert circles({name: imports(name) for name in MODULES}) == []


def test_no_circle_among_packages() -> None:
    edges: dict[str, set[str]] = {}
    for name in MODULES:
        for other in imports(name):
            a, b = package(name) or name, package(other) or other
            if a != b and not a.startswith(f"{b}.") and not b.startswith(f"{a}."):
                edges.setdefault(a, set()).add(b)
    assert circles({name: frozenset(others) for name, others in edges.items()}) == []


def test_a_circle_is_found() -> None:
    edges = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b"), "d": frozenset("d")}
    assert circles(edges) == [["b", "c"], ["d"]]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nobody_touches_what_is_anothers_own(name: str) -> None:
    assert list(touched(name)) == []


def test_folders_are_small() -> None:
    for folder in {path.parent for path in MODULES.values()}:
        limit = 11 if folder == PACKAGE else 16
        files = sorted(path.name for path in folder.glob("*.py"))
        assert len(files) <= limit, (folder, files)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_files_are_short(name: str) -> None:
    """About 300 lines of code at most; docstrings, comments and blank lines don't count."""
    assert code_lines(MODULES[name].read_text(encoding="utf-8")) <= 330


def test_lines_of_code_are_counted() -> None:
    text = '"""A\n\nmodule."""\n\nx = (\n    1,\n)\n\ndef f():\n    """Do."""\n    return x  # it\n'
    assert code_lines(text) == 3 + 2


def test_no_test_imports_another() -> None:
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("test_") for name in names), path
