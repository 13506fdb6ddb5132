"""Figures that are watched: those that a callback adds, and which way they become better."""

from __future__ import annotations

import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupting import interrupt_at
from small_fits import X, Y, build

import fastbp
from fastbp.callbacks.monitor import Figures, Monitor
from fastbp.training import fit


class Adds(fastbp.Callback):
    """Adds a figure that is given for each epoch; None leaves it out."""

    def __init__(self, name: str, values: Any) -> None:
        self.name, self.values = name, values

    def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
        value = self.values[epoch] if epoch < len(self.values) else self.values[-1]
        if value is not None:
            logs[self.name] = value


class Kept(fastbp.Callback):
    """Keeps every epoch's weights, as they are when it is told."""

    def __init__(self) -> None:
        self.weights: dict[int, Any] = {}

    def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
        self.weights[epoch] = trainer.network.get_weights()


class Shifts(fastbp.Callback):
    """Changes the weights at an epoch's end."""

    def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
        trainer.network.set_weights([w + 0.125 for w in trainer.network.get_weights()])


def equal(a: Any, b: Any) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


# -- early stopping --------------------------------------------------------------------------------

RISE = [1.0, 3.0, 2.0, 2.5, 2.5, 2.0, 1.0]
FALL = [-value for value in RISE]


@pytest.mark.parametrize(
    ("name", "values", "mode"),
    [
        ("val_mine", FALL, "auto"), ("val_mine", FALL, "min"), ("val_mine", RISE, "max"),
        ("test_auc", RISE, "auto"), ("f1", RISE, "auto"), ("f1", FALL, "min"),
        ("val_top_3", RISE, "auto"), ("mine_balanced_accuracy", RISE, "auto"),
        ("loss", FALL, "auto"), ("loss", RISE, "max"), ("val_loss", FALL, "auto"),
    ],
)  # fmt: skip
def test_a_figure_that_a_callback_adds(name: str, values: Any, mode: Any) -> None:
    """It ends the fit, and the weights are those that had it."""
    kept, stopping = Kept(), fastbp.EarlyStopping(name, 3, mode=mode)
    trainer = build()
    history = trainer.fit(X, Y, 20, callbacks=[Adds(name, values), kept, stopping])
    assert history.epoch == list(range(6))
    assert history.stopped == f"{name} has not become better for 4 epochs"
    assert (stopping.best_epoch, stopping.best) == (1, values[1])
    assert equal(trainer.network.get_weights(), kept.weights[1])


def test_one_who_watches_may_add_it_as_well() -> None:
    class Own(fastbp.EarlyStopping):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
            logs["size"] = float(abs(trainer.network.get_weights()[0]).sum())
            super().on_epoch_end(trainer, epoch, logs)

    trainer, own = build(), Own("size", 2)
    history = trainer.fit(X, Y, 9, callbacks=[own])
    assert own.best == min(history["size"])
    assert own.best == float(abs(trainer.network.get_weights()[0]).sum())
    with pytest.raises(ValueError, match="monitor must be one of this fit's figures, 'loss', got"):
        trainer.fit(X, Y, callbacks=[fastbp.EarlyStopping("size"), Own("size")])


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_metric_of_ones_own_says_which_way(mode: Any) -> None:
    values = iter(RISE if mode == "max" else FALL)
    metric = fastbp.CustomMetric(lambda y, p, w: next(values), "mae_of_mine", mode)
    trainer, stopping = build(metrics=[metric]), fastbp.EarlyStopping("val_mae_of_mine", 3)
    trainer.fit(X, Y, 7, validation_data=(X, Y), callbacks=[stopping])
    assert (stopping.best_epoch, stopping.best) == (1, 3.0 if mode == "max" else -3.0)


def test_the_trainers_metric_counts_and_no_name() -> None:
    """A metric of one's own has the name of one of fastbp's, and the other direction."""
    values = iter([1.0, 3.0, 0.5])
    metric = fastbp.CustomMetric(lambda y, p, w: next(values), "accuracy", "min")
    stopping, budget = fastbp.EarlyStopping("val_accuracy"), fastbp.TimeBudget(1e6, "val_accuracy")
    build(metrics=[metric]).fit(X, Y, 3, validation_data=(X, Y), callbacks=[stopping, budget])
    assert stopping.best == budget.best == 0.5
    values = iter([1.0, 3.0, 0.5])
    stopping = fastbp.EarlyStopping("val_accuracy", mode="max")
    build(metrics=[metric]).fit(X, Y, 3, validation_data=(X, Y), callbacks=[stopping])
    assert stopping.best == 3.0


def test_a_budget_watches_it_too() -> None:
    budget = fastbp.TimeBudget(1e6, "mine", mode="max")
    build().fit(X, Y, 4, callbacks=[Adds("mine", RISE), budget])
    assert (budget.best, budget.best_epoch) == (3.0, 1)


def test_the_rate_that_a_logger_adds() -> None:
    rate = fastbp.ExponentialDecay(0.1, gamma=0.5)
    net = fastbp.Network(3, [fastbp.Dense(2)], seed=0)
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(rate), seed=0)
    stopping = fastbp.EarlyStopping("learning_rate")
    trainer.fit(X, Y, 3, callbacks=[fastbp.LearningRateLogger(), stopping])
    assert stopping.best == pytest.approx(0.025)
    with pytest.raises(ValueError, match="monitor must be one of this fit's figures, 'loss', got"):
        trainer.fit(X, Y, 3, callbacks=[stopping, fastbp.LearningRateLogger()])


def test_weights_that_others_change_in_between() -> None:
    """They are those of when the figure was added, wherever the one who changes them comes."""
    for order in ("shifts, adds", "adds, shifts"):
        kept, stopping = Kept(), fastbp.EarlyStopping("mine", 99)
        callbacks = {"adds": Adds("mine", FALL), "shifts": Shifts()}
        first, second = (callbacks[name] for name in order.split(", "))
        trainer = build()
        listed = [first, kept, second] if first is callbacks["adds"] else [first, second, kept]
        trainer.fit(X, Y, 4, callbacks=[*listed, stopping])
        assert equal(trainer.network.get_weights(), kept.weights[1]), order


def test_a_figure_that_is_not_there_in_each_epoch() -> None:
    """Epochs without it don't count; in the first it has to be there."""
    values = [2.0, None, None, 1.0, None, 3.0, None, 3.0, 3.0]
    stopping = fastbp.EarlyStopping("mine", 1)
    history = build().fit(X, Y, 20, callbacks=[Adds("mine", values), stopping])
    assert history.epoch[-1] == 7
    assert (stopping.best, stopping.best_epoch) == (1.0, 3)
    trainer = build()
    said = "EarlyStopping's monitor must be one of the epoch's figures, 'loss', got 'mine'"
    with pytest.raises(ValueError, match=said):
        trainer.fit(X, Y, 9, callbacks=[Adds("mine", [None, 1.0]), fastbp.EarlyStopping("mine")])
    assert trainer.history is not None
    assert trainer.history.epoch == [0]


def test_one_that_never_appears(tmp_path: Path) -> None:
    """Told at the first epoch's end, with the figures that there are; nothing is lost."""
    for watcher in (fastbp.EarlyStopping("min"), fastbp.TimeBudget(99, "min")):
        trainer, other = build(), build()
        with pytest.raises(ValueError, match=r"figures, 'loss', 'mine', got 'min', which no callb"):
            trainer.fit(X, Y, 9, callbacks=[Adds("mine", FALL), watcher])
        trainer.save(tmp_path / "run.safetensors")
        other.fit(X, Y, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            trainer.fit(X, Y, 3, resume=tmp_path / "run.safetensors")
        assert equal(trainer.network.get_weights(), other.network.get_weights())


@pytest.mark.parametrize("where", ["behind", "fastbp's own", "without figures", "nowhere"])
def test_one_that_nobody_can_add_is_refused_before(where: str) -> None:
    class Looks(fastbp.Callback):
        def on_chunk_end(self, trainer: Any) -> None:
            pass

    stopping = fastbp.EarlyStopping("mine")
    callbacks: Any = {
        "behind": [stopping, Adds("mine", FALL)],
        "fastbp's own": [fastbp.EarlyStopping("loss"), fastbp.TimeBudget(9), stopping],
        "without figures": [Looks(), stopping],
        "nowhere": [stopping],
    }[where]
    trainer = build()
    with pytest.raises(ValueError, match="monitor must be one of this fit's figures, 'loss', got"):
        trainer.fit(X, Y, 2, callbacks=callbacks)
    assert trainer.history is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastbp.EarlyStopping(3), TypeError, "monitor must be a figure's name or None"),
        (lambda: fastbp.EarlyStopping("loss", mode="up"), ValueError,
         "mode must be one of 'auto', 'min', 'max', got 'up'"),
        (lambda: fastbp.TimeBudget(3, mode=None), TypeError, "mode must be one of"),
        (lambda: fastbp.TimeBudget(3, 3), TypeError, "monitor must be a figure's name or None"),
        (lambda: fastbp.ReduceOnPlateau(0.1, mode="up"), ValueError, "mode must be one of"),
        (lambda: fastbp.ReduceOnPlateau(0.1, monitor=1), TypeError, "monitor must be a figure's"),
        (lambda: build().fit(X, Y, callbacks=[Adds("a", FALL), fastbp.EarlyStopping()]),
         ValueError, "one of this fit's figures, 'loss', got 'val_loss'"),
        (lambda: build().fit(X, Y, validation_data=(X, Y), callbacks=[fastbp.EarlyStopping("")]),
         ValueError, "one of this fit's figures, 'loss', 'val_loss', got ''"),
        (lambda: build(fastbp.ReduceOnPlateau(0.1, monitor="")).fit(X, Y, validation_data=(X, Y)),
         ValueError, "one of this fit's figures, 'loss', 'val_loss', got ''"),
    ],
)  # fmt: skip
def test_refused(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_plain_names_are_taken_as_well() -> None:
    """By who calls a callback's `check` alone, as before."""
    monitor = Monitor("who", None)
    monitor.check(["loss", "val_loss"])
    assert (monitor.name, monitor.rises) == ("val_loss", False)
    monitor = Monitor("who", "val_f1")
    monitor.check(["loss", "val_f1"])
    assert monitor.rises
    monitor = Monitor("who", None, without="loss")
    monitor.check(["loss"])
    assert monitor.name == "loss"
    monitor.check(Figures(["loss", "a_loss", "val_loss"], first="a_loss"))
    assert monitor.name == "a_loss"


def test_copies_keep_what_is_watched() -> None:
    stopping = fastbp.EarlyStopping("mine", 99, mode="max")
    build().fit(X, Y, 4, callbacks=[Adds("mine", RISE), stopping])
    copied = pickle.loads(pickle.dumps(stopping))
    assert (copied.best, copied.mode, copied.monitor) == (3.0, "max", "mine")
    build().fit(X, Y, 4, callbacks=[Adds("mine", RISE), copied])
    assert copied.best == 3.0


# -- the rate --------------------------------------------------------------------------------------


def plateau(rate: Any, **settings: Any) -> fastbp.Trainer:
    net = fastbp.Network(3, [fastbp.Dense(5, "tanh"), fastbp.Dense(2)], dtype="float64", seed=0)
    return fastbp.Trainer(net, "mse", fastbp.SGD(rate), batch_size=10, seed=0, **settings)


@pytest.mark.parametrize("mode", ["auto", "min", "max"])
def test_a_plateau_of_an_added_figure(mode: Any) -> None:
    """The rate falls as where the same figure is the trainer's own, and callbacks come first."""
    values = RISE if mode == "max" else FALL
    rate = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=1, monitor="mine", mode=mode)
    trainer, logger = plateau(rate), fastbp.LearningRateLogger()
    history = trainer.fit(X, Y, 7, callbacks=[Adds("mine", values), logger])
    its = iter(values)
    metric = fastbp.CustomMetric(
        lambda y, p, w: next(its), "mine", "max" if mode == "max" else "min"
    )
    own = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=1, monitor="val_mine")
    other = plateau(own, metrics=[metric])
    expected = other.fit(X, Y, 7, validation_data=(X, Y), callbacks=[logger])
    assert history.learning_rate == expected.learning_rate == [0.1] * 4 + [0.05] * 2 + [0.025]
    assert history.loss == expected.loss
    assert trainer.learning_rate == other.learning_rate


def test_a_plateau_sees_the_trainers_own_before_callbacks() -> None:
    """As ever: what a callback makes of it comes too late, and the new rate is there by then."""
    seen = []

    class Overwrites(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
            logs["val_loss"] = -float(epoch)
            seen.append(trainer.learning_rate)

    rate = fastbp.ReduceOnPlateau(0.0, factor=0.5, patience=0)
    rate = fastbp.ReduceOnPlateau(1e-9, factor=0.5, patience=0, min_delta=0.5)
    plateau(rate).fit(X, Y, 3, validation_data=(X, Y), callbacks=[Overwrites()])
    assert seen == [1e-9, 0.5e-9, 0.25e-9]


def test_a_plateau_whose_figure_is_missing(tmp_path: Path) -> None:
    rate = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=0, monitor="mine")
    trainer = plateau(rate)
    trainer.fit(X, Y, 5, callbacks=[Adds("mine", [1.0, None, None, 2.0, None])])
    assert trainer.learning_rate == 0.05
    with pytest.raises(ValueError, match=r"ReduceOnPlateau's monitor must be one .* got 'mine'"):
        plateau(rate).fit(X, Y, 5, callbacks=[Adds("other", FALL)])
    with pytest.raises(ValueError, match="monitor must be one of this fit's figures, 'loss', got"):
        plateau(rate).fit(X, Y, 5, callbacks=[fastbp.EarlyStopping("loss")])


def test_a_plateau_of_nans_warns() -> None:
    rate = fastbp.ReduceOnPlateau(0.1, patience=2, monitor="mine")
    with pytest.warns(RuntimeWarning, match="mine has been NaN for 2 epochs in a row"):
        plateau(rate).fit(X, Y, 2, callbacks=[Adds("mine", [math.nan])])


# -- breaks ----------------------------------------------------------------------------------------


class Interrupts(fastbp.Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


def fitted(trainer: fastbp.Trainer, epochs: int, last: int, **options: Any) -> Any:
    stopping = fastbp.EarlyStopping("mine", 2)
    callbacks = [Adds("mine", FALL), Interrupts(last), stopping, fastbp.LearningRateLogger()]
    history = trainer.fit(X, Y, epochs, callbacks=callbacks, **options)
    return history, stopping


@pytest.mark.filterwarnings("ignore:.*callback Interrupts:RuntimeWarning")
@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_an_interrupt_among_the_callbacks(epoch: int, tmp_path: Path) -> None:
    """The run that is gone on with is the one without a break: whoever watches has seen the epoch.

    (The rate that `LearningRateLogger` would have added to that epoch is missing, as ever.)
    """
    rate = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=0, monitor="mine")
    there = plateau(rate)
    expected, best = fitted(there, 20, 99)
    trainer = plateau(rate)
    with pytest.raises(KeyboardInterrupt):
        fitted(trainer, 20, epoch)
    trainer.save(tmp_path / "run.safetensors")
    here = plateau(rate)
    history, stopping = fitted(here, 20, 99, resume=tmp_path / "run.safetensors")
    assert (history.loss, history.stopped) == (expected.loss, expected.stopped)
    assert (stopping.best, stopping.best_epoch) == (best.best, best.best_epoch)
    assert equal(here.network.get_weights(), there.network.get_weights())
    assert here.learning_rate == there.learning_rate


def test_interrupts_at_any_line_judge_once() -> None:
    """The schedule looks at an epoch's figure once, wherever an interrupt comes into that."""
    rate = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=0, monitor="mine")
    path, raised = str(fit.__file__), 0
    for line in range(1, 400):
        trainer = plateau(rate)
        outcome = interrupt_at(
            line, lambda t=trainer: t.fit(X, Y, 3, callbacks=[Adds("mine", FALL)]), path
        )
        raised += outcome.raised
        if not outcome.reached:
            break
        trainer.evaluate(X, Y)  # finishes what was broken off
        seen = vars(trainer.history).get("mine", []) if trainer.history else []
        figures = [value for value in seen if value == value]
        best = np.minimum.accumulate(figures) if figures else []
        bad = sum(value > low for value, low in zip(figures[1:], best, strict=False))
        assert trainer.learning_rate == 0.1 * 0.5**bad, (line, figures)
    assert raised > 100


def test_every_five_epochs_over_a_break(tmp_path: Path) -> None:
    """Where a run goes on, the figure has been there: it needn't be in the next epoch."""
    values = [3.0, None, None, 2.0, None, None, 4.0, None, None, 5.0]
    rate = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=0, monitor="mine")

    def run(epochs: int, **options: Any) -> Any:
        trainer, stopping = plateau(rate), fastbp.EarlyStopping("mine", 9)
        trainer.fit(X, Y, epochs, callbacks=[
            Adds("mine", values), stopping, fastbp.Checkpoint(tmp_path / "run"),
        ], **options)  # fmt: skip
        return trainer, stopping

    run(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        trainer, stopping = run(10, resume=tmp_path / "run")
    assert (stopping.best, stopping.best_epoch) == (2.0, 3)
    assert trainer.learning_rate == 0.025


# -- epochs of one's own ---------------------------------------------------------------------------


def test_epochs_that_a_person_ends() -> None:
    """`end_epoch` looks at what it is given, whatever a fit before has looked at."""
    rate = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=0, monitor="mine", mode="max")
    trainer = plateau(rate)
    trainer.fit(X, Y, 2, callbacks=[Adds("mine", [1.0, 2.0])])
    trainer.end_epoch({"mine": 3.0})
    assert trainer.learning_rate == 0.1
    trainer.end_epoch({"mine": 2.5})
    assert trainer.learning_rate == 0.05
    trainer.fit(X, Y, 1, callbacks=[Adds("mine", [0.0])], count_epochs=False)
    trainer.fit(X, Y, 1, count_epochs=False)
    assert trainer.learning_rate == 0.05
    with pytest.raises(ValueError, match="logs must have 'mine', the figure that ReduceOnPlateau"):
        trainer.end_epoch({"loss": 1.0})


def test_a_metric_of_ones_own_in_epochs_of_ones_own() -> None:
    metric = fastbp.CustomMetric(lambda y, p, w: 0.0, "f1", "min")  # which else would rise
    rate = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=0, monitor="test_f1")
    trainer = plateau(rate, metrics=[metric])
    for value in (3.0, 2.0, 1.0):
        trainer.end_epoch({"test_f1": value})
    assert trainer.learning_rate == 0.1
    trainer = plateau(fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=0))
    trainer.end_epoch({"val_loss": 1.0})
    trainer.end_epoch({"val_loss": 2.0})
    assert trainer.learning_rate == 0.05
