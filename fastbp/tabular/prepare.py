"""From a table to a task, two parts of it, and a transformation that knows the training part only.

Which task it is
    ``auto`` takes text and booleans for classes, and whole numbers too if there are at most 20
    different ones and each stands for two rows or more on average; all other numbers are for
    regression.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fastbp.data.columns import Category, Labels, Number
from fastbp.tabular.preprocess import (
    Missing,
    Preprocessing,
    Unseen,
    categories,
    class_ids,
    complete,
    labels,
    refuse_missing,
)
from fastbp.tabular.table import Kind, Table, UserError, quoted

Task = Literal["auto", "classification", "regression"]
Mask = NDArray[np.bool_]

_MOST_INTEGER_CLASSES = 20
_MOST_CATEGORIES = 1000
_NUMERIC = ("integer", "real")


@dataclass(frozen=True)
class Prepared:
    """A table made ready for training.

    Attributes
    ----------
    transformation : Preprocessing
        Fitted on `train`.
    train, validation : Table
        The rows to train on, and those held out.
    reason : str
        Why the task is what it is.
    notes : list of str
        What else the user should know: rows and columns left out or moved.
    """

    transformation: Preprocessing
    train: Table
    validation: Table
    reason: str
    notes: list[str]

    @property
    def held_out(self) -> bool:
        """Whether rows have been held out."""
        return len(self.validation) > 0


def prepare(
    table: Table,
    target: str,
    *,
    task: Task,
    ignore: Iterable[str],
    missing: Missing,
    unseen: Unseen,
    validation: float,
    rng: np.random.Generator,
) -> Prepared:
    """Decide on the task, split the rows and fit the transformation.

    Parameters
    ----------
    table : Table
        The whole file.
    target : str
        The column to predict; all others but those in `ignore` are used.
    validation : float
        The part of the rows to hold out, in [0, 1); of each class for a classification.

    Raises
    ------
    UserError
        The table can't be trained on.
    """
    table.column(target)
    ignored = set(ignore)
    for name in ignored:
        table.column(name)
    if target in ignored:
        raise UserError(f"{table.path}: column {quoted(target)} is both the target and ignored")
    names = [name for name in table.columns if name != target and name not in ignored]
    if not names:
        raise UserError(f"{table.path}: there is no column to predict {quoted(target)} from")
    kinds = {name: _feature_kind(table, name) for name in names}
    notes = []
    if table.unnamed:
        notes.append(f"{table.unnamed} column(s) without a name left out")
    if missing == "drop":
        whole = complete(table, [*names, target])
        if not whole.any():
            raise UserError(f"{table.path}: every row has a missing value")
        if not whole.all():
            notes.append(f"{np.sum(~whole)} of {len(table)} rows with missing values left out")
            table = table.keep(whole)
    for name in [target, *(names if missing == "error" else [])]:
        refuse_missing(table, name)

    decided, reason = _decide(table, target, task)
    if decided == "classification":
        classes = _classes(table, target)
        ids = class_ids(classes, table)
    else:
        classes, ids = None, np.zeros(len(table), np.int64)
        table.numbers(target)  # the first value that is none is an error, in whichever part
    train = _split(ids, validation, rng)
    if unseen == "error" and validation:
        texts = [name for name in names if kinds[name] not in _NUMERIC]
        moved = _keep_categories(train, [_codes(table, name) for name in texts])
        if moved:
            notes.append(f"{moved} row(s) moved to the training part: only there a category is met")
    if validation and train.all():
        raise UserError(
            f"{table.path}: no rows are left to validate on, with {len(table)} rows in all; use "
            "--validation 0, or --ignore text columns that hardly repeat a value"
        )
    part = table.keep(train)
    columns, constant = [], []
    for name in names:
        column = _feature(part, name, kinds[name])
        if column is None:
            constant.append(quoted(name))
        else:
            columns.append(column)
    if constant:
        notes.append(f"left out, the same in all training rows: {', '.join(constant)}")
    if not columns:
        raise UserError(f"{table.path}: every column is the same in all training rows")
    goal = _number(part, target) if classes is None else classes
    if goal is None:
        raise part.error(target, "the target is the same in all training rows")
    transformation = Preprocessing(tuple(columns), goal, missing, unseen)
    return Prepared(transformation, part, table.keep(~train), reason, notes)


# -- the task --------------------------------------------------------------------------------------


def _decide(table: Table, target: str, task: Task) -> tuple[str, str]:
    """The task and, in words, the reason for it."""
    if task != "auto":
        return task, f"as --task {task} asks"
    kind = table.kind(target)
    if kind in ("text", "boolean"):
        return "classification", f"the target is {kind}"
    if kind == "integer":
        distinct = pc.count_distinct(table.integers(target)).as_py()
        found = f"the target is whole numbers, {distinct} different ones"
        if distinct <= _MOST_INTEGER_CLASSES and 2 * distinct <= len(table):
            return "classification", found
        return "regression", found
    if kind == "real":
        return "regression", "the target is floating-point numbers"
    raise table.error(target, f"a target must be numbers, text or booleans, not {_called(kind)}")


def _classes(table: Table, target: str) -> Labels:
    kind = table.kind(target)
    if kind not in ("text", "boolean"):
        kind = "integer"  # integers() refuses what is not whole
    found = pc.unique(labels(table, target, kind)).to_pylist()
    if len(found) == 1:
        raise table.error(target, f"the target has one class alone, {quoted(found[0])}")
    if len(found) > _MOST_CATEGORIES:
        raise table.error(
            target,
            f"the target has {len(found)} classes, {_MOST_CATEGORIES} at most are possible; "
            "numbers can be predicted with --task regression",
        )
    if kind == "integer":
        return Labels(tuple(sorted(int(label) for label in found)), target)
    if kind == "boolean":
        return Labels((False, True), target)
    return Labels(tuple(sorted(found)), target)


def _called(kind: str) -> str:
    return {"date": "dates or times", "empty": "nothing at all"}.get(kind, "nested values")


# -- the two parts ---------------------------------------------------------------------------------


def _split(ids: NDArray[np.int64], fraction: float, rng: np.random.Generator) -> Mask:
    """Which rows are for training: a random part of each class, and at least one row of it.

    Classes get their share of the held-out rows by largest remainder.
    """
    counts = np.bincount(ids)
    shares = fraction * counts
    held = np.floor(shares).astype(np.int64)
    by_remainder = np.argsort(held - shares, kind="stable")
    held[by_remainder[: round(fraction * len(ids)) - int(held.sum())]] += 1
    held = np.clip(held, 0, np.maximum(counts - 1, 0))
    order = rng.permutation(len(ids))
    order = order[np.argsort(ids[order], kind="stable")]  # by class, in random order inside
    place = np.arange(len(ids)) - np.repeat(np.cumsum(counts) - counts, counts)
    train = np.empty(len(ids), np.bool_)
    train[order] = place >= np.repeat(held, counts)
    return train


def _keep_categories(train: Mask, columns: list[NDArray[np.int64]]) -> int:
    """Move rows to the training part whose category would not be in it; how many were moved."""
    before = int(train.sum())
    for codes in columns:
        met = np.zeros(int(codes.max()) + 2, np.bool_)
        met[codes[train]] = True
        met[-1] = True  # the code of a missing value is -1
        train |= ~met[codes]
    return int(train.sum()) - before


def _codes(table: Table, name: str) -> NDArray[np.int64]:
    """A number for each category of a column, -1 where missing, (n,)."""
    codes = pc.fill_null(pc.dictionary_encode(table.text(name)).indices, -1)
    return np.asarray(codes.to_numpy(False), np.int64)


# -- columns ---------------------------------------------------------------------------------------


def _feature_kind(table: Table, name: str) -> Kind:
    """Integer, real, text or boolean; an error for all else, and for too many categories."""
    kind = table.kind(name)
    if kind in ("date", "empty", "other"):
        raise table.error(name, f"it holds {_called(kind)}; leave it out with --ignore")
    if kind == "text":
        distinct = pc.count_distinct(table.text(name)).as_py()
        if distinct > _MOST_CATEGORIES:
            raise table.error(
                name,
                f"text with {distinct} categories, more than the {_MOST_CATEGORIES} that are "
                "possible; leave it out with --ignore",
            )
    return kind


def _feature(train: Table, name: str, kind: Kind) -> Number | Category | None:
    """The transformation of a column; None if its values are all the same."""
    if train.missing(name).all():
        raise train.error(name, "no training row has a value; leave it out with --ignore")
    return _number(train, name) if kind in _NUMERIC else _category(train, name, kind == "boolean")


def _number(train: Table, name: str) -> Number | None:
    """A column with its mean and standard deviation; None if its values are all the same."""
    values = train.numbers(name)
    values = values[~np.isnan(values)]
    # by a power of two, which is exact, so that squares neither overflow nor vanish
    exponent = math.frexp(float(np.abs(values).max()))[1]
    unit = np.ldexp(values, -exponent)
    scale = math.ldexp(float(unit.std()), exponent)
    if values.min() == values.max() or scale == 0.0:
        return None
    return Number(name, math.ldexp(float(unit.mean()), exponent), scale)


def _category(train: Table, name: str, boolean: bool) -> Category | None:
    """A column with its categories, sorted; None if there is one alone."""
    counts = pc.value_counts(pc.drop_null(categories(train, name, boolean))).to_pylist()
    if len(counts) == 1:
        return None
    known = tuple(sorted(item["values"] for item in counts))
    # of several most common ones, the first in sorted order
    most = min(counts, key=lambda item: (-item["counts"], item["values"]))
    return Category(name, known, most["values"], boolean)
