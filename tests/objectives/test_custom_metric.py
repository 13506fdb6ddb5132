"""Metrics of a person's own: what they are handed, and what becomes of what they give."""

from __future__ import annotations

import copy
import fractions
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

import fastbp

RNG = np.random.default_rng(8)
X = RNG.normal(size=(90, 3))
V = RNG.normal(size=(40, 3))


def mean_error(y: Any, outputs: Any, sample_weight: Any) -> float:
    return float(np.average(np.abs(y - outputs).mean(axis=1), weights=sample_weight))


def build(
    metrics: Any, k: int = 1, loss: str = "mse", dtype: str = "float32", **settings: Any
) -> fastbp.Trainer:
    activation = {"mse": "linear", "cross_entropy": "softmax"}[loss]
    layers = [fastbp.Dense(5, "tanh"), fastbp.Dense(k, activation)]
    net = fastbp.Network(3, layers, dtype=dtype, seed=0)
    settings = {"batch_size": 16, "seed": 0} | settings
    return fastbp.Trainer(net, loss, fastbp.SGD(0.1), metrics=metrics, **settings)


class Given:
    """A metric's function that keeps what it was handed, and writes all over it."""

    def __init__(self, value: Any = 1.0) -> None:
        self.value, self.seen = value, []  # type: ignore[var-annotated]

    def __call__(self, y: Any, outputs: Any, sample_weight: Any) -> Any:
        kept = [None if a is None else a.copy() for a in (y, outputs, sample_weight)]
        self.seen.append(kept)
        for array in (y, outputs, sample_weight):
            if array is not None:
                array[:] = 0
        return self.value(*kept) if callable(self.value) else self.value


def same(found: Any, expected: Any, dtype: Any) -> None:
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("flat", [True, False])
def test_what_it_is_handed(dtype: str, k: int, flat: bool) -> None:
    """Targets have the outputs' shape and dtype, so that a difference is no (n, n)."""
    f, g = Given(), Given()
    metrics = [fastbp.CustomMetric(f, "first"), "mae", fastbp.CustomMetric(g, "second", "min")]
    trainer = build(metrics, k, dtype=dtype)
    y = RNG.normal(size=(90, k))
    given = y[:, 0] if flat and k == 1 else y
    kept = given.copy()
    found = trainer.evaluate(X, given)
    assert list(found) == ["loss", "first", "mae", "second"]
    for (targets, outputs, weights), _ in ((f.seen[0], 0), (g.seen[0], 1)):
        same(targets, y.astype(dtype), dtype)
        same(outputs, trainer.network.predict(X), dtype)
        assert weights is None
    np.testing.assert_array_equal(given, kept)
    assert found["mae"] == pytest.approx(np.abs(y - trainer.network.predict(X)).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.float32])
def test_class_ids(kind: Any) -> None:
    f, y = Given(), RNG.integers(0, 4, 90)
    trainer = build([fastbp.CustomMetric(f, "own")], 4, "cross_entropy")
    trainer.evaluate(X, y.astype(kind))
    same(f.seen[0][0], y, np.int64)
    trainer.evaluate(X, np.eye(4)[y])
    same(f.seen[1][0], np.eye(4, dtype=np.float32)[y], np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights(dtype: str) -> None:
    """As they are given, in the network's dtype, and without samples of weight 0."""
    f, w = Given(mean_error), RNG.uniform(1e-3, 1e3, 90)
    w[::4] = 0
    y, x = RNG.normal(size=90), X.copy()
    trainer = build([fastbp.CustomMetric(f, "own"), "mae"], dtype=dtype)
    y[::4], x[::4] = 1e30, 1e30
    found = trainer.evaluate(x, y, w)
    (targets, outputs, weights), there = f.seen[0], w > 0
    same(targets, y[there, None].astype(dtype), dtype)
    same(outputs, trainer.network.predict(X)[there], dtype)
    same(weights, w[there].astype(dtype), dtype)
    assert found["own"] == pytest.approx(found["mae"], rel=1e-5)


def test_scikit_learns_with_weights() -> None:
    w, y = RNG.uniform(0, 3, 90), RNG.normal(size=90)

    def error(y: Any, outputs: Any, sample_weight: Any) -> float:
        return sk.mean_absolute_percentage_error(y, outputs, sample_weight=sample_weight)

    trainer = build([fastbp.CustomMetric(error, "mape", "min")], dtype="float64")
    expected = error(y, trainer.network.predict(X), w)
    assert trainer.evaluate(X, y, w)["mape"] == pytest.approx(expected, rel=1e-12)


def test_in_a_fit() -> None:
    """Of validation data after each epoch, and not of what is trained on; it changes no bit."""
    y, z = X[:, 0] * X[:, 1], V[:, 0] * V[:, 1]
    f = Given(mean_error)
    trainer, plain = build([fastbp.CustomMetric(f, "own"), "mae"]), build(["mae"])
    history = trainer.fit(X, y, 4, validation_data=(V, z))
    expected = plain.fit(X, y, 4, validation_data=(V, z))
    assert history.val_own == pytest.approx(history.val_mae, rel=1e-6)
    assert len(f.seen) == 4
    assert not hasattr(history, "own")
    assert (history.loss, history.val_mae) == (expected.loss, expected.val_mae)
    assert len(trainer.fit(X, y, 2).loss) == 2
    assert len(f.seen) == 4


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_order_and_any_number_of_threads(n_threads: int) -> None:
    f = Given(0.5)
    many = np.tile(X, (60, 1)) + np.arange(5400)[:, None]
    build([fastbp.CustomMetric(f, "own")], n_threads=n_threads).evaluate(many, np.arange(5400.0))
    same(f.seen[0][0], np.arange(5400, dtype=np.float32)[:, None], np.float32)


def test_with_a_solver_and_maps(tmp_path: Path) -> None:
    f = Given(mean_error)
    net = fastbp.Network(3, [fastbp.Dense(2, "tanh"), fastbp.Dense(1)], seed=0)
    metrics = [fastbp.CustomMetric(f, "own", "min")]
    trainer = fastbp.Trainer(net, "mse", "lbfgs", batch_size=None, metrics=metrics)
    np.save(tmp_path / "y.npy", V[:, :1])
    y = np.load(tmp_path / "y.npy", mmap_mode="r")
    history = trainer.fit(X, X[:, 0], 3, validation_data=(V, y))
    assert history.val_own[-1] < history.val_own[0]
    same(f.seen[0][0], V[:, :1].astype(np.float32), np.float32)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0), (np.float32(0.5), 0.5), (np.array(2.5), 2.5), (np.int8(3), 3.0),
        (fractions.Fraction(1, 4), 0.25), (float("nan"), np.nan), (-np.inf, -np.inf), (True, 1.0),
    ],
)  # fmt: skip
def test_numbers(value: Any, expected: float) -> None:
    found = build([fastbp.CustomMetric(Given(value), "own")]).evaluate(X, X[:, 0])["own"]
    assert type(found) is float
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, TypeError), ("0.5", TypeError), (1j, TypeError), ([0.5], TypeError),
        (np.array([0.5]), TypeError), (np.array(1j), TypeError), (10**400, ValueError),
    ],
)  # fmt: skip
def test_what_is_no_number_is_named(value: Any, error: Any) -> None:
    trainer = build([fastbp.CustomMetric(Given(value), "own")])
    with pytest.raises(error, match=r"the metric 'own' must give a real number.* of type"):
        trainer.evaluate(X, X[:, 0])
    with pytest.raises(error, match=r"the metric 'own' must give a real number.* of type"):
        trainer.fit(X, X[:, 0], 2, validation_data=(V, V[:, 0]))


class Fails:
    """Raises at the n-th call."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __call__(self, y: Any, outputs: Any, sample_weight: Any) -> float:
        self.left -= 1
        if self.left == 0:
            raise ZeroDivisionError("own")
        return mean_error(y, outputs, sample_weight)


def test_what_it_raises_loses_nothing(tmp_path: Path) -> None:
    """It comes out as it is; the run is gone on with bit for bit, at the validation."""
    data: Any = (X, X[:, 0])
    rest: Any = {"validation_data": {"val": (V, V[:, 0]), "test": (V, V[:, 1])}}
    there = build([fastbp.CustomMetric(mean_error, "own", "min")])
    expected = there.fit(*data, 6, **rest)
    trainer = build([fastbp.CustomMetric(Fails(8), "own", "min")])
    with pytest.raises(ZeroDivisionError, match=r"^own$"):
        trainer.fit(*data, 6, callbacks=[fastbp.EarlyStopping("val_own")], **rest)
    assert trainer.history is not None
    assert trainer.history.loss == expected.loss[:3]
    trainer.save(tmp_path / "left.safetensors")
    assert np.isfinite(trainer.evaluate(*data)["own"])
    again = build([fastbp.CustomMetric(mean_error, "own", "min")])
    with pytest.warns(RuntimeWarning, match="callback 'EarlyStopping' was there"):
        history = again.fit(*data, 6, resume=tmp_path / "left.safetensors", **rest)
    for name in ("loss", "val_loss", "val_own", "test_own"):
        assert getattr(history, name) == getattr(expected, name), name
    for a, b in zip(again.network.get_weights(), there.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_may_use_the_trainer() -> None:
    """Its arrays are its own, and nothing of the trainer is in use while it is called."""
    counted = []

    def own(y: Any, outputs: Any, sample_weight: Any) -> float:
        counted.append(len(y))
        if len(y) == 40:
            return trainer.evaluate(X, X[:, 0])["own"]
        return float(trainer.network.predict(V).sum())

    trainer = build([fastbp.CustomMetric(own, "own"), "auc"])
    found = trainer.evaluate(V, (V[:, 0] > 0).astype(float))
    assert found["own"] == trainer.network.predict(V).sum()
    expected = sk.roc_auc_score(V[:, 0] > 0, trainer.network.predict(V)[:, 0])
    assert found["auc"] == pytest.approx(expected)
    history = trainer.fit(X, X[:, 0], 2, validation_data=(V, V[:, 0]))
    assert history.val_own[-1] == trainer.network.predict(V).sum()
    assert counted == [40, 90] * 3


def test_checkpoints_and_pickles(tmp_path: Path) -> None:
    metric = fastbp.CustomMetric(mean_error, "own", mode="min")
    trainer = build([metric, "mae"])
    trainer.fit(X, X[:, 0], 2, validation_data=(V, V[:, 0]))
    trainer.save(tmp_path / "run.safetensors")
    with pytest.raises(fastbp.ModelFileError, match="'own' is not fastbp's own"):
        fastbp.Trainer.load(tmp_path / "run.safetensors")
    again = build([metric, "mae"])
    again.fit(X, X[:, 0], 3, validation_data=(V, V[:, 0]), resume=tmp_path / "run.safetensors")
    for other in (
        [fastbp.CustomMetric(mean_error, "own", mode="max"), "mae"],
        [fastbp.CustomMetric(mean_error, "another", mode="min"), "mae"], ["mae"],
    ):  # fmt: skip
        with pytest.raises(fastbp.ModelFileError, match="metrics is"):
            build(other).fit(X, X[:, 0], 3, resume=tmp_path / "run.safetensors")
    for copied in (pickle.loads(pickle.dumps(trainer)), copy.deepcopy(trainer)):
        assert copied.metrics == trainer.metrics
        assert copied.evaluate(V, V[:, 0]) == trainer.evaluate(V, V[:, 0])
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(build([fastbp.CustomMetric(lambda y, p, w: 0.0, "own")]))


def test_two_of_them() -> None:
    one = fastbp.CustomMetric(mean_error, "own", mode="min")
    assert one == fastbp.CustomMetric(mean_error, "own", mode="min")
    assert hash(one) == hash(fastbp.CustomMetric(mean_error, "own", mode="min"))
    assert one != fastbp.CustomMetric(mean_error, "own", mode="max")
    assert one != fastbp.CustomMetric(mean_error, "other", mode="min")
    assert (one.f, one.name, one.mode) == (mean_error, "own", "min")
    assert "mean_error" in repr(one)
    assert "'own', mode='min'" in repr(one)
    for name in ("f", "mode", "other"):
        with pytest.raises(AttributeError):
            setattr(one, name, None)
    with pytest.raises(ValueError, match="metrics holds 'own' twice"):
        build([one, fastbp.CustomMetric(mean_error, "own")])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("auc", "own"), TypeError, "f must be a function of y, outputs and sample_weight, got"),
        ((mean_error, 3), TypeError, "name must be a str, got 3 of type int"),
        ((mean_error, ""), ValueError, "name must be what the figure is called, got ''"),
        ((mean_error, " \n"), ValueError, "name must be what the figure is called, got ' "),
        ((mean_error, "loss"), ValueError, "name must be none of History's own"),
        ((mean_error, "epoch"), ValueError, "name must be none of History's own"),
        ((mean_error, "stopped"), ValueError, "name must be none of History's own"),
        ((mean_error, "own", "more"), ValueError, "mode must be one of 'max', 'min', got 'more'"),
        ((mean_error, "own", None), TypeError, "mode must be one of 'max', 'min', got None"),
    ],
)
def test_refused(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        fastbp.CustomMetric(*arguments)
