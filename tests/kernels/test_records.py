"""Records of int64: declared once, read and written by name in kernels, numpy and Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError

from fastbp.kernels.compiling import cache, jit
from fastbp.kernels.compiling.records import Fields, Record

POINT = Record("x y")
SHAPE = Record("kind", "n_points first", whole_lines=True, origin=POINT, centre=POINT)
shape, point_of, x_of = SHAPE.at_address(), POINT.numbered(behind=SHAPE.size), POINT.numbered()
_HEAD = 8 * SHAPE.size  # bytes


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "folder", lambda: None)


def compiled(function: Any) -> Any:
    """An entry that no list of parts knows."""
    entry = jit.entry(function)
    jit.PARTS.remove(entry)
    return entry.compiled("float32")


@jit.kernel
def moved(origin: Any, by: Any) -> Any:
    origin.x += by
    return origin.y


def test_kernels_numpy_and_python_read_and_write_the_same() -> None:
    table = np.zeros(SHAPE.size + 3 * POINT.size, np.int64)
    header = table[: SHAPE.size].view(SHAPE.dtype)
    points = table[SHAPE.size :].view(POINT.dtype)
    fields = Fields(SHAPE, memoryview(table.data))
    header["kind"], fields["n_points"] = 7, 3
    fields.nested("centre").write(x=0, y=11)
    header["origin"]["y"], points["x"], points["y"] = 5, [1, 2, 3], [10, 20, 30]

    def work(like, address):  # type: ignore[no-untyped-def]
        s = shape(address)
        total = 100 * moved(s.origin, 4) + s.centre.y
        for number in range(s.n_points):
            point = point_of(s, number)
            total += point.x * point.y
            point.x = number > 0
        s.first = x_of(address + _HEAD, 2).y
        return total

    assert compiled(work)(0.0, table.ctypes.data) == 500 + 11 + 10 + 40 + 90
    assert header["origin"]["x"][0] == fields.nested("origin")["x"] == 4
    assert points["x"].tolist() == [0, 1, 1]
    assert fields["first"] == table[SHAPE.fields["first"]] == 30
    assert fields["kind"] == 7


def test_places() -> None:
    assert SHAPE.fields == {"kind": 0, "n_points": 1, "first": 2, "origin": 3, "centre": 5}
    assert (SHAPE.size, SHAPE.dtype.itemsize, POINT.dtype.itemsize) == (8, 64, 16)


def test_a_field_that_there_is_not() -> None:
    def work(like, address):  # type: ignore[no-untyped-def]
        return shape(address).width

    with pytest.raises((TypingError, KeyError), match="width"):
        compiled(work)
    with pytest.raises(KeyError, match="width"):
        Fields(SHAPE, memoryview(np.zeros(8, np.int64).data))["width"]
