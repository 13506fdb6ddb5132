"""What a trainer does without a fit: an update, gradients, an evaluation; and for compiled code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastbp.checks import integer
from fastbp.data import inputs
from fastbp.ffi.c_function import CFunction
from fastbp.ffi.states import State
from fastbp.kernels import layout as lay
from fastbp.network import Network
from fastbp.objectives import custom
from fastbp.runtime.forking import Watched
from fastbp.training import solvers
from fastbp.training.engine import Engine
from fastbp.training.settings import Settings
from fastbp.training.status import DivergenceError, check

Array = NDArray[Any]


class Stepping(Watched):
    """The part of `Trainer` that takes samples once, and hands itself to compiled code."""

    network: Network
    _settings: Settings
    _engine: Engine
    _solver: solvers.Driver | None
    _busy: threading.Lock
    _compared = False  # whether the derivatives of custom functions have been, at what they meet
    _restoring: Callable[[], None] | None = None  # what an interrupt has come into
    _torn = False  # whether the process was forked while another thread was at work with it

    def step(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """One update; the whole of X is the batch.

        Parameters
        ----------
        X, y
            As for `fit`.
        sample_weight : array_like or None
            (n,), at least 0, not all 0. It scales the step: the error is sum w e / n, there being
            no set whose mean weight it could be measured by.

        Returns
        -------
        float
            That error before the update.

        Raises
        ------
        TypeError, ValueError, DivergenceError, RuntimeError
            As `fit`.
        """
        samples = self._sources(X, y, sample_weight)
        self._refuse_others()
        self._compare_custom(samples)
        with self._busy:
            if self._solver is not None:
                self._solver.begin(samples)
                status, loss = self._solver.iterate()
                check(status, self._solver.results, self.network.dtype)
                return loss
            program = self._engine.training(samples[0].n)
            program.set_samples(*samples, dropout_seed=self._settings.seed)
            engine = self._engine
            engine.rates.give(program, 1)
            if engine.stop_on_nonfinite:
                engine.before_step()
            status = engine.train(program, 0, 1)
            if status:
                check(status, program.results, self.network.dtype)
            if engine.stop_on_nonfinite and not engine.after_step(samples[0].n):
                self._go_back()
            return float(program.result_cells[lay.R_LAST_ERROR])

    def _go_back(self) -> None:
        """After a step that has left a weight that is not finite."""
        snapshot, rates = self._engine.snapshot, self._engine.rates
        made = int(snapshot.since)
        snapshot.restore()
        rates.steps -= made
        raise DivergenceError(
            "a weight became infinite or NaN by this update; a lower learning_rate may help. "
            f"The network is as it was {'' if made == 1 else f'{made} updates '}before it"
        )

    def gradients(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, list[Array]]:
        """The loss and its gradients; nothing is updated.

        Parameters
        ----------
        X, y, sample_weight
            As for `step`; the whole of X is the batch.

        Returns
        -------
        loss : float
            The error sum w e / n that is differentiated, without penalties.
        gradients : list of ndarray
            ``[dW0, db0, dW1, db1, ...]``, shaped as `Network.get_weights`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`.
        """
        samples = self._sources(X, y, sample_weight)
        self._refuse_others()
        self._compare_custom(samples)
        with self._busy:
            program = self._engine.gradients(samples[0].n)
            program.set_samples(*samples)
            parameters = self._engine.parameters
            status = parameters.read(self._engine.run_at, program)
            check(status, program.results, self.network.dtype)
            return (
                float(program.results[lay.R_LAST_ERROR]),
                parameters.unpack(program.gradients[0]),
            )

    def evaluate(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """The loss of the network as it is.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        dict
            ``{"loss": ..., metric: ...}``; the loss is sum w e / sum w.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`.
        """
        samples = self._sources(X, y, sample_weight)
        self._refuse_others()
        with self._busy:
            return self._evaluated(samples)

    def compiled(self, *, rows: int | None = None) -> State:
        """A state for the functions of `fastbp.jit`, by which compiled code trains and predicts.

        It shares the parameters, the optimizer's state, the learning rate and the number of updates
        with this trainer, which it keeps alive: changes are seen both ways. Epochs, metrics,
        snapshots and `History` are not for it, and nobody is locked out meanwhile: don't use it
        while another thread uses the trainer or the network.

        Parameters
        ----------
        rows : int or None
            The most samples of an update; None is `batch_size`, or 1 where that is None.

        Returns
        -------
        tuple of ndarray
            For one thread at a time; a copy of it is refused.

        Raises
        ------
        TypeError, ValueError
            `rows` is not right; or the learning rate is a schedule, or the optimizer a solver over
            whole sets, which can't be carried there.
        """
        most = integer("rows", rows, minimum=1, none=True) or self._settings.batch_size or 1
        self._refuse_torn()
        if self._solver is not None:
            solver = type(self._settings.optimizer).__name__
            raise ValueError(
                f"compiled() doesn't go with {solver}, which works on whole "
                "sets; use another optimizer"
            )
        if (schedule := self._engine.rates.schedule) is not None:
            raise ValueError(
                "compiled() takes a number for learning_rate, not a schedule "
                f"({type(schedule).__name__}), whose rates Python works out; "
                "set trainer.learning_rate as you go"
            )
        return self._engine.compiled(most, self._settings.seed)

    def c_function(self, *, rows: int | None = None) -> CFunction:
        """Training as a C function: one update by n rows, whose loss before it goes to ``out[0]``.

        `in` holds n rows of inputs and, behind them all, n rows of targets (`fastbp.jit`).

        Parameters
        ----------
        rows : int or None
            As for `compiled`; what that refuses, this does.
        """
        return CFunction(self.compiled(rows=rows), training=True)

    # -- inside ------------------------------------------------------------------------------------

    def _sources(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, prefix: str = ""
    ) -> inputs.Samples:
        """Every check of samples, targets and weights; nothing has changed yet."""
        network, loss = self.network, self._settings.loss._kernel
        dtype = network.dtype
        x = inputs.features(X, network.n_inputs, dtype, prefix + "X")
        targets = inputs.targets(
            y,
            x.n,
            network.layers[-1].units,
            dtype,
            classes=loss.classes,
            low=loss.low,
            whole=loss.whole,
            high=loss.high,
            name=prefix + "y",
        )
        if sample_weight is None:
            return x, targets, None
        weights = inputs.sample_weights(sample_weight, x.n, dtype, prefix + "sample_weight")
        return x, targets, weights

    def _compare_custom(self, samples: inputs.Samples) -> None:
        """Compare the derivatives of custom functions, the first time that this trainer trains."""
        if not self._compared:
            net, loss = self.network, self._settings.loss
            custom.compare_at(
                net.layers, net.dtype, loss, samples, net.activations, net.get_weights
            )
            self._compared = True

    def _evaluated(self, samples: inputs.Samples) -> dict[str, float]:
        status, program = self._engine.evaluate(samples)
        check(status, program.results, self.network.dtype)
        loss = float(program.results[lay.R_LAST_ERROR])
        return {"loss": loss, **self._engine.measuring["evaluation"].figures()}

    def _refuse_others(self) -> None:
        """Refuse a second thread, and a callback.

        What follows takes the lock by a plain `with`, which an interrupt can't come into.
        """
        self._refuse_torn()
        if self._busy.locked():
            raise RuntimeError("this trainer is at work in another thread; use one for each")

    def _refuse_torn(self) -> None:
        """Refuse a trainer that a fork has torn; finish what an interrupt has broken off."""
        if self._restoring is not None and not self._busy.locked():
            self._restoring()
        if self._torn:
            raise RuntimeError(
                "this trainer was at work in another thread when the process was forked, so that "
                "its optimizer's state may be half updated here; build a new Trainer: the network "
                "is as after its last finished update"
            )
