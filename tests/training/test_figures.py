"""Figures that callbacks and schedules look at or add: NaN, negative ones, late ones, names."""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 2))
NAN = math.nan


def build(optimizer: Any = None, **settings: Any) -> fastbp.Trainer:
    net = fastbp.Network(3, [fastbp.Dense(5, "tanh"), fastbp.Dense(2)], dtype="float64", seed=0)
    settings = {"batch_size": 10, "seed": 0} | settings
    return fastbp.Trainer(net, "mse", optimizer or fastbp.SGD(0.1), **settings)


class Adds(fastbp.Callback):
    """Puts these values among an epoch's figures, None being none."""

    def __init__(self, **figures: Any) -> None:
        self.figures = figures

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        logs |= {n: v[epoch] for n, v in self.figures.items() if v[epoch] is not None}


# -------------------------------------------------------------------------- ReduceOnPlateau


def reductions(figures: list[float], monitor: str = "loss", **settings: Any) -> list[int]:
    """Epochs after which the rate was lower."""
    plan = fastbp.ReduceOnPlateau(1.0, factor=0.5, monitor=monitor, **settings)
    rates = fastbp.training.rates.Rates(plan)
    found = []
    for epoch, figure in enumerate(figures):
        rates.plateau, scale = rates.after_epoch({monitor: figure})
        if scale < rates.scale:
            found.append(epoch)
        rates.scale = scale
    return found


@pytest.mark.parametrize("monitor", ["loss", "val_r2"])
@pytest.mark.parametrize("offset", [-100.0, -1.0, -1e-9, 1e-9, 1.0, 100.0])
def test_a_plateau_of_any_sign(offset: float, monitor: str) -> None:
    """What stays the same, or moves by less than 1e-4 of itself, is no progress."""
    sign = 1.0 if monitor == "val_r2" else -1.0
    small, large = 5e-5 * abs(offset) * sign, 2e-4 * abs(offset) * sign
    assert reductions([offset] * 8, monitor, patience=1) == [2, 4, 6]
    assert reductions([offset, *[offset + small] * 5], monitor, patience=1) == [2, 4]
    assert reductions([offset + i * large for i in range(9)], monitor, patience=0) == []
    assert reductions([offset - i * large for i in range(5)], monitor, patience=0) == [1, 2, 3, 4]


def test_any_figure_is_better_than_none() -> None:
    for min_delta in (0.0, 1e-4, 1.0, 3.0):
        assert reductions([5.0], patience=0, min_delta=min_delta) == []
        assert reductions([-5.0], "val_r2", patience=0, min_delta=min_delta) == []
    assert reductions([0.0, 0.0, -1e-12], patience=0) == [1]


def test_a_falling_negative_loss_keeps_its_rate() -> None:
    plan = fastbp.ReduceOnPlateau(0.1, factor=0.5, patience=1, monitor="loss")
    trainer = build(fastbp.SGD(plan))
    trainer._session.engine.rates.after_epoch({"loss": -1.0})
    figures = {"loss": [-1.0] * 7}
    trainer.fit(X, Y, 7, callbacks=[Adds(**figures)])
    # callbacks come after the schedule has looked: the real loss falls, and nothing is reduced
    assert trainer.learning_rate == 0.1


# ------------------------------------------------------------------------------------- NaN


def with_an_absent_class(
    callbacks: Any, optimizer: Any = "adam", epochs: int = 12, metrics: Any = ("auc", "f1")
) -> fastbp.History:
    """One output whose validation data has one class alone: no auc."""
    y = (X[:, 0] > 0).astype(int)
    net = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(1, "sigmoid")], seed=0)
    trainer = fastbp.Trainer(net, "binary_cross_entropy", optimizer, metrics=metrics, seed=0)
    held_out = X[y == 1], y[y == 1]
    return trainer.fit(X, y, epochs, validation_data=held_out, callbacks=callbacks)


def heard(caught: list[warnings.WarningMessage]) -> list[str]:
    assert all(w.category is RuntimeWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("patience", [0, 1, 5])
def test_early_stopping_says_that_it_sees_nothing(patience: int) -> None:
    stopping = fastbp.EarlyStopping("val_auc", patience=patience)
    with pytest.warns(RuntimeWarning) as caught:
        history = with_an_absent_class([stopping])
    (text,) = heard(list(caught))
    assert "val_auc has been NaN" in text
    assert "EarlyStopping" in text
    assert "monitor another figure" in text
    assert np.isnan(history.val_auc).all()
    assert len(history.loss) == patience + 1  # as of any figure that doesn't become better
    assert "val_auc" in str(history.stopped)


def test_reduce_on_plateau_says_so_once_a_fit() -> None:
    plan = fastbp.ReduceOnPlateau(0.1, patience=2, monitor="val_auc")
    trainer: Any = None

    class Keep(fastbp.Callback):
        def on_train_begin(self, of: fastbp.Trainer) -> None:
            nonlocal trainer
            trainer = of

    with pytest.warns(RuntimeWarning) as caught:
        with_an_absent_class([Keep()], fastbp.SGD(plan))
    (text,) = heard(list(caught))
    assert "val_auc has been NaN for 2 epochs in a row, and ReduceOnPlateau" in text
    assert trainer.learning_rate < 0.1  # as of any figure that doesn't become better
    y = (X[:, 0] > 0).astype(int)
    with pytest.warns(RuntimeWarning) as caught:
        trainer.fit(X, y, 3, validation_data=(X[y == 1], y[y == 1]))
    assert len(caught) == 1


def test_a_time_budget_without_a_best() -> None:
    with pytest.warns(RuntimeWarning, match="val_auc has been NaN in every epoch, and TimeBudget"):
        with_an_absent_class([fastbp.TimeBudget(1e6, "val_auc")], epochs=3)


def test_some_nan_is_borne() -> None:
    """Fewer in a row than the patience, in whatever order."""
    figures = [NAN, NAN, 3.0, NAN, NAN, 2.0, NAN, 2.0, NAN]
    callbacks = [
        Adds(val_loss=figures),
        fastbp.EarlyStopping("val_loss", patience=3),
        fastbp.TimeBudget(1e6, "val_loss"),
    ]
    history = build().fit(X, Y, 9, callbacks=callbacks, validation_data=(X, Y))
    assert len(history.loss) == 9


def test_a_warning_that_is_an_error_leaves_nothing_half_done() -> None:
    """Ends the fit after an epoch that is counted and recorded."""
    plan = fastbp.ReduceOnPlateau(0.1, patience=1, monitor="val_auc")
    y = (X[:, 0] > 0).astype(int)
    net = fastbp.Network(3, [fastbp.Dense(1, "sigmoid")], seed=0)
    trainer = fastbp.Trainer(net, "binary_cross_entropy", fastbp.SGD(plan), metrics=["auc"])
    with pytest.raises(RuntimeWarning, match="NaN for 1 epoch in a row"):
        trainer.fit(X, y, 3, validation_data=(X[y == 1], y[y == 1]))
    assert trainer.history is not None
    assert trainer.history.epoch == [0]
    assert trainer.fit(X, y, 1, validation_data=(X, y)).epoch == [1]


# --------------------------------------------------------------------------------- History


def same(found: Any, expected: list[float]) -> bool:
    return np.array_equal(np.array(found, float), np.array(expected, float), equal_nan=True)


def test_lists_have_an_entry_an_epoch() -> None:
    late, now_and_then = [None, None, 3.0, 4.0], [1.0, None, 2.0, None]
    history = build().fit(X, Y, 4, callbacks=[Adds(late=late, sometimes=now_and_then)])
    assert same(history.late, [NAN, NAN, 3.0, 4.0])
    assert same(history.sometimes, [1.0, NAN, 2.0, NAN])
    assert history.val_loss == []
    lists = {name: len(v) for name, v in vars(history).items() if isinstance(v, list) and v}
    assert set(lists.values()) == {4}


def test_what_a_callback_takes_away_is_nan() -> None:
    class Takes(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
            if epoch == 1:
                del logs["val_loss"]

    history = build().fit(X, Y, 3, callbacks=[Takes()], validation_data=(X, Y))
    assert [math.isnan(value) for value in history.val_loss] == [False, True, False]
    assert len(history.loss) == 3


@pytest.mark.filterwarnings("ignore:.*not to the same bits:RuntimeWarning")
def test_over_a_break(tmp_path: Path) -> None:
    """A figure that comes after a fit was resumed, and one that doesn't come any more."""
    first = [Adds(early=[1.0, 2.0]), fastbp.Checkpoint(tmp_path)]
    build().fit(X, Y, 2, callbacks=first)
    log, late = tmp_path / "log.csv", [None, None, None, 7.0]
    log.write_text("epoch,loss,early\n0,1.0,1.0\n1,0.5,2.0\n")
    callbacks = [Adds(late=late), fastbp.CSVLogger(log)]
    history = build().fit(X, Y, 4, callbacks=callbacks, validation_data=(X, Y), resume=tmp_path)
    assert history.epoch == [0, 1, 2, 3]
    assert same(history.early, [1.0, 2.0, NAN, NAN])
    assert same(history.late, [NAN, NAN, NAN, 7.0])
    assert [math.isnan(value) for value in history.val_loss] == [True, True, False, False]
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["early"] for row in rows] == ["1.0", "2.0", "", ""]
    assert [row["late"] for row in rows] == ["", "", "", "7.0"]
    assert [float(row["loss"]) for row in rows[2:]] == history.loss[2:]
    assert None not in rows[3]


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("stopped", 1.0, ValueError, "Adds has added the figure 'stopped': that name is"),
        ("epoch", 1.0, ValueError, "'epoch'"),
        ("samples_per_second", 1.0, ValueError, "'samples_per_second'"),
        ("recording", 1.0, ValueError, "'recording'"),
        ("__class__", 1.0, ValueError, "'__class__'"),
        ("__dict__", 1.0, ValueError, "'__dict__'"),
        ("__mine__", 1.0, ValueError, "'__mine__'"),
        ("", 1.0, ValueError, "''"),
        (3, 1.0, TypeError, "strings for names, got int"),
        ("a", "0.5", TypeError, "figures must be numbers, got '0.5' of type str"),
        ("a", [1.0], TypeError, "figures must be numbers"),
        ("a", np.ones(2), TypeError, "figures must be numbers"),
        ("a", 1j, TypeError, "figures must be numbers"),
        ("loss", "low", TypeError, "figure 'loss': figures must be numbers"),
        ("a", 10**400, ValueError, "figures must fit float64"),
    ],
)
def test_what_is_no_figure(tmp_path: Path, name: Any, value: Any, error: Any, message: str) -> None:
    trainer, log = build(), tmp_path / "log.csv"
    added = Adds()
    added.figures = {"mine": [1.0, 2.0], name: [None, value]}
    with pytest.raises(error, match=message):
        trainer.fit(X, Y, 3, callbacks=[added, fastbp.CSVLogger(log)])
    history = trainer.history
    assert history is not None
    assert history.epoch == [0, 1]  # the epoch itself is over, and its other figures are kept
    assert history.mine == [1.0, 2.0]
    assert history.stopped is None
    assert len(history.loss) == 2
    assert not math.isnan(history.loss[0])
    assert vars(history).keys() <= {
        "epoch", "loss", "val_loss", "samples_per_second", "stopped", "network_epoch",
        "validation_sets", "mine",
    }  # fmt: skip
    assert len(log.read_text().splitlines()) == 2  # it was refused before the next callback
    assert trainer.fit(X, Y, 1).epoch == [2]
    trainer.save(tmp_path / "a.ckpt")


def test_an_exception_with_a_bad_figure() -> None:
    """What is under way is not another error, and not the bad figure's record."""

    class Fails(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, Any]) -> None:
            logs["stopped"], logs["text"], logs["good"] = 1.0, "no number", 2.0
            raise OSError("on purpose")

    trainer = build()
    with pytest.raises(OSError, match="on purpose"):
        trainer.fit(X, Y, 2, callbacks=[Fails()])
    history = trainer.history
    assert history is not None
    assert (history.epoch, history.good, history.stopped) == ([0], [2.0], None)
    assert not hasattr(history, "text")
    assert trainer.fit(X, Y, 1).epoch == [1]


def test_numbers_of_any_kind() -> None:
    kinds = [1, True, np.float32(0.5), np.int8(3), np.bool_(True), np.array(2.5)]
    history = build().fit(X, Y, 6, callbacks=[Adds(a=kinds, **{"group 0/rate": [0.1] * 6})])
    assert same(history.a, [1, 1, 0.5, 3, 1, 2.5])
    assert vars(history)["group 0/rate"] == [0.1] * 6


def test_a_csv_file_gets_columns(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    late = [None, 1.5, None, 2.5]
    build().fit(X, Y, 4, callbacks=[Adds(late=late), fastbp.CSVLogger(path)])
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "late"]
    assert [row["late"] for row in rows] == ["", "1.5", "", "2.5"]
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
    # one that is gone on with: by its own columns, in its own order
    path.write_text("loss,epoch,other\n1.0,0,5.0\n")
    build().fit(X, Y, 1, callbacks=[Adds(late=[9.0]), fastbp.CSVLogger(path, append=True)])
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["loss", "epoch", "other", "late"]
    assert [(row["epoch"], row["other"], row["late"]) for row in rows] == [
        ("0", "5.0", ""), ("0", "", "9.0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"recording": [1.0, 2.0]}, "can't have a figure of the name 'recording'"),
        ({"stopped": [1.0, 2.0]}, "can't have a figure of the name 'stopped'"),
        ({"loss": [1.0, 2.0, 3.0]}, "loss is longer than its epochs are"),
        ({"epoch": None}, "must have the lists epoch"),
    ],
)
def test_lists_of_a_forged_checkpoint(tmp_path: Path, lists: Any, message: str) -> None:
    from fastbp.files import checkpoints as checkpoint

    trainer = build()
    trainer.fit(X, Y, 2)
    kept = trainer._state()
    for name, values in lists.items():
        kept["fit"]["history"].pop(name, None)
        if values is not None:
            kept["fit"]["history"][name] = np.array(values)
    checkpoint.write(tmp_path / "forged", kept)
    fresh = build()
    with pytest.raises(ValueError, match=message):
        fresh.fit(X, Y, 4, resume=tmp_path / "forged")
    assert fresh.history is None
