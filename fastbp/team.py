"""A team of plain Python threads that enter one kernel together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from fastbp.checks import integer

# Work below this many floating-point operations between two barriers goes to one thread.
_FLOPS_PER_THREAD = 1.0e6


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
        self.calls: SimpleQueue[tuple[Callable[[int], int], int, SimpleQueue[Any]]] = SimpleQueue()
        threading.Thread(target=self._work, name="fastbp", daemon=True).start()

    def _work(self) -> None:
        while True:
            function, thread, done = self.calls.get()
            try:
                done.put(function(thread))
            except BaseException as error:
                done.put(error)
            del function, done


_idle: list[_Worker] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a child has none of its parent's threads


class Team:
    """Runs a kernel in several threads at once."""

    @staticmethod
    def run(threads: int, function: Callable[[int], int]) -> int:
        """Call ``function(thread)`` for thread 0 ... threads - 1, 0 in the calling one.

        Returns when all have, with the greatest result. An interrupt from the keyboard waits
        until then.
        """
        if threads == 1:
            return function(0)
        done: SimpleQueue[Any] = SimpleQueue()
        workers = []
        for thread in range(1, threads):
            try:
                worker = _idle.pop()
            except IndexError:
                worker = _Worker()
            workers.append(worker)
            worker.calls.put((function, thread, done))
        raised: BaseException | None = None
        results: list[int] = []
        try:
            results.append(function(0))
        except BaseException as error:  # delivered on the way out of the kernel
            raised = error
        while len(workers) > 0:
            try:
                result = done.get()
            except KeyboardInterrupt as error:
                raised = error
                continue
            _idle.append(workers.pop())
            if isinstance(result, BaseException):
                raised = result
            else:
                results.append(result)
        if raised is not None:
            raise raised
        return max(results)
