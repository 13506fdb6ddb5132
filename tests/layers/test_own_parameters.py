"""Parameters of a person's own functions, and numbers that these close over: one kernel for all."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import naive
import numba
import numpy as np
import pytest

import fastbp
from fastbp.kernels.functions import custom
from fastbp.layers.custom import call_kernel

X = np.random.default_rng(0).normal(size=(60, 4))
Y = np.random.default_rng(1).normal(size=(60, 2))
FACTOR = 2.0
TABLE = np.array([1.0, 2.0])


def scaled(p: float, t: float, c: float) -> float:
    return c * (p - t) ** 2


def scaled_slope(p: float, t: float, c: float) -> float:
    return 2 * c * (p - t)


def huber(p: float, t: float, delta: float) -> float:
    x = abs(p - t)
    inner = min(x, delta)
    return inner * (x - 0.5 * inner)


def huber_slope(p: float, t: float, delta: float) -> float:
    return max(-delta, min(delta, p - t))


def bent(z: float, low: float, high: float) -> float:
    return high * z if z > 0 else low * z


def bent_slope(z: float, low: float, high: float) -> float:
    return high if z > 0 else low


def closure(c: Any) -> fastbp.CustomLoss:
    return fastbp.CustomLoss(lambda p, t: c * (p - t) ** 2, lambda p, t: 2 * c * (p - t))


def fitted(loss: Any, activation: Any = "tanh", dtype: str = "float64", **more: Any) -> list[Any]:
    layers = [fastbp.Dense(9, activation, kernel_initializer="he_uniform"), fastbp.Dense(2)]
    net = fastbp.Network(4, layers, dtype=dtype, seed=0)
    trainer = fastbp.Trainer(net, loss, "adam", seed=0, batch_size=16, **more)
    history = trainer.fit(X, Y, 3, validation_data=(X, Y))
    return [*history.loss, *history.val_loss, *net.get_weights()]


def same(a: list[Any], b: list[Any]) -> None:
    for p, q in zip(a, b, strict=True):
        np.testing.assert_array_equal(p, q)


def kernels() -> int:
    return len(custom._losses) + len(custom._activations)


# ---------------------------------------------------------------------------------- what they give


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_as_built_in(dtype: str) -> None:
    own = fastbp.CustomLoss(huber, huber_slope, parameters=(0.3,))
    leaky = fastbp.CustomActivation(bent, bent_slope, parameters=(0.2, 1.0))
    a = fitted(own, leaky, dtype)
    b = fitted(fastbp.Huber(0.3), fastbp.LeakyReLU(0.2), dtype)
    for p, q in zip(a, b, strict=True):
        assert naive.relative_error(q, p) <= {"float32": 2e-4, "float64": 1e-11}[dtype]


def test_a_parameter_and_a_number_closed_over_are_the_same() -> None:
    for c in (0.5, 1.7):
        same(fitted(closure(c)), fitted(fastbp.CustomLoss(scaled, scaled_slope, parameters=(c,))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_threads(dtype: str) -> None:
    loss = fastbp.CustomLoss(huber, huber_slope, parameters=[0.3])
    same(fitted(loss, dtype=dtype, n_threads=1), fitted(loss, dtype=dtype, n_threads=3))


def test_step_gradients_evaluate_and_solvers() -> None:
    """With c times the loss: c times its figures and gradients, by hand."""
    c = 3.5
    net = fastbp.Network(4, [fastbp.Dense(2)], dtype="float64", seed=0)
    loss = fastbp.CustomLoss(scaled, scaled_slope, parameters=(c,))
    w, b = net.get_weights()
    difference, weights = X @ w + b - Y, np.linspace(0.5, 2, 60)
    by = c * weights[:, None] * difference / len(X)  # k = 2 outputs cancel the square's 2
    trainer = fastbp.Trainer(net, loss, batch_size=None, seed=0)
    error, (dw, db) = trainer.gradients(X, Y, weights)
    expected = (weights * c * (difference**2).mean(1)).sum() / len(X)
    np.testing.assert_allclose(error, expected, rtol=1e-13)
    np.testing.assert_allclose(dw, X.T @ by, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(db, by.sum(0), rtol=1e-12, atol=1e-15)
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(c * (difference**2).mean(), rel=1e-13)
    assert trainer.step(X, Y, weights) == pytest.approx(expected, rel=1e-13)
    fastbp.check_gradients(net, loss, X, Y)
    solved = fastbp.Network(4, [fastbp.Dense(2)], dtype="float64", seed=0)
    fastbp.Trainer(solved, loss, "lbfgs", batch_size=None, seed=0).fit(X, Y, 60)
    ones = np.c_[X, np.ones(60)]
    least = np.linalg.lstsq(ones, Y, rcond=None)[0]
    np.testing.assert_allclose(solved.get_weights()[0], least[:4], atol=1e-5)


MIXED: dict[str, Any] = {
    "floats": lambda a, b, n: (lambda z: a * z + b, lambda z: a),
    "ints": lambda a, b, n: (lambda z: n * z - a, lambda z: float(n)),
    "both": lambda a, b, n: (lambda z: n * a * z + b, lambda z: n * a),
    "loops": lambda a, b, n: (
        lambda z: sum_of(z, n) * a,
        lambda z: n * a,
    ),
    "functions": lambda a, b, n: (
        lambda z: math.exp(a) * math.sin(b * z),
        lambda z: math.exp(a) * b * math.cos(b * z),
    ),
    "branches": lambda a, b, n: (
        lambda z: a * z if z > b else b * (a - 1) + z,
        lambda z: a if z > b else 1.0,
    ),
    "conditions": lambda a, b, n: (
        lambda z: a * z if n > 2 else b * z,
        lambda z: a if n > 2 else b,
    ),
}


@numba.njit
def sum_of(z: float, n: int) -> float:
    total = 0.0
    for _ in range(n):
        total += z
    return total


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", MIXED)
def test_the_same_bits_as_compiled_in(kind: str, dtype: str) -> None:
    """As when each number stood in machine code: also in float32, where these are of float64."""
    for numbers in ((0.3, -0.7, 3), (1.9, 0.25, 2), (-1.1, 0.1, 5)):
        own = fastbp.CustomActivation(*MIXED[kind](*numbers))
        assert own._own().constants
        within = own._make(move=False).kernel
        found = []
        for kernel, settings in ((own._kernel(), own._record(dtype)), (within, np.empty(0, dtype))):
            z = np.random.default_rng(0).normal(size=256).astype(dtype)
            a, d = z.copy(), np.random.default_rng(1).normal(size=256).astype(dtype)
            call_kernel(kernel.forward, dtype, a, 1, 256, 256, settings)
            call_kernel(kernel.backward, dtype, d, z, z, 1, 256, 256, settings)
            found += [a, d]
        np.testing.assert_array_equal(found[0], found[2])
        np.testing.assert_array_equal(found[1], found[3])


def test_parameters_before_numbers_closed_over() -> None:
    """An odd number of float32 before float64 and int64, which begin at multiples of 8 bytes."""

    def make(c: float, n: int) -> fastbp.CustomLoss:
        return fastbp.CustomLoss(
            lambda p, t, a: a * c * n * (p - t) ** 2,
            lambda p, t, a: 2 * n * a * c * (p - t),
            parameters=(0.5,),
        )

    expected = [fitted(fastbp.CustomLoss(scaled, scaled_slope, parameters=(3.0,)), dtype="float32")]
    before = kernels()
    expected.append(fitted(make(2.0, 3), dtype="float32"))
    assert kernels() == before + 1
    for p, q in zip(*expected, strict=True):
        assert naive.relative_error(q, p) <= 2e-5


def test_a_trace_and_compiled_code_take_them() -> None:
    net = fastbp.Network(4, [fastbp.Dense(2)], dtype="float64", seed=0)
    given = fastbp.CustomLoss(scaled, scaled_slope, parameters=(1.0,))
    traces = [fastbp.trace(net, X[0], Y[0], loss=loss) for loss in (closure(1.0), given, "mse")]
    assert traces[0].error == traces[1].error == pytest.approx(traces[2].error, rel=1e-14)


# ------------------------------------------------------------------------- what is compiled, when


def test_one_kernel_for_all_numbers() -> None:
    closure(0.5)
    before = kernels()
    for c in range(50):
        loss = closure(1.0 + c)
        net = fastbp.Network(4, [fastbp.Dense(2)], dtype="float64", seed=0)
        expected = (1.0 + c) * ((net.predict(X) - Y) ** 2).mean()
        assert fastbp.Trainer(net, loss).evaluate(X, Y)["loss"] == pytest.approx(expected)
    assert kernels() == before
    closure(3)  # an int is another type than a float
    closure(4)
    assert kernels() == before + 1


def test_lambdas_that_are_made_anew_and_defaults() -> None:
    def plain() -> Any:
        return fastbp.CustomActivation(lambda z: z * z, lambda z: 2 * z)

    def by_default(c: float) -> Any:
        return fastbp.CustomActivation(lambda z, c=c: c * z, lambda z, c=c: c)

    assert plain()._kernel() is plain()._kernel()
    assert by_default(2.0)._kernel() is by_default(3.0)._kernel()
    found = [fitted("mse", by_default(c)) for c in (2.0, 3.0)]
    for c, each in zip((2.0, 3.0), found, strict=True):
        given = fastbp.CustomActivation(bent, bent_slope, parameters=(c, c))
        same(each, fitted("mse", given))
    # a default in whose place a parameter stands
    instead = fastbp.CustomActivation(lambda z, c=2.0: c * z, lambda z, c=2.0: c, parameters=(3.0,))
    same(fitted("mse", instead), found[1])


def test_exponents_stay_in_the_code() -> None:
    """x ** 2.0 is x * x; by a variable it would be another function's value, and slower."""

    def power(q: Any) -> fastbp.CustomLoss:
        return fastbp.CustomLoss(
            lambda p, t: abs(p - t) ** q,
            lambda p, t: q * abs(p - t) ** (q - 1) * (1.0 if p > t else -1.0),
        )

    before = kernels()
    found = [power(q) for q in (2.0, 3.0, 1.5, 2, 3)]
    assert kernels() == before + 5
    assert all(loss._own().constants == () for loss in found)
    net = fastbp.Network(4, [fastbp.Dense(2)], dtype="float64", seed=0)
    distance = abs(net.predict(X) - Y)
    for q, loss in zip((2.0, 3.0, 1.5, 2, 3), found, strict=True):
        error = fastbp.Trainer(net, loss).evaluate(X, Y)["loss"]
        assert error == pytest.approx((distance**q).mean(), rel=1e-12)
    power(1.5)
    assert kernels() == before + 5


def raised(x: float, q: float) -> float:
    return x**q


called = numba.njit(raised)


def test_exponents_in_functions_that_are_called() -> None:
    def make(q: float) -> fastbp.CustomLoss:
        return fastbp.CustomLoss(
            lambda p, t: called(p - t, q), lambda p, t: q * called(p - t, q - 1.0)
        )

    assert make(2.0)._own().constants == ()
    assert make(4.0)._kernel is not make(2.0)._kernel


def test_where_numba_wants_constants() -> None:
    """An index of a tuple has to be one."""

    def make(n: int) -> fastbp.CustomActivation:
        return fastbp.CustomActivation(lambda z: (z, 2.0 * z)[n], lambda z: (1.0, 2.0)[n])

    same(fitted("mse", make(0)), fitted("mse", "linear"))
    assert make(0)._kernel() is not make(1)._kernel()


def make_of_globals() -> fastbp.CustomLoss:
    return fastbp.CustomLoss(lambda p, t: FACTOR * (p - t) ** 2, lambda p, t: 2 * FACTOR * (p - t))


def make_of_a_table() -> fastbp.CustomLoss:
    return fastbp.CustomLoss(
        lambda p, t: TABLE[1] * (p - t) ** 2, lambda p, t: 2 * TABLE[1] * (p - t)
    )


def error_of(loss: fastbp.CustomLoss) -> float:
    net = fastbp.Network(4, [fastbp.Dense(2)], dtype="float64", seed=0)
    return fastbp.Trainer(net, loss).evaluate(X, Y)["loss"]


@pytest.mark.parametrize("make", [make_of_globals, make_of_a_table])
def test_globals_that_change(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function made later has the values of then, as it always had."""
    monkeypatch.setitem(globals(), "TABLE", TABLE.copy())
    first = make()
    assert make()._kernel is first._kernel
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    TABLE[1] = 4.0  # in place, too
    second = make()
    assert error_of(second) == pytest.approx(2 * error_of(first), rel=1e-14)
    # float32, compiled only now, has the values of when the loss was made
    net = fastbp.Network(4, [fastbp.Dense(2)], seed=0)
    figures = [fastbp.Trainer(net, loss).evaluate(X, Y)["loss"] for loss in (first, second)]
    assert figures[1] == pytest.approx(2 * figures[0], rel=1e-6)


def test_functions_that_are_closed_over() -> None:
    def make(c: float) -> fastbp.CustomActivation:
        inner = numba.njit(lambda z: c * z)
        return fastbp.CustomActivation(lambda z: inner(z), lambda z: c)

    found = [fitted("mse", make(c)) for c in (2.0, 3.0)]
    for c, each in zip((2.0, 3.0), found, strict=True):
        given = fastbp.CustomActivation(bent, bent_slope, parameters=(c, c))
        same(each, fitted("mse", given))


def test_a_loops_variable_is_that_of_when_it_was_made() -> None:
    """Python looks a cell up late: all of these share the last c. Machine code never did."""
    losses = []
    for c in (1.0, 2.0):
        losses.append(  # noqa: PERF401
            fastbp.CustomLoss(
                lambda p, t: c * (p - t) ** 2,  # noqa: B023
                lambda p, t: 2 * c * (p - t),  # noqa: B023
            )
        )
    assert error_of(losses[1]) == pytest.approx(2 * error_of(losses[0]), rel=1e-14)
    copies = [copy.deepcopy(loss) for loss in losses]
    assert [error_of(loss) for loss in copies] == [error_of(loss) for loss in losses]
    same(fitted(copies[0], dtype="float32"), fitted(losses[0], dtype="float32"))


def test_many_kernels_of_the_same_code_are_told_of() -> None:
    def make(q: float) -> fastbp.CustomActivation:
        return fastbp.CustomActivation(
            lambda z: math.exp(z) * 3.0**q, lambda z: math.exp(z) * 3.0**q
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(custom.MANY - 1):
            make(0.5 + 0.1 * i)
    with pytest.warns(RuntimeWarning, match=r"16 kernels .* Give what varies by parameters=") as w:
        make(7.5)
    assert w[0].filename == __file__


def test_a_wrong_slope_for_one_number_is_found() -> None:
    def make(c: float) -> fastbp.CustomActivation:
        return fastbp.CustomActivation(lambda z: c * z, lambda z: 2.0)

    make(2.0)
    with pytest.raises(ValueError, match="derivative"):
        make(3.0)
    fastbp.CustomLoss(scaled, lambda p, t, c: 4.0 * (p - t), parameters=(2.0,))
    with pytest.raises(ValueError, match="derivative"):
        fastbp.CustomLoss(scaled, lambda p, t, c: 4.0 * (p - t), parameters=(3.0,))

    def beyond(p: float, t: float, c: float) -> float:
        return 2 * c * (p - t) if abs(p - t) < 20 else c * (p - t)

    loss = fastbp.CustomLoss(scaled, beyond, parameters=(1.5,))
    net = fastbp.Network(4, [fastbp.Dense(2)], seed=0)
    with pytest.raises(ValueError, match="at an output and target of X and y"):
        fastbp.Trainer(net, loss).step(X, Y + 100)


# ----------------------------------------------------------------------- kept, compared and refused


def test_pickled_and_copied() -> None:
    loss = fastbp.CustomLoss(scaled, scaled_slope, "mine", parameters=np.array([2.5]))
    for other in (pickle.loads(pickle.dumps(loss)), copy.copy(loss), copy.deepcopy(loss)):
        assert other == loss
        assert (other.parameters, other.label) == ((2.5,), "mine")
        assert other._kernel is loss._kernel
        same(fitted(other), fitted(loss))
    assert loss != fastbp.CustomLoss(scaled, scaled_slope, "mine", parameters=(2.0,))
    activation = fastbp.CustomActivation(bent, bent_slope, parameters=(0.1, 2))
    assert pickle.loads(pickle.dumps(activation)) == activation
    assert activation.parameters == (0.1, 2.0)


def trainer_of(c: float, low: float) -> fastbp.Trainer:
    activation = fastbp.CustomActivation(bent, bent_slope, parameters=(low, 1.0))
    net = fastbp.Network(4, [fastbp.Dense(3, activation), fastbp.Dense(2)], seed=0)
    loss = fastbp.CustomLoss(scaled, scaled_slope, parameters=(c,))
    return fastbp.Trainer(net, loss, "adam", batch_size=8, seed=0)


def test_parameters_belong_to_what_a_checkpoint_compares(tmp_path: Path) -> None:
    whole = trainer_of(2.0, 0.1)
    whole.fit(X, Y, 4)
    trainer_of(2.0, 0.1).fit(X, Y, 2, callbacks=[fastbp.Checkpoint(tmp_path)])
    for other, what in ((trainer_of(2.5, 0.1), "2.5"), (trainer_of(2.0, 0.2), "0.2")):
        with pytest.raises(ValueError, match=rf"parameters.*{what}"):
            other.fit(X, Y, 4, resume=tmp_path)
    resumed = trainer_of(2.0, 0.1)
    resumed.fit(X, Y, 4, resume=tmp_path)
    same(resumed.network.get_weights(), whole.network.get_weights())
    with pytest.raises(fastbp.ModelFileError, match="'custom' is not fastbp's own"):
        fastbp.Trainer.load(tmp_path)
    with pytest.raises(fastbp.ModelFileError, match="can't hold the functions of activation"):
        resumed.network.save(tmp_path / "network")


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (2.0, TypeError, "parameters must be a sequence of numbers, got 2.0"),
        ("ab", TypeError, "parameters must be a sequence of numbers, got 'ab'"),
        ({1.0}, TypeError, "parameters must be a sequence of numbers"),
        (np.ones((1, 1)), TypeError, "parameters must be a sequence of numbers"),
        (("a",), TypeError, r"parameters\[0\] must be a number"),
        ((True,), TypeError, r"parameters\[0\] must be a number"),
        ((1j,), TypeError, r"parameters\[0\] must be a number"),
        ((math.nan,), ValueError, r"parameters\[0\] must be in"),
        ((math.inf,), ValueError, r"parameters\[0\] must be in"),
        ((), TypeError, r"f must take 2 numbers \(p, t\), it takes 3"),
        ((1.0, 2.0), TypeError, r"f must take 4 numbers \(p, t and 2 of parameters\), it takes 3"),
    ],
)
def test_refused(parameters: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        fastbp.CustomLoss(scaled, scaled_slope, parameters=parameters)


def test_functions_that_take_other_numbers() -> None:
    with pytest.raises(TypeError, match=r"derivative must take 3 .* it takes 2"):
        fastbp.CustomLoss(scaled, lambda p, t: p - t, parameters=(1.0,))
    with pytest.raises(TypeError, match=r"f must take 1 number \(z\), it takes 2 to 3"):
        fastbp.CustomActivation(lambda z, a, b=1.0: z, lambda z: 1.0)


def test_a_parameter_beyond_the_dtype() -> None:
    loss = fastbp.CustomLoss(lambda p, t, c: (p - t) / c, lambda p, t, c: 1 / c, parameters=(1e39,))
    fastbp.Trainer(fastbp.Network(4, [fastbp.Dense(2)], dtype="float64"), loss)
    with pytest.raises(ValueError, match=r"parameters\[0\] of 'custom' .* float32, got 1e\+39"):
        fastbp.Trainer(fastbp.Network(4, [fastbp.Dense(2)]), loss)
