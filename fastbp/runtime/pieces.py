"""The parameters cut into pieces, each of which is updated at once: records PIECE of layout.py."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as lay
from fastbp.runtime.memory import Records, aligned_zeros
from fastbp.runtime.plan import BLOCK_BYTES


def cut_into_pieces(layout: lay.NetworkLayout) -> Records:
    """The pieces of all parameters that are trained, in the order of the parameters."""
    pieces: list[tuple[int, ...]] = []
    for index, layer in enumerate(layout.layers):
        offset = layer.weights
        for column, width in lay.panels(layer.stored_columns, layout.itemsize):
            for first in range(0, layer.stored_rows, lay.PIECE_ROWS):
                last = min(first + lay.PIECE_ROWS, layer.stored_rows)
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
    table: Records = aligned_zeros(len(pieces), lay.PIECE.dtype)
    table[:] = pieces
    return table


def in_cache_order(pieces: Records, layout: lay.NetworkLayout, rows: int) -> Records:
    """Order the pieces so that what they read of a batch that is kept whole stays in cache.

    In float32 a piece of weights reads 448 bytes of each row of the layer's inputs and 128 of its
    deltas. So as many rows of weights as have their inputs in L2 are taken together, and of these
    one panel after the other, since pieces then lie one after the other in memory as well. A
    thread, which takes a run of pieces, reads fewer of the inputs that are in another core's cache.
    """
    at_once = max(1, BLOCK_BYTES // (rows * lay.PIECE_ROWS * layout.itemsize))
    blocks = np.array([-(-layer.stored_rows // lay.PIECE_ROWS) for layer in layout.layers])
    runs = -(-blocks // at_once)
    if (runs == 1).all():
        return pieces
    layer, first = pieces["layer"], pieces["first"]
    run = first // lay.PIECE_ROWS // (-(-blocks // runs))[layer]
    weights_last = pieces["kind"] != lay.PIECE_WEIGHTS
    order = np.lexsort((first, pieces["column"], run, weights_last, layer))
    ordered: Records = aligned_zeros(len(pieces), lay.PIECE.dtype)
    ordered[:] = pieces[order]
    return ordered
