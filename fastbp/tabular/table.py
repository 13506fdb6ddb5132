"""A file's columns, whose every value knows its row in the file.

Rows are counted as a spreadsheet shows them: the header is row 1, the first data row is row 2.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Kind = Literal["integer", "real", "boolean", "text", "date", "empty", "other"]

_BOOLEAN = r"(?i)^(true|false)$"
_DATE = (
    r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/]\d{1,2}[-/](\d{4}|\d{2})|\d{1,2}\.\d{1,2}\.\d{4})"
    r"([ T]\d{1,2}:\d{2}.*)?$|^\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?$"
)


class UserError(Exception):
    """A mistake of the user's, told in one line."""


def quoted(value: object) -> str:
    """`value` between quotes, on one line and not longer than 60 characters."""
    text = repr(str(value))
    return text if len(text) <= 60 else text[:56] + "...'"


@dataclass(frozen=True)
class Table:
    """Columns of equal length, read from one file.

    Parameters
    ----------
    path : str
        The file, as the user named it.
    columns : dict of str to pyarrow.ChunkedArray
        Missing values are nulls: there are no NaN and no empty strings.
    rows : (n,) int64 array
        The spreadsheet row of each value.
    guess : bool
        Whether the columns are text whose kind must be guessed (CSV) or have types (Parquet).
    unnamed : int
        How many columns were left out because they have no name.
    """

    path: str
    columns: dict[str, Any]
    rows: NDArray[np.int64]
    guess: bool
    unnamed: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, mask: NDArray[np.bool_]) -> Table:
        """The rows where `mask`, an (n,) array, is true."""
        chosen = pa.array(mask)
        columns = {name: values.filter(chosen) for name, values in self.columns.items()}
        return Table(self.path, columns, self.rows[mask], self.guess, self.unnamed)

    def error(self, name: str, message: str, index: int | None = None) -> UserError:
        """The error to raise about column `name`, in the row of value `index` if given."""
        row = "" if index is None else f", row {self.rows[index]}"
        return UserError(f"{self.path}: column {quoted(name)}{row}: {message}")

    def column(self, name: str) -> Any:
        """The column `name`, or an error that helps to find the right one."""
        if name in self.columns:
            return self.columns[name]
        close = difflib.get_close_matches(name, self.columns, n=1)
        known = ", ".join(quoted(c) for c in list(self.columns)[:12])
        more = ", ..." if len(self.columns) > 12 else ""
        hint = f"did you mean {quoted(close[0])}?" if close else f"there are: {known}{more}"
        raise UserError(f"{self.path}: no column {quoted(name)}; {hint}")

    def missing(self, name: str) -> NDArray[np.bool_]:
        """Which values of a column are missing, (n,)."""
        mask: NDArray[np.bool_] = pc.is_null(self.column(name)).to_numpy()
        return mask

    def kind(self, name: str) -> Kind:
        """What a column holds; of a CSV file's text, the narrowest kind that fits every value."""
        values = self.column(name)
        if values.null_count == len(values):
            return "empty"
        if pa.types.is_string(values.type):
            return _guess(values) if self.guess else "text"
        for test, kind in _KINDS:
            if test(values.type):
                return kind
        return "other"

    def text(self, name: str) -> Any:
        """A column as a pyarrow array of strings, null where missing."""
        values = self.column(name)
        try:
            return pc.cast(values, pa.string()).combine_chunks()
        except pa.ArrowException:
            raise self.error(name, f"values of type {values.type} are not text") from None

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as (n,) float64, NaN where missing; text and infinities are errors."""
        values = self._real(name)
        result: NDArray[np.float64] = np.array(values.to_numpy(zero_copy_only=False), np.float64)
        bad = np.flatnonzero(~np.isfinite(result) & ~self.missing(name))
        if bad.size:
            raise self.error(name, f"{result[bad[0]]} is not a finite number", int(bad[0]))
        return result

    def integers(self, name: str) -> Any:
        """A column as a pyarrow array of whole numbers, null where missing."""
        values = self.column(name)
        if not pa.types.is_integer(values.type):
            exact = cast(values, pa.int64()) if pa.types.is_string(values.type) else None
            values = self._real(name) if exact is None else exact
        if pa.types.is_floating(values.type):
            whole = cast(values, pa.int64())
            if whole is None:
                index = first_failure(values, pa.int64())
                raise self.error(name, f"{values[index]} is not a whole number", index)
            values = whole
        return _flat(values)

    def _real(self, name: str) -> Any:
        """A column as a pyarrow array of float64, null where missing."""
        values = self.column(name)
        if pa.types.is_string(values.type):
            numbers = cast(values, pa.int64())
            if numbers is None:
                numbers = cast(values, pa.float64())
            if numbers is None:
                index = first_failure(values, pa.float64())
                raise self.error(name, f"{quoted(values[index])} is not a number", index)
            values = numbers
        elif self.kind(name) not in ("integer", "real", "empty"):
            raise self.error(name, f"values of type {values.type} are not numbers")
        # not "safe": whole numbers beyond 2**53, such as ids, are rounded
        return _flat(pc.cast(values, pa.float64(), safe=False))


_KINDS: list[tuple[Any, Kind]] = [
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "integer"),
    (pa.types.is_floating, "real"),
    (pa.types.is_decimal, "real"),
    (pa.types.is_temporal, "date"),
]


def _flat(values: Any) -> Any:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def cast(values: Any, to: Any) -> Any | None:
    """`values` cast to the type `to`, or None if some value does not fit."""
    try:
        return pc.cast(values, to)
    except pa.ArrowInvalid:
        if pa.types.is_string(values.type) and pc.any(pc.starts_with(values, "+")).as_py():
            return cast(pc.replace_substring_regex(values, r"^\+(\d)", r"\1"), to)  # +1
        return None


def first_failure(values: Any, to: Any) -> int:
    """Index of the first value that cannot be cast to `to`, by bisection."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if cast(values[low:middle], to) is None else (middle, high)
    return low


def _guess(values: Any) -> Kind:
    if cast(values, pa.int64()) is not None:
        return "integer"
    if cast(values, pa.float64()) is not None:
        return "real"
    patterns: list[tuple[str, Kind]] = [(_BOOLEAN, "boolean"), (_DATE, "date")]
    for pattern, kind in patterns:
        if pc.all(pc.match_substring_regex(values, pattern)).as_py():
            return kind
    return "text"
