"""Callbacks that write down what a `fit` does."""

from __future__ import annotations

import csv
import io
import os

from fastbp.callbacks.base import Callback, Logs, Trainer
from fastbp.files import atomic


class LearningRateLogger(Callback):
    """Adds the rate of each epoch's last update to `History`, as ``learning_rate``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    >>> trainer = fastbp.Trainer(net, "mse", fastbp.SGD(fastbp.ExponentialDecay(0.1, gamma=0.5)))
    >>> history = trainer.fit([1.0], [2.0], epochs=3, callbacks=[fastbp.LearningRateLogger()])
    >>> history.learning_rate
    [0.1, 0.05, 0.025]
    """

    _looks_on = True
    _adds = ("learning_rate",)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        logs["learning_rate"] = trainer.position.learning_rate


class CSVLogger(Callback):
    """Writes each epoch's figures to a CSV file as a row, at once.

    A figure that comes later than others gets a column of its own then, which is empty in the rows
    before; the file is written anew for that. An epoch without a figure leaves its cell empty.

    Parameters
    ----------
    path : path-like
        The file.
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
        resumed = trainer.position.resumed
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
