"""What the CPU that numba compiles for can hold in a register: baked into the kernels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import llvmlite.binding as llvm
from numba.core import config


class Registers(NamedTuple):
    """The vector registers of a CPU: how many, the bytes of each, and whether it has FMA."""

    total: int
    size: int
    fma: bool


def registers(triple: str, features: Collection[str]) -> Registers:
    """Registers of a CPU of that architecture, with those features of LLVM's.

    AArch64 has 32 of NEON, and FMA, without a feature that says so: what LLVM tells of such CPUs
    goes from nothing to all they have, by its version and the system. Elsewhere no feature is a
    vector of 16 bytes, as SSE2 has, which LLVM makes of scalars where a CPU has none.
    """
    architecture = triple.partition("-")[0]
    if architecture.startswith(("aarch64", "arm64")):
        return Registers(32, 16, True)
    if architecture in ("x86_64", "amd64"):
        if "avx512f" in features:
            return Registers(32, 64, True)
        return Registers(16, 32 if "avx" in features else 16, "fma" in features)
    return Registers(16, 16, False)


def tile_rows(vectors: Registers) -> int:
    """Rows of a register tile that is two vectors wide.

    14 x 2 sums on the 32 registers of AVX-512 leave two for vectors of B and a broadcast of A,
    6 x 2 on 16. Timed with AVX-512: 12 x 2 and 8 x 3 are 2 % slower. NEON has no operand in memory,
    so that A takes registers, and LLVM loads up to six values of it ahead: 13 and 14 rows spill.
    """
    if vectors.total < 32:
        return 6
    return 14 if vectors.size == 64 else 12


def _asked() -> tuple[str, dict[str, bool]]:
    """The host's features as numba asks LLVM for them: flat, and each by its name."""
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # by versions of LLVM that can't tell on this system
        return "", {}
    return features.flatten(), features


# All of it is asked once, as this is imported: llvmlite frees such a string twice where an
# interrupt comes into the asking, and ends the process.
TRIPLE: Final[str] = llvm.get_process_triple()
CPU_NAME: Final[str] = config.CPU_NAME or llvm.get_host_cpu_name()
_HOST: Final = _asked()
_ALL_FEATURES: Final[str] = _HOST[0] if config.CPU_FEATURES is None else config.CPU_FEATURES


def _features() -> set[str]:
    """The features that numba will compile for, by numba's own rules."""
    if config.CPU_FEATURES is not None:
        return {f[1:] for f in config.CPU_FEATURES.split(",") if f.startswith("+")}
    if config.CPU_NAME == "generic":
        return set()
    features = {name for name, there in _HOST[1].items() if there}
    return features if config.ENABLE_AVX else {f for f in features if not f.startswith("avx")}


FEATURES: Final = frozenset(_features())
REGISTERS: Final = registers(TRIPLE, FEATURES)
#: bytes in a vector register: AVX-512 64, AVX and AVX2 32, SSE2 and NEON 16
VECTOR_BYTES: Final = REGISTERS.size
HAS_FMA: Final = REGISTERS.fma
TILE_ROWS: Final = tile_rows(REGISTERS)
TILE_VECTORS: Final = 2


def cpu() -> tuple[str, str, str]:
    """Triple, name and features of the CPU that numba compiles for."""
    return TRIPLE, CPU_NAME, _ALL_FEATURES


def lanes(itemsize: int) -> int:
    """Values of `itemsize` bytes in one vector register."""
    return VECTOR_BYTES // itemsize
