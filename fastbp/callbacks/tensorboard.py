"""Event files for TensorBoard: figures of each epoch, histograms of the weights."""

from __future__ import annotations

import os
import socket
import time
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.callbacks.base import Callback, Logs, Trainer
from fastbp.checks import integer
from fastbp.layers.dense import shapes

_BINS = 30  # as many as TensorBoard's own have
_FILES = count()  # of this process: their names differ


class TensorBoard(Callback):
    """Writes each epoch's figures, and histograms of weights and biases, for TensorBoard.

    Figures are called ``epoch/loss`` and so on, as in `History`; ``epoch/learning_rate`` (of the
    epoch's last update) and ``epoch/samples_per_second`` go with them. Histograms are called
    ``weights/layer 0/W``, ``weights/layer 0/b`` (biases) and so on. A step is an epoch, counted
    from 0 over several calls of `fit`. Each epoch is in the file when the next begins, whatever
    becomes of the process.

    Parameters
    ----------
    log_dir : path-like
        The run's folder; made if it is not there. Files in it are left alone: from the epoch that a
        `fit` begins with, a second one or one that resumes, TensorBoard shows what that has written
        and no longer what was there for these epochs.
    histograms : int or None
        Take histograms after epochs 0, `histograms`, 2 `histograms` and so on; None takes none.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range.
    ImportError
        The package tensorboard is missing (extra ``tensorboard``).
    OSError
        At the `fit`: the folder can't be made, or a file not written.

    Examples
    --------
    >>> import fastbp
    >>> board = fastbp.TensorBoard("runs/first", histograms=5)
    """

    _looks_on = True

    def __init__(self, log_dir: str | os.PathLike[str], *, histograms: int | None = 10) -> None:
        self.log_dir = os.fspath(log_dir)
        self.histograms = integer("histograms", histograms, minimum=1, none=True)
        self._path: str | None = None
        _protocol()

    def on_train_begin(self, trainer: Trainer) -> None:
        os.makedirs(self.log_dir, exist_ok=True)
        place = f"{socket.gethostname()}.{os.getpid()}.{next(_FILES):06}"
        # TensorBoard reads a folder's files in the order of their names
        name = f"events.out.tfevents.{time.time_ns() // 1000:016}.{place}"
        self._path = os.path.join(self.log_dir, name)
        events, _ = _protocol()
        start = events.SessionLog(status=events.SessionLog.START)
        self._write({"file_version": "brain.Event:2"})
        self._write({"step": trainer.position.passes, "session_log": start})

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        _, summaries = _protocol()
        position = trainer.position
        figures = {**logs, "learning_rate": position.learning_rate}
        if position.samples_per_second is not None:
            figures["samples_per_second"] = position.samples_per_second
        summary = summaries.Summary()
        # Two groups: as many as the page opens by itself.
        for name, value in figures.items():
            summary.value.add(tag=f"epoch/{name}", simple_value=float(value))
        if self.histograms is not None and epoch % self.histograms == 0:
            network = trainer.network
            names = [name for name, _ in shapes(network.n_inputs, network.layers)]
            for name, values in zip(names, network.get_weights(), strict=True):
                tag = f"weights/layer {name[1:]}/{name[0]}"
                summary.value.add(tag=tag, histo=_histogram(values))
        self._write({"step": epoch, "summary": summary})

    def _write(self, content: dict[str, Any]) -> None:
        """Append an event; the file is closed in between, so that an exception leaves none open."""
        from tensorboard.summary.writer.record_writer import RecordWriter

        event = _protocol()[0].Event(wall_time=time.time(), **content)
        with open(str(self._path), "ab") as file:
            RecordWriter(file).write(event.SerializeToString())


def _histogram(array: NDArray[Any]) -> Any:
    """TensorBoard's message for the finite ones of these values."""
    values = array[np.isfinite(array)].astype(np.float64)
    if not values.size:
        return _protocol()[1].HistogramProto()
    low, high = float(values.min()), float(values.max())
    counts, limits = [values.size], [high]
    if 1e-9 * max(abs(low), abs(high)) < high - low < np.inf:  # else there are no numbers between
        found, edges = np.histogram(values, _BINS, (low, high))
        counts, limits = found.tolist(), edges[1:].tolist()
    with np.errstate(over="ignore"):
        total, squares = float(values.sum()), float(values @ values)
    return _protocol()[1].HistogramProto(
        min=low, max=high, num=values.size, sum=total, sum_squares=squares,
        bucket_limit=limits, bucket=counts,
    )  # fmt: skip


def _protocol() -> tuple[Any, Any]:
    """TensorBoard's messages: of events, and of summaries."""
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
    except ImportError as error:
        raise ImportError(
            'fastbp.TensorBoard needs the package tensorboard: pip install "fastbp[tensorboard]"'
        ) from error
    return event_pb2, summary_pb2
