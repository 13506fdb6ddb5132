"""Checkpoints: a trainer's state in a file, and folders of the newest ones.

A file is as container.py says, with the entry ``fastbp_checkpoint`` and the key ``checkpoint`` ::

    {"state": a tree (tree.py) of `Session.state`, "tensors": [[name, dtype, shape], ...]}

Format 2 has digests of all data, of the validation data too, and callbacks' settings. Format 1 is
read as what it is: its digests are those of 64 rows, and sample weights meant something else.
"""

from __future__ import annotations

import errno
import math
import os
import re
import stat
import warnings
from typing import Any

import numpy as np

from fastbp.checks import integer
from fastbp.files import atomic, container, tree
from fastbp.files.container import DTYPES, ModelFileError, Tensors, check_finite, check_keys

#: what a checkpoint holds of a trainer, by the names of its parts
State = dict[str, Any]

# A writer that keeps one checkpoint of a tiny network replaces it a thousand times a second.
_LOOKS, _LISTINGS = 1000, 8
_NAME = re.compile(r"checkpoint-(\d{12})\.safetensors")


class NotFiniteError(ModelFileError):
    """A state holds a value that is not finite, and is not written."""


def _demanded(value: Any, version: int) -> Tensors:
    """Return what the value's own list says, in format 1 as in 2: they differ in the state."""
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


def write(path: str | os.PathLike[str], kept: State) -> None:
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


def save(path: str | os.PathLike[str], kept: State) -> None:
    """Put a trainer's state in a file, atomically, where all that was learnt is finite.

    Raises
    ------
    NotFiniteError
        A weight, or a value of the optimizer's, is not.
    ModelFileError, OSError
        As `write`.
    """
    slots = [array for slot in kept["slots"] for array in slot]
    for what, arrays in (("a weight", kept["weights"]), ("an optimizer slot", slots)):
        if not all(np.isfinite(array).all() for array in arrays):
            raise NotFiniteError(f"{os.fspath(path)}: {what} is not finite")
    write(path, kept)


def read(path: str | os.PathLike[str]) -> State:
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


def _from_format_1(found: State) -> None:
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


def following(files: list[str]) -> str:
    """Return the name of the checkpoint that comes after these, which `in_folder` has found."""
    number = int(_NAME.fullmatch(os.path.basename(files[-1]))[1]) if files else 0  # type: ignore[index]
    return f"checkpoint-{number + 1:012d}.safetensors"


def newest(path: str | os.PathLike[str], level: int = 3) -> tuple[str, State] | None:
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


def _look(path: str) -> tuple[str, State, ModelFileError | None] | None:
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
