"""The pieces that the parameters are updated by, and the order that they are taken in."""

from __future__ import annotations

import numpy as np
import pytest

import fastbp
from fastbp.kernels import layout as lay
from fastbp.runtime.pieces import cut_into_pieces, in_cache_order


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", [(1, 1), (784, 128, 10), (300, 1000, 40, 700, 2)], ids=str)
def test_they_cover_the_parameters_once(widths: tuple[int, ...], dtype: str) -> None:
    layers = [fastbp.Dense(width, "tanh") for width in widths[1:]]
    layout = fastbp.Network(widths[0], layers, dtype=dtype)._parameters.layout
    pieces = cut_into_pieces(layout)
    covered = np.zeros(layout.n_updated, np.int64)
    for piece in pieces:
        covered[piece["offset"] :][: piece["length"]] += 1
    assert covered.max() == 1
    assert covered.sum() == pieces["length"].sum()


@pytest.mark.parametrize("rows", [1, 128, 400, 1000, 100_000])
def test_an_order_for_the_cache(rows: int) -> None:
    layers = [fastbp.Dense(width, "tanh") for width in (1000, 40, 700, 2)]
    layout = fastbp.Network(900, layers)._parameters.layout
    pieces = cut_into_pieces(layout)
    ordered = in_cache_order(pieces, layout, rows)
    assert sorted(map(tuple, ordered)) == sorted(map(tuple, pieces))
    assert (np.diff(ordered["layer"]) >= 0).all()
    if rows == 1:
        assert ordered is pieces
    for layer in range(4):
        mine = ordered[(ordered["layer"] == layer)]
        weights = mine["kind"] == lay.PIECE_WEIGHTS
        assert not weights[np.argmin(weights) :].any() or weights.all()  # then biases
        mine = mine[weights]
        # Within a run panel by panel; the next run's inputs are none of this one's.
        height = max(1, 384 * 1024 // (rows * 4 * lay.PIECE_ROWS))  # blocks whose inputs stay in L2
        blocks = -(-int(mine["last"].max()) // lay.PIECE_ROWS)
        begins = np.flatnonzero(np.diff(mine["column"]) < 0) + 1
        runs = np.split(mine, begins)
        spans = [(run["first"].min(), run["last"].max()) for run in runs]
        assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
        longest = max(len(set(run["first"])) for run in runs)
        assert longest <= height
        several = len(set(mine["column"])) > 1  # of one panel all runs look like one
        assert len(runs) == (-(-blocks // height) if several else 1)
