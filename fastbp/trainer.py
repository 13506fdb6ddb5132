"""The trainer: what a person calls; arguments are checked and handed on to the session and fits."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

from numpy.typing import ArrayLike, NDArray

from fastbp import optimizers
from fastbp.callbacks.base import Callback, Position
from fastbp.callbacks.hooks import Hooks
from fastbp.checks import flag, integer
from fastbp.data import inputs
from fastbp.ffi.c_function import CFunction
from fastbp.ffi.states import State
from fastbp.files import checkpoints, container
from fastbp.history import History
from fastbp.network import Network, description, from_description, parameters_of
from fastbp.objectives import custom, losses
from fastbp.objectives.metric import Metric
from fastbp.objectives.metrics import MetricLike
from fastbp.runtime.team import Threads
from fastbp.training import arguments, settings
from fastbp.training.background import BackgroundFit
from fastbp.training.fit import Fit
from fastbp.training.measuring import completed
from fastbp.training.progress import Choice, Watcher, watcher
from fastbp.training.resuming import check_fit, keeps_thresholds, saved_state
from fastbp.training.session import Saved, Session, check_architecture
from fastbp.training.settings import OnDivergence, Settings

T = TypeVar("T")


class _Setting(Generic[T]):
    """One of a trainer's settings, as an attribute of it.

    Parameters
    ----------
    may_be_set : bool
        Whether another value may be set, which is checked: what each call looks at. Buffers and
        compiled code stand for the others.
    """

    def __init__(self, *, may_be_set: bool = False) -> None:
        self.may_be_set = may_be_set

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, trainer: None, owner: type) -> _Setting[T]: ...
    @overload
    def __get__(self, trainer: Trainer, owner: type) -> T: ...
    def __get__(self, trainer: Trainer | None, owner: type) -> _Setting[T] | T:
        if trainer is None:
            return self
        return getattr(trainer._session.engine.settings, self.name)  # type: ignore[no-any-return]

    def __set__(self, trainer: Trainer, value: T) -> None:
        if not self.may_be_set:
            raise AttributeError(f"{self.name} can't be set: build another Trainer")
        engine = trainer._session.engine
        engine.settings = engine.settings.changed(self.name, value)


class Trainer:
    """Trains a network by backpropagation.

    Parameters
    ----------
    network : Network
        Trained in place.
    loss : str or Loss
        By name ("mse", "cross_entropy", which takes a softmax output layer, "binary_cross_entropy",
        which takes a sigmoid one, "huber", ...), also as other libraries call it
        ("sparse_categorical_crossentropy"), or an object such as ``fastbp.Huber(0.5)``.
    optimizer : str or Optimizer
        A name such as "sgd", "adam" or "lbfgs", with its defaults, or an object such as
        ``fastbp.Adam(1e-3)``.
    batch_size : int, None or "auto"
        Samples per update; None, or more than there are, is the whole set. "auto" is 32, and the
        whole set for "lbfgs" and "levenberg_marquardt", which take no less.
    shuffle : bool
        Whether each epoch visits the samples in a new random order.
    seed : int or None
        Of the shuffling, 0 ... 2⁶⁴ - 1. None draws one, kept in `seed`.
    n_threads : int or "auto"
        The most threads to use. Results are bitwise the same with any number. "auto" is as many
        as the process has processors, by its affinity, its control group's quota,
        ``OMP_NUM_THREADS`` and ``NUMBA_NUM_THREADS``; one in a pool's workers; fewer while other
        programs have the processors in use.
    metrics : sequence of str or Metric
        Figures beside the loss, for `History` and `evaluate`: "accuracy", "top_k" (of 5), "mae",
        "rmse", "r2", "f1", "precision", "recall", "balanced_accuracy", "auc", "average_precision",
        or objects such as ``fastbp.TopK(3)`` or a `CustomMetric`. Those of an epoch are taken batch
        by batch before the updates, as the loss is.
    clip_norm : float or None
        Scale an update's gradients by ``min(1, clip_norm / (norm + 1e-6))``, the norm being that of
        all of them together (Pascanu et al. 2013; as PyTorch's ``clip_grad_norm_``).
    clip_value : float or None
        Clip each value of the gradients to at most this, either way; before `clip_norm`.
    accumulate : int
        Batches whose gradients make one update: it is that of one batch so many times as large, to
        the last bit, and takes no more memory than that does.
    on_divergence : {"raise", "stop", "reduce", "ignore"}
        What a `fit` does when a batch's loss, or a weight, is not finite: go back to the last
        snapshot of finite weights, and raise `DivergenceError`, end, or halve the learning rate and
        go on from that batch, at most 5 times; or take no notice. Snapshots are taken at the ends
        of epochs, and within long ones: at most an epoch is lost, or a fiftieth of all updates
        before, or as many as take fifty times as long as a copy of weights and optimizer. For
        "reduce" only those of epochs are taken whose loss was the lowest so far, and if one leads
        to divergence again it goes back to where the `fit` began. `step` raises likewise.
        "lbfgs" and "levenberg_marquardt" meet it at their start only.

    Attributes
    ----------
    network : Network
        The one that is trained.
    loss : Loss
        As an object; build another trainer for another one.
    optimizer : Optimizer
        As an object; build another trainer for another one.
    metrics : tuple of Metric
        As objects; build another trainer for others.
    n_threads : int or "auto"
        As given.
    clip_norm : float or None
        As given.
    clip_value : float or None
        As given.
    batch_size : int, None or "auto"
        As given or set: it may be set between calls, as may those below.
    shuffle : bool
        As given or set.
    seed : int
        As given, drawn or set.
    accumulate : int
        As given or set.
    on_divergence : str
        As given or set.

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

    loss = _Setting[losses.Loss]()
    optimizer = _Setting[optimizers.Optimizer]()
    metrics = _Setting[tuple[Metric, ...]]()
    n_threads = _Setting[Threads]()
    clip_norm = _Setting["float | None"]()
    clip_value = _Setting["float | None"]()
    batch_size = _Setting["settings.BatchSize"](may_be_set=True)
    shuffle = _Setting[bool](may_be_set=True)
    seed = _Setting[int](may_be_set=True)
    accumulate = _Setting[int](may_be_set=True)
    on_divergence = _Setting[OnDivergence](may_be_set=True)

    def __init__(
        self,
        network: Network,
        loss: losses.LossLike,
        optimizer: optimizers.OptimizerLike = "sgd",
        *,
        batch_size: int | Literal["auto"] | None = "auto",
        shuffle: bool = True,
        seed: int | None = None,
        n_threads: Threads = "auto",
        metrics: Sequence[MetricLike] = (),
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        on_divergence: OnDivergence = "raise",
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a fastbp.Network, got {type(network).__name__}")
        self.network = network
        settings = Settings.of(
            network.layers[-1], loss, optimizer, metrics, batch_size=batch_size, shuffle=shuffle,
            seed=seed, n_threads=n_threads, on_divergence=on_divergence, accumulate=accumulate,
            clip_norm=clip_norm, clip_value=clip_value,
        )  # fmt: skip
        describe = functools.partial(description, network)
        self._session = Session(parameters_of(network), settings, describe)
        self._fit: Fit | None = None  # the last one

    @property
    def learning_rate(self) -> float:
        """The rate of the next update; may be set between calls, and by callbacks.

        Setting it scales a schedule from there on.
        """
        return self._session.engine.rates.value

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if isinstance(self.optimizer, optimizers.LevenbergMarquardt):
            raise ValueError("learning_rate can't be set: LevenbergMarquardt has a damping instead")
        self._session.engine.rates.value = value

    @property
    def nbytes(self) -> int:
        """Bytes that the trainer holds: optimizer slots, workspace, the snapshot of a `fit`."""
        return self._session.nbytes

    # -- training ----------------------------------------------------------------------------------

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        epochs: int = 1,
        *,
        validation_data: arguments.ValidationData = None,
        validation_split: float = 0.0,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
        callbacks: Sequence[Callback] = (),
        progress: Choice = None,
        resume: str | os.PathLike[str] | None = None,
        count_epochs: bool = True,
    ) -> History:
        """Train for `epochs` more epochs.

        Parameters
        ----------
        X : array_like
            Samples: (n,) for one feature, (n, n_inputs), or (n, d1, d2, ...) flattened per sample;
            any real dtype and strides. Read where it stands, batch by batch. A table of pandas,
            polars or pyarrow whose columns have several dtypes is copied once, into the network's
            dtype; rows go by their position, whatever their index.
        y : array_like
            Targets: (n,) for one output, or (n, n_outputs). For "cross_entropy", class ids (n,) or
            class probabilities (n, n_outputs) whose rows sum to 1. Two values for one output are
            taken for two classes: `Network.class_threshold` becomes their middle.
        epochs : int
            Times that every sample is visited, at least 0; iterations of "lbfgs" and
            "levenberg_marquardt", which may end sooner (`History.stopped`).
        validation_data : (X, y) or (X, y, sample_weight), dict of such, or None
            The loss and the metrics on it are taken after each epoch, and called "val_loss" and so
            on. Of a dict, each set's are called by its name, "test_loss" for "test"; the first
            one's loss is what callbacks and schedules watch unless they are told.
        validation_split : float
            In [0, 1): hold out the last so much of the samples as validation data. A UserWarning
            tells where these have classes that the others haven't, or the other way round, as they
            have of samples that are sorted.
        sample_weight : array_like or None
            (n,), at least 0, not all 0. An update by B samples has the error sum w e / (B m), m
            being the mean weight of all samples that are trained on: their size doesn't matter,
            their ratios do, at every batch size. A sample of weight 0 adds nothing, whatever its
            values, and counts in B and m; a batch of such samples makes no update. Few heavy
            samples make heavy batches: `clip_norm`, a larger `batch_size` or "adam" help.
        class_weight : mapping, "balanced" or None
            Weights by class id, times those of the samples; 1 for a class that it leaves out.
            "balanced" is n / (k count), for the k classes that occur. The loss that is trained on
            has them; metrics and validation don't.
        callbacks : sequence of Callback
            What is called as training goes, in this order.
        progress : None, bool, "lines" or callable
            None shows a bar where stderr is a terminal or a notebook's and tqdm is there (extra
            ``progress``), once training has taken 0.3 s, and nothing elsewhere or in the worker
            processes of a pool. True shows the bar at once, and where there can be none writes a
            line an epoch to stderr, as "lines" does everywhere. A callable is handed a `Progress`
            about every 100 ms and at each epoch's end. False shows nothing.
        resume : path-like or None
            A checkpoint, or a folder of them (`Checkpoint`), to go on from: bit for bit as if there
            had been no break, with the same settings, data, callbacks, versions and CPU. `epochs`
            is the total then, and the trainer's own state and seed are given up. An empty folder,
            or none yet, is a beginning. Other settings are refused, and what else differs is named;
            of data in memory any value is seen, of memory maps 64 rows are looked at.
        count_epochs : bool
            Whether schedules by epochs go on with this call's epochs. False leaves their clock as
            it is, for a call on a chunk of the data: `end_epoch` moves it on when all chunks have
            had their turn. Each pass still has an order of its own. `History` and callbacks number
            the passes (``trainer.position.passes``), as does `epochs` where a run is resumed, and
            `ReduceOnPlateau` looks at nothing.

        Returns
        -------
        History
            Figures of each epoch; `history` has them too.

        Raises
        ------
        TypeError, ValueError
            An argument is of a wrong kind, shape or range, or holds a NaN or an infinity; or
            `resume` has no checkpoint that is whole, or one of another trainer; nothing has
            changed.
        DivergenceError
            The loss is not finite, with ``on_divergence="raise"``.
        RuntimeError
            This trainer is at work in another thread, or a callback calls this in its own `fit`.

        Warns
        -----
        RuntimeWarning
            Data, callbacks, seed, versions or CPU are others than those of the run that is resumed.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> X = np.linspace(-1, 1, 64)
        >>> net = fastbp.Network(1, [fastbp.Dense(8, "tanh"), fastbp.Dense(1)], seed=0)
        >>> trainer = fastbp.Trainer(net, "mse", fastbp.Adam(0.01), batch_size=8, seed=0)
        >>> history = trainer.fit(X, X**2, epochs=20, validation_split=0.25)
        >>> len(history.loss), len(history.val_loss), history.loss[-1] < history.loss[0]
        (20, 20, True)
        """
        epochs, report = integer("epochs", epochs, minimum=0), watcher(progress)
        made = self._prepared(
            callbacks, resume, count_epochs,
            X, y, validation_data, validation_split, sample_weight, class_weight,
        )  # fmt: skip
        self._session.refuse_others()
        lock, held = self._session.lock, False
        try:  # as `Lock.holding` does, which knows nothing of fits
            for held in lock.taking:  # noqa: B007
                break
            return self._fitted(made, epochs, report)
        finally:
            try:
                if held:
                    lock.release()
            finally:
                pass

    def fit_async(
        self,
        X: ArrayLike,
        y: ArrayLike,
        epochs: int = 1,
        *,
        validation_data: arguments.ValidationData = None,
        validation_split: float = 0.0,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
        callbacks: Sequence[Callback] = (),
        progress: Choice = None,
        resume: str | os.PathLike[str] | None = None,
        count_epochs: bool = True,
    ) -> BackgroundFit:
        """`fit` in a thread of its own, which ends with the process at the latest.

        Arguments are checked here and now. Until it ends, other uses of this trainer are refused,
        and `Network.predict` sees finished updates.

        Parameters
        ----------
        X : array_like
            As for `fit`. Don't write to the arrays meanwhile.
        y : array_like
            As for `fit`.
        epochs : int
            As for `fit`.
        validation_data : (X, y) or (X, y, sample_weight), dict of such, or None
            As for `fit`.
        validation_split : float
            As for `fit`.
        sample_weight : array_like or None
            As for `fit`.
        class_weight : mapping, "balanced" or None
            As for `fit`.
        callbacks : sequence of Callback
            As for `fit`; called in that thread.
        progress : None, bool, "lines" or callable
            As for `fit`; called in that thread. A bar has to be asked for, by True: the terminal is
            the program's own meanwhile.
        resume : path-like or None
            As for `fit`.
        count_epochs : bool
            As for `fit`.

        Returns
        -------
        BackgroundFit
            With ``progress``, ``cancel()``, ``done()`` and ``result()``; may be awaited in asyncio.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`, for arguments and a trainer at work; what comes later, `result` raises.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
        >>> trainer = fastbp.Trainer(net, "mse", seed=0)
        >>> handle = trainer.fit_async(np.ones((8, 2)), np.ones(8), epochs=3)
        >>> handle.result().epoch
        [0, 1, 2]
        """
        epochs = integer("epochs", epochs, minimum=0)
        shown_by = watcher(progress, background=True)
        made = self._prepared(
            callbacks, resume, count_epochs,
            X, y, validation_data, validation_split, sample_weight, class_weight,
        )  # fmt: skip
        self._session.refuse_others()

        def work(report: Watcher, cancelled: Callable[[], bool]) -> History:
            return self._fitted(made, epochs, report, cancelled)

        return BackgroundFit(shown_by, self._session.lock, work)

    def step(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """One update; the whole of X is the batch.

        Parameters
        ----------
        X : array_like
            Samples, as for `fit`; all of them are one batch, worked on in blocks.
        y : array_like
            Targets, as for `fit`.
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

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
        >>> net.set_weights([[[3.0]]])
        >>> trainer = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(0.25))
        >>> trainer.step([[2.0]], [[5.0]])
        0.5
        >>> net.get_weights()[0].tolist()
        [[2.5]]
        """
        samples = self._samples(X, y, sample_weight)
        self._session.refuse_others()
        self._compare_custom(samples)
        return self._session.lock.holding(self._session.update, samples)

    def end_epoch(self, logs: Mapping[str, float] | None = None) -> None:
        """End an epoch of a loop of one's own: of `step`, or of ``fit(count_epochs=False)``.

        Schedules that count epochs go on by one, as does ``trainer.position.epochs``; those that
        count updates go on with each update, and need no word. `ReduceOnPlateau` judges by `logs`.
        The solvers have no such schedules: it is counted, and that is all.

        A `fit` with ``count_epochs=True`` ends its own epochs. Where one has been interrupted
        within an epoch, the rest of that epoch is given up, as the next `fit` gives it up.

        Parameters
        ----------
        logs : mapping of str to float, or None
            Figures of the epoch. For `ReduceOnPlateau` it has the one that its `monitor` names;
            else it may be left out.

        Raises
        ------
        TypeError, ValueError
            `logs` is no mapping of figures, or lacks the one that the schedule looks at; nothing
            has changed.
        RuntimeError
            A callback has called this in a `fit` that counts its epochs itself, or this trainer is
            at work in another thread.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> X = np.linspace(-1, 1, 64)
        >>> net = fastbp.Network(1, [fastbp.Dense(4, "tanh"), fastbp.Dense(1)], seed=0)
        >>> rate = fastbp.StepDecay(0.1, every=1, gamma=0.5)
        >>> trainer = fastbp.Trainer(net, "mse", fastbp.SGD(rate), seed=0)
        >>> for epoch in range(2):
        ...     for first in range(0, 64, 16):
        ...         chunk = X[first : first + 16]
        ...         history = trainer.fit(chunk, chunk**2, count_epochs=False)
        ...     trainer.end_epoch()
        >>> trainer.position.epochs, trainer.position.passes, trainer.learning_rate
        (2, 8, 0.025)
        """
        session, fit = self._session, self._fit
        figures, names = arguments.of_epoch(session.engine.settings, logs)
        if session.asked_by_callback:
            if fit is None or fit.counts:
                raise RuntimeError(
                    "end_epoch was called by a callback of a fit that counts its epochs itself; "
                    "give that fit count_epochs=False, or leave end_epoch out"
                )
            session.end_epoch(figures, names)
            return
        session.refuse_others()
        work = None if fit is None else fit.work
        session.lock.holding(session.end_epoch, figures, names, work)

    def gradients(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, list[NDArray[Any]]]:
        """The loss and its gradients; nothing is updated.

        Parameters
        ----------
        X : array_like
            Samples, as for `fit`; all of them are one batch.
        y : array_like
            Targets, as for `fit`.
        sample_weight : array_like or None
            As for `step`.

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

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
        >>> net.set_weights([[[3.0]]])
        >>> loss, (dW,) = fastbp.Trainer(net, "half_squared_error").gradients([[2.0]], [[5.0]])
        >>> loss, dW.tolist()
        (0.5, [[2.0]])
        """
        samples, session = self._samples(X, y, sample_weight), self._session
        return session.looking(self._gradients, samples)

    def evaluate(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """The loss of the network as it is, and the metrics; within a `fit`, for callbacks as well.

        Parameters
        ----------
        X : array_like
            Samples, as for `fit`.
        y : array_like
            Targets, as for `fit`.
        sample_weight : array_like or None
            (n,), at least 0, not all 0.

        Returns
        -------
        dict of str to float
            ``{"loss": ..., metric: ...}``; the loss is sum w e / sum w.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
        >>> net.set_weights([[[1.0]]])
        >>> fastbp.Trainer(net, "mse", metrics=["mae"]).evaluate([1.0, 2.0], [1.0, 4.0])
        {'loss': 2.0, 'mae': 1.0}
        """
        samples, session = self._samples(X, y, sample_weight), self._session
        # A callback's has its own buffers, beside those of the validation data.
        use = "evaluation" if session.training.thread is None else "evaluation by a callback"
        return completed(session.looking(session.engine.evaluate, samples, use))

    def compiled(self, *, rows: int | None = None) -> State:
        """A state for the functions of `fastbp.jit`, by which compiled code trains and predicts.

        It shares the parameters, the optimizer's state, the learning rate and the number of updates
        with this trainer, which it keeps alive: changes are seen both ways. Epochs, metrics,
        snapshots and `History` are not for it, and nobody is locked out meanwhile: don't use it
        while another thread uses the trainer or the network.

        Parameters
        ----------
        rows : int or None
            The most samples of an update; None is `batch_size`, 32 where that is "auto", or 1
            where it is None.

        Returns
        -------
        tuple of ndarray
            For one thread at a time; a copy of it is refused.

        Raises
        ------
        TypeError, ValueError
            `rows` is not right; or the learning rate is a schedule, or the optimizer a solver over
            whole sets, which can't be carried there.

        Examples
        --------
        >>> import numba, numpy as np, fastbp, fastbp.jit
        >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
        >>> net.set_weights([[[3.0]]])
        >>> trainer = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(0.25))
        >>> @numba.njit(nogil=True)
        ... def learn(state, x, y):
        ...     return fastbp.jit.train_step(state, x, y)
        >>> learn(trainer.compiled(), np.array([2.0]), np.array([5.0])) == (fastbp.jit.OK, 0.5)
        True
        >>> net.get_weights()[0].tolist()
        [[2.5]]
        """
        settings = self._session.engine.settings
        most = integer("rows", rows, minimum=1, none=True) or settings.batch or 1
        self._session.refuse_torn()
        settings.check_compiled()
        return self._session.engine.compiled(most)

    def c_function(self, *, rows: int | None = None) -> CFunction:
        """Training as a C function: one update by n rows, whose loss before it goes to ``out[0]``.

        `in` holds n rows of inputs and, behind them all, n rows of targets (`fastbp.jit`).

        Parameters
        ----------
        rows : int or None
            As for `compiled`; what that refuses, this does.

        Returns
        -------
        CFunction
            Its pointers are good as long as it lives.

        Raises
        ------
        TypeError, ValueError
            As `compiled`.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float64", seed=0)
        >>> net.set_weights([[[3.0]]])
        >>> f = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(0.25)).c_function(rows=1)
        >>> inputs_and_targets, out = np.array([2.0, 5.0]), np.empty(1)
        >>> f.ctypes(f.state_address, inputs_and_targets.ctypes.data, out.ctypes.data, 1)
        0
        >>> float(out[0]), net.get_weights()[0].tolist()
        (0.5, [[2.5]])
        """
        return CFunction(self.compiled(rows=rows), training=True)

    @property
    def history(self) -> History | None:
        """Of the last `fit`, up to where it ended or was interrupted."""
        if self._fit is None:
            return None
        if not self._session.training.running:  # an interrupt may have come before
            self._session.refuse_torn()
            self._fit.record()
        return self._fit.history

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network, optimizer, schedules and counters to a file, atomically.

        With the position inside an epoch, where a `fit` was interrupted there; callbacks may call
        this too. After a `fit` that an interrupt or a callback's error has ended, the weights are
        those that it was broken off with, also where `EarlyStopping` has since given the network
        its best ones back: so ``fit(resume=path)`` goes on exactly. (Called in ``on_epoch_end``, it
        keeps the callbacks behind in the list as they were before that epoch's end: `Checkpoint`
        waits until all have been told.)

        Parameters
        ----------
        path : path-like
            The file; one that exists is replaced, once the new one is whole.

        Raises
        ------
        ModelFileError
            A `ValueError`: a weight, or a value of the optimizer's, is not finite, or something is
            not what JSON and tensors hold.
        OSError
            The system can't write the file; what was there still is.
        RuntimeError
            This trainer is at work in another thread.

        Examples
        --------
        >>> import pathlib, tempfile, fastbp
        >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
        >>> trainer = fastbp.Trainer(net, "mse", "adam", seed=0)
        >>> history = trainer.fit([1.0, 2.0], [2.0, 4.0], epochs=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "run.safetensors")
        ...     trainer.save(path)
        ...     other = fastbp.Trainer.load(path)
        >>> other.position.epochs
        3
        """
        if not self._session.asked_by_callback:
            self._session.refuse_others()
        elif self._fit is not None:
            self._fit.work.snapshot()  # with which a resumed run will begin
        checkpoints.save(path, self._state())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trainer:
        """A trainer, with a network of its own, as `save` or a `Checkpoint` has written it.

        Parameters
        ----------
        path : path-like
            The file, or a folder of checkpoints.

        Returns
        -------
        Trainer
            In the state that was saved: its next `fit` goes on from there.

        Raises
        ------
        ModelFileError
            The file is damaged, newer than this fastbp, no checkpoint, or has losses, activations
            or other objects that are not fastbp's own.
        OSError
            The file can't be read.

        Warns
        -----
        RuntimeWarning
            The newest checkpoint of the folder is damaged, and an older one is taken.

        Examples
        --------
        >>> import pathlib, tempfile, fastbp
        >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
        >>> trainer = fastbp.Trainer(net, "mse", "adam", seed=0)
        >>> history = trainer.fit([1.0, 2.0], [2.0, 4.0], epochs=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "run.safetensors")
        ...     trainer.save(path)
        ...     other = fastbp.Trainer.load(path)
        >>> other.position.epochs
        3
        """
        found = checkpoints.newest(path)
        if found is None:
            raise FileNotFoundError(f"{os.fspath(path)} holds no checkpoint")
        file, kept = found
        with container.naming(file):
            return cls._of(kept)

    # -- for callbacks -----------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Where this trainer stands; for callbacks.

        A named tuple: `epochs` that have ended, over all calls of `fit` and of `end_epoch`;
        `batches` of the next pass that were worked on; `resumed`, with how many finished passes a
        `fit` that resumes began, or None; the last update's `learning_rate`; `samples_per_second`
        of the epoch that ends, None within epochs; `changes`, how often the network's weights have
        been changed; `all_counted`, whether that counts all changes, which those of code that
        `compiled` has handed a state to are not; `passes` of fits over their samples, by which
        `History` and callbacks number epochs.
        """
        session, fit = self._session, self._fit
        ended = None if fit is None else fit.unrecorded
        return Position(
            session.engine.rates.epochs,
            0 if fit is None else fit.work.batches,
            session.resuming,
            session.engine.last_rate,
            None if ended is None else ended[1],
            session.parameters.version,
            not session.parameters.untold,
            session.engine.rates.passes,
        )

    def stop(self, reason: str) -> None:
        """End the `fit` under way after the chunk of work that it is in; for callbacks.

        Parameters
        ----------
        reason : str
            Kept in ``History.stopped``.

        Examples
        --------
        >>> import fastbp
        >>> class Enough(fastbp.Callback):
        ...     def on_epoch_end(self, trainer, epoch, logs):
        ...         if logs["loss"] < 1e-3:
        ...             trainer.stop("the loss is small enough")
        """
        self._session.stopping = str(reason)

    # -- copies ------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: what makes the trainer, and its state, without locks and scratch.

        Refused while the trainer is at work in another thread, as `save` is.
        """
        self._session.refuse_torn()
        if not self._session.asked_by_callback:
            self._session.refuse_others()
        parts = ("network", "loss", "optimizer", "metrics", "n_threads", *settings.PLAIN)
        kept = {name: value for name, value in self._session.state().items() if name != "weights"}
        return {**{name: getattr(self, name) for name in parts}, "state": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        built = {name: value for name, value in state.items() if name != "state"}
        self.__init__(**built)  # type: ignore[misc]
        self._session.set_state(state["state"])  # weights are the network's own business

    # -- inside ------------------------------------------------------------------------------------

    def _samples(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> inputs.Samples:
        session = self._session
        return arguments.samples(session.parameters, session.engine.settings, X, y, sample_weight)

    def _gradients(self, samples: inputs.Samples) -> tuple[float, list[NDArray[Any]]]:
        self._compare_custom(samples)
        return self._session.engine.gradients(samples)

    def _compare_custom(self, samples: inputs.Samples) -> None:
        """Compare the derivatives of custom functions, the first time that this trainer trains."""
        if not self._session.compared:
            net = self.network
            custom.compare_at(
                net.layers, net.dtype, self.loss, samples, net.activations, net.get_weights
            )
            self._session.compared = True

    def _prepared(
        self,
        callbacks: Sequence[Callback],
        resume: str | os.PathLike[str] | None,
        counts: bool,
        *data: Any,
    ) -> Callable[..., Fit]:
        """Make every check of `fit`'s arguments; return what makes the `Fit`."""
        session, folder = self._session, None if resume is None else os.fspath(resume)
        counts = flag("count_epochs", counts)
        samples, held, thresholds = arguments.of_fit(
            session.parameters, session.engine.settings, callbacks, folder, counts, *data
        )
        hooks, kept = Hooks(self, callbacks), None
        if folder is not None:
            kept = saved_state(session, folder, samples, held.sets, hooks, counts)
        if keeps_thresholds(kept):
            thresholds = None
        self._compare_custom(samples)

        def made(report: Watcher | None, cancelled: Callable[[], bool] | None = None) -> Fit:
            return Fit(session, samples, held, hooks, report, kept, thresholds, counts, cancelled)

        return made

    def _fitted(self, made: Callable[..., Fit], epochs: int, *watching: Any) -> History:
        """Make the `Fit`, and run it."""
        self._fit = made(*watching)
        return self._fit.run(epochs)

    @classmethod
    def _of(cls, kept: Saved) -> Trainer:
        """Make a trainer in that state; raise TypeError or ValueError for what is none."""
        check_architecture(kept)
        stored = kept["settings"]
        try:
            given = settings.arguments(stored)
            trainer = cls(from_description(stored["network"]), **given)
        except MemoryError as error:
            raise ValueError(f"it needs more memory than there is: {error}") from None
        trainer._session.check_state(kept)
        check_fit(kept["fit"], trainer._session)
        trainer._session.set_state(kept)
        return trainer

    def _state(self) -> Saved:
        """Return all that a checkpoint holds."""
        session, fit = self._session, self._fit
        told = fit is not None and (fit.begun or session.asked_by_callback)
        return {**session.state(), "fit": fit.state() if fit is not None and told else None}
