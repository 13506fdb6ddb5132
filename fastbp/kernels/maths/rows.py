"""Operations on one row of values, a vector at a time; what stands in its padding is not read.

A row holds `n` values and is padded to `ld`, a whole number of vectors. Plain loops over rows of a
few values stay scalar: 10 to 25 ns a row where these take 2 or 3. Sums are taken lane by lane and
then halved, in an order that depends on n alone.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.compiling import jit
from fastbp.kernels.compiling.simd import lanes_of
from fastbp.kernels.compiling.vectors import Vectors, ir_type, loop, loop_if

_I64 = ir.IntType(64)


class _Row:
    """The vectors of one row, in code being built."""

    def __init__(self, builder: ir.IRBuilder, v: Vectors, n: Any) -> None:
        self.b, self.v, self.n = builder, v, n
        self.zero = v.splat(v.element(0.0))

    def count(self, values: Any) -> Any:
        """Vectors that hold so many values."""
        whole = self.b.add(values, _I64(self.v.lanes - 1))
        return self.b.lshr(whole, _I64(self.v.lanes.bit_length() - 1))

    def place(self, i: Any) -> Any:
        return self.b.mul(i, _I64(self.v.lanes))

    def mask(self, start: Any) -> Any:
        """Which lanes of the vector at `start` are values of the row."""
        i32 = ir.IntType(32)
        index = ir.VectorType(i32, self.v.lanes)
        left = self.b.trunc(self.b.sub(self.n, start), i32)
        left = self.b.insert_element(ir.Constant(index, ir.Undefined), left, i32(0))
        left = self.b.shuffle_vector(left, left, ir.Constant(index, [0] * self.v.lanes))
        return self.b.icmp_signed("<", ir.Constant(index, list(range(self.v.lanes))), left)

    def each(self, values: Any, carried: list[Any], body: Any) -> list[Any]:
        """``carried = body(offset, carried)`` for the vectors that hold so many values.

        The first one apart: rows of one vector then cost no loop.
        """
        first = body(_I64(0), carried)
        count = self.b.sub(self.count(values), _I64(1))
        return loop_if(
            self.b, count, first, lambda i, c: body(self.place(self.b.add(i, _I64(1))), c)
        )

    def fold(self, start: Any, combine: Any) -> Any:
        """``total = combine(total, offset, mask)`` over the row's vectors."""
        return self.each(self.n, [start], lambda at, c: [combine(c[0], at, self.mask(at))])[0]

    def fill(self, ld: Any, target: Any, make: Any) -> None:
        """``target = make(offset)`` over the row's values, and zero up to `ld`."""

        def step(at: Any, _: list[Any]) -> list[Any]:
            self.v.store(self.b.select(self.mask(at), make(at), self.zero), target, at)
            return []

        self.each(ld, [], step)


def _reduction(n_rows: int, build: Any) -> Any:
    """An intrinsic ``f(*rows, n)`` that gives one value; `build` makes it from `_Row` and rows."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows, n = args[:-1], args[-1]
        row = _Row(builder, Vectors(builder, ir_type(sig.args[0].dtype)), n)
        return build(row, *rows)

    if n_rows == 1:

        def one(typingctx, p, n):
            return p.dtype(p, types.int64), codegen

        return intrinsic(one)

    def two(typingctx, p, q, n):
        return p.dtype(p, q, types.int64), codegen

    return intrinsic(two)


def _sum(row: _Row, p: Any) -> Any:
    def add(total: Any, at: Any, mask: Any) -> Any:
        return row.b.fadd(total, row.b.select(mask, row.v.load(p, at), row.zero))

    return row.v.sum(row.fold(row.zero, add))


def _dot(row: _Row, p: Any, q: Any) -> Any:
    def add(total: Any, at: Any, mask: Any) -> Any:
        x, y = (row.b.select(mask, row.v.load(r, at), row.zero) for r in (p, q))
        return row.v.fma(x, y, total)

    return row.v.sum(row.fold(row.zero, add))


def _max(row: _Row, p: Any) -> Any:
    low = row.v.splat(row.v.element(float("-inf")))

    def larger(x: Any, y: Any) -> Any:
        return row.b.select(row.b.fcmp_ordered(">", x, y), x, y)

    def take(top: Any, at: Any, mask: Any) -> Any:
        return larger(row.b.select(mask, row.v.load(p, at), low), top)

    return row.v.halved(row.fold(low, take), larger)


#: ``row_sum(p, n)``
row_sum = _reduction(1, _sum)
#: ``row_dot(p, q, n)``
row_dot = _reduction(2, _dot)
#: ``row_max(p, n)``: of what is not NaN
row_max = _reduction(1, _max)


@intrinsic
def scale_row(typingctx, out, p, factor, n, ld):
    """``out = factor p``, zero in the padding; `out` may be `p`."""

    def codegen(context, builder, sig, args):
        out, p, factor, n, ld = args
        row = _Row(builder, Vectors(builder, ir_type(sig.args[0].dtype)), n)
        by = row.v.splat(factor)
        row.fill(ld, out, lambda at: builder.fmul(by, row.v.load(p, at)))
        return context.get_dummy_value()

    return types.void(out, p, p.dtype, types.int64, types.int64), codegen


@intrinsic
def shift_row(typingctx, out, p, by, n, ld):
    """``out = p - by``, zero in the padding; `out` may be `p`."""

    def codegen(context, builder, sig, args):
        out, p, by, n, ld = args
        row = _Row(builder, Vectors(builder, ir_type(sig.args[0].dtype)), n)
        by = row.v.splat(by)
        row.fill(ld, out, lambda at: builder.fsub(row.v.load(p, at), by))
        return context.get_dummy_value()

    return types.void(out, p, p.dtype, types.int64, types.int64), codegen


@intrinsic
def scaled_difference(typingctx, out, p, q, factor, n, ld):
    """``out = factor (p - q)``, zero in the padding; gives the sum of the squares of p - q.

    In one go: a row that is stored and read again at once waits for the store.
    """

    def codegen(context, builder, sig, args):
        out, p, q, factor, n, ld = args
        row = _Row(builder, Vectors(builder, ir_type(sig.args[0].dtype)), n)
        v, by = row.v, row.v.splat(factor)

        def step(at: Any, carried: list[Any]) -> list[Any]:
            x = builder.fsub(v.load(p, at), v.load(q, at))
            x = builder.select(row.mask(at), x, row.zero)
            v.store(builder.fmul(by, x), out, at)
            return [v.fma(x, x, carried[0])]

        return v.sum(row.each(ld, [row.zero], step)[0])

    t = out.dtype
    return t(out, p, q, t, types.int64, types.int64), codegen


@intrinsic
def copy_row(typingctx, target, source, n, ld):
    """`n` values to `target`, and zeros up to `ld`; reads just those n, which have no padding."""

    def codegen(context, builder, sig, args):
        target, source, n, ld = args
        row = _Row(builder, Vectors(builder, ir_type(sig.args[0].dtype)), n)
        v = row.v
        bits = 32 if v.align == 4 else 64
        mask = ir.VectorType(ir.IntType(1), v.lanes)
        masked_load = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(v.type, [v.type.as_pointer(), ir.IntType(32), mask, v.type]),
            f"llvm.masked.load.v{v.lanes}f{bits}.p0",
        )

        def step(at: Any, _: list[Any]) -> list[Any]:
            place = builder.bitcast(builder.gep(source, [at]), v.type.as_pointer())
            align = ir.IntType(32)(v.align)
            loaded = builder.call(masked_load, [place, align, row.mask(at), row.zero])
            v.store(loaded, target, at)
            return []

        row.each(ld, [], step)
        return context.get_dummy_value()

    return types.void(target, target, types.int64, types.int64), codegen


@intrinsic
def widened(typingctx, out, p, factor, n):
    """``out = factor p`` in float64, over as many vectors of `out` as hold n values."""

    def codegen(context, builder, sig, args):
        out, p, factor, n = args
        v, element = Vectors(builder, ir.DoubleType()), ir_type(sig.args[1].dtype)
        narrow = ir.VectorType(element, v.lanes)
        by = v.splat(factor)
        whole = builder.add(n, _I64(v.lanes - 1))

        def step(i: Any, _: list[Any]) -> list[Any]:
            offset = builder.mul(i, _I64(v.lanes))
            x = builder.load(builder.bitcast(builder.gep(p, [offset]), narrow.as_pointer()))
            x.align = 4 if isinstance(element, ir.FloatType) else 8
            x = builder.fpext(x, v.type) if isinstance(element, ir.FloatType) else x
            v.store(builder.fmul(by, x), out, offset)
            return []

        loop(builder, builder.lshr(whole, _I64(v.lanes.bit_length() - 1)), [], step)
        return context.get_dummy_value()

    return types.void(out, p, types.float64, types.int64), codegen


# Where a row's values take much less than its vector, functions of single values are taken of rows
# that stand side by side, row r at r * step: a row is written there with its padding, then the next
# over that, and spread out again from the last to the first.


@jit.inlined
def side_by_side(p, n, ld):
    """The step from row to row: `n` where rows are of one vector, else they stay as they are."""
    return n if ld == lanes_of(p) else ld


@jit.inlined
def packed(p, rows, step):
    """Values in the whole vectors that hold the rows."""
    vector = lanes_of(p)
    return (rows * step + vector - 1) // vector * vector
