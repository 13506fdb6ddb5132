"""Hostile model files, whose every digest is right: other checks have to refuse them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pytest
from model_files import (
    Header,
    assemble,
    assert_same,
    deep,
    fields_of,
    refusal,
    refused_or_same,
    signed,
    small_model,
    strict,
    take_apart,
)

import fastbp
from fastbp.files import model_file

path, blob = model_files.path, model_files.blob  # fixtures


def edit(where: Callable[[Any], Any], changes: dict[str, Any]) -> Callable[[Header], None]:
    """Change keys of a dict in the metadata; one whose new value is `...` is left out."""

    def apply(header: Header) -> None:
        fields = fields_of(header)
        target = where(fields)
        target.update(changes)
        for key in [key for key, value in changes.items() if value is ...]:
            del target[key]
        header["__metadata__"]["fastbp"] = strict(fields)

    return apply


def edit_fields(**changes: object) -> Callable[[Header], None]:
    return edit(lambda fields: fields, changes)


def edit_model(**changes: object) -> Callable[[Header], None]:
    return edit(lambda fields: fields["model"], changes)


def edit_layer(**changes: object) -> Callable[[Header], None]:
    return edit(lambda fields: fields["model"]["layers"][1], changes)


def edit_tensor(**changes: object) -> Callable[[Header], None]:
    return lambda header: header["layers.1.weight"].update(changes)


UNITS = "must be an int in [1, 16777216]"
HOSTILE: dict[str, tuple[Callable[[Header], object], str]] = {
    "no metadata": (lambda h: h.pop("__metadata__"), "not a model of fastbp's"),
    "metadata a list": (lambda h: h.update(__metadata__=[]), "not a model of fastbp's"),
    "metadata of another": (lambda h: h.update(__metadata__={"a": ""}), "not a model of fastbp's"),
    "more metadata": (lambda h: h["__metadata__"].update(a=""), "not a model of fastbp's"),
    "metadata a number": (lambda h: h["__metadata__"].update(fastbp=1), "not JSON as fastbp"),
    "no version": (edit_fields(format_version=...), "metadata lacks 'format_version'"),
    "version 0": (edit_fields(format_version=0), "format_version must be an int >= 1, got 0"),
    "version 1.0": (edit_fields(format_version=1.0), "format_version must be an int >= 1"),
    "version true": (edit_fields(format_version=True), "format_version must be an int >= 1"),
    "version text": (edit_fields(format_version="2"), "format_version must be an int >= 1"),
    "unknown metadata": (edit_fields(pickle="gASV"), "metadata has 'pickle', which fastbp"),
    "no library": (edit_fields(library=...), "metadata lacks 'library'"),
    "no model": (edit_fields(model=...), "metadata lacks 'model'"),
    "model a list": (edit_fields(model=[]), "the model must be a dict"),
    "unknown model key": (edit_model(code="import os"), "the model has 'code'"),
    "no dtype": (edit_model(dtype=...), "the model lacks 'dtype'"),
    "no extra": (edit_model(extra=...), "the model lacks 'extra'"),
    "extra a list": (edit_model(extra=[]), "extra must be a dict"),
    "dtype object": (edit_model(dtype="object"), "dtype must be one of 'float32', 'float64'"),
    "dtype a list": (edit_model(dtype=["float32"]), "dtype must be one of"),
    "n_inputs 0": (edit_model(n_inputs=0), f"n_inputs {UNITS}, got 0"),
    "n_inputs true": (edit_model(n_inputs=True), f"n_inputs {UNITS}"),
    "n_inputs 2.0": (edit_model(n_inputs=2.0), f"n_inputs {UNITS}"),
    "n_inputs huge": (edit_model(n_inputs=2**24 + 1), f"n_inputs {UNITS}"),
    "seed -1": (edit_model(seed=-1), "seed must be an int in [0, 18446744073709551615], got -1"),
    "seed huge": (edit_model(seed=2**64), "seed must be an int in"),
    "seed text": (edit_model(seed="0"), "seed must be an int in"),
    "no layers": (edit_model(layers=[]), "layers must be a list of 1 ... 10000"),
    "too many layers": (edit_model(layers=[{}] * 10_001), "layers must be a list of 1 ... 10000"),
    "layers a dict": (edit_model(layers={"0": {}}), "layers must be a list"),
    "layer a number": (edit_model(layers=[3]), "layer 0 must be a dict"),
    "units 0": (edit_layer(units=0), f"layer 1: units {UNITS}"),
    "units huge": (edit_layer(units=2**62), f"layer 1: units {UNITS}"),
    "no units": (edit_layer(units=...), "layer 1 lacks 'units'"),
    "no activation": (edit_layer(activation=...), "layer 1 lacks 'activation'"),
    "no bias": (edit_layer(bias=...), "layer 1 lacks 'bias'"),
    "activation a number": (edit_layer(activation=1), "layer 1: activation must be one of"),
    "activation endless": (edit_layer(activation="a" * 10_000), "layer 1: activation must be one"),
    "bias 1": (edit_layer(bias=1), "layer 1: bias must be True, 'shared' or False"),
    "bias null": (edit_layer(bias=None), "layer 1: bias must be"),
    "bias endless": (edit_layer(bias=["shared"] * 10_000), "layer 1: bias must be"),
    "unknown layer key": (edit_layer(spin=0.5), "layer 1 has 'spin', which fastbp"),
    "initializer a list": (edit_layer(kernel_initializer=[]), "layer 1: kernel_initializer must"),
    "wider": (edit_layer(units=3), "cut short or added to: its tensors take 100 bytes, it has 80"),
    "of twice the size": (edit_model(dtype="float64"), "its tensors take 160 bytes, it has 80"),
    "other widths": (
        edit_model(n_inputs=3, layers=[{"units": 5, "activation": "relu", "bias": True}]),
        "tensor 'layers.0.bias' is ('F32', (3,)), the model demands ('F32', (5,))",
    ),
    "another name": (lambda h: h.update(x=h.pop("layers.0.bias")), "('F32', (3,))"),
    "another dtype": (edit_tensor(dtype="I32"), "layers.1.weight' is ('I32', (3, 2))"),
    "a dtype that numpy lacks": (edit_tensor(dtype="BF16", shape=[3, 4]), "is ('BF16', (3, 4))"),
    "another shape": (edit_tensor(shape=[2, 3]), "layers.1.weight' is ('F32', (2, 3))"),
    "a bias too many": (lambda h: h.update({"layers.2.bias": h["layers.0.bias"]}), "damaged: "),
    "an empty tensor": (
        lambda h: h.update(x={"dtype": "F32", "shape": [0], "data_offsets": [80, 80]}),
        "tensor 'x' is ('F32', (0,)), the model demands None",
    ),
    "a tensor missing": (lambda h: h.pop("layers.0.bias"), "damaged: "),
    "shape of floats": (edit_tensor(shape=[3.0, 2]), "damaged: "),
    "shape with a bool": (edit_tensor(shape=[3, True]), "damaged: "),
    "shape negative": (edit_tensor(shape=[-3, -2]), "damaged: "),
    "shape beyond 64 bits": (
        edit_tensor(shape=[2**33, 2**33]),
        "the model demands ('F32', (3, 2))",
    ),
    "overlapping tensors": (edit_tensor(data_offsets=[0, 24]), "damaged: "),
    "out of bounds": (edit_tensor(data_offsets=[2**40, 2**40 + 24]), "damaged: "),
    "beyond 64 bits": (edit_tensor(data_offsets=[2**64 - 24, 2**64]), "damaged: "),
    "offsets negative": (edit_tensor(data_offsets=[-24, 0]), "damaged: "),
    "offsets turned round": (edit_tensor(data_offsets=[40, 16]), "damaged: "),
    "one offset": (edit_tensor(data_offsets=[36]), "damaged: "),
    "entry null": (lambda h: h.update({"layers.1.weight": None}), "damaged: "),
    "entry too deep": (edit_tensor(shape=deep(300)), "damaged: "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header(path: Path, blob: bytes, name: str) -> None:
    change, reason = HOSTILE[name]
    header, data = take_apart(blob)
    change(header)
    try:
        forged = signed(header, data)
    except (AttributeError, KeyError, TypeError, IndexError):  # no digest is defined for it
        forged = assemble(header, data)
    said = refusal(path, forged)
    assert reason in said
    assert len(said) <= 400


NOT_STRICT: dict[str, Callable[[str], str]] = {
    "not JSON": lambda text: "{'a': 1}",
    "empty": lambda text: "",
    "added to": lambda text: text + "}",
    "NaN": lambda text: text.replace("0.1", "NaN"),
    "Infinity": lambda text: text.replace("0.1", "-Infinity"),
    "a float too big": lambda text: text.replace("0.1", "1e999"),
    "an endless integer": lambda text: text.replace("0.1", "9" * 5000),
    "a float spelt otherwise": lambda text: text.replace("0.1", "0.10"),
    "white space": lambda text: text.replace(":", ": ", 1),
    "white space at the end": lambda text: text + " ",
    "an escape": lambda text: text.replace("ß", "\\u00df"),
    "half a character": lambda text: text.replace("ß", "\ud800"),
    "half a character, escaped": lambda text: text.replace("ß", "\\ud800"),
    "unsorted": lambda text: json.dumps(
        dict(reversed(json.loads(text).items())), separators=(",", ":"), ensure_ascii=False
    ),
    "a field twice": lambda text: '{"format_version":1,' + text[1:],
    "a model key twice": lambda text: text.replace('"seed"', '"seed":0,"seed"'),
    "a layer key twice": lambda text: text.replace('"bias"', '"bias":true,"bias"', 1),
    "a key of extra twice": lambda text: text.replace('"scale"', '"scale":1,"scale"'),
}


@pytest.mark.parametrize("name", NOT_STRICT)
def test_metadata_of_another_spelling(path: Path, blob: bytes, name: str) -> None:
    header, data = take_apart(blob)
    text = NOT_STRICT[name](header["__metadata__"]["fastbp"])
    assert text != header["__metadata__"]["fastbp"]
    header["__metadata__"]["fastbp"] = text
    assert "its metadata is not JSON as fastbp writes it" in refusal(path, assemble(header, data))


@pytest.mark.parametrize("text", ["[" * 500_000, '{"a":' * 500_000])
def test_metadata_far_too_deep(path: Path, blob: bytes, text: str) -> None:
    header, data = take_apart(blob)
    header["__metadata__"]["fastbp"] = text
    assert "nested too deep" in refusal(path, assemble(header, data))


def test_forged_files_are_refused_for_the_forgery_alone(path: Path, blob: bytes) -> None:
    path.write_bytes(signed(*take_apart(blob)))
    assert_same(model_file.read(path), small_model())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 9, 19])
def test_tensors_that_are_not_finite(path: Path, blob: bytes, value: float, position: int) -> None:
    header, data = take_apart(blob)
    values = np.frombuffer(data, "<f4").copy()
    values[position] = value
    assert "not finite" in refusal(path, signed(header, values.tobytes()))


@pytest.mark.parametrize("value", [..., None, "", "0" * 64, 7])
def test_no_digest(path: Path, blob: bytes, value: object) -> None:
    header, data = take_apart(blob)
    edit_fields(sha256=value)(header)
    reason = "lacks 'sha256'" if value is ... else "don't match its SHA-256"
    assert reason in refusal(path, assemble(header, data))


@pytest.mark.parametrize("value", ["null", "{}", '{"fastbp":"{}"}'])
@pytest.mark.parametrize("key", ["__metadata__", "fastbp", "layers.0.bias", "dtype", "shape"])
def test_keys_twice_in_the_header(path: Path, blob: bytes, key: str, value: str) -> None:
    header, data = take_apart(blob)
    text = json.dumps(header)
    end = text.index(f'"{key}"')
    refused_or_same(path, assemble(f'{text[:end]}"{key}": {value}, {text[end:]}', data))
    end = text.index("}", end) + 1 if key == "layers.0.bias" else len(text) - 1
    forged = assemble(f'{text[:end]}, "{key}": {value}{text[end:]}', data)
    assert refused_or_same(path, forged)


def test_newer_format_says_so(path: Path, blob: bytes) -> None:
    header, data = take_apart(blob)
    edit_fields(format_version=999, library="3.1.4\x1b[2Jß", future="!", model=...)(header)
    header["something.new"] = header.pop("layers.0.weight")
    reason = (
        "written in format 999 by fastbp '3.1.4\\x1b[2Jß'; "
        f"this fastbp ({fastbp.__version__}) reads format 1"
    )
    assert refusal(path, assemble(header, data)) == reason
    header["__metadata__"]["fastbp"] += " "
    assert refusal(path, assemble(header, data)) == reason
