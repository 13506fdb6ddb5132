"""Levenberg-Marquardt: Gauss-Newton steps, damped until the error falls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastbp.checks import real
from fastbp.data.inputs import Samples
from fastbp.data.weighing import Weighing
from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.target import TILE_VECTORS, lanes
from fastbp.kernels.maths.matmul import tiles
from fastbp.kernels.solvers import cholesky, jacobian
from fastbp.layers.dense import is_trained, shapes
from fastbp.objectives.losses import MSE, HalfSquaredError, Loss
from fastbp.optimizers import LevenbergMarquardt
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.plan import Plan
from fastbp.runtime.program import Program
from fastbp.runtime.team import resolve_threads
from fastbp.training.engine import Engine
from fastbp.training.solvers.driver import BadSamplesError, Driver
from fastbp.training.status import STOPPED

# Rows of the Jacobian in a block: long sums for the register tiles, and strips that stay in L1.
_ROWS = 256
# Floating-point operations of one block at most, unless a sample's outputs alone take more ...
_FLOPS_PER_BLOCK = 4.0e9
# ... and between two moments at which Ctrl-C is heard, about.
_FLOPS_PER_CALL = 2.0e9
# What kernels/solvers/jacobian.py is told of a layer's `trainable`.
_TRAINED: dict[bool | str, int] = {
    False: 0,
    "weights": jacobian.WEIGHTS,
    "biases": jacobian.BIASES,
    True: jacobian.WEIGHTS | jacobian.BIASES,
}
# Between these the damping stays: below, J'J's own rounding errors are larger; above, no float64
# parameter moves.
_LEAST_DAMPING, _GREATEST_DAMPING = 1e-12, 1e20


class LevenbergMarquardtDriver(Driver):
    """Iterations of Levenberg-Marquardt; the damping is kept from one `begin` to the next."""

    _KEPT = ("_damping",)

    def __init__(self, engine: Engine, settings: LevenbergMarquardt, loss: Loss) -> None:
        if not isinstance(loss, (MSE, HalfSquaredError)):
            raise ValueError(
                "LevenbergMarquardt takes loss 'mse' or 'half_squared_error', which are sums of "
                f"squares, got {loss.name!r}"
            )
        n, outputs = _trained(engine.parameters), engine.parameters.n_outputs
        width = TILE_VECTORS * lanes(8)
        strips = n // width + 1  # with the residuals behind the parameters
        rows = min(_ROWS, int(_FLOPS_PER_BLOCK) // n**2) // outputs * outputs or outputs
        entries = strips * (strips + 1) // 2 * width**2
        ld = lay.row_stride(strips * width + lanes(8), 8)  # and what is written too far
        needed = 8 * (2 * entries + rows * ld)
        if needed > settings.memory_limit:
            raise ValueError(
                f"LevenbergMarquardt needs {needed:,} bytes for the matrices of {n:,} parameters, "
                f"and memory_limit is {settings.memory_limit:,}; fastbp.LBFGS needs far less"
            )
        super().__init__(engine)
        self.settings = settings
        self._damping = settings.damping
        # The loss is so many times the sum of squared residuals over B w̄.
        self._factor = 1.0 / outputs if isinstance(loss, MSE) else 0.5
        self._flops = float(rows) * (strips * width) ** 2  # of a block
        self._blocks_per_call = max(1, int(_FLOPS_PER_CALL / self._flops))
        self._factor_calls = _calls(strips, width, -(-n // width))
        self._jacobian = self.buffer(rows * ld, np.float64)
        self._products = self.buffer(entries, np.float64)
        self._factored = self.buffer(entries, np.float64)
        self._zeros = self.buffer(width, np.float64)
        self._shift, self._scale = self.buffer(1, np.float64), self.buffer(1, np.float64)
        self._trained = self.buffer(len(engine.parameters.layers), np.int64)
        self._trained[:] = [_TRAINED[layer.trainable] for layer in engine.parameters.layers]
        self._gradient = self.vector()
        self._own = self.buffer(jacobian.SIZE, np.int64)
        for field, value in (
            (jacobian.P, n),
            (jacobian.STRIPS, strips),
            (jacobian.WIDTH, width),
            (jacobian.SAMPLES, rows // outputs),
            (jacobian.LD, ld),
            (jacobian.J, self.address(self._jacobian)),
            (jacobian.PRODUCTS, self.address(self._products)),
            (jacobian.FACTOR, self.address(self._factored)),
            (jacobian.ZEROS, self.address(self._zeros)),
            (jacobian.TRAINED, self.address(self._trained)),
            (jacobian.TILES, tiles.address("float64")),
        ):
            self._own[field] = value
        self._loss: tuple[float, float] | None = None  # without penalties, and with
        self._forward: Program | None = None
        self._builder: Program | None = None

    def check_state(self, state: Any) -> None:
        """Raise TypeError or ValueError for what `set_state` can't take."""
        super().check_state(state)
        real("its solver's damping", state["_damping"], low=0.0, low_open=True)

    def _set_samples(self, samples: Samples, weighing: Weighing | None) -> None:
        n = samples[0].n
        flops = self.engine.flops(n) / 3.0
        self._forward = self.program(lay.MODE_EVALUATE, n, lay.EVALUATION_SLABS, flops)
        self._forward.set_samples(*samples, weighing=weighing)
        rows = int(self._own[jacobian.SAMPLES])
        plan = Plan(0, rows, rows)
        threads = resolve_threads(self.engine.settings.n_threads, self._flops)
        self._builder = self.engine.program(
            "jacobian", lay.MODE_EVALUATE, plan, threads, trained=True
        )
        self._builder.set_samples(*samples, weighing=weighing)
        self._blocks = -(-n // rows)

    def _forget_point(self) -> None:
        self._loss = None

    def _build(self, unit: float = 1.0) -> None:
        """J'J and J'r at the network's point, with what penalties add where E has unit Σ r².

        As if (half of l2 / unit)^½ W were residuals too.
        """
        assert self._builder is not None
        self._builder.set_parameters(self._trial)
        for first in range(0, self._blocks, self._blocks_per_call):
            last = min(self._blocks, first + self._blocks_per_call)
            status = self._by_team(jacobian.normal_equations, first, last)
            if status != lay.OK:
                raise BadSamplesError(status)
        if self.penalties is not None:
            self._scale[0] = 1.0 / unit
            self.call(cholesky.penalise, self._own, self.penalties, self.x, self._scale)
        self.call(cholesky.read_gradient, self._own, self._gradient)

    def _solve(self, shift: float) -> bool:
        """The direction (J'J + shift I)⁻¹ (-J'r); whether there is one."""
        self._shift[0] = shift
        self.call(cholesky.damp, self._own, self._shift)
        for first, last in self._factor_calls:
            self._by_team(cholesky.factor, first, last)
        if self._own[jacobian.FAILED]:
            return False
        self.call(cholesky.back_substitute, self._own, self.direction)
        return True

    def _by_team(self, entry: jit.Entry, first: int, last: int) -> int:
        assert self._builder is not None
        return self._builder.enter(entry, self.address(self._own), first, last)

    def _iterate(self) -> tuple[int, float]:
        assert self._forward is not None
        settings = self.settings
        self.rest()
        if self._loss is None:
            self._loss = self._evaluated()
        reported, loss = self._loss
        if not math.isfinite(loss):
            return lay.NONFINITE_LOSS, loss
        weight = float(self._forward.results[lay.R_LAST_DIVISOR])
        unit = self._factor / weight  # E = unit Σ r², and penalties
        self._build(unit)
        _, largest, total = self.assess(self._gradient, self.direction)
        if not math.isfinite(total):
            return lay.NONFINITE_LOSS, total
        if 2.0 * unit * largest <= settings.tolerance_gradient:
            self.stop(f"no component of the gradient is above {settings.tolerance_gradient}")
            return STOPPED, reported
        damping, growth = self._damping, settings.increase
        while damping <= _GREATEST_DAMPING:
            if self._solve(damping * weight):
                slope, _, _ = self.assess(self._gradient, self.direction)
                square, _, _ = self.assess(self.direction, self.direction)
                self.move(1.0)
                new = self._evaluated()
                if new[1] < loss:
                    predicted = unit * (damping * weight * square - slope)
                    self._damping = self._less(damping, (loss - new[1]) / predicted)
                    self._take(loss, new)
                    return lay.OK, reported
            damping *= growth
            growth *= 2.0
        self.stop("no step lowers the loss, however damped")
        return STOPPED, reported

    def _evaluated(self) -> tuple[float, float]:
        """The loss at the trial point, without penalties and with them."""
        assert self._forward is not None
        loss = self.evaluate(self._forward)
        return loss, self.penalised(loss)

    def _less(self, damping: float, ratio: float) -> float:
        """The next damping after a good step (Nielsen 1999, equation 2.5)."""
        factor = max(1.0 / self.settings.decrease, 1.0 - (2.0 * ratio - 1.0) ** 3)
        return max(damping * factor, _LEAST_DAMPING)

    def _take(self, loss: float, new: tuple[float, float]) -> None:
        """Go to the trial point, whose losses are `new`."""
        if not self.accept():
            return
        self.collect(self._trial, self.x)
        self._loss = new
        if loss - new[1] <= self.settings.tolerance_change * loss:
            self.stop(f"the loss fell by less than {self.settings.tolerance_change} of itself")


def _trained(parameters: Parameters) -> int:
    """How many parameters are trained."""
    layers = parameters.layers
    arrays = shapes(parameters.n_inputs, layers)
    return sum(int(np.prod(shape)) for name, shape in arrays if is_trained(name, layers))


def _calls(strips: int, width: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of the factor's rows of tiles, none of many more flops than a call should have."""
    ranges, first, flops = [], 0, 0.0
    for i in range(rows):
        flops += 2.0 * (strips - i) * width * width * (i + 1) * width
        if flops >= _FLOPS_PER_CALL or i == rows - 1:
            ranges.append((first, i + 1))
            first, flops = i + 1, 0.0
    return ranges
