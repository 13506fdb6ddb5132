"""Tables and columns of other libraries, read as plain arrays.

pandas, polars, pyarrow and the others are never imported: their objects are known by the names of
their classes, and read by methods of their own, one column at a time. A column keeps its dtype; a
table of several dtypes becomes one array of the network's, whose values are those that each column
alone has there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.data.objects import FIRST, no_numbers, objects, refusal
from fastbp.data.values import KINDS, Columns, check_finite, missing

Array = NDArray[Any]

_BLOCK = 1 << 16  # values of a table that are written in one go: they stay in the L2 cache
_FEWEST_ROWS = 256  # written in one go, so that numpy's call for each column doesn't count
_EXACT = 2**53  # whole numbers up to here are float64's
_EXACT_POWER = 22  # and so are powers of ten


def _by_name(kinds: dict[str, str]) -> dict[str, str]:
    """What each type of a library holds, by the names of the types that hold it."""
    return {name: what for what, names in kinds.items() for name in names.split()}


_PANDAS = _by_name(
    {
        "text": "StringDtype",
        "categories": "CategoricalDtype",
        "dates": "DatetimeTZDtype PeriodDtype",
        "intervals": "IntervalDtype",
    }
)
_ARROW = _by_name(  # by how the name of the type begins
    {
        "text": "string large_string",
        "categories": "dictionary",
        "dates": "timestamp date",
        "times": "time",
        "durations": "duration month",
        "bytes": "binary large_binary fixed_size_binary",
        "lists": "list large_list fixed_size_list map",
        "records": "struct",
    }
)
_POLARS = _by_name(
    {
        "text": "String Utf8",
        "categories": "Categorical Enum",
        "dates": "Date Datetime",
        "times": "Time",
        "durations": "Duration",
        "bytes": "Binary",
        "lists": "List Array",
        "records": "Struct",
    }
)
_ARROW_NUMBERS = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("halffloat", "float", "double"),
}
_POLARS_NUMBERS = {
    *("Boolean", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
    *("Float16", "Float32", "Float64"),
}


class Asked(NamedTuple):
    """What a table or column is read for.

    Attributes
    ----------
    name : str
        The argument's, for messages.
    dtype : {"float32", "float64"}
        The network's, which values of several dtypes are rounded to.
    exact : bool
        Whether values of several dtypes stay as they are wherever one dtype holds them all.
    hint : str
        What to do about text, where that isn't what to do about text among features.
    """

    name: str
    dtype: str
    exact: bool = False
    hint: str = ""


def read(value: Any, asked: Asked) -> tuple[Any, Columns | None]:
    """Read a table or a column; anything else comes back as it is.

    Parameters
    ----------
    value : object
        Whatever a person gave, but a plain array.
    asked : Asked

    Returns
    -------
    tuple of (object, Columns or None)
        An array and the names of its columns; or `value`, for numpy to read, and None.

    Raises
    ------
    TypeError
        It is sparse, or waits to be computed, or a column of it holds other than real numbers.
    ValueError
        Values are missing, or don't fit the network's dtype.
    """
    kinds = type(value).__mro__
    for base in kinds:
        reader = _READERS.get((base.__module__.partition(".")[0], base.__name__))
        if reader is not None:
            found: tuple[Any, Columns | None] = reader(value, asked)
            return found
    for base in kinds:
        before, sparse, _ = base.__module__.partition("sparse")
        if sparse and before[-1:] in ("", "."):
            _refuse_sparse(value, asked.name, before + sparse)
    return value, None


def _numbers(a: Array, name: str, hint: str) -> Array:
    """Values that a library has in a numpy array."""
    if a.dtype.kind == "O":
        return objects(a, name, hint)
    if a.dtype.kind not in "biuf":
        raise refusal(a, name, hint)
    return a


def _refuse_sparse(value: Any, name: str, library: str) -> None:
    """Raise for a sparse matrix, with what it would take to make it dense."""
    ways = ("toarray", "todense", "to_dense")
    way = next((way for way in ways if callable(getattr(value, way, None))), None)
    shape = tuple(getattr(value, "shape", ()))
    if way is None or not shape:
        return
    size = math.prod(shape) * getattr(getattr(value, "dtype", None), "itemsize", 8)
    raise TypeError(
        f"{name} is a {library} {type(value).__name__}, which fastbp can't read yet: its {way}() "
        f"makes it dense, shape {shape}, {_size(size)}"
    )


def _size(n: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            break
        n, unit = n / 1000, "TB"
    return f"{n:.3g} {unit}"


# ---------------------------------------------------------------- columns


def _objects(values: list[Any]) -> Array:
    """An array of one object a value, whatever these are."""
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _pandas_column(column: Any, name: str, hint: str) -> Array:
    """Values of a Series, an Index or an array of pandas, in a dtype of numpy."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        return _numbers(column.to_numpy(), name, hint)
    kind = type(dtype).__name__
    if kind in _PANDAS:
        first = np.asarray(column[:FIRST], object)
        raise no_numbers(name, _PANDAS[kind], hint, values=first)
    if kind == "ArrowDtype":
        return _arrow_column(getattr(column, "array", column).__arrow_array__(), name, hint)
    plain = getattr(dtype, "numpy_dtype", None)
    if plain is None:  # sparse ones too
        return _numbers(np.asarray(column), name, hint)
    absent = np.asarray(column.isna())
    if absent.any():
        raise missing(name, absent)
    return _numbers(np.asarray(column.to_numpy(dtype=plain)), name, hint)


def _arrow_column(column: Any, name: str, hint: str) -> Array:
    """Values of an Array or a ChunkedArray of pyarrow."""
    kind = str(column.type)
    known = next((what for start, what in _ARROW.items() if kind.startswith(start)), None)
    decimals = kind.startswith("decimal")
    if kind not in _ARROW_NUMBERS and not decimals and kind != "null":
        first = _objects(column.slice(0, FIRST).to_pylist()) if known == "text" else None
        raise no_numbers(name, known or kind, hint, values=first)
    if column.null_count:
        raise missing(name, np.asarray(column.is_null()))
    if decimals:
        return _arrow_decimals(column, name)
    if hasattr(column, "chunks"):
        if column.num_chunks != 1:
            return np.asarray(column.to_numpy())
        column = column.chunk(0)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _arrow_decimals(column: Any, name: str) -> Array:
    """Decimals, each rounded once: pyarrow's own cast to float64 is off by a step here and there.

    A quotient of two numbers that float64 has is rounded right. Of others Python knows the way.
    """
    scale, width = column.type.scale, column.type.bit_width
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    quick = width == 128 and 0 <= scale <= _EXACT_POWER and sys.byteorder == "little"
    if quick:
        wholes = [np.empty((0, 2), np.int64)]
        for chunk in chunks:
            if len(chunk):
                end = chunk.offset + len(chunk)
                found = np.frombuffer(chunk.buffers()[1], np.int64, 2 * end)
                wholes.append(found.reshape(-1, 2)[chunk.offset :])
        both = np.concatenate(wholes)
        low = both[:, 0]
        if (low >> 63 == both[:, 1]).all() and ((low <= _EXACT) & (low >= -_EXACT)).all():
            return np.asarray(low / 10.0**scale)
    return objects(_objects(column.to_pylist()), name)


def _polars_column(column: Any, name: str, hint: str) -> Array:
    """Values of a Series of polars."""
    kind = str(column.dtype).partition("(")[0]
    if kind in _POLARS:
        first = _objects(column.head(FIRST).to_list()) if _POLARS[kind] == "text" else None
        raise no_numbers(name, _POLARS[kind], hint, values=first)
    if column.null_count():
        raise missing(name, np.asarray(column.is_null().to_numpy()))
    if kind in _POLARS_NUMBERS:
        found: Array = column.to_numpy()
        return found
    # decimals, whole numbers of 128 bits, objects
    return objects(_objects(column.to_list()), name, hint)


# ---------------------------------------------------------------- tables


def _table(
    columns: Iterator[Any], labels: list[Any], n: int, read: Any, asked: Asked, nan: bool
) -> tuple[Array, Columns]:
    """One array of a table's columns: of their own dtype where they share one, else as asked."""
    table, found = Columns(labels, nan), []
    names = table.names()
    for label, column in zip(names, columns, strict=True):
        found.append(read(column, f"{asked.name}'s column {label}", asked.hint))
    if len(found) < 2:
        return (found[0][:, None] if found else np.empty((n, 0), asked.dtype)), table
    own = {a.dtype for a in found}
    target = np.dtype(asked.dtype)
    if asked.exact:
        target = _exact(found, target)
    elif len(own) == 1 and found[0].dtype in KINDS and found[0].itemsize <= target.itemsize:
        target = found[0].dtype
    if target == np.dtype(asked.dtype):
        for label, a in zip(names, found, strict=True):
            check_finite(a, asked.dtype, f"{asked.name}'s column {label}", Columns(None, nan))
    out = np.empty((n, len(found)), target)
    rows = max(_FEWEST_ROWS, _BLOCK // len(found))
    with np.errstate(under="ignore"):
        for start in range(0, n, rows):
            block = out[start : start + rows]
            for j, a in enumerate(found):
                block[:, j] = a[start : start + rows]
    return out, table


def _exact(columns: list[Array], otherwise: np.dtype[Any]) -> np.dtype[Any]:
    """A dtype that holds every value as it is, if there is one."""
    common = np.result_type(*(a.dtype for a in columns))
    if common not in KINDS:
        return otherwise
    if common.kind == "f":
        for a in columns:
            long = a.dtype.kind in "iu" and a.dtype.itemsize == 8 and len(a)
            if long and (int(a.min()) < -_EXACT or int(a.max()) > _EXACT):
                return otherwise
    return common


def _pandas_frame(frame: Any, asked: Asked) -> tuple[Array, Columns]:
    dtypes = {*frame.dtypes.tolist()}
    if len(dtypes) == 1 and isinstance(dtype := dtypes.pop(), np.dtype) and dtype in KINDS:
        return frame.to_numpy(), Columns(frame.columns, True)  # a single block is not copied
    columns = (column for _, column in frame.items())
    return _table(columns, list(frame.columns), len(frame), _pandas_column, asked, True)


def _polars_frame(frame: Any, asked: Asked) -> tuple[Array, Columns]:
    columns = iter(frame.get_columns())
    return _table(columns, frame.columns, frame.height, _polars_column, asked, False)


def _arrow_table(table: Any, asked: Asked) -> tuple[Array, Columns]:
    return _table(
        iter(table.columns), table.schema.names, table.num_rows, _arrow_column, asked, False
    )


def _pandas_series(column: Any, asked: Asked) -> tuple[Array, Columns]:
    return _pandas_column(column, asked.name, asked.hint), Columns(None, True)


def _arrow_array(column: Any, asked: Asked) -> tuple[Array, Columns]:
    return _arrow_column(column, asked.name, asked.hint), Columns(None, False)


def _polars_series(column: Any, asked: Asked) -> tuple[Array, Columns | None]:
    if str(column.dtype).startswith("Array") and not column.null_count():
        rows = np.asarray(column.to_numpy())  # a row of equally many numbers for each sample
        if rows.dtype.kind == "f" and np.isnan(rows).any():  # nulls are NaN by now
            rows = np.array(column.to_list(), object)
        return (rows if rows.dtype.kind in "biuf" else objects(rows, asked.name, asked.hint)), None
    return _polars_column(column, asked.name, asked.hint), Columns(None, False)


def _native(value: Any, asked: Asked) -> tuple[Any, Columns | None]:
    """What narwhals wraps."""
    return read(value.to_native(), asked)


def _computed(value: Any, asked: Asked) -> tuple[Any, Columns | None]:
    """What dask computes, as numpy would have it do."""
    return read(value.compute(), asked)


def _refuse_lazy(value: Any, asked: Asked) -> tuple[Any, Columns | None]:
    raise TypeError(
        f"{asked.name} is a {type(value).__name__}, which has no values yet: its collect() gives "
        "a DataFrame of them"
    )


def _torch_tensor(value: Any, asked: Asked) -> tuple[Any, Columns | None]:
    layout = str(value.layout).partition(".")[2]
    if layout.startswith("sparse"):
        _refuse_sparse(value, asked.name, "torch.sparse")
    # numpy has none of these types; float32 has all their values
    small = str(value.dtype).startswith(("torch.bfloat16", "torch.float8"))
    return (value.float() if small else value), None


#: by the top package and the name of a class
_READERS: dict[tuple[str, str], Callable[[Any, Asked], tuple[Any, Columns | None]]] = {
    **{(root, "DataFrame"): _pandas_frame for root in ("pandas", "modin")},
    **{(root, "Series"): _pandas_series for root in ("pandas", "modin")},
    ("pandas", "Index"): _pandas_series,
    ("pandas", "ExtensionArray"): _pandas_series,
    ("polars", "DataFrame"): _polars_frame,
    ("polars", "Series"): _polars_series,
    ("polars", "LazyFrame"): _refuse_lazy,
    ("pyarrow", "Table"): _arrow_table,
    ("pyarrow", "RecordBatch"): _arrow_table,
    ("pyarrow", "Array"): _arrow_array,
    ("pyarrow", "ChunkedArray"): _arrow_array,
    ("narwhals", "DataFrame"): _native,
    ("narwhals", "Series"): _native,
    ("narwhals", "LazyFrame"): _refuse_lazy,
    **{(root, "DataFrame"): _computed for root in ("dask", "dask_expr")},
    **{(root, "Series"): _computed for root in ("dask", "dask_expr")},
    ("torch", "Tensor"): _torch_tensor,
}
