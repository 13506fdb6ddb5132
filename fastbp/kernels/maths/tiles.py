"""Register tiles and transpositions as LLVM functions over explicit vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.compiling.target import TILE_ROWS, TILE_VECTORS
from fastbp.kernels.compiling.vectors import Vectors, function, ir_type, loop, loop_if

_I64 = ir.IntType(64)


_TILE_ARGUMENTS = (
    "a", "am", "ak", "b", "bk", "init", "im", "c", "cm", "k", "low", "mask", "masked", "tiles",
)  # fmt: skip


def tile_function(module: ir.Module, element: ir.Type, rows: int, vectors: int) -> ir.Function:
    """``c[m, :] = max(init[m, :] + sum_k a[m, k] b[k, :], low)``.

    Where `masked` is not 0, also zero where ``mask[m, :] <= 0``; mask's rows are `cm` apart.
    For `tiles` tiles of `rows` rows, one below the other, each `vectors` vectors wide. Element
    ``a[m, k]`` stands at ``a + m*am + k*ak``, row ``b[k]`` at ``b + k*bk``. Every sum is one chain
    in the order of k, so a result does not depend on how rows were grouped into tiles.
    """
    p = element.as_pointer()
    bits = 32 if isinstance(element, ir.FloatType) else 64
    types_ = [p, _I64, _I64, p, _I64, p, _I64, p, _I64, _I64, element, p, _I64, _I64]
    fn, new = function(module, f"fastbp_tile_f{bits}_{rows}x{vectors}", types_)
    if not new:
        return fn
    arg = dict(zip(_TILE_ARGUMENTS, fn.args, strict=True))
    builder = ir.IRBuilder(fn.append_basic_block("entry"))
    v = Vectors(builder, element)
    low = v.splat(arg["low"])
    grid = [(m, n) for m in range(rows) for n in range(vectors)]
    columns = [_I64(n * v.lanes) for n in range(vectors)]
    down = [v.unrelated(builder.mul(_I64(m), arg["am"])) for m in range(rows)]

    def one_tile(_: Any, at_: list[Any]) -> list[Any]:
        a, init, c, mask = at_
        start = [
            v.load(init, builder.add(builder.mul(_I64(m), arg["im"]), columns[n])) for m, n in grid
        ]

        def step(_: Any, carried: list[Any]) -> list[Any]:
            pa, pb, sums = carried[0], carried[1], carried[2:]
            bs = [v.load(pb, column) for column in columns]
            out = []
            for m in range(rows):
                x = v.splat(builder.load(builder.gep(pa, [down[m]])))
                out += [v.fma(x, bs[n], sums[m * vectors + n]) for n in range(vectors)]
            return [builder.gep(pa, [arg["ak"]]), builder.gep(pb, [arg["bk"]]), *out]

        sums = loop(builder, arg["k"], [a, arg["b"], *start], step)[2:]
        # "ordered less than" keeps a NaN; one vmaxps.
        sums = [builder.select(builder.fcmp_ordered("<", s, low), low, s) for s in sums]
        row = [builder.mul(_I64(m), arg["cm"]) for m in range(rows)]
        masked = builder.icmp_signed("!=", arg["masked"], _I64(0))
        zero = v.splat(element(0.0))
        with builder.if_else(masked) as (then, otherwise):
            with then:
                for s, (m, n) in zip(sums, grid, strict=True):
                    offset = builder.add(row[m], columns[n])
                    on = builder.fcmp_ordered(">", v.load(mask, offset), zero)
                    v.store(builder.select(on, s, zero), c, offset)
            with otherwise:
                for s, (m, n) in zip(sums, grid, strict=True):
                    v.store(s, c, builder.add(row[m], columns[n]))

        def below(q: Any, stride: Any) -> Any:
            return builder.gep(q, [builder.mul(_I64(rows), stride)])

        return [below(q, arg[s]) for q, s in ((a, "am"), (init, "im"), (c, "cm"), (mask, "cm"))]

    loop(builder, arg["tiles"], [arg[n] for n in ("a", "init", "c", "mask")], one_tile)
    builder.ret_void()
    return fn


@intrinsic
def tile(typingctx, rows, vectors, arguments):
    """Calls the register tile of ``rows`` x ``vectors`` (1 ... TILE_ROWS, 1 ... TILE_VECTORS).

    `arguments` is the tuple ``(a, am, ak, b, bk, init, im, c, cm, k, low, mask, masked, tiles)``.
    """

    def codegen(context, builder, sig, args):
        element = ir_type(sig.args[2][0].dtype)
        values = cgutils.unpack_tuple(builder, args[2])
        which = builder.add(
            builder.mul(builder.sub(args[0], _I64(1)), _I64(TILE_VECTORS)),
            builder.sub(args[1], _I64(1)),
        )
        done = builder.append_basic_block("tile.done")
        switch = builder.switch(which, done)
        for m in range(TILE_ROWS):
            for n in range(TILE_VECTORS):
                block = builder.append_basic_block(f"tile.{m + 1}x{n + 1}")
                switch.add_case(_I64(m * TILE_VECTORS + n), block)
                builder.position_at_end(block)
                builder.call(tile_function(builder.module, element, m + 1, n + 1), values)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, arguments), codegen


PANELS_AT_ONCE = 4


@intrinsic
def wide_row(typingctx, arguments):
    """One row over PANELS_AT_ONCE whole panels of what `tile` computes; same bits.

    A row by itself waits for each addition; panels side by side wait together. `arguments` is the
    tuple ``(a, b, step, init, apart, c, k, low, mask, masked)``: panels are `step` apart, and each
    one's part of init `apart` (a panel's width, or 0).
    """

    def codegen(context, builder, sig, args):
        element = ir_type(sig.args[0][0].dtype)
        a, b, step, init, apart, c, k, low, mask, masked = cgutils.unpack_tuple(builder, args[0])
        v = Vectors(builder, element)
        width = TILE_VECTORS * v.lanes
        places = [(p, n * v.lanes) for p in range(PANELS_AT_ONCE) for n in range(TILE_VECTORS)]

        def offset(panel: int, stride: Any, column: int) -> Any:
            return builder.add(builder.mul(_I64(panel), stride), _I64(column))

        def one(_: Any, carried: list[Any]) -> list[Any]:
            pa, pb, sums = carried[0], carried[1], carried[2:]
            x = v.splat(builder.load(pa))
            added = [
                v.fma(x, v.load(pb, offset(p, step, j)), s)
                for s, (p, j) in zip(sums, places, strict=True)
            ]
            return [builder.gep(pa, [_I64(1)]), builder.gep(pb, [_I64(width)]), *added]

        start = [v.load(init, offset(p, apart, j)) for p, j in places]
        sums = loop(builder, k, [a, b, *start], one)[2:]
        low, zero = v.splat(low), v.splat(element(0.0))
        whole = builder.icmp_signed("==", masked, _I64(0))
        for s, (p, j) in zip(sums, places, strict=True):
            at = _I64(p * width + j)
            s = builder.select(builder.fcmp_ordered("<", s, low), low, s)
            on = builder.fcmp_ordered(">", v.load(mask, at), zero)
            v.store(builder.select(whole, s, builder.select(on, s, zero)), c, at)
        return context.get_dummy_value()

    return types.void(arguments), codegen


@intrinsic
def descend(typingctx, p, a, d, rows, width, rate, decay):
    """``p[i, :] -= rate (a[i] d[:] + decay p[i, :])`` for rows of `width`, one or two vectors."""

    def codegen(context, builder, sig, args):
        p, a, d, rows, width, rate, decay = args
        v = Vectors(builder, ir_type(sig.args[0].dtype))
        down, decay = v.splat(builder.fneg(rate)), v.splat(decay)

        def over(vectors: int) -> None:
            columns = [_I64(n * v.lanes) for n in range(vectors)]
            ds = [v.load(d, column) for column in columns]

            def one(i: Any, carried: list[Any]) -> list[Any]:
                x, row = v.splat(builder.load(builder.gep(a, [i]))), carried[0]
                for column, delta in zip(columns, ds, strict=True):
                    before = v.load(row, column)
                    gradient = v.fma(decay, before, builder.fmul(x, delta))
                    v.store(v.fma(down, gradient, before), row, column)
                return [builder.gep(row, [width])]

            loop(builder, rows, [p], one)

        both = builder.icmp_signed(">", width, _I64(v.lanes))
        with builder.if_else(both) as (then, otherwise):
            with then:
                over(2)
            with otherwise:
                over(1)
        return context.get_dummy_value()

    t = p.dtype
    return types.void(p, p, p, types.int64, types.int64, t, t), codegen


@intrinsic
def vector_row(typingctx, arguments):
    """One row, one vector wide, of what `tile` computes, in place of a call.

    `arguments` is the tuple ``(a, ak, b, bk, init, c, k, low, mask, masked)``; same bits.
    """

    def codegen(context, builder, sig, args):
        element = ir_type(sig.args[0][0].dtype)
        a, ak, b, bk, init, c, k, low, mask, masked = cgutils.unpack_tuple(builder, args[0])
        v = Vectors(builder, element)
        zero, nought = v.splat(element(0.0)), _I64(0)

        def step(_: Any, carried: list[Any]) -> list[Any]:
            pa, pb, total = carried
            total = v.fma(v.splat(builder.load(pa)), v.load(pb, nought), total)
            return [builder.gep(pa, [ak]), builder.gep(pb, [bk]), total]

        total = loop(builder, k, [a, b, v.load(init, nought)], step)[2]
        low = v.splat(low)
        total = builder.select(builder.fcmp_ordered("<", total, low), low, total)
        on = builder.fcmp_ordered(">", v.load(mask, nought), zero)
        whole = builder.icmp_signed("==", masked, nought)
        kept = builder.select(on, total, zero)
        v.store(builder.select(whole, total, kept), c, nought)
        return context.get_dummy_value()

    return types.void(arguments), codegen


_CHAINS = 4


@intrinsic
def column_sums(typingctx, d, dm, rows, init, out):
    """``out[:] = init[:] + sum_r d[r, :]``, one vector wide; d's rows are `dm` apart.

    Four sums side by side, since a single one waits four cycles for each addition; the last rows
    one by one. An order that depends on `rows` alone.
    """

    def codegen(context, builder, sig, args):
        d, dm, rows, init, out = args
        v = Vectors(builder, ir_type(sig.args[0].dtype))
        nought = _I64(0)

        def fours(_: Any, carried: list[Any]) -> list[Any]:
            p, sums = carried[0], carried[1:]
            added = [
                builder.fadd(s, v.load(p, builder.mul(_I64(i), dm))) for i, s in enumerate(sums)
            ]
            return [builder.gep(p, [builder.mul(_I64(_CHAINS), dm)]), *added]

        def ones(_: Any, carried: list[Any]) -> list[Any]:
            p, total = carried
            return [builder.gep(p, [dm]), builder.fadd(total, v.load(p, nought))]

        start = [d, v.load(init, nought)] + [v.splat(v.element(0.0))] * (_CHAINS - 1)
        p, *sums = loop_if(builder, builder.lshr(rows, _I64(2)), start, fours)
        total = builder.fadd(builder.fadd(sums[0], sums[1]), builder.fadd(sums[2], sums[3]))
        _, total = loop_if(builder, builder.and_(rows, _I64(_CHAINS - 1)), [p, total], ones)
        v.store(total, out, nought)
        return context.get_dummy_value()

    return types.void(d, types.int64, types.int64, d, d), codegen


# -- transposition ---------------------------------------------------------------------------------


@intrinsic
def transpose_block(typingctx, source, source_stride, target, target_stride):
    """``target[j, i] = source[i, j]`` for a square of one vector's lanes, in registers."""

    def codegen(context, builder, sig, args):
        element = ir_type(sig.args[0].dtype)
        p = element.as_pointer()
        bits = 32 if isinstance(element, ir.FloatType) else 64
        fn, new = function(builder.module, f"fastbp_transpose_f{bits}", [p, _I64, p, _I64])
        if new:
            _transpose_body(fn, element)
        builder.call(fn, args)
        return context.get_dummy_value()

    return types.void(source, types.int64, source, types.int64), codegen


def _transpose_body(fn: ir.Function, element: ir.Type) -> None:
    source, source_stride, target, target_stride = fn.args
    b = ir.IRBuilder(fn.append_basic_block("entry"))
    v = Vectors(b, element)
    n = v.lanes
    index = ir.VectorType(ir.IntType(32), n)
    rows = [v.load(source, b.mul(_I64(i), source_stride)) for i in range(n)]
    half = n // 2
    while half:  # swap the off-diagonal quarters of every square of 2*half
        low = [i if not i & half else i - half + n for i in range(n)]
        high = [i + half if not i & half else i + n for i in range(n)]
        out = list(rows)
        for i in range(n):
            if not i & half:
                x, y = rows[i], rows[i + half]
                out[i] = b.shuffle_vector(x, y, ir.Constant(index, low))
                out[i + half] = b.shuffle_vector(x, y, ir.Constant(index, high))
        rows = out
        half //= 2
    for j in range(n):
        v.store(rows[j], target, b.mul(_I64(j), target_stride))
    b.ret_void()
