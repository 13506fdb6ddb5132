"""Arrays that a person hands over: checked, described for the kernels, and not copied.

`features`, `targets` and `sample_weights` take whatever a person has at hand and return a `Source`:
an address and the steps from it. Every error is raised here, before a kernel sees the memory. What
is no array yet is read by frames.py and objects.py, which are imported when there is some.

Values are checked by values.py; those of memory maps of plain numbers are left to the kernels,
which check them as they read.

Only what the kernels cannot read is copied, once, into the network's dtype: long doubles, foreign
byte orders (of a memory map too), misaligned values, and tables of several dtypes.
"""

from __future__ import annotations

import mmap
from math import inf
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.data.values import (
    GREATEST,
    KINDS,
    Columns,
    check,
    check_finite,
    check_range,
    check_sums,
    masked,
    missing,
)


class Source(NamedTuple):
    """Samples in somebody else's memory, as the gather kernels read them.

    Value `j` of sample `i` is at ``address + i * row_stride + j * feature_stride`` where the
    features are evenly spaced, else at ``address + i * row_stride + offsets[j]``. (A tuple is made
    in a quarter of a frozen dataclass's time, and one is made for every step.)
    """

    array: NDArray[Any]  # keeps the memory alive
    n: int  # samples
    n_features: int
    address: int  # of the first value
    row_stride: int  # bytes from one sample to the next; may be negative or zero
    feature_stride: int  # bytes from one feature to the next, or 0: see offsets
    offsets: NDArray[np.int64] | None  # (n_features,) bytes from a sample's first value
    kind: str  # a value of KINDS
    lazy: bool  # a memory map: whether its values are finite in the network's dtype is not checked
    class_ids: bool = False  # targets only: one class id a sample instead of numbers
    greatest: float = 0.0  # weights only: the greatest, in the network's dtype
    alone: Source | None = None  # weights by class only: those that samples have without them


#: what to do about text among class ids
ENCODE = "turn text labels into ids 0, 1, 2, …"
#: X, y and, where given, sample weights.
Samples: TypeAlias = "tuple[Source, Source, Source | None]"


def features(
    X: ArrayLike, n_features: int, dtype: str, name: str = "X", per: str = "inputs"
) -> Source:
    """Describe the samples of a network with `n_features` inputs.

    Parameters
    ----------
    X : array_like
        Real numbers of shape (n,) where `n_features` is 1, (n, d), or (n, d1, d2, ...), flattened
        per sample in C order. Any strides, any real dtype; or a table, or a column of one.
    n_features : int
        The network's inputs.
    dtype : {"float32", "float64"}
        The network's dtype, which the values must fit.
    name, per : str
        The argument's name, and what of the network it has a number for each of, for messages.

    Raises
    ------
    TypeError
        `X` holds something other than real numbers.
    ValueError
        `X` is empty, ragged or of another width, lacks values, or (unless it is a memory map) is
        not finite in `dtype`.
    """
    a, columns = _array(X, name, dtype)
    n = len(a)
    if a.size != n * n_features:
        hint = "; a single sample has shape (1, n_features)" if a.ndim == 1 else ""
        raise ValueError(
            f"{name} must have as many features as the network has {per}, {n_features}, "
            f"got {a.size // n}: shape {a.shape}{hint}"
        )
    lazy = is_map(a) and _readable(a)
    if not lazy:
        check_finite(a, dtype, name, columns or "feature")
    return _source(a, dtype, lazy)


def targets(
    y: ArrayLike,
    n: int,
    n_outputs: int,
    dtype: str,
    *,
    classes: bool,
    low: float | None = None,
    high: float | None = None,
    whole: bool = False,
    name: str = "y",
) -> Source:
    """Describe the targets of `n` samples for a network with `n_outputs` outputs.

    Parameters
    ----------
    y : array_like
        Where `classes`: ids in ``[0, n_outputs)`` of shape (n,), whole numbers of any real dtype;
        or probabilities of shape (n, n_outputs), one-hot rows included, each row summing to 1
        within 1e-3; a table of one column is (n,). Otherwise numbers of shape (n, n_outputs), or
        (n,) where `n_outputs` is 1.
    n : int
        The samples that the targets belong to.
    n_outputs : int
        The network's outputs.
    dtype : {"float32", "float64"}
        The network's dtype, which the values must fit.
    classes : bool
        Whether the loss is one over classes.
    low, high : float, optional
        The range that the loss takes, bounds included. Not with `classes`.
    whole : bool
        Whether the values must be whole numbers, in a range.
    name : str
        The argument's name, for messages.

    Returns
    -------
    Source
        Of a memory map it is lazy only if every finite value will do: ids, probabilities and ranges
        are checked here, chunk by chunk.

    Raises
    ------
    TypeError
        `y` holds something other than real numbers.
    ValueError
        `y` is of another length or width or ragged, or lacks values, or one of them is not as said.
    """
    a, columns = _array(y, name, dtype, exact=True, hint=ENCODE if classes else "")
    _check_length(a, n, name)
    if columns and classes and a.ndim == 2 and a.shape[1] == 1 < n_outputs:
        a = a[:, 0]  # a table of one column
    if classes and a.ndim == 1:
        span = f"class ids from 0 to {n_outputs - 1}"
        check_range(a, 0, n_outputs - 1, name, span, columns or "")
        if a.dtype.kind == "f":
            check(a, lambda block: block == np.floor(block), name, span, columns or "")
        return _source(a, "int64", lazy=False, class_ids=True)
    flat = n_outputs == 1
    if a.shape[1:] != (n_outputs,) and not (flat and a.ndim == 1):
        other = f"class ids of shape ({n},) or " if classes else f"shape ({n},) or " if flat else ""
        kind = "probabilities of " if classes else ""
        raise ValueError(
            f"{name} must have {other}{kind}shape ({n}, {n_outputs}), got shape {a.shape}"
        )
    if classes:
        check_range(a, 0.0, GREATEST[dtype], name, "class probabilities >= 0", columns or "class")
        check_sums(a, name)
    elif low is not None or high is not None:
        least, greatest = -inf if low is None else low, inf if high is None else high
        bound = GREATEST[dtype]
        takes = f"{'whole' if whole else 'finite'} numbers from {least:g} to {greatest:g}"
        check_range(a, max(least, -bound), min(greatest, bound), name, takes, columns or "output")
        if whole and a.dtype.kind == "f":
            check(a, lambda block: block == np.floor(block), name, takes, columns or "output")
    elif is_map(a) and _readable(a):
        return _source(a, dtype, lazy=True)
    else:
        check_finite(a, dtype, name, columns or "output")
    return _source(a, dtype, lazy=False)


def sample_weights(w: ArrayLike, n: int, dtype: str, name: str = "sample_weight") -> Source:
    """Describe the weights of `n` samples: shape (n,), finite, at least 0, not all 0.

    Parameters
    ----------
    w : array_like
        Real numbers of shape (n,), or a table of one column. A memory map is checked here too.
    n : int
        The samples that the weights belong to.
    dtype : {"float32", "float64"}
        The network's dtype, which the values must fit.
    name : str
        The argument's name, for messages.

    Raises
    ------
    TypeError
        `w` holds something other than real numbers.
    ValueError
        `w` is of another shape or ragged, or lacks values, or one of them is not as said.
    """
    a, columns = _array(w, name, dtype, exact=True)
    _check_length(a, n, name)
    if columns and a.ndim == 2 and a.shape[1] == 1:
        a = a[:, 0]  # a table of one column
    if a.ndim != 1:
        raise ValueError(f"{name} must have shape ({n},), got shape {a.shape}")
    span = f"finite numbers >= 0 that fit {dtype}"
    greatest = check_range(a, 0.0, GREATEST[dtype], name, span, columns or "")
    rounded = float(np.dtype(dtype).type(greatest))
    if rounded == 0:
        raise ValueError(f"{name} must hold a weight above 0 in {dtype}, got none above {greatest}")
    return _source(a, dtype, lazy=False, greatest=rounded)


def numbers(value: ArrayLike, name: str, hint: str = "") -> NDArray[Any]:
    """Return an array of real numbers, of any shape with at least one row, as they are.

    Parameters
    ----------
    value : array_like
        Whatever X may be.
    name : str
        The argument's name, for messages.
    hint : str
        What to do about text.

    Raises
    ------
    TypeError
        `value` holds something other than real numbers.
    ValueError
        `value` is empty or ragged, or values are missing.
    """
    return _array(value, name, "float64", exact=True, hint=hint)[0]


def _array(
    value: Any, name: str, dtype: str, *, exact: bool = False, hint: str = ""
) -> tuple[NDArray[Any], Columns | None]:
    """`value` as an array of real numbers with at least one row, its memory shared if possible.

    Of several dtypes in one table it is made in `dtype`, or, where `exact`, in one that holds all
    values as they are. A table's columns come with it.
    """
    columns = None
    if type(value) is not np.ndarray:
        value, columns = _read(value, name, dtype, exact, hint)
    a: NDArray[Any] = value
    if a.dtype.kind not in "biuf":
        a = _real(a, name, hint)
    if a.ndim == 0:
        raise ValueError(f"{name} must have one row a sample, got the single number {a.item()}")
    if a.shape[0] == 0:
        raise ValueError(f"{name} must have at least one sample, got none: shape {a.shape}")
    return a, columns


def _read(
    value: Any, name: str, dtype: str, exact: bool, hint: str
) -> tuple[NDArray[Any], Columns | None]:
    """What is no plain array, as one."""
    columns = None
    kind = type(value)
    if kind is not list and kind is not tuple:
        from fastbp.data import frames  # what isn't used isn't imported

        value, columns = frames.read(value, frames.Asked(name, dtype, exact, hint))
    try:
        a = np.asarray(value)
        if a.ndim == 0 and a.dtype.kind == "O" and hasattr(value, "__dlpack__"):
            a = np.from_dlpack(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise ValueError(
            f"{name} must be one array of numbers with rows of equal length, "
            f"got {kind.__name__} that numpy cannot read: {error}"
        ) from error
    absent = masked(value, a.shape)
    if absent is not None:
        raise missing(name, absent)
    return a, columns


def _real(a: NDArray[Any], name: str, hint: str) -> NDArray[Any]:
    """What numpy has in other dtypes than those of real numbers, as real numbers."""
    from fastbp.data import objects

    if a.dtype.kind == "O" and a.ndim:
        return objects.objects(a, name, hint)
    if not np.can_cast(a.dtype, np.float32):
        raise objects.refusal(a, name, hint)
    return a.astype(np.float32)  # the small types of other libraries: bfloat16, float8, int4


def _readable(a: NDArray[Any]) -> bool:
    """Whether the kernels can read the values where they are."""
    return a.dtype in KINDS and a.flags.aligned


def is_map(a: NDArray[Any]) -> bool:
    """Whether the memory is a memmap's: a view's chain of bases then ends at the map itself."""
    base: object = a
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def _source(
    a: NDArray[Any], dtype: str, lazy: bool, class_ids: bool = False, greatest: float = 0.0
) -> Source:
    """Describe the checked array `a`, after a copy into `dtype` if the kernels cannot read it."""
    if not _readable(a):
        a = a.astype(dtype, order="C")
    n, step, offsets = a.shape[0], a.itemsize, None
    width = a.size // n
    if width > 1 and not a.flags.c_contiguous:
        sample = a[0].reshape(-1)  # shares the memory exactly where one step leads through it
        step = sample.strides[0] if np.may_share_memory(sample, a) else 0
        if step == 0:
            offsets = np.zeros(1, np.int64)
            for size, stride in zip(a.shape[1:], a.strides[1:], strict=True):
                offsets = (offsets[:, None] + np.arange(size, dtype=np.int64) * stride).ravel()
    address, row = a.ctypes.data, a.strides[0]
    return Source(
        a, n, width, address, row, step, offsets, KINDS[a.dtype], lazy, class_ids, greatest
    )


def _check_length(a: NDArray[Any], n: int, name: str) -> None:
    if len(a) != n:
        raise ValueError(f"{name} must have one row for each of the {n} samples, got {len(a)} rows")
