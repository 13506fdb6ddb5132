"""Buffers on cache lines' boundaries, and whether the machine can hold what is to be allocated.

Systems promise memory that they don't have, and end the process when it is used.
"""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.layout import ALIGNMENT

Int64s: TypeAlias = NDArray[np.int64]
#: a structured array, of a record of kernels/layout.py
Records: TypeAlias = NDArray[np.void]


def aligned_zeros(n: int, dtype: Any) -> NDArray[Any]:
    """Allocate n zeros whose first value stands on a cache line's boundary."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(n * itemsize + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + n * itemsize].view(dtype)


@cache
def memory_size() -> float:
    """Bytes of the machine's memory, or of the container's; infinite where no one says."""
    try:
        size: float = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows; allocation itself fails there
        return math.inf
    try:
        return min(size, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return size


def require_memory(what: str, nbytes: int) -> None:
    """Raise MemoryError for an allocation that the machine can't hold.

    Raises
    ------
    MemoryError
        `nbytes` are more than the machine has.
    """
    if nbytes > memory_size():
        raise MemoryError(f"{what}: {nbytes:,} bytes, of {memory_size():,.0f} that there are")
