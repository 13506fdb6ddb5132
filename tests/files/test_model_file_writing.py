"""Model files and the system: paths, permissions, and that nothing is lost while writing."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pytest
from model_files import assert_same, deep, small_model

from fastbp.files import model_file
from fastbp.files.model_file import Model, ModelFileError

path, blob = model_files.path, model_files.blob  # fixtures


# -- paths and the system --------------------------------------------------------------------------


def test_missing_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        model_file.read(path)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permission_denied(path: Path, blob: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # whom no permission stops
        denied = PermissionError(13, "Permission denied")
        monkeypatch.setattr("builtins.open", lambda *_: (_ for _ in ()).throw(denied))
    path.parent.chmod(0o500)
    path.chmod(0)
    try:
        with pytest.raises(PermissionError):
            model_file.read(path)
        with pytest.raises(PermissionError, match=r"model\.safetensors"):
            model_file.write(path, small_model())
    finally:
        path.parent.chmod(0o700)
        path.chmod(0o600)
    assert path.read_bytes() == blob


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ModelFileError, match="not a regular file"):
            model_file.read(tmp_path / name)
        with pytest.raises(ModelFileError, match="not a regular file"):
            model_file.write(tmp_path / name, small_model())
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(FileNotFoundError, match=r"nowhere.model\.safetensors"):
        model_file.write(tmp_path / "nowhere" / "model.safetensors", small_model())


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_mode_and_links_are_as_for_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    link, target = tmp_path / "latest", tmp_path / "runs" / "one"
    link.symlink_to(target)
    model_file.write(str(link), small_model())
    assert link.is_symlink()
    assert_same(model_file.read(target), small_model())
    (tmp_path / "plain").touch()
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode


# -- nothing is lost while writing -----------------------------------------------------------------


@pytest.fixture
def unharmed(path: Path, blob: bytes) -> Iterator[Path]:
    """The path of a file that must stand unchanged, and alone, after the test."""
    yield path
    assert path.read_bytes() == blob
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_leaves_the_old_file(
    unharmed: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        assert len(os.listdir(unharmed.parent)) == 2  # the temporary file is in the same folder
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        model_file.write(unharmed, small_model("float64"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on file sizes")
def test_disk_full_leaves_the_old_file(unharmed: Path) -> None:
    import resource

    layers: list[dict[str, Any]] = [{"units": 512, "activation": "relu", "bias": False}]
    model = Model(512, "float64", 0, layers, [np.ones((512, 512))], {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError, match=r"model\.safetensors"):
            model_file.write(unharmed, model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_written_to_disk_before_the_old_file_goes(
    path: Path, blob: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = {"fsync": os.fsync, "replace": os.replace}

    def fsync(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        calls.append("sync folder" if stat.S_ISDIR(mode) else "sync file")
        if not stat.S_ISDIR(mode):
            assert os.fstat(descriptor).st_size == len(blob)
        real["fsync"](descriptor)

    def replace(source: str, target: str) -> None:
        calls.append("replace")
        real["replace"](source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    model_file.write(path, small_model())
    assert calls == ["sync file", "replace", *(["sync folder"] if os.name == "posix" else [])]


def with_weight(index: int, array: object) -> Callable[[Model], None]:
    return lambda model: model.weights.__setitem__(index, array)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_weight(0, np.full((2, 3), np.nan, "f4")), "layers.0.weight holds a value that is"),
        (with_weight(1, np.zeros(4, "f4")), r"layers.0.bias must be a float32 array of shape \(3,"),
        (with_weight(1, np.zeros(3)), "layers.0.bias must be a float32 array"),
        (with_weight(1, [0.0, 0.0, 0.0]), "layers.0.bias must be a float32 array"),
        (lambda m: m.weights.pop(), "takes 5 arrays of weights, got 4"),
        (lambda m: m.layers[0].update(units=np.int64(3)), "as JSON: Object of type int64"),
        (lambda m: m.layers[0].update(bias=np.True_), "as JSON: Object of type bool"),
        (lambda m: m.layers[0].update(units=4), r"weight must be a float32 array of shape \(2, 4"),
        (lambda m: m.layers[0].update(spin=0.1), "layer 0 has 'spin'"),
        (lambda m: m.layers[0].pop("activation"), "layer 0 lacks 'activation'"),
        (lambda m: m.layers.clear(), "layers must be a list of 1"),
        (lambda m: m.extra.update(a=(1, 2)), "can't be stored: JSON has no tuples"),
        (lambda m: m.extra.update({1: 2, **m.extra}), "can't be stored as JSON: '<' not supported"),
        (lambda m: m.extra.update(a={1: 2}), "can't be stored: JSON has no tuples, and its keys"),
        (lambda m: m.extra.update(a=np.zeros(2)), "as JSON: Object of type ndarray"),
        (lambda m: m.extra.update(a=float("nan")), "as JSON: Out of range float values"),
        (lambda m: m.extra.update(a="\ud800"), "as JSON: 'utf-8' codec can't encode"),
        (lambda m: m.extra.update(a=m.extra), "as JSON: Circular reference"),
        (lambda m: m.extra.update(a=deep(100_000)), "nested too deep"),
        (lambda m: m.extra.update(a="x" * 2**24), "take 167[0-9]+ bytes of 16777216 at most"),
    ],
)
def test_models_that_reading_would_refuse_are_not_written(
    unharmed: Path, change: Callable[[Model], object], reason: str
) -> None:
    model = small_model()
    change(model)
    with pytest.raises(ModelFileError, match=rf"model\.safetensors: .*{reason}"):
        model_file.write(unharmed, model)
