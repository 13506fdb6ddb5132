"""The units that the parameters are updated by, and the order that they are taken in."""

from __future__ import annotations

import numpy as np
import pytest

import fastbp
from fastbp.kernels import layout as lay
from fastbp.runtime.pieces import in_cache_order, update_pieces


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", [(1, 1), (784, 128, 10), (300, 1000, 40, 700, 2)], ids=str)
def test_they_cover_the_parameters_once(widths: tuple[int, ...], dtype: str) -> None:
    layers = [fastbp.Dense(units, "tanh") for units in widths[1:]]
    layout = fastbp.Network(widths[0], layers, dtype=dtype)._parameters.layout
    units = update_pieces(layout)
    covered = np.zeros(layout.n_updated, np.int64)
    for unit in units:
        covered[unit[lay.U_OFFSET] :][: unit[lay.U_LENGTH]] += 1
    assert covered.max() == 1
    assert covered.sum() == units[:, lay.U_LENGTH].sum()


@pytest.mark.parametrize("rows", [1, 128, 400, 1000, 100_000])
def test_an_order_for_the_cache(rows: int) -> None:
    layers = [fastbp.Dense(units, "tanh") for units in (1000, 40, 700, 2)]
    layout = fastbp.Network(900, layers)._parameters.layout
    units = update_pieces(layout)
    ordered = in_cache_order(units, layout, rows)
    assert sorted(map(tuple, ordered)) == sorted(map(tuple, units))
    assert (np.diff(ordered[:, lay.U_LAYER]) >= 0).all()
    if rows == 1:
        assert ordered is units
    for layer in range(4):
        mine = ordered[(ordered[:, lay.U_LAYER] == layer)]
        weights = mine[:, lay.U_KIND] == lay.UNIT_WEIGHTS
        assert not weights[np.argmin(weights) :].any() or weights.all()  # then biases
        mine = mine[weights]
        # Within a run panel by panel; the next run's inputs are none of this one's.
        height = max(1, 384 * 1024 // (rows * 4 * lay.UNIT_ROWS))  # blocks whose inputs stay in L2
        blocks = -(-int(mine[:, lay.U_LAST].max()) // lay.UNIT_ROWS)
        begins = np.flatnonzero(np.diff(mine[:, lay.U_COLUMN]) < 0) + 1
        runs = np.split(mine, begins)
        spans = [(run[:, lay.U_FIRST].min(), run[:, lay.U_LAST].max()) for run in runs]
        assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
        longest = max(len(set(run[:, lay.U_FIRST])) for run in runs)
        assert longest <= height
        several = len(set(mine[:, lay.U_COLUMN])) > 1  # of one panel all runs look like one
        assert len(runs) == (-(-blocks // height) if several else 1)
