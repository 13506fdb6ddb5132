"""States: what compiled code of others is handed of a network or a trainer."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp import panels
from fastbp.data import inputs
from fastbp.kernels import layout as lay
from fastbp.kernels.ffi import embedded as e
from fastbp.runtime.forking import Watched, watch
from fastbp.runtime.plan import Plan
from fastbp.runtime.program import Program

if TYPE_CHECKING:
    from fastbp.network import Network
    from fastbp.training.stepping import Stepping

Array = NDArray[Any]
#: the cells of kernels/ffi/embedded.py, and an empty array of the network's dtype
State: TypeAlias = tuple[NDArray[np.int64], NDArray[Any]]

_ROWS = 1 << 20  # as if of so many: the greatest block that is of use


class _Cells(np.ndarray[Any, Any], Watched):
    """The owner of a state's cells: keeps alive what they point at."""

    keeps: tuple[Any, ...]

    def _after_fork(self) -> None:
        """Nobody is at work in a child; but of training, what was begun may be half done."""
        if not self[e.TRAIN]:
            self[e.FLAG] = 0


def of_network(network: Network) -> State:
    """For predictions and derivatives."""
    block = Plan.block_of(network._layout, _ROWS)
    program = Program(network, Plan(1, block, block), 1, training=True)
    program.set_units(network._units)
    program.keep_gradients()
    return _state(network, program, network)


def of_trainer(trainer: Stepping, rows: int) -> State:
    """For updates as well, by at most so many rows."""
    engine, network = trainer._engine, trainer.network
    if trainer._solver is not None:
        solver = type(trainer._settings.optimizer).__name__
        raise ValueError(
            f"compiled() doesn't go with {solver}, which works on whole sets; use another optimizer"
        )
    if engine.rates.schedule is not None:
        raise ValueError(
            "compiled() takes a number for learning_rate, not a schedule "
            f"({type(engine.rates.schedule).__name__}), whose rates Python works out; "
            "set trainer.learning_rate as you go"
        )
    block = Plan.block_of(network._layout, _ROWS)
    without = engine.separate(lay.MODE_GRADIENTS, Plan(1, block, block))
    tables = [without]
    for most in (1, rows):
        of_block = Plan.block_of(network._layout, most)
        # Rows stand in the workspace when a batch begins, as those that are read ahead do.
        program = engine.separate(lay.MODE_TRAIN, Plan(0, of_block, most, ahead=2))
        table = program.table
        table[lay.DROPOUT_SEED] = np.uint64(trainer._settings.seed).astype(np.int64)
        table[lay.RATES], table[lay.RATE_STRIDE] = engine.rates.live.ctypes.data, 0
        tables.append(program)
    network._untold = True
    cells, tag = _state(network, without, trainer, *tables)
    cells[e.TRAIN] = e.train.address(network.dtype)
    cells[e.GRADIENTS] = e.gradients.address(network.dtype)
    cells[e.STEP_TABLE], cells[e.BATCH_TABLE] = (program.address for program in tables[1:])
    cells[e.LIVE], cells[e.MOST_ROWS] = engine.rates.live.ctypes.data, rows
    return cells, tag


def vjp(network: Network, X: ArrayLike, cotangent: ArrayLike) -> tuple[list[Array], Array]:
    """`Network.vjp`."""
    source = inputs.features(X, network.n_inputs, network.dtype)
    given = inputs.features(cotangent, network.n_outputs, network.dtype, "cotangent")
    if given.n != source.n:
        raise ValueError(f"cotangent must have X's {source.n} rows, got {given.n}")
    x, y = (
        np.ascontiguousarray(values, network.dtype).reshape(source.n, -1)
        for values in (X, cotangent)
    )
    flat, dx = np.empty(network.n_parameters, network.dtype), np.empty_like(x)
    cells, _ = of_network(network)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 5, ctypes.c_int64)
    address = e.vjp.c_address(network.dtype)
    reader = object()
    try:
        parameters = network._begin_reading(reader)
        table = cells.base.keeps[1]  # type: ignore[union-attr]
        table.set_parameters(parameters)
        status = function(address)(*(a.ctypes.data for a in (cells, x, y, flat, dx)), source.n)
    finally:
        network._readers.pop(reader, None)
    if status != lay.OK:  # a memory map, which is checked as it is read
        name = "X" if status == lay.BAD_X else "cotangent"
        raise ValueError(f"{name} holds a value that is not finite in {network.dtype}")
    gradients, first = [], 0
    for _, shape in panels.shapes(network):
        size = int(np.prod(shape))
        gradients.append(flat[first : first + size].reshape(shape))
        first += size
    return gradients, dx


def _state(network: Network, program: Program, *keeps: Any) -> State:
    from fastbp.kernels.ffi.callable import DIGEST  # here, since it compiles with numba's own types

    owner = _Cells(e.STATE_SIZE, np.int64)
    places, loss = _places(network), np.zeros(1)
    owner.keeps = (network._parameters, program, places, loss, *keeps)
    cells: NDArray[np.int64] = owner.view(np.ndarray)
    cells[:] = 0
    watch(owner)
    cells[e.DIGEST], cells[e.SELF] = DIGEST, cells.ctypes.data
    cells[e.N_INPUTS], cells[e.N_OUTPUTS] = network.n_inputs, network.n_outputs
    cells[e.N_PARAMETERS] = len(places)
    cells[e.PREDICT] = e.predict.address(network.dtype)
    cells[e.VJP] = e.vjp.address(network.dtype)
    cells[e.ROWS_TABLE], cells[e.LOSS] = program.address, loss.ctypes.data
    cells[e.PLACES], cells[e.ITEMSIZE] = places.ctypes.data, network._layout.itemsize
    return cells, np.empty(0, network.dtype)


def _places(network: Network) -> NDArray[np.int64]:
    """Where each parameter, in the order of `get_weights`, stands in the buffer."""
    # Of the parameters' itemsize, on which the panels depend.
    whole = np.dtype(f"u{network._layout.itemsize}")
    numbers = np.arange(network._layout.n_updated, dtype=whole)
    return np.concatenate([a.ravel() for a in panels.read(network, numbers)]).astype(np.int64)
