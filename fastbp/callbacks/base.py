"""What a `fit` calls while it runs: the base class of callbacks, and where a trainer stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from fastbp.history import History
from fastbp.runtime.parameters import Parameters

#: A `fastbp.Trainer`, which stands above this module. It is no protocol: a person's own override of
#: a hook may be annotated with `fastbp.Trainer`, which a type checker would then refuse.
Trainer: TypeAlias = Any
Logs = dict[str, float]


class Position(NamedTuple):
    """Where a trainer stands, for callbacks (`Trainer.position`).

    Attributes
    ----------
    epochs : int
        How many have ended, over all calls of `fit`, and by `Trainer.end_epoch`: what schedules go
        by.
    batches : int
        How many of the next pass over a `fit`'s samples it has worked on.
    resumed : int or None
        With how many finished passes a `fit` that resumes began; None where none does.
    learning_rate : float
        That of the last update.
    samples_per_second : float or None
        That of the epoch that ends; None within epochs.
    changes : int
        How often the network's weights have been changed: where it is the same number, they are the
        same.
    all_counted : bool
        Whether that is so: code that `compiled` has handed a state to changes them uncounted.
    passes : int
        How often fits have gone through their samples, over all calls: the number of the next epoch
        for callbacks and `History`. It is `epochs` where every epoch is that of a `fit`.
    """

    epochs: int
    batches: int
    resumed: int | None
    learning_rate: float
    samples_per_second: float | None
    changes: int
    all_counted: bool
    passes: int


class Callback:
    """Hooks of a `fit`; each does nothing here.

    A hook may predict with ``trainer.network``, read and set its weights and
    ``trainer.learning_rate``, call ``trainer.evaluate`` and ``trainer.gradients``, which leave the
    run as it is, and end the `fit` by ``trainer.stop(reason)``. One that raises ends it as well,
    after a finished update.

    Attributes
    ----------
    longest_chunk : float
        Seconds that may pass at most between two calls of `on_chunk_end`; the least of all
        callbacks counts, and about 0.1 where none is less.

    Examples
    --------
    >>> import fastbp
    >>> class Halve(fastbp.Callback):
    ...     def on_epoch_end(self, trainer, epoch, logs):
    ...         trainer.learning_rate /= 2
    """

    def check(self, names: Sequence[str]) -> None:
        """Raise ValueError for what doesn't go with a `fit` whose figures have these names.

        Called before anything has changed.

        Parameters
        ----------
        names : sequence of str
            Of the figures that `on_epoch_end` will be handed, those of callbacks of a person's own
            excepted, which aren't known before.

        Raises
        ------
        ValueError
            As a callback sees fit; here nothing.
        """

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first epoch.

        Parameters
        ----------
        trainer : Trainer
            The one that is at work.
        """

    def on_train_end(self, trainer: Trainer, history: History) -> None:
        """After the last epoch, or what ended the `fit` early; not after an exception.

        Parameters
        ----------
        trainer : Trainer
            The one that is at work.
        history : History
            What the `fit` will return.
        """

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before an epoch.

        Parameters
        ----------
        trainer : Trainer
            The one that is at work.
        epoch : int
            Its number, counted on over several calls of `fit`: ``trainer.position.passes``.
        """

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation.

        A figure that is added must be a number, and its name none of `History`'s own, such as
        "epoch" or "stopped"; else the `fit` ends with a TypeError or a ValueError, and without that
        figure.

        Parameters
        ----------
        trainer : Trainer
            The one that is at work.
        epoch : int
            Its number, counted on over several calls of `fit`: ``trainer.position.passes``.
        logs : dict of str to float
            The epoch's figures; what is added here becomes a list of `History`, with NaN for epochs
            that it isn't added in, and can be watched by callbacks that come after this one.
        """

    def on_chunk_end(self, trainer: Trainer) -> None:
        """About every 100 ms, when kernels come back to Python within an epoch.

        Parameters
        ----------
        trainer : Trainer
            The one that is at work.
        """

    def on_settled(self, trainer: Trainer, last: bool = False) -> None:
        """After all callbacks' other hooks of a moment: nothing changes until the next one.

        Parameters
        ----------
        trainer : Trainer
            The one that is at work.
        last : bool
            Whether the `fit` ends here.
        """

    def check_folder(self, resume: str | None) -> None:
        """Raise for a folder that this can't write to.

        Called before anything has changed.

        Parameters
        ----------
        resume : str or None
            What `fit` is to go on from.
        """

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback.

        Returns
        -------
        dict
            Numbers, strings, None, lists, dicts with strings for keys, arrays of float32 or
            float64.
        """
        return {}

    def restore(self, trainer: Trainer, state: dict[str, Any]) -> None:
        """Go on from such a state; called after `on_train_begin` when a `fit` resumes.

        Parameters
        ----------
        trainer : Trainer
            The one that is at work.
        state : dict
            What `state` gave.
        """

    def _check_state(self, parameters: Parameters, state: dict[str, Any]) -> None:
        """Raise TypeError or ValueError for what `restore` can't take; nothing has changed yet."""

    #: whether it only looks on, so that a run is the same without it
    _looks_on = False
    #: settings that belong to one call of `fit`, and may be others when it is gone on with
    _of_this_call: tuple[str, ...] = ()
    #: the names of figures that it adds, where that is known before
    _adds: tuple[str, ...] = ()

    def _found(self) -> dict[str, Any]:
        """Settings as the last `check` has found them, where they are left to the `fit`."""
        return {}

    def _measured(self, parameters: Parameters, logs: Logs, others: bool) -> None:
        """An epoch's figures have been taken, and no callback has been told of them yet.

        `others` says that one that may change the weights is told before this one.
        """

    def _added(self, parameters: Parameters, logs: Logs, others: bool) -> None:
        """One who is told before this one has been told of an epoch's end, and may have added one.

        `others` says that another one that may change the weights comes in between.
        """

    def _epoch_cut_off(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Something has broken the `fit` off while callbacks were told of an epoch's end.

        A callback whose state stands for all finished epochs takes that one in, if it hasn't.
        """

    def _give_back(self, trainer: Trainer) -> None:
        """Give the network back the best weights, where this keeps them: the `fit` has ended."""

    #: the epoch whose weights `_give_back` has set in this `fit`
    _given_back: int | None = None
    _given_version: int | None = None  # of the parameters then

    #: seconds that a chunk of work may last
    longest_chunk = math.inf


def may_add(callback: Callback) -> bool:
    """Return whether a callback may add figures that nobody knows of before: a person's own."""
    return str(getattr(callback.on_epoch_end, "__module__", "")).split(".")[0] != "fastbp"
