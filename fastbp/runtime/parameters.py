"""A network's parameters: one buffer, its layout, and who may touch it when.

Weights stand in the buffer in panels, as kernels read them (kernels/layout.py), with zeros and
transposes beside them; `Parameters.unpack` and `pack` lead to everyday arrays and back.

Many threads may read the parameters while at most one changes them. An interrupt may come between
any two steps of Python's, and a fork at any time, so nothing here can be left taken: readers come
and go in one step each, and so do a fit and who holds a lock (runtime/locks.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.kernels import layout as lay
from fastbp.kernels.compiling.target import TILE_VECTORS, lanes
from fastbp.layers.dense import Dense, check_weights, shapes
from fastbp.layers.thresholds import Thresholds
from fastbp.runtime.forking import Watched, watch
from fastbp.runtime.locks import Lock
from fastbp.runtime.memory import Records, aligned_zeros, require_memory
from fastbp.runtime.pieces import cut_into_pieces

Array = NDArray[Any]
T = TypeVar("T")

_BIAS: dict[bool | str, int] = {
    True: lay.BIAS_PER_UNIT,
    "shared": lay.BIAS_SHARED,
    False: lay.BIAS_NONE,
}


class Training:
    """A trainer's hold on its network's parameters, for as long as a fit lasts.

    Attributes
    ----------
    lock : Lock
        Held by the one who uses the trainer.
    thread : int or None
        The one in which a fit goes on.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.thread: int | None = None

    @property
    def running(self) -> bool:
        """Whether a fit is under way: an interrupt may have left one before it could say its end.

        Then nobody holds the lock.
        """
        return self.thread is not None and self.lock.locked()


class Parameters(Watched):
    """The parameters of one network.

    Parameters
    ----------
    n_inputs : int
        Features of a sample.
    layers : tuple of Dense
        From the first hidden layer to the output layer.
    dtype : {"float32", "float64"}
        Of parameters and arithmetic.

    Attributes
    ----------
    n_inputs, layers, dtype
        As given.
    layout : NetworkLayout
        Where each layer's weights and biases stand in the buffer.
    pieces : structured array
        The parameters cut into pieces that are updated at once (runtime/pieces.py).
    buffer : ndarray
        The parameters that training changes, aligned; zeros at first.
    readers : dict
        Those who read a buffer now, and which one.
    version : int
        Counts the changes: who believes that the parameters are as they were compares.
    thresholds : Thresholds
        Where classes are cut, for a network of one output.
    untold : bool
        Whether compiled code has been handed out that changes the parameters without counting.
    end_training : callable
        ``end_training(fit, None)`` ends what `begin_training` has begun, and may be called without
        its beginning. It is a dict's own method: one step, which an interrupt can't come into.

    Raises
    ------
    MemoryError
        The machine has less than they take.
    """

    def __init__(self, n_inputs: int, layers: tuple[Dense, ...], dtype: str) -> None:
        self.n_inputs, self.layers, self.dtype = n_inputs, layers, dtype
        itemsize = np.dtype(dtype).itemsize
        widths, biases = [at.units for at in layers], [_BIAS[at.bias] for at in layers]
        self.layout = lay.network_layout(n_inputs, widths, biases, itemsize)
        require_memory(  # initial weights are drawn in float64
            f"n_inputs and layers: the network's {self.n_parameters:,} parameters take",
            self.layout.size * (itemsize + 8),
        )
        self.buffer: Array = aligned_zeros(self.layout.size, dtype)
        self.pieces: Records = cut_into_pieces(self.layout)
        self._address = int(self.buffer.ctypes.data)
        # Where both are taken, the gate comes first.
        self._gate = Lock()  # held by one who changes the parameters
        self._mutex = Lock()  # guards the snapshot
        self.readers: dict[object, Array] = {}
        # The fit under way, and in a list of one what others see meanwhile.
        self._training: dict[Training, list[Array]] = {}
        self.end_training: Callable[[Training, None], object] = self._training.pop
        self.version = 0
        self.thresholds = Thresholds()
        self.untold = False
        watch(self)

    @property
    def n_outputs(self) -> int:
        """Units of the last layer."""
        return self.layers[-1].units

    @property
    def n_parameters(self) -> int:
        """Weights and biases in all; a shared bias counts once."""
        return sum(int(np.prod(shape)) for _, shape in shapes(self.n_inputs, self.layers))

    # -- between panels and everyday arrays --------------------------------------------------------

    def checked(self, weights: Sequence[ArrayLike]) -> list[Array]:
        """`weights` as arrays of the parameters' dtype, after every check of `set_weights`."""
        return check_weights(weights, self.n_inputs, self.layers, self.dtype)

    def unpack(self, buffer: Array) -> list[Array]:
        """Copies of all arrays that stand in a buffer of this layout: W (n_in, n_out), b, ...

        Also of gradients and optimizer slots, which end where zeros and transposes would begin.
        """
        result: list[Array] = []
        for layer in self.layout.layers:
            shape = layer.stored_rows, layer.stored_columns
            stored = np.empty(shape, buffer.dtype)
            for view, first, n in _matrix_panels(buffer, layer.weights, *shape):
                stored[:, first : first + n] = view[:, :n]
            result.append(np.ascontiguousarray(stored.T) if layer.narrow else stored)
            if layer.bias != lay.BIAS_NONE:
                n = 1 if layer.bias == lay.BIAS_SHARED else layer.n_out
                result.append(buffer[layer.biases : layer.biases + n].copy())
        return result

    def pack(self, buffer: Array, arrays: Sequence[Array]) -> None:
        """Write all arrays into a buffer, with the zeros and transposes beside them."""
        layout, rest = self.layout, iter(arrays)
        buffer[layout.zeros : layout.zeros + TILE_VECTORS * lanes(layout.itemsize)] = 0.0
        for layer in layout.layers:
            w = next(rest)
            _write_matrix(buffer, layer.weights, w.T if layer.narrow else w)
            if layer.transposed >= 0 and not layer.narrow:
                _write_matrix(buffer, layer.transposed, w.T)
            bias = buffer[layer.biases : layer.biases + layer.ld_out]
            bias[:] = 0.0
            if layer.bias != lay.BIAS_NONE:
                bias[: layer.n_out] = next(rest)

    def pack_slot(self, slot: Array, arrays: Sequence[Array]) -> None:
        """Write all arrays into an optimizer's slot, which has no zeros and no transposes."""
        rest = iter(arrays)
        for layer in self.layout.layers:
            w = next(rest)
            _write_matrix(slot, layer.weights, w.T if layer.narrow else w)
            if layer.bias != lay.BIAS_NONE:
                slot[layer.biases : layer.biases + layer.n_out] = next(rest)

    # -- reading -----------------------------------------------------------------------------------

    def read(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work` with a buffer that nobody changes meanwhile, and these arguments.

        The buffer is the live one, or while a fit goes on a snapshot of a finished update.
        """
        reader = object()
        try:
            return work(self.begin_reading(reader), *arguments)
        finally:
            try:
                self.readers.pop(reader, None)
            finally:
                pass  # (runtime/locks.py)

    def begin_reading(self, reader: object) -> Array:
        """A buffer that nobody changes while `reader` is in `readers`.

        For `read`, and where a call more would take too long, a copy of its lines.
        """
        if self._training:
            shown = self._mutex.holding(self._begin_reading_shown, reader)
            if shown is not None:
                return shown
        gate, held = self._gate, False
        try:  # as `Lock.holding` does
            for held in gate.taking:  # noqa: B007
                break
            self.readers[reader] = self.buffer
        finally:
            try:
                if held:
                    gate.release()
            finally:
                pass
        return self.buffer

    def _begin_reading_shown(self, reader: object) -> Array | None:
        shown = self._shown()
        if shown is None:
            return None
        self.readers[reader] = shown[0]
        return shown[0]

    def address_of(self, buffer: Array) -> int:
        """The address of a buffer that `begin_reading` has given; quick for the live one."""
        return self._address if buffer is self.buffer else int(buffer.ctypes.data)

    def _shown(self) -> list[Array] | None:
        """What readers are shown while a fit goes on.

        A fit that is not running any more has been broken off before it could take itself out.
        """
        for fit, shown in list(self._training.items()):
            if fit.running:
                return shown
        return None

    def _read_by_any(self, buffer: Array) -> bool:
        return any(read is buffer for read in list(self.readers.values()))

    # -- changing ----------------------------------------------------------------------------------

    def unchanged_since(self, version: int | None) -> bool:
        """Whether the parameters are surely as they were in that version."""
        return self.version == version and not self.untold

    def change(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work`, which changes the live buffer, while nobody reads it; show the result."""
        gate, held = self._gate, False
        try:  # as `_alone` and `Lock.holding`, whose calls would show in small epochs
            for held in gate.taking:  # noqa: B007
                break
            if self.readers:
                self._wait_for_readers()
            # Counted before: an interrupt in between makes a change of nothing, which costs
            # somebody a look, where the other way round a change would pass unseen.
            self.version += 1
            result = work(*arguments)
            self._publish()
        finally:
            try:
                if held:
                    gate.release()
            finally:
                pass
        return result

    def replace(self, buffer: Array, expected: int | None = None) -> bool:
        """Make these the parameters, as a whole; whether it was done.

        Parameters
        ----------
        buffer : ndarray
            A whole buffer, with its zeros and transposes.
        expected : int or None
            The version that is to be replaced: nothing is done where somebody else has changed the
            parameters since.
        """
        return self._alone(self._replaced, buffer, expected)

    def begin_training(self, fit: Training) -> None:
        """Let a fit change the parameters: others read snapshots of finished updates from now on.

        Raises
        ------
        RuntimeError
            Another fit is at work on them.
        """
        self._alone(self._begun, fit)

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all arrays, checked, at once: an interrupt leaves those that there were."""
        checked, whole = self.checked(weights), self.buffer.copy()
        self.pack(whole, checked)
        self.replace(whole)

    def _alone(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work` while nobody else changes the live buffer, and nobody reads it."""
        result: T = self._gate.holding(self._without_readers, work, *arguments)
        return result

    def _without_readers(self, work: Callable[..., T], *arguments: Any) -> T:
        if self.readers:  # new ones wait at the gate
            self._wait_for_readers()
        return work(*arguments)

    def _wait_for_readers(self) -> None:
        pause = 0.0
        while self._read_by_any(self.buffer):
            time.sleep(pause)
            pause = min(1e-3, pause + 2e-5)

    def _replaced(self, buffer: Array, expected: int | None) -> bool:
        if expected is not None and expected != self.version:
            return False
        self.version += 1
        np.copyto(self.buffer, buffer)
        self._publish()
        return True

    def _begun(self, fit: Training) -> None:
        self._mutex.holding(self._note, fit)

    def _note(self, fit: Training) -> None:
        for other in list(self._training):
            if other.running and other is not fit:
                raise RuntimeError("another trainer is at work on this network")
        self._training.clear()
        self._training[fit] = [self.buffer.copy()]

    def _publish(self) -> None:
        """Show the parameters, which nobody changes meanwhile, to readers of snapshots."""
        if not self._training:
            return
        mutex, held = self._mutex, False
        try:  # as `Lock.holding` does
            for held in mutex.taking:  # noqa: B007
                break
            for shown in list(self._training.values()):
                if not (self.readers and self._read_by_any(shown[0])):
                    shown[0][:] = self.buffer
                else:  # those who read the old one keep it
                    shown[0] = self.buffer.copy()
        finally:
            try:
                if held:
                    mutex.release()
            finally:
                pass

    # -- forks -------------------------------------------------------------------------------------

    def _fork_locks(self) -> Iterator[threading.Lock]:
        """So that the parameters, or the snapshot of a fit, are whole in the child.

        A fit needn't be waited for: the child goes on from its snapshot.
        """
        if self._shown() is None:
            yield self._gate.lock
        yield self._mutex.lock

    def _after_fork(self) -> None:
        self._gate, self._mutex = Lock(), Lock()
        self.readers.clear()
        for fit, shown in list(self._training.items()):
            # Parameters are told of forks before trainers are, so a fit still says if it ran.
            if fit.thread != threading.get_ident():
                if fit.running:
                    self.version += 1
                    self.buffer[:] = shown[0]
                del self._training[fit]


def _matrix_panels(
    buffer: Array, offset: int, rows: int, columns: int
) -> list[tuple[Array, int, int]]:
    """Views ``(rows, width)`` of a matrix's panels, each with the columns that it holds."""
    views = []
    for first, width in lay.panels(columns, buffer.itemsize):
        view = buffer[offset : offset + rows * width].reshape(rows, width)
        views.append((view, first, min(width, columns - first)))
        offset += rows * width
    return views


def _write_matrix(buffer: Array, offset: int, matrix: Array) -> None:
    for view, first, n in _matrix_panels(buffer, offset, *matrix.shape):
        view[:, :n] = matrix[:, first : first + n]
        view[:, n:] = 0.0
