"""The one place where numba's flags, fastmath sets and on-disk cache are chosen.

The decorators: ``kernel``, ``inlined`` and ``reduction`` make functions that other kernels call,
``own`` one of a person's function, ``embedded`` one for a person's compiled code; ``entry`` makes a
function that Python calls; ``cfunc`` and ``elementwise`` make one that kernels call by its address.
Entries and cfuncs compile, or load from the cache, at their first use, once per dtype, with a
signature that stands here and is never inferred.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numba
from numba import types

from fastbp.kernels.compiling import cache, notice, objects

_LINKED: dict[str, Any] = {}
try:
    from fastbp.kernels.compiling import compiler

    _LINKED["pipeline_class"] = compiler.Linked
except ImportError:  # numba's inside has changed: then compiling takes longer, no more
    pass

# `error_model="numpy"`: Python's own raises on a division by zero, which is control flow, which
# stops vectorisation. `contract` lets LLVM form FMAs and nothing more; `reassoc` would fold the
# rounding tricks of vmath. Never nnan or ninf: a NaN has to stay visible.
_FLAGS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "boundscheck": False}
# Kernels that only kernels call need no wrapper for Python or C; that is half their compile time.
_PLAIN = {**_FLAGS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# Nor do they need machine code of their own.
_INNER = {**_PLAIN, **_LINKED}
ELEMENTWISE = {"contract"}
INNER_OPTIONS = {**_INNER, "fastmath": ELEMENTWISE}
REDUCTION = {"contract", "reassoc", "nsz"}


def kernel(function: Callable[..., Any]) -> Any:
    """A function for other kernels: element-wise arithmetic, control flow, address work."""
    return numba.njit(fastmath=ELEMENTWISE, **_INNER)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel that is inlined whatever its size: a call in a loop stops its vectorisation."""
    return numba.njit(fastmath=ELEMENTWISE, forceinline=True, **_INNER)(function)


def reduction(function: Callable[..., Any]) -> Any:
    """A kernel whose sums may be reordered, so that they vectorise."""
    return numba.njit(fastmath=REDUCTION, **_INNER)(function)


def own(function: Callable[..., Any]) -> Any:
    """The same of a person's function, which may print, or go into object mode."""
    return numba.njit(fastmath=ELEMENTWISE, forceinline=True, **_PLAIN)(function)


def embedded(function: Callable[..., Any]) -> Any:
    """A function for compiled code of others, in which it is compiled and kept."""
    return numba.njit(**_FLAGS)(function)


Made = TypeVar("Made")  # what there is of a part once it is compiled

DTYPES = {"float32": types.float32, "float64": types.float64}


#: all entries and cfuncs, in the order in which their modules were imported
PARTS: list[Entry | CFunc] = []


class _Part(Generic[Made]):
    """A kernel that is compiled, or loaded from the cache, at its first use, once per dtype."""

    _own = False  # whether it is made of a person's functions

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.name = function, function.__name__
        self.libraries: dict[str, Any] = {}  # what this process has compiled itself
        self._ready: dict[str, Made] = {}

    @property
    def dtypes(self) -> list[str]:
        """Those that there is machine code for in this process."""
        return list(self._ready)

    def kept_at(self, dtype: str) -> Path | None:
        """The file of the machine code."""
        return cache.path_of(self.function, self._types(dtype))

    def compile(self, dtype: str) -> None:
        """Compile for `dtype`, or load from the cache, if that has not been done."""
        self._made(dtype)

    def _made(self, dtype: str) -> Made:
        if dtype not in self._ready:
            path = self.kept_at(dtype)
            with cache.lock(path):
                if dtype not in self._ready:  # else another thread has made it meanwhile
                    loaded = objects.read(path)
                    if loaded is not None:
                        self._ready[dtype] = self._loaded(loaded)
                    elif self._own:  # is no one's first, and none is kept
                        self._ready[dtype] = self._compiled(dtype, path)
                    else:
                        with notice.compiling(path):
                            self._ready[dtype] = self._compiled(dtype, path)
        return self._ready[dtype]

    def _types(self, dtype: str) -> Any:
        """The signature."""
        raise NotImplementedError

    def _compiled(self, dtype: str, path: Path | None) -> Made:
        """By numba; what can be kept is."""
        raise NotImplementedError

    def _loaded(self, loaded: objects.Loaded) -> Made:
        raise NotImplementedError


class Entry(_Part[Callable[..., int]]):
    """A kernel that Python calls: its first argument is a float that only selects the dtype.

    All others are ``int64``: sizes, or addresses of buffers that the caller keeps alive. Called
    through the compiled wrapper itself, so that a call costs tens of nanoseconds per argument.
    """

    def __init__(self, function: Callable[..., int]) -> None:
        super().__init__(function)
        PARTS.append(self)

    def compiled(self, dtype: str) -> Callable[..., int]:
        """The machine code for `dtype`, ``f(0.0, *int64s) -> int64``; compiles at first use."""
        return self._ready.get(dtype) or self._made(dtype)

    def _types(self, dtype: str) -> tuple[Any, ...]:
        return DTYPES[dtype], *[types.int64] * (self.function.__code__.co_argcount - 1)

    def _compiled(self, dtype: str, path: Path | None) -> Callable[..., int]:
        dispatcher = numba.njit(fastmath=ELEMENTWISE, **_FLAGS)(self.function)
        with _uncollected():
            dispatcher.compile(self._types(dtype))
        (result,) = dispatcher.overloads.values()
        self.libraries[dtype], names = result.library, result.fndesc
        symbols = {"wrapper": names.llvm_cpython_wrapper_name, "environment": names.env_name}
        if not result.environment.consts:  # which a process that loads this would not have
            objects.write(path, result.library, symbols)
        made: Callable[..., int] = result.entry_point
        return made

    def _loaded(self, loaded: objects.Loaded) -> Callable[..., int]:
        return loaded.callable(self.function)


entry = Entry


class CFunc(_Part[tuple[int, int]]):
    """A kernel with a C signature, called by its address from other kernels.

    `signature` maps a dtype's numba type to a numba signature of C types. `apart` is `elementwise`;
    `own` says that it is made of a person's functions, which no cache and no list of parts knows.
    """

    def __init__(
        self,
        signature: Callable[[Any], Any],
        function: Callable[..., Any],
        *,
        apart: bool,
        own: bool = False,
    ) -> None:
        super().__init__(function)
        self._signature, self._apart, self._own = signature, apart, own
        if not own:
            PARTS.append(self)

    def kept_at(self, dtype: str) -> Path | None:
        """The file of the machine code."""
        return None if self._own else super().kept_at(dtype)

    def address(self, dtype: str) -> int:
        """The address of the machine code for `dtype`, for a role's call; compiles at first use."""
        return self._made(dtype)[0]

    def c_address(self, dtype: str) -> int:
        """The address of a C function of that signature."""
        return self._made(dtype)[1]

    def ctypes(self, dtype: str) -> Any:
        """That function for Python, which takes C's numbers and pointers."""
        import ctypes

        from numba.core.typing.ctypes_utils import to_ctypes

        signature = self._types(dtype)
        kinds = map(to_ctypes, (signature.return_type, *signature.args))
        return ctypes.CFUNCTYPE(*kinds)(self.c_address(dtype))

    def _types(self, dtype: str) -> Any:
        return self._signature(DTYPES[dtype])

    def _compiled(self, dtype: str, path: Path | None) -> tuple[int, int]:
        from numba.core.ccallback import CFunc as Callback  # takes its time to import

        signature = self._types(dtype)
        options = {"nopython": True, "fastmath": ELEMENTWISE, **_FLAGS}
        compiled: Any = Callback(
            self.function, (signature.args, signature.return_type), {}, options
        )
        if self._apart:
            _keep_apart(compiled)
        with _uncollected():
            compiled.compile()
        self.libraries[dtype] = library = compiled._library
        # Past the C wrapper, which looks for exceptions: that takes as long as a small kernel.
        symbols = {"kernel": compiled.native_name.removeprefix("cfunc."), "c": compiled.native_name}
        objects.write(path, library, symbols)
        return library.get_pointer_to_function(symbols["kernel"]), compiled.address

    def _loaded(self, loaded: objects.Loaded) -> tuple[int, int]:
        return loaded.address("kernel"), loaded.address("c")


_collecting_again = False  # once the compile that is under way is done


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: it looks through all that a compiler keeps, in vain."""
    global _collecting_again
    if not gc.isenabled():
        yield
        return
    try:
        _collecting_again = True
        gc.disable()  # an interrupt comes after calls
        yield
    finally:
        try:  # and in Python 3.10 where a `finally` begins, unless by a `try` (runtime/locks.py)
            _collecting_again = False
            gc.enable()
        finally:
            pass


def _collect_again() -> None:
    """In the child of a fork in the midst of a compile."""
    global _collecting_again
    if _collecting_again:
        gc.enable()
    _collecting_again = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_collect_again)


def _keep_apart(compiled: Any) -> None:
    """Tell LLVM that no argument's values are written through another one.

    numba has the flag, and no option for it.
    """
    compiler = compiled._compiler
    customize = compiler._customize_flags

    def with_noalias(flags: Any) -> Any:
        flags = customize(flags)
        flags.noalias = True
        return flags

    compiler._customize_flags = with_noalias


def cfunc(signature: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], CFunc]:
    """Decorator: make a `CFunc` of that role's C signature."""
    return lambda function: CFunc(signature, function, apart=False)


def elementwise(signature: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], CFunc]:
    """The same for loops over values, none of which is written through another argument.

    They need no check for overlap when they run, which would take the scalar form for buffers that
    are close together, as a tiny network's are.
    """
    return lambda function: CFunc(signature, function, apart=True)
