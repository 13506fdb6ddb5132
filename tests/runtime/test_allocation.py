"""Training and prediction allocate nothing: not per step, not per epoch; Python is not called."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import child
import numpy as np
import pytest

import fastbp
from fastbp.kernels.compiling import jit
from fastbp.runtime.program import Program
from fastbp.training import engine

#: bytes that an epoch's bookkeeping may take: figures, a Progress, an entry in each History list
LITTLE = 4096
PLANS = [("whole batches", 16, 1), ("two threads", 16, 2), ("slabs", None, 2), ("batch 1", 1, 1)]


class Allocating(Program):
    """The control: takes memory each time that kernels are entered."""

    def run(self, first: int, last: int) -> int:
        scratch = np.empty(2 * LITTLE, np.uint8)
        status = super().run(first, last)
        del scratch
        return status


class Keeping(Program):
    """The control: keeps a little each time."""

    def run(self, first: int, last: int) -> int:
        self.__dict__.setdefault("kept", []).append(np.empty(LITTLE // 2, np.uint8))
        return super().run(first, last)


def problem(n: int, **arguments: Any) -> Any:
    """A trainer that has trained once, and its samples."""
    rng = np.random.default_rng(0)
    layers = [fastbp.Dense(64, "relu"), fastbp.Dense(33, "tanh"), fastbp.Dense(3, "softmax")]
    X, y = rng.normal(size=(n, 64)).astype(np.float32), rng.integers(3, size=n)
    w = rng.uniform(size=n)
    trainer = fastbp.Trainer(
        fastbp.Network(64, layers, seed=0), "cross_entropy", "adam", seed=0, **arguments
    )
    trainer.fit(X, y, sample_weight=w, epochs=2)
    return trainer, (X, y, w)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def check_epochs(trainer: fastbp.Trainer, samples: Any, epochs: int = 6) -> None:
    """No epoch but the first, in which a fit makes its own copy of the weights, takes memory."""
    marks: list[tuple[int, int]] = []

    def at_epochs_end(progress: fastbp.Progress) -> None:
        if progress.done_epoch:
            marks.append(tracemalloc.get_traced_memory())
            tracemalloc.reset_peak()

    X, y, w = samples
    trainer.fit(X, y, sample_weight=w, epochs=epochs, progress=at_epochs_end)
    assert len(marks) == epochs
    for (start, _), (end, peak) in pairwise(marks):
        assert peak - start < LITTLE, "allocated for a while"
        assert end - start < LITTLE / 4, "allocated and kept"


@pytest.mark.parametrize("n", [40, 4000])
@pytest.mark.parametrize(("name", "batch_size", "threads"), PLANS)
@pytest.mark.usefixtures("traced")
def test_epochs_take_no_memory(name: str, batch_size: int, threads: int, n: int) -> None:
    """A hundred times the batches take no more memory than the same bound allows."""
    check_epochs(*problem(n, batch_size=batch_size, n_threads=threads))


@pytest.mark.parametrize("kind", [Allocating, Keeping])
@pytest.mark.usefixtures("traced")
def test_the_check_sees_an_allocation(kind: type[Program], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "Program", kind)
    with pytest.raises(AssertionError, match="allocated"):
        check_epochs(*problem(40, batch_size=16))


@pytest.mark.parametrize("threads", [1, 2])
def test_python_is_not_called_per_batch(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With chunks of any length, an epoch of 8,000 batches makes the calls of one of 8."""
    monkeypatch.setattr("fastbp.training.fit._CHUNK_SECONDS", 1e9)
    monkeypatch.setattr("fastbp.training.snapshot._WORK", 1e18)  # no snapshots, which Python takes

    def calls(n: int) -> int:
        trainer, (X, y, _) = problem(n, batch_size=2, n_threads=threads)
        counts, count = [], 0

        def at_epochs_end(progress: fastbp.Progress) -> None:
            counts.append(count)

        def on_event(_: Any, event: str, __: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(on_event)
        try:
            trainer.fit(X, y, epochs=6, progress=at_epochs_end)
        finally:
            sys.setprofile(None)
        return counts[-1] - counts[-2]

    assert 0 < calls(16) < 100
    snapshot = 20  # that of an epoch's end takes fewer
    assert calls(16_000) - calls(16) < snapshot


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("traced")
def test_predicting_into_out_takes_no_memory(threads: int) -> None:
    """After the first call of its kind, in any order of sizes; the result would take 240 KB."""
    trainer, (X, _, _) = problem(20_000, batch_size=500)
    net, out = trainer.network, np.empty((20_000, 3), np.float32)

    def peak_of(work: Callable[[], object]) -> int:
        start = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - start

    def predict(n: int) -> object:
        return net.predict(X[:n], out=out[:n], n_threads=threads)

    sizes = (20_000, 1, 777, 50, 16, 17)
    for n in sizes:
        predict(n)
    assert peak_of(lambda: net.predict(X, n_threads=threads)) > out.nbytes
    for n in sizes * 2:
        # what a call needs it takes every time; the interpreter takes a little now and then
        least = min(peak_of(lambda n=n: predict(n)) for _ in range(3))
        assert least < LITTLE, f"{n} samples"


# -- inside the kernels ----------------------------------------------------------------------------


def allocations_by_kernels() -> list[list[int]]:
    """What numba's runtime has allocated and freed: at first, after work, after the control."""
    from numba.core.registry import cpu_target
    from numba.core.runtime import rtsys

    def allocate(tag: float, n: int) -> Any:
        return np.zeros(n, np.int64).sum()

    control = jit.entry(allocate).compiled("float32")
    rtsys.initialize(cpu_target.target_context)
    counts = []

    def count() -> None:
        counts.append(list(rtsys.get_allocation_stats()))

    count()
    for _, batch_size, threads in PLANS:
        trainer, (X, y, w) = problem(300, batch_size=batch_size, n_threads=threads)
        trainer.fit(X, y, epochs=3)
        trainer.evaluate(X, y, w)
        trainer.gradients(X, y, w)
        trainer.step(X, y)
        trainer.network.predict(X)
    count()
    control(0.0, 100)
    count()
    return counts


def test_kernels_allocate_nothing() -> None:
    before, after, control = child.call(allocations_by_kernels, settings={"NUMBA_NRT_STATS": "1"})
    assert after == before
    assert control != after


def resident() -> int:
    """Bytes of this process's memory that are in use (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def growth_over_steps() -> list[int]:
    """Bytes grown by over 100,000 steps in epochs, 10,000 calls of step and 10,000 of predict."""
    trainer, (X, y, _) = problem(1000, batch_size=1)
    one, label, out = X[:1], y[:1], np.empty((1, 3), np.float32)
    works: list[tuple[int, Callable[[], object]]] = [
        (100, lambda: trainer.fit(X, y)),
        (10_000, lambda: trainer.step(one, label)),
        (10_000, lambda: trainer.network.predict(one, out=out)),
    ]
    found = []
    for times, work in works:
        for _ in range(times // 10):
            work()
        before = resident()
        for _ in range(times):
            work()
        found.append(resident() - before)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_resident_memory_stays_flat() -> None:
    assert max(child.call(growth_over_steps)) < 200_000
