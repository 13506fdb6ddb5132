"""Ctrl-C, fork and spawn: nothing hangs, nothing is half done, and training goes on."""

from __future__ import annotations

import concurrent.futures
import faulthandler
import importlib
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import child
import joblib
import numpy as np
import pytest
from interrupting import interrupt_at

import fastbp
from fastbp.kernels.compiling import objects
from fastbp.runtime import team
from fastbp.runtime.crowding import Crowd
from fastbp.runtime.locks import Lock
from fastbp.training import fit as fitting

SIZE = 40


def level(threads: Any) -> tuple[fastbp.Trainer, Any, Any]:
    """A problem whose weights, all equal, remain so after every update, and keep moving."""
    net = fastbp.Network(SIZE, [fastbp.Dense(SIZE, bias=False)], seed=0)
    net.set_weights([np.full((SIZE, SIZE), 0.25)])
    optimizer = fastbp.SGD(1e-6)
    trainer = fastbp.Trainer(net, "half_squared_error", optimizer, batch_size=2, n_threads=threads)
    X = np.ones((4 * (3 if threads == "auto" else threads), SIZE), np.float32)
    return trainer, X, np.full(X.shape, 1e3, np.float32)


def whole(trainer: fastbp.Trainer) -> float:
    """The one value of all weights: no update is half done."""
    (w,) = trainer.network.get_weights()
    assert np.isfinite(w).all()
    assert (w == w[0, 0]).all(), f"{len(np.unique(w))} different values"
    return float(w[0, 0])


def many_threads() -> None:
    team._FLOPS_PER_THREAD = 1e-9


def wait_for_ctrl_c(threads: int) -> list[Any]:
    """Trains until SIGINT comes; then a little more."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have none
    many_threads()
    trainer, X, y = level(threads)
    trainer.fit(X, y)
    print("training", flush=True)
    try:
        trainer.fit(X, y, epochs=10**9)
    except KeyboardInterrupt:
        stopped = whole(trainer)
        epochs = trainer.fit(X, y, epochs=3).epoch
        return [stopped, whole(trainer), len(epochs)]
    return []


posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


@posix
@pytest.mark.parametrize("threads", [1, 3])
def test_ctrl_c(threads: int) -> None:
    process = child.start(wait_for_ctrl_c, threads)
    assert process.stdout is not None
    while process.stdout.readline() not in ("training\n", ""):
        pass
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    stopped, after, epochs = child.result(process, 60)
    assert time.monotonic() - started < 10
    assert (stopped != after, epochs) == (True, 3)


def interrupt_at_every_line(threads: Any) -> list[int]:
    """A KeyboardInterrupt at the n-th line that Team.run executes, for every n: as Ctrl-C may be.

    Gives how many lines were tried, and how many of them ended in the interrupt.
    """
    many_threads()
    team.wanted = lambda: 3
    Crowd.how_many = lambda _, threads: threads  # type: ignore[method-assign]
    trainer, X, y = level(threads)
    trainer.fit(X, y)
    raised = line = 0

    while True:
        line += 1
        outcome = interrupt_at(line, lambda: trainer.fit(X, y, epochs=2), team.__file__)
        raised += outcome.raised
        whole(trainer)
        before = whole(trainer)
        trainer.fit(X, y, epochs=2)
        assert whole(trainer) != before
        if not outcome.reached:  # all lines were passed
            return [line - 1, raised]


@pytest.mark.parametrize("threads", [3, "auto"])
def test_an_interrupt_at_any_line_of_a_team(threads: Any) -> None:
    lines, raised = child.call(interrupt_at_every_line, threads, timeout=80)
    assert lines > 20
    assert raised == lines


def interrupt_at_random(seconds: float) -> list[int]:
    """SIGINT again and again, at random, while a team is entered thousands of times a second."""
    many_threads()
    fitting._CHUNK_SECONDS = 0.0
    trainer, X, y = level(3)
    trainer.fit(X, y)
    armed, over, times = False, False, 0

    def on_signal(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    def send() -> None:
        while not over:
            time.sleep(random.uniform(0.0005, 0.003))
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, on_signal)
    threading.Thread(target=send, daemon=True).start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            armed = True
            trainer.fit(X, y, epochs=50)
            armed = False
        except KeyboardInterrupt:
            times += 1
        whole(trainer)
    over = True
    return [times, len(trainer.fit(X, y, epochs=2).loss)]


@posix
def test_interrupts_at_random() -> None:
    times, epochs = child.call(interrupt_at_random, 2.0, timeout=30)
    assert times > 20
    assert epochs == 2


def no_more_threads() -> list[Any]:
    """The system refuses the second of the threads that a team needs, once."""
    many_threads()
    trainer, X, y = level(4)
    start, starts = threading.Thread.start, 0

    def refusing(self: threading.Thread) -> None:
        nonlocal starts
        starts += 1
        if starts == 2:
            raise RuntimeError("can't start new thread")
        start(self)

    threading.Thread.start = refusing  # type: ignore[method-assign]
    try:
        trainer.fit(X, y)
    except RuntimeError as error:
        before = whole(trainer)
        trainer.fit(X, y)
        return [str(error), before, whole(trainer)]
    return []


def test_threads_that_cannot_be_started() -> None:
    error, before, after = child.call(no_more_threads, timeout=30)
    assert "can't start" in error
    assert before != after


# -- other processes -------------------------------------------------------------------------------


def train() -> list[float]:
    trainer, X, y = level(3)
    loss = trainer.fit(X, y, epochs=3).loss
    return [*loss, whole(trainer), float(trainer.network.predict(X, n_threads=3).sum())]


def in_a_fork(function: Callable[[], Any]) -> int:
    """The exit status of a forked process: 0 if `function` gives there what it gives here."""
    expected = function()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is our point
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if function() == expected else 2
        finally:
            os._exit(status)
    for _ in range(600):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 99


def fork() -> list[int]:
    """With the parent's team at rest; with another thread of the parent training; a fork's fork."""
    many_threads()
    statuses = [in_a_fork(train)]
    stop = threading.Event()

    def keep_training() -> None:
        while not stop.is_set():
            train()

    thread = threading.Thread(target=keep_training)
    thread.start()
    statuses.append(in_a_fork(train))
    stop.set()
    thread.join()
    statuses.append(in_a_fork(lambda: in_a_fork(train)))
    return [*statuses, int(train() == train())]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_fork() -> None:
    assert child.call(fork, timeout=120) == [0, 0, 0, 1]


def spawned(_: int) -> list[float]:
    many_threads()
    return train()


def spawn() -> list[list[float]]:
    many_threads()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return [train(), *pool.map(spawned, range(2))]


def trained(trainer: fastbp.Trainer) -> fastbp.Trainer:
    many_threads()
    _, X, y = level(3)
    trainer.fit(X, y, epochs=2)
    return trainer


def trainers_sent_to_processes() -> list[list[float]]:
    """A trainer in use, sent to other processes, trained there and sent back; then trained here."""
    many_threads()
    trainer, X, y = level(3)
    trainer.fit(X, y)
    with concurrent.futures.ProcessPoolExecutor(
        2, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        returned = list(pool.map(trained, [trainer, trainer]))
    returned += joblib.Parallel(n_jobs=2)(joblib.delayed(trained)(trainer) for _ in range(2))
    results = []
    for one in [trained(trainer), *returned]:
        loss = one.fit(X, y).loss
        results.append([*loss, whole(one)])
    return results


def test_trainers_sent_to_processes() -> None:
    here, *there = child.call(trainers_sent_to_processes)
    assert there == [here] * 4


def test_under_spawn() -> None:
    here, *there = child.call(spawn)
    assert there == [here, here]


def interrupt_readers(trials: int) -> int:
    """Alarms at random moments of predictions; how many came in one."""
    X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    net = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(2)], seed=0)
    draw, came, weights = random.Random(0), 0, net.get_weights()

    def read() -> None:
        for _ in range(9):
            net.predict(X[:1])
        net.predict(X)
        net.activations(X[:1])
        net.get_weights()

    read()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    for _ in range(trials):
        try:
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(2e-6, 2e-4))
            read()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            came += 1
        assert not net._parameters.readers
        assert not net._parameters._gate.locked()
        assert not net._parameters._mutex.locked()
    net.set_weights(weights)  # would wait for a reader for ever
    return came


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_interrupted_readers_leave() -> None:
    assert child.call(interrupt_readers, 4000) > 400


def script(name: str) -> Any:
    """The module of a script, which tells after a while where it hangs."""
    faulthandler.dump_traceback_later(150, exit=True)
    sys.path.insert(0, str(child.ROOT / "scripts" / "torture"))
    return importlib.import_module(name)


def torture(threads: int, times: int) -> dict[str, int]:
    return dict(script("interrupts").torture(threads, times))


@posix
@pytest.mark.parametrize("threads", [1, 2])
def test_the_torture_by_interrupts(threads: int) -> None:
    """A short run of what the script does by the hundreds."""
    told: list[str] = []
    counts = child.call(torture, threads, 60, timeout=200, told=told)
    assert counts["interrupts"] == 60, told[0]
    bad = {name: counts[name] for name in ("wrong", "refused", "threads left")}
    assert not any(bad.values()), f"{bad}\n{told[0]}"


def go_through(name: str, later: int, every: int) -> dict[str, int]:
    counts: dict[str, int] = script("every_check").torture([name], [later], 2, every)
    return counts


# By name and how many looks later a second interrupt comes, each so many-th place.
GONE_THROUGH = [("stopping", 0, 4), ("plain", 1, 5), ("resumed stopping", 1, 9), ("chunks", 2, 9)]


@posix
@pytest.mark.parametrize(("name", "later", "every"), GONE_THROUGH)
def test_interrupts_where_python_looks_for_them(name: str, later: int, every: int) -> None:
    """Some of the places that the script goes through."""
    told: list[str] = []
    counts = child.call(go_through, name, later, every, timeout=200, told=told)
    assert counts["trials"] > 50, told[0]
    assert counts["faults"] == 0, told[0]


def let_go(later: int) -> list[int]:
    """How often two interrupts have left a lock taken, and how many places there were."""
    checks, lock = script("every_check").Checks(), Lock()

    def work() -> None:
        checks.begin()
        lock.holding(lambda: max(map(abs, [1, 2])))

    checks.run(work)
    taken, looks = 0, checks.seen
    for first in range(1, looks + 1):
        checks.run(work, first, first + later)
        taken += lock.locked()
        if lock.locked():
            lock.release()
    return [taken, looks]


@posix
def test_two_interrupts_leave_no_lock_taken() -> None:
    for later in (1, 2, 3):
        taken, looks = child.call(let_go, later)
        assert (taken, looks > 4) == (0, True)


def test_llvm_is_not_asked_where_interrupts_come(monkeypatch: Any, tmp_path: Path) -> None:
    """An interrupt there would have its objects freed twice, which ends the process."""

    def use() -> None:
        trainer, X, y = level(1)
        trainer.fit(X, y)
        trainer.save(tmp_path / "run")
        fastbp.Trainer.load(tmp_path / "run").fit(X, y)

    use()  # compiles where nothing is compiled yet, and that does ask
    for name in ("get_host_cpu_name", "get_process_triple", "get_host_cpu_features"):
        monkeypatch.delattr(f"llvmlite.binding.{name}")
    use()
    seen = []
    monkeypatch.setattr(objects, "_read", lambda _: seen.append(threading.current_thread()))
    assert objects.read(tmp_path / "nothing") is None
    assert seen[0] is not threading.main_thread()


def ends() -> list[int]:
    """Threads before code is loaded, right after, and once the loader has had nothing to do."""
    objects._read(None)
    counts = [threading.active_count()]
    objects.read(child.TESTS / "nothing")
    counts.append(threading.active_count())
    for _ in range(200):
        if threading.active_count() == counts[0]:
            break
        time.sleep(0.05)
    objects.read(child.TESTS / "nothing")  # another one does it
    return [*counts, int(objects._loader is not None and objects._loader.alive)]


def test_the_loading_thread_ends() -> None:
    before, meanwhile, alive = child.call(ends)
    assert (meanwhile, alive) == (before + 1, 1)
