"""Pointers, vectors and calls by address: what numba's own language cannot say.

Every intrinsic here becomes a few LLVM instructions where it is used. Pointers are numba's
``CPointer``, so ``p[i]`` reads and writes; strides and counts are in values, not bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.compiling.target import lanes

_I64 = ir.IntType(64)


@intrinsic
def pointer(typingctx, like, address):
    """The ``int64`` `address` as a pointer to values of `like`'s type."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[1], context.get_value_type(sig.return_type))

    return types.CPointer(like)(like, types.int64), codegen


@intrinsic
def address(typingctx, pointer):
    """A pointer as an ``int64``."""

    def codegen(context, builder, sig, args):
        return builder.ptrtoint(args[0], _I64)

    return types.int64(pointer), codegen


@intrinsic
def at(typingctx, pointer, offset):
    """`pointer` moved on by `offset` values."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.int64), codegen


@intrinsic
def lanes_of(typingctx, pointer):
    """How many of the pointer's values a vector holds: a constant."""

    def codegen(context, builder, sig, args):
        return _I64(lanes(sig.args[0].dtype.bitwidth // 8))

    return types.int64(pointer), codegen


@intrinsic
def cast(typingctx, pointer, x):
    """A number as a value of the pointer's type."""

    def codegen(context, builder, sig, args):
        return context.cast(builder, args[1], sig.args[1], sig.return_type)

    return pointer.dtype(pointer, x), codegen


@intrinsic
def prefetch(typingctx, address):
    """Ask for the cache line at an ``int64`` address, for reading, into all levels."""

    def codegen(context, builder, sig, args):
        i8p, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        fn = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [i8p, i32, i32, i32]),
            "llvm.prefetch.p0" if _opaque(builder) else "llvm.prefetch.p0i8",
        )
        line = builder.inttoptr(args[0], i8p)
        builder.call(fn, [line, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _opaque(builder: ir.IRBuilder) -> bool:
    return str(ir.IntType(8).as_pointer()) == "ptr"


def call(role: Callable[[Any], Any]) -> Any:
    """An intrinsic that calls the kernel of that role at an address (`CFunc.address`).

    ``call(role)(address, (argument, ...))``: arguments travel as a tuple, so that one intrinsic
    serves a role; LLVM takes it apart again. The call is by numba's own convention, which has
    places for a result and an exception before the arguments, and returns a status. Kernels never
    raise.
    """
    signature = role(types.float32)  # the number of arguments and the result are those of any dtype
    result, n = signature.return_type, len(signature.args)

    @intrinsic
    def call_role(typingctx, address, arguments):
        def codegen(context, builder, sig, args):
            values = cgutils.unpack_tuple(builder, args[1])
            argument_types = list(sig.args[1])
            function = context.call_conv.get_function_type(result, argument_types)
            fn = builder.inttoptr(args[0], function.as_pointer())
            place = cgutils.alloca_once(builder, function.args[0].pointee)
            raised = cgutils.alloca_once(builder, function.args[1].pointee)
            builder.call(fn, [place, raised, *values])
            return context.get_dummy_value() if result == types.void else builder.load(place)

        assert len(arguments) == n, f"{role.__name__} takes {n} arguments, not {len(arguments)}"
        return result(types.int64, arguments), codegen

    return call_role


@intrinsic
def call_c(typingctx, address):
    """Calls the C function ``int f(void)`` at an address."""

    def codegen(context, builder, sig, args):
        function = ir.FunctionType(ir.IntType(32), [])
        return builder.call(builder.inttoptr(args[0], function.as_pointer()), [])

    return types.int32(types.int64), codegen
