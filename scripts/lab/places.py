"""Modules of fastbp by the names that they had and have: benchmarks run on other commits too."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


def part(*names: str) -> ModuleType:
    """The first module, below ``fastbp``, that this commit has; ImportError if it has none."""
    for name in names:
        whole = f"fastbp.{name}"
        try:
            return importlib.import_module(whole)
        except ModuleNotFoundError as error:
            # An import inside of it that fails is another matter.
            if error.name is None or not f"{whole}.".startswith(f"{error.name}."):
                raise
    raise ImportError(f"module {names[0]} of fastbp", name=names[0])


def named(name: str, *modules: str) -> Any:
    """What has that name in the first of the modules that has it; AttributeError if none has.

    Names that it had on other commits follow it: ``named("cast value", ...)`` takes either.
    """
    for module in modules:
        try:
            there = part(module)
        except ImportError:
            continue
        for either in name.split():
            if hasattr(there, either):
                return getattr(there, either)
    raise AttributeError(f"{' or '.join(modules)} of fastbp has no {name}")
