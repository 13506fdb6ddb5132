"""The same results from kernels compiled for narrower CPUs, and machine code that is vectorised."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from typing import Any

import child
import llvmlite.binding as llvm
import naive
import numpy as np
import pytest

import fastbp

on_x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="compiles for x86-64 CPUs"
)
HASWELL = ["avx", "avx2", "bmi", "bmi2", "cmov", "cx16", "f16c", "fma", "lzcnt", "movbe", "mmx",
           "popcnt", "sse", "sse2", "sse3", "sse4.1", "sse4.2", "ssse3"]  # fmt: skip
#: numba's settings, bytes of a vector, whether it has FMA
TARGETS = {
    "haswell": ("haswell", ",".join(f"+{name}" for name in HASWELL), 32, True),
    "x86-64": ("generic", "", 16, False),
}
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
NETWORKS: list[tuple[int, list[tuple[Any, ...]], str, int, int | None]] = [
    (20, [(33, "relu"), (17, "tanh"), (5, "softmax")], "cross_entropy", 70, 32),
    (40, [(9, "sigmoid", "shared"), (1, "sigmoid")], "binary_cross_entropy", 30, 7),
    (3, [(70, "tanh", False), (4,)], "half_squared_error", 50, None),
    (4, [(32, "relu"), (16, "softmax"), (3,)], "mse", 4000, None),
    (2, [(2, "sigmoid"), (2,)], "mse", 9, 1),
    (150, [(65, "relu"), (130, "tanh"), (2,)], "mse", 40, 20),
]


def differences() -> dict[str, Any]:
    """How far trainings and predictions here are from the oracle's, and what they compiled for."""
    from numba.core import config

    from fastbp.kernels.compiling.target import HAS_FMA, VECTOR_BYTES

    worst: dict[str, float] = {}
    for dtype in TOLERANCE:
        errors = []
        for n_inputs, widths, loss, n, batch_size in NETWORKS:
            rng = np.random.default_rng(n)
            layers = [naive.Layer(*layer) for layer in widths]
            dense = [fastbp.Dense(u, a, bias=b) for u, a, b in layers]
            net = fastbp.Network(n_inputs, dense, dtype=dtype, seed=0)
            weights = [w.astype(np.float64) for w in net.get_weights()]
            X, k = rng.normal(size=(n, n_inputs)).astype(np.float32), layers[-1].units
            y = rng.uniform(size=(n, k)).astype(np.float32)
            if loss == "cross_entropy":
                y = rng.integers(k, size=n)
            w = rng.uniform(0.5, 2, size=n).astype(np.float32)
            trainer = fastbp.Trainer(
                net, loss, fastbp.SGD(0.05, momentum=0.5), batch_size=batch_size, shuffle=False
            )
            _, gradients = trainer.gradients(X, y, w)
            expected = naive.gradients(weights, layers, loss, X, y, w)
            errors += [
                naive.relative_error(*pair) for pair in zip(gradients, expected, strict=True)
            ]
            trainer.fit(X, y, epochs=2, sample_weight=w)
            batches = naive.consecutive(n, batch_size)
            trained, _ = naive.train(
                weights, layers, loss, naive.SGD(0.05, momentum=0.5), X, y,
                batches=batches, epochs=2, sample_weight=w,
            )  # fmt: skip
            found = [*net.get_weights(), net.predict(X)]
            trained.append(naive.forward(trained, layers, X)[1][-1])
            errors += [naive.relative_error(*pair) for pair in zip(found, trained, strict=True)]
        worst[dtype] = max(errors)
    return {"worst": worst, "name": config.CPU_NAME, "bytes": VECTOR_BYTES, "fma": HAS_FMA}


def settings(target: str) -> dict[str, str]:
    if target == "native":
        return {}
    name, features, *_ = TARGETS[target]
    return {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}


def runs_here(target: str) -> bool:
    return target != "haswell" or llvm.get_host_cpu_features().get("avx2", False)


@pytest.fixture(scope="module")
def processes() -> Iterator[dict[str, Any]]:
    """All targets' processes at once: most of their time is compilation."""
    made = {t: child.start(differences, settings=settings(t)) for t in TARGETS if runs_here(t)}
    yield made
    for process in made.values():
        if process.returncode is None:
            process.kill()
            process.communicate()


@on_x86
@pytest.mark.parametrize("target", TARGETS)
def test_training_on_a_narrower_cpu(target: str, processes: dict[str, Any]) -> None:
    name, _, size, fma = TARGETS[target]
    if target not in processes:
        pytest.skip("this CPU has no AVX2")
    found = child.result(processes[target])
    assert (found["name"], found["bytes"], found["fma"]) == (name, size, fma)
    for dtype, worst in found["worst"].items():
        assert worst <= TOLERANCE[dtype], dtype


# -- machine code ----------------------------------------------------------------------------------


def assembly(dtype: str) -> list[Any]:
    """The tile kernels' machine code, the rows of a tile, and what it is for."""
    from fastbp.kernels.compiling.target import FEATURES, TILE_ROWS, VECTOR_BYTES
    from fastbp.kernels.maths import matmul

    matmul.tiles.compile(dtype)
    text = matmul.tiles.libraries[dtype].get_asm_str()
    return [text, TILE_ROWS, VECTOR_BYTES, sorted(FEATURES)]


def loops(text: str) -> list[list[str]]:
    """Every innermost loop of one block: the lines from its label to the jump back to it."""
    found, block, label = [], [], None
    for line in (line.strip() for line in text.splitlines()):
        if match := re.match(r"(\.?L\w+):", line):
            block, label = [], match[1]
        elif line and not line.startswith((".", "#")):
            block.append(line)
            if label and re.match(rf"j\w+\s+{re.escape(label)}$", line):
                found.append(block)
    return found


def functions(text: str) -> dict[str, str]:
    """The tiles' code by name."""
    pattern = r"^(fastbp_tile_\w+):(.*?)^\.Lfunc_end"
    return dict(re.findall(pattern, text, flags=re.MULTILINE | re.DOTALL))


@on_x86
@pytest.mark.skipif(sys.platform != "linux", reason="reads assembly as ELF systems write it")
@pytest.mark.parametrize(
    ("target", "dtype"),
    [("native", "float32"), ("native", "float64"), ("haswell", "float32"), ("x86-64", "float64")],
)
def test_the_tiles_loop_is_packed_arithmetic(target: str, dtype: str) -> None:
    """One FMA of whole vectors for each vector of the tile, or one product and sum; no call."""
    off = {"FASTBP_CACHE": "0"}  # code from the cache cannot be looked at
    text, rows, size, features = child.call(assembly, dtype, settings=settings(target) | off)
    register = {64: "zmm", 32: "ymm", 16: "xmm"}[size]
    suffix = "ps" if dtype == "float32" else "pd"
    fused = "fma" in features or "avx512f" in features
    operations = (
        [rf"vfn?m(add|sub)\w*{suffix}"] if fused else [rf"v?mul{suffix}", rf"v?add{suffix}"]
    )
    tiles = functions(text)
    assert len(tiles) == 2 * rows
    for name, code in tiles.items():
        height, width = map(int, name.rpartition("_")[2].split("x"))
        # LLVM may unroll the loops of low tiles
        inner = [loop for loop in loops(code) if re.search(operations[0], "\n".join(loop))]
        assert inner, name
        for loop in inner:
            body = "\n".join(loop)
            assert not re.search(r"\bcall", body), name
            for operation in operations:
                packed = re.findall(rf"^{operation}\s.*%{register}", body, flags=re.MULTILINE)
                assert packed, name
                assert len(packed) % (height * width) == 0, name
            assert not re.search(rf"{operations[0][:-2]}s[sd]\s", body), f"{name}: scalar"
