"""Reading samples: from any real dtype and any strides into rows of the network's dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from fastbp.kernels.compiling import jit, roles
from fastbp.kernels.compiling.simd import at as at_
from fastbp.kernels.compiling.simd import cast, pointer, prefetch
from fastbp.kernels.maths.rows import copy_row


@jit.kernel
def same(x):
    return x


@jit.kernel
def from_half(h):
    """IEEE half precision, given as its bits, as a float32: exact."""
    magnitude = np.int32(h & np.uint16(0x7FFF)) << np.int32(13)
    sign = np.int32(h & np.uint16(0x8000)) << np.int32(16)
    if magnitude >= np.int32(0x7C00) << np.int32(13):  # Inf and NaN
        return np.int32(sign | magnitude | np.int32(0x7F800000)).view(np.float32)
    # The exponents' biases differ by 112; the product makes denormals right as well.
    scaled = np.float32(np.int32(magnitude).view(np.float32) * _TWO_112)
    return np.int32(sign | scaled.view(np.int32)).view(np.float32)


# Rows of shuffled samples are asked for so many rows before they are read.
_AHEAD = 24
_TWO_112 = np.float32(2.0**112)


def copied(out, source, n, ld):
    """Whether the types are the same: then one row has been copied, with zeros up to `ld`."""
    raise NotImplementedError


@overload(copied, jit_options=jit.INNER_OPTIONS)
def _copied(out, source, n, ld):
    if out != source:
        return lambda out, source, n, ld: False

    def copy(out, source, n, ld):
        copy_row(out, source, n, ld)
        return True

    return copy


def _reader(kind: str, like: Any, convert: Any) -> jit.CFunc:
    """The function for one source dtype."""
    itemsize = np.dtype(type(like)).itemsize

    def values(out, source, row_stride, feature_stride, offsets, index, rows, n, ld):
        zero = cast(out, 0)
        for r in range(rows):
            at = source + index[r] * row_stride
            to = r * ld
            if feature_stride == itemsize:
                prefetch(source + index[min(r + _AHEAD, rows - 1)] * row_stride)
                run = pointer(like, at)
                # Sample weights and class ids have rows of one value, without padding.
                if ld > 1 and copied(at_(out, to), run, n, ld):
                    continue
                for j in range(n):
                    out[to + j] = cast(out, convert(run[j]))
            elif feature_stride:
                for j in range(n):
                    out[to + j] = cast(out, convert(pointer(like, at + j * feature_stride)[0]))
            else:
                for j in range(n):
                    out[to + j] = cast(out, convert(pointer(like, at + offsets[j])[0]))
            for j in range(n, ld):
                out[to + j] = zero
        return 0

    values.__name__ = values.__qualname__ = f"values_{kind}"
    return jit.elementwise(roles.gather)(values)


_TAGS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "bool": (np.uint8(0), same),
    "float16": (np.uint16(0), from_half),
    **{
        np.dtype(t).name: (t(0), same)
        for t in (
            np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
            np.float32, np.float64,
        )
    },
}  # fmt: skip
READERS = {kind: _reader(kind, like, convert) for kind, (like, convert) in _TAGS.items()}


@jit.kernel
def one_hot(out, rows, n, ld):
    """Class ids in `out[0 ... rows - 1]` become rows of zeros with a one; how many were no id.

    Ids are exact in either dtype: there are at most 2^24 classes. From the last row to the first,
    so that no id is written over before it is read.
    """
    bad = 0
    for i in range(rows):
        r = rows - 1 - i
        label = out[r]
        for j in range(r * ld, r * ld + ld):
            out[j] = cast(out, 0)
        if label >= 0 and label < n:
            out[r * ld + np.int64(label)] = cast(out, 1)
        else:
            bad += 1
    return bad
