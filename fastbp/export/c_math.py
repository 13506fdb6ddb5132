"""Activations in C99; ``@`` is the prefix of every name.

Each piece names the pieces it calls, and a header gets those that its network needs. Where there is
a math.h, five pieces are its functions; where there isn't, they are series in float.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LIBRARY = {
    "exp": "static inline float @exp(float x) { return expf(x); }",
    "tanh": "static inline float @tanh(float x) { return tanhf(x); }",
    "log1p": "static inline float @log1p(float x) { return log1pf(x); }",
    "erf": "static inline float @erf(float x) { return erff(x); }",
    "sine": "static inline float @sine(float x) { return sinf(x); }",
}

OWN = {
    # 2**n is made in two factors, so that denormal results are reached
    "power": """\
static inline float @power(int n) {
    float p = 1.0f, b = n < 0 ? 0.5f : 2.0f;
    int m = n < 0 ? -n : n;
    for (; m > 0; m /= 2, b *= b) {
        if (m % 2) {
            p *= b;
        }
    }
    return p;
}""",
    "exp": """\
static inline float @exp(float x) {
    float r, p;
    int n;
    if (x != x) {
        return x;
    }
    if (x < -104.0f) {
        return 0.0f;
    }
    x = x > 128.0f ? 128.0f : x;
    n = (int)(x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f));
    r = (x - (float)n * 0.693359375f) + (float)n * 2.12194440e-4f;
    p = 1.0f / 720.0f + r * (1.0f / 5040.0f);
    p = 1.0f / 24.0f + r * (1.0f / 120.0f + r * p);
    p = 1.0f + r * (1.0f + r * (0.5f + r * (1.0f / 6.0f + r * p)));
    return p * @power(n / 2) * @power(n - n / 2);
}""",
    # for 0 <= x <= 1, all that softplus needs: 2 atanh(x / (2 + x)), the series of atanh
    "log1p": """\
static inline float @log1p(float x) {
    const float s = x / (2.0f + x), q = s * s;
    float p = 1.0f / 11.0f + q * (1.0f / 13.0f);
    p = 1.0f / 5.0f + q * (1.0f / 7.0f + q * (1.0f / 9.0f + q * p));
    return 2.0f * s * (1.0f + q * (1.0f / 3.0f + q * p));
}""",
    "tanh": """\
static inline float @tanh(float x) {
    const float q = x * x, y = x < 0.0f ? -x : x;
    float p;
    if (y < 0.35f) {
        p = 62.0f / 2835.0f - q * (1382.0f / 155925.0f);
        return x * (1.0f - q * (1.0f / 3.0f - q * (2.0f / 15.0f - q * (17.0f / 315.0f - q * p))));
    }
    p = 1.0f - 2.0f / (@exp(2.0f * y) + 1.0f);
    return x < 0.0f ? -p : p;
}""",
    # Abramowitz & Stegun 7.1.6, whose terms are all of one sign
    "erf": """\
static inline float @erf(float x) {
    float t = x, s = x;
    int n;
    if (x > 4.0f || x < -4.0f) {
        return x < 0.0f ? -1.0f : 1.0f;
    }
    for (n = 1; n < 64; n++) {
        t *= 2.0f * x * x / (float)(2 * n + 1);
        s += t;
    }
    return 1.12837917f * @exp(-x * x) * s;
}""",
    # x / pi is a whole number and a fraction. Of large x, 1 / pi is taken 24 bits at a time: those
    # that make even numbers are left out, and the products with the others are exact
    "sine": """\
static inline float @sine(float x) {
    static const double part[8] = {
        5340353.0, 12003106.0, 693502.0, 1289192.0,
        16423534.0, 14708145.0, 4902046.0, 2213920.0
    };
    const double y = x < 0.0f ? -(double)x : (double)x;
    double r = 0.0, q, unit = 1.0 / 16777216.0;
    long long n, odd = 0;
    int i;
    if (!(y < 3.5e38)) {
        return x - x;
    }
    if (y < 1e4) {
        n = (long long)(y * 0.3183098861837907 + 0.5);
        r = (y - (double)n * 3.141592653589793) - (double)n * 1.2246467991473532e-16;
        odd = n % 2;
    } else {
        for (i = 0; i < 8; i++, unit /= 16777216.0) {
            if (y * unit < 33554432.0) {
                q = y * unit * part[i];
                n = (long long)q;
                r += q - (double)n;
                odd += n % 2 + (r >= 0.5);
                r -= r >= 0.5 ? 1.0 : 0.0;
            }
        }
        r *= 3.141592653589793;
    }
    q = r * r;
    r *= 1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0 *
         (1.0 - q / 110.0 * (1.0 - q / 156.0)))));
    return (float)((odd % 2 != 0) != (x < 0.0f) ? -r : r);
}""",
}

_UNITWISE = {
    # e**x - 1 for x <= 0, with no digits lost near 0
    "expm1": """\
static inline float @expm1(float x) {
    const float t = @tanh(0.5f * x);
    return (t + t) / (1.0f - t);
}""",
    "clamp": """\
static inline float @clamp(float x, float low, float high) {
    return x < low ? low : x > high ? high : x;
}""",
    "sigmoid": """\
static inline float @sigmoid(float x) {
    const float e = @exp(x < 0.0f ? x : -x);
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}""",
    "relu": "static inline float @relu(float x) { return x < 0.0f ? 0.0f : x; }",
    "leaky_relu": """\
static inline float @leaky_relu(float x, float slope) {
    return x > 0.0f ? x : slope * x;
}""",
    "elu": """\
static inline float @elu(float x, float alpha) {
    return x > 0.0f ? x : alpha * @expm1(x);
}""",
    "selu": "static inline float @selu(float x) { return 1.05070099f * @elu(x, 1.67326324f); }",
    "relu6": "static inline float @relu6(float x) { return @clamp(x, 0.0f, 6.0f); }",
    "hard_tanh": "static inline float @hard_tanh(float x) { return @clamp(x, -1.0f, 1.0f); }",
    "hard_sigmoid": """\
static inline float @hard_sigmoid(float x) {
    return @clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f;
}""",
    "gelu": """\
static inline float @gelu(float x) {
    return 0.5f * x * (1.0f + @erf(0.707106781f * x));
}""",
    "gelu_tanh": """\
static inline float @gelu_tanh(float x) {
    return 0.5f * x * (1.0f + @tanh(0.797884561f * (x + 0.044715f * x * x * x)));
}""",
    "silu": "static inline float @silu(float x) { return x * @sigmoid(x); }",
    "softplus": """\
static inline float @softplus(float x) {
    return (x > 0.0f ? x : 0.0f) + @log1p(@exp(x > 0.0f ? -x : x));
}""",
    "mish": "static inline float @mish(float x) { return x * @tanh(@softplus(x)); }",
    "softsign": """\
static inline float @softsign(float x) {
    return x / (1.0f + (x < 0.0f ? -x : x));
}""",
    "softmax": """\
static inline void @softmax(float *z, size_t n) {
    float most = z[0], sum = 0.0f;
    size_t i;
    for (i = 1; i < n; i++) {
        most = z[i] > most ? z[i] : most;
    }
    for (i = 0; i < n; i++) {
        z[i] = @exp(z[i] - most);
        sum += z[i];
    }
    for (i = 0; i < n; i++) {
        z[i] /= sum;
    }
}""",
}

#: the activations that there are, beside linear
KNOWN = {*OWN, *_UNITWISE, "linear"} - {"power", "log1p", "erf", "expm1", "clamp"}


def functions(names: Iterable[str], math: bool) -> list[str]:
    """The C functions of these names and of all that they call, each after those it calls."""
    pieces = {**(LIBRARY if math else OWN), **_UNITWISE}
    found: dict[str, str] = {}

    def add(name: str) -> None:
        if name in found:
            return
        for called in re.findall(r"@(\w+)\(", pieces[name]):
            if called != name:
                add(called)
        found[name] = pieces[name]

    for name in names:
        add(name)
    return list(found.values())
