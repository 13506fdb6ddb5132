"""What kernels/README.md says of the kernels is true."""

from __future__ import annotations

import inspect
import re

import pytest
from paths import ROOT

from fastbp.kernels import forward
from fastbp.kernels import layout as lay
from fastbp.kernels.compiling import jit, roles, simd
from fastbp.kernels.compiling.target import lanes

KERNELS = ROOT / "fastbp" / "kernels"
TEXT = (KERNELS / "README.md").read_text(encoding="utf-8")


def test_the_kernel_that_is_explained() -> None:
    """To the last character, one piece behind the other."""
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert "".join(blocks) == inspect.getsource(forward.forward.py_func)


def test_names() -> None:
    """Decorators, roles, files, records and functions that are named are there."""
    code = re.findall(r"`([^`\n]+)`", TEXT)
    for name in re.findall(r"jit\.(\w+)", " ".join(code)):
        assert hasattr(jit, name), name
    for name in re.findall(r"roles\.(?!py)(\w+)", " ".join(code)):
        assert hasattr(roles, name), name
    for name in code:
        if name.isupper():
            assert isinstance(getattr(lay, name), lay.Record), name
        if re.fullmatch(r"[\w/]+(\.py|/)", name):
            assert (KERNELS / name).exists() or (KERNELS.parent / name).exists(), name
    for name in ("pointer", "at", "cast"):
        assert hasattr(simd, name), name
    assert hasattr(roles, "call_forward")
    for name in re.findall(r"\bt\.(\w+)", TEXT):
        assert name in lay.HEADER.fields, name
    for name in re.findall(r"\blayer\.(\w+)", TEXT):
        assert name in lay.LAYER.fields, name


@pytest.mark.skipif(lanes(4) != 16, reason="the example is that of AVX-512")
def test_the_panels_of_the_example() -> None:
    assert lay.panels(40, 4) == [(0, 32), (32, 16)]
