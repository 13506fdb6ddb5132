"""Rows of exp(z - top), of which the largest is 1: their sums without it, where nothing cancels.

Where one output dominates, what the others come to is its whole error and its whole delta: it would
be lost in a sum with the 1.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.compiling.vectors import Vectors, ir_type
from fastbp.kernels.maths.rows import _Row

_I64 = ir.IntType(64)


@intrinsic
def rest_of_row(typingctx, p, t, z, top, n):
    """``(rest, others, at_tops, distance)`` of a row p = exp(z - top), whose largest values are 1.

    rest is the sum of p less 1, others that of t where p is below 1, at_tops that of t elsewhere,
    distance that of t (z - top). A NaN comes to be in rest.
    """

    def codegen(context, builder, sig, args):
        p, t, z, top, n = args
        b, v = builder, Vectors(builder, ir_type(sig.args[0].dtype))
        row, one, flags = _Row(builder, v, n), v.splat(v.element(1.0)), ir.IntType(v.lanes)
        top, nothing = v.splat(top), v.splat(v.element(-0.0))  # to which 0 adds as 0
        count = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(flags, [flags]), f"llvm.ctpop.i{v.lanes}"
        )

        def step(at: Any, carried: list[Any]) -> list[Any]:
            rest, others, at_tops, far, tops = carried
            inside = row.mask(at)
            share, target = (b.select(inside, v.load(q, at), row.zero) for q in (p, t))
            distance = b.select(inside, b.fsub(v.load(z, at), top), row.zero)
            is_top = b.fcmp_ordered(">=", share, one)
            return [
                b.fadd(rest, b.select(is_top, row.zero, share)),
                b.fadd(others, b.select(is_top, row.zero, target)),
                b.fadd(at_tops, b.select(is_top, target, row.zero)),
                v.fma(target, distance, far),
                b.add(tops, b.zext(b.call(count, [b.bitcast(is_top, flags)]), ir.IntType(32))),
            ]

        tops = ir.IntType(32)(0)
        *sums, tops = row.each(n, [nothing] * 4 + [tops], step)
        rest, *others = v.sums(sums)
        rest = b.fadd(rest, b.sitofp(b.sub(tops, ir.IntType(32)(1)), v.element))
        return context.make_tuple(builder, sig.return_type, [rest, *others])

    return types.UniTuple(p.dtype, 4)(p, p, p, p.dtype, types.int64), codegen


@intrinsic
def retyped(typingctx, pointer, like):
    """The same place as a pointer to values of the other's type."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], args[1].type)

    return like(pointer, like), codegen


@intrinsic
def combine_but_tops(typingctx, out, p, a, q, b, shift, bound, tops, n, ld):
    """``out = a p + b q - shift``, but `tops` where p >= `bound`; zero in the padding.

    `out` may be `p` or `q`.
    """

    def codegen(context, builder, sig, args):
        out, p, a, q, b, shift, bound, tops, n, ld = args
        v = Vectors(builder, ir_type(sig.args[0].dtype))
        row = _Row(builder, v, n)
        a, b, shift, bound, tops = (v.splat(x) for x in (a, b, shift, bound, tops))

        def make(at: Any) -> Any:
            value = v.load(p, at)
            found = builder.fsub(v.fma(a, value, builder.fmul(b, v.load(q, at))), shift)
            return builder.select(builder.fcmp_ordered(">=", value, bound), tops, found)

        row.fill(ld, out, make)
        return context.get_dummy_value()

    t, i = out.dtype, types.int64
    return types.void(out, p, t, q, t, t, t, t, i, i), codegen
