"""Model files: what is written comes back, and is the same bytes anywhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import paths
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import assert_same, digest, small_model, strict, take_apart

import fastbp
from fastbp.files import container, model_file
from fastbp.files.model_file import Model

GOLDEN = paths.GOLDEN / "model-v1.safetensors"
path, blob = model_files.path, model_files.blob  # fixtures


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(path: Path, dtype: str) -> None:
    model_file.write(path, small_model(dtype))
    model = model_file.read(path)
    assert_same(model, small_model(dtype))
    assert all(w.flags.c_contiguous and w.flags.writeable for w in model.weights)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def models(draw: st.DrawFn) -> Model:
    n_inputs = n_in = draw(st.integers(1, 4))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    layers: list[dict[str, Any]] = []
    weights = []
    for _ in range(draw(st.integers(1, 12))):
        units = draw(st.integers(1, 3))
        bias = draw(st.sampled_from([True, "shared", False]))
        layers.append({"units": units, "activation": draw(st.sampled_from(["relu", "tanh"]))})
        layers[-1]["bias"] = bias
        weights.append(rng.normal(size=(n_in, units)).astype(dtype))
        if bias:
            weights.append(rng.normal(size=units if bias is True else 1).astype(dtype))
        n_in = units
    extra = draw(st.dictionaries(st.text(), JSON_VALUES, max_size=3))
    return Model(n_inputs, dtype, draw(st.integers(0, 2**64 - 1)), layers, weights, extra)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(model=models())
def test_round_trip_of_any_model(tmp_path_factory: pytest.TempPathFactory, model: Model) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    model_file.write(path, model)
    assert_same(model_file.read(path), model)


def test_same_bytes_whatever_the_order(path: Path, blob: bytes) -> None:
    model = small_model()
    shuffled = Model(
        model.n_inputs,
        model.dtype,
        model.seed,
        [dict(reversed(layer.items())) for layer in model.layers],
        [np.asfortranarray(w).astype(w.dtype.newbyteorder(">")) for w in model.weights],
        dict(reversed(model.extra.items())),
    )
    model_file.write(path, shuffled)
    assert path.read_bytes() == blob


PROGRAM = """
import hashlib, pathlib, sys
from model_files import model_file, small_model
path = pathlib.Path(sys.argv[1])
for _ in range(5):
    model_file.write(path, small_model())
    print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_same_bytes_in_every_process(path: Path, blob: bytes) -> None:
    for seed in "12":
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment["PYTHONHASHSEED"] = seed
        command = [sys.executable, "-c", PROGRAM, str(path)]
        done = subprocess.run(
            command, env=environment, cwd=Path(__file__).parent, check=True, capture_output=True
        )
        assert done.stdout.split() == [hashlib.sha256(blob).hexdigest().encode()] * 5


def test_golden_file_loads_and_is_written_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(model_file.read(GOLDEN), small_model())
    monkeypatch.setattr(container, "__version__", "0.1.0")
    model_file.write(path, small_model())
    assert path.read_bytes() == GOLDEN.read_bytes()


def test_layout_is_the_documented_one(path: Path, blob: bytes) -> None:
    model = small_model()
    names = [f"layers.{n}" for n in ("0.weight", "0.bias", "1.weight", "1.bias", "2.weight")]
    tensors = safetensors.numpy.load_file(path)
    assert sorted(tensors) == sorted(names)
    for name, array in zip(names, model.weights, strict=True):
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)
    header, data = take_apart(blob)
    assert (len(blob) - len(data)) % 8 == 0
    assert header["__metadata__"].keys() == {"fastbp"}
    assert header["__metadata__"]["fastbp"] == strict(
        {
            "format_version": 1,
            "library": fastbp.__version__,
            "model": {
                "n_inputs": 2,
                "dtype": "float32",
                "seed": 2**64 - 1,
                "layers": model.layers,
                "extra": model.extra,
            },
            "sha256": digest(header, data),
        }
    )
