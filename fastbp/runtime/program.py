"""A layout table and the buffers that it points at: what one kernel call works on.

The table's fields are named in kernels/layout.py, and written here and in workspace.py alone. A
program is built for one network's parameters, one use and one greatest number of rows at a time,
and allocates all that it needs then.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Source
from fastbp.data.weighing import Weighing, of_rows, of_step
from fastbp.kernels import epoch as kernels
from fastbp.kernels import layout as lay
from fastbp.kernels import online, passes, refine, samples
from fastbp.kernels import pieces as updating
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.records import Fields
from fastbp.kernels.compiling.target import lanes
from fastbp.kernels.compiling.threads import BARRIER_SIZE, yield_address
from fastbp.kernels.gather import READERS
from fastbp.kernels.maths import matmul
from fastbp.kernels.maths.rng import MOST_DRAWN, split_bits
from fastbp.runtime.crowding import CROWD
from fastbp.runtime.memory import Int64s, Records, aligned_zeros
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.parts import Measurement, Objective, Refinement, Update
from fastbp.runtime.pieces import in_cache_order
from fastbp.runtime.plan import Plan
from fastbp.runtime.team import Team
from fastbp.runtime.workspace import Workspace, tile_of

Array = NDArray[Any]

#: places in `Program.cells`, for who can't wait for a method: how many samples there are, and the
#: address of the parameters
SAMPLES, PARAMETERS = lay.HEADER.fields["n_samples"], lay.HEADER.fields["parameters"]
# Those that are written for every epoch.
_EPOCH, _UPDATES_BEFORE = lay.HEADER.fields["epoch"], lay.HEADER.fields["updates_before"]
_RATES, _RATE_STRIDE = lay.HEADER.fields["rates"], lay.HEADER.fields["rate_stride"]
_ANY = 2**62  # batches


class Program:
    """Buffers and table for one use of a network.

    Parameters
    ----------
    parameters : Parameters
        A network's: read for their layout; their buffer is what the kernels work on at first.
    plan : Plan
        How batches are worked on.
    threads : int
        How many threads will enter the kernels together.
    mode : int or None
        What is done with samples and their targets: MODE_TRAIN, which drops outputs as the layers'
        `dropout` says, MODE_GRADIENTS or MODE_EVALUATE (kernels/layout.py); None only predicts.
    objective : Objective or None
        What is minimised; None where only derivatives by the outputs are handed in.
    update : Update or None
        What is done with gradients, in MODE_TRAIN.
    refinement : Refinement or None
        What is done beside the update; None is nothing.
    measurement : Measurement or None
        Metrics that are taken, if any.
    sums : bool
        Whether every layer's weighted sums are kept beside its outputs, for those who look at them.
    adapts : bool
        Whether fewer threads may be at work while the processors have others' work to do.

    Attributes
    ----------
    adapts : bool
        As given; may be set between calls.
    address : int
        Of the table: what a kernel is handed.
    header : Fields
        The table's HEADER (kernels/layout.py).
    layers : list of Fields
        Its LAYER for each layer.
    cells : memoryview
        The whole table, quicker for single values.
    workspace : Workspace
        Where the values of samples stand, and what kernels have left there.
    results : ndarray of float64
        The figures that kernels leave behind (R_ERROR ... in kernels/layout.py).
    result_cells : memoryview
        The same, quicker for single values.
    gradients : ndarray
        Every slab's gradient, or the whole batch's, a row each; no rows where they aren't kept.
    """

    _index: Int64s  # positions of an epoch, some for each thread
    _scaling: NDArray[np.float64]
    _counts: Array | None  # weights for metrics, where they differ from those of the loss

    def __init__(
        self,
        parameters: Parameters,
        plan: Plan,
        threads: int,
        *,
        mode: int | None = None,
        objective: Objective | None = None,
        update: Update | None = None,
        refinement: Refinement | None = None,
        measurement: Measurement | None = None,
        sums: bool = False,
        adapts: bool = False,
    ) -> None:
        layout, dtype = parameters.layout, parameters.dtype
        self.plan, self.threads, self.adapts = plan, threads, adapts
        self._at_work, self._pace = threads, math.inf  # the team's size, seconds a batch
        self._parameters, self._layout, self._dtype = parameters, layout, dtype
        self._targeted = mode is not None
        self._learns = mode in (lay.MODE_TRAIN, lay.MODE_GRADIENTS)
        self._kept: list[Any] = []
        head, layer_size = lay.HEADER.size, lay.LAYER.size
        self.table: Int64s = aligned_zeros(head + len(layout.layers) * layer_size, np.int64)
        self.address = int(self.table.ctypes.data)
        self.cells: memoryview[int] = memoryview(self.table.data)
        self.header = Fields(lay.HEADER, self.cells)
        self.layers = [
            Fields(lay.LAYER, self.cells[head + index * layer_size :])
            for index in range(len(layout.layers))
        ]
        self._sources: dict[str, Fields] = {}  # of the header, by name
        self.gradients: Array = np.empty((0, layout.n_updated), dtype)
        if mode is not None:
            self.header["mode"] = mode
        self._describe()
        self.set_parameters(parameters.buffer)
        self.workspace = Workspace(
            self.header, self.layers, parameters, plan, threads,
            targeted=self._targeted, drops=mode == lay.MODE_TRAIN, sums=sums,
        )  # fmt: skip
        self._choose_kernels(refinement)
        self._allocate()
        if self._targeted:
            pieces = parameters.pieces if refinement is None else refinement.pieces
            self._allocate_targeted()
            self._share_out(pieces)
            self._open_short_ways(update, refinement, len(pieces) == len(parameters.pieces))
        if objective is not None:
            self._minimise(objective)
        if update is not None:
            self._update_by(update)
        if refinement is not None:
            self._refine(refinement)
        if measurement is not None:
            self._measure(measurement)

    @property
    def nbytes(self) -> int:
        """Bytes of the table and its buffers."""
        own = sum(int(buffer.nbytes) for buffer in self._kept)
        return int(self.table.nbytes) + self.workspace.nbytes + own

    # -- what a call works on ----------------------------------------------------------------------

    def run(self, first: int, last: int) -> int:
        """Work on batches `first` ... `last` - 1 by a team of threads; return a status."""
        if self.threads == 1:
            return Team.run(1, kernels.run.compiled(self._dtype), 0.0, self.address, first, last)
        started = time.perf_counter()
        status = self.enter(kernels.run, first, last)
        self._pace = (time.perf_counter() - started) / max(1, last - first)
        return status

    def enter(self, kernel: jit.Entry, *arguments: int) -> int:
        """Call a kernel on this table by a team of threads; return its status.

        Where `adapts` is set, by a smaller one while the processors have others' work to do.
        """
        entry = kernel.compiled(self._dtype)
        threads = CROWD.how_many(self.threads) if self.adapts else self.threads
        if threads != self._at_work:
            self._share_among(threads)
        run = Team.run_watched if self.adapts else Team.run
        return run(threads, entry, 0.0, self.address, *arguments)

    @property
    def most_batches(self) -> int:
        """Batches that a call should have at most, so that the size of the team can be tried."""
        if self.threads == 1 or not self.adapts:
            return _ANY
        seconds = CROWD.within(self.threads)
        return _ANY if seconds == math.inf else max(1, int(seconds / max(self._pace, 1e-9)))

    def run_at(self, buffer: Array) -> int:
        """Work on the first batch, with the parameters in that buffer."""
        self.set_parameters(buffer)
        return self.run(0, 1)

    def set_parameters(self, buffer: Array) -> None:
        """Have kernels work on this buffer of parameters."""
        self.header["parameters"] = buffer.ctypes.data

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
        checked: bool = True,
    ) -> None:
        """Have kernels read these samples; the caller keeps their arrays alive during kernel calls.

        `weighing` is that of a step where it is None. Samples that aren't `checked` yet are looked
        at as they are read.
        """
        for name, source in (("x", X), ("y", y), ("w", weights)):
            self._read(name, source)
        lazy = not checked or any(s is not None and s.lazy for s in (X, y, weights))
        self.header.write(
            class_ids=y is not None and y.class_ids,
            lazy=lazy,
            # A bad value in a memory map ends training at the batch that holds it, and no sooner.
            batches_ahead=1 if lazy else self.plan.ahead,
            n_samples=X.n,
            batch_size=X.n if batch is None else min(batch, X.n),
            shuffle=shuffle_seed is not None,
            seed=_signed(shuffle_seed or 0),
            dropout_seed=_signed(dropout_seed),
            split_bits=split_bits(X.n),
        )
        self._hold_positions(X.n if shuffle_seed is not None and X.n <= MOST_DRAWN else 0)
        if self._targeted:
            self.header["metric_weights"] = self._own_weights
            self._read("m", None)
            if weights is None:
                self._weights[:] = 1.0
            else:
                self._weigh(weights, weighing or of_step(weights))

    def set_dropout_seed(self, seed: int) -> None:
        """Have dropout's masks drawn by this seed."""
        self.header["dropout_seed"] = _signed(seed)

    def set_rates(self, rates: NDArray[np.float64], by_step: bool) -> None:
        """Read the learning rate there at each update: one value for all, or one for each.

        The caller keeps the array alive.
        """
        self.cells[_RATES], self.cells[_RATE_STRIDE] = rates.ctypes.data, by_step

    def begin(self, epoch: int, updates: int) -> None:
        """Begin in this epoch, after so many updates: orders and dropout's masks go by these."""
        self.cells[_EPOCH], self.cells[_UPDATES_BEFORE] = epoch, updates

    def _read(self, name: str, source: Source | None) -> None:
        """Point the record SOURCE of that name at a source, or have nothing read."""
        if name not in self._sources:
            self._sources[name] = self.header.nested(name)
        if source is None:
            self._sources[name]["call_gather"] = 0
            return
        self._sources[name].write(
            address=source.address,
            row_stride=source.row_stride,
            feature_stride=source.feature_stride,
            offsets=0 if source.offsets is None else source.offsets.ctypes.data,
            call_gather=READERS[source.kind].address(self._dtype),
        )

    def _weigh(self, weights: Source, weighing: Weighing) -> None:
        """How the loss and, where they go by other weights, the metrics weigh the samples."""
        self._scaling[lay.W_BY], self._scaling[lay.MEAN] = weighing
        if weights.alone is not None and self.header["measures"]:
            if self._counts is None:
                self._counts = aligned_zeros(len(self._weights), self._dtype)
                self._kept.append(self._counts)
            self._read("m", weights.alone)
            self._scaling[lay.M_BY] = of_rows(weights.alone).by
            self.header["metric_weights"] = self._counts.ctypes.data

    def _hold_positions(self, least: int) -> None:
        """Let every thread keep at least so many positions of an epoch, and none as yet."""
        size = max(self.plan.rows * self.plan.ahead, lay.LEAST_POSITIONS, least)
        if size != self.header["positions_kept"]:
            shape = self.threads, lay.WINDOW.size + size
            if len(self._index) < math.prod(shape):
                self._kept = [kept for kept in self._kept if kept is not self._index]
                self._index = self._buffer("index", math.prod(shape), np.int64)
            held = self._index[: math.prod(shape)].reshape(shape)
            self._position_heads = held[:, : lay.WINDOW.size]
            self.header["positions_kept"] = size
        self._position_heads[:] = 0

    # -- how the table is made ---------------------------------------------------------------------

    def _describe(self) -> None:
        """Write the network's sizes, and those of the plan, into the table."""
        layout, plan = self._layout, self.plan
        first, last = layout.layers[0], layout.layers[-1]
        self.header.write(
            n_layers=len(layout.layers),
            n_inputs=first.n_in,
            n_outputs=last.n_out,
            ld_inputs=first.ld_in,
            ld_targets=last.ld_out,
            zeros=layout.zeros,
            n_updated=layout.n_updated,
            threads=self.threads,
            call_yield=yield_address(),
            rows_per_block=plan.block,
            slabs=plan.slabs,
            batches_ahead=plan.ahead,
        )

    def _allocate(self) -> None:
        """Allocate what every use needs beside the workspace."""
        self._index = np.empty(0, np.int64)
        self._hold_positions(0)
        self._buffer("barrier", BARRIER_SIZE, np.int64)
        self.results = self._buffer("results", lay.R_STATUS + self.threads, np.float64)
        self.result_cells: Any = memoryview(self.results.data)
        if self.plan.slabs:
            self._buffer("slab_errors", 2 * self.plan.slabs, np.float64)

    def _allocate_targeted(self) -> None:
        """Allocate what samples with targets need: their weights, and the errors of rows."""
        t = self.header
        self._weights = self.workspace.weights
        t["metric_weights"] = self._own_weights = int(self._weights.ctypes.data)
        self._counts = None
        self._scaling = self._buffer("scaling", 4, np.float64)
        self._scaling[:] = 1.0
        self._scaling[lay.LEAST] = np.finfo(self._dtype).smallest_subnormal
        self._buffer("row_errors", self.plan.rows, np.float64)
        if self._learns and self.plan.slabs:
            self._keep_gradients()

    def _keep_gradients(self) -> None:
        if not len(self.gradients):
            n = self._layout.n_updated
            flat = self._buffer("slab_gradients", max(1, self.plan.slabs) * n, self._dtype)
            self.gradients = flat.reshape(-1, n)

    def _share_out(self, pieces: Records) -> None:
        """Have these pieces of the parameters updated, shared out among threads by size."""
        t = self.header
        t["lowest_layer"] = pieces[0]["layer"]
        if not self.plan.slabs:
            pieces = in_cache_order(pieces, self._layout, self.plan.rows)
        sizes = np.cumsum(pieces["length"])
        self._ends, self._slack = sizes, 0.5 * pieces["length"].max()
        self._shares = self._buffer("shares", self.threads + 1, np.int64)
        t["pieces"], t["n_pieces"] = self._hold(pieces), len(pieces)
        self._share_among(self.threads)

    def _share_among(self, threads: int) -> None:
        """Have a team of so many enter the kernels: the buffers are large enough for `threads`."""
        self._at_work = 0  # an interrupt may come in between
        if self._targeted:
            wanted = np.arange(1, threads + 1) * (self._ends[-1] / threads)
            self._shares[1 : threads + 1] = np.searchsorted(self._ends, wanted - self._slack) + 1
            self._shares[threads] = len(self._ends)
        self.header["threads"] = threads
        self._at_work = threads

    def _choose_kernels(self, refinement: Refinement | None) -> None:
        """Write the addresses of kernels that are needed; each takes its time to compile."""
        whole, slabs = self._learns and not self.plan.slabs, self._learns and self.plan.slabs > 0
        clipped = refinement is not None and refinement.clipped
        for field, function, wanted in (
            ("call_tiles", matmul.tiles, True),
            ("call_dots", matmul.dots, any(layer.narrow for layer in self._layout.layers)),
            ("call_transpose", matmul.transpose, self._learns),
            ("call_read_rows", samples.read_rows, True),
            ("call_passes", passes.passes, True),
            ("call_gradients", updating.gradients, slabs),
            ("call_train_pieces", updating.train_pieces, whole and not clipped),
            ("call_train_pieces", refine.form_pieces, clipped),
            ("call_update_piece", updating.update_piece, slabs),
        ):
            if wanted:
                self.header[field] = function.address(self._dtype)

    def _open_short_ways(
        self, update: Update | None, refinement: Refinement | None, all_trained: bool
    ) -> None:
        """Write which of the ways for small networks and single samples may be taken.

        All parameters may be updated as one run; small batches of a tiny network done without the
        general passes; weights updated by one sample's gradient as it is formed.
        """
        t, plan, vector = self.header, self.plan, lanes(self._layout.itemsize)
        t["merged"] = merged = all_trained and self._layout.n_updated <= tile_of(self._layout)
        if update is None:
            return
        refined = refinement is not None and refinement.refined
        bounded = refinement is not None and refinement.bounded
        few = plan.ahead > 1 and plan.rows <= online.MOST_ROWS
        tiny = all(max(layer.n_in, layer.n_out) <= vector for layer in self._layout.layers)
        drops = any(dense.dropout for dense in self._parameters.layers)
        if merged and few and tiny and not (drops or refined or bounded):
            t["call_online"] = online.online.address(self._dtype)
        if update.kernels.outer is not None and plan.rows == 1 and not refined:
            t["call_outer"] = update.kernels.outer.address(self._dtype)

    # -- what it is made for -----------------------------------------------------------------------

    def _minimise(self, objective: Objective) -> None:
        t, self._objective = self.header, objective
        t["call_loss"] = objective.loss.kernel.address(self._dtype)
        t["loss_settings"] = objective.settings.ctypes.data
        t["fused_loss"] = objective.loss.requires is not None

    def _update_by(self, update: Update) -> None:
        t, self._update = self.header, update
        assert update.kernels.kernel is not None
        t["call_update"] = update.kernels.kernel.address(self._dtype)
        if update.kernels.prepare is not None:
            t["call_prepare"] = update.kernels.prepare.address(self._dtype)
        for which, slot in enumerate(update.slots):
            t[f"slot{which}"] = slot.ctypes.data
        t["hyper"], t["stop_on_nonfinite"] = update.hyper.ctypes.data, update.stops

    def _refine(self, refinement: Refinement) -> None:
        t = self.header
        if refinement.refined or refinement.bounded:
            t["refine_settings"] = self._hold(refinement.settings)
        if refinement.refined:
            t["call_refine"] = refine.refine.address(self._dtype)
        if refinement.clipped:
            self._buffer("norms", len(refinement.pieces), np.float64)
            self._keep_gradients()
            t["call_clip"] = refine.clip_pieces.address(self._dtype)
        if refinement.bounded:
            t["call_constrain"] = refine.constrain.address(self._dtype)

    def _measure(self, measurement: Measurement) -> None:
        t, slabs = self.header, max(1, self.plan.slabs)
        t["measures"], t["measured"] = map(self._hold, measurement)
        self._buffer("slab_measured", slabs * len(measurement.sums), np.float64)

    # -- buffers -----------------------------------------------------------------------------------

    def _hold(self, buffer: Array) -> int:
        """Keep a buffer as long as the program lives; return its address."""
        self._kept.append(buffer)
        return int(buffer.ctypes.data)

    def _buffer(self, field: str, n: int, dtype: Any) -> Array:
        """Allocate n zeros that a field of the table points at."""
        buffer = aligned_zeros(n, dtype)
        self.header[field] = self._hold(buffer)
        return buffer


def _signed(seed: int) -> int:
    """An unsigned number of 64 bits as the signed one of the same bits."""
    return seed - (1 << 64) if seed >> 63 else seed
