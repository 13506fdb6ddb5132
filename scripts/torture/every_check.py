#!/usr/bin/env python
"""Interrupt a `fit` wherever Python looks for signals, one place after the other.

    python scripts/torture/every_check.py
    python scripts/torture/every_check.py --second 1 2 3

What `interrupts.py` leaves to chance this goes through: no timer, the same places each time, and
those where the running version of Python really looks (3.10 looks in more places than later ones).
Afterwards no lock is held, and the history and what `Trainer.save` writes are those of an
uninterrupted run, which the saved state is resumed to the end to tell. With `--second` another
interrupt comes as Python looks again so many times later. Exits with 1 if something is not so,
and says where. Solvers over whole sets are not here: what is saved between an iteration and the
epoch's end that counts it has that iteration already. About two minutes for each distance.
"""

from __future__ import annotations

import _thread
import argparse
import os
import signal
import sys
import tempfile
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

import fastbp
from fastbp.training.fit import Fit

EPOCHS = 3
DEPTH = 8  # frames of a place that are printed
_FRAMES = 3  # that tell places apart


class _Token:
    """Something to let go of."""


class _Trip(weakref.ref):  # type: ignore[type-arg]
    trip = _thread.interrupt_main


_TRIP = methodcaller("trip")


class Checks:
    """Counts how often Python looks for signals, and raises where it is told to.

    A signal is always pending: its handler ends by leaving the next one behind. That has to come
    after all that Python looks at in the handler itself, so it is what C does as an object goes.

    Attributes
    ----------
    seen : int
        How often it has looked.
    stacks : list
        Where, in the last `run` that was to keep it: (code, instruction) from the innermost frame.
    places : list of str
        Where the last `run` raised.
    """

    def __init__(self) -> None:
        self.seen, self.stacks, self.places = 0, list[tuple[Any, ...]](), list[str]()
        self._at: tuple[int, ...] = ()
        self._on = self._keeps = False
        self.before = signal.signal(signal.SIGINT, self._handle)

    def _handle(self, _: int, frame: FrameType | None) -> None:
        if not self._on:
            return
        token = _Token()
        going = _Trip(token, _TRIP)
        self.seen += 1
        if self._keeps:
            self.stacks.append(_stack(frame))
        if self.seen in self._at:
            self.places.append(_told(frame))
            if self.seen == max(self._at):
                self._on = False
            del token
            raise KeyboardInterrupt
        del token, going

    def begin(self) -> None:
        """From now on, until `run` ends."""
        self._on = True
        _thread.interrupt_main()

    def run(self, work: Callable[[], object], *at: int, keep: bool = False) -> None:
        """Call `work`, which calls `begin`, with interrupts as Python looks the n-th times."""
        self.seen, self._at, self._keeps = 0, at, keep
        self.stacks.clear()
        self.places.clear()
        try:
            try:
                work()
                self._on = False
            except KeyboardInterrupt:
                self._on = False
        except KeyboardInterrupt:  # the second, where the first was caught
            self._on = False


def _stack(frame: FrameType | None) -> tuple[Any, ...]:
    found = []
    while frame is not None:
        found.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(found)


def _told(frame: FrameType | None) -> str:
    lines: list[str] = []
    while frame is not None and len(lines) < DEPTH:
        code = frame.f_code
        name = "/".join(code.co_filename.split(os.sep)[-2:])
        lines.append(f"{name}:{frame.f_lineno} in {code.co_name}, instruction {frame.f_lasti}")
        frame = frame.f_back
    return "\n      from ".join(lines)


class ShortChunks(fastbp.Callback):
    """Back to Python after every batch."""

    longest_chunk = 0.0


class BreakOff(ShortChunks):
    """Ends a fit inside its second epoch."""

    _looks_on = True
    chunks = 0

    def on_chunk_end(self, trainer: fastbp.Trainer) -> None:
        self.chunks += 1
        if self.chunks == 5:
            raise KeyboardInterrupt


def _stopping() -> list[fastbp.Callback]:
    return [ShortChunks(), fastbp.EarlyStopping(patience=9)]


def _by_step() -> Any:
    return fastbp.Adam(fastbp.CosineDecay(1e-2, length=12, per="step"))


def _on_plateau() -> Any:
    return fastbp.SGD(fastbp.ReduceOnPlateau(0.5, patience=0))


class Scenario(NamedTuple):
    """A fit that is interrupted: its optimizer, its callbacks, and whether it goes on with one."""

    optimizer: Callable[[], Any]
    callbacks: Callable[[], list[fastbp.Callback]]
    resumes: bool

    def trainer(self) -> fastbp.Trainer:
        layers = [fastbp.Dense(5, "tanh", dropout=0.1), fastbp.Dense(3, "softmax")]
        network, optimizer = fastbp.Network(4, layers, seed=1), self.optimizer()
        return fastbp.Trainer(
            network, "cross_entropy", optimizer, batch_size=3, seed=2, n_threads=1
        )

    def fit(
        self, trainer: fastbp.Trainer, resume: str | None, *more: fastbp.Callback
    ) -> list[bytes]:
        """Train to the end, and return what came of it."""
        callbacks = [*self.callbacks(), *more]
        history = trainer.fit(
            *_SAMPLES, EPOCHS, validation_data=_VALIDATION, callbacks=callbacks, resume=resume,
            progress=False,
        )  # fmt: skip
        stopping = [c for c in callbacks if isinstance(c, fastbp.EarlyStopping)]
        told = [float(f) for c in stopping for f in (c.best, c.best_epoch, c.state()["waited"])]
        figures = [told, trainer.learning_rate, history.loss, history.val_loss]
        arrays = [*trainer.network.get_weights(), *figures]
        return [np.asarray(a).tobytes() for a in arrays]


_draw = np.random.default_rng(0)
_SAMPLES, _VALIDATION = (
    (_draw.normal(size=(n, 4)).astype(np.float32), _draw.integers(3, size=n)) for n in (9, 5)
)

SCENARIOS = {
    "plain": Scenario(_by_step, list, False),
    "chunks": Scenario(_on_plateau, lambda: [ShortChunks()], False),
    "stopping": Scenario(_by_step, _stopping, False),
    "resumed": Scenario(_by_step, list, True),
    "resumed stopping": Scenario(_on_plateau, _stopping, True),
}


@contextmanager
def _beginning(checks: Checks, whole: bool) -> Iterator[None]:
    """Have `checks` begin with a fit's work, or with the whole of what `Trainer.fit` does."""
    owner: Any = fastbp.Trainer if whole else Fit
    name = "fit" if whole else "run"
    kept = getattr(owner, name)

    def beginning(*arguments: Any, **named: Any) -> Any:
        checks.begin()
        return kept(*arguments, **named)

    setattr(owner, name, beginning)
    try:
        yield
    finally:
        setattr(owner, name, kept)


class Fits:
    """A scenario's fits, in a folder for what they save.

    Parameters
    ----------
    scenario : Scenario
    checks : Checks
    folder : str
    whole : bool
        Whether the checks of arguments, and of what is resumed, are gone through too.
    """

    def __init__(self, scenario: Scenario, checks: Checks, folder: str, whole: bool) -> None:
        self.scenario, self.checks, self.whole = scenario, checks, whole
        self.path, self.resume = os.path.join(folder, "saved"), None
        self.expected = scenario.fit(scenario.trainer(), None)
        if scenario.resumes:
            self.resume = os.path.join(folder, "resumed")
            trainer = scenario.trainer()
            try:
                scenario.fit(trainer, None, BreakOff())
            except KeyboardInterrupt:
                trainer.save(self.resume)

    def places(self, depth: int) -> list[int]:
        """How often Python has looked as it first looks in each place.

        Places are the same that `depth` frames, from the innermost one, are the same of.
        """
        self._interrupted(keep=True)
        stacks = [stack[:depth] for stack in self.checks.stacks]
        return [stacks.index(stack) + 1 for stack in dict.fromkeys(stacks)]

    def _interrupted(self, *at: int, keep: bool = False) -> fastbp.Trainer:
        trainer = self.scenario.trainer()
        with _beginning(self.checks, self.whole):
            self.checks.run(lambda: self.scenario.fit(trainer, self.resume), *at, keep=keep)
        return trainer

    def faults(self, *at: int) -> list[str]:
        """What is wrong after interrupts as Python looks those times."""
        trainer, found = self._interrupted(*at), []
        parameters = trainer._session.parameters
        locks = {
            "the parameters' gate": parameters._gate,
            "the parameters' mutex": parameters._mutex,
            "the trainer's lock": trainer._session.lock,
        }
        for name, lock in locks.items():
            if lock.locked():
                found.append(f"{name} is held")
                lock.release()
        if parameters.readers:
            found.append("a reader is left")
            parameters.readers.clear()
        history = trainer.history
        losses = b"" if history is None else np.asarray(history.loss).tobytes()
        if not self.expected[-2].startswith(losses):
            found.append("the history is another")
        trainer.save(self.path)
        if self.scenario.fit(self.scenario.trainer(), self.path) != self.expected:
            found.append("resumed to the end it is another run")
        return found


def torture(
    names: list[str], seconds: list[int], depth: int = _FRAMES, every: int = 1, whole: bool = False
) -> dict[str, int]:
    """Go through scenarios: how many trials there were, and how many of them left a fault.

    Parameters
    ----------
    names : list of str
        Of `SCENARIOS`.
    seconds : list of int
        How many looks later a second interrupt comes; 0 for none.
    depth : int
        See `Fits.places`.
    every : int
        Of the places, so many-th are tried.
    whole : bool
        See `Fits`.
    """
    warnings.simplefilter("ignore")
    checks, counts = Checks(), Counter(trials=0, faults=0)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            fits = Fits(SCENARIOS[name], checks, folder, whole)
            places = fits.places(depth)
            for later in seconds:
                started, told, bad = time.perf_counter(), set[str](), 0
                for first in places[::every]:
                    at = (first, first + later) if later else (first,)
                    faults = fits.faults(*at)
                    bad += bool(faults)
                    text = "\n    and ".join([", ".join(faults), *checks.places])
                    if faults and text not in told:
                        told.add(text)
                        print(f"  {name}, looks {at}: {text}", file=sys.stderr)
                trials = len(places[::every])
                counts.update(trials=trials, faults=bad)
                then = f", and {later} later" if later else ""
                took = time.perf_counter() - started
                print(f"{name}: {trials} places{then}; {bad} wrong; {took:.0f} s", flush=True)
    signal.signal(signal.SIGINT, checks.before)
    return dict(counts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument(
        "--second", type=int, nargs="+", default=[0, 1], metavar="LATER",
        help="how many looks later another one comes, 0 for none (default: 0 1)",
    )  # fmt: skip
    parser.add_argument("--every", type=int, default=1, help="try each so many-th place only")
    parser.add_argument(
        "--depth",
        type=int,
        default=_FRAMES,
        help="innermost frames that tell places apart",
    )
    parser.add_argument("--whole", action="store_true", help="checks of arguments as well")
    options = parser.parse_args()
    names = options.names or list(SCENARIOS)
    counts = torture(names, options.second, options.depth, options.every, options.whole)
    return int(counts["faults"] > 0)


if __name__ == "__main__":
    sys.exit(main())
