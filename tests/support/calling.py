"""Kernels that other kernels call by their addresses, as Python calls them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numba import types

from fastbp.kernels.compiling import jit

C = {types.float32: ctypes.c_float, types.float64: ctypes.c_double, types.int64: ctypes.c_int64}


def function(cfunc: jit.CFunc, dtype: str) -> Any:
    """A kernel as Python calls it: arrays, or addresses, for its pointers."""
    signature = cfunc._types(dtype)
    kinds = [C.get(t, ctypes.c_void_p) for t in signature.args]
    result = C.get(signature.return_type)
    raw = ctypes.CFUNCTYPE(result, *kinds)(cfunc.c_address(dtype))

    def call(*arguments: Any) -> Any:
        return raw(*[a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments])

    return call
