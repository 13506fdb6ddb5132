"""A team of plain Python threads that enter one kernel together."""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeAlias

from fastbp.checks import integer
from fastbp.runtime import crowding
from fastbp.runtime.crowding import CROWD, Turn
from fastbp.runtime.processors import available, wanted

Threads: TypeAlias = int | Literal["auto"]

# A thread more is worth its barriers from so many floating-point operations an update on: at half
# of it two threads gained 1.2 on idle cores, and lost 3 times as much where one core was busy.
_FLOPS_PER_THREAD = 2.0e6


def check_threads(n_threads: object) -> None:
    """Raise unless `n_threads` is "auto" or a whole number from 1 to 1024."""
    if n_threads != "auto":
        integer("n_threads", n_threads, minimum=1, maximum=1024)


def resolve_threads(n_threads: object, flops: float) -> int:
    """How many threads to use for so many operations at a time; `n_threads` is the most."""
    check_threads(n_threads)
    useful = int(flops / _FLOPS_PER_THREAD)
    if useful <= 1:  # then nobody need be asked
        return 1
    most = wanted() if n_threads == "auto" else int(n_threads)  # type: ignore[call-overload]
    return max(1, min(most, useful))


# Threads that wait for a call, beyond one a core: a team of so many starts none anew.
_SPARE = 4
# Seconds after which those that are too many end. Calls that follow one another come sooner.
_PATIENCE = 0.05

_Done = SimpleQueue[Any]
_Calls = SimpleQueue[tuple[Callable[[], Any], _Done]]  # to one worker
_PUT: Any = SimpleQueue.put

# A worker is in one place at any time: here, in the list of a team that has taken it, or at work.
# Each way from one to the next is one step of Python's, into which no interrupt comes; back to
# here each goes in its own thread, where none ever comes.
_idle: list[_Calls] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a child has none of its parent's threads


def _work(calls: _Calls) -> None:
    """The life of a worker."""
    most = available() + _SPARE
    patience: float | None = _PATIENCE
    while True:
        try:
            call, done = calls.get() if patience is None else calls.get(timeout=patience)
        except Empty:
            if len(_idle) <= most:
                patience = None
                continue
            try:
                _idle.remove(calls)
            except ValueError:  # a team has taken it meanwhile
                continue
            return
        result = call()
        _idle.append(calls)  # first: who has waited for the result finds it there
        done.put(result)
        patience = None if len(_idle) <= most else _PATIENCE
        del call, done


def _start(count: int, started: SimpleQueue[BaseException | None]) -> None:
    """Start so many workers. In a thread of its own, so that no interrupt comes in between."""
    try:
        for _ in range(count):
            calls: _Calls = SimpleQueue()
            threading.Thread(target=_work, args=(calls,), name="fastbp", daemon=True).start()
            _idle.append(calls)
    except BaseException as error:
        started.put(error)
    else:
        started.put(None)


def _take(taken: list[_Calls], count: int) -> None:
    """Move so many workers to `taken`; those that are missing are started first."""
    try:
        taken.extend(islice(iter(_idle.pop, None), count - len(taken)))
    except IndexError:
        started: SimpleQueue[BaseException | None] = SimpleQueue()
        _thread.start_new_thread(_start, (count - len(taken), started))
        error = started.get()
        if error is not None:
            raise error from None
        _take(taken, count)  # another team may have been quicker


def _do_all(calls: list[partial[Any]], results: list[Any]) -> None:
    """Append each call's result to `results`, even if an interrupt comes in between.

    Threads that have entered a kernel wait there for the others, so once begun, all must follow.
    Python delivers signals between its own steps, and this is one step: no call is lost or made
    twice. It ends when interrupts come faster than it begins anew, and may: no kernel lets the
    calling thread go before all threads are done, and what is left are their results.
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
        own, *others = (partial(entry, *arguments, thread) for thread in range(threads))
        status: int = max(Team._results([own], others))
        return status

    @staticmethod
    def _results(own: list[partial[Any]], others: Sequence[partial[Any]]) -> list[Any]:
        """Make some calls in this thread while workers make the others; what all have returned."""
        done: _Done = SimpleQueue()
        taken: list[_Calls] = []
        results: list[Any] = []
        try:
            _take(taken, len(others))  # all, before any of them begins
            # From the one that has waited longest: 4 threads begin in 0.7 of the time.
            begin = map(_PUT, reversed(taken), [(call, done) for call in others])
            calls: list[partial[Any]] = [partial(any, begin), partial(taken.clear), *own]
            calls += [partial(done.get)] * len(others)
            _do_all(calls, results)
        finally:
            try:
                _idle.extend(taken)  # those that have been given no call
            finally:
                pass  # (runtime/locks.py)
        return results[2:]

    @staticmethod
    def run_watched(threads: int, entry: Callable[..., int], *arguments: float) -> int:
        """As `run`, and tell the process's crowd what the threads have got of the processors."""
        clocks = crowding.clocks()
        if threads == 1 or clocks is None:
            return Team.run(threads, entry, *arguments)
        own_time, time = clocks
        first = partial(entry, *arguments, 0)
        others = [
            partial(crowding.turn, partial(entry, *arguments, thread))
            for thread in range(1, threads)
        ]
        # Each of these is one step of Python's, as a call that is not repeated has to be.
        clock, inner = partial(time), partial(own_time)
        own: list[partial[Any]] = [clock, inner, first, inner, clock]
        results: list[Any] = Team._results(own, others)
        began, before, status, after, ended = results[: len(own)]
        turns = [Turn(status, after - before, began, ended), *results[len(own) :]]
        CROWD.tell(began, turns)
        return max(int(turn.status) for turn in turns)
