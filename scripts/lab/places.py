"""Modules of fastbp by the names that they had and have: benchmarks run on other commits too."""

from __future__ import annotations

import importlib
from types import ModuleType


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
