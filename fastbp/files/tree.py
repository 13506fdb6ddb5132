"""Nested settings and figures with arrays among them, as JSON beside named tensors.

Strings, whole numbers, booleans, None, finite floats and lists stand for themselves. What JSON
hasn't is a dict of one entry: ``{"float": "inf"}``, ``{"tensor": name}``, ``{"map": {...}}``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def encode(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """`value` for JSON; arrays of float32 and float64 go to `arrays`, named by where they stand.

    Raises
    ------
    TypeError
        There is something else in it.
    """
    if isinstance(value, np.ndarray):
        if value.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name} must be of float32 or float64, got {value.dtype}")
        arrays[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{name} must have strings for keys")
        return {"map": {key: encode(v, f"{name}.{key}", arrays) for key, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return [encode(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"float": str(number)}
    if isinstance(value, np.integer):
        return int(value)
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"{name} must be made of numbers, strings, lists, dicts and arrays: {value!r}")


def decode(value: Any, arrays: dict[str, Array]) -> Any:
    """What `encode` was given, tuples as lists.

    Raises
    ------
    ValueError
        It is not as `encode` writes it.
    """
    if isinstance(value, list):
        return [decode(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"map": dict(inner)} if len(value) == 1:
            return {key: decode(v, arrays) for key, v in inner.items()}
        case {"tensor": str(name)} if len(value) == 1 and name in arrays:
            return arrays[name]
        case {"float": "inf" | "-inf" | "nan" as number} if len(value) == 1:
            return float(number)
    raise ValueError(f"unreadable: {str(value)[:60]}")
