"""The loop of a `fit`: epochs, cut into chunks of work; validation, callbacks, divergence."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastbp.callbacks.base import Callback
from fastbp.data.inputs import Samples
from fastbp.data.weighing import of_set
from fastbp.history import History, Progress, check_figures, last_figures
from fastbp.kernels import layout as lay
from fastbp.runtime.program import Program
from fastbp.training import provenance as resuming
from fastbp.training import solvers
from fastbp.training import state as states
from fastbp.training.divergence import MOST_REDUCTIONS, Recovery
from fastbp.training.progress import Watcher
from fastbp.training.rates import SCALE
from fastbp.training.snapshot import Place, told
from fastbp.training.status import STOPPED, DivergenceError, check

if TYPE_CHECKING:
    from fastbp.trainer import Trainer

_LOG = logging.getLogger("fastbp")
CANCELLED = "cancelled"
_CHUNK_SECONDS = 0.1  # Python is back in charge about so often


class Fit:
    """One call of `Trainer.fit`, whose arguments are checked."""

    begun = 0  # callbacks that know of this fit: others may still have the best of an earlier one
    callbacks_resume = False  # whether they are still to be restored
    reductions = 0  # of the rate, after divergence
    fallen: Place | None = None  # where the weights are of, after divergence
    val_loss: float | None = None

    def __init__(
        self,
        trainer: Trainer,
        samples: Samples,
        validation: Samples | None,
        callbacks: Sequence[Callback],
        report: Watcher | None,
        resumed: states.State | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.trainer, self.samples, self.validation = trainer, samples, validation
        self.callbacks, self.report = callbacks, report
        self.history, self.resumed, self.cancelled = History(), resumed, cancelled
        if resumed is not None:
            self.callbacks_resume = True
        self.callback_settings = list(map(resuming.callback_settings, callbacks))
        self.thread: int | None = threading.get_ident()  # while it runs
        self.inside = False  # whether an epoch has been begun
        self.unrecorded: tuple[int, float, dict[str, float]] | None = None  # one that has ended
        self.columns: list[list[Any]] = []  # of the history, where nobody adds figures
        self.spent = 0.0
        self.n = samples[0].n
        self.size = trainer._settings.rows_of(self.n)
        self.n_batches = -(-self.n // self.size)
        self.solver = trainer._solver
        self.program: Program | solvers.Driver
        self.recovery: Recovery | None = None
        self.place: tuple[int, int, int, bool] | None = None  # as it was shown last
        try:
            if report is not None:
                report.begin()
            self._make_program()
        except BaseException:  # Ctrl-C, while kernels are compiled, for one
            self._leave()
            raise
        self.results: NDArray[Any] = self.program.results
        self.result_cells = self.program.result_cells
        self.chunk = 1
        self.chunk_seconds = min([_CHUNK_SECONDS, *(c.longest_chunk for c in callbacks)])

    def _make_program(self) -> None:
        trainer, engine = self.trainer, self.trainer._engine
        weights = self.samples[2]
        self.weighing = weights and of_set(weights, trainer.network.dtype)
        if self.solver is None:
            self.program = engine.training(self.size)
            self.program.set_samples(
                *self.samples,
                weighing=self.weighing,
                batch=self.size,
                shuffle_seed=trainer.seed if trainer.shuffle else None,
                dropout_seed=trainer.seed,
            )
            self.measuring = engine.measuring["training"]
            if trainer.on_divergence != "ignore":
                self.recovery = Recovery(
                    engine, self.size, self.n_batches, trainer.on_divergence == "reduce"
                )
        else:
            self.program = self.solver

    @cached_property
    def fingerprints(self) -> resuming.Fingerprints:
        """Of the samples, and of the validation data: made once, where one is asked for."""
        if self.resumed is not None:
            return self.resumed["here"]  # type: ignore[no-any-return]
        return resuming.fingerprints(self.trainer, self.samples, self.validation)

    def run(self, epochs: int) -> History:
        """Train; of a run that is resumed, `epochs` is the total."""
        trainer, history = self.trainer, self.history
        parameters = trainer._engine.parameters
        trainer._stopping = trainer._left = None
        try:
            parameters.begin_training(self)
            self._train(epochs)
        except BaseException as error:
            self._broken_off(error)
            raise
        finally:
            # An interrupt comes after calls: the first call is the last thing that has to be done.
            self.thread = trainer._resuming = None
            history.stopped = trainer._stopping
            parameters.end_training(self, None)
            self.record()
            self._leave()
        return history

    @property
    def running(self) -> bool:
        """Whether it is under way: an interrupt may have left it before it could say its end."""
        trainer = self.trainer
        return self.thread is not None and trainer._fit is self and trainer._busy.locked()

    def _train(self, epochs: int) -> None:
        trainer, history = self.trainer, self.history
        if self.resumed is not None:
            self.restore(self.resumed)
            trainer._resuming = trainer._epochs_done
        first = trainer._resuming or 0
        if self.solver is not None:
            self.solver.begin(self.samples, self.weighing)
        if self.recovery is not None:
            self.snap()
        trainer._engine.rates.begin()
        for callback in self.callbacks:
            callback.on_train_begin(trainer)
            self.begun += 1
        if self.cancelled is not None and self.cancelled():
            trainer.stop(CANCELLED)
        if self.resumed is not None:
            states.given_callbacks(self, self.resumed)
            self.callbacks_resume = False
        for epoch in range(first, epochs):
            if trainer._stopping is not None or not self._epoch(epoch, epochs):
                break
        self._finish()
        self._settled(last=True)
        for callback in self.callbacks:
            callback.on_train_end(trainer, history)
        standing = self._standing()
        if self.fallen is not None:
            trainer._stopping = f"{trainer._stopping}; {standing}"

    def restore(self, state: states.State) -> None:
        """Have this fit, and its trainer, stand where a saved one stood.

        Where an interrupt comes before that is so, the trainer's next use begins with it: half a
        state would be saved, and resumed from, as a whole one.
        """
        self.trainer._restoring = partial(self.restore, state)
        states.given_fit(self, state)
        self.trainer._restoring = None

    def _broken_off(self, error: BaseException) -> None:
        """After an exception the best weights come back too, where a callback keeps them.

        After divergence, what it says is completed. After an interrupt, or a callback's error, the
        run can be gone on with: its weights are kept apart for `Trainer.save`.
        """
        trainer, parameters = self.trainer, self.trainer._engine.parameters
        left = parameters.unpack(parameters.buffer)
        for callback in self.callbacks[: self.begun]:
            callback._give_back(trainer)
        standing = self._standing()
        if isinstance(error, DivergenceError):
            error.args = (f"{error}. {standing[0].upper()}{standing[1:]}",)
        elif self._given_back() is not None:
            trainer._left = parameters.version, left

    def _given_back(self) -> int | None:
        """The epoch whose weights a callback has given back, the last one that did."""
        given = [c for c in self.callbacks[: self.begun] if c._given_back is not None]
        return given[-1]._given_back if given else None

    def _standing(self) -> str:
        """Where the network is, in words; the history is told its epoch."""
        best, version = self._given_back(), self.trainer._engine.parameters.version
        if best is not None and all(c._given_version != version for c in self.callbacks):
            self.history.network_epoch = None
            return "the network has weights that a callback has set since"
        if best is not None:
            self.history.network_epoch = best
            return f"the network has its best weights back, those of epoch {best}"
        if self.fallen is not None:
            epochs, _ = self.fallen
            self.history.network_epoch = epochs - 1 if epochs else None
            return f"the network is as it was {told(self.fallen)}"
        return "the network is as it was before"

    def _epoch(self, epoch: int, epochs: int) -> bool:
        """Whether there may be another."""
        trainer, recovery = self.trainer, self.recovery
        parameters = trainer._engine.parameters
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
            status, last = lay.OK, done
            kept = (
                recovery is None
                or (
                    recovery.snapshot.seen == parameters.version
                    and (done > 0 or number < recovery.due)
                    and not parameters.untold
                )
                or recovery.secure(number, self.batches)
            )
            if kept:
                status, last = self._work(done)
                if recovery is not None and recovery.lowest == math.inf and status == lay.OK:
                    recovery.lowest = self.result_cells[lay.R_LAST_ERROR]  # the first batch's
                if recovery is not None and recovery.snapshot.since >= recovery.interval:
                    kept = status != lay.OK or self.snap(first=False)
            seconds = time.perf_counter() - started
            self.spent += seconds
            if status == STOPPED and self.solver is not None:
                trainer.stop(self.solver.stopped or "")
                return False
            if status not in (lay.OK, lay.NONFINITE_LOSS):
                check(status, self.results, trainer.network.dtype)
            if status == lay.NONFINITE_LOSS or not kept:
                found = int(self.results[lay.R_BATCHES])
                if status or last:
                    where = number, found if status else last - 1
                else:  # the last update of the epoch before
                    where = number - 1, self.n_batches - 1
                if not self._diverged(status, *where):
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
            if self.cancelled is not None and self.cancelled():
                trainer.stop(CANCELLED)
            if done < self.n_batches:
                self._settled()
            if trainer._stopping is not None and done < self.n_batches:
                return False
        logs = {"loss": _mean(self.result_cells)}
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
        self.history.network_epoch = number
        rates.epochs, rates.plateau, rates.cells[SCALE] = rates.epochs + 1, plateau, scale
        rates.watch(logs)
        if recovery is not None and recovery.reduces:
            recovery.judge(logs["loss"], self.result_cells[lay.R_LAST_ERROR])
        others = False
        for callback in self.callbacks:
            callback._measured(trainer, logs, others)
            others = others or not callback._looks_on
        for callback in self.callbacks:
            callback.on_epoch_end(trainer, number, logs)
            check_figures(logs, callback)
        self.record()
        if self.callbacks:
            self._settled()
        self._show(epoch, epochs, self.n, True)
        return trainer._stopping is None

    def record(self) -> None:
        """Put the epoch that has ended into the history, in one step, once."""
        if self.unrecorded is None:
            return
        number, rate, figures = self.unrecorded
        appends: Iterator[None]
        if self.columns:  # all epochs have the same figures, which are floats
            appends = map(list.append, self.columns, [number, rate, *figures.values()])
        else:
            appends = self.history.recording(number, rate, figures)
        any(chain(appends, map(partial(setattr, self, "unrecorded"), [None])))
        if not (self.columns or self.callbacks):
            self.columns = self.history.columns(figures)

    def _work(self, done: int) -> tuple[int, int]:
        """A chunk of work from batch `done` on: a status, and the batch after it."""
        program, engine = self.program, self.trainer._engine
        if isinstance(program, solvers.Driver):
            return program.iterate()[0], done + 1
        rates, table = engine.rates, program.cells
        count = min(self.n_batches - done, self.chunk, rates.most)
        if self.recovery is not None:
            left = self.recovery.interval - self.recovery.snapshot.since
            count = count if count <= left else int(left)
        table[lay.EPOCH] = self.trainer._epochs_done
        rates.give(program, count)
        return engine.train(program, done, done + count), done + count

    @property
    def batches(self) -> int:
        """Of the epoch under way, that have been worked on."""
        return int(self.result_cells[lay.R_BATCHES]) if self.inside and self.solver is None else 0

    def _settled(self, last: bool = False) -> None:
        for callback in self.callbacks:
            callback.on_settled(self.trainer, last)

    def snap(self, first: bool = True) -> bool:
        """Take a snapshot, with which a resumed run will begin; whether all weights are finite."""
        epochs, batches = self.trainer._epochs_done, self.batches
        if self.recovery is None:
            return self.trainer._engine.snapshot.take((epochs, batches))
        return self.recovery.take(epochs, batches, first)

    def _finish(self) -> None:
        """The last updates have to have left finite weights too."""
        if self.recovery is None or not self.recovery.snapshot.since:
            return
        if not self.snap(first=False):
            epochs, batches = self.trainer._epochs_done, self.batches
            epoch = epochs if batches else epochs - 1
            self._diverged(lay.OK, epoch, (batches or self.n_batches) - 1)

    def _diverged(self, status: int, epoch: int, batch: int) -> bool:
        """Go back to the snapshot; whether to go on from there."""
        trainer = self.trainer
        loss = float(self.results[lay.R_LAST_ERROR])
        what = f"the loss became {loss}" if status else "a weight became infinite or NaN"
        where = f"in epoch {epoch}, batch {batch}"
        if self.recovery is not None:
            self.recovery.go_back()
        reduces = self.recovery is not None and self.recovery.reduces
        if reduces and self.reductions < MOST_REDUCTIONS:
            self.reductions += 1
            trainer._engine.rates.scale /= 2.0
            self._warn(
                "%s %s: the learning rate is halved, %d of %d times",
                what, where, self.reductions, MOST_REDUCTIONS,
            )  # fmt: skip
            return True
        self.fallen = None if self.recovery is None else self.recovery.snapshot.place
        if trainer.on_divergence == "stop":
            trainer.stop(f"{what} {where}")
            self._warn("%s %s: the fit ends", what, where)
            return False
        halved = f" after {self.reductions} halvings of the rate" if self.reductions else ""
        error = DivergenceError(f"{what} {where}{halved}; a lower learning_rate may help")
        error.epoch, error.batch, error.history = epoch, batch, self.history
        raise error

    def _show(self, epoch: int, epochs: int, samples: int, done: bool = False) -> None:
        self.place = epoch, epochs, samples, done
        report = self.report
        if report is not None and time.perf_counter() >= report.due:
            report(self._progress(*self.place))

    def _progress(self, epoch: int, epochs: int, samples: int, done: bool) -> Progress:
        n, rate = self.n, samples / max(self.spent, 1e-9)
        left = ((epochs - epoch) * n - samples) / rate if rate else None
        loss, figures = _mean(self.result_cells), last_figures(self.history)
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


def _mean(results: Any) -> float:
    weight: float = results[lay.R_WEIGHT]
    return results[lay.R_ERROR] / weight if weight > 0.0 else math.nan
