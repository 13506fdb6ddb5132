"""Checkpoints with right digests and forged fields, and those of an earlier format."""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paths
import pytest
from torture import forge_files

import fastbp
from fastbp.files import checkpoints as checkpoint
from fastbp.kernels import layout as lay
from fastbp.kernels.updates.hyper import LEARNING_RATE, STATE
from fastbp.training import provenance

GOLDEN = paths.GOLDEN / "checkpoints"
HUGE = 10**400


@pytest.fixture(scope="module")
def whole() -> dict[str, dict[str, Any]]:
    return forge_files.originals()


def put(*path: Any) -> Callable[[Any, Any], None]:
    """What sets the value at a path, the last of which may be an array's index."""

    def change(found: Any, value: Any) -> None:
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return change


EARLY, BUDGET = ("fit", "callbacks", 0, "state"), ("fit", "callbacks", 1, "state")
COUNTS = [-1, 0.5, 2**53 + 2, 2**63, HUGE, -HUGE, True, None, "7", float("nan"), []]
REALS = [-1.0, float("nan"), float("inf"), HUGE, True, None, "1", [], -HUGE]
#: where, and what is refused there
FORGED: dict[str, tuple[str, tuple[Any, ...], list[Any]]] = {
    "batches": (
        "sgd, within",
        ("fit", "results", lay.R_BATCHES),
        [-1e6, -1, 7, 0.5, 2.0**63, 1e300, np.nan, np.inf],
    ),
    "weight": ("sgd, within", ("fit", "results", lay.R_WEIGHT), [-1.0, np.nan, np.inf]),
    "error": ("sgd, within", ("fit", "results", lay.R_ERROR), [np.nan, -np.inf]),
    "results": (
        "sgd, within",
        ("fit", "results"),
        [None, [], np.zeros(0), np.zeros(7), np.zeros((8, 1)), np.zeros(8, np.float32)],
    ),
    "sums": (
        "adam, within",
        ("fit", "sums"),
        [None, [], np.zeros(0), np.zeros(900), np.zeros((2, 2)), np.zeros(9, np.float32)],
    ),
    "a sum": ("adam, within", ("fit", "sums", 0), [np.nan]),
    "a metric's sum": ("sgd, within", ("fit", "sums", -1), [-1.0, -np.inf]),
    "inside": ("sgd, within", ("fit", "inside"), [1, 0, None, "yes", []]),
    "inside a solver's": ("lbfgs", ("fit", "inside"), [True]),
    "spent": ("sgd", ("fit", "spent"), REALS),
    "reductions": ("sgd", ("fit", "reductions"), [6, 10**9, *COUNTS]),
    "lowest": ("sgd", ("fit", "lowest"), [None, 1, "1", float("nan"), [], HUGE]),
    "rising": ("sgd", ("fit", "rising"), [None, 1, "yes", 0.0]),
    "val_loss": ("sgd", ("fit", "val_loss"), ["0.5", 1, True, []]),
    "history": (
        "sgd",
        ("fit", "history", "loss"),
        [None, [0.5], np.zeros(9), np.zeros((3, 1)), np.zeros(3, np.float32)],
    ),
    "a history's name": ("sgd", ("fit", "history", "recording"), [np.zeros(1)]),
    "another name": ("sgd", ("fit", "history", "stopped"), [np.zeros(1)]),
    "an epoch": ("sgd", ("fit", "history", "epoch", 1), [-1.0, 0.5, 1e300, np.nan, np.inf]),
    "callbacks": (
        "sgd",
        ("fit", "callbacks"),
        [None, {}, [1], [{}], [{"kind": 1, "settings": {}, "state": {}}]],
    ),
    "waited": ("sgd", (*EARLY, "waited"), COUNTS),
    "figure": (
        "sgd",
        (*EARLY, "best", "figure"),
        [None, "1", np.zeros(1), float("nan"), True, HUGE],
    ),
    "best epoch": ("sgd", (*EARLY, "best", "epoch"), [-1, 0.5, "1", 2**53 + 1, HUGE, True]),
    "best weights": (
        "sgd",
        (*EARLY, "best", "weights"),
        [[], 3, [np.zeros(3)], [np.zeros((3, 5))] * 4],
    ),
    "a best weight": (
        "sgd",
        (*EARLY, "best", "weights", 0),
        [np.full((3, 5), np.nan), np.zeros((5, 3))],
    ),
    "a budget's best": ("sgd", (*BUDGET, "weights"), [[], 3, [np.zeros(3)]]),
    "data": (
        "sgd",
        ("fit", "data"),
        [None, [], {"Z": {}}, {"X": "n"}, {"X": {"about": 1, "whole": None, "sample": ""}}],
    ),
    "validation data": ("sgd", ("fit", "validation"), [[], 3, {"X": None}]),
    "epochs": ("sgd", ("counters", "epochs"), COUNTS),
    "steps": ("sgd", ("rates", "steps"), COUNTS),
    "rates' epochs": ("sgd", ("rates", "epochs"), COUNTS),
    "scale": ("sgd", ("rates", "scale"), REALS),
    "bad": ("nadam", ("rates", "_bad"), COUNTS),
    "cooling": ("nadam", ("rates", "_cooling"), COUNTS),
    "best": ("nadam", ("rates", "_best"), [None, "", float("nan"), HUGE, True]),
    "newest": ("lbfgs", ("solver", "_newest"), [-1, -2, 4, 10**7, -(10**7), 0.0, HUGE, None, True]),
    "count": ("lbfgs", ("solver", "_count"), [-1, 5, 10**9, 2.0, HUGE, None, True]),
    "pairs": ("lbfgs", ("solver", "_pairs", slice(None)), [0.0, -1.0, np.nan, np.inf]),
    "the ring": ("lbfgs", ("solver", "_s", slice(None)), [np.nan, np.inf, 1.0]),
    "the ring's size": (
        "lbfgs",
        ("solver", "_y"),
        [None, [], np.zeros(0), np.zeros(9), np.zeros((4, 33)), np.zeros(132, np.float32)],
    ),
    "damping": ("levenberg_marquardt", ("solver", "_damping"), [0.0, *REALS]),
    "a solver's": ("sgd", ("solver",), [{}, 1]),
    "slots": ("adam", ("slots",), [None, [], [[]], [[], [], []], [1, 2, 3]]),
    "a slot": ("adam", ("slots", 0), [None, [], 7, [np.zeros((3, 5), np.float32)]]),
    "an array of a slot": (
        "adam",
        ("slots", 0, 0),
        [
            None,
            [[0.0] * 5] * 3,
            np.zeros((3, 5)),
            np.zeros((5, 3), np.float32),
            np.full((3, 5), np.nan, np.float32),
            np.full((3, 5), np.inf, np.float32),
        ],
    ),
    "squares": ("adam", ("slots", 1, 0), [np.full((3, 5), -1.0, np.float32)]),
    "greatest squares": ("adam", ("slots", 2, 0), [np.full((3, 5), -1.0, np.float32)]),
    "steps of Rprop": ("rprop", ("slots", 1, 0), [np.full((3, 5), -1.0, np.float32)]),
    "hyper": (
        "adam",
        ("hyper",),
        [
            None,
            [0.0] * 32,
            np.zeros(31),
            np.zeros((32, 1)),
            np.zeros(32, np.float32),
            np.full(32, np.inf),
        ],
    ),
    "the last rate": ("adam", ("hyper", LEARNING_RATE), [-1.0, np.nan]),
    "a power": ("adam", ("hyper", STATE), [-0.1, 1.5, np.nan]),
    "t": ("adam", ("hyper", STATE + 2), [-1.0, 1e300]),
    "seed": ("sgd", ("settings", "seed"), [-1, 2**64, HUGE, 0.5, None, True]),
    "weights": ("sgd", ("weights",), [None, [], 3, np.zeros(3)]),
    "a weight": (
        "sgd",
        ("weights", 0),
        [np.full((3, 5), np.nan, np.float32), np.zeros((5, 3), np.float32), None],
    ),
    "batch_size": ("sgd", ("settings", "batch_size"), [0, -1, 2**63, HUGE, 0.5, "7", True]),
    "accumulate": ("sgd", ("settings", "accumulate"), [0, -1, 2**63, HUGE, None]),
    "n_inputs": (
        "sgd",
        ("settings", "network", "n_inputs"),
        [0, -1, 2**24, 2**24 + 1, HUGE, None, 4],
    ),
    "units": ("sgd", ("settings", "network", "layers", 0, "units"), [0, -1, 2**24, HUGE, None, 6]),
    "layers": ("sgd", ("settings", "network", "layers"), [None, [], [1], [{}], [None] * 2]),
    "a schedule": (
        "sgd",
        ("settings", "optimizer", "learning_rate", "every"),
        [0, HUGE, 2**53 + 1, None],
    ),
    "history of L-BFGS": (
        "lbfgs",
        ("settings", "optimizer", "history"),
        [0, 5, 10_000, 10_001, HUGE, None],
    ),
    "machine": ("sgd", ("machine", "CPU"), [None, 3, np.zeros(2), []]),
}


@pytest.mark.parametrize("named", FORGED)
def test_a_forged_field_is_refused(
    named: str, whole: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """By `fit`, before anything has changed; and by `load`, of what it takes over."""
    name, path, values = FORGED[named]
    setup, file = forge_files.SETUPS[name.partition(",")[0]], tmp_path / "t"
    for value in values:
        found = copy.deepcopy(whole[name])
        put(*path)(found, value)
        assert forge_files.write(file, found)
        trainer = setup.make()
        before = forge_files._bytes(trainer)
        with pytest.raises(fastbp.ModelFileError):
            trainer.fit(**setup.fit, epochs=4, callbacks=setup.callbacks(), resume=file)
        assert forge_files._bytes(trainer) == before, value
        assert trainer.history is None
        if named in ("batches", "a budget's best") or path[:3] == ("fit", "callbacks", 0):
            continue  # of the fit and its callbacks, which `load` leaves alone
        with pytest.raises(fastbp.ModelFileError):
            fastbp.Trainer.load(file)


def test_what_was_not_forged_is_taken(whole: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    for name, found in whole.items():
        assert forge_files.write(tmp_path / "t", found)
        assert forge_files.outcome(name, tmp_path / "t") == "went on, went on"


def test_a_file_names_the_field(whole: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    found = copy.deepcopy(whole["sgd"])
    found["rates"]["steps"] = HUGE
    forge_files.write(tmp_path / "t", found)
    with pytest.raises(fastbp.ModelFileError, match=r"t: its rates' steps must be an int in \[0"):
        fastbp.Trainer.load(tmp_path / "t")


def test_forged_files(tmp_path: Path) -> None:
    """A short run of what the script does by the ten thousands."""
    counts, failures, fields = forge_files.torture(400, 1, tmp_path)
    assert failures == []
    assert counts.total() == 400
    assert counts["refused, refused"] > 150
    assert fields > 100


# -- what is not written ---------------------------------------------------------------------------


def test_slots_that_are_not_finite_are_not_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setup = forge_files.SETUPS["radam"]
    trainer = setup.make()

    class Spoil(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
            trainer._session.engine.slots[1][0] = np.inf

    run = fastbp.Checkpoint(tmp_path / "run")
    trainer.fit(**setup.fit, callbacks=[Spoil(), run])
    assert list((tmp_path / "run").iterdir()) == []
    assert "an optimizer slot is not finite" in caplog.text
    with pytest.raises(fastbp.ModelFileError, match="an optimizer slot is not finite"):
        trainer.save(tmp_path / "t")


# -- files of format 1 -----------------------------------------------------------------------------


def of_golden() -> tuple[fastbp.Trainer, Any, Any]:
    x = np.arange(280.0).reshape(70, 4) % 7.0 - 3.0
    network = fastbp.Network(4, [fastbp.Dense(3, "tanh"), fastbp.Dense(2)], seed=1)
    trainer = fastbp.Trainer(network, "mse", fastbp.Adam(0.01), batch_size=16, seed=2)
    return trainer, x, x[:, :2] * 0.5


def resumed(file: Path, x: Any, y: Any, **options: Any) -> tuple[fastbp.Trainer, list[str]]:
    """The trainer, and what was warned of beside the machine."""
    trainer, _, _ = of_golden()
    options = {"validation_data": (x, y), **options}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callbacks = [fastbp.EarlyStopping(patience=9)]
        trainer.fit(x, y, 4, callbacks=callbacks, resume=file, **options)
    texts = [str(w.message) for w in caught]
    machine = {*provenance.machine()}
    return trainer, [t for t in texts if not any(f": {name} was" in t for name in machine)]


def test_format_1_is_gone_on_with() -> None:
    """Of the data it knows 64 rows, of validation data and callbacks nothing."""
    _, x, y = of_golden()
    file = GOLDEN / "format-1.safetensors"
    trainer, warned = resumed(file, x, y)
    assert warned == []
    assert trainer.history is not None
    assert trainer.history.epoch == [0, 1, 2, 3]
    assert fastbp.Trainer.load(file).position.epochs == 3
    _, warned = resumed(file, x + 1.0, y, validation_data=(x, y))
    assert len(warned) == 1
    assert "data X was '70 x 4 float64 " in warned[0]
    _, warned = resumed(file, x, y, validation_data=(x + 1.0, y))
    assert warned == []


def test_weights_of_format_1_are_refused(tmp_path: Path) -> None:
    """They meant something else; the network can still be had."""
    trainer, x, y = of_golden()
    shutil.copy(GOLDEN / "format-1-weights.safetensors", tmp_path / "t")
    before = forge_files._bytes(trainer)
    for given in ({}, {"sample_weight": np.linspace(0.5, 1.5, 70)}):
        with pytest.raises(fastbp.ModelFileError, match="weights by a fastbp in which they had"):
            trainer.fit(x, y, 4, resume=tmp_path / "t", **given)  # type: ignore[arg-type]
    assert forge_files._bytes(trainer) == before
    assert fastbp.Trainer.load(tmp_path / "t").network.n_inputs == 4


def test_weights_of_this_format_are_gone_on_with(tmp_path: Path) -> None:
    trainer, x, y = of_golden()
    trainer.fit(x, y, 2, sample_weight=np.linspace(0.5, 1.5, 70))
    trainer.save(tmp_path / "t")
    assert checkpoint.read(tmp_path / "t")["format"] == 2
    other, x, y = of_golden()
    history = other.fit(x, y, 3, sample_weight=np.linspace(0.5, 1.5, 70), resume=tmp_path / "t")
    assert history.epoch == [0, 1, 2]


def test_a_run_of_before_monitors_had_modes() -> None:
    """The defaults have other names now, and mean the same: nothing is said to be different."""
    rng = np.random.default_rng(4)
    X, V = rng.normal(size=(60, 3)), rng.normal(size=(20, 3))
    y, held = X[:, 0] * X[:, 1], (V, V[:, 0] * V[:, 1])
    file = GOLDEN / "format-2.safetensors"
    for given in ({}, {"monitor": "val_loss"}):
        net = fastbp.Network(3, [fastbp.Dense(4, "tanh"), fastbp.Dense(1)], dtype="float64", seed=0)
        rate = fastbp.ReduceOnPlateau(0.3, factor=0.5, patience=1, **given)  # type: ignore[arg-type]
        trainer = fastbp.Trainer(
            net, "mse", fastbp.SGD(rate), batch_size=10, seed=0, metrics=["mae"]
        )
        stopping = fastbp.EarlyStopping(patience=9, **given)  # type: ignore[arg-type]
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            trainer.fit(
                X, y, 5, validation_data=held, callbacks=[stopping, fastbp.TimeBudget(1e6)],
                resume=file,
            )  # fmt: skip
        said = [str(each.message) for each in found]
        known = ("CPU was", "numpy was", "numba was", "llvmlite was", "fastbp was")
        assert [text for text in said if not any(name in text for name in known)] == []
        assert stopping.best == pytest.approx(0.633556, abs=1e-6)
        assert stopping.best_epoch == 1
    again = fastbp.Trainer.load(file)
    assert again.position.epochs == 4
    assert isinstance(again.optimizer.learning_rate, fastbp.ReduceOnPlateau)
    assert again.optimizer.learning_rate.monitor == "val_loss"
