"""Scalar arguments: what is taken and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastbp.checks import choice, integer, real


@pytest.mark.parametrize("value", [1, 7, np.int8(7), np.uint64(7)])
def test_integers(value):
    got = integer("units", value, minimum=1, maximum=7)
    assert type(got) is int
    assert got == value


def test_integer_or_none():
    assert integer("batch_size", None, minimum=1, none=True) is None
    with pytest.raises(ValueError, match=r"^batch_size must be an int >= 1 or None, got 0$"):
        integer("batch_size", 0, minimum=1, none=True)


@pytest.mark.parametrize("value", [1.0, True, np.True_, np.float64(3), "3", None, [3], 1j])
def test_other_than_integers(value):
    with pytest.raises(TypeError, match=r"^units must be an int >= 1, got .* of type \w+$"):
        integer("units", value, minimum=1)


@pytest.mark.parametrize("value", [0, -1, 8, 10**30, np.int64(-5)])
def test_integers_out_of_range(value):
    with pytest.raises(ValueError, match=rf"^units must be an int in \[1, 7\], got {value}$"):
        integer("units", value, minimum=1, maximum=7)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int16(1), np.longdouble(0.25)])
def test_reals(value):
    got = real("rate", value, low=0, high=1, low_open=True)
    assert type(got) is float
    assert got == value


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, [1.0], np.ones(1)])
def test_other_than_reals(value):
    with pytest.raises(TypeError, match=r"^rate must be a number in \(-inf, inf\), got"):
        real("rate", value)


@pytest.mark.parametrize(
    ("value", "bounds", "takes"),
    [
        (-1.0, {"low": 0, "low_open": True}, "(0, inf)"),
        (0, {"low": 0, "low_open": True}, "(0, inf)"),
        (-0.1, {"low": 0}, "[0, inf)"),
        (1.0, {"low": 0, "high": 1, "high_open": True}, "[0, 1)"),
        (1.5, {"high": 1}, "(-inf, 1]"),
        (float("nan"), {}, "(-inf, inf)"),
        (float("inf"), {"low": 0}, "[0, inf)"),
        (-np.inf, {}, "(-inf, inf)"),
        (10**400, {}, "(-inf, inf)"),
        (np.float32("nan"), {"low": 0, "high": 1}, "[0, 1]"),
    ],
)
def test_reals_out_of_range(value, bounds, takes):
    with pytest.raises(ValueError, match=re.escape(f"rate must be in {takes}, got {value}")):
        real("rate", value, **bounds)


def test_bounds_that_are_closed_are_taken():
    assert real("rate", 0, low=0, high=1) == 0.0
    assert real("rate", 1, low=0, high=1) == 1.0


def test_choices():
    known = {"relu": 1, "tanh": 2, "sigmoid": 3}
    assert choice("activation", "tanh", known) == "tanh"
    message = "activation must be one of 'relu', 'tanh', 'sigmoid', got "
    with pytest.raises(ValueError, match=f"^{message}'sigmod' \\(did you mean 'sigmoid'\\?\\)$"):
        choice("activation", "sigmod", known)
    with pytest.raises(ValueError, match=f"^{message}'xyz'$"):
        choice("activation", "xyz", known)
    with pytest.raises(TypeError, match=f"^{message}3 of type int$"):
        choice("activation", 3, known)
    with pytest.raises(TypeError, match=r"got \[0, 0, .*\.\.\. of type list$"):
        choice("activation", [0] * 1000, known)
