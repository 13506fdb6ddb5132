"""The roof: the most floating-point operations a second that one core was seen to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.roles import call_tiles
from fastbp.kernels.compiling.simd import cast, lanes_of, pointer
from fastbp.kernels.compiling.target import REGISTERS, TILE_ROWS, TILE_VECTORS, lanes
from fastbp.kernels.compiling.vectors import Vectors, ir_type, loop
from fastbp.kernels.maths import matmul

# Latency times units wants 8 to 10 independent sums; 16 registers hold 12, 32 hold 24.
_SUMS = 24 if REGISTERS.total == 32 else 12
_DEPTH = 256  # terms of each sum of the bare tile: its operands stay in L1


@intrinsic
def _multiply_add(typingctx, like, count):
    """`count` rounds of one FMA on each of `_SUMS` vectors; a number that depends on them all."""

    def codegen(context, builder, sig, args):
        v = Vectors(builder, ir_type(sig.args[0]))
        scale, add = (v.splat(v.element(x)) for x in (0.75, 0.25))
        start = [v.splat(v.element(1.5 + i)) for i in range(_SUMS)]

        # x <- 0.75 x + 0.25 stays between its start and 1: no denormal, no overflow
        def step(_: Any, sums: list[Any]) -> list[Any]:
            return [v.fma(s, scale, add) for s in sums]

        total, *others = loop(builder, args[1], start, step)
        for s in others:
            total = builder.fadd(total, s)
        return builder.fptosi(v.sum(total), ir.IntType(64))

    return types.int64(like, types.int64), codegen


@jit.entry
def multiply_add(like, count):
    return _multiply_add(like, count)


@jit.entry
def bare_tile(like, by, a, b, c, count):
    """The products' register tile, again and again on operands that stay in L1."""
    pa, pb, pc = pointer(like, a), pointer(like, b), pointer(like, c)
    width = TILE_VECTORS * lanes_of(pc)
    low = cast(pc, -float("inf"))
    for _ in range(count):
        call_tiles(
            by,
            (
                pa, _DEPTH, 1, pb, width, pc, 0, pc, width, _DEPTH, low, pc, 0,
                TILE_ROWS, TILE_VECTORS,
            ),
        )  # fmt: skip
    return 0


def candidates(dtype: str) -> dict[str, tuple[Callable[[int], int], float]]:
    """By name, a function of a count that releases the interpreter lock, and its operations each.

    The roof is the best of them.
    """
    width = TILE_VECTORS * lanes(np.dtype(dtype).itemsize)
    a, b, c = (np.zeros(n, dtype) for n in (TILE_ROWS * _DEPTH, _DEPTH * width, TILE_ROWS * width))
    fma, tile = multiply_add.compiled(dtype), bare_tile.compiled(dtype)
    by = matmul.tiles.address(dtype)
    return {
        "fma": (lambda n: fma(0.0, n), 2.0 * _SUMS * lanes(np.dtype(dtype).itemsize)),
        "tile": (
            lambda n: tile(0.0, by, a.ctypes.data, b.ctypes.data, c.ctypes.data, n),
            2.0 * TILE_ROWS * width * _DEPTH,
        ),
    }


def measure(dtype: str, seconds: float = 0.05, rounds: int = 3) -> float:
    """Operations a second of one core: the best of all candidates and rounds."""
    best = 0.0
    for run, operations in candidates(dtype).values():
        run(1)
        count = 1
        while (took := _timed(run, count)) < seconds / 4:
            count *= 2
        count = max(1, round(count * seconds / took))
        best = max(best, *(count * operations / _timed(run, count) for _ in range(rounds)))
    return best


def _timed(run: Callable[[int], int], count: int) -> float:
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start
