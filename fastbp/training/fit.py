"""The loop of a `fit`: epochs, cut into chunks of work; validation, callbacks, divergence."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from fastbp.callbacks.hooks import Hooks
from fastbp.data.inputs import Samples
from fastbp.history import History, Progress, arrays_of, fill
from fastbp.kernels import layout as lay
from fastbp.kernels.updates.hyper import SCALE
from fastbp.layers.thresholds import Thresholds
from fastbp.training import provenance
from fastbp.training.batches import Work, work_on
from fastbp.training.measuring import Held, mean_loss
from fastbp.training.progress import Watcher, standing
from fastbp.training.session import Saved, Session
from fastbp.training.snapshot import MOST_REDUCTIONS, Place, told
from fastbp.training.status import STOPPED, DivergenceError, check, diverged

CANCELLED = "cancelled"
_LOG = logging.getLogger("fastbp")
_CHUNK_SECONDS = 0.1  # Python is back in charge about so often


class Fit:
    """One call of `Trainer.fit`, whose arguments are checked.

    Parameters
    ----------
    session : Session
        The trainer's.
    samples : Samples
        What is trained on.
    held : Held
        What figures are taken of after each epoch.
    hooks : Hooks
        The callbacks.
    report : Watcher or None
        Who is shown the progress.
    resumed : dict or None
        The checkpoint to go on from (training/resuming.py).
    thresholds : Thresholds or None
        Where it has the network cut classes, if it does.
    counts : bool
        Whether its epochs are those that schedules go by; else a person ends these.
    cancelled : callable or None
        Asked about every 100 ms whether the fit is to end.

    Attributes
    ----------
    begun : bool
        Whether there is something of it in the trainer, and in all of the callbacks: before, they
        may have what they had come to in another fit.
    """

    begun = False
    reductions = 0  # of the rate, after divergence
    fallen: Place | None = None  # where the weights are of, after divergence
    val_loss: float | None = None
    telling: Callable[[], None] | None = None  # tells what is left to be told of an epoch's end

    def __init__(
        self,
        session: Session,
        samples: Samples,
        held: Held,
        hooks: Hooks,
        report: Watcher | None,
        resumed: Saved | None = None,
        thresholds: Thresholds | None = None,
        counts: bool = True,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.session, self.samples, self.held = session, samples, held
        self.hooks, self.report, self.counts = hooks, report, counts
        self.thresholds = thresholds
        self.history = History(validation_sets=tuple(held.sets))
        self.resumed, self.cancelled = resumed, cancelled
        # Files of the first format hold less of callbacks.
        if resumed is not None and resumed["fit"] is not None and resumed["format"] > 1:
            hooks.unrestored = resumed["fit"]["callbacks"]
        session.training.thread = threading.get_ident()  # while it runs
        self.unrecorded: tuple[int, float, dict[str, float]] | None = None  # one that has ended
        self.columns: list[list[Any]] = []  # of the history, where nobody adds figures
        self.spent = 0.0
        # Epoch of this call, epochs, samples of the epoch, its end: as they were shown last.
        self.shown: tuple[int, int, int, bool] | None = None
        self.chunk = 1
        self.chunk_seconds = min(_CHUNK_SECONDS, hooks.longest_chunk)
        try:
            if report is not None:
                report.begin()
            self.work: Work = work_on(session, samples)
        except BaseException:  # Ctrl-C, while kernels are compiled, for one
            session.training.thread = None
            self._leave()
            raise
        self.results: NDArray[Any] = self.work.results
        self.result_cells = self.work.result_cells

    @cached_property
    def fingerprints(self) -> provenance.Fingerprints:
        """Those of the samples, and of the validation data: made once, where one is asked for."""
        if self.resumed is not None:
            return self.resumed["here"]  # type: ignore[no-any-return]
        dtype = self.session.parameters.dtype
        return provenance.fingerprints(self.samples, self.held.sets, dtype)

    def run(self, epochs: int) -> History:
        """Train; of a run that is resumed, `epochs` is the total."""
        session, parameters, history = self.session, self.session.parameters, self.history
        session.stopping = session.left = None
        try:
            parameters.begin_training(session.training)
            self._train(epochs)
        except BaseException as error:
            self._broken_off(error)
            raise
        finally:
            try:  # an interrupt comes after calls: the first one is the last that has to be done
                session.training.thread = session.resuming = None
                history.stopped = session.stopping
                parameters.end_training(session.training, None)
                self.record()
                self._leave()
            finally:
                pass  # and not where the `finally` begins (runtime/locks.py)
        return history

    def _train(self, epochs: int) -> None:
        session, hooks, work, rates = self.session, self.hooks, self.work, self.session.engine.rates
        if self.resumed is not None:
            self.restore(self.resumed)
            session.resuming = rates.passes
        first = session.resuming or 0
        if first < epochs and self.thresholds is not None:
            session.parameters.thresholds = self.thresholds
        work.begin()
        rates.begin(self.held.figures, self.resumed is not None, self.counts)
        hooks.on_train_begin()
        self.begun = True
        self._stop_if_cancelled()
        if self.resumed is not None:
            if self.resumed["fit"] is not None:
                hooks.set_state(self.resumed["fit"]["callbacks"])
            hooks.unrestored = None
        for epoch in range(first, epochs):
            if session.stopping is not None or not self._epoch(epoch, epochs):
                break
        self._finish()
        hooks.on_settled(last=True)
        hooks.on_train_end(self.history)
        standing = self._standing()
        if self.fallen is not None:
            session.stopping = f"{session.stopping}; {standing}"

    def _stop_if_cancelled(self) -> None:
        if self.cancelled is not None and self.cancelled():
            self.session.stopping = CANCELLED

    def _broken_off(self, error: BaseException) -> None:
        """After an exception the best weights come back too, where a callback keeps them.

        After divergence, what it says is completed. After an interrupt, or a callback's error, the
        run can be gone on with: its weights are kept apart for `Trainer.save`.
        """
        session, parameters = self.session, self.session.parameters
        if self.telling is not None:
            self.telling()
        left = parameters.unpack(parameters.buffer)
        try:
            self.hooks.give_back()
        finally:
            try:  # another interrupt may have come after any of its steps
                session.left = parameters.version, left
            finally:
                pass
        standing = self._standing()
        if isinstance(error, DivergenceError):
            error.args = (f"{error}. {standing[0].upper()}{standing[1:]}",)
        if isinstance(error, DivergenceError) or self.hooks.given_back is None:
            session.left = None

    def _tell_the_rest(self, epoch: int, logs: dict[str, float]) -> None:
        """After an interrupt, or an error, while callbacks were told of an epoch's end.

        The epoch has ended, and a run that is gone on with won't tell of it again. So those that
        keep the best weights are told all the same; if another interrupt comes into that, the
        trainer's next use begins with it.
        """
        self.hooks.on_epoch_cut_off(epoch, logs)
        self._told(logs, cut_off=True)

    def _told(self, logs: dict[str, float], cut_off: bool = False) -> None:
        """Have the schedule look at what callbacks have added, once, and that be all of the end."""
        session, rates = self.session, self.session.engine.rates
        seen = rates.after_epoch(logs, late=True, cut_off=cut_off)
        # All of it or nothing: no call that an interrupt could come after.
        ended = *seen, None, None
        rates.plateau, rates.cells[SCALE], self.telling, session.restoring = ended

    def _standing(self) -> str:
        """Where the network is, in words; the history is told its epoch."""
        best = self.hooks.given_back
        if best is not None and not self.hooks.has_given(self.session.parameters.version):
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
        """Train for one epoch, or what is left of it; return whether another may follow.

        `epoch` of `epochs` is what is shown: counted in this call, or from the beginning of a run
        that is resumed. `number` counts those of the trainer's life, which shuffling, the history
        and callbacks go by. Schedules have a count of their own, which a person may hold.
        """
        session, work, hooks = self.session, self.work, self.hooks
        rates, callbacks, n_batches = session.engine.rates, self.hooks.callbacks, work.n_batches
        number = rates.passes
        if not work.in_epoch:
            if callbacks:
                hooks.on_epoch_begin(number)
            work.begin_epoch()
            self.spent, work.in_epoch = 0.0, True
        done = work.batches
        while done < n_batches:
            started = time.perf_counter()
            status, last, sound = work.advance(number, done, self.chunk)
            seconds = time.perf_counter() - started
            self.spent += seconds
            if status == STOPPED:
                session.stopping = work.stopped or ""
                return False
            if status not in (lay.OK, lay.NONFINITE_LOSS):
                check(status, self.results, session.parameters.dtype)
            if status == lay.NONFINITE_LOSS or not sound:
                found = int(self.results[lay.R_BATCHES])
                if status or last:
                    where = number, found if status else last - 1
                else:  # the last update of the epoch before
                    where = number - 1, n_batches - 1
                if not self._diverged(status, *where):
                    return False
                done = found
                continue
            fitting = (last - done) * self.chunk_seconds / max(seconds, 1e-9)
            self.chunk = max(1, min(n_batches, int(fitting)))
            done = last
            if done < n_batches:
                self._show(epoch, epochs, min(work.n_samples, done * work.batch_size))
            if callbacks:
                hooks.on_chunk_end()
            if self.cancelled is not None:
                self._stop_if_cancelled()
            if callbacks and done < n_batches:
                hooks.on_settled()
            if session.stopping is not None and done < n_batches:
                return False
        logs = {"loss": mean_loss(self.result_cells)}
        logs |= work.figures()
        if self.held.sets:
            figures = session.engine.validate(self.held.sets)
            self.val_loss = next(iter(figures.values()))
            logs |= figures
        if self.counts:
            epochs_ended, (plateau, scale) = rates.epochs + 1, rates.after_epoch(logs)
        else:
            epochs_ended, plateau, scale = rates.epochs, rates.plateau, rates.cells[SCALE]
        ended = number, work.n_samples / max(self.spent, 1e-9), logs
        telling = partial(self._tell_the_rest, number, logs) if callbacks else None
        recovery, judged = work.recovery, None
        if recovery is not None and recovery.reduces:
            judged = recovery.judged(logs["loss"], self.result_cells[lay.R_LAST_ERROR])
        # The epoch has ended for all or for none: no call that an interrupt could come after.
        rates.passes, rates.epochs = number + 1, epochs_ended
        work.in_epoch, self.unrecorded = False, ended
        self.history.network_epoch = number
        rates.plateau, rates.cells[SCALE] = plateau, scale
        self.telling = session.restoring = telling
        if recovery is not None and judged is not None:
            recovery.lowest, recovery.rising = judged
        if self.counts:
            rates.watch(logs)
        if callbacks:
            hooks.on_measured(session.parameters, logs)
            hooks.on_epoch_end(number, logs)
            if rates.late:
                self._told(logs)
                rates.watch(logs, late=True)
            else:
                self.telling = session.restoring = None
        self.record()
        if callbacks:
            hooks.on_settled()
        self._show(epoch, epochs, work.n_samples, True)
        return session.stopping is None

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
        if not (self.columns or self.hooks.callbacks):
            self.columns = self.history.columns(figures)

    def _finish(self) -> None:
        """The last updates have to have left finite weights too."""
        work = self.work
        if work.recovery is None or not work.recovery.snapshot.since:
            return
        if not work.snapshot(first=False):
            epochs, batches = self.session.engine.rates.passes, work.batches
            epoch = epochs if batches else epochs - 1
            self._diverged(lay.OK, epoch, (batches or work.n_batches) - 1)

    def _diverged(self, status: int, epoch: int, batch: int) -> bool:
        """Go back to the snapshot; return whether to go on from there."""
        session, recovery = self.session, self.work.recovery
        loss = float(self.results[lay.R_LAST_ERROR])
        what = f"the loss became {loss}" if status else "a weight became infinite or NaN"
        where = f"in epoch {epoch}, batch {batch}"
        if recovery is not None:
            recovery.go_back()
        reduces = recovery is not None and recovery.reduces
        if reduces and self.reductions < MOST_REDUCTIONS:
            self.reductions += 1
            session.engine.rates.scale /= 2.0
            self._warn(
                "%s %s: the learning rate is halved, %d of %d times",
                what, where, self.reductions, MOST_REDUCTIONS,
            )  # fmt: skip
            return True
        self.fallen = None if recovery is None else recovery.snapshot.place
        if session.engine.settings.on_divergence == "stop":
            session.stopping = f"{what} {where}"
            self._warn("%s %s: the fit ends", what, where)
            return False
        raise diverged(f"{what} {where}", self.reductions, (epoch, batch), self.history)

    # -- what is shown -----------------------------------------------------------------------------

    def _show(self, epoch: int, epochs: int, samples: int, done: bool = False) -> None:
        self.shown = epoch, epochs, samples, done
        report = self.report
        if report is not None and time.perf_counter() >= report.due:
            report(self._progress(*self.shown))

    def _progress(self, epoch: int, epochs: int, samples: int, done: bool) -> Progress:
        losses = mean_loss(self.result_cells), self.val_loss
        at = epoch, epochs, samples, self.work.n_samples, done
        return standing(at, self.spent, losses, self.held.figures.first, self.history)

    def _leave(self) -> None:
        """Tell who watches, and the log, where it has ended."""
        if self.report is not None:
            self.report.close(None if self.shown is None else self._progress(*self.shown))
        if self.history.stopped is not None:
            _LOG.info("the fit has ended early: %s", self.history.stopped)

    def _warn(self, what: str, *values: object) -> None:
        if self.report is not None:
            self.report.clear()
        _LOG.warning(what, *values)

    # -- states ------------------------------------------------------------------------------------

    def state(self) -> Saved:
        """Return what a checkpoint keeps of it, with where it stands inside an epoch."""
        data, sets = self.fingerprints
        return {
            **self.work.epoch_state(),
            **({} if self.counts else {"count_epochs": False}),
            "spent": self.spent,
            "reductions": self.reductions,
            "val_loss": self.val_loss,
            "data": data,
            "validation": provenance.of_sets(sets),
            "history": arrays_of(self.history),
            "callbacks": self.hooks.state(),
        }

    def set_state(self, state: Saved) -> None:
        """Stand where another stood, `check_fit` having let it pass; callbacks come later."""
        self.reductions, self.val_loss = state["reductions"], state["val_loss"]
        self.spent = state["spent"]
        fill(self.history, state["history"], self.held.figures)
        same = provenance.same_samples(state, self.fingerprints)
        self.work.set_epoch_state(state, same)

    def restore(self, saved: Saved) -> None:
        """Have this fit, and its session, stand where a saved one stood.

        Where an interrupt comes before that is so, the trainer's next use begins with it: half a
        state would be saved, and resumed from, as a whole one.
        """
        restoring = partial(self.restore, saved)
        self.begun, self.session.restoring = True, restoring
        self.session.set_state(saved)
        if saved["fit"] is not None:
            self.set_state(saved["fit"])
        self.session.restoring = None
