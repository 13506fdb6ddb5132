"""What a process needs that `os.fork` has made: locks that nobody holds, and state that is whole.

A child has one thread, the one that forked, and the memory of that moment. A lock that another
thread held is never let go there, and what another thread was changing stays half changed. So
objects with locks are known here: they name locks to be held while the process forks, and have a
method that is called in the child.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from operator import methodcaller
from typing import Any
from weakref import ref

from fastbp.kernels.compiling import cache  # noqa: F401  its lock is taken after those of this module

Lock = threading.Lock

# Seconds to wait for a lock. It is never held so long, unless by the very thread that forks, in a
# handler of signals: then the fork goes ahead.
_PATIENCE = 10.0


class Watched:
    """An object that is told of forks, once `watch` has been told of it."""

    def _fork_locks(self) -> Iterable[Lock]:
        """Locks to be held while the process forks, each never taken before one that follows."""
        return ()

    def _after_fork(self) -> None:
        """Called in the child, whose only thread is the one that forked."""
        raise NotImplementedError


# By id, with operations that are one step each: a `WeakSet` is made of several, and a fork may come
# between them.
_live: dict[int, ref[Watched]] = {}
# One for each lock that is held, which lets go of it when it is asked for a value.
_held: list[Iterator[Any]] = []
_forking = threading.Lock()  # held during a fork


def watch(watched: Watched) -> None:
    """Have an object told of forks, as long as it lives."""
    key = id(watched)
    _live[key] = ref(watched, partial(_live.pop, key))


def _alive() -> list[Watched]:
    return [it for reference in list(_live.values()) if (it := reference()) is not None]


# An interrupt that comes into a hook is lost, and the rest of that hook with it. So a lock is taken
# and noted in one step of Python's, and all are let go in another.
_ACQUIRE, _RELEASE = methodcaller("acquire", True, _PATIENCE), methodcaller("release")


def _hold() -> None:
    locks = (lock for it in _alive() for lock in it._fork_locks())
    _held.extend(map(partial(map, _RELEASE), zip(filter(_ACQUIRE, locks))))


def _renew() -> None:
    """Renew all watched objects in a child that `os.fork` has made."""
    _held.clear()
    _forking._at_fork_reinit()  # type: ignore[attr-defined]
    for it in _alive():
        it._after_fork()


if hasattr(os, "register_at_fork"):
    # Called in this order after a fork, in the opposite one before it.
    os.register_at_fork(after_in_parent=partial(sorted, _held, key=any))
    os.register_at_fork(after_in_parent=_held.clear, after_in_child=_renew, before=_hold)
    os.register_at_fork(after_in_parent=_forking.release, before=_forking.acquire)
