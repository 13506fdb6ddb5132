"""What stands between a table's raw columns and a network, to be written into what is exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastbp.checks import choice, real
from fastbp.network import Network


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
    """

    name: str
    categories: tuple[str, ...]
    fill: str
    boolean: bool = False

    def __post_init__(self) -> None:
        choice("fill", self.fill, self.categories)
        if self.boolean and self.categories not in (("false", "true"), ("false",), ("true",)):
            raise ValueError(f"categories of booleans are false and true, got {self.categories}")

    @property
    def width(self) -> int:
        """How many inputs it makes."""
        return len(self.categories)


@dataclass(frozen=True)
class Labels:
    """The target of a classification: output i is the probability of ``labels[i]``."""

    labels: tuple[str, ...] | tuple[bool, ...] | tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """All of it: columns to inputs, outputs to the target.

    Parameters
    ----------
    columns : tuple of Number or Category
        In the inputs' order.
    target : Number or Labels
        What the outputs mean.
    missing : {"error", "mean"}
        Whether a missing value is the column's mean (or fill), or not taken.
    unseen : {"error", "zero"}
        Whether another category is none of them, or not taken.
    """

    columns: tuple[Number | Category, ...]
    target: Number | Labels
    missing: Literal["error", "mean"] = "error"
    unseen: Literal["error", "zero"] = "error"

    def check(self, network: Network) -> None:
        """Raise ValueError if the columns or the target don't fit `network`."""
        choice("missing", self.missing, ("error", "mean"))
        choice("unseen", self.unseen, ("error", "zero"))
        inputs = sum(column.width for column in self.columns)
        outputs = len(self.target.labels) if isinstance(self.target, Labels) else 1
        if (inputs, outputs) != (network.n_inputs, network.n_outputs):
            raise ValueError(
                f"table must make {network.n_inputs} inputs and {network.n_outputs} outputs, "
                f"got {inputs} and {outputs}"
            )
