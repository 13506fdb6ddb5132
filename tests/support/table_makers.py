"""Tables of several libraries, made of the same columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Columns = dict[str, np.ndarray]

NULLABLE = {"bool": "boolean", "float32": "Float32", "float64": "Float64"}
ARROW = {"bool": "bool", "float16": "halffloat", "float32": "float", "float64": "double"}


def library(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed")


def pandas_frame(columns: Columns) -> Any:
    return library("pandas").DataFrame(columns)


def pandas_nullable(columns: Columns) -> Any:
    names = {k: NULLABLE.get(a.dtype.name, a.dtype.name.title()) for k, a in columns.items()}
    names = {k: name.replace("Uint", "UInt") for k, name in names.items()}
    pd = library("pandas")
    return pd.DataFrame({k: pd.array(a, dtype=names[k]) for k, a in columns.items()})


def pandas_arrow(columns: Columns) -> Any:
    pd, pa = library("pandas"), library("pyarrow")
    return pd.DataFrame(
        {
            k: pd.Series(pa.array(a), dtype=pd.ArrowDtype(pa.array(a).type))
            for k, a in columns.items()
        }
    )


def pandas_objects(columns: Columns) -> Any:
    frame = {k: np.array([v.item() for v in a] + [None], object)[:-1] for k, a in columns.items()}
    return library("pandas").DataFrame(frame)


def pandas_sparse(columns: Columns) -> Any:
    pd = library("pandas")
    return pd.DataFrame({k: pd.arrays.SparseArray(a) for k, a in columns.items()})


def polars_frame(columns: Columns) -> Any:
    return library("polars").DataFrame(columns)


def polars_chunks(columns: Columns) -> Any:
    frame = polars_frame(columns)
    return library("polars").concat([frame[:1], frame[1:]], rechunk=False)


def arrow_table(columns: Columns) -> Any:
    return library("pyarrow").table(columns)


def arrow_chunks(columns: Columns) -> Any:
    table = arrow_table(columns)
    return library("pyarrow").concat_tables([table.slice(0, 1), table.slice(1)])


def record_batch(columns: Columns) -> Any:
    return arrow_table(columns).combine_chunks().to_batches()[0]


def narwhals_frame(columns: Columns) -> Any:
    return library("narwhals").from_native(arrow_table(columns))


#: by name: what makes a table of columns, and the dtypes that it has no columns of
TABLES: dict[str, tuple[Callable[[Columns], Any], set[str]]] = {
    "pandas": (pandas_frame, set()),
    "pandas, nullable": (pandas_nullable, {"float16"}),
    "pandas, arrow": (pandas_arrow, set()),
    "pandas, objects": (pandas_objects, set()),
    "pandas, sparse": (pandas_sparse, {"float16"}),
    "polars": (polars_frame, {"float16"}),
    "polars, chunks": (polars_chunks, {"float16"}),
    "pyarrow": (arrow_table, set()),
    "pyarrow, chunks": (arrow_chunks, set()),
    "pyarrow, batch": (record_batch, set()),
    "narwhals": (narwhals_frame, set()),
}

#: a column of each dtype that the kernels read, with values that float32 or float64 must round
COLUMNS: Columns = {
    "bool": np.array([True, False, True]),
    "int8": np.array([-128, 0, 127], np.int8),
    "uint8": np.array([255, 0, 7], np.uint8),
    "int16": np.array([-(2**15), 3, 2**15 - 1], np.int16),
    "uint16": np.array([2**16 - 1, 0, 9], np.uint16),
    "int32": np.array([2**24 + 1, -(2**31), 2**31 - 1], np.int32),
    "uint32": np.array([2**24 + 3, 0, 2**32 - 1], np.uint32),
    # rounded to float64 first, and then to float32, the first one would be another
    "int64": np.array([2**60 + 2**36 + 1, 2**53 + 1, -(2**63)], np.int64),
    "uint64": np.array([2**63 + 2**39 + 1, 2**53 + 3, 2**64 - 1], np.uint64),
    "float16": np.array([0.1, -65504.0, 6e-8], np.float16),
    "float32": np.array([0.1, 3e38, 1e-45], np.float32),
    "float64": np.array([0.1, 1 + 2**-24 + 2**-50, 1e-300]),
}
