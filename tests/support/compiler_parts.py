"""What fastbp's modules use of numba and llvmlite, read from their text."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from layering import MODULES

_PACKAGES = ("numba", "llvmlite")
#: objects that go by these names in code that makes LLVM's, and what they are
HANDED = {
    "builder": "llvmlite.ir.IRBuilder",
    "b": "llvmlite.ir.IRBuilder",
    "context": "numba.core.cpu.CPUContext",
}


def _of(name: str | None) -> bool:
    return name is not None and name.partition(".")[0] in _PACKAGES


def _lazy(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes that run when a function is called, and no sooner: what is in bodies."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            body = node.body if isinstance(node.body, list) else [node.body]
            for statement in body:
                yield from ast.walk(statement)


def used() -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
    """Names by the module they are of: imported as fastbp is; later ones; `HANDED`'s attributes."""
    early, later, handed = (defaultdict(set) for _ in range(3))
    for name, path in MODULES.items():
        if name.endswith("compiling.inside"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {id(node) for node in _lazy(tree)}
        modules: dict[str, str] = {}
        froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and _of(n.module)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if _of(alias.name):
                        modules[alias.asname or alias.name.partition(".")[0]] = alias.name
        for node in froms:
            for alias in node.names:
                (later if id(node) in inside else early)[node.module].add(alias.name)
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            owner = node.value
            which = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", None)
            if isinstance(owner, ast.Name) and which in modules:
                early[modules[which]].add(node.attr)
            elif which in HANDED and name.startswith("kernels") and node.attr != "ctypes":
                handed[HANDED[which]].add(node.attr)
    return early, later, handed
