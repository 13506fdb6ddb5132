"""`Trainer(batch_size="auto")`: 32, and the whole set for solvers; what of it others see."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import SOLVERS, bits

import fastbp
from fastbp.files import checkpoints

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(100, 3)), RNG.normal(size=100)


def trainer_of(optimizer: Any = "sgd", **settings: Any) -> fastbp.Trainer:
    layers = [fastbp.Dense(4, "tanh"), fastbp.Dense(1)]
    network = fastbp.Network(3, layers, dtype="float64", seed=0)
    return fastbp.Trainer(network, "mse", optimizer, seed=0, **settings)


def fitted(trainer: fastbp.Trainer, epochs: int = 3, **arguments: Any) -> tuple[bytes, list[float]]:
    history = trainer.fit(X, Y, epochs=epochs, **arguments)
    return bits(trainer.network), history.loss


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rprop", *SOLVERS])
def test_auto_is_the_default_and_what_it_means(optimizer: str) -> None:
    solves = optimizer in SOLVERS
    expected = fitted(trainer_of(optimizer, batch_size=None if solves else 32))
    for settings in ({}, {"batch_size": "auto"}):
        trainer = trainer_of(optimizer, **settings)
        assert trainer.batch_size == "auto"
        assert fitted(trainer) == expected
    other = trainer_of(optimizer, batch_size=None)
    assert (fitted(other) == expected) == solves


def test_accumulate_goes_by_32() -> None:
    expected = fitted(trainer_of(batch_size=64))
    assert fitted(trainer_of(accumulate=2)) == expected


@pytest.mark.parametrize("optimizer", ["sgd", *SOLVERS])
def test_it_may_be_set_between_calls(optimizer: str) -> None:
    trainer = trainer_of(optimizer, batch_size=None)
    trainer.batch_size = "auto"
    assert fitted(trainer) == fitted(trainer_of(optimizer))
    for wrong, error in ((0, ValueError), ("all", TypeError), (2.0, TypeError)):
        with pytest.raises(error, match="batch_size must be an int >= 1, None or 'auto', got"):
            trainer.batch_size = wrong  # type: ignore[assignment]
    assert trainer.batch_size == "auto"


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_take_nothing_else(solver: str) -> None:
    """Neither as an argument nor set later, when it was taken and not heeded."""
    message = "batch_size must be 'auto' or None .the whole set. for .*, got 32"
    with pytest.raises(ValueError, match=message):
        trainer_of(solver, batch_size=32)
    trainer = trainer_of(solver)
    with pytest.raises(ValueError, match=message):
        trainer.batch_size = 32
    with pytest.raises(ValueError, match="accumulate doesn't go with"):
        trainer.accumulate = 2
    assert (trainer.batch_size, trainer.accumulate) == ("auto", 1)
    trainer.shuffle, trainer.seed = False, 5


def test_compiled_updates_by_at_most_32_rows() -> None:
    import fastbp.jit

    trainer = trainer_of()
    state = trainer.compiled()
    train = fastbp.jit.train_batch
    x, y = np.ascontiguousarray(X[:33]), np.ascontiguousarray(Y[:33, None])
    assert train(state, x[:32], y[:32])[0] == fastbp.jit.OK
    assert train(state, x, y)[0] == fastbp.jit.WRONG_SHAPE
    assert train(trainer_of(batch_size=None).compiled(), x[:2], y[:2])[0] == fastbp.jit.WRONG_SHAPE


@pytest.mark.parametrize("optimizer", ["adam", *SOLVERS])
def test_copies_and_files_keep_it(optimizer: str, tmp_path: Path) -> None:
    trainer = trainer_of(optimizer)
    trainer.fit(X, Y, epochs=2)
    trainer.save(tmp_path / "trainer")
    others = [pickle.loads(pickle.dumps(trainer)), copy.deepcopy(trainer)]
    others.append(fastbp.Trainer.load(tmp_path / "trainer"))
    expected = fitted(trainer)
    for other in others:
        assert other.batch_size == "auto"
        assert fitted(other) == expected


@pytest.mark.parametrize("optimizer", ["adam", *SOLVERS])
def test_checkpoints_go_on_where_the_same_is_meant(optimizer: str, tmp_path: Path) -> None:
    """Those of before, with a number or None in them, and the other way round."""
    said = None if optimizer in SOLVERS else 32
    expected = fitted(trainer_of(optimizer), 5)
    for number, (there, here) in enumerate([(said, "auto"), ("auto", said)]):
        folder = tmp_path / str(number)
        first = trainer_of(optimizer, batch_size=there)
        first.fit(X, Y, epochs=2, callbacks=[fastbp.Checkpoint(folder)])
        _, kept = checkpoints.newest(str(folder), 1)  # type: ignore[misc]
        assert kept["settings"]["batch_size"] == there
        trainer = trainer_of(optimizer, batch_size=here)
        weights, losses = fitted(trainer, 5, resume=folder)
        assert (weights, losses) == expected
        assert trainer.batch_size == here
        assert fastbp.Trainer.load(next(folder.iterdir())).batch_size == there


@pytest.mark.parametrize("there", ["auto", 16, None])
def test_checkpoints_of_other_batches_are_refused(there: Any, tmp_path: Path) -> None:
    trainer = trainer_of(batch_size=there)
    trainer.fit(X, Y)
    trainer.save(tmp_path / "trainer")
    for here in ("auto", 32, 16, None):
        same = here == there or {here, there} == {"auto", 32}
        if not same:
            with pytest.raises(ValueError, match=f"batch_size is {there!r} there, {here!r} here"):
                trainer_of(batch_size=here).fit(X, Y, resume=tmp_path / "trainer")
