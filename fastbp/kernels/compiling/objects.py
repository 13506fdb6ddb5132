"""Machine code as object files: written after a compile, loaded without numba's compiler.

Going through numba to load what it has compiled before would import most of numba (0.2 s, with
SciPy installed twice that); LLVM's loader alone takes about a millisecond a file. A file is the
SHA-256 of what follows; a line of JSON, the build and the symbols; the object as LLVM wrote it.

LLVM ends the process where an object is not as it should be: what it would refuse is passed over
before it sees it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import llvmlite.binding as llvm
from numba.core import config

from fastbp.kernels.compiling import cache, object_format, target

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


class _Loader:
    """A thread that loads what others ask for, and ends when it has had nothing to do for a while.

    Interrupts come into the main thread, and LLVM's objects must not be half handed over: they
    would be freed twice.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Path, SimpleQueue[Loaded | None]]] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="fastbp loader", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it may still be asked."""
        return self._thread.is_alive()

    def _work(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                path, done = self._calls.get(timeout=_IDLE_SECONDS)
                try:
                    done.put(_read(path))
                except BaseException:  # it is compiled anew
                    done.put(None)

    def read(self, path: Path) -> Loaded | None:
        """Load a file, and wait for it; raises Empty where the thread has ended."""
        done: SimpleQueue[Loaded | None] = SimpleQueue()
        self._calls.put((path, done))
        while True:
            with contextlib.suppress(Empty):
                return done.get(timeout=_IDLE_SECONDS)
            if not self._thread.is_alive() and done.empty():
                raise Empty


_IDLE_SECONDS = 0.2
_loader: _Loader | None = None


def _forked() -> None:
    """A child has none of its parent's threads."""
    global _loader
    _loader = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def read(path: Path | None) -> Loaded | None:
    """Load an object file; None if there is none, or none that can be used."""
    global _loader
    if path is None or threading.current_thread() is not threading.main_thread():
        return _read(path)
    while True:
        if _loader is None or not _loader.alive:
            _loader = _Loader()
        with contextlib.suppress(Empty):  # it has ended in between
            return _loader.read(path)


def _read(path: Path | None) -> Loaded | None:
    try:
        data = b"" if path is None else _content(path)
    except OSError:
        return None
    if len(data) < 32 or hashlib.sha256(memoryview(data)[32:]).digest() != data[:32]:
        return None  # nothing there, or damaged: compile anew and write over it
    line = data.find(b"\n", 32)
    about, code = _header(data[32:line]), data[line + 1 :]
    del data  # copies count in what a process takes
    if about is None or not object_format.is_whole(code, about["symbols"].values()):
        return None
    engine = _engine()
    # The loader doesn't tell of a symbol that it can't find: it calls address 0.
    if engine is None or not all(map(llvm.address_of_symbol, about["needed"])):
        return None
    try:
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
    except (RuntimeError, ValueError):
        return None
    _kept.append(engine)
    return Loaded(about["symbols"], engine)


def _content(path: Path) -> bytes:
    """What a file holds; raises OSError for a link, a pipe, and what others could have written."""
    descriptor = cache.directory_of(path).open(path.name, os.O_RDONLY)
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not (stat.S_ISREG(status.st_mode) and cache.is_own(status)):
            raise OSError(f"{path} is no file of this user's alone")
        return file.readall()


def _header(text: bytes) -> dict[str, Any] | None:
    """The line of JSON, if it is one of this build's."""
    try:
        about: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match about:
        case {"build": str(build), "symbols": dict(symbols), "needed": list(needed)}:
            names = (*symbols.values(), *needed)
            if build == cache.digest() and all(isinstance(n, str) and n for n in names):
                return {"symbols": symbols, "needed": needed}
    return None


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
    about = {"build": cache.digest(), "symbols": symbols, "needed": needed}
    payload = json.dumps(about).encode() + b"\n" + code
    # A full disk costs the next process time, no more; nor does a system that lacks what it takes.
    with contextlib.suppress(OSError, TypeError):
        _put(path, hashlib.sha256(payload).digest() + payload)


def _put(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    folder, beside = cache.directory_of(path), cache.temporary(path.name)
    try:
        with open(folder.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(content)
        folder.replace(path.name, beside)
    except BaseException:
        with contextlib.suppress(OSError):
            folder.unlink(beside)
        raise


def _engine() -> Any:
    """A loader of its own for each file: symbols of two files never meet."""
    if not _symbols():
        return None
    machine = llvm.Target.from_triple(target.TRIPLE).create_target_machine(jit=True)
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
