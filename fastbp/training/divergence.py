"""When a fit takes the snapshots that it goes back to where it diverges."""

from __future__ import annotations

import math
from typing import Any

from fastbp.training.engine import Engine
from fastbp.training.snapshot import EPOCH_SECONDS, EPOCH_SHARE

#: times that a fit halves its rate
MOST_REDUCTIONS = 5
# The last batch of an epoch may have so many times its loss, where weights are to be gone on with.
_LAST = 1.0


class Recovery:
    """When the snapshots of one fit are taken.

    Parameters
    ----------
    engine : Engine
        The trainer's.
    rows, batches : int
        Of an update, and of an epoch.
    reduces : bool
        Whether the fit goes on from a snapshot with half the rate. Then only those of epochs are
        taken whose loss was the lowest of all, that of the first batch among them: others may be on
        their way to infinity already.

    Attributes
    ----------
    snapshot : Snapshot
        The trainer's.
    interval : int
        Updates between two inside an epoch.
    due : float
        Finished epochs at which the next one is taken.
    lowest : float
        The lowest loss, of an epoch or the first batch; infinite before there is one.
    rising : bool
        Whether the last epoch was none to go on from.
    """

    def __init__(self, engine: Engine, rows: int, batches: int, reduces: bool) -> None:
        self.snapshot, self.reduces = engine.snapshot, reduces
        self.interval = self.snapshot.interval(rows)
        self.due = 0.0
        self._waits = self.snapshot.waits(rows, batches, EPOCH_SECONDS, EPOCH_SHARE)
        self._parameters, self._rates = engine.parameters, engine.rates
        self.lowest, self.rising = math.inf, True
        self._start: Any = None  # what the fit began with, where it may have to go back so far
        self._gone_back = False  # to the last one taken

    def take(self, epochs: int, batches: int, first: bool = False) -> bool:
        """Take one now, after so many epochs and batches; whether all weights are finite.

        `first` says that this is where the fit begins, or will begin when it is resumed.
        """
        whole = self.snapshot.take((epochs, batches))
        if self.reduces and first:
            self._start = self.snapshot.copies()
        self._gone_back = False
        most, share = self._waits
        self.due = epochs + max(1, min(most, share * self._rates.steps))
        return whole

    def go_back(self) -> None:
        """Restore the last snapshot; or, where the same has led to divergence again, the first.

        Momentum may be past saving when weights and losses are still finite.
        """
        if self._gone_back:
            self.snapshot.put_back(self._start)
        self._gone_back = self._start is not None
        self.snapshot.restore()

    def secure(self, epochs: int, batches: int) -> bool:
        """Keep weights that somebody has set, or an epoch's; whether they are finite."""
        if not self._parameters.unchanged_since(self.snapshot.seen):
            self.lowest, self.rising = math.inf, True  # of other weights
        elif self.reduces and self.rising:
            return True
        return self.take(epochs, batches)

    def judge(self, loss: float, last: float) -> None:
        """Look at an epoch's loss, and that of its last batch."""
        low = loss <= self.lowest and last - loss <= (_LAST - 1.0) * abs(loss)
        self.rising = not low
        self.lowest = min(self.lowest, loss)
