"""Code over explicit vectors, for intrinsics: loads, stores, arithmetic, a loop."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from fastbp.kernels.compiling.target import HAS_FMA, lanes

_I64 = ir.IntType(64)


def ir_type(value: Any) -> ir.Type:
    return {32: ir.FloatType(), 64: ir.DoubleType()}[value.bitwidth]


class Vectors:
    """Loads, stores and arithmetic on vectors of `element` in one function being built."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type) -> None:
        self.b = builder
        self.element = element
        self.lanes = lanes(4 if isinstance(element, ir.FloatType) else 8)
        self.type = ir.VectorType(element, self.lanes)
        self.align = 4 if isinstance(element, ir.FloatType) else 8

    def load(self, p: Any, offset: Any) -> Any:
        q = self.b.bitcast(self.b.gep(p, [offset]), self.type.as_pointer())
        v = self.b.load(q)
        v.align = self.align
        return v

    def store(self, v: Any, p: Any, offset: Any) -> None:
        q = self.b.bitcast(self.b.gep(p, [offset]), self.type.as_pointer())
        self.b.store(v, q).align = self.align

    def splat(self, x: Any) -> Any:
        one = self.b.insert_element(ir.Constant(self.type, ir.Undefined), x, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(one, ir.Constant(self.type, ir.Undefined), zeros)

    def unrelated(self, offset: Any) -> Any:
        """An offset of which LLVM doesn't see what it has to do with others.

        On AArch64 it would go from row to row by one pointer, in a chain of additions, and with
        loads that spread a value over a vector by a second operation of the multiplying units.
        ``ldr s0, [x0, x1]`` and FMAs by lane take neither. x86 addresses memory in its FMAs.
        """
        if not self.b.module.triple.startswith(("aarch64", "arm64")):
            return offset
        same = ir.InlineAsm(ir.FunctionType(offset.type, [offset.type]), "", "=r,0")
        return self.b.call(same, [offset])

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        # Without FMA in hardware llvm.fma is a call into libm; fmuladd then is mul and add.
        name = "llvm.fma" if HAS_FMA else "llvm.fmuladd"
        suffix = f"v{self.lanes}f{32 if self.align == 4 else 64}"
        fn = cgutils.get_or_insert_function(
            self.b.module, ir.FunctionType(self.type, [self.type] * 3), f"{name}.{suffix}"
        )
        return self.b.call(fn, [x, y, z])

    def sum(self, v: Any) -> Any:
        """The lanes' sum by halving: an order that is the same wherever it is inlined."""
        return self.halved(v, self.b.fadd)

    def sums(self, vectors: list[Any]) -> list[Any]:
        """Each vector's lanes' sum. Two are halved at once, by shuffles within 128 bits."""
        lanes, block = self.lanes, 16 // self.align
        while lanes > 2 * block:
            lanes //= 2
            vectors = [self.folded(v, lanes) for v in vectors]
        width, places = block, [0]  # lanes with parts of one sum; where in a block the sums begin
        while width > 1 and len(vectors) > 1:
            width //= 2
            low = [at + i for at in places for i in range(width)]
            low = [start + i for start in range(0, lanes, block) for i in low]
            half = block // 2
            low = [
                i + y * lanes
                for start in range(0, len(low), half)
                for y in (0, 1)
                for i in low[start : start + half]
            ]
            high = [i + width for i in low]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [
                self.b.fadd(self.picked(x, y, low), self.picked(x, y, high)) for x, y in pairs
            ]
            places = [i * width for i in range(2 * len(places))]
        if lanes > block:
            vectors = [self.folded(v, block) for v in vectors]
        while width > 1:
            width //= 2
            across = [i ^ width for i in range(block)]
            vectors = [self.b.fadd(v, self.picked(v, v, across)) for v in vectors]
        return [
            self.b.extract_element(v, ir.IntType(32)(place)) for v in vectors for place in places
        ]

    def folded(self, v: Any, lanes: int) -> Any:
        """The sum of the two halves, of so many lanes."""
        low, high = (self.picked(v, v, list(range(i, i + lanes))) for i in (0, lanes))
        return self.b.fadd(low, high)

    def picked(self, x: Any, y: Any, lanes: list[int]) -> Any:
        """Those lanes of `x` and, numbered on, of `y`."""
        index = ir.VectorType(ir.IntType(32), len(lanes))
        return self.b.shuffle_vector(x, y, ir.Constant(index, lanes))

    def halved(self, v: Any, combine: Any) -> Any:
        """All lanes combined, one half with the other again and again."""
        n = self.lanes
        while n > 1:
            n //= 2
            half = ir.VectorType(ir.IntType(32), n)
            low = self.b.shuffle_vector(v, v, ir.Constant(half, list(range(n))))
            high = self.b.shuffle_vector(v, v, ir.Constant(half, list(range(n, 2 * n))))
            v = combine(low, high)
        return self.b.extract_element(v, ir.IntType(32)(0))


def function(module: ir.Module, name: str, args: list[ir.Type]) -> tuple[ir.Function, bool]:
    """The function of that name in `module`, and whether its body has yet to be written."""
    if name in module.globals:
        return module.globals[name], False
    fn = ir.Function(module, ir.FunctionType(ir.VoidType(), args), name)
    fn.linkage = "linkonce_odr"
    fn.attributes.add("noinline")
    fn.attributes.add("nounwind")
    return fn, True


def loop(builder: ir.IRBuilder, count: Any, carried: list[Any], body: Any) -> list[Any]:
    """``for i in range(count)`` (count >= 1) with loop-carried values; gives their last values."""
    before = builder.block
    inside = builder.append_basic_block("loop")
    after = builder.append_basic_block("done")
    builder.branch(inside)
    builder.position_at_end(inside)
    i = builder.phi(_I64)
    phis = [builder.phi(v.type) for v in carried]
    updated = body(i, phis)
    last = builder.block
    following = builder.add(i, _I64(1))
    i.add_incoming(_I64(0), before)
    i.add_incoming(following, last)
    for phi, first, nxt in zip(phis, carried, updated, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(nxt, last)
    builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
    builder.position_at_end(after)
    return list(updated)


def loop_if(builder: ir.IRBuilder, count: Any, carried: list[Any], body: Any) -> list[Any]:
    """The same where `count` may be 0."""
    before = builder.block
    some = builder.append_basic_block("some")
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed(">", count, _I64(0)), some, after)
    builder.position_at_end(some)
    last = loop(builder, count, carried, body)
    end = builder.block
    builder.branch(after)
    builder.position_at_end(after)
    results = [builder.phi(value.type) for value in carried]
    for phi, unchanged, changed in zip(results, carried, last, strict=True):
        phi.add_incoming(unchanged, before)
        phi.add_incoming(changed, end)
    return results
