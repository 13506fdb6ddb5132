#!/usr/bin/env python3
"""Write tests/golden/models: files of format 1 that every later version has to load to these bits.

Run it when there is a new format; files that exist are kept. Two are not to be loaded: a
file of a later format, and one with a layer's key that this version doesn't know.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from fastbp.files import model_file

FOLDER = Path(__file__).parents[2] / "tests" / "golden" / "models"


def layer(units: int, activation: str, bias: bool | str = True, **more: Any) -> dict[str, Any]:
    return {"units": units, "activation": activation, "bias": bias, **more}


#: name: inputs, dtype, layers, extra
MODELS: dict[str, tuple[int, str, list[dict[str, Any]], dict[str, Any]]] = {
    "plain32": (5, "float32", [layer(7, "relu"), layer(2, "linear")], {}),
    "plain64": (5, "float64", [layer(7, "tanh"), layer(3, "softmax")], {}),
    "no-bias": (3, "float32", [layer(4, "sigmoid", False), layer(1, "linear", False)], {}),
    "shared-bias": (3, "float64", [layer(17, "tanh", "shared"), layer(2, "linear", "shared")], {}),
    "one-value": (1, "float32", [layer(1, "linear", False)], {}),
    "parameters": (
        4,
        "float32",
        [
            layer(6, "leaky_relu", activation_settings={"negative_slope": 0.25}),
            layer(3, "relu", l2=0.001, dropout=0.5),
            layer(2, "linear"),
        ],
        {},
    ),
    "extra": (
        2,
        "float64",
        [layer(3, "gelu"), layer(1, "sigmoid")],
        {"ä": [1, 2.5, None, True, {"b": "\x00\u2028"}], "columns": ["x", "y"], "empty": {}},
    ),
}


def model(name: str) -> model_file.Model:
    """What the file of that name holds; its weights follow from their positions alone."""
    n_inputs, dtype, layers, extra = MODELS[name]
    weights: list[Any] = []
    n_in = n_inputs
    for entry in layers:
        shapes: list[tuple[int, ...]] = [(n_in, entry["units"])]
        if entry["bias"]:
            shapes.append((1 if entry["bias"] == "shared" else entry["units"],))
        for shape in shapes:
            start = 1000 * (len(weights) + 1)
            mixed = np.arange(start, start + int(np.prod(shape))) * 2654435761 % 2**32
            weights.append((mixed / 2**31 - 1).astype(dtype).reshape(shape))
        n_in = entry["units"]
    return model_file.Model(n_inputs, dtype, 2**64 - 1, layers, weights, extra)


def edited(source: Path, change: Any) -> bytes:
    """The file's bytes after `change` of its metadata, with the digest that they demand."""
    tensors = safetensors.numpy.load_file(source)
    with source.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    fields = json.loads(header["__metadata__"]["fastbp"])
    del fields["sha256"]
    change(fields)
    names = sorted(tensors, key=lambda name: (int(name.split(".")[1]), -len(name)))
    entries = [[name, header[name]["dtype"], header[name]["shape"]] for name in names]
    sha256 = hashlib.sha256(_strict([fields, entries]))
    for name in names:
        sha256.update(tensors[name].tobytes())
    fields["sha256"] = sha256.hexdigest()
    return bytes(safetensors.numpy.save(tensors, {"fastbp": _strict(fields).decode()}))


def _strict(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        path = FOLDER / f"{name}.safetensors"
        if not path.exists():
            model_file.write(path, model(name))
    plain = FOLDER / "plain32.safetensors"
    for name, change in {
        "refused-format-2": lambda fields: fields.update(format_version=2, library="9.0.0"),
        "refused-unknown-key": lambda fields: fields["model"]["layers"][0].update(spin=0.5),
    }.items():
        path = FOLDER / f"{name}.safetensors"
        if not path.exists():
            path.write_bytes(edited(plain, change))


if __name__ == "__main__":
    main()
