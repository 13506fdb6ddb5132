"""Updates by batches: what a fit works with, where no solver iterates over whole sets."""

from __future__ import annotations

import math
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import integer, real
from fastbp.data.inputs import Samples
from fastbp.data.weighing import Weighing, of_set
from fastbp.files.container import check_array, whole_number
from fastbp.kernels import layout as lay
from fastbp.runtime.parameters import Parameters
from fastbp.training.engine import Engine
from fastbp.training.session import Session
from fastbp.training.settings import Settings
from fastbp.training.snapshot import Recovery

Array = NDArray[Any]


class Work(Protocol):
    """What a fit works with, epoch by epoch: `Batches`, or a solver's `Driver`.

    Attributes
    ----------
    n_samples, n_batches, batch_size : int
        Samples, batches of an epoch, samples of a batch.
    results : ndarray
        Figures of the epoch so far (R_ERROR ... in kernels/layout.py).
    result_cells : memoryview
        The same, quicker for single values.
    in_epoch : bool
        Whether an epoch has been begun, and not ended.
    recovery : Recovery or None
        What is kept in case of divergence.
    stopped : str or None
        Why there is nothing more to do.
    """

    n_samples: int
    n_batches: int
    batch_size: int
    results: Array
    result_cells: Any
    in_epoch: bool
    recovery: Recovery | None
    stopped: str | None

    @property
    def batches(self) -> int:
        """How many of the epoch under way have been worked on."""

    def begin(self) -> None:
        """Begin a fit from the parameters as they are."""

    def begin_epoch(self) -> None:
        """Clear all figures."""

    def advance(self, epoch: int, first: int, most: int) -> tuple[int, int, bool]:
        """Work on batches from `first` on, `most` of them at most.

        Returns
        -------
        status : int
            Of kernels/layout.py, or STOPPED.
        last : int
            The batch after those.
        sound : bool
            False where a snapshot was due and a weight was not finite.
        """

    def figures(self) -> dict[str, float]:
        """Return the metrics of the epoch's samples."""

    def snapshot(self, first: bool = True) -> bool:
        """Keep all as it is; return whether all weights are finite, so that it was done.

        `first` says that this is where the fit begins, or will begin when it is resumed.
        """

    def epoch_state(self) -> dict[str, Any]:
        """Return where it stands inside an epoch."""

    def set_epoch_state(self, state: dict[str, Any], same_samples: bool) -> None:
        """Stand where another stood; inside an epoch only if that was one of the same samples."""


def work_on(session: Session, samples: Samples) -> Work:
    """Return what a fit on these samples works with; it begins by `Work.begin`."""
    weights = samples[2]
    weighing = weights and of_set(weights, session.parameters.dtype)
    if session.solver is None:
        return Batches(session.engine, samples, weighing)
    session.solver.set_samples(samples, weighing)
    return session.solver


class Batches:
    """Updates by batches of a fit's samples, see `Work`.

    Parameters
    ----------
    engine : Engine
        Makes the updates.
    samples : Samples
        What they are by.
    weighing : Weighing or None
        That of the set, where the samples have weights.
    """

    stopped: str | None = None

    def __init__(self, engine: Engine, samples: Samples, weighing: Weighing | None) -> None:
        self._engine, self._parameters = engine, engine.parameters
        self._samples, self._weighing = samples, weighing
        self._settings = settings = engine.settings
        self.n_samples = samples[0].n
        self.batch_size = settings.rows_of(self.n_samples)
        self.n_batches = -(-self.n_samples // self.batch_size)
        self._program = engine.training(self.batch_size)
        self._set_samples()
        self._measuring = engine.measuring["training"]
        self.results: Array = self._program.results
        self.result_cells = self._program.result_cells
        self.in_epoch = False
        self.recovery: Recovery | None = None
        if settings.on_divergence != "ignore":
            self.recovery = Recovery(
                engine.parameters, engine.snapshot, engine.rates, self.batch_size, self.n_batches,
                settings.on_divergence == "reduce",
            )  # fmt: skip

    def _set_samples(self) -> None:
        """Have the program point at the samples, and draw as the trainer's seed says."""
        seed, shuffle = self._settings.seed, self._settings.shuffle
        self._program.set_samples(
            *self._samples,
            weighing=self._weighing,
            batch=self.batch_size,
            shuffle_seed=seed if shuffle else None,
            dropout_seed=seed,
        )

    @property
    def batches(self) -> int:
        """How many of the epoch under way have been worked on."""
        return int(self.result_cells[lay.R_BATCHES]) if self.in_epoch else 0

    def begin(self) -> None:
        """Take the first snapshot; draw as a run that is gone on with did."""
        if self._engine.settings is not self._settings:  # it has its own seed
            self._settings = self._engine.settings
            self._set_samples()
        if self.recovery is not None:
            self.snapshot()

    def begin_epoch(self) -> None:
        """Clear all figures."""
        self.results[:] = 0.0
        self._measuring.begin(self._samples)

    def advance(self, epoch: int, first: int, most: int) -> tuple[int, int, bool]:
        """Make updates by batches from `first` on, see `Work.advance`."""
        recovery, rates, program = self.recovery, self._engine.rates, self._program
        if not (
            recovery is None
            or (
                # nobody has set other weights since the last snapshot, and it is not old
                recovery.snapshot.seen == self._parameters.version
                and (first > 0 or epoch < recovery.due)
                and not self._parameters.untold
            )
            or recovery.secure(epoch, self.batches)
        ):
            return lay.OK, first, False
        count = min(self.n_batches - first, most, rates.most)
        if program.threads > 1:
            count = min(count, program.most_batches)
        if recovery is not None:
            left = recovery.interval - recovery.snapshot.since
            count = count if count <= left else int(left)
        rates.write(count)
        program.begin(epoch, rates.steps)
        status, sound = self._engine.train(program, first, first + count), True
        if recovery is not None:
            if recovery.lowest == math.inf and status == lay.OK:
                recovery.lowest = self.result_cells[lay.R_LAST_ERROR]  # the first batch's
            if recovery.snapshot.since >= recovery.interval:
                sound = status != lay.OK or self.snapshot(first=False)
        return status, first + count, sound

    def figures(self) -> dict[str, float]:
        """Return the metrics of the epoch's samples."""
        return cast("dict[str, float]", self._measuring.figures())  # a person's own aren't taken

    def snapshot(self, first: bool = True) -> bool:
        """Keep all as it is, see `Work.snapshot`."""
        epochs, batches = self._engine.rates.passes, self.batches
        if self.recovery is None:
            return self._engine.snapshot.take((epochs, batches))
        return self.recovery.take(epochs, batches, first)

    # -- states ------------------------------------------------------------------------------------

    def epoch_state(self) -> dict[str, Any]:
        """Return where it stands inside an epoch, and what it knows of losses."""
        recovery = self.recovery
        return {
            "inside": self.in_epoch,
            "results": self.results.copy() if self.in_epoch else None,
            "sums": self._measuring.sums.copy() if self.in_epoch else None,
            "lowest": math.inf if recovery is None else recovery.lowest,
            "rising": recovery is None or recovery.rising,
        }

    def set_epoch_state(self, state: dict[str, Any], same_samples: bool) -> None:
        """Stand where another stood, see `Work.set_epoch_state`."""
        if self.recovery is not None:
            self.recovery.lowest, self.recovery.rising = state["lowest"], state["rising"]
        if state["inside"] and same_samples:
            self._measuring.begin(self._samples)
            self._measuring.sums[:] = state["sums"]
            # The rest are places of threads, of which there may be another number.
            self.results[: lay.R_STATUS] = state["results"][: lay.R_STATUS]
            self.in_epoch = True


def check_epoch_state(state: dict[str, Any], parameters: Parameters, settings: Settings) -> None:
    """Raise TypeError or ValueError for what `Work.set_epoch_state` can't take.

    How many batches there are is left to `check_batches`.
    """
    if type(state["lowest"]) is not float or math.isnan(state["lowest"]):
        raise TypeError(f"its lowest must be a float, got {state['lowest']!r}")
    for name in ("rising", "inside"):
        if not isinstance(state[name], bool):
            raise TypeError(f"its {name} must be True or False, got {state[name]!r}")
    if not state["inside"]:
        return
    if settings.solves:
        raise ValueError("its inside must be False: a solver's epoch is one iteration")
    results, anything = state["results"], settings.on_divergence == "ignore"
    if not isinstance(results, np.ndarray) or results.dtype != np.float64 or results.ndim != 1:
        raise TypeError("its results must be a row of float64")
    if len(results) < lay.R_STATUS:
        raise ValueError(f"its results must be at least {lay.R_STATUS} values, got {len(results)}")
    whole_number("its batches", results[lay.R_BATCHES])
    real("its weight", results[lay.R_WEIGHT], low=0.0)
    if not anything:
        real("its error", results[lay.R_ERROR])
    taken = [metric for metric in settings.metrics if not metric._whole]
    sizes = [metric._sums(parameters.n_outputs) for metric in taken]
    check_array("its sums", state["sums"], (sum(sizes),), "float64", nan=anything, high=math.inf)
    for metric, end, size in zip(taken, np.cumsum(sizes), sizes, strict=True):
        if metric._positive and (state["sums"][end - size : end] < 0.0).any():
            raise ValueError(f"its sums of {metric.name!r} must be at least 0")


def check_batches(state: dict[str, Any], n_batches: int) -> None:
    """Raise for a place in an epoch that one of so many batches hasn't."""
    if state["inside"]:
        integer("its batches", int(state["results"][lay.R_BATCHES]), minimum=0, maximum=n_batches)
