"""Compiling ahead of time, with the help of other processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from fastbp.kernels.compiling import cache, jit, notice
from fastbp.layers.names import DTypeLike, dtype_name
from fastbp.runtime.team import cores

Report = Callable[[int, int, str], object]
Part = tuple["jit.Entry | jit.CFunc", str]

# numba compiles in one thread of a process at a time, so that more hands are other processes.
# One ends when its stdin does: with this process at the latest, however that comes about.
_HELPER = """
import os, sys, json, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
sys.path[:] = json.loads(sys.argv[1])
from fastbp import warm
warm.help()
"""
_MARK = "_FASTBP_HELPER"  # in a helper's environment: it starts none itself
_MOST_HELPERS = 7
_WORTH_HELPING = 16  # parts that are missing; a process takes as long to start as some of them


def warmup(
    dtypes: DTypeLike | Iterable[DTypeLike] = ("float32", "float64"),
    *,
    report: Report | None = None,
) -> float:
    """Compile everything that a network can use, or load it from the cache on disk.

    What is compiled stays in this process, and in the cache for later ones; without a call of this
    function, each part is compiled when it is first used. Other processes of the same Python help,
    one a processor, where there is a cache to share and more than a little to do.

    Parameters
    ----------
    dtypes : str, dtype or iterable of them
        "float32", "float64", or both.
    report : callable or None
        Called as ``report(done, total, name)`` before each kernel.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    TypeError, ValueError
        A dtype is not known.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.warmup(["float32"]) > 0
    True
    """
    if isinstance(dtypes, (str, type, np.dtype)):
        dtypes = (dtypes,)
    wanted: list[str] = [dtype_name("dtypes", dtype) for dtype in dtypes]
    parts = _parts(wanted)
    if report is not None:
        notice.is_told()
    started = time.perf_counter()
    with _helpers(wanted, sum(map(_missing, parts))):
        for done, (part, dtype) in enumerate(parts):
            if report is not None:
                report(done, len(parts), f"{part.name} ({dtype})")
            part.compile(dtype)
    return time.perf_counter() - started


def _parts(dtypes: Iterable[str]) -> list[Part]:
    return [(part, dtype) for dtype in dtypes for part in jit.PARTS]


def _missing(wanted: Part) -> bool:
    """Whether a part is in the cache of no process yet."""
    part, dtype = wanted
    path = part.kept_at(dtype)
    return path is not None and dtype not in part.dtypes and not path.exists()


@contextlib.contextmanager
def _helpers(dtypes: list[str], missing: int) -> Iterator[None]:
    """Processes that fill the cache as well, each beginning elsewhere; ended with the block."""
    count = min(cores() - 1, _MOST_HELPERS, missing // _WORTH_HELPING)
    if cache.folder() is None or not _python():
        count = 0
    paths = json.dumps([path for path in sys.path if isinstance(path, str)])
    running = []
    try:
        for which in range(count):
            # isolated: what lies in the working folder is none of its business
            command = [sys.executable, "-I", "-c", _HELPER, paths]
            with contextlib.suppress(OSError):  # then there is one less
                running.append(
                    subprocess.Popen(
                        [*command, json.dumps([dtypes, which + 1, count + 1])],
                        env={**os.environ, _MARK: "1"},
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                )
        yield
    finally:
        for process in running:
            process.kill()  # what it would still do has been done; files are there whole or not
        for process in running:
            with process:  # waits, and closes the pipe
                pass


def _python() -> bool:
    """Whether a helper can be started: not where Python is part of another program."""
    name = os.path.basename(sys.executable or "").lower()
    return "python" in name and not getattr(sys, "frozen", False) and _MARK not in os.environ


def help() -> None:
    """Compile, as a helper: its share of the parts, then what is missing of the others'."""
    dtypes, which, of = json.loads(sys.argv[2])
    parts = _parts(dtypes)
    begin = len(parts) * which // of
    for part, dtype in parts[begin:] + parts[:begin]:
        if _missing((part, dtype)):
            part.compile(dtype)
