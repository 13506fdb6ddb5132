"""Callbacks, class weights, and what a `fit` does when training diverges."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_fits import RNG, X, Y, build

import fastbp


class Recorder(fastbp.Callback):
    """All calls in order; and what an epoch's `figures` say, in place of its own."""

    def __init__(self, figures: dict[str, list[float]] | None = None) -> None:
        self.calls: list[Any] = []
        self.figures = figures or {}

    def on_train_begin(self, trainer: fastbp.Trainer) -> None:
        self.calls.append("begin")

    def on_train_end(self, trainer: fastbp.Trainer, history: fastbp.History) -> None:
        self.calls.append(("end", len(history.loss)))

    def on_epoch_begin(self, trainer: fastbp.Trainer, epoch: int) -> None:
        self.calls.append(epoch)

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.calls.append((epoch, sorted(logs)))
        for name, values in self.figures.items():
            logs[name] = values[epoch]


def test_hooks() -> None:
    trainer, recorder = build(metrics=["mae"]), Recorder()
    trainer.fit(X, Y, 2, callbacks=[recorder], validation_split=0.5)
    trainer.fit(X, Y, 1, callbacks=[recorder])
    names = ["loss", "mae"]
    both = [*names, "val_loss", "val_mae"]
    first = ["begin", 0, (0, both), 1, (1, both), ("end", 2)]
    assert recorder.calls == [*first, "begin", 2, (2, names), ("end", 1)]


def test_a_callback_changes_nothing_by_being_there() -> None:
    plain, watched = build(), build()
    plain.fit(X, Y, 3)
    watched.fit(X, Y, 3, callbacks=[Recorder(), fastbp.LearningRateLogger()])
    for p, q in zip(plain.network.get_weights(), watched.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


class Meddler(fastbp.Callback):
    """Halves rate and weights after each epoch."""

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        trainer.learning_rate /= 2
        net = trainer.network
        net.set_weights([p / 2 for p in net.get_weights()])
        assert net.predict(X[:1]).shape == (1, 2)


def test_what_a_callback_sets_is_used() -> None:
    meddled, by_hand = build(), build()
    history = meddled.fit(X, Y, 3, callbacks=[Meddler(), fastbp.LearningRateLogger()])
    for _ in range(3):
        by_hand.fit(X, Y)
        by_hand.learning_rate /= 2
        net = by_hand.network
        net.set_weights([p / 2 for p in net.get_weights()])
    for p, q in zip(meddled.network.get_weights(), by_hand.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    assert history.learning_rate == [0.1, 0.05, 0.025]


class Failing(fastbp.Callback):
    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        if epoch == 1:
            raise OSError("on purpose")


def test_one_that_raises() -> None:
    """The state is that after the epoch; training goes on from there."""
    failed, whole = build(), build()
    with pytest.raises(OSError, match="on purpose"):
        failed.fit(X, Y, 5, callbacks=[Failing()])
    failed.fit(X, Y, 3)
    whole.fit(X, Y, 5)
    for p, q in zip(failed.network.get_weights(), whole.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


VALUES = [5.0, 4.0, 3.5, 3.7, 3.45, 3.6, 3.0, 2.0, 1.0, 0.5]


@pytest.mark.parametrize("restore", [True, False])
@pytest.mark.parametrize(
    ("patience", "min_delta", "best", "last"), [(1, 0.0, 6, 9), (1, 0.1, 2, 4), (0, 0.0, 2, 3)]
)
def test_early_stopping(
    patience: int, min_delta: float, best: int, last: int, restore: bool
) -> None:
    figures = {"val_loss": [*VALUES[:7], 3.1, 3.2, 3.3]} if best == 6 else {"val_loss": VALUES}
    if best == 6:
        last = 8
    trainer, twin = build(), build()
    stopping = fastbp.EarlyStopping("val_loss", patience, min_delta, restore)
    history = trainer.fit(X, Y, 10, callbacks=[Recorder(figures), stopping], validation_data=(X, Y))
    assert history.epoch == list(range(last + 1))
    assert history.stopped is not None
    assert "val_loss has not become better" in history.stopped
    twin.fit(X, Y, (best if restore else last) + 1)
    for p, q in zip(trainer.network.get_weights(), twin.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_early_stopping_on_what_should_rise() -> None:
    trainer = build(metrics=["r2"])
    recorder = Recorder({"val_r2": [0.1, 0.2, 0.15, 0.1, 0.3]})
    history = trainer.fit(
        X, Y, 5, callbacks=[recorder, fastbp.EarlyStopping("val_r2", 1)], validation_split=0.2
    )
    assert history.epoch == [0, 1, 2, 3]


def test_monitors_are_known_before_anything_changes() -> None:
    trainer = build()
    before = trainer.network.get_weights()
    for callback in (fastbp.EarlyStopping(), fastbp.TimeBudget(1, "val_loss")):
        with pytest.raises(ValueError, match="one of this fit's figures, 'loss', got 'val_loss'"):
            trainer.fit(X, Y, callbacks=[callback, Recorder()])
    for p, q in zip(before, trainer.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_time_budget(monkeypatch: Any) -> None:
    """By a clock that moves a second at each look: within an epoch too, and the best is kept."""
    trainer, twin = build(), build()
    seconds = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))
    recorder = Recorder({"loss": [3.0, 1.0, 2.0, 4.0, 4.0, 4.0]})
    history = trainer.fit(X, Y, 100, callbacks=[recorder, fastbp.TimeBudget(5.5)])
    assert history.stopped == "the budget of 5.5 s is spent"
    assert len(history.loss) >= 2
    twin.fit(X, Y, 2)  # the epoch with a loss of 1
    for p, q in zip(trainer.network.get_weights(), twin.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_csv_logger(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    trainer = build(metrics=["mae"])
    callbacks = [fastbp.LearningRateLogger(), fastbp.CSVLogger(path)]
    history = trainer.fit(X, Y, 2, callbacks=callbacks)
    more = trainer.fit(X, Y, 1, callbacks=[callbacks[0], fastbp.CSVLogger(path, append=True)])
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "mae", "learning_rate"]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert [float(row["loss"]) for row in rows] == [*history.loss, *more.loss]
    with pytest.raises(OSError, match="nowhere"):
        trainer.fit(X, Y, callbacks=[fastbp.CSVLogger(tmp_path / "nowhere" / "log.csv")])


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (fastbp.EarlyStopping(), "callbacks must be a list"),
        ([print], "callbacks must hold fastbp.Callback objects, got <built-in"),
    ],
)
def test_refused(callbacks: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        build().fit(X, Y, callbacks=callbacks)
    with pytest.raises(ValueError, match="patience must be an int >= 0"):
        fastbp.EarlyStopping(patience=-1)
    with pytest.raises(ValueError, match="seconds must be in"):
        fastbp.TimeBudget(0)
    with pytest.raises(TypeError, match="restore_best_weights must be True or False"):
        fastbp.EarlyStopping(restore_best_weights="yes")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ class weights

IDS = RNG.integers(0, 3, 60)
IDS[IDS == 2] = RNG.choice([1, 2], (IDS == 2).sum())
BALANCED = 60 / (3 * np.bincount(IDS))


@pytest.mark.parametrize(
    ("y", "given", "expected"),
    [
        (IDS, {0: 2.0, 2: 0.5}, np.array([2.0, 1.0, 0.5])[IDS]),
        (IDS, "balanced", BALANCED[IDS]),
        (np.eye(3)[IDS], {1: 3}, np.array([1.0, 3.0, 1.0])[IDS]),
        (IDS.astype(float), {np.int64(1): 0.0}, np.array([1.0, 0.0, 1.0])[IDS]),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weight(y: Any, given: Any, expected: Any, weighted: bool) -> None:
    found = []
    w = RNG.uniform(0.5, 2, 60) if weighted else None
    for by_class in (True, False):
        net = fastbp.Network(3, [fastbp.Dense(3, "softmax")], dtype="float64", seed=0)
        trainer = fastbp.Trainer(net, "cross_entropy", "sgd", seed=0)
        if by_class:
            trainer.fit(X, y, 3, sample_weight=w, class_weight=given)
        else:
            trainer.fit(X, y, 3, sample_weight=expected * (1 if w is None else w))
        found.append(net.get_weights())
    for p, q in zip(*found, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-13)


def test_class_weight_of_two_classes_and_held_out_samples() -> None:
    """Balanced over what is trained on."""
    y = np.array([0, 1, 1, 1] * 10 + [0] * 20)
    found = []
    for weights in (
        {"class_weight": "balanced"},
        {"sample_weight": np.where(y == 0, 40 / (2 * 10), 40 / (2 * 30))},
    ):
        net = fastbp.Network(3, [fastbp.Dense(1, "sigmoid")], dtype="float64", seed=0)
        trainer = fastbp.Trainer(net, "binary_cross_entropy", "sgd", seed=0)
        with pytest.warns(UserWarning, match="class 1 only among the others"):
            trainer.fit(X, y, 2, validation_split=1 / 3, **weights)  # type: ignore[arg-type]
        found.append(net.get_weights())
    for p, q in zip(*found, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-13)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("balance", TypeError, "class_weight must be a dict of weights by class id, or 'balanced'"),
        ([1, 2, 3], TypeError, "class_weight must be a dict"),
        ({3: 1.0}, ValueError, "class ids from 0 to 2 as keys, got 3"),
        ({True: 1.0}, ValueError, "keys, got True"),
        ({1: -1.0}, ValueError, r"class_weight\[1\] must be in \[0, inf\)"),
        ({0: 0, 1: 0, 2: 0}, ValueError, "gives every sample a weight of 0"),
    ],
)
def test_class_weight_refused(given: Any, error: Any, message: str) -> None:
    net = fastbp.Network(3, [fastbp.Dense(3, "softmax")], seed=0)
    trainer = fastbp.Trainer(net, "cross_entropy")
    with pytest.raises(error, match=message):
        trainer.fit(X, IDS, class_weight=given)
    labels = fastbp.Network(3, [fastbp.Dense(3, "sigmoid")], seed=0)
    trainer = fastbp.Trainer(labels, "binary_cross_entropy")
    with pytest.raises(ValueError, match="class_weight takes one class a sample"):
        trainer.fit(X, np.ones((60, 3)), class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight takes targets that are class"):
        build().fit(X, Y, class_weight="balanced")


# --------------------------------------------------------------------------------- divergence


def exploding(on_divergence: str, n_threads: int = 1, rate: float = 40.0) -> fastbp.Trainer:
    net = fastbp.Network(3, [fastbp.Dense(5, "relu"), fastbp.Dense(2)], dtype="float32", seed=0)
    return fastbp.Trainer(
        net, "mse", fastbp.SGD(rate, momentum=0.5), batch_size=10, seed=0,
        on_divergence=on_divergence, n_threads=n_threads,  # type: ignore[arg-type]
    )  # fmt: skip


def finite(net: fastbp.Network) -> bool:
    return all(np.isfinite(p).all() for p in net.get_weights())


def test_raise_goes_back_to_finite_weights() -> None:
    trainer = exploding("raise")
    before = trainer.network.get_weights()
    with pytest.raises(fastbp.DivergenceError, match=r"in epoch \d+, batch \d+") as raised:
        trainer.fit(X, Y, 1000)
    assert raised.value.history is not None
    assert len(raised.value.history.loss) == raised.value.epoch
    for p, q in zip(trainer.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(p, q)  # the only snapshot
    trainer.learning_rate = 0.01
    assert np.isfinite(trainer.fit(X, Y, 3).loss).all()  # the velocity is as it was too


def test_stop() -> None:
    trainer = exploding("stop")
    history = trainer.fit(X, Y, 1000)
    assert len(history.loss) < 1000
    assert history.stopped is not None
    assert "became" in history.stopped
    assert finite(trainer.network)


def test_reduce() -> None:
    """The rate is halved until it goes; the outcome is the same each time."""
    found = []
    for n_threads in (1, 2):
        trainer = exploding("reduce", n_threads, rate=1.0)
        history = trainer.fit(X, Y, 60)
        assert finite(trainer.network)
        halvings = np.log2(1.0 / trainer.learning_rate)
        assert halvings in (1, 2, 3, 4, 5)
        assert len(history.loss) == 60
        found.append([history.loss, [p.tolist() for p in trainer.network.get_weights()]])
    assert found[0] == found[1]


def test_reduce_gives_up() -> None:
    with pytest.raises(fastbp.DivergenceError, match="after 5 halvings of the rate"):
        exploding("reduce", rate=1e6).fit(X, Y, 1000)


def test_a_weight_that_overflows_is_found() -> None:
    """The last update's, whose loss was still finite."""
    net = fastbp.Network(1, [fastbp.Dense(1, bias=False)], dtype="float32", seed=0)
    net.set_weights([[[1.0]]])
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(3e38), batch_size=1, seed=0)
    with pytest.raises(fastbp.DivergenceError, match="a weight became infinite or NaN in epoch 0"):
        trainer.fit([[1.0]], [-9.0], 1)
    assert net.get_weights()[0] == 1.0


@pytest.mark.parametrize(("rows", "kept"), [(5, 3), (10, 2), (15, 3), (20, 0)])
def test_snapshots_are_taken_by_count(monkeypatch: Any, rows: int, kept: int) -> None:
    """Every rows (1 + 1 slot) / 10 updates; the fourth of them fails."""
    monkeypatch.setattr("fastbp.training.snapshot._WORK", 1.0)
    monkeypatch.setattr("fastbp.training.snapshot._ROWS", rows)
    y = Y.astype(np.float32)
    y[35] = 3e38
    found = []
    for n in (60, 10 * kept):
        trainer = exploding("stop", rate=0.01)
        trainer.shuffle = False
        if n:
            trainer.fit(X[:n], y[:n])
        found.append(trainer.network.get_weights())
    for p, q in zip(*found, strict=True):
        np.testing.assert_array_equal(p, q)
