"""L-BFGS and Levenberg-Marquardt: against PyTorch's, SciPy's and plain twins; starts and ends.

The figures are those libraries' own, written by ``scripts/golden/trajectories.py --solvers``.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import naive
import numpy as np
import paths
import pytest
from cases import SOLVERS, bits, grid, trainer_of
from problems import draw

import fastbp
from fastbp.runtime import team
from fastbp.training.solvers.line_search import Trial, strong_wolfe

with np.load(paths.GOLDEN / "solvers.npz") as archive:
    GOLDEN = {key: archive[key] for key in archive.files}
META: dict[str, Any] = json.loads(str(GOLDEN["meta"]))


def arrays(prefix: str) -> list[Any]:
    """[p0, p1, …] under a prefix of the file."""
    count = sum(key.startswith(f"{prefix}/p") for key in GOLDEN)
    return [GOLDEN[f"{prefix}/p{i}"] for i in range(count)]


# -- against others --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", META["networks"])
def test_lbfgs_follows_pytorch(name: str, dtype: str) -> None:
    """The same points after the same evaluations; in float32 for 5 iterations."""
    plan = META["networks"][name]
    layers = [fastbp.Dense(units, kind, bias=bias) for units, kind, bias in plan["layers"]]
    X, y, w = (GOLDEN.get(f"{name}/{key}") for key in "Xyw")
    optimizer = fastbp.LBFGS(history=META["history"], tolerance_gradient=0, tolerance_change=0)
    for iterations in META["iterations"]:
        if dtype == "float32" and iterations > 5:
            continue
        net = fastbp.Network(plan["n_inputs"], layers, dtype=dtype, seed=0)
        net.set_weights(arrays(name))
        trainer = trainer_of(net, optimizer, plan["loss"])
        trainer.fit(X, y, epochs=iterations, sample_weight=w)
        for found, expected in zip(net.get_weights(), arrays(f"{name}/{iterations}"), strict=True):
            tolerance = 1e-10 if dtype == "float64" else 1e-4
            assert naive.relative_error(found, expected) <= tolerance
        loss = float(GOLDEN[f"{name}/{iterations}/loss"])
        assert trainer.evaluate(X, y, w)["loss"] == pytest.approx(loss, rel=1e-5)
        assert trainer._session.solver.evaluations == int(
            GOLDEN[f"{name}/{iterations}/evaluations"]
        )


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_minimum_that_scipy_finds(solver: str) -> None:
    layers = [fastbp.Dense(3, "tanh"), fastbp.Dense(1)]
    net = fastbp.Network(2, layers, dtype="float64", seed=0)
    net.set_weights(arrays("lm"))
    X, y, w = (GOLDEN[f"lm/{key}"] for key in "Xyw")
    optimizer = {
        "lbfgs": fastbp.LBFGS(tolerance_gradient=0, tolerance_change=0),
        "levenberg_marquardt": fastbp.LevenbergMarquardt(tolerance_gradient=0, tolerance_change=0),
    }[solver]
    trainer = trainer_of(net, optimizer)
    history = trainer.fit(X, y, epochs=2000, sample_weight=w)
    assert history.stopped is not None
    assert trainer.evaluate(X, y, w)["loss"] == pytest.approx(float(GOLDEN["lm/loss"]), rel=1e-9)
    for found, expected in zip(net.get_weights(), arrays("lm/end"), strict=True):
        assert naive.relative_error(found, expected) <= 1e-5


@pytest.mark.parametrize("loss", ["mse", "half_squared_error"])
@pytest.mark.parametrize(("output", "bias", "k", "weighted"), [
    ("linear", True, 1, False), ("softmax", "shared", 3, True), ("tanh", False, 2, True),
    ("sigmoid", "shared", 1, False),
])  # fmt: skip
def test_levenberg_marquardt_steps(
    output: str, bias: bool | str, k: int, weighted: bool, loss: str
) -> None:
    """Ten iterations, of which some meet a loss that doesn't fall, equal the plain twin's."""
    problem = draw("tanh", output, loss, k, bias, weighted)
    layers, X, y, w = problem.layers, problem.X, problem.y, problem.sample_weight
    dense = [fastbp.Dense(u, a, bias=b) for u, a, b in layers]
    net = fastbp.Network(3, dense, dtype="float64", seed=0)
    net.set_weights(problem.weights)
    settings = {"damping": 1e-2, "increase": 3.0, "decrease": 5.0}
    trainer = trainer_of(net, fastbp.LevenbergMarquardt(**settings), loss)
    weights, damping = problem.weights, settings.pop("damping")
    for _ in range(10):
        expected = naive.error(weights, layers, loss, X, y, w)
        if expected < 1e-9:  # rounding decides
            break
        assert trainer.step(X, y, w) == pytest.approx(expected, rel=1e-9)
        weights, damping = naive.levenberg_marquardt(
            weights, layers, loss, X, y, w, damping=damping, **settings
        )
        assert trainer._session.solver._damping == pytest.approx(damping, rel=1e-6)
        assert naive.relative_error(naive.flat(net.get_weights()), naive.flat(weights)) <= 1e-8


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_levenberg_marquardt_on_the_grid(dtype: str) -> None:
    losses = []
    for seed in range(3):
        net, X, y = grid(dtype, seed)
        trainer = trainer_of(net, "levenberg_marquardt")
        trainer.fit(X, y, epochs=300)
        losses.append(trainer.evaluate(X, y)["loss"])
    assert np.median(losses) < (1e-4 if dtype == "float64" else 1e-3)


# -- how they run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_bits_at_any_number_of_threads(
    solver: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(3000, 5)), rng.normal(size=(3000, 2)), rng.uniform(size=3000)
    found = set()
    for threads in (1, 2, 3, 7):
        layers = [fastbp.Dense(19, "tanh"), fastbp.Dense(7, "relu"), fastbp.Dense(2)]
        net = fastbp.Network(5, layers, dtype=dtype, seed=1)
        trainer = trainer_of(net, solver, n_threads=threads)
        history = trainer.fit(X, y, epochs=5, sample_weight=w)
        found.add((bits(net), tuple(history.loss)))
    assert len(found) == 1
    assert history.loss[-1] < history.loss[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_calls_go_on_where_the_last_one_was(solver: str) -> None:
    """Pairs and damping are kept: 12 iterations are 5 and 4 and 3 single steps."""
    net, X, y = grid()
    whole = trainer_of(net, solver).fit(X, y, epochs=12)
    expected = bits(net)
    net, X, y = grid()
    trainer = trainer_of(net, solver)
    losses = trainer.fit(X, y, epochs=5).loss
    history = trainer.fit(X, y, epochs=4)
    losses = [*losses, *history.loss, *(trainer.step(X, y) for _ in range(3))]
    assert history.epoch == [5, 6, 7, 8]
    assert bits(net) == expected
    assert losses == whole.loss
    other, X, y = grid()
    trainer = trainer_of(other, solver)
    for _ in range(12):
        trainer.fit(X, y)
        trainer = trainer_of(other, solver)  # which has no such state
    assert bits(other) != expected


@pytest.mark.parametrize("solver", SOLVERS)
def test_history_and_what_others_see(solver: str) -> None:
    """An epoch's loss is that before its iteration; a thread that predicts sees it finished."""
    net, X, y = grid()
    trainer = trainer_of(net, solver)
    seen: list[float] = []

    def look(_: Any) -> None:
        thread = threading.Thread(
            target=lambda: seen.append(float(np.mean((net.predict(X)[:, 0] - y) ** 2)))
        )
        thread.start()
        thread.join()

    first = trainer.evaluate(X, y)["loss"]
    history = trainer.fit(X, y, epochs=6, validation_data=(X, y), progress=look)
    assert history.loss[0] == first
    np.testing.assert_allclose(history.val_loss[:-1], history.loss[1:], rtol=1e-12)
    np.testing.assert_allclose(seen, history.val_loss, rtol=1e-12)
    assert history.stopped is None
    assert len(history.samples_per_second) == 6
    assert trainer.nbytes > 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_other_data_and_other_weights_between_calls(solver: str) -> None:
    net, X, y = grid()
    trainer = trainer_of(net, solver)
    trainer.fit(X, y, epochs=5)
    before = trainer.evaluate(X[:100], -y[:100])["loss"]
    assert trainer.fit(X[:100], -y[:100], epochs=3).loss[0] == pytest.approx(before, rel=1e-12)
    net.set_weights([0.5 * w for w in net.get_weights()])
    before = trainer.evaluate(X, y)["loss"]
    assert trainer.step(X, y) == pytest.approx(before, rel=1e-12)
    assert trainer.evaluate(X, y)["loss"] < before


def test_learning_rate() -> None:
    """L-BFGS's first trial step; Levenberg-Marquardt has none."""
    net, X, y = grid()
    one = trainer_of(net, fastbp.LBFGS(0.01))
    assert one.learning_rate == 0.01
    one.step(X, y)
    small = bits(net)
    net, X, y = grid()
    other = trainer_of(net, "lbfgs")
    other.learning_rate = 0.01
    other.step(X, y)
    assert bits(net) == small
    other.learning_rate = 0.0
    assert other.fit(X, y, epochs=3).stopped == "learning_rate is 0"
    assert bits(net) == small
    damped = trainer_of(net, "levenberg_marquardt")
    assert damped.learning_rate == 1.0
    with pytest.raises(ValueError, match=r"learning_rate can't be set: .* damping"):
        damped.learning_rate = 0.5


# -- how they end ----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [fastbp.LBFGS, fastbp.LevenbergMarquardt])
def test_ends(solver: Any) -> None:
    """At a small gradient, a small change, or where rounding leaves no lower loss."""
    X = np.linspace(-1, 1, 20)
    y = 3 * X + 1 + 0.1 * np.cos(9 * X)

    def fit(dtype: str = "float64", **settings: float) -> tuple[fastbp.History, Any, Any]:
        net = fastbp.Network(1, [fastbp.Dense(1)], dtype=dtype, seed=0)
        trainer = trainer_of(net, solver(**settings))
        return trainer.fit(X, y, epochs=500), trainer, net

    history, trainer, net = fit(tolerance_gradient=1e-3, tolerance_change=0.0)
    assert "gradient is above 0.001" in str(history.stopped)
    assert max(np.abs(g).max() for g in trainer.gradients(X, y)[1]) <= 1e-3
    kept = bits(net)
    assert trainer.fit(X, y, epochs=5).loss == []
    assert trainer.step(X, y) == trainer.evaluate(X, y)["loss"]
    assert bits(net) == kept

    history, trainer, _ = fit(tolerance_gradient=0.0, tolerance_change=0.5)
    assert "less than 0.5 of itself" in str(history.stopped)
    losses = [*history.loss, trainer.evaluate(X, y)["loss"]]
    *falls, last = [1 - after / before for before, after in pairwise(losses)]
    assert all(fall > 0.5 for fall in falls)
    assert 0 < last <= 0.5

    for dtype in ("float32", "float64"):
        history, trainer, _ = fit(dtype, tolerance_gradient=0.0, tolerance_change=0.0)
        assert history.stopped
        assert len(history.loss) < 500
        best = np.mean((np.polyval(np.polyfit(X, y, 1), X) - y) ** 2)
        assert trainer.evaluate(X, y)["loss"] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_perfect_start(solver: str) -> None:
    net = fastbp.Network(2, [fastbp.Dense(1)], dtype="float64", seed=0)
    net.set_weights([[[1.0], [2.0]], [0.5]])
    X = np.random.default_rng(0).normal(size=(9, 2))
    history = trainer_of(net, solver).fit(X, net.predict(X), epochs=3)
    assert history.loss == []
    assert "gradient" in str(history.stopped)


@pytest.mark.parametrize("solver", SOLVERS)
def test_dead_units(solver: str) -> None:
    """A Jacobian with columns of zeros."""
    net = fastbp.Network(3, [fastbp.Dense(6, "relu"), fastbp.Dense(1)], dtype="float64", seed=0)
    weights = net.get_weights()
    weights[1] = np.array([-100.0, 0, 0, -100, 0, 0])
    net.set_weights(weights)
    rng = np.random.default_rng(0)
    history = trainer_of(net, solver).fit(rng.normal(size=(50, 3)), rng.normal(size=50), epochs=20)
    assert history.loss[-1] < 0.9 * history.loss[0]


@pytest.mark.parametrize("on_divergence", ["raise", "stop"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_to_begin_with(solver: str, on_divergence: str) -> None:
    """A loss that is not finite at the start."""
    net = fastbp.Network(1, [fastbp.Dense(2, "exp"), fastbp.Dense(1)], dtype="float64", seed=0)
    net.set_weights([np.full((1, 2), 1e3), np.zeros(2), np.ones((2, 1)), np.zeros(1)])
    kept, X = bits(net), np.arange(5.0)
    trainer = trainer_of(net, solver, on_divergence=on_divergence)
    if on_divergence == "stop":
        assert trainer.fit(X, X, epochs=2).loss == []
    else:
        with pytest.raises(fastbp.DivergenceError, match="inf in epoch 0") as caught:
            trainer.fit(X, X, epochs=2)
        assert caught.value.history is not None
    assert bits(net) == kept


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "optimizer", [fastbp.LBFGS(learning_rate=1e6), fastbp.LevenbergMarquardt(damping=1e-12)]
)
def test_steps_into_overflow(optimizer: Any, dtype: str) -> None:
    """The first trial's loss is not finite; shorter steps are tried."""
    net = fastbp.Network(1, [fastbp.Dense(3, "exp"), fastbp.Dense(1)], dtype=dtype, seed=0)
    net.set_weights([np.full((1, 3), 0.1), np.zeros(3), np.full((3, 1), 1e-4), np.zeros(1)])
    X = np.linspace(-30, 30, 40)
    trainer = trainer_of(net, optimizer)
    driver, tried = trainer._session.solver, []
    evaluate = driver.evaluate
    driver.evaluate = lambda program: tried.append(evaluate(program)) or tried[-1]
    history = trainer.fit(X, np.tanh(X), epochs=10)
    assert not all(math.isfinite(loss) for loss in tried)
    assert len(history.loss) == 10
    assert all(b < a for a, b in pairwise(history.loss))
    assert np.isfinite(naive.flat(net.get_weights())).all()


def test_a_bad_memory_map(tmp_path: Path) -> None:
    """Found as it is read; the network is as the last finished iteration left it."""
    X = np.random.default_rng(0).normal(size=(500, 2))
    X[400, 1] = np.nan
    np.save(tmp_path / "X.npy", X)
    for solver in SOLVERS:
        net, *_ = grid()
        kept = bits(net)
        with pytest.raises(ValueError, match="X holds a value that is not finite"):
            trainer_of(net, solver).fit(np.load(tmp_path / "X.npy", mmap_mode="r"), X[:, 0] * 0)
        assert bits(net) == kept


# -- what is refused -------------------------------------------------------------------------------

WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: fastbp.LBFGS(0.0), ValueError, r"learning_rate must be in \(0"),
    (lambda: fastbp.LBFGS(history=0), ValueError, "history must be an int in"),
    (lambda: fastbp.LBFGS(history=2.0), TypeError, "history"),  # type: ignore[arg-type]
    (lambda: fastbp.LBFGS(tolerance_gradient=-1.0), ValueError, "tolerance_gradient"),
    (lambda: fastbp.LBFGS(tolerance_change=math.nan), ValueError, "tolerance_change"),
    (lambda: fastbp.LBFGS(max_line_search=0), ValueError, "max_line_search"),
    (lambda: fastbp.LevenbergMarquardt(0.0), ValueError, r"damping must be in \(0"),
    (lambda: fastbp.LevenbergMarquardt(increase=1.0), ValueError, "increase"),
    (lambda: fastbp.LevenbergMarquardt(decrease=1.0), ValueError, "decrease"),
    (lambda: fastbp.LevenbergMarquardt(memory_limit=0), ValueError, "memory_limit"),
    (lambda: fastbp.LevenbergMarquardt(tolerance_gradient=-1), ValueError, "tolerance_gradient"),
    (lambda: fastbp.LevenbergMarquardt(tolerance_change=-1), ValueError, "tolerance_change"),
    (lambda: fastbp.Trainer(grid()[0], "mse", "lbfgs", batch_size=32), ValueError,
     "batch_size must be 'auto' or None .*for LBFGS, got 32"),
    (lambda: trainer_of(grid()[0], "levenberg_marquardt", "huber"), ValueError, "loss 'mse' or"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_refused(case: int) -> None:
    make, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        make()


def test_memory_limit() -> None:
    """Refused with both figures, and the figure needed is enough; nothing of it is allocated."""
    net = fastbp.Network(40, [fastbp.Dense(20, "tanh"), fastbp.Dense(2)], seed=0)
    with pytest.raises(
        ValueError, match=r"needs [\d,]+ bytes .* 862 parameters.* 100,000"
    ) as error:
        trainer_of(net, fastbp.LevenbergMarquardt(memory_limit=100_000))
    needed = int(str(error.value).split()[2].replace(",", ""))
    trainer = trainer_of(net, fastbp.LevenbergMarquardt(memory_limit=needed))
    assert 8 * net.n_parameters**2 < needed < trainer.nbytes
    with pytest.raises(ValueError, match="memory_limit"):
        trainer_of(net, fastbp.LevenbergMarquardt(memory_limit=needed - 1))
    wide = fastbp.Network(3000, [fastbp.Dense(3000), fastbp.Dense(1)], seed=0)
    with pytest.raises(ValueError, match="memory_limit is 1,073,741,824"):
        trainer_of(wide, "levenberg_marquardt")


# -- the line search -------------------------------------------------------------------------------


def search(
    f: Callable[[float], float], slope: Callable[[float], float], first: float, most: int = 25
) -> tuple[Trial, Trial, int]:
    """The start, the step found, and evaluations; checks that kept gradients are left alone."""
    none, count = np.zeros(1), 0

    def evaluate(step: float, kept: tuple[Trial, ...]) -> Trial:
        nonlocal count
        count += 1
        value = f(step)
        finite = math.isfinite(value)
        return Trial(step, value if finite else math.inf, slope(step) if finite else math.nan, none)

    start = Trial(0.0, f(0.0), slope(0.0), none)
    return start, strong_wolfe(evaluate, start, first, most), count


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 7.0, 1e4])
@pytest.mark.parametrize("seed", range(12))
def test_strong_wolfe(seed: int, first: float) -> None:
    """Both conditions, on quartics with up to two valleys and a wall of infinity beyond."""
    rng = np.random.default_rng(seed)
    polynomial = np.poly1d([rng.uniform(0.01, 1), *rng.normal(size=2), rng.normal(), 0])
    if polynomial.deriv()(0) > 0:
        polynomial = np.poly1d(polynomial.coeffs * [1, -1, 1, -1, 1])
    wall = math.inf if seed % 2 else 50.0
    slope = polynomial.deriv()

    def f(t: float) -> float:
        return math.inf if t > wall else float(polynomial(t))

    start, found, count = search(f, lambda t: float(slope(t)), first)
    assert found.loss <= start.loss + 1e-4 * found.step * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
    assert 1 <= count <= 25


def test_a_line_search_that_finds_nothing() -> None:
    """A slope that lies: the start is given back, after as many evaluations as are allowed."""
    start, found, count = search(lambda t: t, lambda t: -1.0, 1.0, most=9)
    assert found == start
    assert count == 9
    _, found, count = search(lambda t: -t, lambda t: -1.0, 1.0, most=4)
    assert (found.step > 1, count) == (True, 4)
