"""The loop of a `fit`: epochs, cut into chunks of work; validation, callbacks, divergence."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastbp import solvers
from fastbp import state as states
from fastbp.callbacks import Callback
from fastbp.history import History, Progress, last_figures
from fastbp.inputs import Samples
from fastbp.kernels import layout as lay
from fastbp.program import Program
from fastbp.progress import Watcher
from fastbp.rates import SCALE, STEPS
from fastbp.snapshot import Snapshot

if TYPE_CHECKING:
    from fastbp.trainer import Trainer

_LOG = logging.getLogger("fastbp")
_CHUNK_SECONDS = 0.1  # Python is back in charge about so often
_MOST_REDUCTIONS = 5


class DivergenceError(ArithmeticError):
    """The loss or a weight became infinite or NaN.

    The network is as at the last snapshot: finite, some updates before.

    Attributes
    ----------
    epoch, batch : int
        Where it was found.
    history : History or None
        Up to the last finished epoch of the `fit`.
    """

    epoch = batch = 0
    history: History | None = None


class Fit:
    """One call of `Trainer.fit`, whose arguments are checked."""

    def __init__(
        self,
        trainer: Trainer,
        samples: Samples,
        validation: Samples | None,
        callbacks: Sequence[Callback],
        report: Watcher | None,
        resumed: states.State | None = None,
    ) -> None:
        self.trainer, self.samples, self.validation = trainer, samples, validation
        self.callbacks, self.report = callbacks, report
        self.history, self.resumed = History(), resumed
        self.thread: int | None = threading.get_ident()  # while it runs
        self.inside = False  # whether an epoch has been begun
        self.unrecorded: tuple[int, float, dict[str, float]] | None = None  # one that has ended
        self.spent = 0.0
        self.n = samples[0].n
        self.size = trainer._rows_of(self.n)
        self.n_batches = -(-self.n // self.size)
        self.solver = trainer._solver
        self.program: Program | solvers.Driver
        self.snapshot: Snapshot | None = None
        self.place: tuple[int, int, int, bool] | None = None  # as it was shown last
        if report is not None:
            report.begin()
        try:
            self._make_program()
        except BaseException:  # Ctrl-C, while kernels are compiled, for one
            self._leave()
            raise
        self.results: NDArray[Any] = self.program.results
        self.chunk, self.since, self.reductions = 1, 0.0, 0
        self.chunk_seconds = min([_CHUNK_SECONDS, *(c._longest_chunk for c in callbacks)])
        self.val_loss: float | None = None

    def _make_program(self) -> None:
        trainer, engine = self.trainer, self.trainer._engine
        if self.solver is None:
            self.program = engine.training(self.size)
            self.program.set_samples(
                *self.samples,
                batch=self.size,
                shuffle_seed=trainer.seed if trainer.shuffle else None,
                dropout_seed=trainer.seed,
            )
            self.measuring = engine.measuring["training"]
            if trainer.on_divergence != "ignore":
                self.snapshot = engine.snapshot(self.size)
        else:
            self.program = self.solver

    def run(self, epochs: int) -> History:
        """Train; of a run that is resumed, `epochs` is the total."""
        trainer, network, history = self.trainer, self.trainer.network, self.history
        trainer._stopping = None
        try:
            network._begin_training(trainer)
            if self.resumed is not None:
                states.given_fit(self, self.resumed)
                trainer._resuming = trainer._epochs_done
            first = trainer._resuming or 0
            if self.solver is not None:
                self.solver.begin(self.samples)
            if self.snapshot is not None:
                self.snapshot.take()
            for callback in self.callbacks:
                callback.on_train_begin(trainer)
            if self.resumed is not None:
                states.given_callbacks(self, self.resumed)
            for epoch in range(first, epochs):
                if trainer._stopping is not None or not self._epoch(epoch, epochs):
                    break
            else:
                self._finish()
            self._settled(last=True)
            for callback in self.callbacks:
                callback.on_train_end(trainer, history)
        finally:
            self._record()
            network._end_training(trainer)
            self.thread = trainer._resuming = None
            history.stopped = trainer._stopping
            self._leave()
        return history

    def _epoch(self, epoch: int, epochs: int) -> bool:
        """Whether there may be another."""
        trainer = self.trainer
        number = trainer._epochs_done
        if not self.inside:
            for callback in self.callbacks:
                callback.on_epoch_begin(trainer, number)
            self.results[:], self.spent = 0.0, 0.0
            if self.solver is None:
                self.measuring.begin(self.samples)
            self.inside = True
        done = self.batches
        while done < self.n_batches:
            started = time.perf_counter()
            status, last = self._work(done)
            kept = status != lay.OK or self._kept()
            seconds = time.perf_counter() - started
            self.spent += seconds
            if status == solvers.STOPPED and self.solver is not None:
                trainer.stop(self.solver.stopped or "")
                return False
            if status != lay.NONFINITE_LOSS:
                trainer._check(status, self.program)
            if status == lay.NONFINITE_LOSS or not kept:
                found = int(self.results[lay.R_BATCHES])
                batch = found if status else last - 1
                if not self._diverged(status, batch, trainer._epochs_done):
                    return False
                done = found
                continue
            fitting = (last - done) * self.chunk_seconds / max(seconds, 1e-9)
            self.chunk = max(1, min(self.n_batches, int(fitting)))
            done = last
            if done < self.n_batches:
                self._show(epoch, epochs, min(self.n, done * self.size))
            for callback in self.callbacks:
                callback.on_chunk_end(trainer)
            if done < self.n_batches:
                self._settled()
            if trainer._stopping is not None and done < self.n_batches:
                return False
        logs = {"loss": _mean(self.results)}
        if self.solver is None:
            logs |= self.measuring.figures()
        if self.validation is not None:
            figures = trainer._evaluated(self.validation)
            self.val_loss = figures["loss"]
            logs |= {f"val_{name}": value for name, value in figures.items()}
        rates = trainer._engine.rates
        plateau, scale = rates.after_epoch(logs)
        ended = number, self.n / max(self.spent, 1e-9), logs
        # The epoch has ended for all or for none: no call that an interrupt could come after.
        trainer._epochs_done, self.inside, self.unrecorded = number + 1, False, ended
        rates.epochs, rates.plateau, rates.live[SCALE] = rates.epochs + 1, plateau, scale
        for callback in self.callbacks:
            callback.on_epoch_end(trainer, number, logs)
        self._record()
        self._settled()
        self._show(epoch, epochs, self.n, True)
        return trainer._stopping is None

    def _record(self) -> None:
        """Put the epoch that has ended into the history, in one step, once."""
        if self.unrecorded is not None:
            appends = self.history.recording(*self.unrecorded)
            any(chain(appends, map(partial(setattr, self, "unrecorded"), [None])))

    def _work(self, done: int) -> tuple[int, int]:
        """A chunk of work from batch `done` on: a status, and the batch after it."""
        if isinstance(self.program, solvers.Driver):
            return self.program.iterate()[0], done + 1
        trainer, rates, table = self.trainer, self.trainer._engine.rates, self.program.table
        left = math.inf if self.snapshot is None else self.snapshot.interval - self.since
        count = int(min(self.n_batches - done, self.chunk, left, rates.most))
        table[lay.EPOCH], table[lay.UPDATES] = trainer._epochs_done, rates.steps - done
        rates.give(self.program, done, done + count)
        status, live = lay.OK, rates.live
        before = self.results[lay.R_BATCHES]
        try:
            with trainer.network._gate, trainer.network._no_readers:
                status = trainer._engine.run(self.program, done, done + count)
                trainer.network._publish()
        finally:  # interrupts come after calls and jumps, of which there are none here
            made = self.results[lay.R_BATCHES] - before
            live[STEPS] += made
            self.since += made
        return status, done + count

    @property
    def batches(self) -> int:
        """Of the epoch under way, that have been worked on."""
        return int(self.results[lay.R_BATCHES]) if self.inside and self.solver is None else 0

    def _settled(self, last: bool = False) -> None:
        for callback in self.callbacks:
            callback._settled(self.trainer, last)

    def snap(self) -> bool:
        """Take the snapshot that a resumed run will begin with; whether all weights are finite."""
        self.since = 0.0
        snapshot = self.snapshot or self.trainer._engine.snapshot(self.size)
        return snapshot.take()

    def _kept(self) -> bool:
        """Take a snapshot where one is due; whether all weights are finite, if that was asked."""
        if self.snapshot is None or self.since < self.snapshot.interval:
            return True
        self.since = 0.0
        return self.snapshot.take()

    def _finish(self) -> None:
        """The last updates have to have left finite weights too."""
        if self.snapshot is not None and self.since and not self.snapshot.take():
            self._diverged(lay.OK, self.n_batches - 1, self.trainer._epochs_done - 1)

    def _diverged(self, status: int, batch: int, epoch: int) -> bool:
        """Go back to the snapshot; whether to go on from there."""
        trainer = self.trainer
        loss = float(self.results[lay.R_LAST_ERROR])
        what = f"the loss became {loss}" if status else "a weight became infinite or NaN"
        where = f"in epoch {epoch}, batch {batch}"
        if self.snapshot is not None:
            self.snapshot.restore()
            self.since = 0.0
        if (
            trainer.on_divergence == "reduce"
            and self.solver is None
            and self.reductions < _MOST_REDUCTIONS
        ):
            self.reductions += 1
            trainer._engine.rates.scale /= 2.0
            self._warn(
                "%s %s: the learning rate is halved, %d of %d times",
                what, where, self.reductions, _MOST_REDUCTIONS,
            )  # fmt: skip
            return True
        if trainer.on_divergence == "stop":
            trainer.stop(f"{what} {where}")
            self._warn("%s %s: the fit ends", what, where)
            return False
        halved = f" after {self.reductions} halvings of the rate" if self.reductions else ""
        error = DivergenceError(
            f"{what} {where}{halved}; a lower learning_rate may help. "
            f"The network is as it was up to {self._interval} updates before"
        )
        error.epoch, error.batch, error.history = epoch, batch, self.history
        raise error

    @property
    def _interval(self) -> int:
        return 0 if self.snapshot is None else self.snapshot.interval

    def _show(self, epoch: int, epochs: int, samples: int, done: bool = False) -> None:
        self.place = epoch, epochs, samples, done
        report = self.report
        if report is not None and time.perf_counter() >= report.due:
            report(self._progress(*self.place))

    def _progress(self, epoch: int, epochs: int, samples: int, done: bool) -> Progress:
        n, rate = self.n, samples / max(self.spent, 1e-9)
        left = ((epochs - epoch) * n - samples) / rate if rate else None
        loss, figures = _mean(self.results), last_figures(self.history)
        return Progress(epoch, epochs, samples, n, loss, self.val_loss, rate, left, done, figures)

    def _leave(self) -> None:
        """Tell who watches, and the log, where it has ended."""
        if self.report is not None:
            self.report.close(None if self.place is None else self._progress(*self.place))
        if self.history.stopped is not None:
            _LOG.info("the fit has ended early: %s", self.history.stopped)

    def _warn(self, what: str, *values: object) -> None:
        if self.report is not None:
            self.report.clear()
        _LOG.warning(what, *values)


def _mean(results: NDArray[Any]) -> float:
    weight = float(results[lay.R_WEIGHT])
    return float(results[lay.R_ERROR]) / weight if weight > 0.0 else math.nan
