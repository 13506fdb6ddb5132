"""L-BFGS and Levenberg-Marquardt with l2 and frozen layers: against SciPy and plain twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import naive
import numpy as np
import pytest
from cases import SOLVERS, bits, trainer_of
from problems import draw
from scipy.optimize import least_squares, minimize

import fastbp
from fastbp.kernels.solvers import jacobian
from fastbp.runtime import team

Dense = fastbp.Dense
#: two layers each, whose weights, or some of them, have a penalty or are not trained
LAYERS: dict[str, list[Dense]] = {
    "l2": [Dense(2, "tanh", l2=0.003), Dense(1, l2=0.002)],
    "one l2": [Dense(3, "tanh"), Dense(1, l2=0.05)],
    "shared bias": [Dense(3, "tanh", l2=0.02, bias="shared"), Dense(2, l2=0.03, bias="shared")],
    "no bias": [Dense(3, "tanh", l2=0.02, bias=False), Dense(2, l2=0.03, bias=False)],
    "first frozen": [Dense(4, "tanh", l2=0.1, trainable=False), Dense(1, l2=0.02)],
    "last frozen": [Dense(3, "tanh", l2=0.02), Dense(2, l2=0.7, trainable=False)],
    "weights": [
        Dense(3, "tanh", l2=0.02, trainable="weights"), Dense(1, l2=0.01, trainable="weights"),
    ],
    "biases": [Dense(3, "tanh", l2=5.0, trainable="biases"), Dense(2, l2=0.02)],
    "middle frozen": [
        Dense(3, "tanh", l2=0.02), Dense(4, "tanh", l2=0.3, trainable=False), Dense(1, l2=0.01),
    ],
    "frozen only": [Dense(4, "tanh", trainable=False), Dense(2)],
}  # fmt: skip


def problem(
    layers: list[Dense], dtype: str = "float64", n: int = 40, seed: int = 0
) -> tuple[fastbp.Network, Any, Any, Any]:
    """A network, samples, targets about a plane, weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    k = layers[-1].units
    y = np.stack([np.sin(X[:, 0] + j) + 0.3 * rng.normal(size=n) for j in range(k)], axis=1)
    net = fastbp.Network(2, layers, dtype=dtype, seed=seed)
    weights = net.get_weights()
    for w in weights:
        if w.ndim == 1:
            w[:] = rng.normal(size=w.shape) * 0.1
    net.set_weights(weights)
    return net, X, y, rng.uniform(0.5, 1.5, size=n)


def tight(solver: str, **settings: Any) -> fastbp.Optimizer:
    kind: Any = {"lbfgs": fastbp.LBFGS, "levenberg_marquardt": fastbp.LevenbergMarquardt}[solver]
    return kind(tolerance_gradient=0.0, tolerance_change=0.0, **settings)  # type: ignore[no-any-return]


class Penalised:
    """A network's loss with its penalties as a function of what is trained, for SciPy."""

    def __init__(self, net: fastbp.Network, loss: str, X: Any, y: Any, w: Any) -> None:
        self.start, self.layers, self.loss, self.data = net.get_weights(), net.layers, loss, (X, y)
        self.w = np.asarray(w) / np.mean(w)  # as a fit has it: E is Σwe / Σw
        self.kept = naive.trained(self.start, self.layers)
        self.halves = naive.half_l2(self.start, self.layers)

    def at(self, x: Any) -> list[Any]:
        whole = naive.flat(self.start)
        whole[self.kept] = x
        return naive.shaped(whole, self.start)

    def trained(self, weights: list[Any]) -> Any:
        return naive.flat(weights)[self.kept]

    def value(self, x: Any) -> float:
        return naive.objective(self.at(x), self.layers, self.loss, *self.data, self.w)

    def gradient(self, x: Any) -> Any:
        g = naive.gradients(self.at(x), self.layers, self.loss, *self.data, self.w)
        return naive.flat(g)[self.kept] + 2 * self.halves[self.kept] * x

    def residuals(self, x: Any) -> Any:
        """Rows of the data, and √l2 W: half their squares are the loss, for half_squared_error."""
        p = naive.forward(self.at(x), self.layers, self.data[0])[1][-1]
        off = np.sqrt(self.w / len(p))[:, None] * (p - np.reshape(self.data[1], p.shape))
        return np.r_[off.ravel(), np.sqrt(2 * self.halves[self.kept]) * x]


# -- against SciPy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "half_squared_error"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", LAYERS)
def test_the_minimum_of_the_penalised_loss(name: str, solver: str, loss: str) -> None:
    """SciPy finds nothing lower from there, by BFGS and by least squares with √l2 W as rows."""
    net, X, y, w = problem(LAYERS[name])
    function = Penalised(net, loss, X, y, w)
    trainer = trainer_of(net, tight(solver), loss)
    history = trainer.fit(X, y, epochs=3000, sample_weight=w)
    assert history.stopped is not None
    x = function.trained(net.get_weights())
    assert np.abs(function.gradient(x)).max() <= 1e-7
    found = minimize(function.value, x, jac=function.gradient, method="BFGS", tol=1e-12)
    assert function.value(x) == pytest.approx(found.fun, rel=1e-12)
    np.testing.assert_allclose(x, found.x, atol=2e-5)
    if loss == "half_squared_error":
        squares = least_squares(function.residuals, x, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        assert function.value(x) == pytest.approx(squares.cost, rel=1e-12)
        np.testing.assert_allclose(x, squares.x, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["last frozen", "no bias", "first frozen", "biases"])
def test_from_the_same_start(name: str, solver: str, dtype: str) -> None:
    """Where SciPy's methods come from the same start to one minimum, so do these."""
    net, X, y, w = problem(LAYERS[name], dtype)
    plain, _, _, _ = problem(LAYERS[name])
    plain.set_weights(net.get_weights())
    function = Penalised(plain, "half_squared_error", X, y, w)
    start = function.trained(plain.get_weights())
    ends = [
        minimize(function.value, start, jac=function.gradient, method=m, tol=1e-13).fun
        for m in ("BFGS", "L-BFGS-B")
    ]
    ends.append(least_squares(function.residuals, start, xtol=1e-12, ftol=1e-12, gtol=1e-12).cost)
    np.testing.assert_allclose(ends, ends[0], rtol=1e-6)
    trainer_of(net, tight(solver), "half_squared_error").fit(X, y, epochs=3000, sample_weight=w)
    x = function.trained([p.astype(np.float64) for p in net.get_weights()])
    tolerance = 1e-9 if dtype == "float64" else 1e-5
    assert function.value(x) == pytest.approx(min(ends), rel=tolerance)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("k", [1, 3])
def test_ridge_regression(k: int, solver: str, weighted: bool) -> None:
    """A linear layer's minimum in closed form: the penalty is not divided by n, nor has a bias one.

    Of "mse" the data's part is the mean over rows and outputs.
    """
    rng = np.random.default_rng(k)
    X, l2 = rng.normal(size=(50, 4)), 0.3
    y = X @ rng.normal(size=(4, k)) + 2 + rng.normal(size=(50, k))
    w = rng.uniform(size=50) if weighted else None
    net = fastbp.Network(4, [Dense(k, l2=l2)], dtype="float64", seed=0)
    trainer_of(net, tight(solver)).fit(X, y, epochs=200, sample_weight=w)
    share = np.ones(50) / 50 if w is None else w / w.sum()
    A = np.c_[X, np.ones(50)]
    # E = Σ share (p - t)² / k + l2/2 ΣW²
    normal = 2 / k * A.T @ (share[:, None] * A) + np.diag([l2] * 4 + [0])
    expected = np.linalg.solve(normal, 2 / k * A.T @ (share[:, None] * y))
    W, b = net.get_weights()
    np.testing.assert_allclose(np.vstack([W, b]), expected, rtol=1e-7)


@pytest.mark.parametrize(("loss", "output"), [
    ("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid"), ("huber", "linear"),
    ("log_cosh", "tanh"), ("poisson", "exp"), ("kl_divergence", "softmax"),
])  # fmt: skip
def test_lbfgs_with_any_loss(loss: str, output: str) -> None:
    """The gradient of the penalised loss is 0 at the end; of what is frozen nothing has changed."""
    case = draw("tanh", output, loss, 3, True, True)
    layers = [Dense(u, a, l2=0.05, trainable=i != 0) for i, (u, a, _) in enumerate(case.layers)]
    net = fastbp.Network(3, layers, dtype="float64", seed=0)
    net.set_weights(case.weights)
    trainer = trainer_of(net, tight("lbfgs"), loss)
    history = trainer.fit(case.X, case.y, epochs=2000, sample_weight=case.sample_weight)
    assert history.stopped is not None
    function = Penalised(net, loss, case.X, case.y, case.sample_weight)
    x = function.trained(net.get_weights())
    assert np.abs(function.gradient(x)).max() <= 1e-7
    found = minimize(function.value, x, jac=function.gradient, method="L-BFGS-B", tol=1e-14)
    assert function.value(x) == pytest.approx(found.fun, rel=1e-11)
    for now, before in zip(net.get_weights()[:2], case.weights[:2], strict=True):
        np.testing.assert_array_equal(now, before)


# -- against plain twins ---------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "half_squared_error"])
@pytest.mark.parametrize("name", LAYERS)
def test_levenberg_marquardt_steps(name: str, loss: str) -> None:
    """Iterations, their damping and the losses that they report, one by one."""
    net, X, y, w = problem(LAYERS[name])
    settings = {"increase": 3.0, "decrease": 5.0}
    trainer = trainer_of(net, fastbp.LevenbergMarquardt(1e-2, **settings), loss)
    weights, damping = net.get_weights(), 1e-2
    for _ in range(6):
        start = naive.objective(weights, net.layers, loss, X, y, w)
        reported = naive.error(weights, net.layers, loss, X, y, w)  # the data's alone
        assert trainer.step(X, y, w) == pytest.approx(reported, rel=1e-9)
        weights, damping = naive.levenberg_marquardt(
            weights, net.layers, loss, X, y, w, damping=damping, **settings
        )
        assert trainer._session.solver._damping == pytest.approx(damping, rel=1e-5)
        assert naive.relative_error(naive.flat(net.get_weights()), naive.flat(weights)) <= 1e-7
        if start - naive.objective(weights, net.layers, loss, X, y, w) < 1e-7:  # rounding decides
            break


@pytest.mark.parametrize("name", LAYERS)
def test_normal_equations_of_what_is_trained(name: str) -> None:
    """J'J has no rows of frozen parameters, and deltas stop at the lowest layer that is trained."""
    net, X, y, w = problem(LAYERS[name])
    trainer = trainer_of(net, "levenberg_marquardt")
    driver = trainer._session.solver
    driver.set_samples(trainer._samples(X, y, w))
    driver.begin()
    for name in ("_jacobian", "_products", "_factored"):
        getattr(driver, name)[:] = np.nan
    driver._build(0.25)
    weights = net.get_weights()
    kept = naive.trained(weights, net.layers)
    assert driver.n == int(driver._own[jacobian.P]) == kept.sum()
    ld = int(driver._own[jacobian.LD])
    found = driver._jacobian[: y.size * ld].reshape(y.size, ld)[:, : driver.n]
    expected = naive.jacobian(weights, net.layers, X)[:, :, kept]
    root = np.sqrt(w)[:, None, None]
    assert naive.relative_error(found, (root * expected).reshape(y.size, -1)) <= 1e-12
    g = naive.normal_equations(weights, net.layers, X, y, w)[1]
    g = (g + naive.half_l2(weights, net.layers) * naive.flat(weights) / 0.25)[kept]
    assert naive.relative_error(driver._gradient[1:], g) <= 1e-12
    first = next(i for i, at in enumerate(net.layers) if at.trainable)
    assert driver._builder.header["lowest_layer"] == first


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_by_differences(name: str, solver: str) -> None:
    """What a solver takes for slopes are those of the very values that it compares."""
    net, X, y, w = problem(LAYERS[name])
    trainer = trainer_of(net, solver)
    driver = trainer._session.solver
    driver.set_samples(trainer._samples(X, y, w))
    driver.begin()
    rng = np.random.default_rng(1)
    d = rng.normal(size=driver.n)
    program = driver._program if solver == "lbfgs" else driver._forward

    def value(step: float) -> float:
        driver.direction[1 : 1 + driver.n] = d
        driver.move(step)
        return float(driver.penalised(driver.evaluate(program)))

    slope = (value(1e-5) - value(0.0)) / 1e-5  # which a step of 0 on either side brackets
    back = value(0.0)
    driver.direction[1 : 1 + driver.n] = -d
    driver.move(1e-5)
    slope = 0.5 * slope + 0.5 * (back - driver.penalised(driver.evaluate(program))) / 1e-5
    if solver == "lbfgs":
        driver.direction[1 : 1 + driver.n] = d
        assert driver._try(0.0, ()).slope == pytest.approx(slope, rel=1e-6, abs=1e-9)
    else:
        driver.rest()
        unit = driver._factor / len(X)
        driver._build(unit)
        assert 2 * unit * driver._gradient[1:] @ d == pytest.approx(slope, rel=1e-6, abs=1e-9)


# -- what is left alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("trainable", [False, "weights", "biases"])
def test_what_is_frozen_keeps_its_bits(solver: str, dtype: str, trainable: Any) -> None:
    """Zeros of either sign, and numbers below the normal ones, included."""
    layers = [Dense(7, "tanh", trainable=trainable, l2=0.1), Dense(19, "relu", l2=0.01), Dense(1)]
    net, X, y, _ = problem(layers, dtype)
    weights = net.get_weights()
    weights[0][0, :3] = [-0.0, 0.0, np.finfo(dtype).smallest_subnormal]
    weights[1][:2] = [-0.0, 0.1]
    net.set_weights(weights)
    trainer = trainer_of(net, solver)
    trainer.fit(X, y, epochs=4)
    trainer.step(X, y)
    now = net.get_weights()
    frozen = {False: (0, 1), "weights": (1,), "biases": (0,)}[trainable]
    for i in range(len(now)):
        same = now[i].tobytes() == weights[i].tobytes()
        assert same == (i in frozen), i
    # As layers below are not to be gone through, the network's transposes are to be whole.
    other = fastbp.Network(2, layers, dtype=dtype, seed=5)
    other.set_weights(now)
    np.testing.assert_array_equal(net._parameters.buffer, other._parameters.buffer)


def test_less_is_kept_for_less() -> None:
    """Pairs and matrices are of what is trained."""
    frozen = [Dense(100, "tanh", trainable=False), Dense(1)]
    for solver in SOLVERS:
        few, many = (
            trainer_of(fastbp.Network(10, layers, seed=0), solver)._session.solver
            for layers in (frozen, [Dense(100, "tanh"), Dense(1)])
        )
        assert few.n == 101
        assert many.n == 1201
        assert few.nbytes < 0.3 * many.nbytes


@pytest.mark.parametrize("solver", SOLVERS)
def test_losses_are_of_the_data_alone(solver: str) -> None:
    """History, step and evaluate say one figure, validation too; the solver's own may be higher."""
    net, X, y, _ = problem([Dense(3, "tanh", l2=0.5), Dense(1, l2=0.5)])
    trainer = trainer_of(net, solver)
    before = trainer.evaluate(X, y)["loss"]
    history = trainer.fit(X, y, epochs=5, validation_data=(X, y))
    assert history.loss[0] == pytest.approx(before, rel=1e-12)
    np.testing.assert_allclose(history.val_loss[:-1], history.loss[1:], rtol=1e-12)
    assert history.loss[-1] > history.loss[0] * 0.2  # what so strong a penalty leaves
    assert trainer.step(X, y) == pytest.approx(history.val_loss[-1], rel=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_loss_that_rises_while_the_penalised_one_falls(solver: str) -> None:
    """From a fit without penalty, one with it goes on to its own minimum."""
    net, X, y, _ = problem([Dense(3, "tanh"), Dense(1)])
    trainer_of(net, solver).fit(X, y, epochs=300)
    strong = fastbp.Network(2, [Dense(3, "tanh", l2=0.1), Dense(1, l2=0.1)], dtype="float64")
    strong.set_weights(net.get_weights())
    history = trainer_of(strong, solver).fit(X, y, epochs=50)
    assert history.loss[-1] > history.loss[0]
    assert np.abs(strong.get_weights()[0]).sum() < np.abs(net.get_weights()[0]).sum()


@pytest.mark.parametrize("solver", SOLVERS)
def test_stops_by_the_penalised_loss(solver: str) -> None:
    net, X, y, _ = problem(LAYERS["l2"])
    kind: Any = {"lbfgs": fastbp.LBFGS, "levenberg_marquardt": fastbp.LevenbergMarquardt}[solver]
    optimizer = kind(tolerance_gradient=1e-4, tolerance_change=0.0)
    trainer = trainer_of(net, optimizer)
    history = trainer.fit(X, y, epochs=500)
    assert "no component of the gradient is above 0.0001" in str(history.stopped)
    assert max(np.abs(g).max() for g in trainer.gradients(X, y)[1]) <= 1e-4


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_penalty_beyond_all_numbers_is_named(solver: str) -> None:
    """The error of the data is finite: it isn't what has become infinite."""
    net = fastbp.Network(2, [Dense(1, l2=1e308)], dtype="float64", seed=0)
    net.set_weights([np.full((2, 1), 10.0), np.zeros(1)])
    with pytest.raises(fastbp.DivergenceError, match="the loss became inf in epoch 0"):
        trainer_of(net, solver).fit(np.eye(2), [1.0, 2.0])


# -- as ever ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_bits_at_any_number_of_threads(
    solver: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(3000, 5)), rng.normal(size=(3000, 2)), rng.uniform(size=3000)
    found = set()
    for threads in (1, 2, 5):
        layers = [
            Dense(19, "tanh", trainable=False), Dense(7, "tanh", l2=0.01), Dense(2, l2=0.02),
        ]  # fmt: skip
        net = fastbp.Network(5, layers, dtype=dtype, seed=1)
        trainer = trainer_of(net, solver, n_threads=threads)
        history = trainer.fit(X, y, epochs=5, sample_weight=w)
        found.add((bits(net), tuple(history.loss)))
    assert len(found) == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_resumed_run_is_an_uninterrupted_one(solver: str, tmp_path: Any) -> None:
    def start() -> tuple[Any, Any, Any]:
        net, X, y, _ = problem(LAYERS["middle frozen"])
        return trainer_of(net, solver, seed=0), X, y

    whole, X, y = start()
    expected = whole.fit(X, y, epochs=9)
    part, X, y = start()
    part.fit(X, y, epochs=4)
    part.save(tmp_path / "checkpoint.safetensors")
    loaded = fastbp.Trainer.load(tmp_path / "checkpoint.safetensors")
    rest = loaded.fit(X, y, epochs=5)
    assert rest.loss == expected.loss[4:]
    assert bits(loaded.network) == bits(whole.network)
    again, X, y = start()
    again.fit(X, y, epochs=4, callbacks=[fastbp.Checkpoint(tmp_path / "folder")])
    other, X, y = start()
    history = other.fit(X, y, epochs=9, resume=tmp_path / "folder")
    assert history.loss == expected.loss
    assert bits(other.network) == bits(whole.network)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("solver", SOLVERS)
def test_on_few_noisy_rows_it_is_as_good_as_adam(solver: str, seed: int) -> None:
    """30 rows: with l2 the error on others is Adam's with the same l2, or less; without, it isn't.

    So a solver, which goes to the minimum, isn't by that the one that learns noise by heart.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1030, 3))
    clean = np.sin(2 * X[:, 0])
    y = clean + 0.4 * rng.normal(size=1030)
    train, test = slice(30), slice(30, None)

    def error(optimizer: Any, epochs: int, l2: float, batch_size: int | None = None) -> float:
        net = fastbp.Network(
            3, [Dense(16, "tanh", l2=l2), Dense(1, l2=l2)], dtype="float64", seed=seed
        )
        trainer = fastbp.Trainer(net, "mse", optimizer, batch_size=batch_size, seed=seed)
        trainer.fit(X[train], y[train], epochs=epochs)
        return float(np.mean((net.predict(X[test])[:, 0] - clean[test]) ** 2))

    adam = error(fastbp.Adam(0.01), 2000, 0.01, 10)
    assert error(solver, 500, 0.01) <= 1.05 * adam
    assert error(solver, 500, 0.0) > 1.5 * error(solver, 500, 0.01)


# -- what is refused -------------------------------------------------------------------------------

WRONG: list[tuple[Callable[[str], Any], str]] = [
    (lambda s: one(s, Dense(3, l1=0.1)), r"l1 of layers\[0\] doesn't go with .*smooth.*, got 0.1"),
    (lambda s: one(s, Dense(3, max_norm=2)), r"max_norm of layers\[0\] .*bounds.*got 2.0"),
    (lambda s: one(s, Dense(3, dropout=0.5)), r"dropout of layers\[0\] .*same network.*got 0.5"),
    (
        lambda s: one(s, Dense(3, dropout=0.5, trainable=False)),
        r"dropout of layers\[0\] .*same network.*got 0.5",
    ),
    (lambda s: one(s, Dense(3), clip_norm=1.0), r"clip_norm doesn't go with .*steps.*got 1.0"),
    (lambda s: one(s, Dense(3), clip_value=1.0), r"clip_value doesn't go with .*steps.*got 1.0"),
    (lambda s: one(s, Dense(3), accumulate=2), r"accumulate doesn't go with .*at once, got 2"),
]


def one(solver: str, layer: Dense, **settings: Any) -> fastbp.Trainer:
    return trainer_of(fastbp.Network(2, [layer, Dense(1)], seed=0), solver, **settings)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("case", range(len(WRONG)))
def test_refused(case: int, solver: str) -> None:
    make, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        make(solver)


@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_asked_of_frozen_weights_is_refused(solver: str) -> None:
    for trainable in (False, "biases"):
        one(solver, Dense(3, l1=0.1, l2=0.1, max_norm=2.0, trainable=trainable))
    net = fastbp.Network(2, [Dense(1, trainable=False)], seed=0)
    with pytest.raises(ValueError, match="no layer that is trainable"):
        trainer_of(net, solver)
