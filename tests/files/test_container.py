"""Kinds of files with more than one format: each is read as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.files import container


def demanded(value: Any, version: int) -> container.Tensors:
    """One row, whose length format 1 says, and format 2 among other things."""
    if version == 1:
        return {"row": ("F64", (value,))}
    container.check_keys("the row", value, {"length", "comment"})
    return {"row": ("F64", (value["length"],))}


KIND = container.Kind("rows", "row", "row", 2, demanded)
ROW = {"row": np.arange(3.0)}
VALUES: dict[int, Any] = {1: 3, 2: {"length": 3, "comment": "für später"}}


def read(path: Path, blob: bytes) -> tuple[Any, dict[str, Any], int]:
    path.write_bytes(blob)
    with container.naming(path):
        return container.read(path, KIND)


@pytest.mark.parametrize("version", VALUES)
def test_each_format_is_read(version: int, tmp_path: Path) -> None:
    blob = container.pack(KIND, VALUES[version], ROW, version)
    value, arrays, found = read(tmp_path / "row", blob)
    assert (value, found) == (VALUES[version], version)
    np.testing.assert_array_equal(arrays["row"], ROW["row"])


def test_the_newest_is_written() -> None:
    assert container.pack(KIND, VALUES[2], ROW) == container.pack(KIND, VALUES[2], ROW, 2)


def test_a_newer_one_is_told_which_are_read(tmp_path: Path) -> None:
    blob = container.pack(KIND, VALUES[2], ROW, 999)
    reason = rf"written in format 999 by fastbp .* \({fastbp.__version__}\) reads formats 1 to 2$"
    with pytest.raises(fastbp.ModelFileError, match=reason):
        read(tmp_path / "row", blob)


def test_what_one_format_has_not_is_refused_there(tmp_path: Path) -> None:
    blob = container.pack(KIND, VALUES[2], ROW).replace(
        rb"\"format_version\":2", rb"\"format_version\":1"
    )
    with pytest.raises(fastbp.ModelFileError):
        read(tmp_path / "row", blob)
