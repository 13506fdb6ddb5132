"""A lock that no interrupt leaves taken.

Python delivers Ctrl-C between its own steps: after calls, where functions begin, where loops go
back. Python 3.10 also looks for it as it begins to handle an exception, `finally` and the end of a
`with` among that. A second interrupt right behind the first one then comes before anything has been
tidied up: a plain ``with lock:`` is left without its release. There is no such moment where the
first thing that a `finally` does is to enter a `try`. So what must not be skipped stands in

    finally:
        try:
            ...  # up to the end of the first call
        finally:
            pass
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, TypeVar

T = TypeVar("T")


class Lock:
    """A plain lock, to be held as `holding` does.

    Attributes
    ----------
    lock : threading.Lock
        What it stands for, for those who are never interrupted.
    taking : iterator
        Each of its steps waits for the lock and gives True: a `for` takes it and notes that in one
        step of Python's. It never ends, and threads may share it.
    acquire, release, locked : callable
        The plain lock's.
    """

    def __init__(self) -> None:
        self.lock = lock = threading.Lock()
        self.acquire, self.release, self.locked = lock.acquire, lock.release, lock.locked
        self.taking: Iterator[bool] = map(lock.acquire, repeat(True))

    def holding(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work` while this is held.

        Where a call more would take too long, a copy of its lines.
        """
        held = False
        try:
            for held in self.taking:  # noqa: B007
                break
            return work(*arguments)
        finally:
            try:
                if held:
                    self.release()
            finally:
                pass
