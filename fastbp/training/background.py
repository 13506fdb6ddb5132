"""A fit in a thread of its own, that can be watched, awaited and cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from operator import methodcaller
from queue import SimpleQueue
from typing import Any

from fastbp.history import History, Progress
from fastbp.runtime.forking import Watched, watch
from fastbp.runtime.locks import Lock
from fastbp.training.progress import Watcher

#: Trains until the end, or until the second argument says that it is to end earlier.
Work = Callable[[Watcher, Callable[[], bool]], History]


class _Kept(Watcher):
    """Keeps the progress where a program can look at it, and tells the one who watches."""

    def __init__(self, handle: BackgroundFit, watcher: Watcher | None) -> None:
        self.handle, self.watcher = handle, watcher

    def begin(self) -> None:
        if self.watcher is not None:
            self.watcher.begin()

    def __call__(self, progress: Progress) -> None:
        self.handle.progress = progress
        if self.watcher is not None and time.perf_counter() >= self.watcher.due:
            self.watcher(progress)

    def clear(self) -> None:
        if self.watcher is not None:
            self.watcher.clear()

    def close(self, last: Progress | None) -> None:
        if self.watcher is not None:
            self.watcher.close(last)


class BackgroundFit(Watched):
    """A fit under way (`Trainer.fit_async`); ``await`` it, or ask for its `result`.

    Parameters
    ----------
    watcher : Watcher or None
        Who is shown the progress.
    lock : Lock
        The trainer's, held until the fit has ended. Where somebody else holds it, `result` raises.
    work : callable
        Trains, in a thread of its own, which has begun when the constructor returns.

    Attributes
    ----------
    progress : Progress or None
        Where it was about 100 ms ago at most; None before the first such moment.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    >>> handle = fastbp.Trainer(net, "mse", seed=0).fit_async(np.eye(2), [0.0, 1.0], epochs=10**9)
    >>> handle.cancel()
    >>> handle.result().stopped, handle.done()
    ('cancelled', True)
    """

    def __init__(self, watcher: Watcher | None, lock: Lock, work: Work) -> None:
        self.progress: Progress | None = None
        self._watcher = _Kept(self, watcher)
        self._cancelled = False  # set in one step, and no lock is left taken by it
        self._future: Future[History] = Future()
        self._future.set_running_or_notify_cancel()
        self._outcome: Callable[[Future[History]], None] | None = None  # once it has ended
        self._thread: int | None = None  # in which it runs
        watch(self)
        self._start(lock, work)

    def cancel(self) -> None:
        """Have it end after the chunk of work that it is in, about 100 ms.

        `result` then gives the `History` so far, whose ``stopped`` is "cancelled".
        """
        self._cancelled = True

    def done(self) -> bool:
        """Whether it has ended, in whatever way.

        Returns
        -------
        bool
            True once `result` returns, or raises, at once.
        """
        return self._future.done()

    def result(self, timeout: float | None = None) -> History:
        """Wait for the end.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait at most; None waits until it ends.

        Returns
        -------
        History
            As `Trainer.fit` returns.

        Raises
        ------
        concurrent.futures.TimeoutError
            It goes on after that time.
        RuntimeError
            It is under way in the process that this one was forked from.
        Exception
            What `Trainer.fit` has raised, or a callback.
        """
        return self._future.result(timeout)

    def __await__(self) -> Generator[Any, None, History]:
        """In asyncio; when the task that waits is cancelled, so is the fit."""
        import asyncio  # takes its time

        try:
            return (yield from asyncio.wrap_future(self._future).__await__())
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _start(self, lock: Lock, work: Work) -> None:
        """Have `work` begin in a thread of its own; return when it has."""
        begun, go = threading.Event(), SimpleQueue[bool]()

        def run() -> None:
            self._thread = threading.get_ident()
            if not go.get():
                return
            if not lock.acquire(blocking=False):
                refusal = RuntimeError("this trainer is at work in another thread")
                self._end(methodcaller("set_exception", refusal))
                begun.set()
                return
            begun.set()
            try:
                history = work(self._watcher, lambda: self._cancelled)
            except BaseException as error:
                outcome = methodcaller("set_exception", error)
            else:
                outcome = methodcaller("set_result", history)
            lock.release()  # first: who has waited may use the trainer
            self._end(outcome)

        try:
            threading.Thread(target=run, name="fastbp fit", daemon=True).start()
            go.put(True)
            begun.wait()
        except BaseException:  # an interrupt: nobody would hold the handle
            self._cancelled = True
            go.put(False)
            raise

    def _end(self, outcome: Callable[[Future[History]], None]) -> None:
        self._outcome = outcome
        outcome(self._future)

    def _after_fork(self) -> None:
        """The locks of the future are made anew, and a child has not the thread of its parent."""
        self._future = Future()
        self._future.set_running_or_notify_cancel()
        if self._outcome is not None:
            self._outcome(self._future)
        elif self._thread != threading.get_ident():
            lost = RuntimeError(
                "this fit is under way in the parent process alone: the process was forked "
                "meanwhile, and its threads stay there"
            )
            self._end(methodcaller("set_exception", lost))
