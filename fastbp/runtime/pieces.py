"""The parameters cut into pieces of update work: one row each, U_KIND ... in kernels/layout.py."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.runtime.memory import Int64s, aligned_zeros
from fastbp.runtime.plan import BLOCK_BYTES


def update_pieces(layout: lay.NetworkLayout) -> Int64s:
    """All pieces, in the order of the parameters."""
    pieces: list[tuple[int, ...]] = []
    for index, layer in enumerate(layout.layers):
        offset = layer.weights
        for column, width in lay.panels(layer.columns, layout.itemsize):
            for first in range(0, layer.rows, lay.UNIT_ROWS):
                last = min(first + lay.UNIT_ROWS, layer.rows)
                length = (last - first) * width
                pieces.append((lay.UNIT_WEIGHTS, index, offset, length, column, width, first, last))
                offset += length
        if layer.bias == lay.BIAS_SHARED:
            pieces.append(
                (lay.UNIT_SHARED_BIAS, index, layer.biases, layer.ld_out, 0, layer.ld_out, 0, 1)
            )
        elif layer.bias == lay.BIAS_PER_UNIT:
            for column, width in lay.panels(layer.n_out, layout.itemsize):
                pieces.append(
                    (lay.UNIT_BIAS, index, layer.biases + column, width, column, width, 0, 1)
                )
    table: Int64s = aligned_zeros(len(pieces) * lay.UNIT, np.int64).reshape(-1, lay.UNIT)
    table[:] = pieces
    return table


def in_cache_order(pieces: Int64s, layout: lay.NetworkLayout, rows: int) -> Int64s:
    """The pieces, so that what they read of a batch that is kept whole stays in cache.

    In float32 a piece of weights reads 448 bytes of each row of the layer's inputs and 128 of its
    deltas. So as many rows of weights as have their inputs in L2 are taken together, and of these
    one panel after the other, since pieces then lie one after the other in memory as well. A
    thread, which takes a run of pieces, reads fewer of the inputs that are in another core's cache.
    """
    at_once = max(1, BLOCK_BYTES // (rows * lay.UNIT_ROWS * layout.itemsize))
    blocks = np.array([-(-layer.rows // lay.UNIT_ROWS) for layer in layout.layers])
    runs = -(-blocks // at_once)
    if (runs == 1).all():
        return pieces
    layer, first = pieces[:, lay.U_LAYER], pieces[:, lay.U_FIRST]
    run = first // lay.UNIT_ROWS // (-(-blocks // runs))[layer]
    weights_last = pieces[:, lay.U_KIND] != lay.UNIT_WEIGHTS
    order = np.lexsort((first, pieces[:, lay.U_COLUMN], run, weights_last, layer))
    ordered: Int64s = aligned_zeros(pieces.size, np.int64).reshape(pieces.shape)
    ordered[:] = pieces[order]
    return ordered
