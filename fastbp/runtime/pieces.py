"""The parameters cut into pieces, each of which is updated at once: rows P_KIND … of layout.py."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.runtime.memory import Int64s, aligned_zeros
from fastbp.runtime.plan import BLOCK_BYTES


def cut_into_pieces(layout: lay.NetworkLayout) -> Int64s:
    """All pieces, in the order of the parameters."""
    pieces: list[tuple[int, ...]] = []
    for index, layer in enumerate(layout.layers):
        offset = layer.weights
        for column, width in lay.panels(layer.columns, layout.itemsize):
            for first in range(0, layer.rows, lay.PIECE_ROWS):
                last = min(first + lay.PIECE_ROWS, layer.rows)
                length = (last - first) * width
                pieces.append(
                    (lay.PIECE_WEIGHTS, index, offset, length, column, width, first, last)
                )
                offset += length
        if layer.bias == lay.BIAS_SHARED:
            pieces.append(
                (lay.PIECE_SHARED_BIAS, index, layer.biases, layer.ld_out, 0, layer.ld_out, 0, 1)
            )
        elif layer.bias == lay.BIAS_PER_UNIT:
            for column, width in lay.panels(layer.n_out, layout.itemsize):
                pieces.append(
                    (lay.PIECE_BIAS, index, layer.biases + column, width, column, width, 0, 1)
                )
    table: Int64s = aligned_zeros(len(pieces) * lay.PIECE, np.int64).reshape(-1, lay.PIECE)
    table[:] = pieces
    return table


def in_cache_order(pieces: Int64s, layout: lay.NetworkLayout, rows: int) -> Int64s:
    """The pieces, so that what they read of a batch that is kept whole stays in cache.

    In float32 a piece of weights reads 448 bytes of each row of the layer's inputs and 128 of its
    deltas. So as many rows of weights as have their inputs in L2 are taken together, and of these
    one panel after the other, since pieces then lie one after the other in memory as well. A
    thread, which takes a run of pieces, reads fewer of the inputs that are in another core's cache.
    """
    at_once = max(1, BLOCK_BYTES // (rows * lay.PIECE_ROWS * layout.itemsize))
    blocks = np.array([-(-layer.rows // lay.PIECE_ROWS) for layer in layout.layers])
    runs = -(-blocks // at_once)
    if (runs == 1).all():
        return pieces
    layer, first = pieces[:, lay.P_LAYER], pieces[:, lay.P_FIRST]
    run = first // lay.PIECE_ROWS // (-(-blocks // runs))[layer]
    weights_last = pieces[:, lay.P_KIND] != lay.PIECE_WEIGHTS
    order = np.lexsort((first, pieces[:, lay.P_COLUMN], run, weights_last, layer))
    ordered: Int64s = aligned_zeros(pieces.size, np.int64).reshape(pieces.shape)
    ordered[:] = pieces[order]
    return ordered
