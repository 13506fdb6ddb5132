"""The order of modules, and what a module's text says of others."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from paths import ROOT

PACKAGE = ROOT / "fastbp"

_PAGE = (ROOT / "docs" / "design" / "layout.md").read_text(encoding="utf-8")
#: lines of modules and packages; each may import from lines above it, and from nothing else
(ORDER,) = re.findall(r"^```text\n(.*?)^```$", _PAGE, flags=re.DOTALL | re.MULTILINE)
LINES = {name: i for i, line in enumerate(ORDER.split("\n")) for name in line.split()}


def modules() -> dict[str, Path]:
    """Every module of fastbp by its name without ``fastbp.``, a package by its own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


@cache
def imports(name: str) -> frozenset[str]:
    """Modules that a module imports, wherever in its text: for types alone, or in a function."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for whole in names:
            if whole == "fastbp" or whole.startswith("fastbp."):
                found.add(module_of(whole.removeprefix("fastbp").removeprefix(".")))
    return frozenset(found - {name})


def module_of(name: str) -> str:
    """The module that has a dotted name: itself, or a package's or module's attribute."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or "__init__"


def line(name: str) -> int:
    """The place in the order of a module, or of the nearest package above it that has one.

    A package whose parts have places of their own stands where the first of them does.
    """
    if parts := [place for entry, place in LINES.items() if entry.startswith(f"{name}.")]:
        return LINES.get(name, min(parts))
    return LINES[unit(name)]


def package(name: str) -> str:
    return (
        name if name in MODULES and MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    )


def upwards() -> list[str]:
    """Imports of what stands on a later line, or beside on the same one."""
    found = []
    for name in MODULES:
        for other in imports(name):
            mine, theirs = line(name), line(other)
            beside = mine == theirs and unit(name) != unit(other)
            if theirs > mine or beside:
                found.append(f"{name} -> {other}")
    return sorted(found)


def unit(name: str) -> str:
    """The entry of the order that a module belongs to: modules of one may import each other."""
    while name not in LINES:
        if any(entry.startswith(f"{name}.") for entry in LINES):
            return name
        assert "." in name, f"{name} has no place in the order"
        name = name.rpartition(".")[0]
    return name


def circles(edges: dict[str, frozenset[str]]) -> list[list[str]]:
    """Groups of two or more that can all be reached from each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for other in edges.get(todo.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen

    reach = {name: reached(name) for name in edges}
    groups = {
        frozenset(other for other in reach[name] if name in reach.get(other, ()))
        for name in edges
        if name in reach[name]
    }
    return sorted(sorted(group) for group in groups)


#: how instances of the classes are called where they are used; `self.x` counts as `x`
NAMES = {
    "trainer", "network", "net", "engine", "_engine", "session", "_session", "fit", "_fit",
    "parameters", "_parameters", "program", "_program",
}  # fmt: skip
#: the files of `Trainer`, `Network`, `Engine`, `Session`, `Fit`, `Parameters`, `Program`
OWN = {"trainer", "network", "training.engine", "training.session", "training.fit",
       "runtime.parameters", "runtime.program"}  # fmt: skip
#: a class's file may touch another instance of its own
MAY = {
    "trainer": {"trainer"}, "network": {"network", "net"}, "training.engine": {"engine"},
    "training.session": {"session"}, "training.fit": {"fit"},
    "runtime.parameters": {"parameters"}, "runtime.program": {"program"},
}  # fmt: skip


def touched(name: str) -> Iterator[str]:
    """Accesses ``x._name`` whose x is called as an instance of one of the classes."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
            continue
        if node.attr.startswith("__"):
            continue
        owner = node.value
        called = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
        if called in NAMES and called.strip("_") not in MAY.get(name, set()):
            yield f"{name}: {called}.{node.attr}"


_NO_CODE = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
)  # fmt: skip


def code_lines(text: str) -> int:
    """How many lines of a module have code on them."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            lines.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)
