"""Described arrays for tests: read value by value, as the kernels do."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from fastbp.data.inputs import Source, features


def read(source: Source) -> np.ndarray:
    """Every value where the description says it is, one address at a time."""
    dtype = np.dtype(source.kind)
    out = np.empty((source.n, source.n_features), dtype)
    for i in range(source.n):
        for j in range(source.n_features):
            step = j * source.feature_stride if source.offsets is None else source.offsets[j]
            address = source.address + i * source.row_stride + int(step)
            assert address % dtype.itemsize == 0, "the kernels read aligned values"
            raw = (ctypes.c_char * dtype.itemsize).from_address(address)
            out[i, j] = np.frombuffer(raw, dtype)[0]
    return out


def check_features(X: Any, dtype: str = "float64") -> Source:
    """Describe X, read it by the description, and compare with numpy's own flattening."""
    expected = np.asarray(X)
    expected = expected.reshape(len(expected), -1)
    source = features(X, expected.shape[1], dtype)
    np.testing.assert_array_equal(read(source), expected)
    assert (source.n, source.n_features) == expected.shape
    assert (source.feature_stride == 0) == (source.offsets is not None)
    assert not source.class_ids
    return source


def ramp(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return (np.arange(np.prod(shape)) % 101).reshape(shape).astype(dtype)
