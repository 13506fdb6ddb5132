"""Weights to go back to when training diverges, and when a fit keeps some."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.maths.finite import count_nonfinite
from fastbp.kernels.updates import snapshot as kernels
from fastbp.runtime.memory import aligned_zeros
from fastbp.runtime.parameters import Parameters
from fastbp.training.rates import Rates

# Floating-point operations of updates between two snapshots: a hundred times what the visit to
# Python takes, at a core's roof; and an update takes at least so many in time.
_WORK, _LEAST = 2e8, 1e4
# Rows between two, for each buffer that is copied: 1 % of the time, at 10 GB/s for a copy.
_ROWS = 2000
# The same in seconds, for the end of an epoch, where Python is in charge anyway.
_FLOPS_PER_SECOND = 1e11
_SMALL, _BYTES_PER_SECOND, _FAST = 1 << 20, 1e10, 3e10  # small ones stay in cache
_CALL_SECONDS = 6e-7
#: what an epoch, and a `step`, takes beside its updates
EPOCH_SECONDS, STEP_SECONDS = 1e-5, 2e-5
#: of the time spent: what snapshots may cost, and what may be lost, of epochs and of single steps
EPOCH_SHARE, STEP_SHARE = 0.02, 0.05
# Soon after the start, when a fiftieth is little, one may take this share of a visit, or so long.
_DEAR, _DEAR_SECONDS = 0.05, 1e-6

#: times that a fit halves its rate
MOST_REDUCTIONS = 5
# The last batch of an epoch may have so many times its loss, where weights are to be gone on with.
_LAST = 1.0

Place = tuple[int, int]


def told(place: Place) -> str:
    """In words, where in a trainer's life something was: finished epochs, batches of the next."""
    epochs, batches = place
    if batches:
        return f"in epoch {epochs}, after {batches} of its batches"
    if epochs:
        return f"at the end of epoch {epochs - 1}"
    return "before its first epoch"


class Snapshot:
    """Parameters, optimizer slots and counters as they were after some update, all finite.

    Parameters
    ----------
    parameters : Parameters
        What is kept, and looked at for values that are not finite.
    beside : sequence of ndarray
        What an update changes beside them, aligned: kept as well.

    Attributes
    ----------
    place : (int, int)
        Where the last one was taken: finished epochs, batches of the next.
    since : float
        Updates since then.
    seen : int
        The parameters' version when they were last taken, or worked on by this trainer. Where the
        network has another one, somebody else has set the weights.
    """

    def __init__(self, parameters: Parameters, beside: Sequence[NDArray[Any]]) -> None:
        layout = parameters.layout
        self.place: Place = (0, 0)
        self.since, self.seen = 0.0, -1
        self._parameters = parameters
        self._flops = 6.0 * sum(at.n_in * at.n_out for at in layout.layers)
        self._live: list[NDArray[Any]] = [parameters.buffer, *beside]
        self._kept = [aligned_zeros(a.size, a.dtype) for a in self._live]
        speed = _FAST if self.nbytes < _SMALL else _BYTES_PER_SECOND
        self._copy_seconds = _CALL_SECONDS + self.nbytes / speed
        pairs = zip(self._live, self._kept, strict=True)
        buffers = [(a.ctypes.data, b.ctypes.data, a.nbytes // 8) for a, b in pairs]
        self._checked = parameters.buffer.ctypes.data, layout.n_updated
        # A record COPIES, then the records COPY.
        table = [*self._checked, len(buffers), *(cell for buffer in buffers for cell in buffer)]
        self._table = np.array(table, np.int64)
        self._address = int(self._table.ctypes.data)
        self._keep = kernels.keep.compiled(parameters.dtype)
        self._count = count_nonfinite.compiled(parameters.dtype)

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self._kept)

    def interval(self, rows: int) -> int:
        """Updates by `rows` rows from one to the next within an epoch.

        By sizes alone, so that an outcome can be repeated.
        """
        copied = _ROWS * (len(self._live) - 1) / rows
        return math.ceil(max(_WORK / max(rows * self._flops, _LEAST), copied))

    def waits(self, rows: int, updates: int, seconds: float, at_most: float) -> tuple[int, float]:
        """After how many of Python's visits, epochs or steps, the next one is due.

        By sizes and counts alone: so that no more is lost than what lies between two visits, or in
        the long run a fiftieth of all, or what takes as long as copies may take together.

        Parameters
        ----------
        rows : int
            Of an update.
        updates : int
            Of a visit.
        seconds : float
            That a visit takes beside its updates.
        at_most : float
            The share of the time that all snapshots together may take.

        Returns
        -------
        most : int
            After so many in any case.
        share : float
            And after this times the updates in the trainer's life.
        """
        each = updates * max(rows * self._flops, _LEAST) / _FLOPS_PER_SECOND + seconds
        most = max(1, math.ceil(self._copy_seconds / (at_most * each)))
        cheap = self._copy_seconds <= max(_DEAR * each, _DEAR_SECONDS)
        return most, EPOCH_SHARE / updates if cheap else math.inf

    def take(self, place: Place) -> bool:
        """Keep what there is; or, if a parameter is not finite, nothing: whether it was kept."""
        seen = self._parameters.version
        if self._keep(0.0, self._address):
            return False
        self.place, self.since, self.seen = place, 0.0, seen
        return True

    def finite(self) -> bool:
        """Whether all parameters are."""
        return not self._count(0.0, *self._checked)

    def copies(self) -> tuple[Place, list[NDArray[Any]]]:
        """What was kept last, for `put_back`."""
        return self.place, [kept.copy() for kept in self._kept]

    def put_back(self, copies: tuple[Place, list[NDArray[Any]]]) -> None:
        """Have what was kept earlier in place of what was kept last."""
        self.place, arrays = copies
        for kept, array in zip(self._kept, arrays, strict=True):
            np.copyto(kept, array)

    def restore(self) -> None:
        """Go back to what was kept last."""
        self._parameters.change(self._copy_back)
        self.since, self.seen = 0.0, self._parameters.version

    def _copy_back(self) -> None:
        for kept, live in zip(self._kept, self._live, strict=True):
            np.copyto(live, kept)


class Recovery:
    """When the snapshots of one fit are taken.

    Parameters
    ----------
    parameters : Parameters
        What is trained.
    snapshot : Snapshot
        The trainer's.
    rates : Rates
        The trainer's, which count the updates.
    rows, batches : int
        Of an update, and of an epoch.
    reduces : bool
        Whether the fit goes on from a snapshot with half the rate. Then only those of epochs are
        taken whose loss was the lowest of all, that of the first batch among them: others may be on
        their way to infinity already.

    Attributes
    ----------
    interval : int
        Updates between two inside an epoch.
    due : float
        Finished epochs at which the next one is taken.
    lowest : float
        The lowest loss, of an epoch or the first batch; infinite before there is one.
    rising : bool
        Whether the last epoch was none to go on from.
    """

    def __init__(
        self,
        parameters: Parameters,
        snapshot: Snapshot,
        rates: Rates,
        rows: int,
        batches: int,
        reduces: bool,
    ) -> None:
        self._parameters, self.snapshot, self._rates = parameters, snapshot, rates
        self.reduces = reduces
        self.interval = self.snapshot.interval(rows)
        self.due = 0.0
        self._waits = self.snapshot.waits(rows, batches, EPOCH_SECONDS, EPOCH_SHARE)
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

    def judged(self, loss: float, last: float) -> tuple[float, bool]:
        """`lowest` and `rising` after an epoch with this loss, and that of its last batch."""
        low = loss <= self.lowest and last - loss <= (_LAST - 1.0) * abs(loss)
        return min(self.lowest, loss), not low
