"""The reference has every public name, and docstrings tell all that these take and give."""

from __future__ import annotations

import functools
import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from typing import Any, Union, get_origin, get_type_hints

import docstrings
import pytest
from docstrings import CLASSES, MODULES, NAMES, THINGS, entries, faults, members, sections, taken
from paths import ROOT

from fastbp.cli.commands import app

API = ROOT / "docs" / "api"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(API.glob("*.md"))}
#: what is only read: its constructor is not for people
RECORDS = {
    "History", "Progress", "GradientCheck", "Trace", "LayerTrace", "WeightTrace", "CHeader",
    "Descent", "LossLandscape",
}  # fmt: skip


def listed(text: str) -> list[str]:
    """The full names that a page has an entry for."""
    found, module = [], ""
    for block in re.findall(r"^```\{eval-rst\}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        inside = False
        for line in block.splitlines():
            if match := re.match(r"\.\. (?:py:)?(?:current)?module:: (\S+)", line):
                module = match[1]
            elif match := re.match(r"\.\. py:data:: (\S+)", line):
                found.append(f"{module}.{match[1]}")
            elif line and not line[0].isspace():
                inside = line == ".. autosummary::"
            elif inside and (match := re.fullmatch(r"   (\w+)", line)):
                found.append(f"{module}.{match[1]}")
    return found


def test_every_public_name_has_its_entry() -> None:
    counts = Counter(name for text in PAGES.values() for name in listed(text))
    assert set(counts) == set(NAMES)
    assert max(counts.values()) == 1


def test_every_module_has_its_page() -> None:
    text = "\n".join(PAGES.values())
    for name in MODULES:
        assert re.search(rf"^\.\. (auto|py:)module:: {re.escape(name)}$", text, re.MULTILINE), name


def test_what_a_page_lists_is_read() -> None:
    page = "```{eval-rst}\n.. currentmodule:: a\n\n.. autosummary::\n   :toctree: x\n\n   b\n   c\n"
    assert listed(f"{page}\n.. py:data:: D\n   :value: 1\n```\n") == ["a.b", "a.c", "a.D"]


def test_every_page_is_in_the_contents() -> None:
    (contents,) = re.findall(r"```\{toctree\}\n(.*?)```", PAGES["index.md"], flags=re.DOTALL)
    names = [line for line in contents.split() if not line.startswith(":")]
    assert sorted(f"{name}.md" for name in names) == sorted(set(PAGES) - {"index.md"})
    for name in names:
        assert f"]({name}.md)" in PAGES["index.md"]


def _faults(name: str, thing: Any, *, record: bool = False) -> list[str]:
    function = getattr(thing, "py_func", thing)  # of what numba has compiled
    gives = not inspect.isclass(thing) and get_type_hints(function).get("return") is not type(None)
    if name.startswith("fastbp.jit."):  # numba knows the types, and annotations don't
        gives = True
    return faults(inspect.getdoc(thing), taken(thing), record=record, gives=gives)


@pytest.mark.parametrize("name", THINGS)
def test_parameters_are_told(name: str) -> None:
    record = name.rpartition(".")[2] in RECORDS
    assert _faults(name, THINGS[name], record=record) == []


@pytest.mark.parametrize("name", CLASSES)
def test_members_are_told(name: str) -> None:
    """By a docstring of their own, or of the base class whose hooks they are, or as attributes."""
    kind = CLASSES[name]
    public = [base for base in kind.__mro__ if base in CLASSES.values()]
    told = {
        each
        for base in kind.__mro__
        for section in ("Attributes", "Parameters")
        for entry in entries(sections(inspect.getdoc(base) or "").get(section, ""))
        for each in entry.names
    }
    for member, thing, _ in members(kind):
        if isinstance(thing, (property, functools.cached_property)):
            assert member in told or thing.__doc__, f"{name}.{member}"
        elif isinstance(thing, classmethod) or inspect.isfunction(thing):
            function = thing.__func__ if isinstance(thing, classmethod) else thing
            bound = getattr(kind, member) if isinstance(thing, classmethod) else function
            if not function.__doc__:
                assert any(getattr(vars(b).get(member), "__doc__", None) for b in public), member
                continue
            assert _faults(f"{name}.{member}", bound) == [], f"{name}.{member}"
        else:
            assert member in told, f"{name}.{member}"


def test_what_is_wrong_with_a_docstring_is_noticed() -> None:
    good = (
        "Add.\n\nParameters\n----------\nx, y : int\n    Both.\n\nReturns\n-------\nint\n    Sum."
    )

    def found(text: str | None, *names: str, gives: bool = True) -> list[str]:
        return faults(text, list(names), record=False, gives=gives)

    assert found(good, "x", "y") == []
    assert found(None) == ["no docstring"]
    assert found("Add", gives=False) == ["the first line is no sentence"]
    assert found(good, "x") == ["Parameters are ['x', 'y'], not ['x']"]
    assert found(good, "y", "x") == ["Parameters are ['x', 'y'], not ['y', 'x']"]
    assert found(good.replace(" : int", ""), "x", "y") == ["x, y has no type"]
    assert found(good.replace("    Both.\n", ""), "x", "y") == ["x, y isn't described"]
    assert found(good, "x", "y", gives=False) == ["nothing is returned, but told"]
    assert found("Add.") == ["Returns are missing"]
    record = good.partition("Returns")[0].replace(
        "Parameters\n----------", "Attributes\n----------"
    )
    assert faults(record, ["x", "y"], record=True, gives=False) == []
    assert faults(record, ["x", "z"], record=True, gives=False) == [
        "Attributes are ['x'], not ['x', 'z']"
    ]


def test_statuses_are_as_they_are() -> None:
    told = re.findall(r"^\.\. py:data:: (\w+)$.*?:value: (\d+)$", PAGES["compiled.md"], re.M | re.S)
    jit = docstrings.jit
    assert {name: int(value) for name, value in told} == {
        name: getattr(jit, name) for name in jit.__all__ if isinstance(getattr(jit, name), int)
    }


def test_the_page_of_commands_is_what_they_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "commands")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert PAGES["command_line.md"] == done.stdout, "scripts/commands --write puts it there"


def test_every_option_is_on_the_page_of_commands() -> None:
    """By the functions' own parameters, whatever typer makes of them."""
    page = PAGES["command_line.md"]
    for command in app.registered_commands:
        function: Any = command.callback
        assert f"## fastbp {function.__name__}\n" in page
        part = page.partition(f"## fastbp {function.__name__}\n")[2].partition("\n## ")[0]
        for name, parameter in get_type_hints(function, include_extras=True).items():
            if name != "return":
                if get_origin(parameter) is Union:  # Python 3.10, where the default is None
                    parameter = parameter.__args__[0]
                info = parameter.__metadata__[0]
                given = [info.default, *(info.param_decls or ()), f"--{name.replace('_', '-')}"]
                shown = next(d for d in given if isinstance(d, str) and d.startswith("--"))
                if type(info).__name__ == "ArgumentInfo":
                    shown = info.metavar
                assert re.search(rf"^`{re.escape(shown.partition('/')[0])}", part, re.M), shown
                assert info.help.split()[0] in part


def test_every_environment_variable_is_told() -> None:
    asked = set()
    for path in (ROOT / "fastbp").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        asked |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", text))
    assert {"FASTBP_CACHE", "FASTBP_CACHE_DIR"} <= asked
    for name in asked:
        assert f"`{name}`" in PAGES["environment.md"], name
    cache = (ROOT / "fastbp" / "kernels" / "compiling" / "cache.py").read_text(encoding="utf-8")
    settings = re.findall(r"\"(\w+)\"", cache.partition("_SETTINGS = (")[2].partition(")")[0])
    assert settings
    for name in settings:
        known = f"`NUMBA_{name.removesuffix('_DEFAULT')}`"
        assert known in PAGES["environment.md"], known
