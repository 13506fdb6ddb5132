"""A team of plain Python threads that enter one kernel together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from fastbp.checks import integer

# A thread more is worth its barriers from so many floating-point operations an update on: at half
# of it two threads gained 1.2 on idle cores, and lost 3 times as much where one core was busy.
_FLOPS_PER_THREAD = 2.0e6


def cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(n_threads: object) -> None:
    """Raise unless `n_threads` is "auto" or a whole number from 1 to 1024."""
    if n_threads != "auto":
        integer("n_threads", n_threads, minimum=1, maximum=1024)


def resolve_threads(n_threads: object, flops: float) -> int:
    """How many threads to use for so many operations at a time; `n_threads` is the most."""
    check_threads(n_threads)
    most = cores() if n_threads == "auto" else int(n_threads)  # type: ignore[call-overload]
    return max(1, min(most, int(flops / _FLOPS_PER_THREAD)))


class _Worker:
    """A thread that waits for calls."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[tuple[Callable[[], int], SimpleQueue[Any]]] = SimpleQueue()
        threading.Thread(target=self._work, name="fastbp", daemon=True).start()

    def _work(self) -> None:
        while True:
            call, done = self.calls.get()
            done.put(call())
            del call, done


_idle: list[_Worker] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a child has none of its parent's threads


def _worker() -> _Worker:
    """One that is there, or a new one."""
    try:
        return _idle.pop()
    except IndexError:
        return _Worker()


def _do_all(calls: list[partial[Any]], results: list[Any]) -> None:
    """Append each call's result to `results`, even if an interrupt comes in between.

    Threads that have entered a kernel wait there for the others, so once begun, all must follow.
    Python delivers signals between its own steps, and this is one step: no call is lost or made
    twice.
    """
    try:
        any(map(results.append, map(partial.__call__, calls[len(results) :])))
    except BaseException:
        _do_all(calls, results)
        raise


class Team:
    """Runs a kernel in several threads at once."""

    @staticmethod
    def run(threads: int, entry: Callable[..., int], *arguments: float) -> int:
        """Call ``entry(*arguments, thread)`` for thread 0 ... threads - 1, 0 in the calling one.

        `entry` is machine code, which never raises. Returns when all have, with the greatest
        result. An interrupt from the keyboard waits until then.
        """
        if threads == 1:
            return entry(*arguments, 0)
        workers = [_worker() for _ in range(threads - 1)]  # all, before any of them begins
        done: SimpleQueue[Any] = SimpleQueue()
        own, *others = (partial(entry, *arguments, thread) for thread in range(threads))
        calls: list[partial[Any]] = [
            partial(worker.calls.put, (call, done))
            for worker, call in zip(workers, others, strict=True)
        ]
        calls += [own, *[partial(done.get)] * len(workers)]
        results: list[Any] = []
        _do_all(calls, results)
        _idle.extend(workers)
        status: int = max(results[len(workers) :])
        return status
