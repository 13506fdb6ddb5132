"""Dot products for narrow layers, as LLVM functions over explicit vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.compiling.vectors import Vectors, function, ir_type, loop

_I64 = ir.IntType(64)


def _dot(module: ir.Module, element: ir.Type, rows: int) -> ir.Function:
    """``c[m] = bias + sum_k a[m, k] w[k]`` for `rows` rows, lanes along k, whole vectors.

    Vectors of w come in pairs, pair i at ``w + i*wk``; the last of an odd number stands `shift`
    further. One vector sum a row, halved in a fixed order at the end, so that a row's result does
    not depend on its neighbours.
    """
    p = element.as_pointer()
    bits = 32 if isinstance(element, ir.FloatType) else 64
    types_ = [p, _I64, p, _I64, _I64, _I64, element, p, _I64]
    fn, new = function(module, f"fastbp_dot_f{bits}_{rows}", types_)
    if not new:
        return fn
    a, am, w, wk, count, shift, bias, c, cm = fn.args
    builder = ir.IRBuilder(fn.append_basic_block("entry"))
    v = Vectors(builder, element)
    last = builder.sub(count, _I64(1))

    def step(i: Any, carried: list[Any]) -> list[Any]:
        pa, sums = carried[0], carried[1:]
        pair = builder.mul(builder.lshr(i, _I64(1)), wk)
        odd = builder.mul(builder.and_(i, _I64(1)), _I64(v.lanes))
        at_end = builder.select(builder.icmp_signed("==", i, last), shift, _I64(0))
        weights = v.load(w, builder.add(builder.add(pair, odd), at_end))
        out = [v.fma(v.load(pa, builder.mul(_I64(m), am)), weights, sums[m]) for m in range(rows)]
        return [builder.gep(pa, [_I64(v.lanes)]), *out]

    sums = loop(builder, count, [a] + [v.splat(element(0.0))] * rows, step)[1:]
    for m, s in enumerate(sums):
        builder.store(builder.fadd(v.sum(s), bias), builder.gep(c, [builder.mul(_I64(m), cm)]))
    builder.ret_void()
    return fn


DOT_ROWS = 8


@intrinsic
def dot(typingctx, many, arguments):
    """Calls the dot kernel on DOT_ROWS rows (`many` true) or one.

    `arguments` is the tuple ``(a, am, w, wk, count, shift, bias, c, cm)``.
    """

    def codegen(context, builder, sig, args):
        element = ir_type(sig.args[1][0].dtype)
        values = cgutils.unpack_tuple(builder, args[1])
        with builder.if_else(args[0]) as (then, otherwise):
            with then:
                builder.call(_dot(builder.module, element, DOT_ROWS), values)
            with otherwise:
                builder.call(_dot(builder.module, element, 1), values)
        return context.get_dummy_value()

    return types.void(types.boolean, arguments), codegen
