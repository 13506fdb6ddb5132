"""Files that replace others: whole or not at all, and as private as what was there."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp.files import atomic

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def trainer() -> fastbp.Trainer:
    network = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    return fastbp.Trainer(network, "mse", seed=0)


WRITERS: dict[str, Callable[[Path], object]] = {
    "atomic": lambda path: atomic.write(path, b"new"),
    "model": lambda path: trainer().network.save(path),
    "checkpoint": lambda path: trainer().save(path),
    "CSV": lambda path: trainer().fit(
        np.ones((4, 2)), np.ones(4), callbacks=[fastbp.CSVLogger(path)]
    ),
}


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o660, 0o666, 0o400, 0o755, 0o200], ids=oct)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_replaces_a_file_keeps_its_mode(writer: str, bits: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(bits)
    WRITERS[writer](path)
    assert mode(path) == bits
    path.chmod(0o600)
    assert path.read_bytes() != b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_new_file_has_the_mode_that_umask_leaves(writer: str, tmp_path: Path) -> None:
    for mask, bits in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        os.umask(mask)
        path = tmp_path / oct(mask)
        WRITERS[writer](path)
        assert mode(path) == bits


def test_behind_a_link(tmp_path: Path) -> None:
    """The link stays, and what it leads to is replaced, with its mode."""
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    atomic.write(link, b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), mode(target)) == (b"new", 0o600)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "folder" / "none yet")
    atomic.write(dangling, b"new")
    assert dangling.is_symlink()
    assert (tmp_path / "folder" / "none yet").read_bytes() == b"new"


def test_at_no_moment_can_others_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o600)
    seen = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        seen.extend(mode(p) for p in tmp_path.iterdir())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    atomic.write(path, b"new")
    assert set(seen) == {0o600}


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can give away")
def test_the_owner_is_kept_where_that_may_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.chown(path, 12345, 54321)
    path.chmod(0o640)
    atomic.write(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (12345, 54321, 0o640)


def test_a_group_that_cannot_be_kept_gives_nothing_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    stat_result, before = os.stat, os.stat(path)
    foreign = os.stat_result([*before[:5], before.st_gid + 1, *before[6:]])
    path.chmod(0o660)
    foreign = os.stat_result([stat_result(path).st_mode, *foreign[1:]])
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(
        os, "stat", lambda p, **o: foreign if str(p) == str(path) else stat_result(p, **o)
    )
    atomic.write(path, b"new")
    monkeypatch.undo()
    assert mode(path) == 0o600


def test_leftovers_in_a_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / ".fastbp-0.tmp").write_bytes(b"")
    (tmp_path / "mine").write_bytes(b"")
    atomic.remove_leftovers(str(tmp_path))
    assert os.listdir(tmp_path) == ["mine"]
    atomic.remove_leftovers(str(tmp_path / "none"))
