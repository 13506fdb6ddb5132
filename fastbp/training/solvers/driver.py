"""What solvers share: the parameters as one vector, trial points, the iterate that others see."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.checks import integer, real
from fastbp.data.inputs import Samples
from fastbp.data.weighing import Weighing
from fastbp.files.container import check_keys
from fastbp.kernels import layout as lay
from fastbp.kernels.solvers import points
from fastbp.layers.dense import is_trained, shapes
from fastbp.runtime.memory import aligned_zeros
from fastbp.runtime.plan import Plan
from fastbp.runtime.program import Program
from fastbp.runtime.team import resolve_threads
from fastbp.training.engine import Engine
from fastbp.training.snapshot import Recovery
from fastbp.training.status import STOPPED, check

Array = NDArray[Any]
Vector = NDArray[np.float64]


class BadSamplesError(Exception):
    """A memory map holds what is no sample; its status is the argument."""


class Driver:
    """One iteration at a time over all samples.

    Trial points are evaluated in a parameter buffer of the driver's own: the network's holds the
    last finished iterate at any time. What a driver lowers is the loss with the layers' penalties,
    by the parameters that are trained; what it reports is the loss alone.

    Attributes
    ----------
    n : int
        Parameters that are trained: the first values of a point, behind its 0.
    penalties : ndarray or None
        Of each of these half its layer's `l2`, 0 for biases; None where there are none.
    results : ndarray
        The last iteration's figures, where a program's results hold those of an epoch.
    n_samples, n_batches, batch_size, in_epoch, batches, recovery
        As of `Work` (training/batches.py): an epoch is one iteration over all samples, in whose
        middle nobody stops, and which goes back by itself where it would diverge.
    stopped : str or None
        Why the last `iterate` has been the last one.
    evaluations : int
        Of the loss over all samples, since the beginning.
    """

    _KEPT: tuple[str, ...] = ()
    n_batches, batches = 1, 0
    recovery: Recovery | None = None

    def __init__(self, engine: Engine) -> None:
        self.engine, self.parameters = engine, engine.parameters
        parameters, layout = self.parameters, self.parameters.layout
        self.dtype = parameters.dtype
        arrays = shapes(parameters.n_inputs, parameters.layers)
        trained = [is_trained(name, parameters.layers) for name, _ in arrays]
        sizes = [int(np.prod(shape)) for _, shape in arrays]
        self.n = sum(size for size, kept in zip(sizes, trained, strict=True) if kept)
        self.n_samples = self.batch_size = 0
        self.in_epoch = False
        self.stopped: str | None = None
        self.results: Vector = np.zeros(lay.R_STATUS)
        self.result_cells: Any = memoryview(self.results.data)
        self.evaluations = 0
        self._version = -1  # of the network's parameters, when they were this driver's point
        self._samples: Samples | None = None
        self._weighing: Weighing | None = None
        self._buffers: list[Array] = []
        self._addresses: dict[int, int] = {}  # of buffers by id: asking an array takes 1 µs
        # Every parameter's number, from 1, wherever a copy of it stands; 0 stands for padding.
        numbers: Array = np.zeros(layout.size, f"int{8 * layout.itemsize}")
        parameters.pack(numbers, _numbered(arrays, trained))
        self._sources = self.buffer(layout.size, np.int64)
        self._sources[:] = numbers
        found, first = np.unique(numbers[: layout.n_updated], return_index=True)
        self._places = self.buffer(sum(sizes), np.int64)
        self._places[:] = first[found > 0]
        self.penalties: Vector | None = None
        if any(self._l2(name) for name, _ in arrays):
            self.penalties = self.buffer(self.n, np.float64)
            self.penalties[:] = [
                0.5 * self._l2(name)
                for (name, _), size, kept in zip(arrays, sizes, trained, strict=True)
                if kept
                for _ in range(size)
            ]
        self._trial = self.buffer(layout.size, self.dtype)
        self.sums: Vector = self.buffer(8, np.float64)
        self._step: Vector = self.buffer(1, np.float64)
        self.x, self.direction = self.point(), self.point()
        self.direction[1 + self.n :] = -0.0  # a sum with which leaves every bit as it is

    def _l2(self, name: str) -> float:
        """What training penalises an array by, as `shapes` names it; 0 where it isn't trained."""
        layers = self.parameters.layers
        return layers[int(name[1:])].l2 if name[0] == "W" and is_trained(name, layers) else 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, programs not included."""
        return sum(a.nbytes for a in self._buffers)

    def buffer(self, n: int, dtype: Any) -> Array:
        """Zeros that live as long as the driver."""
        made = aligned_zeros(n, dtype)
        self._buffers.append(made)
        self._addresses[id(made)] = made.ctypes.data
        return made

    def address(self, array: Array) -> int:
        """Where an array stands; quick for a buffer."""
        return self._addresses.get(id(array)) or array.ctypes.data

    def vector(self) -> Vector:
        """Zeros, one for each that is trained behind a first one (kernels/solvers/points.py)."""
        return self.buffer(1 + self.n, np.float64)

    def point(self) -> Vector:
        """As `vector`, with one for each parameter that is not trained at the end."""
        return self.buffer(1 + len(self._places), np.float64)

    def state(self) -> dict[str, Any]:
        """What is kept from one `begin` to the next."""
        return {name: getattr(self, name) for name in self._KEPT}

    def check_state(self, state: Any) -> None:
        """Raise TypeError or ValueError for what `set_state` can't take.

        Kinds and sizes are looked at here; what the numbers mean, by the kinds of drivers.
        """
        check_keys("its solver", state, set(self._KEPT))
        for name in self._KEPT:
            now, given, what = getattr(self, name), state[name], f"its solver's {name.strip('_')}"
            if isinstance(now, np.ndarray):
                if not isinstance(given, np.ndarray) or given.dtype != now.dtype:
                    raise TypeError(f"{what} must be an array of {now.dtype}")
                if given.shape != now.shape:
                    raise ValueError(f"{what} must be of shape {now.shape}, got {given.shape}")
            elif isinstance(now, int):
                integer(what, given, minimum=-1, maximum=2**53)
            else:
                real(what, given)

    def set_state(self, state: dict[str, Any]) -> None:
        """Keep what another kept."""
        for name in self._KEPT:
            now = getattr(self, name)
            if isinstance(now, np.ndarray):
                now[:] = state[name]
            else:
                setattr(self, name, type(now)(state[name]))

    # -- as `Work` ---------------------------------------------------------------------------------

    def set_samples(self, samples: Samples, weighing: Weighing | None = None) -> None:
        """Iterate on these samples from the next `begin` on.

        `weighing` is that of a step where it is None.
        """
        self._samples, self._weighing, self.in_epoch = samples, weighing, False
        self.n_samples = self.batch_size = samples[0].n

    def begin(self) -> None:
        """Begin from the network's parameters as they are."""
        assert self._samples is not None
        self._set_samples(self._samples, self._weighing)
        self._start_over()

    def begin_epoch(self) -> None:
        """Clear all figures."""
        self.results[:] = 0.0

    def advance(self, epoch: int, first: int, most: int) -> tuple[int, int, bool]:
        """Make one iteration, see `Work.advance`."""
        return self.iterate()[0], first + 1, True

    def figures(self) -> dict[str, float]:
        """Return no metrics: a trial point's would be those of no epoch."""
        return {}

    def snapshot(self, first: bool = True) -> bool:
        """Keep the parameters, see `Work.snapshot`."""
        return self.engine.snapshot.take((self.engine.rates.passes, 0))

    def epoch_state(self) -> dict[str, Any]:
        """Return that it is not inside an epoch, as `Batches` says where it stands there."""
        return {"inside": False, "results": None, "sums": None, "lowest": math.inf, "rising": True}

    def set_epoch_state(self, state: dict[str, Any], same_samples: bool) -> None:
        """Do nothing: `epoch_state` tells of no place inside an epoch."""

    # -- iterations --------------------------------------------------------------------------------

    def update(self, samples: Samples) -> float:
        """Make one iteration on these samples; return the loss before it."""
        self.set_samples(samples)
        self.begin()
        status, loss = self.iterate()
        check(status, self.results, self.dtype)
        return loss

    def _start_over(self) -> None:
        """Go to the network's parameters as they are."""
        self.stopped, self._version = None, self.parameters.version
        self.parameters.read(partial(np.copyto, self._trial))
        self.collect(self._trial, self.x)
        self._forget_point()

    def iterate(self) -> tuple[int, float]:
        """One iteration: a status, and the loss before it.

        The status is OK; STOPPED, with nothing changed, if there is nothing more to be had;
        NONFINITE_LOSS if there is nothing to begin with; or that of a bad memory map.
        """
        loss = math.nan
        try:
            if not self.parameters.unchanged_since(self._version):
                self._start_over()
            status, loss = (STOPPED, math.nan) if self.stopped else self._iterate()
        except BadSamplesError as error:
            (status,) = error.args
        self.results[:] = 0.0
        self.results[lay.R_ERROR] = self.results[lay.R_LAST_ERROR] = loss
        self.results[lay.R_WEIGHT] = 1.0
        return status, loss

    def _set_samples(self, samples: Samples, weighing: Weighing | None) -> None:
        raise NotImplementedError

    def _forget_point(self) -> None:
        """Let what is known of the point `x` be found anew."""
        raise NotImplementedError

    def _iterate(self) -> tuple[int, float]:
        raise NotImplementedError

    # -- for the kinds of drivers ------------------------------------------------------------------

    def program(self, mode: int, rows: int, slabs: int, flops: float) -> Program:
        """A program over whole sets, kept apart from those of calls between iterations."""
        threads = resolve_threads(self.engine.settings.n_threads, flops)
        plan = Plan.in_slabs(self.parameters.layout, rows, threads, slabs)
        return self.engine.program(f"solver {mode}", mode, plan, threads, trained=True)

    def call(self, entry: Any, *arguments: Any) -> None:
        """A kernel, by one thread; arrays are handed over by address."""
        entry.compiled(self.dtype)(
            0.0, *[self.address(a) if isinstance(a, np.ndarray) else a for a in arguments]
        )

    def collect(self, values: Array, out: Vector) -> None:
        """A buffer of the parameters' layout as a vector or a point."""
        self.call(points.collect, values, self._places, len(out) - 1, out)

    def rest(self) -> None:
        """Make the trial point x itself."""
        self.direction[: 1 + self.n] = 0.0
        self.move(0.0)

    def move(self, step: float) -> None:
        """Make x + step · direction the trial point.

        No point is tried, or accepted, but is made here: what is to bound weights would do so here.
        """
        self._step[0] = step
        sources, size = self._sources, len(self._sources)
        self.call(points.place, self._trial, sources, size, self.x, self.direction, self._step)

    def penalised(self, loss: float) -> float:
        """The loss at the trial point with the penalties there."""
        if self.penalties is None:
            return loss
        self.call(points.penalty, self._trial, self._places, self.n, self.penalties, self.sums)
        return loss + float(self.sums[points.PENALTY])

    def evaluate(self, program: Program) -> float:
        """The loss at the trial point, without penalties."""
        program.set_parameters(self._trial)
        status = program.run(0, 1)
        self.evaluations += 1
        if status != lay.OK:
            raise BadSamplesError(status)
        return float(program.results[lay.R_LAST_ERROR])

    def assess(self, gradient: Vector, direction: Vector) -> tuple[float, float, float]:
        """The slope along the direction, the gradient's largest magnitude, the magnitudes' sum."""
        self.call(points.assess, gradient, direction, 1 + self.n, self.sums)
        slope, largest, total = self.sums[:3]
        return float(slope), float(largest), float(total)

    def accept(self) -> bool:
        """Make the trial point the network's, unless somebody else has set the weights meanwhile.

        Those then stay, and the next iteration begins from them. Gives whether it was done.
        """
        if not self.parameters.replace(self._trial, self._version):
            return False
        self._version += 1
        return True

    def stop(self, reason: str) -> None:
        """Let the next iteration be none."""
        self.stopped = reason


def _numbered(shapes: list[tuple[str, tuple[int, ...]]], first: list[bool]) -> list[Array]:
    """1, 2, … in arrays of these shapes: in those that come first, then in the others."""
    found: dict[str, Array] = {}
    done = 1
    for wanted in (True, False):
        for (name, shape), comes_first in zip(shapes, first, strict=True):
            if comes_first is wanted:
                size = int(np.prod(shape))
                found[name] = np.arange(done, done + size).reshape(shape)
                done += size
    return [found[name] for name, _ in shapes]
