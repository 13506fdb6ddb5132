"""A solver that is interrupted, or watched for its memory: nothing is half done, nothing grows."""

from __future__ import annotations

import linecache
import tracemalloc
from itertools import pairwise
from types import FrameType

import child
import naive
import numpy as np
import pytest
from cases import SOLVERS, bits, grid, trainer_of
from interrupting import interrupt_at

import fastbp
from fastbp.training import solvers

FOLDER = str(solvers.__path__[0])


def entering(frame: FrameType) -> bool:
    """Whether this is a with's line, which is traced between the body's end and the release too.

    No signal is delivered there.
    """
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return line.lstrip().startswith("with ")


def problem(refined: bool) -> tuple[fastbp.Network, np.ndarray, np.ndarray]:
    """The grid, for a network with penalties and a frozen layer, or for one without."""
    net, X, y = grid()
    if refined:
        layers = [
            fastbp.Dense(6, "tanh", l2=1e-5),
            fastbp.Dense(5, "tanh", trainable=False),
            fastbp.Dense(1, l2=1e-5),
        ]
        net = fastbp.Network(2, layers, dtype="float64", seed=0)
    return net, X, y


def interrupt_at_every_line(solver: str, refined: bool) -> list[int]:
    """A KeyboardInterrupt at the n-th line that the solvers' files execute, for every n.

    Afterwards the network is at one of the iterates of an undisturbed run, and goes on from there.
    Gives how many lines were tried, and how many of them ended in the interrupt.
    """
    iterations = 3
    net, X, y = problem(refined)
    start = net.get_weights()
    trainer = trainer_of(net, solver)
    iterates = [bits(net)]
    for _ in range(iterations):
        trainer.fit(X, y)
        iterates.append(bits(net))
    raised = line = 0

    while True:
        line += 1
        net.set_weights(start)
        trainer = trainer_of(net, solver)

        def fit(trainer: fastbp.Trainer = trainer) -> None:
            trainer.fit(X, y, epochs=iterations)

        outcome = interrupt_at(line, fit, FOLDER, entering)
        raised += outcome.raised
        assert bits(net) in iterates
        before = trainer.evaluate(X, y)["loss"]
        history = trainer.fit(X, y, epochs=2)
        assert history.loss[0] == before
        assert trainer.evaluate(X, y)["loss"] < before
        if not outcome.reached:  # all lines were passed
            return [line - 1, raised]


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interrupt_at_any_line(solver: str, refined: bool) -> None:
    lines, raised = child.call(interrupt_at_every_line, solver, refined, timeout=60)
    assert lines > 100
    assert raised == lines


@pytest.mark.parametrize("solver", SOLVERS)
def test_iterations_take_no_memory(solver: str) -> None:
    """No iteration but the first few, in which buffers and caches are made."""
    net, X, y = grid("float32")
    trainer = trainer_of(net, solver)
    trainer.fit(X, y, epochs=20)
    marks: list[tuple[int, int]] = []

    def at_epochs_end(progress: fastbp.Progress) -> None:
        marks.append(tracemalloc.get_traced_memory())
        tracemalloc.reset_peak()

    tracemalloc.start()
    try:
        trainer.fit(X, y, epochs=12, progress=at_epochs_end)
    finally:
        tracemalloc.stop()
    assert len(marks) == 12
    for (start, _), (end, peak) in pairwise(marks):
        assert peak - start < 8192  # a hundredth of the Jacobian, or of one pair's history
        assert end - start < 1024


@pytest.mark.parametrize("solver", SOLVERS)
def test_buffers_are_written_before_they_are_read(solver: str) -> None:
    """NaN in every buffer that a fit should fill changes nothing."""
    found = []
    for poison in (False, True):
        net, X, y = grid()
        trainer = trainer_of(net, solver, n_threads=2)
        trainer.fit(X[:50], y[:50], epochs=1)
        driver = trainer._session.solver
        net, *_ = grid()
        trainer.network.set_weights(net.get_weights())
        if solver == "lbfgs":
            driver._count = 0
        else:
            driver._damping = 1e-3
        if poison:
            kept = {id(a) for a in (driver._sources, driver._places, driver.x)}
            for buffer in driver._buffers:
                if buffer.dtype.kind == "f" and id(buffer) not in kept:
                    buffer[:] = np.nan
            # the padding's 0 in front of a vector, and a tile's row of zeros
            vectors = [a for a in driver._buffers if len(a) == 1 + driver.n]
            for vector in vectors:
                vector[0] = 0.0
            if solver == "levenberg_marquardt":
                driver._zeros[:] = 0.0
        trainer.fit(X, y, epochs=6)
        found.append(naive.flat(trainer.network.get_weights()))
    np.testing.assert_array_equal(found[1], found[0])
    assert np.isfinite(found[0]).all()
