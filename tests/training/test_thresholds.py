"""Classes by the targets: where one output is cut, who says so, and that all agree."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

import fastbp
from fastbp.data import inputs
from fastbp.data.levels import levels
from fastbp.objectives.metrics import METRICS

RNG = np.random.default_rng(6)
X = RNG.normal(size=(300, 2))
B = (X[:, 0] + 0.5 * X[:, 1] > 0.2).astype(int)


def build(
    loss: Any = "mse",
    activation: Any = "linear",
    metrics: Any = ("accuracy", "f1"),
    **settings: Any,
) -> fastbp.Trainer:
    layers = [fastbp.Dense(8, "tanh"), fastbp.Dense(1, activation)]
    net = fastbp.Network(2, layers, seed=0, **settings)
    return fastbp.Trainer(net, loss, fastbp.Adam(0.01), metrics=metrics, seed=0)


def scores(net: fastbp.Network, classes: Any, cut: float, weights: Any = None) -> dict[str, float]:
    given = net.predict(X)[:, 0].astype(np.float64) > cut
    return {
        "accuracy": oracle.accuracy_score(classes, given, sample_weight=weights),
        "f1": oracle.f1_score(classes, given, sample_weight=weights),
    }


def test_the_reported_case() -> None:
    """Linear outputs and targets of 0 and 1 were cut at 0: 0.68 of the samples for 0.99."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    net = fastbp.Network(2, [fastbp.Dense(32, "tanh"), fastbp.Dense(1)], seed=0)
    trainer = fastbp.Trainer(net, "mse", fastbp.Adam(0.01), metrics=["accuracy"], seed=0)
    history = trainer.fit(x, y, 60, validation_data=(x, y))
    right = np.mean((net.predict(x)[:, 0] > 0.5) == y)
    assert right > 0.98
    assert np.mean(net.predict_classes(x) == y) == right
    assert trainer.evaluate(x, y)["accuracy"] == pytest.approx(right)
    assert history.val_accuracy[-1] == pytest.approx(right)
    assert history.accuracy[-1] > 0.97


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "activation", "low", "high", "cut"),
    [
        ("mse", "linear", 0, 1, 0.5),
        ("mse", "linear", 3, 7, 5.0),
        ("mse", "linear", -1, 1, 0.0),
        ("mse", "tanh", 0, 1, 0.5),
        ("mse", "tanh", -1, 1, 0.0),
        ("mse", "sigmoid", 0, 1, 0.5),
        ("mse", "sigmoid", 0.1, 0.5, 0.3),
        ("mae", "relu", -4, -2, -3.0),
        ("huber", "linear", 100, 101, 100.5),
        ("binary_cross_entropy", "sigmoid", 0, 1, 0.5),
        ("binary_cross_entropy", "sigmoid", 0.1, 0.7, 0.5),
        ("hinge", "linear", 0, 1, 0.0),
        ("hinge", "linear", -1, 1, 0.0),
        ("hinge", "tanh", 0, 1, 0.0),
        ("poisson", "exp", 1, 4, 2.5),
        ("half_squared_error", "linear", 0, 1, 0.5),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_cut_by_the_targets(
    loss: str, activation: str, low: float, high: float, cut: float, dtype: str, weighted: bool
) -> None:
    trainer = build(loss, activation, ["accuracy", "f1", "auc"], dtype=dtype)
    net, y = trainer.network, np.where(B, high, low)
    weights = RNG.uniform(0.5, 2, size=300) if weighted else None
    data = (X, y) if weights is None else (X, y, weights)
    assert net.class_threshold is None
    history = trainer.fit(X, y, 3, sample_weight=weights, validation_data=data)
    assert net.class_threshold == pytest.approx(cut, abs=1e-7)
    expected = scores(net, B, cut, weights)
    expected["auc"] = oracle.roc_auc_score(B, net.predict(X)[:, 0], sample_weight=weights)
    found = trainer.evaluate(X, y, weights)
    assert net.predict_classes(X).tolist() == (net.predict(X)[:, 0] > cut).astype(int).tolist()
    assert net.predict_classes(X).dtype == np.int64
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6)
        assert getattr(history, f"val_{name}")[-1] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", set(METRICS) - {"mae", "rmse", "r2", "top_k"})
def test_every_metric_of_classes_follows(name: str) -> None:
    """Labels of 3 and 7 give the figures of 0 and 1, for a network that is as much higher."""
    figures = []
    for low, high in ((0, 1), (3, 7)):
        trainer = build(metrics=[name], dtype="float64")
        trainer.fit(X, np.where(B, high, low))
        *rest, w, b = build(dtype="float64").network.get_weights()
        trainer.network.set_weights([*rest, (high - low) * w, (high - low) * (b + 0.4) + low])
        figures.append(trainer.evaluate(X, np.where(B, high, low))[name])
    assert figures[0] == pytest.approx(figures[1], abs=1e-9)
    assert 0.2 < figures[0] < 1


def test_training_figures_are_cut_there_too() -> None:
    """At a rate of 0 an epoch's figures are those of the network as it stands."""
    layers = [fastbp.Dense(8, "tanh"), fastbp.Dense(1)]
    net = fastbp.Network(2, layers, seed=0)
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(0.0), metrics=["accuracy", "f1"], seed=0)
    history = trainer.fit(X, 3 + 4 * B)
    expected = scores(net, B, 5.0)
    assert history.accuracy[0] == pytest.approx(expected["accuracy"])
    assert history.f1[0] == pytest.approx(expected["f1"])


def test_a_custom_loss_has_the_middle() -> None:
    loss = fastbp.CustomLoss(lambda p, t: (p - t) ** 4, lambda p, t: 4 * (p - t) ** 3)
    trainer = build(loss)
    trainer.fit(X, 2 * B)
    assert trainer.network.class_threshold == 1.0


# ---------------------------------------------------------------------------- two values or not

BIG = 2**53


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1], [0, 1]),
        ([True, False, True], [0, 1]),
        ([5.0], [5]),
        ([2, 2, 2], [2]),
        ([0, 1, 2], None),
        ([0, 1] * 40 + [2], None),
        ([-0.0, 0.0, 1.0], [0, 1]),
        ([[3], [7], [3]], [3, 7]),
        (np.repeat([3, 7], 70_000), [3, 7]),
        (np.repeat([3, 7, 4], 70_000), None),
        (np.repeat([7, 3], 70_000).astype(np.uint8)[::-1], [3, 7]),
        (np.tile([1.5, -2.5], 50_000).astype(np.float16), [-2.5, 1.5]),
        (np.asfortranarray(np.tile([[0.0], [4.0]], (99, 2)))[:, 1], [0, 4]),
        (np.repeat([False, True], 200_000), [0, 1]),
        (np.array([2**64 - 1, 0] * 200, np.uint64), [0, 2.0**64]),
        (np.array([2**63 - 1, -(2**63)] * 200), [-(2.0**63), 2.0**63]),
        (np.array([-1e-320, 1e-320, 0, 1] * 30)[2:4], [0, 1]),
    ],
    ids=range(17),
)
def test_levels(y: Any, expected: Any, dtype: str) -> None:
    y = np.asarray(y)
    x = inputs.features(np.zeros((len(y), 1)), 1, dtype)
    target = inputs.targets(y, len(y), 1, dtype, classes=False)
    assert levels((x, target, None), dtype) == expected
    weights = inputs.sample_weights(np.ones(len(y)), len(y), dtype)
    assert levels((x, target, weights), dtype) == expected


@pytest.mark.parametrize("places", [[0, 1, 2], [0, 1, 2, 3, 5, 40, 70_000]])
def test_values_that_float32_does_not_tell_apart(places: list[int]) -> None:
    """They are one value for a network in float32, and another one in float64."""
    for other, single, double in (
        (2**24 + 1, [0.0, 2.0**24], None),
        (0, [0.0, 2.0**24], [0.0, 2.0**24]),
    ):
        y = np.tile([0, 2**24], 40_000)
        y[places] = other
        x = inputs.features(np.zeros((80_000, 1)), 1, "float32")
        for dtype, expected in (("float32", single), ("float64", double)):
            target = inputs.targets(y, 80_000, 1, dtype, classes=False)
            assert levels((x, target, None), dtype) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neighbours_are_told_apart(dtype: str) -> None:
    kind = np.dtype(dtype).type
    for low in (1.0, 0.0, -1.0, 5e-324 if dtype == "float64" else 1e-45, 1e30):
        high = float(np.nextafter(kind(low), kind(np.inf)))
        cut = fastbp.MSE()._threshold(float(kind(low)), high)
        assert float(kind(low)) <= cut < high
    most = float(np.finfo(dtype).max)
    assert fastbp.MSE()._threshold(-most, most) == 0.0
    assert fastbp.MSE()._threshold(most / 2, most) == pytest.approx(0.75 * most)


def test_rows_without_weight_do_not_count() -> None:
    y, weights = B.astype(float), np.ones(300)
    y[::3], weights[::3] = RNG.normal(size=100), 0.0
    trainer = build()
    trainer.fit(X, y, sample_weight=weights)
    assert trainer.network.class_threshold == 0.5
    trainer.fit(X, y)
    assert trainer.network.class_threshold is None
    weights[1::3] = 1e-60  # which is 0 in float32
    y[1::3] = 9.0
    trainer.fit(X, y, sample_weight=weights)
    assert trainer.network.class_threshold == 0.5
    double = build(dtype="float64")
    double.fit(X, y, sample_weight=weights)
    assert double.network.class_threshold is None


def test_class_weights_leave_the_classes() -> None:
    trainer = build()
    trainer.fit(X, B, class_weight={0: 0.0})
    assert trainer.network.class_threshold == 0.5


def test_a_split_is_cut_by_what_is_trained_on() -> None:
    y = B.astype(float)
    y[-30:] = RNG.normal(size=30)
    trainer = build()
    trainer.fit(X, y, validation_split=0.1)
    assert trainer.network.class_threshold == 0.5


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_memory_map(shape: tuple[int, ...], tmp_path: Path) -> None:
    y = np.memmap(tmp_path / "y", np.float32, "w+", shape=(300,))
    y[:] = 3 + 4 * B
    trainer = build()
    trainer.fit(X, y.reshape(shape))
    assert trainer.network.class_threshold == 5.0
    for bad in (np.nan, np.inf):
        y[7] = bad
        with pytest.raises(ValueError, match="not finite"):
            trainer.fit(X, y.reshape(shape))
    wide = np.memmap(tmp_path / "wide", np.float64, "w+", shape=(300,))
    wide[:] = np.where(B, 1e300, 1)
    with pytest.raises(ValueError, match="not finite"):
        trainer.fit(X, wide.reshape(shape))
    assert trainer.network.class_threshold is None


def test_a_later_fit_sets_it_anew() -> None:
    trainer = build()
    for y, expected in ((B, 0.5), (3 + 4 * B, 5.0), (X[:, 0], None), (-1 + 2 * B, 0.0)):
        trainer.fit(X, y)
        assert trainer.network.class_threshold == expected
    trainer.fit(X[:9], np.ones(9))  # of one class: it tells nothing of the other
    assert trainer.network.class_threshold == 0.0
    trainer.fit(X, B, epochs=0)
    assert trainer.network.class_threshold == 0.0
    trainer.step(X, B)
    trainer.evaluate(X, B)
    assert trainer.network.class_threshold == 0.0
    with pytest.raises(ValueError, match="y must have"):
        trainer.fit(X, B[:5])
    assert trainer.network.class_threshold == 0.0


def test_solvers_set_it_too() -> None:
    net = fastbp.Network(2, [fastbp.Dense(4, "tanh"), fastbp.Dense(1)], seed=0)
    fastbp.Trainer(net, "mse", "lbfgs", batch_size=None).fit(X, B, 3)
    assert net.class_threshold == 0.5


def test_several_outputs_have_none() -> None:
    net = fastbp.Network(2, [fastbp.Dense(2, "sigmoid")], seed=0)
    trainer = fastbp.Trainer(net, "binary_cross_entropy", metrics=["accuracy"])
    trainer.fit(X, np.stack([B, 1 - B], axis=1))
    assert net.class_threshold is None
    net.class_threshold = None
    with pytest.raises(ValueError, match="class_threshold is for a network of one output"):
        net.class_threshold = 0.5
    with pytest.raises(ValueError, match=r"threshold is for a network of one output, got 0\.5 for"):
        net.predict_classes(X, 0.5)
    assert net.predict_classes(X, None).shape == (300,)


# --------------------------------------------------------------------------------- set by hand


def test_set_by_a_person() -> None:
    trainer = build()
    net = trainer.network
    trainer.fit(X, B, 20)
    for cut in (0.3, 1, np.float32(0.7), np.int64(-2), 1.5):
        net.class_threshold = cut  # type: ignore[assignment]
        assert type(net.class_threshold) is float
        assert net.class_threshold == float(cut)
        assert net.predict_classes(X).tolist() == (net.predict(X)[:, 0] > cut).tolist()
        found, expected = trainer.evaluate(X, B), scores(net, B, float(cut))
        assert found["accuracy"] == pytest.approx(expected["accuracy"])  # targets stay 0 and 1
        assert found["f1"] == pytest.approx(expected["f1"])
    net.class_threshold = None
    assert net.class_threshold is None
    assert net.predict_classes(X).tolist() == (net.predict(X)[:, 0] > 0).tolist()


def test_without_a_fit() -> None:
    """As by the activation; with a threshold, targets are cut there as well."""
    trainer = build()
    net = trainer.network
    assert trainer.evaluate(X, B)["accuracy"] == pytest.approx(scores(net, B, 0.0)["accuracy"])
    *rest, w, b = net.get_weights()
    net.set_weights([*rest, w, b + 5])
    net.class_threshold = 5.0
    found = trainer.evaluate(X, 3 + 4 * B)
    assert found["accuracy"] == pytest.approx(scores(net, B, 5.0)["accuracy"])


@pytest.mark.parametrize(
    ("value", "error"),
    [("0.5", TypeError), (True, TypeError), ([0.5], TypeError), (1j, TypeError),
     (np.nan, ValueError), (np.inf, ValueError), (10**400, ValueError)],
)  # fmt: skip
def test_refused(value: Any, error: Any) -> None:
    net = build().network
    net.class_threshold = 0.25
    with pytest.raises(error, match="class_threshold must be"):
        net.class_threshold = value
    assert net.class_threshold == 0.25
    with pytest.raises(error, match="threshold must be"):
        net.predict_classes(X, value)


def test_one_call() -> None:
    trainer = build()
    trainer.fit(X, B)
    net = trainer.network
    outputs = net.predict(X)[:, 0]
    assert net.predict_classes(X, 0.2).tolist() == (outputs > np.float32(0.2)).tolist()
    assert net.predict_classes(X, threshold=-9.0).all()
    assert net.class_threshold == 0.5


def test_float32_outputs_are_compared_as_they_are() -> None:
    """A cut between two float32 values is none of them, here and in metrics."""
    net = fastbp.Network(1, [fastbp.Dense(1)], seed=0)
    net.set_weights([[[1.0]], [0.0]])
    x = np.array([0.1, 0.3], np.float32)
    assert float(x[0]) > 0.1
    trainer = fastbp.Trainer(net, "mse", metrics=["accuracy"])
    for cut, classes in ((0.1, [1, 1]), (float(x[0]), [0, 1])):
        net.class_threshold = cut
        assert net.predict_classes(x).tolist() == classes
        assert trainer.evaluate(x, [5.0, 5.0])["accuracy"] == sum(classes) / 2


# ----------------------------------------------------------------------- files, copies, resuming


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("how", ["pickle", "deepcopy", "file", "trainer", "checkpoint"])
def test_kept(how: str, by_hand: bool, tmp_path: Path) -> None:
    trainer = build()
    trainer.fit(X, 3 + 4 * B, 3)
    if by_hand:
        trainer.network.class_threshold = 4.0
    trainer.network.save(tmp_path / "net")
    trainer.save(tmp_path / "run")
    net = {
        "pickle": lambda: pickle.loads(pickle.dumps(trainer.network)),
        "deepcopy": lambda: copy.deepcopy(trainer.network),
        "file": lambda: fastbp.Network.load(tmp_path / "net"),
        "trainer": lambda: pickle.loads(pickle.dumps(trainer)).network,
        "checkpoint": lambda: fastbp.Trainer.load(tmp_path / "run").network,
    }[how]()
    assert net.class_threshold == (4.0 if by_hand else 5.0)
    assert net.predict_classes(X).tolist() == trainer.network.predict_classes(X).tolist()
    other = fastbp.Trainer(net, "mse", metrics=["accuracy", "f1", "auc"])
    same = fastbp.Trainer(trainer.network, "mse", metrics=["accuracy", "f1", "auc"])
    assert other.evaluate(X, 3 + 4 * B) == same.evaluate(X, 3 + 4 * B)


def test_older_files_have_none(tmp_path: Path) -> None:
    net = build().network
    net.save(tmp_path / "net")
    assert b"threshold" not in (tmp_path / "net").read_bytes()
    assert fastbp.Network.load(tmp_path / "net").class_threshold is None
    state = net.__getstate__()
    assert not [key for key in state if "threshold" in key]


@pytest.mark.parametrize("value", ["true", "NaN", '"0.5"', "[1]", "1e999"])
@pytest.mark.parametrize("key", ["class_threshold", "target_threshold"])
def test_forged(key: str, value: str, tmp_path: Path) -> None:
    from fastbp.files import model_file

    net = build().network
    net.class_threshold = 0.5
    description: dict[str, Any] = {
        "n_inputs": 2, "dtype": "float32", "seed": 0, "extra": {},
        "layers": [{"units": 1, "activation": "linear", "bias": True}],
    }  # fmt: skip
    parsed: Any = {"true": True, "NaN": float("nan"), '"0.5"': "0.5", "[1]": [1], "1e999": 1e999}
    with pytest.raises((TypeError, ValueError), match=key):
        model_file._check_description({**description, key: parsed[value]})
    model_file._check_description({**description, key: 0.5})
    description["layers"][0]["units"] = 2
    with pytest.raises(ValueError, match="of one output"):
        model_file._check_description({**description, key: 0.5})


class Tunes(fastbp.Callback):
    """Sets the cut after an epoch, and breaks off where it is told to."""

    _looks_on = True

    def __init__(self, at: int = -1) -> None:
        self.at = at

    def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
        trainer.network.class_threshold = 0.4 + 0.02 * epoch

    def on_settled(self, trainer: fastbp.Trainer, last: bool = False) -> None:
        if trainer.position.epochs == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("tunes", [False, True])
def test_resumed_is_uninterrupted(at: int, tunes: bool, tmp_path: Path) -> None:
    kind = Tunes if tunes else type("Breaks", (Tunes,), {"on_epoch_end": lambda *_: None})
    whole = build()
    expected = whole.fit(X, B, 5, callbacks=[kind()], validation_split=0.2)
    broken = build()
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, B, 5, callbacks=[kind(at)], validation_split=0.2)
    broken.save(tmp_path / "run")
    resumed = build()
    resumed.network.class_threshold = -7.0
    history = resumed.fit(
        X, B, 5, callbacks=[kind()], validation_split=0.2, resume=tmp_path / "run"
    )
    for name in ("accuracy", "f1", "val_accuracy", "val_f1", "loss"):
        assert getattr(history, name) == getattr(expected, name)
    assert resumed.network.class_threshold == whole.network.class_threshold


def test_a_checkpoint_without_it_is_cut_by_the_targets(tmp_path: Path) -> None:
    """As one is that an older fastbp has written."""
    from fastbp.files import checkpoints

    trainer = build()
    trainer.fit(X, B, 2)
    state = trainer._state()
    for key in ("class_threshold", "target_threshold"):
        del state["settings"]["network"][key]
    checkpoints.write(tmp_path / "run", state)
    assert fastbp.Trainer.load(tmp_path / "run").network.class_threshold is None
    other = build()
    other.fit(X, B, 3, resume=tmp_path / "run")
    assert other.network.class_threshold == 0.5


def test_while_a_fit_goes_on_elsewhere() -> None:
    trainer = build()
    handle = trainer.fit_async(X, 3 + 4 * B, 3)
    handle.result()
    assert trainer.network.class_threshold == 5.0


def test_a_network_at_work_elsewhere_keeps_its_own() -> None:
    trainer = build()

    class Other(fastbp.Callback):
        def on_epoch_end(self, trainer: fastbp.Trainer, epoch: int, logs: dict[str, float]) -> None:
            with pytest.raises(RuntimeError, match="another trainer is at work"):
                fastbp.Trainer(trainer.network, "mse").fit(X, 3 + 4 * B)

    trainer.fit(X, B, callbacks=[Other()])
    assert trainer.network.class_threshold == 0.5


# ------------------------------------------------------------------------------------ elsewhere


def test_onnx_labels_follow() -> None:
    export = pytest.importorskip("fastbp.export")
    onnxruntime = pytest.importorskip("onnxruntime")
    trainer = build("mse", "sigmoid")
    net = trainer.network
    trainer.fit(X, np.where(B, 0.9, 0.3), 5)
    outputs = np.sort(net.predict(X)[:, 0])
    for cut in (net.class_threshold, float(outputs[100]), float(outputs[150]) + 1e-12, 0.5, None):
        net.class_threshold = cut
        session = onnxruntime.InferenceSession(export.to_onnx(net).SerializeToString())
        labels, _ = session.run(None, {"input": X.astype(np.float32)})
        assert labels.dtype == np.int64
        assert (labels != net.predict_classes(X)).sum() <= 1  # rounding at the cut itself


def test_a_boundary_is_drawn_there() -> None:
    plot = pytest.importorskip("fastbp.plot")
    from matplotlib.figure import Figure

    trainer = build()
    trainer.fit(X, 3 + 4 * B, 200)
    ax = Figure().add_subplot()  # which no other test finds
    axes = plot.decision_boundary(trainer.network, X, B, resolution=30, ax=ax)
    (line,) = [c for c in axes.collections if type(c).__name__ == "QuadContourSet"]
    on = np.concatenate([path.vertices for path in line.get_paths()])
    assert np.abs(trainer.network.predict(on)[:, 0] - 5).max() < 0.6
