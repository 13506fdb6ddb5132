"""Workers of teams: none is lost, none is started where one is idle, and too many don't stay."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import child
import numpy as np
import pytest

import fastbp
from fastbp import warm
from fastbp.data import inputs
from fastbp.kernels import epoch as kernels
from fastbp.kernels import predict
from fastbp.kernels.compiling import jit
from fastbp.runtime import processors, team
from fastbp.runtime.crowding import Crowd
from fastbp.training.progress import Bar

posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


def workers() -> int:
    return sum(thread.name == "fastbp" for thread in threading.enumerate())


def until(true: Callable[[], bool]) -> None:
    """Fails only where it would never come true."""
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it doesn't come")


def big(threads: int) -> tuple[fastbp.Trainer, Any, Any]:
    """A network that takes a team by itself."""
    net = fastbp.Network(64, [fastbp.Dense(512, "relu"), fastbp.Dense(1)], seed=0)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8000, 64)).astype(np.float32), rng.normal(size=8000)
    trainer = fastbp.Trainer(net, "mse", "adam", batch_size=2000, seed=0, n_threads=threads)
    return trainer, X, y


def small(threads: Any) -> tuple[fastbp.Trainer, Any, Any]:
    net = fastbp.Network(4, [fastbp.Dense(4, "tanh"), fastbp.Dense(1)], seed=0)
    X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    trainer = fastbp.Trainer(net, "mse", "adam", seed=0, n_threads=threads)
    return trainer, X, X[:, 0].copy()


def after_interrupts(threads: int, times: int) -> list[int]:
    """The team's size, and workers before and after so many interrupts."""
    trainer, X, y = big(threads)
    trainer.fit(X, y)
    before, draw, came, armed = workers(), random.Random(0), 0, False

    def handle(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    while came < times:
        after = draw.uniform(0.0, 0.03)
        timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT))
        try:
            armed = True
            timer.start()
            trainer.fit(X, y, epochs=10**6)
        except KeyboardInterrupt:
            came += 1
        timer.join()
    return [trainer._session.engine.training(2000).threads, before, workers()]


@posix
@pytest.mark.parametrize("threads", [2, 4])
def test_interrupts_leave_no_workers(threads: int) -> None:
    taken, before, after = child.call(after_interrupts, threads, 30, timeout=100)
    assert (taken, before, after) == (threads, threads - 1, threads - 1)


def in_a_flood(seconds: float, kind: str) -> list[int]:
    """Workers before and after interrupts as fast as they can be sent, and how many came."""
    team._FLOPS_PER_THREAD = 1e-9
    trainer, X, y = small(3)
    trainer.fit(X, y)
    run = getattr(team.Team, kind)
    before, came, over, code = workers(), 0, False, run.__code__
    program = trainer._session.engine.training(32)
    entry, arguments = kernels.run.compiled("float32"), (program.address, 0, 1)

    def handle(_: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code is code:  # also where it is about to leave with an interrupt
                raise KeyboardInterrupt
            frame = frame.f_back

    def send() -> None:
        draw = random.Random(0)
        while not over:
            time.sleep(draw.choice([0.0, 0.0, 0.0, 1e-4, 1e-3]))
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, handle)
    sender = threading.Thread(target=send)
    sender.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(KeyboardInterrupt):
            came += 1
            run(3, entry, 0.0, *arguments)
            came -= 1
    over = True
    sender.join()
    run(3, entry, 0.0, *arguments)
    until(lambda: len(team._idle) == workers())
    return [before, workers(), came]


@posix
@pytest.mark.parametrize("kind", ["run", "run_watched"])
def test_a_flood_of_interrupts(kind: str) -> None:
    """They come in pairs and rows too: into what another has begun."""
    before, after, came = child.call(in_a_flood, 3.0, kind, timeout=60)
    assert before == 2
    assert after <= processors.available() + team._SPARE
    assert came > 300


def interrupt_at_pairs_of_lines(threads: Any) -> list[int]:
    """KeyboardInterrupts at line n of team.py and m lines on, for every n and small m.

    Gives how many pairs there were, and the most workers after any of them.
    """
    team._FLOPS_PER_THREAD = 1e-9
    team.wanted = lambda: 3
    Crowd.how_many = lambda _, threads: threads  # type: ignore[method-assign]
    trainer, X, y = small(threads)
    trainer.fit(X, y)
    pairs = most = line = 0
    while True:
        line += 1
        for second in (0, 1, 2, 3):
            left = [line, second] if second else [line]

            def trace(frame: FrameType, event: str, _: Any, left: list[int] = left) -> Any:
                if frame.f_code.co_filename != team.__file__:
                    return None
                if event == "line" and left:
                    left[0] -= 1
                    if left[0] == 0:
                        del left[0]
                        raise KeyboardInterrupt
                return trace

            sys.settrace(trace)
            try:
                trainer.fit(X, y)
            except KeyboardInterrupt:
                pairs += 1
            finally:
                sys.settrace(None)
            if len(left) == (2 if second else 1):  # all lines were passed
                return [pairs, most]
            assert np.isfinite(trainer.fit(X, y).loss).all()
            until(lambda: len(team._idle) == workers())
            most = max(most, workers())


@pytest.mark.parametrize("threads", [3, "auto"])
def test_two_interrupts_at_any_lines(threads: Any) -> None:
    pairs, most = child.call(interrupt_at_pairs_of_lines, threads, timeout=200)
    assert pairs > 40
    assert most <= processors.available() + team._SPARE


def thousand() -> list[Any]:
    """Threads of the team, the same bits as one's, and workers that stay."""
    team._FLOPS_PER_THREAD = 1e-9
    trainer, X, y = small(1000)
    loss = trainer.step(X, y)
    alone, X, y = small(1)
    same = alone.step(X, y) == loss
    until(lambda: workers() <= processors.available() + team._SPARE)
    return [trainer._session.engine.training(64).threads, same, workers()]


def test_a_thousand_threads_do_not_stay() -> None:
    threads, same, stay = child.call(thousand, timeout=100)
    assert (threads, same) == (1000, True)
    assert stay > 0


# -- taking and giving back, by calls of Python's in place of kernels ------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Thread]]:
    """The workers that are started in the course of a test, which begins with none idle."""
    kept, found = team._idle[:], list[threading.Thread]()
    team._idle.clear()
    start = threading.Thread.start

    def noting(self: threading.Thread) -> None:
        if self.name == "fastbp":
            found.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", noting)
    yield found
    team._idle.extend(kept)


def test_idle_workers_are_taken_first(started: list[threading.Thread]) -> None:
    """Also by teams that begin at once; all of a team's threads are in at once."""
    inside = threading.Barrier(6)

    def entry(thread: int) -> int:
        inside.wait(60)
        return thread

    def together() -> list[int]:
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.append(team.Team.run(3, entry)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return results

    assert together() == [2, 2]
    assert len(started) >= 4
    before = len(started)
    for _ in range(50):
        assert together() == [2, 2]
    assert len(started) == before
    team.Team.run(5, max, 0)
    assert len(started) == before


def test_taken_and_given_no_call(
    monkeypatch: pytest.MonkeyPatch, started: list[threading.Thread]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    team.Team.run(3, max, 0)
    idle = set(team._idle)
    with monkeypatch.context() as patch:
        patch.setattr(team, "_do_all", interrupted)
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                team.Team.run(3, max, 0)
    assert set(team._idle) == idle
    assert team.Team.run(3, max, 0) == 2
    assert len(started) == 2


def test_a_thread_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, started: list[threading.Thread]
) -> None:
    """Nobody has entered, and those that could be started wait for the next team."""
    entered: list[int] = []
    team.Team.run(2, max, 0)
    start = threading.Thread.start

    def refusing(self: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        start(self)

    def entry(thread: int) -> int:
        entered.append(thread)
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                team.Team.run(4, entry)
            assert len(team._idle) == 2
    assert entered == []
    assert team.Team.run(4, entry) == 0
    assert sorted(entered) == [0, 1, 2, 3]
    assert len(started) == 3


def test_no_thread_leaves_a_kernel_before_all_are_done() -> None:
    """So that an interrupt finds nobody at work when the calling thread is back."""
    net = fastbp.Network(4, [fastbp.Dense(4, "tanh"), fastbp.Dense(1)], seed=0)
    X, out = np.ones((40, 4), np.float32), np.zeros((40, 1), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)
        expected = net.predict(X, n_threads=2)  # leaves a predictor of two threads
        (program,) = net._predictor._programs[2]
        program.set_samples(inputs.features(X, 4, "float32"))
    entry, arguments = predict.predict.compiled("float32"), (program.address, out.ctypes.data)
    first = threading.Thread(target=entry, args=(0.0, *arguments, 0), daemon=True)
    first.start()
    first.join(0.2)
    assert first.is_alive()
    assert entry(0.0, *arguments, 1) == 0
    first.join(60)
    assert not first.is_alive()
    np.testing.assert_array_equal(out, expected)


# -- other threads ---------------------------------------------------------------------------------


def test_an_interrupt_while_a_background_fit_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has its handle: it doesn't go on, and the trainer is free."""

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            super().wait(timeout)
            raise KeyboardInterrupt

    trainer, X, y = small(1)
    trainer.fit(X, y)
    for event in ("Event", "Thread"):
        with monkeypatch.context() as patch:
            if event == "Event":
                patch.setattr("fastbp.training.background.threading.Event", Interrupted)
            else:
                patch.setattr("fastbp.training.background.threading.Thread", _StartInterrupted)
            with pytest.raises(KeyboardInterrupt):
                trainer.fit_async(X, y, epochs=10**9)
        until(lambda: not trainer._session.lock.locked())
        until(lambda: not any(t.name == "fastbp fit" for t in threading.enumerate()))
        trainer.fit(X, y)


class _StartInterrupted(threading.Thread):
    def start(self) -> None:
        super().start()
        if self.name == "fastbp fit":
            raise KeyboardInterrupt


def test_an_interrupt_before_a_bar_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that would say that kernels are compiled ends."""
    bars: list[Bar] = []

    class Interrupted(Bar):
        warm = False

        def begin(self) -> None:
            super().begin()
            bars.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(Bar, "warm", False)
    trainer, X, y = small(1)
    monkeypatch.setattr("fastbp.trainer.watcher", lambda *_, **__: Interrupted(0.3))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, y)
    (bar,) = bars
    assert bar.waiting is not None
    assert bar.waiting.finished.is_set()


def test_a_helper_of_warmup_ends_with_its_parent(tmp_path: Path) -> None:
    """However that ends: the pipe that is its stdin is closed by the system at the latest."""
    command = [sys.executable, "-I", "-c", warm._HELPER, json.dumps(sys.path)]
    process = subprocess.Popen(
        [*command, json.dumps([["float32"], 0, 1])],
        stdin=subprocess.PIPE,
        env={**os.environ, **child.QUICK, "FASTBP_CACHE_DIR": str(tmp_path)},
    )
    process.communicate(timeout=200)
    compiled = [path for path in tmp_path.rglob("*") if path.is_file() and "lock" not in path.name]
    assert process.returncode == 0
    assert len(compiled) < len(jit.PARTS) / 2
