"""What makes a trainer's updates: optimizer slots, learning rate, programs, and how to run them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import real
from fastbp.data.inputs import Samples
from fastbp.data.weighing import of_rows
from fastbp.ffi import states
from fastbp.files.container import check_array
from fastbp.kernels import layout as lay
from fastbp.kernels.updates.hyper import HYPER_SIZE, LEARNING_RATE, OWN, STATE, STEPS
from fastbp.layers.dense import shapes
from fastbp.runtime.memory import aligned_zeros, require_memory
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.parts import Objective, Update
from fastbp.runtime.plan import Plan
from fastbp.runtime.program import Program
from fastbp.runtime.team import resolve_threads
from fastbp.training.measuring import Measuring, Taken, completed
from fastbp.training.rates import Rates
from fastbp.training.refining import Refining
from fastbp.training.settings import Settings
from fastbp.training.snapshot import STEP_SECONDS, STEP_SHARE, Snapshot
from fastbp.training.status import DivergenceError, check

Array = NDArray[Any]


class Engine:
    """Programs for one network's parameters, made when first needed, and what updates change.

    Parameters
    ----------
    parameters : Parameters
        What is trained.
    settings : Settings
        How.

    Attributes
    ----------
    slots : list of ndarray
        The optimizer's, one value a parameter each.
    hyper : ndarray
        The optimizer's constants and scalar state (kernels/updates/hyper.py).
    rates : Rates
        The learning rate, and the counts of updates and epochs.
    measuring : dict
        The metrics of the programs in use, "training" and "evaluation", and those beside it.
    """

    def __init__(self, parameters: Parameters, settings: Settings) -> None:
        self.parameters, self.settings = parameters, settings
        clip_value, clip_norm = settings.clip_value, settings.clip_norm
        self._refining = Refining(
            parameters,
            math.inf if clip_value is None else clip_value,
            math.inf if clip_norm is None else clip_norm,
        )
        self.measuring: dict[str, Measuring] = {}
        # Whether a batch whose loss is not finite ends a run, before its update.
        self._stops_on_nonfinite = settings.on_divergence != "ignore"
        loss, optimizer = settings.loss, settings.optimizer
        self._objective = Objective(loss._kernel, loss._record(parameters.dtype))
        self._update = optimizer._update()
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
            status = self.parameters.change(program.run, first, last)
        finally:
            try:  # interrupts come after calls and jumps, of which there are none here
                made = results[lay.R_UPDATES] - before
                live[STEPS] += made
                if snapshot is not None and results[lay.R_BATCHES] > worked:
                    snapshot.since += made
                    # An interrupt before leaves a change that is taken for others'.
                    snapshot.seen += 1
            finally:
                pass  # and not where the `finally` begins either (runtime/locks.py)
        return status

    def update(self, samples: Samples) -> float:
        """Make one update by all of these samples; return the error before it.

        Raises
        ------
        DivergenceError
            The loss is not finite, or the update has left a weight that is not; nothing has
            changed, or the network is as it was at the last snapshot.
        """
        rows = samples[0].n
        program = self.training(rows)
        program.set_samples(*samples, dropout_seed=self.settings.seed)
        self.rates.write(1)
        program.begin(self.rates.passes, self.rates.steps)
        if self._stops_on_nonfinite:
            self._before_step()
        status = self.train(program, 0, 1)
        if status:
            check(status, program.results, self.parameters.dtype)
        if self._stops_on_nonfinite and not self._after_step(rows):
            self._go_back()
        return float(program.result_cells[lay.R_LAST_ERROR])

    def _before_step(self) -> None:
        """Keep weights that somebody has set, or a fit has come to."""
        snapshot = self.snapshot
        if not self.parameters.unchanged_since(snapshot.seen):
            snapshot.take((self.rates.passes, 0))

    def _after_step(self, rows: int) -> bool:
        """Whether a step by so many rows has left finite weights; they are kept where it is time.

        Only where a copy would take long, as with many weights and few rows, is not each kept.
        """
        snapshot, (known, most, share) = self.snapshot, self._step_waits
        if known != rows:
            most, share = snapshot.waits(rows, 1, STEP_SECONDS, STEP_SHARE)
            self._step_waits = rows, most, share
        if snapshot.since >= min(most, share * self.rates.steps):
            return snapshot.take((self.rates.passes, 0))
        return snapshot.finite()

    def _go_back(self) -> None:
        """After a step that has left a weight that is not finite."""
        snapshot, rates = self.snapshot, self.rates
        made = int(snapshot.since)
        snapshot.restore()
        rates.steps -= made
        raise DivergenceError(
            "a weight became infinite or NaN by this update; a lower learning_rate may help. "
            f"The network is as it was {'' if made == 1 else f'{made} updates '}before it"
        )

    def training(self, rows: int) -> Program:
        """The program for updates by batches of `rows`."""
        threads = resolve_threads(self.settings.n_threads, self.flops(rows))
        plan = Plan.for_training(self.parameters.layout, rows, threads)
        program = self.program("training", lay.MODE_TRAIN, plan, threads)
        program.set_parameters(self.parameters.buffer)
        return program

    def gradients(self, samples: Samples) -> tuple[float, list[Array]]:
        """Return the error of all of these samples as one batch, and its gradients."""
        rows, parameters = samples[0].n, self.parameters
        threads = resolve_threads(self.settings.n_threads, self.flops(rows))
        plan = Plan.in_slabs(parameters.layout, rows, threads, lay.TRAINING_SLABS)
        program = self.program("gradients", lay.MODE_GRADIENTS, plan, threads)
        program.set_samples(*samples)
        check(parameters.read(program.run_at), program.results, parameters.dtype)
        loss = float(program.results[lay.R_LAST_ERROR])
        return loss, parameters.unpack(program.gradients[0])

    def evaluate(self, samples: Samples, use: str = "evaluation") -> Taken:
        """Run all samples forward; return the loss and the metrics.

        Who does so again and again, beside others, has a use of its own, "evaluation ...": another
        number of samples may take other buffers.
        """
        n, weights, parameters = samples[0].n, samples[2], self.parameters
        threads = resolve_threads(self.settings.n_threads, self.flops(n) / 3.0)
        plan = Plan.in_slabs(parameters.layout, n, threads, lay.EVALUATION_SLABS)
        program = self.program(use, lay.MODE_EVALUATE, plan, threads)
        program.set_samples(*samples, weighing=None if weights is None else of_rows(weights))
        measuring = self.measuring[use]
        measuring.begin(samples)
        check(parameters.read(program.run_at), program.results, parameters.dtype)
        return {"loss": float(program.results[lay.R_LAST_ERROR]), **measuring.figures(samples)}

    def validate(self, sets: dict[str, Samples]) -> dict[str, float]:
        """Return the figures of all sets by their names in `History`, the first set's loss first.

        Each set has its own buffers, which it finds again after the next epoch.
        """
        found: dict[str, float] = {}
        for which, (name, samples) in enumerate(sets.items()):
            taken = self.evaluate(samples, f"evaluation {which}" if which else "evaluation")
            for figure, value in completed(taken).items():
                found[f"{name}_{figure}"] = value
        return found

    def compiled(self, rows: int) -> states.State:
        """Return a state for compiled code, by which it updates by at most so many rows."""
        seed = self.settings.seed
        parameters, live = self.parameters, self.rates.live
        made: list[Program] = []
        derivatives = self.separate(lay.MODE_GRADIENTS, states.greatest_block(parameters))
        for most in (1, rows):
            block = Plan.block_of(parameters.layout, most)
            # Rows stand in the workspace when a batch begins, as those that are read ahead do.
            program = self.separate(lay.MODE_TRAIN, Plan(0, block, most, ahead=2))
            program.set_dropout_seed(seed)
            program.set_rates(live, by_step=False)
            made.append(program)
        step, batch = made
        return states.of_training(parameters, derivatives, step, batch, live, self)

    def separate(self, mode: int, plan: Plan, *, sums: bool = False) -> Program:
        """Return a program for one thread, that is handed to nobody else."""
        program = self.program("separate", mode, plan, 1, sums=sums)
        del self._programs["separate"]
        return program

    def program(
        self,
        use: str,
        mode: int,
        plan: Plan,
        threads: int,
        *,
        sums: bool = False,
        trained: bool = False,
    ) -> Program:
        """The last program of that use if it fits, else a new one in its place.

        Metrics are taken by those for "training" and "evaluation". One that only forms gradients
        forms those of all parameters, or of what is `trained` alone.
        """
        key, program = self._programs.get(use, (None, None))
        if program is not None and key == (plan, threads):
            return program
        training, measuring = mode == lay.MODE_TRAIN, None
        if use == "training" or use.startswith("evaluation"):
            taken = tuple(m for m in self.settings.metrics if not (training and m._whole))
            measuring = Measuring(self.parameters, taken)
        program = Program(
            self.parameters, plan, threads, mode=mode, objective=self._objective,
            update=self._updating() if training else None,
            refinement=self._refining.refinement(training=training, trained=trained),
            measurement=None if measuring is None else measuring.measurement,
            sums=sums, adapts=self.settings.n_threads == "auto",
        )  # fmt: skip
        if training:
            program.set_rates(self.rates.buffer, self.rates.by_step)
        if measuring is not None:
            self.measuring[use] = measuring
        self._programs[use] = (plan, threads), program
        return program

    def _updating(self) -> Update:
        return Update(self._update, self.slots, self.hyper, self._stops_on_nonfinite)

    # -- states ------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return a copy of slots, hyper and rates."""
        return {
            "slots": [self.parameters.unpack(slot) for slot in self.slots],
            "hyper": self.hyper.copy(),
            "rates": self.rates.state(),
        }

    def check_state(self, state: dict[str, Any]) -> None:
        """Raise TypeError or ValueError for what `set_state` can't take."""
        parameters, slots, hyper = self.parameters, state["slots"], state["hyper"]
        expected = [shape for _, shape in shapes(parameters.n_inputs, parameters.layers)]
        if not isinstance(slots, list) or len(slots) != len(self.slots):
            raise ValueError(f"it must have {len(self.slots)} optimizer slots")
        for which, slot in enumerate(slots):
            if not isinstance(slot, list) or len(slot) != len(expected):
                raise ValueError("its optimizer slots are not shaped as the weights")
            low = 0.0 if which in self._update.nonnegative_slots else -math.inf
            for i, (array, shape) in enumerate(zip(slot, expected, strict=True)):
                what = f"its optimizer slot {which}, array {i},"
                check_array(what, array, shape, parameters.dtype, low=low)
        check_array("its hyper", hyper, (HYPER_SIZE,), "float64")
        real("its last learning rate", hyper[LEARNING_RATE], low=0.0)
        for i, most in enumerate(self._update.greatest_state):
            real(f"its hyper[{STATE + i}]", hyper[STATE + i], low=0.0, high=most)
        self.rates.check_state(state["rates"])

    def set_state(self, state: dict[str, Any]) -> None:
        """Stand where another stood, `check_state` having let it pass."""
        for slot, values in zip(self.slots, state["slots"], strict=True):
            self.parameters.pack_slot(slot, values)
        for part in (slice(LEARNING_RATE, OWN), slice(STATE, None)):  # constants are settings
            self.hyper[part] = state["hyper"][part]
        self.rates.set_state(state["rates"])

    def flops(self, rows: int) -> float:
        """Floating-point operations of an update by that many rows, about."""
        return 6.0 * rows * sum(at.n_in * at.n_out for at in self.parameters.layout.layers)
