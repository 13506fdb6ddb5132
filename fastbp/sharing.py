"""Who may touch a network's parameters, and when."""

from __future__ import annotations

import threading
import time
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


class _NoReaders:
    """Entered when nobody reads the live parameters. It takes nothing that could be left taken."""

    def __init__(self, readers: dict[object, Array], parameters: Array) -> None:
        self._readers, self._parameters = readers, parameters

    def __enter__(self) -> None:
        pause = 0.0
        while read_by_any(self._readers, self._parameters):  # new ones wait at the gate
            time.sleep(pause)
            pause = min(1e-3, pause + 2e-5)

    def __exit__(self, *_: object) -> None:
        pass


def read_by_any(readers: dict[object, Array], parameters: Array) -> bool:
    return bool(readers) and any(read is parameters for read in list(readers.values()))


class SharedParameters:
    """Lets many threads read the parameters while at most one changes them."""

    _parameters: Array

    def _init_sharing(self) -> None:
        self._parameters_address = int(self._parameters.ctypes.data)
        # Taken in this order.
        self._gate = threading.Lock()  # held by one who changes the parameters
        self._mutex = threading.Lock()  # guards the snapshot
        self._readers: dict[object, Array] = {}  # and what they read
        self._no_readers = _NoReaders(self._readers, self._parameters)
        self._snapshot: Array | None = None  # what others see while a fit changes the parameters
        self._trained_by: object = None

    def _begin_reading(self, reader: object) -> Array:
        """Parameters that nobody changes while `reader` is in `_readers`.

        The live ones, or a fit's last snapshot. Readers come and go in one step each, as an
        interrupt may come between any two steps of Python's ::

            reader = object()
            try:
                parameters = network._begin_reading(reader)
                ...
            finally:
                network._readers.pop(reader, None)
        """
        with self._mutex:
            if self._snapshot is not None:
                self._readers[reader] = self._snapshot
                return self._snapshot
        with self._gate:
            self._readers[reader] = self._parameters
        return self._parameters

    def _address_of(self, parameters: Array) -> int:
        live = parameters is self._parameters
        return self._parameters_address if live else int(parameters.ctypes.data)

    # A writer says ``with network._gate, network._no_readers:`` itself, and then `_publish`:
    # entering a lock's `with` is one step, a generator or an __enter__ of our own is not.

    def _begin_training(self, trainer: object) -> None:
        """A fit begins: others read snapshots of finished updates."""
        with self._gate, self._no_readers, self._mutex:
            if self._trained_by is not None and self._trained_by is not trainer:
                raise RuntimeError("another trainer is at work on this network")
            self._trained_by = trainer
            self._snapshot = self._parameters.copy()

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
            if not read_by_any(self._readers, self._snapshot):
                self._snapshot[:] = self._parameters
            else:  # those who read the old one keep it
                self._snapshot = self._parameters.copy()
