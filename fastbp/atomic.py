"""Files that are there whole, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from contextlib import suppress

_PREFIX, _SUFFIX = ".fastbp-", ".tmp"


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` in a file; one that is there already goes once the new one is on disk.

    Parameters
    ----------
    path : path-like
        The file. A symbolic link is followed; the mode is that of any new file.
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
    if os.path.exists(target) and not os.path.isfile(target):
        raise ValueError("not a regular file")
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with open(temporary, "rb") as file:
            stored = hashlib.sha256()
            while block := file.read(1 << 20):
                stored.update(block)
        if stored.digest() != hashlib.sha256(content).digest():
            raise OSError(errno.EIO, "what was written reads back differently")
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


def remove_leftovers(folder: str) -> None:
    """Remove what writers that were killed have left in a folder that nobody else writes to."""
    for name in os.listdir(folder):
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))
