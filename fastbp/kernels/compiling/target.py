"""What the CPU that numba compiles for can hold in a register: baked into the kernels."""

from __future__ import annotations

from typing import Final

import llvmlite.binding as llvm
from numba.core import config


def _features() -> set[str]:
    """The features that numba will compile for, by numba's own rules."""
    if config.CPU_FEATURES is not None:
        return {f[1:] for f in config.CPU_FEATURES.split(",") if f.startswith("+")}
    if config.CPU_NAME == "generic":
        return set()
    features = {name for name, there in llvm.get_host_cpu_features().items() if there}
    return features if config.ENABLE_AVX else {f for f in features if not f.startswith("avx")}


FEATURES: Final = frozenset(_features())
#: bytes in a vector register: AVX-512 64, AVX and AVX2 32, SSE2 and NEON 16
VECTOR_BYTES: Final = 64 if "avx512f" in FEATURES else 32 if "avx" in FEATURES else 16
HAS_FMA: Final = bool({"fma", "avx512f"} & FEATURES) or "neon" in FEATURES
#: rows of a register tile; it is two vectors wide. 14 x 2 sums on 32 registers leave two for
#: vectors of B and a broadcast of A; 6 x 2 on 16. Timed with 32: 12 x 2 and 8 x 3 are 2 % slower.
TILE_ROWS: Final = 14 if {"avx512f", "neon"} & FEATURES else 6
TILE_VECTORS: Final = 2


# Asked once, as this is imported: llvmlite frees such a string twice where an interrupt comes into
# the asking, and ends the process.
TRIPLE: Final[str] = llvm.get_process_triple()
CPU_NAME: Final[str] = config.CPU_NAME or llvm.get_host_cpu_name()
_ALL_FEATURES: Final[str] = (
    llvm.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else config.CPU_FEATURES
)


def cpu() -> tuple[str, str, str]:
    """Triple, name and features of the CPU that numba compiles for."""
    return TRIPLE, CPU_NAME, _ALL_FEATURES


def lanes(itemsize: int) -> int:
    """Values of `itemsize` bytes in one vector register."""
    return VECTOR_BYTES // itemsize
