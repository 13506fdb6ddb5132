"""Learning-rate schedules: PyTorch's rates, and when they are taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from trajectories import GOLDEN, META, schedule

import fastbp

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 3)), RNG.normal(size=(50, 2))


def build(rate: Any, **settings: Any) -> fastbp.Trainer:
    net = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(2)], dtype="float64", seed=0)
    return fastbp.Trainer(net, "mse", fastbp.SGD(rate), seed=0, batch_size=10, **settings)


@pytest.mark.parametrize("name", META["schedules"])
def test_rates(name: str) -> None:
    expected = GOLDEN[f"rates/{name}"]
    plan = schedule(name)
    found = plan.rates(np.arange(len(expected)))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-16)
    one_by_one = [float(plan.rates(t)) for t in range(len(expected))]
    np.testing.assert_array_equal(found, one_by_one)


def test_plateau() -> None:
    """Figures handed over one an epoch, as PyTorch's scheduler has seen them."""
    plan = fastbp.ReduceOnPlateau(
        0.1, factor=0.7, patience=3, min_delta=0.01, cooldown=2, minimum=0.005, monitor="loss"
    )
    rates, found = build(plan)._session.engine.rates, []
    for figure in GOLDEN["plateau/figures"]:
        rates.plateau, rates.scale = rates.after_epoch({"loss": float(figure)})
        found.append(rates.value)
    np.testing.assert_allclose(found, GOLDEN["plateau/rates"], rtol=1e-12)


def test_plateau_in_a_fit() -> None:
    """Nothing gets better at a rate of almost 0, so it falls after each patience + 1 epochs."""
    plan = fastbp.ReduceOnPlateau(1e-9, factor=0.5, patience=1, monitor="val_r2")
    trainer = build(plan, metrics=["r2"])
    history = trainer.fit(X, Y, 7, validation_split=0.2, callbacks=[fastbp.LearningRateLogger()])
    rates = np.array(history.learning_rate) / 1e-9
    np.testing.assert_allclose(rates, [1, 1, 1, 0.5, 0.5, 0.25, 0.25])
    with pytest.raises(ValueError, match="monitor must be one of this fit's figures, 'loss'"):
        trainer.fit(X, Y)


def test_by_epoch() -> None:
    trainer = build(fastbp.StepDecay(0.1, every=2))
    log = [fastbp.LearningRateLogger()]
    rates = trainer.fit(X, Y, 3, callbacks=log).learning_rate
    assert trainer.learning_rate == pytest.approx(0.01)
    trainer.step(X, Y)  # no epoch
    rates += trainer.fit(X, Y, 2, callbacks=log).learning_rate  # goes on where it was
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001])


def test_by_step() -> None:
    """Counted over fits and steps; each update is as with that number as its rate."""
    plan = fastbp.ExponentialDecay(0.2, gamma=0.9, per="step")
    scheduled, by_hand = build(plan, shuffle=False), build(0.2, shuffle=False)
    scheduled.fit(X, Y, 2)
    scheduled.step(X[:7], Y[:7])
    scheduled.fit(X, Y)
    batches = [slice(i, i + 10) for i in range(0, 50, 10)]
    for t, rows in enumerate([*batches, *batches, slice(0, 7), *batches]):
        by_hand.learning_rate = 0.2 * 0.9**t
        by_hand.step(X[rows], Y[rows])
    assert scheduled.learning_rate == pytest.approx(0.2 * 0.9**16)
    for p, q in zip(scheduled.network.get_weights(), by_hand.network.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-12)


def test_more_updates_than_the_buffer_holds(monkeypatch: Any) -> None:
    monkeypatch.setattr("fastbp.training.rates._MOST", 3)
    few = build(fastbp.ExponentialDecay(0.2, gamma=0.9, per="step"))
    monkeypatch.undo()
    many = build(fastbp.ExponentialDecay(0.2, gamma=0.9, per="step"))
    assert few.fit(X, Y, 3).loss == many.fit(X, Y, 3).loss


@pytest.mark.parametrize("kind", ["Adam", "NAdam", "Rprop", "RMSprop", "Lion", "Adagrad"])
def test_every_optimizer_takes_one(kind: str) -> None:
    """A schedule that stays at one rate is that rate."""
    found = []
    for rate in (0.003, fastbp.ExponentialDecay(0.003, gamma=1.0, per="step")):
        net = fastbp.Network(3, [fastbp.Dense(2)], seed=0)
        trainer = fastbp.Trainer(net, "mse", getattr(fastbp, kind)(rate), seed=0)
        found.append(trainer.fit(X, Y, 4).loss)
    assert found[0] == found[1]


def test_setting_the_rate_scales_the_schedule() -> None:
    trainer = build(fastbp.ExponentialDecay(0.1, gamma=0.5))
    trainer.fit(X, Y)
    trainer.learning_rate = 0.2
    trainer.fit(X, Y)
    assert trainer.learning_rate == pytest.approx(0.1)
    ended = build(fastbp.PolynomialDecay(0.1, length=1))
    ended.fit(X, Y)
    with pytest.raises(ValueError, match="can't be set where the schedule's is 0"):
        ended.learning_rate = 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fastbp.StepDecay(-1, 3), r"learning_rate must be in \[0, inf\)"),
        (lambda: fastbp.StepDecay(0.1, 0), "every must be an int >= 1, got 0"),
        (lambda: fastbp.MultiStepDecay(0.1, [3, 0]), "milestones must be an int >= 1"),
        (lambda: fastbp.ExponentialDecay(0.1, -0.5), "gamma must be"),
        (lambda: fastbp.PolynomialDecay(0.1, 5, power=-1), "power must be"),
        (lambda: fastbp.CosineDecay(0.1, 5, minimum=-1), "minimum must be"),
        (lambda: fastbp.CosineDecay(0.1, 5, per="batch"), "per must be one of 'epoch', 'step'"),
        (lambda: fastbp.OneCycle(0.1, 50, rise=1.0), r"rise must be in \(0, 1\)"),
        (lambda: fastbp.LinearWarmUp(0.1, 3, start=2.0), r"start must be in \[0, 1\]"),
        (lambda: fastbp.ReduceOnPlateau(0.1, factor=1.0), r"factor must be in \[0, 1\)"),
        (lambda: fastbp.ReduceOnPlateau(0.1, patience=-1), "patience must be"),
    ],
)
def test_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
    with pytest.raises(TypeError, match="after must be"):
        fastbp.LinearWarmUp(fastbp.ReduceOnPlateau(0.1), 3)
