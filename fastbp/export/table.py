"""What stands between a table's raw columns and a network, to be written into what is exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastbp.checks import choice
from fastbp.data.columns import Category, Labels, Number, n_inputs, n_outputs
from fastbp.network import Network

# of a column of booleans, whose numbers 0 and 1 exported code takes in this order
_BOOLEANS = (("false", "true"), ("false",), ("true",))


@dataclass(frozen=True)
class Table:
    """All of a table that is exported: from columns to inputs, and from outputs to the target.

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
        for column in (c for c in self.columns if isinstance(c, Category) and c.boolean):
            if column.categories not in _BOOLEANS:
                raise ValueError(
                    f"categories of booleans are false and true, got {column.categories}"
                )
        inputs, outputs = n_inputs(self.columns), n_outputs(self.target)
        if (inputs, outputs) != (network.n_inputs, network.n_outputs):
            raise ValueError(
                f"table must make {network.n_inputs} inputs and {network.n_outputs} outputs, "
                f"got {inputs} and {outputs}"
            )
