"""What is used of numba's inside: one list, which the versions here have and errors name."""

from __future__ import annotations

import subprocess
import sys

import numba
import pytest
from compiler_parts import used
from paths import ROOT

from fastbp.kernels.compiling import inside

ALL = {"needed": inside.NEEDED, "later": inside.LATER, "helpful": inside.HELPFUL}


@pytest.mark.parametrize("part", ALL)
def test_this_numba_has_it(part: str) -> None:
    """Run with the lowest versions and with the newest ones by .ci/run, weekly with previews."""
    assert inside.missing(ALL[part]) == []


def test_the_list_is_what_the_modules_use() -> None:
    early, later, handed = used()
    listed = {key: set(names.split()) for part in ALL.values() for key, names in part.items()}
    for part in ALL.values():  # the same module may be in several
        for key, names in part.items():
            listed[key] |= set(names.split())
    for owner, names in [*early.items(), *later.items()]:
        assert names <= listed.get(owner, set()), owner
    for kind, names in handed.items():
        module, _, name = kind.rpartition(".")
        assert names == listed[f"{module}:{name}"], kind
    known = {*early, *later} | {f"{k.rpartition('.')[0]}:{k.rpartition('.')[2]}" for k in handed}
    for owner, names in listed.items():
        if ":" not in owner:
            assert owner in known, f"{owner} is not used any more"
            assert names <= early[owner] | later[owner], owner


def test_the_oldest_is_the_one_that_is_asked_for() -> None:
    assert f'"numba>={inside.OLDEST}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert tuple(map(int, inside.OLDEST.split("."))) <= tuple(
        map(int, numba.__version__.split(".")[:2])
    )


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 1, result.stderr
    return result.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("take", "name"),
    [
        ("import numba.core.cgutils as m; del m.alloca_once", "numba.core.cgutils.alloca_once"),
        ("import numba.extending as m; del m.overload", "numba.extending.overload"),
        ("import llvmlite.ir as m; del m.IRBuilder.load_atomic", "llvmlite.ir.IRBuilder.load_a"),
        ("import sys; sys.modules['numba.np.numpy_support'] = None", "numba.np.numpy_support"),
    ],
)
def test_what_is_missing_is_named_at_import(take: str, name: str) -> None:
    last = run(f"import numba, numba.extending\n{take}\nimport fastbp")
    assert last.startswith("ImportError: fastbp")
    assert "needs parts of numba that numba " in last
    assert name in last
    assert f"numba {numba.__version__} with llvmlite" in last
    assert f"tested with numba {inside.OLDEST} to {inside.NEWEST}" in last


def test_what_is_missing_is_named_at_the_first_compile() -> None:
    last = run(
        "import os, sys; os.environ['FASTBP_CACHE'] = '0'; import fastbp\n"
        "sys.modules['numba.core.ccallback'] = None\n"
        "fastbp.Network(2, [fastbp.Dense(1)]).predict([[1.0, 2.0]])"
    )
    assert "ImportError: fastbp" in last
    assert "numba.core.ccallback" in last


def test_what_only_helps_may_be_missing() -> None:
    code = (
        "import os, sys; os.environ['FASTBP_CACHE'] = '0'\n"
        "import numba.core.codegen as m; del m.CPUCodeLibrary._optimize_final_module\n"
        "import fastbp; print(fastbp.kernels.compiling.jit._LINKED)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert found.stdout.strip() == "{}"


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(AttributeError, match="no_such"), inside.named():
        _ = inside.no_such  # type: ignore[attr-defined]
