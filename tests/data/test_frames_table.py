"""The guide's table of frames and containers: each row is tried, and none is left out."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources import ramp
from table_makers import library

from fastbp.data.inputs import features

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "data.md"
N, D = 5, 3
MIXED = {"a": np.arange(5.0), "b": np.arange(5) % 2 == 0, "c": np.arange(5)}
PLAIN = ramp(N, D, dtype=np.float64)


def rows() -> dict[str, str]:
    """What happens, by what is given."""
    text = PAGE.read_text(encoding="utf-8").partition(
        "| given | happens | remarks |\n|---|---|---|\n"
    )[2]
    cells = [line.strip("| ").split(" | ") for line in text.partition("\n\n")[0].splitlines()]
    return {row[0].strip(): row[1].strip(" |") for row in cells}


ROWS = rows()


def misaligned() -> np.ndarray:
    packed = np.zeros(N, np.dtype([("tag", "u1"), ("x", "f8", (D,))]))
    packed["x"] = PLAIN
    return packed["x"]


def memory_map(folder: Path) -> Any:
    np.save(folder / "X.npy", PLAIN)
    return np.load(folder / "X.npy", mmap_mode="r")


def with_array() -> Any:
    class Tensor:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            return PLAIN if dtype is None else PLAIN.astype(dtype)

    return Tensor()


def small() -> Any:
    ml_dtypes = library("ml_dtypes")
    return [PLAIN.astype(kind) for kind in (ml_dtypes.bfloat16, ml_dtypes.int4)]


def one_dtype() -> Any:
    return library("pandas").DataFrame(PLAIN, columns=list("abc"))


def mixed(**more: Any) -> Any:
    return library("pandas").DataFrame({**MIXED, **more})


def backed_by_arrow() -> Any:
    pd, pa = library("pandas"), library("pyarrow")
    decimals = pd.Series([Decimal(i) for i in range(N)], dtype=pd.ArrowDtype(pa.decimal128(9, 2)))
    return mixed(b=pd.Series(range(N), dtype="int64[pyarrow]"), c=decimals)


def columns(values: list[Any]) -> list[Any]:
    """A column of such values in tables of each library."""
    more = {**MIXED, "c": values}
    return [library("pandas").DataFrame(more), library("polars").DataFrame(more),
            library("pyarrow").table({k: list(v) for k, v in more.items()})]  # fmt: skip


def categories() -> list[Any]:
    pd, pl, pa = library("pandas"), library("polars"), library("pyarrow")
    text = list("ABABA")
    table = pa.table({k: list(v) for k, v in MIXED.items()})
    return [
        mixed(c=pd.Categorical([1, 2, 1, 2, 1])),
        pl.DataFrame({**MIXED, "c": pl.Series(text, dtype=pl.Categorical)}),
        table.set_column(2, "c", pa.array(text).dictionary_encode()),
    ]


def no_numbers() -> list[Any]:
    records = [{"x": 1}] * N
    return [mixed(c=[1j] * N), *columns([b"a"] * N), *columns([[1]] * N), *columns(records)]


def missing() -> list[Any]:
    pd, pa = library("pandas"), library("pyarrow")
    masked = np.ma.masked_array(PLAIN, PLAIN == 4)
    return [
        *(mixed(c=[1, value, 1, 1, 1]) for value in (None, pd.NA, np.nan)),
        mixed(c=pd.array([1, None, 1, 1, 1], "Int64")),
        [[1, 2, pd.NaT]],
        *columns([1, None, 1, 1, 1]),
        pa.table({"a": [1, None], "b": [1, 2], "c": [1, 2]}),
        *(masked, list(masked)),
    ]


def lazy() -> list[Any]:
    frame = library("polars").DataFrame(MIXED).lazy()
    return [frame]


def sparse() -> list[Any]:
    return [pytest.importorskip("scipy.sparse").csr_array(PLAIN)]


def dask() -> Any:
    """One of dask's own if it is installed, and what stands for one."""
    standing = type("DataFrame", (), {"__module__": "dask.dataframe", "compute": lambda _: mixed()})
    try:
        import dask.dataframe as dd
    except ImportError:
        return [standing()]
    return [standing(), dd.from_pandas(mixed())]


def tensors() -> list[Any]:
    torch = library("torch")
    return [torch.tensor(PLAIN, requires_grad=True)]


def polars_series() -> list[Any]:
    pl = library("polars")
    return [pl.Series(PLAIN[:, 0]), pl.Series(PLAIN.tolist(), dtype=pl.Array(pl.Float64, D))]


DATE = datetime.datetime(2020, 1, 2)
#: by what the table's rows begin with: what is given, one thing or a list of things
EXAMPLES: dict[str, Callable[[], Any]] = {
    "NumPy array, any": lambda: [PLAIN, np.asfortranarray(PLAIN), PLAIN.astype("u1"), PLAIN[::-1]],
    "NumPy array of long": lambda: [
        *(PLAIN.astype(np.longdouble), PLAIN.astype(PLAIN.dtype.newbyteorder()), misaligned()),
    ],
    "NumPy array of `bf": small,
    "list or tuple": lambda: [[[1, 2, 3.0]], ((1, 2, 3),), [PLAIN[0]]],
    "object array": lambda: [
        *([[1, Fraction(1, 2), Decimal("0.1")]], np.array([[1, True, 2.5]], object)),
    ],
    "masked array": lambda: np.ma.masked_array(PLAIN, False),
    "tensor or array": with_array,
    "pandas DataFrame, all": one_dtype,
    "pandas DataFrame of": lambda: mixed(c=[Decimal(i) for i in range(N)]),
    "pandas nullable": lambda: mixed().convert_dtypes(),
    "pandas dtypes backed": backed_by_arrow,
    "pandas sparse": lambda: mixed(c=library("pandas").arrays.SparseArray([0.0, 1, 0, 0, 2])),
    "pandas Series": lambda: [
        *(one_dtype()["a"], one_dtype()["a"].array, library("pandas").Index([1.5])),
    ],
    "polars DataFrame": lambda: library("polars").DataFrame(MIXED),
    "polars Series": polars_series,
    "pyarrow Table": lambda: [
        *(library("pyarrow").table(MIXED), library("pyarrow").table(MIXED).to_batches()[0]),
    ],
    "pyarrow Array": lambda: library("pyarrow").array(np.arange(5.0)),
    "narwhals": lambda: library("narwhals").from_native(library("pyarrow").table(MIXED)),
    "dask": dask,
    "column of text": lambda: columns(list("ABABA")),
    "column of categories": categories,
    "column of dates": lambda: [*columns([DATE] * N), *columns([DATE - DATE] * N)],
    "column of complex": no_numbers,
    "missing": missing,
    "infinity": lambda: [*columns([1.0, 2, 3, 4, np.inf]), *columns([1.0, 2, 3, 4, 1e300])],
    "text of digits": lambda: [[["1.5", "2", "3"]], *columns(["1.5"] * N)],
    "structured": lambda: np.zeros(N, [("a", "f4"), ("b", "f4"), ("c", "f4")]),
    "polars or narwhals": lazy,
    "sparse matrix": sparse,
    "tensor on": tensors,
    "dict, set": lambda: [MIXED, {1, 2, 3}, (i for i in range(3))],
}  # fmt: skip


def examples(row: str, folder: Path) -> list[Any]:
    if row == "memory map":
        return [memory_map(folder)]
    found = [make for start, make in EXAMPLES.items() if row.startswith(start)]
    assert len(found) == 1, f"{row!r} of the table has {len(found)} examples"
    given = found[0]()
    return given if isinstance(given, list) else [given]


def test_the_table_has_every_example():
    assert len(ROWS) == 1 + len(EXAMPLES)


@pytest.mark.parametrize("row", ROWS)
def test_what_the_table_says_happens(row, tmp_path):
    for X in examples(row, tmp_path):
        happens = ROWS[row]
        if happens == "refused":
            with pytest.raises((TypeError, ValueError), match=r"^X('s column '.')? "):
                features(X, D, "float32")
            continue
        one = np.asarray(X).ndim == 1  # a column by itself
        source = features(X, 1 if one else D, "float32")
        if happens == "not copied":
            own = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
            assert np.shares_memory(source.array, own)
        else:
            assert happens in ("copied", "cast by column")
            assert not np.may_share_memory(source.array, PLAIN)
        if happens == "cast by column":
            assert (source.kind, source.array.flags.c_contiguous) == ("float32", True)
