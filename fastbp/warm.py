"""Compiling ahead of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fastbp.checks import choice
from fastbp.kernels import jit

Report = Callable[[int, int, str], object]


def warmup(
    dtypes: Iterable[str] = ("float32", "float64"), *, report: Report | None = None
) -> float:
    """Compile everything that a network can use, or load it from the cache on disk.

    What is compiled stays in this process, and in the cache for later ones; without a call of this
    function, each part is compiled when it is first used.

    Parameters
    ----------
    dtypes : iterable of str
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
    """
    if isinstance(dtypes, str):
        dtypes = (dtypes,)
    wanted = [choice("dtypes", dtype, jit.DTYPES) for dtype in dtypes]
    parts = [(part, dtype) for dtype in wanted for part in jit.PARTS]
    started = time.perf_counter()
    for done, (part, dtype) in enumerate(parts):
        if report is not None:
            report(done, len(parts), f"{part.name} ({dtype})")
        part.compile(dtype)
    return time.perf_counter() - started
