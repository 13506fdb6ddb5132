"""The examples in public docstrings do what they say, and every public name has a docstring."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
from typing import Any

import pytest

import fastbp

NAMES = [name for name in fastbp.__all__ if name != "__version__"]
# chosen with settings of their own, so that an example shows something
CHOSEN = [
    name
    for name in NAMES
    if inspect.isclass(getattr(fastbp, name))
    and issubclass(getattr(fastbp, name), (fastbp.Optimizer, fastbp.Loss, fastbp.Activation))
    and dataclasses.fields(getattr(fastbp, name))
    and name not in ("Optimizer", "Loss", "Activation")
]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str) -> None:
    thing: Any = getattr(fastbp, name)
    assert inspect.getdoc(thing)
    tests = doctest.DocTestFinder(recurse=True).find(thing, name, module=inspect.getmodule(thing))
    for test in tests:
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert result.failed == 0, test.name


@pytest.mark.parametrize("name", CHOSEN)
def test_settings_are_documented(name: str) -> None:
    """Each setting stands in the docstring, and there is an example."""
    kind = getattr(fastbp, name)
    text = inspect.getdoc(kind) or ""
    assert ">>> " in text
    for setting in [field.name for field in dataclasses.fields(kind)]:
        assert setting in text, f"{name} doesn't say what {setting} is"
