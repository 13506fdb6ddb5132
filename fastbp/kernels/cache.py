"""numba's on-disk cache, keyed on everything that machine code depends on.

numba's own key leaves out functions imported from other files, fastmath flags and several
settings, so that an edited helper would leave a stale caller. Here the folder's name is a digest
of every kernel source, of numba's and llvmlite's versions and of the settings; numba adds the
signature, the CPU and its features.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import stat
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import caching, compiler, config, serialize

_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "DEBUGINFO_DEFAULT")
_thread_lock = threading.RLock()
_depth = 0  # of compile_lock, guarded by _thread_lock


@functools.cache
def digest() -> str:
    """Hex digest of all kernel sources, compiler versions and settings."""
    h = hashlib.sha256(f"{sys.version} {numba.__version__} {llvmlite.__version__}".encode())
    for name in _SETTINGS:
        h.update(f" {name}={getattr(config, name, None)}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        h.update(path.name.encode() + b"\0" + path.read_bytes())
    return h.hexdigest()[:24]


def root() -> Path:
    """The folder of all caches: ``FASTBP_CACHE_DIR``, else the user's cache folder."""
    if chosen := os.environ.get("FASTBP_CACHE_DIR"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fastbp"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(local) / "fastbp" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastbp"


@functools.cache
def folder() -> Path | None:
    """This build's private folder (0700), made if need be; None, with a warning, if it can't be."""
    if os.environ.get("FASTBP_CACHE") == "0":
        return None
    try:
        path = root() / digest()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        # The files hold machine code that will be run: nobody else may write them.
        if hasattr(os, "getuid") and (
            status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022
        ):
            raise OSError(f"{path} belongs to, or can be written by, another user")
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"fastbp keeps no compiled code on disk ({error}); each process compiles anew. "
            "Set FASTBP_CACHE_DIR to a folder that you can write.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return path


@contextlib.contextmanager
def compile_lock() -> Iterator[None]:
    """Held while one thread of one process loads or compiles; others wait and then load."""
    global _depth
    with _thread_lock:
        _depth += 1
        try:
            if _depth > 1 or (path := folder()) is None:
                yield
                return
            with _file_lock(path / "lock"):
                yield
        finally:
            _depth -= 1


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Advisory lock between processes, let go by the system if this one dies."""
    try:
        handle = path.open("a+b")
    except OSError:  # full or read-only by now: a second compile is wasteful, not wrong
        yield
        return
    with handle:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            with contextlib.suppress(OSError):
                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def for_function(function: Callable[..., Any]) -> caching.NullCache:
    """The cache that a dispatcher or C callback of `function` is to use."""
    return _Cache(function)


class _Cache(caching.NullCache):  # type: ignore[misc]
    """One file a function, signature and CPU: the SHA-256 of what follows, then numba's pickle.

    numba's own store has an index beside its data files, which processes can cross-wire, and runs
    whatever it unpickles. Touches no disk before the first compile.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        path = folder()
        code = self._function.__code__
        parts = (str(sig), codegen.magic_tuple(), code.co_code, repr(code.co_consts))
        key = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
        name = f"{self._function.__module__.rpartition('.')[2]}.{self._function.__name__}"
        return path and path / f"{name}-{key}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        try:
            data = b"" if path is None else path.read_bytes()
        except OSError:
            return None
        if len(data) < 32 or hashlib.sha256(data[32:]).digest() != data[:32]:
            return None  # nothing there, or damaged: compile anew and write over it
        return compiler.CompileResult._rebuild(target_context, *pickle.loads(data[32:]))

    def save_overload(self, sig: Any, data: Any) -> None:
        path = self._path(sig, data.codegen)
        if path is None or data.library.has_dynamic_globals:
            return
        payload = serialize.dumps(data._reduce())
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
