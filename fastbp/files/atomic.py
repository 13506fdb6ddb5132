"""Files that are there whole, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from contextlib import suppress

_PREFIX, _SUFFIX = ".fastbp-", ".tmp"


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` in a file; one that is there already goes once the new one is on disk.

    Parameters
    ----------
    path : path-like
        The file. A symbolic link is followed. The mode, and where the system lets it the owner,
        are those of the file that is replaced, else those of any new file.
    content : bytes
        All of it.

    Raises
    ------
    ValueError
        `path` is a folder, a pipe or a device.
    OSError
        The system can't write the file; what was there still is.
    """
    target = os.path.realpath(path)
    try:
        before = os.stat(target)
    except OSError:  # none there, or what opening will tell
        before = None
    if before is not None and not stat.S_ISREG(before.st_mode):
        raise ValueError("not a regular file")
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        # At no moment may more people read it than could, and will.
        mode = 0o666 if before is None else 0o600
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with open(temporary, "rb") as file:
            stored = hashlib.sha256()
            while block := file.read(1 << 20):
                stored.update(block)
            if stored.digest() != hashlib.sha256(content).digest():
                raise OSError(errno.EIO, "what was written reads back differently")
            if before is not None and hasattr(os, "fchown") and hasattr(os, "fchmod"):
                _keep(before, file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        # Name the file the caller knows; an error in renaming has both names.
        if isinstance(error, OSError) and error.filename2 is None:
            error.filename = os.fspath(path)
        raise
    # The file is in place and whole; that its name outlives a power cut is up to the file system.
    if os.name == "posix":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _keep(before: os.stat_result, descriptor: int) -> None:
    """Give an open file the owner of one that it will replace, if that may be, and the mode."""
    now, mode = os.fstat(descriptor), stat.S_IMODE(before.st_mode) & 0o777
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        except OSError:  # only root can give files away; a group that one is in can be kept
            with suppress(OSError):
                os.fchown(descriptor, -1, before.st_gid)
        if os.fstat(descriptor).st_gid != before.st_gid:  # what that group could is not for another
            mode = mode & ~0o070 | (mode & 0o007) << 3
    with suppress(OSError):  # file systems without modes
        os.fchmod(descriptor, mode)


def remove_leftovers(folder: str) -> None:
    """Remove what writers that were killed have left in a folder that nobody else writes to."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # gone meanwhile, and what was left in it too
        return
    for name in names:
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))
