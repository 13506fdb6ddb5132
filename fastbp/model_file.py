"""Model files: safetensors with strict metadata, the same bytes on every machine.

A file of format 1 is a safetensors file (https://github.com/huggingface/safetensors#format) with
the tensors

``layers.<i>.weight``, ``layers.<i>.bias``
    ``(n_in, n_out)``; ``(n_out,)``, ``(1,)`` where the bias is shared, left out where there is
    none. All F32 or all F64, all finite.

and one metadata entry (the library writes several in a random order: its issue 584), ``fastbp``,
which is JSON with the keys

``format_version``, ``library``
    1; the version of fastbp that wrote the file.
``model``
    ``{"n_inputs", "dtype", "seed", "layers": [{"units", "activation", "bias"}], "extra"}``.
``sha256``
    Of the JSON ``[{the other keys}, [[name, dtype, shape], ...]]``, tensors in layer order, and
    after it each tensor's bytes in that order.

JSON is what Python's ``json.dumps`` makes with sorted keys, without white space, unescaped where
it can be; other spellings are refused, so that no key stands twice and there is no NaN.

Later versions may add optional keys to a layer, which they leave out at their default: files that
don't use one load everywhere, and a version that doesn't know it refuses it by name. Whatever
changes the meaning of what stands above is another format_version.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

import fastbp
from fastbp import atomic
from fastbp.checks import choice, integer
from fastbp.dense import MOST_UNITS, OPTIONAL, Dense

Array: TypeAlias = NDArray[Any]
Tensors: TypeAlias = dict[str, tuple[str, tuple[int, ...]]]  # name: safetensors' dtype, shape

_FORMAT_VERSION = 1
_DTYPES = {"float32": "F32", "float64": "F64"}  # numpy's name: safetensors' name
_MAX_HEADER = 1 << 24  # bytes; the library's own bound is 100 MB, of which JSON makes gigabytes
_MAX_LAYERS = 10_000


class ModelFileError(ValueError):
    """A model file that can't be read or written; the message has its path and the reason."""


@dataclass(frozen=True, eq=False)
class Model:
    """What a model file holds.

    Attributes
    ----------
    n_inputs : int
        Features of a sample, 1 ... 2²⁴.
    dtype : {"float32", "float64"}
        Of all weights.
    seed : int
        0 ... 2⁶⁴ - 1.
    layers : list of dict
        1 ... 10,000 layers, each the arguments of `Dense`: "units", "activation", "bias", and
        "kernel_initializer", which may be left out, as may what is at its default.
    weights : list of ndarray
        ``[W0, b0, W1, b1, ...]``, finite: W ``(n_in, n_out)``; b ``(n_out,)``, ``(1,)`` if shared,
        left out if there is none.
    extra : dict
        The caller's own: whatever comes back from JSON the same.
    """

    n_inputs: int
    dtype: str
    seed: int
    layers: list[dict[str, Any]]
    weights: list[Array]
    extra: dict[str, Any]


def write(path: str | os.PathLike[str], model: Model) -> None:
    """Write `model` to a file; one that is there already is replaced once the new one is on disk.

    Parameters
    ----------
    path : path-like
        The file. A symbolic link is followed.
    model : Model
        What to write.

    Raises
    ------
    ModelFileError
        `model` is not as `Model` says, or `path` is a folder or a device.
    OSError
        The system can't write the file.
    """
    with _naming(path):
        atomic.write(path, _to_bytes(model))


def read(path: str | os.PathLike[str]) -> Model:
    """Read a model file, after checking every number in it.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Model
        With new, C-contiguous arrays.

    Raises
    ------
    ModelFileError
        It is damaged, of a newer format, or no model of fastbp's.
    OSError
        The system can't read the file.
    """
    with _naming(path):
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its writer
            raise ValueError("not a regular file")
        with open(path, "rb") as file:
            return _from_file(file)


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make what is wrong with the contents an error that names the file."""
    try:
        yield
    except RecursionError:  # from JSON, or from showing what was refused
        raise ModelFileError(f"{os.fspath(path)}: nested too deep") from None
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{os.fspath(path)}: {str(error)[:400]}") from None


def _to_bytes(model: Model) -> bytes:
    keys = ("n_inputs", "dtype", "seed", "layers", "extra")
    description = {key: getattr(model, key) for key in keys}
    _check_description(description)
    try:
        same = json.loads(_dumps(description)) == description
    except (TypeError, ValueError) as error:
        raise ValueError(f"can't be stored as JSON: {error}") from None
    if not same:
        raise ValueError("can't be stored: JSON has no tuples, and its keys are strings")
    tensors = _tensors(description)
    if len(model.weights) != len(tensors):
        raise ValueError(f"takes {len(tensors)} arrays of weights, got {len(model.weights)}")
    stored: dict[str, Array] = {}
    for (name, (_, shape)), array in zip(tensors.items(), model.weights, strict=True):
        kind = isinstance(array, np.ndarray) and (array.dtype.name, array.shape)
        if kind != (model.dtype, shape):
            raise ValueError(f"{name} must be a {model.dtype} array of shape {shape}")
        stored[name] = np.ascontiguousarray(array, np.dtype(model.dtype).newbyteorder("<"))
    _check_finite(stored)
    fields = {"format_version": _FORMAT_VERSION, "library": fastbp.__version__}
    fields["model"] = description
    fields["sha256"] = _digest(fields, tensors, stored)
    content: bytes = safetensors.numpy.save(stored, {"fastbp": _dumps(fields).decode()})
    length = int.from_bytes(content[:8], "little")
    if length > _MAX_HEADER:
        raise ValueError(f"architecture and extra take {length} bytes of {_MAX_HEADER} at most")
    return content


def _from_file(file: BinaryIO) -> Model:
    size = os.fstat(file.fileno()).st_size
    fields = _read_fields(file, size)
    tensors, dtype = _tensors(fields["model"]), np.dtype(fields["model"]["dtype"])
    # The library takes the whole file at once, so it gets none but of the size it should have.
    n_data = sum(math.prod(shape) for _, shape in tensors.values()) * dtype.itemsize
    got = size - file.tell()
    if got != n_data:
        raise ValueError(f"cut short or added to: its tensors take {n_data} bytes, it has {got}")
    file.seek(0)
    try:
        found = dict(safetensors.deserialize(file.read(size)))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ValueError(f"damaged: {str(error)!r}") from None
    except MemoryError:
        raise ValueError(f"reading it needs {2 * size} bytes of memory") from None
    entries = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in found.items()}
    for name in sorted(dict(entries.items() ^ tensors.items())):
        has, takes = entries.get(name), tensors.get(name)
        raise ValueError(f"tensor {name!r} is {has}, the model demands {takes}")
    raw = {name: found[name]["data"] for name in tensors}
    if _digest(fields, tensors, raw) != fields["sha256"]:
        raise ValueError("damaged: its contents don't match its SHA-256")
    arrays: dict[str, Array] = {}
    for name, (_, shape) in tensors.items():
        array = np.frombuffer(raw[name], dtype.newbyteorder("<")).reshape(shape)
        arrays[name] = array.astype(dtype, copy=False)
    _check_finite(arrays)
    return Model(weights=list(arrays.values()), **fields["model"])


def _read_fields(file: BinaryIO, size: int) -> dict[str, Any]:
    """The metadata, checked but for its digest; leaves `file` where the tensors start."""
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or length > _MAX_HEADER:
        raise ValueError("not a safetensors file")
    if length > size - 8:
        raise ValueError(f"cut short: its header takes {length} bytes, the file has {size}")
    try:
        header = json.loads(file.read(length).decode())
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise ValueError("not a safetensors file")
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or [*metadata] != ["fastbp"]:
        raise ValueError("a safetensors file, but not a model of fastbp's")
    try:
        fields = json.loads(metadata["fastbp"])
        version = fields.get("format_version") if isinstance(fields, dict) else None
        newer = isinstance(version, int) and version > _FORMAT_VERSION
        strict = newer or _dumps(fields) == metadata["fastbp"].encode()
    except (TypeError, ValueError):
        newer = strict = False
    if newer:
        raise ValueError(
            f"written in format {version} by fastbp {str(fields.get('library'))[:40]!r}; "
            f"this fastbp ({fastbp.__version__}) reads format {_FORMAT_VERSION}"
        )
    if not strict:
        raise ValueError("damaged: its metadata is not JSON as fastbp writes it")
    _check_keys("its metadata", fields, {"format_version", "library", "model", "sha256"})
    integer("format_version", version, minimum=1)
    _check_description(fields["model"])
    return fields  # type: ignore[no-any-return]


def _check_description(model: Any) -> None:
    _check_keys("the model", model, {"n_inputs", "dtype", "seed", "layers", "extra"})
    integer("n_inputs", model["n_inputs"], minimum=1, maximum=MOST_UNITS)
    choice("dtype", model["dtype"], _DTYPES)
    integer("seed", model["seed"], minimum=0, maximum=2**64 - 1)
    layers = model["layers"]
    if not isinstance(layers, list) or not 1 <= len(layers) <= _MAX_LAYERS:
        raise ValueError(f"layers must be a list of 1 ... {_MAX_LAYERS} layers")
    for i, layer in enumerate(layers):
        settings = {"kernel_initializer_settings", "activation_settings"}
        optional = {"kernel_initializer", *settings, *OPTIONAL}
        _check_keys(f"layer {i}", layer, {"units", "activation", "bias"}, optional)
        try:
            Dense._from_stored(layer)
        except (TypeError, ValueError) as error:
            raise ValueError(f"layer {i}: {error}") from None
    if not isinstance(model["extra"], dict):
        raise ValueError("extra must be a dict")


def _check_keys(where: str, value: Any, required: set[str], optional: Iterable[str] = ()) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a dict")
    for key in sorted(required - value.keys()):
        raise ValueError(f"{where} lacks {key!r}")
    for key in value.keys() - required - {*optional}:
        raise ValueError(f"{where} has {key!r}, which fastbp {fastbp.__version__} doesn't know")


def _tensors(description: Mapping[str, Any]) -> Tensors:
    """The tensors of an architecture, in layer order."""
    tensors: Tensors = {}
    dtype, n_in = _DTYPES[description["dtype"]], description["n_inputs"]
    for index, layer in enumerate(description["layers"]):
        n_out = layer["units"]
        tensors[f"layers.{index}.weight"] = dtype, (n_in, n_out)
        if layer["bias"]:
            tensors[f"layers.{index}.bias"] = dtype, (1 if layer["bias"] == "shared" else n_out,)
        n_in = n_out
    return tensors


def _check_finite(arrays: Mapping[str, Array]) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds a value that is not finite")


def _digest(fields: Mapping[str, Any], tensors: Tensors, raw: Mapping[str, Any]) -> str:
    """SHA-256 of the other fields and of the tensors, which are contiguous arrays or bytes."""
    rest = {key: value for key, value in fields.items() if key != "sha256"}
    digest = hashlib.sha256(_dumps([rest, [[name, *entry] for name, entry in tensors.items()]]))
    for name in tensors:
        digest.update(raw[name])
    return digest.hexdigest()


def _dumps(value: object) -> bytes:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()
