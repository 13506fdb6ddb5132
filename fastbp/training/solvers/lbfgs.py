"""L-BFGS: limited-memory BFGS with a strong-Wolfe line search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastbp.checks import integer
from fastbp.data.inputs import Samples
from fastbp.data.weighing import Weighing
from fastbp.kernels import layout as lay
from fastbp.kernels.solvers import points, quasi_newton
from fastbp.optimizers import LBFGS
from fastbp.runtime.program import Program
from fastbp.training.engine import Engine
from fastbp.training.solvers.driver import Driver, Vector
from fastbp.training.solvers.line_search import Trial, strong_wolfe
from fastbp.training.status import STOPPED

_EPSILON = float(np.finfo(np.float64).eps)


class LBFGSDriver(Driver):
    """Iterations of L-BFGS; pairs of changes are kept from one `begin` to the next."""

    _KEPT = ("_s", "_y", "_pairs", "_newest", "_count")

    def __init__(self, engine: Engine, settings: LBFGS) -> None:
        super().__init__(engine)
        self.settings = settings
        size = settings.history * (1 + self.n)
        self._s, self._y = self.buffer(size, np.float64), self.buffer(size, np.float64)
        # s'y of every pair, then y'y of every pair, then the recursion's own values.
        self._pairs: Vector = self.buffer(3 * settings.history, np.float64)
        self._newest, self._count = -1, 0
        self._x_new = self.point()
        # The start's, two ends of a bracket, and the one being evaluated.
        self._gradients = [self.vector() for _ in range(4)]
        self._program: Program | None = None
        self._start: Trial | None = None
        self._largest = self._total = 0.0

    def check_state(self, state: Any) -> None:
        """Raise TypeError or ValueError for what `set_state` can't take."""
        super().check_state(state)
        history, newest, count = self.settings.history, state["_newest"], state["_count"]
        integer("its solver's count", count, minimum=0, maximum=history)
        integer("its solver's newest", newest, minimum=min(count, 1) - 1, maximum=history - 1)
        kept = [(newest - back) % history for back in range(count)]
        for name in ("_s", "_y"):
            pairs = state[name].reshape(history, 1 + self.n)[kept]
            # The first value stands for padding.
            if not np.isfinite(pairs).all() or pairs[:, 0].any():
                raise ValueError(
                    f"its solver's {name.strip('_')} must be finite, and 0 at the front"
                )
        products = state["_pairs"].reshape(3, history)[:2, kept]
        if not (np.isfinite(products) & (products > 0.0)).all():
            raise ValueError("its solver's pairs must be finite and above 0")

    def _set_samples(self, samples: Samples, weighing: Weighing | None) -> None:
        rows = samples[0].n
        flops = self.engine.flops(rows)
        self._program = self.program(lay.MODE_GRADIENTS, rows, lay.TRAINING_SLABS, flops)
        self._program.set_samples(*samples, weighing=weighing)

    def _forget_point(self) -> None:
        self._start = None

    def _try(self, step: float, kept: tuple[Trial, ...]) -> Trial:
        """The loss, slope and gradient after a step, in a gradient's buffer that isn't kept.

        Slope and gradient have the penalties in them: the program adds those.
        """
        assert self._program is not None
        self.move(step)
        reported = self.evaluate(self._program)
        loss = self.penalised(reported)
        gradient = next(
            g for g in self._gradients if not any(g is trial.gradient for trial in kept)
        )
        self.collect(self._program.gradients[0], gradient)
        slope, self._largest, self._total = self.assess(gradient, self.direction)
        if not math.isfinite(loss + slope + self._total):
            return Trial(step, math.inf, math.nan, gradient, reported)
        return Trial(step, loss, slope, gradient, reported)

    def point_along(self, gradient: Vector) -> None:
        """The direction of the history at that gradient."""
        self.call(
            quasi_newton.direction, gradient, self.direction, self._s, self._y, self._pairs,
            1 + self.n, self.settings.history, self._newest, self._count,
        )  # fmt: skip

    def _search(self, start: Trial) -> Trial:
        """Along the history's direction; where that has no lower loss, along the gradient."""
        rate, settings = self.engine.rates.value, self.settings
        while True:
            self.point_along(start.gradient)
            slope, _, total = self.assess(start.gradient, self.direction)
            if slope < 0:
                first = rate if self._count else min(1.0, 1.0 / total) * rate
                start = start._replace(slope=slope)
                found = strong_wolfe(self._try, start, first, settings.max_line_search)
                if found.step > 0:
                    return found
            if not self._count:
                return start
            self._count = 0

    def _iterate(self) -> tuple[int, float]:
        if self._start is None:
            self.direction[: 1 + self.n] = 0.0
            self._start = self._try(0.0, ())
        start = self._start
        if not math.isfinite(start.loss):  # or a penalty, or the gradient, where that of data is
            return lay.NONFINITE_LOSS, (
                start.loss if math.isfinite(start.reported) else start.reported
            )
        if self._largest <= self.settings.tolerance_gradient:
            self.stop(f"no component of the gradient is above {self.settings.tolerance_gradient}")
            return STOPPED, start.reported
        if self.engine.rates.value == 0.0:
            self.stop("learning_rate is 0")
            return STOPPED, start.reported
        found = self._search(start)
        if found.step == 0:
            self.stop("no lower loss was found along the gradient")
            return STOPPED, start.reported
        self.move(found.step)
        if not self.accept():
            return lay.OK, start.reported
        self._remember(start, found)
        if start.loss - found.loss <= self.settings.tolerance_change * abs(start.loss):
            self.stop(f"the loss fell by less than {self.settings.tolerance_change} of itself")
        return lay.OK, start.reported

    def _remember(self, start: Trial, found: Trial) -> None:
        """Go to the trial point; keep the pair if the loss curves upwards along it."""
        self.collect(self._trial, self._x_new)
        history, n = self.settings.history, 1 + self.n
        newest = (self._newest + 1) % history
        s, y = (self.address(ring) + 8 * newest * n for ring in (self._s, self._y))
        self.call(
            quasi_newton.remember, self.x, self._x_new, start.gradient, found.gradient, s, y, n,
            self.sums,
        )  # fmt: skip
        curvature, length = self.sums[points.CURVATURE], self.sums[points.LENGTH]
        if curvature > _EPSILON * length:
            self._pairs[newest], self._pairs[history + newest] = curvature, length
            self._newest, self._count = newest, min(history, self._count + 1)
        else:  # it stands where the oldest one of a full ring was
            self._count = min(history - 1, self._count)
        self.x, self._x_new = self._x_new, self.x
        _, self._largest, self._total = self.assess(found.gradient, self.direction)
        self._start = found._replace(step=0.0)
