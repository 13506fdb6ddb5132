"""The barrier between the threads of a team, inside kernels.

A barrier is two ``int64`` words a cache line apart: how many have arrived, and the generation. The
last to arrive sets the count back and moves the generation on; the others wait for that.
"""

from __future__ import annotations

import ctypes
import functools
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import at, call_c

#: values between the two words
_GENERATION = 8
#: int64 values that a barrier takes
BARRIER_SIZE = 16
# Rounds of waiting before the processor is offered to others: about 20 microseconds, more than any
# thread is late by when each has a core of its own.
_SPINS = 2000


@intrinsic
def add(typingctx, pointer, n):
    """Adds to an ``int64`` in memory, as one step; gives the value before."""

    def codegen(context, builder, sig, args):
        return builder.atomic_rmw("add", args[0], args[1], "seq_cst")

    return types.int64(pointer, types.int64), codegen


@intrinsic
def _load(typingctx, pointer):
    def codegen(context, builder, sig, args):
        return builder.load_atomic(args[0], "acquire", 8)

    return types.int64(pointer), codegen


@intrinsic
def _store(typingctx, pointer, value):
    def codegen(context, builder, sig, args):
        builder.store_atomic(args[1], args[0], "release", 8)
        return context.get_dummy_value()

    return types.void(pointer, types.int64), codegen


@intrinsic
def _pause(typingctx):
    """Tells the core that this is a waiting loop, where the architecture has a word for it."""

    def codegen(context, builder, sig, args):
        triple = builder.module.triple
        if triple.startswith(("x86_64", "i386", "i686")):
            fn = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"
            )
            builder.call(fn, [])
        elif triple.startswith(("aarch64", "arm64")):
            i32 = ir.IntType(32)
            fn = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [i32]), "llvm.aarch64.hint"
            )
            builder.call(fn, [i32(1)])
        return context.get_dummy_value()

    return types.void(), codegen


@jit.kernel
def wait(barrier, threads, yield_address):
    """Returns when all `threads` threads have called it."""
    if threads == 1:
        return
    generation_at = at(barrier, _GENERATION)
    generation = _load(generation_at)
    if add(barrier, 1) == threads - 1:
        _store(barrier, 0)
        _store(generation_at, generation + 1)
        return
    spins = 0
    while _load(generation_at) == generation:
        if spins < _SPINS:
            spins += 1
            _pause()
        else:
            call_c(yield_address)


@functools.cache
def yield_address() -> int:
    """The address of the system's function that lets another thread run."""
    if sys.platform == "win32":
        function = ctypes.WinDLL("kernel32").SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0
