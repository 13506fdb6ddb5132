"""The one place where numba's flags, fastmath sets and on-disk cache are chosen.

Three decorators: ``kernel`` and ``reduction`` make functions that other kernels call; ``entry``
makes a function that Python calls; ``doorway`` makes one that kernels call by its address. Entries
and doorways compile, or load from the cache, at their first use, once per dtype, with a signature
that stands here and is never inferred.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import types

from fastbp.kernels import cache, compiler, objects

# `error_model="numpy"`: Python's own raises on a division by zero, which is control flow, which
# stops vectorisation. `contract` lets LLVM form FMAs and nothing more; `reassoc` would fold the
# rounding tricks of vmath. Never nnan or ninf: a NaN has to stay visible.
_FLAGS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "boundscheck": False}
# Kernels that only kernels call need no doorway from Python or C; that is half their compile time.
_INNER = {**_FLAGS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_INNER["pipeline_class"] = compiler.Linked
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


def embedded(function: Callable[..., Any]) -> Any:
    """A function for compiled code of others, in which it is compiled and kept."""
    return numba.njit(**_FLAGS)(function)


DTYPES = {"float32": types.float32, "float64": types.float64}


#: all entries and doorways, in the order in which their modules were imported
PARTS: list[Entry | Doorway] = []


class Entry:
    """A kernel that Python calls: its first argument is a float that only selects the dtype.

    All others are ``int64``: sizes, or addresses of buffers that the caller keeps alive. Called
    through the compiled wrapper itself, so that a call costs tens of nanoseconds per argument.
    """

    def __init__(self, function: Callable[..., int]) -> None:
        self.function, self.name = function, function.__name__
        self.libraries: dict[str, Any] = {}  # what this process has compiled itself
        self._entry_points: dict[str, Callable[..., int]] = {}
        PARTS.append(self)

    @property
    def dtypes(self) -> list[str]:
        """Those that there is machine code for in this process."""
        return list(self._entry_points)

    def kept_at(self, dtype: str) -> Path | None:
        """The file of the machine code."""
        return cache.path_of(self.function, self._signature(dtype))

    def compile(self, dtype: str) -> None:
        """Compile for `dtype`, or load from the cache, if that has not been done."""
        self.compiled(dtype)

    def compiled(self, dtype: str) -> Callable[..., int]:
        """The machine code for `dtype`, ``f(0.0, *int64s) -> int64``; compiles at first use."""
        if dtype not in self._entry_points:
            path = self.kept_at(dtype)
            with cache.lock(path):
                if dtype in self._entry_points:  # made by another thread meanwhile
                    return self._entry_points[dtype]
                loaded = objects.read(path)
                self._entry_points[dtype] = (
                    self._made(dtype, path) if loaded is None else loaded.callable(self.function)
                )
        return self._entry_points[dtype]

    def _signature(self, dtype: str) -> tuple[Any, ...]:
        return DTYPES[dtype], *[types.int64] * (self.function.__code__.co_argcount - 1)

    def _made(self, dtype: str, path: Path | None) -> Callable[..., int]:
        dispatcher = numba.njit(fastmath=ELEMENTWISE, **_FLAGS)(self.function)
        with compiler.uncollected():
            dispatcher.compile(self._signature(dtype))
        (result,) = dispatcher.overloads.values()
        self.libraries[dtype], names = result.library, result.fndesc
        symbols = {"wrapper": names.llvm_cpython_wrapper_name, "environment": names.env_name}
        if not result.environment.consts:  # which a process that loads this would not have
            objects.write(path, result.library, symbols)
        made: Callable[..., int] = result.entry_point
        return made


entry = Entry


class Doorway:
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
        self.function, self.name = function, function.__name__
        self.libraries: dict[str, Any] = {}  # what this process has compiled itself
        self._signature, self._apart, self._own = signature, apart, own
        self._addresses: dict[str, tuple[int, int]] = {}
        if not own:
            PARTS.append(self)

    @property
    def dtypes(self) -> list[str]:
        """Those that there is machine code for in this process."""
        return list(self._addresses)

    def kept_at(self, dtype: str) -> Path | None:
        """The file of the machine code."""
        return None if self._own else cache.path_of(self.function, self._signature(DTYPES[dtype]))

    def compile(self, dtype: str) -> None:
        """Compile for `dtype`, or load from the cache, if that has not been done."""
        self._ready(dtype)

    def address(self, dtype: str) -> int:
        """The address of the machine code for `dtype`, for simd.call_*; compiles at first use."""
        return self._ready(dtype)[0]

    def c_address(self, dtype: str) -> int:
        """The address of a C function of that signature."""
        return self._ready(dtype)[1]

    def ctypes(self, dtype: str) -> Any:
        """That function for Python, which takes C's numbers and pointers."""
        import ctypes

        from numba.core.typing.ctypes_utils import to_ctypes

        signature = self._signature(DTYPES[dtype])
        kinds = map(to_ctypes, (signature.return_type, *signature.args))
        return ctypes.CFUNCTYPE(*kinds)(self.c_address(dtype))

    def _ready(self, dtype: str) -> tuple[int, int]:
        if dtype not in self._addresses:
            path = self.kept_at(dtype)
            with cache.lock(path):
                if dtype in self._addresses:  # made by another thread meanwhile
                    return self._addresses[dtype]
                loaded = objects.read(path)
                self._addresses[dtype] = (
                    self._made(dtype, path)
                    if loaded is None
                    else (loaded.address("kernel"), loaded.address("c"))
                )
        return self._addresses[dtype]

    def _made(self, dtype: str, path: Path | None) -> tuple[int, int]:
        from numba.core.ccallback import CFunc  # takes its time to import

        signature = self._signature(DTYPES[dtype])
        options = {"nopython": True, "fastmath": ELEMENTWISE, **_FLAGS}
        compiled: Any = CFunc(self.function, (signature.args, signature.return_type), {}, options)
        if self._apart:
            _keep_apart(compiled)
        with compiler.uncollected():
            compiled.compile()
        self.libraries[dtype] = library = compiled._library
        # Past the C wrapper, which looks for exceptions: that takes as long as a small kernel.
        symbols = {"kernel": compiled.native_name.removeprefix("cfunc."), "c": compiled.native_name}
        objects.write(path, library, symbols)
        return library.get_pointer_to_function(symbols["kernel"]), compiled.address


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


def doorway(signature: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Doorway]:
    """Decorator: make a `Doorway` of that role's C signature."""
    return lambda function: Doorway(signature, function, apart=False)


def elementwise(signature: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Doorway]:
    """The same for loops over values, none of which is written through another argument.

    They need no check for overlap when they run, which would take the scalar form for buffers that
    are close together, as a tiny network's are.
    """
    return lambda function: Doorway(signature, function, apart=True)
