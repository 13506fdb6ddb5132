"""A person's function taken apart: its code, which is compiled, and numbers that it closes over.

Functions of equal code that differ in numbers alone, as lambdas that are made in a loop do, share
machine code: the numbers become arguments. They are float and int cells of a closure, and values of
arguments that are given by default. All else that code reads (globals, other cells) is compiled
into it, so that it is part of what says whether two functions are the same (`Apart.key`).

Numbers stay in the code where that could change the result by more than where they come from:
exponents, since a power of 2.0 is a product and one of a variable is not; indices and functions in
functions, for which numba wants constants.
"""

from __future__ import annotations

import dis
import hashlib
import sys
from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

_Function = Callable[..., Any]
_VARARGS, _VARKEYWORDS, _GENERATOR = 0x04, 0x08, 0x2A0
_POWERS = frozenset({"pow", "power", "float_power", "ldexp", "exp2"})
_MOST_BYTES = 1 << 20  # of an array that code reads, whose values are looked at


class Reads(NamedTuple):
    """What a function's code reads, and whether its numbers may become arguments."""

    code: CodeType  # the same for two functions that differ in where they stand alone
    globals: frozenset[str]
    attributes: frozenset[str]
    compared: bool  # whether two functions can be told to be the same at all
    movable: bool
    powers: bool  # whether an exponent may be a variable


@lru_cache(256)
def reads(code: CodeType) -> Reads:
    """Look through a function's code."""
    names: dict[str, set[str]] = {"GLOBAL": set(), "ATTR": set()}
    before, powers, indexed, within = "", False, False, False
    for step in dis.get_instructions(code):
        operation = step.opname
        if operation in ("LOAD_GLOBAL", "LOAD_NAME"):
            names["GLOBAL"].add(step.argval)
        elif operation in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
            names["ATTR"].add(step.argval)
        power = "POWER" in operation or step.argrepr in ("**", "**=")
        powers |= power and before not in ("LOAD_CONST", "LOAD_SMALL_INT")
        indexed |= "SUBSCR" in operation or "SLICE" in operation or step.argrepr == "[]"
        within |= "WITH" in operation or operation == "LOAD_SPECIAL"
        if operation not in ("CACHE", "EXTENDED_ARG"):
            before = operation
    plain = not code.co_flags & (_VARARGS | _VARKEYWORDS | _GENERATOR) and not within
    inner = [reads(const) for const in code.co_consts if isinstance(const, CodeType)]
    for each in inner:
        names["GLOBAL"] |= each.globals
        names["ATTR"] |= each.attributes
        powers |= each.powers
        plain = plain and each.compared
    powers |= bool(_POWERS & (names["GLOBAL"] | names["ATTR"] | set(code.co_freevars)))
    return Reads(
        _placeless(code),
        frozenset(names["GLOBAL"]),
        frozenset(names["ATTR"]),
        compared=plain and not code.co_kwonlyargcount,
        movable=plain and not (inner or indexed or code.co_kwonlyargcount),
        powers=powers,
    )


def _placeless(code: CodeType) -> CodeType:
    """Code without its name, and without the file and line in which it stands."""
    places: dict[str, Any] = {"co_qualname": ""} if sys.version_info >= (3, 11) else {}
    return code.replace(co_filename="", co_name="", co_firstlineno=1, co_linetable=b"", **places)


class Apart(NamedTuple):
    """A function, of which some numbers stand beside it.

    Attributes
    ----------
    make : callable
        Makes the function that numba compiles: of the arguments, then of `constants`.
    constants : tuple
        Floats and ints.
    key : hashable
        The same for functions that are the same but for `constants`.
    code : hashable
        The same for functions that are the same but for any values that they read.
    alive : list
        What `key` knows by its place in memory: it has to live as long as the key is used.
    """

    make: Callable[[], _Function]
    constants: tuple[float | int, ...]
    key: Hashable
    code: Hashable
    alive: list[object]


def take_apart(f: _Function, given: int, *, move: bool) -> Apart:
    """Take a function of so many given arguments apart; with its numbers in it unless `move`."""
    function = getattr(f, "py_func", f)
    whole = Apart(lambda: function, (), ("itself", id(function)), id(function), [function])
    if not isinstance(function, FunctionType):
        return whole
    code, about = function.__code__, reads(function.__code__)
    whole = whole._replace(code=about.code)
    if not about.compared:
        return whole
    try:
        cells = {
            name: cell.cell_contents
            for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
        }
        outside = _globals_of(function, about)
    except ValueError:  # a cell that is empty as yet
        return whole
    defaults = function.__defaults__ or ()
    left = defaults[max(0, given - code.co_argcount + len(defaults)) :]
    if not (code.co_argcount - len(defaults) <= given <= code.co_argcount):
        return whole
    by_default: tuple[Any, ...] = ()
    moved: dict[str, Any] = {}
    if (
        move
        and about.movable
        and all(map(_is_number, left))
        and not _powers(about, [*cells.values(), *outside.values()])
    ):
        by_default = left
        moved = {name: value for name, value in cells.items() if _is_number(value)}
    constants = tuple(map(_plain, (*by_default, *moved.values())))
    alive: list[object] = [function]
    try:
        seen: set[int] = set()
        fixed = {name: value for name, value in cells.items() if name not in moved}
        tokens = [
            (name, _token(value, about, alive, seen))
            for values in (fixed, outside)
            for name, value in values.items()
        ]
        tokens.append(("", _token(() if by_default else left, about, alive, seen)))
    except _UnknownError:
        return whole
    kinds = tuple(map(type, constants))
    key = (about.code, id(function.__globals__), given, tuple(moved), kinds, tuple(tokens))
    alive.append(function.__globals__)

    def make() -> _Function:
        # What is compiled later, for another dtype, is to read what this key is of.
        frozen = {name: _copy(value) for name, value in outside.items()}
        frozen["__name__"] = function.__globals__.get("__name__", "fastbp")
        if moved:
            still = {name: _copy(value) for name, value in fixed.items()}
            return _with_arguments(function, tuple(moved), still, frozen)
        copies = tuple(CellType(_copy(cells[name])) for name in code.co_freevars)
        return FunctionType(code, frozen, function.__name__, defaults, copies)

    return Apart(make, constants, key, about.code, alive)


def _copy(value: Any) -> Any:
    """An array as it is now; all else that has a token stays as it is."""
    if type(value) is not np.ndarray:
        return value
    copied = value.copy(order="K")
    copied.flags.writeable = value.flags.writeable
    return copied


def _is_number(value: object) -> bool:
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) in (float, np.float64)


def _plain(value: Any) -> float | int:
    return value if type(value) is int else float(value)


def _globals_of(function: FunctionType, about: Reads) -> dict[str, Any]:
    """The globals that a function reads; builtins are the same for all."""
    there = function.__globals__
    return {name: there[name] for name in sorted(about.globals) if name in there}


def _powers(about: Reads, values: list[Any]) -> bool:
    """Whether an exponent may be a variable, here or in a function that is called."""
    todo, seen = [about, *_codes(values)], set()
    while todo:
        each = todo.pop()
        if isinstance(each, Reads):
            if each.powers:
                return True
        elif id(each.__code__) not in seen:
            seen.add(id(each.__code__))
            inner = reads(each.__code__)
            cells = [_contents(cell) for cell in each.__closure__ or ()]
            todo += [inner, *_codes([*cells, *_globals_of(each, inner).values()])]
    return False


def _codes(values: list[Any]) -> Iterator[Any]:
    for value in values:
        function = getattr(value, "py_func", value)
        if isinstance(function, FunctionType):
            yield function


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None


class _UnknownError(Exception):
    """A value of which nobody can tell whether another is the same."""


def _token(value: Any, about: Reads, alive: list[object], seen: set[int]) -> Hashable:
    """A key that is the same for what numba compiles to the same code."""
    kind = type(value)
    if kind in (bool, int, float, complex, str, bytes, type(None)):
        return kind, repr(value)
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        return kind, value.tobytes()
    if kind is tuple:
        return kind, tuple(_token(each, about, alive, seen) for each in value)
    if kind is np.ndarray and value.dtype.kind in "biufc" and value.nbytes <= _MOST_BYTES:
        flags, digest = value.flags, hashlib.sha256(value.tobytes()).digest()
        layout = flags.c_contiguous, flags.f_contiguous, flags.aligned, flags.writeable
        return kind, value.dtype.str, value.shape, layout, digest
    if isinstance(value, ModuleType):
        return _module_token(value, about, alive, seen)
    known = isinstance(value, (FunctionType, BuiltinFunctionType, np.ufunc, type))
    if known or hasattr(value, "py_func"):  # one that numba has compiled stays as it is
        alive.append(value)
        return kind, id(value)
    raise _UnknownError


def _module_token(
    module: ModuleType, about: Reads, alive: list[object], seen: set[int]
) -> Hashable:
    """A module by its place, and by what it has of the attributes that code reads of anything."""
    alive.append(module)
    if id(module) in seen:
        return "module", id(module)
    seen.add(id(module))
    there = vars(module)
    return "module", id(module), tuple(
        (name, _token(there[name], about, alive, seen))
        for name in sorted(about.attributes)
        if name in there
    )  # fmt: skip


def _with_arguments(
    function: FunctionType, moved: tuple[str, ...], fixed: dict[str, Any], there: dict[str, Any]
) -> _Function:
    """The function with some of its cells as further arguments; the others hold `fixed`.

    A function of those arguments that has this one within it, which numba inlines: only the code in
    the midst has to be put in, and no code is changed.
    """
    code = function.__code__
    own = code.co_varnames[: code.co_argcount]
    given, everything = ", ".join(own), ", ".join((*own, *moved))
    source = (
        f"def fastbp_make({', '.join(fixed)}):\n"
        f"    def fastbp_outer({everything}):\n"
        f"        def fastbp_inner({given}):\n"
        f"            return ({', '.join(code.co_freevars)},)\n"
        f"        return fastbp_inner({given})\n"
        f"    return fastbp_outer\n"
    )
    names: dict[str, Any] = {}
    exec(source, names)
    outer = names["fastbp_make"](*fixed.values())
    within = tuple(code if isinstance(c, CodeType) else c for c in outer.__code__.co_consts)
    made = outer.__code__.replace(co_consts=within, co_name=function.__name__)
    return FunctionType(made, there, function.__name__, None, outer.__closure__)
