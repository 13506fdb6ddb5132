"""Counter-based random numbers: a value depends on a seed and a position, never on a history.

The generator is splitmix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators"): its output function is a bijection of 64-bit integers that passes BigCrush on
consecutive counters.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels import jit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_K1, _K2 = np.uint64(0x3C6EF372FE94F82A), np.uint64(0x78DDE6E5FD29F054)  # 2 and 4 times _GOLDEN


@jit.inlined
def mix(x):
    """splitmix64's output function on a ``uint64``."""
    x = x + _GOLDEN
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@jit.inlined
def _round(left, right, key, a, low_bits):
    """Both halves moved, modulo their sizes, each by a hash of the other."""
    left = left + (((mix(right ^ key) >> _S32) * a) >> _S32)
    left = left - a if left >= a else left
    return left, (right + mix(left ^ (key + _GOLDEN))) & low_bits


@jit.inlined
def _permuted(position, key, a, bits):
    """A keyed bijection of 0 ... a 2^bits - 1: left in 0 ... a - 1, right below 2^bits.

    The generalised Feistel network of Black & Rogaway 2002, "Ciphers with arbitrary finite
    domains", six rounds. Written out: a loop here would keep the loop over positions scalar.
    """
    low_bits = (np.uint64(1) << bits) - np.uint64(1)
    left, right = position >> bits, position & low_bits
    left, right = _round(left, right, key, a, low_bits)
    left, right = _round(left, right, key + _K1, a, low_bits)
    left, right = _round(left, right, key + _K2, a, low_bits)
    return (left << bits) + right


@jit.kernel
def indices(out, first, count, n, shuffle, seed, epoch, bits):
    """The samples at positions `first` ... of an epoch: a permutation of 0 ... n - 1, or in order.

    Positions are permuted in the least rectangle of width 2^bits that holds n; one that falls
    outside, which is seldom, walks on along its cycle, and that keeps it a permutation.
    """
    if not shuffle:
        for i in range(count):
            out[i] = first + i
        return
    key = mix(np.uint64(seed) ^ mix(np.uint64(epoch)))
    un, ubits = np.uint64(n), np.uint64(bits)
    a = (un + (np.uint64(1) << ubits) - np.uint64(1)) >> ubits
    for i in range(count):  # without the walk, so that it vectorises
        out[i] = np.int64(_permuted(np.uint64(first + i), key, a, ubits))
    for i in range(count):
        x = np.uint64(out[i])
        while x >= un:
            x = _permuted(x, key, a, ubits)
        out[i] = np.int64(x)


def split_bits(n: int) -> int:
    """`bits` for `indices`: about half of n's."""
    return max(1, n.bit_length() // 2)
