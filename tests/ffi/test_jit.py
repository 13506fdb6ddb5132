"""Prediction and training from a person's own compiled code."""

from __future__ import annotations

import gc
import inspect
import pickle
from typing import Any

import numba
import numpy as np
import pytest
from naive import central_differences

import fastbp
import fastbp.jit
from fastbp.kernels.ffi import embedded as e


@numba.njit(nogil=True)
def one(state, x, out):
    return fastbp.jit.predict_one(state, x, out)


@numba.njit(nogil=True)
def batch(state, X, out):
    return fastbp.jit.predict_batch(state, X, out)


@numba.njit(nogil=True)
def steps(state, X, Y, losses):
    for i in range(len(X)):
        status, losses[i] = fastbp.jit.train_step(state, X[i], Y[i])
        if status != fastbp.jit.OK:
            return status
    return fastbp.jit.OK


@numba.njit(nogil=True)
def update(state, X, Y):
    return fastbp.jit.train_batch(state, X, Y)


@numba.njit(nogil=True)
def gradients(state, X, Y, g):
    return fastbp.jit.loss_and_gradients(state, X, Y, g)


@numba.njit(nogil=True)
def vjp(state, X, c, g, dx):
    return fastbp.jit.vjp(state, X, c, g, dx)


SHAPES: list[tuple[int, list[tuple[int, str]]]] = [
    (4, [(16, "tanh"), (2, "linear")]),  # tiny: a way of its own
    (19, [(40, "relu"), (33, "gelu"), (1, "sigmoid")]),  # narrow, ragged
    (70, [(3, "softmax")]),  # narrow and alone
    (5, [(37, "silu")]),  # wide and alone
]


def build(shape: int, dtype: str = "float32", **settings: Any) -> fastbp.Trainer:
    n, layers = SHAPES[shape]
    dense = [fastbp.Dense(units, f, bias=shape != 3) for units, f in layers]
    network = fastbp.Network(n, dense, dtype=dtype, seed=shape)
    return fastbp.Trainer(network, "mse", fastbp.Adam(1e-2), seed=0, **settings)


def data(network: fastbp.Network, n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, network.n_inputs)).astype(network.dtype),
        rng.uniform(size=(n, network.n_outputs)).astype(network.dtype),
    )


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_predictions_and_updates_are_those_of_python(shape: int) -> None:
    """Bit for bit, with both at work on one trainer by turns."""
    here, there = build(shape), build(shape)
    state = here.compiled(rows=40)
    X, Y = data(here.network, 40)
    losses = np.empty(10)
    for turn in range(3):
        assert steps(state, X[:10], Y[:10], losses) == fastbp.jit.OK
        expected = [there.step(X[i : i + 1], Y[i : i + 1]) for i in range(10)]
        np.testing.assert_array_equal(losses, expected)
        here.learning_rate = there.learning_rate = 1e-2 / (turn + 1)
        assert update(state, X, Y) == (fastbp.jit.OK, there.step(X, Y))
        assert here.step(X[:7], Y[:7]) == there.step(X[:7], Y[:7])
    for a, b in zip(here.network.get_weights(), there.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert here._session.engine.rates.steps == there._session.engine.rates.steps == 36
    out = np.empty_like(Y)
    assert batch(state, X, out) == fastbp.jit.OK
    np.testing.assert_allclose(out, here.network.predict(X), rtol=1e-6)
    row = np.empty_like(Y[0])
    assert one(here.network.compiled(), X[3], row) == fastbp.jit.OK
    np.testing.assert_allclose(row, out[3], rtol=1e-6)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_gradients(shape: int) -> None:
    """Many blocks of rows, penalties included, nothing updated."""
    trainer = build(shape, "float64")
    X, Y = data(trainer.network, 1500)
    g = np.empty(trainer.network.n_parameters)
    status, loss = gradients(trainer.compiled(), X, Y, g)
    expected_loss, expected = trainer.gradients(X, Y)
    assert status == fastbp.jit.OK
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    np.testing.assert_allclose(g, np.concatenate([a.ravel() for a in expected]), atol=1e-14)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_vjp_is_the_derivative(shape: int) -> None:
    network = build(shape, "float64").network
    X, _ = data(network, 6)
    c = np.random.default_rng(9).normal(size=(6, network.n_outputs))
    weights = network.get_weights()

    def objective(moved: list[Any]) -> float:
        network.set_weights(moved[:-1])
        return float((c * network.predict(moved[-1])).sum())

    expected = central_differences(objective, [*weights, X])
    network.set_weights(weights)
    found, dx = network.vjp(X, c)
    for a, b in zip([*found, dx], expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6 * np.abs(b).max())
    many = np.repeat(X, 200, axis=0)  # several blocks add up
    g, input_gradients = np.empty(network.n_parameters), np.empty_like(many)
    wide = np.repeat(c, 200, axis=0)
    assert vjp(network.compiled(), many, wide, g, input_gradients) == fastbp.jit.OK
    flat = np.concatenate([a.ravel() for a in found])
    np.testing.assert_allclose(g, 200 * flat, atol=1e-11 * np.abs(flat).max() * 200)
    np.testing.assert_allclose(input_gradients[::200], dx, rtol=1e-12, atol=1e-14)


def test_a_fused_loss_trains_on_after_a_vjp() -> None:
    network = fastbp.Network(3, [fastbp.Dense(2, "softmax")], dtype="float64", seed=0)
    trainer = fastbp.Trainer(network, "cross_entropy", "sgd", seed=0)
    state, X, Y = trainer.compiled(), np.ones((1, 3)), np.array([[0.0, 1.0]])
    g, before, dx = np.empty(8), np.empty(8), np.empty((1, 3))
    gradients(state, X, Y, before)
    vjp(state, X, Y, g, dx)
    gradients(state, X, Y, g)
    np.testing.assert_array_equal(g, before)


def test_statuses_leave_everything_alone() -> None:
    trainer = build(0)
    network, state = trainer.network, trainer.compiled(rows=4)
    before = network.get_weights()
    X, Y = data(network, 5)
    bad, out = np.full_like(X, np.nan), np.empty_like(Y)
    assert update(state, bad[:4], Y[:4])[0] == fastbp.jit.BAD_X
    assert update(state, X[:4], np.full_like(Y[:4], np.inf))[0] == fastbp.jit.BAD_Y
    assert update(state, X, Y)[0] == fastbp.jit.WRONG_SHAPE  # more rows than asked for
    assert update(state, X[:0], Y[:0])[0] == fastbp.jit.WRONG_SHAPE
    assert batch(state, X[:2], out[:3]) == fastbp.jit.WRONG_SHAPE
    assert one(state, X[0, :3].copy(), out[0]) == fastbp.jit.WRONG_SHAPE
    assert update(network.compiled(), X, Y)[0] == fastbp.jit.NO_TRAINER
    assert update((state[0].copy(), state[1]), X[:4], Y[:4])[0] == fastbp.jit.WRONG_STATE
    assert one(pickle.loads(pickle.dumps(state)), X[0], out[0]) == fastbp.jit.WRONG_STATE
    for cell in (e.DIGEST, e.FLAG):
        state[0][cell] += 1
        wanted = fastbp.jit.WRONG_STATE if cell == e.DIGEST else fastbp.jit.BUSY
        assert update(state, X[:4], Y[:4])[0] == wanted
        state[0][cell] -= 1
    huge = np.full_like(Y[:4], 1e30)
    assert update(state, X[:4], huge)[0] == fastbp.jit.NONFINITE_LOSS
    for a, b in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert update(state, X[:4], Y[:4])[0] == fastbp.jit.OK


def test_arrays_of_another_kind_are_refused_while_compiling() -> None:
    trainer = build(0)
    state, (X, Y) = trainer.compiled(), data(trainer.network, 4)
    for wrong in (X.astype(np.float64), np.asfortranarray(X), X[0]):
        with pytest.raises(numba.TypingError):
            batch(state, wrong, Y)
    with pytest.raises(numba.TypingError):
        batch(1, X, Y)


def test_a_state_keeps_alive_what_it_needs() -> None:
    trainer = build(1)
    state, (X, Y) = trainer.compiled(), data(trainer.network, 8)
    expected = trainer.network.predict(X)
    del trainer
    gc.collect()
    junk = [np.full(4096, 7.0) for _ in range(200)]
    out = np.empty_like(Y)
    assert batch(state, X, out) == fastbp.jit.OK
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    assert update(state, X, Y)[0] == fastbp.jit.OK
    assert len(junk) == 200


def test_what_cant_be_carried_is_refused() -> None:
    network = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    rate = fastbp.CosineDecay(1e-2, length=600, per="step")
    with pytest.raises(ValueError, match=r"schedule \(CosineDecay\)"):
        fastbp.Trainer(network, "mse", fastbp.Adam(rate)).compiled()
    with pytest.raises(ValueError, match="LBFGS"):
        fastbp.Trainer(network, "mse", "lbfgs", batch_size=None).compiled()
    with pytest.raises(ValueError, match="rows"):
        fastbp.Trainer(network, "mse").compiled(rows=0)
    with pytest.raises(ValueError, match="cotangent must have X's 2 rows"):
        network.vjp(np.ones((2, 2)), np.ones((3, 1)))


def test_dropout_goes_by_the_number_of_the_update() -> None:
    def made() -> fastbp.Trainer:
        layers = [fastbp.Dense(32, "relu", dropout=0.5), fastbp.Dense(1)]
        return fastbp.Trainer(fastbp.Network(4, layers, seed=0), "mse", "sgd", seed=3)

    here, there = made(), made()
    state, (X, Y) = here.compiled(), data(here.network, 8)
    for _ in range(3):
        assert update(state, X, Y) == (fastbp.jit.OK, there.step(X, Y))


def test_signatures_stay() -> None:
    found = {
        name: str(inspect.signature(getattr(fastbp.jit, name).py_func))
        for name in fastbp.jit.__all__
        if name.islower()
    }
    assert found == {
        "loss_and_gradients": "(state, X, Y, gradients)",
        "predict_batch": "(state, X, out)",
        "predict_one": "(state, x, out)",
        "train_batch": "(state, X, Y)",
        "train_step": "(state, x, y)",
        "vjp": "(state, X, cotangent, gradients, input_gradients)",
    }
