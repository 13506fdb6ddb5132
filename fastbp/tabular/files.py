"""CSV and Parquet files, in and out."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fastbp.tabular.table import Table, UserError, cast, first_failure, quoted

# what pandas takes for missing in a CSV file
_MISSING = pa.array(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
_BLOCK = 1 << 24  # bytes; a row must fit into one block


def read_table(path: str) -> Table:
    """Read a CSV (comma, semicolon or tab) or Parquet file, told apart by content.

    Raises
    ------
    UserError
        If the file cannot be read, is neither CSV nor Parquet, has two columns of one name, or
        no row.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if not head:
        raise UserError(f"{path}: the file is empty")
    table = _read_parquet(path) if head.startswith(b"PAR1") else _read_csv(path, head)
    if not len(table):
        raise UserError(f"{path}: the file has no data rows")
    return table


def _named(path: str, names: list[str]) -> list[tuple[int, str]]:
    """Positions and names of the columns that have a name; a name must not come twice."""
    named = [(i, name) for i, name in enumerate(names) if name]
    seen: dict[str, int] = {}
    for i, name in named:
        if seen.setdefault(name, i) != i:
            raise UserError(
                f"{path}: columns {seen[name] + 1} and {i + 1} are both named {quoted(name)}"
            )
    return named


def _read_parquet(path: str) -> Table:
    try:
        file = pq.ParquetFile(path)
        names = list(file.schema_arrow.names)
        # pandas writes the index of a frame as a column of such a name
        named = _named(path, ["" if re.match(r"__index_level_\d+__$", n) else n for n in names])
        data = file.read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file: {error}") from None
    columns = {name: _plain(data.column(i)) for i, name in named}
    rows = np.arange(2, data.num_rows + 2)
    return Table(path, columns, rows, guess=False)


def _plain(values: Any) -> Any:
    """A Parquet column without dictionary, NaN, empty strings and unusual widths."""
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if pa.types.is_float16(values.type):
        values = pc.cast(values, pa.float32())
    if pa.types.is_floating(values.type):
        return pc.if_else(pc.is_nan(values), None, values)
    if pa.types.is_large_string(values.type):
        values = pc.cast(values, pa.string())
    if pa.types.is_string(values.type):
        return pc.if_else(pc.equal(values, ""), None, values)
    return values


def _read_csv(path: str, head: bytes) -> Table:
    not_csv = UserError(f"{path}: neither a CSV file in UTF-8 nor a Parquet file")
    if b"\0" in head:
        raise not_csv
    delimiter, names = _header(path, not_csv)
    named = _named(path, [name.strip() for name in names])
    problems: list[str] = []

    def ragged(row: Any) -> str:
        problems.append(
            f"row {row.number} has {row.actual_columns} fields, the header has "
            f"{row.expected_columns}"
        )
        return "error"

    try:
        data = pa_csv.read_csv(
            path,
            # one thread, or rows have no numbers
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=ragged,
            ),
            # as bytes, so that what is not a number or not UTF-8 can be shown with its row
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        reason = problems[0] if problems else f"not a readable CSV file: {error}"
        if "Empty CSV file" in str(error):  # a header that no line break ends
            reason = "the file has no data rows"
        elif "straddling" in str(error):
            reason = f"a row is longer than {_BLOCK:,} bytes; is there a quote that none closes?"
        raise UserError(f"{path}: {reason}") from None
    rows = np.arange(2, data.num_rows + 2)
    columns = {}
    for i, name in named:
        values = data.column(i)
        text = cast(values, pa.string())
        if text is None:
            index = first_failure(values, pa.string())
            raise Table(path, {}, rows, guess=True).error(name, "not UTF-8 text", index)
        text = pc.utf8_trim_whitespace(text)
        columns[name] = pc.if_else(pc.is_in(text, value_set=_MISSING), None, text)
    table = Table(path, columns, rows, guess=True, unnamed=len(names) - len(named))
    blank = _blank(data)
    return table.keep(~blank) if blank.any() else table


def _header(path: str, not_csv: UserError) -> tuple[str, list[str]]:
    """The delimiter, which is the one that makes most columns, and the names in the header."""
    best: tuple[str, list[str]] = (",", [])
    for delimiter in ",;\t":
        try:
            with Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
                names = next(csv.reader(file, delimiter=delimiter), [])
        except csv.Error:
            raise not_csv from None
        if len(names) > len(best[1]):
            best = (delimiter, names)
    if any("\N{REPLACEMENT CHARACTER}" in name for name in best[1]):
        raise not_csv
    if not any(best[1]):
        raise UserError(f"{path}: row 1 must be a header with the names of the columns")
    return best


def _blank(data: Any) -> NDArray[np.bool_]:
    """Which rows of a CSV file are blank: no field holds anything.

    In a file of one column an empty line is a missing value, unless it is at the end.
    """
    blank = np.ones(data.num_rows, dtype=np.bool_)
    for column in data.columns:
        blank &= pc.equal(pc.binary_length(column), 0).to_numpy()
    if data.num_columns == 1 and not blank.all():
        blank[: np.flatnonzero(~blank)[-1]] = False
    return blank


def write_table(table: Any, out: str) -> None:
    """Write a pyarrow table to a .parquet or .csv file.

    Raises
    ------
    UserError
        The file cannot be written.
    """
    try:
        if out.lower().endswith(".parquet"):
            pq.write_table(table, out)
        else:
            with Path(out).open("w", encoding="utf-8", newline="") as file:
                write_csv(table, file)
    except OSError as error:
        raise UserError(f"{out}: {error.strerror or error}") from None


def write_csv(table: Any, file: TextIO, shown: Callable[[str], str] = str) -> None:
    """Write a pyarrow table as CSV; `shown` is what becomes of names and values of text."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(shown, table.column_names))
    texts = [pc.cast(column, pa.string()).to_pylist() for column in table.columns]
    if shown is not str:
        texts = [[text and shown(text) for text in column] for column in texts]
    writer.writerows(zip(*texts, strict=True))
