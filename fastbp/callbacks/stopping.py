"""Callbacks that end a `fit`, and give the best weights back."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastbp.callbacks.base import Callback, Logs, Trainer
from fastbp.callbacks.monitor import Monitor
from fastbp.callbacks.nan_watch import NaNWatch
from fastbp.checks import integer, real
from fastbp.files.container import check_keys
from fastbp.history import History
from fastbp.runtime.parameters import Parameters


class _Best:
    """The best figure so far, its epoch, and the weights that had it."""

    def __init__(self, monitor: str, rises: bool, min_delta: float) -> None:
        self.monitor, self.rises, self.min_delta = monitor, rises, min_delta
        self.figure = -math.inf if self.rises else math.inf
        self.epoch: int | None = None
        self.weights: list[NDArray[Any]] | None = None
        self._version: int | None = None  # of the network's parameters, when they were these
        # The parameters' version when an epoch's figures were taken, and the weights, if another
        # callback may change them before this one sees the figures.
        self._measured: tuple[float, int, list[NDArray[Any]] | None] = math.nan, -1, None

    def measured(self, parameters: Parameters, figure: float, keep: bool) -> None:
        """The figure has been taken, and no callback has changed the weights since."""
        weights = parameters.unpack(parameters.buffer) if keep else None
        self._measured = figure, parameters.version, weights

    def differs(self, logs: Logs) -> bool:
        """Whether there is another figure now than the one that was measured."""
        return self.monitor in logs and logs[self.monitor] != self._measured[0]

    def judged(
        self, trainer: Trainer, figure: float, keep: bool
    ) -> tuple[float, list[NDArray[Any]] | None, int] | None:
        """Return `figure`, `weights` and `_version` where it is better by more than min_delta.

        The caller sets them: an interrupt finds all of that and what goes with it, or none.
        """
        figure = float(figure)
        gain = figure - self.figure if self.rises else self.figure - figure
        if not gain > self.min_delta:
            return None
        measured, version, weights = self._measured
        if not keep:
            weights = None
        elif (
            weights is None or figure != measured
        ):  # nobody was told before, or has put a figure of its own there
            version, weights = trainer.position.changes, trainer.network.get_weights()
        if weights is not None and not all(np.isfinite(w).all() for w in weights):
            return None  # the epoch's last update has made them so: its figure is of those before
        return figure, weights, version

    def state(self) -> dict[str, Any]:
        return {"figure": self.figure, "epoch": self.epoch, "weights": self.weights}

    def set_state(self, state: dict[str, Any]) -> None:
        self.figure, self.epoch = float(state["figure"]), state.get("epoch")
        self.weights, self._version = state["weights"], None

    @staticmethod
    def check_state(parameters: Parameters, state: Any) -> None:
        """Raise for what `set_state` can't take."""
        last = "latest" if isinstance(state, dict) and "latest" in state else "epoch"
        check_keys("a callback's best", state, {"figure", "weights", last})  # latest: in old files
        if type(state["figure"]) is not float or math.isnan(state["figure"]):
            raise ValueError(f"a callback's best figure must be a float, got {state['figure']!r}")
        if last == "epoch" and state["epoch"] is not None:
            integer("a callback's best epoch", state["epoch"], minimum=0, maximum=2**53)
        if state["weights"] is not None:
            parameters.checked(state["weights"])

    def give_back(self, trainer: Trainer) -> int | None:
        """Have the network's weights be the best ones; their epoch, if they were others."""
        if self.weights is None:
            return None
        position = trainer.position
        if position.all_counted and position.changes == self._version:
            return None
        trainer.network.set_weights(self.weights)
        self._version = trainer.position.changes
        return self.epoch


class _KeepsBest(Callback):
    """What those callbacks share at whose `fit` the best weights come back, whoever ends it."""

    _best: _Best
    _monitor: Monitor
    _keeps = True  # whether weights are kept
    _waited = 0  # epochs since the best one
    _seen: int | None = None  # the last epoch of this `fit`

    @property
    def best(self) -> float | None:
        """The best figure so far, of this `fit` or the last one."""
        return None if self._best.epoch is None else self._best.figure

    @property
    def best_epoch(self) -> int | None:
        """The epoch that had the best figure, counted as `History.epoch` is."""
        return self._best.epoch

    @property
    def best_weights(self) -> list[NDArray[Any]] | None:
        """Copies of the weights at the end of the best epoch; None if they are not kept."""
        weights = self._best.weights
        return None if weights is None else [w.copy() for w in weights]

    def _begin(self, min_delta: float) -> None:
        monitor = self._monitor
        self._best, self._given_back = _Best(monitor.name, monitor.rises, min_delta), None
        self._waited, self._seen = 0, None

    def check(self, names: Sequence[str]) -> None:
        self._monitor.check(names)

    def _found(self) -> dict[str, Any]:
        return {"monitor": self._monitor.name}

    def _see(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Take an epoch's figure in."""
        best, waited = self._best, self._waited + 1
        better = best.judged(trainer, logs[best.monitor], self._keeps)
        # All of it or nothing: there is no call in between that an interrupt could come after.
        if better is not None:
            (best.figure, best.weights, best._version), best.epoch, waited = better, epoch, 0
        self._waited, self._seen = waited, epoch

    def _epoch_cut_off(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        if self._seen != epoch and self._best.monitor in logs:
            self._see(trainer, epoch, logs)

    def _restored(self, best: dict[str, Any]) -> None:
        """Go on from what was the best, in a run whose first epoch has ended if there is one."""
        self._best.set_state(best)
        self._monitor.seen = self._best.epoch is not None or self._waited > 0

    def _measured(self, parameters: Parameters, logs: Logs, others: bool) -> None:
        monitor = self._best.monitor
        self._best.measured(parameters, logs.get(monitor, math.nan), others and monitor in logs)

    def _added(self, parameters: Parameters, logs: Logs, others: bool) -> None:
        if self._best.differs(logs):
            self._best.measured(parameters, logs[self._best.monitor], others)

    def on_train_end(self, trainer: Trainer, history: History) -> None:
        self._give_back(trainer)
        if self._given_back is not None:
            history.network_epoch = self._given_back

    def _give_back(self, trainer: Trainer) -> None:
        epoch = self._best.give_back(trainer)
        if epoch is not None:
            self._given_back, self._given_version = epoch, trainer.position.changes


class EarlyStopping(_KeepsBest):
    """Ends a `fit` when a figure has not become better for a while (Prechelt 1998).

    Parameters
    ----------
    monitor : str or None
        A figure of `History`; None is the loss on the validation data, of the first set where there
        are several. It may be one that a callback adds which comes earlier in the list.
    patience : int
        Epochs without progress that are still borne, at least 0. A NaN is no progress; so many in a
        row bring a RuntimeWarning, once a `fit`. Epochs in which a callback doesn't add the figure
        don't count, but in the first one it has to be there.
    min_delta : float
        What counts as progress: a change by more than this.
    restore_best_weights : bool
        Whether the network ends with the weights of its best epoch, whoever ends the `fit`: also
        another callback, divergence, an exception or an interrupt.
    mode : {"auto", "min", "max"}
        Which way the figure becomes better. "auto" is as the trainer's metric says, "min" for
        losses. A figure that a callback adds goes by the end of its name: "max" where that is a
        metric of fastbp's that rises, as in "mine_accuracy", else "min".

    Attributes
    ----------
    best : float or None
        The best figure so far; None before there was one.
    best_epoch : int or None
        The epoch that had it, counted as `History.epoch` is.
    best_weights : list of ndarray or None
        Copies of the weights at its end, as `Network.get_weights` gives them; None if they are not
        to be restored.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range; at the `fit`, that it has no such figure.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> trainer = fastbp.Trainer(net, "mse", fastbp.SGD(0.0), seed=0)  # which learns nothing
    >>> stopping = fastbp.EarlyStopping("loss", patience=2)
    >>> history = trainer.fit([1.0, 2.0], [1.0, 2.0], epochs=100, callbacks=[stopping])
    >>> history.stopped, stopping.best_epoch
    ('loss has not become better for 3 epochs', 0)
    """

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best_weights: bool = True,
        mode: Literal["auto", "min", "max"] = "auto",
    ) -> None:
        self._monitor = Monitor(type(self).__name__, monitor, mode)
        if not isinstance(restore_best_weights, bool):
            raise TypeError(
                f"restore_best_weights must be True or False, got {restore_best_weights!r}"
            )
        self.monitor = monitor
        self.patience = integer("patience", patience, minimum=0)
        self.min_delta = real("min_delta", min_delta, low=0.0)
        self.restore_best_weights = restore_best_weights
        self.mode = mode
        self._keeps = restore_best_weights
        self._begin(self.min_delta)

    def on_train_begin(self, trainer: Trainer) -> None:
        self._keeps = self.restore_best_weights
        self._begin(self.min_delta)
        self._watch = NaNWatch(type(self).__name__, self._monitor.name, self.patience)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        figure = self._monitor.figure(logs)
        if figure is not None:
            self._see(trainer, epoch, logs)
            self._stop_if_due(trainer)
            self._watch.see(figure)

    def _stop_if_due(self, trainer: Trainer) -> None:
        if self._waited > self.patience:
            trainer.stop(f"{self._monitor.name} has not become better for {self._waited} epochs")

    def state(self) -> dict[str, Any]:
        return {"waited": self._waited, "best": self._best.state()}

    def _check_state(self, parameters: Parameters, state: dict[str, Any]) -> None:
        check_keys("EarlyStopping", state, {"waited", "best"})
        integer("EarlyStopping's waited", state["waited"], minimum=0, maximum=2**53)
        _Best.check_state(parameters, state["best"])

    def restore(self, trainer: Trainer, state: dict[str, Any]) -> None:
        self._waited = int(state["waited"])
        self._restored(state["best"])
        self._stop_if_due(trainer)


class TimeBudget(_KeepsBest):
    """Ends a `fit` after so many seconds, with the weights of its best epoch.

    They come back whoever ends it.

    Parameters
    ----------
    seconds : float
        Above 0; training ends within about 100 ms of it, or one update where that is longer.
    monitor : str or None
        What tells the best epoch; None is the loss on the validation data, of the first set where
        there are several, and "loss" where there is none. Before the first epoch's end the weights
        stay as they are, and so they do where it is NaN in every epoch, which brings a
        RuntimeWarning.
    mode : {"auto", "min", "max"}
        As of `EarlyStopping`.

    Attributes
    ----------
    best : float or None
        As of `EarlyStopping`.
    best_epoch : int or None
        As of `EarlyStopping`.
    best_weights : list of ndarray or None
        As of `EarlyStopping`.

    Raises
    ------
    TypeError, ValueError
        As `EarlyStopping`.

    Examples
    --------
    >>> import fastbp
    >>> budget = fastbp.TimeBudget(60)
    """

    _of_this_call = ("seconds",)

    def __init__(
        self,
        seconds: float,
        monitor: str | None = None,
        mode: Literal["auto", "min", "max"] = "auto",
    ) -> None:
        self.seconds = real("seconds", seconds, low=0.0, low_open=True)
        self._monitor = Monitor(type(self).__name__, monitor, mode, without="loss")
        self.monitor, self.mode = monitor, mode
        self._begin(0.0)

    def on_train_begin(self, trainer: Trainer) -> None:
        self._begin(0.0)
        self._started = time.monotonic()
        self._watch = NaNWatch(type(self).__name__, self._monitor.name, None)

    def on_chunk_end(self, trainer: Trainer) -> None:
        if time.monotonic() - self._started >= self.seconds:
            trainer.stop(f"the budget of {self.seconds:g} s is spent")

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        figure = self._monitor.figure(logs)
        if figure is not None:
            self._see(trainer, epoch, logs)
            self._watch.see(figure)

    def state(self) -> dict[str, Any]:
        return self._best.state()

    def _check_state(self, parameters: Parameters, state: dict[str, Any]) -> None:
        _Best.check_state(parameters, state)

    def restore(self, trainer: Trainer, state: dict[str, Any]) -> None:
        self._restored(state)  # the budget is this call's own

    def on_train_end(self, trainer: Trainer, history: History) -> None:
        super().on_train_end(trainer, history)
        self._watch.end()
