"""What fastbp says of itself: its version, in one place, and where its classes are public."""

from __future__ import annotations

import sys
from collections.abc import Iterable

__version__ = "0.1.0"
_KNOWN = {"bool", "float", "int", "str", "float | None", "int | None"}  # everywhere


def named_by(package: str, things: Iterable[object]) -> None:
    """Name the classes among these by a package, so that pickles don't depend on their files.

    `typing.get_type_hints` looks up the names in a class's annotations where the class says that
    it is from, and they are not known there: they are looked up here, before.
    """
    for kind in things:
        if isinstance(kind, type):
            there = vars(sys.modules[kind.__module__])
            for name, text in vars(kind).get("__annotations__", {}).items():
                if isinstance(text, str) and text not in _KNOWN:
                    kind.__annotations__[name] = eval(text, there)
            kind.__module__ = package
