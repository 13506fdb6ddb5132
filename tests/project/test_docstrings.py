"""The examples in public docstrings do what they say, and every public name has a docstring."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import pickle
import pickletools
from typing import Any

import pytest

import fastbp
from fastbp import export, plot

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
    # without a module: a public class names fastbp as its own, but methods are of their file
    tests = doctest.DocTestFinder(recurse=True).find(thing, name, module=False)  # type: ignore[arg-type]
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


@pytest.mark.parametrize("module", [fastbp, export, plot])
def test_classes_are_named_by_where_they_are_public(module: Any) -> None:
    """Pickles of public classes then don't depend on which file they stand in."""
    for name in module.__all__:
        kind = getattr(module, name)
        if inspect.isclass(kind):
            assert kind.__module__ == module.__name__
            assert pickle.loads(pickle.dumps(kind)) is kind


def test_pickles_name_no_file_of_fastbp() -> None:
    """Pickles of a network, a trainer, what they are made of, and what a fit gives."""
    net = fastbp.Network(2, [fastbp.Dense(3, fastbp.LeakyReLU(0.1)), fastbp.Dense(1)], seed=0)
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(fastbp.StepDecay(0.1, every=2)), metrics=["r2"])
    for thing in (net, trainer, trainer.fit([[0.0, 1.0]], [1.0])):
        opcodes = pickletools.genops(pickle.dumps(thing, protocol=2))
        named = {str(argument) for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"}
        assert f"fastbp {type(thing).__name__}" in named
        assert not [name for name in named if name.startswith("fastbp.")]
