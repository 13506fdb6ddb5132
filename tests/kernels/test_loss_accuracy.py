"""Every loss against mpmath at both of its ends: relative errors of a few units of rounding.

Inputs are what the floats are, exactly. Where a definition takes a difference of values that are no
inputs (poisson, p - t of a softmax near its target, kl_divergence) the bound is relative to the
sizes of what is subtracted: no more can be had. Rounding a difference of two logits moves its
exponential by as much, relatively; `_spread` is that.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from numba import types

import fastbp
from fastbp.kernels import layout
from fastbp.objectives import losses

_C = {types.float32: ctypes.c_float, types.float64: ctypes.c_double, types.int64: ctypes.c_int64}
DTYPES = ["float32", "float64"]

Array = Any
Exact = tuple[Any, list[Any], Any, list[Any]]  # error, delta, and what each's bound is relative to


def kernel(loss: Any, dtype: str, z: Array, p: Array, t: Array) -> tuple[Array, Array]:
    """Errors (rows,) and deltas (rows, k) of that loss with weights and scale 1."""
    cfunc, (rows, k) = loss._kernel.kernel, t.shape
    ld = layout.row_stride(k, np.dtype(dtype).itemsize)

    def padded(a: Array) -> Array:
        whole = np.full((rows, ld), 0.5, dtype)
        whole[:, :k] = a
        return whole

    buffers = [padded(a) for a in (z, p, t)]
    w, d, e = np.ones(rows, dtype), padded(t), np.empty(rows)
    parameters = np.array([*loss._parameters(), 0.0], dtype)
    kinds = [_C.get(kind, ctypes.c_void_p) for kind in cfunc._types(dtype).args]
    call = ctypes.CFUNCTYPE(None, *kinds)(cfunc.c_address(dtype))
    call(*(a.ctypes.data for a in (*buffers, w, d, e)), rows, k, ld, 1.0, parameters.ctypes.data)
    assert (d[:, k:] == 0).all()
    return e, d[:, :k]


def by_output(loss: Any, p: Any, t: Any) -> tuple[Any, Any]:
    """An output's error and its derivative by p."""
    d = p - t
    match loss:
        case fastbp.MSE():
            return d * d, 2 * d
        case fastbp.HalfSquaredError():
            return d * d / 2, d
        case fastbp.MAE():
            return abs(d), mpmath.sign(d)
        case fastbp.Huber():
            c = mpf(loss.delta)
            inside = abs(d) <= c
            return (d * d / 2 if inside else c * (abs(d) - c / 2)), max(-c, min(c, d))
        case fastbp.LogCosh():
            size = abs(d)
            if size < 1:
                return mpmath.log1p(2 * mpmath.sinh(size / 2) ** 2), mpmath.tanh(d)
            return size + mpmath.log((1 + mpmath.exp(-2 * size)) / 2), mpmath.tanh(d)
        case fastbp.Quantile():
            q = mpf(loss.q)
            slope = -q if d < 0 else (1 - q if d > 0 else mpf(0))
            return slope * d, slope
        case fastbp.Hinge():
            s = 1 if t > 0 else -1
            return max(mpf(0), 1 - s * p), mpf(-s if s * p < 1 else 0)
    raise AssertionError(loss)


def exact_by_output(loss: Any, z: Array, p: Array, t: Array) -> Exact:
    pairs = [by_output(loss, mpf(a), mpf(b)) for a, b in zip(p.tolist(), t.tolist(), strict=True)]
    mean = 1 if isinstance(loss, fastbp.HalfSquaredError) else len(pairs)
    e, d = sum(a for a, _ in pairs) / mean, [b / mean for _, b in pairs]
    return e, d, e, [abs(b) for b in d]


def exact_bernoulli(loss: Any, z: Array, p: Array, t: Array) -> Exact:
    e, d, sizes, k = mpf(0), [], [], len(t)
    for a, b in zip(map(mpf, z.tolist()), map(mpf, t.tolist()), strict=True):
        missed = 1 - b if a > 0 else b
        share = 1 / (1 + mpmath.exp(abs(a)))
        e += (mpmath.log1p(mpmath.exp(-abs(a))) + abs(a) * missed) / k
        d.append((missed - share if a > 0 else share - missed) / k)
        sizes.append((missed + share) / k)
    return e, d, e, sizes


def exact_poisson(loss: Any, z: Array, p: Array, t: Array) -> Exact:
    values = list(zip(map(mpf, z.tolist()), map(mpf, t.tolist()), strict=True))
    k = len(values)
    e = sum(mpmath.exp(a) - b * a for a, b in values) / k
    size = sum(mpmath.exp(a) + abs(b * a) for a, b in values) / k
    d = [(mpmath.exp(a) - b) / k for a, b in values]
    return e, d, size, [(mpmath.exp(a) + b) / k for a, b in values]


def _spread(x: list[Any]) -> Any:
    """What rounding the differences `x` to the top does to the sum of their exponentials."""
    others = [a for a in x if a < 0]
    if not others:
        return mpf(0)
    shares = [mpmath.exp(a) for a in others]
    return sum(-a * b for a, b in zip(others, shares, strict=True)) / sum(shares)


def exact_softmax(loss: Any, z: Array, p: Array, t: Array) -> Exact:
    a, b, k = list(map(mpf, z.tolist())), list(map(mpf, t.tolist())), len(t)
    if isinstance(loss, fastbp.CrossEntropy):
        s = mpf(loss.label_smoothing)
        b = [(1 - s) * c + s / k for c in b]
    top, best = max(a), max(range(k), key=lambda j: a[j])
    x = [c - top for c in a]
    rest = sum(mpmath.exp(c) for j, c in enumerate(x) if j != best)
    others = sum(c for j, c in enumerate(b) if j != best)
    total, more = sum(b), 1 + _spread(x)
    e = total * mpmath.log1p(rest) - sum(c * y for c, y in zip(b, x, strict=True))
    size = e * more
    if isinstance(loss, fastbp.KLDivergence):
        logs = [c * mpmath.log(c) if c > 0 else mpf(0) for c in b]
        e, size = e + sum(logs), size + sum(map(abs, logs))
    d, sizes = [], []
    for j in range(k):
        if j == best:
            d.append((others - b[j] * rest) / (1 + rest))
            sizes.append((others + b[j] * rest) / (1 + rest) * more)
            if rest >= 1:  # then p - t it is
                sizes[-1] += (total / (1 + rest) + b[j]) * more
        else:
            share = mpmath.exp(x[j]) / (1 + rest)
            d.append(share * total - b[j])
            sizes.append(share * total * (more - x[j]) + b[j])
    return e, d, size, sizes


LOSSES: dict[str, tuple[Any, Any]] = {
    "mse": (fastbp.MSE(), exact_by_output),
    "half_squared_error": (fastbp.HalfSquaredError(), exact_by_output),
    "mae": (fastbp.MAE(), exact_by_output),
    "huber": (fastbp.Huber(), exact_by_output),
    "huber 2^-20": (fastbp.Huber(2.0**-20), exact_by_output),
    "log_cosh": (fastbp.LogCosh(), exact_by_output),
    "quantile": (fastbp.Quantile(), exact_by_output),
    "quantile 1e-9": (fastbp.Quantile(1e-9), exact_by_output),
    "quantile 1 - 1e-9": (fastbp.Quantile(1 - 1e-9), exact_by_output),
    "quantile 0.999": (fastbp.Quantile(0.999), exact_by_output),
    "hinge": (fastbp.Hinge(), exact_by_output),
    "binary_cross_entropy": (fastbp.BinaryCrossEntropy(), exact_bernoulli),
    "poisson": (fastbp.Poisson(), exact_poisson),
    "cross_entropy": (fastbp.CrossEntropy(), exact_softmax),
    "cross_entropy 0.1": (fastbp.CrossEntropy(label_smoothing=0.1), exact_softmax),
    "cross_entropy 0.9999": (fastbp.CrossEntropy(label_smoothing=0.9999), exact_softmax),
    "kl_divergence": (fastbp.KLDivergence(), exact_softmax),
}
#: units of rounding
BOUND = 8.0


def test_all_losses_are_here() -> None:
    assert {loss.name for loss, _ in LOSSES.values()} == set(losses.LOSSES)


def ends(dtype: str) -> list[float]:
    """0, values from the least to where squares overflow, of both signs, and neighbours of 1."""
    t = np.finfo(dtype)
    largest = float(np.sqrt(t.max)) / 8
    powers = [1e-30, 1e-10, 1e-4, 0.3, 0.7, 0.99, 2.0, 9.0, 30.0, 1e9]
    sizes = [float(t.tiny), *powers, largest, 1.0, 1 + float(t.eps), 1 - float(t.epsneg)]
    return [0.0, *sizes, *(-x for x in sizes)]


def rows_by_output(name: str, dtype: str, rng: Any) -> Iterator[tuple[Array, Array]]:
    """(p or z, t), (rows, k) each."""
    t = np.finfo(dtype)
    values = np.array(ends(dtype), dtype)
    if name == "binary_cross_entropy":
        eps = float(t.eps)
        z = np.array([*np.arange(-100, 101), *(values[abs(values) <= 100])], dtype)
        targets = [0, 1, 0.5, eps, 1 - eps / 2, 1e-3, 0.999, 0.25, 0.7, float(t.tiny)]
        pairs = list(itertools.product(z, np.array(targets, dtype)))
        # where p is close to t
        close = rng.uniform(-6, 6, 50).astype(dtype)
        pairs += [(a, dtype_of(dtype)(1 / (1 + np.exp(-a)))) for a in close]
    elif name == "poisson":
        z = np.array([*np.arange(-100, 88), *(values[abs(values) < 88])], dtype)
        pairs = list(itertools.product(z, np.array([0, 1, 2, 7, 1e-3, 1e4], dtype)))
        pairs += [(a, dtype_of(dtype)(np.exp(a))) for a in rng.uniform(-5, 5, 50).astype(dtype)]
    elif name == "hinge":
        pairs = list(itertools.product(values, np.array([-1, 1, 0], dtype)))
    else:
        pairs = list(itertools.product(values, values))
        pairs += [(a, np.nextafter(a, dtype_of(dtype)(0))) for a in values]
        pairs += list(zip(*rng.normal(size=(2, 100)).astype(dtype), strict=True))
    both = np.array(pairs, dtype)
    yield both[:, :1], both[:, 1:]
    for k in (3, 20):
        mixed = rng.permutation(both)[: len(both) // k * k]
        yield mixed[:, 0].reshape(-1, k), mixed[:, 1].reshape(-1, k)


def dtype_of(dtype: str) -> Any:
    return np.dtype(dtype).type


def rows_of_classes(name: str, dtype: str, rng: Any) -> Iterator[tuple[Array, Array]]:
    """(z, t), (rows, k) each: one class ahead of the others by 0 ... 100, ties, rivals, any."""
    for k in (2, 3, 17):
        z, t = [], []
        for ahead in [0, 0.25, 1, 4, 9, 13, 17, 24, 37, 50, 80, 100]:
            row = np.zeros(k)
            row[rng.integers(k)] = ahead
            second = row.copy()
            second[rng.integers(k)] += 0.5 * ahead
            for logits in (
                row,
                second,
                row + 37,
                rng.permutation(second) - 64,
                ahead * np.sin(row),
            ):
                hot = np.eye(k)
                eps = float(np.finfo(dtype).eps)
                e = logits - logits.max()
                soft = np.exp(e) / np.exp(e).sum()
                for target in (hot[logits.argmax()], hot[logits.argmin()], soft,
                               0.9 * hot[0] + 0.1 * hot[-1], (1 - eps) * hot[0] + eps * hot[-1],
                               rng.dirichlet(np.ones(k))):  # fmt: skip
                    z.append(logits)
                    t.append(target)
        yield np.array(z, dtype), np.array(t, dtype)
        yield (
            rng.normal(scale=20, size=(60, k)).astype(dtype),
            rng.dirichlet(np.ones(k), 60).astype(dtype),
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_error_and_delta(name: str, dtype: str) -> None:
    loss, exact = LOSSES[name]
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    half_ulp, least = mpf(float(info.eps)) / 2, mpf(float(info.smallest_subnormal))
    rows = rows_of_classes if exact is exact_softmax else rows_by_output
    worst = {"error": (0.0, ""), "delta": (0.0, "")}
    for a, t in rows(loss.name, dtype, rng):
        found_e, found_d = kernel(loss, dtype, a, a, t)
        for r in range(len(t)):
            with mpmath.workprec(160):
                e, d, e_size, d_sizes = exact(loss, a[r], a[r], t[r])
                everything = [("error", found_e[r], e, e_size)]
                everything += [("delta", *x) for x in zip(found_d[r], d, d_sizes, strict=True)]
                for what, found, value, size in everything:
                    if abs(value) > float(info.max) / 4:
                        continue
                    unit = size * half_ulp + len(d) * least
                    error = float(abs(mpf(float(found)) - value) / unit)
                    if not error <= worst[what][0]:
                        shown = f"{a[r]}, {t[r]}: {found}, exactly {mpmath.nstr(value, 17)}"
                        worst[what] = error, shown
    for what, (error, shown) in worst.items():
        assert error <= BOUND, f"{what} {error} units off at {shown}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_padding_and_fewer_rows_change_no_bit(dtype: str) -> None:
    """A row's error and delta are the same alone, among few, among many."""
    rng = np.random.default_rng(0)
    for loss, k in itertools.product((losses.LOSSES[n]() for n in losses.LOSSES), (1, 3, 9, 33)):
        z = rng.normal(scale=5, size=(70, k)).astype(dtype)
        t = rng.dirichlet(np.ones(k), 70).astype(dtype)
        t = np.round(t) if loss.name == "hinge" else t
        e, d = kernel(loss, dtype, z, z, t)
        for count in (1, 2, 3, 7, 8, 16, 31, 64):
            some_e, some_d = kernel(loss, dtype, z[:count], z[:count], t[:count])
            np.testing.assert_array_equal(some_e, e[:count], err_msg=f"{loss} {k} {count}")
            np.testing.assert_array_equal(some_d, d[:count], err_msg=f"{loss} {k} {count}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_logit_that_is_not_finite_stays_visible(bad: float, dtype: str) -> None:
    for name in ("cross_entropy", "kl_divergence", "binary_cross_entropy", "poisson"):
        z, t = np.zeros((4, 3), dtype), np.eye(4, 3, dtype=dtype)
        z[1, 2] = bad
        with np.errstate(invalid="ignore"):
            e, d = kernel(losses.LOSSES[name](), dtype, z, z, t)
        assert not np.isfinite(e[1]), name
        assert np.isfinite(np.delete(e, 1)).all(), name
        assert np.isfinite(np.delete(d, 1, axis=0)).all(), name


def test_binary_cross_entropy_of_a_sure_output() -> None:
    """From outside: float32 was 0.8 % off at z = 10 and gave 0 from z = 16."""
    net = fastbp.Network(1, [fastbp.Dense(1, "sigmoid")], seed=0)
    net.set_weights([np.ones((1, 1)), np.zeros(1)])
    trainer = fastbp.Trainer(net, "binary_cross_entropy", "sgd")
    for z in (10.0, 16.0, 17.0, 40.0, 80.0):
        for x, target in ((z, 1.0), (-z, 0.0)):
            loss, gradients = trainer.gradients([[x]], [target])
            assert loss == pytest.approx(np.log1p(np.exp(-z)), rel=1e-6)
            assert gradients[1][0] == pytest.approx(
                np.sign(-x) / (1 + np.exp(z)), rel=1e-6
            )  # of the bias


def test_cross_entropy_of_a_sure_output() -> None:
    net = fastbp.Network(1, [fastbp.Dense(3, "softmax")], seed=0)
    net.set_weights([np.array([[1.0, 0.0, 0.0]]), np.zeros(3)])
    trainer = fastbp.Trainer(net, "cross_entropy", "sgd")
    for z in (10.0, 16.0, 17.0, 40.0, 80.0):
        rest = 2 * np.exp(-z)
        loss, gradients = trainer.gradients([[z]], [0])
        assert loss == pytest.approx(np.log1p(rest), rel=1e-6)
        np.testing.assert_allclose(
            gradients[1], np.array([-rest, rest / 2, rest / 2]) / (1 + rest), rtol=1e-6
        )
