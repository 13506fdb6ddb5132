"""Whether the processors are shared with others' work, so that a team had better be smaller.

Threads of a team wait for each other several times an update. Where one of them has to take turns
with somebody else's thread, all the others stand still for its turns, some milliseconds each, and
the team is slower than one thread alone. So what a team's threads have got of the processors is
added up: processor time beside time on the wall. Where so much is missing that half a team
would have been as fast, half a team works for a while, then a whole one for some milliseconds, to
see. Results have the same bits at any number of threads, so that time may decide here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

#: a thread's own processor time, where there is such a clock, and its ticks are short
_own_time: Callable[[], float] | None = getattr(time, "thread_time", None)
if sys.platform == "win32":
    _own_time = None

_WINDOW = 4e-3  # seconds of a team's work that are looked at together
_TRIAL = 10e-3  # seconds of work to try a larger team by
_LATE = 2e-4  # seconds that a thread may take to begin: it may have slept
_LOST = 0.4  # of a processor: where a team of two is as fast as one
_USUAL = 0.01  # part of its time that a thread loses to the system anyway
_FIRST, _LONGEST = 0.1, 4.0  # seconds that a smaller team works, before a larger one is tried
_FRESH = 0.5  # seconds for which what was seen last is taken to hold


class Turn(NamedTuple):
    """What one thread of a team has done, and what it got of a processor."""

    status: int
    own: float
    began: float
    ended: float


def clocks() -> tuple[Callable[[], float], Callable[[], float]] | None:
    """The clocks of a thread's own time and of time on the wall; None if crowds can't be seen."""
    return None if _own_time is None else (_own_time, time.perf_counter)


def turn(entry: Callable[[], int]) -> Turn:
    """Call a kernel in a worker's thread, into which no interrupt comes."""
    assert _own_time is not None
    began, before = time.perf_counter(), _own_time()
    status = entry()
    return Turn(status, _own_time() - before, began, time.perf_counter())


class Crowd:
    """What is known of a process's processors, for all of its teams.

    Several threads may ask and tell: they see each other's news late at worst.

    Attributes
    ----------
    most : int or None
        Threads of the largest team that was lately not crowded; None for as many as one likes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.most: int | None = None
        self._clock = clock
        self._until = self._told = -1e9  # by the clock
        self._pause = _FIRST
        self._threads = 0  # of the teams whose work is being added up
        self._lost = self._seconds = 0.0

    def how_many(self, threads: int) -> int:
        """How many threads had better be at work, of so many."""
        most = self.most
        if most is None or most >= threads:
            return threads
        return most if self._clock() < self._until else min(threads, 2 * most)

    def within(self, threads: int) -> float:
        """Seconds of work after which `tell` should be heard; infinity for any number."""
        if clocks() is None:
            return float("inf")
        now, most = self._clock(), self.most
        if most is not None and most < threads:
            left = self._until - now
            return _TRIAL if left <= 0.0 else max(_TRIAL, left)
        return _TRIAL if now - self._told > _FRESH else float("inf")

    def tell(self, began: float, turns: list[Turn]) -> None:
        """Add up what threads of one team have got, which were called for at that time."""
        threads = len(turns)
        if threads != self._threads:
            self._threads, self._lost, self._seconds = threads, 0.0, 0.0
        seconds = max(each.ended for each in turns) - began
        # Where one begins late the others wait; where one is interrupted, they do each time.
        self._lost += max(0.0, max(each.began for each in turns) - began - _LATE)
        for each in turns:
            self._lost += max(0.0, each.ended - each.began - each.own - _USUAL * seconds)
        self._seconds += seconds
        if self._seconds < _WINDOW:
            return
        crowded = self._lost > _LOST * self._seconds
        self._lost = self._seconds = 0.0
        now = self._told = self._clock()
        if crowded:
            tried = self.most is not None
            self._pause = min(2 * self._pause, _LONGEST) if tried else _FIRST
            self._until, self.most = now + self._pause, max(1, threads // 2)
        elif self.most is not None and threads > self.most:
            self.most, self._until = threads, now
        elif self.most is None:
            self._pause = _FIRST


#: of this process
CROWD = Crowd()
