"""The solvers' kernels against their plain twins: Jacobian, normal equations, directions."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from problems import draw

import fastbp
from fastbp.kernels.compiling.target import TILE_VECTORS, lanes
from fastbp.kernels.solvers import jacobian
from fastbp.runtime import team

CASES = [
    (hidden, output, bias, k, weighted)
    for i, hidden in enumerate(naive.ACTIVATIONS)
    for j, bias in enumerate((True, "shared", False))
    for output, k, weighted in [
        ("linear", 1 + (i + j) % 3, False),
        (list(naive.ACTIVATIONS)[(i + 5 * j) % len(naive.ACTIVATIONS)], 1 + (i + j + 1) % 3, True),
    ]
]


def solver(net: fastbp.Network, kind: Any = "levenberg_marquardt", **arguments: Any) -> Any:
    loss = arguments.pop("loss", "mse")
    return fastbp.Trainer(net, loss, kind, batch_size=None, seed=0, **arguments)


def begin(trainer: Any, X: Any, y: Any, w: Any = None) -> Any:
    """The driver, set on these samples and at the network's point."""
    driver = trainer._session.solver
    driver.set_samples(trainer._samples(X, y, w))
    driver.begin()
    driver.direction[:] = 0
    driver.move(0.0)
    return driver


def square(driver: Any, buffer: Any) -> Any:
    """The tiles on and above the diagonal as the upper half of a matrix, without padding."""
    strips, w = (int(driver._own[at]) for at in (jacobian.STRIPS, jacobian.WIDTH))
    tiles = buffer.reshape(-1, w, w)
    matrix = np.zeros((strips * w, strips * w))
    for j in range(strips):
        for i in range(j + 1):
            tile = tiles[j * (j + 1) // 2 + i]
            matrix[i * w : (i + 1) * w, j * w : (j + 1) * w] = tile
    size = driver.n + 1
    return np.triu(matrix[:size, :size])


def network(layers: list[naive.Layer], weights: list[Any], n_inputs: int, dtype: str) -> Any:
    dense = [fastbp.Dense(u, a, bias=b) for u, a, b in layers]
    net = fastbp.Network(n_inputs, dense, dtype=dtype, seed=0)
    net.set_weights(weights)
    return net


def poison(driver: Any) -> None:
    """NaN wherever a kernel must write before anybody reads."""
    for name in ("_jacobian", "_products", "_factored"):
        getattr(driver, name)[:] = np.nan
    for vector in (driver._gradient, driver.direction):
        vector[1:] = np.nan


@pytest.mark.parametrize(("hidden", "output", "bias", "k", "weighted"), CASES)
def test_jacobian_and_products(
    hidden: str, output: str, bias: bool | str, k: int, weighted: bool
) -> None:
    """Against the twin, and the twin's columns against central differences of the outputs."""
    problem = draw(hidden, output, "mse", k, bias, weighted)
    layers, weights, X, y = problem.layers, problem.weights, problem.X, problem.y
    expected = naive.jacobian(weights, layers, X)

    def outputs(moved: list[Any], at: tuple[int, int]) -> float:
        return float(naive.forward(moved, layers, X)[1][-1][at])

    for at in [(0, 0), (3, k - 1)]:
        differences = naive.central_differences(lambda w, at=at: outputs(w, at), weights)
        found = expected[at]
        scale = max(np.abs(found).max(), 1e-3)
        assert np.abs(found - naive.flat(differences)).max() <= 1e-6 * scale

    driver = begin(solver(network(layers, weights, 3, "float64")), X, y, problem.sample_weight)
    poison(driver)
    driver._build()
    ld = int(driver._own[jacobian.LD])
    rows = driver._jacobian[: len(X) * k * ld].reshape(len(X), k, ld)
    root = np.sqrt(naive.as_weights(problem.sample_weight, len(X)))[:, None]
    scaled = root[:, :, None] * expected
    assert naive.relative_error(rows[:, :, : driver.n], scaled) <= 1e-12
    off = root * (naive.forward(weights, layers, X)[1][-1] - y)
    assert naive.relative_error(rows[:, :, driver.n], off) <= 1e-12
    A, g = naive.normal_equations(weights, layers, X, y, problem.sample_weight)
    matrix = square(driver, driver._products)
    assert naive.relative_error(matrix[:-1, :-1], np.triu(A)) <= 1e-12
    assert naive.relative_error(driver._gradient[1:], g) <= 1e-12
    assert driver._gradient[0] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("units", "k"), [(5, 1), (20, 3), (37, 2), (9, 300)])
def test_many_blocks_and_strips(units: int, k: int, dtype: str) -> None:
    """More samples than a block's, a last one that is ragged, a block of a single sample."""
    rng = np.random.default_rng(units)
    layers = [naive.Layer(units, "tanh"), naive.Layer(k, "softmax" if k == 3 else "linear")]
    n = 7 if k == 300 else 600
    X, y = rng.normal(size=(n, 4)).astype(dtype), rng.normal(size=(n, k)).astype(dtype)
    w = rng.uniform(size=n).astype(dtype)
    net = fastbp.Network(4, [fastbp.Dense(u, a) for u, a, _ in layers], dtype=dtype, seed=1)
    driver = begin(solver(net), X, y, w)
    poison(driver)
    driver._build()
    A, g = naive.normal_equations(
        [p.astype(np.float64) for p in net.get_weights()], layers, X.astype(np.float64), y, w
    )
    tolerance = 1e-12 if dtype == "float64" else 2e-6
    assert naive.relative_error(square(driver, driver._products)[:-1, :-1], np.triu(A)) <= tolerance
    assert naive.relative_error(driver._gradient[1:], g) <= 10 * tolerance


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n_inputs", range(1, 60, 3))
def test_damped_equations(n_inputs: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Factor and solution for numbers of parameters around every multiple of a strip."""
    monkeypatch.setattr(team, "_FLOPS_PER_THREAD", 1e-9)
    rng = np.random.default_rng(n_inputs)
    net = fastbp.Network(n_inputs, [fastbp.Dense(1)], dtype="float64", seed=0)
    X, y = rng.normal(size=(80, n_inputs)), rng.normal(size=80)
    driver = begin(solver(net, n_threads=threads), X, y)
    driver._build()
    driver.direction[1:] = np.nan
    assert driver._solve(0.25)
    A, g = naive.normal_equations(net.get_weights(), [naive.Layer(1)], X, y.reshape(-1, 1))
    damped = A + 0.25 * np.eye(len(g))
    assert naive.relative_error(driver.direction[1:], np.linalg.solve(damped, -g)) <= 1e-11
    factor = square(driver, driver._factored)[:-1, :-1]
    assert naive.relative_error(factor.T @ factor, damped) <= 1e-13
    assert not driver._solve(-1e6), "not positive definite"


def test_a_factor_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupts are heard between calls; where they lie changes nothing."""
    from fastbp.training.solvers import levenberg_marquardt as module

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 40)), rng.normal(size=900)
    found = []
    for most in (2e9, 1.0):
        monkeypatch.setattr(module, "_FLOPS_PER_CALL", most)
        layers = [fastbp.Dense(2, "tanh"), fastbp.Dense(1)]
        net = fastbp.Network(40, layers, dtype="float64", seed=0)
        trainer = solver(net)
        if most == 1.0:
            driver = trainer._session.solver
            assert len(driver._factor_calls) == -(-driver.n // (TILE_VECTORS * lanes(8)))
            assert driver._blocks_per_call == 1
        trainer.fit(X, y, epochs=3)
        found.append(naive.flat(net.get_weights()))
    np.testing.assert_array_equal(found[1], found[0])


@pytest.mark.parametrize("downwards", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_lbfgs_direction(count: int, downwards: bool) -> None:
    """The two-loop recursion against the BFGS matrix, with a ring of 4 pairs."""
    rng = np.random.default_rng(count)
    net = fastbp.Network(5, [fastbp.Dense(3)], dtype="float64", seed=0)
    trainer = solver(net, fastbp.LBFGS(history=4))
    driver = begin(trainer, rng.normal(size=(8, 5)), rng.normal(size=(8, 3)))
    pairs, n = [], driver.n
    for _ in range(count):
        s = rng.normal(size=n)
        y = s * rng.uniform(0.5, 2, size=n)
        pairs.append((s, y))
        x = rng.normal(size=n)
        driver.x[1:], driver._trial[driver._places] = x, x + s
        one, other = (naive_trial(driver, at, g) for at, g in enumerate((x, x + y)))
        driver._remember(one, other)
        pairs[-1] = (driver_vector(driver._s, driver, n), driver_vector(driver._y, driver, n))
        assert naive.relative_error(pairs[-1][0], s) <= 1e-13
        assert naive.relative_error(pairs[-1][1], y) <= 1e-13
    if downwards:  # a pair that is not kept, written where the oldest of a full ring was
        driver._trial[driver._places] = driver.x[1:] + 1
        driver._remember(*(naive_trial(driver, at, np.full(n, 1.0 - at)) for at in range(2)))
    assert driver._count == min(count, 3 if downwards else 4)
    kept = pairs[len(pairs) - driver._count :]
    g = driver.vector()
    g[1:] = rng.normal(size=n)
    driver.direction[1:] = np.nan
    driver.point_along(g)
    expected = naive.lbfgs_direction(g[1:], kept)
    assert naive.relative_error(driver.direction[1:], expected) <= 1e-11
    assert driver.direction[0] == 0


def naive_trial(driver: Any, at: int, gradient: Any) -> Any:
    from fastbp.training.solvers.line_search import Trial

    driver._gradients[at][1:] = gradient
    return Trial(0.0, 1.0, -1.0, driver._gradients[at])


def driver_vector(ring: Any, driver: Any, n: int) -> Any:
    """The newest of a ring's vectors."""
    start = driver._newest * (1 + n)
    assert ring[start] == 0
    return ring[start + 1 : start + 1 + n].copy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_points(dtype: str) -> None:
    """A vector makes the very buffer that `set_weights` makes, padding and transposes included."""
    rng = np.random.default_rng(0)
    layers = [
        fastbp.Dense(9, "tanh", bias="shared"),
        fastbp.Dense(33, "relu", bias=False),
        fastbp.Dense(2),
    ]
    net = fastbp.Network(70, layers, dtype=dtype, seed=0)
    driver = begin(solver(net), rng.normal(size=(4, 70)), rng.normal(size=(4, 2)))
    assert driver.x[0] == 0
    np.testing.assert_array_equal(driver.x[1:], naive.flat(net.get_weights()))
    np.testing.assert_array_equal(driver._trial, net._parameters.buffer)
    d = rng.normal(size=driver.n)
    driver.direction[1:] = d
    driver._trial[:] = np.nan
    driver.move(0.5)
    net.set_weights(naive.shaped(driver.x[1:] + 0.5 * d, net.get_weights()))
    np.testing.assert_array_equal(driver._trial, net._parameters.buffer)
    g = driver.vector()
    g[1:] = d
    found = driver.assess(g, driver.x)
    expected = (float(d @ driver.x[1:]), float(np.abs(d).max()), float(np.abs(d).sum()))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    g[3] = np.nan
    assert np.isnan(driver.assess(g, driver.x)[2])
