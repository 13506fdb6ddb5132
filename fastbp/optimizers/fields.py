"""Fields of optimizers that know which values they take; `Optimizer` asks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields
from functools import cache, partial
from typing import Any, TypeVar

from fastbp.checks import integer, real

T = TypeVar("T")
Check = Callable[[str, Any], object]  # takes a name and a value; raises for a wrong one


def checked(default: T, check: Check) -> T:
    """A dataclass's field with that default, whose values have to pass the check."""
    return field(default=default, metadata={"check": check})


def check_fields(instance: Any) -> None:
    """Have every field's check look at its value."""
    for name, check in _checks(type(instance)):  # type: ignore[arg-type]  # it is hashable
        check(name, getattr(instance, name))


@cache
def _checks(kind: Any) -> list[tuple[str, Check]]:
    return [
        (each.name, each.metadata["check"]) for each in fields(kind) if "check" in each.metadata
    ]


def number(default: float, **limits: Any) -> float:
    """A number within limits, which are those of `checks.real`."""
    return checked(default, partial(real, **limits))


def whole_number(default: int, **limits: Any) -> int:
    """A whole number within limits, which are those of `checks.integer`."""
    return checked(default, partial(integer, **limits))


def fraction(default: float) -> float:
    """A number in [0, 1)."""
    return number(default, low=0.0, high=1.0, high_open=True)


def at_least_0(default: float) -> float:
    """A number that is not negative."""
    return number(default, low=0.0)


def above_0(default: float) -> float:
    """A positive number."""
    return number(default, low=0.0, low_open=True)


def truth(default: bool) -> bool:
    """True or False."""
    return checked(default, _check_truth)


def _check_truth(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
