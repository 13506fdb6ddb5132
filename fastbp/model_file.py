"""Model files: safetensors with strict metadata, the same bytes on every machine.

A file of format 1, as https://github.com/huggingface/safetensors#format has it: the header's length
(8 bytes, little-endian); the header, JSON padded with spaces to a multiple of 8 bytes; the tensors'
values in layer order without gaps, row-major, unpadded, little-endian. The tensors are

``layers.<i>.weight``, ``layers.<i>.bias``
    ``(n_in, n_out)``; ``(n_out,)``, ``(1,)`` where the bias is shared, left out where there is
    none. All F32 or all F64.

and the metadata, strings,

``format``, ``format_version``, ``library``
    "fastbp"; "1"; the version of fastbp that wrote the file.
``model``
    JSON: ``{"n_inputs", "dtype", "seed", "layers": [{"units", "activation", "bias"}], "extra"}``.
``sha256``
    Of the JSON ``[{the other metadata}, [[name, dtype, shape], ...]]``, tensors in layer order, and
    after it each tensor's bytes in that order.

JSON is ASCII with sorted keys and no white space; a key stands once, and there is no NaN.

Later versions of fastbp may add optional keys to a layer. They leave out a key at its default, so
that files which don't use it load everywhere, and one that doesn't know it refuses it by name.
Whatever changes the meaning of what stands above is another format_version.

Written here because the safetensors library writes metadata in a random order (its issue 584), and
read here so that everything is checked before anything of the size it claims is allocated.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

import fastbp

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Array: TypeAlias = NDArray[Any]
Shapes: TypeAlias = dict[str, tuple[int, ...]]

_FORMAT_VERSION = 1
_METADATA_KEYS = ("format", "format_version", "library", "model", "sha256")
_DTYPES = {"float32": "F32", "float64": "F64"}  # numpy's name: safetensors' name
_MAX_HEADER = 1 << 24  # bytes; parsing JSON takes up to some 25 times its size in memory
_MAX_UNITS = 1 << 24
_MAX_LAYERS = 10_000
_MAX_DEPTH = 32  # of lists and dicts in `extra`


class ModelFileError(ValueError):
    """A model file that can't be read or written; the message has its path and the reason."""


class _Refused(Exception):
    """The reason alone."""


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
        1 ... 10,000 layers: "units" (int, 1 ... 2²⁴), "activation" (str), "bias" (True, "shared" or
        False), and "kernel_initializer" (str), which may be left out.
    weights : list of ndarray
        ``[W0, b0, W1, b1, ...]``, finite: W ``(n_in, n_out)``; b ``(n_out,)``, ``(1,)`` if shared,
        left out if there is none.
    extra : dict
        The caller's own: JSON with finite floats and integers in [-2⁶³, 2⁶⁴).
    """

    n_inputs: int
    dtype: str
    seed: int
    layers: list[dict[str, JSON]]
    weights: list[Array]
    extra: dict[str, JSON]


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
    target = os.path.realpath(path)
    with _naming(path):
        if os.path.exists(target) and not os.path.isfile(target):
            raise _Refused("not a regular file")
        description = {key: getattr(model, key) for key in _MODEL_KEYS}
        _check_description(description)
        shapes = _shapes(description)
        arrays = _stored(model.weights, shapes, model.dtype)
        metadata = {
            "format": "fastbp",
            "format_version": str(_FORMAT_VERSION),
            "library": fastbp.__version__,
            "model": _dumps(description),
        }
        metadata["sha256"] = _digest(metadata, model.dtype, shapes, arrays)
        header = _header(metadata, model.dtype, shapes)
    try:
        _replace(target, [len(header).to_bytes(8, "little"), header, *map(_raw, arrays)])
    except OSError as error:
        if error.filename2 is None:  # else it is the renaming that failed, and both names are there
            error.filename = os.fspath(path)
        raise


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
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its other end
            raise _Refused("not a regular file")
        with open(path, "rb") as file:
            return _read(file)


def _read(file: BufferedReader) -> Model:
    size = os.fstat(file.fileno()).st_size
    header = _read_header(file, size)
    metadata = _check_metadata(header.pop("__metadata__", None))
    description = _loads(metadata["model"], "the model's description")
    _check_description(description)
    dtype, shapes = description["dtype"], _shapes(description)
    _check_entries(header, _entries(dtype, shapes), size - file.tell())
    try:
        arrays = [np.empty(shape, np.dtype(dtype).newbyteorder("<")) for shape in shapes.values()]
    except MemoryError:
        raise _Refused(f"its weights need {size - file.tell()} bytes of memory") from None
    for array in arrays:
        if file.readinto(_raw(array)) != array.nbytes:
            raise _Refused("got shorter while it was being read")
    if _digest(metadata, dtype, shapes, arrays) != metadata["sha256"]:
        raise _Refused("damaged: its contents don't match its SHA-256")
    weights = [array.astype(dtype, copy=False) for array in arrays]
    _check_finite(shapes, weights)
    return Model(weights=weights, **description)


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except _Refused as reason:
        raise ModelFileError(f"{os.fspath(path)}: {reason}") from None
    except RecursionError:  # from the parser, or from showing what was refused
        raise ModelFileError(f"{os.fspath(path)}: nested too deep") from None


# -- the container ---------------------------------------------------------------------------------


def _read_header(file: BufferedReader, size: int) -> dict[str, Any]:
    """The header's JSON object; the file is left at the first value."""
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or length > _MAX_HEADER:
        raise _Refused("not a safetensors file")
    if length > size - 8:
        raise _Refused(f"cut short: its header takes {length} bytes, the file has {size}")
    raw = file.read(length)
    if raw[:1] != b"{":
        raise _Refused("not a safetensors file")
    try:
        header: dict[str, Any] = _loads(raw.decode("utf-8"), "the header")
    except UnicodeDecodeError:
        raise _Refused("the header is not UTF-8") from None
    return header


def _header(metadata: dict[str, str], dtype: str, shapes: Shapes) -> bytes:
    raw = _dumps({"__metadata__": metadata, **_entries(dtype, shapes)}).encode()
    raw += b" " * (-len(raw) % 8)
    if len(raw) > _MAX_HEADER:
        raise _Refused(f"architecture and metadata take {len(raw)} bytes of {_MAX_HEADER} at most")
    return raw


def _entries(dtype: str, shapes: Shapes) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        entries[name] = {"dtype": _DTYPES[dtype], "shape": shape, "data_offsets": [start, end]}
    return entries


def _check_entries(
    entries: dict[str, Any], demanded: dict[str, dict[str, Any]], n_data: int
) -> None:
    _check_keys("the header", entries, demanded)
    for name, entry in demanded.items():
        _check_keys(f"tensor {name}", entries[name], entry)
        for key, value in entry.items():
            got, takes = _dumps(entries[name][key]), _dumps(value)  # in Python, 1 == 1.0 == True
            if got != takes:
                raise _Refused(f"tensor {name}: {key} is {got[:80]}, the model demands {takes}")
    if entry["data_offsets"][1] != n_data:
        raise _Refused(
            f"cut short or added to: its tensors take {entry['data_offsets'][1]} bytes, "
            f"the file has {n_data} for them"
        )


def _digest(metadata: dict[str, str], dtype: str, shapes: Shapes, arrays: Iterable[Array]) -> str:
    rest = {key: value for key, value in metadata.items() if key != "sha256"}
    tensors = [[name, _DTYPES[dtype], shape] for name, shape in shapes.items()]
    digest = hashlib.sha256(_dumps([rest, tensors]).encode())
    for array in arrays:
        digest.update(_raw(array))
    return digest.hexdigest()


def _replace(target: str, chunks: Iterable[bytes | memoryview]) -> None:
    """Put `chunks` in the place of file `target`: all of them, or on any failure none."""
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".fastbp-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    # The file is in place and whole; that its name outlives a power cut is up to the file system.
    if os.name == "posix":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


# -- tensors ---------------------------------------------------------------------------------------


def _shapes(description: dict[str, Any]) -> Shapes:
    """Each tensor's name and shape, in layer order."""
    shapes: Shapes = {}
    n_in = description["n_inputs"]
    for index, layer in enumerate(description["layers"]):
        n_out = layer["units"]
        shapes[f"layers.{index}.weight"] = (n_in, n_out)
        if layer["bias"]:
            shapes[f"layers.{index}.bias"] = (1,) if layer["bias"] == "shared" else (n_out,)
        n_in = n_out
    return shapes


def _stored(weights: list[Array], shapes: Shapes, dtype: str) -> list[Array]:
    """The weights, checked, as they stand in the file."""
    if len(weights) != len(shapes):
        raise _Refused(f"the architecture has {len(shapes)} arrays of weights, got {len(weights)}")
    for (name, shape), array in zip(shapes.items(), weights, strict=True):
        if not isinstance(array, np.ndarray) or (array.dtype.name, array.shape) != (dtype, shape):
            raise _Refused(f"{name} must be a {dtype} array of shape {shape}")
    _check_finite(shapes, weights)
    return [np.ascontiguousarray(a, np.dtype(dtype).newbyteorder("<")) for a in weights]


def _check_finite(names: Iterable[str], arrays: Iterable[Array]) -> None:
    for name, array in zip(names, arrays, strict=True):
        with np.errstate(invalid="ignore"):
            extremes = array.min(), array.max()  # a NaN is both; np.isfinite(array) allocates
        if not np.isfinite(extremes).all():
            raise _Refused(f"{name} holds a value that is not finite")


def _raw(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


# -- metadata --------------------------------------------------------------------------------------


def _is_int(value: object, low: int = -(2**63), high: int = 2**64 - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= 100


_Takes: TypeAlias = tuple[str, Callable[[Any], bool]]  # in words, and as a test
_UNITS: _Takes = (f"an integer in [1, {_MAX_UNITS}]", lambda v: _is_int(v, 1, _MAX_UNITS))
_NAME: _Takes = ("a string of at most 100 printable ASCII characters", _is_name)
_MODEL_KEYS: dict[str, _Takes] = {
    "n_inputs": _UNITS,
    "dtype": ("'float32' or 'float64'", lambda v: isinstance(v, str) and v in _DTYPES),
    "seed": ("an integer in [0, 2**64)", lambda v: _is_int(v, 0)),
    "layers": (
        f"a list of 1 ... {_MAX_LAYERS} layers",
        lambda v: isinstance(v, list) and 1 <= len(v) <= _MAX_LAYERS,
    ),
    "extra": ("a dict", lambda v: isinstance(v, dict)),
}
_LAYER_KEYS: dict[str, _Takes] = {
    "units": _UNITS,
    "activation": _NAME,
    "bias": ("True, 'shared' or False", lambda v: isinstance(v, bool) or v == "shared"),
}
_OPTIONAL_LAYER_KEYS: dict[str, _Takes] = {"kernel_initializer": _NAME}


def _check_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or metadata.get("format") != "fastbp":
        raise _Refused("a safetensors file, but not a model of fastbp's")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise _Refused("its metadata are not all strings")
    version = metadata.get("format_version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise _Refused(f"its format_version is {_shown(version)}")
    if int(version) > _FORMAT_VERSION:
        library = re.sub(r"[^\w.+-]", "?", metadata.get("library", "?")[:40], flags=re.ASCII)
        raise _Refused(
            f"written in format {version} by fastbp {library}; this fastbp "
            f"({fastbp.__version__}) reads format {_FORMAT_VERSION}"
        )
    _check_keys("its metadata", metadata, _METADATA_KEYS)
    return metadata


def _check_description(description: Any) -> None:
    _check_fields("the model's description", description, _MODEL_KEYS, {})
    for index, layer in enumerate(description["layers"]):
        _check_fields(f"layer {index}", layer, _LAYER_KEYS, _OPTIONAL_LAYER_KEYS)
    _check_json(description["extra"], _MAX_DEPTH)


def _check_fields(
    where: str, value: Any, required: dict[str, _Takes], optional: dict[str, _Takes]
) -> None:
    _check_keys(where, value, required, optional)
    for key, (takes, fits) in {**required, **optional}.items():
        if key in value and not fits(value[key]):
            raise _Refused(f"{where}: {key} must be {takes}, got {_shown(value[key])}")


def _check_keys(
    where: str, value: Any, required: Collection[str], optional: Collection[str] = ()
) -> None:
    if not isinstance(value, dict):
        raise _Refused(f"{where} must be an object with keys, got {_shown(value)}")
    for key in required:
        if key not in value:
            raise _Refused(f"{where} lacks {key!r}")
    for key in value:
        if key not in required and key not in optional:
            library = f"fastbp {fastbp.__version__}"
            raise _Refused(f"{where} has {_shown(key)}, which {library} doesn't know")


def _check_json(value: Any, depth: int) -> None:
    """Refuse what JSON can't hold, or what doesn't come back from it the same."""
    if isinstance(value, (dict, list)):
        if depth == 0:
            raise _Refused(f"extra is nested more than {_MAX_DEPTH} deep")
        if isinstance(value, dict):
            for key in value:
                if not _is_text(key):
                    raise _Refused(f"extra has the key {_shown(key)}, which is not text")
        for item in value.values() if isinstance(value, dict) else value:
            _check_json(item, depth - 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _Refused(f"extra holds {value}")
    elif not (value is None or isinstance(value, bool) or _is_int(value) or _is_text(value)):
        raise _Refused(f"extra holds {_shown(value)}, which can't be stored")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _dumps(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _loads(text: str, what: str) -> Any:
    def integer(digits: str) -> int:
        if len(digits) > 20:  # as many as 2⁶⁴ - 1 and -2⁶³ have; int() is slow on millions
            raise _Refused(f"{what} has an integer of {len(digits)} digits")
        return int(digits)

    def real(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else constant(digits[:80])

    def constant(name: str) -> NoReturn:
        raise _Refused(f"{what} has {name}, which is not a finite number")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise _Refused(f"{what} has {_shown(key)} twice")
            result[key] = value
        return result

    try:
        return json.loads(
            text,
            parse_int=integer,
            parse_float=real,
            parse_constant=constant,
            object_pairs_hook=unique,
        )
    except json.JSONDecodeError as error:
        raise _Refused(f"{what} is not JSON: {error.msg} at character {error.pos}") from None
