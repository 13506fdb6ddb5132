"""C headers: compiled by a C compiler with every warning an error, compared with predict."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import COMPILER, FLAGS, HIDDEN, Programs, architecture, needs_c

import fastbp
from fastbp import export
from fastbp.export.c_math import KNOWN
from fastbp.kernels.functions.activations import ACTIVATIONS

SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compare(folder: Path, networks: Sequence[fastbp.Network], math: bool, **options: Any) -> float:
    """The largest difference from predict, relative to each network's largest output."""
    programs = Programs(folder, options.get("flags", ()), math)
    for i, network in enumerate(networks):
        header = export.to_c(network, name=f"n{i}", math=math)
        assert ("math.h" in header.text) == math
        programs.add(header, network.n_inputs, network.n_outputs)
    programs.build()
    rng = np.random.default_rng(1)
    samples = [
        rng.standard_normal((8, n.n_inputs)).astype(np.float32)
        * np.float32(10.0 ** rng.integers(-2, 2))
        for n in networks
    ]
    runs = [(i, x) for i, X in enumerate(samples) for x in X]
    results = iter(programs.run(runs, options.get("before", ())))
    worst = 0.0
    for network, X in zip(networks, samples, strict=True):
        found = np.array([next(results) for _ in X])
        assert (found[:, 0] == 0).all()
        expected = network.predict(X).astype(np.float64)
        fits = np.abs(expected) < 1e30  # exp may overflow, on both sides
        scale = max(1.0, float(np.abs(expected[fits]).max(initial=0.0)))
        off = np.abs(np.where(fits, found[:, 1:] - expected, 0.0)).max()
        worst = max(worst, float(off) / scale)
        assert off / scale < 1e-5, repr(network)
    return worst


def test_every_activation_has_c() -> None:
    assert set(ACTIVATIONS) == KNOWN


@needs_c
@pytest.mark.parametrize("math", [True, False])
def test_random_architectures(tmp_path: Path, math: bool) -> None:
    rng = np.random.default_rng(0)
    networks = [
        architecture(rng, HIDDEN[i % len(HIDDEN)], ["float32", "float64"][i % 5 == 0])
        for i in range(54)
    ]
    networks.append(fastbp.Network(3, [fastbp.Dense(4, fastbp.ELU(0.3)), fastbp.Dense(2)], seed=0))
    leaky = [fastbp.Dense(4, fastbp.LeakyReLU(0.2)), fastbp.Dense(2)]
    networks.append(fastbp.Network(3, leaky, seed=0))
    compare(tmp_path, networks, math)


@needs_c
@pytest.mark.parametrize("math", [True, False])
def test_every_activation_over_a_wide_range(tmp_path: Path, math: bool) -> None:
    """One unit a network, so that z is the input itself, relative to each value."""
    names = sorted(set(ACTIVATIONS) - {"softmax"})
    programs = Programs(tmp_path, SANITIZERS, math)
    for i, name in enumerate(names):
        network = fastbp.Network(1, [fastbp.Dense(1, name, bias=False)], seed=0)
        network.set_weights([[[1.0]]])
        programs.add(export.to_c(network, name=f"n{i}", math=math), 1, 1)
    programs.build()
    z = np.r_[np.linspace(-20, 20, 401), -200, -90, -1e-3, 1e-3, 80, 1e9, -1e9, 3e38, -3e38]
    # where sines are reduced in another way, near multiples of pi and any
    z = np.r_[z, 9999, 10001, -np.pi * 2.0 ** np.arange(9, 100, 7), 1.7 ** np.arange(20, 160, 9)]
    z = z.astype(np.float32)
    results = np.array(programs.run([(i, [x]) for i in range(len(names)) for x in [*z, np.nan]]))
    for i, name in enumerate(names):
        network = fastbp.Network(1, [fastbp.Dense(1, name, bias=False)], dtype="float64", seed=0)
        network.set_weights([[[1.0]]])
        found = results.reshape(len(names), -1, 2)[i, :, 1]
        with np.errstate(over="ignore"):
            expected = network.predict(z[:, None])[:, 0].astype(np.float32).astype(np.float64)
        near = np.isfinite(expected) & (np.abs(expected) < 1e37)
        # these cancel, gelus where they end and the sine at its zeros: relative to z
        least = np.minimum(1, np.abs(z)) if name in ("gelu", "gelu_tanh", "sine") else 0
        size = np.maximum(np.abs(expected), least)
        off = np.abs(found[:-1][near] - expected[near]) / np.maximum(size[near], 1e-30)
        assert off.max() < 3e-6, (name, z[near][off.argmax()], off.max())
        assert np.isnan(found[-1]), name


@needs_c
@pytest.mark.parametrize("math", [True, False])
def test_clean_under_the_sanitizers(tmp_path: Path, math: bool) -> None:
    rng = np.random.default_rng(2)
    networks = [architecture(rng, name) for name in HIDDEN]
    compare(tmp_path, networks, math, flags=SANITIZERS)


@needs_c
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind on this machine")
def test_clean_under_valgrind(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    networks = [architecture(rng, name) for name in HIDDEN[:8]]
    command = ["valgrind", "-q", "--error-exitcode=9"]
    compare(tmp_path, networks, False, before=command)


@needs_c
def test_bytes_for_weights_and_their_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    programs, expected, runs = Programs(tmp_path), [], []
    for i in range(12):
        network = architecture(rng, HIDDEN[i])
        X = rng.standard_normal((20, network.n_inputs)).astype(np.float32)
        header = export.to_c(network, name=f"n{i}", int8=True, data=X)
        assert header.weight_bytes < export.to_c(network, name=f"n{i}").weight_bytes + 4 * 200
        assert f"{header.max_error:.3g} at most" in header.text
        programs.add(header, network.n_inputs, network.n_outputs)
        expected.append((network.predict(X), header))
        runs += [(i, x) for x in X]
    programs.build()
    results = iter(programs.run(runs))
    for p, header in expected:
        found = np.array([next(results) for _ in p])[:, 1:]
        off = np.abs(found - p)
        size = max(1.0, float(np.abs(p).max()))
        assert header.max_error == pytest.approx(off.max(), rel=1e-3, abs=1e-5 * size)
        assert header.rms_error == pytest.approx(
            np.sqrt(np.mean(off**2)), rel=1e-3, abs=1e-5 * size
        )


def table(target: Any, missing: Any = "error", unseen: Any = "error") -> export.Table:
    columns = (
        export.Number("size", 1.6e9, 3.5e3),
        export.Category('*/ "colour"?', ("blue", "red\\", "@net"), "red\\"),
        export.Category("open", ("true",), "true", boolean=True),
    )
    return export.Table(columns, target, missing, unseen)


NAMES = export.Labels(("a@b", 'say "é"??/', "c\n"))


@needs_c
def test_columns_and_labels(tmp_path: Path) -> None:
    softmax = fastbp.Network(5, [fastbp.Dense(4, "tanh"), fastbp.Dense(3, "softmax")], seed=0)
    linear = fastbp.Network(5, [fastbp.Dense(1)], seed=0)
    programs = Programs(tmp_path)
    programs.add(export.to_c(softmax, name="n0", table=table(NAMES)), 3, 3)
    goal = export.Number("y", -7.5, 1e6)
    programs.add(export.to_c(linear, name="n1", table=table(goal, "mean", "zero")), 3, 1)
    programs.build()
    nan = float("nan")
    rows = [[1.6e9 + 1750, 2, 1], [nan, 0, 0], [1.6e9, 7, 0], [1.6e9, nan, 1], [1e300, 0, 1]]
    X = np.array([[0.5, 0, 0, 1, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 1]], np.float32)
    first = programs.run([(0, row) for row in rows])
    np.testing.assert_allclose(first[0][1:], softmax.predict(X[:1])[0], atol=1e-6)
    assert [line[0] for line in first] == [0, 1, 2, 2, 1]  # open is not seen as false: the first
    second = programs.run([(1, row) for row in rows])
    assert [line[0] for line in second] == [0, 0, 0, 0, 1]
    expected = linear.predict(X)[:, 0].astype(np.float64) * 1e6 - 7.5
    np.testing.assert_allclose([line[1] for line in second[:4]], expected, rtol=1e-5, atol=1)


@needs_c
def test_classes_and_their_names(tmp_path: Path) -> None:
    network = fastbp.Network(5, [fastbp.Dense(3, "softmax")], seed=0)
    (tmp_path / "net.h").write_text(export.to_c(network, table=table(NAMES)).text)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void) {\n'
        "    const double in[3] = {1.6e9, 0, 1}, bad[3] = {1.6e9, 9, 1};\n"
        '    printf("%d %d\\n", net_class(in), net_class(bad));\n'
        "    return (int)fwrite(net_label(1), 1, 12, stdout) - 12;\n}\n"
    )
    compiled = [str(COMPILER), *FLAGS, str(tmp_path / "main.c"), "-o", str(tmp_path / "p"), "-lm"]
    subprocess.run(compiled, check=True)
    out = subprocess.run([str(tmp_path / "p")], check=True, capture_output=True).stdout
    best = network.predict_classes([[0, 1, 0, 0, 1]])[0]
    assert out == f"{best} -1\n".encode() + 'say "é"??/'.encode() + b"\0"


def test_what_is_refused() -> None:
    net = fastbp.Network(2, [fastbp.Dense(1)], seed=0)
    for name in ("", "1a", "a b", "é", "_a"):
        with pytest.raises(ValueError, match="name must be"):
            export.to_c(net, name=name)
    with pytest.raises(ValueError, match="table must make 2 inputs and 1 outputs, got 5 and 1"):
        export.to_c(net, table=table(export.Number("y")))
    own = fastbp.CustomActivation(lambda z: 2 * z, lambda z: 2.0, "double")
    with pytest.raises(ValueError, match="has no C source"):
        export.to_c(fastbp.Network(2, [fastbp.Dense(1, own)], seed=0))
    wide = fastbp.Network(2, [fastbp.Dense(1)], dtype="float64", seed=0)
    wide.set_weights([[[1e39], [0.0]], [0.0]])
    with pytest.raises(ValueError, match="layer 0 has a number that float32 can't hold"):
        export.to_c(wide)
