"""The folder of machine code on disk, keyed on everything that machine code depends on.

numba's own key leaves out functions imported from other files, fastmath flags and several
settings, so that an edited helper would leave a stale caller. Here the folder's name is a digest
of every kernel source, of numba's and llvmlite's versions and of the settings; a file's name adds
the function, the signature, the CPU and its features.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
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
from numba.core import config

from fastbp.kernels import target

_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "DEBUGINFO_DEFAULT")
_thread_lock = threading.RLock()
_depth = 0  # of `lock`, guarded by _thread_lock


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


def path_of(function: Callable[..., Any], signature: object) -> Path | None:
    """Where the machine code of a function is kept; None if none is."""
    path, code = folder(), function.__code__
    parts = (str(signature), target.cpu(), code.co_code, repr(code.co_consts), code.co_names)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    return path and path / f"{name}-{key}"


@contextlib.contextmanager
def lock(path: Path | None) -> Iterator[None]:
    """Held while a thread of a process loads or compiles what goes to `path`; others wait."""
    global _depth
    with _thread_lock:
        _depth += 1
        try:
            # A second file could be the first again, or one whose holder waits for the first.
            if path is None or _depth > 1:
                yield
                return
            # A few files for all paths: two that share one wait a little longer.
            with _file_lock(path.with_name(f"lock-{path.name[-1]}")):
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
            yield
        else:
            import fcntl

            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                yield
            finally:  # closing would leave it to a child that was forked meanwhile
                with contextlib.suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_UN)


def _forked() -> None:
    """A child has none of its parent's threads, so nobody is at work."""
    global _thread_lock, _depth
    _thread_lock, _depth = threading.RLock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
