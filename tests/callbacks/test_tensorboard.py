"""Event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

import fastbp

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 2))


def build(seed: int = 0, **settings: Any) -> fastbp.Trainer:
    layers = [fastbp.Dense(5, "tanh"), fastbp.Dense(4, "tanh", bias="shared")]
    net = fastbp.Network(3, [*layers, fastbp.Dense(2, bias=False)], seed=seed)
    settings = {"batch_size": 10, "seed": 0} | settings
    return fastbp.Trainer(net, "mse", fastbp.SGD(0.1), **settings)


def read(folder: Path) -> dict[str, tuple[list[int], list[Any]]]:
    """Steps and values by tag, as TensorBoard would show them."""
    reader = EventAccumulator(str(folder), tensor_size_guidance={"scalars": 0, "histograms": 0})
    reader.Reload()
    found = {}
    for tag in reader.Tags()["tensors"]:
        events = reader.Tensors(tag)
        values = [make_ndarray(event.tensor_proto) for event in events]
        found[tag] = [event.step for event in events], values
    return found


def check(found: dict[str, Any], tag: str, steps: list[int], values: list[float]) -> None:
    assert found[tag][0] == steps
    np.testing.assert_array_equal(found[tag][1], np.array(values, np.float32))


def test_figures(tmp_path: Path) -> None:
    rate = fastbp.StepDecay(0.1, 1, gamma=0.5)
    trainer = build(metrics=["mae"])
    trainer = fastbp.Trainer(trainer.network, "mse", fastbp.SGD(rate), metrics=["mae"], seed=0)
    callbacks = [fastbp.TensorBoard(tmp_path / "run"), fastbp.LearningRateLogger()]
    history = trainer.fit(X, Y, 3, validation_split=0.5, callbacks=callbacks)
    found = read(tmp_path / "run")
    names = ["loss", "mae", "val_loss", "val_mae", "learning_rate", "samples_per_second"]
    assert {tag for tag in found if tag.startswith("epoch/")} == {f"epoch/{n}" for n in names}
    for name in names:
        check(found, f"epoch/{name}", [0, 1, 2], getattr(history, name))


def test_histograms(tmp_path: Path) -> None:
    trainer, kept = build(), []

    class Keeping(fastbp.Callback):
        def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
            kept.append(trainer.network.get_weights())

    trainer.fit(X, Y, 5, callbacks=[fastbp.TensorBoard(tmp_path, histograms=2), Keeping()])
    found = read(tmp_path)
    tags = [f"weights/layer {name}" for name in ("0/W", "0/b", "1/W", "1/b", "2/W")]
    assert sorted(tag for tag in found if tag.startswith("weights")) == tags
    for index, tag in enumerate(tags):
        steps, values = found[tag]
        assert steps == [0, 2, 4]
        for step, buckets in zip(steps, values, strict=True):
            weights = kept[step][index].ravel()
            assert buckets[0, 0] == weights.min()
            assert buckets[-1, 1] == weights.max()
            assert buckets[:, 2].sum() == weights.size
            if weights.size > 1:
                edges = np.append(buckets[:, 0], np.inf)
                np.testing.assert_array_equal(buckets[:, 2], np.histogram(weights, edges)[0])


def test_none(tmp_path: Path) -> None:
    build().fit(X, Y, 2, callbacks=[fastbp.TensorBoard(tmp_path, histograms=None)])
    assert not any(tag.startswith("weights") for tag in read(tmp_path))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1.0, 1.0, 1.0], [[1, 1, 3]]),
        ([1.0, np.float32(1) + np.finfo(np.float32).eps], None),
        ([np.nan, 2.0, np.inf], [[2, 2, 1]]),
        ([np.nan], np.zeros((0, 3))),
        ([-3e38, 3e38], None),
    ],
)
def test_odd_weights(weights: list[float], expected: Any) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.data_compat import migrate_event

    from fastbp.callbacks.tensorboard import _histogram

    message = Summary(value=[Summary.Value(tag="w", histo=_histogram(np.array(weights, "f")))])
    value = migrate_event(Event(summary=message)).summary.value[0]
    buckets = make_ndarray(value.tensor)
    if expected is not None:
        np.testing.assert_array_equal(buckets, expected)
    assert buckets[:, 2].sum() == np.isfinite(weights).sum()


def test_a_second_fit_goes_on_counting(tmp_path: Path) -> None:
    trainer, board = build(), fastbp.TensorBoard(tmp_path)
    first = trainer.fit(X, Y, 3, callbacks=[board])
    trainer.fit(X, Y, 1)
    second = trainer.fit(X, Y, 2, callbacks=[board])
    check(read(tmp_path), "epoch/loss", [0, 1, 2, 4, 5], first.loss + second.loss)


class Failing(fastbp.Callback):
    def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
        if epoch == 4:
            raise KeyboardInterrupt


def test_a_resumed_fit_doubles_nothing(tmp_path: Path) -> None:
    """Epochs 0 to 4 are in the first file, the checkpoint is after 4 epochs."""

    def callbacks() -> list[fastbp.Callback]:
        board = fastbp.TensorBoard(tmp_path / "board", histograms=1)
        return [board, fastbp.Checkpoint(tmp_path / "run", every_epochs=2)]

    with pytest.raises(KeyboardInterrupt):
        build().fit(X, Y, 8, callbacks=[*callbacks(), Failing()])
    assert read(tmp_path / "board")["epoch/loss"][0] == [0, 1, 2, 3, 4]  # was written at once
    history = build().fit(X, Y, 8, callbacks=callbacks(), resume=tmp_path / "run")
    found = read(tmp_path / "board")
    check(found, "epoch/loss", list(range(8)), history.loss)
    assert all(steps == list(range(8)) for steps, _ in found.values())


def test_a_new_run_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    build(0).fit(X, Y, 5, callbacks=[fastbp.TensorBoard(tmp_path)])
    history = build(1).fit(X, Y, 3, callbacks=[fastbp.TensorBoard(tmp_path)])
    check(read(tmp_path), "epoch/loss", [0, 1, 2], history.loss)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, error in ((0, ValueError), ("x", TypeError), (2.5, TypeError)):
        with pytest.raises(error, match="histograms"):
            fastbp.TensorBoard(tmp_path, histograms=value)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    trainer = build()
    with pytest.raises(OSError, match="file"):
        trainer.fit(X, Y, callbacks=[fastbp.TensorBoard(tmp_path / "file")])
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(ImportError, match=r"fastbp\[tensorboard\]"):
        fastbp.TensorBoard(tmp_path)
