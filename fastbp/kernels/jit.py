"""The one place where numba's flags, fastmath sets and on-disk cache are chosen.

Three decorators: ``kernel`` and ``reduction`` make functions that other kernels call; ``entry``
makes a function that Python calls; ``doorway`` makes one that kernels call by its address. Entries
and doorways compile, or load from the cache, at their first use, once per dtype, with a signature
that stands here and is never inferred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import types
from numba.core.ccallback import CFunc

from fastbp.kernels import cache

# `error_model="numpy"`: Python's own raises on a division by zero, which is control flow, which
# stops vectorisation. `contract` lets LLVM form FMAs and nothing more; `reassoc` would fold the
# rounding tricks of vmath. Never nnan or ninf: a NaN has to stay visible.
_FLAGS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "boundscheck": False}
# Kernels that only kernels call need no doorway from Python or C; that is half their compile time.
_INNER = {**_FLAGS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
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
        self.dispatcher = numba.njit(fastmath=ELEMENTWISE, **_FLAGS)(function)
        self.dispatcher._cache = cache.for_function(function)
        self._entry_points: dict[str, Callable[..., int]] = {}
        self._n_arguments = function.__code__.co_argcount - 1
        self.name = function.__name__
        PARTS.append(self)

    def compile(self, dtype: str) -> None:
        """Compile for `dtype`, or load from the cache, if that has not been done."""
        self.compiled(dtype)

    def compiled(self, dtype: str) -> Callable[..., int]:
        """The machine code for `dtype`, ``f(0.0, *int64s) -> int64``; compiles at first use."""
        entry_point = self._entry_points.get(dtype)
        if entry_point is None:
            signature = (DTYPES[dtype],) + (types.int64,) * self._n_arguments
            with cache.compile_lock():
                self.dispatcher.compile(signature)
            entry_point = self.dispatcher.overloads[signature].entry_point
            self._entry_points[dtype] = entry_point
        return entry_point


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
        self.function = function
        self._apart = apart
        self._signature = signature
        self._options = {**_FLAGS, "fastmath": ELEMENTWISE}
        self._compiled: dict[str, Any] = {}
        self._addresses: dict[str, int] = {}
        self.name = function.__name__
        self._own = own
        if not own:
            PARTS.append(self)

    def compile(self, dtype: str) -> None:
        """Compile for `dtype`, or load from the cache, if that has not been done."""
        self.address(dtype)

    def address(self, dtype: str) -> int:
        """The address of the machine code for `dtype`, for simd.call_*; compiles at first use."""
        self.compiled(dtype)
        return self._addresses[dtype]

    def compiled(self, dtype: str) -> Any:
        """numba's own object: its address is that of a C function, for tests."""
        compiled: Any = self._compiled.get(dtype)
        if compiled is None:
            with cache.compile_lock():
                signature = self._signature(DTYPES[dtype])
                typed = (signature.args, signature.return_type)
                compiled = CFunc(self.function, typed, {}, {"nopython": True, **self._options})
                if self._apart:
                    _keep_apart(compiled)
                if not self._own:
                    compiled._cache = cache.for_function(self.function)
                compiled.compile()
            # Past the C wrapper, which looks for exceptions: that takes as long as a small kernel.
            library, wrapper = compiled._library, compiled.native_name
            self._addresses[dtype] = library.get_pointer_to_function(wrapper.removeprefix("cfunc."))
            self._compiled[dtype] = compiled
        return compiled


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
