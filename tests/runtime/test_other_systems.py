"""Systems that lack what POSIX has: all of it is taken away, and everything works."""

from __future__ import annotations

import errno
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import child
import other_machines
import pytest

from fastbp.kernels.compiling import cache


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine code")


@pytest.mark.parametrize("which", other_machines.LACKING)
def test_everything_works_without(which: str, machine_code: Path, tmp_path: Path) -> None:
    """Twice where all of it lacks: the second process finds the first one's machine code."""
    settings = {**child.QUICK, "FASTBP_CACHE_DIR": str(machine_code)}
    for again in range(2 if which == "none of it" else 1):
        folder = tmp_path / str(again)
        folder.mkdir()
        found = child.call(other_machines.without, which, str(folder), settings=settings)
        assert found["same"] == [True, True]
        assert found["left"] == []
        if again:
            assert found["compiled"] == 0


# -- the lock between processes --------------------------------------------------------------------


class Msvcrt(ModuleType):
    """Windows' module, as far as it is used: one lock, which is busy for so many tries."""

    LK_LOCK, LK_UNLCK = 1, 0

    def __init__(self, busy: int = 0, error: int = errno.EDEADLK) -> None:
        super().__init__("msvcrt")
        self.busy, self.error = busy, error
        self.calls: list[tuple[int, int]] = []

    def locking(self, descriptor: int, mode: int, nbytes: int) -> None:
        assert descriptor > 2
        self.calls.append((mode, nbytes))
        if mode == self.LK_LOCK and self.busy:
            self.busy -= 1
            raise OSError(self.error, "busy")


@pytest.fixture
def no_fcntl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)


def test_windows_lock_is_waited_for(
    no_fcntl: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    msvcrt = Msvcrt(busy=3)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    with cache.lock(tmp_path / "kernel-a"):
        assert msvcrt.calls == [(1, 1)] * 4  # three times it was another's
    assert msvcrt.calls[4:] == [(0, 1)]


def test_windows_lock_is_let_go_after_an_error(
    no_fcntl: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    msvcrt = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    with pytest.raises(ZeroDivisionError), cache.lock(tmp_path / "kernel-a"):
        raise ZeroDivisionError
    assert msvcrt.calls == [(1, 1), (0, 1)]


def test_a_file_system_without_locks_is_no_error(
    no_fcntl: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    msvcrt = Msvcrt(busy=1, error=errno.EACCES)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    with cache.lock(tmp_path / "kernel-a"):
        pass
    assert msvcrt.calls == [(1, 1)]  # nothing was taken, and nothing let go


def test_threads_of_one_process_wait_without_any_lock_of_files(
    no_fcntl: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "msvcrt", None)
    inside: list[Any] = []

    def enter() -> None:
        with cache.lock(tmp_path / "kernel-a"):
            inside.append(threading.current_thread())

    other = threading.Thread(target=enter)
    with cache.lock(tmp_path / "kernel-a"):
        other.start()
        other.join(0.2)
        assert inside == []
    other.join()
    assert inside == [other]
