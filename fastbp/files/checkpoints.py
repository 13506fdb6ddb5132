"""Checkpoints: a trainer's state in a file, a folder of the newest ones, and the callback.

A file is as container.py says, with the entry ``fastbp_checkpoint`` and the key ``checkpoint`` ::

    {"state": a tree (tree.py) of what state.py takes, "tensors": [[name, dtype, shape], ...]}

Format 2 has digests of all data, of the validation data too, and callbacks' settings. Format 1 is
read as what it is: its digests are those of 64 rows, and sample weights meant something else.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import stat
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastbp.callbacks.base import Callback
from fastbp.checks import integer, real
from fastbp.files import atomic, container, tree
from fastbp.files.container import DTYPES, ModelFileError, Tensors, check_finite, check_keys
from fastbp.training import state, state_checks

if TYPE_CHECKING:
    from fastbp.trainer import Trainer

# A writer that keeps one checkpoint of a tiny network replaces it a thousand times a second.
_LOOKS, _LISTINGS = 1000, 8
_NAME = re.compile(r"checkpoint-(\d{12})\.safetensors")
_LOG = logging.getLogger("fastbp")


def _demanded(value: Any) -> Tensors:
    check_keys("the checkpoint", value, {"state", "tensors"})
    tensors: Tensors = {}
    if not isinstance(value["tensors"], list):
        raise ValueError("tensors must be a list")
    for entry in value["tensors"]:
        match entry:
            case [str(name), "F32" | "F64" as dtype, list(shape)] if (
                name not in tensors and len(shape) <= 2
            ):
                for length in shape:
                    integer(f"the shape of {name[:60]!r}", length, minimum=0, maximum=1 << 48)
                tensors[name] = dtype, tuple(shape)
            case _:
                raise ValueError(f"no description of a tensor: {str(entry)[:60]}")
    return tensors


_KIND = container.Kind("fastbp_checkpoint", "checkpoint", "checkpoint", 2, _demanded)


def write(path: str | os.PathLike[str], kept: state.State) -> None:
    """Put a state in a file, atomically.

    Raises
    ------
    ModelFileError
        A callback's state, or a network's metadata, is not what JSON and tensors hold.
    OSError
        The system can't write the file; what was there still is.
    """
    with container.naming(path):
        arrays: dict[str, Any] = {}
        encoded = tree.encode(kept, "state", arrays)
        tensors = [[name, DTYPES[a.dtype.name], list(a.shape)] for name, a in arrays.items()]
        atomic.write(path, container.pack(_KIND, {"state": encoded, "tensors": tensors}, arrays))


def read(path: str | os.PathLike[str]) -> state.State:
    """The state in a file.

    Raises
    ------
    ModelFileError
        It is damaged, of a newer format, or no checkpoint.
    OSError
        The system can't read the file.
    """
    with container.naming(path):
        value, arrays, version = container.read(path, _KIND)
        found = tree.decode(value["state"], arrays)
        if not isinstance(found, dict):
            raise ValueError("its state must be a dict")
        found["format"] = version
        if version == 1:
            _from_format_1(found)
        weights = (f"state.weights.{i}" for i in range(len(found.get("weights") or ())))
        check_finite({name: arrays[name] for name in weights if name in arrays})
        return found


_NEW = {"validation", "lowest", "rising"}  # entries of a fit that format 1 hasn't


def _from_format_1(found: state.State) -> None:
    """Bring what format 1 has of a fit to where format 2 has it; what is not right stays wrong."""
    fit = found.get("fit")
    if not isinstance(fit, dict):
        return
    check_keys("its fit", fit, {"data", "callbacks"}, fit.keys() - _NEW)
    fit["validation"] = None
    # The first loss is not known any more: the next epoch's stands for it.
    fit["lowest"], fit["rising"] = math.inf, True
    if isinstance(fit["data"], dict):
        for name, text in fit["data"].items():
            about, _, sample = str(text).rpartition(" ")
            fit["data"][name] = {"about": about, "whole": None, "sample": sample}
    for entry in fit["callbacks"] if isinstance(fit["callbacks"], list) else ():
        check_keys("a callback", entry, {"kind", "state"})
        entry["settings"] = None


def in_folder(folder: str) -> list[str]:
    """Paths of the checkpoints in a folder, oldest first."""
    names = sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))
    return [os.path.join(folder, name) for name in names]


def newest(path: str | os.PathLike[str], level: int = 3) -> tuple[str, state.State] | None:
    """The newest checkpoint that can be read, of a folder, or the file itself; None without any.

    Another process may be writing there, and removes the oldest as it goes: where a file that was
    there is not any more, the folder is looked at again. A warning is said to come from `level`
    calls above, where a person's own code is.

    Warns
    -----
    RuntimeWarning
        A newer one is damaged, and an older one is taken.

    Raises
    ------
    ModelFileError
        All are damaged.
    OSError
        The system can't read a file.
    """
    path = os.fspath(path)
    found, vanished = None, None
    for _ in range(_LOOKS):
        try:
            found = _look(path)
        except OSError as error:
            gone = isinstance(error, (FileNotFoundError, NotADirectoryError))
            if not gone and error.errno != errno.ESTALE:  # which is what NFS says instead
                raise
            vanished = error
            continue
        if found is not None or vanished is None:
            break
    if found is None:
        if vanished is not None:
            raise vanished
        return None
    file, kept, damage = found
    if damage is not None:
        warnings.warn(
            f"{damage}; going on from the checkpoint before, {file}", RuntimeWarning, level
        )
    return file, kept


def _look(path: str) -> tuple[str, state.State, ModelFileError | None] | None:
    """What `newest` gives, and what is wrong with a newer one; OSError where a file vanishes."""
    # Asked once: between two questions another process may have made the folder.
    try:
        kind = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not _NAME.fullmatch(os.path.basename(path)) and not os.path.islink(path):
            return None
        kind = 0
    if stat.S_ISREG(kind):
        return path, read(path), None
    if not stat.S_ISDIR(kind):
        raise FileNotFoundError(f"{path} is neither a checkpoint nor a folder of them")
    # A listing made while one file comes and another goes may have neither.
    files = next((found for _ in range(_LISTINGS) if (found := in_folder(path))), [])
    damage: ModelFileError | None = None
    for file in reversed(files):
        try:
            kept = read(file)
        except ModelFileError as error:
            damage = damage or error
            continue
        return file, kept, damage
    if damage is not None:
        raise damage
    return None


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
        Save after so many epochs.
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
        self._longest_chunk = math.inf if every_seconds is None else every_seconds
        self._written: set[str] = set()
        self._saved_at: tuple[int, int] | None = None
        self._last = 0.0

    def check_folder(self, resume: str | None) -> None:
        """Raise for a folder that holds checkpoints of another run."""
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

    def _settled(self, trainer: Trainer, last: bool = False) -> None:
        place = _place(trainer)
        if place == self._saved_at:
            return
        epochs, batches = place
        due = last
        if self.every_seconds is not None:
            due |= time.monotonic() - self._last >= self.every_seconds
        if self.every_epochs is not None:
            due |= batches == 0 and epochs % self.every_epochs == 0
        if due:
            self._save(trainer, place)

    def _save(self, trainer: Trainer, place: tuple[int, int]) -> None:
        if not trainer._snap():
            _LOG.warning("no checkpoint was written: a weight is not finite")
            return
        kept = state.taken(trainer)
        if what := state_checks.not_finite(kept):
            _LOG.warning("no checkpoint was written: %s is not finite", what)
            return
        there = in_folder(self.path)
        number = 1 + (int(_NAME.fullmatch(os.path.basename(there[-1]))[1]) if there else 0)  # type: ignore[index]
        file = os.path.join(self.path, f"checkpoint-{number:012d}.safetensors")
        write(file, kept)
        self._written.add(file)
        for old in [*there, file][: -self.keep]:
            # Windows refuses it while somebody reads it: then it goes with the next ones.
            with suppress(FileNotFoundError, PermissionError):
                os.unlink(old)
            self._written.discard(old)
        self._last, self._saved_at = time.monotonic(), place


def _place(trainer: Trainer) -> tuple[int, int]:
    """Finished epochs, and batches of the next."""
    fit = trainer._fit
    batches = fit.batches if fit is not None else 0
    return trainer._epochs_done, batches
