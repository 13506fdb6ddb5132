"""What kernels are made for, on machines that are not here, and where LLVM can't tell."""

from __future__ import annotations

import re

import child
import llvmlite.binding as llvm
import other_machines
import pytest
from numba.core import config

from fastbp.kernels.compiling import target
from fastbp.kernels.compiling.target import Registers, registers, tile_rows

ARM, APPLE = "aarch64-unknown-linux-gnu", "arm64-apple-darwin23.6.0"
X86, POWER = "x86_64-unknown-linux-gnu", "powerpc64le-unknown-linux-gnu"
AVX512 = ("sse2", "avx", "avx2", "fma", "avx512f", "avx512vl")
#: triple, features that LLVM tells of, and what follows
MACHINES: dict[str, tuple[str, tuple[str, ...], Registers]] = {
    "Apple": (APPLE, ("neon", "fp-armv8", "fullfp16"), Registers(32, 16, True)),
    "Apple, nothing told": (APPLE, (), Registers(32, 16, True)),
    "ARM, nothing told": (ARM, (), Registers(32, 16, True)),
    "ARM with SVE": (ARM, ("neon", "sve", "sve2"), Registers(32, 16, True)),
    "ARM, Windows": ("aarch64-pc-windows-msvc", (), Registers(32, 16, True)),
    "AVX-512": (X86, AVX512, Registers(32, 64, True)),
    "AVX2": (X86, ("sse2", "avx", "avx2", "fma"), Registers(16, 32, True)),
    "AVX": (X86, ("sse2", "avx"), Registers(16, 32, False)),
    "x86-64, nothing told": (X86, (), Registers(16, 16, False)),
    "x86-64, macOS": ("x86_64-apple-darwin20", ("avx", "avx2", "fma"), Registers(16, 32, True)),
    "ARM of 32 bits": ("armv7l-unknown-linux-gnueabihf", ("neon",), Registers(16, 16, False)),
    "POWER": (POWER, (), Registers(16, 16, False)),
    "RISC-V": ("riscv64-unknown-linux-gnu", ("v", "f", "d"), Registers(16, 16, False)),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_registers(machine: str) -> None:
    triple, features, expected = MACHINES[machine]
    assert registers(triple, features) == expected


@pytest.mark.parametrize("fma", [True, False])
@pytest.mark.parametrize(
    ("count", "size", "rows"), [(32, 64, 14), (32, 16, 12), (16, 32, 6), (16, 16, 6)]
)
def test_rows_of_a_tile(count: int, size: int, rows: int, fma: bool) -> None:
    """Sums, two vectors of B and one of A fit."""
    assert tile_rows(Registers(count, size, fma)) == rows
    assert target.TILE_VECTORS * (rows + 1) < count


def test_this_machine() -> None:
    here = target.REGISTERS
    assert here == registers(llvm.get_process_triple(), target.FEATURES)
    assert (here.size, here.fma) == (target.VECTOR_BYTES, target.HAS_FMA)
    assert tile_rows(here) == target.TILE_ROWS
    assert [target.lanes(size) for size in (4, 8)] == [here.size // 4, here.size // 8]


@pytest.mark.parametrize(
    ("answer", "triple", "expected"),
    [
        ("raises", APPLE, [32, 16, True, 12, 4, 2]),
        ("nothing", ARM, [32, 16, True, 12, 4, 2]),
        ("other features", ARM, [32, 16, True, 12, 4, 2]),
        ("raises", X86, [16, 16, False, 6, 4, 2]),
        ("nothing", X86, [16, 16, False, 6, 4, 2]),
        ("raises", POWER, [16, 16, False, 6, 4, 2]),
    ],
)
def test_import_where_llvm_can_not_tell(answer: str, triple: str, expected: list[object]) -> None:
    found = child.call(other_machines.asked, answer, triple)
    name = config.CPU_NAME or llvm.get_host_cpu_name()
    assert found["made for"] == expected
    assert found["key"] == [triple, name, "+aes,-sve" if answer == "other features" else ""]


def test_a_fit_where_llvm_can_not_tell() -> None:
    """On any machine; numba itself goes by the CPU's name then."""
    found = child.call(other_machines.asked, "raises")
    assert found["made for"][:4] in ([32, 16, True, 12], [16, 16, False, 6])
    assert found["losses"] == pytest.approx(other_machines.small_fit(), rel=1e-4)


# -- tiles for AArch64, by a compiler for all targets ----------------------------------------------


def innermost(text: str) -> list[str]:
    """The loop over k: what stands from a label to the jump back to it, with FMAs in it."""
    label, block = "", []
    for line in (line.strip() for line in text.splitlines()):
        if match := re.match(r"(\S*BB\S+):", line):
            label, block = match[1], []
        elif line and not line.startswith(("//", ";", "#")):
            block.append(line)
            if line.startswith("b.") and line.split()[1] == label and "fmla" in " ".join(block):
                return block
    raise AssertionError(f"no loop with FMAs in\n{text}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("triple", "cpu"), [(ARM, "generic"), (ARM, "neoverse-n1"), (APPLE, "apple-m1")]
)
def test_the_tiles_loop_on_aarch64(triple: str, cpu: str, dtype: str) -> None:
    """FMAs by lane of values loaded one by one, and nothing that goes to the stack and back."""
    texts = child.call(other_machines.tiles, triple, cpu, dtype)
    if texts is None:
        pytest.skip("this LLVM has no AArch64")
    assert len(texts) == 12
    for rows, text in enumerate(texts, 1):
        loop = innermost(text)
        lanes = [s for s in loop if re.match(r"fmla(\.\w+)?\s.*\[0\]$", s)]
        rounds, rest = divmod(len(lanes), 2 * rows)  # low tiles are unrolled
        assert rest == 0, rows
        assert rounds > 0, rows
        assert len([s for s in loop if "fml" in s or "fmul" in s]) == len(lanes), rows
        assert not [s for s in loop if "[sp" in s or re.match(r"(dup|ld1r|bl)\b", s)], rows
        if rows == 12:
            assert rounds == 1
            assert len(loop) <= 24 + 12 + 2 + 5  # FMAs, A, B, and what counts and steps
