"""Machine code as object files: written after a compile, loaded without numba's compiler.

Going through numba to load what it has compiled before would import most of numba (0.2 s, with
SciPy installed twice that); LLVM's loader alone takes about a millisecond a file. A file is the
SHA-256 of what follows; a line of JSON, the symbols; the object as LLVM wrote it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.core import config

#: engines, whose code is in use until the process ends, also when this module is loaded again
_kept: list[Any] = globals().get("_kept", [])


class Loaded:
    """An object file that this process can call."""

    def __init__(self, symbols: dict[str, str], engine: llvm.ExecutionEngine) -> None:
        self._symbols, self._engine = symbols, engine

    def address(self, role: str) -> int:
        """Of the function that `write` was told under this name."""
        return int(self._engine.get_function_address(self._symbols[role]))

    def callable(self, function: Callable[..., Any]) -> Callable[..., int]:
        """The wrapper that takes Python's numbers, as numba's dispatcher makes it."""
        from numba import _dynfunc

        environment = _dynfunc.Environment(function.__globals__)
        place = self._engine.get_global_value_address(self._symbols["environment"])
        ctypes.c_void_p.from_address(place).value = id(environment)
        _kept.append(environment)
        made: Callable[..., int] = _dynfunc.make_function(
            sys.modules[function.__module__], function.__name__, function.__doc__ or "",
            self.address("wrapper"), environment, (self._engine,),
        )  # fmt: skip
        return made


def read(path: Path | None) -> Loaded | None:
    """Load an object file; None if there is none, or none that can be used."""
    try:
        data = b"" if path is None else path.read_bytes()
    except OSError:
        return None
    if len(data) < 32 or hashlib.sha256(data[32:]).digest() != data[:32]:
        return None  # nothing there, or damaged: compile anew and write over it
    head, _, code = data[32:].partition(b"\n")
    about = json.loads(head)
    engine = _engine()
    # The loader doesn't tell of a symbol that it can't find: it calls address 0.
    if engine is None or not all(map(llvm.address_of_symbol, about["needed"])):
        return None
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _kept.append(engine)
    return Loaded(about["symbols"], engine)


def write(path: Path | None, library: Any, symbols: dict[str, str]) -> None:
    """Keep what numba has compiled, if it can be kept; it is in use already."""
    if path is None or not _symbols():
        return
    try:
        if library.has_dynamic_globals:
            return
        module, code = library._final_module, library._get_compiled_object()
    except (AttributeError, RuntimeError, ValueError):  # another numba's business, as in _symbols
        return
    declared = (*module.functions, *module.global_variables)
    needed = [v.name for v in declared if v.is_declaration and not v.name.startswith("llvm.")]
    payload = json.dumps({"symbols": symbols, "needed": needed}).encode() + b"\n" + code
    # A full disk costs the next process time, no more.
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as handle,
    ):
        try:
            handle.write(hashlib.sha256(payload).digest() + payload)
            handle.close()
            os.replace(handle.name, path)
        except OSError:
            os.unlink(handle.name)


def _engine() -> Any:
    """A loader of its own for each file: symbols of two files never meet."""
    if not _symbols():
        return None
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    if config.ENABLE_PROFILING:
        engine.enable_jit_events()
    return engine


@functools.cache
def _symbols() -> bool:
    """Tell LLVM of the C functions that numba's machine code calls; whether that could be done.

    The parts of numba that do this are its own business: where they have changed, code is compiled
    anew in each process, as if there were no cache.
    """
    if sys.maxsize < 2**32:  # there numba compiles helpers of its own
        return False
    try:
        from numba import _dynfunc  # noqa: F401  `Loaded` needs it
        from numba.core import base, externals
        from numba.core.runtime import _nrt_python

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        base._load_global_helpers()
        externals.c_math_functions.install(None)  # a context is for 32 bits
        for name, address in _nrt_python.c_helpers.items():
            llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
    except (ImportError, AttributeError, KeyError, TypeError):
        return False
    return True
