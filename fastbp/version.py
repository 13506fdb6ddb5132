"""What fastbp says of itself: its version, in one place, and where its classes are public."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

__version__ = "0.1.0"


def named_by(package: str, things: Iterable[object]) -> None:
    """Name the classes among these by a package, so that pickles don't depend on their files.

    `typing.get_type_hints` looks up the names in a class's annotations where the class says that
    it is from, and they are not known there: they are looked up here, before.
    """
    for kind in things:
        if isinstance(kind, type):
            if "__annotations__" in vars(kind):
                kind.__annotations__ = inspect.get_annotations(kind, eval_str=True)
            kind.__module__ = package
