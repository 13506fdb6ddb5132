"""exp, log, tanh, sin and their like, of one value, so written that loops vectorise.

Each takes a float32 or a float64 and returns the same type, within 2 units in the last place (ulp)
in float32 (sin and cos: 3) and 4 in float64, gradual underflow included; NaN stays NaN. There is no
branch, no table look-up, no call and no conversion between integers and floats (AVX2 has none of 64
bits): both sides of a choice are evaluated and one is selected, so that LLVM turns a loop over
contiguous values into vector code. One body serves both types; what differs stands in one table a
type.
"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import typeof, types
from numba.extending import intrinsic

from fastbp.kernels.compiling import jit


def _table(f: Any, i: Any, **own: Any) -> Any:
    """A named tuple of what the functions need to know of a float type.

    `f` is that type, `i` the integer type of its width and `own` what each type states itself.
    Floats are of type `f`, as a bare Python one would turn float32 arithmetic into float64.
    """
    info = np.finfo(f)
    m, bias = info.nmant, info.maxexp - 1  # bits in the mantissa; the exponent's bias

    def bits(x: float) -> int:
        return int(f(x).view(i))

    floats = {
        "zero": 0,
        "half": 0.5,
        "one": 1,
        "inf": math.inf,
        "nan": math.nan,
        "smallest_normal": info.tiny,
        "two_m1": 2.0 ** (m + 1),
        "eps": 2.0 ** -(m + 1),
        "log2e": 1 / math.log(2),
        "ln2": math.log(2),
        "two_over_pi": 2 / math.pi,
        "round_0": 1.5 * 2.0**m,  # adding it rounds to an integer, which is left in the low bits
        # Adding one of these rounds n to an integer and leaves it in the low bits, plus the
        # exponent's bias; plus twice that; plus that and less m + 1
        "round_n": 1.5 * 2.0**m + bias,
        "round_2n": 1.5 * 2.0**m + 2 * bias,
        "round_n_eps": 1.5 * 2.0**m + bias - (m + 1),
        # A biased exponent in the low bits of 2**m less one of these is n; or n, had the argument
        # not been multiplied by 2**(m+1)
        "bias": 2.0**m + bias,
        "bias_m1": 2.0**m + bias + (m + 1),
    }
    integers = {
        "m": m,
        "sign": int(np.iinfo(i).min),
        "not_sign": int(np.iinfo(i).max),
        "mantissa": (1 << m) - 1,
        "exponent": 2 * bias + 1,  # moved down to bit 0
        "bits_one": bits(1),
        "bits_two": bits(2),
        "bits_3_4": bits(0.75),
        "bits_2m": bits(2.0**m),
    }
    own = {k: tuple(map(f, v[::-1])) if isinstance(v, tuple) else f(v) for k, v in own.items()}
    fields = integers | {k: f(v) for k, v in floats.items()} | own
    return namedtuple("Table", fields)(**fields)


# ln2_hi + ln2_lo is ln2; hi has so few bits that n * hi is exact for every exponent n.
# e**x is 0 from exp_min down and Inf from exp_max up; 1 + e**x is 1 from no_effect down; erf(x) is
# 1 from erf_one up, and has one polynomial up to erf_split and another one from there. Up to
# circle_most sin and cos are right without FMA too.
#
# The polynomials, lowest power first, are from a Remez exchange on the relative error of the
# function's result, the leading coefficients rounded one at a time and the others fitted anew:
#   exp        (e**r - 1 - r) / r**2 in r, |r| <= ln2 / 2
#   log1p      (log(1 + f) - f) / f**2 in f, -1/4 <= f <= 1/2
#   sin, cos   Cephes' and fdlibm's, |x| <= pi / 4; pio2 is pi / 2 in parts, the first of few bits
#   erf_small  erf(x) / x - 1 in x**2
#   erf_large  -log(1 - erf(x)) / x - 1 in x
_TABLES: Final = {
    types.float32: _table(
        np.float32,
        np.int32,
        ln2_hi=0.693359375,
        ln2_lo=-2.12194440e-4,
        exp_min=-104.5,
        exp_max=89,
        no_effect=-20,
        erf_split=0.92,
        erf_one=4,
        circle_most=1e4,
        pio2=(1.5703125, 4.8351287841796875e-4, 3.13855707645416259765e-7,
              6.077100628276710381e-11),
        sin=(-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4),
        cos=(4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5),
        exp=(0.49999997, 0.16666546, 0.04166743, 0.008366256, 0.001387099),
        log1p=(-0.5, 0.3333345, -0.2500011, 0.19990848, -0.16646871, 0.14477608, -0.13164023,
               0.10472937, -0.045155913),
        erf_small=(0.12837915, -0.376125, 0.11281877, -0.02676858, 0.004995854, -0.0006003807),
        erf_large=(0.12851994, 0.63569945, 0.105286695, -0.02290589, 0.0032199174, -0.00021458609),
    ),
    types.float64: _table(
        np.float64,
        np.int64,
        ln2_hi=6.93147180369123816490e-01,  # fdlibm's halves
        ln2_lo=1.90821492927058770002e-10,
        exp_min=-746,
        exp_max=710,
        no_effect=-40,
        erf_split=1,
        erf_one=6,
        circle_most=1e6,
        pio2=(1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624871116645580e-21,
              8.47842766036889956997e-32),
        sin=(-1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
             2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10),
        cos=(4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
             -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11),
        exp=(0.5000000000000006, 0.16666666666666677, 0.041666666666580615,
               0.008333333333364046, 0.001388888892974604, 0.0001984126974200627,
               2.4801507452137875e-05, 2.7557401941566834e-06, 2.762525725627816e-07,
               2.5053071278023873e-08),
        log1p=(-0.5, 0.3333333333333752, -0.2499999999998144, 0.19999999998511273,
               -0.1666666666835326, 0.1428571446107714, -0.12500000164564848, 0.111111015961861,
               -0.09999975766681664, 0.09091162867612212, -0.08334403900796261, 0.07689555310175554,
               -0.07121523479741496, 0.06656886001980583, -0.06427282513784076,
               0.06312322588181973, -0.054609666015476156, 0.03261704492133375,
               -0.009285594268848884),
        erf_small=(0.12837916709551256, -0.3761263890318335, 0.11283791670937192,
                   -0.026866170641994588, 0.005223977596983213, -0.0008548325494303596,
                   0.00012055280690371266, -1.4924467648045112e-05, 1.6444153602463118e-06,
                   -1.61838463097546e-07, 1.3615348861086456e-08, -7.603960766752221e-10),
        erf_large=(0.1283789064390706, 0.6366222064302425, 0.10276216222080842,
                   -0.019101287423277297, -0.0002566739372570043, 0.001754208837286013,
                   -0.0006390855220802517, 5.117817968550013e-05, 6.2409998682516e-05,
                   -3.9510576593358237e-05, 1.3844936968899167e-05, -3.378951253838342e-06,
                   5.994849150196345e-07, -7.652965302841045e-08, 6.69728956654764e-09,
                   -3.6060289806358184e-10, 9.017060508727382e-12),
    ),
}  # fmt: skip


@intrinsic
def _constants(typingctx, x):
    """The table of `x`'s type."""
    if x not in _TABLES:
        return None
    table = _TABLES[x]
    kind = typeof(table)

    def codegen(context, builder, sig, args):
        return context.get_constant_generic(builder, kind, table)

    return kind(x), codegen


@intrinsic
def _bits(typingctx, x):
    """The bit pattern of a float as an int64 (LLVM narrows what is done with a float32's)."""

    def codegen(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(sig.args[0].bitwidth))
        return builder.sext(bits, ir.IntType(64))

    return types.int64(x), codegen


@intrinsic
def _from_bits(typingctx, bits, like):
    """The float of `like`'s type that has these bits, the lower half of them for a float32."""

    def codegen(context, builder, sig, args):
        bits = builder.trunc(args[0], ir.IntType(like.bitwidth))
        return builder.bitcast(bits, args[1].type)

    return like(types.int64, like), codegen


@intrinsic
def _horner(typingctx, x, coefficients):
    """The polynomial in `x` by Horner's scheme, highest power first, in FMAs where there are."""

    def codegen(context, builder, sig, args):
        c = [builder.extract_value(args[1], k) for k in range(len(coefficients))]
        y = c[0]
        for k in range(1, len(c)):
            product = builder.fmul(y, args[0], flags=("contract",))
            y = builder.fadd(product, c[k], flags=("contract",))
        return y

    return x(x, coefficients), codegen


@jit.inlined
def _copysign(magnitude, sign):
    """A value >= 0, or that has the other's sign already, with the sign of the other."""
    return _from_bits(_bits(magnitude) | (_bits(sign) & _constants(sign).sign), sign)


@jit.inlined
def _exp_parts(x, rounder):
    """x = n ln2 + r with n an integer: (bits that end in n + a bias, r, q) with e**r = 1 + r + r q.

    `rounder` is the table's for that bias.
    """
    k = _constants(x)
    shifted = x * k.log2e + rounder
    n = shifted - rounder
    r = (x - n * k.ln2_hi) - n * k.ln2_lo
    return _bits(shifted), r, r * _horner(r, k.exp)


@jit.inlined
def exp(x):
    """e**x."""
    k = _constants(x)
    # Written so that a NaN passes; here and below, `bound if bound < x else x` is one instruction.
    x = k.exp_max if k.exp_max < x else x
    x = k.exp_min if k.exp_min > x else x
    n, r, q = _exp_parts(x, k.round_2n)
    half = n >> 1  # 2**n in two factors, as n goes beyond the exponents of normal numbers
    return ((q + k.one) * r + k.one) * _from_bits(half << k.m, x) * _from_bits((n - half) << k.m, x)


@jit.inlined
def sigmoid(x):
    """1 / (1 + e**−x), as eps / (eps + eps e**−x): no overflow before the result is 0."""
    k = _constants(x)
    y = -x
    y = -k.exp_min if -k.exp_min < y else y
    y = k.no_effect if k.no_effect > y else y
    n, r, q = _exp_parts(y, k.round_n_eps)
    s = _from_bits(n << k.m, x)
    # s and eps added first would lose eps to rounding where n = m + 1, and be 2.3 ulp wrong
    small = s if s < k.eps else k.eps
    large = k.eps if s < k.eps else s
    return k.eps / ((s * (r * q + r) + small) + large)


@jit.inlined
def tanh(x):
    """−(e**y − 1) / (e**y + 1) with y = −2|x|, and the sign of x."""
    k = _constants(x)
    # A rational function of x, of degrees 9 and 8, takes 0.25 ns where this takes 0.26, but
    # rounding can carry it beyond 1, and 1 - tanh**2 below 0.
    y = _from_bits(_bits(x + x) | k.sign, x)
    y = k.no_effect if k.no_effect > y else y
    shifted = y * k.log2e + k.round_n
    n = shifted - k.round_n
    r = y - n * k.ln2  # one step will do: 2**n makes up for the error of n ln2
    p = r * (r * _horner(r, k.exp)) + r
    s = _from_bits(_bits(shifted) << k.m, x)
    return _copysign((k.one - s - s * p) / (s * p + (s + k.one)), x)


@jit.inlined
def _log_sum(f, n):
    """log(1 + f) + n ln2."""
    k = _constants(f)
    y = f * f * _horner(f, k.log1p) + n * k.ln2_lo
    return n * k.ln2_hi + (f + y)


@jit.inlined
def _log_ends(y, x, zero):
    """`y`, a logarithm of `x` - `zero`, mended where that is 0, negative, Inf or NaN."""
    k = _constants(x)
    y = -k.inf if x == zero else y
    y = k.nan if x < zero else y
    return y if x < k.inf else x


@jit.inlined
def log(x):
    """The natural logarithm; −Inf at 0, NaN below."""
    k = _constants(x)
    denormal = x < k.smallest_normal
    y = x * k.two_m1 if denormal else x
    bias = k.bias_m1 if denormal else k.bias
    # y = 2**n (1 + f), −1/4 <= f < 1/2
    moved = _bits(y) + (k.bits_one - k.bits_3_4)
    n = _from_bits(((moved >> k.m) & k.exponent) | k.bits_2m, x) - bias
    f = _from_bits((moved & k.mantissa) + k.bits_3_4, x) - k.one
    return _log_ends(_log_sum(f, n), x, k.zero)


@jit.inlined
def log1p(x):
    """log(1 + x); −Inf at −1, NaN below."""
    k = _constants(x)
    # 1 + x = 2**n (1 + f), n from the rounded sum, f = 2**−n x + (2**−n − 1), which rounds but once
    moved = _bits(k.one + x) + (k.bits_one - k.bits_3_4)
    biased = (moved >> k.m) & k.exponent
    shift = (biased << k.m) - k.bits_one
    n = _from_bits(biased | k.bits_2m, x) - k.bias
    # 2 * 2**−n, as the greatest n makes −Inf of the bits of 2**−n
    f = _from_bits(_bits(x) - shift, x) + (k.half * _from_bits(k.bits_two - shift, x) - k.one)
    return _copysign(_log_ends(_log_sum(f, n), x, -k.one), x)


@jit.inlined
def log1p_of_share(e):
    """log(1 + e), 0 <= e <= 1, in less work than `log1p`."""
    k = _constants(e)
    large = e > k.half  # 1 + e = 2 (1 + f), else 1 + f
    f = k.half * e - k.half if large else e
    y = f * f * _horner(f, k.log1p) + f
    return y + k.ln2 if large else y


@jit.inlined
def softplus(x):
    """log(1 + e**x), as max(x, 0) + log(1 + e**−|x|)."""
    k = _constants(x)
    y = log1p_of_share(exp(_from_bits(_bits(x) | k.sign, x)))
    return y + (x if x > k.zero else k.zero)


@jit.inlined
def erf(x):
    """The error function, 2/sqrt(π) times the integral of e**−t² from 0 to x."""
    k = _constants(x)
    t = _from_bits(_bits(x) & k.not_sign, x)
    t = k.erf_one if k.erf_one < t else t
    small = x + x * _horner(x * x, k.erf_small)
    n, r, q = _exp_parts(-(t + t * _horner(t, k.erf_large)), k.round_n)
    s = _from_bits(n << k.m, x)
    large = _copysign(k.one - s - s * (r * q + r), x)
    return small if t < k.erf_split else large


@jit.inlined
def bits_of(x):
    """The bit pattern of a float as an int64."""
    return _bits(x)


@jit.inlined
def circle(r, quarters):
    """sin(r + quarters pi / 2), |r| <= pi / 4."""
    k = _constants(r)
    s = r * r
    sine = r + r * (s * _horner(s, k.sin))
    cosine = (k.one - k.half * s) + s * s * _horner(s, k.cos)
    y = cosine if quarters & 1 else sine
    return -y if quarters & 2 else y


@jit.inlined
def is_far(x):
    """Whether sin and cos of `x` are not to be taken here but from circular.py."""
    k = _constants(x)
    size = _from_bits(_bits(x) & k.not_sign, x)
    return size > k.circle_most and size < k.inf


@jit.inlined
def _circular(x, quarters):
    """sin(x + quarters pi / 2), where x is not far: pi / 2 in parts, n times each is exact."""
    k = _constants(x)
    shifted = x * k.two_over_pi + k.round_0
    n = shifted - k.round_0
    r = (((x - n * k.pio2[3]) - n * k.pio2[2]) - n * k.pio2[1]) - n * k.pio2[0]
    return circle(r, _bits(shifted) + quarters)


@jit.inlined
def sin(x):
    """sin(x); NaN where x is infinite, and nothing of use where it is far."""
    return _circular(x, 0)


@jit.inlined
def cos(x):
    """cos(x); NaN where x is infinite, and nothing of use where it is far."""
    return _circular(x, 1)
