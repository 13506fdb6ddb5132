"""A trainer's learning rate as it goes: what the kernels read for each update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastbp.callbacks.nan_watch import NaNWatch
from fastbp.checks import integer, real
from fastbp.files.container import check_keys
from fastbp.kernels.updates.hyper import SCALE, STEPS
from fastbp.objectives.metrics import rises
from fastbp.optimizers.schedules import ReduceOnPlateau, Schedule
from fastbp.runtime.memory import aligned_zeros

# Updates whose rates are worked out at a time.
_MOST = 1 << 15

Plateau: TypeAlias = tuple[float, int, int]


class Rates:
    """A number or a schedule, and where it stands.

    Attributes
    ----------
    steps, epochs : int
        Updates and epochs before the next: what schedules go by.
    passes : int
        How often fits have gone through their samples: what shuffling goes by, and the numbers that
        epochs have in the history. It differs from `epochs` where a person ends epochs.
    scale : float
        What the schedule's rates are multiplied by; the rate where there is none.
    by_step : bool
        Whether each update has a rate of its own.
    buffer : ndarray
        What `write` has worked out: one rate, or where each has its own those of `most` updates.
    live : ndarray
        Where `scale` and `steps` stand, for compiled code.
    plateau : tuple
        The best figure, the epochs since, and those of cooling down that are left.
    """

    def __init__(self, learning_rate: float | Schedule) -> None:
        self.schedule = learning_rate if isinstance(learning_rate, Schedule) else None
        self.live: NDArray[np.float64] = aligned_zeros(2, np.float64)  # scale, steps
        self.cells: Any = memoryview(self.live.data)  # the same, quicker for single values
        self.epochs = self.passes = 0
        self.scale = 1.0 if self.schedule else float(learning_rate)  # type: ignore[arg-type]
        self.by_step = self.schedule is not None and self.schedule._per == "step"
        size = _MOST if self.by_step else 1
        self.buffer: NDArray[np.float64] = aligned_zeros(size, np.float64)
        best = -math.inf if self.monitor and rises(self.monitor) else math.inf
        self.plateau: Plateau = best, 0, 0
        self._watch: NaNWatch | None = None

    @property
    def scale(self) -> float:
        return float(self.cells[SCALE])

    @scale.setter
    def scale(self, value: float) -> None:
        self.cells[SCALE] = value

    @property
    def steps(self) -> int:
        return int(self.cells[STEPS])

    @steps.setter
    def steps(self, value: int) -> None:
        self.cells[STEPS] = value

    def state(self) -> dict[str, Any]:
        """Where it stands, as plain numbers."""
        best, bad, cooling = self.plateau
        return {
            "steps": self.steps, "epochs": self.epochs, "scale": self.scale,
            "_best": best, "_bad": bad, "_cooling": cooling,
        }  # fmt: skip

    def check_state(self, state: Any) -> None:
        """Raise TypeError or ValueError for what `set_state` can't take."""
        check_keys("its rates", state, set(self.state()))
        for name in ("steps", "epochs", "_bad", "_cooling"):
            integer(f"its rates' {name.strip('_')}", state[name], minimum=0, maximum=2**53)
        real("its rates' scale", state["scale"], low=0.0)
        best = state["_best"]
        if type(best) is not float or math.isnan(best):
            raise ValueError(f"its rates' best must be a float and no NaN, got {best!r}")

    def set_state(self, state: dict[str, Any]) -> None:
        """Stand where another stood."""
        self.steps, self.epochs = int(state["steps"]), int(state["epochs"])
        self.scale = float(state["scale"])
        self.plateau = float(state["_best"]), int(state["_bad"]), int(state["_cooling"])

    @property
    def nbytes(self) -> int:
        return int(self.buffer.nbytes)

    @property
    def most(self) -> int:
        """Updates that may be run at a time."""
        return len(self.buffer) if self.by_step else 1 << 62

    @property
    def monitor(self) -> str | None:
        """The figure that the schedule looks at."""
        return self.schedule.monitor if isinstance(self.schedule, ReduceOnPlateau) else None

    @property
    def value(self) -> float:
        """The rate of the next update."""
        if self.schedule is None:
            return self.scale
        done = self.steps if self.by_step else self.epochs
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

    def write(self, count: int) -> None:
        """Work out the rates of at most so many updates, which the next call makes."""
        if self.by_step and self.schedule is not None:
            self.buffer[:count] = self.schedule.rates(np.arange(self.steps, self.steps + count))
            self.buffer[:count] *= self.scale
        else:
            self.buffer[0] = self.value

    def begin(self) -> None:
        """A `fit` that counts its epochs begins, or the first epoch that a person ends."""
        if isinstance(self.schedule, ReduceOnPlateau):
            name, patience = type(self.schedule).__name__, self.schedule.patience
            self._watch = NaNWatch(name, self.schedule.monitor, patience)

    @property
    def watches(self) -> bool:
        """Whether somebody is to be warned of NaN, or nobody has to be."""
        return self._watch is not None or self.monitor is None

    def watch(self, figures: Mapping[str, float]) -> None:
        """Warn where the figure that the schedule looks at is NaN again and again."""
        if self._watch is not None:
            self._watch.see(figures[self._watch.monitor])

    def after_epoch(self, figures: Mapping[str, float]) -> tuple[Plateau, float]:
        """`plateau` and `scale` after an epoch with these figures, where the schedule looks."""
        plan, scale = self.schedule, self.scale
        best, bad, cooling = self.plateau
        if not isinstance(plan, ReduceOnPlateau):
            return self.plateau, scale
        figure = figures[plan.monitor]
        sign = 1.0 if rises(plan.monitor) else -1.0
        # best + sign |best| min_delta, which has to be passed; any figure passes an infinite one
        bar = best
        if math.isfinite(best):
            bar = best * (1.0 + sign * math.copysign(plan.min_delta, best))
        if sign * figure > sign * bar:
            best, bad = figure, 0
        else:
            bad += 1
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > plan.patience:
            low = plan.minimum / plan.learning_rate if plan.learning_rate else 0.0
            scale = max(scale * plan.factor, low)
            cooling, bad = plan.cooldown, 0
        return (best, bad, cooling), scale
