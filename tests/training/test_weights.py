"""Sample and class weights: E = Σ w e / (B w̄) of an update, Σ w e / Σ w of what is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import naive
import numpy as np
import pytest

import fastbp
from fastbp.kernels import layout as lay
from fastbp.runtime import team
from fastbp.training import fit as fitting

DTYPES = ["float32", "float64"]

# inputs, layers, batch size, rows: in place, several at a time, whole with a team, in slabs
SHAPES: dict[str, tuple[int, list[tuple[int, str]], int | None, int]] = {
    "tiny": (2, [(2, "tanh"), (1, "linear")], 1, 40),
    "tiny, ragged": (2, [(2, "relu"), (1, "linear")], 3, 40),
    "several": (5, [(20, "relu"), (2, "linear")], 4, 46),
    "whole": (5, [(20, "tanh"), (2, "linear")], 300, 1000),
    "slabs": (3, [(33, "relu"), (2, "linear")], 2500, 5600),
}


@pytest.fixture
def teams(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads as are asked for: tiny networks are then trained by the general loop."""
    monkeypatch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)


def network(shape: str, dtype: str = "float64", output: str | None = None) -> fastbp.Network:
    n_inputs, layers, _, _ = SHAPES[shape]
    dense = [fastbp.Dense(units, name) for units, name in layers]
    if output is not None:
        dense[-1] = fastbp.Dense(layers[-1][0], output)
    return fastbp.Network(n_inputs, dense, dtype=dtype, seed=3)


def data(shape: str, seed: int = 0) -> tuple[Any, Any, Any]:
    n_inputs, layers, _, n = SHAPES[shape]
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, n_inputs)), rng.normal(size=(n, layers[-1][0]))
    return X, y, rng.uniform(0.25, 4, size=n)


def bits(net: fastbp.Network) -> bytes:
    return b"".join(p.tobytes() for p in net.get_weights())


# -- the definition --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("w", "wanted"), [(None, 0.2), ([0.1], 0.02), ([7.0], 1.4), ([1e-30], 2e-31)]
)
def test_a_steps_weight_scales_the_step(w: Any, wanted: float, dtype: str) -> None:
    net = fastbp.Network(1, [fastbp.Dense(1)], dtype=dtype)
    net.set_weights([[[0.0]], [0.0]])
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(0.1))
    loss, gradients = trainer.gradients([[1.0]], [1.0], w)
    assert loss == trainer.step([[1.0]], [1.0], w) == pytest.approx(wanted / 0.2, rel=1e-6)
    assert gradients[0].item() == pytest.approx(-10 * wanted, rel=1e-6)
    assert net.get_weights()[0].item() == pytest.approx(wanted, rel=1e-6)


def test_batches_are_unbiased() -> None:
    """The mean of the batches' gradients is that of the whole set, whatever their size."""
    X, y, w = data("several")
    net = network("several")
    start = net.get_weights()
    whole = naive.gradients(start, net.layers, "mse", X, y, w, mean=float(w.mean()))
    for size in (1, 4, 23, None):
        batches = naive.consecutive(len(X), size)
        total = [np.zeros_like(p) for p in start]
        for at in batches:
            net.set_weights(start)
            rows = len(X[at])
            fastbp.Trainer(net, "mse", fastbp.SGD(1.0)).step(X[at], y[at], w[at] / w.mean())
            for t, p, q in zip(total, start, net.get_weights(), strict=True):
                t += (p - q) * rows / len(X)
        for t, g in zip(total, whole, strict=True):
            assert naive.relative_error(t, g) <= 1e-12


@pytest.mark.parametrize("batch_size", [1, 32, None])
def test_a_rare_class_counts_at_every_batch_size(batch_size: int | None) -> None:
    """0.2 % of the rows, balanced; the minimum of the balanced loss has a recall of 0.675."""
    rng = np.random.default_rng(0)
    y = np.zeros(20_000, int)
    y[:40] = 1
    X = rng.normal(size=(20_000, 1)) + y[:, None]
    net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    epochs = 8 if batch_size else 400
    optimizer = fastbp.Adam(fastbp.CosineDecay(0.02, epochs))
    trainer = fastbp.Trainer(net, "binary_cross_entropy", optimizer, batch_size=batch_size, seed=0)
    history = trainer.fit(X, y, epochs, class_weight="balanced")
    found = net.predict_classes(X)
    assert 0.55 < found[y == 1].mean() < 0.75
    assert found[y == 0].mean() < 0.4
    assert history.loss[-1] == pytest.approx(0.573, abs=0.02)


@pytest.mark.parametrize("solver", ["lbfgs", "levenberg_marquardt"])
def test_solvers(solver: str) -> None:
    """A fit minimises what it reports, whatever the weights' size; a step's mean weight is 1."""
    X, y, w = data("several")
    found = []
    for factor in (1.0, 2.0**-40, 2.0**9):
        net = network("several")
        trainer = fastbp.Trainer(net, "mse", solver, batch_size=None)
        before = trainer.evaluate(X, y, w)["loss"]
        history = trainer.fit(X, y, 6, sample_weight=factor * w)
        assert history.loss[0] == pytest.approx(before, rel=1e-13)
        found.append((bits(net), history.loss))
    assert found[0] == found[1] == found[2]
    reported = trainer.evaluate(X, y, w)["loss"]
    assert trainer.step(X, y, w) == pytest.approx(reported * w.mean(), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_full_batch_divides_by_its_weights(shape: str, dtype: str) -> None:
    X, y, w = data(shape)
    net = network(shape, dtype)
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(0.1), batch_size=None)
    expected = trainer.evaluate(X, y, w)["loss"]
    loss, gradients = trainer.gradients(X, y, w)
    assert loss == pytest.approx(expected * w.mean(), rel=1e-5 if dtype == "float32" else 1e-13)
    start = net.get_weights()
    history = trainer.fit(X, y, sample_weight=w)
    assert history.loss == pytest.approx([expected], rel=1e-6)
    for p, q, g in zip(net.get_weights(), start, gradients, strict=True):
        step = 0.1 * g / w.mean()
        assert np.abs(p - (q - step)).max() <= (2e-6 if dtype == "float32" else 1e-15)


# -- scale -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "powers"), [
    ("float32", [-1, 5, -120, 125]), ("float64", [-1, 5, -1018, 1021]),
])  # fmt: skip
def test_scaling_all_weights_changes_nothing(shape: str, dtype: str, powers: list[int]) -> None:
    X, y, w = data(shape)
    w = w.astype(dtype)

    def fit(weights: Any) -> tuple[bytes, Any, list[Any]]:
        net = network(shape, dtype)
        trainer = fastbp.Trainer(
            net, "mse", "adam", batch_size=SHAPES[shape][2], seed=1, metrics=["mae", "r2", "rmse"]
        )
        held = (X[::2], y[::2], weights[::2])
        history = trainer.fit(X, y, 2, sample_weight=weights, validation_data=held)
        figures = {k: v for k, v in vars(history).items() if k != "samples_per_second"}
        return bits(net), figures, net.get_weights()

    expected = fit(w)
    for power in powers:
        scaled = np.ldexp(w, power)
        assert np.array_equal(np.ldexp(scaled, -power), w)
        assert fit(scaled)[:2] == expected[:2], power
    for factor in (3.0, 1e-3):
        _, figures, weights = fit(w * np.asarray(factor, dtype))
        for p, q in zip(weights, expected[2], strict=True):
            assert naive.relative_error(p, q) <= (1e-3 if dtype == "float32" else 1e-10)
        assert figures["loss"] == pytest.approx(expected[1]["loss"], rel=1e-5)
        assert figures["val_r2"] == pytest.approx(expected[1]["val_r2"], rel=1e-4)


@pytest.mark.parametrize("shape", ["tiny", "several", "whole", "slabs"])
@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e38])
def test_weights_at_the_ends_of_float32(shape: str, size: float) -> None:
    X, y, _ = data(shape)
    y += 30  # errors in the hundreds: times 1e38 they overflow
    w = np.full(len(X), size)
    results = []
    for weights in (None, w):
        net = network(shape, "float32")
        trainer = fastbp.Trainer(
            net, "mse", fastbp.SGD(1e-4), batch_size=SHAPES[shape][2], seed=1, metrics=["mae"]
        )
        history = trainer.fit(X, y, 2, sample_weight=weights)
        figures = trainer.evaluate(X, y, weights)
        results.append((history.loss, history.mae, list(figures.values()), net.get_weights()))
    for p, q in zip(results[0][3], results[1][3], strict=True):
        assert naive.relative_error(q, p) <= 1e-5
    for found, expected in zip(results[1][:3], results[0][:3], strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_the_least_of_weights_does_not_vanish() -> None:
    """A batch with a weight above 0 is a step, however much larger others are."""
    net = network("tiny", "float32")
    trainer = fastbp.Trainer(net, "mse", "adam", batch_size=1, seed=0)
    X, y, _ = data("tiny")
    trainer.fit(X, y, sample_weight=np.where(np.arange(len(X)) % 2, 3e38, 1e-45))
    assert trainer._session.engine.rates.steps == len(X)


# -- rows of weight 0 ------------------------------------------------------------------------------

HUGE = {"float32": 3e38, "float64": 1.7e308}


def spoiled(loss: str, X: Any, y: Any, w: Any, dtype: str) -> tuple[Any, Any]:
    """The rows of weight 0 with the largest values that there are."""
    X, y, gone = X.astype(dtype), y.astype(dtype), w == 0
    signs = np.where(np.arange(X.shape[1]) % 2, 1, -1)  # sums of either sign are NaN
    X[gone] = HUGE[dtype] * signs
    if loss not in naive.CLASSES and loss not in ("hinge", "binary_cross_entropy"):
        y[gone] = HUGE[dtype]
    return X, y


def fits(loss: str, y: Any) -> Any:
    """Those targets as this loss takes them."""
    if loss in naive.CLASSES:
        return np.eye(y.shape[1])[y.argmax(axis=1)]
    if loss in ("binary_cross_entropy", "hinge"):
        return (y > 0).astype(float)
    return np.abs(np.round(y)) if loss == "poisson" else y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_without_weight_add_nothing(
    threads: int, loss: str, shape: str, dtype: str, request: pytest.FixtureRequest
) -> None:
    """Whatever their values: the bits of a fit, a step, gradients and all figures."""
    X, y, w = data(shape)
    y = fits(loss, y)
    w[1::3] = 0
    w[-2:] = 1
    metrics = ["mae", "rmse", "r2", "accuracy", "f1", "auc"]
    results = []
    if threads > 1:
        request.getfixturevalue("teams")
    for features, targets in ((X.astype(dtype), y.astype(dtype)), spoiled(loss, X, y, w, dtype)):
        net = network(shape, dtype, naive.LOSSES[loss].fused)
        if shape.startswith("tiny"):  # the sum of its two inputs is to be infinite
            net.set_weights([[[-0.7, -0.6], [0.7, 0.6]], *net.get_weights()[1:]])
        trainer = fastbp.Trainer(
            net, loss, fastbp.SGD(1e-3, momentum=0.5), batch_size=SHAPES[shape][2], seed=1,
            metrics=metrics, clip_norm=1.0 if shape in ("several", "slabs") else None,
            n_threads=threads,
        )  # fmt: skip
        rows = features, targets, w
        history = trainer.fit(features, targets, 2, sample_weight=w, validation_data=rows)
        in_place = trainer._session.engine._programs["training"][1].header["call_online"] != 0
        assert in_place == (shape.startswith("tiny") and threads == 1)
        figures = {k: v for k, v in vars(history).items() if k != "samples_per_second"}
        evaluated = trainer.evaluate(*rows)
        stepped, (at, gradients) = trainer.step(*rows), trainer.gradients(*rows)
        found = [bits(net), figures, evaluated, stepped, at, *[g.tobytes() for g in gradients]]
        finite = [evaluated["loss"], evaluated["rmse"], *history.loss, *history.mae, stepped, at]
        assert np.isfinite(finite).all()
        results.append(repr(found))  # one class alone has an area of NaN
    assert results[0] == results[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", ["lbfgs", "levenberg_marquardt"])
def test_nor_to_solvers(solver: str, dtype: str) -> None:
    X, y, w = data("several")
    w[::3] = 0
    results = []
    for features, targets in ((X.astype(dtype), y.astype(dtype)), spoiled("mse", X, y, w, dtype)):
        net = network("several", dtype)
        trainer = fastbp.Trainer(net, "mse", solver, batch_size=None)
        history = trainer.fit(features, targets, 5, sample_weight=w)
        results.append((history.loss, trainer.step(features, targets, w), bits(net)))
    assert np.isfinite(results[1][0]).all()
    assert results[0] == results[1]


def root(p: float, t: float) -> float:
    return np.sqrt(t) * (p - t) ** 2


def root_slope(p: float, t: float) -> float:
    return 2 * np.sqrt(t) * (p - t)


def reciprocal(z: float) -> float:
    return 1 / z


def reciprocal_slope(z: float) -> float:
    return -1 / z**2


def test_nor_by_functions_that_have_no_value_there() -> None:
    """A loss that is NaN for a row's target, a layer that is infinite for its features."""
    X, y, w = (np.abs(a) for a in data("several"))
    X += 1
    w[1::3] = 0
    loss = fastbp.CustomLoss(root, root_slope)
    inner = fastbp.CustomActivation(reciprocal, reciprocal_slope)
    for batch_size in (1, 7, None):
        results = []
        for spoil in (False, True):
            if spoil:
                X[1::3], y[1::3] = 0.0, -1.0  # 1 / 0, and the root of -1
            layers = [fastbp.Dense(5, inner, bias=False), fastbp.Dense(3, "exp"), fastbp.Dense(2)]
            net = fastbp.Network(5, layers, dtype="float64", seed=2)
            net.set_weights([np.ones((5, 5)), *net.get_weights()[1:]])
            trainer = fastbp.Trainer(
                net, loss, fastbp.SGD(1e-4), batch_size=batch_size, seed=0, metrics=["mae", "r2"]
            )
            history = trainer.fit(X, y, 2, sample_weight=w)
            evaluated = trainer.evaluate(X, y, w)
            results.append((bits(net), history.loss, history.mae, evaluated))
            assert np.isfinite([*history.loss, *evaluated.values()]).all()
        assert results[0] == results[1]


def test_they_still_count_as_rows() -> None:
    """In B and in n: the step of the others is the smaller by them."""
    X, y, w = data("several")
    w[:] = 1
    w[10:] = 0
    net = network("several")
    trainer = fastbp.Trainer(net, "mse")
    (few, _), (all_rows, _) = trainer.gradients(X[:10], y[:10]), trainer.gradients(X, y, w)
    assert all_rows == pytest.approx(few * 10 / len(X), rel=1e-13)
    evaluated = trainer.evaluate(X, y, w)["loss"]
    assert evaluated == pytest.approx(trainer.evaluate(X[:10], y[:10])["loss"], rel=1e-13)


# -- batches without weight ------------------------------------------------------------------------


def with_gaps(shape: str, interleaved: bool) -> tuple[Any, Any, Any, int]:
    """Batches with and without weight, in turns or these first; and how many have one."""
    _, _, batch_size, n = SHAPES[shape]
    size = batch_size or n
    X, y, w = data(shape)
    n = n // size * size
    batches = [np.arange(start, start + size) for start in range(0, n, size)]
    kept = batches[: len(batches) // 2]
    gone = batches[len(kept) :]
    order = [None] * len(batches)
    places = np.arange(len(batches))
    mine = places[1::2][: len(kept)] if interleaved else places[: len(kept)]
    rest = [place for place in places if place not in mine]
    for place, rows in [*zip(mine, kept, strict=True), *zip(rest, gone, strict=True)]:
        order[place] = rows
    w[np.concatenate(gone)] = 0
    at = np.concatenate(order)
    return X[at], y[at], w[at], len(kept)


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("drops", [0.0, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
def test_batches_without_weight_are_no_steps(
    shape: str, drops: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedule, dropout's masks and Adam's corrections go on where they were."""
    results = []
    for interleaved, seconds in ((False, 0.1), (True, 0.1), (True, 0.0)):
        monkeypatch.setattr(fitting, "_CHUNK_SECONDS", seconds)  # 0: a batch at a time
        X, y, w, kept = with_gaps(shape, interleaved)
        n_inputs, layers, batch_size, _ = SHAPES[shape]
        dense = [fastbp.Dense(units, name) for units, name in layers]
        dense[0] = fastbp.Dense(layers[0][0], layers[0][1], dropout=drops)
        net = fastbp.Network(n_inputs, dense, dtype="float64", seed=3)
        rate = fastbp.CosineDecay(0.05, 2 * kept + 5, per="step")
        trainer = fastbp.Trainer(
            net, "mse", fastbp.NAdam(rate), batch_size=batch_size, shuffle=False, seed=4,
            n_threads=threads, metrics=["mae"],
        )  # fmt: skip
        history = trainer.fit(X, y, 2, sample_weight=w, callbacks=[fastbp.LearningRateLogger()])
        assert trainer._session.engine.rates.steps == 2 * kept
        assert trainer._session.engine.last_rate == rate.rates(np.array([2 * kept - 1]))[0]
        assert trainer.learning_rate == rate.rates(np.array([2 * kept]))[0]
        mae, rates = history.mae, history.learning_rate
        results.append((bits(net), history.loss, mae, rates))
    assert results[0] == results[1] == results[2]


def test_a_fit_that_is_broken_off_where_there_is_no_weight(tmp_path: Any) -> None:
    """It goes on at its place among the batches, and at its place in the schedule."""

    class BrokenOff(Exception):
        pass

    class BreakOff(fastbp.Callback):
        def __init__(self, chunks: int) -> None:
            self.chunks = chunks

        longest_chunk = 0.0

        def on_chunk_end(self, trainer: fastbp.Trainer) -> None:
            self.chunks -= 1
            if self.chunks == 0:
                trainer.save(tmp_path / "a.safetensors")
                raise BrokenOff

    X, y, w, _ = with_gaps("several", True)
    w[12:24] = 0

    def trainer() -> fastbp.Trainer:
        rate = fastbp.ExponentialDecay(0.05, gamma=0.8, per="step")
        return fastbp.Trainer(
            network("several"), "mse", fastbp.Adam(rate), batch_size=4, shuffle=False, seed=4
        )

    whole = trainer()
    expected = whole.fit(X, y, 3, sample_weight=w).loss
    for chunks in range(1, 12):
        with pytest.raises(BrokenOff):
            trainer().fit(X, y, 3, sample_weight=w, callbacks=[BreakOff(chunks)])
        resumed = trainer()
        history = resumed.fit(X, y, 3, sample_weight=w, resume=tmp_path / "a.safetensors")
        assert history.loss == expected
        assert bits(resumed.network) == bits(whole.network)
        assert resumed._session.engine.rates.steps == whole._session.engine.rates.steps


# -- metrics ---------------------------------------------------------------------------------------

METRICS = ["accuracy", "mae", "rmse", "r2", "f1", fastbp.TopK(2)]


def classes(n: int, n_inputs: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(7)
    X, w = rng.normal(size=(n, n_inputs)), rng.uniform(0, 2, size=n)
    w[rng.random(n) < 0.1] = 0
    return X, rng.choice(3, size=n, p=[0.7, 0.25, 0.05]), w


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 0.0, 2: 5.0}, {0: 3e38, 1: 1e38}])
@pytest.mark.parametrize("batch_size", [1, 3, 64, None])
@pytest.mark.parametrize("units", [4, 40])
def test_metrics_have_no_class_weights(
    units: int, batch_size: int | None, class_weight: Any, weighted: bool
) -> None:
    """At a learning rate of 0 they are what `evaluate` says; the loss has the weights of both."""
    X, y, w = classes(3000 if batch_size is None else 200, 4)
    sample_weight = w if weighted else None
    layers = [fastbp.Dense(units, "tanh"), fastbp.Dense(3, "softmax")]
    net = fastbp.Network(4, layers, dtype="float64", seed=0)
    trainer = fastbp.Trainer(
        net, "cross_entropy", fastbp.SGD(0.0), batch_size=batch_size, seed=0, metrics=METRICS
    )
    history = trainer.fit(
        X, y, 2, sample_weight=sample_weight, class_weight=class_weight,
        validation_data=(X, y, *([] if sample_weight is None else [w])),
    )  # fmt: skip
    expected = trainer.evaluate(X, y, sample_weight)
    for metric in trainer.metrics:
        assert getattr(history, metric.name) == pytest.approx([expected[metric.name]] * 2, rel=1e-9)
        assert getattr(history, f"val_{metric.name}") == [expected[metric.name]] * 2
    counts = np.bincount(y, minlength=3)
    by_class = len(y) / (3 * counts)
    if class_weight != "balanced":
        by_class = np.array([class_weight.get(c, 1.0) for c in range(3)])
    product = by_class[y] * (w if weighted else 1)
    assert history.loss == pytest.approx([trainer.evaluate(X, y, product)["loss"]] * 2, rel=1e-9)
    assert history.val_loss == pytest.approx([expected["loss"]] * 2, rel=1e-12)
    # as sample weights, they count in both
    history = trainer.fit(X, y, sample_weight=product)
    assert history.accuracy == pytest.approx([trainer.evaluate(X, y, product)["accuracy"]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [2, 64, None])
def test_what_a_class_without_weight_has(batch_size: int | None, dtype: str) -> None:
    """It has no gradient, not by infinite activations either, and counts in the metrics."""
    X, y, _ = classes(3000 if batch_size is None else 200, 4)
    results = []
    for size in (1.0, HUGE[dtype]):
        features = X.astype(dtype)
        features[y == 0] = size * np.array([1, -1, 1, -1])
        layers = [fastbp.Dense(40, "linear"), fastbp.Dense(3, "softmax")]
        net = fastbp.Network(4, layers, dtype=dtype, seed=0)
        trainer = fastbp.Trainer(
            net, "cross_entropy", "adam", batch_size=batch_size, seed=0, metrics=["accuracy"]
        )
        history = trainer.fit(features, y, 2, class_weight={0: 0.0})
        assert np.isfinite(history.loss).all()
        results.append((bits(net), history.loss))
    assert results[0] == results[1]


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("shape", ["several", "whole", "slabs"])
def test_class_weights_and_any_number_of_threads(shape: str) -> None:
    n_inputs, _, batch_size, n = SHAPES[shape]
    X, y, w = classes(n, n_inputs)
    results = []
    for threads in (1, 2, 3, 4):
        layers = [fastbp.Dense(20, "relu"), fastbp.Dense(3, "softmax")]
        net = fastbp.Network(n_inputs, layers, seed=0)
        trainer = fastbp.Trainer(
            net, "cross_entropy", "adam", batch_size=batch_size, seed=0, metrics=METRICS,
            n_threads=threads,
        )  # fmt: skip
        history = trainer.fit(X, y, 2, sample_weight=w, class_weight={0: 0.0, 2: 7.0})
        figures = {k: v for k, v in vars(history).items() if k != "samples_per_second"}
        results.append((bits(net), figures, trainer.gradients(X, y, w)[0]))
    assert all(result == results[0] for result in results)


def test_of_a_fit_that_is_resumed_within_an_epoch(tmp_path: Any) -> None:
    """Its loss and its metrics are those of one that was not broken off."""
    X, y, w = classes(200, 4)

    class BrokenOff(fastbp.Callback):
        longest_chunk = 0.0

        def on_chunk_end(self, trainer: fastbp.Trainer) -> None:
            if trainer.position.batches == 3:
                trainer.save(tmp_path / "a.safetensors")
                trainer.stop("broken off")

    def fit(**more: Any) -> tuple[Any, bytes]:
        net = fastbp.Network(4, [fastbp.Dense(9, "tanh"), fastbp.Dense(3, "softmax")], seed=0)
        trainer = fastbp.Trainer(net, "cross_entropy", "adam", seed=0, metrics=METRICS)
        history = trainer.fit(X, y, 2, sample_weight=w, class_weight="balanced", **more)
        return {k: v for k, v in vars(history).items() if k != "samples_per_second"}, bits(net)

    expected = fit()
    fit(callbacks=[BrokenOff()])
    assert fit(resume=tmp_path / "a.safetensors") == expected


def test_of_a_split_the_training_part_has_the_mean() -> None:
    """Weights that are held out are not in it, whatever they are."""
    X, y, w = data("several")
    results = []
    for held_out in (1.0, 1e30):
        w[-12:] = held_out
        net = network("several")
        trainer = fastbp.Trainer(net, "mse", "sgd", batch_size=4, seed=0)
        trainer.fit(X, y, 2, sample_weight=w, validation_split=12 / len(X))
        results.append(bits(net))
    assert results[0] == results[1]


@pytest.mark.parametrize("side", [slice(0, 30), slice(30, None)])
def test_a_split_whose_weights_round_to_0(side: slice) -> None:
    X, y, w = data("several")
    w[side] = 1e-60
    trainer = fastbp.Trainer(network("several", "float32"), "mse")
    with pytest.raises(ValueError, match="leaves one side with sample_weight all 0"):
        trainer.fit(X, y, sample_weight=w, validation_split=16 / len(X))


def test_compiled_functions_have_a_mean_weight_of_1() -> None:
    """They take no weights, whatever the trainer has been fitted with."""
    X, y, w = data("several")
    one, other = (fastbp.Trainer(network("several"), "mse", "adam", seed=0) for _ in range(2))
    for trainer in (one, other):
        trainer.fit(X, y, sample_weight=w)
    function = one.c_function(rows=8)
    rows, out = np.concatenate([X[:8].ravel(), y[:8].ravel()]), np.zeros(1)
    status = function.ctypes(function.state_address, rows.ctypes.data, out.ctypes.data, 8)
    assert (status, out[0]) == (0, other.step(X[:8], y[:8]))
    assert bits(one.network) == bits(other.network)


def test_results_name_what_divides() -> None:
    X, y, w = data("several")
    trainer = fastbp.Trainer(network("several"), "mse")
    program: Callable[[str], Any] = lambda use: trainer._session.engine._programs[use][1]  # noqa: E731
    trainer.gradients(X, y, w)
    assert program("gradients").results[lay.R_LAST_DIVISOR] == len(X)
    trainer.evaluate(X, y, w)
    assert program("evaluation").results[lay.R_LAST_DIVISOR] == pytest.approx(w.sum() / 2)


def test_gradients_are_checked_with_weights() -> None:
    """Gradients are divided by rows, evaluations by weights: of any mean they agree."""
    X, y, w = data("several")
    w[1::3] = 0
    for factor in (1e-3, 1.0, 50.0):
        check = fastbp.check_gradients(network("several"), "mse", X, y, factor * w)
        assert check.worst < 1e-6
        assert check.loss == pytest.approx(
            fastbp.Trainer(network("several"), "mse").evaluate(X, y, w)["loss"], rel=1e-12
        )


def test_a_fit_in_the_background() -> None:
    X, y, w = classes(200, 4)
    results = []
    for background in (False, True):
        net = fastbp.Network(4, [fastbp.Dense(9, "tanh"), fastbp.Dense(3, "softmax")], seed=0)
        trainer = fastbp.Trainer(net, "cross_entropy", "adam", seed=0, metrics=["accuracy"])
        weights: dict[str, Any] = {"sample_weight": w, "class_weight": "balanced"}
        if background:
            history = trainer.fit_async(X, y, 3, **weights).result()
        else:
            history = trainer.fit(X, y, 3, **weights)
        results.append((bits(net), history.loss, history.accuracy))
    assert results[0] == results[1]


def test_a_ragged_batch_has_its_own_number_of_rows() -> None:
    """46 rows in batches of 4: the last update's two rows weigh as much as any others."""
    X, y, w = data("several")
    net, twin = network("several"), network("several")
    trainer = fastbp.Trainer(net, "mse", fastbp.SGD(0.1), batch_size=4, shuffle=False)
    history = trainer.fit(X, y, sample_weight=w)
    by_hand = fastbp.Trainer(twin, "mse", fastbp.SGD(0.1))
    losses = [
        by_hand.step(X[at], y[at], w[at] / w.mean()) * len(X[at])
        for at in naive.consecutive(len(X), 4)
    ]
    for p, q in zip(net.get_weights(), twin.get_weights(), strict=True):
        assert naive.relative_error(p, q) <= 1e-13
    assert history.loss == pytest.approx([sum(losses) / len(X)], rel=1e-12)


@pytest.mark.parametrize(("units", "size"), [(4, 1), (4, 3), (40, 4), (40, 300), (40, 2500)])
def test_metrics_of_batches_whose_class_has_no_weight(units: int, size: int) -> None:
    """They make no update and count all the same: in place, read ahead, whole, in slabs."""
    X, y, w = classes(max(100, 2 * size + 7), 4)
    y[:size] = 0
    y[size : 2 * size] = 1 + np.arange(size) % 2
    y[-(len(X) % size or size) :] = 0  # the last batch as well
    layers = [fastbp.Dense(units, "tanh"), fastbp.Dense(3, "softmax")]
    net = fastbp.Network(4, layers, dtype="float64", seed=0)
    trainer = fastbp.Trainer(
        net, "cross_entropy", fastbp.SGD(0.0), batch_size=size, shuffle=False, metrics=METRICS
    )
    history = trainer.fit(X, y, sample_weight=w, class_weight={0: 0})
    expected = trainer.evaluate(X, y, w)
    for metric in trainer.metrics:
        assert getattr(history, metric.name) == pytest.approx([expected[metric.name]], rel=1e-9)
    weighted = [(w * (y > 0))[at].any() for at in naive.consecutive(len(X), size)]
    assert trainer._session.engine.rates.steps == sum(weighted) < len(weighted)


def test_an_area_is_taken_over_rows_with_weight() -> None:
    """Whose targets are probabilities: the class is the most likely one, above one half or not."""
    rng = np.random.default_rng(1)
    X, y, w = rng.normal(size=(300, 4)), rng.dirichlet(np.full(3, 4.0), size=300), np.ones(300)
    y = np.round(64 * y) / 64
    y[:, 2] = 1 - y[:, 0] - y[:, 1]  # sums are 1 exactly
    w[::3] = 0
    net = fastbp.Network(4, [fastbp.Dense(3, "softmax")], dtype="float64", seed=0)
    trainer = fastbp.Trainer(net, "cross_entropy", metrics=["auc"])
    found = trainer.evaluate(X, y, w)["auc"]
    assert found == trainer.evaluate(X[w > 0], y[w > 0])["auc"]
