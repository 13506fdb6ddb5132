"""The trainer: checks, preallocation, then one call a chunk of work into the kernels."""

from __future__ import annotations

import math
import secrets
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import inputs, losses, optimizers, panels, solvers
from fastbp.activations import name_of
from fastbp.checks import choice, integer, real
from fastbp.engine import Engine
from fastbp.history import History, Progress
from fastbp.kernels import layout as lay
from fastbp.network import Network
from fastbp.prediction import Threads
from fastbp.program import Program
from fastbp.split import validation_split as split_off
from fastbp.team import check_threads

Array = NDArray[Any]
_CHUNK_SECONDS = 0.1  # Python is back in charge about so often


class DivergenceError(ArithmeticError):
    """The loss became infinite or NaN. The network is as the last finished update left it.

    Attributes
    ----------
    history : History or None
        Up to the last finished epoch of the `fit`.
    """

    history: History | None = None


class Trainer:
    """Trains a network by backpropagation.

    Parameters
    ----------
    network : Network
        Trained in place.
    loss : str or Loss
        "mse", "half_squared_error", "binary_cross_entropy" (takes a sigmoid output layer) or
        "cross_entropy" (takes a softmax output layer), or an object such as ``fastbp.MSE()``.
    optimizer : str or Optimizer
        A name such as "sgd", "adam" or "lbfgs", with its defaults, or an object such as
        ``fastbp.Adam(1e-3)``.
    batch_size : int or None
        Samples per update; None, or more than there are, is the whole set. "lbfgs" and
        "levenberg_marquardt" take None.
    shuffle : bool
        Whether each epoch visits the samples in a new random order.
    seed : int or None
        Of the shuffling, 0 ... 2⁶⁴ - 1. None draws one, kept in `seed`.
    n_threads : int or "auto"
        The most threads to use. Results are bitwise the same with any number.
    on_divergence : {"raise", "stop", "ignore"}
        What to do when a batch's loss is not finite: raise `DivergenceError`, end the `fit`, or go
        on. With the first two, that batch makes no update. "lbfgs" and "levenberg_marquardt" meet
        it at their start only, and then can't go on.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range, or loss and output layer don't go together.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> net = fastbp.Network(2, [fastbp.Dense(8, "tanh"), fastbp.Dense(1, "sigmoid")], seed=1)
    >>> trainer = fastbp.Trainer(net, "binary_cross_entropy", fastbp.Adam(0.05), seed=1)
    >>> history = trainer.fit(X, [0, 1, 1, 0], epochs=300)
    >>> net.predict_classes(X).tolist()
    [0, 1, 1, 0]
    """

    def __init__(
        self,
        network: Network,
        loss: str | losses.Loss,
        optimizer: str | optimizers.Optimizer = "sgd",
        *,
        batch_size: int | None = 32,
        shuffle: bool = True,
        seed: int | None = None,
        n_threads: Threads = "auto",
        on_divergence: Literal["raise", "stop", "ignore"] = "raise",
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a fastbp.Network, got {type(network).__name__}")
        self.network = network
        self.loss = losses.resolve(loss, name_of(network.layers[-1].activation))
        self.optimizer = optimizers.resolve(optimizer)
        self.batch_size = integer("batch_size", batch_size, minimum=1, none=True)
        if not isinstance(shuffle, (bool, np.bool_)):
            raise TypeError(f"shuffle must be True or False, got {shuffle!r}")
        self.shuffle = bool(shuffle)
        seed = secrets.randbits(63) if seed is None else seed
        self.seed = integer("seed", seed, minimum=0, maximum=2**64 - 1)
        check_threads(n_threads)
        self.n_threads = n_threads
        self.on_divergence = choice("on_divergence", on_divergence, ["raise", "stop", "ignore"])
        self._epochs_done = 0
        self._busy = threading.Lock()
        self._engine = Engine(
            network, self.loss, self.optimizer, n_threads, self.on_divergence != "ignore"
        )
        self._solver = solvers.driver(self.optimizer, self._engine, self.loss)
        if self._solver is not None and self.batch_size is not None:
            raise ValueError(
                f"batch_size must be None (the whole set) for {type(self.optimizer).__name__}, "
                f"got {self.batch_size}"
            )

    @property
    def learning_rate(self) -> float:
        """The rate of the next update; may be set between calls."""
        return float(self._engine.rates[0])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if isinstance(self.optimizer, optimizers.LevenbergMarquardt):
            raise ValueError("learning_rate can't be set: LevenbergMarquardt has a damping instead")
        self._engine.rates[0] = real("learning_rate", value, low=0.0)

    @property
    def nbytes(self) -> int:
        """Bytes that the trainer holds: optimizer slots and workspace."""
        return self._engine.nbytes + (0 if self._solver is None else self._solver.nbytes)

    # -- training ----------------------------------------------------------------------------------

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        epochs: int = 1,
        *,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float = 0.0,
        sample_weight: ArrayLike | None = None,
        progress: bool | Callable[[Progress], object] | None = None,
    ) -> History:
        """Train for `epochs` more epochs.

        Parameters
        ----------
        X : array_like
            Samples: (n,) for one feature, (n, n_inputs), or (n, d1, d2, ...) flattened per sample;
            any real dtype and strides. Read where it stands, batch by batch.
        y : array_like
            Targets: (n,) for one output, or (n, n_outputs). For "cross_entropy", class ids (n,) or
            class probabilities (n, n_outputs) whose rows sum to 1.
        epochs : int
            Times that every sample is visited, at least 0; iterations of "lbfgs" and
            "levenberg_marquardt", which may end sooner (`History.stopped`).
        validation_data : (X, y) or (X, y, sample_weight), or None
            The loss on it is taken after each epoch.
        validation_split : float
            In [0, 1): hold out the last so much of the samples as validation data.
        sample_weight : array_like or None
            (n,), at least 0, not all 0.
        progress : bool, callable or None
            True prints a line an epoch to stderr. A callable is handed a `Progress` about every
            100 ms and at each epoch's end.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            An argument is of a wrong kind, shape or range, or holds a NaN or an infinity; nothing
            has changed.
        DivergenceError
            The loss is not finite, with ``on_divergence="raise"``.
        RuntimeError
            This trainer is at work in another thread.
        """
        epochs = integer("epochs", epochs, minimum=0)
        report = _reporter(progress)
        real("validation_split", validation_split, low=0.0, high=1.0, high_open=True)
        if validation_split and validation_data is not None:
            raise ValueError("give validation_data or validation_split, not both")
        samples = self._sources(X, y, sample_weight)
        validation = None if validation_data is None else self._validation(validation_data)
        if validation_split:
            samples, validation = split_off(samples, validation_split)
        self._refuse_others()
        with self._busy:
            return self._fit(samples, epochs, validation, report)

    def step(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """One update; the whole of X is the batch.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        float
            The batch's loss before its update.

        Raises
        ------
        TypeError, ValueError, DivergenceError, RuntimeError
            As `fit`.
        """
        samples = self._sources(X, y, sample_weight)
        self._refuse_others()
        with self._busy:
            if self._solver is not None:
                self._solver.begin(samples)
                status, loss = self._solver.iterate()
                self._check(status, self._solver)
                return loss
            program = self._engine.training(samples[0].n)
            program.set_samples(*samples)
            with self.network._gate, self.network._write_lock:
                status = self._engine.run(program, 0, 1)
                self.network._publish()
            self._check(status, program)
            return float(program.results[lay.R_LAST_ERROR])

    def gradients(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, list[Array]]:
        """The loss and its gradients; nothing is updated.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; the whole of X is the batch.

        Returns
        -------
        loss : float
        gradients : list of ndarray
            ``[dW0, db0, dW1, db1, ...]``, shaped as `Network.get_weights`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`.
        """
        samples = self._sources(X, y, sample_weight)
        self._refuse_others()
        with self._busy:
            program = self._engine.gradients(samples[0].n)
            program.set_samples(*samples)
            with self.network._reading() as parameters:
                program.set_parameters(parameters)
                status = self._engine.run(program, 0, 1)
            self._check(status, program)
            return float(program.results[lay.R_LAST_ERROR]), panels.read(
                self.network, program.gradients[0]
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
            ``{"loss": ...}``

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`.
        """
        samples = self._sources(X, y, sample_weight)
        self._refuse_others()
        with self._busy:
            return {"loss": self._evaluated(samples)}

    # -- inside ------------------------------------------------------------------------------------

    def _fit(
        self,
        samples: inputs.Samples,
        epochs: int,
        validation: inputs.Samples | None,
        report: Callable[[Progress], object] | None,
    ) -> History:
        n = samples[0].n
        size = n if self.batch_size is None else min(self.batch_size, n)
        n_batches = -(-n // size)
        history = History()
        program: Program | solvers.Driver
        if self._solver is None:
            program = self._engine.training(size)
            shuffle_seed = self.seed if self.shuffle else None
            program.set_samples(*samples, batch=size, shuffle_seed=shuffle_seed)
        else:
            program = self._solver
        results, val_loss = program.results, None
        chunk = 1
        network = self.network
        try:
            network._begin_training(self)
            if self._solver is not None:
                self._solver.begin(samples)
            for epoch in range(epochs):
                results[:] = 0.0
                spent, done = 0.0, 0
                while done < n_batches:
                    last = min(n_batches, done + chunk)
                    started = time.perf_counter()
                    status = self._run(program, done, last)
                    seconds = time.perf_counter() - started
                    spent += seconds
                    if status == lay.NONFINITE_LOSS and self.on_divergence == "stop":
                        return history
                    if status == solvers.STOPPED:
                        return history
                    self._check(status, program, history)
                    fitting = (last - done) * _CHUNK_SECONDS / max(seconds, 1e-9)
                    chunk = max(1, min(n_batches, int(fitting)))
                    done = last
                    if report is not None and done < n_batches:
                        seen = done * size
                        report(_progress(epoch, epochs, seen, n, results, val_loss, spent))
                self._epochs_done += 1
                history.epoch.append(self._epochs_done - 1)
                history.loss.append(_mean(results))
                history.samples_per_second.append(n / max(spent, 1e-9))
                if validation is not None:
                    val_loss = self._evaluated(validation)
                    history.val_loss.append(val_loss)
                if report is not None:
                    report(_progress(epoch, epochs, n, n, results, val_loss, spent, True))
        finally:
            network._end_training(self)
            history.stopped = None if self._solver is None else self._solver.stopped
        return history

    def _run(self, program: Program | solvers.Driver, first: int, last: int) -> int:
        """Some batches of an epoch, or a solver's iteration."""
        if isinstance(program, solvers.Driver):
            return program.iterate()[0]
        program.table[lay.EPOCH] = self._epochs_done
        with self.network._gate, self.network._write_lock:
            status = self._engine.run(program, first, last)
            self.network._publish()
        return status

    def _sources(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, prefix: str = ""
    ) -> inputs.Samples:
        """Every check of samples, targets and weights; nothing has changed yet."""
        network, loss = self.network, self.loss._kernel
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

    def _validation(self, data: tuple[Any, ...]) -> inputs.Samples:
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            got = type(data).__name__ + (
                f" of {len(data)}" if isinstance(data, (tuple, list)) else ""
            )
            raise TypeError(f"validation_data must be (X, y) or (X, y, sample_weight), got {got}")
        return self._sources(
            data[0], data[1], data[2] if len(data) == 3 else None, "validation_data's "
        )

    def _evaluated(self, samples: inputs.Samples) -> float:
        status, program = self._engine.evaluate(samples)
        self._check(status, program)
        return float(program.results[lay.R_LAST_ERROR])

    def _check(
        self, status: int, program: Program | solvers.Driver, history: History | None = None
    ) -> None:
        """Raise what a kernel's status means."""
        if status in (lay.OK, solvers.STOPPED):
            return
        if status == lay.NONFINITE_LOSS:
            error = DivergenceError(
                f"the loss became {program.results[lay.R_LAST_ERROR]} "
                f"in epoch {self._epochs_done}, batch {int(program.results[lay.R_BATCHES])}; "
                "a lower learning_rate may help. The network is as the last finished update left it"
            )
            error.history = history
            raise error
        what = {lay.BAD_X: "X", lay.BAD_Y: "y", lay.BAD_WEIGHT: "sample_weight"}[status]
        raise ValueError(
            f"{what} holds a value that is not finite in {self.network.dtype} or no class id; "
            "it is a memory map, read as it is trained on, and training has stopped at the last "
            "finished update"
        )

    def _refuse_others(self) -> None:
        """Refuse a second thread, and a callback.

        What follows takes the lock by a plain `with`, which an interrupt can't come into.
        """
        if self._busy.locked():
            raise RuntimeError("this trainer is at work in another thread; use one for each")


def _mean(results: NDArray[np.float64]) -> float:
    weight = float(results[lay.R_WEIGHT])
    return float(results[lay.R_ERROR]) / weight if weight > 0.0 else math.nan


def _progress(
    epoch: int,
    epochs: int,
    samples: int,
    n: int,
    results: NDArray[np.float64],
    val_loss: float | None,
    spent: float,
    done: bool = False,
) -> Progress:
    rate = samples / max(spent, 1e-9)
    left = ((epochs - epoch) * n - samples) / rate if rate else None
    return Progress(epoch, epochs, samples, n, _mean(results), val_loss, rate, left, done)


def _reporter(progress: object) -> Callable[[Progress], object] | None:
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
