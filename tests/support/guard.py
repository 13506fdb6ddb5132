"""Arrays that end, or begin, at a page of memory whose every access ends the process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE = mmap.PAGESIZE


def zeros(shape: Any, dtype: Any, *, at_end: bool) -> NDArray[Any]:
    """Zeros between two guard pages, flush with the one behind them or the one before.

    POSIX only. The values are aligned to their own size, and no better.
    """
    count, dtype = int(np.prod(shape)), np.dtype(dtype)
    size = count * dtype.itemsize
    pages = -(-size // PAGE) * PAGE
    memory = np.frombuffer(mmap.mmap(-1, pages + 2 * PAGE), np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for guard in (memory[:PAGE], memory[PAGE + pages :]):
        if protect(guard.ctypes.data, PAGE, 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
    start = PAGE + (pages - size if at_end else 0)
    return memory[start : start + size].view(dtype).reshape(shape)


def copy(values: Any, *, at_end: bool) -> NDArray[Any]:
    """`values` between two guard pages."""
    array = zeros(np.shape(values), np.asarray(values).dtype, at_end=at_end)
    array[...] = values
    return array
