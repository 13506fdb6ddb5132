"""How a batch is worked on: whole or in slabs, so many rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling.target import TILE_ROWS

# A block of rows with its activations and deltas of all layers should stay in L2 ...
BLOCK_BYTES = 384 * 1024
# ... but not be so low that reading the weights for it costs more than the products.
_LEAST_BLOCK, _GREATEST_BLOCK = 9 * TILE_ROWS, 40 * TILE_ROWS
# A batch whose rows take no more than this is kept whole: its gradients are formed from cache.
_WHOLE_BYTES = 1 << 20
# Larger ones are cut into slabs where a slab's gradient stays in cache beside a block ...
_SLAB_PARAMETER_BYTES = 256 * 1024
# ... and beyond this size always, so that the workspace has a bound.
_GREATEST_WHOLE_BYTES = 256 << 20
# Small batches are read so many bytes at a time: they stay in L1 until they are used.
_AHEAD_BYTES = 16 * 1024


@dataclass(frozen=True)
class Plan:
    """How a batch is worked on: whole (`slabs` 0), or in slabs, `block` rows at a time."""

    slabs: int
    block: int
    rows: int  # that the workspace holds
    ahead: int = 1  # batches that are read at a time

    @staticmethod
    def bytes_per_row(layout: lay.NetworkLayout) -> int:
        """Workspace of one row: its input and every layer's activations and deltas."""
        values = layout.layers[0].ld_in + sum(2 * layer.ld_out for layer in layout.layers)
        return values * layout.itemsize

    @classmethod
    def block_of(cls, layout: lay.NetworkLayout, rows: int) -> int:
        """How many rows a block has: as many as fit the cache, and no more than the batch."""
        fitting = BLOCK_BYTES // cls.bytes_per_row(layout) // TILE_ROWS * TILE_ROWS
        return min(rows, max(_LEAST_BLOCK, min(_GREATEST_BLOCK, fitting)))

    @classmethod
    def for_training(cls, layout: lay.NetworkLayout, rows: int, threads: int) -> Plan:
        """The plan of an update, by sizes alone: the same bits at any number of threads."""
        block, size = cls.block_of(layout, rows), rows * cls.bytes_per_row(layout)
        small = layout.n_updated * layout.itemsize <= _SLAB_PARAMETER_BYTES
        if size <= (_WHOLE_BYTES if small else _GREATEST_WHOLE_BYTES):
            sample = (layout.layers[0].ld_in + layout.layers[-1].ld_out) * layout.itemsize
            ahead = min(_AHEAD_BYTES // sample, lay.LEAST_POSITIONS) // rows
            return cls(0, block, rows, max(1, ahead) if threads == 1 else 1)
        return cls.in_slabs(layout, rows, threads, lay.TRAINING_SLABS)

    @classmethod
    def in_slabs(cls, layout: lay.NetworkLayout, rows: int, threads: int, most: int) -> Plan:
        """The plan of so many rows in at most `most` slabs, none of less than a block."""
        block = cls.block_of(layout, rows)
        return cls(max(1, min(most, rows // block)), block, block * threads)
