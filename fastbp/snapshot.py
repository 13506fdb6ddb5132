"""Weights to go back to when training diverges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels import epoch as kernels

if TYPE_CHECKING:
    from fastbp.engine import Engine

# Floating-point operations of updates between two snapshots: a hundred times what the visit to
# Python takes, at a core's roof; and an update takes at least so many in time.
_WORK, _LEAST = 2e8, 1e4
# Rows between two, for each buffer that is copied: 1 % of the time, at 10 GB/s for a copy.
_ROWS = 2000


class Snapshot:
    """Parameters, optimizer slots and counters as they were after some update, all finite.

    Attributes
    ----------
    interval : int
        Updates from one to the next; by sizes alone, so that an outcome can be repeated.
    """

    def __init__(self, engine: Engine, rows: int) -> None:
        layout = engine.network._layout
        flops = 6.0 * rows * sum(at.n_in * at.n_out for at in layout.layers)
        copied = _ROWS * (1 + len(engine.slots)) / rows
        self.interval = math.ceil(max(_WORK / max(flops, _LEAST), copied))
        self._engine, self.rows = engine, rows
        self._live: list[NDArray[Any]] = [engine.network._parameters, *engine.slots, engine.hyper]
        self._kept = [np.empty_like(a) for a in self._live]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self._kept)

    def take(self) -> bool:
        """Keep what there is; or, if a parameter is not finite, nothing: whether it was kept."""
        parameters = self._live[0]
        check = kernels.count_nonfinite.compiled(self._engine.network.dtype)
        n = self._engine.network._layout.n_updated
        if check(0.0, parameters.ctypes.data, n):
            return False
        for kept, live in zip(self._kept, self._live, strict=True):
            np.copyto(kept, live)
        return True

    def restore(self) -> None:
        """Go back to what was kept last."""
        network = self._engine.network
        with network._gate, network._no_readers:
            for kept, live in zip(self._kept, self._live, strict=True):
                np.copyto(live, kept)
            network._publish()
