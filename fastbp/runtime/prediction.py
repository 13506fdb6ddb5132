"""Running samples forward through a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.data import inputs
from fastbp.kernels import layout as lay
from fastbp.kernels import predict as kernels
from fastbp.layers.dense import Dense
from fastbp.runtime.memory import require_memory
from fastbp.runtime.parameters import SharedParameters
from fastbp.runtime.plan import Plan
from fastbp.runtime.program import Program
from fastbp.runtime.team import Team, check_threads, resolve_threads

Array = NDArray[Any]
Threads: TypeAlias = "int | Literal['auto']"
# At most so many rows of the network's own dtype take the short way through `predict`.
_FEW_ROWS = 16
# Steps of `numpy.shares_memory`, of some nanoseconds each; most arrays take a few.
_OVERLAP_WORK = 10_000


class Prediction(SharedParameters):
    """The part of `Network` that predicts."""

    n_inputs: int
    layers: tuple[Dense, ...]
    dtype: str
    _layout: lay.NetworkLayout

    def _init_prediction(self) -> None:
        self._predictors: dict[int, list[Program]] = {}  # by their number of threads
        self._few_predictors: list[_Few] = []
        self._native = np.dtype(self.dtype)

    def predict(
        self, X: ArrayLike, *, out: Array | None = None, n_threads: Threads = "auto"
    ) -> Array:
        """The network's outputs.

        Parameters
        ----------
        X : array_like
            Samples: (n,) for one feature, (n, n_inputs), or (n, d1, d2, ...) flattened per sample.
        out : ndarray or None
            (n, n_outputs), C-contiguous, of the network's dtype: where to write. It may share
            memory with X, but two memory maps of one file aren't seen to.
        n_threads : int or "auto"
            The most threads to use.

        Returns
        -------
        ndarray
            (n, n_outputs), `out` if given.

        Raises
        ------
        TypeError, ValueError
            X or `out` is of a wrong kind, shape or dtype, or holds a NaN or an infinity.
        """
        if (
            type(X) is np.ndarray
            and X.dtype == self._native
            and X.ndim == 2
            and 0 < X.shape[0] <= _FEW_ROWS
            and X.shape[1] == self.n_inputs
        ):
            return self._predict_few(X, out, n_threads)
        source = inputs.features(X, self.n_inputs, self.dtype)
        shape = (source.n, self.layers[-1].units)
        if out is None:
            require_memory(
                f"X: the outputs of {source.n} samples take",
                shape[0] * shape[1] * self._native.itemsize,
            )
            out = np.empty(shape, self.dtype)
        else:
            _check_out(out, shape, self.dtype)
        result = out
        if _overlap(source.array, out):  # rows would be overwritten before they are read
            require_memory(
                f"out shares memory with X: a copy of {source.n} samples' outputs takes", out.nbytes
            )
            result = np.empty(shape, self.dtype)
        with self._predictor(source.n, n_threads) as program:
            program.set_samples(source)
            entry = kernels.predict.compiled(self.dtype)
            address, target = program.address, result.ctypes.data
            reader = object()
            try:
                parameters = self._begin_reading(reader)
                program.set_parameters(parameters)
                status = Team.run(program.threads, entry, 0.0, address, target)
            finally:
                self._readers.pop(reader, None)
        self._check_read(status)
        if result is not out:
            out[:] = result
        return out

    def _predict_few(self, X: Array, out: Array | None, n_threads: Threads) -> Array:
        """`predict` without its general machinery, which takes longer than a small network."""
        if n_threads != "auto":
            check_threads(n_threads)
        n = X.shape[0]
        shape = (n, self.layers[-1].units)
        if out is None:
            out = np.empty(shape, self._native)
        else:
            _check_out(out, shape, self.dtype)
        try:
            few = self._few_predictors.pop()
        except IndexError:
            few = _Few(self)
        program, cells = few.program, few.program.cells
        few.samples[:n] = X
        cells[lay.N] = n
        entry = kernels.predict.compiled(self.dtype)
        reader = object()
        try:
            parameters = self._begin_reading(reader)  # a reference: it may be replaced meanwhile
            cells[lay.PARAMS] = self._address_of(parameters)
            status = entry(0.0, program.address, few.outputs_address, 0)
        finally:
            self._readers.pop(reader, None)
        if status == lay.OK:
            out[:] = few.outputs[:n]
        self._few_predictors.append(few)
        if status != lay.OK:
            raise ValueError(f"X holds a NaN or an infinity, row and feature: {_first_bad(X)}")
        return out

    def predict_classes(self, X: ArrayLike, *, n_threads: Threads = "auto") -> NDArray[np.int64]:
        """The class of each sample: the id of its largest output.

        A single output is a probability of class 1, or a score about 0 where its activation is
        linear or tanh: class 1 where it is above 0.5, or 0.

        Parameters
        ----------
        X, n_threads
            As for `predict`.

        Returns
        -------
        ndarray of int64
            (n,)
        """
        p = self.predict(X, n_threads=n_threads)
        if p.shape[1] > 1:
            return np.asarray(p.argmax(axis=1), dtype=np.int64)
        middle = 0.0 if self.layers[-1].activation in ("linear", "tanh") else 0.5
        return np.asarray(p[:, 0] > middle, dtype=np.int64)

    def activations(self, X: ArrayLike) -> list[Array]:
        """Every layer's outputs, and the logits of the last.

        Parameters
        ----------
        X : array_like
            As for `predict`.

        Returns
        -------
        list of ndarray
            One (n, units) a layer, then the output layer's weighted sums, (n, n_outputs).
        """
        source = inputs.features(X, self.n_inputs, self.dtype)
        widths = [layer.units for layer in self.layers]
        results = [np.empty((source.n, units), self.dtype) for units in [*widths, widths[-1]]]
        with self._predictor(source.n, 1) as program:
            reader = object()
            try:
                parameters = self._begin_reading(reader)
                program.set_samples(source)
                program.set_parameters(parameters)
                entry = kernels.forward_rows.compiled(self.dtype)
                for first in range(0, source.n, program.plan.rows):
                    rows = min(program.plan.rows, source.n - first)
                    self._check_read(entry(0.0, program.address, first, rows))
                    for result, block in zip(results, program.blocks(rows), strict=True):
                        result[first : first + rows] = block
            finally:
                self._readers.pop(reader, None)
        return results

    def _check_read(self, status: int) -> None:
        """Memory maps are checked as they are read."""
        if status != lay.OK:
            raise ValueError(f"X (a memory map) holds a value that is not finite in {self.dtype}")

    @contextmanager
    def _predictor(self, n: int, n_threads: Threads) -> Iterator[Program]:
        """A program for prediction that no other thread uses, kept for the next time."""
        layout = self._layout
        flops = 2.0 * sum(layer.n_in * layer.n_out for layer in layout.layers) * n
        threads = resolve_threads(n_threads, flops)
        block = Plan.block_of(layout, n)
        idle = self._predictors.setdefault(threads, [])
        try:
            program: Program | None = idle.pop()
        except IndexError:
            program = None
        if program is None or program.plan.block < block:
            program = Program(self, Plan(0, block, block * threads), threads, training=False)
        try:
            yield program
        finally:
            idle.append(program)


class _Few:
    """A program set up for a few rows, copied to and from places whose addresses are known.

    (Asking an array for its address takes as long as two copies of a row.)
    """

    def __init__(self, network: Prediction) -> None:
        self.samples: Array = np.zeros((_FEW_ROWS, network.n_inputs), network.dtype)
        self.outputs: Array = np.zeros((_FEW_ROWS, network.layers[-1].units), network.dtype)
        self.outputs_address = int(self.outputs.ctypes.data)
        plan = Plan(0, _FEW_ROWS, _FEW_ROWS)
        self.program = Program(network, plan, 1, training=False)
        self.program.set_samples(inputs.features(self.samples, network.n_inputs, network.dtype))
        self.program.table[lay.LAZY] = 1  # the kernel checks the rows as it reads them


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
