"""Who may touch a network's parameters, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


class SharedParameters:
    """Lets many threads read the parameters while at most one changes them."""

    _parameters: Array

    def _init_sharing(self) -> None:
        self._parameters_address = int(self._parameters.ctypes.data)
        # Taken in this order.
        self._gate = threading.Lock()  # where readers wait for a writer that waits for readers
        self._counting = threading.Lock()  # guards _readers
        self._write_lock = threading.Lock()  # held by one who changes the parameters, or by readers
        self._mutex = threading.Lock()  # guards the snapshot and the number of its readers
        self._readers = 0  # of the live parameters
        self._snapshot: Array | None = None  # what others see while a fit changes the parameters
        self._snapshot_readers = 0
        self._trained_by: object = None

    def _begin_reading(self) -> Array:
        """Parameters that nobody changes until `_end_reading`.

        The live ones, or a fit's last snapshot.
        """
        with self._mutex:
            if self._snapshot is not None:
                self._snapshot_readers += 1
                return self._snapshot
        with self._gate, self._counting:
            if self._readers == 0:
                self._write_lock.acquire()
            self._readers += 1
        return self._parameters

    def _end_reading(self, parameters: Array) -> None:
        if parameters is self._parameters:
            with self._counting:
                self._readers -= 1
                if self._readers == 0:
                    self._write_lock.release()
            return
        with self._mutex:
            if parameters is self._snapshot:
                self._snapshot_readers -= 1

    @contextmanager
    def _reading(self) -> Iterator[Array]:
        parameters = self._begin_reading()
        try:
            yield parameters
        finally:
            self._end_reading(parameters)

    def _address_of(self, parameters: Array) -> int:
        live = parameters is self._parameters
        return self._parameters_address if live else int(parameters.ctypes.data)

    # A writer says ``with network._gate, network._write_lock:`` itself, and then `_publish`. An
    # interrupt may come between any two steps of Python's, and a generator or an __enter__ of our
    # own could then be left with the locks taken; entering a lock's `with` is one step.

    def _begin_training(self, trainer: object) -> None:
        """A fit begins: others read snapshots of finished updates."""
        with self._gate, self._write_lock, self._mutex:
            if self._trained_by is not None and self._trained_by is not trainer:
                raise RuntimeError("another trainer is at work on this network")
            self._trained_by = trainer
            self._snapshot, self._snapshot_readers = self._parameters.copy(), 0

    def _end_training(self, trainer: object) -> None:
        """The fit of that trainer is over, if it was begun."""
        with self._mutex:
            if self._trained_by is trainer:
                self._snapshot = self._trained_by = None

    def _publish(self) -> None:
        """Show the parameters, which nobody changes meanwhile, to readers of snapshots."""
        with self._mutex:
            if self._snapshot is None:
                return
            if self._snapshot_readers == 0:
                self._snapshot[:] = self._parameters
            else:  # those who read the old one keep it
                self._snapshot, self._snapshot_readers = self._parameters.copy(), 0
