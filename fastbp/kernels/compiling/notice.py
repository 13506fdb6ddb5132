"""Saying that kernels are compiled, which a person who waits for the first time can't know.

Once a process: a record of the logger "fastbp" as the first kernel is compiled, and a line on
stderr once compiling has taken a while, where a person reads that: on a terminal or in a notebook.
Nothing of this runs where all is in the cache.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LOG = logging.getLogger("fastbp")
_PATIENCE = 2.0  # seconds of compiling, of all kernels together, before stderr is told
_clock = time.monotonic
_Timer = threading.Timer

_logged = _written = False  # whether it has been said
_spent = 0.0  # seconds of compiling before the kernel under way
_under_way: object = None  # of the outermost `compiling`; all are guarded by the cache's lock


@contextlib.contextmanager
def compiling(path: Path | None) -> Iterator[None]:
    """Held while a kernel is compiled, by one thread of a process at a time.

    Parameters
    ----------
    path : Path or None
        The file that it will be kept in, if it is kept.
    """
    global _logged, _spent, _under_way
    if _under_way is not None:  # a kernel that another one needs
        yield
        return
    if not _logged:
        _logged = True
        _LOG.info("%s", _words(path))
    timer: Any = None
    started = _clock()
    try:
        _under_way = this = object()
        if not _written and _has_a_reader():
            timer = _Timer(max(0.0, _PATIENCE - _spent), _write, (this, _words(path)))
            timer.daemon = True
            timer.start()
        yield
    finally:
        try:  # an interrupt may come where a `finally` begins, unless by a `try` (runtime/locks.py)
            _under_way = None
            if timer is not None:
                timer.cancel()
            _spent += _clock() - started
        finally:
            pass


def is_told() -> None:
    """Write nothing to stderr from here on: a person is told in another way."""
    global _written
    _written = True


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return "IPKernelApp" in getattr(shell, "config", ())


def in_worker() -> bool:
    """Whether a pool of another process started this one: many would write at once."""
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and processes.current_process().name != "MainProcess"


def _has_a_reader() -> bool:
    """Whether stderr is a terminal, or the stream of a notebook, of a process that none started."""
    stream = sys.stderr
    with contextlib.suppress(AttributeError, ValueError):  # none, no file, or closed
        notebook = type(stream).__module__.partition(".")[0] == "ipykernel" and in_notebook()
        return (notebook or stream.isatty()) and not in_worker()
    return False


def _words(path: Path | None) -> str:
    if path is None:
        return "compiling kernels for this machine; they are not kept, and each process compiles"
    return (
        "compiling kernels for this machine, once; they are kept for later runs in "
        f"{path.parent.parent}"
    )


def _write(this: object, words: str) -> None:
    """Write the line, in a thread of its own, if that kernel still is compiled."""
    global _written
    if _written or _under_way is not this or not _has_a_reader():
        return
    _written = True
    line, stream = f"fastbp is {words}", sys.stderr
    with contextlib.suppress(Exception):  # a terminal that is gone is no reason to complain
        tqdm = sys.modules.get("tqdm")
        if tqdm is not None:  # takes bars away for the moment: its own, and those of fits
            tqdm.tqdm.write(line, file=stream)
        else:
            stream.write(f"{line}\n")
        stream.flush()
