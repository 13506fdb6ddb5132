"""What is called while a `fit` runs: one's own subclasses of `Callback`, and two that log."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastbp.files import atomic

if TYPE_CHECKING:
    from fastbp.history import History
    from fastbp.trainer import Trainer

Logs = dict[str, float]


class Callback:
    """Hooks of a `fit`; each does nothing here.

    A hook may predict with ``trainer.network``, read and set its weights and
    ``trainer.learning_rate``, and end the `fit` by ``trainer.stop(reason)``. One that raises ends
    it as well, after a finished update.

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
        """

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_train_end(self, trainer: Trainer, history: History) -> None:
        """After the last epoch, or what ended the `fit` early; not after an exception."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before an epoch; `epoch` is counted on over several calls of `fit`."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation.

        `logs` holds the epoch's figures; what is added there becomes a list of `History`, with NaN
        for epochs that it isn't added in. A value must be a number, and a name none of `History`'s
        own, such as "epoch" or "stopped"; else the `fit` ends with a TypeError or a ValueError, and
        without that figure.
        """

    def on_chunk_end(self, trainer: Trainer) -> None:
        """About every 100 ms, when kernels come back to Python within an epoch."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback.

        Numbers, strings, None, lists, dicts with strings for keys, arrays of float32 or float64.
        """
        return {}

    def restore(self, trainer: Trainer, state: dict[str, Any]) -> None:
        """Go on from such a state; called after `on_train_begin` when a `fit` resumes."""

    def _check_state(self, trainer: Trainer, state: dict[str, Any]) -> None:
        """Raise TypeError or ValueError for what `restore` can't take; nothing has changed yet."""

    #: whether it only looks on, so that a run is the same without it
    _looks_on = False
    #: settings that belong to one call of `fit`, and may be others when it is gone on with
    _of_this_call: tuple[str, ...] = ()

    def _settled(self, trainer: Trainer, last: bool = False) -> None:
        """After all hooks of a moment: nothing changes until the next."""

    def _measured(self, trainer: Trainer, logs: Logs, others: bool) -> None:
        """An epoch's figures have been taken; whether other callbacks are told before this one."""

    def _give_back(self, trainer: Trainer) -> None:
        """Give the network back the best weights, where this keeps them: the `fit` has ended."""

    #: the epoch whose weights `_give_back` has set in this `fit`
    _given_back: int | None = None
    _given_version: int | None = None  # of the parameters then

    #: seconds that a chunk of work may last
    _longest_chunk = math.inf


def check_monitor(monitor: str, names: Sequence[str]) -> None:
    """Raise for what is no figure of a `fit`."""
    if monitor not in names:
        raise ValueError(
            f"monitor must be one of this fit's figures, {', '.join(map(repr, names))}, "
            f"got {monitor!r}"
        )


class LearningRateLogger(Callback):
    """Adds the rate of each epoch's last update to `History`, as ``learning_rate``.

    Examples
    --------
    >>> import fastbp
    >>> logger = fastbp.LearningRateLogger()
    """

    _looks_on = True

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        logs["learning_rate"] = trainer._engine.last_rate


class CSVLogger(Callback):
    """Writes each epoch's figures to a CSV file as a row, at once.

    A figure that comes later than others gets a column of its own then, which is empty in the rows
    before; the file is written anew for that. An epoch without a figure leaves its cell empty.

    Parameters
    ----------
    path : path-like
    append : bool
        Whether a file that exists is gone on with, with its columns; else it is replaced. A `fit`
        that resumes goes on with it, after the epochs that it goes on from.

    Raises
    ------
    OSError
        At the `fit`: the file can't be written.

    Examples
    --------
    >>> import fastbp
    >>> logger = fastbp.CSVLogger("history.csv")
    """

    _looks_on = True

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path, self.append = os.fspath(path), append

    def on_train_begin(self, trainer: Trainer) -> None:
        self._columns: list[str] = []
        resumed = trainer._resuming
        if resumed is not None and os.path.exists(self.path):
            head, *rows = self._read()
            self._write(head, [r for r in rows if r[0].isdecimal() and int(r[0]) < resumed])
        elif self.append and os.path.exists(self.path):
            self._columns = self._read()[0]
        else:
            with open(self.path, "w", encoding="utf-8"):
                pass

    def _read(self) -> list[list[str]]:
        """The file's rows, the names of its columns first."""
        with open(self.path, newline="", encoding="utf-8") as file:
            return [row for row in csv.reader(file) if row] or [[]]

    def _write(self, columns: list[str], rows: list[list[str]]) -> None:
        """Put these in the file, at once: an interrupt leaves what was there."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows([columns, *rows] if columns else [])
        atomic.write(self.path, text.getvalue().encode())
        self._columns = columns

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        row: dict[str, float] = {"epoch": epoch, **logs}
        late = [name for name in row if name not in self._columns]
        if late and self._columns and os.path.isfile(self.path):  # a pipe can't be read again
            head, *rows = self._read()
            width = len(head) + len(late)
            self._write([*head, *late], [r + [""] * (width - len(r)) for r in rows])
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            if not self._columns:
                self._columns = list(row)
                csv.writer(file).writerow(self._columns)
            csv.writer(file).writerow([row.get(name, "") for name in self._columns])
