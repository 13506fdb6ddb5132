"""What differs between a run that was saved and the one that goes on with it is named."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.data import fingerprint, inputs
from fastbp.training import provenance

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(5000, 6)), RNG.normal(size=(5000, 1))


def trainer(**settings: Any) -> fastbp.Trainer:
    network = fastbp.Network(6, [fastbp.Dense(3, "tanh"), fastbp.Dense(1)], seed=1)
    given: dict[str, Any] = {"batch_size": 256, "seed": 2, **settings}
    return fastbp.Trainer(network, "mse", "adam", **given)


def started(folder: Path, X: Any = X, y: Any = Y, **options: Any) -> Path:
    made = options.pop("trainer", None) or trainer()
    callbacks = [*options.pop("callbacks", ()), fastbp.Checkpoint(folder / "run")]
    made.fit(X, y, 1, callbacks=callbacks, **options)
    return folder / "run"


def warned(folder: Path, X: Any = X, y: Any = Y, **options: Any) -> list[str]:
    """What is warned of when a fit goes on, with the file's name cut off."""
    made = options.pop("trainer", None) or trainer()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert made.fit(X, y, 2, resume=folder, **options).epoch == [0, 1]
    for one in caught:
        assert one.category is RuntimeWarning
        assert one.filename == __file__
    return [str(one.message).partition(".safetensors: ")[2] for one in caught]


def changed(array: Any, row: int) -> Any:
    other = array.copy()
    other[row, -1] = np.nextafter(other[row, -1], np.inf)
    return other


@pytest.mark.parametrize("row", [0, 1, 79, 2500, 4998, 4999])
def test_one_value_anywhere_in_the_data(row: int, tmp_path: Path) -> None:
    run = started(tmp_path)
    assert warned(run) == []
    (text,) = warned(run, changed(X, row))
    assert text.startswith("data X was '5000 x 6 float64 ")
    assert text.endswith("'; the run goes on, but not to the same bits")
    (text,) = warned(run, y=changed(Y, row))
    assert text.startswith("data y was '5000 x 1 float64 ")


def test_the_order_of_rows(tmp_path: Path) -> None:
    run = started(tmp_path)
    order = np.arange(5000)
    order[[3, 4]] = order[[4, 3]]
    assert [text[:10] for text in warned(run, X[order], Y[order])] == ["data X was", "data y was"]


def test_other_memory_of_the_same_values_is_the_same(tmp_path: Path) -> None:
    run = started(tmp_path)
    wide = np.zeros((5000, 9))
    wide[:, 2:8] = X
    for same in (
        np.asfortranarray(X),
        wide[:, 2:8],
        X[::-1].copy()[::-1],
        X.reshape(5000, 2, 3),
        X.tolist(),
    ):
        assert warned(run, same) == []
    (text,) = warned(run, X.astype(np.float32))
    assert "5000 x 6 float32" in text


def test_sample_weights(tmp_path: Path) -> None:
    w = RNG.uniform(size=(5000, 1))
    run = started(tmp_path, sample_weight=w[:, 0])
    assert warned(run, sample_weight=w[:, 0]) == []
    (text,) = warned(run, sample_weight=changed(w, 1234)[:, 0])
    assert text.startswith("data sample_weight was '5000 x 1 float64 ")
    (text,) = warned(run)
    assert "is 'none'" in text


def test_validation_data(tmp_path: Path) -> None:
    held = X[:900] + 1.0, Y[:900]
    run = started(tmp_path, validation_data=held)
    assert warned(run, validation_data=held) == []
    (text,) = warned(run, validation_data=(changed(held[0], 333), held[1]))
    assert text.startswith("validation data X was '900 x 6 float64 ")
    (text,) = warned(run, validation_data=(held[0], changed(held[1], 333)))
    assert text.startswith("validation data y was '900 x 1 float64 ")
    assert [text[:17] for text in warned(run)] == ["validation data X", "validation data y"]
    other = warned(started(tmp_path / "2"), validation_data=held)
    assert [text[:26] for text in other] == [f"validation data {n} was 'none'"[:26] for n in "Xy"]


def test_a_split(tmp_path: Path) -> None:
    """The rows held out are those at the end, not those at the array's beginning."""
    run = started(tmp_path, validation_split=0.2)
    assert warned(run, validation_split=0.2) == []
    (text,) = warned(run, changed(X, 4500), validation_split=0.2)
    assert text.startswith("validation data X was '1000 x 6")
    (text,) = warned(run, changed(X, 500), validation_split=0.2)
    assert text.startswith("data X was '4000 x 6")
    assert len(warned(run, validation_split=0.1)) == 4


def test_of_memory_maps_64_rows_count(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", X)
    run = started(tmp_path, np.load(tmp_path / "X.npy", mmap_mode="r"))
    again = np.load(tmp_path / "X.npy", mmap_mode="r+")
    assert warned(run, again) == []
    assert warned(run, X) == []  # the same numbers in memory
    assert warned(started(tmp_path / "2"), again) == []  # and the other way round
    again[1, 0] += 1.0  # no row that is looked at
    assert warned(run, again) == []
    again[0, 0] += 1.0
    (text,) = warned(run, again)
    assert text.startswith("data X was '5000 x 6 float64 ")


def test_the_trainers_seed(tmp_path: Path) -> None:
    """One that was given is named where it differs; the run's own is gone on with."""
    run = started(tmp_path)
    other = trainer(seed=3)
    assert warned(run, trainer=other) == ["seed was 2, is 3; the run goes on with 2"]
    assert other.seed == 2
    assert warned(run, trainer=other) == []
    whole = trainer()
    whole.fit(X, Y, 2)
    for a, b in zip(whole.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert warned(run, trainer=trainer(seed=None)) == []


@pytest.mark.parametrize("seed", [3, None])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_bits_of_a_trainer_of_another_seed(
    seed: int | None, dropout: float, tmp_path: Path
) -> None:
    """They are those of the run: of its order of samples, and of what it drops."""
    made = {}
    for name, seed_here in (("whole", 2), ("broken", 2), ("other", seed)):
        layers = [fastbp.Dense(3, "tanh", dropout=dropout), fastbp.Dense(1)]
        made[name] = fastbp.Trainer(
            fastbp.Network(6, layers, seed=1), "mse", batch_size=64, seed=seed_here
        )
    made["whole"].fit(X, Y, 4)
    run = started(tmp_path, trainer=made["broken"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        made["other"].fit(X, Y, 4, resume=run)
    weights = (made[name].network.get_weights() for name in ("whole", "other"))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


# -- callbacks -------------------------------------------------------------------------------------


class Halve(fastbp.Callback):
    """Keeps no state."""

    def __init__(self, every: int, names: tuple[str, ...] = ()) -> None:
        self.every, self.names = every, names
        self.calls = 0

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.calls += 1
        self.every += 1  # what has become of a setting is none


class Counting(Halve):
    """Keeps one."""

    def state(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def restore(self, trainer: fastbp.Trainer, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


def stopping(**settings: Any) -> list[fastbp.Callback]:
    return [fastbp.EarlyStopping("loss", **settings)]


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        (
            stopping(patience=5),
            stopping(patience=7),
            "callback EarlyStopping's patience was 5, is 7",
        ),
        (
            stopping(),
            stopping(restore_best_weights=False),
            "callback EarlyStopping's restore_best_weights was True, is False",
        ),
        (stopping(), [], "callback 'EarlyStopping' was there, is none"),
        ([], stopping(), "callback 'EarlyStopping' was none, is there"),
        (
            [fastbp.TimeBudget(1e6)],
            [fastbp.TimeBudget(2e6, mode="max")],
            "callback TimeBudget's mode was 'auto', is 'max'",
        ),
        ([Halve(3)], [Halve(9)], "callback Halve's every was 3, is 9"),
        (
            [Halve(3, ("a",))],
            [Halve(3, ("a", "b"))],
            "callback Halve's names was ('a',), is ('a', 'b')",
        ),
        ([Counting(3)], [], "callback 'Counting' was there, is none"),
        ([], [Counting(3)], "callback 'Counting' was none, is there"),
        ([Halve(3), Halve(5)], [Halve(3), Halve(6)], "callback Halve's every was 5, is 6"),
    ],
)
def test_other_callbacks(before: Any, now: Any, text: str, tmp_path: Path) -> None:
    run = started(tmp_path, callbacks=before)
    assert warned(run, callbacks=now) == [f"{text}; the run goes on, but not to the same bits"]


def test_the_same_callbacks(tmp_path: Path) -> None:
    def callbacks() -> list[fastbp.Callback]:
        return [*stopping(patience=3), Halve(2, ("a",)), Counting(4), fastbp.TimeBudget(1e6)]

    run = started(tmp_path, callbacks=callbacks())
    assert warned(run, callbacks=callbacks()) == []
    longer = [*callbacks()[:-1], fastbp.TimeBudget(2e6)]  # a budget is of each call
    assert warned(run, callbacks=longer) == []
    one_more = [*callbacks(), fastbp.CSVLogger(tmp_path / "log"), fastbp.LearningRateLogger()]
    assert warned(run, callbacks=one_more) == []


def test_what_only_looks_on_makes_no_difference(tmp_path: Path) -> None:
    loggers = [fastbp.CSVLogger(tmp_path / "log"), fastbp.LearningRateLogger()]
    run = started(tmp_path, callbacks=loggers)
    assert warned(run) == []
    assert warned(run, callbacks=[fastbp.CSVLogger(tmp_path / "other")]) == []
    handle = trainer().fit_async(X, Y, 2, resume=run)
    assert handle.result().epoch == [0, 1]


def test_a_persons_own_without_state_may_look_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it does nobody knows: that it is not there is told to the log."""
    run = started(tmp_path, callbacks=[Halve(3)])
    with caplog.at_level(logging.WARNING, "fastbp"):
        assert warned(run) == []
    assert "callback 'Halve' was there, is none; if it changes what is trained" in caplog.text


# -- the digest ------------------------------------------------------------------------------------


def whole(array: Any, dtype: str = "float64") -> str:
    source = inputs.features(array, int(np.prod(array.shape[1:])), dtype)
    return fingerprint._whole(fingerprint._rows(source), dtype)


@pytest.mark.parametrize(
    "kind", ["float64", "float32", "float16", "int8", "uint16", "bool", "int64"]
)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (700, 3), (5, 4001), (1025, 64)])
def test_a_digest_is_that_of_the_values(kind: str, shape: tuple[int, int]) -> None:
    a = RNG.integers(0, 2, shape).astype(kind)
    expected = whole(a)
    assert whole(a, "float32") == expected
    assert whole(np.asfortranarray(a)) == expected
    wide = np.zeros((2 * shape[0], 2 * shape[1] + 1), kind)
    wide[::2, 1::2] = a
    assert whole(wide[::2, 1::2]) == expected
    raw = np.zeros(a.nbytes + 8, np.uint8)
    for offset in range(0, 8, a.itemsize):
        there = raw[offset : offset + a.nbytes].view(kind).reshape(shape)
        there[...] = a
        assert whole(there) == expected


def test_any_change_changes_the_digest() -> None:
    a = RNG.integers(0, 255, (300, 7)).astype(np.uint8)
    found = {whole(a)}
    flat = a.reshape(-1)
    for i in range(flat.size):
        flat[i] ^= 1
        found.add(whole(a))
        flat[i] ^= 1
    assert len(found) == 1 + a.size
    rows = RNG.normal(size=(64, 8))
    found = {whole(rows)}
    for i in range(63):  # neighbours change places
        order = np.arange(64)
        order[[i, i + 1]] = order[[i + 1, i]]
        found.add(whole(rows[order]))
    assert len(found) == 64
    zeros = {whole(np.zeros((n, 1))) for n in range(1, 200)}
    assert len(zeros) == 199


def test_data_are_digested_once_a_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only where a checkpoint is written or gone on from."""
    calls = []
    of = fingerprint.of
    monkeypatch.setattr(fingerprint, "of", lambda *a: calls.append(a) or of(*a))
    trainer().fit(X, Y, 3)
    assert calls == []
    run = started(tmp_path)
    made = trainer()
    made.fit(X, Y, 6, callbacks=[fastbp.Checkpoint(run)], resume=run)
    made.save(tmp_path / "t")
    assert len(calls) == 2  # of two fits' samples
    made.__getstate__()
    assert len(calls) == 2
    sources = (*map(inputs.features, (X, Y), (6, 1), ("float32",) * 2), None)
    assert provenance.fingerprints(sources, {"val": sources}, "float32")
