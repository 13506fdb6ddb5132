"""vmath against float64 NumPy (float32) and mpmath (float64), and the machine code it becomes."""

from __future__ import annotations

import functools
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import mpmath
import numba
import numpy as np
import pytest
from calling import function
from mpmath import mpf
from numba.core import config
from numba.core.compiler import Compiler

from fastbp.kernels.compiling import jit, target
from fastbp.kernels.functions import smooth
from fastbp.kernels.maths import vmath

NAMES = ["exp", "log", "log1p", "tanh", "sigmoid", "softplus", "erf", "sin", "cos"]
ULPS = {
    "float32": dict.fromkeys(NAMES, 2.0) | {"sin": 3.0, "cos": 3.0},
    "float64": dict.fromkeys(NAMES, 4.0),
}
DTYPES = list(ULPS)
#: where vmath's sin and cos end and circular.py's begin
FAR = {"float32": 1e4, "float64": 1e6}

Array = np.ndarray[Any, np.dtype[Any]]


def sigmoid(x: Array) -> Array:
    e = np.exp(-abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def erf(x: Array) -> Array:
    return np.fromiter(map(math.erf, x.tolist()), float, x.size)


NUMPY: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda x: np.logaddexp(0, x),
    "erf": erf,
    "sin": np.sin,
    "cos": np.cos,
}
MPMATH: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: max(x, 0) + mpmath.log1p(mpmath.exp(-abs(x))),
    "erf": mpmath.erf,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
}


@functools.cache
def kernel(name: str) -> Any:
    """The loop whose machine code is looked at: nothing but the function over contiguous values."""
    function = getattr(vmath, name)
    options = {**jit.INNER_OPTIONS, "pipeline_class": Compiler}  # a kernel's own has none to show

    @numba.njit(**options)
    def loop(x: Array, y: Array) -> None:
        for i in range(x.size):
            y[i] = function(x[i])

    return loop


@functools.cache
def entry(name: str) -> Any:
    loop = kernel(name)
    return numba.njit(lambda x, y: loop(x, y))


def run(name: str, x: Array) -> Array:
    y = np.empty_like(x)
    entry(name)(x, y)
    return y


def edges(dtype: str) -> Array:
    """Where a function changes its way or its result its kind, and the neighbours of these."""
    t = np.finfo(dtype)
    table = vmath._TABLES[numba.from_dtype(np.dtype(dtype))]
    quarters = np.arange(0, FAR[dtype], max(1, FAR[dtype] // 2000)) * (math.pi / 2)
    halves = (np.arange(-t.nmant - 3, t.nmant + 4) + 0.5) * math.log(2)  # where exp's n changes
    powers = np.outer([0.75, 1, 1.5], 2.0 ** np.arange(-4, 5)).ravel()  # where log's n changes
    ends = np.log([float(t.max), float(t.tiny), float(t.smallest_subnormal)])
    ends = np.concatenate([ends, ends - math.log(2), ends - 1, ends + 1])
    own = [float(x) for x in (table.erf_split, table.erf_one, table.no_effect, table.no_effect / 2)]
    kinds = [float(x) for x in (t.max, t.tiny, t.eps, t.epsneg, t.smallest_subnormal)]
    x = np.concatenate(
        [halves, powers, powers - 1, ends, own, kinds, quarters, [math.log(2), 2**-0.5]]
    )
    x = x.astype(dtype)
    bits = abs(x).view(f"i{x.itemsize}")
    near = (bits[:, None] + np.arange(-3, 4)).ravel().astype(bits.dtype).view(dtype)
    near = near[np.isfinite(near)]
    return np.concatenate([near, -near])


def domain(name: str, x: Array) -> Array:
    """The values of `x` that are in the function's domain."""
    if name in ("sin", "cos"):
        return x[abs(x) <= FAR[x.dtype.name]]
    return x[x > {"log": 0, "log1p": -1}.get(name, -np.inf)]


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_within_2_ulps_of_float64(name: str) -> None:
    everywhere = np.arange(0, 2**32, 2003, dtype=np.int64).astype(np.uint32).view(np.float32)
    busy = np.linspace(-20, 20, 500_000, dtype=np.float32)
    x = domain(name, np.concatenate([everywhere, busy, edges("float32")]))
    x = x[np.isfinite(x)]
    got = run(name, x).astype(float)
    with np.errstate(over="ignore", under="ignore"):
        exact = NUMPY[name](x.astype(float))
    # all that rounds to Inf counts as 2**128
    exact, got = (np.clip(v, -(2.0**128), 2.0**128) for v in (exact, got))
    ulp = 2.0 ** np.maximum(np.frexp(exact)[1] - 24, -149)
    errors = abs(got - exact) / ulp
    worst = np.argmax(errors)  # NaN counts as the maximum
    assert errors[worst] <= ULPS["float32"][name], (x[worst], got[worst], exact[worst])


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_within_4_ulps_of_mpmath(name: str) -> None:
    rng = np.random.default_rng(1)
    everywhere = rng.integers(0, 2**64, 1000, dtype=np.uint64).view(np.float64)
    busy = [rng.uniform(-a, a, 1000) for a in (1, 3, 8, 40, 750)]
    x = domain(name, np.concatenate([everywhere, *busy, edges("float64")]))
    x = x[np.isfinite(x)]
    for a, got in zip(x.tolist(), run(name, x).tolist(), strict=True):
        with mpmath.workprec(120):
            exact = MPMATH[name](mpmath.mpf(a))
            if exact >= mpmath.mpf(2) ** 1024:
                exact = mpmath.inf
            if got == exact:
                continue
            ulp = mpmath.ldexp(1, max(mpmath.frexp(exact)[1] - 53, -1074))
            error = abs(mpmath.mpf(got) - exact) / ulp
        assert error <= ULPS["float64"][name], (a, got, float(exact), float(error))


def sine(dtype: str, z: Array, *, slope: bool) -> Array:
    """The activation's kernel, or its derivative's."""
    kernel, found = smooth.ACTIVATIONS["sine"], z.copy()
    if slope:
        found[:] = 1
        function(kernel.backward, dtype)(found, z, z, 1, z.size, z.size, z)
    else:
        function(kernel.forward, dtype)(found, 1, z.size, z.size, z)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slope", [False, True])
def test_sine_ulps_for_all_finite_arguments(slope: bool, dtype: str) -> None:
    """Any exponent, the largest numbers, the floats nearest to multiples of pi / 2."""
    info, rng, f = np.finfo(dtype), np.random.default_rng(0), mpmath.cos if slope else mpmath.sin
    bits = f"u{np.dtype(dtype).itemsize}"
    any_bits = rng.integers(0, 2 ** (8 * np.dtype(bits).itemsize), 2000, dtype=bits).view(dtype)
    powers = np.ldexp(rng.uniform(1, 2, 300), rng.integers(10, info.maxexp, 300)).astype(dtype)
    x = [0.0, info.max, np.nextafter(info.max, 0), info.tiny, info.smallest_subnormal, FAR[dtype]]
    x += [1e7, 1e8, 1e9, 2.0**31, 2.0**32, 2.0**63, 2.0**64, 22 * 2.0**60, 1e22]
    with mpmath.workprec(1300):
        x += [float(mpmath.nint(mpf(a) * 2 / mpmath.pi) * mpmath.pi / 2) for a in powers.tolist()]
    # the float64 that is nearest to a multiple of pi / 2, and the float32 (Muller, "Elementary
    # functions", chapter 11: continued fractions)
    x += [6381956970095103.0 * 2.0**797] if dtype == "float64" else [16367173.0 * 2.0**72]
    z = np.concatenate([np.array(x).astype(dtype), any_bits, powers])
    z = z[np.isfinite(z)]
    z = np.concatenate([z, -z])
    z = np.concatenate([z, z[: -z.size % 16]])  # whole vectors, as rows are
    for a, got in zip(z.tolist(), sine(dtype, z, slope=slope).tolist(), strict=True):
        with mpmath.workprec(1300):
            exact = f(mpf(a))
            ulp = mpmath.ldexp(
                1, max(mpmath.frexp(exact)[1] - info.nmant - 1, info.minexp - info.nmant)
            )
            error = float(abs(mpf(got) - exact) / ulp)
        assert error <= ULPS[dtype]["sin"], (a, got, float(exact), error)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slope", [False, True])
def test_a_far_argument_changes_no_bit_of_the_others_ulps(slope: bool, dtype: str) -> None:
    z = np.random.default_rng(0).normal(scale=100, size=4096).astype(dtype)
    alone = sine(dtype, z, slope=slope)
    z[77], z[4090], z[5], z[6] = 1e30, -np.finfo(dtype).max, np.inf, np.nan
    mixed = sine(dtype, z, slope=slope)
    assert np.isnan(mixed[5:7]).all()
    np.testing.assert_array_equal(
        np.delete(mixed, [5, 6, 77, 4090]), np.delete(alone, [5, 6, 77, 4090])
    )


INF, NAN = math.inf, math.nan
SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (-INF, NAN)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (INF, INF), (-2.0, NAN), (-INF, NAN)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0)],
    "softplus": [(0.0, math.log(2)), (-0.0, math.log(2)), (INF, INF), (-INF, 0.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0)],
    "sin": [(0.0, 0.0), (INF, NAN), (-INF, NAN)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN)],
}
# at the greatest finite number, its negative, and the smallest denormal one (x, for "same")
LIMITS = {
    "exp": (INF, 0.0, 1.0),
    "tanh": (1.0, -1.0, "same"),
    "sigmoid": (1.0, 0.0, 0.5),
    "softplus": ("same", 0.0, math.log(2)),
    "erf": (1.0, -1.0, "same"),
    "log1p": (None, NAN, "same"),
    "log": (None, NAN, None),
    "sin": (None, None, "same"),
    "cos": (None, None, 1.0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_special_values(name: str, dtype: str) -> None:
    t = np.finfo(dtype)
    limits = zip((t.max, -t.max, t.smallest_subnormal), LIMITS[name], strict=True)
    table = [(x, x if y == "same" else y) for x, y in limits if y is not None]
    table += [*SPECIAL[name], (NAN, NAN), (-NAN, NAN)]
    for x, expected in table:
        # in a vector's lanes and in what is left over
        got = run(name, np.full(37, x, dtype))
        np.testing.assert_array_equal(got, np.dtype(dtype).type(expected), err_msg=f"{name}({x})")
        if not math.isnan(expected):
            assert (np.signbit(got) == np.signbit(expected)).all(), f"{name}({x})"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "low"), [("tanh", -1), ("erf", -1), ("sigmoid", 0)])
def test_results_stay_in_range(name: str, low: int, dtype: str) -> None:
    x = np.concatenate([np.linspace(-40, 40, 300_001), edges(dtype)]).astype(dtype)
    y = run(name, x)
    assert y.min() == low
    assert y.max() == 1
    if low == -1:
        np.testing.assert_array_equal(run(name, -x), -y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_type_is_kept(name: str, dtype: str) -> None:
    t = numba.from_dtype(np.dtype(dtype))
    function = getattr(vmath, name)
    function.compile((t,))
    assert function.overloads[(t,)].signature.return_type == t


def test_other_types_are_refused() -> None:
    with pytest.raises(numba.TypingError):
        vmath.exp.compile((numba.int64,))


def registers() -> str:
    """A regular expression for a register of the target's full width."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return r"v\d+\.(4s|2d)"
    # LLVM itself prefers ymm on Intel's AVX-512 CPUs
    cpu = config.CPU_NAME or llvm.get_host_cpu_name()
    widest = "zmm" if cpu.startswith("znver") else "[yz]mm"
    return {64: widest, 32: "ymm", 16: "xmm"}[target.VECTOR_BYTES]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_loop_is_vectorised(name: str, dtype: str) -> None:
    loop = kernel(name)
    array = numba.from_dtype(np.dtype(dtype))[::1]
    loop.compile((array, array))
    assembly = loop.inspect_asm((array, array))
    # Every polynomial step is a packed multiplication or FMA.
    p = {"float32": "s", "float64": "d"}[dtype]
    packed = rf"^\s*(v?mulp{p}|vfn?m\w+p{p}|fmla|fmul)\s.*{registers()}"
    steps = len(vmath._TABLES[numba.from_dtype(np.dtype(dtype))].exp) - 1
    assert len(re.findall(packed, assembly, re.MULTILINE)) > steps
    assert not re.findall(r"^\s*(?:call\w*|blr?)\s.*", assembly, re.MULTILINE)
    if dtype == "float32":
        assert not re.findall(r"cvtps2pd|cvtss2sd|fcvtl|fcvt\s+d", assembly)


OTHER_TARGETS = {
    "generic": "",
    "haswell": "+avx,+avx2,+fma,+sse4.2,+sse4.1,+ssse3,+bmi,+bmi2,+popcnt",
}


@pytest.mark.parametrize("cpu", OTHER_TARGETS)
def test_other_targets(cpu: str) -> None:
    """The same on lesser CPUs: without FMA, without arithmetic shifts of 64-bit integers."""
    if config.CPU_NAME is not None:
        pytest.skip(f"is itself running for {config.CPU_NAME}")
    if cpu == "haswell" and not {"avx2", "fma"} <= target.FEATURES:
        pytest.skip("the CPU has no AVX2 and FMA")
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": OTHER_TARGETS[cpu]}
    arguments = ["-q", "-p", "no:cacheprovider", "-k", "ulps or vectorised", __file__]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
