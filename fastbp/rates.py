"""A trainer's learning rate as it goes: what the kernels read for each batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import real
from fastbp.kernels import layout as lay
from fastbp.program import Program, aligned_zeros
from fastbp.schedules import ReduceOnPlateau, Schedule, rises

# Updates whose rates are worked out at a time.
_MOST = 1 << 15

_STATE = ("steps", "epochs", "scale", "_best", "_bad", "_cooling")


class Rates:
    """A number or a schedule, and where it stands.

    Attributes
    ----------
    steps, epochs : int
        Updates and epochs before the next.
    scale : float
        What the schedule's rates are multiplied by; the rate where there is none.
    live : ndarray
        Where `scale` and `steps` stand, for compiled code.
    """

    def __init__(self, learning_rate: float | Schedule) -> None:
        self.schedule = learning_rate if isinstance(learning_rate, Schedule) else None
        self.live: NDArray[np.float64] = aligned_zeros(2, np.float64)  # scale, steps
        self.epochs = 0
        self.scale = 1.0 if self.schedule else float(learning_rate)  # type: ignore[arg-type]
        self._by_step = self.schedule is not None and self.schedule._per == "step"
        self._buffer: NDArray[np.float64] = aligned_zeros(_MOST if self._by_step else 1, np.float64)
        self._address = int(self._buffer.ctypes.data)
        self._best = -math.inf if self.monitor and rises(self.monitor) else math.inf
        self._bad = self._cooling = 0

    @property
    def scale(self) -> float:
        return float(self.live[0])

    @scale.setter
    def scale(self, value: float) -> None:
        self.live[0] = value

    @property
    def steps(self) -> int:
        return int(self.live[1])

    @steps.setter
    def steps(self, value: int) -> None:
        self.live[1] = value

    def state(self) -> dict[str, Any]:
        """Where it stands, as plain numbers."""
        return {name: getattr(self, name) for name in _STATE}

    def set_state(self, state: dict[str, Any]) -> None:
        """Stand where another stood."""
        for name in _STATE:
            setattr(self, name, type(getattr(self, name))(state[name]))

    @property
    def nbytes(self) -> int:
        return int(self._buffer.nbytes)

    @property
    def most(self) -> int:
        """Updates that may be run at a time."""
        return len(self._buffer) if self._by_step else 1 << 62

    @property
    def monitor(self) -> str | None:
        """The figure that the schedule looks at."""
        return self.schedule.monitor if isinstance(self.schedule, ReduceOnPlateau) else None

    @property
    def value(self) -> float:
        """The rate of the next update."""
        if self.schedule is None:
            return self.scale
        done = self.steps if self._by_step else self.epochs
        return self.scale * float(self.schedule.rates(done))

    @value.setter
    def value(self, rate: float) -> None:
        rate = real("learning_rate", rate, low=0.0)
        if self.schedule is None:
            self.scale = rate
            return
        now = self.value
        if self.scale == 0.0 or now == 0.0:
            raise ValueError("learning_rate can't be set where the schedule's is 0: it is scaled")
        self.scale *= rate / now

    def give(self, program: Program, first: int, last: int) -> None:
        """Batches `first` ... `last` - 1 are the next updates."""
        t = program.table
        if self._by_step and self.schedule is not None:
            count = last - first
            self._buffer[:count] = self.schedule.rates(np.arange(self.steps, self.steps + count))
            self._buffer[:count] *= self.scale
            t[lay.RATES], t[lay.RATE_STRIDE] = self._address - 8 * first, 1
        else:
            self._buffer[0] = self.value
            t[lay.RATES], t[lay.RATE_STRIDE] = self._address, 0

    def end_epoch(self, figures: dict[str, float]) -> None:
        """Count the epoch; look at its figures where the schedule does."""
        self.epochs += 1
        plan = self.schedule
        if not isinstance(plan, ReduceOnPlateau):
            return
        figure = figures[plan.monitor]
        if (
            figure > self._best * (1.0 + plan.min_delta)
            if rises(plan.monitor)
            else figure < self._best * (1.0 - plan.min_delta)
        ):
            self._best, self._bad = figure, 0
        else:
            self._bad += 1
        if self._cooling > 0:
            self._cooling, self._bad = self._cooling - 1, 0
        if self._bad > plan.patience:
            low = plan.minimum / plan.learning_rate if plan.learning_rate else 0.0
            self.scale = max(self.scale * plan.factor, low)
            self._cooling, self._bad = plan.cooldown, 0
