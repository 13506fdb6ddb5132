"""The loop of a `fit`: epochs, cut into chunks of work; validation, callbacks, divergence."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp import solvers
from fastbp import state as states
from fastbp.callbacks import Callback
from fastbp.history import History, Progress
from fastbp.inputs import Samples
from fastbp.kernels import layout as lay
from fastbp.program import Program
from fastbp.rates import SCALE, STEPS

if TYPE_CHECKING:
    from fastbp.trainer import Trainer

Report = Callable[[Progress], object]

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
        report: Report | None,
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
        engine = trainer._engine
        self.snapshot = None
        if self.solver is None:
            self.program = engine.training(self.size)
            self.program.set_samples(
                *samples,
                batch=self.size,
                shuffle_seed=trainer.seed if trainer.shuffle else None,
                dropout_seed=trainer.seed,
            )
            self.measuring = engine.measuring["training"]
            if trainer.on_divergence != "ignore":
                self.snapshot = engine.snapshot(self.size)
        else:
            self.program = self.solver
        self.results: NDArray[Any] = self.program.results
        self.chunk, self.since, self.reductions = 1, 0.0, 0
        self.chunk_seconds = min([_CHUNK_SECONDS, *(c._longest_chunk for c in callbacks)])
        self.val_loss: float | None = None

    def run(self, epochs: int) -> History:
        """Train; of a run that is resumed, `epochs` is the total."""
        trainer, network, history = self.trainer, self.trainer.network, self.history
        trainer._stopping = None
        try:
            network._begin_training(trainer)
            if self.resumed is not None:
                self._go_back(self.resumed)
                trainer._resuming = trainer._epochs_done
            first = trainer._resuming or 0
            if self.solver is not None:
                self.solver.begin(self.samples)
            if self.snapshot is not None:
                self.snapshot.take()
            for callback in self.callbacks:
                callback.on_train_begin(trainer)
            if self.resumed is not None:
                self._restore_callbacks(self.resumed)
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
                self._show(epoch, epochs, min(self.n, done * self.size), self.spent)
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
        self._show(epoch, epochs, self.n, self.spent, True)
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

    def state(self) -> states.State:
        """What a checkpoint keeps of this."""
        figures = {k: v for k, v in vars(self.history).items() if k != "stopped"}
        return {
            **states.position(self),
            "spent": self.spent,
            "reductions": self.reductions,
            "val_loss": self.val_loss,
            "data": states.fingerprint(self.samples),
            "history": {name: np.array(list_, np.float64) for name, list_ in figures.items()},
            "callbacks": [{"kind": type(c).__name__, "state": c.state()} for c in self.callbacks],
        }

    def _go_back(self, kept: states.State) -> None:
        """Stand where the saved run stood."""
        states.given(self.trainer, kept)
        fit = kept["fit"]
        if fit is None:
            return
        self.reductions, self.val_loss, self.spent = (
            fit["reductions"], fit["val_loss"], fit["spent"],
        )  # fmt: skip
        for name, values in fit["history"].items():
            kind = int if name == "epoch" else float
            vars(self.history)[name] = [kind(value) for value in values]
        if fit["inside"] and states.fingerprint(self.samples) == fit["data"]:
            self.measuring.begin(self.samples)
            self.measuring.sums[:] = fit["sums"]
            # The rest are places of threads, of which there may be another number.
            self.results[: lay.R_STATUS] = fit["results"][: lay.R_STATUS]
            self.inside = True

    def _restore_callbacks(self, kept: states.State) -> None:
        """Each from the first saved one of its kind that no other has been restored from."""
        saved = list(kept["fit"]["callbacks"]) if kept["fit"] is not None else []
        for callback in self.callbacks:
            for entry in saved:
                if entry["kind"] == type(callback).__name__:
                    callback.restore(self.trainer, entry["state"])
                    saved.remove(entry)
                    break

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
            return True
        if trainer.on_divergence == "stop":
            trainer.stop(f"{what} {where}")
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

    def _show(
        self, epoch: int, epochs: int, samples: int, spent: float, done: bool = False
    ) -> None:
        if self.report is None:
            return
        n, rate = self.n, samples / max(spent, 1e-9)
        left = ((epochs - epoch) * n - samples) / rate if rate else None
        loss = _mean(self.results)
        self.report(Progress(epoch, epochs, samples, n, loss, self.val_loss, rate, left, done))


def _mean(results: NDArray[Any]) -> float:
    weight = float(results[lay.R_WEIGHT])
    return float(results[lay.R_ERROR]) / weight if weight > 0.0 else math.nan


def reporter(progress: object) -> Report | None:
    """What is handed a `Progress`, from `fit`'s argument."""
    if progress is None or progress is False:
        return None
    if progress is True:
        return _print_epoch
    if callable(progress):
        return progress
    raise TypeError(f"progress must be True, False, None or a callable, got {progress!r}")


def _print_epoch(p: Progress) -> None:
    if p.done_epoch:
        validation = "" if p.val_loss is None else f"  val_loss {p.val_loss:.6g}"
        print(
            f"epoch {p.epoch + 1}/{p.epochs}  loss {p.loss:.6g}{validation}"
            f"  {p.samples_per_second:,.0f} samples/s",
            file=sys.stderr,
        )
