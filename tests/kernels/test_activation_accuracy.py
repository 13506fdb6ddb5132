"""Every activation and its derivative against mpmath, from the least finite number to the greatest.

What is held is that no argument is too large: nothing overflows on its way, no integer conversion
and no reduction of an argument gives out. Derivatives that are taken from outputs, and the ends of
the gelus, are right relative to 1, or to z where that is smaller, as other libraries' are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from numba import types

from fastbp.kernels.functions.activations import ACTIVATIONS

Function = Callable[[Any], Any]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def softplus(x: Any) -> Any:
    return max(x, mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x)))


def slope_of_mish(x: Any) -> Any:
    return mpmath.tanh(softplus(x)) + x * mpmath.sech(softplus(x)) ** 2 * sigmoid(x)


def inside(x: Any) -> Any:
    """Twice what gelu_tanh takes the tanh of."""
    return 2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpf(0.044715) * x**3)


def slope_of_gelu_tanh(x: Any) -> Any:
    y = inside(x)
    inner = mpmath.sqrt(2 / mpmath.pi) * (1 + 3 * mpf(0.044715) * x * x)
    return sigmoid(y) + 2 * x * sigmoid(y) * sigmoid(-y) * inner


def phi(x: Any) -> Any:
    return mpf(x > 0) if abs(x) > 200 else mpmath.ncdf(x)  # which cannot take much more


ALPHA, SCALE = mpf(1.6732632423543772), mpf(1.0507009873554805)
SLOPE, ONE, ZERO = mpf(0.25), mpf(1), mpf(0)
#: f and f' by name
EXACT: dict[str, tuple[Function, Function]] = {
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": (mpmath.tanh, lambda x: mpmath.sech(x) ** 2),
    "relu": (lambda x: max(x, ZERO), lambda x: mpf(x > 0)),
    "leaky_relu": (lambda x: x if x > 0 else SLOPE * x, lambda x: ONE if x > 0 else SLOPE),
    "elu": (lambda x: x if x > 0 else mpmath.expm1(x), lambda x: ONE if x > 0 else mpmath.exp(x)),
    "selu": (
        lambda x: SCALE * (x if x > 0 else ALPHA * mpmath.expm1(x)),
        lambda x: SCALE * (ONE if x > 0 else ALPHA * mpmath.exp(x)),
    ),
    "relu6": (lambda x: min(max(x, ZERO), mpf(6)), lambda x: mpf(0 < x < 6)),
    "hard_tanh": (lambda x: min(max(x, -ONE), ONE), lambda x: mpf(-1 < x < 1)),
    "hard_sigmoid": (lambda x: min(max(x + 3, ZERO), mpf(6)) / 6, lambda x: mpf(-3 < x < 3) / 6),
    "gelu": (lambda x: x * phi(x), lambda x: phi(x) + x * mpmath.npdf(x)),
    "gelu_tanh": (lambda x: x * sigmoid(inside(x)), slope_of_gelu_tanh),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    "mish": (lambda x: x * mpmath.tanh(softplus(x)), slope_of_mish),
    "softplus": (softplus, sigmoid),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: (1 + abs(x)) ** -2),
    "exp": (mpmath.exp, mpmath.exp),
    "sine": (mpmath.sin, mpmath.cos),
}


def call(cfunc: Any, dtype: str, *arguments: Any) -> None:
    kinds = {types.int64: ctypes.c_int64}
    arguments_of = (kinds.get(kind, ctypes.c_void_p) for kind in cfunc._types(dtype).args)
    function = ctypes.CFUNCTYPE(None, *arguments_of)(cfunc.c_address(dtype))
    function(*(x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments))


def arguments(dtype: str) -> Any:
    """Of all exponents, of where functions bend, and the ends; whole vectors, as rows are."""
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    least = info.minexp - info.nmant
    powers = np.ldexp(rng.uniform(1, 2, 150), rng.integers(least, info.maxexp, 150))
    ends = [
        0,
        info.max,
        info.max / 2,
        info.tiny,
        info.smallest_subnormal,
        2.0**31,
        2.0**32,
        2.0**63,
    ]
    z = np.r_[ends, powers, np.linspace(0, 30, 150), np.linspace(30, 800, 40)].astype(dtype)
    return np.concatenate([z, -z, z[: -2 * z.size % 16]])


def test_all_activations_are_here() -> None:
    assert set(EXACT) | {"linear", "softmax"} == set(ACTIVATIONS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_all_finite_arguments(name: str, dtype: str) -> None:
    kind, z, info = ACTIVATIONS[name], arguments(dtype), np.finfo(dtype)
    parameters = np.array([0.25 if name == "leaky_relu" else 1.0], dtype)
    a, d = z.copy(), np.ones_like(z)
    call(kind.forward, dtype, a, 1, z.size, z.size, parameters)
    call(kind.backward, dtype, d, a, z, 1, z.size, z.size, parameters)
    for what, found, exact in zip(("f", "f'"), (a, d), EXACT[name], strict=True):
        for x, got in zip(z.tolist(), found.tolist(), strict=True):
            with mpmath.workprec(1300 if name == "sine" else 160):
                value = exact(mpf(x))
                if abs(value) > float(info.max):
                    assert got == np.inf, (what, x, got)
                    continue
                size = max(abs(value), min(1, abs(x)) if what == "f" else 1)
                unit = size * float(info.eps) / 2 + max(1, abs(x)) * float(info.smallest_subnormal)
                error = float(abs(mpf(got) - value) / unit) if got == got else np.inf
            assert error <= 64, (what, x, got, float(value), error)
