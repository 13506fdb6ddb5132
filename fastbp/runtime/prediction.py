"""Running samples forward through a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.data import inputs
from fastbp.kernels import layout as lay
from fastbp.kernels import predict as kernels
from fastbp.runtime.memory import require_memory
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.plan import Plan
from fastbp.runtime.program import PARAMETERS, SAMPLES, Program
from fastbp.runtime.team import Team, Threads, check_threads, resolve_threads

Array = NDArray[Any]
# At most so many rows of the network's own dtype take the short way through `Predictor.outputs`.
_FEW_ROWS = 16
# Steps of `numpy.shares_memory`, of some nanoseconds each; most arrays take a few.
_OVERLAP_WORK = 10_000


class Predictor:
    """The outputs of a network with these parameters, for as many threads at once as ask.

    Programs are kept from one call to the next, and each is used by one thread at a time.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._n_inputs, self._n_outputs = parameters.n_inputs, parameters.n_outputs
        self._dtype, self._native = parameters.dtype, np.dtype(parameters.dtype)
        self._programs: dict[int, list[Program]] = {}  # idle ones, by their number of threads
        self._few: list[_Few] = []

    def outputs(self, X: ArrayLike, out: Array | None, n_threads: Threads) -> Array:
        """What `Network.predict` gives: a few rows without what takes longer than a small net."""
        if not (
            type(X) is np.ndarray
            and X.dtype == self._native
            and X.ndim == 2
            and 0 < (n := X.shape[0]) <= _FEW_ROWS
            and X.shape[1] == self._n_inputs
        ):
            return self._outputs(X, out, n_threads)
        if n_threads != "auto":
            check_threads(n_threads)
        if out is None:
            out = np.empty((n, self._n_outputs), self._native)
        else:
            _check_out(out, (n, self._n_outputs), self._dtype)
        parameters = self._parameters
        try:
            few = self._few.pop()
        except IndexError:
            few = _Few(parameters)
        cells = few.cells
        few.samples[:n] = X
        cells[SAMPLES] = n
        reader = object()
        try:  # as `Parameters.read` does
            buffer = parameters.begin_reading(reader)
            cells[PARAMETERS] = parameters.address_of(buffer)
            status = few.entry(0.0, few.address, few.outputs_address, 0)
        finally:
            try:
                parameters.readers.pop(reader, None)
            finally:
                pass
        if status == lay.OK:
            out[:] = few.outputs[:n]
        self._few.append(few)
        if status != lay.OK:
            raise ValueError(f"X holds a NaN or an infinity, row and feature: {_first_bad(X)}")
        return out

    def _outputs(self, X: ArrayLike, out: Array | None, n_threads: Threads) -> Array:
        """What `Network.predict` gives for any samples."""
        source = inputs.features(X, self._n_inputs, self._dtype)
        shape = (source.n, self._n_outputs)
        if out is None:
            require_memory(
                f"X: the outputs of {source.n} samples take",
                shape[0] * shape[1] * self._native.itemsize,
            )
            out = np.empty(shape, self._dtype)
        else:
            _check_out(out, shape, self._dtype)
        result = out
        if _overlap(source.array, out):  # rows would be overwritten before they are read
            require_memory(
                f"out shares memory with X: a copy of {source.n} samples' outputs takes", out.nbytes
            )
            result = np.empty(shape, self._dtype)
        program = self._taken(source.n, n_threads)
        try:
            program.set_samples(source)
            status = self._parameters.read(_predict, program, self._dtype, result.ctypes.data)
        finally:
            self._programs[program.threads].append(program)
        self._check_read(status)
        if result is not out:
            out[:] = result
        return out

    def activations(self, X: ArrayLike) -> list[Array]:
        """What `Network.activations` gives: every layer's outputs, then the last weighted sums."""
        source = inputs.features(X, self._n_inputs, self._dtype)
        widths = [layer.units for layer in self._parameters.layers]
        results = [np.empty((source.n, units), self._dtype) for units in [*widths, widths[-1]]]
        program = self._taken(source.n, 1)
        try:
            program.set_samples(source)
            self._parameters.read(self._forward, program, source.n, results)
        finally:
            self._programs[program.threads].append(program)
        return results

    def _forward(self, buffer: Array, program: Program, n: int, results: Sequence[Array]) -> None:
        """Run n samples forward block by block, and copy what each layer has made of them."""
        program.set_parameters(buffer)
        workspace, (*outputs, sums) = program.workspace, results
        entry = kernels.forward_rows.compiled(self._dtype)
        for first in range(0, n, program.plan.rows):
            rows = min(program.plan.rows, n - first)
            self._check_read(entry(0.0, program.address, first, rows))
            for layer, result in enumerate(outputs):
                result[first : first + rows] = workspace.outputs(layer, rows)
            sums[first : first + rows] = workspace.sums(-1, rows)

    def _check_read(self, status: int) -> None:
        """Raise for a status of a memory map, which is checked as it is read."""
        if status != lay.OK:
            raise ValueError(f"X (a memory map) holds a value that is not finite in {self._dtype}")

    def _taken(self, n: int, n_threads: Threads) -> Program:
        """A program for n samples, which no other thread uses until it is among the idle again."""
        layout = self._parameters.layout
        flops = 2.0 * sum(layer.n_in * layer.n_out for layer in layout.layers) * n
        threads = resolve_threads(n_threads, flops)
        block = Plan.block_of(layout, n)
        idle = self._programs.setdefault(threads, [])
        try:
            program: Program | None = idle.pop()
        except IndexError:
            program = None
        if program is None or program.plan.block < block:
            plan = Plan(0, block, block * threads)
            program = Program(self._parameters, plan, threads)
        return program


class _Few:
    """A program set up for a few rows, copied to and from places whose addresses are known.

    (Asking an array for its address takes as long as two copies of a row.)
    """

    def __init__(self, parameters: Parameters) -> None:
        dtype = parameters.dtype
        self.samples: Array = np.zeros((_FEW_ROWS, parameters.n_inputs), dtype)
        self.outputs: Array = np.zeros((_FEW_ROWS, parameters.n_outputs), dtype)
        self.outputs_address = int(self.outputs.ctypes.data)
        plan = Plan(0, _FEW_ROWS, _FEW_ROWS)
        self._program = Program(parameters, plan, 1)
        samples = inputs.features(self.samples, parameters.n_inputs, dtype)
        self._program.set_samples(samples, checked=False)
        self.address, self.cells = self._program.address, self._program.cells
        self.entry = kernels.predict.compiled(dtype)


def classes_of(outputs: Array, threshold: float) -> NDArray[np.int64]:
    """The classes that outputs tell; of a single one, 1 above the threshold.

    That is compared in float64, as metrics do in their kernels: rounded to float32 it might be an
    output itself.
    """
    if outputs.shape[1] > 1:
        return np.asarray(outputs.argmax(axis=1), dtype=np.int64)
    above = np.greater(outputs[:, 0], threshold, signature="dd->?")
    return np.asarray(above, dtype=np.int64)


def _predict(buffer: Array, program: Program, dtype: str, target: int) -> int:
    """Write the outputs of a program's samples to an address; a status of kernels/layout.py."""
    program.set_parameters(buffer)
    entry = kernels.predict.compiled(dtype)
    return Team.run(program.threads, entry, 0.0, program.address, target)


def _overlap(a: Array, b: Array) -> bool:
    """Whether arrays share memory, or may: it is not always told in little time."""
    if not np.may_share_memory(a, b):  # by where they begin and end
        return False
    try:
        return np.shares_memory(a, b, max_work=_OVERLAP_WORK)  # type: ignore[arg-type]
    except RuntimeError:  # TooHardError, which has no one place in all versions of numpy
        return True


def _check_out(out: Array, shape: tuple[int, int], dtype: str) -> None:
    takes = f"out must be a writable C-contiguous {dtype} array of shape {shape}"
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{takes}, got {type(out).__name__}")
    if out.shape != shape or out.dtype != np.dtype(dtype) or not out.flags.c_contiguous:
        raise ValueError(f"{takes}, got {out.dtype} {out.shape}, strides {out.strides}")
    if not out.flags.writeable:
        raise ValueError(f"{takes}, got a read-only one")


def _first_bad(X: Array) -> tuple[int, int]:
    row, feature = np.argwhere(~np.isfinite(X))[0]
    return int(row), int(feature)
