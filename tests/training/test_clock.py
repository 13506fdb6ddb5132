"""Epochs that a person ends: `end_epoch`, and fits that leave the schedule's clock alone."""

from __future__ import annotations

import copy
import importlib
import math
import os
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import child
import numpy as np
import pytest
from paths import ROOT

import fastbp

posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
RNG = np.random.default_rng(8)
X, Y = RNG.normal(size=(64, 3)), RNG.normal(size=(64, 2))
CHUNKS = [slice(first, first + 8) for first in range(0, 64, 8)]


def build(rate: Any = 0.1, optimizer: Any = fastbp.SGD, **settings: Any) -> fastbp.Trainer:
    layers = [fastbp.Dense(5, "tanh", dropout=0.2), fastbp.Dense(2)]
    net = fastbp.Network(3, layers, dtype="float64", seed=0)
    return fastbp.Trainer(net, "mse", optimizer(rate), **{"batch_size": 4, "seed": 0} | settings)


def weights(trainer: fastbp.Trainer) -> list[bytes]:
    return [w.tobytes() for w in trainer.network.get_weights()]


class Rates(fastbp.Callback):
    """Takes down the number and the rate of each epoch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.seen.append((epoch, trainer.position.learning_rate))


BY_EPOCH = {
    "StepDecay": fastbp.StepDecay(0.1, every=2),
    "MultiStepDecay": fastbp.MultiStepDecay(0.1, milestones=(1, 3)),
    "ExponentialDecay": fastbp.ExponentialDecay(0.1, gamma=0.7),
    "PolynomialDecay": fastbp.PolynomialDecay(0.1, length=6),
    "CosineDecay": fastbp.CosineDecay(0.1, length=3),
    "restarts": fastbp.CosineDecay(0.1, length=2, restarts=True),
    "OneCycle": fastbp.OneCycle(0.1, length=5, per="epoch"),
    "LinearWarmUp": fastbp.LinearWarmUp(fastbp.CosineDecay(0.1, length=3), length=2),
}


@pytest.mark.parametrize("name", BY_EPOCH)
def test_chunks_have_the_rates_of_whole_epochs(name: str) -> None:
    plan, seen = BY_EPOCH[name], Rates()
    build(plan).fit(X, Y, 5, callbacks=[seen])
    expected = [rate for _, rate in seen.seen]
    assert expected == [plan.rates(t) for t in range(5)]
    trainer = build(plan)
    for epoch in range(5):
        for chunk in CHUNKS:
            trainer.fit(X[chunk], Y[chunk], count_epochs=False)
            assert trainer.position.learning_rate == expected[epoch]
        trainer.end_epoch()
    assert trainer.position.epochs == 5
    assert trainer.position.passes == 5 * len(CHUNKS)


def test_the_reported_case() -> None:
    """1000 steps never reached a schedule by epochs, and a fit a chunk raced through it."""
    trainer = build(fastbp.StepDecay(0.1, every=1))
    for _ in range(3):
        for chunk in CHUNKS:
            trainer.step(X[chunk], Y[chunk])
        trainer.end_epoch()
    assert math.isclose(trainer.learning_rate, 1e-4)
    assert trainer.position[:2] == (3, 0)
    assert trainer.position.passes == 0


@pytest.mark.parametrize(
    "plan",
    [fastbp.OneCycle(0.1, length=48), fastbp.CosineDecay(0.1, length=40, per="step")],
    ids=["OneCycle", "CosineDecay"],
)
def test_updates_are_counted_by_themselves(plan: Any) -> None:
    """A schedule by updates goes on with each, however they come, and ends where it says."""
    trainer = build(plan)
    for epoch in range(3):
        for i, chunk in enumerate(CHUNKS):
            trainer.fit(X[chunk], Y[chunk], count_epochs=bool(i % 2))
            assert trainer.position.learning_rate == plan.rates(2 * (8 * epoch + i) + 1)
        trainer.end_epoch()
    assert trainer.learning_rate == plan.rates(48)


def test_orders_and_masks_are_fresh() -> None:
    """At a rate that stays the clock makes no difference: the bits are those of counted epochs."""
    for split in ([6], [1] * 6, [2, 3, 1]):
        counted, held = build(), build()
        counted.fit(X, Y, 6)
        numbers = []
        for epochs in split:
            numbers += held.fit(X, Y, epochs, count_epochs=False).epoch
        assert weights(held) == weights(counted)
        assert numbers == [0, 1, 2, 3, 4, 5]
        assert held.position[:2] == (0, 0)
        assert held.position.passes == 6


def test_callbacks_are_told_of_passes(tmp_path: Path) -> None:
    seen, log = Rates(), tmp_path / "log.csv"
    trainer = build(fastbp.StepDecay(0.1, every=1))
    for _ in range(2):
        for _ in range(2):
            writer = fastbp.CSVLogger(log, append=True)
            trainer.fit(X, Y, 2, callbacks=[seen, writer], count_epochs=False)
        trainer.end_epoch()
    assert [epoch for epoch, _ in seen.seen] == list(range(8))
    assert [rate for _, rate in seen.seen] == [0.1] * 4 + [0.1 * 0.1] * 4
    lines = log.read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in lines] == list(range(8))


@pytest.mark.parametrize("every", [1, 2])
def test_checkpoints_are_written_by_passes(every: int, tmp_path: Path) -> None:
    """The schedule's clock stands still, and the run goes on all the same."""
    whole, broken, resumed = build(), build(), build()
    whole.fit(X, Y, 6, count_epochs=False)
    keeper = fastbp.Checkpoint(tmp_path / "run", every_epochs=every)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, Y, 6, callbacks=[keeper, BreakOff(4)], count_epochs=False)
    assert fastbp.Trainer.load(tmp_path / "run").position.passes == 4
    resumed.fit(X, Y, 6, resume=tmp_path / "run", callbacks=[BreakOff(-1)], count_epochs=False)
    assert weights(resumed) == weights(whole)
    # One object for several fits: each one's last state is there.
    keeper = fastbp.Checkpoint(tmp_path / "chunks")
    for i, chunk in enumerate(CHUNKS):
        whole.fit(X[chunk], Y[chunk], callbacks=[keeper], count_epochs=False)
        assert fastbp.Trainer.load(tmp_path / "chunks").position.passes == 7 + i


# ------------------------------------------------------------------------------------- figures


@pytest.mark.filterwarnings("ignore:score has been NaN")
def test_a_plateau_is_judged_as_in_a_fit() -> None:
    losses = [1.0, 0.9, 0.9, 0.9, 0.95, math.nan, 0.9, 0.1, 0.2, 0.2, 0.2, 0.2]

    plan = fastbp.ReduceOnPlateau(0.1, patience=1, cooldown=1, factor=0.5, monitor="score")
    by_rates = build(plan)._session.engine.rates
    trainer = build(plan)
    for loss in losses:
        by_rates.plateau, by_rates.scale = by_rates.after_epoch({"score": loss})
        trainer.fit(X[:8], Y[:8], count_epochs=False)  # which has no such figure, nor needs one
        trainer.end_epoch({"score": np.float32(loss), "loss": 3})
        assert trainer.learning_rate == by_rates.value
    assert trainer.learning_rate < 0.1


def test_figures_of_one_fit_or_of_a_loop() -> None:
    """The same chunks' losses lead to the same rates, whoever tells of them."""
    plan = fastbp.ReduceOnPlateau(0.5, patience=0, monitor="loss")
    one, other = build(plan), build(plan)
    for _ in range(6):
        one.fit(X, Y)
        loss = other.fit(X, Y, count_epochs=False).loss[-1]
        other.end_epoch({"loss": loss})
        assert one.learning_rate == other.learning_rate
    assert weights(one) == weights(other)
    assert one.learning_rate < 0.5


def test_nan_again_and_again_is_warned_of() -> None:
    trainer = build(fastbp.ReduceOnPlateau(0.1, patience=2, monitor="auc"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.end_epoch({"auc": math.nan})
        trainer.fit(X, Y, count_epochs=False)  # no new beginning
    with pytest.warns(RuntimeWarning, match="auc has been NaN for 2 epochs in a row"):
        trainer.end_epoch({"auc": math.nan})


@pytest.mark.parametrize(
    ("logs", "error", "text"),
    [
        (None, ValueError, "logs must have 'val_loss', .* got None"),
        ({}, ValueError, "logs must have 'val_loss', .* got no figure"),
        ({"loss": 1.0}, ValueError, "logs must have 'val_loss', .* got 'loss'"),
        ([("val_loss", 1.0)], TypeError, "logs must be a dict of figures by name, or None"),
        (1.0, TypeError, "logs must be a dict"),
        ({"val_loss": "low"}, TypeError, r"logs\['val_loss'\] must be a number, got 'low'"),
        ({"val_loss": None}, TypeError, "must be a number, got None"),
        ({"val_loss": 1 + 2j}, TypeError, "must be a number"),
        ({"val_loss": [1.0]}, TypeError, "must be a number"),
        ({"val_loss": np.ones(1)}, TypeError, "must be a number"),
        ({"val_loss": 10**400}, ValueError, r"logs\['val_loss'\] must fit float64"),
        ({3: 1.0, "val_loss": 1.0}, TypeError, "names of figures for keys, got 3"),
    ],
)
def test_refused(logs: Any, error: Any, text: str) -> None:
    trainer = build(fastbp.ReduceOnPlateau(0.1, patience=0))
    trainer.end_epoch({"val_loss": 1.0})
    before = trainer.position, trainer._state()["rates"]
    with pytest.raises(error, match=text):
        trainer.end_epoch(logs)
    assert (trainer.position, trainer._state()["rates"]) == before


def test_count_epochs_is_a_flag() -> None:
    for method in (build().fit, build().fit_async):
        with pytest.raises(TypeError, match="count_epochs must be True or False, got 1 of type"):
            method(X, Y, count_epochs=1)  # type: ignore[arg-type]


def test_a_monitor_is_looked_at_with_a_split_too() -> None:
    """Whatever the loss: the schedule would have looked at nothing, or at too much."""
    rate = fastbp.ReduceOnPlateau(0.1, monitor="score")
    trainer = build(rate)
    with pytest.raises(ValueError, match=r"monitor must be one of this fit's figures.*'score'"):
        trainer.fit(X, Y, validation_split=0.25)
    assert trainer.position.passes == 0
    counts = fastbp.Network(3, [fastbp.Dense(2, "exp")], seed=0)
    poisson = fastbp.Trainer(counts, "poisson", fastbp.SGD(rate), seed=0)
    poisson.fit(X, abs(Y), validation_split=0.25, count_epochs=False)
    assert poisson.position.passes == 1


def test_a_fit_that_counts_still_asks_for_its_figure() -> None:
    trainer = build(fastbp.ReduceOnPlateau(0.1))
    with pytest.raises(ValueError, match="monitor must be one of"):
        trainer.fit(X, Y)
    assert trainer.position.passes == 0


# ------------------------------------------------------------------------- who calls, and when


class Ends(fastbp.Callback):
    """Ends every second epoch, in a hook."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self.end)

    def end(self, trainer: fastbp.Trainer, *_: Any) -> None:
        if trainer.position.passes % 2:
            trainer.end_epoch()


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_settled"])
def test_a_callback_may_end_epochs_where_the_fit_does_not(hook: str) -> None:
    trainer, seen = build(fastbp.StepDecay(0.1, every=1)), Rates()
    with pytest.raises(RuntimeError, match="a fit that counts its epochs itself"):
        trainer.fit(X, Y, 2, callbacks=[Ends(hook)])
    trainer = build(fastbp.StepDecay(0.1, every=1))
    trainer.fit(X, Y, 4, callbacks=[seen, Ends(hook)], count_epochs=False)
    rates = [0.1, 0.01, 0.01, 0.001]
    assert np.allclose([rate for _, rate in seen.seen], rates, rtol=1e-12)
    assert trainer.position[:2] == (2, 0)


def test_other_threads_are_refused() -> None:
    trainer = build()
    handle = trainer.fit_async(X, Y, 10**6, count_epochs=False)
    try:
        with pytest.raises(RuntimeError, match="at work in another thread"):
            trainer.end_epoch()
    finally:
        handle.cancel()
        handle.result()
    assert trainer.position.epochs == 0
    trainer.end_epoch()
    assert trainer.position.epochs == 1


class BreakOff(fastbp.Callback):
    """Ends a fit inside its n-th pass."""

    longest_chunk = 0.0
    _looks_on = True

    def __init__(self, passes: int) -> None:
        self.passes = passes

    def on_chunk_end(self, trainer: fastbp.Trainer) -> None:
        if trainer.position.passes == self.passes:
            raise KeyboardInterrupt


@pytest.mark.parametrize("count", [True, False])
def test_after_an_interrupt_the_rest_of_an_epoch_is_given_up(count: bool, tmp_path: Path) -> None:
    """What is saved then is no place inside that epoch, and the next fit begins its order anew."""
    trainer, plan = build(fastbp.StepDecay(0.1, every=1)), fastbp.StepDecay(0.1, every=1)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, 3, callbacks=[BreakOff(1)], count_epochs=count)
    assert trainer.position.batches == 1
    trainer.end_epoch()
    assert trainer.position[:2] == (2 if count else 1, 0)
    assert trainer.learning_rate == plan.rates(2 if count else 1)
    trainer.save(tmp_path / "run")
    other = fastbp.Trainer.load(tmp_path / "run")
    resumed = build(plan)
    resumed.fit(X, Y, 2, resume=tmp_path / "run", count_epochs=count)
    for later in (trainer, other):
        assert later.fit(X, Y, count_epochs=count).epoch == [1]
        assert weights(later) == weights(resumed)
        assert later.position == resumed.position or later.position[:2] == resumed.position[:2]


def test_solvers_count_it() -> None:
    net = fastbp.Network(3, [fastbp.Dense(2)], dtype="float64", seed=0)
    trainer = fastbp.Trainer(net, "mse", "lbfgs", batch_size=None)
    plain = copy.deepcopy(trainer)
    expected = plain.fit(X, Y, 4).loss
    losses = trainer.fit(X, Y, 2, count_epochs=False).loss
    trainer.end_epoch({"loss": losses[-1]})
    assert trainer.position.epochs == 1
    assert trainer.position.passes == 2
    assert losses == expected[:2]


# -------------------------------------------------------------------------------- broken off


def loop(trainer: fastbp.Trainer, folder: Path, breaks: int = -1) -> None:
    """Three epochs of eight chunks, from where the trainer stands; saved as it is broken off."""
    saved = folder / "run"
    for _ in range(trainer.position.passes, 24):
        chunk, passes = CHUNKS[trainer.position.passes % 8], trainer.position.passes
        resume = saved if trainer.position.batches or (saved.exists() and breaks < 0) else None
        try:
            loss = trainer.fit(
                X[chunk], Y[chunk], 1 if resume is None else passes + 1, resume=resume,
                callbacks=[BreakOff(breaks)], count_epochs=False,
            ).loss[-1]  # fmt: skip
        except KeyboardInterrupt:
            trainer.save(saved)
            raise
        saved.unlink(missing_ok=True)
        if trainer.position.passes % 8 == 0:
            trainer.end_epoch({"loss": loss})


@pytest.mark.parametrize("at", [0, 5, 8, 15, 23])
@pytest.mark.parametrize("kind", ["by epoch", "plateau", "by step", "constant"])
def test_resumed_is_uninterrupted(kind: str, at: int, tmp_path: Path) -> None:
    plan: Any = {
        "by epoch": fastbp.CosineDecay(0.1, length=3),
        "plateau": fastbp.ReduceOnPlateau(0.1, patience=0, monitor="loss"),
        "by step": fastbp.OneCycle(0.1, length=48),
        "constant": 0.1,
    }[kind]
    whole = build(plan)
    loop(whole, tmp_path)
    broken = build(plan)
    with pytest.raises(KeyboardInterrupt):
        loop(broken, tmp_path, at)
    resumed = fastbp.Trainer.load(tmp_path / "run")
    assert resumed.position.passes == at
    assert resumed.position.epochs == at // 8
    loop(resumed, tmp_path)
    assert weights(resumed) == weights(whole)
    assert resumed.position == whole.position or (
        resumed.position.passes == 24 and resumed.position.epochs == 3
    )
    assert resumed.learning_rate == whole.learning_rate


@pytest.mark.parametrize("kind", ["pickle", "deepcopy", "file"])
def test_copies_keep_both_counts(kind: str, tmp_path: Path) -> None:
    trainer = build(fastbp.ReduceOnPlateau(0.1, patience=0, monitor="loss"))
    for _ in range(3):
        trainer.fit(X, Y, count_epochs=False)
    trainer.end_epoch({"loss": 1.0})
    trainer.end_epoch({"loss": 1.0})
    trainer.save(tmp_path / "run")
    other = {
        "pickle": lambda: pickle.loads(pickle.dumps(trainer)),
        "deepcopy": lambda: copy.deepcopy(trainer),
        "file": lambda: fastbp.Trainer.load(tmp_path / "run"),
    }[kind]()
    for one in (trainer, other):
        assert one.position.epochs == 2
        assert one.position.passes == 3
        one.fit(X, Y, count_epochs=False)
        one.end_epoch({"loss": 2.0})
    assert weights(other) == weights(trainer)
    assert other.learning_rate == trainer.learning_rate < 0.1


def test_what_nobody_uses_is_not_in_a_file() -> None:
    """So that checkpoints of plain runs are what they were; without it the counts are equal."""
    trainer = build()
    trainer.fit(X, Y, 2)
    state = trainer._state()
    assert state["counters"] == {"epochs": 2}
    assert "count_epochs" not in state["fit"]
    trainer._session.set_state(state)
    assert trainer.position.passes == 2


def test_a_run_that_counted_is_told_from_one_that_did_not(tmp_path: Path) -> None:
    trainer = build()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, 3, callbacks=[BreakOff(1)])
    trainer.save(tmp_path / "run")
    with pytest.warns(RuntimeWarning, match="count_epochs was True, is False; the run goes on"):
        build().fit(X, Y, 3, callbacks=[BreakOff(-1)], resume=tmp_path / "run", count_epochs=False)


@pytest.mark.parametrize(
    ("part", "value", "text"),
    [
        ({"counters": {"epochs": 1, "passes": -1}}, None, "its passes must be"),
        ({"counters": {"epochs": 1, "passes": 1.5}}, None, "its passes must be"),
        ({"counters": {"epochs": 1, "rounds": 1}}, None, "its counters has 'rounds'"),
        (None, 1, "its count_epochs must be True or False"),
    ],
)
def test_forged(part: Any, value: Any, text: str, tmp_path: Path) -> None:
    from fastbp.files import checkpoints

    trainer = build()
    trainer.fit(X, Y)
    state = trainer._state()
    if part is not None:
        state |= part
    else:
        state["fit"]["count_epochs"] = value
    checkpoints.write(tmp_path / "run", state)
    with pytest.raises(fastbp.ModelFileError, match=text):
        fastbp.Trainer.load(tmp_path / "run")


# --------------------------------------------------------------------------------- interrupts


def ended_for_all_or_none() -> list[int]:
    """How often an interrupt has left half of an epoch's end, and how many places there were."""
    sys.path.insert(0, str(ROOT / "scripts" / "torture"))
    checks, bad = importlib.import_module("every_check").Checks(), 0

    def work(trainer: fastbp.Trainer) -> None:
        checks.begin()
        trainer.end_epoch({"loss": 2.0})

    def trainer_of() -> fastbp.Trainer:
        trainer = build(fastbp.ReduceOnPlateau(0.1, patience=0, monitor="loss"))
        trainer.end_epoch({"loss": 1.0})
        return trainer

    checks.run(lambda: work(trainer_of()))
    looks = checks.seen
    before = trainer_of()._state()
    after = trainer_of()
    after.end_epoch({"loss": 2.0})
    allowed = [(s["counters"], s["rates"]) for s in (before, after._state())]
    for place in range(1, looks + 1):
        trainer = trainer_of()
        checks.run(lambda trainer=trainer: work(trainer), place)
        state = trainer._state()
        bad += (state["counters"], state["rates"]) not in allowed
        bad += trainer._session.lock.locked()
    return [bad, looks]


@posix
def test_an_epoch_ends_for_all_or_for_none() -> None:
    bad, looks = child.call(ended_for_all_or_none)
    assert (bad, looks > 10) == (0, True)
