"""Several sets of validation data: their figures, their names, and checkpoints of such fits."""

from __future__ import annotations

import csv
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.training import provenance
from fastbp.training.progress import bar_format

RNG = np.random.default_rng(2)
X = RNG.normal(size=(120, 3))
Y = X[:, 0] * X[:, 1]
A, B = RNG.normal(size=(50, 3)), RNG.normal(size=(31, 3))
TO_A, TO_B = A[:, 0] * A[:, 1], B[:, 0] * B[:, 1] + 1.0
WEIGHTS = RNG.uniform(0, 2, 31)
SETS: dict[str, Any] = {"val": (A, TO_A), "test": (B, TO_B, WEIGHTS)}


def build(rate: Any = 0.05, dtype: str = "float32", **settings: Any) -> fastbp.Trainer:
    net = fastbp.Network(3, [fastbp.Dense(7, "tanh"), fastbp.Dense(1)], dtype=dtype, seed=0)
    settings = {"batch_size": 16, "seed": 0, "metrics": ["mae", "r2"]} | settings
    return fastbp.Trainer(net, "mse", fastbp.SGD(rate), **settings)


def same_weights(a: fastbp.Trainer, b: fastbp.Trainer) -> None:
    for p, q in zip(a.network.get_weights(), b.network.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


class Evaluates(fastbp.Callback):
    """Takes each set's figures by itself."""

    def __init__(self, sets: dict[str, Any]) -> None:
        self.sets = sets

    def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
        for name, data in self.sets.items():
            found = trainer.evaluate(*data)
            assert {k: v for k, v in logs.items() if k.startswith(f"{name}_")} == {
                f"{name}_{figure}": value for figure, value in found.items()
            }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_sets_figures(dtype: str) -> None:
    """They are those of `evaluate`, and the first set's those of a fit with it alone."""
    trainer, plain = build(dtype=dtype), build(dtype=dtype)
    history = trainer.fit(X, Y, 5, validation_data=SETS, callbacks=[Evaluates(SETS)])
    expected = plain.fit(X, Y, 5, validation_data=SETS["val"])
    names = ["loss", "mae", "r2", "val_loss", "val_mae", "val_r2"]
    for name in names:
        assert getattr(history, name) == getattr(expected, name), name
    same_weights(trainer, plain)
    found = trainer.evaluate(*SETS["test"])
    for name, value in found.items():
        assert getattr(history, f"test_{name}")[-1] == value
    lists = [name for name, values in vars(history).items() if isinstance(values, list)]
    assert lists == [
        "epoch", "loss", "val_loss", "samples_per_second", *names[1:3], *names[4:],
        "test_loss", "test_mae", "test_r2",
    ]  # fmt: skip
    assert plain.fit(X, Y, 1, validation_data={"val": SETS["val"]}).val_loss == [
        trainer.fit(X, Y, 1, validation_data=SETS).val_loss[0]
    ]


def test_names_of_ones_own() -> None:
    sets = {"hold out": SETS["val"], "früh": SETS["test"]}
    history = build().fit(X, Y, 2, validation_data=sets)
    assert history.val_loss == []
    assert history.validation_sets == ("hold out", "früh")
    assert len(getattr(history, "hold out_loss")) == len(history.früh_r2) == 2


def test_any_number_of_threads() -> None:
    many = {"val": (np.tile(A, (200, 1)), np.tile(TO_A, 200)), "test": SETS["test"]}
    found = []
    for n_threads in (1, 2, 3):
        history = build(n_threads=n_threads).fit(X, Y, 2, validation_data=many)
        found.append([history.val_loss, history.val_r2, history.test_loss, history.test_r2])
    assert found[0] == found[1] == found[2]


def test_other_sets_in_the_next_fit() -> None:
    trainer = build()
    trainer.fit(X, Y, 2, validation_data=SETS)
    history = trainer.fit(X, Y, 1, validation_data={"test": SETS["val"], "last": SETS["test"]})
    assert history.test_loss == [trainer.evaluate(*SETS["val"])["loss"]]
    assert history.last_loss == [trainer.evaluate(*SETS["test"])["loss"]]
    assert history.val_loss == []


# -- who watches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["val", "test"])
def test_the_first_ones_loss_is_watched(first: str) -> None:
    """By early stopping, a budget, a plateau and the progress."""
    sets = {first: SETS[first], **SETS}
    seen: list[fastbp.Progress] = []
    stopping, budget = fastbp.EarlyStopping(patience=100), fastbp.TimeBudget(1e6)
    trainer = build(fastbp.ReduceOnPlateau(0.3, patience=0, factor=0.5))
    history = trainer.fit(
        X, Y, 12, validation_data=sets, callbacks=[stopping, budget, fastbp.LearningRateLogger()],
        progress=seen.append,
    )  # fmt: skip
    losses = getattr(history, f"{first}_loss")
    other = getattr(history, "test_loss" if first == "val" else "val_loss")
    assert np.argmin(losses) != np.argmin(other)
    assert stopping.best == budget.best == min(losses)
    assert stopping.best_epoch == budget.best_epoch == np.argmin(losses)
    assert trainer.evaluate(*SETS[first])["loss"] == min(losses)
    bad = sum(loss > best * (1 - 1e-4) for loss, best in
              zip(losses[1:], np.minimum.accumulate(losses)[:-1], strict=True))  # fmt: skip
    assert trainer.learning_rate == pytest.approx(0.3 * 0.5**bad)
    ends = [p for p in seen if p.done_epoch]
    assert [p.val_loss for p in ends] == losses
    assert {p.val_name for p in seen} == {f"{first}_loss"}
    assert ends[-1].figures["test_r2"] == history.test_r2[-1]


def test_the_bar_says_which_set_it_shows() -> None:
    seen: list[fastbp.Progress] = []
    sets = {"test": SETS["test"], "val": SETS["val"]}
    history = build(metrics=[]).fit(X, Y, 1, validation_data=sets, progress=seen.append)
    line = bar_format(seen[-1], "", 200)
    first, second = (f"{n} {getattr(history, n)[0]:#.3g}" for n in ("test_loss", "val_loss"))
    assert f"{first}, {second}" in line


def test_one_that_is_not_the_first() -> None:
    stopping = fastbp.EarlyStopping("test_r2", patience=100)
    history = build().fit(X, Y, 8, validation_data=SETS, callbacks=[stopping])
    assert stopping.best == max(history.test_r2)
    with pytest.raises(ValueError, match=r"one of this fit's figures, .*'test_loss'.*, got 'val_l"):
        build().fit(
            X, Y, validation_data={"test": SETS["test"]},
            callbacks=[fastbp.EarlyStopping("val_loss")],
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"one of this fit's figures, 'loss', .* got 'val_loss'"):
        build(fastbp.ReduceOnPlateau(0.1)).fit(X, Y)


def test_what_is_written_down(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    history = build().fit(X, Y, 2, validation_data=SETS, callbacks=[fastbp.CSVLogger(log)])
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert list(rows[0]) == [
        "epoch", "loss", "mae", "r2", "val_loss", "val_mae", "val_r2", "test_loss", "test_mae",
        "test_r2",
    ]  # fmt: skip
    assert float(rows[1]["test_mae"]) == history.test_mae[1]


def test_in_the_background() -> None:
    handle = build().fit_async(X, Y, 3, validation_data=SETS)
    assert handle.result().test_loss == build().fit(X, Y, 3, validation_data=SETS).test_loss


# -- checkpoints -----------------------------------------------------------------------------------


class BreakOff(fastbp.Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


def broken_off(path: Path, sets: Any, **settings: Any) -> None:
    trainer = build(**settings)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, 9, validation_data=sets, callbacks=[fastbp.EarlyStopping(), BreakOff(3)])
    trainer.save(path)


def test_a_run_that_is_gone_on_with(tmp_path: Path) -> None:
    rate = fastbp.ReduceOnPlateau(0.3, patience=1, monitor="test_mae")
    callbacks: Any = [fastbp.EarlyStopping(), BreakOff(99)]
    there = build(rate)
    expected = there.fit(X, Y, 9, validation_data=SETS, callbacks=callbacks)
    broken_off(tmp_path / "run.safetensors", SETS, rate=rate)
    here = build(rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", ".*callback BreakOff", RuntimeWarning)
        history = here.fit(
            X, Y, 9, validation_data=SETS, callbacks=callbacks,
            resume=tmp_path / "run.safetensors",
        )  # fmt: skip
    for name in ("loss", "val_r2", "test_loss"):
        assert getattr(history, name) == getattr(expected, name)
    assert history.keys() == expected.keys()  # as the columns of a data frame
    same_weights(here, there)
    again = fastbp.Trainer.load(tmp_path / "run.safetensors")
    assert again.position.epochs == 4


@pytest.mark.filterwarnings("ignore:.*callback BreakOff:RuntimeWarning")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test": (B, TO_B + 1, WEIGHTS)}, r"validation_data\['test'\] y was"),
        ({"val": (A + 1, TO_A)}, r"validation_data\['val'\] X was"),
        ({"test": (B, TO_B)}, r"validation_data\['test'\] sample_weight was .*, is 'none'"),
        ({"more": (A, TO_A)}, r"validation_data\['more'\] X was 'none'"),
        ({"test": None}, r"validation_data\['test'\] X was .*, is 'none'"),
        ("order", "first set of validation_data was 'val', is 'test'"),
        ("plain", r"validation_data\['test'\] X was .*, is 'none'"),
        ("none", r"validation_data\['val'\] X was .*, is 'none'"),
    ],
)
def test_a_set_that_is_another_is_named(change: Any, said: str, tmp_path: Path) -> None:
    broken_off(tmp_path / "run.safetensors", SETS)
    if isinstance(change, str):
        sets: Any = {
            "order": {"test": SETS["test"], "val": SETS["val"]}, "plain": SETS["val"], "none": None,
        }[change]  # fmt: skip
    else:
        sets = {name: data for name, data in {**SETS, **change}.items() if data is not None}
    stopping = fastbp.EarlyStopping("loss") if sets is None else fastbp.EarlyStopping()
    with pytest.warns(RuntimeWarning) as found:
        build().fit(
            X, Y, 9, validation_data=sets, callbacks=[stopping, BreakOff(99)],
            resume=tmp_path / "run.safetensors",
        )  # fmt: skip
    texts = [str(each.message) for each in found]
    assert any(re.search(said, text) for text in texts), texts


def test_the_best_of_another_set_is_not_gone_on_with(tmp_path: Path) -> None:
    """The default watches the first set: where that is another, what was best says nothing."""
    broken_off(tmp_path / "run.safetensors", SETS)
    stopping = fastbp.EarlyStopping(patience=99)
    sets = {"test": SETS["test"], "val": SETS["val"]}
    with pytest.warns(RuntimeWarning) as found:
        history = build().fit(
            X, Y, 6, validation_data=sets, callbacks=[stopping], resume=tmp_path / "run.safetensors"
        )
    said = "EarlyStopping's monitor was 'val_loss', is 'test_loss'"
    assert any(said in str(each.message) for each in found)
    assert stopping.best == min(history.test_loss[4:])


def test_what_a_checkpoint_has_of_one_set() -> None:
    """As ever: of "val" alone, what it is; an older fastbp reads that."""
    data = {"X": {"about": "1", "whole": None, "sample": ""}}
    assert provenance.of_sets({}) is None
    assert provenance.of_sets({"val": data}) == data  # type: ignore[dict-item]
    for sets in ({}, {"val": data}, {"a": data}, {"a": data, "val": data}):
        assert provenance.sets_of(provenance.of_sets(sets)) == sets  # type: ignore[arg-type]
    for wrong in (
        [], {"sets": None}, {"sets": [1]}, {"sets": [["a"]]}, {"sets": [["a", data, 1]]},
        {"sets": [["a", data], ["a", data]]}, {"sets": [["", data]]}, {"sets": [["a", {"Z": 1}]]},
        {"sets": [["a", None]]}, {"sets": [], "X": data["X"]},
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match="its validation data"):
            provenance.sets_of(wrong)


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "error", "message"),
    [
        ({}, ValueError, "validation_data must have at least one set, got an empty dict"),
        ({"": (A, TO_A)}, ValueError, "strings for names of sets, got ''"),
        ({" ": (A, TO_A)}, ValueError, "strings for names of sets, got ' '"),
        ({1: (A, TO_A)}, TypeError, "strings for names of sets, got 1"),
        ({None: (A, TO_A)}, TypeError, "strings for names of sets, got None"),
        ({"a": A}, TypeError, r"validation_data\['a'\] must be \(X, y\).*, got ndarray"),
        ({"a": None}, TypeError, r"validation_data\['a'\] must be \(X, y\).*, got NoneType"),
        ({"a": (A,)}, TypeError, r"validation_data\['a'\] must be .*, got tuple of 1"),
        ({"a": {"b": (A, TO_A)}}, TypeError, r"validation_data\['a'\] must be .*, got dict"),
        ({"b": (A, TO_A), "a": (A[:, :2], TO_A)}, ValueError,
         r"validation_data\['a'\]'s X must have as many features .*, got 2"),
        ({"a": (A, TO_A[1:])}, ValueError, r"validation_data\['a'\]'s y must have .* 50"),
        ({"a": (A, TO_A, -TO_A)}, ValueError, r"validation_data\['a'\]'s sample_weight"),
        ({"a": (A, TO_A * np.inf)}, ValueError, r"validation_data\['a'\]'s y must .* got -inf"),
        ({"samples": (A, TO_A)}, ValueError,
         "a set of the name 'samples': its per_second would be 'samples_per_second' in History, "
         "as is a figure of History"),
        ({"a": (A, TO_A), "a_b": (A, TO_A)}, ValueError,
         "a set of the name 'a_b': its c would be 'a_b_c' in History, as is a figure of the set"),
        ({"own": (A, TO_A)}, ValueError,
         "a set of the name 'own': its mae would be 'own_mae' .*, as is a figure of training"),
        ("val", TypeError, r"validation_data must be \(X, y\) .*, or a dict of such by name, got"),
    ],
)  # fmt: skip
def test_refused(sets: Any, error: Any, message: str) -> None:
    def own(y: Any, outputs: Any, sample_weight: Any) -> float:
        return 0.0

    class OwnError(fastbp.MeanAbsoluteError):
        name = "own_mae"  # type: ignore[misc]

    names = ["per_second", "b_c", "c"]
    metrics = [*(fastbp.CustomMetric(own, name) for name in names), "mae", OwnError()]
    trainer = build(metrics=metrics)
    before = trainer.network.get_weights()
    for fit in (trainer.fit, trainer.fit_async):
        with pytest.raises(error, match=message):
            fit(X, Y, validation_data=sets)
    assert trainer.history is None
    np.testing.assert_array_equal(before[0], trainer.network.get_weights()[0])
    with pytest.raises(ValueError, match="give validation_data or validation_split, not both"):
        trainer.fit(X, Y, validation_data={"x": (A, TO_A)}, validation_split=0.5)
