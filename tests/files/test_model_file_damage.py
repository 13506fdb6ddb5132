"""Damaged model files, other files, absurd sizes: all are refused, and without much memory."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pytest
from model_files import Header, assemble, refusal, refused_or_same, signed, strict, take_apart

from fastbp.files import model_file
from fastbp.files.model_file import Model, ModelFileError

path, blob = model_files.path, model_files.blob  # fixtures


# -- damage ----------------------------------------------------------------------------------------


def test_truncation_anywhere_is_refused(path: Path, blob: bytes) -> None:
    for length in range(len(blob)):
        assert refusal(path, blob[:length])
    assert "cut short or added to" in refusal(path, blob[:-1])
    assert "cut short or added to" in refusal(path, blob + b"\0")


def test_every_bit_flip_is_refused(path: Path, blob: bytes) -> None:
    start = len(blob) - len(take_apart(blob)[1])
    for position in range(8 * len(blob)):
        mutant = bytearray(blob)
        mutant[position // 8] ^= 1 << position % 8
        reason = refusal(path, bytes(mutant))
        assert position < 8 * start or "SHA-256" in reason  # that alone guards the weights


def test_random_damage(path: Path, blob: bytes) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        mutant = bytearray(blob)
        a, b, c = (int(i) for i in np.sort(rng.integers(0, len(blob), 3)))
        match rng.integers(3):
            case 0:  # overwritten
                mutant[a : a + 8] = rng.bytes(8)
            case 1:  # a piece repeated
                mutant[c:c] = mutant[a:b]
            case 2:  # a piece lost
                del mutant[a : b + 1]
        refused += mutant == blob or refused_or_same(path, bytes(mutant))
    assert refused >= 990  # of a piece that stands twice, the last may be the one that counts


def test_swapped_tensors_of_one_shape_are_seen(path: Path) -> None:
    layers: list[dict[str, Any]] = [{"units": 2, "activation": "relu", "bias": False}] * 2
    weights = [np.eye(2), np.ones((2, 2))]
    model_file.write(path, Model(2, "float64", 0, layers, weights, {}))
    header, data = take_apart(path.read_bytes())
    assert "SHA-256" in refusal(path, assemble(header, data[32:] + data[:32]))
    header["layers.0.weight"], header["layers.1.weight"] = (
        header["layers.1.weight"],
        header["layers.0.weight"],
    )
    assert "SHA-256" in refusal(path, assemble(header, data))


# -- other files, absurd sizes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a safetensors file"),
        (b"\x02\0\0", "not a safetensors file"),
        (b"x,y\n1,2\n" * 20, "not a safetensors file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a safetensors file"),
        (b"\xff" * 100, "not a safetensors file"),
        ((2**24).to_bytes(8, "little") + b"{}", "cut short: its header takes 16777216 bytes"),
        (assemble("[]", b""), "not a safetensors file"),
        (assemble("{}", b""), "not a model of fastbp's"),
        (assemble("{ ", b"")[:-1], "not a safetensors file"),
        (assemble('{"a": 1', b"1234"), "not a safetensors file"),
        ((9).to_bytes(8, "little") + b'{"\xff\xfe": 1}', "not a safetensors file"),
        (assemble('{"a":' * 200_000, b""), "nested too deep"),
    ],
)
def test_other_files(path: Path, content: bytes, reason: str) -> None:
    assert reason in refusal(path, content)


def traced(call: Callable[[], object]) -> int:
    """The most memory that `call` holds at once, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def absurd(units: int, layers: int) -> bytes:
    """A small file that claims, with offsets that fit, `layers` layers of `units` units."""
    header: Header = {}
    end = 0
    for index in range(layers):
        start, end = end, end + 8 * units * units
        entry = {"dtype": "F64", "shape": [units, units], "data_offsets": [start, end]}
        header[f"layers.{index}.weight"] = entry
    layer = {"units": units, "activation": "relu", "bias": False}
    model = {"n_inputs": units, "dtype": "float64", "seed": 0, "layers": [layer] * layers}
    fields = {"format_version": 1, "library": "0.1.0", "model": {**model, "extra": {}}}
    header["__metadata__"] = {"fastbp": strict(fields)}
    return signed(header, bytes(64))


@pytest.mark.parametrize(
    "content",
    [
        absurd(2**24, 1),
        absurd(2**24, 50),
        absurd(2**10, 3),
        (2**63).to_bytes(8, "little") + b'{"a":1}',
        (2**24).to_bytes(8, "little") + b'{"a":1}',
    ],
)
def test_absurd_sizes_allocate_nothing(path: Path, content: bytes) -> None:
    refusal(path, content)  # once before, so that one-time allocations don't count
    assert traced(lambda: refusal(path, content)) < 1_000_000


@pytest.mark.parametrize("valid", [True, False])
def test_big_files_are_not_read_before_they_are_known(path: Path, blob: bytes, valid: bool) -> None:
    if not valid:
        path.write_bytes((2**27).to_bytes(8, "little") + blob[8:])
    os.truncate(path, 1 << 28)

    def read() -> None:
        reason = "cut short or added to" if valid else "not a safetensors file"
        with pytest.raises(ModelFileError, match=reason):
            model_file.read(path)

    assert traced(read) < 1_000_000


def test_memory_for_reading_and_writing(path: Path) -> None:
    n_bytes = 8 * 2**20
    layers: list[dict[str, Any]] = [{"units": 1024, "activation": "relu", "bias": False}]
    model = Model(1024, "float64", 0, layers, [np.ones((1024, 1024))], {})
    assert traced(lambda: model_file.write(path, model)) < 2 * n_bytes + 1_000_000
    assert traced(lambda: model_file.read(path)) < n_bytes + 1_000_000
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    with pytest.raises(ModelFileError, match="SHA-256"):
        model_file.read(path)


def test_too_big_for_the_memory(path: Path, blob: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", no_memory)
    with pytest.raises(ModelFileError, match="needs 80 bytes of memory"):
        model_file.read(path)
