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

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import export
    >>> age = export.Number("age", mean=40.0, scale=12.0)
    >>> colour = export.Category("colour", ("blue", "red"), fill="red")
    >>> table = export.Table((age, colour), export.Number("price", 100.0, 20.0), missing="mean")
    >>> net = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(1)], seed=0)
    >>> "int net_predict(const double *in, double *out)" in export.to_c(net, table=table).text
    True
    """

    columns: tuple[Number | Category, ...]
    target: Number | Labels
    missing: Literal["error", "mean"] = "error"
    unseen: Literal["error", "zero"] = "error"

    def check(self, network: Network) -> None:
        """Raise ValueError if the columns or the target don't fit a network.

        Parameters
        ----------
        network : Network
            That is to be exported with it.

        Raises
        ------
        ValueError
            It makes another number of inputs or outputs, or a setting is not known.
        """
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
