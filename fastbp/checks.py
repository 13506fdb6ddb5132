"""Validators of scalar arguments: each returns a plain value, or raises what was wrong with it."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, cast, overload

import numpy as np


def check_unmasked(name: str, value: Any) -> None:
    """Raise ValueError where a masked array lacks values: numpy reads what stands behind masks.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        What was given for it; a list of masked arrays is none.
    """
    if np.ma.is_masked(value):
        count = int(np.ma.getmaskarray(value).sum())
        raise ValueError(f"{name} must have all of its values, got {count} that are masked")


@overload
def integer(
    name: str,
    value: object,
    *,
    minimum: int,
    maximum: int | None = None,
    none: Literal[False] = False,
) -> int: ...
@overload
def integer(
    name: str, value: object, *, minimum: int, maximum: int | None = None, none: Literal[True]
) -> int | None: ...
@overload
def integer(
    name: str,
    value: object,
    *,
    minimum: int,
    maximum: int | None = None,
    none: Literal[True],
    auto: Literal[True],
) -> int | Literal["auto"] | None: ...
def integer(
    name: str,
    value: object,
    *,
    minimum: int,
    maximum: int | None = None,
    none: bool = False,
    auto: bool = False,
) -> int | Literal["auto"] | None:
    """Return `value` as an int in ``[minimum, maximum]``.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        An int or a numpy integer; a bool or a float is refused, even a whole one.
    minimum, maximum : int
        The inclusive range; `maximum` None is no upper bound.
    none, auto : bool
        Whether None, or "auto", is a value too (it is returned as it is).

    Raises
    ------
    TypeError
        `value` is not an integer.
    ValueError
        `value` is out of range.
    """
    if none and value is None:
        return None
    if auto and isinstance(value, str) and value == "auto":
        return "auto"
    takes = f"an int >= {minimum}" if maximum is None else f"an int in [{minimum}, {maximum}]"
    takes += ", None or 'auto'" if auto else " or None" if none else ""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be {takes}, got {_shown(value)}")
    if value < minimum or (maximum is not None and value > maximum):
        raise ValueError(f"{name} must be {takes}, got {value}")
    return int(value)


def real(
    name: str,
    value: object,
    *,
    low: float | None = None,
    high: float | None = None,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """Return `value` as a finite float between `low` and `high`.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : object
        An int, a float or a numpy number of either kind; a bool is refused.
    low, high : float
        The range; None is no bound.
    low_open, high_open : bool
        Whether the bound itself is out of range.

    Raises
    ------
    TypeError
        `value` is not a real number.
    ValueError
        `value` is NaN, infinite, beyond float64, or out of range.
    """
    left = "(-inf" if low is None else f"{'(' if low_open else '['}{low:g}"
    right = "inf)" if high is None else f"{high:g}{')' if high_open else ']'}"
    takes = f"in {left}, {right}"
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number {takes}, got {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int beyond float64
        number = math.inf
    above = low is None or number > low or (number == low and not low_open)
    below = high is None or number < high or (number == high and not high_open)
    if not (math.isfinite(number) and above and below):
        raise ValueError(f"{name} must be {takes}, got {value}")
    return number


def flag(name: str, value: object) -> bool:
    """Return `value` as a bool.

    Raises
    ------
    TypeError
        `value` is not True or False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {_shown(value)}")
    return bool(value)


def choice(name: str, value: object, known: Iterable[str]) -> str:
    """Return `value` if it is one of the names in `known`.

    Raises
    ------
    TypeError
        `value` is not a string.
    ValueError
        `value` is not known; the message lists the names that are, and the nearest one.
    """
    names = list(known)
    takes = f"one of {', '.join(map(repr, names))}"
    if not isinstance(value, str):
        raise TypeError(f"{name} must be {takes}, got {_shown(value)}")
    if value in names:
        return value
    near = _nearest(value, names)
    hint = f" (did you mean {near!r}?)" if near else ""
    raise ValueError(f"{name} must be {takes}, got {value!r}{hint}")


Name = TypeVar("Name", bound=str)


class Names(Generic[Name]):
    """The names of one kind of thing, with those that other libraries have for the same things.

    Neither case nor ``_``, ``-`` and blanks tell names apart: "L-BFGS" is "lbfgs".

    Parameters
    ----------
    known : iterable of str
        The names that things go by in files, histories and messages.
    aliases : mapping of str to sequence of str
        By known name, further ones whose meaning is exactly the same.
    hints : mapping of str to str
        By each name whose meaning differs, or of which there is none, what to use instead, as the
        end of a message.
    """

    def __init__(
        self,
        known: Iterable[Name],
        aliases: Mapping[Name, Sequence[str]],
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.known = tuple(known)
        self.aliases = {alias: name for name, others in aliases.items() for alias in others}
        self._spelt: dict[str, Name] = {name: name for name in self.known}
        self._folded = {fold(name): known for name, known in self.aliases.items()}
        self._folded |= {fold(name): name for name in self.known}
        self.hints = {fold(name): hint for name, hint in (hints or {}).items()}

    def find(self, name: str, value: object) -> Name:
        """Return the known name that `value` stands for.

        Parameters
        ----------
        name : str
            The argument's name, for the message.
        value : object
            What was given for it.

        Raises
        ------
        TypeError
            `value` is not a string.
        ValueError
            `value` stands for none; the message says what does.
        """
        if not isinstance(value, str):
            return cast(Name, choice(name, value, self.known))  # which tells what it takes
        if value in self._spelt:
            return self._spelt[value]
        folded = fold(value)
        if folded in self._folded:
            return self._folded[folded]
        if folded in self.hints:
            hint = f": {self.hints[folded]}"
        else:
            near = _nearest(folded, self._folded)
            hint = f" (did you mean {self._folded[near]!r}?)" if near else ""
        takes = f"one of {', '.join(map(repr, self.known))}"
        raise ValueError(f"{name} must be {takes}, got {value!r}{hint}")


def fold(name: str) -> str:
    """A name without what people spell in several ways."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _nearest(value: str, names: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # which a right name has no need of

    return next(iter(get_close_matches(value, names, n=1)), None)


def _shown(value: object) -> str:
    """`value` and its type, cut where it would fill the screen."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, at the innermost line outside of this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, level)
