"""Python's numbers as arrays of numpy's, and words for what is no number."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.values import missing

Array = NDArray[Any]

#: what a column may hold that is no real number, and what to do about it
_WAYS_OUT = {
    "text": "encode it as numbers (one column a category, say), or use `fastbp train`",
    "categories": "encode them as numbers (one column a category, say), or use `fastbp train`",
    "dates": "turn them into numbers, the days since a date for example",
    "times": "turn them into numbers, seconds for example",
    "durations": "turn them into numbers, seconds for example",
    "complex numbers": "give real and imaginary parts as columns of their own",
    "bytes": "decode them into numbers",
    "lists": "give one number a row and column; numpy.stack makes an array of rows of equal length",
    "records": "give each field as a column of its own",
}
#: values that are looked at to tell whether text is of digits
FIRST = 100
_OF_DIGITS = "numpy.asarray(values, float) makes numbers of such text"
_NUMPY = {"M": "dates", "m": "durations", "c": "complex numbers", "U": "text", "T": "text"}
_NUMPY |= {"S": "bytes", "V": "records"}
_CLASSES = {"date": "dates", "datetime": "dates", "Timestamp": "dates", "datetime64": "dates"}
_CLASSES |= {"time": "times", "timedelta": "durations", "Timedelta": "durations"}
_CLASSES |= {"timedelta64": "durations"}


def objects(a: Array, name: str, hint: str = "") -> Array:
    """Read Python's numbers, those of numpy, Fraction and Decimal, from an array of objects.

    Parameters
    ----------
    a : ndarray of object
    name : str
        Whose values they are, for messages.
    hint : str
        What to do about text, where that isn't what to do about text among features.

    Returns
    -------
    ndarray
        Of bool, int64 or uint64 where all values are, else of float64.

    Raises
    ------
    TypeError
        A value is no real number.
    ValueError
        A value is missing, or too great for float64.
    """
    flat = a.reshape(-1)
    kinds = set(map(type, flat))
    if any(not (_is_number(kind) or _is_missing(kind)) for kind in kinds):
        raise _no_number(a, name, hint)
    if any(map(_is_missing, kinds)):
        absent = [_is_missing(type(v)) or (isinstance(v, float) and v != v) for v in flat]
        raise missing(name, np.array(absent).reshape(a.shape))
    if all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return a.astype(np.bool_)
    if all(issubclass(kind, (int, np.integer, np.bool_)) for kind in kinds) and len(flat):
        least, most = int(min(flat)), int(max(flat))
        if least >= -(2**63) and most < 2**63:
            return a.astype(np.int64)
        if least >= 0 and most < 2**64:
            return a.astype(np.uint64)
    try:
        return a.astype(np.float64)
    except (OverflowError, TypeError, ValueError, AttributeError):
        for i, number in enumerate(flat):
            try:
                float(number)
            except (OverflowError, TypeError, ValueError, AttributeError) as error:  # noqa: PERF203
                raise ValueError(
                    f"{name} must hold finite numbers that fit float64, "
                    f"got {_text(number)} at {_place(i, a)}"
                ) from error
        raise


def refusal(a: Array, name: str, hint: str = "") -> TypeError:
    """Return the error for an array of other than real numbers.

    Parameters
    ----------
    a : ndarray
    name : str
        Whose values they are.
    hint : str
        What to do about text, where that isn't what to do about text among features.
    """
    if a.dtype.kind == "O":
        value = a.item()
        way_out = "give an array, a list of rows or a data frame"
        if isinstance(value, dict):
            way_out += ", which pandas.DataFrame makes of columns in a dict"
        got = "None" if value is None else f"an object of {_class(type(value))}"
    else:
        what, got = _NUMPY.get(a.dtype.kind, ""), f"dtype {a.dtype}"
        way_out = _WAYS_OUT.get(what, "give one of numpy's real dtypes")
        if what == "text":
            way_out = hint or (_OF_DIGITS if _digits(a) else way_out)
    return TypeError(f"{name} must hold real numbers, got {got}: {way_out}")


def _class(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _digits(a: Array) -> bool:
    """Whether text starts with numbers: a few values tell."""
    try:
        a.reshape(-1)[:FIRST].astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _is_number(kind: type) -> bool:
    """Whether values of this class are real numbers."""
    real = issubclass(kind, (numbers.Real, np.integer, np.floating, np.bool_))
    return real or (kind.__module__ in ("decimal", "_decimal", "_pydecimal"))


def _is_missing(kind: type) -> bool:
    """Whether a value of this class stands for one that isn't there."""
    return kind is type(None) or kind.__name__ in ("NAType", "NaTType", "MaskedConstant")


def _place(i: int, a: Array) -> str:
    """Where the i-th value of `a` is."""
    width = a.size // len(a)
    return f"row {i // width}" + (f", feature {i % width}" if a.ndim > 1 else "")


def _text(value: object) -> str:
    found = repr(value)
    return found if len(found) < 40 else f"{found[:36]}…"


def _no_number(a: Array, name: str, hint: str) -> TypeError:
    """The error for the first value that neither is a number nor stands for a missing one."""
    kinds = map(type, a.reshape(-1))
    i = next(i for i, kind in enumerate(kinds) if not (_is_number(kind) or _is_missing(kind)))
    value = a.reshape(-1)[i]
    place = f" ({_text(value)} in {_place(i, a)})"
    return no_numbers(name, _what(value), hint, place, a)


def _what(value: object) -> str:
    """What a value is that is no number."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, (bytes, bytearray)):
        return "bytes"
    if isinstance(value, (complex, np.complexfloating)):
        return "complex numbers"
    if isinstance(value, (list, tuple, set, np.ndarray)):
        return "lists"
    if isinstance(value, dict):
        return "records"
    return _CLASSES.get(type(value).__name__, f"objects of {_class(type(value))}")


def no_numbers(
    name: str, what: str, hint: str = "", place: str = "", values: Array | None = None
) -> TypeError:
    """Return the error for values that are no real numbers.

    Parameters
    ----------
    name : str
        Whose values they are.
    what : str
        What they are, in the plural.
    hint : str
        What to do about text, where that isn't what to do about text among features.
    place : str
        What follows `what`: a value and where it stands; of text it is found among `values`.
    values : ndarray of object, optional
        The first of them, or all, which tell whether text is of digits.
    """
    if what == "text" and not place and values is not None:
        rows = (i for i, value in enumerate(values) if isinstance(value, str))
        row = next(rows, None)
        place = "" if row is None else f" ({_text(values[row])} in row {row})"
    way_out = _WAYS_OUT.get(what, "turn them into numbers")
    if hint and what in ("text", "categories"):
        way_out = hint
    elif what == "text" and values is not None and _digits(values):
        way_out = _OF_DIGITS
    return TypeError(f"{name} must hold real numbers, got {what}{place}: {way_out}")
