"""Files of tensors and strict JSON: what model files and checkpoints have in common.

A file is a safetensors file (https://github.com/huggingface/safetensors#format) with one metadata
entry (the library writes several in a random order: its issue 584), JSON whose keys are

``format_version``, ``library``
    The format's number; the version of fastbp that wrote the file.
the kind's own key
    What the file holds.
``sha256``
    Of the JSON ``[{the other keys}, [[name, dtype, shape], ...]]``, tensors in order, and after it
    each tensor's bytes in that order.

JSON is what Python's ``json.dumps`` makes with sorted keys, without white space, unescaped where
it can be; other spellings are refused, so that no key stands twice and there is no NaN.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from fastbp.checks import integer
from fastbp.values import dataclass
from fastbp.version import __version__

Array: TypeAlias = NDArray[Any]
Tensors: TypeAlias = dict[str, tuple[str, tuple[int, ...]]]  # name: safetensors' dtype, shape

DTYPES = {"float32": "F32", "float64": "F64"}  # numpy's name: safetensors' name
_NUMPY = {stored: name for name, stored in DTYPES.items()}
#: the greatest count: float64 holds all whole numbers up to it
MOST_COUNTED = 2**53
_MAX_HEADER = 1 << 24  # bytes; the library's own bound is 100 MB, of which JSON makes gigabytes


class ModelFileError(ValueError):
    """A model file or checkpoint that can't be read or written; says its path and the reason.

    Examples
    --------
    >>> import pathlib, tempfile, fastbp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.safetensors")
    ...     written = path.write_bytes(b"not a model")
    ...     try:
    ...         fastbp.Network.load(path)
    ...     except fastbp.ModelFileError as error:
    ...         print(str(path) in str(error), isinstance(error, ValueError))
    True True
    """


@dataclass(frozen=True)
class Kind:
    """A kind of file: how its metadata are called, and what its tensors may be.

    Attributes
    ----------
    entry : str
        The metadata entry's name.
    key : str
        The JSON's own key.
    what : str
        For messages.
    version : int
        The newest format: all from 1 to it are read.
    tensors : callable
        The tensors that the value of `key` demands in a file of the format that is the second
        argument, in order, after every check of it.
    """

    entry: str
    key: str
    what: str
    version: int
    tensors: Callable[[Any, int], Tensors]

    @property
    def readable(self) -> str:
        """Which formats are read, in words."""
        return "format 1" if self.version == 1 else f"formats 1 to {self.version}"


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make what is wrong with the contents an error that names the file."""
    try:
        yield
    except RecursionError:  # from JSON, or from showing what was refused
        raise ModelFileError(f"{os.fspath(path)}: nested too deep") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"{os.fspath(path)}: {str(error)[:400]}") from None


def pack(kind: Kind, value: Any, arrays: Mapping[str, Array], version: int | None = None) -> bytes:
    """The file's bytes, in the newest format or in `version`; `arrays` are as that demands."""
    version = kind.version if version is None else version
    tensors = kind.tensors(value, version)
    stored = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        for name, array in arrays.items()
    }
    fields = {"format_version": version, "library": __version__, kind.key: value}
    fields["sha256"] = _digest(fields, tensors, stored)
    content: bytes = safetensors.numpy.save(stored, {kind.entry: dumps(fields).decode()})
    length = int.from_bytes(content[:8], "little")
    if length > _MAX_HEADER:
        raise ValueError(f"architecture and extra take {length} bytes of {_MAX_HEADER} at most")
    return content


def read(path: str | os.PathLike[str], kind: Kind) -> tuple[Any, dict[str, Array], int]:
    """The value, the tensors, new and C-contiguous, and the format of a file; within `naming`."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its writer
        raise ValueError("not a regular file")
    with open(path, "rb") as file:
        return _from_file(file, kind)


def _from_file(file: io.BufferedReader, kind: Kind) -> tuple[Any, dict[str, Array], int]:
    size = os.fstat(file.fileno()).st_size
    header, fields = _read_fields(file, size, kind)
    tensors = kind.tensors(fields[kind.key], fields["format_version"])
    start, n_data = file.tell(), sum(map(_n_bytes, tensors.values()))
    if size - start != n_data:
        raise ValueError(
            f"cut short or added to: its tensors take {n_data} bytes, it has {size - start}"
        )
    offsets = _check_entries(header, tensors, n_data, kind)
    # Straight into the arrays, one by one: no more memory than they take.
    arrays: dict[str, Array] = {}
    for name, (stored, shape) in tensors.items():
        try:
            arrays[name] = array = np.empty(shape, np.dtype(_NUMPY[stored]).newbyteorder("<"))
        except MemoryError:
            raise ValueError(f"reading it needs {n_data} bytes of memory") from None
        file.seek(start + offsets[name])
        if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise ValueError("cut short while it was read")
    if _digest(fields, tensors, arrays) != fields["sha256"]:
        raise ValueError("damaged: its contents don't match its SHA-256")
    native = {
        name: array.astype(array.dtype.newbyteorder("="), copy=False)
        for name, array in arrays.items()
    }
    return fields[kind.key], native, fields["format_version"]


def _n_bytes(tensor: tuple[str, tuple[int, ...]]) -> int:
    stored, shape = tensor
    return math.prod(shape) * np.dtype(_NUMPY[stored]).itemsize


def _check_entries(
    header: dict[str, Any], tensors: Tensors, n_data: int, kind: Kind
) -> dict[str, int]:
    """Where each tensor starts in the data, which they fill without gap or overlap."""
    placed: list[tuple[int, int, str]] = []
    found: Tensors = {}
    for name, entry in header.items():
        match entry:
            case {"dtype": str(stored), "shape": list(shape), "data_offsets": [begin, end]} if len(
                entry
            ) == 3 and all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
                placed.append((begin, end, name))
                found[name] = stored, tuple(shape)
            case _:
                raise ValueError(f"damaged: its entry of tensor {name[:80]!r}")
    at = 0
    for begin, end, name in sorted(placed):
        if begin != at or end < begin:
            raise ValueError(f"damaged: tensor {name[:80]!r} lies at {begin} ... {end}, not {at}")
        at = end
    if at != n_data:
        raise ValueError(f"damaged: its tensors end at {at} of {n_data} bytes")
    for name in sorted(dict(found.items() ^ tensors.items())):
        has, takes = found.get(name), tensors.get(name)
        raise ValueError(f"tensor {name[:80]!r} is {has}, the {kind.what} demands {takes}")
    for begin, end, name in placed:
        if end - begin != _n_bytes(tensors[name]):
            raise ValueError(f"damaged: tensor {name!r} takes {end - begin} bytes")
    return {name: begin for begin, _, name in placed}


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object's pairs; raise where a key stands in it twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _read_fields(
    file: io.BufferedReader, size: int, kind: Kind
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors' entries, and the metadata, which is checked but for its digest.

    Leaves `file` where the tensors start.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or length > _MAX_HEADER:
        raise ValueError("not a safetensors file")
    if length > size - 8:
        raise ValueError(f"cut short: its header takes {length} bytes, the file has {size}")
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_no_twins)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise ValueError("not a safetensors file")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or [*metadata] != [kind.entry]:
        raise ValueError(f"a safetensors file, but not a {kind.what} of fastbp's")
    try:
        fields = json.loads(metadata[kind.entry])
        version = fields.get("format_version") if isinstance(fields, dict) else None
        newer = isinstance(version, int) and version > kind.version
        strict = newer or dumps(fields) == metadata[kind.entry].encode()
    except (TypeError, ValueError):
        newer = strict = False
    if newer:
        raise ValueError(
            f"written in format {version} by fastbp {str(fields.get('library'))[:40]!r}; "
            f"this fastbp ({__version__}) reads {kind.readable}"
        )
    if not strict:
        raise ValueError("damaged: its metadata is not JSON as fastbp writes it")
    check_keys("its metadata", fields, {"format_version", "library", kind.key, "sha256"})
    integer("format_version", version, minimum=1)
    return header, fields


def check_finite(arrays: Mapping[str, Array]) -> None:
    """Raise ValueError for an array with NaN or an infinity in it."""
    for name, array in arrays.items():
        with np.errstate(invalid="ignore"):  # NaN passes through both
            ends = array.min(), array.max()
        if not np.isfinite(ends).all():
            raise ValueError(f"{name} holds a value that is not finite")


def check_keys(where: str, value: Any, required: set[str], optional: Iterable[str] = ()) -> None:
    """Raise unless `value` is a dict with these keys."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a dict")
    for key in sorted(required - value.keys()):
        raise ValueError(f"{where} lacks {key!r}")
    for key in value.keys() - required - {*optional}:
        raise ValueError(f"{where} has {key!r}, which fastbp {__version__} doesn't know")


def check_array(
    what: str, array: Any, shape: tuple[int, ...], dtype: str, *,
    low: float = -math.inf, high: float | None = None, nan: bool = False,
) -> None:  # fmt: skip
    """Raise unless it is an array of that shape and kind, finite, and at least `low`.

    With `high`, infinities are right up to it, and with `nan` anything is.
    """
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TypeError(f"{what} must be an array of {dtype}")
    if array.shape != shape:
        raise ValueError(f"{what} must be of shape {shape}, got {array.shape}")
    right = ~np.isnan(array) if high is not None else np.isfinite(array)
    if not nan and not (right & (array >= low)).all():
        raise ValueError(
            f"{what} must hold {'numbers' if high is not None else 'finite numbers'}"
            f"{' of at least 0' if low == 0.0 else ''}"
        )


def whole_number(what: str, value: Any) -> int:
    """Return a float that is a count, as an int."""
    number = float(value)
    if not (0.0 <= number <= MOST_COUNTED and number == math.floor(number)):
        raise ValueError(f"{what} must be a whole number in [0, {MOST_COUNTED}], got {number}")
    return int(number)


def _digest(fields: Mapping[str, Any], tensors: Tensors, raw: Mapping[str, Any]) -> str:
    """SHA-256 of the other fields and of the tensors, which are contiguous arrays or bytes."""
    rest = {key: value for key, value in fields.items() if key != "sha256"}
    digest = hashlib.sha256(dumps([rest, [[name, *entry] for name, entry in tensors.items()]]))
    for name in tensors:
        digest.update(raw[name])
    return digest.hexdigest()


def dumps(value: object) -> bytes:
    """`value` as JSON, in the one spelling that a file may have."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()
