"""States: what compiled code of others is handed of a network, or of one that is trained."""

from __future__ import annotations

import ctypes
import math
from collections import deque
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.data import inputs
from fastbp.kernels import layout as lay
from fastbp.kernels.ffi import embedded as e
from fastbp.layers.dense import shapes
from fastbp.runtime.forking import Watched, watch
from fastbp.runtime.parameters import Parameters
from fastbp.runtime.plan import Plan
from fastbp.runtime.program import PARAMETERS, Program

Array = NDArray[Any]
#: the cells of kernels/ffi/embedded.py, and an empty array of the network's dtype
State: TypeAlias = tuple[NDArray[np.int64], NDArray[Any]]

# As if of so many rows: the greatest block that is of use.
_ROWS = 1 << 20
# States that `Derivatives` keeps for its next calls, at most: so many, of so many bytes in all.
_MOST_KEPT, _KEPT_BYTES = 64, 1 << 26


class _Cells(np.ndarray[Any, Any], Watched):
    """The owner of a state's cells: keeps alive what they point at."""

    keeps: tuple[Any, ...]

    def _after_fork(self) -> None:
        """Nobody is at work in a child; but of training, what was begun may be half done."""
        if not self[e.TRAIN]:
            self[e.FLAG] = 0


def greatest_block(parameters: Parameters) -> Plan:
    """The plan of a state's program over any number of rows: block after block."""
    block = Plan.block_of(parameters.layout, _ROWS)
    return Plan(1, block, block)


def of_network(parameters: Parameters, *keeps: Any) -> State:
    """A state for predictions and derivatives by these parameters; it keeps `keeps` alive."""
    return _state(parameters, _derivatives(parameters), *keeps)


def of_training(
    parameters: Parameters,
    derivatives: Program,
    step: Program,
    batch: Program,
    live: NDArray[np.float64],
    *keeps: Any,
) -> State:
    """A state for predictions, derivatives and updates, for `Trainer.compiled`.

    Parameters
    ----------
    parameters : Parameters
        From now on changed without being told.
    derivatives : Program
        What forms gradients and leaves the parameters alone, with the plan of `greatest_block`.
    step, batch : Program
        What makes an update: by one sample, and by at most as many as its plan has rows.
    live : ndarray
        The learning rate and the number of updates (training/rates.py).
    keeps
        What is kept alive.
    """
    parameters.untold = True
    cells, like = _state(parameters, derivatives, step, batch, live, *keeps)
    cells[e.TRAIN] = e.train.address(parameters.dtype)
    cells[e.GRADIENTS] = e.gradients.address(parameters.dtype)
    cells[e.STEP_TABLE], cells[e.BATCH_TABLE] = step.address, batch.address
    cells[e.LIVE], cells[e.MOST_ROWS] = live.ctypes.data, batch.plan.rows
    return cells, like


class Derivatives:
    """What `Network.vjp` gives of a network with these parameters, for as many threads as ask.

    States are kept from one call to the next, and each is used by one thread at a time. They take a
    block of rows, however many a call has; as many are kept as threads were at work at once, but no
    more than take 64 MiB, which may be none.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._cuts: list[tuple[int, int, tuple[int, ...]]] = []  # of all gradients in one row
        self._idle: deque[_Vjp] = deque(maxlen=0)  # which lets go of the oldest where it is full

    def vjp(self, X: ArrayLike, cotangent: ArrayLike) -> tuple[list[Array], Array]:
        """What `Network.vjp` does: gradients of Σ cotangent · predict(X)."""
        parameters = self._parameters
        dtype = parameters.dtype
        source = inputs.features(X, parameters.n_inputs, dtype)
        given = inputs.features(cotangent, parameters.n_outputs, dtype, "cotangent", "outputs")
        n = source.n
        if given.n != n:
            raise ValueError(f"cotangent must have X's {n} rows, got {given.n}")
        x, y = (np.ascontiguousarray(a.array, dtype).reshape(n, -1) for a in (source, given))
        try:
            one = self._idle.pop()
        except IndexError:
            one = self._made()
        flat, dx = np.empty(one.n_parameters, dtype), np.empty((n, parameters.n_inputs), dtype)
        try:
            status = parameters.read(one.work, x, y, flat, dx)
        finally:
            self._idle.append(one)
        if status != lay.OK:  # a memory map, which is checked as it is read
            name = "X" if status == lay.BAD_X else "cotangent"
            raise ValueError(f"{name} holds a value that is not finite in {dtype}")
        return [flat[first:end].reshape(shape) for first, end, shape in self._cuts], dx

    def _made(self) -> _Vjp:
        """Make a state, and see how many such are to be kept."""
        parameters = self._parameters
        one = _Vjp(parameters)
        if not self._idle.maxlen:
            arrays = [shape for _, shape in shapes(parameters.n_inputs, parameters.layers)]
            ends = np.cumsum([0, *map(math.prod, arrays)]).tolist()
            self._cuts = list(zip(ends[:-1], ends[1:], arrays, strict=True))
            self._idle = deque(maxlen=min(_MOST_KEPT, _KEPT_BYTES // one.nbytes))
        return one


class _Vjp:
    """A state for one call of vjp at a time, and how it is called."""

    def __init__(self, parameters: Parameters) -> None:
        dtype = parameters.dtype
        self._parameters, self.n_parameters = parameters, parameters.n_parameters
        self._program = _derivatives(parameters)
        self._cells, _ = _state(parameters, self._program)
        self._address = int(self._cells.ctypes.data)
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 5, ctypes.c_int64)
        self._function = kind(e.vjp.c_address(dtype))
        self.nbytes = self._program.nbytes + 8 * self.n_parameters  # and where each one stands

    def work(self, buffer: Array, x: Array, y: Array, flat: Array, dx: Array) -> int:
        """Do it for dense rows by the parameters in that buffer; a status."""
        self._program.cells[PARAMETERS] = self._parameters.address_of(buffer)
        status: int = self._function(
            self._address, x.ctypes.data, y.ctypes.data, flat.ctypes.data, dx.ctypes.data, len(x)
        )
        return status


def _derivatives(parameters: Parameters) -> Program:
    """Make a program that predicts, and forms derivatives of any objective."""
    return Program(parameters, greatest_block(parameters), 1, mode=lay.MODE_GRADIENTS)


def _state(parameters: Parameters, program: Program, *keeps: Any) -> State:
    from fastbp.kernels.ffi.callable import DIGEST  # here, since it compiles with numba's own types

    owner = _Cells(e.STATE_SIZE, np.int64)
    places, loss = _places(parameters), np.zeros(1)
    owner.keeps = (parameters, program, places, loss, *keeps)
    cells: NDArray[np.int64] = owner.view(np.ndarray)
    cells[:] = 0
    watch(owner)
    cells[e.DIGEST], cells[e.SELF] = DIGEST, cells.ctypes.data
    cells[e.N_INPUTS], cells[e.N_OUTPUTS] = parameters.n_inputs, parameters.n_outputs
    cells[e.N_PARAMETERS] = len(places)
    cells[e.PREDICT] = e.predict.address(parameters.dtype)
    cells[e.VJP] = e.vjp.address(parameters.dtype)
    cells[e.ROWS_TABLE], cells[e.LOSS] = program.address, loss.ctypes.data
    cells[e.PLACES], cells[e.ITEMSIZE] = places.ctypes.data, parameters.layout.itemsize
    return cells, np.empty(0, parameters.dtype)


def _places(parameters: Parameters) -> NDArray[np.int64]:
    """Where each parameter, in the order of `get_weights`, stands in the buffer."""
    layout = parameters.layout
    # Of the parameters' itemsize, on which the panels depend.
    numbers = np.arange(layout.n_updated, dtype=f"u{layout.itemsize}")
    return np.concatenate([a.ravel() for a in parameters.unpack(numbers)]).astype(np.int64)
