"""Teams of threads: the same bits at any number, and any number of trainers side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from thread_cases import CASES, bits, build

import fastbp
from fastbp.runtime import team

THREADS = [1, 2, 3, 4, 7]


@pytest.fixture(autouse=True)
def as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little there is to do."""
    monkeypatch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_at_any_number_of_threads(name: str) -> None:
    case, teams = CASES[name], set()
    run = team.Team.run

    def counting(threads: int, *call: Any) -> int:
        teams.add(threads)
        return run(threads, *call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(team.Team, "run", counting)
        expected = bits(case, 1)
        for threads in THREADS[1:]:
            assert bits(case, threads) == expected, f"{threads} threads"
    assert teams == set(THREADS)  # they were really there
    plan = build(case, 2)[0]._session.engine.training(case.batch_size or case.n).plan
    assert (plan.slabs > 1) == name.startswith("slabs")
    assert (plan.block < plan.rows) == name.startswith(("slabs", "many blocks"))


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """All results, each function called in a thread of its own, at once; fails if one hangs."""
    results: list[Any] = [None] * len(functions)
    ready = threading.Barrier(len(functions))

    def work(i: int, function: Callable[[], Any]) -> None:
        ready.wait()
        try:
            results[i] = function()
        except BaseException as error:
            results[i] = error

    threads = [
        threading.Thread(target=work, args=(i, f), daemon=True) for i, f in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "still at work"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def test_trainers_side_by_side() -> None:
    """Each gives the bits that it gives alone."""
    cases = [CASES[name] for name in ("whole, ragged", "narrow", "slabs, ragged", "float64")]
    alone = [bits(case, 1) for case in cases]
    together = in_threads(*(lambda c=case, n=n: bits(c, n) for n, case in enumerate(cases, 1)))
    assert together == alone


@pytest.fixture
def fitting() -> Iterator[fastbp.Trainer]:
    """A trainer in the middle of a fit in another thread, held between two epochs."""
    trainer, (X, y, _) = build(CASES["whole, ragged"], 2)
    inside, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        inside.set()
        assert go_on.wait(60)

    thread = threading.Thread(target=lambda: trainer.fit(X, y, epochs=2, progress=hold))
    thread.start()
    assert inside.wait(60)
    yield trainer
    go_on.set()
    thread.join(60)
    assert trainer.fit(X, y).epoch == [2]  # usable again


def test_one_trainer_in_two_threads_is_refused(fitting: fastbp.Trainer) -> None:
    before = fitting.network.get_weights()
    _, (X, y, _) = build(CASES["whole, ragged"], 1)
    calls: list[Callable[..., Any]] = [fitting.fit, fitting.step, fitting.gradients]
    for call in [*calls, fitting.evaluate]:
        with pytest.raises(RuntimeError, match="at work in another thread"):
            call(X, y)
    for a, b in zip(before, fitting.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_fits_of_one_network_are_refused(fitting: fastbp.Trainer) -> None:
    _, (X, y, _) = build(CASES["whole, ragged"], 1)
    other = fastbp.Trainer(fitting.network, "cross_entropy")
    with pytest.raises(RuntimeError, match="another trainer"):
        other.fit(X, y)


# -- seeing finished updates only ------------------------------------------------------------------

SIZE = 300


def level() -> tuple[fastbp.Trainer, Any, Any]:
    """A problem whose weights, if all equal, remain so after every update, and keep moving."""
    net = fastbp.Network(SIZE, [fastbp.Dense(SIZE, bias=False)], seed=0)
    net.set_weights([np.full((SIZE, SIZE), 0.25)])
    trainer = fastbp.Trainer(net, "half_squared_error", fastbp.SGD(1e-6), batch_size=2, n_threads=2)
    return trainer, np.ones((8, SIZE), np.float32), np.full((8, SIZE), 1e3, np.float32)


def only_value(a: Any) -> float:
    assert (a == a.flat[0]).all(), f"{len(np.unique(a))} different values: a torn update"
    return float(a.flat[0])


def test_readers_see_finished_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through predict, get_weights and activations, while another thread fits, and one sets."""
    monkeypatch.setattr("fastbp.training.fit._CHUNK_SECONDS", 1e-3)
    trainer, X, y = level()
    net, over = trainer.network, threading.Event()

    def fit() -> int:
        try:
            return len(trainer.fit(X, y, epochs=150).loss)
        finally:
            over.set()

    def read() -> set[float]:
        seen = set()
        while not over.is_set():
            seen.add(only_value(net.get_weights()[0]))
            only_value(net.predict(X, n_threads=2))
            only_value(net.predict(X[:1]))
            only_value(net.activations(X)[0])
        return seen

    def write() -> int:
        times = 0
        while not over.wait(0.02):
            net.set_weights([np.full((SIZE, SIZE), 0.5 + times / 1024)])
            times += 1
        return times

    epochs, seen, also_seen, times = in_threads(fit, read, read, write)
    assert epochs == 150
    assert len(seen) > 5
    assert len(also_seen) > 5
    assert times > 1
    assert trainer.fit(X, y).epoch == [150]
    only_value(net.get_weights()[0])
