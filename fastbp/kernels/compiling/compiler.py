"""numba's compiler, without the work that kernels have no use for.

numba makes every function ready to be called from Python: it optimises the function's module, then
that of each caller with the function in it, and makes machine code of both. A kernel that only
kernels call is linked into its callers and nothing else, so that there both would be thrown away.
Without that, compiling takes four fifths of the time.

Such a kernel has no environment either: it can't print, and can't go into object mode.

All of this is numba's inside. Where a part has another name, importing this fails, and kernels are
compiled as numba does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, CompileResult, Flags

_PARTS: dict[Any, tuple[str, ...]] = {
    JITCodeLibrary: (
        "_optimize_final_module",
        "_finalize_final_module",
        "_finalize_dynamic_globals",
    ),
    Compiler: ("define_pipelines", "compile_extra"),
    Flags: ("no_compile",),
    CompileResult: ("fndesc", "environment", "library", "entry_point", "_replace"),
}
if missing := [
    name for owner, names in _PARTS.items() for name in names if not hasattr(owner, name)
]:
    raise ImportError(f"this numba has no {', '.join(missing)}")


class _LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Is linked into others, which optimise it; never run by itself."""

    # The passes function by function stay: without them tanh takes 1.12 times as long, Rprop 1.3.
    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class Linked(Compiler):  # type: ignore[misc]
    """For kernels that are linked into their callers."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.flags.no_compile = True
        state.library = _LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return super().define_pipelines()

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        result = super().compile_extra(func)
        names = result.fndesc
        # numba knows a compiled function by the object that Python would call.
        key = _dynfunc.make_function(
            names.lookup_module(), func.__name__, "", 0, result.environment, (result.library,)
        )
        self.state.targetctx.insert_user_function(key, names, [result.library])
        return result._replace(entry_point=key)
