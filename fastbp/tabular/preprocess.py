"""The transformation between a table's columns and a network's inputs and outputs.

Numbers are standardised, z = (x - mean) / scale, with the mean and the standard deviation of the
training part; text and booleans become one input per category, 1 where it is that category, else 0.
Classes are numbered in sorted order; the target of a regression is standardised as numbers are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fastbp.data.columns import Category, Labels, Number, n_inputs, n_outputs
from fastbp.tabular.table import Table, quoted

Missing = Literal["error", "drop", "mean"]
Unseen = Literal["error", "zero"]
Floats = NDArray[Any]


@dataclass(frozen=True)
class Preprocessing:
    """Everything between a file and a network."""

    columns: tuple[Number | Category, ...]
    target: Number | Labels
    missing: Missing
    unseen: Unseen

    @property
    def n_inputs(self) -> int:
        """Inputs of the network."""
        return n_inputs(self.columns)

    @property
    def n_outputs(self) -> int:
        """Outputs of the network."""
        return n_outputs(self.target)

    def complete(self, table: Table, *, target: bool) -> NDArray[np.bool_]:
        """Which rows have every value, the target's included if asked, (n,)."""
        names = [column.name for column in self.columns]
        return complete(table, [*names, self.target.name] if target else names)

    def inputs(self, table: Table, dtype: str) -> Floats:
        """The network's inputs, (n, n_inputs) of `dtype`.

        Raises
        ------
        UserError
            A column is missing or holds what the network can't take; row and column are named.
        """
        X = np.empty((len(table), self.n_inputs), dtype)
        start = 0
        for column in self.columns:
            end = start + column.width
            encode(column, table, X[:, start:end], self.missing, self.unseen)
            start = end
        return X

    def targets(self, table: Table, dtype: str) -> NDArray[np.int64] | NDArray[np.float64]:
        """What the network is to learn, (n,): class ids, or the standardised target."""
        if isinstance(self.target, Labels):
            return class_ids(self.target, table)
        refuse_missing(table, self.target.name)
        return standardise(self.target, table, dtype)


# -- a column's values -----------------------------------------------------------------------------


def standardise(column: Number, table: Table, dtype: str) -> NDArray[np.float64]:
    """The column as (n,) float64, NaN where missing; must fit into `dtype`."""
    values = table.numbers(column.name)
    with np.errstate(over="ignore"):
        z = (values - column.mean) / column.scale
    far = np.flatnonzero(np.abs(z) > np.finfo(dtype).max)
    if far.size:
        message = f"{values[far[0]]} is too far from the training data for {dtype}"
        raise table.error(column.name, message, int(far[0]))
    return z


def encode(
    column: Number | Category, table: Table, out: Floats, missing: Missing, unseen: Unseen
) -> None:
    """Write a column's inputs, (n, width), to `out`; a missing number's mean is 0."""
    if isinstance(column, Number):
        z = standardise(column, table, out.dtype.name)
        if missing != "mean":
            refuse_missing(table, column.name)
        out[:, 0] = np.nan_to_num(z, copy=False, nan=0.0)
        return
    text = categories(table, column.name, column.boolean)
    if missing == "mean":
        text = pc.fill_null(text, column.fill)
    refuse_missing(table, column.name, text)
    ids = positions(text, column.categories)
    new = np.flatnonzero(ids < 0)
    if new.size and unseen == "error":
        message = (
            f"the category {quoted(text[int(new[0])])} was not seen in training "
            "(a model trained with --unseen zero takes it)"
        )
        raise table.error(column.name, message, int(new[0]))
    out[:] = 0.0
    known = np.flatnonzero(ids >= 0)
    out[known, ids[known]] = 1.0


def class_ids(target: Labels, table: Table) -> NDArray[np.int64]:
    """The class of each row of a table, (n,); a class unknown to the model is an error."""
    refuse_missing(table, target.name)
    text = labels(table, target.name, target.kind)
    ids = positions(text, target.names)
    new = np.flatnonzero(ids < 0)
    if new.size:
        message = f"the class {quoted(text[int(new[0])])} was not seen in training"
        raise table.error(target.name, message, int(new[0]))
    return ids


def truth(target: Number, table: Table) -> NDArray[np.float64]:
    """A regression's target as it stands, (n,); a missing value is an error."""
    refuse_missing(table, target.name)
    return table.numbers(target.name)


def in_units(target: Number, outputs: Floats) -> NDArray[np.float64]:
    """Outputs, (n, 1), in the target's own units, (n,)."""
    values: NDArray[np.float64] = outputs[:, 0].astype(np.float64) * target.scale + target.mean
    return values


def likeliest(target: Labels, outputs: Floats) -> Any:
    """The label of each row's largest output, as a pyarrow array (n,)."""
    return pa.array(target.labels).take(pa.array(outputs.argmax(axis=1)))


# -- a table's columns -----------------------------------------------------------------------------


def complete(table: Table, names: list[str]) -> NDArray[np.bool_]:
    """Which rows have a value in each of these columns, (n,)."""
    mask = np.ones(len(table), dtype=np.bool_)
    for name in names:
        mask &= ~table.missing(name)
    return mask


def refuse_missing(table: Table, name: str, values: Any = None) -> None:
    """Raise for the first missing value, of `values` if given, else of the column as it stands."""
    mask = table.missing(name) if values is None else pc.is_null(values).to_numpy(False)
    if mask.any():
        message = "missing value (see --missing of fastbp train)"
        raise table.error(name, message, int(mask.argmax()))


def positions(text: Any, known: tuple[str, ...] | list[str]) -> NDArray[np.int64]:
    """The position of each string in `known`, (n,); -1 for others and for null."""
    found = pc.index_in(text, value_set=pa.array(known, pa.string()))
    ids: NDArray[np.int64] = pc.fill_null(found, -1).to_numpy(False).astype(np.int64)
    return ids


def categories(table: Table, name: str, boolean: bool) -> Any:
    """A column as a pyarrow array of strings; booleans are "false" and "true"."""
    text = table.text(name)
    return pc.utf8_lower(text) if boolean else text


def labels(table: Table, name: str, kind: Literal["text", "boolean", "integer"]) -> Any:
    """The target's labels as a pyarrow array of strings, one spelling a label."""
    if kind == "integer":
        return pc.cast(table.integers(name), pa.string())
    return categories(table, name, kind == "boolean")
