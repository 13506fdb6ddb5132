"""What a trainer owns beside the network: optimizer slots, programs, and how to run them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Samples
from fastbp.data.weighing import of_rows
from fastbp.ffi import states
from fastbp.kernels import epoch as kernels
from fastbp.kernels import layout as lay
from fastbp.kernels.updates.hyper import HYPER_SIZE, LEARNING_RATE, OWN, STATE
from fastbp.objectives.losses import Loss
from fastbp.objectives.metrics import Metric
from fastbp.optimizers import Optimizer
from fastbp.runtime.memory import aligned_zeros, require_memory
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.plan import Plan
from fastbp.runtime.program import Program
from fastbp.runtime.team import Team, Threads, resolve_threads
from fastbp.training.measuring import Measuring
from fastbp.training.rates import STEPS, Rates
from fastbp.training.refining import Refining
from fastbp.training.snapshot import STEP_SECONDS, STEP_SHARE, Snapshot

Array = NDArray[Any]


class Engine:
    """Programs for one network's parameters, loss and optimizer, made when first needed.

    Parameters
    ----------
    stop_on_nonfinite : bool
        Whether a batch whose loss is not finite ends a run, before its update.
    refining : Refining
        What is done beside the optimizer.
    metrics : tuple of Metric
        What is taken beside the loss.
    """

    def __init__(
        self,
        parameters: Parameters,
        loss: Loss,
        optimizer: Optimizer,
        n_threads: Threads,
        stop_on_nonfinite: bool,
        refining: Refining,
        metrics: tuple[Metric, ...],
    ) -> None:
        self.parameters, self.n_threads, self._refining = parameters, n_threads, refining
        self._metrics = metrics
        self.measuring: dict[str, Measuring] = {}  # of the programs in use
        self.stop_on_nonfinite = stop_on_nonfinite
        self._loss, self._update = loss._kernel, optimizer._update()
        self._loss_parameters = np.array(loss._parameters(), parameters.dtype)
        self._programs: dict[str, tuple[tuple[Plan, int], Program]] = {}
        size = parameters.layout.n_updated
        require_memory(
            f"optimizer: {type(optimizer).__name__}'s state takes",
            size * self._update.slots * np.dtype(parameters.dtype).itemsize,
        )
        self.slots: list[Array] = [
            aligned_zeros(size, parameters.dtype) for _ in range(self._update.slots)
        ]
        for slot, start in zip(self.slots, optimizer._starts(), strict=False):
            slot[:] = start
        self.hyper: NDArray[np.float64] = aligned_zeros(HYPER_SIZE, np.float64)
        constants = optimizer._constants()
        self.hyper[OWN : OWN + len(constants)] = constants
        self.hyper[STATE : STATE + len(self._update.state)] = self._update.state
        self.rates = Rates(optimizer.learning_rate)
        self._snapshot: Snapshot | None = None
        self._step_waits = 0, 1, 0.0  # for steps by so many rows (`Snapshot.waits`)

    @property
    def nbytes(self) -> int:
        """Bytes of slots and programs."""
        own: list[Array | Rates | Snapshot] = [*self.slots, self.hyper, self.rates]
        if self._snapshot is not None:
            own.append(self._snapshot)
        programs = sum(program.nbytes for _, program in self._programs.values())
        return programs + sum(buffer.nbytes for buffer in own)

    @property
    def last_rate(self) -> float:
        """The learning rate of the last update."""
        return float(self.hyper[LEARNING_RATE])

    @property
    def snapshot(self) -> Snapshot:
        """Of the parameters and all that an update changes beside them; made when first needed."""
        if self._snapshot is None:
            self._snapshot = Snapshot(self.parameters, [*self.slots, self.hyper])
        return self._snapshot

    def train(self, program: Program, first: int, last: int) -> int:
        """Updates by batches `first` ... `last` - 1; a status of kernels/layout.py."""
        snapshot, live, results = self._snapshot, self.rates.cells, program.result_cells
        before, worked, status = results[lay.R_UPDATES], results[lay.R_BATCHES], lay.OK
        try:
            status = self.parameters.change(self.run, program, first, last)
        finally:  # interrupts come after calls and jumps, of which there are none here
            made = results[lay.R_UPDATES] - before
            live[STEPS] += made
            if snapshot is not None and results[lay.R_BATCHES] > worked:
                snapshot.since += made
                snapshot.seen += 1  # an interrupt before leaves a change that is taken for others'
        return status

    def run(self, program: Program, first: int, last: int) -> int:
        """Batches `first` ... `last` - 1 by a team of threads; a status of kernels/layout.py."""
        entry, address = kernels.run.compiled(self.parameters.dtype), program.address
        return Team.run(program.threads, entry, 0.0, address, first, last)

    def run_at(self, buffer: Array, program: Program) -> int:
        """The first batch, with the parameters in that buffer; a status of kernels/layout.py."""
        program.set_parameters(buffer)
        return self.run(program, 0, 1)

    def before_step(self) -> None:
        """Keep weights that somebody has set, or a fit has come to."""
        snapshot = self.snapshot
        if not self.parameters.unchanged_since(snapshot.seen):
            snapshot.take((self.rates.epochs, 0))

    def after_step(self, rows: int) -> bool:
        """Whether a step by so many rows has left finite weights; they are kept where it is time.

        Only where a copy would take long, as with many weights and few rows, is not each kept.
        """
        snapshot, (known, most, share) = self.snapshot, self._step_waits
        if known != rows:
            most, share = snapshot.waits(rows, 1, STEP_SECONDS, STEP_SHARE)
            self._step_waits = rows, most, share
        if snapshot.since >= min(most, share * self.rates.steps):
            return snapshot.take((self.rates.epochs, 0))
        return snapshot.finite()

    def training(self, rows: int) -> Program:
        """The program for updates by batches of `rows`."""
        threads = resolve_threads(self.n_threads, self._flops(rows))
        plan = Plan.for_training(self.parameters.layout, rows, threads)
        program = self._program("training", lay.MODE_TRAIN, plan, threads)
        program.set_parameters(self.parameters.buffer)
        return program

    def gradients(self, rows: int) -> Program:
        """The program that leaves the gradient of a batch of `rows` in `Program.gradients[0]`."""
        threads = resolve_threads(self.n_threads, self._flops(rows))
        plan = Plan.in_slabs(self.parameters.layout, rows, threads, lay.TRAINING_SLABS)
        return self._program("gradients", lay.MODE_GRADIENTS, plan, threads)

    def evaluate(self, samples: Samples) -> tuple[int, Program]:
        """Run all samples forward; the status, and the program whose results hold the loss."""
        n = samples[0].n
        threads = resolve_threads(self.n_threads, self._flops(n) / 3.0)
        plan = Plan.in_slabs(self.parameters.layout, n, threads, lay.EVALUATION_SLABS)
        program = self._program("evaluation", lay.MODE_EVALUATE, plan, threads)
        weights = samples[2]
        program.set_samples(*samples, weighing=None if weights is None else of_rows(weights))
        self.measuring["evaluation"].begin(samples)
        return self.parameters.read(self.run_at, program), program

    def separate(self, mode: int, plan: Plan, *, sums: bool = False) -> Program:
        """A program for one thread, that is handed to nobody else."""
        program = self._program("separate", mode, plan, 1, sums=sums)
        del self._programs["separate"]
        return program

    def compiled(self, rows: int, seed: int) -> states.State:
        """A state for compiled code that updates by at most so many rows; `seed` is dropout's."""
        parameters, live = self.parameters, self.rates.live
        made: list[Program] = []
        derivatives = self.separate(lay.MODE_GRADIENTS, states.greatest_block(parameters))
        for most in (1, rows):
            block = Plan.block_of(parameters.layout, most)
            # Rows stand in the workspace when a batch begins, as those that are read ahead do.
            program = self.separate(lay.MODE_TRAIN, Plan(0, block, most, ahead=2))
            table = program.table
            table[lay.DROPOUT_SEED] = np.uint64(seed).astype(np.int64)
            table[lay.RATES], table[lay.RATE_STRIDE] = live.ctypes.data, 0
            made.append(program)
        step, batch = made
        return states.of_training(parameters, derivatives, step, batch, live, self)

    def _program(
        self, use: str, mode: int, plan: Plan, threads: int, *, sums: bool = False
    ) -> Program:
        """The last program of that use if it fits, else a new one in its place."""
        key, program = self._programs.get(use, (None, None))
        if program is not None and key == (plan, threads):
            return program
        parameters, dtype = self.parameters, self.parameters.dtype
        training = mode == lay.MODE_TRAIN
        program = Program(
            parameters, plan, threads, training=True, dropout=training,
            gradients=mode != lay.MODE_EVALUATE, sums=sums,
        )  # fmt: skip
        t = program.table
        t[lay.MODE] = mode
        t[lay.LOSS] = self._loss.kernel.address(dtype)
        t[lay.LOSS_PARAMETERS] = self._loss_parameters.ctypes.data
        t[lay.FUSED_LOSS] = self._loss.requires is not None
        t[lay.STOP_ON_NONFINITE] = training and self.stop_on_nonfinite
        if mode != lay.MODE_EVALUATE and plan.slabs:
            program.keep_gradients()
        if training:
            assert self._update.kernel is not None
            t[lay.UPDATE] = self._update.kernel.address(dtype)
            if self._update.outer is not None and plan.rows == 1:
                t[lay.OUTER] = self._update.outer.address(dtype)
            if self._update.prepare is not None:
                t[lay.PREPARE] = self._update.prepare.address(dtype)
            for which, slot in enumerate(self.slots):
                t[lay.SLOT0 + which] = slot.ctypes.data
            t[lay.HYPER] = self.hyper.ctypes.data
        self._refining.install(program, dtype, training=training)
        if use in ("training", "evaluation"):
            taken = tuple(m for m in self._metrics if not (training and m._whole))
            self.measuring[use] = Measuring(parameters, taken, program)
        self._programs[use] = (plan, threads), program
        return program

    def _flops(self, rows: int) -> float:
        """Floating-point operations of an update by that many rows, about."""
        return 6.0 * rows * sum(at.n_in * at.n_out for at in self.parameters.layout.layers)
