"""What a fit keeps in case that it diverges, and the error that says so."""

from __future__ import annotations

import math

from fastbp.engine import Engine
from fastbp.history import History
from fastbp.snapshot import EPOCH_SECONDS, EPOCH_SHARE

#: times that a fit halves its rate
MOST_REDUCTIONS = 5
# To go on with half the rate, weights are kept whose epoch's loss was at most so much over the
# lowest before it: others may be on their way to infinity already.
_WORSE = 0.1


class DivergenceError(ArithmeticError):
    """The loss or a weight became infinite or NaN.

    The network is as at the last snapshot, which is finite and at most about an epoch old; or, with
    `EarlyStopping` or `TimeBudget`, has its best weights back. The message says which, and
    ``history.network_epoch`` the epoch.

    Attributes
    ----------
    epoch, batch : int
        Where it was found.
    history : History or None
        Up to the last finished epoch of the `fit`.
    """

    epoch = batch = 0
    history: History | None = None


class Recovery:
    """When the snapshots of one fit are taken.

    Parameters
    ----------
    engine : Engine
        The trainer's.
    rows, batches : int
        Of an update, and of an epoch.
    reduces : bool
        Whether the fit goes on from a snapshot with half the rate: then those of epochs whose loss
        was rising are left out.

    Attributes
    ----------
    snapshot : Snapshot
        The trainer's.
    interval : int
        Updates between two inside an epoch.
    due : float
        Finished epochs at which the next one is taken.
    """

    def __init__(self, engine: Engine, rows: int, batches: int, reduces: bool) -> None:
        self.snapshot, self.reduces = engine.snapshot, reduces
        self.interval = self.snapshot.interval(rows)
        self.due = 0.0
        self._waits = self.snapshot.waits(rows, batches, EPOCH_SECONDS, EPOCH_SHARE)
        self._network, self._rates = engine.network, engine.rates
        self._lowest = math.inf  # loss of an epoch
        self._rising = True  # whether the last one's was well over those before, or was the first

    def take(self, epochs: int, batches: int) -> bool:
        """Take one now, after so many epochs and batches; whether all weights are finite."""
        whole = self.snapshot.take((epochs, batches))
        most, share = self._waits
        self.due = epochs + max(1, min(most, share * self._rates.steps))
        return whole

    def secure(self, epochs: int, batches: int) -> bool:
        """Keep weights that somebody has set, or an epoch's; whether they are finite."""
        if self.snapshot.seen != self._network._version:
            self._lowest, self._rising = math.inf, True  # of other weights
        elif self.reduces and self._rising:
            return True
        return self.take(epochs, batches)

    def judge(self, loss: float) -> None:
        """Look at an epoch's loss: whether the fit is on its way up."""
        lowest = self._lowest
        self._rising = lowest == math.inf or not loss - lowest <= _WORSE * abs(lowest)
        self._lowest = min(lowest, loss)
