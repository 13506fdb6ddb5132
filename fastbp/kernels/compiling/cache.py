"""The folder of machine code on disk, keyed on everything that machine code depends on.

numba's own key leaves out functions imported from other files, fastmath flags and several
settings, so that an edited helper would leave a stale caller. Here the folder's name is a digest
of every kernel source, of numba's and llvmlite's versions and of the settings; a file's name adds
the function, the signature, the CPU and its features.

The files hold machine code that will be run, so that nobody else may have written them. The folder
is opened once and checked as it is open; its files are opened relative to that descriptor and
checked as they are read. Whoever can rename things in a parent folder can put another folder in its
place, and no file from there is ever read.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import importlib
import os
import stat
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config

from fastbp.kernels.compiling import target

_PACKAGE = "fastbp.kernels"
_KERNELS = Path(sys.modules[_PACKAGE].__path__[0])  # all sources below it are looked at
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "DEBUGINFO_DEFAULT")
_thread_lock = threading.RLock()
_taking = map(_thread_lock.acquire, repeat(True))  # by each step, as a `Lock` of runtime/locks.py
_depth = 0  # of `lock`, guarded by _thread_lock
_forks: list[None] = []  # that wait for _thread_lock
_PAUSE = 5e-3  # seconds


@functools.cache
def digest() -> str:
    """Hex digest of all kernel sources, compiler versions and settings."""
    h = hashlib.sha256(f"{sys.version} {numba.__version__} {llvmlite.__version__}".encode())
    for name in _SETTINGS:
        h.update(f" {name}={getattr(config, name, None)}".encode())
    for path in sorted(_KERNELS.rglob("*.py")):
        h.update(path.relative_to(_KERNELS).as_posix().encode() + b"\0" + path.read_bytes())
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
        directory = _open_directory(path)
        _probe(directory)
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"fastbp keeps no compiled code on disk ({error}); each process compiles anew. "
            "Set FASTBP_CACHE_DIR to a folder that you can write.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    _directories[path] = directory
    return path


# -- files of a folder, by its descriptor ----------------------------------------------------------

_AT = {os.open, os.rename, os.unlink} <= os.supports_dir_fd
# No link is followed, no pipe is waited for, and no program that this one starts inherits it.
_FLAGS = sum(getattr(os, f"O_{name}", 0) for name in ("CLOEXEC", "NOFOLLOW", "NONBLOCK", "BINARY"))


class Directory:
    """An open folder that was found to be this user's alone; where there is no `dir_fd`, its name.

    It is the same folder for as long as this process lives, whatever becomes of its name.
    """

    def __init__(self, path: Path, descriptor: int | None, identity: tuple[int, int]) -> None:
        self.path, self.descriptor, self._identity = path, descriptor, identity

    def is_open(self) -> bool:
        """Whether the descriptor still is this folder's, and the folder still is there.

        Daemons close all descriptors, whose numbers then go to others.
        """
        try:
            status = self.path.stat() if self.descriptor is None else os.fstat(self.descriptor)
        except OSError:
            return False
        same = self.descriptor is None or (status.st_dev, status.st_ino) == self._identity
        return same and status.st_nlink > 0 and is_own(status)

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a file in it."""
        if self.descriptor is None:
            return os.open(self.path / name, flags | _FLAGS, 0o600)
        return os.open(name, flags | _FLAGS, 0o600, dir_fd=self.descriptor)

    def replace(self, name: str, by: str) -> None:
        """Give the file `by` the name of another."""
        if self.descriptor is None:
            os.replace(self.path / by, self.path / name)
        else:
            at = self.descriptor
            os.replace(by, name, src_dir_fd=at, dst_dir_fd=at)

    def unlink(self, name: str) -> None:
        if self.descriptor is None:
            os.unlink(self.path / name)
        else:
            os.unlink(name, dir_fd=self.descriptor)


#: those in use: the one that `folder` has given
_directories: dict[Path, Directory] = {}


def _open_directory(path: Path) -> Directory:
    """Open a folder; raise OSError unless it is this user's alone."""
    if not _AT:
        _check_owner(path, path.stat())
        return Directory(path, None, (0, 0))
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
    try:
        status = os.fstat(descriptor)
        _check_owner(path, status)
    except BaseException:
        os.close(descriptor)
        raise
    return Directory(path, descriptor, (status.st_dev, status.st_ino))


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not is_own(status):
        raise OSError(f"{path} belongs to, or can be written by, another user")


def is_own(status: os.stat_result) -> bool:
    """Whether nobody but this user could have written it."""
    if not hasattr(os, "getuid"):
        return True
    own = status.st_uid == os.getuid() == os.geteuid()
    return own and not stat.S_IMODE(status.st_mode) & 0o022


def _probe(directory: Directory) -> None:
    """Raise OSError unless a file can be made."""
    name = temporary("probe")
    os.close(directory.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    directory.unlink(name)


def temporary(name: str) -> str:
    """A name that no other file has."""
    return f"{name}.{os.getpid():x}-{os.urandom(6).hex()}"


def directory_of(path: Path) -> Directory:
    """The open folder of a file; raises OSError as `_open_directory`."""
    directory = _directories.get(path.parent)
    if directory is None or not directory.is_open():
        directory = _directories[path.parent] = _open_directory(path.parent)
    return directory


# -- names and locks -------------------------------------------------------------------------------


def path_of(function: Callable[..., Any], signature: object) -> Path | None:
    """Where the machine code of a function is kept; None if none is."""
    path, code = folder(), function.__code__
    parts = (str(signature), target.cpu(), code.co_code, repr(code.co_consts), code.co_names)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    name = f"{function.__module__.removeprefix(f'{_PACKAGE}.')}.{function.__name__}"
    return path and path / f"{name}-{key}"


@contextlib.contextmanager
def lock(path: Path | None) -> Iterator[None]:
    """Held while a thread of a process loads or compiles what goes to `path`; others wait."""
    global _depth
    if _forks:
        time.sleep(_PAUSE)  # a fork comes first: who lets go of a lock is the quickest to take it
    held = False
    try:
        for held in _taking:  # noqa: B007
            break
        _depth += 1
        # A second file could be the first again, or one whose holder waits for the first.
        if path is None or _depth > 1:
            yield
            return
        # A few files for all paths: two that share one wait a little longer.
        with _file_lock(path.with_name(f"lock-{path.name[-1]}")):
            yield
    finally:
        try:
            if held:
                _depth -= 1
                _thread_lock.release()
        finally:
            pass


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Advisory lock between processes, let go by the system if this one dies."""
    try:
        descriptor = directory_of(path).open(path.name, os.O_RDWR | os.O_CREAT)
        handle = os.fdopen(descriptor, "r+b", 0)
    except OSError:  # full or read-only by now: a second compile is wasteful, not wrong
        yield
        return
    with handle:
        let_go: Callable[[], object] = bool
        with contextlib.suppress(OSError):  # some network file systems have no locks
            let_go = _wait_for(handle.fileno())
        try:
            yield
        finally:  # closing would leave it to a child that was forked meanwhile
            with contextlib.suppress(OSError):
                let_go()


def _wait_for(descriptor: int) -> Callable[[], object]:
    """Take the lock of an open file, and give what lets it go; by msvcrt where there is no fcntl.

    Where there is neither, nothing is taken: files get their names once they are whole, so that
    two processes which compile the same thing cost time, and no more.
    """
    try:
        import fcntl
    except ImportError:
        return _wait_on_windows(descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return partial(fcntl.flock, descriptor, fcntl.LOCK_UN)


def _wait_on_windows(descriptor: int) -> Callable[[], object]:
    try:
        msvcrt: Any = importlib.import_module("msvcrt")
    except ImportError:
        return bool
    while not _taken(msvcrt, descriptor):
        pass
    return partial(msvcrt.locking, descriptor, msvcrt.LK_UNLCK, 1)


def _taken(msvcrt: Any, descriptor: int) -> bool:
    """Whether Windows' lock was had within the ten seconds that it is waited for."""
    try:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
    except OSError as error:
        if error.errno == errno.EDEADLK:
            return False
        raise
    return True


def _forked() -> None:
    """A child has none of its parent's threads, so nobody else is at work."""
    global _depth
    try:
        _thread_lock.release()
    except RuntimeError:  # Ctrl-C came while it was waited for: another thread may hold it
        _thread_lock._at_fork_reinit()  # type: ignore[attr-defined]
        _depth = 0


if hasattr(os, "register_at_fork"):
    # Held during a fork: numba can't be left in the midst of compiling, with locks of its own
    # taken. An interrupt that comes into a hook is lost with the hook, but into none of C's.
    os.register_at_fork(after_in_parent=_forks.clear, after_in_child=_forks.clear)
    os.register_at_fork(
        before=_thread_lock.acquire, after_in_parent=_thread_lock.release, after_in_child=_forked
    )
    os.register_at_fork(before=partial(_forks.append, None))
