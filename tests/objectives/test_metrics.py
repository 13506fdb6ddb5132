"""Metrics: scikit-learn's figures, of evaluations and of epochs, at any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

import fastbp
from fastbp.objectives.metrics import METRICS, rises

RNG = np.random.default_rng(3)
N = 700


def macro_f1(y: Any, p: Any, w: Any) -> float:
    return float(sk.f1_score(y, p.argmax(axis=1), average="macro", sample_weight=w))


def by_class(figure: Callable[..., float], y: Any, p: Any, w: Any) -> float:
    """A figure of each output against the rest, in the mean."""
    return float(np.mean([figure(y[:, j], p[:, j], w) for j in range(y.shape[1])]))


def balanced(y: Any, p: Any, w: Any) -> float:
    return float(sk.balanced_accuracy_score(y, p > 0.5, sample_weight=w))


def precise(y: Any, p: Any, w: Any) -> float:
    return float(sk.average_precision_score(y, p, sample_weight=w))


MACRO = {"average": "macro", "zero_division": 0}


# output activation, units, loss, targets, then each metric with its figure from y, p, w
Figure = Callable[[Any, Any, Any], float]
CASES: dict[str, tuple[str, int, str, Any, list[tuple[Any, Figure]]]] = {
    "classes": (
        "softmax", 7, "cross_entropy", RNG.integers(0, 7, N),
        [
            ("accuracy", lambda y, p, w: sk.accuracy_score(y, p.argmax(1), sample_weight=w)),
            (fastbp.TopK(3), lambda y, p, w: sk.top_k_accuracy_score(y, p, k=3, sample_weight=w)),
            ("f1", macro_f1),
            ("precision", lambda y, p, w: sk.precision_score(
                y, p.argmax(1), sample_weight=w, **MACRO)),
            ("recall", lambda y, p, w: sk.recall_score(y, p.argmax(1), sample_weight=w, **MACRO)),
            ("balanced_accuracy", lambda y, p, w: sk.balanced_accuracy_score(
                y, p.argmax(1), sample_weight=w)),
            ("average_precision", lambda y, p, w: sk.average_precision_score(
                np.eye(7)[y], p, sample_weight=w)),
            ("auc", lambda y, p, w: sk.roc_auc_score(y, p, multi_class="ovr", sample_weight=w)),
            ("mae", lambda y, p, w: sk.mean_absolute_error(np.eye(7)[y], p, sample_weight=w)),
        ],
    ),
    "two classes": (
        "sigmoid", 1, "binary_cross_entropy", RNG.integers(0, 2, N),
        [
            ("accuracy", lambda y, p, w: sk.accuracy_score(y, p[:, 0] > 0.5, sample_weight=w)),
            ("f1", lambda y, p, w: sk.f1_score(y, p[:, 0] > 0.5, sample_weight=w)),
            ("precision", lambda y, p, w: sk.precision_score(y, p[:, 0] > 0.5, sample_weight=w)),
            ("recall", lambda y, p, w: sk.recall_score(y, p[:, 0] > 0.5, sample_weight=w)),
            ("balanced_accuracy", lambda y, p, w: balanced(y, p[:, 0], w)),
            ("average_precision", lambda y, p, w: precise(y, p[:, 0], w)),
            ("auc", lambda y, p, w: sk.roc_auc_score(y, p[:, 0], sample_weight=w)),
        ],
    ),
    "labels": (
        "sigmoid", 3, "binary_cross_entropy", RNG.integers(0, 2, (N, 3)),
        [
            ("accuracy", lambda y, p, w: np.average(((p > 0.5) == y).mean(axis=1), weights=w)),
            ("f1", lambda y, p, w: sk.f1_score(y, p > 0.5, average="macro", sample_weight=w)),
            ("precision", lambda y, p, w: sk.precision_score(y, p > 0.5, sample_weight=w, **MACRO)),
            ("recall", lambda y, p, w: sk.recall_score(y, p > 0.5, sample_weight=w, **MACRO)),
            ("balanced_accuracy", lambda y, p, w: by_class(balanced, y, p, w)),
            ("average_precision", lambda y, p, w: precise(y, p, w)),
            ("auc", lambda y, p, w: sk.roc_auc_score(y, p, sample_weight=w)),
        ],
    ),
    "hinge": (
        "linear", 1, "hinge", RNG.choice([-1, 1], N),
        [("accuracy", lambda y, p, w: sk.accuracy_score(y > 0, p[:, 0] > 0, sample_weight=w))],
    ),
    "numbers": (
        "linear", 2, "mse", RNG.normal(size=(N, 2)) * [1, 30] + [0, 1e4],
        [
            ("mae", lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w)),
            ("rmse", lambda y, p, w: sk.mean_squared_error(y, p, sample_weight=w) ** 0.5),
            ("r2", lambda y, p, w: sk.r2_score(y, p, sample_weight=w)),
        ],
    ),
}  # fmt: skip


def build(case: str, dtype: str = "float64", **settings: Any) -> tuple[fastbp.Trainer, Any, Any]:
    activation, units, loss, y, metrics = CASES[case]
    layers = [fastbp.Dense(19, "tanh"), fastbp.Dense(units, activation)]
    net = fastbp.Network(6, layers, dtype=dtype, seed=1)
    wanted = [metric for metric, _ in metrics]
    X = np.random.default_rng(1).normal(size=(N, 6))
    return fastbp.Trainer(net, loss, "sgd", metrics=wanted, seed=2, **settings), X, y


def close(found: dict[str, float], case: str, y: Any, p: Any, w: Any, tolerance: float) -> None:
    for metric, figure in CASES[case][4]:
        name = metric if isinstance(metric, str) else metric.name
        assert found[name] == pytest.approx(figure(y, p, w), rel=tolerance, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_evaluate(case: str, dtype: str, weighted: bool) -> None:
    trainer, X, y = build(case, dtype)
    w = RNG.uniform(0, 2, N) if weighted else None
    found = trainer.evaluate(X, y, w)
    p = trainer.network.predict(X).astype(np.float64)
    y = y.astype(np.float32).astype(y.dtype) if dtype == "float32" else y
    ones = np.ones(N) if w is None else w
    close(found, case, y, p, ones, 1e-9 if dtype == "float64" else 1e-5)
    with_loss = trainer.evaluate(X[:1], y[:1])
    assert list(with_loss) == ["loss", *(m.name for m in trainer.metrics)]


@pytest.mark.parametrize("name", METRICS)
def test_says_which_way_is_better(name: str) -> None:
    """A metric is the larger for right outputs where it says so, and the smaller elsewhere."""
    y = np.eye(7)[np.arange(21) % 7]
    found = []
    for sign in (1.0, -1.0):
        net = fastbp.Network(7, [fastbp.Dense(7, bias=False)], dtype="float64", seed=0)
        net.set_weights([sign * np.eye(7)])
        figures = fastbp.Trainer(net, "mse", metrics=[name]).evaluate(y, y)
        figures.pop("loss")
        (figure,) = figures.items()
        found.append(figure)
    (reported, right), (_, wrong) = found
    assert right != wrong
    assert rises(reported) == rises(f"val_{reported}") == (right > wrong)


def test_one_that_does_not_say_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgotten(fastbp.Metric):
        name = "forgotten"

    monkeypatch.setitem(METRICS, "forgotten", Forgotten())
    with pytest.raises(AttributeError, match="_rises"):
        fastbp.EarlyStopping("val_forgotten")
    assert not rises("anything else")
    assert not rises("loss")


@pytest.mark.parametrize("batch_size", [1, 3, 64, 600])
@pytest.mark.parametrize("case", CASES)
def test_of_an_epoch(case: str, batch_size: int) -> None:
    """With a learning rate of 0 an epoch's figures are those of the data."""
    trainer, X, y = build(case, batch_size=batch_size)
    trainer.learning_rate = 0.0
    history = trainer.fit(X, y, 2, validation_data=(X[:300], y[:300]))
    expected, held_out = trainer.evaluate(X, y), trainer.evaluate(X[:300], y[:300])
    for metric in trainer.metrics:
        value = getattr(history, f"val_{metric.name}")
        assert value == [held_out[metric.name]] * 2
        if metric._whole:  # which takes all samples together
            assert not hasattr(history, metric.name)
        else:
            found = getattr(history, metric.name)
            assert found == pytest.approx([expected[metric.name]] * 2, rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_any_number_of_threads(case: str) -> None:
    found = []
    for n_threads in (1, 2, 3):
        trainer, X, y = build(case, n_threads=n_threads, batch_size=None)
        X, y = np.tile(X, (20, 1)), np.concatenate([y] * 20)
        w = np.random.default_rng(0).uniform(0.5, 2, len(X))
        history = trainer.fit(X, y, 3, sample_weight=w)
        names = [m.name for m in trainer.metrics if not m._whole]
        found.append([getattr(history, name) for name in names] + [trainer.evaluate(X, y, w)])
    assert found[0] == found[1] == found[2]


def test_tiny_networks() -> None:
    """Trained in place (kernels/online.py), with the same figures."""
    X, y = RNG.normal(size=(50, 2)), RNG.normal(size=50)
    net = fastbp.Network(2, [fastbp.Dense(2, "sigmoid"), fastbp.Dense(1)], dtype="float64", seed=0)
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(0.0), batch_size=1, metrics=["mae", "r2"])
    history = trainer.fit(X, y)
    expected = trainer.evaluate(X, y)
    assert history.mae == pytest.approx([expected["mae"]])
    assert history.r2 == pytest.approx([expected["r2"]])


def test_label_smoothing_leaves_targets_alone() -> None:
    X, y = RNG.normal(size=(90, 6)), RNG.integers(0, 3, 90)
    net = fastbp.Network(6, [fastbp.Dense(3, "softmax")], dtype="float64", seed=0)
    trainer = fastbp.Trainer(net, fastbp.CrossEntropy(0.3), "sgd", metrics=["mae"])
    expected = np.abs(net.predict(X) - np.eye(3)[y]).mean()
    assert trainer.evaluate(X, y)["mae"] == pytest.approx(expected)


def test_where_nothing_can_be_said() -> None:
    net = fastbp.Network(2, [fastbp.Dense(1, "sigmoid")], seed=0)
    trainer = fastbp.Trainer(net, "binary_cross_entropy", metrics=["auc", "f1", "accuracy", "r2"])
    found = trainer.evaluate([[0, 1], [1, 0]], [0, 0])
    assert np.isnan(found["auc"])  # no positives
    assert found["f1"] == 0.0
    assert found["r2"] == 0.0  # the same target everywhere


# output targets far from 0, from each other and from the array's first
OFFSETS = {
    "near": (0.0, 1.0, "float64"),
    "far": (1e8, 1.0, "float64"),
    "farther": (-1e12, 1.0, "float64"),
    "large": (1e12, 1e12, "float32"),
    "small": (0.0, 1e-30, "float32"),
    "year": (2000.0, 10.0, "float32"),
}


def regression(dtype: str, k: int) -> fastbp.Trainer:
    net = fastbp.Network(3, [fastbp.Dense(k)], dtype=dtype, seed=0)
    net.set_weights([np.zeros((3, k)), np.zeros(k)])
    return fastbp.Trainer(net, "mse", fastbp.SGD(0.0), metrics=["r2"], batch_size=32, seed=0)


def exact_r2(y: Any, p: Any, w: Any, dtype: str) -> float:
    """By whole-number arithmetic over the targets and outputs as they are in that dtype."""
    from fractions import Fraction as F

    scores = []
    for t, q in zip(y.astype(dtype).T, p.T, strict=True):
        ts, qs, ws = ([F(float(x)) for x in a] for a in (t, q, w))
        mean = sum((a * b for a, b in zip(ws, ts, strict=True)), F(0)) / sum(ws, F(0))
        spread = sum((a * (b - mean) ** 2 for a, b in zip(ws, ts, strict=True)), F(0))
        errors = sum((a * (b - c) ** 2 for a, b, c in zip(ws, ts, qs, strict=True)), F(0))
        scores.append(float(1 - errors / spread) if spread else float(errors == 0))
    return float(np.mean(scores))


@pytest.mark.parametrize("first", [None, "far row", "weightless row"])
@pytest.mark.parametrize("case", OFFSETS)
def test_r2_wherever_the_targets_lie(case: str, first: str | None) -> None:
    """r2 of evaluations, epochs and held-out samples, another part of the same array."""
    offset, spread, dtype = OFFSETS[case]
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(90, 3)), rng.normal(size=(90, 2)), np.ones(90)
    y = (offset + spread * y) * [1.0, 1.5]
    fill = 1e30 if dtype == "float64" else 1e17  # whose square is finite
    if first is not None:
        y[0] = 1e6 * spread + offset if first == "far row" else [fill, -9999.0]
    if first == "weightless row":
        w[0] = w[60] = 0.0
        y[60] = -9999.0
    trainer = regression(dtype, 2)
    near = (y[1:60].mean(axis=0) + 0.3 * spread).astype(dtype)
    trainer.network.set_weights([np.zeros((3, 2)), near])
    p = np.tile(trainer.network.get_weights()[1], (90, 1))
    history = trainer.fit(X, y, 1, sample_weight=w, validation_split=1 / 3)
    whole = trainer.evaluate(X, y, w)["r2"]
    for found, part in (
        (history.r2[0], slice(0, 60)), (history.val_r2[0], slice(60, 90)), (whole, slice(0, 90))
    ):  # fmt: skip
        expected = exact_r2(y[part], p[part], w[part], dtype)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_r2_of_a_split_of_two_levels() -> None:
    """The public report's: the first sample's target is far from those that are held out."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=400)
    y[:300] += 1e9
    trainer = regression("float64", 1)
    trainer.network.set_weights([np.array([[1.0], [2.0], [3.0]]), np.zeros(1)])
    (found,) = trainer.fit(X, y, 1, validation_split=0.25).val_r2
    expected = sk.r2_score(y[300:], trainer.network.predict(X[300:]))
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 / 3, -1e20])
def test_r2_of_constant_targets(value: float, dtype: str) -> None:
    """1 where they are met, else 0, as scikit-learn's; with weightless rows of any targets."""
    y = np.full((1001, 2), value)
    y[0] = 1e30 if dtype == "float64" else 1e17
    w = np.random.default_rng(0).uniform(0.1, 3, 1001)
    w[0] = 0.0
    trainer = regression(dtype, 2)
    met = np.array([value, value]).astype(dtype)
    trainer.network.set_weights([np.zeros((3, 2)), met])
    assert trainer.evaluate(np.ones((1001, 3)), y, w)["r2"] == 1.0
    trainer.network.set_weights([np.zeros((3, 2)), met + np.array([0, max(1.0, abs(value))])])
    assert trainer.evaluate(np.ones((1001, 3)), y, w)["r2"] == 0.5


def test_auc_leaves_out_classes_that_cannot_be_judged() -> None:
    """Those without samples of weight above 0, in the class or out of it, as for f1."""
    y = np.array([0, 1] * 20 + [2] * 5)
    X = RNG.normal(size=(45, 6))
    net = fastbp.Network(6, [fastbp.Dense(4, "softmax")], dtype="float64", seed=1)
    trainer = fastbp.Trainer(net, "cross_entropy", metrics=["auc"])
    p = net.predict(X)

    def expected(rows: Any, classes: Any, w: Any = None) -> float:
        areas = [
            sk.roc_auc_score(y[rows] == c, p[rows, c], sample_weight=None if w is None else w[rows])
            for c in classes
        ]
        return float(np.mean(areas))

    whole, held = np.arange(45), np.arange(40)
    assert trainer.evaluate(X, y)["auc"] == pytest.approx(expected(whole, [0, 1, 2]), rel=1e-12)
    assert trainer.evaluate(X[held], y[held])["auc"] == pytest.approx(expected(held, [0, 1]))
    w = RNG.uniform(0.5, 2, 45)
    w[y == 2] = 0.0
    for scale in (1.0, 1e-200, 1e200):
        found = trainer.evaluate(X, y, scale * w)["auc"]
        assert found == pytest.approx(expected(held, [0, 1], w), rel=1e-12)
    assert np.isnan(trainer.evaluate(X[:1], y[:1])["auc"])


def test_auc_of_labels_without_weight() -> None:
    """Fill values in a row of weight 0 don't make labels of classes."""
    y = np.eye(3)[RNG.integers(0, 3, 40)]
    y[:, 2] = 0
    y[:, 0] = 1 - y[:, 1]
    w, filled = np.ones(40), y.copy()
    w[0], filled[0] = 0.0, [1, 1, 1]
    net = fastbp.Network(6, [fastbp.Dense(3, "sigmoid")], dtype="float64", seed=1)
    trainer = fastbp.Trainer(net, "binary_cross_entropy", metrics=["auc"])
    X = RNG.normal(size=(40, 6))
    found = trainer.evaluate(X, filled, w)["auc"]
    p = net.predict(X)
    expected = np.mean([sk.roc_auc_score(y[1:, j], p[1:, j]) for j in (0, 1)])
    assert found == pytest.approx(expected)


NEW = ("f1", "precision", "recall", "balanced_accuracy", "average_precision")


def given(outputs: Any, y: Any, activation: str, loss: str, w: Any = None) -> dict[str, float]:
    """The figures of outputs as they are, by a network that gives them back."""
    outputs = np.asarray(outputs, float)
    outputs = outputs.reshape(len(outputs), -1)
    k = outputs.shape[1]
    net = fastbp.Network(k, [fastbp.Dense(k, activation, bias=False)], dtype="float64")
    net.set_weights([np.eye(k)])
    return fastbp.Trainer(net, loss, metrics=NEW).evaluate(outputs, y, w)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_classes_that_are_absent() -> None:
    """One that is given and not wanted, one that is wanted and not given, one that is neither."""
    y = np.array([0, 0, 1, 1, 1, 0])
    p = np.eye(4)[[0, 0, 1, 2, 2, 0]] + 0.1 * np.random.default_rng(0).random((6, 4))
    y[2] = 3  # classes 1 and 2 are given, 3 is not; 1 and 3 are wanted
    found = given(p, y, "softmax", "cross_entropy")
    top = p.argmax(axis=1)
    assert found["f1"] == pytest.approx(sk.f1_score(y, top, **MACRO))
    assert found["precision"] == pytest.approx(sk.precision_score(y, top, **MACRO))
    assert found["recall"] == pytest.approx(sk.recall_score(y, top, **MACRO))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, top))
    score = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
    one = np.eye(4)[y][:, [0, 1, 3]]  # a class that no target has can't be judged
    assert found["average_precision"] == pytest.approx(precise(one, score[:, [0, 1, 3]], None))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_labels_that_never_occur() -> None:
    """They count as 0, as in scikit-learn's, also where nothing is given them."""
    rng = np.random.default_rng(4)
    y, z = rng.integers(0, 2, (50, 4)), rng.normal(size=(50, 4))
    y[:, 1] = 0
    y[:, 2], z[:, 2] = 0, -1.0
    y[:, 3] = 1
    found = given(z, y, "sigmoid", "binary_cross_entropy")
    for name in ("f1", "precision", "recall"):
        expected = getattr(sk, f"{name}_score")(y, z > 0, **MACRO)
        assert found[name] == pytest.approx(expected), name
    sides = [np.mean([np.mean((z[:, j] > 0)[y[:, j] == c] == c) for c in np.unique(y[:, j])])
             for j in range(4)]  # fmt: skip
    assert found["balanced_accuracy"] == pytest.approx(np.mean(sides))
    assert found["average_precision"] == pytest.approx(precise(y[:, [0, 3]], z[:, [0, 3]], None))


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_equal_scores_and_rows_without_weight(scale: float) -> None:
    rng = np.random.default_rng(5)
    y, z, w = rng.integers(0, 2, 300), rng.integers(-3, 4, 300) + 0.5, rng.uniform(0.1, 3, 300)
    w[::7] = 0.0
    found, kept = given(z, y, "sigmoid", "binary_cross_entropy", scale * w), w > 0
    y, z, w = y[kept], z[kept], w[kept]
    for name in ("f1", "precision", "recall"):
        expected = getattr(sk, f"{name}_score")(y, z > 0, sample_weight=w)
        assert found[name] == pytest.approx(expected), name
    assert found["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(y, z > 0, sample_weight=w)
    )
    assert found["average_precision"] == pytest.approx(precise(y, z, w), rel=1e-12)


@pytest.mark.parametrize(
    ("target", "expected"), [(0, (0, 0, 0, 0.5, np.nan)), (1, (2 / 3, 1, 0.5, 0.5, 1))]
)
def test_one_class_alone(target: int, expected: tuple[float, ...]) -> None:
    found = given([-1.0, 1.0], [target, target], "sigmoid", "binary_cross_entropy")
    found.pop("loss")
    assert list(found.values()) == pytest.approx(list(expected), nan_ok=True)


def test_minus_one_and_one_are_classes() -> None:
    y, z = RNG.choice([-1, 1], 200), RNG.normal(size=200)
    found = given(z, y, "linear", "hinge")
    assert found["precision"] == pytest.approx(sk.precision_score(y, np.where(z > 0, 1, -1)))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y > 0, z > 0))
    assert found["average_precision"] == pytest.approx(precise(y > 0, z, None))


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_weights_that_are_nothing_beside_others(first: float) -> None:
    """The highest outputs' weights may be so small that they add nothing, not even to 0."""
    found = given(
        np.array([3.0, 2.0, 1.0]), np.array([first, 1.0, 0.0]), "linear", "mse",
        np.array([5e-324, 1e300, 1e300]),
    )  # fmt: skip
    assert found["average_precision"] == 1.0


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ("accuracy", TypeError, "metrics must be a list"),
        (["acuracy"], ValueError, "did you mean 'accuracy'"),
        ([3], TypeError, r"metrics must hold names or fastbp metrics, or .* of your own, got 3"),
        (
            [abs],
            TypeError,
            r"or fastbp\.CustomMetric\(f, name\) for a function of your own, got <b",
        ),
        ([fastbp.Metric()], TypeError, r"CustomMetric\(f, name\) .* got Metric\(\)"),
        ([type("Own", (fastbp.Metric,), {"name": "own"})()], TypeError, r"CustomMetric\(f, name\)"),
        (["mae", "mae"], ValueError, "metrics holds 'mae' twice"),
        ([fastbp.TopK(4)], ValueError, "'top_4' takes a network with at least 4 outputs, got 3"),
    ],
)
def test_refused(metrics: Any, error: Any, message: str) -> None:
    net = fastbp.Network(2, [fastbp.Dense(3, "softmax")])
    with pytest.raises(error, match=message):
        fastbp.Trainer(net, "cross_entropy", metrics=metrics)
    with pytest.raises(ValueError, match="k must be an int >= 1, got 0"):
        fastbp.TopK(0)


def test_one_output_is_cut_where_the_network_says() -> None:
    """By the middle of the two values that targets had in a fit: outputs and targets alike."""
    rng = np.random.default_rng(9)
    X = rng.normal(size=(200, 2))
    y = np.where(X[:, 0] + 0.5 * rng.normal(size=200) > 0, 7.0, 3.0)
    net = fastbp.Network(2, [fastbp.Dense(1)], dtype="float64", seed=0)
    trainer = fastbp.Trainer(net, "mse", fastbp.Adam(0.3), metrics=NEW, seed=0)
    trainer.fit(X, y, 20)
    found, score = trainer.evaluate(X, y), net.predict(X)[:, 0]
    given, wanted = score > 5, y > 5
    assert 0.5 < found["balanced_accuracy"] < 1
    assert found["precision"] == pytest.approx(sk.precision_score(wanted, given))
    assert found["recall"] == pytest.approx(sk.recall_score(wanted, given))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(wanted, given))
    assert found["average_precision"] == pytest.approx(precise(wanted, score, None))
