"""All public names, and what their docstrings say of parameters, attributes and results.

numpydoc has a check of its own, but needs Sphinx.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import fastbp
from fastbp import export, interop, jit, plot, typing

#: those that a person imports, by name
MODULES: dict[str, ModuleType] = {
    m.__name__: m for m in (fastbp, jit, plot, export, interop, typing)
}
#: all that is public in them, by full name
NAMES: dict[str, Any] = {
    f"{name}.{each}": getattr(module, each)
    for name, module in MODULES.items()
    for each in module.__all__
}
#: those that have docstrings: constants and types are told in the pages
THINGS = {
    name: thing
    for name, thing in NAMES.items()
    if callable(thing) and not name.startswith("fastbp.typing.")
}
CLASSES = {name: thing for name, thing in THINGS.items() if inspect.isclass(thing)}

_SECTION = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)


class Entry(NamedTuple):
    """One entry of a section: ``names : kind``, and the lines below it."""

    names: tuple[str, ...]
    kind: str
    text: str


def sections(docstring: str) -> dict[str, str]:
    """The sections of a docstring by their headings; what stands before them has none."""
    parts = _SECTION.split(docstring)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(text: str) -> list[Entry]:
    """The entries of a section."""
    found: list[Entry] = []
    for line in text.strip("\n").splitlines():
        if line and not line[0].isspace():
            names, _, kind = line.partition(" : ")
            found.append(Entry(tuple(names.split(", ")), kind.strip(), ""))
        elif line.strip():
            found[-1] = found[-1]._replace(text=f"{found[-1].text} {line.strip()}".strip())
    return found


def members(kind: type) -> Iterator[tuple[str, Any, type]]:
    """A class's public methods and properties, each with the class that it stands in."""
    for name in dir(kind):
        if not name.startswith("_"):
            owner = next(base for base in kind.__mro__ if name in vars(base))
            thing = vars(owner)[name]
            if owner.__module__ != "builtins":
                yield name, thing, owner


def taken(thing: Any) -> list[str]:
    """The names of the parameters that a caller can give."""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return []
    names = list(inspect.signature(thing).parameters)
    return [name for name in names if name != "self" and not name.startswith("_")]


def faults(docstring: str | None, parameters: list[str], *, record: bool, gives: bool) -> list[str]:
    """What is missing in a docstring, or too much.

    Parameters
    ----------
    docstring : str or None
        As `inspect.getdoc` gives it.
    parameters : list of str
        That it has to tell, in this order.
    record : bool
        Whether these may stand as attributes instead, as those of what is only read.
    gives : bool
        Whether the function has a result.
    """
    if not docstring:
        return ["no docstring"]
    found = sections(docstring)
    wrong = []
    if not docstring.partition("\n")[0].endswith((".", ":")):
        wrong.append("the first line is no sentence")
    where = "Attributes" if record and "Parameters" not in found else "Parameters"
    told = entries(found.get(where, ""))
    names = [name for entry in told for name in entry.names]
    if where == "Attributes":
        names = [name for name in names if name in parameters]
    if names != parameters:
        wrong.append(f"{where} are {names}, not {parameters}")
    for section in ("Parameters", "Attributes"):
        for entry in entries(found.get(section, "")):
            if not entry.kind:
                wrong.append(f"{', '.join(entry.names)} has no type")
            if not entry.text:
                wrong.append(f"{', '.join(entry.names)} isn't described")
    results = entries(found.get("Returns", ""))
    if gives != bool(results):
        wrong.append("Returns are missing" if gives else "nothing is returned, but told")
    return wrong
