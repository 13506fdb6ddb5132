"""Who may touch a network's parameters, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastbp.runtime.forking import Watched, watch

Array = NDArray[Any]
T = TypeVar("T")


class _NoReaders:
    """Entered when nobody reads the live parameters. It takes nothing that could be left taken."""

    def __init__(self, readers: dict[object, Array], parameters: Array) -> None:
        self._readers, self._parameters = readers, parameters

    def __enter__(self) -> None:
        pause = 0.0
        while self._readers and read_by_any(
            self._readers, self._parameters
        ):  # new ones wait at the gate
            time.sleep(pause)
            pause = min(1e-3, pause + 2e-5)

    def __exit__(self, *_: object) -> None:
        pass


def read_by_any(readers: dict[object, Array], parameters: Array) -> bool:
    return any(read is parameters for read in list(readers.values()))


class Training(Protocol):
    """Whoever changes the parameters for as long as a fit lasts."""

    thread: int | None

    @property
    def running(self) -> bool:
        """Whether the fit is still under way."""


class SharedParameters(Watched):
    """Lets many threads read the parameters while at most one changes them."""

    _parameters: Array

    def _init_sharing(self) -> None:
        self._parameters_address = int(self._parameters.ctypes.data)
        # Taken in this order.
        self._gate = threading.Lock()  # held by one who changes the parameters
        self._mutex = threading.Lock()  # guards the snapshot
        self._readers: dict[object, Array] = {}  # and what they read
        self._no_readers = _NoReaders(self._readers, self._parameters)
        # The fit under way, and in a list of one what others see meanwhile. Its end is to take it
        # out: one step, which an interrupt can't come into.
        self._training: dict[Training, list[Array]] = {}
        #: Counts the changes of the parameters: who believes that they are as they were compares.
        self._version = 0
        #: Whether compiled code has been handed out that changes them without counting.
        self._untold = False
        watch(self)

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
        if self._training:
            with self._mutex:
                shown = self._shown()
                if shown is not None:
                    self._readers[reader] = shown[0]
                    return shown[0]
        with self._gate:
            self._readers[reader] = self._parameters
        return self._parameters

    def _shown(self) -> list[Array] | None:
        """What readers are shown while a fit goes on.

        A fit that is not running any more has been broken off before it could take itself out.
        """
        for fit, shown in list(self._training.items()):
            if fit.running:
                return shown
        return None

    def _address_of(self, parameters: Array) -> int:
        live = parameters is self._parameters
        return self._parameters_address if live else int(parameters.ctypes.data)

    def _unchanged_since(self, version: int | None) -> bool:
        """Whether the parameters are surely as they were in that version."""
        return self._version == version and not self._untold

    def _change(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work`, which changes the parameters, while nobody reads them, and show the result.

        The version is counted before: an interrupt in between makes a change of nothing, which
        costs somebody a look, where the other way round a change would pass unseen.
        """
        with self._gate, self._no_readers:
            self._version += 1
            result = work(*arguments)
            self._publish()
        return result

    def _replace(self, parameters: Array, expected: int | None = None) -> bool:
        """Make these the parameters, as a whole; whether it was done.

        Parameters
        ----------
        parameters : ndarray
            A whole buffer, with its zeros and transposes.
        expected : int or None
            The version that is to be replaced: nothing is done where somebody else has changed the
            parameters since.
        """
        with self._gate, self._no_readers:
            if expected is not None and expected != self._version:
                return False
            self._version += 1
            np.copyto(self._parameters, parameters)
            self._publish()
        return True

    def _begin_training(self, fit: Training) -> None:
        """A fit begins: others read snapshots of finished updates.

        It ends by ``network._training.pop(fit, None)``, which may be said without its beginning.
        """
        with self._gate, self._no_readers, self._mutex:
            for other in list(self._training):
                if other.running and other is not fit:
                    raise RuntimeError("another trainer is at work on this network")
            self._training.clear()
            self._training[fit] = [self._parameters.copy()]

    def _publish(self) -> None:
        """Show the parameters, which nobody changes meanwhile, to readers of snapshots."""
        if not self._training:
            return
        with self._mutex:
            for shown in list(self._training.values()):
                if not (self._readers and read_by_any(self._readers, shown[0])):
                    shown[0][:] = self._parameters
                else:  # those who read the old one keep it
                    shown[0] = self._parameters.copy()

    def _fork_locks(self) -> Iterator[threading.Lock]:
        """So that the parameters, or the snapshot of a fit, are whole in the child.

        A fit needn't be waited for: the child goes on from its snapshot.
        """
        if self._shown() is None:
            yield self._gate
        yield self._mutex

    def _after_fork(self) -> None:
        self._gate, self._mutex = threading.Lock(), threading.Lock()
        self._readers.clear()
        for fit, shown in list(self._training.items()):
            # A network is told of forks before its trainers are, so a fit still says if it ran.
            if fit.thread != threading.get_ident():
                if fit.running:
                    self._version += 1
                    self._parameters[:] = shown[0]
                del self._training[fit]
