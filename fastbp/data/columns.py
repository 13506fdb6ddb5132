"""Columns of a table: what each one means as a network's inputs, or as its outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fastbp.checks import choice, real


@dataclass(frozen=True)
class Number:
    """A column of numbers, or the target of a regression: ``z = (x - mean) / scale``.

    Parameters
    ----------
    name : str
        The column's.
    mean : float
        What is taken off.
    scale : float
        What it is divided by, above 0.

    Raises
    ------
    TypeError, ValueError
        `mean` or `scale` is not of its kind or range.

    Examples
    --------
    >>> from fastbp import export
    >>> export.Number("age", mean=40.0, scale=12.0).width
    1
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        real("mean", self.mean)
        real("scale", self.scale, low=0.0, low_open=True)

    @property
    def width(self) -> int:
        """How many inputs it makes."""
        return 1


@dataclass(frozen=True)
class Category:
    """A column of text or booleans: one input a category, 1 for the value's own, else 0.

    Parameters
    ----------
    name : str
        The column's.
    categories : tuple of str
        In the inputs' order; of booleans, "false" and "true".
    fill : str
        The category that stands for a missing value.
    boolean : bool
        Whether the values are booleans.

    Raises
    ------
    ValueError
        `fill` is none of the categories, or categories of booleans are others than theirs.

    Examples
    --------
    >>> from fastbp import export
    >>> export.Category("colour", ("blue", "red"), fill="red").width
    2
    """

    name: str
    categories: tuple[str, ...]
    fill: str
    boolean: bool = False

    def __post_init__(self) -> None:
        choice("fill", self.fill, self.categories)
        if self.boolean and not set(self.categories) <= {"false", "true"}:
            raise ValueError(f"categories of booleans are false and true, got {self.categories}")

    @property
    def width(self) -> int:
        """How many inputs it makes."""
        return len(self.categories)


@dataclass(frozen=True)
class Labels:
    """The target of a classification: output i is the probability of ``labels[i]``.

    Parameters
    ----------
    labels : tuple of str, of bool or of int
        In the outputs' order.
    name : str
        The column's, where there is a column to read labels from.

    Examples
    --------
    >>> from fastbp import export
    >>> export.Labels((False, True), "paid").names
    ['false', 'true']
    """

    labels: tuple[str, ...] | tuple[bool, ...] | tuple[int, ...]
    name: str = ""

    @property
    def kind(self) -> Literal["text", "boolean", "integer"]:
        """What the labels are."""
        first = self.labels[0]
        if isinstance(first, str):
            return "text"
        return "boolean" if isinstance(first, bool) else "integer"

    @property
    def names(self) -> list[str]:
        """The labels as text; booleans are "false" and "true"."""
        return [str(v).lower() if isinstance(v, bool) else str(v) for v in self.labels]


def n_inputs(columns: Iterable[Number | Category]) -> int:
    """How many inputs these columns make."""
    return sum(column.width for column in columns)


def n_outputs(target: Number | Labels) -> int:
    """How many outputs a network for this target has."""
    return len(target.labels) if isinstance(target, Labels) else 1
