"""Model files: safetensors with strict metadata, the same bytes on every machine.

A file of format 1 is a file as container.py says, with the entry ``fastbp``, the key ``model`` ::

    {"n_inputs", "dtype", "seed", "layers": [{"units", "activation", "bias"}], "extra"}

beside which there may be "class_threshold" and "target_threshold" for one output, finite numbers,
and the tensors

``layers.<i>.weight``, ``layers.<i>.bias``
    ``(n_in, n_out)``; ``(n_out,)``, ``(1,)`` where the bias is shared, left out where there is
    none. All F32 or all F64, all finite.

Later versions may add optional keys, to a layer too, which they leave out at their default: files
that don't use one load everywhere, and a version that doesn't know it refuses it by name. Whatever
changes the meaning of what stands above is another format_version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import choice, integer
from fastbp.files import atomic, container
from fastbp.files.container import DTYPES, ModelFileError, Tensors, check_finite, check_keys
from fastbp.layers.dense import MOST_UNITS, OPTIONAL, Dense
from fastbp.layers.names import DTypeName
from fastbp.layers.thresholds import KEYS, thresholds_of

__all__ = ["Model", "ModelFileError", "read", "write"]

Array: TypeAlias = NDArray[Any]

_MAX_LAYERS = 10_000


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
        `Network.metadata`, not safetensors' own: whatever comes back from JSON the same.
    class_threshold, target_threshold : float or None
        Where one output, and its targets, are cut into two classes.
    """

    n_inputs: int
    dtype: DTypeName
    seed: int
    layers: list[dict[str, Any]]
    weights: list[Array]
    extra: dict[str, Any]
    class_threshold: float | None = None
    target_threshold: float | None = None


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
    with container.naming(path):
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
    with container.naming(path):
        description, arrays, _ = container.read(path, _KIND)
        check_finite(arrays)
        return Model(weights=list(arrays.values()), **description)


def _to_bytes(model: Model) -> bytes:
    keys = ("n_inputs", "dtype", "seed", "layers", "extra")
    description = {key: getattr(model, key) for key in keys}
    cuts = {key: getattr(model, key) for key in KEYS}
    description |= {key: cut for key, cut in cuts.items() if cut is not None}
    _check_description(description)
    try:
        same = json.loads(container.dumps(description)) == description
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
        stored[name] = array
    check_finite(stored)
    return container.pack(_KIND, description, stored)


def _check_description(model: Any) -> None:
    check_keys("the model", model, {"n_inputs", "dtype", "seed", "layers", "extra"}, KEYS)
    integer("n_inputs", model["n_inputs"], minimum=1, maximum=MOST_UNITS)
    choice("dtype", model["dtype"], DTYPES)
    integer("seed", model["seed"], minimum=0, maximum=2**64 - 1)
    layers = model["layers"]
    if not isinstance(layers, list) or not 1 <= len(layers) <= _MAX_LAYERS:
        raise ValueError(f"layers must be a list of 1 ... {_MAX_LAYERS} layers")
    for i, layer in enumerate(layers):
        settings = {"kernel_initializer_settings", "activation_settings"}
        optional = {"kernel_initializer", *settings, *OPTIONAL}
        check_keys(f"layer {i}", layer, {"units", "activation", "bias"}, optional)
        try:
            Dense._from_stored(layer)
        except (TypeError, ValueError) as error:
            raise ValueError(f"layer {i}: {error}") from None
    thresholds_of(model, layers[-1]["units"])
    if not isinstance(model["extra"], dict):
        raise ValueError("extra must be a dict")


def _tensors(description: Mapping[str, Any]) -> Tensors:
    """The tensors of an architecture, in layer order."""
    tensors: Tensors = {}
    dtype, n_in = DTYPES[description["dtype"]], description["n_inputs"]
    for index, layer in enumerate(description["layers"]):
        n_out = layer["units"]
        tensors[f"layers.{index}.weight"] = dtype, (n_in, n_out)
        if layer["bias"]:
            tensors[f"layers.{index}.bias"] = dtype, (1 if layer["bias"] == "shared" else n_out,)
        n_in = n_out
    return tensors


def _demanded(model: Any, version: int) -> Tensors:
    _check_description(model)
    return _tensors(model)


_KIND = container.Kind("fastbp", "model", "model", 1, _demanded)
