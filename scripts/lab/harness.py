"""What the lab's scripts share: kernels called again and again from one kernel, and a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from places import named, part

jit = part("kernels.compiling.jit", "kernels.jit")
simd = part("kernels.compiling.simd", "kernels.simd")
_ROLES = "kernels.compiling.roles", "kernels.compiling.simd", "kernels.simd"
call_forward, call_backward = named("call_forward", *_ROLES), named("call_backward", *_ROLES)
call_loss, call_gather = named("call_loss", *_ROLES), named("call_gather", *_ROLES)
call_tiles, call_update = named("call_tiles", *_ROLES), named("call_update", *_ROLES)
cast = named("cast value", "kernels.compiling.simd", "kernels.simd")
aligned_zeros = named("aligned_zeros", "runtime.memory", "runtime.program", "program")

DTYPE = "float32"
_INT, _DOUBLE = np.int64(0), np.float64(0.0)


@jit.entry
def forward(tag, by, a, rows, n, ld, count):
    p = simd.pointer(tag, a)
    for _ in range(count):
        call_forward(by, (p, rows, n, ld, p))
    return 0


@jit.entry
def backward(tag, by, d, a, rows, n, ld, count):
    p, q = simd.pointer(tag, d), simd.pointer(tag, a)
    for _ in range(count):
        call_backward(by, (p, q, q, rows, n, ld, q))
    return 0


@jit.entry
def loss(tag, by, z, p, t, w, d, e, rows, k, ld, count):
    pz, pp, pt = simd.pointer(tag, z), simd.pointer(tag, p), simd.pointer(tag, t)
    pw, pd, pe = simd.pointer(tag, w), simd.pointer(tag, d), simd.pointer(_DOUBLE, e)
    one = cast(pz, 1)
    for _ in range(count):
        call_loss(by, (pz, pp, pt, pw, pd, pe, rows, k, ld, one, pz))
    return 0


@jit.entry
def gather(tag, by, out, source, row_stride, feature_stride, index, rows, n, ld, count):
    p, q = simd.pointer(tag, out), simd.pointer(_INT, index)
    for _ in range(count):
        call_gather(by, (p, source, row_stride, feature_stride, q, q, rows, n, ld))
    return 0


@jit.entry
def tiles(tag, by, a, am, ak, b, bk, c, cm, k, masked, rows, vectors, count):
    pa, pb, pc = simd.pointer(tag, a), simd.pointer(tag, b), simd.pointer(tag, c)
    low = cast(pc, -float("inf"))
    for _ in range(count):
        call_tiles(by, (pa, am, ak, pb, bk, pb, 0, pc, cm, k, low, pc, masked, rows, vectors))
    return 0


@jit.entry
def update(tag, by, p, g, s0, s1, n, hyper, count):
    pp, pg, h = simd.pointer(tag, p), simd.pointer(tag, g), simd.pointer(_DOUBLE, hyper)
    p0, p1 = simd.pointer(tag, s0), simd.pointer(tag, s1)
    for _ in range(count):
        call_update(by, (pp, pg, p0, p1, p1, n, h))
    return 0


def random_values(n: int, dtype: str = DTYPE) -> Any:
    """n standard normal values in an aligned buffer."""
    buffer = aligned_zeros(n, dtype)
    buffer[:] = np.random.default_rng(0).standard_normal(n)
    return buffer


def nanoseconds(entry: jit.Entry, *arguments: Any, seconds: float = 0.02) -> float:
    """A call's nanoseconds: the best of seven runs of about `seconds` each.

    Arrays among the arguments are passed by address.
    """
    values = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments]
    run: Callable[..., int] = entry.compiled(DTYPE)
    count = 1
    while (took := _timed(run, values, count)) < seconds / 4:
        count *= 2
    count = max(1, round(count * seconds / took))
    return min(_timed(run, values, count) for _ in range(7)) / count * 1e9


def _timed(run: Callable[..., int], values: list[Any], count: int) -> float:
    start = time.perf_counter()
    run(0.0, *values, count)
    return time.perf_counter() - start
