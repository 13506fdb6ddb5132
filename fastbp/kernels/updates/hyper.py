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


def places(*constants: str) -> range:
    """The places in `hyper` of an optimizer's own constants, from OWN on.

    There is one place for each name; name both of a pair.
    """
    return range(OWN, OWN + len(constants))


#: a trainer's rate as it goes: what the schedule's rates are multiplied by, or the rate; updates
SCALE, STEPS = range(2)


@dataclass(frozen=True)
class UpdateKernel:
    """An optimizer's kernels, what they are given and keep, and their state before the first step.

    Attributes
    ----------
    kernel : CFunc or None
        The update; None for a solver, whose updates are no kernel's.
    slots : int
        Buffers of the parameters' size that it keeps.
    constants : tuple of str
        The optimizer's settings that it reads, from OWN on; a pair takes two places.
    prepare : CFunc or None
        What is called once a step before any update.
    state : tuple of float
        The state before the first step.
    outer : CFunc or None
        The update by one sample's gradient, if that is worth while.
    nonnegative_slots : tuple of int
        Slots whose values are never below 0, running squares for one.
    greatest_state : tuple of float
        The greatest values of the state; the least are 0.
    """

    kernel: jit.CFunc | None
    slots: int
    constants: tuple[str, ...] = ()
    prepare: jit.CFunc | None = None
    state: tuple[float, ...] = ()
    outer: jit.CFunc | None = None
    nonnegative_slots: tuple[int, ...] = ()
    greatest_state: tuple[float, ...] = ()
