"""The examples in public docstrings do what they say, and every public name has a docstring."""

from __future__ import annotations

import copy
import dataclasses
import doctest
import importlib.util
import inspect
import pickle
import pickletools
import pydoc
import typing
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pytest
from docstrings import MODULES, THINGS

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


def _has_defaults(kind: Any) -> bool:
    """Whether it is a dataclass that is compared by its fields and may be made without any."""
    return (
        dataclasses.is_dataclass(kind)
        and kind.__eq__ is not object.__eq__
        and not any(
            field.default is field.default_factory is dataclasses.MISSING
            for field in dataclasses.fields(kind)
        )
    )


@pytest.mark.parametrize("name", [*MODULES, *THINGS])
def test_examples(name: str) -> None:
    """Those of modules, and of all public names with their methods; every one of these has some."""
    matplotlib.use("agg")  # pictures need no screen
    thing: Any = MODULES.get(name) or THINGS[name]
    # without a module: a public class names fastbp as its own, but methods are of their file
    finder = doctest.DocTestFinder(recurse=name in THINGS)
    tests = finder.find(thing, name, module=False)  # type: ignore[arg-type]
    assert any(test.name == name and test.examples for test in tests)
    for test in tests:
        source = "".join(example.source for example in test.examples)
        if "torch" in source.split() and not importlib.util.find_spec("torch"):
            pytest.skip("it needs torch")
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert result.failed == 0, test.name
    plt.close("all")


def test_a_wrong_example_is_noticed() -> None:
    def thing() -> None:
        """Give 2.

        >>> 1 + 1
        3
        """

    (test,) = doctest.DocTestFinder().find(thing, "thing", module=False)  # type: ignore[arg-type]
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None).failed == 1


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


def public_classes() -> list[Any]:
    things = [getattr(module, name) for module in (fastbp, export, plot) for name in module.__all__]
    return [thing for thing in things if inspect.isclass(thing)]


@pytest.mark.parametrize("kind", public_classes())
def test_classes_are_described_as_if_they_stood_there(kind: Any) -> None:
    """What editors, notebooks and libraries ask of a class is found, though it names no file."""
    hints = typing.get_type_hints(kind)
    if dataclasses.is_dataclass(kind):
        assert {field.name for field in dataclasses.fields(kind)} <= hints.keys()
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            typing.get_type_hints(method)
            assert inspect.getsource(method)
    assert f"class {kind.__name__}" in pydoc.plain(pydoc.render_doc(kind))
    if not issubclass(kind, Exception):
        assert kind.__init__ is object.__init__ or "self" in str(inspect.signature(kind.__init__))
        typing.get_type_hints(kind.__init__)


@pytest.mark.parametrize("name", NAMES)
def test_types_of_functions_are_found(name: str) -> None:
    if inspect.isfunction(getattr(fastbp, name)):
        assert "return" in typing.get_type_hints(getattr(fastbp, name))


def test_types_that_a_class_says() -> None:
    assert typing.get_type_hints(fastbp.TopK)["k"] is int
    assert typing.get_type_hints(fastbp.Trainer.fit)["return"] is fastbp.History
    rate = typing.get_type_hints(fastbp.Adam)["learning_rate"]
    assert {float, fastbp.Schedule} <= {*typing.get_args(rate)}


@pytest.mark.parametrize("kind", [kind for kind in public_classes() if _has_defaults(kind)])
def test_copies_are_equal(kind: Any) -> None:
    one = kind()
    for copied in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert type(copied) is kind
        assert copied == one


def test_pickles_name_no_file_of_fastbp() -> None:
    """Pickles of a network, a trainer, what they are made of, and what a fit gives."""
    net = fastbp.Network(2, [fastbp.Dense(3, fastbp.LeakyReLU(0.1)), fastbp.Dense(1)], seed=0)
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(fastbp.StepDecay(0.1, every=2)), metrics=["r2"])
    for thing in (net, trainer, trainer.fit([[0.0, 1.0]], [1.0])):
        opcodes = pickletools.genops(pickle.dumps(thing, protocol=2))
        named = {str(argument) for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"}
        assert f"fastbp {type(thing).__name__}" in named
        assert not [name for name in named if name.startswith("fastbp.")]
