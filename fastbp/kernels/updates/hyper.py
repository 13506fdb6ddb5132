"""An optimizer's scalars, and what the driver needs to know of its kernels.

`hyper` holds float64 scalars: constants first (LEARNING_RATE, then the optimizer's own), then 8
values of state as of the last finished update (STATE), then 8 pending ones (PENDING) that `prepare`
computes for the step under way and updates read; the driver makes them the state when the step is
done.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastbp.kernels.compiling import jit

LEARNING_RATE, OWN, STATE, PENDING, HYPER_SIZE = 0, 1, 16, 24, 32


@dataclass(frozen=True)
class UpdateKernel:
    """An optimizer's kernels, the number of its slots, and its state before the first step.

    Slots named in `squares` are never negative; `most` are the greatest values of the state, the
    least being 0.
    """

    kernel: jit.CFunc | None  # None for a solver, whose updates are no kernel's
    slots: int
    prepare: jit.CFunc | None = None
    state: tuple[float, ...] = ()
    outer: jit.CFunc | None = None  # for one sample's gradient, if that is worth while
    squares: tuple[int, ...] = ()
    most: tuple[float, ...] = ()
