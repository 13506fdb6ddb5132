"""A child of `os.fork`, whatever other threads of its parent were doing, can use what it has."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import child
import numpy as np
import pytest

import fastbp
from fastbp.runtime import forking, team
from fastbp.training import fit as fitting
from fastbp.training.progress import Bar

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SIZE = 200


def level(threads: int = 1, **settings: Any) -> tuple[fastbp.Trainer, Any, Any]:
    """A problem whose weights, all equal, remain so after every update, and keep moving."""
    net = fastbp.Network(SIZE, [fastbp.Dense(SIZE, bias=False)], seed=0)
    net.set_weights([np.full((SIZE, SIZE), 0.25)])
    settings = {"optimizer": fastbp.Adam(1e-6), "batch_size": 2, "n_threads": threads, **settings}
    trainer = fastbp.Trainer(net, "half_squared_error", **settings)
    return trainer, np.ones((64, SIZE), np.float32), np.full((64, SIZE), 1e3, np.float32)


def whole(network: fastbp.Network) -> None:
    (w,) = network.get_weights()
    assert (w == w[0, 0]).all(), f"{len(np.unique(w))} different values: a torn update"


def in_a_fork(function: Callable[[], object], seconds: float = 30.0) -> str:
    """What goes wrong in a forked process that calls `function`: nothing, if all is well."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is our point
        pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}"[:4000].encode())
        finally:
            os._exit(0)
    os.close(write)
    try:
        for _ in range(int(seconds / 0.01)):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                told = os.read(read, 4096).decode()
                return told if status == 0 else told or f"exit status {status}"
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return "still at work"
    finally:
        os.close(read)


def use(trainer: fastbp.Trainer, X: Any, y: Any, folder: str) -> None:
    """All that a child may want to do with the network of a trainer that was at work."""
    network = trainer.network
    whole(network)
    network.predict(X)
    network.predict(X[:1])
    network.activations(X)
    network.predict(X, n_threads=2)
    network.save(Path(folder) / f"{os.getpid()}.safetensors")
    whole(pickle.loads(pickle.dumps(network)))
    network.set_weights(network.get_weights())
    other = fastbp.Trainer(network, "half_squared_error", "adam", batch_size=2, n_threads=2)
    assert other.fit(X, y, epochs=2).epoch == [0, 1]
    whole(network)
    other.save(Path(folder) / f"{os.getpid()}.state")
    assert other.fit_async(X, y).result(20).epoch == [2]


def refused(trainer: fastbp.Trainer, X: Any, y: Any) -> None:
    """A trainer that was at work has torn slots, and says so whatever it is asked for."""
    calls: list[Callable[[], object]] = [
        lambda: trainer.fit(X, y),
        lambda: trainer.fit_async(X, y),
        lambda: trainer.step(X, y),
        lambda: trainer.evaluate(X, y),
        lambda: trainer.save("/dev/null"),
        lambda: pickle.dumps(trainer),
        trainer.compiled,
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="when the process was forked"):
            call()


def forks_beside_a_fit(background: bool, threads: int, times: int, folder: str) -> list[str]:
    team._FLOPS_PER_THREAD = 1e-9
    fitting._CHUNK_SECONDS = 2e-3
    trainer, X, y = level(threads)
    use(trainer, X, y, folder)
    trainer.fit(X, y)
    over = False

    class Until(fastbp.Callback):
        def on_chunk_end(self, trainer: fastbp.Trainer) -> None:
            if over:
                trainer.stop("over")

    handle = None
    thread = threading.Thread(target=lambda: trainer.fit(X, y, 10**9, callbacks=[Until()]))
    if background:
        handle = trainer.fit_async(X, y, epochs=10**9)
    else:
        thread.start()

    def look() -> None:
        use(trainer, X, y, folder)
        refused(trainer, X, y)
        if handle is not None:
            assert handle.done()
            with pytest.raises(RuntimeError, match="in the parent process alone"):
                handle.result()
        assert in_a_fork(lambda: use(trainer, X, y, folder)) == ""  # a fork's fork

    draw, found = np.random.default_rng(0), []
    for _ in range(times):
        time.sleep(draw.uniform(0.0, 0.02))
        found.append(in_a_fork(look))
    if handle is not None:
        handle.cancel()
        assert handle.result().stopped == "cancelled"
    else:
        over = True
        thread.join()
    use(trainer, X, y, folder)  # the parent has noticed nothing
    trainer.fit(X, y)
    return found


@pytest.mark.parametrize(("background", "threads"), [(False, 1), (False, 3), (True, 1)])
def test_a_fork_beside_a_fit(background: bool, threads: int, tmp_path: Path) -> None:
    arguments = background, threads, 20, str(tmp_path)
    assert child.call(forks_beside_a_fit, *arguments, timeout=250) == [""] * 20


def forks_beside(what: str, times: int, folder: str) -> list[str]:
    """Beside another thread that changes or reads parameters in a loop, without a fit."""
    trainer, X, y = level()
    network, over = trainer.network, False
    use(trainer, X, y, folder)
    trainer.step(X, y)
    values = [np.full((SIZE, SIZE), value) for value in (0.25, 0.5)]

    def work() -> None:
        n = 0
        while not over:
            n += 1
            if what == "step":
                trainer.step(X, y)
            elif what == "set_weights":
                network.set_weights([values[n % 2]])
            elif what == "predict":
                network.predict(X)
                network.predict(X[:1])
            else:
                trainer.evaluate(X, y)

    thread = threading.Thread(target=work)
    thread.start()
    draw, found = np.random.default_rng(0), []
    for _ in range(times):
        time.sleep(draw.uniform(0.0, 0.01))
        found.append(in_a_fork(lambda: use(trainer, X, y, folder)))
    over = True
    thread.join()
    use(trainer, X, y, folder)
    return found


@pytest.mark.parametrize("what", ["step", "set_weights", "predict", "evaluate"])
def test_a_fork_beside_other_work(what: str, tmp_path: Path) -> None:
    found = child.call(forks_beside, what, 20, str(tmp_path), timeout=200)
    assert found == [""] * 20


def test_a_fork_of_a_solver_at_work() -> None:
    found = child.call(forks_beside_a_solver, timeout=100)
    assert found == [""] * 10


def forks_beside_a_solver() -> list[str]:
    trainer, X, y = level(optimizer="lbfgs", batch_size=None)
    rng = np.random.default_rng(0)
    handle = trainer.fit_async(rng.normal(size=X.shape), rng.normal(size=y.shape), epochs=10**6)

    def look() -> None:
        other = fastbp.Trainer(trainer.network, "half_squared_error", "lbfgs", batch_size=None)
        assert np.isfinite(other.fit(X, y, epochs=2).loss).all()

    found = []
    for _ in range(10):
        time.sleep(0.005)
        found.append(in_a_fork(look))
    handle.cancel()
    handle.result()
    return found


class Forks(fastbp.Callback):
    """Forks in the second epoch; `pid` is as os.fork gave it."""

    pid = -1

    def __init__(self, X: Any) -> None:
        self.X = X

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: Any) -> None:
        if epoch != 1:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        trainer.network.predict(self.X)
        whole(trainer.network)
        trainer.network.set_weights(trainer.network.get_weights())
        if self.pid == 0 and threading.current_thread().name == "fastbp fit":
            assert trainer._fit is not None
            os._exit(7 if trainer._session.training.thread == threading.get_ident() else 8)


def forks_in_a_callback(threads: int, background: bool) -> int:
    """Everything is whole: the child goes on, to the bits of its parent. Its exit status."""
    team._FLOPS_PER_THREAD = 1e-9
    expected, X, y = level(threads)
    expected.fit(X, y, epochs=3)
    trainer, X, y = level(threads, seed=expected.seed)
    callback = Forks(X)
    if background:
        trainer.fit_async(X, y, epochs=3, callbacks=[callback]).result()
    else:
        trainer.fit(X, y, epochs=3, callbacks=[callback])
    (a,), (b,) = expected.network.get_weights(), trainer.network.get_weights()
    if callback.pid == 0:
        trainer.fit(X, y)  # it is free again
        os._exit(7 if np.array_equal(a, b) else 8)
    assert np.array_equal(a, b)
    return os.waitstatus_to_exitcode(os.waitpid(callback.pid, 0)[1])


@pytest.mark.parametrize(("threads", "background"), [(1, False), (3, False), (3, True)])
def test_a_fork_in_a_callback(threads: int, background: bool) -> None:
    assert child.call(forks_in_a_callback, threads, background, timeout=100) == 7


def forks_beside_a_compile() -> list[str]:
    """Parts are compiled in one thread, one after the other, while another forks."""
    from fastbp.kernels.compiling import jit

    trainer, X, y = level()
    trainer.fit(X, y)
    parts = [part for part in jit.PARTS if "float64" not in part.dtypes][:40]
    over = False

    def work() -> None:
        for part in parts:
            if not over:
                part.compile("float64")

    def look() -> None:
        wanted = next(part for part in reversed(parts) if "float64" not in part.dtypes)
        wanted.compile("float64")

    thread = threading.Thread(target=work)
    thread.start()
    found = []
    for _ in range(3):
        time.sleep(0.05)
        found.append(in_a_fork(look, 60.0))
    found.append("" if thread.is_alive() else "the thread was not at work all the while")
    over = True
    thread.join()
    return found


def test_a_fork_beside_a_compile() -> None:
    settings = {"FASTBP_CACHE": "0", **child.QUICK}
    found = child.call(forks_beside_a_compile, timeout=280, settings=settings)
    assert found == [""] * 4


def test_locks_that_are_held_in_the_child_s_parent_are_let_go() -> None:
    """By the parent after each fork, in which nobody has been at work."""
    assert child.call(idle_forks, timeout=60) == ["", "", "", True]


def idle_forks() -> list[Any]:
    trainer, X, y = level()
    state = trainer.network.compiled()
    found: list[Any] = [in_a_fork(lambda: [trainer.fit(X, y), state]) for _ in range(3)]
    trainer.fit(X, y)
    shared = trainer.network._parameters
    free = not (shared._gate.locked() or shared._mutex.locked() or forking._forking.locked())
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(bool(trainer.fit(X, y).loss)))
    thread.start()
    thread.join()
    return [*found, free and done == [True] and not forking._held]


def test_what_is_gone_is_forgotten() -> None:
    gc.collect()  # what other tests have left
    before = len(forking._live)
    trainer, X, y = level()
    trainer.fit(X, y)
    assert len(forking._live) > before
    del trainer
    gc.collect()
    assert len(forking._live) <= before


def test_states_of_compiled_code_are_free_in_a_child() -> None:
    assert child.call(forks_with_states, timeout=60) == ""


def forks_with_states() -> str:
    from fastbp.kernels.ffi import embedded

    trainer, _, _ = level()
    predicts, trains = trainer.network.compiled(), trainer.compiled()
    for cells, _ in (predicts, trains):
        cells[embedded.FLAG] = 1  # as if another thread were in

    def look() -> None:
        assert predicts[0][embedded.FLAG] == 0
        assert trains[0][embedded.FLAG] == 1

    return in_a_fork(look)


def forks_beside_bars() -> list[str]:
    """Locks of bars, ours and tqdm's, are held by another thread; so is the bar itself."""
    from tqdm import tqdm

    bar, mine = Bar(0.0), Bar(0.0)
    progress = fastbp.Progress(0, 3, 1, 2, 0.5, None, 1.0, 1.0, False, {})
    mine(progress)
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        bar.begin()
        bar(progress)
        with bar.lock, mine.lock, tqdm.get_lock():
            held.set()
            go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()

    def look() -> None:
        bar.close(progress)
        mine.due = 0.0
        mine(progress)
        mine.close(progress)
        Bar(0.0)(progress)

    found = [in_a_fork(look)]
    go.set()
    thread.join()
    bar.close(progress)
    return found


def test_a_fork_beside_bars() -> None:
    pytest.importorskip("tqdm")
    assert child.call(forks_beside_bars, timeout=60) == [""]
