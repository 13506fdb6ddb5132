"""Values of arrays, checked in bounded chunks.

Of values that may be anything finite, a kernel counts those that are not. Elsewhere the least and
the greatest of a chunk tell all that a range can ask (NaN passes through both). Only a chunk that
fails is looked at value by value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.maths.finite import count_nonfinite

#: dtypes that the kernels read
KINDS: dict[np.dtype[Any], str] = {
    np.dtype(kind): kind
    for kind in (
        *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
        *("float16", "float32", "float64"),
    )
}
SUM_TOLERANCE = 1e-3  # of a row of class probabilities

CHUNK = 1 << 16  # values looked at in one go: they stay in the L2 cache for the second look
LONG = 1 << 24  # values that a kernel looks at in one go
SMALL = 1 << 12  # below this one dot product is quicker than two reductions
# The greatest float64 that rounds to a finite one: for float32, just under half a step over its own
GREATEST = {
    "float32": float(np.nextafter(2.0**128 - 2.0**103, 0.0)),
    "float64": float(np.finfo(np.float64).max),
}


class Columns(NamedTuple):
    """The columns of a table that values were read from, for messages.

    Attributes
    ----------
    labels : iterable or None
        The table's own, of which names are made once one is needed; None where there is no table,
        but one column by itself.
    nan : bool
        Whether NaN stands for a missing value there, as in pandas.
    """

    labels: Iterable[Any] | None
    nan: bool

    def names(self) -> list[str]:
        """Names of a table's columns for messages; of equal ones, with their places."""
        labels = () if self.labels is None else self.labels
        names = [repr(x.item() if isinstance(x, np.generic) else x) for x in labels]
        counts = Counter(names)
        if len(counts) == len(names):
            return names
        return [
            f"{name} (at position {j})" if counts[name] > 1 else name
            for j, name in enumerate(names)
        ]


def check_finite(a: NDArray[Any], dtype: str, name: str, column: str | Columns) -> None:
    """Raise for the first value that is not finite in the network's dtype."""
    if a.dtype.kind != "f":
        return
    bound, kind = GREATEST[dtype], KINDS.get(a.dtype)
    # |x| <= sqrt(Σ x²), so a small enough sum clears all values at once; NaN never compares
    if a.size <= SMALL and kind and float(np.vdot(a, a)) < bound * bound:
        return
    # One pass at the memory's speed; the least and the greatest take two.
    whole = kind == dtype and a.size > SMALL and a.flags.forc and a.flags.aligned
    if whole and not _nonfinite(a):
        return
    # a half's bits without the sign are in order: 50 times as fast as numpy's least and greatest
    halves = _chunks(a) if kind == "float16" else None
    if halves and all((half.view(np.uint16) << 1).max() < 0xF800 for half in halves):
        return
    check_range(a, -bound, bound, name, f"finite numbers that fit {dtype}", column)


def _nonfinite(a: NDArray[Any]) -> bool:
    """Whether contiguous values hold a NaN or an infinity."""
    count, address = count_nonfinite.compiled(a.dtype.name), a.ctypes.data
    starts = range(0, a.size, LONG)  # of a few milliseconds each: between them Ctrl-C is heard
    return any(count(0.0, address + i * a.itemsize, min(LONG, a.size - i)) for i in starts)


def check_range(
    a: NDArray[Any], low: float, high: float, name: str, takes: str, column: str | Columns = ""
) -> float:
    """Return the greatest value, or raise for the first that is not in ``[low, high]``."""
    greatest = -inf
    for chunk in _chunks(a):
        if chunk.flags.c_contiguous:  # numpy 1.24 takes a buffer for more than one dimension
            chunk = chunk.reshape(-1)
        least, most = np.minimum.reduce(chunk, axis=None), np.maximum.reduce(chunk, axis=None)
        if not (low <= least.item() and most.item() <= high):
            check(a, lambda block: (block >= low) & (block <= high), name, takes, column)
        greatest = max(greatest, most.item())
    return greatest


def check_sums(a: NDArray[Any], name: str) -> None:
    """Raise for the first row of class probabilities that does not sum to 1."""
    for start, block in _blocks(a):
        sums = block.sum(axis=1)
        wrong = np.abs(sums - 1.0) > SUM_TOLERANCE
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"{name} must have class probabilities that sum to 1 within {SUM_TOLERANCE:g}, "
                f"got a sum of {sums[i]:.6g} at row {start + i}"
            )


def check(
    a: NDArray[Any],
    good: Callable[[NDArray[Any]], NDArray[np.bool_]],
    name: str,
    takes: str,
    column: str | Columns = "",
) -> None:
    """Raise for the first value, in the order of the samples, that is not `good`."""
    for start, block in _blocks(a):
        wrong = ~good(block)
        if wrong.any():
            i, j = divmod(int(wrong.argmax()), block.shape[1])
            value = a[start + i].reshape(-1)[j].item()
            place = f"row {start + i}"
            if isinstance(column, Columns):
                if column.labels is not None:
                    name = f"{name}'s column {column.names()[j]}"
                if column.nan and value != value:
                    raise missing(name, np.isnan(a.reshape(len(a), -1)[:, j]))
            elif a.ndim > 1:
                place += f", {column} {j}"
            raise ValueError(f"{name} must hold {takes}, got {value} at {place}")


def missing(name: str, absent: NDArray[np.bool_]) -> ValueError:
    """The error for values that are missing.

    Parameters
    ----------
    name : str
        What holds them.
    absent : ndarray of bool
        (n, ...) Where they are.
    """
    rows = absent.reshape(len(absent), -1)
    i, j = divmod(int(rows.argmax()), rows.shape[1])
    place = f"row {i}" + (f", feature {j}" if absent.ndim > 1 else "")
    count = int(rows.sum())
    if count == 1:
        return ValueError(f"{name} has a missing value (in {place}): drop or fill that row")
    return ValueError(
        f"{name} has {count:,} missing values (first in {place}): drop or fill those rows"
    )


def masked(value: Any, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Where a masked array, or a list of such arrays, has masked values; None where it has none.

    Parameters
    ----------
    value : object
        Whatever a person gave.
    shape : tuple of int
        Of the array that numpy makes of it, which loses the masks.
    """
    if isinstance(value, np.ma.MaskedArray):
        plain = value.dtype.names is None
        return np.ma.getmaskarray(value) if plain and np.ma.is_masked(value) else None
    if len(shape) < 2 or not isinstance(value, (list, tuple)):
        return None
    holders = (np.ma.MaskedArray, list, tuple) if len(shape) > 2 else np.ma.MaskedArray
    if not any(issubclass(kind, holders) for kind in {*map(type, value)}):
        return None
    rows = [masked(row, shape[1:]) for row in value]
    if all(row is None for row in rows):
        return None
    return np.stack([np.zeros(shape[1:], np.bool_) if row is None else row for row in rows])


def _chunks(a: NDArray[Any]) -> Iterable[NDArray[Any]]:
    """All values of `a`, a bounded number at a time, in the order of its memory."""
    if a.size <= CHUNK:
        return (a,)
    flags = ["external_loop", "buffered"]
    return np.nditer(a, flags, buffersize=CHUNK)  # type: ignore[return-value, arg-type]


def _blocks(a: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Row numbers and blocks of rows (rows, values a sample), at least as wide as float64."""
    width, wide = a.size // len(a), np.result_type(a.dtype, np.float64)
    rows = max(1, CHUNK // width)
    for start in range(0, len(a), rows):
        yield start, a[start : start + rows].reshape(-1, width).astype(wide)
