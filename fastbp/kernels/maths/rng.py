"""Counter-based random numbers: a value depends on a seed and a position, never on a history.

The generator is splitmix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators"): its output function is a bijection of 64-bit integers that passes BigCrush on
counters that are multiples of `_GOLDEN` apart.

An epoch's order of n samples is a function of n, the seed and the epoch. Up to `MOST_DRAWN` samples
it is drawn as a whole, all orders being as likely; beyond that each position is looked up by itself
in a keyed permutation, and nothing of the size of n is kept.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.compiling import jit

#: samples up to which an epoch's order is drawn as a whole: 512 KB, which a core's L2 holds
MOST_DRAWN = 10_000

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_COUNTERS = tuple(np.uint64(i * int(_GOLDEN) % 2**64) for i in range(8))
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_ONE, _LOW_32 = np.uint64(1), np.uint64(0xFFFFFFFF)
# Positions that are drawn at a time. One draw in 2^32 / n has to be looked at again.
_DRAWN_AT_ONCE = 1024


@jit.inlined
def mix(x):
    """splitmix64's output function on a ``uint64``."""
    x = x + _GOLDEN
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@jit.inlined
def _key_of(seed, epoch):
    return mix(np.uint64(seed) ^ mix(np.uint64(epoch)))


@jit.kernel
def _draw_again(x, bound):
    """What Lemire 2019, "Fast random integer generation in an interval", makes of `x`, unbiased.

    Where that is biased the next `x` is a hash of the last.
    """
    least = ((_ONE << _S32) - bound) % bound
    scaled = (x >> _S32) * bound
    while (scaled & _LOW_32) < least:
        x = mix(x)
        scaled = (x >> _S32) * bound
    return np.int64(scaled >> _S32)


@jit.kernel
def drawn(out, n, seed, epoch):
    """An epoch's order of n <= `MOST_DRAWN` samples, all n! as likely: Fisher and Yates' shuffle.

    Position i takes what stands at a place drawn from 0 ... i, which takes i (Durstenfeld 1964,
    from the inside out). The draws come first, in a loop that vectorises.
    """
    key = _key_of(seed, epoch)
    for start in range(0, n, _DRAWN_AT_ONCE):
        end, again = min(n, start + _DRAWN_AT_ONCE), False
        for i in range(start, end):
            bound = np.uint64(i) + _ONE
            scaled = (mix(key + np.uint64(i) * _GOLDEN) >> _S32) * bound
            out[i] = np.int64(scaled >> _S32)
            again |= (scaled & _LOW_32) < bound
        if again:
            for i in range(start, end):
                out[i] = _draw_again(mix(key + np.uint64(i) * _GOLDEN), np.uint64(i) + _ONE)
    for i in range(n):
        place = out[i]
        out[i] = out[place]
        out[place] = i


@jit.inlined
def _hash(x, key):
    """32 bits, of the 32 of x: two multiplications do what `mix` takes eight steps for."""
    x = (x ^ key) * _M1
    return ((x ^ (x >> _S32)) * _M2) >> _S32


@jit.inlined
def _round(left, right, key, other_key, a, low_bits):
    """Both halves moved, modulo their sizes, each by a hash of the other."""
    left = left + ((_hash(right, key) * a) >> _S32)
    left = left - a if left >= a else left
    return left, (right + _hash(left, other_key)) & low_bits


@jit.inlined
def _permuted(position, keys, a, bits):
    """A keyed bijection of 0 ... a 2^bits - 1: left in 0 ... a - 1, right below 2^bits.

    The generalised Feistel network of Black & Rogaway 2002, "Ciphers with arbitrary finite
    domains". Neighbours stay neighbours where they meet in every round, once in a^4; in three
    rounds (of both halves) sample i + 1 followed i by a^-3 n too often, 0.4 % for n = 2^16. Written
    out: a loop here would keep the loop over positions scalar.
    """
    low_bits = (_ONE << bits) - _ONE
    left, right = position >> bits, position & low_bits
    left, right = _round(left, right, keys[0], keys[1], a, low_bits)
    left, right = _round(left, right, keys[2], keys[3], a, low_bits)
    left, right = _round(left, right, keys[4], keys[5], a, low_bits)
    left, right = _round(left, right, keys[6], keys[7], a, low_bits)
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
    key = _key_of(seed, epoch)
    keys = (
        mix(key + _COUNTERS[0]), mix(key + _COUNTERS[1]), mix(key + _COUNTERS[2]),
        mix(key + _COUNTERS[3]), mix(key + _COUNTERS[4]), mix(key + _COUNTERS[5]),
        mix(key + _COUNTERS[6]), mix(key + _COUNTERS[7]),
    )  # fmt: skip
    un, ubits = np.uint64(n), np.uint64(bits)
    a = (un + (_ONE << ubits) - _ONE) >> ubits
    for i in range(count):  # without the walk, so that it vectorises
        out[i] = np.int64(_permuted(np.uint64(first + i), keys, a, ubits))
    for i in range(count):
        x = np.uint64(out[i])
        while x >= un:
            x = _permuted(x, keys, a, ubits)
        out[i] = np.int64(x)


def split_bits(n: int) -> int:
    """`bits` for `indices`: about half of n's."""
    return max(1, n.bit_length() // 2)
