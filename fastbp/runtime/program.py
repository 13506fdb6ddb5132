"""A layout table and the buffers that it points at: what one kernel call works on.

The table's fields are named in kernels/layout.py. A program is built for one network, one use and
one greatest number of rows at a time, and allocates all that it needs then.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Source
from fastbp.data.weighing import Weighing, of_rows, of_step
from fastbp.kernels import dropout as dropping
from fastbp.kernels import epoch as kernels
from fastbp.kernels import layout as lay
from fastbp.kernels import online, passes, samples
from fastbp.kernels import pieces as updating
from fastbp.kernels.compiling.target import lanes
from fastbp.kernels.compiling.threads import BARRIER_SIZE, yield_address
from fastbp.kernels.gather import READERS
from fastbp.kernels.maths import matmul
from fastbp.kernels.maths.rng import MOST_DRAWN, split_bits
from fastbp.layers.activations import kernel_of, parameters_of
from fastbp.runtime.memory import Int64s, Records, aligned_zeros, require_memory
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.plan import Plan
from fastbp.runtime.team import Team


class Program:
    """Buffers and table for one use of a network.

    Parameters
    ----------
    parameters : Parameters
        A network's: read for their layout; their buffer is what the kernels work on.
    plan : Plan
        How batches are worked on.
    threads : int
        How many threads will enter the kernels together.
    training : bool
        Whether deltas, targets and gradients need room.
    dropout : bool
        Whether layers drop outputs as their `dropout` says.
    gradients : bool
        Whether gradients are formed; in training programs only.
    sums : bool
        Whether every layer's weighted sums are kept beside its outputs, for those who look at them.
    """

    def __init__(
        self,
        parameters: Parameters,
        plan: Plan,
        threads: int,
        *,
        training: bool,
        dropout: bool = False,
        gradients: bool = True,
        sums: bool = False,
    ) -> None:
        layout, dtype = parameters.layout, parameters.dtype
        self.plan, self.threads, self.training = plan, threads, training
        self.layout, self._dtype = layout, dtype
        self.gradients: NDArray[Any] = np.empty((0, layout.n_updated), dtype)
        self._keep: list[Any] = []
        n_layers, rows = len(layout.layers), plan.rows
        self.table: Int64s = aligned_zeros(lay.HEADER + n_layers * lay.RECORD, np.int64)
        self.address = int(self.table.ctypes.data)  # of the table: what a kernel is handed
        self.cells = memoryview(self.table.data)  # the same, quicker for single values
        t = self.table
        first, last = layout.layers[0], layout.layers[-1]
        t[lay.N_LAYERS], t[lay.N_INPUTS], t[lay.N_OUTPUTS] = n_layers, first.n_in, last.n_out
        t[lay.LD0], t[lay.LD_TARGETS] = first.ld_in, last.ld_out
        t[lay.ZEROS], t[lay.N_UPDATED] = layout.zeros, layout.n_updated
        learns = training and gradients
        whole, slabs = learns and not plan.slabs, learns and plan.slabs > 0
        for field, function, wanted in (
            (lay.TILES, matmul.tiles, True),
            (lay.DOTS, matmul.dots, any(layer.narrow for layer in layout.layers)),
            (lay.TRANSPOSE, matmul.transpose, learns),
            (lay.READ_ROWS, samples.read_rows, True),
            (lay.PASSES, passes.passes, True),
            (lay.GRADIENTS, updating.gradients, slabs),
            (lay.TRAIN_PIECES, updating.train_pieces, whole),
            (lay.UPDATE_PIECE, updating.update_piece, slabs),
        ):
            if wanted:  # each takes its time to compile
                t[field] = function.address(dtype)
        self.set_parameters(parameters.buffer)

        self._offset = 0
        samples_held = rows * plan.ahead
        t[lay.A0] = self._take(samples_held * first.ld_in)
        for index, (layer, dense) in enumerate(zip(layout.layers, parameters.layers, strict=True)):
            record = t[lay.HEADER + index * lay.RECORD :][: lay.RECORD]
            kind = kernel_of(dense.activation)
            size = rows * layer.ld_out
            record[lay.L_IN], record[lay.L_OUT] = layer.n_in, layer.n_out
            record[lay.L_LD_IN], record[lay.L_LD_OUT] = layer.ld_in, layer.ld_out
            record[lay.L_NARROW], record[lay.L_BIAS] = layer.narrow, layer.bias
            record[lay.L_ROWS], record[lay.L_COLUMNS] = layer.rows, layer.columns
            record[lay.L_W], record[lay.L_WT] = layer.weights, layer.transposed
            record[lay.L_B] = layer.biases
            # The last layer's sums are kept: fused losses and `activations` read them.
            clamped = kind.clamped and layer is not last and not sums
            record[lay.L_CLAMP] = record[lay.L_MASK] = clamped
            if kind.forward is not None and not clamped:
                record[lay.L_FORWARD] = kind.forward.address(dtype)
            if training and kind.backward is not None and not clamped:
                record[lay.L_BACKWARD] = kind.backward.address(dtype)
            settings = parameters_of(dense.activation)
            if settings:
                held = np.array(settings, dtype)
                self._keep.append(held)
                record[lay.L_PARAMETERS] = held.ctypes.data
            record[lay.L_A] = record[lay.L_Z] = self._take(size)
            if kind.needs_z or ((sums or layer is last) and kind.forward is not None):
                record[lay.L_Z] = self._take(size)
            record[lay.L_X] = record[lay.L_A]
            if dropout and dense.dropout:
                self._drop(record, dense.dropout, size, dtype)
            if training:
                record[lay.L_D] = self._take(size)
        if training:
            t[lay.TARGETS] = self._take(samples_held * last.ld_out)
            t[lay.WEIGHTS] = self._take(samples_held)
            widest = max(layer.ld_out for layer in layout.layers)
            tile = lay.PIECE_ROWS * 2 * lanes(layout.itemsize)
            t[lay.MERGED] = layout.n_updated <= tile
            few = plan.ahead > 1 and plan.rows <= online.MOST_ROWS
            drops = dropout and any(dense.dropout for dense in parameters.layers)
            if t[lay.MERGED] and few and self._tiny and not drops:
                t[lay.ONLINE] = online.online.address(dtype)
            t[lay.SCRATCH_SIZE] = max(widest, tile)
            t[lay.SCRATCH] = self._take(threads * max(widest, tile))
        slab_values = plan.slabs * layout.n_updated if training else 0
        require_memory(
            f"a workspace for {plan.rows} rows of these layers takes",
            (self._offset + slab_values) * layout.itemsize,
        )
        self.workspace = self._buffer(lay.BASE, self._offset, dtype)
        if training:
            self._weights = self.workspace[t[lay.WEIGHTS] : t[lay.WEIGHTS] + samples_held]
            self._weights[:] = 1.0
            t[lay.COUNTS] = self._own = int(self._weights.ctypes.data)
            self._counts: NDArray[Any] | None = None  # weights for metrics, where they differ
            self._scaling = self._buffer(lay.SCALING, 4, np.float64)
            self._scaling[:] = 1.0
            self._scaling[lay.LEAST] = np.finfo(dtype).smallest_subnormal
            self._buffer(lay.ROW_LOSS, rows, np.float64)
        self._index: Int64s = np.empty(0, np.int64)
        self._hold_positions(0)
        self._buffer(lay.BARRIER, BARRIER_SIZE, np.int64)
        self.results = self._buffer(lay.RESULTS, lay.R_STATUS + threads, np.float64)
        self.result_cells: Any = memoryview(self.results.data)  # quicker, as `cells` is
        t[lay.THREADS], t[lay.YIELD] = threads, yield_address()
        t[lay.BLOCK], t[lay.SLABS], t[lay.AHEAD] = plan.block, plan.slabs, plan.ahead
        if plan.slabs:
            self._buffer(lay.SLAB_LOSS, 2 * plan.slabs, np.float64)
        t[lay.STOP_ON_NONFINITE] = 1

    @property
    def nbytes(self) -> int:
        """Bytes of the table and its buffers."""
        return int(self.table.nbytes) + sum(int(buffer.nbytes) for buffer in self._keep)

    @property
    def _tiny(self) -> bool:
        """Whether every layer's inputs and outputs fit a vector."""
        vector = lanes(self.layout.itemsize)
        return all(max(layer.n_in, layer.n_out) <= vector for layer in self.layout.layers)

    def run(self, first: int, last: int) -> int:
        """Work on batches `first` ... `last` - 1 by a team of threads; return a status."""
        entry = kernels.run.compiled(self._dtype)
        return Team.run(self.threads, entry, 0.0, self.address, first, last)

    def run_at(self, buffer: NDArray[Any]) -> int:
        """Work on the first batch, with the parameters in that buffer."""
        self.set_parameters(buffer)
        return self.run(0, 1)

    def set_parameters(self, parameters: NDArray[Any]) -> None:
        """Work on that parameter buffer."""
        self.table[lay.PARAMS] = parameters.ctypes.data

    def set_pieces(self, pieces: Records) -> None:
        """Which pieces of the parameters are updated (pieces.py), shared out by size."""
        self._keep.append(pieces)
        sizes = np.cumsum(pieces["length"])
        shares = self._buffer(lay.SHARES, self.threads + 1, np.int64)
        wanted = np.arange(1, self.threads + 1) * (sizes[-1] / self.threads)
        shares[1:] = np.searchsorted(sizes, wanted - 0.5 * pieces["length"].max()) + 1
        shares[-1] = len(pieces)
        self.table[lay.PIECES], self.table[lay.N_PIECES] = pieces.ctypes.data, len(pieces)

    def keep_gradients(self) -> None:
        """Make room for every slab's gradient, or the whole batch's: `gradients`, (1 or more,
        n_updated)."""
        if len(self.gradients):
            return
        n = self.layout.n_updated
        flat = self._buffer(lay.SLAB_G, max(1, self.plan.slabs) * n, self.workspace.dtype)
        self.gradients = flat.reshape(-1, n)

    def set_samples(
        self,
        X: Source,
        y: Source | None = None,
        weights: Source | None = None,
        *,
        weighing: Weighing | None = None,
        batch: int | None = None,
        shuffle_seed: int | None = None,
        dropout_seed: int = 0,
    ) -> None:
        """Point at samples; the caller keeps their arrays alive during kernel calls.

        `weighing` is that of a step where it is None.
        """
        t = self.table
        for which, source in ((lay.X, X), (lay.Y, y), (lay.W, weights)):
            t[which : which + 5] = 0
            if source is not None:
                self._read(which, source)
        t[lay.CLASS_IDS] = y is not None and y.class_ids
        t[lay.LAZY] = lazy = any(s is not None and s.lazy for s in (X, y, weights))
        # A bad value in a memory map ends training at the batch that holds it, and no sooner.
        t[lay.AHEAD] = 1 if lazy else self.plan.ahead
        t[lay.N], t[lay.BATCH] = X.n, X.n if batch is None else min(batch, X.n)
        t[lay.SHUFFLE] = shuffle_seed is not None
        t[lay.SEED] = np.uint64(shuffle_seed or 0).astype(np.int64)
        t[lay.DROPOUT_SEED] = np.uint64(dropout_seed).astype(np.int64)
        t[lay.SPLIT_BITS] = split_bits(X.n)
        self._hold_positions(X.n if shuffle_seed is not None and X.n <= MOST_DRAWN else 0)
        if self.training:
            t[lay.COUNTS], t[lay.M_GATHER] = self._own, 0
            if weights is None:
                self._weights[:] = 1.0
            else:
                self._weigh(weights, weighing or of_step(weights))

    def _read(self, which: int, source: Source) -> None:
        """Point the fields that begin at `which` at a source."""
        self.table[which : which + 5] = (
            source.address,
            source.row_stride,
            source.feature_stride,
            0 if source.offsets is None else source.offsets.ctypes.data,
            READERS[source.kind].address(self._dtype),
        )

    def _weigh(self, weights: Source, weighing: Weighing) -> None:
        """How the loss and, where they go by other weights, the metrics weigh the samples."""
        self._scaling[lay.W_BY], self._scaling[lay.MEAN] = weighing
        if weights.alone is not None and self.table[lay.MEASURE]:
            if self._counts is None:
                self._counts = aligned_zeros(len(self._weights), self.workspace.dtype)
                self._keep.append(self._counts)
            self._read(lay.M, weights.alone)
            self._scaling[lay.M_BY] = of_rows(weights.alone).by
            self.table[lay.COUNTS] = self._counts.ctypes.data

    def blocks(self, rows: int) -> list[NDArray[Any]]:
        """The first rows of every layer's outputs, and of the last one's sums, without padding."""
        t, views = self.table, []
        for index, layer in enumerate(self.layout.layers):
            record = t[lay.HEADER + index * lay.RECORD :][: lay.RECORD]
            wanted = [lay.L_A, lay.L_Z] if layer is self.layout.layers[-1] else [lay.L_A]
            for field in wanted:
                flat = self.workspace[record[field] :][: rows * layer.ld_out]
                views.append(flat.reshape(rows, layer.ld_out)[:, : layer.n_out])
        return views

    def keep(self, field: int, buffer: NDArray[Any]) -> None:
        """Point a field of the table at a buffer."""
        self._keep.append(buffer)
        self.table[field] = buffer.ctypes.data

    def _hold_positions(self, least: int) -> None:
        """Let every thread keep at least so many positions of an epoch, and none as yet."""
        size = max(self.plan.rows * self.plan.ahead, lay.LEAST_POSITIONS, least)
        if size != self.cells[lay.POSITIONS]:
            shape = self.threads, lay.WINDOW.size + size
            if len(self._index) < math.prod(shape):
                self._keep = [kept for kept in self._keep if kept is not self._index]
                self._index = self._buffer(lay.INDEX, math.prod(shape), np.int64)
            held = self._index[: math.prod(shape)].reshape(shape)
            self._position_heads = held[:, : lay.WINDOW.size]
            self.cells[lay.POSITIONS] = size
        self._position_heads[:] = 0

    def _drop(self, record: Int64s, rate: float, size: int, dtype: str) -> None:
        """What a layer's dropout needs, in its record."""
        record[lay.L_X], record[lay.L_KEEP] = self._take(size), self._take(size)
        record[lay.L_DROPOUT] = dropping.dropout.address(dtype)
        threshold = round(rate * 2**32)
        held = np.array([1.0 / (1.0 - rate), threshold >> 16, threshold & 0xFFFF], dtype)
        self._keep.append(held)
        record[lay.L_DROPOUT_PARAMETERS] = held.ctypes.data

    def _take(self, n: int) -> int:
        """A place for n values in the workspace, at a cache line's boundary."""
        offset = self._offset
        self._offset += lay.round_up(n, lay.ALIGNMENT // self.layout.itemsize)
        return offset

    def _buffer(self, field: int, n: int, dtype: Any) -> NDArray[Any]:
        buffer = aligned_zeros(n, dtype)
        self.keep(field, buffer)
        return buffer
