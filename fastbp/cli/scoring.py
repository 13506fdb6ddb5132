"""What a network predicts of a table, and how good that is."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import fastbp
from fastbp.cli import display
from fastbp.data.columns import Number
from fastbp.tabular import scores
from fastbp.tabular.preprocess import Preprocessing, class_ids, in_units, truth
from fastbp.tabular.table import Table, UserError


def outputs_of(
    network: fastbp.Network, X: NDArray[Any], table: Table, n_threads: int | Literal["auto"]
) -> NDArray[Any]:
    """What a network predicts of the rows of a table; UserError where that is not finite."""
    outputs = network.predict(X, n_threads=n_threads)
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if bad.size:
        row = table.rows[bad[0]]
        raise UserError(f"{table.path}: row {row}: the network's output is not finite")
    return outputs


def show_scores(change: Preprocessing, table: Table, outputs: NDArray[Any], where: str) -> None:
    """Print how well outputs fit the target's values in a table."""
    goal = change.target
    if isinstance(goal, Number):
        figures = scores.regression(truth(goal, table), in_units(goal, outputs))
    else:
        figures = scores.classification(
            class_ids(goal, table), outputs.argmax(axis=1), len(goal.labels)
        )
    rows = [(name, f"{value:.4g}") for name, value in figures.items()]
    display.table(f"Scores on {len(table)} {where}", ("score", "value"), rows)
