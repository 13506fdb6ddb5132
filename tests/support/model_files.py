"""Model files for tests: a small one, its parts, and what is said when one is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastbp.files import model_file
from fastbp.files.model_file import Model, ModelFileError

Header = dict[str, Any]


def small_model(dtype: str = "float32") -> Model:
    """Every kind of bias, and values that a text or a short float would lose."""
    layers: list[dict[str, Any]] = [
        {"units": 3, "activation": "relu", "bias": True, "kernel_initializer": "auto"},
        {"units": 2, "activation": "sigmoid", "bias": "shared"},
        {"units": 2, "activation": "softmax", "bias": False},
    ]
    shapes = [(2, 3), (3,), (3, 2), (1,), (2, 2)]
    weights = [np.sqrt(np.arange(1, 1 + np.prod(s)).reshape(s)).astype(dtype) for s in shapes]
    weights[0][0, 0], weights[0][0, 1] = -0.0, np.finfo(dtype).smallest_subnormal
    weights[2][1, 1] = np.finfo(dtype).max
    extra: dict[str, Any] = {
        "columns": [{"name": "größe \U0001f600\n\0", "mean": 0.1, "scale": 5e-324}, None, True],
        "big": [2**64 - 1, -(2**63), 1e300, -0.0, 1.0, 1],
        "": {"padding": "odd"},
    }
    return Model(2, dtype, 2**64 - 1, layers, weights, extra)


def assert_same(a: Model, b: Model) -> None:
    for name in ("n_inputs", "dtype", "seed", "layers", "extra"):
        x, y = getattr(a, name), getattr(b, name)
        assert json.dumps(x, sort_keys=True) == json.dumps(y, sort_keys=True)
    assert [(w.dtype, w.shape, w.tobytes()) for w in a.weights] == [
        (w.dtype, w.shape, w.tobytes()) for w in b.weights
    ]


def take_apart(blob: bytes) -> tuple[Header, bytes]:
    start = 8 + int.from_bytes(blob[:8], "little")
    return json.loads(blob[8:start]), blob[start:]


def assemble(header: Header | str, data: bytes) -> bytes:
    raw = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def strict(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fields_of(header: Header) -> dict[str, Any]:
    return json.loads(header["__metadata__"]["fastbp"])  # type: ignore[no-any-return]


def digest(header: Header, data: bytes) -> str:
    rest = {key: value for key, value in fields_of(header).items() if key != "sha256"}
    tensors = sorted(  # in layer order, a layer's weight before its bias
        (int(name.split(".")[1]), -len(name), name) for name in header if name[0] != "_"
    )
    entries = [(name, header[name]) for *_, name in tensors]
    what = strict([rest, [[name, e["dtype"], e["shape"]] for name, e in entries]])
    sha256 = hashlib.sha256(what.encode())
    for _, entry in entries:
        sha256.update(data[slice(*entry["data_offsets"])])
    return sha256.hexdigest()


def signed(header: Header, data: bytes) -> bytes:
    """The file with the digest that its contents demand: other checks have to refuse it."""
    text = strict({**fields_of(header), "sha256": digest(header, data)})
    metadata = {**header["__metadata__"], "fastbp": text}
    return assemble({**header, "__metadata__": metadata}, data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture
def blob(path: Path) -> bytes:
    """A valid file's bytes; `path` holds them."""
    model_file.write(path, small_model())
    return path.read_bytes()


def put(path: Path, blob: bytes) -> None:
    # Emptying the file first would make some file systems wait for the disk, each time.
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(blob)
        file.truncate()


def refusal(path: Path, blob: bytes) -> str:
    """The reason why `blob` is refused."""
    put(path, blob)
    with pytest.raises(ModelFileError) as caught:
        model_file.read(path)
    where, _, reason = str(caught.value).partition(": ")
    assert where == str(path)
    return reason


def refused_or_same(path: Path, blob: bytes) -> bool:
    """Whether `blob`, a damaged small model, is refused; it must be, or be read as it was."""
    put(path, blob)
    try:
        model = model_file.read(path)
    except ModelFileError:
        return True
    assert_same(model, small_model())
    return False


def deep(n: int) -> Any:
    value: Any = 0
    for _ in range(n):
        value = [value]
    return value
