"""That a first compile says so: once, to those who read it, and never where all is in the cache."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import child
import pytest
from terminal import Terminal

import fastbp
from fastbp.kernels.compiling import jit, notice
from fastbp.training import progress

PATH = Path("/caches/fastbp/digest/kernel-key")
LINE = "fastbp is compiling kernels for this machine, once; they are kept for later runs in "


class Timer:
    """A timer whose time comes when a test says so."""

    made: list[Timer]

    def __init__(self, seconds: float, function: Callable[..., None], args: Any) -> None:
        self.seconds, self.function, self.args = seconds, function, args
        self.started = self.cancelled = self.daemon = False
        Timer.made.append(self)

    def start(self) -> None:
        self.started = True

    def cancel(self) -> None:
        self.cancelled = True

    def come(self) -> None:
        """As a thread that was too late to be cancelled, where it was."""
        assert self.started
        assert self.daemon
        self.function(*self.args)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_logged", False), ("_written", False), ("_spent", 0.0)):
        monkeypatch.setattr(notice, name, value)
    monkeypatch.setattr(notice, "_Timer", Timer)
    Timer.made = []


def read_by(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    """A stream in place of stderr, which pytest sets anew as a test begins."""
    seen = types.SimpleNamespace(stderr=stream, modules=sys.modules)
    for module in (notice, progress):
        monkeypatch.setattr(module, "sys", seen)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    read_by(monkeypatch, made)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is: its last value."""
    times = [100.0]
    monkeypatch.setattr(notice, "_clock", lambda: times[-1])
    return times


def test_it_is_said_once_while_it_lasts(screen: Screen) -> None:
    with notice.compiling(PATH):
        Timer.made[-1].come()
        assert screen.getvalue() == f"{LINE}{PATH.parent.parent}\n"
    with notice.compiling(PATH):
        pass
    assert len(Timer.made) == 1
    assert Timer.made[0].cancelled
    assert screen.getvalue().count("\n") == 1


def test_many_short_compiles_are_a_long_one(screen: Screen, clock: list[float]) -> None:
    for seconds in (0.5, 1.25, 3.0, 0.5):
        with notice.compiling(PATH):
            clock.append(clock[-1] + seconds)
    assert [timer.seconds for timer in Timer.made] == [2.0, 1.5, 0.25, 0.0]
    assert screen.getvalue() == ""  # no timer's time has come


def test_it_is_not_said_afterwards(screen: Screen) -> None:
    """A timer that can't be stopped any more says nothing of a compile that is over."""
    with notice.compiling(PATH):
        pass
    Timer.made[0].come()
    with pytest.raises(KeyboardInterrupt), notice.compiling(PATH):
        raise KeyboardInterrupt
    assert Timer.made[1].cancelled
    with notice.compiling(PATH):
        Timer.made[0].come()
        Timer.made[1].come()
    assert screen.getvalue() == ""
    with notice.compiling(PATH):
        Timer.made[3].come()
    assert screen.getvalue().startswith(LINE)


def test_a_kernel_within_a_kernel(screen: Screen) -> None:
    with notice.compiling(PATH):
        with notice.compiling(PATH):
            pass
        Timer.made[0].come()
    assert len(Timer.made) == 1
    assert screen.getvalue().startswith(LINE)


def test_what_is_not_kept(screen: Screen) -> None:
    with notice.compiling(None):
        Timer.made[0].come()
    assert screen.getvalue() == (
        "fastbp is compiling kernels for this machine; they are not kept, and each process "
        "compiles\n"
    )


def test_the_log_has_it_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fastbp")
    for _ in range(2):
        with notice.compiling(PATH):
            assert len(caplog.records) == 1
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("fastbp", "INFO")
    assert record.getMessage() == f"{LINE}{PATH.parent.parent}".removeprefix("fastbp is ")


class ClosedScreen(Screen):
    def isatty(self) -> bool:
        raise ValueError("I/O operation on closed file")


class Gone(Screen):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("stream", [None, io.StringIO(), ClosedScreen(), Gone(), object()])
def test_where_nobody_reads(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    read_by(monkeypatch, stream)
    with notice.compiling(PATH):
        for timer in Timer.made:
            assert isinstance(stream, Gone)
            timer.come()
    if isinstance(stream, io.StringIO):
        assert stream.getvalue() == ""


def test_stderr_is_redirected_meanwhile(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    with notice.compiling(PATH):
        other = io.StringIO()
        read_by(monkeypatch, other)
        Timer.made[0].come()
    assert screen.getvalue() == other.getvalue() == ""


def test_a_pools_workers_are_silent(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    monkeypatch.setattr(multiprocessing.current_process(), "_name", "LokyProcess-1")
    with notice.compiling(PATH):
        pass
    assert Timer.made == []


def test_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stderr is no terminal; a cell that redirects it has another stream there."""

    class OutStream(io.StringIO):
        pass

    OutStream.__module__ = "ipykernel.iostream"
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    for stream, said in ((io.StringIO(), ""), (OutStream(), LINE)):
        read_by(monkeypatch, stream)
        with notice.compiling(PATH):
            for timer in Timer.made:
                timer.come()
        assert stream.getvalue().startswith(said)
        assert bool(stream.getvalue()) == bool(said)


def test_who_shows_the_way_otherwise(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastbp.warm._parts", lambda dtypes: [])
    fastbp.warmup(report=lambda done, total, name: None)
    with notice.compiling(PATH):
        pass
    assert Timer.made == []


# -- beside bars -----------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    if os.name != "posix":
        pytest.skip("needs a pseudo-terminal")
    made = Terminal(120)
    read_by(monkeypatch, made.stream)
    monkeypatch.setattr(notice, "_Timer", threading.Timer)
    monkeypatch.setattr(notice, "_PATIENCE", 0.0)
    yield made
    made.close()


def wait_for_timers() -> None:
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(60)


def test_on_a_terminal(terminal: Terminal) -> None:
    with notice.compiling(PATH):
        wait_for_timers()
    assert terminal.close() == f"{LINE}{PATH.parent.parent}\n"


def test_a_bar_stays_whole(terminal: Terminal) -> None:
    """It is taken away, the line is written, and it is drawn again below."""
    import tqdm

    for _ in tqdm.trange(1, file=terminal.stream, ncols=60, mininterval=0):
        with notice.compiling(PATH):
            wait_for_timers()
    drawn = terminal.lines()
    (at,) = [i for i, line in enumerate(drawn) if "compiling" in line]
    assert drawn[at] == f"{LINE}{PATH.parent.parent}"
    assert all("it" in line and "%|" in line for line in drawn[:at] + drawn[at + 1 :])
    assert drawn[at + 1 :]
    assert f"\r{' ' * 60}\r{LINE}" in terminal.close()


def test_the_bar_of_a_fit_stays_whole(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compile in the midst of a fit: of a callback's prediction, say."""
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    monkeypatch.setattr(progress.Bar, "warm", True)  # has a timer of its own otherwise

    class Compiles(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
            with notice.compiling(PATH):
                wait_for_timers()

    net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    fastbp.Trainer(net, "mse", seed=0).fit(
        [0.0, 1.0], [0.0, 1.0], 3, callbacks=[Compiles()], progress=True
    )
    drawn = terminal.lines()
    assert [line for line in drawn if "compiling" in line] == [f"{LINE}{PATH.parent.parent}"]
    assert all(line.startswith(("epoch ", "fastbp is ")) for line in drawn)
    assert drawn[-1].startswith("epoch 3/3 |█")


# -- where kernels are compiled --------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True])
def test_a_part_says_so(screen: Screen, monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    """What is loaded does not, nor what is made of a person's functions."""

    class Part(jit._Part[str]):
        _own = own

        def kept_at(self, dtype: str) -> Path:
            return PATH

        def _compiled(self, dtype: str, path: Path | None) -> str:
            for timer in Timer.made:
                timer.come()
            return "compiled"

        def _loaded(self, loaded: Any) -> str:
            return "loaded"

    monkeypatch.setattr(jit.cache, "_file_lock", lambda path: threading.Lock())
    monkeypatch.setattr(jit.objects, "read", lambda path: object())
    Part(test_a_part_says_so).compile("float32")
    assert Timer.made == []
    assert not notice._logged
    monkeypatch.setattr(jit.objects, "read", lambda path: None)
    Part(test_a_part_says_so).compile("float32")
    assert len(Timer.made) == notice._logged == (not own)
    assert bool(screen.getvalue()) is not own


SCRIPT = """
import fastbp
from fastbp.kernels.compiling import notice
notice._PATIENCE = 0.0
trainer = fastbp.Trainer(fastbp.Network(1, [fastbp.Dense(1)], seed=0), "mse", seed=0)
trainer.step([[1.0]], [1.0])
print(notice._spent > 0)
"""


def test_a_script_on_a_terminal(tmp_path: Path) -> None:
    """The first run says so, once; the second one has nothing to say."""
    if os.name != "posix":
        pytest.skip("needs a pseudo-terminal")
    settings = {**child.QUICK, "FASTBP_CACHE_DIR": str(tmp_path / "cache")}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | settings
    told = []
    for _ in range(2):
        terminal = Terminal(200)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=terminal.stream,
            text=True,
            check=False,
        )
        told.append((done.returncode, done.stdout.strip(), terminal.close()))
    assert told == [(0, "True", f"{LINE}{tmp_path / 'cache'}\n"), (0, "False", "")]
