"""The callback that writes checkpoints as a `fit` goes."""

from __future__ import annotations

import logging
import math
import os
import time
from contextlib import suppress

from fastbp.callbacks.base import Callback, Trainer
from fastbp.checks import integer, real
from fastbp.files import atomic
from fastbp.files.checkpoints import NotFiniteError, following, in_folder

_LOG = logging.getLogger("fastbp")


class Checkpoint(Callback):
    """Writes all that a `fit` has come to into a folder, for ``fit(..., resume=folder)``.

    Each file is written beside its name, flushed to the disk, read back and compared, and then
    given its name; only then is the oldest one removed. A save that fails raises, and leaves the
    older ones.

    Parameters
    ----------
    path : path-like
        The folder; made if it is not there. One with checkpoints is refused, unless this `fit`
        resumes from there or this object wrote them.
    every_epochs : int or None
        Save after so many epochs, as `History` numbers them: of a `fit` with ``count_epochs=False``
        too.
    every_seconds : float or None
        Save when so many seconds have passed, within an epoch too. With neither of them, after
        every epoch.
    keep : int
        How many to keep, at least 1.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or range; at the `fit`, that the folder has others'.
    OSError
        At the `fit`: the folder can't be made or written to.

    Notes
    -----
    The last state is saved as well, as it is before other callbacks' ``on_train_end``. Weights that
    are not finite are not saved.

    Examples
    --------
    >>> import fastbp
    >>> checkpoint = fastbp.Checkpoint("run", every_seconds=60, keep=3)
    """

    _looks_on = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_epochs: int | None = None,
        every_seconds: float | None = None,
        keep: int = 2,
    ) -> None:
        self.path = os.fspath(path)
        self.every_epochs = integer("every_epochs", every_epochs, minimum=1, none=True)
        if every_seconds is not None:
            every_seconds = real("every_seconds", every_seconds, low=0.0)
        self.every_seconds = every_seconds
        if every_epochs is None and every_seconds is None:
            self.every_epochs = 1
        self.keep = integer("keep", keep, minimum=1)
        self.longest_chunk = math.inf if every_seconds is None else every_seconds
        self._written: set[str] = set()
        self._saved_at: tuple[int, int] | None = None
        self._last = 0.0

    def check_folder(self, resume: str | None) -> None:
        """Raise for a folder that holds checkpoints of another run.

        Parameters
        ----------
        resume : str or None
            What `fit` is to go on from.

        Raises
        ------
        ValueError
            It has checkpoints, and this is no run that goes on with them.
        OSError
            It can't be made or written to.
        """
        if os.path.lexists(self.path) and not os.path.isdir(self.path):
            raise NotADirectoryError(f"path must be a folder, got the file {self.path}")
        if not os.path.isdir(self.path):
            return
        folder = os.path.realpath(self.path)
        source = None if resume is None else os.path.realpath(resume)
        if source is not None and os.path.isfile(source):
            source = os.path.dirname(source)
        mine = source == folder
        others = [file for file in in_folder(self.path) if file not in self._written]
        if others and not mine:
            raise ValueError(
                f"path holds checkpoints of another run, {others[-1]}: go on from there with "
                f"fit(..., resume={self.path!r}), or give another folder"
            )

    def on_train_begin(self, trainer: Trainer) -> None:
        os.makedirs(self.path, exist_ok=True)
        atomic.remove_leftovers(self.path)
        self._last, self._saved_at = time.monotonic(), _place(trainer)

    def on_settled(self, trainer: Trainer, last: bool = False) -> None:
        passes, batches = place = _place(trainer)
        if place == self._saved_at:
            return
        due = last
        if self.every_seconds is not None:
            due |= time.monotonic() - self._last >= self.every_seconds
        if self.every_epochs is not None:
            due |= batches == 0 and passes % self.every_epochs == 0
        if due:
            self._save(trainer, place)

    def _save(self, trainer: Trainer, place: tuple[int, int]) -> None:
        there = in_folder(self.path)
        file = os.path.join(self.path, following(there))
        try:
            trainer.save(file)
        except NotFiniteError as error:
            _LOG.warning("no checkpoint was written: %s", error.args[0].removeprefix(f"{file}: "))
            return
        self._written.add(file)
        for old in [*there, file][: -self.keep]:
            # Windows refuses it while somebody reads it: then it goes with the next ones.
            with suppress(FileNotFoundError, PermissionError):
                os.unlink(old)
            self._written.discard(old)
        self._last, self._saved_at = time.monotonic(), place


def _place(trainer: Trainer) -> tuple[int, int]:
    """How far it has come, whoever counts its epochs."""
    position = trainer.position
    return position.passes, position.batches
