"""sin and cos of arguments that are too large for vmath's reduction: Payne & Hanek 1983.

"Radian reduction for trigonometric functions": of the product of x and 2/pi, in whole numbers, only
the bits that are neither multiples of 4 nor beyond the precision are worked out.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels.compiling import jit
from fastbp.kernels.maths import vmath

# The bits of 2/pi behind 64 zeros: those before the point, of arguments below 2^53.
_BITS = np.array(
    [
        0,
        0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041, 0xFE5163ABDEBBC561,
        0xB7246E3A424DD2E0, 0x06492EEA09D1921C, 0xFE1DEB1CB129A73E, 0xE88235F52EBB4484,
        0xE99C7026B45F7E41, 0x3991D639835339F4, 0x9C845F8BBDF9283B, 0x1FF897FFDE05980F,
        0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D, 0x7527BAC7EBE5F17B,
        0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB,
    ],
    np.uint64,
)  # fmt: skip
_HALF_PI = np.pi / 2
_TWO_M64, _TWO_M128 = 2.0**-64, 2.0**-128


@intrinsic
def _product(typingctx, mantissa, high, middle, low):
    """The upper 128 of the 192 low bits of ``mantissa * (high, middle, low)``, in two halves."""

    def codegen(context, builder, sig, args):
        wide, shift = ir.IntType(128), ir.IntType(128)(64)
        m, high, middle, low = (builder.zext(x, wide) for x in args)
        upper = builder.mul(m, builder.or_(builder.shl(high, shift), middle))
        total = builder.add(upper, builder.lshr(builder.mul(m, low), shift))
        halves = [builder.trunc(builder.lshr(total, shift), ir.IntType(64))]
        halves.append(builder.trunc(total, ir.IntType(64)))
        return context.make_tuple(builder, sig.return_type, halves)

    u = types.uint64
    return types.UniTuple(u, 2)(u, u, u, u), codegen


@jit.kernel
def _word(bit):
    """64 bits of the table from bit number `bit` on."""
    word, shift = bit >> 6, np.uint64(bit & 63)
    first = _BITS[word] << shift
    return first | ((_BITS[word + 1] >> np.uint64(1)) >> (np.uint64(63) - shift))


@jit.kernel
def _reduced(x):
    """A finite float64 |x| >= 1 as (n, r), x = n pi / 2 + r: n modulo 4, |r| <= pi / 4."""
    bits = vmath.bits_of(x)
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    power = ((bits >> 52) & 0x7FF) - 1075  # |x| = mantissa 2^power
    bit = power + 62  # of the table, with which multiples of 2 begin
    high, low = _product(np.uint64(mantissa), _word(bit), _word(bit + 64), _word(bit + 128))
    # |x| 2/pi modulo 4 is high:low with the point behind the two highest bits
    n = np.int64((high + np.uint64(1 << 61)) >> np.uint64(62))
    upper = np.int64((high << np.uint64(2)) | (low >> np.uint64(62)))  # of the signed fraction
    lower = np.float64(low << np.uint64(2))
    r = (np.float64(upper) * _TWO_M64 + lower * _TWO_M128) * _HALF_PI
    return (-n, -r) if bits < 0 else (n, r)


@jit.kernel
def sin(x):
    """sin(x) of a finite float64 |x| >= 1."""
    n, r = _reduced(x)
    return vmath.circle(r, n)


@jit.kernel
def cos(x):
    """cos(x) of a finite float64 |x| >= 1."""
    n, r = _reduced(x)
    return vmath.circle(r, n + 1)
